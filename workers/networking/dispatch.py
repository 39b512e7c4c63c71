"""From the network role to the workers: whole batches to the verifier with the fewest outstanding.

A batch grows while every verifier has enough to do and leaves as soon as one has not: big frames when it
matters, no delay when it does not. What can be lost is lost here and counted: a killed worker's batches come
back by sync.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import zmq

from dispersy.bus import frames as bus
from dispersy.bus.settings import RoleSettings
from dispersy.bus.sockets import receive_all, send_or_drop
from dispersy.protocol.address import ADDRESS_SIZE, Address
from dispersy.protocol.hosts import bucket_of
from dispersy.protocol.ways import Way, way_of
from dispersy.protocol.wire.records import DATAGRAM, ENVELOPE, ENVELOPE_HEAD, STRIPPED_LIST
from dispersy.workers.report import Reporter

BATCH_MESSAGES_MAX = 128
"""About 8 ms of one core's signatures: large against the cost of a batch, small against a request's round
trip."""
OUTSTANDING_MAX = 2
"""Batches a verifier may have: one in work, one at hand."""
PENDING_BYTES_MAX = 2 << 20
"""Some 10,000 messages: half a second of one core. In bytes, for a peer says how many messages they are."""
SOURCE_OFFSET = 6
"""Of this field in a datagram_record."""
Piece = tuple[bytes, int]
"""What one datagram brings: an area, and how many messages it says that these are."""
INTRODUCTIONS_MAX = 256
"""Introductions that wait to be checked; more are dropped."""


class _Verifier:
    __slots__ = ("done", "incarnation", "sent")

    def __init__(self, incarnation: int, done: int) -> None:
        self.incarnation = incarnation
        self.sent = self.done = done

    @property
    def outstanding(self) -> int:
        # Below zero when this role has started again and old batches are finished.
        return max(0, self.sent - self.done)


@dataclass(slots=True)
class _Batch:
    """Messages of one community on their way to a verifier, all come alike: whole ones, or stripped ones.

    announced  of them in messages and stripped frames, whose envelopes a responder has seen
    sources    [the bucket of a host, where in the areas what it sent in a row ends]
    imported   IMPORT_HEADER of a portion of a file, which is a batch by itself; empty: of neighbours
    """

    community: int
    is_stripped: bool
    way: Way
    announced: int = 0
    count: int = 0
    size: int = 0
    areas: list[bytes] = field(default_factory=list)
    sources: list[list[int]] = field(default_factory=list)
    imported: bytes = b""


@dataclass(slots=True)
class Answer:
    """What came in a row from one neighbour for one request: all of it takes the same way.

    index      of the community among those that are served
    envelopes  each behind the sender's address
    """

    index: int
    number: int
    source: bytes
    is_stripped: bool
    envelopes: list[bytes] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)


class Dispatch:
    """Owns the `work` ROUTER's sending side and what waits for it."""

    def __init__(self, work: zmq.Socket[bytes], reporter: Reporter, settings: RoleSettings) -> None:
        self._work = work
        self._source_key = settings.start_id.encode()
        self._reporter = reporter
        self._verifiers: dict[bytes, _Verifier] = {}
        self._names = [b"worker-%d" % index for index in range(settings.workers)]
        self._batches: deque[_Batch] = deque()
        self._pending_bytes = 0
        self._introductions: list[bus.Introduction] = []
        self._sync: dict[tuple[int, int], list[bus.SyncFrame]] = {}
        self._envelopes: dict[tuple[int, int], list[bytes]] = {}
        self._peers: dict[tuple[int, int], list[bus.PeerHeard]] = {}

    @property
    def full(self) -> bool:
        """Whether nothing more should be read from the network for now."""
        return self._pending_bytes >= PENDING_BYTES_MAX

    def messages(self, community: int, responder: int, answer: Answer) -> None:
        """Messages or stripped frames: their envelopes to the responder, their messages to the verifiers."""
        self._envelopes.setdefault((community, responder), []).extend(answer.envelopes)
        way = way_of(answer.number)
        is_stripped = answer.is_stripped
        self._add(community, answer.source, answer.pieces, way, is_stripped=is_stripped, is_announced=True)

    def pushed(
        self, community: int, source: bytes, area: bytes, count: int, *, way: Way = Way.PUSHED
    ) -> None:
        """New messages that were pushed or announced: to the verifiers, and to no responder, which waits for
        none."""
        self._add(community, source, [(area, count)], way, is_stripped=False, is_announced=False)

    def imported(self, header: bytes, area: bytes) -> None:
        """A portion of a file takes its turn among what neighbours send."""
        community, _, count, is_stripped = bus.IMPORT_HEADER.unpack(header)
        self._pending_bytes += len(area)
        batch = _Batch(community, is_stripped, Way.BUNDLE, count=count, areas=[area], imported=header)
        self._batches.append(batch)

    def _add(
        self,
        community: int,
        source: bytes,
        pieces: Sequence[Piece],
        way: Way,
        *,
        is_stripped: bool,
        is_announced: bool,
    ) -> None:
        last = self._batches[-1] if self._batches else None
        if last is not None and (
            last.community != community or last.is_stripped != is_stripped or last.way != way or last.imported
        ):
            last = None
        bucket = bucket_of(Address(source), key=self._source_key)
        for area, count in pieces:
            if not count:
                continue
            if last is None or last.count + count > BATCH_MESSAGES_MAX:
                last = _Batch(community, is_stripped, way)
                self._batches.append(last)
            last.areas.append(area)
            last.count += count
            last.size += len(area)
            last.announced += count * is_announced
            # What one host sent in a row is one source.
            if last.sources and last.sources[-1][0] == bucket:
                last.sources[-1][1] = last.size
            else:
                last.sources.append([bucket, last.size])
            self._pending_bytes += len(area)

    def introduction(
        self, community: int, source: bytes, header_token: bytes, frame_type: int, body: bytes
    ) -> None:
        if len(self._introductions) < INTRODUCTIONS_MAX:
            self._introductions.append(bus.Introduction(community, source, header_token, frame_type, body))
        else:
            self._reporter.counters["introductions-dropped-full"] += 1

    def sync(self, community: int, responder: int, source: bytes, frame_type: int, body: bytes) -> None:
        self._sync.setdefault((community, responder), []).append(bus.SyncFrame(source, frame_type, body))

    def peer(self, community: int, responder: int, heard: bus.PeerHeard) -> None:
        self._peers.setdefault((community, responder), []).append(heard)

    def receive(self) -> list[bus.Introduction]:
        """Take what workers sent: credits are noted, introductions that hold are returned."""
        verified: list[bus.Introduction] = []
        for name, kind, data in receive_all(self._work, count_max=64):
            if kind == bus.CREDIT:
                incarnation, done = bus.CREDIT_HEADER.unpack(data)
                verifier = self._verifiers.get(name)
                if verifier is None or verifier.incarnation != incarnation:
                    # New, or started again: what its predecessor had is gone.
                    self._verifiers[name] = _Verifier(incarnation, done)
                else:
                    verifier.done = done
            elif kind == bus.INTRODUCTIONS:
                verified.extend(bus.introductions_decoder.decode(data))
        return verified

    def flush(self) -> None:
        """Send all that may go now."""
        for (community, responder), frames in self._sync.items():
            self._to_responder(responder, [bus.SYNC, bus.NUMBER.pack(community), bus.encode(frames)])
        for (community, responder), envelopes in self._envelopes.items():
            self._to_responder(responder, [bus.ENVELOPES, bus.NUMBER.pack(community), b"".join(envelopes)])
        for (community, responder), peers in self._peers.items():
            self._to_responder(responder, [bus.PEERS, bus.NUMBER.pack(community), bus.encode(peers)])
        self._sync.clear()
        self._envelopes.clear()
        self._peers.clear()
        if self._introductions and self._verifiers:
            name = min(self._verifiers, key=lambda each: self._verifiers[each].outstanding)
            if send_or_drop(self._work, [name, bus.INTRODUCTIONS, bus.encode(self._introductions)]):
                self._introductions.clear()
            else:
                del self._verifiers[name]
        while self._batches and self._send_batch():
            pass

    def _send_batch(self) -> bool:
        if not self._verifiers:
            return False
        name = min(self._verifiers, key=lambda each: self._verifiers[each].outstanding)
        verifier = self._verifiers[name]
        if verifier.outstanding >= OUTSTANDING_MAX:
            return False
        batch = self._batches[0]
        sources = [bus.VERIFY_SOURCE.pack(end, bucket) for bucket, end in batch.sources]
        header = bus.VERIFY_HEADER.pack(batch.community, batch.announced, batch.way)
        area = b"".join(batch.areas)
        kind = bus.VERIFY_STRIPPED if batch.is_stripped else bus.VERIFY
        parts = [kind, header, area, b"".join(sources)]
        if batch.imported:
            parts = [bus.VERIFY_IMPORTED, batch.imported, area]
        if not send_or_drop(self._work, [name, *parts]):
            del self._verifiers[name]
            return True
        verifier.sent += 1
        self._batches.popleft()
        self._pending_bytes -= len(area)
        self._reporter.counters["batches-to-verify"] += 1
        return True

    def _to_responder(self, responder: int, parts: list[bytes]) -> None:
        if not send_or_drop(self._work, [self._names[responder], *parts]):
            self._reporter.counters["responder-gone"] += 1


def answers_in(arena: bytes, datagrams: bytes, envelopes: bytes) -> list[Answer]:
    """What the datagrams of a receive bring, in order: those of one answer mostly come in a row, and what is
    looked up for them is so once.

    datagrams   packed DATAGRAMs, offsets into arena; envelopes: packed ENVELOPEs
    """
    answers: list[Answer] = []
    key: tuple[object, ...] = ()
    position = 0
    for datagram, number, offset, length, index, count, flags in ENVELOPE_HEAD.iter_unpack(envelopes):
        address = datagram * DATAGRAM.size + SOURCE_OFFSET
        source = datagrams[address : address + ADDRESS_SIZE]
        before, key = key, (index, number, source, flags & STRIPPED_LIST)
        if key != before:
            answers.append(Answer(index, number, source, bool(flags & STRIPPED_LIST)))
        answer = answers[-1]
        answer.envelopes.append(source + envelopes[position : position + ENVELOPE.size])
        answer.pieces.append((arena[offset : offset + length], count))
        position += ENVELOPE.size
    return answers
