"""Large messages on bad links: they converge as small ones do, and cost what they are."""

from __future__ import annotations

from random import Random

import pytest

from dispersy.constants import DATAGRAM_MESSAGE_SIZE_MAX
from dispersy.testing.links import Link
from simulation.holdings import history, make_message
from simulation.links import Path
from simulation.node import Node
from simulation.world import World, equal

AUTHOR = bytes(range(100, 132))


def mixed(large: int, *, small: int = 300, seed: int = 1) -> list[bytes]:
    """Small messages of several authors, and large ones of one author between them."""
    rng = Random(seed)
    messages = history(small, seed=seed)
    for sequence in range(1, large + 1):
        time, size = rng.randrange(1, small), rng.randrange(DATAGRAM_MESSAGE_SIZE_MAX, 65_000)
        messages.append(
            make_message(author=AUTHOR, global_time=time, sequence=sequence, payload=rng.randbytes(size))
        )
    return messages


def wasted(messages: list[bytes], *nodes: Node) -> float:
    """Bytes sent by all, per byte of the messages that had to move once."""
    return sum(node.sent["bytes"] for node in nodes) / sum(map(len, messages))


@pytest.mark.parametrize(
    ("link", "limit_s", "waste_max"),
    [
        (Link(), 5, 1.08),
        (Link(loss=0.1, duplicates=0.05, jitter_s=0.01), 60, 1.3),
        (Link(loss=0.3), 180, 1.8),
        (Link(jitter_s=0.03), 10, 1.2),
        (Link(delay_s=0.3), 30, 1.1),
    ],
    ids=["clean", "lossy", "very-lossy", "reordering", "slow"],
)
def test_a_newcomer_gets_large_and_small(link: Link, limit_s: float, waste_max: float) -> None:
    """A lost fragment costs that fragment: of 2 MB with a tenth lost little more than that is sent twice."""
    world = World(seed=7, link=link)
    old = world.add(1)
    messages = mixed(60)
    old.publish(messages)
    newcomer = world.add(2, bootstrap=[old])
    assert world.run(limit_s, until=lambda: equal(old, newcomer)), newcomer.fragments.counts
    assert wasted(messages, old, newcomer) < waste_max
    assert newcomer.fragments.counts["large-whole"] == 60


def test_what_a_break_interrupts_goes_on_after_it() -> None:
    """Names that overflow, an assembly that was begun, a source that fell silent: 300 messages of 20 KB come,
    each once, and soon after the link is there again."""
    world = World(seed=5, link=Link(delay_s=0.025))
    old = world.add(1)
    messages = [
        make_message(author=AUTHOR, global_time=time, sequence=time, payload=Random(time).randbytes(20_000))
        for time in range(1, 301)
    ]
    old.publish(messages)
    newcomer = world.add(2, bootstrap=[old])
    half = world.run(30, until=lambda: newcomer.holdings.summary().count >= 150)
    world.links.part([old.address], [newcomer.address])
    world.run(12)
    assert half
    assert not equal(old, newcomer)
    world.links.cut.clear()
    assert world.run(15, until=lambda: equal(old, newcomer)), newcomer.fragments.counts
    assert wasted(messages, old, newcomer) < 1.1


@pytest.mark.parametrize(
    ("path", "messages", "longer_max"),
    [
        (Path(rate=20e3 / 8, pause_s=580, pause_every_s=600, pause_at_s=20, loss=0.02, queue=16_000), 4, 1.5),
        (Path(rate=64e3 / 8, pause_s=12, pause_every_s=16, pause_at_s=4, queue=16_000), 5, 2.0),
        (Path(rate=1e6 / 8, pause_s=12, pause_every_s=16, pause_at_s=4), 20, 1.5),
        (Path(delay_s=2.0, rate=5e3 / 8, loss=0.1, queue=16_000), 3, 2.0),
    ],
    ids=["windows", "slow-pauses", "pauses", "trickle"],
)
def test_what_no_window_holds_whole_comes_by_parts(path: Path, messages: int, longer_max: float) -> None:
    """Twenty seconds of 20 kbit/s hold two thirds of a message: it never came, begun anew in each window."""
    world = World(seed=3, link=path)
    old = world.add(1)
    long = [
        make_message(author=AUTHOR, global_time=time, sequence=time, payload=Random(time).randbytes(65_000))
        for time in range(1, messages + 1)
    ]
    old.publish(long)
    newcomer = world.add(2, bootstrap=[old])
    there = 1 - path.pause_s / path.pause_every_s if path.pause_every_s else 1.0
    needed_s = sum(map(len, long)) / path.rate / there
    # The last window need not be a whole one, nor the first.
    limit_s = longer_max * needed_s + path.pause_every_s
    assert world.run(limit_s, until=lambda: equal(old, newcomer)), newcomer.fragments.counts
    assert wasted(long, old) < 1.6


def test_one_source_fills_a_fast_link() -> None:
    """20 Mbit/s and 100 ms of round trip hold 250 KB: with half of that under way most of it stays empty."""
    rate = 20e6 / 8
    world = World(seed=3, link=Path(delay_s=0.05, rate=rate, queue=256_000))
    old = world.add(1)
    messages = mixed(150)
    old.publish(messages)
    newcomer = world.add(2, bootstrap=[old])
    assert world.run(60, until=lambda: equal(old, newcomer))
    assert sum(map(len, messages)) / world.now > 0.5 * rate


@pytest.mark.parametrize(
    ("path", "share_min"),
    [
        (Path(delay_s=0.025, jitter_s=0.1, rate=1e6 / 8, queue=64_000), 0.75),
        (Path(delay_s=0.025, jitter_s=0.1, loss=0.02, rate=1e6 / 8, queue=64_000), 0.75),
        (Path(delay_s=0.15, spread_s=0.05, burst_loss=0.05, rate=384e3 / 8), 0.65),
        (Path(delay_s=0.15, spread_s=0.05, keeps_order=True, burst_loss=0.05, rate=384e3 / 8), 0.65),
        (Path(delay_s=0.025, rate=1e6 / 8, queue=4_000), 0.75),
        (Path(delay_s=0.05, rate=1e6 / 8, queue=4_000), 0.75),
        (Path(delay_s=0.025, rate=1e6 / 8, queue=8_000), 0.75),
        (Path(delay_s=0.1, rate=16e3 / 8, queue=64_000), 0.75),
        (Path(delay_s=0.1, rate=8e3 / 8, queue=64_000), 0.7),
        (Path(delay_s=0.025, loss=0.2, rate=1e6 / 8), 0.45),
        (Path(delay_s=0.025, loss=0.2, rate=1e6 / 8, queue=6_000), 0.4),
    ],
    ids=[
        "reordering",
        "lossy",
        "3g",
        "3g-in-order",
        "4k",
        "4k-far",
        "8k",
        "16kbit",
        "8kbit",
        "very-lossy",
        "6k-very-lossy",
    ],
)
def test_a_slow_link_is_filled_whatever_it_delays_and_loses(path: Path, share_min: float) -> None:
    """What comes late without a queue before it must not count as one, nor a queue of three datagrams be
    flooded: 20 messages of 64 KB took four times as long as the link needs, or never came."""
    world = World(seed=3, link=path)
    old = world.add(1)
    messages = [
        make_message(author=AUTHOR, global_time=time, sequence=time, payload=Random(time).randbytes(65_000))
        for time in range(1, 21 if path.rate > 10_000 else 4)
    ]
    old.publish(messages)
    newcomer = world.add(2, bootstrap=[old])
    assert world.run(300, until=lambda: equal(old, newcomer)), newcomer.fragments.counts
    assert sum(map(len, messages)) / world.now > share_min * path.rate
    assert wasted(messages, old, newcomer) < 1.3 / (1 - path.loss)


def test_what_one_node_alone_has_reaches_its_neighbours_by_several_ways() -> None:
    """Long messages leave a slow uplink a few times and not once for each of ten neighbours, who get them
    from each other."""
    world = World(seed=2, link=Path(delay_s=0.025, jitter_s=0.005))
    source = world.add(1)
    others = [world.add(host, bootstrap=[source]) for host in range(2, 12)]
    world.links.set_access(source.address, up=64_000, queue=64_000)
    world.run(10)
    messages = [
        make_message(author=AUTHOR, global_time=time, sequence=time, payload=Random(time).randbytes(60_000))
        for time in range(1, 6)
    ]
    before = source.sent["bytes"]
    source.publish(messages)
    assert world.run(60, until=lambda: equal(source, *others))
    size = sum(map(len, messages))
    assert source.sent["bytes"] - before < 3.5 * size
