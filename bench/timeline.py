"""Verdicts on who may write per second beside signatures checked; what one more grant or a late revoke costs.

A founder gives ten seniors everything; they give 990 members the right to write, ten times over: some 10,000
grants in messages of 20. Envelope: a verdict on a member that no revoke names is one look into a hash table,
a cache miss of some 100 ns, where a signature takes 60 us or more; so two orders of magnitude are to be had,
and 20 times is what the pipeline needs to forget about it. A revoked member takes a closer look in Python,
some ten microseconds, for nobody but those few. What settle() judges again are the claims of whose powers
changed: the cost must not depend on how many grants others hold, and be the same with a tenth of the members.

A late revoke in a store on disk reads, judges and takes out the 1,000 messages of its lane, each at a place
of its own in log and order: some 4,000 pages touched and one synchronisation, whatever else is stored; so the
same within the depth of two trees.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from harness import Bench, Series
from late_revoke import LANE, StoredCommunity
from verify import check, make_corpus

from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.permissions.control_messages import (
    Authorize,
    Body,
    ControlMessage,
    Grant,
    Permission,
    Revoke,
    Withdrawal,
    control_kind,
)
from dispersy.protocol.permissions.timeline import Timeline
from dispersy.protocol.wire.message import NO_PREVIOUS
from dispersy.protocol.wire.records import MESSAGE

KIND = 64
MEMBERS = [MemberId(sha256(b"bench member %d" % number).digest()) for number in range(1_001)]
MASTER, SENIORS, WRITERS = MEMBERS[0], MEMBERS[1:11], MEMBERS[11:]
TIMES = 10
GRANTS_PER_MESSAGE = 20
LATER = 1 << 20
VERDICTS_GOAL = 20.0
GROWTH_GOAL = 2.0
LATE_REVOKE_GOAL = 3.0
SETTLES = 99
"""Of one kind in a sample, of which the median counts."""


class Community:
    """A timeline in which each of these was granted the right to write so many times."""

    def __init__(self, writers: list[MemberId], *, times: int = TIMES) -> None:
        self.timeline = Timeline(MASTER)
        self.timeline.set_resolution(KIND, "linear")
        self._numbers = itertools.count(1)
        self.say(MASTER, Authorize(tuple(Grant(each, KIND, Permission(31)) for each in sorted(SENIORS))))
        granted = itertools.cycle(writers)
        for number in range(len(writers) * times // GRANTS_PER_MESSAGE):
            members = sorted(next(granted) for _ in range(GRANTS_PER_MESSAGE))
            said = Authorize(tuple(Grant(each, KIND, Permission.PERMIT) for each in members))
            self.say(SENIORS[number % len(SENIORS)], said)
        self.timeline.settle()

    def say(self, author: MemberId, body: Body) -> ControlMessage:
        number = next(self._numbers)
        message_id = MessageId(sha256(b"bench control %d" % number).digest())
        message = ControlMessage(message_id, author, control_kind(body), number, NO_PREVIOUS, body)
        self.timeline.add(message)
        return message

    def settle_each(self, author: MemberId, bodies: list[Body]) -> float:
        """Median seconds that one message and its settle() take, each taken back before the next."""
        taken = []
        for body in bodies:
            start = time.perf_counter()
            message = self.say(author, body)
            self.timeline.settle()
            taken.append(time.perf_counter() - start)
            self.timeline.discard(message.id)
            self.timeline.settle()
        return statistics.median(taken)


def make_batch(authors: list[MemberId], count: int) -> tuple[bytes, bytes]:
    """Records and arena of later messages by these authors in turn, with what a verdict reads."""
    records, arena = [], []
    for index in range(count):
        message = bytes((KIND, 0)) + authors[index % len(authors)]
        fields = (
            index * len(message),
            len(message),
            LATER + index,
            index + 1,
            len(message),
            KIND,
            0,
            1,
            1,
            0,
            0,
        )
        records.append(MESSAGE.pack(*fields, bytes(32), bytes(32)))
        arena.append(message)
    return b"".join(records), b"".join(arena)


def judge(timeline: Timeline, records: bytes, arena: bytes) -> int:
    """Permitted ones of a batch: most are judged together, and one by one what takes a closer look."""
    permitted = 0
    for index, verdict in enumerate(timeline.permits.judge(records, arena)):
        if verdict == 2:
            fields = MESSAGE.unpack_from(records, index * MESSAGE.size)
            author = MemberId(arena[fields[0] + 2 : fields[0] + 34])
            permitted += timeline.is_permitted((author,), fields[5], fields[2], fields[3])
        else:
            permitted += verdict
    return permitted


def withdraw(member: MemberId, pinned: int) -> Body:
    """A revoke of all permissions that keeps the first sequences."""
    return Revoke((Withdrawal(member, KIND, Permission(31), (), ((1, pinned),)),))


def main() -> int:
    bench = Bench("timeline", __doc__)
    count = bench.size(100_000, short=5_000)
    community, smaller = Community(WRITERS), Community(WRITERS[:99])
    revoked = WRITERS[: len(WRITERS) // 2]
    with_revokes = Community(WRITERS)
    for member in revoked:
        with_revokes.say(MASTER, withdraw(member, count))
    with_revokes.timeline.settle()
    batch, closer = make_batch(WRITERS, count), make_batch(revoked, count)
    assert judge(community.timeline, *batch) == judge(with_revokes.timeline, *closer) == count
    corpus = make_corpus(bench.size(2_000, short=500), authors=500)
    more: list[Body] = [Authorize((Grant(each, KIND, Permission.PERMIT),)) for each in WRITERS[:SETTLES]]
    one: list[Body] = [withdraw(each, 5) for each in WRITERS[:SETTLES]]
    senior: list[Body] = [withdraw(SENIORS[0], 5)]
    times = bench.interleave(
        {
            "signatures": lambda: check(corpus),
            "verdicts": lambda: judge(community.timeline, *batch) and None,
            "closer": lambda: judge(with_revokes.timeline, *closer) and None,
            "grant": lambda: community.settle_each(MASTER, more),
            "grant, fewer": lambda: smaller.settle_each(MASTER, more),
            "revoke": lambda: community.settle_each(MASTER, one),
            "revoke, fewer": lambda: smaller.settle_each(MASTER, one),
            "senior": lambda: community.settle_each(MASTER, senior),
        },
        short=3,
    )
    signatures = times["signatures"].rate(len(corpus.messages))
    verdicts, closer_looks = times["verdicts"].rate(count), times["closer"].rate(count)
    bench.figure("signatures checked, 500 authors", signatures, unit="signatures/s")
    bench.figure("verdicts, 990 members with ten grants each", verdicts, unit="verdicts/s")
    bench.figure("verdicts on members that were revoked", closer_looks, unit="verdicts/s")
    for name, what in (
        ("grant", "one more grant"),
        ("revoke", "a late revoke of a member"),
        ("senior", "a late revoke of a senior, who gave a tenth of all grants"),
    ):
        bench.figure(what, Series(tuple(1e3 * each for each in times[name].samples)), unit="ms")
    bench.at_least("verdicts / signatures", verdicts.over(signatures), VERDICTS_GOAL)
    bench.figure("the same, members that were revoked", closer_looks.over(signatures), unit="times")
    bench.at_most(
        "a grant among all / among a tenth of the members",
        times["grant"].over(times["grant, fewer"]),
        GROWTH_GOAL,
    )
    bench.at_most(
        "a revoke among all / among a tenth of the members",
        times["revoke"].over(times["revoke, fewer"]),
        GROWTH_GOAL,
    )
    measure_late_revokes(bench)
    return bench.finish()


def measure_late_revokes(bench: Bench) -> None:
    """A revoke that touches one lane of a small and of a large stored community."""
    few, many = 10_000, bench.size(1_000_000, short=50_000)
    with TemporaryDirectory(prefix="bench-timeline-") as folder:
        small, large = StoredCommunity(Path(folder, "few"), few), StoredCommunity(Path(folder, "many"), many)
        times = bench.interleave({"few": small.revoke_next, "many": large.revoke_next}, short=3)
        small.close()
        large.close()
    for name, stored in (("few", few), ("many", many)):
        what = f"a late revoke of {LANE:,} of {stored:,} stored messages"
        bench.figure(what, Series(tuple(1e3 * each for each in times[name].samples)), unit="ms")
    bench.at_most(f"the same, {many:,} / {few:,} stored", times["many"].over(times["few"]), LATE_REVOKE_GOAL)


if __name__ == "__main__":
    sys.exit(main())
