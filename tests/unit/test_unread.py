"""Goal: what is held of large replies and of requests is bounded, for each client and for all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import zmq

from dispersy.bus.settings import RoleSettings
from dispersy.service.gateway.gateway import REQUEST_SIZE_MAX, REQUESTS_QUEUED_MAX, GatewayRole
from dispersy.service.interface import orders
from dispersy.service.interface.holders import holder_of, named
from dispersy.service.interface.unread import LARGE_SIZE, UNREAD_MAX, UNREAD_PER_CLIENT_MAX, Unread
from dispersy.workers.loop import Loop
from tests.sockets import bounded_context
from tests.unit.control_house import ALICE, CHAT, ControlHouse, message


@dataclass
class Parcel:
    """A tracker that the test settles."""

    done: bool = False


def test_a_client_has_a_share() -> None:
    """It has room again as it reads; a page larger than the share goes alone."""
    unread = Unread()
    half = UNREAD_PER_CLIENT_MAX // 2
    parcels = [Parcel(), Parcel()]
    for parcel in parcels:
        assert unread.has_room(b"a", half)
        unread.add(b"a", half, parcel)
    assert not unread.has_room(b"a", LARGE_SIZE)
    assert unread.has_room(b"b", 2 * UNREAD_PER_CLIENT_MAX)
    parcels[0].done = True
    assert unread.has_room(b"a", LARGE_SIZE)
    parcels[1].done = True
    unread.take_off()
    assert (unread.size, len(unread)) == (0, 0)


def test_the_connections_of_one_client_share_one() -> None:
    """Whichever of them is slow, what the others have read makes room."""
    unread = Unread(holder_of)
    phone, tablet, other = named(b"1", "alice"), named(b"2", "alice"), named(b"1", "bob")
    half = UNREAD_PER_CLIENT_MAX // 2
    slow, quick = Parcel(), Parcel()
    unread.add(phone, half, slow)
    unread.add(tablet, half, quick)
    assert not unread.has_room(phone, LARGE_SIZE)
    assert not unread.has_room(named(b"3", "alice"), LARGE_SIZE)
    assert unread.has_room(other, half)
    quick.done = True
    assert unread.has_room(phone, half)
    slow.done = True
    unread.take_off()
    assert (unread.size, len(unread)) == (0, 0)


def test_all_clients_have_one() -> None:
    """However many there are; what others have read makes room at once."""
    unread = Unread()
    parcels = []
    number = 0
    while unread.has_room(b"%d" % number, UNREAD_PER_CLIENT_MAX):
        parcels.append(Parcel())
        unread.add(b"%d" % number, UNREAD_PER_CLIENT_MAX, parcels[-1])
        number += 1
    assert number == UNREAD_MAX // UNREAD_PER_CLIENT_MAX
    parcels[0].done = True
    assert unread.has_room(b"next", UNREAD_PER_CLIENT_MAX)
    assert len(unread) == number - 1


def test_a_program_leaves_as_much_as_it_takes() -> None:
    """By however many connections; another one still gets its replies."""
    unread = Unread(holder_of)
    number = 0
    while unread.has_room(local := named(b"%d" % number, "", "localhost:1:1:77"), UNREAD_PER_CLIENT_MAX):
        unread.add(local, UNREAD_PER_CLIENT_MAX, Parcel())
        number += 1
    assert number == UNREAD_MAX // UNREAD_PER_CLIENT_MAX // 2
    for newcomer in (named(b"1", "alice"), named(b"1", "", "localhost:1:1:78")):
        assert unread.has_room(newcomer, UNREAD_PER_CLIENT_MAX)


@pytest.fixture
def desk(tmp_path: Path) -> ControlHouse:
    made = ControlHouse(tmp_path)
    made.join(1, CHAT, "chat")
    return made


def test_a_reply_without_room_becomes_busy(desk: ControlHouse) -> None:
    """The client hears of it, and its next request is served."""
    desk.add(1, *(message(ALICE, time, payloads=(b"x" * 900,)) for time in range(1, 20)))
    desk.takes = lambda frame: len(frame) < LARGE_SIZE
    assert desk.ask("list", community="chat")["error"]["code"] == "busy"
    desk.takes = bool
    assert len(desk.ask("list", community="chat")["messages"]) == 19


def test_what_waits_for_the_writer_is_bounded(desk: ControlHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """In requests and in bytes, of a client and of all; the answer makes room."""

    def get(connection: bytes) -> str:
        before = len(desk.sent)
        desk.request("get", named(connection, ""), community="chat", message_id=bytes(32))
        return "waits" if len(desk.sent) == before else desk.sent[-1][1]["error"]["code"]

    monkeypatch.setattr(orders, "ORDERS_MAX", 8)
    assert [get(b"%d" % number) for number in range(8)] == ["waits"] * 8
    assert get(b"b") == "busy"
    desk.write()
    # One alone, of whom nothing is known, leaves half to other users, and half of that to others of its own.
    assert [get(b"a") for _ in range(3)] == ["waits"] * 2 + ["busy"]
    assert get(b"b") == "waits"
    desk.write()
    size = len(b"x") * 60
    monkeypatch.setattr(orders, "ORDERS_MAX", 64)
    monkeypatch.setattr(orders, "ORDERS_PER_CLIENT_MAX", 2)
    assert [get(b"a") for _ in range(3)] == ["waits", "waits", "busy"]
    assert get(b"b") == "waits"
    desk.write()
    monkeypatch.setattr(orders, "ORDERS_PER_CLIENT_MAX", 64)
    monkeypatch.setattr(orders, "ORDERS_SIZE_PER_CLIENT_MAX", 3 * size)
    assert [get(b"a"), get(b"a"), get(b"a")].count("busy") >= 1
    assert get(b"b") == "waits"
    monkeypatch.setattr(orders, "ORDERS_SIZE_MAX", 3 * size)
    assert get(b"c") == "busy"


def test_requests_that_nobody_looks_at_are_bounded(tmp_path: Path) -> None:
    """While the gateway is at something else, a client fills its own connection and then waits."""
    settings = RoleSettings(str(tmp_path), str(tmp_path), "127.0.0.1:0", 1)
    loop = Loop()
    role = GatewayRole(settings)
    role.open(loop)
    context = bounded_context()
    client = context.socket(zmq.DEALER)
    client.setsockopt(zmq.SNDHWM, 1)
    client.connect(settings.socket("control"))
    taken = 0
    while client.poll(500, zmq.POLLOUT) and taken < 10 * REQUESTS_QUEUED_MAX:
        client.send(bytes(REQUEST_SIZE_MAX), zmq.NOBLOCK)
        taken += 1
    # Those that wait at the gateway, in both I/O threads and in the client.
    assert REQUESTS_QUEUED_MAX <= taken <= 2 * REQUESTS_QUEUED_MAX
    context.destroy(linger=0)
    role.close()
    loop.context.destroy(linger=0)
