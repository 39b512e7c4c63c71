"""Goal: bench/simulate.py says what it can play, refuses what it cannot, and goes on where it was ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SIMULATE = Path(__file__).resolve().parents[2] / "bench" / "simulate.py"
LIMIT_S = 120


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SIMULATE), *arguments],
        env=os.environ | {"PYTHONSAFEPATH": ""},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_it_lists_its_scenarios() -> None:
    listed = [line.split()[0] for line in run("--list").stdout.splitlines()]
    assert {"identical", "scattered", "newcomer", "3g", "propagation", "partition", "liars"} <= set(listed)


def test_it_says_what_to_do_without_a_scenario() -> None:
    ended = run()
    assert ended.returncode == 2
    assert "--list" in ended.stderr
    assert run("nonsense").returncode == 2


def test_what_was_played_is_not_played_again(tmp_path: Path) -> None:
    """A second run takes its outcomes from the file: a figure that was changed there is what it prints."""
    state = tmp_path / "state.json"
    options = ("newest", "--short", "--json", "--seeds", "2", "--no-original", "--resume", str(state))
    first = run(*options)
    assert first.returncode == 0, first.stderr
    played = json.loads(state.read_text())
    assert len(played) == 2
    for outcome in played.values():
        outcome["measures"]["description"] = 12_345.0
    state.write_text(json.dumps(played))
    again = json.loads(run(*options).stdout.splitlines()[-1])
    assert again["figures"]["newest: description"] == 12_345.0
    other = json.loads(run(*options, "--seed", "7").stdout.splitlines()[-1])
    assert other["figures"]["newest: description"] != 12_345.0
    assert len(json.loads(state.read_text())) == 4


def test_several_messages_in_one_world_are_measured_each() -> None:
    """Bodies are of one message, and the slowest of them is what counts."""
    options = ("propagation", "--short", "--json", "--seeds", "1", "--no-original")
    one = json.loads(run(*options).stdout.splitlines()[-1])["figures"]
    three = json.loads(run(*options, "--messages", "3").stdout.splitlines()[-1])["figures"]
    assert three["propagation: bodies a node"] < 1.5 * one["propagation: bodies a node"]
    assert three["propagation: until everybody"] >= one["propagation: until everybody"]
