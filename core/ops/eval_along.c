/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval_along.c: along one axis, which stays or shrinks: ArgMax, ArgMin, CumSum,
 * CumProd, TopK.
 *
 * Numbers are ordered with NaN as the largest, as numpy sorts: it is the result
 * of ArgMax and comes first in TopK.
 */
#include <math.h>
#include <stdlib.h>

#include "ops/ops_impl.h"

typedef union hearth__ops_num num_t;

static bool less(num_t a, num_t b, enum hearth__ops_kind kind)
{
    if (kind == HEARTH__OPS_FLOAT)
        return a.f < b.f || (isnan(b.f) && !isnan(a.f));
    return kind == HEARTH__OPS_SIGNED ? a.i < b.i : a.u < b.u;
}

/* Lines of <x> along <axis>, walked beside those of one or two results. */
struct lines {
    struct hearth__ops_nest nest;
    int64_t size, step; /* of the input's lines */
};

static void lines_init(struct lines *l, const struct hearth_view *x, int axis,
                       const struct hearth_view *y, bool kept)
{
    struct hearth_view from = hearth__ops_take_axis(x, axis, 0);
    struct hearth_view to = kept ? hearth__ops_take_axis(y, axis, 0) : *y;
    l->size = x->shape.dims[axis];
    l->step = x->strides[axis];
    hearth__ops_nest_init(&l->nest, &from.shape);
    hearth__ops_nest_add(&l->nest, &from);
    hearth__ops_nest_add(&l->nest, &to);
}

/* ---- ArgMax, ArgMin ---- */

struct arg {
    enum hearth_dtype dtype;
    bool largest, last; /* of equals the last */
};

/* Does <x> take the place of the best so far? NaN is the result of either. */
static bool takes_over(const struct arg *arg, num_t best, num_t x)
{
    enum hearth__ops_kind kind = hearth__ops_kind(arg->dtype);
    bool real = kind == HEARTH__OPS_FLOAT;
    bool nan = real && isnan(x.f), held = real && isnan(best.f);
    if (nan || held)
        return nan && (!held || arg->last);
    bool below = less(x, best, kind), above = less(best, x, kind);
    return arg->largest ? above || (arg->last && !below)
                        : below || (arg->last && !above);
}

static int64_t arg_line(const struct arg *arg, const void *base, int64_t offset,
                        int64_t step, int64_t size)
{
    num_t best, buf[HEARTH__OPS_CHUNK];
    int64_t found = 0;
    hearth__ops_load(&best, base, arg->dtype, offset, 0, 1);
    for (int64_t at = 0; at < size; at += HEARTH__OPS_CHUNK) {
        int64_t n =
            size - at < HEARTH__OPS_CHUNK ? size - at : HEARTH__OPS_CHUNK;
        hearth__ops_load(buf, base, arg->dtype, offset + at * step, step, n);
        for (int64_t k = 0; k < n; k++) {
            if (at + k > 0 && takes_over(arg, best, buf[k])) {
                best = buf[k];
                found = at + k;
            }
        }
    }
    return found;
}

HEARTH__OPS_EVAL(arg)
{
    const struct arg arg = {
        .dtype = in[0]->dtype,
        .largest = call->node->op == HEARTH_OP_ARG_MAX,
        .last = hearth_attr_int(call->graph, call->node,
                                HEARTH_ATTR_SELECT_LAST_INDEX, 0) != 0};
    struct lines l;
    int axis;
    int rc = hearth__ops_axis(
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, 0),
        in[0]->shape.rank, &axis, err);
    if (rc != HEARTH_OK)
        return rc;
    lines_init(&l, in[0], axis, &out[0],
               out[0].shape.rank == in[0]->shape.rank);
    for (bool more = hearth__ops_nest_start(&l.nest); more;
         more = hearth__ops_nest_next(&l.nest)) {
        if (l.size == 0)
            return hearth_fail(err, HEARTH_EINVAL,
                               "an axis without elements has no largest");
        for (int64_t i = 0; i < l.nest.run; i++) {
            num_t found = {.i = arg_line(&arg, in[0]->data,
                                         l.nest.offset[0] + i * l.nest.step[0],
                                         l.step, l.size)};
            hearth__ops_store(out[0].data, out[0].dtype,
                              l.nest.offset[1] + i * l.nest.step[1], 0, &found,
                              1);
        }
    }
    return HEARTH_OK;
}

/* ---- CumSum, CumProd ---- */

struct running {
    enum hearth_dtype dtype;
    bool product, exclusive, reverse;
};

static void running_line(const struct running *r, const struct hearth_view *x,
                         int64_t from, int64_t step, struct hearth_view *y,
                         int64_t to, int64_t to_step, int64_t size)
{
    bool real = hearth__ops_kind(r->dtype) == HEARTH__OPS_FLOAT;
    num_t acc = {.u = 0}, v, kept;
    if (r->product && real)
        acc.f = 1;
    else if (r->product)
        acc.u = 1;
    for (int64_t i = 0; i < size; i++) {
        int64_t at = r->reverse ? size - 1 - i : i;
        hearth__ops_load(&v, x->data, r->dtype, from + at * step, 0, 1);
        kept = acc;
        if (real)
            acc.f = r->product ? acc.f * v.f : acc.f + v.f;
        else
            acc.u = r->product ? acc.u * v.u : acc.u + v.u;
        hearth__ops_store(y->data, r->dtype, to + at * to_step, 0,
                          r->exclusive ? &kept : &acc, 1);
    }
}

HEARTH__OPS_EVAL(running)
{
    const struct running r = {
        .dtype = in[0]->dtype,
        .product = call->node->op == HEARTH_OP_CUM_PROD,
        .exclusive = hearth_attr_int(call->graph, call->node,
                                     HEARTH_ATTR_EXCLUSIVE, 0) != 0,
        .reverse = hearth_attr_int(call->graph, call->node, HEARTH_ATTR_REVERSE,
                                   0) != 0};
    struct hearth__ops_content c;
    struct lines l;
    int axis;
    if (!hearth__ops_content_view(in[1], &c) || c.n != 1)
        return hearth_fail(err, HEARTH_EINVAL, "the axis is not one number");
    int rc = hearth__ops_axis(c.v[0], in[0]->shape.rank, &axis, err);
    if (rc != HEARTH_OK)
        return hearth_fail(err, HEARTH_EINVAL,
                           "the axis does not exist in the input");
    lines_init(&l, in[0], axis, &out[0], true);
    for (bool more = hearth__ops_nest_start(&l.nest); more;
         more = hearth__ops_nest_next(&l.nest))
        for (int64_t i = 0; i < l.nest.run; i++)
            running_line(&r, in[0], l.nest.offset[0] + i * l.nest.step[0],
                         l.step, &out[0], l.nest.offset[1] + i * l.nest.step[1],
                         out[0].strides[axis], l.size);
    return HEARTH_OK;
}

/* ---- TopK ---- */

struct entry {
    num_t v;
    int64_t at;
};
/* The best k seen so far: a heap with the worst of them on top. */
struct best {
    enum hearth__ops_kind kind;
    bool largest;
    int64_t k, count;
    struct entry *heap;
};

/* Equals: the one with the lower index is better. */
static bool better(const struct best *b, const struct entry *p,
                   const struct entry *q)
{
    if (less(p->v, q->v, b->kind))
        return !b->largest;
    if (less(q->v, p->v, b->kind))
        return b->largest;
    return p->at < q->at;
}

/* Lets the entry at <i> sink until nothing below it is worse. */
static void sink(struct best *b, int64_t i)
{
    for (;;) {
        int64_t worst = i;
        for (int64_t child = 2 * i + 1; child <= 2 * i + 2; child++)
            if (child < b->count && better(b, &b->heap[worst], &b->heap[child]))
                worst = child;
        if (worst == i)
            return;
        struct entry e = b->heap[i];
        b->heap[i] = b->heap[worst];
        b->heap[worst] = e;
        i = worst;
    }
}

/* Leaves the best k in the heap's array, best first. */
static void best_of_line(struct best *b, const struct hearth_view *x,
                         int64_t offset, int64_t step, int64_t size)
{
    b->count = 0;
    for (int64_t i = 0; i < size; i++) {
        struct entry e = {.at = i};
        hearth__ops_load(&e.v, x->data, x->dtype, offset + i * step, 0, 1);
        if (b->count < b->k) {
            b->heap[b->count++] = e;
            for (int64_t p = b->k / 2; b->count == b->k && p-- > 0;)
                sink(b, p);
        } else if (better(b, &e, &b->heap[0])) {
            b->heap[0] = e;
            sink(b, 0);
        }
    }
    while (b->count > 1) {
        struct entry e = b->heap[0];
        b->heap[0] = b->heap[--b->count];
        b->heap[b->count] = e;
        sink(b, 0);
    }
}

static void store_best(const struct best *b, struct hearth_view *out,
                       uint32_t outputs, int axis, int64_t offset)
{
    for (int64_t i = 0; i < b->k; i++) {
        num_t at = {.i = b->heap[i].at};
        int64_t to = offset + i * out[0].strides[axis];
        hearth__ops_store(out[0].data, out[0].dtype, to, 0, &b->heap[i].v, 1);
        if (outputs > 1) /* as dense as the first */
            hearth__ops_store(out[1].data, out[1].dtype, to, 0, &at, 1);
    }
}

HEARTH__OPS_EVAL(top_k)
{
    struct lines l;
    struct best b = {.kind = hearth__ops_kind(in[0]->dtype),
                     .largest = hearth_attr_int(call->graph, call->node,
                                                HEARTH_ATTR_LARGEST, 1) != 0};
    int axis;
    int rc = hearth__ops_axis(
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, -1),
        in[0]->shape.rank, &axis, err);
    if (rc != HEARTH_OK)
        return rc;
    b.k = out[0].shape.dims[axis];
    if (b.k > in[0]->shape.dims[axis])
        return hearth_fail(err, HEARTH_EINVAL,
                           "it asks for more elements than there are");
    if (b.k == 0)
        return HEARTH_OK;
    if (__builtin_mul_overflow((size_t)b.k, sizeof *b.heap, &(size_t){0}) ||
        (b.heap = hearth__ops_malloc((size_t)b.k * sizeof *b.heap)) == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory to sort; try again");
    lines_init(&l, in[0], axis, &out[0], true);
    for (bool more = hearth__ops_nest_start(&l.nest); more;
         more = hearth__ops_nest_next(&l.nest))
        for (int64_t i = 0; i < l.nest.run; i++) {
            best_of_line(&b, in[0], l.nest.offset[0] + i * l.nest.step[0],
                         l.step, l.size);
            store_best(&b, out, call->output_count, axis,
                       l.nest.offset[1] + i * l.nest.step[1]);
        }
    free(b.heap);
    return HEARTH_OK;
}
