"""A follow: one ordered stream of log entries to one client, stored then live, within its credit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

import msgspec

from dispersy.ext.wire import split_payloads
from dispersy.protocol.intake.marks import HIDDEN, payload_index
from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN
from dispersy.service.interface.directory import Directory
from dispersy.service.interface.event import Event
from dispersy.service.interface.requests import CREDIT_MAX, INTERFACE_VERSION, RequestId
from dispersy.service.operations.stored import AUTHOR, Header, headers, payloads_of
from dispersy.storage.store import EntryType, LogEntry, StoreReader

ENTRIES_PER_READ = 128
READ_SIZE_MAX = 256 << 10
"""Bytes of messages read at once: what a follow holds for a client that does not read."""
READS_PER_TURN_MAX = 8
"""A follow that filters nearly everything out gives way to the others after this many reads."""
EVENTS_PENDING_MAX = CREDIT_MAX
"""Events that wait for credit, from which on those of what is not stored are left out: the log waits, but
these would have to be kept."""
HEARTBEAT_S = 10.0
"""An idle follow says caught-up this often: only a send shows that a client is gone."""
_NAMES = {EntryType.DENIED: "denied", EntryType.RESTORED: "restored", EntryType.UNDONE: "undone"}

_encode = msgspec.msgpack.Encoder().encode
Send = Callable[[bytes], bool]
"""Takes one frame for the client; False: not now, keep it."""


@dataclass(slots=True, eq=False)
class Follow:
    """Where one client's stream stands.

    communities  community numbers, None for all
    kinds        kind names, empty for all
    position     everything up to this cursor has been sent, queued or left out
    credit       events that may still be sent
    aligned      whether position is known to be an entry's end
    """

    id: RequestId
    communities: frozenset[int] | None
    kinds: frozenset[str]
    position: int
    credit: int
    aligned: bool
    pending: deque[bytes] = field(default_factory=deque)
    caught_up: bool = False
    said_at: float = field(default_factory=monotonic)

    def grant(self, count: int) -> None:
        self.credit = min(self.credit + count, CREDIT_MAX)

    def hear(self, number: int, event: Event) -> bool:
        """Queue an event of what is in no log, if it is wanted; False: too much waits, and it is missed."""
        if (self.communities is not None and number not in self.communities) or (
            self.kinds and event.kind not in self.kinds
        ):
            return True
        if len(self.pending) >= EVENTS_PENDING_MAX:
            return False
        self.pending.append(_encode(msgspec.structs.replace(event, id=self.id)))
        return True

    def pump(self, reader: StoreReader, directory: Directory, send: Send) -> bool:
        """Send what credit and the log allow; True when this turn's share was used up and more is there."""
        for _ in range(READS_PER_TURN_MAX):
            while self.pending and self.credit:
                if not send(self.pending[0]):
                    return False
                self.pending.popleft()
                self.credit -= 1
                self.said_at = monotonic()
            if self.pending:
                return False
            if self.position >= reader.last_cursor():
                if not self.caught_up:
                    self._say_caught_up(send)
                return False
            self._read(reader, directory)
        return True

    def heartbeat(self, send: Send) -> None:
        """Say caught-up again when nothing was said for a while."""
        if self.caught_up and not self.pending and monotonic() - self.said_at >= HEARTBEAT_S:
            self._say_caught_up(send)

    def _say_caught_up(self, send: Send) -> None:
        self.caught_up = send(_encode(Event(INTERFACE_VERSION, self.id, "caught-up", self.position)))
        self.said_at = monotonic()

    def _read(self, reader: StoreReader, directory: Directory) -> None:
        first = self.position + 1
        if not self.aligned:
            # A message is kept under the cursor of its first payload, so one that began before the position
            # may have payloads after it: only where a client resumed in its middle, as we move on by whole
            # entries.
            first = next((before.cursor for before in reader.log_back(first, 1)), first)
        entries = reader.log(first, ENTRIES_PER_READ, size_max=READ_SIZE_MAX)
        self.aligned = True
        wanted = [
            entry
            for entry in entries
            if (self.communities is None or entry.community in self.communities)
            and not directory.hides(entry.community, entry.message[AUTHOR])
        ]
        shown = [e for e in wanted if e.type == EntryType.MESSAGE and not e.marks & HIDDEN]
        parsed = dict(zip((e.cursor for e in shown), headers([e.message for e in shown]), strict=True))
        for entry in wanted:
            if entry.cursor in parsed:
                self._queue_message(entry, parsed[entry.cursor], reader, directory)
            elif entry.type != EntryType.MESSAGE and entry.cursor > self.position:
                self._queue_change(entry, reader, directory)
        self.position = max(self.position, _end(entries) if entries else reader.last_cursor())

    def _queue_message(
        self, entry: LogEntry, header: Header, reader: StoreReader, directory: Directory
    ) -> None:
        kind = directory.kind_name(entry.community, header.kind)
        if not kind and header.kind >= COMMUNITY_KIND_MIN:
            # The snapshot can be newer than the note that a definition has come.
            directory.update(reader)
            kind = directory.kind_name(entry.community, header.kind)
        if not kind or (self.kinds and kind not in self.kinds):
            return
        community_id = directory.community_id(entry.community)
        for index, payload in enumerate(split_payloads(entry.message)):
            cursor = entry.cursor + index
            if cursor <= self.position:
                continue
            event = Event(
                INTERFACE_VERSION,
                self.id,
                "message",
                cursor,
                community=community_id,
                kind=kind,
                author=header.author,
                second_author=header.second_author,
                global_time=header.global_time,
                sequence=header.sequence,
                index=index,
                message_id=entry.message_id,
                payload=payload,
                arrival_ms=entry.arrival_ms,
            )
            self.pending.append(_encode(event))

    def _queue_change(self, entry: LogEntry, reader: StoreReader, directory: Directory) -> None:
        if entry.type == EntryType.REMOVED:
            removed = Event(INTERFACE_VERSION, self.id, "removed", entry.cursor, low=entry.message_cursor)
            self.pending.append(_encode(removed))
            return
        name = _NAMES.get(entry.type)
        if name is None:
            return
        try:
            (stored,) = reader.entries([entry.message_cursor])
        except KeyError:
            # It was old, and is gone: the marker where it stood says so.
            return
        (header,) = headers([stored.message])
        if directory.hides(entry.community, header.author):
            return
        kind = directory.kind_name(entry.community, header.kind)
        if not kind or (self.kinds and kind not in self.kinds):
            return
        index = payload_index(entry.reason)
        payloads = None
        if entry.type == EntryType.RESTORED:
            # A follower may never have been shown it: hidden messages are left out of a replay.
            payloads = payloads_of(stored)
            payloads = payloads if index is None else payloads[index : index + 1]
        event = Event(
            INTERFACE_VERSION,
            self.id,
            name,
            entry.cursor,
            community=directory.community_id(entry.community),
            kind=kind,
            author=header.author,
            second_author=header.second_author,
            global_time=header.global_time,
            sequence=header.sequence,
            index=index,
            message_id=entry.message_id,
            message_cursor=entry.message_cursor,
            reason=entry.reason,
            payloads=payloads,
        )
        self.pending.append(_encode(event))


def _end(entries: Sequence[LogEntry]) -> int:
    """The last cursor that these entries cover."""
    last = entries[-1]
    if last.type != EntryType.MESSAGE:
        return last.cursor
    return last.cursor + len(split_payloads(last.message)) - 1
