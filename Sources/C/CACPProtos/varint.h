// Base-128 integers of the protobuf wire format.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// Reads one and steps over it; false when it does not end before `end` or within ten bytes.
static inline bool read_varint(const uint8_t **p, const uint8_t *end, uint64_t *value) {
    uint64_t result = 0;
    for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
        uint8_t byte = *(*p)++;
        result |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *value = result;
            return true;
        }
    }
    return false;
}

// Bytes that `value` takes.
static inline unsigned varint_width(uint64_t value) {
    unsigned width = 1;
    while (value >= 0x80) {
        value >>= 7;
        width++;
    }
    return width;
}

// Writes `value` in `width` bytes, at least its own; the rest is padding that says nothing.
static inline uint8_t *write_varint(uint8_t *out, uint64_t value, unsigned width) {
    for (unsigned i = 1; i < width; i++) {
        *out++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *out++ = (uint8_t)value;
    return out;
}
