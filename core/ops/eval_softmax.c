/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval_softmax.c: Softmax, LogSoftmax, Hardmax: a line of one axis at a time.
 */
#include <math.h>

#include "ops/ops_impl.h"

#define CHUNK HEARTH__OPS_CHUNK
typedef union hearth__ops_num num_t;

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

/* Where the first largest element stands. */
static int64_t line_top(const struct line *x, int64_t size)
{
    double top = line_fold(x, size, NULL);
    num_t v;
    for (int64_t k = 0; k < size; k++) {
        hearth__ops_load(&v, x->base, x->dtype, x->offset + k * x->step, 0, 1);
        if (v.f == top || isnan(v.f))
            return k;
    }
    return 0;
}

static void softmax_line(uint32_t op, const struct line *x,
                         struct hearth_view *y, int64_t offset, int64_t step,
                         int64_t size)
{
    num_t buf[CHUNK];
    bool hard = op == HEARTH_OP_HARDMAX;
    double top = hard ? 0 : line_fold(x, size, NULL);
    double sum = hard ? 0 : line_fold(x, size, &top);
    int64_t first = hard ? line_top(x, size) : 0;
    for (int64_t at = 0; at < size; at += CHUNK) {
        int64_t n = size - at < CHUNK ? size - at : CHUNK;
        hearth__ops_load(buf, x->base, x->dtype, x->offset + at * x->step,
                         x->step, n);
        for (int64_t k = 0; k < n; k++)
            buf[k].f = hard                      ? at + k == first
                       : op == HEARTH_OP_SOFTMAX ? exp(buf[k].f - top) / sum
                                                 : buf[k].f - top - log(sum);
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
            softmax_line(call->node->op, &line, &y,
                         nest.offset[0] + i * nest.step[0],
                         out[0].strides[axis], in[0]->shape.dims[axis]);
        }
    }
    return HEARTH_OK;
}
