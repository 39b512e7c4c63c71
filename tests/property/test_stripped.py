"""Stripped messages: the wire kernel against its plain twin, and what stays the same when payloads go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dispersy.constants import MESSAGE_SIZE_MAX
from dispersy.ext import digest, wire
from dispersy.protocol.wire import records, stripped
from tests.oracle import wire as oracle
from tests.property.test_wire import (
    anything,
    assert_same_messages,
    messages,
    new_drops,
    steady,
    stripped_pairs,
    unpacked,
)


@steady
@given(st.lists(stripped_pairs, max_size=6).map(b"".join) | anything)
def test_stripped_messages_parse_as_the_format_says(area: bytes) -> None:
    """Goal: as for whole ones; neither is ever taken for the other."""
    assert_same_messages(area, stripped=True)
    assert_same_messages(area)


@steady
@given(messages())
def test_what_is_stripped_is_the_same_message(message: bytes) -> None:
    """Goal: a stripped message has id and digest of the whole one, and none but stored kinds has one."""
    if len(message) > MESSAGE_SIZE_MAX:
        return
    parsed = oracle.parse_message(message)
    whole, left = oracle.uvarint(len(message)) + message, oracle.strip(message)
    short = oracle.uvarint(len(left)) + left
    whole_record = wire.parse_messages(whole, new_drops())
    short_record = wire.parse_messages(short, new_drops(), stripped=True)
    if parsed.kind < 64 or not parsed.signature_count:
        assert short_record == b""
        return
    assert stripped.strip(message) == left
    assert stripped.payload_count(message) == parsed.payload_count
    digest.identify_many(whole_record, whole, bytes(32))
    digest.identify_many(short_record, short, bytes(32))
    (one,), (other,) = unpacked(records.MESSAGE, whole_record), unpacked(records.MESSAGE, short_record)
    assert one[2:7] == other[2:7]
    assert one[8] == other[8]
    assert one[11:] == other[11:]
    emptied = stripped.with_empty_payloads(left, parsed.payload_count)
    area = oracle.uvarint(len(emptied)) + emptied
    (shown,) = unpacked(records.MESSAGE, wire.parse_messages(area, new_drops()))
    assert shown[2:9] == one[2:9]
