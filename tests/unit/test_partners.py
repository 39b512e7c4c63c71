"""Goal: whoever takes part in another's pull is judged, charged and credited for what it does itself."""

from __future__ import annotations

from random import Random

from dispersy.protocol.address import Address, make_address
from dispersy.protocol.holdings import first_key_of, time_of
from dispersy.protocol.sync.gaps import Range, gaps_between
from dispersy.protocol.sync.puller import Puller
from dispersy.protocol.sync.transfer import EMPTY_ANSWERS_MAX
from dispersy.protocol.wire.frames import RangeRequest, SyncRequest
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.records import END_OF_RANGE, LAST_OF_ANSWER
from dispersy.protocol.wire.selection import Selection
from dispersy.protocol.wire.summary import Summary
from simulation.holdings import StoreHoldings, history, make_holdings

OWN = make_address("203.0.113.1", 6421)
OTHER = make_address("203.0.113.2", 6421)
STRANGER = make_address("203.0.113.3", 6421)
COUNT = 20_000
THEIRS = Summary(highest=COUNT, count=COUNT, sum=77)


class House:
    """A newcomer that pulls from OWN, and OTHER says that it has as much."""

    def __init__(self, *, selections: tuple[Selection, ...] = ()) -> None:
        self.holdings: StoreHoldings = make_holdings()
        self.puller = Puller(rng=Random(1), holdings=self.holdings, now=0.0, audits=False)
        self.puller.set_definition_known(0.0, selections)
        self.now, self.total = 0.0, 0
        self.asked: dict[Address, list[SyncRequest]] = {OWN: [], OTHER: []}
        self.puller.receive_summary(OWN, THEIRS, 0.0)
        self.puller.receive_summary(OTHER, THEIRS, 0.0)
        self.drain()

    def drain(self) -> None:
        for event in self.puller.drain():
            if event.frame_type is FrameType.RANGE_REQUEST:
                self.asked[event.address].append(RangeRequest.decode(event.body))
            elif event.frame_type is FrameType.SYNC_REQUEST:
                self.asked[event.address].append(SyncRequest.decode(event.body))

    def answer(self, source: Address, *, messages: int) -> Range:
        """Its oldest request is answered by one datagram, with so many messages, one a global time and none
        above COUNT, or with none as if there were no more; what it covers."""
        request = self.asked[source].pop(0)
        self.now += 0.1
        low, high = request.low, request.high
        if messages and time_of(low) + messages <= COUNT:
            high = min(high, first_key_of(time_of(low) + messages))
        flags = LAST_OF_ANSWER | (END_OF_RANGE if high == request.high else 0)
        self.puller.receive_envelope(
            source, request.number, flags, low, high, None, messages, 1_000, self.now
        )
        self.total += messages
        self.puller.set_processed(self.total, self.now)
        self.drain()
        return low, high

    def invite(self) -> None:
        """Go on until the other one takes part."""
        while not self.asked[OTHER]:
            self.answer(OWN, messages=20)


def test_what_a_partner_says_ends_nobody_elses_answers() -> None:
    """Who answers that there is nothing leaves, and what it said so of is asked of others; the pull goes on
    cutting what is left as before."""
    house = House()
    house.invite()
    said: list[Range] = []
    while house.asked[OTHER]:
        said.append(house.answer(OTHER, messages=0))
    assert 1 <= len(said) < 3 * EMPTY_ANSWERS_MAX
    again: list[Range] = []
    while house.asked[OWN]:
        again.append(house.answer(OWN, messages=1_000))
    assert not gaps_between(*said[0], again), "what it may have kept back is not asked of the other"
    assert all(not gaps_between(*part, again) for part in said)


def test_whoever_is_asked_pays_for_it() -> None:
    house = House()
    reputations = house.puller._sources.reputations
    assert reputations.begins_at(OTHER) == reputations.begins_at(STRANGER)
    house.invite()
    assert reputations.begins_at(OTHER) > reputations.begins_at(STRANGER)


def test_whoever_brought_it_is_fruitful() -> None:
    """The store gains while two bring messages: both have their part; one that brings none has none."""
    for brings in (True, False):
        house = House()
        house.invite()
        house.answer(OTHER, messages=20 * brings)
        house.holdings.add(history(40))
        house.puller.receive_committed(house.now)
        source = house.puller._sources.get(OTHER)
        assert source is not None
        assert source.fruitful is brings


def test_selections_are_shared() -> None:
    """Of certain kinds, too, several neighbours bring what one of them would take long for."""
    house = House(selections=(Selection(kinds=bytes((64,))),))
    assert house.asked[OWN][0].selection is not None
    house.invite()
    assert house.asked[OTHER][0].selection == Selection(kinds=bytes((64,)))
    while house.asked[OTHER]:
        house.answer(OTHER, messages=0)
    for _ in range(10):
        house.answer(OWN, messages=20)
    assert house.asked[OWN][0].selection is not None, "who lied has ended what the other brings"
