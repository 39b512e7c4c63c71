"""`dispersy demo`: the whole of it on one machine, with the commands that a person would type."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import Progress

from dispersy.cli.output import err, examples, out, show_table, size_text, table
from dispersy.cli.progress import progress_bar
from dispersy.client import Client
from dispersy.endpoint import Endpoint
from dispersy.errors import INTERRUPTED, UsageError
from dispersy.invite import Invite

EXAMPLES = examples("dispersy demo", "dispersy demo --nodes 3 --messages 1000", "dispersy demo --keep")
COMMUNITY = "demo"
NODES_MAX = 32
START_LIMIT_S = 30.0
JOIN_LIMIT_S = 60.0
STALL_LIMIT_S = 60.0
"""A node whose count does not rise for this long will not finish."""
STOP_LIMIT_S = 5.0
_POLL_S = 0.05


@dataclass(slots=True)
class Node:
    """A node of the demonstration: a real `dispersy run` and a client of it."""

    number: int
    home: Path
    process: subprocess.Popen[bytes]
    client: Client
    status: dict[str, Any] = field(default_factory=dict)
    held: int = 0
    done_after_s: float | None = None
    bytes_before: int = 0


def demo(
    nodes: Annotated[int, typer.Option(min=1, max=NODES_MAX, help="How many nodes.")] = 2,
    messages: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many to publish.")] = 10_000,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the nodes running.")] = False,
    workers: Annotated[int, typer.Option(min=0, max=64, help="Worker processes of each node.")] = 1,
) -> None:
    """Start nodes, publish on one, and see every node get everything."""
    folder = Path(tempfile.mkdtemp(prefix="dispersy-demo-"))
    started: list[Node] = []
    kept = False
    try:
        for number in range(1, nodes + 1):
            started.append(start_node(folder, number, workers))
        _await_start(started)
        invite = _join_all(started)
        base = started[0].client.count(COMMUNITY)
        seconds = _publish_and_wait(started, messages, base)
        complete = all(node.done_after_s is not None for node in started)
        _show_result(started, messages, base, seconds)
        kept = keep
        if kept:
            _show_kept(started, folder, invite)
    except KeyboardInterrupt:
        err.print("interrupted; cleaning up")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        for node in started:
            node.client.close()
        if not kept:
            stop_nodes(started)
            shutil.rmtree(folder, ignore_errors=True)
    if not complete:
        raise UsageError(f"not every node has all {messages} messages", code="demo-incomplete")


def start_node(folder: Path, number: int, workers: int) -> Node:
    """Print and start the command; its output goes to a file in its home's folder."""
    home = folder / f"node{number}"
    shown = f"dispersy run --home {home} --listen 127.0.0.1:0 --workers {workers}"
    out.print(f"[dim]$[/dim] {escape(shown)} [dim]&[/dim]")
    command = [sys.executable, "-P", "-m", "dispersy.cli", *shown.split()[1:]]
    with open(folder / f"node{number}.log", "wb") as log:
        # A session of its own: Ctrl-C reaches this command alone, which then stops its nodes in order.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    return Node(number, home, process, Client(home, timeout_s=START_LIMIT_S))


def stop_nodes(nodes: list[Node]) -> None:
    """SIGTERM to all, and wait; what does not end in time is killed."""
    for node in nodes:
        if node.process.poll() is None:
            node.process.send_signal(signal.SIGTERM)
    limit = time.monotonic() + STOP_LIMIT_S
    for node in nodes:
        try:
            node.process.wait(max(0.0, limit - time.monotonic()))
        except subprocess.TimeoutExpired:
            node.process.kill()
            node.process.wait()


def _await_start(nodes: list[Node]) -> None:
    with err.status("starting"):
        for node in nodes:
            limit = time.monotonic() + START_LIMIT_S
            while not node.status.get("ready"):
                if node.process.poll() is not None:
                    raise _failed(node, f"node {node.number} ended with status {node.process.returncode}")
                if time.monotonic() > limit:
                    raise _failed(node, f"node {node.number} was not ready within {START_LIMIT_S:.0f} s")
                try:
                    node.status = node.client.status(brief=True)
                except UsageError as error:
                    if error.code != "not-running":
                        raise
                time.sleep(_POLL_S)


def _failed(node: Node, what: str) -> UsageError:
    lines = (node.home.parent / f"node{node.number}.log").read_text(errors="replace").splitlines()
    return UsageError(what, code="demo-start", hint=" | ".join(lines[-3:]))


def _join_all(nodes: list[Node]) -> Invite:
    """A community on the first node; the others join by its invite, as people would."""
    first = nodes[0]
    out.print(f"[dim]$[/dim] dispersy community create {COMMUNITY} --home {escape(str(first.home))}")
    made = first.client.create(COMMUNITY)
    host, _, port = first.status["listen"].rpartition(":")
    invite = Invite(made["community_id"], (Endpoint(host.strip("[]"), int(port)),))
    for node in nodes[1:]:
        out.print(f"[dim]$[/dim] dispersy community join '{invite}' --home {escape(str(node.home))}")
        node.client.join(invite.community_id, peers=[str(peer) for peer in invite.peers])
    with err.status("joining"):
        for node in nodes[1:]:
            node.client.wait_for_definition(invite.community_id.hex(), timeout_s=JOIN_LIMIT_S)
    return invite


def _publish_and_wait(nodes: list[Node], messages: int, base: int) -> float:
    """Publish on the first node until all hold everything, or nothing moves; the seconds it took."""
    for node in nodes:
        node.bytes_before = _bytes_out(node.client.status())
    out.print(f"[dim]$[/dim] seq {messages} | dispersy publish {COMMUNITY} --file - --home {nodes[0].home}")
    began = time.monotonic()
    with progress_bar() as bar:
        tasks = [bar.add_task(f"node {node.number}", total=messages) for node in nodes]

        def look(_: int = 0) -> None:
            for node, task in zip(nodes, tasks, strict=True):
                _look(node, bar, task, messages, base, began)

        payloads = (f"{number}".encode() for number in range(1, messages + 1))
        nodes[0].client.publish_many(COMMUNITY, payloads, progress=look)
        moved_at, moved_to = time.monotonic(), -1
        while any(node.done_after_s is None for node in nodes):
            look()
            together = sum(node.held for node in nodes)
            if together > moved_to:
                moved_at, moved_to = time.monotonic(), together
            elif time.monotonic() - moved_at > STALL_LIMIT_S:
                break
            time.sleep(_POLL_S)
    return time.monotonic() - began


def _look(node: Node, bar: Progress, task: Any, messages: int, base: int, began: float) -> None:
    if node.done_after_s is not None:
        return
    node.held = max(0, node.client.count(COMMUNITY) - base)
    if node.held >= messages:
        node.done_after_s = time.monotonic() - began
    bar.update(task, completed=min(node.held, messages))


def _bytes_out(status: dict[str, Any]) -> int:
    networks = [process for process in status["processes"] if process["role"] == "network"]
    return sum(int(network.get("counters", {}).get("bytes-out", 0)) for network in networks)


def _show_result(nodes: list[Node], messages: int, base: int, seconds: float) -> None:
    # Counters are reported once a second: those of the last moments shall be in.
    time.sleep(1.1)
    shown = table("node", "#messages", "#seconds", "#messages/s", "#bytes sent")
    roles = [process["role"] for process in nodes[0].client.status()["processes"]]
    memory = table("anonymous memory of", *(f"#{role}" for role in roles))
    for node in nodes:
        status = node.client.status()
        took = node.done_after_s
        name = f"{node.number}" + (" (publisher)" if node is nodes[0] else "")
        shown.add_row(
            name,
            str(node.client.count(COMMUNITY) - base),
            f"{took:.2f}" if took is not None else f"not in {seconds:.0f}",
            f"{messages / took:.0f}" if took else "-",
            size_text(_bytes_out(status) - node.bytes_before),
        )
        sizes = {each["role"]: each.get("anonymous_bytes") for each in status["processes"]}
        memory.add_row(f"node {node.number}", *(size_text(sizes.get(role) or 0) for role in roles))
    show_table(shown)
    out.print()
    show_table(memory)


def _show_kept(nodes: list[Node], folder: Path, invite: Invite) -> None:
    out.print("\nThe nodes go on running. Use them:")
    out.print(f"  dispersy subscribe {COMMUNITY} --home {nodes[-1].home}", markup=False)
    out.print(f'  dispersy publish {COMMUNITY} "hello" --home {nodes[0].home}', markup=False)
    out.print(f"  dispersy community join '{invite}'", markup=False)
    out.print("Stop them, and remove what they stored:")
    out.print(f"  kill {' '.join(str(node.process.pid) for node in nodes)}", markup=False)
    out.print(f"  rm -r {folder}", markup=False)
