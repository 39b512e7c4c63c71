"""Goal: a pin names all that is live here, in as few messages as hold it, and says so where it cannot."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from dispersy.errors import UsageError
from dispersy.ext.wire import encode_message
from dispersy.protocol.identifiers import CommunityId, MemberId, MessageId
from dispersy.protocol.permissions.control_messages import (
    Authorize,
    AuthorRanges,
    Grant,
    PairCut,
    PairRanges,
    Permission,
    Revoke,
    Settings,
    Withdrawal,
    encode_body,
)
from dispersy.protocol.wire.message import NO_PREVIOUS, read_message
from dispersy.protocol.wire.numbers import ControlKind, MessageFlag
from dispersy.storage.memory_store import MemoryStore
from dispersy.storage.store import Batch, CommunityRecord
from dispersy.workers.governing.pins import (
    control_chain,
    cut_of,
    fits,
    heads_of,
    in_portions,
    ranges_of,
    revokes_of,
    settings_of,
    withdrawal_of,
)
from tests.unit.gateway_house import block_of

COMMUNITY = CommunityId(bytes([9]) * 32)
ALICE, BOB, CAROL = (MemberId(bytes([number]) * 32) for number in (1, 2, 3))
PAGE = 64
NUMBER = 1


class House:
    """A store with one community; messages come as an intake would bring them."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.store.commit(Batch(communities=[CommunityRecord(NUMBER, COMMUNITY, "wiki", ALICE)]))
        self._time = 0

    def write(self, *authors: MemberId, sequence: int, kind: int = PAGE) -> int:
        """A live data message; its cursor."""
        self._time += 1
        flags = MessageFlag.TWO_AUTHORS if len(authors) == 2 else 0
        unsigned = encode_message(kind, flags, b"".join(authors), b"", self._time, sequence, b"", b"", [b"x"])
        return self._store(unsigned + bytes(64 * len(authors)))

    def govern(self, author: MemberId, previous: MessageId, *, time: int = 0) -> MessageId:
        """A live control message; its id."""
        self._time += 1
        payload = encode_body(Authorize((Grant(BOB, PAGE, Permission.PERMIT),)))
        unsigned = encode_message(
            ControlKind.AUTHORIZE,
            0,
            author,
            b"",
            time or self._time,
            self._time,
            previous,
            b"",
            [payload],
        )
        message = unsigned + bytes(64)
        self._store(message)
        return read_message(COMMUNITY, message).id

    def _store(self, message: bytes) -> int:
        block = block_of(NUMBER, COMMUNITY, [message])
        self.store.heads.advance_many(block.records, block.arena, NUMBER, b"\1")
        return self.store.commit(Batch(blocks=[block]))[0]

    def withdrawal(self, member: MemberId, *, is_double: bool = False) -> Withdrawal:
        return withdrawal_of(
            self.store,
            NUMBER,
            member=member,
            kind=PAGE,
            permissions=Permission.PERMIT,
            chain=control_chain(self.store, NUMBER, COMMUNITY, member),
            is_double=is_double,
        )


def test_sequences_become_ranges() -> None:
    """Two messages in one slot are one sequence."""
    assert ranges_of([]) == ()
    assert ranges_of([1, 2, 2, 3, 7, 9, 10]) == ((1, 3), (7, 7), (9, 10))


def test_a_pin_names_what_is_live_and_nothing_else() -> None:
    """Not what was denied, nor what others wrote, nor the member's messages of other kinds."""
    house = House()
    for sequence in (1, 2, 3, 5):
        house.write(BOB, sequence=sequence)
    house.write(CAROL, sequence=8)
    house.write(BOB, sequence=9, kind=PAGE + 1)
    house.store.commit(Batch(unlive=[house.write(BOB, sequence=4)]))
    assert house.withdrawal(BOB).ranges == ((1, 3), (5, 5))
    assert house.withdrawal(BOB).pairs == ()


def test_a_pin_of_a_kind_with_two_authors_names_both_places() -> None:
    """What the member signed first, and what it signed second, apart and by the other one."""
    house = House()
    house.write(BOB, CAROL, sequence=1)
    house.write(BOB, CAROL, sequence=2)
    house.write(CAROL, BOB, sequence=7)
    house.write(ALICE, CAROL, sequence=1)
    pin = house.withdrawal(BOB, is_double=True)
    assert pin.ranges == ()
    assert pin.pairs == (PairRanges(CAROL, 0, ((1, 2),)), PairRanges(CAROL, 1, ((7, 7),)))


def test_heads_are_the_ends_of_every_branch() -> None:
    """Who governs from two places has two; what is not live is no head, and uncovers the one before."""
    house = House()
    first = house.govern(BOB, NO_PREVIOUS)
    second, other = house.govern(BOB, first), house.govern(BOB, first)
    third = house.govern(BOB, second)
    house.govern(CAROL, NO_PREVIOUS)
    chain = control_chain(house.store, NUMBER, COMMUNITY, BOB)
    assert [link.id for link in chain] == [first, second, other, third]
    assert heads_of(chain) == tuple(sorted((third, other)))
    assert house.withdrawal(BOB).heads == tuple(sorted((third, other)))
    (cursor,) = house.store.find_ids(third)
    assert cursor is not None
    house.store.commit(Batch(unlive=[cursor]))
    assert house.withdrawal(BOB).heads == tuple(sorted((second, other)))


def holes(count: int, first: int = 1) -> tuple[tuple[int, int], ...]:
    """So many ranges with gaps between them."""
    return tuple((first + 10 * index, first + 10 * index + 3) for index in range(count))


def pinned(member: MemberId, ranges: tuple[tuple[int, int], ...]) -> Withdrawal:
    return Withdrawal(member, PAGE, Permission.PERMIT, (), ranges)


def test_withdrawals_share_messages_as_far_as_they_fit() -> None:
    """In the order that the wire wants, none lost and none split."""
    members = [MemberId(bytes([number]) * 32) for number in range(60)]
    withdrawals = [pinned(member, holes(20)) for member in members]
    Random(1).shuffle(withdrawals)
    revokes = revokes_of(withdrawals, force=False)
    assert 1 < len(revokes) < len(members)
    assert [each.member for revoke in revokes for each in revoke.withdrawals] == members
    for revoke, following in pairwise(revokes):
        assert encode_body(revoke)
        assert not fits(Revoke((*revoke.withdrawals, following.withdrawals[0])))


def test_a_pin_that_does_not_fit_is_refused_and_forced_to_the_newest() -> None:
    """Whoever revokes decides whether the oldest may go."""
    ranges = holes(2_000, 10**15)
    with pytest.raises(UsageError, match="2000 ranges") as raised:
        revokes_of([pinned(BOB, ranges)], force=False)
    assert raised.value.code == "pin-too-long"
    ((kept,),) = [revoke.withdrawals for revoke in revokes_of([pinned(BOB, ranges)], force=True)]
    assert 20 < len(kept.ranges) < 200
    assert kept.ranges == ranges[-len(kept.ranges) :]


def test_a_pin_is_forced_to_fit_whatever_is_too_much() -> None:
    """Heads, and lanes shared with many, too."""
    keys = [bytes([number]) * 32 for number in range(200)]
    pairs = tuple(PairRanges(MemberId(key), 0, ((1, 9), (20, 30))) for key in keys)
    many = Withdrawal(BOB, PAGE, Permission.PERMIT, (MessageId(keys[0]),), (), pairs)
    (revoke,) = revokes_of([many], force=True)
    assert 5 < len(revoke.withdrawals[0].pairs) < 200
    assert revoke.withdrawals[0].heads == many.heads
    forked = Withdrawal(BOB, PAGE, Permission.PERMIT, tuple(map(MessageId, keys)), ((1, 9),))
    (revoke,) = revokes_of([forked], force=True)
    assert 5 < len(revoke.withdrawals[0].heads) < 200
    assert revoke.withdrawals[0].ranges == ((1, 9),)


def test_a_cut_names_every_author_of_what_is_live() -> None:
    """By the beginning of the key; pairs apart, in their order."""
    house = House()
    for author in (CAROL, BOB):
        house.write(author, sequence=1)
    house.write(BOB, sequence=2)
    house.write(BOB, CAROL, sequence=4)
    house.store.commit(Batch(unlive=[house.write(ALICE, sequence=1)]))
    single, double = cut_of(house.store, NUMBER, PAGE)
    assert single == [AuthorRanges(BOB[:16], ((1, 2),)), AuthorRanges(CAROL[:16], ((1, 1),))]
    assert double == [PairCut(BOB[:16], CAROL[:16], ((4, 4),))]
    assert cut_of(house.store, NUMBER, PAGE + 1) == ([], [])


def test_a_cut_goes_over_as_many_messages_as_it_takes() -> None:
    """Each fits, all but the first continue, and together they name the whole cut and nothing else."""
    rng = Random(7)
    single = [
        AuthorRanges(bytes([number]) * 16, holes(rng.choice((1, 3, 200)), rng.randint(1, 10**15)))
        for number in range(100)
    ]
    double = [PairCut(bytes([number]) * 16, bytes(16), holes(40)) for number in range(100)]
    parts = settings_of(PAGE, single, double)
    assert len(parts) > 10
    assert [part.continues is None for part in parts] == [True] + [False] * (len(parts) - 1)
    named: dict[bytes, list[tuple[int, int]]] = {}
    for part in parts:
        assert part.is_linear
        assert encode_body(part)
        for author in part.cut:
            named.setdefault(author.prefix, []).extend(author.ranges)
        for pair in part.pair_cut:
            named.setdefault(pair.first + pair.second, []).extend(pair.ranges)
    wanted = {each.prefix: list(each.ranges) for each in single}
    wanted |= {each.first + each.second: list(each.ranges) for each in double}
    assert named == wanted


def test_nothing_to_keep_is_one_message() -> None:
    """Nobody has written: then nothing is cut off, whatever is found later is."""
    assert settings_of(PAGE, [], []) == [Settings(PAGE, is_linear=True)]


def test_portions_hold_what_fits() -> None:
    """None is empty, none is split, in order."""
    assert in_portions([3, 3, 3, 9, 1], lambda part: sum(part) <= 7) == [(3, 3), (3,), (9,), (1,)]
    assert in_portions([], bool) == []
