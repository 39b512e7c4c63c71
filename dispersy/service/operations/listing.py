"""Pages of a community's messages: filtered, in either order, from a place that the client hands back.

The node keeps nothing between two pages: `next` says where to go on. A page ends at the limit, at its size,
or when enough was looked at, so no filter, however rare what it asks for, holds the gateway up; then it may
be short, or empty, and still have a `next`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dispersy.errors import UsageError
from dispersy.protocol.identifiers import ORDER_TOP
from dispersy.protocol.intake.marks import HIDDEN
from dispersy.service.interface.directory import Directory
from dispersy.service.interface.requests import ListMessages
from dispersy.service.operations.stored import AUTHOR, described, headers
from dispersy.storage.store import EntryType, LogEntry, StoreReader, is_cut, on_request

EXAMINED_MAX = 4_096
"""Entries looked at for one page: some 20 ms."""
PORTION = 512
READ_AT_ONCE = 32
PAGE_SIZE_MAX = 256 * 1024
"""Bytes of messages after which a page ends: what one reply may cost while its client does not read."""
ORDER_KEY_SIZE = 24
CURSOR_SIZE = 8
CURSOR_MAX = (1 << 63) - 1
_PLACES = {
    ("global-time", "ascending"): b"t",
    ("global-time", "descending"): b"T",
    ("arrival", "ascending"): b"a",
    ("arrival", "descending"): b"A",
}
"""What a `next` begins with: one of another order would go on anywhere."""


@dataclass(frozen=True, slots=True)
class _Portion:
    """Entries as they follow each other, and of each its place, behind which the next portion begins."""

    entries: list[LogEntry]
    places: list[bytes]
    is_last: bool


Source = Callable[[bytes], _Portion]
"""The portion behind a place; an empty place is the beginning."""
Filter = Callable[[Sequence[LogEntry]], list[bool]]


@dataclass(slots=True)
class _Page:
    """What has been chosen, and the place behind all that was dealt with."""

    place: bytes
    limit: int
    chosen: list[LogEntry] = field(default_factory=list)
    size: int = 0
    examined: int = 0

    def take(self, portion: _Portion, wanted: Sequence[bool]) -> bool:
        """Choose what is wanted; False when there was no room for all of it."""
        for entry, place, is_wanted in zip(portion.entries, portion.places, wanted, strict=True):
            if is_wanted:
                if len(self.chosen) >= self.limit or self.size >= PAGE_SIZE_MAX:
                    return False
                self.chosen.append(entry)
                self.size += len(entry.message)
            self.place = place
        self.examined += len(portion.entries)
        return True


def list_messages(
    reader: StoreReader, directory: Directory, community: int, request: ListMessages, kinds: frozenset[int]
) -> dict[str, Any]:
    """The reply of `list`: messages, next.

    kinds     numbers of the kinds that are wanted
    raises    UsageError `malformed` for a `next` that is none of this order
    """
    by_time = request.by == "global-time"
    mark = _PLACES[request.by, request.order]
    place = request.next or b""
    if place and (place[:1] != mark or len(place) != 1 + (ORDER_KEY_SIZE if by_time else CURSOR_SIZE)):
        raise UsageError(
            "list: this `next` belongs to another order",
            code="malformed",
            hint="repeat the request that gave it, with nothing but `next` changed",
        )
    read = (_in_order if by_time else _in_log)(reader, community, request)
    fits = _filter(community, request, kinds, directory)
    page = _Page(place[1:], request.limit)
    is_over = False
    while page.examined < EXAMINED_MAX and not is_over:
        portion = read(page.place)
        if not page.take(portion, fits(portion.entries)):
            break
        is_over = portion.is_last
    return {
        "messages": described(page.chosen, directory, reader),
        "next": None if is_over else mark + page.place,
    }


def _filter(community: int, request: ListMessages, kinds: frozenset[int], directory: Directory) -> Filter:
    """Which of some entries are wanted; the cheap questions first."""

    def fits(entries: Sequence[LogEntry]) -> list[bool]:
        wanted = [
            entry.type == EntryType.MESSAGE
            and entry.community == community
            and entry.message[0] in kinds
            and (request.hidden or not entry.marks & HIDDEN)
            and (not request.author or entry.message[AUTHOR] == request.author)
            and not directory.hides(community, entry.message[AUTHOR])
            for entry in entries
        ]
        if request.by == "global-time":
            # The range of times is that of the scan.
            return wanted
        near = [entry.message for entry, is_wanted in zip(entries, wanted, strict=True) if is_wanted]
        times = iter([header.global_time for header in headers(near)])
        return [is_wanted and request.time_low <= next(times) <= request.time_high for is_wanted in wanted]

    return fits


def _in_order(reader: StoreReader, community: int, request: ListMessages) -> Source:
    """By (global time, id)."""
    lowest = request.time_low << 128
    # One below the top: a time of all ones would be no key.
    highest = min((request.time_high + 1) << 128, int.from_bytes(ORDER_TOP, "big"))
    rises = request.order == "ascending"

    def read(place: bytes) -> _Portion:
        low, high = lowest, highest
        if place and rises:
            # Keys are told apart by their first 24 bytes: behind one is the next number.
            low = max(low, int.from_bytes(place, "big") + 1)
        elif place:
            high = min(high, int.from_bytes(place, "big"))
        if low >= high:
            return _Portion([], [], is_last=True)
        scan = reader.scan if rises else reader.scan_back
        bounds = (low.to_bytes(ORDER_KEY_SIZE, "big"), high.to_bytes(ORDER_KEY_SIZE, "big"))
        parts = [scan(part, *bounds, PORTION) for part in (community, on_request(community))]
        # Behind the end of a part that goes on the other may have some before what this one has there.
        rows = sorted((row for keys, found, _ in parts for row in _rows(keys, found)), reverse=not rises)
        is_last = all(part[2] for part in parts) and len(rows) <= PORTION
        places, cursors = [place for place, _ in rows[:PORTION]], [cursor for _, cursor in rows[:PORTION]]
        # Large ones fill a page soon, and many at once would fill the memory.
        entries: list[LogEntry] = []
        for at in range(0, len(places), READ_AT_ONCE):
            if sum(len(entry.message) for entry in entries) >= PAGE_SIZE_MAX:
                return _Portion(entries, places[:at], is_last=False)
            entries += reader.entries(cursors[at : at + READ_AT_ONCE])
        return _Portion(entries, places, is_last)

    return read


def _rows(keys: bytes, cursors: bytes) -> Iterator[tuple[bytes, int]]:
    """Order keys and cursors of what a scan gave."""
    places = (keys[at : at + ORDER_KEY_SIZE] for at in range(0, len(keys), 40))
    return zip(places, array("Q", cursors), strict=True)


def _in_log(reader: StoreReader, _: int, request: ListMessages) -> Source:
    """By cursor."""
    rises = request.order == "ascending"

    def read(place: bytes) -> _Portion:
        if rises:
            # A place is what a client says it is: any 8 bytes.
            first = min(int.from_bytes(place, "big"), CURSOR_MAX) + 1
            entries = reader.log(first, PORTION, size_max=PAGE_SIZE_MAX)
        else:
            behind = int.from_bytes(place, "big") if place else reader.last_cursor() + 1
            entries = reader.log_back(behind, PORTION, size_max=PAGE_SIZE_MAX)
        places = [entry.cursor.to_bytes(CURSOR_SIZE, "big") for entry in entries]
        return _Portion(entries, places, not is_cut(entries, PORTION, size_max=PAGE_SIZE_MAX))

    return read
