/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pass_dead.c: nodes go that no output needs, last first, so that one walk is
 * enough. Weights that no node needs are not written to the block at all.
 */
#include "model/model_priv.h"

static bool needed(struct hearth__ir *ir, const struct hearth__ir_node *n)
{
    for (uint32_t k = 0; k < n->output_count; k++)
        if (n->outputs[k] != HEARTH_NO_VALUE &&
            hearth__ir_value(ir, n->outputs[k])->uses > 0)
            return true;
    return false;
}

int hearth__pass_dead(struct hearth__ir *ir)
{
    for (uint32_t i = ir->nodes.count; i-- > 0;) {
        struct hearth__ir_node *n = hearth__ir_node(ir, i);
        if (n->op == HEARTH_OP_NONE || needed(ir, n))
            continue;
        for (uint32_t k = 0; k < n->input_count; k++)
            if (n->inputs[k] != HEARTH_NO_VALUE)
                hearth__ir_value(ir, n->inputs[k])->uses--;
        for (uint32_t k = 0; k < n->output_count; k++)
            if (n->outputs[k] != HEARTH_NO_VALUE)
                hearth__ir_value(ir, n->outputs[k])->kind = HEARTH_VALUE_NONE;
        n->op = HEARTH_OP_NONE;
    }
    return HEARTH_OK;
}
