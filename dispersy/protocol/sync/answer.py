"""The answering side of synchronisation: everything it needs is in the request, nothing is kept between
requests.

An answer is a run of datagrams with a messages frame, which states the interval of order keys that its
datagram covers: what we hold in it and the filter lacks is there, what of it is erased is in a stripped
frame before it, and what is too large for a datagram is named in a large frame before it. The intervals
follow one another without a gap from the request's low to where the answer stopped, so the asker sees from
them alone what was lost on the way. So a large message costs an answer its name, and keeps no small one
waiting.

A request may select kinds: then an interval says so much of these alone. In descending order the intervals
follow one another from the request's high downwards. In random order all but the last datagram are shuffled,
and the last one, which says how far the answer came, stays the last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import compress

from dispersy.constants import (
    ANSWER_BUDGET_MAX,
    DATAGRAM_MESSAGE_SIZE_MAX,
    FILTER_FILL_MAX,
    FRAMES_SIZE_MAX,
    SCAN_MAX,
    SELECTED_SCAN_MAX,
    SELECTED_SIZE_MAX,
)
from dispersy.errors import WireError
from dispersy.ext import wire
from dispersy.ext.bloom import BloomFilter
from dispersy.protocol.holdings import (
    ID_SIZE,
    KEY_SIZE,
    SCAN_CHUNK,
    Holdings,
    ItemHoldings,
    MessageHoldings,
    ids_of,
    key_after,
    key_between,
    named_by,
    order_key_at,
    packed_keys_of,
    sum_range,
)
from dispersy.protocol.identifiers import ORDER_LOW, CommunityId, OrderKey
from dispersy.protocol.wire.frames import (
    Audit,
    AuditRequest,
    Large,
    LargeName,
    MessagesHeader,
    MissingLast,
    RequestMissing,
    StrippedHeader,
    SyncRequest,
    frame,
)
from dispersy.protocol.wire.message import read_message
from dispersy.protocol.wire.numbers import ControlKind, FrameType
from dispersy.protocol.wire.selection import Order, Selection
from dispersy.protocol.wire.stripped import Stripped
from dispersy.protocol.wire.summary import Summary

ENVELOPE_SIZE_MAX = 82
"""Frame header, number, flags, two bounds, summary."""
AREA_SIZE_MAX = FRAMES_SIZE_MAX - ENVELOPE_SIZE_MAX
BESIDE_ENVELOPE_SIZE = 7
"""Of a stripped or large frame: frame header and number."""
NAMED_ROOM = FRAMES_SIZE_MAX - 34
"""For messages and what goes beside them where the envelope covers no interval, and so is short."""
LOOK_MIN = 32
MESSAGES_PER_DATAGRAM = 6
"""Keys that are looked at first: what a budget holds of messages of some 200 bytes."""
READ_AT_ONCE = 32
"""Messages of up to 64 KiB in memory at once where some are large."""
READ_CHUNK = 128
"""Messages read at once: a budget that ends sooner has not paid for many more."""

Answered = bytes | LargeName
"""What an answer gives of a message: it whole, what is left of it (Stripped), or its name."""


class Answer:
    """The answer to one sync-request, produced in steps so that others get their turn in between.

    summary      of our live set as `holdings` has it now; None: we summarise nothing
    budget_max   datagrams, also where more were asked for: the asker sees how far it went, and goes on
    raises       WireError: range-empty, budget-too-large, filter-full
    """

    def __init__(
        self,
        request: SyncRequest,
        holdings: MessageHoldings,
        summary: Summary | None,
        *,
        budget_max: int = ANSWER_BUDGET_MAX,
    ) -> None:
        if request.low >= request.high:
            raise WireError("range-empty")
        if request.budget > ANSWER_BUDGET_MAX:
            raise WireError("budget-too-large")
        self.finished = False
        self._request = request
        self._holdings = holdings
        self._summary = summary
        self._filter: BloomFilter | None = None
        if request.hash_count:
            self._filter = BloomFilter.from_bytes(
                request.filter, hash_count=request.hash_count, salt=request.salt
            )
            if self._filter.fill() > FILTER_FILL_MAX:
                raise WireError("filter-full")
        selection = request.selection or Selection()
        self._kinds = frozenset(selection.kinds)
        self._descends = selection.order is Order.DESCENDING
        self._is_random = selection.order is Order.RANDOM
        self._end = request.low if self._descends else request.high
        self._budget = min(request.budget, budget_max)
        # Scanned up to _scanned_to; _wanted are still to be read, _read still to be packed, and what is
        # packed, up to _packed_to, to be sent with the interval that it covers.
        self._scanned_to = self._packed_to = request.high if self._descends else request.low
        self._scan_count = self._selected_count = self._selected_size = 0
        self._scan_over = False
        self._look = max(LOOK_MIN, self._budget * MESSAGES_PER_DATAGRAM // 2)
        self._wanted: deque[tuple[bytes, int]] = deque()
        self._read_keys: list[bytes] = []
        self._read: list[Answered] = []
        self._packed: deque[tuple[_Areas, OrderKey, OrderKey]] = deque()

    @property
    def examined(self) -> int:
        """Ids that were looked at so far; twice those whose messages were read for their kind."""
        return self._scan_count + self._selected_count

    def frames(self, datagrams: int) -> list[bytes]:
        """The frames of up to so many datagrams more."""
        if self._is_random and not self._packed and not self.finished:
            self._shuffle()
        found: list[bytes] = []
        while not self.finished and len(found) < datagrams:
            found.append(self._next_frames())
        return found

    def _next_frames(self) -> bytes:
        while not self._packed:
            self._pack_more()
        areas, low, high = self._packed.popleft()
        self._budget -= 1
        nothing_left = not self._packed and self._is_packed()
        self.finished = nothing_left or self._budget == 0
        header = MessagesHeader(
            number=self._request.number,
            low=low,
            high=high,
            end_of_range=nothing_left and self._packed_to == self._end,
            last=self.finished,
            summary=self._summary if self.finished else None,
        )
        return areas.frames(header)

    def _is_packed(self) -> bool:
        """Whether all that was found is."""
        return not self._read and not self._wanted and self._scan_over

    def _shuffle(self) -> None:
        """Pack the whole answer, and put its datagrams in an order that the request's number decides."""
        while len(self._packed) < self._budget and not self._is_packed():
            self._pack_more()
        *others, last = list(self._packed)[: self._budget]
        number = self._request.number.to_bytes(4, "big")
        others.sort(key=lambda packed: blake2b(packed[1], key=number, digest_size=8).digest())
        is_rest = len(self._packed) > self._budget
        self._packed = deque([*others, last])
        if is_rest:
            # What does not fit is neither sent nor covered: the asker sees it from the last interval.
            self._packed_to = last[2]

    def _pack_more(self) -> None:
        """Read on until a datagram is full or nothing is left; an interval ends where the next begins."""
        while not self._wanted and not self._scan_over:
            self._scan_more()
        batch = [self._wanted.popleft() for _ in range(min(READ_CHUNK, len(self._wanted)))]
        messages = self._holdings.messages([cursor for _, cursor in batch])
        keys = [key for key, _ in batch]
        if max(map(len, messages), default=0) <= DATAGRAM_MESSAGE_SIZE_MAX:
            self._read += messages
        else:
            self._read += [_answered(message, key) for message, key in zip(messages, keys, strict=True)]
        self._read_keys += keys
        over = self._scan_over and not self._wanted
        groups = _pack(self._read)
        if over and not groups:
            self._cover(_Areas(), self._scanned_to)
        done = 0
        for count, areas in groups if over else groups[:-1]:
            done += count
            # Downwards an interval ends with its own last key, upwards before the next one's first.
            edge = self._read_keys[done - 1 : done] if self._descends else self._read_keys[done : done + 1]
            is_rest = done < len(self._read_keys)
            if not is_rest:
                to = self._scanned_to
            elif self._descends:
                to = order_key_at(edge[0], 0)
            else:
                # A short bound leaves more room on the link, and most often the next request is a short one.
                to = key_between(self._read_keys[done - 1], edge[0])
            self._cover(areas, to)
        del self._read[:done], self._read_keys[:done]

    def _cover(self, areas: _Areas, to: OrderKey) -> None:
        """A datagram is packed, of all that is wanted between the one before it and here."""
        low, high = (to, self._packed_to) if self._descends else (self._packed_to, to)
        self._packed.append((areas, low, high))
        self._packed_to = to

    def _scan_more(self) -> None:
        # A first look as long as the budget, for without a filter all of it is wanted; then ever longer ones.
        self._look = min(SCAN_CHUNK, 2 * self._look)
        limit = min(self._look, SCAN_MAX - self._scan_count)
        if self._kinds:
            limit = min(limit, SELECTED_SCAN_MAX - self._selected_count)
        if self._descends:
            found = self._holdings.scan_back(self._request.low, self._scanned_to, limit)
        else:
            found = self._holdings.scan(self._scanned_to, self._request.high, limit)
        keys, cursors, complete = found
        count = len(keys) // KEY_SIZE
        self._scan_count += count
        if count:
            pairs = zip(packed_keys_of(keys), memoryview(cursors).cast("Q"), strict=True)
            lacked = list(compress(pairs, self._lacks(keys)))
            self._wanted.extend(self._selected(lacked) if self._kinds else lacked)
        if complete:
            self._scanned_to = self._end
        elif self._descends:
            self._scanned_to = order_key_at(keys, -1)
        else:
            self._scanned_to = key_after(order_key_at(keys, -1))
        self._scan_over = (
            complete
            or self._scan_count >= SCAN_MAX
            or self._selected_count >= SELECTED_SCAN_MAX
            or self._selected_size >= SELECTED_SIZE_MAX
        )

    def _selected(self, rows: list[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
        """Those of the kinds that are asked for: what kind a message is of stands in it alone."""
        found: list[tuple[bytes, int]] = []
        for first in range(0, len(rows), READ_AT_ONCE):
            part = rows[first : first + READ_AT_ONCE]
            messages = self._holdings.messages([cursor for _, cursor in part])
            self._selected_count += len(messages)
            self._selected_size += sum(map(len, messages))
            found += [row for row, message in zip(part, messages, strict=True) if message[0] in self._kinds]
        return found

    def _lacks(self, keys: bytes) -> bytes:
        """One byte a key, ascending: whether the asker lacks it."""
        count = len(keys) // KEY_SIZE
        if self._filter is None:
            return b"\1" * count
        while count and order_key_at(keys, count - 1) >= self._request.described:
            count -= 1
        described = self._filter.missing_many(ids_of(keys[: count * KEY_SIZE]), ID_SIZE)
        return described + b"\1" * (len(keys) // KEY_SIZE - count)


@dataclass(slots=True)
class _Areas:
    """The messages of one datagram: packed whole ones, packed stripped ones, and the names of large ones.
    One is made of each, as a MessagesHeader is: to freeze both would take as long as to send them."""

    whole: bytes = b""
    stripped: bytes = b""
    large: tuple[LargeName, ...] = ()

    @property
    def size(self) -> int:
        """Bytes in its datagram, but for the envelope of whole ones."""
        beside = len(self.stripped) + sum(len(name.encode()) for name in self.large)
        return len(self.whole) + beside + BESIDE_ENVELOPE_SIZE * (bool(self.stripped) + bool(self.large))

    def frames(self, header: MessagesHeader) -> bytes:
        before = b""
        if self.stripped:
            body = StrippedHeader(header.number).encode() + self.stripped
            before = frame(FrameType.STRIPPED, body)
        if self.large:
            before += frame(FrameType.LARGE, Large(header.number, self.large).encode())
        return before + frame(FrameType.MESSAGES, header.encode() + self.whole)


def _answered(message: bytes, packed_key: bytes) -> Answered:
    """What an answer gives of a message that is held under this packed key."""
    if len(message) <= DATAGRAM_MESSAGE_SIZE_MAX:
        return message
    return named_by(packed_key, len(message))


def answered_by_name(messages: Sequence[bytes], community_id: CommunityId) -> list[Answered]:
    """What an answer gives of messages whose ids are not at hand."""
    found: list[Answered] = []
    for message in messages:
        if len(message) <= DATAGRAM_MESSAGE_SIZE_MAX:
            found.append(message)
        else:
            view = read_message(community_id, message)
            found.append(LargeName(view.global_time, view.id, len(message)))
    return found


def read_answered(holdings: ItemHoldings, cursors: Sequence[int]) -> list[Answered]:
    """What an answer gives of these messages; read in portions, for of large ones only the names stay."""
    found: list[Answered] = []
    for first in range(0, len(cursors), READ_AT_ONCE):
        messages = holdings.messages(cursors[first : first + READ_AT_ONCE])
        found += answered_by_name(messages, holdings.community_id())
    return found


def _pack(messages: Sequence[Answered]) -> list[tuple[int, _Areas]]:
    """Greedy, in order: how many messages a datagram holds, and they."""
    plain = [each for each in messages if type(each) is bytes]
    if len(plain) == len(messages):
        return [(count, _Areas(area)) for count, area in wire.pack(plain, AREA_SIZE_MAX)]
    groups: list[tuple[int, _Areas]] = []
    chosen: list[Answered] = []
    size = 0
    for each in messages:
        own = len(each.encode()) if isinstance(each, LargeName) else len(each) + _length_size(len(each))
        # The first that is stripped or large brings a frame of its own.
        room = AREA_SIZE_MAX - BESIDE_ENVELOPE_SIZE * len({type(one) for one in (*chosen, each)} - {bytes})
        if size + own > room and chosen:
            groups.append((len(chosen), _areas_of(chosen)))
            chosen, size = [], 0
        chosen.append(each)
        size += own
    return [*groups, (len(chosen), _areas_of(chosen))]


def _areas_of(messages: Sequence[Answered]) -> _Areas:
    """These together in one datagram."""
    whole = [each for each in messages if type(each) is bytes]
    stripped = [bytes(each) for each in messages if isinstance(each, Stripped)]
    large = tuple(each for each in messages if isinstance(each, LargeName))
    return _Areas(_packed(whole), _packed(stripped), large)


def _length_size(length: int) -> int:
    """Bytes of the length before a message that fits a datagram."""
    return 1 if length < 0x80 else 2


def _packed(messages: list[bytes]) -> bytes:
    return b"".join(area for _, area in wire.pack(messages, AREA_SIZE_MAX))


def answer_audit(request: AuditRequest, holdings: Holdings) -> Audit:
    """Count and sum of what we hold in the range; beyond SCAN_MAX one more is counted than was summed."""
    count, total, complete = sum_range(holdings, request.low, request.high, key=request.key)
    return Audit(request.number, count if complete else count + 1, total)


def answer_missing(request: RequestMissing, definition: bytes) -> list[bytes]:
    """Frames that answer, one datagram's each; none where we know of nothing to give.

    definition   the newest definition message held, b"" while unknown; nothing else is asked for by name
    """
    wanted = request.wanted
    if not definition or not isinstance(wanted, MissingLast) or wanted.kind != ControlKind.DEFINITION:
        return []
    return named_frames(request, [definition])


def carried(
    number: int,
    messages: Sequence[Answered],
    *,
    budget: int,
    beside: bytes = b"",
    summary: Summary | None = None,
) -> list[bytes]:
    """Frames of messages that no range but an item named, one datagram's each, as far as the budget reaches.

    beside   frames for the first datagram that has room for them, or for one of their own before all others
    summary  for the last datagram, which says whether all messages are there; there is always a last one
    """
    datagrams = [areas for _, areas in _pack(messages)] or [_Areas()]
    fitting = [index for index, each in enumerate(datagrams) if each.size + len(beside) <= NAMED_ROOM]
    place = next(iter(fitting), -1)
    sent = datagrams[: budget if place >= 0 else max(1, budget - 1)]
    if place >= len(sent):
        place, sent = -1, datagrams[: max(1, budget - 1)]
    found = [beside] if place < 0 else []
    for index, each in enumerate(sent):
        last = index == len(sent) - 1
        header = MessagesHeader(
            number=number,
            low=ORDER_LOW,
            high=ORDER_LOW,
            last=last,
            end_of_range=last and len(sent) == len(datagrams),
            summary=summary if last else None,
        )
        found.append((beside if index == place else b"") + each.frames(header))
    return found


def unasked_bodies(
    holdings: ItemHoldings, cursors: Sequence[int], *, datagrams_max: int
) -> list[tuple[FrameType, bytes]]:
    """(type, body) of frames with these messages, one a datagram, that answer nothing; as far as so many
    datagrams reach, and no more of them are read."""
    packed: list[tuple[int, _Areas]] = []
    messages: list[Answered] = []
    for first in range(0, len(cursors), READ_AT_ONCE):
        messages += read_answered(holdings, cursors[first : first + READ_AT_ONCE])
        packed = _pack(messages)
        if len(packed) > datagrams_max:
            break
    found: list[tuple[FrameType, bytes]] = []
    for _, areas in packed[:datagrams_max]:
        if areas.stripped:
            found.append((FrameType.STRIPPED, StrippedHeader().encode() + areas.stripped))
        if areas.large:
            found.append((FrameType.LARGE, Large(0, areas.large).encode()))
        if areas.whole:
            found.append((FrameType.MESSAGES, MessagesHeader().encode() + areas.whole))
    return found


def named_frames(request: RequestMissing, messages: Sequence[Answered]) -> list[bytes]:
    """Frames that answer a request by name with these messages, one datagram's each, as far as its budget
    reaches; some without messages say that we know of none."""
    areas = [areas for _, areas in _pack(messages)] or [_Areas()]
    areas = areas[: min(request.budget, ANSWER_BUDGET_MAX)]
    found = []
    for index, each in enumerate(areas):
        last = index == len(areas) - 1
        header = MessagesHeader(number=request.number, low=ORDER_LOW, high=ORDER_LOW, last=last)
        found.append(each.frames(header))
    return found
