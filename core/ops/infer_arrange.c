/* SPDX-License-Identifier: Apache-2.0 */
/*
 * infer_arrange.c: types and shapes of eval_arrange.c's operators, and whether
 * they leave rows alone.
 */
#include <inttypes.h>
#include <string.h>

#include "ops/ops_impl.h"

HEARTH__OPS_INFER(trilu)
{
    int rc = hearth__ops_infer_unary(call, err);
    if (rc == HEARTH_OK && call->in[0]->shape.rank >= 0 &&
        call->in[0]->shape.rank < 2)
        rc = hearth_fail(err, HEARTH_ESHAPE, "it takes matrices");
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 1, err);
    return rc == HEARTH_OK ? hearth__ops_one_element(call, 1, err) : rc;
}

HEARTH__OPS_INFER(eye_like)
{
    int rc = hearth__ops_infer_unary(call, err);
    if (rc != HEARTH_OK)
        return rc;
    int64_t to = hearth_attr_int(call->graph, call->node, HEARTH_ATTR_TO,
                                 call->in[0]->dtype);
    if (call->in[0]->shape.rank >= 0 && call->in[0]->shape.rank != 2)
        return hearth_fail(err, HEARTH_ESHAPE, "it takes a matrix");
    if (to <= 0 || to > UINT8_MAX ||
        hearth_dtype_bytes((enum hearth_dtype)to) == 0)
        return hearth_fail(err, HEARTH_ETYPE,
                           "element type %" PRId64 " is not supported", to);
    call->out[0].dtype = (enum hearth_dtype)to;
    return HEARTH_OK;
}

HEARTH__OPS_INFER(bit_cast)
{
    int rc = hearth__ops_infer_unary(call, err);
    if (rc != HEARTH_OK)
        return rc;
    int64_t to = hearth_attr_int(call->graph, call->node, HEARTH_ATTR_TO, 0);
    enum hearth_dtype dtype = call->in[0]->dtype;
    if (to <= 0 || to > UINT8_MAX ||
        hearth_dtype_bytes((enum hearth_dtype)to) != hearth_dtype_bytes(dtype))
        return hearth_fail(err, HEARTH_ETYPE,
                           "%s has not as many bits as element type %" PRId64,
                           hearth_dtype_name(dtype), to);
    call->out[0].dtype = (enum hearth_dtype)to;
    return HEARTH_OK;
}

HEARTH__OPS_INFER(reverse_sequence)
{
    int rc = hearth__ops_infer_unary(call, err);
    int64_t batch =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_BATCH_AXIS, 1);
    int64_t time =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_TIME_AXIS, 0);
    const struct hearth_shape *x = &call->in[0]->shape;
    int64_t merged;
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 1, err);
    if (rc != HEARTH_OK)
        return rc;
    if (batch < 0 || batch > 1 || time != 1 - batch)
        return hearth_fail(err, HEARTH_EMODEL,
                           "batch axis %" PRId64 " and time axis %" PRId64
                           " are not 0 and 1",
                           batch, time);
    const struct hearth_shape *n = &call->in[1]->shape;
    if ((x->rank >= 0 && x->rank < 2) || (n->rank >= 0 && n->rank != 1))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "it takes sequences and a vector of their lengths");
    if (x->rank < 0 || n->rank < 0)
        return HEARTH_OK;
    return hearth__ops_merge_dim(x->dims[batch], n->dims[0], &merged,
                                 "sequences and lengths", err);
}

/* ---- DepthToSpace, SpaceToDepth ---- */

/* <dim> times or by <factor>; a symbol becomes another one. */
static int scale_dim(const struct hearth_op_call *call, int64_t dim,
                     int64_t factor, bool up, int64_t *out,
                     struct hearth_error *err)
{
    if (HEARTH_DIM_IS_SYMBOL(dim)) {
        *out = factor == 1 ? dim : hearth__ops_fresh(call);
        return HEARTH_OK;
    }
    if (up ? __builtin_mul_overflow(dim, factor, out) : dim % factor != 0)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "size %" PRId64 " does not suit blocks of %" PRId64,
                           dim, factor);
    if (!up)
        *out = dim / factor;
    return HEARTH_OK;
}

HEARTH__OPS_INFER(blocks)
{
    int rc = hearth__ops_infer_unary(call, err);
    bool up = call->node->op == HEARTH_OP_DEPTH_TO_SPACE;
    const char *mode =
        hearth_attr_string(call->graph, call->node, HEARTH_ATTR_MODE, "DCR");
    int64_t b =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_BLOCK_SIZE, 0);
    struct hearth_shape *y = &call->out[0].shape;
    int64_t square;
    if (rc != HEARTH_OK)
        return rc;
    if (b < 1 || __builtin_mul_overflow(b, b, &square) ||
        (strcmp(mode, "DCR") != 0 && strcmp(mode, "CRD") != 0))
        return hearth_fail(err, HEARTH_EMODEL,
                           "blocks of %" PRId64 " in mode '%.20s'", b, mode);
    if (y->rank < 0)
        return HEARTH_OK;
    if (y->rank != 4)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "input of rank %" PRId32 " is not [N,C,H,W]",
                           y->rank);
    rc = scale_dim(call, y->dims[1], square, !up, &y->dims[1], err);
    for (int i = 2; rc == HEARTH_OK && i < 4; i++)
        rc = scale_dim(call, y->dims[i], b, up, &y->dims[i], err);
    return rc;
}

/* ---- CenterCropPad ---- */

HEARTH__OPS_INFER(center)
{
    int rc = hearth__ops_infer_unary(call, err);
    struct hearth_shape *y = &call->out[0].shape;
    struct hearth__ops_content c;
    uint32_t count, set;
    const int64_t *axes =
        hearth_attr_ints(call->graph, call->node, HEARTH_ATTR_AXES, &count);
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 1, err);
    if (rc != HEARTH_OK || y->rank < 0)
        return rc;
    if (axes == NULL)
        count = (uint32_t)y->rank;
    bool told = hearth__ops_content(call->in[1], &c);
    int64_t given;
    if (call->in[1]->shape.rank > 1 || (told && c.n != count) ||
        count > (uint32_t)y->rank ||
        (hearth_shape_count(&call->in[1]->shape, &given) &&
         given != (int64_t)count))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "the sizes are not one for each axis");
    if (axes != NULL)
        rc = hearth__ops_axis_set(axes, count, y->rank, &set, err);
    for (uint32_t i = 0; rc == HEARTH_OK && i < count; i++) {
        int axis = (int)i;
        if (axes != NULL)
            rc = hearth__ops_axis(axes[i], y->rank, &axis, err);
        if (rc != HEARTH_OK)
            return rc;
        bool number = told && (c.known || !HEARTH_DIM_IS_SYMBOL(c.v[i]));
        if (number && c.v[i] < 0)
            return hearth_fail(err, HEARTH_ESHAPE, "size %" PRId64, c.v[i]);
        y->dims[axis] = told ? c.v[i] : hearth__ops_fresh(call);
    }
    return rc;
}

/* ---- TensorScatter ---- */

HEARTH__OPS_INFER(tensor_scatter)
{
    int rc = hearth__ops_infer_unary(call, err), axis;
    const char *mode =
        hearth_attr_string(call->graph, call->node, HEARTH_ATTR_MODE, "linear");
    const struct hearth_shape *x = &call->in[0]->shape;
    int64_t merged;
    if (rc == HEARTH_OK)
        rc = hearth__ops_same_dtype(call, 1, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 2, err);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth_shape *u = &call->in[1]->shape;
    const struct hearth_value_info *at = hearth__ops_in(call, 2);
    if (strcmp(mode, "linear") != 0 && strcmp(mode, "circular") != 0)
        return hearth_fail(err, HEARTH_EMODEL, "mode '%.20s' does not exist",
                           mode);
    if (x->rank < 0 || u->rank < 0)
        return HEARTH_OK;
    rc = hearth__ops_axis(
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, -2), x->rank,
        &axis, err);
    if (rc != HEARTH_OK)
        return rc;
    if (axis == 0 || u->rank != x->rank ||
        (at != NULL && at->shape.rank >= 0 && at->shape.rank != 1))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "axis 0 is the batch, and cache and update have the "
                           "same rank");
    for (int i = 0; rc == HEARTH_OK && i < x->rank; i++) {
        if (i != axis)
            rc = hearth__ops_merge_dim(x->dims[i], u->dims[i], &merged,
                                       "cache and update", err);
        else if (!HEARTH_DIM_IS_SYMBOL(x->dims[i]) &&
                 !HEARTH_DIM_IS_SYMBOL(u->dims[i]) && u->dims[i] > x->dims[i])
            rc = hearth_fail(err, HEARTH_ESHAPE,
                             "%" PRId64 " steps do not fit into %" PRId64,
                             u->dims[i], x->dims[i]);
    }
    if (rc == HEARTH_OK && at != NULL && at->shape.rank == 1)
        rc = hearth__ops_merge_dim(x->dims[0], at->shape.dims[0], &merged,
                                   "batch and write indices", err);
    return rc;
}

/* ---- Batch ---- */

/* The matrices are the last two axes. */
HEARTH__OPS_BATCH(matrices)
{
    return call->in[0]->shape.rank > 2;
}

HEARTH__OPS_BATCH(reverse_sequence)
{
    const struct hearth_shape *x = &call->in[0]->shape;
    return hearth_attr_int(call->graph, call->node, HEARTH_ATTR_BATCH_AXIS,
                           1) == 0 &&
           x->rank > 1 && call->in[1]->shape.rank == 1 &&
           call->in[1]->shape.dims[0] == x->dims[0];
}

/* Axis 0 stays as it is when it is not named. */
HEARTH__OPS_BATCH(center)
{
    uint32_t count, set;
    const int64_t *axes =
        hearth_attr_ints(call->graph, call->node, HEARTH_ATTR_AXES, &count);
    int rank = call->in[0]->shape.rank;
    return axes != NULL && rank > 0 &&
           hearth__ops_axis_set(axes, count, rank, &set, NULL) == HEARTH_OK &&
           !(set & 1u);
}

HEARTH__OPS_BATCH(tensor_scatter)
{
    const struct hearth_shape *x = &call->in[0]->shape;
    for (uint32_t k = 1; k < call->input_count; k++)
        if (call->in[k] != NULL &&
            (call->in[k]->shape.rank < 1 || x->rank < 1 ||
             call->in[k]->shape.dims[0] != x->dims[0]))
            return false;
    return x->rank > 0;
}
