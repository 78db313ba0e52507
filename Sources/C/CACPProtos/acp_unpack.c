// From the wire format into protobuf-c's structs. protobuf-c's own parser looks at every byte twice, takes memory field by field,
// and neither checks text nor merges what occurs twice: this does all of it in one pass.
#include "acp_wire.h"
#include "text.h"

#define DEPTH_MAX 32
#define FIRST_ROOM 4

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "fixed-width fields are copied as they are");

typedef ProtobufCMessageDescriptor message_type;
typedef ProtobufCFieldDescriptor field_type;

typedef struct {
    uint8_t *free;
    uint8_t *limit;  // of the block or the budget, whichever comes first
    acp_arena *arena;
    uint8_t *begin;      // where `free` was when `budget` was set
    size_t budget;       // bytes that may be taken from `begin` on
    bool keeps_unknown;
    const char *bad_field;
    acp_unpack_result result;
} unpacker;

// MARK: Memory

static void set_limit(unpacker *unpacker, size_t budget) {
    acp_arena *arena = unpacker->arena;
    unpacker->begin = unpacker->free = arena->free;
    unpacker->budget = budget & ~(size_t)7;
    size_t room = (size_t)(arena->end - arena->free);
    unpacker->limit = arena->free + (unpacker->budget < room ? unpacker->budget : room);
}

// `bytes` is a multiple of 8.
__attribute__((noinline)) static void *take_of_next_block(unpacker *unpacker, size_t bytes) {
    size_t left = unpacker->budget - (size_t)(unpacker->free - unpacker->begin);
    unpacker->arena->free = unpacker->free;
    void *taken = bytes > left ? NULL : acp_arena_take(unpacker->arena, bytes);
    if (taken == NULL) {
        unpacker->result = ACP_UNPACK_OVER_BUDGET;
        return NULL;
    }
    set_limit(unpacker, left - bytes);
    return taken;
}

static inline void *take(unpacker *unpacker, size_t bytes) {
    size_t rounded = (bytes + 7) & ~(size_t)7;
    if (rounded > (size_t)(unpacker->limit - unpacker->free)) return take_of_next_block(unpacker, rounded);
    void *taken = unpacker->free;
    unpacker->free += rounded;
    return taken;
}

static void *new_message(unpacker *unpacker, const message_type *type) {
    void *message = take(unpacker, type->sizeof_message);
    if (message == NULL) return NULL;
    if (type->message_init != NULL) {
        type->message_init(message);
    } else {
        // A type that is known at run time only: every default is zero.
        memset(message, 0, type->sizeof_message);
        ((ProtobufCMessage *)message)->descriptor = type;
    }
    return message;
}

static const uint8_t value_sizes[] = {
    [PROTOBUF_C_TYPE_INT32] = 4,    [PROTOBUF_C_TYPE_SINT32] = 4,   [PROTOBUF_C_TYPE_SFIXED32] = 4,
    [PROTOBUF_C_TYPE_INT64] = 8,    [PROTOBUF_C_TYPE_SINT64] = 8,   [PROTOBUF_C_TYPE_SFIXED64] = 8,
    [PROTOBUF_C_TYPE_UINT32] = 4,   [PROTOBUF_C_TYPE_FIXED32] = 4,  [PROTOBUF_C_TYPE_UINT64] = 8,
    [PROTOBUF_C_TYPE_FIXED64] = 8,  [PROTOBUF_C_TYPE_FLOAT] = 4,    [PROTOBUF_C_TYPE_DOUBLE] = 8,
    [PROTOBUF_C_TYPE_BOOL] = sizeof(protobuf_c_boolean),            [PROTOBUF_C_TYPE_ENUM] = 4,
    [PROTOBUF_C_TYPE_STRING] = sizeof(char *),                      [PROTOBUF_C_TYPE_MESSAGE] = sizeof(void *),
    [PROTOBUF_C_TYPE_BYTES] = sizeof(ProtobufCBinaryData),
};

// Makes room for `more` values at the end of a repeated field; they are not initialised. An array has the number of values that
// it has room for in the eight bytes before it.
static uint8_t *append(unpacker *unpacker, const field_type *field, uint8_t *message, size_t more) {
    size_t *count = (size_t *)(message + field->quantifier_offset);
    uint8_t **values = (uint8_t **)(message + field->offset);
    size_t size = value_sizes[field->type];
    size_t room = *values == NULL ? 0 : ((const size_t *)*values)[-1];
    if (more > room - *count) {
        size_t needed = *count + more;
        room = room == 0 && more < FIRST_ROOM ? FIRST_ROOM : room * 2;
        if (room < needed) room = needed;
        size_t *array = take(unpacker, sizeof(size_t) + room * size);
        if (array == NULL) return NULL;
        *array++ = room;
        if (*count > 0) memcpy(array, *values, *count * size);
        *values = (uint8_t *)array;
    }
    uint8_t *slot = *values + *count * size;
    *count += more;
    return slot;
}

// MARK: Wire format

// Continues a varint whose first byte, `*value`, is not its last. NULL when it does not end before `end` or in `most` bytes.
__attribute__((noinline)) static const uint8_t *read_long_varint(const uint8_t *p, const uint8_t *end, unsigned most,
                                                                 uint64_t *value) {
    uint64_t result = *value & 0x7F;
    for (unsigned shift = 7; shift < most * 7 && p < end; shift += 7) {
        uint8_t byte = *p++;
        result |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *value = result;
            return p;
        }
    }
    return NULL;
}

static inline const uint8_t *read_varint(const uint8_t *p, const uint8_t *end, uint64_t *value) {
    if (p == end) return NULL;
    *value = *p++;
    if (*value < 0x80) return p;
    if (p < end && *p < 0x80) {
        *value = (*value & 0x7F) | (uint64_t)*p << 7;
        return p + 1;
    }
    return read_long_varint(p, end, 10, value);
}

static inline const field_type *find_field(const message_type *type, uint32_t number) {
    // Most types number their fields 1, 2, 3.
    uint32_t index = number - 1;
    if (index < type->n_fields && type->fields[index].id == number) return &type->fields[index];
    return protobuf_c_message_descriptor_get_field(type, number);
}

// Steps over the value of a field that the type does not have.
static const uint8_t *skip(const uint8_t *p, const uint8_t *end, uint64_t tag) {
    if (tag >> 3 == 0) return NULL;
    uint64_t length = 0;
    switch (tag & 7) {
    case PROTOBUF_C_WIRE_TYPE_VARINT: return read_varint(p, end, &length);
    case PROTOBUF_C_WIRE_TYPE_64BIT: length = 8; break;
    case PROTOBUF_C_WIRE_TYPE_32BIT: length = 4; break;
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED: p = read_varint(p, end, &length); break;
    default: return NULL;
    }
    return p == NULL || length > (size_t)(end - p) ? NULL : p + length;
}

// Keeps a field that the type does not have: `content` is what follows its tag.
static bool keep_unknown(unpacker *unpacker, ProtobufCMessage *message, uint64_t tag, const uint8_t *content,
                         const uint8_t *end) {
    unsigned count = message->n_unknown_fields;
    // Room for 1, 2, 4, 8...
    if ((count & (count - 1)) == 0) {
        size_t room = count == 0 ? 1 : (size_t)count * 2;
        ProtobufCMessageUnknownField *fields = take(unpacker, room * sizeof(*fields));
        if (fields == NULL) return false;
        if (count > 0) memcpy(fields, message->unknown_fields, count * sizeof(*fields));
        message->unknown_fields = fields;
    }
    message->unknown_fields[message->n_unknown_fields++] = (ProtobufCMessageUnknownField){
        .tag = (uint32_t)tag >> 3,
        .wire_type = (ProtobufCWireType)(tag & 7),
        .len = (size_t)(end - content),
        .data = (uint8_t *)content,
    };
    return true;
}

static const uint8_t wire_types[] = {
    [PROTOBUF_C_TYPE_SFIXED32] = PROTOBUF_C_WIRE_TYPE_32BIT, [PROTOBUF_C_TYPE_SFIXED64] = PROTOBUF_C_WIRE_TYPE_64BIT,
    [PROTOBUF_C_TYPE_FIXED32] = PROTOBUF_C_WIRE_TYPE_32BIT,  [PROTOBUF_C_TYPE_FIXED64] = PROTOBUF_C_WIRE_TYPE_64BIT,
    [PROTOBUF_C_TYPE_FLOAT] = PROTOBUF_C_WIRE_TYPE_32BIT,    [PROTOBUF_C_TYPE_DOUBLE] = PROTOBUF_C_WIRE_TYPE_64BIT,
    [PROTOBUF_C_TYPE_STRING] = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
    [PROTOBUF_C_TYPE_BYTES] = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
    [PROTOBUF_C_TYPE_MESSAGE] = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
    // All others are varints, which are 0.
};

// MARK: Values

static inline void store_varint(const field_type *field, void *slot, uint64_t value) {
    uint32_t half = (uint32_t)value;
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64: break;
    case PROTOBUF_C_TYPE_SINT64: value = value >> 1 ^ -(value & 1); break;
    case PROTOBUF_C_TYPE_SINT32: *(uint32_t *)slot = half >> 1 ^ -(half & 1); return;
    case PROTOBUF_C_TYPE_BOOL: *(protobuf_c_boolean *)slot = value != 0; return;
    default: *(uint32_t *)slot = half; return;
    }
    *(uint64_t *)slot = value;
}

static bool store_text(unpacker *unpacker, const field_type *field, void *slot, const uint8_t *bytes, size_t count) {
    if (count == 0) {
        *(const char **)slot = protobuf_c_empty_string;
        return true;
    }
    void *memory = take(unpacker, text_size(count));
    if (memory == NULL) return false;
    uint64_t found;
    *(char **)slot = place_text(memory, bytes, count, &found);
    if (found == 0) return true;
    unpacker->result = acp_text_check(bytes, count);
    if (unpacker->result == ACP_UNPACK_OK) return true;
    unpacker->bad_field = field->name;
    return false;
}

// The numbers of a repeated field in one piece, `p` to `end`.
static bool store_packed(unpacker *unpacker, const field_type *field, uint8_t *message, const uint8_t *p,
                         const uint8_t *end) {
    size_t bytes = (size_t)(end - p), size = value_sizes[field->type], count = 0;
    if (bytes == 0) return true;
    if (wire_types[field->type] != PROTOBUF_C_WIRE_TYPE_VARINT) {
        if (bytes % size != 0) return false;
        void *slots = append(unpacker, field, message, bytes / size);
        if (slots != NULL) memcpy(slots, p, bytes);
        return slots != NULL;
    }
    for (const uint8_t *at = p; at < end; at++) count += *at < 0x80;
    // One that does not end is found below: there is a byte too many for those that do.
    uint8_t *slot = append(unpacker, field, message, count);
    if (slot == NULL) return false;
    for (; count > 0; count--) {
        uint64_t value;
        p = read_varint(p, end, &value);
        if (p == NULL) return false;
        store_varint(field, slot, value);
        slot += size;
    }
    return p == end;
}

// Where the value of a field goes that is repeated, a member of a oneof, or an optional one of proto2.
static inline uint8_t *special_slot(unpacker *unpacker, const field_type *field, uint8_t *message) {
    if (field->label == PROTOBUF_C_LABEL_REPEATED) return append(unpacker, field, message, 1);
    uint8_t *slot = message + field->offset;
    uint32_t *quantifier = (uint32_t *)(message + field->quantifier_offset);
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        // Another member than before: what it was is forgotten, so that nothing is merged into it.
        if (*quantifier != field->id && field->type == PROTOBUF_C_TYPE_MESSAGE) *(void **)slot = NULL;
        *quantifier = field->id;
    } else if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->quantifier_offset != 0) {
        *quantifier = 1;
    }
    return slot;
}

// MARK: Messages

// Reads the fields in `p` to `end` into `message`. False with `result` set, or when the bytes are malformed.
static bool unpack_fields(unpacker *unpacker, const message_type *type, uint8_t *message, const uint8_t *p,
                          const uint8_t *end, unsigned depth) {
    while (p < end) {
        uint64_t tag = *p++;
        if (tag >= 0x80 && ((p = read_long_varint(p, end, 5, &tag)) == NULL || tag >> 32 != 0)) return false;
        const field_type *field = find_field(type, (uint32_t)tag >> 3);
        const uint8_t *content = p;
        if (field == NULL) {
            if ((p = skip(p, end, tag)) == NULL) return false;
            if (unpacker->keeps_unknown && !keep_unknown(unpacker, (ProtobufCMessage *)message, tag, content, p)) return false;
            continue;
        }
        unsigned wire_type = tag & 7;
        uint64_t value = 0;
        switch (wire_type) {
        case PROTOBUF_C_WIRE_TYPE_VARINT:
            if ((p = read_varint(p, end, &value)) == NULL) return false;
            break;
        case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
            if ((p = content = read_varint(p, end, &value)) == NULL || value > (size_t)(end - p)) return false;
            p += value;
            break;
        default:
            // A group's tag has the wire type of no field.
            value = wire_type == PROTOBUF_C_WIRE_TYPE_32BIT ? 4 : 8;
            if (value > (size_t)(end - p)) return false;
            p += value;
        }
        if (wire_type != wire_types[field->type]) {
            if (wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED || field->label != PROTOBUF_C_LABEL_REPEATED) return false;
            if (!store_packed(unpacker, field, message, content, p)) return false;
            continue;
        }
        uint8_t *slot = message + field->offset;
        if (field->label != PROTOBUF_C_LABEL_NONE || field->flags != 0) {
            slot = special_slot(unpacker, field, message);
            if (slot == NULL) return false;
        }
        if (wire_type == PROTOBUF_C_WIRE_TYPE_VARINT) {
            store_varint(field, slot, value);
        } else if (field->type == PROTOBUF_C_TYPE_STRING) {
            if (!store_text(unpacker, field, slot, content, value)) return false;
        } else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
            void *inner = field->label == PROTOBUF_C_LABEL_REPEATED ? NULL : *(void **)slot;
            if (inner == NULL && (inner = new_message(unpacker, field->descriptor)) == NULL) return false;
            *(void **)slot = inner;
            if (depth == DEPTH_MAX) unpacker->result = ACP_UNPACK_TOO_DEEP;
            if (depth == DEPTH_MAX || !unpack_fields(unpacker, field->descriptor, inner, content, p, depth + 1)) return false;
        } else if (field->type == PROTOBUF_C_TYPE_BYTES) {
            *(ProtobufCBinaryData *)slot = (ProtobufCBinaryData){value, value == 0 ? NULL : (uint8_t *)content};
        } else if (wire_type == PROTOBUF_C_WIRE_TYPE_32BIT) {
            memcpy(slot, content, 4);
        } else {
            memcpy(slot, content, 8);
        }
    }
    return true;
}

acp_unpack_result acp_unpack(acp_arena *arena, const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
                             size_t count, size_t budget_bytes, bool keeps_unknown, ProtobufCMessage **message,
                             const char **bad_field) {
    static const uint8_t nothing[1];
    if (count == 0) bytes = nothing;
    unpacker unpacker = {.arena = arena, .keeps_unknown = keeps_unknown};
    set_limit(&unpacker, budget_bytes);
    void *root = new_message(&unpacker, descriptor);
    bool unpacked = root != NULL && unpack_fields(&unpacker, descriptor, root, bytes, bytes + count, 0);
    arena->free = unpacker.free;
    *message = root;
    *bad_field = unpacker.bad_field;
    return unpacked || unpacker.result != ACP_UNPACK_OK ? unpacker.result : ACP_UNPACK_MALFORMED;
}
