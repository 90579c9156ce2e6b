/* SPDX-License-Identifier: Apache-2.0 */
/*
 * infer_math.c: types, shapes and contents of eval_math.c's and eval_shape.c's
 * operators. Equal and Where carry contents: exporters spell "the size, or 1
 * where -1 was asked for" with them.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "ops/ops_impl.h"

/* Content <i> of <c>, which has <count> or one. */
static int64_t at(const struct hearth__ops_content *c, int64_t i)
{
    return c->v[c->n == 1 ? 0 : i];
}

static bool spreads(const struct hearth__ops_content *c, int64_t count)
{
    return c->n == count || c->n == 1;
}

HEARTH__OPS_INFER(compare)
{
    int rc = hearth__ops_begin(call, err);
    struct hearth__ops_content a, b;
    int64_t values[HEARTH_CONTENT_MAX], count;
    uint32_t op = call->node->op;
    if (rc == HEARTH_OK)
        rc = hearth__ops_same_dtype(call, 1, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_broadcast_shape(call, &call->in[0]->shape,
                                         &call->in[1]->shape,
                                         &call->out[0].shape, err);
    if (rc != HEARTH_OK)
        return rc;
    call->out[0].dtype = HEARTH_BOOL;
    if (op != HEARTH_OP_EQUAL || !hearth__ops_content(call->in[0], &a) ||
        !hearth__ops_content(call->in[1], &b) || a.odd || b.odd ||
        !hearth_shape_count(&call->out[0].shape, &count) ||
        count > HEARTH_CONTENT_MAX || !spreads(&a, count) ||
        !spreads(&b, count))
        return HEARTH_OK;
    for (int64_t i = 0; i < count; i++) {
        int64_t p = at(&a, i), q = at(&b, i);
        /* A size is never negative; else a symbol may be any number. */
        if (p != q && ((HEARTH_DIM_IS_SYMBOL(p) && q >= 0) ||
                       (HEARTH_DIM_IS_SYMBOL(q) && p >= 0) ||
                       (HEARTH_DIM_IS_SYMBOL(p) && HEARTH_DIM_IS_SYMBOL(q))))
            return HEARTH_OK;
        values[i] = p == q;
    }
    hearth__ops_set_content(call, &call->out[0], values, (uint32_t)count, true);
    return HEARTH_OK;
}

HEARTH__OPS_INFER(pow)
{
    int rc = hearth__ops_begin(call, err);
    if (rc == HEARTH_OK && (hearth_dtype_bytes(call->in[1]->dtype) == 0 ||
                            call->in[1]->dtype == HEARTH_BOOL))
        rc = hearth_fail(err, HEARTH_ETYPE, "the exponent is no number");
    if (rc == HEARTH_OK)
        rc = hearth__ops_broadcast_shape(call, &call->in[0]->shape,
                                         &call->in[1]->shape,
                                         &call->out[0].shape, err);
    return rc;
}

HEARTH__OPS_INFER(test)
{
    int rc = hearth__ops_infer_unary(call, err);
    if (rc == HEARTH_OK)
        call->out[0].dtype = HEARTH_BOOL;
    return rc;
}

HEARTH__OPS_INFER(prelu)
{
    int rc = hearth__ops_infer_unary(call, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_same_dtype(call, 1, err);
    return rc == HEARTH_OK
               ? hearth__ops_broadcasts_to(&call->in[1]->shape,
                                           &call->in[0]->shape, "slope", err)
               : rc;
}

HEARTH__OPS_INFER(bits)
{
    int rc = hearth__ops_begin(call, err);
    const char *way =
        hearth_attr_string(call->graph, call->node, HEARTH_ATTR_DIRECTION, "");
    if (rc == HEARTH_OK)
        rc = hearth__ops_same_dtype(call, 1, err);
    if (rc == HEARTH_OK && call->node->op == HEARTH_OP_BIT_SHIFT &&
        strcmp(way, "LEFT") != 0 && strcmp(way, "RIGHT") != 0)
        rc = hearth_fail(err, HEARTH_EMODEL,
                         "direction '%.20s' is neither LEFT nor RIGHT", way);
    if (rc == HEARTH_OK)
        rc = hearth__ops_broadcast_shape(call, &call->in[0]->shape,
                                         &call->in[1]->shape,
                                         &call->out[0].shape, err);
    return rc;
}

HEARTH__OPS_INFER(where)
{
    int rc = hearth__ops_begin(call, err);
    struct hearth__ops_content c, a, b;
    struct hearth_value_info *out = &call->out[0];
    int64_t values[HEARTH_CONTENT_MAX], count;
    if (rc != HEARTH_OK)
        return rc;
    if (call->in[1]->dtype != call->in[2]->dtype)
        return hearth_fail(err, HEARTH_ETYPE,
                           "inputs 1 and 2 are %s and %s; they must be the "
                           "same",
                           hearth_dtype_name(call->in[1]->dtype),
                           hearth_dtype_name(call->in[2]->dtype));
    out->dtype = call->in[1]->dtype;
    rc = hearth__ops_broadcast_shape(call, &call->in[1]->shape,
                                     &call->in[2]->shape, &out->shape, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_broadcast_shape(call, &call->in[0]->shape, &out->shape,
                                         &out->shape, err);
    if (rc != HEARTH_OK || !hearth__ops_content(call->in[0], &c) || !c.known ||
        !hearth__ops_content(call->in[1], &a) ||
        !hearth__ops_content(call->in[2], &b) || a.odd || b.odd ||
        !hearth_shape_count(&out->shape, &count) ||
        count > HEARTH_CONTENT_MAX || !spreads(&a, count) ||
        !spreads(&b, count) || !spreads(&c, count))
        return rc;
    for (int64_t i = 0; i < count; i++)
        values[i] = at(&c, i) ? at(&a, i) : at(&b, i);
    hearth__ops_set_content(call, out, values, (uint32_t)count,
                            a.known && b.known);
    return HEARTH_OK;
}

/* A rank that is known, sizes that are not. */
static void fresh_dims(const struct hearth_op_call *call, int rank)
{
    struct hearth_shape *y = &call->out[0].shape;
    y->rank = rank;
    for (int i = 0; i < rank; i++)
        y->dims[i] = hearth__ops_fresh(call);
}

HEARTH__OPS_INFER(expand)
{
    int rc = hearth__ops_begin(call, err);
    struct hearth__ops_content c;
    struct hearth_shape asked = {.rank = 0};
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 1, err);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth_shape *x = &call->in[0]->shape,
                              *s = &call->in[1]->shape;
    if (s->rank > 1 || (s->rank == 1 && s->dims[0] > HEARTH_RANK_MAX))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "the shape must be a vector of at most %d sizes",
                           HEARTH_RANK_MAX);
    if (!hearth__ops_content(call->in[1], &c)) {
        if (s->rank == 1 && s->dims[0] >= 0 && x->rank >= 0)
            fresh_dims(call,
                       (int)(s->dims[0] > x->rank ? s->dims[0] : x->rank));
        return HEARTH_OK;
    }
    asked.rank = (int32_t)c.n;
    for (uint32_t i = 0; i < c.n; i++) {
        if (c.v[i] < 0 && (c.known || !HEARTH_DIM_IS_SYMBOL(c.v[i])))
            return hearth_fail(err, HEARTH_ESHAPE,
                               "the shape has the size %" PRId64, c.v[i]);
        asked.dims[i] = c.v[i];
    }
    return hearth__ops_broadcast_shape(call, x, &asked, &call->out[0].shape,
                                       err);
}

HEARTH__OPS_INFER(tile)
{
    int rc = hearth__ops_begin(call, err);
    struct hearth__ops_content c;
    const struct hearth_shape *x = &call->in[0]->shape;
    struct hearth_shape *y = &call->out[0].shape;
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 1, err);
    if (rc != HEARTH_OK)
        return rc;
    /* Also where no content tells: a scalar's copy has no size to wait for. */
    const struct hearth_shape *s = &call->in[1]->shape;
    if (s->rank >= 0 && (s->rank != 1 || (x->rank >= 0 && s->dims[0] >= 0 &&
                                          s->dims[0] != x->rank)))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "repeats must be a vector of one number for each "
                           "axis of its input");
    if (x->rank < 0)
        return HEARTH_OK;
    if (!hearth__ops_content(call->in[1], &c)) {
        fresh_dims(call, x->rank);
        return HEARTH_OK;
    }
    if (c.n != (uint32_t)x->rank)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "%" PRIu32 " repeats for rank %" PRId32, c.n,
                           x->rank);
    y->rank = x->rank;
    for (int i = 0; i < x->rank; i++) {
        int64_t times = c.v[i];
        bool symbol = !c.known && HEARTH_DIM_IS_SYMBOL(times);
        if (times < 0 && !symbol)
            return hearth_fail(err, HEARTH_ESHAPE,
                               "repeats have the number %" PRId64, times);
        if (times == 1)
            y->dims[i] = x->dims[i];
        else if (x->dims[i] == 1)
            y->dims[i] = times;
        else if (symbol || HEARTH_DIM_IS_SYMBOL(x->dims[i]))
            y->dims[i] = hearth__ops_fresh(call);
        else if (__builtin_mul_overflow(times, x->dims[i], &y->dims[i]))
            return hearth_fail(err, HEARTH_ESHAPE,
                               "%" PRId64 " times %" PRId64 " is too large",
                               times, x->dims[i]);
    }
    return HEARTH_OK;
}

/* The scalar's number, when it is known. */
static bool scalar(const struct hearth_value_info *in, union hearth__ops_num *x)
{
    int64_t count;
    if (in->data == NULL || !hearth_shape_count(&in->shape, &count) ||
        count != 1)
        return false;
    hearth__ops_load(x, in->data, in->dtype, 0, 0, 1);
    return true;
}

HEARTH__OPS_INFER(range)
{
    int rc = hearth__ops_begin(call, err);
    struct hearth_shape *y = &call->out[0].shape;
    union hearth__ops_num x[3];
    int64_t values[HEARTH_CONTENT_MAX], n = 0;
    bool known = true;
    double count;
    for (uint32_t k = 0; rc == HEARTH_OK && k < 3; k++) {
        rc = hearth__ops_same_dtype(call, k, err);
        if (rc == HEARTH_OK && call->in[k]->shape.rank > 1)
            rc = hearth_fail(err, HEARTH_ESHAPE,
                             "input %" PRIu32 " must be a scalar", k);
        if (rc == HEARTH_OK)
            rc = hearth__ops_one_element(call, k, err);
        known &= rc == HEARTH_OK && scalar(call->in[k], &x[k]);
    }
    if (rc != HEARTH_OK)
        return rc;
    y->rank = 1;
    if (!known) {
        struct hearth__ops_content start, limit, delta;
        y->dims[0] = hearth__ops_fresh(call);
        /* 0, n, 1: as many as n. */
        if (hearth__ops_content(call->in[0], &start) && start.known &&
            start.v[0] == 0 && hearth__ops_content(call->in[2], &delta) &&
            delta.known && delta.v[0] == 1 &&
            hearth__ops_content(call->in[1], &limit) && limit.n == 1)
            y->dims[0] = limit.v[0];
        return HEARTH_OK;
    }
    switch (hearth__ops_kind(call->out[0].dtype)) {
    case HEARTH__OPS_FLOAT:
        count = ceil((x[1].f - x[0].f) / x[2].f);
        break;
    case HEARTH__OPS_SIGNED:
        if (x[2].i == 0)
            return hearth_fail(err, HEARTH_EINVAL, "delta is 0");
        count = ceil(((double)x[1].i - (double)x[0].i) / (double)x[2].i);
        break;
    default:
        if (x[2].u == 0)
            return hearth_fail(err, HEARTH_EINVAL, "delta is 0");
        count = ceil(((double)x[1].u - (double)x[0].u) / (double)x[2].u);
    }
    if (!(count < 9e15)) /* NaN too */
        return hearth_fail(err, HEARTH_ESHAPE, "the range has no end");
    n = count > 0 ? (int64_t)count : 0;
    y->dims[0] = n;
    if (n > HEARTH_CONTENT_MAX ||
        hearth__ops_kind(call->out[0].dtype) != HEARTH__OPS_SIGNED)
        return HEARTH_OK;
    for (int64_t i = 0; i < n; i++)
        values[i] = (int64_t)(x[0].u + (uint64_t)i * x[2].u);
    hearth__ops_set_content(call, &call->out[0], values, (uint32_t)n, true);
    return HEARTH_OK;
}

HEARTH__OPS_INFER(layer_normalization)
{
    int rc = hearth__ops_begin(call, err);
    const struct hearth_shape *x = &call->in[0]->shape;
    struct hearth_shape inner = {.rank = 0};
    int axis;
    for (uint32_t k = 1; rc == HEARTH_OK && k < call->input_count; k++)
        rc = hearth__ops_same_dtype(call, k, err);
    if (rc != HEARTH_OK)
        return rc;
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
    for (uint32_t k = 1; rc == HEARTH_OK && k < call->input_count; k++)
        if (call->in[k] != NULL)
            rc = hearth__ops_broadcasts_to(&call->in[k]->shape, &inner,
                                           k == 1 ? "scale" : "bias", err);
    return rc;
}

HEARTH__OPS_INFER(lrn)
{
    int rc = hearth__ops_begin(call, err);
    if (rc != HEARTH_OK)
        return rc;
    call->out[0].shape = call->in[0]->shape;
    if (call->in[0]->shape.rank >= 0 && call->in[0]->shape.rank < 3)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "it takes batch, channels and "
                           "more axes");
    if (hearth_attr_int(call->graph, call->node, HEARTH_ATTR_SIZE, 0) < 1)
        return hearth_fail(err, HEARTH_EMODEL, "size must be 1 or more");
    return HEARTH_OK;
}

/* ---- Batch ---- */

HEARTH__OPS_BATCH(where)
{
    const struct hearth_shape *y = &call->out[0].shape;
    if (y->rank < 1)
        return false;
    for (uint32_t k = 0; k < 3; k++) {
        const struct hearth_shape *s = &call->in[k]->shape;
        if (s->rank < 0 ||
            (s->rank == y->rank && s->dims[0] != y->dims[0] && s->dims[0] != 1))
            return false;
        /* The batch on another axis would mix rows. */
        for (int i = s->rank == y->rank; i < s->rank; i++)
            if (HEARTH_DIM_IS_SYMBOL(y->dims[0]) && s->dims[i] == y->dims[0])
                return false;
    }
    return true;
}

/* Expand and Tile: copies along other axes only. */
HEARTH__OPS_BATCH(spread)
{
    return call->in[0]->shape.rank == call->out[0].shape.rank &&
           hearth__ops_batch_kept(call);
}

HEARTH__OPS_BATCH(layer_normalization)
{
    int axis;
    return call->in[0]->shape.rank > 1 &&
           hearth__ops_axis(
               hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, -1),
               call->in[0]->shape.rank, &axis, NULL) == 0 &&
           axis > 0;
}
