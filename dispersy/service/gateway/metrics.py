"""What the node measures, for Prometheus: GET /metrics on the address of the setting `metrics`.

Everything comes from the roles' reports and the store; nothing is counted for the metrics alone. The server
is that of prometheus_client, in a thread of its own: it reads what this role has put together in the last
second, and never the store. Names and labels are part of the interface, docs/operation.md lists them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dispersy.bus.settings import RoleSettings
from dispersy.endpoint import parse_endpoint
from dispersy.errors import UsageError
from dispersy.service.gateway.control import Control
from dispersy.service.operations.status import Reports
from dispersy.workers.counters import ARRIVALS, COMMUNITY_COUNTERS, FRAME_COUNTERS
from dispersy.workers.loop import Loop

LOOK_S = 1.0
"""Reports come once a second, too."""
WALKS = {name.removeprefix("walk-"): name for name in COMMUNITY_COUNTERS if name.startswith("walk-")}
FILTERS = {"new": "filters", "none": "unfiltered", "skipped": "skipped"}
"""A filter is never used twice, for each has a salt of its own: those reused are none, always."""
_FRAMES = {
    name: (unit, way, kind)
    for name in FRAME_COUNTERS
    for unit, way, kind in [name.replace("frame-bytes", "bytes").split("-", 2)]
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One look: the roles' reports, and what Overview.status() says, the processes left out."""

    reports: Reports
    status: Mapping[str, Any]


class MetricsRole:
    """Looks once a second and lets the server's thread read what was seen."""

    name = "metrics"

    def __init__(self, settings: RoleSettings, control: Control) -> None:
        self._settings = settings
        self._control = control
        self._server: WSGIServer | None = None
        self._thread: Thread | None = None
        self.measured: Measured | None = None

    def open(self, loop: Loop) -> None:
        """Begin to serve; UsageError `listen` when the address is taken or not ours."""
        endpoint = parse_endpoint(self._settings.metrics)
        registry = CollectorRegistry()
        registry.register(_NodeCollector(self))
        try:
            self._server, self._thread = start_http_server(endpoint.port, endpoint.host, registry)
        except OSError as error:
            raise UsageError(
                f"cannot serve metrics on {endpoint}: {error.strerror or error}",
                code="listen",
                hint="choose another address with --metrics",
            ) from None
        loop.every(LOOK_S, self.look)
        self.look()

    def close(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def look(self) -> None:
        """Put together what the next scrapes show."""
        self.measured = Measured(self._control.reports.copy(), self._control.brief_status())


class _NodeCollector(Collector):
    """Makes metrics of what was seen last."""

    def __init__(self, role: MetricsRole) -> None:
        self._role = role

    def describe(self) -> list[Metric]:
        """Nothing: the registry would else scrape once at the start."""
        return []

    def collect(self) -> Iterator[Metric]:
        measured = self._role.measured
        if measured is None:
            return
        yield from _node(measured.status)
        yield from _processes(measured.reports)
        yield from _communities(measured.status, measured.reports)


def _node(status: Mapping[str, Any]) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        "dispersy_info", "Always 1; the labels say what runs.", labels=["version", "python", "placement"]
    )
    versions = status["versions"]
    info.add_metric([versions["dispersy"], versions["python"], status["placement"]], 1)
    yield info
    yield GaugeMetricFamily("dispersy_ready", "1 when every role works.", value=int(status["ready"]))
    yield GaugeMetricFamily(
        "dispersy_warnings", "Warnings that hold now.", value=len(status.get("warnings", ()))
    )
    yield GaugeMetricFamily(
        "dispersy_log_cursor", "The last entry of the node's log.", value=status["last_cursor"]
    )


def _processes(reports: Reports) -> Iterator[Metric]:
    cpu = CounterMetricFamily("dispersy_cpu_seconds", "Processor time.", labels=["process"])
    restarts = CounterMetricFamily("dispersy_restarts", "Restarts of a process.", labels=["process"])
    memory = GaugeMetricFamily("dispersy_memory_bytes", "Resident memory.", labels=["process", "kind"])
    seconds = CounterMetricFamily("dispersy_step_seconds", "Time in a step.", labels=["process", "step"])
    items = CounterMetricFamily("dispersy_step_items", "Things a step has done.", labels=["process", "step"])
    frames = CounterMetricFamily("dispersy_frames", "Frames by kind.", labels=["direction", "kind"])
    frame_bytes = CounterMetricFamily("dispersy_frame_bytes", "Their bytes.", labels=["direction", "kind"])
    drops = CounterMetricFamily("dispersy_drops", "Dropped of what came.", labels=["process", "reason"])
    outcomes = CounterMetricFamily("dispersy_outcomes", "Messages at the writer.", labels=["outcome"])
    counters = CounterMetricFamily("dispersy_events", "Other counters.", labels=["process", "event"])
    for process in reports.processes():
        name = process["role"]
        cpu.add_metric([name], process.get("cpu_seconds", 0.0))
        restarts.add_metric([name], process["restarts"])
        for kind in ("anonymous", "file"):
            if f"{kind}_bytes" in process:
                memory.add_metric([name, kind], process[f"{kind}_bytes"])
        for step, (spent, done) in process.get("steps", {}).items():
            seconds.add_metric([name, step], spent)
            items.add_metric([name, step], done)
        for reason, count in process.get("drops", {}).items():
            drops.add_metric([name, reason], count)
        for outcome, count in process.get("outcomes", {}).items():
            outcomes.add_metric([outcome], count)
        for counter, count in process.get("counters", {}).items():
            if counter in _FRAMES:
                unit, way, kind = _FRAMES[counter]
                (frames if unit == "frames" else frame_bytes).add_metric([way, kind], count)
            else:
                counters.add_metric([name, counter], count)
    yield from (cpu, restarts, memory, seconds, items, frames, frame_bytes, drops, outcomes, counters)


def _communities(status: Mapping[str, Any], reports: Reports) -> Iterator[Metric]:
    labels = ["community", "name"]
    live = GaugeMetricFamily("dispersy_community_messages", "Live messages.", labels=labels)
    clock = GaugeMetricFamily("dispersy_community_clock", "Global time reached.", labels=labels)
    peers = GaugeMetricFamily("dispersy_community_peers", "Neighbours known.", labels=labels)
    walks = CounterMetricFamily("dispersy_walk", "Steps of the walk.", labels=[*labels, "event"])
    arrivals = CounterMetricFamily(
        "dispersy_arrivals", "Messages that came, by means.", labels=[*labels, "means"]
    )
    filters = CounterMetricFamily(
        "dispersy_filters", "Filters: new, none needed, skipped.", labels=[*labels, "event"]
    )
    others = CounterMetricFamily(
        "dispersy_community_events", "Other counters of a community.", labels=[*labels, "event"]
    )
    in_sync = GaugeMetricFamily(
        "dispersy_community_peers_in_sync", "Neighbours that hold what we do.", labels=labels
    )
    seconds = CounterMetricFamily(
        "dispersy_community_step_seconds", "Time in a step.", labels=[*labels, "step"]
    )
    items = CounterMetricFamily(
        "dispersy_community_step_items", "Things a step has done.", labels=[*labels, "step"]
    )
    counted, stepped = reports.community_counters(), reports.community_steps()
    for community in status["communities"]:
        named = [community["community"].hex(), community["name"]]
        live.add_metric(named, community["live"])
        clock.add_metric(named, community["clock"])
        peers.add_metric(named, reports.neighbourhood(community["number"]).get("peers_count", 0))
        in_sync.add_metric(named, community["peers_in_sync"])
        for step, (spent, done) in stepped.get(community["number"], {}).items():
            seconds.add_metric([*named, step], spent)
            items.add_metric([*named, step], done)
        counts = counted.get(community["number"], {})
        for event, counter in WALKS.items():
            walks.add_metric([*named, event], counts.get(counter, 0))
        for means, counter in ARRIVALS.items():
            arrivals.add_metric([*named, means], counts.get(counter, 0))
        for event, counter in FILTERS.items():
            filters.add_metric([*named, event], counts.get(counter, 0))
        filters.add_metric([*named, "reused"], 0)
        shown = {*WALKS.values(), *FILTERS.values(), *ARRIVALS.values()}
        for counter in COMMUNITY_COUNTERS.keys() - shown:
            others.add_metric([*named, counter], counts.get(counter, 0))
    yield from (live, clock, peers, in_sync, walks, arrivals, filters, others, seconds, items)
