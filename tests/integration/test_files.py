"""Goal: examples/files sends a file from one node to another, which verifies every piece, and resumes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from tests.integration.node import Node

FILES = Path(__file__).resolve().parents[2] / "examples" / "files" / "files.py"
LIMIT_S = 120.0
MakeNode = Callable[..., Node]


def run(node: Node, *arguments: str) -> str:
    """What the example prints."""
    done = subprocess.run(
        [sys.executable, "-P", str(FILES), "--home", str(node.home), *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=node.environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_file_comes_whole_beside_what_is_wrong(make_node: MakeNode, tmp_path: Path) -> None:
    """A piece that was here before is used, a name that leads out of the folder is not."""
    content = b"".join(sha256(b"%d" % index).digest() for index in range(20_000))
    (tmp_path / "data.bin").write_bytes(content)
    (tmp_path / ".hidden").write_bytes(b"x")
    alice, bob = make_node("alice"), make_node("bob")
    alice.start().close()
    bob.start().close()
    run(alice, "send", "photos", str(tmp_path / ".hidden"))
    invite = run(alice, "send", "photos", str(tmp_path / "data.bin")).splitlines()[-1]
    pieces = tmp_path / "got" / ".pieces"
    pieces.mkdir(parents=True)
    first = content[:60_000]
    (pieces / sha256(first).hexdigest()).write_bytes(first)
    assert run(bob, "receive", invite, str(tmp_path / "got"), "--count", "1").split() == [
        str(tmp_path / "got" / "data.bin")
    ]
    assert (tmp_path / "got" / "data.bin").read_bytes() == content
    assert sorted(path.name for path in (tmp_path / "got").iterdir()) == [".pieces", "data.bin"]
