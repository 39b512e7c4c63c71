"""`liars`: three honest nodes among nine that lie, each in a way of its own."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from dispersy.protocol.address import Address
from dispersy.protocol.wire.frames import Frame, MessagesHeader, SyncRequest
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.summary import Summary
from dispersy.testing.links import Link
from simulation.node import Node
from simulation.pairs import corpus_of, only
from simulation.scenario import Outcome, Play, Results, Scenario, named, share, worst
from simulation.world import World, address_of

if TYPE_CHECKING:
    from harness import Bench

HONEST = 3
LIMIT_S = 600.0
AFTERWARDS_S = 60.0
GARBAGE_FRAMES = (FrameType.SYMBOLS, FrameType.SYMBOLS_REQUEST, FrameType.TREE, FrameType.TREE_REQUEST)
BYTES_PER_LIAR_MAX = 50_000
"""Of answers to one liar, and of requests to it, a minute: what one honest neighbour may well cost."""


class Liar(Node):
    """A node that walks as all do, and lies about what it holds.

    wrong-summary   says another count and sum every second
    garbage         answers every request, and sends unasked, with random bytes in frames of every sort
    full-filter     asks for everything with filters of ones, and with none, several times a second
    forged          says to each neighbour that neighbour's own summary
    withholds       says that it holds more than anybody, and answers that there is nothing
    """

    KINDS = ("wrong-summary", "garbage", "full-filter", "forged", "withholds")

    def __init__(self, world: World, host: int, *, known: list[Address], kind: str, seed: int) -> None:
        super().__init__(
            world, address_of(host), bootstrap=known, seed=f"liar {seed} {host}", synchronises=False
        )
        world.nodes[self.address] = self
        self.kind = kind
        self.lies = 0
        self._rng = Random(f"lies {seed} {host}")
        self._lie_at = world.now + self._rng.random()
        world.watch(self.address)

    def next_deadline(self) -> float:
        return min(super().next_deadline(), self._lie_at)

    def handle_timer(self) -> None:
        super().handle_timer()
        if self.now < self._lie_at:
            return
        self._lie_at = self.now + (0.25 if self.kind in ("garbage", "full-filter") else 1.0)
        self.lies += 1
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
        for address, _ in self.walker.neighbours(self.now):
            if self.kind == "garbage":
                frame_type = self._rng.choice(GARBAGE_FRAMES)
                self._send_frame(address, frame_type, self._rng.randbytes(self._rng.randrange(1, 1_100)))
            elif self.kind == "full-filter":
                self._ask_for_everything(address)

    def _ask_for_everything(self, address: Address) -> None:
        number = self._rng.getrandbits(32)
        request = SyncRequest(number=number, budget=64)
        if self._rng.random() < 0.5:
            request = SyncRequest(number=number, budget=64, hash_count=1, filter=b"\xff" * 1_000)
        self._send_frame(address, request.type, request.encode())

    def _receive_frame(self, source: Address, received: Frame, header_token: bytes, token_state: int) -> None:
        if not isinstance(received, SyncRequest):
            super()._receive_frame(source, received, header_token, token_state)
            return
        self.lies += 1
        if self.kind == "garbage":
            self._send_frame(source, FrameType.MESSAGES, self._rng.randbytes(1_000))
        low, high = received.low, received.high
        last = MessagesHeader(number=received.number, low=low, high=high, end_of_range=True, last=True)
        self._send_frame(source, FrameType.MESSAGES, last.encode())


def play_liars(told: Play) -> Outcome:
    """The honest hold a third each, and meet everybody."""
    count = told.size(9_000, short=600)
    liars = told.size(9, short=5)
    corpus, _ = corpus_of(count)
    world = World(seed=told.seed, link=Link(delay_s=0.03, loss=0.01), log=False, corpus=corpus)
    first = world.add(1, holdings=only(count, range(0, count, HONEST)))
    known = [first.address]
    lying = [
        Liar(world, 10 + index, known=known, kind=Liar.KINDS[index % len(Liar.KINDS)], seed=told.seed)
        for index in range(liars)
    ]
    # They come first: the honest find each other among them.
    world.run(20)
    honest = [first] + [
        world.add(1 + index, bootstrap=[first], holdings=only(count, range(index, count, HONEST)))
        for index in range(1, HONEST)
    ]
    began = world.now
    everything = world.run(
        LIMIT_S,
        until=lambda: all(node.holdings.summary().count == count for node in honest),
        looks_every_s=0.1,
    )
    converged_at = world.now
    before = {node.address: node.holdings.examined for node in honest}
    heard = sum(liar.heard["bytes"] for liar in lying)
    world.run(AFTERWARDS_S)
    examined = sum(node.holdings.examined - before[node.address] for node in honest)
    cost = (sum(liar.heard["bytes"] for liar in lying) - heard) / liars
    return Outcome(
        {
            "converged": float(everything),
            "until converged": converged_at - began,
            "bytes a minute to a liar": cost,
            "ids examined a minute for a liar": examined / liars,
            "lies": float(sum(liar.lies for liar in lying)),
        }
    )


def judge_liars(bench: Bench, results: Results) -> None:
    for variant, outcomes in results.items():
        converged = share(outcomes, lambda o: o["converged"] == 1)
        bench.at_least(named(variant, "seeds in which the honest converge"), converged, 1.0)
        cost = worst(outcomes, "bytes a minute to a liar")
        bench.at_most(named(variant, "bytes a minute to a liar"), cost, BYTES_PER_LIAR_MAX, ratio=False)


LIARS = Scenario(
    name="liars",
    about="three honest nodes among nine that lie (wrong summaries, garbage, full filters, forged equal "
    "sums, withheld messages): the honest converge; a liar costs bounded bytes and work",
    play=play_liars,
    judge=judge_liars,
    units={
        "until converged": "s",
        "bytes a minute to a liar": "bytes",
        "ids examined a minute for a liar": "ids",
    },
    seeds=10,
    shown="until converged",
)
