/* The packed records that kernels hand to each other and, as bytes, to Python (struct formats: dispersy/protocol/wire/records.py).
 * Native byte order: they never leave the machine. Sizes are checked at import. */
#ifndef DISPERSY_RECORDS_H
#define DISPERSY_RECORDS_H
#include <stdint.h>
#pragma pack(push, 1)

typedef struct {          /* a datagram in an arena */
    uint32_t offset;
    uint16_t length;
    uint8_t address[18];  /* IPv6 or IPv4-mapped address, u16 port big-endian */
} datagram_record;        /* 24 bytes */

typedef struct {          /* a frame other than messages */
    uint32_t datagram;    /* index of its datagram */
    uint32_t offset;      /* of its body in the arena */
    uint16_t length;      /* of its body */
    uint16_t community;   /* index into the tags given to split() */
    uint8_t type;
    uint8_t token_state;  /* of its datagram: 0 zeros, 1 invalid, 2 of this epoch, 3 of the previous epoch */
    uint16_t spare;
} frame_record;           /* 16 bytes */

typedef struct {          /* a messages frame, its envelope decoded, or a stripped frame, which has none */
    uint32_t datagram;
    uint32_t number;      /* of the request it answers, 0 unasked */
    uint32_t offset;      /* of its list of messages in the arena */
    uint16_t length;      /* of that list in bytes */
    uint16_t community;
    uint16_t count;       /* messages in the list; the list's lengths have been checked */
    uint8_t flags;        /* 1 end of range, 2 last of answer, 4 summary present; 128 a stripped frame */
    uint8_t token_state;
    uint8_t low[24];
    uint8_t high[24];
    uint8_t summary[24];
    uint32_t spare;
} envelope_record;        /* 96 bytes */

typedef struct {          /* a message in an arena */
    uint32_t offset;
    uint32_t length;
    uint64_t global_time;
    uint64_t sequence;
    uint16_t header_size; /* bytes before the payload count */
    uint8_t kind;
    uint8_t flags;
    uint8_t payload_count;
    uint8_t signature_count;
    uint8_t state;        /* 0 whole, 1 stripped: header, digest, signatures; takes one cursor */
    uint8_t source;       /* bucket of the host that it came from (protocol/hosts.py); 0 unknown */
    uint8_t id[32];       /* zeros until identify_many() */
    uint8_t digest[32];   /* SHA-256 of the payload part; zeros until identify_many() */
} message_record;         /* 96 bytes */

#pragma pack(pop)
#endif
