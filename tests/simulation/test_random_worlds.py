"""Goal: every random world ends with equal live sets, whatever its links, nodes, partitions and sleepers did.

`DISPERSY_WORLDS=500 python -m pytest tests/simulation/test_random_worlds.py` plays so many instead of a few;
a world that fails prints its seed, and is played again as that seed's.
"""

from __future__ import annotations

import os
from random import Random

import pytest

from simulation.holdings import history
from simulation.links import Path
from simulation.nat import ADDRESS_RESTRICTED, FULL_CONE, PORT_RESTRICTED
from simulation.node import Node
from simulation.world import World, equal

WORLDS = int(os.environ.get("DISPERSY_WORLDS", "6"))
FOUND: tuple[int, ...] = (33,)
"""Seeds of worlds that once failed."""
LIMIT_S = 1_200.0
UNREST_S = 60.0


def random_path(rng: Random) -> Path:
    """Bad in some ways, and never so that nothing comes through."""
    return Path(
        delay_s=rng.choice([0.001, 0.02, 0.1, 0.5]),
        jitter_s=rng.choice([0.0, 0.01, 0.2]),
        loss=rng.choice([0.0, 0.01, 0.1, 0.3]),
        duplicates=rng.choice([0.0, 0.0, 0.1]),
        burst_loss=rng.choice([0.0, 0.0, 0.1]),
        burst_s=rng.choice([0.05, 0.5]),
        rate=rng.choice([0.0, 0.0, 1e5, 1e6]),
        queue=rng.choice([16_000, 64_000]),
        keeps_order=rng.random() < 0.3,
    )


def make_world(seed: int) -> tuple[World, list[Node]]:
    """Two to seven nodes, each with a part of a history; some behind NATs, with clocks of their own."""
    rng = Random(f"random world {seed}")
    world = World(seed=seed, link=random_path(rng), log=False)
    first = world.add(1)
    nodes = [first]
    for host in range(2, rng.randint(3, 8)):
        nat = rng.choice([None, None, FULL_CONE, ADDRESS_RESTRICTED, PORT_RESTRICTED])
        nodes.append(world.add(host, bootstrap=[first], nat=nat, audits=rng.random() < 0.3))
    for node in nodes[1:]:
        if rng.random() < 0.3:
            world.skew(node, ahead_s=rng.random() * 1_000, rate=rng.choice([0.9, 1.0, 1.1]))
    messages = history(rng.choice([5, 60, 400]), seed=seed)
    share = rng.choice([0.3, 0.9, 0.99])
    for node in nodes:
        mine = [message for message in messages[:-2] if rng.random() < share]
        world.at(rng.random() * UNREST_S / 2, lambda node=node, mine=mine: node.publish(mine))
    # What nobody else has, at the end of all unrest.
    last = rng.choice(nodes)
    world.at(UNREST_S, lambda: last.publish(messages))
    return world, nodes


def disturb(world: World, nodes: list[Node], seed: int) -> None:
    """Partitions that heal, and naps, within UNREST_S."""
    rng = Random(f"unrest {seed}")
    for _ in range(rng.randint(1, 2)):
        cut = rng.sample(nodes, rng.randint(1, len(nodes) - 1))
        others = [node for node in nodes if node not in cut]
        at = rng.random() * UNREST_S
        ones, rest = [node.address for node in cut], [node.address for node in others]
        world.at(at, lambda ones=ones, rest=rest: world.links.part(ones, rest))
    world.at(UNREST_S, world.links.cut.clear)
    for node in nodes[1:]:
        if rng.random() < 0.3:
            world.at(rng.random() * UNREST_S, lambda node=node: world.sleep(node))
            world.at(UNREST_S + rng.random() * 10, lambda node=node: world.wake(node))


@pytest.mark.parametrize("seed", [*FOUND, *range(1, WORLDS + 1)])
def test_every_world_ends_equal(seed: int) -> None:
    """All that anybody published is everywhere, soon after the unrest is over."""
    world, nodes = make_world(seed)
    disturb(world, nodes, seed)
    world.run(UNREST_S + 15)
    ended = world.run(LIMIT_S, until=lambda: equal(*nodes), looks_every_s=0.5)
    held = [node.holdings.summary().count for node in nodes]
    assert ended, f"seed {seed}: {held} after {world.now:.0f} s; {world.links.link}"
