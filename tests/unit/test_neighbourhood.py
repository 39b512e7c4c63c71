"""A community's walk in the network role: what it tells its neighbours of our live set, and how often."""

from __future__ import annotations

from collections import Counter
from random import Random

from dispersy.ext.verify import public_key
from dispersy.protocol.address import make_address
from dispersy.protocol.frames import IntroductionRequest
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.records import TOKEN_CURRENT
from dispersy.protocol.summary import Summary
from dispersy.storage.store import CommunityRecord
from dispersy.workers.neighbourhood import Neighbourhood

SEED = bytes(range(32))
HERE = make_address("198.51.100.1", 6421)
NEIGHBOUR = make_address("203.0.113.1", 6421)


def test_a_neighbour_hears_a_summary_once() -> None:
    """However often the house says it, and again as soon as it is another one."""
    public = public_key(SEED)
    neighbourhood = Neighbourhood(
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
    walker = neighbourhood._walker
    walker.receive_token(NEIGHBOUR, TOKEN_CURRENT, b"\1" * 8, b"\2" * 8, 0.0)
    walker.receive_introduction_request(
        NEIGHBOUR, IntroductionRequest(number=1, member=MemberId(bytes(32)), receiver=HERE), 0.0
    )
    summary = Summary(highest=5, count=5, sum=5)
    neighbourhood.define(summary, 0.0)
    neighbourhood.drain_datagrams()
    for second in (1.0, 2.0, 3.0):
        neighbourhood.summary_changed(summary.encode(), second)
        assert neighbourhood.drain_datagrams() == []
    neighbourhood.summary_changed(Summary(highest=6, count=6, sum=6).encode(), 4.0)
    assert [address for address, _ in neighbourhood.drain_datagrams()] == [NEIGHBOUR]
