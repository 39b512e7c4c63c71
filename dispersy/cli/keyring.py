"""The keyring as commands open it: with its passphrase from a file, a credential, or a terminal."""

from __future__ import annotations

import os
import sys
from getpass import getpass
from pathlib import Path

from dispersy.errors import StorageError, UsageError
from dispersy.service.home.passphrase import CODE, checked_passphrase, find_passphrase
from dispersy.service.logs import say
from dispersy.storage.keyring import Keyring

ATTEMPTS_MAX = 3
HINT = "set passphrase_file in config.toml or DISPERSY_PASSPHRASE_FILE, or run it at a terminal, which asks"


def unlock(folder: Path, file: Path | None) -> bytes | None:
    """The passphrase of the keys in `folder`, proven on those that are encrypted; None: there is none.

    Says what keys cannot be read all the same: their communities alone are not served.
    file      what the configuration names
    raises    UsageError `passphrase` where it opens none of the encrypted keys, or none is known and nobody
              can be asked
    """
    found = find_passphrase(file, os.environ)
    if found is not None:
        passphrase, where = found
        _warn(_opened(folder, passphrase, str(where)))
        return passphrase
    keyring = Keyring(folder)
    encrypted = [name for name in keyring.readable()[1] if is_encrypted(keyring, name)]
    if not encrypted:
        _warn(keyring)
        return None
    if not sys.stdin.isatty():
        raise UsageError(f"{folder}: encrypted: {', '.join(encrypted)}", code=CODE, hint=HINT)
    passphrase, opened = _ask(folder)
    _warn(opened)
    return passphrase


def is_encrypted(keyring: Keyring, name: str) -> bool:
    """Whether this key's file needs a passphrase; one that cannot be read does not say so."""
    try:
        return keyring.is_encrypted(name)
    except (StorageError, UsageError):
        return False


def ask_new(what: str) -> bytes:
    """A passphrase, asked for twice."""
    if not sys.stdin.isatty():
        raise UsageError(
            f"nobody is at a terminal to give a passphrase for {what}",
            code=CODE,
            hint="give a file of it with --passphrase-file, or --no-passphrase",
        )
    while True:
        text = _typed(f"Passphrase for {what}: ")
        if _typed("Repeat for confirmation: ") == text:
            return checked_passphrase(text.encode(), "what was typed")
        say("The two are not the same, once more", stream=sys.stderr)


def ask(what: str) -> bytes:
    """A passphrase that exists."""
    if not sys.stdin.isatty():
        raise UsageError(
            f"{what} is encrypted, and nobody is at a terminal to give its passphrase",
            code=CODE,
            hint="give a file of it with --passphrase-file",
        )
    return checked_passphrase(_typed(f"Passphrase of {what}: ").encode(), "what was typed")


def _typed(prompt: str) -> str:
    try:
        return getpass(prompt)
    except EOFError:
        raise UsageError("no passphrase was typed", code=CODE, hint=HINT) from None


def _ask(folder: Path) -> tuple[bytes, Keyring]:
    for attempt in range(1, ATTEMPTS_MAX + 1):
        passphrase = ask(f"the keys in {folder}")
        try:
            return passphrase, _opened(folder, passphrase, "what was typed")
        except UsageError as error:
            if error.code != CODE or attempt == ATTEMPTS_MAX:
                raise
            say("wrong, once more", stream=sys.stderr)
    raise AssertionError("the last attempt returns or raises")


def _opened(folder: Path, passphrase: bytes, where: str) -> Keyring:
    """The keyring with this passphrase; UsageError `passphrase` where it opens none of the encrypted keys."""
    keyring = Keyring(folder, passphrase=passphrase)
    keys, unreadable = keyring.readable()
    refused = [name for name, error in unreadable.items() if getattr(error, "code", "") == CODE]
    if refused and not any(is_encrypted(keyring, key.name) for key in keys):
        raise UsageError(
            f"{where}: wrong passphrase for {', '.join(refused)} in {folder}", code=CODE, hint="try again"
        )
    return keyring


def _warn(keyring: Keyring) -> None:
    for error in keyring.readable()[1].values():
        say(f"left out: {error}", stream=sys.stderr)
