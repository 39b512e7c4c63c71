"""The `dispersy` command: its groups of commands, and how every error reaches people."""

from __future__ import annotations

from typing import Annotated

import typer

from dispersy.cli.commands import CommandList
from dispersy.cli.output import examples, out, show_error
from dispersy.errors import DONE, DispersyError, StorageError, exit_status
from dispersy.version import VERSION

app = typer.Typer(
    name="dispersy",
    cls=CommandList,
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
)


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(f"dispersy {VERSION}")
        raise typer.Exit


@app.callback()
def _dispersy(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and end.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    del version


def main(arguments: list[str]) -> int:
    """Run one command; the exit status, as docs/operation.md lists them."""
    try:
        app(arguments, prog_name="dispersy")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else DONE
    except DispersyError as error:
        return refuse(error)
    except PermissionError as error:
        if error.filename is None:
            raise
        # Whoever may use a node's sockets need not be the one who may look into its home.
        return refuse(StorageError(f"{error.filename}: {error.strerror}"))
    return DONE


def refuse(error: DispersyError) -> int:
    """Tell people what was wrong; the exit status."""
    show_error(str(error), hint=getattr(error, "hint", ""))
    return exit_status(error)
