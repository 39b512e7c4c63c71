"""Rateless coded symbols of a set: what two of them differ in, at the cost of the difference (see sketch.pyi).

A symbol sums up some of the set's items: exclusive or of their ids and of their checks, and how many they are.
Symbol i holds an item with probability 1 / (1 + i / 2). So the symbols of one set less those of another sum up
what is in one of them alone; a symbol with one such item left tells it, and taking it out of the others leaves
the next ones with one (Yang et al. 2024, "Practical rateless set reconciliation").

An item jumps from symbol to symbol. The chance that it is in none of i + 1 to j is the product of k / (k + 2),
which is (i + 1)(i + 2) / ((j + 1)(j + 2)), so one random number u gives the next j without a look at those
between: the least with (j + 1)(j + 2) u >= (i + 1)(i + 2) 2^32. All of it is whole numbers, alike everywhere.

Whoever sends symbols may have made them up. Therefore peeling takes out at most as many items as there are
symbols, and only from symbols that the item is in. What it finds is asked for and judged as anything else.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int8_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy
from libc.math cimport sqrt

cdef extern from "siphash.h":
    uint64_t siphash_words(const uint64_t *words, int count, const uint64_t *secret) noexcept nogil

cdef extern from *:
    """
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    #define dispersy_little(word) __builtin_bswap64(word)
    #else
    #define dispersy_little(word) (word)
    #endif
    """
    uint64_t dispersy_little(uint64_t word) noexcept nogil

cdef enum:
    ITEM_SIZE = 8
    ID_SIZE = 32
    ID_WORDS = 4
    CHECK_OFFSET = 8
    COUNT_OFFSET = 12
    SIZE = 13
    KEY_SIZE = 16
    # (i + 1)(i + 2) 2^32 stays below 2^64.
    COUNT_MAX = 65_000
    # The first few symbols hold nearly everything and tell little of how much differs.
    ESTIMATED_FROM = 4

SYMBOL_SIZE = SIZE
SYMBOLS_MAX = COUNT_MAX

cdef struct walk:
    uint64_t state
    uint64_t position


cdef inline uint64_t _load(const uint8_t *data) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, data, 8)
    return dispersy_little(word)


cdef inline uint64_t _hash(uint64_t item, const uint64_t *key) noexcept nogil:
    return siphash_words(&item, 1, key)


cdef inline uint64_t _next(walk *at) noexcept nogil:
    """The next symbol that the item is in; the first is always symbol 0."""
    cdef uint64_t mixed, target, found
    cdef uint64_t here = (at.position + 1) * (at.position + 2)
    # SplitMix64 (Steele, Lea and Flood 2014).
    at.state += <uint64_t>0x9E3779B97F4A7C15
    mixed = at.state
    mixed = (mixed ^ mixed >> 30) * <uint64_t>0xBF58476D1CE4E5B9
    mixed = (mixed ^ mixed >> 27) * <uint64_t>0x94D049BB133111EB
    mixed = (mixed ^ mixed >> 31) >> 32
    mixed += 1
    # The least found with (found + 1)(found + 2) >= target, the quotient rounded up.
    target = ((here << 32) + mixed - 1) // mixed
    if target > <uint64_t>(COUNT_MAX + 1) * (COUNT_MAX + 2):
        at.position = COUNT_MAX
        return COUNT_MAX
    found = <uint64_t>sqrt(<double>target)
    # The root is near; whole numbers decide.
    while found > at.position + 1 and found * (found + 1) >= target:
        found -= 1
    if found <= at.position:
        found = at.position + 1
    while (found + 1) * (found + 2) < target:
        found += 1
    at.position = found
    return found


cdef inline void _flip(uint8_t *symbol, uint64_t item, uint32_t check, int8_t change) noexcept nogil:
    cdef uint64_t word
    cdef uint32_t half
    memcpy(&word, symbol, 8)
    word ^= item
    memcpy(symbol, &word, 8)
    memcpy(&half, symbol + CHECK_OFFSET, 4)
    half ^= check
    memcpy(symbol + CHECK_OFFSET, &half, 4)
    symbol[COUNT_OFFSET] += <uint8_t>change


cdef inline uint64_t _raw(uint64_t word) noexcept nogil:
    """An item as it lies in memory."""
    return dispersy_little(word)


cdef inline uint32_t _check(uint64_t hashed) noexcept nogil:
    """The upper half of the hash as four bytes in memory, little-endian as the item."""
    cdef uint32_t check
    cdef uint64_t word = dispersy_little(hashed)
    memcpy(&check, <uint8_t *>&word + 4, 4)
    return check


cdef void _change(
    uint8_t *symbols, uint64_t first, uint64_t end, uint64_t item, const uint64_t *key, int8_t change
) noexcept nogil:
    """Put an item into symbols [first, end), which lie at `symbols`."""
    cdef uint64_t hashed = _hash(item, key)
    cdef uint64_t raw = _raw(item)
    cdef uint32_t check = _check(hashed)
    cdef walk at
    at.state = hashed
    at.position = 0
    while at.position < end:
        if at.position >= first:
            _flip(symbols + (at.position - first) * SIZE, raw, check, change)
        _next(&at)


cdef void _change_all(
    uint8_t *symbols, uint64_t first, uint64_t end, const uint8_t *items, Py_ssize_t count, Py_ssize_t stride,
    const uint64_t *key, int8_t change,
) noexcept nogil:
    cdef Py_ssize_t index
    for index in range(count):
        _change(symbols, first, end, _load(items + index * stride), key, change)


cdef Py_ssize_t _count_items(const uint8_t[::1] items, Py_ssize_t item_size) except -1:
    if item_size < ITEM_SIZE:
        raise ValueError(f"item_size is {item_size} and must be at least {ITEM_SIZE}")
    if items.shape[0] % item_size:
        raise ValueError(f"items is {items.shape[0]} bytes, not a whole number of {item_size}-byte items")
    return items.shape[0] // item_size


cdef Py_ssize_t _count_symbols(const uint8_t[::1] symbols) except -1:
    if symbols.shape[0] % SIZE or symbols.shape[0] > COUNT_MAX * SIZE:
        raise ValueError(
            f"symbols is {symbols.shape[0]} bytes, not whole {SIZE}-byte symbols, at most {COUNT_MAX} of them"
        )
    return symbols.shape[0] // SIZE


cdef int _read_key(const uint8_t[::1] key, uint64_t *words) except -1:
    if key.shape[0] != KEY_SIZE:
        raise ValueError(f"key is {key.shape[0]} bytes and must be {KEY_SIZE}")
    words[0] = _load(&key[0])
    words[1] = _load(&key[8])
    return 0


cdef int _change_many(
    bytearray symbols, const uint8_t[::1] items, Py_ssize_t item_size, const uint8_t[::1] key, int8_t change
) except -1:
    cdef uint8_t[::1] view = symbols
    cdef Py_ssize_t count = _count_items(items, item_size)
    cdef Py_ssize_t end = _count_symbols(view)
    cdef uint64_t[2] words
    _read_key(key, words)
    if count and end:
        with nogil:
            _change_all(&view[0], 0, end, &items[0], count, item_size, words, change)
    return 0


def add_many(
    bytearray symbols not None,
    const uint8_t[::1] items not None,
    Py_ssize_t item_size,
    const uint8_t[::1] key not None,
):
    _change_many(symbols, items, item_size, key, 1)


def remove_many(
    bytearray symbols not None,
    const uint8_t[::1] items not None,
    Py_ssize_t item_size,
    const uint8_t[::1] key not None,
):
    _change_many(symbols, items, item_size, key, -1)


def symbols_of(
    const uint8_t[::1] items not None,
    Py_ssize_t item_size,
    const uint8_t[::1] key not None,
    *,
    Py_ssize_t first,
    Py_ssize_t count,
):
    cdef Py_ssize_t item_count = _count_items(items, item_size)
    cdef uint64_t[2] words
    _read_key(key, words)
    if first < 0 or count < 0 or first > COUNT_MAX - count:
        raise ValueError(f"symbols {first} to {first + count} are not of the first {COUNT_MAX}")
    out = bytearray(count * SIZE)
    cdef uint8_t[::1] view = out
    if count and item_count:
        with nogil:
            _change_all(&view[0], first, first + count, &items[0], item_count, item_size, words, 1)
    return bytes(out)


cdef void _key_all(
    const uint8_t *ids, Py_ssize_t count, const uint64_t *key, uint8_t *items
) noexcept nogil:
    cdef uint64_t[ID_WORDS] words
    cdef uint64_t hashed
    cdef Py_ssize_t index, at
    for index in range(count):
        for at in range(ID_WORDS):
            words[at] = _load(ids + index * ID_SIZE + at * ITEM_SIZE)
        hashed = _raw(siphash_words(words, ID_WORDS, key))
        memcpy(items + index * ITEM_SIZE, &hashed, ITEM_SIZE)


def keyed_items(const uint8_t[::1] ids not None, const uint8_t[::1] key not None):
    if ids.shape[0] % ID_SIZE:
        raise ValueError(f"ids is {ids.shape[0]} bytes, not whole {ID_SIZE}-byte ids")
    cdef Py_ssize_t count = ids.shape[0] // ID_SIZE
    cdef uint64_t[2] words
    _read_key(key, words)
    if count == 0:
        return b""
    out = bytearray(count * ITEM_SIZE)
    cdef uint8_t[::1] view = out
    with nogil:
        _key_all(&ids[0], count, words, &view[0])
    return bytes(out)


def subtract(const uint8_t[::1] ours not None, const uint8_t[::1] theirs not None):
    cdef Py_ssize_t count = _count_symbols(ours)
    if ours.shape[0] != theirs.shape[0]:
        raise ValueError(f"{ours.shape[0]} bytes of symbols less {theirs.shape[0]}: give as many of both")
    out = bytearray(ours)
    cdef uint8_t[::1] view = out
    cdef Py_ssize_t index, at
    for index in range(count):
        for at in range(index * SIZE, index * SIZE + COUNT_OFFSET):
            view[at] ^= theirs[at]
        view[index * SIZE + COUNT_OFFSET] -= theirs[index * SIZE + COUNT_OFFSET]
    return bytes(out)


cdef struct peeling:
    uint8_t *symbols
    const uint8_t *known        # one byte a symbol, 0: did not arrive; NULL: all did
    Py_ssize_t count
    uint32_t *waiting           # symbols to look at again, each at most once
    uint8_t *is_waiting
    Py_ssize_t waiting_count
    uint64_t *found             # ours from the front, theirs from the back
    Py_ssize_t ours
    Py_ssize_t theirs
    uint64_t key[2]


cdef inline bint _is_known(const peeling *work, Py_ssize_t index) noexcept nogil:
    return work.known == NULL or work.known[index] != 0


cdef inline void _await(peeling *work, Py_ssize_t index) noexcept nogil:
    if not work.is_waiting[index] and _is_known(work, index):
        work.is_waiting[index] = 1
        work.waiting[work.waiting_count] = <uint32_t>index
        work.waiting_count += 1


cdef inline bint _is_in(uint64_t hashed, uint64_t index) noexcept nogil:
    cdef walk at
    at.state = hashed
    at.position = 0
    while at.position < index:
        _next(&at)
    return at.position == index


cdef void _peel(peeling *work) noexcept nogil:
    cdef Py_ssize_t index
    cdef uint8_t *symbol
    cdef uint64_t item, hashed
    cdef uint32_t check
    cdef int8_t change
    cdef walk at
    # From the last on: late symbols hold few items, and a stack gives back the last first.
    for index in range(work.count):
        _await(work, index)
    while work.waiting_count and work.ours + work.theirs < work.count:
        work.waiting_count -= 1
        index = work.waiting[work.waiting_count]
        work.is_waiting[index] = 0
        symbol = work.symbols + index * SIZE
        if symbol[COUNT_OFFSET] != 1 and symbol[COUNT_OFFSET] != 0xFF:
            continue
        item = _load(symbol)
        hashed = _hash(item, work.key)
        memcpy(&check, symbol + CHECK_OFFSET, 4)
        if check != _check(hashed) or not _is_in(hashed, index):
            continue
        change = 1 if symbol[COUNT_OFFSET] == 1 else -1
        if change == 1:
            work.found[work.ours] = item
            work.ours += 1
        else:
            work.theirs += 1
            work.found[work.count - work.theirs] = item
        at.state = hashed
        at.position = 0
        while at.position < <uint64_t>work.count:
            _flip(work.symbols + at.position * SIZE, _raw(item), _check(hashed), -change)
            _await(work, at.position)
            _next(&at)


cdef bint _is_empty(const peeling *work) noexcept nogil:
    """Whether nothing is left in any symbol that is known."""
    cdef Py_ssize_t index, at
    for index in range(work.count):
        if _is_known(work, index):
            for at in range(SIZE):
                if work.symbols[index * SIZE + at]:
                    return False
    return True


cdef bytes _packed(const uint64_t *found, Py_ssize_t count):
    cdef bytes out = PyBytes_FromStringAndSize(NULL, count * ITEM_SIZE)
    cdef uint8_t *at = <uint8_t *>PyBytes_AS_STRING(out)
    cdef Py_ssize_t index
    cdef uint64_t raw
    for index in range(count):
        raw = _raw(found[index])
        memcpy(at + index * ITEM_SIZE, &raw, ITEM_SIZE)
    return out


def peel(
    const uint8_t[::1] difference not None,
    const uint8_t[::1] key not None,
    *,
    const uint8_t[::1] known=None,
):
    cdef peeling work
    work.count = _count_symbols(difference)
    work.known = NULL
    if known is not None:
        if known.shape[0] != work.count:
            raise ValueError(f"known is {known.shape[0]} bytes and must be one a symbol, {work.count}")
        if work.count:
            work.known = &known[0]
    _read_key(key, work.key)
    if work.count == 0:
        return b"", b"", True
    work.waiting_count = work.ours = work.theirs = 0
    cdef bint is_complete
    left = bytearray(difference)
    cdef uint8_t[::1] view = left
    work.symbols = &view[0]
    work.waiting = <uint32_t *>malloc(work.count * sizeof(uint32_t))
    work.is_waiting = <uint8_t *>calloc(work.count, 1)
    work.found = <uint64_t *>malloc(work.count * sizeof(uint64_t))
    try:
        if work.waiting == NULL or work.is_waiting == NULL or work.found == NULL:
            raise MemoryError(f"no memory to peel {work.count} symbols")
        with nogil:
            _peel(&work)
            is_complete = _is_empty(&work)
        ours = _packed(work.found, work.ours)
        theirs = _packed(work.found + work.count - work.theirs, work.theirs)
        return ours, theirs, bool(is_complete)
    finally:
        free(work.waiting)
        free(work.is_waiting)
        free(work.found)


def estimate(const uint8_t[::1] difference not None, int64_t surplus, *, Py_ssize_t first=0):
    cdef Py_ssize_t count = _count_symbols(difference)
    cdef Py_ssize_t index, from_index = max(<Py_ssize_t>ESTIMATED_FROM - first, 0)
    cdef double share, deviation, total = 0.0
    if first < 0:
        raise ValueError(f"first is {first} and must be at least 0")
    for index in range(from_index, count):
        share = 1.0 / (1.0 + (first + index) / 2.0)
        # Counts are known modulo 256: of what they may deviate by, the least.
        deviation = difference[index * SIZE + COUNT_OFFSET] - surplus * share
        deviation -= 256.0 * <double>(<int64_t>((deviation + (128.0 if deviation >= 0 else -128.0)) / 256.0))
        total += deviation * deviation / (share * (1.0 - share))
    if count <= from_index:
        return float(abs(surplus))
    return max(float(abs(surplus)), total / (count - from_index))
