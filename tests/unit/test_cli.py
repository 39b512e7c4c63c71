"""Goal: every command explains itself, wrong use ends with status 2, and no error is a traceback."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from dispersy.cli.app import main
from dispersy.cli.community import DEFINITION_EXAMPLE, publish_hints
from dispersy.cli.messages import _publish_lines, printable
from dispersy.cli.output import readable, size_text
from dispersy.client import Client
from dispersy.endpoint import Endpoint
from dispersy.errors import UsageError
from dispersy.protocol.definitions import definition_toml
from dispersy.protocol.definitions.policies import GROUP_KEYS, PAYLOAD_SIZE_DEFAULT, POLICIES
from dispersy.service.operations.publication import check_new
from dispersy.service.processes.ports import check_port_free
from dispersy.service.settings.config import WORKERS_DEFAULT_MAX, Config

ID = bytes(range(32)).hex()


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may meet the user's own node."""
    monkeypatch.setenv("DISPERSY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["run"],
        ["community"],
        ["community", "create"],
        ["community", "join"],
        ["community", "list"],
        ["community", "show"],
        ["community", "define"],
        ["authorize"],
        ["revoke"],
        ["undo"],
        ["policy"],
        ["destroy"],
        ["members"],
        ["permissions"],
        ["publish"],
        ["subscribe"],
        ["count"],
        ["last"],
        ["status"],
        ["peers"],
        ["demo"],
    ],
)
def test_every_command_has_help_with_examples(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Help is how people learn the commands, so each shows one to copy."""
    assert main([*command, "--help"]) == 0
    told = capsys.readouterr().out
    assert "Usage: dispersy" in told
    assert " ".join(["dispersy", *command]) in told.partition("Examples")[2]


@pytest.mark.parametrize(
    "command",
    [["nonsense"], ["publish"], ["count", "a", "b"], ["run", "--workers", "many"], ["demo", "--nodes", "0"]],
)
def test_wrong_use_is_status_2(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Programs tell their own mistakes from the node's by the status."""
    assert main(command) == 2
    caught = capsys.readouterr()
    assert caught.err
    assert not caught.out
    assert "Traceback" not in caught.err


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        (["publish", "chat"], ["TEXT or --file"]),
        (["publish", "chat", "a", "--file", "b"], ["TEXT and --file together"]),
        (["community", "join", "chat"], ["no invite", "dispersy:"]),
        (["community", "join", f"dispersy:{ID}?peer=host"], ["port is missing"]),
        (["run", "--listen", "6421"], ["port is missing"]),
        (["run", "--workers", "1000"], ["--workers", "0 to 64"]),
        (["run", "--peer", "[::1"], ["[ADDRESS]:PORT"]),
    ],
)
def test_a_wrong_value_is_said_in_two_lines(
    command: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What was wrong, and what would be right."""
    assert main(command) == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) <= 2
    for part in parts:
        assert part in told


@pytest.mark.parametrize(
    "command", [["status"], ["count", "chat"], ["publish", "chat", "x"], ["subscribe", "chat"]]
)
def test_without_a_node_the_error_says_how_to_start_one(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exact command, with the home that was looked at."""
    assert main(command) == 3
    assert f"dispersy run --home {tmp_path / 'home'}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "batch_window_ms = 20000",
            ["'photo'", "batch_window_ms 20000 is not enforced", "use 0 to 10000"],
        ),
        ("colour = 1", ["'photo'", "'colour' is unknown"]),
    ],
)
def test_a_definition_that_is_not_enforced_is_refused_by_name(
    text: str, parts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """File, kind, policy and what to use instead, before the node is asked."""
    file = tmp_path / "news.toml"
    file.write_text(f'name = "news"\n[kinds.photo]\nnumber = 64\n{text}\n')
    assert main(["community", "create", "news", "--definition", str(file)]) == 2
    told = capsys.readouterr().err
    for part in [str(file), *parts]:
        assert part in told


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('name = "news"', ["no kinds", "[kinds.text]"]),
        ('name = "other"\n[kinds.text]\nnumber = 64', ["'other'", "'news'", 'name = "news"']),
    ],
)
def test_a_definition_must_fit_its_community(
    text: str, parts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody could publish without kinds; two names would confuse everyone who joins."""
    file = tmp_path / "news.toml"
    file.write_text(text + "\n")
    assert main(["community", "create", "news", "--definition", str(file)]) == 2
    told = capsys.readouterr().err
    for part in parts:
        assert part in told


def test_the_documented_definition_is_one() -> None:
    """People copy it: it must be taken as it stands, say the defaults, and name every key that there is."""
    text = (Path(__file__).parents[2] / "docs" / "definition.md").read_text(encoding="utf-8")
    definition = definition_toml.parse(text.partition("```toml\n")[2].partition("```")[0])
    check_new("news", definition)
    headline, photo = definition.kinds
    stated = replace(photo, number=headline.number, name=headline.name, payload=headline.payload)
    assert stated == headline
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    keys = {row[1].strip(" `") for row in rows}
    assert {*GROUP_KEYS, "number", "batch_window_ms", "frozen"} <= keys
    for policy in POLICIES:
        assert f'`"{policy.name}"`' in text
        assert all(f"`{parameter.name}`" in text for parameter in policy.parameters)
    assert f"`{PAYLOAD_SIZE_DEFAULT}` bytes" in text


def test_help_shows_a_definition_that_works(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever wants other kinds than `text` has a file to begin with."""
    check_new("news", definition_toml.parse(DEFINITION_EXAMPLE))
    assert main(["community", "create", "--help"]) == 0
    told = capsys.readouterr().out
    assert "docs/definition.md" in told
    assert all(line in told for line in DEFINITION_EXAMPLE.splitlines())


@pytest.mark.parametrize(
    ("resolutions", "told"),
    [
        (['"linear"', '"public"'], ['publish news "hello" --kind second']),
        (['{ type = "dynamic", initial = "public" }'], ['publish news "hello" --kind first']),
        (['"linear"'], [f"authorize news {ID} --kind first", 'publish news "hello" --kind first']),
        (['{ type = "dynamic", initial = "linear" }'], [f"authorize news {ID} --kind first"]),
    ],
)
def test_a_new_community_says_how_to_publish_and_what_that_needs(
    resolutions: list[str], told: list[str]
) -> None:
    """A kind that is open, or else the command that permits its founder."""
    rows = zip(("first", "second"), (64, 65), resolutions, strict=False)
    kinds = "".join(
        f"[kinds.{name}]\nnumber = {number}\nresolution = {resolution}\n" for name, number, resolution in rows
    )
    definition = definition_toml.parse(f'name = "news"\n{kinds}')
    hints = "\n".join(publish_hints(definition, "news", bytes.fromhex(ID)))
    assert all(part in hints for part in told)
    assert ("authorize" in hints) == ("authorize" in told[0])


def test_a_wrong_name_is_refused_at_join_as_at_create(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is asked of a node."""
    for command in (["community", "create", "No Name"], ["community", "join", ID, "--name", "No Name"]):
        assert main(command) == 2
        told = capsys.readouterr().err
        assert "'No Name' is no name for a community" in told
        assert "small letter" in told


class GoneNode:
    """A client whose node ends after the first portion."""

    def publish_many(self, *_: object, progress: Callable[[int], None], **__: object) -> int:
        """What was acknowledged before it went."""
        progress(500)
        raise UsageError("no answer", code="timeout")


def test_a_publication_that_fails_says_where_to_go_on() -> None:
    """Those under way may be stored or not, and the message must not say more than is known."""
    with pytest.raises(UsageError) as caught:
        _publish_lines(cast(Client, GoneNode()), "chat", "text", [b"line"] * 5_000)
    assert caught.value.code == "timeout"
    for part in ("no answer", "first 500 lines are stored", "next 2000 lines", "tail -n +501"):
        assert part in str(caught.value)


def test_a_taken_port_names_the_next_free_one() -> None:
    """The hint is a command that works."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        with pytest.raises(UsageError) as caught:
            check_port_free(Endpoint("127.0.0.1", port))
        assert caught.value.code == "port-taken"
        free = int(caught.value.hint.rpartition(":")[2])
        assert free > port
        check_port_free(Endpoint("127.0.0.1", free))
    check_port_free(Endpoint("127.0.0.1", port))


def test_an_address_that_is_not_ours_is_no_taken_port() -> None:
    """Another port would not help."""
    with pytest.raises(UsageError) as caught:
        check_port_free(Endpoint("192.0.2.1", 6421))
    assert caught.value.code == "listen"


@pytest.mark.parametrize("asked", [0, 1, 64])
def test_zero_workers_means_one_for_each_core(asked: int) -> None:
    """Bounded, because each holds memory whether it has work or not."""
    count = Config(workers=asked).worker_count
    assert count == asked or (asked == 0 and 1 <= count <= WORKERS_DEFAULT_MAX)


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (b"plain", "plain"),
        ("größe ✓".encode(), "größe ✓"),
        (b"\x1b[2J\x07", "\\x1b[2J\\x07"),
        (b"two\nlines\r", "two\\nlines\\r"),
        ("\u202eright to left".encode(), "\\u202eright to left"),
        (b"\xff", "\\xff"),
    ],
)
def test_a_payload_is_one_harmless_line(payload: bytes, shown: str) -> None:
    """What a stranger wrote must not move the cursor, forge lines or hide text."""
    assert printable(payload) == shown


def test_neighbours_are_shown_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ids are there to be copied, round trips are short, and what is not known is no `None`."""
    monkeypatch.setenv("COLUMNS", "40")
    peer = {"name": "chat", "address": "192.0.2.1:6421", "member": bytes(range(32)), "category": "walked"}
    peer["tracker"] = False
    known = {**peer, "proven_age_s": 1.25, "round_trip_s": 0.0123, "in_sync": True, "messages": 7}
    unknown = {**peer, "member": b"", "proven_age_s": None, "round_trip_s": None}
    unknown |= {"in_sync": None, "messages": None}
    tracker = {**known, "in_sync": None, "messages": None, "tracker": True}
    monkeypatch.setattr(Client, "peers", lambda *_: [known, unknown, tracker])
    assert main(["peers"]) == 0
    title, first, second, third = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert " ".join(title).endswith("seen s rtt ms sync messages")
    assert first == ["chat", "192.0.2.1:6421", ID, "walked", "1.2", "12.3", "yes", "7"]
    assert second == ["chat", "192.0.2.1:6421", "-", "walked", "-", "-", "-", "-"]
    assert third == ["chat", "192.0.2.1:6421", ID, "tracker", "1.2", "12.3", "-", "-"]


def test_communities_are_listed_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An id that is cut cannot be joined."""
    monkeypatch.setenv("COLUMNS", "40")
    entry = {"name": "chat", "count": 1, "defined": False, "kinds": [], "community": bytes(range(32))}
    entry |= {"state": "unloaded", "autoload": "on-packet"}
    monkeypatch.setattr(Client, "communities", lambda *_, **__: [entry])
    assert main(["community", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == [
        *("chat", "1", "unloaded", "-"),
        *("on-packet", ID),
    ]


def test_bytes_are_hex_in_json() -> None:
    """Ids are written as people copy them; keys are text."""
    assert json.loads(json.dumps(readable({1: b"\x01\xff", "a": [b"", None, 1.5]}))) == {
        "1": "01ff",
        "a": ["", None, 1.5],
    }


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (5e12, "5000.0 GB")],
)
def test_sizes(size: float, text: str) -> None:
    """Powers of 1000, as network and disk sizes are given."""
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("command", "method"),
    [
        (["community", "load", "chat"], "load"),
        (["community", "unload", "chat"], "unload"),
        (["community", "autoload", "chat", "never"], "autoload"),
        (["block", "192.0.2.1"], "block"),
        (["unblock", "192.0.2.1"], "unblock"),
    ],
)
def test_what_changed_is_told_to_programs(
    command: list[str], method: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As JSON, without what belongs to the request."""
    monkeypatch.setattr(Client, method, lambda *_, **__: {"v": 1, "id": 5, "ok": True, "already": True})
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"already": True}


def test_a_made_key_is_told_to_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """Its name and its public part, which others are given."""
    assert main(["key", "new", "alice", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert main(["key", "list", "--json"]) == 0
    [listed] = json.loads(capsys.readouterr().out)
    assert made == {"name": listed["name"], "public": listed["public"]}


def test_settings_are_shown_as_they_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    """What is not set is a dash, also where the node has a number for it."""
    assert main(["config", "show"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["group", "-", "default"] in rows
    assert ["metered", "false", "default"] in rows
