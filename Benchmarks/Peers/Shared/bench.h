// What the C and C++ peers share: the clocks, the search reply's contents, the reported line. The Swift peers say the same in Swift.
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { BENCH_HITS = 5, BENCH_TEXT_BYTES = 444, BENCH_ECHO_TEXT_BYTES = 62, BENCH_CHUNK_BYTES = 65532, BENCH_DEADLINE_SECONDS = 10 };

static const char *const bench_document_ids[BENCH_HITS] = {
    "0190f3c2-7a1b-7c3d-8e4f-000000000001", "0190f3c2-7a1b-7c3d-8e4f-000000000002", "0190f3c2-7a1b-7c3d-8e4f-000000000003",
    "0190f3c2-7a1b-7c3d-8e4f-000000000004", "0190f3c2-7a1b-7c3d-8e4f-000000000005"};
static const char *const bench_revision_ids[BENCH_HITS] = {
    "0190f3c2-7a1c-7c3d-8e4f-000000000001", "0190f3c2-7a1c-7c3d-8e4f-000000000002", "0190f3c2-7a1c-7c3d-8e4f-000000000003",
    "0190f3c2-7a1c-7c3d-8e4f-000000000004", "0190f3c2-7a1c-7c3d-8e4f-000000000005"};
static const char *const bench_chunk_ids[BENCH_HITS] = {
    "0190f3c2-7a1d-7c3d-8e4f-000000000001", "0190f3c2-7a1d-7c3d-8e4f-000000000002", "0190f3c2-7a1d-7c3d-8e4f-000000000003",
    "0190f3c2-7a1d-7c3d-8e4f-000000000004", "0190f3c2-7a1d-7c3d-8e4f-000000000005"};
static const char *const bench_title = "Carrier label service: interface specification";
static const char *const bench_headings[2] = {"Interfaces", "Label printing and retries"};
static const char *const bench_sentence = "The carrier answers within two seconds or the label is printed from the cached template. ";
static const char *const bench_collection = "projects";
static const char *const bench_origin = "upload:specifications/label-service.pdf";
static const char *const bench_metadata[2][2] = {{"author", "M. Keller"}, {"status", "approved"}};
static const uint32_t bench_highlights[3][2] = {{12, 19}, {64, 71}, {200, 210}};

// Writes the passage of every hit: BENCH_TEXT_BYTES of the sentence over and over, and a final NUL.
static inline void bench_fill_text(char text[BENCH_TEXT_BYTES + 1]) {
    size_t length = strlen(bench_sentence);
    for (size_t at = 0; at < BENCH_TEXT_BYTES; at++) text[at] = bench_sentence[at % length];
    text[BENCH_TEXT_BYTES] = 0;
}

static inline uint64_t bench_nanoseconds(clockid_t clock) {
    struct timespec now;
    if (clock_gettime(clock, &now) != 0) { perror("clock_gettime"); exit(1); }
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t bench_now(void) { return bench_nanoseconds(CLOCK_MONOTONIC); }

// CPU time of this process and of the server's, all threads.
static inline uint64_t bench_cpu(pid_t server) {
    clockid_t clock;
    if (clock_getcpuclockid(server, &clock) != 0) { fprintf(stderr, "process %d is gone\n", (int)server); exit(1); }
    return bench_nanoseconds(CLOCK_PROCESS_CPUTIME_ID) + bench_nanoseconds(clock);
}

// How a client is started: client PORT SERVER_PID echo|search|latency|stream IN_FLIGHT SECONDS
struct bench_arguments {
    int port;
    pid_t server;
    const char *scenario;
    int in_flight;
    double seconds;
};

static inline struct bench_arguments bench_parse(int count, char **values) {
    struct bench_arguments a;
    if (count != 7) {
        fprintf(stderr, "usage: %s client PORT SERVER_PID echo|search|latency|stream IN_FLIGHT SECONDS\n", values[0]);
        exit(64);
    }
    a.port = atoi(values[2]);
    a.server = (pid_t)atoi(values[3]);
    a.scenario = values[4];
    a.in_flight = atoi(values[5]);
    a.seconds = atof(values[6]);
    return a;
}

// One line of JSON that Benchmarks/rpc.py reads. `checksum` must be the same for every peer.
static inline void bench_report(uint64_t calls, uint64_t nanoseconds, uint64_t cpu, uint64_t bytes, uint64_t checksum) {
    printf("{\"calls\": %llu, \"seconds\": %.6f, \"cpu_seconds\": %.6f, \"bytes\": %llu, \"checksum\": %llu}\n",
           (unsigned long long)calls, (double)nanoseconds / 1e9, (double)cpu / 1e9, (unsigned long long)bytes,
           (unsigned long long)checksum);
    fflush(stdout);
}

static inline int bench_compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

// Latencies in nanoseconds; sorts them.
static inline void bench_report_latency(uint32_t *values, size_t count) {
    if (count == 0) { fprintf(stderr, "no call finished\n"); exit(1); }
    qsort(values, count, sizeof *values, bench_compare);
    printf("{\"calls\": %zu, \"p50_us\": %.3f, \"p99_us\": %.3f}\n", count, values[count / 2] / 1e3,
           values[(size_t)((double)(count - 1) * 0.99)] / 1e3);
    fflush(stdout);
}

#endif
