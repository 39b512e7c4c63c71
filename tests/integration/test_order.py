"""Goal: a real newcomer gets what is of high priority first, and the newest first where that is the order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from itertools import islice
from statistics import mean

from tests.integration.node import Node

LIMIT_S = 60.0
REPORTS, TALKS = 20, 1_500
DEFINITION = """\
name = "feed"
[kinds.report]
number = 64
distribution = { type = "full-sync", priority = 200 }
[kinds.talk]
number = 65
distribution = { type = "full-sync", priority = 64, order = "descending" }
"""


def test_a_newcomer_reads_reports_and_what_was_said_last_first(make_node: Callable[..., Node]) -> None:
    """As its applications are told; and it has everything in the end."""
    first, second = make_node("a"), make_node("b")
    source = first.home.parent / "feed.toml"
    source.write_text(DEFINITION, encoding="utf-8")
    with first.start() as alice, second.start() as bob:
        created = first.command("community", "create", "feed", "--definition", str(source))
        assert created.returncode == 0, created.stderr
        feed = alice.communities()[0]["community"].hex()
        alice.publish_many(feed, [b"talk"] * (TALKS // 2), kind="talk")
        alice.publish_many(feed, [b"report"] * REPORTS, kind="report")
        alice.publish_many(feed, [b"talk"] * (TALKS // 2), kind="talk")
        bob.join(bytes.fromhex(feed), peers=alice.status()["addresses"])
        bob.wait_for_count(feed, REPORTS + TALKS, timeout_s=LIMIT_S)
        with closing(bob.follow([feed], since="begin", idle_s=LIMIT_S)) as events:
            told = list(islice((each for each in events if each.event == "message"), REPORTS + TALKS))
    # Some of what was published last may still be announced as new when they meet.
    reports = [place for place, event in enumerate(told) if event.kind == "report"]
    assert max(reports) < TALKS / 3
    times = [event.global_time for event in told if event.kind == "talk"]
    assert mean(times[: TALKS // 3]) > mean(times[-TALKS // 3 :]) + TALKS / 3
