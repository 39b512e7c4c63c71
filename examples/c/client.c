/* A client of a Dispersy node in C, from docs/interface.md alone: libzmq, and msgpack-c for the maps.

       ./client publish COMMUNITY TEXT...
       ./client follow COMMUNITY

   Another program takes this file as it is, with CLIENT_WITHOUT_MAIN (conformance.c does). */

#include <msgpack.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <zmq.h>

enum { REPLY_LIMIT_MS = 2000, QUIET_MS = 2000, PAUSE_NS = 100000000, TRIES_MAX = 30, FOLLOW_ID = 1 };

int64_t now_ms(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The fields of a request besides v, id and op, packed one after the other. */
typedef struct {
    msgpack_sbuffer buffer;
    unsigned count;
} fields;

msgpack_packer put(fields *f, const char *name) { /* then pack its value with what this gives */
    msgpack_packer p;
    msgpack_packer_init(&p, &f->buffer, msgpack_sbuffer_write);
    if (name) msgpack_pack_str_with_body(&p, name, strlen(name));
    f->count += name != NULL;
    return p;
}

void put_number(fields *f, const char *name, uint64_t number) {
    msgpack_packer p = put(f, name);
    msgpack_pack_uint64(&p, number);
}

void put_text(fields *f, const char *name, const char *text) {
    msgpack_packer p = put(f, name);
    msgpack_pack_str_with_body(&p, text, strlen(text));
}

void put_all(fields *f, const fields *more) {
    f->count += more->count;
    if (more->count) msgpack_sbuffer_write(&f->buffer, more->buffer.data, more->buffer.size);
}

void fields_clear(fields *f) { msgpack_sbuffer_destroy(&f->buffer); }

/* A map that came; what its fields point to lives until the frame is cleared. An empty one has no fields. */
typedef struct {
    zmq_msg_t message;
    msgpack_unpacked unpacked;
} frame;

void frame_init(frame *f) {
    zmq_msg_init(&f->message);
    msgpack_unpacked_init(&f->unpacked);
}

void frame_clear(frame *f) {
    zmq_msg_close(&f->message);
    msgpack_unpacked_destroy(&f->unpacked);
}

bool is_text(const msgpack_object *object, const char *text) {
    return object && object->type == MSGPACK_OBJECT_STR && object->via.str.size == strlen(text) &&
           !memcmp(object->via.str.ptr, text, object->via.str.size);
}

const msgpack_object *field(const msgpack_object *map, const char *name) { /* NULL where it is absent */
    if (!map || map->type != MSGPACK_OBJECT_MAP) return NULL;
    for (uint32_t i = 0; i < map->via.map.size; i++)
        if (is_text(&map->via.map.ptr[i].key, name)) return &map->via.map.ptr[i].val;
    return NULL;
}

uint64_t number_of(const msgpack_object *object) { /* 0 for what is no number */
    return object && object->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? object->via.u64 : 0;
}

bool receive(void *socket, frame *received, int64_t limit_ms) {
    zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
    frame_clear(received);
    frame_init(received);
    if (zmq_poll(&item, 1, limit_ms > 0 ? (long)limit_ms : 0) <= 0) return false;
    return zmq_msg_recv(&received->message, socket, 0) >= 0;
}

bool unpack(frame *f) {
    size_t size = zmq_msg_size(&f->message);
    return msgpack_unpack_next(&f->unpacked, zmq_msg_data(&f->message), size, NULL) == MSGPACK_UNPACK_SUCCESS;
}

/* One DEALER, which is one client in the eyes of the node. */
typedef struct {
    void *socket;
    uint64_t number;
} connection;

void *opened(void *context, int type, const char *endpoint) {
    int linger = 0;
    void *socket = zmq_socket(context, type);
    if (!socket || zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) || zmq_connect(socket, endpoint)) abort();
    return socket;
}

uint64_t connection_send(connection *c, const char *op, uint64_t id, const fields *f) { /* id 0: a new one */
    fields whole = {0};
    msgpack_packer p = put(&whole, NULL);
    msgpack_pack_map(&p, 3 + f->count);
    put_number(&whole, "v", 1);
    put_number(&whole, "id", id ? id : (id = ++c->number));
    put_text(&whole, "op", op);
    put_all(&whole, f);
    /* No room, for a node that has been away for long has a thousand of ours waiting, is as good as no answer. */
    zmq_send(c->socket, whole.buffer.data, whole.buffer.size, ZMQ_DONTWAIT);
    fields_clear(&whole);
    return id;
}

bool connection_receive(connection *c, frame *received, int64_t limit_ms) { /* false: nothing came */
    return receive(c->socket, received, limit_ms) && unpack(received);
}

bool is_ok(const msgpack_object *ok) { return ok && ok->type == MSGPACK_OBJECT_BOOLEAN && ok->via.boolean; }

bool has_code(const frame *reply, const char *code) {
    return is_text(field(field(&reply->unpacked.data, "error"), "code"), code);
}

bool is_passing(const frame *reply) { /* whether the same is to be sent again in a moment */
    bool is_silent = !field(&reply->unpacked.data, "ok");
    return is_silent || has_code(reply, "no-answer") || has_code(reply, "starting") || has_code(reply, "busy");
}

/* True for a reply that is ok; false for an error, or for an empty frame when no reply came. */
bool request(connection *c, const char *op, const fields *f, frame *reply) {
    uint64_t id = connection_send(c, op, 0, f);
    int64_t limit = now_ms(CLOCK_MONOTONIC) + REPLY_LIMIT_MS;
    while (connection_receive(c, reply, limit - now_ms(CLOCK_MONOTONIC))) {
        const msgpack_object *map = &reply->unpacked.data, *ok = field(map, "ok");
        /* Answers to requests that were given up are passed over. */
        if (ok && number_of(field(map, "id")) == id) return is_ok(ok);
    }
    return false;
}

/* Publishes once, however often it has to be asked: all tries carry the same request_id. */
void put_request_id(fields *f) {
    unsigned char id[16];
    int64_t ms = now_ms(CLOCK_REALTIME);
    for (int i = 0; i < 6; i++) id[i] = (unsigned char)(ms >> (40 - 8 * i));
    if (getrandom(id + 6, 10, 0) != 10) abort();
    msgpack_packer p = put(f, "request_id");
    msgpack_pack_bin_with_body(&p, id, sizeof id);
}

bool publish(connection *c, const char *op, const fields *f, frame *reply) { /* f with a request_id */
    for (int tries = 1; !request(c, op, f, reply); tries++) {
        if (tries == TRIES_MAX || !is_passing(reply)) return false;
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    }
    return true;
}

/* All events after `since`, in order, each once, over restarts of the node; on a connection of its own. */
typedef struct {
    connection connection;
    fields filters; /* communities and kinds */
    const char *since; /* "begin", "now", or NULL: the cursor */
    uint64_t cursor;
    unsigned credit, dealt_with;
} follow;

enum outcome { NOTHING, EVENT, REFUSED };

static void ask(follow *f) {
    fields all = {0};
    if (f->since) put_text(&all, "since", f->since);
    else put_number(&all, "since", f->cursor);
    put_number(&all, "credit", f->credit);
    put_all(&all, &f->filters);
    connection_send(&f->connection, "follow", FOLLOW_ID, &all);
    fields_clear(&all);
}

static void deal_with(follow *f, bool is_paid) {
    f->dealt_with += is_paid;
    if (f->dealt_with * 2 < f->credit) return;
    fields grant = {0};
    put_number(&grant, "count", f->dealt_with);
    connection_send(&f->connection, "credit", FOLLOW_ID, &grant);
    fields_clear(&grant);
    f->dealt_with = 0;
}

/* Its filters become its own. */
void follow_open(follow *f, void *context, const char *endpoint) {
    f->connection.socket = opened(context, ZMQ_DEALER, endpoint);
    ask(f);
}

enum outcome follow_next(follow *f, frame *event, int64_t limit_ms) { /* an event then counts as dealt with */
    int64_t limit = now_ms(CLOCK_MONOTONIC) + limit_ms, left;
    while ((left = limit - now_ms(CLOCK_MONOTONIC)) > 0) {
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
        if (ok) f->dealt_with = 0;
        else deal_with(f, !is_caught_up);
        if (!ok) return EVENT;
    }
    return NOTHING;
}

void follow_close(follow *f) {
    zmq_close(f->connection.socket);
    fields_clear(&f->filters);
}

/* The simple way: what the events socket says, and whether something was missed. The socket subscribes to the
   beginnings of topics with zmq_setsockopt(socket, ZMQ_SUBSCRIBE). */
typedef struct topic {
    struct topic *next;
    uint64_t last;
    char name[]; /* zero-terminated */
} topic;

typedef struct {
    void *socket;
    topic *topics;
} subscription;

/* The topic, or NULL when nothing comes; is_lost: something before it on its topic may have been missed. */
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

#ifndef CLIENT_WITHOUT_MAIN
/* The path of the control socket, as `dispersy status --json` says it. */
static char *control_endpoint(void) {
    static char told[1 << 20];
    FILE *status = popen("dispersy status --json", "r");
    if (!status) return NULL;
    told[fread(told, 1, sizeof told - 1, status)] = 0;
    char *start = strstr(told, "\"ipc://"), *control = NULL;
    for (; start && !control; start = strstr(start, "\"ipc://")) {
        char *path = ++start;
        start = path + strcspn(path, "\"");
        if (*start && !strncmp(start - 8, "/control", 8)) control = path;
        if (control) *start = 0;
    }
    return pclose(status) ? NULL : control;
}

static int complain(const frame *reply) {
    const msgpack_object *error = field(&reply->unpacked.data, "error"), *message = field(error, "message");
    if (!message) fprintf(stderr, "the node is silent\n");
    else fprintf(stderr, "%.*s\n", (int)message->via.str.size, message->via.str.ptr);
    return 1;
}

static int publish_texts(connection *c, const char *community, int count, char **texts, frame *reply) {
    fields f = {0};
    put_text(&f, "community", community);
    put_text(&f, "kind", "text");
    msgpack_packer p = put(&f, "payloads");
    msgpack_pack_array(&p, (size_t)count);
    for (int i = 0; i < count; i++) msgpack_pack_bin_with_body(&p, texts[i], strlen(texts[i]));
    put_request_id(&f);
    bool is_published = publish(c, "publish-many", &f, reply);
    fields_clear(&f);
    return is_published ? 0 : complain(reply);
}

static int print_all(void *context, const char *control, const char *community, frame *event) {
    follow f = {.since = "begin", .credit = 100};
    msgpack_packer p = put(&f.filters, "communities");
    msgpack_pack_array(&p, 1);
    msgpack_pack_str_with_body(&p, community, strlen(community));
    follow_open(&f, context, control);
    for (enum outcome came; (came = follow_next(&f, event, 60000)) != REFUSED;) {
        const msgpack_object *map = &event->unpacked.data, *author = field(map, "author");
        const msgpack_object *payload = field(map, "payload");
        if (came != EVENT || !is_text(field(map, "event"), "message") || !payload) continue;
        for (uint32_t i = 0; author && i < 4; i++) printf("%02x", (unsigned char)author->via.bin.ptr[i]);
        printf(" %.*s\n", (int)payload->via.bin.size, payload->via.bin.ptr);
        fflush(stdout);
    }
    follow_close(&f);
    return complain(event);
}

int main(int count, char **words) {
    bool is_publish = count > 3 && !strcmp(words[1], "publish");
    if (!is_publish && (count != 3 || strcmp(words[1], "follow"))) {
        fprintf(stderr, "usage: %s publish COMMUNITY TEXT... | follow COMMUNITY\n", words[0]);
        return 2;
    }
    char *control = control_endpoint();
    if (!control) return 3; /* dispersy has said why */
    void *context = zmq_ctx_new();
    connection c = {.socket = opened(context, ZMQ_DEALER, control)};
    frame received;
    frame_init(&received);
    int status = is_publish ? publish_texts(&c, words[2], count - 3, words + 3, &received)
                            : print_all(context, control, words[2], &received);
    frame_clear(&received);
    zmq_close(c.socket);
    zmq_ctx_term(context);
    return status;
}
#endif
