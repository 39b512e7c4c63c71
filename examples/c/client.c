/* A client of a Dispersy node in C, from docs/interface.md alone: libzmq, and msgpack-c for the maps.

       ./client publish COMMUNITY TEXT...
       ./client follow COMMUNITY

   A program of one's own takes this file as it is, and defines CLIENT_WITHOUT_MAIN, as conformance.c does. */

#include <msgpack.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <zmq.h>

enum { REPLY_LIMIT_MS = 2000, QUIET_MS = 2000, PAUSE_NS = 100000000, TRIES_MAX = 30, FOLLOW_ID = 1 };

int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What a request has besides v, id and op, packed field by field: PUT(&f, "count", uint64, 7). */
typedef struct { msgpack_sbuffer bytes; unsigned count; } fields;

#define PACK(f, type, ...) msgpack_pack_##type(&(msgpack_packer){&(f)->bytes, msgpack_sbuffer_write}, __VA_ARGS__)
#define PACK_TEXT(f, text) PACK(f, str_with_body, text, strlen(text))
#define PUT(f, name, type, ...) (PACK_TEXT(f, name), PACK(f, type, __VA_ARGS__), (f)->count++)
#define PUT_TEXT(f, name, text) PUT(f, name, str_with_body, text, strlen(text))

void put_all(fields *f, const fields *more) {
    f->count += more->count;
    if (more->count) msgpack_sbuffer_write(&f->bytes, more->bytes.data, more->bytes.size);
}

/* What came, begun as {0}: the texts and bytes of its map lie in the message, until another one is received. */
typedef struct { zmq_msg_t message; msgpack_unpacked map; } frame;

bool receive(void *socket, frame *f, int64_t limit_ms) { /* false, and an empty map: nothing came */
    int limit = limit_ms > 0 ? (int)limit_ms : 0;
    zmq_msg_close(&f->message); /* refuses, and does no harm, where there was none */
    msgpack_unpacked_destroy(&f->map);
    *f = (frame){0};
    if (zmq_setsockopt(socket, ZMQ_RCVTIMEO, &limit, sizeof limit) || zmq_msg_init(&f->message)) abort();
    if (zmq_msg_recv(&f->message, socket, 0) < 0) return false;
    msgpack_unpack_next(&f->map, zmq_msg_data(&f->message), zmq_msg_size(&f->message), NULL);
    return true;
}

bool is_text(const msgpack_object *o, const char *text) {
    const msgpack_object_str *str = &o->via.str;
    return o->type == MSGPACK_OBJECT_STR && str->size == strlen(text) && !memcmp(str->ptr, text, str->size);
}

const msgpack_object *value(const msgpack_object *map, const char *name) { /* nil where it is absent */
    static const msgpack_object nil = {.type = MSGPACK_OBJECT_NIL};
    for (uint32_t i = 0; map->type == MSGPACK_OBJECT_MAP && i < map->via.map.size; i++)
        if (is_text(&map->via.map.ptr[i].key, name)) return &map->via.map.ptr[i].val;
    return &nil;
}

const msgpack_object *field(const frame *f, const char *name) { return value(&f->map.data, name); }
uint64_t number(const frame *f, const char *name) { /* 0 where it is absent */
    return field(f, name)->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? field(f, name)->via.u64 : 0;
}

/* A DEALER on `control`, which is one client in the eyes of the node, or a SUB on `events`. */
void *opened(void *context, int type, const char *endpoint) {
    int linger = 0;
    void *socket = zmq_socket(context, type);
    if (!socket || zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) || zmq_connect(socket, endpoint)) abort();
    return socket;
}

void send_request(void *socket, const char *op, uint64_t id, const fields *f) {
    fields whole = {0};
    PACK(&whole, map, 3 + f->count);
    PUT(&whole, "v", uint64, 1);
    PUT(&whole, "id", uint64, id);
    PUT_TEXT(&whole, "op", op);
    put_all(&whole, f);
    /* No room, for a node that has been away for long has a thousand of ours waiting, is as good as no answer. */
    zmq_send(socket, whole.bytes.data, whole.bytes.size, ZMQ_DONTWAIT);
    msgpack_sbuffer_destroy(&whole.bytes);
}

/* A reply grants or refuses; an event, or what has not come, is none. */
enum reply { NONE, GRANTED, REFUSED } reply_of(const frame *f) {
    const msgpack_object *ok = field(f, "ok");
    return ok->type != MSGPACK_OBJECT_BOOLEAN ? NONE : ok->via.boolean ? GRANTED : REFUSED;
}

bool has_code(const frame *f, const char *code) { return is_text(value(field(f, "error"), "code"), code); }
bool is_passing(const frame *f) { /* whether the same is to be sent again in a moment */
    return reply_of(f) == NONE || has_code(f, "no-answer") || has_code(f, "starting") || has_code(f, "busy");
}

enum reply request(void *socket, const char *op, const fields *f, frame *reply) {
    static uint64_t id;
    int64_t limit = now_ms() + REPLY_LIMIT_MS;
    send_request(socket, op, ++id, f);
    while (receive(socket, reply, limit - now_ms())) /* replies to what was given up come, too */
        if (reply_of(reply) != NONE && number(reply, "id") == id) return reply_of(reply);
    return NONE;
}

/* Publishes once, however often it has to be asked: all tries carry the same request_id. */
enum reply publish(void *socket, const char *op, const fields *f, frame *reply) {
    for (int tries = 1; request(socket, op, f, reply) != GRANTED && is_passing(reply) && tries < TRIES_MAX; tries++)
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    return reply_of(reply);
}

void put_request_id(fields *f) {
    uint64_t ms = (uint64_t)time(NULL) * 1000;
    unsigned char id[16] = {ms >> 40, ms >> 32, ms >> 24, ms >> 16, ms >> 8, ms};
    if (getrandom(id + 6, 10, 0) != 10) abort();
    PUT(f, "request_id", bin_with_body, id, sizeof id);
}

/* All events after `since`, in order, each once, over restarts of the node; on a socket of its own. */
typedef struct {
    void *socket;
    fields filters; /* communities and kinds */
    const char *since; /* "begin", "now", or NULL: the cursor */
    uint64_t cursor, credit, dealt_with;
} follow;

void follow_send(follow *f, const char *op) { /* follow, or credit for what was dealt with */
    fields all = {0};
    if (!strcmp(op, "credit")) PUT(&all, "count", uint64, f->dealt_with);
    else if (f->since) PUT_TEXT(&all, "since", f->since);
    else PUT(&all, "since", uint64, f->cursor);
    if (!strcmp(op, "follow")) PUT(&all, "credit", uint64, f->credit), put_all(&all, &f->filters);
    send_request(f->socket, op, FOLLOW_ID, &all);
    msgpack_sbuffer_destroy(&all.bytes);
}

/* The next event: NONE with a map, which then counts as dealt with, or an empty one when none comes; or REFUSED. */
enum reply follow_next(follow *f, frame *event, int64_t limit_ms) {
    for (int64_t limit = now_ms() + limit_ms;;) {
        int64_t left = limit - now_ms();
        if (!receive(f->socket, event, left < QUIET_MS ? left : QUIET_MS)) {
            follow_send(f, "follow"); /* to a new gateway, perhaps; `follow-exists` tells that all is well */
            if (left > QUIET_MS) continue;
            return NONE;
        }
        enum reply reply = reply_of(event);
        uint64_t cursor = number(event, reply == GRANTED ? "since" : "cursor");
        bool is_caught_up = is_text(field(event, "event"), "caught-up");
        if (reply == REFUSED && !is_passing(event) && !has_code(event, "follow-exists")) return REFUSED;
        if (reply == REFUSED || (reply == NONE && !is_caught_up && !f->since && cursor <= f->cursor)) continue;
        f->since = NULL;
        f->cursor = cursor;
        f->dealt_with = reply == GRANTED ? 0 : f->dealt_with + !is_caught_up;
        if (f->dealt_with * 2 >= f->credit) follow_send(f, "credit"), f->dealt_with = 0;
        if (reply == NONE) return NONE;
    }
}

/* The simple way: of an event that a SUB on `events` has received, whether one before it on its topic was missed.
   `last` is kept for each topic, UINT64_MAX to begin with. */
bool is_after_gap(const frame *header, uint64_t *last) {
    uint64_t previous = number(header, "previous"), before = *last;
    *last = number(header, is_text(field(header, "event"), "heartbeat") ? "previous" : "cursor");
    return before != UINT64_MAX && before != previous;
}

#ifndef CLIENT_WITHOUT_MAIN
int main(int count, char **words) {
    bool is_publish = count > 3 && !strcmp(words[1], "publish");
    if (!is_publish && (count != 3 || strcmp(words[1], "follow")))
        return fprintf(stderr, "usage: %s publish COMMUNITY TEXT... | follow COMMUNITY\n", words[0]), 2;
    static fields f; /* static: let go of when the program ends */
    static frame came;
    static char control[256];
    FILE *status = popen("dispersy status --json | grep -o 'ipc://[^\"]*/control' | tr -d '\\n'", "r");
    if (!status || !fgets(control, sizeof control, status)) return 3; /* dispersy has said why */
    static void *socket;
    socket = opened(zmq_ctx_new(), ZMQ_DEALER, control);
    if (is_publish) {
        PUT_TEXT(&f, "community", words[2]);
        PUT_TEXT(&f, "kind", "text");
        PUT(&f, "payloads", array, (size_t)count - 3);
        for (char **text = words + 3; *text; text++) PACK(&f, bin_with_body, *text, strlen(*text));
        put_request_id(&f);
        if (publish(socket, "publish-many", &f, &came) == GRANTED) return 0;
    } else {
        PUT(&f, "communities", array, 1);
        PACK_TEXT(&f, words[2]);
        follow following = {.socket = socket, .filters = f, .since = "begin", .credit = 100};
        for (follow_send(&following, "follow"); follow_next(&following, &came, 60000) != REFUSED; fflush(stdout)) {
            if (!is_text(field(&came, "event"), "message")) continue;
            const msgpack_object_bin by = field(&came, "author")->via.bin, payload = field(&came, "payload")->via.bin;
            for (uint32_t i = 0; i < 4 && i < by.size; i++) printf("%02x", (unsigned char)by.ptr[i]);
            printf(" %.*s\n", (int)payload.size, payload.ptr);
        }
    }
    const msgpack_object_str message = value(field(&came, "error"), "message")->via.str;
    fprintf(stderr, "not done: %.*s\n", (int)message.size, message.size ? message.ptr : "");
    return 1;
}
#endif
