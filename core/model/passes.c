/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passes.c: the passes, in their order, and what they share.
 *
 * A pass sees a graph in topological order and leaves one. Fusing keeps the
 * order by one rule: the fused node stands where the later of the two stood,
 * after everything that either needs, and makes the later one's value.
 *
 * The order matters in a few places: what is there twice is united before an
 * operator is joined by whoever alone reads its value; what was written in
 * pieces is one operator before its pieces can join others, a
 * BatchNormalization must have become a Conv's weights before Adds can join
 * that Conv, and an activation ends what can be fused.
 */
#include "model/model_priv.h"

static const struct hearth__pass passes[] = {
    {HEARTH_MODEL_PASS_IDENTITY, "identity", hearth__pass_identity},
    {HEARTH_MODEL_PASS_DEAD, "dead", hearth__pass_dead},
    {HEARTH_MODEL_PASS_COMMON, "common", hearth__pass_common},
    {HEARTH_MODEL_PASS_BATCHNORM, "batchnorm", hearth__pass_batchnorm},
    {HEARTH_MODEL_PASS_COMPOSE, "compose", hearth__pass_compose},
    {HEARTH_MODEL_PASS_BIAS, "bias", hearth__pass_bias},
    {HEARTH_MODEL_PASS_RESIDUAL, "residual", hearth__pass_residual},
    {HEARTH_MODEL_PASS_ACTIVATION, "activation", hearth__pass_activation},
};

int hearth__passes_run(struct hearth__ir *ir)
{
    hearth__ir_count_uses(ir);
    for (size_t i = 0; i < sizeof passes / sizeof passes[0]; i++) {
        if (!(ir->passes & passes[i].bit))
            continue;
        int rc = passes[i].run(ir);
        if (rc != HEARTH_OK) {
            hearth_fail_prefix(ir->err, "pass %s", passes[i].name);
            return rc;
        }
        hearth__ir_count_uses(ir);
    }
    return HEARTH_OK;
}

void hearth__ir_count_uses(struct hearth__ir *ir)
{
    const uint32_t *outputs = ir->outputs.items;
    for (uint32_t i = 0; i < ir->values.count; i++)
        hearth__ir_value(ir, i)->uses = 0;
    for (uint32_t i = 0; i < ir->nodes.count; i++) {
        const struct hearth__ir_node *n = hearth__ir_node(ir, i);
        for (uint32_t k = 0; n->op != HEARTH_OP_NONE && k < n->input_count; k++)
            if (n->inputs[k] != HEARTH_NO_VALUE)
                hearth__ir_value(ir, n->inputs[k])->uses++;
    }
    for (uint32_t i = 0; i < ir->outputs.count; i++)
        hearth__ir_value(ir, outputs[i])->uses++;
}

struct hearth__ir_node *hearth__ir_sole(struct hearth__ir *ir, uint32_t value)
{
    if (value == HEARTH_NO_VALUE)
        return NULL;
    const struct hearth__ir_value *v = hearth__ir_value(ir, value);
    if (v->kind != HEARTH_VALUE_ACTIVATION || v->uses != 1 || v->is_output)
        return NULL;
    struct hearth__ir_node *n = hearth__ir_node(ir, v->producer);
    return n->outputs[0] == value && n->output_count == 1 ? n : NULL;
}

const struct hearth__ir_attr *
hearth__ir_attr(const struct hearth__ir_node *node, enum hearth_attr key)
{
    for (uint32_t i = 0; i < node->attr_count; i++)
        if (node->attrs[i].key == key)
            return &node->attrs[i];
    return NULL;
}

void hearth__ir_fuse(struct hearth__ir *ir, struct hearth__ir_node *node,
                     uint32_t at)
{
    struct hearth__ir_node *later = hearth__ir_node(ir, at);
    uint32_t output = later->outputs[0];
    struct hearth__ir_value *gone = hearth__ir_value(ir, node->outputs[0]);
    *later = *node;
    later->outputs[0] = output;
    node->op = HEARTH_OP_NONE;
    gone->kind = HEARTH_VALUE_NONE;
    gone->uses = 0;
}
