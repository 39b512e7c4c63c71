"""The `dispersy` command: its groups of commands, and how every error reaches people."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dispersy.cli import community, config, demo, messages, node, run
from dispersy.cli.output import examples, show_error
from dispersy.errors import DispersyError, UsageError

OK, FAILED, MISUSED = 0, 1, 2
_MISUSE_CODES = frozenset({"usage", "config", "address-malformed", "invite-malformed"})

app = typer.Typer(
    name="dispersy",
    help="Communities without servers: every message reaches every member in the end.",
    epilog=examples(
        "dispersy demo",
        "dispersy run",
        "dispersy community create chat",
        'dispersy publish chat "hello"',
        "dispersy subscribe chat",
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("run", epilog=run.EXAMPLES)(run.run)
app.add_typer(community.app, name="community")
app.add_typer(config.app, name="config")
app.command("publish", epilog=messages.PUBLISH_EXAMPLES)(messages.publish)
app.command("subscribe", epilog=messages.SUBSCRIBE_EXAMPLES)(messages.subscribe)
app.command("count", epilog=messages.COUNT_EXAMPLES)(messages.count)
app.command("status", epilog=node.STATUS_EXAMPLES)(node.status)
app.command("peers", epilog=node.PEERS_EXAMPLES)(node.peers)
app.command("demo", epilog=demo.EXAMPLES)(demo.demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        node.print_version()
        raise typer.Exit


@app.callback()
def _dispersy(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and end.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    del version


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status: 0, 1 (it failed) or 2 (it was asked wrongly)."""
    try:
        app(sys.argv[1:] if arguments is None else arguments, prog_name="dispersy")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else OK
    except DispersyError as error:
        show_error(str(error), hint=getattr(error, "hint", ""))
        asked_wrongly = isinstance(error, UsageError) and error.code in _MISUSE_CODES
        return MISUSED if asked_wrongly else FAILED
    return OK
