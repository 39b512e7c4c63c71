"""What a chat shows of its communities, made of the events of a follow; knows neither terminal nor node."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from operator import attrgetter

from dispersy.client import Event

LINES_MAX = 10_000
"""Of one community; the node keeps the rest. So many are read in no evening and cost some megabytes."""
NICK_LENGTH_MAX = 16
_place = attrgetter("global_time", "message_id", "index")


@dataclass(frozen=True, slots=True)
class Line:
    """One message's text."""

    global_time: int
    message_id: bytes
    index: int
    author: bytes
    text: str


@dataclass(slots=True)
class Room:
    """One community.

    lines     by global time: what was written earlier comes earlier, whenever it arrived
    nicks     author -> (global time of the choice, its message's id, name)
    changed   whether lines are not what they were with more at the end
    unread    how many came while another room was shown
    """

    lines: list[Line] = field(default_factory=list)
    nicks: dict[bytes, tuple[int, bytes, str]] = field(default_factory=dict)
    changed: bool = False
    unread: int = 0

    def take(self, event: Event) -> None:
        """An event of this community; of a kind that is not ours, or of a later version: nothing happens."""
        if event.event == "message":
            self._add(event, event.index, event.payload)
        elif event.event == "restored":
            for index, payload in enumerate(event.payloads, start=event.index or 0):
                self._add(event, index, payload)
        elif event.event in ("denied", "undone"):
            self._take_away(event)

    def name(self, author: bytes) -> str:
        """What its author is called here: names are free to choose, so a part of the key stands behind."""
        short = author.hex()[:4]
        chosen = self.nicks.get(author)
        return f"{chosen[2]}~{short}" if chosen else short

    def _take_away(self, event: Event) -> None:
        """What no longer counts: a message, or where an index says so one of its payloads."""
        self.lines = [
            line
            for line in self.lines
            if line.message_id != event.message_id or event.index not in (None, line.index)
        ]
        if event.author in self.nicks and self.nicks[event.author][1] == event.message_id:
            del self.nicks[event.author]
        self.changed = True

    def _add(self, event: Event, index: int, payload: bytes) -> None:
        text = readable(payload)
        if event.kind == "nick":
            known = self.nicks.get(event.author, (0, b"", ""))
            chosen = (event.global_time, event.message_id, text[:NICK_LENGTH_MAX])
            self.nicks[event.author] = max(known, chosen)
            self.changed = True
        elif event.kind == "text":
            line = Line(event.global_time, event.message_id, index, event.author, text)
            place = bisect_left(self.lines, _place(line), key=_place)
            if line in self.lines[place : place + 1]:
                return
            self.changed |= place < len(self.lines)
            self.lines.insert(place, line)
            self.unread += 1
            if len(self.lines) > LINES_MAX:
                del self.lines[:-LINES_MAX]
                self.changed = True


def readable(payload: bytes) -> str:
    """As text that cannot move the cursor or colour the terminal: anybody may have written it."""
    text = payload.decode(errors="replace")
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
