"""When a simulated node is due: what its machines say, kept until they are touched.

A world asks a node after everything that it hears, and most of what comes touches one machine: messages do
not change when the next step of a walk is, and what spreads changes neither that nor what is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dispersy.protocol.walk.walker import Walker
from dispersy.protocol.wire.numbers import FrameType

WALKING = frozenset(
    (
        FrameType.TOKEN,
        FrameType.PING,
        FrameType.PONG,
        FrameType.PUNCTURE_REQUEST,
        FrameType.INTRODUCTION_REQUEST,
        FrameType.INTRODUCTION_RESPONSE,
    )
)
"""What the walker hears of others."""


class Asking(Protocol):
    """A machine that asks neighbours, and may have nothing to wait for."""

    def next_deadline(self) -> float | None: ...


class Deadlines:
    """Those of one node's walker, and of what asks.

    shares_pace   other communities touch the walker, too: it is asked each time
    """

    def __init__(self, walker: Walker, asking: Sequence[Asking], *, shares_pace: bool) -> None:
        self._walker = walker
        self._asking = asking
        self._shares_pace = shares_pace
        self._walks_at: float | None = None
        self._at: float | None = None
        """Of all; None, here and above: something was touched since."""

    def touch(self) -> None:
        """Something was done to the walker, and perhaps to what asks."""
        self._walks_at = self._at = None

    def touch_asking(self) -> None:
        """Something was done to what asks, and nothing to the walker."""
        self._at = None

    def next(self) -> float:
        """When the first of them is due."""
        if self._at is not None and not self._shares_pace:
            return self._at
        if self._walks_at is None or self._shares_pace:
            self._walks_at = self._walker.next_deadline()
        deadline = self._walks_at
        for machine in self._asking:
            other = machine.next_deadline()
            if other is not None and other < deadline:
                deadline = other
        self._at = deadline
        return deadline
