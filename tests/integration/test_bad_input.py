"""Goal: bad input gets a message that says what to do, in a line or two, and an exit status that tells whose
fault it was; the node that was asked goes on as before.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import zmq

from tests.integration.node import Node, run_command
from tests.sockets import bounded_context

MakeNode = Callable[..., Node]

REFUSED, MISUSED, NOT_RUNNING, DISK = 1, 2, 3, 4
LIMIT_MS = 60_000
TEXT_MAX = 971

CONTRADICTION = """\
name = "odd"
[kinds.shout]
number = 64
distribution = "direct"
pruning = { type = "global-time", inactive_threshold = 10, prune_threshold = 20 }
"""
UNKNOWN_POLICY = """\
name = "odd"
[kinds.shout]
number = 64
resolution = "anarchic"
"""


@pytest.fixture
def node(make_node: MakeNode) -> Iterator[Node]:
    """A node with the community `chat`, which must be as well after the test as before."""
    made = make_node("a")
    with made.start() as client:
        client.create("chat")
        yield made
        client.publish("chat", [b"still at work"])


def assert_told(node: Node, command: list[str], status: int, *parts: str) -> None:
    """It ends with this status, and its few lines on stderr have these parts."""
    done = node.command(*command)
    assert done.returncode == status, done.stdout + done.stderr
    assert done.stdout == ""
    assert 1 <= len(done.stderr.splitlines()) <= 3, done.stderr
    for part in parts:
        assert part in done.stderr


def test_a_second_run_on_the_same_home(node: Node) -> None:
    """Goal: the home is held by one run, and whoever starts another learns what to do instead."""
    assert_told(
        node,
        ["run", "--listen", "127.0.0.1:0"],
        REFUSED,
        f"a node is running on {node.home} already",
        "dispersy status",
    )


def test_a_taken_port_names_the_next_free_one(node: Node, short_folder: Path) -> None:
    """Goal: the command in the hint works as it stands."""
    with node.client() as client:
        listen = client.status()["listen"]
    other = run_command(["run", "--home", str(short_folder / "b"), "--listen", listen], node.environment)
    assert other.returncode == REFUSED
    assert f"UDP port {listen.rpartition(':')[2]} is taken" in other.stderr
    free = other.stderr.rpartition("--listen 127.0.0.1:")[2].split()[0]
    assert int(free) > int(listen.rpartition(":")[2])
    assert not (short_folder / "b").exists(), "a failed start leaves no home behind"


def test_a_taken_tcp_port_names_the_next_free_one(node: Node, short_folder: Path) -> None:
    """Goal: before anything starts, not when the role that binds it does."""
    home = short_folder / "c"
    home.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = holder.getsockname()[1]
        (home / "config.toml").write_text(f'[tcp]\nevents = "127.0.0.1:{taken}"\n', encoding="utf-8")
        other = run_command(["run", "--home", str(home), "--listen", "127.0.0.1:0"], node.environment)
    assert other.returncode == REFUSED
    assert f"TCP port {taken} is taken" in other.stderr
    assert int(other.stderr.rpartition('events = "127.0.0.1:')[2].split('"')[0]) > taken
    assert "in [tcp] of config.toml" in " ".join(other.stderr.split())


@pytest.mark.parametrize(
    ("definition", "parts"),
    [
        (UNKNOWN_POLICY, ("shout", "resolution 'anarchic' is unknown", "public")),
        (CONTRADICTION, ("shout", "distribution direct to the community reaches nobody with fan_out 0")),
        ("name = 'odd'\n", ("the definition has no kinds", "[kinds.text]")),
        ("name = \n", ("line 1",)),
    ],
    ids=["unknown policy", "contradiction", "no kinds", "no TOML"],
)
def test_a_definition_that_makes_no_sense(
    node: Node, tmp_path: Path, definition: str, parts: tuple[str, ...]
) -> None:
    """Goal: file, kind and policy are named, and no community is made."""
    file = tmp_path / "odd.toml"
    file.write_text(definition)
    assert_told(node, ["community", "create", "odd", "--definition", str(file)], MISUSED, str(file), *parts)
    with node.client() as client:
        assert [entry["name"] for entry in client.communities()] == ["chat"]


def test_a_payload_over_the_limit(node: Node) -> None:
    """Goal: its size and the limit are named, and nothing is published."""
    assert_told(
        node, ["publish", "chat", "x" * (TEXT_MAX + 1)], MISUSED, f"{TEXT_MAX + 1} bytes", str(TEXT_MAX)
    )
    with node.client() as client:
        assert client.count("chat") == 0


def test_an_unknown_community_or_kind(node: Node) -> None:
    """Goal: what there is instead is listed."""
    assert_told(node, ["publish", "chess", "e4"], REFUSED, "no community is called 'chess'", "chat (")
    assert_told(node, ["publish", "chat", "e4", "--kind", "move"], REFUSED, "'move' does not exist", "text")


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([b"\xc1 this is no MessagePack"], "malformed"),
        ([b""], "malformed"),
        ([msgspec.msgpack.encode(["a", "list"])], "malformed"),
        ([b"\x81" * 10_000], "malformed"),
        ([msgspec.msgpack.encode({"v": 1, "id": 7, "op": "conquer"})], "op-unknown"),
        ([msgspec.msgpack.encode({"v": 2, "id": 7, "op": "status"})], "malformed"),
        ([msgspec.msgpack.encode({"v": 1, "id": 7, "op": "count"})], "malformed"),
        ([b"two", b"frames"], "malformed"),
    ],
)
def test_a_control_request_that_is_none(node: Node, frames: list[bytes], code: str) -> None:
    """Goal: it is answered, with a code and a hint, and a good one on the same connection is served."""
    with node.client() as client:
        endpoint = client.status()["sockets"]["control"]
    context = bounded_context()
    socket = context.socket(zmq.DEALER)
    try:
        socket.connect(endpoint)
        socket.send_multipart(frames)
        assert socket.poll(LIMIT_MS), "no answer"
        refused = msgspec.msgpack.decode(socket.recv())
        assert (refused["ok"], refused["error"]["code"]) == (False, code)
        assert refused["error"]["message"]
        assert refused["error"]["hint"]
        socket.send(msgspec.msgpack.encode({"v": 1, "id": 8, "op": "status", "brief": True}))
        assert socket.poll(LIMIT_MS), "the connection is dead"
        answer = msgspec.msgpack.decode(socket.recv())
        assert (answer["id"], answer["ok"]) == (8, True)
    finally:
        context.destroy(linger=0)


def test_a_runtime_folder_whose_path_is_too_long_for_sockets(make_node: MakeNode, tmp_path: Path) -> None:
    """Goal: the limit is told before anything is made, with the way out."""
    node = make_node("a")
    node.environment["XDG_RUNTIME_DIR"] = str(tmp_path / ("long" * 25))
    assert_told(node, ["run", "--listen", "127.0.0.1:0"], MISUSED, "107", "XDG_RUNTIME_DIR")
    assert not node.home.exists()
    assert_told(node, ["status"], MISUSED, "107", "XDG_RUNTIME_DIR")


def test_a_long_home_is_no_hindrance(make_node: MakeNode) -> None:
    """Goal: sockets do not lie in the home, so its path may be as long as paths can be."""
    node = make_node("/".join(["deep" * 20] * 4))
    with node.start() as client:
        assert client.status()["ready"]


def test_nobody_is_there(make_node: MakeNode) -> None:
    """Goal: a status of its own, and the command that starts the node."""
    node = make_node("a")
    assert_told(node, ["status"], NOT_RUNNING, f"no node is running on {node.home}", "dispersy run --home")


def test_a_store_that_is_none(make_node: MakeNode) -> None:
    """Goal: a run ends at once with the path and what is wrong, and leaves the file as it was."""
    node = make_node("a")
    file = node.home / "store" / "data.mdb"
    file.parent.mkdir(parents=True, mode=0o700)
    file.write_bytes(b"garbage" * 3_000)
    assert_told(node, ["run", "--listen", "127.0.0.1:0"], DISK, f"{file}: not an LMDB file; restore a backup")
    assert file.read_bytes() == b"garbage" * 3_000
