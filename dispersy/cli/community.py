"""`dispersy community create | define | join | list | show | leave | load | unload | autoload`."""

from __future__ import annotations

import math
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from dispersy.cli.arguments import AsOption, CommunityArgument, FounderOption
from dispersy.cli.offered import words
from dispersy.cli.output import (
    HomeOption,
    JsonOption,
    err,
    examples,
    id_text,
    out,
    show_json,
    show_table,
    shown_file,
    table,
    waiting,
    without_frame,
)
from dispersy.cli.watching import watch_filling, watch_removal
from dispersy.client import Client
from dispersy.endpoint import parse_endpoint, resolve_endpoint
from dispersy.errors import StorageError, UsageError
from dispersy.invite import Invite, is_sendable, parse_invite
from dispersy.protocol.definitions import definition_toml
from dispersy.protocol.definitions.definition import Definition, default_definition, encode_definition
from dispersy.protocol.definitions.kind import Kind
from dispersy.service.operations.publication import check_name, check_new

app = typer.Typer(
    help="Create, join, list and leave communities.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=examples(
        "dispersy community create chat", "dispersy community show chat", "dispersy community list"
    ),
)
_POLL_S = 0.2
_ANSWER_S = 5.0
"""A neighbour that is there has answered by then."""

READY_LIMIT_S = 10.0
"""A node that just begins to start does not know its address yet, and an invite without one is of no use."""

AUTOLOAD_MODES = ("always", "on-packet", "never")


DEFINITION_EXAMPLE = """\
name = "news"

[kinds.headline]
number = 64

[kinds.photo]
number = 65
payload = { format = "bytes", size_max = 900 }
"""


@app.command(
    epilog=examples(
        "dispersy community create chat",
        "dispersy community create news --definition news.toml",
    )
    + shown_file("news.toml, for example; docs/definition.md lists all keys and defaults", DEFINITION_EXAMPLE)
)
def create(
    name: Annotated[str, typer.Argument(help="Small letters, digits and hyphens.", show_default=False)],
    definition: Annotated[
        Path | None, typer.Option(help="TOML file with kinds and policies; without one: one kind, text.")
    ] = None,
    as_key: AsOption = "",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make a new community; this node becomes its master."""
    check_name(name)
    defined = _read_definition(definition, name) if definition is not None else default_definition(name)
    with Client(home) as client:
        made = client.create(name, encode_definition(defined), as_key=as_key)
        invite = _invite(made["community_id"], client.wait_for_ready(timeout_s=READY_LIMIT_S))
    if json:
        show_json({**without_frame(made), "invite": str(invite)})
        return
    out.print(f"created [bold]{escape(name)}[/bold]  {made['community_id'].hex()}")
    out.print(f"  you are member {made['member_id'].hex()}")
    for key in made.get("keys_made", []):
        out.print(f"  made key {escape(str(key))}")
    out.print("  others join with:")
    out.print(f"    dispersy community join '{invite}'", markup=False)
    for line in publish_hints(defined, name, made["member_id"]):
        out.print(line, markup=False)


def publish_hints(definition: Definition, name: str, member: bytes) -> list[str]:
    """How a first message is published, in a kind that is open to all where there is one."""
    open_kinds = [kind.name for kind in definition.kinds if _is_open(kind)]
    kind = "text" if "text" in open_kinds else (open_kinds or [kind.name for kind in definition.kinds])[0]
    option = "" if kind == "text" else f" --kind {kind}"
    publish = ["  publish with:", f'    dispersy publish {name} "hello"{option}']
    if open_kinds:
        return publish
    # The founder's own member, too, is one who has to be permitted.
    authorize = f"    dispersy authorize {name} {member.hex()} --kind {kind} --permission permit"
    return ["  permit members to publish, yourself first:", authorize, *publish]


def _is_open(kind: Kind) -> bool:
    """Whether every member may publish it, alone and to all."""
    name, values = kind.resolution.name, kind.resolution.values
    is_public = name == "public" or (name == "dynamic" and values == (0,))
    return is_public and kind.authentication.name == "member" and kind.destination.name == "community"


@app.command(epilog=examples("dispersy community define news --definition news.toml"))
def define(
    community: CommunityArgument,
    definition: Annotated[Path, typer.Option(help="TOML file with all kinds, old ones too.")],
    as_key: FounderOption = "",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Publish a newer definition. Only the founder can; docs/definition.md says what it may change."""
    defined = _read_definition(definition)
    with Client(home) as client:
        done = client.define(community, encode_definition(defined), as_key=as_key)
    if json:
        show_json({"ids": done.ids, "already": done.already})
        return
    kinds = ", ".join(kind.name for kind in defined.kinds)
    out.print(f"defined {escape(community)} anew; kinds: {escape(kinds)}")
    out.print(f"  message {done.ids[0].hex()}")


@app.command(epilog=examples("dispersy community join 'dispersy:<id>?peer=192.0.2.1:6421' --name chat"))
def join(
    invite: Annotated[str, typer.Argument(help="An invite, or a community's id.", show_default=False)],
    name: Annotated[str, typer.Option(help="What this node calls it; default: as it is defined.")] = "",
    wait: Annotated[bool, typer.Option(help="Wait until its definition has come.")] = True,
    as_key: AsOption = "",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Take part in a community. Ctrl-C while it waits leaves it joined.

    On a terminal it shows how the messages come, which goes on without it, too.
    """
    wanted = parse_invite(invite)
    if name:
        check_name(name)
    peers = [str(peer) for peer in wanted.peers]
    with Client(home) as client:
        made = client.join(wanted.community_id, name=name, peers=peers, as_key=as_key)
        if not json:
            already = " already" if made["already"] else ""
            out.print(f"joined{already} {wanted.community_id.hex()}")
            out.print(f"  you are member {made['member_id'].hex()}")
        if name:
            _say_name(client, wanted, name)
        try:
            entry = _await_definition(client, wanted) if wait else None
            # Of a community that was joined before, and where nobody is, nothing is to be expected.
            is_coming = entry is not None and bool(entry["peers"] or not made["already"])
            if is_coming and not json and err.is_terminal:
                watch_filling(client, wanted.community_id.hex())
        except KeyboardInterrupt:
            err.print("not waiting any longer; the community stays joined")
            raise typer.Exit from None
    if json:
        show_json({**without_frame(made), "defined": entry is not None})
    elif entry is not None:
        kinds = ", ".join(kind["name"] for kind in entry["kinds"])
        out.print(f"  it is called [bold]{escape(entry['name'])}[/bold]; kinds: {escape(kinds)}")
        out.print(f"  read it with:\n    dispersy subscribe {shlex.quote(entry['name'])}", markup=False)


@app.command("list", epilog=examples("dispersy community list", "dispersy community list --left --json"))
def list_(
    left: Annotated[bool, typer.Option("--left", help="Also those that were left and are held.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show the communities that this node has joined, and how each is.

    On a terminal ids are cut; `dispersy community show` prints one whole.
    """
    with Client(home) as client:
        entries = client.communities(left=left)
    if json:
        show_json(entries)
        return
    if not entries:
        out.print("no communities yet: dispersy community create NAME, or dispersy community join INVITE")
        return
    shown = table("name", "#messages", "state", "kinds", "autoload", "id")
    for entry in entries:
        shown.add_row(
            escape(entry["name"]),
            str(entry["count"]),
            escape(entry["state"]),
            escape(", ".join(kind["name"] for kind in entry["kinds"])) or "-",
            entry["autoload"],
            id_text(entry["community"]),
        )
    show_table(shown)


@app.command(epilog=examples("dispersy community show chat"))
def show(community: CommunityArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """Show one community, with an invite for others."""
    with Client(home) as client:
        entry = client.community(community)
        found = entry["community"]
        invite = _invite(found, client.wait_for_ready(timeout_s=READY_LIMIT_S))
    if json:
        show_json({**entry, "invite": str(invite)})
        return
    out.print(f"[bold]{escape(entry['name'])}[/bold]  {found.hex()}")
    out.print(f"  {escape(entry['state'])}")
    out.print(f"  {entry['count']} messages, global time {entry['clock']}")
    if entry["came_by"]:
        ways = sorted(entry["came_by"].items(), key=lambda way: -way[1])
        out.print(f"  came by {', '.join(f'{means} {count}' for means, count in ways)}")
    out.print(f"  you are member {entry['member'].hex()}{' and the master' if entry['is_master'] else ''}")
    for kind in entry["kinds"]:
        out.print(f"  kind {kind['name']}: {kind['payload']}, at most {kind['size_max']} bytes")
    out.print(f"  invite:\n    {invite}", markup=False)


@app.command(epilog=examples("dispersy community leave chat", "dispersy community leave chat --purge"))
def leave(
    community: CommunityArgument,
    purge: Annotated[bool, typer.Option("--purge", help="Remove what this node holds of it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before removing.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Take part in a community no more.

    Without --purge its messages stay on this node's disk, and joining again brings them back.
    """
    with Client(home) as client:
        if purge and not yes:
            _confirm_purge(client, community)
        done = client.leave(community, purge=purge)
        is_watched = purge and not json and err.is_terminal
        is_gone = is_watched and watch_removal(client, done["community"], done["messages"])
    if json:
        show_json(without_frame(done))
        return
    out.print(
        f"{'left before' if done['already'] else 'left'}: {escape(done['name'])}  {done['community'].hex()}"
    )
    held = f"its {done['messages']} messages, Dispersy's own among them,"
    if purge:
        out.print(f"  {held} are {'removed' if is_gone else 'being removed'}")
    else:
        out.print(f"  {held} stay here; join it again with its id to see them")


def _confirm_purge(client: Client, community: str) -> None:
    """Say what is removed, and ask; a program has to say --yes."""
    entries = [
        entry
        for entry in client.communities(left=True)
        if community == entry["name"] or entry["community"].hex().startswith(community.lower())
    ]
    count = sum(entry["live"] for entry in entries)
    held = f"{count} messages, Dispersy's own among them," if entries else "what is held"
    said = f"this removes {held} of {community} from this node, for good"
    if not sys.stdin.isatty():
        raise UsageError(said, code="usage", hint="say --yes if that is what you want")
    err.print(f"{said}; other nodes keep theirs", markup=False, soft_wrap=False)
    typer.confirm("Remove?", abort=True, err=True)


@app.command(epilog=examples("dispersy community load chat"))
def load(community: CommunityArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """Serve a community that was unloaded."""
    with Client(home) as client:
        done = client.load(community)
    if json:
        show_json(without_frame(done))
        return
    out.print(f"{'was loaded already' if done['already'] else 'loaded'}: {escape(community)}")


@app.command(epilog=examples("dispersy community unload chat"))
def unload(community: CommunityArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """Stay joined, but neither walk, synchronise nor publish in it; what is held can be read."""
    with Client(home) as client:
        done = client.unload(community)
    if json:
        show_json(without_frame(done))
        return
    out.print(f"{'was not loaded' if done['already'] else 'unloaded'}: {escape(community)}")


@app.command(
    epilog=examples("dispersy community autoload chat never", "dispersy community autoload chat on-packet")
)
def autoload(
    community: CommunityArgument,
    mode: Annotated[
        str,
        typer.Argument(
            help="always, on-packet (when somebody speaks to it), or never.",
            show_default=False,
            autocompletion=words(*AUTOLOAD_MODES),
        ),
    ],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Say what becomes of a community when the node starts."""
    if mode not in AUTOLOAD_MODES:
        raise UsageError(
            f"{mode!r} is no way to load", code="usage", hint=f"there are {', '.join(AUTOLOAD_MODES)}"
        )
    with Client(home) as client:
        done = client.autoload(community, mode)
    if json:
        show_json(without_frame(done))
        return
    out.print(f"when the node starts, {escape(community)} is loaded: {mode}")


def _read_definition(file: Path, name: str = "") -> Definition:
    """What a file defines; name: of the community that it shall begin, empty: there is one already."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not UTF-8 text") from None
    try:
        definition = definition_toml.parse(text)
        if name:
            check_new(name, definition)
    except UsageError as error:
        raise UsageError(f"{file}: {error}", code=error.code, hint=error.hint) from None
    return definition


def _invite(community_id: bytes, status: dict[str, Any]) -> Invite:
    """An invite with the addresses at which this node may be reached."""
    return Invite(community_id, tuple(parse_endpoint(text) for text in status["addresses"]))


def _say_name(client: Client, wanted: Invite, name: str) -> None:
    """Names are given once, so the one that was asked for may not be what it is called."""
    called = client.community(wanted.community_id.hex())["name"]
    if called != name:
        err.print(f"it is called {escape(called)} here, not {name}")


def _await_definition(client: Client, wanted: Invite) -> dict[str, Any]:
    """Wait with a line that says what is known; as long as it takes."""
    community = wanted.community_id.hex()
    entry = client.community(community)
    if entry["defined"]:
        return entry
    peers = [found for peer in wanted.peers for found in resolve_endpoint(peer)]
    listen = parse_endpoint(client.wait_for_ready(timeout_s=READY_LIMIT_S)["listen"])
    if peers and not any(is_sendable(peer, listen) for peer in peers):
        err.print(
            f"this node listens on {listen} and cannot send to {', '.join(map(str, peers))}: "
            "run it with --listen '[::]:PORT' for both IPv4 and IPv6",
            markup=False,
        )
    say_at = time.monotonic() + _ANSWER_S
    with waiting("waiting for the community's definition (Ctrl-C: it stays joined)"):
        while not (entry := client.community(community))["defined"]:
            if time.monotonic() >= say_at and not client.peers(community):
                say_at = math.inf
                asked = ", ".join(map(str, peers)) or "anyone (the invite names no node)"
                err.print(
                    f"no answer from {asked} yet; still waiting (Ctrl-C: it stays joined)", markup=False
                )
            time.sleep(_POLL_S)
    return entry
