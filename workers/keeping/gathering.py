"""Batch windows: messages of a kind that has one wait for company before the writer decides them.

Those received and the publish requests of one community and kind end their wait together, a window after the
first of them, in the order in which they came. So a burst of small messages becomes one transaction, one
summary and one nudge to the neighbours.

All of it is in memory. A writer that dies loses what was received, and synchronisation brings it back; a
publish request is answered only once it is durable, and until then whoever asked repeats it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from dispersy.ext import rows
from dispersy.protocol.wire.records import MESSAGE

GATHERED_SIZE_MAX = 8 << 20
"""Bytes that wait in all; then everything ends its wait early. A window is worth no more memory."""
JOINED_SIZE_MAX = 4 << 20
"""Some 20,000 messages: with more the price of a batch is nothing, and memory is needed twice."""
KIND_OFFSET = 26
ID_OFFSET = 32
"""Of these fields in a message_record."""

Order = TypeVar("Order")


@dataclass(frozen=True, slots=True)
class Received:
    """Verified messages of one community: message_records and the arena that they point into."""

    number: int
    count: int
    records: bytes
    arena: bytes


def joined(received: Iterable[Received]) -> Iterator[Received]:
    """Those of one community that follow one another as one: each has a price of its own, in deciding and in
    the store. At most JOINED_SIZE_MAX bytes are copied into one."""
    part: list[Received] = []
    size = 0
    for each in received:
        if part and (each.number != part[0].number or size + len(each.arena) > JOINED_SIZE_MAX):
            yield _as_one(part)
            part, size = [], 0
        part.append(each)
        size += len(each.arena)
    if part:
        yield _as_one(part)


def _as_one(part: list[Received]) -> Received:
    if len(part) == 1:
        return part[0]
    records, arena = rows.joined([(each.records, each.arena) for each in part])
    return Received(part[0].number, sum(each.count for each in part), records, arena)


@dataclass(slots=True)
class _Window(Generic[Order]):
    """What waits of one community and kind."""

    due: float
    items: list[Received | Order] = field(default_factory=list)
    ids: set[bytes] = field(default_factory=set)
    size: int = 0


class Gathering(Generic[Order]):
    """One a writer.

    windows  of a community's number: kind -> milliseconds, of the kinds that have one
    """

    def __init__(
        self, windows: Callable[[int], Mapping[int, int]], *, size_max: int = GATHERED_SIZE_MAX
    ) -> None:
        self._windows = windows
        self._size_max = size_max
        self._open: dict[tuple[int, int], _Window[Order]] = {}
        self._size = 0

    def receive(
        self, number: int, announced: int, records: bytes, arena: bytes, now: float
    ) -> tuple[int, bytes]:
        """Keep what has a window; how many of `announced` are dealt with now, and the records that go on."""
        windows = self._windows(number)
        kinds = records[KIND_OFFSET :: MESSAGE.size]
        if not windows or windows.keys().isdisjoint(kinds):
            return announced, records
        going_on: list[bytes] = []
        waiting: dict[int, list[bytes]] = {}
        for index, kind in enumerate(kinds):
            record = records[index * MESSAGE.size : (index + 1) * MESSAGE.size]
            if kind in windows:
                waiting.setdefault(kind, []).append(record)
            else:
                going_on.append(record)
        for kind, found in waiting.items():
            window = self._window(number, kind, windows[kind], now)
            # What waits is in no store yet, so that neighbours are asked for it again and may send it twice.
            fresh = {record[ID_OFFSET : ID_OFFSET + 32]: record for record in found}
            new = [record for message_id, record in fresh.items() if message_id not in window.ids]
            if new:
                window.ids.update(record[ID_OFFSET : ID_OFFSET + 32] for record in new)
                # What was pushed was announced to nobody, and must not be accounted for as if it had been.
                accounted = min(announced, len(new))
                self._add(window, Received(number, accounted, b"".join(new), arena), len(arena))
                announced -= accounted
        return announced, b"".join(going_on)

    def hold(self, number: int, kind: int, order: Order, size: int, now: float) -> bool:
        """Keep a publish request, of so many bytes, if its kind has a window; whether it waits."""
        windows = self._windows(number)
        if kind not in windows:
            return False
        self._add(self._window(number, kind, windows[kind], now), order, size)
        return True

    def next_deadline(self) -> float | None:
        """When the next window ends; at once when too much waits."""
        if self._size > self._size_max:
            return 0.0
        return min((window.due for window in self._open.values()), default=None)

    def release(self, now: float) -> list[Received | Order]:
        """What has waited long enough; everything when too much waits."""
        is_full = self._size > self._size_max
        due = sorted((window.due, key) for key, window in self._open.items() if is_full or window.due <= now)
        released: list[Received | Order] = []
        for _, key in due:
            window = self._open.pop(key)
            self._size -= window.size
            released += window.items
        return released

    def _window(self, number: int, kind: int, window_ms: int, now: float) -> _Window[Order]:
        window = self._open.get((number, kind))
        if window is None:
            window = self._open[number, kind] = _Window(now + window_ms / 1000)
        return window

    def _add(self, window: _Window[Order], item: Received | Order, size: int) -> None:
        window.items.append(item)
        window.size += size
        self._size += size
