"""Nodes of a history that are the product's, each compared after every round with what the rules say.

One is a ledger over a store, with all between them that a service has but its sockets and signatures.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain, count
from pathlib import Path

from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP, CommunityId, MessageId
from dispersy.protocol.intake.marks import ERASED, HIDDEN_BY_EQUIVOCATION, HIDDEN_BY_ORDER, UNDONE
from dispersy.protocol.intake.received import pack
from dispersy.protocol.intake.waiting import WAIT_MAX_S, Awaited
from dispersy.protocol.permissions.control_messages import ControlMessage, Undo
from dispersy.protocol.wire.stripped import Stripped, strip
from dispersy.storage.keyring import Keyring
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch, CommunityRecord, EntryType, StoreWriter, on_request
from dispersy.workers.ledger import Ledger
from tests.oracle.decisions import Decisions
from tests.oracle.node import Node
from tests.oracle.passing import Passed
from tests.oracle.state import DataMessage, Marks, Message, State
from tests.oracle.writing import Pen

NUMBER = 7
LOG_MAX = 100_000
RUN_RECORDS = 8
MAP_SIZE = 1 << 26


class WrittenNode(Node):
    """A node that decides as the intake does; what it holds is what is stored or waits there.

    erased  of what is stored only this is left: others get it stripped
    bare    came stripped, without the undo that says that it may be: it waits, and is not held
    let_through  of what nobody keeps, what applications have been told since this was asked
    """

    def __init__(self, pen: Pen, decisions: Decisions, keys: Path) -> None:
        super().__init__(pen, decisions)
        self.let_through: list[bytes] = []
        self.now = 0.0
        self.keys = keys
        self.keyring = Keyring(keys)
        self.store = self.new_store()
        record = CommunityRecord(NUMBER, CommunityId(pen.master), "history", pen.master, b"")
        self.store.commit(Batch(communities=[record]))
        self.number = NUMBER
        self.erased: set[bytes] = set()
        self.bare: dict[bytes, Message] = {}
        self.start()

    def new_store(self) -> StoreWriter:
        return MemoryStore()

    def close(self) -> None:
        self.store.close()

    def reopen(self) -> None:
        """Know no more than what is durable."""
        self.store.reload()

    def start(self) -> None:
        """Also again: what has passed is in memory alone."""
        self.ledger = Ledger(self.store, self.keyring, now_ms=1_000)
        self.passed = Passed(self.pen.master)

    def receive(self, messages: Iterable[Message], source: Node | None = None) -> bool:
        """In one round, which must be as if the rules looked at all that was held and came."""
        messages = list(messages)
        before = self.held.keys() | self.bare.keys()
        raws = self.sent(messages, source)
        came = {
            left_of(each) if isinstance(raw, Stripped) else each: raw
            for each, raw in zip(messages, raws, strict=True)
        }
        passing = self.passing([each for each, raw in came.items() if not isinstance(raw, Stripped)])
        messages = self.taken({each: raw for each, raw in came.items() if each not in passing})
        known = [*messages, *self.held.values()]  # what is held stays in the form that it is held in
        expected = self.state_of(known)
        self.ledger.receive(self.number, len(raws), *pack(raws, CommunityId(self.pen.master)))
        self.commit()
        self.check_passed(passing, known)
        if any(rules.in_sequence for rules in self.decisions.permitting(known).rules.values()):
            # What waits for those below it in its lane is taken with the gap, in the end.
            assert all(map(self.awaited, expected.live - self.stored_live()))
            self.look({message.id: message for message in messages})
            self.wait(WAIT_MAX_S[Awaited.SEQUENCE])
            self.grow_old()
            # Of what is held: what found no place in its lane is not, even if those in its way are old now.
            expected = self.state_of(self.held.values())
        live = self.stored_live()
        assert live == expected.live, self.story(live, expected.live, messages)
        self.look({message.id: message for message in messages})
        self.check_marks(expected.marks)
        assert self.state() == expected
        self.check_powers(expected)
        self.age()
        return bool((self.held.keys() | self.bare.keys()) - before)

    def age(self) -> None:
        """Let what is too old leave: what is left must be as the rules find what is held at that time."""
        self.grow_old()
        self.look({})
        expected = self.state()
        assert self.stored_live() == expected.live
        self.check_marks(expected.marks)

    def grow_old(self) -> None:
        """Until nothing more has to leave."""
        while self.ledger.has_more:
            self.commit()
        self.time = self.store.state(self.number).pruning_time

    def state(self) -> State:
        """At the time that the ledger says: it goes in steps, and only so far as its clock."""
        if self._state is None:
            self._state = self.state_of(self.held.values())
        return self._state

    def hear(self, time: int) -> None:
        self.ledger.hear_clock(self.number, time, is_median=True, is_newcomer=True)
        self.age()

    def prune(self) -> None:
        """The ledger has."""

    def sent(self, messages: list[Message], source: Node | None) -> list[bytes]:
        """As they come from a neighbour, or from their authors."""
        erased = source.erased if isinstance(source, WrittenNode) else set()
        raws = [(each.id in erased, self.pen.raws[each.id]) for each in messages]
        return [strip(raw) if is_left else raw for is_left, raw in raws]

    def check_passed(self, passing: list[DataMessage], known: list[Message]) -> None:
        """What is kept by nobody was told where the rules say so, and once."""
        before = len(self.passed.taken)
        if passing:
            self.passed.take(passing, self.decisions.permitting(known))
        assert self.let_through == [self.pen.raws[each.id] for each in self.passed.taken[before:]]
        self.let_through.clear()

    def taken(self, came: dict[Message, bytes]) -> list[Message]:
        """Those that count as held from now on: whole ones, and what is left of those that an undo takes
        back, which is held or comes with them."""
        whole = [message for message, raw in came.items() if not isinstance(raw, Stripped)]
        self.bare |= {each.id: each for each in came.keys() - set(whole) if each.id not in self.held}
        known = [*self.held.values(), *came]
        undos = [undo for undo in undos_of(known) if self.may_be_relied_on(undo, known)]
        ready = [each for each in self.bare.values() if any(_takes_back(undo, each) for undo in undos)]
        return [*whole, *ready]

    def may_be_relied_on(self, undo: ControlMessage, known: list[Message]) -> bool:
        """Of what is on request those that stand."""
        oracle = self.decisions.permitting(known)
        assert isinstance(undo.body, Undo)
        return undo.body.kind not in oracle.on_request or oracle.stands(undo, undo.body)

    def forget(self, _: random.Random, share: float) -> None:
        """All that waits, or what has waited long."""
        if share > 0.7:
            self.reopen()
            self.start()
        else:
            self.wait(WAIT_MAX_S[Awaited.SEQUENCE])
            self.wait(max(WAIT_MAX_S.values()))
        expected = self.state()
        self.look({})
        assert self.stored_live() == expected.live
        self.check_marks(expected.marks)
        assert self.state() == expected

    def wait(self, seconds: float) -> None:
        """Until what waits so long at most has waited in vain."""
        for _ in range(2):  # what has come since is seen first, and has waited the next time
            self.now += seconds
            self.ledger.handle_timer(self.now)
        self.commit()

    def commit(self) -> None:
        """Until all that is to be removed is; who is destroyed begins again under another number."""
        self.ledger.commit(now_ms=2_000)
        while self.ledger.is_purging:
            self.ledger.commit(now_ms=2_000)
        heard = self.ledger.drain_leaving().heard.values()
        self.let_through += [each.message for each in chain.from_iterable(heard)]
        (record,) = (record for record in self.store.communities() if record.served)
        self.number = record.number

    def stored_live(self) -> set[bytes]:
        return self.in_part(self.number) | self.in_part(on_request(self.number))

    def in_part(self, number: int) -> set[bytes]:
        keys, _, complete = self.store.scan(number, ORDER_LOW, ORDER_TOP, LOG_MAX)
        assert complete
        return {keys[start + 8 : start + 40] for start in range(0, len(keys), 40)}

    def look(self, came: dict[bytes, Message]) -> None:
        """See what of it all is held."""
        entries = [entry for entry in self.store.log(1, LOG_MAX) if entry.type == EntryType.MESSAGE]
        logged = {entry.message_id: bool(entry.marks & ERASED) for entry in entries}
        every = {**self.bare, **came, **self.held}
        awaited = {each: self.awaited(each) for each in every.keys() - logged.keys()}
        self.bare = {each: left_of(every[each]) for each, what in awaited.items() if what == Awaited.UNDO}
        held = {
            each: left_of(message) if logged.get(each) else message
            for each, message in every.items()
            if each in logged or awaited[each] not in ("", Awaited.UNDO)
        }
        assert logged.keys() <= every.keys()
        self.held = held
        self._state = None

    def awaited(self, message_id: bytes) -> str:
        """What a message waits for, "" if it does not."""
        is_waiting, _ = self.ledger.fate(self.number, message_id)
        return str(self.ledger.explain(self.number, message_id)["awaited"]) if is_waiting else ""

    def check_marks(self, expected: dict[bytes, Marks]) -> None:
        own = {each for each in self.stored_live() if self.is_on_request(self.held[MessageId(each)])}
        assert self.in_part(on_request(self.number)) == own
        logged = [entry for entry in self.store.log(1, LOG_MAX) if entry.type == EntryType.MESSAGE]
        stored = {entry.message_id: entry.marks for entry in logged}
        # Of what is on request an undo may stand no longer that has erased: nobody has back what is gone.
        gone = {each for each in self.erased & own if not expected[MessageId(each)].erased}
        self.erased = {each for each, marks in stored.items() if marks & ERASED}
        for entry in logged:
            raw = self.pen.raws[MessageId(entry.message_id)]
            (message,) = self.store.messages([entry.cursor])
            assert message == (strip(raw) if entry.marks & ERASED else raw)
        for each, marks in expected.items():
            byte = HIDDEN_BY_EQUIVOCATION * marks.equivocation | HIDDEN_BY_ORDER * marks.order
            byte |= UNDONE * marks.undone | ERASED * (marks.erased or each in gone)
            assert stored[each] == byte, (each.hex()[:8], stored[each], marks)
        undone = self.store.undone([entry.cursor for entry in logged])
        assert {entry.message_id: undone[entry.cursor] for entry in logged if entry.cursor in undone} == {
            each: tuple(sorted(marks.indices)) for each, marks in expected.items() if marks.indices
        }

    def check_powers(self, expected: State) -> None:
        """Who was granted what, as everybody may ask."""
        if self.decisions.permitting(self.held.values()).hard is not None:
            return  # what begins again has none yet
        told = self.ledger.permissions(
            self.number, member="", kind=0, at=None, limit=len(expected.powers) + 1, after=b""
        )
        shown = {
            (row["member"], row["kind"], row["permission"], (row["since"], row["proof"][-1]), row["depth"])
            for row in told["permissions"]
        }
        powers = {
            (each.member, each.kind, each.permission, each.since, each.depth) for each in expected.powers
        }
        assert shown == powers, shown ^ powers

    def story(self, live: set[bytes], expected: Iterable[bytes], messages: list[Message]) -> str:
        """What is live and should not be, or the other way round."""
        known = {**self.held, **{message.id: message for message in messages}}
        wrong = live.symmetric_difference(expected)
        return "\n".join(f"{'live' if each in live else 'not live'}: {known.get(each)}" for each in wrong)


class DiskNode(WrittenNode):
    """One that has its store on disk, and writes sorted runs as a large one does."""

    stores = count()

    def new_store(self) -> StoreWriter:
        self.folder = self.keys / f"store-{next(self.stores)}"
        return self.open_store()

    def open_store(self) -> StoreWriter:
        return LmdbStore(self.folder, run_records=RUN_RECORDS, map_size=MAP_SIZE)

    def reopen(self) -> None:
        self.store.close()
        self.store = self.open_store()


def left_of(message: Message) -> Message:
    """What an undo that erases leaves of a message: nobody can tell any more how long it was."""
    return replace(message, is_long=False) if isinstance(message, DataMessage) else message


def undos_of(messages: Iterable[Message]) -> list[ControlMessage]:
    return [each for each in messages if isinstance(each, ControlMessage) and isinstance(each.body, Undo)]


def _takes_back(undo: ControlMessage, message: Message) -> bool:
    body = undo.body
    return (
        isinstance(message, DataMessage)
        and isinstance(body, Undo)
        and undo.author in message.authors
        and body == Undo(message.id, message.kind, message.global_time, None)
        and undo.global_time > message.global_time
    )
