"""Goal: a schema allows what its plain twin allows, and its text says where it is wrong."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispersy.errors import UsageError
from dispersy.protocol.definitions.schema import SCHEMA_DEPTH_MAX, compile_schema
from tests.oracle.schema import Tree, fits, written

keys = st.sampled_from(["a", "b", 7, -1])
small = st.integers(0, 3)


def bounds(low: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(low, small).map(lambda pair: (pair[0], pair[0] + pair[1]))


plain = st.one_of(
    st.sampled_from([("any",), ("nil",), ("bool",), ("float",), ("text", "a"), ("text", "ß")]),
    bounds(st.integers(-200, 200)).map(lambda pair: ("int", *pair)),
    bounds(small).map(lambda pair: ("str", *pair)),
    bounds(small).map(lambda pair: ("bin", *pair)),
)
TYPE_OF = {"text": "str", "tuple": "array", "dictionary": "map"}


def one_of_each(found: list[Tree]) -> Tree:
    """Alternatives whose values' own types tell them apart."""
    kept: dict[str, Tree] = {}
    for tree in found:
        kept.setdefault(TYPE_OF.get(tree[0], tree[0]), tree)
    return ("or", list(kept.values())) if len(kept) > 1 else found[0]


def larger(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    fields = st.dictionaries(keys, st.tuples(st.booleans(), inner), max_size=3)
    return st.one_of(
        st.tuples(inner, bounds(small)).map(lambda pair: ("array", pair[0], *pair[1])),
        st.lists(inner, min_size=2, max_size=3).map(lambda items: ("tuple", items)),
        st.tuples(inner, inner, bounds(small)).map(lambda three: ("dictionary", *three[:2], *three[2])),
        st.tuples(fields, st.booleans()).map(lambda pair: ("map", *pair)),
        st.lists(inner.filter(lambda tree: tree[0] not in ("any", "or")), min_size=2, max_size=3).map(
            one_of_each
        ),
    )


trees: st.SearchStrategy[Tree] = st.recursive(plain, larger, max_leaves=12)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 64) - 1) | st.integers(-200, 200),
    st.floats(allow_nan=False),
    st.text(max_size=4),
    st.binary(max_size=4),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | st.booleans(), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def fitting(draw: st.DrawFn, tree: Tree) -> Any:
    """A value that is what a schema says, or nearly: here and there something else."""
    if draw(st.integers(0, 19)) == 0:
        return draw(values)
    match tree:
        case ("nil",):
            return None
        case ("bool",):
            return draw(st.booleans())
        case ("float",):
            return draw(st.floats(allow_nan=False))
        case ("int", low, high):
            return draw(st.integers(low, high))
        case ("str", low, high):
            return draw(st.text("abc", min_size=low, max_size=high))
        case ("bin", low, high):
            return draw(st.binary(min_size=low, max_size=high))
        case ("text", text):
            return text
        case ("array", item, low, high):
            return [draw(fitting(item)) for _ in range(draw(st.integers(low, high)))]
        case ("tuple", items):
            return [draw(fitting(item)) for item in items]
        case ("dictionary", key, value, low, high):
            made = [(draw(fitting(key)), draw(fitting(value))) for _ in range(draw(st.integers(low, high)))]
            return {key: value for key, value in made if not isinstance(key, (list, dict))}
        case ("map", fields, is_open):
            met = {
                key: draw(fitting(type_))
                for key, (is_optional, type_) in fields.items()
                if not is_optional or draw(st.booleans())
            }
            return {**met, **({"more": draw(values)} if is_open and draw(st.booleans()) else {})}
        case ("or", types):
            return draw(fitting(draw(st.sampled_from(types))))
    return draw(values)


@given(tree=trees, data=st.data())
def test_the_walk_over_bytes_and_the_plain_twin_agree(tree: Tree, data: st.DataObject) -> None:
    value = data.draw(fitting(tree))
    assert compile_schema(written(tree)).fits(msgspec.msgpack.encode(value)) == fits(tree, value)


@given(value=values)
def test_any_is_anything(value: object) -> None:
    """Its end is found whatever is in it."""
    data = msgspec.msgpack.encode(value)
    assert compile_schema("any").fits(data)
    assert compile_schema("[any, nil]").fits(b"\x92" + data + b"\xc0")


@given(text=st.text(max_size=30) | st.text('{}[]()|?:,. .0123456789=>"aint', max_size=30))
def test_any_text_is_a_schema_or_says_where_it_is_wrong(text: str) -> None:
    fault = ""
    try:
        compile_schema(text)
    except UsageError as error:
        fault = f"{error.code}: {error}"
    assert fault == "" or fault.startswith("definition-schema: schema, character ")


@pytest.mark.parametrize(
    ("schema", "payload", "expected"),
    [
        # Numbers and lengths in any form: what counts is what they say.
        ("int(1..1)", b"\x01", True),
        ("int(1..1)", b"\xcf\0\0\0\0\0\0\0\x01", True),
        ("int(1..1)", b"\xd3\0\0\0\0\0\0\0\x01", True),
        ("int(1..)", b"\xcf" + b"\xff" * 8, True),
        ("int(..-2)", b"\xd0\xfe", True),
        ("int(..-2)", b"\xff", False),
        ("float", b"\xca\0\0\0\0", True),
        ("float", b"\xcb" + bytes(8), True),
        ("float", b"\x01", False),
        ("bool", b"\xc2", True),
        ("bool", b"\xc3", True),
        ("str(..1)", b"\xdb\0\0\0\x01a", True),
        ("str(..1)", "ß".encode().join((b"\xa2", b"")), False),
        ("bin(2..2)", b"\xc5\0\x02ab", True),
        ("bin", b"\xa1a", False),
        ("[int]", b"\xdd\0\0\0\x01\x01", True),
        ("[int]", b"\x90", True),
        ("[int, int]", b"\x91\x01", False),
        ("[[int, int], int]", b"\x92\x93\x01\x02\x03", False),
        # Keys: an integer in any form; each named one at most once; others where it says so.
        ("{7: int}", b"\x81\xcc\x07\x01", True),
        ("{a: int}", b"\x82\xa1a\x01\xa1a\x01", False),
        ("{a: int, ...}", b"\x82\xa1a\x01\xd9\x01a\x01", False),
        ("{a?: int, ...}", b"\x82\xa1b\x01\xa1b\x01", True),
        ("{a: int, ...}", b"\x82\x91\x01\x01\xa1a\x01", True),
        ("{a: int, ...}", b"\x82\xc3\x01\xa1a\x01", True),
        ('{"a b": int}', b"\x81\xa3a b\x01", True),
        ("{}", b"\x80", True),
        ("{}", b"\x81\x01\x01", False),
        ("{...}", b"\x81\x01\xde\0\x01\x01\xd4\x05\x06", True),
        ("{str => int}(1..)", b"\x80", False),
        ("{str=>int}", b"\x82\xa1a\x01\xa1a\x02", True),
        # Extensions are for `any` alone.
        ("any", b"\xc7\x02\x05ab", True),
        ("[any, int]", b"\x92\xd8\x05" + bytes(16) + b"\x01", True),
        ("bin | nil", b"\xd4\x05\x06", False),
        ('"yes" | "no" | nil', b"\xa2no", True),
        ('"yes" | "no" | nil', b"\xa1n", False),
    ],
)
def test_what_fits(schema: str, payload: bytes, expected: bool) -> None:
    assert compile_schema(schema).fits(payload) == expected


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("", "character 1: here is the end, and it takes a type"),
        ("integer", "character 1: here is 'integer', and it takes a type: any, nil, bool, int"),
        ("int | str | int", "character 13: .* of two alike no value tells which it is"),
        ('str | "a"', "character 7: .* another type"),
        ("[int] | [str, str]", "character 9: .* another type"),
        ("any | nil", "any alone"),
        ("int(3)", r"character 6: here is '\)', and it takes \.\. between two bounds"),
        ("int(3..1)", "character 4: .* a lower bound that is not above 1"),
        ("int(..18446744073709551616)", "a number from -9223372036854775808 to 18446744073709551615"),
        ("int(.." + "9" * 900 + ")", "a number from"),
        ("{a: int, a: str}", "character 10: .* each key once"),
        ("{7: int, 07: str}", "each key once"),
        ("{a int}", "character 2: .* a type"),
        ("{str: int", "character 10: here is the end, and it takes } or ,"),
        ("{..., a: int}", "character 5: here is ', a: int}', and it takes }"),
        ("{[int]: int}", "=> and the type of the values"),
        ("[int", "] or ,"),
        ("int int", "the end, or | and another type"),
        ('"a', "a type"),
        ('"a\\n"', "a type"),
        ("[" * 100, f"character {SCHEMA_DEPTH_MAX + 1}: .* types at most {SCHEMA_DEPTH_MAX} deep"),
    ],
)
def test_whoever_writes_a_schema_is_told_where_and_what_is_right(schema: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("|", r"\|")) as caught:
        compile_schema(schema)
    assert caught.value.code == "definition-schema"


def test_a_hostile_payload_costs_what_it_is_long() -> None:
    """Alternatives within alternatives, and a payload that fits none of them at its very end."""
    schema = "nil | int"
    for _ in range(SCHEMA_DEPTH_MAX - 2):
        schema = f"[{schema}] | {{any => any}} | nil"
    deep = b"\x91" * (SCHEMA_DEPTH_MAX - 2)
    assert compile_schema(schema).fits(deep + b"\x01")
    assert not compile_schema(schema).fits(deep + b"\xa0")
