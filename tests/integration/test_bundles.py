"""Goal: messages travel by file between nodes that never meet, as good as over a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dispersy.aio import AsyncClient
from dispersy.bundle import BundledMessage, BundleReader, BundleWriter
from dispersy.bundling import Imported
from dispersy.errors import MISUSED, REFUSED, STORAGE, UsageError
from tests.integration.node import Node

MakeNode = Callable[..., Node]
COUNT = 1_500


def shown(node: Node, *arguments: str) -> dict[str, Any]:
    """What a command prints for programs."""
    done = node.command(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def outcome(done: Imported) -> tuple[int, int, int, dict[str, int]]:
    return done.new, done.known, done.waiting, dict(done.refused)


def test_a_stick_carries_a_community_there_and_back(make_node: MakeNode, tmp_path: Path) -> None:
    """With an erased message; what came since goes with the next bundle alone; twice changes nothing."""
    left, right = make_node("left"), make_node("right")
    file, more, back = (str(tmp_path / name) for name in ("chat.bundle", "more.bundle", "back.bundle"))
    with left.start() as here, right.start() as there:
        here.create("chat")
        here.publish_many("chat", (b"message %d" % number for number in range(COUNT)))
        here.undo("chat", here.publish("chat", [b"a slip"]).ids[0])
        held = here.community("chat")["live"]
        first = shown(left, "bundle", "export", "chat", file)
        assert first["messages"] == held == COUNT + 3
        taken = shown(right, "bundle", "import", file, "--join")
        assert taken["new"] == held, taken
        assert (taken["known"], taken["waiting"], taken["refused"]) == (0, 0, {})
        assert [each.payloads for each in there.last("chat", 2)] == [
            (b"message %d" % number,) for number in (COUNT - 1, COUNT - 2)
        ]
        assert there.community("chat")["live"] == held
        assert b"a slip" not in Path(file).read_bytes()

        here.publish("chat", [b"later"])
        second = shown(left, "bundle", "export", "chat", more, "--since", str(first["cursor"]))
        # Of what was there before nothing but the definition.
        assert second["messages"] == 2
        assert "1 new, 1 known" in right.command("bundle", "import", more).stdout
        there.publish("chat", [b"an answer"])
        there.export_bundle("chat", back)
        assert outcome(here.import_bundle(back)) == (1, held + 1, 0, {})
        assert outcome(here.import_bundle(back)) == (0, held + 2, 0, {})
        assert here.last("chat")[0].payloads == (b"an answer",)
        asyncio.run(_carry_awaited(left, right, tmp_path / "awaited.bundle"))


async def _carry_awaited(left: Node, right: Node, file: Path) -> None:
    async with AsyncClient(left.home) as here, AsyncClient(right.home) as there:
        exported = await here.export_bundle("chat", file)
        counts: list[int] = []
        done = await there.import_bundle(file, progress=lambda so_far: counts.append(so_far.count))
        assert done.known == exported.count == counts[-1]
        assert len(counts) > 10
        assert done.position == done.size == exported.size


def test_what_is_damaged_is_told_and_what_came_before_stays(make_node: MakeNode, tmp_path: Path) -> None:
    """Each mistake with its exit status and what would be right; signatures are checked one by one."""
    left, right = make_node("left"), make_node("right")
    file = tmp_path / "chat.bundle"
    with left.start() as here, right.start() as there:
        made = here.create("chat")
        here.publish_many("chat", (b"message %d" % number for number in range(600)))
        shown(left, "bundle", "export", "chat", str(file))
        whole = file.read_bytes()
        _mistakes(left, right, tmp_path, made["community_id"].hex())

        cut = tmp_path / "cut.bundle"
        cut.write_bytes(whole[: len(whole) // 2])
        done = right.command("bundle", "import", str(cut), "--join")
        assert done.returncode == MISUSED
        assert "breaks off" in done.stderr
        assert 250 < there.count("chat") < 350

        with BundleReader(file) as bundle:
            messages = list(bundle)
        forged = bytearray(messages[500].data)
        forged[-1] ^= 1
        messages[500] = BundledMessage(bytes(forged), is_stripped=False)
        messages += [
            BundledMessage(b"rubbish", is_stripped=False),
            BundledMessage(b"scrap", is_stripped=True),
        ]
        with BundleWriter(file, made["community_id"], overwrite=True) as written:
            for each in messages:
                written.add(each)
            written.finish()
        done = there.import_bundle(file)
        assert there.count("chat") == 599
        assert done.new + done.known == 600
        assert done.refused["signature-wrong"] == 1
        assert sum(done.refused.values()) == 3
        with pytest.raises(UsageError) as raised:
            there.export_bundle("chat", tmp_path / "never", since=10_000)
        assert raised.value.code == "cursor-ahead"
        assert not (tmp_path / "never").exists()


def _mistakes(left: Node, right: Node, folder: Path, community: str) -> None:
    file = str(folder / "chat.bundle")
    (folder / "foreign").write_bytes(b"PK\3\4 and what else is in an archive")
    for node, arguments, status, parts in (
        (left, ("export", "chat", file), MISUSED, ("there is a file", "--force")),
        (left, ("export", "chat", str(folder / "absent" / "x")), STORAGE, ("cannot write", "absent")),
        (right, ("import", str(folder / "foreign")), MISUSED, ("no bundle of Dispersy", "foreign")),
        (right, ("import", file), REFUSED, ("not joined", "--join", community)),
    ):
        done = node.command("bundle", *arguments)
        assert done.returncode == status, done.stderr
        for part in parts:
            assert part in done.stderr
