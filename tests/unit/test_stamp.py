"""Goal: a home that was copied or restored, whole or in part, shows at the start; a killed one does not."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from dispersy.errors import StorageError
from dispersy.storage.environment import DATA_NAME
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.storage.stamp import REACHED_NAME, STAMP_NAME, Stamp
from dispersy.storage.store import Batch, CommunityRecord

COMMUNITY = CommunityRecord(number=1, community_id=bytes(32), name="chat", member_id=bytes(32))


class Home:
    """A home as the writer has it, on a machine that is made up."""

    def __init__(self, folder: Path, machine: str = "a machine") -> None:
        self.path = folder / "home"
        self._machine_id = folder / "machine-id"
        self._machine_id.write_text(machine + "\n")

    @contextmanager
    def open(self) -> Iterator[tuple[LmdbStore, Stamp]]:
        with (
            closing(LmdbStore(self.path / "store")) as store,
            closing(Stamp(self.path, store, machine_id=self._machine_id)) as stamp,
        ):
            yield store, stamp

    def run(self, *, renew: bool = True) -> str:
        """One run, ended without a word as kill -9 does; what was wrong at its start."""
        with self.open() as (_, stamp):
            if renew:
                stamp.renew()
            return stamp.problem


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """One that ran twice."""
    made = Home(tmp_path)
    assert made.run() == ""
    assert made.run() == ""
    return made


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", f"{source}/.", str(target)], check=True)


def _tar(source: Path, target: Path) -> None:
    """Extracting unlinks what is there before."""
    with subprocess.Popen(["tar", "-C", str(source), "-c", "."], stdout=subprocess.PIPE) as packing:
        subprocess.run(["tar", "-C", str(target), "-x"], stdin=packing.stdout, check=True)


def _synchronise(source: Path, target: Path) -> None:
    """As rsync -a does: what has the same size and time is left alone, the rest comes under its own inode."""
    for path in source.rglob("*"):
        there = target / path.relative_to(source)
        if path.is_dir():
            there.mkdir(exist_ok=True)
            continue
        ours = path.stat()
        if there.exists():
            theirs = there.stat()
            if (ours.st_size, ours.st_mtime_ns) == (theirs.st_size, theirs.st_mtime_ns):
                continue
        shutil.copy2(path, there.with_suffix(".arriving"))
        os.replace(there.with_suffix(".arriving"), there)


RESTORERS = pytest.mark.parametrize("restore", [_copy, _tar, _synchronise])
Restore = Callable[[Path, Path], None]


def test_a_home_that_ran_here_last_fits(home: Home) -> None:
    """However often it was started, and when its folder was renamed or its modes were changed."""
    assert home.run() == ""
    home.path = home.path.rename(home.path.with_name("moved"))
    assert home.run() == ""
    subprocess.run(["chmod", "-R", "go-rwx", str(home.path)], check=True)
    (home.path / STAMP_NAME).chmod(0o400)
    assert home.run() == ""


@RESTORERS
def test_a_copy_beside_it_shows(home: Home, tmp_path: Path, restore: Restore) -> None:
    """The original goes on fitting; the copy fits as soon as it has its own stamp."""
    folder = tmp_path / "elsewhere"
    (folder / "home").mkdir(parents=True)
    restore(home.path, folder / "home")
    copy = Home(folder)
    assert copy.run(renew=False)
    assert copy.run()
    assert copy.run() == ""
    assert home.run() == ""


@RESTORERS
@pytest.mark.parametrize("emptied", [False, True])
@pytest.mark.parametrize("runs_since", [0, 1, 2])
def test_restoring_in_place_shows(
    home: Home, tmp_path: Path, restore: Restore, emptied: bool, runs_since: int
) -> None:
    """Over what is there, or into the emptied folder, whether or not it ran again since the backup."""
    backup = tmp_path / "backup"
    backup.mkdir()
    subprocess.run(["cp", "-a", f"{home.path}/.", str(backup)], check=True)
    for _ in range(runs_since):
        assert home.run() == ""
    if emptied:
        shutil.rmtree(home.path)
        home.path.mkdir()
    restore(backup, home.path)
    # Where nothing has changed since the backup rsync does nothing.
    untouched = restore is _synchronise and not runs_since and not emptied
    assert (home.run() == "") == untouched
    assert home.run() == ""


@pytest.mark.parametrize("runs_since", [0, 1, 2])
@pytest.mark.parametrize("part", ["store", STAMP_NAME])
def test_restoring_only_a_part_shows(home: Home, tmp_path: Path, part: str, runs_since: int) -> None:
    """The store under a newer stamp, and a stamp over a newer store."""
    backup = tmp_path / "backup"
    with home.open() as (store, stamp):
        stamp.renew()
        subprocess.run(["cp", "-a", str(home.path / part), str(backup)], check=True)
        store.commit(Batch(communities=[COMMUNITY]))
        stamp.reach(store.last_cursor() + 7)  # as if messages had come
    if runs_since:
        # Then the runs tell alone.
        (home.path / REACHED_NAME).unlink()
    for _ in range(runs_since):
        assert home.run() == ""
    subprocess.run(["rm", "-r", str(home.path / part)], check=True)
    subprocess.run(["cp", "-a", str(backup), str(home.path / part)], check=True)
    assert home.run()
    assert home.run() == ""


def test_an_older_store_within_one_run_shows(home: Home) -> None:
    """Written over in place after a crash, under the very stamp it had: `reached` knows better."""
    data = home.path / "store" / DATA_NAME
    with home.open() as (store, stamp):
        stamp.renew()
        before = data.read_bytes()
        store.commit(Batch(communities=[COMMUNITY]))
        stamp.reach(store.last_cursor() + 7)
    data.write_bytes(before)
    assert "older" in home.run()


@pytest.mark.usefixtures("home")
def test_another_machine_shows(tmp_path: Path) -> None:
    """A disk that was cloned: the files are the same to the last bit."""
    other = Home(tmp_path, machine="another machine")
    assert "machine" in other.run()
    assert other.run() == ""


def test_a_missing_or_broken_stamp_shows(home: Home) -> None:
    (home.path / STAMP_NAME).unlink()
    assert "gone" in home.run()
    (home.path / STAMP_NAME).write_bytes(b"\xff rubbish")
    assert "unreadable" in home.run()
    assert home.run() == ""


@pytest.mark.parametrize("at", range(1, 4))
def test_being_killed_while_a_run_begins_fits(home: Home, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Between any two of the three writes, twice in a row: neither looks like a restored home."""
    for _ in range(2):
        with home.open() as (store, stamp), monkeypatch.context() as patched:
            assert stamp.problem == ""
            death = _Death(after=at - 1)
            patched.setattr(store, "put_mark", death.of(store.put_mark))
            patched.setattr("dispersy.storage.stamp._replace", death.of(_replace_file))
            with pytest.raises(StorageError, match="killed here"):
                stamp.renew()
    assert home.run() == ""


class _Death:
    """Comes after so many of the steps that it is given."""

    def __init__(self, *, after: int) -> None:
        self._left = after

    def of(self, step: Callable[..., None]) -> Callable[..., None]:
        def checked(*given: object) -> None:
            if not self._left:
                raise StorageError("killed here")
            self._left -= 1
            step(*given)

        return checked


def _replace_file(path: Path, data: bytes) -> None:
    path.with_suffix(".new").write_bytes(data)
    os.replace(path.with_suffix(".new"), path)
