"""Splitting datagrams into frames and messages, and packing them, in C over whole batches; format: docs/wire.md."""

DROP_REASONS: tuple[str, ...]
"""Names of the drop counters, in the order in which the `drops` arrays count them (native u32 each)."""

def split(
    arena: bytes | memoryview,
    datagrams: bytes | memoryview,
    *,
    tags: bytes,
    secret: bytes,
    epoch: int,
    drops: bytearray,
) -> tuple[bytes, bytes]:
    """Split datagrams into packed (frame_records, envelope_records); never raises for what peers sent.

    datagrams  packed datagram_records into arena
    tags       8 bytes a community that this node serves; records carry the index
    secret     16 bytes, for tokens; epoch is the current one
    drops      len(DROP_REASONS) * 4 bytes; counters are added to

    Unknown types are counted (`frame-unknown`, `frame-unsupported`) and not returned. Messages frames are returned
    as envelopes only when the datagram's token is valid (else `token-missing`), their lists checked to be whole
    lengths (a list that is not keeps its whole part; `messages-truncated`). Of other frames a datagram without a
    valid token yields token frames only; a datagram of such kind that has none is counted as `token-missing`.
    """

def parse_messages(area: bytes | memoryview, drops: bytearray) -> bytearray:
    """Packed message_records of an area of (uvarint length ‖ message)*; malformed ones are counted and left out."""

def encode_message(
    kind: int,
    flags: int,
    authors: bytes,
    recipient: bytes,
    global_time: int,
    sequence: int,
    previous: bytes,
    n_hop: bytes,
    payloads: list[bytes],
) -> bytes:
    """A message without its signatures; parts that the flags leave out are b"". ValueError when they contradict."""

def split_payloads(message: bytes | memoryview) -> list[bytes]:
    """The payloads of one well-formed message (ValueError otherwise)."""

def pack(messages: list[bytes], size_max: int) -> list[tuple[int, bytes]]:
    """Greedy, in order: [(how many messages, their (uvarint length ‖ message)* of at most size_max bytes)].

    A message that alone does not fit raises ValueError.
    """

