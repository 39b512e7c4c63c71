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


def check_port_free(address: Endpoint, options: Sequence[str] = (), *, option: str = "--listen") -> None:
    """Raise UsageError `port-taken` that names the next free port, when somebody listens there already.

    options  others that were given, which the command in the hint shall have too
    option   of `dispersy run`, which takes this address
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
    command = " ".join(["dispersy run", *options, option, shlex.quote(str(free))])
    raise UsageError(
        f"{_protocol(option)} port {address.port} is taken by another program (maybe another node)",
        code="port-taken",
        hint=f"the next free one: {command}" if free else "choose another port",
    )


def _protocol(option: str) -> str:
    return "TCP" if option in TCP_OPTIONS else "UDP"


def _bind_problem(address: Endpoint, option: str) -> OSError | None:
    number = address.numeric
    assert number is not None
    family = socket.AF_INET6 if number.version == 6 else socket.AF_INET
    tcp = option in TCP_OPTIONS
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
