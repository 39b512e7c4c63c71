"""Whole nodes on bad links: whatever is lost, doubled or late, stores end equal at a bounded price."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from dispersy.constants import REQUEST_TIMEOUT_MIN_S
from dispersy.protocol.address import Address, make_address
from dispersy.protocol.holdings import key_after
from dispersy.protocol.identifiers import ORDER_LOW, ORDER_TOP
from dispersy.protocol.wire.frames import Frame, MessagesHeader, SyncRequest
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.protocol.wire.summary import Summary
from dispersy.testing.links import Link
from simulation.holdings import history, make_message
from simulation.links import Path
from simulation.node import Node
from simulation.world import World, equal

AUTHOR = bytes(range(100, 132))


def wasted(messages: list[bytes], *nodes: Node) -> float:
    """Bytes sent by all, per byte of the messages that had to move once."""
    return sum(node.sent["bytes"] for node in nodes) / sum(map(len, messages))


@pytest.mark.parametrize(
    ("link", "limit_s", "waste_max"),
    [
        (Link(), 5, 1.4),
        (Link(loss=0.1, duplicates=0.05, jitter_s=0.01), 60, 2.2),
        (Link(loss=0.3), 180, 2.6),
        (Link(jitter_s=0.03), 10, 2.0),
        (Link(delay_s=0.3), 20, 1.4),
    ],
    ids=["clean", "lossy", "very-lossy", "reordering", "slow"],
)
def test_a_newcomer_gets_everything(link: Link, limit_s: float, waste_max: float) -> None:
    """An empty node ends equal to one with 5,000 messages, within a time and at a price."""
    world = World(seed=7, link=link)
    old = world.add(1)
    messages = history(5_000)
    old.publish(messages)
    newcomer = world.add(2, bootstrap=[old])
    assert world.run(limit_s, until=lambda: equal(old, newcomer)), newcomer.puller.counts
    assert wasted(messages, old, newcomer) < waste_max


@pytest.mark.parametrize(
    ("path", "share_min", "waste_max"),
    [
        (Path(delay_s=0.025, rate=1e6 / 8, queue=4_000), 0.75, 1.6),
        (Path(delay_s=0.05, rate=1e6 / 8, queue=4_000), 0.75, 1.6),
        (Path(delay_s=0.025, rate=10e6 / 8, queue=8_000), 0.6, 1.5),
        (Path(delay_s=0.003, rate=20e6 / 8, queue=16_000), 0.6, 1.4),
        (Path(delay_s=0.0005, rate=100e6 / 8, queue=64_000), 0.4, 1.4),
        (Path(delay_s=0.025, loss=0.2, rate=1e6 / 8, queue=6_000), 0.5, 2.0),
        (Path(delay_s=0.025, loss=0.4, rate=1e6 / 8, queue=64_000), 0.2, 2.2),
    ],
    ids=["1M-4k", "1M-4k-far", "10M-8k", "20M-16k-near", "lan", "1M-6k-lossy", "lossy"],
)
def test_a_queue_of_a_few_datagrams_is_not_flooded(path: Path, share_min: float, waste_max: float) -> None:
    """Two of them were asked for so much at once that the other side thought it had given all that anybody
    needs, and gave no more."""
    world = World(seed=3, link=path)
    old = world.add(1)
    messages = [
        make_message(author=AUTHOR, global_time=time, sequence=time, payload=Random(time).randbytes(900))
        for time in range(1, 1_001 if path.rate < 1e6 else 4_001)
    ]
    old.publish(messages)
    newcomer = world.add(2, bootstrap=[old])
    assert world.run(120, until=lambda: equal(old, newcomer)), newcomer.puller.counts
    assert sum(map(len, messages)) / world.now > share_min * path.rate
    assert wasted(messages, old, newcomer) < waste_max


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_two_halves_become_one(share: float) -> None:
    """Nodes that each hold some of what the other lacks both end with all, whichever asks first."""
    world = World(seed=3, link=Link(loss=0.05))
    messages = history(4_000)
    one = world.add(1)
    other = world.add(2, bootstrap=[one])
    every = int(2 / (1 - share))
    one.publish([message for index, message in enumerate(messages) if index % every != 0])
    other.publish([message for index, message in enumerate(messages) if index % every != 1])
    assert not equal(one, other)
    assert world.run(60, until=lambda: equal(one, other)), (one.puller.counts, other.puller.counts)
    assert one.holdings.summary().count == len(messages)


def test_what_is_missing_far_back_is_found() -> None:
    """One message of long ago is repaired although thousands of newer ones agree, by filters only."""
    world = World(seed=4)
    messages = history(8_000)
    one = world.add(1)
    one.publish(messages)
    other = world.add(2, bootstrap=[one])
    other.publish(messages[:100] + messages[101:])
    assert world.run(10, until=lambda: equal(one, other))
    assert one.sent["messages"] < 60


def test_a_chain_carries_everything_to_its_end() -> None:
    """Of three nodes in a row the last gets what the first has, through the middle one."""
    world = World(seed=5)
    first = world.add(1)
    middle = world.add(2, bootstrap=[first])
    last = world.add(3, bootstrap=[middle])
    world.links.part([first.address], [last.address])
    first.publish(history(2_000))
    assert world.run(20, until=lambda: equal(first, middle, last))


def test_new_messages_travel_at_once() -> None:
    """In a group that has met, a message reaches everybody within a second: nudges carry the news."""
    world = World(seed=6)
    first = world.add(1)
    nodes = [first] + [world.add(host, bootstrap=[first]) for host in range(2, 9)]
    messages = history(300)
    first.publish(messages[:250])
    assert world.run(30, until=lambda: equal(*nodes))
    world.run(10)
    for index, message in enumerate(messages[250:]):
        nodes[index % len(nodes)].publish([message])
        began = world.now
        assert world.run(1.0, until=lambda: equal(*nodes)), index
        world.run(max(0.0, began + 0.3 - world.now))


def test_a_stream_is_followed_without_sweeps() -> None:
    """While one node publishes all the time, the other keeps up without going through its history."""
    world = World(seed=8)
    messages = history(6_000)
    one = world.add(1)
    one.publish(messages[:4_000])
    other = world.add(2, bootstrap=[one])
    assert world.run(20, until=lambda: equal(one, other))
    world.run(5)
    before = other.puller.counts["requests"]
    for start in range(4_000, 6_000, 20):
        one.publish(messages[start : start + 20])
        world.run(0.05)
    assert world.run(2, until=lambda: equal(one, other))
    assert other.puller.counts["requests"] - before < 150


def test_a_newcomer_asks_for_the_definition_first() -> None:
    """Without a definition a node asks for it, for nothing else, and pulls as soon as it has it."""
    world = World(seed=9, link=Link(loss=0.2))
    ignorant = world.add(1, defined=False)
    newcomer = world.add(2, bootstrap=[ignorant], defined=False)
    world.run(20)
    asked = newcomer.sent["request-missing"]
    assert 2 <= asked <= 20
    assert newcomer.sent["sync-request"] == 0
    old = world.add(3, bootstrap=[ignorant])
    old.publish(history(50))
    assert world.run(60, until=lambda: equal(old, newcomer, ignorant))


def test_equal_nodes_are_quiet() -> None:
    """Where there is nothing to repair, nothing is asked: only the walk goes on, a step every 5 s."""
    world = World(seed=10)
    one = world.add(1)
    other = world.add(2, bootstrap=[one])
    messages = history(500)
    one.publish(messages)
    other.publish(messages)
    world.run(10)
    before = one.sent + other.sent
    world.run(300)
    after = one.sent + other.sent
    assert after["sync-request"] == before["sync-request"]
    assert after["introduction-request"] - before["introduction-request"] <= 2 * 300 / 5


class Hostile(Node):
    """A node that claims to hold 2^31 messages and holds one, which everybody else holds too.

    stalls    it answers a request with that message again and again, one datagram just before each time-out,
              and never says that one is the last; else it ends every answer at once, and its `partner`
              sends that message unasked, 25 times a second, to whom it answered
    """

    def __init__(self, world: World, host: int, *, known: Node, stalls: bool) -> None:
        super().__init__(
            world, make_address(f"198.51.100.{host}", 6421), bootstrap=[known.address], seed=host
        )
        world.nodes[self.address] = self
        self.asked = 0
        self.partner: Node = self
        self._stalls = stalls
        self._request = SyncRequest(number=1, budget=1, low=ORDER_LOW, high=ORDER_TOP)
        self._victim: Address | None = None
        self._send_at = 0.0

    def next_deadline(self) -> float:
        self.walker.set_summary(Summary(highest=1, count=1 << 31, sum=self.asked + 1), self.world.now)
        self.touch()
        deadline = super().next_deadline()
        return deadline if self._victim is None else min(deadline, self._send_at)

    def handle_timer(self) -> None:
        super().handle_timer()
        if self._victim is None or self.world.now < self._send_at:
            return
        if self._stalls:
            self._send_at = self.world.now + 0.9 * REQUEST_TIMEOUT_MIN_S
            low = self._request.low
            header = MessagesHeader(number=self._request.number, low=low, high=key_after(low))
            self._request = replace(self._request, low=header.high)
            self._send_area(self, self._victim, header)
        else:
            self._send_at = self.world.now + 1 / 25
            self._send_area(self.partner, self._victim, MessagesHeader(number=0))

    def _receive_frame(self, source: Address, received: Frame, header_token: bytes, token_state: int) -> None:
        if not isinstance(received, SyncRequest):
            super()._receive_frame(source, received, header_token, token_state)
            return
        self.asked += 1
        self._victim, self._request, self._send_at = source, received, self.world.now
        if not self._stalls:
            low, high = received.low, received.high
            last = MessagesHeader(number=received.number, low=low, high=high, end_of_range=True, last=True)
            self._send_area(self, source, last)

    def _send_area(self, sender: Node, target: Address, header: MessagesHeader) -> None:
        [message] = history(1)
        area = encode_uvarint(len(message)) + message
        sender._send_frame(target, FrameType.MESSAGES, header.encode() + area)


@pytest.mark.parametrize("stalls", [True, False], ids=["stalls", "never-settles"])
def test_no_neighbour_keeps_us_from_the_others(stalls: bool) -> None:
    """Beside two hostile neighbours that claim more than anybody, an honest one has its turns."""
    world = World(seed=11)
    honest = world.add(1)
    messages = history(3_000)
    honest.publish(messages[:1])
    victim = world.add(2, bootstrap=[honest])
    assert world.run(10, until=lambda: equal(honest, victim))
    hostile = [Hostile(world, host, known=victim, stalls=stalls) for host in (3, 4)]
    hostile[0].partner, hostile[1].partner = hostile[1], hostile[0]
    assert world.run(30, until=lambda: all(each.asked for each in hostile[:1]))
    for start in range(1, 3_000, 500):
        honest.publish(messages[start : start + 500])
        assert world.run(60, until=lambda: equal(honest, victim)), [each.asked for each in hostile]
        world.run(5)


def test_who_holds_the_same_is_soon_taken_for_it() -> None:
    """Seconds after a burst nobody takes a neighbour for different: the walk would tell in half a minute."""
    world = World(seed=7)
    first = world.add(1)
    nodes = [first] + [world.add(host, bootstrap=[first]) for host in range(2, 9)]
    messages = history(100)
    first.publish(messages[:40])
    assert world.run(30, until=lambda: equal(*nodes))
    world.run(20)
    for index, message in enumerate(messages[40:]):
        nodes[index % len(nodes)].publish([message])
        world.run(0.02)
    assert world.run(10, until=lambda: equal(*nodes))
    world.run(8)
    views = [view for node in nodes for view in node.walker.candidates(world.now) if view.member is not None]
    assert len(views) >= len(nodes) * (len(nodes) - 2), "by then hardly a pair has not met"
    assert [view for view in views if not view.in_sync] == []
