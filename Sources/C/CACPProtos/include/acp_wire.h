// What Swift needs around protobuf-c: an arena with a hard budget, and a scan of untrusted bytes before they are unpacked.
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A bump allocator of one thread. Memory is given back in the reverse order of taking it (mark, release).
typedef struct acp_arena acp_arena;

typedef struct {
    void *block;
    size_t used;
    size_t taken;
} acp_arena_mark;

// The arena of the calling thread; NULL only when memory is exhausted.
acp_arena *acp_arena_of_thread(void);
acp_arena_mark acp_arena_save(acp_arena *arena);
void acp_arena_release(acp_arena *arena, acp_arena_mark mark);
// 16-byte aligned and not zeroed; NULL when memory is exhausted.
void *acp_arena_take(acp_arena *arena, size_t bytes);

// Unpacks `bytes` into the thread's arena. At most `budget_bytes` are taken: protobuf-c takes up to 45 bytes per input byte, so an
// input limit alone bounds nothing. NULL when the bytes are malformed or the budget is exceeded (`*over_budget` tells which).
// The message is valid until the arena is released to a mark taken before.
ProtobufCMessage *acp_unpack(acp_arena *arena, const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
                             size_t count, size_t budget_bytes, bool *over_budget);

// The same message with every field that holds one message at most once, as protobuf demands of a parser: what occurs later is merged
// into what came before, unless another member of the same oneof stands between them. protobuf-c 1.4.1 loses scalars there, and
// refuses the message when the field's type has a oneof. `bytes` must have passed `acp_scan`. The result is in the arena and not
// longer than `count`; NULL when that takes more than `budget_bytes`.
const uint8_t *acp_merge(acp_arena *arena, const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
                         size_t count, size_t budget_bytes, size_t *merged_count);

typedef enum {
    ACP_SCAN_OK = 0,
    ACP_SCAN_MALFORMED = 1,  // truncated, a bad tag, a group, a length beyond the end
    ACP_SCAN_NOT_UTF8 = 2,   // a string field that is not UTF-8
    ACP_SCAN_NUL = 3,        // a NUL inside a string: protobuf-c would cut it there without a word
    ACP_SCAN_TOO_DEEP = 4,
    ACP_SCAN_REPEATS = 5,    // sound, but somewhere a field that holds one message occurs twice: `acp_merge` comes before `acp_unpack`
} acp_scan_result;

// Walks the wire bytes by descriptor without allocating. `*bad_field` is the name of the field at fault, or NULL.
acp_scan_result acp_scan(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t count,
                         const char **bad_field);

// CRC-32C of `count` bytes.
uint32_t acp_crc32c(const void *bytes, size_t count);
// The same without the processor's instruction; for machines that lack it, and for the test that compares the two.
uint32_t acp_crc32c_by_table(const void *bytes, size_t count);
