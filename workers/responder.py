"""The responder: asks and answers synchronisation for the communities of its shard, from the store as committed.

Answers are stateless towards the network: a request is worked off in steps of a few datagrams, in turn with others
and with the verifier's batches, and forgotten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from random import SystemRandom
from time import perf_counter

from dispersy.bus import frames as bus
from dispersy.bus.sharding import responder_of
from dispersy.errors import WireError
from dispersy.protocol.address import Address
from dispersy.protocol.answer import Answer, answer_audit, answer_missing
from dispersy.protocol.frames import Audit, AuditRequest, Busy, RequestMissing, SyncRequest, frame
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.numbers import FrameType
from dispersy.protocol.records import ENVELOPE, HAS_SUMMARY
from dispersy.protocol.summary import Summary
from dispersy.protocol.sync import Puller
from dispersy.storage.store import CommunityRecord, StoreReader
from dispersy.workers.report import Reporter

ANSWERS_MAX = 64
"""Requests that are worked off at once; to more the answer is busy."""
BUSY_MS = 200
STEP_DATAGRAMS = 16
CLOCK_VOICES = 5

SendOut = Callable[[int, list[tuple[bytes, bytes]]], None]


class _Holdings:
    """One community's part of the store, as the protocol's machines ask for it."""

    def __init__(self, reader: StoreReader, number: int) -> None:
        self._reader = reader
        self._number = number

    def summary(self) -> Summary:
        return self._reader.state(self._number).summary

    def scan(self, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        return self._reader.scan(self._number, low, high, limit)

    def messages(self, cursors: Sequence[int]) -> list[bytes]:
        return self._reader.messages(cursors)


class _Served:
    """A community of this shard."""

    def __init__(self, record: CommunityRecord, holdings: _Holdings, puller: Puller) -> None:
        self.record = record
        self.holdings = holdings
        self.puller = puller
        self.clock_voices: dict[bytes, int] = {}
