"""Hash tables of the writer: 16-byte keys to u64, and the newest of every (community, author, kind) (see table.pyi).

Both are open addressing with linear probing over a power of two of slots, and double at a load of 0.7. Peers choose
the keys, so positions are SipHash-1-3 under a secret of this process: who cannot compute them cannot pile keys up.
A random position is a cache miss, dearer than all the rest; therefore batches hash BLOCK keys ahead and prefetch
their slots. The GIL is held throughout: it is the tables' lock.
"""

cimport cython
from libc.stdint cimport UINT64_MAX, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memcmp, memcpy, memset

import os

cdef extern from *:
    """
    #define dispersy_prefetch(address) __builtin_prefetch((address), 1)
    """
    void dispersy_prefetch(const void *address) noexcept nogil

cdef extern from "siphash.h":
    uint64_t siphash_words(const uint64_t *words, int count, const uint64_t *secret) noexcept nogil

cdef extern from "records.h":
    ctypedef struct message_record:
        uint32_t offset
        uint32_t length
        uint64_t global_time
        uint64_t sequence
        uint8_t kind
        uint8_t flags

cdef enum:
    BLOCK = 32
    SLOTS_MIN = 16
    KEY_SIZE = 16
    AUTHOR_SIZE = 32
    AUTHOR_OFFSET = 2  # in a message: after kind and flags
    NO_AUTHOR = 2  # message flag
    RECORD_SIZE = 96

if sizeof(message_record) != RECORD_SIZE:
    raise ImportError(f"message_record is {sizeof(message_record)} bytes and must be {RECORD_SIZE}: build the kernels again")

ABSENT = UINT64_MAX

cdef uint64_t[2] secret
secret[0] = int.from_bytes(os.urandom(8), "little")
secret[1] = int.from_bytes(os.urandom(8), "little")


cdef inline uint64_t _position(const uint64_t *words, int count) noexcept nogil:
    return siphash_words(words, count, secret)


cdef size_t _limit(size_t slots) noexcept nogil:
    """Keys that fill `slots` to the load of 0.7."""
    return slots // 10 * 7 + slots % 10 * 7 // 10


cdef size_t _slots_for(Py_ssize_t capacity, size_t slot_size) except 0:
    """The power of two of slots that holds `capacity` keys without growing."""
    cdef size_t slots = SLOTS_MIN
    if capacity < 0:
        raise ValueError(f"capacity is {capacity} and must not be negative")
    while _limit(slots) < <size_t>capacity:
        if slots > (<size_t>-1) // 4 // slot_size:
            raise MemoryError(f"a table of {capacity} keys does not fit this machine")
        slots *= 2
    return slots


cdef void *_allocate(size_t size) except NULL:
    """Memory filled with ones, so that its pages are there before the first message needs them."""
    cdef void *memory = malloc(size)
    if memory == NULL:
        raise MemoryError(f"no memory for a table of {size} bytes")
    memset(memory, 0xFF, size)
    return memory


cdef struct pair:
    uint64_t key[2]
    uint64_t value  # ABSENT marks a free slot


cdef int _compare_pairs(const void *one, const void *other) noexcept nogil:
    return memcmp(one, other, KEY_SIZE)


@cython.final
cdef class Table:
    """Open addressing, 16-byte key -> u64; grows by doubling; positions are mixed with a secret so that nobody can aim."""

    cdef pair *slots
    cdef size_t slot_count, used

    def __cinit__(self, *, Py_ssize_t capacity=1024):
        cdef size_t slot_count = _slots_for(capacity, sizeof(pair))
        self.slots = <pair *>_allocate(slot_count * sizeof(pair))
        self.slot_count = slot_count

    def __dealloc__(self):
        free(self.slots)

    def __len__(self):
        return self.used

    @property
    def size_bytes(self):
        return self.slot_count * sizeof(pair)

    cdef inline pair *_find(self, const uint64_t *key, uint64_t position) noexcept:
        """The key's slot, or the free one where it belongs."""
        cdef size_t mask = self.slot_count - 1
        cdef size_t index = position & mask
        cdef pair *slot = &self.slots[index]
        while slot.value != UINT64_MAX and (slot.key[0] != key[0] or slot.key[1] != key[1]):
            index = (index + 1) & mask
            slot = &self.slots[index]
        return slot

    cdef int _reserve(self, size_t more) except -1:
        """Make sure that `more` keys fit without growing, so that slots found stay where they are."""
        if self.used + more <= _limit(self.slot_count):
            return 0
        cdef size_t slot_count = _slots_for(self.used + more, sizeof(pair))
        cdef pair *slots = <pair *>_allocate(slot_count * sizeof(pair))
        cdef pair *old = self.slots
        cdef size_t index, old_count = self.slot_count
        self.slots = slots
        self.slot_count = slot_count
        for index in range(old_count):
            if old[index].value != UINT64_MAX:
                self._find(old[index].key, _position(old[index].key, 2))[0] = old[index]
        free(old)
        return 0

    cdef void _look_ahead(self, const uint8_t *keys, Py_ssize_t count, pair *block, uint64_t *positions) noexcept:
        """Load up to BLOCK keys and fetch the slots where they belong into the cache."""
        cdef Py_ssize_t index
        for index in range(count):
            memcpy(block[index].key, keys + index * KEY_SIZE, KEY_SIZE)
            positions[index] = _position(block[index].key, 2)
            dispersy_prefetch(&self.slots[positions[index] & (self.slot_count - 1)])

    def insert_many(self, const uint8_t[::1] keys not None, const uint8_t[::1] values not None):
        """Packed keys and packed native u64 values; one byte a key: 1 inserted, 0 it was there (its value stays)."""
        cdef Py_ssize_t count = _count_keys(keys)
        cdef Py_ssize_t index, size, first = 0
        cdef pair[BLOCK] block
        cdef uint64_t[BLOCK] positions
        cdef uint64_t value
        cdef pair *slot
        if values.shape[0] != count * 8:
            raise ValueError(f"values is {values.shape[0]} bytes and must be 8 for each of {count} keys")
        if count == 0:
            return b""
        for index in range(count):
            memcpy(&value, &values[index * 8], 8)
            if value == UINT64_MAX:
                raise ValueError(f"value {index} is ABSENT (2^64 - 1), which no key may have")
        out = bytearray(count)
        cdef uint8_t[::1] inserted = out
        while first < count:
            size = min(BLOCK, count - first)
            self._reserve(size)
            self._look_ahead(&keys[first * KEY_SIZE], size, block, positions)
            for index in range(size):
                slot = self._find(block[index].key, positions[index])
                if slot.value == UINT64_MAX:
                    memcpy(&block[index].value, &values[(first + index) * 8], 8)
                    slot[0] = block[index]
                    self.used += 1
                    inserted[first + index] = 1
            first += size
        return bytes(out)

    def find_many(self, const uint8_t[::1] keys not None):
        """Packed native u64 values, ABSENT where a key is not there."""
        cdef Py_ssize_t count = _count_keys(keys)
        cdef Py_ssize_t index, size, first = 0
        cdef pair[BLOCK] block
        cdef uint64_t[BLOCK] positions
        if count == 0:
            return b""
        out = bytearray(count * 8)
        cdef uint8_t[::1] values = out
        while first < count:
            size = min(BLOCK, count - first)
            self._look_ahead(&keys[first * KEY_SIZE], size, block, positions)
            for index in range(size):
                # A free slot's value is ABSENT.
                memcpy(&values[(first + index) * 8], &self._find(block[index].key, positions[index]).value, 8)
            first += size
        return bytes(out)

    def replace(self, const uint8_t[::1] key not None, uint64_t value):
        """Give a key this value, whether it is there or not."""
        cdef pair wanted
        cdef pair *slot
        _load_key(key, &wanted)
        if value == UINT64_MAX:
            raise ValueError("value is ABSENT (2^64 - 1), which no key may have; use remove()")
        self._reserve(1)
        slot = self._find(wanted.key, _position(wanted.key, 2))
        self.used += slot.value == UINT64_MAX
        wanted.value = value
        slot[0] = wanted

    def remove(self, const uint8_t[::1] key not None):
        """Whether the key was there."""
        cdef pair wanted
        cdef pair *slot
        cdef size_t mask = self.slot_count - 1
        cdef size_t hole, index, home
        _load_key(key, &wanted)
        slot = self._find(wanted.key, _position(wanted.key, 2))
        if slot.value == UINT64_MAX:
            return False
        # Close the hole with those behind it that may stand there, so that no search ends too early.
        hole = slot - self.slots
        index = (hole + 1) & mask
        while self.slots[index].value != UINT64_MAX:
            home = _position(self.slots[index].key, 2) & mask
            if ((index - home) & mask) >= ((index - hole) & mask):
                self.slots[hole] = self.slots[index]
                hole = index
            index = (index + 1) & mask
        self.slots[hole].value = UINT64_MAX
        self.used -= 1
        return True

    def clear(self):
        """Forget all keys; the memory stays."""
        memset(self.slots, 0xFF, self.slot_count * sizeof(pair))
        self.used = 0

    def sorted_items(self):
        """All keys ascending and their values, packed: the contents of a sorted run."""
        cdef size_t index, count = 0
        if self.used == 0:
            return b"", b""
        key_bytes = bytearray(self.used * KEY_SIZE)
        value_bytes = bytearray(self.used * 8)
        cdef uint8_t[::1] keys = key_bytes
        cdef uint8_t[::1] values = value_bytes
        cdef pair *pairs = <pair *>_allocate(self.used * sizeof(pair))
        for index in range(self.slot_count):
            if self.slots[index].value != UINT64_MAX:
                pairs[count] = self.slots[index]
                count += 1
        qsort(pairs, count, sizeof(pair), _compare_pairs)
        for index in range(count):
            memcpy(&keys[index * KEY_SIZE], pairs[index].key, KEY_SIZE)
            memcpy(&values[index * 8], &pairs[index].value, 8)
        free(pairs)
        return bytes(key_bytes), bytes(value_bytes)


cdef Py_ssize_t _count_keys(const uint8_t[::1] keys) except -1:
    if keys.shape[0] % KEY_SIZE:
        raise ValueError(f"keys is {keys.shape[0]} bytes, not a whole number of {KEY_SIZE}-byte keys")
    return keys.shape[0] // KEY_SIZE


cdef int _load_key(const uint8_t[::1] key, pair *wanted) except -1:
    if key.shape[0] != KEY_SIZE:
        raise ValueError(f"key is {key.shape[0]} bytes and must be {KEY_SIZE}")
    memcpy(wanted.key, &key[0], KEY_SIZE)
    return 0


cdef enum:
    LANE_WORDS = 5

cdef struct head:
    uint64_t lane[LANE_WORDS]  # author, then community << 8 | kind; all ones in the last marks a free slot
    uint64_t sequence
    uint64_t global_time
    uint8_t irregular
    uint8_t changed


cdef inline bint _is_free(const head *slot) noexcept nogil:
    return slot.lane[LANE_WORDS - 1] == UINT64_MAX


cdef inline void _set_lane(head *slot, const uint8_t *author, uint32_t community, uint8_t kind) noexcept nogil:
    memcpy(slot.lane, author, AUTHOR_SIZE)
    slot.lane[LANE_WORDS - 1] = <uint64_t>community << 8 | kind


cdef class Heads:
    """Newest sequence and global time of every (community number, author, kind): the in-order test of the intake."""

    cdef head *slots
    cdef uint64_t *changed_slots  # indices into slots; there is room for as many as slots may be used
    cdef size_t slot_count, used, changed_count

    def __cinit__(self, *, Py_ssize_t capacity=1024):
        self._renew(_slots_for(capacity, sizeof(head)))

    def __dealloc__(self):
        free(self.slots)
        free(self.changed_slots)

    def __len__(self):
        return self.used

    @property
    def size_bytes(self):
        return self.slot_count * sizeof(head) + _limit(self.slot_count) * sizeof(uint64_t)

    cdef int _renew(self, size_t slot_count) except -1:
        """Begin with free slots; the caller owns those that were there."""
        cdef head *slots = <head *>_allocate(slot_count * sizeof(head))
        cdef uint64_t *changed_slots = <uint64_t *>malloc(_limit(slot_count) * sizeof(uint64_t))
        if changed_slots == NULL:
            free(slots)
            raise MemoryError(f"no memory for {slot_count} heads")
        free(self.changed_slots)
        self.slots = slots
        self.changed_slots = changed_slots
        self.slot_count = slot_count
        self.used = 0
        self.changed_count = 0
        return 0

    cdef int _move(self, size_t slot_count, uint64_t forgotten) except -1:
        """Move all heads, but those of the community `forgotten`, to as many new slots."""
        cdef head *old = self.slots
        cdef size_t index, old_count = self.slot_count
        cdef head *slot
        self._renew(slot_count)
        for index in range(old_count):
            if _is_free(&old[index]) or old[index].lane[LANE_WORDS - 1] >> 8 == forgotten:
                continue
            slot = self._find(old[index].lane, _position(old[index].lane, LANE_WORDS))
            slot[0] = old[index]
            self.used += 1
            if slot.changed:
                self.changed_slots[self.changed_count] = slot - self.slots
                self.changed_count += 1
        free(old)
        return 0

    cdef int _reserve(self, size_t more) except -1:
        """Make sure that `more` heads fit without growing, so that slots found stay where they are."""
        if self.used + more > _limit(self.slot_count):
            self._move(_slots_for(self.used + more, sizeof(head)), UINT64_MAX)
        return 0

    cdef inline head *_find(self, const uint64_t *lane, uint64_t position) noexcept:
        """The lane's slot, or the free one where it belongs."""
        cdef size_t mask = self.slot_count - 1
        cdef size_t index = position & mask
        cdef head *slot = &self.slots[index]
        while not _is_free(slot) and memcmp(slot.lane, lane, LANE_WORDS * 8):
            index = (index + 1) & mask
            slot = &self.slots[index]
        return slot

    cdef inline void _set(
        self, head *slot, const uint64_t *lane, uint64_t sequence, uint64_t global_time, bint irregular,
    ) noexcept:
        if _is_free(slot):
            memcpy(slot.lane, lane, LANE_WORDS * 8)
            slot.changed = 0
            self.used += 1
        if not slot.changed:
            slot.changed = 1
            self.changed_slots[self.changed_count] = slot - self.slots
            self.changed_count += 1
        slot.sequence = sequence
        slot.global_time = global_time
        slot.irregular = irregular

    def advance_many(
        self,
        const uint8_t[::1] records not None,
        const uint8_t[::1] arena not None,
        uint32_t community,
        const uint8_t[::1] wanted not None,
    ):
        """One byte a message_record: 1 in order, and its head has been advanced to it; 0 look closer (table.pyi)."""
        cdef Py_ssize_t count = _count_records(records, arena, wanted)
        cdef Py_ssize_t index, size, first = 0
        cdef const message_record *record
        cdef head[BLOCK] block
        cdef uint64_t[BLOCK] positions
        cdef head *slot
        if count == 0:
            return b""
        out = bytearray(count)
        cdef uint8_t[::1] in_order = out
        while first < count:
            size = min(BLOCK, count - first)
            self._reserve(size)
            for index in range(size):
                record = <const message_record *>&records[(first + index) * RECORD_SIZE]
                if wanted[first + index] != 1 or record.flags & NO_AUTHOR:
                    continue
                _set_lane(&block[index], &arena[record.offset + AUTHOR_OFFSET], community, record.kind)
                positions[index] = _position(block[index].lane, LANE_WORDS)
                dispersy_prefetch(&self.slots[positions[index] & (self.slot_count - 1)])
            for index in range(size):
                record = <const message_record *>&records[(first + index) * RECORD_SIZE]
                if wanted[first + index] != 1 or record.flags & NO_AUTHOR:
                    continue
                slot = self._find(block[index].lane, positions[index])
                if _is_free(slot) or (
                    not slot.irregular
                    and record.sequence > slot.sequence
                    and record.global_time > slot.global_time
                ):
                    self._set(slot, block[index].lane, record.sequence, record.global_time, False)
                    in_order[first + index] = 1
            first += size
        return bytes(out)

    def get(self, uint32_t community, const uint8_t[::1] author not None, uint8_t kind):
        """(sequence, global time, irregular) or None."""
        cdef head wanted
        cdef head *slot
        _check_author(author)
        _set_lane(&wanted, &author[0], community, kind)
        slot = self._find(wanted.lane, _position(wanted.lane, LANE_WORDS))
        if _is_free(slot):
            return None
        return slot.sequence, slot.global_time, bool(slot.irregular)

    def put(
        self,
        uint32_t community,
        const uint8_t[::1] author not None,
        uint8_t kind,
        uint64_t sequence,
        uint64_t global_time,
        bint irregular,
    ):
        """Set a head, whatever it was."""
        cdef head wanted
        _check_author(author)
        _set_lane(&wanted, &author[0], community, kind)
        self._reserve(1)
        self._set(
            self._find(wanted.lane, _position(wanted.lane, LANE_WORDS)), wanted.lane, sequence, global_time, irregular
        )

    def forget(self, uint32_t community):
        """Remove all of one community; changed() speaks of them no more."""
        self._move(self.slot_count, community)

    def clear(self):
        """Forget all heads; the memory stays."""
        memset(self.slots, 0xFF, self.slot_count * sizeof(head))
        self.used = 0
        self.changed_count = 0

    def changed(self):
        """(community, author, kind, sequence, global time, irregular) of heads changed since the last call, sorted."""
        cdef size_t index
        cdef head *slot
        cdef uint64_t lane_end
        heads = []
        for index in range(self.changed_count):
            slot = &self.slots[self.changed_slots[index]]
            lane_end = slot.lane[LANE_WORDS - 1]
            author = (<const char *>slot.lane)[:AUTHOR_SIZE]
            heads.append(
                (lane_end >> 8, author, lane_end & 0xFF, slot.sequence, slot.global_time, bool(slot.irregular))
            )
        for index in range(self.changed_count):
            self.slots[self.changed_slots[index]].changed = 0
        self.changed_count = 0
        heads.sort()
        return heads


cdef Py_ssize_t _count_records(const uint8_t[::1] records, const uint8_t[::1] arena, const uint8_t[::1] wanted) except -1:
    """How many records there are, each of them checked to lie inside the arena."""
    cdef Py_ssize_t index, count = records.shape[0] // RECORD_SIZE
    cdef const message_record *record
    if records.shape[0] % RECORD_SIZE:
        raise ValueError(f"records is {records.shape[0]} bytes, not a whole number of {RECORD_SIZE}-byte message_records")
    if wanted.shape[0] != count:
        raise ValueError(f"wanted is {wanted.shape[0]} bytes and must be one for each of {count} records")
    for index in range(count):
        record = <const message_record *>&records[index * RECORD_SIZE]
        if (
            record.length < AUTHOR_OFFSET + AUTHOR_SIZE
            or <uint64_t>record.offset + record.length > <uint64_t>arena.shape[0]
        ):
            raise ValueError(f"record {index} must hold an author and lie inside the arena of {arena.shape[0]} bytes")
    return count


cdef int _check_author(const uint8_t[::1] author) except -1:
    if author.shape[0] != AUTHOR_SIZE:
        raise ValueError(f"author is {author.shape[0]} bytes and must be {AUTHOR_SIZE}")
    return 0
