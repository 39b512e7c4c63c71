"""Digests over packed arrays by libsodium, without the GIL: message ids, summary sums, tokens."""

def identify_many(records: bytearray, arena: bytes | memoryview, community_id: bytes) -> None:
    """Fill `id` and `digest` of packed message_records in place.

    records       n * 96 bytes, written to
    arena         what the records' offsets point into; every record is checked to lie inside
    community_id  32 bytes
    raises        ValueError for sizes that do not fit
    """

def sum_many(ids: bytes | memoryview, key: bytes) -> int:
    """Sum modulo 2^96 of the first 12 bytes (big-endian) of BLAKE2b-128(key, id) over packed 32-byte ids.

    key     16 bytes
    raises  ValueError for sizes that do not fit
    """

def sum_stretches(keys: bytes | bytearray, key: bytes, bits: int) -> list[tuple[int, int, int]]:
    """(global time >> bits, how many, sum of their ids as of sum_many) of packed 40-byte keys, for each row
    of keys alike in the first: of keys that rise, once a stretch of time.

    key     16 bytes
    raises  ValueError for sizes that do not fit
    """

def tokens_many(addresses: bytes, tag: bytes, epoch: int, secret: bytes) -> bytes:
    """8 bytes a token for packed 18-byte addresses, see docs/wire.md; tag 8 bytes, secret 16 bytes."""
