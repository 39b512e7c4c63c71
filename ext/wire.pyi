"""Datagrams into frames and messages, messages into lists, in C over whole batches; format: docs/wire.md."""

DROP_REASONS: tuple[str, ...]
"""Names of the drop counters, in the order in which the `drops` arrays count them (native u32 each)."""

RECORD_SIZES: dict[str, int]
"""Bytes of the C records datagram, frame, envelope and message, for comparing them with what Python reads."""

CONSTANTS: dict[str, int]
"""The sizes and numbers that the kernel is compiled with, under their names in Python, for comparing them."""

FRAMES_SPOKEN: frozenset[int]
"""Types of the frames that split() lets through."""

FRAMES_NUMBERED: frozenset[int]
"""Types of the frames that have a name; others are `frame-unknown`."""

def split(
    arena: bytes | bytearray | memoryview,
    datagrams: bytes | bytearray | memoryview,
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
    raises     ValueError for sizes that do not fit, a datagram_record outside the arena, over 65,535 tags

    Of a datagram with more than FRAMES_PER_DATAGRAM_MAX frames the first ones stand (`frames-many`). Unknown
    types are counted (`frame-unknown`, `frame-unsupported`) and not returned. Messages frames are returned as
    envelopes, without the flags that nobody need understand, stripped ones as envelopes that cover nothing
    and have STRIPPED_LIST among their flags; the lists of both checked to be whole pairs of length and
    bytes (a list that is not keeps its whole part; `messages-truncated`); what the pairs hold is for
    parse_messages() to judge. A datagram without a valid token yields its token frames only, and is counted
    once as `token-missing` when it has none or holds any other frame that is spoken.
    """

def parse_messages(
    area: bytes | bytearray | memoryview, drops: bytearray, *, stripped: bool = False
) -> bytearray:
    """Packed message_records of an area of (uvarint length ‖ message)*; others are counted and left out.

    stripped  they are stripped ones, each header ‖ digest ‖ signatures of a data message with an author
    """

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
    """A message without its signatures; parts that the flags or the kind leave out are b"".

    authors   none, one or two 32-byte keys, as the flags say; without author the sequence is 0
    previous  32 bytes exactly when kind < 64
    n_hop     17 bytes with flag 8
    raises    ValueError when parts contradict the flags, a number is out of its range, or the message would
              be longer than a datagram takes with its signatures
    """

def split_payloads(message: bytes | bytearray | memoryview) -> list[bytes]:
    """The payloads of one well-formed message, signatures included (ValueError otherwise)."""

def pack(messages: list[bytes], size_max: int) -> list[tuple[int, bytes]]:
    """Greedy, in order: [(how many messages, their (uvarint length ‖ message)* of at most size_max bytes)].

    An empty message, and one that alone does not fit, raise ValueError.
    """

def are_messagepack(payloads: list[bytes]) -> bytes:
    """One byte a payload: 1 if it is exactly one well-formed MessagePack value (docs/wire.md), else 0.

    Strings are valid UTF-8, arrays and maps nest at most 32 deep, and no byte follows. Whether two keys of a
    map are equal, numbers are in their shortest form, or an extension is known, is not looked at.
    """
