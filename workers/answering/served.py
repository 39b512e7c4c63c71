"""A community of a responder's shard: its part of the store, and the machines that ask neighbours for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from dispersy.bus.settings import CommunitySettings
from dispersy.errors import WireError
from dispersy.protocol.address import Address
from dispersy.protocol.definitions.definition import accept_definition
from dispersy.protocol.definitions.ranking import selections_of
from dispersy.protocol.holdings import key_after
from dispersy.protocol.identifiers import CommunityId, OrderKey
from dispersy.protocol.large_messages.fragments import Fragments
from dispersy.protocol.sync.answer import Answered, read_answered
from dispersy.protocol.sync.answering import AnsweredCommunity
from dispersy.protocol.sync.named_requests import NamedRequests
from dispersy.protocol.sync.newest_request import NewestRequest
from dispersy.protocol.sync.puller import Puller
from dispersy.protocol.wire.frames import RequestMissing
from dispersy.protocol.wire.message import read_message
from dispersy.protocol.wire.numbers import MessagesFlag
from dispersy.protocol.wire.records import HAS_SUMMARY
from dispersy.protocol.wire.selection import Selection
from dispersy.protocol.wire.summary import Summary
from dispersy.storage.store import CommunityRecord, StoreReader, on_request
from dispersy.workers.answering.clock_voices import ClockVoices


class CommittedHoldings:
    """One community's part of the store, as the protocol's machines ask for it."""

    def __init__(self, reader: StoreReader, record: CommunityRecord) -> None:
        self._reader = reader
        self._number = record.number
        self._community_id = CommunityId(record.community_id)

    def summary(self) -> Summary:
        return self._reader.state(self._number).summary

    def sent_summary(self) -> Summary:
        """As neighbours are told it."""
        state = self._reader.state(self._number)
        return state.summary.at_clock(state.clock)

    def scan(self, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        return self._reader.scan(self._number, low, high, limit)

    def scan_back(self, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        return self._reader.scan_back(self._number, low, high, limit)

    def named(self, key: OrderKey) -> tuple[bytes, bytes]:
        for part in (self._number, on_request(self._number)):
            keys, cursors, _ = self._reader.scan(part, key, key_after(key), 1)
            if keys:
                break
        return keys, cursors

    def messages(self, cursors: Sequence[int]) -> list[bytes]:
        return self._reader.messages(cursors)

    def answered(self, cursors: Sequence[int]) -> list[Answered]:
        """What an answer gives of these messages; read in portions, for of large ones only the names stay."""
        return read_answered(self, cursors)

    def community_id(self) -> CommunityId:
        return self._community_id

    def tree(self, level: int, indexes: Sequence[int]) -> list[tuple[int, int]] | None:
        return self._reader.tree(self._number, level, indexes)

    def symbols(self, first: int, count: int) -> bytes | None:
        return self._reader.symbols(self._number, first, count)

    def find_items(self, items: bytes) -> list[int]:
        return self._reader.find_items(self._number, items)


class Served:
    """A community of this shard."""

    def __init__(
        self,
        record: CommunityRecord,
        holdings: CommittedHoldings,
        fragments: Fragments,
        puller: Puller,
        newest: NewestRequest,
        named: NamedRequests,
        settings: CommunitySettings,
    ) -> None:
        self.record = record
        self.definition = b""
        """The one that the puller follows."""
        self.settings = settings
        self.holdings = holdings
        self.fragments = fragments
        self.puller = puller
        self.newest = newest
        self.named = named
        self.counts: Counter[str] = Counter()
        self.answered = AnsweredCommunity(
            record.number,
            holdings,
            puller,
            self.counts,
            budget_max=settings.answers_budget_max,
            at_once_max=settings.answers_at_once_max,
        )
        self.clock_voices = ClockVoices()
        # As the last note said: notes repeat what has not changed.
        self.noted: tuple[int, bytes | None, int] | None = None

    def receive_envelope(self, source: Address, envelope: tuple[Any, ...], now: float) -> bool:
        """A datagram's messages are on their way to the verifiers; whether this neighbour has now told all
        that it holds of ours. The puller is to proceed afterwards.

        envelope   fields of an ENVELOPE
        """
        _, number, _, length, _, count, flags, _, low, high, summary, _ = envelope
        if count and self.named.receive_messages(source, number):
            self.counts["came-by-name"] += count
        theirs = Summary.decode(summary) if flags & HAS_SUMMARY else None
        self.puller.receive_envelope(source, number, flags, low, high, theirs, count, length, now)
        if not flags & MessagesFlag.LAST_OF_ANSWER:
            return False
        self.named.receive_answer(source, number, now)
        return self.newest.receive_answer(source, number)

    def asks(self, now: float) -> list[tuple[Address, RequestMissing]]:
        """What to ask neighbours for by name now."""
        return [*self.newest.step(now), *self.named.step(now)]

    def drain_exhausted(self) -> list[tuple[bytes, int]]:
        """As NamedRequests has it, but not while large messages are on their way: one of them may be what is
        waited for."""
        return self.named.drain_exhausted() if self.fragments.next_deadline() is None else []

    def counted(self) -> Counter[str]:
        """What it and its machines have counted since the start."""
        return self.puller.counts + self.fragments.counts + self.named.counts + self.counts

    def next_deadline(self) -> float | None:
        """When one of its machines has something to do."""
        deadlines = [
            self.clock_voices.due,
            self.puller.next_deadline(),
            self.fragments.next_deadline(),
            self.newest.next_deadline(),
            self.named.next_deadline(),
        ]
        return min([deadline for deadline in deadlines if deadline is not None], default=None)


def selections_in(record: CommunityRecord) -> tuple[Selection, ...]:
    """What its definition lets come before the rest."""
    try:
        view = read_message(CommunityId(record.community_id), record.definition)
        return selections_of(accept_definition(view.payloads[0]))
    except WireError:
        return ()  # Stored by software that accepts more.
