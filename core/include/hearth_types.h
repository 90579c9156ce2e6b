/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hearth_types.h: element types, shapes, strided views, statuses and errors.
 *
 * C library only, because device plugins include it: no APR, no CUDA. Plain
 * structs whose fields are the interface; everything here may be used from any
 * thread. Sizes on an interface are uint64_t, units are part of a name.
 */
#ifndef HEARTH_TYPES_H
#define HEARTH_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Part of libhearth's interface; a plugin, which links these statically,
 * exports none of them. */
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

/* ---- Element types --------------------------------------------------------
 * The values are those of ONNX's TensorProto.DataType, so that no table
 * translates between the two. */
enum hearth_dtype {
    HEARTH_DTYPE_NONE = 0,
    HEARTH_F32 = 1,
    HEARTH_U8 = 2,
    HEARTH_I8 = 3,
    HEARTH_U16 = 4,
    HEARTH_I16 = 5,
    HEARTH_I32 = 6,
    HEARTH_I64 = 7,
    HEARTH_STRING = 8, /* known by name only; no operator takes it */
    HEARTH_BOOL = 9,   /* one byte, 0 or 1 */
    HEARTH_F16 = 10,
    HEARTH_F64 = 11,
    HEARTH_U32 = 12,
    HEARTH_U64 = 13,
    HEARTH_BF16 = 16
};

/* Bytes of one element; 0 for NONE, STRING and values not in the enum. */
uint32_t hearth_dtype_bytes(enum hearth_dtype dtype);
/* "f32", "i64", "bool", ...; "none" for NONE, "?" for anything unknown. Never
 * NULL, static. */
const char *hearth_dtype_name(enum hearth_dtype dtype);
/* Takes our names, Triton's ("FP32", "INT64") and numpy's ("float32"), in any
 * case; HEARTH_DTYPE_NONE when it is none of them. */
enum hearth_dtype hearth_dtype_parse(const char *name);
/* The Open Inference Protocol's name ("FP32"); NULL when it has none. */
const char *hearth_dtype_oip(enum hearth_dtype dtype);

/* ---- Dimensions and shapes ------------------------------------------------
 * A dimension >= 0 is known. A symbolic one ("batch", "seq", or anonymous) is
 * the number of a symbol of its graph, encoded near INT64_MIN so that it can
 * never be taken for a literal such as Reshape's -1. The same encoding is used
 * for the contents of small integer tensors while shapes are inferred. */
#define HEARTH_RANK_MAX 8
#define HEARTH_DIM_SYMBOL(i) (INT64_MIN + (int64_t)(i))
#define HEARTH_DIM_IS_SYMBOL(d) ((d) < INT64_MIN + (INT64_C(1) << 32))
#define HEARTH_DIM_SYMBOL_INDEX(d) ((uint32_t)((d)-INT64_MIN))

struct hearth_shape {
    int32_t rank; /* 0: a scalar; -1: the rank itself is not known */
    int64_t dims[HEARTH_RANK_MAX];
};

/* Number of elements. False when a dimension is symbolic or the rank unknown,
 * or when the product overflows INT64_MAX; <*count> is then 0. */
bool hearth_shape_count(const struct hearth_shape *shape, int64_t *count);
/* Bytes of a dense tensor; false as above and for a dtype without a size. */
bool hearth_shape_bytes(const struct hearth_shape *shape,
                        enum hearth_dtype dtype, uint64_t *bytes);
bool hearth_shape_equal(const struct hearth_shape *a,
                        const struct hearth_shape *b);
/* True when no dimension is symbolic. */
bool hearth_shape_known(const struct hearth_shape *shape);
/* "[1,3,224,224]", symbols as "?"; always terminated. Returns <buf>. */
const char *hearth_shape_text(const struct hearth_shape *shape, char *buf,
                              size_t size);
/* Row-major strides in elements, for a known shape. */
void hearth_shape_strides(const struct hearth_shape *shape,
                          int64_t strides[HEARTH_RANK_MAX]);

/* A typed window on memory that somebody else owns. Strides are in elements and
 * may be 0 (broadcast) or negative. */
struct hearth_view {
    void *data;
    enum hearth_dtype dtype;
    struct hearth_shape shape; /* known */
    int64_t strides[HEARTH_RANK_MAX];
};

/* A dense row-major view. */
struct hearth_view hearth_view_dense(void *data, enum hearth_dtype dtype,
                                     const struct hearth_shape *shape);
bool hearth_view_is_dense(const struct hearth_view *view);

/* ---- Statuses ------------------------------------------------------------
 * Zero is success. Ours start at HEARTH_STATUS_BASE, which lies in the range
 * that APR gives to applications (APR_OS_START_USERERR + 3000; core/base
 * checks the sum), so that a hearth status is also an apr_status_t.
 *
 * The class decides what a caller does with a failure. */
enum hearth_class {
    HEARTH_CLASS_OK = 0,
    HEARTH_CLASS_AGAIN,       /* not now: the same call may succeed later */
    HEARTH_CLASS_NEVER,       /* can never succeed here: do not retry */
    HEARTH_CLASS_CLIENT,      /* this request's input is at fault */
    HEARTH_CLASS_DEVICE_LOST, /* sticky: quarantine the device */
    HEARTH_CLASS_BUG          /* our own fault */
};

#define HEARTH_STATUS_BASE 123000

/* X(name, offset, class, HTTP status, text). Offsets are never reused. */
#define HEARTH_STATUS_MAP(X)                                                   \
    X(EINVAL, 0, CLIENT, 400, "invalid input")                                 \
    X(ETOOBIG, 1, CLIENT, 413, "input too large")                              \
    X(ETYPE, 2, CLIENT, 400, "wrong element type")                             \
    X(ESHAPE, 3, CLIENT, 400, "wrong shape")                                   \
    X(EMEDIA, 4, CLIENT, 415, "unsupported media type")                        \
    X(ECANCELED, 5, CLIENT, 499, "cancelled: the client left")                 \
    X(ENOENT, 6, CLIENT, 404, "not found")                                     \
    X(EPROTO, 7, CLIENT, 400, "malformed request")                             \
    X(EBUSY, 10, AGAIN, 429, "too many requests in flight")                    \
    X(ENOMEM, 11, AGAIN, 503, "not enough memory now")                         \
    X(ETIMEOUT, 12, AGAIN, 504, "deadline exceeded")                           \
    X(ECLOSING, 13, AGAIN, 503, "shutting down")                               \
    X(EPEER, 14, AGAIN, 503, "peer unavailable")                               \
    X(ELOADFAILED, 15, AGAIN, 503, "the model's last load failed")             \
    X(EAGAIN, 16, AGAIN, 503, "try again")                                     \
    X(ENOSPACE, 20, NEVER, 507, "can never fit")                               \
    X(EUNSUPPORTED, 21, NEVER, 501, "not supported")                           \
    X(EMODEL, 22, NEVER, 500, "invalid model")                                 \
    X(ECONFIG, 23, NEVER, 500, "invalid configuration")                        \
    X(EABI, 24, NEVER, 500, "incompatible plugin")                             \
    X(EIO, 25, NEVER, 500, "input/output error")                               \
    X(EDEVICE, 30, DEVICE_LOST, 503, "device lost")                            \
    X(EBUG, 40, BUG, 500, "internal error")

enum hearth_status {
    HEARTH_OK = 0,
#define HEARTH_STATUS_ENUM(name, off, cls, http, text)                         \
    HEARTH_##name = HEARTH_STATUS_BASE + (off),
    HEARTH_STATUS_MAP(HEARTH_STATUS_ENUM)
#undef HEARTH_STATUS_ENUM
};

/* Class of a status; a status that is not ours counts as BUG, 0 as OK. */
enum hearth_class hearth_status_class(int status);
/* HTTP status code; 200 for 0, 500 for a status that is not ours. */
int hearth_status_http(int status);
/* "ENOMEM"; "OK" for 0, "?" for a status that is not ours. */
const char *hearth_status_name(int status);
/* The table's text; for one that is not ours "unknown status". */
const char *hearth_status_text(int status);

/* A caller-owned record that operator-facing calls fill on failure. Nothing is
 * allocated on a failure path. The text ends with what to do next. */
struct hearth_error {
    int status;
    char text[256];
};

/* Fills <err> (NULL is allowed) and returns <status>, so that a function can
 * end with `return hearth_fail(err, HEARTH_EINVAL, "...", ...)`. Text that does
 * not fit is cut. Control characters of the result become '?', because such
 * texts quote hostile files and end in logs. */
int hearth_fail(struct hearth_error *err, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "<prefix>: " before the text that <err> has; keeps its status. */
int hearth_fail_prefix(struct hearth_error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#ifdef __GNUC__
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif
#endif
