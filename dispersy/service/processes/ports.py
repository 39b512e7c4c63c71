"""Whether a port can be had, asked before anything starts: then somebody can be told the next free one."""

from __future__ import annotations

import errno
import shlex
import socket
from collections.abc import Sequence

from dispersy.endpoint import Endpoint
from dispersy.errors import UsageError

PORTS_TRIED_MAX = 100
TCP_OPTIONS = frozenset({"--metrics"})
"""Of `dispersy run`; the others are about UDP."""
TCP_SETTINGS = frozenset({"[tcp] control", "[tcp] events"})
"""Of config.toml: no option stands for them."""


def check_port_free(address: Endpoint, options: Sequence[str] = (), *, option: str = "--listen") -> None:
    """Raise UsageError `port-taken` that names the next free port, when somebody listens there already.

    options  others that were given, which the command in the hint shall have too
    option   of `dispersy run`, which takes this address, or one of TCP_SETTINGS
    """
    problem = _bind_problem(address, option)
    if problem is None:
        return
    if problem.errno != errno.EADDRINUSE:
        raise UsageError(
            f"cannot listen on {address}: {problem.strerror}",
            code="listen",
            hint="use an address of this machine, [::] or 0.0.0.0; ports below 1024 need rights",
        )
    last = min(address.port + PORTS_TRIED_MAX, 65535)
    candidates = (Endpoint(address.host, port) for port in range(address.port + 1, last + 1))
    free = next((candidate for candidate in candidates if _bind_problem(candidate, option) is None), None)
    hint = "choose another port"
    if free and option in TCP_SETTINGS:
        table, key = option.split()
        hint = f'the next free one: {key} = "{free}" in {table} of config.toml'
    elif free:
        hint = "the next free one: " + " ".join(["dispersy run", *options, option, shlex.quote(str(free))])
    raise UsageError(
        f"{_protocol(option)} port {address.port} is taken by another program (maybe another node)",
        code="port-taken",
        hint=hint,
    )


def _protocol(option: str) -> str:
    return "TCP" if _is_tcp(option) else "UDP"


def _is_tcp(option: str) -> bool:
    return option in TCP_OPTIONS | TCP_SETTINGS


def _bind_problem(address: Endpoint, option: str) -> OSError | None:
    number = address.numeric
    assert number is not None
    family = socket.AF_INET6 if number.version == 6 else socket.AF_INET
    tcp = _is_tcp(option)
    try:
        with socket.socket(family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as probe:
            if tcp:
                # As servers do: connections of the run before may still be ending.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            elif family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            probe.bind((address.host, address.port))
            if tcp:
                probe.listen()
    except OSError as error:
        return error
    return None
