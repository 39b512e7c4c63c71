"""The packed records of ext/records.h as Python reads them, fields in the order of the header."""

from __future__ import annotations

from array import array
from struct import Struct

DATAGRAM = Struct("=IH18s")
"""offset, length, address"""

FRAME = Struct("=IIHHBBH")
"""datagram, offset, length, community, type, token_state, spare"""

ENVELOPE = Struct("=IIIHHHBB24s24s24sI")
"""datagram, number, offset, length, community, count, flags, token_state, low, high, summary, spare"""
ENVELOPE_HEAD = Struct("=IIIHHH")
"""Its first six fields."""

MESSAGE = Struct("=IIQQHBBBBBB32s32s")
"""offset, length, global_time, sequence, header_size, kind, flags, payload_count, signature_count, state,
source, id, digest"""

TOKEN_ZERO, TOKEN_INVALID, TOKEN_CURRENT, TOKEN_PREVIOUS = 0, 1, 2, 3
END_OF_RANGE, LAST_OF_ANSWER, HAS_SUMMARY = 1, 2, 4
STRIPPED_LIST = 128
"""Flag of an ENVELOPE that no sender sets: it is of a stripped frame, which covers no interval."""
ID_KEY_SIZE = 16
"""Of the first bytes of an id, by which tables know a message."""
_WORDS, _ID_WORD = MESSAGE.size // 8, 4
"""Of 8 bytes in a message_record, and the first of its id."""

WHOLE, STRIPPED = 0, 1
"""States of a MESSAGE: a stripped one is header, digest and signatures, and its payload count is 1."""


def id_keys(records: bytes) -> bytes:
    """The first 16 bytes of the ids of packed message_records; by columns, without a loop over messages."""
    words = array("Q", records)
    keys = array("Q", bytes(len(words) // _WORDS * ID_KEY_SIZE))
    keys[0::2] = words[_ID_WORD::_WORDS]
    keys[1::2] = words[_ID_WORD + 1 :: _WORDS]
    return keys.tobytes()
