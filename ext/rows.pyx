"""Rows of the store's databases out of packed messages, and packed keys out of rows (see rows.pyi).

The layout is that of dispersy/storage/layout.py. LMDB's binding takes and gives rows as pairs of bytes; made
and taken apart one by one in Python, they would cost more than the disk.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport UINT32_MAX, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memcmp, memcpy

include "sodium.pxi"
include "big_endian.pxi"

cdef extern from "records.h":
    ctypedef struct message_record:
        uint32_t offset
        uint32_t length
        uint64_t global_time
        uint64_t sequence
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
    AUTHOR_SIZE = 32
    AUTHOR_OFFSET = 2  # in a message: after kind and flags
    PAIR_CONTEXT_SIZE = 15
    LANE_SIZE = 37  # community, name, kind
    LANE_HASH_SIZE = 16
    SLOT_SIZE = 40  # lane hash, sequence, global time, cursor
    LANE_START_SIZE = 34  # kind, flags, author
    PAIR_START_SIZE = 66
    ERASED_MARK = 16
    ON_REQUEST_MARK = 128

cdef crypto_generichash_blake2b_salt_personal_t blake2b = (
    <crypto_generichash_blake2b_salt_personal_t>sodium_function("crypto_generichash_blake2b_salt_personal")
)
cdef const uint8_t *PAIR_CONTEXT = b"dispersy/3 pair"
cdef uint32_t ON_REQUEST_BIT = <uint32_t>1 << 31

CONSTANTS = {"ERASED": ERASED_MARK, "ON_REQUEST": ON_REQUEST_MARK, "ON_REQUEST_PART": ON_REQUEST_BIT}

if sizeof(message_record) != RECORD_SIZE:
    raise ImportError(f"message_record has {sizeof(message_record)} bytes, not {RECORD_SIZE}: build again")


cdef inline void _write_big_endian(uint8_t *place, uint64_t value, int size) noexcept nogil:
    cdef int index
    for index in range(size):
        place[index] = <uint8_t>(value >> 8 * (size - 1 - index))


cdef struct place:
    # Of a record in the order: its part of the community, then its global time and id.
    uint32_t part
    Py_ssize_t index
    const message_record *record


cdef int _compare_places(const void *one, const void *other) noexcept nogil:
    cdef const place *left = <const place *>one
    cdef const place *right = <const place *>other
    if left.part != right.part:
        return -1 if left.part < right.part else 1
    if left.record.global_time != right.record.global_time:
        return -1 if left.record.global_time < right.record.global_time else 1
    cdef int compared = memcmp(left.record.id, right.record.id, ID_SIZE)
    return compared if compared else (left.index > right.index) - (left.index < right.index)


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
        if records[index].payload_count == 0:
            raise ValueError(f"record {index} is of a message without payloads, which takes no cursor")
    return 0


cdef list _log_rows(
    const message_record *records, Py_ssize_t count, const uint8_t *arena, const uint8_t *marks,
    const uint64_t *cursors, dict heads,
):
    cdef list log = []
    cdef Py_ssize_t index, head_size
    cdef bytes head
    cdef uint8_t *place
    cdef const message_record *record
    for index in range(count):
        record = &records[index]
        key = PyBytes_FromStringAndSize(NULL, CURSOR_SIZE)
        _write_big_endian(<uint8_t *>PyBytes_AS_STRING(key), cursors[index], CURSOR_SIZE)
        head = heads[marks[index]]
        head_size = len(head)
        is_erased = (marks[index] & ERASED_MARK) != 0
        value = PyBytes_FromStringAndSize(NULL, head_size + ID_SIZE + record.length + is_erased)
        place = <uint8_t *>PyBytes_AS_STRING(value)
        memcpy(place, PyBytes_AS_STRING(head), head_size)
        memcpy(place + head_size, record.id, ID_SIZE)
        memcpy(place + head_size + ID_SIZE, arena + record.offset, record.length)
        if is_erased:
            place[head_size + ID_SIZE + record.length] = record.payload_count
        log.append((key, value))
    return log


cdef list _order_rows(
    const message_record *records, Py_ssize_t count, const uint8_t *marks, uint32_t community, list log,
):
    cdef list order = []
    cdef Py_ssize_t index
    cdef uint8_t *row_place
    cdef bint is_rising = True
    cdef place *places = <place *>malloc(count * sizeof(place))
    if places == NULL:
        raise MemoryError(f"no memory to order {count} messages")
    try:
        for index in range(count):
            places[index].part = community | (ON_REQUEST_BIT if marks[index] & ON_REQUEST_MARK else 0)
            places[index].index = index
            places[index].record = &records[index]
            if index and _compare_places(&places[index - 1], &places[index]) > 0:
                is_rising = False
        if not is_rising:
            qsort(places, count, sizeof(place), _compare_places)
        for index in range(count):
            row = PyBytes_FromStringAndSize(NULL, ORDER_KEY_SIZE)
            row_place = <uint8_t *>PyBytes_AS_STRING(row)
            _write_big_endian(row_place, places[index].part, COMMUNITY_SIZE)
            _write_big_endian(row_place + COMMUNITY_SIZE, places[index].record.global_time, 8)
            memcpy(row_place + COMMUNITY_SIZE + 8, places[index].record.id, ID_SIZE)
            order.append((row, (<tuple>log[places[index].index])[0]))
    finally:
        free(places)
    return order


cdef void _write_slots(
    const message_record *records, Py_ssize_t count, const uint8_t *arena, const uint64_t *cursors,
    uint32_t community, uint8_t *slots,
) noexcept nogil:
    """layout.lane_hash() is the twin of what is hashed here, identifiers.lane_name() of the name in it."""
    cdef uint8_t[LANE_SIZE] lane
    cdef uint8_t[PAIR_CONTEXT_SIZE + 2 * AUTHOR_SIZE] pair
    cdef uint8_t *name = &lane[COMMUNITY_SIZE]
    cdef uint8_t *slot = slots
    cdef const message_record *record
    cdef const uint8_t *authors
    cdef Py_ssize_t index
    memcpy(pair, PAIR_CONTEXT, PAIR_CONTEXT_SIZE)
    _write_big_endian(lane, community, COMMUNITY_SIZE)
    for index in range(count):
        record = &records[index]
        authors = arena + record.offset + AUTHOR_OFFSET
        if record.flags & TWO_AUTHORS:
            memcpy(&pair[PAIR_CONTEXT_SIZE], authors, 2 * AUTHOR_SIZE)
            blake2b(name, AUTHOR_SIZE, pair, PAIR_CONTEXT_SIZE + 2 * AUTHOR_SIZE, NULL, 0, NULL, NULL)
        else:
            memcpy(name, authors, AUTHOR_SIZE)
        lane[LANE_SIZE - 1] = arena[record.offset]
        blake2b(slot, LANE_HASH_SIZE, lane, LANE_SIZE, NULL, 0, NULL, NULL)
        _write_big_endian(slot + LANE_HASH_SIZE, record.sequence, 8)
        _write_big_endian(slot + LANE_HASH_SIZE + 8, record.global_time, 8)
        _write_big_endian(slot + LANE_HASH_SIZE + 16, cursors[index], CURSOR_SIZE)
        slot += SLOT_SIZE


def block_rows(
    const uint8_t[::1] records not None,
    const uint8_t[::1] arena not None,
    const uint8_t[::1] marks not None,
    uint64_t first_cursor,
    uint32_t community,
    dict heads not None,
):
    cdef Py_ssize_t count = marks.shape[0], index
    if records.shape[0] != count * RECORD_SIZE:
        raise ValueError(f"{records.shape[0]} bytes of records are not those of {count} marks")
    if count == 0:
        return [], [], b"", b""
    cdef const message_record *first = <const message_record *>&records[0]
    _check(first, count, arena.shape[0])
    cursors = PyBytes_FromStringAndSize(NULL, count * CURSOR_SIZE)
    cdef uint64_t *numbers = <uint64_t *>PyBytes_AS_STRING(cursors)
    for index in range(count):
        numbers[index] = first_cursor
        first_cursor += first[index].payload_count
    log = _log_rows(first, count, &arena[0], &marks[0], numbers, heads)
    order = _order_rows(first, count, &marks[0], community, log)
    slots = PyBytes_FromStringAndSize(NULL, count * SLOT_SIZE)
    cdef uint8_t *slots_place = <uint8_t *>PyBytes_AS_STRING(slots)
    with nogil:
        _write_slots(first, count, &arena[0], numbers, community, slots_place)
    return log, order, slots, cursors


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
        cursor = read_u64_big_endian(<const uint8_t *>PyBytes_AS_STRING(<bytes>row[1]))
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


def joined(list batches not None):
    cdef uint64_t offset = 0
    cdef Py_ssize_t at
    cdef bytes records, arena
    for records, arena in batches:
        if records is None or arena is None or len(records) % RECORD_SIZE:
            raise ValueError(f"records is {len(records)} bytes, not whole {RECORD_SIZE}-byte message_records")
        offset += len(arena)
    if offset > UINT32_MAX:
        raise ValueError(f"arenas of {offset} bytes in all are more than a record's offset reaches")
    whole = b"".join([records for records, _ in batches])
    moved = PyBytes_FromStringAndSize(PyBytes_AS_STRING(whole), len(whole))
    cdef message_record *record = <message_record *>PyBytes_AS_STRING(moved)
    offset = 0
    for records, arena in batches:
        for at in range(len(records) // RECORD_SIZE):
            record.offset += <uint32_t>offset
            record += 1
        offset += len(arena)
    return moved, b"".join([arena for _, arena in batches])


def has_author(
    const uint8_t[::1] records not None, const uint8_t[::1] arena not None, const uint8_t[::1] author not None,
):
    if records.shape[0] % RECORD_SIZE:
        raise ValueError(f"records is {records.shape[0]} bytes, not whole {RECORD_SIZE}-byte message_records")
    if author.shape[0] != AUTHOR_SIZE:
        raise ValueError(f"author is {author.shape[0]} bytes and must be {AUTHOR_SIZE}")
    cdef Py_ssize_t count = records.shape[0] // RECORD_SIZE, index
    cdef const message_record *record
    for index in range(count):
        record = <const message_record *>&records[index * RECORD_SIZE]
        if <uint64_t>record.offset + record.length > <uint64_t>arena.shape[0]:
            raise ValueError(f"record {index} does not lie inside the arena of {arena.shape[0]} bytes")
        if record.length < LANE_START_SIZE:
            continue
        if memcmp(&arena[record.offset + AUTHOR_OFFSET], &author[0], AUTHOR_SIZE) == 0:
            return True
    return False


def ids_of(const uint8_t[::1] keys not None):
    if keys.shape[0] % PACKED_KEY_SIZE:
        raise ValueError(f"keys is {keys.shape[0]} bytes, not whole {PACKED_KEY_SIZE}-byte keys")
    cdef Py_ssize_t count = keys.shape[0] // PACKED_KEY_SIZE, index
    ids = PyBytes_FromStringAndSize(NULL, count * ID_SIZE)
    cdef uint8_t *place = <uint8_t *>PyBytes_AS_STRING(ids)
    for index in range(count):
        memcpy(place + index * ID_SIZE, &keys[index * PACKED_KEY_SIZE + PACKED_KEY_SIZE - ID_SIZE], ID_SIZE)
    return ids
