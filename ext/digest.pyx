"""Message ids, summary sums and tokens over packed arrays, by libsodium without the GIL (see digest.pyi)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

include "sodium.pxi"
include "big_endian.pxi"
include "message_sizes.pxi"

cdef extern from "records.h":
    ctypedef struct message_record:
        uint32_t offset
        uint32_t length
        uint16_t header_size
        uint8_t signature_count
        uint8_t state
        uint8_t id[32]
        uint8_t digest[32]

cdef crypto_hash_sha256_t sha256 = <crypto_hash_sha256_t>sodium_function("crypto_hash_sha256")
cdef crypto_generichash_blake2b_salt_personal_t blake2b = (
    <crypto_generichash_blake2b_salt_personal_t>sodium_function("crypto_generichash_blake2b_salt_personal")
)
cdef crypto_shorthash_siphash24_t siphash = (
    <crypto_shorthash_siphash24_t>sodium_function("crypto_shorthash_siphash24")
)

cdef enum:
    RECORD_SIZE = 96
    ID_SIZE = 32
    COMMUNITY_ID_SIZE = 32
    DIGEST_SIZE = 32
    CONTEXT_SIZE = 13
    SUM_KEY_SIZE = 16
    SUM_HASH_SIZE = 16
    TIME_SIZE = 8
    PACKED_KEY_SIZE = 40  # global time, id
    ADDRESS_SIZE = 18
    TAG_SIZE = 8
    TOKEN_SIZE = 8
    SECRET_SIZE = 16
    STRIPPED = 1  # state of a message_record: its digest stands where the payload part was

if sizeof(message_record) != RECORD_SIZE:
    raise ImportError(f"message_record has {sizeof(message_record)} bytes, not {RECORD_SIZE}: build again")

cdef const uint8_t *ID_CONTEXT = b"dispersy/3 id"


cdef Py_ssize_t _first_outside(
    const message_record *records, Py_ssize_t count, Py_ssize_t arena_size,
) noexcept nogil:
    """Index of the first record that its arena or its own sizes do not hold, or -1."""
    cdef Py_ssize_t index
    cdef const message_record *record
    for index in range(count):
        record = &records[index]
        if <uint64_t>record.offset + record.length > <uint64_t>arena_size:
            return index
        if record.signature_count > SIGNATURES_MAX or record.header_size > HEADER_SIZE_MAX:
            return index
        if <uint32_t>record.header_size + SIGNATURE_SIZE * record.signature_count >= record.length:
            return index  # no room for the payload count
        if record.state == STRIPPED and (
            <uint32_t>record.header_size + DIGEST_SIZE + SIGNATURE_SIZE * record.signature_count != record.length
        ):
            return index
    return -1


cdef void _identify(
    message_record *records, Py_ssize_t count, const uint8_t *arena, const uint8_t *community_id,
) noexcept nogil:
    # What an id is the hash of: context, community id, header, digest.
    cdef uint8_t[CONTEXT_SIZE + COMMUNITY_ID_SIZE + HEADER_SIZE_MAX + DIGEST_SIZE] named
    cdef uint8_t *header = named + CONTEXT_SIZE + COMMUNITY_ID_SIZE
    cdef const uint8_t *message
    cdef message_record *record
    cdef Py_ssize_t index, header_size, payload_size
    memcpy(named, ID_CONTEXT, CONTEXT_SIZE)
    memcpy(named + CONTEXT_SIZE, community_id, COMMUNITY_ID_SIZE)
    for index in range(count):
        record = &records[index]
        message = arena + record.offset
        header_size = record.header_size
        payload_size = record.length - header_size - SIGNATURE_SIZE * record.signature_count
        if record.state == STRIPPED:
            memcpy(record.digest, message + header_size, DIGEST_SIZE)
        else:
            sha256(record.digest, message + header_size, payload_size)
        memcpy(header, message, header_size)
        memcpy(header + header_size, record.digest, DIGEST_SIZE)
        sha256(record.id, named, CONTEXT_SIZE + COMMUNITY_ID_SIZE + header_size + DIGEST_SIZE)


def identify_many(
    uint8_t[::1] records not None,
    const uint8_t[::1] arena not None,
    const uint8_t[::1] community_id not None,
):
    """Fill `id` and `digest` of packed message_records in place; nothing is written when one does not fit."""
    if records.shape[0] % RECORD_SIZE:
        raise ValueError(f"records is {records.shape[0]} bytes, not whole {RECORD_SIZE}-byte message_records")
    if community_id.shape[0] != COMMUNITY_ID_SIZE:
        raise ValueError(f"community_id is {community_id.shape[0]} bytes and must be {COMMUNITY_ID_SIZE}")
    cdef Py_ssize_t count = records.shape[0] // RECORD_SIZE
    if count == 0:
        return
    cdef message_record *first = <message_record *>&records[0]
    cdef Py_ssize_t outside = _first_outside(first, count, arena.shape[0])
    if outside >= 0:
        raise ValueError(
            f"record {outside} does not fit: it must lie inside the arena of {arena.shape[0]} bytes, and its "
            f"header (at most {HEADER_SIZE_MAX} bytes), payload count and signatures (at most "
            f"{SIGNATURES_MAX}) inside its length"
        )
    # Every record that passed has at least a payload count, so the arena is not empty.
    with nogil:
        _identify(first, count, &arena[0], &community_id[0])


cdef void _sum(
    const uint8_t *ids, Py_ssize_t count, const uint8_t *key, uint64_t *high, uint64_t *low,
) noexcept nogil:
    """The sum as high * 2^64 + low; carries out of 96 bits stay in the upper half of `high`."""
    cdef uint8_t hashed[SUM_HASH_SIZE]
    cdef uint64_t upper, lower
    cdef Py_ssize_t index, position
    for index in range(count):
        blake2b(hashed, SUM_HASH_SIZE, ids + index * ID_SIZE, ID_SIZE, key, SUM_KEY_SIZE, NULL, NULL)
        upper = 0
        lower = 0
        for position in range(4):
            upper = upper << 8 | hashed[position]
        for position in range(4, 12):
            lower = lower << 8 | hashed[position]
        low[0] += lower
        high[0] += upper + (low[0] < lower)


def sum_many(const uint8_t[::1] ids not None, const uint8_t[::1] key not None):
    """Sum modulo 2^96 of the first 12 bytes of BLAKE2b-128(key, id) over packed 32-byte ids; 0 for none."""
    if ids.shape[0] % ID_SIZE:
        raise ValueError(f"ids is {ids.shape[0]} bytes, not whole {ID_SIZE}-byte ids")
    if key.shape[0] != SUM_KEY_SIZE:
        raise ValueError(f"key is {key.shape[0]} bytes and must be {SUM_KEY_SIZE}")
    cdef uint64_t high = 0, low = 0
    if ids.shape[0]:
        with nogil:
            _sum(&ids[0], ids.shape[0] // ID_SIZE, &key[0], &high, &low)
    return (int(high) << 64 | int(low)) & ((1 << 96) - 1)


def sum_stretches(const uint8_t[::1] keys not None, const uint8_t[::1] key not None, int bits):
    if keys.shape[0] % PACKED_KEY_SIZE:
        raise ValueError(f"keys is {keys.shape[0]} bytes, not whole {PACKED_KEY_SIZE}-byte keys")
    if key.shape[0] != SUM_KEY_SIZE:
        raise ValueError(f"key is {key.shape[0]} bytes and must be {SUM_KEY_SIZE}")
    if not 0 <= bits < 64:
        raise ValueError(f"bits is {bits} and must be 0 to 63")
    cdef Py_ssize_t count = keys.shape[0] // PACKED_KEY_SIZE, index = 0, first
    cdef uint64_t stretch, high, low
    found = []
    while index < count:
        first = index
        high = low = 0
        stretch = read_u64_big_endian(&keys[index * PACKED_KEY_SIZE]) >> bits
        while index < count and read_u64_big_endian(&keys[index * PACKED_KEY_SIZE]) >> bits == stretch:
            _sum(&keys[index * PACKED_KEY_SIZE + TIME_SIZE], 1, &key[0], &high, &low)
            index += 1
        found.append((stretch, index - first, (int(high) << 64 | int(low)) & ((1 << 96) - 1)))
    return found


cdef void _tokens(
    const uint8_t *addresses, Py_ssize_t count, const uint8_t *tag, uint64_t epoch, const uint8_t *secret,
    uint8_t *tokens,
) noexcept nogil:
    cdef Py_ssize_t index
    for index in range(count):
        make_token(siphash, addresses + index * ADDRESS_SIZE, tag, epoch, secret, tokens + index * TOKEN_SIZE)


def tokens_many(
    const uint8_t[::1] addresses not None,
    const uint8_t[::1] tag not None,
    uint64_t epoch,
    const uint8_t[::1] secret not None,
):
    """8 bytes a token for packed 18-byte addresses (docs/wire.md, Tokens and spoofing)."""
    if addresses.shape[0] % ADDRESS_SIZE:
        raise ValueError(f"addresses is {addresses.shape[0]} bytes, not whole {ADDRESS_SIZE}-byte addresses")
    if tag.shape[0] != TAG_SIZE:
        raise ValueError(f"tag is {tag.shape[0]} bytes and must be {TAG_SIZE}")
    if secret.shape[0] != SECRET_SIZE:
        raise ValueError(f"secret is {secret.shape[0]} bytes and must be {SECRET_SIZE}")
    cdef Py_ssize_t count = addresses.shape[0] // ADDRESS_SIZE
    if count == 0:
        return b""
    out = bytearray(count * TOKEN_SIZE)
    cdef uint8_t[::1] view = out
    with nogil:
        _tokens(&addresses[0], count, &tag[0], epoch, &secret[0], &view[0])
    return bytes(out)
