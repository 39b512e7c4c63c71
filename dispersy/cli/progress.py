"""Progress bars of long work; apart, for only some commands need what draws them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from dispersy.cli.output import err


@contextmanager
def progress_bar(*, transient: bool = True) -> Iterator[Progress]:
    """Progress on stderr, so that stdout stays clean."""
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=transient,
    )
    with bar:
        yield bar
