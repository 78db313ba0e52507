#include "floor.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

const char floor_echo_path[] = "/acp.bench.v1.Bench/Echo", floor_search_path[] = "/acp.bench.v1.Bench/Search";

static uint8_t arena[FLOOR_ARENA_BYTES];
static size_t arena_used;

static void *arena_alloc(void *data, size_t bytes) {
    (void)data;
    size_t at = (arena_used + 15) & ~(size_t)15;
    if (bytes > sizeof arena - at) return NULL;
    arena_used = at + bytes;
    return arena + at;
}

static void arena_free(void *data, void *pointer) {
    (void)data;
    (void)pointer;
}

ProtobufCAllocator floor_arena = {.alloc = arena_alloc, .free = arena_free, .allocator_data = NULL};

void floor_reset_arena(void) { arena_used = 0; }

void floor_make_buffer(struct floor_buffer *buffer) {
    buffer->bytes = malloc(FLOOR_BUFFER_BYTES);
    if (buffer->bytes == NULL) { perror("malloc"); exit(1); }
    buffer->start = buffer->end = 0;
}

bool floor_read(int socket, struct floor_buffer *in, bool *ended) {
    if (in->start > 0) {
        memmove(in->bytes, in->bytes + in->start, in->end - in->start);
        in->end -= in->start;
        in->start = 0;
    }
    ssize_t count = recv(socket, in->bytes + in->end, FLOOR_BUFFER_BYTES - in->end, MSG_DONTWAIT);
    if (count > 0) {
        in->end += (size_t)count;
        return true;
    }
    *ended = count == 0 || (errno != EAGAIN && errno != EINTR);
    return false;
}

static uint32_t big_endian32(const uint8_t *b) { return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]; }

bool floor_next(struct floor_buffer *in, struct floor_frame *frame) {
    const uint8_t *at = in->bytes + in->start;
    size_t waiting = in->end - in->start;
    if (waiting < FLOOR_HEADER_BYTES) return false;
    size_t length = big_endian32(at), meta = (size_t)at[6] << 8 | at[7];
    if (length > FLOOR_FRAME_BYTES_MAX || meta > length) { fprintf(stderr, "a frame of %zu bytes\n", length); exit(1); }
    if (waiting < FLOOR_HEADER_BYTES + length) return false;
    frame->type = at[4];
    frame->flags = at[5];
    frame->stream = big_endian32(at + 8);
    frame->meta = at + FLOOR_HEADER_BYTES;
    frame->meta_bytes = meta;
    frame->payload = frame->meta + meta;
    frame->payload_bytes = length - meta;
    in->start += FLOOR_HEADER_BYTES + length;
    return true;
}

uint8_t *floor_header(struct floor_buffer *out, uint8_t type, uint32_t stream, size_t meta_bytes, size_t payload_bytes) {
    size_t length = meta_bytes + payload_bytes;
    uint8_t *at = out->bytes + out->end;
    if (FLOOR_HEADER_BYTES + length > FLOOR_BUFFER_BYTES - out->end) { fprintf(stderr, "the buffer is full\n"); exit(1); }
    uint8_t header[FLOOR_HEADER_BYTES] = {
        (uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length, type, FLOOR_WHOLE,
        (uint8_t)(meta_bytes >> 8), (uint8_t)meta_bytes, (uint8_t)(stream >> 24), (uint8_t)(stream >> 16),
        (uint8_t)(stream >> 8), (uint8_t)stream};
    memcpy(at, header, sizeof header);
    out->end += FLOOR_HEADER_BYTES + length;
    return at + FLOOR_HEADER_BYTES;
}

void floor_flush(int socket, struct floor_buffer *out) {
    while (out->start < out->end) {
        ssize_t count = send(socket, out->bytes + out->start, out->end - out->start, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count > 0) {
            out->start += (size_t)count;
        } else if (errno == EAGAIN) {
            struct pollfd poll_socket = {.fd = socket, .events = POLLOUT};
            poll(&poll_socket, 1, 1000);
        } else if (errno != EINTR) {
            // The reader finds out the same and says so.
            break;
        }
    }
    out->start = out->end = 0;
}

int main(int count, char **values) {
    if (count == 2 && strcmp(values[1], "server") == 0) return floor_serve();
    struct bench_arguments arguments = bench_parse(count, values);
    return floor_client(&arguments);
}
