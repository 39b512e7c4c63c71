"""Goal: many tasks share one asyncio client of a real node, and whatever ends them leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
import signal
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

import pytest

from dispersy.aio import AsyncClient, Events
from dispersy.client import Client
from dispersy.errors import UsageError
from tests.integration.node import Node

LIMIT_S = 60.0
MakeNode = Callable[..., Node]
T = TypeVar("T")


def run(node: Node, act: Callable[[AsyncClient], Awaitable[T]]) -> T:
    """Act with a client, within the limit; no task may be left when the client is closed."""

    async def main() -> T:
        async with asyncio.timeout(LIMIT_S):
            async with AsyncClient(node.home, timeout_s=LIMIT_S) as client:
                result = await act(client)
            assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return asyncio.run(main(), debug=True)


@pytest.fixture
def node(make_node: MakeNode) -> Node:
    """A node with a community, chat."""
    made = make_node("a")
    with made.start() as client:
        client.create("chat")
    return made


async def take(events: Events, count: int) -> list[bytes]:
    """The payloads of the next message events."""
    payloads: list[bytes] = []
    while len(payloads) < count:
        event = await anext(events)
        if event.event == "message":
            payloads.append(event.payload)
    return payloads


def test_it_has_the_methods_of_the_blocking_client() -> None:
    """Same names, same parameters, same defaults, same words: who knows one knows the other."""
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if name.startswith("_"):
            continue
        twin = getattr(AsyncClient, name)
        assert inspect.signature(twin).parameters == inspect.signature(method).parameters, name
        if name != "close":
            assert twin.__doc__ == method.__doc__, name


def test_many_tasks_publish_and_follow_on_one_client(node: Node) -> None:
    """Each gets its own answer; a follow that was begun before has every message once and in order."""

    async def act(client: AsyncClient) -> None:
        events = client.follow(["chat"])
        published = await asyncio.gather(
            *(client.publish("chat", [b"%d" % number]) for number in range(200)), client.count("chat")
        )
        *published, _ = published
        assert len({one.ids for one in published}) == 200  # type: ignore[union-attr]
        payloads = await take(events, 200)
        assert sorted(payloads) == sorted(b"%d" % number for number in range(200))
        assert await client.publish_many("chat", [b"%d" % number for number in range(1_200)]) == 1_200
        assert await take(events, 1_200) == [b"%d" % number for number in range(1_200)]
        assert await client.wait_for_count("chat", 1_400, timeout_s=LIMIT_S) == 1_400

    run(node, act)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_follow_survives_a_restart_of_the_node(node: Node, number: int) -> None:
    """Without gap or repetition, also what was published while nobody was connected."""

    async def act(client: AsyncClient) -> None:
        gone: list[bool] = []
        events = client.follow(["chat"], since="begin", on_absence=lambda: gone.append(True))
        await client.publish_many("chat", [b"%d" % number for number in range(700)])
        seen = await take(events, 300)
        await asyncio.to_thread(node.stop, number)
        with await asyncio.to_thread(node.start) as other:
            other.publish_many("chat", [b"%d" % number for number in range(700, 1_400)])
        seen += await take(events, 1_100)
        assert seen == [b"%d" % number for number in range(1_400)]
        assert gone
        # The same client goes on, too.
        assert await client.count("chat") == 1_400

    run(node, act)


def test_cancelled_requests_leave_nothing_behind(node: Node) -> None:
    """More of them than may be under way at once: the room that they took is free again."""

    async def act(client: AsyncClient) -> None:
        await client.count("chat")
        for _ in range(5):
            tasks = [asyncio.create_task(client.count("chat")) for _ in range(100)]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(one) for one in ended} == {asyncio.CancelledError}
        # Only the client's reader is left beside this task.
        assert len(asyncio.all_tasks()) == 2
        assert await asyncio.gather(*(client.count("chat") for _ in range(100))) == [0] * 100

    run(node, act)


def test_a_cancelled_wait_for_an_event_loses_none(node: Node) -> None:
    """A timeout around one step of a follow is not the end of it."""

    async def act(client: AsyncClient) -> None:
        events = client.follow(["chat"])
        await events.started()
        for number in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await take(events, 1)
            await client.publish("chat", [b"%d" % number])
            assert await take(events, 1) == [b"%d" % number]

    run(node, act)


def test_a_follow_that_is_left_ends_at_the_node(node: Node) -> None:
    """By aclose(), `async with`, or letting go: a node allows 16 follows a client, and this makes sixty."""

    async def leave_in_the_middle(client: AsyncClient) -> None:
        async for event in client.follow(["chat"], since="begin"):
            if event.event == "message":
                break

    async def act(client: AsyncClient) -> None:
        await client.publish("chat", [b"one"])
        # What the tests before have left in memory is not looked through sixty times.
        gc.collect()
        gc.freeze()
        for _ in range(20):
            async with client.follow(["chat"], since="begin") as events:
                assert await take(events, 1) == [b"one"]
            async with aclosing(client.follow(["chat"], since="begin")) as events:
                assert await take(events, 1) == [b"one"]
            await leave_in_the_middle(client)
            gc.collect()

    try:
        run(node, act)
    finally:
        gc.unfreeze()


def test_closing_ends_iterators_and_requests(node: Node) -> None:
    """An iterator ends as at the end of a list; who waits for an answer hears why there is none."""

    async def act(client: AsyncClient) -> None:
        events = client.follow(["chat"], since="begin")
        reader = asyncio.create_task(take_all(events))
        await client.publish("chat", [b"one"])
        waiting = asyncio.create_task(client.wait_for_count("chat", 99, timeout_s=LIMIT_S))
        # Answered after the waiting task has asked for the first time, as they share a socket.
        assert await client.count("chat") == 1
        await client.close()
        assert await reader == [b"one"]
        with pytest.raises(UsageError) as caught:
            await waiting
        assert caught.value.code == "closed"
        with pytest.raises(UsageError) as caught:
            await client.count("chat")
        assert caught.value.code == "closed"

    async def take_all(events: Events) -> list[bytes]:
        return [event.payload async for event in events if event.event == "message"]

    run(node, act)


def test_an_idle_follow_ends(node: Node) -> None:
    async def act(client: AsyncClient) -> None:
        await client.publish("chat", [b"one"])
        seen = [event.event async for event in client.follow(since="begin", idle_s=0.2)]
        assert seen == ["message", "caught-up"]

    run(node, act)


def test_errors_are_those_of_the_blocking_client(node: Node) -> None:
    """What the node refuses, and what is wrong before it is asked."""

    async def act(client: AsyncClient) -> None:
        for wrong, code in (
            (client.count("nobody"), "community-unknown"),
            (client.publish("chat", [b"\xff"]), "payload-format"),
            (client.join(bytes(32), peers=["nowhere"]), "address-malformed"),
            (client.follow(["nobody"]).started(), "community-unknown"),
        ):
            with pytest.raises(UsageError) as caught:
                await wrong
            assert caught.value.code == code
        with pytest.raises(UsageError, match="is a list"):
            client.follow("chat")

    run(node, act)


def test_without_a_node_it_says_so_and_works_once_there_is_one(short_folder: Path) -> None:
    node = Node(short_folder, "late")

    async def act(client: AsyncClient) -> None:
        events = client.follow(since="begin")
        for wrong in (client.status(), events.started()):
            with pytest.raises(UsageError) as caught:
                await wrong
            assert caught.value.code == "not-running"
        with await asyncio.to_thread(node.start):
            assert (await client.wait_for_ready(timeout_s=LIMIT_S))["ready"]

    try:
        run(node, act)
    finally:
        if node.process is not None:
            node.stop()
