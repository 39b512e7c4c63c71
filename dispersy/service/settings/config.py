"""The settings of a node: what there are, what each may be, and the file of them in a new home.

Each is one row of SETTINGS or COMMUNITY_SETTINGS, and one field. Where values come from: config_sources.py.
"""

from __future__ import annotations

import grp
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from dispersy.bus.settings import NO_GROUP, CommunitySettings
from dispersy.constants import (
    ANSWER_BUDGET_MAX,
    ANSWERS_MAX,
    CANDIDATES_MAX,
    INTRODUCTION_SOURCES_MAX,
    PULL_BUDGET_MIN,
    UPLOAD_RATE_MAX,
    UPLOAD_RATE_MIN,
)
from dispersy.endpoint import Endpoint, parse_endpoint
from dispersy.errors import StorageError, UsageError
from dispersy.service.logs import FORMATS, LEVELS
from dispersy.service.settings.placement import AUTO, PLACEMENTS

DEFAULT_PORT = 6421
WORKERS_MAX = 64
WORKERS_DEFAULT_MAX = 8
"""More than this must be asked for: each worker holds memory whether it has work or not."""
CONFIG_PEERS_MAX = 64
STEP_INTERVAL_MIN_S = 0.2
STEP_INTERVAL_MAX_S = 25.0
"""Slower, and the walk would forget neighbours between two visits."""
DEFAULT_LISTEN = Endpoint("::", DEFAULT_PORT)

TEMPLATE = """\
# Settings of this Dispersy node. Environment variables (DISPERSY_WORKERS=2) override them, and options of
# `dispersy run` override both. `dispersy config check` looks this file over.

# UDP address on which the node receives. "[::]" takes IPv6 and IPv4, "0.0.0.0" IPv4 alone; port 0 lets the
# system choose a free one (then `dispersy status` tells which).
listen = "{listen}"

# Which processes the node has: "full" (one a role), "compact" (a supervisor and one for all roles), "single"
# (one alone, which a service manager must start again when it dies), or "auto", by cores and memory.
placement = "auto"

# Processes that check signatures and answer neighbours. 0: one for each core, at most 8.
workers = 0

# Nodes to walk to first, in every community, for example ["192.0.2.1:6421", "[2001:db8::1]:6421"].
peers = []
"""

_RATE = re.compile(r"\s*(?P<number>\d{1,9}(\.\d{1,9})?) ?(?P<prefix>[kMG]?)(?P<unit>bit|B)/s\s*")
_PREFIXES = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000}

Check = Callable[[object], object]


class Rate(int):
    """Bytes a second, as people write it."""

    def __str__(self) -> str:
        bits = self * 8 / 1_000
        for unit in ("kbit/s", "Mbit/s"):
            if bits < 1_000:
                return f"{bits:g}{unit}" if bits else ""
            bits /= 1_000
        return f"{bits:g}Gbit/s"


UNLIMITED = Rate(0)


@dataclass(frozen=True, slots=True)
class Config:
    """A node's settings, checked. A table's key is the field table_key.

    listen        UDP address, port 0 = the system's choice
    workers       0 = by cores
    peers         walked to first in every community
    placement     one of PLACEMENTS
    log_format    text, json, or auto: text on a terminal
    log_level     the least that is logged
    metrics       where Prometheus finds metrics, None: nowhere
    passphrase_file   of the keys; None: they have none, or it is asked for
    group         id of the one that may use the sockets for applications; NO_GROUP: none
    upload_max    bytes a second that leave over UDP, headers included; 0: as many as there are
    metered       whether bytes and wake-ups cost
    tcp_control, tcp_events   where these sockets are bound for allowed clients, too
    communities   by the name or the 64 hex digits of the id under which the file has them
    """

    listen: Endpoint = DEFAULT_LISTEN
    workers: int = 0
    peers: tuple[Endpoint, ...] = ()
    placement: str = AUTO
    log_format: str = "auto"
    log_level: str = "info"
    metrics: Endpoint | None = None
    passphrase_file: Path | None = None
    group: int = NO_GROUP
    upload_max: Rate = UNLIMITED
    metered: bool = False
    tcp_control: Endpoint | None = None
    tcp_events: Endpoint | None = None
    communities: Mapping[str, CommunitySettings] = field(default_factory=dict)

    @property
    def worker_count(self) -> int:
        """How many worker processes to start, at least 1."""
        return self.workers or max(1, min(len(os.sched_getaffinity(0)), WORKERS_DEFAULT_MAX))


@dataclass(frozen=True, slots=True)
class Setting:
    """What one setting may be.

    check       gives the value as the field holds it; UsageError that says what would be right
    from_text   what an environment variable's text means to `check`; ValueError when it is nothing
    option      of `dispersy run`
    """

    check: Check
    from_text: Callable[[str], object] = str
    option: str = ""


def has_ipv6() -> bool:
    """Whether this system can open IPv6 sockets that also take IPv4."""
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def create_config(path: Path) -> None:
    """Write the commented default config, unless there is one."""
    listen = Endpoint("::" if has_ipv6() else "0.0.0.0", DEFAULT_PORT)
    try:
        # Whatever the umask lets others do: who may change it may let programs in.
        with open(path, "x", encoding="utf-8", opener=partial(os.open, mode=0o644)) as file:
            file.write(TEMPLATE.format(listen=listen))
    except FileExistsError:
        return
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


def check_listen(value: object) -> Endpoint:
    """A listen address: numeric host, port 0 allowed."""
    address = parse_endpoint(_text(value, 'an address as "[::]:6421"'), port_zero=True)
    if address.numeric is None:
        raise UsageError(
            f"{address.host!r} is a host name; listen takes a numeric address such as [::] or 0.0.0.0"
        )
    return address


def check_metrics(value: object) -> Endpoint:
    """A numeric TCP address; the port is stated, for Prometheus has to be told it."""
    address = parse_endpoint(_text(value, 'an address as "127.0.0.1:9421"'))
    if address.numeric is None:
        raise UsageError(f"{address.host!r} is a host name; metrics takes a numeric address as 127.0.0.1")
    return address


def check_workers(value: object) -> int:
    """0 to WORKERS_MAX."""
    if type(value) is not int or not 0 <= value <= WORKERS_MAX:
        raise UsageError(
            f"must be a whole number from 0 to {WORKERS_MAX} (0: one for each core), not {value!r}"
        )
    return value


def check_peers(value: object) -> tuple[Endpoint, ...]:
    """At most CONFIG_PEERS_MAX addresses; host names are allowed."""
    if not isinstance(value, (list, tuple)):
        raise UsageError(f'must be a list such as ["192.0.2.1:{DEFAULT_PORT}"], not {value!r}')
    if len(value) > CONFIG_PEERS_MAX:
        raise UsageError(f"at most {CONFIG_PEERS_MAX} peers, not {len(value)}")
    peers = []
    for index, peer in enumerate(value):
        try:
            peers.append(parse_endpoint(_text(peer, "an address in quotes")))
        except UsageError as error:
            raise ElementError(index, str(error), hint=error.hint) from None
    return tuple(peers)


def one_of(names: Sequence[str]) -> Check:
    """One of these texts."""

    def check(value: object) -> str:
        if value not in names:
            raise UsageError(f"must be one of {', '.join(names)}, not {value!r}")
        return str(value)

    return check


def check_group(value: object) -> int:
    """The id of a group of this system, of which we are a member; empty: NO_GROUP."""
    name = _text(value, "a group's name in quotes")
    if not name:
        return NO_GROUP
    try:
        group = grp.getgrnam(name).gr_gid
    except KeyError:
        raise UsageError(f"there is no group called {name!r}; `getent group` lists those there are") from None
    if os.geteuid() != 0 and group not in {os.getegid(), *os.getgroups()}:
        raise UsageError(f"the node's user is no member of {name!r}, and so cannot let that group in")
    return group


def check_tcp(value: object) -> Endpoint:
    """An address of this machine for allowed clients; its port is fixed, for their certificates name it."""
    address = parse_endpoint(_text(value, 'an address as "0.0.0.0:7421"'))
    if address.numeric is None:
        raise UsageError(f"{address.host!r} is a host name; write a numeric address such as 0.0.0.0 or [::]")
    return address


def check_rate(value: object) -> Rate:
    """Bytes a second of a text such as "64kbit/s"; empty: no limit."""
    text = _text(value, 'a rate in quotes such as "64kbit/s"')
    if not text.strip():
        return UNLIMITED
    found = _RATE.fullmatch(text)
    if found is None:
        raise UsageError(f'must be a rate such as "64kbit/s", "1.5Mbit/s" or "20kB/s", not {value!r}')
    rate = float(found["number"]) * _PREFIXES[found["prefix"]] / (8 if found["unit"] == "bit" else 1)
    if not UPLOAD_RATE_MIN <= rate <= UPLOAD_RATE_MAX:
        raise UsageError(
            f"must be from {Rate(UPLOAD_RATE_MIN)}, which the walk needs, to {Rate(UPLOAD_RATE_MAX)}, not "
            f"{value!r}; leave it empty for no limit"
        )
    return Rate(rate)


def check_file(value: object) -> Path:
    """An absolute path, or one that begins with ~."""
    path = Path(_text(value, "a path in quotes"))
    if not path.is_absolute() and path.parts[:1] != ("~",):
        raise UsageError(f"must be an absolute path, or begin with ~/, not {value!r}")
    return path.expanduser()


class ElementError(UsageError):
    """One element of a list is wrong; index: which, from 0."""

    def __init__(self, index: int, message: str, *, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.index = index


def whole(low: int, high: int) -> Setting:
    """A whole number from low to high."""

    def check(value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            raise UsageError(f"must be a whole number from {low} to {high}, not {value!r}")
        return value

    return Setting(check, int)


def seconds(low: float, high: float) -> Setting:
    """A number of seconds from low to high."""

    def check(value: object) -> float:
        if type(value) not in (int, float) or not low <= value <= high:  # type: ignore[operator]
            raise UsageError(f"must be a number of seconds from {low:g} to {high:g}, not {value!r}")
        return float(value)  # type: ignore[arg-type]

    return Setting(check, float)


def yes_or_no() -> Setting:
    """true or false."""

    def check(value: object) -> bool:
        if not isinstance(value, bool):
            raise UsageError(f"must be true or false, not {value!r}")
        return value

    return Setting(check, _truth)


def _truth(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text.lower()]


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"must be {what}, not {value!r}")
    return value


SETTINGS: dict[tuple[str, ...], Setting] = {
    ("listen",): Setting(check_listen, option="--listen"),
    ("workers",): Setting(check_workers, int, option="--workers"),
    ("peers",): Setting(check_peers, _list, option="--peer"),
    ("placement",): Setting(one_of(PLACEMENTS), option="--placement"),
    ("log_format",): Setting(one_of(FORMATS), option="--log-format"),
    ("log_level",): Setting(one_of(LEVELS), option="--log-level"),
    ("metrics",): Setting(check_metrics, option="--metrics"),
    ("passphrase_file",): Setting(check_file),
    ("group",): Setting(check_group),
    ("upload_max",): Setting(check_rate, option="--upload-max"),
    ("metered",): replace(yes_or_no(), option="--metered"),
    ("tcp", "control"): Setting(check_tcp),
    ("tcp", "events"): Setting(check_tcp),
}
"""By key, with that of its table before it."""
COMMUNITY_SETTINGS: dict[tuple[str, ...], Setting] = {
    ("walker", "step_interval_s"): seconds(STEP_INTERVAL_MIN_S, STEP_INTERVAL_MAX_S),
    ("walker", "peers_max"): whole(1, CANDIDATES_MAX),
    ("sync", "budget_max"): whole(PULL_BUDGET_MIN, ANSWER_BUDGET_MAX),
    ("sync", "audits"): yes_or_no(),
    ("answers", "at_once_max"): whole(1, ANSWERS_MAX),
    ("answers", "budget_max"): whole(1, ANSWER_BUDGET_MAX),
    ("limits", "introductions_per_second"): whole(1, INTRODUCTION_SOURCES_MAX),
    ("metered",): yes_or_no(),
}
"""Of [community.NAME], the tables in it."""


def field_of(keys: tuple[str, ...]) -> str:
    """The field of a row; in capitals and with DISPERSY_ before it, its environment variable."""
    return "_".join(keys)
