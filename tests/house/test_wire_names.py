"""Goal: docs/wire.md names every reason for which something that a peer sent is dropped, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import PurePosixPath

from dispersy.ext.wire import DROP_REASONS
from tests.house.sources import ROOT, Source, python_sources

WIRE = ROOT / "docs" / "wire.md"
# Their UsageError turns into a WireError with the same name where a received definition is read.
DEFINITIONS = {
    PurePosixPath("dispersy/protocol/definitions") / name
    for name in ("definition.py", "policies.py", "schema.py")
}
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")


def documented() -> list[str]:
    """The first column of the table of drop reasons."""
    section = WIRE.read_text(encoding="utf-8").partition("## Drop reasons\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([a-z0-9-]+)` \|", section, flags=re.MULTILINE)


def names_in(node: ast.AST) -> set[str]:
    """The texts within a part of a program that look like a reason."""
    texts = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
    return {text for text in texts if isinstance(text, str) and NAME.fullmatch(text)}


def raised(source: Source) -> set[str]:
    """Reasons that a file raises WireError with, checks of a definition included."""
    found: set[str] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "WireError":
            found |= names_in(node)
        if isinstance(node, ast.keyword) and node.arg == "code" and source.path in DEFINITIONS:
            found |= {name for name in names_in(node) if name.startswith("definition-")}
        if isinstance(node, ast.FunctionDef) and node.name == "check_payloads":
            returned = (part for part in ast.walk(node) if isinstance(part, ast.Return))
            found |= {name for part in returned for name in names_in(part) if name.startswith("payload-")}
    return found


def test_the_table_of_drop_reasons_is_complete_and_true() -> None:
    given = set(DROP_REASONS).union(*(raised(source) for source in python_sources() if source.is_product))
    assert set(documented()) == given


def test_no_reason_is_listed_twice() -> None:
    assert len(documented()) == len(set(documented()))


def test_the_text_names_only_reasons_that_are_in_the_table() -> None:
    """Names in the text in code that end as reasons do; kinds and frames are written without it."""
    named = {name for name in re.findall(r"`([a-z0-9-]+)`", WIRE.read_text(encoding="utf-8")) if "-" in name}
    assert named == set(documented())
