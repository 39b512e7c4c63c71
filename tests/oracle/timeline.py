"""The rules of docs/timeline.md as they are written: sort everything, decide everything, remember nothing.

Numbers in brackets are the rules'. Nothing here is taken from the product but the bodies of control messages.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from dispersy.protocol.identifiers import MemberId, MessageId
from dispersy.protocol.permissions.control_messages import (
    Authorize,
    ControlMessage,
    Destroy,
    Permission,
    Revoke,
    Settings,
    Undo,
    Withdrawal,
)
from tests.oracle.naming import cut_names, kept_lanes, marks_of, pinned_ranges, policies_of
from tests.oracle.state import (
    Cut,
    DataMessage,
    DefinitionMessage,
    KindRules,
    Message,
    Power,
    State,
    order,
)

DEPTH_MAX = 8
BLOCK_BITS = 10


class Oracle:
    """Decides one set of held messages at a pruning time, once: Oracle(master, held, time).decide()."""

    def __init__(self, master: MemberId, held: Iterable[Message], time: int = 0) -> None:
        self.master = master
        self.time = time
        messages = sorted({message.id: message for message in held}.values(), key=order)
        destroys = [
            message
            for message in messages
            if isinstance(message, ControlMessage)
            and isinstance(message.body, Destroy)
            and message.author == master
        ]
        self.hard = next((message for message in destroys if _is_hard(message)), None)
        soft = next((message.global_time for message in destroys if not _is_hard(message)), None)
        self.end = soft
        messages = [message for message in messages if self.is_before_the_end(message) or _is_whole(message)]
        self.definitions = [message for message in messages if isinstance(message, DefinitionMessage)]
        self.control = {message.id: message for message in messages if isinstance(message, ControlMessage)}
        self.data = [message for message in messages if isinstance(message, DataMessage)]
        # In their order: the highest global time is there in the end.
        self.own_undos = {
            (each.author, each.body): each.global_time
            for each in self.control.values()
            if isinstance(each.body, Undo)
        }
        self.rules = self.current_rules()
        first = self.first_rules().items()
        self.resolutions = {number: (rules.resolution, rules.initial) for number, rules in first}
        self.on_request = {number for number, rules in first if rules.is_on_request}
        self.kept = self.kept_kinds()
        self.long = {number for each in self.definitions for number, row in each.kinds if row.admits_long}
        self.powers: dict[tuple[MemberId, int, Permission], list[Power]] = defaultdict(list)
        self.cuts: dict[tuple[MemberId, int], list[Cut]] = defaultdict(list)
        self.counting: set[MessageId] = set()
        self.settings: list[ControlMessage] = []
        self.permitted: list[DataMessage] = []

    def is_before_the_end(self, message: Message) -> bool:
        """[1]"""
        return self.end is None or message.global_time <= self.end

    def decide(self) -> State:
        if self.hard is not None:  # [1]
            return State(live=frozenset([self.hard.id]))
        self.decide_powers()
        self.decide_permitted()
        return self.decide_live()

    def decide_permitted(self) -> None:
        """By the powers that are decided; the pruning time has no part in it."""
        self.settings = self.counting_settings()
        self.permitted = [message for message in self.data if self.is_permitted(message, self.settings)]

    def decide_live(self) -> State:
        """By what is permitted, at the pruning time."""
        chosen = self.chosen(self.permitted)
        undos = self.counting_undos(chosen)
        counting = self.counting | {message.id for message in (*self.settings, *undos)}
        return State(
            live=frozenset(self.live_control(counting) | {each.id for each in (*self.definitions, *chosen)}),
            counting=frozenset(counting),
            powers=frozenset(power for powers in self.powers.values() for power in powers),
            policies=policies_of(self.settings),
            marks=marks_of(chosen, self.in_effect(undos, chosen)),
        )

    # -- definitions [2] -------------------------------------------------------------------------------------

    def oldest_first(self) -> list[DefinitionMessage]:
        """At one global time the lowest id is the newest."""
        by_falling_id = sorted(self.definitions, key=lambda message: message.id, reverse=True)
        return sorted(by_falling_id, key=lambda message: message.global_time)

    def current_rules(self) -> dict[int, KindRules]:
        """Of each kind: what the newest definition that names it says."""
        return {number: rules for message in self.oldest_first() for number, rules in message.kinds}

    def first_rules(self) -> dict[int, KindRules]:
        """Of each kind: what the least definition that names it says; resolution and what is on request."""
        newest_first = sorted(self.definitions, key=order, reverse=True)
        return {number: rules for message in newest_first for number, rules in message.kinds}

    def kept_kinds(self) -> set[int]:
        """Those of which any definition says that messages are kept: only they have a part in the state."""
        return {number for each in self.definitions for number, row in each.kinds if row.spread == "kept"}

    def frozen_from(self, kind: int) -> int | None:
        first = None
        for message in reversed(self.oldest_first()):
            rules = dict(message.kinds).get(kind)
            if rules is None or not rules.is_frozen:
                break
            first = message.global_time
        return first

    # -- powers [3 to 9] -------------------------------------------------------------------------------------

    def decide_powers(self) -> None:
        """Depth by depth: withdrawals first, since they cut permit, undo and settings of their own depth."""
        for depth in range(DEPTH_MAX + 1):
            if depth and not any(power.depth == depth for held in self.powers.values() for power in held):
                return  # nobody has a power so deep: nothing more can count
            # At depth 0 is what the master signed, and nothing else [3].
            claims = [each for each in self.control.values() if (each.author == self.master) == (not depth)]
            for message in claims:
                if isinstance(message.body, Revoke):
                    self.count_withdrawals(message, message.body, depth)
            for message in claims:
                if isinstance(message.body, Authorize):
                    self.count_atoms(message, message.body, depth)

    def count_withdrawals(self, message: ControlMessage, revoke: Revoke, depth: int) -> None:
        for withdrawal in revoke.withdrawals:
            if self.depth_of(message, withdrawal.kind, Permission.REVOKE) == depth:
                self.counting.add(message.id)
                cut = Cut(withdrawal, order(message), depth)
                self.cuts[withdrawal.member, withdrawal.kind].append(cut)

    def count_atoms(self, message: ControlMessage, authorize: Authorize, depth: int) -> None:
        for grant in authorize.grants:
            for permission in grant.permissions:
                if depth < DEPTH_MAX and self.depth_of_atom(message, grant.kind, permission) == depth:
                    self.counting.add(message.id)
                    power = Power(grant.member, grant.kind, permission, order(message), depth + 1)
                    self.powers[grant.member, grant.kind, permission].append(power)

    def depth_of_atom(self, message: ControlMessage, kind: int, permission: Permission) -> int | None:
        authorize = self.depth_of(message, kind, Permission.AUTHORIZE)
        granted = None if authorize is None else self.depth_of(message, kind, permission)
        return None if authorize is None or granted is None else max(authorize, granted)

    def depth_of(self, message: ControlMessage, kind: int, permission: Permission) -> int | None:
        """Of the least deep power of its author that covers a control message; None without one."""
        if message.author == self.master:
            return 0
        depth: int | None = None
        for power in self.powers.get((message.author, kind, permission), ()):
            if (depth is None or power.depth < depth) and self.covers_control(power, message):
                depth = power.depth
        return depth

    def covers_control(self, power: Power, message: ControlMessage) -> bool:
        if message.global_time <= power.since[0]:
            return False
        return all(self.pin_allows_control(cut.withdrawal, message) for cut in self.cuts_of(power))

    def covers_data(self, power: Power, message: DataMessage) -> bool:
        return message.global_time > power.since[0] and all(
            self.pin_allows_data(cut.withdrawal, message) for cut in self.cuts_of(power)
        )

    def cuts_of(self, power: Power) -> Iterator[Cut]:
        """[6]"""
        for cut in self.cuts.get((power.member, power.kind), ()):
            if power.permission in cut.withdrawal.permissions and power.since < cut.at:
                if power.permission in Permission.AUTHORIZE | Permission.REVOKE:
                    is_cut = power.depth > cut.depth
                else:
                    is_cut = power.depth >= cut.depth
                if is_cut:
                    yield cut

    def pin_allows_control(self, withdrawal: Withdrawal, message: ControlMessage) -> bool:
        """[7]"""
        return message.id in self.reached(withdrawal.heads)

    def pin_allows_data(self, withdrawal: Withdrawal, message: DataMessage) -> bool:
        """[7]"""
        return any(low <= message.sequence <= high for low, high in pinned_ranges(withdrawal, message))

    def reached(self, heads: Iterable[MessageId]) -> set[MessageId]:
        """The heads that are held and all that they reach over `previous`."""
        found: set[MessageId] = set()
        for head in heads:
            message = self.control.get(head)
            while message is not None and message.id not in found:
                found.add(message.id)
                before = self.control.get(message.previous)
                if before is None or before.author != message.author:
                    break
                message = before if before.global_time < message.global_time else None
        return found

    # -- settings [10, 11] -----------------------------------------------------------------------------------

    def counting_settings(self) -> list[ControlMessage]:
        return [
            message
            for message in self.control.values()
            if isinstance(message.body, Settings)
            and self.resolutions.get(message.body.kind, ("", ""))[0] == "dynamic"
            and self.depth_of(message, message.body.kind, Permission.SETTINGS) is not None
        ]

    def is_public(self, kind: int, global_time: int, settings: Sequence[ControlMessage]) -> bool:
        resolution, initial = self.resolutions[kind]
        if resolution != "dynamic":
            return resolution == "public"
        is_public = initial == "public"
        for since, is_linear in dict(policies_of(settings)).get(kind, ()):
            if since < global_time:
                is_public = not is_linear
        return is_public

    def is_cut_off(self, message: DataMessage, settings: Sequence[ControlMessage]) -> bool:
        for narrowing in settings:
            body = narrowing.body
            assert isinstance(body, Settings)
            if (
                body.kind == message.kind
                and body.is_linear
                and body.continues is None
                and narrowing.global_time >= message.global_time
            ):
                continuing = [
                    other.body
                    for other in settings
                    if isinstance(other.body, Settings)
                    and other.body.continues == narrowing.id
                    and (other.author, other.body.kind) == (narrowing.author, body.kind)
                ]
                if not any(cut_names(part, message) for part in (body, *continuing)):
                    return True
        return False

    # -- data messages [12 to 15] ----------------------------------------------------------------------------

    def is_permitted(self, message: DataMessage, settings: Sequence[ControlMessage]) -> bool:
        looks_at_length = message.is_long and not self.is_taken_back(message)
        admitting = self.long if looks_at_length else self.kept
        return message.kind in admitting and self.may_be_said(message, settings)

    def is_taken_back(self, message: DataMessage) -> bool:
        """[2] Whether it is erased, should it be live: nobody can tell any more what was in it."""
        whole = Undo(message.id, message.kind, message.global_time)
        return message.kind not in self.on_request and any(
            self.own_undos.get((author, whole), 0) > message.global_time for author in message.authors
        )

    def may_be_said(self, message: DataMessage, settings: Sequence[ControlMessage]) -> bool:
        """Also of what nobody keeps: it is judged once, by what is held when it comes."""
        if message.kind not in self.resolutions or not self.is_before_the_end(message):
            return False
        frozen_from = self.frozen_from(message.kind)
        if frozen_from is not None and message.global_time > frozen_from:
            return False
        rests_on_public = self.is_public(message.kind, message.global_time, settings) and not self.is_cut_off(
            message, settings
        )
        return rests_on_public or all(
            author == self.master
            or any(
                self.covers_data(power, message)
                for power in self.powers[author, message.kind, Permission.PERMIT]
            )
            for author in message.authors
        )

    def chosen(self, permitted: Iterable[DataMessage]) -> list[DataMessage]:
        """Of those that are not too old."""
        return self.choose([message for message in permitted if not self.is_inactive(message)])

    def choose(self, permitted: Iterable[DataMessage]) -> list[DataMessage]:
        """[13, 14]"""
        groups: dict[object, list[DataMessage]] = defaultdict(list)
        for message in permitted:
            newest = self.rules[message.kind].newest
            pair = frozenset(message.authors), message.kind
            groups[pair if newest else message.lane].append(message)
        return [message for group in groups.values() for message in self.choose_of_group(group)]

    def choose_of_group(self, group: Sequence[DataMessage]) -> Iterator[DataMessage]:
        rules = self.rules[group[0].kind]
        slots: Counter[object] = Counter()
        blocks: Counter[object] = Counter()
        if rules.newest:
            ordered = sorted(group, key=order, reverse=True)
        else:
            ordered = sorted(group, key=lambda message: (message.sequence, message.id))
        for message in ordered:
            block = message.lane, message.global_time >> BLOCK_BITS
            if slots[message.slot] == self.slot_max() or (rules.rate and blocks[block] == rules.rate):
                continue
            if rules.newest and len(+slots) == rules.newest and not slots[message.slot]:
                continue
            slots[message.slot] += 1
            blocks[block] += 1
            yield message

    def slot_max(self) -> int:
        return 2

    # -- pruning [19, 20] ------------------------------------------------------------------------------------

    def is_inactive(self, message: DataMessage) -> bool:
        return self.is_below(message, self.rules[message.kind].inactive)

    def is_gone(self, message: DataMessage) -> bool:
        return message.kind in self.rules and self.is_below(message, self.rules[message.kind].prune)

    def is_below(self, message: DataMessage, threshold: int) -> bool:
        if not threshold:
            return False
        step = 1
        while 16 * step <= self.rules[message.kind].inactive:
            step *= 2
        return message.global_time <= self.time - self.time % step - threshold

    def latest(self, state: State) -> int:
        """The highest global time that a clock may follow: of what is live, or permitted and not too old."""
        if self.hard is not None:
            return self.hard.global_time
        offered = (each for each in self.permitted if each.kind not in self.on_request)
        times = [each.global_time for each in offered if not self.is_inactive(each)]
        governing = [*self.control.values(), *self.definitions]
        return max([0, *times, *(each.global_time for each in governing if each.id in state.live)])

    # -- undo and what is live [16, 17] ----------------------------------------------------------------------

    def counting_undos(self, chosen: Iterable[DataMessage]) -> list[ControlMessage]:
        targets = {message.id: message for message in chosen}
        least: dict[tuple[MemberId, Undo, bool], ControlMessage] = {}
        for message in self.control.values():  # in their order
            if not isinstance(message.body, Undo):
                continue
            # What makes undos equal; of one kind and time alone where those of the target are not known.
            if message.body.kind in self.on_request:
                if self.stands(message, message.body):
                    takes_all = self.takes_all(message, message.body)
                    least.setdefault((message.author, message.body, takes_all), message)
            elif self.may_undo(message, message.body, targets):
                least.setdefault((message.author, message.body, True), message)
        return list(least.values())

    def stands(self, message: ControlMessage, undo: Undo) -> bool:
        """Of what is on request: whoever may take back all, or might have written it, whether it is held
        or not."""
        if message.global_time <= undo.global_time:
            return False
        is_public = self.is_public(undo.kind, message.global_time, self.settings) and all(
            any(message.author[:16] in lane for lane in kept_lanes(narrowing, self.settings))
            for narrowing in self.settings
            if isinstance(narrowing.body, Settings)
            and narrowing.body.kind == undo.kind
            and narrowing.body.is_linear
            and narrowing.body.continues is None
            and narrowing.global_time >= message.global_time
        )
        may_write = is_public or self.depth_of(message, undo.kind, Permission.PERMIT) is not None
        return may_write or self.takes_all(message, undo)

    def takes_all(self, message: ControlMessage, undo: Undo) -> bool:
        """Whether it takes back also what others have written."""
        return (
            self.is_before_the_end(message) and self.depth_of(message, undo.kind, Permission.UNDO) is not None
        )

    def in_effect(
        self, undos: Iterable[ControlMessage], chosen: Iterable[DataMessage]
    ) -> list[ControlMessage]:
        """Those that take something of what is held back."""
        targets = {message.id: message for message in chosen}
        return [
            each
            for each in undos
            if isinstance(each.body, Undo)
            and (each.body.kind not in self.on_request or self.may_undo(each, each.body, targets))
        ]

    def may_undo(self, message: ControlMessage, undo: Undo, targets: dict[MessageId, DataMessage]) -> bool:
        target = targets.get(undo.target)
        if target is None or (target.kind, target.global_time) != (undo.kind, undo.global_time):
            return False
        is_own = message.author in target.authors
        if not is_own and not self.is_before_the_end(message):
            return False
        return message.global_time > target.global_time and (
            is_own or self.depth_of(message, undo.kind, Permission.UNDO) is not None
        )

    def live_control(self, counting: set[MessageId]) -> set[MessageId]:
        own = self.masters_own() | counting
        return own | self.reached(own | self.pinned_heads())

    def masters_own(self) -> set[MessageId]:
        return {
            message.id
            for message in self.control.values()
            if message.author == self.master and self.is_before_the_end(message)
        }

    def pinned_heads(self) -> set[MessageId]:
        return {head for cuts in self.cuts.values() for cut in cuts for head in cut.withdrawal.heads}


def _is_whole(message: Message) -> bool:
    """An undo of a whole message: by its author it erases, and no end brings back what is gone."""
    return (
        isinstance(message, ControlMessage) and isinstance(message.body, Undo) and message.body.index is None
    )


def _is_hard(message: ControlMessage) -> bool:
    return isinstance(message.body, Destroy) and message.body.is_hard
