"""Nodes that lie: they walk as all do, and each lies in a way of its own."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

from dispersy.constants import LARGE_NAMED_PER_SOURCE_MAX
from dispersy.ext import sketch
from dispersy.protocol.address import Address, make_address
from dispersy.protocol.identifiers import MessageId
from dispersy.protocol.walk.walk_events import SendIntroduction
from dispersy.protocol.wire.announcements import PREFIX_SIZE, PREFIXES_MAX, Have, IdPrefix
from dispersy.protocol.wire.frames import (
    Frame,
    Large,
    LargeName,
    MessagesHeader,
    Symbols,
    SymbolsRequest,
    SyncRequest,
    datagram,
    frame,
    introduction_signed_bytes,
)
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.summary import Summary
from dispersy.protocol.wire.sync_frames import ITEM_SIZE, SYMBOLS_PER_DATAGRAM, Described, Lacked, SetSymbols
from simulation.holdings import TAG
from simulation.node import Node
from simulation.signing import sign

if TYPE_CHECKING:
    from simulation.world import World

GARBAGE_FRAMES = (FrameType.SYMBOLS, FrameType.SYMBOLS_REQUEST, FrameType.TREE, FrameType.TREE_REQUEST)
TAR_S = 2.5
"""How late a tarpit answers: just within the time for which an answer is waited for."""
FACE_S = 5.0
"""How long one of many faces is shown."""
OFTEN = frozenset({"garbage", "full-filter", "announces", "nudges"})
"""Those that lie four times a second; the others do once."""


class Liar(Node):
    """KINDS are those that every world has, INVENTED the others.

    wrong-summary   says another count and sum every second
    garbage         answers every request, and sends unasked, with random bytes in frames of every sort
    full-filter     asks for everything with filters of ones, and with none, several times a second
    forged          says to each neighbour that neighbour's own summary
    withholds       says that it holds more than anybody, and answers that there is nothing
    names-large     answers with names of large messages that it never gives
    announces       announces ids that nobody has
    many-faces      is somebody else, at another port, every few seconds
    tarpit          answers as late as it may, with nothing
    foreign         answers with symbols of a set that has nothing to do with this community
    lacks-all       answers that it lacks whatever it was told of
    nudges          tells another summary, signed, as often as it can
    """

    KINDS = ("wrong-summary", "garbage", "full-filter", "forged", "withholds")
    INVENTED = ("names-large", "announces", "many-faces", "tarpit", "foreign", "lacks-all", "nudges")

    def __init__(self, world: World, host: int, *, known: list[Address], kind: str, seed: int) -> None:
        self.host = host
        self.known = known
        self.kind = kind
        self.port = 6421
        self.lies = 0
        self.honest_bytes = 0
        """That honest nodes sent here."""
        self._rng = Random(f"lies {seed} {host}")
        self._late: list[tuple[float, Address, FrameType, bytes]] = []
        self._others = make_symbols(self._rng)
        self._join(world)

    def _join(self, world: World) -> None:
        address = make_address(f"192.0.2.{self.host}", self.port)
        seed = self._rng.random()
        super().__init__(world, address, bootstrap=self.known, seed=f"liar {seed}", synchronises=False)
        self.definition = b""
        world.nodes[self.address] = self
        self._lie_at = world.now + self._rng.random()
        self._face_ends = world.now + FACE_S
        world.watch(self.address)

    def next_deadline(self) -> float:
        return min([super().next_deadline(), self._lie_at, *(at for at, *_ in self._late)])

    def receive(self, source: Address, data: bytes) -> None:
        sender = self.world.nodes.get(source)
        if sender is not None and not isinstance(sender, Liar):
            self.honest_bytes += len(data)
        super().receive(source, data)

    def handle_timer(self) -> None:
        super().handle_timer()
        due = [each for each in self._late if self.now >= each[0]]
        self._late = [each for each in self._late if self.now < each[0]]
        for _, target, frame_type, body in due:
            self._send_frame(target, frame_type, body)
        if self.now < self._lie_at:
            return
        self._lie_at = self.now + (0.25 if self.kind in OFTEN else 1.0)
        self.lies += 1
        if self.kind == "many-faces" and self.now >= self._face_ends:
            del self.world.nodes[self.address]
            self.port += 1
            self._join(self.world)
        self._tell_another_set()
        for address, _ in self.walker.neighbours(self.now):
            if isinstance(self.world.nodes.get(address), Liar):
                continue
            if self.kind == "garbage":
                frame_type = self._rng.choice(GARBAGE_FRAMES)
                self._send_frame(address, frame_type, self._rng.randbytes(self._rng.randrange(1, 1_100)))
            elif self.kind == "full-filter":
                self._ask_for_everything(address)
            elif self.kind == "announces":
                prefixes = [IdPrefix(self._rng.randbytes(PREFIX_SIZE)) for _ in range(PREFIXES_MAX)]
                self._send_frame(address, FrameType.HAVE, Have(tuple(prefixes)).encode())
            elif self.kind == "nudges":
                self._nudge(address)

    def _tell_another_set(self) -> None:
        honest = [node for node in self.world.nodes.values() if not isinstance(node, Liar)]
        held = max(node.holdings.summary().count for node in honest)
        if self.kind == "forged":
            self.walker.set_summary(self._rng.choice(honest).holdings.summary(), self.now)
        else:
            count = held + self._rng.randrange(1, 1_000)
            self.walker.set_summary(Summary(count, count, 0, self._rng.getrandbits(96)), self.now)
            if self.kind == "wrong-summary":
                self.walker.nudge(self.now)
        self._drain()

    def _ask_for_everything(self, address: Address) -> None:
        number = self._rng.getrandbits(32)
        request = SyncRequest(number=number, budget=64)
        if self._rng.random() < 0.5:
            request = SyncRequest(number=number, budget=64, hash_count=1, filter=b"\xff" * 1_000)
        self._send_frame(address, request.type, request.encode())

    def _nudge(self, address: Address) -> None:
        token = self.walker.token_for(address)
        if token is None:
            return
        number = self._rng.getrandbits(32)
        told: SendIntroduction = self.walker._introducer.request(
            address, token, number, self.now, asks_introduction=False
        )
        signed = introduction_signed_bytes(
            TAG, token, told.frame_type, told.unsigned_body, receiver_member=told.receiver_member
        )
        signature = sign(self._secret, signed, models=self.world.models)
        given = frame(FrameType.TOKEN, self.tokens.token_for(address, self.now))
        nudge = frame(told.frame_type, told.unsigned_body + signature)
        self._send(address, told.frame_type.label, datagram(TAG, token, (given, nudge)))

    def _receive_frame(self, source: Address, received: Frame, header_token: bytes, token_state: int) -> None:
        if isinstance(received, SyncRequest):
            self._answer_range(source, received)
        elif isinstance(received, SymbolsRequest):
            self._answer_symbols(source, received)
        else:
            super()._receive_frame(source, received, header_token, token_state)

    def _answer_range(self, source: Address, request: SyncRequest) -> None:
        self.lies += 1
        if self.kind == "garbage":
            self._send_frame(source, FrameType.MESSAGES, self._rng.randbytes(1_000))
        if self.kind == "names-large":
            names = tuple(
                LargeName(self._rng.randrange(1, 9_000), MessageId(self._rng.randbytes(32)), 60_000)
                for _ in range(min(20, LARGE_NAMED_PER_SOURCE_MAX))
            )
            self._send_frame(source, FrameType.LARGE, Large(request.number, names).encode())
        low, high = request.low, request.high
        last = MessagesHeader(number=request.number, low=low, high=high, end_of_range=True, last=True)
        self._say(source, FrameType.MESSAGES, last.encode())

    def _answer_symbols(self, source: Address, request: SymbolsRequest) -> None:
        number, asked = request.number, request.asked
        if self.kind in ("foreign", "tarpit"):
            told = SetSymbols(self._rng.randbytes(8), 0, self._others)
            self._say(source, FrameType.SYMBOLS, Symbols(number, last=True, told=told).encode())
        elif self.kind == "lacks-all" and isinstance(asked, Described):
            holdings = self.world.nodes[source].holdings
            keys, _, _ = holdings.scan(bytes(24), b"\xff" * 24, 140)
            items = b"".join(keys[at + 8 : at + 8 + ITEM_SIZE] for at in range(0, len(keys), 40))
            self._say(source, FrameType.SYMBOLS, Symbols(number, last=True, told=Lacked(0, items)).encode())

    def _say(self, target: Address, frame_type: FrameType, body: bytes) -> None:
        if self.kind == "tarpit":
            self._late.append((self.now + TAR_S, target, frame_type, body))
        else:
            self._send_frame(target, frame_type, body)


def make_symbols(rng: Random) -> bytes:
    """One datagram of symbols of a thousand messages that there are not, under another community's key."""
    ids = b"".join(rng.randbytes(32) for _ in range(1_000))
    return bytes(sketch.symbols_of(ids, 32, rng.randbytes(16), first=0, count=SYMBOLS_PER_DATAGRAM))


def kinds_of(count: int, seed: int) -> list[str]:
    """What so many liars do in the world of a seed: each of KINDS, and others in turn."""
    rng = Random(f"kinds {seed}")
    invented = rng.sample(Liar.INVENTED, len(Liar.INVENTED))
    return [*Liar.KINDS, *invented, *Liar.KINDS][:count]


def honest_bytes(liars: list[Liar]) -> Counter[str]:
    """What honest nodes sent to liars so far, by what these do."""
    sent: Counter[str] = Counter()
    for liar in liars:
        sent[liar.kind] += liar.honest_bytes
    return sent
