"""Rules that look right and are wrong, one each: the search for disagreements has to find such a one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.permissions.control_messages import ControlMessage, Permission, Withdrawal
from tests.oracle.naming import pinned_ranges
from tests.oracle.state import Cut, DataMessage, Message, Power, order
from tests.oracle.timeline import BLOCK_BITS, Oracle


class LowerIdWins(Oracle):
    """Of two messages in one place, a slot or behind one `previous`, the lower id is taken, without a look at
    whether it may be there."""

    def __init__(self, master: MemberId, held: Iterable[Message], time: int = 0) -> None:
        super().__init__(master, held, time)
        by_id = sorted(self.control.values(), key=lambda message: message.id)
        first = {(message.author, message.previous): message for message in reversed(by_id)}
        places = {message.id for message in first.values()}
        self.control = {each: message for each, message in self.control.items() if each in places}


class FrontierAsNumber(Oracle):
    """A pin is read as how far it goes, not as what it names."""

    def pin_allows_control(self, withdrawal: Withdrawal, message: ControlMessage) -> bool:
        known = [self.control[head].global_time for head in withdrawal.heads if head in self.control]
        return message.global_time <= max(known, default=0)

    def pin_allows_data(self, withdrawal: Withdrawal, message: DataMessage) -> bool:
        return message.sequence <= max((high for _, high in pinned_ranges(withdrawal, message)), default=0)


class NoChainClosure(Oracle):
    """What a head reaches is not kept alive, only the head."""

    def live_control(self, counting: set[MessageId]) -> set[MessageId]:
        return self.masters_own() | counting | (self.pinned_heads() & self.control.keys())


class NoPinClosure(Oracle):
    """The heads of pins are not kept alive, only what counting messages reach."""

    def pinned_heads(self) -> set[MessageId]:
        return set()


class GrantWhatOneLacks(Oracle):
    """Whoever may authorize may grant every permission."""

    def depth_of_atom(self, message: ControlMessage, kind: int, _: Permission) -> int | None:
        return self.depth_of(message, kind, Permission.AUTHORIZE)


class NoDepth(Oracle):
    """Whoever may revoke may revoke anybody: decided again and again with what counted the last time."""

    ROUNDS = 12
    before: dict[tuple[MemberId, int], list[Cut]] | None = None
    """Cuts of the last round, as long as the rounds go on."""

    def decide_powers(self) -> None:
        for _ in range(self.ROUNDS):
            self.before = {key: list(found) for key, found in self.cuts.items()}
            for decided in (self.cuts, self.powers, self.counting):
                decided.clear()
            super().decide_powers()
        self.before = None

    def cuts_of(self, power: Power) -> Iterator[Cut]:
        cuts = self.cuts if self.before is None else self.before
        for cut in cuts.get((power.member, power.kind), ()):
            if power.permission in cut.withdrawal.permissions and power.since < cut.at:
                yield cut


class LimitsCountAll(Oracle):
    """Rate, slots and last-sync each look at all that is permitted, also at what the others leave out."""

    def choose_of_group(self, group: Sequence[DataMessage]) -> Iterator[DataMessage]:
        rules = self.rules[group[0].kind]
        by_block: dict[object, list[DataMessage]] = defaultdict(list)
        by_slot: dict[object, list[DataMessage]] = defaultdict(list)
        for message in sorted(group, key=lambda message: (message.sequence, message.id)):
            block = by_block[message.lane, message.global_time >> BLOCK_BITS]
            block.append(message)
            if not rules.rate or len(block) <= rules.rate:
                by_slot[message.slot].append(message)
        slots = sorted((slot[:2] for slot in by_slot.values()), key=lambda slot: max(map(order, slot)))
        for slot in slots[-rules.newest :]:
            yield from slot


class OldOnesKeepOut(Oracle):
    """What is too old is still in the way of what is not, for those who had it."""

    def chosen(self, permitted: Iterable[DataMessage]) -> list[DataMessage]:
        return [message for message in self.choose(permitted) if not self.is_inactive(message)]


class KeepsWhatPasses(Oracle):
    """What is only handed on is kept like anything else."""

    def kept_kinds(self) -> set[int]:
        return set(self.resolutions)


FAULTS = {
    "lower id wins": LowerIdWins,
    "frontier as a number": FrontierAsNumber,
    "no chain closure": NoChainClosure,
    "no pin closure": NoPinClosure,
    "grant what one lacks": GrantWhatOneLacks,
    "no depth": NoDepth,
    "limits count all": LimitsCountAll,
    "old ones keep out": OldOnesKeepOut,
    "keeps what passes": KeepsWhatPasses,
}
