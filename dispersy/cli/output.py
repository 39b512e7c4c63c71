"""How the command line speaks: results on stdout, everything else on stderr, JSON where a program reads."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

SHORT_ID_DIGITS = 8
WIDTH_MAX = 1_000
"""Of a table that no terminal limits."""

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="DISPERSY_HOME",
        show_envvar=True,
        # Another user's home is closed to us; its sockets may be open all the same.
        readable=False,
        help="Folder of the node. [dim]default: ~/.local/share/dispersy[/dim]",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def examples(*commands: str) -> str:
    """The epilog of a command's help."""
    # An empty line between them: the help joins what follows without one.
    return "\n\n".join(["[bold]Examples[/bold]", *(f"  {escape(command)}" for command in commands)])


def shown_file(title: str, text: str) -> str:
    """What follows examples() in an epilog: a file line by line."""
    return "\n\n".join(["", f"[bold]{escape(title)}[/bold]", *(escape(line) for line in text.splitlines())])


def show_error(text: str, *, hint: str = "") -> None:
    """One or two lines on stderr."""
    # Between words on a terminal; but a hint may hold a command, which is copied as one line.
    err.print(f"[bold red]error:[/bold red] {escape(text)}", soft_wrap=not err.is_terminal)
    if hint:
        err.print(f"  [dim]{escape(hint)}[/dim]")


def show_json(value: Any) -> None:
    """One line of JSON; bytes as hex."""
    sys.stdout.write(json.dumps(readable(value), ensure_ascii=False) + "\n")


def without_frame(reply: dict[str, Any]) -> dict[str, Any]:
    """A reply of the node without what belongs to the request."""
    return {key: value for key, value in reply.items() if key not in ("v", "id", "ok")}


def readable(value: Any) -> Any:
    """A value as JSON can hold it: bytes become hex, keys become text."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {
            key if isinstance(key, str) else str(readable(key)): readable(item) for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [readable(item) for item in value]
    return value


def table(*columns: str, title: str | None = None) -> Table:
    """A plain table; a column whose name begins with `#` holds numbers."""
    made = Table(title=title, box=None, pad_edge=False, header_style="bold", title_justify="left")
    for column in columns:
        made.add_column(
            column.removeprefix("#"), justify="right" if column.startswith("#") else "left", overflow="fold"
        )
    return made


def show_table(shown: Table) -> None:
    """Folded on a terminal; whole lines for programs: an id that is cut is of no use."""
    console = out if out.is_terminal else Console(width=WIDTH_MAX, highlight=False)
    console.print(shown)


def id_text(identifier: bytes) -> str:
    """An id in a table: whole for programs; on a terminal so much of it as tells it from others."""
    return identifier.hex()[: SHORT_ID_DIGITS if out.is_terminal else None]


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """A line that shows that something is awaited."""
    with err.status(escape(text)):
        yield


def size_text(size_bytes: float) -> str:
    """A size for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000 or unit == "GB":
            break
        size_bytes /= 1000
    return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
