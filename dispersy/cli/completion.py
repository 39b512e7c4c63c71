"""What the shell offers for a value: names that the running node knows, keys of the home.

Whoever presses Tab waits, and looks at a line that is half typed: the node is asked with a short limit, and
where it is not there, or says no, nothing is offered and nothing is said.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from pathlib import Path

import typer

from dispersy.cli.offered import beginning
from dispersy.client import Client
from dispersy.errors import DispersyError
from dispersy.locations import home_path
from dispersy.service.home.clients import Clients
from dispersy.service.home.home import Home

ANSWER_LIMIT_S = 1.0


def communities(context: typer.Context, incomplete: str) -> list[str]:
    """Names of the communities, or the id whose beginning is typed."""
    names: list[str] = []
    ids: list[str] = []
    with suppress(DispersyError), Client(_home(context), timeout_s=ANSWER_LIMIT_S) as client:
        for entry in client.communities():
            names.append(entry["name"])
            ids.append(entry["community"].hex())
    # An id is for whoever has begun to type one: among others it would hide the names.
    return beginning(names, incomplete) or beginning(ids if incomplete else (), incomplete)


def kinds(context: typer.Context, incomplete: str) -> list[str]:
    """Of the community that is named on the line, or of all."""
    wanted = _community(context)
    found: dict[str, None] = {}
    with suppress(DispersyError), Client(_home(context), timeout_s=ANSWER_LIMIT_S) as client:
        entries = [client.community(wanted)] if wanted else client.communities()
        found = {kind["name"]: None for entry in entries for kind in entry["kinds"]}
    return beginning(found, incomplete)


def keys(context: typer.Context, incomplete: str) -> list[str]:
    """Names of the keys in the home, whether its node runs or not."""
    with suppress(DispersyError, OSError):
        # What opens keys takes long to import, and is rarely asked for.
        keyring = import_module("dispersy.storage.keyring").Keyring(Home(_home(context)).keys)
        return beginning(keyring.names(), incomplete)
    return []


def members(context: typer.Context, incomplete: str) -> list[str]:
    """Members of the community that is named on the line; keys of the home, which may be newcomers to it."""
    found = keys(context, incomplete)
    wanted = _community(context)
    if wanted:
        with suppress(DispersyError), Client(_home(context), timeout_s=ANSWER_LIMIT_S) as client:
            found += beginning([entry["member"].hex() for entry in client.members(wanted)], incomplete)
    return found


def clients(context: typer.Context, incomplete: str) -> list[str]:
    """Names of the clients that may use the node over tcp."""
    with suppress(DispersyError, OSError):
        return beginning(Clients(_home(context)).names(), incomplete)
    return []


def blocked(context: typer.Context, incomplete: str) -> list[str]:
    """Members and addresses that are blocked."""
    found: list[str] = []
    with suppress(DispersyError), Client(_home(context), timeout_s=ANSWER_LIMIT_S) as client:
        found = [entry["member"].hex() or entry["address"] for entry in client.blocked()]
    return beginning(found, incomplete)


def neighbours(context: typer.Context, incomplete: str) -> list[str]:
    """Keys of the neighbours in the community that is named on the line, or in all."""
    found: dict[str, None] = {}
    with suppress(DispersyError), Client(_home(context), timeout_s=ANSWER_LIMIT_S) as client:
        peers = client.peers(_community(context))
        found = {peer["member"].hex(): None for peer in peers if peer["member"]}
    return beginning(found, incomplete)


def _community(context: typer.Context) -> str:
    """The one that is named on the line; empty: none is.

    An option that waits for its value ends the reading of a line, before arguments are given their names. All
    commands that ask here take the community first.
    """
    return str(context.params.get("community") or next(iter(context.args), ""))


def _home(context: typer.Context) -> Path:
    return home_path(context.params.get("home"))
