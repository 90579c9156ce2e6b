/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.c: nested arrays of numbers, read straight into a tensor: no tree is
 * built, so that a body of 10 MB costs its numbers and no more. Depth is at
 * most HEARTH_RANK_MAX, with no recursion. Most numbers are exact by one
 * multiplication or division (Clinger's fast path); the rest go to strtod in
 * the C locale.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* strtod_l */
#endif
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec_priv.h"

#define NUMBER_TEXT_MAX 400

/* ---- One number ---- */

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static bool slow_value(const char *text, size_t bytes, double *value)
{
    char copy[NUMBER_TEXT_MAX + 1];
    if (bytes > NUMBER_TEXT_MAX)
        return false;
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    pthread_once(&c_locale_once, make_c_locale);
    *value = c_locale != (locale_t)0 ? strtod_l(copy, NULL, c_locale)
                                     : strtod(copy, NULL);
    return isfinite(*value);
}

static bool is_digit(const char *p, const char *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

/* Digits into a mantissa of at most 19 of them; <*dropped> are the others. */
static const char *take_digits(const char *p, const char *end,
                               uint64_t *mantissa, int *dropped)
{
    for (; is_digit(p, end); p++) {
        if (*mantissa < UINT64_C(1000000000000000000))
            *mantissa = *mantissa * 10 + (uint64_t)(*p - '0');
        else
            ++*dropped;
    }
    return p;
}

const char *hearth__number_read(const char *start, const char *end,
                                struct hearth__number *n)
{
    static const double powers[] = {
        1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const char *p = start;
    uint64_t mantissa = 0;
    int dropped = 0, exponent = 0, fraction_dropped = 0;
    n->negative = p < end && *p == '-';
    p += n->negative;
    if (!is_digit(p, end))
        return NULL;
    const char *digits = p;
    p = take_digits(p, end, &mantissa, &dropped);
    if (*digits == '0' && p - digits > 1)
        return NULL; /* 01 */
    n->is_integer = true;
    n->magnitude = mantissa;
    /* A 20th digit may still fit 64 bits. */
    if (dropped == 1 &&
        !__builtin_mul_overflow(mantissa, UINT64_C(10), &n->magnitude) &&
        !__builtin_add_overflow(n->magnitude, (uint64_t)(p[-1] - '0'),
                                &n->magnitude))
        ;
    else if (dropped > 0)
        n->is_integer = false;
    if (p < end && *p == '.') {
        n->is_integer = false;
        const char *after = ++p;
        if (!is_digit(p, end))
            return NULL;
        p = take_digits(p, end, &mantissa, &fraction_dropped);
        exponent = -(int)(p - after) + fraction_dropped;
        if (p - after > NUMBER_TEXT_MAX)
            return NULL;
    }
    exponent += dropped;
    if (p < end && (*p == 'e' || *p == 'E')) {
        int e = 0;
        n->is_integer = false;
        p++;
        bool negative = p < end && *p == '-';
        p += p < end && (*p == '-' || *p == '+');
        if (!is_digit(p, end))
            return NULL;
        for (; is_digit(p, end); p++)
            e = e < 100000 ? e * 10 + (*p - '0') : e;
        exponent += negative ? -e : e;
    }
    if (dropped + fraction_dropped == 0 && mantissa <= UINT64_C(1) << 53 &&
        exponent >= -22 && exponent <= 22)
        n->value = exponent < 0 ? (double)mantissa / powers[-exponent]
                                : (double)mantissa * powers[exponent];
    else if (slow_value(digits, (size_t)(p - digits), &n->value))
        ;
    else
        return NULL;
    if (n->negative)
        n->value = -n->value;
    return p;
}

/* ---- Elements ---- */

static bool put_integer(char *at, enum hearth_dtype dtype,
                        const struct hearth__number *n)
{
    bool is_signed = dtype == HEARTH_I8 || dtype == HEARTH_I16 ||
                     dtype == HEARTH_I32 || dtype == HEARTH_I64;
    uint32_t bits = hearth_dtype_bytes(dtype) * 8;
    uint64_t most = UINT64_MAX >> (64 - bits);
    if (is_signed)
        most = (most >> 1) + (n->negative ? 1 : 0);
    else if (n->negative)
        most = 0;
    if (!n->is_integer || n->magnitude > most)
        return false;
    uint64_t v = n->negative ? 0 - n->magnitude : n->magnitude;
    memcpy(at, &v, bits / 8); /* little-endian, as all that we run on */
    return true;
}

static bool put_number(char *at, enum hearth_dtype dtype,
                       const struct hearth__number *n)
{
    float f = (float)n->value;
    uint16_t half;
    switch (dtype) {
    case HEARTH_F32:
        memcpy(at, &f, sizeof f);
        return isfinite(f);
    case HEARTH_F64:
        memcpy(at, &n->value, sizeof n->value);
        return true;
    case HEARTH_F16:
        half = hearth_f32_to_f16(f);
        memcpy(at, &half, sizeof half);
        return (half & 0x7c00) != 0x7c00;
    case HEARTH_BF16:
        half = hearth_f32_to_bf16(f);
        memcpy(at, &half, sizeof half);
        return (half & 0x7f80) != 0x7f80;
    case HEARTH_BOOL:
        *at = (char)(n->magnitude != 0);
        return n->is_integer && !n->negative && n->magnitude <= 1;
    default:
        return put_integer(at, dtype, n);
    }
}

/* ---- The array ---- */

struct reader {
    const char *start, *p, *end;
    enum hearth_dtype dtype;
    uint32_t size;
    struct hearth_budget *budget;
    hearth_buffer_t *buffer;
    uint64_t count, room; /* elements */
    int depth, rank;      /* rank -1: not known yet */
    int64_t dims[HEARTH_RANK_MAX], counts[HEARTH_RANK_MAX];
    struct hearth_error *err;
};

static int fail_at(const struct reader *r, int status, const char *what)
{
    return hearth_fail(r->err, status, "JSON, byte %llu: %s",
                       (unsigned long long)(r->p - r->start), what);
}

static void skip_space(struct reader *r)
{
    while (r->p < r->end &&
           (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
        r->p++;
}

static int grow(struct reader *r)
{
    uint64_t left = (uint64_t)(r->end - r->p);
    uint64_t room = r->room * 2;
    hearth_buffer_t *larger;
    if (r->room == 0) /* two bytes are the shortest number */
        room = left / 8 + 16;
    if (room > r->count + left / 2 + 1)
        room = r->count + left / 2 + 1;
    if (hearth_buffer_create(room * r->size, r->budget, &larger) != 0)
        return hearth_fail(r->err, HEARTH_ENOMEM,
                           "no memory for the numbers now; try again later");
    if (r->count > 0)
        memcpy(hearth_buffer_data(larger), hearth_buffer_data(r->buffer),
               r->count * r->size);
    hearth_buffer_unref(r->buffer);
    r->buffer = larger;
    r->room = room;
    return HEARTH_OK;
}

static const char *take_word(struct reader *r, struct hearth__number *n)
{
    size_t left = (size_t)(r->end - r->p);
    bool yes = left >= 4 && memcmp(r->p, "true", 4) == 0;
    if (!yes && !(left >= 5 && memcmp(r->p, "false", 5) == 0))
        return hearth__number_read(r->p, r->end, n);
    *n = (struct hearth__number){
        .is_integer = true, .magnitude = yes, .value = yes};
    return r->p + (yes ? 4 : 5);
}

static int take_element(struct reader *r)
{
    struct hearth__number n;
    const char *after = take_word(r, &n);
    if (after == NULL)
        return fail_at(r, HEARTH_EPROTO, "a number was expected");
    if (r->rank < 0)
        r->rank = r->depth;
    if (r->depth != r->rank)
        return fail_at(r, HEARTH_ESHAPE,
                       "a number where an array is expected: its arrays differ "
                       "in depth");
    if (r->count == r->room) {
        int rc = grow(r);
        if (rc != HEARTH_OK)
            return rc;
    }
    char *at = (char *)hearth_buffer_data(r->buffer) + r->count * r->size;
    if (!put_number(at, r->dtype, &n)) {
        char what[80];
        snprintf(what, sizeof what, "the number does not fit into %s",
                 hearth_dtype_name(r->dtype));
        return fail_at(r, HEARTH_ETYPE, what);
    }
    r->count++;
    r->p = after;
    if (r->depth > 0)
        r->counts[r->depth - 1]++;
    return HEARTH_OK;
}

static int open_array(struct reader *r)
{
    if (r->depth == HEARTH_RANK_MAX)
        return fail_at(r, HEARTH_ESHAPE, "arrays are nested too deeply");
    if (r->rank >= 0 && r->depth >= r->rank)
        return fail_at(r, HEARTH_ESHAPE,
                       "an array where a number is expected: its arrays differ "
                       "in depth");
    r->counts[r->depth++] = 0;
    r->p++;
    return HEARTH_OK;
}

static int close_array(struct reader *r)
{
    int level = --r->depth;
    if (r->rank < 0)
        r->rank = level + 1; /* an empty array is the last level */
    if (r->dims[level] >= 0 && r->dims[level] != r->counts[level])
        return fail_at(r, HEARTH_ESHAPE, "its arrays differ in length");
    if (r->rank > level + 1 && r->counts[level] == 0)
        return fail_at(r, HEARTH_ESHAPE, "its arrays differ in depth");
    r->dims[level] = r->counts[level];
    r->p++;
    if (level > 0)
        r->counts[level - 1]++;
    return HEARTH_OK;
}

/* One value: an array's start, end, or a number. <fresh>: nothing stands before
 * it in its array. */
static int read_all(struct reader *r)
{
    bool fresh = true, expect = true; /* a value must come */
    int rc;
    do {
        skip_space(r);
        if (r->p == r->end)
            return fail_at(r, HEARTH_EPROTO, "the text ends too soon");
        if (expect && *r->p == '[') {
            rc = open_array(r);
            fresh = true;
        } else if (r->depth > 0 && *r->p == ']' && (fresh || !expect)) {
            rc = close_array(r);
            fresh = expect = false;
        } else if (expect) {
            rc = take_element(r);
            fresh = expect = false;
        } else if (*r->p == ',') {
            r->p++;
            expect = true;
            rc = HEARTH_OK;
        } else {
            rc = fail_at(r, HEARTH_EPROTO, "',' or ']' was expected");
        }
        if (rc != HEARTH_OK)
            return rc;
    } while (r->depth > 0);
    return HEARTH_OK;
}

int hearth_json_tensor_read(const char *text, uint64_t bytes,
                            enum hearth_dtype dtype,
                            struct hearth_budget *budget,
                            hearth_buffer_t **buffer,
                            struct hearth_shape *shape, const char **end,
                            struct hearth_error *err)
{
    struct reader r = {.start = text,
                       .p = text,
                       .end = text + bytes,
                       .dtype = dtype,
                       .size = hearth_dtype_bytes(dtype),
                       .budget = budget,
                       .rank = -1,
                       .err = err};
    *buffer = NULL;
    if (r.size == 0)
        return hearth_fail(err, HEARTH_ETYPE, "numbers cannot be %s",
                           hearth_dtype_name(dtype));
    for (int i = 0; i < HEARTH_RANK_MAX; i++)
        r.dims[i] = -1;
    int rc = read_all(&r);
    if (rc == HEARTH_OK && r.buffer == NULL &&
        hearth_buffer_create(0, budget, &r.buffer) != 0)
        rc = hearth_fail(err, HEARTH_ENOMEM, "no memory; try again later");
    if (rc != HEARTH_OK) {
        hearth_buffer_unref(r.buffer);
        return rc;
    }
    shape->rank = r.rank;
    for (int i = 0; i < r.rank; i++)
        shape->dims[i] = r.dims[i];
    *buffer = r.buffer;
    *end = r.p;
    return HEARTH_OK;
}
