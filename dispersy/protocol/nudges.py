"""Nudges: when our live set has changed, a few neighbours hear our new summary at once."""

from __future__ import annotations

from collections import OrderedDict

from dispersy.constants import NUDGE_INTERVAL_S, NUDGES_MAX
from dispersy.protocol.address import Address
from dispersy.protocol.candidate import NEVER


class Nudges:
    """When the next ones may leave, and which answers are still taken."""

    def __init__(self) -> None:
        self._numbers: OrderedDict[Address, int] = OrderedDict()
        self._sent_at = NEVER
        self.due_at: float | None = None

    def ask(self, now: float) -> bool:
        """Whether they leave at once; else they will when NUDGE_INTERVAL_S has passed."""
        due = self._sent_at + NUDGE_INTERVAL_S
        self.due_at = None if now >= due else due
        return self.due_at is None

    def begin(self, now: float) -> None:
        """They leave now."""
        self.due_at = None
        self._sent_at = now

    def add(self, address: Address, number: int) -> None:
        """One leaves for this address."""
        self._numbers[address] = number
        self._numbers.move_to_end(address)
        if len(self._numbers) > NUDGES_MAX:
            self._numbers.popitem(last=False)

    def take(self, source: Address, number: int) -> bool:
        """Whether a response answers one of them, which it does once."""
        if self._numbers.get(source) != number:
            return False
        del self._numbers[source]
        return True
