"""Goal: a wrong setting is named with file, line, key and what is right; a right one means what it says."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

import pytest

from dispersy.bus.settings import CommunitySettings, RoleSettings
from dispersy.endpoint import Endpoint, parse_endpoint
from dispersy.errors import StorageError, UsageError
from dispersy.locations import is_held, runtime_path
from dispersy.service.home.home import create_home, create_runtime, take_lock
from dispersy.service.settings.config import COMMUNITY_SETTINGS, SETTINGS, Config, create_config, field_of
from dispersy.service.settings.config_sources import (
    CONFIG_SIZE_MAX,
    MISTAKES_MAX,
    load_config,
    parse_config,
    read_config,
)

FILE = Path("config.toml")


def test_the_template_is_a_valid_config_and_is_never_overwritten(tmp_path: Path) -> None:
    """What we write for people must pass our own checks, and what they wrote is theirs."""
    path = tmp_path / "config.toml"
    create_config(path)
    config = read_config(path).checked()
    assert (config.listen.port, config.workers, config.peers) == (6421, 0, ())
    path.write_text("workers = 3\n")
    create_config(path)
    assert read_config(path).checked().workers == 3


def test_values_are_read() -> None:
    """Every key reaches its field."""
    config = parse_config(
        'listen = "0.0.0.0:0"\nworkers = 2\nplacement = "compact"\n'
        'peers = ["192.0.2.1:6421", "[2001:db8::1]:1", "node.example:9"]\n',
        FILE,
    ).checked()
    assert config == Config(
        listen=Endpoint("0.0.0.0", 0),
        workers=2,
        peers=(Endpoint("192.0.2.1", 6421), Endpoint("2001:db8::1", 1), Endpoint("node.example", 9)),
        placement="compact",
    )


@pytest.mark.parametrize(
    ("text", "rate", "shown"),
    [
        ("64kbit/s", 8_000, "64kbit/s"),
        (" 1.5 Mbit/s", 187_500, "1.5Mbit/s"),
        ("20kB/s", 20_000, "160kbit/s"),
        ("9000bit/s", 1_125, "9kbit/s"),
        ("10Gbit/s", 1_250_000_000, "10Gbit/s"),
        ("", 0, ""),
    ],
)
def test_rates_are_read_as_people_write_them(text: str, rate: int, shown: str) -> None:
    """From the file, an option and a variable."""
    config = parse_config(f'upload_max = "{text}"\n', FILE).checked()
    assert (config.upload_max, str(config.upload_max)) == (rate, shown)
    options = {"upload_max": text}
    assert load_config(Path(os.devnull), environment={}, options=options).checked().upload_max == rate
    variable = {"DISPERSY_UPLOAD_MAX": text}
    assert load_config(Path(os.devnull), environment=variable).checked().upload_max == rate


@pytest.mark.parametrize(
    "text", ["64", "64k", "64kbps", "64 Kbit/s", "kbit/s", "-1kB/s", "900B/s", "11Gbit/s"]
)
def test_a_rate_that_is_none_or_too_low_is_told(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_config(f'upload_max = "{text}"\n', FILE).checked()
    assert "config.toml:1: upload_max" in str(raised.value)
    assert "kbit/s" in str(raised.value)


def test_the_file_is_its_owners_to_change_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        create_config(tmp_path / "config.toml")
    finally:
        os.umask(before)
    assert (tmp_path / "config.toml").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("# first\n\nworker = 2\n", ["config.toml:3: worker: unknown key; did you mean workers?", "peers"]),
        ("workers = -1\n", ["config.toml:1", "workers", "0 to 64", "-1"]),
        ("workers = true\n", ["config.toml:1", "workers", "True"]),
        ('workers = 1\nlisten = "6421"\n', ["config.toml:2", "listen", "port is missing"]),
        ('listen = "localhost:1"\n', ["config.toml:1", "listen", "host name"]),
        ("listen = 6421\n", ["config.toml:1", "listen", "6421"]),
        ('peers = "192.0.2.1:6421"\n', ["config.toml:1", "peers", "list"]),
        ('peers = ["2001:db8::1:6421"]\n', ["config.toml:1", "peers[0]", "brackets"]),
        ('peers = [\n "192.0.2.1:1",\n\n "192.0.2.1:0"\n]\n', ["config.toml:4", "peers[1]", "1 to 65535"]),
        ("workers = 1\n[network]\nlisten = 1\n", ["config.toml:2", "network", "unknown key"]),
        ("workers = \n", ["config.toml:1", "TOML"]),
        ("workers = 1\nworkers = 2\n", ["config.toml:2", "TOML"]),
        ('a = "x', ["config.toml", "TOML", "end of document"]),
        ("[listen]\nworkers = 2\n", ["config.toml:1", "listen", "address"]),
        ("[community]\nchat = 1\n", ["config.toml:2", "community.chat", "[community.chat.walker]"]),
        ("community = 1\n", ["config.toml:1", "community"]),
        ("[community.chat]\nsync = 1\n", ["config.toml:2", "community.chat.sync", "must be a table"]),
        ("[community.chat.walkr]\n", ["config.toml:1", "community.chat.walkr", "did you mean walker?"]),
        ('[community."a b"]\n\nsync.audits = 1\n', ['config.toml:3: community."a b".sync.audits', "true or"]),
        ("[community.c.walker]\nstep_interval_s = nan\n", ["config.toml:2", "0.2 to 25", "nan"]),
        ("[community.c.walker]\npeers_max = 2.0\n", ["config.toml:2", "whole number", "2.0"]),
        ("[[community.c.sync]]\nbudget_max = 4\n", ["config.toml:1", "community.c.sync", "must be a table"]),
        ("[community.c]\nsync = { budget_max = 3 }\n", ["config.toml:2", "community.c.sync.budget_max", "4"]),
        ('placement = "tiny"\n', ["config.toml:1", "placement", "auto, full, compact, single", "tiny"]),
    ],
)
def test_what_is_wrong_is_named(text: str, parts: list[str]) -> None:
    """The message alone must be enough to correct the file."""
    with pytest.raises(UsageError) as caught:
        parse_config(text, FILE).checked()
    assert caught.value.code == "config"
    for part in parts:
        assert part in str(caught.value)


def test_every_mistake_is_named_not_only_the_first() -> None:
    """Who corrects one and starts again for the next loses patience; they come in the file's order."""
    text = "[community.chat.sync]\naudits = 3\nbudget = 5\n[tpc]\n[community.x.answers]\nat_once_max = 0\n"
    with pytest.raises(UsageError) as caught:
        parse_config("workers = -1\n" + text, FILE).checked()
    places = [line.partition(": ")[0] for line in str(caught.value).splitlines()]
    assert places == [f"config.toml:{line}" for line in (1, 3, 4, 5, 7)]


def test_lines_are_told_also_around_statements_of_many_lines() -> None:
    """The file's own text may look like keys: only the parser knows what is one."""
    text = 'peers = [ # worker = 1\n]\ns = """\nworkers = 1\n[listen]\n"""\r\n\nworkers = "\\u2028"\n'
    mistakes = parse_config(text, FILE).mistakes
    assert [mistake.where for mistake in mistakes] == ["config.toml:3", "config.toml:8"]


def test_a_file_that_nobody_wrote_by_hand_is_refused(tmp_path: Path) -> None:
    """Neither its size nor its number of mistakes may keep the start waiting."""
    path = tmp_path / "config.toml"
    path.write_text("#" * (CONFIG_SIZE_MAX + 1))
    assert "larger" in read_config(path).mistakes[0].why
    path.write_text("".join(f"a{number} = 1\n" for number in range(2 * MISTAKES_MAX)))
    assert len(read_config(path).mistakes) == MISTAKES_MAX
    path.write_bytes(b"workers = 1\n# \xff\n")
    assert read_config(path).mistakes[0].where == f"{path}:2"


def test_settings_of_communities_are_read() -> None:
    """By name or id, tables or dotted keys; what is not said is the default."""
    community_id = "0a" * 32
    text = f"[community.chat.walker]\nstep_interval_s = 2\n[community.{community_id}]\nsync.audits = false\n"
    communities = dict(parse_config(text, FILE).checked().communities)
    assert communities["chat"] == CommunitySettings(walker_step_interval_s=2.0)
    settings = RoleSettings("", "", "", 1, communities=communities)
    assert settings.community(bytes.fromhex(community_id), "chat") == CommunitySettings(sync_audits=False)
    assert settings.community(bytes(32), "chat").walker_step_interval_s == 2.0
    assert settings.community(bytes(32), "other") == CommunitySettings()


def test_every_setting_has_its_field() -> None:
    """A row without a field would be read and forgotten."""
    names = {field_of(keys) for keys in SETTINGS}
    assert names | {"communities"} == {each.name for each in fields(Config)}
    assert {field_of(keys) for keys in COMMUNITY_SETTINGS} == set(CommunitySettings.__struct_fields__)


def test_an_option_overrides_the_environment_and_that_the_file(tmp_path: Path) -> None:
    """And it is told where each value comes from."""
    path = tmp_path / "config.toml"
    path.write_text(
        '# here\nworkers = 1\nlisten = "0.0.0.0:1"\npeers = ["192.0.2.1:1"]\n'
        "[community.c.sync]\naudits = false"
    )
    environment = {"DISPERSY_WORKERS": "2", "DISPERSY_LISTEN": "0.0.0.0:2", "DISPERSY_PEERS": ""}
    loaded = load_config(path, environment=environment, options={"workers": 3, "listen": None})
    config = loaded.checked()
    assert (config.workers, config.listen.port, config.peers) == (3, 2, (Endpoint("192.0.2.1", 1),))
    told = [
        loaded.origin(name) for name in ("workers", "listen", "peers", "c.sync_audits", "c.sync_budget_max")
    ]
    assert told == ["--workers", "DISPERSY_LISTEN", f"{path}:4", f"{path}:6", "default"]


def test_the_environment_is_read_by_type_and_its_mistakes_are_named(tmp_path: Path) -> None:
    """Text is all that a variable can be."""
    path = tmp_path / "config.toml"
    path.write_text("workers = -1\n")
    environment = {"DISPERSY_PEERS": "192.0.2.1:1, node.example:2", "DISPERSY_WORKERS": "two"}
    loaded = load_config(path, environment=environment)
    assert loaded.config.peers == (Endpoint("192.0.2.1", 1), Endpoint("node.example", 2))
    assert [mistake.where for mistake in loaded.mistakes] == [f"{path}:1", "DISPERSY_WORKERS"]
    assert "'two'" in loaded.mistakes[1].why


@pytest.mark.parametrize(
    ("text", "environment", "parts"),
    [
        (
            '[tcp]\ncontrol = "0.0.0.0:7421"\n\nevents = "192.0.2.1:7421"\n',
            {},
            ["config.toml:4: tcp.events: 192.0.2.1:7421 is that of tcp.control", "config.toml:2", "own"],
        ),
        (
            '[tcp]\ncontrol = "[::1]:7421"\n',
            {"DISPERSY_METRICS": "[::1]:7421"},
            ["config.toml:2: tcp.control: [::1]:7421 is that of metrics (DISPERSY_METRICS)"],
        ),
        ('[tcp]\ncontrol = "127.0.0.1:7421"\nevents = "127.0.0.2:7421"\n', {}, []),
        ('[tcp]\ncontrol = "127.0.0.1:7421"\nevents = "127.0.0.1:7422"\n', {}, []),
    ],
)
def test_one_address_for_two_is_told(
    tmp_path: Path, text: str, environment: dict[str, str], parts: list[str]
) -> None:
    """Before anything starts: the second would find it taken, by the node itself."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    told = "\n".join(map(str, load_config(path, environment=environment).mistakes))
    assert bool(told) == bool(parts)
    for part in parts:
        assert part in told


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("DISPERSY_WORKER", "DISPERSY_WORKERS"),
        ("DISPERSY_LOGLEVEL", "DISPERSY_LOG_LEVEL"),
        ("DISPERSY_TCP_EVENT", "DISPERSY_TCP_EVENTS"),
        # The node would be another one, with other keys.
        ("DISPERSY_HOMES", "DISPERSY_HOME"),
        ("DISPERSY_HOME", None),
        ("DISPERSY_REQUIRE_ALL", None),
        ("DISPERSY_CYTHON_DEBUG", None),
        ("DISPERSY_CYTHON_CACHE", None),
        ("DISPERSY_WORLDS", None),
        # As Kubernetes gives them to every pod beside a service of this name.
        ("DISPERSY_PORT", None),
        ("DISPERSY_SERVICE_HOST", None),
        ("DISPERSY_TCP_CONTROL_PORT", None),
        ("WORKER", None),
    ],
)
def test_a_misspelt_variable_is_told(variable: str, meant: str | None) -> None:
    """It would be passed over in silence else, and the node run with a default."""
    loaded = load_config(Path(os.devnull), environment={variable: "3"})
    assert [mistake.where for mistake in loaded.mistakes] == ([variable] if meant else [])
    if meant:
        with pytest.raises(UsageError, match=rf"{variable}: nothing reads .* did you mean {meant}\?"):
            loaded.checked()


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
    monkeypatch.setattr("dispersy.service.home.home.os.getuid", lambda: 12345)
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
