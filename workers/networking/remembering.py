"""The file `neighbours` in the home: where neighbours answered, for the next start of this node.

It is for this node alone and said to nobody. Losing it costs nothing but the way back where the bootstrap is
gone, so it is written now and then, whole or not at all, and neither waited for nor repaired: what cannot be
read is as good as none.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from time import time
from typing import Protocol

import msgspec

from dispersy.errors import UsageError
from dispersy.protocol.address import format_address, parse_address
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.walk.remembered import REMEMBERED_MAX, Remembered, RememberedNeighbours

NEIGHBOURS_NAME = "neighbours"
MEMBER_ID_SIZE = 32
FIRST_SAVE_S, SAVE_S = 10.0, 600.0
"""From a start until the first are written, and between two writings: a node that is killed loses so much."""
COMMUNITIES_MAX = 4_096
"""That are kept, of some 2 KB each; of further ones the bootstrap has to do."""
RENEWED_S = 86_400.0
"""After which it is written in any case: it also says when somebody was heard last."""
FILE_SIZE_MAX = COMMUNITIES_MAX * REMEMBERED_MAX * 256


class _Neighbour(msgspec.Struct, frozen=True):
    """heard_at in unix seconds; vain as remembered.py says."""

    address: str
    member: str
    heard_at: int
    vain: int = 0


class _File(msgspec.Struct, frozen=True):
    """Neighbours by the 64 hex digits of their community."""

    communities: dict[str, list[_Neighbour]]


class Community(Protocol):
    """Whose neighbours are remembered."""

    def remember(self, unix_now: int, now: float) -> bool:
        """Note who answers; whether others are noted now than before."""


class Remembering:
    """One a node, in the network role.

    home       folder of the file
    counters   of the role
    unix_time  what the wall clock shows
    """

    def __init__(
        self,
        home: Path,
        *,
        counters: Counter[str],
        now: float,
        unix_time: Callable[[], float] = time,
    ) -> None:
        self._path = home / NEIGHBOURS_NAME
        self._counters = counters
        self._unix_time = unix_time
        self._stored = self._read()
        self._known: dict[bytes, RememberedNeighbours] = {}
        self._is_changed = False
        self._save_at, self._renew_at = now + FIRST_SAVE_S, now + RENEWED_S

    def of(self, community_id: bytes, now: float) -> RememberedNeighbours:
        """What is remembered of one community; the same object each time."""
        known = self._known.get(community_id)
        if known is None:
            stored = self._stored.pop(community_id, [])
            known = RememberedNeighbours(stored, unix_now=int(self._unix_time()), now=now)
            self._known[community_id] = known
        return known

    def note(self, communities: Iterable[Community], now: float) -> None:
        """Who answers in these communities."""
        unix_now = int(self._unix_time())
        for each in communities:
            self._is_changed |= each.remember(unix_now, now)

    def keep(self, communities: Collection[bytes]) -> None:
        """Forget all others: they were left."""
        for known in (self._stored, self._known):
            for community_id in known.keys() - communities:
                del known[community_id]
                self._is_changed = True

    def is_due(self, now: float) -> bool:
        """Whether it is time to note who answers, and to save()."""
        return now >= self._save_at

    def save(self, now: float) -> None:
        """Write what is known, if that is news; a disk that refuses is counted, and asked again later."""
        if not self._is_changed and now < self._renew_at:
            self._save_at = now + FIRST_SAVE_S
            return
        self._save_at, self._renew_at = now + SAVE_S, now + RENEWED_S
        remembered: dict[bytes, Iterable[Remembered]] = {**self._stored, **self._known}
        communities = {
            community_id.hex(): [
                _Neighbour(format_address(each.address), each.member.hex(), each.heard_at, each.vain)
                for each in remembered[community_id]
            ]
            for community_id in list(remembered)[:COMMUNITIES_MAX]
        }
        content = msgspec.json.format(msgspec.json.encode(_File(communities)), indent=1)
        fresh = self._path.with_suffix(".new")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.replace(fresh, self._path)
        except OSError:
            self._counters["neighbours-unwritten"] += 1
        else:
            self._is_changed = False

    def _read(self) -> dict[bytes, list[Remembered]]:
        try:
            with self._path.open("rb") as file:
                content = file.read(FILE_SIZE_MAX + 1)
            if len(content) > FILE_SIZE_MAX:
                raise ValueError("longer than any that is written")
            stored = msgspec.json.decode(content, type=_File).communities
            return {
                bytes.fromhex(community): [_remembered(each) for each in neighbours]
                for community, neighbours in stored.items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, UsageError, msgspec.MsgspecError):
            self._counters["neighbours-unreadable"] += 1
            return {}


def _remembered(stored: _Neighbour) -> Remembered:
    """Raises ValueError or UsageError for what is neither an address nor a member."""
    member = bytes.fromhex(stored.member)
    if len(member) != MEMBER_ID_SIZE:
        raise ValueError(f"{stored.member} is no member")
    return Remembered(MemberId(member), parse_address(stored.address), stored.heard_at, stored.vain)
