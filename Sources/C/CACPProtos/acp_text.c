#include "acp_wire.h"

acp_unpack_result acp_text_check(const uint8_t *p, size_t count) {
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
