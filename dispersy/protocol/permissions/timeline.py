"""The timeline: which control messages count, and who may do what because of them (docs/timeline.md).

The answer is a function of the set of held messages. A message says something about one kind or several; what
it says about one is a *claim*, and stands or falls with the powers that its author has in that kind. So a
change of one member's powers in one kind is a reason to judge again that member's claims about that kind,
and what changes there may change other members' powers. What counts at one depth rests on what is less deep
(and, for permit, undo and settings, on withdrawals as deep), so this ends: two passes over what is left to
judge settle at least one more depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dispersy.ext.table import Spans
from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.permissions.claims import Claim, ClaimsByTime, claims_of, counting, take_out
from dispersy.protocol.permissions.control_chain import ControlChain
from dispersy.protocol.permissions.control_messages import (
    Authorize,
    ControlMessage,
    Destroy,
    Permission,
    Revoke,
    Settings,
    Undo,
)
from dispersy.protocol.permissions.permits import Permits
from dispersy.protocol.permissions.policy_history import PolicyHistory, Resolution
from dispersy.protocol.permissions.powers import DEPTH_MAX, EVER, Cut, Power, Reach, order_of
from dispersy.protocol.permissions.proofs import Proofs
from dispersy.protocol.permissions.standings import Standings
from dispersy.protocol.permissions.undo_claims import UndoClaims
from dispersy.protocol.permissions.undoing import Target, Undoing, UndoneState

PASSES_MAX = 4 * (DEPTH_MAX + 1)
"""Over what is left to judge: a depth takes one for its revokes and one for what they cut."""


@dataclass(slots=True)
class TimelineChanges:
    """What one settle() changed.

    lived, unlived  control messages that became live, or ceased to be
    lanes           (member, kind) whose messages may be permitted otherwise than before
    kinds           kind -> lowest global time from which on its policy or a cut of it may be another
    undone          targets whose state of being undone is another
    destroyed       a destroy came or went
    """

    lived: list[MessageId] = field(default_factory=list)
    unlived: list[MessageId] = field(default_factory=list)
    lanes: set[tuple[MemberId, int]] = field(default_factory=set)
    kinds: dict[int, int] = field(default_factory=dict)
    undone: set[MessageId] = field(default_factory=set)
    destroyed: bool = False


class Timeline:
    """The control messages held of one community; what they say holds as of the last settle().

    master              the community's id
    soft_destroyed_at   after this global time nothing is live; None: no end, or the hard one
    hard_destroyed      the one message that is live
    permits             most of rule 12 by the batch
    """

    def __init__(self, master: MemberId) -> None:
        self.master = master
        self.soft_destroyed_at: int | None = None
        self.hard_destroyed: MessageId | None = None
        self.permits = Permits(master)
        self._held: dict[MessageId, ControlMessage] = {}
        self._destroys: dict[MessageId, ControlMessage] = {}
        self._fresh: dict[MessageId, ControlMessage] = {}
        self._chain = ControlChain()
        self._undoing = Undoing()
        self._policies: dict[int, PolicyHistory] = {}
        self._standings = Standings(master, self._chain)
        self._undo_claims = UndoClaims(self._standings, self._policies, self._undoing)
        self._claims: dict[MessageId, list[Claim]] = {}
        self._by_time = ClaimsByTime()
        self._settings: dict[int, set[Claim]] = {}
        self._counting: dict[MessageId, int] = {}
        self._unjudged: set[Claim] = set()
        self._proofs = Proofs(self._standings, self._held)
        self._undone: dict[MessageId, UndoneState | None] = {}
        self._changes = TimelineChanges()

    # -- what is held ----------------------------------------------------------------------------------------

    def set_resolution(self, kind: int, resolution: Resolution | None) -> None:
        """What the definitions say of a kind; nothing is permitted in one of which they say nothing."""
        history = self._policies.setdefault(kind, PolicyHistory())
        if history.resolution != resolution:
            history.resolution = resolution
            self._touch_kind(kind, 0)
            self._unjudged.update(self._settings.get(kind, ()))

    def set_on_request(self, kind: int, is_on_request: bool) -> None:
        """What the definitions say of a kind: whether its messages are offered to nobody."""
        self._unjudged.update(self._undo_claims.set_on_request(kind, is_on_request))

    def add(self, message: ControlMessage) -> None:
        """Hold a message, stored or waiting; once more changes nothing."""
        if message.id in self._held:
            return
        self._held[message.id] = self._fresh[message.id] = message
        if isinstance(message.body, Destroy) and message.author == self.master:
            self._destroys[message.id] = message

    def discard(self, message_id: MessageId) -> None:
        """Hold a message no more."""
        message = self._held.pop(message_id, None)
        if message is not None:
            self._fresh[message_id] = message
            self._destroys.pop(message_id, None)

    def set_target(
        self, target_id: MessageId, authors: tuple[MemberId, ...] | None, kind: int, global_time: int
    ) -> None:
        """A data message that some undo names is live, or with authors None is not (any more)."""
        self._remember_undone(target_id)
        target = None if authors is None else Target(authors, kind, global_time)
        if self._undoing.set_target(target_id, target):
            for undo in self._undoing.of_target(target_id):
                self._unjudged.update(self._claims[undo.id])

    def settle(self) -> TimelineChanges:
        """Judge again what was touched since the last time; returns what is now otherwise."""
        self._settle_destroys()
        for message in sorted(self._fresh.values(), key=order_of):
            is_entered = message.id in self._claims
            if is_entered and not self._is_taken(message):
                self._leave(message)
            elif not is_entered and self._is_taken(message):
                self._enter(message)
            elif is_entered and self._changes.destroyed:
                # An undo that stays: before the end others may undo, behind it authors alone.
                self._unjudged.update(self._claims[message.id])
                self._count(message.id, 0)
        self._fresh.clear()
        passes = 0
        while self._unjudged:
            passes += 1
            assert passes <= PASSES_MAX, "a claim rests on itself"
            unjudged, self._unjudged = self._unjudged, set()
            # Earlier ones first: powers cover only what is later.
            for claim in sorted(unjudged, key=lambda claim: order_of(claim.message)):
                self._judge(claim)
        changes, self._changes = self._changes, TimelineChanges()
        changes.lived, changes.unlived = self._chain.take_changes()
        changes.undone = {each for each, was in self._undone.items() if was != self._undoing.state(each)}
        self._undone.clear()
        for member, kind in changes.lanes:
            self.permits.set_standing(member, kind, self._standings.get(member, kind))
        for kind in self._policies if changes.destroyed else changes.kinds:
            self.permits.set_policy(kind, self._policies[kind], has_ended=self._has_ended)
        return changes

    @property
    def spans(self) -> Spans:
        return self.permits.spans

    # -- answers ---------------------------------------------------------------------------------------------

    def is_live(self, message_id: MessageId) -> bool:
        """Whether a control message is live: summarised and synchronised."""
        return self._chain.is_live(message_id)

    def counts(self, message_id: MessageId) -> bool:
        """Whether anything that a control message says has effect."""
        return message_id in self._counting

    def is_permitted(self, authors: Sequence[MemberId], kind: int, global_time: int, sequence: int) -> bool:
        """Rule 12 for one data message, but for frozen kinds."""
        history = self._policies.get(kind)
        if history is None or history.resolution is None or self._is_after_the_end(global_time):
            return False
        if history.is_public(global_time) and not history.cut_off_by(authors, global_time, sequence):
            return True
        return all(
            author == self.master
            or self._standings.permit(author, authors, kind, global_time, sequence) is not None
            for author in authors
        )

    def holds(self, member: MemberId, kind: int, permission: Permission, global_time: int) -> bool:
        """Whether what the member signs now, at this time, may count for want of nothing: uncut, or M's."""
        if self._is_after_the_end(global_time):
            return False
        if member == self.master:
            return True
        return self._standings.uncut(member, kind, permission, global_time) is not None

    def is_public(self, kind: int, global_time: int) -> bool:
        """Whether everybody may write a message of this kind and time."""
        return kind in self._policies and self._policies[kind].is_public(global_time)

    def undone(self, target_id: MessageId) -> UndoneState | None:
        """What of a live data message has been taken back; None: nothing."""
        return self._undoing.state(target_id)

    def is_taken_back(
        self, target_id: MessageId, authors: tuple[MemberId, ...], kind: int, global_time: int
    ) -> bool:
        """Whether an undo by one of its authors takes all of this message back, should it be live: if held,
        and of what is on request one that stands."""
        target, must_stand = Target(authors, kind, global_time), self._undo_claims.is_on_request(kind)
        return self._undoing.is_taken_back(target_id, target, must_stand=must_stand)

    def undos_of(self, target_id: MessageId) -> list[MessageId]:
        """The held undos that name a message, counting or not, in their order."""
        return [undo.id for undo in self._undoing.of_target(target_id)]

    def missing(self) -> frozenset[MessageId]:
        """Ids that live messages name as previous, or counting pins as heads, and that add() never gave.

        Definitions may be among them: they are held elsewhere, and end a chain.
        """
        return self._chain.missing().difference(self._held)

    def namers(self, message_id: MessageId) -> set[MemberId]:
        """Whose held messages name it as previous; of a pin's head it may be nobody's."""
        return self._chain.namers(message_id)

    def powers(self) -> Iterator[tuple[MemberId, int, Power, list[Cut]]]:
        """Every power there is but the master's, with what cuts it, by member and kind."""
        return self._standings.powers()

    def powers_of(self, member: MemberId, kind: int) -> list[tuple[Power, list[Cut]]]:
        """The same of one member and kind."""
        standing = self._standings.get(member, kind)
        return [] if standing is None else list(standing.powers())

    def cut_off_by(
        self, authors: Sequence[MemberId], kind: int, global_time: int, sequence: int
    ) -> MessageId | None:
        """Settings that took back what was public when a data message was written; None: none did."""
        if not self.is_public(kind, global_time):
            return None
        return self._policies[kind].cut_off_by(authors, global_time, sequence)

    def proof(
        self, authors: Sequence[MemberId], kind: int, global_time: int, sequence: int
    ) -> list[MessageId]:
        """The control messages by which a data message is permitted, from M down; [] also where it is not."""
        if not self.is_permitted(authors, kind, global_time, sequence):
            return []
        history = self._policies[kind]
        if history.is_public(global_time) and not history.cut_off_by(authors, global_time, sequence):
            statement = history.statement(global_time)
            return [] if statement is None else [*self.proof_of(statement.id), statement.id]
        permits = (
            self._standings.permit(author, authors, kind, global_time, sequence)
            for author in authors
            if author != self.master
        )
        return self._proofs.chain(kind, (power for power in permits if power is not None))

    def proof_of(self, message_id: MessageId) -> list[MessageId]:
        """The control messages by which a control message counts, from M down, itself left out."""
        return self._proofs.of_claims(self._claims.get(message_id, ()))

    # -- entering and leaving --------------------------------------------------------------------------------

    @property
    def _has_ended(self) -> bool:
        return self.hard_destroyed is not None or self.soft_destroyed_at is not None

    def _is_after_the_end(self, global_time: int) -> bool:
        if self.hard_destroyed is not None:
            return True
        return self.soft_destroyed_at is not None and global_time > self.soft_destroyed_at

    def _is_taken(self, message: ControlMessage) -> bool:
        """Whether a message is held, and there for what is after no end of the community."""
        if message.id not in self._held:
            return False
        # What an author has erased is gone wherever its undo was: no end that comes later brings it back.
        is_whole_undo = isinstance(message.body, Undo) and message.body.index is None
        return self._is_before_the_end(message) or (is_whole_undo and self.hard_destroyed is None)

    def _is_before_the_end(self, message: ControlMessage) -> bool:
        return message.id == self.hard_destroyed or not self._is_after_the_end(message.global_time)

    def _settle_destroys(self) -> None:
        """Rule 1: find the end; where it moved, everything enters or leaves that it concerns."""
        destroys = sorted(self._destroys.values(), key=order_of)
        hard = next((each.id for each in destroys if _is_hard(each)), None)
        soft = next((each.global_time for each in destroys if not hard and not _is_hard(each)), None)
        if (hard, soft) != (self.hard_destroyed, self.soft_destroyed_at):
            self.hard_destroyed, self.soft_destroyed_at = hard, soft
            self._changes.destroyed = True
            self._fresh.update(self._held)

    def _enter(self, message: ControlMessage) -> None:
        claims = self._claims[message.id] = list(claims_of(message))
        for reached in self._chain.add(message):
            self._unjudged.update(self._claims[reached])
        for claim in claims:
            self._by_time.add(claim)
            if isinstance(message.body, Settings):
                self._settings.setdefault(claim.kind, set()).add(claim)
            elif isinstance(message.body, Undo):
                self._undo_claims.add(claim)
        self._unjudged.update(claims)
        self._count(message.id, 0)

    def _leave(self, message: ControlMessage) -> None:
        claims = self._claims.pop(message.id)
        for claim in claims:
            if claim.depths:
                self._settle_claim(claim, {})
            self._by_time.remove(claim)
            if isinstance(message.body, Settings):
                take_out(self._settings, claim.kind, claim)
            elif isinstance(message.body, Undo):
                self._undo_claims.remove(claim)
        for lost in self._chain.remove(message):
            self._unjudged.update(self._claims.get(lost, ()))
        self._unjudged.difference_update(claims)

    # -- judging ---------------------------------------------------------------------------------------------

    def _judge(self, claim: Claim) -> None:
        """Find anew as how deep a claim counts, and what follows from it."""
        if isinstance(claim.message.body, Authorize):
            depths = self._depths_of_grants(claim)
        elif isinstance(claim.message.body, Undo):
            is_before = self._is_before_the_end(claim.message)
            depths = self._undo_claims.depths(claim, is_before_the_end=is_before)
        elif isinstance(claim.message.body, Settings) and not self._is_dynamic(claim.kind):
            depths = {}
        else:
            depths = counting({claim.needs: self._depth(claim, claim.needs)})
        if depths != claim.depths:
            self._settle_claim(claim, depths)

    def _depths_of_grants(self, claim: Claim) -> dict[Permission, int]:
        """Rule 4: the deeper of authorize and of what is granted, and never as deep as the deepest power."""
        authorize = self._depth(claim, Permission.AUTHORIZE)
        if authorize >= DEPTH_MAX:
            return {}
        granted = Permission(0)
        for grant in claim.grants:
            granted |= grant.permissions
        depths = {each: max(authorize, self._depth(claim, each)) for each in granted}
        return {permission: depth for permission, depth in depths.items() if depth < DEPTH_MAX}

    def _depth(self, claim: Claim, permission: Permission) -> int:
        """Of the least deep power that covers a claim; NOTHING without any."""
        return self._standings.depth(claim.message, claim.kind, permission)

    def _is_dynamic(self, kind: int) -> bool:
        history = self._policies.get(kind)
        return history is not None and history.is_dynamic

    def _settle_claim(self, claim: Claim, depths: dict[Permission, int]) -> None:
        """Let a claim count as so deep, and touch what follows from it."""
        before, claim.depths = claim.depths, depths
        match claim.message.body:
            case Authorize():
                self._settle_grants(claim, before)
            case Revoke():
                self._settle_withdrawals(claim, before)
            case Settings() as settings:
                self._policies[claim.kind].set_counts(claim.message, bool(depths))
                narrows = settings.is_linear or settings.continues is not None
                self._touch_kind(claim.kind, 0 if narrows else claim.message.global_time)
            case Undo() as undo:
                self._remember_undone(undo.target)
                for message_id, counts in self._undoing.set_valid(
                    claim.message, before=_takes_back(before), after=_takes_back(depths)
                ):
                    self._count(message_id, 1 if counts else -1)
                return
        if bool(before) != bool(depths):
            self._count(claim.message.id, 1 if depths else -1)

    def _settle_grants(self, claim: Claim, before: dict[Permission, int]) -> None:
        since = order_of(claim.message)
        for grant in claim.grants:
            for permission in grant.permissions:
                depth = claim.depths.get(permission)
                if depth == before.get(permission):
                    continue
                standing = self._standings.of(grant.member, claim.kind)
                if depth is None:
                    reach = standing.ungrant(permission, since)
                else:
                    reach = standing.grant(Power(permission, since, depth + 1))
                self._touch(grant.member, claim.kind, permission, reach)

    def _settle_withdrawals(self, claim: Claim, before: dict[Permission, int]) -> None:
        at = order_of(claim.message)
        for withdrawal in claim.withdrawals:
            standing = self._standings.of(withdrawal.member, claim.kind)
            if not before:
                self._chain.pin(withdrawal.heads)
            if claim.depths:
                standing.cut(Cut(at, claim.depths[Permission.REVOKE], withdrawal))
            else:
                standing.uncut(at)
                self._chain.unpin(withdrawal.heads)
            self._touch(withdrawal.member, claim.kind, withdrawal.permissions, EVER)

    def _touch(self, member: MemberId, kind: int, permissions: Permission, reach: Reach | None) -> None:
        """A member's powers in a kind are others: what rests on them, at these times, is judged again."""
        self._standings.drop_empty(member, kind)
        if member == self.master or reach is None:
            return
        if permissions & Permission.PERMIT:
            self._changes.lanes.add((member, kind))
        for claim in self._by_time.within(member, kind, reach):
            if self._undo_claims.needs(claim) & permissions:
                self._unjudged.add(claim)

    def _touch_kind(self, kind: int, global_time: int) -> None:
        lowest = self._changes.kinds.get(kind, global_time)
        self._changes.kinds[kind] = min(lowest, global_time)
        self._unjudged.update(self._undo_claims.resting_on_policy(kind))

    def _count(self, message_id: MessageId, by: int) -> None:
        """So many claims more of a message count."""
        counting = self._counting.get(message_id, 0) + by
        if counting:
            self._counting[message_id] = counting
        else:
            self._counting.pop(message_id, None)
        message = self._held.get(message_id)
        is_root = bool(counting)
        if message is not None and message.author == self.master:
            is_root |= self._is_before_the_end(message)
        self._chain.set_root(message_id, is_root)

    def _remember_undone(self, target_id: MessageId) -> None:
        """What was undone of a target before this settle()."""
        if target_id not in self._undone:
            self._undone[target_id] = self._undoing.state(target_id)


def _takes_back(depths: dict[Permission, int]) -> bool | None:
    """Whether an undo takes back whatever it names (False: what its author has written); None: nothing."""
    return Permission.UNDO in depths if depths else None


def _is_hard(message: ControlMessage) -> bool:
    return isinstance(message.body, Destroy) and message.body.is_hard
