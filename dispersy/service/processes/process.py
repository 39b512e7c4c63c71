"""One process of a node: the roles that are in it, and their life to its end."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import zmq

from dispersy.bus.settings import RoleSettings
from dispersy.errors import DONE, DispersyError, exit_status
from dispersy.service.gateway.control import Control
from dispersy.service.gateway.gateway import GatewayRole
from dispersy.service.logs import ROLE_REFUSED, event, logger
from dispersy.service.settings.placement import ALL_ROLES, PUBLISHER, this_machine
from dispersy.workers.loop import Loop, Role
from dispersy.workers.network import NetworkRole
from dispersy.workers.publisher import PublisherRole
from dispersy.workers.worker import WorkerRole
from dispersy.workers.writer import WriterRole

BesideGateway = Callable[[Control], Role]
"""Makes the role that stands in the gateway's process for whoever has started the node."""


def run_roles(
    name: str,
    settings: RoleSettings,
    loop: Loop,
    *,
    passphrase: bytes | None = None,
    beside: BesideGateway | None = None,
) -> int:
    """Drive the roles of a process to their end; the exit status."""
    try:
        loop.run(*build_roles(name, settings, passphrase, beside))
    except DispersyError as error:
        code = getattr(error, "code", "storage")
        logger.error("%s", error, extra=event(ROLE_REFUSED, code=code, hint=getattr(error, "hint", "")))
        return exit_status(error)
    return DONE


def show_name(name: str) -> None:
    """What `ps -o comm` and `top` call this process: its command line is that of the supervisor."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name, encoding="ascii")


def build_roles(
    name: str,
    settings: RoleSettings,
    passphrase: bytes | None = None,
    beside: BesideGateway | None = None,
) -> Sequence[Role]:
    """The roles of one process; the passphrase reaches those of KEY_READERS."""
    if name == "network":
        return [NetworkRole(settings, passphrase)]
    if name == "writer":
        return [WriterRole(settings, passphrase)]
    if name == PUBLISHER:
        return _clients_roles(settings, beside)
    if name == ALL_ROLES:
        # The writer first, for the others read the store that it makes.
        return [
            WriterRole(settings, passphrase),
            *_clients_roles(settings, beside),
            NetworkRole(settings, passphrase),
            WorkerRole(settings, 0),
        ]
    worker = re.fullmatch(r"worker-(\d{1,2})", name)
    if worker is None:
        raise ValueError(f"no role is called {name!r}")
    return [WorkerRole(settings, int(worker[1]))]


def _clients_roles(settings: RoleSettings, beside: BesideGateway | None) -> list[Role]:
    """The gateway and the publisher, and beside them what is asked for."""
    gateway = GatewayRole(settings, memory=this_machine().memory)
    publisher = PublisherRole(settings, gateway.excess.watch)
    roles: list[Role] = [gateway, publisher]
    if settings.tcp_control or settings.tcp_events:
        roles.append(_tcp(settings, gateway, publisher))
    if settings.metrics:
        roles.append(_metrics(settings, gateway.control))
    if beside is not None:
        roles.append(beside(gateway.control))
    return roles


def _metrics(settings: RoleSettings, control: Control) -> Role:
    # Their library costs some megabytes, also of those who ask for no metrics.
    from dispersy.service.gateway.metrics import MetricsRole

    return MetricsRole(settings, control)


def _tcp(settings: RoleSettings, gateway: GatewayRole, publisher: PublisherRole) -> Role:
    """Who lets clients in over tcp."""
    from dispersy.service.gateway.tcp import TcpRole

    def sockets() -> list[tuple[zmq.Socket[bytes], str]]:
        both = (
            (gateway.control_socket, settings.tcp_control),
            (publisher.events_socket, settings.tcp_events),
        )
        return [(socket, address) for socket, address in both if address]

    return TcpRole(settings, sockets)
