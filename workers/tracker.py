"""The tracker: it makes the members of any community known to each other, and is a member of none.

A community is here what its tag says. Whoever proves its address and signs an introduction is known from then
on, and introduced to whoever asks next; the tracker itself walks too, slowly, so that it still knows some
where few ask. It holds no messages, and knows of a community neither its key nor its name. Nothing is kept of
who has proven nothing: a token is answered by a token, as everywhere.
"""

from __future__ import annotations

import logging
import os
from collections import Counter, OrderedDict
from random import Random, SystemRandom
from time import monotonic

from dispersy.constants import (
    DATAGRAM_SIZE_MAX,
    TICK_S,
    TRACKED_MAX,
    TRACKED_PEERS_MAX,
    TRACKED_PER_HOST_MAX,
    TRACKER_STEP_S,
)
from dispersy.errors import WireError
from dispersy.ext.digest import tokens_many
from dispersy.ext.udp import Receiver, send_many
from dispersy.ext.verify import public_key, verify_many
from dispersy.ext.wire import DROP_REASONS, split
from dispersy.protocol.address import Address, format_address, make_address
from dispersy.protocol.hosts import Host, host_of
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.walk.admission import Admission
from dispersy.protocol.walk.shared_pace import SharedPace
from dispersy.protocol.walk.walk_events import SendFrame, SendIntroduction, SendKeepAlive, SendToken
from dispersy.protocol.walk.walker import Walker
from dispersy.protocol.wire.frames import (
    IntroductionRequest,
    IntroductionResponse,
    TokenFrame,
    introduction_signed_bytes,
    token_datagram,
)
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.records import DATAGRAM, FRAME, TOKEN_CURRENT
from dispersy.protocol.wire.token import SECRET_SIZE, TokenEpochs
from dispersy.workers.loop import Loop
from dispersy.workers.network import RECEIVES_PER_TURN_MAX, open_udp
from dispersy.workers.networking.walk_datagrams import WalkDatagrams
from dispersy.workers.schedule import Schedule

log = logging.getLogger("dispersy.tracker")
TAG_OFFSET, TOKEN_OFFSET, TOKEN_END = 2, 10, 18
FORGET_S, TELL_S = 60.0, 60.0
"""How often communities in which nobody speaks any more are forgotten, and how often numbers are logged."""

Introduction = IntroductionRequest | IntroductionResponse


class _Tracked:
    """A community: who is there.

    founder  the host that spoke of it first, None: this machine
    """

    def __init__(self, walker: Walker, datagrams: WalkDatagrams, founder: Host | None) -> None:
        self.walker = walker
        self.datagrams = datagrams
        self.founder = founder


class Tracker:
    """Takes datagrams and gives datagrams; without a socket.

    seed          32 bytes of its key
    secret        of its tokens
    own_address   at which it is reached, for its introductions
    counters      frames by type, and what was dropped by reason
    """

    def __init__(
        self, *, seed: bytes, secret: bytes, own_address: Address, rng: Random, pace: SharedPace | None = None
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.member = MemberId(public_key(seed))
        self._key = seed + self.member
        self._secret = secret
        self._epoch = TokenEpochs(secret).at
        self._own_address = own_address
        self._rng = rng
        self._pace = SharedPace() if pace is None else pace
        self._drops = bytearray(4 * len(DROP_REASONS))
        self._admission = Admission()
        # Those heard longest ago first.
        self._tracked: OrderedDict[bytes, _Tracked] = OrderedDict()
        self._schedule = Schedule(self._deadline_of)
        self._forget_at: float | None = None
        self._datagrams: list[tuple[bytes, bytes]] = []

    def __len__(self) -> int:
        return len(self._tracked)

    def members(self, tag: bytes, now: float) -> list[MemberId]:
        """Who has spoken lately in the community with this tag."""
        tracked = self._tracked.get(tag)
        return [member for _, member in tracked.walker.neighbours(now)] if tracked else []

    def receive(self, arena: bytes, datagrams: bytes, now: float) -> None:
        """Take a batch of datagrams: packed datagram_records into arena."""
        heads = [DATAGRAM.unpack_from(datagrams, at) for at in range(0, len(datagrams), DATAGRAM.size)]
        # Every tag that is named here is served.
        named = (arena[at + TAG_OFFSET : at + TOKEN_OFFSET] for at, size, _ in heads if size >= TOKEN_END)
        tags = list(dict.fromkeys(named))
        frames, _ = split(
            arena,
            datagrams,
            tags=b"".join(tags),
            secret=self._secret,
            epoch=self._epoch(now),
            drops=self._drops,
        )
        answered = None
        given: dict[tuple[bytes, Address], tuple[int, bytes, bytes]] = {}
        introductions: list[tuple[bytes, Address, bytes, Introduction]] = []
        for index, offset, length, community, frame_type, state, _ in FRAME.iter_unpack(frames):
            start, _, source = heads[index]
            tag, address, body = tags[community], Address(source), arena[offset : offset + length]
            header_token = arena[start + TOKEN_OFFSET : start + TOKEN_END]
            try:
                if frame_type == FrameType.TOKEN:
                    token = TokenFrame.decode(body).token
                    if state >= TOKEN_CURRENT:
                        given[tag, address] = (state, header_token, token)
                    elif index != answered:
                        # One answer a datagram, or one full of token frames would multiply a forged flood.
                        answered = index
                        self._greet(tag, address, state, header_token, token, now)
                elif frame_type in (FrameType.INTRODUCTION_REQUEST, FrameType.INTRODUCTION_RESPONSE):
                    if self._admission.admit(address, now, is_candidate=False):
                        introduction = self._decoded(frame_type, body)
                        introductions.append((tag, address, header_token, introduction))
                    else:
                        self.counters["introductions-dropped-rate"] += 1
                else:
                    self.counters["frames-ignored"] += 1
            except WireError as error:
                self.counters[error.reason] += 1
        for (tag, address), (state, header_token, token) in given.items():
            if (tracked := self._tracked.get(tag)) is not None:
                tracked.walker.receive_token(address, state, header_token, token, now)
                self._drain(tag, tracked, now)
        self._receive_introductions(introductions, given, now)

    def handle_timer(self, now: float) -> None:
        for number in self._schedule.due(now):
            tag = number.to_bytes(8, "big")
            if (tracked := self._tracked.get(tag)) is not None:
                tracked.walker.handle_timer(now)
                self._drain(tag, tracked, now)
        if self._forget_at is not None and now >= self._forget_at:
            self._forget_at = now + FORGET_S
            for tag, tracked in list(self._tracked.items()):
                if not tracked.walker.neighbours(now):
                    self._forget(tag)

    def next_deadline(self) -> float | None:
        dues = (self._schedule.next_deadline(), self._forget_at if self._tracked else None)
        return min((due for due in dues if due is not None), default=None)

    def drain(self) -> list[tuple[bytes, bytes]]:
        """(18-byte address, datagram) pairs to send."""
        datagrams, self._datagrams = self._datagrams, []
        return datagrams

    @staticmethod
    def _decoded(frame_type: int, body: bytes) -> Introduction:
        is_request = frame_type == FrameType.INTRODUCTION_REQUEST
        return (IntroductionRequest if is_request else IntroductionResponse).decode(body)

    def _greet(
        self, tag: bytes, source: Address, state: int, header_token: bytes, token: bytes, now: float
    ) -> None:
        """Answer one who has proven nothing: a token under its token, and no memory of it."""
        tracked = self._tracked.get(tag)
        if tracked is not None:
            tracked.walker.receive_token(source, state, header_token, token, now)
            self._drain(tag, tracked, now)
            return
        ours = tokens_many(source, tag, self._epoch(now), self._secret)
        self._datagrams.append((source, token_datagram(tag, token, ours)))

    def _receive_introductions(
        self,
        introductions: list[tuple[bytes, Address, bytes, Introduction]],
        given: dict[tuple[bytes, Address], tuple[int, bytes, bytes]],
        now: float,
    ) -> None:
        """Take those whose signature holds; they alone make a community known."""
        signed = [
            introduction_signed_bytes(
                tag,
                header_token,
                each.type,
                each.unsigned(),
                receiver_member=self.member if each.covers_receiver else None,
            )
            for tag, _, header_token, each in introductions
        ]
        keys = b"".join(each.member for *_, each in introductions)
        valid = verify_many(keys, b"".join(each.signature for *_, each in introductions), signed)
        self.counters["introduction-signature-wrong"] += valid.count(0)
        for (tag, source, _, each), holds in zip(introductions, valid, strict=True):
            if not holds:
                continue
            tracked = self._tracked.get(tag)
            if tracked is None:
                if isinstance(each, IntroductionResponse):
                    continue  # Nobody here has asked.
                tracked = self._track(tag, source, now)
                if (tag, source) in given:
                    tracked.walker.receive_token(source, *given[tag, source], now)
            self._tracked.move_to_end(tag)
            if isinstance(each, IntroductionRequest):
                self.counters["introduction-requests"] += 1
                tracked.walker.receive_introduction_request(source, each, now)
            else:
                tracked.walker.receive_introduction_response(source, each, now)
            self._drain(tag, tracked, now)

    def _track(self, tag: bytes, source: Address, now: float) -> _Tracked:
        founder = host_of(source)
        of_host = [each for each, tracked in self._tracked.items() if tracked.founder == founder]
        if founder is not None and len(of_host) >= TRACKED_PER_HOST_MAX:
            # One host with many tags must not push out what others speak of.
            self._forget(of_host[0])
        elif len(self._tracked) >= TRACKED_MAX:
            self._forget(next(iter(self._tracked)))
        walker = Walker(
            tag=tag,
            member=self.member,
            rng=self._rng,
            bootstrap=(),
            now=now,
            pace=self._pace,
            step_interval_s=TRACKER_STEP_S,
            candidates_max=TRACKED_PEERS_MAX,
            # Who is gone is forgotten here: it comes again by itself.
            former_max=0,
            is_tracker=True,
        )
        walker.set_own_addresses(lan=self._own_address, wan=None)
        made = WalkDatagrams(
            tag, secret=self._key, token_secret=self._secret, epoch=self._epoch, counters=self.counters
        )
        tracked = self._tracked[tag] = _Tracked(walker, made, founder)
        self._forget_at = now + FORGET_S if self._forget_at is None else self._forget_at
        return tracked

    def _forget(self, tag: bytes) -> None:
        del self._tracked[tag]
        self._schedule.touch(int.from_bytes(tag, "big"))
        self.counters["communities-forgotten"] += 1

    def _drain(self, tag: bytes, tracked: _Tracked, now: float) -> None:
        self._schedule.touch(int.from_bytes(tag, "big"))
        for event in tracked.walker.drain():
            if isinstance(event, SendToken | SendIntroduction | SendKeepAlive | SendFrame):
                made = tracked.datagrams.made(event, tracked.walker.token_for(event.address), now)
                if made is not None:
                    self._datagrams.append((event.address, made))

    def _deadline_of(self, number: int) -> float | None:
        tracked = self._tracked.get(number.to_bytes(8, "big"))
        return None if tracked is None else tracked.walker.next_deadline()


class TrackerRole:
    """A tracker with its socket, alone in its process.

    address  at which it listens, once it is open
    """

    name = "tracker"

    def __init__(self, listen: str) -> None:
        self._udp, self._ipv6 = open_udp(listen)
        self.address = make_address(*self._udp.getsockname()[:2])
        rng = SystemRandom()
        # A new key with each start: it signs nothing that outlives a minute.
        self.tracker = Tracker(
            seed=os.urandom(32),
            secret=os.urandom(SECRET_SIZE),
            own_address=self.address,
            rng=rng,
            pace=SharedPace(phase_s=rng.random() * TICK_S),
        )
        self._receiver = Receiver(batch_max=64, size_max=DATAGRAM_SIZE_MAX + 1)

    def open(self, loop: Loop) -> None:
        loop.watch(self._udp.fileno(), self._receive)
        loop.deadline(self.tracker.next_deadline, lambda: self.tracker.handle_timer(monotonic()))
        loop.every(TELL_S, self._tell)
        loop.flush(self._flush)

    def close(self) -> None:
        self._udp.close()

    def _receive(self) -> None:
        for _ in range(RECEIVES_PER_TURN_MAX):
            arena, datagrams = self._receiver.receive(self._udp.fileno())
            if not arena:
                return
            self.tracker.receive(arena, datagrams, monotonic())

    def _flush(self) -> None:
        pending = self.tracker.drain()
        if pending:
            dealt_with, refused = send_many(self._udp.fileno(), pending, ipv6=self._ipv6)
            # What the kernel does not take is lost, as on the way: whoever asked asks again.
            self.tracker.counters["out-dropped"] += len(pending) - dealt_with + refused

    def _tell(self) -> None:
        fields = {"communities": len(self.tracker), "listen": format_address(self.address)}
        fields |= {name: count for name, count in self.tracker.counters.items() if count}
        log.info("%d communities", len(self.tracker), extra={"event": "tracked", "fields": fields})
