#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.pb-c.h"
#include "floor.h"

static char passage[BENCH_TEXT_BYTES + 1];

static void write_reply(struct floor_buffer *out, uint32_t stream, const ProtobufCMessage *reply) {
    size_t bytes = protobuf_c_message_get_packed_size(reply);
    protobuf_c_message_pack(reply, floor_header(out, FLOOR_STATUS, stream, 0, bytes));
}

static void answer_search(struct floor_buffer *out, uint32_t stream) {
    Acp__Bench__V1__SearchResponse reply = ACP__BENCH__V1__SEARCH_RESPONSE__INIT;
    Acp__Bench__V1__Hit hits[BENCH_HITS], *hit_list[BENCH_HITS];
    Acp__Bench__V1__Highlight highlights[BENCH_HITS][3], *highlight_lists[BENCH_HITS][3];
    Acp__Bench__V1__Hit__MetadataEntry pairs[2], *pair_list[2];
    uint8_t hashes[BENCH_HITS][32];
    for (int i = 0; i < 2; i++) {
        acp__bench__v1__hit__metadata_entry__init(&pairs[i]);
        pairs[i].key = (char *)bench_metadata[i][0];
        pairs[i].value = (char *)bench_metadata[i][1];
        pair_list[i] = &pairs[i];
    }
    for (int i = 0; i < BENCH_HITS; i++) {
        Acp__Bench__V1__Hit *hit = hit_list[i] = &hits[i];
        acp__bench__v1__hit__init(hit);
        hit->document_id = (char *)bench_document_ids[i];
        hit->revision_id = (char *)bench_revision_ids[i];
        hit->chunk_id = (char *)bench_chunk_ids[i];
        hit->start = 1000u * (unsigned)i + 17;
        hit->end = hit->start + BENCH_TEXT_BYTES;
        memset(hashes[i], i + 1, sizeof hashes[i]);
        hit->hash = (ProtobufCBinaryData){.len = sizeof hashes[i], .data = hashes[i]};
        hit->score = 12.5 - i;
        hit->title = (char *)bench_title;
        hit->n_heading_path = 2;
        hit->heading_path = (char **)bench_headings;
        hit->page = (uint32_t)i + 3;
        hit->text = passage;
        for (int h = 0; h < 3; h++) {
            acp__bench__v1__highlight__init(&highlights[i][h]);
            highlights[i][h].start = bench_highlights[h][0];
            highlights[i][h].end = bench_highlights[h][1];
            highlight_lists[i][h] = &highlights[i][h];
        }
        hit->n_highlights = 3;
        hit->highlights = highlight_lists[i];
        hit->collection = (char *)bench_collection;
        hit->origin = (char *)bench_origin;
        hit->n_metadata = 2;
        hit->metadata = pair_list;
    }
    reply.n_hits = BENCH_HITS;
    reply.hits = hit_list;
    reply.sequence = 48213;
    reply.candidates = 137;
    reply.coverage = 0.82;
    reply.index_us = 412;
    write_reply(out, stream, &reply.base);
}

static bool is_path(const struct floor_frame *frame, const char *path) {
    return frame->meta_bytes == strlen(path) && memcmp(frame->meta, path, frame->meta_bytes) == 0;
}

static void answer(const struct floor_frame *frame, struct floor_buffer *out) {
    floor_reset_arena();
    Acp__Bench__V1__SearchRequest *request =
        acp__bench__v1__search_request__unpack(&floor_arena, frame->payload_bytes, frame->payload);
    if (request == NULL) { fprintf(stderr, "a request is malformed\n"); exit(1); }
    if (is_path(frame, floor_echo_path)) {
        write_reply(out, frame->stream, &request->base);
    } else if (is_path(frame, floor_search_path)) {
        answer_search(out, frame->stream);
    } else {
        fprintf(stderr, "an unknown method was called\n");
        exit(1);
    }
}

static void watch(int epoll, int descriptor) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) != 0) { perror("epoll_ctl"); exit(1); }
}

int floor_serve(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1, connection = -1, epoll = epoll_create1(0);
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 16) != 0
        || getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
        perror("listen");
        return 1;
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    bench_fill_text(passage);
    watch(epoll, listener);
    watch(epoll, STDIN_FILENO);
    struct floor_buffer in, out;
    floor_make_buffer(&in);
    floor_make_buffer(&out);
    for (;;) {
        struct epoll_event event;
        if (epoll_wait(epoll, &event, 1, -1) < 1) continue;
        if (event.data.fd == STDIN_FILENO) return 0;
        if (event.data.fd == listener) {
            connection = accept(listener, NULL, NULL);
            setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            in.start = in.end = out.start = out.end = 0;
            watch(epoll, connection);
            continue;
        }
        bool ended = false;
        if (floor_read(connection, &in, &ended)) {
            struct floor_frame frame;
            while (floor_next(&in, &frame)) answer(&frame, &out);
            floor_flush(connection, &out);
        } else if (ended) {
            close(connection);
        }
    }
}
