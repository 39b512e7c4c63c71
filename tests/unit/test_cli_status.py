"""Goal: `dispersy status` says to a person once what a node warns of."""

from __future__ import annotations

from typing import Any

import pytest

from dispersy.cli import main
from dispersy.cli.node import WARNED_NAMES_MAX

COMMUNITIES = 20


class Told:
    """A client of a node whose home was restored, which it warns of for each community."""

    def __init__(self, home: object) -> None: ...

    def __enter__(self) -> Told:
        return self

    def __exit__(self, *error: object) -> None: ...

    def status(self) -> dict[str, Any]:
        restored = {"code": "home-restored", "message": "it was restored", "hint": "wait"}
        entries = [(bytes([number]) * 32, f"c{number}") for number in range(COMMUNITIES)]
        alone = {"community": b"", "code": "other", "message": "the disk is slow", "hint": "take another"}
        return {
            "ready": True,
            "state": "ready",
            "placement": "single",
            "versions": {"dispersy": "3"},
            "home": "/home",
            "listen": "127.0.0.1:1",
            "addresses": [],
            "upload_max": 0,
            "upload_waiting": 0,
            "sockets": {"control": "ipc:///control"},
            "last_cursor": 0,
            "communities": [
                {"community": community, "name": name, "count": 0, "state": "starting"}
                for community, name in entries
            ],
            "warnings": [*({**restored, "community": community} for community, _ in entries), alone],
            "processes": [],
        }


def test_a_warning_is_shown_once_for_all_that_it_concerns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dispersy.cli.node.Client", Told)
    assert main(["status"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("it was restored") == shown.count("the disk is slow") == 1
    assert f"in c0, c1, c2, c3, c4 and {COMMUNITIES - WARNED_NAMES_MAX} more" in shown
    assert "take another" in shown
