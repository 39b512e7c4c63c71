"""`dispersy client add|list|remove`: who may use this node over tcp."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
import zmq
from rich.markup import escape

from dispersy.certificate import Certificate
from dispersy.cli import completion
from dispersy.cli.output import HomeOption, JsonOption, err, examples, out, show_json
from dispersy.endpoint import Endpoint
from dispersy.errors import UsageError
from dispersy.locations import home_path
from dispersy.service.home.clients import Clients
from dispersy.service.home.home import Home
from dispersy.service.settings.config_sources import load_config
from dispersy.storage.keyring import write_new

ADD_EXAMPLES = examples(
    "dispersy client add phone --tcp node.example.org --file phone.toml", "dispersy client add phone --json"
)
LIST_EXAMPLES = examples("dispersy client list")
REMOVE_EXAMPLES = examples("dispersy client remove phone")

app = typer.Typer(
    no_args_is_help=True,
    help="Let programs on other machines use the node. They come over tcp, with CURVE keys.",
    rich_markup_mode="rich",
    epilog=examples("dispersy client add phone --file phone.toml", "dispersy client list"),
)

NameArgument = Annotated[str, typer.Argument(help="What to call the client.", show_default=False)]
AllowedArgument = Annotated[
    str,
    typer.Argument(
        help="Its name, as `dispersy client list` shows it.",
        show_default=False,
        autocompletion=completion.clients,
    ),
]


@app.command("add", epilog=ADD_EXAMPLES)
def add(
    name: NameArgument,
    tcp: Annotated[
        str | None, typer.Option("--tcp", help="Host by which the client reaches the node.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Write the certificate to this new file.")
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Allow a client, and print all that it needs; its secret key is shown this once."""
    place = _existing(home)
    config = load_config(place.config, environment=os.environ).checked()
    control, events = _endpoint(config.tcp_control, tcp), _endpoint(config.tcp_events, tcp)
    if file is not None and file.exists():
        raise UsageError(
            f"{file}: there is a file of this name already", code="key-exists", hint="choose another"
        )
    clients = Clients(place.path)
    server = zmq.curve_public(clients.server_secret())
    public, secret = clients.add(name)
    certificate = Certificate(control, events, server.decode(), public.decode(), secret.decode())
    if not (config.tcp_control or config.tcp_events):
        err.print(
            "[yellow]note:[/yellow] this node does not listen on tcp yet: write a table \\[tcp] into its"
            " config.toml and start it again"
        )
    if file is not None:
        write_new(file, certificate.to_toml().encode())
    if json:
        show_json(asdict(certificate))
    elif file is not None:
        out.print(
            f"client {escape(name)} may come; its certificate is {escape(str(file))}, mode 0600. In Python:"
        )
        out.print(f"  {escape(_snippet(file.name))}")
    else:
        out.print(
            f"client {escape(name)} may come. Keep this as NAME.toml with mode 0600, it is shown once:\n"
        )
        out.print(escape(certificate.to_toml()))
        out.print(f"In Python:\n  {escape(_snippet('NAME.toml'))}")


@app.command("list", epilog=LIST_EXAMPLES)
def show(home: HomeOption = None, json: JsonOption = False) -> None:
    """Show who may come, by name and public key."""
    allowed = Clients(_existing(home).path).allowed()
    if json:
        show_json([{"name": name, "public_key": public.decode()} for public, name in allowed.items()])
        return
    for public, name in allowed.items():
        out.print(f"{escape(name)}  {escape(public.decode())}")
    if not allowed:
        out.print("no clients; over tcp nobody is let in")


@app.command("remove", epilog=REMOVE_EXAMPLES)
def remove(name: AllowedArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """Allow a client no more; a running node cuts it off within about a second."""
    Clients(_existing(home).path).remove(name)
    if json:
        show_json({"name": name})
        return
    out.print(f"client {escape(name)} may not come any more")


def _existing(home: Path | None) -> Home:
    place = Home(home_path(home))
    if not place.config.exists():
        raise UsageError(
            f"there is no home in {place.path}", code="home-missing", hint="make it: dispersy run --init-only"
        )
    return place


def _endpoint(configured: Endpoint | None, host: str | None) -> str:
    """As the client connects to it."""
    if configured is None:
        return ""
    if host is None and configured.host in ("0.0.0.0", "::"):
        raise UsageError(
            f"the node listens on {configured}, which says not where it is",
            hint="say by which host the client reaches it: --tcp HOST",
        )
    return f"tcp://{Endpoint(host or configured.host, configured.port)}"


def _snippet(file: str) -> str:
    return f'with dispersy.client.Client(certificate="{file}") as client: print(client.communities())'
