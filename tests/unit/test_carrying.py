"""Goal: what a bundle goes on with holds what counts now, whatever has become of it since the one before."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispersy.bundle import BundleReader
from dispersy.bus.frames import encode
from dispersy.protocol.intake.marks import ON_REQUEST
from dispersy.storage.store import Batch, EntryType, EventEntry
from tests.unit.gateway_house import CHAT, House, receive


@pytest.mark.parametrize("left", ["inactive", "removed"])
def test_what_counted_again_may_be_too_old_since(house: House, tmp_path: Path, left: str) -> None:
    """Restored after the bundle before, and then pruned: it is left out, and ends nobody."""
    house.join(1, CHAT, "chat")
    old = house.publish(1, [b"old"])
    since = house.publish(1, [b"with it"])
    message_id = house.store.log(old, 1)[0].message_id
    house.commit(Batch(events=[EventEntry(EntryType.RESTORED, 1, message_id, old, "order")]))
    house.commit(Batch(inactive=[old]))
    if left == "removed":
        house.commit(Batch(removed=[old]))
    house.publish(1, [b"new"])

    def scene() -> None:
        with house.client() as client:
            client.export_bundle("chat", tmp_path / "more", since=since)

    house.play(scene)
    with BundleReader(tmp_path / "more") as bundle:
        bodies = [message.data for message in bundle]
    assert any(b"new" in body for body in bodies)
    assert not any(b"old" in body for body in bodies)


def test_what_is_on_request_is_in_no_bundle(house: House, tmp_path: Path) -> None:
    """Neighbours are not offered it either; also when it counts again since the bundle before."""
    house.join(1, CHAT, "chat")
    asked_for = house.publish(1, [b"picture"], marks=ON_REQUEST)
    since = house.publish(1, [b"before"])
    message_id = house.store.log(asked_for, 1)[0].message_id
    house.commit(Batch(events=[EventEntry(EntryType.RESTORED, 1, message_id, asked_for, "revoked")]))
    house.publish(1, [b"since"])

    def scene() -> None:
        with house.client() as client:
            client.export_bundle("chat", tmp_path / "all")
            client.export_bundle("chat", tmp_path / "more", since=since)

    house.play(scene)
    for name, expected in (("all", [b"before", b"since"]), ("more", [b"since"])):
        with BundleReader(tmp_path / name) as bundle:
            carried = [message.data for message in bundle]
        told = [text for text in (b"picture", b"before", b"since") if any(text in each for each in carried)]
        assert told == expected


@pytest.mark.parametrize("place", [b"o" + b"\xff" * 24, b"r" + b"\xff" * 8])
def test_any_place_may_be_named_to_go_on_from(house: House, place: bytes) -> None:
    """Behind the last there is nothing; a client that says so ends nobody."""
    house.join(1, CHAT, "chat")
    house.publish(1, [b"a"])

    def scene() -> None:
        socket = house.dealer()
        socket.send(encode({"v": 1, "id": 1, "op": "export", "community": "chat", "next": place}))
        reply = receive(socket)
        assert (reply["ok"], reply["messages"], reply["next"]) == (True, [], None)

    house.play(scene)
