/* Drives client.c by lines, see tests/integration/conformance/README.md. */

#define CLIENT_WITHOUT_MAIN
#include "client.c"

#include <cjson/cJSON.h>
#include <inttypes.h>

enum { TOPICS_MAX = 256 };

typedef struct {
    void *context;
    const char *control, *events;
    void *socket, *subscriber;
    follow follow;
    frame frame;
    char *since;
    struct {
        char name[256];
        uint64_t last;
    } topics[TOPICS_MAX];
    unsigned topic_count;
    uint64_t sent;
} driver;

/* JSON to MessagePack: {"hex": "..."} is bytes. */

static unsigned char *bytes_of(const cJSON *item, size_t *size) {
    const char *hex = cJSON_GetStringValue(cJSON_GetObjectItem(item, "hex"));
    if (!hex) return NULL;
    *size = strlen(hex) / 2;
    unsigned char *bytes = malloc(*size + 1);
    if (!bytes) abort();
    for (size_t i = 0; i < *size; i++) {
        char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};
        bytes[i] = (unsigned char)strtoul(digits, NULL, 16);
    }
    return bytes;
}

static void pack(msgpack_packer *p, const cJSON *item) {
    size_t size;
    unsigned char *bytes = bytes_of(item, &size);
    const cJSON *child;
    if (bytes) {
        msgpack_pack_bin_with_body(p, bytes, size);
        free(bytes);
    } else if (cJSON_IsString(item)) {
        msgpack_pack_str_with_body(p, item->valuestring, strlen(item->valuestring));
    } else if (cJSON_IsNumber(item)) {
        msgpack_pack_int64(p, (int64_t)item->valuedouble);
    } else if (cJSON_IsBool(item)) {
        cJSON_IsTrue(item) ? msgpack_pack_true(p) : msgpack_pack_false(p);
    } else if (cJSON_IsArray(item)) {
        msgpack_pack_array(p, (size_t)cJSON_GetArraySize(item));
        cJSON_ArrayForEach(child, item) pack(p, child);
    } else {
        msgpack_pack_nil(p);
    }
}

/* All members of an object but those of these names. */
static fields fields_of(const cJSON *object, const char *const *leave_out) {
    fields f = {0};
    const cJSON *child;
    cJSON_ArrayForEach(child, object) {
        bool is_left_out = false;
        for (const char *const *name = leave_out; *name; name++) is_left_out |= !strcmp(*name, child->string);
        if (is_left_out) continue;
        PACK_TEXT(&f, child->string);
        pack(&(msgpack_packer){&f.bytes, msgpack_sbuffer_write}, child);
        f.count++;
    }
    return f;
}

/* MessagePack to JSON. */

static void print_text(const char *text, size_t size) {
    putchar('"');
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == '"' || c == '\\') printf("\\u%04x", c);
        else putchar(c);
    }
    putchar('"');
}

static void print_bytes(const void *data, size_t size) {
    printf("{\"hex\":\"");
    for (size_t i = 0; i < size; i++) printf("%02x", ((const unsigned char *)data)[i]);
    printf("\"}");
}

static void print_object(const msgpack_object *o) {
    switch (o->type) {
    case MSGPACK_OBJECT_BOOLEAN: printf(o->via.boolean ? "true" : "false"); break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER: printf("%" PRIu64, o->via.u64); break;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER: printf("%" PRId64, o->via.i64); break;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64: printf("%.17g", o->via.f64); break;
    case MSGPACK_OBJECT_STR: print_text(o->via.str.ptr, o->via.str.size); break;
    case MSGPACK_OBJECT_BIN: print_bytes(o->via.bin.ptr, o->via.bin.size); break;
    case MSGPACK_OBJECT_ARRAY:
        for (uint32_t i = 0; i < o->via.array.size; i++) {
            putchar(i ? ',' : '[');
            print_object(&o->via.array.ptr[i]);
        }
        printf(o->via.array.size ? "]" : "[]");
        break;
    case MSGPACK_OBJECT_MAP:
        for (uint32_t i = 0; i < o->via.map.size; i++) {
            putchar(i ? ',' : '{');
            print_object(&o->via.map.ptr[i].key);
            putchar(':');
            print_object(&o->via.map.ptr[i].val);
        }
        printf(o->via.map.size ? "}" : "{}");
        break;
    default: printf("null");
    }
}

static void print_reply(const frame *reply) {
    if (reply->map.data.type == MSGPACK_OBJECT_MAP) print_object(&reply->map.data);
    else printf("{\"ok\":false,\"error\":{\"code\":\"timeout\",\"message\":\"the node is silent\",\"hint\":\"\"}}");
}

/* What there is to do. */

static void do_request(driver *d, const cJSON *line) {
    const cJSON *asked = cJSON_GetObjectItem(line, "request");
    fields f = fields_of(asked, (const char *[]){"op", NULL});
    request(d->socket, cJSON_GetStringValue(cJSON_GetObjectItem(asked, "op")), &f, &d->frame);
    print_reply(&d->frame);
    msgpack_sbuffer_destroy(&f.bytes);
}

static void do_publish(driver *d, const cJSON *line) {
    fields f = fields_of(line, (const char *[]){"do", "op", NULL});
    publish(d->socket, cJSON_GetStringValue(cJSON_GetObjectItem(line, "op")), &f, &d->frame);
    print_reply(&d->frame);
    msgpack_sbuffer_destroy(&f.bytes);
}

static void do_send(driver *d, const cJSON *line) {
    const cJSON *asked = cJSON_GetObjectItem(line, "request"), *id = cJSON_GetObjectItem(asked, "id");
    /* Away from those that the client counts by itself. */
    uint64_t number = id ? (uint64_t)id->valuedouble : (1u << 20) + d->sent++;
    fields f = fields_of(asked, (const char *[]){"op", "id", NULL});
    send_request(d->socket, cJSON_GetStringValue(cJSON_GetObjectItem(asked, "op")), number, &f);
    printf("{\"id\":%" PRIu64 "}", number);
    msgpack_sbuffer_destroy(&f.bytes);
}

static void do_frame(driver *d, const cJSON *line) {
    size_t size;
    unsigned char *bytes = bytes_of(cJSON_GetObjectItem(line, "frame"), &size);
    zmq_send(d->socket, bytes, size, 0);
    free(bytes);
    printf("{}");
}

static void follow_end(driver *d) {
    if (d->follow.socket) zmq_close(d->follow.socket);
    msgpack_sbuffer_destroy(&d->follow.filters.bytes);
    free(d->since);
}

static void do_follow(driver *d, const cJSON *line) {
    const cJSON *since = cJSON_GetObjectItem(line, "since");
    fields filters = fields_of(line, (const char *[]){"do", "since", "credit", NULL});
    follow_end(d);
    d->since = cJSON_IsString(since) ? strdup(since->valuestring) : NULL;
    d->follow = (follow){
        .socket = opened(d->context, ZMQ_DEALER, d->control),
        .filters = filters,
        .since = d->since,
        .cursor = cJSON_IsNumber(since) ? (uint64_t)since->valuedouble : 0,
        .credit = (uint64_t)cJSON_GetObjectItem(line, "credit")->valueint,
    };
    follow_send(&d->follow, "follow");
    printf("{}");
}

static void do_subscribe(driver *d, const cJSON *line) {
    const cJSON *topic;
    if (d->subscriber) zmq_close(d->subscriber);
    d->subscriber = opened(d->context, ZMQ_SUB, d->events);
    d->topic_count = 0;
    cJSON_ArrayForEach(topic, cJSON_GetObjectItem(line, "topics"))
        zmq_setsockopt(d->subscriber, ZMQ_SUBSCRIBE, topic->valuestring, strlen(topic->valuestring));
    printf("{}");
}

static bool is_map(const frame *f) { return f->map.data.type == MSGPACK_OBJECT_MAP; }

/* receive and next: up to `count` frames by the limit, under `name`. */
static void do_take(driver *d, const cJSON *line, bool is_follow) {
    int count = cJSON_GetObjectItem(line, "count")->valueint;
    int64_t limit = now_ms() + cJSON_GetObjectItem(line, "limit_ms")->valueint;
    for (int taken = 0; taken < count; taken++) {
        enum reply came = NONE;
        if (is_follow) came = follow_next(&d->follow, &d->frame, limit - now_ms());
        else receive(d->socket, &d->frame, limit - now_ms());
        if (came == REFUSED && !taken) {
            print_reply(&d->frame);
            return;
        }
        if (!taken) printf(is_follow ? "{\"events\":[" : "{\"frames\":[");
        if (came == REFUSED || !is_map(&d->frame)) break;
        if (taken) putchar(',');
        print_object(&d->frame.map.data);
    }
    printf("]}");
}

/* What was had last on this topic. */
static uint64_t *last_of(driver *d, const char *name) {
    unsigned i = 0;
    while (i < d->topic_count && strcmp(d->topics[i].name, name)) i++;
    if (i == TOPICS_MAX) abort();
    if (i == d->topic_count) {
        strcpy(d->topics[d->topic_count++].name, name);
        d->topics[i].last = UINT64_MAX;
    }
    return &d->topics[i].last;
}

static void do_hear(driver *d, const cJSON *line) {
    int count = cJSON_GetObjectItem(line, "count")->valueint;
    int64_t limit = now_ms() + cJSON_GetObjectItem(line, "limit_ms")->valueint;
    char name[sizeof d->topics->name];
    zmq_msg_t payload;
    zmq_msg_init(&payload);
    printf("{\"events\":[");
    for (int taken = 0; taken < count && receive(d->subscriber, &d->frame, limit - now_ms()); taken++) {
        zmq_msg_t *topic = &d->frame.message;
        snprintf(name, sizeof name, "%.*s", (int)zmq_msg_size(topic), (char *)zmq_msg_data(topic));
        /* The frames of a message arrive together. */
        if (!receive(d->subscriber, &d->frame, 0) || zmq_msg_recv(&payload, d->subscriber, 0) < 0) abort();
        printf(taken ? ",[" : "[");
        print_text(name, strlen(name));
        putchar(',');
        print_object(&d->frame.map.data);
        putchar(',');
        print_bytes(zmq_msg_data(&payload), zmq_msg_size(&payload));
        printf(",%s]", is_after_gap(&d->frame, last_of(d, name)) ? "true" : "false");
    }
    printf("]}");
    zmq_msg_close(&payload);
}

static void perform(driver *d, const cJSON *line) {
    const char *action = cJSON_GetStringValue(cJSON_GetObjectItem(line, "do"));
    if (!strcmp(action, "request")) do_request(d, line);
    else if (!strcmp(action, "publish")) do_publish(d, line);
    else if (!strcmp(action, "send")) do_send(d, line);
    else if (!strcmp(action, "frame")) do_frame(d, line);
    else if (!strcmp(action, "receive")) do_take(d, line, false);
    else if (!strcmp(action, "follow")) do_follow(d, line);
    else if (!strcmp(action, "next")) do_take(d, line, true);
    else if (!strcmp(action, "subscribe")) do_subscribe(d, line);
    else if (!strcmp(action, "hear")) do_hear(d, line);
    else abort();
}

int main(int count, char **words) {
    if (count != 3) return 2;
    driver d = {.context = zmq_ctx_new(), .control = words[1], .events = words[2]};
    char *text = NULL;
    size_t room = 0;
    d.socket = opened(d.context, ZMQ_DEALER, d.control);
    while (getline(&text, &room, stdin) > 0) {
        cJSON *line = cJSON_Parse(text);
        if (!line) abort();
        perform(&d, line);
        putchar('\n');
        fflush(stdout);
        cJSON_Delete(line);
    }
    free(text);
    zmq_msg_close(&d.frame.message);
    msgpack_unpacked_destroy(&d.frame.map);
    follow_end(&d);
    zmq_close(d.socket);
    if (d.subscriber) zmq_close(d.subscriber);
    zmq_ctx_term(d.context);
    return 0;
}
