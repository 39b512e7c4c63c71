"""What a client says on a node's `control` socket and what it makes of the answers, without any I/O.

Two machines, after the manner of h11. Calls has the requests of one connection under way, many at once, and
repeats each until it is answered. Following has one follow, and goes on where it was when the node ends and
comes back. Both are told what has come and how late it is (`receive`, `handle_timer`, in monotonic seconds),
say when they want to be told again (`next_deadline`), and what to do now (`drain`). The blocking client, the
asyncio one and the network in memory for tests differ only in how they wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from dispersy.errors import UsageError
from dispersy.whereabouts import Whereabouts

REPEAT_S = 5.0
"""A request without an answer for this long is sent again, where that is safe."""
RETRY_S = 0.05
"""After this what a node was too busy for is sent again."""
SILENCE_S = 25.0
"""A stream that has said nothing for this long is asked for again: the node says caught-up every 10 s."""
FOLLOW_CREDIT = 1_000
"""Events that a follow may have on their way: no more wait here for their reader, but twice as many after the
node has been away."""
REPEATED_CODES = frozenset({"busy", "starting"})
"""Answers that mean: the same again in a moment."""
ASKED_ONCE = frozenset({"create", "sign"})
"""Operations that would do something else the second time, unless a request id says that it is the same."""

Frame = dict[str, Any]
"""A MessagePack map of docs/interface.md, decoded."""


@dataclass(frozen=True, slots=True)
class Send:
    """Give this frame to the node."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """A request is done: its reply, or why there is none."""

    number: int
    outcome: Frame | UsageError


class Outcomes:
    """What requests have come to, until whoever waits for them takes it."""

    def __init__(self) -> None:
        self._outcomes: dict[int, Frame | UsageError] = {}

    def note(self, answered: Answered) -> None:
        """A request is done."""
        self._outcomes[answered.number] = answered.outcome

    def take(self, numbers: Collection[int]) -> tuple[int, Frame] | None:
        """The first of these that is done, and its reply; None: none is. UsageError as the node gave it."""
        for number in numbers:
            outcome = self._outcomes.pop(number, None)
            if isinstance(outcome, UsageError):
                raise outcome
            if outcome is not None:
                return number, outcome
        return None

    def forget(self, number: int) -> None:
        """Nobody waits for this one any more."""
        self._outcomes.pop(number, None)


class Numbers:
    """The ids of requests: unique on a connection."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        self._last += 1
        return self._last


@dataclass(slots=True)
class _Call:
    op: str
    frame: bytes
    is_asked_once: bool
    limit: float
    again_at: float | None


class Calls:
    """The requests of one connection that wait for their replies.

    node       for messages
    timeout_s  for each
    """

    def __init__(self, node: Whereabouts, numbers: Numbers, *, timeout_s: float) -> None:
        self._node = node
        self._numbers = numbers
        self._timeout_s = timeout_s
        self._waiting: dict[int, _Call] = {}
        self._events: list[Send | Answered] = []

    def submit(self, op: str, fields: Mapping[str, Any], now: float) -> int:
        """Begin a request; its number, which the Answered event will carry."""
        number = self._numbers.next()
        is_asked_once = op in ASKED_ONCE and not fields.get("request_id")
        frame = encode_request(number, op, fields)
        call = _Call(op, frame, is_asked_once, now + self._timeout_s, None)
        self._waiting[number] = call
        self._send(call, now)
        return number

    def forget(self, number: int) -> None:
        """Nobody waits for this one any more; a late reply is passed over."""
        self._waiting.pop(number, None)

    def receive(self, frame: Frame, now: float) -> None:
        """Take a reply; those to requests that were given up are passed over."""
        number = frame.get("id")
        call = self._waiting.get(number) if isinstance(number, int) else None
        if call is None or not isinstance(number, int):
            return
        if not frame["ok"] and frame["error"]["code"] in REPEATED_CODES and now < call.limit:
            call.again_at = now + RETRY_S
            return
        self._finish(number, frame if frame["ok"] else error_of(frame))

    def receive_disconnect(self, now: float) -> None:
        """The node has gone: what was with it is lost with it, and waits for the next one."""
        for call in self._waiting.values():
            if not call.is_asked_once:
                self._send(call, now)

    def next_deadline(self) -> float | None:
        return min(
            (min(call.limit, call.again_at or call.limit) for call in self._waiting.values()), default=None
        )

    def handle_timer(self, now: float) -> None:
        for number, call in list(self._waiting.items()):
            if now >= call.limit:
                self._finish(number, self._unanswered(call))
            elif call.again_at is not None and now >= call.again_at:
                self._send(call, now)

    def drain(self) -> list[Send | Answered]:
        """What to do now, in this order."""
        events, self._events = self._events, []
        return events

    def _send(self, call: _Call, now: float) -> None:
        # A request that was with a gateway that crashed is lost with it.
        call.again_at = None if call.is_asked_once else now + REPEAT_S
        self._events.append(Send(call.frame))

    def _finish(self, number: int, outcome: Frame | UsageError) -> None:
        del self._waiting[number]
        self._events.append(Answered(number, outcome))

    def _unanswered(self, call: _Call) -> UsageError:
        return self._node.unanswered(call.op, self._timeout_s)


class Following:
    """One follow: its events each once and in order, also when the node ends and comes back.

    node         for messages
    fields       of the follow; its credit is granted again by halves, so that the stream never dries up
    idle_s       end when it is caught up and nothing but heartbeats came for this long; None: never
    absence_s    how long the node may be away
    timeout_s    how long the first answer may take
    on_absence   called when the node has gone
    started      whether the node has said where the stream begins
    """

    def __init__(
        self,
        node: Whereabouts,
        number: int,
        fields: Mapping[str, Any],
        *,
        idle_s: float | None,
        absence_s: float,
        timeout_s: float,
        on_absence: Callable[[], None] | None,
        now: float,
    ) -> None:
        self.number = number
        self.started = False
        self._on_absence = on_absence
        self._node = node
        self._fields = {"credit": FOLLOW_CREDIT, **fields}
        self._idle_s = idle_s
        self._absence_s = absence_s
        self._timeout_s = timeout_s
        self._limit = now + timeout_s
        self._since: str | int = self._fields["since"]
        self._cursor = -1
        self._events: deque[Frame] = deque()
        self._given = False
        self._dealt_with = 0
        self._caught_up = False
        self._said_caught_up = False
        self._again_at: float | None = None
        self._asked = True
        self._heard_at = self._quiet_since = now
        self._absent_since: float | None = None
        self._ended: UsageError | bool = False
        self._out: list[Send] = []
        self._ask(now)

    @property
    def ended(self) -> bool:
        """Whether nothing will come any more, besides what next_event() still gives."""
        return self._ended is not False

    @property
    def error(self) -> UsageError | None:
        """Why it ended, unless that is as it should be."""
        return self._ended if isinstance(self._ended, UsageError) else None

    def is_over(self) -> bool:
        """Whether next_event() will give nothing any more, as it should be; UsageError if it should not.

        Asked when next_event() has given None: then whoever reads waits, or comes to its end.
        """
        if self.error is not None:
            raise self.error
        return self.ended

    @property
    def wants_to_send(self) -> bool:
        """Whether drain() has something."""
        return bool(self._out)

    @property
    def has_events(self) -> bool:
        """Whether next_event() has something."""
        return bool(self._events)

    def next_event(self) -> Frame | None:
        """The next event, None while there is none. Whoever asks has dealt with the one before."""
        if self._given:
            self._given = False
            self._dealt_with += 1
        if self._dealt_with >= self._fields["credit"] // 2:
            self._out.append(Send(encode_request(self.number, "credit", {"count": self._dealt_with})))
            self._dealt_with = 0
        if not self._events:
            return None
        event = self._events.popleft()
        self._given = event["event"] != "caught-up"
        return event

    def cancel(self) -> None:
        """Tell the node that nobody follows any more."""
        if not self.ended:
            self._ended = True
            self._out.append(Send(encode_request(self.number, "cancel", {})))

    def end(self, error: UsageError | None) -> None:
        """The connection is no more."""
        if not self.ended:
            self._ended = error or True

    def drain(self) -> list[Send]:
        """What to do now, in this order."""
        out, self._out = self._out, []
        return out

    def next_deadline(self) -> float | None:
        if self.ended:
            return None
        deadlines = [self._next_asking()]
        if not self.started:
            deadlines.append(self._limit)
        if self._again_at is not None:
            deadlines.append(self._again_at)
        if self._idle_s is not None and self._caught_up:
            deadlines.append(self._quiet_since + self._idle_s)
        return min(deadlines)

    def handle_timer(self, now: float) -> None:
        if self.ended:
            return
        if not self.started and now >= self._limit:
            self._ended = self._node.unanswered("follow", self._timeout_s)
        elif self._again_at is not None and now >= self._again_at:
            self._ask(now)
        elif self._idle_s is not None and self._caught_up and now >= self._quiet_since + self._idle_s:
            self._ended = True
        elif now >= self._next_asking():
            # Whether it has gone shows in the answer: it knows the follow, or begins it here.
            self._ask_again(now, gone=self._asked and self.started)

    def receive_disconnect(self, now: float) -> None:
        """The connection was lost, which ZeroMQ will make again."""
        if not self.ended:
            self._ask_again(now, gone=True)

    def receive(self, frame: Frame, now: float) -> None:
        """Take a frame that carries our number."""
        if self.ended:
            return
        self._heard_at = now
        if "event" not in frame:
            self._receive_reply(frame, now)
        elif frame["event"] == "caught-up":
            self._cursor = max(self._cursor, frame["cursor"])
            if not self._caught_up:
                self._caught_up = True
                self._quiet_since = now
            if not self._said_caught_up:
                self._said_caught_up = True
                self._events.append(frame)
        elif not frame["cursor"]:
            # In no log: it cannot come twice, and says nothing about where the stream stands.
            self._quiet_since = now
            self._events.append(frame)
        elif frame["cursor"] > self._cursor:
            self._quiet_since = now
            self._cursor = frame["cursor"]
            self._events.append(frame)
        else:
            # Some of what the old node had sent was still under way when the new one was asked.
            self._quiet_since = now
            self._dealt_with += 1

    def _receive_reply(self, reply: Frame, now: float) -> None:
        if reply["ok"]:
            # A new follow at the node, with its whole credit: what waits here is ours alone to deal with.
            self._dealt_with = 0
            self._cursor = max(self._cursor, reply["since"])
            self.started = True
        elif reply["error"]["code"] in REPEATED_CODES:
            if self.started:
                self._note_absence(now)
            self._again_at = now + RETRY_S
            return
        elif reply["error"]["code"] != "follow-exists":
            self._ended = error_of(reply)
            return
        self._asked = False
        self._absent_since = None

    def _next_asking(self) -> float:
        if not self._asked:
            return self._heard_at + SILENCE_S
        due = self._heard_at + REPEAT_S
        return due if self._absent_since is None else min(due, self._absent_since + self._absence_s)

    def _ask_again(self, now: float, *, gone: bool) -> None:
        """Ask for all after the last event; ZeroMQ keeps the request until somebody is there."""
        self._caught_up = False
        if gone:
            self._note_absence(now)
        if not self.ended:
            self._asked = True
            self._heard_at = now
            self._ask(now)

    def _ask(self, now: float) -> None:
        self._again_at = None
        self._heard_at = now
        since = self._cursor if self.started else self._since
        self._out.append(Send(encode_request(self.number, "follow", {**self._fields, "since": since})))

    def _note_absence(self, now: float) -> None:
        if self._absent_since is None:
            self._absent_since = now
            if self._on_absence is not None:
                self._on_absence()
        elif now - self._absent_since >= self._absence_s:
            away = f"it has been away for {now - self._absent_since:.0f} s"
            self._ended = self._node.not_running(away)


def encode_request(number: int, op: str, fields: Mapping[str, Any]) -> bytes:
    """One request as a frame."""
    return msgspec.msgpack.encode({"v": 1, "id": number, "op": op, **fields})


def error_of(reply: Frame) -> UsageError:
    """What the node refused, as it said it."""
    error = reply["error"]
    return UsageError(error["message"], code=error["code"], hint=error.get("hint", ""))
