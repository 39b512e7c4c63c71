"""Announced messages that are not here yet: whom they are asked of, and when of somebody else.

Any member may announce what does not exist. So a want goes when all who announced it have been asked in vain,
there are only so many, in all and of one announcer, and who announces many and gives none is told apart.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from heapq import heappop, heappush
from random import Random

from dispersy.protocol.address import Address
from dispersy.protocol.ways import Way, number_for
from dispersy.protocol.wire.announcements import PREFIXES_MAX, IdPrefix

WANTED_IDS_MAX = 4_096
"""Some 2 MB; what is announced beyond it is found by synchronisation."""
WANTED_PER_ANNOUNCER_MAX = 1_024
"""As many as may be new within a second under the heaviest load that this is made for."""
WANTED_OF_MAX = 8
"""Announcers of one message that are remembered: more than are asked to announce."""
ASK_AGAIN_S = 0.25
"""Without the message, until the next announcer is asked."""
VERIFYING_S = 1.0
"""After which a message that came and was not taken is asked for again: perhaps its signature was wrong."""
ANSWERS_AWAITED_MAX = 256
"""Requests whose answer is still told apart from others."""


VAIN_MAX, VAIN_AGAIN = 512, 32
"""Announced messages that one address was asked for in a row, and nobody gave, after which its announcements
are passed over for PASSED_OVER_S; and how many it may announce then until the next time."""
PASSED_OVER_S = 60.0
VAIN_ADDRESSES_MAX = 256


class Want:
    """One announced message.

    announcers  who has it and was not asked yet
    askers      who was asked, or has sent it
    due_at      when the next one is asked
    """

    __slots__ = ("announcers", "asked", "counted_to", "due_at")

    def __init__(self, announcer: Address, due_at: float) -> None:
        self.announcers = [announcer]
        self.asked: list[Address] = []
        self.counted_to = announcer
        self.due_at = due_at

    def holders(self) -> tuple[Address, ...]:
        """Who is known to have it."""
        return (*self.announcers, *self.asked)


class WantedIds:
    """One community's, bounded.

    counts    by name (workers/counters.py)
    """

    def __init__(self, *, rng: Random, counts: Counter[str]) -> None:
        self._rng = rng
        self._counts = counts
        self._wants: dict[IdPrefix, Want] = {}
        self._of: Counter[Address] = Counter()
        # One entry a want, of its moment or an earlier one: moments only move back. Those of one moment are
        # one entry, for they come by the dozen.
        self._heap: list[tuple[float, list[IdPrefix]]] = []
        self._awaited: dict[int, Address] = {}
        # Of announcers that gave nothing since: for how many in a row, and until when they are passed over.
        self._vain: OrderedDict[Address, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._wants)

    def hear(self, source: Address, prefixes: Sequence[IdPrefix], now: float, *, delay_s: float) -> None:
        """These are announced and not here; they are asked for after delay_s."""
        due_at = now + delay_s
        _, passed_over_until = self._vain.get(source, (0, now))
        if now < passed_over_until:
            self._counts["announced-in-vain"] += len(prefixes)
            return
        wants, fresh = self._wants, []
        for prefix in prefixes:
            want = wants.get(prefix)
            if want is None:
                if len(wants) >= WANTED_IDS_MAX or self._of[source] >= WANTED_PER_ANNOUNCER_MAX:
                    self._counts["announced-dropped-full"] += 1
                    continue
                wants[prefix] = Want(source, due_at)
                self._of[source] += 1
                fresh.append(prefix)
            elif (
                source not in want.announcers
                and source not in want.asked
                and len(want.announcers) + len(want.asked) < WANTED_OF_MAX
            ):
                want.announcers.append(source)
        if fresh:
            heappush(self._heap, (due_at, fresh))

    def arrive(self, source: Address, prefix: IdPrefix, now: float) -> None:
        """Its bytes have come, to be verified: nobody else is asked for now."""
        want = self._wants.get(prefix)
        if want is None:
            return
        self._vain.pop(source, None)
        want.due_at = now + VERIFYING_S
        if source in want.announcers:
            want.announcers.remove(source)
        if source not in want.asked and len(want.asked) < WANTED_OF_MAX:
            want.asked.append(source)

    def take(self, prefix: IdPrefix) -> Want | None:
        """It is here, whoever brought it: no more is wanted."""
        want = self._wants.pop(prefix, None)
        if want is not None:
            self._release(want)
        return want

    def answers(self, source: Address, number: int) -> bool:
        """Whether a messages frame from there answers one of our requests."""
        return self._awaited.get(number) == source

    def due(self, now: float) -> list[tuple[Address, int, tuple[IdPrefix, ...]]]:
        """(announcer, number, what to ask it for) of all that is to be asked now."""
        asked: dict[Address, list[IdPrefix]] = {}
        later: dict[float, list[IdPrefix]] = {}
        while self._heap and self._heap[0][0] <= now:
            for prefix in heappop(self._heap)[1]:
                want = self._wants.get(prefix)
                if want is None:
                    continue
                if want.due_at <= now:
                    if not want.announcers:
                        self._counts["announced-given-up"] += 1
                        self._release(self._wants.pop(prefix))
                        self._note_vain(want, now)
                        continue
                    source = want.announcers.pop(0)
                    want.asked.append(source)
                    want.due_at = now + ASK_AGAIN_S
                    asked.setdefault(source, []).append(prefix)
                later.setdefault(want.due_at, []).append(prefix)
        for entry in later.items():
            heappush(self._heap, entry)
        return [
            (source, self._await(source), tuple(prefixes[start : start + PREFIXES_MAX]))
            for source, prefixes in asked.items()
            for start in range(0, len(prefixes), PREFIXES_MAX)
        ]

    def _note_vain(self, want: Want, now: float) -> None:
        for source in want.asked:
            count, until = self._vain.pop(source, (0, now))
            count += 1
            if count >= VAIN_MAX:
                count, until = VAIN_MAX - VAIN_AGAIN, now + PASSED_OVER_S
            self._vain[source] = (count, until)
        while len(self._vain) > VAIN_ADDRESSES_MAX:
            self._vain.popitem(last=False)

    def next_deadline(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    def _await(self, source: Address) -> int:
        number = number_for(Way.ANNOUNCED, self._rng)
        if len(self._awaited) >= ANSWERS_AWAITED_MAX:
            del self._awaited[next(iter(self._awaited))]
        self._awaited[number] = source
        return number

    def _release(self, want: Want) -> None:
        self._of[want.counted_to] -= 1
        if not self._of[want.counted_to]:
            del self._of[want.counted_to]
