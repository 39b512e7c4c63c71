"""Goal: the simulator keeps its word: seeds replay, and links, NATs, clocks and sleep are as it says."""

from __future__ import annotations

from collections import Counter
from heapq import heappop, heappush
from itertools import pairwise
from random import Random

import pytest

from dispersy.protocol.address import Address
from dispersy.protocol.walk.walker import Walker
from dispersy.testing.links import Link
from simulation.agenda import Agenda
from simulation.holdings import history
from simulation.links import HEADERS_SIZE, Links, Path
from simulation.nat import ADDRESS_RESTRICTED, FULL_CONE, KINDS, PORT_RESTRICTED, SYMMETRIC
from simulation.pairs import corpus_of, lacking, make_pair, only
from simulation.replay import NASTY, digest_of_run
from simulation.world import World, address_of, equal

ONE, OTHER = address_of(1), address_of(2)
SIZE = 1_000


def arrivals(path: Path, moments: list[float], *, seed: int = 1) -> list[float | None]:
    """When datagrams of SIZE bytes arrive that leave at these moments; None: never."""
    links = Links(Random(seed), path)
    found: list[float | None] = []
    for moment in moments:
        arrived = links.arrivals(moment, ONE, OTHER, SIZE)
        found.append(arrived[0] if arrived else None)
    return found


def test_a_seed_replays_datagram_by_datagram() -> None:
    """The same digest over all that was sent in a world with loss, rates and NATs; another seed's differs."""
    first = digest_of_run(5, seconds=4.0)
    assert digest_of_run(5, seconds=4.0) == first
    assert digest_of_run(6, seconds=4.0) != first


def test_an_agenda_is_a_heap() -> None:
    """It gives what one heap of everything would give, whatever is put in between, for now or long behind."""
    rng = Random(1)
    agenda, heap = Agenda(), list[tuple[float, int]]()
    now = 0.0
    for count in range(1, 20_001):
        at = now + rng.choice((0.0, 0.0003, 0.001, 0.05, 3.0)) * rng.random()
        agenda.put(at, 0, None)
        heappush(heap, (at, count))
        before = now + rng.choice((0.0, 0.0005, 0.002, 10.0))
        while rng.random() < 0.5 and (found := agenda.take(before)) is not None:
            now, number = heappop(heap)
            assert found[:2] == (now, number)
        # A world whose time is up goes on from there.
        now = max(now, min(before, heap[0][0])) if heap else before
    rest = [found[:2] for found in iter(lambda: agenda.take(1e9), None)]
    assert rest == sorted(heap)


def test_a_rate_is_kept_and_its_queue_drops_at_the_tail() -> None:
    """Ten datagrams at once over a link of ten a second whose queue takes four besides the one under way."""
    rate = 10.0 * (SIZE + HEADERS_SIZE)
    path = Path(delay_s=0.5, rate=rate, queue=4 * (SIZE + HEADERS_SIZE) + 50)
    found = arrivals(path, [0.0] * 10 + [10.0])
    assert found[:4] == pytest.approx([0.6, 0.7, 0.8, 0.9])
    assert found[4:10] == [None] * 6
    assert found[10] == pytest.approx(10.6)


@pytest.mark.parametrize("seed", range(3))
def test_bursts_lose_their_share_in_runs(seed: int) -> None:
    """5 % of 100,000 datagrams, 1 ms apart, in runs of some 100."""
    path = Path(burst_loss=0.05, burst_s=0.1)
    moments = [index / 1000 for index in range(100_000)]
    lost = [arrived is None for arrived in arrivals(path, moments, seed=seed)]
    runs = sum(now and not before for before, now in pairwise(lost))
    assert 0.03 < sum(lost) / len(lost) < 0.07
    assert 60 < sum(lost) / runs < 150


def test_pauses_come_and_go() -> None:
    """Two seconds of every twenty, from the tenth on."""
    path = Path(pause_s=2.0, pause_every_s=20.0, pause_at_s=10.0)
    found = arrivals(path, [9.9, 10.1, 11.9, 12.1, 30.5, 32.5])
    assert [arrived is None for arrived in found] == [False, True, True, False, True, False]


def test_jitter_reorders_unless_order_is_kept() -> None:
    moments = [index / 1000 for index in range(200)]
    loose = arrivals(Path(delay_s=0.1, spread_s=0.05), moments)
    kept = arrivals(Path(delay_s=0.1, spread_s=0.05, keeps_order=True), moments)
    assert loose != sorted(loose, key=lambda at: at or 0.0)
    assert kept == sorted(kept, key=lambda at: at or 0.0)
    delays = [(at or 0.0) - moment for at, moment in zip(loose, moments, strict=True)]
    assert min(delays) >= 0.05
    assert max(delays) <= 0.15


class Probe:
    """Somebody who only remembers what comes."""

    def __init__(self, world: World, address: Address) -> None:
        self.address = address
        self.heard: list[tuple[Address, bytes]] = []
        world.nodes[address] = self  # type: ignore[assignment]

    def receive(self, source: Address, data: bytes) -> None:
        self.heard.append((source, data))

    def touch(self) -> None:
        pass

    def next_deadline(self) -> float:
        return float("inf")


@pytest.mark.parametrize("kind", KINDS)
def test_nats_let_in_what_their_kind_lets_in(kind: str) -> None:
    """A node behind one has sent to A; then A, another port of its host, and a stranger send back to it."""
    world = World(seed=1)
    outside = address_of(50)
    inside = world.nats.place(50, kind, outside=outside)
    behind, a = Probe(world, inside), Probe(world, ONE)
    port = Probe(world, Address(ONE[:16] + b"\x01\x02"))
    stranger = Probe(world, OTHER)
    world.send(stranger.address, outside, b"before")
    world.run(1)
    world.send(inside, a.address, b"out")
    world.run(1)
    seen_at = a.heard[0][0]
    assert (seen_at == outside) == (kind != SYMMETRIC)
    for sender in (a, port, stranger):
        world.send(sender.address, seen_at, b"in")
    world.run(1)
    let_in = Counter(source for source, _ in behind.heard)
    assert b"before" not in [data for _, data in behind.heard]
    assert (let_in[a.address], let_in[port.address], let_in[stranger.address]) == {
        FULL_CONE: (1, 1, 1),
        ADDRESS_RESTRICTED: (1, 1, 0),
        PORT_RESTRICTED: (1, 0, 0),
        SYMMETRIC: (1, 0, 0),
    }[kind]
    world.run(100)
    world.send(a.address, seen_at, b"late")
    world.run(1)
    assert b"late" not in [data for _, data in behind.heard], "its mapping has lapsed"


def test_nodes_behind_nats_meet_and_synchronise() -> None:
    """Port-restricted ones, by punctures that a public node asks for."""
    world = World(seed=2)
    public = world.add(1)
    one = world.add(2, bootstrap=[public], nat=PORT_RESTRICTED)
    other = world.add(3, bootstrap=[public], nat=PORT_RESTRICTED)
    public.publish(history(100)[:30])
    other.publish(history(100)[30:])
    assert world.run(60, until=lambda: equal(public, one, other))
    outside = world.nats.outside(other.address)
    met = world.run(
        60,
        until=lambda: any(
            view.address == outside and view.member for view in one.walker.candidates(world.now)
        ),
    )
    assert met, one.walker.candidates(world.now)


def test_a_full_cone_and_a_symmetric_nat_meet_among_others_that_cannot() -> None:
    """Within seconds, whichever of the two was told of the other, and though steps are regular."""
    for seed in range(5):
        world = World(seed=seed, link=Link(delay_s=0.03))
        public = world.add(1)
        kinds = (FULL_CONE, PORT_RESTRICTED, PORT_RESTRICTED, PORT_RESTRICTED, SYMMETRIC)
        nodes = [world.add(host, bootstrap=[public], nat=kind) for host, kind in enumerate(kinds, 2)]
        reached, symmetric = world.nats.outside(nodes[0].address), nodes[-1].walker

        def have_met(there: Address = reached, walker: Walker = symmetric, world: World = world) -> bool:
            return any(view.address == there and view.member for view in walker.candidates(world.now))

        assert world.run(10, until=have_met), seed


def test_a_sleeping_node_hears_nothing_and_catches_up() -> None:
    world = World(seed=3)
    one = world.add(1)
    other = world.add(2, bootstrap=[one])
    messages = history(60)
    one.publish(messages[:30])
    assert world.run(20, until=lambda: equal(one, other))
    world.sleep(other)
    sent = other.sent.copy()
    one.publish(messages[30:])
    world.run(600)
    assert other.sent == sent
    assert other.holdings.summary().count == 30
    world.wake(other)
    assert world.run(60, until=lambda: equal(one, other))


def test_clocks_that_differ_do_no_harm() -> None:
    """One is an hour ahead and fast, another slow; they meet and become equal as others do."""
    world = World(seed=4, link=Link(loss=0.1))
    nodes = [world.add(1)]
    nodes += [world.add(host, bootstrap=nodes[:1]) for host in (2, 3)]
    world.skew(nodes[1], ahead_s=3_600.0, rate=1.1)
    world.skew(nodes[2], rate=0.9)
    messages = history(90)
    for index, node in enumerate(nodes):
        node.publish(messages[index::3])
    assert world.run(60, until=lambda: equal(*nodes))
    before = nodes[1].now
    world.run(10)
    assert nodes[1].now - before == pytest.approx(11.0)


def test_modelled_checks_take_their_time() -> None:
    """300 messages of 10 ms each reach the store no sooner than 3 s after they were asked for."""
    corpus, _ = corpus_of(300)
    pair = make_pair(seed=5, link=Link(), corpus=corpus, one=lacking(300, ()), other=only(300, ()))
    pair.world.checking_s = 0.01
    assert pair.run(60)
    assert pair.world.now - pair.began_at > 3.0


def test_a_node_that_spins_fails_its_world() -> None:
    """Time passes in spite of it, a microsecond a turn, and so nothing else would show it."""
    world = World(seed=1, log=False)
    node = world.add(1)
    node.next_deadline = lambda: 0.0  # type: ignore[method-assign]
    node.handle_timer = lambda: None  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="spins"):
        world.run(1.0)


def test_what_a_node_keeps_of_its_deadlines_is_what_they_are() -> None:
    """It looks at walker and puller only when they were touched; whatever happens, that must not show."""
    world = World(seed=3, link=NASTY, log=False)
    first = world.add(1)
    nodes = [first, *(world.add(host, bootstrap=[first]) for host in range(2, 7))]
    for index, message in enumerate(history(60, seed=3)):
        world.at(1.0 + index / 10, lambda index=index, message=message: nodes[index % 6].publish([message]))
    wrong: list[tuple[float, float, float]] = []

    def look() -> bool:
        for node in nodes:
            kept = node.next_deadline()
            node.touch()
            if node.next_deadline() != kept:
                wrong.append((world.now, kept, node.next_deadline()))
        return False

    world.run(10.0, until=look)
    assert not wrong, wrong[:3]
    assert equal(*nodes)
