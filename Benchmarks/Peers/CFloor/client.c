#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.pb-c.h"
#include "floor.h"

struct client {
    int socket, epoll;
    struct floor_buffer in, out;
    const char *path;
    uint32_t next_stream;
    uint64_t checksum;
    char text[BENCH_ECHO_TEXT_BYTES + 1];
};

static void send_request(struct client *client) {
    Acp__Bench__V1__SearchRequest request = ACP__BENCH__V1__SEARCH_REQUEST__INIT;
    request.query = client->text;
    size_t path = strlen(client->path), bytes = acp__bench__v1__search_request__get_packed_size(&request);
    uint8_t *at = floor_header(&client->out, FLOOR_REQUEST, client->next_stream, path, bytes);
    client->next_stream += 2;
    memcpy(at, client->path, path);
    acp__bench__v1__search_request__pack(&request, at + path);
}

static void read_reply(struct client *client, const struct floor_frame *frame) {
    floor_reset_arena();
    uint64_t sum = 0;
    if (client->path == floor_echo_path) {
        Acp__Bench__V1__SearchRequest *reply =
            acp__bench__v1__search_request__unpack(&floor_arena, frame->payload_bytes, frame->payload);
        if (reply != NULL) sum = strlen(reply->query);
    } else {
        Acp__Bench__V1__SearchResponse *reply =
            acp__bench__v1__search_response__unpack(&floor_arena, frame->payload_bytes, frame->payload);
        for (size_t i = 0; reply != NULL && i < reply->n_hits; i++) sum += strlen(reply->hits[i]->text) + reply->hits[i]->start;
    }
    client->checksum = sum;
}

// Waits for replies and handles all that came; returns how many.
static uint64_t read_replies(struct client *client, bool again, uint64_t end) {
    struct epoll_event event;
    if (epoll_wait(client->epoll, &event, 1, 1000) < 1) return 0;
    bool ended = false;
    if (!floor_read(client->socket, &client->in, &ended)) {
        if (ended) { fprintf(stderr, "the server closed the connection\n"); exit(1); }
        return 0;
    }
    struct floor_frame frame;
    uint64_t replies = 0;
    while (floor_next(&client->in, &frame)) {
        read_reply(client, &frame);
        replies++;
        if (again && bench_now() < end) send_request(client);
    }
    floor_flush(client->socket, &client->out);
    return replies;
}

// Keeps `in_flight` calls running for `seconds`; returns how many finished.
static uint64_t run(struct client *client, int in_flight, double seconds) {
    uint64_t end = bench_now() + (uint64_t)(seconds * 1e9), done = 0;
    uint32_t first = client->next_stream;
    for (int i = 0; i < in_flight; i++) send_request(client);
    floor_flush(client->socket, &client->out);
    while (done < (client->next_stream - first) / 2) done += read_replies(client, true, end);
    return done;
}

static void latency(struct client *client, double seconds) {
    size_t count = 0, room = 1 << 20;
    uint32_t *values = malloc(room * sizeof *values);
    uint64_t end = bench_now() + (uint64_t)(seconds * 1e9), start;
    while ((start = bench_now()) < end && count < room) {
        send_request(client);
        floor_flush(client->socket, &client->out);
        while (read_replies(client, false, 0) == 0) {
        }
        values[count++] = (uint32_t)(bench_now() - start);
    }
    bench_report_latency(values, count);
    free(values);
}

int floor_client(const struct bench_arguments *a) {
    struct client client = {.next_stream = 1, .path = floor_echo_path};
    bool is_latency = strcmp(a->scenario, "latency") == 0;
    if (strcmp(a->scenario, "search") == 0) {
        client.path = floor_search_path;
    } else if (strcmp(a->scenario, "echo") != 0 && !is_latency) {
        fprintf(stderr, "there is no scenario %s\n", a->scenario);
        return 64;
    }
    memset(client.text, 'q', BENCH_ECHO_TEXT_BYTES);
    floor_make_buffer(&client.in);
    floor_make_buffer(&client.out);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)a->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    client.socket = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(client.socket, (struct sockaddr *)&address, sizeof address) != 0) { perror("connect"); return 1; }
    setsockopt(client.socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    client.epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(client.epoll, EPOLL_CTL_ADD, client.socket, &event);

    run(&client, a->in_flight, a->seconds / 5);
    if (is_latency) {
        latency(&client, a->seconds);
        return 0;
    }
    uint64_t cpu = bench_cpu(a->server), start = bench_now();
    uint64_t calls = run(&client, a->in_flight, a->seconds);
    bench_report(calls, bench_now() - start, bench_cpu(a->server) - cpu, 0, client.checksum);
    return 0;
}
