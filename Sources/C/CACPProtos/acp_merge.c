// Merges what occurs twice of a field that holds one message. Two encodings of a message, one after the other, are an encoding
// of both merged: so it is enough to bring all occurrences of a field together.
#include "acp_wire.h"
#include "varint.h"

#include <string.h>

// Bytes that belong to one message; the runs of a chain together are the message.
typedef struct run {
    const uint8_t *start;
    size_t count;
    struct run *next;
} run;

typedef struct {
    run *first;
    run *last;
} chain;

typedef struct {
    acp_arena *arena;
    size_t taken_max;
} merger;

static void *take(merger *merger, size_t bytes) {
    size_t taken = acp_arena_save(merger->arena).taken;
    if (taken > merger->taken_max || bytes > merger->taken_max - taken) return NULL;
    return acp_arena_take(merger->arena, bytes);
}

static uint8_t *merge_message(merger *merger, const ProtobufCMessageDescriptor *descriptor, const run *runs,
                              uint8_t *out);

// Writes the field with the message that `runs` make. Never longer than the fields that the runs came from.
static uint8_t *merge_field(merger *merger, const ProtobufCFieldDescriptor *field, const run *runs, uint8_t *out) {
    size_t total = 0;
    for (const run *at = runs; at != NULL; at = at->next) total += at->count;
    uint64_t tag = (uint64_t)field->id << 3 | 2;
    out = write_varint(out, tag, varint_width(tag));
    // What is inside may get shorter: its length is known only afterwards, and is padded then.
    unsigned width = varint_width(total);
    uint8_t *end = merge_message(merger, field->descriptor, runs, out + width);
    if (end != NULL) write_varint(out, (uint64_t)(end - (out + width)), width);
    return end;
}

// Of a oneof the last member counts: forgets the others.
static void forget_others(const ProtobufCMessageDescriptor *descriptor, const ProtobufCFieldDescriptor *field,
                          chain *chains) {
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *other = &descriptor->fields[i];
        if (other != field && (other->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
            other->quantifier_offset == field->quantifier_offset)
            chains[i] = (chain){NULL, NULL};
    }
}

static bool append(merger *merger, chain *chain, const uint8_t *start, size_t count) {
    run *made = take(merger, sizeof(run));
    if (made == NULL) return false;
    *made = (run){.start = start, .count = count, .next = NULL};
    if (chain->last == NULL) chain->first = made;
    else chain->last->next = made;
    chain->last = made;
    return true;
}

// The value of a field, behind its tag. The scan has checked that it is there.
static void step_over(const uint8_t **p, const uint8_t *end, unsigned wire_type, size_t *length) {
    uint64_t value = 0;
    if (wire_type == 0) read_varint(p, end, &value);
    if (wire_type == 2 && read_varint(p, end, &value)) *length = (size_t)value;
    if (wire_type == 1) *length = 8;
    if (wire_type == 5) *length = 4;
    *p += *length;
}

// Writes the merged message and returns where it ends; NULL when memory runs out.
static uint8_t *merge_message(merger *merger, const ProtobufCMessageDescriptor *descriptor, const run *runs,
                              uint8_t *out) {
    acp_arena_mark mark = acp_arena_save(merger->arena);
    size_t chains_bytes = descriptor->n_fields * sizeof(chain);
    chain *chains = take(merger, chains_bytes);
    if (chains == NULL) return NULL;
    memset(chains, 0, chains_bytes);
    for (; runs != NULL; runs = runs->next) {
        const uint8_t *p = runs->start, *end = p + runs->count;
        while (p < end) {
            const uint8_t *start = p;
            uint64_t tag = 0;
            size_t length = 0;
            read_varint(&p, end, &tag);
            step_over(&p, end, (unsigned)(tag & 7), &length);
            const ProtobufCFieldDescriptor *field =
                protobuf_c_message_descriptor_get_field(descriptor, (unsigned)(tag >> 3));
            if (field != NULL && (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
                forget_others(descriptor, field, chains);
            if (field == NULL || field->type != PROTOBUF_C_TYPE_MESSAGE || (tag & 7) != 2) {
                memcpy(out, start, (size_t)(p - start));
                out += p - start;
            } else if (field->label == PROTOBUF_C_LABEL_REPEATED) {
                run one = {.start = p - length, .count = length, .next = NULL};
                out = merge_field(merger, field, &one, out);
                if (out == NULL) return NULL;
            } else if (!append(merger, &chains[field - descriptor->fields], p - length, length)) {
                return NULL;
            }
        }
    }
    // At the end, so that a message that is the last member of its oneof is the last on the wire.
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        if (chains[i].first == NULL) continue;
        out = merge_field(merger, &descriptor->fields[i], chains[i].first, out);
        if (out == NULL) return NULL;
    }
    acp_arena_release(merger->arena, mark);
    return out;
}

const uint8_t *acp_merge(acp_arena *arena, const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
                         size_t count, size_t budget_bytes, size_t *merged_count) {
    size_t taken = acp_arena_save(arena).taken;
    merger merger = {
        .arena = arena,
        .taken_max = budget_bytes > SIZE_MAX - taken ? SIZE_MAX : taken + budget_bytes,
    };
    uint8_t *merged = take(&merger, count);
    if (merged == NULL) return NULL;
    run whole = {.start = bytes, .count = count, .next = NULL};
    uint8_t *end = merge_message(&merger, descriptor, &whole, merged);
    if (end == NULL) return NULL;
    *merged_count = (size_t)(end - merged);
    return merged;
}
