"""Goal: sockets are their owner's alone, unless a group is let in to those for applications, and no other."""

from __future__ import annotations

import grp
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dispersy.locations import runtime_path
from dispersy.service.settings.config_sources import parse_config
from tests.integration.node import COMPACT, START_LIMIT_S, Node

pytestmark = pytest.mark.long

MakeNode = Callable[..., Node]
GROUP = grp.getgrgid(os.getegid()).gr_name
"""One of which whoever runs the tests surely is a member."""


SETPRIV = shutil.which("setpriv")


def stranger(node: Node, *words: str) -> subprocess.CompletedProcess[str]:
    """A command by one who has no more rights to the home than its mode gives, be it root's test."""
    assert SETPRIV is not None
    powerless = [SETPRIV, "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    return subprocess.run(
        [*powerless, sys.executable, "-P", "-m", "dispersy.cli", *words, "--home", str(node.home)],
        env=node.environment,
        capture_output=True,
        text=True,
        timeout=START_LIMIT_S,
        check=False,
    )


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.lstat().st_mode) for path in folder.iterdir() if path.is_socket()}


@pytest.fixture
def loose_umask() -> Iterator[None]:
    """As of systems whose users share a group: sockets must be closed all the same."""
    before = os.umask(0o002)
    yield
    os.umask(before)


@pytest.mark.usefixtures("loose_umask")
@pytest.mark.parametrize("placement", ["full", "compact"])
def test_without_a_group_everything_is_the_owners(make_node: MakeNode, placement: str) -> None:
    """The folder and each socket in it."""
    node = make_node("a", "--listen", "127.0.0.1:0", "--placement", placement)
    with node.start():
        folder = runtime_path(node.home)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert all(mode & 0o077 == 0 for mode in modes(folder).values()), modes(folder)


@pytest.mark.usefixtures("loose_umask")
@pytest.mark.parametrize("placement", ["full", "compact"])
def test_a_group_may_use_two_sockets_and_no_other(
    make_node: MakeNode, short_folder: Path, placement: str
) -> None:
    """It passes through the folder without seeing what is in it; roles' own sockets stay closed."""
    short_folder.chmod(0o711)
    node = make_node("a", "--listen", "127.0.0.1:0", "--placement", placement)
    node.home.mkdir()
    (node.home / "config.toml").write_text(f'group = "{GROUP}"\n')
    with node.start() as client:
        client.create("chat")
        folder = runtime_path(node.home)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o710
        assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o711
        found = modes(folder)
        assert {name: mode for name, mode in found.items() if mode & 0o077} == {
            "control": 0o660,
            "events": 0o660,
        }
        # Within one process roles find each other without sockets of their own.
        assert (len(found) > 2) == (placement == "full")
        for path in (folder, folder / "control", folder / "events"):
            assert path.stat().st_gid == os.getegid()


@pytest.mark.skipif(not SETPRIV, reason="setpriv of util-linux is missing")
def test_a_member_of_the_group_uses_the_node_by_the_home_that_is_closed_to_it(make_node: MakeNode) -> None:
    """The home names the sockets; what only its owner may read is told as an error, not as a fault."""
    node = make_node("a", *COMPACT)
    with node.start() as client:
        client.create("chat")
        node.home.chmod(0)
        try:
            published = stranger(node, "publish", "chat", "hello")
            counted = stranger(node, "count", "chat")
            shown = stranger(node, "config", "show")
        finally:
            node.home.chmod(0o700)
    assert published.returncode == 0, published.stderr
    assert counted.stdout == "1\n"
    assert shown.returncode == 4
    assert "config.toml: Permission denied" in shown.stderr


def test_a_group_that_cannot_get_there_is_told_at_the_start(make_node: MakeNode, short_folder: Path) -> None:
    """A user's own runtime folder is closed to all others, whatever we allow in it."""
    short_folder.chmod(0o700)
    node = make_node("a")
    node.home.mkdir()
    (node.home / "config.toml").write_text(f'group = "{GROUP}"\n')
    told = node.command("run", "--listen", "127.0.0.1:0")
    assert told.returncode == 1
    assert f"{short_folder} is closed to it" in told.stderr


def test_an_unknown_group_is_named_with_its_line() -> None:
    """And one of which we are no member could not be let in."""
    [mistake] = parse_config('workers = 1\ngroup = "no-such-group"\n', Path("config.toml")).mistakes
    assert str(mistake).startswith("config.toml:2: group: there is no group called 'no-such-group'")
    assert parse_config(f'group = "{GROUP}"\n', Path("config.toml")).checked().group == os.getegid()
    assert parse_config('group = ""\n', Path("config.toml")).checked().group == -1
