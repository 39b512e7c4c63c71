"""Goal: programs can tell by the exit status whose turn it is: theirs, the node's, the disk's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dispersy.cli.app import main
from dispersy.errors import (
    MISUSED,
    NOT_RUNNING,
    REFUSED,
    STORAGE,
    TIMED_OUT,
    DispersyError,
    StorageError,
    UsageError,
    WireError,
    exit_status,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("x", code="refused"), REFUSED),
        (UsageError("x", code="community-unknown"), REFUSED),
        (UsageError("x", code="kind-unknown"), REFUSED),
        (UsageError("x", code="home-in-use"), REFUSED),
        (UsageError("x", code="definition-unknown"), REFUSED),
        (UsageError("x", code="never heard of"), REFUSED),
        (WireError("x"), REFUSED),
        (UsageError("x"), MISUSED),
        (UsageError("x", code="config"), MISUSED),
        (UsageError("x", code="definition-toml"), MISUSED),
        (UsageError("x", code="payload-size"), MISUSED),
        (UsageError("x", code="message-too-long"), MISUSED),
        (UsageError("x", code="not-running"), NOT_RUNNING),
        (StorageError("x"), STORAGE),
        (UsageError("x", code="storage"), STORAGE),
        (UsageError("x", code="passphrase"), STORAGE),
        (UsageError("x", code="timeout"), TIMED_OUT),
        (UsageError("x", code="no-answer"), TIMED_OUT),
    ],
)
def test_the_kind_of_error_decides(error: DispersyError, status: int) -> None:
    """By the code, which is stable, and not by the text."""
    assert exit_status(error) == status


def test_a_command_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the error to the shell."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    home = tmp_path / "home"
    assert main(["count", "chat", "--home", str(home)]) == NOT_RUNNING
    (tmp_path / "file").write_text("")
    assert main(["run", "--home", str(tmp_path / "file" / "home")]) == STORAGE
    assert main(["run", "--home", str(home), "--placement", "tiny"]) == MISUSED


def test_the_document_lists_them_all() -> None:
    """docs/operation.md is where people look."""
    text = (ROOT / "docs/operation.md").read_text(encoding="utf-8")
    listed = {int(found) for found in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert listed == {0, 1, 2, 3, 4, 5, 130}
