"""What a newer definition may change of an older one. Whoever publishes one is asked, nobody who receives it.

It may add kinds and freeze them, thaw what is frozen, and change distribution, limits, pruning and the batch
window of all messages of a kind, old ones included. It may not change what old messages mean, or who was
allowed to write them: their authors signed them for what the kind was.

Whoever receives a definition follows it as the rules say (held_definitions.py), whatever it changes.
"""

from __future__ import annotations

from dispersy.errors import UsageError
from dispersy.protocol.definitions.definition import Definition
from dispersy.protocol.definitions.kind import Kind, is_on_request, is_stored
from dispersy.protocol.definitions.policies import PRIORITY_OFFERED_MIN


def check_successor(old: Definition, new: Definition) -> None:
    """Whether a community's definition may be followed by another one; both are well-formed.

    old     the current one with every kind that was ever named: HeldDefinitions.whole()
    raises  UsageError, code definition-...: same, name, kind-removed, kind-renamed, kind-changed
    """
    if new == old:
        raise UsageError(
            "the community is defined so already",
            code="definition-same",
            hint="change the file first: `dispersy community show` prints what holds now",
        )
    if new.name != old.name:
        raise UsageError(
            f"a newer definition cannot rename the community from '{old.name}' to '{new.name}'",
            code="definition-name",
            hint=f'write the name that it has: name = "{old.name}"',
        )
    for kind in old.kinds:
        successor = new.kind_by_number(kind.number)
        if successor is None:
            raise UsageError(
                f"kind '{kind.name}', number {kind.number}, is missing: its messages are there for ever",
                code="definition-kind-removed",
                hint="keep it; frozen = true takes no more messages of it",
            )
        _check_kind(kind, successor)


def _check_kind(old: Kind, new: Kind) -> None:
    where = f"kind '{old.name}'"
    if new.name != old.name:
        raise UsageError(
            f"number {old.number} stands for '{old.name}' for ever, and cannot become '{new.name}'",
            code="definition-kind-renamed",
            hint="give the new kind a number that was never used, and keep the old kind",
        )
    for group, hint in (
        ("authentication", "who signs a message is a part of it; add a kind for another way of signing"),
        (
            "resolution",
            "a dynamic kind is changed by `dispersy policy`; others keep theirs: add a kind instead",
        ),
    ):
        if new.choices()[group] != old.choices()[group]:
            stated = f"{old.choices()[group].name} to {new.choices()[group].name}"
            if old.choices()[group].name == new.choices()[group].name:
                stated = "one initial policy to another"
            raise UsageError(
                f"{where}: {group} cannot change from {stated}", code="definition-kind-changed", hint=hint
            )
    if is_stored(old) != is_stored(new):
        there = "are stored" if is_stored(old) else "were never stored"
        raise UsageError(
            f"{where}: distribution cannot change from {old.distribution.name} to {new.distribution.name}: "
            f"its messages {there}",
            code="definition-kind-changed",
            hint="add a kind for the other way of distributing, and freeze this one",
        )
    if is_on_request(old) != is_on_request(new):
        there = "nobody was ever offered its messages" if is_on_request(old) else "everybody has its messages"
        stated = f"{old.distribution['priority']} to {new.distribution['priority']}"
        raise UsageError(
            f"{where}: priority cannot change from {stated}, across {PRIORITY_OFFERED_MIN}: {there}",
            code="definition-kind-changed",
            hint="add a kind for the other way, and freeze this one",
        )
    if old.destination.name != new.destination.name:
        raise UsageError(
            f"{where}: destination cannot change from {old.destination.name} to {new.destination.name}",
            code="definition-kind-changed",
            hint="whom a message is meant for is a part of it; add a kind for another destination",
        )
    if old.payload.name != new.payload.name:
        raise UsageError(
            f"{where}: payload cannot change from {old.payload.name} to {new.payload.name}",
            code="definition-kind-changed",
            hint="its readers could not tell which of the two a message is in; add a kind",
        )
