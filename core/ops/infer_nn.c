/* SPDX-License-Identifier: Apache-2.0 */
/*
 * infer_nn.c: element types and shapes of the operators that compute: Conv, the
 * pools, normalisation, activations, matrix products, arithmetic, reductions.
 * Integer arithmetic passes contents on, for it is how exporters spell sizes.
 */
#include <inttypes.h>

#include "ops/ops_impl.h"

/* Symbolic result of a window: the same size where the window keeps it. */
static int64_t window_dim(const struct hearth_op_call *call, int64_t out)
{
    return out == -1 ? hearth__ops_fresh(call) : out;
}

/* [N, channels, out..]; <w> NULL for pools. */
static int window_shape(const struct hearth_op_call *call, int64_t channels,
                        const struct hearth_shape *w, struct hearth_error *err)
{
    const struct hearth_shape *x = &call->in[0]->shape;
    struct hearth_shape *y = &call->out[0].shape;
    struct hearth_window win;
    int rc = hearth__ops_window(call, x, w, &win, err);
    if (rc != HEARTH_OK)
        return rc;
    y->rank = x->rank;
    y->dims[0] = x->dims[0];
    y->dims[1] = channels;
    for (int i = 0; i < win.rank; i++)
        y->dims[i + 2] = window_dim(call, win.out[i]);
    return HEARTH_OK;
}

static int conv_channels(const struct hearth_op_call *call,
                         const struct hearth_shape *w, struct hearth_error *err)
{
    const struct hearth_shape *x = &call->in[0]->shape;
    int64_t group =
                hearth_attr_int(call->graph, call->node, HEARTH_ATTR_GROUP, 1),
            c;
    if (group < 1)
        return hearth_fail(err, HEARTH_EMODEL, "group is %" PRId64, group);
    if (x->dims[1] >= 0 && w->dims[1] >= 0 &&
        (__builtin_mul_overflow(w->dims[1], group, &c) || c != x->dims[1]))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "input has %" PRId64 " channels, the weights are "
                           "for %" PRId64 " in each of %" PRId64 " groups",
                           x->dims[1], w->dims[1], group);
    if (w->dims[0] >= 0 && w->dims[0] % group != 0)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "%" PRId64 " output channels do not divide into "
                           "%" PRId64 " groups",
                           w->dims[0], group);
    return HEARTH_OK;
}

/* A 1-D input of <size> elements. */
static int check_vector(const struct hearth_op_call *call, uint32_t k,
                        int64_t size, const char *what,
                        struct hearth_error *err)
{
    const struct hearth_value_info *in = hearth__ops_in(call, k);
    int64_t merged;
    if (in == NULL || in->shape.rank < 0)
        return HEARTH_OK;
    if (in->shape.rank != 1)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "%s has rank %" PRId32 ", it must be a vector", what,
                           in->shape.rank);
    return hearth__ops_merge_dim(in->shape.dims[0], size, &merged, what, err);
}

/* Input <k>, which is added to output 0, has its shape. */
static int merge_residual(const struct hearth_op_call *call, uint32_t k,
                          struct hearth_error *err)
{
    const struct hearth_value_info *z = hearth__ops_in(call, k);
    struct hearth_shape *y = &call->out[0].shape;
    int rc = HEARTH_OK;
    if (z == NULL || z->shape.rank < 0 || y->rank < 0)
        return HEARTH_OK;
    if (z->shape.rank != y->rank)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "residual has rank %" PRId32 ", the result %" PRId32,
                           z->shape.rank, y->rank);
    for (int i = 0; rc == HEARTH_OK && i < y->rank; i++)
        rc = hearth__ops_merge_dim(y->dims[i], z->shape.dims[i], &y->dims[i],
                                   "residual and result", err);
    return rc;
}

int hearth__ops_conv_shape(const struct hearth_op_call *call, uint32_t weights,
                           uint32_t bias, struct hearth_error *err)
{
    const struct hearth_shape *w = &call->in[weights]->shape;
    struct hearth_shape *y = &call->out[0].shape;
    if (call->in[0]->shape.rank < 0)
        return HEARTH_OK;
    if (w->rank < 0) {
        y->rank = call->in[0]->shape.rank;
        for (int i = 0; i < y->rank; i++)
            y->dims[i] =
                i == 0 ? call->in[0]->shape.dims[0] : hearth__ops_fresh(call);
        return HEARTH_OK;
    }
    int rc = window_shape(call, w->dims[0], w, err);
    if (rc == HEARTH_OK)
        rc = conv_channels(call, w, err);
    return rc == HEARTH_OK ? check_vector(call, bias, w->dims[0], "bias", err)
                           : rc;
}

HEARTH__OPS_INFER(conv)
{
    int rc = hearth__ops_begin(call, err);
    for (uint32_t k = 1; rc == HEARTH_OK && k < call->input_count; k++)
        rc = hearth__ops_same_dtype(call, k, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_check_act(call, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_conv_shape(call, 1, 2, err);
    if (rc == HEARTH_OK)
        rc = merge_residual(call, 3, err);
    return rc;
}

HEARTH__OPS_INFER(batch_normalization)
{
    static const char *const names[] = {"scale", "bias", "mean", "variance"};
    int rc = hearth__ops_begin(call, err);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth_shape *x = &call->in[0]->shape;
    if (x->rank == 0)
        return hearth_fail(err, HEARTH_ESHAPE, "input is a scalar");
    for (uint32_t k = 1; rc == HEARTH_OK && k < 5; k++) {
        if (hearth__ops_kind(call->in[k]->dtype) != HEARTH__OPS_FLOAT)
            return hearth_fail(err, HEARTH_ETYPE, "%s is %s", names[k - 1],
                               hearth_dtype_name(call->in[k]->dtype));
        if (x->rank > 0)
            rc = check_vector(call, k, x->rank > 1 ? x->dims[1] : 1,
                              names[k - 1], err);
    }
    call->out[0].shape = *x;
    return rc;
}

HEARTH__OPS_INFER(unary)
{
    int rc = hearth__ops_begin(call, err);
    if (rc == HEARTH_OK)
        call->out[0].shape = call->in[0]->shape;
    return rc;
}

HEARTH__OPS_INFER(clip)
{
    int rc = hearth__ops_begin(call, err);
    for (uint32_t k = 1; rc == HEARTH_OK && k < call->input_count; k++) {
        rc = hearth__ops_same_dtype(call, k, err);
        int64_t count;
        if (rc == HEARTH_OK && call->in[k] != NULL &&
            hearth_shape_count(&call->in[k]->shape, &count) && count != 1)
            rc = hearth_fail(err, HEARTH_ESHAPE,
                             "bound %" PRIu32 " is not a scalar", k);
    }
    if (rc == HEARTH_OK)
        call->out[0].shape = call->in[0]->shape;
    return rc;
}

HEARTH__OPS_INFER(softmax)
{
    int rc = hearth__ops_begin(call, err), axis;
    if (rc != HEARTH_OK || call->in[0]->shape.rank < 0)
        return rc;
    call->out[0].shape = call->in[0]->shape;
    return hearth__ops_axis(
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, -1),
        call->in[0]->shape.rank, &axis, err);
}

HEARTH__OPS_INFER(pool)
{
    int rc = hearth__ops_begin(call, err);
    if (rc != HEARTH_OK)
        return rc;
    if (call->in[0]->shape.rank >= 0)
        rc = window_shape(
            call, call->in[0]->shape.rank > 1 ? call->in[0]->shape.dims[1] : 0,
            NULL, err);
    if (rc == HEARTH_OK && call->node->op == HEARTH_OP_LP_POOL &&
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_P, 2) < 1)
        rc = hearth_fail(err, HEARTH_EMODEL, "p must be 1 or more");
    if (rc == HEARTH_OK && call->output_count > 1) {
        call->out[1].shape = call->out[0].shape;
        call->out[1].dtype = HEARTH_I64;
    }
    return rc;
}

HEARTH__OPS_INFER(global_pool)
{
    int rc = hearth__ops_begin(call, err);
    if (rc != HEARTH_OK || call->in[0]->shape.rank < 0)
        return rc;
    struct hearth_shape *y = &call->out[0].shape;
    *y = call->in[0]->shape;
    if (y->rank < 3)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "input of rank %" PRId32 " is not [N,C,D..]",
                           y->rank);
    for (int i = 2; i < y->rank; i++)
        y->dims[i] = 1;
    return HEARTH_OK;
}

HEARTH__OPS_INFER(gemm)
{
    int rc = hearth__ops_begin(call, err);
    for (uint32_t k = 1; rc == HEARTH_OK && k < call->input_count; k++)
        rc = hearth__ops_same_dtype(call, k, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_check_act(call, err);
    if (rc != HEARTH_OK)
        return rc;
    struct hearth_shape *y = &call->out[0].shape;
    int64_t inner[2], merged;
    y->rank = 2;
    for (int k = 0; k < 2; k++) {
        const struct hearth_shape *s = &call->in[k]->shape;
        bool trans =
            hearth_attr_int(call->graph, call->node,
                            k == 0 ? HEARTH_ATTR_TRANS_A : HEARTH_ATTR_TRANS_B,
                            0) != 0;
        if (s->rank >= 0 && s->rank != 2)
            return hearth_fail(err, HEARTH_ESHAPE,
                               "input %d has rank %" PRId32
                               ", it must be a matrix",
                               k, s->rank);
        /* A is [M,K], B is [K,N]. */
        bool outer_first = (k == 0) != trans;
        y->dims[k] = s->rank < 0 ? hearth__ops_fresh(call)
                                 : s->dims[outer_first ? 0 : 1];
        inner[k] = s->rank < 0 ? hearth__ops_fresh(call)
                               : s->dims[outer_first ? 1 : 0];
    }
    rc = hearth__ops_merge_dim(inner[0], inner[1], &merged,
                               "inner sizes of the product", err);
    if (rc == HEARTH_OK && hearth__ops_in(call, 2) != NULL)
        rc = hearth__ops_broadcasts_to(&call->in[2]->shape, y, "bias", err);
    return rc;
}

/* numpy's matmul: a rank of 1 gains an axis that the result loses. */
int hearth__ops_matmul_shape(const struct hearth_op_call *call, uint32_t second,
                             struct hearth_error *err)
{
    struct hearth_shape a = call->in[0]->shape, b = call->in[second]->shape, y;
    struct hearth_shape *out = &call->out[0].shape;
    if (a.rank < 0 || b.rank < 0)
        return HEARTH_OK;
    if (a.rank == 0 || b.rank == 0)
        return hearth_fail(err, HEARTH_ESHAPE, "an input is a scalar");
    bool vector_a = a.rank == 1, vector_b = b.rank == 1;
    int64_t m = vector_a ? 1 : a.dims[a.rank - 2];
    int64_t n = vector_b ? 1 : b.dims[b.rank - 1], merged;
    int rc = hearth__ops_merge_dim(a.dims[a.rank - 1],
                                   b.dims[vector_b ? 0 : b.rank - 2], &merged,
                                   "inner sizes of the product", err);
    a.rank = vector_a ? 0 : a.rank - 2;
    b.rank = vector_b ? 0 : b.rank - 2;
    if (rc == HEARTH_OK)
        rc = hearth__ops_broadcast_shape(call, &a, &b, &y, err);
    if (rc != HEARTH_OK)
        return rc;
    if (!vector_a)
        y.dims[y.rank++] = m;
    if (!vector_b)
        y.dims[y.rank++] = n;
    *out = y;
    return HEARTH_OK;
}

HEARTH__OPS_INFER(matmul)
{
    int rc = hearth__ops_begin(call, err);
    for (uint32_t k = 1; rc == HEARTH_OK && k < call->input_count; k++)
        rc = hearth__ops_same_dtype(call, k, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_check_act(call, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_matmul_shape(call, 1, err);
    const struct hearth_shape *y = &call->out[0].shape;
    if (rc == HEARTH_OK && hearth__ops_in(call, 2) != NULL && y->rank >= 0) {
        const struct hearth_shape *c = &call->in[2]->shape;
        if (c->rank > 1)
            rc = hearth_fail(err, HEARTH_ESHAPE,
                             "bias has rank %" PRId32 ", it must be a vector",
                             c->rank);
        else
            rc = hearth__ops_broadcasts_to(c, y, "bias", err);
    }
    if (rc == HEARTH_OK)
        rc = merge_residual(call, 3, err);
    return rc;
}

/* ---- Arithmetic ---- */

/* One value of contents; symbols stay where arithmetic with 0, 1 or the symbol
 * itself tells the result. */
static int64_t symbol_value(const struct hearth_op_call *call, uint32_t op,
                            int64_t a, int64_t b)
{
    switch (op) {
    case HEARTH_OP_ADD:
        if (a == 0 || b == 0)
            return a == 0 ? b : a;
        break;
    case HEARTH_OP_SUB:
        if (b == 0)
            return a;
        if (a == b)
            return 0;
        break;
    case HEARTH_OP_MUL:
        if (a == 0 || b == 0)
            return 0;
        if (a == 1 || b == 1)
            return a == 1 ? b : a;
        break;
    case HEARTH_OP_MIN:
    case HEARTH_OP_MAX:
        break;
    default: /* DIV */
        if (b == 1)
            return a;
        break;
    }
    return hearth__ops_fresh(call);
}

/* False for a division by 0: evaluation tells. */
static bool content_value(const struct hearth_op_call *call, int64_t a,
                          int64_t b, bool known, int64_t *out)
{
    uint32_t op = call->node->op;
    if (!known && (HEARTH_DIM_IS_SYMBOL(a) || HEARTH_DIM_IS_SYMBOL(b))) {
        *out = symbol_value(call, op, a, b);
        return true;
    }
    switch (op) {
    case HEARTH_OP_ADD:
        *out = (int64_t)((uint64_t)a + (uint64_t)b);
        return true;
    case HEARTH_OP_SUB:
        *out = (int64_t)((uint64_t)a - (uint64_t)b);
        return true;
    case HEARTH_OP_MUL:
        *out = (int64_t)((uint64_t)a * (uint64_t)b);
        return true;
    case HEARTH_OP_MIN:
        *out = a < b ? a : b;
        return true;
    case HEARTH_OP_MAX:
        *out = a > b ? a : b;
        return true;
    default:
        if (b == 0)
            return false;
        *out = b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
        return true;
    }
}

static void binary_content(const struct hearth_op_call *call)
{
    struct hearth__ops_content a, b;
    struct hearth_value_info *out = &call->out[0];
    int64_t values[HEARTH_CONTENT_MAX], count;
    if (!hearth__ops_content(call->in[0], &a) ||
        !hearth__ops_content(call->in[1], &b) ||
        !hearth_shape_count(&out->shape, &count) || count > HEARTH_CONTENT_MAX)
        return;
    bool known = a.known && b.known;
    /* Only where one operand repeats whole, or not at all: that is all that
     * shape arithmetic does. */
    if ((a.n != count && a.n != 1) || (b.n != count && b.n != 1))
        return;
    if (!known && (a.odd || b.odd))
        return;
    if (hearth_attr_int(call->graph, call->node, HEARTH_ATTR_ACTIVATION, 0))
        return;
    for (int64_t i = 0; i < count; i++) {
        if (!content_value(call, a.v[a.n == 1 ? 0 : i], b.v[b.n == 1 ? 0 : i],
                           known, &values[i]))
            return;
        /* A result in the symbols' range among symbols would be read as
         * one. */
        bool number = known || (!HEARTH_DIM_IS_SYMBOL(a.v[a.n == 1 ? 0 : i]) &&
                                !HEARTH_DIM_IS_SYMBOL(b.v[b.n == 1 ? 0 : i]));
        if (!known && number && HEARTH_DIM_IS_SYMBOL(values[i]))
            return;
    }
    hearth__ops_set_content(call, out, values, (uint32_t)count, known);
}

HEARTH__OPS_INFER(binary)
{
    int rc = hearth__ops_begin(call, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_same_dtype(call, 1, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_check_act(call, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_broadcast_shape(call, &call->in[0]->shape,
                                         &call->in[1]->shape,
                                         &call->out[0].shape, err);
    if (rc == HEARTH_OK)
        binary_content(call);
    return rc;
}

/* ---- Reductions ---- */

HEARTH__OPS_INFER(reduce_mean)
{
    int rc = hearth__ops_begin(call, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 1, err);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth_shape *x = &call->in[0]->shape;
    const struct hearth_value_info *axes = hearth__ops_in(call, 1);
    struct hearth_shape *y = &call->out[0].shape;
    bool keep =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_KEEPDIMS, 1) != 0;
    bool noop = hearth_attr_int(call->graph, call->node,
                                HEARTH_ATTR_NOOP_WITH_EMPTY_AXES, 0) != 0;
    struct hearth__ops_content c = {0};
    bool told = axes == NULL || (hearth__ops_content(axes, &c) && c.known);
    if (x->rank < 0)
        return HEARTH_OK;
    if (!told) {
        /* Which axes go is not known, perhaps not even how many. */
        if (keep) {
            y->rank = x->rank;
            for (int i = 0; i < y->rank; i++)
                y->dims[i] = x->dims[i] == 1 ? 1 : hearth__ops_fresh(call);
        }
        return HEARTH_OK;
    }
    uint32_t set;
    rc = hearth__ops_axis_set(c.v, c.n, x->rank, &set, err);
    if (rc != HEARTH_OK)
        return rc;
    if (c.n == 0 && !noop)
        set = (1u << x->rank) - 1;
    y->rank = 0;
    for (int i = 0; i < x->rank; i++) {
        bool gone = set & 1u << i;
        if (!gone || keep)
            y->dims[y->rank++] = gone ? 1 : x->dims[i];
    }
    return HEARTH_OK;
}
