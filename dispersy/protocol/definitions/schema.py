"""Schemas of MessagePack payloads: a small language, and whether bytes are what a text in it says.

    {body: str(1..500), language?: str(..8), tags?: [str](..10), ...}

    any nil bool float          a value of any type; nil; false or true; a float of either size
    int int(0..) int(-5..5)     an integer, between two bounds, both included; one may be left out
    str bin str(..100)          text or bytes; a number of bytes
    "yes"                       exactly this text
    [int] [int](1..9)           an array of so many
    [int, str]                  an array of exactly these
    {a: int, 7?: str, ...}      a map with these keys, texts or integers, each at most once; with ? it may be
                                missing; with ... there may be others
    {str => int} {int => any}(..9)   a map of any keys of a type
    int | nil | "yes" | "no"    one of these; which one, a value's own type must tell

Every node must judge alike, so nothing is left to a library: the bytes are walked here. What the value's own
type tells needs no second try, so the work is bounded by the payload's size, whatever the schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from dispersy.errors import UsageError

SCHEMA_DEPTH_MAX = 16
"""Of types within one another in a schema: the walk and the parser recurse so deep."""
_INTEGER_MIN, _INTEGER_MAX = -(1 << 63), (1 << 64) - 1
NIL, BOOL, INT, FLOAT, STR, BIN, ARRAY, MAP, EXTENSION = range(9)

_HEADS = {
    **{0xC4 + power: (BIN, 1 << power) for power in range(3)},
    **{0xC7 + power: (EXTENSION, 1 << power) for power in range(3)},
    **{0xCC + power: (INT, 1 << power) for power in range(4)},
    **{0xD0 + power: (INT, 1 << power) for power in range(4)},
    **{0xD9 + power: (STR, 1 << power) for power in range(3)},
    **{0xDC + power: (ARRAY, 2 << power) for power in range(2)},
    **{0xDE + power: (MAP, 2 << power) for power in range(2)},
}
"""First bytes that a number follows: the value's type and the number's bytes."""


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """Of the value at a place: its type; an integer's value, or what is to come of it, in bytes or values;
    and where its head ends."""
    first = data[at]
    if first < 0x80:
        return INT, first, at + 1
    if first >= 0xE0:
        return INT, first - 0x100, at + 1
    if first < 0x90:
        return MAP, first & 0x0F, at + 1
    if first < 0xA0:
        return ARRAY, first & 0x0F, at + 1
    if first < 0xC0:
        return STR, first & 0x1F, at + 1
    if first == 0xC0:
        return NIL, 0, at + 1
    if first <= 0xC3:
        return BOOL, 0, at + 1
    if first in (0xCA, 0xCB):
        return FLOAT, 4 if first == 0xCA else 8, at + 1
    if 0xD4 <= first <= 0xD8:
        return EXTENSION, 1 + (1 << (first - 0xD4)), at + 1
    type_, width = _HEADS[first]
    number = int.from_bytes(data[at + 1 : at + 1 + width], "big", signed=0xD0 <= first <= 0xD3)
    return type_, number + (type_ == EXTENSION), at + 1 + width


def _skip(data: bytes, at: int) -> int:
    """Where the value at a place ends."""
    values = 1
    while values:
        type_, number, at = _head(data, at)
        values -= 1
        if type_ == MAP:
            values += 2 * number
        elif type_ == ARRAY:
            values += number
        elif type_ != INT:
            at += number
    return at


# -- types: each says where a value that fits ends, or -1 ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Any:
    def end(self, data: bytes, at: int) -> int:
        return _skip(data, at)


@dataclass(frozen=True, slots=True)
class _Alternatives:
    """By a value's own type what it has to be."""

    rules: Mapping[int, _Rule]

    def end(self, data: bytes, at: int) -> int:
        type_, number, body = _head(data, at)
        rule = self.rules.get(type_)
        return -1 if rule is None else rule.end(data, number, body)


@dataclass(frozen=True, slots=True)
class _Sized:
    """nil, bool, float, bin and str: so many bytes follow the head."""

    low: int
    high: int

    def end(self, _data: bytes, number: int, body: int) -> int:
        return body + number if self.low <= number <= self.high else -1


@dataclass(frozen=True, slots=True)
class _Int:
    low: int
    high: int

    def end(self, _data: bytes, number: int, body: int) -> int:
        return body if self.low <= number <= self.high else -1


@dataclass(frozen=True, slots=True)
class _Texts:
    texts: frozenset[bytes]

    def end(self, data: bytes, number: int, body: int) -> int:
        return body + number if data[body : body + number] in self.texts else -1


@dataclass(frozen=True, slots=True)
class _Array:
    item: _Type
    low: int
    high: int

    def end(self, data: bytes, number: int, body: int) -> int:
        if not self.low <= number <= self.high:
            return -1
        for _ in range(number):
            body = self.item.end(data, body)
            if body < 0:
                return -1
        return body


@dataclass(frozen=True, slots=True)
class _Tuple:
    items: tuple[_Type, ...]

    def end(self, data: bytes, number: int, body: int) -> int:
        if number != len(self.items):
            return -1
        for item in self.items:
            body = item.end(data, body)
            if body < 0:
                return -1
        return body


@dataclass(frozen=True, slots=True)
class _Dictionary:
    key: _Type
    value: _Type
    low: int
    high: int

    def end(self, data: bytes, number: int, body: int) -> int:
        if not self.low <= number <= self.high:
            return -1
        for _ in range(number):
            body = self.key.end(data, body)
            body = -1 if body < 0 else self.value.end(data, body)
            if body < 0:
                return -1
        return body


@dataclass(frozen=True, slots=True)
class _Map:
    fields: Mapping[bytes | int, _Type]
    required: frozenset[bytes | int]
    is_open: bool

    def end(self, data: bytes, number: int, body: int) -> int:
        met: set[bytes | int] = set()
        for _ in range(number):
            type_, key_number, key_body = _head(data, body)
            key: bytes | int | None = None
            if type_ == INT:
                key, body = key_number, key_body
            elif type_ == STR:
                body = key_body + key_number
                key = data[key_body:body]
            else:
                body = _skip(data, body)
            field = None if key is None else self.fields.get(key)
            if field is None:
                body = _skip(data, body) if self.is_open else -1
            elif key is None or key in met:
                return -1
            else:
                met.add(key)
                body = field.end(data, body)
            if body < 0:
                return -1
        return body if self.required <= met else -1


_Type = _Any | _Alternatives
_Rule = _Sized | _Int | _Texts | _Array | _Tuple | _Dictionary | _Map


@dataclass(frozen=True, slots=True)
class Schema:
    """What a text in this language says."""

    type: _Type

    def fits(self, payload: bytes) -> bool:
        """Whether a payload, one well-formed MessagePack value, is what the schema says."""
        return self.type.end(payload, 0) == len(payload)


@lru_cache(maxsize=256)
def compile_schema(text: str) -> Schema:
    """UsageError `definition-schema` with the place and what would be right there."""
    parser = _Parser(text)
    type_ = parser.type(0)
    parser.expect("", "the end, or | and another type")
    return Schema(type_)


# -- the text ------------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""(?P<mark>\.\.\.|\.\.|=>|[][{}(),:|?])|(?P<number>-?[0-9]+)|(?P<name>[A-Za-z_][A-Za-z0-9_-]*)"""
    r"""|"(?P<text>[^"\\\x00-\x1f]*)"|(?P<wrong>[^ \t\n])"""
)


class _Token(NamedTuple):
    """kind is a mark itself, or number, name, text, wrong, or "" at the end."""

    kind: str
    value: str
    place: int


def _tokens(text: str) -> Iterator[_Token]:
    for found in _TOKEN.finditer(text):
        kind, value = str(found.lastgroup), found[str(found.lastgroup)]
        yield _Token(value if kind == "mark" else kind, value, found.start())
    yield _Token("", "", len(text))


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._next = 0

    def type(self, depth: int) -> _Type:
        if depth >= SCHEMA_DEPTH_MAX:
            raise self._fault(f"types at most {SCHEMA_DEPTH_MAX} deep")
        rules: dict[int, _Rule] = {}
        is_any = False
        while True:
            before = self._peek()
            if before.kind == "name" and before.value == "any":
                self._take()
                is_any = True
            else:
                for type_, rule in self._item(depth).items():
                    known = rules.get(type_)
                    if isinstance(rule, _Texts) and isinstance(known, _Texts):
                        rule = _Texts(rule.texts | known.texts)
                    elif known is not None:
                        raise self._fault("another type: of two alike no value tells which it is", before)
                    rules[type_] = rule
            if self._peek().kind != "|":
                break
            self._take()
        if is_any and rules:
            raise self._fault("any alone: it includes all others", before)
        return _Any() if is_any else _Alternatives(rules)

    def _item(self, depth: int) -> dict[int, _Rule]:
        token = self._take()
        if token.kind == "text":
            return {STR: _Texts(frozenset({token.value.encode()}))}
        if token.kind == "[":
            return {ARRAY: self._array(depth)}
        if token.kind == "{":
            return {MAP: self._map(depth)}
        match token.value if token.kind == "name" else "":
            case "nil":
                return {NIL: _Sized(0, 0)}
            case "bool":
                return {BOOL: _Sized(0, 0)}
            case "float":
                return {FLOAT: _Sized(4, 8)}
            case "int":
                return {INT: _Int(*self._range(_INTEGER_MIN))}
            case "str":
                return {STR: _Sized(*self._range(0))}
            case "bin":
                return {BIN: _Sized(*self._range(0))}
            case _:
                types = 'any, nil, bool, int, float, str, bin, "text", [...] or {...}'
                raise self._fault(f"a type: {types}", token)

    def _array(self, depth: int) -> _Rule:
        items = [self.type(depth + 1)]
        while self._peek().kind == ",":
            self._take()
            items.append(self.type(depth + 1))
        self.expect("]", "] or ,")
        return _Array(items[0], *self._range(0)) if len(items) == 1 else _Tuple(tuple(items))

    def _map(self, depth: int) -> _Rule:
        names_key = self._peek().kind in ("name", "text", "number") and self._peek(1).kind in (":", "?")
        if not names_key and self._peek().kind not in ("}", "..."):
            key = self.type(depth + 1)
            self.expect("=>", "=> and the type of the values, or : after a key")
            value = self.type(depth + 1)
            self.expect("}", "}")
            return _Dictionary(key, value, *self._range(0))
        fields: dict[bytes | int, _Type] = {}
        required: set[bytes | int] = set()
        is_open = False
        while self._peek().kind != "}":
            token = self._take()
            if token.kind == "...":
                is_open = True
                break
            if token.kind not in ("name", "text", "number"):
                raise self._fault("a key, or ... for any others", token)
            key_value = self._integer(token) if token.kind == "number" else token.value.encode()
            if key_value in fields:
                raise self._fault("each key once", token)
            if self._peek().kind == "?":
                self._take()
            else:
                required.add(key_value)
            self.expect(":", ": and the type of the value")
            fields[key_value] = self.type(depth + 1)
            if self._peek().kind != ",":
                break
            self._take()
        self.expect("}", "} or ,")
        return _Map(fields, frozenset(required), is_open)

    def _range(self, low: int) -> tuple[int, int]:
        """Two bounds, if there are any; low is what is allowed at least."""
        high = _INTEGER_MAX
        if self._peek().kind != "(":
            return low, high
        opening = self._take()
        if self._peek().kind == "number":
            low = max(low, self._integer(self._take()))
        self.expect("..", ".. between two bounds")
        if self._peek().kind == "number":
            high = self._integer(self._take())
        self.expect(")", ")")
        if low > high:
            raise self._fault(f"a lower bound that is not above {high}", opening)
        return low, high

    def _integer(self, token: _Token) -> int:
        # Looked at before it is read: a number of a thousand digits is no work for anybody.
        if len(token.value) > 20 or not _INTEGER_MIN <= int(token.value) <= _INTEGER_MAX:
            raise self._fault(f"a number from {_INTEGER_MIN} to {_INTEGER_MAX}", token)
        return int(token.value)

    def _peek(self, ahead: int = 0) -> _Token:
        return self._tokens[min(self._next + ahead, len(self._tokens) - 1)]

    def _take(self) -> _Token:
        token = self._peek()
        self._next += 1
        return token

    def expect(self, kind: str, wanted: str) -> None:
        token = self._take()
        if token.kind != kind:
            raise self._fault(wanted, token)

    def _fault(self, wanted: str, token: _Token | None = None) -> UsageError:
        place = (token or self._peek()).place
        found = f"'{self._text[place : place + 10]}'" if place < len(self._text) else "the end"
        return UsageError(
            f"schema, character {place + 1}: here is {found}, and it takes {wanted}", code="definition-schema"
        )
