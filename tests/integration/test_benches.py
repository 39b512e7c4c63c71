"""Goal: every benchmark still runs, holds its goals in its short form, and ends with a line for programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
SHORT_LIMIT_S = 180
NOT_BY_SPEED = {"communities", "crash", "histories", "idle"}
"""Judged by what is counted, and by shares of their own time: these may run beside other tests."""


def scripts() -> list[Path]:
    """The benchmarks: what can be run, but for tests of benchmarks."""
    runnable = (
        path for path in sorted(BENCH.glob("*.py")) if 'if __name__ == "__main__":' in path.read_text()
    )
    return [path for path in runnable if path.name != "harness.py" and not path.name.startswith("test_")]


def test_there_are_benchmarks() -> None:
    """An empty folder would pass for a success."""
    assert scripts()


def cases() -> list[object]:
    """Every benchmark; what is not said to bear others beside it does not."""
    return [
        pytest.param(script, id=script.stem, marks=[pytest.mark.alone] * (script.stem not in NOT_BY_SPEED))
        for script in scripts()
    ]


@pytest.mark.parametrize("script", cases())
def test_short_form_holds_its_goals(script: Path, tmp_path: Path) -> None:
    """Exit status 0, and a last line with the figures and goals."""
    ended = subprocess.run(
        [sys.executable, str(script), "--short", "--json"],
        cwd=tmp_path,
        # A benchmark imports harness.py, which lies beside it (see tests/conftest.py).
        env=os.environ | {"PYTHONSAFEPATH": ""},
        capture_output=True,
        text=True,
        timeout=SHORT_LIMIT_S,
        check=False,
    )
    if ended.returncode:
        pytest.fail(ended.stdout + ended.stderr, pytrace=False)
    result = json.loads(ended.stdout.splitlines()[-1])
    assert result["bench"] == script.stem
    assert result.keys() == {"bench", "machine", "versions", "figures", "goals"}
    assert result["figures"]
    assert all(goal["holds"] is not False for goal in result["goals"])
