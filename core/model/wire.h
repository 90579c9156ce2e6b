/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h: protobuf's wire format, over bytes that stay where they are. A
 * message is walked field by field; nothing is copied, nothing is believed:
 * every length is compared with what is left. Knows no schema.
 */
#ifndef HEARTH_MODEL_WIRE_H
#define HEARTH_MODEL_WIRE_H

#include "hearth_types.h"

/* Bytes of the file: text, or the rest of a message. Not terminated. */
struct hearth__slice {
    const uint8_t *at;
    uint64_t bytes;
};

enum hearth__wire_type {
    HEARTH__WIRE_VARINT = 0,
    HEARTH__WIRE_FIXED64 = 1,
    HEARTH__WIRE_BYTES = 2,
    HEARTH__WIRE_FIXED32 = 5
};

struct hearth__wire_field {
    uint32_t number;
    enum hearth__wire_type type;
    uint64_t value;             /* VARINT, FIXED64, FIXED32 */
    struct hearth__slice bytes; /* BYTES; else the value's own bytes */
};

/* Takes the next field off <message>. True and *rc HEARTH_OK: <field> is
 * filled; false and HEARTH_OK: the message is over; false and HEARTH_EMODEL:
 * it is malformed, and <err> says how. */
bool hearth__wire_next(struct hearth__slice *message,
                       struct hearth__wire_field *field, int *rc,
                       struct hearth_error *err);
/* Takes a varint off <bytes>; false when it is cut or longer than 64 bits. */
bool hearth__wire_varint(struct hearth__slice *bytes, uint64_t *value);

uint32_t hearth__wire_u32(const uint8_t *at);
uint64_t hearth__wire_u64(const uint8_t *at);

/* Protobuf's strings are UTF-8; so no name of a model is anything else. */
bool hearth__slice_is_utf8(struct hearth__slice text);

static inline bool hearth__slice_is(struct hearth__slice s, const char *text)
{
    uint64_t n = __builtin_strlen(text);
    return s.bytes == n && (n == 0 || __builtin_memcmp(s.at, text, n) == 0);
}
static inline bool hearth__slice_equal(struct hearth__slice a,
                                       struct hearth__slice b)
{
    return a.bytes == b.bytes &&
           (a.bytes == 0 || __builtin_memcmp(a.at, b.at, a.bytes) == 0);
}
/* For "%.*s": at most <most> bytes of the text. */
static inline int hearth__slice_cut(struct hearth__slice s, int most)
{
    return s.bytes < (uint64_t)most ? (int)s.bytes : most;
}

#endif
