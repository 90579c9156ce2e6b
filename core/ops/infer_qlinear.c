/* SPDX-License-Identifier: Apache-2.0 */
/*
 * infer_qlinear.c: element types and shapes of the products and convolutions of
 * 8-bit integers (qlinear.c evaluates them).
 *
 * Factors are one number or a vector: of a product's rows or columns, or of a
 * convolution's output channels.
 */
#include <inttypes.h>

#include "ops/ops_impl.h"

static int check_byte(const struct hearth_op_call *call, uint32_t k,
                      struct hearth_error *err)
{
    const struct hearth_value_info *in = hearth__ops_in(call, k);
    if (in == NULL || in->dtype == HEARTH_I8 || in->dtype == HEARTH_U8)
        return HEARTH_OK;
    return hearth_fail(err, HEARTH_ETYPE,
                       "input %" PRIu32 " is %s, it must be i8 or u8", k,
                       hearth_dtype_name(in->dtype));
}

/* Input <k> has the type of input <of>. */
static int check_same(const struct hearth_op_call *call, uint32_t k,
                      uint32_t of, struct hearth_error *err)
{
    const struct hearth_value_info *in = hearth__ops_in(call, k);
    if (in == NULL || in->dtype == call->in[of]->dtype)
        return HEARTH_OK;
    return hearth_fail(err, HEARTH_ETYPE,
                       "input %" PRIu32 " is %s, it must be of the type of "
                       "input %" PRIu32,
                       k, hearth_dtype_name(in->dtype), of);
}

static int check_scale(const struct hearth_op_call *call, uint32_t k,
                       struct hearth_error *err)
{
    if (hearth__ops_kind(call->in[k]->dtype) == HEARTH__OPS_FLOAT)
        return HEARTH_OK;
    return hearth_fail(err, HEARTH_ETYPE, "scale %" PRIu32 " is %s", k,
                       hearth_dtype_name(call->in[k]->dtype));
}

/* A vector over the rows of a matrix is a column. */
struct hearth_shape hearth__ops_as_column(const struct hearth_shape *s,
                                          bool rows)
{
    struct hearth_shape column = *s;
    if (rows && s->rank == 1 && s->dims[0] != 1) {
        column.rank = 2;
        column.dims[1] = 1;
    }
    return column;
}

/* Input <k> is one number, or one for each row (or column) of <of>. */
static int check_factor(const struct hearth_op_call *call, uint32_t k,
                        const struct hearth_shape *of, bool rows,
                        struct hearth_error *err)
{
    const struct hearth_value_info *in = hearth__ops_in(call, k);
    if (in == NULL)
        return HEARTH_OK;
    const struct hearth_shape s = hearth__ops_as_column(&in->shape, rows);
    return hearth__ops_broadcasts_to(
        &s, of, rows ? "factor of the rows" : "factor of the columns", err);
}

HEARTH__OPS_INFER(matmul_integer)
{
    int rc = hearth__ops_begin(call, err);
    if (rc == HEARTH_OK)
        rc = check_byte(call, 1, err);
    if (rc == HEARTH_OK)
        rc = check_same(call, 2, 0, err);
    if (rc == HEARTH_OK)
        rc = check_same(call, 3, 1, err);
    if (rc != HEARTH_OK)
        return rc;
    call->out[0].dtype = HEARTH_I32;
    rc = hearth__ops_matmul_shape(call, 1, err);
    if (rc == HEARTH_OK)
        rc = check_factor(call, 2, &call->in[0]->shape, true, err);
    if (rc == HEARTH_OK)
        rc = check_factor(call, 3, &call->in[1]->shape, false, err);
    return rc;
}

/* Types of the QLinear operators, but for a bias. */
static int check_qlinear(const struct hearth_op_call *call,
                         struct hearth_error *err)
{
    int rc = check_byte(call, 3, err);
    for (uint32_t k = 1; rc == HEARTH_OK && k < 7; k += k == 4 ? 2 : 3)
        rc = check_scale(call, k, err); /* 1, 4, 6 */
    if (rc == HEARTH_OK)
        rc = check_same(call, 2, 0, err);
    if (rc == HEARTH_OK)
        rc = check_same(call, 5, 3, err);
    if (rc == HEARTH_OK)
        rc = check_byte(call, 7, err);
    if (rc == HEARTH_OK)
        call->out[0].dtype = call->in[7]->dtype;
    return rc;
}

HEARTH__OPS_INFER(qlinear_matmul)
{
    int rc = hearth__ops_begin(call, err);
    if (rc == HEARTH_OK)
        rc = check_qlinear(call, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_matmul_shape(call, 3, err);
    const struct hearth_shape *y = &call->out[0].shape;
    for (uint32_t k = 1; rc == HEARTH_OK && k < 8; k++) {
        /* Scales are of the result, zero points of what they are taken off. */
        const struct hearth_shape *of = k == 2   ? &call->in[0]->shape
                                        : k == 5 ? &call->in[3]->shape
                                                 : y;
        if (k != 3)
            rc = check_factor(call, k, of, k < 3 || k > 5, err);
    }
    return rc;
}

/* Input <k> is one number, or (when <channels> is not -1) a vector of them. */
static int check_vector(const struct hearth_op_call *call, uint32_t k,
                        int64_t channels, struct hearth_error *err)
{
    const struct hearth_value_info *in = hearth__ops_in(call, k);
    int64_t merged;
    if (in == NULL || in->shape.rank <= 0 ||
        (in->shape.rank == 1 && in->shape.dims[0] == 1))
        return HEARTH_OK;
    if (in->shape.rank != 1 || channels == -1)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "input %" PRIu32 " is not one number", k);
    return hearth__ops_merge_dim(in->shape.dims[0], channels, &merged,
                                 "factors and channels", err);
}

static int64_t channels_of(const struct hearth_value_info *w)
{
    return w->shape.rank > 0 ? w->shape.dims[0] : HEARTH_DIM_SYMBOL(0);
}

HEARTH__OPS_INFER(conv_integer)
{
    int rc = hearth__ops_begin(call, err);
    if (rc == HEARTH_OK)
        rc = check_byte(call, 1, err);
    if (rc == HEARTH_OK)
        rc = check_same(call, 2, 0, err);
    if (rc == HEARTH_OK)
        rc = check_same(call, 3, 1, err);
    if (rc != HEARTH_OK)
        return rc;
    call->out[0].dtype = HEARTH_I32;
    rc = hearth__ops_conv_shape(call, 1, UINT32_MAX, err);
    if (rc == HEARTH_OK)
        rc = check_vector(call, 2, -1, err);
    if (rc == HEARTH_OK)
        rc = check_vector(call, 3, channels_of(call->in[1]), err);
    return rc;
}

HEARTH__OPS_INFER(qlinear_conv)
{
    const struct hearth_value_info *bias = hearth__ops_in(call, 8);
    int rc = hearth__ops_begin(call, err);
    if (rc == HEARTH_OK)
        rc = check_qlinear(call, err);
    if (rc == HEARTH_OK && bias != NULL && bias->dtype != HEARTH_I32)
        rc = hearth_fail(err, HEARTH_ETYPE, "bias is %s, it must be i32",
                         hearth_dtype_name(bias->dtype));
    if (rc == HEARTH_OK)
        rc = hearth__ops_conv_shape(call, 3, 8, err);
    for (uint32_t k = 1; rc == HEARTH_OK && k < 8; k++)
        if (k != 3)
            rc = check_vector(
                call, k, k == 4 || k == 5 ? channels_of(call->in[3]) : -1, err);
    return rc;
}

/* Rows of A with the same B. */
HEARTH__OPS_BATCH(matmul_integer)
{
    const bool qlinear = call->node->op == HEARTH_OP_QLINEAR_MATMUL;
    const struct hearth_shape *a = &call->in[0]->shape;
    const struct hearth_shape *b = &call->in[qlinear ? 3 : 1]->shape;
    int64_t count;
    if (a->rank < 2 || b->rank < 1 || b->rank > 2)
        return false;
    for (uint32_t k = 1; k < call->input_count; k++) {
        const bool rows = qlinear ? k < 3 || k > 5 : k == 2;
        if (rows && call->in[k] != NULL &&
            !(hearth_shape_count(&call->in[k]->shape, &count) && count == 1))
            return false;
    }
    return true;
}
