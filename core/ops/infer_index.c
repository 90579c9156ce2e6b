/* SPDX-License-Identifier: Apache-2.0 */
/*
 * infer_index.c: types and shapes of eval_index.c's operators, and whether they
 * leave rows alone: an index may reach any row of a tensor whose first axis it
 * counts along, so that the batch must be an axis common to all.
 */
#include <inttypes.h>
#include <string.h>

#include "ops/ops_impl.h"

int hearth__ops_one_element(const struct hearth_op_call *call, uint32_t k,
                            struct hearth_error *err)
{
    const struct hearth_value_info *in = hearth__ops_in(call, k);
    int64_t count;
    if (in == NULL || !hearth_shape_count(&in->shape, &count) || count == 1)
        return HEARTH_OK;
    return hearth_fail(err, HEARTH_ESHAPE,
                       "input %" PRIu32 " has %" PRId64
                       " elements, it must have one",
                       k, count);
}

/* Input 0's and input <k>'s sizes on axis <i> are the same. */
static int same_size(const struct hearth_op_call *call, uint32_t k, int i,
                     int64_t a, int64_t b, struct hearth_error *err)
{
    (void)call;
    if (a == b || HEARTH_DIM_IS_SYMBOL(a) || HEARTH_DIM_IS_SYMBOL(b))
        return HEARTH_OK;
    return hearth_fail(err, HEARTH_ESHAPE,
                       "input %" PRIu32 " has size %" PRId64
                       " on axis %d, it must be %" PRId64,
                       k, b, i, a);
}

static int same_shape(const struct hearth_op_call *call, uint32_t k,
                      const struct hearth_shape *want, struct hearth_error *err)
{
    const struct hearth_shape *s = &call->in[k]->shape;
    int rc = HEARTH_OK;
    if (s->rank < 0)
        return HEARTH_OK;
    if (s->rank != want->rank)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "input %" PRIu32 " has rank %" PRId32
                           ", it must have %" PRId32,
                           k, s->rank, want->rank);
    for (int i = 0; rc == HEARTH_OK && i < s->rank; i++)
        rc = same_size(call, k, i, want->dims[i], s->dims[i], err);
    return rc;
}

static int reduction(const struct hearth_op_call *call,
                     struct hearth_error *err)
{
    static const char *const names[] = {"none", "add", "mul", "max", "min"};
    const char *name = hearth_attr_string(call->graph, call->node,
                                          HEARTH_ATTR_REDUCTION, "none");
    for (int i = 0; i < 5; i++)
        if (strcmp(name, names[i]) == 0)
            return HEARTH_OK;
    return hearth_fail(err, HEARTH_EMODEL, "reduction '%.20s' does not exist",
                       name);
}

/* ---- GatherElements, ScatterElements ---- */

/* The indices reach no further than the data on the axes they do not index. */
static int elements(const struct hearth_op_call *call, struct hearth_error *err)
{
    int rc = hearth__ops_begin(call, err), axis;
    const struct hearth_shape *x = &call->in[0]->shape;
    const struct hearth_shape *s = NULL;
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 1, err);
    if (rc != HEARTH_OK || x->rank < 0)
        return rc;
    s = &call->in[1]->shape;
    rc = hearth__ops_axis(
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, 0), x->rank,
        &axis, err);
    if (rc != HEARTH_OK || s->rank < 0)
        return rc;
    if (s->rank != x->rank)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "indices of rank %" PRId32 " for rank %" PRId32,
                           s->rank, x->rank);
    for (int i = 0; i < s->rank; i++)
        if (i != axis && !HEARTH_DIM_IS_SYMBOL(s->dims[i]) &&
            !HEARTH_DIM_IS_SYMBOL(x->dims[i]) && s->dims[i] > x->dims[i])
            return hearth_fail(err, HEARTH_ESHAPE,
                               "indices of size %" PRId64
                               " on axis %d, the data have %" PRId64,
                               s->dims[i], i, x->dims[i]);
    return HEARTH_OK;
}

HEARTH__OPS_INFER(gather_elements)
{
    int rc = elements(call, err);
    if (rc == HEARTH_OK)
        call->out[0].shape = call->in[1]->shape;
    return rc;
}

HEARTH__OPS_INFER(scatter_elements)
{
    int rc = elements(call, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_same_dtype(call, 2, err);
    if (rc == HEARTH_OK)
        rc = reduction(call, err);
    if (rc == HEARTH_OK && call->in[1]->shape.rank >= 0)
        rc = same_shape(call, 2, &call->in[1]->shape, err);
    if (rc == HEARTH_OK)
        call->out[0].shape = call->in[0]->shape;
    return rc;
}

/* ---- GatherND, ScatterND ---- */

/* Axes of <indices> but the last, then those of the data after <batch> and the
 * tuple: the shape of what the tuples name. Rank -1: not known. */
static int named(const struct hearth_op_call *call, int64_t batch,
                 struct hearth_shape *y, struct hearth_error *err)
{
    const struct hearth_shape *x = &call->in[0]->shape;
    const struct hearth_shape *s = &call->in[1]->shape;
    y->rank = -1;
    if (x->rank < 0 || s->rank < 0)
        return HEARTH_OK;
    if (s->rank < 1 || batch < 0 || batch >= s->rank || batch >= x->rank)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "%" PRId64 " batch axes of ranks %" PRId32
                           " and %" PRId32,
                           batch, x->rank, s->rank);
    int64_t tuple = s->dims[s->rank - 1];
    if (HEARTH_DIM_IS_SYMBOL(tuple))
        return HEARTH_OK;
    if (tuple > x->rank - batch)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "tuples of %" PRId64 " indices for rank %" PRId32,
                           tuple, x->rank);
    int64_t rank = s->rank - 1 + x->rank - batch - tuple;
    if (rank > HEARTH_RANK_MAX)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "result has rank %" PRId64 ", the most is %d", rank,
                           HEARTH_RANK_MAX);
    y->rank = 0;
    for (int i = 0; i + 1 < s->rank; i++)
        y->dims[y->rank++] = s->dims[i];
    for (int i = (int)(batch + tuple); i < x->rank; i++)
        y->dims[y->rank++] = x->dims[i];
    return HEARTH_OK;
}

HEARTH__OPS_INFER(gather_nd)
{
    int rc = hearth__ops_begin(call, err);
    int64_t batch =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_BATCH_DIMS, 0);
    const struct hearth_shape *x, *s;
    struct hearth_shape *y = &call->out[0].shape;
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 1, err);
    if (rc == HEARTH_OK)
        rc = named(call, batch, y, err);
    if (rc != HEARTH_OK || y->rank < 0)
        return rc;
    x = &call->in[0]->shape;
    s = &call->in[1]->shape;
    for (int i = 0; rc == HEARTH_OK && i < batch; i++) {
        rc = same_size(call, 1, i, x->dims[i], s->dims[i], err);
        if (rc == HEARTH_OK)
            rc = hearth__ops_merge_dim(x->dims[i], s->dims[i], &y->dims[i],
                                       "batch axes", err);
    }
    return rc;
}

HEARTH__OPS_INFER(scatter_nd)
{
    int rc = hearth__ops_begin(call, err);
    struct hearth_shape updates;
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 1, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_same_dtype(call, 2, err);
    if (rc == HEARTH_OK)
        rc = reduction(call, err);
    if (rc == HEARTH_OK)
        rc = named(call, 0, &updates, err);
    if (rc == HEARTH_OK && updates.rank >= 0)
        rc = same_shape(call, 2, &updates, err);
    if (rc == HEARTH_OK)
        call->out[0].shape = call->in[0]->shape;
    return rc;
}

/* ---- OneHot ---- */

/* The depth, or a symbol. */
static int depth_of(const struct hearth_op_call *call, int64_t *depth,
                    struct hearth_error *err)
{
    const struct hearth_value_info *in = call->in[1];
    struct hearth__ops_content c;
    int64_t count;
    if (in->data != NULL && hearth_shape_count(&in->shape, &count) &&
        count == 1) {
        union hearth__ops_num x;
        hearth__ops_load(&x, in->data, in->dtype, 0, 0, 1);
        hearth__ops_convert(&x, 1, in->dtype, HEARTH_I64);
        *depth = x.i;
    } else if (hearth__ops_content(in, &c) && c.n == 1 &&
               HEARTH_DIM_IS_SYMBOL(c.v[0])) {
        *depth = c.v[0];
        return HEARTH_OK;
    } else {
        *depth = hearth__ops_fresh(call);
        return HEARTH_OK;
    }
    return *depth >= 0
               ? HEARTH_OK
               : hearth_fail(err, HEARTH_EMODEL, "a depth of %" PRId64, *depth);
}

HEARTH__OPS_INFER(one_hot)
{
    int rc = hearth__ops_begin(call, err), axis;
    const struct hearth_shape *x = &call->in[0]->shape;
    struct hearth_shape *y = &call->out[0].shape;
    int64_t depth, count;
    if (rc == HEARTH_OK)
        rc = hearth__ops_one_element(call, 1, err);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth_value_info *values = call->in[2];
    if (hearth__ops_kind(call->in[1]->dtype) == HEARTH__OPS_NONE ||
        hearth_dtype_bytes(values->dtype) == 0 ||
        (values->shape.rank >= 0 && values->shape.rank != 1) ||
        (hearth_shape_count(&values->shape, &count) && count != 2))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "the depth is no number, or the values are not "
                           "two");
    call->out[0].dtype = values->dtype;
    if (x->rank < 0)
        return HEARTH_OK;
    if (x->rank == HEARTH_RANK_MAX)
        return hearth_fail(err, HEARTH_ESHAPE, "the result would have rank %d",
                           x->rank + 1);
    rc = hearth__ops_axis(
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, -1),
        x->rank + 1, &axis, err);
    if (rc == HEARTH_OK)
        rc = depth_of(call, &depth, err);
    if (rc != HEARTH_OK)
        return rc;
    y->rank = x->rank + 1;
    for (int i = 0; i < y->rank; i++)
        y->dims[i] = i == axis ? depth : x->dims[i < axis ? i : i - 1];
    return HEARTH_OK;
}

/* ---- Batch ---- */

static bool has_dim(const struct hearth_shape *s, int from, int64_t dim)
{
    for (int i = from; i < s->rank; i++)
        if (s->dims[i] == dim)
            return true;
    return false;
}

/* Is axis 0 of every input the batch, and not the axis that is indexed? */
HEARTH__OPS_BATCH(elements)
{
    int axis;
    const struct hearth_shape *y = &call->out[0].shape;
    if (y->rank < 2 ||
        hearth__ops_axis(
            hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, 0),
            y->rank, &axis, NULL) != 0 ||
        axis == 0)
        return false;
    for (uint32_t k = 0; k < call->input_count; k++)
        if (call->in[k]->shape.rank < 1 ||
            call->in[k]->shape.dims[0] != y->dims[0])
            return false;
    return true;
}

HEARTH__OPS_BATCH(gather_nd)
{
    const struct hearth_shape *x = &call->in[0]->shape;
    const struct hearth_shape *s = &call->in[1]->shape;
    const struct hearth_shape *y = &call->out[0].shape;
    if (x->rank < 1 || s->rank < 2 || y->rank < 1 || s->dims[0] != y->dims[0])
        return false;
    if (hearth_attr_int(call->graph, call->node, HEARTH_ATTR_BATCH_DIMS, 0) > 0)
        return x->dims[0] == y->dims[0];
    /* Tuples a row, into a table that is the same for all rows. */
    return HEARTH_DIM_IS_SYMBOL(y->dims[0]) && !has_dim(x, 0, y->dims[0]);
}

HEARTH__OPS_BATCH(one_hot)
{
    const struct hearth_shape *x = &call->in[0]->shape;
    int axis;
    return x->rank > 0 &&
           hearth__ops_axis(
               hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, -1),
               x->rank + 1, &axis, NULL) == 0 &&
           axis != 0;
}
