"""What control messages can say: authorize, revoke, undo, settings and destroy, and what makes sense of it.

Import these from control_messages, where their bytes are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from itertools import pairwise
from typing import TypeVar

from dispersy.constants import GLOBAL_TIME_MAX, PAYLOADS_MAX, SEQUENCE_MAX
from dispersy.errors import UsageError
from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.wire.message import KEY_SIZE
from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN, KIND_MAX

PREFIX_SIZE = 16
"""Of a key in a settings' cut: which of two keys with one prefix is meant nobody can make up."""


class Permission(IntFlag):
    """What a member may do with a kind; numbers are bits on the wire."""

    PERMIT = 1
    AUTHORIZE = 2
    REVOKE = 4
    UNDO = 8
    SETTINGS = 16


ALL_PERMISSIONS = Permission(31)
Ranges = tuple[tuple[int, int], ...]
"""Sequences, both ends inclusive; ascending, and neither overlapping nor adjacent."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Permissions for one kind that an authorize gives a member."""

    member: MemberId
    kind: int
    permissions: Permission


@dataclass(frozen=True, slots=True)
class Authorize:
    """Grants, ascending by (member, kind)."""

    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class PairRanges:
    """Sequences of a lane that a member shares with another.

    role  0: the member is the first author, 1: the second
    """

    other: MemberId
    role: int
    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Permissions for one kind that a revoke takes from a member, and the pin: what goes on counting.

    heads    ids of the member's control messages, ascending; with all that they reach over `previous`
    ranges   of the member's own lane; ranges and pairs only with PERMIT
    pairs    of the lanes shared with others, ascending by (other, role)
    """

    member: MemberId
    kind: int
    permissions: Permission
    heads: tuple[MessageId, ...] = ()
    ranges: Ranges = ()
    pairs: tuple[PairRanges, ...] = ()


@dataclass(frozen=True, slots=True)
class Revoke:
    """Withdrawals, ascending by (member, kind)."""

    withdrawals: tuple[Withdrawal, ...]


@dataclass(frozen=True, slots=True)
class Undo:
    """Takes back one payload of a message, or, without an index, all of it."""

    target: MessageId
    kind: int
    global_time: int
    index: int | None = None


@dataclass(frozen=True, slots=True)
class AuthorRanges:
    """Sequences that go on counting in the lanes of all authors whose keys begin so."""

    prefix: bytes
    ranges: Ranges


@dataclass(frozen=True, slots=True)
class PairCut:
    """The same for the lanes of two authors in this order, by the beginnings of their keys."""

    first: bytes
    second: bytes
    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Settings:
    """From now on a kind of dynamic resolution is linear, or public.

    cut, pair_cut  linear only: what goes on counting of what was public; ascending by key
    continues      the settings whose cut this one adds to, where one message cannot hold it all
    """

    kind: int
    is_linear: bool
    cut: tuple[AuthorRanges, ...] = ()
    pair_cut: tuple[PairCut, ...] = ()
    continues: MessageId | None = None


@dataclass(frozen=True, slots=True)
class Destroy:
    """The end of a community: hard removes all of it, soft takes nothing later."""

    is_hard: bool


_Key = TypeVar("_Key", bytes, tuple[bytes, int], tuple[bytes, bytes])
Body = Authorize | Revoke | Undo | Settings | Destroy


def check_body(body: Body) -> None:
    """Whether a body makes sense and is in its one form.

    raises  UsageError control-malformed, control-not-canonical
    """
    match body:
        case Authorize(grants):
            demand(bool(grants), "an authorize grants something")
            for grant in grants:
                _check_power(grant.member, grant.kind, grant.permissions)
            _ascending([(grant.member, grant.kind) for grant in grants], "grants")
        case Revoke(withdrawals):
            demand(bool(withdrawals), "a revoke withdraws something")
            for withdrawal in withdrawals:
                _check_withdrawal(withdrawal)
            _ascending([(each.member, each.kind) for each in withdrawals], "withdrawals")
        case Undo(target, kind, global_time, index):
            _check_size(target, KEY_SIZE, "the target's id")
            _check_kind(kind)
            demand(1 <= global_time <= GLOBAL_TIME_MAX, f"{global_time} is no global time")
            demand(index is None or 0 <= index < PAYLOADS_MAX, f"{index} is no payload's index")
        case Settings():
            _check_settings(body)
        case Destroy():
            pass


def _check_power(member: bytes, kind: int, permissions: int) -> None:
    _check_size(member, KEY_SIZE, "a member")
    _check_kind(kind)
    demand(1 <= permissions <= ALL_PERMISSIONS, f"{permissions} is no set of permissions: 1 to 31")


def _check_withdrawal(withdrawal: Withdrawal) -> None:
    _check_power(withdrawal.member, withdrawal.kind, withdrawal.permissions)
    for head in withdrawal.heads:
        _check_size(head, KEY_SIZE, "a head")
    _ascending(withdrawal.heads, "heads")
    pins_data = bool(withdrawal.ranges or withdrawal.pairs)
    demand(
        not pins_data or bool(withdrawal.permissions & Permission.PERMIT),
        "only a withdrawal of permit pins sequences",
    )
    _check_ranges(withdrawal.ranges)
    for pair in withdrawal.pairs:
        _check_size(pair.other, KEY_SIZE, "another author")
        demand(pair.role in (0, 1), f"role {pair.role} is neither 0 nor 1")
        _check_named(pair.ranges)
    _ascending([(pair.other, pair.role) for pair in withdrawal.pairs], "pairs")


def _check_settings(settings: Settings) -> None:
    _check_kind(settings.kind)
    if settings.continues is not None:
        _check_size(settings.continues, KEY_SIZE, "the settings' id that is continued")
    says_cut = bool(settings.cut or settings.pair_cut or settings.continues is not None)
    demand(settings.is_linear or not says_cut, "only settings to linear carry a cut")
    for author in settings.cut:
        _check_size(author.prefix, PREFIX_SIZE, "the beginning of an author's key")
        _check_named(author.ranges)
    _ascending([author.prefix for author in settings.cut], "authors")
    for pair in settings.pair_cut:
        for prefix in (pair.first, pair.second):
            _check_size(prefix, PREFIX_SIZE, "the beginning of an author's key")
        _check_named(pair.ranges)
    _ascending([(pair.first, pair.second) for pair in settings.pair_cut], "pairs")


def demand(holds: bool, text: str) -> None:
    """UsageError control-malformed unless it holds."""
    if not holds:
        raise UsageError(text, code="control-malformed")


def _check_size(key: bytes, size: int, what: str) -> None:
    demand(len(key) == size, f"{what} has {size} bytes, not {len(key)}")


def _check_kind(kind: int) -> None:
    demand(
        COMMUNITY_KIND_MIN <= kind <= KIND_MAX,
        f"kind {kind} is outside {COMMUNITY_KIND_MIN} to {KIND_MAX}",
    )


def _check_named(ranges: Ranges) -> None:
    """Of an entry that is there only to name sequences: without any it would say nothing."""
    demand(bool(ranges), "an author or pair without sequences is left out")
    _check_ranges(ranges)


def _check_ranges(ranges: Ranges) -> None:
    for low, high in ranges:
        demand(1 <= low <= high <= SEQUENCE_MAX, f"[{low}, {high}] is no range of sequences")
    for (_, high), (low, _) in pairwise(ranges):
        if low <= high + 1:
            _not_canonical("ranges of sequences must ascend with a gap between them")


def _ascending(keys: Sequence[_Key], what: str) -> None:
    if any(first >= second for first, second in pairwise(keys)):
        _not_canonical(f"{what} must ascend, none twice")


def _not_canonical(text: str) -> None:
    raise UsageError(text, code="control-not-canonical")
