"""Judges a history: whether its nodes agree after they have told each other everything, and whether what they
agree on is safe.

Nodes that all follow a wrong rule agree, too: so what grants and revokes must achieve is checked beside it,
from what was written alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dispersy.errors import DispersyError
from dispersy.protocol.identifiers import MemberId
from dispersy.protocol.permissions.control_messages import (
    Authorize,
    ControlMessage,
    Permission,
    Revoke,
    Settings,
    Undo,
)
from tests.oracle.community import Community
from tests.oracle.decisions import Decisions
from tests.oracle.histories import History
from tests.oracle.node import Node
from tests.oracle.pinning import HonestRevoke
from tests.oracle.state import DataMessage, State
from tests.oracle.timeline import Oracle
from tests.oracle.writing import Pen

BROKEN = (AssertionError, AttributeError, DispersyError, LookupError, TypeError, ValueError)
"""How code fails that meets what nobody thought of."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one history.

    fault        what was wrong, "" when nothing was
    has_passing  whether a kind is kept by nobody; has_ranks: whether some are fetched before others
    has_long     whether messages are longer than some definitions admit
    """

    seed: int | str
    fault: str
    has_revoke: bool
    has_partition: bool
    has_passing: bool
    has_ranks: bool
    has_long: bool


def judge(
    seed: int | str, oracle: type[Oracle] = Oracle, *, node: Callable[[Pen, Decisions], Node] = Node
) -> Verdict:
    """Run the history of this seed to its end, by the rules of this oracle, on nodes of this kind."""
    history = History(seed, node=node, oracle=oracle)
    fault = ""
    try:
        # What is late comes after everybody has agreed once.
        for _ in range(2):
            history.run()
            history.settle()
            fault = fault or next(faults(history), "")
    except BROKEN as error:
        # The product's nodes compare themselves with the rules at every step.
        fault = fault or f"{type(error).__name__}: {error}"
    for each in history.nodes:
        each.close()
    rules = history.kinds.values()
    return Verdict(
        seed,
        fault,
        has_revoke=history.has_revoke,
        has_partition=history.has_partition,
        has_passing=any(each.spread != "kept" for each in rules),
        has_ranks=any((each.priority, each.order) != (128, "ascending") for each in rules),
        has_long=history.has_long,
    )


def faults(community: Community) -> Iterator[str]:
    """What is wrong with a community that has settled."""
    first, *others = community.nodes
    state = first.shared()
    for number, node in enumerate(others, start=1):
        if node.shared() != state:
            yield f"nodes 0 and {number} disagree: {difference(state, node.shared())}"
    for number, node in enumerate(community.nodes):
        if node.state_of(node.live()) != node.state():
            yield f"node {number} is in another state without what is not live"
    for revoke in community.revokes:
        yield from escapes(community, revoke, state)
    yield from made_up(community, state)
    yield from passed_wrongly(community, state)


def difference(one: State, other: State) -> str:
    """In a few words."""
    live = one.live ^ other.live
    if live:
        return f"live {sorted(each.hex()[:8] for each in live)}"
    names = ("counting", "powers", "policies", "marks")
    return ", ".join(name for name in names if getattr(one, name) != getattr(other, name))


def escapes(community: Community, revoke: HonestRevoke, state: State) -> Iterator[str]:
    """What counts of what a member wrote after the master revoked it, and that the pin does not name."""
    withdrawal, at = revoke.withdrawal, (revoke.message.global_time, revoke.message.id)
    if revoke.message.id not in state.live or withdrawal.member == community.master:
        return  # the community was destroyed before; nothing takes anything from the master
    granted_again = Permission(0)
    for message in community.written:
        if isinstance(message, ControlMessage) and isinstance(message.body, Authorize):
            for grant in message.body.grants:
                is_later = (message.global_time, message.id) > at
                if is_later and (grant.member, grant.kind) == (withdrawal.member, withdrawal.kind):
                    granted_again |= grant.permissions
    gone = withdrawal.permissions & ~granted_again
    sinces = {power.since for power in state.powers if power.kind == withdrawal.kind}
    for message in community.written[revoke.moment :]:
        if isinstance(message, DataMessage):
            is_linear = community.resolution(message.kind) == "linear"
            is_gone = is_linear and Permission.PERMIT in gone and message.kind == withdrawal.kind
            is_pinned = any(low <= message.sequence <= high for low, high in withdrawal.ranges)
            is_lost = is_gone and not is_pinned and message.authors == (withdrawal.member,)
            if is_lost and message.id in state.live:
                yield f"{message.id.hex()[:8]} was written after a revoke and is live"
        elif isinstance(message, ControlMessage) and message.author == withdrawal.member:
            if message.id in revoke.pinned:
                continue
            match message.body:
                case Authorize() if Permission.AUTHORIZE in gone:
                    has_effect = (message.global_time, message.id) in sinces
                case Revoke((only,)) if Permission.REVOKE in gone and only.kind == withdrawal.kind:
                    has_effect = message.id in state.counting
                case Settings(kind) if Permission.SETTINGS in gone and kind == withdrawal.kind:
                    has_effect = message.id in state.counting
                case Undo(_, kind) if kind in community.on_request():
                    has_effect = False  # who might have written it may say so
                case Undo(target, kind) if Permission.UNDO in gone and kind == withdrawal.kind:
                    authors = next((each.authors for each in community.data() if each.id == target), ())
                    has_effect = message.id in state.counting and message.author not in authors
                case _:
                    has_effect = False
            if has_effect:
                yield f"{message.id.hex()[:8]} was written after a revoke and counts"


def made_up(community: Community, state: State) -> Iterator[str]:
    """Powers that no chain of grants leads to from the master, even if nothing had ever been revoked."""
    held = ever_granted(community)
    for power in state.powers:
        if (power.member, power.kind, power.permission) not in held:
            yield f"{power.permission!r} was granted by nobody who had it"


def passed_wrongly(community: Community, state: State) -> Iterator[str]:
    """What is kept though nobody keeps it, and what was taken twice, by another, or of who never might."""
    passing = {kind for kind, rules in community.kinds.items() if rules.spread != "kept"}
    for message in community.data():
        if message.kind in passing and message.id in state.live:
            yield f"{message.id.hex()[:8]} is live and of a kind that nobody keeps"
    held = ever_granted(community)
    for number, node in enumerate(community.nodes):
        taken = node.passed.taken
        if len({message.id for message in taken}) < len(taken):
            yield f"node {number} has taken something twice"
        for message in taken:
            holders = {
                member
                for member, kind, permission in held
                if (kind, permission) == (message.kind, Permission.PERMIT)
            }
            if community.resolution(message.kind) == "linear" and not holders.issuperset(message.authors):
                yield f"node {number} has taken {message.id.hex()[:8]} of who never might write it"
            if message.recipient not in (None, community.master):
                yield f"node {number} has taken {message.id.hex()[:8]}, which is for another"


def ever_granted(community: Community) -> set[tuple[MemberId, int, Permission]]:
    """Every power to which a chain of grants leads from the master."""
    held = {(community.master, kind, permission) for kind in community.kinds for permission in Permission}
    grants = [
        (message.author, grant.member, grant.kind, permission)
        for message in community.written
        if isinstance(message, ControlMessage) and isinstance(message.body, Authorize)
        for grant in message.body.grants
        for permission in grant.permissions
    ]
    before = 0
    while len(held) > before:
        before = len(held)
        held |= {
            (member, kind, permission)
            for author, member, kind, permission in grants
            if {(author, kind, Permission.AUTHORIZE), (author, kind, permission)} <= held
        }
    return held
