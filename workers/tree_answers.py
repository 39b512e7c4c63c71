"""Answering neighbours that compare trees of counts and sums, from the store as committed.

An answer costs up to a thousand look-ups, some milliseconds, and is up to twenty times as long as what asked
for it. So few a second are given to one address, to one host, and in all; to the others the answer is busy.
"""

from __future__ import annotations

from dispersy.bus import frames as bus
from dispersy.constants import TREES_ANSWERED_IN_ALL_MAX, TREES_ANSWERED_MAX, TREES_SOURCES_MAX
from dispersy.protocol.address import Address
from dispersy.protocol.flow import PerSecond
from dispersy.protocol.hosts import host_of
from dispersy.protocol.sync.tree_answer import answer_tree
from dispersy.protocol.wire.frames import Busy, Tree, TreeRequest, frame
from dispersy.protocol.wire.numbers import FrameType
from dispersy.workers.report import Reporter
from dispersy.workers.served import Served

BUSY_MS = 500


class TreeAnswers:
    """One a responder."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._rate: PerSecond[object] = PerSecond(limit=TREES_ANSWERED_MAX, keys_max=TREES_SOURCES_MAX)
        self._rate_in_all: PerSecond[None] = PerSecond(limit=TREES_ANSWERED_IN_ALL_MAX, keys_max=1)

    def receive(self, served: Served, each: bus.SyncFrame, now: float) -> list[bytes]:
        """Take a tree-request or a tree; what answers it, frames of one datagram each.

        raises  WireError
        """
        source = Address(each.source)
        if each.type == FrameType.TREE:
            served.puller.receive_reply(source, Tree.decode(each.body), now)
            return []
        request = TreeRequest.decode(each.body)
        if not served.record.definition:
            return []
        # First its own: what one host may not have must not count against the others.
        if not self._rate.admit(host_of(source) or source, now) or not self._rate_in_all.admit(None, now):
            self._reporter.counters["trees-refused"] += 1
            return [frame(Busy.type, Busy(request.number, BUSY_MS).encode())]
        served.counts["tree-answers"] += 1
        return answer_tree(request, served.holdings)
