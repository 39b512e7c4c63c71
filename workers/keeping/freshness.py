"""What of a commit neighbours are told at once: new messages, as far as their kinds are offered to all."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dispersy.bus.frames import FreshMessages
from dispersy.constants import DATAGRAM_MESSAGE_SIZE_MAX
from dispersy.protocol.intake.marks import HIDDEN_BY_EQUIVOCATION, HIDDEN_BY_ORDER
from dispersy.protocol.spreading.spreading import FRESH_MAX
from dispersy.protocol.wire.announcements import PREFIX_SIZE
from dispersy.protocol.wire.records import MESSAGE

SPREADS = HIDDEN_BY_EQUIVOCATION | HIDDEN_BY_ORDER
"""Marks that what spreads may have: everybody must hear of misbehaviour. What is on request has another."""
ID_INDEX = 11
"""Of this field in an unpacked message_record."""


def fresh_messages(
    blocks: Sequence[tuple[bytes, bytes, bytes]],
    published: Collection[bytes],
) -> FreshMessages | None:
    """What may spread of one community's part of a commit; None: nothing, or so much that synchronisation
    brings it better.

    blocks     (packed message_records, arena, one byte of marks a record)
    published  ids of messages that this node publishes with it
    """
    if not 0 < sum(len(records) for records, _, _ in blocks) <= FRESH_MAX * MESSAGE.size:
        return None
    own: list[tuple[bytes, bytes]] = []
    taken: list[tuple[bytes, bytes]] = []
    for records, arena, marks in blocks:
        for fields, mark in zip(MESSAGE.iter_unpack(records), marks, strict=True):
            offset, length, message_id = fields[0], fields[1], fields[ID_INDEX]
            is_told = not mark & ~SPREADS and length <= DATAGRAM_MESSAGE_SIZE_MAX
            if not is_told:
                continue
            (own if message_id in published else taken).append((message_id, arena[offset : offset + length]))
    if not own and not taken:
        return None
    return FreshMessages(
        own=[message for _, message in own],
        taken=[message for _, message in taken],
        prefixes=b"".join(message_id[:PREFIX_SIZE] for message_id, _ in (*own, *taken)),
    )
