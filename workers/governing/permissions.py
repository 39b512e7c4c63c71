"""Who may do what in a community, as the writer's timeline has it: to check before signing, and to show."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from dispersy.protocol.definitions.definition import Kind
from dispersy.protocol.permissions.control_messages import Permission
from dispersy.protocol.permissions.powers import SENIOR, Power
from dispersy.storage.store import StoreWriter
from dispersy.workers.governing.pins import lanes_with_authors
from dispersy.workers.keeping.communities import Community

PLACE_ID_SIZE = 16
"""So much of an id tells two grants of one global time apart: with it a place has 58 bytes."""
CUTS_SHOWN_MAX = 8
"""Revokes that a row names: one is enough to cut, and a row shall stay short."""


def kind_name(community: Community, kind: int) -> str:
    """As the definition names it, else its number."""
    found = community.intake.definitions.kind(kind)
    return found.name if found is not None else str(kind)


def is_double(community: Community, kind: int) -> bool:
    """Whether messages of a kind have two authors."""
    found = community.intake.definitions.kind(kind)
    return found is not None and found.authentication.name == "double-member"


def is_dynamic(community: Community, kind: int) -> bool:
    """Whether settings may change who may publish a kind."""
    return _resolution(community, kind) == "dynamic"


def known_members(store: StoreWriter, community: Community) -> set[bytes]:
    """The founder, our own member, all who hold or held a permission, and all who have published."""
    record = community.record
    members = {record.community_id, record.member_id}
    members.update(member for member, _, _, _ in community.intake.timeline.powers())
    for kind in _kinds(community):
        if is_double(community, kind.number):
            for authors, _ in lanes_with_authors(store, record.number, kind.number):
                members.update(authors)
        else:
            members.update(store.lanes(record.number, kind.number))
    return members


def would_cut(
    community: Community,
    revoker: bytes,
    members: Collection[bytes],
    kinds: Collection[int],
    permissions: Permission,
) -> bool:
    """Whether a revoke signed now by this key would take anything that these members hold now (rule 6)."""
    depths: dict[int, int] = {}
    held: list[tuple[int, Power]] = []
    for member, kind, power, cuts in community.intake.timeline.powers():
        if kind not in kinds or cuts:
            continue
        if member == revoker and power.permission == Permission.REVOKE:
            depths[kind] = min(depths.get(kind, power.depth), power.depth)
        if member in members and power.permission & permissions:
            held.append((kind, power))
    if revoker == community.record.community_id:
        return bool(held)
    return any(
        kind in depths
        and (power.depth > depths[kind] or (power.depth == depths[kind] and not power.permission & SENIOR))
        for kind, power in held
    )


def members_page(store: StoreWriter, community: Community, *, limit: int, after: bytes) -> dict[str, Any]:
    """`members` and `next` of a reply (docs/interface.md), with numbers for names.

    after    the last member of the page before; empty: from the beginning
    """
    record = community.record
    known = sorted(member for member in known_members(store, community) if member > after)
    page = known[:limit]
    held: dict[bytes, dict[int, int]] = {member: {} for member in page}
    for member, kind, power, cuts in community.intake.timeline.powers():
        if member in held and not cuts:
            held[member][kind] = held[member].get(kind, 0) | power.permission
    kinds = [kind.number for kind in _kinds(community)]
    rows = [
        {
            "member": member,
            "is_founder": member == record.community_id,
            "is_own": member == record.member_id,
            "permissions": held[member],
            "published": {
                kind: head[0] for kind in kinds if (head := store.heads.get(record.number, member, kind))
            },
        }
        for member in page
    ]
    return {"members": rows, "next": page[-1] if len(known) > limit else None}


def powers_page(
    community: Community, *, member: bytes | None, kind: int, at: int | None, limit: int, after: bytes
) -> dict[str, Any]:
    """`permissions`, `kinds`, `at` and `next` of a reply, with numbers for names.

    member, kind   only of these; None and 0: of all
    at             a global time; None: now, and whatever was granted
    after          the place of the last row of the page before; empty: from the beginning
    """
    timeline = community.intake.timeline
    rows: list[dict[str, Any]] = []
    place = following = b""
    for holder, number, power, cuts in timeline.powers():
        since = power.since.global_time
        if member not in (None, holder) or kind not in (0, number) or (at is not None and since >= at):
            continue
        here = holder + bytes((number, power.permission)) + since.to_bytes(8, "big")
        here += power.since.id[:PLACE_ID_SIZE]
        if here <= after:
            continue
        if len(rows) == limit:
            following = place
            break
        place = here
        rows.append(
            {
                "member": holder,
                "kind": number,
                "permission": int(power.permission),
                "since": since,
                "depth": power.depth,
                "revoked_by": [cut.at.id for cut in cuts[:CUTS_SHOWN_MAX]],
                "proof": [*timeline.proof_of(power.since.id), power.since.id],
            }
        )
    now = community.clock + 1 if at is None else at
    kinds = [
        {
            "kind": each.number,
            "resolution": _resolution(community, each.number),
            "policy": "public" if timeline.is_public(each.number, now) else "linear",
        }
        for each in _kinds(community)
        if kind in (0, each.number)
    ]
    return {"permissions": rows, "kinds": kinds, "at": now, "next": following or None}


def _kinds(community: Community) -> list[Kind]:
    return [kind for _, kind in sorted(community.intake.definitions.kinds().items())]


def _resolution(community: Community, kind: int) -> str:
    resolution = community.intake.definitions.resolutions()[kind]
    return resolution if isinstance(resolution, str) else resolution[0]
