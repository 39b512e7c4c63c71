"""What a schema of MessagePack payloads allows, in plain Python over decoded values: slow and obvious.

A schema is a tree of tuples, from which its text is made: the language is written, never read, here.
"""

from __future__ import annotations

from typing import Any

Tree = tuple[Any, ...]
"""("any",) ("nil",) ("bool",) ("float",) ("int", low, high) ("str", low, high) ("bin", low, high)
("text", text) ("array", item, low, high) ("tuple", [items]) ("map", {key: (is optional, type)}, is open)
("dictionary", key, value, low, high) ("or", [types])."""


def written(tree: Tree) -> str:
    """Its text."""
    match tree:
        case ("text", text):
            return f'"{text}"'
        case ("array", item, low, high):
            return f"[{written(item)}]({low}..{high})"
        case ("tuple", items):
            return f"[{', '.join(map(written, items))}]"
        case ("dictionary", key, value, low, high):
            return f"{{{written(key)} => {written(value)}}}({low}..{high})"
        case ("map", fields, is_open):
            entries = [
                f"{key}{'?' if is_optional else ''}: {written(type_)}"
                for key, (is_optional, type_) in fields.items()
            ]
            return "{" + ", ".join([*entries, *["..."] * is_open]) + "}"
        case ("or", types):
            return " | ".join(map(written, types))
        case (name, low, high):
            return f"{name}({low}..{high})"
        case _:
            return str(tree[0])


def fits(tree: Tree, value: object) -> bool:
    """Whether a decoded value is what the schema says."""
    match tree:
        case ("any",):
            return True
        case ("nil",):
            return value is None
        case ("bool",):
            return isinstance(value, bool)
        case ("float",):
            return isinstance(value, float)
        case ("int", low, high):
            return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        case ("str", low, high):
            return isinstance(value, str) and low <= len(value.encode()) <= high
        case ("bin", low, high):
            return isinstance(value, bytes) and low <= len(value) <= high
        case ("text", text):
            return isinstance(value, str) and value == text
        case ("array", item, low, high):
            return isinstance(value, list) and low <= len(value) <= high and all(fits(item, v) for v in value)
        case ("tuple", items):
            if not isinstance(value, list) or len(value) != len(items):
                return False
            return all(fits(item, part) for item, part in zip(items, value, strict=True))
        case ("dictionary", key_type, value_type, low, high):
            if not isinstance(value, dict) or not low <= len(value) <= high:
                return False
            return all(fits(key_type, key) and fits(value_type, part) for key, part in value.items())
        case ("map", fields, is_open):
            return isinstance(value, dict) and _fits_fields(fields, is_open, value)
        case ("or", types):
            return any(fits(type_, value) for type_ in types)
    raise AssertionError(tree)


def _fits_fields(fields: dict[Any, tuple[bool, Tree]], is_open: bool, value: dict[Any, Any]) -> bool:
    # True is 1 to a dictionary of Python's, and no integer here.
    named = {key: part for key, part in value.items() if not isinstance(key, (bool, float)) and key in fields}
    if len(named) < len(value) and not is_open:
        return False
    if any(not is_optional and key not in named for key, (is_optional, _) in fields.items()):
        return False
    return all(fits(fields[key][1], part) for key, part in named.items())
