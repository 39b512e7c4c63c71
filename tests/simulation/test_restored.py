"""Goal: a node whose home was restored hears what it has published, before it has pulled what it lacks."""

from __future__ import annotations

import pytest

from dispersy.testing.links import Link
from simulation.holdings import history, make_message
from simulation.world import World

OTHERS = 5_000
OWN = 30
WAIT_S = 30.0


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_neighbours_say_what_a_restored_node_has_published(seed: int, loss: float) -> None:
    """Within the 30 s that it waits, most often within two: its newest message is among what came."""
    world = World(seed=seed, link=Link(delay_s=0.05, jitter_s=0.02, loss=loss))
    neighbours = [world.add(1)]
    neighbours += [world.add(host, bootstrap=neighbours[:1]) for host in range(2, 5)]
    restored = world.add(9, bootstrap=neighbours[:1])
    own = [
        make_message(
            author=bytes(restored.member),
            global_time=OTHERS + number,
            sequence=number,
            payload=b"own message %d" % number,
        )
        for number in range(1, OWN + 1)
    ]
    for neighbour in neighbours:
        neighbour.publish(history(OTHERS) + own)
    restored.publish(own[:3])
    restored.newest.set_authors([restored.member], world.now)
    limit = world.now + WAIT_S
    assert world.run(WAIT_S, until=lambda: bool(restored.told_at))
    # What came with the answer is committed well within the grace that the writer gives it.
    world.run(1.0, until=lambda: restored.holdings.newest(restored.member) == [own[-1]])
    assert restored.holdings.newest(restored.member) == [own[-1]]
    assert world.now < limit


def test_who_knows_nothing_says_so() -> None:
    """An answer without messages is one: nobody waits 30 s for it. The other neighbours are asked, too."""
    world = World(seed=1, link=Link())
    ignorant = world.add(1)
    knowing = world.add(2, bootstrap=[ignorant])
    restored = world.add(9, bootstrap=[ignorant])
    restored.newest.set_authors([restored.member], world.now)
    assert world.run(WAIT_S, until=lambda: len(restored.told_at) == 2)
    assert ignorant.sent["messages"] == knowing.sent["messages"] == 1
    restored.newest.set_authors([], world.now)
    asked = restored.sent["request-missing"]
    world.run(WAIT_S)
    assert restored.sent["request-missing"] == asked
