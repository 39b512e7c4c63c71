"""Goal: a damaged store or key is named, with what to do about it and status 4; no signal is all one gets."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from dispersy.errors import UsageError
from tests.integration.node import Node

pytestmark = pytest.mark.long

DISK = 4
LIMIT_S = 60.0
PAGE = 4096
MakeNode = Callable[..., Node]


def _filled(node: Node) -> Path:
    """Its store's file, after a run that stored something."""
    with node.start() as client:
        client.create("chat")
        client.publish_many("chat", [b"%d" % number for number in range(2_000)])
    node.stop()
    return node.home / "store" / "data.mdb"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_store_that_is_cut_off(make_node: MakeNode, share: float) -> None:
    """As after a copy that was interrupted: without the check a process ends by SIGBUS, sooner or later."""
    node = make_node("a")
    file = _filled(node)
    size = int(file.stat().st_size * share)
    with open(file, "r+b") as cut:
        cut.truncate(size)
    done = node.command("run", "--listen", "127.0.0.1:0")
    assert done.returncode == DISK, done.stderr
    assert f"{file}: cut off" in done.stderr.replace("\n", " ")
    assert "restore a backup" in done.stderr.replace("\n", " ")
    assert file.stat().st_size == size


def test_a_store_with_broken_pages(make_node: MakeNode) -> None:
    """A disk that gives back rubbish."""
    node = make_node("a")
    file = _filled(node)
    with open(file, "r+b") as broken:
        broken.seek(2 * PAGE)
        broken.write(random.Random(1).randbytes(file.stat().st_size - 2 * PAGE))
    done = node.command("run", "--listen", "127.0.0.1:0")
    assert done.returncode == DISK, done.stderr
    assert "the store is damaged" in done.stderr.replace("\n", " ")
    assert str(file.parent) in done.stderr.replace("\n", " ")


def test_a_key_that_is_none(make_node: MakeNode) -> None:
    """Its community cannot be written to; others go on, and the message names the file."""
    node = make_node("a")
    with node.start() as client:
        client.create("chat")
        client.create("other")
    node.stop()
    (key,) = (node.home / "keys").glob("chat-*-member.pem")
    key.write_bytes(b"-----BEGIN PRIVATE KEY-----\nrubbish\n-----END PRIVATE KEY-----\n")
    with node.start() as client:
        with pytest.raises(UsageError, match=str(key)):
            client.publish("chat", [b"no"])
        client.publish("other", [b"yes"])
        assert client.count("other") == 1
        refused = node.command("publish", "chat", "no")
        assert refused.returncode == DISK, refused.stderr
