"""Goal: an order outlives the writer that it was given to, where asking twice does no harm."""

from __future__ import annotations

from collections import Counter
from time import monotonic

import msgspec
import pytest

from dispersy.errors import UsageError
from dispersy.service.interface.holders import holder_of, named
from dispersy.service.interface.orders import ORDER_LIMIT_S, ORDERS_MAX, ORDERS_PER_CLIENT_MAX, Orders
from dispersy.service.interface.replies import Replies

LOCAL = named(b"connection", "")


class Desk:
    """Orders between a client and a writer that are lists."""

    def __init__(self) -> None:
        self.told: list[dict[str, object]] = []
        self.ordered: list[dict[str, object]] = []
        self.is_taken = True
        self.orders = Orders(Replies(self._tell, Counter()), self._order, holder_of)

    def _tell(self, _: bytes, frame: bytes) -> bool:
        self.told.append(msgspec.msgpack.decode(frame))
        return True

    def _order(self, frame: bytes) -> bool:
        if not self.is_taken:
            return False
        self.ordered.append(msgspec.msgpack.decode(frame))
        return True


@pytest.mark.parametrize("known", [True, False], ids=["it had reported", "it had not"])
def test_a_repeatable_order_is_given_to_the_next_writer(known: bool) -> None:
    """It was perhaps never seen by the one before."""
    desk = Desk()
    if known:
        desk.orders.note_writer(100)
    desk.orders.place(LOCAL, 1, {"op": "publish"}, repeatable=True)
    desk.orders.note_writer(101)
    assert [order["op"] for order in desk.ordered] == ["publish", "publish"]
    assert desk.ordered[0] == desk.ordered[1]
    desk.orders.note_writer(101)
    assert len(desk.ordered) == 2


def test_a_writer_that_is_heard_of_before_it_takes_orders_gets_them_a_moment_later() -> None:
    """Its report came over another connection: without another try its client would wait in vain."""
    desk = Desk()
    desk.orders.note_writer(100)
    for number in (1, 2):
        desk.orders.place(LOCAL, number, {"op": "publish"}, repeatable=True)
    desk.is_taken = False
    desk.orders.note_writer(101)
    assert desk.orders.resend_due is not None
    desk.orders.resend()
    assert len(desk.ordered) == 2
    desk.is_taken = True
    desk.orders.receive_answer(msgspec.msgpack.encode({"id": 1, "ok": True}))
    desk.orders.resend()
    assert [order["id"] for order in desk.ordered] == [1, 2, 2]
    assert desk.orders.resend_due is None


@pytest.mark.parametrize(("repeatable", "told"), [(True, "send the same again"), (False, "look whether")])
def test_a_silent_writer_is_told_of_with_what_may_be_done(repeatable: bool, told: str) -> None:
    """Goal: nobody is told to repeat what would be done twice."""
    desk = Desk()
    desk.orders.place(LOCAL, 1, {"op": "create"}, repeatable=repeatable)
    desk.orders.expire(monotonic() + ORDER_LIMIT_S - 1)
    assert desk.told == []
    desk.orders.expire(monotonic() + ORDER_LIMIT_S + 1)
    (reply,) = desk.told
    assert isinstance(reply["error"], dict)
    assert (reply["error"]["code"], told in reply["error"]["hint"]) == ("no-answer", True)


def test_an_order_that_would_be_done_twice_is_answered_with_the_doubt() -> None:
    """Only where a writer is known to have gone: the first one may have it still."""
    desk = Desk()
    desk.orders.place(LOCAL, 1, {"op": "create"}, repeatable=False)
    desk.orders.note_writer(100)
    assert desk.told == []
    desk.orders.note_writer(101)
    (reply,) = desk.told
    assert isinstance(reply["error"], dict)
    assert reply["error"]["code"] == "no-answer"
    assert len(desk.ordered) == 1


def place_all(desk: Desk, client: str) -> None:
    """As many orders as there can be, over as many connections as that takes."""
    for count in range(ORDERS_MAX + 1):
        connection = named(b"%d" % (count // ORDERS_PER_CLIENT_MAX), "", client)
        desk.orders.place(connection, count, {"op": "publish"}, repeatable=True)


def taken_of(desk: Desk, *, user: int, program: int) -> int:
    """How many orders of a program are taken."""
    before = len(desk.ordered)
    with pytest.raises(UsageError) as refused:
        place_all(desk, f"localhost:{user}:{user}:{program}")
    assert refused.value.code == "busy"
    return len(desk.ordered) - before


def test_a_user_with_many_programs_leaves_as_much_to_others() -> None:
    """Half of what there is, however many programs; and one program leaves half of that to the others."""
    desk = Desk()
    taken = [taken_of(desk, user=1000, program=program) for program in range(100)]
    assert taken[:3] == [ORDERS_MAX // 4, ORDERS_MAX // 8, ORDERS_MAX // 16]
    assert sum(taken) <= ORDERS_MAX // 2
    assert taken_of(desk, user=1001, program=200) >= ORDERS_MAX // 8


def test_a_named_client_has_one_share_however_many_connections_it_opens() -> None:
    """Local programs are not named: each of their connections has its own."""
    desk = Desk()
    for number in range(ORDERS_PER_CLIENT_MAX):
        desk.orders.place(named(b"%d" % number, "phone"), 1, {"op": "publish"}, repeatable=True)
        desk.orders.place(named(b"%d" % number, ""), 1, {"op": "publish"}, repeatable=True)
    with pytest.raises(UsageError) as caught:
        desk.orders.place(named(b"another", "phone"), 1, {"op": "publish"}, repeatable=True)
    assert caught.value.code == "busy"
    desk.orders.place(named(b"another", "tablet"), 1, {"op": "publish"}, repeatable=True)
    desk.orders.place(named(b"another", ""), 1, {"op": "publish"}, repeatable=True)
