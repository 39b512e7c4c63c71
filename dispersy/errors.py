"""The errors of every floor: who is at fault decides the class.

A peer's fault is no exception in the batch path but a drop reason, counted; WireError carries one where a
single value is decoded. A caller's fault is a UsageError that says what was wrong and what would be right. A
disk's fault is a StorageError that names the path. Our own fault is an assert: the role dies and is started
again.
"""

from __future__ import annotations


class DispersyError(Exception):
    """What all errors of this package share; never raised itself."""


class UsageError(DispersyError):
    """The caller asked for something that cannot be; the text says what would be right.

    code    short name that programs may test, listed in docs/interface.md
    hint    what to do about it, one sentence
    """

    def __init__(self, message: str, *, code: str = "usage", hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


class StorageError(DispersyError):
    """The disk refused or holds something that is not ours; the text names the path."""


class WireError(DispersyError):
    """Bytes from a peer that are no canonical encoding.

    reason    the name of a drop counter
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
