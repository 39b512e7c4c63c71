"""Goal: what the held definitions say together is a function of the set of them, and as docs/definition.md
says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispersy.errors import WireError
from dispersy.ext.verify import public_key
from dispersy.protocol.definitions import held_definitions
from dispersy.protocol.definitions.definition import (
    Definition,
    Kind,
    check_payload,
    decode_definition,
    encode_definition,
    is_stored,
    shape_of,
)
from dispersy.protocol.definitions.held_definitions import HeldDefinitions
from dispersy.protocol.definitions.policies import Choice, choose
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.wire.message import NO_PREVIOUS, create_message, read_message
from dispersy.protocol.wire.numbers import ControlKind, MessageFlag

SECRET = bytes(range(32)) + public_key(bytes(range(32)))
COMMUNITY = CommunityId(SECRET[32:])


@pytest.fixture(autouse=True)
def every_policy_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is decided here does not depend on how much of the table this version enforces."""
    monkeypatch.setattr(held_definitions, "accept_definition", decode_definition)


def message(global_time: int, *kinds: Kind, payload: bytes = b"") -> bytes:
    return create_message(
        COMMUNITY,
        SECRET,
        kind=ControlKind.DEFINITION,
        global_time=global_time,
        sequence=global_time,
        payloads=[payload or encode_definition(Definition("demo", kinds))],
        previous=NO_PREVIOUS,
    )


def held(*messages: bytes) -> HeldDefinitions:
    definitions = HeldDefinitions(COMMUNITY)
    for each in messages:
        definitions.add(each)
    return definitions


def text(**policies: Any) -> Kind:
    return Kind(number=64, name="text", **policies)


LINEAR = choose("resolution", "linear")
PUBLIC = choose("resolution", "public")
LAST = choose("distribution", "last-sync", newest=3)
DIRECT = {
    "distribution": choose("distribution", "direct"),
    "destination": choose("destination", "candidate"),
}


def test_the_oldest_says_who_may_write_and_the_newest_everything_else() -> None:
    newest = text(resolution=PUBLIC, distribution=LAST, batch_window_ms=5)
    definitions = held(message(9, newest), message(2, text(resolution=LINEAR)))
    assert definitions.resolutions() == {64: "linear"}
    assert definitions.kind(64) == newest
    assert definitions.last_sync(64) == 3
    assert definitions.batch_windows() == {64: 5}
    assert definitions.current == Definition("demo", (newest,))
    dynamic = held(message(2, text(resolution=choose("resolution", "dynamic", initial=1))))
    assert dynamic.resolutions() == {64: ("dynamic", "linear")}


def test_a_kind_that_the_newest_leaves_out_stays_as_it_was() -> None:
    photo = Kind(number=65, name="photo", payload=choose("payload", "bytes", rate=4))
    definitions = held(message(1, text(), photo), message(2, text()))
    assert definitions.names() == {64, 65}
    assert definitions.rate(65) == 4
    assert definitions.refusals(65, [[b"\xff"]]) == [None]
    assert definitions.whole() == Definition("demo", (text(), photo))


def test_of_a_kind_that_nobody_names_nothing_is_admitted() -> None:
    definitions = held(message(1, text()))
    assert definitions.refusals(65, [[b"x"]]) == ["kind-unknown"]
    assert (definitions.kind(65), definitions.last_sync(65), definitions.frozen_since(65)) == (None,) * 3
    assert (definitions.rate(65), definitions.batch_windows()) == (0, {})
    assert not definitions.is_stored(65)
    assert definitions.shapes(65) == frozenset()
    assert HeldDefinitions(COMMUNITY).whole() is None


def test_a_kind_is_frozen_since_the_first_definition_of_an_unbroken_run() -> None:
    frozen, open_ = text(frozen=True), text()
    assert held(message(1, open_)).frozen_since(64) is None
    assert held(message(1, open_), message(5, frozen), message(8, frozen)).frozen_since(64) == 5
    thawed = held(message(1, frozen), message(4, open_), message(5, frozen), message(8, frozen))
    assert thawed.frozen_since(64) == 5
    assert held(message(1, frozen), message(4, open_)).frozen_since(64) is None
    assert held(message(1, frozen), message(4, Kind(number=65, name="photo"))).frozen_since(64) is None


def test_of_two_at_one_time_the_lower_id_counts_for_everything() -> None:
    one, other = message(3, text(resolution=LINEAR)), message(3, text(frozen=True))
    lower = min((one, other), key=lambda each: read_message(COMMUNITY, each).id)
    for order in ((one, other), (other, one)):
        definitions = held(*order)
        assert definitions.message == lower
        assert definitions.resolutions() == {64: "linear" if lower == one else "public"}


def test_a_message_is_admitted_that_any_of_them_admits() -> None:
    short, double = (
        text(payload=choose("payload", "utf-8", size_max=3)),
        text(authentication=choose("authentication", "double-member"), payload=choose("payload", "bytes")),
    )
    definitions = held(message(1, double), message(2, short))
    assert definitions.refusals(64, [[b"\xff" * 9], [b"abc"]]) == [None, None]
    assert definitions.shapes(64) == {MessageFlag(0), MessageFlag.TWO_AUTHORS}
    assert held(message(2, short)).refusals(64, [[b"abcd"]]) == ["payload-size"]


def test_a_kind_is_stored_where_any_of_them_says_so() -> None:
    assert held(message(1, text()), message(2, text(**DIRECT))).is_stored(64)
    assert not held(message(1, text(**DIRECT))).is_stored(64)


def test_what_is_not_understood_is_not_followed_and_hinders_nothing() -> None:
    definitions = held(message(1, text()))
    unknown_format = encode_definition(Definition("demo", (text(),))).replace(
        b"\x83\x01\x01", b"\x83\x01\x02"
    )
    with pytest.raises(WireError, match="definition-version"):
        definitions.add(message(7, payload=unknown_format))
    assert definitions.current == Definition("demo", (text(),))


def test_after_the_end_none_is_followed() -> None:
    definitions = held(message(1, text()), message(5, text(frozen=True)))
    assert definitions.end_at(4)
    assert definitions.frozen_since(64) is None
    assert not definitions.add(message(6, text(frozen=True)))
    assert not definitions.end_at(3)
    assert definitions.end_at(None)
    assert definitions.frozen_since(64) == 5


kinds = st.lists(
    st.builds(
        Kind,
        number=st.integers(64, 66),
        name=st.sampled_from(["text", "photo", "vote"]),
        resolution=st.sampled_from([PUBLIC, LINEAR, choose("resolution", "dynamic", initial=0)]),
        distribution=st.sampled_from([choose("distribution", "full-sync"), LAST]),
        payload=st.sampled_from([choose("payload", "bytes", size_max=size, rate=size) for size in (1, 2, 3)]),
        frozen=st.booleans(),
    ),
    unique_by=(lambda kind: kind.number, lambda kind: kind.name),
    max_size=3,
).map(lambda found: tuple(sorted(found, key=lambda kind: kind.number)))


def told(definitions: HeldDefinitions) -> object:
    """All that can be asked."""
    return [
        definitions.message,
        definitions.whole(),
        dict(definitions.resolutions()),
        [
            (
                definitions.kind(number),
                definitions.frozen_since(number),
                definitions.last_sync(number),
                definitions.rate(number),
                definitions.is_stored(number),
                definitions.shapes(number),
                definitions.refusals(number, [[b"x" * size] for size in range(1, 5)]),
            )
            for number in range(64, 68)
        ],
    ]


def plainly(rows: Sequence[tuple[int, bytes, Definition, bytes]], end: int | None) -> object:
    """The same by the rules as they are written, each by a look at all definitions."""
    rows = [row for row in rows if end is None or row[0] <= end]
    oldest_first = sorted(rows, key=lambda row: (row[0], row[1]))
    newest_first = sorted(sorted(rows, key=lambda row: row[1]), key=lambda row: -row[0])
    numbers = sorted({kind.number for row in rows for kind in row[2].kinds})

    def naming(number: int, ordered: Sequence[tuple[int, bytes, Definition, bytes]]) -> list[Kind]:
        return [kind for row in ordered for kind in row[2].kinds if kind.number == number]

    def resolution(choice: Choice) -> object:
        return ("dynamic", ("public", "linear")[choice.number("initial")]) if choice.values else choice.name

    def frozen(number: int) -> int | None:
        since = None
        for row in newest_first:
            if not any(kind.number == number and kind.frozen for kind in row[2].kinds):
                return since
            since = row[0]
        return since

    def of(number: int) -> object:
        all_ = naming(number, newest_first)
        now = all_[0] if all_ else None
        last = now.distribution.number("newest") if now and now.distribution.name == "last-sync" else None
        return (
            now,
            frozen(number),
            last,
            now.payload["rate"] if now else 0,
            any(is_stored(kind) for kind in all_),
            {shape_of(kind) for kind in all_},
            [
                "kind-unknown"
                if not all_
                else None
                if any(check_payload(kind, b"x" * size) is None for kind in all_)
                else "payload-size"
                for size in range(1, 5)
            ],
        )

    whole = [naming(number, newest_first)[0] for number in numbers]
    return [
        newest_first[0][3] if rows else b"",
        Definition("demo", tuple(whole)) if rows else None,
        {number: resolution(naming(number, oldest_first)[0].resolution) for number in numbers},
        [of(number) for number in range(64, 68)],
    ]


@given(
    given_=st.lists(st.tuples(st.integers(1, 4), kinds), max_size=5),
    end=st.none() | st.integers(0, 5),
    data=st.data(),
)
def test_the_order_of_arrival_never_matters(
    given_: list[tuple[int, tuple[Kind, ...]]], end: int | None, data: st.DataObject
) -> None:
    """Two nodes that hold the same definitions say the same, whatever came first and how often, and it is
    what the rules say."""
    messages = [message(global_time, *found) for global_time, found in given_]
    views = [read_message(COMMUNITY, each) for each in dict.fromkeys(messages)]
    rows = [
        (view.global_time, view.id, decode_definition(view.payloads[0]), each)
        for view, each in zip(views, dict.fromkeys(messages), strict=True)
    ]
    for _ in range(2):
        definitions = HeldDefinitions(COMMUNITY)
        steps: list[bytes | None] = [*messages, *messages[:1], None]
        for step in data.draw(st.permutations(steps)):
            before = definitions.message
            changed = definitions.end_at(end) if step is None else definitions.add(step)
            if step is None:
                assert changed == (definitions.message != before)
            else:
                assert changed == (definitions.message == step)
            data.draw(st.sampled_from([definitions.names, lambda: None]))()
        assert told(definitions) == plainly(rows, end)
