"""By which means a message came: numbers of requests say it, the writer remembers it, `explain` tells it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
import pytest

import dispersy
from dispersy import BlockingCommunity, kind
from dispersy.protocol.intake.received import pack
from dispersy.protocol.ways import Way, number_for, way_of
from dispersy.service.operations.explanation import CAME_BY
from dispersy.testing import Network
from dispersy.workers.keeping.ways import WAYS_MAX, Ways
from tests.unit.control_house import message

PLAIN_NUMBER = "randrange(1, 1 << 32)"


class Text(msgspec.Struct):
    body: str


class Chat(BlockingCommunity):
    text = kind(64, Text)


@pytest.fixture
def network() -> Iterator[Network]:
    with Network(seed=1) as network:
        yield network


def test_a_number_says_the_way_and_is_never_zero() -> None:
    """Zero means: without a request. What neighbours make up is some way or none."""
    rng = Random(1)
    for way in Way:
        numbers = [number_for(way, rng) for _ in range(200)]
        assert {way_of(number) for number in numbers} == {way}
        assert all(0 < number < 1 << 32 for number in numbers)
        assert len(set(numbers)) == 200
    assert way_of(0) == way_of(15) == Way.OFFERED


def test_every_request_says_its_way() -> None:
    """A number drawn without it would name any."""
    sources = (Path(dispersy.__file__).parent / "protocol").rglob("*.py")
    assert [str(path) for path in sources if PLAIN_NUMBER in path.read_text(encoding="utf-8")] == []


def test_people_are_told_of_every_way() -> None:
    """And of none."""
    assert CAME_BY.keys() == {each.label for each in Way} | {""}


def test_the_newest_are_remembered_and_the_first_way_counts() -> None:
    """At least WAYS_MAX messages, at most twice as many."""
    ways = Ways()
    records, _ = pack([message(b"a" * 32, 1), message(b"a" * 32, 2)], bytes(32))
    half = len(records) // 2
    ways.note(records[:half], Way.PUSHED)
    ways.note(records, Way.RANGES)
    first, second = records[32:64], records[half + 32 : half + 64]
    assert (ways.name(first), ways.name(second), ways.name(bytes(32))) == ("pushed", "ranges", "")
    filler = bytearray(records[:half] * WAYS_MAX)
    for generation in (1, 2):
        for index in range(WAYS_MAX):
            at = index * half + 32
            filler[at : at + 8] = (generation << 32 | index).to_bytes(8, "big")
        if generation == 2:
            assert ways.name(first) == "pushed"
        ways.note(bytes(filler), Way.NAME)
    assert ways.name(first) == ""


def test_explain_names_the_way(network: Network) -> None:
    """Of one's own, of what spreads, and of what a newcomer fetches."""
    alice, bob, carol = network.nodes(3)
    chat = Chat.create(alice.client, "chat")
    Chat.join(bob.client, chat.invite())
    network.settle()
    ids = [chat.text.publish(Text(str(number))).ids[0] for number in range(3)]
    network.settle()
    Chat.join(carol.client, chat.invite())
    network.settle()

    def came_by(node: object) -> set[str]:
        return {node.client.explain("chat", each)["came_by"] for each in ids}  # type: ignore[attr-defined]

    assert came_by(alice) == {"own"}
    assert came_by(bob) <= {"pushed", "announced"}
    assert came_by(carol) == {"ranges"}
    assert alice.client.explain("chat", bytes(32))["came_by"] == ""
