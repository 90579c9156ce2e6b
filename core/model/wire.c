/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.c: see wire.h. Groups (wire types 3 and 4) are refused instead of
 * skipped: ONNX has none, and skipping them is the one place where the format
 * nests without a length.
 */
#include <inttypes.h>
#include <string.h>

#include "model/wire.h"

uint32_t hearth__wire_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
           (uint32_t)at[3] << 24;
}

uint64_t hearth__wire_u64(const uint8_t *at)
{
    return hearth__wire_u32(at) | (uint64_t)hearth__wire_u32(at + 4) << 32;
}

/* Bytes of the sequence at <p>, 0 when it is none: overlong forms, surrogates
 * and numbers over U+10FFFF are none. */
static unsigned utf8_bytes(const uint8_t *p, uint64_t left)
{
    unsigned n = p[0] < 0x80   ? 1
                 : p[0] < 0xc2 ? 0
                 : p[0] < 0xe0 ? 2
                 : p[0] < 0xf0 ? 3
                 : p[0] < 0xf5 ? 4
                               : 0;
    if (n <= 1 || n > left)
        return n > left ? 0 : n;
    for (unsigned i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

/* A zero byte would end it early wherever it is used. */
bool hearth__slice_is_utf8(struct hearth__slice text)
{
    for (uint64_t i = 0; i < text.bytes;) {
        unsigned n = utf8_bytes(text.at + i, text.bytes - i);
        if (n == 0 || text.at[i] == 0)
            return false;
        i += n;
    }
    return true;
}

static void advance(struct hearth__slice *s, uint64_t bytes)
{
    s->at += bytes;
    s->bytes -= bytes;
}

bool hearth__wire_varint(struct hearth__slice *bytes, uint64_t *value)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 10 && i < bytes->bytes; i++) {
        uint8_t b = bytes->at[i];
        if (i == 9 && b > 1)
            return false;
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (b < 0x80) {
            advance(bytes, i + 1);
            *value = v;
            return true;
        }
    }
    return false;
}

static bool fixed(struct hearth__slice *message, unsigned bytes,
                  struct hearth__wire_field *field)
{
    if (message->bytes < bytes)
        return false;
    field->bytes = (struct hearth__slice){message->at, bytes};
    field->value = bytes == 4 ? hearth__wire_u32(message->at)
                              : hearth__wire_u64(message->at);
    advance(message, bytes);
    return true;
}

/* NULL, or what is wrong with the field's payload. */
static const char *payload(struct hearth__slice *message,
                           struct hearth__wire_field *field)
{
    uint64_t length;
    switch (field->type) {
    case HEARTH__WIRE_VARINT:
        field->bytes = *message;
        if (!hearth__wire_varint(message, &field->value))
            return "has a number that is cut or longer than 64 bits";
        field->bytes.bytes -= message->bytes;
        return NULL;
    case HEARTH__WIRE_FIXED64:
        return fixed(message, 8, field) ? NULL : "is cut";
    case HEARTH__WIRE_FIXED32:
        return fixed(message, 4, field) ? NULL : "is cut";
    case HEARTH__WIRE_BYTES:
        if (!hearth__wire_varint(message, &length))
            return "has a length that is cut or longer than 64 bits";
        if (length > message->bytes)
            return "is longer than what is left";
        field->bytes = (struct hearth__slice){message->at, length};
        advance(message, length);
        return NULL;
    default:
        return "has a wire type that ONNX does not use";
    }
}

bool hearth__wire_next(struct hearth__slice *message,
                       struct hearth__wire_field *field, int *rc,
                       struct hearth_error *err)
{
    uint64_t tag;
    *rc = HEARTH_OK;
    if (message->bytes == 0)
        return false;
    if (!hearth__wire_varint(message, &tag) || tag >> 3 == 0 ||
        tag >> 3 > (1u << 29) - 1) {
        *rc = hearth_fail(err, HEARTH_EMODEL,
                          "not a protobuf message: a field's tag is cut or out "
                          "of range; is this an ONNX file, and complete?");
        return false;
    }
    *field =
        (struct hearth__wire_field){.number = (uint32_t)(tag >> 3),
                                    .type = (enum hearth__wire_type)(tag & 7)};
    const char *fault = payload(message, field);
    if (fault == NULL)
        return true;
    *rc = hearth_fail(err, HEARTH_EMODEL,
                      "not a protobuf message: field %" PRIu32
                      " %s; is this an ONNX file, and complete?",
                      field->number, fault);
    return false;
}
