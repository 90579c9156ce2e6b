/* SPDX-License-Identifier: Apache-2.0 */
/*
 * infer_control.c: what is known of the outputs of If, Loop and Scan before
 * they run: what their blocks know of theirs. A block's symbols are its own:
 * outside of it they are fresh ones.
 */
#include "ops/ops_impl.h"

/* Output <k> of the block, as declared. */
static struct hearth_value_info declared(const struct hearth_op_call *call,
                                         const struct hearth_graph *g,
                                         uint32_t k)
{
    const struct hearth_graph_value *v =
        hearth_graph_value(g, hearth_graph_outputs(g)[k]);
    struct hearth_value_info info = {.dtype = (enum hearth_dtype)v->dtype,
                                     .shape = hearth_graph_shape(v)};
    for (int i = 0; i < info.shape.rank; i++)
        if (HEARTH_DIM_IS_SYMBOL(info.shape.dims[i]))
            info.shape.dims[i] = hearth__ops_fresh(call);
    return info;
}

/* What holds for both. */
static struct hearth_shape either(const struct hearth_op_call *call,
                                  const struct hearth_shape *a,
                                  const struct hearth_shape *b)
{
    struct hearth_shape s = *a;
    if (a->rank != b->rank)
        s.rank = -1;
    for (int i = 0; i < s.rank; i++)
        if (a->dims[i] != b->dims[i])
            s.dims[i] = hearth__ops_fresh(call);
    return s;
}

static int same_dtype(enum hearth_dtype a, enum hearth_dtype b, uint32_t k,
                      struct hearth_error *err)
{
    if (a == b)
        return HEARTH_OK;
    return hearth_fail(err, HEARTH_ETYPE,
                       "output %u is %s and %s; it must be the same", k,
                       hearth_dtype_name(a), hearth_dtype_name(b));
}

HEARTH__OPS_INFER(if)
{
    const struct hearth_graph *t =
        hearth_attr_block(call->graph, call->node, HEARTH_ATTR_THEN);
    const struct hearth_graph *e =
        hearth_attr_block(call->graph, call->node, HEARTH_ATTR_ELSE);
    int rc = hearth__ops_begin(call, err);
    if (rc == HEARTH_OK && call->in[0]->dtype != HEARTH_BOOL)
        rc = hearth_fail(err, HEARTH_ETYPE, "the condition is %s, not bool",
                         hearth_dtype_name(call->in[0]->dtype));
    for (uint32_t k = 0; rc == HEARTH_OK && k < call->output_count; k++) {
        struct hearth_value_info a = declared(call, t, k);
        struct hearth_value_info b = declared(call, e, k);
        rc = same_dtype(a.dtype, b.dtype, k, err);
        call->out[k] = a;
        call->out[k].shape = either(call, &a.shape, &b.shape);
    }
    return rc;
}

/* States and rows of Loop and Scan; <first>, <before> as in control.c. */
static int infer_rows(const struct hearth_op_call *call, uint32_t first,
                      uint32_t before, struct hearth_error *err)
{
    const struct hearth_graph *body =
        hearth_attr_block(call->graph, call->node, HEARTH_ATTR_BODY);
    uint32_t states = (uint32_t)hearth_attr_int(call->graph, call->node,
                                                HEARTH_ATTR_STATES, 0);
    int rc = HEARTH_OK;
    for (uint32_t k = 0; rc == HEARTH_OK && k < call->output_count; k++) {
        struct hearth_value_info *out = &call->out[k];
        *out = declared(call, body, before + k);
        if (k < states) {
            const struct hearth_value_info *in = call->in[first + k];
            rc = same_dtype(in->dtype, out->dtype, k, err);
            out->shape = either(call, &in->shape, &out->shape);
            continue;
        }
        /* The axis of a Scan's rows is known where it runs. */
        if (out->shape.rank == HEARTH_RANK_MAX)
            rc = hearth_fail(err, HEARTH_ESHAPE,
                             "rows of rank %d make a result of a higher one, "
                             "the most is %d",
                             HEARTH_RANK_MAX, HEARTH_RANK_MAX);
        if (out->shape.rank < 0)
            continue;
        out->shape.rank++;
        for (int i = 0; i < out->shape.rank; i++)
            out->shape.dims[i] = hearth__ops_fresh(call);
    }
    return rc;
}

HEARTH__OPS_INFER(loop)
{
    int rc = hearth__ops_begin(call, err);
    if (rc == HEARTH_OK &&
        (call->in[0]->dtype != HEARTH_I64 || call->in[1]->dtype != HEARTH_BOOL))
        rc = hearth_fail(err, HEARTH_ETYPE,
                         "its number of iterations is %s and its condition %s, "
                         "not i64 and bool",
                         hearth_dtype_name(call->in[0]->dtype),
                         hearth_dtype_name(call->in[1]->dtype));
    return rc == HEARTH_OK ? infer_rows(call, 2, 1, err) : rc;
}

HEARTH__OPS_INFER(scan)
{
    uint32_t states = (uint32_t)hearth_attr_int(call->graph, call->node,
                                                HEARTH_ATTR_STATES, 0);
    uint32_t scans = (uint32_t)hearth_attr_int(call->graph, call->node,
                                               HEARTH_ATTR_SCANS, 1);
    int rc = hearth__ops_begin(call, err);
    bool batched =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_BATCHED, 0) != 0;
    for (uint32_t k = 0; rc == HEARTH_OK && k < scans; k++) {
        int rank = call->in[states + k]->shape.rank;
        if (rank == 0 || (batched && rank == 1))
            rc = hearth_fail(err, HEARTH_ESHAPE, "sequence %u is a scalar", k);
    }
    if (rc != HEARTH_OK || !batched)
        return rc == HEARTH_OK ? infer_rows(call, 0, 0, err) : rc;
    /* Of opset 8, which nothing exports any more: known where it runs. */
    const struct hearth_graph *body =
        hearth_attr_block(call->graph, call->node, HEARTH_ATTR_BODY);
    for (uint32_t k = 0; k < call->output_count; k++) {
        call->out[k] = declared(call, body, k);
        call->out[k].shape.rank = -1;
    }
    return HEARTH_OK;
}

/* hearth_interp_run does it: a row alone cannot. */
HEARTH__OPS_EVAL(control)
{
    (void)call;
    (void)in;
    (void)out;
    return hearth_fail(err, HEARTH_EUNSUPPORTED,
                       "control flow is not run here; use another device");
}
