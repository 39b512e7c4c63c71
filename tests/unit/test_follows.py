"""Goal: the places for follows are limited, and nobody takes all of them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from dispersy.errors import UsageError
from dispersy.service.interface import requests
from dispersy.service.interface.holders import holder_of, named
from dispersy.service.interface.requests import CREDIT_MAX
from dispersy.service.interface.view import View
from dispersy.service.operations.follow import HEARTBEAT_S, Follow
from dispersy.service.operations.follows import FOLLOWS_MAX, FOLLOWS_PER_CLIENT_MAX, Follows
from dispersy.storage.memory_store import MemoryStore

CONNECTIONS = FOLLOWS_MAX // FOLLOWS_PER_CLIENT_MAX


@pytest.fixture
def follows() -> Iterator[Follows]:
    """All places are taken, by few connections."""
    view = View()
    view.attach(MemoryStore())
    view.refresh()
    made = Follows(view, lambda _client, _frame: True)
    for connection in range(CONNECTIONS):
        for number in range(FOLLOWS_PER_CLIENT_MAX):
            begin(made, named(b"%d" % connection, ""), number)
    yield made
    view.close()


def begin(follows: Follows, client: bytes, number: int) -> None:
    follows.begin(client, requests.Follow(v=1, id=number))


def is_running(follows: Follows, client: bytes, number: int) -> bool:
    with pytest.raises(UsageError) as refused:
        begin(follows, client, number)
    return refused.value.code == "follow-exists"


def test_whoever_has_most_places_gives_one_to_another(follows: Follows) -> None:
    """As long as the other one has fewer: here it comes to fifteen, and so do those that gave."""
    for number in range(FOLLOWS_PER_CLIENT_MAX - 1):
        begin(follows, named(b"another", ""), number)
    with pytest.raises(UsageError) as refused:
        begin(follows, named(b"another", ""), FOLLOWS_PER_CLIENT_MAX - 1)
    assert refused.value.code == "too-many"
    assert all(
        is_running(follows, named(b"another", ""), number) for number in range(FOLLOWS_PER_CLIENT_MAX - 1)
    )


def test_it_has_no_more_than_before(follows: Follows) -> None:
    """A client that has as many as it may is refused, whatever others hold."""
    with pytest.raises(UsageError) as refused:
        begin(follows, named(b"0", ""), FOLLOWS_PER_CLIENT_MAX)
    assert refused.value.code == "too-many"
    assert all(is_running(follows, named(b"0", ""), number) for number in range(FOLLOWS_PER_CLIENT_MAX))


# -- programs --------------------------------------------------------------------------------------------


@pytest.fixture
def crowded() -> Iterator[Follows]:
    """All places are taken by one program, with a connection for each."""
    view = View()
    view.attach(MemoryStore())
    view.refresh()
    made = Follows(view, lambda _client, _frame: True, holder_of)
    for connection in range(FOLLOWS_MAX):
        begin(made, program(connection, process=100), 0)
    yield made
    view.close()


def program(connection: int, *, process: int, user: int = 1000) -> bytes:
    return named(b"%d" % connection, "", f"localhost:{user}:{user}:{process}")


def is_refused(follows: Follows, client: bytes) -> bool:
    with pytest.raises(UsageError) as refused:
        begin(follows, client, 1)
    return refused.value.code == "too-many"


def test_a_program_with_many_connections_shuts_no_other_out(crowded: Follows) -> None:
    """Another program gets its places of it, however few each of its connections has; it itself gets none."""
    assert is_refused(crowded, program(FOLLOWS_MAX, process=100))
    for connection in range(20):
        begin(crowded, program(connection, process=200), 0)
    begin(crowded, named(b"1", "phone"), 0)
    assert all(is_running(crowded, program(connection, process=200), 0) for connection in range(20))
    assert is_running(crowded, named(b"1", "phone"), 0)
    assert is_refused(crowded, program(FOLLOWS_MAX, process=100))


def test_a_user_with_many_programs_shuts_no_other_user_out(crowded: Follows) -> None:
    """Whoever may use the sockets beside the owner, or comes over tcp."""
    for process in range(200, 200 + FOLLOWS_MAX - 1):
        begin(crowded, program(0, process=process), 0)
    # Each program of that user has one place now, and so none has more than another one would.
    assert is_refused(crowded, program(0, process=1))
    others = [program(number, process=number, user=1001) for number in range(20)] + [named(b"1", "phone")]
    for other in others:
        begin(crowded, other, 0)
    assert all(is_running(crowded, other, 0) for other in others)


# -- credit and silence ----------------------------------------------------------------------------------


def test_credit_that_is_not_used_has_a_most() -> None:
    """Else a client could ask for all at once, and would be owed it."""
    follow = Follow(id=1, communities=None, kinds=frozenset(), position=0, credit=1, aligned=True)
    for _ in range(3):
        follow.grant(CREDIT_MAX - 1)
    assert follow.credit == CREDIT_MAX


def test_an_idle_follow_says_that_it_is_there() -> None:
    """Ten seconds after its last word, and only where nothing waits for credit: silence means it is gone."""
    said: list[bytes] = []
    view = View()
    view.attach(MemoryStore())
    view.refresh()
    follows = Follows(view, lambda _client, frame: said.append(frame) is None)
    client = named(b"1", "")
    begin(follows, client, 7)
    follows.pump()
    follows.heartbeat()
    assert [msgspec.msgpack.decode(frame)["event"] for frame in said] == ["caught-up"]
    (follow,) = follows._follows.values()
    for _ in range(2):
        follow.said_at -= HEARTBEAT_S
        follows.heartbeat()
    assert [msgspec.msgpack.decode(frame)["id"] for frame in said] == [7, 7, 7]
    assert said[1:] == said[:2]
    follow.said_at -= HEARTBEAT_S
    follow.pending.append(b"an event without credit")
    follows.heartbeat()
    assert len(said) == 3
    view.close()
