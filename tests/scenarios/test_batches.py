"""Batches: a kind with a batch window stores nothing before the window ends, and everything after."""

from __future__ import annotations

import asyncio

import pytest

from dispersy import BlockingCommunity, Community, kind
from dispersy.testing import Network, Node

WINDOW_S = 2.0


class Slow(BlockingCommunity):
    text = kind(64, str, batch_window_ms=int(WINDOW_S * 1000))
    quick = kind(65, str)


def counts(monkeypatch: pytest.MonkeyPatch, network: Network, node: Node) -> list[tuple[float, int]]:
    """(time, messages that the node has stored) at each step of the network from now on."""
    seen: list[tuple[float, int]] = []
    advance = network.advance

    def note(until: float) -> None:
        advance(until)
        seen.append((network.now, stored(node)))

    monkeypatch.setattr(network, "advance", note)
    return seen


def stored(node: Node) -> int:
    (summary,) = node.summaries().values()
    return summary.count


def test_nothing_is_stored_before_the_window_ends_and_everything_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Own messages: whoever publishes is answered at the end of the window, and a kind without is not
    delayed."""
    with Network() as network:
        node = network.node()
        chat = Slow.create(node.client, "chat")
        before, began = stored(node), network.now
        seen = counts(monkeypatch, network, node)
        chat.text.publish("waits")
        assert {count for now, count in seen if now < began + WINDOW_S} == {before}
        assert stored(node) == before + 1
        assert began + WINDOW_S <= network.now < began + WINDOW_S + 0.1
        began = network.now
        chat.quick.publish("does not")
        assert network.now < began + WINDOW_S / 2


def test_what_is_received_waits_for_the_window_too_and_is_stored_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Network() as network:
        ours, theirs = network.nodes(2)
        chat = Slow.create(ours.client, "chat")
        other = Slow.join(theirs.client, chat.invite())
        network.settle()
        before = stored(theirs)
        # From before anything is there: what is pushed has arrived by the time that publishing is answered.
        seen = counts(monkeypatch, network, theirs)
        chat.text.publish_many([str(number) for number in range(20)])
        sent = network.now
        chat.quick.publish("does not wait")
        network.settle()
        assert {count for now, count in seen if now < sent} == {before}, "it was there before it was sent"
        waiting = [count for now, count in seen if sent < now < sent + WINDOW_S]
        assert before + 1 in waiting, "what does not wait did not come while the rest waited"
        assert {count for _, count in seen} <= {before, before + 1, before + 20, before + 21}
        assert all(count <= before + 1 for now, count in seen if now < sent + WINDOW_S)
        texts = [message.payload for message in other.text.follow(since="begin", idle_s=0.1)]
        assert texts == [str(number) for number in range(20)]


class Burst(Community):
    text = kind(64, str, batch_window_ms=500)


def test_one_call_with_1000_messages_and_1000_calls_with_one_store_the_same() -> None:
    texts = [str(number) for number in range(1_000)]

    async def main(network: Network, *, is_one_call: bool) -> list[tuple[int, int, str]]:
        client = network.node().async_client()
        chat = await Burst.create(client, "chat")
        if is_one_call:
            await chat.text.publish_many(texts)
        else:
            await asyncio.gather(*(chat.text.publish(text) for text in texts))
        messages = [each async for each in chat.text.follow(since="begin", idle_s=0.1)]
        await client.close()
        return [(message.sequence, message.global_time, message.payload) for message in messages]

    outcomes = []
    for is_one_call in (True, False):
        with Network() as network:
            outcomes.append(asyncio.run(main(network, is_one_call=is_one_call)))
    assert outcomes[0] == outcomes[1]
    assert [text for _, _, text in outcomes[0]] == texts
