/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.c: a growing text, charged to a budget, and numbers in it. Numbers are
 * written so that they read back as the same, in the fewest digits, whatever
 * the process's locale.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec_priv.h"

static bool reserve(struct hearth_text *t, uint64_t more)
{
    uint64_t need, room = t->room < 256 ? 256 : t->room;
    if (t->failed || __builtin_add_overflow(t->bytes, more, &need))
        return false;
    if (need <= t->room)
        return true;
    while (room < need)
        room *= 2; /* below 2^63: need is an allocation's size */
    if (t->budget != NULL && !hearth_budget_take(t->budget, room - t->room)) {
        t->failed = true;
        return false;
    }
    char *data = hearth_realloc(t->data, room);
    if (data == NULL) {
        if (t->budget != NULL)
            hearth_budget_give(t->budget, room - t->room);
        t->failed = true;
        return false;
    }
    t->data = data;
    t->room = room;
    return true;
}

void hearth_text_put(struct hearth_text *text, const void *data, uint64_t bytes)
{
    if (bytes == 0 || !reserve(text, bytes))
        return;
    memcpy(text->data + text->bytes, data, bytes);
    text->bytes += bytes;
}

void hearth_text_puts(struct hearth_text *text, const char *s)
{
    hearth_text_put(text, s, strlen(s));
}

void hearth_text_clear(struct hearth_text *text)
{
    if (text->budget != NULL)
        hearth_budget_give(text->budget, text->room);
    hearth_free(text->data);
    *text = (struct hearth_text){.budget = text->budget};
}

struct owner {
    struct hearth_budget *budget;
    uint64_t room;
};

static void release(void *ctx, void *data)
{
    struct owner *owner = ctx;
    if (owner->budget != NULL)
        hearth_budget_give(owner->budget, owner->room);
    hearth_free(data);
    hearth_free(owner);
}

int hearth_text_finish(struct hearth_text *text, hearth_buffer_t **buffer)
{
    struct owner *owner = hearth_malloc(sizeof *owner);
    *buffer = NULL;
    if (owner != NULL && !text->failed && reserve(text, 1)) {
        *owner = (struct owner){text->budget, text->room};
        if (hearth_buffer_wrap(text->data, text->bytes, release, owner,
                               buffer) == 0) {
            *text = (struct hearth_text){.budget = text->budget};
            return HEARTH_OK;
        }
    }
    hearth_free(owner);
    hearth_text_clear(text);
    return HEARTH_ENOMEM;
}

/* ---- Strings ---- */

/* Bytes of the UTF-8 sequence at <s>; 0: it is none. */
static size_t utf8_length(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] < 0xe0)
        return (s[1] & 0xc0) == 0x80 ? 2 : 0;
    if (s[0] >= 0xe0 && s[0] < 0xf0) {
        bool ok = (s[1] & 0xc0) == 0x80 && (s[2] & 0xc0) == 0x80;
        bool overlong = s[0] == 0xe0 && s[1] < 0xa0;
        bool surrogate = s[0] == 0xed && s[1] >= 0xa0;
        return ok && !overlong && !surrogate ? 3 : 0;
    }
    if (s[0] >= 0xf0 && s[0] < 0xf5) {
        bool ok = (s[1] & 0xc0) == 0x80 && (s[2] & 0xc0) == 0x80 &&
                  (s[3] & 0xc0) == 0x80;
        bool out =
            (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90);
        return ok && !out ? 4 : 0;
    }
    return 0;
}

void hearth_text_put_json(struct hearth_text *text, const char *s)
{
    hearth_text_put(text, "\"", 1);
    while (*s != '\0') {
        const unsigned char *u = (const unsigned char *)s;
        size_t length = utf8_length(u);
        char escape[8];
        if (length == 0) {
            hearth_text_puts(text, "\xef\xbf\xbd");
            s++;
        } else if (*u == '"' || *u == '\\') {
            escape[0] = '\\';
            escape[1] = *s++;
            hearth_text_put(text, escape, 2);
        } else if (*u < 0x20 || *u == 0x7f) {
            snprintf(escape, sizeof escape, "\\u%04x", *u);
            hearth_text_puts(text, escape);
            s++;
        } else {
            hearth_text_put(text, s, length);
            s += length;
        }
    }
    hearth_text_put(text, "\"", 1);
}

/* ---- Numbers ---- */

void hearth_text_put_int(struct hearth_text *text, int64_t value)
{
    char buf[24];
    int n = snprintf(buf, sizeof buf, "%" PRId64, value);
    hearth_text_put(text, buf, (uint64_t)n);
}

static void put_uint(struct hearth_text *text, uint64_t value)
{
    char buf[24];
    int n = snprintf(buf, sizeof buf, "%" PRIu64, value);
    hearth_text_put(text, buf, (uint64_t)n);
}

/* printf writes the locale's decimal point; JSON has its own. */
static void put_printed(struct hearth_text *text, char *buf, int n)
{
    for (int i = 0; i < n; i++)
        if (buf[i] != '-' && buf[i] != '+' && buf[i] != 'e' &&
            (buf[i] < '0' || buf[i] > '9'))
            buf[i] = '.';
    hearth_text_put(text, buf, (uint64_t)n);
}

static bool put_special(struct hearth_text *text, double value)
{
    if (!isfinite(value)) {
        hearth_text_puts(text, "null");
        return true;
    }
    if (value == rint(value) && fabs(value) < 1e6 &&
        !(value == 0 && signbit(value))) {
        hearth_text_put_int(text, (int64_t)value);
        return true;
    }
    return false;
}

void hearth_text_put_double(struct hearth_text *text, double value)
{
    char buf[40];
    int n = 0;
    if (put_special(text, value))
        return;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(buf, sizeof buf, "%.*g", digits, value);
        if (strtod(buf, NULL) == value)
            break;
    }
    put_printed(text, buf, n);
}

void hearth_text_put_float(struct hearth_text *text, float value)
{
    char buf[40];
    int n = 0;
    if (put_special(text, (double)value))
        return;
    for (int digits = 6; digits <= 9; digits++) {
        n = snprintf(buf, sizeof buf, "%.*g", digits, (double)value);
        if (strtof(buf, NULL) == value)
            break;
    }
    put_printed(text, buf, n);
}

static void put_element(struct hearth_text *text, enum hearth_dtype dtype,
                        const char *data, uint64_t i)
{
#define AT(type) (((const type *)(const void *)data)[i])
    switch (dtype) {
    case HEARTH_F32:
        hearth_text_put_float(text, AT(float));
        break;
    case HEARTH_F64:
        hearth_text_put_double(text, AT(double));
        break;
    case HEARTH_F16:
        hearth_text_put_float(text, hearth_f16_to_f32(AT(uint16_t)));
        break;
    case HEARTH_BF16:
        hearth_text_put_float(text, hearth_bf16_to_f32(AT(uint16_t)));
        break;
    case HEARTH_I8:
        hearth_text_put_int(text, AT(int8_t));
        break;
    case HEARTH_I16:
        hearth_text_put_int(text, AT(int16_t));
        break;
    case HEARTH_I32:
        hearth_text_put_int(text, AT(int32_t));
        break;
    case HEARTH_I64:
        hearth_text_put_int(text, AT(int64_t));
        break;
    case HEARTH_U8:
        put_uint(text, AT(uint8_t));
        break;
    case HEARTH_U16:
        put_uint(text, AT(uint16_t));
        break;
    case HEARTH_U32:
        put_uint(text, AT(uint32_t));
        break;
    case HEARTH_U64:
        put_uint(text, AT(uint64_t));
        break;
    case HEARTH_BOOL:
        hearth_text_puts(text, AT(uint8_t) != 0 ? "true" : "false");
        break;
    default:
        hearth_text_puts(text, "null");
        break;
    }
#undef AT
}

void hearth_text_put_tensor(struct hearth_text *text,
                            const struct hearth_tensor *tensor, bool flat)
{
    const char *data = hearth_tensor_view(tensor).data;
    const struct hearth_shape *s = &tensor->shape;
    int rank = flat ? 1 : s->rank;
    int64_t count, sizes[HEARTH_RANK_MAX + 1]; /* elements of a level's item */
    (void)hearth_shape_count(s, &count);
    sizes[rank] = 1;
    for (int d = rank - 1; d >= 0; d--)
        sizes[d] = flat ? count : sizes[d + 1] * s->dims[d];
    if (count == 0) { /* no element says where its brackets are */
        for (int d = 0; d < (rank > 0 ? 1 : 0); d++)
            hearth_text_puts(text, "[]");
        return;
    }
    for (int64_t i = 0; i < count && !text->failed; i++) {
        for (int d = 0; d < rank; d++)
            if (i % sizes[d] == 0)
                hearth_text_put(text, "[", 1);
        put_element(text, tensor->dtype, data, (uint64_t)i);
        for (int d = rank - 1; d >= 0; d--)
            if ((i + 1) % sizes[d] == 0)
                hearth_text_put(text, "]", 1);
        if (i + 1 < count)
            hearth_text_put(text, ",", 1);
    }
}
