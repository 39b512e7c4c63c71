"""Messages that our own keys have signed and this node does not know: neighbours had them.

So this node's home is older than what it has published, or another node has its keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from dispersy.ext.rows import has_author
from dispersy.protocol.intake.intake_round import Round
from dispersy.protocol.wire.records import MESSAGE
from dispersy.workers.keeping.communities import Community

_ID_INDEX = 11
"""Of a message_record's fields."""


class OwnUnknown:
    """One a node, in the writer."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._since: set[int] = set()
        self._heard: set[int] = set()

    def hear(self, community: Community, records: bytes, arena: bytes) -> None:
        """What has come may be ours."""
        if has_author(records, arena, community.record.member_id):
            self._heard.add(community.record.number)

    def count(self, community: Community, decided: Round, published: Collection[bytes]) -> None:
        """What a round has brought that our member has signed, and that no request of its batch published."""
        number = community.record.number
        if number not in self._heard:
            return
        self._heard.discard(number)
        for records, arena, _ in decided.blocks:
            for fields in MESSAGE.iter_unpack(records):
                author = arena[fields[0] + 2 : fields[0] + 34]
                if author == community.record.member_id and fields[_ID_INDEX] not in published:
                    self._counts[number] += 1
                    self._since.add(number)

    def found(self, joined: Mapping[int, Community]) -> list[tuple[int, bytes, int]]:
        """(community number, its id, messages) where there were any."""
        rows = ((joined.get(number), count) for number, count in self._counts.items())
        return [(each.record.number, each.record.community_id, count) for each, count in rows if each]

    def drain(self) -> set[int]:
        """The communities in which such messages have come since this was asked."""
        numbers, self._since = self._since, set()
        return numbers
