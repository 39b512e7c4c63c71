"""Bundles: a community's messages as a file, for carriage where no network is (docs/bundle.md).

A bundle is written and read as a stream, message by message, whatever its length. Nothing in it is trusted:
its messages prove themselves, and the count and digest at its end only show that it came whole. So what was
read before a break is as good as if it had come alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from enum import IntEnum
from hashlib import sha256
from pathlib import Path
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from dispersy.errors import StorageError, UsageError
from dispersy.protocol.wire.packing import UVARINT_SIZE_MAX, encode_uvarint

MAGIC = b"dispersy bundle\n"
"""Also told by people who look into the file, and broken where it was sent as text with other line ends."""
VERSION = 1
COMMUNITY_SIZE = 32
DIGEST_SIZE = 32
HEADER_SIZE = len(MAGIC) + 1 + COMMUNITY_SIZE
RECORD_SIZE_MAX = 1 << 17
"""Of one message: twice what the longest may have, so that a wrong length never asks for much memory."""
BUFFER_SIZE = 1 << 18
SPOOLED_SIZE_MAX = 1 << 20
"""Bytes of stripped messages that are kept in memory; more are put aside in a file beside the bundle."""
_WHOLE_HINT = "copy the file once more, or export it again"


class RecordType(IntEnum):
    """First byte of a record; numbered once."""

    END = 0
    MESSAGE = 1
    STRIPPED = 2


class BundledMessage(NamedTuple):
    """A message as it stands in a bundle; stripped: header, digest and signatures of an erased one."""

    data: bytes
    is_stripped: bool


class BundleWriter:
    """Writes a bundle beside its place, and puts it there when it is whole and on the disk.

    Stripped messages are put behind all others, in the order in which they were added: each is taken only
    where its author's undo is, which is younger, and behind all undos none of them has to wait for it.

    raises  UsageError `file-exists` unless it may be overwritten; StorageError that names the path
    """

    def __init__(self, path: str | os.PathLike[str], community_id: bytes, *, overwrite: bool = False) -> None:
        assert len(community_id) == COMMUNITY_SIZE
        self.path = Path(path)
        self.count = 0
        self.size = 0
        self._digest = sha256()
        if self.path.is_dir():
            raise UsageError(f"{self.path} is a folder", hint="name a file in it")
        if self.path.exists() and not self.path.is_file():
            # The bundle is given its name when it is whole: a device or a pipe would be gone.
            raise UsageError(f"{self.path} is no file", hint="name a file, which may be copied there")
        if self.path.exists() and not overwrite:
            raise UsageError(
                f"{self.path}: there is a file of this name already",
                code="file-exists",
                hint="choose another name, or overwrite it with --force",
            )
        self._part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            self._file: BinaryIO = open(self._part, "xb", BUFFER_SIZE)  # noqa: SIM115
        except OSError as error:
            raise StorageError(f"cannot write {self.path}: {error.strerror}") from error
        self._spooled = SpooledTemporaryFile(SPOOLED_SIZE_MAX, dir=str(self.path.parent))  # noqa: SIM115
        self._write(MAGIC + bytes((VERSION,)) + community_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, message: BundledMessage) -> None:
        """Write one more message."""
        assert 0 < len(message.data) <= RECORD_SIZE_MAX
        length = encode_uvarint(len(message.data))
        self.count += 1
        if not message.is_stripped:
            self._write(bytes((RecordType.MESSAGE,)) + length + message.data)
            return
        try:
            self._spooled.write(bytes((RecordType.STRIPPED,)) + length + message.data)
        except OSError as error:
            raise self._failed(error) from error

    def finish(self) -> None:
        """Write the end, wait for the disk, and give the file its name."""
        try:
            self._spooled.seek(0)
            while spooled := self._spooled.read(BUFFER_SIZE):
                self._write(spooled)
        except OSError as error:
            raise self._failed(error) from error
        self._write(bytes((RecordType.END,)) + encode_uvarint(self.count))
        try:
            self._file.write(self._digest.digest())
            self.size += DIGEST_SIZE
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._part, self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Leave nothing of a bundle that was not finished."""
        for opened in (self._file, self._spooled):
            with suppress(OSError):
                opened.close()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        self._digest.update(data)
        self.size += len(data)
        try:
            self._file.write(data)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> StorageError:
        return StorageError(f"cannot write {self.path}: {error.strerror}")


class BundleReader:
    """Reads a bundle; `position` is how many of its `size` bytes have been read.

    raises  StorageError that names a path which cannot be read; UsageError: bundle-foreign, bundle-version,
            bundle-truncated, bundle-malformed. What was given before one of the last two is as good as ever.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.count = 0
        self.position = 0
        self._digest = sha256()
        try:
            self._file: BinaryIO = open(self.path, "rb", BUFFER_SIZE)  # noqa: SIM115
            self.size = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise self._unreadable(error) from error
        try:
            self.community_id = self._read_header()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[BundledMessage]:
        """The messages, in order."""
        while True:
            began = self.position
            mark = self._read(1)[0]
            if mark == RecordType.END:
                self._read_end(began)
                return
            if mark not in (RecordType.MESSAGE, RecordType.STRIPPED):
                raise self._malformed(began, f"a record of type {mark}")
            size = self._read_uvarint(began)
            if not 0 < size <= RECORD_SIZE_MAX:
                raise self._malformed(began, f"a message of {size} bytes, and the most is {RECORD_SIZE_MAX}")
            yield BundledMessage(self._read(size), mark == RecordType.STRIPPED)
            self.count += 1

    def _read_header(self) -> bytes:
        began = self._read_some(len(MAGIC))
        if began != MAGIC:
            raise UsageError(
                f"{self.path} is no bundle of Dispersy",
                code="bundle-foreign",
                hint="`dispersy bundle export COMMUNITY FILE` makes one",
            )
        version = self._read(1)[0]
        if version != VERSION:
            raise UsageError(
                f"{self.path}: a bundle of version {version}; this software reads version {VERSION}",
                code="bundle-version",
                hint="use a newer version of Dispersy, or export it with this one",
            )
        return self._read(COMMUNITY_SIZE)

    def _read_end(self, began: int) -> None:
        count = self._read_uvarint(began)
        digest = self._digest.digest()
        if count != self.count:
            raise self._malformed(began, f"an end after {self.count} messages that says {count}")
        if self._read(DIGEST_SIZE) != digest:
            raise self._malformed(began, "a digest that does not fit what stands before it")
        if self._read_some(1):
            raise self._malformed(self.position - 1, "something behind the end")

    def _read_uvarint(self, began: int) -> int:
        value = 0
        for index in range(UVARINT_SIZE_MAX):
            byte = self._read(1)[0]
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if byte or not index:
                    return value
                break
        raise self._malformed(began, "a number that is not in its shortest form")

    def _read(self, size: int) -> bytes:
        data = self._read_some(size)
        if len(data) < size:
            raise UsageError(
                f"{self.path} breaks off after {self.size} bytes, {self.count} messages",
                code="bundle-truncated",
                hint=f"what came before the break is good; {_WHOLE_HINT}",
            )
        return data

    def _read_some(self, size: int) -> bytes:
        try:
            data = self._file.read(size)
        except OSError as error:
            raise self._unreadable(error) from error
        self._digest.update(data)
        self.position += len(data)
        return data

    def _malformed(self, at: int, what: str) -> UsageError:
        return UsageError(
            f"{self.path}: at byte {at}, after {self.count} messages, there is {what}",
            code="bundle-malformed",
            hint=f"what came before is good; {_WHOLE_HINT}",
        )

    def _unreadable(self, error: OSError) -> StorageError:
        return StorageError(f"cannot read {self.path}: {error.strerror}")
