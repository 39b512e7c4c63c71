"""Goal: a real node sends no more than it is told, still answers, also one that is metered, and says so."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from tests.integration.node import Node

MakeNode = Callable[..., Node]
RATE = 16_000
BURST = 7_000
"""Bytes; what a burst and one datagram more come to."""
COUNT = 120
LIMIT_S = 90.0


def counters_of(status: dict[str, Any]) -> dict[str, int]:
    (counters,) = (each["counters"] for each in status["processes"] if each["role"] == "network")
    return dict(counters)


def sent_in(counters: dict[str, int]) -> int:
    """Bytes sent, with the headers of IPv4 and UDP."""
    return counters.get("bytes-out", 0) + 28 * counters.get("datagrams-out", 0)


def test_a_node_keeps_its_budget_and_its_neighbours_get_all(make_node: MakeNode) -> None:
    """128 kbit/s, and 300 messages of some 1,000 bytes: twenty seconds of it; seven are looked at."""
    options = ("--listen", "127.0.0.1:0", "--workers", "1", "--placement", "full")
    giver = make_node("giver", *options, "--upload-max", "128kbit/s")
    taker = make_node("taker", *options, "--metered")
    with giver.start() as here, taker.start() as there:
        made = here.create("chat")
        here.publish_many("chat", (b"%03d" % number * 300 for number in range(300)))
        began, before = monotonic(), sent_in(counters_of(here.status()))
        there.join(made["community_id"], name="chat", peers=[here.status()["listen"]])
        there.wait_for_count("chat", COUNT, timeout_s=LIMIT_S)
        status = here.wait_for_status(
            lambda status: sent_in(counters_of(status)) > COUNT * 900, timeout_s=LIMIT_S
        )
        counters = counters_of(status)
        # The first report may have been a second old.
        assert sent_in(counters) - before <= RATE * (monotonic() - began + 1.0) + BURST
        assert counters["upload-bytes-answers"] >= 0.8 * COUNT * 900
        assert counters["upload-waits-answers"]
        assert status["upload_max"] == RATE
        assert "sends at most 128kbit/s" in giver.command("status").stdout
