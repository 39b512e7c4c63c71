"""Whether a kind was public at a global time, and what a change to linear cut off (rules 10 and 11)."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dispersy.constants import SEQUENCE_MAX
from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.permissions.control_bodies import PREFIX_SIZE
from dispersy.protocol.permissions.control_messages import ControlMessage, Ranges, Settings
from dispersy.protocol.ranges import Range, divided, merged

Resolution = str | tuple[str, str]
"""`public`, `linear`, or (`dynamic`, what holds at first of the two)."""


Lane = tuple[bytes, ...]
"""Beginnings of the keys of its authors."""
EVERY: Range = (1, SEQUENCE_MAX)
CUT_LANES_MAX = 256
"""Of which is remembered what is cut off of them: they are judged one after another."""


@dataclass(frozen=True, slots=True)
class _Narrowing:
    """Settings to linear with all that continues them: what goes on counting, by lane."""

    said: ControlMessage
    kept: dict[Lane, list[Ranges]] = field(default_factory=dict)

    @property
    def key(self) -> tuple[int, MessageId]:
        """The latest first."""
        return -self.said.global_time, self.said.id

    def take(self, message: ControlMessage) -> None:
        """Its own cut, or one that continues it, if the author is the same."""
        if message.author == self.said.author:
            for lane, ranges in _cut_of(_settings_of(message)):
                self.kept.setdefault(lane, []).append(ranges)

    def gone(self, lane: Lane) -> list[Range]:
        """Sequences of a lane that it does not name."""
        kept = merged(each for ranges in self.kept.get(lane, ()) for each in ranges)
        return divided([EVERY], kept)[1]


class _Dropped:
    """Of one lane: ranges of sequences that narrowings cut off, ascending, each with the latest that does. So
    a message is not compared with every one of them."""

    def __init__(self) -> None:
        self._ranges: list[Range] = []
        self._by: list[_Narrowing] = []

    def by(self, sequence: int) -> _Narrowing | None:
        place = bisect_left(self._ranges, (sequence + 1, 0)) - 1
        return self._by[place] if place >= 0 and sequence <= self._ranges[place][1] else None

    def drop(self, narrowing: _Narrowing, gone: Sequence[Range]) -> None:
        """These are cut off by one more."""
        rows = list(zip(self._ranges, self._by, strict=True))
        stays, behind = divided([EVERY], self._ranges)[1], []
        for each, by in rows:
            if by.key > narrowing.key:
                behind.append(each)
        rows = [(each, by) for each, by in rows if by.key < narrowing.key]
        fresh, others = divided(sorted([*stays, *behind]), gone)
        rows += [(each, narrowing) for each in fresh]
        for low, high in divided(others, behind)[0]:
            before = self.by(low)
            assert before is not None, "what was cut off is so no longer"
            rows.append(((low, high), before))
        rows.sort(key=lambda row: row[0])
        self._ranges, self._by = [each for each, _ in rows], [by for _, by in rows]


class PolicyHistory:
    """The resolution of one kind over the global time.

    resolution  what the definitions say; None while they say nothing
    """

    def __init__(self) -> None:
        self.resolution: Resolution | None = None
        self._settings: dict[MessageId, ControlMessage] = {}
        self._clear()

    def _clear(self) -> None:
        self._times: list[int] = []
        self._statements: list[ControlMessage] = []
        self._narrowings: list[_Narrowing] = []
        self._by_id: dict[MessageId, _Narrowing] = {}
        self._continuing: dict[MessageId, list[ControlMessage]] = {}
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
        if not counts:
            self._is_stale |= self._settings.pop(message.id, None) is not None
        elif message.id not in self._settings:
            self._settings[message.id] = message
            if not self._is_stale:
                self._add(message)

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
        by = self._dropped_of(tuple(author[:PREFIX_SIZE] for author in authors)).by(sequence)
        return None if by is None or by.said.global_time < global_time else by.said.id

    def _dropped_of(self, lane: Lane) -> _Dropped:
        dropped = self._dropped.get(lane)
        if dropped is None:
            if len(self._dropped) >= CUT_LANES_MAX:
                self._dropped.clear()
            dropped = self._dropped[lane] = _Dropped()
            for narrowing in self._narrowings:
                dropped.drop(narrowing, narrowing.gone(lane))
        return dropped

    def is_named_since(self, author: MemberId, global_time: int) -> bool:
        """Whether all settings that take back what was public at a time let something of an author's stay."""
        self._refresh()
        since = (each for each in self._narrowings if each.said.global_time >= global_time)
        return all(any(author[:PREFIX_SIZE] in lane for lane in each.kept) for each in since)

    def _refresh(self) -> None:
        """Put all together anew where something counts no more."""
        if self._is_stale:
            self._clear()
            for message in self._settings.values():
                self._add(message)

    def _add(self, message: ControlMessage) -> None:
        """In any order: what comes of it is the same."""
        settings = _settings_of(message)
        if settings.continues is not None:
            self._continuing.setdefault(settings.continues, []).append(message)
            if (whole := self._by_id.get(settings.continues)) is not None:
                whole.take(message)
                for lane, _ in _cut_of(settings):
                    self._dropped.pop(lane, None)
            return
        self._state(message)
        if settings.is_linear:
            narrowing = self._by_id[message.id] = _Narrowing(message)
            for each in (message, *self._continuing.get(message.id, ())):
                narrowing.take(each)
            insort(self._narrowings, narrowing, key=lambda each: each.key)
            for lane, dropped in self._dropped.items():
                dropped.drop(narrowing, narrowing.gone(lane))

    def _state(self, message: ControlMessage) -> None:
        """Of two at one global time the lower id says what holds; both cut."""
        place = bisect_left(self._times, message.global_time)
        if place < len(self._times) and self._times[place] == message.global_time:
            self._statements[place] = min(self._statements[place], message, key=lambda each: each.id)
        else:
            self._times.insert(place, message.global_time)
            self._statements.insert(place, message)


def _cut_of(settings: Settings) -> Iterator[tuple[Lane, Ranges]]:
    yield from (((each.prefix,), each.ranges) for each in settings.cut)
    yield from (((each.first, each.second), each.ranges) for each in settings.pair_cut)


def _settings_of(message: ControlMessage) -> Settings:
    assert isinstance(message.body, Settings)
    return message.body
