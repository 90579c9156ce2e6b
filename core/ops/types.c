/* SPDX-License-Identifier: Apache-2.0 */
/*
 * types.c: element types, shapes, views, statuses and error records of
 * hearth_types.h. No state, no allocation; any thread.
 */
#include "hearth_types.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- Element types ---- */

static const struct {
    enum hearth_dtype dtype;
    uint32_t bytes;
    const char *name;  /* ours */
    const char *oip;   /* Open Inference Protocol and Triton; NULL: none */
    const char *numpy; /* NULL: none */
} dtypes[] = {
    {HEARTH_F32, 4, "f32", "FP32", "float32"},
    {HEARTH_U8, 1, "u8", "UINT8", "uint8"},
    {HEARTH_I8, 1, "i8", "INT8", "int8"},
    {HEARTH_U16, 2, "u16", "UINT16", "uint16"},
    {HEARTH_I16, 2, "i16", "INT16", "int16"},
    {HEARTH_I32, 4, "i32", "INT32", "int32"},
    {HEARTH_I64, 8, "i64", "INT64", "int64"},
    {HEARTH_STRING, 0, "string", "BYTES", NULL},
    {HEARTH_BOOL, 1, "bool", "BOOL", "bool_"},
    {HEARTH_F16, 2, "f16", "FP16", "float16"},
    {HEARTH_F64, 8, "f64", "FP64", "float64"},
    {HEARTH_U32, 4, "u32", "UINT32", "uint32"},
    {HEARTH_U64, 8, "u64", "UINT64", "uint64"},
    {HEARTH_BF16, 2, "bf16", "BF16", "bfloat16"},
};
#define DTYPES (sizeof dtypes / sizeof dtypes[0])

/* Row number, or -1. */
static int dtype_row(enum hearth_dtype dtype)
{
    for (size_t i = 0; i < DTYPES; i++)
        if (dtypes[i].dtype == dtype)
            return (int)i;
    return -1;
}

uint32_t hearth_dtype_bytes(enum hearth_dtype dtype)
{
    int row = dtype_row(dtype);
    return row < 0 ? 0 : dtypes[row].bytes;
}

const char *hearth_dtype_name(enum hearth_dtype dtype)
{
    if (dtype == HEARTH_DTYPE_NONE)
        return "none";
    int row = dtype_row(dtype);
    return row < 0 ? "?" : dtypes[row].name;
}

enum hearth_dtype hearth_dtype_parse(const char *name)
{
    if (name == NULL)
        return HEARTH_DTYPE_NONE;
    for (size_t i = 0; i < DTYPES; i++) {
        const char *names[] = {dtypes[i].name, dtypes[i].oip, dtypes[i].numpy};
        for (size_t k = 0; k < 3; k++)
            if (names[k] != NULL && strcasecmp(name, names[k]) == 0)
                return dtypes[i].dtype;
    }
    return HEARTH_DTYPE_NONE;
}

const char *hearth_dtype_oip(enum hearth_dtype dtype)
{
    int row = dtype_row(dtype);
    return row < 0 ? NULL : dtypes[row].oip;
}

/* ---- Shapes ---- */

bool hearth_shape_known(const struct hearth_shape *shape)
{
    if (shape->rank < 0 || shape->rank > HEARTH_RANK_MAX)
        return false;
    for (int i = 0; i < shape->rank; i++)
        if (shape->dims[i] < 0)
            return false;
    return true;
}

bool hearth_shape_count(const struct hearth_shape *shape, int64_t *count)
{
    *count = 0;
    if (!hearth_shape_known(shape))
        return false;
    int64_t n = 1;
    bool overflow = false, empty = false;
    for (int i = 0; i < shape->rank; i++) {
        empty |= shape->dims[i] == 0;
        overflow |= __builtin_mul_overflow(n, shape->dims[i], &n);
    }
    /* [2^40, 2^40, 0] is empty, whatever stands before the zero. */
    if (empty)
        return true;
    if (overflow)
        return false;
    *count = n;
    return true;
}

bool hearth_shape_bytes(const struct hearth_shape *shape,
                        enum hearth_dtype dtype, uint64_t *bytes)
{
    *bytes = 0;
    uint64_t size = hearth_dtype_bytes(dtype);
    int64_t count;
    if (size == 0 || !hearth_shape_count(shape, &count))
        return false;
    uint64_t n;
    if (__builtin_mul_overflow((uint64_t)count, size, &n) || n > INT64_MAX)
        return false;
    *bytes = n;
    return true;
}

bool hearth_shape_equal(const struct hearth_shape *a,
                        const struct hearth_shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i])
            return false;
    return true;
}

const char *hearth_shape_text(const struct hearth_shape *shape, char *buf,
                              size_t size)
{
    if (size == 0)
        return buf;
    /* 8 dimensions of 20 characters, commas and brackets. */
    char text[HEARTH_RANK_MAX * 21 + 3];
    size_t at = 0;
    if (shape->rank < 0) {
        snprintf(buf, size, "[...]");
        return buf;
    }
    text[at++] = '[';
    for (int i = 0; i < shape->rank && i < HEARTH_RANK_MAX; i++) {
        if (i > 0)
            text[at++] = ',';
        if (HEARTH_DIM_IS_SYMBOL(shape->dims[i]))
            text[at++] = '?';
        else
            at += (size_t)snprintf(text + at, sizeof text - at, "%lld",
                                   (long long)shape->dims[i]);
    }
    text[at++] = ']';
    text[at] = '\0';
    snprintf(buf, size, "%s", text);
    return buf;
}

void hearth_shape_strides(const struct hearth_shape *shape,
                          int64_t strides[HEARTH_RANK_MAX])
{
    int64_t n = 1;
    for (int i = shape->rank - 1; i >= 0; i--) {
        strides[i] = n;
        /* Overflow is possible only where another dimension is 0: there is
         * no element that such a stride could reach. */
        if (__builtin_mul_overflow(n, shape->dims[i], &n))
            n = 0;
    }
}

struct hearth_view hearth_view_dense(void *data, enum hearth_dtype dtype,
                                     const struct hearth_shape *shape)
{
    struct hearth_view v = {.data = data, .dtype = dtype, .shape = *shape};
    hearth_shape_strides(shape, v.strides);
    return v;
}

bool hearth_view_is_dense(const struct hearth_view *view)
{
    int64_t n = 1;
    bool dense = true;
    for (int i = view->shape.rank - 1; i >= 0; i--) {
        int64_t dim = view->shape.dims[i];
        if (dim == 0)
            return true;
        /* The stride of an axis with one element is never used. */
        if (dim != 1 && view->strides[i] != n)
            dense = false;
        if (__builtin_mul_overflow(n, dim, &n))
            dense = false;
    }
    return dense;
}

/* ---- Statuses ---- */

static const struct {
    int status;
    enum hearth_class cls;
    int http;
    const char *name;
    const char *text;
} statuses[] = {
    {HEARTH_OK, HEARTH_CLASS_OK, 200, "OK", "ok"},
#define STATUS_ROW(name, off, cls, http, text)                                 \
    {HEARTH_##name, HEARTH_CLASS_##cls, http, #name, text},
    HEARTH_STATUS_MAP(STATUS_ROW)
#undef STATUS_ROW
    /* Last: whatever is not ours. */
    {-1, HEARTH_CLASS_BUG, 500, "?", "unknown status"},
};

static size_t status_row(int status)
{
    size_t last = sizeof statuses / sizeof statuses[0] - 1;
    for (size_t i = 0; i < last; i++)
        if (statuses[i].status == status)
            return i;
    return last;
}

enum hearth_class hearth_status_class(int status)
{
    return statuses[status_row(status)].cls;
}

int hearth_status_http(int status)
{
    return statuses[status_row(status)].http;
}

const char *hearth_status_name(int status)
{
    return statuses[status_row(status)].name;
}

const char *hearth_status_text(int status)
{
    return statuses[status_row(status)].text;
}

/* ---- Error records ---- */

static void clean_text(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c != '\0'; c++)
        if (*c < 0x20 || *c == 0x7f)
            *c = '?';
}

int hearth_fail(struct hearth_error *err, int status, const char *fmt, ...)
{
    if (err == NULL)
        return status;
    /* By way of a copy: an argument may be the old text. */
    char text[sizeof err->text] = "";
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(text, sizeof text, fmt, ap) < 0)
        text[0] = '\0';
    va_end(ap);
    clean_text(text);
    memcpy(err->text, text, sizeof text);
    err->status = status;
    return status;
}

int hearth_fail_prefix(struct hearth_error *err, const char *fmt, ...)
{
    if (err == NULL)
        return HEARTH_OK;
    char text[sizeof err->text] = "";
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t at = n < 0 ? 0 : (size_t)n;
    size_t room = sizeof text - 1;
    const char *parts[] = {": ", err->text};
    for (size_t i = 0; i < 2 && at < room; i++) {
        size_t len = strlen(parts[i]);
        len = len < room - at ? len : room - at;
        memcpy(text + at, parts[i], len);
        at += len;
        text[at] = '\0';
    }
    clean_text(text);
    memcpy(err->text, text, sizeof text);
    return err->status;
}
