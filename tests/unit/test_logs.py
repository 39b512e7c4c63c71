"""Goal: what a node logs can be read by people at a terminal and by programs everywhere else."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dispersy.service import logs
from dispersy.service.logs import LEVELS, announce, event, logger, set_up
from tests.house.sources import python_sources

LIMIT_S = 30
OPERATION = Path(__file__).resolve().parents[2] / "docs/operation.md"


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Logging is the whole process's; give it back."""
    kept = (logger.handlers[:], logger.level, logger.propagate, logging.raiseExceptions, sys.excepthook)
    yield
    logger.handlers[:], level, logger.propagate, logging.raiseExceptions, sys.excepthook = kept
    logger.setLevel(level)


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def logged(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_programs_read_objects() -> None:
    """One a line, with a constant name and what varies in fields."""
    stream = io.StringIO()
    set_up("supervisor", log_format="auto", level="info", stream=stream)
    logger.warning(
        "%s ended,\n%s", "writer", "ü\udcff", extra=event("role-ended", role="writer", again_s=0.1)
    )
    logger.debug("too small")
    (said,) = logged(stream)
    assert said["event"] == "role-ended"
    assert (said["level"], said["process"], said["role"], said["again_s"]) == (
        "warning",
        "supervisor",
        "writer",
        0.1,
    )
    assert said["message"].startswith("writer ended,\nü")
    assert said["time"].endswith("+00:00")
    assert said["pid"] > 0


def test_people_read_lines() -> None:
    """At a terminal, or when they ask for them."""
    for stream, log_format in ((Terminal(), "auto"), (io.StringIO(), "text")):
        set_up("writer", log_format=log_format, level="info", stream=stream)
        logger.error("the disk is full", extra=event("role-refused", code="storage"))
        assert stream.getvalue().endswith(" writer: the disk is full\n")
        assert "{" not in stream.getvalue()


def test_a_terminal_can_be_made_to_show_json() -> None:
    """For whoever writes a program that reads it."""
    stream = Terminal()
    set_up("writer", log_format="json", level="info", stream=stream)
    logger.error("x")
    assert logged(stream)[0]["event"] == "dispersy"


@pytest.mark.parametrize(("log_format", "count"), [("text", 0), ("json", 1)])
def test_an_announcement_is_not_said_twice_to_people(
    log_format: str, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is on stdout for all, and in the log for programs."""
    stream = io.StringIO()
    set_up("supervisor", log_format=log_format, level="info", stream=stream)
    announce("ready, listening on x", "node-ready", listen="x")
    assert capsys.readouterr().out == "ready, listening on x\n"
    assert len(stream.getvalue().splitlines()) == count


def test_a_crash_is_one_event_with_its_traceback() -> None:
    """And the status is Python's."""
    script = (
        "from dispersy.service.logs import set_up; set_up('worker-0', log_format='json', level='error');"
        "assert 1 == 2, 'our fault'"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert ended.returncode == 1
    (said,) = [json.loads(line) for line in ended.stderr.splitlines()]
    assert (said["event"], said["process"], said["level"]) == ("process-crashed", "worker-0", "critical")
    assert said["error"] == "AssertionError: our fault"
    assert "Traceback" in said["traceback"]


def log_calls(tree: ast.Module) -> Iterator[tuple[int, bool]]:
    """(line, whether it has an `extra`) of each call that logs."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Attribute(ast.Name("log" | "logger"), level)) if level in (*LEVELS, "critical"):
                yield node.lineno, any(word.arg == "extra" for word in node.keywords)


def test_every_event_has_a_name_and_the_document_lists_it() -> None:
    """So that a program can wait for one, and a person can look it up."""
    named = {value for name, value in vars(logs).items() if name.isupper() and isinstance(value, str)}
    calls = 0
    for source in python_sources():
        if source.is_product and re.search(
            r"^(log|logger) = |import .*\blogger\b", source.text, re.MULTILINE
        ):
            named |= set(re.findall(r'"event": "([a-z-]+)"', source.text))
            for line, is_named in log_calls(source.tree):
                assert is_named, f"{source.path}:{line}"
                calls += 1
    assert calls > 10
    section = OPERATION.read_text(encoding="utf-8").partition("## Logs")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", section, flags=re.MULTILINE)) == named


def test_a_closed_stream_is_no_reason_to_end() -> None:
    """As when the terminal is gone."""
    stream = io.StringIO()
    set_up("writer", log_format="json", level="info", stream=stream)
    stream.close()
    logger.error("nobody reads this")
