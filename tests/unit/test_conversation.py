"""Goal: requests are repeated until they are answered, and a follow goes on where it was; no test waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from dispersy.conversation import (
    FOLLOW_CREDIT,
    REPEAT_S,
    RETRY_S,
    SILENCE_S,
    Answered,
    Calls,
    Following,
    Frame,
    Numbers,
    Outcomes,
    Send,
)
from dispersy.errors import UsageError
from dispersy.whereabouts import Whereabouts

NODE = Whereabouts(Path("/nowhere"))


def sent(machine: Calls | Following) -> list[Frame]:
    """The requests that a machine wants sent."""
    return [msgspec.msgpack.decode(event.frame) for event in machine.drain() if isinstance(event, Send)]


def answers(calls: Calls) -> list[Answered]:
    return [event for event in calls.drain() if isinstance(event, Answered)]


def refusal(number: int, code: str) -> Frame:
    return {"id": number, "ok": False, "error": {"code": code, "message": "no", "hint": "yes"}}


def make_calls() -> Calls:
    return Calls(NODE, Numbers(), timeout_s=30.0)


def test_many_requests_are_under_way_at_once_and_answered_in_any_order() -> None:
    """Each reply goes to who asked; a stranger's is passed over."""
    calls = make_calls()
    numbers = [calls.submit("count", {"community": name}, 0.0) for name in "abc"]
    assert [(each["id"], each["community"]) for each in sent(calls)] == list(zip(numbers, "abc", strict=True))
    for number in (numbers[2], 99, numbers[0], numbers[2]):
        calls.receive({"id": number, "ok": True}, 1.0)
    assert [event.number for event in answers(calls)] == [numbers[2], numbers[0]]


def test_a_request_is_repeated_until_its_time_is_up() -> None:
    """Every few seconds of silence, the same bytes again; then `timeout`, which says what to look at."""
    calls = make_calls()
    number = calls.submit("publish", {"request_id": b"1"}, 0.0)
    first = sent(calls)
    repeated = 0
    while (deadline := calls.next_deadline()) is not None and deadline < 30.0:
        calls.handle_timer(deadline)
        assert sent(calls) == first
        repeated += 1
    assert repeated == 30.0 / REPEAT_S - 1
    calls.handle_timer(30.0)
    ((answered),) = answers(calls)
    assert isinstance(answered.outcome, UsageError)
    assert (answered.number, answered.outcome.code) == (number, "timeout")
    assert calls.next_deadline() is None


def test_what_would_be_done_twice_is_asked_once() -> None:
    """A second create would make a second community."""
    calls = make_calls()
    calls.submit("create", {}, 0.0)
    assert len(sent(calls)) == 1
    calls.receive_disconnect(1.0)
    calls.handle_timer(20.0)
    assert sent(calls) == []
    calls.submit("create", {"request_id": bytes(16)}, 20.0)
    assert len(sent(calls)) == 1
    calls.receive_disconnect(21.0)
    assert [each["op"] for each in sent(calls)] == ["create"], "its request id says that it is the same one"


def test_a_busy_node_is_asked_again_in_a_moment() -> None:
    """Also for what is otherwise asked once: the node has said that it did not do it."""
    calls = make_calls()
    number = calls.submit("create", {}, 0.0)
    sent(calls)
    calls.receive(refusal(number, "busy"), 1.0)
    assert calls.next_deadline() == 1.0 + RETRY_S
    calls.handle_timer(1.0 + RETRY_S)
    assert [each["id"] for each in sent(calls)] == [number]
    calls.receive(refusal(number, "name-taken"), 2.0)
    ((answered),) = answers(calls)
    assert isinstance(answered.outcome, UsageError)
    assert (answered.outcome.code, answered.outcome.hint) == ("name-taken", "yes")


def test_a_lost_connection_brings_requests_again_at_once() -> None:
    """What was with the gateway is lost with it."""
    calls = make_calls()
    number = calls.submit("count", {}, 0.0)
    sent(calls)
    calls.receive_disconnect(0.5)
    assert [each["id"] for each in sent(calls)] == [number]


def test_what_was_given_up_is_forgotten() -> None:
    calls = make_calls()
    number = calls.submit("count", {}, 0.0)
    calls.forget(number)
    calls.receive({"id": number, "ok": True}, 1.0)
    assert answers(calls) == []
    assert calls.next_deadline() is None


def make_following(**options: Any) -> Following:
    options = {"idle_s": None, "absence_s": 60.0, "timeout_s": 30.0, "on_absence": None, **options}
    return Following(NODE, 5, {"communities": [], "since": "begin"}, now=0.0, **options)


def message(cursor: int) -> Frame:
    return {"id": 5, "event": "message", "cursor": cursor}


def cursors(following: Following) -> list[int]:
    """The cursors of the message events that wait."""
    taken = []
    while (event := following.next_event()) is not None:
        if event["event"] == "message":
            taken.append(event["cursor"])
    return taken


def started(**options: Any) -> Following:
    following = make_following(**options)
    sent(following)
    following.receive({"id": 5, "ok": True, "since": 0, "last_cursor": 0}, 0.0)
    assert following.started
    return following


def test_a_follow_goes_on_after_the_last_event_without_gap_or_repetition() -> None:
    """Asked again from the cursor that was had; what the old node had still sent is passed over."""
    gone: list[bool] = []
    following = started(on_absence=lambda: gone.append(True))
    for cursor in (1, 2, 3):
        following.receive(message(cursor), 1.0)
    following.receive_disconnect(2.0)
    assert gone == [True]
    assert [(each["op"], each["since"]) for each in sent(following)] == [("follow", 3)]
    following.receive(message(3), 2.5)
    following.receive({"id": 5, "ok": True, "since": 3, "last_cursor": 5}, 3.0)
    for cursor in (4, 5):
        following.receive(message(cursor), 3.0)
    assert cursors(following) == [1, 2, 3, 4, 5]


def test_a_follow_lost_before_its_beginning_begins_as_it_was_asked() -> None:
    following = make_following()
    sent(following)
    following.receive_disconnect(1.0)
    assert [each["since"] for each in sent(following)] == ["begin"]


def test_credit_is_granted_as_events_are_dealt_with() -> None:
    """Half of it at a time; events that nobody has asked for yet are not paid for."""
    following = started()
    half = FOLLOW_CREDIT // 2
    for cursor in range(1, FOLLOW_CREDIT + 1):
        following.receive(message(cursor), 1.0)
    for _ in range(half):
        assert following.next_event() is not None
    assert sent(following) == []
    assert following.next_event() is not None
    assert [(each["op"], each["count"]) for each in sent(following)] == [("credit", half)]


def test_a_silent_stream_is_asked_for_again_and_says_when_the_node_is_away_too_long() -> None:
    """`follow-exists` means that it was only silent; no answer for absence_s ends it."""
    following = started(absence_s=12.0)
    following.handle_timer(SILENCE_S)
    assert [each["op"] for each in sent(following)] == ["follow"]
    following.receive(refusal(5, "follow-exists"), SILENCE_S + 1)
    assert not following.ended
    following.handle_timer(following.next_deadline() or 0.0)
    while not following.ended:
        deadline = following.next_deadline()
        assert deadline is not None
        following.handle_timer(deadline)
    assert following.error is not None
    assert following.error.code == "not-running"
    assert "away for 12 s" in str(following.error)


def test_an_idle_stream_ends_when_caught_up_and_not_before() -> None:
    following = started(idle_s=2.0)
    following.receive(message(1), 1.0)
    following.handle_timer(10.0)
    assert not following.ended
    following.receive({"id": 5, "event": "caught-up", "cursor": 1}, 11.0)
    following.receive({"id": 5, "event": "caught-up", "cursor": 1}, 12.5)
    following.handle_timer(12.9)
    assert not following.ended
    following.handle_timer(13.0)
    assert following.ended
    assert following.error is None
    # What had come is still given, and caught-up is said once.
    assert [following.next_event(), following.next_event(), following.next_event()] == [
        message(1),
        {"id": 5, "event": "caught-up", "cursor": 1},
        None,
    ]


def test_a_refused_follow_ends_with_what_the_node_said() -> None:
    following = make_following()
    following.receive(refusal(5, "community-unknown"), 0.1)
    assert following.error is not None
    assert following.error.code == "community-unknown"


def test_a_follow_that_is_never_answered_times_out() -> None:
    following = make_following()
    while not following.ended:
        deadline = following.next_deadline()
        assert deadline is not None
        assert deadline <= 30.0
        following.handle_timer(deadline)
    assert following.error is not None
    assert following.error.code == "timeout"


def test_a_cancelled_follow_tells_the_node_and_takes_nothing_more() -> None:
    following = started()
    following.cancel()
    assert [each["op"] for each in sent(following)] == ["cancel"]
    following.receive(message(1), 1.0)
    assert following.next_event() is None
    assert following.next_deadline() is None


def test_a_reader_comes_to_the_end_or_to_what_went_wrong() -> None:
    """What is there is given first; only then is the end looked at, or raised."""
    following = started(idle_s=1.0)
    assert not following.is_over()
    following.receive({"id": following.number, **message(5)}, 0.0)
    following.end(UsageError("gone", code="closed"))
    assert following.next_event() is not None
    assert following.next_event() is None
    with pytest.raises(UsageError, match="gone"):
        following.is_over()
    following = started()
    following.cancel()
    assert following.is_over()


def test_an_outcome_is_taken_once_and_an_error_raised() -> None:
    outcomes = Outcomes()
    assert outcomes.take([1, 2]) is None
    outcomes.note(Answered(2, {"ok": True}))
    outcomes.note(Answered(3, UsageError("no", code="refused")))
    assert outcomes.take([1, 2]) == (2, {"ok": True})
    assert outcomes.take([1, 2]) is None
    with pytest.raises(UsageError, match="no"):
        outcomes.take([3])
    outcomes.note(Answered(4, {"ok": True}))
    outcomes.forget(4)
    assert outcomes.take([4]) is None
