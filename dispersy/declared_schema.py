"""The schema of a payload's type (docs/definition.md): whatever msgspec writes of the type fits it.

It is as narrow as the language allows and no narrower than the type: of what the language cannot say (a
pattern, a union of structs, a time as an extension) any value is allowed. It bounds text in bytes, where
msgspec counts characters, so a bound is four times as wide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec.inspect as inspect

BYTES_PER_CHARACTER_MAX = 4
DECLARED_DEPTH_MAX = 12
"""Of types within one another; deeper ones are `any`. A schema may be a little deeper."""
_WIDEST = {"int": "int", "str": "str", "bin": "bin", "array": "[any]", "map": "{any => any}"}
"""Of two alternatives that a value's own type would not tell apart."""

_ORDER = ("nil", "bool", "int", "float", "text", "str", "bin", "array", "map")
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")

_Alternatives = dict[str, list[str]]
"""A value's own type -> what it may be, as texts."""


def schema_of(payload_type: Any) -> str:
    """The schema; "any" where nothing narrower can be said."""
    return _written(_of(inspect.type_info(payload_type), ()))


def _written(found: _Alternatives) -> str:
    if not found or "any" in found:
        return "any"
    # In one order, whatever msgspec's: a definition is compared as bytes.
    return " | ".join(text for name in _ORDER for text in sorted(found.get(name, [])))


def _inner(type_: inspect.Type, around: tuple[object, ...]) -> str:
    return _written(_of(type_, around))


def _of(type_: inspect.Type, around: tuple[object, ...]) -> _Alternatives:
    if len(around) >= DECLARED_DEPTH_MAX:
        return {"any": ["any"]}
    match type_:
        case inspect.Metadata():
            return _of(type_.type, around)
        case inspect.NoneType():
            return {"nil": ["nil"]}
        case inspect.BoolType():
            return {"bool": ["bool"]}
        case inspect.FloatType():
            # Whoever has a whole number at hand may write it as one.
            return {"float": ["float"], "int": ["int"]}
        case inspect.IntType():
            low = type_.ge if type_.gt is None else type_.gt + 1
            high = type_.le if type_.lt is None else type_.lt - 1
            return {"int": ["int" + _range(low, high)]}
        case inspect.StrType():
            longest = None if type_.max_length is None else BYTES_PER_CHARACTER_MAX * type_.max_length
            return {"str": ["str" + _range(type_.min_length, longest)]}
        case inspect.DateType() | inspect.TimeType() | inspect.UUIDType() | inspect.DecimalType():
            return {"str": ["str"]}
        case inspect.BytesType() | inspect.ByteArrayType() | inspect.MemoryViewType():
            return {"bin": ["bin" + _range(type_.min_length, type_.max_length)]}
        case inspect.LiteralType():
            return _of_values(type_.values)
        case inspect.EnumType():
            return _of_values(member.value for member in type_.cls)
        case inspect.UnionType():
            return _together(_of(each, around) for each in type_.types)
        case _:
            return _of_many(type_, around)


def _of_many(type_: inspect.Type, around: tuple[object, ...]) -> _Alternatives:
    """Arrays and maps; what is left is any value."""
    inside = (*around, type_)
    match type_:
        case inspect.ListType() | inspect.SetType() | inspect.FrozenSetType() | inspect.VarTupleType():
            item = _inner(type_.item_type, inside)
            return {"array": [f"[{item}]{_range(type_.min_length, type_.max_length)}"]}
        case inspect.TupleType() if len(type_.item_types) > 1:
            return {"array": [f"[{', '.join(_inner(item, inside) for item in type_.item_types)}]"]}
        case inspect.TupleType():
            size = len(type_.item_types)
            item = _inner(type_.item_types[0], inside) if size else "any"
            return {"array": [f"[{item}]({size}..{size})"]}
        case inspect.DictType():
            key, value = _inner(type_.key_type, inside), _inner(type_.value_type, inside)
            return {"map": [f"{{{key} => {value}}}{_range(type_.min_length, type_.max_length)}"]}
        case inspect.StructType() if type_.array_like:
            return {"array": ["[any]"]}
        case inspect.StructType() | inspect.DataclassType() | inspect.TypedDictType():
            if any(getattr(each, "cls", None) is type_.cls for each in around):
                return {"map": [_WIDEST["map"]]}
            return {"map": [_of_fields(type_, inside)]}
        case _:
            return {"any": ["any"]}


def _of_fields(
    type_: inspect.StructType | inspect.DataclassType | inspect.TypedDictType, inside: tuple[object, ...]
) -> str:
    fields = [(field.encode_name, field.required, _inner(field.type, inside)) for field in type_.fields]
    is_open = True
    if isinstance(type_, inspect.StructType):
        is_open = not type_.forbid_unknown_fields
        if type_.tag_field is not None:
            fields.insert(0, (type_.tag_field, True, _written(_of_values([type_.tag]))))
    if not all(_is_quotable(name) for name, _, _ in fields):
        return _WIDEST["map"]
    entries = [f"{_key(name)}{'' if required else '?'}: {text}" for name, required, text in fields]
    return "{" + ", ".join([*entries, *["..."] * is_open]) + "}"


def _of_values(values: Iterable[object]) -> _Alternatives:
    found: list[_Alternatives] = []
    for value in values:
        if value is None:
            found.append({"nil": ["nil"]})
        elif isinstance(value, int):
            found.append({"int": [f"int({value}..{value})"]})
        elif isinstance(value, str) and _is_quotable(value):
            found.append({"text": [f'"{value}"']})
        else:
            found.append({"str": ["str"]})
    return _together(found)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else f'"{name}"'


def _is_quotable(text: str) -> bool:
    return not any(character in '"\\' or character < " " for character in text)


def _together(alternatives: Iterable[_Alternatives]) -> _Alternatives:
    """One of these; of two of one type the widest of it, but that texts stand beside one another."""
    together: _Alternatives = {}
    for each in alternatives:
        for name, texts in each.items():
            known = together.get(name)
            if name == "text":
                together[name] = list(dict.fromkeys([*(known or []), *texts]))
            elif known is None or known == texts or name not in _WIDEST:
                together[name] = texts
            else:
                together[name] = [_WIDEST[name]]
    if "str" in together and "text" in together:
        del together["text"]
        together["str"] = [_WIDEST["str"]]
    return together


def _range(low: int | None, high: int | None) -> str:
    if low is None and high is None:
        return ""
    return f"({'' if low is None else low}..{'' if high is None else high})"
