/* Maps that are sent, field by field, and maps that came. */

#include "client.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

void fields_init(fields *f) {
    msgpack_sbuffer_init(&f->buffer);
    f->count = 0;
}

void fields_clear(fields *f) { msgpack_sbuffer_destroy(&f->buffer); }

static void pack_text(msgpack_packer *p, const char *text) { msgpack_pack_str_with_body(p, text, strlen(text)); }

static void put(fields *f, const char *name) {
    f->count++;
    /* Anew each time: the structure may have been copied since. */
    msgpack_packer_init(&f->packer, &f->buffer, msgpack_sbuffer_write);
    pack_text(&f->packer, name);
}

void put_text(fields *f, const char *name, const char *text) {
    put(f, name);
    pack_text(&f->packer, text);
}

void put_bytes(fields *f, const char *name, const void *bytes, size_t size) {
    put(f, name);
    msgpack_pack_bin_with_body(&f->packer, bytes, size);
}

void put_number(fields *f, const char *name, uint64_t number) {
    put(f, name);
    msgpack_pack_uint64(&f->packer, number);
}

void put_list(fields *f, const char *name, size_t count) {
    put(f, name);
    msgpack_pack_array(&f->packer, count);
}

void put_request_id(fields *f) {
    unsigned char id[16];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    for (int i = 0; i < 6; i++) id[i] = (unsigned char)(ms >> (40 - 8 * i));
    if (getrandom(id + 6, 10, 0) != 10) abort();
    put_bytes(f, "request_id", id, sizeof id);
}

void frame_init(frame *f) {
    zmq_msg_init(&f->message);
    msgpack_unpacked_init(&f->unpacked);
}

void frame_clear(frame *f) {
    zmq_msg_close(&f->message);
    msgpack_unpacked_destroy(&f->unpacked);
    frame_init(f);
}

const msgpack_object *field(const msgpack_object *map, const char *name) {
    if (!map || map->type != MSGPACK_OBJECT_MAP) return NULL;
    for (uint32_t i = 0; i < map->via.map.size; i++)
        if (is_text(&map->via.map.ptr[i].key, name)) return &map->via.map.ptr[i].val;
    return NULL;
}

bool is_text(const msgpack_object *object, const char *text) {
    return object && object->type == MSGPACK_OBJECT_STR && object->via.str.size == strlen(text) &&
           !memcmp(object->via.str.ptr, text, object->via.str.size);
}

uint64_t number_of(const msgpack_object *object) {
    return object && object->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? object->via.u64 : 0;
}
