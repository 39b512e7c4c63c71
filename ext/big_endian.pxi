# Numbers as the store's keys have them: big-endian bytes sort as the numbers do.
# The including file imports uint8_t and uint64_t.


cdef inline uint64_t read_u64_big_endian(const uint8_t *place) noexcept nogil:
    cdef uint64_t value = 0
    cdef int index
    for index in range(8):
        value = value << 8 | place[index]
    return value
