"""The LMDB store and the memory store answer every read as a plain model does, whatever is committed."""

from __future__ import annotations

import shutil
import tempfile
from array import array
from itertools import product
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dispersy.constants import SYMBOLS_KEPT
from dispersy.ext.table import Heads
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP
from dispersy.protocol.intake.marks import DENIED, ERASED, HIDDEN_BY_ORDER, ON_REQUEST, UNDONE
from dispersy.protocol.wire.records import MESSAGE
from dispersy.protocol.wire.stripped import Stripped
from dispersy.storage.lmdb_store import LmdbReader, LmdbStore
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import (
    Batch,
    BlockedRecord,
    CommunityRecord,
    EntryType,
    EventEntry,
    RequestRecord,
    StoreReader,
    StoreWriter,
    on_request,
)
from tests.oracle.store import Model, Sample, Stored, block

SUM_BITS = 24
RUN_RECORDS = 4
"""So small that a run is written with nearly every commit, and eight of them are merged."""
COMMUNITIES = [1, 2, 3, 0x7FFFFFFF]
AUTHORS = [bytes([number]) * 32 for number in (1, 2, 255)]
PAIRS = [(AUTHORS[0], AUTHORS[1]), (AUTHORS[1], AUTHORS[0])]
"""Authors that sign together, in either order."""
LANES = [*AUTHORS, *(Sample(one, 64, 1, 1, second=other).lane for one, other in PAIRS)]
KINDS = [1, 64, 255]

samples = st.builds(
    lambda authors, **parts: Sample(authors[0], second=authors[1], **parts),
    authors=st.sampled_from([*((author, b"") for author in AUTHORS), *PAIRS]),
    kind=st.sampled_from(KINDS),
    global_time=st.one_of(st.integers(1, 40), st.integers(1, (1 << 63) - 1)),
    sequence=st.one_of(st.integers(1, 12), st.integers(1, (1 << 63) - 1)),
    payload_count=st.sampled_from([1, 1, 1, 2, 255]),
    salt=st.integers(0, 3),
)
marks = st.sampled_from([0, HIDDEN_BY_ORDER, UNDONE, UNDONE | DENIED])
arriving_marks = marks | st.sampled_from([UNDONE | ERASED, ON_REQUEST, ON_REQUEST | UNDONE | ERASED])
groups = st.lists(samples, max_size=12, unique_by=lambda sample: sample.message_id)


class StoreMachine(RuleBasedStateMachine):
    """Random batches, as an intake would make them, on both stores and on the model."""

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dispersy-store-"))
        self.lmdb = self._open_lmdb()
        self.memory = MemoryStore(sum_bits=SUM_BITS)
        self.model = Model(sum_bits=SUM_BITS)
        self.heads: dict[tuple[int, bytes, int], tuple[int, int, bool]] = {}
        self.purged: set[int] = set()
        records = [
            CommunityRecord(
                number, bytes([number & 255]) * 32, f"name {number}", b"m" * 32, b"", ("a:1", "b:2")
            )
            for number in COMMUNITIES
        ]
        self._commit(Batch(communities=records), [])
        self.reader = LmdbReader(self.folder / "store")

    def _open_lmdb(self) -> LmdbStore:
        return LmdbStore(self.folder / "store", sum_bits=SUM_BITS, run_records=RUN_RECORDS)

    def teardown(self) -> None:
        if hasattr(self, "lmdb"):
            self.reader.close()
            self.lmdb.close()
            shutil.rmtree(self.folder)

    def writers(self) -> list[StoreWriter]:
        return [self.lmdb, self.memory]

    def _commit(self, batch: Batch, groups: list[list[Sample]]) -> None:
        expected = self.model.commit(batch, groups)
        for store in self.writers():
            assert store.commit(batch) == expected

    def _kept(self) -> list[Stored]:
        """In communities that nobody has begun to remove."""
        return [stored for stored in self.model.stored if stored.community not in self.purged]

    def _advance(self, community: int, fresh: list[Sample]) -> None:
        """Heads as an intake keeps them: in order by the kernel, else by hand, irregular from then on."""
        for sample in fresh:
            lane = (community, sample.lane, sample.kind)
            packed = block(community, [sample])
            last = self.heads.get(lane, (0, 0, False))
            in_order = not last[2] and sample.sequence > last[0] and sample.global_time > last[1]
            if in_order:
                self.heads[lane] = (sample.sequence, sample.global_time, False)
            else:
                self.heads[lane] = (max(last[0], sample.sequence), max(last[1], sample.global_time), True)
            for store in self.writers():
                advanced = store.heads.advance_many(packed.records, packed.arena, community, b"\1")
                assert advanced == bytes([in_order])
                if not in_order:
                    store.heads.put(*lane, *self.heads[lane])

    @rule(
        chosen=st.lists(st.tuples(st.sampled_from(COMMUNITIES), groups, arriving_marks), max_size=3),
        clock=st.integers(0, 1 << 62),
        is_asked=st.booleans(),
    )
    def commit_messages(
        self, chosen: list[tuple[int, list[Sample], int]], clock: int, is_asked: bool
    ) -> None:
        chosen = [each for each in chosen if each[0] not in self.purged]
        taken = {(stored.community, stored.sample.message_id) for stored in self._kept()}
        homes = {stored.sample.message_id: stored.community for stored in self.model.stored}
        batch = Batch()
        fresh_groups = []
        for community, group, mark in chosen:
            # An id is of one community, which it is a hash of.
            fresh = [
                sample
                for sample in group
                if (community, sample.message_id) not in taken
                and homes.setdefault(sample.message_id, community) == community
            ]
            taken |= {(community, sample.message_id) for sample in fresh}
            self._advance(community, fresh)
            # Kinds of Dispersy's own are never on request.
            batch_marks = bytes([mark if each.kind >= 64 else mark & ~ON_REQUEST for each in fresh])
            batch.blocks.append(block(community, fresh, marks=batch_marks))
            fresh_groups.append(fresh)
            batch.clocks[community] = clock
        if any(fresh_groups) and is_asked:
            number = self.model.next_cursor
            batch.requests.append(RequestRecord(number.to_bytes(16, "big"), number, 1))
        self._commit(batch, fresh_groups)

    @precondition(lambda self: self._kept())
    @rule(data=st.data(), mark=st.sampled_from([0, HIDDEN_BY_ORDER]))
    def end_lives_and_begin_them_again(self, data: st.DataObject, mark: int) -> None:
        """Messages stop counting, and others count again."""
        chosen = data.draw(st.lists(st.sampled_from(self._kept()), max_size=6, unique_by=lambda s: s.cursor))
        batch = Batch()
        for stored in chosen:
            if stored.is_live:
                batch.unlive.append(stored.cursor)
            else:
                batch.relive.append((stored.cursor, mark))
            batch.events.append(_event(EntryType.DENIED if stored.is_live else EntryType.RESTORED, stored))
        self._commit(batch, [])

    @precondition(lambda self: self._kept())
    @rule(data=st.data(), time=st.integers(0, 1 << 63), horizon=st.integers(0, 0xFFFF))
    def grow_old(self, data: st.DataObject, time: int, horizon: int) -> None:
        """Messages become inactive, and what is not live is removed, also in the commit that makes it so."""
        chosen = data.draw(st.lists(st.sampled_from(self._kept()), max_size=6, unique_by=lambda s: s.cursor))
        batch = Batch(inactive=[stored.cursor for stored in chosen if stored.is_live])
        gone = [stored for stored in self._kept() if not stored.is_live or stored in chosen]
        gone = [stored for stored in gone if stored.sample.kind >= 64]
        if gone:
            leaving = st.lists(st.sampled_from(gone), max_size=6, unique_by=lambda stored: stored.cursor)
            batch.removed = [stored.cursor for stored in data.draw(leaving)]
        if chosen:
            batch.pruned = {chosen[0].community: (time, horizon)}
        self._commit(batch, [])

    @precondition(lambda self: self._kept())
    @rule(data=st.data(), ends=st.booleans())
    def move(self, data: st.DataObject, ends: bool) -> None:
        """Kinds become on request, or no longer, and in that very commit some messages stop counting."""
        kept = [stored for stored in self._kept() if stored.sample.kind >= 64]
        if not kept:
            return
        chosen = data.draw(st.lists(st.sampled_from(kept), max_size=6, unique_by=lambda s: s.cursor))
        batch = Batch(moved=[(stored.cursor, data.draw(st.booleans())) for stored in chosen])
        batch.unlive = [stored.cursor for stored in chosen if stored.is_live and ends]
        self._commit(batch, [])

    @precondition(lambda self: self._kept())
    @rule(data=st.data(), mark=marks)
    def change_marks(self, data: st.DataObject, mark: int) -> None:
        chosen = data.draw(st.lists(st.sampled_from(self._kept()), max_size=3))
        batch = Batch(marks=[(stored.cursor, mark) for stored in chosen])
        batch.events = [_event(EntryType.RESTORED, stored) for stored in chosen]
        self._commit(batch, [])

    @precondition(lambda self: self._kept())
    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(self._kept()), max_size=3))
        self._commit(Batch(erased=[stored.cursor for stored in chosen]), [])

    @rule(community=st.sampled_from(COMMUNITIES[1:]), entries_max=st.integers(1, 12))
    def purge(self, community: int, entries_max: int) -> None:
        """A portion of removing a community; what came before it is still there where it was."""
        if community not in self.model.records:
            return
        self.purged.add(community)
        self.heads = {lane: head for lane, head in self.heads.items() if lane[0] != community}
        self._commit(Batch(purges=[(community, entries_max)]), [])

    @rule(members=st.lists(st.sampled_from(AUTHORS), max_size=3), start_id=st.sampled_from(["", "a", "b"]))
    def change_what_is_no_message(self, members: list[bytes], start_id: str) -> None:
        blocked = [BlockedRecord(0, member, "") for member in members]
        self._commit(Batch(blocked=blocked, start_id=start_id), [])
        self._commit(Batch(), [])

    @rule()
    def reopen(self) -> None:
        """Only what is on disk counts."""
        self.reader.close()
        self.lmdb.close()
        self.lmdb = self._open_lmdb()
        self.reader = LmdbReader(self.folder / "store")

    @rule()
    def reload(self) -> None:
        for store in self.writers():
            store.reload()

    @rule(
        community=st.sampled_from(COMMUNITIES),
        low=st.one_of(st.just(0), st.integers(0, 45)),
        width=st.integers(0, 45),
        limit=st.integers(1, 100),
        prefix=st.binary(max_size=16),
    )
    def scan(self, community: int, low: int, width: int, limit: int, prefix: bytes) -> None:
        bounds = [
            low.to_bytes(8, "big") + prefix.ljust(16, b"\0"),
            (low + width).to_bytes(8, "big") + bytes(16),
        ]
        parts = (community, on_request(community))
        for number, high in product(parts, (max(bounds), ORDER_TOP)):
            keys, cursors, ended = self.model.scan(number, min(bounds), high, limit)
            expected = (keys, array("Q", cursors).tobytes(), ended)
            back_keys, back_cursors, back_ended = self.model.scan_back(number, min(bounds), high, limit)
            expected_back = (back_keys, array("Q", back_cursors).tobytes(), back_ended)
            for store in self.readers():
                assert store.scan(number, min(bounds), high, limit) == expected
                assert store.scan_back(number, min(bounds), high, limit) == expected_back

    @rule(behind=st.integers(0, 400), limit=st.integers(1, 50))
    def read_log_back(self, behind: int, limit: int) -> None:
        expected = [entry for entry in self.model.entries if entry.cursor < behind][::-1][:limit]
        for store in self.readers():
            assert store.log_back(behind, limit) == expected

    @rule(
        community=st.sampled_from(COMMUNITIES),
        name=st.sampled_from(LANES),
        kind=st.sampled_from(KINDS),
        sequence=st.integers(0, 14),
    )
    def look_up(self, community: int, name: bytes, kind: int, sequence: int) -> None:
        lane = self.model.lane(community, name, kind)
        everything = self.model.lane(community, name, kind, unlive=True)
        slot = [entry for entry in lane if entry.sequence == sequence]
        lower = [entry for entry in lane if entry.sequence < sequence]
        higher = [entry for entry in lane if entry.sequence > sequence]
        for store in self.writers():
            assert list(store.lane(community, name, kind)) == lane
            assert list(store.lane(community, name, kind, unlive=True)) == everything
            assert store.slot(community, name, kind, sequence) == slot[:2]
            assert store.slot(community, name, kind, sequence, unlive=True) == [
                entry for entry in everything if entry.sequence == sequence
            ]
            below, above = store.neighbours(community, name, kind, sequence)
            # Of several in a slot any may be given.
            assert (below is None) == (not lower)
            assert below is None or below in [e for e in lower if e.sequence == lower[-1].sequence]
            assert (above is None) == (not higher)
            assert above is None or above in [e for e in higher if e.sequence == higher[0].sequence]

    @rule(community=st.sampled_from(COMMUNITIES))
    def find_items(self, community: int) -> None:
        """What is live, what was, what another community has, and what nobody has, by its first bytes."""
        items = {stored.sample.message_id[:8] for stored in self.model.stored} | {b"\7" * 8}
        expected = {cursor for item in items for cursor in self.model.find_items(community, item)}
        for store in self.readers():
            found = store.find_items(community, b"".join(items))
            assert len(found) == len(set(found))
            assert set(found) == expected

    @rule(community=st.sampled_from(COMMUNITIES), first=st.integers(0, 2100), count=st.integers(0, 100))
    def read_symbols(self, community: int, first: int, count: int) -> None:
        """Any part of them, as far as they are kept."""
        symbols = self.model.symbols(community, SYMBOLS_KEPT)
        expected = None if symbols is None else symbols[13 * first : 13 * (first + count)]
        for store in self.readers():
            assert store.symbols(community, first, count) == expected

    def readers(self) -> list[StoreReader]:
        self.reader.refresh()
        return [self.lmdb, self.memory, self.reader]

    @invariant()
    def everything_is_there(self) -> None:
        if not hasattr(self, "lmdb"):
            return
        messages = [entry for entry in self.model.entries if entry.type == EntryType.MESSAGE]
        for store in self.readers():
            assert store.last_cursor() == self.model.next_cursor - 1
            assert store.log(1, 1 << 20) == self.model.entries
            assert store.communities() == [
                self.model.records[number] for number in sorted(self.model.records)
            ]
            assert (store.purges(), store.blocked()) == (self.model.purges, self.model.blocked)
            assert store.start_id() == self.model.start_id
            self._check_messages(store)
            assert store.entries([entry.cursor for entry in messages]) == messages
            for number in COMMUNITIES:
                assert store.state(number) == self.model.state(number)
                for part in (number, on_request(number)):
                    keys, cursors, ended = store.scan(part, ORDER_LOW, ORDER_TOP, 1 << 20)
                    assert (keys, list(array("Q", cursors)), ended) == self.model.scan(
                        part, ORDER_LOW, ORDER_TOP, 1 << 20
                    )
                control = self.model.control(number)
                assert store.control(number) == control
                live = [entry.message[0] for entry in control if not entry.marks & DENIED]
                assert list(store.live_control(number)) == live
                assert store.symbols(number, 0, 40) == self.model.symbols(number, 40)
                summary = self.model.state(number).summary
                tree = store.tree(number, 9, [0, 1]) or []
                counts, sums = zip(*tree, strict=True)
                assert (sum(counts), sum(sums) % (1 << SUM_BITS)) == (summary.count, summary.sum)
                self._check_held(store, number)
        cursors_by_id = {stored.sample.message_id: set[int]() for stored in self.model.stored}
        for stored in [stored for stored in self.model.stored if stored.is_live]:
            cursors_by_id[stored.sample.message_id].add(stored.cursor)
        old = {stored.sample.message_id: stored for stored in self.model.stored if stored.is_inactive}
        logged = {stored.sample.message_id: set[int]() for stored in self.model.stored}
        for stored in self.model.stored:
            logged[stored.sample.message_id].add(stored.cursor)
        for writer in self.writers():
            assert writer.requests() == self.model.requests
            found = writer.find_ids(b"".join(old), inactive=True)
            assert found == [stored.cursor for stored in old.values()]
            found = writer.find_ids(b"".join(logged), unlive=True)
            assert all(cursor in cursors for cursor, cursors in zip(found, logged.values(), strict=True))
            assert writer.highest_number() == self.model.highest_number
            found = writer.find_ids(b"".join(cursors_by_id) + b"\7" * 32)
            for cursor, cursors in zip(found, [*cursors_by_id.values(), set[int]()], strict=True):
                assert cursor in cursors or (cursor is None and not cursors)
            self._check_heads(writer.heads)
            for number in set(COMMUNITIES) - self.purged:
                for kind in KINDS:
                    for high, limit in ((20, 2), ((1 << 63) - 1, 1 << 20)):
                        expected = self.model.retired(number, kind, high, limit)
                        assert writer.retired(number, kind, high, limit) == (
                            expected if kind >= 64 else ([], True)
                        )
                    assert list(writer.lanes(number, kind)) == self.model.lanes(number, kind)
                    for name in self.model.lanes(number, kind):
                        lane = self.model.lane(number, name, kind, unlive=True)
                        assert list(writer.lane(number, name, kind, unlive=True)) == lane

    def _check_held(self, store: StoreReader, community: int) -> None:
        known = [stored for stored in self.model.stored if stored.community == community]
        records = block(community, [stored.sample for stored in known]).records
        live = {stored.sample.message_id for stored in known if stored.is_live}
        for stored in known:
            found = store.find(community, stored.sample.global_time, stored.sample.message_id)
            assert found == (stored.cursor if stored.is_live else None)
            assert store.find(community, stored.sample.global_time + 1, stored.sample.message_id) is None
        assert store.held(community, records) == bytes(
            [fields[11] in live for fields in MESSAGE.iter_unpack(records)]
        )

    def _check_messages(self, store: StoreReader) -> None:
        """Whole, or stripped where they are erased: neighbours need to be told."""
        cursors = [stored.cursor for stored in self.model.stored]
        found = store.messages(cursors)
        for stored, message in zip(self.model.stored, found, strict=True):
            is_erased = stored.cursor in self.model.erased
            assert isinstance(message, Stripped) == is_erased
            assert message == (stored.sample.stripped if is_erased else stored.sample.message)

    def _check_heads(self, heads: Heads) -> None:
        assert len(heads) == len(self.heads)
        for lane, head in self.heads.items():
            assert heads.get(*lane) == head


def _event(kind: EntryType, stored: Stored) -> EventEntry:
    return EventEntry(kind, stored.community, stored.sample.message_id, stored.cursor, "order")


StoreMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
TestStores = StoreMachine.TestCase
