"""Goal: whatever their clocks say and whoever was parted from whom, nodes end with the same, and nothing too
old goes round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from random import Random

import pytest

from dispersy import BlockingCommunity, kind, policy
from dispersy.protocol.pruning import Pruning
from dispersy.storage.store import EntryType, LogEntry
from dispersy.testing import Link, Network, Node

INACTIVE_AFTER, PRUNE_AFTER = 64, 128
RULES = Pruning(INACTIVE_AFTER, PRUNE_AFTER)


class Feed(BlockingCommunity):
    news = kind(
        64,
        bytes,
        pruning=policy("global-time", inactive_threshold=INACTIVE_AFTER, prune_threshold=PRUNE_AFTER),
    )
    kept = kind(65, bytes)


def meet(*nodes: Node) -> list[Feed]:
    first = Feed.create(nodes[0].client, "feed")
    return [first, *(Feed.join(node.client, first.invite()) for node in nodes[1:])]


def entries(node: Node) -> Iterator[LogEntry]:
    """All messages that are in its log."""
    return (entry for entry in node._store.log(1, 1 << 20) if entry.type == EntryType.MESSAGE)


def held(node: Node) -> Counter[bytes]:
    return Counter(entry.message_id for entry in entries(node))


def horizons(*nodes: Node) -> set[int]:
    return {summary.horizon for node in nodes for summary in node.summaries().values()}


def assert_same(*nodes: Node) -> None:
    """The same live sets, and nobody keeps what is to be gone."""
    assert len({(each.count, each.sum) for node in nodes for each in node.summaries().values()}) == 1
    for node in nodes:
        time = node._store.state(1).pruning_time
        oldest = RULES.pruned_to(time)
        cursors, _ = node._store.retired(1, 64, max(0, oldest), 1 << 20)
        assert not cursors


def agree(network: Network) -> None:
    """Let them settle, and whoever is behind come up to the others: it asks what their clocks say."""
    network.settle()
    network.run(30.0)
    network.settle()


def asked(nodes: Iterable[Node]) -> int:
    """How often they have asked neighbours for what they lack."""
    return sum(
        served.puller.counts["requests"] for node in nodes for served in node._responder._served.values()
    )


def assert_quiet(network: Network, *nodes: Node) -> None:
    """Who differs in nothing that is to be had asks for nothing."""
    before = asked(nodes)
    network.run(300.0)
    assert asked(nodes) == before


def test_a_newcomer_gets_what_is_not_too_old() -> None:
    """Of the pruned kind only what is young enough is on its way; all of the other kind is."""
    with Network() as network:
        first, late = network.nodes(2)
        feed = Feed.create(first.client, "feed")
        feed.kept.publish_many(b"kept %d" % number for number in range(20))
        feed.news.publish_many(b"news %d" % number for number in range(200))
        joined = Feed.join(late.client, feed.invite())
        agree(network)
        assert_same(first, late)
        assert horizons(first, late) == {221 // RULES.step}
        young = 221 - 221 % RULES.step - INACTIVE_AFTER
        assert sum(entry.message[0] == 64 for entry in entries(late)) == 221 - young
        assert len(list(joined.kept.follow(since="begin", idle_s=0.1))) == 20
        assert_quiet(network, first, late)


def test_parted_nodes_with_different_clocks_end_equal() -> None:
    """One goes far ahead, the other writes little; what both wrote meets, as far as it is young enough."""
    with Network() as network:
        busy, calm = network.nodes(2)
        feeds = meet(busy, calm)
        feeds[0].news.publish_many(b"both %d" % number for number in range(30))
        network.settle()
        network.partition([busy], [calm])
        feeds[0].news.publish_many(b"busy %d" % number for number in range(500))
        feeds[1].news.publish_many(b"calm %d" % number for number in range(10))
        feeds[1].kept.publish(b"of calm")
        assert len(horizons(busy, calm)) == 2
        network.heal()
        agree(network)
        assert_same(busy, calm)
        assert len(horizons(busy, calm)) == 1
        assert any(entry.message[0] == 65 for entry in entries(busy))
        assert_quiet(network, busy, calm)


def test_what_lifted_a_clock_may_be_gone() -> None:
    """An undo makes its own target too old and is then offered no more: who was away never hears of it, is
    behind for good, and comes along all the same."""
    with Network() as network:
        first, away = network.nodes(2)
        feeds = meet(first, away)
        published = feeds[0].news.publish(b"old")
        feeds[0].kept.publish_many(b"%d" % number for number in range(INACTIVE_AFTER - 1 + RULES.step - 2))
        network.settle()
        before = horizons(first, away)
        assert len(before) == 1
        network.partition([first], [away])
        first.client.undo("feed", published.ids[0])
        assert held(first).keys() > held(away).keys()
        assert horizons(first) != horizons(away) == before
        network.heal()
        agree(network)
        assert_same(first, away)
        assert len(horizons(first, away)) == 1
        late = network.node()
        Feed.join(late.client, feeds[1].invite())
        agree(network)
        assert_same(first, away, late)
        assert_quiet(network, first, away, late)


@pytest.mark.parametrize("seed", [0])
def test_nodes_that_come_and_go_end_equal(seed: int) -> None:
    """Four nodes publish at their own pace, are parted at random over a bad link, and two more join late."""
    rng = Random(seed)
    with Network(seed=seed, link=Link(loss=0.1, jitter_s=0.05, duplicates=0.05)) as network:
        nodes = network.nodes(4)
        feeds = meet(*nodes)
        network.settle()
        for turn in range(10):
            cut = rng.randint(0, len(nodes))
            parted = rng.sample(nodes, k=len(nodes))
            network.heal()
            network.partition(parted[:cut], parted[cut:])
            for feed in rng.sample(feeds, k=2):
                count = rng.choice((1, 5, 40))
                feed.news.publish_many(rng.randbytes(8) for _ in range(count))
                feed.kept.publish(rng.randbytes(8))
            if turn in (5, 9):
                nodes.append(network.node())
                feeds.append(Feed.join(nodes[-1].client, feeds[rng.randrange(4)].invite()))
            network.run(rng.choice((0.5, 10.0, 60.0)))
        network.heal()
        network.link = Link()
        agree(network)
        assert_same(*nodes)
        assert len(horizons(*nodes)) == 1
        assert_quiet(network, *nodes)
