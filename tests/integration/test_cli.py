"""Goal: a person gets from nothing to a conversation with the commands that `dispersy --help` shows."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.integration.node import FULL, Node, run_command

NODE_OPTIONS = FULL

MakeNode = Callable[..., Node]


def test_from_create_to_a_conversation(make_node: MakeNode) -> None:
    """create, show, join by the printed invite, publish a text and a file, subscribe, count."""
    first, second = make_node("a"), make_node("b")
    first.start().close()
    second.start().close()
    made = first.command("community", "create", "chat")
    assert made.returncode == 0, made.stderr
    assert "dispersy community join 'dispersy:" in made.stdout
    invite = json.loads(first.command("community", "show", "chat", "--json").stdout)["invite"]
    assert invite in made.stdout
    joined = second.command("community", "join", invite)
    assert joined.returncode == 0, joined.stderr
    assert "kinds: text" in joined.stdout
    assert first.command("publish", "chat", "hello\x1b[2J").returncode == 0
    lines = "".join(f"line {number}\n" for number in range(1500))
    told = first.command("publish", "chat", "--file", "-", input_text=lines)
    assert (told.returncode, told.stdout) == (0, "published 1500 messages\n")
    with second.client() as client:
        client.wait_for_count("chat", 1501, timeout_s=60.0)
    assert second.command("count", "chat").stdout == "1501\n"
    counted = json.loads(second.command("count", "chat", "--json").stdout)
    shown_id = json.loads(first.command("community", "show", "chat", "--json").stdout)["community"]
    assert counted == {"community": shown_id, "name": "chat", "count": 1501}
    seen = _subscribe(second, "--json", until=1501)
    # A node's log has the order of arrival; the order of publication is that of global times.
    shown = sorted((json.loads(line) for line in seen), key=lambda event: event["global_time"])
    assert [event["text"] for event in shown][1:] == [f"line {number}" for number in range(1500)]
    # A peer's bytes must not reach the terminal as commands.
    assert any(line.endswith("hello\\x1b[2J") for line in _subscribe(second, until=1501))
    assert json.loads(first.command("peers", "chat", "--json").stdout)
    assert json.loads(first.command("status", "--json").stdout)["ready"]
    assert "worker-0" in first.command("status").stdout
    assert "chat" in first.command("community", "list").stdout


def test_a_subscription_outlives_its_node(make_node: MakeNode) -> None:
    """It says that it waits, and goes on where it was when the node is back: no gap, nothing twice."""
    node = make_node("a")
    node.start().close()
    assert node.command("community", "create", "chat").returncode == 0
    assert node.command("publish", "chat", "before").returncode == 0
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "dispersy.cli", "subscribe", "chat", "--home", str(node.home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=node.environment,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().endswith(" before\n")
        assert node.stop() == 0
        assert "waiting for it to come back" in process.stderr.readline()
        node.start().close()
        assert node.command("publish", "chat", "after").returncode == 0
        assert process.stdout.readline().endswith(" after\n")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_commands_wait_for_a_node_that_is_just_starting(make_node: MakeNode) -> None:
    """Typed in one line with `run &`: neither "no node is running" nor an invite without an address."""
    node = make_node("early")
    node.begin()
    made = node.command("community", "create", "chat")
    assert made.returncode == 0, made.stderr
    assert "?peer=127.0.0.1:" in made.stdout


def _subscribe(node: Node, *options: str, until: int) -> list[str]:
    """The first lines of a subscription, ended as Ctrl-C does, which must be no error."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "dispersy.cli",
        "subscribe",
        "chat",
        "--home",
        str(node.home),
        *options,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=node.environment)
    assert process.stdout is not None
    lines = [process.stdout.readline().rstrip("\n") for _ in range(until)]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0
    return lines


def test_a_join_says_what_it_waits_for(make_node: MakeNode) -> None:
    """Nobody answers at the invite's address, or none could: it is said, also to who counts."""
    node = make_node("a")
    node.start().close()
    community = "ab" * 32
    for peer, part in (
        ("127.0.0.1:9", "no answer from 127.0.0.1:9 yet"),
        ("[::1]:9", "listens on 127.0.0.1:"),
    ):
        invite = f"dispersy:{community}?peer={peer}"
        command = [sys.executable, "-P", "-m", "dispersy.cli", "community", "join", invite, "--name", "late"]
        with subprocess.Popen(
            [*command, "--home", str(node.home)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=node.environment,
        ) as process:
            assert process.stderr is not None
            assert part in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            assert "stays joined" in process.stderr.read()
            assert process.wait(10) == 0
    told = node.command("count", "late")
    assert (told.returncode, told.stdout) == (0, "0\n")
    assert "definition has not come yet" in told.stderr
    renamed = node.command("community", "join", community, "--name", "other", "--no-wait")
    assert "it is called late here, not other" in renamed.stderr


def test_an_interrupted_publication_says_where_to_go_on(make_node: MakeNode) -> None:
    """Ctrl-C: what is under way is still stored, the count is exact, and the status tells of it."""
    node = make_node("a")
    with node.start() as client:
        assert node.command("community", "create", "chat").returncode == 0
        command = [sys.executable, "-P", "-m", "dispersy.cli", "publish", "chat", "--file", "-"]
        with subprocess.Popen(
            [*command, "--home", str(node.home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=node.environment,
        ) as process:
            assert process.stdin is not None
            process.stdin.write("line\n" * 100_000)
            process.stdin.close()
            process.stdin = None
            client.wait_for_count("chat", 1, timeout_s=30.0)
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=60)
        assert process.returncode == 130
        stored = client.count("chat")
        assert 0 < stored < 100_000
        assert f"the first {stored} lines are stored" in told
        assert f"tail -n +{stored + 1}" in told


def test_a_long_line_is_named_and_nothing_is_published(make_node: MakeNode, tmp_path: Path) -> None:
    """The number of the line, its size and the limit, before anything is sent."""
    node = make_node("a")
    node.start().close()
    assert node.command("community", "create", "chat").returncode == 0
    file = tmp_path / "lines.txt"
    file.write_bytes(b"fine\n" * 40 + b"x" * 1000 + b"\n")
    refused = node.command("publish", "chat", "--file", str(file))
    assert refused.returncode == 1 or refused.returncode == 2
    for part in ("line 41", "1000", "971"):
        assert part in refused.stderr
    file.write_bytes(b"fine\n\xff\n")
    refused = node.command("publish", "chat", "--file", str(file))
    assert "line 2" in refused.stderr
    assert "UTF-8" in refused.stderr
    assert node.command("count", "chat").stdout == "0\n"


def test_a_second_run_and_a_taken_port_are_explained(make_node: MakeNode, short_folder: Path) -> None:
    """One or two lines that say what to do, no traceback."""
    node = make_node("a")
    with node.start() as client:
        listen = client.status()["listen"]
    again = node.command("run")
    assert again.returncode == 1
    assert "is running on" in again.stderr
    options = ["--home", str(short_folder / "b"), "--workers", "2"]
    other = run_command(["run", *options, "--listen", listen], node.environment)
    assert other.returncode == 1
    assert "taken" in other.stderr
    assert f"dispersy run {' '.join(options)} --listen 127.0.0.1:" in other.stderr
    assert not (short_folder / "b").exists(), "a failed start leaves no home behind"
    assert len(again.stderr.splitlines()) <= 2
    assert len(other.stderr.splitlines()) <= 2


def test_a_wrong_config_is_explained(make_node: MakeNode, short_folder: Path) -> None:
    """File, line and key are in the message; the status is that of a wrong request."""
    (short_folder / "a").mkdir()
    (short_folder / "a" / "config.toml").write_text("workers = 1\nport = 6421\n")
    refused = make_node("a").command("run")
    assert refused.returncode == 2
    assert "config.toml:2: port" in refused.stderr


def test_the_demonstration_counts_every_message(short_folder: Path) -> None:
    """It ends with 0 only when each node holds everything, and leaves nothing behind."""
    done = run_command(["demo", "--nodes", "2", "--messages", "1000"], limit_s=120.0)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line[:1] in ("1", "2")]
    assert [row[0] for row in rows] == ["1", "2"]
    assert all("1000" in row for row in rows)
    assert "$ dispersy run --home" in done.stdout
    assert not [path for path in Path(short_folder, "dispersy").glob("*/*") if path.is_socket()]
