"""Goal: a wrong setting is named with file, line, key and what is right; a right one means what it says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dispersy.endpoint import Endpoint, parse_endpoint
from dispersy.errors import StorageError, UsageError
from dispersy.locations import is_held, runtime_path
from dispersy.service.config import Config, create_config, parse_config, read_config
from dispersy.service.home import create_home, create_runtime, take_lock

FILE = Path("config.toml")


def test_the_template_is_a_valid_config_and_is_never_overwritten(tmp_path: Path) -> None:
    """What we write for people must pass our own checks, and what they wrote is theirs."""
    path = tmp_path / "config.toml"
    create_config(path)
    config = read_config(path)
    assert (config.listen.port, config.workers, config.peers) == (6421, 0, ())
    path.write_text("workers = 3\n")
    create_config(path)
    assert read_config(path).workers == 3


def test_values_are_read() -> None:
    """Every key reaches its field."""
    config = parse_config(
        'listen = "0.0.0.0:0"\nworkers = 2\nplacement = "compact"\n'
        'peers = ["192.0.2.1:6421", "[2001:db8::1]:1", "node.example:9"]\n',
        FILE,
    )
    assert config == Config(
        listen=Endpoint("0.0.0.0", 0),
        workers=2,
        peers=(Endpoint("192.0.2.1", 6421), Endpoint("2001:db8::1", 1), Endpoint("node.example", 9)),
        placement="compact",
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("# first\n\nworker = 2\n", ["config.toml:3", "worker", "unknown key", "listen, peers, placement"]),
        ("workers = -1\n", ["config.toml:1", "workers", "0 to 64", "-1"]),
        ("workers = true\n", ["config.toml:1", "workers", "True"]),
        ('workers = 1\nlisten = "6421"\n', ["config.toml:2", "listen", "port is missing"]),
        ('listen = "localhost:1"\n', ["config.toml:1", "listen", "host name"]),
        ("listen = 6421\n", ["config.toml:1", "listen", "6421"]),
        ('peers = "192.0.2.1:6421"\n', ["config.toml:1", "peers", "list"]),
        ('peers = ["2001:db8::1:6421"]\n', ["config.toml:1", "peers", "brackets"]),
        ('peers = ["192.0.2.1:0"]\n', ["config.toml:1", "peers", "1 to 65535"]),
        ('placement = "tiny"\n', ["config.toml:1", "placement", "auto, full, compact, single", "tiny"]),
        ("[network]\nlisten = 1\n", ["config.toml:1", "network", "unknown key"]),
        ("workers = \n", ["config.toml", "TOML", "line 1"]),
    ],
)
def test_what_is_wrong_is_named(text: str, parts: list[str]) -> None:
    """The message alone must be enough to correct the file."""
    with pytest.raises(UsageError) as caught:
        parse_config(text, FILE)
    assert caught.value.code == "config"
    for part in parts:
        assert part in str(caught.value)


def test_an_unreadable_config_names_the_file(tmp_path: Path) -> None:
    """A disk's fault is no usage error."""
    with pytest.raises(StorageError, match=r"missing\.toml"):
        read_config(tmp_path / "missing.toml")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "host",
        "[::1]",
        "[::1:1",
        "[host]:1",
        "1.2.3:4",
        "1.2.3.400:5",
        "a b:1",
        "h:x",
        "h:٣",
        "h:70000",
    ],
)
def test_no_address(text: str) -> None:
    """Whatever is no HOST:PORT is refused with its own text in the message."""
    with pytest.raises(UsageError) as caught:
        parse_endpoint(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    "text", ["192.0.2.1:1", "[2001:db8::1]:65535", "node.example.org:6421", "localhost:9"]
)
def test_an_address_prints_as_it_is_written(text: str) -> None:
    """Invites and config files hold what parse_endpoint() takes."""
    assert str(parse_endpoint(text)) == text


def test_one_run_at_a_time(tmp_path: Path) -> None:
    """A second run on a home is told so, and can start when the first has ended."""
    home, new = create_home(tmp_path / "home")
    assert new
    assert not is_held(home.path)
    first = take_lock(home)
    assert is_held(home.path)
    with pytest.raises(UsageError, match="already") as caught:
        take_lock(home)
    assert caught.value.code == "home-in-use"

    os.close(first)
    os.close(take_lock(home))


def test_the_runtime_folder_is_private(tmp_path: Path) -> None:
    """Whoever could write there could take the place of a socket."""
    folder = tmp_path / "dispersy" / "12345678"
    folder.mkdir(parents=True, mode=0o777)
    folder.chmod(0o777)
    create_runtime(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(StorageError, match="no folder"):
        create_runtime(tmp_path / "link")


def test_a_runtime_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below /tmp anyone can make the name first, and would own what we bind there."""
    monkeypatch.setattr("dispersy.service.home.os.getuid", lambda: 12345)
    with pytest.raises(StorageError, match="belongs to user"):
        create_runtime(tmp_path / "run")


def test_too_long_a_socket_path_is_said_before_anything_binds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system would only say that an argument is wrong."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("x" * 100)))
    with pytest.raises(UsageError, match="107") as caught:
        runtime_path(tmp_path)
    assert caught.value.code == "path-too-long"
