"""The commands of `dispersy` by name; a module is imported when its command is run.

Whoever asks for help, mistypes a command or presses Tab must not wait for everything that any command needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class Entry(NamedTuple):
    """Where a command is, and what the list of commands says of it.

    name        of the command, and of its function in the module
    module      in dispersy.cli
    summary     the first sentence of its own help
    is_group    whether it is a group of commands: then it is the module's `app`
    function    in the module, where it cannot have the command's name
    """

    name: str
    module: str
    summary: str
    is_group: bool = False
    function: str = ""


_ENTRIES = (
    Entry("run", "run", "Run a node until Ctrl-C."),
    Entry("community", "community", "Create, join, list and leave communities.", is_group=True),
    Entry("config", "config", "Look at the settings of a node.", is_group=True),
    Entry("key", "keys", "Keep the keys that sign for you.", is_group=True),
    Entry("client", "clients", "Let programs on other machines use the node.", is_group=True),
    Entry("publish", "messages", "Publish a message, or a file with one message a line."),
    Entry("sign", "signing", "Sign messages that need a second author, one by one, until Ctrl-C."),
    Entry("subscribe", "messages", "Print a community's messages as they come, until Ctrl-C."),
    Entry("get", "stored", "Print a stored message: by its id, or by author, kind and sequence."),
    Entry("last", "stored", "Print the newest messages of a kind, the newest first."),
    Entry("list", "stored", "Print stored messages, one a line.", function="list_messages"),
    Entry("explain", "stored", "Say what became of a message on this node."),
    Entry("bundle", "bundles", "Carry messages by file, where no network is.", is_group=True),
    Entry("count", "messages", "Print how many messages of a community this node holds."),
    Entry("authorize", "governing", "Let members do something with a kind."),
    Entry("revoke", "governing", "Take a permission from members."),
    Entry("undo", "governing", "Take back a message."),
    Entry("policy", "governing", "Say who may publish a kind from now on."),
    Entry("destroy", "governing", "End a community for everybody, for good."),
    Entry("members", "permissions", "List who holds, or held, a permission, and who has published."),
    Entry("permissions", "permissions", "Show who may do what, since when, and the proof of it."),
    Entry("block", "blocking", "Show no more what a member writes, or speak no more with an address."),
    Entry("unblock", "blocking", "Take a block back."),
    Entry("blocked", "blocking", "Show whom this node does not listen to."),
    Entry("status", "node", "Show how the node is: addresses, communities, processes."),
    Entry("peers", "node", "Show the neighbours this node walks among."),
    Entry("tracker", "tracker", "Make members of any community known to each other until Ctrl-C."),
    Entry("demo", "demo", "Start nodes, publish on one, and see every node get everything."),
)
COMMANDS = {entry.name: entry for entry in _ENTRIES}


def load(name: str) -> Any:
    """The command itself, with its options and help."""
    entry = COMMANDS[name]
    module = import_module(f"dispersy.cli.{entry.module}")
    if entry.is_group:
        return typer.main.get_group(module.app)
    single = typer.Typer(rich_markup_mode="rich", add_completion=False)
    # A module of several commands has their examples under their names.
    epilog = getattr(module, f"{name.upper()}_EXAMPLES", None) or module.EXAMPLES
    single.command(name, epilog=epilog)(getattr(module, entry.function or name))
    return typer.main.get_command(single)


class CommandList(TyperGroup):
    """The group that is `dispersy`: it lists COMMANDS, and loads the one that is meant."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, entry in COMMANDS.items():
            self.commands[name] = TyperCommand(name, help=entry.summary, rich_markup_mode="rich")

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """As every group does, but with the command itself."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name in COMMANDS else command, rest
