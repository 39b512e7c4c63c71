"""Ed25519 by libsodium's rule over packed batches, without the GIL.

The rule, which every node must share: S below the group's order L; the public key canonical, on the curve and
not of small order; R not of small order; and R byte for byte the encoding of S*B - H(R, A, message)*A,
without cofactor. There is no batch equation, since it would accept signatures that one by one do not hold.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

include "sodium.pxi"
include "message_sizes.pxi"

cdef extern from "records.h":
    ctypedef struct message_record:
        uint32_t offset
        uint32_t length
        uint16_t header_size
        uint8_t signature_count
        uint8_t digest[32]

cdef crypto_sign_open_t crypto_sign_open = <crypto_sign_open_t>sodium_function("crypto_sign_open")
cdef crypto_sign_t crypto_sign = <crypto_sign_t>sodium_function("crypto_sign")
cdef crypto_sign_seed_keypair_t crypto_sign_seed_keypair = (
    <crypto_sign_seed_keypair_t>sodium_function("crypto_sign_seed_keypair")
)

cdef enum:
    CONTEXT_SIZE = 18
    PREFIX_SIZE = 50         # context and community id
    SIGNED_SIZE_MAX = SIGNATURE_SIZE + PREFIX_SIZE + HEADER_SIZE_MAX + KEY_SIZE    # the last one: digest

cdef const uint8_t *CONTEXT = b"dispersy/3 message"


cdef bint _is_inside(const message_record *record, Py_ssize_t arena_size) noexcept nogil:
    """Whether the record's message lies in the arena and its keys, header and signatures in the message."""
    cdef uint64_t signatures_size = <uint64_t>record.signature_count * SIGNATURE_SIZE
    if record.signature_count > SIGNATURES_MAX or record.header_size > HEADER_SIZE_MAX:
        return False
    if record.header_size < 2 + record.signature_count * KEY_SIZE:
        return False
    if record.header_size + 1 + signatures_size > record.length:
        return False
    return <uint64_t>record.offset + record.length <= <uint64_t>arena_size


cdef bint _verify(const message_record *record, const uint8_t *arena, uint8_t *signed_message) noexcept nogil:
    """Whether every signature of one message holds; signed_message has room, and the prefix in its place."""
    cdef const uint8_t *message = arena + record.offset
    cdef const uint8_t *signature = message + record.length - record.signature_count * SIGNATURE_SIZE
    cdef uint8_t *header = signed_message + SIGNATURE_SIZE + PREFIX_SIZE
    cdef unsigned long long size = SIGNATURE_SIZE + PREFIX_SIZE + record.header_size + KEY_SIZE
    cdef unsigned long long opened
    cdef int index
    memcpy(header, message, record.header_size)
    memcpy(header + record.header_size, &record.digest[0], KEY_SIZE)
    for index in range(record.signature_count):
        memcpy(signed_message, signature + index * SIGNATURE_SIZE, SIGNATURE_SIZE)
        if crypto_sign_open(NULL, &opened, signed_message, size, message + 2 + index * KEY_SIZE) != 0:
            return False
    # A message without an author proves nothing about who wrote it.
    return record.signature_count > 0


def verify_messages(
    const uint8_t[::1] records not None, const uint8_t[::1] arena not None, bytes community_id not None
):
    if records.shape[0] % sizeof(message_record):
        raise ValueError("records is not a whole number of message_records")
    if len(community_id) != KEY_SIZE:
        raise ValueError(f"a community id has {KEY_SIZE} bytes, not {len(community_id)}")
    cdef Py_ssize_t count = records.shape[0] // <Py_ssize_t>sizeof(message_record)
    if count == 0:
        return b""
    cdef const message_record *first = <const message_record *>&records[0]
    cdef Py_ssize_t index
    for index in range(count):
        if not _is_inside(&first[index], arena.shape[0]):
            raise ValueError(f"message_record {index} does not lie in the arena")
    cdef uint8_t signed_message[SIGNED_SIZE_MAX]
    memcpy(signed_message + SIGNATURE_SIZE, CONTEXT, CONTEXT_SIZE)
    memcpy(signed_message + SIGNATURE_SIZE + CONTEXT_SIZE, <const uint8_t *>community_id, KEY_SIZE)
    out = bytearray(count)
    cdef uint8_t[::1] view = out
    with nogil:
        for index in range(count):
            view[index] = _verify(&first[index], &arena[0], signed_message)
    return bytes(out)


cdef tuple _signed_area(list messages, const uint8_t *signatures):
    """Two bytearrays: the messages, each behind its signature or room for it, and their Py_ssize_t sizes."""
    cdef Py_ssize_t index, offset = 0, size = 0
    cdef bytes message
    for message in messages:
        size += SIGNATURE_SIZE + len(message)
    area = bytearray(size)
    sizes = bytearray(len(messages) * sizeof(Py_ssize_t))
    cdef uint8_t[::1] area_view = area
    cdef uint8_t[::1] sizes_view = sizes
    for index in range(len(messages)):
        message = messages[index]
        if signatures != NULL:
            memcpy(&area_view[offset], signatures + index * SIGNATURE_SIZE, SIGNATURE_SIZE)
        if len(message):
            memcpy(&area_view[offset + SIGNATURE_SIZE], <const uint8_t *>message, len(message))
        size = len(message)
        memcpy(&sizes_view[index * sizeof(Py_ssize_t)], &size, sizeof(Py_ssize_t))
        offset += SIGNATURE_SIZE + size
    return area, sizes


def verify_many(bytes keys not None, bytes signatures not None, list messages not None):
    cdef Py_ssize_t count = len(messages)
    if len(keys) != count * KEY_SIZE or len(signatures) != count * SIGNATURE_SIZE:
        raise ValueError("keys, signatures and messages differ in number")
    if count == 0:
        return b""
    area, sizes = _signed_area(messages, <const uint8_t *>signatures)
    out = bytearray(count)
    cdef const uint8_t *key = <const uint8_t *>keys
    cdef const uint8_t[::1] area_view = area
    cdef const uint8_t[::1] sizes_view = sizes
    cdef uint8_t[::1] view = out
    cdef const Py_ssize_t *size = <const Py_ssize_t *>&sizes_view[0]
    cdef Py_ssize_t index, offset = 0
    cdef unsigned long long opened
    with nogil:
        for index in range(count):
            view[index] = crypto_sign_open(
                NULL, &opened, &area_view[offset], SIGNATURE_SIZE + size[index], key + index * KEY_SIZE
            ) == 0
            offset += SIGNATURE_SIZE + size[index]
    return bytes(out)


def sign_many(bytes secret not None, list messages not None):
    if len(secret) != SIGNATURE_SIZE:
        raise ValueError(f"a secret has {SIGNATURE_SIZE} bytes, not {len(secret)}")
    # Signing under another's public key gives the secret away to whoever sees two such signatures.
    if public_key(secret[:KEY_SIZE]) != secret[KEY_SIZE:]:
        raise ValueError("the second half of the secret is not its public key")
    cdef Py_ssize_t count = len(messages)
    if count == 0:
        return b""
    area, sizes = _signed_area(messages, NULL)
    out = bytearray(count * SIGNATURE_SIZE)
    cdef const uint8_t *key = <const uint8_t *>secret
    cdef uint8_t[::1] area_view = area
    cdef const uint8_t[::1] sizes_view = sizes
    cdef uint8_t[::1] view = out
    cdef const Py_ssize_t *size = <const Py_ssize_t *>&sizes_view[0]
    cdef Py_ssize_t index, offset = 0
    cdef uint8_t *place
    cdef unsigned long long signed_size
    with nogil:
        for index in range(count):
            place = &area_view[offset]
            crypto_sign(place, &signed_size, place + SIGNATURE_SIZE, size[index], key)
            memcpy(&view[index * SIGNATURE_SIZE], place, SIGNATURE_SIZE)
            offset += SIGNATURE_SIZE + size[index]
    return bytes(out)


def public_key(bytes seed not None):
    if len(seed) != KEY_SIZE:
        raise ValueError(f"a seed has {KEY_SIZE} bytes, not {len(seed)}")
    cdef uint8_t key[KEY_SIZE]
    cdef uint8_t secret[SIGNATURE_SIZE]
    crypto_sign_seed_keypair(key, secret, <const uint8_t *>seed)
    return key[:KEY_SIZE]


# (what, whether it holds, public key, signature, message), computed with plain integers on the curve. A is
# the key of the seed 00 01 .. 1f; R = r*B with r as RFC 8032 has it for "dispersy"; the points of mixed order
# are A and R plus the point T of order 8 that is encoded c7176a70..7a. Each S fits: whoever has no rule
# against the case accepts; whether T cancels in H(R, A + T, message)*(A + T) is a matter of the message. What
# is made of such points: Chalkias, Garillot and Nikolaenko, "Taming the many EdDSAs", 2020.
EDGE_CASES = (
    (
        "good signature", 1,
        "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        "6fba09ede141dbd80b9525eed7a79f6514a42ab66b63ade95b3988f9b3be6fc1"
        "e350594bdfb4c897a2f44dc01d10bbcc7888e502a75142fcaaa95befded34d0f",
        b'dispersy',
    ),
    (
        "flipped bit of the message", 0,
        "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        "6fba09ede141dbd80b9525eed7a79f6514a42ab66b63ade95b3988f9b3be6fc1"
        "e350594bdfb4c897a2f44dc01d10bbcc7888e502a75142fcaaa95befded34d0f",
        b'eispersy',
    ),
    (
        "flipped bit of R", 0,
        "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        "6eba09ede141dbd80b9525eed7a79f6514a42ab66b63ade95b3988f9b3be6fc1"
        "e350594bdfb4c897a2f44dc01d10bbcc7888e502a75142fcaaa95befded34d0f",
        b'dispersy',
    ),
    (
        "S + L", 0,
        "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        "6fba09ede141dbd80b9525eed7a79f6514a42ab66b63ade95b3988f9b3be6fc1"
        "d0244fa8f917dbef78914563fc099ae17888e502a75142fcaaa95befded34d1f",
        b'dispersy',
    ),
    (
        "public key of order 1", 0,
        "0100000000000000000000000000000000000000000000000000000000000000",
        "6fba09ede141dbd80b9525eed7a79f6514a42ab66b63ade95b3988f9b3be6fc1"
        "ef56dc5e220ecf0eb02eaa28ea0ab2764ebd73843adf06f4f9620677365d8a04",
        b'dispersy 0',
    ),
    (
        "public key of order 2", 0,
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "6fba09ede141dbd80b9525eed7a79f6514a42ab66b63ade95b3988f9b3be6fc1"
        "ef56dc5e220ecf0eb02eaa28ea0ab2764ebd73843adf06f4f9620677365d8a04",
        b'dispersy 1',
    ),
    (
        "public key of order 4", 0,
        "0000000000000000000000000000000000000000000000000000000000000080",
        "6fba09ede141dbd80b9525eed7a79f6514a42ab66b63ade95b3988f9b3be6fc1"
        "ef56dc5e220ecf0eb02eaa28ea0ab2764ebd73843adf06f4f9620677365d8a04",
        b'dispersy 0',
    ),
    (
        "public key of order 8", 0,
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "6fba09ede141dbd80b9525eed7a79f6514a42ab66b63ade95b3988f9b3be6fc1"
        "ef56dc5e220ecf0eb02eaa28ea0ab2764ebd73843adf06f4f9620677365d8a04",
        b'dispersy 8',
    ),
    (
        "public key of order 1, not canonical", 0,
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "6fba09ede141dbd80b9525eed7a79f6514a42ab66b63ade95b3988f9b3be6fc1"
        "ef56dc5e220ecf0eb02eaa28ea0ab2764ebd73843adf06f4f9620677365d8a04",
        b'dispersy 0',
    ),
    (
        "public key of order 1, wrong sign", 0,
        "0100000000000000000000000000000000000000000000000000000000000080",
        "6fba09ede141dbd80b9525eed7a79f6514a42ab66b63ade95b3988f9b3be6fc1"
        "ef56dc5e220ecf0eb02eaa28ea0ab2764ebd73843adf06f4f9620677365d8a04",
        b'dispersy 0',
    ),
    (
        "public key of order 4, not canonical", 0,
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "6fba09ede141dbd80b9525eed7a79f6514a42ab66b63ade95b3988f9b3be6fc1"
        "ef56dc5e220ecf0eb02eaa28ea0ab2764ebd73843adf06f4f9620677365d8a04",
        b'dispersy 0',
    ),
    (
        "R of order 1", 0,
        "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        "0100000000000000000000000000000000000000000000000000000000000000"
        "a51cc9e76e7df6355a610a7e4580b6b7dd78eab5f0d241316b8e99520823180a",
        b'dispersy',
    ),
    (
        "R of order 1, not canonical", 0,
        "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"
        "575224253bc498981afdde0ed5498983bc47782c02dffecf79dc6609be677902",
        b'dispersy',
    ),
    (
        "public key of mixed order, torsion cancelled", 1,
        "b502ff3d92e31d8190b4aa4ea0414005167fad089c4de9dac8a2fc850fed4f58",
        "6fba09ede141dbd80b9525eed7a79f6514a42ab66b63ade95b3988f9b3be6fc1"
        "30ec0a5c535d3774fe7c2d4cc9358b7d957829f28162f9f9ddc74be93f425a0b",
        b'dispersy 8',
    ),
    (
        "public key of mixed order, torsion left", 0,
        "b502ff3d92e31d8190b4aa4ea0414005167fad089c4de9dac8a2fc850fed4f58",
        "6fba09ede141dbd80b9525eed7a79f6514a42ab66b63ade95b3988f9b3be6fc1"
        "455761176489700cee0f0e74a192eab080c14eb8181f3fef8497905fe544b30b",
        b'dispersy 0',
    ),
    (
        "R of mixed order", 0,
        "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        "9f56916b61da796d376e92db77afadf2fac7d7bfdd2bbb46c6316cdaaccc5d29"
        "6c802cfd83778abac92a6202f427e766bbc57de7451a9636e74197e4729e050f",
        b'dispersy',
    ),
)


def self_test():
    for what, holds, key, signature, message in EDGE_CASES:
        if verify_many(bytes.fromhex(key), bytes.fromhex(signature), [message]) != bytes([holds]):
            raise RuntimeError(f"libsodium judges {what!r} otherwise than every other node does")
    if public_key(bytes(range(KEY_SIZE))).hex() != EDGE_CASES[0][2]:
        raise RuntimeError("libsodium derives another public key from a seed than every other node does")
