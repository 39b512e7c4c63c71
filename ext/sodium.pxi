# libsodium's functions, taken by name out of the library that PyNaCl's wheel holds. Include this in a kernel
# and write
#
#     cdef crypto_sign_open_t crypto_sign_open = <crypto_sign_open_t>sodium_function("crypto_sign_open")
#
# for each that the kernel calls. nacl._sodium is a private module, therefore pyproject.toml pins PyNaCl.
# Taking them so saves a system package, and everything here checks signatures by one libsodium.

from libc.stdint cimport uint8_t, uint64_t, uintptr_t
from libc.string cimport memcpy

import nacl._sodium as _sodium

ctypedef int (*crypto_sign_open_t)(
    unsigned char *message, unsigned long long *message_size,
    const unsigned char *signed_message, unsigned long long signed_size,
    const unsigned char *public_key,
) noexcept nogil
ctypedef int (*crypto_sign_t)(
    unsigned char *signed_message, unsigned long long *signed_size,
    const unsigned char *message, unsigned long long message_size,
    const unsigned char *secret_key,
) noexcept nogil
ctypedef int (*crypto_sign_seed_keypair_t)(
    unsigned char *public_key, unsigned char *secret_key, const unsigned char *seed,
) noexcept nogil
ctypedef int (*crypto_hash_sha256_t)(
    unsigned char *digest, const unsigned char *data, unsigned long long size,
) noexcept nogil
# With salt and personal NULL this is plain keyed BLAKE2b.
ctypedef int (*crypto_generichash_blake2b_salt_personal_t)(
    unsigned char *digest, size_t digest_size,
    const unsigned char *data, unsigned long long size,
    const unsigned char *key, size_t key_size,
    const unsigned char *salt, const unsigned char *personal,
) noexcept nogil
ctypedef int (*crypto_shorthash_siphash24_t)(
    unsigned char *digest, const unsigned char *data, unsigned long long size, const unsigned char *key,
) noexcept nogil

cdef void *sodium_function(str name) except NULL:
    """Address of a libsodium function; ImportError names it when the installed PyNaCl does not expose it."""
    try:
        function = _sodium.ffi.addressof(_sodium.lib, name)
    except AttributeError:
        raise ImportError(
            f"the installed PyNaCl does not expose libsodium's {name}; dispersy needs pynacl>=1.6,<1.7"
        ) from None
    return <void *><uintptr_t>int(_sodium.ffi.cast("uintptr_t", function))

# Chooses the fastest implementations for this processor; until then libsodium uses its portable ones.
if _sodium.lib.sodium_init() < 0:
    raise ImportError("libsodium, as PyNaCl brings it, cannot be initialised")


cdef inline void make_token(
    crypto_shorthash_siphash24_t siphash, const uint8_t *address, const uint8_t *tag, uint64_t epoch,
    const uint8_t *secret, uint8_t *token,
) noexcept nogil:
    """The 8-byte token of an 18-byte address for an 8-byte community tag (docs/wire.md, Tokens and spoofing).

    Here, so that the kernel that gives tokens and the one that checks them cannot differ.
    """
    cdef uint8_t hashed[34]
    cdef int position
    memcpy(hashed, address, 18)
    memcpy(hashed + 18, tag, 8)
    for position in range(8):
        hashed[26 + position] = <uint8_t>(epoch >> (56 - 8 * position))
    siphash(token, hashed, 34, secret)
    # Bit 63 tells the checker which of two epochs to hash for, so that it hashes once.
    token[0] = <uint8_t>((token[0] & 0x7F) | ((epoch & 1) << 7))
