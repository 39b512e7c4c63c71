"""How a new message reaches everybody: its bytes go to few for a few hops, its id to whoever asked for it.

A receiver chooses its announcers (announcers.py), so that nobody is left out: whoever has five of them misses
a message only where all five do. What it hears of and lacks it asks one of them for (wanted_ids.py). Pushing
bodies alone to so many would bring each several times; announcing alone costs two more trips at each hop, so
the first hops are pushes. Under load pushes would cross announcements too often, and only the author pushes.

Nothing is pushed on, announced or given before the writer has committed it: what came waits here by the
beginning of its id, and receive_fresh() says what was taken, with the bytes that were verified.

An author may be alone with its message where neighbours come and go. So it pushes again until it hears the
message from others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Protocol

from dispersy.constants import DATAGRAM_MESSAGE_SIZE_MAX, FRAMES_SIZE_MAX
from dispersy.ext import digest, wire
from dispersy.protocol.address import Address
from dispersy.protocol.flow.per_second import PerSecond
from dispersy.protocol.identifiers import CommunityId, MemberId
from dispersy.protocol.shares import Shares
from dispersy.protocol.spreading.held_summaries import HeldSummaries
from dispersy.protocol.spreading.recent import Kept, Known, Load
from dispersy.protocol.spreading.wanted_ids import VERIFYING_S, WantedIds
from dispersy.protocol.walk.walk_events import SendFrame
from dispersy.protocol.wire.announcements import (
    PREFIX_SIZE,
    PREFIXES_MAX,
    Have,
    IdPrefix,
    Want,
    split_prefixes,
)
from dispersy.protocol.wire.frames import MessagesHeader, Push
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.protocol.wire.records import MESSAGE
from dispersy.protocol.wire.summary import Summary

HOPS_MAX = 4
"""That a body is pushed, the author's own push included."""
AUTHOR_PUSHES = 6
RELAYED_PUSHES = 2
LOADED_PUSHES = 2
"""Neighbours that the author of a new message pushes it to, who gets it by a push, and the author under load:
so 90 of 1,000 nodes have it after four hops, and hardly any twice."""
KNOWN_PUSHES = 16
KNOWN_WEIGHT = 3.0
"""Pushes that the share of those that bring nothing new is a mean over, and how many times that share makes
it less likely to relay one: nobody knows how many members there are, but where they are few pushes meet."""
LOAD_MAX = 20.0
"""New messages a second above which nobody but the author pushes."""
FRESHEST = 16
"""Neighbours that pushes are drawn among: those heard last are there most likely."""
GATHER_S = 0.03
LOADED_GATHER_S = 0.06
"""For which announcements wait for company: little against 50 ms of a link; under load more comes."""
LOADED_WANT_S = 0.02
"""For which what is asked for waits for company under load."""
FRESH_MAX = 256
"""Messages of one commit that may spread: of more synchronisation makes less."""
REPEAT_S = 0.4
REPEATS_MAX = 12
REPEATED_PUSHES = 3
REPEATED_MAX = 64
"""Own messages that are repeated at once; the others are left to announcements and synchronisation."""
ARRIVALS_MAX = 2_048
ARRIVAL_LIFETIME_S = 5.0
"""Messages that have come and are being verified; what takes longer is spread no farther."""
ANNOUNCED_PER_ADDRESS_MAX = 4_096
"""Ids a second taken of one address: four times the heaviest load that this is made for."""
GIVEN_BYTES_PER_ADDRESS_MAX = 1 << 19
GIVEN_BYTES_MAX = 1 << 22
"""Of messages a second, given to one address and to all that ask for announced ones, shared between hosts."""
SOURCES_MAX = 256
PUSHES_PER_SECOND_MAX = 2_000
LIST_ENVELOPE_MAX = 3 + 4 + 1 + 2
"""Before the messages of an answer: type and length, number, flags, two empty bounds."""
QUIET_S = 1.0
"""After the last new message, until synchronisation looks for what spreading has missed."""
_ID_OFFSET = 32


Identify = Callable[[bytes], Sequence[tuple[IdPrefix, bytes]]]
"""The messages of (uvarint length ‖ message)*, each with the beginning of its id."""


class Near(Protocol):
    """Who is near, as the walk knows it."""

    def unmetered(self, now: float) -> Sequence[tuple[Address, MemberId]]:
        """Who can be sent to, the freshest first, less those who want to be left alone."""

    def listeners(self, now: float) -> Sequence[Address]:
        """Who asked for announcements."""

    def is_announcer(self, address: Address) -> bool:
        """Whether we asked for them there."""


class _Arrival:
    """A message that has come and may be taken."""

    __slots__ = ("at", "holders", "hops_left", "message")

    def __init__(self, message: bytes, source: Address, hops_left: int, now: float) -> None:
        self.message = message
        self.holders = {source}
        self.hops_left = hops_left
        self.at = now


class _Repeated:
    """A message of our own that nobody has spoken of yet."""

    __slots__ = ("at", "holders", "left", "message")

    def __init__(self, message: bytes, holders: set[Address], now: float) -> None:
        self.message = message
        self.holders = holders
        self.left = REPEATS_MAX
        self.at = now + REPEAT_S


class Spreader:
    """One community's.

    identify    finds the messages of a list and their ids
    counts      by name (workers/counters.py)
    is_metered  we push our own messages alone, and once: a nudge tells of them, too, whoever missed that
    """

    def __init__(
        self,
        near: Near,
        *,
        identify: Identify,
        rng: Random,
        counts: Counter[str],
        is_metered: bool = False,
    ) -> None:
        self._is_metered = is_metered
        self._identify = identify
        self._near = near
        self._rng = rng
        self._counts = counts
        self._known = Known()
        self._kept = Kept()
        self._load = Load()
        self._wants = WantedIds(rng=rng, counts=counts)
        self._arrivals: dict[IdPrefix, _Arrival] = {}
        self._gathered: dict[IdPrefix, set[Address]] = {}
        self._announce_at: float | None = None
        # In the order in which they are due.
        self._repeated: dict[IdPrefix, _Repeated] = {}
        self._announced: PerSecond[Address] = PerSecond(limit=ANNOUNCED_PER_ADDRESS_MAX, keys_max=SOURCES_MAX)
        self._given = Shares(
            in_all=GIVEN_BYTES_MAX, per_address=GIVEN_BYTES_PER_ADDRESS_MAX, sources_max=SOURCES_MAX
        )
        self._pushed: PerSecond[None] = PerSecond(limit=PUSHES_PER_SECOND_MAX, keys_max=1)
        self._quiet_at = float("-inf")
        self._known_share = 0.0
        self._held = HeldSummaries()
        self._summaries: list[tuple[Address, Summary]] = []
        self._out: list[SendFrame] = []

    # -- what neighbours send --------------------------------------------------------------------------------

    def receive_push(self, source: Address, hops_left: int, message: bytes, now: float) -> bool:
        """A message was pushed to us; whether it is to be verified, False: it is known."""
        found = self._identify(encode_uvarint(len(message)) + message)
        if not found:
            return True  # The verifier counts why it is none.
        (prefix, _), *_ = found
        if prefix in self._known:
            self._note_push(is_known=True)
            self._hold(source, prefix)
            return False
        arrival = self._arrivals.get(prefix)
        # The same id may come with a signature that is wrong: only the same bytes are the same.
        if arrival is not None and arrival.message == message:
            arrival.holders.add(source)
            arrival.hops_left = max(arrival.hops_left, hops_left)
            self._note_push(is_known=True)
            return False
        self._note_push(is_known=False)
        self._arrive(source, prefix, message, hops_left, now)
        return True

    def receive_have(self, source: Address, have: Have, now: float) -> None:
        """A neighbour announces."""
        count = len(have.prefixes)
        if not self._near.is_announcer(source):
            self._counts["announced-unasked"] += count
            return
        if not self._announced.admit(source, now, count=count):
            self._counts["announced-dropped-rate"] += count
            return
        # In their order: sets have another one in each process, and what is too much is not kept.
        prefixes = dict.fromkeys(have.prefixes)
        for spoken_of in (self._repeated.keys(), self._gathered.keys()):
            for prefix in prefixes.keys() & spoken_of:
                self._hold(source, prefix)
        unknown = self._known.without(prefixes)
        arrived: list[IdPrefix] = []
        absent: list[IdPrefix] = []
        for prefix in prefixes:
            if prefix in unknown:
                (arrived if prefix in self._arrivals else absent).append(prefix)
        for prefix in arrived:
            self._arrivals[prefix].holders.add(source)
        self._wants.hear(source, arrived, now, delay_s=VERIFYING_S)
        self._wants.hear(source, absent, now, delay_s=LOADED_WANT_S if self._is_loaded(now) else 0.0)

    def receive_want(self, source: Address, want: Want, now: float) -> None:
        """A neighbour asks for what we have announced."""
        messages = []
        for prefix in want.prefixes:
            self._hold(source, prefix)
            message = self._kept.get(prefix)
            if message is not None:
                messages.append(message)
        self._counts["wanted-unknown"] += len(want.prefixes) - len(messages)
        size = sum(map(len, messages))
        if not messages:
            return
        if not self._given.admit(source, now, count=size):
            self._counts["wanted-refused"] += len(messages)
            return
        self._counts["wanted-given"] += len(messages)
        areas = [area for _, area in wire.pack(messages, FRAMES_SIZE_MAX - LIST_ENVELOPE_MAX)]
        for index, area in enumerate(areas):
            header = MessagesHeader(number=want.number, last=index == len(areas) - 1)
            self._out.append(SendFrame(source, FrameType.MESSAGES, header.encode() + area))

    def answers(self, source: Address, number: int) -> bool:
        """Whether a messages frame from there is one that we asked for by announcement."""
        return self._wants.answers(source, number)

    def receive_answer(self, source: Address, area: bytes, now: float) -> None:
        """Messages that we asked for have come, to be verified: (uvarint length ‖ message)*."""
        for prefix, message in self._identify(area):
            if prefix not in self._known:
                self._arrive(source, prefix, message, 0, now)

    # -- what the writer has committed -----------------------------------------------------------------------

    def receive_fresh(
        self, own: Sequence[bytes], taken: Sequence[bytes], prefixes: bytes, now: float
    ) -> None:
        """What was committed just now and may be told.

        own       messages of ours
        taken     of others; only those spread that came as new ones do
        prefixes  of the ids of both, in this order
        """
        ids = split_prefixes(prefixes)
        self._known.add(ids, now)
        for prefix, message in zip(ids[: len(own)], own, strict=True):
            self._spread_own(prefix, message, now)
        count = 0
        for prefix, message in zip(ids[len(own) :], taken, strict=True):
            count += self._spread_taken(prefix, message, now)
        self._load.add(count, now)
        if own or count:
            self._quiet_at = now + QUIET_S
            self._held.spread(self._quiet_at)

    def note_pushed(self, message: bytes, addresses: Iterable[Address], now: float) -> None:
        """A message of ours has been pushed to these, before we hear that it is committed."""
        if len(message) > DATAGRAM_MESSAGE_SIZE_MAX:
            return  # Its name was, and nothing that large spreads here.
        for prefix, _ in self._identify(encode_uvarint(len(message)) + message):
            for address in addresses:
                self._arrive(address, prefix, message, 0, now)

    # -- what synchronisation is to hear ---------------------------------------------------------------------

    def hear_summary(self, source: Address, theirs: Summary, ours: Summary, now: float) -> bool:
        """A neighbour has said what it holds; whether synchronisation shall hear it at once, and not later,
        by drain_summaries()."""
        if theirs.same_set(ours):
            # Our messages are not ours alone.
            self._repeated.clear()
        rate = self._load.rate(now)
        return not self._held.hold(source, theirs, ours, now, quiet_at=self._quiet_at, rate=rate)

    def drain_summaries(self) -> list[tuple[Address, Summary]]:
        """What neighbours have said a while ago and is to be heard now."""
        due, self._summaries = self._summaries, []
        return due

    def quiet_at(self) -> float:
        """Until when what neighbours lack, and we, is most likely on its way."""
        return self._quiet_at

    # -- time ------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        deadline = self._announce_at
        for other in (
            self._wants.next_deadline(),
            self._held.next_deadline(),
            self._repeat_at(),
        ):
            if other is not None and (deadline is None or other < deadline):
                deadline = other
        return deadline

    def handle_timer(self, now: float) -> None:
        for source, number, prefixes in self._wants.due(now):
            self._counts["wanted"] += len(prefixes)
            self._out.append(SendFrame(source, FrameType.WANT, Want(number, prefixes).encode()))
        if self._announce_at is not None and now >= self._announce_at:
            self._announce(now)
        self._summaries += self._held.due(now)
        while (repeat_at := self._repeat_at()) is not None and now >= repeat_at:
            self._repeat(next(iter(self._repeated)), now)

    def drain(self) -> list[SendFrame]:
        """What is to be sent now."""
        out, self._out = self._out, []
        return out

    # -- parts -----------------------------------------------------------------------------------------------

    def _arrive(self, source: Address, prefix: IdPrefix, message: bytes, hops_left: int, now: float) -> None:
        self._wants.arrive(source, prefix, now)
        known = self._arrivals.get(prefix)
        if known is not None and known.message == message:
            known.holders.add(source)
            return
        while self._arrivals:
            oldest = next(iter(self._arrivals))
            is_old = now >= self._arrivals[oldest].at + ARRIVAL_LIFETIME_S
            if not is_old and len(self._arrivals) < ARRIVALS_MAX:
                break
            del self._arrivals[oldest]
        self._arrivals[prefix] = _Arrival(message, source, min(hops_left, HOPS_MAX - 1), now)

    def _relayed_pushes(self) -> int:
        chance = 1 - KNOWN_WEIGHT * self._known_share
        return sum(self._rng.random() < chance for _ in range(RELAYED_PUSHES))

    def _note_push(self, *, is_known: bool) -> None:
        self._counts["pushes-known"] += is_known
        self._known_share += (is_known - self._known_share) / KNOWN_PUSHES

    def _is_loaded(self, now: float) -> bool:
        return self._load.rate(now) > LOAD_MAX

    def _hold(self, source: Address, prefix: IdPrefix) -> None:
        """A neighbour has a message, or will have it at once."""
        self._repeated.pop(prefix, None)
        if prefix in self._gathered:
            self._gathered[prefix].add(source)

    def _spread_own(self, prefix: IdPrefix, message: bytes, now: float) -> None:
        arrival = self._arrivals.pop(prefix, None)
        holders = set() if arrival is None else arrival.holders
        wanted = LOADED_PUSHES if self._is_metered or self._is_loaded(now) else AUTHOR_PUSHES
        self._push(message, HOPS_MAX - 1, holders, max(0, wanted - len(holders)), now)
        self._gather(prefix, message, holders, now)
        if len(self._repeated) < REPEATED_MAX and not self._is_metered:
            self._repeated[prefix] = _Repeated(message, holders, now)
        self._load.add(1, now)

    def _spread_taken(self, prefix: IdPrefix, message: bytes, now: float) -> bool:
        """Whether it came as a new one, and so spreads on."""
        arrival, want = self._arrivals.pop(prefix, None), self._wants.take(prefix)
        if arrival is None and want is None:
            return False
        holders = set() if arrival is None else arrival.holders
        if want is not None:
            holders.update(want.holders())
        may_push = not self._is_metered and not self._is_loaded(now)
        if arrival is not None and arrival.hops_left and may_push:
            self._push(message, arrival.hops_left - 1, holders, self._relayed_pushes(), now)
        self._gather(prefix, message, holders, now)
        return True

    def _gather(self, prefix: IdPrefix, message: bytes, holders: set[Address], now: float) -> None:
        self._kept.put(prefix, message, now)
        self._gathered[prefix] = holders
        if self._announce_at is None:
            self._announce_at = now + (LOADED_GATHER_S if self._is_loaded(now) else GATHER_S)

    def _announce(self, now: float) -> None:
        gathered, self._gathered, self._announce_at = self._gathered, {}, None
        for listener in self._near.listeners(now):
            prefixes = [prefix for prefix, holders in gathered.items() if listener not in holders]
            self._counts["announced"] += len(prefixes)
            for start in range(0, len(prefixes), PREFIXES_MAX):
                have = Have(tuple(prefixes[start : start + PREFIXES_MAX]))
                self._out.append(SendFrame(listener, FrameType.HAVE, have.encode()))

    def _push(self, message: bytes, hops_left: int, holders: set[Address], count: int, now: float) -> int:
        """Send it to so many of the freshest that do not have it, to whom holders grow; to how many."""
        author = message[2:34]
        others = [
            address
            for address, member in self._near.unmetered(now)
            if address not in holders and member != author
        ]
        targets = self._rng.sample(others[:FRESHEST], min(count, len(others), FRESHEST))
        if not targets or not self._pushed.admit(None, now, count=len(targets)):
            self._counts["pushes-dropped-full"] += len(targets)
            return 0
        body = Push(hops_left, message).encode()
        self._out += [SendFrame(address, FrameType.PUSH, body) for address in targets]
        holders.update(targets)
        return len(targets)

    def _repeat_at(self) -> float | None:
        return next(iter(self._repeated.values())).at if self._repeated else None

    def _repeat(self, prefix: IdPrefix, now: float) -> None:
        repeated = self._repeated.pop(prefix)
        sent = self._push(repeated.message, HOPS_MAX - 1, repeated.holders, REPEATED_PUSHES, now)
        self._counts["pushes-repeated"] += sent
        repeated.left -= 1
        repeated.at = now + REPEAT_S
        if sent and repeated.left:
            self._repeated[prefix] = repeated


def identify(community_id: CommunityId, area: bytes) -> list[tuple[IdPrefix, bytes]]:
    """Every message of (uvarint length ‖ message)*, by the beginning of its id."""
    records = wire.parse_messages(area, bytearray(4 * len(wire.DROP_REASONS)))
    digest.identify_many(records, area, community_id)
    found = []
    for start in range(0, len(records), MESSAGE.size):
        offset, length, *_ = MESSAGE.unpack_from(records, start)
        prefix = IdPrefix(bytes(records[start + _ID_OFFSET : start + _ID_OFFSET + PREFIX_SIZE]))
        found.append((prefix, area[offset : offset + length]))
    return found
