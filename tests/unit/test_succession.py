"""Goal: whoever publishes a newer definition is told what it may not change, why, and what to do instead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dispersy.errors import UsageError
from dispersy.protocol.definitions.definition import Definition, Kind, check_definition
from dispersy.protocol.definitions.policies import choose
from dispersy.protocol.definitions.succession import check_successor

TEXT = Kind(number=64, name="text")
PHOTO = Kind(number=65, name="photo", payload=choose("payload", "messagepack"))
SIGNAL = Kind(
    number=66,
    name="signal",
    distribution=choose("distribution", "direct"),
    destination=choose("destination", "candidate"),
)
VOTE = Kind(number=67, name="vote", resolution=choose("resolution", "dynamic", initial=0))
OLD = Definition("demo", (TEXT, PHOTO, SIGNAL, VOTE))


def changed(number: int, **policies: Any) -> Definition:
    """OLD with one kind changed."""
    kinds = [replace(kind, **policies) if kind.number == number else kind for kind in OLD.kinds]
    return Definition("demo", tuple(kinds))


@pytest.mark.parametrize(
    "new",
    [
        Definition("demo", (*OLD.kinds, Kind(number=68, name="more"))),
        changed(64, frozen=True),
        changed(64, distribution=choose("distribution", "last-sync", newest=3)),
        changed(64, distribution=choose("distribution", "full-sync", in_sequence=1)),
        changed(64, destination=choose("destination", "community", fan_out=9)),
        changed(64, pruning=choose("pruning", "global-time", inactive_threshold=1, prune_threshold=2)),
        changed(64, payload=choose("payload", "utf-8", size_max=9, rate=3)),
        changed(65, payload=choose("payload", "messagepack", schema="int")),
        changed(64, batch_window_ms=100),
    ],
)
def test_what_may_change(new: Definition) -> None:
    check_definition(new)
    check_successor(OLD, new)
    check_successor(new, Definition("demo", (*new.kinds, Kind(number=99, name="later"))))


def test_what_was_frozen_may_be_thawed() -> None:
    check_successor(changed(64, frozen=True), OLD)


@pytest.mark.parametrize(
    ("new", "code", "message", "hint"),
    [
        (OLD, "definition-same", "defined so already", "change the file first"),
        (Definition("other", OLD.kinds), "definition-name", "rename .* 'demo' to 'other'", 'name = "demo"'),
        (
            Definition("demo", (TEXT, SIGNAL, VOTE)),
            "definition-kind-removed",
            "'photo', number 65, is missing",
            "frozen = true",
        ),
        (
            changed(65, name="picture"),
            "definition-kind-renamed",
            "65 stands for 'photo' for ever, and cannot become 'picture'",
            "a number that was never used",
        ),
        (
            changed(64, authentication=choose("authentication", "double-member")),
            "definition-kind-changed",
            "'text': authentication cannot change from member to double-member",
            "add a kind",
        ),
        (
            changed(64, resolution=choose("resolution", "linear")),
            "definition-kind-changed",
            "'text': resolution cannot change from public to linear",
            "dispersy policy",
        ),
        (
            changed(67, resolution=choose("resolution", "dynamic", initial=1)),
            "definition-kind-changed",
            "'vote': resolution cannot change from one initial policy to another",
            "dispersy policy",
        ),
        (
            changed(66, distribution=choose("distribution", "full-sync")),
            "definition-kind-changed",
            "'signal': distribution cannot change from direct to full-sync: .* were never stored",
            "freeze this one",
        ),
        (
            changed(64, distribution=choose("distribution", "direct")),
            "definition-kind-changed",
            "'text': distribution cannot change from full-sync to direct: .* are stored",
            "freeze this one",
        ),
        (
            changed(66, destination=choose("destination", "community", fan_out=1)),
            "definition-kind-changed",
            "'signal': destination cannot change from candidate to community",
            "add a kind",
        ),
        (
            changed(65, payload=choose("payload", "bytes")),
            "definition-kind-changed",
            "'photo': payload cannot change from messagepack to bytes",
            "add a kind",
        ),
    ],
)
def test_what_may_not_change_is_refused_with_a_way_out(
    new: Definition, code: str, message: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        check_successor(OLD, new)
    assert caught.value.code == code
    assert hint in caught.value.hint
