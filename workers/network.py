"""The network role: UDP in and out, the walk, tokens; it never blocks.

Datagrams are split by the wire kernel. Tokens and the walk are answered here; messages go as packed batches
to the verifier with the fewest outstanding, every other frame to the responder of its community. When the
house is full the role stops reading UDP, and the kernel's socket buffer and then the network drop, where it
is cheapest.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable
from random import SystemRandom
from time import monotonic, perf_counter
from typing import Any

import zmq

from dispersy.bus import frames as bus
from dispersy.bus.settings import RoleSettings
from dispersy.bus.sockets import (
    BATCHES_QUEUED_MAX,
    NOTES_QUEUED_MAX,
    bound,
    connected,
    receive_all,
    send_or_drop,
)
from dispersy.constants import DATAGRAM_SIZE_MAX, FRAMES_SIZE_MAX, TICK_S
from dispersy.errors import UsageError
from dispersy.ext.udp import Receiver
from dispersy.ext.wire import DROP_REASONS, split
from dispersy.protocol.address import (
    Address,
    address_host,
    address_port,
    format_address,
    is_ipv4,
    make_address,
    split_endpoint,
)
from dispersy.protocol.walk.shared_pace import SharedPace
from dispersy.protocol.ways import Way
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.protocol.wire.records import DATAGRAM, ENVELOPE, FRAME, TOKEN_CURRENT
from dispersy.protocol.wire.token import SECRET_SIZE, TokenEpochs
from dispersy.storage.keyring import Keyring
from dispersy.storage.store import StoreReader
from dispersy.workers.counters import count_sent, frame_size, frames_in
from dispersy.workers.loop import Loop
from dispersy.workers.networking.dispatch import Answer, Dispatch, answers_in
from dispersy.workers.networking.neighbourhood import Neighbourhood
from dispersy.workers.networking.neighbourhoods import Neighbourhoods
from dispersy.workers.networking.own_lan import OwnLan
from dispersy.workers.networking.sending import Sending
from dispersy.workers.opening import open_reader
from dispersy.workers.report import Reporter, Untold
from dispersy.workers.schedule import Schedule

log = logging.getLogger("dispersy.network")
RECEIVES_PER_TURN_MAX = 8
RECEIVE_BUFFER_BYTES = 8 << 20
TOKEN_OFFSET = 10
TOKEN_END = 18


class NetworkRole:
    """Owns the UDP socket and one Neighbourhood (walk and keys) a community."""

    name = "network"

    def __init__(self, settings: RoleSettings, passphrase: bytes | None = None) -> None:
        self._settings = settings
        self._passphrase = passphrase
        self._secret = os.urandom(SECRET_SIZE)
        # Epochs are the same for every community: a token's tag keeps them apart.
        self._epoch = TokenEpochs(self._secret).at
        self._rng = SystemRandom()
        self._receiver = Receiver(batch_max=64, size_max=DATAGRAM_SIZE_MAX + 1)
        self._drops = bytearray(4 * len(DROP_REASONS))
        self._reporter = Reporter("network", settings, self._report)
        # Another phase at every node, or neighbours would speak at the same moments.
        self._pace = SharedPace(phase_s=self._rng.random() * TICK_S)
        self._schedule = Schedule(self._deadline_of)
        self._touched: set[int] = set()
        self._untold = Untold()
        self._communities_version = -1
        self._sending = Sending(self._reporter, upload_max=settings.upload_max)
        self._reading = True

    def open(self, loop: Loop) -> None:
        self._loop = loop
        self._udp, self._ipv6 = open_udp(self._settings.listen)
        self._address = make_address(*self._udp.getsockname()[:2])
        self._reader = open_reader(self._settings.store_path, start_id=self._settings.start_id)
        keyring = Keyring(self._settings.keys_path, passphrase=self._passphrase)
        self._own_lan = OwnLan(self._address, self._pace, monotonic())
        self.serve(self._reader, keyring, self._own_lan.address)
        work = bound(loop.context, zmq.ROUTER, self._settings.socket("work"), queued_max=BATCHES_QUEUED_MAX)
        self._dispatch = Dispatch(work, self._reporter, self._settings)
        self._outbound = bound(
            loop.context, zmq.PULL, self._settings.socket("outbound"), queued_max=BATCHES_QUEUED_MAX
        )
        self._intake = connected(
            loop.context, zmq.PUSH, self._settings.socket("intake"), queued_max=BATCHES_QUEUED_MAX
        )
        self._notes = connected(
            loop.context,
            zmq.SUB,
            self._settings.socket("notes"),
            queued_max=NOTES_QUEUED_MAX,
            topics=(bus.COMMIT, bus.PUSH, bus.FRESH, bus.RELAY, bus.SIGN, bus.IMPORT),
        )
        self._reporter.open(loop)
        self._load_communities(monotonic())
        self._watch_udp()
        loop.watch(work, self._receive_work)
        loop.watch(self._outbound, self._receive_outbound)
        loop.watch(self._notes, self._receive_notes)
        loop.deadline(self._next_deadline, self._handle_timers)
        loop.deadline(self._own_lan.next_deadline, self._look_where_we_are)
        loop.slept(self._resume)
        loop.flush(self._flush)

    def serve(self, reader: StoreReader, keyring: Keyring, own_address: Address) -> None:
        """Where communities and keys are read, and the address at which this node is reached."""
        self._communities = Neighbourhoods(
            reader,
            keyring,
            self._settings,
            self._reporter,
            secret=self._secret,
            epoch=self._epoch,
            rng=self._rng,
            own_address=own_address,
            pace=self._pace,
            touch=self._touch,
        )

    def close(self) -> None:
        self._communities.remember(monotonic(), ends=True)
        self._udp.close()
        self._reader.close()

    # -- UDP in ----------------------------------------------------------------------------------------------

    def _watch_udp(self) -> None:
        self._loop.watch(self._udp.fileno(), self._receive_udp)
        self._reading = True

    def _receive_udp(self) -> None:
        for _ in range(RECEIVES_PER_TURN_MAX):
            began = perf_counter()
            arena, datagrams = self._receiver.receive(self._udp.fileno())
            if not arena:
                return
            count = len(datagrams) // DATAGRAM.size
            began = self._reporter.step("network.receive", began, count)
            self._reporter.counters["datagrams-in"] += count
            self._reporter.counters["bytes-in"] += len(arena)
            now = monotonic()
            if self._communities.blocklist.has_addresses:
                datagrams = self._without_blocked(datagrams)
            frames, envelopes = split(
                arena,
                datagrams,
                tags=self._communities.tags,
                secret=self._secret,
                epoch=self._epoch(now),
                drops=self._drops,
            )
            if frames:
                self._receive_frames(arena, datagrams, frames, now)
            if envelopes:
                self._receive_envelopes(arena, datagrams, envelopes, now)
            self._reporter.step("network.split", began, count)
            if self._dispatch.full:
                return

    def _without_blocked(self, datagrams: bytes) -> bytes:
        """Those that do not come from blocked addresses: nothing of the others is looked at."""
        records = [datagrams[at : at + DATAGRAM.size] for at in range(0, len(datagrams), DATAGRAM.size)]
        kept = [each for each in records if not self._communities.blocklist.refuses(DATAGRAM.unpack(each)[2])]
        self._reporter.counters["in-dropped-blocked"] += len(records) - len(kept)
        return b"".join(kept)

    def _receive_frames(self, arena: bytes, datagrams: bytes, frames: bytes, now: float) -> None:
        answered = None
        for datagram, offset, length, index, frame_type, token_state, _ in FRAME.iter_unpack(frames):
            if frame_type == FrameType.TOKEN and token_state < TOKEN_CURRENT:
                # One answer a datagram: one full of token frames would multiply a forged flood.
                if datagram == answered:
                    self._reporter.counters["token-repeated"] += 1
                    continue
                answered = datagram
            start, _, source = DATAGRAM.unpack_from(datagrams, datagram * DATAGRAM.size)
            body = arena[offset : offset + length]
            header_token = arena[start + TOKEN_OFFSET : start + TOKEN_END]
            label = FrameType(frame_type).label
            self._reporter.counters[f"frames-in-{label}"] += 1
            self._reporter.counters[f"frame-bytes-in-{label}"] += frame_size(length)
            if index >= len(self._communities.served):
                self._receive_asleep(index, source, frame_type, body, token_state, now)
                continue
            neighbourhood = self._communities.served[index]
            if neighbourhood.receive(source, frame_type, body, header_token, token_state, now):
                for message in neighbourhood.drain_pushed():
                    area = encode_uvarint(len(message)) + message
                    self._dispatch.pushed(neighbourhood.number, source, area, 1)
                for signature in neighbourhood.drain_signatures():
                    header = bus.NUMBER.pack(neighbourhood.number)
                    send_or_drop(self._intake, [bus.SIGNATURE, header, bus.encode(signature)])
                continue
            if frame_type in (FrameType.INTRODUCTION_REQUEST, FrameType.INTRODUCTION_RESPONSE):
                self._dispatch.introduction(neighbourhood.number, source, header_token, frame_type, body)
            elif (busy := self._sending.busy(source, frame_type, body)) is not None:
                self._send_frames(neighbourhood, [(source, busy)])
            else:
                self._dispatch.sync(neighbourhood.number, neighbourhood.responder, source, frame_type, body)

    def _receive_asleep(
        self, index: int, source: bytes, frame_type: int, body: bytes, token_state: int, now: float
    ) -> None:
        """A frame for a community that is loaded when somebody speaks to it."""
        index -= len(self._communities.served)
        number = self._communities.sleeping.wakes(index, token_state, now)
        if number is not None:
            self._reporter.counters["woken"] += send_or_drop(
                self._intake, [bus.WAKE, bus.NUMBER.pack(number)]
            )
        elif token_state < TOKEN_CURRENT:
            answer = self._communities.sleeping.answer(index, source, frame_type, body, self._epoch(now))
            if answer is not None:
                self._sending.add(source, answer)

    def _receive_envelopes(self, arena: bytes, datagrams: bytes, envelopes: bytes, now: float) -> None:
        served = self._communities.served
        size = 0
        for answer in answers_in(arena, datagrams, envelopes):
            if answer.index < len(served):
                size += sum(len(area) for area, _ in answer.pieces)
                self._receive_answer(served[answer.index], answer, now)
        self._reporter.counters["frames-in-messages"] += len(envelopes) // ENVELOPE.size
        self._reporter.counters["frame-bytes-in-messages"] += size

    def _receive_answer(self, neighbourhood: Neighbourhood, answer: Answer, now: float) -> None:
        if not neighbourhood.awaits(answer.source, answer.number):
            self._dispatch.messages(neighbourhood.number, neighbourhood.responder, answer)
            return
        # Asked for because it was announced: no responder waits for it.
        for area, count in answer.pieces:
            neighbourhood.receive_wanted(answer.source, area, now)
            self._dispatch.pushed(neighbourhood.number, answer.source, area, count, way=Way.ANNOUNCED)

    # -- from the house --------------------------------------------------------------------------------------

    def _receive_work(self) -> None:
        for introduction in self._dispatch.receive():
            neighbourhood = self._communities.by_number.get(introduction.community)
            if neighbourhood is not None:
                neighbourhood.receive_introduction(introduction, monotonic())

    def _receive_outbound(self) -> None:
        for header, items in receive_all(self._outbound, count_max=16):
            neighbourhood = self._communities.by_number.get(bus.NUMBER.unpack(header)[0])
            if neighbourhood is None:
                continue
            self._send_frames(neighbourhood, bus.unpack_outbound(items))

    def _send_frames(self, neighbourhood: Neighbourhood, items: Iterable[tuple[bytes, bytes]]) -> None:
        """(address, frames) pairs as datagrams to neighbours that gave us their token."""
        sent: dict[int, list[int]] = {}
        heads: dict[bytes, bytes | None] = {}
        for address, content in items:
            if not content:
                neighbourhood.look_after(Address(address), monotonic())
                continue
            if address not in heads:
                # An answer is many datagrams to one neighbour, which begin alike.
                heads[address] = neighbourhood.datagram(Address(address), b"")
            head = heads[address]
            if head is None:
                self._reporter.counters["out-dropped-token-missing"] += 1
                continue
            assert len(content) <= FRAMES_SIZE_MAX
            for frame_type, size in frames_in(content):
                sent.setdefault(frame_type, []).append(size)
            self._sending.add(address, head + content)
        for frame_type, sizes in sent.items():
            count_sent(self._reporter.counters, FrameType(frame_type), sum(sizes), count=len(sizes))

    def _receive_notes(self) -> None:
        now = monotonic()
        for topic, *parts in receive_all(self._notes, count_max=64):
            if topic == bus.IMPORT:
                self._dispatch.imported(parts[0], parts[1])
                continue
            if topic != bus.COMMIT:
                self._receive_pushes(topic, bus.NUMBER.unpack(parts[0])[0], parts[1], now)
                continue
            note = bus.commit_decoder.decode(parts[0])
            if note.communities_version != self._communities_version:
                self._communities_version = note.communities_version
                self._load_communities(now)
            for number, summary in note.summaries.items():
                if number in self._communities.by_number:
                    self._communities.by_number[number].summary_changed(summary, now)

    def _receive_pushes(self, topic: bytes, number: int, data: bytes, now: float) -> None:
        """What the writer wants sent at once: messages of ours, and what may be passed on."""
        neighbourhood = self._communities.by_number.get(number)
        if neighbourhood is None:
            return
        if topic == bus.PUSH:
            for pushed in bus.pushed_decoder.decode(data):
                neighbourhood.push(pushed, now)
        elif topic == bus.FRESH:
            neighbourhood.fresh(bus.fresh_decoder.decode(data), now)
        elif topic == bus.SIGN:
            for sent in bus.sign_decoder.decode(data):
                neighbourhood.sign(sent, now)
        else:
            for message in bus.relayed_decoder.decode(data):
                neighbourhood.relay(message, now)

    def _load_communities(self, now: float) -> None:
        gone = self._communities.load(now)
        for number in gone:
            self._schedule.touch(number)
        if gone:
            # Or the gateway would go on telling of their neighbours.
            self._untold.touch_all()

    # -- timers and UDP out ----------------------------------------------------------------------------------

    def _touch(self, number: int) -> None:
        self._touched.add(number)
        self._untold.touch(number)
        self._schedule.touch(number)

    def _deadline_of(self, number: int) -> float | None:
        neighbourhood = self._communities.by_number.get(number)
        return None if neighbourhood is None else neighbourhood.next_deadline()

    def _next_deadline(self) -> float | None:
        dues = (self._schedule.next_deadline(), self._sending.next_deadline())
        return min((due for due in dues if due is not None), default=None)

    def _handle_timers(self) -> None:
        now = monotonic()
        for number in self._schedule.due(now):
            if (neighbourhood := self._communities.by_number.get(number)) is not None:
                neighbourhood.handle_timer(now)
        self._communities.remember(now)

    def _resume(self, slept_s: float) -> None:
        log.info("slept for %.0f s", slept_s, extra={"event": "slept", "fields": {"seconds": round(slept_s)}})
        now = monotonic()
        for neighbourhood in self._communities.served:
            neighbourhood.resume(now)

    def _look_where_we_are(self) -> None:
        now = monotonic()
        if self._own_lan.look(now):
            log.info(
                "reached at %s in the local network now",
                format_address(self._own_lan.address),
                extra={"event": "moved", "fields": {"address": format_address(self._own_lan.address)}},
            )
            self._communities.move(self._own_lan.address, now)

    def _flush(self) -> None:
        for number in self._touched:
            neighbourhood = self._communities.by_number.get(number)
            if neighbourhood is None:
                continue
            for heard in neighbourhood.drain_heard():
                self._dispatch.peer(number, neighbourhood.responder, heard)
            self._sending.extend(neighbourhood.drain_datagrams())
        self._touched.clear()
        self._dispatch.flush()
        self._sending.flush(self._udp.fileno(), self._communities.blocklist, ipv6=self._ipv6)
        if self._dispatch.full and self._reading:
            self._loop.unwatch(self._udp.fileno())
            self._reading = False
            self._reporter.counters["reading-paused"] += 1
        elif not self._reading and not self._dispatch.full:
            self._watch_udp()

    def _report(self) -> dict[str, Any]:
        now = monotonic()
        whole, told = self._untold.take(self._communities.by_number, heard=self._reporter.heard)
        drops = memoryview(self._drops).cast("I")
        return {
            "listen": format_address(self._address),
            "addresses": sorted({each.own_wan for each in self._communities.served if each.own_wan}),
            "upload_waiting": self._sending.waiting,
            "without_key": self._communities.without_key,
            "drops": {name: count for name, count in zip(DROP_REASONS, drops, strict=True) if count},
            "warnings": [warning for each in self._communities.served for warning in each.warnings(now)],
            "whole": whole,
            "communities": {number: self._communities.by_number[number].report(now) for number in told},
        }


def open_udp(listen: str) -> tuple[socket.socket, bool]:
    """The bound UDP socket of HOST:PORT (port 0: any) and whether it is IPv6 (dual stack on the wildcard).

    raises  UsageError when the port is taken or the address is not ours
    """
    address = make_address(*split_endpoint(listen, port_min=0))
    ipv6 = not is_ipv4(address)
    udp = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    if ipv6:
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        # The system caps it without an error (net.core.rmem_max).
        udp.setsockopt(socket.SOL_SOCKET, option, RECEIVE_BUFFER_BYTES)
    try:
        udp.bind((address_host(address), address_port(address)))
    except OSError as error:
        udp.close()
        raise UsageError(f"cannot listen on {listen}: {error.strerror}", code="listen") from error
    return udp, ipv6
