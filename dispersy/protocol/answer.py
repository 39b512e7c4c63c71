"""The answering side of synchronisation: everything it needs is in the request, nothing is kept between
requests.

An answer is a run of messages datagrams, each of which states the interval of order keys that it covers:
what we hold in it and the filter lacks is in that datagram. The intervals follow one another without a gap
from the request's low to where the answer stopped, so the asker sees from them alone what was lost on the
way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import compress

from dispersy.constants import ANSWER_BUDGET_MAX, FILTER_FILL_MAX, FRAMES_SIZE_MAX, SCAN_MAX
from dispersy.errors import WireError
from dispersy.ext import digest, wire
from dispersy.ext.bloom import BloomFilter
from dispersy.protocol.frames import (
    Audit,
    AuditRequest,
    MessagesHeader,
    MissingLast,
    RequestMissing,
    SyncRequest,
)
from dispersy.protocol.holdings import (
    ID_SIZE,
    KEY_SIZE,
    SCAN_CHUNK,
    Holdings,
    MessageHoldings,
    ids_of,
    key_after,
    order_key_at,
    order_keys_of,
)
from dispersy.protocol.identifiers import ORDER_LOW, OrderKey
from dispersy.protocol.numbers import ControlKind
from dispersy.protocol.summary import Summary

ENVELOPE_SIZE_MAX = 82
"""Frame header, number, flags, two bounds, summary."""
AREA_SIZE_MAX = FRAMES_SIZE_MAX - ENVELOPE_SIZE_MAX
LOOK_MIN = 32
MESSAGES_PER_DATAGRAM = 6
"""Keys that are looked at first: what a budget holds of messages of some 200 bytes."""
READ_CHUNK = 128
"""Messages read at once: a budget that ends sooner has not paid for many more."""


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
        self._low = request.low
        self._budget = min(request.budget, budget_max)
        # Scanned up to _scanned_to; _wanted are still to be read, _read still to be packed, _packed to be
        # sent.
        self._scanned_to = request.low
        self._scan_count = 0
        self._scan_over = False
        self._look = max(LOOK_MIN, self._budget * MESSAGES_PER_DATAGRAM // 2)
        self._wanted: deque[tuple[OrderKey, int]] = deque()
        self._read_keys: list[OrderKey] = []
        self._read: list[bytes] = []
        self._packed: deque[tuple[bytes, OrderKey]] = deque()

    def step(self, datagrams: int) -> list[bytes]:
        """The bodies of up to so many messages frames more."""
        bodies: list[bytes] = []
        while not self.finished and len(bodies) < datagrams:
            bodies.append(self._next_body())
        return bodies

    def _next_body(self) -> bytes:
        while not self._packed:
            self._pack_more()
        area, high = self._packed.popleft()
        self._budget -= 1
        nothing_left = not self._packed and not self._read and not self._wanted and self._scan_over
        self.finished = nothing_left or self._budget == 0
        header = MessagesHeader(
            number=self._request.number,
            low=self._low,
            high=high,
            end_of_range=nothing_left and high == self._request.high,
            last=self.finished,
            summary=self._summary if self.finished else None,
        )
        self._low = high
        return header.encode() + area

    def _pack_more(self) -> None:
        """Read on until a datagram is full or nothing is left; an interval ends where the next begins."""
        while not self._wanted and not self._scan_over:
            self._scan_more()
        batch = [self._wanted.popleft() for _ in range(min(READ_CHUNK, len(self._wanted)))]
        self._read += self._holdings.messages([cursor for _, cursor in batch])
        self._read_keys += [key for key, _ in batch]
        over = self._scan_over and not self._wanted
        groups = wire.pack(self._read, AREA_SIZE_MAX) if self._read else []
        if over and not groups:
            self._packed.append((b"", self._scanned_to))
        done = 0
        for count, area in groups if over else groups[:-1]:
            done += count
            high = self._read_keys[done] if done < len(self._read_keys) else self._scanned_to
            self._packed.append((area, high))
        del self._read[:done], self._read_keys[:done]

    def _scan_more(self) -> None:
        # A first look as long as the budget, for without a filter all of it is wanted; then ever longer ones.
        self._look = min(SCAN_CHUNK, 2 * self._look)
        limit = min(self._look, SCAN_MAX - self._scan_count)
        keys, cursors, complete = self._holdings.scan(self._scanned_to, self._request.high, limit)
        count = len(keys) // KEY_SIZE
        self._scan_count += count
        if count:
            lacks = (
                b"\1" * count if self._filter is None else self._filter.missing_many(ids_of(keys), ID_SIZE)
            )
            self._wanted.extend(
                compress(zip(order_keys_of(keys), memoryview(cursors).cast("Q"), strict=True), lacks)
            )
        if complete:
            self._scanned_to = self._request.high
        else:
            self._scanned_to = key_after(order_key_at(keys, -1))
        self._scan_over = complete or self._scan_count >= SCAN_MAX


def answer_audit(request: AuditRequest, holdings: Holdings) -> Audit:
    """Count and sum of what we hold in the range; beyond SCAN_MAX one more is counted than was summed."""
    keys, _, complete = holdings.scan(request.low, request.high, SCAN_MAX)
    count = len(keys) // KEY_SIZE
    total = digest.sum_many(ids_of(keys), request.key) if count else 0
    return Audit(request.number, count if complete else count + 1, total)


def answer_missing(request: RequestMissing, definition: bytes) -> list[bytes]:
    """Bodies of the messages frames that answer; none where we know of nothing to give.

    definition   the newest definition message held, b"" while unknown; nothing else is asked for by name
    """
    wanted = request.wanted
    if not definition or not isinstance(wanted, MissingLast) or wanted.kind != ControlKind.DEFINITION:
        return []
    return pack_named(request, [definition])


def pack_named(request: RequestMissing, messages: Sequence[bytes]) -> list[bytes]:
    """Bodies of the messages frames that answer a request by name with these messages, as far as its budget
    reaches; one without messages says that we know of none."""
    areas = [area for _, area in wire.pack(list(messages), AREA_SIZE_MAX)] if messages else [b""]
    areas = areas[: min(request.budget, ANSWER_BUDGET_MAX)]
    bodies = []
    for index, area in enumerate(areas):
        last = index == len(areas) - 1
        header = MessagesHeader(number=request.number, low=ORDER_LOW, high=ORDER_LOW, last=last)
        bodies.append(header.encode() + area)
    return bodies
