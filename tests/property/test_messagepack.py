"""Goal: the kernel, its plain twin and msgspec agree about what is one well-formed MessagePack value."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispersy.ext.wire import are_messagepack
from tests.oracle.messagepack import DEPTH_MAX, is_messagepack

plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.floats(allow_nan=False),
    st.text(max_size=40),
    st.binary(max_size=300),
    st.builds(msgspec.msgpack.Ext, st.integers(0, 127), st.binary(max_size=20)),
)
values = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=20)
        | st.dictionaries(st.text(max_size=5) | st.integers(0, 1 << 40), inner, max_size=20)
    ),
    max_leaves=40,
)


def agree(data: bytes) -> bool:
    """What kernel and twin say, which is the same."""
    told = are_messagepack([data]) == b"\1"
    assert told == is_messagepack(data), data.hex()
    return told


def decodes(data: bytes) -> bool:
    """Whether msgspec takes it."""
    try:
        msgspec.msgpack.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


@given(value=values)
def test_what_msgspec_writes_is_taken_and_nothing_shorter_or_longer(value: object) -> None:
    data = msgspec.msgpack.encode(value)
    assert agree(data)
    assert not agree(data + b"\0")
    assert not any(agree(data[:size]) for size in range(len(data)))


@given(data=st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    """What msgspec decodes is well formed, but that it passes over what follows it does not."""
    if agree(data):
        return
    assert not decodes(data)


@given(value=values, seed=st.integers(0, 1 << 32))
def test_a_byte_changed(value: object, seed: int) -> None:
    """Most changes leave it nearly right: counts, types and pieces of text."""
    rng = Random(seed)
    data = bytearray(msgspec.msgpack.encode(value))
    data[rng.randrange(len(data))] = rng.randrange(256)
    agree(bytes(data))


@given(text=st.binary(min_size=1, max_size=6))
def test_text_is_utf_8(text: bytes) -> None:
    """As Python decodes it."""
    try:
        text.decode()
        expected = True
    except UnicodeDecodeError:
        expected = False
    assert agree(bytes([0xA0 + len(text)]) + text) == expected


@pytest.mark.parametrize("lead", range(0x80, 0x100))
def test_every_pair_of_bytes_that_begins_a_character(lead: int) -> None:
    """All second bytes, with right ones after them: where shortest forms and surrogates are told apart."""
    for second in range(256):
        for more in range(3):
            text = bytes([lead, second]) + b"\x80" * more
            try:
                text.decode()
                expected = True
            except UnicodeDecodeError:
                expected = False
            assert agree(bytes([0xA0 + len(text)]) + text) == expected, text.hex()


@pytest.mark.parametrize("opening", [b"\x91", b"\xdc\0\1", b"\xdd\0\0\0\1", b"\x81\xc0", b"\xde\0\1\xc0"])
def test_depth_has_a_limit(opening: bytes) -> None:
    assert agree(opening * DEPTH_MAX + b"\xc0")
    assert not agree(opening * (DEPTH_MAX + 1) + b"\xc0")
    assert not agree(opening * 100_000 + b"\xc0") if len(opening) == 1 else True


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff\xc0",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\0",
        b"\xc7\0",
    ],
    ids=bytes.hex,
)
def test_claims_of_more_than_there_is_are_refused(data: bytes) -> None:
    """At once: a count of four billion is no reason to look for as many values."""
    assert not agree(data)


@pytest.mark.parametrize(
    "data",
    [b"\xc7\0\x05", b"\x82\1\1\1\1", b"\xcf\0\0\0\0\0\0\0\1", b"\xd9\0", b"\x80", b"\xd4\xff\0"],
    ids=bytes.hex,
)
def test_what_is_odd_and_well_formed_is_taken(data: bytes) -> None:
    """An empty extension, equal keys, long forms, a timestamp that is none: for the application to judge."""
    assert agree(data)


@given(payloads=st.lists(st.binary(max_size=8) | values.map(msgspec.msgpack.encode), max_size=20))
def test_a_batch_is_judged_payload_by_payload(payloads: list[bytes]) -> None:
    assert list(are_messagepack(payloads)) == [is_messagepack(payload) for payload in payloads]


def test_only_bytes_are_taken() -> None:
    with pytest.raises(TypeError):
        are_messagepack(["text"])  # type: ignore[list-item]
