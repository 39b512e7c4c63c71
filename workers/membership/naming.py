"""Names on this node: of communities, which stand for their ids, and of the keys that are made for them."""

from __future__ import annotations

import re
from collections.abc import Collection

from dispersy.errors import UsageError
from dispersy.storage.keyring import Key, Keyring

KEY_NAMES_MAX = 100
KEYS_LISTED_MAX = 16
HEX_KEY = re.compile("[0-9a-fA-F]{64}")


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


def chosen_key(keyring: Keyring, wanted: str) -> Key:
    """The key of this name, or whose public key has these 64 hex digits.

    raises  UsageError `key-unknown`, which names the keys that there are; what is wrong with the file
    """
    names = keyring.names()
    if wanted in names:
        return keyring.by_name(wanted)
    if HEX_KEY.fullmatch(wanted):
        return keyring.by_public(bytes.fromhex(wanted))
    there = ", ".join(names[:KEYS_LISTED_MAX]) or "none"
    more = f" and {len(names) - KEYS_LISTED_MAX} more" if len(names) > KEYS_LISTED_MAX else ""
    raise UsageError(
        f"no key is called {wanted!r}; there are: {there}{more}",
        code="key-unknown",
        hint="give the name of one of these, or its public key in hex",
    )
