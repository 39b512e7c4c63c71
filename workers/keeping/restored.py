"""A home that was restored or copied: publishing waits until neighbours have said what it has published.

The node's keys have signed messages that its store does not know; to give their sequences away once more
would put two messages into one slot, which hides both on every node. So the workers ask every neighbour for
our newest messages (the notes tell them whose), and what neighbours answer raises the lanes' heads as any
message does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from dispersy.errors import UsageError
from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN, KIND_MAX
from dispersy.storage.keyring import Keyring
from dispersy.storage.store import CommunityRecord, StoreWriter

GRACE_S = 3.0
"""After what ends the waiting: for other neighbours, and until the messages that were sent are committed."""
HOSTS_MIN = 3
"""So many hosts must have answered before it is believed that nobody knows more: to say nothing costs a liar
nothing, and whoever answers first would decide how long the others have."""
HELD_MAX = 1_024
"""Orders that wait, as many as the gateway lets wait in all."""

AUTHORS_MAX = 16
"""Keys of ours that are asked for in one community: each costs every neighbour a look-up."""

Held = TypeVar("Held")
Warned = dict[str, Any]


class _Asking:
    """One community whose neighbours are being asked."""

    def __init__(self, authors: Sequence[bytes], due_at: float) -> None:
        self.authors = list(authors)
        self.limit_at = due_at
        self.due_at = due_at
        self.hosts: set[int] = set()


class RestoredHome(Generic[Held]):
    """What the writer waits for before it publishes; `problem` "": for nothing.

    communities    number -> (id, authors of ours in it)
    """

    def __init__(
        self,
        problem: str,
        communities: Mapping[int, tuple[bytes, Sequence[bytes]]],
        *,
        now: float,
        limit_s: float,
    ) -> None:
        self._problem = problem or "before its last start"
        self._limit_s = limit_s
        self._ids: dict[int, bytes] = {}
        self._asking: dict[int, _Asking] = {}
        self._unanswered: set[int] = set()
        self._held: deque[tuple[int, Held]] = deque()
        for number, (community_id, authors) in communities.items() if problem else ():
            self.begin(number, community_id, authors, now)

    def begin(self, number: int, community_id: bytes, authors: Sequence[bytes], now: float) -> None:
        """Ask in a community that was not served until now, though the home was restored before."""
        if number not in self._asking:
            self._ids[number] = community_id
            self._unanswered.discard(number)
            self._asking[number] = _Asking(authors, now + self._limit_s)

    @property
    def is_over(self) -> bool:
        """Whether this home may be taken for ours from now on."""
        return not self._asking

    def authors(self) -> dict[int, list[bytes]]:
        """Whom the workers are to ask for, by community."""
        return {number: asking.authors for number, asking in self._asking.items()}

    def is_expected(self, number: int) -> bool:
        """Whether messages of our own may well come back in a community: neighbours were asked for them."""
        return number in self._ids and number not in self._unanswered

    def hold(self, number: int, order: Held) -> bool:
        """Keep an order to publish until it may be done; False: it may be done now.

        raises  UsageError `busy` when too many wait
        """
        if number not in self._asking:
            return False
        if len(self._held) >= HELD_MAX:
            raise UsageError("too many publications wait", code="busy", hint="send this again in a moment")
        self._held.append((number, order))
        return True

    def receive_told(self, number: int, host: int, now: float) -> None:
        """A neighbour has said what it holds of ours; its messages, if it has any, come by themselves."""
        asking = self._asking.get(number)
        if asking is None or host in asking.hosts:
            return
        asking.hosts.add(host)
        if len(asking.hosts) == HOSTS_MIN:
            asking.due_at = min(asking.due_at, now + GRACE_S)

    def receive_own(self, number: int, now: float) -> None:
        """Messages of ours have come that were not held: nobody can make them up, and more may follow."""
        asking = self._asking.get(number)
        if asking is not None:
            asking.due_at = min(asking.limit_at, now + GRACE_S)

    def next_deadline(self) -> float | None:
        return min((asking.due_at for asking in self._asking.values()), default=None)

    def handle_timer(self, now: float) -> list[Held]:
        """End what has lasted long enough; the orders that waited for it, in their order."""
        over = {number for number, asking in self._asking.items() if asking.due_at <= now}
        for number in over:
            if not self._asking.pop(number).hosts:
                self._unanswered.add(number)
        released = [order for number, order in self._held if number in over]
        if over:
            self._held = deque((number, order) for number, order in self._held if number not in over)
        return released

    def warnings(self, now: float) -> list[Warned]:
        """For people, one a community."""
        told: list[Warned] = []
        for number, asking in self._asking.items():
            left = f"{max(0.0, asking.due_at - now):.0f} s left"
            told.append(
                self._warning(
                    number,
                    "home-restored",
                    f"this home was restored or copied ({self._problem}): asking neighbours for what it has "
                    f"published; {left}",
                    "publishing waits until then",
                )
            )
        told.extend(
            self._warning(
                number,
                "home-restored-unanswered",
                f"this home was restored or copied ({self._problem}), and no neighbour said within "
                f"{self._limit_s:.0f} s what it has published: a message may take the place of one that is "
                "known elsewhere, and then both are hidden",
                "look whether its newest messages have come back before you publish more",
            )
            for number in sorted(self._unanswered)
        )
        return told

    def _warning(self, number: int, code: str, message: str, hint: str) -> Warned:
        return {"code": code, "community": self._ids[number], "message": message, "hint": hint}


def own_authors(
    store: StoreWriter, keyring: Keyring, records: Iterable[CommunityRecord]
) -> dict[int, tuple[bytes, list[bytes]]]:
    """Who of ours may have published in these communities, as RestoredHome takes it: the member, and
    whatever other keys of the keyring have messages there."""
    keys = [key.public for key in keyring.readable()[0]]
    return {
        record.number: (
            record.community_id,
            [record.member_id, *_with_messages(store, record, keys)][:AUTHORS_MAX],
        )
        for record in records
    }


def _with_messages(store: StoreWriter, record: CommunityRecord, keys: Sequence[bytes]) -> list[bytes]:
    kinds = range(COMMUNITY_KIND_MIN, KIND_MAX + 1)
    others = (public for public in keys if public != record.member_id)
    return [
        public for public in others if any(store.heads.get(record.number, public, kind) for kind in kinds)
    ]
