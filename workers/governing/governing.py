"""Governing: what a person wants of a community becomes signed control messages of the batch being gathered.

Checked before anything is signed: a message that would not count stays out, and whoever asked is told why.
What a revoke, and settings to linear, let go on counting is what this node holds, so an order is carried out
when all that came before it is durable: the ledger sees to that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

from dispersy.constants import GLOBAL_TIME_MAX
from dispersy.errors import UsageError
from dispersy.protocol.definitions.definition import decode_definition
from dispersy.protocol.definitions.succession import check_successor
from dispersy.protocol.identifiers import CommunityId, MemberId, MessageId
from dispersy.protocol.permissions.control_messages import (
    Authorize,
    Body,
    Destroy,
    Grant,
    Permission,
    Settings,
    Undo,
    control_kind,
    encode_body,
    read_control,
)
from dispersy.protocol.wire.message import NO_PREVIOUS, MessageView, create_message, read_message
from dispersy.protocol.wire.numbers import COMMUNITY_KIND_MIN, ControlKind
from dispersy.storage.keyring import Key, Keyring
from dispersy.storage.store import StoreWriter
from dispersy.workers.authoring.orders import ControlOrder, Outcome, Ticket
from dispersy.workers.authoring.publishing import PUBLISH_MESSAGES_MAX, Publishing
from dispersy.workers.governing.explaining import control_views
from dispersy.workers.governing.permissions import is_double, is_dynamic, kind_name, known_members, would_cut
from dispersy.workers.governing.pins import (
    ControlLink,
    control_chain,
    cut_of,
    fits,
    in_portions,
    revokes_of,
    settings_of,
    withdrawal_of,
)
from dispersy.workers.keeping.communities import Communities, Community
from dispersy.workers.keeping.finding import find_ids
from dispersy.workers.membership.members import resolve_member
from dispersy.workers.membership.naming import chosen_key

CONTROL_MESSAGES_MAX = PUBLISH_MESSAGES_MAX
"""Of one order: settings to linear that keep what some 20,000 authors have written."""

Statement = Body | bytes
"""What a control message says; bytes: a definition."""


@dataclass(frozen=True, slots=True)
class _Signer:
    """Who signs in a community, and what this key has signed there before."""

    community: Community
    key: Key
    chain: Sequence[ControlLink]

    @property
    def is_master(self) -> bool:
        return self.key.public == self.community.record.community_id

    @property
    def name(self) -> str:
        return f"the founder's key {self.key.name}" if self.is_master else f"the key {self.key.name}"


class Governing:
    """What our keys may say about who may do what; what comes of it is decided as it is for everybody's."""

    def __init__(
        self, store: StoreWriter, keyring: Keyring, communities: Communities, publishing: Publishing
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._communities = communities
        self._publishing = publishing
        self._acts: dict[str, Callable[[_Signer, ControlOrder], Sequence[Statement]]] = {
            "authorize": self._authorize,
            "revoke": self._revoke,
            "undo": self._undo,
            "policy": self._policy,
            "destroy": self._destroy,
            "define": self._define,
        }

    def govern(
        self,
        ticket: Ticket,
        *,
        number: int,
        control: ControlOrder,
        request_id: bytes,
        as_key: str,
        now_ms: int,
    ) -> Outcome | None:
        """Sign what the order asks for, and put it into the batch.

        as_key   the key that signs, as chosen_key() takes it; empty: the founder's where this node has it,
                 else our own here; for an undo, before both, the one that signed what is taken back
        returns  the outcome of a request that was answered before, or that finds done what it asks for
        raises   UsageError: as Publishing.publish(), and not-permitted, not-founder, not-dynamic,
                 pin-too-long, nothing-to-revoke, not-undoable, message-unknown, member-unknown, ...
        """
        is_begun, outcome = self._publishing.begun(ticket, request_id, now_ms=now_ms)
        if is_begun:
            return outcome
        act = self._acts.get(control.act)
        if act is None:
            raise UsageError(f"the writer does not know the order '{control.act}'", code="op-unknown")
        community = self._communities.joined(number)
        if not (control.act == "destroy" and control.is_hard):
            self._communities.serving(number)
        signer = self._signer(community, as_key, control)
        statements = act(signer, control)
        if not statements:
            return ticket, {
                "ids": [],
                "first_cursor": 0,
                "last_cursor": 0,
                "repeated": False,
                "already": True,
            }
        above = self._target(community, control.message_id).global_time if control.act == "undo" else 0
        messages = self._sign(signer, statements, above=above)
        self._publishing.take(ticket, request_id, community, messages, refused=_not_counted)
        return None

    # -- who signs -------------------------------------------------------------------------------------------

    def _signer(self, community: Community, as_key: str, control: ControlOrder) -> _Signer:
        record = community.record
        if as_key:
            key = chosen_key(self._keyring, as_key)
        else:
            key = self._own_of(community, control) or self._keyring.by_public(
                record.community_id if record.is_master else record.member_id
            )
        chain = control_chain(self._store, record.number, record.community_id, key.public)
        return _Signer(community, key, chain)

    def _own_of(self, community: Community, control: ControlOrder) -> Key | None:
        """The key of ours that signed what an undo takes back: only its author's own undo erases."""
        if control.act != "undo":
            return None
        target = self._target(community, control.message_id)
        ours = {key.public: key for key in self._keyring.readable()[0]}
        return next((ours[author] for author in _authors(target) if author in ours), None)

    def _sign(self, signer: _Signer, statements: Sequence[Statement], *, above: int) -> list[bytes]:
        """Whole messages, each following the one before in its author's chain, at a later global time than
        `above`.

        What is far ahead of our clock does not lift it: an undo of a message that claims the end of time
        must not leave this node nothing later to sign with.
        """
        community = signer.community
        global_time = max(community.clock, above) + 1
        if global_time + len(statements) > GLOBAL_TIME_MAX:
            raise UsageError(
                "nothing can be signed later than this message: it claims the end of time",
                code="refused",
                hint="revoke its author, which hides it",
            )
        if global_time == community.clock + 1:
            community.clock += len(statements)
        # Definitions are a chain of their own: the timeline, which follows the other, does not hold them.
        are_definitions = isinstance(statements[0], bytes)
        before = [
            link
            for link in signer.chain
            if link.global_time < global_time and (link.kind == ControlKind.DEFINITION) == are_definitions
        ]
        previous = before[-1].id if before else NO_PREVIOUS
        newest = {link.kind: link.sequence for link in sorted(signer.chain, key=lambda link: link.sequence)}
        messages: list[bytes] = []
        first: MessageId | None = None
        community_id = CommunityId(community.record.community_id)
        for statement in statements:
            if isinstance(statement, Settings) and statement.continues is not None:
                assert first is not None
                statement = replace(statement, continues=first)
            kind = ControlKind.DEFINITION if isinstance(statement, bytes) else control_kind(statement)
            newest[kind] = newest.get(kind, 0) + 1
            message = create_message(
                community_id,
                signer.key.secret,
                kind=kind,
                global_time=global_time + len(messages),
                sequence=newest[kind],
                payloads=[statement if isinstance(statement, bytes) else encode_body(statement)],
                previous=previous,
            )
            previous = read_message(community_id, message).id
            first = first or previous
            messages.append(message)
        return messages

    # -- what is said ----------------------------------------------------------------------------------------

    def _authorize(self, signer: _Signer, control: ControlOrder) -> Sequence[Statement]:
        permissions = Permission(control.permissions)
        for kind in control.kinds:
            _require(signer, kind, Permission.AUTHORIZE | permissions)
        members = self._members(signer.community, control)
        rows = [
            Grant(MemberId(member), kind, permissions) for member, kind in product(members, control.kinds)
        ]
        return _limited(
            [
                Authorize(part)
                for part in in_portions(sorted(rows, key=_place), lambda part: fits(Authorize(part)))
            ]
        )

    def _revoke(self, signer: _Signer, control: ControlOrder) -> Sequence[Statement]:
        permissions = Permission(control.permissions)
        for kind in control.kinds:
            _require(signer, kind, Permission.REVOKE)
        community = signer.community
        members = self._members(community, control)
        if not control.force and not would_cut(
            community, signer.key.public, members, control.kinds, permissions
        ):
            raise UsageError(
                "none of these members holds such a permission that this key may revoke",
                code="nothing-to-revoke",
                hint="`dispersy permissions` shows who holds what, and its depth: authorize and revoke are "
                "taken only by somebody nearer to the founder",
            )
        withdrawals = []
        for member in members:
            chain = control_chain(self._store, community.record.number, community.record.community_id, member)
            for kind in control.kinds:
                withdrawals.append(
                    withdrawal_of(
                        self._store,
                        community.record.number,
                        member=member,
                        kind=kind,
                        permissions=permissions,
                        chain=chain,
                        is_double=is_double(community, kind),
                    )
                )
        return _limited(revokes_of(withdrawals, force=control.force))

    def _undo(self, signer: _Signer, control: ControlOrder) -> Sequence[Statement]:
        target = self._target(signer.community, control.message_id)
        if control.index is not None and control.index >= len(target.payloads):
            raise UsageError(
                f"this message has {len(target.payloads)} payloads, and none with index {control.index}",
                code="count",
                hint="the first one has index 0",
            )
        if signer.key.public not in _authors(target):
            _require(signer, target.kind, Permission.UNDO)
        if self._is_undone(signer, target, control.index):
            return ()
        return (Undo(target.id, target.kind, target.global_time, control.index),)

    def _policy(self, signer: _Signer, control: ControlOrder) -> Sequence[Statement]:
        (kind,) = control.kinds
        community = signer.community
        timeline = community.intake.timeline
        if not is_dynamic(community, kind):
            raise UsageError(
                f"the definition says once and for all who may publish {kind_name(community, kind)}",
                code="not-dynamic",
                hint='only a kind with resolution = "dynamic" changes; define a new kind that is',
            )
        _require(signer, kind, Permission.SETTINGS)
        if timeline.is_public(kind, community.clock + 1) != control.is_linear:
            return ()
        if not control.is_linear:
            return (Settings(kind, is_linear=False),)
        parts = settings_of(kind, *cut_of(self._store, community.record.number, kind))
        return parts[:CONTROL_MESSAGES_MAX] if control.force else _limited(parts)

    def _destroy(self, signer: _Signer, control: ControlOrder) -> Sequence[Statement]:
        _require_master(signer, "end this community")
        if control.is_hard and signer.community.intake.timeline.hard_destroyed is not None:
            return ()
        return (Destroy(control.is_hard),)

    def _define(self, signer: _Signer, control: ControlOrder) -> Sequence[Statement]:
        _require_master(signer, "define this community anew")
        whole = signer.community.intake.definitions.whole()
        assert whole is not None, "the founder's node made the first one"
        check_successor(whole, decode_definition(control.definition))
        return (control.definition,)

    # -- what it is about ------------------------------------------------------------------------------------

    def member(self, community: Community, text: str) -> bytes:
        """The key of the member that `text` names; UsageError `member-unknown`, `member-ambiguous`."""

        def known() -> Iterable[bytes]:
            return known_members(self._store, community)

        return resolve_member(text, self._keyring, known)

    def _members(self, community: Community, control: ControlOrder) -> list[bytes]:
        return sorted({self.member(community, text) for text in control.members})

    def _target(self, community: Community, message_id: bytes) -> MessageView:
        """The message that is to be taken back; UsageError `message-unknown`, `not-undoable`."""
        (cursor,) = find_ids(self._store, community.record.number, [message_id])
        if cursor is None:
            raise UsageError(
                "this node does not hold that message, or it does not count",
                code="message-unknown",
                hint="`dispersy explain` says what is known of it",
            )
        (entry,) = self._store.entries([cursor])
        # By the id that it was stored under: of one that was erased no payload is left to tell it.
        target = replace(
            read_message(CommunityId(community.record.community_id), entry.message),
            id=MessageId(message_id),
        )
        if target.kind < COMMUNITY_KIND_MIN:
            raise UsageError(
                "what governs a community is not taken back",
                code="not-undoable",
                hint="revoke what was authorized; change a policy again; publish a newer definition",
            )
        return target

    def _is_undone(self, signer: _Signer, target: MessageView, index: int | None) -> bool:
        """Whether the signer has taken it back before: a second undo would say nothing."""
        undos = signer.community.intake.timeline.undos_of(target.id)
        for view in control_views(self._store, signer.community, undos):
            body = read_control(view).body
            if view.author == signer.key.public and isinstance(body, Undo) and body.index == index:
                return True
        return False


def _authors(message: MessageView) -> list[MemberId]:
    return [author for author in (message.author, message.second_author) if author is not None]


def _place(grant: Grant) -> tuple[bytes, int]:
    return grant.member, grant.kind


def _require(signer: _Signer, kind: int, permissions: Permission) -> None:
    """UsageError `not-permitted` where the signer lacks one of these now."""
    community = signer.community
    at = community.clock + 1
    for permission in permissions:
        if not community.intake.timeline.holds(MemberId(signer.key.public), kind, permission, at):
            word, name = str(permission.name).lower(), kind_name(community, kind)
            raise UsageError(
                f"{signer.name} holds no {word} for kind {name}",
                code="not-permitted",
                hint=f"ask somebody who does: dispersy permissions {community.record.name} --kind {name}",
            )


def _require_master(signer: _Signer, what: str) -> None:
    if not signer.is_master:
        raise UsageError(
            f"only the founder can {what}, and {signer.name} is not the founder's",
            code="not-founder",
            hint="do it on the node that made the community, or name the founder's key with `as`",
        )


def _limited(statements: Sequence[Statement]) -> Sequence[Statement]:
    if len(statements) > CONTROL_MESSAGES_MAX:
        raise UsageError(
            f"this takes {len(statements)} messages; one request makes {CONTROL_MESSAGES_MAX}",
            code="pin-too-long",
            hint="name fewer at once; to settings, force keeps what fits",
        )
    return statements


def _not_counted() -> UsageError:
    return UsageError(
        "the community's rules do not let this count",
        code="refused",
        hint="`dispersy permissions` shows who may do what",
    )
