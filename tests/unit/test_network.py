"""Goal: nothing that one community brings with it stops the network role for the others."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from dispersy.bus.settings import RoleSettings
from dispersy.constants import TOKEN_EPOCH_S
from dispersy.errors import StorageError, UsageError
from dispersy.protocol.address import make_address
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.wire.frames import IntroductionRequest
from dispersy.protocol.wire.records import TOKEN_CURRENT
from dispersy.protocol.wire.token import TokenEpochs
from dispersy.storage.keyring import Keyring
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch, BlockedRecord, CommunityRecord
from dispersy.workers.network import NetworkRole, open_udp
from dispersy.workers.networking.neighbourhood import Neighbourhood

HERE, NEIGHBOUR, STRANGER = (make_address(f"203.0.113.{host}", 6421) for host in (1, 2, 3))


class House:
    """A network role without sockets, over a store and a folder of keys that the test fills."""

    def __init__(self, home: Path) -> None:
        settings = RoleSettings(str(home), "", "127.0.0.1:0", 1)
        self.keyring = Keyring(settings.keys_path)
        self.store = MemoryStore()
        self.role = NetworkRole(settings)
        self.role.serve(self.store, Keyring(settings.keys_path), make_address("127.0.0.1", 6421))

    def join(self, number: int, member_id: bytes, *, bootstrap: tuple[str, ...] = ()) -> None:
        record = CommunityRecord(number, bytes([number]) * 32, "", member_id, bootstrap=bootstrap)
        self.store.commit(Batch(communities=[record]))

    def load(self) -> set[int]:
        """The communities that the role serves."""
        self.role._load_communities(monotonic())
        return set(self.role._communities.by_number)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_bootstrap_entry_that_cannot_be_read_is_left_out(house: House) -> None:
    """What an earlier version stored must not end every start; the entries beside it are walked to."""
    entries = ("[fe80::1%eth0]:6421", "host:1", "192.0.2.1:6421")
    house.join(1, house.keyring.create("alice").public, bootstrap=entries)
    for _ in range(2):
        assert house.load() == {1}
        assert house.role._reporter.counters["bootstrap-unreadable"] == 2
    assert house.role._communities.by_number[1]._peers == {make_address("192.0.2.1", 6421)}


def test_a_broken_key_stops_only_its_community(house: House, tmp_path: Path) -> None:
    """A file that cannot be read hides the key in it, and no other."""
    broken, whole = house.keyring.create("a-broken"), house.keyring.create("b-whole")
    (tmp_path / "keys" / "a-broken.pem").write_bytes(b"")
    house.join(1, broken.public)
    house.join(2, whole.public)
    assert house.load() == {2}
    assert "a-broken.pem" in house.role._communities.without_key[1]


def test_a_folder_that_cannot_be_read_stops_only_what_needs_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk's fault is told beside the community, as a missing key is."""

    def fail(_: bytes) -> None:
        raise StorageError("disk gone")

    house.join(1, house.keyring.create("alice").public)
    monkeypatch.setattr(house.role._communities._keyring, "by_public", fail)
    assert house.load() == set()
    assert house.role._communities.without_key == {1: "disk gone"}


def test_the_role_counts_epochs_as_tokens_do(tmp_path: Path) -> None:
    """Each process changes its tokens at a moment of its own, or all nodes would renew theirs at once."""
    moments = set()
    for _ in range(20):
        role = NetworkRole(RoleSettings(str(tmp_path), "", "127.0.0.1:0", 1))
        epochs = TokenEpochs(role._secret)
        seconds = range(int(TOKEN_EPOCH_S) + 1)
        assert [role._epoch(now) for now in seconds] == [epochs.at(now) for now in seconds]
        moments.add(next(now for now in seconds if role._epoch(now) != role._epoch(0)))
    assert len(moments) > 10


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:0"])
def test_the_system_may_choose_the_port(listen: str) -> None:
    """Port 0 is right where one listens, and only there."""
    udp, _ = open_udp(listen)
    with udp:
        assert udp.getsockname()[1] > 0
    with pytest.raises(UsageError, match="brackets"):
        open_udp("::1:0")


def test_a_neighbour_that_leaves_a_workers_question_unanswered_is_looked_after(house: House) -> None:
    """It may be gone, and the walk alone would find that out late. Who is no neighbour is not asked."""
    house.join(1, house.keyring.create("alice").public)
    house.load()
    neighbourhood = house.role._communities.by_number[1]
    walker, now = neighbourhood._walker, monotonic()
    walker.receive_token(NEIGHBOUR, TOKEN_CURRENT, b"\1" * 8, b"\2" * 8, now)
    request = IntroductionRequest(number=1, member=MemberId(bytes(32)), receiver=HERE)
    walker.receive_introduction_request(NEIGHBOUR, request, now)
    house.role._send_frames(neighbourhood, [(STRANGER, b""), (NEIGHBOUR, b"")])
    assert [target for target, _ in neighbourhood.drain_datagrams()] == [NEIGHBOUR]
    assert "out-dropped-token-missing" not in house.role._reporter.counters


def test_another_community_costs_no_look_at_the_others(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node with two hundred joined each in the time of two hundred: only what has changed is looked at."""
    looked_at: list[tuple[str, int]] = []
    for name in ("add_peers", "block", "define"):
        done = getattr(Neighbourhood, name)

        def note(self: Neighbourhood, *values: object, name: str = name, done: Any = done) -> None:
            looked_at.append((name, self.number))
            done(self, *values)

        monkeypatch.setattr(Neighbourhood, name, note)
    members = [house.keyring.create(f"key-{number}").public for number in range(4)]
    for number in (1, 2):
        house.join(number, members[number])
    house.load()
    looked_at.clear()
    house.join(3, members[3])
    assert house.load() == {1, 2, 3}
    assert looked_at == [("block", 3)]
    looked_at.clear()
    house.join(2, members[2], bootstrap=("192.0.2.1:6421",))
    house.load()
    assert looked_at == [("add_peers", 2)]
    looked_at.clear()
    house.store.commit(Batch(blocked=[BlockedRecord(0, members[0], "")]))
    for _ in range(2):
        house.load()
    assert looked_at == [("block", 1), ("block", 2), ("block", 3)]
