"""One process of a node: `python -m dispersy.service.processes.process ROLE`, started by the supervisor."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dispersy.bus.settings import RoleSettings
from dispersy.errors import DONE, DispersyError, exit_status
from dispersy.service.home.passphrase import take_over
from dispersy.service.logs import ROLE_REFUSED, event, logger, set_up
from dispersy.service.settings.placement import ALL_ROLES
from dispersy.workers.loop import Loop, Role
from dispersy.workers.pulse import Pulse

if TYPE_CHECKING:
    import zmq

    from dispersy.service.gateway.control import Control
    from dispersy.service.gateway.gateway import GatewayRole
    from dispersy.workers.publisher import PublisherRole


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one role until told to stop; the exit status."""
    parser = argparse.ArgumentParser(prog="dispersy.service.processes.process")
    parser.add_argument("role")
    parser.add_argument("--life", type=int, required=True, help="read end of the supervisor's pipe")
    parser.add_argument("--pulse", type=int, nargs=2, required=True, help="descriptor of the board, slot")
    parser.add_argument("--settings", type=RoleSettings.from_json, required=True, help="RoleSettings as JSON")
    parser.add_argument("--passphrase", type=int, help="descriptor to take_over() that of the keys from")
    given = parser.parse_args(arguments)
    os.umask(0o077)
    set_up(given.role, log_format=given.settings.log_format, level=given.settings.log_level)
    loop = Loop(given.life, Pulse(*given.pulse).beat)
    passphrase = None if given.passphrase is None else take_over(given.passphrase)
    return run_roles(given.role, given.settings, loop, passphrase=passphrase)


def run_roles(
    name: str, settings: RoleSettings, loop: Loop, *more: Role, passphrase: bytes | None = None
) -> int:
    """Drive the roles of a process, and more, to their end; the exit status."""
    try:
        loop.run(*build_roles(name, settings, passphrase), *more)
    except DispersyError as error:
        code = getattr(error, "code", "storage")
        logger.error("%s", error, extra=event(ROLE_REFUSED, code=code, hint=getattr(error, "hint", "")))
        return exit_status(error)
    return DONE


def build_roles(name: str, settings: RoleSettings, passphrase: bytes | None = None) -> list[Role]:
    """The roles of one process; the passphrase reaches those of KEY_READERS."""
    # Each process imports only what its role needs: memory is what small machines lack.
    if name == "network":
        from dispersy.workers.network import NetworkRole

        return [NetworkRole(settings, passphrase)]
    if name == "writer":
        from dispersy.workers.writer import WriterRole

        return [WriterRole(settings, passphrase)]
    if name == ALL_ROLES:
        return _all_roles(settings, passphrase)
    if name == "publisher":
        from dispersy.service.gateway.gateway import GatewayRole
        from dispersy.workers.publisher import PublisherRole

        gateway, publisher = GatewayRole(settings), PublisherRole(settings)
        tcp = _tcp(settings, gateway, publisher)
        return [gateway, publisher, *tcp, *_metrics(settings, gateway.control)]
    worker = re.fullmatch(r"worker-(\d{1,2})", name)
    if worker is None:
        raise ValueError(f"no role is called {name!r}")
    from dispersy.workers.worker import WorkerRole

    return [WorkerRole(settings, int(worker[1]))]


def _all_roles(settings: RoleSettings, passphrase: bytes | None) -> list[Role]:
    """Everything in one process; the writer first, for the others read the store that it makes."""
    from dispersy.service.gateway.gateway import GatewayRole
    from dispersy.workers.network import NetworkRole
    from dispersy.workers.publisher import PublisherRole
    from dispersy.workers.worker import WorkerRole
    from dispersy.workers.writer import WriterRole

    gateway, publisher = GatewayRole(settings), PublisherRole(settings)
    return [
        WriterRole(settings, passphrase),
        gateway,
        publisher,
        *_tcp(settings, gateway, publisher),
        NetworkRole(settings, passphrase),
        WorkerRole(settings, 0),
        *_metrics(settings, gateway.control),
    ]


def _metrics(settings: RoleSettings, control: Control) -> list[Role]:
    """The metrics beside the gateway, where they are asked for: their library costs some megabytes."""
    if not settings.metrics:
        return []
    from dispersy.service.gateway.metrics import MetricsRole

    return [MetricsRole(settings, control)]


def _tcp(settings: RoleSettings, gateway: GatewayRole, publisher: PublisherRole) -> list[Role]:
    """Who lets clients in over tcp beside both, where that is configured."""
    if not settings.tcp_control and not settings.tcp_events:
        return []
    from dispersy.service.gateway.tcp import TcpRole

    def sockets() -> list[tuple[zmq.Socket[bytes], str]]:
        both = (
            (gateway.control_socket, settings.tcp_control),
            (publisher.events_socket, settings.tcp_events),
        )
        return [(socket, address) for socket, address in both if address]

    return [TcpRole(settings, sockets)]


if __name__ == "__main__":
    sys.exit(main())
