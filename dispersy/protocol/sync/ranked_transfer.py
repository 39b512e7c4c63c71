"""A transfer of certain kinds, in their order.

Downwards is upwards in a mirror: towards its owner and the neighbour it speaks of order keys as they are, and
inside of what they are to the highest one. So that what is asked for, cut, lost and asked again is the same
code as in any other transfer.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from dispersy.constants import PULL_GAPS_MAX, SCAN_MAX, SELECTED_SCAN_MAX
from dispersy.protocol.holdings import (
    SCAN_CHUNK,
    MessageHoldings,
    first_key_of,
    key_after,
    order_key_at,
    packed_keys_of,
    time_of,
)
from dispersy.protocol.identifiers import ORDER_TOP, OrderKey
from dispersy.protocol.sync.filtered_request import filter_capacity, make_filter
from dispersy.protocol.sync.gaps import Range
from dispersy.protocol.sync.outline import Outline
from dispersy.protocol.sync.transfer import Answered, Coverage, Transfer
from dispersy.protocol.wire.frames import SyncRequest
from dispersy.protocol.wire.packing import ORDER_KEY_SIZE
from dispersy.protocol.wire.selection import Order, Selection

EMPTY_PORTIONS_MAX = SCAN_MAX * 20 // SELECTED_SCAN_MAX
"""In a row: among two million messages of other kinds one of these may be the last."""
READ_AT_ONCE = 32
_TIME_END = 1 << 64
_TOP = int.from_bytes(ORDER_TOP, "big")


class RankedTransfer(Transfer):
    """What of `wanted` a source has of these kinds and we lack, in their order.

    highest   global time of the source's newest message, as it says
    expected  messages of these kinds; None: nobody knows, and the first answer tells how dense they are
    """

    empty_answers_max = EMPTY_PORTIONS_MAX

    def __init__(self, selection: Selection, *, wanted: Range, highest: int, expected: int | None) -> None:
        first = max(2, time_of(wanted[0]))
        if selection.order is Order.DESCENDING:
            self._begin, self._behind = _TIME_END - 1 - highest, _TIME_END - first
        else:
            self._begin, self._behind = time_of(wanted[0]), highest + 1
        is_known = expected is not None and self._begin < self._behind
        super().__init__(Outline([(self._begin, self._behind, expected or 0)] if is_known else []))
        self._is_known = is_known
        self._selection = selection
        self._mirrors = selection.order is Order.DESCENDING
        self.add(self._seen(wanted))

    def leave(self) -> None:
        """Ask for nothing more."""
        self._todo.clear()

    def receive(self, *, number: int, flags: int, low: OrderKey, high: OrderKey, count: int) -> Coverage:
        low, high = self._seen((low, high))
        return super().receive(number=number, flags=flags, low=low, high=high, count=count)

    def close(self, number: int, *, learns: bool = True) -> Answered:
        asked = self._asked[number]
        low, stop = asked.range[0], max((end for _, end in asked.covered), default=asked.range[0])
        answered = super().close(number, learns=learns)
        if not self._is_known and answered.count:
            self._is_known = True
            reached = time_of(stop)
            span, rest = reached - max(self._begin, time_of(low)), self._behind - reached
            if span > 0 and rest > 0:
                self._outline = Outline([(reached, self._behind, answered.count * rest // span + 1)])
        return answered

    def _is_held(self, holdings: MessageHoldings, low: OrderKey) -> bool:  # noqa: ARG002
        return False

    def _describe(
        self,
        *,
        holdings: MessageHoldings,
        wanted: Range,
        number: int,
        budget: int,
        error_rate: float,
        rng: Random,
    ) -> tuple[SyncRequest, Range]:
        beside = len(self._selection.encode())
        capacity = filter_capacity(error_rate, coded=False, beside=beside)
        ids, (low, high) = self._held_in(holdings, self._seen(wanted), capacity)
        salt, hash_count, bits = make_filter(ids, error_rate=error_rate, rng=rng, beside=beside)
        request = SyncRequest(
            number=number,
            budget=budget,
            low=low,
            high=high,
            selection=self._selection,
            salt=salt,
            hash_count=hash_count,
            filter=bits,
        )
        return request, self._seen((low, high))

    def _held_in(self, holdings: MessageHoldings, wanted: Range, capacity: int) -> tuple[bytes, Range]:
        """Ids that are held of these kinds, and so much of the range, from its front, as they are all of."""
        low, high = wanted
        ids: list[bytes] = []
        examined = 0
        for keys, cursors, rest in self._portions(holdings, wanted):
            examined += len(cursors)
            for key in self._of_kinds(holdings, keys, cursors):
                if len(ids) == capacity:
                    edge = OrderKey(key[:ORDER_KEY_SIZE])
                    return b"".join(ids), (key_after(edge), high) if self._mirrors else (low, edge)
                ids.append(key[8:])
            if examined >= SELECTED_SCAN_MAX and rest[0] < rest[1]:
                return b"".join(ids), (rest[1], high) if self._mirrors else (low, rest[0])
        return b"".join(ids), (low, high)

    def _portions(
        self, holdings: MessageHoldings, wanted: Range
    ) -> Iterator[tuple[list[bytes], list[int], Range]]:
        """Packed keys and cursors of what is held, and the range behind them."""
        low, high = wanted
        complete = False
        while not complete and low < high:
            scan = holdings.scan_back if self._mirrors else holdings.scan
            keys, cursors, complete = scan(low, high, SCAN_CHUNK)
            if complete:
                low = high
            elif self._mirrors:
                high = order_key_at(keys, -1)
            else:
                low = key_after(order_key_at(keys, -1))
            yield list(packed_keys_of(keys)), list(memoryview(cursors).cast("Q")), (low, high)

    def _of_kinds(self, holdings: MessageHoldings, keys: list[bytes], cursors: list[int]) -> Iterator[bytes]:
        kinds = self._selection.kinds
        if not kinds:
            yield from keys
            return
        # Of what is still being fetched, under cursor 0, nobody knows the kind.
        rows = [row for row in zip(keys, cursors, strict=True) if row[1]]
        for first in range(0, len(rows), READ_AT_ONCE):
            part = rows[first : first + READ_AT_ONCE]
            messages = holdings.messages([cursor for _, cursor in part])
            yield from (key for (key, _), message in zip(part, messages, strict=True) if message[0] in kinds)

    def _wanted_datagrams(
        self, left: float, budget: int, room: int, budget_max: int, *, is_held: bool
    ) -> float:
        # By lot the next request begins elsewhere: the more one brings, the fewer there are.
        budget = room if self._selection.order is Order.RANDOM else budget
        return super()._wanted_datagrams(left, budget, room, budget_max, is_held=is_held)

    def _take_next(self, datagrams: int, rng: Random) -> Range:
        """In random order a piece of what is left, about as large as one request brings."""
        if self._selection.order is not Order.RANDOM:
            return self._todo.pop(0)
        low, high = self._todo.pop(rng.randrange(len(self._todo)))
        begin, behind = max(self._begin, time_of(low)), min(self._behind, time_of(high))
        pieces = round(self._outline.expected(low, high) / (datagrams * self.per_datagram))
        if pieces > 1 and begin < behind and len(self._todo) < PULL_GAPS_MAX // 2:
            middle = first_key_of(begin + rng.randrange(pieces) * (behind - begin) // pieces)
            if low < middle < high:
                self._todo.insert(0, (low, middle))
                low = middle
        return low, high

    def _seen(self, part: Range) -> Range:
        """A range as it is inside, or one of these as it is."""
        return (_mirrored(part[1]), _mirrored(part[0])) if self._mirrors else part


def _mirrored(key: OrderKey) -> OrderKey:
    return OrderKey((_TOP - int.from_bytes(key, "big")).to_bytes(ORDER_KEY_SIZE, "big"))
