"""The verify kernel against plain integers, on signatures good, damaged and made to divide libraries."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispersy.ext import digest, verify, wire
from dispersy.protocol.wire import records
from tests.oracle import verify as oracle

COMMUNITY_ID = b"\xc0" * 32

seeds = st.integers(0, 3).map(lambda number: bytes([number]) * 32)
texts = st.binary(max_size=80)
few = settings(max_examples=40, deadline=None)
"""The plain twin takes 10 ms and more a signature."""


@cache
def opened(seed: bytes) -> oracle.Secret:
    return oracle.Secret.from_seed(seed)


def secret_of(seed: bytes) -> bytes:
    return seed + verify.public_key(seed)


def judge(key: bytes, signature: bytes, message: bytes) -> bool:
    """The kernel's verdict, which must be the twin's."""
    (verdict,) = verify.verify_many(key, signature, [message])
    assert bool(verdict) == oracle.verify(key, signature, message)
    return bool(verdict)


def test_libsodium_judges_the_edge_cases_as_every_node_must() -> None:
    """Goal: the self-test passes here, and its cases are not all of one verdict."""
    verify.self_test()
    assert {case[1] for case in verify.EDGE_CASES} == {0, 1}


@pytest.mark.parametrize("case", verify.EDGE_CASES, ids=lambda case: case[0])
def test_the_edge_cases_are_what_the_rule_says(case: tuple[str, int, str, str, bytes]) -> None:
    """Goal: the constants of the self-test follow from the rule, not from what a library answered."""
    _, holds, key, signature, message = case
    assert judge(bytes.fromhex(key), bytes.fromhex(signature), message) == bool(holds)


def test_a_wrong_verdict_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: the self-test can fail, and says at which case."""
    what, holds, *rest = verify.EDGE_CASES[3]
    monkeypatch.setattr(verify, "EDGE_CASES", (verify.EDGE_CASES[0], (what, 1 - holds, *rest)))
    with pytest.raises(RuntimeError, match=r"S \+ L"):
        verify.self_test()


@few
@given(seeds, texts)
def test_signing_is_what_rfc_8032_says(seed: bytes, message: bytes) -> None:
    """Goal: keys and signatures are those of the plain twin, and hold."""
    secret = opened(seed)
    assert verify.public_key(seed) == oracle.encode(secret.point)
    signature = verify.sign_many(secret_of(seed), [message])
    assert signature == secret.sign(message)
    assert judge(verify.public_key(seed), signature, message)


@few
@given(seeds, texts, st.integers(0, 95), st.integers(0, 7))
def test_a_flipped_bit_never_holds(seed: bytes, message: bytes, byte: int, bit: int) -> None:
    """Goal: no bit of key or signature is without meaning."""
    signed = bytearray(verify.public_key(seed) + verify.sign_many(secret_of(seed), [message]))
    signed[byte] ^= 1 << bit
    assert not judge(bytes(signed[:32]), bytes(signed[32:]), message)


@few
@given(seeds, texts, st.sampled_from(range(8)), st.sampled_from(range(8)))
def test_points_of_mixed_order_are_judged_alike(seed: bytes, message: bytes, key_at: int, r_at: int) -> None:
    """Goal: where only the cofactor decides, kernel and rule agree (the equation is without it)."""
    secret, key_shift, r_shift = opened(seed), oracle.SMALL_POINTS[key_at], oracle.SMALL_POINTS[r_at]
    key = oracle.encode(oracle.add(secret.point, key_shift))
    judge(key, secret.sign(message, key_shift=key_shift, r_shift=r_shift), message)


@few
@given(st.sampled_from(range(8)), st.booleans(), st.booleans(), seeds, st.integers(0, 50))
def test_small_order_is_refused_however_it_is_written(
    at: int, long_form: bool, wrong_sign: bool, seed: bytes, number: int
) -> None:
    """Goal: a public key or an R of small order never holds, in its canonical encoding or another."""
    number_form = int.from_bytes(oracle.encode(oracle.SMALL_POINTS[at]), "little")
    if long_form and number_form % 2**255 + oracle.P < 2**255:
        number_form += oracle.P
    small = (number_form ^ wrong_sign << 255).to_bytes(32, "little")
    message = number.to_bytes(1, "big")
    secret = opened(seed)
    s = oracle.challenge(small, oracle.encode(secret.point), message) * secret.scalar % oracle.L
    assert not judge(oracle.encode(secret.point), small + s.to_bytes(32, "little"), message)
    assert not judge(small, secret.sign(message, key=small), message)


@given(st.binary(min_size=96, max_size=96), texts)
@few
def test_any_bytes_are_judged_alike(data: bytes, message: bytes) -> None:
    """Goal: arbitrary keys and signatures give a verdict, the same as the rule's."""
    judge(data[:32], data[32:], message)


def signed_message(flags: int, seeds_of_authors: list[bytes], payload: bytes) -> bytes:
    authors = b"".join(verify.public_key(seed) for seed in seeds_of_authors)
    unsigned = wire.encode_message(64, flags, authors, b"", 7, 3 if authors else 0, b"", b"", [payload])
    header = unsigned[: -len(payload) - 2]
    signed = b"dispersy/3 message" + COMMUNITY_ID + header + sha256(unsigned[len(header) :]).digest()
    return unsigned + b"".join(verify.sign_many(secret_of(seed), [signed]) for seed in seeds_of_authors)


def parsed(messages: list[bytes]) -> tuple[bytearray, bytes]:
    ((_, arena),) = wire.pack(messages, 1 << 20)
    found = wire.parse_messages(arena, bytearray(4 * len(wire.DROP_REASONS)))
    assert len(found) == len(messages) * records.MESSAGE.size
    digest.identify_many(found, arena, COMMUNITY_ID)
    return found, arena


@given(seeds, seeds, st.binary(min_size=1, max_size=50), st.integers(0, 127), st.integers(0, 7))
@few
def test_both_of_two_authors_must_have_signed(
    first: bytes, second: bytes, payload: bytes, byte: int, bit: int
) -> None:
    """Goal: a batch is judged one by one; a wrong bit in either signature denies that message alone."""
    message = signed_message(1, [first, second], payload)
    damaged = bytearray(message)
    damaged[-128 + byte] ^= 1 << bit
    single = signed_message(0, [first], payload)
    found, arena = parsed([message, bytes(damaged), single])
    assert verify.verify_messages(found, arena, COMMUNITY_ID) == b"\x01\x00\x01"
    assert verify.verify_messages(found, arena, bytes(32)) == b"\x00\x00\x00"


def test_a_message_without_author_proves_nothing() -> None:
    """Goal: no signature is not a good signature."""
    found, arena = parsed([signed_message(2, [], b"x")])
    assert verify.verify_messages(found, arena, COMMUNITY_ID) == b"\x00"


def test_no_messages_have_no_verdicts() -> None:
    """Goal: empty batches are no special case for the caller."""
    assert verify.verify_messages(b"", b"", COMMUNITY_ID) == b""
    assert verify.verify_many(b"", b"", []) == b""
    assert verify.sign_many(secret_of(bytes(32)), []) == b""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("offset", 2),
        ("offset", 2**32 - 1),
        ("length", 64),
        ("length", 2**32 - 1),
        ("header_size", 33),
        ("header_size", 166),
        ("header_size", 2**16 - 1),
        ("signature_count", 2),
        ("signature_count", 255),
    ],
)
def test_records_outside_the_arena_are_refused(field: str, value: int) -> None:
    """Goal: no record makes the kernel read what is not its message."""
    found, arena = parsed([signed_message(0, [bytes(32)], b"x")])
    fields = list(records.MESSAGE.unpack(found))
    assert fields[0] == 1
    fields[{"offset": 0, "length": 1, "header_size": 4, "signature_count": 8}[field]] = value
    with pytest.raises(ValueError, match="message_record 1 "):
        verify.verify_messages(bytes(found) + records.MESSAGE.pack(*fields), arena, COMMUNITY_ID)


def test_a_caller_s_fault_is_an_error() -> None:
    """Goal: sizes that do not fit raise, and a secret whose halves are no pair signs nothing."""
    found, arena = parsed([signed_message(0, [bytes(32)], b"x")])
    with pytest.raises(ValueError, match="whole number"):
        verify.verify_messages(found[1:], arena, COMMUNITY_ID)
    with pytest.raises(ValueError, match="community id"):
        verify.verify_messages(found, arena, b"short")
    with pytest.raises(ValueError, match="differ in number"):
        verify.verify_many(bytes(32), bytes(64), [])
    with pytest.raises(ValueError, match="its public key"):
        verify.sign_many(bytes(64), [b"x"])
    with pytest.raises(ValueError, match="64 bytes"):
        verify.sign_many(bytes(32), [b"x"])
    with pytest.raises(ValueError, match="32 bytes"):
        verify.public_key(bytes(31))
