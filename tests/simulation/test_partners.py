"""Goal: several neighbours fill a node faster than one, none for what another is asked for;
whoever is silent, busy or has not what it says costs a while and no message."""

from __future__ import annotations

import pytest

from dispersy.constants import PARTNERS_MAX
from dispersy.protocol.address import Address
from dispersy.protocol.wire.frames import Busy, SyncRequest, frame
from dispersy.protocol.wire.numbers import FrameType
from simulation.links import Path
from simulation.node import Node
from simulation.pairs import corpus_of, lacking, only
from simulation.world import World

UPLINK = Path(delay_s=0.02, loss=0.01, rate=100_000, queue=64_000)
MESSAGES = 6_000


def fill(neighbours: int, *, seed: int = 1) -> tuple[World, list[Node], Node]:
    """A newcomer that has just met so many neighbours, which hold everything."""
    world = World(seed=seed, link=UPLINK, log=False, corpus=corpus_of(MESSAGES)[0], models=True)
    olds: list[Node] = []
    for host in range(1, 1 + neighbours):
        olds.append(world.add(host, bootstrap=olds[:1], holdings=lacking(MESSAGES, ())))
    world.run(10.0)
    newcomer = world.add(100, bootstrap=olds[:1], holdings=only(MESSAGES, ()))
    for old in olds:
        newcomer.walker.receive_discovery(old.address, world.now)
    return world, olds, newcomer


def is_full(node: Node) -> bool:
    return node.holdings.summary().count == MESSAGES


def test_four_fill_faster_than_one_and_bring_nothing_twice() -> None:
    took = {}
    for neighbours in (1, 4):
        world, olds, newcomer = fill(neighbours)
        began = world.now
        assert world.run(120, until=lambda newcomer=newcomer: is_full(newcomer))
        took[neighbours] = world.now - began
        assert newcomer.heard["messages"] < 1.1 * MESSAGES
        assert sum(old.sent["messages"] > 100 for old in olds) == min(neighbours, 1 + PARTNERS_MAX)
    assert took[1] > 2 * took[4]


@pytest.mark.parametrize("fault", ["silent", "busy", "empty"])
def test_what_one_does_not_bring_others_do(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world, olds, newcomer = fill(4)
    bad = olds[3]
    receive = Node._receive_frame

    def receive_badly(self: Node, source: Address, received: object, *rest: object) -> None:
        if self is not bad or not isinstance(received, SyncRequest):
            receive(self, source, received, *rest)  # type: ignore[arg-type]
        elif fault == "busy":
            body = Busy(received.number, 300).encode()
            self._send_frames(source, FrameType.BUSY, frame(FrameType.BUSY, body))
        elif fault == "empty":
            held, self.holdings = self.holdings, only(MESSAGES, ())
            receive(self, source, received, *rest)  # type: ignore[arg-type]
            self.holdings = held

    monkeypatch.setattr(Node, "_receive_frame", receive_badly)
    assert world.run(60, until=lambda: is_full(newcomer)), newcomer.puller.counts
