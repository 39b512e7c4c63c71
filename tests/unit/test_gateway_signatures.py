"""Goal: a client that asks is answered in time, and what nobody answers for is refused."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest

from dispersy.bus.frames import AskedSignature
from dispersy.service.interface import requests
from dispersy.service.interface.orders import Orders
from dispersy.service.interface.replies import Replies
from dispersy.service.interface.view import View
from dispersy.service.operations.signatures import ANSWERS_FOR_S, POLL_S, Signatures
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch, CommunityRecord

CLIENT, OTHER = b"client", b"other"
ASKED = AskedSignature(b"d" * 32, b"a" * 32, 65, [b"we agree"], 2, 1, 30)


class House:
    """The operations, and what they say to clients and to the writer."""

    def __init__(self) -> None:
        store = MemoryStore()
        store.commit(Batch(communities=[CommunityRecord(1, b"c" * 32, "deals", b"m" * 32)]))
        view = View()
        view.attach(store)
        view.refresh()
        self.replies: list[tuple[bytes, dict[str, Any]]] = []
        self.orders: list[dict[str, Any]] = []
        replies = Replies(self.reply, Counter())
        self.signatures = Signatures(view, Orders(replies, self.order), replies)

    def reply(self, client: bytes, frame: bytes) -> bool:
        self.replies.append((client, msgspec.msgpack.decode(frame)))
        return True

    def order(self, frame: bytes) -> bool:
        self.orders.append(msgspec.msgpack.decode(frame))
        return True

    def poll(self, number: int, *, client: bytes = CLIENT, known: tuple[bytes, ...] = ()) -> None:
        request = requests.SignatureRequests(v=1, id=number, known=[*known])
        assert self.signatures.poll(client, request) is None

    def seconds(self, count: int) -> None:
        for _ in range(count):
            self.signatures.handle_second()

    def told(self) -> list[tuple[bytes, int, list[bytes]]]:
        """(client, number of the request, drafts) of every reply since the last call."""
        replies, self.replies = self.replies, []
        return [
            (client, reply["id"], [each["request"] for each in reply["requests"]])
            for client, reply in replies
        ]


@pytest.fixture
def house() -> House:
    return House()


def test_a_client_that_waits_is_told_at_once(house: House) -> None:
    """All that answer for it; what a client knows it is not told again, until something else comes."""
    house.poll(1)
    house.poll(1, client=OTHER)
    house.signatures.receive_asked(1, [ASKED])
    assert sorted(house.told()) == [(CLIENT, 1, [ASKED.id]), (OTHER, 1, [ASKED.id])]
    house.poll(2, known=(ASKED.id,))
    assert house.told() == []
    house.poll(3)
    assert house.told() == [(CLIENT, 3, [ASKED.id])]


def test_where_nothing_comes_it_is_told_so_in_time_whatever_it_repeats(house: House) -> None:
    """Clients repeat what is not answered, and must not begin to wait anew with that."""
    house.poll(1)
    for _ in range(POLL_S - 1):
        house.seconds(1)
        house.poll(1)
    assert house.told() == []
    house.seconds(1)
    assert house.told() == [(CLIENT, 1, [])]


def test_what_nobody_answers_for_is_refused(house: House) -> None:
    house.signatures.receive_asked(1, [ASKED])
    ((op, ids, accept),) = [(each["op"], each["ids"], each["accept"]) for each in house.orders]
    assert (op, ids, accept) == ("sign", [ASKED.id], False)


@pytest.mark.parametrize("leaves", ["is gone", "asks no more"])
def test_who_leaves_answers_for_nothing(house: House, leaves: str) -> None:
    house.poll(1)
    house.signatures.receive_asked(1, [msgspec.structs.replace(ASKED, wait_s=600)])
    if leaves == "is gone":
        house.signatures.forget(CLIENT)
    else:
        house.seconds(ANSWERS_FOR_S)
    assert [each["accept"] for each in house.orders] == [False]


def test_what_is_waited_for_no_more_is_shown_no_more(house: House) -> None:
    house.poll(1)
    house.signatures.receive_asked(1, [ASKED])
    house.told()
    house.seconds(ASKED.wait_s)
    house.poll(2)
    assert house.told() == []
