/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qlinear.c: products and convolutions of 8-bit integers: MatMulInteger,
 * ConvInteger, QLinearMatMul, QLinearConv.
 *
 * Zero points are taken off first, in 32 bits, so that padding is 0; sums are
 * in 32 bits, modulo 2^32 as ONNX has them. The QLinear ones then scale by f32
 * (scale of A * scale of B / scale of Y), round half to even, add Y's zero
 * point and saturate.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops_impl.h"

/* ---- Integers less their zero points ---- */

/* <v> seen with <shape>: one number, or a factor of rows or columns. */
static struct hearth_view spread(const struct hearth_view *v,
                                 const struct hearth_shape *shape, bool rows)
{
    struct hearth_view column = *v;
    column.shape = hearth__ops_as_column(&v->shape, rows);
    if (column.shape.rank > shape->rank) /* one number of rank 1, a scalar */
        column.shape.rank = shape->rank;
    if (column.shape.rank > v->shape.rank)
        column.strides[1] = 0;
    return hearth__ops_broadcast(&column, shape);
}

/* The numbers of <x> less those of <zero>, which has <x>'s shape. */
static int32_t *less_zero(const struct hearth_view *x,
                          const struct hearth_view *zero,
                          struct hearth_error *err)
{
    int32_t *a = hearth__ops_ints(x, err);
    if (a == NULL || zero == NULL)
        return a;
    int32_t *z = hearth__ops_ints(zero, err);
    const int64_t count = hearth__ops_product(&x->shape, 0, x->shape.rank);
    for (int64_t i = 0; z != NULL && i < count; i++)
        a[i] -= z[i];
    if (z == NULL) {
        free(a);
        return NULL;
    }
    free(z);
    return a;
}

static int8_t clamp(float v, int64_t zero, bool has_sign)
{
    const float low = has_sign ? -128 : 0, high = has_sign ? 127 : 255;
    v = nearbyintf(v) + (float)zero;
    v = v < low ? low : v > high ? high : v;
    return (int8_t)(uint8_t)(int32_t)(isnan(v) ? 0 : v);
}

/* ---- Products ---- */

struct product {
    const int32_t *a, *b;
    int64_t m, n, k;
};

/* y += a row times B, modulo 2^32. */
static void multiply(const struct product *p, const int32_t *a,
                     const int32_t *b, uint32_t *y)
{
    memset(y, 0, (size_t)(p->m * p->n) * sizeof *y);
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t k = 0; k < p->k; k++) {
            const uint32_t f = (uint32_t)a[i * p->k + k];
            const uint32_t *row = (const uint32_t *)b + k * p->n;
            uint32_t *to = y + i * p->n;
            for (int64_t j = 0; j < p->n; j++)
                to[j] += f * row[j];
        }
}

/* All products of the stacks, into <y>, dense, of the shape of the result. */
static void multiply_all(const struct hearth_view *a,
                         const struct hearth_view *b,
                         const struct hearth_shape *shape, int32_t *y)
{
    struct hearth_view x[2] = {*a, *b};
    struct hearth_shape stack = *shape;
    struct hearth__ops_nest nest;
    struct product p;
    if (x[0].shape.rank == 1)
        x[0] = hearth__ops_put_axis(&x[0], 0);
    else
        stack.rank--;
    if (x[1].shape.rank == 1)
        x[1] = hearth__ops_put_axis(&x[1], 1);
    else
        stack.rank--;
    p.m = x[0].shape.dims[x[0].shape.rank - 2];
    p.k = x[0].shape.dims[x[0].shape.rank - 1];
    p.n = x[1].shape.dims[x[1].shape.rank - 1];
    hearth__ops_nest_init(&nest, &stack);
    for (int k = 0; k < 2; k++) {
        x[k].shape.rank -= 2;
        hearth__ops_nest_add(&nest, &x[k]);
    }
    if (p.m * p.n == 0)
        return;
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest))
        for (int64_t i = 0; i < nest.run; i++) {
            multiply(
                &p,
                (const int32_t *)x[0].data + nest.offset[0] + i * nest.step[0],
                (const int32_t *)x[1].data + nest.offset[1] + i * nest.step[1],
                (uint32_t *)y);
            y += p.m * p.n;
        }
}

/* A and B less their zero points, multiplied. */
static int product_of(const struct hearth_view *a, const struct hearth_view *az,
                      const struct hearth_view *b, const struct hearth_view *bz,
                      const struct hearth_shape *shape, int32_t *y,
                      struct hearth_error *err)
{
    struct hearth_view zero[2];
    if (az != NULL)
        zero[0] = spread(az, &a->shape, true);
    if (bz != NULL)
        zero[1] = spread(bz, &b->shape, false);
    int32_t *x = less_zero(a, az == NULL ? NULL : &zero[0], err);
    int32_t *w =
        x == NULL ? NULL : less_zero(b, bz == NULL ? NULL : &zero[1], err);
    if (w != NULL) {
        const struct hearth_view xv =
            hearth_view_dense(x, HEARTH_I32, &a->shape);
        const struct hearth_view wv =
            hearth_view_dense(w, HEARTH_I32, &b->shape);
        multiply_all(&xv, &wv, shape, y);
    }
    int rc = w == NULL ? HEARTH_ENOMEM : HEARTH_OK;
    free(w);
    free(x);
    return rc;
}

static const struct hearth_view *optional(const struct hearth_op_call *call,
                                          const struct hearth_view *const *in,
                                          uint32_t k)
{
    return hearth__ops_in(call, k) == NULL ? NULL : in[k];
}

HEARTH__OPS_EVAL(matmul_integer)
{
    const int64_t count =
        hearth__ops_product(&out[0].shape, 0, out[0].shape.rank);
    int32_t *y = hearth__ops_room(count, sizeof *y, err);
    if (y == NULL)
        return HEARTH_ENOMEM;
    int rc = product_of(in[0], optional(call, in, 2), in[1],
                        optional(call, in, 3), &out[0].shape, y, err);
    if (rc == HEARTH_OK && count > 0)
        memcpy(out[0].data, y, (size_t)count * sizeof *y);
    free(y);
    return rc;
}

HEARTH__OPS_EVAL(qlinear_matmul)
{
    (void)call;
    const struct hearth_shape *s = &out[0].shape;
    const int64_t count = hearth__ops_product(s, 0, s->rank);
    const bool has_sign = out[0].dtype == HEARTH_I8;
    struct hearth_view f[4] = {spread(in[1], s, true), spread(in[4], s, false),
                               spread(in[6], s, true), spread(in[7], s, true)};
    double *d[4] = {NULL};
    int32_t *y = hearth__ops_room(count, sizeof *y, err);
    int rc = y == NULL ? HEARTH_ENOMEM : HEARTH_OK;
    for (int k = 0; rc == HEARTH_OK && k < 4; k++)
        if ((d[k] = hearth__ops_doubles(&f[k], err)) == NULL)
            rc = HEARTH_ENOMEM;
    if (rc == HEARTH_OK)
        rc = product_of(in[0], in[2], in[3], in[5], s, y, err);
    for (int64_t i = 0; rc == HEARTH_OK && i < count; i++) {
        const float factor = (float)d[0][i] * (float)d[1][i] / (float)d[2][i];
        ((int8_t *)out[0].data)[i] =
            clamp((float)y[i] * factor, (int64_t)d[3][i], has_sign);
    }
    for (int k = 0; k < 4; k++)
        free(d[k]);
    free(y);
    return rc;
}

/* ---- Convolutions ---- */

static bool next(int64_t *at, const int64_t *dims, int rank)
{
    for (int i = rank - 1; i >= 0; i--) {
        if (++at[i] < dims[i])
            return true;
        at[i] = 0;
    }
    return false;
}

/* Adds what kernel cell <tap> of weight <w> gives to the result's row <at>. */
static void add_row(const struct hearth_window *s, const int64_t *at,
                    const int64_t *tap, uint32_t w, const uint32_t *x,
                    uint32_t *y)
{
    const int last = s->rank - 1;
    int64_t row = 0;
    for (int i = 0; i < last; i++) {
        int64_t k =
            at[i] * s->stride[i] - s->pad_begin[i] + tap[i] * s->dilation[i];
        if (k < 0 || k >= s->in[i])
            return;
        row = row * s->in[i] + k;
    }
    const int64_t base = tap[last] * s->dilation[last] - s->pad_begin[last];
    const int64_t stride = s->stride[last], in = s->in[last];
    const int64_t from = base >= 0 ? 0 : (-base + stride - 1) / stride;
    int64_t end = base >= in ? 0 : (in - 1 - base) / stride + 1;
    end = end < s->out[last] ? end : s->out[last];
    x += row * in + base;
    for (int64_t i = from; i < end; i++)
        y[i] += w * x[i * stride];
}

/* Adds one channel of the input to one of the result. */
static void add_plane(const struct hearth_window *s, const uint32_t *w,
                      const uint32_t *x, uint32_t *y)
{
    int64_t at[6] = {0};
    do {
        int64_t tap[6] = {0}, k = 0;
        do {
            if (w[k] != 0)
                add_row(s, at, tap, w[k], x, y);
            k++;
        } while (next(tap, s->kernel, s->rank));
        y += s->out[s->rank - 1];
    } while (next(at, s->out, s->rank - 1));
}

/* <x> and <w> are less their zero points; <y> is set. */
static void convolve(const struct hearth_window *s,
                     const struct hearth_shape *xs,
                     const struct hearth_shape *ws, const int32_t *x,
                     const int32_t *w, int32_t *y)
{
    const int64_t in = hearth__ops_product(xs, 2, xs->rank);
    const int64_t taps = hearth__ops_product(ws, 2, ws->rank);
    const int64_t m = ws->dims[0], depth = ws->dims[1];
    const int64_t group = depth > 0 ? xs->dims[1] / depth : 1;
    int64_t out = 1;
    for (int i = 0; i < s->rank; i++)
        out *= s->out[i];
    memset(y, 0, (size_t)(xs->dims[0] * m * out) * sizeof *y);
    if (in == 0 || out == 0)
        return;
    for (int64_t n = 0; n < xs->dims[0]; n++)
        for (int64_t o = 0; o < m; o++)
            for (int64_t k = 0; k < depth; k++) {
                const int64_t c = o / (m / group) * depth + k;
                add_plane(s, (const uint32_t *)w + (o * depth + k) * taps,
                          (const uint32_t *)x + (n * xs->dims[1] + c) * in,
                          (uint32_t *)y + (n * m + o) * out);
            }
}

/* A vector over axis 0 seen with <shape>. */
static struct hearth_view over_first(const struct hearth_view *v,
                                     const struct hearth_shape *shape)
{
    struct hearth_view wide = *v;
    const bool one = v->shape.rank == 0 || v->shape.dims[0] == 1;
    wide.shape = *shape;
    memset(wide.strides, 0, sizeof wide.strides);
    wide.strides[0] = one ? 0 : v->strides[0];
    return wide;
}

static int convolution_of(const struct hearth_op_call *call,
                          const struct hearth_view *const *in,
                          const uint32_t number[3], const struct hearth_view *w,
                          int32_t *y, struct hearth_error *err)
{
    const struct hearth_view *xz = optional(call, in, number[1]);
    const struct hearth_view *wz = optional(call, in, number[2]);
    struct hearth_view zero[2];
    struct hearth_window s;
    int rc = hearth__ops_window(call, &in[0]->shape, &w->shape, &s, err);
    if (rc != HEARTH_OK)
        return rc;
    if (xz != NULL)
        zero[0] = over_first(xz, &in[0]->shape);
    if (wz != NULL)
        zero[1] = over_first(wz, &w->shape);
    int32_t *a = less_zero(in[0], xz == NULL ? NULL : &zero[0], err);
    int32_t *b =
        a == NULL ? NULL : less_zero(w, wz == NULL ? NULL : &zero[1], err);
    if (b == NULL)
        rc = HEARTH_ENOMEM;
    else
        convolve(&s, &in[0]->shape, &w->shape, a, b, y);
    free(b);
    free(a);
    return rc;
}

HEARTH__OPS_EVAL(conv_integer)
{
    static const uint32_t numbers[3] = {1, 2, 3};
    const int64_t count =
        hearth__ops_product(&out[0].shape, 0, out[0].shape.rank);
    int32_t *y = hearth__ops_room(count, sizeof *y, err);
    if (y == NULL)
        return HEARTH_ENOMEM;
    int rc = convolution_of(call, in, numbers, in[1], y, err);
    if (rc == HEARTH_OK && count > 0)
        memcpy(out[0].data, y, (size_t)count * sizeof *y);
    free(y);
    return rc;
}

/* Scales and saturates the channels of the result. */
static void requantize(const struct hearth_view *const *in,
                       const struct hearth_view *bias, const int32_t *y,
                       struct hearth_view *to)
{
    const int64_t m = to->shape.dims[1];
    const int64_t size = hearth__ops_product(&to->shape, 2, to->shape.rank);
    const int64_t zero = (int64_t)hearth__ops_number(in[7], 0);
    const bool one = in[4]->shape.rank == 0 || in[4]->shape.dims[0] == 1;
    for (int64_t p = 0; p < to->shape.dims[0] * m; p++) {
        const int64_t c = p % m;
        const double scale =
            hearth__ops_number(in[4], one ? 0 : c * in[4]->strides[0]);
        const float factor = (float)hearth__ops_number(in[1], 0) *
                             (float)scale / (float)hearth__ops_number(in[6], 0);
        const uint32_t add = bias == NULL
                                 ? 0
                                 : (uint32_t)(int32_t)hearth__ops_number(
                                       bias, c * bias->strides[0]);
        for (int64_t i = p * size; i < (p + 1) * size; i++)
            ((int8_t *)to->data)[i] =
                clamp((float)(int32_t)((uint32_t)y[i] + add) * factor, zero,
                      to->dtype == HEARTH_I8);
    }
}

HEARTH__OPS_EVAL(qlinear_conv)
{
    static const uint32_t numbers[3] = {3, 2, 5};
    const int64_t count =
        hearth__ops_product(&out[0].shape, 0, out[0].shape.rank);
    int32_t *y = hearth__ops_room(count, sizeof *y, err);
    if (y == NULL)
        return HEARTH_ENOMEM;
    int rc = convolution_of(call, in, numbers, in[3], y, err);
    if (rc == HEARTH_OK && count > 0)
        requantize(in, optional(call, in, 8), y, &out[0]);
    free(y);
    return rc;
}
