"""A kind of messages: a row of a community's definition, and what follows from its policies together."""

from __future__ import annotations

from dataclasses import dataclass, field

from dispersy.protocol.definitions.policies import PRIORITY_OFFERED_MIN, Choice, choose
from dispersy.protocol.wire.message import payload_size_max
from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN, MessageFlag


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A named message type of a community: a number from 64 to 255, and a choice in each group of policies.

    batch_window_ms  how long a message may wait for company before it is stored
    frozen           no new messages
    """

    number: int
    name: str
    authentication: Choice = field(default_factory=lambda: choose("authentication", "member"))
    resolution: Choice = field(default_factory=lambda: choose("resolution", "public"))
    distribution: Choice = field(default_factory=lambda: choose("distribution", "full-sync"))
    destination: Choice = field(default_factory=lambda: choose("destination", "community"))
    pruning: Choice = field(default_factory=lambda: choose("pruning", "none"))
    payload: Choice = field(default_factory=lambda: choose("payload", "utf-8"))
    batch_window_ms: int = 0
    frozen: bool = False

    def choices(self) -> dict[str, Choice]:
        """Its choices by group, in the order of their keys."""
        return {
            "authentication": self.authentication,
            "resolution": self.resolution,
            "distribution": self.distribution,
            "destination": self.destination,
            "pruning": self.pruning,
            "payload": self.payload,
        }


DEFAULT_CHOICES = Kind(number=COMMUNITY_KIND_MIN, name="default").choices()


def is_stored(kind: Kind) -> bool:
    """Whether its messages are kept and synchronised, or only handed on."""
    return kind.distribution.name in ("full-sync", "last-sync")


def is_on_request(kind: Kind) -> bool:
    """Whether its messages are kept where they were written and fetched, and offered to nobody."""
    return is_stored(kind) and kind.distribution.number("priority") < PRIORITY_OFFERED_MIN


def shape_of(kind: Kind) -> MessageFlag:
    """The flags that its messages have: who signs them, and whether a recipient or hops are named."""
    flags = MessageFlag(0)
    for flag, holds in (
        (MessageFlag.TWO_AUTHORS, kind.authentication.name == "double-member"),
        (MessageFlag.NO_AUTHOR, kind.authentication.name == "none"),
        (MessageFlag.RECIPIENT, kind.destination.name == "candidate"),
        (MessageFlag.N_HOP, kind.destination.name == "n-hop"),
    ):
        flags |= flag if holds else MessageFlag(0)
    return flags


def payload_room(kind: Kind) -> int:
    """The longest single payload, in bytes, that a message of it always holds: what is not kept and
    synchronised is sent once, in one datagram."""
    shape = shape_of(kind)
    authors = 0 if shape & MessageFlag.NO_AUTHOR else 2 if shape & MessageFlag.TWO_AUTHORS else 1
    return payload_size_max(
        kind.number,
        author_count=authors,
        has_recipient=bool(shape & MessageFlag.RECIPIENT),
        has_n_hop=bool(shape & MessageFlag.N_HOP),
        in_datagram=not is_stored(kind),
    )


def size_limit(kind: Kind) -> int:
    """The longest payload that may be published of it."""
    return min(kind.payload.number("size_max"), payload_room(kind))
