"""Messages of a file on their way through the node: what the writer is asked to take, until it has decided.

They go the way of what neighbours send: the writer hands a portion to the network role, which puts it in the
row before the verifiers; what holds comes back with what was dropped, and is decided and committed with
everything else. Only then does whoever reads the file hear what became of it, by looking each message up.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dispersy.bus.frames import IMPORT_HEADER
from dispersy.errors import StorageError, UsageError
from dispersy.protocol.intake.received import ids_of
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.storage.store import StoreReader
from dispersy.workers.authoring.orders import Outcome, Ticket
from dispersy.workers.ledger import Ledger

IMPORTS_MAX = 16
IMPORTS_SIZE_MAX = 4 << 20
"""Portions of all files on their way at once, and their bytes: what waits before the verifiers leaves room
for neighbours."""
IMPORT_LIMIT_S = 10.0
"""After this a portion was lost with a process on its way: whoever reads the file sends it again."""
NOT_KEPT = "not-kept"
"""The reason where no single rule was noted: it is denied, or its kind keeps the newest few alone."""


@dataclass(slots=True)
class _Portion:
    """What one order brought.

    awaited   batches that verifiers have not brought back
    fresh     packed message_records of those that hold, since the last commit
    """

    ticket: Ticket
    community: int
    count: int
    size: int
    due: float
    awaited: int
    fresh: list[bytes] = field(default_factory=list)
    new: int = 0
    waiting: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class Importing:
    """One a writer."""

    def __init__(self, ledger: Ledger, store: StoreReader) -> None:
        self._ledger = ledger
        self._store = store
        self._portions: dict[int, _Portion] = {}
        # What an earlier writer has asked for may still come back.
        self._next = int.from_bytes(os.urandom(7), "big")
        self._failures = 0

    def begin(
        self, ticket: Ticket, community: int, whole: Sequence[bytes], stripped: Sequence[bytes], now: float
    ) -> list[tuple[bytes, bytes]]:
        """(IMPORT_HEADER, area) of each batch that is to be verified; none where there is nothing to do.

        raises  UsageError `busy`
        """
        waiting = self._portions.values()
        size = sum(map(len, whole)) + sum(map(len, stripped))
        if len(waiting) >= IMPORTS_MAX or (
            waiting and sum(each.size for each in waiting) + size > IMPORTS_SIZE_MAX
        ):
            raise UsageError(
                f"{IMPORTS_MAX} portions of files may wait for verifiers, of {IMPORTS_SIZE_MAX} bytes",
                code="busy",
                hint="wait for an answer, then send this again",
            )
        self._next += 1
        batches = [
            (
                IMPORT_HEADER.pack(community, self._next, len(messages), is_stripped),
                b"".join(encode_uvarint(len(message)) + message for message in messages),
            )
            for messages, is_stripped in ((whole, False), (stripped, True))
            if messages
        ]
        count = len(whole) + len(stripped)
        due = now + IMPORT_LIMIT_S
        self._portions[self._next] = _Portion(ticket, community, count, size, due, len(batches))
        return batches

    def receive(self, header: bytes, dropped: Mapping[str, int], records: bytes) -> int:
        """What verifiers bring back of a batch; its community. The ledger is told of the records besides."""
        community, number, _, _ = IMPORT_HEADER.unpack(header)
        portion = self._portions.get(number)
        if portion is not None:
            portion.awaited -= 1
            portion.refused.update(dropped)
            portion.fresh.append(records)
        return int(community)

    def committed(self, now: float) -> Iterator[Outcome]:
        """What has become of the portions that are dealt with; call after every commit."""
        failures = self._ledger.counters["commit-failed"]
        has_failed, self._failures = failures != self._failures, failures
        for number, portion in list(self._portions.items()):
            outcome: dict[str, Any] | StorageError | UsageError | None = None
            if portion.fresh and has_failed:
                outcome = StorageError("the disk refused: of this portion nothing was stored")
            elif portion.fresh:
                self._judge(portion)
            if outcome is None and not portion.awaited:
                outcome = _told(portion)
            elif outcome is None and now >= portion.due:
                outcome = UsageError(
                    "a portion of the file was lost on its way", code="no-answer", hint="send it again"
                )
            if outcome is not None:
                del self._portions[number]
                yield portion.ticket, outcome

    def _judge(self, portion: _Portion) -> None:
        for records in portion.fresh:
            held = self._store.held(portion.community, records)
            portion.new += sum(held)
            self._ledger.counters["imported"] += sum(held)
            if all(held):
                continue
            for is_held, message_id in zip(held, ids_of(records), strict=True):
                if is_held:
                    continue
                waits, reason = self._ledger.fate(portion.community, message_id)
                portion.waiting += waits
                if not waits:
                    portion.refused[reason or NOT_KEPT] += 1
        portion.fresh.clear()


def _told(portion: _Portion) -> dict[str, Any]:
    refused = dict(portion.refused)
    known = portion.count - portion.new - portion.waiting - sum(refused.values())
    return {"new": portion.new, "known": known, "waiting": portion.waiting, "refused": refused}
