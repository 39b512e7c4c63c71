"""What the shell offers where only certain words are taken. Who asks the node for words is completion.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import typer

Completion = Callable[[typer.Context, str], list[str]]


def words(*offered: str) -> Completion:
    """These, where nothing else is taken."""

    def complete(_: typer.Context, incomplete: str) -> list[str]:
        return beginning(offered, incomplete)

    return complete


def beginning(names: Iterable[str], incomplete: str) -> list[str]:
    """Those that begin with what is typed."""
    return [name for name in names if name.startswith(incomplete)]
