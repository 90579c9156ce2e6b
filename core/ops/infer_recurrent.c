/* SPDX-License-Identifier: Apache-2.0 */
/*
 * infer_recurrent.c: element types and shapes of RNN, GRU and LSTM:
 *
 *   X [steps,batch,in]  W [dirs,gates*H,in]  R [dirs,gates*H,H]
 *   B [dirs,2*gates*H]  lengths [batch]  H, C [dirs,batch,H]  P [dirs,3*H]
 *   Y [steps,dirs,batch,H]  Y_h, Y_c [dirs,batch,H]
 *
 * With LAYOUT 1 batch is the first axis of X, Y and the states.
 */
#include <inttypes.h>
#include <string.h>

#include "ops/ops_impl.h"

int64_t hearth__ops_recurrent_gates(uint32_t op)
{
    return op == HEARTH_OP_LSTM ? 4 : op == HEARTH_OP_GRU ? 3 : 1;
}

/* <factor> times a size, a symbol when it is one. */
static int64_t times(int64_t size, int64_t factor)
{
    int64_t product;
    if (HEARTH_DIM_IS_SYMBOL(size) ||
        __builtin_mul_overflow(size, factor, &product))
        return HEARTH_DIM_SYMBOL(0);
    return product;
}

/* Input <k> has these sizes, where both are known. */
static int check_sizes(const struct hearth_op_call *call, uint32_t k, int rank,
                       const int64_t *want, struct hearth_error *err)
{
    const struct hearth_value_info *in = hearth__ops_in(call, k);
    bool ok;
    if (in == NULL || in->shape.rank < 0)
        return HEARTH_OK;
    ok = in->shape.rank == rank;
    for (int i = 0; ok && i < rank; i++)
        ok = in->shape.dims[i] == want[i] ||
             HEARTH_DIM_IS_SYMBOL(in->shape.dims[i]) ||
             HEARTH_DIM_IS_SYMBOL(want[i]);
    if (ok)
        return HEARTH_OK;
    char text[200];
    return hearth_fail(err, HEARTH_ESHAPE,
                       "input %" PRIu32 " of shape %s does not suit the others",
                       k, hearth_shape_text(&in->shape, text, sizeof text));
}

struct sizes {
    int64_t steps, batch, in, hidden, dirs;
};

static int check_inputs(const struct hearth_op_call *call,
                        const struct sizes *s, bool batch_first,
                        struct hearth_error *err)
{
    const int64_t gates = hearth__ops_recurrent_gates(call->node->op);
    const int64_t wide = times(s->hidden, gates);
    const int64_t w[] = {s->dirs, wide, s->in};
    const int64_t r[] = {s->dirs, wide, s->hidden};
    const int64_t b[] = {s->dirs, times(wide, 2)};
    const int64_t lengths[] = {s->batch};
    const int64_t p[] = {s->dirs, times(s->hidden, 3)};
    const int64_t state[] = {batch_first ? s->batch : s->dirs,
                             batch_first ? s->dirs : s->batch, s->hidden};
    int rc = check_sizes(call, 1, 3, w, err);
    if (rc == HEARTH_OK)
        rc = check_sizes(call, 2, 3, r, err);
    if (rc == HEARTH_OK)
        rc = check_sizes(call, 3, 2, b, err);
    if (rc == HEARTH_OK)
        rc = check_sizes(call, 4, 1, lengths, err);
    if (rc == HEARTH_OK)
        rc = check_sizes(call, 5, 3, state, err);
    if (rc == HEARTH_OK)
        rc = check_sizes(call, 6, 3, state, err);
    return rc == HEARTH_OK ? check_sizes(call, 7, 2, p, err) : rc;
}

static int check_attributes(const struct hearth_op_call *call,
                            struct hearth_error *err)
{
    const char *direction = hearth_attr_string(
        call->graph, call->node, HEARTH_ATTR_DIRECTION, "forward");
    uint32_t count;
    const int64_t *act = hearth_attr_ints(call->graph, call->node,
                                          HEARTH_ATTR_ACTIVATIONS, &count);
    if (strcmp(direction, "forward") != 0 &&
        strcmp(direction, "reverse") != 0 &&
        strcmp(direction, "bidirectional") != 0)
        return hearth_fail(err, HEARTH_EMODEL,
                           "direction '%.30s' does not exist", direction);
    for (uint32_t i = 0; i < count; i++)
        if (act[i] < 0 || act[i] >= HEARTH_RECURRENT_COUNT)
            return hearth_fail(err, HEARTH_EMODEL,
                               "activation %" PRId64 " does not exist", act[i]);
    return HEARTH_OK;
}

static int check_types(const struct hearth_op_call *call,
                       struct hearth_error *err)
{
    int rc = HEARTH_OK;
    for (uint32_t k = 1; rc == HEARTH_OK && k < call->input_count; k++)
        if (k != 4)
            rc = hearth__ops_same_dtype(call, k, err);
    return rc == HEARTH_OK ? hearth__ops_index_dtype(call, 4, err) : rc;
}

/* The same number, from several places. */
static int64_t known(int64_t a, int64_t b)
{
    return HEARTH_DIM_IS_SYMBOL(a) ? b : a;
}

HEARTH__OPS_INFER(recurrent)
{
    int rc = hearth__ops_begin(call, err);
    if (rc == HEARTH_OK)
        rc = check_types(call, err);
    if (rc == HEARTH_OK)
        rc = check_attributes(call, err);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth_graph *g = call->graph;
    const struct hearth_shape *x = &call->in[0]->shape;
    const struct hearth_shape *r = &call->in[2]->shape;
    const bool first =
        hearth_attr_int(g, call->node, HEARTH_ATTR_LAYOUT, 0) != 0;
    const char *direction =
        hearth_attr_string(g, call->node, HEARTH_ATTR_DIRECTION, "forward");
    const int64_t told =
        hearth_attr_int(g, call->node, HEARTH_ATTR_HIDDEN_SIZE, -1);
    struct sizes s = {.dirs = strcmp(direction, "bidirectional") == 0 ? 2 : 1};
    if (x->rank != -1 && x->rank != 3)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "input of rank %" PRId32 " is no sequences of rows",
                           x->rank);
    if (r->rank != 3 && r->rank != -1)
        return hearth_fail(err, HEARTH_ESHAPE, "the weights are no matrices");
    s.steps = x->rank < 0 ? hearth__ops_fresh(call) : x->dims[first ? 1 : 0];
    s.batch = x->rank < 0 ? hearth__ops_fresh(call) : x->dims[first ? 0 : 1];
    s.in = x->rank < 0 ? hearth__ops_fresh(call) : x->dims[2];
    if (s.in == 0)
        return hearth_fail(err, HEARTH_ESHAPE, "a step has no elements");
    s.hidden = known(r->rank < 0 ? hearth__ops_fresh(call) : r->dims[2],
                     told >= 0 ? told : HEARTH_DIM_SYMBOL(0));
    if (HEARTH_DIM_IS_SYMBOL(s.hidden))
        s.hidden = hearth__ops_fresh(call);
    else if (told >= 0 && told != s.hidden)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "hidden_size is %" PRId64 ", the weights have "
                           "%" PRId64,
                           told, s.hidden);
    rc = check_inputs(call, &s, first, err);
    const int64_t y[2][4] = {{s.steps, s.dirs, s.batch, s.hidden},
                             {s.batch, s.steps, s.dirs, s.hidden}};
    call->out[0].shape.rank = 4;
    memcpy(call->out[0].shape.dims, y[first], sizeof y[first]);
    for (uint32_t k = 1; k < call->output_count; k++)
        call->out[k].shape =
            (struct hearth_shape){.rank = 3,
                                  .dims = {first ? s.batch : s.dirs,
                                           first ? s.dirs : s.batch, s.hidden}};
    return rc;
}
