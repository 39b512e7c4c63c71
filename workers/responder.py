"""The responder: asks and answers synchronisation for the communities of its shard, from the store as
committed.

Answers are stateless towards the network: a request is worked off in steps of a few datagrams, in turn with
others and with the verifier's batches, and forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random, SystemRandom
from time import perf_counter
from typing import Any

from dispersy.bus import frames as bus
from dispersy.bus.settings import CommunitySettings
from dispersy.bus.sharding import responder_of
from dispersy.errors import WireError
from dispersy.protocol.address import Address
from dispersy.protocol.identifiers import CommunityId, MemberId
from dispersy.protocol.large_messages.assembly import AssemblyRoom
from dispersy.protocol.large_messages.fragment_sources import Whole
from dispersy.protocol.large_messages.fragments import Fragments
from dispersy.protocol.sync.answering import Answering, Request, Sent
from dispersy.protocol.sync.named_requests import NamedRequests
from dispersy.protocol.sync.newest_request import NewestRequest
from dispersy.protocol.sync.puller import Puller
from dispersy.protocol.sync.questions import in_datagrams
from dispersy.protocol.wants import Wants
from dispersy.protocol.wire.frames import (
    Audit,
    AuditRequest,
    Busy,
    Fragment,
    FragmentRequest,
    Large,
    RangeRequest,
    RequestMissing,
    Symbols,
    SymbolsRequest,
    SyncRequest,
    Tree,
    TreeRequest,
    frame,
)
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.records import ENVELOPE
from dispersy.protocol.wire.summary import Summary
from dispersy.storage.store import CommunityRecord, StoreReader
from dispersy.workers.answering.named_answers import Asked, Find, NamedAnswers
from dispersy.workers.answering.served import CommittedHoldings, Served, selections_in
from dispersy.workers.report import Reporter, Untold
from dispersy.workers.schedule import Schedule

_REQUESTS: dict[int, type[Request]] = {
    each.type: each
    for each in (SyncRequest, RangeRequest, SymbolsRequest, TreeRequest, FragmentRequest, AuditRequest)
}
SendOut = Callable[[int, list[tuple[bytes, bytes]]], None]
SettingsOf = Callable[[bytes, str], CommunitySettings]
"""Of a community's id and name."""


class Responder:
    """Owns a Puller (the asking side) for every community of its shard, and the answers in work."""

    def __init__(
        self,
        reader: StoreReader,
        reporter: Reporter,
        *,
        index: int,
        workers: int,
        send: SendOut,
        find: Find,
        settings: SettingsOf = lambda _id, _name: CommunitySettings(),
        source_key: bytes = b"",
        rng: Random | None = None,
    ) -> None:
        self._reader = reader
        self._reporter = reporter
        self._index = index
        self._workers = workers
        self._send = send
        self._settings = settings
        self._source_key = source_key
        self._rng = rng or SystemRandom()
        self._served: dict[int, Served] = {}
        self._schedule = Schedule(self._deadline_of)
        self._untold = Untold()
        # As the last note said; None: to be told again to all.
        self._restored: dict[int, list[bytes]] | None = None
        self._answering = Answering(reporter.counters)
        self._room = AssemblyRoom()
        self._whole: list[tuple[int, Whole]] = []
        self._exhausted: list[tuple[int, bytes, int]] = []
        self._clocks: list[tuple[int, int, bool, bool]] = []
        self._named = NamedAnswers(find)
        self._told: list[tuple[int, Address]] = []

    def set_communities(self, communities: Sequence[CommunityRecord], now: float) -> None:
        """Serve those of our shard and no others; tell a puller when its definition has come."""
        numbers = {record.number for record in communities}
        for number in self._served.keys() - numbers:
            self._served.pop(number).fragments.close()
        self._answering.keep(numbers)
        for record in communities:
            if responder_of(record.community_id, workers=self._workers) != self._index:
                continue
            served = self._served.get(record.number)
            if served is None:
                served = self._served[record.number] = self._serve(record, now)
                self._restored = None
            if record.definition and record.definition != served.definition:
                served.definition = record.definition
                served.puller.set_definition_known(now, selections_in(record))
            served.record = record
            self._drain(served)

    def _serve(self, record: CommunityRecord, now: float) -> Served:
        holdings = CommittedHoldings(self._reader, record)
        settings = self._settings(record.community_id, record.name)
        fragments = Fragments(
            community_id=CommunityId(record.community_id),
            rng=self._rng,
            holdings=holdings,
            room=self._room,
        )
        puller = Puller(
            rng=self._rng,
            holdings=holdings,
            fragments=fragments,
            now=now,
            audits=settings.sync_audits,
            budget_max=settings.sync_budget_max,
        )
        newest = NewestRequest(rng=self._rng)
        named = NamedRequests(rng=self._rng, source_key=self._source_key)
        return Served(record, holdings, fragments, puller, newest, named, settings)

    def receive(self, kind: bytes, community: int, data: bytes, now: float) -> None:
        """Take what the network role hands over for one community."""
        served = self._served.get(community)
        if served is None:
            return
        began = perf_counter()
        self._reader.refresh()
        try:
            if kind == bus.ENVELOPES:
                self._receive_envelopes(served, data, now)
            elif kind == bus.PEERS:
                self._receive_peers(served, data, now)
            elif kind == bus.SYNC:
                for each in bus.sync_decoder.decode(data):
                    self._receive_frame(served, each, now)
        finally:
            self._reader.release()
        self._reporter.step("responder.receive", began, 1, community=community)

    def committed(self, note: bus.CommitNote, now: float) -> None:
        """The store has changed."""
        began = perf_counter()
        self._reader.refresh()
        try:
            for number, total in note.processed.items():
                served = self._served.get(number)
                if served is None:
                    continue
                # What is on request is in no summary.
                requested = self._reader.state(number).on_request
                noted = (total, note.summaries.get(number), requested)
                if served.noted != noted:
                    served.noted = noted
                    served.fragments.receive_committed(now)
                    served.puller.set_processed(total, now)
                    if number in note.summaries:
                        self._answering.allowance.look(number, served.holdings.summary().count)
                        served.puller.receive_committed(now)
                    self._drain(served)
        finally:
            self._reader.release()
        if note.restored != self._restored:
            self._restored = note.restored
            for number, served in self._served.items():
                served.newest.set_authors([MemberId(author) for author in note.restored.get(number, ())], now)
                self._schedule.touch(number)
        for number, wants in note.wanted.items():
            if (served := self._served.get(number)) is not None:
                served.named.set_wants(wants, now)
                self._schedule.touch(number)
        self._reporter.step("responder.committed", began, 1)

    def lost(self, now: float) -> None:
        """The writer was started again: what was on its way to it is gone."""
        self._reader.refresh()
        try:
            for served in self._served.values():
                served.fragments.receive_loss(now)
                served.puller.receive_loss(now)
                served.named.set_wants(Wants(), now)
                self._drain(served)
        finally:
            self._reader.release()

    def next_deadline(self) -> float | None:
        deadlines = [
            self._schedule.next_deadline(),
            self._named.next_deadline(),
            self._answering.next_audit(),
        ]
        return min([deadline for deadline in deadlines if deadline is not None], default=None)

    def handle_timer(self, now: float) -> None:
        self._named.handle_timer(now)
        due = [served for number in self._schedule.due(now) if (served := self._served.get(number))]
        if not due:
            return
        self._reader.refresh()
        try:
            for served in due:
                served.fragments.handle_timer(now)
                served.puller.handle_timer(now)
                self._drain(served)
        finally:
            self._reader.release()
        for served in due:
            word = served.clock_voices.take(now)
            if word is not None:
                self._clocks.append((served.record.number, *word))
            asking = served.asks(now)
            self._exhausted += [(served.record.number, *each) for each in served.drain_exhausted()]
            if asking:
                self._send(
                    served.record.number,
                    [(source, frame(request.type, request.encode())) for source, request in asking],
                )

    def _deadline_of(self, number: int) -> float | None:
        served = self._served.get(number)
        return None if served is None else served.next_deadline()

    def step(self, now: float) -> bool:
        """Work off a few datagrams of the oldest answer; True when there is more to do."""
        if (due := self._answering.next_audit()) is not None and now >= due:
            began = perf_counter()
            ended = self._work_off(lambda: self._answering.step_audit(now), "responder.audit")
            self._answering.rest(now, ended - began)
        if self._answering:
            self._work_off(self._answering.step_answer, "responder.answer")
            self._work_off(self._answering.step_fragments, "responder.fragments")
        return bool(self._answering)

    def _work_off(self, step: Callable[[], Sent | None], name: str) -> float:
        """Let one step be done with the store as it is now; when it ended."""
        began = perf_counter()
        self._reader.refresh()
        try:
            worked = step()
        finally:
            self._reader.release()
        if worked is None:
            return began
        number, source, frames = worked
        self._send_answer(number, source, frames)
        return self._reporter.step(name, began, len(frames), community=number)

    def report(self) -> dict[str, Any]:
        """What its communities counted, of those where something happened."""
        whole, told = self._untold.take(self._served, heard=self._reporter.heard)
        served = {number: self._served[number] for number in told}
        counted = {number: each.counted() for number, each in served.items()}
        communities = {number: {"counters": dict(counts)} for number, counts in counted.items()}
        return {"whole": whole, "communities": communities}

    def drain_clocks(self) -> list[tuple[int, int, bool, bool]]:
        """(community, global time, whether that is a median): how far neighbours' clocks have come."""
        clocks, self._clocks = self._clocks, []
        return clocks

    def drain_exhausted(self) -> list[tuple[int, bytes, int]]:
        """(community, what an application waits for, neighbours that were asked and have not given it)."""
        exhausted, self._exhausted = self._exhausted, []
        return exhausted

    def drain_told(self) -> list[tuple[int, Address]]:
        """(community, neighbour) that has said what it holds of ours."""
        told, self._told = self._told, []
        return told

    def drain_whole(self) -> list[tuple[int, Whole]]:
        """(community, large message that is here whole): for the verifier."""
        whole, self._whole = self._whole, []
        return whole

    def found(self, order: int, cursors: Sequence[int], now: float) -> None:
        """The writer has looked up what a neighbour asked for."""
        asked = self._named.found(order, now)
        if asked is None:
            return
        served = self._served.get(asked.community)
        if served is None:
            return
        self._reader.refresh()
        try:
            answered = served.holdings.answered(cursors)
        except KeyError:
            return  # Purged meanwhile, and the note of it is still on its way.
        finally:
            self._reader.release()
        self._send_answer(asked.community, asked.source, self._named.answer(asked, answered, now))

    # -- what comes in ---------------------------------------------------------------------------------------

    def _receive_envelopes(self, served: Served, data: bytes, now: float) -> None:
        for position in range(0, len(data), bus.ENVELOPE_ITEM_SIZE):
            source = Address(data[position : position + 18])
            if served.receive_envelope(source, ENVELOPE.unpack_from(data, position + 18), now):
                self._told.append((served.record.number, source))
        served.puller.proceed(now)
        self._drain(served)

    def _receive_peers(self, served: Served, data: bytes, now: float) -> None:
        for heard in bus.peers_decoder.decode(data):
            source = Address(heard.source)
            served.newest.hear(source, now)
            served.named.hear(source, now)
            if heard.summary:
                summary = Summary.decode(heard.summary)
                state = self._reader.state(served.record.number)
                clock = served.clock_voices.hear(source, summary, state, now)
                if clock is not None:
                    self._clocks.append((served.record.number, clock, False, False))
                served.puller.receive_summary(source, summary, now)
            else:
                served.puller.receive_peer(source, now)
            self._drain(served)

    def _receive_frame(self, served: Served, each: bus.SyncFrame, now: float) -> None:
        source = Address(each.source)
        try:
            if each.type in _REQUESTS:
                self._receive_request(served, source, _REQUESTS[each.type].decode(each.body), now)
            elif each.type == FrameType.AUDIT:
                served.puller.receive_audit(source, Audit.decode(each.body), now)
            elif each.type == FrameType.SYMBOLS:
                served.puller.receive_reply(source, Symbols.decode(each.body), now)
            elif each.type == FrameType.TREE:
                served.puller.receive_reply(source, Tree.decode(each.body), now)
            elif each.type == FrameType.BUSY:
                busy = Busy.decode(each.body)
                served.fragments.receive_busy(source, busy.number, busy.wait_ms / 1000, now)
                served.puller.receive_busy(source, busy, now)
            elif each.type == FrameType.LARGE:
                served.fragments.receive_names(source, Large.decode(each.body).names, now)
            elif each.type == FrameType.FRAGMENT:
                served.fragments.receive_fragment(source, Fragment.decode(each.body), now)
            elif each.type == FrameType.REQUEST_MISSING:
                self._receive_missing(served, source, each.body, now)
        except WireError as error:
            self._reporter.counters[error.reason] += 1
            served.counts[error.reason] += 1
        self._drain(served)

    def _receive_missing(self, served: Served, source: Address, body: bytes, now: float) -> None:
        found = None
        if self._named.admits(source, now):
            asked = Asked(served.record.number, source, RequestMissing.decode(body))
            found = self._named.receive(asked, served.record.definition, now)
        if found is None:
            self._reporter.counters["missing-refused"] += 1
        else:
            self._send_answer(served.record.number, source, found)

    def _send_answer(self, community: int, source: Address, frames: Sequence[bytes]) -> None:
        """The frames of one datagram each."""
        if frames:
            self._send(community, [(source, each) for each in frames])

    def _receive_request(self, served: Served, source: Address, request: Request, now: float) -> None:
        if served.record.definition:
            summary = served.holdings.sent_summary()
            frames = self._answering.receive(served.answered, source, request, summary, now)
            self._send_answer(served.record.number, source, frames)

    def _drain(self, served: Served) -> None:
        self._schedule.touch(served.record.number)
        self._untold.touch(served.record.number)
        self._exhausted += [(served.record.number, *each) for each in served.drain_exhausted()]
        sent = [(address, frames) for address, _, frames in in_datagrams(served.puller.drain())]
        for fetched in served.fragments.drain():
            if isinstance(fetched, Whole):
                self._whole.append((served.record.number, fetched))
            else:
                sent.append((fetched.address, frame(fetched.request.type, fetched.request.encode())))
        sent += [(address, b"") for address in served.puller.drain_silent()]
        if sent:
            self._send(served.record.number, [*sent])
