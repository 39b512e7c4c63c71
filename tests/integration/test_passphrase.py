"""Goal: a node with encrypted keys needs its passphrase, keeps it through crashes, and shows it to no one."""

from __future__ import annotations

import os
import pty
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dispersy.service.settings.placement import KEY_READERS
from tests.integration.node import FULL, Node

pytestmark = pytest.mark.long

MakeNode = Callable[..., Node]
PASSPHRASE = "open-sesame-4711"
LIMIT_S = 60.0


def secret(path: Path, text: str = PASSPHRASE) -> Path:
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def encrypted(node: Node, folder: Path) -> Path:
    """A home with one encrypted key; the file of its passphrase."""
    file = secret(folder / "pass")
    assert node.command("key", "new", "alice").returncode == 0
    assert node.command("key", "encrypt", "--passphrase-file", str(file)).returncode == 0
    return file


def holds(pid: int, name: str) -> bool:
    """Whether a process has a file of such a name open."""
    links = list(Path(f"/proc/{pid}/fd").iterdir())
    return any(name in os.readlink(link) for link in links if link.is_symlink())


def remembers(pid: int, secret: bytes) -> bool:
    """Whether it stands anywhere in the memory of a process that the process may write to."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines():
            span, rights, *_ = line.split()
            first, _, behind = span.partition("-")
            if rights.startswith("rw"):
                memory.seek(int(first, 16))
                if secret in memory.read(int(behind, 16) - int(first, 16)):
                    return True
    return False


@pytest.mark.parametrize("placement", ["full", "compact", "single"])
def test_keys_are_read_and_made_under_the_passphrase(
    make_node: MakeNode, short_folder: Path, placement: str
) -> None:
    """In every placement; no process shows it in its arguments or its environment, the supervisor alone keeps
    the descriptor of it, and who signs nothing never had it in its memory."""
    node = make_node("a", "--listen", "127.0.0.1:0", "--placement", placement)
    node.environment["DISPERSY_PASSPHRASE_FILE"] = str(encrypted(node, short_folder))
    with node.start() as client:
        client.create("chat")
        client.publish("chat", [b"hello"])
        for role, pid in node.pids().items():
            for shown in ("cmdline", "environ"):
                assert PASSPHRASE.encode() not in Path(f"/proc/{pid}/{shown}").read_bytes()
            assert role == "supervisor" or not holds(pid, "memfd:passphrase"), role
            signs = role in KEY_READERS or placement == "single"
            assert remembers(pid, PASSPHRASE.encode()) == signs, role
    made = sorted((node.home / "keys").glob("chat-*.pem"))
    assert len(made) == 2
    assert all(b"BEGIN ENCRYPTED" in path.read_bytes() for path in made)
    assert PASSPHRASE not in "".join(node.lines)


@pytest.mark.parametrize("placement", ["full", "single"])
def test_no_process_leaves_a_core_file(make_node: MakeNode, placement: str) -> None:
    """A hung process is ended by SIGABRT, and its core would hold keys and passphrase."""
    node = make_node("a", "--listen", "127.0.0.1:0", "--placement", placement)
    before = resource.getrlimit(resource.RLIMIT_CORE)
    # The node inherits it: as where somebody has said `ulimit -c unlimited`.
    assert before[1] != 0
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        node.start().close()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)
    for pid in node.pids().values():
        assert resource.prlimit(pid, resource.RLIMIT_CORE)[0] == 0


def test_a_role_that_is_started_again_has_it_too(make_node: MakeNode, short_folder: Path) -> None:
    """The file is needed at the start only: the supervisor keeps what it said."""
    node = make_node("a", *FULL)
    file = encrypted(node, short_folder)
    node.home.joinpath("config.toml").write_text(f'passphrase_file = "{file}"\n')
    with node.start() as client:
        client.create("chat")
        file.unlink()
        for role in ("writer", "network"):
            before = node.kill(role)
            client.wait_for_status(
                lambda status, role=role, before=before: (
                    status["ready"]  # type: ignore[misc]
                    and any(
                        each["role"] == role and each["pid"] not in (None, before)
                        for each in status["processes"]
                    )
                ),
                timeout_s=LIMIT_S,
            )
        client.publish("chat", [b"signed after both"])
        tags = client.wait_for_status(lambda status: bool(status["ready"]), timeout_s=LIMIT_S)
        assert tags["communities"][0]["count"] == 1
        assert not node.wait_for_line("ready", limit_s=1.0).startswith("error")


@pytest.mark.parametrize(
    ("text", "said"), [("wrong", "wrong passphrase for alice"), (None, "encrypted: alice")]
)
def test_a_wrong_passphrase_starts_nothing(
    make_node: MakeNode, short_folder: Path, text: str | None, said: str
) -> None:
    """Nor does a missing one: one error that names the key, and no node."""
    node = make_node("a")
    file = encrypted(node, short_folder)
    if text is not None:
        node.environment["DISPERSY_PASSPHRASE_FILE"] = str(secret(file, text))
    told = node.command("run", "--listen", "127.0.0.1:0")
    assert told.returncode == 4
    assert said in told.stderr
    assert len(told.stderr.splitlines()) <= 2
    assert not list(short_folder.glob("dispersy/*/control"))


def test_a_person_at_a_terminal_is_asked(make_node: MakeNode, short_folder: Path) -> None:
    """What is typed is not shown; a wrong one may be typed again."""
    node = make_node("a")
    encrypted(node, short_folder)
    master, terminal = pty.openpty()
    process = subprocess.Popen(
        [
            sys.executable,
            "-P",
            "-m",
            "dispersy.cli",
            "run",
            "--home",
            str(node.home),
            "--listen",
            "127.0.0.1:0",
        ],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=node.environment,
        start_new_session=True,
    )
    os.close(terminal)
    shown = b""
    try:
        # The space comes when what is typed is no longer shown; what was typed before is thrown away.
        for expected, typed in ((b"/keys: ", "wrong"), (b"once more", ""), (b"/keys: ", PASSPHRASE)):
            while expected not in shown:
                shown += os.read(master, 4096)
            shown = shown.partition(expected)[2]
            if typed:
                os.write(master, typed.encode() + b"\n")
        while b"ready, listening on" not in shown:
            shown += os.read(master, 4096)
        assert PASSPHRASE.encode() not in shown
    finally:
        process.terminate()
        process.wait(LIMIT_S)
        os.close(master)


def test_a_broken_key_is_named_and_the_others_go_on(make_node: MakeNode) -> None:
    """One community loses its voice, the one beside it does not notice."""
    node = make_node("a")
    with node.start() as client:
        client.create("broken")
        client.create("whole")
    node.stop()
    [path] = (node.home / "keys").glob("broken-*-member.pem")
    path.write_bytes(b"rubbish")
    with node.start() as client:
        assert any(f"{path}: not a PEM" in line for line in node.lines)
        client.publish("whole", [b"hello"])
        told = node.command("publish", "broken", "hello")
        assert told.returncode != 0
        assert str(path) in told.stderr
