// How the text of C structs is laid out.
#pragma once

#include "acp_wire.h"

// Bytes that text of `count` bytes takes.
static inline size_t text_size(size_t count) { return sizeof(uint64_t) + count + 1; }

// Lays text out in `memory` and returns it; sets `*found` as `acp_text_scan` does.
static inline char *place_text(void *memory, const uint8_t *bytes, size_t count, uint64_t *found) {
    uint8_t *text = (uint8_t *)memory + sizeof(uint64_t);
    memcpy(text, bytes, count);
    *found = acp_text_scan(bytes, count);
    text[count] = 0;
    uint64_t head = count | (*found == 0 ? ACP_TEXT_ASCII : 0);
    memcpy(memory, &head, sizeof(head));
    return (char *)text;
}
