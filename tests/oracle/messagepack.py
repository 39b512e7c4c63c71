"""What is one well-formed MessagePack value, in plain Python from docs/wire.md: slow and obvious."""

from __future__ import annotations

DEPTH_MAX = 32


class MalformedError(Exception):
    """This is no value."""


def is_messagepack(data: bytes) -> bool:
    """Whether data is exactly one value."""
    try:
        return _value(data, 0, 0) == len(data)
    except MalformedError:
        return False


def _value(data: bytes, position: int, depth: int) -> int:
    """Where the value that begins at `position` ends; `depth` arrays and maps are around it."""
    first = _take(data, position, 1)[0]
    after = position + 1
    if first in range(0x80) or first in range(0xE0, 0x100) or first in (0xC0, 0xC2, 0xC3):
        return after
    if first in range(0x80, 0x90):
        return _values(data, after, 2 * (first - 0x80), depth)
    if first in range(0x90, 0xA0):
        return _values(data, after, first - 0x90, depth)
    if first in range(0xA0, 0xC0):
        return _text(data, after, first - 0xA0)
    fixed = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
    fixed |= {0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
    if first in fixed:
        return after + len(_take(data, after, fixed[first]))
    widths = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
    widths |= {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
    if first not in widths:
        raise MalformedError
    count = int.from_bytes(_take(data, after, widths[first]), "big")
    after += widths[first]
    if first in (0xD9, 0xDA, 0xDB):
        return _text(data, after, count)
    if first in (0xDC, 0xDD):
        return _values(data, after, count, depth)
    if first in (0xDE, 0xDF):
        return _values(data, after, 2 * count, depth)
    extension_type = 1 if first in (0xC7, 0xC8, 0xC9) else 0
    return after + len(_take(data, after, count + extension_type))


def _values(data: bytes, position: int, count: int, depth: int) -> int:
    if depth == DEPTH_MAX and count:
        raise MalformedError
    for _ in range(count):
        position = _value(data, position, depth + 1)
    return position


def _text(data: bytes, position: int, size: int) -> int:
    try:
        _take(data, position, size).decode()
    except UnicodeDecodeError:
        raise MalformedError from None
    return position + size


def _take(data: bytes, position: int, size: int) -> bytes:
    taken = data[position : position + size]
    if len(taken) < size:
        raise MalformedError
    return taken
