"""What is known of the large messages that neighbours have named, and of what was asked of each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from dispersy.constants import FRAGMENTS_FIRST, LARGE_FAILED_S, LARGE_SILENCE_S
from dispersy.protocol.address import Address
from dispersy.protocol.flow.flow_control import FlowControl
from dispersy.protocol.large_messages.assembly import Assembly
from dispersy.protocol.wire.frames import Fragment, FragmentRequest, LargeName

LATE_FRAGMENT_REQUESTS_MAX = 16
"""Of one source: requests of which something was given up and may still come."""

SILENCES_COUNTED_MAX = 10
"""In a row, after which a source is asked no more seldom."""
ROOM_RETRY_S = 1.0
"""Where all room is taken, until it is looked for again."""
NEXT_MAX = 8
"""Messages of which the next one is drawn: half a megabyte at most comes before its turn."""


@dataclass(frozen=True, slots=True)
class AskFragments:
    """A fragment-request for a neighbour."""

    address: Address
    request: FragmentRequest


@dataclass(frozen=True, slots=True)
class Whole:
    """A message whose id is as named: its signatures are to be checked."""

    source: Address
    message: bytes


class Wanted:
    """A large message that is not here.

    offers       its name as each source gave it: they may differ, and one of them be wrong
    assembly     what has come of it, while it is asked for
    stored_by    it is whole, as `whole` was put together, and on its way to the store until then
    """

    __slots__ = ("assembly", "offers", "stored_by", "whole")

    def __init__(self) -> None:
        self.offers: dict[Address, LargeName] = {}
        self.assembly: Assembly | None = None
        self.stored_by: float | None = None
        self.whole: Assembly | None = None


class Requested:
    """Fragments of one message that were asked for.

    bits    those of them that have not come
    """

    __slots__ = ("_last", "assembly", "bits")

    def __init__(self, assembly: Assembly, bits: int) -> None:
        self.assembly = assembly
        self.bits = bits
        self._last = 1 << (bits.bit_length() - 1)

    @property
    def is_cut(self) -> bool:
        """Whether the last one is missing: they are sent in ascending order."""
        return bool(self.bits & self._last)


class NamingSource:
    """A neighbour that named something.

    names           what of it is still wanted, in the order in which it was named
    sum             of their ids, as in a summary
    out             requests by number, as they were sent; late: those that were given up, and when they
                    were asked: their fragments are still welcome
    silences        times in a row that it fell silent; given: fragments since the last one
    heard_at        when its last fragment came, or when it was first asked since
    shunned_until   it is asked for nothing and not listened to; not_before: it is busy until then
    """

    def __init__(self, now: float) -> None:
        self.names: dict[bytes, LargeName] = {}
        self.sum = 0
        self.flow = FlowControl(yields=True)
        self.out: dict[int, Requested] = {}
        self.late: OrderedDict[int, tuple[Assembly, float]] = OrderedDict()
        self.assemblies: list[Assembly] = []
        self.silences = self.given = 0
        self.heard_at = self.shunned_until = self.not_before = now

    def ask(self, number: int, assembly: Assembly, bits: int, now: float) -> None:
        """A request for these fragments leaves."""
        assembly.asked |= bits
        self.out[number] = Requested(assembly, bits)
        self.flow.ask(number, bits.bit_count(), now)

    def close(self, number: int) -> None:
        """All of a request has come, or the rest of it is to be asked for again."""
        request = self.out.pop(number)
        request.assembly.asked &= ~request.bits
        asked_at = self.flow.close(number, lost=request.bits.bit_count(), is_cut=request.is_cut)
        if request.bits:
            self.late[number] = request.assembly, asked_at
        if len(self.late) > LATE_FRAGMENT_REQUESTS_MAX:
            self.late.popitem(last=False)

    def take_late(self, fragment: Fragment, now: float) -> bool:
        """One that was given up, and is on its way again perhaps: the sooner it is here, the better."""
        late = self.late.get(fragment.number)
        if late is None:
            return False
        assembly, asked_at = late
        if fragment.size == assembly.name.size:
            self.heard_at = now
            self.given += 1
            self.flow.arrive_late(now, asked_at)
            # The last one of all is waited for: what it ends is ended in one place.
            if not assembly.is_evicted and assembly.missing.bit_count() > 1:
                assembly.take(fragment)
        return True

    def forget(self, assembly: Assembly) -> None:
        """What of this message is on its way is not waited for, nor welcome any more."""
        for number in [number for number, each in self.out.items() if each.assembly is assembly]:
            del self.out[number]
            self.flow.close(number, lost=0)
        for number in [number for number, (each, _) in self.late.items() if each is assembly]:
            del self.late[number]

    def silent_at(self) -> float:
        """When it has been silent for too long, if it is asked for something."""
        return max(self.heard_at, self.not_before) + LARGE_SILENCE_S

    def fall_silent(self) -> float:
        """It was silent for too long; for how many seconds it is left alone."""
        self.silences = 1 if self.given >= FRAGMENTS_FIRST else self.silences + 1
        self.given = 0
        return min(LARGE_FAILED_S, 2.0 ** min(SILENCES_COUNTED_MAX, self.silences))


def gives_way(
    sources: Mapping[Address, NamingSource], wanted: Mapping[bytes, Wanted], known: NamingSource
) -> tuple[Address, bytes] | None:
    """(source, id) of what is forgotten so that this source can name one more; None: others have no more.

    It is the last that whoever has named most has named alone and is not being fetched: naming costs nothing.
    """
    address, most = max(sources.items(), key=lambda item: len(item[1].names))
    if len(most.names) <= len(known.names) + 1:
        return None
    for message_id in reversed(most.names):
        each = wanted[message_id]
        if len(each.offers) == 1 and each.assembly is None and each.whole is None:
            return address, message_id
    return None


def next_ones(
    known: NamingSource,
    wanted: Mapping[bytes, Wanted],
    is_begun: Callable[[LargeName], bool] | None,
    rng: Random,
) -> list[bytes]:
    """What a source has named and nobody is asked for, in the order in which it is begun.

    What is begun, for some of it came before, comes first, lest all be begun and none be ended where a link
    is there now and then; is_begun None: nothing is. Of the first few those that fewest have, in random
    order: nodes that fetch the same from one source then come to have different ones, and get the others
    from each other. Of the first few, for where messages are delivered in sequence those behind wait for
    them.
    """
    found = [each for each in known.names if wanted[each].assembly is None and wanted[each].stored_by is None]
    first = [(len(wanted[each].offers), rng.random(), each) for each in found[:NEXT_MAX]]
    ordered = [each for *_, each in sorted(first)] + found[NEXT_MAX:]
    return ordered if is_begun is None else sorted(ordered, key=lambda each: not is_begun(known.names[each]))


def lowest(bits: int, count: int) -> int:
    """The lowest `count` of these bits."""
    chosen = 0
    while bits and count:
        lowest = bits & -bits
        chosen |= lowest
        bits &= ~lowest
        count -= 1
    return chosen
