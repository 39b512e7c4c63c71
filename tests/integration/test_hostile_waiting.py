"""Goal: what can only wait, and what is only asked for, costs a node little, however much of it comes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispersy.client import Client
from dispersy.constants import (
    ANSWER_BUDGET_MAX,
    MISSING_DATAGRAMS_MAX,
    NAMED_PER_NEIGHBOUR_MAX,
    SEQUENCE_MAX,
    WAITING_MAX,
)
from dispersy.protocol.definitions.definition import Kind
from dispersy.protocol.definitions.policies import choose
from dispersy.protocol.permissions.control_messages import Authorize, Grant, Permission
from dispersy.protocol.wire.frames import MissingProof, MissingSequences, RequestMissing, frame
from tests.integration.peer import Peer, fence
from tests.integration.target import count_all
from tests.scenarios.neighbour import (
    COMMUNITY,
    LIMIT_S,
    Member,
    Neighbour,
    founder,
    id_of,
    joined,
    running,
)

pytestmark = pytest.mark.long

TEXT, WIKI, LOG = 64, 65, 66
KINDS = (
    Kind(number=TEXT, name="text"),
    Kind(number=WIKI, name="wiki", resolution=choose("resolution", "linear")),
    Kind(number=LOG, name="log", distribution=choose("distribution", "full-sync", in_sequence=1)),
)
FLOOD = 2 * WAITING_MAX
BATCH = 200
"""Messages that are sent before it is seen that they have come: a socket's buffer holds them."""


class House:
    """A node that has joined, its honest neighbour, and the master."""

    def __init__(self, client: Client, master: Member, honest: Neighbour) -> None:
        self.client = client
        self.master = master
        self.honest = honest


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    master = founder()
    with running(tmp_path) as client, joined(client, master, *KINDS) as honest:
        yield House(client, master, honest)


def flood(house: House, hostile: Neighbour, *, kind: int, sequence: int) -> None:
    """As many strangers as twice fill the waiting room, each with one message that can only wait."""
    for first in range(0, FLOOD, BATCH):
        strangers = [Member(house.master.community_id) for _ in range(BATCH)]
        hostile.send_messages([each.message(b"x", kind=kind, sequence=sequence) for each in strangers])
        wait_for_verified(house, first + BATCH)


def wait_for_verified(house: House, count: int) -> None:
    house.client.wait_for_status(lambda status: count_all(status)["verified"] > count, timeout_s=LIMIT_S)


@pytest.mark.parametrize(("kind", "sequence"), [(WIKI, 1), (LOG, 5)], ids=["unpermitted", "with-gaps"])
def test_a_flood_of_waiting_messages_keeps_nobody_out(house: House, kind: int, sequence: int) -> None:
    """The room is bounded, neighbours are asked for little, and who is permitted gets through."""
    began = time.monotonic()
    pids = {process["role"]: process["pid"] for process in house.client.status()["processes"]}
    with Neighbour(house.master.community_id, house.client.status()["listen"]) as hostile:
        hostile.meet()
        hostile.introduce()
        flood(house, hostile, kind=kind, sequence=sequence)
        writer = Member(house.master.community_id)
        edit = writer.message(b"an edit", kind=WIKI, global_time=9)
        house.honest.send_messages([edit])
        request, wanted = house.honest.asked_for(MissingProof)
        while id_of(house.master.community_id, edit) not in wanted.of:
            request, wanted = house.honest.asked_for(MissingProof)
        grant = Authorize((Grant(writer.public, WIKI, Permission.PERMIT),))
        house.honest.give(request, [house.master.says(grant, global_time=2)])
        house.client.wait_for_count(COMMUNITY, 1, timeout_s=LIMIT_S)
        asked = Counter(type(each.wanted).__name__ for each in [*hostile.asks(), *house.honest.asks()])
        seconds = time.monotonic() - began
        assert asked.total() <= 2 * NAMED_PER_NEIGHBOUR_MAX * (seconds + 2)
    full = "waiting-permission-full" if kind == WIKI else "waiting-sequence-full"
    house.client.wait_for_status(lambda status: count_all(status)[full] > 0, timeout_s=LIMIT_S)
    assert pids == {process["role"]: process["pid"] for process in house.client.status()["processes"]}


def everything(member: Member, number: int) -> RequestMissing:
    return RequestMissing(number, ANSWER_BUDGET_MAX, MissingSequences(member.public, TEXT, 1, SEQUENCE_MAX))


def test_who_asks_for_everything_gets_so_much_a_second(house: House) -> None:
    """However often a proven address asks for all there is, the datagrams that it gets are bounded."""
    author = Member(house.master.community_id)
    house.honest.send_messages([author.message(b"x" * 900, kind=TEXT) for _ in range(300)])
    house.client.wait_for_count(COMMUNITY, 300, timeout_s=LIMIT_S)
    began = time.monotonic()
    for number in range(200):
        house.honest.send_frame(everything(author, 1_000 + number))
    answer = house.honest.answer(1_000, limit_s=LIMIT_S)
    assert 1 <= answer.datagrams <= ANSWER_BUDGET_MAX
    datagrams = answer.datagrams + len(list(house.honest.waiting()))
    seconds = time.monotonic() - began
    assert datagrams <= MISSING_DATAGRAMS_MAX * (seconds + 2)
    house.client.wait_for_status(lambda status: count_all(status)["missing-refused"] > 100, timeout_s=LIMIT_S)


def test_a_forged_source_is_sent_nothing(house: House) -> None:
    """Requests by name under no token, or another's, are no way to flood whom they say they come from."""
    author = Member(house.master.community_id)
    house.honest.send_messages([author.message(b"x" * 900, kind=TEXT) for _ in range(20)])
    house.client.wait_for_count(COMMUNITY, 20, timeout_s=LIMIT_S)
    with Peer(house.master.community_id, house.client.status()["listen"]) as victim:
        asks = everything(author, 7)
        for token in (None, house.honest.token, bytes(8), b"\1" * 8):
            victim.send_frames(frame(asks.type, asks.encode()), token=token)
        assert fence(victim) == []
