/* The complete way to hear of messages, without gap over restarts of the node: docs/interface.md, follow. */

#include "client.h"

enum { QUIET_MS = 2000, FOLLOW_ID = 1 };

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
