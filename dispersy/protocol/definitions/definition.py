"""A community's definition: its kinds and their policies, as one canonical MessagePack map (docs/wire.md).

What is at its default is left out, so that some fifty kinds fit one message.

Whoever writes one builds Kind and Definition, and gets a UsageError that says what is wrong. Whoever receives
one calls accept_definition(), and gets a WireError with a named reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from dispersy.constants import DATAGRAM_MESSAGE_SIZE_MAX
from dispersy.errors import UsageError, WireError
from dispersy.ext.wire import are_messagepack
from dispersy.protocol.definitions.contradictions import contradiction
from dispersy.protocol.definitions.kind import (
    DEFAULT_CHOICES,
    Kind,
    is_stored,
    payload_room,
    shape_of,
    size_limit,
)
from dispersy.protocol.definitions.policies import (
    BATCH_WINDOW_MS_ENFORCED,
    GROUP_KEYS,
    Choice,
    choose,
    not_enforced,
    policy_by_number,
)
from dispersy.protocol.definitions.schema import compile_schema
from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN, KIND_MAX

__all__ = [
    "BATCH_WINDOW_MS_MAX",
    "FORMAT_VERSION",
    "Definition",
    "Kind",
    "accept_definition",
    "check_definition",
    "check_payload",
    "check_payload_groups",
    "check_payloads",
    "decode_definition",
    "default_definition",
    "encode_definition",
    "is_stored",
    "payload_room",
    "require_enforced",
    "shape_of",
    "size_limit",
]

FORMAT_VERSION = 1
BATCH_WINDOW_MS_MAX = 0xFFFF

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_NUMBER_KEY, _NAME_KEY, _BATCH_WINDOW_KEY, _FROZEN_KEY = 1, 2, 9, 10
_KIND_KEYS = {_NUMBER_KEY, _NAME_KEY, *GROUP_KEYS.values(), _BATCH_WINDOW_KEY, _FROZEN_KEY}

_PolicyMap = dict[int, int | str]
_KindMap = dict[int, int | str | _PolicyMap]
_DefinitionMap = dict[int, int | str | list[_KindMap]]
# Typed down to the leaves, so a decoded value is never a float, a boolean or deeper than this.
_decoder = msgspec.msgpack.Decoder(_DefinitionMap)


@dataclass(frozen=True, slots=True)
class Definition:
    """A community's name and kinds, ascending by number."""

    name: str
    kinds: tuple[Kind, ...]

    def kind_by_name(self, name: str) -> Kind:
        """UsageError lists the kinds that exist."""
        for kind in self.kinds:
            if kind.name == name:
                return kind
        exist = ", ".join(kind.name for kind in self.kinds) or "none"
        raise UsageError(
            f"kind '{name}' does not exist in '{self.name}'; there are: {exist}", code="kind-unknown"
        )

    def kind_by_number(self, number: int) -> Kind | None:
        for kind in self.kinds:
            if kind.number == number:
                return kind
        return None


def default_definition(name: str) -> Definition:
    """What a community gets whose founder asks for nothing else: one kind `text`, open to all, for all."""
    definition = Definition(name, (Kind(number=COMMUNITY_KIND_MIN, name="text"),))
    check_definition(definition)
    return definition


def encode_definition(definition: Definition) -> bytes:
    """The payload of a definition message.

    raises  UsageError for what check_definition() refuses
    """
    check_definition(definition)
    return _encode(definition)


def decode_definition(payload: bytes) -> Definition:
    """A definition from its canonical bytes, whatever policies it has.

    raises  WireError, reason definition-...: malformed, not-canonical, version, key, or as check_definition()
    """
    try:
        return _read_definition(payload)
    except UsageError as error:
        raise WireError(error.code) from error


def accept_definition(payload: bytes) -> Definition:
    """A received definition that this version enforces.

    raises  WireError as decode_definition(); also definition-not-enforced
    """
    definition = decode_definition(payload)
    try:
        require_enforced(definition)
    except UsageError as error:
        raise WireError(error.code) from error
    return definition


def check_definition(definition: Definition) -> None:
    """Whether a definition makes sense.

    raises  UsageError, code definition-...: name, kind-number, order, duplicate, contradiction, parameter,
            schema
    """
    _check_name(definition.name, "the community")
    for kind in definition.kinds:
        _check_name(kind.name, f"kind {kind.number}")
        if not COMMUNITY_KIND_MIN <= kind.number <= KIND_MAX:
            raise UsageError(
                f"kind '{kind.name}': number {kind.number} is outside {COMMUNITY_KIND_MIN} to {KIND_MAX}",
                code="definition-kind-number",
            )
        if not 0 <= kind.batch_window_ms <= BATCH_WINDOW_MS_MAX:
            raise UsageError(
                f"kind '{kind.name}': batch_window_ms must be a number from 0 to {BATCH_WINDOW_MS_MAX}",
                code="definition-parameter",
            )
        if kind.payload.name == "messagepack" and (schema := str(kind.payload["schema"])):
            _check_schema(kind.name, schema)
        if found := contradiction(kind):
            raise UsageError(f"kind '{kind.name}': {found}", code="definition-contradiction")
    for kind, following in pairwise(definition.kinds):
        if kind.number == following.number:
            raise UsageError(
                f"kinds '{kind.name}' and '{following.name}' have the same number {kind.number}",
                code="definition-duplicate",
            )
        if kind.number > following.number:
            raise UsageError("kinds must ascend by number", code="definition-order")
    seen: set[str] = set()
    for kind in definition.kinds:
        if kind.name in seen:
            raise UsageError(f"two kinds are named '{kind.name}'", code="definition-duplicate")
        seen.add(kind.name)


def require_enforced(definition: Definition) -> None:
    """UsageError definition-not-enforced names the first policy that this version does not enforce."""
    for kind in definition.kinds:
        fault = next(_not_enforced(kind), None)
        if fault is not None:
            raise UsageError(f"kind '{kind.name}': {fault}", code="definition-not-enforced")


def _not_enforced(kind: Kind) -> Iterator[str]:
    for choice in kind.choices().values():
        if fault := not_enforced(choice):
            yield fault
    size, room = kind.payload.number("size_max"), payload_room(kind)
    if size > room:
        carried = "" if room > DATAGRAM_MESSAGE_SIZE_MAX else ", which one datagram carries,"
        yield (
            f"payload size_max {size} is not enforced by this version: "
            f"a message of this kind{carried} holds {room} bytes; use 1 to {room}"
        )
    if kind.batch_window_ms > BATCH_WINDOW_MS_ENFORCED:
        yield (
            f"batch_window_ms {kind.batch_window_ms} is not enforced by this version; "
            f"use 0 to {BATCH_WINDOW_MS_ENFORCED}"
        )


def check_payload(kind: Kind, payload: bytes) -> str | None:
    """Why every node refuses this payload of a kind, None if none does: payload-size, payload-utf-8 ..."""
    return check_payloads(kind, (payload,))


def check_payloads(kind: Kind, payloads: Sequence[bytes]) -> str | None:
    """The same for all payloads of one message: the first reason found."""
    if max(map(len, payloads)) > kind.payload.number("size_max"):
        return "payload-size"
    if kind.payload.name == "utf-8":
        # A zero byte ends whatever a payload left open, so all are UTF-8 exactly when the whole is.
        try:
            b"\0".join(payloads).decode()
        except UnicodeDecodeError:
            return "payload-utf-8"
    elif kind.payload.name == "messagepack":
        if 0 in are_messagepack(list(payloads)):
            return "payload-messagepack"
        schema = str(kind.payload["schema"])
        if schema and not all(map(compile_schema(schema).fits, payloads)):
            return "payload-schema"
    return None


def check_payload_groups(kind: Kind, groups: Sequence[Sequence[bytes]]) -> list[str | None]:
    """check_payloads() for many messages of one kind; the usual case, nothing wrong, is decided at once."""
    together = [payload for payloads in groups for payload in payloads]
    if not together or check_payloads(kind, together) is None:
        return [None] * len(groups)
    return [check_payloads(kind, payloads) for payloads in groups]


def _check_name(name: str, whose: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{whose}: name '{name}' is not a small letter and at most 31 small letters, digits or hyphens",
            code="definition-name",
        )


def _check_schema(kind_name: str, text: str) -> None:
    try:
        compile_schema(text)
    except UsageError as error:
        raise UsageError(f"kind '{kind_name}': {error}", code=error.code) from error


def _encode(definition: Definition) -> bytes:
    kinds = [_kind_map(kind) for kind in definition.kinds]
    return msgspec.msgpack.encode({1: FORMAT_VERSION, 2: definition.name, 3: kinds})


def _kind_map(kind: Kind) -> _KindMap:
    entries: _KindMap = {_NUMBER_KEY: kind.number, _NAME_KEY: kind.name}
    for group, choice in kind.choices().items():
        if choice != DEFAULT_CHOICES[group]:
            entries[GROUP_KEYS[group]] = _policy_map(choice)
    if kind.batch_window_ms:
        entries[_BATCH_WINDOW_KEY] = kind.batch_window_ms
    if kind.frozen:
        entries[_FROZEN_KEY] = 1
    return entries


def _policy_map(choice: Choice) -> _PolicyMap:
    stated = sorted(
        (parameter.key, value)
        for parameter, value in zip(choice.policy.parameters, choice.values, strict=True)
        if value != parameter.default
    )
    return {1: choice.policy.number, **dict(stated)}


def _read_definition(payload: bytes) -> Definition:
    try:
        decoded = _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"not MessagePack of a definition: {error}", code="definition-malformed") from error
    _check_keys(decoded, required={1, 2, 3}, known={1, 2, 3}, where="the definition")
    version, name, kinds = decoded[1], decoded[2], decoded[3]
    if version != FORMAT_VERSION:
        raise UsageError(f"format version {version} is unknown to this version", code="definition-version")
    if not isinstance(name, str) or not isinstance(kinds, list):
        raise UsageError("name or kinds is of the wrong type", code="definition-malformed")
    definition = Definition(name, tuple(_read_kind(kind) for kind in kinds))
    check_definition(definition)
    # Whatever else could be written in two ways ends here: stated defaults, duplicate keys, long forms.
    if _encode(definition) != payload:
        raise UsageError("not in canonical form", code="definition-not-canonical")
    return definition


def _read_kind(decoded: _KindMap) -> Kind:
    _check_keys(decoded, required={_NUMBER_KEY, _NAME_KEY}, known=_KIND_KEYS, where="a kind")
    number, name = decoded[_NUMBER_KEY], decoded[_NAME_KEY]
    batch_window_ms, frozen = decoded.get(_BATCH_WINDOW_KEY, 0), decoded.get(_FROZEN_KEY, 0)
    if not (
        isinstance(number, int)
        and isinstance(name, str)
        and isinstance(batch_window_ms, int)
        and frozen in (0, 1)
    ):
        raise UsageError("a kind's field is of the wrong type", code="definition-malformed")
    choices = {
        group: _read_choice(group, decoded[key]) for group, key in GROUP_KEYS.items() if key in decoded
    }
    return Kind(number=number, name=name, batch_window_ms=batch_window_ms, frozen=frozen == 1, **choices)


def _read_choice(group: str, decoded: int | str | _PolicyMap) -> Choice:
    if not isinstance(decoded, dict) or not isinstance(number := decoded.get(1), int):
        raise UsageError(f"{group} is no map that names a policy", code="definition-malformed")
    policy = policy_by_number(group, number)
    _check_keys(
        decoded,
        required={1, *(parameter.key for parameter in policy.parameters if parameter.default is None)},
        known={1, *(parameter.key for parameter in policy.parameters)},
        where=group,
    )
    stated = {
        parameter.name: decoded[parameter.key] for parameter in policy.parameters if parameter.key in decoded
    }
    return choose(group, policy.name, **stated)


def _check_keys(decoded: Mapping[int, object], *, required: set[int], known: set[int], where: str) -> None:
    keys = list(decoded)
    if keys != sorted(keys) or not required <= set(keys) <= known:
        raise UsageError(
            f"{where} has keys {keys}; {sorted(required)} must and {sorted(known)} may be there, ascending",
            code="definition-key",
        )
