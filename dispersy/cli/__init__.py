"""The command line: `dispersy`. Here is decided how much of it a call has to import."""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from types import FrameType

from dispersy.errors import DispersyError
from dispersy.stop_signals import heeded_signals


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status, as docs/operation.md lists them."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] != ["run"]:
        return _by_typer(given)
    # A node that is stopped before it is one has nothing to end, and says nothing.
    before = {number: signal.signal(number, _leave) for number in heeded_signals()}
    try:
        return _run(given)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(given: list[str]) -> int:
    """`dispersy run`, at which typer is asked for nothing but help and mistakes: it takes long to import."""
    start = import_module("dispersy.cli.start")
    options = start.read_options(given[1:])
    if options is None:
        return _by_typer(given)
    try:
        status: int = start.start(options)
    except DispersyError as error:
        status = import_module("dispersy.cli.app").refuse(error)
    return status


def _by_typer(given: list[str]) -> int:
    status: int = import_module("dispersy.cli.app").main(given)
    return status


def _leave(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise SystemExit(0)
