"""What a role's process is told at its start, and where its sockets are."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import msgspec

from dispersy.constants import (
    ANSWER_BUDGET_MAX,
    ANSWERS_MAX,
    CANDIDATES_MAX,
    CLIENT_SOCKETS,
    DATAGRAM_SIZE_MAX,
    INTRODUCTIONS_PER_SECOND_MAX,
    STEP_INTERVAL_S,
    UPLOADED_ANSWER_S,
)
from dispersy.protocol.walk.metered import METERED_PULL_BUDGET_MAX

NO_GROUP = -1


class CommunitySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How this node serves one community; told to no one.

    walker_step_interval_s            seconds between steps of the walk once neighbours are known
    walker_peers_max                  neighbours that are remembered
    sync_budget_max                   datagrams that one of our requests asks for
    sync_audits                       whether equal summaries are ever doubted
    answers_at_once_max               requests of others that are worked off at once
    answers_budget_max                datagrams of one answer, whatever was asked for
    limits_introductions_per_second   of one address, whose signatures are looked at
    metered                           bytes and wake-ups cost: as few as it can be done with
    """

    walker_step_interval_s: float = STEP_INTERVAL_S
    walker_peers_max: int = CANDIDATES_MAX
    sync_budget_max: int = ANSWER_BUDGET_MAX
    sync_audits: bool = True
    answers_at_once_max: int = ANSWERS_MAX
    answers_budget_max: int = ANSWER_BUDGET_MAX
    limits_introductions_per_second: int = INTRODUCTIONS_PER_SECOND_MAX
    metered: bool = False


class RoleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Passed from the supervisor to every role as JSON; plain values only, a default for whatever is added.

    home             folder of configuration, keys and store
    runtime          folder of the sockets, mode 0700
    listen           HOST:PORT of the UDP socket; port 0 lets the system choose
    workers          number of worker processes, >= 1
    peers            HOST:PORT (numeric) to walk to first, in every community
    placement        full, compact or single: which processes the roles are in
    silent_max_s     seconds without a turn after which a process is taken to be hung
    log_format       auto, text or json
    log_level        debug, info, warning or error
    metrics          HOST:PORT on which Prometheus is served; empty: nowhere
    communities      settings of single communities, by name or by the 64 hex digits of the id
    group      id of the group that may use the sockets for applications; NO_GROUP: none
    upload_max bytes a second that leave over UDP, headers included; 0: as many as there are
    metered    of every community
    tcp_control, tcp_events  HOST:PORT (numeric) of these sockets for allowed clients; empty: none
    restored_wait_s  seconds for which a restored home waits for neighbours before it publishes, at most
    start_id   another one each time that the node starts, the same when a role is started again
    """

    home: str
    runtime: str
    listen: str
    workers: int
    peers: tuple[str, ...] = ()
    placement: str = "full"
    silent_max_s: int = 10
    log_format: str = "auto"
    log_level: str = "info"
    metrics: str = ""
    communities: dict[str, CommunitySettings] = {}
    group: int = NO_GROUP
    upload_max: int = 0
    metered: bool = False
    tcp_control: str = ""
    tcp_events: str = ""
    restored_wait_s: float = 30.0
    start_id: str = ""

    @property
    def together(self) -> bool:
        """Whether all roles share one process, and its ZeroMQ context."""
        return self.placement != "full"

    def community(self, community_id: bytes, name: str) -> CommunitySettings:
        """What holds for this community; the id says more surely which one is meant than a name."""
        known = self.communities
        settings = known.get(community_id.hex()) or known.get(name) or CommunitySettings()
        if self.upload_max:
            # Of a longer answer most would come when nobody waits for it any more.
            datagrams = max(1, int(self.upload_max * UPLOADED_ANSWER_S / DATAGRAM_SIZE_MAX))
            budget = min(settings.answers_budget_max, datagrams)
            settings = msgspec.structs.replace(settings, answers_budget_max=budget)
        if self.metered or settings.metered:
            settings = msgspec.structs.replace(
                settings,
                metered=True,
                sync_audits=False,
                sync_budget_max=min(settings.sync_budget_max, METERED_PULL_BUDGET_MAX),
            )
        return settings

    def to_json(self) -> str:
        """As one argument of a process; from_json() reads it."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The settings that to_json() wrote.

        raises  ValueError that names the field which is wrong or missing
        """
        return msgspec.json.decode(text, type=cls)

    def socket(self, name: str) -> str:
        """Where roles find one of the sockets in docs/architecture.md."""
        return f"inproc://{name}" if self.together and name not in CLIENT_SOCKETS else self.path(name)

    def path(self, name: str) -> str:
        """Where another process finds it."""
        return f"ipc://{self.runtime}/{name}"

    @property
    def home_path(self) -> Path:
        return Path(self.home)

    @property
    def keys_path(self) -> Path:
        return Path(self.home) / "keys"

    @property
    def store_path(self) -> Path:
        return Path(self.home) / "store"
