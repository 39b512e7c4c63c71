/* What a person types: ./client publish COMMUNITY TEXT..., or ./client follow COMMUNITY. */

#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    fields f;
    fields_init(&f);
    put_text(&f, "community", community);
    put_text(&f, "kind", "text");
    put_list(&f, "payloads", (size_t)count);
    for (int i = 0; i < count; i++) msgpack_pack_bin_with_body(&f.packer, texts[i], strlen(texts[i]));
    put_request_id(&f);
    bool is_published = publish(c, "publish-many", &f, reply);
    fields_clear(&f);
    return is_published ? 0 : complain(reply);
}

static int print_all(void *context, const char *control, const char *community, frame *event) {
    follow f;
    fields filters;
    fields_init(&filters);
    put_list(&filters, "communities", 1);
    msgpack_pack_str_with_body(&filters.packer, community, strlen(community));
    follow_open(&f, context, control, filters, "begin", 0, 100);
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
    connection c;
    connection_open(&c, context, control);
    frame received;
    frame_init(&received);
    int status = is_publish ? publish_texts(&c, words[2], count - 3, words + 3, &received)
                            : print_all(context, control, words[2], &received);
    frame_clear(&received);
    connection_close(&c);
    zmq_ctx_term(context);
    return status;
}
