"""Holdings as they count towards one neighbour: what it has named and we are fetching, as if it were here.

So a summary, a filter or a range that is compared with that neighbour's does not ask for it a second time,
and a pull ends when there is nothing more to ask for. Only the asking side sees them; what is not here is
given to nobody.
"""

from __future__ import annotations

from array import array

from dispersy.protocol.address import Address
from dispersy.protocol.fragments import Fragments
from dispersy.protocol.holdings import KEY_SIZE, Holdings, packed_keys_of
from dispersy.protocol.summary import Summary


class ExpectedHoldings:
    """What is held, and what is expected of `source`.

    scan() gives cursor 0 for what is not here: nobody who compares sets reads messages.
    """

    def __init__(self, holdings: Holdings, fragments: Fragments, source: Address) -> None:
        self._holdings = holdings
        self._fragments = fragments
        self._source = source

    def summary(self) -> Summary:
        return self._fragments.towards(self._source, self._holdings.summary())

    def scan(self, low: bytes, high: bytes, limit: int) -> tuple[bytes, bytes, bool]:
        keys, cursors, is_complete = self._holdings.scan(low, high, limit)
        # Beyond what one scan reaches it would be out of order.
        end = high if is_complete else keys[-KEY_SIZE:]
        names = self._fragments.expected(self._source)
        expected = [name.packed_key for name in names if low <= name.key < high and name.packed_key < end]
        if not expected:
            return keys, cursors, is_complete
        numbers = memoryview(cursors).cast("Q")
        merged = dict.fromkeys(expected, 0) | dict(zip(packed_keys_of(keys), numbers, strict=True))
        rows = sorted(merged.items())
        kept = rows[:limit]
        return (
            b"".join(key for key, _ in kept),
            array("Q", [cursor for _, cursor in kept]).tobytes(),
            is_complete and len(rows) <= limit,
        )

