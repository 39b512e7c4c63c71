"""Opening a home's LMDB environment: one a process, its format stamp checked, its errors named by path."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import lmdb
import msgspec

from dispersy.constants import LMDB_MAP_SIZE, STORE_READERS_MAX
from dispersy.errors import StorageError
from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN
from dispersy.storage.layout import (
    FORMAT_NAME,
    FORMAT_VERSION,
    MARKS_OFFSET,
    MESSAGE_OFFSET,
    META_FORMAT,
    OLDEST_VERSION,
    UNLIVE,
    entry_order_key,
    retired_key,
)
from dispersy.storage.store import EntryType

MAP_SIZE = LMDB_MAP_SIZE if sys.maxsize > 1 << 32 else 1 << 30
"""Address space reserved, not disk: the file grows as it is written. A 32-bit process has little of it."""
LOCK_NAME = "writer.lock"
FREE_MIN = 4 << 20
"""Bytes: a disk with less is taken to be full when a write fails; no commit writes as much at once."""
DATA_NAME = "data.mdb"
DAMAGED = "restore a backup of the home, or move the store away and join again: neighbours have the messages"
NOTHING_HERE = "no store here; start the node once, or name its home"


CONTROL_VERSION = 2
"""From which on stores have a database of control messages."""
RETIRED_VERSION = 3
"""From which on they have one of what is retired."""


class Databases(NamedTuple):
    """The named databases, see docs/store.md."""

    # The handles' class is private to lmdb.
    log: Any
    order: Any
    runs: Any
    heads: Any
    requests: Any
    meta: Any
    control: Any
    retired: Any


class Environment:
    """An open LMDB environment and how many stores of this process use it.

    LMDB forbids opening a file twice in one process, and using it across fork.
    """

    def __init__(self, path: Path, lmdb_environment: lmdb.Environment, databases: Databases) -> None:
        self.path = path
        self.lmdb = lmdb_environment
        self.databases = databases
        self.users = 0
        self.pid = os.getpid()

    def begin(self, *, write: bool = False) -> lmdb.Transaction[bytes]:
        """A transaction; StorageError when LMDB gives none."""
        assert self.pid == os.getpid(), "a store was carried across fork: open it after spawn"
        with errors_named(self.path):
            return self.lmdb.begin(write=write)


_open: dict[str, Environment] = {}


def open_environment(path: Path, *, create: bool, map_size: int = MAP_SIZE) -> Environment:
    """The environment in the folder `path`, made if `create` and nothing is there.

    raises    StorageError naming the path: nothing there, no LMDB file, foreign, newer or older, no disk
    """
    name = os.path.realpath(path)
    environment = _open.get(name)
    if environment is None:
        with errors_named(path):
            if create:
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            elif not (path / DATA_NAME).exists():
                raise StorageError(f"{path}: {NOTHING_HERE}")
            lmdb_environment = lmdb.open(
                name,
                map_size=map_size,
                max_dbs=len(Databases._fields),
                max_readers=STORE_READERS_MAX,
                max_spare_txns=4,
                create=create,
                mode=0o600,
                meminit=False,
            )
            try:
                _check_whole(path, lmdb_environment)
                databases = _open_databases(path, lmdb_environment, create=create)
            except BaseException:
                lmdb_environment.close()
                raise
        environment = _open[name] = Environment(path, lmdb_environment, databases)
    environment.users += 1
    return environment


def close_environment(environment: Environment) -> None:
    """Give up one use; the last one closes the file."""
    environment.users -= 1
    if environment.users == 0:
        del _open[os.path.realpath(environment.path)]
        environment.lmdb.close()


def _open_databases(path: Path, lmdb_environment: lmdb.Environment, *, create: bool) -> Databases:
    with lmdb_environment.begin() as txn:
        is_empty = txn.stat()["entries"] == 0
    if is_empty and not create:
        raise StorageError(f"{path}: {NOTHING_HERE}")
    if is_empty:
        # Databases and stamp in one transaction: a crash leaves an empty file or a whole store.
        with lmdb_environment.begin(write=True) as txn:
            databases = Databases(
                *(lmdb_environment.open_db(name.encode(), txn=txn) for name in Databases._fields)
            )
            stamp = {"name": FORMAT_NAME, "version": FORMAT_VERSION, "created": int(time.time())}
            txn.put(META_FORMAT, msgspec.msgpack.encode(stamp), db=databases.meta)
        return databases
    try:
        meta = lmdb_environment.open_db(b"meta", create=False)
        with lmdb_environment.begin() as txn:
            version = _check_stamp(path, txn.get(META_FORMAT, db=meta))
        if version < FORMAT_VERSION and not create:
            raise StorageError(
                f"{path}: written by an older Dispersy; start the node once, which brings it up to date"
            )
        if version < FORMAT_VERSION:
            _upgrade(lmdb_environment, meta, version)
        return Databases(
            *(lmdb_environment.open_db(name.encode(), create=False) for name in Databases._fields)
        )
    except (lmdb.NotFoundError, lmdb.IncompatibleError) as error:
        raise StorageError(f"{path}: an LMDB file, but not a store of Dispersy ({error})") from error


def _upgrade(lmdb_environment: lmdb.Environment, meta: Any, version: int) -> None:
    """Make what an older store has not out of its log, once; a crash leaves the store as it was."""
    log = lmdb_environment.open_db(b"log", create=False)
    with lmdb_environment.begin(write=True) as txn:
        control = lmdb_environment.open_db(b"control", txn=txn)
        retired = lmdb_environment.open_db(b"retired", txn=txn)
        for key, entry in txn.cursor(log) if version < RETIRED_VERSION else ():
            if entry[0] != EntryType.MESSAGE:
                continue
            if entry[MESSAGE_OFFSET] >= COMMUNITY_KIND_MIN:
                if entry[MARKS_OFFSET] & UNLIVE:
                    txn.put(retired_key(entry), key, db=retired)
            elif version < CONTROL_VERSION:
                txn.put(entry_order_key(entry), key, db=control)
        stamp = msgspec.msgpack.decode(txn.get(META_FORMAT, b"", db=meta))
        txn.put(META_FORMAT, msgspec.msgpack.encode(stamp | {"version": FORMAT_VERSION}), db=meta)


def _check_stamp(path: Path, data: bytes | None) -> int:
    """The version of the store, one that is read here."""
    try:
        stamp = msgspec.msgpack.decode(data or b"")
        name, version = stamp["name"], stamp["version"]
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise StorageError(f"{path}: an LMDB file, but not a store of Dispersy (no format stamp)") from error
    if name != FORMAT_NAME:
        raise StorageError(f"{path}: an LMDB file of {name!r}, not a store of Dispersy")
    if version > FORMAT_VERSION:
        raise StorageError(
            f"{path}: written by a newer Dispersy (format {version}; this one reads {FORMAT_VERSION}); "
            "upgrade this one"
        )
    if version < OLDEST_VERSION:
        raise StorageError(
            f"{path}: written by an older Dispersy (format {version}; this one reads {FORMAT_VERSION}); "
            "start with a new home"
        )
    return int(version)


class WriterLock:
    """The right to be the one writer: an flock beside the store, which dies with its process."""

    def __init__(self, path: Path) -> None:
        with errors_named(path):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.read(self._fd, 20).decode("ascii", "replace") or "unknown"
                os.close(self._fd)
                raise StorageError(f"{path}: a second writer; process {holder} writes this store") from error
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        os.close(self._fd)


def _check_whole(path: Path, lmdb_environment: lmdb.Environment) -> None:
    """A file that ends before its last page: reading there would end the process by SIGBUS."""
    needed = (lmdb_environment.info()["last_pgno"] + 1) * lmdb_environment.stat()["psize"]
    found = (path / DATA_NAME).stat().st_size
    if found < needed:
        raise StorageError(f"{path / DATA_NAME}: cut off, {found} bytes of at least {needed}; {DAMAGED}")


class errors_named:  # noqa: N801 used as the function that it would be, were a generator not as dear as a read
    """Turn what LMDB, the system and broken records raise into a StorageError that names the path."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        path = self._path
        match error:
            case None:
                return
            case lmdb.MapFullError():
                raise StorageError(f"{path}: the store's map is full ({error})") from error
            case lmdb.CorruptedError() | lmdb.PageNotFoundError() | lmdb.BadTxnError():
                raise StorageError(f"{path}: the store is damaged ({error}); {DAMAGED}") from error
            case lmdb.InvalidError():
                raise StorageError(f"{path / DATA_NAME}: not an LMDB file; {DAMAGED}") from error
            case struct.error() | msgspec.MsgspecError():
                said = f"{path}: a record in the store is damaged ({error}); {DAMAGED}"
                raise StorageError(said) from error
            case lmdb.Error() | OSError():
                raise StorageError(f"{path}: {_reason(path, error)}") from error


def _reason(path: Path, error: Exception) -> str:
    """What the system said; LMDB calls it an input/output error when the disk took only part of a write."""
    if os.strerror(errno.EIO) in str(error) and path.exists():
        free = os.statvfs(path)
        if free.f_bavail * free.f_frsize < FREE_MIN:
            return f"{os.strerror(errno.ENOSPC)} ({error})"
    # LMDB names the folder itself where it cannot open it.
    return str(error).removeprefix(f"{os.path.realpath(path)}: ")
