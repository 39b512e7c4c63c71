"""The ledger: every order has one outcome, numbers are given once, and a disk that refuses loses nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dispersy.errors import StorageError, UsageError, WireError
from dispersy.ext.digest import identify_many
from dispersy.ext.wire import DROP_REASONS, parse_messages
from dispersy.protocol.definitions.definition import Definition, Kind, default_definition, encode_definition
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.wire.message import MessageTooLong, read_message
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.storage.keyring import Keyring
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch, EntryType
from dispersy.workers.authoring.publishing import PUBLISH_MESSAGES_MAX
from dispersy.workers.ledger import Ledger

NOW_MS = 1_700_000_000_000
DEFINITION = encode_definition(default_definition("chat"))
NEAR = encode_definition(default_definition("near"))


class FailingStore(MemoryStore):
    """Refuses the next commit when told to, and counts those that reach it."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = False
        self.commits = 0

    def commit(self, batch: Batch) -> tuple[int, int]:
        self.commits += 1
        if self.fails:
            self.fails = False
            raise StorageError("/disk: no space left")
        return super().commit(batch)


class House:
    """A ledger and what a writer does around it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.store = FailingStore()
        self.start()

    def start(self) -> None:
        self.ledger = Ledger(self.store, Keyring(self.home / "keys"), now_ms=NOW_MS)

    def commit(self) -> dict[Any, Any]:
        """The outcome of every ticket."""
        _, outcomes = self.ledger.commit(now_ms=NOW_MS)
        assert len({ticket for ticket, _ in outcomes}) == len(outcomes)
        return dict(outcomes)

    def create(self, name: str = "chat") -> dict[str, Any]:
        self.ledger.create("create", name=name, definition=DEFINITION)
        outcome = self.commit()["create"]
        assert isinstance(outcome, dict)
        return outcome

    def publish(
        self,
        ticket: str,
        groups: Sequence[Sequence[bytes]],
        *,
        request: int = 1,
        kind: int = 64,
        number: int = 1,
        as_key: str = "",
    ) -> None:
        self.ledger.publish(
            ticket,
            number=number,
            kind=kind,
            groups=groups,
            request_id=NOW_MS.to_bytes(6, "big") + request.to_bytes(10, "big"),
            as_key=as_key,
            now_ms=NOW_MS,
        )

    def data(self) -> list[tuple[int, int, int, tuple[bytes, ...]]]:
        """(cursor, global time, sequence, payloads) of every data message in the log."""
        found = []
        for entry in self.store.log(1, 10_000):
            if entry.type == EntryType.MESSAGE and entry.message[0] >= 64:
                record = next(each for each in self.store.communities() if each.number == entry.community)
                view = read_message(CommunityId(record.community_id), entry.message)
                found.append((entry.cursor, int(view.global_time), int(view.sequence), view.payloads))
        return found


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_create_makes_keys_and_a_definition(house: House) -> None:
    """Goal: a new community is known, defined, ours, and its keys are in the keyring."""
    made = house.create()
    [record] = house.store.communities()
    assert (record.number, record.name, record.is_master) == (made["number"], "chat", True)
    keyring = Keyring(house.home / "keys")
    assert {keyring.by_name(name).public for name in made["keys_made"]} == {
        record.community_id,
        record.member_id,
    }
    assert read_message(CommunityId(record.community_id), record.definition).payloads == (DEFINITION,)
    assert house.store.state(1).summary.count == 1


@pytest.mark.parametrize(
    ("definition", "error"),
    [
        (b"junk", WireError),
        (
            encode_definition(
                Definition("big", tuple(Kind(number=64 + at, name=f"kind-{at:026}") for at in range(40)))
            ),
            MessageTooLong,
        ),
    ],
)
def test_a_definition_that_cannot_be_leaves_nothing_behind(
    house: House, definition: bytes, error: type[Exception]
) -> None:
    """Goal: a refused create is no half-made community."""
    with pytest.raises(error):
        house.ledger.create("a", name="big", definition=definition)
    assert house.commit() == {}
    assert house.store.communities() == []
    house.ledger.create("b", name="big", definition=DEFINITION)
    assert house.commit()["b"]["number"] == 1


def test_join_twice_is_one_community_with_all_peers(house: House) -> None:
    """Goal: joining again adds addresses, makes no key and no second community; old addresses make room."""
    house.ledger.join("a", community_id=bytes(31) + b"\1", name="", peers=["192.0.2.1:1"])
    house.ledger.join("b", community_id=bytes(31) + b"\1", name="other", peers=["192.0.2.2:2", "192.0.2.1:1"])
    outcomes = house.commit()
    assert (outcomes["a"]["already"], outcomes["b"]["already"]) == (False, True)
    assert outcomes["b"]["keys_made"] == []
    [record] = house.store.communities()
    assert record.bootstrap == ("192.0.2.1:1", "192.0.2.2:2")
    house.ledger.join(
        "c", community_id=record.community_id, name="", peers=[f"192.0.2.3:{p}" for p in range(1, 99)]
    )
    house.commit()
    assert len(house.store.communities()[0].bootstrap) == 32


def test_publish_gives_rising_numbers_and_all_cursors(house: House) -> None:
    """Goal: global time, sequence and cursor rise without a gap; several payloads take several cursors."""
    house.create()
    house.publish("a", [[b"one"], [b"two", b"three", b"four"]], request=1)
    house.publish("b", [[b"five"]], request=2)
    outcomes = house.commit()
    data = house.data()
    assert [(at[1], at[2]) for at in data] == [(2, 1), (3, 2), (4, 3)]
    assert [at[0] for at in data] == [2, 3, 6]
    assert (outcomes["a"]["first_cursor"], outcomes["a"]["last_cursor"]) == (2, 5)
    assert (outcomes["b"]["first_cursor"], outcomes["b"]["last_cursor"]) == (6, 6)
    assert len(outcomes["a"]["ids"]) == 2
    assert house.store.last_cursor() == 6


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_repeated_request_gives_the_first_answer(house: House, committed: bool, restarted: bool) -> None:
    """Goal: what a client repeats is published once, whenever it repeats it."""
    house.create()
    house.publish("a", [[b"one"], [b"two"]])
    first = house.commit()["a"] if committed else None
    if committed and restarted:
        house.start()
    house.publish("b", [[b"one"], [b"two"]])
    outcomes = house.commit()
    first = first or outcomes["a"]
    assert {**outcomes["b"], "repeated": False} == first
    assert outcomes["b"]["repeated"] == committed
    assert len(house.data()) == 2


@pytest.mark.parametrize(
    ("kind", "groups", "number"),
    [
        (64, [[b"good"], [b"\xff"], [b"good"]], 1),
        (64, [[b"good"], [b"a" * 1025]], 1),
        (65, [[b"good"]], 1),
        (0, [[DEFINITION]], 1),
        (300, [[b"good"]], 1),
        (64, [[b"good"], []], 1),
        (64, [[b"good"], [b"a" * 1000]], 1),
        (64, [[b"a"] * 256], 1),
        (64, [], 1),
        (64, [[b"a"]] * (PUBLISH_MESSAGES_MAX + 1), 1),
        (64, [[b"good"]], 2),
        (64, [[b"good"]], 9),
    ],
)
def test_a_refused_request_publishes_nothing_of_it(
    house: House, kind: int, groups: list[list[bytes]], number: int
) -> None:
    """Goal: all of a request or nothing, now or later, and no number is lost by it."""
    house.create()
    house.ledger.join("join", community_id=bytes(31) + b"\1", name="", peers=[])
    house.commit()
    with pytest.raises(UsageError):
        house.publish("a", groups, kind=kind, number=number)
    assert house.commit() == {}
    assert house.data() == []
    house.publish("b", [[b"good"]])
    assert house.commit()["b"]["repeated"] is False
    assert [(at[1], at[2]) for at in house.data()] == [(2, 1)]


def test_a_failed_commit_answers_everybody_and_reuses_the_numbers(house: House) -> None:
    """Goal: no order is left without an outcome, nothing of it happened, and repeating it works."""
    house.create()
    house.publish("kept", [[b"kept"]], request=1)
    house.commit()
    before = house.data()
    house.publish("a", [[b"one"], [b"two"]], request=2)
    house.publish("b", [[b"one"], [b"two"]], request=2)
    house.ledger.create("c", name="new", definition=DEFINITION)
    house.ledger.join("d", community_id=bytes(31) + b"\1", name="", peers=[])
    house.store.fails = True
    outcomes = house.commit()
    assert sorted(outcomes) == ["a", "b", "c", "d"]
    assert all(isinstance(outcome, StorageError) for outcome in outcomes.values())
    assert house.data() == before
    assert house.commit() == {}
    # The same again: the keys that the failed orders left are no hindrance.
    house.publish("e", [[b"one"], [b"two"]], request=2)
    house.ledger.create("f", name="new", definition=DEFINITION)
    house.ledger.join("g", community_id=bytes(31) + b"\1", name="", peers=[])
    outcomes = house.commit()
    assert outcomes["e"]["repeated"] is False
    assert (outcomes["f"]["number"], outcomes["g"]["number"]) == (2, 3)
    assert [(at[0], at[1], at[2]) for at in house.data()] == [(2, 2, 1), (3, 3, 2), (4, 4, 3)]
    house.publish("kept", [[b"kept"]], request=1)
    assert house.commit()["kept"]["repeated"] is True


def test_messages_known_already_cost_no_write(house: House) -> None:
    """Goal: a neighbour that sends the same again and again does not make the disk work."""
    house.create()
    house.publish("a", [[b"one"]])
    house.commit()
    commits = house.store.commits
    house.ledger.receive(1, 5, b"", b"")
    note, _ = house.ledger.commit(now_ms=NOW_MS)
    assert note is not None
    assert note.processed == {1: 5}
    assert house.store.commits == commits


def test_accounts_survive_a_failed_commit(house: House) -> None:
    """Goal: those who count what is on its way to the store are told of what was lost, too."""
    house.create()
    house.publish("a", [[b"one"]])
    house.ledger.receive(1, 5, b"", b"")
    house.store.fails = True
    house.commit()
    assert house.ledger.note().processed == {1: 5}


def test_a_newcomers_clock_goes_on_from_its_neighbours(house: House) -> None:
    """Goal: it is lifted to their word and never set back; one that is none, where nothing is pruned, is not;
    unknown communities are nobody's."""
    house.ledger.join("join", community_id=bytes(31) + b"\1", name="", peers=[])
    house.create()
    house.ledger.hear_clock(1, 500, is_median=True, is_newcomer=True)
    house.ledger.hear_clock(1, 400, is_median=True, is_newcomer=True)
    for is_median in (False, True):
        house.ledger.hear_clock(1, 900, is_median=is_median, is_newcomer=False)
    house.ledger.hear_clock(99, 900, is_median=True, is_newcomer=True)
    house.publish("a", [[b"one"]], number=2)
    house.commit()
    assert house.data()[0][1] == 2
    house.ledger.receive(1, 0, b"", b"")
    house.commit()
    assert house.store.state(1).clock == 500


def test_our_own_newest_message_is_never_overtaken(house: House) -> None:
    """Goal: on a home whose clock lags behind its own messages, the next one still comes after them."""
    house.create()
    record = house.store.communities()[0]
    house.store.heads.put(1, record.member_id, 64, 41, 900_000, False)
    house.publish("a", [[b"one"], [b"two"]])
    outcome = house.commit()["a"]
    assert [(at[1], at[2]) for at in house.data()] == [(900_001, 42), (900_002, 43)]
    assert outcome["ids"] == [entry.message_id for entry in house.store.log(2, 2)]


def test_our_own_messages_that_come_back_unknown_are_noticed(house: House) -> None:
    """Goal: what was published elsewhere with our key is counted and never overtaken; our own echo is not."""
    house.create()
    older = FailingStore()
    older.commit(Batch(communities=house.store.communities()))
    house.publish("a", [[b"%d" % number] for number in range(5)])
    house.commit()
    messages = [entry.message for entry in house.store.log(2, 5)]
    area = b"".join(encode_uvarint(len(message)) + message for message in messages)
    records = parse_messages(area, bytearray(4 * len(DROP_REASONS)))
    [record] = house.store.communities()
    identify_many(records, area, record.community_id)

    house.ledger.receive(1, 5, bytes(records), area)
    house.commit()
    assert house.ledger.own_messages_unknown() == []

    house.store = older
    house.start()
    house.ledger.receive(1, 5, bytes(records), area)
    house.publish("b", [[b"six"]], request=2)
    house.commit()
    assert house.ledger.own_messages_unknown() == [(1, record.community_id, 5)]
    assert [(at[2], at[3]) for at in house.data()][-1] == (6, (b"six",))


def test_receive_for_an_unknown_community_is_dropped(house: House) -> None:
    """Goal: what a worker sends for a community that is not here does no harm."""
    house.ledger.receive(77, 3, b"", b"")
    assert house.ledger.commit(now_ms=NOW_MS) == (None, [])


def _authors(house: House) -> list[bytes]:
    """Of the data messages, as they were stored."""
    log = house.store.log(1, 100)
    return [
        entry.message[2:34] for entry in log if entry.type == EntryType.MESSAGE and entry.message[0] >= 64
    ]


def test_a_request_signs_as_the_key_that_it_names(house: House) -> None:
    """Goal: by name or by public key, each with sequences of its own; without one it is our own key."""
    made = house.create()
    key = Keyring(house.home / "keys").create("work")
    for request, as_key in enumerate(["", "work", key.public.hex(), key.public.hex().upper()], start=1):
        house.publish(f"t{request}", [[b"x"]], request=request, as_key=as_key)
    house.commit()
    assert _authors(house) == [made["member_id"], key.public, key.public, key.public]
    assert [sequence for _, _, sequence, _ in house.data()] == [1, 1, 2, 3]


@pytest.mark.parametrize("as_key", ["nobody", "ab" * 32, "../chat-1-member"])
def test_a_key_that_is_not_there_is_named_with_those_that_are(house: House, as_key: str) -> None:
    """Goal: nothing is published, made or joined with a key that nobody has."""
    house.create()
    with pytest.raises(UsageError) as caught:
        house.publish("t", [[b"x"]], as_key=as_key)
    assert caught.value.code == "key-unknown"
    assert ("chat-1-member" in str(caught.value)) or as_key in str(caught.value)
    assert caught.value.hint
    before = {path.name for path in (house.home / "keys").iterdir()}
    with pytest.raises(UsageError):
        house.ledger.create("c", name="other", definition=DEFINITION, as_key=as_key)
    with pytest.raises(UsageError):
        house.ledger.join("j", community_id=bytes(32), name="", peers=(), as_key=as_key)
    assert {path.name for path in (house.home / "keys").iterdir()} == before
    assert house.commit() == {}
    assert _authors(house) == []


def test_a_community_may_be_joined_and_made_with_a_key_that_is_there(house: House) -> None:
    """Goal: whoever wants to be the same person in two communities says so; no key is made then."""
    house.create()
    key = Keyring(house.home / "keys").create("work")
    house.ledger.join("j", community_id=b"\5" * 32, name="far", peers=(), as_key="work")
    house.ledger.create("c", name="near", definition=NEAR, as_key="work")
    outcomes = house.commit()
    assert [outcomes[ticket]["member_id"] for ticket in ("j", "c")] == [key.public] * 2
    assert outcomes["j"]["keys_made"] == []
    assert outcomes["c"]["keys_made"] == ["near-3-master"]
