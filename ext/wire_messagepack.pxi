# MessagePack values: well-formed or not; a part of wire.pyx. Nothing is made of them here.

cdef enum:
    # Deeper values are of no use to people and exhaust the stacks of decoders that recurse.
    MESSAGEPACK_DEPTH_MAX = 32


cdef inline bint _is_utf8(const uint8_t *text, Py_ssize_t size) noexcept nogil:
    """RFC 3629: shortest forms, no surrogates, nothing above U+10FFFF."""
    cdef Py_ssize_t position = 0
    cdef uint8_t first, low, high
    cdef int more, index
    while position < size:
        first = text[position]
        position += 1
        if first < 0x80:
            continue
        # What the second byte may be depends on the first (RFC 3629, section 4); all others are 80 to BF.
        low, high = 0x80, 0xBF
        if 0xC2 <= first <= 0xDF:
            more = 1
        elif 0xE0 <= first <= 0xEF:
            more = 2
            if first == 0xE0:
                low = 0xA0
            elif first == 0xED:
                high = 0x9F
        elif 0xF0 <= first <= 0xF4:
            more = 3
            if first == 0xF0:
                low = 0x90
            elif first == 0xF4:
                high = 0x8F
        else:
            return False
        if size - position < more:
            return False
        for index in range(more):
            if not low <= text[position + index] <= high:
                return False
            low, high = 0x80, 0xBF
        position += more
    return True


cdef inline bint _take_big_endian(
    const uint8_t *data, Py_ssize_t size, Py_ssize_t *position, int width, uint64_t *value
) noexcept nogil:
    cdef int index
    if size - position[0] < width:
        return False
    value[0] = 0
    for index in range(width):
        value[0] = value[0] << 8 | data[position[0] + index]
    position[0] += width
    return True


cdef bint _is_messagepack(const uint8_t *data, Py_ssize_t size) noexcept nogil:
    """Whether data is exactly one value. Every value takes a byte, so the work is bounded by the size."""
    cdef uint64_t left[MESSAGEPACK_DEPTH_MAX + 1]
    cdef Py_ssize_t position = 0
    cdef int depth = 0
    cdef uint8_t first
    cdef uint64_t count, values
    left[0] = 1
    while True:
        while left[depth] == 0:
            if depth == 0:
                return position == size
            depth -= 1
        left[depth] -= 1
        if position >= size:
            return False
        first = data[position]
        position += 1
        count = values = 0
        if first <= 0x7F or first >= 0xE0 or first == 0xC0 or first == 0xC2 or first == 0xC3:
            continue                                    # small integers, nil, false, true
        if first <= 0x8F:                               # fixmap: a key and a value each
            values = 2 * (first & 0x0F)
        elif first <= 0x9F:                             # fixarray
            values = first & 0x0F
        elif first <= 0xBF:                             # fixstr
            count = first & 0x1F
        elif first == 0xC1:                             # never used
            return False
        elif first <= 0xC6:                             # bin 8, 16, 32
            if not _take_big_endian(data, size, &position, 1 << (first - 0xC4), &count):
                return False
        elif first <= 0xC9:                             # ext 8, 16, 32: a type besides
            if not _take_big_endian(data, size, &position, 1 << (first - 0xC7), &count):
                return False
            count += 1
        elif first <= 0xCB:                             # float 32, 64
            count = 4 << (first - 0xCA)
        elif first <= 0xCF:                             # uint 8 to 64
            count = 1 << (first - 0xCC)
        elif first <= 0xD3:                             # int 8 to 64
            count = 1 << (first - 0xD0)
        elif first <= 0xD8:                             # fixext 1 to 16: a type besides
            count = 1 + (1 << (first - 0xD4))
        elif first <= 0xDB:                             # str 8, 16, 32
            if not _take_big_endian(data, size, &position, 1 << (first - 0xD9), &count):
                return False
        elif first <= 0xDD:                             # array 16, 32
            if not _take_big_endian(data, size, &position, 2 << (first - 0xDC), &values):
                return False
        else:                                           # map 16, 32
            if not _take_big_endian(data, size, &position, 2 << (first - 0xDE), &values):
                return False
            values *= 2
        if count > <uint64_t>(size - position):
            return False
        if (0xA0 <= first <= 0xBF or 0xD9 <= first <= 0xDB) and not _is_utf8(data + position, <Py_ssize_t>count):
            return False
        position += <Py_ssize_t>count
        if values:
            if values > <uint64_t>(size - position) or depth == MESSAGEPACK_DEPTH_MAX:
                return False
            depth += 1
            left[depth] = values


def are_messagepack(list payloads not None):
    """See the stub."""
    found = bytearray(len(payloads))
    cdef const uint8_t[::1] view
    cdef Py_ssize_t index
    for index, payload in enumerate(payloads):
        view = payload
        # An empty view has no first byte to point to, and nothing is no value.
        found[index] = view.shape[0] > 0 and _is_messagepack(&view[0], view.shape[0])
    return bytes(found)
