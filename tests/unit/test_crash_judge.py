"""Goal: the judge of bench/crash.py sees what it is there to see, each fault under its own name."""

from __future__ import annotations

import json
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any, ClassVar

import pytest

from dispersy.client import Event

BENCH = Path(__file__).resolve().parents[2] / "bench"
PAYLOADS = [b"a-%d" % number for number in range(10)]


def load(name: str) -> ModuleType:
    """A module of bench/, which is no package: its scripts find each other in their own folder."""
    sys.path.insert(0, str(BENCH))
    try:
        return import_module(name)
    finally:
        sys.path.remove(str(BENCH))


crash, exchange = load("crash"), load("crash_exchange")


def held(payloads: list[bytes]) -> Any:
    return exchange.Held(payloads, list(range(1, len(payloads) + 1)))


def judged(acknowledged: list[bytes], log: Any, seen: Any) -> dict[str, int]:
    """The faults that are found, those that are none left out."""
    findings = exchange.Findings()
    exchange.compare(findings, Counter(acknowledged), log, seen)
    return {name: found for name, found in findings.faults().items() if found}


def test_an_exchange_without_faults() -> None:
    """Also when more is held than was acknowledged: an answer may have been on its way."""
    assert judged(PAYLOADS, held(PAYLOADS), held(PAYLOADS)) == {}
    assert judged(PAYLOADS[:9], held(PAYLOADS), held(PAYLOADS)) == {}


FAULTS: list[tuple[str, Any, Any]] = [
    ("acknowledged messages that are missing", held(PAYLOADS[:8]), held(PAYLOADS[:8])),
    ("messages that are there twice", held([*PAYLOADS, b"a-3", b"a-4"]), held(PAYLOADS)),
    ("slots with two messages", exchange.Held(PAYLOADS, list(range(10)), slots_twice=2), held(PAYLOADS)),
    ("events that a follower missed", held(PAYLOADS), held(PAYLOADS[2:])),
    ("events that a follower had twice", held(PAYLOADS), held([*PAYLOADS, b"a-0", b"a-1"])),
    (
        "events out of the log's order",
        held(PAYLOADS),
        exchange.Held(PAYLOADS, [2, 1, 4, 3, 5, 6, 7, 8, 9, 10]),
    ),
]


@pytest.mark.parametrize(("name", "log", "seen"), FAULTS, ids=[name for name, _, _ in FAULTS])
def test_each_fault_is_seen(name: str, log: Any, seen: Any) -> None:
    assert judged(PAYLOADS, log, seen) == {name: 2}


def event(kind: str = "message") -> Event:
    return Event(event=kind, cursor=1, author=b"a" * 32, sequence=1, payload=b"a-1")


@pytest.mark.parametrize("second", ["message", "denied"])
def test_two_messages_in_one_slot_are_seen(second: str) -> None:
    """Both shown, or the second so that the first is denied."""
    log, slots = exchange.Held(), set[tuple[bytes, int]]()
    exchange.note(log, event(), slots)
    assert not log.slots_twice
    exchange.note(log, event(second), slots)
    assert log.slots_twice == 1


def test_a_run_goes_on_where_it_was_ended(tmp_path: Path) -> None:
    """With its seed, its figures and what it has found."""
    file = tmp_path / "crash.json"
    first = crash.State(file, 7)
    first.backs.append(("writer", 0.5))
    first.findings.lost = 3
    first.keep()
    second = crash.State(file, 8)
    assert (second.seed, second.backs, second.findings.lost) == (7, [("writer", 0.5)], 3)


@pytest.mark.parametrize("placement", ["full", "compact", "single"])
def test_every_process_of_both_nodes_is_a_victim(placement: str) -> None:
    victims = crash.victims_of(placement)
    assert len(set(victims)) == len(victims)
    assert {number for number, _ in victims} == {0, 1}


class Rehearsal:
    """In the place of crash.Exchange: kills that cost nothing, until one at which the run itself is ended."""

    homes: ClassVar[list[Path]] = []
    kills_left = 100

    def __init__(self, folder: Path, *, placement: str) -> None:
        del placement
        self.homes.append(folder)

    def kill(self, rng: Random, victims: list[tuple[int, str]]) -> tuple[str, float]:
        if not Rehearsal.kills_left:
            raise KeyboardInterrupt
        Rehearsal.kills_left -= 1
        _, role = victims[rng.randrange(len(victims))]
        return role, rng.random()

    def settle(self, findings: Any, *, limit_s: float) -> None:
        del limit_s
        findings.acknowledged = 7

    def stop(self) -> None:
        pass


def rehearse(monkeypatch: pytest.MonkeyPatch, *options: str, kills: int = 100) -> int:
    """The bench's own main() with these options; the run is ended at the kill after so many."""
    # main() sets it for the nodes of a run.
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setattr(crash, "Exchange", Rehearsal)
    monkeypatch.setattr(Rehearsal, "homes", [])
    monkeypatch.setattr(Rehearsal, "kills_left", kills)
    monkeypatch.setattr(sys, "argv", ["crash.py", "--no-restore", *options])
    return int(crash.main())


def test_what_an_ended_run_had_not_done_the_resumed_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Goal: with --resume both together strike where one whole run does, on homes that are kept, under the
    first one's seed, and report all of it."""
    whole, parts = tmp_path / "whole.json", tmp_path / "parts.json"
    assert rehearse(monkeypatch, "--count=20", "--seed=5", f"--resume={whole}") == 0
    with pytest.raises(KeyboardInterrupt):
        rehearse(monkeypatch, "--count=20", "--seed=5", f"--resume={parts}", kills=13)
    homes = list(Rehearsal.homes)
    capsys.readouterr()
    assert rehearse(monkeypatch, "--count=20", "--seed=6", f"--resume={parts}", "--json") == 0
    assert Rehearsal.kills_left == 100 - 7
    assert Rehearsal.homes == homes == [tmp_path / "parts.homes"]
    assert json.loads(parts.read_text()) == json.loads(whole.read_text())
    told = capsys.readouterr()
    assert "crash: seed 5" in told.err
    assert "back: all (20 kills)" in told.out
