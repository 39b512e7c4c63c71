"""The addresses that a community is first looked for at, asked in turn while nobody else is known."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from dispersy.constants import BOOTSTRAP_ADDRESSES_MAX, REVISIT_S
from dispersy.protocol.address import Address, usable_as_peer
from dispersy.protocol.candidate import NEVER, Candidates


class Bootstrap:
    """When each address was last asked, the one asked longest ago first."""

    def __init__(self, addresses: Sequence[Address]) -> None:
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

    def next(self, candidates: Candidates, now: float) -> Address | None:
        """One that may be asked again beside the candidates that there are."""
        for address, asked_at in self._asked.items():
            candidate = candidates.get(address)
            # One that answered is a candidate as any other, and has its turns as such.
            if now >= asked_at + REVISIT_S and (candidate is None or not candidate.is_verified(now)):
                return address
        return None

    def ask(self, address: Address, now: float) -> None:
        """It is asked now, if it is one of them."""
        if address in self._asked:
            self._asked[address] = now
            self._asked.move_to_end(address)
