"""What of a community is fetched first where much is missing, by priority and order of its kinds."""

from __future__ import annotations

from collections import defaultdict

from dispersy.protocol.definitions.definition import Definition
from dispersy.protocol.definitions.kind import is_on_request, is_stored
from dispersy.protocol.wire.numbers import ControlKind
from dispersy.protocol.wire.selection import Order, Selection

CONTROL = Selection(bytes(sorted(ControlKind)))
"""Comes first: in any order but ascending, messages would come before what permits them, and wait."""


def selections_of(definition: Definition) -> tuple[Selection, ...]:
    """What to fetch one after the other: kinds of higher priority first, and of one priority those that are
    ascending, descending, random.

    returns  nothing where all kinds are alike and ascending: then nothing comes before the rest. The last is
             left out if it is ascending, for it is the rest.
    """
    ranks: dict[tuple[int, Order], list[int]] = defaultdict(list)
    for kind in definition.kinds:
        if is_stored(kind) and not is_on_request(kind):
            order = Order(kind.distribution.number("order"))
            ranks[-kind.distribution.number("priority"), order].append(kind.number)
    ordered = [Selection(bytes(sorted(kinds)), order) for (_, order), kinds in sorted(ranks.items())]
    if ordered and ordered[-1].order is Order.ASCENDING:
        del ordered[-1]
    return (CONTROL, *ordered) if ordered else ()
