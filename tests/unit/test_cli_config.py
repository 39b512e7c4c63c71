"""Goal: a person sees what is wrong with the settings, and which of them hold, before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dispersy.cli import main

MISTAKES = "worker = 1\n[community.chat.sync]\naudits = 1\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DISPERSY_HOME", str(tmp_path))
    return tmp_path


def test_check_prints_every_mistake(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With file, line and key, the environment's too; status 2."""
    (home / "config.toml").write_text(MISTAKES)
    assert main(["config", "check"]) == 2
    told = capsys.readouterr().err
    assert f"{home}/config.toml:1: worker: unknown key; did you mean workers?" in told
    assert f"{home}/config.toml:3: community.chat.sync.audits: must be true or false, not 1" in told


def test_mistakes_are_told_to_programs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object each, none where all is well, and the same status."""
    (home / "config.toml").write_text(MISTAKES)
    assert main(["config", "check", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert [(each["where"], each["key"]) for each in told] == [
        (f"{home}/config.toml:1", "worker"),
        (f"{home}/config.toml:3", "community.chat.sync.audits"),
    ]
    (home / "config.toml").write_text("workers = 1\n")
    assert main(["config", "check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_check_looks_at_another_file_and_the_environment(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is not in use yet can be looked over."""
    file = home / "new.toml"
    file.write_text("workers = 1\n")
    assert main(["config", "check", str(file)]) == 0
    assert "no mistakes" in capsys.readouterr().out
    monkeypatch.setenv("DISPERSY_WORKERS", "-1")
    assert main(["config", "check", str(file)]) == 2
    assert "DISPERSY_WORKERS: must be" in capsys.readouterr().err
    assert main(["config", "check", str(home / "missing.toml")]) != 0


def test_show_says_what_holds_and_why(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For people and for programs; a home without a file has its defaults."""
    monkeypatch.setenv("DISPERSY_PEERS", "192.0.2.1:1")
    assert main(["config", "show"]) == 0
    assert "DISPERSY_PEERS" in capsys.readouterr().out
    file = home / "config.toml"
    file.write_text("workers = 3\n[community.chat.walker]\npeers_max = 7\n")
    assert main(["config", "show", "--json"]) == 0
    told = {entry["key"]: (entry["value"], entry["from"]) for entry in json.loads(capsys.readouterr().out)}
    assert told["workers"] == (3, f"{file}:1")
    assert told["peers"] == (["192.0.2.1:1"], "DISPERSY_PEERS")
    assert told["listen"] == ("[::]:6421", "default")
    assert told["community.chat.walker.peers_max"] == (7, f"{file}:3")
    assert told["community.chat.walker.step_interval_s"] == (5.0, "default")


def test_a_start_refuses_what_check_refuses(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything runs, and with all of it at once."""
    (home / "config.toml").write_text(MISTAKES)
    assert main(["run"]) == 2
    assert [part in capsys.readouterr().err for part in ("config.toml:1",)] == [True]
