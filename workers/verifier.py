"""The verifier: from packed packets to messages; cheap tests first, then signatures in one call without the
GIL."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from operator import or_
from time import perf_counter

from dispersy.bus.frames import VERIFY_SOURCE, Introduction
from dispersy.errors import WireError
from dispersy.ext.digest import identify_many
from dispersy.ext.table import Table
from dispersy.ext.verify import verify_many, verify_messages
from dispersy.ext.wire import DROP_REASONS, parse_messages
from dispersy.protocol.identifiers import CommunityId, MemberId, community_tag
from dispersy.protocol.wire.frames import IntroductionRequest, IntroductionResponse, introduction_signed_bytes
from dispersy.protocol.wire.numbers import FrameType, MessageFlag
from dispersy.protocol.wire.records import MESSAGE, id_keys
from dispersy.storage.store import CommunityRecord, StoreReader
from dispersy.workers.report import Reporter

RECENT_MAX = 65_536
"""Ids a generation of the table of recent messages holds; two generations are kept."""
RECENT_LIFETIME_S = 5.0
"""Of a generation: longer than a message takes to the store, which knows it from then on. What was lost on
that way (a role killed, a commit refused) must come back by synchronisation and not be taken for known."""
FILE_DROP_REASONS = (*DROP_REASONS, "signature-wrong")
"""Of messages of a file, which whoever reads it is told."""
SOURCE_OFFSET = 31
FLAGS_OFFSET = 27
"""Of these fields in a message_record."""


class Verifier:
    """Drops what is malformed, known or not signed as it says; what it returns has proven who wrote it."""

    def __init__(self, reader: StoreReader, reporter: Reporter) -> None:
        self._reader = reader
        self._reporter = reporter
        self._communities: dict[int, CommunityRecord] = {}
        self._drops = bytearray(4 * len(DROP_REASONS))
        self._recent = Table(capacity=1024)
        self._older = Table(capacity=1024)
        self._rotated = 0.0

    def set_communities(self, communities: Sequence[CommunityRecord]) -> None:
        before, self._communities = self._communities, {record.number: record for record in communities}
        undefined = [number for number, record in before.items() if not record.definition]
        if any(number in self._communities and self._communities[number].definition for number in undefined):
            # What came before the definition the writer could not take, and synchronisation brings it now.
            self.forget()

    def serves(self, community: int) -> bool:
        """Whether messages of this community can be verified."""
        return community in self._communities

    def imported(
        self, community: int, area: bytes, now: float, *, stripped: bool
    ) -> tuple[bytes, dict[str, int]]:
        """As batch(), of messages of a file; and what was dropped, by reason, but for those that are held."""
        counters = self._reporter.counters
        before = {name: counters[name] for name in FILE_DROP_REASONS}
        records = self.batch(community, area, now, stripped=stripped, of_file=True)
        dropped = {name: counters[name] - count for name, count in before.items()}
        return records, {name: count for name, count in dropped.items() if count}

    def batch(
        self,
        community: int,
        area: bytes,
        now: float,
        sources: bytes = b"",
        *,
        stripped: bool = False,
        of_file: bool = False,
    ) -> bytes:
        """Packed message_records, ids filled, of what is new and verified in (uvarint length ‖ message)*.

        sources    packed VERIFY_SOURCEs, of which each record gets its bucket; empty: unknown
        stripped   they are stripped messages: their records say so, and the area has them as they are
        of_file    whoever reads it is told what became of them: what was handled a moment ago, and may have
                   been refused or lost, is handled again
        """
        self._forget(now)
        began = perf_counter()
        counters = self._reporter.counters
        record = self._communities.get(community)
        if record is None:
            counters["community-gone"] += 1
            return b""
        community_id = record.community_id
        records = parse_messages(area, self._drops, stripped=stripped)
        _note_sources(records, sources)
        identify_many(records, area, community_id)
        count = len(records) // MESSAGE.size
        began = self._reporter.step("verifier.parse", began, count, community=community)
        fresh = self._unknown(community, _without_copies(bytes(records), area), looks_back=not of_file)
        began = self._reporter.step("verifier.known", began, count, community=community)
        valid = verify_messages(fresh, area, community_id)
        self._reporter.step("verifier.verify", began, len(valid), community=community)
        counters["verified"] += sum(valid)
        if 0 in valid:
            # Without an author there is nothing to check: whether its kind takes such is the writer's to say.
            passed = bytes(map(or_, valid, _unsigned(fresh)))
            counters["signature-wrong"] += passed.count(0)
            fresh = _select(fresh, passed, 1)
        fresh = _remember(Table(capacity=1024) if of_file else self._recent, fresh)
        for name, dropped in zip(DROP_REASONS, memoryview(self._drops).cast("I"), strict=True):
            if dropped:
                counters[name] += dropped
        self._drops[:] = bytes(len(self._drops))
        return fresh

    def introductions(self, introductions: Sequence[Introduction]) -> list[Introduction]:
        """Those whose signature holds, under our own member key where it covers the receiver's."""
        began = perf_counter()
        keys: list[bytes] = []
        signatures: list[bytes] = []
        messages: list[bytes] = []
        decoded: list[Introduction] = []
        for each in introductions:
            record = self._communities.get(each.community)
            if record is None:
                continue
            try:
                is_request = each.type == FrameType.INTRODUCTION_REQUEST
                introduction = (IntroductionRequest if is_request else IntroductionResponse).decode(each.body)
            except WireError as error:
                self._reporter.counters[error.reason] += 1
                continue
            keys.append(introduction.member)
            signatures.append(introduction.signature)
            messages.append(
                introduction_signed_bytes(
                    community_tag(CommunityId(record.community_id)),
                    each.header_token,
                    FrameType(each.type),
                    introduction.unsigned(),
                    receiver_member=MemberId(record.member_id) if introduction.covers_receiver else None,
                )
            )
            decoded.append(each)
        valid = verify_many(b"".join(keys), b"".join(signatures), messages)
        self._reporter.counters["introduction-signature-wrong"] += valid.count(0)
        self._reporter.step("verifier.introductions", began, len(introductions))
        return [each for each, holds in zip(decoded, valid, strict=True) if holds]

    def _unknown(self, community: int, records: bytes, *, looks_back: bool) -> bytes:
        """Without those handled a short while ago or held in the store: a known message costs no
        signature."""
        if records and looks_back:
            records = self._not_recent(records)
        if not records:
            return records
        self._reader.refresh()
        try:
            held = self._reader.held(community, records)
        finally:
            self._reader.release()
        if any(held):
            self._reporter.counters["known-held"] += sum(held)
            records = _select(records, held, 0)
        return records

    def _not_recent(self, records: bytes) -> bytes:
        keys = id_keys(records)
        # The value of every key is 0, and ABSENT has no zero byte: one byte of each tells.
        recent, older = self._recent.find_many(keys)[::8], self._older.find_many(keys)[::8]
        if 0 not in recent and 0 not in older:
            return records
        known = bytes(0 in pair for pair in zip(recent, older, strict=True))
        self._reporter.counters["known-recently"] += sum(known)
        return _select(records, known, 0)

    def forget(self) -> None:
        """What was handled a moment ago may be lost behind us: check it again."""
        self._recent, self._older = Table(capacity=1024), Table(capacity=1024)

    def _forget(self, now: float) -> None:
        aged = now - self._rotated
        if len(self._recent) < RECENT_MAX and aged < RECENT_LIFETIME_S:
            return
        is_all_old = aged >= 2 * RECENT_LIFETIME_S
        self._older = Table(capacity=1024) if is_all_old else self._recent
        self._recent = Table(capacity=1024)
        self._rotated = now


def _remember(table: Table, records: bytes) -> bytes:
    """Note verified messages; without those whose id came twice, under two signatures that both hold."""
    inserted = table.insert_many(id_keys(records), bytes(8 * (len(records) // MESSAGE.size)))
    return _select(records, inserted, 1) if 0 in inserted else records


def _note_sources(records: bytearray, sources: bytes) -> None:
    """Write into each record the bucket of the host that sent it; both are in the order of the area."""
    rows = list(VERIFY_SOURCE.iter_unpack(sources))
    if len(rows) <= 1:
        # Nobody knows, or all of it is of one host: so it is wherever one neighbour fills us.
        bucket = rows[0][1] if rows else 0
        records[SOURCE_OFFSET :: MESSAGE.size] = bytes((bucket,)) * (len(records) // MESSAGE.size)
        return
    offsets = memoryview(records).cast("I")[:: MESSAGE.size // 4].tolist()
    buckets = bytearray()
    for end, bucket in rows:
        buckets += bytes((bucket,)) * (bisect_left(offsets, end) - len(buckets))
    records[SOURCE_OFFSET :: MESSAGE.size] = buckets


def _unsigned(records: bytes) -> bytes:
    """One byte a record: 1 if the message has no author, and so no signature."""
    return bytes(bool(flags & MessageFlag.NO_AUTHOR) for flags in records[FLAGS_OFFSET :: MESSAGE.size])


def _without_copies(records: bytes, area: bytes) -> bytes:
    """Each message once, byte by byte: its id alone does not tell a good signature from a bad one."""
    keys = array("Q", id_keys(records))[::2]
    if len(set(keys)) == len(keys):
        return records
    words = memoryview(records).cast("I")
    offsets, lengths = words[:: MESSAGE.size // 4].tolist(), words[1 :: MESSAGE.size // 4].tolist()
    messages = [area[offset : offset + length] for offset, length in zip(offsets, lengths, strict=True)]
    first = {message: index for index, message in reversed([*enumerate(messages)])}
    return _select(records, bytes(first[each] == index for index, each in enumerate(messages)), 1)


def _select(records: bytes, flags: bytes | bytearray, wanted: int) -> bytes:
    return b"".join(
        records[index * MESSAGE.size : (index + 1) * MESSAGE.size]
        for index, flag in enumerate(flags)
        if flag == wanted
    )
