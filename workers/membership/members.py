"""Members as people name them on this node: by key, by the name of a key, or by the first digits of one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from dispersy.errors import UsageError
from dispersy.storage.keyring import Keyring
from dispersy.workers.membership.naming import HEX_KEY

DIGITS_MIN = 4
"""Fewer are too likely to fit another member tomorrow."""
MEMBERS_LISTED_MAX = 8
_DIGITS = re.compile(rf"[0-9a-fA-F]{{{DIGITS_MIN},63}}")


def resolve_member(text: str, keyring: Keyring, known: Callable[[], Iterable[bytes]]) -> bytes:
    """The key of the member that `text` names.

    known    those whom the community knows; asked for only where digits are given
    raises   UsageError `member-unknown`, `member-ambiguous`; what is wrong with the file of a key
    """
    if HEX_KEY.fullmatch(text):
        return bytes.fromhex(text)
    if text in keyring.names():
        return keyring.by_name(text).public
    fitting = []
    if _DIGITS.fullmatch(text):
        fitting = sorted({member for member in known() if member.hex().startswith(text.lower())})
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        listed = ", ".join(member.hex()[:16] for member in fitting[:MEMBERS_LISTED_MAX])
        raise UsageError(
            f"{text!r} fits {len(fitting)} members: {listed}",
            code="member-ambiguous",
            hint="write more digits",
        )
    raise UsageError(
        f"no member is called {text!r}: it is neither 64 hex digits of a key, nor the name of one, nor "
        f"the first digits ({DIGITS_MIN} at least) of a member that is known here",
        code="member-unknown",
        hint="`dispersy members` lists who is known; a newcomer's key is what `community show` says there",
    )
