"""A chat in a terminal, over a node of Dispersy.

    python chat.py [--home HOME]

What is typed is published. Lines that begin with a slash are commands: /create NAME, /join INVITE [NAME],
/invite, /nick NAME, /help, /quit. Ctrl-N and Ctrl-P show the next and the previous community.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import defaultdict
from typing import Any, ClassVar

from rich.text import Text
from rooms import Room, readable
from textual import work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.events import Key
from textual.widgets import Input, OptionList, RichLog, Static

from dispersy import AsyncClient, Community, UsageError, kind
from dispersy.invite import parse_invite

HELP = "/create NAME   /join INVITE [NAME]   /invite   /nick NAME   /quit   Ctrl-N, Ctrl-P: communities"
STATE_EVERY_S = 1.0
PAINT_EVERY_S = 0.1
"""A history of ten thousand messages arrives in a second: the screen does not follow each."""
ANSWER_LIMIT_S = 3.0
LINES_SHOWN_MAX = 500


class Lounge(Community):
    """What is created here. Others can be joined, too; without a `nick` their people are parts of keys."""

    text = kind(64, str)
    nick = kind(65, str, size_max=64)


class Typed(Input):
    """The line for what is typed."""

    def on_key(self, event: Key) -> None:
        """Take Enter in its turn: as a binding it would be performed after what is typed behind it."""
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            self.post_message(self.Submitted(self, self.value))
            self.value = ""


class Chat(App[None]):
    """Communities on the left, messages of one of them, what is typed, and how the node is."""

    CSS = """
    #communities { width: 18; height: 1fr; border: none; border-right: solid $primary; }
    #messages { height: 1fr; padding: 0 1; overflow-x: hidden; }
    #notice { height: auto; max-height: 6; padding: 0 1; color: $text-muted; }
    #typed { height: 1; border: none; padding: 0 1; }
    #state { height: 1; padding: 0 1; background: $primary; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("ctrl+n", "step(1)", "next community"),
        ("ctrl+p", "step(-1)", "previous community"),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, home: str | None) -> None:
        super().__init__()
        self.client = AsyncClient(home)
        self.rooms: defaultdict[bytes, Room] = defaultdict(Room)
        self.entries: list[dict[str, Any]] = []
        self.shown = b""
        self.painted = 0
        self.is_away = False
        self.is_caught_up = False

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield OptionList(id="communities")
            yield RichLog(id="messages", wrap=True, min_width=20)
        yield Static(id="notice", markup=False)
        yield Typed(id="typed", placeholder="a message, or /help")
        yield Static("looking for the node", id="state", markup=False)

    def on_mount(self) -> None:
        self.query_one("#communities").can_focus = False
        self.query_one("#typed").focus()
        self.set_interval(PAINT_EVERY_S, self.paint)
        self.follow()
        self.watch_state()

    # What the node tells.

    @work
    async def follow(self) -> None:
        """All communities from the beginning, also those that are joined later; over restarts of the node."""
        since: str | int = "begin"
        while True:
            try:
                async for event in self.client.follow(since=since, on_absence=self.note_absence):
                    # What is in no log has the cursor 0.
                    since = event.cursor or since
                    self.is_caught_up |= event.event == "caught-up"
                    if event.community:
                        self.rooms[event.community].take(event)
            except UsageError as error:
                if error.code == "cursor-ahead":
                    # An older state of the node was restored: what is shown already is known by its ids.
                    since = "begin"
                else:
                    self.note_absence()
                await asyncio.sleep(STATE_EVERY_S)

    @work
    async def watch_state(self) -> None:
        """Which communities there are, and how the node is."""
        while True:
            try:
                async with asyncio.timeout(ANSWER_LIMIT_S):
                    await self.ask_state()
            except (UsageError, TimeoutError):
                self.note_absence()
            await asyncio.sleep(STATE_EVERY_S)

    async def ask_state(self) -> None:
        status = await self.client.status(brief=True)
        if self.is_away:
            self.is_away = False
            self.say("the node is back")
        entries = status["communities"]
        if not self.shown and entries:
            self.show(entries[0]["community"])
        self.entries = entries
        around = [entry["state"] for entry in entries if entry["community"] == self.shown]
        held = "all shown" if self.is_caught_up else "loading"
        # Where it listens is of no use here, and would take the place of what is.
        told = " · ".join(["ready" if status["ready"] else status["state"], *around, held])
        self.query_one("#state", Static).update(readable(told.encode()))

    def note_absence(self) -> None:
        if not self.is_away:
            self.is_away = True
            self.say("the node is away; what is typed waits for it")
        self.query_one("#state", Static).update("the node is away: is `dispersy run` running?")

    # What is shown.

    def say(self, text: str) -> None:
        """A word of the chat itself; it stands until the next."""
        self.query_one("#notice", Static).update(text)

    def show(self, community_id: bytes) -> None:
        self.shown = community_id
        self.rooms[community_id].changed = True

    def paint(self) -> None:
        room = self.rooms[self.shown]
        log = self.query_one("#messages", RichLog)
        if room.changed:
            log.clear()
            self.painted = max(0, len(room.lines) - LINES_SHOWN_MAX)
        for line in room.lines[self.painted :]:
            log.write(Text.assemble((room.name(line.author), "bold"), " ", line.text))
        self.painted, room.changed, room.unread = len(room.lines), False, 0
        self.paint_communities()

    def paint_communities(self) -> None:
        rows = []
        for entry in self.entries:
            unread = self.rooms[entry["community"]].unread
            rows.append(f"{entry['name']}{f' ({unread})' * bool(unread)}{'' if entry['defined'] else ' …'}")
        listed = self.query_one("#communities", OptionList)
        if rows != [str(listed.get_option_at_index(index).prompt) for index in range(listed.option_count)]:
            listed.clear_options()
            listed.add_options([Text(row) for row in rows])
        ids = [entry["community"] for entry in self.entries]
        listed.highlighted = ids.index(self.shown) if self.shown in ids else None

    def action_step(self, count: int) -> None:
        ids = [entry["community"] for entry in self.entries]
        if self.shown in ids:
            self.show(ids[(ids.index(self.shown) + count) % len(ids)])

    def on_option_list_option_selected(self, selected: OptionList.OptionSelected) -> None:
        self.show(self.entries[selected.option_index]["community"])

    # What is typed.

    def on_input_submitted(self, submitted: Input.Submitted) -> None:
        if text := submitted.value.strip():
            self.perform(text)

    @work
    async def perform(self, text: str) -> None:
        """A command, or a message; each in a task of its own, as the node may be away for a while."""
        word, *rest = text.split()
        try:
            if text.startswith("/"):
                await self.command(word, rest)
            else:
                await self.community().text.publish(text)
        except UsageError as error:
            self.say(f"{text}: {error}" + (f" ({error.hint})" if error.hint else ""))

    async def command(self, word: str, rest: list[str]) -> None:
        match [word, *rest]:
            case ["/create", name]:
                self.show((await Lounge.create(self.client, name)).id)
                await self.invite()
            case ["/join", invite, *names] if len(names) < 2:
                wanted = parse_invite(invite)
                peers = [str(peer) for peer in wanted.peers]
                await self.client.join(wanted.community_id, name="".join(names), peers=peers)
                self.show(wanted.community_id)
            case ["/invite"]:
                await self.invite()
            case ["/nick", name]:
                await self.community().nick.publish(name)
            case ["/quit"]:
                self.exit()
            case _:
                self.say(HELP)

    async def invite(self) -> None:
        invite = await self.community().invite()
        # Terminals that take it save their person from copying what is longer than a line.
        self.copy_to_clipboard(f"/join {invite}")
        self.say(f"others join with: /join {invite}")

    def community(self) -> Lounge:
        """The one that is shown."""
        if not self.shown:
            raise UsageError("there is no community yet", hint="/create NAME, or /join INVITE")
        return Lounge(self.client, self.shown)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A chat in a terminal, over a node of Dispersy.")
    parser.add_argument("--home", help="the node's home; else DISPERSY_HOME, or as for `dispersy run`")
    Chat(parser.parse_args().home).run()
