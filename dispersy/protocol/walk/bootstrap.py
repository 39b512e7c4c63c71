"""The addresses that a community is first looked for at, asked in turn while nobody else is known."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence

from dispersy.constants import BOOTSTRAP_ADDRESSES_MAX, REVISIT_S
from dispersy.protocol.address import Address, usable_as_peer
from dispersy.protocol.walk.candidate import NEVER, Candidates

ASKED_AGAIN_S = (1.0, 3.0, 7.0, 13.0, 19.0)
"""After the start, when a newcomer that knows few asks again: each answer introduces one more."""


class Bootstrap:
    """When each address was last asked, the one asked longest ago first."""

    def __init__(self, addresses: Sequence[Address], now: float) -> None:
        self._again = deque(now + after_s for after_s in ASKED_AGAIN_S)
        self._asked: OrderedDict[Address, float] = OrderedDict(
            (address, NEVER) for address in addresses[:BOOTSTRAP_ADDRESSES_MAX] if usable_as_peer(address)
        )

    def __len__(self) -> int:
        return len(self._asked)

    def __contains__(self, address: object) -> bool:
        return address in self._asked

    def first(self) -> Address | None:
        """The one asked longest ago, however lately that was."""
        return next(iter(self._asked), None)

    def asked_at(self, address: Address) -> float:
        """When it was asked last."""
        return self._asked[address]

    def next(self, candidates: Candidates, now: float) -> Address | None:
        """One that may be asked again beside the candidates that there are."""
        for address, asked_at in self._asked.items():
            candidate = candidates.get(address)
            # One that answered is a candidate as any other, and has its turns as such.
            if now >= asked_at + REVISIT_S and (candidate is None or not candidate.is_verified(now)):
                return address
        return None

    def next_deadline(self) -> float | None:
        """When a newcomer asks again."""
        return self._again[0] if self._again and self._asked else None

    def take_again(self, now: float) -> Address | None:
        """Whom a newcomer asks now, though it was asked lately."""
        if self._again and now >= self._again[0]:
            self._again.popleft()
            return self.first()
        return None

    def ask(self, address: Address, now: float) -> None:
        """It is asked now, if it is one of them."""
        if address in self._asked:
            self._asked[address] = now
            self._asked.move_to_end(address)
