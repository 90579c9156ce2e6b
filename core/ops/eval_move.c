/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval_move.c: operators that move elements. Each is a strided copy between
 * views of the same elements: a slice is a view with another start and other
 * strides, a concatenation copies into parts of its result. Which is why no
 * element type matters here, only its size.
 */
#include <inttypes.h>
#include <string.h>

#include "ops/ops_impl.h"

/* The result's shape came from infer, which saw the same inputs; a caller that
 * let them differ must not make us write past its buffer. */
static int mismatch(struct hearth_error *err)
{
    return hearth_fail(err, HEARTH_ESHAPE,
                       "result was not allocated for these inputs");
}

/* <view> cut along one axis. */
static struct hearth_view cut(const struct hearth_view *view, int axis,
                              int64_t start, int64_t step, int64_t count)
{
    struct hearth_view v = *view;
    v.data = hearth__ops_at(view, start * view->strides[axis]);
    v.strides[axis] *= step;
    v.shape.dims[axis] = count;
    return v;
}

static bool empty(const struct hearth_view *v)
{
    for (int i = 0; i < v->shape.rank; i++)
        if (v->shape.dims[i] == 0)
            return true;
    return false;
}

HEARTH__OPS_EVAL(reshape)
{
    int64_t nx, ny;
    (void)call;
    if (!hearth_shape_count(&in[0]->shape, &nx) ||
        !hearth_shape_count(&out[0].shape, &ny) || nx != ny)
        return mismatch(err);
    /* The result is dense, so it may be seen in the input's shape. */
    struct hearth_view y =
        hearth_view_dense(out[0].data, out[0].dtype, &in[0]->shape);
    hearth__ops_copy(&y, in[0]);
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(concat)
{
    int axis;
    int64_t at = 0;
    int rc = hearth__ops_axis(
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, 0),
        out[0].shape.rank, &axis, err);
    if (rc != HEARTH_OK)
        return rc;
    for (uint32_t k = 0; k < call->input_count; k++) {
        int64_t size = in[k]->shape.dims[axis];
        if (size > out[0].shape.dims[axis] - at)
            return mismatch(err);
        struct hearth_view part = cut(&out[0], axis, at, 1, size);
        if (!hearth_shape_equal(&part.shape, &in[k]->shape))
            return mismatch(err);
        hearth__ops_copy(&part, in[k]);
        at += size;
    }
    return at == out[0].shape.dims[axis] ? HEARTH_OK : mismatch(err);
}

HEARTH__OPS_EVAL(transpose)
{
    uint32_t count;
    const int64_t *perm =
        hearth_attr_ints(call->graph, call->node, HEARTH_ATTR_PERM, &count);
    struct hearth_view x = *in[0];
    int rank = x.shape.rank;
    for (int i = 0; i < rank; i++) {
        int64_t from = perm == NULL ? rank - 1 - i : perm[i];
        from = from < 0 ? from + rank : from;
        x.shape.dims[i] = in[0]->shape.dims[from];
        x.strides[i] = in[0]->strides[from];
    }
    if (!hearth_shape_equal(&x.shape, &out[0].shape))
        return mismatch(err);
    hearth__ops_copy(&out[0], &x);
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(shape)
{
    int64_t rank = in[0]->shape.rank, n = out[0].shape.dims[0];
    int64_t start =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_START, 0);
    start = start < 0 ? start + rank : start;
    start = start < 0 ? 0 : start;
    if (n > 0 && start + n > rank)
        return mismatch(err);
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)out[0].data + i * (int64_t)sizeof(int64_t),
               &in[0]->shape.dims[start + i], sizeof(int64_t));
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(constant_of_shape)
{
    union hearth__ops_num value, element;
    struct hearth_view one = {.data = &element, .dtype = out[0].dtype};
    (void)in;
    (void)err;
    if (hearth__ops_kind(out[0].dtype) == HEARTH__OPS_FLOAT)
        value.f = hearth_attr_float(call->graph, call->node,
                                    HEARTH_ATTR_VALUE_FLOAT, 0);
    else
        value.i =
            hearth_attr_int(call->graph, call->node, HEARTH_ATTR_VALUE_INT, 0);
    hearth__ops_store(&element, out[0].dtype, 0, 0, &value, 1);
    struct hearth_view spread = hearth__ops_broadcast(&one, &out[0].shape);
    hearth__ops_copy(&out[0], &spread);
    return HEARTH_OK;
}

/* ---- Gather ---- */

/* One index: the block of data at it goes to <dst>. */
static int gather_one(const struct hearth_view *data, int axis, int64_t index,
                      const struct hearth_view *dst, struct hearth_error *err)
{
    int64_t size = data->shape.dims[axis];
    int64_t at = index < 0 ? index + size : index;
    if (at < 0 || at >= size)
        return hearth_fail(err, HEARTH_EINVAL,
                           "index %" PRId64
                           " is out of range for an axis of %" PRId64,
                           index, size);
    struct hearth_view src = hearth__ops_take_axis(data, axis, at);
    hearth__ops_copy(dst, &src);
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(gather)
{
    int axis;
    int rank = in[1]->shape.rank;
    int rc = hearth__ops_axis(
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, 0),
        in[0]->shape.rank, &axis, err);
    if (rc != HEARTH_OK)
        return rc;
    if (out[0].shape.rank != in[0]->shape.rank - 1 + rank)
        return mismatch(err);
    for (int i = 0; i < out[0].shape.rank; i++) {
        bool index = i >= axis && i < axis + rank;
        int64_t size = index ? in[1]->shape.dims[i - axis]
                             : in[0]->shape.dims[i < axis ? i : i - rank + 1];
        if (out[0].shape.dims[i] != size)
            return mismatch(err);
    }
    /* The index axes of the result, walked beside the indices. */
    struct hearth_view y = {.data = out[0].data, .dtype = out[0].dtype};
    y.shape = in[1]->shape;
    memcpy(y.strides, out[0].strides + axis, (size_t)rank * sizeof(int64_t));
    struct hearth_view dst = out[0];
    for (int i = 0; i < rank; i++)
        dst = hearth__ops_take_axis(&dst, axis, 0);
    struct hearth__ops_nest nest;
    hearth__ops_nest_init(&nest, &y.shape);
    hearth__ops_nest_add(&nest, &y);
    hearth__ops_nest_add(&nest, in[1]);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest)) {
        for (int64_t i = 0; i < nest.run; i++) {
            union hearth__ops_num index;
            hearth__ops_load(&index, in[1]->data, in[1]->dtype,
                             nest.offset[1] + i * nest.step[1], 0, 1);
            dst.data = hearth__ops_at(&y, nest.offset[0] + i * nest.step[0]);
            rc = gather_one(in[0], axis, index.i, &dst, err);
            if (rc != HEARTH_OK)
                return rc;
        }
    }
    return HEARTH_OK;
}

/* ---- Slice ---- */

HEARTH__OPS_EVAL(slice)
{
    struct hearth__ops_content c[4];
    struct hearth__ops_slices slices;
    bool has[4];
    for (uint32_t k = 0; k < 4; k++) {
        has[k] = k + 1 < call->input_count && in[k + 1] != NULL;
        if (has[k] && !hearth__ops_content_view(in[k + 1], &c[k]))
            return mismatch(err);
    }
    struct hearth_view x = *in[0];
    int rc =
        hearth__ops_slices(x.shape.rank, &c[0], &c[1], has[2] ? &c[2] : NULL,
                           has[3] ? &c[3] : NULL, &slices, err);
    for (int i = 0; rc == HEARTH_OK && i < x.shape.rank; i++) {
        struct hearth__ops_slice s;
        if (!(slices.set & 1u << i))
            continue;
        rc = hearth__ops_slice_axis(x.shape.dims[i], slices.start[i],
                                    slices.end[i], slices.step[i], &s, err);
        if (rc == HEARTH_OK)
            x = cut(&x, i, s.start, s.step, s.count);
    }
    if (rc != HEARTH_OK)
        return rc;
    if (!hearth_shape_equal(&x.shape, &out[0].shape))
        return mismatch(err);
    hearth__ops_copy(&out[0], &x);
    return HEARTH_OK;
}

/* ---- Pad ---- */

/* Where cell <i> of a padded axis comes from, <i> counted from the first kept
 * cell; <n> > 0 cells are kept. */
static int64_t pad_source(enum hearth__ops_pad mode, int64_t i, int64_t n)
{
    if (mode == HEARTH__OPS_PAD_EDGE)
        return i < 0 ? 0 : i >= n ? n - 1 : i;
    if (n == 1)
        return 0;
    if (mode == HEARTH__OPS_PAD_WRAP)
        return i % n < 0 ? i % n + n : i % n;
    /* Reflection without the edge has the period 2 (n - 1). */
    int64_t period = 2 * (n - 1), at = i % period;
    at = at < 0 ? at + period : at;
    return at < n ? at : period - at;
}

/* Fills <out> from <x>, the kept part of the input, axis by axis: the cells of
 * an axis that lie outside are copies of blocks that stand inside already. */
static void pad_mirror(const struct hearth_view *x, struct hearth_view *out,
                       const int64_t *begin, enum hearth__ops_pad mode)
{
    struct hearth_view inside = *out;
    for (int i = 0; i < x->shape.rank; i++)
        inside = cut(&inside, i, begin[i], 1, x->shape.dims[i]);
    hearth__ops_copy(&inside, x);
    for (int i = 0; i < x->shape.rank; i++) {
        int64_t n = x->shape.dims[i];
        /* All of axis <i>, whatever is done on the axes before, only the
         * inside on those after. */
        struct hearth_view band = *out;
        for (int j = i + 1; j < x->shape.rank; j++)
            band = cut(&band, j, begin[j], 1, x->shape.dims[j]);
        for (int64_t k = 0; k < out->shape.dims[i]; k++) {
            int64_t at = k - begin[i];
            if (at >= 0 && at < n)
                continue;
            struct hearth_view dst = hearth__ops_take_axis(&band, i, k);
            struct hearth_view src = hearth__ops_take_axis(
                &band, i, begin[i] + pad_source(mode, at, n));
            hearth__ops_copy(&dst, &src);
        }
    }
}

/* Crops by the negative pads; what is left in <x> and <begin> is >= 0. */
static int pad_crop(const struct hearth_view *out, struct hearth_view *x,
                    int64_t *begin, int64_t *end, struct hearth_error *err)
{
    for (int i = 0; i < x->shape.rank; i++) {
        int64_t front = begin[i] < 0 ? -begin[i] : 0;
        int64_t back = end[i] < 0 ? -end[i] : 0;
        int64_t n = x->shape.dims[i], size;
        if (begin[i] == INT64_MIN || end[i] == INT64_MIN || front > n ||
            back > n - front)
            return mismatch(err);
        *x = cut(x, i, front == n ? 0 : front, 1, n - front - back);
        begin[i] = begin[i] < 0 ? 0 : begin[i];
        end[i] = end[i] < 0 ? 0 : end[i];
        if (__builtin_add_overflow(x->shape.dims[i], begin[i], &size) ||
            __builtin_add_overflow(size, end[i], &size) ||
            size != out->shape.dims[i])
            return mismatch(err);
    }
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(pad)
{
    struct hearth__ops_content pads, axes;
    struct hearth_view x = *in[0];
    enum hearth__ops_pad mode = HEARTH__OPS_PAD_CONSTANT;
    bool has_value = call->input_count > 2 && in[2] != NULL;
    bool has_axes = call->input_count > 3 && in[3] != NULL;
    int64_t begin[HEARTH_RANK_MAX], end[HEARTH_RANK_MAX];
    if (!hearth__ops_content_view(in[1], &pads) ||
        (has_axes && !hearth__ops_content_view(in[3], &axes)))
        return mismatch(err);
    int rc = hearth__ops_pads(x.shape.rank, &pads, has_axes ? &axes : NULL,
                              begin, end, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_pad_mode(call, &mode, err);
    if (rc == HEARTH_OK)
        rc = pad_crop(&out[0], &x, begin, end, err);
    if (rc != HEARTH_OK || empty(&out[0]))
        return rc;
    if (mode != HEARTH__OPS_PAD_CONSTANT) {
        if (empty(&x))
            return hearth_fail(err, HEARTH_ESHAPE, "nothing to pad with");
        pad_mirror(&x, &out[0], begin, mode);
        return HEARTH_OK;
    }
    static const uint64_t zero;
    struct hearth_view one = {.data = has_value ? in[2]->data
                                                : (void *)(uintptr_t)&zero,
                              .dtype = out[0].dtype};
    struct hearth_view spread = hearth__ops_broadcast(&one, &out[0].shape);
    struct hearth_view inside = out[0];
    hearth__ops_copy(&out[0], &spread);
    for (int i = 0; i < x.shape.rank; i++)
        inside = cut(&inside, i, begin[i], 1, x.shape.dims[i]);
    hearth__ops_copy(&inside, &x);
    return HEARTH_OK;
}
