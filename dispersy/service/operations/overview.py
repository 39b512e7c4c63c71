"""What the node tells of itself: status, communities with their counts, neighbours."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import zmq

from dispersy.bus.settings import RoleSettings
from dispersy.endpoint import parse_endpoint
from dispersy.errors import UsageError
from dispersy.invite import reachable_addresses
from dispersy.locations import SOCKET_NAMES
from dispersy.protocol.definitions.definition import encode_definition
from dispersy.protocol.definitions.kind import size_limit
from dispersy.protocol.intake.marks import DENIED
from dispersy.protocol.wire.numbers import ControlKind
from dispersy.protocol.wire.summary import Summary
from dispersy.service.interface.directory import Directory
from dispersy.service.interface.node_state import NodeState
from dispersy.service.interface.requests import INTERFACE_VERSION
from dispersy.service.operations.community_state import community_state
from dispersy.service.operations.status import Reports
from dispersy.service.settings.placement import ALL_ROLES, SINGLE
from dispersy.storage.store import CommunityRecord, StoreReader
from dispersy.version import VERSION
from dispersy.workers.counters import ARRIVALS


@dataclass(frozen=True, slots=True)
class _Governing:
    """What a community's live messages of Dispersy's own come to, as of this summary."""

    summary: Summary
    count: int
    is_destroyed: bool


class Overview:
    """Puts together what the store, the directory and the roles' reports say."""

    def __init__(
        self, settings: RoleSettings, reports: Reports, directory: Directory, now: Callable[[], float]
    ) -> None:
        self._now = now
        self._settings = settings
        self._reports = reports
        self._directory = directory
        self._governing_known: dict[int, _Governing] = {}

    def status(self, reader: StoreReader | None, *, brief: bool) -> dict[str, Any]:
        """The whole node. `ready` is true when every kind of role has reported."""
        network = self._reports.of("network")
        heard_as = network.get("addresses", [])
        state = self.node_state(reader)
        listen = state.listen
        return {
            "ready": state.is_ready,
            "state": state.words,
            "placement": self._settings.placement,
            "versions": {
                "dispersy": VERSION,
                "interface": INTERFACE_VERSION,
                "wire": 3,
                "python": platform.python_version(),
                "zmq": zmq.zmq_version(),
            },
            "home": self._settings.home,
            "sockets": self._sockets(),
            "listen": listen,
            "addresses": self._addresses(listen, heard_as),
            "upload_max": self._settings.upload_max,
            "upload_waiting": network.get("upload_waiting", 0),
            "last_cursor": reader.last_cursor() if reader is not None else 0,
            "communities": self.communities(reader) if reader is not None else [],
            "warnings": self._reports.warnings(),
            "processes": [] if brief else self._reports.processes(),
        }

    def node_state(self, reader: StoreReader | None) -> NodeState:
        """The node as a whole; ready when every kind of role has reported."""
        listen = self._reports.listen()
        return NodeState(self._state(listen, reader), listen)

    def communities(self, reader: StoreReader, *, left: bool = False) -> list[dict[str, Any]]:
        """One map a community, in the order in which they were joined; `left`: also those that were left."""
        records = self._directory.records() + (self._directory.left_records() if left else [])
        purges = reader.purges() if left else {}
        return [
            self._community(reader, record, is_purging=record.number in purges)
            for record in sorted(records, key=lambda record: record.number)
        ]

    def count(self, reader: StoreReader, record: CommunityRecord) -> dict[str, Any]:
        """How many messages are live, and the community's clock.

        live counts Dispersy's own too, as summaries do; count is what applications have published, with
        what is here on request.
        """
        state = reader.state(record.number)
        return {
            "community": record.community_id,
            "name": self._directory.name(record),
            "count": state.summary.count
            - self._governing(reader, record, state.summary).count
            + state.on_request,
            "live": state.summary.count,
            "clock": state.clock,
        }

    def _governing(self, reader: StoreReader, record: CommunityRecord, summary: Summary) -> _Governing:
        """Looked at again only when something has changed."""
        known = self._governing_known.get(record.number)
        if known is None or known.summary != summary:
            kinds = reader.live_control(record.number)
            known = _Governing(summary, len(kinds), _is_destroyed(reader, record, kinds))
            for gone in self._governing_known.keys() - self._directory.numbers():
                del self._governing_known[gone]
            self._governing_known[record.number] = known
        return known

    def peers(self, wanted: CommunityRecord | None) -> list[dict[str, Any]]:
        """One map a neighbour and community: what the network role reports, and the community."""
        listed = []
        for record in self._directory.records() if wanted is None else [wanted]:
            about = self._reports.neighbourhood(record.number)
            # Ages as they are now: quiet communities are not reported each second. All roles share a clock.
            since = self._now() - about.get("at", 0.0)
            for peer in about.get("peers", []):
                shown = {"community": record.community_id, "name": self._directory.name(record), **peer}
                if shown.get("proven_age_s") is not None:
                    shown["proven_age_s"] += since
                listed.append(shown)
        return listed

    def state(self, record: CommunityRecord, *, is_purging: bool = False) -> str:
        """How a community is on this node, in words."""
        known = self._governing_known.get(record.number)
        return community_state(
            record,
            self._about(record),
            is_defined=self._directory.definition(record) is not None,
            refusal=self._directory.refusal(record),
            is_purging=is_purging,
            is_destroyed=known is not None and known.is_destroyed,
        )

    def _came_by(self, number: int) -> dict[str, int]:
        counts = self._reports.counters_of(number)
        return {means: counts[counter] for means, counter in ARRIVALS.items() if counts[counter]}

    def _about(self, record: CommunityRecord) -> Mapping[str, Any]:
        """What the network role reports of it; of before it was left, or unloaded, it says nothing of now."""
        return self._reports.neighbourhood(record.number) if record.loaded and not record.left else {}

    def _community(self, reader: StoreReader, record: CommunityRecord, *, is_purging: bool) -> dict[str, Any]:
        definition = self._directory.definition(record)
        kinds = [
            {
                "name": kind.name,
                "number": kind.number,
                "payload": kind.payload.name,
                "size_max": size_limit(kind),
            }
            for kind in (definition.kinds if definition else ())
        ]
        defined, refusal = definition is not None, self._directory.refusal(record)
        about = self._about(record)
        return {
            **self.count(reader, record),
            "state": self.state(record, is_purging=is_purging),
            "peers": about.get("peers_verified", 0),
            "peers_in_sync": about.get("peers_in_sync", 0),
            "peers_differing": about.get("peers_differing", 0),
            "messages_claimed": about.get("messages_claimed"),
            "came_by": self._came_by(record.number),
            "number": record.number,
            "member": record.member_id,
            "is_master": record.is_master,
            "loaded": record.loaded,
            "autoload": record.autoload,
            "left": record.left,
            "purging": is_purging,
            "defined": defined,
            "definition_refused": refusal,
            "definition": encode_definition(definition) if definition else b"",
            "kinds": kinds,
            "bootstrap": list(record.bootstrap),
        }

    def _state(self, listen: str, reader: StoreReader | None) -> str:
        """How the node is, in words that begin with "ready" when every role works."""
        troubles = self._reports.troubles()
        if troubles:
            return "; ".join(troubles)
        needed = ["writer", "network", *(f"worker-{index}" for index in range(self._settings.workers))]
        missing = self._reports.missing(needed, process=ALL_ROLES if self._settings.together else "")
        if self._settings.placement != SINGLE and not self._reports.of("supervisor"):
            missing.append("supervisor")
        if missing or not listen:
            return f"starting: waiting for {', '.join(missing or ['network'])}"
        if reader is None:
            return "starting: waiting for the store"
        return f"ready, listening on {listen}"

    def _sockets(self) -> dict[str, str]:
        """Those that another process can connect to."""
        endpoints = {name: self._settings.socket(name) for name in SOCKET_NAMES}
        return {name: each for name, each in endpoints.items() if each.startswith("ipc:")}

    def _addresses(self, listen: str, heard_as: list[str]) -> list[str]:
        """Where others may reach this node, for invites."""
        if not listen:
            return []
        known = []
        for text in heard_as:
            try:
                known.append(parse_endpoint(text))
            except UsageError:
                continue
        return [str(address) for address in reachable_addresses(parse_endpoint(listen), known)]


def _is_destroyed(reader: StoreReader, record: CommunityRecord, kinds: bytes) -> bool:
    """Whether its founder has ended it; kinds: of its live control messages."""
    # Anybody may say so: only where somebody has, it is worth reading who.
    return ControlKind.DESTROY in kinds and any(
        entry.message[0] == ControlKind.DESTROY
        and not entry.marks & DENIED
        and entry.message[2:34] == record.community_id
        for entry in reader.control(record.number)
    )
