"""Arguments and options of several commands; apart from output.py, for what completes them needs a client."""

from __future__ import annotations

from typing import Annotated

import typer

from dispersy.cli import completion
from dispersy.errors import UsageError

ID_DIGITS = 64

CommunityArgument = Annotated[
    str,
    typer.Argument(
        help="Name, id, or the beginning of an id.", show_default=False, autocompletion=completion.communities
    ),
]
KindOption = Annotated[
    str,
    typer.Option(help="Kind of message, as the definition names it.", autocompletion=completion.kinds),
]
KindsOption = Annotated[
    list[str] | None,
    typer.Option("--kind", help="Only this kind; may be repeated.", autocompletion=completion.kinds),
]
AsOption = Annotated[
    str,
    typer.Option(
        "--as",
        help="Key that signs: its name, or its public key in hex; default: your own.",
        autocompletion=completion.keys,
    ),
]
FounderOption = Annotated[
    str,
    typer.Option(
        "--as",
        help="Key that signs, by name or in hex; default: the founder's if it is here, else your own.",
        autocompletion=completion.keys,
    ),
]
ToOption = Annotated[
    list[str] | None,
    typer.Option(
        "--to",
        help="Send it at once to this neighbour, too: key, or its beginning, or HOST:PORT; may be repeated.",
        autocompletion=completion.neighbours,
    ),
]
SecondOption = Annotated[
    str,
    typer.Option(
        "--with",
        help="Neighbour that signs it, too: key, or its beginning, or HOST:PORT; for kinds of two authors.",
        autocompletion=completion.neighbours,
    ),
]


def identifier(text: str, what: str) -> bytes:
    """An id of 64 hex digits; UsageError that calls it `what`."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) * 2 != ID_DIGITS:
        raise UsageError(
            f"{what} is {ID_DIGITS} hex digits, not {text!r}", hint="`dispersy list --json` prints whole ids"
        )
    return found
