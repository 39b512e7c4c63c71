"""One walk under way: when its request is repeated, and when it is given up."""

from __future__ import annotations

from dispersy.constants import WALK_REQUEST_LIFETIME_S, WALK_RETRY_S


class WalkRequest:
    """An introduction-request to one address.

    number        what its response must echo
    sent_under    the token it was sent under, None while it waits for one
    retries       how often it was repeated
    is_challenge  whether who leaves it unanswered is gone, however lately it was heard before
    """

    __slots__ = (
        "began_at",
        "expires_at",
        "is_challenge",
        "number",
        "retries",
        "retry_at",
        "sent_at",
        "sent_under",
    )

    def __init__(self, *, number: int, now: float) -> None:
        self.number = number
        self.began_at = now
        self.is_challenge = False
        self.expires_at = now + WALK_REQUEST_LIFETIME_S
        self.retries = 0
        self.retry_at = now + WALK_RETRY_S
        self.sent_at = now
        self.sent_under: bytes | None = None
