"""Every type number and flag of the wire format; a number once given is never given again (docs/wire.md)."""

from __future__ import annotations

from enum import IntEnum, IntFlag


class FrameType(IntEnum):
    """First byte of a frame."""

    TOKEN = 1
    INTRODUCTION_REQUEST = 2
    INTRODUCTION_RESPONSE = 3
    PUNCTURE_REQUEST = 4
    SYNC_REQUEST = 5
    MESSAGES = 6
    BUSY = 7
    HAVE = 8
    PUSH = 9
    SYMBOLS_REQUEST = 10
    SYMBOLS = 11
    RANGE_REQUEST = 12
    TREE_REQUEST = 13
    TREE = 14
    AUDIT_REQUEST = 15
    AUDIT = 16
    FRAGMENT_REQUEST = 17
    FRAGMENT = 18
    REQUEST_MISSING = 19
    SIGNATURE_REQUEST = 20
    SIGNATURE_RESPONSE = 21
    PING = 22
    PONG = 23
    RELAY = 24
    SIMILARITY = 25
    STRIPPED = 26
    WANT = 27
    LARGE = 28

    label: str
    """Its name in docs, counters and logs."""

    def __init__(self, _number: int) -> None:
        self.label = self._name_.lower().replace("_", "-")


FRAMES_SPOKEN = frozenset(
    {
        FrameType.TOKEN,
        FrameType.INTRODUCTION_REQUEST,
        FrameType.INTRODUCTION_RESPONSE,
        FrameType.PUNCTURE_REQUEST,
        FrameType.SYNC_REQUEST,
        FrameType.MESSAGES,
        FrameType.BUSY,
        FrameType.HAVE,
        FrameType.PUSH,
        FrameType.SYMBOLS_REQUEST,
        FrameType.SYMBOLS,
        FrameType.RANGE_REQUEST,
        FrameType.TREE_REQUEST,
        FrameType.TREE,
        FrameType.AUDIT_REQUEST,
        FrameType.AUDIT,
        FrameType.FRAGMENT_REQUEST,
        FrameType.FRAGMENT,
        FrameType.REQUEST_MISSING,
        FrameType.SIGNATURE_REQUEST,
        FrameType.SIGNATURE_RESPONSE,
        FrameType.PING,
        FrameType.PONG,
        FrameType.STRIPPED,
        FrameType.WANT,
        FrameType.LARGE,
    }
)
"""What this version sends and accepts; the others are skipped by their length and counted."""


class Capability(IntFlag):
    """Bits of an introduction's capabilities; those that are unknown mean nothing.

    METERED  to be left alone: it comes by itself (walk/metered.py)
    TRACKER  makes others known to each other, and holds nothing
    """

    METERED = 1
    TRACKER = 2


class ControlKind(IntEnum):
    """Dispersy's own kinds; 6 to 63 are reserved."""

    DEFINITION = 0
    AUTHORIZE = 1
    REVOKE = 2
    UNDO = 3
    SETTINGS = 4
    DESTROY = 5


COMMUNITY_KIND_MIN = 64
"""From here to KIND_MAX the community's definition gives the numbers."""
KIND_MAX = 255


class MessageFlag(IntFlag):
    """Second byte of a message."""

    TWO_AUTHORS = 1
    NO_AUTHOR = 2
    RECIPIENT = 4
    N_HOP = 8


class IntroductionFlag(IntEnum):
    """Flags of introductions; bits 3 and 4 hold the ConnectionType.

    No IntFlag: each datagram is asked for them, and that costs one ten times as much.
    """

    ASKS_INTRODUCTION = 1
    ASKS_ANNOUNCEMENTS = 2
    SUMMARY = 4
    RECEIVER = 32


CONNECTION_TYPE_SHIFT = 3
CONNECTION_TYPE_MASK = 0b11


class ConnectionType(IntEnum):
    """What a node knows of the NAT it is behind."""

    UNKNOWN = 0
    PUBLIC = 1
    SYMMETRIC = 2


BINDING_FLAGS = 0x0F
"""The half of the flags of a sync-request and of a messages frame that a node must understand, or else not
take the frame; bits of the other half mean nothing yet and are ignored."""


class SyncFlag(IntFlag):
    """Flags of a sync-request."""

    SELECTION = 1


class MessagesFlag(IntEnum):
    """Flags of a messages frame; no IntFlag, as those of introductions."""

    END_OF_RANGE = 1
    LAST_OF_ANSWER = 2
    SUMMARY = 4


class Missing(IntEnum):
    """What a request-missing asks for."""

    MESSAGE = 0
    SEQUENCE = 1
    LAST = 2
    PROOF = 3
    NEWEST = 4


class AskedOfSymbols(IntEnum):
    """What a symbols-request asks for."""

    DIFFERENCE = 0
    FURTHER = 1
    ITEMS = 2
    RANGE = 3


class ToldOfSymbols(IntEnum):
    """What a symbols frame tells."""

    SET = 0
    LACKED = 1
    UNTOLD = 2


class SignatureOutcome(IntEnum):
    """What a second author says to a draft."""

    REFUSED = 0
    SIGNED = 1
    SEQUENCE_TAKEN = 2
