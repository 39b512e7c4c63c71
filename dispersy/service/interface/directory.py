"""The communities of this node as people name them: by name, by id, or by the beginning of an id."""

from __future__ import annotations

from dispersy.errors import UsageError, WireError
from dispersy.ext.wire import split_payloads
from dispersy.protocol.definitions.definition import Definition, accept_definition
from dispersy.storage.blocklist import Blocklist
from dispersy.storage.store import CommunityRecord, StoreReader

PREFIX_MIN = 4
"""Shorter beginnings of an id are too likely to become ambiguous with the next community."""
LISTED_MAX = 8


class Directory:
    """Communities and their definitions as of the last update()."""

    def __init__(self) -> None:
        self._records: dict[int, CommunityRecord] = {}
        self._left: dict[int, CommunityRecord] = {}
        self._blocklist = Blocklist()
        self._definitions: dict[int, tuple[bytes, Definition]] = {}
        self._refusals: dict[int, str] = {}
        self._kind_names: dict[tuple[int, int], str] = {}

    def update(self, reader: StoreReader) -> None:
        """Read what has been joined and which definitions have come."""
        records = {record.number: record for record in reader.communities()}
        self._records = {number: record for number, record in records.items() if not record.left}
        self._left = {number: record for number, record in records.items() if record.left}
        self._blocklist = Blocklist(reader.blocked())
        self._forget_removed()
        for number, record in records.items():
            known = self._definitions.get(number)
            if not record.definition or (known is not None and known[0] == record.definition):
                continue
            try:
                definition = accept_definition(split_payloads(record.definition)[0])
            except WireError as error:
                # Stored by software that accepts more: as good as one that has not come.
                self._refusals[number] = error.reason
                continue
            self._refusals.pop(number, None)
            self._definitions[number] = (record.definition, definition)
            for kind in definition.kinds:
                self._kind_names[number, kind.number] = kind.name

    def _forget_removed(self) -> None:
        """Whoever joins and purges again and again gets a new number each time."""
        numbers = self.numbers()
        for number in self._definitions.keys() - numbers:
            del self._definitions[number]
        for number in self._refusals.keys() - numbers:
            del self._refusals[number]
        for key in [key for key in self._kind_names if key[0] not in numbers]:
            del self._kind_names[key]

    def numbers(self) -> set[int]:
        """Of all communities that something is held of."""
        return self._records.keys() | self._left.keys()

    def records(self) -> list[CommunityRecord]:
        """Of the communities that this node takes part in."""
        return list(self._records.values())

    def left_records(self) -> list[CommunityRecord]:
        """Of those that were left, and may still be joined again with what is held of them."""
        return list(self._left.values())

    def hides(self, number: int, author: bytes = b"") -> bool:
        """Whether clients are not shown what is held of a community, or what this author wrote in it."""
        return number in self._left or (bool(author) and self._blocklist.hides(number, author))

    def community_id(self, number: int) -> bytes:
        """Of a number that the store gave, be it left; empty when the directory is older than the entry."""
        record = self._records.get(number) or self._left.get(number)
        return record.community_id if record else b""

    def name(self, record: CommunityRecord) -> str:
        """What people call it: the name given here, else the definition's, else the beginning of the id."""
        if record.name:
            return record.name
        known = self._definitions.get(record.number)
        return known[1].name if known else record.community_id.hex()[:8]

    def kind_name(self, number: int, kind: int) -> str:
        """Empty for kinds that the definition does not name, Dispersy's own among them."""
        return self._kind_names.get((number, kind), "")

    def definition(self, record: CommunityRecord) -> Definition | None:
        """None until one has come that this version enforces."""
        known = self._definitions.get(record.number)
        return known[1] if known else None

    def refusal(self, record: CommunityRecord) -> str:
        """Why the definition that is stored is not taken, a drop reason; empty when it is."""
        return self._refusals.get(record.number, "")

    def resolve(self, text: str, *, left: bool = False) -> CommunityRecord:
        """The one community that `text` names; with `left` one that was left where no other is called so.

        raises  UsageError `community-unknown` or `community-ambiguous`, which list what there is or what fits
        """
        fitting = self._fitting(text, self.records())
        if left and not fitting:
            fitting = self._fitting(text, self.left_records())
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise UsageError(
                f"{text!r} fits {len(fitting)} communities: {self._list(fitting)}",
                code="community-ambiguous",
                hint="write more digits of the id",
            )
        joined = self._list(self.records())
        raise UsageError(
            f"no community is called {text!r}" + (f"; there are {joined}" if joined else ""),
            code="community-unknown",
            hint="`dispersy community list` shows those that this node has joined"
            if joined
            else "make one with `dispersy community create NAME` or `dispersy community join INVITE`",
        )

    def _fitting(self, text: str, records: list[CommunityRecord]) -> list[CommunityRecord]:
        exact = [r for r in records if self.name(r) == text or r.community_id.hex() == text.lower()]
        return exact or [
            record
            for record in records
            if len(text) >= PREFIX_MIN and record.community_id.hex().startswith(text.lower())
        ]

    def _list(self, records: list[CommunityRecord]) -> str:
        shown = [f"{self.name(record)} ({record.community_id.hex()[:8]})" for record in records[:LISTED_MAX]]
        more = len(records) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")
