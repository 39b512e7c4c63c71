"""A definition as TOML, for people: everything but a kind's number has a default.

    name = "demo"

    [kinds.text]
    number = 64
    resolution = "public"
    authentication = "member"
    distribution = { type = "full-sync", priority = 128, order = "ascending" }
    payload = { format = "utf-8", size_max = 971 }

A policy without parameters of its own is written as its name alone.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace

from dispersy.errors import UsageError
from dispersy.protocol.definitions.definition import Definition, check_definition
from dispersy.protocol.definitions.kind import Kind, size_limit
from dispersy.protocol.definitions.policies import GROUP_KEYS, Choice, Parameter, choose, policy_by_name

_KIND_FIELDS = ("number", *GROUP_KEYS, "batch_window_ms", "frozen")
_SHOWN_ALWAYS = ("authentication", "resolution", "distribution", "payload")


def parse(text: str) -> Definition:
    """The definition that a TOML text states; kinds may come in any order.

    raises  UsageError that names the kind and the field, and what would be right
    """
    try:
        document: Mapping[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"not TOML: {error}", code="definition-toml") from error
    _refuse_unknown(document, ("name", "kinds"), "the definition")
    name = document.get("name")
    if not isinstance(name, str):
        raise UsageError('the definition needs a name, as in: name = "demo"', code="definition-toml")
    tables = document.get("kinds", {})
    if not isinstance(tables, dict):
        raise UsageError("kinds are tables, as in: [kinds.text]", code="definition-toml")
    kinds = sorted((parse_kind(kind_name, table) for kind_name, table in tables.items()), key=_number)
    definition = Definition(name, tuple(kinds))
    check_definition(definition)
    return definition


def format(definition: Definition) -> str:  # noqa: A001 - reads as definition_toml.format()
    """The TOML text of a definition; parse() gives the definition back.

    raises  UsageError for a definition that makes no sense
    """
    check_definition(definition)
    return "\n".join([f'name = "{definition.name}"\n', *map(_format_kind, definition.kinds)])


def _number(kind: Kind) -> int:
    return kind.number


def parse_kind(name: str, table: object) -> Kind:
    """One kind from its table, as TOML or whoever else has the same names and values gives it."""
    where = f"kind '{name}'"
    if not isinstance(table, dict):
        raise UsageError(f"{where} is no table; write [kinds.{name}]", code="definition-toml")
    _refuse_unknown(table, _KIND_FIELDS, where)
    if "number" not in table:
        raise UsageError(f"{where} needs a number from 64 to 255, as in: number = 64", code="definition-toml")
    frozen = table.get("frozen", False)
    if not isinstance(frozen, bool):
        raise UsageError(f"{where}: frozen is true or false", code="definition-toml")
    kind = Kind(
        number=_integer(table["number"], f"{where}: number"),
        name=name,
        batch_window_ms=_integer(table.get("batch_window_ms", 0), f"{where}: batch_window_ms"),
        frozen=frozen,
        **{group: _parse_choice(group, table[group], where) for group in GROUP_KEYS if group in table},
    )
    return kind if _states_size(table.get("payload")) else _with_fitting_size(kind)


def _states_size(payload: object) -> bool:
    return isinstance(payload, dict) and "size_max" in payload


def _with_fitting_size(kind: Kind) -> Kind:
    """A kind without a stated size: two authors, a recipient or hops leave less room than the default."""
    size = size_limit(kind)
    if size == kind.payload["size_max"]:
        return kind
    stated = {parameter.name: kind.payload[parameter.name] for parameter in kind.payload.policy.parameters}
    return replace(kind, payload=choose("payload", kind.payload.name, **{**stated, "size_max": size}))


def _parse_choice(group: str, stated: object, where: str) -> Choice:
    word = _type_word(group)
    if isinstance(stated, str):
        stated = {word: stated}
    if not isinstance(stated, dict) or not isinstance(policy_name := stated.get(word), str):
        example = f'{group} = "..." or {group} = {{ {word} = "...", ... }}'
        raise UsageError(f"{where}: {group} is a name or a table: {example}", code="definition-toml")
    try:
        policy = policy_by_name(group, policy_name)
        parameters = {parameter.name: parameter for parameter in policy.parameters}
        values = {
            # An unknown name needs no value: choose() refuses it and says what there is.
            name: _parse_value(parameters[name], value) if name in parameters else 0
            for name, value in stated.items()
            if name != word
        }
        return choose(group, policy_name, **values)
    except UsageError as error:
        raise UsageError(f"{where}: {error}", code=error.code) from error


def _parse_value(parameter: Parameter, value: object) -> int | str:
    if parameter.is_text:
        if isinstance(value, str):
            return value
        raise UsageError(f"{parameter.name} is a text in quotes", code="definition-toml")
    if parameter.words:
        if isinstance(value, str) and value in parameter.words:
            return parameter.words.index(value)
        allowed = " or ".join(f'"{word}"' for word in parameter.words)
        raise UsageError(f"{parameter.name} is {allowed}", code="definition-toml")
    if parameter.is_flag:
        if isinstance(value, bool):
            return int(value)
        raise UsageError(f"{parameter.name} is true or false", code="definition-toml")
    return _integer(value, parameter.name)


def _integer(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{where} is a whole number", code="definition-toml")
    return value


def _refuse_unknown(table: Mapping[str, object], known: tuple[str, ...], where: str) -> None:
    for name in table:
        if name not in known:
            raise UsageError(
                f"{where}: '{name}' is unknown; there are {', '.join(known)}", code="definition-toml"
            )


def _type_word(group: str) -> str:
    return "format" if group == "payload" else "type"


def _format_kind(kind: Kind) -> str:
    lines = [f"[kinds.{kind.name}]", f"number = {kind.number}"]
    standard = Kind(number=kind.number, name=kind.name)
    for group, choice in kind.choices().items():
        if group in _SHOWN_ALWAYS or choice != standard.choices()[group]:
            lines.append(f"{group} = {format_choice(group, choice)}")
    if kind.batch_window_ms:
        lines.append(f"batch_window_ms = {kind.batch_window_ms}")
    if kind.frozen:
        lines.append("frozen = true")
    return "\n".join(lines) + "\n"


def format_choice(group: str, choice: Choice) -> str:
    """A policy as it is written for people."""
    stated = [
        f"{parameter.name} = {_format_value(parameter, value)}"
        for parameter, value in zip(choice.policy.parameters, choice.values, strict=True)
        # The size is what people look for, so it stands there also when it is the default.
        if value != parameter.default or parameter.name == "size_max"
    ]
    if not stated:
        return f'"{choice.name}"'
    return f'{{ {_type_word(group)} = "{choice.name}", {", ".join(stated)} }}'


def _format_value(parameter: Parameter, value: int | str) -> str:
    written = parameter.written(value)
    if parameter.is_text:
        # JSON's escapes are TOML's, but for the delete character, which TOML wants escaped too.
        return json.dumps(written, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f'"{written}"' if parameter.words else written
