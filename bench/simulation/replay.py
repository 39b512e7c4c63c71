"""The proof that a seed replays exactly: one digest over every datagram of a bad world, twice."""

from __future__ import annotations

from simulation.holdings import history
from simulation.links import Path
from simulation.world import World

NASTY = Path(
    delay_s=0.02, jitter_s=0.03, loss=0.1, duplicates=0.1, burst_loss=0.05, rate=250_000, queue=32_000
)


def digest_of_run(seed: int, *, nodes: int = 6, seconds: float = 20.0) -> str:
    """Of a world with loss, a rate, NATs and nodes that publish."""
    world = World(seed=seed, link=NASTY, log=False, proves=True)
    first = world.add(1)
    others = [
        world.add(host, bootstrap=[first], nat="port-restricted" if host % 2 else None)
        for host in range(2, nodes + 1)
    ]
    messages = history(40 * nodes, seed=seed)
    for index, node in enumerate([first, *others]):
        mine = messages[index::nodes]
        world.at(1.0 + index, lambda node=node, mine=mine: node.publish(mine))
    world.run(seconds)
    return world.digest


def same_datagrams_twice(seed: int) -> bool:
    """And others with another seed, or the digest would prove nothing."""
    first = digest_of_run(seed)
    return digest_of_run(seed) == first != digest_of_run(seed + 1)
