"""Whether a kind was public at a global time, and what a change to linear cut off (rules 10 and 11)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from dispersy.constants import SEQUENCE_MAX
from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.permissions.control_bodies import PREFIX_SIZE
from dispersy.protocol.permissions.control_messages import ControlMessage, Ranges, Settings
from dispersy.protocol.permissions.powers import order_of
from dispersy.protocol.ranges import Range, divided, merged

Resolution = str | tuple[str, str]
"""`public`, `linear`, or (`dynamic`, what holds at first of the two)."""


Lane = tuple[bytes, ...]
"""Beginnings of the keys of its authors."""
CUT_LANES_MAX = 256
"""Of which is remembered what is cut off of them: they are judged one after another."""


@dataclass(frozen=True, slots=True)
class _Narrowing:
    """Settings to linear with all that continues them: what goes on counting, by lane."""

    global_time: int
    id: MessageId
    kept: dict[Lane, list[Ranges]]


@dataclass(frozen=True, slots=True)
class _Dropped:
    """Of one lane: ranges of sequences that narrowings cut off, ascending, each with the index of the first
    that does. So a message is not compared with every one of them."""

    ranges: list[Range]
    by: list[int]

    def first(self, sequence: int) -> int | None:
        place = bisect_left(self.ranges, (sequence + 1, 0)) - 1
        return self.by[place] if place >= 0 and sequence <= self.ranges[place][1] else None


class PolicyHistory:
    """The resolution of one kind over the global time.

    resolution  what the definitions say; None while they say nothing
    """

    def __init__(self) -> None:
        self.resolution: Resolution | None = None
        self._settings: dict[MessageId, ControlMessage] = {}
        self._times: list[int] = []
        self._statements: list[ControlMessage] = []
        self._narrowings: list[_Narrowing] = []
        self._dropped: dict[Lane, _Dropped] = {}
        self._is_stale = False

    @property
    def is_dynamic(self) -> bool:
        return isinstance(self.resolution, tuple)

    @property
    def is_plain(self) -> bool:
        """Whether no settings ever changed it."""
        return not self._settings

    @property
    def starts_public(self) -> bool:
        return self.resolution == "public" or self.resolution == ("dynamic", "public")

    def set_counts(self, message: ControlMessage, counts: bool) -> None:
        """Settings for this kind count from now on, or count no more."""
        if counts:
            self._settings[message.id] = message
        else:
            self._settings.pop(message.id, None)
        self._is_stale = True

    def statement(self, global_time: int) -> ControlMessage | None:
        """The settings that hold at this time; None where it still is as the definition says."""
        self._refresh()
        index = bisect_left(self._times, global_time)
        return self._statements[index - 1] if index else None

    def is_public(self, global_time: int) -> bool:
        """Whether a message of this time needs no power."""
        statement = self.statement(global_time)
        return self.starts_public if statement is None else not _settings_of(statement).is_linear

    def cut_off_by(self, authors: Sequence[MemberId], global_time: int, sequence: int) -> MessageId | None:
        """Settings that take back what was public: the first whose cut does not name the message."""
        self._refresh()
        if not self._narrowings:
            return None
        first = self._dropped_of(tuple(author[:PREFIX_SIZE] for author in authors)).first(sequence)
        if first is None or self._narrowings[first].global_time < global_time:
            return None
        return self._narrowings[first].id

    def _dropped_of(self, lane: Lane) -> _Dropped:
        dropped = self._dropped.get(lane)
        if dropped is None:
            if len(self._dropped) >= CUT_LANES_MAX:
                self._dropped.clear()
            dropped = self._dropped[lane] = _dropped(lane, self._narrowings)
        return dropped

    def is_named_since(self, author: MemberId, global_time: int) -> bool:
        """Whether all settings that take back what was public at a time let something of an author's stay."""
        self._refresh()
        since = (each for each in self._narrowings if each.global_time >= global_time)
        return all(any(author[:PREFIX_SIZE] in lane for lane in each.kept) for each in since)

    def _refresh(self) -> None:
        if not self._is_stale:
            return
        self._is_stale = False
        self._dropped.clear()
        statements: dict[int, ControlMessage] = {}
        narrowings: dict[MessageId, _Narrowing] = {}
        for message in sorted(self._settings.values(), key=order_of):
            settings = _settings_of(message)
            if settings.continues is None:
                # Of two at one global time the lower id says what holds; both cut.
                statements.setdefault(message.global_time, message)
                if settings.is_linear:
                    narrowings[message.id] = _Narrowing(message.global_time, message.id, {})
        for message in self._settings.values():
            settings = _settings_of(message)
            whole = settings.continues or message.id
            narrowing = narrowings.get(whole)
            if narrowing is not None and self._settings[whole].author == message.author:
                for author in settings.cut:
                    narrowing.kept.setdefault((author.prefix,), []).append(author.ranges)
                for pair in settings.pair_cut:
                    narrowing.kept.setdefault((pair.first, pair.second), []).append(pair.ranges)
        self._times = list(statements)
        self._statements = list(statements.values())
        self._narrowings = sorted(narrowings.values(), key=lambda each: each.global_time, reverse=True)


def _dropped(lane: Lane, narrowings: Sequence[_Narrowing]) -> _Dropped:
    left: list[Range] = [(1, SEQUENCE_MAX)]
    found: list[tuple[Range, int]] = []
    for index, narrowing in enumerate(narrowings):
        kept = merged(each for ranges in narrowing.kept.get(lane, ()) for each in ranges)
        left, gone = divided(left, kept)
        found += [(each, index) for each in gone]
        if not left:
            break
    found.sort()
    return _Dropped([each for each, _ in found], [index for _, index in found])


def _settings_of(message: ControlMessage) -> Settings:
    assert isinstance(message.body, Settings)
    return message.body
