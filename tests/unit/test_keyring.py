"""Keys survive on disk, are found by name and public key, never show, and each broken file is named."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dispersy.errors import StorageError, UsageError
from dispersy.ext.verify import public_key, sign_many
from dispersy.storage.keyring import Keyring


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)


def test_a_key_is_read_again_as_it_was_made(folder: Path) -> None:
    """Goal: another process finds the same key by name and by public key."""
    made = Keyring(folder).create("alice")
    assert Keyring(folder).by_name("alice") == made
    assert Keyring(folder).by_public(made.public) == made
    assert Keyring(folder).readable() == ([made], {})


def test_a_key_made_later_by_another_process_is_found(folder: Path) -> None:
    """Goal: a role that opened its keyring before the writer made a key need not be restarted."""
    ours, theirs = Keyring(folder), Keyring(folder)
    assert ours.readable() == ([], {})
    made = theirs.create("bob")
    assert ours.by_public(made.public) == made


def test_the_secret_signs_as_the_kernel_wants_it(folder: Path) -> None:
    """Goal: `secret` is seed and public key of one Ed25519 pair."""
    key = Keyring(folder).create("alice")
    assert public_key(key.seed) == key.public
    signature = sign_many(key.secret, [b"hello"])
    Ed25519PublicKey.from_public_bytes(key.public).verify(signature, b"hello")


def test_files_are_private(folder: Path) -> None:
    """Goal: nobody but the owner can read a key, and nothing is left beside it."""
    Keyring(folder).create("alice")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "alice.pem").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["alice.pem"]


def test_secrets_do_not_show(folder: Path) -> None:
    """Goal: a key in a log or an error does not give itself away."""
    key = Keyring(folder).create("alice")
    for text in (repr(key), str(key), f"{key}"):
        assert "alice" in text
        assert repr(key.seed) not in text
        assert key.seed.hex() not in text


def test_a_name_is_taken_once(folder: Path) -> None:
    """Goal: no key is ever written over."""
    made = Keyring(folder).create("alice")
    with pytest.raises(UsageError, match=r"alice\.pem: there is a file of this name"):
        Keyring(folder).create("alice")
    assert Keyring(folder).by_name("alice") == made


@pytest.mark.parametrize("name", ["", "../alice", "a/b", ".hidden", "a\nb", "x" * 201, "\N{CAT}" * 51])
def test_names_that_are_no_file_names_are_refused(folder: Path, name: str) -> None:
    """Goal: a name cannot leave the folder."""
    with pytest.raises(UsageError, match="is no key name"):
        Keyring(folder).create(name)


def test_names_of_people_are_welcome(folder: Path) -> None:
    """Goal: a community may be called as people call it."""
    made = Keyring(folder).create("Café \N{CAT} club-1-member")
    assert Keyring(folder).readable() == ([made], {})


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_loose_permissions_are_refused(folder: Path, mode: int) -> None:
    """Goal: the owner learns that others could read a key, and what to type."""
    Keyring(folder).create("alice")
    (folder / "alice.pem").chmod(mode)
    with pytest.raises(UsageError, match=r"alice\.pem: others may read") as caught:
        Keyring(folder).by_name("alice")
    assert caught.value.hint.startswith("chmod 600")


def test_a_loose_folder_is_refused(folder: Path) -> None:
    """Goal: the folder is as private as the files."""
    folder.mkdir(mode=0o700)
    folder.chmod(0o755)
    with pytest.raises(UsageError, match="others may read"):
        Keyring(folder)


@pytest.mark.parametrize(
    "data", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_corrupt_file_is_named(folder: Path, data: bytes) -> None:
    """Goal: the owner learns which file is broken."""
    keyring = Keyring(folder)
    write(folder / "alice.pem", data)
    with pytest.raises(StorageError, match=r"alice\.pem: not a PEM"):
        keyring.by_name("alice")


def test_a_foreign_key_is_named(folder: Path) -> None:
    """Goal: a key of another algorithm is not taken for ours."""
    keyring = Keyring(folder)
    pem = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write(folder / "alice.pem", pem)
    with pytest.raises(UsageError, match=r"alice\.pem: not an Ed25519"):
        keyring.by_name("alice")


def test_what_is_not_there_is_named(folder: Path) -> None:
    """Goal: a missing key is the caller's news, by name or by public key."""
    with pytest.raises(UsageError, match=r"alice\.pem: no such key"):
        Keyring(folder).by_name("alice")
    with pytest.raises(UsageError, match="no key for " + "07" * 32):
        Keyring(folder).by_public(bytes([7]) * 32)


def test_a_passphrase_guards_the_file(folder: Path) -> None:
    """Goal: without the passphrase, or with a wrong one, the key stays closed, and the error says so."""
    made = Keyring(folder, passphrase=b"correct").create("alice")
    assert Keyring(folder, passphrase=b"correct").by_name("alice") == made
    with pytest.raises(UsageError, match="wrong passphrase"):
        Keyring(folder, passphrase=b"wrong").by_name("alice")
    with pytest.raises(UsageError, match="is encrypted"):
        Keyring(folder).by_name("alice")


def test_a_broken_file_hides_only_its_own_key(folder: Path) -> None:
    """Goal: a key is found beside files that cannot be read; when it is not, the error names them."""
    made = Keyring(folder).create("c-ours")
    write(folder / "a-corrupt.pem", b"not a key")
    write(folder / "b-loose.pem", b"")
    (folder / "b-loose.pem").chmod(0o644)
    assert Keyring(folder).by_public(made.public) == made
    with pytest.raises(UsageError, match=r"no key for 07.*a-corrupt\.pem.*b-loose\.pem") as caught:
        Keyring(folder).by_public(bytes([7]) * 32)
    assert caught.value.code == "key-unknown"
