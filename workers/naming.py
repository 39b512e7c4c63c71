"""Names on this node: of communities, which stand for their ids, and of the keys that are made for them."""

from __future__ import annotations

from collections.abc import Collection

from dispersy.errors import UsageError
from dispersy.storage.keyring import Key, Keyring

KEY_NAMES_MAX = 100


def free_name(name: str, taken: Collection[str]) -> str:
    """This name, or the first of name-2, name-3, ... that is not taken."""
    attempt, free = 1, name
    while free in taken:
        attempt += 1
        free = f"{name}-{attempt}"
    return free


def new_key(keyring: Keyring, name: str) -> Key:
    """A key under a name that is free: an order whose commit failed has left its key behind."""
    for attempt in range(1, KEY_NAMES_MAX + 1):
        try:
            return keyring.create(name if attempt == 1 else f"{name}-{attempt}")
        except UsageError as error:
            if error.code != "key-exists" or attempt == KEY_NAMES_MAX:
                raise
    raise AssertionError("the last attempt returns or raises")
