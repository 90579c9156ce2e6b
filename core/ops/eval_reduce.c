/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval_reduce.c: operators that look along axes: ReduceMean,
 * GlobalAveragePool, Softmax.
 */
#include <math.h>

#include "ops/ops_impl.h"

#define CHUNK HEARTH__OPS_CHUNK
typedef union hearth__ops_num num_t;

/* Sum of all elements of <x>, floats in double, integers modulo 2^64. */
static num_t sum_of(const struct hearth_view *x)
{
    struct hearth__ops_nest nest;
    num_t sum = {.u = 0}, buf[CHUNK];
    bool real = hearth__ops_kind(x->dtype) == HEARTH__OPS_FLOAT;
    hearth__ops_nest_init(&nest, &x->shape);
    hearth__ops_nest_add(&nest, x);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest)) {
        for (int64_t at = 0; at < nest.run; at += CHUNK) {
            int64_t n = nest.run - at < CHUNK ? nest.run - at : CHUNK;
            hearth__ops_load(buf, x->data, x->dtype,
                             nest.offset[0] + at * nest.step[0], nest.step[0],
                             n);
            for (int64_t k = 0; k < n; k++) {
                if (real)
                    sum.f += buf[k].f;
                else
                    sum.u += buf[k].u;
            }
        }
    }
    return sum;
}

/* Means over the axes in <set>. <y> has the other axes, in order, and perhaps
 * ones between them: it is dense, so that both look alike. */
static int mean_over(const struct hearth_view *x, uint32_t set,
                     struct hearth_view *y, struct hearth_error *err)
{
    struct hearth_view kept = *x, gone = *x, dst;
    struct hearth__ops_nest nest;
    enum hearth__ops_kind kind = hearth__ops_kind(x->dtype);
    int64_t count;
    kept.shape.rank = gone.shape.rank = 0;
    for (int i = 0; i < x->shape.rank; i++) {
        struct hearth_view *v = set & 1u << i ? &gone : &kept;
        v->shape.dims[v->shape.rank] = x->shape.dims[i];
        v->strides[v->shape.rank++] = x->strides[i];
    }
    if (!hearth_shape_count(&gone.shape, &count))
        return hearth_fail(err, HEARTH_ESHAPE, "too many elements");
    dst = hearth_view_dense(y->data, y->dtype, &kept.shape);
    hearth__ops_nest_init(&nest, &kept.shape);
    hearth__ops_nest_add(&nest, &dst);
    hearth__ops_nest_add(&nest, &kept);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest)) {
        for (int64_t i = 0; i < nest.run; i++) {
            gone.data = hearth__ops_at(x, nest.offset[1] + i * nest.step[1]);
            num_t mean = sum_of(&gone);
            if (kind != HEARTH__OPS_FLOAT && count == 0)
                return hearth_fail(err, HEARTH_EINVAL,
                                   "no mean of no integers");
            if (kind == HEARTH__OPS_FLOAT)
                mean.f /= (double)count; /* NaN for none */
            else if (kind == HEARTH__OPS_SIGNED)
                mean.i /= count;
            else
                mean.u /= (uint64_t)count;
            hearth__ops_store(y->data, y->dtype,
                              nest.offset[0] + i * nest.step[0], 0, &mean, 1);
        }
    }
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(reduce_mean)
{
    struct hearth__ops_content axes = {0};
    int rank = in[0]->shape.rank;
    uint32_t set;
    if (call->input_count > 1 && in[1] != NULL &&
        !hearth__ops_content_view(in[1], &axes))
        return hearth_fail(err, HEARTH_EMODEL, "axes are not a short vector");
    int rc = hearth__ops_axis_set(axes.v, axes.n, rank, &set, err);
    if (rc != HEARTH_OK)
        return rc;
    if (axes.n == 0 && !hearth_attr_int(call->graph, call->node,
                                        HEARTH_ATTR_NOOP_WITH_EMPTY_AXES, 0))
        set = (1u << rank) - 1;
    return mean_over(in[0], set, &out[0], err);
}

HEARTH__OPS_EVAL(global_pool)
{
    (void)call;
    uint32_t set = ((1u << in[0]->shape.rank) - 1) & ~3u;
    return mean_over(in[0], set, &out[0], err);
}

/* ---- Softmax ---- */

struct line {
    const void *base;
    enum hearth_dtype dtype;
    int64_t offset, step;
};

/* Largest element, or with <top> the sum of exp(x - top). */
static double line_fold(const struct line *x, int64_t size, const double *top)
{
    num_t buf[CHUNK];
    double result = top == NULL ? -INFINITY : 0;
    for (int64_t at = 0; at < size; at += CHUNK) {
        int64_t n = size - at < CHUNK ? size - at : CHUNK;
        hearth__ops_load(buf, x->base, x->dtype, x->offset + at * x->step,
                         x->step, n);
        for (int64_t k = 0; k < n; k++) {
            if (top != NULL)
                result += exp(buf[k].f - *top);
            else if (buf[k].f > result || isnan(buf[k].f))
                result = buf[k].f;
        }
    }
    return result;
}

static void softmax_line(const struct line *x, struct hearth_view *y,
                         int64_t offset, int64_t step, int64_t size)
{
    num_t buf[CHUNK];
    double top = line_fold(x, size, NULL);
    double sum = line_fold(x, size, &top);
    for (int64_t at = 0; at < size; at += CHUNK) {
        int64_t n = size - at < CHUNK ? size - at : CHUNK;
        hearth__ops_load(buf, x->base, x->dtype, x->offset + at * x->step,
                         x->step, n);
        for (int64_t k = 0; k < n; k++)
            buf[k].f = exp(buf[k].f - top) / sum;
        hearth__ops_store(y->data, y->dtype, offset + at * step, step, buf, n);
    }
}

HEARTH__OPS_EVAL(softmax)
{
    int axis;
    int rc = hearth__ops_axis(
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, -1),
        in[0]->shape.rank, &axis, err);
    if (rc != HEARTH_OK)
        return rc;
    struct hearth_view x = hearth__ops_take_axis(in[0], axis, 0);
    struct hearth_view y = hearth__ops_take_axis(&out[0], axis, 0);
    struct hearth__ops_nest nest;
    hearth__ops_nest_init(&nest, &y.shape);
    hearth__ops_nest_add(&nest, &y);
    hearth__ops_nest_add(&nest, &x);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest)) {
        for (int64_t i = 0; i < nest.run; i++) {
            struct line line = {x.data, x.dtype,
                                nest.offset[1] + i * nest.step[1],
                                in[0]->strides[axis]};
            softmax_line(&line, &y, nest.offset[0] + i * nest.step[0],
                         out[0].strides[axis], in[0]->shape.dims[axis]);
        }
    }
    return HEARTH_OK;
}
