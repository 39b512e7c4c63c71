"""Publish requests that can be repeated, and those that cannot any more."""

from __future__ import annotations

import pytest

from dispersy.errors import UsageError
from dispersy.storage.store import RequestRecord
from dispersy.workers.authoring.requests import REQUEST_AHEAD_MS, Requests

NOW_MS = 1_700_000_000_000


def record(made_ms: int, number: int = 0) -> RequestRecord:
    return RequestRecord(made_ms.to_bytes(6, "big") + number.to_bytes(10, "big"), number + 1, 1)


def test_an_answered_request_is_found_again() -> None:
    """Goal: before and after it was answered a request is told apart."""
    requests = Requests([])
    one = record(NOW_MS)
    assert requests.find(one.request_id, now_ms=NOW_MS) is None
    requests.add(one)
    assert requests.find(one.request_id, now_ms=NOW_MS) == one


@pytest.mark.parametrize("request_id", [b"", bytes(15), bytes(17)])
def test_an_id_of_another_size_is_none(request_id: bytes) -> None:
    """Goal: what is no request id is refused by name."""
    with pytest.raises(UsageError) as raised:
        Requests([]).find(request_id, now_ms=NOW_MS)
    assert raised.value.code == "request-id"


def test_a_request_from_the_future_is_refused() -> None:
    """Goal: an id that would be remembered beyond all others is refused; clocks may differ by an hour."""
    requests = Requests([])
    assert requests.find(record(NOW_MS + REQUEST_AHEAD_MS).request_id, now_ms=NOW_MS) is None
    with pytest.raises(UsageError):
        requests.find(record(NOW_MS + REQUEST_AHEAD_MS + 1).request_id, now_ms=NOW_MS)


@pytest.mark.parametrize("restarted", [False, True])
def test_what_may_be_forgotten_is_refused(restarted: bool) -> None:
    """Goal: a forgotten request is never taken for a new one, nor after a restart that reads the newest."""
    requests = Requests([], kept_max=3)
    every = [record(NOW_MS + number, number) for number in range(5)]
    for each in every:
        requests.add(each)
    if restarted:
        requests = Requests(every[-3:], kept_max=3)
    for each in every[:2]:
        with pytest.raises(UsageError) as raised:
            requests.find(each.request_id, now_ms=NOW_MS)
        assert raised.value.code == "request-old"
    assert [requests.find(each.request_id, now_ms=NOW_MS) for each in every[2:]] == every[2:]
    assert requests.find(record(NOW_MS + 9, 9).request_id, now_ms=NOW_MS) is None
