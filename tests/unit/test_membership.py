"""Goal: leaving, purging, loading and blocking as the writer decides them, over crashes and restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dispersy.errors import StorageError, UsageError
from dispersy.storage.keyring import Keyring
from dispersy.storage.store import BlockedRecord, EntryType
from dispersy.workers.keeping import purging
from dispersy.workers.ledger import Ledger
from tests.unit.test_ledger import DEFINITION, NOW_MS, House

MEMBER = b"b" * 32


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = House(tmp_path)
    house.create("chat")
    house.create("news")
    return house


def order(house: House, outcome: dict[str, Any]) -> dict[str, Any]:
    """What an order is answered once it is durable."""
    house.ledger.answer("order", outcome)
    answer = house.commit()["order"]
    assert isinstance(answer, dict)
    return answer


def join_again(house: House, community_id: bytes) -> dict[str, Any]:
    house.ledger.join("join", community_id=community_id, name="", peers=[])
    answer = house.commit()["join"]
    assert isinstance(answer, dict)
    return answer


def record_of(house: House, number: int) -> Any:
    return next(record for record in house.store.communities() if record.number == number)


def test_left_without_purge_everything_comes_back(house: House) -> None:
    """Messages and member key stay; it takes no messages while it is left, and its name is free."""
    house.publish("a", [[b"one"]])
    house.commit()
    before = record_of(house, 1)
    left = order(house, house.ledger.membership.leave(1, purge=False))
    assert left == {"already": False, "messages": 2}
    assert not record_of(house, 1).served
    assert 1 not in house.ledger.note().summaries
    with pytest.raises(UsageError, match="no community"):
        house.publish("b", [[b"two"]], request=2)
    house.create("chat")
    back = join_again(house, before.community_id)
    assert (back["already"], back["member_id"], back["number"]) == (False, before.member_id, 1)
    assert record_of(house, 1).name == "chat-2"
    house.publish("c", [[b"two"]], request=3)
    house.commit()
    assert [at[2:] for at in house.data()] == [(1, (b"one",)), (2, (b"two",))]


@pytest.mark.parametrize("crash", [False, True])
def test_a_purge_goes_on_in_portions_whatever_crashes(
    house: House, monkeypatch: pytest.MonkeyPatch, crash: bool
) -> None:
    """A few entries a commit, so that others come in between; what was begun ends, and nothing else goes."""
    monkeypatch.setattr(purging, "PURGE_ENTRIES_MAX", 3)
    for at in range(6):
        house.publish(f"a{at}", [[b"one"]], request=10 + 2 * at)
        house.publish(f"b{at}", [[b"two"]], request=11 + 2 * at, number=2)
    house.commit()
    last = house.store.last_cursor()
    order(house, house.ledger.membership.leave(1, purge=True))
    portions = 1
    while house.ledger.is_purging:
        if crash:
            house.start()
        house.publish(f"c{portions}", [[b"three"]], request=100 + portions, number=2)
        outcome = house.commit()
        assert outcome[f"c{portions}"]["repeated"] is False
        portions += 1
        assert portions < 20
    assert portions > 3
    assert [record.number for record in house.store.communities()] == [2]
    assert len([at for at in house.data() if at[3] == (b"two",)]) == 6
    removed = [entry for entry in house.store.log(1, 100) if entry.type == EntryType.REMOVED]
    assert sum(entry.cursor - entry.message_cursor + 1 for entry in removed) == 7
    assert max(entry.cursor for entry in removed) <= last
    assert house.ledger.commit(now_ms=NOW_MS) == (None, [])


def test_after_a_purge_a_fresh_key_signs(house: House) -> None:
    """The old key has used sequence 1 and this node does not know it any more: it would use it twice."""
    house.publish("a", [[b"one"]])
    house.commit()
    before = record_of(house, 1)
    order(house, house.ledger.membership.leave(1, purge=True))
    assert not house.ledger.is_purging
    back = join_again(house, before.community_id)
    assert back["member_id"] != before.member_id
    # Everything in the house is known by number: another one, or a role could take the old for the new.
    assert back["number"] == 3
    keys = Keyring(house.home / "keys")
    assert keys.by_public(before.member_id).public == before.member_id
    assert keys.by_public(back["member_id"]).public == back["member_id"]


def test_joining_waits_for_the_purge(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is removed and what comes anew are never mixed."""
    monkeypatch.setattr(purging, "PURGE_ENTRIES_MAX", 1)
    community_id = record_of(house, 1).community_id
    house.publish("a", [[b"one"], [b"two"]])
    house.commit()
    order(house, house.ledger.membership.leave(1, purge=True))
    with pytest.raises(UsageError) as refused:
        house.ledger.join("join", community_id=community_id, name="", peers=[])
    assert refused.value.code == "purging"
    assert house.ledger.membership.leave(1, purge=True)["already"]
    while house.ledger.is_purging:
        house.commit()
    assert join_again(house, community_id)["already"] is False


@pytest.mark.parametrize("restarted", [False, True])
def test_a_request_whose_messages_were_removed_is_not_published_again(house: House, restarted: bool) -> None:
    """The client learns what became of it; no message comes twice, and nothing breaks."""
    house.publish("a", [[b"one"], [b"two"]])
    house.commit()
    order(house, house.ledger.membership.leave(1, purge=True))
    if restarted:
        house.start()
    house.publish("again", [[b"one"], [b"two"]])
    answer = house.commit()["again"]
    assert isinstance(answer, UsageError)
    assert answer.code == "removed"


def test_a_request_of_the_batch_that_purges_is_answered(house: House) -> None:
    """Publish and leave may come in one turn."""
    house.publish("a", [[b"one"]])
    house.ledger.answer("leave", house.ledger.membership.leave(1, purge=True))
    answers = house.commit()
    assert isinstance(answers["a"], UsageError)
    assert answers["leave"]["already"] is False
    assert house.data() == []


def test_a_purge_that_the_disk_refuses_has_not_begun(house: House) -> None:
    """The order is answered with the refusal, and the community is there."""
    house.ledger.answer("leave", house.ledger.membership.leave(1, purge=True))
    house.ledger.blocking.block(BlockedRecord(0, MEMBER, ""))
    house.store.fails = True
    assert isinstance(house.commit()["leave"], StorageError)
    assert record_of(house, 1).served
    assert not house.ledger.is_purging
    assert house.ledger.blocking.block(BlockedRecord(0, MEMBER, ""))["already"] is False


def test_an_unloaded_community_refuses_to_publish(house: House) -> None:
    """It stays joined and readable, says what would help, and goes on where it was when it is loaded."""
    house.publish("a", [[b"one"]])
    house.commit()
    assert order(house, house.ledger.membership.load(1, loaded=False)) == {"already": False}
    assert order(house, house.ledger.membership.load(1, loaded=False)) == {"already": True}
    with pytest.raises(UsageError) as refused:
        house.publish("b", [[b"two"]], request=2)
    assert refused.value.code == "community-unloaded"
    assert "community load chat" in refused.value.hint
    assert list(house.ledger.note().summaries) == [2]
    # What was published before is still answered.
    house.publish("again", [[b"one"]])
    assert house.commit()["again"]["repeated"] is True
    order(house, house.ledger.membership.load(1, loaded=True))
    house.publish("c", [[b"two"]], request=3)
    house.commit()
    assert [at[2:] for at in house.data()] == [(1, (b"one",)), (2, (b"two",))]


def test_what_is_loaded_at_the_nodes_start(house: House) -> None:
    """Each as its autoload says, once a start: a writer that is started again changes nothing."""
    house.create("quiet")
    for number, mode in ((2, "on-packet"), (3, "never")):
        order(house, house.ledger.membership.set_autoload(number, mode))
    assert [record.loaded for record in house.store.communities()] == [True, True, True]

    def start(start_id: str) -> list[bool]:
        house.start()
        house.ledger.start(start_id)
        house.commit()
        return [record.loaded for record in house.store.communities()]

    assert start("first") == [True, False, False]
    order(house, house.ledger.membership.load(1, loaded=False))
    order(house, house.ledger.membership.load(3, loaded=True))
    assert start("first") == [False, False, True]
    assert start("second") == [True, False, False]


def test_a_start_that_the_disk_refuses_is_tried_again(house: House) -> None:
    """Until it is durable, the records tell of another start."""
    house.ledger.start("first")
    house.store.fails = True
    house.commit()
    assert house.store.start_id() == ""
    house.ledger.start("first")
    house.commit()
    assert house.store.start_id() == "first"
    version = house.ledger.version
    house.ledger.start("first")
    assert house.ledger.commit(now_ms=NOW_MS) == (None, [])
    assert house.ledger.version == version


@pytest.mark.parametrize(("mode", "wakes"), [("always", False), ("on-packet", True), ("never", False)])
def test_a_packet_loads_where_asked_and_never_where_not(house: House, mode: str, wakes: bool) -> None:
    """Also not what was left, nor what is not there."""
    order(house, house.ledger.membership.set_autoload(1, mode))
    order(house, house.ledger.membership.load(1, loaded=False))
    house.ledger.membership.wake(1)
    house.ledger.membership.wake(99)
    house.commit()
    assert record_of(house, 1).loaded == wakes
    order(house, house.ledger.membership.leave(1, purge=False))
    house.ledger.membership.wake(1)
    house.commit()
    assert not record_of(house, 1).served


def test_what_is_received_for_an_unserved_community_is_dropped(house: House) -> None:
    """It may have been on its way when the order came."""
    order(house, house.ledger.membership.load(1, loaded=False))
    house.ledger.receive(1, 3, b"", b"")
    assert house.ledger.commit(now_ms=NOW_MS) == (None, [])


def test_blocks_are_kept_bounded_and_taken_back(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everywhere or in one community; everybody reads the list again when it changes."""
    everywhere, here = BlockedRecord(0, MEMBER, ""), BlockedRecord(1, MEMBER, "")
    blocking = house.ledger.blocking
    version = house.ledger.version
    assert order(house, blocking.block(everywhere)) == {"already": False}
    assert house.ledger.version > version
    assert order(house, blocking.block(here)) == {"already": False}
    assert order(house, blocking.block(here)) == {"already": True}
    house.start()
    assert house.store.blocked() == [everywhere, here]
    blocking = house.ledger.blocking
    monkeypatch.setattr("dispersy.workers.membership.blocking.BLOCKED_MAX", 2)
    with pytest.raises(UsageError, match="2 are blocked"):
        blocking.block(BlockedRecord(0, b"", "192.0.2.1"))
    assert order(house, blocking.unblock(everywhere)) == {"already": False}
    assert order(house, blocking.unblock(everywhere)) == {"already": True}
    order(house, house.ledger.membership.leave(1, purge=True))
    assert house.store.blocked() == []


def test_what_cannot_be_blocked(house: House) -> None:
    """A community that is not there, and one's own key."""
    with pytest.raises(UsageError, match="no community"):
        house.ledger.blocking.block(BlockedRecord(9, MEMBER, ""))
    with pytest.raises(UsageError) as refused:
        house.ledger.blocking.block(BlockedRecord(0, record_of(house, 1).member_id, ""))
    assert refused.value.code == "own-key"


def test_numbers_are_given_once(tmp_path: Path) -> None:
    """Also when the community that had the highest is gone, and the writer starts again."""
    house = House(tmp_path)
    house.create("chat")
    order(house, house.ledger.membership.leave(1, purge=True))
    house.ledger = Ledger(house.store, Keyring(house.home / "keys"), now_ms=NOW_MS)
    assert house.create("news")["number"] == 2


def test_a_repeated_create_gives_the_first_community(tmp_path: Path) -> None:
    """In one batch, later, and of a writer that was started since; another request has no part in it."""
    house = House(tmp_path)

    def create(ticket: str, request_id: bytes) -> None:
        house.ledger.create(ticket, name="chat", definition=DEFINITION, request_id=request_id)

    create("first", b"1" * 16)
    create("at once", b"1" * 16)
    outcomes = house.commit()
    first = outcomes["first"]
    again = {**first, "already": True, "keys_made": []}
    assert (first["already"], outcomes["at once"]) == (False, again)
    house.start()
    create("later", b"1" * 16)
    assert house.commit()["later"] == again
    for request_id in (b"2" * 16, b""):
        with pytest.raises(UsageError) as refused:
            create("other", request_id)
        assert refused.value.code == "name-taken"
    assert [record.name for record in house.store.communities()] == ["chat"]


def test_a_restored_community_is_to_be_asked_in_once_it_is_served(house: House) -> None:
    """The mark lasts over restarts, unloading and leaving, and ends where neighbours could be asked."""
    served, unloaded, left = (house.create(name)["number"] for name in ("served", "unloaded", "left"))
    membership = house.ledger.membership
    membership.load(unloaded, loaded=False)
    membership.leave(left, purge=False)
    membership.mark_restored()
    others = [each.number for each in house.store.communities() if each.number < served]
    for number in others:
        membership.end_asking(number)
    house.commit()
    house.ledger = Ledger(house.store, Keyring(house.home / "keys"), now_ms=NOW_MS)
    membership = house.ledger.membership
    assert [record.number for record in membership.all_to_ask()] == [served]
    for number in (served, unloaded):
        membership.end_asking(number)
    assert membership.all_to_ask() == []
    membership.load(unloaded, loaded=True)
    [community_id] = [each.community_id for each in house.store.communities() if each.number == left]
    membership.join(community_id=community_id, name="", peers=())
    assert [record.number for record in membership.all_to_ask()] == [unloaded, left]
    house.commit()
    marked = [record.number for record in house.store.communities() if record.restored]
    assert marked == [unloaded, left]
