"""One pull: a transfer from one source, over as many turns as it takes."""

from __future__ import annotations

from dispersy.protocol.address import Address
from dispersy.protocol.identifiers import ORDER_TOP
from dispersy.protocol.pull_sources import Source
from dispersy.protocol.summary import Summary
from dispersy.protocol.transfer import Transfer


class Pull:
    """A transfer, its source, and how far back it has come.

    floor         everything from here upwards has been asked for
    repairs       this is an audit's repair, which ends with its range
    gained        the store took something from an earlier turn of it
    began_with    our summary when this turn began, and received: messages by then
    stage_with    our summary when this stage began
    idle_with     our summary when answers were last known to bring something, idle_answers: those since
    announced     the backlog's count when the last of its messages came
    over_at       when the answer under way is over in any case
    settled_at    when what arrived counts as stored; settle_by: at the latest
    """

    def __init__(self, address: Address, source: Source, ours: Summary, now: float) -> None:
        self.address = address
        self.source = source
        self.transfer = Transfer()
        self.stage = 0
        self.floor = ORDER_TOP
        self.repairs = False
        self.gained = False
        self.began_at = self.turn_at = now
        self.began_with = self.stage_with = self.idle_with = ours
        self.turn_count = ours.count
        self.received = 0
        self.idle_answers = 0
        self.announced = 0
        self.asked_at = 0.0
        self.due_at = 0.0
        self.over_at = 0.0
        self.settled_at: float | None = None
        self.settle_by: float | None = None

    def take_turn(self, ours: Summary, now: float) -> None:
        """Go on where the last turn stopped."""
        self.began_at = self.turn_at = now
        self.began_with = ours
        self.turn_count = ours.count
        self.received = self.transfer.received
        self.settled_at = self.settle_by = None

    def gains(self, ours: Summary) -> bool:
        """Whether the store took anything since this turn began, and something came that it may have been."""
        return self.transfer.received > self.received and not ours.same_set(self.began_with)
