"""Goal: every program in docs/python.md runs as it stands and prints what is said; the first is short."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from tests.integration.node import Node

LINES_MAX = 15
LIMIT_S = 60.0
ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "python.md"
PROGRAM = re.compile(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS: list[tuple[str, str]] = PROGRAM.findall(DOCUMENT.read_text(encoding="utf-8"))


def run_until(program: str, expected: list[str], node: Node) -> list[str]:
    """Its lines up to the one in which all that is expected has come, in order; then it is ended."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-u", "-W", "error", "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**node.environment, "DISPERSY_HOME": str(node.home)},
    )
    limit = threading.Timer(LIMIT_S, process.kill)
    limit.start()
    lines: list[str] = []
    missing = list(expected)
    assert process.stdout is not None
    with process, process.stdout:
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if missing and missing[0] in line:
                missing.pop(0)
            if not missing:
                break
        process.terminate()
    limit.cancel()
    assert not missing, f"{missing} did not come in {lines}"
    return lines


def test_every_program_prints_what_is_said(make_node: Callable[..., Node]) -> None:
    """Each on the same node, one after another."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert len(PROGRAMS) == text.count("```python\n") >= 5
    node = make_node("a")
    node.start().close()
    for program, output in PROGRAMS:
        run_until(program, output.splitlines(), node)


def test_a_complete_program_is_short() -> None:
    """One that publishes and receives: without its empty lines."""
    program, output = PROGRAMS[0]
    assert "publish" in program
    assert "follow" in program
    assert output.strip()
    lines = [line for line in program.splitlines() if line.strip()]
    assert len(lines) <= LINES_MAX, f"{len(lines)} lines"


def test_the_readme_has_the_same_program() -> None:
    """Under another name than the community that its reader has made by then."""
    program, _ = PROGRAMS[0]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert program.replace('"chat"', '"talk"') in readme
