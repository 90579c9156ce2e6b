/* SPDX-License-Identifier: Apache-2.0 */
/*
 * norm.c: GroupNormalization (InstanceNormalization has a group for each
 * channel), RMSNormalization, LpNormalization, and the pools over everything.
 * Sums are in double. LayerNormalization is in eval_shape.c.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "ops/ops_impl.h"

/* ---- GroupNormalization ---- */

/* A vector for each channel, or for each group. */
static int check_factors(const struct hearth_op_call *call, uint32_t k,
                         int64_t channels, int64_t groups,
                         struct hearth_error *err)
{
    const struct hearth_shape *s = &call->in[k]->shape;
    int64_t n;
    if (s->rank >= 0 && s->rank != 1)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "input %" PRIu32 " has rank %" PRId32
                           ", it must be a vector",
                           k, s->rank);
    if (s->rank < 0 || HEARTH_DIM_IS_SYMBOL(s->dims[0]) ||
        HEARTH_DIM_IS_SYMBOL(channels))
        return HEARTH_OK;
    n = s->dims[0];
    if (n != channels && (groups == 0 || n != groups))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "input %" PRIu32 " has %" PRId64
                           " elements for %" PRId64 " channels",
                           k, n, channels);
    return HEARTH_OK;
}

HEARTH__OPS_INFER(group_normalization)
{
    int rc = hearth__ops_begin(call, err);
    for (uint32_t k = 1; rc == HEARTH_OK && k < 3; k++)
        rc = hearth__ops_same_dtype(call, k, err);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth_shape *x = &call->in[0]->shape;
    int64_t groups =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_NUM_GROUPS, 0);
    if (x->rank >= 0 && x->rank < 2)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "input of rank %" PRId32 " is not [N,C,..]",
                           x->rank);
    int64_t channels = x->rank < 0 ? HEARTH_DIM_SYMBOL(0) : x->dims[1];
    if (groups < 0 || (groups > 0 && !HEARTH_DIM_IS_SYMBOL(channels) &&
                       channels % groups != 0))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "%" PRId64 " channels do not divide into %" PRId64
                           " groups",
                           channels, groups);
    for (uint32_t k = 1; rc == HEARTH_OK && k < 3; k++)
        rc = check_factors(call, k, channels, groups, err);
    call->out[0].shape = *x;
    return rc;
}

struct group_norm {
    double epsilon;
    int64_t all_channels, channels; /* and those of a group */
    int64_t size;                   /* elements of a channel */
    const struct hearth_view *scale, *bias;
};

/* Factor of channel <c> of group <g>; there is one for each channel, or for
 * each group. */
static double factor_of(const struct group_norm *p, const struct hearth_view *f,
                        int64_t g, int64_t c)
{
    const bool by_group = f->shape.dims[0] != p->all_channels;
    return hearth__ops_number(f, (by_group ? g : g * p->channels + c) *
                                     f->strides[0]);
}

/* One group in place. */
static void norm_group(const struct group_norm *p, double *x, int64_t g)
{
    const int64_t n = p->channels * p->size;
    double sum = 0, square = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    const double mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++)
        square += (x[i] - mean) * (x[i] - mean);
    const double factor = 1 / sqrt(square / (double)n + p->epsilon);
    for (int64_t c = 0; c < p->channels; c++) {
        const double scale = factor_of(p, p->scale, g, c) * factor;
        const double bias = factor_of(p, p->bias, g, c);
        for (int64_t i = 0; i < p->size; i++)
            x[c * p->size + i] = (x[c * p->size + i] - mean) * scale + bias;
    }
}

HEARTH__OPS_EVAL(group_normalization)
{
    const struct hearth_shape *s = &in[0]->shape;
    int64_t groups =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_NUM_GROUPS, 0);
    const int64_t size = hearth__ops_product(s, 2, s->rank);
    groups = groups == 0 ? s->dims[1] : groups;
    double *x = hearth__ops_doubles(in[0], err);
    if (x == NULL)
        return HEARTH_ENOMEM;
    if (groups > 0 && size > 0) {
        struct group_norm p = {
            .epsilon = hearth_attr_float(call->graph, call->node,
                                         HEARTH_ATTR_EPSILON, 1e-5f),
            .all_channels = s->dims[1],
            .channels = s->dims[1] / groups,
            .size = size,
            .scale = in[1],
            .bias = in[2]};
        for (int64_t n = 0; p.channels > 0 && n < s->dims[0]; n++)
            for (int64_t g = 0; g < groups; g++)
                norm_group(&p, x + (n * groups + g) * p.channels * size, g);
    }
    hearth__ops_put_doubles(&out[0], x);
    free(x);
    return HEARTH_OK;
}

/* ---- RMSNormalization ---- */

HEARTH__OPS_INFER(rms_normalization)
{
    int rc = hearth__ops_begin(call, err), axis;
    const struct hearth_shape *x = &call->in[0]->shape;
    struct hearth_shape inner = {.rank = 0};
    if (rc != HEARTH_OK)
        return rc;
    if (hearth__ops_kind(call->in[1]->dtype) != HEARTH__OPS_FLOAT)
        return hearth_fail(err, HEARTH_ETYPE, "scale is %s",
                           hearth_dtype_name(call->in[1]->dtype));
    call->out[0].dtype = call->in[1]->dtype;
    call->out[0].shape = *x;
    if (x->rank < 0)
        return HEARTH_OK;
    rc = hearth__ops_axis(
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, -1), x->rank,
        &axis, err);
    if (rc != HEARTH_OK)
        return rc;
    for (int i = axis; i < x->rank; i++)
        inner.dims[inner.rank++] = x->dims[i];
    return hearth__ops_broadcasts_to(&call->in[1]->shape, &inner, "scale", err);
}

HEARTH__OPS_EVAL(rms_normalization)
{
    const double epsilon =
        hearth_attr_float(call->graph, call->node, HEARTH_ATTR_EPSILON, 1e-5f);
    const int rank = in[0]->shape.rank;
    struct hearth_shape inner = {.rank = 0};
    int axis, rc;
    rc = hearth__ops_axis(
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, -1), rank,
        &axis, err);
    if (rc != HEARTH_OK)
        return rc;
    for (int i = axis; i < rank; i++)
        inner.dims[inner.rank++] = in[0]->shape.dims[i];
    const struct hearth_view wide = hearth__ops_broadcast(in[1], &inner);
    const int64_t rows = hearth__ops_product(&in[0]->shape, 0, axis);
    const int64_t n = hearth__ops_product(&inner, 0, inner.rank);
    double *x = hearth__ops_doubles(in[0], err);
    double *scale = x == NULL ? NULL : hearth__ops_doubles(&wide, err);
    if (scale == NULL) {
        free(x);
        return HEARTH_ENOMEM;
    }
    for (int64_t r = 0; r < rows; r++) {
        double *row = x + r * n, square = 0;
        for (int64_t i = 0; i < n; i++)
            square += row[i] * row[i];
        const double factor = 1 / sqrt(square / (double)n + epsilon);
        for (int64_t i = 0; i < n; i++)
            row[i] *= factor * scale[i];
    }
    hearth__ops_put_doubles(&out[0], x);
    free(scale);
    free(x);
    return HEARTH_OK;
}

/* ---- Norms ---- */

/* 1 and 2 are what ONNX has; other pools may have more. */
static double power(double x, int64_t p)
{
    x = fabs(x);
    return p == 1 ? x : p == 2 ? x * x : pow(x, (double)p);
}

static double root(double x, int64_t p)
{
    return p == 1 ? x : p == 2 ? sqrt(x) : pow(x, 1 / (double)p);
}

static int64_t p_of(const struct hearth_op_call *call)
{
    return hearth_attr_int(call->graph, call->node, HEARTH_ATTR_P, 2);
}

HEARTH__OPS_INFER(lp_normalization)
{
    int rc = hearth__ops_infer_softmax(call, err);
    if (rc == HEARTH_OK && p_of(call) != 1 && p_of(call) != 2)
        rc = hearth_fail(err, HEARTH_EMODEL, "p is %" PRId64 ", not 1 or 2",
                         p_of(call));
    return rc;
}

HEARTH__OPS_EVAL(lp_normalization)
{
    const int64_t p = p_of(call);
    const struct hearth_shape *s = &in[0]->shape;
    int axis, rc;
    rc = hearth__ops_axis(
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, -1), s->rank,
        &axis, err);
    if (rc != HEARTH_OK)
        return rc;
    const int64_t outer = hearth__ops_product(s, 0, axis), n = s->dims[axis];
    const int64_t inner = hearth__ops_product(s, axis + 1, s->rank);
    double *x = hearth__ops_doubles(in[0], err);
    if (x == NULL)
        return HEARTH_ENOMEM;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            double *line = x + o * n * inner + i, sum = 0;
            for (int64_t k = 0; k < n; k++)
                sum += power(line[k * inner], p);
            /* A line of zeros stays one. */
            const double norm = sum == 0 ? 1 : root(sum, p);
            for (int64_t k = 0; k < n; k++)
                line[k * inner] /= norm;
        }
    hearth__ops_put_doubles(&out[0], x);
    free(x);
    return HEARTH_OK;
}

/* ---- Pools over all spatial axes ---- */

HEARTH__OPS_INFER(global_lp_pool)
{
    int rc = hearth__ops_infer_global_pool(call, err);
    if (rc == HEARTH_OK && p_of(call) < 1)
        rc = hearth_fail(err, HEARTH_EMODEL, "p is %" PRId64, p_of(call));
    return rc;
}

HEARTH__OPS_EVAL(global_pool2)
{
    const bool max = call->node->op == HEARTH_OP_GLOBAL_MAX_POOL;
    const struct hearth_shape *s = &in[0]->shape;
    const int64_t rows = s->dims[0] * s->dims[1], p = p_of(call);
    const int64_t n = hearth__ops_product(s, 2, s->rank);
    if (n == 0 && rows > 0)
        return hearth_fail(err, HEARTH_ESHAPE, "there is nothing to pool");
    double *x = hearth__ops_doubles(in[0], err);
    if (x == NULL)
        return HEARTH_ENOMEM;
    for (int64_t r = 0; r < rows; r++) {
        const double *row = x + r * n;
        double y = max ? row[0] : 0;
        for (int64_t i = 0; i < n; i++) {
            if (!max)
                y += power(row[i], p);
            else if (row[i] > y || isnan(row[i]))
                y = row[i];
        }
        x[r] = max ? y : root(y, p);
    }
    hearth__ops_put_doubles(&out[0], x);
    free(x);
    return HEARTH_OK;
}
