"""What a course is: one means of synchronisation at work with one neighbour.

The Puller decides whom to ask and when; a course decides what to ask. It is given turns, and between them it
may have to wait for our store: what has arrived and is not in the store yet would be asked for again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from random import Random
from typing import Protocol

from dispersy.protocol.flow.backlog import Backlog
from dispersy.protocol.holdings import ItemHoldings
from dispersy.protocol.identifiers import OrderKey
from dispersy.protocol.sync.means import Means
from dispersy.protocol.wire.numbers import FrameType
from dispersy.protocol.wire.summary import Summary


class Question(Protocol):
    """A frame that asks a neighbour for something."""

    @property
    def type(self) -> FrameType: ...

    def encode(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Unasked:
    """Messages of ours that the neighbour lacks, as a frame that answers nothing."""

    type: FrameType
    body: bytes

    def encode(self) -> bytes:
        return self.body


class Reply(Protocol):
    """A frame other than messages that answers a question, by its number."""

    @property
    def type(self) -> FrameType: ...

    @property
    def number(self) -> int: ...


@dataclass(slots=True)
class Arrival:
    """The envelope of a messages datagram: the interval that it covers, how many messages are in it, and
    the sender's summary where an answer ends.

    One is made of every datagram: frozen it would take three times as long.
    """

    number: int
    flags: int
    low: OrderKey
    high: OrderKey
    count: int
    summary: Summary | None = None


class Heard(Enum):
    """What something that arrived was to a course."""

    FOREIGN = auto()
    """No answer to it."""
    PART = auto()
    """Of an answer that goes on, or that is over already."""
    END = auto()
    """The end of an answer."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What every course of a community works with.

    backlog      what is on its way to our store
    counts       requests, filters, unfiltered, timeouts, and whatever else courses count
    budget_max   datagrams that one request asks for
    """

    rng: Random
    holdings: ItemHoldings
    backlog: Backlog
    counts: Counter[str]
    budget_max: int


class Course(Protocol):
    """Pure, as all machines are; questions are returned and never sent.

    means        what it is
    received     messages that have come for it
    has_failed   it goes nowhere: the neighbour waits, longer each time
    has_everything  as far as can be told, nothing that the neighbour has is missing here any more
    """

    means: Means
    has_failed: bool
    has_everything: bool

    @property
    def received(self) -> int: ...

    def begin_again(self) -> None:
        """A later turn begins: whatever is under way with this source was asked by others meanwhile, and
        given up."""

    def step(self, now: float) -> Sequence[Question]:
        """What to ask now. Called when the store has room, and after every call below."""

    def receive_messages(self, arrival: Arrival, now: float) -> Heard:
        """A messages datagram of the neighbour has come, asked by this course or not."""

    def receive_reply(self, reply: Reply, now: float) -> Heard:
        """Another frame of the neighbour has come."""

    def receive_busy(self, number: int, wait_s: float, now: float) -> bool:
        """The neighbour does not answer this question now; False: the pull is to end, and wait."""

    def handle_timer(self, now: float) -> bool:
        """Whether a question has had no answer at all."""

    def next_deadline(self) -> float | None:
        """When handle_timer() has something to do while a question is under way."""

    def next_step(self) -> float | None:
        """When step() may have something to ask though nothing arrives; None: not before."""

    def asked(self, number: int) -> bool:
        """Whether a question of this number is under way."""

    def is_under_way(self) -> bool:
        """Whether an answer may still come."""

    def waits_for_store(self) -> bool:
        """Whether the next question has to wait until all that arrived is in the store."""

    def is_over(self) -> bool:
        """Whether nothing is left to ask and nothing is under way."""
