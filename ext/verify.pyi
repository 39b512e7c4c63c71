"""Ed25519 by libsodium's rule over packed batches, without the GIL."""

def self_test() -> None:
    """Check the edge cases on which implementations differ; RuntimeError names the first that is wrong."""

def verify_messages(records: bytes | memoryview, arena: bytes | memoryview, community_id: bytes) -> bytes:
    """One byte a message_record (identify_many() has filled `digest`): 1 every signature holds, 0 not."""

def verify_many(keys: bytes, signatures: bytes, messages: list[bytes]) -> bytes:
    """One byte each: packed 32-byte keys, packed 64-byte signatures, the messages they sign."""

def sign_many(secret: bytes, messages: list[bytes]) -> bytes:
    """Packed 64-byte signatures; secret = 32-byte seed ‖ 32-byte public key."""

def public_key(seed: bytes) -> bytes:
    """The 32-byte public key of a 32-byte seed."""
