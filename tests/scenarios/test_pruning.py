"""Pruning: what grows old is offered no more, and then gone."""

from __future__ import annotations

import pytest

from dispersy import BlockingCommunity, UsageError, kind, policy
from dispersy.testing import Network, Node


class Feed(BlockingCommunity):
    news = kind(64, str, pruning=policy("global-time", inactive_threshold=10, prune_threshold=20))
    kept = kind(65, str)


def states(node: Node, feed: Feed, *ids: bytes) -> list[str]:
    told = [node.client.explain(feed.id.hex(), each) for each in ids]
    return [str(each["state"]) for each in told]


def test_inactive_at_its_threshold_and_gone_at_the_next() -> None:
    """Goal: of own messages as of received ones, exactly where the definition says."""
    with Network() as network:
        writer, reader = network.nodes(2)
        feed = Feed.create(writer.client, "feed")
        feeds = [feed, Feed.join(reader.client, feed.invite())]
        network.settle()
        news = feed.news.publish("news").ids[0]
        stages = []
        for _ in range(22):
            network.settle()
            stages.append(
                [states(node, each, news)[0] for node, each in zip((writer, reader), feeds, strict=True)]
            )
            feed.kept.publish("time passes")
        assert stages == [["shown"] * 2] * 10 + [["inactive"] * 2] * 10 + [["unknown"] * 2] * 2
        late = network.node()
        joined = Feed.join(late.client, feed.invite())
        network.settle()
        assert late.client.count(joined.id.hex()) == writer.client.count("feed") == 22


def test_other_kinds_are_untouched() -> None:
    """Goal: a kind without pruning keeps what is as old, and it can still be taken back."""
    with Network() as network:
        (writer,) = network.nodes(1)
        feed = Feed.create(writer.client, "feed")
        news, kept = feed.news.publish("news").ids[0], feed.kept.publish("kept").ids[0]
        feed.kept.publish_many(["time passes"] * 40)
        assert states(writer, feed, news, kept) == ["unknown", "shown"]
        writer.client.undo("feed", kept)
        assert states(writer, feed, kept) == ["hidden"]
        with pytest.raises(UsageError) as caught:
            writer.client.undo("feed", news)
        assert caught.value.code == "message-unknown"


def test_a_replay_passes_over_what_was_told_of_what_is_gone() -> None:
    """Goal: a marker says that it is gone; a change that was told of it has nothing to be about any more."""
    with Network() as network:
        (writer,) = network.nodes(1)
        feed = Feed.create(writer.client, "feed")
        news = feed.news.publish("news")
        writer.client.undo("feed", news.ids[0])
        before = [event.event for event in writer.client.follow(["feed"], since="begin", idle_s=0.1)]
        assert "undone" in before
        feed.kept.publish_many(["time passes"] * 40)
        events = list(writer.client.follow(["feed"], since="begin", idle_s=0.1))
        told = [event.event for event in events if event.event != "caught-up"]
        assert told == ["removed", *["message"] * 40]
        assert events[0].cursor == news.first_cursor
