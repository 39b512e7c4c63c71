"""Goal: commands make, show, import and export keys, and none is lost or laid open by accident."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dispersy.cli import main
from dispersy.service.home.home import create_home, take_lock
from dispersy.storage.keyring import Keyring
from dispersy.storage.lmdb_store import LmdbStore
from dispersy.storage.store import Batch, CommunityRecord


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DISPERSY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def file_of(path: Path, passphrase: str) -> str:
    path.write_text(passphrase + "\n")
    path.chmod(0o600)
    return str(path)


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    capsys.readouterr()
    assert main(["key", "list", "--json"]) == 0
    return {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}


def test_a_new_key_is_private_and_its_name_is_its_own(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also in a home that is not there yet."""
    assert main(["key", "new", "alice"]) == 0
    key = Keyring(home / "keys").by_name("alice")
    assert key.public.hex() in capsys.readouterr().out
    assert (home / "keys" / "alice.pem").stat().st_mode & 0o777 == 0o600
    assert main(["key", "new", "alice"]) != 0
    assert "already" in capsys.readouterr().err
    assert Keyring(home / "keys").by_name("alice") == key
    assert main(["key", "new", "a/b"]) != 0


def test_a_home_with_a_passphrase_encrypts_what_is_new(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list shows what it may: without the passphrase not even the public key."""
    monkeypatch.setenv("DISPERSY_PASSPHRASE_FILE", file_of(tmp_path / "pass", "open sesame"))
    assert main(["key", "new", "alice"]) == 0
    public = Keyring(home / "keys", passphrase=b"open sesame").by_name("alice").public
    assert listed(capsys)["alice"] | {"communities": 0} == {
        "name": "alice",
        "public": public.hex(),
        "encrypted": True,
        "communities": 0,
        "error": "",
    }
    monkeypatch.delenv("DISPERSY_PASSPHRASE_FILE")
    assert listed(capsys)["alice"]["public"] is None
    assert main(["key", "list"]) == 0
    assert "this key is encrypted" in capsys.readouterr().out


def test_the_list_says_where_a_key_signs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who removes a key should know what it ends."""
    place, _ = create_home(home)
    keyring = Keyring(place.keys)
    master, member = keyring.create("m"), keyring.create("alice")
    store = LmdbStore(place.store)
    record = CommunityRecord(1, master.public, "chat", member.public, is_master=True)
    store.commit(Batch(communities=[record]))
    assert listed(capsys)["alice"]["communities"] == ["chat"]
    assert listed(capsys)["m"]["communities"] == ["chat (master)"]
    store.close()


def test_an_exported_key_comes_back(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encrypted, in a file for its owner alone, under the same or another name in another home."""
    passphrase = file_of(tmp_path / "pass", "open sesame")
    main(["key", "new", "alice"])
    target = tmp_path / "alice.pem"
    capsys.readouterr()
    assert main(["key", "export", "alice", str(target), "--passphrase-file", passphrase, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "name": "alice",
        "public": Keyring(home / "keys").by_name("alice").public.hex(),
        "file": str(target),
        "encrypted": True,
    }
    assert target.stat().st_mode & 0o777 == 0o600
    assert b"ENCRYPTED" in target.read_bytes()
    before = target.read_bytes()
    assert main(["key", "export", "alice", str(target), "--no-passphrase"]) != 0
    assert target.read_bytes() == before
    assert main(["key", "import", str(target), "--passphrase-file", passphrase]) != 0
    assert "already" in capsys.readouterr().err
    arguments = ["key", "import", str(target), "--passphrase-file", passphrase, "--name", "bob"]
    assert main(arguments) != 0
    assert "this key is here as alice" in capsys.readouterr().err
    monkeypatch.setenv("DISPERSY_HOME", str(tmp_path / "other"))
    assert main(arguments) == 0
    ours = Keyring(home / "keys").by_name("alice")
    assert Keyring(tmp_path / "other" / "keys").by_name("bob").seed == ours.seed


@pytest.mark.usefixtures("home")
def test_export_without_a_passphrase_must_be_said_and_warns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody is at a terminal to be asked; nothing is written instead."""
    main(["key", "new", "alice"])
    target = tmp_path / "alice.pem"
    assert main(["key", "export", "alice", str(target)]) != 0
    assert "--no-passphrase" in capsys.readouterr().err
    assert not target.exists()
    assert main(["key", "export", "alice", str(target), "--no-passphrase"]) == 0
    assert "warning" in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"", b"rubbish"])
def test_what_is_no_key_is_not_imported(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes
) -> None:
    """The file is named, and the home is as it was."""
    (tmp_path / "bad.pem").write_bytes(data)
    assert main(["key", "import", str(tmp_path / "bad.pem")]) != 0
    assert "bad.pem: not a PEM" in capsys.readouterr().err
    assert main(["key", "import", str(tmp_path / "none.pem")]) != 0
    assert not home.exists()


def test_all_keys_change_their_passphrase_together(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To one, to another, to none; not while a node runs, which would not know it."""
    first, second = file_of(tmp_path / "first", "first"), file_of(tmp_path / "second", "second")
    main(["key", "new", "alice"])
    main(["key", "new", "bob"])
    seeds = [key.seed for key in Keyring(home / "keys").readable()[0]]
    assert main(["key", "encrypt", "--passphrase-file", first]) == 0
    monkeypatch.setenv("DISPERSY_PASSPHRASE_FILE", first)
    assert main(["key", "encrypt", "--passphrase-file", second]) == 0
    found, unreadable = Keyring(home / "keys", passphrase=b"second").readable()
    assert ([key.seed for key in found], unreadable) == (seeds, {})
    # The variable names the former one now: nothing may be written that was not read.
    assert main(["key", "encrypt", "--no-passphrase"]) != 0
    monkeypatch.setenv("DISPERSY_PASSPHRASE_FILE", second)
    lock = take_lock(create_home(home)[0])
    assert main(["key", "encrypt", "--no-passphrase"]) != 0
    assert "a node is running" in capsys.readouterr().err
    os.close(lock)
    capsys.readouterr()
    assert main(["key", "encrypt", "--no-passphrase", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"keys": ["alice", "bob"], "encrypted": False}
    assert [key.seed for key in Keyring(home / "keys").readable()[0]] == seeds
