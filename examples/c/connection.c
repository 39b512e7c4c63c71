/* Requests to a node and their replies: docs/interface.md, Control. */

#include "client.h"

#include <stdlib.h>
#include <time.h>

enum { REPLY_LIMIT_MS = 2000, PUBLISH_TRIES_MAX = 30 };

int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool receive(void *socket, frame *received, int64_t limit_ms) {
    zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
    frame_clear(received);
    if (zmq_poll(&item, 1, limit_ms > 0 ? (long)limit_ms : 0) <= 0) return false;
    return zmq_msg_recv(&received->message, socket, 0) >= 0;
}

bool unpack(frame *received) {
    return msgpack_unpack_next(&received->unpacked, zmq_msg_data(&received->message),
                               zmq_msg_size(&received->message), NULL) == MSGPACK_UNPACK_SUCCESS;
}

void *opened(void *context, int type, const char *endpoint) {
    int linger = 0;
    void *socket = zmq_socket(context, type);
    if (!socket || zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) || zmq_connect(socket, endpoint)) abort();
    return socket;
}

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

bool is_ok(const msgpack_object *ok) { return ok && ok->type == MSGPACK_OBJECT_BOOLEAN && ok->via.boolean; }

bool has_code(const frame *reply, const char *code) {
    return is_text(field(field(&reply->unpacked.data, "error"), "code"), code);
}

bool is_passing(const frame *reply) {
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
