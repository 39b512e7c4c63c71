"""The harness's own promises: what it prints last, and when it says no."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def harness() -> ModuleType:
    """bench/harness.py, as the scripts beside it import it."""
    spec = importlib.util.spec_from_file_location("harness", Path(__file__).with_name("harness.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["harness"] = module
    spec.loader.exec_module(module)
    return module


def run(harness: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    return harness.Bench("sample", "A sample.", versions=("mmh3",))


def test_json_is_the_last_line_and_holds_what_was_measured(
    harness: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Goal: machines read one line; quotations are not in it."""
    bench = run(harness, monkeypatch, "--json")
    calls: list[str] = []
    samples = iter([9.0, 1.0, 2.0, 6.0])

    def own() -> float:
        calls.append("own")
        return next(samples)

    times = bench.interleave({"own": own, "timed": lambda: calls.append("timed")}, repetitions=3)
    assert calls == ["own", "timed"] * 4
    assert times["own"].samples == (1.0, 2.0, 6.0)
    assert times["own"].rate(12).samples == (12.0, 6.0, 2.0)
    bench.figure("own", times["own"], unit="s")
    bench.quote("theirs", 5, unit="s", source="a paper", machine="another")
    bench.at_least("enough", times["own"].over(times["own"]), 1.0)
    assert bench.finish() == 0
    printed = capsys.readouterr().out
    assert "quoted: theirs 5 s; a paper; another" in printed
    result = json.loads(printed.splitlines()[-1])
    assert (result["bench"], result["figures"]) == ("sample", {"own": 2.0})
    assert set(result["versions"]) == {"dispersy", "mmh3"}
    assert result["goals"] == [
        {"name": "enough", "at_least": 1.0, "measured": 1.0, "judged_at": 1.0, "holds": True}
    ]


@pytest.mark.parametrize(
    ("measured", "arguments", "status"),
    [(0.99, (), 1), (1.0, (), 0), (0.71, ("--short",), 0), (0.69, ("--short",), 1)],
)
def test_lower_bounds(
    harness: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    measured: float,
    arguments: tuple[str, ...],
    status: int,
) -> None:
    """Goal: a goal that does not hold fails the run; --short judges it at 0.7."""
    bench = run(harness, monkeypatch, *arguments)
    bench.at_least("ratio", measured, 1.0)
    assert bench.finish() == status


@pytest.mark.parametrize(
    ("measured", "arguments", "status"),
    [(1.01, (), 1), (1.0, (), 0), (1.29, ("--short",), 0), (1.31, ("--short",), 1)],
)
def test_upper_bounds(
    harness: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    measured: float,
    arguments: tuple[str, ...],
    status: int,
) -> None:
    """Goal: the same from above; --short judges at 1.3."""
    bench = run(harness, monkeypatch, *arguments)
    bench.at_most("ratio", measured, 1.0)
    assert bench.finish() == status


def test_absolutes_are_not_judged_when_short(
    harness: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Goal: a busy machine fails nobody; what is not judged is listed all the same."""
    bench = run(harness, monkeypatch, "--short", "--json")
    bench.at_least("rate", 1.0, 1e9, ratio=False)
    assert bench.finish() == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["goals"][0]["holds"] is None


@pytest.mark.parametrize(("measured", "status"), [(200.0, 0), (201.0, 1)])
def test_what_no_machine_changes_is_judged_when_short(
    harness: ModuleType, monkeypatch: pytest.MonkeyPatch, measured: float, status: int
) -> None:
    """Goal: bytes counted by a virtual clock hold in continuous integration, and without lenience."""
    bench = run(harness, monkeypatch, "--short")
    bench.is_exact = True
    bench.at_most("bytes", measured, 200.0, ratio=False)
    assert bench.finish() == status
