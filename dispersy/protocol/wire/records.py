"""The packed records of ext/records.h as Python reads them, fields in the order of the header."""

from __future__ import annotations

from struct import Struct

from dispersy.ext import rows

DATAGRAM = Struct("=IH18s")
"""offset, length, address"""

FRAME = Struct("=IIHHBBH")
"""datagram, offset, length, community, type, token_state, spare"""

ENVELOPE = Struct("=IIIHHHBB24s24s24sI")
"""datagram, number, offset, length, community, count, flags, token_state, low, high, summary, spare"""
ENVELOPE_HEAD = Struct("=IIIHHHB77x")
"""Its first seven fields, and none of the others."""

MESSAGE = Struct("=IIQQHBBBBBB32s32s")
"""offset, length, global_time, sequence, header_size, kind, flags, payload_count, signature_count, state,
source, id, digest"""

TOKEN_ZERO, TOKEN_INVALID, TOKEN_CURRENT, TOKEN_PREVIOUS = 0, 1, 2, 3
END_OF_RANGE, LAST_OF_ANSWER, HAS_SUMMARY = 1, 2, 4
STRIPPED_LIST = 128
"""Flag of an ENVELOPE that no sender sets: it is of a stripped frame, which covers no interval."""

WHOLE, STRIPPED = 0, 1
"""States of a MESSAGE: a stripped one is header, digest and signatures, and its payload count is 1."""


def id_keys(records: bytes) -> bytes:
    """The first 16 bytes of the ids of packed message_records, by which tables know a message."""
    return rows.id_keys(records)
