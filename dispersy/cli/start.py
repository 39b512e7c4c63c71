"""The start of a node: everything is checked here, with words; then this very process becomes the node.

A node that died is gone until this is done, so nothing is imported here that a node does not need: neither
typer and rich, which take as long as half of the roles, nor anything twice, in a second Python. What is asked
for in other words than read_options() knows, help and mistakes among it, is for run.py.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from dispersy.bus.settings import NO_GROUP, RoleSettings
from dispersy.cli.keyring import unlock
from dispersy.endpoint import resolve_endpoint
from dispersy.errors import DONE, DispersyError, UsageError
from dispersy.ext.wire import split_payloads
from dispersy.locations import home_path
from dispersy.protocol.definitions.definition import decode_definition
from dispersy.service.home.home import (
    Home,
    create_home,
    create_runtime,
    demand_home,
    demand_passage,
    is_under_service_manager,
    remove_runtime,
    take_lock,
)
from dispersy.service.home.passphrase import hand_over, is_handed_over, open_hand_over
from dispersy.service.logs import say
from dispersy.service.processes.fork import copy_of_this
from dispersy.service.processes.launch import run_node
from dispersy.service.processes.ports import check_port_free
from dispersy.service.settings.config import Config, create_config
from dispersy.service.settings.config_sources import load_config
from dispersy.service.settings.placement import FULL, choose_placement, this_machine
from dispersy.storage.environment import close_environment, open_environment
from dispersy.storage.lmdb_reader import LmdbReader
from dispersy.storage.store import CommunityRecord


@dataclass(frozen=True, slots=True)
class Options:
    """What was given on the command line; None: nothing. run.py says what each means."""

    home: Path | None = None
    listen: str | None = None
    peer: Sequence[str] | None = None
    workers: int | None = None
    placement: str | None = None
    log_format: str | None = None
    log_level: str | None = None
    metrics: str | None = None
    upload_max: str | None = None
    metered: bool | None = None
    init_only: bool = False

    def settings(self) -> Mapping[str, object]:
        """Those that stand for a setting, by the setting's name."""
        named = {name: getattr(self, name) for name in _REPEATED}
        return {**named, "listen": self.listen, "peers": self.peer, "metered": self.metered}


_REPEATED = ("workers", "placement", "log_format", "log_level", "metrics", "upload_max")
"""Options with a value that a hint repeats as they were given."""


class _UnclearError(Exception):
    """Arguments that read_options() does not understand."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _UnclearError(message)


def read_options(arguments: Sequence[str]) -> Options | None:
    """What the arguments of `dispersy run` say, read without typer; None: it has to read them itself."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--listen")
    parser.add_argument("--peer", action="append")
    parser.add_argument("--workers", type=int)
    for name in _REPEATED[1:]:
        parser.add_argument(option_of(name))
    parser.add_argument("--metered", action="store_true", default=None)
    parser.add_argument("--init-only", action="store_true")
    try:
        return Options(**vars(parser.parse_args(arguments)))
    except _UnclearError:
        return None


def option_of(setting: str) -> str:
    """The option that stands for a setting."""
    return "--" + setting.replace("_", "-")


def start(options: Options) -> int:
    """Be the node until it is stopped; the exit status. With init_only its home is made, and that is all."""
    path = home_path(options.home)
    if is_under_service_manager(os.environ) and not options.init_only:
        demand_home(path)
    place, new = create_home(path)
    lock = take_lock(place)
    try:
        create_config(place.config)
        loaded = load_config(place.config, environment=os.environ, options=options.settings())
        config = loaded.checked()
        if options.init_only:
            _joined(place)
            what = "made a home" if new else "there is a home"
            say(f"{what} in {place.path}, with its settings in config.toml")
            return DONE
        settings, why = _settings(place, config, options)
        status, passphrase = _unlocked(place, config)
        if status != DONE:
            return status
        _introduce(place, settings, why, new=new)
        # From here on what is new may stay.
        new = False
        try:
            return run_node(settings, lock=lock, passphrase=passphrase)
        except SystemExit:
            # Stopped while the roles were imported.
            remove_runtime(place.runtime)
            raise
    except BaseException:
        # A start that failed shall leave nothing behind that was not there.
        if new:
            shutil.rmtree(place.path)
        raise
    finally:
        os.close(lock)


def _unlocked(place: Home, config: Config) -> tuple[int, int | None]:
    """(exit status, descriptor to take_over() the passphrase of the keys from, or None where there is none).

    Keys and passphrase are read by a copy of this process that ends at once: the roles are copies, too, and
    those that sign nothing must not find in their memory what was read here.
    """
    descriptor = open_hand_over()

    def prove() -> int:
        try:
            passphrase = unlock(place.keys, config.passphrase_file)
        except SystemExit:
            return DONE
        except DispersyError as error:
            status: int = import_module("dispersy.cli.app").refuse(error)
            return status
        if passphrase is not None:
            hand_over(descriptor, passphrase)
        return DONE

    copy = copy_of_this(prove, reads=True)
    try:
        status = copy.wait()
    except BaseException:
        # We are stopped while somebody is asked for a passphrase.
        copy.send_signal(signal.SIGKILL)
        copy.wait()
        raise
    if status == DONE and is_handed_over(descriptor):
        return DONE, descriptor
    os.close(descriptor)
    return status, None


def _settings(place: Home, config: Config, options: Options) -> tuple[RoleSettings, str]:
    """What the node runs with, and why in this placement."""
    runtime = place.runtime
    chosen = choose_placement(config.placement, this_machine(), workers=config.workers)
    repeated = [*_home_option(place), *(f"--peer {shlex.quote(peer)}" for peer in options.peer or ())]
    for name in _REPEATED:
        value = getattr(options, name)
        if value is not None:
            repeated.append(f"{option_of(name)} {shlex.quote(str(value))}")
    repeated += ["--metered"] if options.metered else []
    check_port_free(config.listen, repeated)
    if config.metrics is not None:
        others = [*repeated, *([f"--listen {shlex.quote(options.listen)}"] if options.listen else [])]
        check_port_free(config.metrics, others, option="--metrics")
    for key, address in (("control", config.tcp_control), ("events", config.tcp_events)):
        if address is not None:
            check_port_free(address, option=f"[tcp] {key}")
    if config.group != NO_GROUP:
        demand_passage(runtime, config.group)
    create_runtime(runtime, group=config.group)
    settings = RoleSettings(
        home=str(place.path),
        runtime=str(runtime),
        listen=str(config.listen),
        workers=config.worker_count if chosen.placement == FULL else 1,
        peers=_numeric_peers(config),
        placement=chosen.placement,
        log_format=config.log_format,
        log_level=config.log_level,
        metrics=str(config.metrics) if config.metrics else "",
        communities=dict(config.communities),
        group=config.group,
        upload_max=int(config.upload_max),
        metered=config.metered,
        tcp_control=str(config.tcp_control or ""),
        tcp_events=str(config.tcp_events or ""),
    )
    return settings, chosen.why


def _home_option(place: Home) -> list[str]:
    """What other commands need to find this node; nothing when it is where they look."""
    return [] if home_path() == place.path else [f"--home {shlex.quote(str(place.path))}"]


def _numeric_peers(config: Config) -> tuple[str, ...]:
    """The peers as numbers; one whose name is unknown now is said and left out."""
    numeric: list[str] = []
    for peer in config.peers:
        try:
            numeric += [str(found) for found in resolve_endpoint(peer)]
        except UsageError as error:
            say(f"left out: peer {peer}: {error}", stream=sys.stderr)
    return tuple(numeric)


def _introduce(place: Home, settings: RoleSettings, why: str, *, new: bool) -> None:
    """Say what will run, with what, and what to type next."""
    communities = _joined(place)
    option = "".join(f" {option}" for option in _home_option(place))
    say(f"Dispersy node in {place.path}" + (" (new)" if new else ""))
    workers = f"{settings.workers} worker{'s' if settings.workers > 1 else ''}"
    say(f"  listens on UDP {settings.listen}, {workers}")
    say(f"  placement {settings.placement}" + (f", chosen for {why}" if why else ""))
    for what, address in (("control", settings.tcp_control), ("events", settings.tcp_events)):
        if address:
            say(f"  {what} socket for clients of the list on tcp://{address}")
    if settings.metrics:
        say(f"  metrics for Prometheus on http://{settings.metrics}/metrics")
    for record in communities:
        name = record.name or _defined_name(record) or record.community_id.hex()[:8]
        say(f"  community {name}  {record.community_id.hex()}")
        say(f"    as member {record.member_id.hex()}")
    if not communities:
        say("  no communities yet; in another terminal:")
        say(f"    dispersy community create chat{option}")
        say(f"    dispersy community join INVITE{option}")
    else:
        name = communities[0].name or communities[0].community_id.hex()[:8]
        say("  in another terminal:")
        say(f"    dispersy subscribe {name + option}")
        say(f'    dispersy publish {name} "hello"{option}')


def _joined(place: Home) -> list[CommunityRecord]:
    """What the store says; it is made here when there is none, so that every process finds it."""
    environment = open_environment(place.store, create=True)
    try:
        reader = LmdbReader(place.store)
        try:
            return reader.communities()
        finally:
            reader.close()
    finally:
        close_environment(environment)


def _defined_name(record: CommunityRecord) -> str:
    return decode_definition(split_payloads(record.definition)[0]).name if record.definition else ""
