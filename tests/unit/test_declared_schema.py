"""Goal: whatever msgspec writes of a type fits the schema that the type is given, and little else does."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Optional, TypedDict
from uuid import UUID

import msgspec
import pytest

from dispersy.declared_schema import schema_of
from dispersy.protocol.definitions.schema import compile_schema


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 5


class Point(msgspec.Struct, forbid_unknown_fields=True):
    x: int
    y: float = 0.0


class Tagged(msgspec.Struct, tag="tagged", rename="kebab"):
    long_name: int


Odd = TypedDict("Odd", {'"': int})


class Tree(msgspec.Struct):
    branches: list[Tree] = []
    parent: Optional[Tree] = None  # noqa: UP045 - a name that is not there yet


class Listed(msgspec.Struct, array_like=True):
    x: int
    y: int = 0


@dataclass
class Pair:
    left: int
    right: str = ""


class Entry(TypedDict, total=False):
    key: int


Short = Annotated[str, msgspec.Meta(min_length=1, max_length=2)]
Digit = Annotated[int, msgspec.Meta(ge=0, lt=10)]


@pytest.mark.parametrize(
    ("type_", "schema", "values"),
    [
        (int, "int", [0, -1, (1 << 64) - 1]),
        (Digit, "int(0..9)", [0, 9]),
        (float, "int | float", [1.5, 1]),
        (Short, "str(1..8)", ["a", "\U0001f600\U0001f600"]),
        (bytes, "bin", [b"", b"x"]),
        (bool, "bool", [True]),
        (Any, "any", [None, {"a": [1]}]),
        (datetime, "any", [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1)]),
        (date, "str", [date(2026, 1, 1)]),
        (UUID, "str", [UUID(int=7)]),
        (Decimal, "str", [Decimal("1.5")]),
        (list[int], "[int]", [[], [1]]),
        (frozenset[int], "[int]", [frozenset({1})]),
        (tuple[int, ...], "[int]", [(1, 2)]),
        (tuple[int, str], "[int, str]", [(1, "a")]),
        (tuple[int], "[int](1..1)", [(1,)]),
        (dict[str, int], "{str => int}", [{}, {"a": 1}]),
        (int | None, "nil | int", [None, 1]),
        (Colour, '"blue" | "red"', list(Colour)),
        (Level, "int", list(Level)),
        (Literal["a", "b", None], 'nil | "a" | "b"', ["a", None]),
        (Colour | None, 'nil | "blue" | "red"', [Colour.RED, None]),
        (Point, "{x: int, y?: int | float}", [Point(1), Point(1, 2)]),
        (Tagged, '{type: "tagged", long-name: int, ...}', [Tagged(1)]),
        (Tagged | None, 'nil | {type: "tagged", long-name: int, ...}', [Tagged(1), None]),
        (Odd, "{any => any}", [{'"': 1}]),
        (Tree, "{branches?: [{any => any}], parent?: nil | {any => any}, ...}", [Tree([Tree()], Tree())]),
        (Listed, "[any]", [Listed(1)]),
        (Pair, "{left: int, right?: str, ...}", [Pair(1)]),
        (Entry, "{key?: int, ...}", [{}, {"key": 1}]),
        (list[list[int]], "[[int]]", [[[1]]]),
    ],
)
def test_what_is_written_of_a_type_fits_its_schema(type_: Any, schema: str, values: list[object]) -> None:
    said = schema_of(type_)
    assert said == schema
    compiled = compile_schema(said)
    for value in values:
        assert compiled.fits(msgspec.msgpack.encode(value)), value


def test_deep_types_end_in_any() -> None:
    type_: Any = int
    for _ in range(40):
        type_ = list[type_]
    assert schema_of(type_) == "[" * 12 + "any" + "]" * 12
    compile_schema(schema_of(type_))


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (Point, {"x": "1"}),
        (Point, {"y": 1.0}),
        (Point, {"x": 1, "z": 1}),
        (Tagged, {"type": "other", "long-name": 1}),
        (Digit, 10),
        (Short, ""),
        (Colour, "green"),
        (tuple[int, str], [1]),
    ],
)
def test_what_is_of_no_such_type_does_not_fit(type_: Any, value: object) -> None:
    assert not compile_schema(schema_of(type_)).fits(msgspec.msgpack.encode(value))
