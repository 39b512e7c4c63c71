"""`dispersy run` as people ask about it; what it does is in start.py, which does not wait for this."""

from __future__ import annotations

from typing import Annotated

import typer

from dispersy.cli.offered import words
from dispersy.cli.output import HomeOption, examples
from dispersy.cli.start import Options, start
from dispersy.service.logs import FORMATS, LEVELS
from dispersy.service.settings.placement import PLACEMENTS

EXAMPLES = examples(
    "dispersy run",
    "dispersy run --listen 0.0.0.0:7000 --workers 2",
    "dispersy run --home /tmp/second --listen [::1]:0 --peer 192.0.2.1:6421",
)


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
        home=home,
        listen=listen,
        peer=peer or None,
        workers=workers,
        placement=placement,
        log_format=log_format,
        log_level=log_level,
        metrics=metrics,
        upload_max=upload_max,
        metered=metered or None,
        init_only=init_only,
    )
    raise typer.Exit(start(options))
