"""What a node says to people."""

from __future__ import annotations

import sys
from contextlib import suppress


def say(text: str, *, error: bool = False) -> None:
    """One line for people."""
    stream = sys.stderr if error else sys.stdout
    # The terminal may have been closed: that is no reason to leave processes behind.
    with suppress(OSError):
        stream.write(text + "\n")
        stream.flush()
