// What Swift needs around protobuf-c: an arena with a hard budget, and a codec of untrusted bytes that works in it.
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// MARK: Arena

typedef struct acp_block acp_block;

// A bump allocator of one thread. Memory is given back in the reverse order of taking it (mark, release).
typedef struct {
    uint8_t *free;  // what is handed out next; 8-byte aligned
    uint8_t *end;   // of the current block
    acp_block *current;
    uint8_t *start;      // of what `current` hands out
    size_t taken_before; // bytes handed out of earlier blocks
    acp_block *spare;    // one emptied block, so that a message larger than the first does not ask the system each time
} acp_arena;

typedef struct {
    acp_block *block;
    uint8_t *free;
    size_t taken;  // bytes handed out so far, for budgets
} acp_arena_mark;

// The arena of the calling thread; NULL only when memory is exhausted.
acp_arena *acp_arena_of_thread(void);
// Gives back all blocks begun after `mark`.
void acp_arena_drop_blocks(acp_arena *arena, acp_arena_mark mark);
void *acp_arena_take_of_next_block(acp_arena *arena, size_t bytes);

static inline acp_arena_mark acp_arena_save(const acp_arena *arena) {
    return (acp_arena_mark){
        .block = arena->current,
        .free = arena->free,
        .taken = arena->taken_before + (size_t)(arena->free - arena->start),
    };
}

static inline void acp_arena_release(acp_arena *arena, acp_arena_mark mark) {
    if (arena->current != mark.block) acp_arena_drop_blocks(arena, mark);
    arena->free = mark.free;
}

// 8-byte aligned and not zeroed; NULL when memory is exhausted.
static inline void *acp_arena_take(acp_arena *arena, size_t bytes) {
    // `end` is aligned, too: what fits does so with its padding.
    if (bytes > (size_t)(arena->end - arena->free)) return acp_arena_take_of_next_block(arena, bytes);
    void *taken = arena->free;
    arena->free += (bytes + 7) & ~(size_t)7;
    return taken;
}

// What the current block still has, with its padding.
static inline size_t acp_arena_room(const acp_arena *arena) { return (size_t)(arena->end - arena->free); }

// MARK: Text

// Text of messages has its length in the eight bytes before it, the top bit set when all of it is ASCII; a NUL follows it. Only the
// empty text has nothing before it: it may be protobuf-c's constant.
#define ACP_TEXT_ASCII ((uint64_t)1 << 63)

static inline uint64_t acp_text_head(const char *text) {
    uint64_t head;
    memcpy(&head, text - sizeof(head), sizeof(head));
    return head;
}

static inline size_t acp_text_count(const char *text) {
    return text == NULL || *text == 0 ? 0 : (size_t)(acp_text_head(text) & ~ACP_TEXT_ASCII);
}

static inline bool acp_text_is_ascii(const char *text) { return *text == 0 || (acp_text_head(text) & ACP_TEXT_ASCII) != 0; }

// A copy of UTF-8 for a message, cut at the first NUL, which a C string cannot hold. NULL when memory is exhausted.
char *acp_text_copy(acp_arena *arena, const uint8_t *bytes, size_t count);

// MARK: Messages

typedef enum {
    ACP_UNPACK_OK = 0,
    ACP_UNPACK_MALFORMED = 1,  // truncated, a bad tag, a group, a length beyond the end, a field of another wire type
    ACP_UNPACK_NOT_UTF8 = 2,   // a string field that is not UTF-8
    ACP_UNPACK_NUL = 3,        // a NUL inside a string, which would end it in C
    ACP_UNPACK_TOO_DEEP = 4,
    ACP_UNPACK_OVER_BUDGET = 5,
} acp_unpack_result;

// Reads a message of the wire format into protobuf-c's structs, in one pass and by proto3's rules: the last value of a field counts,
// fields that hold one message are merged, enums are open. Unknown fields are passed over unless `keeps_unknown`, which keeps them as
// protobuf-c does. Required fields of proto2 may be missing.
// At most `budget_bytes` are taken: a message may need 45 times its bytes, so that an input limit alone bounds nothing.
// `*message` is valid until the arena is released to a mark taken before, and not longer than `bytes`: fields of type bytes and
// unknown ones point there. `*bad_field` is the name of the field with the bad text, otherwise NULL.
acp_unpack_result acp_unpack(acp_arena *arena, const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
                             size_t count, size_t budget_bytes, bool keeps_unknown, ProtobufCMessage **message,
                             const char **bad_field);

// 0 when all of `count` bytes are ASCII and none is NUL; otherwise `acp_text_check` says what they are.
static inline uint64_t acp_text_scan(const uint8_t *bytes, size_t count) {
    const uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;
    if (count >= 16) {
        typedef int8_t sixteen __attribute__((vector_size(16)));
        typedef uint64_t two __attribute__((vector_size(16)));
        sixteen found = {0}, chunk;
        for (size_t at = 0; at < count - 16; at += 16) {
            memcpy(&chunk, bytes + at, 16);
            found |= chunk | (chunk == 0);
        }
        // The last sixteen bytes, some of them again.
        memcpy(&chunk, bytes + count - 16, 16);
        found |= chunk | (chunk == 0);
        two both = (two)found;
        return (both[0] | both[1]) & highs;
    }
    uint64_t low = ones, high = ones;
    if (count >= 8) {
        memcpy(&low, bytes, 8);
        memcpy(&high, bytes + count - 8, 8);
    } else if (count >= 4) {
        uint32_t first, last;
        memcpy(&first, bytes, 4);
        memcpy(&last, bytes + count - 4, 4);
        low = first | (uint64_t)last << 32;
    } else {
        for (size_t i = 0; i < count; i++) low = low << 8 | bytes[i];
    }
    // Where a byte is 0, subtracting one borrows from its top bit.
    return (low | high | (low - ones) | (high - ones)) & highs;
}

// ACP_UNPACK_OK for UTF-8 without a NUL.
acp_unpack_result acp_text_check(const uint8_t *bytes, size_t count);

// A packed message: what was written, and what is large and stays where it is until `acp_packed_copy`.
#define ACP_PACKED_PARTS_MAX 8
typedef struct {
    const uint8_t *bytes;
    size_t count;
    size_t at;  // bytes of `written` that come after it
} acp_packed_part;
typedef struct {
    size_t count;  // of the whole
    const uint8_t *written;
    size_t written_count;
    size_t parts_count;
    acp_packed_part parts[ACP_PACKED_PARTS_MAX];  // the last first
} acp_packed;

// Packs a message as proto3 does: defaults are left out, and so are unknown fields. Its texts must be as said above. The result is in
// the arena. False when memory is exhausted.
bool acp_pack(acp_arena *arena, const ProtobufCMessage *message, acp_packed *packed);
// Writes `packed->count` bytes to `target`.
void acp_packed_copy(const acp_packed *packed, uint8_t *target);

// CRC-32C of `count` bytes.
uint32_t acp_crc32c(const void *bytes, size_t count);
// The same without the processor's instruction; for machines that lack it, and for the test that compares the two.
uint32_t acp_crc32c_by_table(const void *bytes, size_t count);
