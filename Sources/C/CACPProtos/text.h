// Text while it is copied: is it UTF-8, and does it hold a NUL?
#pragma once

#include "acp_wire.h"

// Copies `count` bytes. Returns 0 when all of them are ASCII and none is NUL.
static inline uint64_t copy_text(uint8_t *to, const uint8_t *from, size_t count) {
    const uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;
    if (count >= 16) {
        typedef int8_t sixteen __attribute__((vector_size(16)));
        typedef uint64_t two __attribute__((vector_size(16)));
        sixteen found = {0}, chunk;
        for (size_t at = 0; at < count - 16; at += 16) {
            memcpy(&chunk, from + at, 16);
            memcpy(to + at, &chunk, 16);
            found |= chunk | (chunk == 0);
        }
        // The last sixteen bytes, some of them again.
        memcpy(&chunk, from + count - 16, 16);
        memcpy(to + count - 16, &chunk, 16);
        found |= chunk | (chunk == 0);
        two both = (two)found;
        return (both[0] | both[1]) & highs;
    }
    uint64_t low = 0, high = 0;
    if (count >= 8) {
        memcpy(&low, from, 8);
        memcpy(&high, from + count - 8, 8);
        memcpy(to, &low, 8);
        memcpy(to + count - 8, &high, 8);
    } else if (count >= 4) {
        uint32_t first, last;
        memcpy(&first, from, 4);
        memcpy(&last, from + count - 4, 4);
        memcpy(to, &first, 4);
        memcpy(to + count - 4, &last, 4);
        low = high = first | (uint64_t)last << 32;
    } else {
        low = high = ones;
        for (size_t i = 0; i < count; i++) {
            to[i] = from[i];
            low = low << 8 | from[i];
        }
    }
    // Where a byte is 0, subtracting one borrows from its top bit.
    return (low | high | (low - ones) | (high - ones)) & highs;
}

static inline acp_unpack_result check_text(const uint8_t *p, size_t count) {
    const uint8_t *end = p + count;
    while (p < end) {
        uint8_t lead = *p;
        if (lead == 0) return ACP_UNPACK_NUL;
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
        } else return ACP_UNPACK_NOT_UTF8;
        if ((size_t)(end - p) < length || p[1] < low || p[1] > high) return ACP_UNPACK_NOT_UTF8;
        for (size_t i = 2; i < length; i++)
            if ((p[i] & 0xC0) != 0x80) return ACP_UNPACK_NOT_UTF8;
        p += length;
    }
    return ACP_UNPACK_OK;
}

// Bytes that text of `count` bytes takes.
static inline size_t text_size(size_t count) { return sizeof(uint64_t) + count + 1; }

// Lays text out in `memory` and returns it; sets `*found` as `copy_text` does.
static inline char *place_text(void *memory, const uint8_t *bytes, size_t count, uint64_t *found) {
    uint8_t *text = (uint8_t *)memory + sizeof(uint64_t);
    *found = copy_text(text, bytes, count);
    text[count] = 0;
    uint64_t head = count | (*found == 0 ? ACP_TEXT_ASCII : 0);
    memcpy(memory, &head, sizeof(head));
    return (char *)text;
}
