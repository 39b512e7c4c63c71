"""Goal: a metered node is left alone, stays in sync at little cost, and is back soon after a long sleep."""

from __future__ import annotations

from dispersy.protocol.walk.metered import METERED_STEP_S
from dispersy.protocol.walk.shared_pace import SharedPace
from dispersy.testing.links import Link
from simulation.holdings import history
from simulation.node import Node
from simulation.world import World, equal

HALF_HOUR_S = 1800.0
ASLEEP_S = 600.0


def make_world(*, others: int = 2) -> tuple[World, Node, list[Node]]:
    """A metered node among others that know each other, all in sync."""
    world = World(seed=3, link=Link(delay_s=0.1, loss=0.02))
    first = world.add(1)
    nodes = [first, *(world.add(2 + index, bootstrap=[first]) for index in range(others - 1))]
    phone = world.add(99, bootstrap=[first], pace=SharedPace(phase_s=17.0, is_metered=True))
    for node in (*nodes, phone):
        node.publish(history(20))
    world.run(3 * METERED_STEP_S)
    return world, phone, nodes


def test_in_sync_it_wakes_once_a_step_and_nobody_wakes_it() -> None:
    """Whatever is sent to it answers what it has sent a moment before."""
    world, phone, _ = make_world()
    world.log.clear()
    world.run(HALF_HOUR_S)
    own = [at for at, source, _, _ in world.log if source == phone.address]
    unasked = [
        at
        for at, _, target, _ in world.log
        if target == phone.address and not any(0 <= at - sent <= 10.0 for sent in own)
    ]
    assert not unasked
    wakes = {round(at / 10) for at in own}
    assert 12 <= len(wakes) <= 20
    size = sum(len(data) + 28 for _, source, target, data in world.log if phone.address in (source, target))
    assert 2_500 < size <= 10_000


def test_it_hears_of_what_is_new_with_its_next_step_and_tells_its_own_at_once() -> None:
    world, phone, nodes = make_world()
    nodes[0].publish(history(40, seed=2))
    assert world.run(METERED_STEP_S + 30.0, until=lambda: equal(phone, *nodes))
    world.run(2 * METERED_STEP_S)
    phone.publish(history(3, seed=4))
    assert world.run(10.0, until=lambda: equal(phone, *nodes))


def test_after_a_long_sleep_it_is_back_soon() -> None:
    """Its clock has stood still, its next step was far off, and of its neighbours only the first is there."""
    world, phone, nodes = make_world(others=5)
    steps = phone.sent["introduction-request"]
    assert world.run(2 * METERED_STEP_S, until=lambda: phone.sent["introduction-request"] > steps)
    world.run(5.0)
    world.sleep(phone)
    for node in nodes[1:]:
        world.remove(node)
    nodes[0].publish(history(200, seed=2))
    world.run(ASLEEP_S)
    world.skew(phone, ahead_s=-ASLEEP_S)
    world.wake(phone)
    phone.walker.resume(phone.now)
    world.watch(phone.address)
    assert not phone.walker.neighbours(phone.now)
    assert world.run(10.0, until=lambda: equal(phone, nodes[0]))
