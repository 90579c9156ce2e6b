/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prove_batch.c: the proof that requests may be put together along axis 0:
 * every input begins with one and the same symbol, which stands nowhere else in
 * an input's shape; through every node the columns of ops say that rows stay
 * independent; and every output begins with that symbol.
 *
 * A value is batched when it is made of a batched one. Whatever is not proved
 * ends the proof: a wrong yes would mix the answers of two clients.
 */
#include <string.h>

#include "model/model_priv.h"

static bool begins_with(const struct hearth_shape *s, int64_t batch)
{
    return s->rank > 0 && s->dims[0] == batch;
}

static bool inputs_agree(struct hearth__ir *ir, uint8_t *batched,
                         int64_t *batch)
{
    const uint32_t *inputs = ir->inputs.items;
    if (ir->inputs.count == 0)
        return false;
    const struct hearth_shape *first =
        &hearth__ir_value(ir, inputs[0])->info.shape;
    if (first->rank < 1 || !HEARTH_DIM_IS_SYMBOL(first->dims[0]))
        return false;
    *batch = first->dims[0];
    for (uint32_t i = 0; i < ir->inputs.count; i++) {
        const struct hearth_shape *s =
            &hearth__ir_value(ir, inputs[i])->info.shape;
        if (!begins_with(s, *batch))
            return false;
        for (int k = 1; k < s->rank; k++)
            if (s->dims[k] == *batch)
                return false;
        batched[inputs[i]] = 1;
    }
    return true;
}

/* Does the node keep rows apart? Marks its outputs. */
static int node_keeps(struct hearth__ir *ir, const struct hearth__ir_node *n,
                      int64_t batch, uint8_t *batched, bool *keeps)
{
    const struct hearth_op_row *row = hearth_op_row(n->op);
    struct hearth__call call;
    bool any = false;
    *keeps = true;
    for (uint32_t k = 0; k < n->input_count; k++) {
        if (n->inputs[k] == HEARTH_NO_VALUE || !batched[n->inputs[k]])
            continue;
        any = true;
        *keeps &= row->batch_inputs == UINT32_MAX ||
                  (k < 32 && row->batch_inputs & UINT32_C(1) << k);
    }
    if (!any || !*keeps)
        return HEARTH_OK;
    int rc = hearth__call_make(ir, n->op, n->input_count, n->inputs,
                               n->output_count, n->attr_count, n->attrs, &call);
    if (rc == HEARTH_OK)
        rc = hearth__call_infer(ir, &call);
    if (rc != HEARTH_OK)
        return rc;
    if (row->batch_axis != NULL)
        *keeps = row->batch_axis(&call.call);
    for (uint32_t k = 0; k < n->output_count; k++) {
        *keeps &= begins_with(&call.out[k].shape, batch);
        if (n->outputs[k] != HEARTH_NO_VALUE)
            batched[n->outputs[k]] = 1;
    }
    return HEARTH_OK;
}

int hearth__prove_batch(struct hearth__ir *ir, bool *proved)
{
    const uint32_t *outputs = ir->outputs.items;
    int64_t batch = 0;
    uint8_t *batched = hearth__ir_alloc(ir, ir->values.count, sizeof *batched);
    if (batched == NULL)
        return ir->err->status;
    *proved = inputs_agree(ir, batched, &batch);
    for (uint32_t i = 0; *proved && i < ir->nodes.count; i++) {
        const struct hearth__ir_node *n = hearth__ir_node(ir, i);
        if (n->op == HEARTH_OP_NONE)
            continue;
        int rc = node_keeps(ir, n, batch, batched, proved);
        if (rc != HEARTH_OK)
            return rc;
    }
    for (uint32_t i = 0; *proved && i < ir->outputs.count; i++)
        *proved =
            batched[outputs[i]] &&
            begins_with(&hearth__ir_value(ir, outputs[i])->info.shape, batch);
    return HEARTH_OK;
}
