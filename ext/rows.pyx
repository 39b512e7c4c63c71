"""Rows of the store's databases out of packed messages, and packed keys out of rows (see rows.pyi).

The layout is that of dispersy/storage/layout.py. LMDB's binding takes and gives rows as pairs of bytes; made
and taken apart one by one in Python, they would cost more than the disk.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

cdef extern from "records.h":
    ctypedef struct message_record:
        uint32_t offset
        uint32_t length
        uint64_t global_time
        uint16_t header_size
        uint8_t flags
        uint8_t payload_count
        uint8_t id[32]

cdef enum:
    RECORD_SIZE = 96
    ID_SIZE = 32
    ID_KEY_SIZE = 16
    CURSOR_SIZE = 8
    COMMUNITY_SIZE = 4
    ORDER_KEY_SIZE = 44  # community, global time, id
    PACKED_KEY_SIZE = 40  # without the community
    TWO_AUTHORS = 1  # message flag
    LANE_START_SIZE = 34  # kind, flags, author
    PAIR_START_SIZE = 66
    ERASED_MARK = 16
    ON_REQUEST_MARK = 128

cdef uint32_t ON_REQUEST_BIT = <uint32_t>1 << 31

CONSTANTS = {"ERASED": ERASED_MARK, "ON_REQUEST": ON_REQUEST_MARK, "ON_REQUEST_PART": ON_REQUEST_BIT}

if sizeof(message_record) != RECORD_SIZE:
    raise ImportError(f"message_record has {sizeof(message_record)} bytes, not {RECORD_SIZE}: build again")


cdef inline void _write_big_endian(uint8_t *place, uint64_t value, int size) noexcept nogil:
    cdef int index
    for index in range(size):
        place[index] = <uint8_t>(value >> 8 * (size - 1 - index))


cdef inline uint64_t _read_big_endian(const uint8_t *place) noexcept nogil:
    cdef uint64_t value = 0
    cdef int index
    for index in range(CURSOR_SIZE):
        value = value << 8 | place[index]
    return value


cdef int _check(
    const message_record *records, Py_ssize_t count, Py_ssize_t arena_size,
) except -1:
    cdef Py_ssize_t index
    cdef uint32_t start_size
    for index in range(count):
        start_size = PAIR_START_SIZE if records[index].flags & TWO_AUTHORS else LANE_START_SIZE
        if <uint64_t>records[index].offset + records[index].length > <uint64_t>arena_size:
            raise ValueError(f"record {index} does not lie inside the arena of {arena_size} bytes")
        if records[index].length < start_size:
            raise ValueError(f"record {index} is of a message without an author, which no store takes")
    return 0


def block_rows(
    const uint8_t[::1] records not None,
    const uint8_t[::1] arena not None,
    const uint8_t[::1] marks not None,
    const uint8_t[::1] cursors not None,
    uint32_t community,
    dict heads not None,
):
    cdef Py_ssize_t count = marks.shape[0]
    if records.shape[0] != count * RECORD_SIZE or cursors.shape[0] != count * CURSOR_SIZE:
        raise ValueError(
            f"{records.shape[0]} bytes of records and {cursors.shape[0]} of cursors are not those of {count} marks"
        )
    log, order, starts = [], [], []
    if count == 0:
        return log, order, starts
    cdef const message_record *record = <const message_record *>&records[0]
    _check(record, count, arena.shape[0])
    cdef Py_ssize_t index, head_size
    cdef uint64_t cursor
    cdef uint32_t part
    cdef bytes head
    cdef uint8_t *place
    cdef const uint8_t *message
    for index in range(count):
        message = &arena[0] + record.offset
        memcpy(&cursor, &cursors[index * CURSOR_SIZE], CURSOR_SIZE)
        key = PyBytes_FromStringAndSize(NULL, CURSOR_SIZE)
        _write_big_endian(<uint8_t *>PyBytes_AS_STRING(key), cursor, CURSOR_SIZE)

        head = heads[marks[index]]
        head_size = len(head)
        is_erased = (marks[index] & ERASED_MARK) != 0
        value = PyBytes_FromStringAndSize(NULL, head_size + ID_SIZE + record.length + is_erased)
        place = <uint8_t *>PyBytes_AS_STRING(value)
        memcpy(place, PyBytes_AS_STRING(head), head_size)
        memcpy(place + head_size, record.id, ID_SIZE)
        memcpy(place + head_size + ID_SIZE, message, record.length)
        if is_erased:
            place[head_size + ID_SIZE + record.length] = record.payload_count
        log.append((key, value))

        row = PyBytes_FromStringAndSize(NULL, ORDER_KEY_SIZE)
        place = <uint8_t *>PyBytes_AS_STRING(row)
        part = community | (ON_REQUEST_BIT if marks[index] & ON_REQUEST_MARK else 0)
        _write_big_endian(place, part, COMMUNITY_SIZE)
        _write_big_endian(place + COMMUNITY_SIZE, record.global_time, 8)
        memcpy(place + COMMUNITY_SIZE + 8, record.id, ID_SIZE)
        order.append((row, key))

        starts.append(
            PyBytes_FromStringAndSize(
                <const char *>message, PAIR_START_SIZE if record.flags & TWO_AUTHORS else LANE_START_SIZE
            )
        )
        record += 1
    return log, order, starts


cdef Py_ssize_t _count_inside(list rows, bytes bound, bint descends) except -1:
    """How many of the first rows lie on the inner side of the bound."""
    cdef Py_ssize_t index, shared = min(len(bound), ORDER_KEY_SIZE)
    cdef tuple row
    cdef bytes key, value
    cdef int compared
    cdef bint is_below
    for index in range(len(rows)):
        row = rows[index]
        key, value = row
        if key is None or value is None or len(key) != ORDER_KEY_SIZE or len(value) != CURSOR_SIZE:
            raise ValueError(f"row {index} is not {ORDER_KEY_SIZE} bytes of key and {CURSOR_SIZE} of cursor")
        compared = memcmp(PyBytes_AS_STRING(key), PyBytes_AS_STRING(bound), shared)
        is_below = compared < 0 or (compared == 0 and ORDER_KEY_SIZE < len(bound))
        if is_below == descends:
            return index
    return len(rows)


def scanned(list rows not None, bytes bound not None, *, bint descends=False):
    cdef Py_ssize_t count = _count_inside(rows, bound, descends), index
    keys = PyBytes_FromStringAndSize(NULL, count * PACKED_KEY_SIZE)
    cursors = PyBytes_FromStringAndSize(NULL, count * CURSOR_SIZE)
    cdef uint8_t *key_place = <uint8_t *>PyBytes_AS_STRING(keys)
    cdef uint8_t *cursor_place = <uint8_t *>PyBytes_AS_STRING(cursors)
    cdef tuple row
    cdef uint64_t cursor
    for index in range(count):
        row = <tuple>rows[index]
        memcpy(key_place, PyBytes_AS_STRING(<bytes>row[0]) + COMMUNITY_SIZE, PACKED_KEY_SIZE)
        cursor = _read_big_endian(<const uint8_t *>PyBytes_AS_STRING(<bytes>row[1]))
        memcpy(cursor_place, &cursor, CURSOR_SIZE)
        key_place += PACKED_KEY_SIZE
        cursor_place += CURSOR_SIZE
    return keys, cursors


def id_keys(const uint8_t[::1] records not None):
    if records.shape[0] % RECORD_SIZE:
        raise ValueError(f"records is {records.shape[0]} bytes, not whole {RECORD_SIZE}-byte message_records")
    cdef Py_ssize_t count = records.shape[0] // RECORD_SIZE, index
    keys = PyBytes_FromStringAndSize(NULL, count * ID_KEY_SIZE)
    cdef uint8_t *place = <uint8_t *>PyBytes_AS_STRING(keys)
    for index in range(count):
        memcpy(
            place + index * ID_KEY_SIZE, (<const message_record *>&records[index * RECORD_SIZE]).id, ID_KEY_SIZE
        )
    return keys


def ids_of(const uint8_t[::1] keys not None):
    if keys.shape[0] % PACKED_KEY_SIZE:
        raise ValueError(f"keys is {keys.shape[0]} bytes, not whole {PACKED_KEY_SIZE}-byte keys")
    cdef Py_ssize_t count = keys.shape[0] // PACKED_KEY_SIZE, index
    ids = PyBytes_FromStringAndSize(NULL, count * ID_SIZE)
    cdef uint8_t *place = <uint8_t *>PyBytes_AS_STRING(ids)
    for index in range(count):
        memcpy(place + index * ID_SIZE, &keys[index * PACKED_KEY_SIZE + PACKED_KEY_SIZE - ID_SIZE], ID_SIZE)
    return ids
