#include "acp_wire.h"
#include "varint.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BLOCK_BYTES (64 * 1024)
#define NEXT_BLOCK_BYTES (256 * 1024)
#define SCAN_DEPTH_MAX 32
// Fields of a message whose repetition is noticed exactly; beyond, it is assumed.
#define SEEN_FIELDS 256

typedef struct block {
    struct block *previous;
    size_t capacity;
    _Alignas(16) char data[];
} block;

struct acp_arena {
    block *current;
    size_t used;
    size_t taken;  // bytes handed out since the outermost mark, for the budget
};

static pthread_key_t arena_key;
static pthread_once_t arena_key_once = PTHREAD_ONCE_INIT;
static _Thread_local acp_arena *thread_arena;

static void destroy_arena(void *pointer) {
    acp_arena *arena = pointer;
    block *current = arena->current;
    while (current != NULL) {
        block *previous = current->previous;
        free(current);
        current = previous;
    }
    free(arena);
}

static void make_arena_key(void) { pthread_key_create(&arena_key, destroy_arena); }

static block *make_block(block *previous, size_t capacity) {
    block *made = malloc(sizeof(block) + capacity);
    if (made == NULL) return NULL;
    made->previous = previous;
    made->capacity = capacity;
    return made;
}

acp_arena *acp_arena_of_thread(void) {
    if (thread_arena != NULL) return thread_arena;
    pthread_once(&arena_key_once, make_arena_key);
    acp_arena *arena = calloc(1, sizeof(acp_arena));
    if (arena == NULL) return NULL;
    arena->current = make_block(NULL, FIRST_BLOCK_BYTES);
    if (arena->current == NULL) {
        free(arena);
        return NULL;
    }
    pthread_setspecific(arena_key, arena);
    thread_arena = arena;
    return arena;
}

acp_arena_mark acp_arena_save(acp_arena *arena) {
    return (acp_arena_mark){.block = arena->current, .used = arena->used, .taken = arena->taken};
}

void acp_arena_release(acp_arena *arena, acp_arena_mark mark) {
    while (arena->current != mark.block) {
        block *previous = arena->current->previous;
        free(arena->current);
        arena->current = previous;
    }
    arena->used = mark.used;
    arena->taken = mark.taken;
}

void *acp_arena_take(acp_arena *arena, size_t bytes) {
    if (bytes > SIZE_MAX / 2) return NULL;
    size_t rounded = (bytes + 15) & ~(size_t)15;
    if (rounded == 0) rounded = 16;
    if (rounded > arena->current->capacity - arena->used) {
        block *made = make_block(arena->current, rounded > NEXT_BLOCK_BYTES ? rounded : NEXT_BLOCK_BYTES);
        if (made == NULL) return NULL;
        arena->current = made;
        arena->used = 0;
    }
    void *taken = arena->current->data + arena->used;
    arena->used += rounded;
    arena->taken += rounded;
    return taken;
}

typedef struct {
    acp_arena *arena;
    size_t limit;
    bool refused;
} budget;

static void *budget_alloc(void *data, size_t bytes) {
    budget *limits = data;
    if (bytes > limits->limit || limits->arena->taken > limits->limit - bytes) {
        limits->refused = true;
        return NULL;
    }
    return acp_arena_take(limits->arena, bytes);
}

static void budget_free(void *data, void *pointer) {
    // Everything goes back at once when the arena is released.
    (void)data;
    (void)pointer;
}

ProtobufCMessage *acp_unpack(acp_arena *arena, const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
                             size_t count, size_t budget_bytes, bool *over_budget) {
    size_t limit = budget_bytes > SIZE_MAX - arena->taken ? SIZE_MAX : arena->taken + budget_bytes;
    budget limits = {.arena = arena, .limit = limit, .refused = false};
    ProtobufCAllocator allocator = {.alloc = budget_alloc, .free = budget_free, .allocator_data = &limits};
    ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, &allocator, count, bytes);
    *over_budget = message == NULL && limits.refused;
    return message;
}

static acp_scan_result scan_string(const uint8_t *p, size_t n) {
    const uint8_t *end = p + n;
    while (p < end) {
        // Eight bytes at a time while they are ASCII and none is NUL.
        while (end - p >= 8) {
            uint64_t word;
            memcpy(&word, p, 8);
            uint64_t zero = (word - 0x0101010101010101ull) & ~word & 0x8080808080808080ull;
            if ((word & 0x8080808080808080ull) != 0 || zero != 0) break;
            p += 8;
        }
        if (p >= end) break;
        uint8_t lead = *p;
        if (lead == 0) return ACP_SCAN_NUL;
        if (lead < 0x80) {
            p += 1;
            continue;
        }
        // Table 3-7 of the Unicode standard: well-formed UTF-8 byte sequences.
        size_t length;
        uint8_t low = 0x80, high = 0xBF;
        if (lead >= 0xC2 && lead <= 0xDF) length = 2;
        else if (lead >= 0xE0 && lead <= 0xEF) {
            length = 3;
            if (lead == 0xE0) low = 0xA0;
            if (lead == 0xED) high = 0x9F;
        } else if (lead >= 0xF0 && lead <= 0xF4) {
            length = 4;
            if (lead == 0xF0) low = 0x90;
            if (lead == 0xF4) high = 0x8F;
        } else return ACP_SCAN_NOT_UTF8;
        if ((size_t)(end - p) < length || p[1] < low || p[1] > high) return ACP_SCAN_NOT_UTF8;
        for (size_t i = 2; i < length; i++)
            if ((p[i] & 0xC0) != 0x80) return ACP_SCAN_NOT_UTF8;
        p += length;
    }
    return ACP_SCAN_OK;
}

typedef struct {
    const char *bad_field;
    bool repeats_message;
} findings;

static acp_scan_result scan_message(const ProtobufCMessageDescriptor *descriptor, const uint8_t *p, size_t n, int depth,
                                    findings *found) {
    if (depth > SCAN_DEPTH_MAX) return ACP_SCAN_TOO_DEEP;
    const uint8_t *end = p + n;
    uint64_t seen[SEEN_FIELDS / 64] = {0};
    while (p < end) {
        uint64_t tag;
        if (!read_varint(&p, end, &tag) || tag >> 3 == 0 || tag >> 32 != 0) return ACP_SCAN_MALFORMED;
        uint64_t length = 0;
        switch (tag & 7) {
        case 0:
            if (!read_varint(&p, end, &length)) return ACP_SCAN_MALFORMED;
            continue;
        case 1:
            length = 8;
            break;
        case 5:
            length = 4;
            break;
        case 2:
            if (!read_varint(&p, end, &length)) return ACP_SCAN_MALFORMED;
            break;
        default:
            return ACP_SCAN_MALFORMED;
        }
        if (length > (uint64_t)(end - p)) return ACP_SCAN_MALFORMED;
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(descriptor, (unsigned)(tag >> 3));
        if (field != NULL) {
            acp_scan_result result = ACP_SCAN_OK;
            switch (field->type) {
            case PROTOBUF_C_TYPE_STRING:
                if ((tag & 7) == 2) result = scan_string(p, length);
                if (result != ACP_SCAN_OK) found->bad_field = field->name;
                break;
            case PROTOBUF_C_TYPE_MESSAGE:
                if ((tag & 7) != 2) return ACP_SCAN_MALFORMED;
                if (field->label != PROTOBUF_C_LABEL_REPEATED) {
                    size_t index = (size_t)(field - descriptor->fields);
                    uint64_t bit = (uint64_t)1 << (index & 63);
                    if (index >= SEEN_FIELDS || (seen[index / 64] & bit) != 0) found->repeats_message = true;
                    else seen[index / 64] |= bit;
                }
                result = scan_message(field->descriptor, p, length, depth + 1, found);
                break;
            case PROTOBUF_C_TYPE_BOOL:
                // protobuf-c checks the wire type of every kind of field but this one.
                if ((tag & 7) != 2 || field->label != PROTOBUF_C_LABEL_REPEATED) return ACP_SCAN_MALFORMED;
                break;
            default: break;
            }
            if (result != ACP_SCAN_OK) return result;
        }
        p += length;
    }
    return ACP_SCAN_OK;
}

acp_scan_result acp_scan(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t count,
                         const char **bad_field) {
    findings found = {.bad_field = NULL, .repeats_message = false};
    acp_scan_result result = scan_message(descriptor, bytes, count, 0, &found);
    *bad_field = found.bad_field;
    return result == ACP_SCAN_OK && found.repeats_message ? ACP_SCAN_REPEATS : result;
}
