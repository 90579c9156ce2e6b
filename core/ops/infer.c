/* SPDX-License-Identifier: Apache-2.0 */
/*
 * infer.c: what the infer functions share: checks of a call, arithmetic of
 * dimensions that may be symbols.
 *
 * A symbol stands for one number that only a request tells. Two equal symbols
 * are the same number; of a known one and a symbol that must agree the known
 * one wins; everything else that arithmetic cannot name is a fresh symbol. A
 * model's dimensions may be anything up to INT64_MAX, so that every sum and
 * product is checked.
 */
#include <inttypes.h>

#include "ops/ops_impl.h"

int hearth__ops_begin(const struct hearth_op_call *call,
                      struct hearth_error *err)
{
    const struct hearth_op_row *row = hearth_op_row(call->node->op);
    if (row == NULL || call->input_count < row->min_inputs ||
        (row->max_inputs != 255 && call->input_count > row->max_inputs) ||
        call->output_count == 0 || call->output_count > row->max_outputs)
        return hearth_fail(err, HEARTH_EMODEL,
                           "%" PRIu32 " inputs and %" PRIu32
                           " outputs do not suit the operator",
                           call->input_count, call->output_count);
    for (uint32_t i = 0; i < call->input_count; i++) {
        if (call->in[i] == NULL &&
            (i < row->min_inputs || row->max_inputs == 255))
            return hearth_fail(err, HEARTH_EMODEL,
                               "input %" PRIu32 " is missing", i);
        if (call->in[i] != NULL && (call->in[i]->shape.rank < -1 ||
                                    call->in[i]->shape.rank > HEARTH_RANK_MAX))
            return hearth_fail(err, HEARTH_ESHAPE,
                               "input %" PRIu32 " has rank %" PRId32
                               ", the most is %d",
                               i, call->in[i]->shape.rank, HEARTH_RANK_MAX);
    }
    enum hearth_dtype dtype = call->in[0]->dtype;
    if ((unsigned)dtype >= 32 || !(row->dtypes & UINT32_C(1) << dtype))
        return hearth_fail(err, HEARTH_ETYPE,
                           "input 0 is %s, which the operator does not take",
                           hearth_dtype_name(dtype));
    for (uint32_t i = 0; i < call->output_count; i++)
        call->out[i] =
            (struct hearth_value_info){.dtype = dtype, .shape = {.rank = -1}};
    return HEARTH_OK;
}

int hearth__ops_same_dtype(const struct hearth_op_call *call, uint32_t k,
                           struct hearth_error *err)
{
    const struct hearth_value_info *in = hearth__ops_in(call, k);
    if (in == NULL || in->dtype == call->in[0]->dtype)
        return HEARTH_OK;
    return hearth_fail(
        err, HEARTH_ETYPE,
        "input 0 is %s, input %" PRIu32 " is %s; they must be the same",
        hearth_dtype_name(call->in[0]->dtype), k, hearth_dtype_name(in->dtype));
}

int hearth__ops_index_dtype(const struct hearth_op_call *call, uint32_t k,
                            struct hearth_error *err)
{
    const struct hearth_value_info *in = hearth__ops_in(call, k);
    if (in == NULL || in->dtype == HEARTH_I32 || in->dtype == HEARTH_I64)
        return HEARTH_OK;
    return hearth_fail(err, HEARTH_ETYPE,
                       "input %" PRIu32 " is %s, it must be i32 or i64", k,
                       hearth_dtype_name(in->dtype));
}

int hearth__ops_check_act(const struct hearth_op_call *call,
                          struct hearth_error *err)
{
    int64_t act = hearth_attr_int(call->graph, call->node,
                                  HEARTH_ATTR_ACTIVATION, HEARTH_ACT_NONE);
    if (act < HEARTH_ACT_NONE || act > HEARTH_ACT_HARD_SWISH)
        return hearth_fail(err, HEARTH_EMODEL,
                           "activation %" PRId64 " does not exist", act);
    if (act >= HEARTH_ACT_SIGMOID &&
        hearth__ops_kind(call->out[0].dtype) != HEARTH__OPS_FLOAT)
        return hearth_fail(err, HEARTH_ETYPE,
                           "the fused activation takes no %s",
                           hearth_dtype_name(call->out[0].dtype));
    return HEARTH_OK;
}

int hearth__ops_broadcast_dim(const struct hearth_op_call *call, int64_t a,
                              int64_t b, int64_t *out, struct hearth_error *err)
{
    if (a == b || b == 1) {
        *out = a;
    } else if (a == 1) {
        *out = b;
    } else if (HEARTH_DIM_IS_SYMBOL(a) && HEARTH_DIM_IS_SYMBOL(b)) {
        *out = hearth__ops_fresh(call);
    } else if (HEARTH_DIM_IS_SYMBOL(a)) {
        *out = b; /* a must be 1 or b */
    } else if (HEARTH_DIM_IS_SYMBOL(b)) {
        *out = a;
    } else {
        return hearth_fail(err, HEARTH_ESHAPE,
                           "sizes %" PRId64 " and %" PRId64 " do not broadcast",
                           a, b);
    }
    return HEARTH_OK;
}

int hearth__ops_broadcast_shape(const struct hearth_op_call *call,
                                const struct hearth_shape *a,
                                const struct hearth_shape *b,
                                struct hearth_shape *out,
                                struct hearth_error *err)
{
    struct hearth_shape s = {.rank = a->rank > b->rank ? a->rank : b->rank};
    if (a->rank < 0 || b->rank < 0)
        s.rank = -1;
    for (int i = 0; i < s.rank; i++) {
        int ia = i - (s.rank - a->rank), ib = i - (s.rank - b->rank);
        int rc = hearth__ops_broadcast_dim(call, ia < 0 ? 1 : a->dims[ia],
                                           ib < 0 ? 1 : b->dims[ib], &s.dims[i],
                                           err);
        if (rc != HEARTH_OK) {
            char ta[200], tb[200];
            return hearth_fail(err, rc, "shapes %s and %s do not broadcast",
                               hearth_shape_text(a, ta, sizeof ta),
                               hearth_shape_text(b, tb, sizeof tb));
        }
    }
    *out = s;
    return HEARTH_OK;
}

int hearth__ops_broadcasts_to(const struct hearth_shape *b,
                              const struct hearth_shape *a, const char *what,
                              struct hearth_error *err)
{
    bool ok = true;
    if (a->rank < 0 || b->rank < 0)
        return HEARTH_OK;
    ok = b->rank <= a->rank;
    for (int i = 0; ok && i < b->rank; i++) {
        int64_t db = b->dims[i], da = a->dims[i + a->rank - b->rank];
        ok = db == 1 || db == da || HEARTH_DIM_IS_SYMBOL(db) ||
             (HEARTH_DIM_IS_SYMBOL(da));
    }
    if (ok)
        return HEARTH_OK;
    char ta[200], tb[200];
    return hearth_fail(err, HEARTH_ESHAPE, "%s of shape %s does not suit %s",
                       what, hearth_shape_text(b, tb, sizeof tb),
                       hearth_shape_text(a, ta, sizeof ta));
}

int hearth__ops_merge_dim(int64_t a, int64_t b, int64_t *out, const char *what,
                          struct hearth_error *err)
{
    if (!HEARTH_DIM_IS_SYMBOL(a) && !HEARTH_DIM_IS_SYMBOL(b) && a != b)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "%s: %" PRId64 " and %" PRId64 " must be equal",
                           what, a, b);
    *out = HEARTH_DIM_IS_SYMBOL(a) ? b : a;
    /* Of two symbols the first, so that "batch" of input 0 stays. */
    if (HEARTH_DIM_IS_SYMBOL(a) && HEARTH_DIM_IS_SYMBOL(b))
        *out = a;
    return HEARTH_OK;
}

int hearth__ops_add_dim(const struct hearth_op_call *call, int64_t a, int64_t b,
                        int64_t *out, struct hearth_error *err)
{
    if (a == 0 || b == 0)
        *out = a == 0 ? b : a;
    else if (HEARTH_DIM_IS_SYMBOL(a) || HEARTH_DIM_IS_SYMBOL(b))
        *out = hearth__ops_fresh(call);
    else if (__builtin_add_overflow(a, b, out))
        return hearth_fail(
            err, HEARTH_ESHAPE,
            "sizes %" PRId64 " and %" PRId64 " have no sum that fits", a, b);
    return HEARTH_OK;
}

int hearth__ops_axis(int64_t axis, int rank, int *out, struct hearth_error *err)
{
    *out = 0;
    if (axis < -rank || axis >= rank)
        return hearth_fail(err, HEARTH_EMODEL,
                           "axis %" PRId64 " does not exist at rank %d", axis,
                           rank);
    *out = (int)(axis < 0 ? axis + rank : axis);
    return HEARTH_OK;
}

int hearth__ops_axis_set(const int64_t *axes, uint32_t n, int rank,
                         uint32_t *set, struct hearth_error *err)
{
    *set = 0;
    for (uint32_t i = 0; i < n; i++) {
        int axis;
        int rc = hearth__ops_axis(axes[i], rank, &axis, err);
        if (rc != HEARTH_OK)
            return rc;
        if (*set & 1u << axis)
            return hearth_fail(err, HEARTH_EMODEL, "axis %d is named twice",
                               axis);
        *set |= 1u << axis;
    }
    return HEARTH_OK;
}
