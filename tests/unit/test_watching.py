"""Goal: what goes on by itself is shown as it goes, and nobody is kept by what does not come."""

from __future__ import annotations

from io import StringIO
from typing import Any, cast

import pytest
from rich.console import Console

from dispersy.cli import progress, watching
from dispersy.cli.progress import progress_bar
from dispersy.client import Client


class Told:
    """A client of which the node tells these entries, one after the other, and then the last again."""

    def __init__(self, *entries: dict[str, Any] | None) -> None:
        self._entries = iter(entries)
        self._last: dict[str, Any] | None = None

    def community(self, _: str) -> dict[str, Any]:
        entry = self._next()
        assert entry is not None
        return entry

    def communities(self, *, left: bool) -> list[dict[str, Any]]:
        assert left
        entry = self._next()
        return [] if entry is None else [entry]

    def _next(self) -> dict[str, Any] | None:
        self._last = next(self._entries, self._last)
        return self._last


def entry(live: int, claimed: int | None) -> dict[str, Any]:
    """What is told of a community that fills."""
    return {"live": live, "messages_claimed": claimed, "state": "synchronising", "community": bytes(32)}


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """What a terminal would be sent, where each look takes a second and no time passes."""
    written = StringIO()
    terminal = Console(file=written, force_terminal=True, width=80, highlight=False)
    clock = iter(range(1_000_000))
    monkeypatch.setattr(progress, "err", terminal)
    monkeypatch.setattr(watching, "err", terminal)
    monkeypatch.setattr("dispersy.cli.output.err", terminal)
    monkeypatch.setattr(watching, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(watching, "sleep", lambda _: None)
    return written


def test_a_newcomer_fills(screen: StringIO) -> None:
    """It ends with as many as the neighbours claim, and says nothing more."""
    watching.watch_filling(cast(Client, Told(entry(1, None), entry(2, 9), entry(9, 9))), "chat")
    assert "9/9" in screen.getvalue()
    assert "comes by itself" not in screen.getvalue()


@pytest.mark.parametrize("claimed", [None, 9])
def test_what_does_not_come_keeps_nobody(screen: StringIO, claimed: int | None) -> None:
    """A claim may be forged, or nobody there: after a while it is left to itself, and said so."""
    watching.watch_filling(cast(Client, Told(entry(1, claimed))), "chat")
    assert "no more for 10 s (synchronising); the rest comes by itself" in screen.getvalue()


def test_a_removal_is_waited_for(screen: StringIO) -> None:
    """Until the community is listed no more."""
    assert watching.watch_removal(cast(Client, Told(entry(5, None), entry(1, None), None)), bytes(32), 5)
    assert "removing 5 messages" in screen.getvalue()


def test_an_interrupted_wait_for_a_removal(screen: StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on without whoever has seen enough."""

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watching, "sleep", interrupt)
    assert not watching.watch_removal(cast(Client, Told(entry(5, None))), bytes(32), 5)
    assert "removing 5 messages" in screen.getvalue()


@pytest.mark.parametrize("shown", [True, False])
def test_a_program_is_shown_no_bar(screen: StringIO, shown: bool) -> None:
    """Not even where its stderr is a terminal."""
    with progress_bar(shown=shown) as bar:
        bar.update(bar.add_task("publishing", total=2), completed=1)
    assert ("publishing" in screen.getvalue()) is shown
