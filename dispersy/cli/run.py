"""`dispersy run`: everything is checked here, with words; then this process becomes the node."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from dispersy.bus.settings import NO_GROUP, RoleSettings
from dispersy.cli.keyring import unlock
from dispersy.cli.offered import words
from dispersy.cli.output import HomeOption, err, examples, out
from dispersy.endpoint import resolve_endpoint
from dispersy.errors import UsageError
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
    take_lock,
)
from dispersy.service.logs import FORMATS, LEVELS
from dispersy.service.processes.launch import node_command
from dispersy.service.processes.ports import check_port_free
from dispersy.service.settings.config import Config, create_config
from dispersy.service.settings.config_sources import load_config
from dispersy.service.settings.placement import FULL, PLACEMENTS, choose_placement, this_machine
from dispersy.storage.environment import close_environment, open_environment
from dispersy.storage.lmdb_reader import LmdbReader
from dispersy.storage.store import CommunityRecord
from dispersy.workers.loop import STOP_SIGNALS

EXAMPLES = examples(
    "dispersy run",
    "dispersy run --listen 0.0.0.0:7000 --workers 2",
    "dispersy run --home /tmp/second --listen [::1]:0 --peer 192.0.2.1:6421",
)


@dataclass(frozen=True, slots=True)
class Options:
    """What was given on the command line; None: nothing."""

    listen: str | None = None
    peers: list[str] | None = None
    workers: int | None = None
    placement: str | None = None
    log_format: str | None = None
    log_level: str | None = None
    metrics: str | None = None
    upload_max: str | None = None
    metered: bool | None = None


def run(
    home: HomeOption = None,
    listen: Annotated[str | None, typer.Option(help="UDP address HOST:PORT; port 0: any free one.")] = None,
    peer: Annotated[list[str] | None, typer.Option(help="A node to walk to first; may be repeated.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes; 0: one for each core, at most 8.")
    ] = None,
    placement: Annotated[
        str | None,
        typer.Option(
            help="Processes: full, compact, single or auto (by cores and memory).",
            autocompletion=words(*PLACEMENTS),
        ),
    ] = None,
    log_format: Annotated[
        str | None,
        typer.Option(
            help="What is logged to stderr: text, json, or auto: text on a terminal.",
            autocompletion=words(*FORMATS),
        ),
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(
            help="The least that is logged: debug, info, warning or error.",
            autocompletion=words(*LEVELS),
        ),
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(help="HOST:PORT where Prometheus finds metrics, as 127.0.0.1:9421.")
    ] = None,
    upload_max: Annotated[
        str | None,
        typer.Option(help="Send no more over UDP than this, as 64kbit/s or 20kB/s, headers included."),
    ] = None,
    metered: Annotated[
        bool | None,
        typer.Option("--metered", help="Spare bytes and wake-ups, as on a phone.", show_default=False),
    ] = None,
    init_only: Annotated[
        bool, typer.Option("--init-only", help="Make the home with its config.toml and store, and end.")
    ] = False,
) -> None:
    """Run a node until Ctrl-C. Options hold for this run, config.toml in the home for all."""
    options = Options(
        listen, peer or None, workers, placement, log_format, log_level, metrics, upload_max, metered or None
    )
    path = home_path(home)
    if is_under_service_manager(os.environ) and not init_only:
        demand_home(path)
    before = {number: signal.signal(number, _leave) for number in STOP_SIGNALS}
    try:
        command = _make_ready(path, options, init_only=init_only)
        if not command:
            return
        # Handlers end with this program, what is blocked stays so: the supervisor hears of it when it can.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    os.execv(command[0], command)


def _make_ready(path: Path, options: Options, *, init_only: bool) -> list[str]:
    """Check and prepare everything; the command of the node, which inherits the home's lock, or nothing."""
    place, new = create_home(path)
    lock = take_lock(place)
    try:
        create_config(place.config)
        config = load_config(place.config, environment=os.environ, options=asdict(options)).checked()
        if init_only:
            _joined(place)
            what = "made a home" if new else "there is a home"
            out.print(f"{what} in {escape(str(place.path))}, with its settings in config.toml")
            return []
        settings, why, passphrase = _settings(place, config, options)
        _introduce(place, settings, why, new=new)
    except BaseException:
        # A start that failed shall leave nothing behind that was not there.
        if new:
            shutil.rmtree(place.path)
        raise
    os.set_inheritable(lock, True)
    return node_command(settings, lock, passphrase)


def _leave(*_: object) -> None:
    raise SystemExit(0)


def _settings(place: Home, config: Config, options: Options) -> tuple[RoleSettings, str, bytes | None]:
    """What the node runs with, why in this placement, and the passphrase of its keys."""
    chosen = choose_placement(config.placement, this_machine(), workers=config.workers)
    repeated = [*_home_option(place), *(f"--peer {shlex.quote(peer)}" for peer in options.peers or ())]
    for name in ("workers", "placement", "log_format", "log_level", "metrics", "upload_max"):
        value = getattr(options, name)
        if value is not None:
            repeated.append(f"--{name.replace('_', '-')} {shlex.quote(str(value))}")
    repeated += ["--metered"] if options.metered else []
    check_port_free(config.listen, repeated)
    if config.metrics is not None:
        others = [*repeated, *([f"--listen {shlex.quote(options.listen)}"] if options.listen else [])]
        check_port_free(config.metrics, others, option="--metrics")
    for key, address in (("control", config.tcp_control), ("events", config.tcp_events)):
        if address is not None:
            check_port_free(address, option=f"[tcp] {key}")
    passphrase = unlock(place.keys, config.passphrase_file)
    if config.group != NO_GROUP:
        demand_passage(place.runtime, config.group)
    create_runtime(place.runtime, group=config.group)
    settings = RoleSettings(
        home=str(place.path),
        runtime=str(place.runtime),
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
    return settings, chosen.why, passphrase


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
            err.print(f"[yellow]left out:[/yellow] peer {escape(str(peer))}: {escape(str(error))}")
    return tuple(numeric)


def _introduce(place: Home, settings: RoleSettings, why: str, *, new: bool) -> None:
    """Say what will run, with what, and what to type next."""
    communities = _joined(place)
    option = "".join(f" {option}" for option in _home_option(place))
    out.print(f"[bold]Dispersy[/bold] node in {escape(str(place.path))}" + (" (new)" if new else ""))
    workers = f"{settings.workers} worker{'s' if settings.workers > 1 else ''}"
    out.print(f"  listens on UDP {escape(settings.listen)}, {workers}")
    out.print(f"  placement {settings.placement}" + (f", chosen for {escape(why)}" if why else ""))
    for record in communities:
        name = record.name or _defined_name(record) or record.community_id.hex()[:8]
        out.print(f"  community {escape(name)}  {record.community_id.hex()}")
        out.print(f"    as member {record.member_id.hex()}")
    if not communities:
        out.print("  no communities yet; in another terminal:")
        out.print(f"    dispersy community create chat{escape(option)}")
        out.print(f"    dispersy community join INVITE{escape(option)}")
    else:
        name = communities[0].name or communities[0].community_id.hex()[:8]
        out.print("  in another terminal:")
        out.print(f"    dispersy subscribe {escape(name + option)}")
        out.print(f'    dispersy publish {escape(name)} "hello"{escape(option)}')
    # The console's own buffer would be lost with this program when the supervisor takes its place.
    out.file.flush()


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
