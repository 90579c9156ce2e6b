/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pass_activation.c: Relu, Clip with constant bounds, Sigmoid, Tanh, Gelu and
 * HardSwish become the activation of the Conv, Gemm, MatMul or Add before them;
 * so does x * Sigmoid(x), when nobody else reads x.
 */
#include <math.h>
#include <string.h>

#include "model/model_priv.h"

/* Bound <k> of a Clip; false when it is not a constant number. */
static bool bound(struct hearth__ir *ir, const struct hearth__ir_node *n,
                  uint32_t k, double absent, double *out)
{
    uint32_t value = hearth__ir_in(n, k);
    float f;
    uint16_t half;
    *out = absent;
    if (value == HEARTH_NO_VALUE)
        return true;
    if (!hearth__ir_is_const(ir, value))
        return false;
    const struct hearth__ir_value *v = hearth__ir_value(ir, value);
    switch (v->info.dtype) {
    case HEARTH_F32:
        memcpy(&f, v->info.data, sizeof f);
        *out = (double)f;
        break;
    case HEARTH_F64:
        memcpy(out, v->info.data, sizeof *out);
        break;
    case HEARTH_F16:
    case HEARTH_BF16:
        memcpy(&half, v->info.data, sizeof half);
        *out = (double)(v->info.dtype == HEARTH_F16 ? hearth_f16_to_f32(half)
                                                    : hearth_bf16_to_f32(half));
        break;
    default:
        return false;
    }
    return !isnan(*out);
}

static bool by_tanh(const struct hearth__ir_node *n)
{
    const struct hearth__ir_attr *mode = hearth__ir_attr(n, HEARTH_ATTR_MODE);
    return mode != NULL && mode->count == 4 &&
           memcmp(mode->data, "tanh", 4) == 0;
}

/* What the node does to each element, or ACT_NONE. */
static enum hearth_activation
act_of(struct hearth__ir *ir, const struct hearth__ir_node *n, double limits[2])
{
    switch (n->op) {
    case HEARTH_OP_RELU:
        return HEARTH_ACT_RELU;
    case HEARTH_OP_SIGMOID:
        return HEARTH_ACT_SIGMOID;
    case HEARTH_OP_TANH:
        return HEARTH_ACT_TANH;
    case HEARTH_OP_HARD_SWISH:
        return HEARTH_ACT_HARD_SWISH;
    case HEARTH_OP_GELU:
        return by_tanh(n) ? HEARTH_ACT_GELU_TANH : HEARTH_ACT_GELU;
    case HEARTH_OP_CLIP:
        return bound(ir, n, 1, -INFINITY, &limits[0]) &&
                       bound(ir, n, 2, INFINITY, &limits[1])
                   ? HEARTH_ACT_CLIP
                   : HEARTH_ACT_NONE;
    default:
        return HEARTH_ACT_NONE;
    }
}

static bool can_take(struct hearth__ir *ir, const struct hearth__ir_node *m)
{
    if (m == NULL || hearth__ir_attr(m, HEARTH_ATTR_ACTIVATION) != NULL ||
        (m->op != HEARTH_OP_CONV && m->op != HEARTH_OP_GEMM &&
         m->op != HEARTH_OP_MATMUL && m->op != HEARTH_OP_ADD))
        return false;
    enum hearth_dtype dtype = hearth__ir_value(ir, m->outputs[0])->info.dtype;
    return dtype == HEARTH_F32 || dtype == HEARTH_F64 || dtype == HEARTH_F16 ||
           dtype == HEARTH_BF16;
}

static int join(struct hearth__ir *ir, struct hearth__ir_node *m, uint32_t at,
                enum hearth_activation act, const double limits[2])
{
    uint32_t n = m->attr_count, more = act == HEARTH_ACT_CLIP ? 3 : 1;
    struct hearth__ir_attr *attrs =
        hearth__ir_alloc(ir, n + more, sizeof *attrs);
    int64_t *kind = hearth__ir_alloc(ir, 1, sizeof *kind);
    double *bounds = hearth__ir_alloc(ir, 2, sizeof *bounds);
    if (attrs == NULL || kind == NULL || bounds == NULL)
        return ir->err->status;
    memcpy(attrs, m->attrs, n * sizeof *attrs);
    *kind = act;
    attrs[n] = (struct hearth__ir_attr){HEARTH_ATTR_ACTIVATION,
                                        HEARTH_ATTR_INTS, 1, kind};
    for (uint32_t i = 1; i < more; i++) {
        bounds[i - 1] = limits[i - 1];
        attrs[n + i] = (struct hearth__ir_attr){
            i == 1 ? HEARTH_ATTR_ALPHA : HEARTH_ATTR_BETA, HEARTH_ATTR_FLOATS,
            1, &bounds[i - 1]};
    }
    m->attrs = attrs;
    m->attr_count = n + more;
    hearth__ir_fuse(ir, m, at);
    return HEARTH_OK;
}

/* The maker of x where node <at> is x * Sigmoid(x), which then goes. */
static struct hearth__ir_node *swished(struct hearth__ir *ir, uint32_t at)
{
    const struct hearth__ir_node *mul = hearth__ir_node(ir, at);
    if (mul->op != HEARTH_OP_MUL ||
        hearth__ir_attr(mul, HEARTH_ATTR_ACTIVATION) != NULL)
        return NULL;
    for (uint32_t k = 0; k < 2; k++) {
        struct hearth__ir_node *gate = hearth__ir_sole(ir, mul->inputs[k]);
        uint32_t x = mul->inputs[1 - k];
        const struct hearth__ir_value *v = hearth__ir_value(ir, x);
        if (gate == NULL || gate->op != HEARTH_OP_SIGMOID ||
            gate->inputs[0] != x || v->kind != HEARTH_VALUE_ACTIVATION ||
            v->is_output || v->uses != 2)
            continue;
        struct hearth__ir_node *m = hearth__ir_node(ir, v->producer);
        if (m->output_count != 1 || !can_take(ir, m))
            continue;
        hearth__ir_value(ir, gate->outputs[0])->kind = HEARTH_VALUE_NONE;
        gate->op = HEARTH_OP_NONE;
        return m;
    }
    return NULL;
}

int hearth__pass_activation(struct hearth__ir *ir)
{
    for (uint32_t i = 0; i < ir->nodes.count; i++) {
        const struct hearth__ir_node *n = hearth__ir_node(ir, i);
        struct hearth__ir_node *swish =
            n->op == HEARTH_OP_NONE ? NULL : swished(ir, i);
        double limits[2] = {0, 0};
        if (swish != NULL &&
            join(ir, swish, i, HEARTH_ACT_SWISH, limits) != HEARTH_OK)
            return ir->err->status;
        if (n->op == HEARTH_OP_NONE || swish != NULL)
            continue;
        enum hearth_activation act = act_of(ir, n, limits);
        if (act == HEARTH_ACT_NONE)
            continue;
        struct hearth__ir_node *m = hearth__ir_sole(ir, n->inputs[0]);
        int rc = can_take(ir, m) ? join(ir, m, i, act, limits) : HEARTH_OK;
        if (rc != HEARTH_OK)
            return rc;
    }
    return HEARTH_OK;
}
