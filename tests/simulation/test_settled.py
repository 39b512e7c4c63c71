"""Communities in which nothing happens: what fifty of them on one node cost, and that nobody gets lost."""

from __future__ import annotations

import pytest

from dispersy.constants import STEP_INTERVAL_S, TICK_S
from dispersy.protocol.walk.shared_pace import SharedPace
from dispersy.testing.links import Link
from simulation.holdings import history
from simulation.node import Node
from simulation.world import World, equal

pytestmark = pytest.mark.long

HOUR_S = 3600.0


def paces(count: int) -> list[SharedPace]:
    """Of so many machines, whose ticks fall apart."""
    return [SharedPace(phase_s=index * TICK_S / count) for index in range(count)]


def make_communities(world: World, count: int, machines: list[SharedPace]) -> list[list[Node]]:
    """So many communities with a member on each of these machines, all knowing the first."""
    communities: list[list[Node]] = []
    for community in range(count):
        first = world.add(1 + community * len(machines), pace=machines[0])
        others = [
            world.add(1 + community * len(machines) + index, bootstrap=[first], pace=pace)
            for index, pace in enumerate(machines[1:], 1)
        ]
        communities.append([first, *others])
    return communities


def neighbours(node: Node) -> int:
    """How many have proven themselves to it lately."""
    return sum(view.member is not None for view in node.walker.candidates(node.world.now))


def pass_hour(world: World, communities: list[list[Node]]) -> tuple[int, int]:
    """(bytes sent in an hour, neighbours found lost at its looks) once all have met."""
    world.run(60)
    world.log.clear()
    sent, lost = 0, 0
    for _ in range(int(HOUR_S / 20)):
        world.run(20)
        sent += sum(len(data) for _, _, _, data in world.log)
        world.log.clear()
        lost += sum(neighbours(node) < len(nodes) - 1 for nodes in communities for node in nodes)
    return sent, lost


def test_fifty_communities_cost_ten_times_one_and_lose_nobody() -> None:
    """Two machines, an hour, and a link that loses every twentieth datagram."""
    sent = {}
    for count in (1, 50):
        world = World(seed=count, link=Link(loss=0.05))
        sent[count], lost = pass_hour(world, make_communities(world, count, paces(2)))
        assert lost == 0
    assert sent[50] <= 10 * sent[1], sent


def test_a_few_machines_lose_nobody() -> None:
    """Five members each: all find and keep all, in six communities."""
    world = World(seed=3, link=Link(loss=0.05))
    communities = make_communities(world, 6, paces(5))
    world.run(HOUR_S / 4)
    _, lost = pass_hour(world, communities)
    assert lost == 0


def test_neighbours_without_pings_are_not_lost() -> None:
    """One machine's version skips them: it is walked to in time."""
    world = World(seed=4, link=Link(loss=0.05))
    communities = make_communities(world, 10, paces(2))
    for nodes in communities:
        nodes[1].pings = False
    _, lost = pass_hour(world, communities)
    assert lost == 0
    assert sum(nodes[0].walker.counts["pings-timed-out"] for nodes in communities) >= 10


def test_news_travel_as_fast_in_settled_communities() -> None:
    """What is published after half an hour of silence is there within a second."""
    world = World(seed=5)
    communities = make_communities(world, 20, paces(3))
    world.run(HOUR_S / 2)
    [first, *others] = communities[7]
    first.publish(history(1))
    assert world.run(1.0, until=lambda: equal(first, *others))


def test_a_newcomer_is_met_at_once_by_settled_communities() -> None:
    """It walks to them; both know each other before a step has passed."""
    world = World(seed=6)
    communities = make_communities(world, 20, paces(2))
    world.run(HOUR_S / 2)
    newcomer = world.add(200, bootstrap=[communities[3][0]])
    assert world.run(STEP_INTERVAL_S, until=lambda: neighbours(newcomer) == 2)


def test_who_leaves_settled_communities_is_forgotten() -> None:
    """Pings keep nobody who is gone."""
    world = World(seed=7)
    communities = make_communities(world, 20, paces(2))
    world.run(HOUR_S / 2)
    for nodes in communities:
        del world.nodes[nodes[1].address]
    world.run(70)
    assert [neighbours(nodes[0]) for nodes in communities] == [0] * 20


def test_a_community_that_is_left_counts_no_longer() -> None:
    """The others step as often as if it had never been."""
    world = World(seed=8)
    machines = paces(2)
    communities = make_communities(world, 5, machines)
    world.run(120)
    assert machines[0].step_interval_s() > STEP_INTERVAL_S
    for nodes in communities[1:]:
        for node in nodes:
            del world.nodes[node.address]
    del communities[1:], nodes, node
    assert machines[0].step_interval_s() == STEP_INTERVAL_S
