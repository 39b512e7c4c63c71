"""What the definitions held say about each kind, as far as the intake acts on it."""

from __future__ import annotations

from dataclasses import dataclass

from dispersy.protocol.definitions.held_definitions import HeldDefinitions, Resolution
from dispersy.protocol.intake.lane import LaneRules
from dispersy.protocol.pruning import Pruning
from dispersy.protocol.wire.numbers import MessageFlag


@dataclass(frozen=True, slots=True)
class KindRules:
    """A kind that is defined.

    lanes         how many messages of its lanes are live
    frozen_since  the global time above which none is permitted; None: it is not frozen
    shapes        the flags that a message may have
    is_stored     whether its messages are kept at all
    in_sequence   whether each waits for those below it in its lane
    pruning       when its messages leave; None: never
    on_request    whether they are offered to nobody
    """

    resolution: Resolution
    lanes: LaneRules
    frozen_since: int | None
    shapes: frozenset[MessageFlag]
    is_stored: bool
    in_sequence: bool = False
    pruning: Pruning | None = None
    on_request: bool = False

    @property
    def has_pairs(self) -> bool:
        """Whether messages of two authors may be in its lanes."""
        return any(shape & MessageFlag.TWO_AUTHORS for shape in self.shapes)


def kind_rules(definitions: HeldDefinitions) -> dict[int, KindRules]:
    """Of every kind that any of the definitions names, by number."""
    return {
        number: KindRules(
            resolution,
            LaneRules(newest=definitions.last_sync(number), rate=definitions.rate(number)),
            definitions.frozen_since(number),
            definitions.shapes(number),
            definitions.is_stored(number),
            definitions.is_in_sequence(number),
            definitions.pruning(number),
            definitions.is_on_request(number),
        )
        for number, resolution in definitions.resolutions().items()
    }
