"""`dispersy authorize | revoke | undo | policy | destroy`: a community governs itself by signed messages."""

from __future__ import annotations

import sys
from time import monotonic, sleep
from typing import Annotated

import typer
from rich.markup import escape

from dispersy.cli import completion
from dispersy.cli.arguments import ID_DIGITS, CommunityArgument, FounderOption, identifier
from dispersy.cli.offered import words
from dispersy.cli.output import (
    SHORT_ID_DIGITS,
    HomeOption,
    JsonOption,
    err,
    examples,
    out,
    show_json,
    waiting,
)
from dispersy.client import Client, Governed
from dispersy.errors import UsageError

AUTHORIZE_EXAMPLES = examples(
    "dispersy authorize wiki 77ab... --kind page",
    "dispersy authorize wiki alice bob --kind page --permission permit,authorize,undo",
)
REVOKE_EXAMPLES = examples(
    "dispersy revoke wiki 77ab --kind page",
    "dispersy revoke wiki 77ab --kind page --permission permit,authorize",
)
UNDO_EXAMPLES = examples("dispersy undo wiki 9f2c...", "dispersy undo wiki 9f2c... --index 0 --yes")
POLICY_EXAMPLES = examples("dispersy policy wiki page linear", "dispersy policy wiki page public")
DESTROY_EXAMPLES = examples("dispersy destroy wiki --soft", "dispersy destroy wiki --hard --yes")
PERMISSIONS = ("permit", "authorize", "revoke", "undo", "settings")
RESOLUTIONS = ("public", "linear")
SYNC_LIMIT_S = 30.0
"""How long a command waits until neighbours have said that they hold the same: every few seconds they do."""
POLL_S = 0.2

MembersArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="MEMBER...",
        help="64 hex digits, the name of a key of this node, or the first digits of a known member.",
        show_default=False,
        autocompletion=completion.members,
    ),
]
KindsOption = Annotated[
    list[str],
    typer.Option(
        "--kind", help="For this kind; may be repeated.", show_default=False, autocompletion=completion.kinds
    ),
]
PermissionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--permission",
        help=f"Of {', '.join(PERMISSIONS)}; several with commas. [dim]default: permit[/dim]",
        show_default=False,
        autocompletion=words(*PERMISSIONS),
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def authorize(
    community: CommunityArgument,
    members: MembersArgument,
    kind: KindsOption,
    permission: PermissionOption = None,
    as_key: FounderOption = "",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Let members do something with a kind. Who gives a permission must hold it, and `authorize`."""
    permissions = _permissions(permission)
    with Client(home) as client:
        done = client.authorize(community, members, kinds=kind, permissions=permissions, as_key=as_key)
    _show(done, json, f"authorized {_counted(members)} for {', '.join(kind)}: {', '.join(permissions)}")


def revoke(
    community: CommunityArgument,
    members: MembersArgument,
    kind: KindsOption,
    permission: PermissionOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also where this node does not hold what its neighbours do.")
    ] = False,
    yes: YesOption = False,
    as_key: FounderOption = "",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Take a permission from members.

    What this node holds of them goes on counting; whatever else they have signed, or sign, never does.
    """
    permissions = _permissions(permission)
    with Client(home) as client:
        if force:
            _confirm(
                f"what {_counted(members)} signed and this node does not hold is hidden everywhere, for good",
                "Revoke?",
                yes=yes,
            )
        else:
            _await_sync(client, community)
        done = client.revoke(
            community, members, kinds=kind, permissions=permissions, force=force, as_key=as_key
        )
    _show(done, json, f"revoked from {_counted(members)} for {', '.join(kind)}: {', '.join(permissions)}")


def undo(
    community: CommunityArgument,
    message: Annotated[str, typer.Argument(help="Id of the message, 64 hex digits.", show_default=False)],
    index: Annotated[
        int | None, typer.Option(min=0, help="Only this payload of it, counted from 0.", show_default=False)
    ] = None,
    yes: YesOption = False,
    as_key: FounderOption = "",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Take back a message.

    Your own is erased everywhere. Another's, which takes the permission `undo`, is hidden.
    """
    message_id = identifier(message, "MESSAGE")
    with Client(home) as client:
        if index is None:
            (found, *_) = client.get(community, message_id)
            is_own = found.author == client.community(community)["member"]
            erases = "erases what it says on every node, for good"
            said = (
                f"this {erases}"
                if is_own
                else f"this hides it on every node (and {erases}, if its author signs)"
            )
            _confirm(f"{said}: message {message[:16]} of {found.author.hex()[:8]}", "Take back?", yes=yes)
        done = client.undo(community, message_id, index=index, as_key=as_key)
    what = f"message {message[:16]}" if index is None else f"payload {index} of message {message[:16]}"
    _show(done, json, f"took back {what}")


def policy(
    community: CommunityArgument,
    kind: Annotated[
        str,
        typer.Argument(
            help="Kind whose resolution is dynamic.", show_default=False, autocompletion=completion.kinds
        ),
    ],
    resolution: Annotated[
        str,
        typer.Argument(
            help="public: everybody may; linear: those who are permitted.",
            show_default=False,
            autocompletion=words(*RESOLUTIONS),
        ),
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Also where this node does not hold what its neighbours do.")
    ] = False,
    yes: YesOption = False,
    as_key: FounderOption = "",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Say who may publish a kind from now on. What was public and is held here goes on counting."""
    if resolution not in RESOLUTIONS:
        raise UsageError(f"{resolution!r} is no policy", code="usage", hint="there are public and linear")
    with Client(home) as client:
        if resolution == "linear" and force:
            _confirm(
                f"what was published in {kind} and this node does not hold is hidden everywhere, for good",
                "Change?",
                yes=yes,
            )
        elif resolution == "linear":
            _await_sync(client, community)
        done = client.policy(community, kind, resolution, force=force, as_key=as_key)
    _show(done, json, f"from now on {kind} is {resolution}")


def destroy(
    community: CommunityArgument,
    hard: Annotated[bool, typer.Option("--hard", help="Every node removes all of it.")] = False,
    soft: Annotated[bool, typer.Option("--soft", help="All stays, and nothing later counts.")] = False,
    yes: YesOption = False,
    as_key: FounderOption = "",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """End a community for everybody, for good. Only its founder can."""
    if hard == soft:
        raise UsageError(
            "say --hard or --soft", code="usage", hint="--soft keeps what is there, --hard removes it"
        )
    with Client(home) as client:
        held = client.community(community)["live"]
        said = (
            f"this removes {community} with its {held} messages from every node"
            if hard
            else (
                f"this freezes {community} on every node: its {held} messages stay, and nothing later counts"
            )
        )
        _confirm(f"{said}, for good", "End it?", yes=yes)
        done = client.destroy(community, hard=hard, yes=True, as_key=as_key)
    _show(done, json, f"ended {community}: {'its messages go' if hard else 'what is there stays'}")


def _permissions(given: list[str] | None) -> list[str]:
    named = [name for each in given or ["permit"] for name in each.split(",") if name]
    for name in named:
        if name not in PERMISSIONS:
            raise UsageError(
                f"{name!r} is no permission", code="usage", hint=f"there are {', '.join(PERMISSIONS)}"
            )
    return list(dict.fromkeys(named))


def _counted(members: list[str]) -> str:
    if len(members) > 1:
        return f"{len(members)} members"
    # A whole key fills the line; who typed it knows which it is.
    return members[0] if len(members[0]) < ID_DIGITS else f"member {members[0][:SHORT_ID_DIGITS]}"


def _confirm(said: str, question: str, *, yes: bool) -> None:
    """Say what is lost, and ask; a program has to say --yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(said, code="usage", hint="say --yes if that is what you want")
    err.print(said, markup=False, soft_wrap=False)
    typer.confirm(question, abort=True, err=True)


def _await_sync(client: Client, community: str) -> None:
    """Wait while neighbours hold something else, or have not said what; then the node decides."""
    limit = monotonic() + SYNC_LIMIT_S
    state = client.community(community)["state"]
    if not _may_get_in_sync(state):
        return
    with waiting(f"waiting until {community} is in sync with its neighbours"):
        while _may_get_in_sync(state) and monotonic() < limit:
            sleep(POLL_S)
            state = client.community(community)["state"]


def _may_get_in_sync(state: str) -> bool:
    return state.startswith(("synchronising", "not compared", "starting"))


def _show(done: Governed, json: bool, said: str) -> None:
    if json:
        show_json({"ids": done.ids, "already": done.already})
        return
    if done.already:
        out.print("nothing to do: it is so already")
        return
    out.print(escape(said))
    for message_id in done.ids:
        out.print(f"  message {message_id.hex()}")
