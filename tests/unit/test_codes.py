"""Goal: a program can test every code that it may get: table, document and source name the same ones."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dispersy.errors import UsageError
from dispersy.service.interface.codes import CLIENT_CODES, CODES, listed
from dispersy.service.interface.replies import Replies
from dispersy.service.interface.requests import Count, decode

ROOT = Path(__file__).parents[2]
BEHIND = [
    path
    for folder in ("dispersy/service", "workers", "dispersy/protocol", "dispersy/storage")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
"""What is behind an answer."""
CLIENTS = [
    ROOT / "dispersy" / f"{name}.py"
    for name in ("client", "connection", "conversation", "operations", "cosigning")
]
UNSEEN = {
    "client-exists", "client-unknown", "config", "control-malformed", "control-not-canonical",
    "group-shut-out", "home-in-use", "home-missing", "invite-malformed", "key-foreign", "listen", "message",
    "passphrase", "permissions", "port-taken",
}  # fmt: skip
"""Of the command line and of starts, or told inside another one: no client is answered with these."""


def codes_in(path: Path) -> Iterator[tuple[str, int]]:
    """(code, line) of every call that names one."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for keyword in node.keywords if isinstance(node, ast.Call) else ():
            if keyword.arg == "code" and isinstance(keyword.value, ast.Constant):
                yield str(keyword.value.value), node.lineno


@pytest.mark.parametrize("path", BEHIND, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_code_that_is_raised_is_in_the_table(path: Path) -> None:
    missing = [
        f"{path.name}:{line}: {code}"
        for code, line in codes_in(path)
        if code not in UNSEEN and listed(code) is None
    ]
    assert not missing, "give it a line in service/interface/codes.py and in docs/interface.md"


@pytest.mark.parametrize("path", CLIENTS, ids=lambda path: path.name)
def test_a_client_makes_no_codes_but_its_own(path: Path) -> None:
    assert {code for code, _ in codes_in(path)} <= {*CLIENT_CODES, *CODES}


def test_every_code_of_the_table_is_raised_somewhere() -> None:
    """A program that tests one waits for nothing otherwise."""
    raised = {code for path in BEHIND for code, _ in codes_in(path)} | {"storage"}
    assert {code for code in CODES if not code.startswith("definition-...")} - raised == set()


def test_the_document_lists_the_table() -> None:
    """Neither more nor less."""
    text = (ROOT / "docs" / "interface.md").read_text(encoding="utf-8").partition("## Error codes")[2]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    told = [code for row in rows for code in re.findall(r"`([a-z-]+(?:\.\.\.)?)`", row)]
    assert set(told) == set(CODES)
    assert len(told) == len(set(told))
    after = text.partition("The Python clients add")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([a-z-]+)`", after)) == set(CLIENT_CODES)


@pytest.mark.parametrize("code", [*CODES, *CLIENT_CODES])
def test_every_code_says_what_to_do(code: str) -> None:
    """Who raises one may leave the hint to the table; a client always gets one."""
    known = listed(code) or CLIENT_CODES[code]
    assert known.meaning
    assert known.hint
    if code in CODES:
        sent: list[dict[str, Any]] = []

        def send(_: bytes, frame: bytes) -> bool:
            sent.append(msgspec.msgpack.decode(frame))
            return True

        replies = Replies(send, Counter())
        replies.fail(b"c", 1, UsageError("what was wrong", code=code))
        replies.fail(b"c", 2, UsageError("what was wrong", code=code, hint="better said"))
        assert [reply["error"]["hint"] for reply in sent] == [known.hint, "better said"]
        assert [reply["error"]["code"] for reply in sent] == [code, code]


def test_the_bytes_of_the_document_are_what_they_are_said_to_be() -> None:
    """Whoever writes a client without a library compares with these."""
    text = (ROOT / "docs" / "interface.md").read_text(encoding="utf-8").partition("## The same in bytes")[2]
    blocks = re.findall(r"(?m)(?:^    (?:[0-9a-f]{2} ?)+$\n?)+", text)
    asked, refused = (msgspec.msgpack.decode(bytes.fromhex(block)) for block in blocks)
    assert asked == {"v": 1, "id": 7, "op": "count", "community": "chat"}
    assert isinstance(decode(bytes.fromhex(blocks[0])), Count)
    assert (refused["id"], refused["ok"], set(refused["error"])) == (7, False, {"code", "message", "hint"})
