/* The simple way to hear of messages, and to know when some were missed: docs/interface.md, events. */

#include "client.h"

#include <stdlib.h>
#include <string.h>

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
