/* SPDX-License-Identifier: Apache-2.0 */
/*
 * select.c: operators whose result is as long as the data say: NonZero,
 * Compress, Unique. Each counts first (measure), then fills (eval): the caller
 * gives room in between. Inputs may be strided.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops_impl.h"

typedef union hearth__ops_num num_t;

static const int64_t no_axis = INT64_MIN;

static int64_t axis_attr(const struct hearth_op_call *call)
{
    return hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, no_axis);
}

static bool is_true(const struct hearth_view *v, const num_t *x)
{
    switch (hearth__ops_kind(v->dtype)) {
    case HEARTH__OPS_FLOAT:
        return x->f != 0; /* a NaN is not zero */
    default:
        return x->u != 0;
    }
}

/* ---- NonZero ---- */

HEARTH__OPS_INFER(non_zero)
{
    int rc = hearth__ops_begin(call, err);
    if (rc != HEARTH_OK)
        return rc;
    call->out[0].dtype = HEARTH_I64;
    call->out[0].shape.rank = 2;
    call->out[0].shape.dims[0] = call->in[0]->shape.rank < 0
                                     ? hearth__ops_fresh(call)
                                     : call->in[0]->shape.rank;
    call->out[0].shape.dims[1] = hearth__ops_fresh(call);
    return HEARTH_OK;
}

/* Counts what is not zero, and writes where it is unless <y> is NULL. */
static int64_t find_non_zero(const struct hearth_view *x, int64_t *y,
                             int64_t total)
{
    int64_t at[HEARTH_RANK_MAX] = {0}, found = 0, count;
    int rank = x->shape.rank;
    if (!hearth_shape_count(&x->shape, &count))
        return 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t offset = 0;
        num_t v;
        for (int k = 0; k < rank; k++)
            offset += at[k] * x->strides[k];
        hearth__ops_load(&v, x->data, x->dtype, offset, 1, 1);
        if (is_true(x, &v)) {
            for (int k = 0; y != NULL && k < rank; k++)
                y[k * total + found] = at[k];
            found++;
        }
        for (int k = rank; k-- > 0 && ++at[k] == x->shape.dims[k];)
            at[k] = 0;
    }
    return found;
}

HEARTH__OPS_MEASURE(non_zero)
{
    (void)err;
    call->out[0].shape.dims[1] = find_non_zero(in[0], NULL, 0);
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(non_zero)
{
    (void)call;
    (void)err;
    find_non_zero(in[0], out[0].data, out[0].shape.dims[1]);
    return HEARTH_OK;
}

/* ---- Compress ---- */

/* The axis, or -1: of X flattened. */
static int select_axis(const struct hearth_op_call *call, int rank, int *axis,
                       struct hearth_error *err)
{
    int64_t a = axis_attr(call);
    *axis = -1;
    return a == no_axis ? HEARTH_OK : hearth__ops_axis(a, rank, axis, err);
}

HEARTH__OPS_INFER(compress)
{
    int axis, rc = hearth__ops_begin(call, err);
    if (rc == HEARTH_OK && call->in[1]->dtype != HEARTH_BOOL)
        rc = hearth_fail(err, HEARTH_ETYPE, "the condition is %s, not bool",
                         hearth_dtype_name(call->in[1]->dtype));
    if (rc != HEARTH_OK || call->in[0]->shape.rank < 0)
        return rc;
    rc = select_axis(call, call->in[0]->shape.rank, &axis, err);
    if (rc != HEARTH_OK)
        return rc;
    struct hearth_shape *y = &call->out[0].shape;
    *y = call->in[0]->shape;
    if (axis < 0)
        y->rank = 1;
    y->dims[axis < 0 ? 0 : axis] = hearth__ops_fresh(call);
    return HEARTH_OK;
}

/* Index of the next true condition from <from> on, or -1. */
static int64_t next_true(const struct hearth_view *c, int64_t from,
                         int64_t limit)
{
    int64_t n = c->shape.dims[0] < limit ? c->shape.dims[0] : limit;
    for (int64_t i = from; i < n; i++)
        if (*(const uint8_t *)hearth__ops_at(c, i * c->strides[0]) != 0)
            return i;
    return -1;
}

/* How many there are to choose from. */
static int choices(const struct hearth_op_call *call,
                   const struct hearth_view *const *in, int *axis,
                   int64_t *limit, struct hearth_error *err)
{
    int rc = select_axis(call, in[0]->shape.rank, axis, err);
    if (rc == HEARTH_OK && in[1]->shape.rank != 1)
        rc = hearth_fail(err, HEARTH_ESHAPE,
                         "the condition has rank %d, it must have 1",
                         (int)in[1]->shape.rank);
    if (rc != HEARTH_OK)
        return rc;
    if (*axis >= 0)
        *limit = in[0]->shape.dims[*axis];
    else
        (void)hearth_shape_count(&in[0]->shape, limit);
    return HEARTH_OK;
}

HEARTH__OPS_MEASURE(compress)
{
    int axis;
    int64_t limit = 0, count = 0;
    int rc = choices(call, in, &axis, &limit, err);
    if (rc != HEARTH_OK)
        return rc;
    for (int64_t i = next_true(in[1], 0, limit); i >= 0;
         i = next_true(in[1], i + 1, limit))
        count++;
    call->out[0].shape.dims[axis < 0 ? 0 : axis] = count;
    return HEARTH_OK;
}

/* Element <i> of the view in row-major order. */
static int64_t offset_of(const struct hearth_view *v, int64_t i)
{
    int64_t offset = 0;
    for (int k = v->shape.rank; k-- > 0;) {
        offset += i % v->shape.dims[k] * v->strides[k];
        i /= v->shape.dims[k];
    }
    return offset;
}

HEARTH__OPS_EVAL(compress)
{
    int axis;
    int64_t limit = 0, to = 0;
    int rc = choices(call, in, &axis, &limit, err);
    if (rc != HEARTH_OK)
        return rc;
    size_t bytes = hearth_dtype_bytes(in[0]->dtype);
    for (int64_t i = next_true(in[1], 0, limit); i >= 0;
         i = next_true(in[1], i + 1, limit), to++) {
        if (axis < 0) {
            memcpy(hearth__ops_at(&out[0], to * out[0].strides[0]),
                   hearth__ops_at(in[0], offset_of(in[0], i)), bytes);
            continue;
        }
        struct hearth_view from = hearth__ops_take_axis(in[0], axis, i);
        struct hearth_view slice = hearth__ops_take_axis(&out[0], axis, to);
        hearth__ops_copy(&slice, &from);
    }
    return HEARTH_OK;
}

/* ---- Unique ---- */

HEARTH__OPS_INFER(unique)
{
    int axis, rc = hearth__ops_begin(call, err);
    if (rc != HEARTH_OK)
        return rc;
    for (uint32_t k = 1; k < call->output_count; k++) {
        call->out[k].dtype = HEARTH_I64;
        call->out[k].shape.rank = 1;
        call->out[k].shape.dims[0] = hearth__ops_fresh(call);
    }
    if (call->in[0]->shape.rank < 0)
        return HEARTH_OK;
    rc = select_axis(call, call->in[0]->shape.rank, &axis, err);
    if (rc != HEARTH_OK)
        return rc;
    struct hearth_shape *y = &call->out[0].shape;
    *y = call->in[0]->shape;
    if (axis < 0)
        y->rank = 1;
    y->dims[axis < 0 ? 0 : axis] = hearth__ops_fresh(call);
    return HEARTH_OK;
}

/* The slices of X along the axis, in an order in which equal ones are beside
 * each other, the first of them first. */
struct unique {
    const struct hearth_view *x;
    int axis;         /* -1: elements */
    int64_t n, inner; /* slices, and elements of each */
    int64_t *order;   /* [n] */
    int64_t *first;   /* [n] of the groups: the slice that came first */
    int64_t groups;
    struct hearth_view slice; /* of the right shape, at slice 0 */
};

/* NaN after all numbers, and like every other one. */
static int compare_nums(enum hearth__ops_kind kind, const num_t *a,
                        const num_t *b)
{
    switch (kind) {
    case HEARTH__OPS_FLOAT:
        if (a->f != a->f || b->f != b->f)
            return (a->f != a->f) - (b->f != b->f);
        return (a->f > b->f) - (a->f < b->f);
    case HEARTH__OPS_SIGNED:
        return (a->i > b->i) - (a->i < b->i);
    default:
        return (a->u > b->u) - (a->u < b->u);
    }
}

static int compare_slices(const struct unique *u, int64_t a, int64_t b)
{
    const struct hearth_view *x = u->x;
    enum hearth__ops_kind kind = hearth__ops_kind(x->dtype);
    for (int64_t i = 0; i < u->inner; i++) {
        int64_t base[2];
        num_t v[2];
        for (int k = 0; k < 2; k++) {
            int64_t at = k == 0 ? a : b;
            base[k] = u->axis < 0
                          ? offset_of(x, at)
                          : at * x->strides[u->axis] + offset_of(&u->slice, i);
            hearth__ops_load(&v[k], x->data, x->dtype, base[k], 1, 1);
        }
        int order = compare_nums(kind, &v[0], &v[1]);
        if (order != 0)
            return order;
    }
    return 0;
}

/* Merge sort, bottom up: stable, so that the first of equals stays first, and
 * n log n whatever the data are. */
static void sort_slices(struct unique *u, int64_t *other)
{
    int64_t *from = u->order, *to = other;
    for (int64_t i = 0; i < u->n; i++)
        from[i] = i;
    for (int64_t width = 1; width < u->n; width *= 2) {
        for (int64_t low = 0; low < u->n; low += 2 * width) {
            int64_t mid = low + width < u->n ? low + width : u->n;
            int64_t high = low + 2 * width < u->n ? low + 2 * width : u->n;
            int64_t a = low, b = mid;
            for (int64_t i = low; i < high; i++)
                to[i] = b >= high || (a < mid &&
                                      compare_slices(u, from[a], from[b]) <= 0)
                            ? from[a++]
                            : from[b++];
        }
        int64_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != u->order)
        memcpy(u->order, from, (size_t)u->n * sizeof *from);
}

static int unique_begin(const struct hearth_op_call *call,
                        const struct hearth_view *x, struct unique *u,
                        struct hearth_error *err)
{
    *u = (struct unique){.x = x, .inner = 1};
    int rc = select_axis(call, x->shape.rank, &u->axis, err);
    if (rc != HEARTH_OK)
        return rc;
    if (u->axis < 0) {
        (void)hearth_shape_count(&x->shape, &u->n);
    } else {
        u->n = x->shape.dims[u->axis];
        u->slice = hearth__ops_take_axis(x, u->axis, 0);
        (void)hearth_shape_count(&u->slice.shape, &u->inner);
    }
    if ((uint64_t)u->n > SIZE_MAX / 2 / sizeof(int64_t) - 2)
        return hearth_fail(err, HEARTH_ETOOBIG, "it is too large to sort");
    u->order = hearth__ops_malloc((2 * (size_t)u->n + 1) * sizeof(int64_t));
    if (u->order == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory to sort; try again");
    u->first = u->order + u->n;
    sort_slices(u, u->first);
    for (int64_t i = 0; i < u->n; i++)
        if (i == 0 || compare_slices(u, u->order[i - 1], u->order[i]) != 0)
            u->first[u->groups++] = i; /* as a place in <order> */
    return HEARTH_OK;
}

HEARTH__OPS_MEASURE(unique)
{
    struct unique u;
    int rc = unique_begin(call, in[0], &u, err);
    if (rc != HEARTH_OK)
        return rc;
    call->out[0].shape.dims[u.axis < 0 ? 0 : u.axis] = u.groups;
    for (uint32_t k = 1; k < call->output_count; k++)
        call->out[k].shape.dims[0] = k == 2 ? u.n : u.groups;
    free(u.order);
    return HEARTH_OK;
}

static int by_number(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (x[0] > y[0]) - (x[0] < y[0]);
}

static void set_index(const struct hearth_op_call *call,
                      struct hearth_view *out, uint32_t k, int64_t at,
                      int64_t value)
{
    if (k < call->output_count && out[k].data != NULL)
        ((int64_t *)out[k].data)[at] = value;
}

/* Group <from> of the sorted ones is number <to> of the result. */
static void write_group(const struct hearth_op_call *call,
                        const struct unique *u, struct hearth_view *out,
                        int64_t from, int64_t to)
{
    int64_t begin = u->first[from];
    int64_t end = from + 1 < u->groups ? u->first[from + 1] : u->n;
    int64_t slice = u->order[begin];
    if (u->axis < 0) {
        memcpy(hearth__ops_at(&out[0], to * out[0].strides[0]),
               hearth__ops_at(u->x, offset_of(u->x, slice)),
               hearth_dtype_bytes(u->x->dtype));
    } else {
        struct hearth_view x = hearth__ops_take_axis(u->x, u->axis, slice);
        struct hearth_view y = hearth__ops_take_axis(&out[0], u->axis, to);
        hearth__ops_copy(&y, &x);
    }
    set_index(call, out, 1, to, slice);
    set_index(call, out, 3, to, end - begin);
    for (int64_t i = begin; i < end; i++)
        set_index(call, out, 2, u->order[i], to);
}

HEARTH__OPS_EVAL(unique)
{
    struct unique u;
    int64_t(*places)[2] = NULL; /* first slice of a group, the group */
    int rc = unique_begin(call, in[0], &u, err);
    if (rc != HEARTH_OK)
        return rc;
    bool sorted =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_SORTED, 1) != 0;
    if (!sorted) {
        places = hearth__ops_malloc(((size_t)u.groups + 1) * sizeof *places);
        if (places == NULL) {
            free(u.order);
            return hearth_fail(err, HEARTH_ENOMEM,
                               "no memory to sort; try again");
        }
        for (int64_t i = 0; i < u.groups; i++) {
            places[i][0] = u.order[u.first[i]];
            places[i][1] = i;
        }
        qsort(places, (size_t)u.groups, sizeof *places, by_number);
    }
    for (int64_t i = 0; i < u.groups; i++)
        write_group(call, &u, out, sorted ? i : places[i][1], i);
    free(places);
    free(u.order);
    return HEARTH_OK;
}
