"""Pushing, for one community: a message goes at once to a few neighbours; a relayed one a bounded way on.

What comes in a push is taken as any message: its signatures, kind and author are judged elsewhere. Only then,
when the writer has accepted it, is an n-hop message passed on, so that nothing forged travels, and each once:
the writer accepts a message once. Between the two moments the frame's hops and link wait here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from random import Random

from dispersy.constants import DATAGRAM_MESSAGE_SIZE_MAX
from dispersy.errors import WireError
from dispersy.protocol.address import Address
from dispersy.protocol.flow.per_second import PerSecond
from dispersy.protocol.hosts import Host, host_of
from dispersy.protocol.identifiers import CommunityId, MemberId
from dispersy.protocol.wire.large_frames import Large, LargeName
from dispersy.protocol.wire.message import read_message
from dispersy.protocol.wire.numbers import FrameType, MessageFlag
from dispersy.protocol.wire.push import Push, chain_link, check_hops

PUSHES_PER_ADDRESS_MAX = 200
PUSHES_PER_HOST_MAX = 1_000
"""Taken a second: each costs a signature's check, some 60 us."""
PUSH_SOURCES_MAX = 1_024
"""Addresses, and hosts, that pushes are taken from within a second."""
PUSHES_SENT_PER_SECOND_MAX = 2_000
"""Frames of one community: what one publisher or a flood of relayed messages may make a node send."""
RELAYED_PER_SECOND_MAX = 100
"""Messages of one community that are passed on a second."""
RELAYED_TO_MAX = 5
"""Neighbours that a relayed message is passed on to."""
RELAYS_PENDING_MAX = 1_024
"""N-hop messages that wait to be judged; the oldest is forgotten, and then goes no farther."""

Neighbour = tuple[Address, MemberId]
"""Where a member has proven itself lately, and which."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a message is meant for besides: a member wherever it is, or whoever is at an address."""

    member: MemberId | None = None
    address: Address | None = None

    def is_met(self, neighbour: Neighbour) -> bool:
        """Whether it is this neighbour."""
        address, member = neighbour
        return member == self.member if self.member is not None else address == self.address


@dataclass(frozen=True, slots=True)
class SendPush:
    """A push frame's body for a neighbour; or a large frame's, which names what is too large to be pushed."""

    address: Address
    body: bytes
    frame_type: FrameType = FrameType.PUSH


@dataclass(frozen=True, slots=True)
class _Pending:
    """An n-hop message that may be passed on when it has been accepted."""

    source: Address
    push: Push


class Pusher:
    """What is pushed, taken from pushes and passed on.

    counts  by name (workers/counters.py)
    """

    def __init__(self, community_id: CommunityId, *, rng: Random, counts: Counter[str]) -> None:
        self._community_id = community_id
        self._rng = rng
        self._counts = counts
        self._addresses: PerSecond[Address] = PerSecond(
            limit=PUSHES_PER_ADDRESS_MAX, keys_max=PUSH_SOURCES_MAX
        )
        self._hosts: PerSecond[Host] = PerSecond(limit=PUSHES_PER_HOST_MAX, keys_max=PUSH_SOURCES_MAX)
        self._sent: PerSecond[None] = PerSecond(limit=PUSHES_SENT_PER_SECOND_MAX, keys_max=1)
        self._relayed: PerSecond[None] = PerSecond(limit=RELAYED_PER_SECOND_MAX, keys_max=1)
        self._pending: dict[bytes, _Pending] = {}
        self._out: list[SendPush] = []

    def publish(
        self,
        push: Push,
        neighbours: Sequence[Neighbour],
        *,
        fan_out: int,
        targets: Sequence[Target] = (),
        now: float,
    ) -> None:
        """Send a message of ours to `fan_out` neighbours drawn from these, and to those that targets name."""
        named = [each for each in neighbours if any(target.is_met(each) for target in targets)]
        missed = sum(not any(map(target.is_met, neighbours)) for target in targets)
        if missed:
            self._counts["push-target-unknown"] += missed
        others = [each for each in neighbours if each not in named]
        drawn = self._rng.sample(others, min(fan_out, len(others)))
        addresses = [address for address, _ in (*named, *drawn)]
        if len(push.message) > DATAGRAM_MESSAGE_SIZE_MAX:
            # Who lacks it asks for its fragments: only the name is sent unasked.
            view = read_message(self._community_id, push.message)
            large = Large(0, (LargeName(view.global_time, view.id, len(push.message)),))
            self._send(large, addresses, now)
        else:
            self._send(push, addresses, now)

    def receive_push(self, source: Address, body: bytes, now: float) -> Push | None:
        """A push whose message is to be judged as any; None: too many come from there.

        raises  WireError for what is no push, and hop-chain-wrong
        """
        host = host_of(source)
        # The host first: one with all its ports must not fill the table of addresses.
        if (host is not None and not self._hosts.admit(host, now)) or not self._addresses.admit(source, now):
            self._counts["pushes-dropped-rate"] += 1
            return None
        push = Push.decode(body)
        if push.link:
            view = read_message(self._community_id, push.message)
            if view.n_hop is None:
                raise WireError("hop-chain-wrong")
            check_hops(view.n_hop, push)
            self._note(source, push)
        return push

    def _note(self, source: Address, push: Push) -> None:
        digest = sha256(push.message).digest()
        known = self._pending.get(digest)
        if not push.hops_left or (known is not None and known.push.hops_left >= push.hops_left):
            return
        if known is None and len(self._pending) >= RELAYS_PENDING_MAX:
            del self._pending[next(iter(self._pending))]
        self._pending[digest] = _Pending(source, push)

    def relay(self, message: bytes, neighbours: Sequence[Neighbour], now: float) -> None:
        """An n-hop message has been accepted: pass it on, if it may go farther."""
        pending = self._pending.pop(sha256(message).digest(), None)
        if pending is None:
            return
        if not self._relayed.admit(None, now):
            self._counts["relays-dropped-rate"] += 1
            return
        author = None if message[1] & MessageFlag.NO_AUTHOR else message[2:34]
        others = [address for address, member in neighbours if address != pending.source and member != author]
        passed_on = Push(pending.push.hops_left - 1, message, chain_link(pending.push.link, 1))
        self._send(passed_on, self._rng.sample(others, min(RELAYED_TO_MAX, len(others))), now)
        self._counts["relays"] += 1

    def _send(self, told: Push | Large, addresses: Sequence[Address], now: float) -> None:
        body = told.encode()
        for address in addresses:
            if not self._sent.admit(None, now):
                self._counts["pushes-dropped-full"] += 1
                continue
            self._out.append(SendPush(address, body, told.type))

    def drain(self) -> list[SendPush]:
        """What is to be sent now."""
        out, self._out = self._out, []
        return out
