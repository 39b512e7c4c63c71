"""Bloom filters over packed keys, by salted double hashing with MurmurHash3 (see bloom.pyi, docs/wire.md).

A key's bits are (h1 + j * (h2 | 1)) mod 2^64 mod size. Seven 64-bit divisions take longer than the hash,
therefore remainders are taken by multiplication with the size's reciprocal, exactly. In filters that outgrow
the cache a bit is a cache miss, and BLOCK keys are hashed and their bits fetched before the first is read.

The GIL is released while hashing: one filter belongs to one thread at a time, or additions get lost.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

import math
import operator

cdef extern from "murmur3.h":
    ctypedef struct murmur3_hash:
        uint64_t first
        uint64_t second
    murmur3_hash murmur3_x64_128(const uint8_t *key, size_t size, uint32_t seed) noexcept nogil

cdef extern from *:
    """
    #define dispersy_prefetch(address) __builtin_prefetch((address), 0)
    #define dispersy_count_bits(word) __builtin_popcountll(word)

    static inline uint64_t dispersy_multiply_high(uint64_t one, uint64_t other) {
    #ifdef __SIZEOF_INT128__
        return (uint64_t)((unsigned __int128)one * other >> 64);
    #else
        uint64_t one_low = (uint32_t)one, one_high = one >> 32;
        uint64_t other_low = (uint32_t)other, other_high = other >> 32;
        uint64_t middle = one_high * other_low + (one_low * other_low >> 32);
        uint64_t rest = one_low * other_high + (uint32_t)middle;
        return one_high * other_high + (middle >> 32) + (rest >> 32);
    #endif
    }

    /* value mod size, where reciprocal = floor((2^64 - 1) / size): 2^64 / size exceeds the reciprocal by at
     * most one, so the quotient estimated with it is right or one too small. */
    static inline uint64_t dispersy_remainder(uint64_t value, uint64_t size, uint64_t reciprocal) {
        uint64_t remainder = value - dispersy_multiply_high(value, reciprocal) * size;
        return remainder >= size ? remainder - size : remainder;
    }
    """
    void dispersy_prefetch(const void *address) noexcept nogil
    int dispersy_count_bits(uint64_t word) noexcept nogil
    uint64_t dispersy_remainder(uint64_t value, uint64_t size, uint64_t reciprocal) noexcept nogil

cdef enum:
    HASH_COUNT_MAX = 32
    BLOCK = 16
    ID_SIZE = 32
    # Filters up to this stay in a core's cache, where fetching ahead costs more than it saves.
    CACHED_BITS_MAX = 1 << 22

cdef object SIZE_BITS_MAX = 1 << 40

cdef struct filter_shape:
    uint8_t *bits
    uint64_t size_bits
    uint64_t reciprocal
    uint32_t salt
    int hash_count


cdef inline murmur3_hash _hash(const uint8_t *key, Py_ssize_t key_size, uint32_t salt) noexcept nogil:
    cdef murmur3_hash hashed
    # With the size known the compiler lays message ids' two blocks out without a loop.
    if key_size == ID_SIZE:
        hashed = murmur3_x64_128(key, ID_SIZE, salt)
    else:
        hashed = murmur3_x64_128(key, key_size, salt)
    hashed.second |= 1
    return hashed


cdef inline void _set_bits(const filter_shape *shape, murmur3_hash hashed) noexcept nogil:
    cdef uint64_t position
    cdef int turn
    for turn in range(shape.hash_count):
        position = dispersy_remainder(hashed.first, shape.size_bits, shape.reciprocal)
        shape.bits[position >> 3] |= <uint8_t>(1 << (position & 7))
        hashed.first += hashed.second


cdef inline uint8_t _lacks_bits(const filter_shape *shape, murmur3_hash hashed) noexcept nogil:
    cdef uint64_t position
    cdef int turn
    for turn in range(shape.hash_count):
        position = dispersy_remainder(hashed.first, shape.size_bits, shape.reciprocal)
        if not shape.bits[position >> 3] >> (position & 7) & 1:
            return 1
        hashed.first += hashed.second
    return 0


cdef inline void _hash_block(
    const filter_shape *shape, const uint8_t *keys, Py_ssize_t count, Py_ssize_t key_size, int fetched,
    murmur3_hash *block,
) noexcept nogil:
    """Hash up to BLOCK keys and fetch the first `fetched` bits of each into the cache."""
    cdef Py_ssize_t index
    cdef uint64_t value, position
    cdef int turn
    for index in range(count):
        block[index] = _hash(keys + index * key_size, key_size, shape.salt)
        value = block[index].first
        for turn in range(fetched):
            position = dispersy_remainder(value, shape.size_bits, shape.reciprocal)
            dispersy_prefetch(shape.bits + (position >> 3))
            value += block[index].second


cdef void _add(
    const filter_shape *shape, const uint8_t *keys, Py_ssize_t count, Py_ssize_t key_size,
) noexcept nogil:
    cdef murmur3_hash[BLOCK] block
    cdef Py_ssize_t index, size, first = 0
    cdef int fetched = shape.hash_count if shape.size_bits > CACHED_BITS_MAX else 0
    while first < count:
        size = min(BLOCK, count - first)
        _hash_block(shape, keys + first * key_size, size, key_size, fetched, block)
        for index in range(size):
            _set_bits(shape, block[index])
        first += size


cdef void _find_missing(
    const filter_shape *shape, const uint8_t *keys, Py_ssize_t count, Py_ssize_t key_size, uint8_t *missing,
) noexcept nogil:
    cdef murmur3_hash[BLOCK] block
    cdef Py_ssize_t index, size, first = 0
    # A key that is missing shows it by its second bit on average; a held one needs all, but those overlap.
    cdef int fetched = min(2, shape.hash_count) if shape.size_bits > CACHED_BITS_MAX else 0
    while first < count:
        size = min(BLOCK, count - first)
        _hash_block(shape, keys + first * key_size, size, key_size, fetched, block)
        for index in range(size):
            missing[first + index] = _lacks_bits(shape, block[index])
        first += size


cdef uint64_t _count_set(const uint8_t *bits, Py_ssize_t size_bytes) noexcept nogil:
    cdef uint64_t word, total = 0
    cdef Py_ssize_t offset
    for offset in range(0, size_bytes, 8):
        word = 0
        memcpy(&word, bits + offset, min(8, size_bytes - offset))
        total += dispersy_count_bits(word)
    return total


@cython.final
cdef class BloomFilter:
    """A filter of `size_bits` (a multiple of 8), `hash_count` bits a key; `salt` (u32) is the hash's seed."""

    cdef filter_shape shape

    def __cinit__(self, *, size_bits, hash_count, salt):
        size = _checked("size_bits", size_bits, 8, SIZE_BITS_MAX)
        if size % 8:
            raise ValueError(f"size_bits is {size} and must be a multiple of 8")
        self.shape.hash_count = _checked("hash_count", hash_count, 1, HASH_COUNT_MAX)
        self.shape.salt = _checked("salt", salt, 0, 0xFFFFFFFF)
        self.shape.size_bits = size
        self.shape.reciprocal = <uint64_t>-1 // self.shape.size_bits
        self.shape.bits = <uint8_t *>calloc(size // 8, 1)
        if self.shape.bits == NULL:
            raise MemoryError(f"no memory for a filter of {size // 8} bytes")

    def __dealloc__(self):
        free(self.shape.bits)

    @classmethod
    def from_capacity(cls, *, capacity, error_rate, salt):
        """The smallest filter that holds `capacity` keys at `error_rate`, size rounded up to whole bytes."""
        capacity = _checked("capacity", capacity, 1, 1 << 48)
        hash_count = _best_hash_count(error_rate)
        size_bytes = math.ceil(capacity / _keys_per_bit(hash_count, error_rate) / 8)
        return cls(size_bits=size_bytes * 8, hash_count=hash_count, salt=salt)

    @classmethod
    def from_size(cls, *, size_bits, error_rate, salt):
        """A filter of this size with the hash count that lets it hold the most keys at `error_rate`."""
        return cls(size_bits=size_bits, hash_count=_best_hash_count(error_rate), salt=salt)

    @classmethod
    def from_bytes(cls, const uint8_t[::1] bits not None, *, hash_count, salt):
        """The filter whose to_bytes() gave `bits`."""
        if bits.shape[0] == 0:
            raise ValueError("bits is empty and must be at least one byte")
        cdef BloomFilter loaded = cls(size_bits=bits.shape[0] * 8, hash_count=hash_count, salt=salt)
        memcpy(loaded.shape.bits, &bits[0], bits.shape[0])
        return loaded

    @property
    def size_bits(self):
        return self.shape.size_bits

    @property
    def hash_count(self):
        return self.shape.hash_count

    @property
    def salt(self):
        return self.shape.salt

    def capacity(self, *, error_rate):
        """How many keys this filter holds before its false positive rate passes `error_rate`."""
        _check_rate(error_rate)
        return math.floor(self.shape.size_bits * _keys_per_bit(self.shape.hash_count, error_rate))

    def add_many(self, const uint8_t[::1] keys not None, Py_ssize_t key_size):
        """Add packed keys of key_size bytes each."""
        cdef Py_ssize_t count = _count_keys(keys, key_size)
        if count == 0:
            return
        with nogil:
            _add(&self.shape, &keys[0], count, key_size)

    def missing_many(self, const uint8_t[::1] keys not None, Py_ssize_t key_size):
        """One byte a key: 1 = certainly not added, 0 = probably added."""
        cdef Py_ssize_t count = _count_keys(keys, key_size)
        if count == 0:
            return b""
        cdef bytes missing = PyBytes_FromStringAndSize(NULL, count)
        cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(missing)
        with nogil:
            _find_missing(&self.shape, &keys[0], count, key_size, out)
        return missing

    def fill(self):
        """Share of bits that are set, 0.0 to 1.0."""
        return _count_set(self.shape.bits, self.shape.size_bits // 8) / <double>self.shape.size_bits

    def clear(self):
        """Forget all keys."""
        memset(self.shape.bits, 0, self.shape.size_bits // 8)

    def to_bytes(self):
        """The bits as they go over the wire; bit i is bit (i mod 8) of byte (i div 8)."""
        return PyBytes_FromStringAndSize(<char *>self.shape.bits, self.shape.size_bits // 8)


cdef inline int _rice_parameter(uint64_t size_bits, uint64_t count) noexcept nogil:
    """floor(log2(mean gap)): at most 0.15 bits a key above what the gaps' entropy asks for."""
    cdef uint64_t mean = size_bits // count
    cdef int parameter = 0
    while mean > 1:
        mean >>= 1
        parameter += 1
    return parameter


cdef uint64_t _code(
    const uint8_t *bits, uint64_t size_bits, int parameter, uint8_t *out,
) noexcept nogil:
    """Write the gaps between set bits into zeroed bytes; how many bits that took."""
    cdef uint64_t position, gap, at = 0, following = 0
    cdef int index
    for position in range(size_bits):
        if not bits[position >> 3] >> (position & 7) & 1:
            continue
        gap = position - following
        following = position + 1
        for _ in range(gap >> parameter):
            out[at >> 3] |= <uint8_t>(1 << (at & 7))
            at += 1
        at += 1
        for index in range(parameter):
            out[at >> 3] |= <uint8_t>((gap >> index & 1) << (at & 7))
            at += 1
    return at


cdef int _decode(
    const uint8_t *coded, uint64_t coded_bits, uint64_t count, uint64_t size_bits, int parameter,
    uint8_t *bits,
) noexcept nogil:
    """Set the bits that gaps tell; 0 where they run out of either side, or do not end in the last byte."""
    cdef uint64_t gap, at = 0, position = 0
    cdef int index
    for _ in range(count):
        gap = 0
        while at < coded_bits and coded[at >> 3] >> (at & 7) & 1:
            gap += 1
            at += 1
        at += 1
        if at + parameter > coded_bits:
            return 0
        gap <<= parameter
        for index in range(parameter):
            gap |= <uint64_t>(coded[at >> 3] >> (at & 7) & 1) << index
            at += 1
        position += gap
        if position >= size_bits:
            return 0
        bits[position >> 3] |= <uint8_t>(1 << (position & 7))
        position += 1
    if coded_bits - at >= 8:
        return 0
    while at < coded_bits:
        if coded[at >> 3] >> (at & 7) & 1:
            return 0
        at += 1
    return 1


def count_bits(const uint8_t[::1] bits not None):
    """How many are set."""
    return _count_set(&bits[0], bits.shape[0]) if bits.shape[0] else 0


def code_bits(const uint8_t[::1] bits not None):
    """A filter's bits as a Rice code of the gaps between those that are set; at least one is."""
    cdef uint64_t count = _count_set(&bits[0], bits.shape[0]) if bits.shape[0] else 0
    if count == 0:
        raise ValueError("bits has none that is set")
    cdef uint64_t size_bits = 8 * bits.shape[0]
    cdef int parameter = _rice_parameter(size_bits, count)
    cdef uint64_t most = count * (parameter + 1) + (size_bits >> parameter)
    out = bytearray(most // 8 + 1)
    cdef uint8_t[::1] view = out
    with nogil:
        most = _code(&bits[0], size_bits, parameter, &view[0])
    return bytes(out[:(most + 7) // 8])


def bits_of(const uint8_t[::1] coded not None, *, count, size_bytes):
    """The bits whose code_bits() are these; None where none of that count and size has this code."""
    cdef uint64_t wanted = _checked("count", count, 1, SIZE_BITS_MAX)
    cdef uint64_t size_bits = 8 * _checked("size_bytes", size_bytes, 1, SIZE_BITS_MAX // 8)
    if wanted > size_bits or coded.shape[0] == 0:
        return None
    cdef bytes bits = PyBytes_FromStringAndSize(NULL, size_bits // 8)
    cdef uint8_t *out = <uint8_t *>PyBytes_AS_STRING(bits)
    memset(out, 0, size_bits // 8)
    cdef int parameter = _rice_parameter(size_bits, wanted)
    cdef int is_code
    with nogil:
        is_code = _decode(&coded[0], 8 * coded.shape[0], wanted, size_bits, parameter, out)
    return bits if is_code else None


def _checked(name, value, low, high):
    number = operator.index(value)
    if not low <= number <= high:
        raise ValueError(f"{name} is {number} and must be {low} to {high}")
    return number


def _check_rate(error_rate):
    if not 0.0 < error_rate <= 0.999:
        raise ValueError(f"error_rate is {error_rate} and must be above 0 and at most 0.999")


def _keys_per_bit(hash_count, error_rate):
    """n / m that solves (1 - e^(-k n / m))^k = error rate (Broder and Mitzenmacher 2004, section 2)."""
    return -math.log1p(-(error_rate ** (1.0 / hash_count))) / hash_count


def _best_hash_count(error_rate):
    _check_rate(error_rate)
    return max(range(1, HASH_COUNT_MAX + 1), key=lambda hash_count: _keys_per_bit(hash_count, error_rate))


cdef Py_ssize_t _count_keys(const uint8_t[::1] keys, Py_ssize_t key_size) except -1:
    if key_size < 1:
        raise ValueError(f"key_size is {key_size} and must be at least 1")
    if keys.shape[0] % key_size:
        raise ValueError(f"keys is {keys.shape[0]} bytes, not a whole number of {key_size}-byte keys")
    return keys.shape[0] // key_size
