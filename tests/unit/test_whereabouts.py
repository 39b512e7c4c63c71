"""Goal: who gets no answer hears where the node was looked for, and what to look at there."""

from __future__ import annotations

import asyncio
import socket
import traceback
from pathlib import Path

import pytest

from dispersy.aio import AsyncClient
from dispersy.client import Client
from dispersy.conversation import Calls, Following, Numbers
from dispersy.errors import UsageError
from dispersy.whereabouts import Whereabouts

HERE = Whereabouts(Path("/nodes/my node"))
ELSEWHERE = Whereabouts(Path("/nodes/my node"), "tcp://192.0.2.1:7421")


def test_a_node_on_this_machine_is_named_by_its_home() -> None:
    assert "on /nodes/my node did not answer count within 30 s" in str(HERE.unanswered("count", 30.0))
    error = HERE.not_running("No such file or directory")
    assert (error.code, error.hint) == ("not-running", "start it with: dispersy run --home '/nodes/my node'")


def test_a_node_on_another_machine_is_named_by_its_address() -> None:
    """The home that a program would look in on this machine has nothing to do with it."""
    for error in (ELSEWHERE.unanswered("count", 30.0), ELSEWHERE.not_running("it has been away for 9 s")):
        assert "at tcp://192.0.2.1:7421" in str(error)
        assert "client list" in error.hint
        assert "/nodes" not in str(error) + error.hint


def test_requests_and_follows_say_so() -> None:
    calls = Calls(ELSEWHERE, Numbers(), timeout_s=30.0)
    calls.submit("count", {}, 0.0)
    calls.handle_timer(31.0)
    (error,) = [event.outcome for event in calls.drain() if hasattr(event, "outcome")]
    following = Following(
        ELSEWHERE,
        5,
        {"since": "begin"},
        idle_s=None,
        absence_s=60.0,
        timeout_s=30.0,
        on_absence=None,
        now=0.0,
    )
    following.handle_timer(31.0)
    for each in (error, following.error):
        assert isinstance(each, UsageError)
        assert each.code == "timeout"
        assert "at tcp://192.0.2.1:7421" in str(each)


def test_both_clients_name_the_endpoint_that_they_were_given() -> None:
    """Nobody listens on the port: it is bound, and that is all."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with Client(endpoint=endpoint, timeout_s=0.1) as client, pytest.raises(UsageError, match=endpoint):
            client.status()

        async def ask() -> None:
            async with AsyncClient(endpoint=endpoint, timeout_s=0.1) as client:
                await client.status()

        with pytest.raises(UsageError, match=endpoint):
            asyncio.run(ask())


def test_a_hint_is_below_the_traceback() -> None:
    shown = "".join(traceback.format_exception(HERE.not_running("gone")))
    assert shown.endswith("start it with: dispersy run --home '/nodes/my node'\n")
    assert not hasattr(UsageError("without a hint"), "__notes__")
