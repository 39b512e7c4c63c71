# Datagrams into frames and envelopes; a part of wire.pyx.

cdef enum:
    UVARINT_SHORTEST
    UVARINT_PADDED      # the same value has a shorter form
    UVARINT_CUT         # the bytes end before it does
    UVARINT_OVER        # 2^63 or more

cdef inline int _read_uvarint(
    const uint8_t *data, Py_ssize_t end, Py_ssize_t *position, uint64_t *value
) noexcept nogil:
    """Read one at position, which moves behind it only if it has a value."""
    cdef Py_ssize_t at = position[0]
    cdef uint64_t result = 0
    cdef int shift = 0
    while shift < 7 * UVARINT_SIZE_MAX:
        if at >= end:
            return UVARINT_CUT
        result |= <uint64_t>(data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            position[0] = at
            value[0] = result
            return UVARINT_PADDED if shift and data[at - 1] == 0 else UVARINT_SHORTEST
        shift += 7
    return UVARINT_OVER


ctypedef struct record_list:
    uint8_t *data
    size_t size
    size_t capacity

cdef uint8_t *_append(record_list *records, size_t size) noexcept nogil:
    """Room for one more record, all zeros; NULL when memory is short."""
    cdef size_t capacity
    cdef uint8_t *data
    if records.size + size > records.capacity:
        capacity = 2 * records.capacity + 64 * size
        data = <uint8_t *>realloc(records.data, capacity)
        if data == NULL:
            return NULL
        records.data = data
        records.capacity = capacity
    data = records.data + records.size
    memset(data, 0, size)
    records.size += size
    return data


ctypedef struct tag_table:
    const uint8_t *tags
    uint32_t *slots     # 0 empty, else index + 1; open addressing, at most half full
    uint64_t mask

cdef inline uint32_t *_find_slot(const tag_table *table, const uint8_t *tag) noexcept nogil:
    """The slot of this tag, or the empty one where it would be. Tags are of digests, spread already."""
    cdef uint64_t at
    cdef uint32_t *slot
    memcpy(&at, tag, TAG_SIZE)
    while True:
        slot = &table.slots[at & table.mask]
        if slot[0] == 0 or memcmp(table.tags + (slot[0] - 1) * TAG_SIZE, tag, TAG_SIZE) == 0:
            return slot
        at += 1

cdef bint _fill_tags(tag_table *table, const uint8_t *tags, Py_ssize_t count) noexcept nogil:
    """Build the table; of equal tags the first counts. False when memory is short."""
    cdef uint64_t capacity = 8
    cdef Py_ssize_t index
    cdef uint32_t *slot
    while capacity < <uint64_t>(2 * count):
        capacity *= 2
    table.slots = <uint32_t *>calloc(capacity, sizeof(uint32_t))
    if table.slots == NULL:
        return False
    table.tags = tags
    table.mask = capacity - 1
    for index in range(count):
        slot = _find_slot(table, tags + index * TAG_SIZE)
        if slot[0] == 0:
            slot[0] = <uint32_t>index + 1
    return True


ctypedef struct splitting:
    const uint8_t *arena
    const uint8_t *secret
    uint64_t epoch
    uint32_t *drops
    tag_table tags
    record_list frames
    record_list envelopes

ctypedef struct datagram_origin:
    uint32_t datagram
    uint16_t community
    uint8_t token_state


cdef uint8_t _judge_token(
    const uint8_t *address, const uint8_t *tag, const uint8_t *token, uint64_t epoch, const uint8_t *secret
) noexcept nogil:
    """The token_state of a header: one hash, since the token says of which epoch it is."""
    cdef uint8_t expected[TOKEN_SIZE]
    cdef uint8_t any_bit = 0, difference = 0
    cdef bint previous
    cdef int index
    for index in range(TOKEN_SIZE):
        any_bit |= token[index]
    if any_bit == 0:
        return TOKEN_ZERO
    previous = (token[0] >> 7) != (epoch & 1)
    make_token(siphash, address, tag, epoch - previous, secret, expected)
    # All bytes, whichever differs: the time taken must not tell a guesser how far he got.
    for index in range(TOKEN_SIZE):
        difference |= token[index] ^ expected[index]
    if difference:
        return TOKEN_INVALID
    return TOKEN_PREVIOUS if previous else TOKEN_CURRENT


cdef bint _read_bound(
    const uint8_t *data, Py_ssize_t end, Py_ssize_t *position, uint8_t *bound
) noexcept nogil:
    """One end of a range into 24 bytes that are zeros; False unless it is the canonical form."""
    cdef Py_ssize_t size, index
    if position[0] >= end:
        return False
    size = data[position[0]]
    position[0] += 1
    if size == BOUND_TOP:
        memset(bound, 0xFF, BOUND_SIZE)
        return True
    if size > BOUND_SIZE or size > end - position[0]:
        return False
    memcpy(bound, data + position[0], size)
    position[0] += size
    if size and bound[size - 1] == 0:
        return False
    for index in range(BOUND_SIZE):
        if bound[index] != 0xFF:
            return True
    return False  # written out what is written as the top


cdef bint _split_messages(
    splitting *work, const datagram_origin *origin, const uint8_t *body, Py_ssize_t size
) noexcept nogil:
    """One messages frame into an envelope_record; False when memory is short."""
    cdef envelope_record envelope
    cdef Py_ssize_t position = 5
    memset(&envelope, 0, sizeof(envelope_record))
    if size < position or body[4] & BINDING_FLAGS & ~ENVELOPE_FLAGS:
        work.drops[MESSAGES_MALFORMED] += 1
        return True
    envelope.flags = body[4] & BINDING_FLAGS
    if not (
        _read_bound(body, size, &position, envelope.low) and _read_bound(body, size, &position, envelope.high)
    ) or memcmp(envelope.low, envelope.high, BOUND_SIZE) > 0:
        work.drops[MESSAGES_MALFORMED] += 1
        return True
    if envelope.flags & HAS_SUMMARY:
        if size - position < SUMMARY_SIZE:
            work.drops[MESSAGES_MALFORMED] += 1
            return True
        memcpy(envelope.summary, body + position, SUMMARY_SIZE)
        position += SUMMARY_SIZE
    return _split_list(work, origin, body, size, position, &envelope)


cdef bint _split_list(
    splitting *work, const datagram_origin *origin, const uint8_t *body, Py_ssize_t size,
    Py_ssize_t position, envelope_record *envelope
) noexcept nogil:
    """The list of messages at `position`, and where the frame came from; False when memory is short."""
    cdef envelope_record *out
    cdef Py_ssize_t list_start = position
    cdef uint64_t length
    cdef int form
    # Only the framing is judged here: a message of no bytes or behind a padded length is one bad message, and
    # parse_messages() counts it.
    while position < size:
        form = _read_uvarint(body, size, &position, &length)
        if form == UVARINT_CUT or form == UVARINT_OVER or length > <uint64_t>(size - position):
            work.drops[MESSAGES_TRUNCATED] += 1
            break
        position += length
        envelope.count += 1
        envelope.length = <uint16_t>(position - list_start)
    envelope.datagram = origin.datagram
    envelope.community = origin.community
    envelope.token_state = origin.token_state
    envelope.number = <uint32_t>body[0] << 24 | <uint32_t>body[1] << 16 | <uint32_t>body[2] << 8 | body[3]
    envelope.offset = <uint32_t>(body - work.arena + list_start)
    out = <envelope_record *>_append(&work.envelopes, sizeof(envelope_record))
    if out == NULL:
        return False
    out[0] = envelope[0]
    return True


cdef bint _split_stripped(
    splitting *work, const datagram_origin *origin, const uint8_t *body, Py_ssize_t size
) noexcept nogil:
    """One stripped frame into an envelope_record that covers nothing; False when memory is short."""
    cdef envelope_record envelope
    if size < 4:
        work.drops[STRIPPED_MALFORMED] += 1
        return True
    memset(&envelope, 0, sizeof(envelope_record))
    envelope.flags = STRIPPED_LIST
    return _split_list(work, origin, body, size, 4, &envelope)


cdef bint _split_frame(
    splitting *work, const datagram_origin *origin, uint8_t kind, const uint8_t *body, Py_ssize_t size
) noexcept nogil:
    """One frame that is spoken, of a datagram that may say it; False when memory is short."""
    cdef frame_record *frame
    if kind == FRAME_MESSAGES:
        return _split_messages(work, origin, body, size)
    if kind == FRAME_STRIPPED:
        return _split_stripped(work, origin, body, size)
    if kind == FRAME_TOKEN and size != TOKEN_SIZE:
        work.drops[TOKEN_MALFORMED] += 1
        return True
    frame = <frame_record *>_append(&work.frames, sizeof(frame_record))
    if frame == NULL:
        return False
    frame.datagram = origin.datagram
    frame.offset = <uint32_t>(body - work.arena)
    frame.length = <uint16_t>size
    frame.community = origin.community
    frame.type = kind
    frame.token_state = origin.token_state
    return True


cdef bint _split_frames(
    splitting *work, const datagram_origin *origin, const uint8_t *data, Py_ssize_t end
) noexcept nogil:
    """All frames of one datagram; False when memory is short."""
    cdef bint proven = origin.token_state >= TOKEN_CURRENT
    cdef bint token_given = False, left_out = False
    cdef Py_ssize_t position = HEADER_SIZE
    cdef uint64_t length = 0
    cdef uint8_t kind
    cdef int form, count = 0
    while position < end:
        if count == FRAMES_PER_DATAGRAM_MAX:
            work.drops[FRAMES_MANY] += 1
            break
        count += 1
        kind = data[position]
        position += 1
        form = _read_uvarint(data, end, &position, &length)
        if form == UVARINT_CUT or form == UVARINT_OVER or length > <uint64_t>(end - position):
            work.drops[FRAME_TRUNCATED] += 1
            break
        position += length
        if form == UVARINT_PADDED:
            work.drops[FRAME_LENGTH_LONG] += 1
        elif kind == 0 or kind > FRAME_NUMBERED_MAX:
            work.drops[FRAME_UNKNOWN] += 1
        elif not (SPOKEN >> kind) & 1:
            work.drops[FRAME_UNSUPPORTED] += 1
        elif not proven and kind != FRAME_TOKEN:
            left_out = True
        else:
            token_given = token_given or kind == FRAME_TOKEN
            if not _split_frame(work, origin, kind, data + position - length, <Py_ssize_t>length):
                return False
    if not proven and (left_out or not token_given):
        work.drops[TOKEN_MISSING] += 1
    return True


cdef bint _split_datagram(splitting *work, uint32_t index, const datagram_record *datagram) noexcept nogil:
    """False when memory is short."""
    cdef const uint8_t *data = work.arena + datagram.offset
    cdef datagram_origin origin
    cdef uint32_t slot
    if datagram.length < HEADER_SIZE:
        work.drops[DATAGRAM_SHORT] += 1
        return True
    if data[0] != MARK:
        work.drops[VERSION_UNKNOWN if data[0] >> 4 == MARK >> 4 else MARK_WRONG] += 1
        return True
    if data[1] != 0:
        work.drops[FLAGS_UNKNOWN] += 1
        return True
    if datagram.length > DATAGRAM_SIZE_MAX:
        work.drops[DATAGRAM_LONG] += 1
        return True
    slot = _find_slot(&work.tags, data + 2)[0]
    if slot == 0:
        work.drops[COMMUNITY_UNKNOWN] += 1
        return True
    origin.datagram = index
    origin.community = <uint16_t>(slot - 1)
    origin.token_state = _judge_token(
        datagram.address, data + 2, data + 2 + TAG_SIZE, work.epoch, work.secret
    )
    return _split_frames(work, &origin, data, datagram.length)


cdef bint _split_all(
    splitting *work,
    const datagram_record *datagrams,
    Py_ssize_t count,
    const uint8_t *tags,
    Py_ssize_t tag_count,
) noexcept nogil:
    """False when memory is short."""
    cdef Py_ssize_t index
    if not _fill_tags(&work.tags, tags, tag_count):
        return False
    for index in range(count):
        if not _split_datagram(work, <uint32_t>index, &datagrams[index]):
            return False
    return True


cdef uint32_t *_counters(uint8_t[::1] drops) except NULL:
    if drops.shape[0] != DROP_COUNT * <Py_ssize_t>sizeof(uint32_t):
        raise ValueError(f"drops has {drops.shape[0]} bytes and must have {DROP_COUNT * sizeof(uint32_t)}")
    return <uint32_t *>&drops[0]


def split(
    const uint8_t[::1] arena not None,
    const uint8_t[::1] datagrams not None,
    *,
    bytes tags not None,
    bytes secret not None,
    uint64_t epoch,
    bytearray drops not None,
):
    if datagrams.shape[0] % sizeof(datagram_record):
        raise ValueError("datagrams is not a whole number of datagram_records")
    if len(tags) % TAG_SIZE or len(tags) // TAG_SIZE > TAGS_MAX:
        raise ValueError(f"tags is not a whole number of {TAG_SIZE}-byte tags, or more than {TAGS_MAX}")
    if len(secret) != SECRET_SIZE:
        raise ValueError(f"the secret has {len(secret)} bytes and must have {SECRET_SIZE}")
    cdef uint8_t[::1] drops_view = drops
    cdef splitting work
    memset(&work, 0, sizeof(splitting))
    work.drops = _counters(drops_view)
    cdef Py_ssize_t count = datagrams.shape[0] // <Py_ssize_t>sizeof(datagram_record)
    cdef Py_ssize_t index
    if count == 0:
        return b"", b""
    cdef const datagram_record *first = <const datagram_record *>&datagrams[0]
    for index in range(count):
        if <uint64_t>first[index].offset + first[index].length > <uint64_t>arena.shape[0]:
            raise ValueError(f"datagram_record {index} does not lie in the arena")
    work.arena = &arena[0] if arena.shape[0] else NULL
    work.secret = secret
    work.epoch = epoch
    cdef const uint8_t *first_tag = tags
    cdef Py_ssize_t tag_count = len(tags) // TAG_SIZE
    cdef bint enough
    try:
        with nogil:
            enough = _split_all(&work, first, count, first_tag, tag_count)
        if not enough:
            raise MemoryError
        return work.frames.data[:work.frames.size], work.envelopes.data[:work.envelopes.size]
    finally:
        free(work.tags.slots)
        free(work.frames.data)
        free(work.envelopes.data)
