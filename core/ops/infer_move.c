/* SPDX-License-Identifier: Apache-2.0 */
/*
 * infer_move.c: element types, shapes and contents of the operators that move
 * elements, or make them from shapes. Shape -> Gather -> Unsqueeze -> Concat ->
 * Reshape is how exporters spell "keep the batch": contents carry the symbol
 * through all of them.
 */
#include <inttypes.h>

#include "ops/ops_impl.h"

static int rank_limit(int64_t rank, struct hearth_error *err)
{
    if (rank <= HEARTH_RANK_MAX)
        return HEARTH_OK;
    return hearth_fail(err, HEARTH_ESHAPE,
                       "result has rank %" PRId64 ", the most is %d", rank,
                       HEARTH_RANK_MAX);
}

/* A rank that is known, sizes that are not. */
static void fresh_shape(const struct hearth_op_call *call, int rank)
{
    struct hearth_shape *y = &call->out[0].shape;
    y->rank = rank;
    for (int i = 0; i < rank; i++)
        y->dims[i] = hearth__ops_fresh(call);
}

/* Elements of a vector input, or -1. */
static int64_t vector_size(const struct hearth_value_info *in)
{
    if (in == NULL || in->shape.rank != 1 || in->shape.dims[0] < 0)
        return -1;
    return in->shape.dims[0];
}

/* Output 0, whose shape is set, has the elements of input 0 in their order. */
static void same_elements(const struct hearth_op_call *call)
{
    struct hearth__ops_content c;
    if (hearth__ops_content(call->in[0], &c))
        hearth__ops_set_content(call, &call->out[0], c.v, c.n, c.known);
}

HEARTH__OPS_INFER(identity)
{
    int rc = hearth__ops_begin(call, err);
    if (rc == HEARTH_OK)
        call->out[0] = *call->in[0];
    return rc;
}

HEARTH__OPS_INFER(cast)
{
    int rc = hearth__ops_begin(call, err);
    if (rc != HEARTH_OK)
        return rc;
    int64_t to = hearth_attr_int(call->graph, call->node, HEARTH_ATTR_TO, 0);
    if (to <= 0 || to > UINT8_MAX ||
        hearth_dtype_bytes((enum hearth_dtype)to) == 0)
        return hearth_fail(
            err, HEARTH_ETYPE,
            "casts to element type %" PRId64 ", which is not supported", to);
    call->out[0] = *call->in[0];
    if (call->out[0].dtype == (enum hearth_dtype)to)
        return HEARTH_OK;
    call->out[0].dtype = (enum hearth_dtype)to;
    call->out[0].data = NULL;
    call->out[0].content = NULL;
    same_elements(call);
    return HEARTH_OK;
}

HEARTH__OPS_INFER(shape)
{
    int rc = hearth__ops_begin(call, err);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth_shape *x = &call->in[0]->shape;
    call->out[0].dtype = HEARTH_I64;
    if (x->rank < 0) {
        fresh_shape(call, 1);
        return HEARTH_OK;
    }
    int64_t r = x->rank;
    int64_t start =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_START, 0);
    int64_t end = hearth_attr_int(call->graph, call->node, HEARTH_ATTR_END, r);
    start = start < 0 ? start + r : start;
    end = end < 0 ? end + r : end;
    start = start < 0 ? 0 : start > r ? r : start;
    end = end < start ? start : end > r ? r : end;
    call->out[0].shape.rank = 1;
    call->out[0].shape.dims[0] = end - start;
    hearth__ops_set_content(call, &call->out[0], x->dims + start,
                            (uint32_t)(end - start), false);
    return HEARTH_OK;
}

int hearth__ops_shape_of_vector(const struct hearth_op_call *call,
                                struct hearth_error *err)
{
    struct hearth_shape *y = &call->out[0].shape;
    struct hearth__ops_content c;
    int64_t rank = vector_size(call->in[0]);
    int rc = rank_limit(rank, err);
    if (rc != HEARTH_OK || rank < 0)
        return rc;
    if (!hearth__ops_content(call->in[0], &c)) {
        fresh_shape(call, (int)rank);
        return HEARTH_OK;
    }
    for (int i = 0; i < rank; i++) {
        bool symbol = HEARTH_DIM_IS_SYMBOL(c.v[i]);
        if (c.v[i] < 0 && (c.known || !symbol))
            return hearth_fail(err, HEARTH_ESHAPE,
                               "shape has the size %" PRId64, c.v[i]);
        y->dims[i] = c.v[i];
    }
    y->rank = (int)rank;
    return HEARTH_OK;
}

HEARTH__OPS_INFER(constant_of_shape)
{
    int rc = hearth__ops_begin(call, err);
    if (rc != HEARTH_OK)
        return rc;
    struct hearth_value_info *out = &call->out[0];
    int64_t dtype = hearth_attr_int(call->graph, call->node,
                                    HEARTH_ATTR_VALUE_DTYPE, HEARTH_F32);
    if (dtype <= 0 || dtype > UINT8_MAX ||
        hearth_dtype_bytes((enum hearth_dtype)dtype) == 0)
        return hearth_fail(err, HEARTH_ETYPE,
                           "value is of element type %" PRId64
                           ", which is not supported",
                           dtype);
    out->dtype = (enum hearth_dtype)dtype;
    rc = hearth__ops_shape_of_vector(call, err);
    if (rc != HEARTH_OK)
        return rc;
    int64_t count;
    int64_t values[HEARTH_CONTENT_MAX];
    int64_t value =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_VALUE_INT, 0);
    if (hearth_shape_count(&out->shape, &count) &&
        count <= HEARTH_CONTENT_MAX) {
        for (int64_t i = 0; i < count; i++)
            values[i] = value;
        hearth__ops_set_content(call, out, values, (uint32_t)count, true);
    }
    return HEARTH_OK;
}

/* ---- Concat ---- */

static void concat_content(const struct hearth_op_call *call)
{
    int64_t values[HEARTH_CONTENT_MAX];
    uint32_t n = 0;
    bool known = true, odd = false;
    for (uint32_t k = 0; k < call->input_count; k++) {
        struct hearth__ops_content c;
        if (!hearth__ops_content(call->in[k], &c) ||
            n + c.n > HEARTH_CONTENT_MAX)
            return;
        known &= c.known;
        odd |= c.odd;
        for (uint32_t i = 0; i < c.n; i++)
            values[n++] = c.v[i];
    }
    if (known || !odd)
        hearth__ops_set_content(call, &call->out[0], values, n, known);
}

HEARTH__OPS_INFER(concat)
{
    int rc = hearth__ops_begin(call, err), axis;
    for (uint32_t k = 1; rc == HEARTH_OK && k < call->input_count; k++)
        rc = hearth__ops_same_dtype(call, k, err);
    if (rc != HEARTH_OK)
        return rc;
    for (uint32_t k = 0; k < call->input_count; k++)
        if (call->in[k]->shape.rank < 0)
            return HEARTH_OK;
    struct hearth_shape y = call->in[0]->shape;
    rc = hearth__ops_axis(
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, 0), y.rank,
        &axis, err);
    for (uint32_t k = 1; rc == HEARTH_OK && k < call->input_count; k++) {
        const struct hearth_shape *s = &call->in[k]->shape;
        if (s->rank != y.rank)
            return hearth_fail(err, HEARTH_ESHAPE,
                               "inputs 0 and %" PRIu32 " have ranks %" PRId32
                               " and %" PRId32,
                               k, y.rank, s->rank);
        for (int i = 0; rc == HEARTH_OK && i < y.rank; i++)
            rc = i == axis
                     ? hearth__ops_add_dim(call, y.dims[i], s->dims[i],
                                           &y.dims[i], err)
                     : hearth__ops_merge_dim(y.dims[i], s->dims[i], &y.dims[i],
                                             "sizes beside the axis", err);
    }
    if (rc != HEARTH_OK)
        return rc;
    call->out[0].shape = y;
    if (y.rank == 1)
        concat_content(call);
    return HEARTH_OK;
}

/* ---- Reshape and its kin ---- */

/* The size that -1 stands for: elements of <x> divided by those of <y> beside
 * axis <wild>. Equal symbols cancel out. */
static int wild_dim(const struct hearth_op_call *call,
                    const struct hearth_shape *x, const struct hearth_shape *y,
                    int wild, int64_t *out, struct hearth_error *err)
{
    bool used[HEARTH_RANK_MAX] = {false};
    int64_t below = 1, above = 1, symbol = -1;
    int symbols = 0;
    bool overflow = false, denominator = false;
    for (int i = 0; i < y->rank; i++) {
        int j = 0;
        if (i == wild)
            continue;
        /* A size that stands on both sides cancels, an empty batch too. */
        while (j < x->rank && (used[j] || x->dims[j] != y->dims[i]))
            j++;
        if (j < x->rank)
            used[j] = true;
        else if (HEARTH_DIM_IS_SYMBOL(y->dims[i]))
            denominator = true;
        else
            overflow |= __builtin_mul_overflow(below, y->dims[i], &below);
    }
    for (int j = 0; j < x->rank; j++) {
        if (used[j])
            continue;
        if (HEARTH_DIM_IS_SYMBOL(x->dims[j])) {
            symbol = x->dims[j];
            symbols++;
        } else {
            overflow |= __builtin_mul_overflow(above, x->dims[j], &above);
        }
    }
    if (overflow)
        return hearth_fail(err, HEARTH_ESHAPE, "sizes are too large to count");
    if (denominator || symbols > 1 || (symbols == 1 && above != below)) {
        *out = hearth__ops_fresh(call);
        return HEARTH_OK;
    }
    if (symbols == 1) {
        *out = symbol;
        return HEARTH_OK;
    }
    if (below == 0 || above % below != 0)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "%" PRId64 " elements do not divide by %" PRId64,
                           above, below);
    *out = above / below;
    return HEARTH_OK;
}

/* Dimensions from the contents of Reshape's shape; *wild is -1's place. */
static int reshape_dims(const struct hearth_op_call *call,
                        const struct hearth__ops_content *c, int *wild,
                        struct hearth_error *err)
{
    const struct hearth_shape *x = &call->in[0]->shape;
    struct hearth_shape *y = &call->out[0].shape;
    bool allow_zero = hearth_attr_int(call->graph, call->node,
                                      HEARTH_ATTR_ALLOW_ZERO, 0) != 0;
    bool zero = false;
    *wild = -1;
    y->rank = (int)c->n;
    for (int i = 0; i < y->rank; i++) {
        int64_t d = c->v[i];
        y->dims[i] = d;
        if (d == -1) {
            if (*wild >= 0)
                return hearth_fail(err, HEARTH_EMODEL, "shape has two of -1");
            *wild = i;
        } else if (d == 0 && !allow_zero) {
            if (x->rank >= 0 && i >= x->rank)
                return hearth_fail(err, HEARTH_ESHAPE,
                                   "shape copies size %d of rank %" PRId32, i,
                                   x->rank);
            y->dims[i] = x->rank < 0 ? hearth__ops_fresh(call) : x->dims[i];
        } else if (d < 0 && (c->known || !HEARTH_DIM_IS_SYMBOL(d))) {
            return hearth_fail(err, HEARTH_ESHAPE,
                               "shape has the size %" PRId64, d);
        }
        zero |= d == 0 && allow_zero;
    }
    if (*wild >= 0 && zero)
        return hearth_fail(err, HEARTH_EMODEL,
                           "shape has both 0 and -1 with allowzero");
    return HEARTH_OK;
}

HEARTH__OPS_INFER(reshape)
{
    int rc = hearth__ops_begin(call, err), wild;
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 1, err);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth_shape *x = &call->in[0]->shape;
    struct hearth_shape *y = &call->out[0].shape;
    struct hearth__ops_content c;
    int64_t rank = vector_size(call->in[1]), nx, ny;
    rc = rank_limit(rank, err);
    if (rc != HEARTH_OK || rank < 0)
        return rc;
    if (!hearth__ops_content(call->in[1], &c)) {
        fresh_shape(call, (int)rank);
        return HEARTH_OK;
    }
    rc = reshape_dims(call, &c, &wild, err);
    if (rc == HEARTH_OK && wild >= 0) {
        if (x->rank < 0)
            y->dims[wild] = hearth__ops_fresh(call);
        else
            rc = wild_dim(call, x, y, wild, &y->dims[wild], err);
    }
    if (rc != HEARTH_OK)
        return rc;
    if (hearth_shape_known(x) && hearth_shape_known(y) &&
        (!hearth_shape_count(x, &nx) || !hearth_shape_count(y, &ny) ||
         nx != ny)) {
        char tx[200], ty[200];
        return hearth_fail(err, HEARTH_ESHAPE, "%s does not reshape to %s",
                           hearth_shape_text(x, tx, sizeof tx),
                           hearth_shape_text(y, ty, sizeof ty));
    }
    same_elements(call);
    return HEARTH_OK;
}

/* Product of dims [from, to). */
static int product(const struct hearth_op_call *call,
                   const struct hearth_shape *x, int from, int to, int64_t *out,
                   struct hearth_error *err)
{
    int64_t n = 1, symbol = 0;
    int symbols = 0;
    bool overflow = false, empty = false;
    for (int i = from; i < to; i++) {
        if (HEARTH_DIM_IS_SYMBOL(x->dims[i])) {
            symbol = x->dims[i];
            symbols++;
            continue;
        }
        empty |= x->dims[i] == 0;
        overflow |= __builtin_mul_overflow(n, x->dims[i], &n);
    }
    if (empty)
        *out = 0;
    else if (overflow)
        return hearth_fail(err, HEARTH_ESHAPE, "sizes are too large to count");
    else if (symbols == 0)
        *out = n;
    else
        *out = symbols == 1 && n == 1 ? symbol : hearth__ops_fresh(call);
    return HEARTH_OK;
}

HEARTH__OPS_INFER(flatten)
{
    int rc = hearth__ops_begin(call, err);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth_shape *x = &call->in[0]->shape;
    struct hearth_shape *y = &call->out[0].shape;
    if (x->rank < 0) {
        fresh_shape(call, 2);
        return HEARTH_OK;
    }
    int64_t axis =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, 1);
    if (axis < -x->rank || axis > x->rank) /* rank itself is allowed */
        return hearth_fail(err, HEARTH_EMODEL,
                           "axis %" PRId64 " does not exist at rank %" PRId32,
                           axis, x->rank);
    axis = axis < 0 ? axis + x->rank : axis;
    y->rank = 2;
    rc = product(call, x, 0, (int)axis, &y->dims[0], err);
    if (rc == HEARTH_OK)
        rc = product(call, x, (int)axis, x->rank, &y->dims[1], err);
    if (rc == HEARTH_OK)
        same_elements(call);
    return rc;
}

HEARTH__OPS_INFER(transpose)
{
    int rc = hearth__ops_begin(call, err);
    if (rc != HEARTH_OK || call->in[0]->shape.rank < 0)
        return rc;
    const struct hearth_shape *x = &call->in[0]->shape;
    struct hearth_shape *y = &call->out[0].shape;
    uint32_t count, seen;
    const int64_t *perm =
        hearth_attr_ints(call->graph, call->node, HEARTH_ATTR_PERM, &count);
    if (perm != NULL && count != (uint32_t)x->rank)
        return hearth_fail(err, HEARTH_EMODEL,
                           "perm has %" PRIu32
                           " numbers, the input rank %" PRId32,
                           count, x->rank);
    if (perm != NULL)
        rc = hearth__ops_axis_set(perm, count, x->rank, &seen, err);
    if (rc != HEARTH_OK)
        return rc;
    y->rank = x->rank;
    for (int i = 0; i < y->rank; i++) {
        int64_t from = perm == NULL ? x->rank - 1 - i : perm[i];
        y->dims[i] = x->dims[from < 0 ? from + x->rank : from];
    }
    if (y->rank <= 1)
        same_elements(call);
    return HEARTH_OK;
}

/* Squeeze without axes: every 1 goes. */
static void squeeze_all(const struct hearth_op_call *call)
{
    const struct hearth_shape *x = &call->in[0]->shape;
    struct hearth_shape *y = &call->out[0].shape;
    y->rank = 0;
    for (int i = 0; i < x->rank; i++) {
        if (HEARTH_DIM_IS_SYMBOL(x->dims[i])) {
            y->rank = -1; /* it may be 1 */
            return;
        }
        if (x->dims[i] != 1)
            y->dims[y->rank++] = x->dims[i];
    }
    same_elements(call);
}

HEARTH__OPS_INFER(squeeze)
{
    int rc = hearth__ops_begin(call, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 1, err);
    if (rc != HEARTH_OK || call->in[0]->shape.rank < 0)
        return rc;
    const struct hearth_shape *x = &call->in[0]->shape;
    const struct hearth_value_info *axes = hearth__ops_in(call, 1);
    struct hearth_shape *y = &call->out[0].shape;
    struct hearth__ops_content c;
    uint32_t set;
    if (axes == NULL) {
        squeeze_all(call);
        return HEARTH_OK;
    }
    if (!hearth__ops_content(axes, &c) || !c.known) {
        int64_t n = vector_size(axes);
        if (n >= 0 && n <= x->rank)
            fresh_shape(call, x->rank - (int)n);
        return HEARTH_OK;
    }
    rc = hearth__ops_axis_set(c.v, c.n, x->rank, &set, err);
    if (rc != HEARTH_OK)
        return rc;
    y->rank = 0;
    for (int i = 0; i < x->rank; i++) {
        if (!(set & 1u << i))
            y->dims[y->rank++] = x->dims[i];
        else if (x->dims[i] != 1 && !HEARTH_DIM_IS_SYMBOL(x->dims[i]))
            return hearth_fail(err, HEARTH_ESHAPE,
                               "axis %d has size %" PRId64 ", not 1", i,
                               x->dims[i]);
    }
    same_elements(call);
    return HEARTH_OK;
}

HEARTH__OPS_INFER(unsqueeze)
{
    int rc = hearth__ops_begin(call, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 1, err);
    if (rc != HEARTH_OK || call->in[0]->shape.rank < 0)
        return rc;
    const struct hearth_shape *x = &call->in[0]->shape;
    struct hearth_shape *y = &call->out[0].shape;
    struct hearth__ops_content c;
    bool known = hearth__ops_content(call->in[1], &c) && c.known;
    int64_t n = known ? (int64_t)c.n : vector_size(call->in[1]);
    if (n < 0)
        return HEARTH_OK;
    rc = rank_limit(n > HEARTH_RANK_MAX ? n : n + x->rank, err);
    if (rc != HEARTH_OK)
        return rc;
    if (!known) {
        fresh_shape(call, x->rank + (int)n);
        return HEARTH_OK;
    }
    uint32_t set;
    int rank = x->rank + (int)n, from = 0;
    rc = hearth__ops_axis_set(c.v, c.n, rank, &set, err);
    if (rc != HEARTH_OK)
        return rc;
    y->rank = rank;
    for (int i = 0; i < rank; i++)
        y->dims[i] = set & 1u << i ? 1 : x->dims[from++];
    same_elements(call);
    return HEARTH_OK;
}

/* ---- Gather ---- */

static int gather_content(const struct hearth_op_call *call,
                          struct hearth_error *err)
{
    struct hearth__ops_content data, indices;
    int64_t values[HEARTH_CONTENT_MAX];
    if (!hearth__ops_content(call->in[0], &data) ||
        call->in[0]->shape.rank != 1 ||
        !hearth__ops_content(call->in[1], &indices) || !indices.known)
        return HEARTH_OK;
    for (uint32_t i = 0; i < indices.n; i++) {
        int64_t at = indices.v[i];
        at = at < 0 ? at + data.n : at;
        if (at < 0 || at >= data.n)
            return hearth_fail(err, HEARTH_ESHAPE,
                               "index %" PRId64 " is out of range for %" PRIu32
                               " elements",
                               indices.v[i], data.n);
        values[i] = data.v[at];
    }
    hearth__ops_set_content(call, &call->out[0], values, indices.n, data.known);
    return HEARTH_OK;
}

HEARTH__OPS_INFER(gather)
{
    int rc = hearth__ops_begin(call, err), axis;
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 1, err);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth_shape *x = &call->in[0]->shape;
    const struct hearth_shape *s = &call->in[1]->shape;
    struct hearth_shape y = {0};
    if (x->rank < 0 || s->rank < 0)
        return HEARTH_OK;
    rc = hearth__ops_axis(
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, 0), x->rank,
        &axis, err);
    if (rc == HEARTH_OK)
        rc = rank_limit(x->rank - 1 + s->rank, err);
    if (rc != HEARTH_OK)
        return rc;
    for (int i = 0; i < axis; i++)
        y.dims[y.rank++] = x->dims[i];
    for (int i = 0; i < s->rank; i++)
        y.dims[y.rank++] = s->dims[i];
    for (int i = axis + 1; i < x->rank; i++)
        y.dims[y.rank++] = x->dims[i];
    call->out[0].shape = y;
    return gather_content(call, err);
}
