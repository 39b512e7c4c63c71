"""One process of a node: `python -m dispersy.service.process ROLE ...`, started by the supervisor."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence

from dispersy.bus.settings import RoleSettings
from dispersy.errors import DispersyError
from dispersy.workers.loop import Loop, Role

FAILED = 1


def role_arguments(settings: RoleSettings) -> list[str]:
    """The options that tell a process its settings."""
    return [
        f"--home={settings.home}",
        f"--runtime={settings.runtime}",
        f"--listen={settings.listen}",
        f"--workers={settings.workers}",
        *(f"--peer={peer}" for peer in settings.peers),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one role until told to stop; the exit status."""
    parser = argparse.ArgumentParser(prog="dispersy.service.process")
    parser.add_argument("role")
    parser.add_argument("--life", type=int, required=True, help="read end of the supervisor's pipe")
    add_role_arguments(parser)
    given = parser.parse_args(arguments)
    settings = settings_from(given)
    try:
        Loop(given.life).run(*build_roles(given.role, settings))
    except DispersyError as error:
        sys.stderr.write(f"dispersy {given.role}: {error}\n")
        return FAILED
    return 0


def add_role_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of role_arguments()."""
    parser.add_argument("--home", required=True)
    parser.add_argument("--runtime", required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--peer", action="append", default=[])


def settings_from(given: argparse.Namespace) -> RoleSettings:
    """What add_role_arguments() parsed."""
    return RoleSettings(
        home=given.home,
        runtime=given.runtime,
        listen=given.listen,
        workers=given.workers,
        peers=tuple(given.peer),
    )


def build_roles(name: str, settings: RoleSettings) -> list[Role]:
    """The roles of one process."""
    # Each process imports only what its role needs: memory is what small machines lack.
    if name == "network":
        from dispersy.workers.network import NetworkRole

        return [NetworkRole(settings)]
    if name == "writer":
        from dispersy.workers.writer import WriterRole

        return [WriterRole(settings)]
    if name == "publisher":
        from dispersy.service.gateway import GatewayRole
        from dispersy.workers.publisher import PublisherRole

        return [GatewayRole(settings), PublisherRole(settings)]
    worker = re.fullmatch(r"worker-(\d{1,2})", name)
    if worker is None:
        raise ValueError(f"no role is called {name!r}")
    from dispersy.workers.worker import WorkerRole

    return [WorkerRole(settings, int(worker[1]))]


if __name__ == "__main__":
    sys.exit(main())
