"""Goal: when a process holds too much, whoever is sending without an end is cut off, and the others stay."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
import zmq

from dispersy.bus.sockets import bound
from dispersy.service.gateway import excess
from dispersy.service.gateway.excess import DOUBTED_SHARE, Excess
from dispersy.workers.loop import Loop
from tests.sockets import bounded_context

LIMIT_S = 20.0
MEMORY_MAX = 100


class House:
    """A ROUTER that takes one request of each client at a time, and clients that a test makes."""

    def __init__(self, folder: Path) -> None:
        self.loop = Loop()
        self.counters: Counter[str] = Counter()
        self.size = 0
        self.excess = Excess(self.counters, memory_max=MEMORY_MAX, measure=lambda: self.size)
        self.excess.open(self.loop)
        self.path = f"{folder}/control"
        self._endpoint = f"ipc://{self.path}"
        self.router = bound(
            self.loop.context,
            zmq.ROUTER,
            self._endpoint,
            queued_max=100,
            received_max=1,
            prepare=self.excess.watch,
        )
        self.context = bounded_context()
        self._sockets: list[zmq.Socket[bytes]] = []
        self.clients: list[zmq.Socket[bytes]] = []

    def client(self, first: bytes) -> tuple[zmq.Socket[bytes], zmq.Socket[bytes]]:
        """A client that has sent a request, which was taken; its socket and what tells of its connection."""
        dealer = self.context.socket(zmq.DEALER)
        monitor = dealer.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._sockets += [dealer, monitor]
        self.clients.append(dealer)
        dealer.connect(self._endpoint)
        dealer.send(first)
        self.take(first)
        return dealer, monitor

    def take(self, wanted: bytes) -> None:
        """Take a request as the gateway does."""
        assert self.router.poll(int(LIMIT_S * 1000))
        self.router.recv()
        part = self.router.recv(copy=False)
        assert part.bytes == wanted
        self.excess.completed(part)
        self.turn()

    def turn(self) -> None:
        """Hear who has come and gone."""
        self.loop.again()
        self.loop._turn()

    def close(self) -> None:
        for each in self._sockets:
            each.close(0)
        self.context.destroy(linger=0)
        self.loop.context.destroy(linger=0)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(excess, "SETTLED_S", 0.0)
    made = House(tmp_path)
    yield made
    made.close()


def fill(dealer: zmq.Socket[bytes]) -> None:
    """More than the ROUTER takes: the rest waits in the kernel, as what is sent without an end may."""
    for _ in range(20):
        dealer.send(b"x" * 100_000)


def test_who_sends_is_cut_off_and_the_others_stay(house: House) -> None:
    """It was seen sending, has given no whole request meanwhile, and the process holds too much."""
    greedy, monitor = house.client(b"greedy")
    # Had nobody been seen, whoever came last would go.
    quiet, quiet_monitor = house.client(b"quiet")
    house.size = MEMORY_MAX
    fill(greedy)
    limit = monotonic() + LIMIT_S
    while not house.counters["client-cut"]:
        assert monotonic() < limit
        house.size = MEMORY_MAX if any(_sending(house)) else MEMORY_MAX - 1
        house.excess.look()
    house.size = 0
    assert monitor.poll(int(LIMIT_S * 1000)), "it is connected still"
    assert house.counters["client-cut"] == 1
    quiet.send(b"again")
    _drop_until(house, b"again")
    assert not quiet_monitor.poll(0)


def _sending(house: House) -> list[int]:
    house.size = MEMORY_MAX - 1
    house.excess.look()
    return [each.sending for each in house.excess._connections.values()]


def _drop_until(house: House, wanted: bytes) -> None:
    limit = monotonic() + LIMIT_S
    while monotonic() < limit:
        assert house.router.poll(int(LIMIT_S * 1000))
        if house.router.recv_multipart()[-1] == wanted:
            return
    raise AssertionError("it never came")


def test_what_gave_a_whole_request_is_not_held_to_be_endless(house: House) -> None:
    """Looks before it count no more."""
    greedy, _ = house.client(b"first")
    fill(greedy)
    limit = monotonic() + LIMIT_S
    while not any(_sending(house)):
        assert monotonic() < limit
    house.take(b"x" * 100_000)
    assert [each.sending for each in house.excess._connections.values()] == [0]


def cut_by_looks(house: House, size: int, *, looks: int) -> list[int]:
    """How many each of so many looks cuts off, where the process holds as much."""
    cut = []
    for _ in range(looks):
        before = house.counters["client-cut"]
        house.size = size
        house.excess.look()
        house.turn()
        cut.append(house.counters["client-cut"] - before)
    return cut


def test_where_nobody_is_seen_ever_more_are_cut_off(house: House) -> None:
    """Who came last is first. Memory that is held when all are gone is not of clients, who are left alone."""
    clients = [house.client(b"%d" % number) for number in range(4)]
    assert cut_by_looks(house, MEMORY_MAX, looks=1) == [1]
    assert clients[-1][1].poll(int(LIMIT_S * 1000))
    assert not any(monitor.poll(0) for _, monitor in clients[:-1])
    assert cut_by_looks(house, MEMORY_MAX, looks=3) == [2, 1, 0]
    for dealer, monitor in clients:
        assert monitor.poll(int(LIMIT_S * 1000))
        # It connects again by itself, and is served.
        dealer.send(b"back")
        house.take(b"back")
    assert cut_by_looks(house, MEMORY_MAX, looks=4) == [0] * 4
    assert sum(cut_by_looks(house, 2 * MEMORY_MAX, looks=3)) == len(clients)


def test_who_gave_a_whole_request_holds_nothing_from_before(house: House) -> None:
    """Of two that nobody has seen sending the quiet one is cut off: the other has sent what it had to."""
    _, quiet_monitor = house.client(b"quiet")
    busy, busy_monitor = house.client(b"busy")
    gained = MEMORY_MAX // DOUBTED_SHARE
    for size in range(MEMORY_MAX // 2, MEMORY_MAX, gained - 1):
        assert cut_by_looks(house, size, looks=1) == [0]
        busy.send(b"whole")
        house.take(b"whole")
    assert cut_by_looks(house, MEMORY_MAX, looks=3) == [1, 0, 0]
    assert quiet_monitor.poll(int(LIMIT_S * 1000))
    assert not busy_monitor.poll(0)


def test_what_was_let_go_of_clears_nobody(house: House) -> None:
    """What a connection holds may all have come after the least that the process held."""
    _, monitor = house.client(b"first")
    house.client(b"gone")
    assert cut_by_looks(house, MEMORY_MAX - 1, looks=1) == [0]
    house.clients[0].send(b"whole")
    house.take(b"whole")
    assert cut_by_looks(house, 0, looks=1) == [0]
    assert cut_by_looks(house, MEMORY_MAX, looks=2) == [1, 1]
    assert monitor.poll(int(LIMIT_S * 1000))


def test_a_connection_of_an_old_protocol_is_served(house: House) -> None:
    """Of its requests ZeroMQ does not tell where they come from; noise is taken for one of it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as raw:
        raw.connect(house.path)
        # ZMTP 1: a length, flags, an empty name; then a request of two bytes.
        raw.sendall(b"\x01\x00" + b"\x03\x00ab")
        house.take(b"ab")


def test_a_little_memory_is_none_of_its_business(house: House) -> None:
    """Nobody is looked at, however much is waiting."""
    greedy, _ = house.client(b"first")
    fill(greedy)
    house.size = MEMORY_MAX // 2 - 1
    house.excess.look()
    assert [each.sending for each in house.excess._connections.values()] == [0]


def test_what_the_process_held_before_is_not_of_its_clients(house: House) -> None:
    """Whoever runs a node inside a big program is not cut off for it."""
    house.client(b"first")
    before = 10 * MEMORY_MAX
    house.size = before
    house.excess.open(house.loop)
    assert cut_by_looks(house, before, looks=3) == [0] * 3
    assert cut_by_looks(house, before + MEMORY_MAX - 1, looks=3) == [0] * 3
    assert cut_by_looks(house, before + MEMORY_MAX, looks=1) == [1]


def test_what_was_cut_off_has_time_to_be_let_go_of(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else others would be cut off for what is going away already."""
    monkeypatch.setattr(excess, "SETTLED_S", LIMIT_S)
    for number in range(3):
        house.client(b"%d" % number)
    assert cut_by_looks(house, MEMORY_MAX, looks=3) == [1, 0, 0]
    house.excess._settled_at = 0.0
    assert cut_by_looks(house, MEMORY_MAX, looks=2) == [2, 0]
