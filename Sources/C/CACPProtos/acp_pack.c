// From protobuf-c's structs to the wire format, written from the end to the beginning: what is inside a message is there before its
// length is to be written, so that nothing is measured first.
#include "acp_wire.h"
#include "text.h"

#define ROOM_MIN 1024
// From here on bytes and texts are copied once only, to where the packed message goes.
#define PART_BYTES_MIN 1024
#define VARINT_MAX 10

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "fixed-width fields are copied as they are");

typedef ProtobufCFieldDescriptor field_type;

typedef struct {
    uint8_t *at;     // the first byte written
    uint8_t *start;  // of the room
    uint8_t *end;
    acp_arena *arena;
    size_t apart;  // bytes in parts
    acp_packed *packed;
} packer;

// MARK: Bytes

__attribute__((noinline)) static bool grow(packer *packer, size_t bytes) {
    size_t written = (size_t)(packer->end - packer->at);
    size_t room = (written + bytes) * 2;
    uint8_t *start = acp_arena_take(packer->arena, room);
    if (start == NULL) return false;
    packer->start = start;
    packer->end = start + room;
    if (written > 0) memcpy(packer->end - written, packer->at, written);
    packer->at = packer->end - written;
    return true;
}

static inline bool ensure(packer *packer, size_t bytes) {
    return (size_t)(packer->at - packer->start) >= bytes || grow(packer, bytes);
}

// Bytes of the message written so far.
static inline size_t position(const packer *packer) { return (size_t)(packer->end - packer->at) + packer->apart; }

// The room must be ensured: so it is below with all that have no `bool`.
static inline void put_varint(packer *packer, uint64_t value) {
    if (value < 0x80) {
        *--packer->at = (uint8_t)value;
        return;
    }
    // Seven bits a byte.
    unsigned width = (63 - (unsigned)__builtin_clzll(value)) / 7 + 1;
    uint8_t *p = packer->at -= width;
    for (; value >= 0x80; value >>= 7) *p++ = (uint8_t)(value | 0x80);
    *p = (uint8_t)value;
}

// memcpy without the call where that costs more than the copying; the ends of what is copied in words may overlap.
static inline void copy(uint8_t *to, const uint8_t *from, size_t count) {
    if (count > 64) {
        memcpy(to, from, count);
    } else if (count >= 16) {
        for (size_t at = 0; at < count - 16; at += 16) memcpy(to + at, from + at, 16);
        memcpy(to + count - 16, from + count - 16, 16);
    } else if (count >= 8) {
        memcpy(to, from, 8);
        memcpy(to + count - 8, from + count - 8, 8);
    } else if (count >= 4) {
        memcpy(to, from, 4);
        memcpy(to + count - 4, from + count - 4, 4);
    } else {
        for (size_t i = 0; i < count; i++) to[i] = from[i];
    }
}

// Bytes with their length; there is room for a number and a tag before them.
static inline bool put_bytes(packer *packer, const uint8_t *bytes, size_t count) {
    acp_packed *packed = packer->packed;
    if (count >= PART_BYTES_MIN && packed->parts_count < ACP_PACKED_PARTS_MAX) {
        packed->parts[packed->parts_count++] =
            (acp_packed_part){.bytes = bytes, .count = count, .at = (size_t)(packer->end - packer->at)};
        packer->apart += count;
    } else {
        if (!ensure(packer, count + VARINT_MAX * 2)) return false;
        packer->at -= count;
        copy(packer->at, bytes, count);
    }
    put_varint(packer, count);
    return true;
}

// MARK: Values

static bool put_fields(packer *packer, const ProtobufCMessage *message);

static bool put_message(packer *packer, const ProtobufCMessage *message) {
    size_t before = position(packer);
    if (message != NULL && !put_fields(packer, message)) return false;
    if (!ensure(packer, VARINT_MAX * 2)) return false;
    put_varint(packer, position(packer) - before);
    return true;
}

// What is written of a number that is a varint.
static inline uint64_t varint_of(ProtobufCType type, const void *slot) {
    switch (type) {
    case PROTOBUF_C_TYPE_UINT32: return *(const uint32_t *)slot;
    case PROTOBUF_C_TYPE_SINT32: return *(const uint32_t *)slot << 1 ^ -(*(const uint32_t *)slot >> 31);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_INT64: return *(const uint64_t *)slot;
    case PROTOBUF_C_TYPE_SINT64: return *(const uint64_t *)slot << 1 ^ -(*(const uint64_t *)slot >> 63);
    case PROTOBUF_C_TYPE_BOOL: return *(const protobuf_c_boolean *)slot != 0;
    default: return (uint64_t)(int64_t)*(const int32_t *)slot;  // negative ones take ten bytes
    }
}

typedef enum {
    UNLESS_DEFAULT,  // not written when it is 0 or empty
    ALWAYS,
    IN_LIST,  // written without a tag
} put_mode;

// Writes a value. Numbers are compared with the default by their bits: -0.0 is not 0.
static inline __attribute__((always_inline)) bool put_value(packer *packer, const field_type *field, const void *slot,
                                                            put_mode mode) {
    uint64_t value = 0;
    uint32_t half;
    unsigned wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING: {
        const char *text = *(const char *const *)slot;
        size_t count = acp_text_count(text);
        if (mode == UNLESS_DEFAULT && count == 0) return true;
        if (!ensure(packer, VARINT_MAX * 2) || !put_bytes(packer, (const uint8_t *)text, count)) return false;
        break;
    }
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *data = slot;
        if (mode == UNLESS_DEFAULT && data->len == 0) return true;
        if (!ensure(packer, VARINT_MAX * 2) || !put_bytes(packer, data->data, data->len)) return false;
        break;
    }
    case PROTOBUF_C_TYPE_MESSAGE: {
        const ProtobufCMessage *message = *(const ProtobufCMessage *const *)slot;
        if (mode == UNLESS_DEFAULT && message == NULL) return true;
        if (!put_message(packer, message)) return false;
        break;
    }
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        memcpy(&half, slot, 4);
        if (mode == UNLESS_DEFAULT && half == 0) return true;
        if (!ensure(packer, VARINT_MAX * 2)) return false;
        memcpy(packer->at -= 4, &half, 4);
        wire_type = PROTOBUF_C_WIRE_TYPE_32BIT;
        break;
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        memcpy(&value, slot, 8);
        if (mode == UNLESS_DEFAULT && value == 0) return true;
        if (!ensure(packer, VARINT_MAX * 2)) return false;
        memcpy(packer->at -= 8, &value, 8);
        wire_type = PROTOBUF_C_WIRE_TYPE_64BIT;
        break;
    default:
        value = varint_of(field->type, slot);
        if (mode == UNLESS_DEFAULT && value == 0) return true;
        if (!ensure(packer, VARINT_MAX * 2)) return false;
        put_varint(packer, value);
        wire_type = PROTOBUF_C_WIRE_TYPE_VARINT;
    }
    if (mode != IN_LIST) put_varint(packer, (uint64_t)field->id << 3 | wire_type);
    return true;
}

static size_t value_size(const field_type *field) {
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE: return 8;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE: return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES: return sizeof(ProtobufCBinaryData);
    default: return 4;
    }
}

static bool put_repeated(packer *packer, const field_type *field, const uint8_t *message) {
    size_t count = *(const size_t *)(message + field->quantifier_offset), size = value_size(field);
    if (count == 0) return true;
    const uint8_t *values = *(const uint8_t *const *)(message + field->offset);
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_PACKED) == 0) {
        while (count-- > 0)
            if (!put_value(packer, field, values + count * size, ALWAYS)) return false;
        return true;
    }
    size_t before = position(packer);
    while (count-- > 0)
        if (!put_value(packer, field, values + count * size, IN_LIST)) return false;
    if (!ensure(packer, VARINT_MAX * 2)) return false;
    put_varint(packer, position(packer) - before);
    put_varint(packer, (uint64_t)field->id << 3 | PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED);
    return true;
}

// MARK: Messages

// Whether a field is there that is a member of a oneof, or of proto2.
static bool is_present(const field_type *field, const uint8_t *message) {
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
        return *(const uint32_t *)(message + field->quantifier_offset) == field->id;
    if (field->label == PROTOBUF_C_LABEL_REQUIRED) return true;
    if (field->quantifier_offset != 0) return *(const protobuf_c_boolean *)(message + field->quantifier_offset) != 0;
    // A message or text of proto2.
    const void *value = *(const void *const *)(message + field->offset);
    return value != NULL && value != field->default_value;
}

static bool put_fields(packer *packer, const ProtobufCMessage *message) {
    const ProtobufCMessageDescriptor *type = message->descriptor;
    const uint8_t *base = (const uint8_t *)message;
    for (unsigned i = type->n_fields; i > 0; i--) {
        const field_type *field = &type->fields[i - 1];
        bool put = true;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) put = put_repeated(packer, field, base);
        else if (field->label == PROTOBUF_C_LABEL_NONE && (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0)
            put = put_value(packer, field, base + field->offset, UNLESS_DEFAULT);
        else if (is_present(field, base)) put = put_value(packer, field, base + field->offset, ALWAYS);
        if (!put) return false;
    }
    return true;
}

bool acp_pack(acp_arena *arena, const ProtobufCMessage *message, acp_packed *packed) {
    packed->parts_count = 0;
    // The rest of the arena's block, as far as it goes.
    size_t room = acp_arena_room(arena);
    if (room < ROOM_MIN) room = ROOM_MIN;
    uint8_t *start = acp_arena_take(arena, room);
    if (start == NULL) return false;
    packer packer = {.at = start + room, .start = start, .end = start + room, .arena = arena, .packed = packed};
    if (!put_fields(&packer, message)) return false;
    packed->written = packer.at;
    packed->written_count = (size_t)(packer.end - packer.at);
    packed->count = packed->written_count + packer.apart;
    return true;
}

void acp_packed_copy(const acp_packed *packed, uint8_t *target) {
    const uint8_t *from = packed->written, *end = from + packed->written_count;
    for (size_t i = packed->parts_count; i > 0; i--) {
        acp_packed_part part = packed->parts[i - 1];
        size_t before = (size_t)(end - part.at - from);
        memcpy(target, from, before);
        memcpy(target + before, part.bytes, part.count);
        target += before + part.count;
        from += before;
    }
    if (from != end) memcpy(target, from, (size_t)(end - from));
}

char *acp_text_copy(acp_arena *arena, const uint8_t *bytes, size_t count) {
    if (count == 0) return (char *)protobuf_c_empty_string;
    void *memory = acp_arena_take(arena, text_size(count));
    if (memory == NULL) return NULL;
    uint64_t found;
    char *text = place_text(memory, bytes, count, &found);
    // Not ASCII alone: there may be a NUL.
    const uint8_t *nul = found == 0 ? NULL : memchr(bytes, 0, count);
    if (nul != NULL) place_text(memory, bytes, (size_t)(nul - bytes), &found);
    return text;
}
