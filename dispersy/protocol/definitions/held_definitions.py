"""The definitions that a community's master has published and that are held here.

Every message of kind definition that the master signed is live, also one that this version cannot make sense
of: a newer one must be able to pass through older nodes. What is answered here is a pure function of those
that are understood, whatever came first:

- what is *admitted* is judged by all of them. A message is admitted that any definition held admits, so that
  another one can only admit more, and nothing that is stored has to be judged again but behind a soft end.
- a kind's *resolution* is what the oldest one says that names it: a newer definition gives nobody permission
  and takes none away, only settings do.
- whether a kind is *on request*, too: nobody is offered later what was not, or the other way round.
- whether a kind is *stored* at all: it is where any of them says so.
- everything else is what the newest one says that names the kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal

from dispersy.errors import WireError
from dispersy.protocol.definitions.definition import (
    Definition,
    Kind,
    accept_definition,
    check_payload_groups,
    is_stored,
    shape_of,
)
from dispersy.protocol.definitions.kind import is_on_request
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.pruning import Pruning
from dispersy.protocol.wire.message import read_message
from dispersy.protocol.wire.numbers import MessageFlag

Policy = Literal["public", "linear"]
Resolution = Policy | tuple[Literal["dynamic"], Policy]
"""Who may write: anybody, whom a permit covers, or what settings say, with what holds before any."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A definition that is understood, and the message that it came in."""

    global_time: int
    message_id: bytes
    definition: Definition
    message: bytes


class HeldDefinitions:
    """One a community."""

    def __init__(self, community_id: CommunityId) -> None:
        self._community_id = community_id
        self._understood: dict[bytes, _Held] = {}
        self._end: int | None = None
        self._by_age: list[_Held] | None = None
        self._rows: dict[int, list[Kind]] = {}
        self._resolutions: dict[int, Resolution] = {}
        self._on_request: set[int] = set()
        self._windows: dict[int, int] = {}

    @property
    def current(self) -> Definition | None:
        """The newest that is understood, None until there is one."""
        held = self._ordered()
        return held[-1].definition if held else None

    @property
    def message(self) -> bytes:
        """The whole message that the current one came in, b"" without one."""
        held = self._ordered()
        return held[-1].message if held else b""

    def add(self, message: bytes) -> bool:
        """Take a definition message that the master signed; whether it is the current one now.

        raises  WireError: this version does not understand it, or not enforce it; it is live all the same
        """
        view = read_message(self._community_id, message)
        if len(view.payloads) != 1:
            raise WireError("definition-malformed")
        definition = accept_definition(view.payloads[0])
        self._understood[view.id] = _Held(view.global_time, view.id, definition, message)
        self._by_age = None
        return self.message == message

    def end_at(self, global_time: int | None) -> bool:
        """Follow none above this time, where the community was frozen then (None: it was not); whether
        another definition is the current one now."""
        before = self.message
        self._end = global_time
        self._by_age = None
        return self.message != before

    # -- what they say together ------------------------------------------------------------------------------

    def names(self) -> set[int]:
        """The numbers of all kinds that any of them names."""
        return set(self._kinds())

    def kinds(self) -> dict[int, Kind]:
        """Each kind as it is now."""
        return {number: rows[0] for number, rows in self._kinds().items()}

    def kind(self, number: int) -> Kind | None:
        """A kind as it is now, None for one that nobody names."""
        rows = self._kinds().get(number)
        return rows[0] if rows else None

    def whole(self) -> Definition | None:
        """The current one with every kind that was ever named: what a newer one must go on from."""
        current = self.current
        if current is None:
            return None
        return Definition(current.name, tuple(sorted(self.kinds().values(), key=attrgetter("number"))))

    def resolutions(self) -> Mapping[int, Resolution]:
        """Of every kind."""
        self._ordered()
        return self._resolutions

    def frozen_since(self, number: int) -> int | None:
        """The global time above which no message of a kind is permitted; None where it is not frozen.

        It is that of the first of the unbroken run of definitions that freeze it and end with the current
        one.
        """
        since = None
        for held in reversed(self._ordered()):
            kind = held.definition.kind_by_number(number)
            if kind is None or not kind.frozen:
                break
            since = held.global_time
        return since

    def last_sync(self, number: int) -> int | None:
        """How many of each author's messages of a kind stay, None: all."""
        kind = self.kind(number)
        if kind is None or kind.distribution.name != "last-sync":
            return None
        return kind.distribution.number("newest")

    def is_in_sequence(self, number: int) -> bool:
        """Whether a message of a kind waits for those below it in its lane."""
        kind = self.kind(number)
        return kind is not None and bool(kind.distribution["in_sequence"])

    def rate(self, number: int) -> int:
        """How many messages of one lane count within a block of 1,024 global times; 0: all."""
        kind = self.kind(number)
        return 0 if kind is None else kind.payload.number("rate")

    def pruning(self, number: int) -> Pruning | None:
        """When messages of a kind leave, None: never."""
        kind = self.kind(number)
        return None if kind is None else pruning_of(kind)

    def batch_windows(self) -> Mapping[int, int]:
        """How many milliseconds messages wait for company before they are decided, of the kinds that do."""
        self._ordered()
        return self._windows

    def is_stored(self, number: int) -> bool:
        """Whether messages of a kind go into the store; not where they are only handed on, or nobody names
        it."""
        return any(is_stored(kind) for kind in self._kinds().get(number, ()))

    def is_on_request(self, number: int) -> bool:
        """Whether messages of a kind are offered to nobody: as the oldest says that names it."""
        self._ordered()
        return number in self._on_request

    def shapes(self, number: int) -> frozenset[MessageFlag]:
        """The flags that a message of a kind may have: all of one of these."""
        return frozenset(shape_of(kind) for kind in self._kinds().get(number, ()))

    def refusals(self, number: int, groups: Sequence[Sequence[bytes]]) -> list[str | None]:
        """For each message of a kind, given by its payloads, why no definition admits it (None: one does)."""
        reasons: list[str | None] = ["kind-unknown"] * len(groups)
        for kind in self._kinds().get(number, ()):
            open_ones = [index for index, reason in enumerate(reasons) if reason is not None]
            if not open_ones:
                break
            judged = check_payload_groups(kind, [groups[index] for index in open_ones])
            for index, reason in zip(open_ones, judged, strict=True):
                reasons[index] = reason
        return reasons

    # -- in their order --------------------------------------------------------------------------------------

    def _kinds(self) -> dict[int, list[Kind]]:
        """Number -> the different rows that name a kind, the newest first."""
        self._ordered()
        return self._rows

    def _ordered(self) -> list[_Held]:
        """From the oldest to the newest; put in order when somebody asks, for many may come at once."""
        if self._by_age is None:
            followed = [
                held
                for held in self._understood.values()
                if self._end is None or held.global_time <= self._end
            ]
            # Of two at one time the lower id counts: it is the newer.
            followed.sort(key=attrgetter("message_id"), reverse=True)
            self._by_age = sorted(followed, key=attrgetter("global_time"))
            self._rows = _rows(self._by_age)
            first = _first_rows(self._by_age)
            self._resolutions = {number: resolution_of(kind) for number, kind in first.items()}
            self._on_request = {number for number, kind in first.items() if is_on_request(kind)}
            newest = (rows[0] for rows in self._rows.values())
            self._windows = {kind.number: kind.batch_window_ms for kind in newest if kind.batch_window_ms}
        return self._by_age


def _rows(ordered: Sequence[_Held]) -> dict[int, list[Kind]]:
    rows: dict[int, list[Kind]] = {}
    for held in reversed(ordered):
        for kind in held.definition.kinds:
            known = rows.setdefault(kind.number, [])
            # Definitions mostly repeat their kinds, and each row costs a look at every payload.
            if kind not in known:
                known.append(kind)
    return rows


def _first_rows(ordered: Sequence[_Held]) -> dict[int, Kind]:
    """By number, what the oldest says that names a kind."""
    rows: dict[int, Kind] = {}
    for kind in _kinds_from_the_oldest(ordered):
        rows.setdefault(kind.number, kind)
    return rows


def _kinds_from_the_oldest(ordered: Sequence[_Held]) -> Iterator[Kind]:
    # By the id itself here: of two at one time the lower one counts, whichever end is looked at.
    for held in sorted(ordered, key=attrgetter("global_time", "message_id")):
        yield from held.definition.kinds


def pruning_of(kind: Kind) -> Pruning | None:
    """What one row says about when its messages leave."""
    if kind.pruning.name != "global-time":
        return None
    return Pruning(kind.pruning.number("inactive_threshold"), kind.pruning.number("prune_threshold"))


def resolution_of(kind: Kind) -> Resolution:
    """What one row says about who may write."""
    if kind.resolution.name == "dynamic":
        return "dynamic", "linear" if kind.resolution["initial"] == 1 else "public"
    return "linear" if kind.resolution.name == "linear" else "public"
