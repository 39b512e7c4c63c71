"""Answering by name: one look-up at a time and a rest, few requests of one host, bounded datagrams."""

from __future__ import annotations

import pytest

from dispersy.constants import (
    ANSWER_BUDGET_MAX,
    MISSING_DATAGRAMS_IN_ALL_MAX,
    MISSING_DATAGRAMS_MAX,
    MISSING_IN_ALL_MAX,
    MISSING_PER_SECOND_MAX,
)
from dispersy.protocol.address import Address, make_address
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.wire.frames import MissingLast, MissingNewest, RequestMissing
from dispersy.workers.answering.named_answers import (
    FIND_LIMIT_S,
    LOOK_UPS_MAX,
    LOOK_UPS_PER_HOST_MAX,
    LOOK_UPS_PER_SOURCE_MAX,
    REST,
    Asked,
    NamedAnswers,
)

AUTHOR = MemberId(bytes(range(32)))
DEFINITION = bytes(1_000)


def neighbour(number: int, port: int = 1) -> Address:
    return make_address(f"203.0.113.{number}", port)


def newest(author: int = 0) -> RequestMissing:
    return RequestMissing(7, ANSWER_BUDGET_MAX, MissingNewest(MemberId(author.to_bytes(32, "big"))))


class House:
    """NamedAnswers with a writer that is asked and does not answer by itself."""

    def __init__(self) -> None:
        self.ordered: list[tuple[int, int, bytes]] = []
        self.is_there = True
        self.answers = NamedAnswers(self._find)

    def _find(self, order: int, community: int, asked: bytes) -> bool:
        if self.is_there:
            self.ordered.append((order, community, asked))
        return self.is_there

    def receive(self, source: Address, request: RequestMissing | None = None) -> bool:
        """Whether it is taken."""
        return self.answers.receive(Asked(1, source, request or newest()), DEFINITION, 0.0) is not None


def test_one_look_up_at_a_time_and_a_rest_after_it() -> None:
    """Goal: whoever asks has no more than a tenth of the writer's time; more than a few are refused."""
    house = House()
    assert all(house.receive(neighbour(number)) for number in range(LOOK_UPS_MAX))
    assert not house.receive(neighbour(200))
    house.answers.handle_timer(10.0)
    house.answers.handle_timer(10.1)
    assert house.ordered == [(1, 1, newest().encode())]
    asked = house.answers.found(1, 10.2)
    assert asked is not None
    assert asked.source == neighbour(0)
    due = house.answers.next_deadline()
    assert due == pytest.approx(10.2 + REST * 0.2)
    house.answers.handle_timer(due - 0.01)
    assert len(house.ordered) == 1
    house.answers.handle_timer(due + 0.01)
    assert len(house.ordered) == 2


def test_a_neighbour_waits_with_a_thing_once() -> None:
    """Goal: asking again and again is no reason to look again; few things of one address wait."""
    house = House()
    assert house.receive(neighbour(1))
    assert not house.receive(neighbour(1))
    assert house.receive(neighbour(2))
    taken = [house.receive(neighbour(1), newest(number)) for number in range(1, 10)]
    assert sum(taken) == LOOK_UPS_PER_SOURCE_MAX - 1


def test_one_host_leaves_room_for_others() -> None:
    """Goal: many ports of one host are one neighbour that is many."""
    house = House()
    assert sum(house.receive(neighbour(1, port)) for port in range(1, 100)) == LOOK_UPS_PER_HOST_MAX
    assert house.receive(neighbour(2))


def test_a_writer_that_was_killed_is_waited_for_no_longer() -> None:
    """Goal: its answer, should it come, belongs to nothing."""
    house = House()
    for number in range(1, 4):
        house.receive(neighbour(number))
    house.answers.handle_timer(0.0)
    house.answers.handle_timer(FIND_LIMIT_S)
    assert [order for order, _, _ in house.ordered] == [1, 2]
    assert house.answers.found(1, FIND_LIMIT_S) is None
    house.is_there = False
    house.answers.handle_timer(2 * FIND_LIMIT_S)
    assert house.answers.found(3, 2 * FIND_LIMIT_S) is None
    assert house.answers.next_deadline() is None


def test_an_address_is_looked_at_so_often_a_second() -> None:
    """Goal: a flood of requests costs a look into a table each."""
    house = House()
    assert sum(house.answers.admits(neighbour(1), 5.0) for _ in range(100)) == MISSING_PER_SECOND_MAX
    assert house.answers.admits(neighbour(2), 5.0)
    assert house.answers.admits(neighbour(1), 6.0)


def test_answers_are_bounded_in_datagrams() -> None:
    """Goal: so many a second go to one address and to all, however many ask for everything."""
    house = House()
    messages = [bytes(1_000)] * 200
    sent = []
    for number in range(1, 100):
        source = neighbour(number)
        sent.append(
            sum(len(house.answers.answer(Asked(1, source, newest()), messages, 1.0)) for _ in range(9))
        )
    assert max(sent) == MISSING_DATAGRAMS_MAX
    assert sum(sent) == MISSING_DATAGRAMS_IN_ALL_MAX
    assert house.answers.answer(Asked(1, neighbour(1), newest()), messages, 2.0)


def test_the_definition_is_given_without_a_look_up() -> None:
    """Goal: newcomers get what they need first also while the writer is busy."""
    house = House()
    request = RequestMissing(7, 1, MissingLast(0, 1))
    bodies = house.answers.receive(Asked(1, neighbour(1), request), DEFINITION, 0.0)
    assert bodies is not None
    assert DEFINITION in bodies[0]
    assert house.answers.next_deadline() is None


def test_a_host_of_many_addresses_has_one_share() -> None:
    """Goal: what one machine asks for from all its ports leaves others what they ask for."""
    house = House()
    messages = [bytes(1_000)] * 200
    flood = [neighbour(1, port) for port in range(1, 1_000)]
    looked_at = sum(house.answers.admits(source, 5.0) for source in flood)
    given = sum(len(house.answers.answer(Asked(1, source, newest()), messages, 5.0)) for source in flood)
    assert looked_at <= MISSING_IN_ALL_MAX // 2
    assert given <= MISSING_DATAGRAMS_IN_ALL_MAX // 2
    assert sum(house.answers.admits(neighbour(2), 5.0) for _ in range(9)) == MISSING_PER_SECOND_MAX
    assert house.answers.answer(Asked(1, neighbour(2), newest()), messages, 5.0)
