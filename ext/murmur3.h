/* MurmurHash3 x64 128 (Austin Appleby's public domain algorithm), written for short keys of one length.
 * Bit for bit what the mmh3 package makes: little-endian blocks, the 32-bit seed in both halves. */
#ifndef DISPERSY_MURMUR3_H
#define DISPERSY_MURMUR3_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    uint64_t first;
    uint64_t second;
} murmur3_hash;

#define MURMUR3_C1 0x87c37b91114253d5ULL
#define MURMUR3_C2 0x4cf5ad432745937fULL

static inline uint64_t murmur3_rotate(uint64_t value, int bits) {
    return value << bits | value >> (64 - bits);
}

static inline uint64_t murmur3_load(const uint8_t *bytes) {
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

static inline uint64_t murmur3_finish(uint64_t value) {
    value ^= value >> 33;
    value *= 0xff51afd7ed558ccdULL;
    value ^= value >> 33;
    value *= 0xc4ceb9fe1a85ec53ULL;
    return value ^ value >> 33;
}

static inline uint64_t murmur3_mix_first(uint64_t block) {
    return murmur3_rotate(block * MURMUR3_C1, 31) * MURMUR3_C2;
}

static inline uint64_t murmur3_mix_second(uint64_t block) {
    return murmur3_rotate(block * MURMUR3_C2, 33) * MURMUR3_C1;
}

static inline murmur3_hash murmur3_x64_128(const uint8_t *key, size_t size, uint32_t seed) {
    uint64_t first = seed, second = seed;
    const uint8_t *end = key + (size & ~(size_t)15);
    size_t rest = size & 15;
    for (; key != end; key += 16) {
        first ^= murmur3_mix_first(murmur3_load(key));
        first = (murmur3_rotate(first, 27) + second) * 5 + 0x52dce729;
        second ^= murmur3_mix_second(murmur3_load(key + 8));
        second = (murmur3_rotate(second, 31) + first) * 5 + 0x38495ab5;
    }
    if (rest) {
        /* The reference folds the rest in byte by byte; zeros behind it give the same blocks. */
        uint8_t tail[16] = {0};
        memcpy(tail, key, rest);
        second ^= murmur3_mix_second(murmur3_load(tail + 8));
        first ^= murmur3_mix_first(murmur3_load(tail));
    }
    first ^= size;
    second ^= size;
    first += second;
    second += first;
    first = murmur3_finish(first);
    second = murmur3_finish(second);
    first += second;
    second += first;
    return (murmur3_hash){first, second};
}

#endif
