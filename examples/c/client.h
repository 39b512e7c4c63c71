/* A client of a Dispersy node in C, from docs/interface.md alone: libzmq, and msgpack-c for the maps. */

#ifndef DISPERSY_CLIENT_H
#define DISPERSY_CLIENT_H

#include <msgpack.h>
#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

/* The fields of a request besides v, id and op, packed one after the other. */
typedef struct {
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    unsigned count;
} fields;

void fields_init(fields *f);
void fields_clear(fields *f);
void put_text(fields *f, const char *name, const char *text);
void put_bytes(fields *f, const char *name, const void *bytes, size_t size);
void put_number(fields *f, const char *name, uint64_t number);
void put_list(fields *f, const char *name, size_t count); /* then pack its items with f->packer */
void put_request_id(fields *f);

/* A map that came; what its fields point to lives until the frame is cleared. An empty one has no fields. */
typedef struct {
    zmq_msg_t message;
    msgpack_unpacked unpacked;
} frame;

void frame_init(frame *f);
void frame_clear(frame *f);
const msgpack_object *field(const msgpack_object *map, const char *name); /* NULL where it is absent */
bool is_text(const msgpack_object *object, const char *text);
uint64_t number_of(const msgpack_object *object); /* 0 for what is no number */

/* One DEALER, which is one client in the eyes of the node. */
typedef struct {
    void *socket;
    uint64_t number;
} connection;

void connection_open(connection *c, void *context, const char *endpoint);
void connection_close(connection *c);
uint64_t connection_send(connection *c, const char *op, uint64_t id, const fields *f); /* id 0: a new one */
bool connection_receive(connection *c, frame *received, int64_t limit_ms); /* false: nothing came */

/* Both: true for a reply that is ok; false for an error, or for an empty frame when no reply came. */
bool request(connection *c, const char *op, const fields *f, frame *reply);
bool publish(connection *c, const char *op, const fields *f, frame *reply); /* f with a request_id; asks again */

/* All events after `since`, in order, each once, over restarts of the node; on a connection of its own. */
typedef struct {
    connection connection;
    fields filters; /* communities and kinds */
    const char *since; /* "begin", "now", or NULL: the cursor */
    uint64_t cursor;
    unsigned credit, dealt_with;
} follow;

enum outcome { NOTHING, EVENT, REFUSED };

/* filters becomes the follow's own. */
void follow_open(follow *f, void *context, const char *endpoint, fields filters, const char *since, uint64_t cursor,
                 unsigned credit);
enum outcome follow_next(follow *f, frame *event, int64_t limit_ms); /* an event then counts as dealt with */
void follow_close(follow *f);

/* What the events socket says; subscribe to the beginnings of topics with zmq_setsockopt(socket, ZMQ_SUBSCRIBE). */
typedef struct topic {
    struct topic *next;
    uint64_t last;
    char name[]; /* zero-terminated */
} topic;

typedef struct {
    void *socket;
    topic *topics;
} subscription;

void subscription_open(subscription *s, void *context, const char *endpoint);
/* The topic, or NULL when nothing comes; is_lost: something before it on its topic may have been missed. */
const topic *subscription_next(subscription *s, frame *header, zmq_msg_t *payload, bool *is_lost, int64_t limit_ms);
void subscription_close(subscription *s);

/* What the parts of the client share. */
int64_t now_ms(void);
void *opened(void *context, int type, const char *endpoint);
bool receive(void *socket, frame *received, int64_t limit_ms);
bool unpack(frame *received);
bool is_ok(const msgpack_object *ok);
bool has_code(const frame *reply, const char *code);
bool is_passing(const frame *reply); /* whether the same is to be sent again in a moment */

#endif
