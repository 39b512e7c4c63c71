"""On which line of a TOML text something stands: tomllib tells values without their places.

The beginning of a valid text, up to the end of a line, is valid itself exactly where no statement is cut in
two. So the parser alone finds places: the first beginning that holds a key ends with the key's statement.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence

ARRAY_CLOSE = "\n]"


class TomlLines:
    """The lines of a text that tomllib takes."""

    def __init__(self, text: str) -> None:
        self._parsed: dict[int, object] = {}
        self._lines = [line + "\n" for line in text.split("\n")]

    def line_of(self, path: Sequence[str | int]) -> int:
        """The line, counted from 1, on which the statement begins that gives this key its value.

        path    keys from the outermost table inwards; a number chooses an element of an array
        """
        keys = [key for key in path if isinstance(key, str)]
        low, high = 0, len(self._lines)
        # What holds the key goes on holding it with every line more.
        while low < high:
            middle = self._whole((low + high) // 2, high)
            if _holds(self._begun(middle), keys):
                high = self._before(middle)
            else:
                low = middle
        first = high
        if isinstance(path[-1], int):
            return self._element_line(first, keys, path[-1])
        return first + 1

    def _whole(self, count: int, most: int) -> int:
        """The next number of lines above `count` that is no part of a statement; `most` is one."""
        for number in range(count + 1, most):
            if self._begun(number) is not None:
                return number
        return most

    def _before(self, count: int) -> int:
        """The last number of lines below `count` that cuts no statement in two."""
        return next(number for number in range(count - 1, -1, -1) if self._begun(number) is not None)

    def _element_line(self, first: int, keys: Sequence[str], index: int) -> int:
        """An array may be written over many lines: the one that completes the element."""
        for number in range(first + 1, len(self._lines)):
            begun = self._parse(number, ARRAY_CLOSE)
            for key in keys:
                begun = begun.get(key) if isinstance(begun, dict) else None
            if isinstance(begun, list) and len(begun) > index:
                return number
        return first + 1

    def _begun(self, count: int) -> object:
        """The first lines' values; None where they cut a statement in two."""
        if count not in self._parsed:
            self._parsed[count] = self._parse(count)
        return self._parsed[count]

    def _parse(self, count: int, ending: str = "") -> object:
        try:
            return tomllib.loads("".join(self._lines[:count]) + ending)
        except tomllib.TOMLDecodeError:
            return None


def _holds(table: object, keys: Sequence[str]) -> bool:
    for key in keys:
        if not isinstance(table, dict) or key not in table:
            return False
        table = table[key]
    return True
