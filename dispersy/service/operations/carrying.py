"""Operations for carriage by file (docs/bundle.md): messages out in pages, and in again in portions.

The node keeps nothing between two of them: whoever carries a million messages asks some thousand times.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dispersy.errors import UsageError
from dispersy.protocol.identifiers import ORDER_TOP, CommunityId, MessageId, order_key
from dispersy.protocol.wire.message import read_message
from dispersy.protocol.wire.stripped import Stripped
from dispersy.service.interface import requests
from dispersy.service.interface.orders import Orders
from dispersy.service.interface.view import View
from dispersy.service.operations.listing import CURSOR_MAX, CURSOR_SIZE, ORDER_KEY_SIZE, PAGE_SIZE_MAX
from dispersy.storage.store import CommunityRecord, EntryType, StoreReader, is_cut

KEYS_PER_PAGE_MAX = 16_384
"""Of the order that are looked at for one page: some 20 ms. Those that are not wanted are not read."""
ENTRIES_PER_PAGE_MAX = 4_096
"""Of the log that are looked at for one page."""
MESSAGES_PER_READ = 64
_IN_ORDER, _RESTORED = b"o", b"r"
"""What a `next` begins with: messages by global time; those that count again since."""
ORDER_END = int.from_bytes(ORDER_TOP, "big")


@dataclass(slots=True)
class _Page:
    """What one reply carries, and the place behind it."""

    messages: list[bytes] = field(default_factory=list)
    stripped: list[bytes] = field(default_factory=list)
    size: int = 0
    next: bytes | None = None

    @property
    def is_full(self) -> bool:
        return self.size >= PAGE_SIZE_MAX

    def add(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            (self.stripped if isinstance(message, Stripped) else self.messages).append(bytes(message))
            self.size += len(message)


class Carrying:
    """export and import."""

    def __init__(self, view: View, orders: Orders) -> None:
        self._view = view
        self._orders = orders

    def export(self, _: bytes, request: requests.Export) -> dict[str, Any]:
        """A page of what counts: by global time, then what counts again since the cursor and is older."""
        reader = self._view.store()
        record = self._view.directory.resolve(request.community)
        last = reader.last_cursor()
        if request.since > last:
            raise UsageError(
                f"since {request.since}: this node's log ends at {last}",
                code="cursor-ahead",
                hint="cursors are those of the node that printed them; export everything, without since",
            )
        until = last if request.until is None else request.until
        mark, place = (request.next or _IN_ORDER)[:1], (request.next or b"")[1:]
        if len(place) not in (0, ORDER_KEY_SIZE if mark == _IN_ORDER else CURSOR_SIZE):
            raise UsageError("export: no export gave this `next`", code="malformed", hint="begin again")
        page = _Page()
        if mark == _IN_ORDER:
            _add_in_order(page, reader, record, place, request.since, until)
        else:
            _add_restored(page, reader, record, place, request.since, until)
        return {
            "community": record.community_id,
            "definition": record.definition,
            "until": until,
            "messages": page.messages,
            "stripped": page.stripped,
            "next": page.next,
        }

    def take(self, client: bytes, request: requests.Import) -> None:
        """A portion of a file goes the way of what neighbours send; the reply comes when it is decided."""
        self._view.store()
        record = self._view.directory.resolve(request.community)
        if not record.loaded:
            raise UsageError(
                f"{self._view.directory.name(record)} is not loaded",
                code="community-unloaded",
                hint="load it: `dispersy community load`",
            )
        order = {
            "op": "import",
            "community": record.number,
            "payloads": request.messages,
            "stripped": request.stripped,
        }
        self._orders.place(client, request.id, order, repeatable=True)


def _add_in_order(
    page: _Page, reader: StoreReader, record: CommunityRecord, place: bytes, since: int, until: int
) -> None:
    # One below the top at most: a client may name any place, and behind the last there is nothing.
    low = min(int.from_bytes(place, "big") + 1, ORDER_END) if place else 0
    keys, cursors, is_last = reader.scan(
        record.number, low.to_bytes(ORDER_KEY_SIZE, "big"), ORDER_TOP, KEYS_PER_PAGE_MAX
    )
    wanted = [(index, cursor) for index, cursor in enumerate(array("Q", cursors)) if since < cursor <= until]
    for at in range(0, len(wanted), MESSAGES_PER_READ):
        portion = wanted[at : at + MESSAGES_PER_READ]
        page.add(reader.messages([cursor for _, cursor in portion]))
        if page.is_full and at + MESSAGES_PER_READ < len(wanted):
            last = portion[-1][0]
            page.next = _IN_ORDER + keys[40 * last : 40 * last + ORDER_KEY_SIZE]
            return
    if not is_last:
        page.next = _IN_ORDER + keys[-40 : -40 + ORDER_KEY_SIZE]
    elif since:
        # Denied when the bundle before was made, they were not in it, and their cursors are older.
        page.next = _RESTORED + since.to_bytes(CURSOR_SIZE, "big")


def _add_restored(
    page: _Page, reader: StoreReader, record: CommunityRecord, place: bytes, since: int, until: int
) -> None:
    at = min(int.from_bytes(place, "big"), CURSOR_MAX)
    entries = reader.log(at + 1, ENTRIES_PER_PAGE_MAX)
    for entry in entries:
        if entry.cursor > until:
            return
        if page.is_full:
            break
        at = entry.cursor
        is_restored = entry.type == EntryType.RESTORED and entry.community == record.number
        if is_restored and entry.message_cursor <= since and _counts(reader, record, entry.message_cursor):
            page.add(reader.messages([entry.message_cursor]))
    if page.is_full or is_cut(entries, ENTRIES_PER_PAGE_MAX):
        page.next = _RESTORED + at.to_bytes(CURSOR_SIZE, "big")


def _counts(reader: StoreReader, record: CommunityRecord, cursor: int) -> bool:
    """Whether what was restored stands in the order: it may have been denied once more, or have become too
    old, and be gone since; and what is on request neighbours are not offered either."""
    try:
        (entry,) = reader.entries([cursor])
    except KeyError:
        return False
    view = read_message(CommunityId(record.community_id), entry.message)
    low = order_key(view.global_time, MessageId(entry.message_id))
    _, cursors, _ = reader.scan(record.number, low, ORDER_TOP, 1)
    return array("Q", cursors).tolist() == [cursor]
