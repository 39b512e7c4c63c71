"""The errors of every floor: who is at fault decides the class.

A peer's fault is no exception in the batch path but a drop reason, counted; WireError carries one where a
single value is decoded. A caller's fault is a UsageError that says what was wrong and what would be right. A
disk's fault is a StorageError that names the path. Our own fault is an assert: the role dies and is started
again.
"""

from __future__ import annotations

DONE, REFUSED, MISUSED, NOT_RUNNING, STORAGE, TIMED_OUT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
"""Exit statuses: done; the node or a rule refused; asked wrongly; no node runs on this home; disk, store or
key file; no answer in time; Ctrl-C."""
_STATUSES = {
    MISUSED: (
        "usage", "config", "malformed", "op-unknown", "count", "request-id", "address-malformed",
        "invite-malformed", "host-unknown", "path-too-long", "home-missing", "key-name", "message-too-long",
        "control-too-long", "member-ambiguous", "file-exists",
    ),
    NOT_RUNNING: ("not-running",),
    STORAGE: ("storage", "permissions", "passphrase", "key-unknown", "key-foreign", "certificate"),
    TIMED_OUT: ("timeout", "no-answer"),
}  # fmt: skip
_STATUS_OF_CODE = {code: status for status, codes in _STATUSES.items() for code in codes}
_MISUSED_BEGINNINGS = ("definition-", "payload-", "message-size", "bundle-")
"""Codes of what was written wrongly by whoever made a definition, a payload or a file."""
_NOT_MISUSED = "definition-unknown"


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
        if hint:
            # Below the traceback of a program that lets it through; whoever catches it has `hint`.
            self.add_note(hint)


class StorageError(DispersyError):
    """The disk refused or holds something that is not ours; the text names the path."""


class WireError(DispersyError):
    """Bytes from a peer that are no canonical encoding.

    reason    the name of a drop counter
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def exit_status(error: DispersyError) -> int:
    """The exit status that tells programs what kind of error it was; docs/operation.md lists them."""
    if isinstance(error, StorageError):
        return STORAGE
    if not isinstance(error, UsageError):
        return REFUSED
    if error.code in _STATUS_OF_CODE:
        return _STATUS_OF_CODE[error.code]
    is_misuse = error.code.startswith(_MISUSED_BEGINNINGS) and error.code != _NOT_MISUSED
    return MISUSED if is_misuse else REFUSED
