"""Goal: docs/scenarios.md lists every scenario, and each test that it names is there."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

import pytest

from tests.house.sources import ROOT

HEADINGS = (
    "Batches",
    "Bloom filter",
    "Candidates",
    "Communities",
    "Crypto",
    "Store",
    "Destroy",
    "Double signature",
    "Dynamic settings",
    "Duplicates",
    "Missing",
    "NAT",
    "Neighbourhood",
    "Pruning",
    "Requests",
    "Sequence",
    "Sync",
    "Timeline",
    "Undo",
    "Walk",
)
SHOWN_WHOLE = ("Bloom filter", "Communities", "Crypto", "Store", "Duplicates")
"""Headings none of whose lines may be open."""
_TEST = re.compile(r"tests/[\w/]+\.py::\w+")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the list: what is shown, and by which tests; none: it is open."""

    heading: str
    text: str
    tests: tuple[str, ...]


def lines_of(text: str) -> list[Line]:
    """The lines below each heading.

    raises  ValueError for a line that neither names a test nor says that it is open
    """
    lines = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        for item in re.split(r"^- ", body, flags=re.MULTILINE)[1:]:
            said = " ".join(item.split())
            tests = tuple(_TEST.findall(said))
            is_open = said.endswith(": open")
            if is_open == bool(tests):
                raise ValueError(f"{heading}: {said!r} names its tests, or ends with ': open'")
            lines.append(Line(heading, said, tests))
    return lines


def names_of_tests(file: str) -> set[str]:
    """The names of a file's test functions; none where it does not exist."""
    path = ROOT / file
    if not path.exists():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def missing_tests(lines: list[Line]) -> list[str]:
    """Named tests that do not exist."""
    named = {test for line in lines for test in line.tests}
    return sorted(
        test for test in named if test.partition("::")[2] not in names_of_tests(test.partition("::")[0])
    )


def named_in(text: str) -> set[str]:
    """The tests that a document names."""
    return set(_TEST.findall(text))


LINES = lines_of((ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8"))


def test_every_heading_has_lines() -> None:
    """Goal: nothing of the list is forgotten, and nothing is added under a heading that nobody knows."""
    assert list(dict.fromkeys(line.heading for line in LINES)) == list(HEADINGS)


def test_every_test_that_is_named_is_there() -> None:
    """Goal: a test that is renamed or removed takes its line along."""
    assert missing_tests(LINES) == []


def test_the_attacks_that_are_told_are_those_that_are_shown() -> None:
    """Goal: the table in docs/timeline.md names no test that is not there, and every attack that has one."""
    attacks = "tests/unit/test_attacks.py"
    named = named_in((ROOT / "docs" / "timeline.md").read_text(encoding="utf-8"))
    assert missing_tests([Line("", "", tuple(named))]) == []
    there = {f"{attacks}::{name}" for name in names_of_tests(attacks) if name.startswith("test_")}
    assert there <= named


@pytest.mark.parametrize("heading", SHOWN_WHOLE)
def test_what_is_built_has_no_open_line(heading: str) -> None:
    """Goal: these headings are shown whole."""
    assert [line.text for line in LINES if line.heading == heading and not line.tests] == []


def test_the_check_bites() -> None:
    """Goal: a line without proof, and a test that is not there, are found."""
    with pytest.raises(ValueError, match="names its tests"):
        lines_of("## Walk\n\n- somebody walks\n")
    invented = lines_of("## Walk\n\n- somebody walks: tests/house/test_scenarios.py::test_nothing\n")
    assert missing_tests(invented) == ["tests/house/test_scenarios.py::test_nothing"]
