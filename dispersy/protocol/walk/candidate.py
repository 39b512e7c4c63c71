"""Candidates: the addresses where members of a community may be reached, and what makes each worth asking.

    category    how we know of it                        for how long      lifetime
    walked      it answered our introduction-request     since the answer  57.5 s
    stumbled    it sent us an introduction-request       since then        57.5 s
    introduced  somebody's answer named it               since then        27.5 s
    discovered  found in our own network                 since then        57.5 s

A candidate is in the first category that has not lapsed, and leaves the table when all have. Walked and
stumbled ones have proven their address and their member key: they alone are introduced to others. One
member is one candidate: where it proves itself at a second address while it is known at a first, it moves
there if it says itself, signed and meant for us, that it is reached there; else when the first has lapsed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from enum import Enum
from operator import attrgetter
from random import Random

from dispersy.constants import (
    CANDIDATES_MAX,
    CANDIDATES_PER_HOST_MAX,
    DISCOVERED_LIFETIME_S,
    FORMER_MAX,
    INTRODUCED_LIFETIME_S,
    REVISIT_S,
    STUMBLED_LIFETIME_S,
    WALKED_LIFETIME_S,
)
from dispersy.protocol.address import NO_ADDRESS, Address, is_ipv4
from dispersy.protocol.hosts import Host, host_of
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.walk.former import Former
from dispersy.protocol.wire.numbers import ConnectionType
from dispersy.protocol.wire.summary import Summary

NEVER = float("-inf")

NAMED_LATELY_MAX = 8
"""Introductions that are remembered of each: where there are more to name, turns hardly repeat themselves."""

Unwanted = Callable[[Address, MemberId | None], bool]
"""Whether the candidate at an address, of a member if it is known, is to be dropped."""


class Category(Enum):
    """How a candidate is known, the best first."""

    WALKED = "walked"
    STUMBLED = "stumbled"
    INTRODUCED = "introduced"
    DISCOVERED = "discovered"

    # As any object's: an Enum's own is computed in Python, and tables by category are read all the time.
    __hash__ = object.__hash__


LIFETIME_S = {
    Category.WALKED: WALKED_LIFETIME_S,
    Category.STUMBLED: STUMBLED_LIFETIME_S,
    Category.INTRODUCED: INTRODUCED_LIFETIME_S,
    Category.DISCOVERED: DISCOVERED_LIFETIME_S,
}
_LIFETIMES = tuple(LIFETIME_S.items())
_PROVEN = (Category.WALKED, Category.STUMBLED)
_PROVEN_AT = attrgetter("proven_at")

WALKED_SHARE, STUMBLED_SHARE, INTRODUCED_SHARE, BOOTSTRAP_SHARE = 0.4975, 0.24825, 0.24825, 0.005
"""How often a step goes where. Half to those who answered before: strangers alone would let an attacker who
introduces many take the walk over; the bootstrap last, or it would carry the community."""
_SHARES = {
    Category.WALKED: WALKED_SHARE,
    Category.STUMBLED: STUMBLED_SHARE,
    Category.INTRODUCED: INTRODUCED_SHARE,
}


class Candidate:
    """An address and when it was last heard of in each way (NEVER: not at all).

    member        known once it has proven itself
    proven_at     when it last proved that it receives at its address
    verified_until  when that lapses
    asked_at      our last introduction-request to it
    failures      requests in a row that it left unanswered
    is_silent     one under way has been unanswered for a while, and nothing was heard since
    met_at        since when its member has been verified at this address without a gap
    signed_at     its member's last signed introduction from this address: pings, which anybody at the address
                  may send, do not say that the member is still there
    asks_announcements  new messages are announced to it
    is_metered    it comes by itself: it is not walked to, introduced, nudged or pinged (metered.py)
    is_tracker    it makes others known, and holds nothing
    other_family  where its member has proven itself, too: over IPv6 where this is IPv4, or the reverse
    answers_pings no ping to it was given up since the last that it sent or answered
    vote          our own address as it sees us
    named         whom we introduced to it lately, the last one last
    told          our live set as we last said it; None: we have not
    """

    __slots__ = (
        "address",
        "answers_pings",
        "asked_at",
        "asks_announcements",
        "connection",
        "failures",
        "heard",
        "is_metered",
        "is_silent",
        "is_tracker",
        "lan",
        "lifetime_scale",
        "member",
        "met_at",
        "named",
        "other_family",
        "proven_at",
        "round_trip_s",
        "signed_at",
        "summary",
        "summary_at",
        "told",
        "verified_until",
        "vote",
        "wan",
    )

    def __init__(self, address: Address, *, lifetime_scale: float = 1.0) -> None:
        self.address = address
        self.lifetime_scale = lifetime_scale
        self.is_metered = self.is_tracker = False
        self.member: MemberId | None = None
        self.heard: dict[Category, float] = {}
        self.proven_at = self.verified_until = NEVER
        self.asked_at = NEVER
        self.failures = 0
        self.is_silent = False
        self.met_at = NEVER
        self.signed_at = NEVER
        self.answers_pings = True
        self.asks_announcements = False
        self.round_trip_s: float | None = None
        self.lan = NO_ADDRESS
        self.wan = NO_ADDRESS
        self.vote = NO_ADDRESS
        self.other_family = NO_ADDRESS
        self.connection = ConnectionType.UNKNOWN
        self.summary: Summary | None = None
        self.summary_at = NEVER
        self.told: Summary | None = None
        self.named: tuple[Address, ...] = ()

    def hear(self, category: Category, at: float) -> None:
        """It was heard of in this way."""
        self.heard[category] = at
        if category in _PROVEN:
            # Kept, for all neighbours are asked for it whenever one of them is chosen.
            self.proven_at = max(self.proven_at, at)
            until = at + LIFETIME_S[category] * self.lifetime_scale
            self.verified_until = max(self.verified_until, until)

    def doubt(self, now: float) -> None:
        """As if somebody had just named it: whether it is still there has to be seen."""
        self.heard = {Category.INTRODUCED: now}
        self.proven_at = self.verified_until = self.asked_at = self.summary_at = NEVER
        self.summary = None

    def heard_at(self, category: Category) -> float:
        return self.heard.get(category, NEVER)

    def category(self, now: float) -> Category | None:
        """The best one that has not lapsed; None: forget this candidate."""
        heard, scale = self.heard, self.lifetime_scale
        for category, lifetime_s in _LIFETIMES:
            if category in heard and now < heard[category] + lifetime_s * scale:
                return category
        return None

    def is_verified(self, now: float) -> bool:
        return now < self.verified_until

    def may_be_walked_to(self, now: float) -> bool:
        is_due = not self.is_metered and now >= self.asked_at + REVISIT_S
        return is_due and self.category(now) is not None

    def in_sync_with(self, ours: Summary | None) -> bool | None:
        """Whether it last said the same set as ours; None: one of the two is not known."""
        return None if self.summary is None or ours is None else self.summary.same_set(ours)

    def is_misled(self, ours: Summary | None) -> bool:
        """Whether we last told it of another set than ours is now, or had nothing to tell when we spoke."""
        return ours is not None and (self.told is None or not self.told.same_set(ours))

    def prove_also(self, address: Address) -> None:
        """Its member has proven itself there, too: of use to those who only have that family."""
        if address != NO_ADDRESS and is_ipv4(address) != is_ipv4(self.address):
            self.other_family = address

    def place_for(self, asker: Address) -> Address:
        """Its address in the family over which somebody asks, if it has one: nobody can send to the other
        family who does not have it, nor open a firewall with a datagram of this one."""
        has_other = self.other_family != NO_ADDRESS and is_ipv4(asker) != is_ipv4(self.address)
        return self.other_family if has_other else self.address

    def absorb(self, other: Candidate) -> None:
        """Take over what is known of the same member at its former address."""
        self.prove_also(other.other_family)
        self.prove_also(other.address)
        for category, at in other.heard.items():
            self.hear(category, max(at, self.heard_at(category)))
        self.asked_at = max(self.asked_at, other.asked_at)
        self.answers_pings = other.answers_pings
        self.asks_announcements = other.asks_announcements
        self.is_metered, self.is_tracker = other.is_metered, other.is_tracker
        self.round_trip_s = other.round_trip_s if self.round_trip_s is None else self.round_trip_s
        self.told = other.told if self.told is None else self.told
        if other.summary_at > self.summary_at:
            self.summary, self.summary_at = other.summary, other.summary_at


class Candidates:
    """One community's candidates, at most count_max, and CANDIDATES_PER_HOST_MAX of one host; one entry an
    address and a proven member.

    lifetime_scale  by which all lifetimes are longer
    former          those who answered once, and were lost
    """

    def __init__(
        self,
        *,
        count_max: int = CANDIDATES_MAX,
        lifetime_scale: float = 1.0,
        former: Former | None = None,
    ) -> None:
        self.former = Former(count_max=FORMER_MAX, wakes=True) if former is None else former
        self._lifetime_scale = lifetime_scale
        self._count_max = count_max
        self._by_address: dict[Address, Candidate] = {}
        self._by_member: dict[MemberId, Candidate] = {}
        self._by_host: dict[Host, dict[Address, Candidate]] = {}
        # Whose turn it is to be introduced: the first. Verified candidates only.
        self._rotation: OrderedDict[Address, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_address)

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self._by_address.values())

    def __contains__(self, address: object) -> bool:
        return address in self._by_address

    def get(self, address: Address) -> Candidate | None:
        return self._by_address.get(address)

    def hear(self, address: Address, category: Category, now: float) -> Candidate:
        """The candidate of this address, made if need be, heard of in this way now."""
        candidate = self._by_address.get(address)
        if candidate is None:
            self._make_room(address, now)
            candidate = self._by_address[address] = Candidate(address, lifetime_scale=self._lifetime_scale)
            if (host := host_of(address)) is not None:
                self._by_host.setdefault(host, {})[address] = candidate
        candidate.hear(category, now)
        return candidate

    def prove(self, address: Address, member: MemberId, category: Category, now: float) -> Candidate:
        """`member` has signed from `address`; what it was known by elsewhere moves here.

        category    WALKED or STUMBLED
        """
        known = self._by_address.get(address)
        if known is not None and known.member not in (None, member):
            self.remove(address)
        is_new = known is None or known.member != member or not known.is_verified(now)
        candidate = self.hear(address, category, now)
        if is_new:
            candidate.met_at = now
        former = self._by_member.get(member)
        if former is not None and former is not candidate:
            candidate.absorb(former)
            self.remove(former.address)
        candidate.member = member
        candidate.signed_at = now
        candidate.failures = 0
        candidate.is_silent = False
        self._by_member[member] = candidate
        self.former.find(member, address)
        self._rotation.setdefault(address)
        return candidate

    def verified_elsewhere(self, member: MemberId, address: Address, now: float) -> Candidate | None:
        """Where this member has proven itself lately, if that is another address."""
        known = self._by_member.get(member)
        return known if known is not None and known.address != address and known.is_verified(now) else None

    def forget(self, is_unwanted: Unwanted) -> None:
        """Remove those of these addresses and members."""
        self.former.forget(is_unwanted)
        for candidate in list(self._by_address.values()):
            if is_unwanted(candidate.address, candidate.member):
                self.remove(candidate.address)

    def remove(self, address: Address) -> None:
        candidate = self._by_address.pop(address, None)
        self._rotation.pop(address, None)
        host = host_of(address)
        if candidate is not None and host is not None:
            del self._by_host[host][address]
            if not self._by_host[host]:
                del self._by_host[host]
        if candidate is not None and candidate.member is not None:
            self._by_member.pop(candidate.member, None)

    def lose(self, candidate: Candidate, now: float) -> None:
        """It does not answer: it is no candidate any more, and asked now and then if it ever answered."""
        self.remove(candidate.address)
        if candidate.member is not None and candidate.round_trip_s is not None and not candidate.is_metered:
            self.former.lose(candidate.member, candidate.address, now)

    def expire(self, now: float) -> None:
        """Forget whoever is in no category any more."""
        for candidate in [candidate for candidate in self if candidate.category(now) is None]:
            self.lose(candidate, now)

    def doubt(self, now: float) -> None:
        """All are as if somebody had just named them: whether they are still there has to be seen."""
        for candidate in self:
            candidate.doubt(now)

    def verified(self, now: float) -> list[Candidate]:
        """Those that have proven themselves lately, the freshest first."""
        proven = [candidate for candidate in self._by_address.values() if now < candidate.verified_until]
        proven.sort(key=_PROVEN_AT, reverse=True)
        return proven

    def heard_at(self) -> float:
        """When any of them has proven itself last."""
        return max((each.proven_at for each in self), default=NEVER)

    def speaking(self, now: float) -> list[Candidate]:
        """Those of the verified that have not fallen silent."""
        return [candidate for candidate in self.verified(now) if not candidate.is_silent]

    def answered(self, now: float) -> list[tuple[Address, MemberId]]:
        """Who has answered us lately, the likeliest to be found there another time first: the longest known,
        and those last whose NAT lets in nobody else."""
        found = [
            each
            for each in self.speaking(now)
            if each.category(now) is Category.WALKED and not each.is_metered
        ]
        found.sort(key=lambda each: (each.connection is ConnectionType.SYMMETRIC, each.met_at))
        return [(each.address, each.member) for each in found if each.member is not None]

    def choose(self, *, rng: Random, now: float, bootstrap: bool, freshest: bool = False) -> Candidate | None:
        """Whom to walk to: a category by its share among those that have anybody, the oldest within it.

        bootstrap   whether the bootstrap may be walked to
        freshest    the freshest within it: where neighbours go fast the oldest are gone
        returns     None: the bootstrap, or nobody if it may not
        """
        first: dict[Category, tuple[float, Candidate]] = {}
        for candidate in self:
            category = candidate.category(now)
            if category is None or not candidate.may_be_walked_to(now):
                continue
            at = -candidate.heard_at(category) if freshest else candidate.heard_at(category)
            # Both are addresses that have not answered yet: they share a part.
            share = Category.INTRODUCED if category is Category.DISCOVERED else category
            if share not in first or at < first[share][0]:
                first[share] = (at, candidate)
        choices: list[Candidate | None] = [candidate for _, candidate in first.values()]
        weights = [_SHARES[share] for share in first]
        if bootstrap:
            choices.append(None)
            weights.append(BOOTSTRAP_SHARE)
        return rng.choices(choices, weights)[0] if choices else None

    def introduction_for(
        self, requester: Candidate, now: float, *, heard_since: float = NEVER
    ) -> Candidate | None:
        """Who is introduced to the requester: each verified candidate in turn, those first that were not
        named to it lately, and never the requester itself.

        heard_since   only those that were heard since then
        """
        chosen: Candidate | None = None
        lapsed = []
        for address in self._rotation:
            candidate = self._by_address[address]
            if now >= candidate.verified_until:
                lapsed.append(address)
                continue
            if candidate.is_silent or candidate.proven_at < heard_since:
                continue
            if candidate is requester or candidate.member == requester.member or candidate.is_metered:
                continue
            # Neither could open its NAT for the other's next port.
            if candidate.connection is requester.connection is ConnectionType.SYMMETRIC:
                continue
            if address not in requester.named:
                chosen = candidate
                break
            # Steps are as regular as turns: some would hear of the same one for ever, and may not reach it.
            if chosen is None or requester.named.index(address) < requester.named.index(chosen.address):
                chosen = candidate
        for address in lapsed:
            del self._rotation[address]
        if chosen is not None:
            self._rotation.move_to_end(chosen.address)
            others = [address for address in requester.named if address != chosen.address]
            requester.named = (*others[1 - NAMED_LATELY_MAX :], chosen.address)
        return chosen

    def _make_room(self, address: Address, now: float) -> None:
        # A sixteenth at once: sorting for every newcomer would let a flood of them take the processor.
        # Those who answered us leave last: whom we walk to, a stranger cannot choose, but anybody can
        # stumble upon us.
        host = host_of(address)
        of_host = {} if host is None else self._by_host.get(host, {})
        if len(of_host) >= CANDIDATES_PER_HOST_MAX:
            self._remove_least_useful(list(of_host.values()), CANDIDATES_PER_HOST_MAX * 15 // 16, now)
        if len(self._by_address) >= self._count_max:
            self.expire(now)
            self._remove_least_useful(list(self), self._count_max * 15 // 16, now)

    def _remove_least_useful(self, rivals: list[Candidate], left_max: int, now: float) -> None:
        rivals.sort(key=lambda candidate: _usefulness(candidate, now))
        for candidate in rivals[: max(0, len(rivals) - left_max)]:
            self.remove(candidate.address)


def _usefulness(candidate: Candidate, now: float) -> tuple[bool, bool, float]:
    return candidate.category(now) is Category.WALKED, candidate.is_verified(now), candidate.proven_at
