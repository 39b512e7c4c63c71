"""The node's keys: one PEM file (PKCS #8, Ed25519) a key, readable by its owner alone.

Only the roles that sign import this module. What a key's secret is never shows in a repr, a log or an error.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from dispersy.errors import StorageError, UsageError

SUFFIX = ".pem"
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
        if path.exists():
            raise UsageError(
                f"{path}: there is a key of this name already", code="key-exists", hint="choose another"
            )
        private = Ed25519PrivateKey.generate()
        encryption: KeySerializationEncryption = NoEncryption()
        if self._passphrase is not None:
            encryption = BestAvailableEncryption(self._passphrase)
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        _write_durably(path, pem)
        key = self._keys[name] = _key(name, private)
        return key

    def load_all(self) -> list[Key]:
        """Every key, by name; files are read once."""
        return [self.by_name(name) for name in self.names()]

    def readable(self) -> list[Key]:
        """Every key but those that cannot be read."""
        keys = []
        for name in self.names():
            with suppress(StorageError, UsageError):
                keys.append(self.by_name(name))
        return keys

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
        unreadable = []
        for name in self.names():
            try:
                key = self.by_name(name)
            except (StorageError, UsageError) as error:
                # It may be the key of another community, which must not stop this one.
                unreadable.append(str(error))
                continue
            if key.public == public:
                return key
        raise UsageError(
            "; ".join([f"{self._folder}: no key for {public.hex()}", *unreadable]),
            code="key-unknown",
            hint="put its file back into the folder",
        )

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
        is_encrypted = b"BEGIN ENCRYPTED" in pem
        if is_encrypted and self._passphrase is None:
            raise UsageError(f"{path}: this key is encrypted", code="passphrase", hint="give its passphrase")
        try:
            private = load_pem_private_key(pem, self._passphrase if is_encrypted else None)
        except ValueError as error:
            if is_encrypted:
                raise UsageError(f"{path}: wrong passphrase", code="passphrase", hint="try again") from error
            raise StorageError(f"{path}: not a PEM private key; restore the file from a backup") from error
        except UnsupportedAlgorithm as error:
            raise UsageError(
                f"{path}: not an Ed25519 key", code="key-foreign", hint="move it away"
            ) from error
        if not isinstance(private, Ed25519PrivateKey):
            raise UsageError(f"{path}: not an Ed25519 key", code="key-foreign", hint="move it away")
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


def _write_durably(path: Path, data: bytes) -> None:
    """Write a whole file or none: under another name first, each step on disk before the next."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
