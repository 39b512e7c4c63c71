"""Goal: a publish request that waits in a batch window outlives the writer that it waits in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from dispersy import BlockingCommunity, Client, kind
from tests.integration.node import FULL, Node

NODE_OPTIONS = FULL

LIMIT_S = 60.0
WINDOW_S = 5.0
MakeNode = Callable[..., Node]


class Slow(BlockingCommunity):
    text = kind(64, str, batch_window_ms=int(WINDOW_S * 1000))


def gathered(client: Client) -> int:
    """Publish requests that the writer which runs now has let wait."""
    (writer,) = (each for each in client.status()["processes"] if each["role"] == "writer")
    counted: int = writer.get("counters", {}).get("publish-gathered", 0)
    return counted


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, looking every 50 ms."""
    tick, limit = threading.Event(), monotonic() + LIMIT_S
    while not holds():
        assert monotonic() < limit
        tick.wait(0.05)


def test_a_writer_that_dies_within_the_window_loses_no_request(make_node: MakeNode) -> None:
    node = make_node("a")
    with node.start() as client:
        chat = Slow.create(client, "chat")
        published: list[int] = []

        def publish() -> None:
            with node.client() as other:
                published.append(Slow.open(other, "chat").text.publish("once").first_cursor)

        began = monotonic()
        publisher = threading.Thread(target=publish)
        publisher.start()
        until(lambda: gathered(client) == 1)
        node.kill("writer")
        assert not published, "it was answered before its window was over"
        publisher.join(LIMIT_S)
        assert len(published) == 1
        assert monotonic() - began >= WINDOW_S
        chat.text.publish("after it")
        texts = [message.payload for message in chat.text.follow(since="begin", idle_s=1.0)]
        assert texts == ["once", "after it"]
