"""`dispersy block | unblock | blocked`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from dispersy.cli import completion
from dispersy.cli.output import (
    HomeOption,
    JsonOption,
    examples,
    out,
    show_json,
    show_table,
    table,
    without_frame,
)
from dispersy.client import Client

BLOCK_EXAMPLES = examples(
    "dispersy block 77ab... --community chat", "dispersy block 192.0.2.1", "dispersy block 192.0.2.1:6421"
)
UNBLOCK_EXAMPLES = examples("dispersy unblock 192.0.2.1")
BLOCKED_EXAMPLES = examples("dispersy blocked", "dispersy blocked --json")

WhoArgument = Annotated[
    str,
    typer.Argument(help="A member (64 hex digits), or an address HOST or HOST:PORT.", show_default=False),
]
BlockedArgument = Annotated[
    str,
    typer.Argument(
        help="A member, or an address, as `dispersy blocked` shows it.",
        show_default=False,
        autocompletion=completion.blocked,
    ),
]
CommunityOption = Annotated[
    str,
    typer.Option(
        "--community",
        help="Where the member is blocked; default: everywhere.",
        show_default=False,
        autocompletion=completion.communities,
    ),
]


def block(
    who: WhoArgument, community: CommunityOption = "", home: HomeOption = None, json: JsonOption = False
) -> None:
    """Show no more what a member writes, or speak no more with an address.

    Nobody is told. What a blocked member writes is still held and passed on, but not shown.
    """
    with Client(home) as client:
        done = client.block(who, community=community)
    if json:
        show_json(without_frame(done))
        return
    out.print(f"{'was blocked already' if done['already'] else 'blocked'}: {escape(who)}")


def unblock(
    who: BlockedArgument, community: CommunityOption = "", home: HomeOption = None, json: JsonOption = False
) -> None:
    """Take a block back. `subscribe --since begin` shows what the member wrote meanwhile."""
    with Client(home) as client:
        done = client.unblock(who, community=community)
    if json:
        show_json(without_frame(done))
        return
    out.print(f"{'was not blocked in this way' if done['already'] else 'unblocked'}: {escape(who)}")


def blocked(home: HomeOption = None, json: JsonOption = False) -> None:
    """Show whom this node does not listen to."""
    with Client(home) as client:
        entries = client.blocked()
        names = {entry["community"]: entry["name"] for entry in client.communities(left=True)}
    if json:
        show_json(entries)
        return
    if not entries:
        out.print("nobody is blocked")
        return
    shown = table("who", "where")
    for entry in entries:
        where = (
            names.get(entry["community"], entry["community"].hex()) if entry["community"] else "everywhere"
        )
        shown.add_row(entry["member"].hex() or entry["address"], escape(where))
    show_table(shown)
