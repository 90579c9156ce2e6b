/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval_shape.c: Expand, Tile, Range, and normalisations along axes:
 * LayerNormalization, LRN.
 */
#include <math.h>

#include "ops/ops_impl.h"

#define CHUNK HEARTH__OPS_CHUNK
typedef union hearth__ops_num num_t;

HEARTH__OPS_EVAL(expand)
{
    struct hearth_view x = hearth__ops_broadcast(in[0], &out[0].shape);
    (void)call;
    (void)err;
    hearth__ops_copy(&out[0], &x);
    return HEARTH_OK;
}

/* The copies along each axis, one axis after the other: <x> lies at the start
 * of <y> already, then what is there is repeated. */
HEARTH__OPS_EVAL(tile)
{
    struct hearth_view y = out[0];
    int rank = y.shape.rank;
    (void)call;
    (void)err;
    for (int i = 0; i < rank; i++)
        if (y.shape.dims[i] == 0)
            return HEARTH_OK;
    y.shape = in[0]->shape;
    hearth__ops_copy(&y, in[0]);
    for (int i = rank - 1; i >= 0; i--) {
        int64_t size = in[0]->shape.dims[i];
        int64_t times = size > 0 ? out[0].shape.dims[i] / size : 0;
        for (int64_t t = 1; t < times; t++) {
            struct hearth_view to = y;
            to.data = hearth__ops_at(&out[0], t * size * y.strides[i]);
            hearth__ops_copy(&to, &y);
        }
        y.shape.dims[i] = out[0].shape.dims[i];
    }
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(range)
{
    struct hearth_view *y = &out[0];
    bool real = hearth__ops_kind(y->dtype) == HEARTH__OPS_FLOAT;
    num_t start, delta, x;
    (void)call;
    (void)err;
    hearth__ops_load(&start, in[0]->data, in[0]->dtype, 0, 0, 1);
    hearth__ops_load(&delta, in[2]->data, in[2]->dtype, 0, 0, 1);
    for (int64_t k = 0; k < y->shape.dims[0]; k++) {
        if (real)
            x.f = start.f + (double)k * delta.f;
        else
            x.u = start.u + (uint64_t)k * delta.u;
        hearth__ops_wrap(&x, 1, y->dtype);
        hearth__ops_store(y->data, y->dtype, k * y->strides[0], 0, &x, 1);
    }
    return HEARTH_OK;
}

/* ---- LayerNormalization ---- */

/* Rows of <x> without its last <axes> axes, each normalised over them. Stage
 * one is in double, as for f32 in f32 it would lose what ONNX asks for. */
static void normalise(const struct hearth_view *x, struct hearth_view *y,
                      const struct hearth_view *scale,
                      const struct hearth_view *bias, double epsilon)
{
    struct hearth__ops_nest nest;
    num_t a[4][CHUNK];
    double sum = 0, square = 0, mean, factor;
    int64_t count = 0;
    hearth__ops_nest_init(&nest, &x->shape);
    hearth__ops_nest_add(&nest, x);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest))
        for (int64_t at = 0; at < nest.run; at += CHUNK) {
            int64_t n = nest.run - at < CHUNK ? nest.run - at : CHUNK;
            hearth__ops_load(a[0], x->data, x->dtype,
                             nest.offset[0] + at * nest.step[0], nest.step[0],
                             n);
            for (int64_t k = 0; k < n; k++) {
                sum += a[0][k].f;
                square += a[0][k].f * a[0][k].f;
            }
            count += n;
        }
    if (count == 0)
        return;
    mean = sum / (double)count;
    factor = square / (double)count - mean * mean;
    factor = 1 / sqrt((factor > 0 ? factor : 0) + epsilon);
    hearth__ops_nest_init(&nest, &x->shape);
    hearth__ops_nest_add(&nest, y);
    hearth__ops_nest_add(&nest, x);
    hearth__ops_nest_add(&nest, scale);
    if (bias != NULL)
        hearth__ops_nest_add(&nest, bias);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest))
        for (int64_t at = 0; at < nest.run; at += CHUNK) {
            int64_t n = nest.run - at < CHUNK ? nest.run - at : CHUNK;
            const struct hearth_view *v[4] = {y, x, scale, bias};
            for (int k = 1; k < (bias != NULL ? 4 : 3); k++)
                hearth__ops_load(a[k], v[k]->data, v[k]->dtype,
                                 nest.offset[k] + at * nest.step[k],
                                 nest.step[k], n);
            for (int64_t k = 0; k < n; k++)
                a[0][k].f = (a[1][k].f - mean) * factor * a[2][k].f +
                            (bias != NULL ? a[3][k].f : 0);
            hearth__ops_store(y->data, y->dtype,
                              nest.offset[0] + at * nest.step[0], nest.step[0],
                              a[0], n);
        }
}

HEARTH__OPS_EVAL(layer_normalization)
{
    const struct hearth_view *bias = call->input_count > 2 ? in[2] : NULL;
    double epsilon =
        hearth_attr_float(call->graph, call->node, HEARTH_ATTR_EPSILON, 1e-5f);
    int axis, rank = in[0]->shape.rank;
    int rc = hearth__ops_axis(
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, -1), rank,
        &axis, err);
    if (rc != HEARTH_OK)
        return rc;
    struct hearth_view rows = *in[0], to = out[0];
    rows.shape.rank = to.shape.rank = axis;
    struct hearth__ops_nest nest;
    hearth__ops_nest_init(&nest, &rows.shape);
    hearth__ops_nest_add(&nest, &to);
    hearth__ops_nest_add(&nest, &rows);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest))
        for (int64_t i = 0; i < nest.run; i++) {
            struct hearth_view x = *in[0], y = out[0];
            x.data = hearth__ops_at(in[0], nest.offset[1] + i * nest.step[1]);
            y.data = hearth__ops_at(&out[0], nest.offset[0] + i * nest.step[0]);
            x.shape.rank = y.shape.rank = rank - axis;
            for (int k = axis; k < rank; k++) {
                x.shape.dims[k - axis] = y.shape.dims[k - axis] =
                    in[0]->shape.dims[k];
                x.strides[k - axis] = in[0]->strides[k];
                y.strides[k - axis] = out[0].strides[k];
            }
            normalise(&x, &y, in[1], bias, epsilon);
        }
    return HEARTH_OK;
}

/* ---- LRN: across channels, Krizhevsky et al., 2012 ---- */

HEARTH__OPS_EVAL(lrn)
{
    struct hearth_view *y = &out[0];
    int64_t size =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_SIZE, 1);
    double alpha =
        hearth_attr_float(call->graph, call->node, HEARTH_ATTR_ALPHA, 1e-4f);
    double beta =
        hearth_attr_float(call->graph, call->node, HEARTH_ATTR_BETA, 0.75);
    double bias =
        hearth_attr_float(call->graph, call->node, HEARTH_ATTR_BIAS, 1);
    int64_t channels = y->shape.dims[1];
    (void)err;
    for (int64_t c = 0; c < channels; c++) {
        int64_t from = c - (size - 1) / 2, to = c + size / 2;
        struct hearth_view x = hearth__ops_take_axis(in[0], 1, c);
        struct hearth_view t = hearth__ops_take_axis(y, 1, c);
        struct hearth__ops_nest nest;
        num_t a[CHUNK], q[CHUNK];
        from = from < 0 ? 0 : from;
        to = to >= channels ? channels - 1 : to;
        hearth__ops_nest_init(&nest, &t.shape);
        hearth__ops_nest_add(&nest, &t);
        hearth__ops_nest_add(&nest, &x);
        for (bool more = hearth__ops_nest_start(&nest); more;
             more = hearth__ops_nest_next(&nest))
            for (int64_t at = 0; at < nest.run; at += CHUNK) {
                int64_t n = nest.run - at < CHUNK ? nest.run - at : CHUNK;
                int64_t offset = nest.offset[1] + at * nest.step[1];
                double sum[CHUNK] = {0};
                for (int64_t k = from; k <= to; k++) {
                    hearth__ops_load(q, x.data, x.dtype,
                                     offset + (k - c) * in[0]->strides[1],
                                     nest.step[1], n);
                    for (int64_t i = 0; i < n; i++)
                        sum[i] += q[i].f * q[i].f;
                }
                hearth__ops_load(a, x.data, x.dtype, offset, nest.step[1], n);
                for (int64_t i = 0; i < n; i++)
                    a[i].f /= pow(bias + alpha / (double)size * sum[i], beta);
                hearth__ops_store(t.data, t.dtype,
                                  nest.offset[0] + at * nest.step[0],
                                  nest.step[0], a, n);
            }
    }
    return HEARTH_OK;
}
