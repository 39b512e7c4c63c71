"""The settings of a node: config.toml in its home, and what the command line overrides for one run."""

from __future__ import annotations

import os
import re
import socket
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dispersy.endpoint import Endpoint, parse_endpoint
from dispersy.errors import StorageError, UsageError
from dispersy.service.placement import AUTO, PLACEMENTS

DEFAULT_PORT = 6421
WORKERS_MAX = 64
WORKERS_DEFAULT_MAX = 8
"""More than this must be asked for: each worker holds memory whether it has work or not."""
CONFIG_PEERS_MAX = 64
DEFAULT_LISTEN = Endpoint("::", DEFAULT_PORT)

TEMPLATE = """\
# Settings of this Dispersy node. Options of `dispersy run` override them for one run.

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


@dataclass(frozen=True, slots=True)
class Config:
    """listen: UDP address, port 0 = the system's choice; workers: 0 = by cores; peers: walked to first;
    placement: one of PLACEMENTS."""

    listen: Endpoint = DEFAULT_LISTEN
    workers: int = 0
    peers: tuple[Endpoint, ...] = ()
    placement: str = AUTO

    @property
    def worker_count(self) -> int:
        """How many worker processes to start, at least 1."""
        return self.workers or max(1, min(len(os.sched_getaffinity(0)), WORKERS_DEFAULT_MAX))


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
        with open(path, "x", encoding="utf-8") as file:
            file.write(TEMPLATE.format(listen=listen))
    except FileExistsError:
        return
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


def read_config(path: Path) -> Config:
    """Read and check config.toml.

    raises  UsageError `config` that names the file, the line where it is known, the key and what is right;
            StorageError when the file cannot be read
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text", code="config") from None
    return parse_config(text, path)


def parse_config(text: str, path: Path) -> Config:
    """The Config that this TOML text describes; path is for messages only."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is no valid TOML: {error}", code="config") from None
    fields: dict[str, object] = {}
    for key, value in values.items():
        check = _CHECKS.get(key)
        if check is None:
            known = ", ".join(sorted(_CHECKS))
            raise _wrong(path, text, key, f"unknown key; known are {known}")
        try:
            fields[key] = check(value)
        except UsageError as error:
            raise _wrong(path, text, key, str(error)) from None
    return override(Config(), fields)


def override(config: Config, fields: Mapping[str, object]) -> Config:
    """The config with some checked fields replaced."""
    return replace(config, **fields)  # type: ignore[arg-type]


def check_listen(value: object) -> Endpoint:
    """A listen address: numeric host, port 0 allowed."""
    address = parse_endpoint(_text(value, 'an address as "[::]:6421"'), port_zero=True)
    if address.numeric is None:
        raise UsageError(
            f"{address.host!r} is a host name; listen takes a numeric address such as [::] or 0.0.0.0"
        )
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
    return tuple(parse_endpoint(_text(peer, "an address in quotes")) for peer in value)


def check_placement(value: object) -> str:
    """One of PLACEMENTS."""
    if value not in PLACEMENTS:
        raise UsageError(f"must be one of {', '.join(PLACEMENTS)}, not {value!r}")
    return str(value)


_CHECKS: dict[str, Callable[[object], object]] = {
    "listen": check_listen,
    "workers": check_workers,
    "peers": check_peers,
    "placement": check_placement,
}


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"must be {what}, not {value!r}")
    return value


def _wrong(path: Path, text: str, key: str, why: str) -> UsageError:
    where = str(path)
    for number, line in enumerate(text.splitlines(), start=1):
        if re.match(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*[].=]""", line):
            where = f"{path}:{number}"
            break
    return UsageError(f"{where}: {key}: {why}", code="config", hint=f"correct {path} and start again")
