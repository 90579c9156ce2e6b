/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval_index.c: elements and slices that indices name: GatherElements,
 * GatherND, ScatterElements, ScatterND, OneHot.
 *
 * An index is data: one that is out of range is the client's fault, and found
 * before anything is read or written by it.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "ops/ops_impl.h"

typedef union hearth__ops_num num_t;

static int mismatch(struct hearth_error *err)
{
    return hearth_fail(err, HEARTH_ESHAPE,
                       "result was not allocated for these inputs");
}

/* The index at element <offset>, made >= 0. */
static int index_at(const struct hearth_view *indices, int64_t offset,
                    int64_t size, int64_t *index, struct hearth_error *err)
{
    num_t x;
    hearth__ops_load(&x, indices->data, indices->dtype, offset, 0, 1);
    if (x.i < -size || x.i >= size)
        return hearth_fail(err, HEARTH_EINVAL,
                           "index %" PRId64 " is not in [-%" PRId64 ", %" PRId64
                           ")",
                           x.i, size, size);
    *index = x.i < 0 ? x.i + size : x.i;
    return HEARTH_OK;
}

/* ---- Reductions of Scatter ---- */

struct merge {
    enum { REPLACE, ADD, MUL, MAX, MIN } how;
    enum hearth_dtype dtype;
};

static struct merge merge_of(const struct hearth_op_call *call,
                             enum hearth_dtype dtype)
{
    static const char *const names[] = {"none", "add", "mul", "max", "min"};
    struct merge m = {.dtype = dtype};
    const char *name = hearth_attr_string(call->graph, call->node,
                                          HEARTH_ATTR_REDUCTION, "none");
    for (int i = 0; i < 5; i++)
        if (strcmp(name, names[i]) == 0)
            m.how = (unsigned)i;
    return m;
}

static void merge_floats(const struct merge *m, num_t *x, num_t y)
{
    if (m->how == ADD)
        x->f += y.f;
    else if (m->how == MUL)
        x->f *= y.f;
    else if (m->how == MAX ? y.f > x->f : y.f < x->f)
        *x = y;
    else if (isnan(y.f))
        *x = y;
}

static void merge_integers(const struct merge *m, num_t *x, num_t y)
{
    bool less = hearth__ops_kind(m->dtype) == HEARTH__OPS_SIGNED ? y.i < x->i
                                                                 : y.u < x->u;
    if (m->how == ADD)
        x->u += y.u;
    else if (m->how == MUL)
        x->u *= y.u;
    else if ((m->how == MIN) == less)
        *x = y;
}

/* One element. */
static void copy_one(void *dst, const void *src, enum hearth_dtype dtype)
{
    memcpy(dst, src, hearth_dtype_bytes(dtype));
}

/* <src> goes into <dst>, which has its shape. */
static void merge_into(const struct merge *m, const struct hearth_view *dst,
                       const struct hearth_view *src)
{
    struct hearth__ops_nest nest;
    if (m->how == REPLACE && dst->shape.rank == 0) {
        copy_one(dst->data, src->data, dst->dtype);
        return;
    }
    if (m->how == REPLACE) {
        hearth__ops_copy(dst, src);
        return;
    }
    hearth__ops_nest_init(&nest, &dst->shape);
    hearth__ops_nest_add(&nest, dst);
    hearth__ops_nest_add(&nest, src);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest))
        for (int64_t i = 0; i < nest.run; i++) {
            int64_t to = nest.offset[0] + i * nest.step[0];
            num_t x, y;
            hearth__ops_load(&x, dst->data, m->dtype, to, 0, 1);
            hearth__ops_load(&y, src->data, m->dtype,
                             nest.offset[1] + i * nest.step[1], 0, 1);
            if (hearth__ops_kind(m->dtype) == HEARTH__OPS_FLOAT)
                merge_floats(m, &x, y);
            else
                merge_integers(m, &x, y);
            hearth__ops_store(dst->data, m->dtype, to, 0, &x, 1);
        }
}

/* ---- GatherElements, ScatterElements ---- */

/* <view> with the sizes of <shape>, standing still along <axis>: where an
 * element lies but for its index. False: they do not suit. */
static bool along(const struct hearth_view *view, int axis,
                  const struct hearth_shape *shape, struct hearth_view *still)
{
    *still = *view;
    if (view->shape.rank != shape->rank)
        return false;
    for (int i = 0; i < shape->rank; i++)
        if (i != axis && shape->dims[i] > view->shape.dims[i])
            return false;
    still->shape = *shape;
    still->strides[axis] = 0;
    return true;
}

/* Both walk the indices; <values> are the result or the updates. */
static int by_element(const struct hearth_view *indexed,
                      const struct hearth_view *indices,
                      const struct hearth_view *values, int axis, bool gather,
                      const struct merge *merge, struct hearth_error *err)
{
    struct hearth_view still;
    struct hearth__ops_nest nest;
    int64_t size = indexed->shape.dims[axis], stride = indexed->strides[axis];
    if (!along(indexed, axis, &indices->shape, &still) ||
        !hearth_shape_equal(&values->shape, &indices->shape))
        return mismatch(err);
    hearth__ops_nest_init(&nest, &indices->shape);
    hearth__ops_nest_add(&nest, indices);
    hearth__ops_nest_add(&nest, &still);
    hearth__ops_nest_add(&nest, values);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest))
        for (int64_t i = 0; i < nest.run; i++) {
            struct hearth_view a = {.dtype = indexed->dtype}, b = a;
            int64_t at;
            int rc = index_at(indices, nest.offset[0] + i * nest.step[0], size,
                              &at, err);
            if (rc != HEARTH_OK)
                return rc;
            a.data = hearth__ops_at(indexed, nest.offset[1] + i * nest.step[1] +
                                                 at * stride);
            b.data = hearth__ops_at(values, nest.offset[2] + i * nest.step[2]);
            if (gather)
                copy_one(b.data, a.data, b.dtype);
            else
                merge_into(merge, &a, &b);
        }
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(gather_elements)
{
    int axis;
    int rc = hearth__ops_axis(
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, 0),
        in[0]->shape.rank, &axis, err);
    return rc == HEARTH_OK
               ? by_element(in[0], in[1], &out[0], axis, true, NULL, err)
               : rc;
}

HEARTH__OPS_EVAL(scatter_elements)
{
    struct merge merge = merge_of(call, in[0]->dtype);
    int axis;
    int rc = hearth__ops_axis(
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, 0),
        in[0]->shape.rank, &axis, err);
    if (rc != HEARTH_OK)
        return rc;
    if (!hearth_shape_equal(&in[0]->shape, &out[0].shape))
        return mismatch(err);
    hearth__ops_copy(&out[0], in[0]);
    return by_element(&out[0], in[1], in[2], axis, false, &merge, err);
}

/* ---- GatherND, ScatterND ---- */

/* The first axes of <view>, or the others. */
static struct hearth_view first_axes(const struct hearth_view *view, int count)
{
    struct hearth_view v = *view;
    v.shape.rank = count;
    return v;
}

static struct hearth_view later_axes(const struct hearth_view *view, int count)
{
    struct hearth_view v = *view;
    v.shape.rank -= count;
    for (int i = 0; i < v.shape.rank; i++) {
        v.shape.dims[i] = view->shape.dims[i + count];
        v.strides[i] = view->strides[i + count];
    }
    return v;
}

/* Each tuple, the last axis of the indices, names a slice of <indexed>, beside
 * which stands a slice of <values>. The first <batch> axes are common to all
 * three. */
static int by_tuple(const struct hearth_view *indexed,
                    const struct hearth_view *indices,
                    const struct hearth_view *values, int batch, bool gather,
                    const struct merge *merge, struct hearth_error *err)
{
    int outer = indices->shape.rank - 1;
    if (outer < batch || batch < 0 || values->shape.rank < outer)
        return mismatch(err);
    int64_t tuple = indices->shape.dims[outer];
    if (tuple > indexed->shape.rank - batch)
        return mismatch(err);
    struct hearth_view at = first_axes(indices, outer);
    struct hearth_view value = first_axes(values, outer);
    struct hearth_view base = at; /* moves along the batch alone */
    struct hearth_view dst = later_axes(values, outer);
    struct hearth_view src = later_axes(indexed, batch + (int)tuple);
    for (int i = 0; i < outer; i++)
        base.strides[i] = i < batch ? indexed->strides[i] : 0;
    for (int i = 0; i < batch; i++)
        if (indexed->shape.dims[i] != at.shape.dims[i])
            return mismatch(err);
    if (!hearth_shape_equal(&at.shape, &value.shape) ||
        !hearth_shape_equal(&dst.shape, &src.shape))
        return mismatch(err);
    struct hearth__ops_nest nest;
    hearth__ops_nest_init(&nest, &at.shape);
    hearth__ops_nest_add(&nest, &at);
    hearth__ops_nest_add(&nest, &value);
    hearth__ops_nest_add(&nest, &base);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest))
        for (int64_t i = 0; i < nest.run; i++) {
            int64_t from = nest.offset[2] + i * nest.step[2], one;
            for (int k = 0; k < tuple; k++) {
                int64_t offset = nest.offset[0] + i * nest.step[0] +
                                 k * indices->strides[outer];
                int rc = index_at(indices, offset,
                                  indexed->shape.dims[batch + k], &one, err);
                if (rc != HEARTH_OK)
                    return rc;
                from += one * indexed->strides[batch + k];
            }
            dst.data =
                hearth__ops_at(values, nest.offset[1] + i * nest.step[1]);
            src.data = hearth__ops_at(indexed, from);
            if (gather)
                merge_into(merge, &dst, &src);
            else
                merge_into(merge, &src, &dst);
        }
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(gather_nd)
{
    const struct merge copies = {.how = REPLACE, .dtype = in[0]->dtype};
    int64_t batch =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_BATCH_DIMS, 0);
    return batch < 0 || batch > HEARTH_RANK_MAX
               ? mismatch(err)
               : by_tuple(in[0], in[1], &out[0], (int)batch, true, &copies,
                          err);
}

HEARTH__OPS_EVAL(scatter_nd)
{
    struct merge merge = merge_of(call, in[0]->dtype);
    if (!hearth_shape_equal(&in[0]->shape, &out[0].shape))
        return mismatch(err);
    hearth__ops_copy(&out[0], in[0]);
    return by_tuple(&out[0], in[1], in[2], 0, false, &merge, err);
}

/* ---- OneHot ---- */

HEARTH__OPS_EVAL(one_hot)
{
    struct hearth_view *y = &out[0];
    struct hearth_view off = {.data = in[2]->data, .dtype = y->dtype};
    struct hearth__ops_nest nest;
    int axis;
    int rc = hearth__ops_axis(
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, -1),
        y->shape.rank, &axis, err);
    if (rc != HEARTH_OK)
        return rc;
    int64_t depth = y->shape.dims[axis], stride = y->strides[axis];
    const void *on = hearth__ops_at(in[2], in[2]->strides[0]);
    struct hearth_view spread = hearth__ops_broadcast(&off, &y->shape);
    struct hearth_view line = hearth__ops_take_axis(y, axis, 0);
    if (!hearth_shape_equal(&line.shape, &in[0]->shape))
        return mismatch(err);
    hearth__ops_copy(y, &spread);
    hearth__ops_nest_init(&nest, &line.shape);
    hearth__ops_nest_add(&nest, &line);
    hearth__ops_nest_add(&nest, in[0]);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest))
        for (int64_t i = 0; i < nest.run; i++) {
            num_t at;
            hearth__ops_load(&at, in[0]->data, in[0]->dtype,
                             nest.offset[1] + i * nest.step[1], 0, 1);
            hearth__ops_convert(&at, 1, in[0]->dtype, HEARTH_I64);
            if (at.i < -depth || at.i >= depth)
                continue;
            at.i = at.i < 0 ? at.i + depth : at.i;
            copy_one(hearth__ops_at(&line, nest.offset[0] + i * nest.step[0] +
                                               at.i * stride),
                     on, y->dtype);
        }
    return HEARTH_OK;
}
