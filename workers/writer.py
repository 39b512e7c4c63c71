"""The writer: the one role that changes the store. It decides, commits, and only then lets anything leave.

All that waits is taken as one batch and becomes one transaction; a batch gathers company only while another
is being committed. Verified messages come from the workers, orders (publish, create, join, find,
explain) from the gateway.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import monotonic, perf_counter, time
from typing import Any

import msgspec
import zmq

from dispersy.bus import frames as bus
from dispersy.bus.settings import RoleSettings
from dispersy.bus.sockets import BATCHES_QUEUED_MAX, NOTES_QUEUED_MAX, bound, receive_all, send_or_drop
from dispersy.errors import StorageError, UsageError, WireError
from dispersy.protocol.intake.received import first_time
from dispersy.protocol.ways import Way
from dispersy.protocol.wire.records import MESSAGE
from dispersy.storage.keyring import Keyring
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.storage.stamp import Stamp
from dispersy.storage.store import CommunityRecord
from dispersy.workers.importing import Importing
from dispersy.workers.keeping.gathering import Gathering, Received, joined
from dispersy.workers.keeping.passing import Leaving
from dispersy.workers.keeping.restored import RestoredHome, own_authors
from dispersy.workers.ledger import Ledger
from dispersy.workers.loop import Loop
from dispersy.workers.performing import Order, perform, reply_of
from dispersy.workers.report import Reporter

BATCHES_PER_TURN_MAX = 64
BULK_MIN, BULK_PAUSE_S = 64, 0.02
"""After a commit of so many messages what comes next gathers for a while, unless it is an order: each commit
has a price of its own, and workers deliver some hundred messages at a time."""
NOTE_INTERVAL_S = 1.0
"""Between notes of where the log ends: they show that the writer is there, and a lost note."""
NOTE_OF_ALL_INTERVAL_S = 10.0
"""Between notes of every community, for whoever lost one; whoever subscribes gets one at once."""
SUBSCRIBED = b"\1"
"""How what an XPUB socket receives begins where somebody subscribes; \0 where somebody leaves."""
STAMP_RETRY_S = 60.0
"""Until a stamp that could not be written, for want of space, is tried again."""
WAITING_CHECKED_S = 1.0
"""How late a message may leave a waiting room: the least time there is ten times as long."""
READERS_CHECKED_S = 1.0
"""A killed reader's snapshot pins pages for so long: what is written meanwhile makes the file grow."""


log = logging.getLogger("dispersy.writer")


Ticket = tuple[bytes, int]
"""Who asked, and the number of its order."""


class WriterRole:
    """Owns the store through its Ledger, and the sockets around it."""

    name = "writer"

    def __init__(self, settings: RoleSettings, passphrase: bytes | None = None) -> None:
        self._settings = settings
        self._passphrase = passphrase
        self._reporter = Reporter("writer", settings, self._report)
        self._order_decoder = msgspec.msgpack.Decoder(Order)
        self._last_cursor = 0
        self._version = 0
        self._commit_due: float | None = None
        self._received: list[Received] = []
        """What the next commit decides."""

    def open(self, loop: Loop) -> None:
        endpoint = self._settings.socket
        self._store = LmdbStore(self._settings.store_path)
        self._keyring = Keyring(self._settings.keys_path, passphrase=self._passphrase)
        self._ledger = Ledger(self._store, self._keyring, now_ms=_now_ms())
        self._stamp = Stamp(Path(self._settings.home), self._store)
        self._stamp_due: float | None = None
        problem = self._stamp.problem
        # Before anybody can read what the last start has left.
        self._ledger.start(self._settings.start_id)
        if problem:
            said = {"event": "home-restored", "fields": {"problem": problem}}
            log.warning("this home was restored or copied: %s; asking neighbours", problem, extra=said)
            self._ledger.membership.mark_restored()
        self._ledger.commit(now_ms=_now_ms())
        # Where the disk took no mark it cannot be done later: all are asked in now, served or not.
        unmarked = [record for record in self._store.communities() if not record.restored] if problem else []
        self._restored: RestoredHome[tuple[Ticket, Order]] = RestoredHome(
            problem,
            own_authors(self._store, self._keyring, unmarked),
            now=monotonic(),
            limit_s=self._settings.restored_wait_s,
        )
        self._importing = Importing(self._ledger, self._store)
        self._gathering: Gathering[tuple[Ticket, Order]] = Gathering(self._ledger.batch_windows)
        self._ask(self._ledger.membership.all_to_ask())
        if self._restored.is_over:
            self._renew_stamp()
        self._loop = loop
        self._intake = bound(loop.context, zmq.PULL, endpoint("intake"), queued_max=BATCHES_QUEUED_MAX)
        self._orders = bound(loop.context, zmq.ROUTER, endpoint("orders"), queued_max=NOTES_QUEUED_MAX)
        self._notes = bound(loop.context, zmq.XPUB, endpoint("notes"), queued_max=NOTES_QUEUED_MAX)
        self._reporter.open(loop)
        loop.watch(self._intake, self._receive_intake)
        loop.watch(self._orders, self._receive_orders)
        loop.watch(self._notes, self._receive_subscriptions)
        loop.every(NOTE_INTERVAL_S, self._send_short_note)
        loop.every(NOTE_OF_ALL_INTERVAL_S, self._send_note_of_all)
        loop.every(WAITING_CHECKED_S, lambda: self._ledger.handle_timer(monotonic()))
        loop.every(READERS_CHECKED_S, self._clear_dead_readers)
        loop.deadline(self._restored.next_deadline, self._end_asking)
        loop.deadline(self._gathering.next_deadline, self._end_windows)
        loop.deadline(lambda: self._stamp_due, self._renew_stamp)
        loop.deadline(lambda: self._commit_due, self._end_pause)
        loop.flush(self._commit)

    def close(self) -> None:
        self._stamp.close()
        self._store.close()

    def _receive_intake(self) -> None:
        for kind, header, *parts in receive_all(self._intake, count_max=BATCHES_PER_TURN_MAX):
            if kind == bus.CLOCK:
                number, global_time, is_median, is_newcomer = bus.CLOCK_HEADER.unpack(header)
                self._ledger.hear_clock(
                    number, global_time, is_median=bool(is_median), is_newcomer=bool(is_newcomer)
                )
                continue
            if kind == bus.EXHAUSTED:
                number, asked = bus.EXHAUSTED_HEADER.unpack(header)
                self._ledger.fetching.exhaust(number, parts[0], asked)
                continue
            if kind == bus.TOLD:
                number, host = bus.TOLD_HEADER.unpack(header)
                self._restored.receive_told(number, host, monotonic())
                continue
            if kind == bus.SIGNATURE:
                received = bus.signature_decoder.decode(parts[0])
                number = bus.NUMBER.unpack(header)[0]
                self._ledger.signatures.receive(number, received.source, received.type, received.body)
                continue
            if kind == bus.WAKE:
                self._ledger.membership.wake(bus.NUMBER.unpack(header)[0])
                continue
            began = perf_counter()
            if kind == bus.IMPORTED:
                dropped, records, arena = parts
                number = self._importing.receive(header, bus.dropped_decoder.decode(dropped), records)
                self._ledger.ways.note(records, Way.BUNDLE)
                self._received.append(Received(number, 0, records, arena))
                self._reporter.step("writer.import", began, len(records) // MESSAGE.size, community=number)
                continue
            number, announced, way = bus.MESSAGES_HEADER.unpack(header)
            records, arena = parts
            self._ledger.ways.note(records, Way(way))
            count, now_records = self._gathering.receive(number, announced, records, arena, monotonic())
            self._received.append(Received(number, count, now_records, arena))
            self._reporter.step("writer.intake", began, 0, community=number)

    def _decide_received(self) -> None:
        """Decide what has come since the last commit, by rising times: verifiers are done with their batches
        in any order, and what comes behind all others of its lane is the cheapest to take."""
        received, self._received = self._received, []
        for each in joined(sorted(received, key=lambda each: first_time(each.records))):
            began = perf_counter()
            self._ledger.receive(each.number, each.count, each.records, each.arena)
            count = len(each.records) // MESSAGE.size
            self._reporter.step("writer.intake", began, count, community=each.number)

    def _receive_orders(self) -> None:
        self._end_pause()
        # They came before.
        self._decide_received()
        for asker, data in receive_all(self._orders, count_max=BATCHES_PER_TURN_MAX):
            order = self._order_decoder.decode(data)
            self._perform((asker, order.id), order)

    def _perform(self, ticket: Ticket, order: Order, *, is_gathered: bool = False) -> None:
        began = perf_counter()
        try:
            self._take(ticket, order, is_gathered)
        except WireError as error:
            self._reply(ticket, UsageError(f"the definition is refused: {error.reason}", code=error.reason))
        except (StorageError, UsageError) as error:
            self._reply(ticket, error)
        self._reporter.step(f"writer.{order.op}", began, max(1, len(order.groups)))

    def _take(self, ticket: Ticket, order: Order, is_gathered: bool) -> None:
        match order.op:
            case "publish" | "govern" if self._hold(ticket, order):
                self._reporter.counters["publish-held"] += 1
            case "publish" if not is_gathered and self._gather(ticket, order):
                self._reporter.counters["publish-gathered"] += 1
            case "import":
                self._begin_import(ticket, order)
            case _:
                reply = perform(self._ledger, self._store, ticket, order, now_ms=_now_ms())
                if reply is not None:
                    self._reply(ticket, reply)

    def _begin_import(self, ticket: Ticket, order: Order) -> None:
        batches = self._importing.begin(ticket, order.community, order.payloads, order.stripped, monotonic())
        for header, area in batches:
            send_or_drop(self._notes, [bus.IMPORT, header, area])

    def _hold(self, ticket: Ticket, order: Order) -> bool:
        # It may be served since an order of this very batch.
        if record := self._ledger.membership.to_ask(order.community):
            self._ask([record])
        return self._restored.hold(order.community, (ticket, order))

    def _gather(self, ticket: Ticket, order: Order) -> bool:
        size = sum(len(payload) for payloads in order.groups for payload in payloads)
        return self._gathering.hold(order.community, order.kind, (ticket, order), size, monotonic())

    def _end_windows(self) -> None:
        for released in self._gathering.release(monotonic()):
            if isinstance(released, Received):
                self._ledger.receive(released.number, released.count, released.records, released.arena)
            else:
                self._perform(*released, is_gathered=True)

    def _ask(self, records: Iterable[CommunityRecord]) -> None:
        """Ask neighbours for what we have published in these, unless they are being asked."""
        for number, (community_id, authors) in own_authors(self._store, self._keyring, records).items():
            self._restored.begin(number, community_id, authors, monotonic())

    def _end_pause(self) -> None:
        """What the turn has brought is committed at its end."""
        self._commit_due = None

    def _commit(self) -> None:
        if self._commit_due is not None:
            return
        self._decide_received()
        began = perf_counter()
        note, outcomes = self._ledger.commit(now_ms=_now_ms())
        for number in self._ledger.drain_own_unknown():
            self._restored.receive_own(number, monotonic())
        leaving = self._ledger.drain_leaving()
        # Before the note: whoever hears of another summary knows then what of it spreads by itself.
        self._send_by_community(bus.PUSH, leaving.pushed)
        self._send_by_community(bus.FRESH, leaving.fresh)
        if note is not None:
            if note.communities_version != self._version:
                self._version = note.communities_version
                self._ask(self._ledger.membership.all_to_ask())
            self._send_note(note)
            count = max(0, note.last_cursor - self._last_cursor)
            self._reporter.step("writer.commit", began, count)
            if count >= BULK_MIN and not self._ledger.has_more:
                self._commit_due = monotonic() + BULK_PAUSE_S
            self._reporter.counters["commits"] += 1
            self._last_cursor = note.last_cursor
            self._stamp.reach(note.last_cursor)
        self._send_leaving(leaving)
        for ticket, outcome in (*outcomes, *self._importing.committed(monotonic())):
            self._reply(ticket, outcome)
        if note is not None and self._ledger.has_more:
            # A portion of a purge a turn: whoever else has something for the writer comes in between.
            self._loop.again()

    def _send_leaving(self, leaving: Leaving) -> None:
        """What is to be sent at once, and what is not stored: whoever is too slow for it misses it."""
        self._send_by_community(bus.RELAY, leaving.relayed)
        self._send_by_community(bus.HEARD, leaving.heard)
        self._send_by_community(bus.SIGN, leaving.signatures)
        self._send_by_community(bus.ASKED, leaving.questions)

    def _send_by_community(self, topic: bytes, by_number: Mapping[int, object]) -> None:
        for number, each in by_number.items():
            send_or_drop(self._notes, [topic, bus.NUMBER.pack(number), bus.encode(each)])

    def _reply(self, ticket: Ticket, outcome: dict[str, Any] | StorageError | UsageError) -> None:
        asker, order_id = ticket
        reply = reply_of(order_id, outcome)
        send_or_drop(self._orders, [asker, bus.encode(reply)])

    def _receive_subscriptions(self) -> None:
        subscribed = [parts for parts in receive_all(self._notes, count_max=64) if parts[0][:1] == SUBSCRIBED]
        if subscribed:
            self._send_note_of_all()

    def _send_short_note(self) -> None:
        self._send_note(self._ledger.note(()))

    def _send_note_of_all(self) -> None:
        self._ledger.start(self._settings.start_id)
        self._send_note(self._ledger.note())

    def _send_note(self, note: bus.CommitNote) -> None:
        if not self._restored.is_over:
            note = msgspec.structs.replace(note, restored=self._restored.authors())
        send_or_drop(self._notes, [bus.COMMIT, bus.encode(note)])

    def _end_asking(self) -> None:
        """Neighbours have answered, or nobody has for too long: publish what has waited for it."""
        was_over, asked = self._restored.is_over, self._restored.authors().keys()
        released = self._restored.handle_timer(monotonic())
        for number in asked - self._restored.authors().keys():
            self._ledger.membership.end_asking(number)
        for ticket, order in released:
            self._perform(ticket, order)
        if self._restored.is_over and not was_over:
            for warning in self._restored.warnings(monotonic()):
                fields = {"community": warning["community"].hex(), "hint": warning["hint"]}
                said = {"event": "home-restored-unanswered", "fields": fields}
                log.warning("%s", warning["message"], extra=said)
            self._renew_stamp()

    def _renew_stamp(self) -> None:
        self._stamp_due = None
        try:
            self._stamp.renew()
        except StorageError as error:
            # Without room for it the old one goes on fitting: that must not keep the node from answering.
            said = {"event": "stamp-unwritten", "fields": {"error": str(error)}}
            log.warning("the home's stamp was not renewed: %s", error, extra=said)
            self._stamp_due = monotonic() + STAMP_RETRY_S

    def _clear_dead_readers(self) -> None:
        self._reporter.counters["readers-cleared"] += self._store.clear_dead_readers()

    def _report(self) -> dict[str, Any]:
        return {
            "outcomes": dict(self._ledger.counters),
            "last_cursor": self._last_cursor,
            "warnings": [*self._restored.warnings(monotonic()), *self._own_unknown()],
        }

    def _own_unknown(self) -> list[dict[str, Any]]:
        """What to warn of where neighbours hold what we have signed and did not know."""
        return [
            {
                "code": "own-messages-unknown",
                "community": community_id,
                "message": f"{count} messages of our own came from neighbours that this node did not hold",
                "hint": "if another node uses this key, stop one of them and give it a key of its own; if "
                "this home is older than what it has published, all is well as soon as no more come",
            }
            for number, community_id, count in self._ledger.own_messages_unknown()
            if not self._restored.is_expected(number)
        ]


def _now_ms() -> int:
    return int(time() * 1000)
