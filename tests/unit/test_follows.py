"""Goal: the places for follows are limited, and nobody takes all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dispersy.errors import UsageError
from dispersy.service.interface import requests
from dispersy.service.interface.view import View
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
            begin(made, b"%d" % connection, number)
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
        begin(follows, b"another", number)
    with pytest.raises(UsageError) as refused:
        begin(follows, b"another", FOLLOWS_PER_CLIENT_MAX - 1)
    assert refused.value.code == "too-many"
    assert all(is_running(follows, b"another", number) for number in range(FOLLOWS_PER_CLIENT_MAX - 1))


def test_it_has_no_more_than_before(follows: Follows) -> None:
    """A client that has as many as it may is refused, whatever others hold."""
    with pytest.raises(UsageError) as refused:
        begin(follows, b"0", FOLLOWS_PER_CLIENT_MAX)
    assert refused.value.code == "too-many"
    assert all(is_running(follows, b"0", number) for number in range(FOLLOWS_PER_CLIENT_MAX))
