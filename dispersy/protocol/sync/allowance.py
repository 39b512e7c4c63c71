"""How much each neighbour may cost in answers: what an honest one can need, and a little more all the time.

Answers are stateless, so whoever asks for everything again and again would be given everything again and
again. But nobody has reason to ask one neighbour for more than all that it holds, once more for what was
lost or forgotten, and for what has come since. So each address has an account: what answers to it cost, in
bytes, ids that were looked at reckoned in. It grows slowly back, by one copy of all that is held in
COPY_S. Whoever has had all that is told to wait, and an honest node finds another neighbour meanwhile.

One machine may have many addresses, so a host has an account, too, for twice as much.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Hashable
from math import ceil

from dispersy.constants import (
    DATAGRAM_MESSAGE_SIZE_MAX,
    DATAGRAM_SIZE_MAX,
    FRAGMENTS_AGAIN_MAX,
    FRAGMENTS_GIVEN_MAX,
    FRAGMENTS_GIVEN_S,
    MESSAGE_SIZE_MAX,
)
from dispersy.protocol.address import Address
from dispersy.protocol.holdings import MessageHoldings, first_key_of
from dispersy.protocol.hosts import host_of
from dispersy.protocol.identifiers import ORDER_TOP, OrderKey
from dispersy.protocol.wire.large_frames import FragmentRequest, fragment_count

COPIES = 2
"""Of what has ever been held here, which one address may be given."""
HOST_FACTOR = 2
COPY_S = 4 * 3600.0
SPENT_MIN = 256 << 10
"""Bytes that an address may have cost in any case: a few answers, however little is held."""
REFILL_MIN = 4_096 / 60
"""Bytes a second that it may cost always."""
EXAMINED_SIZE = 8
"""An id that is looked at costs as much processor time as so many bytes that are sent (bench/answer.py)."""
ACCOUNTS_MAX = 2_048
"""Of addresses and hosts; the one unused for longest is forgotten."""
SAMPLES, SAMPLED_AT_ONCE = 8, 8
ENVELOPE_SIZE = 16
"""Of a datagram's own bytes, for each message in it."""


_GIVEN_MAX = FRAGMENTS_AGAIN_MAX * fragment_count(MESSAGE_SIZE_MAX)


class _Set:
    """What is known of one community's messages.

    entered  messages that were held when it was first looked at, and that came since
    size     mean, of those that fit a datagram; of larger ones the name is given
    """

    __slots__ = ("count", "entered", "sampled", "size")

    def __init__(self) -> None:
        self.count = self.entered = self.sampled = 0
        self.size = 0.0


class _Account:
    __slots__ = ("at", "spent")

    def __init__(self, now: float) -> None:
        self.spent = 0.0
        self.at = now


class Allowance:
    """Of one process."""

    def __init__(self, *, accounts_max: int = ACCOUNTS_MAX) -> None:
        self._accounts_max = accounts_max
        self._sets: dict[int, _Set] = {}
        self._accounts: OrderedDict[tuple[int, Hashable], _Account] = OrderedDict()

    def keep(self, communities: Collection[int]) -> None:
        """Others are not served any longer."""
        self._sets = {number: known for number, known in self._sets.items() if number in communities}
        for key in [key for key in self._accounts if key[0] not in communities]:
            del self._accounts[key]

    def look(self, community: int, count: int) -> None:
        """So many messages are held now: those that are more came since the last look."""
        known = self._sets.setdefault(community, _Set())
        known.entered += max(0, count - known.count)
        known.count = count

    def admits(self, community: int, source: Address, holdings: MessageHoldings, now: float) -> bool:
        """Whether another answer to this address may be begun."""
        return self.datagrams(community, source, holdings, now) > 0

    def datagrams(self, community: int, source: Address, holdings: MessageHoldings, now: float) -> int:
        """How many datagrams another answer to this address may have. Whoever has had nearly all that it may
        gets what is left, and no more at once than comes back meanwhile."""
        count = holdings.summary().count
        self.look(community, count)
        known = self._sets[community]
        if count > 2 * known.sampled:
            known.sampled = count
            known.size = _mean_size(holdings)
        each = known.size + ENVELOPE_SIZE
        most = SPENT_MIN + COPIES * known.entered * each
        rate = max(REFILL_MIN, count * each / COPY_S)
        left = [
            factor * most - self._spent(community, name, factor * rate, now)
            for name, factor in _names(source)
        ]
        return ceil(max(0.0, min(left)) / DATAGRAM_SIZE_MAX)

    def charge(self, community: int, source: Address, *, size: int = 0, examined: int = 0) -> None:
        """An answer to an address that was admitted has cost so much.

        size      bytes that were sent
        examined  ids that were looked at
        """
        cost = size + EXAMINED_SIZE * examined
        for name, _ in _names(source):
            account = self._accounts.get((community, name))
            if account is not None:
                account.spent += cost

    def _spent(self, community: int, name: Hashable, rate: float, now: float) -> float:
        account = self._accounts.get((community, name))
        if account is None:
            account = self._accounts[community, name] = _Account(now)
            if len(self._accounts) > self._accounts_max:
                self._accounts.popitem(last=False)
        self._accounts.move_to_end((community, name))
        account.spent = max(0.0, account.spent - rate * max(0.0, now - account.at))
        account.at = now
        return account.spent


class FragmentsGiven:
    """How many fragments of each large message each address was given: all of them a few times, and no more
    for a while."""

    def __init__(self) -> None:
        self._given: OrderedDict[tuple[int, Address, OrderKey], tuple[float, int]] = OrderedDict()

    def admits(self, community: int, source: Address, request: FragmentRequest, now: float) -> bool:
        """Whether this address may have these now; then they are counted."""
        key = (community, source, request.key)
        since, count = self._given.pop(key, (now, 0))
        if now >= since + FRAGMENTS_GIVEN_S:
            since, count = now, 0
        wanted = request.fragments.bit_count()
        is_admitted = count + wanted <= _GIVEN_MAX
        self._given[key] = (since, count + wanted if is_admitted else count)
        if len(self._given) > FRAGMENTS_GIVEN_MAX:
            self._given.popitem(last=False)
        return is_admitted


def _names(source: Address) -> list[tuple[Hashable, int]]:
    """Whose accounts pay for this address, and how many times one address's share each has."""
    host = host_of(source)
    return [(source, 1)] if host is None else [(source, 1), (host, HOST_FACTOR)]


def _mean_size(holdings: MessageHoldings) -> float:
    """Of messages at some places of the set, as far as they would be given whole."""
    summary = holdings.summary()
    sizes: list[int] = []
    for place in range(SAMPLES):
        low = first_key_of(summary.highest * place // SAMPLES)
        _, cursors, _ = holdings.scan(low, ORDER_TOP, SAMPLED_AT_ONCE)
        sizes += [len(each) for each in holdings.messages(memoryview(cursors).cast("Q").tolist())]
    return sum(min(size, DATAGRAM_MESSAGE_SIZE_MAX) for size in sizes) / len(sizes) if sizes else 0.0
