"""Keys in memory, drawn from a seeded source: the same test makes the same keys."""

from __future__ import annotations

from pathlib import Path
from random import Random

from dispersy.errors import UsageError
from dispersy.ext.verify import public_key
from dispersy.storage.keyring import Key, Keyring


class MemoryKeyring(Keyring):
    """A Keyring without files."""

    def __init__(self, rng: Random) -> None:  # the folder is what there is none of
        self._rng = rng
        self._folder = Path("memory")
        self._keys: dict[str, Key] = {}

    def create(self, name: str) -> Key:
        if name in self._keys:
            raise UsageError(f"there is a key named {name} already", code="key-exists", hint="choose another")
        seed = self._rng.randbytes(32)
        key = self._keys[name] = Key(name, public_key(seed), seed)
        return key

    def by_name(self, name: str) -> Key:
        key = self._keys.get(name)
        if key is None:
            raise UsageError(f"no key is named {name}", code="key-unknown", hint="make it first")
        return key

    def names(self) -> list[str]:
        return sorted(self._keys)
