/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pass_add.c: an Add joins the Conv, Gemm or MatMul before it: as its bias when
 * the other operand is a constant of one number a channel, as its residual
 * (the input that is added before the activation) when it is a value of the
 * result's own shape. Only where nobody else reads the intermediate.
 */
#include <string.h>

#include "model/model_priv.h"

/* An Add that may join, or NULL. */
static struct hearth__ir_node *plain_add(struct hearth__ir *ir, uint32_t i)
{
    struct hearth__ir_node *n = hearth__ir_node(ir, i);
    return n->op == HEARTH_OP_ADD &&
                   hearth__ir_attr(n, HEARTH_ATTR_ACTIVATION) == NULL
               ? n
               : NULL;
}

/* The maker of the Add's operand <k>, when the Add may become its input <slot>:
 * that is free, nothing comes after it, and adding does not broadcast the
 * product itself. */
static struct hearth__ir_node *maker_of(struct hearth__ir *ir,
                                        const struct hearth__ir_node *add,
                                        uint32_t k, uint32_t slot)
{
    struct hearth__ir_node *m = hearth__ir_sole(ir, add->inputs[k]);
    if (m == NULL || hearth__ir_attr(m, HEARTH_ATTR_ACTIVATION) != NULL ||
        hearth__ir_in(m, slot) != HEARTH_NO_VALUE ||
        hearth__ir_in(m, 3) != HEARTH_NO_VALUE)
        return NULL;
    const struct hearth_value_info *y =
        &hearth__ir_value(ir, add->outputs[0])->info;
    const struct hearth_value_info *x =
        &hearth__ir_value(ir, add->inputs[k])->info;
    bool floating = y->dtype == HEARTH_F32 || y->dtype == HEARTH_F64 ||
                    y->dtype == HEARTH_F16 || y->dtype == HEARTH_BF16;
    return floating && y->shape.rank > 0 &&
                   hearth_shape_equal(&x->shape, &y->shape)
               ? m
               : NULL;
}

/* Gives <m> input <slot>, and the place and the value of node <at>. */
static int join(struct hearth__ir *ir, struct hearth__ir_node *m, uint32_t at,
                uint32_t slot, uint32_t value)
{
    uint32_t *inputs = hearth__ir_alloc(ir, slot + 1, sizeof *inputs);
    if (inputs == NULL)
        return ir->err->status;
    for (uint32_t k = 0; k < slot; k++)
        inputs[k] = hearth__ir_in(m, k);
    inputs[slot] = value;
    m->inputs = inputs;
    m->input_count = slot + 1;
    hearth__ir_fuse(ir, m, at);
    return HEARTH_OK;
}

/* ---- Bias ---- */

/* Does <c> hold one number for each index of <axis> of <y>, and is the same
 * along all other axes? */
static bool along_axis(const struct hearth_shape *c,
                       const struct hearth_shape *y, int axis)
{
    if (c->rank < 0 || c->rank > y->rank || axis < 0 || y->dims[axis] < 0)
        return false;
    int shift = y->rank - c->rank;
    if (axis < shift)
        return false;
    for (int i = 0; i < c->rank; i++)
        if (c->dims[i] != (i + shift == axis ? y->dims[axis] : 1))
            return false;
    return true;
}

static bool broadcasts_to(const struct hearth_shape *c,
                          const struct hearth_shape *y)
{
    if (c->rank < 0 || c->rank > y->rank)
        return false;
    for (int i = 0; i < c->rank; i++)
        if (c->dims[i] != 1 && c->dims[i] != y->dims[i + y->rank - c->rank])
            return false;
    return true;
}

/* The constant <value> seen as a vector: the same bytes. */
static uint32_t as_vector(struct hearth__ir *ir, uint32_t value, int64_t size)
{
    uint32_t fresh = hearth__ir_value_new(ir, (struct hearth__slice){0});
    if (fresh == HEARTH_NO_VALUE)
        return fresh;
    struct hearth__ir_value *v = hearth__ir_value(ir, fresh);
    *v = *hearth__ir_value(ir, value);
    v->outer = 0; /* no longer the one around it */
    v->info.shape = (struct hearth_shape){.rank = 1, .dims = {size}};
    v->info.content = NULL;
    return fresh;
}

static int try_bias(struct hearth__ir *ir, uint32_t at, uint32_t k)
{
    const struct hearth__ir_node *add = hearth__ir_node(ir, at);
    uint32_t c = add->inputs[1 - k];
    struct hearth__ir_node *m = maker_of(ir, add, k, 2);
    if (m == NULL || !hearth__ir_is_const(ir, c))
        return HEARTH_OK;
    struct hearth_shape y = hearth__ir_value(ir, add->outputs[0])->info.shape;
    struct hearth_shape s = hearth__ir_value(ir, c)->info.shape;
    if (m->op == HEARTH_OP_GEMM) {
        if (!broadcasts_to(&s, &y))
            return HEARTH_OK;
        for (uint32_t i = 0; i < m->attr_count; i++)
            if (m->attrs[i].key == HEARTH_ATTR_GEMM_BETA)
                m->attrs[i] = m->attrs[--m->attr_count];
        return join(ir, m, at, 2, c);
    }
    int axis = m->op == HEARTH_OP_CONV     ? 1
               : m->op == HEARTH_OP_MATMUL ? y.rank - 1
                                           : -1;
    if (!along_axis(&s, &y, axis))
        return HEARTH_OK;
    uint32_t bias = as_vector(ir, c, y.dims[axis]);
    return bias == HEARTH_NO_VALUE ? ir->err->status : join(ir, m, at, 2, bias);
}

int hearth__pass_bias(struct hearth__ir *ir)
{
    int rc = HEARTH_OK;
    for (uint32_t i = 0; rc == HEARTH_OK && i < ir->nodes.count; i++)
        for (uint32_t k = 0;
             rc == HEARTH_OK && k < 2 && plain_add(ir, i) != NULL; k++)
            rc = try_bias(ir, i, k);
    return rc;
}

/* ---- Residual ---- */

static bool can_add(struct hearth__ir *ir, const struct hearth__ir_node *add,
                    uint32_t k, const struct hearth__ir_node *m)
{
    uint32_t z = add->inputs[1 - k];
    return m != NULL &&
           (m->op == HEARTH_OP_CONV || m->op == HEARTH_OP_MATMUL) &&
           z != add->inputs[k] && !hearth__ir_is_const(ir, z) &&
           hearth_shape_equal(
               &hearth__ir_value(ir, z)->info.shape,
               &hearth__ir_value(ir, add->outputs[0])->info.shape);
}

/* Of two that could take the other, the later one does: the earlier one's
 * result is there already. */
int hearth__pass_residual(struct hearth__ir *ir)
{
    int rc = HEARTH_OK;
    for (uint32_t i = 0; rc == HEARTH_OK && i < ir->nodes.count; i++) {
        const struct hearth__ir_node *add = plain_add(ir, i);
        if (add == NULL)
            continue;
        struct hearth__ir_node *best = NULL;
        uint32_t z = HEARTH_NO_VALUE;
        for (uint32_t k = 0; k < 2; k++) {
            struct hearth__ir_node *m = maker_of(ir, add, k, 3);
            if (can_add(ir, add, k, m) && (best == NULL || m > best)) {
                best = m;
                z = add->inputs[1 - k];
            }
        }
        if (best != NULL)
            rc = join(ir, best, i, 3, z);
    }
    return rc;
}
