# Sizes of a message's parts in bytes (docs/wire.md, Message), for every kernel that looks into one.

cdef enum:
    KEY_SIZE = 32
    SIGNATURE_SIZE = 64
    SIGNATURES_MAX = 2
    N_HOP_SIZE = 17
    UVARINT_SIZE_MAX = 9
    # kind, flags, two authors, recipient, global time, sequence, previous, n-hop: nothing longer is a header
    HEADER_SIZE_MAX = 2 + 3 * KEY_SIZE + 2 * UVARINT_SIZE_MAX + KEY_SIZE + N_HOP_SIZE
