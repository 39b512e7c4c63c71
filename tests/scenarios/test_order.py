"""Priority and order of kinds: what a node that lacks much gets first.

Two simulated nodes with the product's machines and UDP's links, and nodes of before that know no selections.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random
from statistics import correlation
from typing import Any

import pytest

from dispersy.ext import wire
from dispersy.protocol.definitions.definition import Definition
from dispersy.protocol.definitions.kind import Kind
from dispersy.protocol.definitions.policies import choose
from dispersy.protocol.definitions.ranking import selections_of
from dispersy.protocol.wire.frames import SyncRequest
from dispersy.protocol.wire.selection import Order
from dispersy.storage.layout import message_place
from dispersy.testing.links import Link
from simulation.holdings import StoreHoldings, make_holdings
from simulation.node import Node
from simulation.world import World

AUTHORIZE, REPORT, CHAT, NEWS, BULK = 1, 64, 65, 66, 67
LINK = Link(delay_s=0.02, jitter_s=0.005, loss=0.01)
LIMIT_S = 120.0


def kind(number: int, *, priority: int = 128, order: Order = Order.ASCENDING) -> Kind:
    distribution = choose("distribution", "full-sync", priority=priority, order=order)
    return Kind(number=number, name=f"kind-{number}", distribution=distribution)


class Watched(StoreHoldings):
    """Holdings that remember in what order they took what came."""

    def __init__(self) -> None:
        super().__init__(make_holdings().store)
        self.came: list[tuple[int, int]] = []

    def take(self, messages: list[bytes]) -> int:
        self.came += [(message[0], message_place(message)[2]) for message in messages]
        return super().take(messages)

    def times(self, number: int) -> list[int]:
        """Global times of a kind in the order in which they came, each once."""
        return list(dict.fromkeys(time for each, time in self.came if each == number))

    def places(self, number: int) -> list[int]:
        """Where among all that came those of a kind stand."""
        return [place for place, (each, _) in enumerate(self.came) if each == number]


class Former(Node):
    """A node of before selections, which drops what has a flag that it does not know."""

    def _receive_frame(self, source: Any, received: Any, header_token: bytes, token_state: int) -> None:
        if isinstance(received, SyncRequest) and received.selection is not None:
            self.drops["flags-unknown"] += 1
            return
        super()._receive_frame(source, received, header_token, token_state)


def message(number: int, time: int, rng: Random) -> bytes:
    author, payload = bytes([number]) * 32, rng.randbytes(120)
    previous = bytes(32) if number < 64 else b""
    return wire.encode_message(number, 0, author, b"", time, time, previous, b"", [payload]) + bytes(64)


def written(counts: dict[int, int], *, seed: int) -> list[bytes]:
    """So many messages of each kind, mixed, one a global time."""
    rng = Random(seed)
    numbers = [number for number, count in counts.items() for _ in range(count)]
    rng.shuffle(numbers)
    return [message(number, 1 + time, rng) for time, number in enumerate(numbers)]


def filled(
    kinds: Sequence[Kind],
    messages: Sequence[bytes],
    *,
    held: Sequence[bytes] = (),
    seed: int = 1,
    is_former: bool = False,
) -> tuple[Watched, Node, Node]:
    """What came to a newcomer, and both nodes, when their sets are equal."""
    world = World(seed=seed, link=LINK, models=True)
    full, empty = make_holdings(), Watched()
    full.add(list(messages))
    empty.add(list(held))
    selections = selections_of(Definition("world", tuple(kinds)))
    one = world.add(2, holdings=full)
    if is_former:
        one.__class__ = Former
    other = world.add(3, holdings=empty, bootstrap=[one])
    for node in (one, other):
        node.puller.set_definition_known(world.now, selections)
    assert world.run(LIMIT_S, until=lambda: full.summary().same_set(empty.summary())), f"seed {seed}"
    return empty, one, other


def is_scattered(times: Sequence[int]) -> bool:
    """Whether they came in pieces from all over: in order or backwards nearly all correlate."""
    return abs(correlation(range(len(times)), times)) < 0.85


def test_high_priority_comes_before_low() -> None:
    """Few reports among much else are here before it, and so is what permits; then all is."""
    kinds = [kind(BULK, priority=64), kind(CHAT), kind(REPORT, priority=200)]
    messages = written({AUTHORIZE: 20, REPORT: 40, CHAT: 800, BULK: 2_000}, seed=1)
    empty, _, other = filled(kinds, messages)
    assert other.puller.counts["by-ranked"] == 3
    assert other.puller.counts["by-tip"] == 1
    assert other.puller.counts["by-recent"] == 0, "the rest was looked for above what has just come"
    ends = [empty.places(number)[-1] for number in (AUTHORIZE, REPORT, CHAT)]
    begins = [empty.places(number)[0] for number in (REPORT, CHAT, BULK)]
    assert all(end < begin for end, begin in zip(ends, begins, strict=True))
    # Of many of a kind, too: little comes twice.
    assert len(empty.came) < 1.1 * len(messages)


@pytest.mark.parametrize("held", [0, 1_500])
def test_the_newest_come_first_where_that_is_the_order(held: int) -> None:
    """Whether all is missing, or what came since; but for what was lost and asked for again."""
    messages = written({AUTHORIZE: 20, CHAT: 2_500}, seed=2)
    empty, _, other = filled([kind(CHAT, order=Order.DESCENDING)], messages, held=messages[:held])
    _, _, in_order = filled([kind(CHAT)], messages, held=messages[:held])
    assert other.world.now < 2 * in_order.world.now, "it is not one request after the other"
    times = empty.times(CHAT)
    assert times[0] > 2_400
    assert min(times[: len(times) // 4]) > (held + 2_520) / 2 - 250
    falls = [one > other for one, other in pairwise(times)]
    assert sum(falls) > 0.5 * len(falls)


def test_random_order_is_by_lot_and_the_lot_is_seeded() -> None:
    """Pieces of the whole history, drawn anew by every seed and alike by the same one."""
    messages = written({CHAT: 2_500}, seed=3)
    firsts = []
    for seed in (1, 1, 3):
        empty, _, _ = filled([kind(CHAT, order=Order.RANDOM)], messages, seed=seed)
        times = empty.times(CHAT)
        firsts.append(times[:1_000])
        assert is_scattered(times), f"seed {seed}"
    assert firsts[0] == firsts[1]
    assert firsts[0] != firsts[2]


def test_mixed_kinds_each_keep_their_order() -> None:
    """Of one priority: ascending, descending, random, one after the other."""
    kinds = [kind(CHAT, order=Order.DESCENDING), kind(NEWS), kind(BULK, order=Order.RANDOM)]
    empty, _, _ = filled(kinds, written({CHAT: 800, NEWS: 800, BULK: 2_000}, seed=4))
    for number, expected in ((NEWS, True), (CHAT, False)):
        rises = [one < other for one, other in pairwise(empty.times(number))]
        assert sum(each == expected for each in rises) > 0.75 * len(rises)
    assert is_scattered(empty.times(BULK))
    places = [empty.places(number) for number in (NEWS, CHAT, BULK)]
    for before, behind in pairwise(places):
        assert before[len(before) // 2] < behind[0]
        assert before[0] < behind[0]


def test_a_node_of_before_gives_everything_in_its_own_order() -> None:
    """It drops what it does not know; two such requests later it is asked as ever."""
    kinds = [kind(BULK, priority=64), kind(REPORT, priority=200)]
    empty, former, other = filled(kinds, written({REPORT: 40, BULK: 1_000}, seed=5), is_former=True)
    assert former.drops == {"flags-unknown": 2}
    assert other.puller.counts["by-ranked"] == 1
    assert len(empty.came) < 1.1 * 1_040
    assert other.world.now < 10.0


@pytest.mark.parametrize("seed", range(5))
def test_sets_are_equal_in_the_end_whatever_the_order(seed: int) -> None:
    """Kinds, priorities, orders and what is held already drawn by lot; filled() asks for equal sets."""
    rng = Random(seed)
    kinds = [
        kind(number, priority=rng.choice((40, 128, 255)), order=rng.choice(list(Order)))
        for number in rng.sample(range(64, 80), rng.randrange(1, 5))
    ]
    counts = {AUTHORIZE: rng.randrange(30)} | {each.number: rng.randrange(1, 400) for each in kinds}
    messages = written(counts, seed=seed)
    held = [each for each in messages if rng.random() < rng.choice((0.0, 0.1, 0.5))]
    filled(kinds, messages, held=held, seed=seed)


def test_a_pull_that_broke_off_goes_on_where_it_was() -> None:
    """The newest half is here: what is left lies below it, and comes downwards too."""
    messages = written({CHAT: 2_000}, seed=6)
    empty, _, other = filled([kind(CHAT, order=Order.DESCENDING)], messages, held=messages[1_000:])
    times = empty.times(CHAT)
    assert other.puller.counts["by-ranked"] == 2
    assert min(times[:400]) > 400
    assert max(times) <= 1_000
