"""Goal: ruff, mypy --strict and stubtest have nothing to say, and would have if there were something.

mypy reads a package from one folder, and skips in silence what an editable install maps into it; therefore it
gets a tree in which the three source folders are one package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.sources import KERNELS, ROOT

SETTINGS = str(ROOT / "pyproject.toml")
# What Cython puts into every module for itself.
CYTHON_OWN = r"dispersy\.ext\.\w+\.(__test__|__reduce_cython__|__setstate_cython__)"

TYPED = """
import msgspec
from dispersy import Klient
from dispersy import AsyncClient, BlockingCommunity, Client, Community, kind

class Text(msgspec.Struct):
    body: str
class Photo(msgspec.Struct):
    image: bytes
class Chat(Community):
    text = kind(64, Text)
    photo = kind(65, Photo)
class Notes(BlockingCommunity):
    note = kind(64, str)

async def act(client: AsyncClient, blocking: Client) -> None:
    chat = await Chat.open(client, "chat")
    reveal_type(chat)
    async for message in chat.text.follow():
        reveal_type(message.payload)
    async for both in chat.follow(Chat.text, Chat.photo):
        reveal_type(both.payload)
    for note in Notes.open(blocking, "notes").note.follow(idle_s=1.0):
        reveal_type(note.payload)
    await chat.text.publish(Photo(b""))
    chat.text.follow(sinse=1)
"""


def run(*command: str, cwd: Path, search: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a tool of this interpreter in cwd, importing nothing from there; mypy looks into search first."""
    return subprocess.run(
        [sys.executable, "-P", "-m", *command],
        cwd=cwd,
        env=os.environ | {"MYPYPATH": str(search or "")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def run_mypy(tree: Path) -> subprocess.CompletedProcess[str]:
    """Check the whole package in tree."""
    return run("mypy", "--strict", "--config-file", SETTINGS, "--cache-dir=cache", "-p", "dispersy", cwd=tree)


def demand_silence(checked: subprocess.CompletedProcess[str]) -> None:
    """Fail with what the tool found."""
    if checked.returncode:
        pytest.fail(checked.stdout + checked.stderr, pytrace=False)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the package dispersy whole."""
    tree = tmp_path_factory.mktemp("typing")
    built = shutil.ignore_patterns("__pycache__", "*.so")
    for source, target in (("dispersy", "."), ("ext", "ext"), ("workers", "workers")):
        shutil.copytree(ROOT / source, tree / "dispersy" / target, ignore=built, dirs_exist_ok=True)
    return tree


def test_ruff_has_nothing_to_say() -> None:
    """Over everything, tests and benchmarks included."""
    demand_silence(run("ruff", "check", "--output-format=concise", ".", cwd=ROOT))


def test_locked_packages_come_from_whatever_registry_there_is() -> None:
    """npm writes addresses into its lock file unless `--omit-lockfile-registry-resolved` is given."""
    lock = (ROOT / "examples" / "node" / "package-lock.json").read_text()
    assert '"integrity"' in lock
    assert "://" not in lock


def test_mypy_has_nothing_to_say_and_reads_all_three_folders(tree: Path) -> None:
    """After the clean run an error planted in each folder is found."""
    demand_silence(run_mypy(tree))
    planted = [tree / "dispersy" / folder / "planted.py" for folder in ("protocol", "workers", "ext")]
    for path in planted:
        path.write_text("number: int = 'text'\n")
    try:
        found = run_mypy(tree).stdout
    finally:
        for path in planted:
            path.unlink()
    assert [path for path in planted if f"{path.relative_to(tree)}:1: error" not in found] == []


def test_stubs_say_what_the_kernels_are(tree: Path, tmp_path: Path) -> None:
    """Every name and parameter of a .pyi is that of the kernel as built."""
    allowed = tmp_path / "allowed"
    allowed.write_text(CYTHON_OWN)
    modules = [f"dispersy.ext.{name}" for name in KERNELS]
    options = ("--allowlist", str(allowed), "--ignore-unused-allowlist", "--mypy-config-file", SETTINGS)
    demand_silence(run("mypy.stubtest", *options, *modules, cwd=tmp_path, search=tree))


def test_a_type_checker_knows_the_types_of_payloads(tree: Path, tmp_path: Path) -> None:
    """The package is typed for those who use it: what a stream gives is inferred, and mistakes are found."""
    (tmp_path / "program.py").write_text(TYPED)
    checked = run("mypy", "--strict", "--config-file", SETTINGS, "program.py", cwd=tmp_path, search=tree)
    lines = checked.stdout.splitlines()
    revealed = [line.split('"')[1] for line in lines if "note: Revealed" in line]
    wanted = ["program.Chat", "program.Text", "program.Text | program.Photo", "str"]
    assert revealed == wanted, checked.stdout
    errors = [line for line in lines if ": error:" in line]
    assert len(errors) == 3, checked.stdout
    for error, part in zip(errors, ("Klient", "incompatible type", "sinse"), strict=True):
        assert part in error
