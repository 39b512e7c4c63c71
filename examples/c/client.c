#include "client.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { REPLY_LIMIT_MS = 2000, QUIET_MS = 2000, PUBLISH_TRIES_MAX = 30, FOLLOW_ID = 1 };

/* The fields of requests. */

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

/* Frames that came. */

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

int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool receive(void *socket, frame *received, int64_t limit_ms) {
    zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
    frame_clear(received);
    if (zmq_poll(&item, 1, limit_ms > 0 ? (long)limit_ms : 0) <= 0) return false;
    return zmq_msg_recv(&received->message, socket, 0) >= 0;
}

static bool unpack(frame *received) {
    return msgpack_unpack_next(&received->unpacked, zmq_msg_data(&received->message),
                               zmq_msg_size(&received->message), NULL) == MSGPACK_UNPACK_SUCCESS;
}

static void *opened(void *context, int type, const char *endpoint) {
    int linger = 0;
    void *socket = zmq_socket(context, type);
    if (!socket || zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) || zmq_connect(socket, endpoint)) abort();
    return socket;
}

/* Requests and replies. */

void connection_open(connection *c, void *context, const char *endpoint) {
    c->socket = opened(context, ZMQ_DEALER, endpoint);
    c->number = 0;
}

void connection_close(connection *c) { zmq_close(c->socket); }

uint64_t connection_send(connection *c, const char *op, uint64_t id, const fields *f) {
    fields whole;
    fields_init(&whole);
    msgpack_packer_init(&whole.packer, &whole.buffer, msgpack_sbuffer_write);
    msgpack_pack_map(&whole.packer, 3 + f->count);
    put_number(&whole, "v", 1);
    put_number(&whole, "id", id ? id : (id = ++c->number));
    put_text(&whole, "op", op);
    if (f->count) msgpack_sbuffer_write(&whole.buffer, f->buffer.data, f->buffer.size);
    /* A node that has been away for long has a thousand of ours waiting: that one more finds no room is as good as
       no answer. */
    zmq_send(c->socket, whole.buffer.data, whole.buffer.size, ZMQ_DONTWAIT);
    fields_clear(&whole);
    return id;
}

bool connection_receive(connection *c, frame *received, int64_t limit_ms) {
    return receive(c->socket, received, limit_ms) && unpack(received);
}

static bool is_ok(const msgpack_object *ok) { return ok && ok->type == MSGPACK_OBJECT_BOOLEAN && ok->via.boolean; }

static bool has_code(const frame *reply, const char *code) {
    return is_text(field(field(&reply->unpacked.data, "error"), "code"), code);
}

/* Whether the same is to be sent again in a moment. */
static bool is_passing(const frame *reply) {
    return !field(&reply->unpacked.data, "ok") || has_code(reply, "no-answer") || has_code(reply, "starting") ||
           has_code(reply, "busy");
}

bool request(connection *c, const char *op, const fields *f, frame *reply) {
    uint64_t id = connection_send(c, op, 0, f);
    int64_t limit = now_ms() + REPLY_LIMIT_MS;
    while (connection_receive(c, reply, limit - now_ms())) {
        const msgpack_object *map = &reply->unpacked.data, *ok = field(map, "ok");
        /* Answers to requests that were given up are passed over. */
        if (ok && number_of(field(map, "id")) == id) return is_ok(ok);
    }
    return false;
}

bool publish(connection *c, const char *op, const fields *f, frame *reply) {
    struct timespec pause = {.tv_nsec = 100000000};
    for (int tries = 1; !request(c, op, f, reply); tries++) {
        if (tries == PUBLISH_TRIES_MAX || !is_passing(reply)) return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

/* Follow. */

static void ask(follow *f) {
    fields all;
    fields_init(&all);
    if (f->since) put_text(&all, "since", f->since);
    else put_number(&all, "since", f->cursor);
    put_number(&all, "credit", f->credit);
    all.count += f->filters.count;
    if (f->filters.count) msgpack_sbuffer_write(&all.buffer, f->filters.buffer.data, f->filters.buffer.size);
    connection_send(&f->connection, "follow", FOLLOW_ID, &all);
    fields_clear(&all);
}

static void deal_with(follow *f, bool is_paid) {
    f->dealt_with += is_paid;
    if (f->dealt_with * 2 < f->credit) return;
    fields grant;
    fields_init(&grant);
    put_number(&grant, "count", f->dealt_with);
    connection_send(&f->connection, "credit", FOLLOW_ID, &grant);
    fields_clear(&grant);
    f->dealt_with = 0;
}

void follow_open(follow *f, void *context, const char *endpoint, fields filters, const char *since, uint64_t cursor,
                 unsigned credit) {
    *f = (follow){.filters = filters, .since = since, .cursor = cursor, .credit = credit};
    connection_open(&f->connection, context, endpoint);
    ask(f);
}

enum outcome follow_next(follow *f, frame *event, int64_t limit_ms) {
    int64_t limit = now_ms() + limit_ms, left;
    while ((left = limit - now_ms()) > 0) {
        if (!connection_receive(&f->connection, event, left < QUIET_MS ? left : QUIET_MS)) {
            ask(f); /* Silence, or a new gateway that does not know us: `follow-exists` tells that all is well. */
            continue;
        }
        const msgpack_object *map = &event->unpacked.data, *ok = field(map, "ok");
        bool is_caught_up = is_text(field(map, "event"), "caught-up");
        uint64_t cursor = number_of(field(map, is_ok(ok) ? "since" : "cursor"));
        if (ok && !is_ok(ok) && !is_passing(event) && !has_code(event, "follow-exists")) return REFUSED;
        if (ok && !is_ok(ok)) continue;
        if (!ok && !is_caught_up && !f->since && cursor <= f->cursor) continue;
        f->since = NULL;
        f->cursor = cursor;
        if (ok) {
            f->dealt_with = 0;
            continue;
        }
        deal_with(f, !is_caught_up);
        return EVENT;
    }
    return NOTHING;
}

void follow_close(follow *f) {
    connection_close(&f->connection);
    fields_clear(&f->filters);
}

/* The events socket. */

void subscription_open(subscription *s, void *context, const char *endpoint) {
    s->socket = opened(context, ZMQ_SUB, endpoint);
    s->topics = NULL;
}

const topic *subscription_next(subscription *s, frame *header, zmq_msg_t *payload, bool *is_lost, int64_t limit_ms) {
    if (!receive(s->socket, header, limit_ms)) return NULL;
    size_t size = zmq_msg_size(&header->message);
    const char *name = zmq_msg_data(&header->message);
    topic *t = s->topics;
    while (t && (strlen(t->name) != size || memcmp(t->name, name, size))) t = t->next;
    bool is_new = !t;
    if (is_new) {
        if (!(t = calloc(1, sizeof *t + size + 1))) abort();
        memcpy(t->name, name, size);
        t->next = s->topics;
        s->topics = t;
    }
    /* The frames of a message arrive together. */
    if (!receive(s->socket, header, 0) || !unpack(header) || zmq_msg_recv(payload, s->socket, 0) < 0) abort();
    const msgpack_object *map = &header->unpacked.data;
    uint64_t previous = number_of(field(map, "previous"));
    *is_lost = !is_new && previous != t->last;
    t->last = is_text(field(map, "event"), "heartbeat") ? previous : number_of(field(map, "cursor"));
    return t;
}

void subscription_close(subscription *s) {
    zmq_close(s->socket);
    for (topic *next; s->topics; s->topics = next) {
        next = s->topics->next;
        free(s->topics);
    }
}
