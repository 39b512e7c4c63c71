"""One community as the network role serves it: its walker, its keys, and the datagrams that the walker wants
sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any

from dispersy.bus import frames as bus
from dispersy.bus.settings import CommunitySettings
from dispersy.bus.sharding import responder_of
from dispersy.errors import WireError
from dispersy.protocol.address import Address, format_address
from dispersy.protocol.identifiers import CommunityId, MemberId, community_tag
from dispersy.protocol.spreading.pusher import Pusher, Target
from dispersy.protocol.spreading.spreading import Spreader, identify
from dispersy.protocol.walk.admission import Admission
from dispersy.protocol.walk.candidate import Category
from dispersy.protocol.walk.remembered import RememberedNeighbours
from dispersy.protocol.walk.shared_pace import SharedPace
from dispersy.protocol.walk.walk_events import (
    CandidateFound,
    OwnAddress,
    SameKeyElsewhere,
    SendFrame,
    SendIntroduction,
    SendKeepAlive,
    SendToken,
    SummaryHeard,
)
from dispersy.protocol.walk.walker import Walker
from dispersy.protocol.wire.frames import (
    Have,
    IntroductionRequest,
    IntroductionResponse,
    Ping,
    Pong,
    PunctureRequest,
    Push,
    TokenFrame,
    Want,
    datagram,
    frame,
)
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.summary import Summary
from dispersy.storage.blocklist import Blocklist
from dispersy.storage.store import CommunityRecord
from dispersy.workers.counters import count_sent
from dispersy.workers.networking.twins import TwinsHeard
from dispersy.workers.networking.walk_datagrams import WalkDatagrams

PEERS_REPORTED_MAX = 100
DEFAULTS = CommunitySettings()
SIGNATURES_PER_SECOND_MAX = 8
"""Signature-requests and -responses looked at of one address: people decide on them."""
VERIFIED = (Category.WALKED, Category.STUMBLED)


class Neighbourhood:
    """What the network role has of one community.

    number, tag, responder    its number on this node, its tag on the wire, the worker that asks and answers
                              for it
    own_wan                   where neighbours outside our network see us, HOST:PORT or empty
    remembered                where neighbours answered, for the next start
    defined                   whether its definition is known here; until then our introductions carry no
                              summary
    counters                  where frames that are dropped are counted, by reason
    pace                      shared by all communities of this node
    touch                     called with the number whenever something may have changed: what is to be sent,
                              when the timer is due, what is reported
    """

    def __init__(
        self,
        record: CommunityRecord,
        *,
        secret: bytes,
        token_secret: bytes,
        epoch: Callable[[float], int],
        rng: Random,
        peers: Sequence[Address],
        own_address: Address,
        workers: int,
        settings: CommunitySettings = DEFAULTS,
        counters: Counter[str],
        pace: SharedPace | None = None,
        remembered: RememberedNeighbours | None = None,
        touch: Callable[[int], None] = lambda _: None,
        now: float,
    ) -> None:
        self.number = record.number
        self.tag = community_tag(CommunityId(record.community_id))
        self.responder = responder_of(record.community_id, workers=workers)
        self.defined = False
        self._summary = b""
        self._counters = counters
        self._made = WalkDatagrams(
            self.tag, secret=secret, token_secret=token_secret, epoch=epoch, counters=counters
        )
        self._touch = touch
        self._peers = set(peers)
        self.remembered = RememberedNeighbours(unix_now=0, now=now) if remembered is None else remembered
        self.own_wan = ""
        self._twins = TwinsHeard(record.community_id, record.name or record.community_id.hex()[:8])
        self._datagrams: list[tuple[bytes, bytes]] = []
        self._heard: list[bus.PeerHeard] = []
        self._blocklist = Blocklist()
        self._walker = Walker(
            tag=self.tag,
            member=MemberId(record.member_id),
            rng=rng,
            bootstrap=peers,
            remembered=self.remembered,
            now=now,
            pace=pace,
            step_interval_s=settings.walker_step_interval_s,
            candidates_max=settings.walker_peers_max,
            introductions_per_second=settings.limits_introductions_per_second,
        )
        self._walker.set_own_addresses(lan=own_address, wan=None)
        self._pusher = Pusher(CommunityId(record.community_id), rng=rng, counts=self._walker.counts)
        self._spreader = Spreader(
            self._walker,
            identify=partial(identify, CommunityId(record.community_id)),
            rng=rng,
            counts=self._walker.counts,
            is_metered=settings.metered,
        )
        self._pushed: list[bytes] = []
        self._signature_admission = Admission(per_second=SIGNATURES_PER_SECOND_MAX)
        self._signatures: list[bus.ReceivedSignature] = []
        self._drain(now)

    def add_peers(self, peers: Sequence[Address], now: float) -> None:
        """Walk to these, too; those known from before change nothing."""
        for address in peers:
            if address not in self._peers:
                self._peers.add(address)
                self._walker.receive_discovery(address, now)
        self._drain(now)

    def define(self, summary: Summary, now: float) -> None:
        """The definition is known: from now on our introductions carry a summary."""
        self.defined = True
        self._summary = summary.encode()
        self._walker.set_summary(summary, now)
        self._walker.nudge(now)
        self._drain(now)

    def summary_changed(self, summary: bytes, now: float) -> None:
        """Our live set as last told; where it is another one, tell a few neighbours, each once."""
        if self.defined and summary != self._summary:
            self._summary = summary
            self._walker.set_summary(Summary.decode(summary), now)
            self._walker.nudge(now, not_before=self._spreader.quiet_at())
            self._drain(now)

    def fresh(self, fresh: bus.FreshMessages, now: float) -> None:
        """These were committed just now: push, pass on and announce what spreads."""
        self._spreader.receive_fresh(fresh.own, fresh.taken, fresh.prefixes, now)
        self._drain(now)

    def awaits(self, source: bytes, number: int) -> bool:
        """Whether a messages frame of this number brings what we asked for because it was announced."""
        return self._spreader.answers(Address(source), number)

    def receive_wanted(self, source: bytes, area: bytes, now: float) -> None:
        """It has come, and goes to a verifier; the spreader knows from now on that it is here."""
        self._spreader.receive_answer(Address(source), area, now)

    def receive(
        self, source: bytes, frame_type: int, body: bytes, header_token: bytes, token_state: int, now: float
    ) -> bool:
        """Take a frame of the walk; False when it goes elsewhere: an introduction to be verified, or not the
        walk's."""
        address = Address(source)
        try:
            if frame_type == FrameType.TOKEN:
                token = TokenFrame.decode(body).token
                self._walker.receive_token(address, token_state, header_token, token, now)
            elif frame_type == FrameType.PUNCTURE_REQUEST:
                self._walker.receive_puncture_request(address, PunctureRequest.decode(body), now)
            elif frame_type == FrameType.PING:
                self._walker.receive_ping(address, Ping.decode(body), now)
            elif frame_type == FrameType.PONG:
                self._walker.receive_pong(address, Pong.decode(body), now)
            elif frame_type in (FrameType.SIGNATURE_REQUEST, FrameType.SIGNATURE_RESPONSE):
                if self._signature_admission.admit(address, now, is_candidate=False):
                    self._signatures.append(bus.ReceivedSignature(source, frame_type, body))
                else:
                    self._count("signatures-dropped-rate")
            elif frame_type == FrameType.PUSH:
                self._receive_push(address, body, now)
            elif frame_type == FrameType.HAVE:
                self._spreader.receive_have(address, Have.decode(body), now)
            elif frame_type == FrameType.WANT:
                self._spreader.receive_want(address, Want.decode(body), now)
            elif frame_type in (FrameType.INTRODUCTION_REQUEST, FrameType.INTRODUCTION_RESPONSE):
                if self._walker.admit_introduction(address, now):
                    return False
                self._count("introductions-dropped-rate")
            else:
                return False
        except WireError as error:
            self._count(error.reason)
            return True
        self._drain(now)
        return True

    def _receive_push(self, source: Address, body: bytes, now: float) -> None:
        push = self._pusher.receive_push(source, body, now)
        # A message with an n-hop field goes the way that its author gave it, and no other.
        if push is not None and (
            push.link or self._spreader.receive_push(source, push.hops_left, push.message, now)
        ):
            self._pushed.append(push.message)
            self._walker.counts["came-by-push"] += 1

    def push(self, pushed: bus.Pushed, now: float) -> None:
        """Send a message of ours at once to those it is meant for."""
        self._pusher.publish(
            Push(pushed.hops_left, pushed.message, pushed.link),
            self._walker.neighbours(now),
            fan_out=pushed.fan_out,
            targets=[
                *(Target(member=MemberId(member)) for member in pushed.members),
                *(Target(address=Address(address)) for address in pushed.addresses),
            ],
            now=now,
        )
        sent = self._pusher.drain()
        if not pushed.link:
            self._spreader.note_pushed(pushed.message, [each.address for each in sent], now)
        for each in sent:
            self._send(each.address, each.frame_type, each.body)
        self._drain(now)

    def relay(self, message: bytes, now: float) -> None:
        """An n-hop message of somebody else was accepted: pass it on as far as it goes."""
        self._pusher.relay(message, self._walker.neighbours(now), now)
        self._drain(now)

    def drain_pushed(self) -> list[bytes]:
        """Messages that neighbours have pushed, to be verified."""
        pushed, self._pushed = self._pushed, []
        return pushed

    def drain_signatures(self) -> list[bus.ReceivedSignature]:
        """Signature-requests and -responses, for the writer."""
        signatures, self._signatures = self._signatures, []
        return signatures

    def sign(self, sent: bus.SignatureFrame, now: float) -> None:
        """Send a signature-request to a member, or a signature-response to an address."""
        content = frame(FrameType(sent.type), sent.body)
        address = Address(sent.address)
        if sent.member:
            known = [at for at, member in self._walker.neighbours(now) if member == sent.member]
            if not known:
                self._walker.counts["push-target-unknown"] += 1
                return
            address = known[0]
        if (whole := self.datagram(address, content)) is not None:
            count_sent(self._counters, FrameType(sent.type), len(content))
            self._datagrams.append((address, whole))
            self._touch(self.number)

    def block(self, blocklist: Blocklist) -> None:
        """Walk no more to these members and addresses, and introduce them to nobody."""
        self._blocklist = blocklist

        def is_blocked(address: Address, member: MemberId | None) -> bool:
            return blocklist.refuses(address) or (member is not None and blocklist.hides(self.number, member))

        self._walker.forget(is_blocked)
        self.remembered.forget(is_blocked)

    def receive_introduction(self, introduction: bus.Introduction, now: float) -> None:
        """Take an introduction whose signature holds."""
        address = Address(introduction.source)
        try:
            if introduction.type == FrameType.INTRODUCTION_REQUEST:
                request = IntroductionRequest.decode(introduction.body)
                if self._is_blocked(request.member):
                    return
                self._walker.receive_introduction_request(address, request, now)
            else:
                response = IntroductionResponse.decode(introduction.body)
                if self._is_blocked(response.member):
                    return
                self._walker.receive_introduction_response(address, response, now)
        except WireError as error:
            self._count(error.reason)
            return
        self._drain(now)

    def _is_blocked(self, member: bytes) -> bool:
        if not self._blocklist.hides(self.number, member):
            return False
        self._count("introductions-dropped-blocked")
        return True

    def look_after(self, address: Address, now: float) -> None:
        """A neighbour has left a question of a worker unanswered."""
        self._walker.look_after(address, now)
        self._drain(now)

    def datagram(self, address: Address, content: bytes) -> bytes | None:
        """Frames as a datagram to a neighbour that gave us its token; None to any other."""
        token = self._walker.token_for(address)
        return None if token is None else datagram(self.tag, token, (content,))

    def next_deadline(self) -> float | None:
        walk, spread = self._walker.next_deadline(), self._spreader.next_deadline()
        return walk if spread is None else min(walk, spread)

    def remember(self, unix_now: int, now: float) -> bool:
        """Note who answers, for the next start; whether others are noted now than before."""
        return self.remembered.hear(self._walker.answered(now), unix_now=unix_now, now=now)

    def resume(self, now: float) -> None:
        """The machine has slept, or is elsewhere now: look at once who is still there."""
        self._walker.resume(now)
        self._touch(self.number)

    def move(self, own_address: Address, now: float) -> None:
        """This node has joined another network: neighbours have to be told where it is now."""
        self._walker.set_own_addresses(lan=own_address, wan=None)
        self.resume(now)

    def handle_timer(self, now: float) -> None:
        self._walker.handle_timer(now)
        self._spreader.handle_timer(now)
        for source, summary in self._spreader.drain_summaries():
            self._heard.append(bus.PeerHeard(source, summary.encode()))
        self._drain(now)

    def drain_datagrams(self) -> list[tuple[bytes, bytes]]:
        """(18-byte address, datagram) pairs to send."""
        datagrams, self._datagrams = self._datagrams, []
        return datagrams

    def drain_heard(self) -> list[bus.PeerHeard]:
        """What the responder should know of neighbours."""
        heard, self._heard = self._heard, []
        return heard

    def warnings(self, now: float) -> list[dict[str, Any]]:
        """What the owner should see to: another node was heard lately that signs with our member key."""
        return self._twins.warnings(now)

    def report(self, now: float) -> dict[str, Any]:
        """What status and peers show; its first few numbers are of those who have proven themselves."""
        candidates = self._walker.candidates(now)
        verified = [each for each in candidates if each.category in VERIFIED]
        verdicts = [each.in_sync for each in verified if not each.is_tracker]
        claims = [each.summary.count for each in candidates if each.summary is not None]
        return {
            "at": now,
            "tag": self.tag.hex(),
            "own_wan": self.own_wan,
            "counters": dict(self._walker.counts),
            "trackers": len(verified) - len(verdicts),
            "peers_verified": len(verdicts),
            "peers_in_sync": verdicts.count(True),
            "peers_differing": verdicts.count(False),
            "messages_claimed": max(claims, default=None),
            "peers_count": len(candidates),
            "peers": [
                {
                    "address": format_address(each.address),
                    "member": b"" if each.member is None else bytes(each.member),
                    "category": each.category.name.lower(),
                    "tracker": each.is_tracker,
                    "proven_age_s": each.proven_age_s,
                    "round_trip_s": each.round_trip_s,
                    "in_sync": each.in_sync,
                    "messages": None if each.summary is None else each.summary.count,
                }
                for each in candidates[:PEERS_REPORTED_MAX]
            ],
        }

    def _count(self, name: str) -> None:
        """One more of the whole role and of this community."""
        self._counters[name] += 1
        self._walker.counts[name] += 1

    def _drain(self, now: float) -> None:
        self._touch(self.number)
        for event in self._walker.drain():
            match event:
                case SendToken() | SendIntroduction() | SendKeepAlive() | SendFrame():
                    made = self._made.made(event, self._walker.token_for(event.address), now)
                    if made is not None:
                        self._datagrams.append((event.address, made))
                case SummaryHeard(source, _, summary):
                    self._hear_summary(source, summary, now)
                case CandidateFound(source, _):
                    self._heard.append(bus.PeerHeard(source, b""))
                case OwnAddress(address):
                    self.own_wan = format_address(address)
                case SameKeyElsewhere(source):
                    self._twins.hear(format_address(source), now)

        for pushed in self._pusher.drain():
            self._send(pushed.address, pushed.frame_type, pushed.body)
        for event in self._spreader.drain():
            self._send(event.address, event.frame_type, event.body)

    def _send(self, address: Address, frame_type: FrameType, body: bytes) -> None:
        """A frame to a neighbour; whoever gave no token is sent nothing."""
        content = frame(frame_type, body)
        if (whole := self.datagram(address, content)) is not None:
            count_sent(self._counters, frame_type, len(content))
            self._datagrams.append((address, whole))

    def _hear_summary(self, source: Address, summary: Summary | None, now: float) -> None:
        told = b"" if summary is None else summary.encode()
        if summary is not None and self._summary:
            ours = Summary.decode(self._summary)
            if not self._spreader.hear_summary(source, summary, ours, now):
                # That it is there is to be known now, what it holds later.
                told = b""
        self._heard.append(bus.PeerHeard(source, told))
