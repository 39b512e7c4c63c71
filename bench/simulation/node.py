"""A simulated node: the real machines of one community over a store in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from dispersy.errors import WireError
from dispersy.ext import wire
from dispersy.protocol.address import Address
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.large_messages.assembly import AssemblyRoom
from dispersy.protocol.large_messages.fragment_sources import AskFragments, Whole
from dispersy.protocol.large_messages.fragments import Fragments
from dispersy.protocol.spreading.spreading import FRESH_MAX, Spreader
from dispersy.protocol.sync.answer import answer_missing, named_frames
from dispersy.protocol.sync.answering import AnsweredCommunity, Answering, Request
from dispersy.protocol.sync.newest_request import NewestRequest
from dispersy.protocol.sync.puller import Puller
from dispersy.protocol.sync.questions import in_datagrams
from dispersy.protocol.walk.shared_pace import SharedPace
from dispersy.protocol.walk.walk_events import (
    SameKeyElsewhere,
    SendFrame,
    SendIntroduction,
    SendKeepAlive,
    SendToken,
    SummaryHeard,
)
from dispersy.protocol.walk.walker import Walker
from dispersy.protocol.wire.announcements import IdPrefix
from dispersy.protocol.wire.frames import (
    Audit,
    AuditRequest,
    Busy,
    Fragment,
    FragmentRequest,
    Frame,
    Have,
    IntroductionRequest,
    IntroductionResponse,
    Large,
    MissingNewest,
    Ping,
    Pong,
    PunctureRequest,
    Push,
    RequestMissing,
    Symbols,
    SymbolsRequest,
    SyncRequest,
    TokenFrame,
    Tree,
    TreeRequest,
    Want,
    datagram,
    decode_frame,
    frame,
    introduction_signed_bytes,
)
from dispersy.protocol.wire.numbers import FrameType, MessagesFlag
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.protocol.wire.records import DATAGRAM, ENVELOPE, FRAME, HAS_SUMMARY
from dispersy.protocol.wire.summary import Summary
from simulation.commits import Arrived, Commits
from simulation.deadlines import WALKING, Deadlines
from simulation.holdings import COMMUNITY, COMMUNITY_ID, TAG, StoreHoldings, area_of, make_holdings
from simulation.shared import SharedHoldings
from simulation.signing import holds, public_key
from simulation.tokens import Tokens
from simulation.walk_datagrams import walk_datagram

if TYPE_CHECKING:
    from simulation.world import World

COMMIT_DELAY_S = 0.02
DROPS = bytearray(4 * len(wire.DROP_REASONS))
"""What the kernel counts of what it drops, of all nodes; nobody reads it."""
SPREADING = frozenset((FrameType.HAVE, FrameType.WANT, FrameType.PUSH))


class Node:
    """A node: a walker, a puller, and a store that commits what arrives COMMIT_DELAY_S later."""

    def __init__(
        self,
        world: World,
        address: Address,
        *,
        bootstrap: list[Address],
        seed: int | str,
        defined: bool = True,
        sum_bits: int = 96,
        audits: bool = False,
        audit_chance: float = 1.0,
        audit_ids_max: int = 100,
        audit_interval_s: float = 1.0,
        key_of: Node | None = None,
        pace: SharedPace | None = None,
        pings: bool = True,
        holdings: StoreHoldings | SharedHoldings | None = None,
        commit_delay_s: float = COMMIT_DELAY_S,
        spreads: bool = True,
        synchronises: bool = True,
    ) -> None:
        self.world = world
        self.address = address
        if holdings is None:
            corpus = world.corpus
            holdings = make_holdings(sum_bits=sum_bits) if corpus is None else SharedHoldings(corpus)
        self.holdings = holdings
        self.definition = b"definition" * 5 if defined else b""
        rng = Random(seed)
        self._take_key(rng, key_of)
        self.tokens = Tokens(secret=rng.randbytes(16), tag=TAG)
        self.walker = Walker(
            tag=TAG, member=self.member, rng=rng, bootstrap=bootstrap, now=world.now, pace=pace
        )
        self.synchronises = synchronises
        """False: it only walks."""
        self.pings = pings
        """False: as a version that skips them."""
        self.fragments = Fragments(
            community_id=COMMUNITY_ID, rng=rng, holdings=self.holdings, room=AssemblyRoom()
        )
        self.puller = Puller(
            rng=rng,
            holdings=self.holdings,
            fragments=self.fragments,
            now=world.now,
            audits=audits,
            audit_chance=audit_chance,
            audit_ids_max=audit_ids_max,
            audit_interval_s=audit_interval_s,
        )
        self.counts: Counter[str] = Counter()
        self.answering = Answering(self.counts)
        self._answered = AnsweredCommunity(COMMUNITY, self.holdings, self.puller, self.counts)
        self.spreader = self._make_spreader(rng, pace) if spreads and synchronises else None
        """None: as a version that neither pushes nor announces."""
        self.heard: Counter[str] = Counter()
        """Bytes that came; messages, and datagrams that carried some with their bytes."""
        self.drops: Counter[str] = Counter()
        """Frames by the reason for which they were not taken."""
        self.taken = 0
        """Messages that came and were new."""
        self.sent: Counter[str] = Counter()
        """Datagrams by the label of their last frame; `bytes`: of all of them."""
        self.same_key_at: list[Address] = []
        self.newest = NewestRequest(rng=rng)
        self.told_at: list[float] = []
        """When neighbours had said what they hold of this node's own."""
        self._commits = Commits(commit_delay_s)
        asking = (self.puller, self.newest, self.fragments)
        self._deadlines = Deadlines(self.walker, asking, shares_pace=pace is not None)
        if defined and synchronises:
            self.puller.set_definition_known(world.now)
            self.walker.set_summary(self.holdings.summary(), world.now)

    def _take_key(self, rng: Random, key_of: Node | None) -> None:
        key_seed = rng.randbytes(32) if key_of is None else key_of._secret[:32]
        self.member = MemberId(public_key(key_seed, models=self.world.models))
        self._secret = key_seed + self.member

    def _make_spreader(self, rng: Random, pace: SharedPace | None) -> Spreader:
        return Spreader(
            self.walker,
            identify=self.holdings.identify,
            rng=rng,
            counts=self.counts,
            is_metered=pace is not None and pace.is_metered,
        )

    @property
    def now(self) -> float:
        """What its own clock says."""
        return self.world.now_at(self.address)

    def publish(self, messages: list[bytes]) -> None:
        fresh = self._fresh_of(self.holdings.read(area_of(messages))) if len(messages) <= FRESH_MAX else []
        self.holdings.add(messages)
        if self.spreader is not None and fresh:
            prefixes = b"".join(prefix for prefix, _ in fresh)
            self.spreader.receive_fresh([message for _, message in fresh], [], prefixes, self.now)
        self._tell_summary()
        self.world.watch(self.address)

    def next_deadline(self) -> float:
        deadline = self._deadlines.next()
        spreads_at = None if self.spreader is None else self.spreader.next_deadline()
        for other in (self._commits.next_at(), spreads_at):
            if other is not None and other < deadline:
                deadline = other
        return deadline

    def touch(self) -> None:
        """Something was done to one of its machines from outside."""
        self._deadlines.touch()

    def handle_timer(self) -> None:
        now = self.now
        if self._deadlines.next() <= now:
            self._deadlines.touch()
            self.walker.handle_timer(now)
            self._drain()
            self.puller.handle_timer(now)
            self.fragments.handle_timer(now)
            self._drain()
            for address, request in self.newest.step(now):
                self._send_frame(address, request.type, request.encode())
        if self.spreader is not None:
            self._spread(self.spreader, now)
        self._commit(now)

    def _spread(self, spreader: Spreader, now: float) -> None:
        spreads_at = spreader.next_deadline()
        if spreads_at is None or now < spreads_at:
            return
        spreader.handle_timer(now)
        late = spreader.drain_summaries()
        for source, summary in late:
            self.puller.receive_summary(source, summary, now)
        (self._drain if late else self._drain_spreader)()

    def _commit(self, now: float) -> None:
        """What has come and is checked by now is stored."""
        arrived = self._commits.take(now)
        if arrived:
            new = self._fresh_of(arrived)
            fresh = self.holdings.take(arrived)
            if self.spreader is not None and new:
                prefixes = b"".join(prefix for prefix, _ in new)
                self.spreader.receive_fresh([], [message for _, message in new], prefixes, now)
            self.taken += fresh
            if fresh and self.world.on_taken is not None:
                self.world.on_taken(self, fresh)
            self.fragments.receive_committed(now)
            self.puller.set_processed(self._commits.processed, now)
            self._drain_spreader()
            self._drain_puller()
            if fresh:
                self.puller.receive_committed(now)
                self._tell_summary()

    def receive(self, source: Address, data: bytes) -> None:
        now = self.now
        self.heard["bytes"] += len(data)
        record = DATAGRAM.pack(0, len(data), source)
        frames, envelopes = wire.split(
            data,
            record,
            tags=TAG,
            secret=self.tokens.secret,
            epoch=self.tokens.epoch(now),
            drops=DROPS,
        )
        for fields in FRAME.iter_unpack(frames):
            _, offset, length, _, frame_type, token_state, _ = fields
            try:
                received = decode_frame(frame_type, data[offset : offset + length])
                self._receive_frame(source, received, data[10:18], token_state)
            except WireError as error:
                self.drops[error.reason] += 1
            if frame_type in SPREADING:
                self._drain_spreader()
            else:
                if frame_type in WALKING:
                    self._deadlines.touch()
                self._drain()
        for fields in ENVELOPE.iter_unpack(envelopes):
            _, number, offset, length, _, count, flags, _, low, high, summary, _ = fields
            area = data[offset : offset + length]
            wanted = self.spreader is not None and self.spreader.answers(source, number)
            arrived = self._messages_of(area)
            if arrived:
                self.heard["carrying"] += 1
                self.heard["carrying bytes"] += len(data)
                self._check(arrived, announced=0 if wanted else len(arrived))
            if self.spreader is not None and wanted:
                self.spreader.receive_answer(source, area, now)
                continue
            if flags & MessagesFlag.LAST_OF_ANSWER and self.newest.receive_answer(source, number):
                self.told_at.append(now)
            theirs = Summary.decode(summary) if flags & HAS_SUMMARY else None
            self.puller.receive_envelope(source, number, flags, low, high, theirs, count, length, now)
            self.puller.proceed(now)
            self._drain_puller()

    def _check(self, arrived: Arrived, *, announced: int) -> None:
        """What has come goes through the verifier to the store."""
        self.heard["messages"] += len(arrived)
        self._commits.add(arrived, self.now, announced=announced, checking_s=self.world.checking_s)

    def _fresh_of(self, arrived: Sequence[Any]) -> list[tuple[IdPrefix, bytes]]:
        """What of a commit spreads, if it may: as the writer tells it."""
        if self.spreader is None or len(arrived) > FRESH_MAX:
            return []
        return self.holdings.missing(arrived)  # type: ignore[arg-type]

    def _messages_of(self, area: bytes) -> Arrived:
        if area[1:] == self.definition or area.endswith(b"definition"):
            self.definition = area[1:]
            self.puller.set_definition_known(self.now)
            self._tell_summary()
            return []
        return self.holdings.read(area)

    def _receive_frame(self, source: Address, received: Frame, header_token: bytes, token_state: int) -> None:
        now = self.now
        match received:
            case TokenFrame(token):
                self.walker.receive_token(source, token_state, header_token, token, now)
            case Ping() if self.pings:
                self.walker.receive_ping(source, received, now)
            case Pong() if self.pings:
                self.walker.receive_pong(source, received, now)
            case PunctureRequest():
                self.walker.receive_puncture_request(source, received, now)
            case IntroductionRequest() | IntroductionResponse():
                if not self.walker.admit_introduction(source, now):
                    return
                signed = introduction_signed_bytes(
                    TAG,
                    header_token,
                    received.type,
                    received.unsigned(),
                    receiver_member=self.member if received.covers_receiver else None,
                )
                if not holds(received.member, received.signature, signed, models=self.world.models):
                    self.world.bad_signatures += 1
                elif isinstance(received, IntroductionRequest):
                    self.walker.receive_introduction_request(source, received, now)
                else:
                    self.walker.receive_introduction_response(source, received, now)
            case Have() if self.spreader is not None:
                self.spreader.receive_have(source, received, now)
            case Want() if self.spreader is not None:
                self.spreader.receive_want(source, received, now)
            case Push() if self.spreader is not None:
                if self.spreader.receive_push(source, received.hops_left, received.message, now):
                    self._check(self.holdings.read(area_of([received.message])), announced=0)
                else:
                    self.heard["messages"] += 1
            case SyncRequest() | SymbolsRequest() | TreeRequest() | FragmentRequest() | AuditRequest():
                if self.definition:
                    self._receive_request(source, received)
            case Large(_, names):
                self.fragments.receive_names(source, names, now)
            case Fragment():
                self.fragments.receive_fragment(source, received, now)
            case Symbols() | Tree():
                self.puller.receive_reply(source, received, now)
            case Busy():
                self.puller.receive_busy(source, received, now)
            case Audit():
                self.puller.receive_audit(source, received, now)
            case RequestMissing(wanted=MissingNewest(author)):
                for frames in named_frames(received, self.holdings.newest(author)):
                    self._send_frames(source, FrameType.MESSAGES, frames)
            case RequestMissing():
                for frames in answer_missing(received, self.definition):
                    self._send_frames(source, FrameType.MESSAGES, frames)

    def _receive_request(self, source: Address, request: Request) -> None:
        """Answers leave at once, whole: a node's processor is not modelled."""
        now, answering = self.now, self.answering
        for frames in answering.receive(self._answered, source, request, self.holdings.summary(), now):
            self._send_frames(source, FrameType(frames[0]), frames)
        for step in (answering.step_answer, answering.step_fragments, lambda: answering.step_audit(now)):
            while (worked := step()) is not None:
                _, target, answers = worked
                for frames in answers:
                    self._send_frames(target, FrameType(frames[0]), frames)

    def _tell_summary(self) -> None:
        if self.definition:
            self._deadlines.touch()
            self.walker.set_summary(self.holdings.summary(), self.now)
            quiet_at = self.now if self.spreader is None else self.spreader.quiet_at()
            self.walker.nudge(self.now, not_before=quiet_at)
        self._drain()

    def _drain(self) -> None:
        """Send what any machine has to say."""
        self._drain_walker()
        self._drain_spreader()
        self._drain_puller()

    def _drain_walker(self) -> None:
        for event in self.walker.drain():
            now = self.now
            match event:
                case SendToken() | SendIntroduction() | SendKeepAlive():
                    label, sent = walk_datagram(
                        event, secret=self._secret, tokens=self.tokens, now=now, models=self.world.models
                    )
                    self._send(event.address, label, sent)
                case SendFrame(address, frame_type, body):
                    self._send_frame(address, frame_type, body)
                case SummaryHeard(source, _, summary) if self.synchronises:
                    self.newest.hear(source, now)
                    self._hear_summary(source, summary)
                case SameKeyElsewhere(source):
                    self.same_key_at.append(source)

    def _drain_spreader(self) -> None:
        if self.spreader is not None:
            for sent in self.spreader.drain():
                self._send_frame(sent.address, sent.frame_type, sent.body)

    def _drain_puller(self) -> None:
        self._deadlines.touch_asking()
        for address, frame_type, frames in in_datagrams(self.puller.drain()):
            self._send_frames(address, frame_type, frames)
        for silent in self.puller.drain_silent():
            self._deadlines.touch()
            self.walker.look_after(silent, self.now)
            self._drain_walker()
        for fetched in self.fragments.drain():
            match fetched:
                case AskFragments(address, request):
                    self._send_frame(address, request.type, request.encode())
                case Whole(_, message):
                    area = encode_uvarint(len(message)) + message
                    self._check(self.holdings.read(area), announced=0)

    def _hear_summary(self, source: Address, summary: Summary | None) -> None:
        now, spreader, ours = self.now, self.spreader, self.holdings.summary()
        if spreader is None or summary is None or spreader.hear_summary(source, summary, ours, now):
            self.puller.receive_summary(source, summary, now)

    def _send_frame(self, address: Address, frame_type: FrameType, body: bytes) -> None:
        self._send_frames(address, frame_type, frame(frame_type, body))

    def _send_frames(self, address: Address, last: FrameType, frames: bytes) -> None:
        token = self.walker.token_for(address)
        if token is not None:
            self._send(address, last.label, datagram(TAG, token, (frames,)))

    def _send(self, address: Address, label: str, data: bytes) -> None:
        self.sent[label] += 1
        self.sent["bytes"] += len(data)
        self.world.send(self.address, address, data)
