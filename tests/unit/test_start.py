"""Goal: `dispersy run` begins without the library that reads all commands, and takes what that takes."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

import dispersy.cli
from dispersy.cli.commands import load
from dispersy.cli.start import read_options
from dispersy.stop_signals import STOP_SIGNALS, heeded_signals

PLAIN = [
    "",
    "--home /tmp/a --listen 127.0.0.1:0",
    "--home=/tmp/a --listen=[::1]:0 --listen 0.0.0.0:7000",
    "--peer 192.0.2.1:6421 --peer=[2001:db8::1]:6421 --workers 2",
    "--placement compact --log-format json --log-level debug --metrics 127.0.0.1:9421",
    "--upload-max 64kbit/s --metered --init-only",
    "--workers=0 --listen nonsense",
    "--listen= --placement=",
]
FOR_PEOPLE = [
    "--help",
    "--home /tmp/a --help",
    "--lisen 127.0.0.1:0",
    "--list 127.0.0.1:0",
    "--workers many",
    "--workers",
    "--metered=yes",
    "somewhere",
    "--init-only /tmp/a",
    "--no-metered",
]


@pytest.mark.parametrize("line", PLAIN)
def test_it_reads_what_the_command_line_reads(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option, in both ways of writing, and given twice."""
    monkeypatch.delenv("DISPERSY_HOME", raising=False)
    by_typer = load("run").make_context("run", line.split()).params
    options = read_options(line.split())
    assert options is not None
    for name, value in by_typer.items():
        # What is not given is nothing to either, which typer writes as the type has it.
        assert (getattr(options, name) or None) == (value or None), name
    assert options.home is None or isinstance(options.home, Path)


def test_it_knows_every_option() -> None:
    """One that it does not know would make each start with it a slow one."""
    command = load("run")
    for parameter in command.params:
        for option in parameter.opts:
            line = [option] if parameter.is_flag else [option, "1"]
            assert read_options(line) is not None, option


@pytest.mark.parametrize("line", FOR_PEOPLE)
def test_help_and_mistakes_are_for_who_explains(line: str) -> None:
    """Nothing is guessed, nor is anything refused in other words than everywhere."""
    assert read_options(line.split()) is None


def test_a_node_that_nohup_started_does_not_end_with_its_terminal() -> None:
    """Whoever starts it decides; all else stops it as ever."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        assert heeded_signals() == list(STOP_SIGNALS)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        assert heeded_signals() == [signal.SIGTERM, signal.SIGINT]
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("ignored", [False, True])
def test_the_same_holds_before_a_node_is_one(ignored: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it reads its options already; afterwards all is as it was."""
    heard: dict[signal.Signals, object] = {}

    def read(given: list[str]) -> int:
        heard.update({number: signal.getsignal(number) for number in STOP_SIGNALS})
        return len(given)

    monkeypatch.setattr(dispersy.cli, "_run", read)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        kept = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        assert dispersy.cli.main(["run"]) == 1
        changed = {number for number in STOP_SIGNALS if heard[number] != kept[number]}
        assert changed == set(heeded_signals())
        assert {number: signal.getsignal(number) for number in STOP_SIGNALS} == kept
    finally:
        signal.signal(signal.SIGHUP, before)
