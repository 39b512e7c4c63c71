"""`dispersy key new|list|import|export|encrypt`: the keys in a home, whether its node runs or not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from dispersy.cli import completion
from dispersy.cli.keyring import ask, ask_new, is_encrypted
from dispersy.cli.output import HomeOption, JsonOption, err, examples, out, show_json, show_table, table
from dispersy.cli.progress import tracked
from dispersy.errors import StorageError, UsageError
from dispersy.locations import home_path
from dispersy.service.home.home import Home, create_home, take_lock
from dispersy.service.home.passphrase import CODE, find_passphrase
from dispersy.service.settings.config_sources import load_config
from dispersy.storage.keyring import ENCRYPTED, Key, Keyring, decode_pem, encode_pem, write_new
from dispersy.storage.lmdb_reader import LmdbReader

NEW_EXAMPLES = examples("dispersy key new alice", "dispersy key new alice --encrypt")
LIST_EXAMPLES = examples("dispersy key list", "dispersy key list --json")
IMPORT_EXAMPLES = examples("dispersy key import alice.pem", "dispersy key import old.pem --name alice")
EXPORT_EXAMPLES = examples(
    "dispersy key export alice alice.pem", "dispersy key export alice alice.pem --no-passphrase"
)
ENCRYPT_EXAMPLES = examples("dispersy key encrypt", "dispersy key encrypt --no-passphrase")
KEY_FILE_SIZE_MAX = 1 << 16
FAILED_PART = "some keys could not be read: "

app = typer.Typer(
    no_args_is_help=True,
    help="Keep the keys that sign for you.",
    epilog=examples("dispersy key list", "dispersy key new work"),
)

NameArgument = Annotated[str, typer.Argument(help="What to call the key in this home.", show_default=False)]
KeyArgument = Annotated[
    str,
    typer.Argument(help="Name of the key in this home.", show_default=False, autocompletion=completion.keys),
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="File of the passphrase; default: ask at the terminal."),
]
NoPassphrase = Annotated[
    bool, typer.Option("--no-passphrase", help="Leave the key open to whoever has the file.")
]


@app.command("new", epilog=NEW_EXAMPLES)
def new(
    name: NameArgument,
    encrypt: Annotated[bool, typer.Option("--encrypt", help="Ask for a passphrase.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make a key, encrypted when the home has a passphrase."""
    place = create_home(home_path(home))[0]
    passphrase = _passphrase_of(place)
    if passphrase is None and encrypt:
        passphrase = ask_new(name)
    key = Keyring(place.keys, passphrase=passphrase).create(name)
    _show_key("made", key, json)


@app.command("list", epilog=LIST_EXAMPLES)
def show(home: HomeOption = None, json: JsonOption = False) -> None:
    """Show every key: its public part, whether it is encrypted, and the communities that it signs in.

    The public part of an encrypted key is encrypted, too: it shows where the home's passphrase is in a file.
    """
    place = _existing(home)
    keyring = Keyring(place.keys, passphrase=_passphrase_of(place))
    keys, unreadable = keyring.readable()
    publics = {key.name: key.public for key in keys}
    used = _communities(place)
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "public": publics.get(name),
            "encrypted": is_encrypted(keyring, name),
            "communities": used.get(publics.get(name, b""), []),
            "error": "" if name in publics else str(unreadable[name]),
        }
        for name in keyring.names()
    ]
    if json:
        show_json(rows)
        return
    shown = table("name", "public key", "encrypted", "signs in")
    for row in rows:
        told = escape(row["error"]) if row["public"] is None else row["public"].hex()
        signs = ", ".join(row["communities"]) or "-"
        shown.add_row(escape(row["name"]), told, "yes" if row["encrypted"] else "no", escape(signs))
    show_table(shown)


@app.command("import", epilog=IMPORT_EXAMPLES)
def import_key(
    file: Annotated[Path, typer.Argument(help="PEM file (PKCS #8) of an Ed25519 key.")],
    name: Annotated[str | None, typer.Option("--name", help="Default: the file's, without .pem.")] = None,
    passphrase_file: PassphraseFile = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Take in a key that was made or exported elsewhere."""
    try:
        with file.open("rb") as opened:
            pem = opened.read(KEY_FILE_SIZE_MAX)
    except OSError as error:
        raise StorageError(f"cannot read {file}: {error.strerror}") from error
    found = find_passphrase(passphrase_file, {})
    passphrase = found[0] if found else None
    if passphrase is None and ENCRYPTED in pem:
        passphrase = ask(str(file))
    key = decode_pem(pem, name=name or file.stem, where=file, passphrase=passphrase)
    place = create_home(home_path(home))[0]
    Keyring(place.keys, passphrase=_passphrase_of(place)).add(key)
    _show_key("imported", key, json)


@app.command("export", epilog=EXPORT_EXAMPLES)
def export(
    name: KeyArgument,
    file: Annotated[Path, typer.Argument(help="File to make; one that is there is never overwritten.")],
    passphrase_file: PassphraseFile = None,
    no_passphrase: NoPassphrase = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Write a key to a file of its own, for a backup or another home."""
    place = _existing(home)
    key = _open_one(place, name)
    passphrase = _chosen(f"{file}", passphrase_file, no_passphrase)
    write_new(file, encode_pem(key, passphrase))
    if json:
        show_json({"name": key.name, "public": key.public, "file": str(file), "encrypted": bool(passphrase)})
    else:
        out.print(f"exported {escape(name)} to {escape(str(file))}, mode 0600")
    if passphrase is None:
        err.print("[yellow]warning:[/yellow] whoever has this file can sign as you")


@app.command("encrypt", epilog=ENCRYPT_EXAMPLES)
def encrypt(
    passphrase_file: PassphraseFile = None,
    no_passphrase: NoPassphrase = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Encrypt all keys of the home under one passphrase, another one than before, or none."""
    place = _existing(home)
    # A node has the passphrase that it was started with, and could not read what is written now.
    lock = take_lock(place)
    try:
        before = _passphrase_of(place)
        keys, unreadable = Keyring(place.keys, passphrase=before).readable()
        if any(getattr(error, "code", "") == CODE for error in unreadable.values()):
            given = Keyring(place.keys, passphrase=ask(f"the keys in {place.keys}"))
            more, unreadable = given.readable()
            keys = list({key.name: key for key in [*keys, *more]}.values())
        left = {name: error for name, error in unreadable.items() if name not in {key.name for key in keys}}
        if left:
            raise UsageError(FAILED_PART + "; ".join(map(str, left.values())), code=CODE)
        passphrase = _chosen(f"the keys in {place.keys}", passphrase_file, no_passphrase)
        Keyring(place.keys).encrypt(keys if json else tracked(keys, "writing keys"), passphrase)
    finally:
        os.close(lock)
    if json:
        show_json({"keys": [key.name for key in keys], "encrypted": passphrase is not None})
        return
    what = (
        "are open now"
        if passphrase is None
        else "are encrypted now; docs/operation.md says how a node learns it"
    )
    out.print(f"{len(keys)} key{'s' if len(keys) != 1 else ''}: they {what}")


def _show_key(done: str, key: Key, json: bool) -> None:
    if json:
        show_json({"name": key.name, "public": key.public})
    else:
        out.print(f"{done} {escape(key.name)}  {key.public.hex()}")


def _existing(home: Path | None) -> Home:
    place = Home(home_path(home))
    if not place.keys.is_dir():
        raise UsageError(
            f"{place.path} has no keys", code="key-unknown", hint="make one: dispersy key new NAME"
        )
    return place


def _passphrase_of(place: Home) -> bytes | None:
    """The home's passphrase, where configuration or service manager name a file of it."""
    path = place.config if place.config.exists() else Path(os.devnull)
    config = load_config(path, environment=os.environ).checked()
    found = find_passphrase(config.passphrase_file, os.environ)
    return found[0] if found else None


def _open_one(place: Home, name: str) -> Key:
    keyring = Keyring(place.keys, passphrase=_passphrase_of(place))
    try:
        return keyring.by_name(name)
    except UsageError as error:
        if error.code != CODE or not is_encrypted(keyring, name):
            raise
    return Keyring(place.keys, passphrase=ask(name)).by_name(name)


def _chosen(what: str, file: Path | None, none: bool) -> bytes | None:
    """The passphrase to write with, as the options say."""
    if none and file is not None:
        raise UsageError("--passphrase-file and --no-passphrase together: choose one")
    if none:
        return None
    found = find_passphrase(file, {})
    return found[0] if found else ask_new(what)


def _communities(place: Home) -> dict[bytes, list[str]]:
    """Public key -> names of the communities that it signs in; empty when the store cannot be read."""
    used: dict[bytes, list[str]] = {}
    try:
        reader = LmdbReader(place.store)
    except StorageError:
        return used
    try:
        for record in reader.communities():
            name = record.name or record.community_id.hex()[:8]
            used.setdefault(record.member_id, []).append(name)
            if record.is_master:
                used.setdefault(record.community_id, []).append(f"{name} (master)")
    finally:
        reader.close()
    return used
