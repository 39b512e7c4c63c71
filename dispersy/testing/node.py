"""A node in memory: the parts of the real processes, driven by calls instead of sockets and a clock.

Neighbourhoods, verifier, responder, ledger and the gateway's operations are the service's own; the store is
the one in memory. Every call does all that follows from it, and commits, before it returns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

import msgspec

from dispersy.aio import AsyncClient
from dispersy.bus import frames as bus
from dispersy.bus.settings import RoleSettings
from dispersy.client import Client
from dispersy.errors import StorageError, UsageError, WireError
from dispersy.ext.wire import DROP_REASONS, split
from dispersy.protocol.address import Address, format_address, parse_address
from dispersy.protocol.hosts import bucket_of
from dispersy.protocol.ways import Way, way_of
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.protocol.wire.records import DATAGRAM, ENVELOPE, FRAME, STRIPPED_LIST
from dispersy.protocol.wire.summary import Summary
from dispersy.protocol.wire.token import SECRET_SIZE, TokenEpochs
from dispersy.service.gateway.control import Control
from dispersy.storage.blocklist import Blocklist
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import CommunityRecord
from dispersy.testing.connection import AsyncMemoryConnection, Clock, MemoryConnection
from dispersy.testing.keyring import MemoryKeyring
from dispersy.workers.importing import Importing
from dispersy.workers.keeping.gathering import Gathering, Received
from dispersy.workers.keeping.passing import Leaving
from dispersy.workers.ledger import Ledger
from dispersy.workers.networking.neighbourhood import Neighbourhood
from dispersy.workers.performing import Order, perform, reply_of
from dispersy.workers.report import Reporter
from dispersy.workers.responder import Responder
from dispersy.workers.verifier import Verifier

_TOKEN = slice(10, 18)
_ORDERS = msgspec.msgpack.Decoder(Order)
SECOND_S = 1.0
_SOURCE_KEY = b"memory"
Inbox = Callable[[bytes], None]


class _Untimed(Reporter):
    """Counts, and lets no time pass: what a step took here must not decide anything."""

    def step(self, name: str, began: float, count: int, *, community: int | None = None) -> float:  # noqa: ARG002
        return began


class Node:
    """One node of a Network.

    client    the blocking client; its waits let the network run
    address   where the others reach it
    """

    def __init__(
        self,
        clock: Clock,
        address: Address,
        *,
        rng: Random,
        send: Callable[[Address, Address, bytes], None],
        began_ms: int,
    ) -> None:
        self.address = address
        self._clock = clock
        self._rng = rng
        self._send_datagram = send
        self._began_ms = began_ms
        listen = format_address(address)
        settings = RoleSettings("memory", "memory", listen, 1, placement="single")
        self._store = MemoryStore()
        self._keyring = MemoryKeyring(rng)
        self._ledger = Ledger(self._store, self._keyring, now_ms=began_ms)
        self._gathering: Gathering[Order] = Gathering(self._ledger.batch_windows)
        self._importing = Importing(self._ledger, self._store)
        reporter = _Untimed("worker-0", settings)
        self.counters: Counter[str] = reporter.counters
        self._verifier = Verifier(self._store, reporter)
        self._finds: list[Order] = []
        self._responder = Responder(
            self._store,
            reporter,
            index=0,
            workers=1,
            send=self._send_frames,
            find=self._take_find,
            source_key=_SOURCE_KEY,
            rng=rng,
        )
        self._control = Control(
            settings, send=self._send_reply, order=self._take_order, now=lambda: clock.now
        )
        self._control.attach(self._store)
        self._secret = rng.randbytes(SECRET_SIZE)
        self._epoch = TokenEpochs(self._secret).at
        self._neighbourhoods: dict[int, Neighbourhood] = {}
        self._blocklist = Blocklist()
        self._communities_version = -1
        self._drops = bytearray(4 * len(DROP_REASONS))
        self._inboxes: dict[bytes, Inbox] = {}
        self._answers: list[bytes] = []
        self._second_at = clock.now
        self.client = Client(connection=MemoryConnection(self, clock))
        self.handle_timer()

    def async_client(self) -> AsyncClient:
        """Another client, for applications over asyncio; awaiting lets the network run."""
        return AsyncClient(connection=AsyncMemoryConnection(self, self._clock))

    def close(self) -> None:
        """End its blocking client."""
        self.client.close()

    def summaries(self) -> dict[bytes, Summary]:
        """What it holds of each community that it serves: of the others it hears no more."""
        return {
            record.community_id: self._store.state(record.number).summary
            for record in self._store.communities()
            if record.served
        }

    # -- clients ---------------------------------------------------------------------------------------------

    def attach(self, name: bytes, inbox: Inbox) -> None:
        """A client's connection."""
        self._inboxes[name] = inbox

    def detach(self, name: bytes) -> None:
        """The client is gone."""
        if self._inboxes.pop(name, None) is not None:
            self._control.forget(name)

    def receive_request(self, client: bytes, frame: bytes) -> None:
        """Take what a client sent."""
        self._control.refresh()
        self._control.receive_request(client, frame)
        self._finish()

    def _send_reply(self, client: bytes, frame: bytes) -> bool:
        inbox = self._inboxes.get(client)
        if inbox is None:
            return False
        inbox(frame)
        return True

    def _take_order(self, frame: bytes) -> bool:
        order = _ORDERS.decode(frame)
        size = sum(len(payload) for payloads in order.groups for payload in payloads)
        if order.op != "publish" or not self._gathering.hold(
            order.community, order.kind, order, size, self._clock.now
        ):
            self._perform(order)
        return True

    def _perform(self, order: Order) -> None:
        try:
            if order.op == "import":
                self._import(order)
                return
            reply = perform(self._ledger, self._store, order.id, order, now_ms=self._now_ms())
        except WireError as error:
            refused = UsageError(f"the definition is refused: {error.reason}", code=error.reason)
            self._answer(order.id, refused)
        except (StorageError, UsageError) as error:
            self._answer(order.id, error)
        else:
            if reply is not None:
                self._answer(order.id, reply)

    def _import(self, order: Order) -> None:
        now = self._clock.now
        batches = self._importing.begin(order.id, order.community, order.payloads, order.stripped, now)
        for header, area in batches:
            *_, is_stripped = bus.IMPORT_HEADER.unpack(header)
            records, dropped = self._verifier.imported(order.community, area, now, stripped=is_stripped)
            self._ledger.receive(self._importing.receive(header, dropped, records), 0, records, area)

    def _answer(self, order_id: int, outcome: dict[str, object] | StorageError | UsageError) -> None:
        # Not from within the call that orders: it has not noted the order yet.
        self._answers.append(bus.encode(reply_of(order_id, outcome)))

    def _take_find(self, number: int, community: int, asked: bytes) -> bool:
        self._finds.append(Order("missing", number, community, asked=asked))
        return True

    def _find(self) -> bool:
        """Do the look-ups that the responder has ordered."""
        finds, self._finds = self._finds, []
        for order in finds:
            found = perform(self._ledger, self._store, order.id, order, now_ms=self._now_ms())
            assert found is not None
            self._responder.found(order.id, found["cursors"], self._clock.now)
        return bool(finds)

    # -- the network -----------------------------------------------------------------------------------------

    def receive(self, source: Address, data: bytes) -> None:
        """Take a datagram."""
        if self._blocklist.refuses(source):
            self.counters["in-dropped-blocked"] += 1
            return
        now = self._clock.now
        served = list(self._neighbourhoods.values())
        frames, envelopes = split(
            data,
            DATAGRAM.pack(0, len(data), source),
            tags=b"".join(each.tag for each in served),
            secret=self._secret,
            epoch=self._epoch(now),
            drops=self._drops,
        )
        for _, offset, length, index, frame_type, token_state, _ in FRAME.iter_unpack(frames):
            body = data[offset : offset + length]
            if not served[index].receive(source, frame_type, body, data[_TOKEN], token_state, now):
                self._receive_elsewhere(served[index], source, frame_type, body, data[_TOKEN])
            for message in served[index].drain_pushed():
                # Announced to no responder, so it accounts for none.
                area = encode_uvarint(len(message)) + message
                self._verify(served[index].number, source, area, 0, way=Way.PUSHED)
            for signature in served[index].drain_signatures():
                self._ledger.signatures.receive(
                    served[index].number, signature.source, signature.type, signature.body
                )
        for position in range(0, len(envelopes), ENVELOPE.size):
            record = envelopes[position : position + ENVELOPE.size]
            _, request, offset, length, index, count, flags, *_ = ENVELOPE.unpack(record)
            number = served[index].number
            area = data[offset : offset + length]
            if served[index].awaits(source, request):
                served[index].receive_wanted(source, area, now)
                self._verify(number, source, area, 0, way=Way.ANNOUNCED)
                continue
            self._responder.receive(bus.ENVELOPES, number, source + record, now)
            if count:
                is_stripped = bool(flags & STRIPPED_LIST)
                self._verify(number, source, area, count, way=way_of(request), stripped=is_stripped)
        self._finish()

    def _verify(
        self,
        number: int,
        source: Address,
        area: bytes,
        announced: int,
        *,
        way: Way,
        stripped: bool = False,
    ) -> None:
        bucket = bus.VERIFY_SOURCE.pack(len(area), bucket_of(source, key=_SOURCE_KEY))
        now = self._clock.now
        records = self._verifier.batch(number, area, now, bucket, stripped=stripped)
        self._ledger.ways.note(records, way)
        count, records = self._gathering.receive(number, announced, records, area, now)
        self._ledger.receive(number, count, records, area)

    def _receive_elsewhere(
        self, served: Neighbourhood, source: Address, frame_type: int, body: bytes, header_token: bytes
    ) -> None:
        now = self._clock.now
        if frame_type in (FrameType.INTRODUCTION_REQUEST, FrameType.INTRODUCTION_RESPONSE):
            introduction = bus.Introduction(served.number, source, header_token, frame_type, body)
            for verified in self._verifier.introductions([introduction]):
                served.receive_introduction(verified, now)
        else:
            frame = bus.SyncFrame(source, frame_type, body)
            self._responder.receive(bus.SYNC, served.number, bus.encode([frame]), now)

    def _send_frames(self, number: int, items: list[tuple[bytes, bytes]]) -> None:
        served = self._neighbourhoods.get(number)
        if served is None:
            return
        for address, content in items:
            if not content:
                served.look_after(Address(address), self._clock.now)
                continue
            made = served.datagram(Address(address), content)
            if made is not None:
                self._send(Address(address), made)

    def _send(self, target: Address, data: bytes) -> None:
        if self._blocklist.refuses(target):
            self.counters["out-dropped-blocked"] += 1
            return
        self._send_datagram(self.address, target, data)

    # -- time ------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        deadlines = [each.next_deadline() for each in self._neighbourhoods.values()]
        deadlines += [self._responder.next_deadline(), self._gathering.next_deadline(), self._second_at]
        return min(deadline for deadline in deadlines if deadline is not None)

    def handle_timer(self) -> None:
        """Do what is due now."""
        now = self._clock.now
        if now >= self._second_at:
            self._second_at = now + SECOND_S
            self._report()
            self._ledger.handle_timer(now)
            self._control.handle_second()
        for each in self._neighbourhoods.values():
            each.handle_timer(now)
        self._responder.handle_timer(now)
        self._end_windows()
        self._finish()

    def _end_windows(self) -> None:
        for released in self._gathering.release(self._clock.now):
            if isinstance(released, Received):
                self._ledger.receive(released.number, released.count, released.records, released.arena)
            else:
                self._perform(released)

    def _now_ms(self) -> int:
        return self._began_ms + int(self._clock.now * 1000)

    def _report(self) -> None:
        """What the roles of a real node say of themselves each second."""
        now = self._clock.now
        network = {
            "listen": format_address(self.address),
            "addresses": [],
            "whole": True,
            "warnings": [warning for each in self._neighbourhoods.values() for warning in each.warnings(now)],
            "communities": {number: each.report(now) for number, each in self._neighbourhoods.items()},
        }
        told: dict[str, dict[str, object]] = {"network": network, "writer": {}}
        told["worker-0"] = self._responder.report()
        for role, report in told.items():
            self._control.receive_report(bus.encode({"role": role, "pid": None, **report}))

    # -- what follows from all this --------------------------------------------------------------------------

    def _finish(self) -> None:
        """Commit, tell everyone, answer and send, until nothing is left to do."""
        busy = True
        while busy:
            busy = self._commit()
            busy |= self._responder.step(self._clock.now)
            for number, whole in self._responder.drain_whole():
                # Announced to no puller, as what was pushed.
                area = encode_uvarint(len(whole.message)) + whole.message
                self._verify(number, whole.source, area, 0, way=Way.FRAGMENTS)
                busy = True
            busy |= self._find()
            for number, wanted, asked in self._responder.drain_exhausted():
                self._ledger.fetching.exhaust(number, wanted, asked)
                busy = True
            for number, clock, is_median, is_newcomer in self._responder.drain_clocks():
                self._ledger.hear_clock(number, clock, is_median=is_median, is_newcomer=is_newcomer)
            for served in self._neighbourhoods.values():
                heard = served.drain_heard()
                if heard:
                    self._responder.receive(bus.PEERS, served.number, bus.encode(heard), self._clock.now)
                    busy = True
                for target, made in served.drain_datagrams():
                    self._send(Address(target), made)
            answers, self._answers = self._answers, []
            for answer in answers:
                self._control.receive_answer(answer)
            self._control.refresh()
            busy |= self._control.pump()

    def _commit(self) -> bool:
        note, outcomes = self._ledger.commit(now_ms=self._now_ms())
        for order_id, outcome in (*outcomes, *self._importing.committed(self._clock.now)):
            self._answer(order_id, outcome)
        asks = self._let_leave(self._ledger.drain_leaving())
        if note is None:
            return asks or bool(outcomes)
        now = self._clock.now
        if note.communities_version != self._communities_version:
            self._communities_version = note.communities_version
            self._load_communities()
        for number, summary in note.summaries.items():
            if number in self._neighbourhoods:
                self._neighbourhoods[number].summary_changed(summary, now)
        self._responder.committed(note, now)
        self._control.receive_note(note)
        return True

    def _let_leave(self, leaving: Leaving) -> bool:
        """What is sent at once, and what is not stored; whether applications were asked for something."""
        now = self._clock.now
        for number, served in self._neighbourhoods.items():
            for pushed in leaving.pushed.get(number, ()):
                served.push(pushed, now)
            if number in leaving.fresh:
                served.fresh(leaving.fresh[number], now)
            for message in leaving.relayed.get(number, ()):
                served.relay(message, now)
            for sent in leaving.signatures.get(number, ()):
                served.sign(sent, now)
        for number, heard in leaving.heard.items():
            self._control.receive_heard(number, heard)
        for number, questions in leaving.questions.items():
            self._control.receive_asked(number, questions)
        return bool(leaving.questions)

    def _load_communities(self) -> None:
        now = self._clock.now
        self._blocklist = Blocklist(self._store.blocked())
        records = [record for record in self._store.communities() if record.served]
        numbers = {record.number for record in records}
        self._neighbourhoods = {
            number: each for number, each in self._neighbourhoods.items() if number in numbers
        }
        self._verifier.set_communities(records)
        for record in records:
            served = self._neighbourhoods.get(record.number)
            if served is None:
                served = self._neighbourhoods[record.number] = self._serve(record)
            else:
                served.add_peers(list(map(parse_address, record.bootstrap)), now)
            if record.definition and not served.defined:
                state = self._store.state(record.number)
                served.define(state.summary.at_clock(state.clock), now)
            served.block(self._blocklist)
        self._responder.set_communities(records, now)

    def _serve(self, record: CommunityRecord) -> Neighbourhood:
        return Neighbourhood(
            record,
            secret=self._keyring.by_public(record.member_id).secret,
            token_secret=self._secret,
            epoch=self._epoch,
            rng=self._rng,
            peers=list(map(parse_address, record.bootstrap)),
            own_address=self.address,
            workers=1,
            counters=self.counters,
            now=self._clock.now,
        )
