"""The intake beside rules 13, 14 and 16 as they are written: any order, any batches, any rounds."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispersy.ext.digest import identify_many, sum_many
from dispersy.ext.verify import public_key
from dispersy.ext.wire import DROP_REASONS, encode_message, parse_messages
from dispersy.protocol.definitions.definition import Definition, Kind, encode_definition
from dispersy.protocol.definitions.policies import choose
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP, CommunityId, sum_key
from dispersy.protocol.intake.marks import HIDDEN, HIDDEN_BY_EQUIVOCATION, HIDDEN_BY_ORDER
from dispersy.protocol.wire.message import NO_PREVIOUS, create_message, read_message
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.storage.keyring import Keyring
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch, CommunityRecord, EntryType, StoreWriter
from dispersy.workers.ledger import Ledger
from tests.oracle.lanes import Written, equivocated, live_of, overtaken

SEED = bytes(range(32))
MASTER = public_key(SEED)
COMMUNITY = CommunityId(MASTER)
NUMBER = 7
AUTHORS = [bytes([number]) * 32 for number in (1, 2, 3)]

Fields = tuple[int, int, int, int, int]
"""Index of the author, kind, sequence, global time, and a byte that makes several in one slot."""
fields = st.tuples(
    st.integers(0, 1), st.sampled_from([64, 65]), st.integers(1, 6), st.integers(1, 7), st.integers(0, 3)
)
# Often one slot with up to four messages, so that the lowest ids come first, last and between.
crowded = st.tuples(st.just(0), st.just(64), st.integers(3, 4), st.integers(1, 7), st.integers(0, 3))
histories = st.lists(fields | crowded, min_size=1, max_size=24, unique=True)
seeds = st.integers(0, 2**32 - 1)


def message(of: Fields, *, payload: bytes | None = None) -> bytes:
    """A message whose signature nobody checks: the intake takes verified ones."""
    author, kind, sequence, global_time, variant = of
    payloads = [bytes([variant]) if payload is None else payload]
    return encode_message(kind, 0, AUTHORS[author], b"", global_time, sequence, b"", b"", payloads) + bytes(
        64
    )


def definition(
    kinds: Iterable[int], *, global_time: int = 1, name: str = "test", seed: bytes = SEED
) -> bytes:
    """A definition message; kind 64 takes utf-8, 66 MessagePack, others bytes, of at most 100 bytes."""
    formats = {64: "utf-8", 66: "messagepack"}
    rows = [
        Kind(
            number=number,
            name=f"kind-{number}",
            payload=choose("payload", formats.get(number, "bytes"), size_max=100),
        )
        for number in sorted(kinds)
    ]
    return create_message(
        COMMUNITY,
        seed + public_key(seed),
        kind=0,
        global_time=global_time,
        sequence=1,
        payloads=[encode_definition(Definition(name, tuple(rows)))],
        previous=NO_PREVIOUS,
    )


def batch_of(messages: Sequence[bytes]) -> tuple[bytes, bytes]:
    """(packed message_records, arena), as a verifier hands them on."""
    area = b"".join(encode_uvarint(len(raw)) + raw for raw in messages)
    records = parse_messages(area, bytearray(4 * len(DROP_REASONS)))
    identify_many(records, area, COMMUNITY)
    return bytes(records), area


def written(raw: bytes) -> Written:
    view = read_message(COMMUNITY, raw)
    assert view.author is not None
    return Written(view.author, view.kind, view.sequence, view.global_time, view.id)


class Node:
    """A ledger over a store, and the shown messages as one who follows the log by commits knows them."""

    def __init__(self, store: StoreWriter, keys: Path, *, known: bytes | None = None) -> None:
        self.store = store
        self.keys = keys
        if not store.communities():
            raw = definition([64, 65]) if known is None else known
            store.commit(Batch(communities=[CommunityRecord(NUMBER, MASTER, "test", MASTER, raw)]))
        self.ledger = Ledger(store, Keyring(keys), now_ms=1_000)
        self.shown: set[bytes] = set()
        self._followed = store.last_cursor()

    def receive(self, messages: Sequence[bytes]) -> None:
        self.ledger.receive(NUMBER, len(messages), *batch_of(messages))

    def commit(self) -> None:
        self.ledger.commit(now_ms=2_000)
        follow(self.store, self._followed + 1, self.shown)
        self._followed = self.store.last_cursor()

    def live(self) -> list[bytes]:
        """Ids in the store's order."""
        keys, _, complete = self.store.scan(NUMBER, ORDER_LOW, ORDER_TOP, 100_000)
        assert complete
        return [keys[start + 8 : start + 40] for start in range(0, len(keys), 40)]

    def marks(self) -> dict[bytes, int]:
        """By id, of what is live."""
        live = set(self.live())
        entries = self.store.log(1, 1_000_000)
        return {
            e.message_id: e.marks for e in entries if e.type == EntryType.MESSAGE and e.message_id in live
        }


def follow(store: StoreWriter, first: int, shown: set[bytes]) -> None:
    """Take in log entries from a cursor on, as an application does."""
    for entry in store.log(first, 1_000_000):
        if entry.type == EntryType.MESSAGE and not entry.marks & HIDDEN:
            assert entry.message_id not in shown
            shown.add(entry.message_id)
        elif entry.type == EntryType.DENIED:
            shown.discard(entry.message_id)
        elif entry.type == EntryType.RESTORED:
            shown.add(entry.message_id)


def feed(node: Node, messages: Sequence[bytes], rng: random.Random) -> None:
    """All messages and some again, in any order, in any batches and rounds."""
    order = [*messages, *rng.choices(messages, k=len(messages) // 3)]
    rng.shuffle(order)
    while order:
        size = rng.choice((1, 2, 5, 20))
        node.receive(order[:size])
        del order[:size]
        if rng.random() < 0.6:
            node.commit()
    node.commit()


def check(node: Node, messages: Iterable[bytes]) -> None:
    """Live set, marks, summary and what followers show are those of the rules."""
    live = live_of(written(raw) for raw in messages)
    twice, late = equivocated(live), overtaken(live)
    assert node.live() == [
        each.message_id for each in sorted(live, key=lambda e: (e.global_time, e.message_id))
    ]
    assert node.marks() == {
        each.message_id: HIDDEN_BY_EQUIVOCATION * (each in twice) + HIDDEN_BY_ORDER * (each in late)
        for each in live
    }
    summary = node.store.state(NUMBER).summary
    assert summary.count == len(live)
    assert summary.sum == sum_many(b"".join(node.live()), sum_key(COMMUNITY))
    assert summary.highest == max(each.global_time for each in live)
    expected = {each.message_id for each in live - twice - late}
    assert node.shown == expected
    replayed: set[bytes] = set()
    follow(node.store, 1, replayed)
    assert replayed == expected


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home") / "keys"


@settings(max_examples=250, deadline=None)
@given(history=histories, seeds=st.lists(seeds, min_size=2, max_size=3))
def test_the_outcome_is_a_function_of_the_set(history: list[Fields], seeds: list[int], keys: Path) -> None:
    """Goal: the same messages in any order, batches and rounds give what the rules say."""
    messages = [message(of) for of in history]
    for seed in seeds:
        node = Node(MemoryStore(), keys)
        feed(node, messages, random.Random(seed))
        check(node, messages)


@settings(max_examples=12, deadline=None)
@given(history=histories, seed=seeds)
def test_the_same_on_disk_and_across_restarts(history: list[Fields], seed: int, keys: Path) -> None:
    """Goal: what the writer has in memory (heads, runs) is there again after a restart between two rounds."""
    messages = [message(of) for of in history]
    rng = random.Random(seed)
    rng.shuffle(messages)
    half = len(messages) // 2
    with tempfile.TemporaryDirectory() as folder:
        store = LmdbStore(folder, run_records=5, map_size=1 << 26)
        first = Node(store, keys)
        if half:
            feed(first, messages[:half], rng)
        store.close()
        store = LmdbStore(folder, run_records=5, map_size=1 << 26)
        second = Node(store, keys)
        second.shown = first.shown
        feed(second, messages[half:], rng)
        check(second, messages)
        store.close()


@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_messages_in_order_and_late_ones_in_one_block(seed: int, keys: Path) -> None:
    """Goal: what the kernel decides and what is looked at closer agree where both meet in one block."""
    rng = random.Random(seed)
    regular = [(author, 64, step, 10 * step, 0) for author in range(3) for step in range(1, 61)]
    regular.sort(key=lambda of: of[3])
    for _ in range(rng.randrange(6)):
        place, other = rng.randrange(len(regular)), rng.randrange(len(regular))
        regular[place], regular[other] = regular[other], regular[place]
    odd = [
        (rng.randrange(3), 64, rng.randrange(1, 61), rng.randrange(1, 601), rng.randrange(4))
        for _ in range(5)
    ]
    for each in odd[: rng.randrange(6)]:
        if each not in regular:
            regular.insert(rng.randrange(len(regular)), each)
    messages = [message(of) for of in regular]
    node = Node(MemoryStore(), keys)
    cut = rng.randrange(len(messages))
    for block in (messages[:cut], messages[cut:], messages[::7]):
        node.receive(block)
        if rng.random() < 0.5:
            node.commit()
    node.commit()
    check(node, messages)


def test_what_was_hidden_by_order_comes_back(keys: Path) -> None:
    """Goal: when lower ids put out a message that overtook another, that one is shown again."""
    overtaken_one = message((0, 64, 3, 5, 0))
    by_id = sorted(
        (message((0, 64, 4, 1, variant)) for variant in range(40)), key=lambda raw: written(raw).message_id
    )
    others = sorted(
        (message((0, 64, 4, 7, variant)) for variant in range(40)), key=lambda raw: written(raw).message_id
    )
    node = Node(MemoryStore(), keys)
    for block in ([overtaken_one], by_id[-1:], others[:1], others[1:2]):
        node.receive(block)
        node.commit()
    check(node, [overtaken_one, by_id[-1], *others[:2]])
    assert written(overtaken_one).message_id in node.shown


def test_in_order_messages_are_one_block(keys: Path) -> None:
    """Goal: messages that are in order stay the batch they came in (the fast path is taken at all)."""
    node = Node(MemoryStore(), keys)
    batch = batch_of([message((0, 64, step, step, 0)) for step in range(1, 101)])
    intake = node.ledger._communities.by_number[NUMBER].intake
    intake.receive(*batch)
    [(records, arena, marks)] = intake.finish().blocks
    assert (records, arena, marks) == (*batch, bytes(100))


# -- definitions


def test_nothing_but_a_definition_is_taken_before_it_is_known(keys: Path) -> None:
    """Goal: a newcomer without a definition stores no message, not even one of Dispersy's own kinds."""
    node = Node(MemoryStore(), keys, known=b"")
    node.receive([message((0, 64, 1, 1, 0))])
    node.commit()
    assert node.live() == []
    raw = definition([64])
    node.receive([message((0, 64, 2, 2, 0)), raw, message((0, 64, 3, 3, 0))])
    node.commit()
    # In one batch definitions go before all else.
    assert len(node.live()) == 3
    assert node.store.communities()[0].definition == raw
    assert node.ledger.counters["definition-unknown"] == 1


@settings(max_examples=60, deadline=None)
@given(seed=seeds)
def test_the_newest_definition_counts_in_every_order(seed: int, keys: Path) -> None:
    """Goal: the highest global time wins, then the lower id, however they arrive; all of them are live."""
    rng = random.Random(seed)
    every = [definition([64], global_time=1 + at // 3, name=f"name-{at}") for at in range(9)]
    order = [*every, rng.choice(every)]
    rng.shuffle(order)
    node = Node(MemoryStore(), keys, known=b"")
    while order:
        size = rng.randrange(1, 4)
        node.receive(order[:size])
        del order[:size]
        if rng.random() < 0.6:
            node.commit()
    node.commit()
    winner = min(every[6:], key=lambda raw: read_message(COMMUNITY, raw).id)
    assert node.store.communities()[0].definition == winner
    assert set(node.live()) == {read_message(COMMUNITY, raw).id for raw in every}


@settings(max_examples=60, deadline=None)
@given(history=histories, seed=seeds)
def test_unknown_kinds_wait_for_a_newer_definition(history: list[Fields], seed: int, keys: Path) -> None:
    """Goal: a kind that is defined later ends as if it had been defined before."""
    rng = random.Random(seed)
    messages = [message(of) for of in history]
    raws = [definition([64]), definition([64, 65], global_time=2)]
    node = Node(MemoryStore(), keys, known=raws[0])
    feed(node, [*messages, raws[1]], rng)
    later = Node(MemoryStore(), keys, known=raws[1])
    feed(later, messages, rng)
    own = read_message(COMMUNITY, raws[1]).id
    assert [each for each in node.live() if each != own] == later.live()
    assert {each: marks for each, marks in node.marks().items() if each != own} == later.marks()
    assert node.shown - {own} == later.shown


def test_a_kind_without_definition_is_neither_live_nor_lost(keys: Path) -> None:
    """Goal: between the two definitions the waiting message is nowhere to be seen."""
    node = Node(MemoryStore(), keys, known=definition([64]))
    early = message((0, 65, 1, 1, 0))
    node.receive([early])
    node.commit()
    assert node.live() == []
    assert node.ledger.fate(NUMBER, read_message(COMMUNITY, early).id) == (True, "")
    assert node.store.state(NUMBER).summary.count == 0
    node.receive([definition([64, 65], global_time=2)])
    node.commit()
    assert len(node.live()) == 2


def test_definitions_of_others_are_refused(keys: Path) -> None:
    """Goal: only the community's own key defines it; what this version does not understand or enforce has no
    effect, is counted by name, and is live all the same: it must be able to pass through us."""
    node = Node(MemoryStore(), keys, known=b"")
    node.receive([definition([64], seed=bytes(32))])
    node.commit()
    assert node.ledger.counters["definition-author"] == 1
    secret = SEED + MASTER
    strange = encode_definition(Definition("test", (Kind(number=64, name="text", batch_window_ms=10_001),)))
    for payloads in ([b"junk"], [strange], [strange, strange]):
        raw = create_message(
            COMMUNITY, secret, kind=0, global_time=1, sequence=1, payloads=payloads, previous=NO_PREVIOUS
        )
        node.receive([raw])
        node.commit()
    assert node.ledger.counters["definition-malformed"] == 2
    assert node.ledger.counters["definition-not-enforced"] == 1
    assert len(node.live()) == 3
    assert node.store.communities()[0].definition == b""


@settings(max_examples=60, deadline=None)
@given(history=histories, seed=seeds)
def test_narrower_definitions_divide_nobody(history: list[Fields], seed: int, keys: Path) -> None:
    """Goal: definitions that take kinds away, in any order among the messages, leave one live set."""
    rng = random.Random(seed)
    messages = [message(of) for of in history]
    definitions = [definition([64, 65]), definition([65], global_time=2), definition([64], global_time=3)]
    ends = []
    for _ in range(2):
        node = Node(MemoryStore(), keys, known=b"")
        mixed = [*messages, *definitions]
        rng.shuffle(mixed)
        feed(node, mixed, rng)
        # What came before any definition was refused; synchronisation offers it again.
        feed(node, mixed, rng)
        ends.append((set(node.live()), node.marks(), node.store.communities()[0].definition))
    assert ends[0] == ends[1]
    assert ends[0][2] == definitions[2]


@pytest.mark.parametrize(
    ("kind", "payload", "reason"),
    [
        (64, b"\xff", "payload-utf-8"),
        (64, b"a" * 101, "payload-size"),
        (65, b"a" * 101, "payload-size"),
        (65, b"\xff" * 100, None),
        (64, "\u20ac".encode() * 33, None),
        (66, b"\x92\x01\xa1a", None),
        (66, b"\x92\x01", "payload-messagepack"),
        (66, b"\x01\x01", "payload-messagepack"),
    ],
)
def test_payload_rules_are_the_same_for_all(
    kind: int, payload: bytes, reason: str | None, keys: Path
) -> None:
    """Goal: what a definition forbids is refused, also among good messages, by a named reason."""
    node = Node(MemoryStore(), keys, known=definition([64, 65, 66]))
    judged = message((0, kind, 2, 2, 0), payload=payload)
    node.receive([message((0, kind, 1, 1, 0), payload=b"\x01"), judged])
    node.commit()
    assert len(node.live()) == (1 if reason else 2)
    assert node.ledger.fate(NUMBER, read_message(COMMUNITY, judged).id) == (False, reason or "")
    assert reason is None or node.ledger.counters[reason] == 1


def test_flags_that_no_kind_allows_are_refused(keys: Path) -> None:
    """Goal: a second author, a recipient or hops end in a counter, never in the store or an error.

    (What has no author has no signature either, and no verifier lets it pass.)
    """
    node = Node(MemoryStore(), keys)
    one, two = AUTHORS[:2]
    every = [
        encode_message(64, 1, one + two, b"", 1, 1, b"", b"", [b"a"]) + bytes(128),
        encode_message(64, 4, one, two, 1, 1, b"", b"", [b"a"]) + bytes(64),
        encode_message(64, 8, one, b"", 1, 1, b"", bytes(17), [b"a"]) + bytes(64),
        encode_message(1, 0, one, b"", 1, 1, bytes(32), b"", [b"a"]) + bytes(64),
        encode_message(0, 1, MASTER + two, b"", 1, 1, bytes(32), b"", [b"a"]) + bytes(128),
    ]
    node.receive(every)
    node.commit()
    assert node.live() == []
    assert node.ledger.counters["policy-authentication"] == 3
    assert node.ledger.counters["definition-author"] == 1
