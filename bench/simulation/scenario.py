"""What a scenario is: a story that is played once a seed and variant, its measures, and its goals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness import Bench

Curve = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run measured.

    measures  by name; a measure that is 1 or 0 is something that was so or not
    curves    by name, for plots: how something grew over the world's seconds, or over something else
    """

    measures: dict[str, float]
    curves: dict[str, Curve] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Play:
    """What one run is told.

    variant   one of the scenario's
    nodes     how many, where the scenario lets one choose
    short     whether it shall take a second at most
    number    what --differences or --messages says, if anything
    """

    variant: str
    seed: int
    nodes: int
    short: bool = False
    number: int | None = None

    def size(self, full: int, *, short: int) -> int:
        return short if self.short else full


Results = Mapping[str, Sequence[Outcome]]
"""Outcomes by variant, one a seed."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of what synchronisation must show.

    about     one line
    variants  each is played; chosen by what the command line says of nodes and differences
    units     of the measures
    original  the same with the original's strategy, for the first seed of each variant
    tiny      whether its short form is part of a run without a name
    holds_short  whether all goals hold in its short form with a third to spare: then they are judged there,
              for a virtual clock shows the same on every machine
    shown     the measure that a plot shows where there are no curves; axis, scale: of curves otherwise
    """

    name: str
    about: str
    play: Callable[[Play], Outcome]
    judge: Callable[[Bench, Results], None]
    units: Mapping[str, str]
    variants: Callable[[Any], Sequence[str]] = lambda options: ("",)  # noqa: ARG005
    original: Callable[[Play], Outcome] | None = None
    nodes: int = 2
    seeds: int = 10
    tiny: bool = False
    holds_short: bool = False
    shown: str = "description"
    axis: str = "seconds of the world"
    scale: str = "linear"


def share(outcomes: Sequence[Outcome], holds: Callable[[Mapping[str, float]], bool]) -> float:
    """Of the seeds for which something holds."""
    return sum(holds(outcome.measures) for outcome in outcomes) / len(outcomes)


def mean(outcomes: Sequence[Outcome], measure: str) -> float:
    return sum(outcome.measures[measure] for outcome in outcomes) / len(outcomes)


def worst(outcomes: Sequence[Outcome], measure: str) -> float:
    return max(outcome.measures[measure] for outcome in outcomes)


def named(variant: str, what: str) -> str:
    """How a figure or goal of a variant, or a scenario, is called."""
    return f"{variant}: {what}" if variant else what
