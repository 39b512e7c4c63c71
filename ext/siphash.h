/* SipHash-1-3 (Aumasson and Bernstein 2012; the variant that Rust and CPython use for their tables) of whole
 * words, taken in native order: hashes under a secret of one process never leave it. */
#ifndef DISPERSY_SIPHASH_H
#define DISPERSY_SIPHASH_H
#include <stdint.h>

static inline uint64_t siphash_rotate(uint64_t value, int bits) {
    return value << bits | value >> (64 - bits);
}

static inline void siphash_round(uint64_t v[4]) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = siphash_rotate(v[1], 13) ^ v[0];
    v[3] = siphash_rotate(v[3], 16) ^ v[2];
    v[0] = siphash_rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = siphash_rotate(v[1], 17) ^ v[2];
    v[3] = siphash_rotate(v[3], 21) ^ v[0];
    v[2] = siphash_rotate(v[2], 32);
}

static inline uint64_t siphash_words(const uint64_t *words, int count, const uint64_t secret[2]) {
    uint64_t v[4] = {
        secret[0] ^ 0x736f6d6570736575ULL,
        secret[1] ^ 0x646f72616e646f6dULL,
        secret[0] ^ 0x6c7967656e657261ULL,
        secret[1] ^ 0x7465646279746573ULL,
    };
    uint64_t length = (uint64_t)count << 59;
    int index;
    for (index = 0; index < count; index++) {
        v[3] ^= words[index];
        siphash_round(v);
        v[0] ^= words[index];
    }
    v[3] ^= length;
    siphash_round(v);
    v[0] ^= length;
    v[2] ^= 0xff;
    siphash_round(v);
    siphash_round(v);
    siphash_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
