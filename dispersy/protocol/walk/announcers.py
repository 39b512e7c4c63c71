"""Whom we ask to announce new messages to us, and who has asked us."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container

from dispersy.protocol.address import Address
from dispersy.protocol.walk.candidate import Candidates

ANNOUNCERS_MAX = 5
"""Where each of so many neighbours lacks a message by chance only, hardly anybody misses it, and each more
costs another 8 bytes a message."""
LISTENERS_MAX = 20
"""Neighbours that we announce to, the freshest first: four times what everybody asks for. A bootstrap node,
which all ask, would else announce to all of them."""
ANSWER_S = 10.0
"""That one that was asked has time to become a neighbour."""
SILENT_S = 40.0
"""After which an announcer that was not heard gives way: neighbours are heard every 27.5 s where messages are
few and every 40 s where they are pinged."""
ANNOUNCERS_HEARD_MAX = 64
"""Addresses whose announcements are listened to: those that were asked before are not told at once that they
need not announce any more."""


class Announcers:
    """The choice for one community.

    bootstrap   addresses that everybody asks first, and so give way to others
    """

    def __init__(self, candidates: Candidates, bootstrap: Container[Address]) -> None:
        self._candidates = candidates
        self._bootstrap = bootstrap
        self._chosen: OrderedDict[Address, float] = OrderedDict()
        self._asked: OrderedDict[Address, None] = OrderedDict()

    def __contains__(self, address: object) -> bool:
        """Whether it was asked to announce."""
        return address in self._asked

    def ask(self, address: Address, now: float) -> bool:
        """Whether an introduction that leaves for there now asks for announcements."""
        if address not in self._chosen:
            self._make_room(now)
            if len(self._chosen) >= ANNOUNCERS_MAX:
                return False
        self._chosen[address] = now
        self._asked[address] = None
        self._asked.move_to_end(address)
        if len(self._asked) > ANNOUNCERS_HEARD_MAX:
            self._asked.popitem(last=False)
        return True

    def _make_room(self, now: float) -> None:
        for address, asked_at in list(self._chosen.items()):
            candidate = self._candidates.get(address)
            is_near = candidate is not None and candidate.is_verified(now)
            heard_at = candidate.proven_at if candidate is not None and is_near else asked_at
            is_silent = candidate is not None and candidate.is_silent
            if is_silent or now >= heard_at + (SILENT_S if is_near else ANSWER_S):
                del self._chosen[address]
        if len(self._chosen) >= ANNOUNCERS_MAX:
            known = next((address for address in self._chosen if address in self._bootstrap), None)
            if known is not None:
                del self._chosen[known]
