"""`dispersy members` and `permissions`: who is in a community, and who may do what by which proof."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from dispersy.cli import completion
from dispersy.cli.arguments import CommunityArgument
from dispersy.cli.output import HomeOption, JsonOption, examples, id_text, out, show_json, show_table, table
from dispersy.client import Client

MEMBERS_EXAMPLES = examples("dispersy members wiki", "dispersy members wiki --json")
PERMISSIONS_EXAMPLES = examples(
    "dispersy permissions wiki",
    "dispersy permissions wiki --kind page --at 120",
    "dispersy permissions wiki --json",
)
PROOF_DIGITS = 8


def members(community: CommunityArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """List who holds, or held, a permission, and who has published."""
    with Client(home) as client:
        rows = client.members(community)
    if json:
        show_json(rows)
        return
    shown = table("member", "who", "permissions", "published")
    for row in rows:
        who = [word for word, holds in (("founder", row["is_founder"]), ("you", row["is_own"])) if holds]
        held = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in row["permissions"].items())
        written = "; ".join(f"{kind}: {newest}" for kind, newest in row["published"].items())
        shown.add_row(
            id_text(row["member"]),
            ", ".join(who) or "-",
            "all" if row["is_founder"] else escape(held) or "-",
            escape(written) or "-",
        )
    show_table(shown)


def permissions(
    community: CommunityArgument,
    member: Annotated[
        str,
        typer.Option(
            help="Only of this one: its key, or the first digits of it, or the name of a key of this node.",
            show_default=False,
            autocompletion=completion.members,
        ),
    ] = "",
    kind: Annotated[
        str,
        typer.Option(help="Only for this kind.", show_default=False, autocompletion=completion.kinds),
    ] = "",
    at: Annotated[
        int | None,
        typer.Option(min=0, help="As it was at this global time; default: now.", show_default=False),
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show who may do what, since when, and the proof of it.

    A proof is a chain of messages from the founder to the one that authorizes; `explain` shows each.
    """
    with Client(home) as client:
        found = client.permissions(community, member=member, kind=kind, at=at)
    if json:
        show_json({**found.about, "permissions": found.rows})
        return
    for row in found.about["kinds"]:
        allowed = "everybody may publish" if row["policy"] == "public" else "who is permitted may publish"
        changes = " (settings may change that)" if row["resolution"] == "dynamic" else ""
        out.print(f"[bold]{escape(row['kind'])}[/bold]: {allowed}{changes}")
    out.print(f"the founder {found.about['founder'].hex()} may do everything")
    if not found.rows:
        return
    shown = table("member", "kind", "permission", "#since", "#depth", "revoked", "proof")
    for row in found.rows:
        shown.add_row(
            id_text(row["member"]),
            escape(row["kind"]),
            row["permission"],
            str(row["since"]),
            str(row["depth"]),
            "yes, by " + ", ".join(each.hex()[:PROOF_DIGITS] for each in row["revoked_by"])
            if row["revoked_by"]
            else "-",
            " > ".join(each.hex()[:PROOF_DIGITS] for each in row["proof"]),
        )
    show_table(shown)
