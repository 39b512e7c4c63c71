"""What applications wait for that neighbours may have: messages by name, asked for until they are here, all
neighbours were asked, or it has taken too long.

Asking is the responders' work: the writer says in its notes what is fetched, and they say when all that they
know have been asked. Whoever asks for the same thing waits for the same answer. All of it is in memory: after
a restart of the writer the gateway asks again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dispersy.constants import FETCH_MAX_S, WANTED_MAX
from dispersy.errors import UsageError
from dispersy.protocol.wire.missing import (
    MissingLast,
    MissingMessages,
    MissingSequences,
    Wanted,
    decode_wanted,
)
from dispersy.storage.store import StoreWriter
from dispersy.workers.authoring.orders import Outcome, Ticket
from dispersy.workers.keeping.communities import Communities
from dispersy.workers.keeping.finding import find_ids, find_slot


@dataclass(slots=True)
class _Fetch:
    """One thing that is waited for.

    wanted   as the gateway names it
    limits   of each ticket how long it waits, in seconds
    since    when it was first looked at by the clock; None: not yet
    """

    wanted: Wanted
    limits: dict[Ticket, float] = field(default_factory=dict)
    since: float | None = None


class Fetching:
    """One a node, in the writer."""

    def __init__(self, store: StoreWriter, communities: Communities) -> None:
        self._store = store
        self._communities = communities
        self._fetches: dict[int, dict[bytes, _Fetch]] = {}
        self._outcomes: list[Outcome] = []

    def begin(self, ticket: Ticket, number: int, asked: bytes, *, limit_s: float) -> dict[str, Any] | None:
        """Fetch what is not here; what is here at once: {cursors}.

        asked   what (encode_wanted): one message, one slot, or the newest of a kind
        raises  UsageError: the community is unknown or not loaded, `busy`
        """
        self._communities.serving(number)
        wanted = decode_wanted(asked)
        cursors = self._held(number, wanted)
        if cursors:
            return {"cursors": cursors}
        fetches = self._fetches.setdefault(number, {})
        if asked not in fetches and len(fetches) >= WANTED_MAX:
            raise UsageError(
                f"{WANTED_MAX} messages are being fetched in this community already",
                code="busy",
                hint="wait for an answer, then send this again",
            )
        fetches.setdefault(asked, _Fetch(wanted)).limits[ticket] = min(limit_s, FETCH_MAX_S)
        # The note of the commit tells the responders.
        self._communities.touched.add(number)
        return None

    def wanted(self, number: int) -> list[bytes]:
        """What neighbours are to be asked for."""
        return list(self._fetches.get(number, ()))

    def committed(self, numbers: Iterable[int]) -> None:
        """The batch is durable, and has brought these communities something."""
        for number in numbers:
            for asked, fetch in list(self._fetches.get(number, {}).items()):
                cursors = self._held(number, fetch.wanted)
                if cursors:
                    self._end(number, asked, {"cursors": cursors})

    def exhaust(self, number: int, asked: bytes, neighbours: int) -> None:
        """So many neighbours were asked, all that are known, and none has given it."""
        fetch = self._fetches.get(number, {}).get(asked)
        if fetch is not None:
            self._end(number, asked, _none_has(fetch.wanted, neighbours))

    def handle_timer(self, now: float) -> None:
        """End what has waited too long; `now` in monotonic seconds."""
        for number, fetches in list(self._fetches.items()):
            for asked, fetch in list(fetches.items()):
                fetch.since = now if fetch.since is None else fetch.since
                late = [ticket for ticket, limit in fetch.limits.items() if now - fetch.since >= limit]
                if len(late) == len(fetch.limits):
                    self._end(number, asked, _not_in_time(fetch.wanted))
                    continue
                for ticket in late:
                    del fetch.limits[ticket]
                    self._outcomes.append((ticket, _not_in_time(fetch.wanted)))

    def drain_outcomes(self) -> list[Outcome]:
        """What fetches have come to."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def _end(self, number: int, asked: bytes, outcome: dict[str, Any] | UsageError) -> None:
        fetch = self._fetches[number].pop(asked)
        if not self._fetches[number]:
            del self._fetches[number]
        self._outcomes += [(ticket, outcome) for ticket in fetch.limits]
        if number in self._communities.by_number:
            self._communities.touched.add(number)

    def _held(self, number: int, wanted: Wanted) -> list[int]:
        """Cursors of what is here; of the newest it is never known whether others have newer ones."""
        if isinstance(wanted, MissingMessages):
            found = find_ids(self._store, number, wanted.ids, inactive=True)
            return [cursor for cursor in found if cursor is not None]
        if isinstance(wanted, MissingSequences):
            return find_slot(self._store, number, wanted.author, wanted.kind, wanted.low)
        return []


def _none_has(wanted: Wanted, neighbours: int) -> dict[str, Any] | UsageError:
    if isinstance(wanted, MissingLast):
        return {"cursors": []}
    who = "the only neighbour" if neighbours == 1 else f"any of {neighbours} neighbours"
    return UsageError(
        f"neither this node nor {who} has that message",
        code="message-unknown",
        hint="its author, or who has fetched it, may come later: ask again then",
    )


def _not_in_time(wanted: Wanted) -> dict[str, Any] | UsageError:
    if isinstance(wanted, MissingLast):
        return {"cursors": []}
    return UsageError(
        "this node does not hold that message, and no neighbour has given it in time",
        code="fetch-unanswered",
        hint="`dispersy peers` lists the neighbours; ask again, or wait longer",
    )
