"""Goal: a passphrase comes from where it is configured, and is proven before anything starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dispersy.cli.keyring import unlock
from dispersy.errors import StorageError, UsageError
from dispersy.service.home.passphrase import (
    PASSPHRASE_SIZE_MAX,
    find_passphrase,
    hand_over,
    is_handed_over,
    open_hand_over,
    take_over,
)
from dispersy.storage.keyring import Keyring


def secret(path: Path, text: bytes) -> Path:
    path.write_bytes(text)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("text", [b"open sesame", b"open sesame\n", b"open sesame\r\n"])
def test_a_file_holds_one_line(tmp_path: Path, text: bytes) -> None:
    """Editors end it, and the end is no part of it."""
    file = secret(tmp_path / "file", text)
    assert find_passphrase(file, {}) == (b"open sesame", file)


def test_the_service_managers_credential_is_found(tmp_path: Path) -> None:
    """Where nothing else is configured."""
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert find_passphrase(None, environment) is None
    credential = secret(tmp_path / "passphrase", b"theirs")
    credential.chmod(0o440)
    assert find_passphrase(None, environment) == (b"theirs", credential)
    ours = secret(tmp_path / "ours", b"ours")
    assert find_passphrase(ours, environment) == (b"ours", ours)
    assert find_passphrase(None, {}) is None


def test_what_is_no_passphrase_is_refused_with_its_file(tmp_path: Path) -> None:
    """Missing, open to others, empty, too long."""
    with pytest.raises(StorageError, match="missing"):
        find_passphrase(tmp_path / "missing", {})
    for text in (b"", b"\n", b"x" * (PASSPHRASE_SIZE_MAX + 1)):
        with pytest.raises(UsageError, match="file: a passphrase has 1 to") as caught:
            find_passphrase(secret(tmp_path / "file", text), {})
        assert caught.value.code == "passphrase"
    (tmp_path / "file").chmod(0o640)
    with pytest.raises(UsageError, match="others may read"):
        find_passphrase(tmp_path / "file", {})


def test_a_descriptor_hands_it_over_to_each_process_that_has_it() -> None:
    """It is closed by who takes it, so that nothing that is started later inherits it."""
    descriptor = open_hand_over()
    assert not os.get_inheritable(descriptor)
    assert not is_handed_over(descriptor)
    hand_over(descriptor, b"open sesame")
    assert is_handed_over(descriptor)
    # A copy shares its place in the file, as it does in a copy of the process.
    assert take_over(os.dup(descriptor)) == b"open sesame"
    assert take_over(descriptor) == b"open sesame"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_passphrase_that_opens_nothing_is_wrong(tmp_path: Path) -> None:
    """The file it is from and the keys that it does not open are named."""
    folder = tmp_path / "keys"
    Keyring(folder, passphrase=b"right").create("alice")
    Keyring(folder).create("open")
    wrong, right = secret(tmp_path / "wrong", b"wrong"), secret(tmp_path / "right", b"right")
    with pytest.raises(UsageError, match=f"{wrong}: wrong passphrase for alice in {folder}") as caught:
        unlock(folder, wrong)
    assert caught.value.code == "passphrase"
    assert unlock(folder, right) == b"right"


def test_without_one_encrypted_keys_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody sits at a terminal who could be asked; open keys need nobody."""
    folder = tmp_path / "keys"
    Keyring(folder).create("open")
    (folder / "unread.pem").mkdir(mode=0o700)
    assert unlock(folder, None) is None
    assert "unread.pem: Is a directory" in capsys.readouterr().err
    Keyring(folder, passphrase=b"right").create("alice")
    with pytest.raises(UsageError, match="encrypted: alice") as caught:
        unlock(folder, None)
    assert (caught.value.code, "passphrase_file" in caught.value.hint) == ("passphrase", True)
    assert capsys.readouterr().err == ""


def test_a_key_that_cannot_be_read_is_named_and_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Corrupt, open to others, no file, under another passphrase: its community alone is not served."""
    folder = tmp_path / "keys"
    right = secret(tmp_path / "right", b"right")
    Keyring(folder, passphrase=b"right").create("alice")
    Keyring(folder, passphrase=b"other").create("bob")
    secret(folder / "carol.pem", b"rubbish")
    secret(folder / "dave.pem", b"rubbish").chmod(0o644)
    (folder / "erin.pem").mkdir(mode=0o700)
    assert unlock(folder, right) == b"right"
    told = capsys.readouterr().err
    for part in (
        "bob.pem: wrong passphrase",
        "carol.pem: not a PEM",
        "dave.pem: others may read",
        "erin.pem: Is a directory",
    ):
        assert part in told
    assert "alice" not in told
