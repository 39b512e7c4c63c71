"""The publisher: follows the log by its own cursor and publishes what applications have subscribed to.

A publication is a hint: XPUB drops at its high-water mark, so every header says the cursor of the one before
on its topic, a heartbeat says it each second for a tail that was lost, and who needs all follows by the
control socket. docs/interface.md describes what is sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from time import perf_counter
from typing import Any

import msgspec
import zmq

from dispersy.bus import frames as bus
from dispersy.bus.settings import RoleSettings
from dispersy.bus.sockets import NOTES_QUEUED_MAX, SentFrame, bound, connected, open_to_group, receive_all
from dispersy.errors import WireError
from dispersy.protocol.definitions.definition import Definition, accept_definition
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.intake.marks import ERASED, HIDDEN, payload_index
from dispersy.protocol.wire.message import MessageView, read_message
from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN, ControlKind
from dispersy.storage.blocklist import Blocklist
from dispersy.storage.store import CommunityRecord, EntryType, LogEntry, is_cut
from dispersy.workers.loop import Loop
from dispersy.workers.opening import joined, open_reader
from dispersy.workers.report import Reporter

ENTRIES_PER_TURN_MAX = 2_048
"""Fewer than may wait: whoever reads as fast as it comes must not lose any of one turn."""
EVENTS_QUEUED_MAX = 5_000
"""Events that may wait for one slow subscriber before its further ones are dropped: at most some 7 MB, which
all that are slow share, and 1 MB more for each."""
LARGE_EVENT_SIZE = 4_096
LARGE_EVENTS_SIZE_MAX = 32 << 20
"""Payloads from this size on are counted by their bytes: what ZeroMQ holds of them for subscribers that are
slow. Where that is too much the next is left out, as any event is for a subscriber whose queue is full."""
TOPICS_MAX = 1_024
"""Different subscriptions at once, of all subscribers; further ones are counted and get nothing."""
SUBSCRIPTION_SIZE_MAX = 1_024
"""Bytes of one frame of a subscriber; a topic has at most 98."""
HEARTBEAT_S = 1.0
HEARTBEATS_MAX = 1_024
"""Topics that get a heartbeat at once; where more are listened to, they take turns."""
NODE_TOPIC = b"node/"
"""What concerns the node's log as a whole."""
_CHANGES = {EntryType.DENIED: "denied", EntryType.RESTORED: "restored", EntryType.UNDONE: "undone"}


class PublisherRole:
    """Owns the `events` socket.

    prepare   what must be done to it before anybody can connect
    """

    name = "publisher"

    def __init__(
        self, settings: RoleSettings, prepare: Callable[[zmq.Socket[bytes]], object] | None = None
    ) -> None:
        self._settings = settings
        self._prepare = prepare
        self._reporter = Reporter("publisher", settings)
        self._topics: set[bytes] = set()
        self._previous: dict[bytes, int] = {}
        self._names: dict[int, tuple[bytes, Definition]] = {}
        self._loaded: dict[int, bytes] = {}
        """The definition message of each as it was last looked at: of all only what changed is news."""
        self._nameless: set[tuple[int, int]] = set()
        """Community and kind of what its definition was found not to name."""
        self._blocklist = Blocklist()
        self._communities_version = -1
        self._end = 0
        self._next = 0
        self._heartbeat_turn = 0
        self._large: deque[tuple[int, SentFrame]] = deque()
        self._large_size = 0

    def open(self, loop: Loop) -> None:
        self._loop = loop
        self._reader = open_reader(self._settings.store_path, start_id=self._settings.start_id)
        self._end = self._reader.last_cursor()
        self._next = self._end + 1
        self._load_communities()
        self.events_socket = bound(
            loop.context,
            zmq.XPUB,
            self._settings.socket("events"),
            queued_max=EVENTS_QUEUED_MAX,
            size_max=SUBSCRIPTION_SIZE_MAX,
            prepare=self._prepare,
        )
        open_to_group(self._settings.socket("events"), self._settings.group)
        self._notes = connected(
            loop.context,
            zmq.SUB,
            self._settings.socket("notes"),
            queued_max=NOTES_QUEUED_MAX,
            topics=(bus.COMMIT, bus.HEARD),
        )
        self._reporter.open(loop)
        loop.watch(self.events_socket, self._receive_subscriptions)
        loop.watch(self._notes, self._receive_notes)
        loop.every(HEARTBEAT_S, self._send_heartbeats)
        loop.flush(self._publish)

    def close(self) -> None:
        self._reader.close()

    def _receive_subscriptions(self) -> None:
        for parts in receive_all(self.events_socket, count_max=64):
            change, topic = parts[0][:1], parts[0][1:]
            if len(parts) != 1 or change not in (b"\x00", b"\x01"):
                self._reporter.counters["subscription-malformed"] += 1
            elif change == b"\x00":
                self._topics.discard(topic)
            elif len(self._topics) < TOPICS_MAX or topic in self._topics:
                self._topics.add(topic)
            else:
                self._reporter.counters["subscription-refused"] += 1

    def _receive_notes(self) -> None:
        for topic, *parts in receive_all(self._notes, count_max=64):
            if topic == bus.HEARD:
                for heard in bus.heard_decoder.decode(parts[1]):
                    self._publish_heard(bus.NUMBER.unpack(parts[0])[0], heard)
                continue
            note = bus.commit_decoder.decode(parts[0])
            self._end = max(self._end, note.last_cursor)
            if note.communities_version != self._communities_version:
                self._communities_version = note.communities_version
                self._load_communities()

    def _load_communities(self) -> None:
        self._nameless.clear()
        self._reader.refresh()
        try:
            self._read_communities()
        finally:
            self._reader.release()

    def _read_communities(self) -> None:
        self._blocklist = Blocklist(self._reader.blocked())
        records = joined(self._reader, self._settings.start_id)
        numbers = {record.number for record in records}
        self._names = {number: known for number, known in self._names.items() if number in numbers}
        self._loaded = {number: known for number, known in self._loaded.items() if number in numbers}
        for record in records:
            if record.definition and record.definition != self._loaded.get(record.number):
                self._loaded[record.number] = record.definition
                self._load_definition(record)

    def _load_definition(self, record: CommunityRecord) -> None:
        try:
            view = read_message(CommunityId(record.community_id), record.definition)
            definition = accept_definition(view.payloads[0])
        except WireError as error:
            # Stored by software that accepts more: as good as one that has not come.
            self._reporter.counters[error.reason] += 1
            return
        self._names[record.number] = (record.community_id.hex().encode(), definition)

    def _publish(self) -> None:
        if self._next > self._end:
            return
        if not self._topics:
            # Nobody listens: what is in the log needs no reading. What came before is then not known.
            self._previous.clear()
            self._next = self._end + 1
            return
        began = perf_counter()
        self._reader.refresh()
        try:
            entries = self._reader.log(self._next, ENTRIES_PER_TURN_MAX)
            # More may have been committed than the note told; what was read is not read again.
            self._end = self._reader.last_cursor()
            self._look_for_names(entries)
            for entry in entries:
                self._publish_entry(entry)
        finally:
            self._reader.release()
        if is_cut(entries, ENTRIES_PER_TURN_MAX):
            self._next = entries[-1].cursor + 1
            self._loop.again()
        else:
            self._next = self._end + 1
        self._reporter.step("publisher.publish", began, len(entries))

    def _look_for_names(self, entries: Sequence[LogEntry]) -> None:
        """Read the communities again where no definition that is known here names a kind: the note that tells
        of a newer one has not come yet.

        What was not found is looked for again when another definition has come. Else each turn would read
        everything for a kind that an older definition admits, and the current one does not name.
        """
        messages = {(e.community, e.message[0]) for e in entries if e.type == EntryType.MESSAGE}
        defined = {community for community, kind in messages if kind == ControlKind.DEFINITION}
        if defined:
            self._nameless = {each for each in self._nameless if each[0] not in defined}
        unknown = {each for each in messages - self._nameless if not self._is_named(*each)}
        if unknown:
            self._read_communities()
            self._nameless |= {each for each in unknown if not self._is_named(*each)}

    def _is_named(self, community: int, kind: int) -> bool:
        """Whether it is no application's kind, or the community's definition as it is known here names it."""
        if kind < COMMUNITY_KIND_MIN:
            return True
        known = self._names.get(community)
        return known is not None and known[1].kind_by_number(kind) is not None

    def _publish_entry(self, entry: LogEntry) -> None:
        if entry.type == EntryType.REMOVED:
            if self._is_listened_to(NODE_TOPIC):
                removed = {"event": "removed", "cursor": entry.cursor}
                self._send(NODE_TOPIC, removed, {"low": entry.message_cursor})
            return
        known = self._names.get(entry.community)
        if known is None or (entry.type == EntryType.MESSAGE and entry.marks & HIDDEN):
            return
        hex_id, definition = known
        stored = entry if entry.type == EntryType.MESSAGE else self._changed(entry)
        kind = definition.kind_by_number(stored.message[0]) if stored else None
        if stored is None or kind is None or self._blocklist.hides(entry.community, stored.message[2:34]):
            return
        topic = hex_id + b"/" + kind.name.encode() + b"/"
        if not self._is_listened_to(topic):
            return
        view = read_message(CommunityId(bytes.fromhex(hex_id.decode())), stored.message)
        if entry.type == EntryType.MESSAGE:
            for index, payload in enumerate(view.payloads):
                fields = {"index": index, **_written(view, entry.message_id), "arrival_ms": entry.arrival_ms}
                self._send(topic, {"event": "message", "cursor": entry.cursor + index}, fields, payload)
            return
        changed = {"event": _CHANGES[entry.type], "cursor": entry.cursor}
        fields = {
            **_written(view, entry.message_id),
            "message_cursor": entry.message_cursor,
            "reason": entry.reason,
        }
        one = payload_index(entry.reason)
        if one is not None:
            fields["index"] = one
        if entry.type == EntryType.RESTORED:
            # A subscriber may never have been sent it: what was hidden when it came was not published.
            payloads = [] if stored.marks & ERASED else list(view.payloads)
            fields["payloads"] = payloads if one is None else payloads[one : one + 1]
        self._send(topic, changed, fields)

    def _publish_heard(self, number: int, heard: bus.HeardMessage) -> None:
        """A message that is not stored: its cursor is 0, for it is in no log and is not sent again."""
        known = self._names.get(number)
        kind = known[1].kind_by_number(heard.message[0]) if known is not None else None
        if known is None or kind is None:
            return
        view = read_message(CommunityId(bytes.fromhex(known[0].decode())), heard.message)
        if view.author is not None and self._blocklist.hides(number, view.author):
            return
        topic = known[0] + b"/" + kind.name.encode() + b"/"
        if not self._is_listened_to(topic):
            return
        for index, payload in enumerate(view.payloads):
            fields = {"index": index, **_written(view, view.id), "arrival_ms": heard.arrival_ms}
            self._send(topic, {"event": "message", "cursor": 0}, fields, payload)

    def _changed(self, entry: LogEntry) -> LogEntry | None:
        """The message that a change is about; None where it is no longer kept."""
        if entry.type not in _CHANGES:
            return None
        try:
            return self._reader.entries([entry.message_cursor])[0]
        except KeyError:
            return None

    def _is_listened_to(self, topic: bytes) -> bool:
        """Whether somebody has subscribed; what is passed over is not known as the one before."""
        if any(topic.startswith(prefix) for prefix in self._topics):
            return True
        self._previous.pop(topic, None)
        return False

    def _send(
        self, topic: bytes, event: dict[str, Any], fields: dict[str, Any], payload: bytes = b""
    ) -> None:
        header = {**event, "previous": self._previous.get(topic, 0), **fields}
        if event["cursor"]:
            self._previous[topic] = event["cursor"]
        parts = [topic, msgspec.msgpack.encode(header), payload]
        if len(payload) < LARGE_EVENT_SIZE:
            self.events_socket.send_multipart(parts, zmq.NOBLOCK)
        elif self._has_room(len(payload)):
            tracker = self.events_socket.send_multipart(parts, zmq.NOBLOCK, copy=False, track=True)
            assert tracker is not None
            self._large.append((len(payload), tracker))
            self._large_size += len(payload)
        else:
            # The next event's `previous` tells of it, or the next heartbeat's.
            self._reporter.counters["events-left-out"] += 1

    def _has_room(self, size: int) -> bool:
        """Whether one more large payload may wait for slow subscribers."""
        while self._large and self._large[0][1].done:
            self._large_size -= self._large.popleft()[0]
        return self._large_size + size <= LARGE_EVENTS_SIZE_MAX

    def _send_heartbeats(self) -> None:
        """Tell on each topic that is listened to how far the log is published, and its last event."""
        topics = [topic for topic in self._topics_known() if self._is_listened_to(topic)]
        if not topics:
            return
        first = self._heartbeat_turn % len(topics)
        self._heartbeat_turn = first + HEARTBEATS_MAX
        for topic in islice(topics[first:] + topics[:first], HEARTBEATS_MAX):
            header = {
                "event": "heartbeat",
                "cursor": self._next - 1,
                "previous": self._previous.get(topic, 0),
            }
            self.events_socket.send_multipart([topic, msgspec.msgpack.encode(header), b""], zmq.NOBLOCK)

    def _topics_known(self) -> Iterator[bytes]:
        yield NODE_TOPIC
        for hex_id, definition in self._names.values():
            for kind in definition.kinds:
                yield hex_id + b"/" + kind.name.encode() + b"/"


def _written(view: MessageView, message_id: bytes) -> dict[str, Any]:
    """What an event's header tells of the message."""
    second = {"second_author": view.second_author} if view.second_author is not None else {}
    return {
        "author": view.author,
        **second,
        "global_time": view.global_time,
        "sequence": view.sequence,
        "message_id": message_id,
    }
