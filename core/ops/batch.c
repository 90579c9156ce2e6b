/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch.c: does axis 0 of the output stay an independent batch? Asked by the
 * importer after infer, with symbolic shapes: a batched value is one whose axis
 * 0 is the batch's symbol, so that the question is answered by where that
 * symbol stands, and by the attributes that could mix rows.
 *
 * The answers lean to no: a wrong yes would mix the answers of two clients.
 */
#include "ops/ops_impl.h"

static const struct hearth_shape *shape_of(const struct hearth_op_call *call,
                                           uint32_t k)
{
    const struct hearth_value_info *in = hearth__ops_in(call, k);
    return in == NULL ? NULL : &in->shape;
}

static bool has_dim(const struct hearth_shape *s, int from, int64_t dim)
{
    for (int i = from; i < s->rank; i++)
        if (s->dims[i] == dim)
            return true;
    return false;
}

/* Axis 0 of the output, when it has one. */
static bool batch_of(const struct hearth_op_call *call, int64_t *dim)
{
    const struct hearth_shape *y = &call->out[0].shape;
    if (y->rank < 1)
        return false;
    *dim = y->dims[0];
    return true;
}

/* Axis 0 of <s> is the batch of a result of rank <rank>, or <s> is the same for
 * every row. */
static bool rows_match(const struct hearth_shape *s, int rank, int64_t batch)
{
    if (s == NULL)
        return true;
    if (s->rank < 0)
        return false;
    /* A batch on any other axis would mix rows. */
    if (HEARTH_DIM_IS_SYMBOL(batch) && has_dim(s, s->rank == rank, batch))
        return false;
    return s->rank < rank || s->dims[0] == batch || s->dims[0] == 1;
}

HEARTH__OPS_BATCH(never)
{
    (void)call;
    return false;
}

HEARTH__OPS_BATCH(broadcast)
{
    int64_t batch;
    int rank = call->out[0].shape.rank;
    if (!batch_of(call, &batch))
        return false;
    return rows_match(shape_of(call, 0), rank, batch) &&
           rows_match(shape_of(call, 1), rank, batch);
}

HEARTH__OPS_BATCH(softmax)
{
    int axis, rank = call->in[0]->shape.rank;
    int64_t value =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, -1);
    return rank > 0 && hearth__ops_axis(value, rank, &axis, NULL) == 0 &&
           axis != 0;
}

/* Indices count from the start of the whole tensor. */
HEARTH__OPS_BATCH(pool)
{
    return call->output_count < 2;
}

HEARTH__OPS_BATCH(gemm)
{
    int64_t batch;
    const struct hearth_shape *a = shape_of(call, 0);
    return batch_of(call, &batch) && a->rank == 2 && a->dims[0] == batch &&
           !hearth_attr_int(call->graph, call->node, HEARTH_ATTR_TRANS_A, 0) &&
           rows_match(shape_of(call, 2), 2, batch);
}

HEARTH__OPS_BATCH(matmul)
{
    int64_t batch;
    int rank = call->out[0].shape.rank;
    const struct hearth_shape *a = shape_of(call, 0), *b = shape_of(call, 1);
    if (!batch_of(call, &batch) || a->rank < 2 || b->rank < 1)
        return false;
    /* Rows of a matrix A, or stacked matrices; B's only as stacked ones. */
    if (b->rank == 1)
        return a->dims[0] == batch && b->dims[0] != batch;
    if (b->rank == 2 && rank == 2)
        return a->dims[0] == batch && !has_dim(b, 0, batch) &&
               rows_match(shape_of(call, 3), rank, batch);
    return rows_match(a, rank, batch) && rows_match(b, rank, batch) &&
           rows_match(shape_of(call, 3), rank, batch);
}

HEARTH__OPS_BATCH(concat)
{
    int64_t batch;
    int axis;
    int64_t value =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, 0);
    if (!batch_of(call, &batch) ||
        hearth__ops_axis(value, call->out[0].shape.rank, &axis, NULL) != 0 ||
        axis == 0)
        return false;
    for (uint32_t k = 0; k < call->input_count; k++)
        if (call->in[k]->shape.rank < 1 || call->in[k]->shape.dims[0] != batch)
            return false;
    return true;
}

/* Elements keep their order, so an equal axis 0 keeps its rows. */
HEARTH__OPS_BATCH(kept)
{
    int64_t batch;
    const struct hearth_shape *x = shape_of(call, 0);
    return batch_of(call, &batch) && x->rank > 0 && x->dims[0] == batch;
}

HEARTH__OPS_BATCH(transpose)
{
    uint32_t count;
    const int64_t *perm =
        hearth_attr_ints(call->graph, call->node, HEARTH_ATTR_PERM, &count);
    int rank = call->in[0]->shape.rank;
    if (perm == NULL)
        return rank == 1;
    return count > 0 && (perm[0] == 0 || perm[0] == -(int64_t)count);
}

HEARTH__OPS_BATCH(gather)
{
    int64_t batch;
    int axis;
    const struct hearth_shape *x = shape_of(call, 0), *s = shape_of(call, 1);
    int64_t value =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, 0);
    if (!batch_of(call, &batch) ||
        hearth__ops_axis(value, x->rank, &axis, NULL) != 0 || s->rank < 0)
        return false;
    if (axis != 0) /* the same elements of each row */
        return x->dims[0] == batch && !has_dim(s, 0, batch);
    /* a row of a table for each index */
    return s->rank > 0 && s->dims[0] == batch && !has_dim(x, 0, batch);
}

/* Contents of an axes input; false when they are not known. */
static bool axes_of(const struct hearth_op_call *call, uint32_t k,
                    struct hearth__ops_content *c)
{
    return hearth__ops_content(hearth__ops_in(call, k), c) && c->known;
}

HEARTH__OPS_BATCH(slice)
{
    struct hearth__ops_content starts, ends, axes, steps;
    bool has_axes = hearth__ops_in(call, 3) != NULL;
    bool has_steps = hearth__ops_in(call, 4) != NULL;
    struct hearth__ops_slices slices;
    if (!hearth__ops_content(hearth__ops_in(call, 1), &starts) ||
        !hearth__ops_content(hearth__ops_in(call, 2), &ends) ||
        (has_axes && !axes_of(call, 3, &axes)) ||
        (has_steps && !axes_of(call, 4, &steps)) ||
        call->in[0]->shape.rank < 1 ||
        hearth__ops_slices(call->in[0]->shape.rank, &starts, &ends,
                           has_axes ? &axes : NULL, has_steps ? &steps : NULL,
                           &slices, NULL) != HEARTH_OK)
        return false;
    /* Infer keeps the size of axis 0 only where all of it is kept; reversed
     * rows would be somebody else's. */
    return !(slices.set & 1u) ||
           (slices.step[0] > 0 && hearth__ops_batch_kept(call));
}

HEARTH__OPS_BATCH(pad)
{
    struct hearth__ops_content pads, axes;
    bool has_axes = hearth__ops_in(call, 3) != NULL;
    int64_t begin[HEARTH_RANK_MAX], end[HEARTH_RANK_MAX];
    if (!hearth__ops_content(hearth__ops_in(call, 1), &pads) ||
        (has_axes && !axes_of(call, 3, &axes)) || call->in[0]->shape.rank < 1 ||
        hearth__ops_pads(call->in[0]->shape.rank, &pads,
                         has_axes ? &axes : NULL, begin, end, NULL) != 0)
        return false;
    return begin[0] == 0 && end[0] == 0;
}

HEARTH__OPS_BATCH(reduce_mean)
{
    struct hearth__ops_content axes = {0};
    uint32_t set;
    int rank = call->in[0]->shape.rank;
    if (rank < 1 ||
        (hearth__ops_in(call, 1) != NULL && !axes_of(call, 1, &axes)) ||
        hearth__ops_axis_set(axes.v, axes.n, rank, &set, NULL) != HEARTH_OK)
        return false;
    if (axes.n == 0)
        return hearth_attr_int(call->graph, call->node,
                               HEARTH_ATTR_NOOP_WITH_EMPTY_AXES, 0) != 0;
    return !(set & 1u);
}
