"""Goal: a real node sends no more than it is told, still answers, and says what it did."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from dispersy.client import Client
from tests.integration.node import Node

MakeNode = Callable[..., Node]
RATE = 16_000
BURST = 7_000
"""Bytes; what a burst and one datagram more come to."""
LIMIT_S = 60.0


def sent_of(client: Client) -> tuple[float, int, dict[str, int]]:
    """When its network role said so, bytes sent with headers, and its counters."""
    status = client.status()
    (counters,) = (each["counters"] for each in status["processes"] if each["role"] == "network")
    return monotonic(), counters.get("bytes-out", 0) + 28 * counters.get("datagrams-out", 0), counters


def test_a_node_keeps_its_budget_and_its_neighbours_get_all(make_node: MakeNode) -> None:
    """128 kbit/s for 300 messages of some 1,000 bytes: twenty seconds' worth, of which five are looked at."""
    options = ("--listen", "127.0.0.1:0", "--workers", "1", "--placement", "full")
    giver = make_node("giver", *options, "--upload-max", "128kbit/s")
    taker = make_node("taker", *options)
    with giver.start() as here, taker.start() as there:
        made = here.create("chat")
        here.publish_many("chat", (b"%03d" % number * 300 for number in range(300)))
        began, before, _ = sent_of(here)
        address = here.status()["listen"]
        there.join(made["community_id"], name="chat", peers=[address])
        there.wait_for_definition("chat", timeout_s=LIMIT_S)
        there.wait_for_count("chat", 60, timeout_s=LIMIT_S)
        ended, after, counters = sent_of(here)
        # A report is at most a second older than the moment at which it is read, and so may be the first.
        assert after - before <= RATE * (ended - began + 1.0) + BURST
        assert after - before >= 60 * 900
        assert counters["upload-bytes-answers"] >= 60 * 900
        assert counters["upload-waits-answers"]
        assert here.status(brief=True)["upload_max"] == RATE
        assert "sends at most 128kbit/s" in giver.command("status").stdout
