"""Scenarios, Crypto: a flipped bit is refused wherever it is; keys go through files and come back."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispersy.errors import UsageError
from dispersy.ext.digest import identify_many
from dispersy.ext.verify import public_key, sign_many, verify_many, verify_messages
from dispersy.ext.wire import DROP_REASONS, parse_messages
from dispersy.protocol.identifiers import CommunityId
from dispersy.protocol.wire.message import create_message
from dispersy.protocol.wire.packing import encode_uvarint
from dispersy.storage.keyring import Keyring

SEED = bytes(range(32))
COMMUNITY = CommunityId(bytes(31) + b"\7")


def verdict(raw: bytes) -> bool:
    """Whether a node would take these bytes for a signed message of the community."""
    area = encode_uvarint(len(raw)) + raw
    records = parse_messages(area, bytearray(4 * len(DROP_REASONS)))
    identify_many(records, area, COMMUNITY)
    return verify_messages(records, area, COMMUNITY) == b"\1"


def signed() -> bytes:
    return create_message(
        COMMUNITY,
        SEED + public_key(SEED),
        kind=64,
        global_time=3,
        sequence=1,
        payloads=[b"a message that somebody may want to change"],
    )


def test_a_flipped_bit_in_message_or_signature_is_refused() -> None:
    """Goal: of all bits of the message and its signature there is none that can be changed."""
    raw = signed()
    assert verdict(raw)
    taken = [
        bit
        for bit in range(8 * len(raw))
        if verdict(raw[: bit // 8] + bytes([raw[bit // 8] ^ 1 << bit % 8]) + raw[bit // 8 + 1 :])
    ]
    assert taken == []


def test_a_message_of_another_community_is_refused() -> None:
    """Goal: the community is part of what is signed."""
    area = encode_uvarint(len(signed())) + signed()
    records = parse_messages(area, bytearray(4 * len(DROP_REASONS)))
    other = CommunityId(bytes(31) + b"\x08")
    identify_many(records, area, other)
    assert verify_messages(records, area, other) == b"\0"


@pytest.mark.parametrize("passphrase", [None, b"correct horse battery staple"])
def test_keys_round_trip_through_files(tmp_path: Path, passphrase: bytes | None) -> None:
    """Goal: what was made signs the same after it has been read again, with and without passphrase."""
    made = Keyring(tmp_path / "keys", passphrase=passphrase).create("alice")
    read = Keyring(tmp_path / "keys", passphrase=passphrase).by_name("alice")
    assert read == made
    signature = sign_many(read.secret, [b"text"])
    assert verify_many(made.public, signature, [b"text"]) == b"\1"
    pem = (tmp_path / "keys" / "alice.pem").read_bytes()
    assert (b"ENCRYPTED" in pem) == (passphrase is not None)


@pytest.mark.parametrize("given", [None, b"wrong"])
def test_a_key_behind_a_passphrase_does_not_open_without_it(tmp_path: Path, given: bytes | None) -> None:
    """Goal: the passphrase is needed, and its lack is told as such."""
    Keyring(tmp_path / "keys", passphrase=b"right").create("alice")
    with pytest.raises(UsageError) as refused:
        Keyring(tmp_path / "keys", passphrase=given).by_name("alice")
    assert refused.value.code == "passphrase"
