"""Hash tables of the writer: 16-byte keys to u64, the newest of every lane, and who may write (see table.pyi).

All are open addressing with linear probing over a power of two of slots, and double at a load of 0.7. Peers
choose the keys, so positions are SipHash-1-3 under a secret of this process: who cannot compute them cannot
pile keys up. A random position is a cache miss, dearer than all the rest; therefore batches hash BLOCK keys
ahead and prefetch their slots. The GIL is held throughout: it is the tables' lock.
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

include "sodium.pxi"

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
    TWO_AUTHORS = 1  # message flags
    NO_AUTHOR = 2
    PAIR_CONTEXT_SIZE = 15
    RECORD_SIZE = 96

if sizeof(message_record) != RECORD_SIZE:
    raise ImportError(f"message_record has {sizeof(message_record)} bytes, not {RECORD_SIZE}: build again")

cdef crypto_generichash_blake2b_salt_personal_t blake2b = (
    <crypto_generichash_blake2b_salt_personal_t>sodium_function("crypto_generichash_blake2b_salt_personal")
)
cdef const uint8_t *PAIR_CONTEXT = b"dispersy/3 pair"

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
    """16-byte key -> u64; grows by doubling; nobody can aim at its positions."""

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

    cdef void _look_ahead(
        self, const uint8_t *keys, Py_ssize_t count, pair *block, uint64_t *positions,
    ) noexcept:
        """Load up to BLOCK keys and fetch the slots where they belong into the cache."""
        cdef Py_ssize_t index
        for index in range(count):
            memcpy(block[index].key, keys + index * KEY_SIZE, KEY_SIZE)
            positions[index] = _position(block[index].key, 2)
            dispersy_prefetch(&self.slots[positions[index] & (self.slot_count - 1)])

    def insert_many(self, const uint8_t[::1] keys not None, const uint8_t[::1] values not None):
        """One byte a key: 1 inserted, 0 it was there (its value stays)."""
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


include "heads.pxi"
include "spans.pxi"
