/* SPDX-License-Identifier: Apache-2.0 */
/*
 * number.c: elements to numbers and back, loops over strided operands, strided
 * copies: the floor that every eval function stands on (ops_impl.h tells why
 * there are three kinds of numbers).
 *
 * Elements are read by memcpy, because a view may lie on bytes of an ONNX file,
 * which aligns nothing; the compiler makes plain loads of it.
 */
#include <math.h>
#include <string.h>

#include "ops/ops_impl.h"

enum hearth__ops_kind hearth__ops_kind(enum hearth_dtype dtype)
{
    switch (dtype) {
    case HEARTH_F32:
    case HEARTH_F64:
    case HEARTH_F16:
    case HEARTH_BF16:
        return HEARTH__OPS_FLOAT;
    case HEARTH_I8:
    case HEARTH_I16:
    case HEARTH_I32:
    case HEARTH_I64:
        return HEARTH__OPS_SIGNED;
    case HEARTH_U8:
    case HEARTH_U16:
    case HEARTH_U32:
    case HEARTH_U64:
    case HEARTH_BOOL:
        return HEARTH__OPS_UNSIGNED;
    default:
        return HEARTH__OPS_NONE;
    }
}

/* f32 of a double with its last bit set when anything was cut ("round to
 * odd"), so that rounding once more to a shorter type is exact. */
static float to_f32_odd(double d)
{
    float f = (float)d;
    if (isnan(d) || isinf(d) || (double)f == d)
        return f;
    if (fabs((double)f) > fabs(d))
        f = nextafterf(f, 0);
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    u |= 1;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* X(dtype, C type, member, to number <x>, from number <v>) */
#define DTYPE_MAP(X)                                                           \
    X(HEARTH_F32, float, f, x, (float)v)                                       \
    X(HEARTH_F64, double, f, x, v)                                             \
    X(HEARTH_F16, uint16_t, f, hearth_f16_to_f32(x),                           \
      hearth_f32_to_f16(to_f32_odd(v)))                                        \
    X(HEARTH_BF16, uint16_t, f, hearth_bf16_to_f32(x),                         \
      hearth_f32_to_bf16(to_f32_odd(v)))                                       \
    X(HEARTH_I8, int8_t, i, x, (int8_t)v)                                      \
    X(HEARTH_I16, int16_t, i, x, (int16_t)v)                                   \
    X(HEARTH_I32, int32_t, i, x, (int32_t)v)                                   \
    X(HEARTH_I64, int64_t, i, x, v)                                            \
    X(HEARTH_U8, uint8_t, u, x, (uint8_t)v)                                    \
    X(HEARTH_U16, uint16_t, u, x, (uint16_t)v)                                 \
    X(HEARTH_U32, uint32_t, u, x, (uint32_t)v)                                 \
    X(HEARTH_U64, uint64_t, u, x, v)                                           \
    X(HEARTH_BOOL, uint8_t, u, x != 0, v != 0)

void hearth__ops_load(union hearth__ops_num *dst, const void *base,
                      enum hearth_dtype dtype, int64_t offset, int64_t stride,
                      int64_t n)
{
    const char *p = base;
    switch (dtype) {
#define LOAD(dt, type, member, to, from)                                       \
    case dt:                                                                   \
        p += offset * (int64_t)sizeof(type);                                   \
        for (int64_t k = 0; k < n; k++) {                                      \
            type x;                                                            \
            memcpy(&x, p + k * stride * (int64_t)sizeof x, sizeof x);          \
            dst[k].member = to;                                                \
        }                                                                      \
        break;
        DTYPE_MAP(LOAD)
#undef LOAD
    default:
        memset(dst, 0, (size_t)n * sizeof *dst);
    }
}

void hearth__ops_store(void *base, enum hearth_dtype dtype, int64_t offset,
                       int64_t stride, const union hearth__ops_num *src,
                       int64_t n)
{
    char *p = base;
    switch (dtype) {
#define STORE(dt, type, member, to, from)                                      \
    case dt:                                                                   \
        p += offset * (int64_t)sizeof(type);                                   \
        for (int64_t k = 0; k < n; k++) {                                      \
            __typeof__(src->member) v = src[k].member;                         \
            type y = from;                                                     \
            memcpy(p + k * stride * (int64_t)sizeof y, &y, sizeof y);          \
        }                                                                      \
        break;
        DTYPE_MAP(STORE)
#undef STORE
    default:
        break;
    }
}

/* Truncates, saturates; NaN is 0. The bounds are powers of two, exact. */
static int64_t to_signed(double d, int bits)
{
    double bound = ldexp(1, bits - 1);
    int64_t max = (int64_t)(UINT64_MAX >> (65 - bits));
    if (isnan(d))
        return 0;
    if (d >= bound)
        return max;
    if (d <= -bound)
        return -max - 1;
    return (int64_t)d;
}

static uint64_t to_unsigned(double d, int bits)
{
    if (isnan(d) || d <= 0)
        return 0;
    if (d >= ldexp(1, bits))
        return UINT64_MAX >> (64 - bits);
    return (uint64_t)d;
}

void hearth__ops_convert(union hearth__ops_num *x, int64_t n,
                         enum hearth_dtype from, enum hearth_dtype to)
{
    enum hearth__ops_kind a = hearth__ops_kind(from), b = hearth__ops_kind(to);
    int bits = (int)hearth_dtype_bytes(to) * 8;
    for (int64_t k = 0; k < n; k++) {
        if (to == HEARTH_BOOL) {
            x[k].u = a == HEARTH__OPS_FLOAT ? x[k].f != 0 : x[k].u != 0;
        } else if (a == HEARTH__OPS_FLOAT && b == HEARTH__OPS_SIGNED) {
            x[k].i = to_signed(x[k].f, bits);
        } else if (a == HEARTH__OPS_FLOAT && b == HEARTH__OPS_UNSIGNED) {
            x[k].u = to_unsigned(x[k].f, bits);
        } else if (b == HEARTH__OPS_FLOAT && a != b) {
            /* Not by way of double where that would round twice. */
            bool f64 = to == HEARTH_F64;
            if (a == HEARTH__OPS_SIGNED)
                x[k].f = f64 ? (double)x[k].i : (double)(float)x[k].i;
            else
                x[k].f = f64 ? (double)x[k].u : (double)(float)x[k].u;
        }
        /* Integer to integer: the same bits, cut by the store. */
    }
}

void hearth__ops_wrap(union hearth__ops_num *x, int64_t n,
                      enum hearth_dtype dtype)
{
    int cut = 64 - (int)hearth_dtype_bytes(dtype) * 8;
    enum hearth__ops_kind kind = hearth__ops_kind(dtype);
    for (int64_t k = 0; k < n && kind == HEARTH__OPS_UNSIGNED; k++)
        x[k].u = x[k].u << cut >> cut;
    for (int64_t k = 0; k < n && kind == HEARTH__OPS_SIGNED; k++)
        x[k].i = (int64_t)(x[k].u << cut) >> cut;
}

/* ---- Views ---- */

void *hearth__ops_at(const struct hearth_view *view, int64_t offset)
{
    if (view->data == NULL) /* an empty tensor */
        return NULL;
    return (char *)view->data +
           offset * (int64_t)hearth_dtype_bytes(view->dtype);
}

struct hearth_view hearth__ops_broadcast(const struct hearth_view *view,
                                         const struct hearth_shape *shape)
{
    struct hearth_view v = *view;
    int shift = shape->rank - view->shape.rank;
    v.shape = *shape;
    for (int i = 0; i < shape->rank; i++) {
        bool spread = i < shift ||
                      (view->shape.dims[i - shift] == 1 && shape->dims[i] != 1);
        v.strides[i] = spread ? 0 : view->strides[i - shift];
    }
    return v;
}

struct hearth_view hearth__ops_take_axis(const struct hearth_view *view,
                                         int axis, int64_t at)
{
    struct hearth_view v = *view;
    v.data = hearth__ops_at(view, at * view->strides[axis]);
    v.shape.rank--;
    for (int i = axis; i < v.shape.rank; i++) {
        v.shape.dims[i] = view->shape.dims[i + 1];
        v.strides[i] = view->strides[i + 1];
    }
    return v;
}

struct hearth_view hearth__ops_put_axis(const struct hearth_view *view,
                                        int axis)
{
    struct hearth_view v = *view;
    v.shape.rank++;
    for (int i = v.shape.rank - 1; i > axis; i--) {
        v.shape.dims[i] = view->shape.dims[i - 1];
        v.strides[i] = view->strides[i - 1];
    }
    v.shape.dims[axis] = 1;
    v.strides[axis] = 0;
    return v;
}

/* ---- Nests ---- */

void hearth__ops_nest_init(struct hearth__ops_nest *nest,
                           const struct hearth_shape *shape)
{
    memset(nest, 0, sizeof *nest);
    nest->rank = shape->rank;
    for (int i = 0; i < shape->rank; i++)
        nest->dims[i] = shape->dims[i];
}

void hearth__ops_nest_add(struct hearth__ops_nest *nest,
                          const struct hearth_view *view)
{
    struct hearth_shape shape = {.rank = nest->rank};
    memcpy(shape.dims, nest->dims, sizeof shape.dims);
    struct hearth_view v = hearth__ops_broadcast(view, &shape);
    memcpy(nest->strides[nest->operands++], v.strides, sizeof v.strides);
}

/* Can axis <i> be walked as more of axis <i> + 1? */
static bool mergeable(const struct hearth__ops_nest *nest, int i)
{
    for (int k = 0; k < nest->operands; k++)
        if (nest->strides[k][i] != nest->strides[k][i + 1] * nest->dims[i + 1])
            return false;
    return true;
}

static void drop_axis(struct hearth__ops_nest *nest, int axis)
{
    nest->rank--;
    for (int i = axis; i < nest->rank; i++) {
        nest->dims[i] = nest->dims[i + 1];
        for (int k = 0; k < nest->operands; k++)
            nest->strides[k][i] = nest->strides[k][i + 1];
    }
}

bool hearth__ops_nest_start(struct hearth__ops_nest *nest)
{
    for (int i = 0; i < nest->rank; i++)
        if (nest->dims[i] == 0)
            return false;
    for (int i = nest->rank - 1; i >= 0; i--)
        if (nest->dims[i] == 1)
            drop_axis(nest, i);
    for (int i = nest->rank - 2; i >= 0; i--)
        if (mergeable(nest, i)) {
            nest->dims[i + 1] *= nest->dims[i];
            drop_axis(nest, i);
        }
    memset(nest->index, 0, sizeof nest->index);
    memset(nest->offset, 0, sizeof nest->offset);
    nest->run = nest->rank == 0 ? 1 : nest->dims[nest->rank - 1];
    for (int k = 0; k < nest->operands; k++)
        nest->step[k] = nest->rank == 0 ? 0 : nest->strides[k][nest->rank - 1];
    return true;
}

bool hearth__ops_nest_next(struct hearth__ops_nest *nest)
{
    for (int i = nest->rank - 2; i >= 0; i--) {
        for (int k = 0; k < nest->operands; k++)
            nest->offset[k] += nest->strides[k][i];
        if (++nest->index[i] < nest->dims[i])
            return true;
        for (int k = 0; k < nest->operands; k++)
            nest->offset[k] -= nest->strides[k][i] * nest->dims[i];
        nest->index[i] = 0;
    }
    return false;
}

/* ---- Copies ---- */

static void copy_run(char *dst, const char *src, int64_t dst_step,
                     int64_t src_step, int64_t n, size_t bytes)
{
    if (dst_step == 1 && src_step == 1) {
        memcpy(dst, src, (size_t)n * bytes);
        return;
    }
    int64_t d = dst_step * (int64_t)bytes, s = src_step * (int64_t)bytes;
    switch (bytes) {
#define COPY(size)                                                             \
    case size:                                                                 \
        for (int64_t i = 0; i < n; i++)                                        \
            memcpy(dst + i * d, src + i * s, size);                            \
        break;
        COPY(1)
        COPY(2)
        COPY(4)
        COPY(8)
#undef COPY
    default:
        break;
    }
}

void hearth__ops_copy(const struct hearth_view *dst,
                      const struct hearth_view *src)
{
    struct hearth__ops_nest nest;
    size_t bytes = hearth_dtype_bytes(dst->dtype);
    hearth__ops_nest_init(&nest, &dst->shape);
    hearth__ops_nest_add(&nest, dst);
    hearth__ops_nest_add(&nest, src);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest))
        copy_run(hearth__ops_at(dst, nest.offset[0]),
                 hearth__ops_at(src, nest.offset[1]), nest.step[0],
                 nest.step[1], nest.run, bytes);
}
