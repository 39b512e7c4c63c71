"""Kinds declared in a class body: they make the definition that the same TOML makes (docs/definition.md).

class Chat(Community):
    text = kind(64, Text, resolution="public", distribution=full_sync())

The type of a kind's payloads decides its format: str is utf-8, bytes is bytes, and every type that msgspec
knows (a Struct, mostly) is messagepack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
import msgspec.inspect

from dispersy.declared_schema import schema_of
from dispersy.errors import UsageError
from dispersy.protocol.definitions import definition_toml
from dispersy.protocol.definitions.definition import (
    Definition,
    Kind,
    check_definition,
    decode_definition,
    encode_definition,
)

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy by its name in TOML, with the parameters that are not at their defaults."""

    name: str
    parameters: Mapping[str, Any]


def policy(name: str, **parameters: int | str | bool) -> Policy:
    """Any policy of docs/definition.md."""
    return Policy(name, parameters)


def full_sync(**parameters: int | str | bool) -> Policy:
    """Every message reaches everyone and stays; in_sequence, priority, order."""
    return Policy("full-sync", parameters)


def last_sync(newest: int, **parameters: int | str | bool) -> Policy:
    """Only the newest messages of each author stay."""
    return Policy("last-sync", {"newest": newest, **parameters})


def direct(**parameters: int | str | bool) -> Policy:
    """To one neighbour, not stored."""
    return Policy("direct", parameters)


def relay(**parameters: int | str | bool) -> Policy:
    """Handed on by neighbours, not stored."""
    return Policy("relay", parameters)


def dynamic(initial: str = "public") -> Policy:
    """A resolution that settings may change: "public" or "linear" at first."""
    return Policy("dynamic", {"initial": initial})


def n_hop(hops: int) -> Policy:
    """A destination: neighbours of neighbours, so many steps away."""
    return Policy("n-hop", {"hops": hops})


class Declared(Generic[P]):
    """One kind of a class of communities; in the class it is itself, in an instance it publishes and follows.

    payload_type   what its payloads are
    kind           its row of the definition, known when the class is made
    """

    kind: Kind

    def __init__(self, payload_type: type[P], table: Mapping[str, Any], name: str) -> None:
        self.payload_type = payload_type
        self._table = table
        self._name = name
        self._encode = msgspec.msgpack.Encoder().encode
        self._decoder: msgspec.msgpack.Decoder[P] | None = None

    @property
    def name(self) -> str:
        """Of the kind, in the definition."""
        return self.kind.name

    def declare(self, attribute: str) -> None:
        """Become the kind of this attribute's name, or of the one that was given.

        raises  UsageError that names the kind
        """
        name = self._name or attribute.replace("_", "-")
        table = dict(self._table)
        payload = {"format": "messagepack", **table.get("payload", {})}
        if self.payload_type is str:
            payload["format"] = "utf-8"
        elif self.payload_type is bytes:
            payload["format"] = "bytes"
        else:
            self._decoder = _decoder_of(self.payload_type, name)
            if payload.get("schema") is True:
                payload["schema"] = schema_of(self.payload_type)
        self.kind = definition_toml.parse_kind(name, {**table, "payload": payload})

    def encode(self, payload: P) -> bytes:
        """A payload's bytes. UsageError `payload-format` for what is not of the kind's type."""
        try:
            if self._decoder is not None:
                data = self._encode(payload)
                # Whoever receives it must be able to read it: wrong types of fields show here.
                self._decoder.decode(data)
                return data
            if isinstance(payload, str) and self.payload_type is str:
                return payload.encode()
            if isinstance(payload, (bytes, bytearray, memoryview)) and self.payload_type is bytes:
                return bytes(payload)
            raise TypeError(f"{payload!r:.100} is no {self.payload_type.__name__}")
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise UsageError(
                f"kind '{self.name}': {error}",
                code="payload-format",
                hint=f"its payloads are {getattr(self.payload_type, '__name__', self.payload_type)}",
            ) from error

    def decode(self, data: bytes) -> P:
        """A payload from its bytes; ValueError for one that another version of the application wrote."""
        if self._decoder is not None:
            return self._decoder.decode(data)
        decoded: Any = data.decode() if self.payload_type is str else data
        payload: P = decoded
        return payload


class Declaring:
    """A class whose attributes are kinds."""

    kinds: ClassVar[Mapping[str, Declared[Any]]] = {}
    """Its kinds, by their names in the definition."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        declared: dict[str, Declared[Any]] = {}
        for base in reversed(cls.__mro__):
            for attribute, value in vars(base).items():
                if isinstance(value, Declared):
                    value.declare(attribute)
                    if value.name in declared:
                        raise UsageError(f"two kinds are named '{value.name}'", code="definition-duplicate")
                    declared[value.name] = value
        cls.kinds = declared
        check_definition(cls._definition(_ANY_NAME))

    @classmethod
    def definition(cls, name: str) -> bytes:
        """The definition of a community of this class and name: what `create` and TOML make."""
        return encode_definition(cls._definition(name))

    @classmethod
    def check(cls, name: str, definition: bytes) -> None:
        """UsageError `definition-different` that tells how a community differs from this class."""
        theirs = {each.number: each for each in decode_definition(definition).kinds}
        ours = {each.number: each for each in cls._definition(_ANY_NAME).kinds}
        differences = [
            difference
            for number in sorted(theirs.keys() | ours.keys())
            if (difference := _difference(number, ours.get(number), theirs.get(number)))
        ]
        if differences:
            raise UsageError(
                f"the community {name} is defined otherwise than {cls.__name__}: {'; '.join(differences)}",
                code="definition-different",
                hint="use the application's version that the community was made for, or another community",
            )

    @classmethod
    def _definition(cls, name: str) -> Definition:
        kinds = sorted((declared.kind for declared in cls.kinds.values()), key=attrgetter("number"))
        return Definition(name, tuple(kinds))


_ANY_NAME = "any"


def _decoder_of(payload_type: type[P], name: str) -> msgspec.msgpack.Decoder[P]:
    try:
        decoder = msgspec.msgpack.Decoder(payload_type)
        if not isinstance(msgspec.inspect.type_info(payload_type), msgspec.inspect.CustomType):
            return decoder
        why = f"msgspec cannot read {payload_type.__name__}"
    except TypeError as error:
        why = str(error)
    raise UsageError(
        f"kind '{name}': {why}",
        code="definition-payload-type",
        hint="payloads are a msgspec.Struct, another type that msgspec knows, str or bytes",
    )


def _difference(number: int, ours: Kind | None, theirs: Kind | None) -> str:
    if ours == theirs:
        return ""
    if ours is None:
        assert theirs is not None
        return f"kind {number}, '{theirs.name}', is not in the class"
    if theirs is None:
        return f"kind {number}, '{ours.name}', is not in the community"
    if ours.name != theirs.name:
        return f"kind {number} is '{theirs.name}' there and '{ours.name}' in the class"
    stated = []
    for group, choice in ours.choices().items():
        other = theirs.choices()[group]
        if other != choice:
            there = definition_toml.format_choice(group, other)
            stated.append(
                f"{group} is {there} there and {definition_toml.format_choice(group, choice)} in the class"
            )
    if ours.batch_window_ms != theirs.batch_window_ms:
        stated.append(
            f"batch_window_ms is {theirs.batch_window_ms} there and {ours.batch_window_ms} in the class"
        )
    if ours.frozen != theirs.frozen:
        stated.append("frozen there" if theirs.frozen else "not frozen there")
    return f"kind '{ours.name}': {', '.join(stated)}"
