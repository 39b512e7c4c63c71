"""Punctures: somebody whom we know has introduced us to a walker, so we open our NAT towards it."""

from __future__ import annotations

from collections import OrderedDict

from dispersy.constants import PUNCTURE_TARGETS_MAX, PUNCTURES_PER_REQUEST_MAX
from dispersy.protocol.address import Address
from dispersy.protocol.walk.reachability import OwnAddresses
from dispersy.protocol.wire.frames import PunctureRequest


class Punctures:
    """Whom a datagram was sent to in the last second: one a target, and PUNCTURE_TARGETS_MAX in all."""

    def __init__(self, own: OwnAddresses) -> None:
        self._own = own
        self._sent: OrderedDict[Address, float] = OrderedDict()

    def targets(self, source: Address, frame: PunctureRequest, now: float) -> list[Address]:
        """Where a datagram shall go now that this request has come."""
        while self._sent and now >= next(iter(self._sent.values())) + 1.0:
            self._sent.popitem(last=False)
        walker = {frame.walker_wan, self._own.nearest(lan=frame.walker_lan, wan=frame.walker_wan)}
        targets = [
            target
            for target in sorted(walker)[:PUNCTURES_PER_REQUEST_MAX]
            if self._own.may_meet(target, told_by=source) and target not in self._sent
        ][: PUNCTURE_TARGETS_MAX - len(self._sent)]
        self._sent.update(dict.fromkeys(targets, now))
        return targets
