"""Goal: Prometheus finds on the node what the documentation lists, with the values that are true."""

from __future__ import annotations

import re
import socket
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dispersy.client import Client
from tests.integration.node import Node

pytestmark = pytest.mark.long

MakeNode = Callable[..., Node]
OPERATION = Path(__file__).parents[2] / "docs" / "operation.md"
LIMIT_S = 60.0
Labels = frozenset[tuple[str, str]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def scrape(port: int) -> tuple[set[str], dict[tuple[str, Labels], float]]:
    """The families, and every sample by name and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=LIMIT_S) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }
    return {family.name for family in families}, samples


def scrape_until(port: int, enough: Callable[[dict[tuple[str, Labels], float]], bool]) -> None:
    """Scrape again, as Prometheus does, until the samples are as wanted."""
    limit = time.monotonic() + LIMIT_S
    while not enough(samples := scrape(port)[1]):
        assert time.monotonic() < limit, samples


def total(samples: dict[tuple[str, Labels], float], metric: str, /, **labels: str) -> float:
    """The sum of a metric's samples with at least these labels."""
    wanted = set(labels.items())
    return sum(value for (found, of), value in samples.items() if found == metric and wanted <= of)


def write_apart(client: Client, other: Client, community: str) -> None:
    """The other is away while ours writes, then the other way round: so both hold, at the same times of the
    community, what the other one lacks, and only a filter tells which."""
    other.unload(community)
    client.publish_many(community, [b"%d" % number for number in range(25)])
    client.unload(community)
    other.load(community)
    other.publish_many(community, [b"%d" % number for number in range(25)])
    client.load(community)


@pytest.mark.parametrize("placement", ["full", "single"])
def test_the_metrics_say_what_has_happened(make_node: MakeNode, placement: str) -> None:
    """Goal: an exchange between two nodes shows in every group of metrics, and no name is undocumented."""
    port = free_port()
    first = make_node(
        "a", "--listen", "127.0.0.1:0", "--placement", placement, "--metrics", f"127.0.0.1:{port}"
    )
    with first.start() as client, make_node("b").start() as other:
        created = client.create("chat")["community_id"]
        client.create("quiet")
        client.publish("chat", [b"first"])
        other.join(created, peers=client.status()["addresses"])
        other.wait_for_count(created.hex(), 1, timeout_s=LIMIT_S)
        write_apart(client, other, created.hex())
        for each in (client, other):
            each.wait_for_count(created.hex(), 51, timeout_s=LIMIT_S)

        def all_told(samples: dict[tuple[str, Labels], float]) -> bool:
            return (
                total(samples, "dispersy_ready") == 1
                and total(samples, "dispersy_community_messages", name="chat") == 52
                and total(samples, "dispersy_community_peers", name="chat") == 1
                and total(samples, "dispersy_community_peers_in_sync", name="chat") == 1
                and total(samples, "dispersy_frames_total", direction="out", kind="messages") >= 1
                and total(samples, "dispersy_frame_bytes_total", direction="out", kind="messages") >= 25 * 100
                and total(samples, "dispersy_frames_total", direction="in", kind="range-request") >= 1
                and total(samples, "dispersy_walk_total", name="chat") >= 1
                and total(samples, "dispersy_filters_total", name="chat", event="new") >= 1
                and total(samples, "dispersy_arrivals_total", name="chat") >= 1
                and total(samples, "dispersy_step_items_total", step="writer.commit") >= 51
                and total(samples, "dispersy_step_seconds_total") > 0
                and total(samples, "dispersy_community_step_items_total", name="chat", step="writer.intake")
                >= 25
                and total(samples, "dispersy_community_step_seconds_total", name="chat") > 0
                and total(samples, "dispersy_community_step_seconds_total", name="quiet") == 0
                and total(samples, "dispersy_cpu_seconds_total") > 0
                and total(samples, "dispersy_memory_bytes", kind="anonymous") > 1e6
            )

        scrape_until(port, all_told)
        assert sum(client.community("chat")["came_by"].values()) >= 1
        families, _ = scrape(port)
        documented = set(re.findall(r"`(dispersy_\w+)`", OPERATION.read_text(encoding="utf-8")))
        # The parser leaves off the ending that the text format gives to counters.
        assert families == {name.removesuffix("_total") for name in documented}


def test_what_is_dropped_is_counted_by_its_reason(make_node: MakeNode) -> None:
    """Goal: rubbish from the network is seen in the metrics, whoever sent it."""
    port = free_port()
    node = make_node("a", "--listen", "127.0.0.1:0", "--workers", "1", "--metrics", f"127.0.0.1:{port}")
    with node.start() as client, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        # The start says where they are, and says so before it is ready.
        assert f"  metrics for Prometheus on http://127.0.0.1:{port}/metrics" in node.lines
        host, _, udp_port = client.status()["listen"].rpartition(":")
        for _ in range(20):
            sender.sendto(b"rubbish", (host, int(udp_port)))
        scrape_until(port, lambda samples: total(samples, "dispersy_drops_total", process="network") >= 20)


def test_a_taken_port_names_the_next_free_one(make_node: MakeNode) -> None:
    """Goal: it is said before anything starts, and nothing is left behind."""
    node = make_node("a")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = node.command("run", "--listen", "127.0.0.1:0", "--metrics", f"127.0.0.1:{port}")
    assert refused.returncode == 1
    assert f"TCP port {port} is taken" in refused.stderr
    assert "--metrics 127.0.0.1:" in refused.stderr
    assert not node.home.exists()
