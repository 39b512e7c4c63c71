"""Answers that are worked off in turn, a few datagrams at a time, so that nobody's answer makes others wait
long.

A responder has two of these: one for what synchronisation asks for, one for fragments of large messages, each
served in turn. So large messages take what time is left, and make small ones wait for one such step at most.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Protocol

from dispersy.constants import (
    ANSWERS_MAX,
    ASSEMBLY_SIZE_PER_SOURCE_MAX,
    FRAGMENT_SIZE,
    FRAGMENTS_PER_REQUEST_MAX,
)
from dispersy.protocol.address import Address
from dispersy.protocol.hosts import host_of

STEP_DATAGRAMS = 16
ANSWERS_PER_HOST_MAX = 32
ANSWERS_PER_SOURCE_MAX = 16
"""Sync-requests worked off at once, of one host and of one address; to more the answer is busy. An asker has
about ten small ones under way at once, so that some four transfers are served at once."""
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
        self._answers: deque[tuple[int, Address, Stepped]] = deque()

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
        self._answers = deque(each for each in self._answers if each[0] in communities)

    def admits(self, community: int, source: Address, *, of_community_max: int | None = None) -> bool:
        """Whether one more request of this address may be worked off."""
        own = sum(number == community for number, _, _ in self._answers)
        askers = [asker for _, asker, _ in self._answers]
        host = host_of(source)
        return (
            len(askers) < self._in_all
            and (of_community_max is None or own < of_community_max)
            and askers.count(source) < self._per_source
            and (host is None or sum(host_of(asker) == host for asker in askers) < self._per_host)
        )

    def add(self, community: int, source: Address, answer: Stepped) -> None:
        """One more, that was admitted."""
        self._answers.append((community, source, answer))

    def step(self) -> tuple[int, Address, list[bytes], int]:
        """A few datagrams of the oldest: community, to whom, the frames of one each, and how many ids were
        looked at for them."""
        community, source, answer = self._answers.popleft()
        examined = answer.examined
        try:
            frames = answer.frames(STEP_DATAGRAMS)
        except KeyError:
            return community, source, [], 0  # Purged meanwhile, and the note of it is still on its way.
        if not answer.finished:
            self._answers.append((community, source, answer))
        return community, source, frames, answer.examined - examined
