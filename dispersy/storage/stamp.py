"""Whether a home is the one that ran here last: a copy shows at the start, and so does what was restored.

A node on an older state of its home would sign other messages under sequences that it has used. Three marks
have to fit each other:

    stamp          a file in the home: the last run, the machine, which file the store was
    the store      in its meta: the last run, and which file the stamp was
    reached        a file in the home: the store's last cursor, written after every commit

A file is told by its inode and by the time of its last change, which cp, tar and rsync cannot set: so a copy
of the stamp is another file, wherever it lies. Both marks change with every run, so a store restored under a
newer stamp shows, and the other way round; within one run `reached` and the store's inode tell. Nothing has
to be written when the node stops: a node that was killed fits as one that was stopped does.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import Protocol

import msgspec

from dispersy.storage.environment import DATA_NAME, errors_named

STAMP_NAME = "stamp"
REACHED_NAME = "reached"
MACHINE_ID = Path("/etc/machine-id")
RUN_SIZE = 16
REACHED = Struct("<Q")


class FileMark(msgspec.Struct, frozen=True):
    """What tells a file from its copies.

    filesystem   as statvfs numbers it; stays the same when a machine starts again, at least where it matters
    changed_ns   of its content, its mode, its owner or its links
    """

    inode: int
    filesystem: int
    changed_ns: int
    mode: int
    owner: tuple[int, int]
    links: int

    @classmethod
    def of(cls, path: Path) -> FileMark:
        """The mark of a file that is there."""
        found = path.stat()
        return cls(
            inode=found.st_ino,
            filesystem=os.statvfs(path).f_fsid,
            changed_ns=found.st_ctime_ns,
            mode=found.st_mode,
            owner=(found.st_uid, found.st_gid),
            links=found.st_nlink,
        )

    def is_same(self, found: FileMark) -> bool:
        """Whether it is that file, written to or not."""
        return self.inode == found.inode and self.filesystem == found.filesystem

    def is_untouched(self, found: FileMark) -> bool:
        """Whether it is that file, with what was in it: chmod, chown and links are no harm."""
        if self.inode != found.inode:
            return False
        explained = (self.mode, self.owner, self.links) != (found.mode, found.owner, found.links)
        return self.changed_ns == found.changed_ns or (self.filesystem == found.filesystem and explained)


class _Stamp(msgspec.Struct, frozen=True):
    """What the file says."""

    machine: str
    run: bytes
    store: FileMark


class _Mark(msgspec.Struct, frozen=True):
    """What the store says. Without `stamp` a run was about to begin: its stamp is there or `before` holds."""

    run: bytes
    stamp: FileMark | None = None
    before: _Mark | None = None


class MarkedStore(Protocol):
    """What a stamp asks of the store."""

    def mark(self) -> bytes: ...
    def put_mark(self, mark: bytes) -> None: ...
    def last_cursor(self) -> int: ...


class Stamp:
    """One home's, in its writer, while the store is open.

    problem    why the home is not the one that ran here last, "" when it is: said once, at the start
    raises     StorageError naming the path
    """

    def __init__(self, home: Path, store: MarkedStore, *, machine_id: Path = MACHINE_ID) -> None:
        self._home = home
        self._path = home / STAMP_NAME
        self._store = store
        self._machine = _read(machine_id).decode("ascii", "replace").strip()
        self._reached: int | None = None
        self._fitting: _Mark | None = None
        self.problem = self._compare()

    def close(self) -> None:
        if self._reached is not None:
            os.close(self._reached)
            self._reached = None

    def _compare(self) -> str:
        with errors_named(self._path):
            mark = self._store.mark()
            written = _read(self._path)
            if not mark and not written:
                return ""  # new, or from before there were stamps
            try:
                stamp = msgspec.json.decode(written, type=_Stamp)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                return f"{self._path} is gone or unreadable"
            if stamp.machine != self._machine:
                return "it was last used on another machine"
            if not stamp.store.is_same(FileMark.of(self._store_file)):
                return "its store is another file than before"
            reached = _read(self._home / REACHED_NAME)
            if len(reached) == REACHED.size and REACHED.unpack(reached)[0] > self._store.last_cursor():
                return "its store is older than what it has published"
            if mark:
                known = msgspec.msgpack.decode(mark, type=_Mark)
                self._fitting = _fitting(known, stamp, FileMark.of(self._path))
            return (
                "" if self._fitting is not None else "its stamp is a copy, or older or newer than its store"
            )

    @property
    def _store_file(self) -> Path:
        return self._home / "store" / DATA_NAME

    def renew(self) -> None:
        """A run begins: from now on this is the home that ran here last.

        At every moment in between what is on disk fits, so that a node may be killed then, too.
        """
        run = os.urandom(RUN_SIZE)
        with errors_named(self._path):
            self._put(_Mark(run, None, self._fitting))
            stamp = _Stamp(self._machine, run, FileMark.of(self._store_file))
            _replace(self._path, msgspec.json.encode(stamp))
            self._fitting = _Mark(run, FileMark.of(self._path))
            self._put(self._fitting)
            if self._reached is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
                self._reached = os.open(self._home / REACHED_NAME, flags, 0o600)
        self.reach(self._store.last_cursor())

    def reach(self, cursor: int) -> None:
        """The store's last cursor, after a commit that is durable: never ahead of what is on disk."""
        if self._reached is not None:
            # It is behind when there is no room for it, which tells less and does no harm.
            with suppress(OSError):
                os.pwrite(self._reached, REACHED.pack(cursor), 0)

    def _put(self, mark: _Mark) -> None:
        self._store.put_mark(msgspec.msgpack.encode(mark))


def _fitting(mark: _Mark, stamp: _Stamp, found: FileMark) -> _Mark | None:
    """The store's mark that this stamp belongs to."""
    if mark.stamp is not None:
        return mark if mark.run == stamp.run and mark.stamp.is_untouched(found) else None
    # Ended while a run began: with the new stamp written already, or not yet.
    if mark.run == stamp.run:
        return _Mark(mark.run, found)
    return None if mark.before is None else _fitting(mark.before, stamp, found)


def _read(path: Path) -> bytes:
    """A small file; empty when it is not there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _replace(path: Path, data: bytes) -> None:
    """Another content, whole or not at all, and durable."""
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(fresh, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
