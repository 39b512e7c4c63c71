"""Ed25519 by libsodium's rule over packed batches, without the GIL."""

EDGE_CASES: tuple[tuple[str, int, str, str, bytes], ...]
"""(what, 1 if it holds, public key in hex, signature in hex, message): what self_test() checks."""

def self_test() -> None:
    """Check the edge cases on which implementations differ; RuntimeError names the first that is wrong."""

def verify_messages(
    records: bytes | bytearray | memoryview, arena: bytes | bytearray | memoryview, community_id: bytes
) -> bytes:
    """One byte a message_record: 1 every signature holds, 0 not, or there is no signature.

    records       identify_many() has filled `digest`
    community_id  32 bytes
    raises        ValueError for sizes that do not fit, or a record that does not lie in the arena
    """

def verify_many(keys: bytes, signatures: bytes, messages: list[bytes]) -> bytes:
    """One byte each: packed 32-byte keys, packed 64-byte signatures, the messages they sign."""

def sign_many(secret: bytes, messages: list[bytes]) -> bytes:
    """Packed 64-byte signatures; secret = 32-byte seed ‖ its 32-byte public key (ValueError otherwise)."""

def public_key(seed: bytes) -> bytes:
    """The 32-byte public key of a 32-byte seed."""
