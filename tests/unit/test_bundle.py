"""Goal: a bundle is read as it was written; whatever happened to the file on its way is told and named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dispersy.bundle import HEADER_SIZE, MAGIC, RECORD_SIZE_MAX, BundledMessage, BundleReader, BundleWriter
from dispersy.errors import STORAGE, StorageError, UsageError, exit_status

COMMUNITY = bytes(range(32))
MESSAGES = [
    BundledMessage(b"first", is_stripped=False),
    BundledMessage(b"x" * RECORD_SIZE_MAX, is_stripped=False),
    BundledMessage(b"erased", is_stripped=True),
]


def written(path: Path) -> bytes:
    with BundleWriter(path, COMMUNITY) as bundle:
        for message in MESSAGES:
            bundle.add(message)
        bundle.finish()
    return path.read_bytes()


def read(path: Path) -> list[BundledMessage]:
    with BundleReader(path) as bundle:
        assert bundle.community_id == COMMUNITY
        return list(bundle)


def refusal(path: Path) -> tuple[str, int]:
    """The code of the error, and how many messages came before it."""
    came: list[BundledMessage] = []
    with pytest.raises(UsageError) as raised:
        _read_into(came, path)
    assert str(path) in str(raised.value)
    assert raised.value.hint
    return raised.value.code, len(came)


def _read_into(came: list[BundledMessage], path: Path) -> None:
    with BundleReader(path) as bundle:
        for message in bundle:
            came.append(message)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written(tmp_path / "chat.bundle")
    assert read(tmp_path / "chat.bundle") == MESSAGES
    assert [each.name for each in tmp_path.iterdir()] == ["chat.bundle"]


def test_a_bundle_that_is_cut_off_anywhere_is_noticed(tmp_path: Path) -> None:
    """At every byte of its header and its end, and within a message."""
    path = tmp_path / "cut"
    whole = written(path)
    places = [*range(HEADER_SIZE + 8), HEADER_SIZE + 1_000, *range(len(whole) - 48, len(whole))]
    for size in places:
        path.write_bytes(whole[:size])
        code, count = refusal(path)
        assert code == ("bundle-foreign" if size < len(MAGIC) else "bundle-truncated"), size
        assert count == (0 if size < HEADER_SIZE + 7 else 1 if size < len(whole) - 48 else count)


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "changed"
    whole = written(path)
    for place, code in (
        (0, "bundle-foreign"),
        (len(MAGIC), "bundle-version"),
        (len(MAGIC) + 5, "bundle-malformed"),
        (HEADER_SIZE, "bundle-malformed"),
        (HEADER_SIZE + 3, "bundle-malformed"),
        (len(whole) - 1, "bundle-malformed"),
        (len(whole) - 33, "bundle-malformed"),
    ):
        changed = bytearray(whole)
        changed[place] ^= 0x40
        path.write_bytes(changed)
        assert refusal(path)[0] == code, place
    path.write_bytes(whole + b"\0")
    assert refusal(path) == ("bundle-malformed", 3)


def test_lengths_are_judged_before_they_are_read(tmp_path: Path) -> None:
    """A length that is no length of a message asks for no memory."""
    path = tmp_path / "lengths"
    head = written(path)[:HEADER_SIZE]
    for length in (b"\0", b"\x81\x80\x08", b"\xff" * 9, b"\x80\0", b"\xff\xff\xff\xff\x0f"):
        path.write_bytes(head + b"\1" + length + bytes(64))
        assert refusal(path) == ("bundle-malformed", 0), length


def test_nothing_is_overwritten_unasked_and_nothing_unfinished_is_left(tmp_path: Path) -> None:
    path = tmp_path / "chat.bundle"
    path.write_bytes(b"mine")
    with pytest.raises(UsageError) as raised:
        BundleWriter(path, COMMUNITY)
    assert raised.value.code == "file-exists"
    with BundleWriter(path, COMMUNITY, overwrite=True) as bundle:
        bundle.add(MESSAGES[0])
        assert path.read_bytes() == b"mine"
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"mine"]
    with BundleWriter(path, COMMUNITY, overwrite=True) as bundle:
        bundle.finish()
    assert read(path) == []


def test_places_that_cannot_be_written_or_read_are_named(tmp_path: Path) -> None:
    absent = tmp_path / "absent" / "chat.bundle"
    for use in (BundleReader, lambda path: BundleWriter(path, COMMUNITY)):
        with pytest.raises(StorageError, match=str(absent)) as raised:
            use(absent)
        assert exit_status(raised.value) == STORAGE
    with pytest.raises(UsageError, match="folder"):
        BundleWriter(tmp_path, COMMUNITY)
    with pytest.raises(StorageError, match="directory"):
        BundleReader(tmp_path)


def test_what_is_no_file_stays(tmp_path: Path) -> None:
    """Goal: nobody's device or pipe gives way to a bundle, however it is asked for."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UsageError, match="is no file"):
        BundleWriter(pipe, COMMUNITY, overwrite=True)
    assert pipe.is_fifo()
