"""Who is given much at once: few, so that what one node alone has reaches the others by several ways.

Where a node holds much that hardly anybody else has, as at a bridge between two halves that were apart, all
its neighbours ask it. Were all served, each would be served slowly, and the same would leave over its one
uplink again and again. So few are, in turns; the others are told to ask again, and meanwhile find with each
other what they lack. Whoever we are getting something from ourselves is always served: it may be the only way
to the other half. And little is given to everybody.
"""

from __future__ import annotations

from collections.abc import Collection

SERVED_MAX = 4
"""Neighbours of one community that are given much at once."""
LITTLE_MAX = 64 << 10
"""Bytes in LITTLE_S that anybody is given: what a pull after a short absence takes."""
LITTLE_S = 5.0
IDLE_S = 0.5
"""Who has asked for nothing for so long has done."""
TURN_S = 5.0
"""After which one that is served makes room, where another waits."""
WAITING_S = 1.0
"""Who was refused and has not asked again for so long has found somebody else."""
TURN_WAITING_MAX = 64
"""Of whom it is kept that they wait: all that one node can have as neighbours in one community, nearly."""
SERVED_SOURCES_MAX = 1_024
"""Neighbours of which it is kept what they were given; of others allowance.py alone keeps account."""

_Key = tuple[int, bytes]

assert IDLE_S < TURN_S


class _Turn:
    """Of one that is given much."""

    __slots__ = ("asked_at", "began_at")

    def __init__(self, now: float) -> None:
        self.began_at = self.asked_at = now


class Served:
    """Of one process, by community and neighbour: its address, or what else it is counted by.

    most         neighbours of one community that are given much at once
    little_max   bytes in LITTLE_S that anybody is given
    """

    def __init__(self, *, most: int = SERVED_MAX, little_max: int = LITTLE_MAX) -> None:
        self._most = most
        self._little_max = little_max
        self._given: dict[_Key, int] = {}
        self._given_from = 0.0
        self._turns: dict[_Key, _Turn] = {}
        # Who was refused, and when last; whoever waits longest is first.
        self._waiting: dict[_Key, float] = {}

    def keep(self, communities: Collection[int]) -> None:
        """Others are not served any longer."""
        self._given = {key: size for key, size in self._given.items() if key[0] in communities}
        self._turns = {key: turn for key, turn in self._turns.items() if key[0] in communities}
        self._waiting = {key: at for key, at in self._waiting.items() if key[0] in communities}

    def charge(self, community: int, source: bytes, size: int) -> None:
        """So many bytes of answers leave for there."""
        key = community, source
        if key in self._given or len(self._given) < SERVED_SOURCES_MAX:
            self._given[key] = self._given.get(key, 0) + size

    def admits(self, community: int, source: bytes, now: float) -> bool:
        """Whether one more request from there is answered now."""
        if now >= self._given_from + LITTLE_S:
            self._given, self._given_from = {}, now
        key = community, source
        turn = self._turns.get(key)
        if turn is None:
            if self._given.get(key, 0) < self._little_max:
                return True
            if not self._has_room(key, now):
                if key in self._waiting or len(self._waiting) < TURN_WAITING_MAX:
                    self._waiting[key] = now
                return False
            self._waiting.pop(key, None)
            turn = self._turns[key] = _Turn(now)
        turn.asked_at = now
        return True

    def end(self, community: int, source: bytes) -> None:
        """It is given nothing more: its turn is another one's."""
        self._turns.pop((community, source), None)

    def _has_room(self, key: _Key, now: float) -> bool:
        """Whether there is room for this one, after turns that are over have ended."""
        community, _ = key
        for each, turn in list(self._turns.items()):
            if now >= turn.asked_at + IDLE_S or (each[0] == community and now >= turn.began_at + TURN_S):
                del self._turns[each]
        for each, asked_at in list(self._waiting.items()):
            if now >= asked_at + WAITING_S:
                del self._waiting[each]
        before = list(self._waiting)
        before = before[: before.index(key)] if key in self._waiting else before
        ahead = sum(each == community for each, _ in (*self._turns, *before))
        return ahead < self._most
