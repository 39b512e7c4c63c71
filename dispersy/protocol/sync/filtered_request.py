"""Requests with a filter of what is held: how much one describes, and how many wrong positives cost least."""

from __future__ import annotations

from math import ceil, log
from random import Random

from dispersy.constants import (
    FILTER_ERROR_ALONE,
    FILTER_ERROR_MAX,
    FILTER_ERROR_MIN,
    FILTER_ERROR_RATIO,
    FILTER_FILL_MAX,
    FILTER_SIZE_MIN,
    FRAMES_SIZE_MAX,
)
from dispersy.ext.bloom import BloomFilter
from dispersy.protocol.holdings import (
    ID_SIZE,
    KEY_SIZE,
    Holdings,
    first_key_of,
    ids_of,
    order_key_at,
    time_of,
)
from dispersy.protocol.identifiers import ORDER_TOP
from dispersy.protocol.sync.gaps import Range
from dispersy.protocol.wire.frames import RangeRequest, SyncRequest
from dispersy.protocol.wire.range_frames import says_shortly

FILTER_SIZE_MAX = FRAMES_SIZE_MAX - 64
"""Bytes: frame header 3, number 4, flags, budget, bounds 2 x 25, salt 4, hash count; a range-request, with
the two sizes of a coded filter, takes less."""
CODED_SLACK = 1.05
"""A Rice code takes up to 2 % more than the entropy of its gaps; the rest is chance."""


def error_rate_for(*, held: int, missing: int) -> float:
    """The false positive rate that costs fewest bytes where `missing` of what the source has is not held."""
    return min(FILTER_ERROR_MAX, max(FILTER_ERROR_MIN, FILTER_ERROR_RATIO * held / max(1, missing)))


def filter_capacity(error_rate: float, *, coded: bool = True, beside: int = 0) -> int:
    """How many ids one request describes at this rate, with so many bytes of other things in it."""
    bits = _coded_bits_per_key(error_rate) if coded and _is_coded(error_rate) else _bits_per_key(error_rate)
    return int((FILTER_SIZE_MAX - beside) * 8 / bits)


def make_request(
    *,
    holdings: Holdings,
    wanted: Range,
    number: int,
    budget: int,
    error_rate: float,
    rng: Random,
    is_alone: bool = True,
) -> SyncRequest:
    """A request for what we lack of the range, or of so much of its lower part as one filter describes.

    is_alone   it is not one of many whose wrong positives something else finds in the end
    """
    low, high = wanted
    if is_alone:
        error_rate = min(error_rate, FILTER_ERROR_ALONE)
    is_short = says_shortly(low, high)
    capacity = filter_capacity(error_rate, coded=is_short)
    keys, _, _ = holdings.scan(low, high, capacity + 1)
    count = len(keys) // KEY_SIZE
    if count > capacity:
        high = order_key_at(keys, capacity)
        if high >= first_key_of(time_of(low) + 1):
            high = first_key_of(time_of(high))
        else:
            is_short = False
            high = order_key_at(keys, filter_capacity(error_rate, coded=False))
        while count and order_key_at(keys, count - 1) >= high:
            count -= 1
    kind = RangeRequest if is_short else SyncRequest
    if count == 0:
        return kind(number=number, budget=budget, low=low, high=high)
    bloom = _filter_for(
        count, error_rate, salt=number if is_short else rng.getrandbits(32), may_be_coded=is_short
    )
    bloom = _filled(bloom, ids_of(keys[: count * KEY_SIZE]))
    behind = first_key_of(time_of(order_key_at(keys, count - 1)) + 1)
    return kind(
        number=number,
        budget=budget,
        low=low,
        high=high,
        salt=bloom.salt,
        hash_count=bloom.hash_count,
        filter=bloom.to_bytes(),
        described=behind if is_short and behind < high else ORDER_TOP,
    )


def make_filter(
    ids: bytes, *, error_rate: float, rng: Random, is_alone: bool = True, beside: int = 0
) -> tuple[int, int, bytes]:
    """(salt, hash count, bits) of a filter of these ids, none of no ids; is_alone as make_request()."""
    count = len(ids) // ID_SIZE
    if not count:
        return 0, 0, b""
    size_max = FILTER_SIZE_MAX - beside
    # A wrong positive costs another round; where few ids leave room in the datagram, bits are cheaper than
    # that.
    half = size_max * 4
    while is_alone and error_rate > FILTER_ERROR_MIN and count * _bits_per_key(error_rate / 2) <= half:
        error_rate /= 2
    size = min(size_max, max(FILTER_SIZE_MIN, ceil(count * _bits_per_key(error_rate) / 8)))
    bloom = BloomFilter.from_size(size_bits=size * 8, error_rate=error_rate, salt=rng.getrandbits(32))
    bloom = _filled(bloom, ids)
    return bloom.salt, bloom.hash_count, bloom.to_bytes()


def _filled(bloom: BloomFilter, ids: bytes) -> BloomFilter:
    """With these ids in it; somewhat longer where it would be fuller than anybody takes it. Chance does that
    to one in some ten thousand of the smallest filters with two hashes, which are 55 % full in the mean."""
    bloom.add_many(ids, ID_SIZE)
    while bloom.fill() > FILTER_FILL_MAX:
        bloom = BloomFilter(size_bits=bloom.size_bits + 64, hash_count=bloom.hash_count, salt=bloom.salt)
        bloom.add_many(ids, ID_SIZE)
    return bloom


def _filter_for(count: int, error_rate: float, *, salt: int, may_be_coded: bool) -> BloomFilter:
    """An empty filter of the fewest bytes on its way for so many ids."""
    if may_be_coded and _is_coded(error_rate):
        return BloomFilter(size_bits=8 * ceil(count / error_rate / 8), hash_count=1, salt=salt)
    size = min(FILTER_SIZE_MAX, max(FILTER_SIZE_MIN, ceil(count * _bits_per_key(error_rate) / 8)))
    bloom = BloomFilter.from_size(size_bits=size * 8, error_rate=error_rate, salt=salt)
    if bloom.hash_count > 1 or not may_be_coded:
        return bloom
    # One hash is always coded on its way.
    return BloomFilter(size_bits=size * 8, hash_count=2, salt=salt)


def _bits_per_key(error_rate: float) -> float:
    """Of a filter of as many hashes as suit it."""
    return -log(error_rate) / log(2) ** 2


def _coded_bits_per_key(error_rate: float) -> float:
    """Of a filter of one hash whose bits are coded: what the gaps between its bits take, and what their
    code takes more."""
    return (-log(error_rate) + 1) / log(2) * CODED_SLACK


def _is_coded(error_rate: float) -> bool:
    """Whether that is the smaller one."""
    return _coded_bits_per_key(error_rate) < _bits_per_key(error_rate)
