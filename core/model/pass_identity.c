/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pass_identity.c: nodes that change nothing go: Identity (and Dropout, which
 * became one), a Cast to the type that is there, a Concat of one, a Transpose
 * that keeps the order, a Reshape to the same shape.
 *
 * An output of the graph keeps its name: where the node made one, the node
 * before it makes it instead, unless that one's value is an output too, or is
 * no node's.
 */
#include <string.h>

#include "model/model_priv.h"

static bool keeps_order(const struct hearth__ir_node *n)
{
    const struct hearth__ir_attr *perm = hearth__ir_attr(n, HEARTH_ATTR_PERM);
    for (uint32_t i = 0; perm != NULL && i < perm->count; i++)
        if (((const int64_t *)perm->data)[i] != i)
            return false;
    return perm != NULL;
}

static bool changes_nothing(struct hearth__ir *ir,
                            const struct hearth__ir_node *n)
{
    const struct hearth_value_info *x =
        &hearth__ir_value(ir, n->inputs[0])->info;
    const struct hearth_value_info *y =
        &hearth__ir_value(ir, n->outputs[0])->info;
    switch (n->op) {
    case HEARTH_OP_IDENTITY:
        return true;
    case HEARTH_OP_CAST:
        return x->dtype == y->dtype;
    case HEARTH_OP_CONCAT:
        return n->input_count == 1;
    case HEARTH_OP_TRANSPOSE:
        return keeps_order(n);
    case HEARTH_OP_RESHAPE:
    case HEARTH_OP_FLATTEN:
        return x->shape.rank >= 0 && hearth_shape_equal(&x->shape, &y->shape);
    default:
        return false;
    }
}

static uint32_t resolve(const uint32_t *same, uint32_t value)
{
    while (value != HEARTH_NO_VALUE && same[value] != value)
        value = same[value];
    return value;
}

/* Makes x and y one value: returns whether the node can go. */
static bool unite(struct hearth__ir *ir, uint32_t *same,
                  const struct hearth__ir_node *n)
{
    uint32_t from = n->inputs[0], to = n->outputs[0];
    struct hearth__ir_value *x = hearth__ir_value(ir, from);
    struct hearth__ir_value *y = hearth__ir_value(ir, to);
    if (!y->is_output) {
        same[to] = from;
        y->kind = HEARTH_VALUE_NONE;
        return true;
    }
    if (x->is_output || x->kind != HEARTH_VALUE_ACTIVATION)
        return false;
    struct hearth__ir_node *maker = hearth__ir_node(ir, x->producer);
    for (uint32_t k = 0; k < maker->output_count; k++)
        if (maker->outputs[k] == from)
            maker->outputs[k] = to;
    y->producer = x->producer;
    y->info = x->info;
    same[from] = to;
    x->kind = HEARTH_VALUE_NONE;
    return true;
}

int hearth__pass_identity(struct hearth__ir *ir)
{
    uint32_t *same = hearth__ir_alloc(ir, ir->values.count, sizeof *same);
    if (same == NULL)
        return ir->err->status;
    for (uint32_t i = 0; i < ir->values.count; i++)
        same[i] = i;
    for (uint32_t i = 0; i < ir->nodes.count; i++) {
        struct hearth__ir_node *n = hearth__ir_node(ir, i);
        if (n->op == HEARTH_OP_NONE)
            continue;
        for (uint32_t k = 0; k < n->input_count; k++)
            n->inputs[k] = resolve(same, n->inputs[k]);
        if (changes_nothing(ir, n) && unite(ir, same, n))
            n->op = HEARTH_OP_NONE;
    }
    /* Once more: a node may have read what only later became an output. */
    for (uint32_t i = 0; i < ir->nodes.count; i++) {
        struct hearth__ir_node *n = hearth__ir_node(ir, i);
        for (uint32_t k = 0; n->op != HEARTH_OP_NONE && k < n->input_count; k++)
            n->inputs[k] = resolve(same, n->inputs[k]);
    }
    return HEARTH_OK;
}
