"""`dispersy status` and `peers`."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any

import typer
from rich.markup import escape

from dispersy.cli.output import (
    HomeOption,
    JsonOption,
    examples,
    out,
    readable,
    show_json,
    show_table,
    size_text,
    table,
)
from dispersy.client import Client

STATUS_EXAMPLES = examples("dispersy status", "dispersy status --json")
PEERS_EXAMPLES = examples("dispersy peers", "dispersy peers chat --json")


def print_version() -> None:
    """The version of this installation."""
    out.print(f"dispersy {version('dispersy')}")


def status(home: HomeOption = None, json: JsonOption = False) -> None:
    """Show how the node is: addresses, communities, processes."""
    with Client(home) as client:
        told = client.status()
    told = {key: value for key, value in told.items() if key not in ("v", "id", "ok")}
    if json:
        show_json(told)
        return
    colour = "green" if told["ready"] else "yellow"
    state = f"[{colour}]{escape(told['state'])}[/{colour}]"
    out.print(f"[bold]Dispersy {escape(told['versions']['dispersy'])}[/bold] in {escape(told['home'])}")
    out.print(f"  {state}, placement {escape(told['placement'])}")
    for warning in told["warnings"]:
        out.print(f"  [bold yellow]warning:[/bold yellow] {escape(warning['message'])}")
        out.print(f"    {escape(warning['hint'])}")
    out.print(f"  listens on UDP {escape(told['listen'] or 'nothing yet')}")
    out.print(f"  others reach it at {escape(', '.join(told['addresses']) or 'no address known')}")
    out.print(f"  control socket {escape(told['sockets']['control'])}, last cursor {told['last_cursor']}\n")
    communities = table("community", "#messages", "#global time", "id")
    for entry in told["communities"]:
        communities.add_row(
            escape(entry["name"]), str(entry["count"]), str(entry["clock"]), entry["community"].hex()[:16]
        )
    if told["communities"]:
        show_table(communities)
    else:
        out.print("no communities yet")
    out.print()
    processes = table("process", "state", "#pid", "#restarts", "#cpu s", "#anonymous", "#file-backed")
    for process in told["processes"]:
        processes.add_row(*_process_row(process))
    show_table(processes)


def peers(
    community: Annotated[str, typer.Argument(help="Name, id, or the beginning of an id; default: all.")] = "",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show the neighbours this node walks among."""
    with Client(home) as client:
        found = client.peers(community)
    if json:
        show_json(found)
        return
    if not found:
        out.print("no neighbours yet; an invite with a peer's address is the way to the first one")
        return
    columns = [key for key in dict.fromkeys(key for peer in found for key in peer) if key != "community"]
    shown = table(*(_title(column) for column in columns))
    for peer in found:
        shown.add_row(*(_cell(column, peer.get(column)) for column in columns))
    show_table(shown)


def _title(column: str) -> str:
    if column.endswith("_s"):
        # Round trips are far below a second.
        column = "#" + column.removesuffix("_s") + ("_ms" if column == "round_trip_s" else "_s")
    return column.replace("_", " ")


def _process_row(process: dict[str, Any]) -> list[str]:
    return [
        process["role"],
        escape(process.get("state", "")),
        str(process.get("pid") or "-"),
        str(process.get("restarts", 0)),
        f"{process.get('cpu_seconds', 0.0):.1f}",
        size_text(process["anonymous_bytes"]) if "anonymous_bytes" in process else "-",
        size_text(process["file_bytes"]) if "file_bytes" in process else "-",
    ]


def _cell(column: str, value: object) -> str:
    shown = readable(value)
    if shown is None or shown == "":
        return "-"
    if isinstance(shown, float):
        return f"{1000 * shown:.1f}" if column == "round_trip_s" else f"{shown:.1f}"
    return escape(str(shown))
