"""Goal: what is published is published once, as docs/interface.md says, whatever subscribers send."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from dispersy.bus.frames import COMMIT, CommitNote, encode
from dispersy.bus.settings import RoleSettings
from dispersy.bus.sockets import bound
from dispersy.ext.digest import identify_many
from dispersy.ext.verify import public_key
from dispersy.ext.wire import DROP_REASONS, encode_message, pack, parse_messages
from dispersy.protocol.definitions.definition import (
    Definition,
    accept_definition,
    default_definition,
    encode_definition,
)
from dispersy.protocol.definitions.kind import Kind
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.wire.message import NO_PREVIOUS, create_message
from dispersy.protocol.wire.numbers import MessageFlag
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import (
    Batch,
    BlockedRecord,
    CommunityRecord,
    EntryType,
    EventEntry,
    MessageBlock,
)
from dispersy.workers import publisher
from dispersy.workers.publisher import TOPICS_MAX, PublisherRole
from tests.sockets import bounded_context

SEED = bytes(range(32))
AUTHOR = public_key(SEED)
CHAT = CommunityId(AUTHOR)
NUMBER = 3
TOPIC = CHAT.hex().encode() + b"/text/"
INTERFACE = Path(__file__).parents[2] / "docs" / "interface.md"
LIMIT_MS = 30_000


class UnreadEvent:
    """What tells when ZeroMQ has let go of a frame."""

    done = False


@dataclass(frozen=True, slots=True)
class ReceivedFrame:
    """One part of what came."""

    bytes: bytes
    more: bool


class FakeSocket:
    """What a role receives from it, and what the role sent."""

    def __init__(self) -> None:
        self.waiting: deque[list[bytes]] = deque()
        self.sent: list[list[bytes]] = []

    def getsockopt(self, option: int) -> int:
        assert option == zmq.EVENTS
        return int(zmq.POLLIN) if self.waiting else 0

    def recv(self, _: int, *, copy: bool) -> ReceivedFrame:
        assert not copy
        part, *others = self.waiting.popleft()
        if others:
            self.waiting.appendleft(others)
        return ReceivedFrame(part, bool(others))

    def send_multipart(
        self, parts: list[bytes], _: int, *, copy: bool = True, track: bool = False
    ) -> UnreadEvent | None:
        assert copy is not track
        self.sent.append(parts)
        self.unread = UnreadEvent() if track else None
        return self.unread


class House:
    """A publisher over a store that the test writes; `hear` tells it how far the log goes."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.events, self.notes = FakeSocket(), FakeSocket()
        self.role = PublisherRole(RoleSettings("", "", "", 1))
        self.role._reader = self.store  # type: ignore[assignment]
        self.role.events_socket = self.events  # type: ignore[assignment]
        self.role._notes = self.notes  # type: ignore[assignment]
        self.role._next = 1
        self._version = 0
        self._sequence = 0

    def join(self, number: int, community_id: CommunityId, definition: bytes) -> None:
        message = self._message(community_id, 0, [definition])
        self._version += 1
        self.store.commit(Batch(communities=[CommunityRecord(number, community_id, "", AUTHOR, message)]))

    def publish(self, *groups: list[bytes]) -> int:
        """Commit messages; the log's end."""
        return self.store_all([self._message(CHAT, 64, payloads) for payloads in groups])

    def store_all(self, messages: list[bytes]) -> int:
        """Commit these; the log's end."""
        ((_, area),) = pack(messages, 1 << 20)
        records = parse_messages(area, bytearray(4 * len(DROP_REASONS)))
        identify_many(records, area, CHAT)
        block = MessageBlock(NUMBER, bytes(records), area, bytes(len(messages)), 1_000)
        return self.store.commit(Batch(blocks=[block]))[1]

    def _message(self, community_id: CommunityId, kind: int, payloads: list[bytes]) -> bytes:
        self._sequence += 1
        return create_message(
            community_id,
            SEED + AUTHOR,
            kind=kind,
            global_time=self._sequence,
            sequence=self._sequence,
            payloads=payloads,
            previous=None if kind else NO_PREVIOUS,
        )

    def hear(self, last_cursor: int) -> None:
        self.notes.waiting.append([COMMIT, encode(CommitNote(last_cursor, self._version, {}, {}))])
        self.role._receive_notes()
        self.role._publish()

    def subscribe(self, *frames: list[bytes]) -> None:
        self.events.waiting.extend(frames)
        while self.events.waiting:
            self.role._receive_subscriptions()

    def headers(self) -> list[dict[str, Any]]:
        return [msgspec.msgpack.decode(header) for _, header, _ in self.events.sent]


@pytest.fixture
def house() -> House:
    made = House()
    made.join(NUMBER, CHAT, encode_definition(default_definition("chat")))
    made.hear(0)
    return made


def test_what_was_committed_after_the_note_is_published_once(house: House) -> None:
    """The log is read as far as it goes, which may be further than the note told."""
    house.subscribe([b"\x01" + TOPIC])
    early = house.publish([b"a"])
    late = house.publish([b"b", b"c"])
    house.hear(early)
    house.hear(late)
    assert [payload for _, _, payload in house.events.sent] == [b"a", b"b", b"c"]
    cursors = [header["cursor"] for header in house.headers()]
    assert cursors == sorted(set(cursors))
    assert [header["previous"] for header in house.headers()] == [0, *cursors[:-1]]


def test_what_is_read_before_the_note_that_tells_of_its_definition_is_published() -> None:
    """Goal: nothing is left out unseen. A definition and what waited for it come in one commit, and an
    earlier note may let the publisher read that commit before its own note is here."""
    house = House()
    house.hear(0)
    told = house._version
    house.subscribe([b"\x01"])
    house.join(NUMBER, CHAT, encode_definition(default_definition("chat")))
    last = house.publish([b"first"])
    version, house._version = house._version, told
    house.hear(last)
    house._version = version
    house.hear(house.publish([b"second"]))
    assert [payload for _, _, payload in house.events.sent] == [b"first", b"second"]
    assert house.headers()[1]["previous"] == house.headers()[0]["cursor"]


def test_a_kind_that_no_definition_names_is_looked_for_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: what an older definition admits costs no look at all communities in every turn; and a definition
    that names it is found also before its own note."""
    looks: list[int] = []
    read = house.role._read_communities

    def look() -> None:
        looks.append(1)
        read()

    monkeypatch.setattr(house.role, "_read_communities", look)
    house.subscribe([b"\x01"])
    for payload in (b"a", b"b", b"c"):
        house.hear(house.store_all([house._message(CHAT, 70, [payload])]))
    assert (len(looks), house.events.sent) == (1, [])
    kinds = (Kind(number=64, name="text"), Kind(number=70, name="image"))
    definition = encode_definition(Definition("chat", kinds))
    version = house._version
    house.store_all([house._message(CHAT, 0, [definition])])
    house.join(NUMBER, CHAT, definition)
    house._version = version
    house.hear(house.store_all([house._message(CHAT, 70, [b"d"])]))
    assert [payload for _, _, payload in house.events.sent] == [b"d"]
    assert len(looks) == 2


def test_previous_is_zero_after_a_silence(house: House) -> None:
    """What came while nobody listened was not seen: a gap that a subscriber cannot know must not look like
    none."""
    house.subscribe([b"\x01" + TOPIC])
    house.hear(house.publish([b"a"]))
    for other in (b"", b"\x01other"):
        house.subscribe([b"\x00" + TOPIC], [other])
        house.hear(house.publish([b"missed"]))
        house.subscribe([b"\x01" + TOPIC], [b"\x00other"])
        house.hear(house.publish([b"b"]))
        assert house.headers()[-1]["previous"] == 0
        house.hear(house.publish([b"c"]))
        assert house.headers()[-1]["previous"] == house.headers()[-2]["cursor"]


@pytest.mark.parametrize("frames", [[b"\x01a", b"b"], [b"\x01", b""], [b""], [b"\x02a"]])
def test_what_is_no_subscription_is_counted(house: House, frames: list[bytes]) -> None:
    """XSUB lets a client send anything: it ends nothing, and subscribes to nothing."""
    house.subscribe(frames, [b"\x01" + TOPIC])
    house.hear(house.publish([b"a"]))
    assert [topic for topic, _, _ in house.events.sent] == [TOPIC]
    assert house.role._topics == {TOPIC}
    assert house.role._reporter.counters["subscription-malformed"] == 1


def test_topics_are_bounded(house: House) -> None:
    """Whoever subscribes to everything there could be fills no memory."""
    house.subscribe(*([b"\x01%d" % number] for number in range(TOPICS_MAX + 2)))
    assert len(house.role._topics) == TOPICS_MAX
    assert house.role._reporter.counters["subscription-refused"] == 2
    house.subscribe([b"\x000"], [b"\x01" + TOPIC])
    assert TOPIC in house.role._topics


def test_a_frame_that_is_too_long_disconnects(tmp_path: Path) -> None:
    """A limit on the size of a frame is one only when it is set before the socket is bound."""
    context = bounded_context()
    endpoint = f"ipc://{tmp_path}/socket"
    here = bound(context, zmq.XPUB, endpoint, queued_max=10, size_max=100)
    client = context.socket(zmq.XSUB)
    monitor = client.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    try:
        client.connect(endpoint)
        client.send(b"\x01" + bytes(200))
        assert monitor.poll(LIMIT_MS), "the client is still connected"
    finally:
        client.disable_monitor()
        for socket in (monitor, here, client):
            socket.close(linger=0)
        context.term()


@pytest.mark.parametrize("definition", [b"\x93", b"\x81\x01\x7f", b""])
def test_a_definition_of_newer_software_stops_only_its_community(house: House, definition: bytes) -> None:
    """It is as good as one that has not come: counted by its reason, and the others go on."""
    house.join(NUMBER + 1, CommunityId(bytes(31) + b"\x09"), definition)
    house.subscribe([b"\x01"])
    house.hear(house.publish([b"a"]))
    assert [payload for _, _, payload in house.events.sent] == [b"a"]
    refused = {name: count for name, count in house.role._reporter.counters.items() if "definition" in name}
    assert sum(refused.values()) == 1


def test_the_header_is_as_documented(house: House) -> None:
    """docs/interface.md lists every field of a message's header, in order, and its type."""
    text = INTERFACE.read_text(encoding="utf-8").partition("## The events socket")[2].partition("\n## ")[0]
    documented = dict(re.findall(r"^\| `([a-z_]+)` \| (str|bin|int)\b", text, re.MULTILINE))
    assert documented
    house.subscribe([b"\x01" + TOPIC])
    house.hear(house.publish([b"a", b"b"]))
    names = {str: "str", bytes: "bin", int: "int"}
    for topic, header, _ in house.events.sent:
        assert topic == TOPIC
        fields = msgspec.msgpack.decode(header)
        assert {name: names[type(value)] for name, value in fields.items()} == documented
        assert list(fields) == list(documented)


def test_the_header_names_who_signed_a_message_too(house: House) -> None:
    """Only where somebody has."""
    house.subscribe([b"\x01" + TOPIC])
    second = b"2" * 32
    signed = encode_message(64, MessageFlag.TWO_AUTHORS, AUTHOR + second, b"", 1, 1, b"", b"", [b"deal"])
    house.hear(house.store_all([signed + bytes(128)]))
    house.hear(house.publish([b"alone"]))
    two, one = house.headers()
    assert (two["author"], two["second_author"]) == (AUTHOR, second)
    assert "second_author" not in one


def test_a_heartbeat_tells_a_lost_tail(house: House) -> None:
    """Goal: whoever missed the last event hears of it with the next heartbeat, not with the next event."""
    house.subscribe([b"\x01" + TOPIC])
    end = house.publish([b"a"], [b"b"])
    house.hear(end)
    house.events.sent.clear()
    house.role._send_heartbeats()
    [(topic, header, payload)] = house.events.sent
    assert (topic, payload) == (TOPIC, b"")
    assert msgspec.msgpack.decode(header) == {"event": "heartbeat", "cursor": end, "previous": end}


def test_heartbeats_go_where_somebody_listens_and_are_bounded(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: no topic, no heartbeat; where there are too many topics each has its turn."""
    house.role._send_heartbeats()
    assert house.events.sent == []
    house.subscribe([b"\x01"])
    monkeypatch.setattr(publisher, "HEARTBEATS_MAX", 1)
    for _ in range(4):
        house.role._send_heartbeats()
    assert [topic for topic, _, _ in house.events.sent] == [b"node/", TOPIC, b"node/", TOPIC]
    assert {header["previous"] for header in house.headers()} == {0}


def test_changes_are_published_with_the_message_that_they_are_about(house: House) -> None:
    """Goal: what is denied, restored or undone is told on the message's topic, in the order of the log."""
    house.subscribe([b"\x01" + TOPIC])
    house.hear(house.publish([b"a", b"b"]))
    [entry] = [entry for entry in house.store.log(1, 10) if entry.type == EntryType.MESSAGE]
    kinds = (EntryType.DENIED, EntryType.RESTORED, EntryType.UNDONE)
    changes = [EventEntry(kind, NUMBER, entry.message_id, entry.cursor, "why") for kind in kinds]
    house.hear(house.store.commit(Batch(events=changes))[1])
    told = house.headers()[2:]
    assert [each["event"] for each in told] == ["denied", "restored", "undone"]
    assert [each["previous"] for each in told] == [entry.cursor + 1, *(each["cursor"] for each in told[:-1])]
    for each in told:
        assert (each["message_id"], each["message_cursor"]) == (entry.message_id, entry.cursor)
        assert (each["author"], each["reason"]) == (AUTHOR, "why")
    assert [each.get("payloads") for each in told] == [None, [b"a", b"b"], None]
    assert [payload for _, _, payload in house.events.sent[2:]] == [b""] * 3


def test_what_was_restored_and_is_erased_by_now_is_told_without_payloads(house: House) -> None:
    """Goal: who comes late to the log hears of the change, and of nothing that is gone."""
    house.subscribe([b"\x01" + TOPIC])
    cursor = house.store.last_cursor() + 1
    house.publish([b"a", b"b"])
    (entry,) = house.store.entries([cursor])
    restored = EventEntry(EntryType.RESTORED, NUMBER, entry.message_id, cursor, "order")
    house.hear(house.store.commit(Batch(erased=[cursor], events=[restored]))[1])
    (told,) = house.headers()
    assert (told["event"], told["message_id"], told["payloads"]) == ("restored", entry.message_id, [])


def test_a_change_of_one_payload_names_it(house: House) -> None:
    """Goal: who shows payloads one by one knows which one to take away, or to show again."""
    house.subscribe([b"\x01" + TOPIC])
    house.hear(house.publish([b"a", b"b"]))
    [entry] = [entry for entry in house.store.log(1, 10) if entry.type == EntryType.MESSAGE]
    kinds = (EntryType.UNDONE, EntryType.RESTORED)
    changes = [EventEntry(kind, NUMBER, entry.message_id, entry.cursor, "payload-1") for kind in kinds]
    house.hear(house.store.commit(Batch(events=changes))[1])
    undone, restored = house.headers()[2:]
    assert (undone["index"], undone.get("payloads")) == (1, None)
    assert (restored["index"], restored["payloads"]) == (1, [b"b"])


def test_a_blocked_author_and_a_left_community_are_not_published(house: House) -> None:
    """Neither messages nor what becomes of them, and no heartbeat tells of a topic that is left."""
    house.subscribe([b"\x01" + TOPIC])
    house.store.commit(Batch(blocked=[BlockedRecord(NUMBER, AUTHOR, "")]))
    house._version += 1
    cursor = house.publish([b"unheard"])
    denied = EventEntry(EntryType.DENIED, NUMBER, bytes(32), cursor, "order")
    house.hear(house.store.commit(Batch(events=[denied]))[1])
    assert house.events.sent == []
    house.store.commit(Batch(blocked=[]))
    house._version += 1
    house.hear(house.publish([b"heard"]))
    assert [payload for _, _, payload in house.events.sent] == [b"heard"]
    (record,) = house.store.communities()
    house.store.commit(Batch(communities=[replace(record, left=True)]))
    house._version += 1
    house.hear(house.publish([b"left"]))
    house.role._send_heartbeats()
    assert [payload for _, _, payload in house.events.sent] == [b"heard"]


def test_large_payloads_for_slow_subscribers_are_bounded_by_their_bytes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: 5,000 events of 64 KB would be 320 MB; what is left out shows as whatever was lost does."""
    monkeypatch.setattr(publisher, "LARGE_EVENTS_SIZE_MAX", 100_000)
    house.subscribe([b"\x01" + TOPIC])
    end = house.publish([bytes(60_000)], [bytes(60_000)], [b"small"])
    house.hear(end)
    assert [len(payload) for _, _, payload in house.events.sent] == [60_000, 5]
    first, last = house.headers()
    assert (first["cursor"], last["previous"], last["cursor"]) == (end - 2, end - 1, end)
    house.role._large[0][1].done = True  # type: ignore[misc]
    house.hear(house.publish([bytes(60_000)]))
    assert len(house.events.sent[-1][2]) == 60_000


def test_a_definition_is_read_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many communities come after it; and a changed one again."""
    read: list[bytes] = []

    def note(payload: bytes) -> Definition:
        read.append(payload)
        return accept_definition(payload)

    monkeypatch.setattr(publisher, "accept_definition", note)
    other = CommunityId(public_key(bytes(32)))
    first, second = (encode_definition(default_definition(name)) for name in ("news", "novelties"))
    for definition in (first, first, second):
        house.join(NUMBER + 1, other, definition)
        house.hear(0)
    # The message is another one the second time, though it says the same.
    assert read == [first, first, second]
    house.join(NUMBER + 2, CommunityId(public_key(bytes([1] * 32))), first)
    house.hear(0)
    assert read == [first, first, second, first]
