/* SPDX-License-Identifier: Apache-2.0 */
/*
 * infer_along.c: types and shapes of eval_along.c's operators, and whether they
 * leave rows alone.
 */
#include <inttypes.h>

#include "ops/ops_impl.h"

HEARTH__OPS_INFER(arg)
{
    int rc = hearth__ops_begin(call, err), axis;
    const struct hearth_shape *x = &call->in[0]->shape;
    struct hearth_shape *y = &call->out[0].shape;
    bool keep =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_KEEPDIMS, 1) != 0;
    if (rc != HEARTH_OK)
        return rc;
    call->out[0].dtype = HEARTH_I64;
    if (x->rank < 0)
        return HEARTH_OK;
    rc = hearth__ops_axis(
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, 0), x->rank,
        &axis, err);
    if (rc != HEARTH_OK)
        return rc;
    y->rank = 0;
    for (int i = 0; i < x->rank; i++)
        if (i != axis || keep)
            y->dims[y->rank++] = i == axis ? 1 : x->dims[i];
    return HEARTH_OK;
}

HEARTH__OPS_INFER(running)
{
    int rc = hearth__ops_begin(call, err), axis;
    struct hearth__ops_content c;
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 1, err);
    if (rc != HEARTH_OK)
        return rc;
    call->out[0].shape = call->in[0]->shape;
    if (call->in[0]->shape.rank < 0 || !hearth__ops_content(call->in[1], &c) ||
        !c.known)
        return HEARTH_OK;
    if (c.n != 1)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "%" PRIu32 " axes, there must be one", c.n);
    return hearth__ops_axis(c.v[0], call->in[0]->shape.rank, &axis, err);
}

HEARTH__OPS_INFER(top_k)
{
    int rc = hearth__ops_begin(call, err), axis;
    struct hearth__ops_content k;
    struct hearth_shape *y = &call->out[0].shape;
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 1, err);
    if (rc != HEARTH_OK)
        return rc;
    bool told = hearth__ops_content(call->in[1], &k);
    *y = call->in[0]->shape;
    if (told && (k.n != 1 || (k.known && k.v[0] < 0)))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "how many are asked for is not one number >= 0");
    if (y->rank >= 0) {
        rc = hearth__ops_axis(
            hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, -1),
            y->rank, &axis, err);
        if (rc != HEARTH_OK)
            return rc;
        int64_t size = y->dims[axis];
        y->dims[axis] = told ? k.v[0] : hearth__ops_fresh(call);
        if (told && k.known && !HEARTH_DIM_IS_SYMBOL(size) && k.v[0] > size)
            return hearth_fail(err, HEARTH_ESHAPE,
                               "%" PRId64 " of %" PRId64 " are asked for",
                               k.v[0], size);
    }
    if (call->output_count > 1) {
        call->out[1].shape = *y;
        call->out[1].dtype = HEARTH_I64;
    }
    return HEARTH_OK;
}

/* The axis stands in input 1. */
HEARTH__OPS_BATCH(running)
{
    struct hearth__ops_content c;
    int axis;
    return hearth__ops_content(call->in[1], &c) && c.known && c.n == 1 &&
           hearth__ops_axis(c.v[0], call->in[0]->shape.rank, &axis, NULL) ==
               0 &&
           axis != 0;
}

/* One axis that is not axis 0, which stays where it is. */
HEARTH__OPS_BATCH(arg)
{
    int axis;
    return hearth__ops_axis(
               hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, 0),
               call->in[0]->shape.rank, &axis, NULL) == 0 &&
           axis != 0;
}
