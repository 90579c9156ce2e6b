/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpool.c: what puts elements where they once came from: MaxUnpool by indices,
 * Col2Im by blocks, which are added up where they meet.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops_impl.h"

#define AXES (HEARTH_RANK_MAX - 2)

/* ---- MaxUnpool: X [N,C,D..], indices, [shape of the result] ---- */

/* The shape that the kernel gives, which is what indices count in. */
static int unpool_shape(const struct hearth_op_call *call,
                        const struct hearth_shape *x, struct hearth_shape *y,
                        struct hearth_error *err)
{
    int64_t kernel[AXES], stride[AXES], pads[2 * AXES];
    const int rank = x->rank - 2;
    if (x->rank < 3)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "input of rank %" PRId32 " is not [N,C,D..]",
                           x->rank);
    /* 0: it has none, which is refused. */
    int rc = hearth__ops_ints_of(call, HEARTH_ATTR_KERNEL_SHAPE, rank, 1, 0,
                                 kernel, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_ints_of(call, HEARTH_ATTR_STRIDES, rank, 1, 1, stride,
                                 err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_ints_of(call, HEARTH_ATTR_PADS, 2 * rank, 0, 0, pads,
                                 err);
    *y = *x;
    for (int i = 0; rc == HEARTH_OK && i < rank; i++) {
        int64_t *d = &y->dims[i + 2];
        if (HEARTH_DIM_IS_SYMBOL(*d)) {
            *d = hearth__ops_fresh(call);
        } else if (__builtin_mul_overflow(*d - 1, stride[i], d) ||
                   __builtin_add_overflow(
                       *d, kernel[i] - pads[i] - pads[i + rank], d) ||
                   *d < 0) {
            rc = hearth_fail(err, HEARTH_ESHAPE,
                             "the result has no size that fits");
        }
    }
    return rc;
}

HEARTH__OPS_INFER(max_unpool)
{
    int rc = hearth__ops_begin(call, err);
    const struct hearth_value_info *told = hearth__ops_in(call, 2);
    struct hearth_shape *y = &call->out[0].shape;
    struct hearth__ops_content size;
    const struct hearth_shape *x = &call->in[0]->shape;
    if (rc == HEARTH_OK && call->in[1]->dtype != HEARTH_I64)
        rc = hearth_fail(err, HEARTH_ETYPE, "indices are %s, not i64",
                         hearth_dtype_name(call->in[1]->dtype));
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 2, err);
    if (rc != HEARTH_OK || x->rank < 0)
        return rc;
    rc = unpool_shape(call, x, y, err);
    const struct hearth_shape *i = &call->in[1]->shape;
    bool equal = i->rank < 0 || i->rank == x->rank;
    for (int k = 0; equal && k < i->rank; k++)
        equal = i->dims[k] == x->dims[k] || HEARTH_DIM_IS_SYMBOL(i->dims[k]) ||
                HEARTH_DIM_IS_SYMBOL(x->dims[k]);
    if (rc == HEARTH_OK && !equal)
        rc = hearth_fail(err, HEARTH_ESHAPE,
                         "input and indices have other shapes");
    if (rc != HEARTH_OK || told == NULL)
        return rc;
    const bool known = hearth__ops_content(told, &size);
    if (known && size.n != (uint32_t)x->rank)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "%" PRIu32 " sizes for rank %" PRId32, size.n,
                           x->rank);
    for (int k = 0; k < y->rank; k++) {
        const int64_t least = y->dims[k];
        y->dims[k] = known ? size.v[k] : hearth__ops_fresh(call);
        if (!HEARTH_DIM_IS_SYMBOL(y->dims[k]) && y->dims[k] < 0)
            return hearth_fail(err, HEARTH_ESHAPE, "a size is %" PRId64,
                               y->dims[k]);
        if (!HEARTH_DIM_IS_SYMBOL(y->dims[k]) && !HEARTH_DIM_IS_SYMBOL(least) &&
            y->dims[k] < least)
            return hearth_fail(err, HEARTH_ESHAPE,
                               "%" PRId64 " cells do not fit into %" PRId64,
                               least, y->dims[k]);
    }
    return HEARTH_OK;
}

/* Index <at> of <small> as one of <large>; -1: outside. */
static int64_t moved(int64_t at, const struct hearth_shape *small,
                     const struct hearth_shape *large)
{
    int64_t to = 0, step = 1;
    if (at < 0)
        return -1;
    for (int i = small->rank - 1; i >= 0; i--) {
        if (small->dims[i] == 0)
            return -1;
        to += at % small->dims[i] * step;
        at /= small->dims[i];
        step *= large->dims[i];
    }
    return at == 0 ? to : -1;
}

HEARTH__OPS_EVAL(max_unpool)
{
    const struct hearth_view *x = in[0], *index = in[1];
    const size_t bytes = hearth_dtype_bytes(x->dtype);
    struct hearth_shape small;
    struct hearth__ops_nest nest;
    int rc = unpool_shape(call, &x->shape, &small, err);
    if (rc != HEARTH_OK)
        return rc;
    const int64_t count =
        hearth__ops_product(&out[0].shape, 0, out[0].shape.rank);
    if (count > 0)
        memset(out[0].data, 0, (size_t)count * bytes);
    hearth__ops_nest_init(&nest, &x->shape);
    hearth__ops_nest_add(&nest, x);
    hearth__ops_nest_add(&nest, index);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest))
        for (int64_t i = 0; i < nest.run; i++) {
            union hearth__ops_num at;
            hearth__ops_load(&at, index->data, index->dtype,
                             nest.offset[1] + i * nest.step[1], 0, 1);
            const int64_t to = moved(at.i, &small, &out[0].shape);
            if (to < 0 || to >= count)
                return hearth_fail(err, HEARTH_EINVAL,
                                   "index %" PRId64 " lies outside of the "
                                   "result",
                                   at.i);
            memcpy((char *)out[0].data + (size_t)to * bytes,
                   hearth__ops_at(x, nest.offset[0] + i * nest.step[0]), bytes);
        }
    return HEARTH_OK;
}

/* ---- Col2Im: X [N,C*block,L], image's shape, block's shape ---- */

struct image {
    int rank;
    int64_t size[AXES], block[AXES], stride[AXES], dilation[AXES],
        pads[2 * AXES], places[AXES];
    int64_t block_count, place_count;
};

static int image_attributes(const struct hearth_op_call *call, struct image *m,
                            struct hearth_error *err)
{
    int rc = hearth__ops_ints_of(call, HEARTH_ATTR_STRIDES, m->rank, 1, 1,
                                 m->stride, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_ints_of(call, HEARTH_ATTR_DILATIONS, m->rank, 1, 1,
                                 m->dilation, err);
    return rc == HEARTH_OK
               ? hearth__ops_ints_of(call, HEARTH_ATTR_PADS, 2 * m->rank, 0, 0,
                                     m->pads, err)
               : rc;
}

/* Places of the block in the image. */
static int image_places(struct image *m, struct hearth_error *err)
{
    m->block_count = m->place_count = 1;
    for (int i = 0; i < m->rank; i++) {
        const int64_t size = m->size[i], block = m->block[i];
        if (size < 0 || size > INT32_MAX || block < 1 || block > INT32_MAX)
            return hearth_fail(err, HEARTH_ESHAPE,
                               "a block of %" PRId64 " in an image of %" PRId64,
                               block, size);
        const int64_t room = size + m->pads[i] + m->pads[i + m->rank] -
                             ((block - 1) * m->dilation[i] + 1);
        m->places[i] = room < 0 ? 0 : room / m->stride[i] + 1;
        if (__builtin_mul_overflow(m->block_count, block, &m->block_count) ||
            __builtin_mul_overflow(m->place_count, m->places[i],
                                   &m->place_count))
            return hearth_fail(err, HEARTH_ESHAPE, "the image is too large");
    }
    return HEARTH_OK;
}

static int check_columns(const struct image *m, const struct hearth_shape *x,
                         struct hearth_error *err)
{
    int64_t merged;
    if (!HEARTH_DIM_IS_SYMBOL(x->dims[1]) && x->dims[1] % m->block_count != 0)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "%" PRId64 " rows do not divide into blocks of "
                           "%" PRId64,
                           x->dims[1], m->block_count);
    return hearth__ops_merge_dim(x->dims[2], m->place_count, &merged,
                                 "columns and places of the block", err);
}

HEARTH__OPS_INFER(col2im)
{
    struct hearth__ops_content size, block;
    int rc = hearth__ops_begin(call, err);
    struct hearth_shape *y = &call->out[0].shape;
    const struct hearth_shape *x = &call->in[0]->shape;
    struct image m = {0};
    for (uint32_t k = 1; rc == HEARTH_OK && k < 3; k++)
        rc = hearth__ops_index_dtype(call, k, err);
    if (rc != HEARTH_OK)
        return rc;
    const bool sized = hearth__ops_content(call->in[1], &size);
    const bool blocked = hearth__ops_content(call->in[2], &block);
    const struct hearth_shape *n = &call->in[sized ? 1 : 2]->shape;
    if (x->rank < 0 || n->rank != 1 || HEARTH_DIM_IS_SYMBOL(n->dims[0]))
        return HEARTH_OK;
    if (x->rank != 3 || n->dims[0] < 1 || n->dims[0] > AXES ||
        (sized && blocked && size.n != block.n))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "columns of rank %" PRId32 ", an image of %" PRId64
                           " axes",
                           x->rank, n->dims[0]);
    m.rank = (int)n->dims[0];
    rc = image_attributes(call, &m, err);
    if (rc != HEARTH_OK)
        return rc;
    bool known = sized && blocked;
    y->rank = m.rank + 2;
    y->dims[0] = x->dims[0];
    for (int i = 0; i < m.rank; i++) {
        y->dims[i + 2] = m.size[i] =
            sized ? size.v[i] : hearth__ops_fresh(call);
        m.block[i] = blocked ? block.v[i] : 1;
        known &= !HEARTH_DIM_IS_SYMBOL(m.size[i]) &&
                 !HEARTH_DIM_IS_SYMBOL(m.block[i]);
    }
    y->dims[1] = hearth__ops_fresh(call);
    if (!known)
        return HEARTH_OK;
    rc = image_places(&m, err);
    if (rc == HEARTH_OK)
        rc = check_columns(&m, x, err);
    if (!HEARTH_DIM_IS_SYMBOL(x->dims[1]) && rc == HEARTH_OK)
        y->dims[1] = x->dims[1] / m.block_count;
    return rc;
}

static bool next(int64_t *at, const int64_t *dims, int rank)
{
    for (int i = rank - 1; i >= 0; i--) {
        if (++at[i] < dims[i])
            return true;
        at[i] = 0;
    }
    return false;
}

/* Adds the row of columns of block cell <tap> to the image. */
static void add_columns(const struct image *m, const int64_t *tap,
                        const double *columns, double *image)
{
    int64_t at[AXES] = {0};
    do {
        int64_t to = 0;
        bool inside = true;
        for (int i = 0; i < m->rank; i++) {
            const int64_t k =
                at[i] * m->stride[i] - m->pads[i] + tap[i] * m->dilation[i];
            inside &= k >= 0 && k < m->size[i];
            to = to * m->size[i] + k;
        }
        if (inside)
            image[to] += *columns;
        columns++;
    } while (next(at, m->places, m->rank));
}

HEARTH__OPS_EVAL(col2im)
{
    const struct hearth_shape *x = &in[0]->shape, *ys = &out[0].shape;
    struct image m = {.rank = ys->rank - 2};
    int rc = image_attributes(call, &m, err);
    for (int i = 0; rc == HEARTH_OK && i < m.rank; i++) {
        m.size[i] = ys->dims[i + 2];
        m.block[i] = (int64_t)hearth__ops_number(in[2], i * in[2]->strides[0]);
    }
    if (rc == HEARTH_OK)
        rc = image_places(&m, err);
    if (rc == HEARTH_OK)
        rc = check_columns(&m, x, err);
    if (rc == HEARTH_OK && ys->dims[1] * m.block_count != x->dims[1])
        rc = hearth_fail(err, HEARTH_ESHAPE, "the block has another size");
    if (rc != HEARTH_OK)
        return rc;
    const int64_t pixels = hearth__ops_product(ys, 2, ys->rank);
    const int64_t planes = ys->dims[0] * ys->dims[1];
    double *c = hearth__ops_doubles(in[0], err);
    double *y =
        c == NULL ? NULL : hearth__ops_room(planes * pixels, sizeof *y, err);
    if (y != NULL)
        memset(y, 0, (size_t)(planes * pixels) * sizeof *y);
    for (int64_t p = 0; y != NULL && m.place_count > 0 && p < planes; p++) {
        int64_t tap[AXES] = {0}, k = p * m.block_count;
        do
            add_columns(&m, tap, c + k++ * m.place_count, y + p * pixels);
        while (next(tap, m.block, m.rank));
    }
    if (y != NULL)
        hearth__ops_put_doubles(&out[0], y);
    rc = y == NULL ? HEARTH_ENOMEM : HEARTH_OK;
    free(y);
    free(c);
    return rc;
}
