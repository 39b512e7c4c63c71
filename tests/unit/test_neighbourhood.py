"""A community's walk in the network role: what it tells its neighbours of our live set, and how often."""

from __future__ import annotations

from collections import Counter
from random import Random

from dispersy.ext.verify import public_key
from dispersy.protocol.address import make_address
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.wire.frames import IntroductionRequest
from dispersy.protocol.wire.numbers import Capability
from dispersy.protocol.wire.records import TOKEN_CURRENT
from dispersy.protocol.wire.summary import Summary
from dispersy.storage.store import CommunityRecord
from dispersy.workers.networking.neighbourhood import Neighbourhood

SEED = bytes(range(32))
HERE = make_address("198.51.100.1", 6421)
NEIGHBOUR = make_address("203.0.113.1", 6421)


def test_a_neighbour_hears_a_summary_once() -> None:
    """However often the house says it, and again as soon as it is another one."""
    neighbourhood = _neighbourhood()
    _introduced(neighbourhood, None)
    summary = Summary(highest=5, count=5, sum=5)
    neighbourhood.define(summary, 0.0)
    neighbourhood.drain_datagrams()
    for second in (1.0, 2.0, 3.0):
        neighbourhood.summary_changed(summary.encode(), second)
        assert neighbourhood.drain_datagrams() == []
    neighbourhood.summary_changed(Summary(highest=6, count=6, sum=6).encode(), 4.0)
    assert [address for address, _ in neighbourhood.drain_datagrams()] == [NEIGHBOUR]


def test_who_holds_what_we_do_is_told() -> None:
    """Yes, no, or unknown as long as one of the two has said nothing."""
    neighbourhood = _neighbourhood()
    _introduced(neighbourhood, None)
    assert _told(neighbourhood) == (1, 0, 0, None, [None])
    summary = Summary(highest=5, count=5, sum=5)
    _introduced(neighbourhood, summary)
    assert _told(neighbourhood) == (1, 0, 0, 5, [None])
    neighbourhood.define(summary.at_clock(9), 0.0)
    assert _told(neighbourhood) == (1, 1, 0, 5, [True])
    neighbourhood.summary_changed(Summary(highest=6, count=6, sum=6).encode(), 1.0)
    assert _told(neighbourhood) == (1, 0, 1, 5, [False])
    # Who was only named by others, and has proven nothing, is no neighbour that could differ.
    neighbourhood.add_peers([make_address("203.0.113.2", 6421)], 1.0)
    assert _told(neighbourhood) == (1, 0, 1, 5, [False, None])


def _told(neighbourhood: Neighbourhood) -> tuple[object, ...]:
    report = neighbourhood.report(1.0)
    names = ("peers_verified", "peers_in_sync", "peers_differing", "messages_claimed")
    return (*(report[name] for name in names), [peer["in_sync"] for peer in report["peers"]])


def _neighbourhood() -> Neighbourhood:
    public = public_key(SEED)
    return Neighbourhood(
        CommunityRecord(1, bytes(32), "test", public),
        secret=SEED + public,
        token_secret=bytes(16),
        epoch=lambda _: 1,
        rng=Random(1),
        peers=[],
        own_address=HERE,
        workers=1,
        counters=Counter(),
        now=0.0,
    )


def test_a_tracker_is_shown_as_such_and_counts_as_no_neighbour() -> None:
    """It holds nothing: nobody is in sync with it, and nothing is asked of it or pushed to it."""
    neighbourhood = _neighbourhood()
    neighbourhood.define(Summary(highest=5, count=5, sum=5), 0.0)
    _introduced(neighbourhood, None, capabilities=Capability.TRACKER)
    assert _told(neighbourhood) == (0, 0, 0, None, [None])
    report = neighbourhood.report(1.0)
    assert (report["trackers"], report["peers"][0]["tracker"]) == (1, True)
    neighbourhood.handle_timer(0.0)
    assert neighbourhood.drain_heard() == []
    assert neighbourhood._walker.neighbours(1.0) == []


def _introduced(neighbourhood: Neighbourhood, summary: Summary | None, *, capabilities: int = 0) -> None:
    """NEIGHBOUR has proven itself and says what it holds."""
    walker = neighbourhood._walker
    walker.receive_token(NEIGHBOUR, TOKEN_CURRENT, b"\1" * 8, b"\2" * 8, 0.0)
    request = IntroductionRequest(
        number=1, member=MemberId(bytes(32)), receiver=HERE, summary=summary, capabilities=capabilities
    )
    walker.receive_introduction_request(NEIGHBOUR, request, 0.0)
