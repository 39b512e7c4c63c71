"""Datagrams into frames and messages, messages into lists, in C over whole batches; format: docs/wire.md.

Decoding is strict: what is not the one canonical encoding is dropped and counted under a name, and nothing
beside it is lost. Nothing that a peer sends raises. Every read is checked against the end of the part that is
being read, never against more: a datagram, in it a frame, in it a list, in it a message, in it what comes
before the signatures.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy, memset

include "sodium.pxi"
include "message_sizes.pxi"

cdef extern from "records.h":
    ctypedef struct datagram_record:
        uint32_t offset
        uint16_t length
        uint8_t address[18]
    ctypedef struct frame_record:
        uint32_t datagram
        uint32_t offset
        uint16_t length
        uint16_t community
        uint8_t type
        uint8_t token_state
    ctypedef struct envelope_record:
        uint32_t datagram
        uint32_t number
        uint32_t offset
        uint16_t length
        uint16_t community
        uint16_t count
        uint8_t flags
        uint8_t token_state
        uint8_t low[24]
        uint8_t high[24]
        uint8_t summary[24]
    ctypedef struct message_record:
        uint32_t offset
        uint32_t length
        uint64_t global_time
        uint64_t sequence
        uint16_t header_size
        uint8_t kind
        uint8_t flags
        uint8_t payload_count
        uint8_t signature_count
        uint8_t state

RECORD_SIZES = {
    "datagram": sizeof(datagram_record),
    "frame": sizeof(frame_record),
    "envelope": sizeof(envelope_record),
    "message": sizeof(message_record),
}

cdef crypto_shorthash_siphash24_t siphash = (
    <crypto_shorthash_siphash24_t>sodium_function("crypto_shorthash_siphash24")
)

cdef enum:
    MARK = 0xD3
    HEADER_SIZE = 18            # mark, flags, tag, token
    DATAGRAM_SIZE_MAX = 1200    # header and 1,182 of frames; the rest up to 1,232 is kept free for encryption
    FRAMES_PER_DATAGRAM_MAX = 8
    TAG_SIZE = 8
    TOKEN_SIZE = 8
    SECRET_SIZE = 16
    TAGS_MAX = 65535            # records number communities in 16 bits
    SUMMARY_SIZE = 24
    BOUND_SIZE = 24
    BOUND_TOP = 255
    MESSAGE_SIZE_MIN = 5        # no author: kind, flags, time, one payload of nothing
    MESSAGE_SIZE_MAX = 65536
    PAYLOADS_MAX = 255
    KIND_CONTROL_END = 64

cdef enum:
    FRAME_TOKEN = 1
    FRAME_MESSAGES = 6
    FRAME_STRIPPED = 26
    FRAME_NUMBERED_MAX = 28
    # Bit n: type n is spoken (docs/wire.md, Frames).
    SPOKEN = (
        1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7
        | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 15 | 1 << 16 | 1 << 17
        | 1 << 18 | 1 << 19 | 1 << 20 | 1 << 21 | 1 << 22 | 1 << 23 | 1 << 26 | 1 << 27 | 1 << 28
    )

cdef enum:
    TWO_AUTHORS = 1
    NO_AUTHOR = 2
    RECIPIENT = 4
    N_HOP = 8
    MESSAGE_FLAGS = 15

cdef enum:
    HAS_SUMMARY = 4
    ENVELOPE_FLAGS = 7
    # Flags that a node must understand, or else not take the frame; it ignores the other half.
    BINDING_FLAGS = 0x0F
    # Of an envelope_record, set by the kernel alone: it is of a stripped frame.
    STRIPPED_LIST = 128
    # State of a message_record.
    STRIPPED = 1
    DIGEST_SIZE = 32

CONSTANTS = {
    "DATAGRAM_HEADER_SIZE": HEADER_SIZE,
    "FRAMES_SIZE_MAX": DATAGRAM_SIZE_MAX - HEADER_SIZE,
    "FRAMES_PER_DATAGRAM_MAX": FRAMES_PER_DATAGRAM_MAX,
    "TOKEN_SIZE": TOKEN_SIZE,
    "MESSAGE_SIZE_MAX": MESSAGE_SIZE_MAX,
    "PAYLOADS_MAX": PAYLOADS_MAX,
    "KEY_SIZE": KEY_SIZE,
    "SIGNATURE_SIZE": SIGNATURE_SIZE,
    "N_HOP_SIZE": N_HOP_SIZE,
    "HEADER_SIZE_MAX": HEADER_SIZE_MAX,
    "SUMMARY_SIZE": SUMMARY_SIZE,
    "ORDER_KEY_SIZE": BOUND_SIZE,
    "BOUND_TOP": BOUND_TOP,
    "UVARINT_SIZE_MAX": UVARINT_SIZE_MAX,
    "COMMUNITY_KIND_MIN": KIND_CONTROL_END,
    "DATAGRAM_MARK": MARK,
    "BINDING_FLAGS": BINDING_FLAGS,
    "MESSAGE_FLAGS": MESSAGE_FLAGS,
    "MESSAGES_FRAME_FLAGS": ENVELOPE_FLAGS,
}
FRAMES_SPOKEN = frozenset([kind for kind in range(1, FRAME_NUMBERED_MAX + 1) if SPOKEN >> kind & 1])
FRAMES_NUMBERED = frozenset(range(1, FRAME_NUMBERED_MAX + 1))

cdef enum:
    TOKEN_ZERO
    TOKEN_INVALID
    TOKEN_CURRENT
    TOKEN_PREVIOUS

# The counters in the order of DROP_REASONS.
cdef enum:
    WELL_FORMED = -1
    DATAGRAM_SHORT = 0
    MARK_WRONG
    VERSION_UNKNOWN
    FLAGS_UNKNOWN
    DATAGRAM_LONG
    COMMUNITY_UNKNOWN
    TOKEN_MISSING
    TOKEN_MALFORMED
    FRAME_TRUNCATED
    FRAME_LENGTH_LONG
    FRAME_UNKNOWN
    FRAME_UNSUPPORTED
    FRAMES_MANY
    MESSAGES_MALFORMED
    MESSAGES_TRUNCATED
    STRIPPED_MALFORMED
    MESSAGE_LENGTH_LONG
    MESSAGE_LONG
    MESSAGE_SHORT
    MESSAGE_FLAGS_UNKNOWN
    MESSAGE_KIND_FLAGS
    MESSAGE_AUTHOR_ZERO
    MESSAGE_UVARINT
    MESSAGE_TIME_ZERO
    MESSAGE_SEQUENCE_ZERO
    MESSAGE_PAYLOAD_COUNT
    MESSAGE_PAYLOAD_TRUNCATED
    MESSAGE_TRAILING
    DROP_COUNT

DROP_REASONS = (
    "datagram-short",
    "mark-wrong",
    "version-unknown",
    "flags-unknown",
    "datagram-long",
    "community-unknown",
    "token-missing",
    "token-malformed",
    "frame-truncated",
    "frame-length-long",
    "frame-unknown",
    "frame-unsupported",
    "frames-many",
    "messages-malformed",
    "messages-truncated",
    "stripped-malformed",
    "message-length-long",
    "message-long",
    "message-short",
    "message-flags",
    "message-kind-flags",
    "message-author-zero",
    "message-uvarint",
    "message-time-zero",
    "message-sequence-zero",
    "message-payload-count",
    "message-payload-truncated",
    "message-trailing",
)
if len(DROP_REASONS) != DROP_COUNT:
    raise ImportError(f"{len(DROP_REASONS)} drop reasons for {DROP_COUNT} counters")

include "wire_split.pxi"
include "wire_message.pxi"
include "wire_messagepack.pxi"
