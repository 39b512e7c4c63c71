# Messages: parsing, encoding, packing into lists; a part of wire.pyx.

cdef inline bint _is_zero(const uint8_t *key) noexcept nogil:
    cdef int index
    for index in range(KEY_SIZE):
        if key[index]:
            return False
    return True


cdef int _parse_header(const uint8_t *message, Py_ssize_t end, message_record *record) noexcept nogil:
    """All before the payload count; the signatures begin at `end`. The drop reason or WELL_FORMED."""
    cdef int author_count = record.signature_count
    cdef Py_ssize_t position = 2 + KEY_SIZE * author_count
    cdef int index, form
    if position > end:
        return MESSAGE_SHORT
    for index in range(author_count):
        if _is_zero(message + 2 + index * KEY_SIZE):
            return MESSAGE_AUTHOR_ZERO
    if record.flags & RECIPIENT:
        position += KEY_SIZE
    form = _read_uvarint(message, end, &position, &record.global_time)
    if form != UVARINT_SHORTEST:
        return MESSAGE_SHORT if form == UVARINT_CUT else MESSAGE_UVARINT
    if record.global_time == 0:
        return MESSAGE_TIME_ZERO
    if author_count:
        form = _read_uvarint(message, end, &position, &record.sequence)
        if form != UVARINT_SHORTEST:
            return MESSAGE_SHORT if form == UVARINT_CUT else MESSAGE_UVARINT
        if record.sequence == 0:
            return MESSAGE_SEQUENCE_ZERO
    if record.kind < KIND_CONTROL_END:
        position += KEY_SIZE
    if record.flags & N_HOP:
        position += N_HOP_SIZE
    if position > end:
        return MESSAGE_SHORT
    record.header_size = <uint16_t>position
    return WELL_FORMED


cdef int _parse_payloads(const uint8_t *message, Py_ssize_t end, message_record *record) noexcept nogil:
    """The payload part, which must reach exactly to `end`; the drop reason or WELL_FORMED."""
    cdef Py_ssize_t position = record.header_size
    cdef uint64_t count = 0, index, size = 0
    cdef int form = _read_uvarint(message, end, &position, &count)
    if form != UVARINT_SHORTEST:
        return MESSAGE_SHORT if form == UVARINT_CUT else MESSAGE_UVARINT
    if count == 0 or count > PAYLOADS_MAX:
        return MESSAGE_PAYLOAD_COUNT
    for index in range(count):
        form = _read_uvarint(message, end, &position, &size)
        if form != UVARINT_SHORTEST:
            return MESSAGE_PAYLOAD_TRUNCATED if form == UVARINT_CUT else MESSAGE_UVARINT
        if size > <uint64_t>(end - position):
            return MESSAGE_PAYLOAD_TRUNCATED
        position += size
    if position != end:
        return MESSAGE_TRAILING
    record.payload_count = <uint8_t>count
    return WELL_FORMED


cdef int _parse_digest(Py_ssize_t end, message_record *record) noexcept nogil:
    """What stands for the payload part of a stripped message; the drop reason or WELL_FORMED."""
    # Only what is stored is ever erased: data messages with an author.
    if record.flags & NO_AUTHOR or record.kind < KIND_CONTROL_END:
        return MESSAGE_KIND_FLAGS
    if end - record.header_size < DIGEST_SIZE:
        return MESSAGE_SHORT
    if end - record.header_size > DIGEST_SIZE:
        return MESSAGE_TRAILING
    record.payload_count = 1
    record.state = STRIPPED
    return WELL_FORMED


cdef int _parse(
    const uint8_t *message, Py_ssize_t size, bint is_stripped, message_record *record
) noexcept nogil:
    """One message into a record that is zeros; the drop reason or WELL_FORMED."""
    cdef Py_ssize_t end
    cdef int reason
    if size > MESSAGE_SIZE_MAX:
        return MESSAGE_LONG
    if size < MESSAGE_SIZE_MIN:
        return MESSAGE_SHORT
    record.kind = message[0]
    record.flags = message[1]
    if record.flags & ~MESSAGE_FLAGS:
        return MESSAGE_FLAGS_UNKNOWN
    if record.flags & NO_AUTHOR and (record.flags & TWO_AUTHORS or record.kind < KIND_CONTROL_END):
        return MESSAGE_KIND_FLAGS
    if record.flags & NO_AUTHOR:
        record.signature_count = 0
    else:
        record.signature_count = 2 if record.flags & TWO_AUTHORS else 1
    end = size - SIGNATURE_SIZE * record.signature_count
    reason = _parse_header(message, end, record)
    if reason != WELL_FORMED:
        return reason
    if is_stripped:
        return _parse_digest(end, record)
    return _parse_payloads(message, end, record)


cdef Py_ssize_t _count_messages(const uint8_t *area, Py_ssize_t size) noexcept nogil:
    """How many pairs of the list could be messages: at least as many as are."""
    cdef Py_ssize_t position = 0, count = 0
    cdef uint64_t length = 0
    cdef int form
    while position < size:
        form = _read_uvarint(area, size, &position, &length)
        if form == UVARINT_CUT or form == UVARINT_OVER or length > <uint64_t>(size - position):
            break
        position += length
        count += length >= MESSAGE_SIZE_MIN
    return count


cdef Py_ssize_t _parse_all(
    const uint8_t *area, Py_ssize_t size, bint are_stripped, message_record *records, uint32_t *drops
) noexcept nogil:
    """Fill records, which are zeros and enough, with the messages of a list; how many there are."""
    cdef Py_ssize_t position = 0, count = 0
    cdef uint64_t length = 0
    cdef message_record record
    cdef int form, reason
    while position < size:
        form = _read_uvarint(area, size, &position, &length)
        if form == UVARINT_CUT or form == UVARINT_OVER or length > <uint64_t>(size - position):
            drops[MESSAGES_TRUNCATED] += 1
            break
        position += length
        if form == UVARINT_PADDED:
            drops[MESSAGE_LENGTH_LONG] += 1
            continue
        memset(&record, 0, sizeof(message_record))
        reason = _parse(area + position - length, <Py_ssize_t>length, are_stripped, &record)
        if reason != WELL_FORMED:
            drops[reason] += 1
            continue
        record.offset = <uint32_t>(position - length)
        record.length = <uint32_t>length
        records[count] = record
        count += 1
    return count


def parse_messages(const uint8_t[::1] area not None, bytearray drops not None, *, bint stripped=False):
    cdef uint8_t[::1] drops_view = drops
    cdef uint32_t *counters = _counters(drops_view)
    cdef Py_ssize_t size = area.shape[0]
    if size > 0xFFFFFFFF:
        raise ValueError("an area has at most 2^32 - 1 bytes: records hold offsets of 32 bits")
    if size == 0:
        return bytearray()
    cdef Py_ssize_t room, count
    with nogil:
        room = _count_messages(&area[0], size)
    # One record more than counted, so that there is a first byte to point at.
    records = bytearray((room + 1) * sizeof(message_record))
    cdef uint8_t[::1] records_view = records
    with nogil:
        count = _parse_all(&area[0], size, stripped, <message_record *>&records_view[0], counters)
    records_view = None
    del records[count * sizeof(message_record):]
    return records


cdef inline Py_ssize_t _write_uvarint(uint8_t *out, uint64_t value) noexcept nogil:
    """At most 9 bytes for a value below 2^63; returns how many."""
    cdef Py_ssize_t size = 0
    while value >= 0x80:
        out[size] = <uint8_t>(value | 0x80)
        value >>= 7
        size += 1
    out[size] = <uint8_t>value
    return size + 1


cdef int _check_parts(
    int kind, int flags, bytes authors, bytes recipient, bytes previous, bytes n_hop
) except -1:
    """How many authors the parts have; ValueError when they contradict each other."""
    cdef int author_count = 0 if flags & NO_AUTHOR else 2 if flags & TWO_AUTHORS else 1
    if not 0 <= kind <= 255:
        raise ValueError(f"kind {kind} is not 0 to 255")
    if not 0 <= flags <= MESSAGE_FLAGS:
        raise ValueError(f"flags {flags} has bits that mean nothing")
    if flags & NO_AUTHOR and (flags & TWO_AUTHORS or kind < KIND_CONTROL_END):
        raise ValueError("a message without author has no two authors and no kind below 64")
    if len(authors) != author_count * KEY_SIZE:
        raise ValueError(f"authors has {len(authors)} bytes, the flags ask for {author_count * KEY_SIZE}")
    for index in range(author_count):
        if not any(authors[index * KEY_SIZE:(index + 1) * KEY_SIZE]):
            raise ValueError("an author is all zeros")
    if len(recipient) != (KEY_SIZE if flags & RECIPIENT else 0):
        raise ValueError(f"recipient has {len(recipient)} bytes, which contradicts the flags")
    if len(previous) != (KEY_SIZE if kind < KIND_CONTROL_END else 0):
        raise ValueError(f"previous has {len(previous)} bytes, which contradicts the kind")
    if len(n_hop) != (N_HOP_SIZE if flags & N_HOP else 0):
        raise ValueError(f"n_hop has {len(n_hop)} bytes, which contradicts the flags")
    return author_count


def encode_message(
    int kind,
    int flags,
    bytes authors not None,
    bytes recipient not None,
    global_time,
    sequence,
    bytes previous not None,
    bytes n_hop not None,
    list payloads not None,
):
    cdef int author_count = _check_parts(kind, flags, authors, recipient, previous, n_hop)
    if not 1 <= global_time < 1 << 63:
        raise ValueError(f"global time {global_time} is not 1 to 2^63 - 1")
    if author_count and not 1 <= sequence < 1 << 63:
        raise ValueError(f"sequence {sequence} is not 1 to 2^63 - 1")
    if not author_count and sequence != 0:
        raise ValueError("a message without author has no sequence: give 0")
    if not 1 <= len(payloads) <= PAYLOADS_MAX:
        raise ValueError(f"{len(payloads)} payloads are not 1 to {PAYLOADS_MAX}")
    cdef uint8_t number[UVARINT_SIZE_MAX]
    cdef Py_ssize_t size_max = MESSAGE_SIZE_MAX - SIGNATURE_SIZE * author_count
    out = bytearray((kind, flags))
    out += authors
    out += recipient
    out += number[:_write_uvarint(number, global_time)]
    if author_count:
        out += number[:_write_uvarint(number, sequence)]
    out += previous
    out += n_hop
    out += number[:_write_uvarint(number, len(payloads))]
    cdef bytes payload
    for payload in payloads:
        out += number[:_write_uvarint(number, len(payload))]
        out += payload
        if len(out) > size_max:
            raise ValueError(f"the message is longer than {MESSAGE_SIZE_MAX} bytes with its signatures")
    return bytes(out)


def split_payloads(const uint8_t[::1] message not None):
    cdef message_record record
    cdef Py_ssize_t position, start
    cdef uint64_t count = 0, size = 0
    memset(&record, 0, sizeof(message_record))
    cdef int reason = _parse(&message[0], message.shape[0], False, &record) if message.shape[0] else MESSAGE_SHORT
    if reason != WELL_FORMED:
        raise ValueError(f"not a well-formed message: {DROP_REASONS[reason]}")
    position = record.header_size
    _read_uvarint(&message[0], message.shape[0], &position, &count)
    payloads = []
    while count:
        _read_uvarint(&message[0], message.shape[0], &position, &size)
        start = position
        position += size
        payloads.append((<const char *>&message[0])[start:position])
        count -= 1
    return payloads


cdef bytes _joined(list messages, Py_ssize_t first, Py_ssize_t end, Py_ssize_t size):
    """Some of these, each behind its length; `size` bytes together."""
    area = PyBytes_FromStringAndSize(NULL, size)
    cdef uint8_t *place = <uint8_t *>PyBytes_AS_STRING(area)
    cdef Py_ssize_t index
    cdef bytes message
    for index in range(first, end):
        message = <bytes>messages[index]
        place += _write_uvarint(place, len(message))
        memcpy(place, PyBytes_AS_STRING(message), len(message))
        place += len(message)
    return area


def pack(list messages not None, Py_ssize_t size_max):
    cdef uint8_t number[UVARINT_SIZE_MAX]
    cdef Py_ssize_t index, own, first = 0, size = 0
    cdef bytes message
    packed = []
    for index in range(len(messages)):
        message = messages[index]
        own = _write_uvarint(number, len(message)) + len(message)
        if not message or own > size_max:
            raise ValueError(f"a message of {len(message)} bytes does not fit into {size_max}")
        if size + own > size_max:
            packed.append((index - first, _joined(messages, first, index, size)))
            first, size = index, 0
        size += own
    if size:
        packed.append((len(messages) - first, _joined(messages, first, len(messages), size)))
    return packed
