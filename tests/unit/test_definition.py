"""Goal: a definition has one form on the wire and one for people, and each fault says what is right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispersy.errors import UsageError, WireError
from dispersy.protocol.definitions import definition_toml
from dispersy.protocol.definitions.contradictions import contradiction
from dispersy.protocol.definitions.definition import (
    Definition,
    Kind,
    accept_definition,
    check_definition,
    check_payload,
    check_payload_groups,
    check_payloads,
    decode_definition,
    default_definition,
    encode_definition,
    require_enforced,
)
from dispersy.protocol.definitions.policies import GROUP_KEYS, POLICIES, Choice, Parameter, choose
from dispersy.protocol.wire.message import payload_size_max
from dispersy.protocol.wire.numbers import ControlKind

names = st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True)
DEFAULT = default_definition("demo")
TEXT = DEFAULT.kinds[0]
STATED = Definition(
    "demo",
    (
        Kind(
            number=64,
            name="text",
            authentication=choose("authentication", "double-member"),
            resolution=choose("resolution", "dynamic", initial=1),
            distribution=choose("distribution", "last-sync", newest=3, priority=70, order=2),
            destination=choose("destination", "community", fan_out=4),
            pruning=choose("pruning", "global-time", inactive_threshold=5, prune_threshold=6),
            payload=choose("payload", "messagepack", size_max=8, rate=9, schema="int"),
            batch_window_ms=10,
            frozen=True,
        ),
    ),
)
"""One that states all there is to state, but for `in_sequence`, which last-sync does not have."""


def values_of(parameter: Parameter) -> st.SearchStrategy[int | str]:
    if parameter.is_text:
        return st.sampled_from(["", "int", "{a?: [str](..4), 7: bin | nil, ...}", '"größer"\n| "\x7f"'])
    return st.integers(parameter.low, parameter.high)


@st.composite
def choices(draw: st.DrawFn, group: str) -> Choice:
    policy = draw(st.sampled_from([policy for policy in POLICIES if policy.group == group]))
    return Choice(policy, tuple(draw(values_of(parameter)) for parameter in policy.parameters))


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    """Any definition with policies that do not contradict one another."""
    kinds = []
    numbers = draw(st.lists(st.integers(64, 255), unique=True, max_size=4).map(sorted))
    for number, name in zip(numbers, draw(st.permutations(["text", "photo", "a", "z-9"])), strict=False):
        kind = Kind(number=number, name=name)
        # What goes together decides how much can be drawn: the way first, then one policy after the other.
        way = {group: draw(choices(group)) for group in ("distribution", "destination")}
        for drawn in (
            way,
            *({group: draw(choices(group))} for group in GROUP_KEYS if group not in way),
            {"batch_window_ms": draw(st.integers(0, 0xFFFF))},
            {"frozen": draw(st.booleans())},
        ):
            changed: dict[str, Any] = drawn
            other = replace(kind, **changed)
            kind = other if contradiction(other) is None else kind
        kinds.append(kind)
    return Definition(draw(names), tuple(kinds))


@given(definitions())
def test_a_definition_is_read_as_it_was_written(definition: Definition) -> None:
    assert decode_definition(encode_definition(definition)) == definition


@given(definitions())
def test_people_get_back_what_they_wrote(definition: Definition) -> None:
    assert definition_toml.parse(definition_toml.format(definition)) == definition


def recode(payload: bytes) -> bytes | str:
    try:
        return encode_definition(decode_definition(payload))
    except WireError as error:
        return error.reason


@given(st.binary(max_size=100))
def test_any_bytes_are_a_definition_or_a_named_fault(payload: bytes) -> None:
    outcome = recode(payload)
    assert outcome == payload or str(outcome).startswith("definition-")


@given(definitions(), st.data())
def test_a_damaged_definition_is_one_or_a_named_fault(definition: Definition, data: st.DataObject) -> None:
    payload = bytearray(encode_definition(definition))
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    outcome = recode(bytes(payload))
    assert outcome == bytes(payload) or str(outcome).startswith("definition-")


def plain(definition: Definition) -> dict[int, Any]:
    decoded = msgspec.msgpack.decode(encode_definition(definition))
    assert isinstance(decoded, dict)
    return decoded


def changed(path: tuple[int, ...], value: object, definition: Definition = STATED) -> bytes:
    """A definition's bytes with one value replaced or added; keys added are put in their order."""
    decoded = plain(definition)
    place = decoded
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    if isinstance(place, dict):
        ordered = sorted(place.items())
        place.clear()
        place.update(ordered)
    return msgspec.msgpack.encode(decoded)


def without(path: tuple[int, ...]) -> bytes:
    """The bytes of STATED without one entry."""
    decoded = plain(STATED)
    place = decoded
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    return msgspec.msgpack.encode(decoded)


CANONICAL = encode_definition(DEFAULT)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "definition-malformed"),
        (CANONICAL + b"\0", "definition-malformed"),
        (b"\x91" * 100_000, "definition-malformed"),
        # A list that claims 2^32 - 1 kinds, and a name that is not UTF-8.
        (b"\x83\x01\x01\x02\xa1a\x03\xdd\xff\xff\xff\xff", "definition-malformed"),
        (b"\x83\x01\x01\x02\xa1\xff\x03\x90", "definition-malformed"),
        (changed((1,), 2), "definition-version"),
        (changed((1,), 1.0), "definition-malformed"),
        (changed((1,), True), "definition-malformed"),
        (changed((2,), b"demo"), "definition-malformed"),
        (changed((2,), 7), "definition-malformed"),
        (changed((2,), "Demo"), "definition-name"),
        (changed((2,), "a" * 33), "definition-name"),
        (changed((4,), 0), "definition-key"),
        (changed((3, 0, 1), 63), "definition-kind-number"),
        (changed((3, 0, 1), 256), "definition-kind-number"),
        (changed((3, 0, 2), ""), "definition-name"),
        (changed((3, 0, 2), "text\n"), "definition-name"),
        (without((3,)), "definition-key"),
        (without((3, 0, 1)), "definition-key"),
        (without((3, 0, 2)), "definition-key"),
        (without((3, 0, 4, 1)), "definition-malformed"),
        (without((3, 0, 4, 2)), "definition-key"),
        (without((3, 0, 5, 2)), "definition-key"),
        (without((3, 0, 7, 3)), "definition-key"),
        (changed((3, 0, 8, 4), ""), "definition-not-canonical"),
        (changed((3, 0, 3), 1), "definition-malformed"),
        (changed((3, 0, 3), {}), "definition-malformed"),
        (changed((3, 0, 3, 1), 9), "definition-policy"),
        (changed((3, 0, 3, 2), 0), "definition-key"),
        (changed((3, 0, 5, 4), 256), "definition-parameter"),
        (changed((3, 0, 5, 4), "high"), "definition-parameter"),
        (changed((3, 0, 8, 2), 0), "definition-parameter"),
        (changed((3, 0, 9), -1), "definition-parameter"),
        (changed((3, 0, 9), 0x10000), "definition-parameter"),
        (changed((3, 0, 10), 2), "definition-malformed"),
        (changed((3, 0, 11), 0), "definition-key"),
        (changed((3,), [*plain(DEFAULT)[3], *plain(DEFAULT)[3]]), "definition-duplicate"),
        (msgspec.msgpack.encode(dict(reversed(plain(DEFAULT).items()))), "definition-key"),
        # 1 in two bytes, and the key 1 twice.
        (CANONICAL.replace(b"\x83\x01\x01", b"\x83\x01\xcc\x01"), "definition-not-canonical"),
        (CANONICAL.replace(b"\x83\x01\x01", b"\x84\x01\x01\x01\x01"), "definition-not-canonical"),
    ],
)
def test_other_than_canonical_is_refused_by_name(payload: bytes, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        decode_definition(payload)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("path", "default"),
    [
        ((3,), {1: 1}),
        ((4,), {1: 0}),
        ((5,), {1: 0}),
        ((5, 3), 0),
        ((5, 4), 128),
        ((5, 5), 0),
        ((6,), {1: 0}),
        ((6, 2), 0),
        ((7,), {1: 0}),
        ((8,), {1: 1}),
        ((8, 2), 971),
        ((8, 3), 0),
        ((9,), 0),
        ((10,), 0),
    ],
)
def test_what_is_at_its_default_is_left_out_and_must_be(path: tuple[int, ...], default: object) -> None:
    """Goal: stating a default, as an entry or in one, is a second form of the same definition: refused."""
    with pytest.raises(WireError) as caught:
        decode_definition(changed((3, 0, *path), default))
    assert caught.value.reason == "definition-not-canonical"


def test_the_shortest_kind_is_a_number_and_a_name() -> None:
    assert plain(DEFAULT) == {1: 1, 2: "demo", 3: [{1: 64, 2: "text"}]}


def test_fifty_kinds_fit_one_message() -> None:
    """Goal: fifty kinds with names of 12 letters can be defined, and seventy with names of 8."""
    room = payload_size_max(ControlKind.DEFINITION)
    fitting = {}
    for length in (4, 8, 12):
        kinds = [Kind(number=64 + index, name=f"{index:x}".rjust(length, "k")) for index in range(192)]
        counts = range(1, 193)
        sizes = [len(encode_definition(Definition("demo", tuple(kinds[:count])))) for count in counts]
        fitting[length] = sum(size <= room for size in sizes)
    assert fitting == {4: 99, 8: 70, 12: 54}


def test_the_default_size_is_what_always_fits() -> None:
    assert TEXT.payload.number("size_max") == payload_size_max(in_datagram=True)


@pytest.mark.parametrize(
    ("choice", "right"),
    [
        (choose("payload", "utf-8", size_max=65_417), "size_max 65417 .* kind holds 65416 bytes; use 1 to"),
    ],
)
def test_a_policy_that_is_not_enforced_is_refused_by_name(choice: Choice, right: str) -> None:
    stated: dict[str, Any] = {choice.policy.group: choice}
    photo = Kind(number=65, name="photo", **stated)
    definition = Definition("demo", (TEXT, photo))
    with pytest.raises(UsageError, match=f"kind 'photo': .*{right}"):
        require_enforced(definition)
    with pytest.raises(WireError, match="definition-not-enforced"):
        accept_definition(encode_definition(definition))


@pytest.mark.parametrize("field", [{"batch_window_ms": 10_001}])
def test_what_else_is_not_enforced_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="not enforced by this version"):
        require_enforced(Definition("demo", (replace(TEXT, **field),)))


@pytest.mark.parametrize(
    "payload",
    [
        choose("payload", "bytes", size_max=7),
        choose("payload", "bytes", size_max=971),
        choose("payload", "utf-8"),
    ],
)
def test_what_is_enforced_is_accepted(payload: Choice) -> None:
    definition = Definition("demo", (replace(TEXT, payload=payload),))
    assert accept_definition(encode_definition(definition)) == definition


def test_kinds_ascend_and_names_are_unique() -> None:
    other = Kind(number=65, name="photo")
    with pytest.raises(UsageError, match="ascend"):
        check_definition(Definition("demo", (other, TEXT)))
    with pytest.raises(UsageError, match="same number 64"):
        check_definition(Definition("demo", (TEXT, Kind(number=64, name="photo"))))
    with pytest.raises(UsageError, match="two kinds are named 'text'"):
        check_definition(Definition("demo", (TEXT, other, Kind(number=66, name="text"))))


def test_a_kind_is_found_or_the_others_are_listed() -> None:
    definition = Definition("demo", (TEXT, Kind(number=65, name="photo")))
    assert definition.kind_by_name("photo").number == 65
    assert definition.kind_by_number(64) == TEXT
    assert definition.kind_by_number(66) is None
    with pytest.raises(UsageError, match="'texts' does not exist in 'demo'; there are: text, photo"):
        definition.kind_by_name("texts")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", None),
        ("größer".encode(), None),
        (b"x" * 971, None),
        (b"x" * 972, "payload-size"),
        (b"\xff", "payload-utf-8"),
        ("ß".encode()[:1], "payload-utf-8"),
        (b"\xed\xa0\x80", "payload-utf-8"),
        (b"\xc0\x80", "payload-utf-8"),
    ],
)
def test_payloads_are_checked(payload: bytes, reason: str | None) -> None:
    assert check_payload(TEXT, payload) == reason
    assert check_payloads(TEXT, [b"good", payload]) == reason
    assert check_payload_groups(TEXT, [[b"good"], [payload, b"good"], [b"good"]]) == [None, reason, None]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\x81\xa4text\xa5hello", None),
        (b"\xc0" * 2, "payload-messagepack"),
        (b"", "payload-messagepack"),
        (b"\xa1\xff", "payload-messagepack"),
        (b"\xc4\x02\x00", "payload-messagepack"),
        (b"\xc5\x04\x00" + bytes(1_024), "payload-size"),
    ],
)
def test_messagepack_is_one_value(payload: bytes, reason: str | None) -> None:
    kind = replace(TEXT, payload=choose("payload", "messagepack"))
    require_enforced(Definition("demo", (kind,)))
    assert check_payload(kind, payload) == reason
    assert check_payload_groups(kind, [[b"\1"], [payload, b"\1"], [b"\1"]]) == [None, reason, None]


def test_a_schema_is_kept_by_every_payload() -> None:
    kind = replace(TEXT, payload=choose("payload", "messagepack", schema="{a: int, ...}"))
    require_enforced(Definition("demo", (kind,)))
    good, wrong = b"\x81\xa1a\1", b"\x81\xa1b\1"
    assert check_payloads(kind, [good, good]) is None
    assert check_payload_groups(kind, [[good], [good, wrong], [b"\xc1"], [good]]) == [
        None, "payload-schema", "payload-messagepack", None,
    ]  # fmt: skip


def test_a_schema_that_makes_no_sense_is_refused_with_the_place() -> None:
    kind = replace(TEXT, payload=choose("payload", "messagepack", schema="{a: integer}"))
    with pytest.raises(UsageError, match=r"kind 'text': schema, character 5: here is 'integer}', .* a type"):
        encode_definition(Definition("demo", (kind,)))
    with pytest.raises(WireError, match="definition-schema"):
        decode_definition(changed((3, 0, 8, 4), "integer"))


def test_bytes_are_bytes() -> None:
    assert check_payload(replace(TEXT, payload=choose("payload", "bytes")), b"\xff") is None


def test_a_character_may_not_begin_in_one_payload_and_end_in_the_next() -> None:
    first, second = "ß".encode()[:1], "ß".encode()[1:]
    assert check_payloads(TEXT, [first, second]) == "payload-utf-8"
    assert check_payload_groups(TEXT, []) == []


def test_a_flag_is_a_number_on_the_wire() -> None:
    with pytest.raises(UsageError, match="in_sequence must be a number from 0 to 1"):
        choose("distribution", "full-sync", in_sequence=True)
