"""Goal: a node that listens everywhere knows where its own network reaches it, also after it has moved."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import pytest

from dispersy.bus.settings import RoleSettings
from dispersy.constants import TICK_S
from dispersy.protocol.address import Address, make_address
from dispersy.protocol.walk.shared_pace import SharedPace
from dispersy.storage.keyring import Keyring
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch, CommunityRecord
from dispersy.workers.network import NetworkRole
from dispersy.workers.networking.own_lan import OwnLan

EVERYWHERE = make_address("::", 6421)


class Machine:
    """What routing says, first to last preferred."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hosts: list[str] = ["192.168.1.2", "2001:db8::2"]
        monkeypatch.setattr("dispersy.workers.networking.own_lan.hosts_towards_the_world", self._hosts)

    def _hosts(self, *, ipv6: bool) -> list[str]:
        return [host for host in self.hosts if ipv6 or ":" not in host]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_who_listens_everywhere_is_reached_where_it_would_send_from(machine: Machine) -> None:
    """With its own port, and IPv4 first: the NATs that part neighbours are there."""
    assert OwnLan(EVERYWHERE, SharedPace(), 0.0).address == make_address("192.168.1.2", 6421)
    machine.hosts = ["2001:db8::2"]
    assert OwnLan(EVERYWHERE, SharedPace(), 0.0).address == make_address("2001:db8::2", 6421)
    assert OwnLan(make_address("0.0.0.0", 6421), SharedPace(), 0.0).address == make_address("0.0.0.0", 6421)


def test_a_move_is_noticed_once_and_a_lost_network_is_no_move(machine: Machine) -> None:
    """Neighbours are doubted where another address is there, and not while a cable is out."""
    lan = OwnLan(EVERYWHERE, SharedPace(), 0.0)
    due = lan.next_deadline()
    assert due == TICK_S
    machine.hosts = []
    assert not lan.look(due)
    machine.hosts = ["10.9.8.7"]
    assert lan.look(2 * TICK_S)
    assert lan.address == make_address("10.9.8.7", 6421)
    assert not lan.look(3 * TICK_S)


def test_who_listens_on_one_address_never_looks(machine: Machine) -> None:
    """That address is all there is, wherever the machine is."""
    bound = make_address("192.0.2.7", 6421)
    lan = OwnLan(bound, SharedPace(), 0.0)
    assert (lan.address, lan.next_deadline()) == (bound, None)
    machine.hosts = ["10.9.8.7"]
    assert not lan.look(1.0)


def test_a_node_that_has_moved_tells_all_its_communities(machine: Machine, tmp_path: Path) -> None:
    """The walk begins again in each, and one that is joined later starts from the new address."""
    settings = RoleSettings(str(tmp_path), "", "[::]:6421", 1)
    keyring, store, role = Keyring(settings.keys_path), MemoryStore(), NetworkRole(settings)
    role._own_lan = OwnLan(EVERYWHERE, role._pace, monotonic())
    role.serve(store, keyring, role._own_lan.address)
    key = keyring.create("alice").public

    def join(number: int) -> None:
        record = CommunityRecord(number, bytes([number]) * 32, "", key)
        store.commit(Batch(communities=[record]))
        role._load_communities(monotonic())

    def lans() -> list[Address]:
        return [each._walker._own.lan for each in role._communities.served]

    for number in (1, 2):
        join(number)
    for each in role._communities.served:
        each._walker._steps.take_lonely(monotonic() + 100, addresses=1)
    machine.hosts = ["10.9.8.7"]
    role._look_where_we_are()
    join(3)
    assert lans() == [make_address("10.9.8.7", 6421)] * 3
    assert all(each._walker.next_deadline() <= monotonic() for each in role._communities.served)
