"""Goal: every command explains itself, wrong use ends with status 2, and no error is a traceback."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from dispersy.cli.app import main
from dispersy.cli.messages import printable
from dispersy.cli.output import readable, size_text
from dispersy.cli.run import check_port_free
from dispersy.endpoint import Endpoint
from dispersy.errors import UsageError
from dispersy.service.config import WORKERS_DEFAULT_MAX, Config
from dispersy.service.supervisor import describe_end

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
        ["publish"],
        ["subscribe"],
        ["count"],
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
        (["publish", "chat", "a", "--file", "b"], ["TEXT or --file"]),
        (["community", "join", "chat"], ["no invite", "dispersy:"]),
        (["community", "join", f"dispersy:{ID}?peer=host"], ["port is missing"]),
        (["run", "--listen", "6421"], ["port is missing"]),
        (["run", "--workers", "1000"], ["0 to 64"]),
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
    assert main(command) == 1
    assert f"dispersy run --home {tmp_path / 'home'}" in capsys.readouterr().err


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


def test_ends_of_processes_in_words() -> None:
    """Numbers of signals mean nothing to people."""
    assert describe_end(0) == "ended with status 0"
    assert describe_end(-9) == "was ended by SIGKILL"
    assert describe_end(-40) == "was ended by signal 40"
