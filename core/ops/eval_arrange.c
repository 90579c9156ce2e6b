/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval_arrange.c: operators that lay out elements by their place alone: Trilu,
 * EyeLike, ReverseSequence, DepthToSpace, SpaceToDepth, CenterCropPad,
 * TensorScatter, BitCast. Strided copies, as in eval_move.c.
 */
#include <inttypes.h>
#include <string.h>

#include "ops/ops_impl.h"

typedef union hearth__ops_num num_t;

static int mismatch(struct hearth_error *err)
{
    return hearth_fail(err, HEARTH_ESHAPE,
                       "result was not allocated for these inputs");
}

static struct hearth_view cut(const struct hearth_view *view, int axis,
                              int64_t start, int64_t count)
{
    struct hearth_view v = *view;
    int64_t all;
    /* Beside an empty axis strides may be anything. */
    if (!hearth_shape_count(&view->shape, &all) || all > 0)
        v.data = hearth__ops_at(view, start * view->strides[axis]);
    v.shape.dims[axis] = count;
    return v;
}

/* The result, which is dense, becomes 0. */
static int clear(struct hearth_view *y, struct hearth_error *err)
{
    uint64_t bytes;
    if (!hearth_shape_bytes(&y->shape, y->dtype, &bytes))
        return mismatch(err);
    if (bytes > 0)
        memset(y->data, 0, (size_t)bytes);
    return HEARTH_OK;
}

/* ---- Trilu, EyeLike ---- */

/* <row> + <k>, cut to [0, columns]. */
static int64_t diagonal(int64_t row, int64_t k, int64_t columns)
{
    int64_t at;
    if (__builtin_add_overflow(row, k, &at))
        return columns;
    return at < 0 ? 0 : at > columns ? columns : at;
}

HEARTH__OPS_EVAL(trilu)
{
    struct hearth_view *y = &out[0];
    bool upper =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_UPPER, 1) != 0;
    int rank = y->shape.rank;
    size_t size = hearth_dtype_bytes(y->dtype);
    num_t k = {.i = 0};
    int64_t count;
    if (call->input_count > 1 && in[1] != NULL)
        hearth__ops_load(&k, in[1]->data, in[1]->dtype, 0, 0, 1);
    if (rank < 2 || !hearth_shape_equal(&in[0]->shape, &y->shape) ||
        !hearth_shape_count(&y->shape, &count))
        return mismatch(err);
    hearth__ops_copy(y, in[0]);
    int64_t rows = y->shape.dims[rank - 2], columns = y->shape.dims[rank - 1];
    if (count == 0)
        return HEARTH_OK;
    for (int64_t r = 0; r < count / columns; r++) {
        char *row = (char *)y->data + (size_t)(r * columns) * size;
        /* Below the diagonal its first kept column, else the one after it. */
        int64_t at = diagonal(r % rows + !upper, k.i, columns);
        if (upper)
            memset(row, 0, (size_t)at * size);
        else
            memset(row + (size_t)at * size, 0, (size_t)(columns - at) * size);
    }
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(eye_like)
{
    struct hearth_view *y = &out[0];
    int64_t k = hearth_attr_int(call->graph, call->node, HEARTH_ATTR_K, 0);
    num_t one = {.u = 1};
    (void)in;
    if (hearth__ops_kind(y->dtype) == HEARTH__OPS_FLOAT)
        one.f = 1;
    int rc = clear(y, err);
    for (int64_t r = 0; rc == HEARTH_OK && r < y->shape.dims[0]; r++) {
        int64_t at;
        if (!__builtin_add_overflow(r, k, &at) && at >= 0 &&
            at < y->shape.dims[1])
            hearth__ops_store(y->data, y->dtype,
                              r * y->strides[0] + at * y->strides[1], 0, &one,
                              1);
    }
    return rc;
}

/* ---- ReverseSequence ---- */

HEARTH__OPS_EVAL(reverse_sequence)
{
    int64_t by =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_BATCH_AXIS, 1);
    int batch = by != 0, time = !batch;
    int64_t steps = in[0]->shape.dims[time];
    if (!hearth_shape_equal(&in[0]->shape, &out[0].shape) ||
        in[1]->shape.dims[0] != in[0]->shape.dims[batch])
        return mismatch(err);
    for (int64_t b = 0; b < in[0]->shape.dims[batch]; b++) {
        struct hearth_view x = hearth__ops_take_axis(in[0], batch, b);
        struct hearth_view y = hearth__ops_take_axis(&out[0], batch, b);
        num_t n;
        hearth__ops_load(&n, in[1]->data, in[1]->dtype, b * in[1]->strides[0],
                         0, 1);
        if (n.i < 0 || n.i > steps)
            return hearth_fail(err, HEARTH_EINVAL,
                               "a sequence of %" PRId64 " steps in %" PRId64,
                               n.i, steps);
        /* Its steps backwards, the rest as it is. */
        struct hearth_view from = cut(&x, 0, n.i > 0 ? n.i - 1 : 0, n.i);
        struct hearth_view to = cut(&y, 0, 0, n.i);
        from.strides[0] = -from.strides[0];
        hearth__ops_copy(&to, &from);
        from = cut(&x, 0, n.i, steps - n.i);
        to = cut(&y, 0, n.i, steps - n.i);
        hearth__ops_copy(&to, &from);
    }
    return HEARTH_OK;
}

/* ---- DepthToSpace, SpaceToDepth ---- */

/* A tensor [n, c, h, w] seen as [n, depth, h, b, w, b], whether the blocks are
 * in its depth (<deep>) or in its space. <s> is the shape of the other sizes:
 * n, depth, h, w. */
static struct hearth_view in_blocks(const struct hearth_view *x, bool deep,
                                    bool depth_first, const int64_t s[4],
                                    int64_t b)
{
    struct hearth_view v = *x;
    const int64_t *st = x->strides;
    const int64_t dims[6] = {s[0], s[1], s[2], b, s[3], b};
    v.shape.rank = 6;
    memcpy(v.shape.dims, dims, sizeof dims);
    v.strides[0] = st[0];
    v.strides[1] = deep && depth_first ? b * b * st[1] : st[1];
    v.strides[2] = deep ? st[2] : b * st[2];
    v.strides[4] = deep ? st[3] : b * st[3];
    /* Where the blocks' rows and columns are: before the depth, or after. */
    int64_t pace = depth_first ? st[1] : s[1] * st[1];
    v.strides[3] = deep ? b * pace : st[2];
    v.strides[5] = deep ? pace : st[3];
    return v;
}

HEARTH__OPS_EVAL(blocks)
{
    bool to_space = call->node->op == HEARTH_OP_DEPTH_TO_SPACE;
    bool depth_first = strcmp(hearth_attr_string(call->graph, call->node,
                                                 HEARTH_ATTR_MODE, "DCR"),
                              "CRD") == 0;
    int64_t b =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_BLOCK_SIZE, 0);
    const struct hearth_view *deep = to_space ? in[0] : &out[0];
    const struct hearth_view *wide = to_space ? &out[0] : in[0];
    const int64_t *w = wide->shape.dims, *d = deep->shape.dims;
    int64_t nd, nw;
    if (b < 1 || wide->shape.rank != 4 || deep->shape.rank != 4 ||
        !hearth_shape_count(&deep->shape, &nd) ||
        !hearth_shape_count(&wide->shape, &nw) || nd != nw || d[0] != w[0] ||
        w[2] % b != 0 || w[2] / b != d[2] || w[3] % b != 0 || w[3] / b != d[3])
        return mismatch(err);
    if (nd == 0)
        return HEARTH_OK;
    const int64_t sizes[4] = {d[0], w[1], d[2], d[3]};
    struct hearth_view x = in_blocks(in[0], to_space, depth_first, sizes, b);
    struct hearth_view y = in_blocks(&out[0], !to_space, depth_first, sizes, b);
    hearth__ops_copy(&y, &x);
    return HEARTH_OK;
}

/* ---- CenterCropPad ---- */

HEARTH__OPS_EVAL(center)
{
    struct hearth_view x = *in[0], y = out[0];
    int rc = clear(&out[0], err);
    (void)call;
    if (rc != HEARTH_OK || x.shape.rank != y.shape.rank)
        return mismatch(err);
    for (int i = 0; i < x.shape.rank; i++) {
        int64_t from = x.shape.dims[i], to = y.shape.dims[i];
        if (from > to)
            x = cut(&x, i, (from - to) / 2, to);
        else
            y = cut(&y, i, (to - from) / 2, from);
    }
    hearth__ops_copy(&y, &x);
    return HEARTH_OK;
}

/* ---- TensorScatter ---- */

/* <src> into <dst> along <axis>, from <at> on. */
static void put(const struct hearth_view *dst, const struct hearth_view *src,
                int axis, int64_t at, bool circular)
{
    int64_t size = dst->shape.dims[axis], n = src->shape.dims[axis];
    int64_t first = circular && n > size - at ? size - at : n;
    struct hearth_view to = cut(dst, axis, at, first);
    struct hearth_view from = cut(src, axis, 0, first);
    hearth__ops_copy(&to, &from);
    to = cut(dst, axis, 0, n - first);
    from = cut(src, axis, first, n - first);
    hearth__ops_copy(&to, &from);
}

HEARTH__OPS_EVAL(tensor_scatter)
{
    const struct hearth_view *at = call->input_count > 2 ? in[2] : NULL;
    bool circular = strcmp(hearth_attr_string(call->graph, call->node,
                                              HEARTH_ATTR_MODE, "linear"),
                           "circular") == 0;
    int axis;
    int rc = hearth__ops_axis(
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, -2),
        in[0]->shape.rank, &axis, err);
    if (rc != HEARTH_OK)
        return rc;
    int64_t size = in[0]->shape.dims[axis], n = in[1]->shape.dims[axis];
    struct hearth_view same = *in[1];
    same.shape.dims[axis] = size;
    if (axis == 0 || n > size ||
        !hearth_shape_equal(&in[0]->shape, &out[0].shape) ||
        !hearth_shape_equal(&same.shape, &out[0].shape) ||
        (at != NULL &&
         (at->shape.rank != 1 || at->shape.dims[0] != in[0]->shape.dims[0])))
        return mismatch(err);
    hearth__ops_copy(&out[0], in[0]);
    for (int64_t b = 0; n > 0 && b < in[0]->shape.dims[0]; b++) {
        struct hearth_view dst = hearth__ops_take_axis(&out[0], 0, b);
        struct hearth_view src = hearth__ops_take_axis(in[1], 0, b);
        num_t x = {.i = 0};
        if (at != NULL)
            hearth__ops_load(&x, at->data, at->dtype, b * at->strides[0], 0, 1);
        if (circular)
            x.i = x.i % size < 0 ? x.i % size + size : x.i % size;
        if (x.i < 0 || (!circular && x.i > size - n))
            return hearth_fail(err, HEARTH_EINVAL,
                               "write index %" PRId64
                               " leaves no room for %" PRId64 " in %" PRId64,
                               x.i, n, size);
        put(&dst, &src, axis - 1, x.i, circular);
    }
    return HEARTH_OK;
}

/* ---- BitCast ---- */

HEARTH__OPS_EVAL(bit_cast)
{
    int rc = hearth__ops_eval_reshape(call, in, out, err);
    int64_t count;
    uint8_t *y = out[0].data;
    if (rc != HEARTH_OK || out[0].dtype != HEARTH_BOOL ||
        !hearth_shape_count(&out[0].shape, &count))
        return rc;
    for (int64_t i = 0; i < count; i++)
        y[i] = y[i] != 0; /* a bool is 0 or 1, whatever came in */
    return HEARTH_OK;
}
