"""What comes before the rest: kinds of high priority, and others in an order that is not the usual one.

A neighbour that does not know selections drops such a request, and one may answer it wrongly. It costs a
course that, and the next means get everything, in ascending order.
"""

from __future__ import annotations

from collections.abc import Sequence

from dispersy.constants import SELECTIONS_RETRY_S
from dispersy.protocol.sync.course import Arrival, Asking, Heard
from dispersy.protocol.sync.means import Means
from dispersy.protocol.sync.pull_sources import Source
from dispersy.protocol.sync.range_course import RangeCourse
from dispersy.protocol.sync.ranked_transfer import RankedTransfer
from dispersy.protocol.wire.frames import SyncRequest

SILENCES_MAX = 2
"""The first is as likely a lost datagram."""


class RankedCourse(RangeCourse):
    """Gets what a source has and we lack of certain kinds, in their order."""

    def __init__(
        self, asking: Asking, source: Source, transfer: RankedTransfer, *, is_partner: bool = False
    ) -> None:
        self._ranked = transfer
        super().__init__(asking, source, means=Means.RANKED, transfer=transfer, is_partner=is_partner)
        self._silences = 0

    def shared_with(self, asking: Asking, source: Source) -> RankedCourse:
        return RankedCourse(asking, source, self._ranked, is_partner=True)

    def step(self, now: float) -> Sequence[SyncRequest]:
        requests = super().step(now)
        self._leave_if_failed(now)
        return requests

    def receive_messages(self, arrival: Arrival, now: float) -> Heard:
        heard = super().receive_messages(arrival, now)
        if heard is not Heard.FOREIGN:
            # From now on its silence is only silence.
            self._source.selects = True
        self._leave_if_failed(now)
        return heard

    def handle_timer(self, now: float) -> bool:
        is_silent = super().handle_timer(now)
        self._silences += is_silent and not self._source.selects
        if self._silences >= SILENCES_MAX:
            self.has_failed = True
        self._leave_if_failed(now)
        return is_silent and self._silences < SILENCES_MAX

    def _leave_if_failed(self, now: float) -> None:
        """It goes nowhere; that says nothing of the means that come next."""
        if not self.has_failed:
            return
        self._source.selections_at = now + SELECTIONS_RETRY_S
        if not self._is_partner:
            self.has_failed = False
            self._ranked.leave()
