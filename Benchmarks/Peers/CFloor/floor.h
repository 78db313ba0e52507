// The least that one call can cost here: epoll, ACP/1's frame header, protobuf-c with an arena. No flow control, no timers, no
// metadata, no cancellation: what is left when a protocol is taken away.
#ifndef FLOOR_H
#define FLOOR_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "bench.h"

enum {
    FLOOR_HEADER_BYTES = 12,
    FLOOR_REQUEST = 1,
    FLOOR_STATUS = 4,
    // END_MESSAGE and END_STREAM.
    FLOOR_WHOLE = 3,
    FLOOR_FRAME_BYTES_MAX = 1 << 16,
    FLOOR_BUFFER_BYTES = 1 << 20,
    FLOOR_ARENA_BYTES = 1 << 20,
};

struct floor_frame {
    uint8_t type, flags;
    uint32_t stream;
    const uint8_t *meta;
    size_t meta_bytes;
    const uint8_t *payload;
    size_t payload_bytes;
};

struct floor_buffer {
    uint8_t *bytes;
    // What is waiting lies in [start, end).
    size_t start, end;
};

extern const char floor_echo_path[], floor_search_path[];

void floor_make_buffer(struct floor_buffer *buffer);
// Reads what the socket has; false when it has ended or needs waiting.
bool floor_read(int socket, struct floor_buffer *in, bool *ended);
// Takes the next whole frame from `in`.
bool floor_next(struct floor_buffer *in, struct floor_frame *frame);
// Writes the header of a frame whose meta and payload of these sizes follow; returns where they go.
uint8_t *floor_header(struct floor_buffer *out, uint8_t type, uint32_t stream, size_t meta_bytes, size_t payload_bytes);
// Writes all of `out`, waiting for the socket when it is full.
void floor_flush(int socket, struct floor_buffer *out);
// protobuf-c's allocator over an arena that `floor_reset_arena` empties.
extern ProtobufCAllocator floor_arena;
void floor_reset_arena(void);

int floor_serve(void);
int floor_client(const struct bench_arguments *arguments);

#endif
