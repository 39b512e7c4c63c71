"""The kernel of the store's rows in plain Python, one row after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import pack, unpack

from dispersy.protocol.identifiers import lane_name
from dispersy.protocol.intake.marks import ERASED, ON_REQUEST
from dispersy.protocol.wire.records import MESSAGE
from dispersy.storage.layout import lane_hash, part_key

Row = tuple[bytes, bytes]


def block_rows(
    records: bytes,
    arena: bytes,
    marks: bytes,
    first_cursor: int,
    community: int,
    heads: Mapping[int, bytes],
) -> tuple[list[Row], list[Row], bytes, bytes]:
    log, order, slots, cursors = [], [], b"", b""
    cursor = first_cursor
    for fields, mark in zip(MESSAGE.iter_unpack(records), marks, strict=True):
        offset, length, global_time, sequence, count, message_id = (*fields[:4], fields[7], fields[11])
        message = arena[offset : offset + length]
        key = pack(">Q", cursor)
        log.append((key, heads[mark] + message_id + message + bytes([count]) * bool(mark & ERASED)))
        place = pack(">IQ", community, global_time) + message_id
        order.append((part_key(place, on_request=bool(mark & ON_REQUEST)), key))
        slots += lane_hash(community, lane_name(message), message[0])
        slots += pack(">QQQ", sequence, global_time, cursor)
        cursors += pack("=Q", cursor)
        cursor += count
    return log, sorted(order), slots, cursors


def scanned(rows: Sequence[Row], bound: bytes, *, descends: bool) -> tuple[bytes, bytes]:
    keys, cursors = b"", b""
    for key, cursor in rows:
        if (key < bound) == descends:
            break
        keys += key[4:]
        cursors += pack("=Q", *unpack(">Q", cursor))
    return keys, cursors


def ids_of(keys: bytes) -> bytes:
    return b"".join(keys[at + 8 : at + 40] for at in range(0, len(keys), 40))
