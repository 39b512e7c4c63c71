"""`dispersy status` and `peers`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from dispersy.cli import completion
from dispersy.cli.output import (
    HomeOption,
    JsonOption,
    examples,
    id_text,
    out,
    show_json,
    show_table,
    size_text,
    table,
    without_frame,
)
from dispersy.client import Client
from dispersy.service.settings.config import Rate

WARNED_NAMES_MAX = 5
"""Communities that one warning of `status` names: a line of a terminal holds no more."""
STATUS_EXAMPLES = examples("dispersy status", "dispersy status --json")
PEERS_EXAMPLES = examples("dispersy peers", "dispersy peers chat --json")


def status(home: HomeOption = None, json: JsonOption = False) -> None:
    """Show how the node is: addresses, communities, processes."""
    with Client(home) as client:
        told = client.status()
    if json:
        show_json(without_frame(told))
        return
    colour = "green" if told["ready"] else "yellow"
    state = f"[{colour}]{escape(told['state'])}[/{colour}]"
    out.print(f"[bold]Dispersy {escape(told['versions']['dispersy'])}[/bold] in {escape(told['home'])}")
    out.print(f"  {state}, placement {escape(told['placement'])}")
    for (message, hint), concerned in _warnings(told).items():
        out.print(f"  [bold yellow]warning:[/bold yellow] {escape(message)}")
        if concerned:
            out.print(f"    in {escape(concerned)}")
        out.print(f"    {escape(hint)}")
    out.print(f"  listens on UDP {escape(told['listen'] or 'nothing yet')}")
    out.print(f"  others reach it at {escape(', '.join(told['addresses']) or 'no address known')}")
    if told["upload_max"]:
        waiting = f", {size_text(told['upload_waiting'])} wait" if told["upload_waiting"] else ""
        out.print(f"  sends at most {Rate(told['upload_max'])}{waiting}")
    out.print(f"  control socket {escape(told['sockets']['control'])}, last cursor {told['last_cursor']}\n")
    communities = table("community", "#messages", "state", "id")
    for entry in told["communities"]:
        communities.add_row(
            escape(entry["name"]), str(entry["count"]), escape(entry["state"]), entry["community"].hex()[:8]
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
    community: Annotated[
        str,
        typer.Argument(
            help="Name, id, or the beginning of an id; default: all.",
            show_default=False,
            autocompletion=completion.communities,
        ),
    ] = "",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show the neighbours this node walks among.

    Messages are those that each says it holds, Dispersy's own among them; a tracker holds none.
    """
    with Client(home) as client:
        found = client.peers(community)
    if json:
        show_json(found)
        return
    if not found:
        out.print("no neighbours yet; an invite with a peer's address is the way to the first one")
        return
    # As wide as a terminal: where one community is meant, it need not be named.
    named = [] if community else ["name"]
    shown = table(*named, "address", "member", "known as", "#seen s", "#rtt ms", "sync", "#messages")
    for peer in found:
        shown.add_row(
            *(escape(peer[name]) for name in named),
            peer["address"],
            id_text(peer["member"]) or "-",
            "tracker" if peer["tracker"] else peer["category"],
            _number(peer["proven_age_s"]),
            # Round trips are far below a second.
            _number(peer["round_trip_s"], 1000),
            {True: "yes", False: "no", None: "-"}[peer["in_sync"]],
            "-" if peer["messages"] is None else str(peer["messages"]),
        )
    show_table(shown)


def _warnings(told: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Message and hint of each, with the communities that it concerns.

    What became of a home is said of every community in it, and to a person once.
    """
    names = {entry["community"]: entry["name"] for entry in told["communities"]}
    concerned: dict[tuple[str, str], list[str]] = {}
    for warning in told["warnings"]:
        named = concerned.setdefault((warning["message"], warning["hint"]), [])
        if warning["community"]:
            named.append(names.get(warning["community"], warning["community"].hex()[:8]))
    return {
        text: ", ".join(named[:WARNED_NAMES_MAX])
        + (f" and {len(named) - WARNED_NAMES_MAX} more" if len(named) > WARNED_NAMES_MAX else "")
        for text, named in concerned.items()
    }


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


def _number(seconds: float | None, times: int = 1) -> str:
    return "-" if seconds is None else f"{times * seconds:.1f}"
