"""Answers that are worked off in turn, a few datagrams at a time, so that nobody's answer makes others wait
long.

Neighbours take turns; what one of them has asked of a community is answered in the order in which it asked,
so that its messages come in their order and an answer is whole before the next one begins.

A responder has two of these: one for what synchronisation asks for, one for fragments of large messages, each
served in turn. So large messages take what time is left, and make small ones wait for one such step at most.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection
from typing import Protocol

from dispersy.constants import (
    ANSWERS_MAX,
    ANSWERS_PER_SOURCE_MAX,
    ASSEMBLY_SIZE_PER_SOURCE_MAX,
    FRAGMENT_SIZE,
    FRAGMENTS_PER_REQUEST_MAX,
)
from dispersy.protocol.address import Address
from dispersy.protocol.hosts import host_of

STEP_DATAGRAMS = 16
ANSWERS_PER_HOST_MAX = 64
"""Sync-requests of one host worked off at once; to more the answer is busy."""
FRAGMENT_ANSWERS_MAX = 128
FRAGMENT_ANSWERS_PER_HOST_MAX = 64
FRAGMENT_ANSWERS_PER_SOURCE_MAX = 32
"""The same of fragment-requests, which are many and short. Each that is begun has its message in memory: 8
MiB in all."""

_FRAGMENTS_PER_SOURCE_MAX = FRAGMENT_ANSWERS_PER_SOURCE_MAX * FRAGMENTS_PER_REQUEST_MAX
assert _FRAGMENTS_PER_SOURCE_MAX * FRAGMENT_SIZE >= ASSEMBLY_SIZE_PER_SOURCE_MAX


class Stepped(Protocol):
    """An answer that is produced in steps, from the store as it is then.

    examined   ids looked at so far
    """

    finished: bool

    @property
    def examined(self) -> int: ...

    def frames(self, datagrams: int) -> list[bytes]:
        """The frames of up to so many datagrams more."""


class AnswersInWork:
    """Of one sort; who owns it gives it turns with the store refreshed."""

    def __init__(self, *, in_all: int, per_host: int, per_source: int) -> None:
        self._in_all = in_all
        self._per_host = per_host
        self._per_source = per_source
        self._answers: OrderedDict[tuple[int, Address], deque[Stepped]] = OrderedDict()
        """By community and asker, whose turn is next first."""

    @classmethod
    def of_sync_requests(cls) -> AnswersInWork:
        return cls(in_all=ANSWERS_MAX, per_host=ANSWERS_PER_HOST_MAX, per_source=ANSWERS_PER_SOURCE_MAX)

    @classmethod
    def of_fragment_requests(cls) -> AnswersInWork:
        return cls(
            in_all=FRAGMENT_ANSWERS_MAX,
            per_host=FRAGMENT_ANSWERS_PER_HOST_MAX,
            per_source=FRAGMENT_ANSWERS_PER_SOURCE_MAX,
        )

    def __bool__(self) -> bool:
        """Whether there is something to do."""
        return bool(self._answers)

    def keep(self, communities: Collection[int]) -> None:
        """Others are not served any longer."""
        for key in [key for key in self._answers if key[0] not in communities]:
            del self._answers[key]

    def admits(self, community: int, source: Address, *, of_community_max: int | None = None) -> bool:
        """Whether one more request of this address may be worked off."""
        waiting = [(number, asker, len(answers)) for (number, asker), answers in self._answers.items()]
        own = sum(count for number, _, count in waiting if number == community)
        host = host_of(source)
        of_host = [count for _, asker, count in waiting if host is not None and host_of(asker) == host]
        return (
            sum(count for _, _, count in waiting) < self._in_all
            and (of_community_max is None or own < of_community_max)
            and sum(count for _, asker, count in waiting if asker == source) < self._per_source
            and sum(of_host) < self._per_host
        )

    def add(self, community: int, source: Address, answer: Stepped) -> None:
        """One more, that was admitted."""
        self._answers.setdefault((community, source), deque()).append(answer)

    def step(self) -> tuple[int, Address, list[bytes], int]:
        """A few datagrams of whose turn it is: community, to whom, the frames of one each, and how many ids
        were looked at for them."""
        (community, source), answers = self._answers.popitem(last=False)
        answer = answers[0]
        before = answer.examined
        try:
            frames = answer.frames(STEP_DATAGRAMS)
            examined = answer.examined - before
            is_over = answer.finished
        except KeyError:
            # Purged meanwhile, and the note of it is still on its way.
            frames, examined, is_over = [], 0, True
        if is_over:
            answers.popleft()
        if answers:
            self._answers[community, source] = answers
        return community, source, frames, examined
