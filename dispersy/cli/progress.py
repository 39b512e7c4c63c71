"""Progress bars of long work; apart, for only some commands need what draws them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from dispersy.cli.output import err

T = TypeVar("T")


@contextmanager
def progress_bar(*, shown: bool = True) -> Iterator[Progress]:
    """Progress on stderr, so that stdout stays clean; nothing where stderr is no terminal."""
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not shown,
    )
    with bar:
        yield bar


def tracked(items: Sequence[T], description: str) -> Iterator[T]:
    """The items, and a bar that moves as they are taken."""
    with progress_bar() as bar:
        yield from bar.track(items, description=description)
