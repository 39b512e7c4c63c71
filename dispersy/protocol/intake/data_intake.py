"""The data part of the intake: which messages are admitted, permitted, in order; lanes that need a look.

Messages that are permitted and in order, nearly all, are decided by kernels without Python touching them
one by one. What the kernels cannot decide is looked at closer, lane by lane, when the round ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from operator import gt, not_
from typing import Protocol

from dispersy.ext.table import CLOSER
from dispersy.ext.wire import split_payloads
from dispersy.protocol.identifiers import CommunityId, MemberId, lane_name
from dispersy.protocol.intake.control_intake import ControlIntake, Touched
from dispersy.protocol.intake.in_sequence import InSequence, ascending
from dispersy.protocol.intake.lane import LaneRules
from dispersy.protocol.intake.lane_round import PRUNED, Allowance, Fate, LaneRound, LaneStore
from dispersy.protocol.intake.late_runs import LateRuns, RunStore
from dispersy.protocol.intake.received import (
    FLAGS_OFFSET,
    KIND_OFFSET,
    STATE_OFFSET,
    TIME_WORD,
    Authors,
    Received,
    authors_of,
    chosen,
    each_received,
    lane_of,
    messages_of,
    pack_waiters,
    received_at,
)
from dispersy.protocol.intake.retiring import Aged, concerned, retire
from dispersy.protocol.intake.waiting import Awaited, Waiter, WaitingRoom
from dispersy.protocol.wants import SequenceRange
from dispersy.protocol.wire.numbers import MessageFlag
from dispersy.protocol.wire.records import MESSAGE, WHOLE

UNDEFINED = LaneRules()
"""For the lanes of a kind that is not defined any more: nothing in them is permitted."""
PERMITTED, LOOK_CLOSER = 1, 2
"""What the kernel says of a message; 0: it is not permitted."""


class DataStore(LaneStore, RunStore, Protocol):
    """What is asked of the writer's store: what was committed before this round."""

    def held(self, community: int, records: bytes) -> bytes: ...
    def lanes(self, community: int, kind: int) -> Iterator[bytes]: ...
    def messages(self, cursors: Sequence[int]) -> list[bytes]: ...


class DataIntake:
    """One a community.

    blocks    what the round has accepted: (packed message_records, arena)
    heard     global times of what is permitted and has no place in its lane
    """

    def __init__(
        self,
        *,
        community: int,
        community_id: CommunityId,
        store: DataStore,
        control: ControlIntake,
        waiting: WaitingRoom,
        counters: Counter[str],
        refuse: Callable[[bytes, str], None],
    ) -> None:
        self._community = community
        self._community_id = community_id
        self._store = store
        self._control = control
        self._timeline = control.timeline
        self._waiting = waiting
        self._counters = counters
        self._refuse = refuse
        self._allowance = Allowance()
        self._in_sequence = InSequence(store, waiting, community=community)
        self._late_runs = LateRuns(store, community=community)
        self._pruning_time = 0
        self.begin()

    def begin(self) -> None:
        """Another round."""
        self._in_sequence.begin()
        self._late_runs.begin()
        self.blocks: list[tuple[bytes, bytes]] = []
        self._aged: list[Aged] = []
        self.heard: list[int] = []
        self._lanes: dict[tuple[int, frozenset[bytes]], LaneRound] | None = None

    # -- permission ------------------------------------------------------------------------------------------

    def judge(self, authors: Authors, kind: int, global_time: int, sequence: int) -> str:
        """Rule 12 and what ends it: why a message is not permitted, "" when it is."""
        rules = self._control.rules.get(kind)
        end = self._timeline.soft_destroyed_at
        if self._control.is_destroyed or (end is not None and global_time > end):
            return "destroyed"
        if rules is None:
            return "kind-unknown"
        if global_time <= self._inactive_to(kind):
            return PRUNED
        if rules.frozen_since is not None and global_time > rules.frozen_since:
            return "frozen"
        if self._timeline.is_permitted(authors, kind, global_time, sequence):
            return ""
        # Who never held a power in a kind whose policy may change lost nothing but that it was public.
        held = any(self._timeline.powers_of(author, kind) for author in authors)
        by_policy = kind in self._control.touched.kinds or (isinstance(rules.resolution, tuple) and not held)
        return "policy" if by_policy else "revoked"

    def _modes(self) -> bytes:
        """By kind, how the kernel is to judge it."""
        modes = bytearray(self._timeline.permits.modes)
        for kind, rules in self._control.rules.items():
            if rules.frozen_since is not None:
                modes[kind] = CLOSER
        return bytes(modes)

    # -- age -------------------------------------------------------------------------------------------------

    def set_pruning_time(self, time: int) -> None:
        """From the round that begins on what is too old at this time is not taken."""
        self._pruning_time = time

    def retire(self, aged: Sequence[Aged]) -> None:
        """These are stored and live, and too old now."""
        self._aged += aged

    def _inactive_to(self, kind: int) -> int:
        rules = self._control.rules.get(kind)
        return rules.pruning.inactive_to(self._pruning_time) if rules and rules.pruning else -1

    # -- receiving -------------------------------------------------------------------------------------------

    def receive(self, records: bytes, arena: bytes, *, is_late: bool = False) -> None:
        """Take data messages of a batch.

        is_late    they have waited long enough for what is missing below them
        """
        count = len(records) // MESSAGE.size
        self._allowance.gain(count)
        rules = self._control.rules
        kinds = set(records[KIND_OFFSET :: MESSAGE.size])
        sequenced = {kind for kind in kinds if kind in rules and rules[kind].in_sequence}
        if sequenced:
            records = ascending(records)
        admitted = self._admit(records, arena)
        permitted = self._permit(records, arena, admitted)
        if sequenced:
            permitted = self._in_sequence.hold_back(records, arena, permitted, sequenced, is_late=is_late)
        self._take(records, arena, permitted, kinds)
        if sequenced:
            self._receive_waiters(self._waiting.take(self._in_sequence.next_waiters()))

    def _take(self, records: bytes, arena: bytes, permitted: bytes, kinds: set[int]) -> None:
        """Accept what is in order, and look closer at the rest of what is permitted."""
        rules = self._control.rules
        wanted = permitted
        if not all(kind in rules and rules[kind].lanes.is_plain for kind in kinds):
            # Where the newest stay or a rate holds, a message that is in order may still put another out.
            plain = bytes(kind in rules and rules[kind].lanes.is_plain for kind in range(256))
            number_of = zip(permitted, records[KIND_OFFSET :: MESSAGE.size], strict=True)
            wanted = bytes(ready and plain[kind] for ready, kind in number_of)
        in_order = self._store.heads.advance_many(records, arena, self._community, wanted)
        if in_order == b"\x01" * len(in_order):
            self._accept(records, arena)
        else:
            self._accept_mixed(records, arena, permitted, in_order)

    def release(self, touched: Touched) -> None:
        """Take what has waited and may go on now."""
        waiters = self._waiting.waiters(Awaited.KIND, Awaited.PERMISSION)
        ready = [each.message_id for each in waiters if touched.covers(each) and not self._judge(each)]
        sequenced = {kind for kind, rules in self._control.rules.items() if rules.in_sequence}
        waiters = self._waiting.waiters(Awaited.SEQUENCE)
        ready += [each.message_id for each in waiters if each.kind not in sequenced]
        ready += self._control.taken_back(self._waiting.waiters(Awaited.UNDO))
        self._receive_waiters(self._waiting.take(ready))

    def release_late(self, waiters: Sequence[Waiter]) -> None:
        """Take those that have waited long enough for what is missing below them."""
        self._receive_waiters([each for each in waiters if each.awaited == Awaited.SEQUENCE], is_late=True)

    def gaps(self) -> Iterator[SequenceRange]:
        """What is missing below messages that are delivered in sequence."""
        return self._in_sequence.gaps()

    def _receive_waiters(self, waiters: Sequence[Waiter], *, is_late: bool = False) -> None:
        if waiters:
            self.receive(*pack_waiters(waiters, self._community_id), is_late=is_late)

    def _judge(self, each: Waiter | Received) -> str:
        return self.judge(authors_of(each.message), each.kind, each.global_time, each.sequence)

    def _admit(self, records: bytes, arena: bytes) -> bytes:
        """One byte a record: 1 if its kind is defined and its flags and payloads suit it; the others wait or
        are refused."""
        admitted = bytearray(len(records) // MESSAGE.size)
        flags = records[FLAGS_OFFSET :: MESSAGE.size]
        states = records[STATE_OFFSET :: MESSAGE.size]
        messages = messages_of(records, arena)
        by_kind: dict[int, list[int]] = {}
        for index, number in enumerate(records[KIND_OFFSET :: MESSAGE.size]):
            by_kind.setdefault(number, []).append(index)
        for number, indices in by_kind.items():
            indices = self._refuse_old(records, arena, number, indices)
            rules = self._control.rules.get(number)
            if rules is None:
                for index in indices:
                    self._wait_undefined(received_at(records, arena, index))
                continue
            suited = [index for index in indices if rules.is_stored and flags[index] in rules.shapes]
            if len(suited) < len(indices):
                reason = "policy-authentication" if rules.is_stored else "policy-distribution"
                for index in set(indices).difference(suited):
                    self._refuse(received_at(records, arena, index).id, reason)
            whole = [index for index in suited if states[index] == WHOLE]
            if len(whole) < len(suited):
                for index in set(suited).difference(whole):
                    admitted[index] = self._admit_stripped(received_at(records, arena, index))
            groups = [split_payloads(messages[index]) for index in whole]
            reasons = self._control.definitions.refusals(number, groups)
            for index, refusal in zip(whole, reasons, strict=True):
                if refusal is None or self._control.forgives(received_at(records, arena, index)):
                    admitted[index] = 1
                else:
                    self._refuse(received_at(records, arena, index).id, refusal)
        return bytes(admitted)

    def _refuse_old(self, records: bytes, arena: bytes, number: int, indices: list[int]) -> list[int]:
        """Those of a kind's messages that are young enough; the others come back from nobody and do not
        wait."""
        inactive_to = self._inactive_to(number)
        if inactive_to < 0:
            return indices
        times = memoryview(records).cast("Q")[TIME_WORD :: MESSAGE.size // 8].tolist()
        for index in indices:
            if times[index] <= inactive_to:
                self._refuse(received_at(records, arena, index).id, PRUNED)
        return [index for index in indices if times[index] > inactive_to]

    def _admit_stripped(self, received: Received) -> bool:
        """Whether the payloads may be missing: else anybody could take those of others' messages."""
        if self._control.is_taken_back(received.id, received):
            return True
        if not self._is_stored(received) and self._waiting.add(received.waiter(Awaited.UNDO)):
            self._counters["waiting"] += 1
        return False

    def _permit(self, records: bytes, arena: bytes, admitted: bytes) -> bytes:
        """One byte a record: 1 if it is admitted and permitted; what is admitted alone waits."""
        verdicts = self._timeline.spans.judge_many(records, arena, self._modes())
        if verdicts == admitted == b"\x01" * len(admitted):
            return admitted
        permitted = bytearray(len(admitted))
        for index, verdict in enumerate(verdicts):
            if not admitted[index]:
                continue
            if verdict == PERMITTED:
                permitted[index] = 1
                continue
            received = received_at(records, arena, index)
            if verdict == LOOK_CLOSER and not self._judge(received):
                permitted[index] = 1
            elif not self._is_stored(received):
                self.wait(received)
        return bytes(permitted)

    def _is_stored(self, received: Received) -> bool:
        """Whether a message that is not permitted is in the log, from when it was."""
        name = lane_name(received.message)
        slot = self._store.slot(self._community, name, received.kind, received.sequence, unlive=True)
        return any(each.message_id == received.id for each in slot)

    def _wait_undefined(self, received: Received) -> None:
        if received.flags & MessageFlag.NO_AUTHOR:  # direct and relay kinds, never stored
            self._refuse(received.id, "policy-authentication")
        else:
            self.wait(received)

    def wait(self, received: Received) -> None:
        """Let a message wait for its kind's definition or for permission."""
        awaited = Awaited.PERMISSION if received.kind in self._control.rules else Awaited.KIND
        if self._waiting.add(received.waiter(awaited)):
            self._counters["waiting"] += 1

    def _accept(self, records: bytes, arena: bytes) -> None:
        self.blocks.append((records, arena))
        if self._lanes is not None:
            self._enter(records, arena)

    def _accept_mixed(self, records: bytes, arena: bytes, permitted: bytes, in_order: bytes) -> None:
        if 1 in in_order:
            self._accept(chosen(records, in_order), arena)
        closer = chosen(records, map(gt, permitted, in_order))
        held = self._store.held(self._community, closer)
        received = list(each_received(chosen(closer, map(not_, held)), arena))
        self._counters["duplicate"] += len(held) - len(received)
        if not self._take_runs(received):
            self._begin_lanes()
            received = [each for each in received if self._receive_late(each)]
        if received:
            self.blocks.append((b"".join(each.record for each in received), arena))

    def _take_runs(self, received: Sequence[Received]) -> bool:
        """Whether what did not come in order may be taken without a look at its lanes."""
        is_plain = all(self._rules_of_lanes(each.kind).is_plain for each in received)
        return self._lanes is None and is_plain and self._late_runs.take(received)

    def _receive_late(self, received: Received) -> bool:
        refused = self._lane(received.kind, received.authors).receive(received.entry)
        if refused == "duplicate":
            self._counters["duplicate"] += 1
        elif refused:
            self.keep_out(received, refused)
        return not refused

    def keep_out(self, received: Received, reason: str) -> None:
        """It is permitted, and there is no place for it in its lane: our clock follows it all the same, or we
        might stay behind those who have pruned what keeps it out."""
        if not self._control.on_request.get(received.kind):
            self.heard.append(received.global_time)
        self._refuse(received.id, reason)

    # -- lanes that need a look ------------------------------------------------------------------------------

    def _begin_lanes(self) -> None:
        """From here on some of this round's messages must be found again: keep them by lane."""
        if self._lanes is None:
            self._lanes = {}
            for records, arena in self.blocks:
                self._enter(records, arena)

    def _enter(self, records: bytes, arena: bytes) -> None:
        for received in each_received(records, arena):
            self._lane(received.kind, received.authors).enter(received.entry)

    def _lane(self, kind: int, authors: Authors) -> LaneRound:
        assert self._lanes is not None
        key = (kind, frozenset(self._decided_together(kind, authors)))
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = LaneRound(
                self._store,
                community=self._community,
                kind=kind,
                lanes=self._decided_together(kind, authors),
                rules=self._rules_of_lanes(kind),
                judge=self.judge,
                form=self._control.ended_forms.refusal,
                inactive_to=self._inactive_to(kind),
            )
        return lane

    def _rules_of_lanes(self, kind: int) -> LaneRules:
        return rules.lanes if (rules := self._control.rules.get(kind)) else UNDEFINED

    def _decided_together(self, kind: int, authors: Authors) -> dict[bytes, Authors]:
        """Name -> authors of the lane, and of its other half where the newest of a pair count together."""
        rules = self._control.rules.get(kind)
        together = [authors]
        if len(authors) == 2 and authors[0] != authors[1] and rules and rules.lanes.newest is not None:
            together.append(authors[::-1])
        return {lane_of(each): each for each in together}

    def touch(self, touched: Touched) -> None:
        """Have all lanes decided again whose permissions or rules may have changed."""
        forgiven = self._control.forgiven()
        if not (touched.lanes or touched.kinds or forgiven):
            return
        self._begin_lanes()
        self._renew_lanes(touched.kinds)
        rules = self._control.rules
        for member, kind in sorted(touched.lanes):
            if touched.kinds.get(kind) == 0:
                # All of its lanes are.
                continue
            if kind in rules and rules[kind].has_pairs:
                self._touch_stored(kind, member=member)
            elif self._store.heads.get(self._community, member, kind) is not None:
                self._lane(kind, (MemberId(member),)).touch()
        for kind, low in sorted(touched.kinds.items()):
            self._touch_stored(kind, low=low)
        for kind, authors in forgiven:
            self._lane(kind, authors).touch()

    def _renew_lanes(self, kinds: Collection[int]) -> None:
        """The rules of these may be others than when the round began; what it has brought of them is judged
        again."""
        assert self._lanes is not None
        self._lanes = {key: lane for key, lane in self._lanes.items() if key[0] not in kinds}
        for records, arena in self.blocks if kinds else ():
            for received in each_received(records, arena):
                if received.kind in kinds:
                    lane = self._lane(received.kind, received.authors)
                    lane.enter(received.entry)
                    lane.touch()

    def _touch_stored(self, kind: int, *, member: bytes | None = None, low: int = 0) -> None:
        """All lanes of a kind that reach this global time, where `member` writes (None: whoever does)."""
        assert self._lanes is not None
        for lane in [lane for key, lane in self._lanes.items() if key[0] == kind]:
            if member is None or any(member in authors for authors in lane.lanes.values()):
                lane.touch()
        for name in self._store.lanes(self._community, kind):
            head = self._store.heads.get(self._community, name, kind)
            if head is not None and head[1] < low:
                continue
            authors = self._authors_of_lane(name, kind)
            if authors and (member is None or member in authors):
                self._lane(kind, authors).touch()

    def _authors_of_lane(self, name: bytes, kind: int) -> Authors:
        """Who writes in a stored lane; nobody, when nothing of it is in the log yet."""
        rules = self._control.rules.get(kind)
        if rules is not None and not rules.has_pairs:
            return (MemberId(name),)
        first = next(iter(self._store.lane(self._community, name, kind, unlive=True)), None)
        return authors_of(self._store.messages([first.cursor])[0]) if first is not None else ()

    def decide(self) -> dict[bytes, Fate]:
        """What becomes of all messages of the lanes that were looked at."""
        fates: dict[bytes, Fate] = {}
        opened = {(key[0], name) for key, lane in (self._lanes or {}).items() for name in lane.lanes}
        touched = concerned(
            self._aged,
            store=self._store,
            community=self._community,
            rules_of=self._rules_of_lanes,
            opened=opened,
        )
        if touched:
            self._begin_lanes()
        for each in touched:
            self._lane(each.kind, each.authors).touch()
        for lane in (self._lanes or {}).values():
            lane.decide(fates, self._allowance)
        return retire(self._aged, except_for=touched) | fates
