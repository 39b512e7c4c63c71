"""Answering neighbours that describe their sets, from the store as committed.

A description costs some hundred microseconds, and up to 146 look-ups, each a seek in every run of the index,
some ten milliseconds. So few requests a second are answered of one address and in all; the others are not,
and whoever asked asks again or elsewhere. Naming a large message takes reading all of it, half a millisecond:
so many of them count as one more answer.
"""

from __future__ import annotations

from dispersy.bus import frames as bus
from dispersy.constants import SYMBOLS_ANSWERED_IN_ALL_MAX, SYMBOLS_ANSWERED_MAX, SYMBOLS_SOURCES_MAX
from dispersy.protocol.address import Address
from dispersy.protocol.flow import PerSecond
from dispersy.protocol.sync.symbols_answer import answer_symbols
from dispersy.protocol.wire.frames import Symbols, SymbolsRequest
from dispersy.protocol.wire.numbers import FrameType
from dispersy.workers.report import Reporter
from dispersy.workers.served import Served

LARGE_PER_ANSWER = 16
"""Large messages that are as dear as an answer without any."""


class SymbolsAnswers:
    """One a responder."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._rate: PerSecond[Address] = PerSecond(limit=SYMBOLS_ANSWERED_MAX, keys_max=SYMBOLS_SOURCES_MAX)
        self._rate_in_all: PerSecond[None] = PerSecond(limit=SYMBOLS_ANSWERED_IN_ALL_MAX, keys_max=1)

    def receive(self, served: Served, each: bus.SyncFrame, now: float) -> list[bytes]:
        """Take a symbols-request or symbols; what answers it, frames of one datagram each.

        raises  WireError
        """
        source = Address(each.source)
        if each.type == FrameType.SYMBOLS:
            served.puller.receive_reply(source, Symbols.decode(each.body), now)
            return []
        request = SymbolsRequest.decode(each.body)
        if not served.record.definition:
            return []
        # First its own: what one address may not have must not count against the others.
        if not self._rate.admit(source, now) or not self._rate_in_all.admit(None, now):
            self._reporter.counters["symbols-refused"] += 1
            return []
        answered = answer_symbols(
            request,
            served.holdings,
            served.symbol_sets,
            served.holdings.sent_summary(),
            budget_max=served.settings.answers_budget_max,
            described=served.puller.described_to(source),
        )
        dearer = answered.large // LARGE_PER_ANSWER
        self._rate.charge(source, dearer)
        self._rate_in_all.charge(None, dearer)
        if answered.is_shared:
            served.puller.share(source, now)
        served.counts["symbols-answers"] += 1
        return answered.frames
