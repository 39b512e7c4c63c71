"""The node's keys: one PEM file (PKCS #8, Ed25519) a key, readable by its owner alone.

Only the roles that sign import this module. What a key's secret is never shows in a repr, a log or an error.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from dispersy.errors import StorageError, UsageError

SUFFIX = ".pem"
ENCRYPTED = b"BEGIN ENCRYPTED"
NAME_BYTES_MAX = 200
"""With its suffix and that of a file being written, a name stays below the 255 bytes of a file name."""


@dataclass(frozen=True, slots=True)
class Key:
    """A member's or master's key: name in the keyring, 32-byte public key, 32-byte seed."""

    name: str
    public: bytes
    seed: bytes = field(repr=False)

    @property
    def secret(self) -> bytes:
        """Seed ‖ public key, 64 bytes: what verify.sign_many() takes."""
        return self.seed + self.public


class Keyring:
    """The keys in `folder` (made with mode 0700 when it is not there).

    passphrase    encrypts the keys that are made, and opens those that are encrypted
    raises        UsageError for what the owner can put right, StorageError for what cannot be read
                  (both name the file)
    """

    def __init__(self, folder: str | Path, *, passphrase: bytes | None = None) -> None:
        self._folder = Path(folder)
        self._passphrase = passphrase
        self._keys: dict[str, Key] = {}
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_loose(self._folder, "700")

    def create(self, name: str) -> Key:
        """Make a key, durable before this returns; UsageError if the name is taken or is no file name."""
        path = self._path(name)
        key = _key(name, Ed25519PrivateKey.generate())
        _write_durably(path, encode_pem(key, self._passphrase), replace=False)
        self._keys[name] = key
        return key

    def add(self, key: Key) -> None:
        """Keep a key that was made elsewhere under its name, durable before this returns.

        raises  UsageError `key-exists`: the name is taken, or the key is here under another one
        """
        path = self._path(key.name)
        for held in self.readable()[0]:
            if held.public == key.public and held.name != key.name:
                raise UsageError(f"{path.parent}: this key is here as {held.name}", code="key-exists")
        _write_durably(path, encode_pem(key, self._passphrase), replace=False)
        self._keys[key.name] = key

    def encrypt(self, keys: Iterable[Key], passphrase: bytes | None) -> None:
        """Write these keys again under another passphrase; None: open to whoever reads the files.

        Each file is whole at every moment; an end in between leaves some under the one, some under the other.
        """
        for key in keys:
            _write_durably(self._path(key.name), encode_pem(key, passphrase), replace=True)

    def readable(self) -> tuple[list[Key], dict[str, UsageError | StorageError]]:
        """Every key that can be read, and name -> why for the others; files are read once."""
        keys: list[Key] = []
        unreadable: dict[str, UsageError | StorageError] = {}
        for name in self.names():
            try:
                keys.append(self.by_name(name))
            except (StorageError, UsageError) as error:
                unreadable[name] = error
        return keys, unreadable

    def by_name(self, name: str) -> Key:
        """The key of this name; UsageError if there is none."""
        key = self._keys.get(name)
        if key is None:
            key = self._keys[name] = self._load(name)
        return key

    def by_public(self, public: bytes) -> Key:
        """The key with this 32-byte public key, also if another process made it since.

        raises  UsageError `key-unknown` if it is none of those that can be read; names those that cannot
        """
        for key in self._keys.values():
            if key.public == public:
                return key
        keys, unreadable = self.readable()
        for key in keys:
            if key.public == public:
                return key
        # A key that cannot be read may be that of another community, and must not stop this one.
        raise UsageError(
            "; ".join([f"{self._folder}: no key for {public.hex()}", *map(str, unreadable.values())]),
            code="key-unknown",
            hint="put its file back into the folder",
        )

    def is_encrypted(self, name: str) -> bool:
        """Whether this file says that it needs a passphrase; StorageError when it cannot be read."""
        path = self._path(name)
        try:
            return ENCRYPTED in path.read_bytes()
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error

    def names(self) -> list[str]:
        """Of all files that look like keys, sorted."""
        return sorted(path.stem for path in self._folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))

    def _path(self, name: str) -> Path:
        is_plain = name.isprintable() and "/" not in name and not name.startswith(".")
        if not name or not is_plain or len(name.encode()) > NAME_BYTES_MAX:
            raise UsageError(
                f"{name!r} is no key name",
                code="key-name",
                hint=f"at most {NAME_BYTES_MAX} bytes, printable, without '/', not starting with '.'",
            )
        return self._folder / (name + SUFFIX)

    def _load(self, name: str) -> Key:
        path = self._path(name)
        try:
            _refuse_loose(path, "600")
            pem = path.read_bytes()
        except FileNotFoundError as error:
            raise UsageError(f"{path}: no such key", code="key-unknown") from error
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error
        return decode_pem(pem, name=name, where=path, passphrase=self._passphrase)


def encode_pem(key: Key, passphrase: bytes | None) -> bytes:
    """The key as PKCS #8 in PEM, encrypted where there is a passphrase."""
    encryption = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    private = Ed25519PrivateKey.from_private_bytes(key.seed)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def decode_pem(pem: bytes, *, name: str, where: Path, passphrase: bytes | None) -> Key:
    """The key in a PEM file's bytes; where names the file in errors.

    raises  UsageError `passphrase` (missing or wrong), `key-foreign`; StorageError when it is no key at all
    """
    is_encrypted = ENCRYPTED in pem
    if is_encrypted and passphrase is None:
        raise UsageError(f"{where}: this key is encrypted", code="passphrase", hint="give its passphrase")
    try:
        private = load_pem_private_key(pem, passphrase if is_encrypted else None)
    except ValueError as error:
        if is_encrypted:
            raise UsageError(f"{where}: wrong passphrase", code="passphrase", hint="try again") from error
        raise StorageError(f"{where}: not a PEM private key; restore the file from a backup") from error
    except (TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{where}: not an Ed25519 key", code="key-foreign", hint="move it away") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise UsageError(f"{where}: not an Ed25519 key", code="key-foreign", hint="move it away")
    return _key(name, private)


def _key(name: str, private: Ed25519PrivateKey) -> Key:
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    seed = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return Key(name, public, seed)


def _refuse_loose(path: Path, mode: str) -> None:
    if path.stat().st_mode & 0o077:
        raise UsageError(
            f"{path}: others may read this",
            code="permissions",
            hint=f"chmod {mode} {path}; if they did, make new keys",
        )


def write_new(path: Path, data: bytes) -> None:
    """Make a file of mode 0600, durable; UsageError `key-exists` when there is one of this name."""
    _write_durably(path, data, replace=False)


def _write_durably(path: Path, data: bytes, *, replace: bool) -> None:
    """Write a whole file or none: under another name first, each step on disk before the next."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # A node and a command may both make keys: neither may take the other's file for its own.
            fcntl.flock(folder, fcntl.LOCK_EX)
            if not replace and path.exists():
                raise UsageError(
                    f"{path}: there is a file of this name already", code="key-exists", hint="choose another"
                )
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(path)
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
