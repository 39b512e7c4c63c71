"""What a community wants of its neighbours by name: what synchronisation brings late or never."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dispersy.constants import WANTED_MAX

SequenceRange = tuple[bytes, int, int, int]
"""(lane: the author, or the name of a pair of authors; kind; low; high), both sequences inclusive."""


@dataclass(frozen=True, slots=True)
class Wants:
    """At most WANTED_MAX of each.

    messages    ids of messages that others name and nobody has sent
    proofs      ids of messages of which we want to see what permits them
    ranges      what is missing below messages that are delivered in sequence
    fetches     what applications wait for (wire.missing.encode_wanted): every neighbour is asked, once
    offered_by  message id -> bucket (protocol.hosts.bucket_of) of the host that it came from: it can prove it
    """

    messages: list[bytes] = field(default_factory=list)
    proofs: list[bytes] = field(default_factory=list)
    ranges: list[SequenceRange] = field(default_factory=list)
    offered_by: dict[bytes, int] = field(default_factory=dict)
    fetches: list[bytes] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.messages or self.proofs or self.ranges or self.fetches)


def bounded(
    *,
    messages: Iterable[bytes] = (),
    proofs: Iterable[bytes] = (),
    ranges: Iterable[SequenceRange] = (),
    offered_by: dict[bytes, int] | None = None,
) -> Wants:
    """The first WANTED_MAX of each: what comes later in the row is wanted when those before it have come."""
    kept = list(dict.fromkeys(proofs))[:WANTED_MAX]
    offers = offered_by or {}
    return Wants(
        messages=list(dict.fromkeys(messages))[:WANTED_MAX],
        proofs=kept,
        ranges=list(ranges)[:WANTED_MAX],
        offered_by={message_id: offers[message_id] for message_id in kept if message_id in offers},
    )
