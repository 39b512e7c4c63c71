"""`dispersy get`, `last`, `list` and `explain`: looking at what is stored."""

from __future__ import annotations

import sys
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.markup import escape

from dispersy.cli.arguments import CommunityArgument, KindOption, KindsOption, identifier
from dispersy.cli.messages import authors_text, printable
from dispersy.cli.output import HomeOption, JsonOption, examples, id_text, out, show_json, without_frame
from dispersy.client import Client, Message
from dispersy.constants import FETCH_MAX_S
from dispersy.errors import UsageError
from dispersy.service.operations.explanation import CAME_BY

GET_EXAMPLES = examples(
    "dispersy get chat 9f2c...",
    "dispersy get chat --author 77ab... --sequence 3",
    "dispersy get files 9f2c... --fetch 10",
)
LIST_EXAMPLES = examples(
    "dispersy list chat",
    "dispersy list chat --order descending --limit 10 --json",
    "dispersy list chat --author 77ab... --from 100 --to 200",
)
LAST_EXAMPLES = examples(
    "dispersy last chat", "dispersy last chat --count 10 --json", "dispersy last news --kind front --fetch 10"
)
EXPLAIN_EXAMPLES = examples("dispersy explain chat 9f2c...")
PAGE_MAX = 1_000
LAST_MAX = 1_000
"""What the node gives at most."""

AuthorOption = Annotated[str, typer.Option(help="Public key of its author, 64 hex digits.")]
FetchOption = Annotated[
    int, typer.Option(min=0, max=int(FETCH_MAX_S), help="Seconds to ask neighbours for it; 0: not at all.")
]


class By(StrEnum):
    """What a list is ordered by."""

    GLOBAL_TIME = "global-time"
    ARRIVAL = "arrival"


class Order(StrEnum):
    """Which end a list begins at."""

    ASCENDING = "ascending"
    DESCENDING = "descending"


def get(
    community: CommunityArgument,
    message: Annotated[str, typer.Argument(help="Id of the message, 64 hex digits.")] = "",
    author: AuthorOption = "",
    kind: KindOption = "text",
    sequence: Annotated[
        int, typer.Option(help="Its number among those of its author and kind.", show_default=False)
    ] = 0,
    fetch: FetchOption = 0,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print a stored message: by its id, or by author, kind and sequence."""
    if bool(message) == bool(author and sequence):
        raise UsageError(
            "which message?", hint="give its id, or --author and --sequence: dispersy get chat 9f2c..."
        )
    with Client(home) as client:
        if message:
            found = client.get(community, identifier(message, "MESSAGE"), fetch_s=fetch)
        else:
            author_id = identifier(author, "--author")
            found = client.get(community, author=author_id, kind=kind, sequence=sequence, fetch_s=fetch)
    for each in found:
        if json:
            _show_json(each)
        else:
            _show_whole(each)


def last(
    community: CommunityArgument,
    kind: KindOption = "text",
    count: Annotated[int, typer.Option(min=1, max=LAST_MAX, help="How many.")] = 1,
    author: AuthorOption = "",
    fetch: FetchOption = 0,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print the newest messages of a kind, the newest first."""
    author_id = identifier(author, "--author") if author else None
    with Client(home) as client:
        found = client.last(community, kind=kind, count=count, author=author_id, fetch_s=fetch)
    for each in found:
        if json:
            _show_json(each)
        else:
            _show_line(each)


def list_messages(
    community: CommunityArgument,
    kind: KindsOption = None,
    author: AuthorOption = "",
    low: Annotated[int | None, typer.Option("--from", min=0, help="Lowest global time.")] = None,
    high: Annotated[int | None, typer.Option("--to", min=0, help="Highest global time.")] = None,
    by: Annotated[By, typer.Option(help="The order that all nodes share, or that of this node.")] = (
        By.GLOBAL_TIME
    ),
    order: Annotated[Order, typer.Option(help="descending: the newest first.")] = Order.ASCENDING,
    limit: Annotated[int, typer.Option(min=0, help="At most so many messages; 0: all.")] = 100,
    hidden: Annotated[bool, typer.Option("--hidden", help="Also those that do not count.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Print stored messages, one a line."""
    wanted: dict[str, Any] = {
        "kinds": kind or (),
        "author": identifier(author, "--author") if author else None,
        "time_low": low,
        "time_high": high,
        "by": by.value,
        "order": order.value,
        "hidden": hidden,
    }
    shown = 0
    after = None
    with Client(home) as client:
        while limit == 0 or shown < limit:
            room = PAGE_MAX if limit == 0 else min(PAGE_MAX, limit - shown)
            page = client.page(community, **wanted, limit=room, after=after)
            for each in page.messages:
                if json:
                    _show_json(each)
                else:
                    _show_line(each)
            shown += len(page.messages)
            after = page.next
            if after is None:
                break


def explain(
    community: CommunityArgument,
    message: Annotated[str, typer.Argument(help="Id of the message, 64 hex digits.", show_default=False)],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Say what became of a message on this node. It is shown, hidden, waits, was refused, or is unknown."""
    with Client(home) as client:
        told = client.explain(community, identifier(message, "MESSAGE"))
    if json:
        show_json(without_frame(told))
        return
    out.print(f"[bold]{escape(told['state'])}[/bold]: {escape(told['text'])}")
    if told["cursor"] is not None:
        out.print(f"  cursor {told['cursor']}")
    if told["state"] not in ("unknown", "undefined"):
        out.print(f"  how it came: {CAME_BY[told['came_by']]}")
    for title, rows in (("permitted by", told["proof"]), ("against it", told["against"])):
        if rows:
            out.print(f"  {title}")
        for row in rows:
            one = f", payload {row['index']}" if row.get("index") is not None else ""
            said = f"by {id_text(row['author'])} at global time {row['global_time']}{one}"
            out.print(f"    {row['kind']} {id_text(row['message_id'])} {said}", markup=False)


def _show_json(message: Message) -> None:
    texts: list[str | None] = []
    for payload in message.payloads:
        try:
            texts.append(payload.decode())
        except UnicodeDecodeError:
            texts.append(None)
    show_json({**asdict(message), "texts": texts})


def _show_line(message: Message) -> None:
    authors = authors_text(message.author, message.second_author)
    for index, payload in enumerate(message.payloads):
        reasons = message.hidden or (("undone",) if index in message.undone else ())
        why = f" ({', '.join(reasons)})" if reasons else ""
        # Not through the console: it takes ten times as long, and there may be a million lines.
        sys.stdout.write(f"{message.global_time} {authors} {printable(payload)}{why}\n")


def _show_whole(message: Message) -> None:
    rows = {
        "message": message.message_id.hex(),
        "author": message.author.hex(),
        "kind": message.kind or str(message.kind_number),
        "global time": message.global_time,
        "sequence": message.sequence,
        "cursor": message.cursor,
        "hidden": ", ".join(message.hidden) or "no",
    }
    if message.second_author:
        rows["signed with"] = message.second_author.hex()
    for name, value in rows.items():
        sys.stdout.write(f"{name:<12} {value}\n")
    for index, payload in enumerate(message.payloads):
        shown = "(undone)" if index in message.undone else printable(payload)
        sys.stdout.write(f"{'payload':<12} {shown}\n")
