/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pass_compose.c: what exporters wrote in pieces becomes the operator that it
 * is, in f32: LayerNormalization of its ten nodes, Gelu by erf and by tanh of
 * five to eight, and x * Sigmoid(x) or x * HardSigmoid(x) the activation of the
 * node before.
 *
 * A pattern is looked for from its last node backwards, and taken only where
 * nobody else reads what lies between; the new node stands at the last one's
 * place, after all that it needs. Operands may stand in either order.
 */
#include <math.h>
#include <string.h>

#include "model/model_priv.h"

/* The nodes of a pattern, which go when it is taken. */
#define PIECES_MAX 12
struct pattern {
    struct hearth__ir *ir;
    struct hearth__ir_node *pieces[PIECES_MAX];
    int count;
};

/* The <op> that makes <value> for <uses> readers alone, or NULL. Does not
 * become a piece. */
static struct hearth__ir_node *made_by(const struct pattern *p, uint32_t value,
                                       enum hearth_op op, uint32_t uses)
{
    if (value == HEARTH_NO_VALUE)
        return NULL;
    const struct hearth__ir_value *v = hearth__ir_value(p->ir, value);
    if (v->kind != HEARTH_VALUE_ACTIVATION || v->is_output || v->uses != uses)
        return NULL;
    struct hearth__ir_node *n = hearth__ir_node(p->ir, v->producer);
    return n->op == (uint32_t)op && n->output_count == 1 &&
                   hearth__ir_attr(n, HEARTH_ATTR_ACTIVATION) == NULL
               ? n
               : NULL;
}

/* The same, and a piece. */
static struct hearth__ir_node *piece(struct pattern *p, uint32_t value,
                                     enum hearth_op op, uint32_t uses)
{
    struct hearth__ir_node *n = made_by(p, value, op, uses);
    if (n != NULL && p->count < PIECES_MAX)
        p->pieces[p->count++] = n;
    return n;
}

/* A constant f32 of one element, at most a vector. */
static bool scalar(const struct pattern *p, uint32_t value, double *out)
{
    float f;
    if (!hearth__ir_is_const(p->ir, value))
        return false;
    const struct hearth__ir_value *v = hearth__ir_value(p->ir, value);
    if (v->info.dtype != HEARTH_F32 || v->bytes != sizeof f ||
        v->info.shape.rank > 1 || v->info.data == NULL)
        return false;
    memcpy(&f, v->info.data, sizeof f);
    *out = (double)f;
    return true;
}

static bool is_number(const struct pattern *p, uint32_t value, double wanted)
{
    double x;
    return scalar(p, value, &x) && fabs(x - wanted) <= 1e-4 * fabs(wanted);
}

/* The operand beside the number <wanted>, or NO_VALUE. */
static uint32_t beside(const struct pattern *p, const struct hearth__ir_node *n,
                       double wanted)
{
    if (n != NULL && is_number(p, n->inputs[1], wanted))
        return n->inputs[0];
    if (n != NULL && is_number(p, n->inputs[0], wanted))
        return n->inputs[1];
    return HEARTH_NO_VALUE;
}

static bool is_f32(const struct pattern *p, uint32_t value)
{
    const struct hearth_value_info *i = &hearth__ir_value(p->ir, value)->info;
    return i->dtype == HEARTH_F32 && i->shape.rank >= 1;
}

/* Removes the pieces, and makes node <at> the operator. */
static void take(const struct pattern *p, uint32_t at, enum hearth_op op,
                 uint32_t *inputs, uint32_t input_count,
                 struct hearth__ir_attr *attrs, uint32_t attr_count)
{
    for (int i = 0; i < p->count; i++) {
        struct hearth__ir_node *n = p->pieces[i];
        hearth__ir_value(p->ir, n->outputs[0])->kind = HEARTH_VALUE_NONE;
        hearth__ir_value(p->ir, n->outputs[0])->uses = 0;
        n->op = HEARTH_OP_NONE;
    }
    struct hearth__ir_node *n = hearth__ir_node(p->ir, at);
    n->op = op;
    n->inputs = inputs;
    n->input_count = input_count;
    n->attrs = attrs;
    n->attr_count = attr_count;
}

/* ---- Gelu ---- */

/* u where <value> is 1 + erf(u / sqrt 2). */
static uint32_t erf_argument(struct pattern *p, uint32_t value)
{
    struct hearth__ir_node *add = piece(p, value, HEARTH_OP_ADD, 1);
    struct hearth__ir_node *erf = piece(p, beside(p, add, 1), HEARTH_OP_ERF, 1);
    if (erf == NULL)
        return HEARTH_NO_VALUE;
    struct hearth__ir_node *scale = piece(p, erf->inputs[0], HEARTH_OP_DIV, 1);
    if (scale != NULL)
        return is_number(p, scale->inputs[1], M_SQRT2) ? scale->inputs[0]
                                                       : HEARTH_NO_VALUE;
    return beside(p, piece(p, erf->inputs[0], HEARTH_OP_MUL, 1), M_SQRT1_2);
}

/* Is <value> x^3, for itself alone? */
static bool is_cube(struct pattern *p, uint32_t value, uint32_t x)
{
    struct hearth__ir_node *n = piece(p, value, HEARTH_OP_POW, 1);
    if (n != NULL)
        return n->inputs[0] == x && is_number(p, n->inputs[1], 3);
    n = piece(p, value, HEARTH_OP_MUL, 1);
    for (int k = 0; n != NULL && k < 2; k++)
        if (n->inputs[k] == x) {
            const struct hearth__ir_node *square =
                piece(p, n->inputs[1 - k], HEARTH_OP_MUL, 1);
            return square != NULL && square->inputs[0] == x &&
                   square->inputs[1] == x;
        }
    return false;
}

/* x where <value> is 1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)). */
static uint32_t tanh_argument(struct pattern *p, uint32_t value)
{
    struct hearth__ir_node *add = piece(p, value, HEARTH_OP_ADD, 1);
    struct hearth__ir_node *tanh =
        piece(p, beside(p, add, 1), HEARTH_OP_TANH, 1);
    if (tanh == NULL)
        return HEARTH_NO_VALUE;
    const struct hearth__ir_node *scale =
        piece(p, tanh->inputs[0], HEARTH_OP_MUL, 1);
    const struct hearth__ir_node *sum =
        piece(p, beside(p, scale, M_2_SQRTPI * M_SQRT1_2), HEARTH_OP_ADD, 1);
    int count = p->count;
    for (int k = 0; sum != NULL && k < 2; k++, p->count = count) {
        const struct hearth__ir_node *small =
            piece(p, sum->inputs[1 - k], HEARTH_OP_MUL, 1);
        uint32_t cube = beside(p, small, 0.044715);
        if (cube != HEARTH_NO_VALUE && is_cube(p, cube, sum->inputs[k]))
            return sum->inputs[k];
    }
    return HEARTH_NO_VALUE;
}

/* Three factors in any order and association: 1/2, x, and what is above. */
static bool find_gelu(struct pattern *p, const uint32_t f[3], uint32_t *x,
                      bool *by_tanh)
{
    int count = p->count;
    for (int i = 0; i < 3; i++) {
        if (!is_number(p, f[i], 0.5))
            continue;
        for (int k = 0; k < 2; k++) {
            uint32_t one = f[(i + 1 + k) % 3], other = f[(i + 2 - k) % 3];
            p->count = count;
            *by_tanh = false;
            *x = erf_argument(p, one);
            if (*x == HEARTH_NO_VALUE) {
                p->count = count;
                *by_tanh = true;
                *x = tanh_argument(p, one);
            }
            if (*x != HEARTH_NO_VALUE && *x == other && is_f32(p, *x))
                return true;
        }
    }
    p->count = count;
    return false;
}

static int take_gelu(const struct pattern *p, uint32_t at, uint32_t x,
                     bool by_tanh)
{
    static const char mode[] = "tanh";
    uint32_t *inputs = hearth__ir_alloc(p->ir, 1, sizeof *inputs);
    struct hearth__ir_attr *attrs = hearth__ir_alloc(p->ir, 1, sizeof *attrs);
    if (inputs == NULL || attrs == NULL)
        return p->ir->err->status;
    inputs[0] = x;
    attrs[0] = (struct hearth__ir_attr){HEARTH_ATTR_MODE, HEARTH_ATTR_STRING,
                                        sizeof mode - 1, mode};
    take(p, at, HEARTH_OP_GELU, inputs, 1, attrs, by_tanh ? 1 : 0);
    return HEARTH_OK;
}

static int try_gelu(struct hearth__ir *ir, uint32_t at)
{
    const struct hearth__ir_node *last = hearth__ir_node(ir, at);
    for (uint32_t k = 0; k < 2; k++) {
        struct pattern p = {.ir = ir};
        const struct hearth__ir_node *inner =
            piece(&p, last->inputs[k], HEARTH_OP_MUL, 1);
        uint32_t x;
        bool by_tanh;
        if (inner == NULL)
            continue;
        const uint32_t factors[3] = {last->inputs[1 - k], inner->inputs[0],
                                     inner->inputs[1]};
        if (find_gelu(&p, factors, &x, &by_tanh))
            return take_gelu(&p, at, x, by_tanh);
    }
    return HEARTH_OK;
}

/* ---- LayerNormalization ---- */

/* The mean of <value> along its last axis, kept as an axis of one. */
static bool is_mean(struct pattern *p, const struct hearth__ir_node *n,
                    uint32_t value)
{
    if (n == NULL || n->inputs[0] != value)
        return false;
    const struct hearth__ir_attr *keep =
        hearth__ir_attr(n, HEARTH_ATTR_KEEPDIMS);
    uint32_t axes = hearth__ir_in(n, 1);
    int64_t axis;
    if (!hearth__ir_is_const(p->ir, axes) ||
        (keep != NULL && *(const int64_t *)keep->data == 0))
        return false;
    const struct hearth__ir_value *v = hearth__ir_value(p->ir, axes);
    if (v->info.dtype != HEARTH_I64 || v->bytes != sizeof axis ||
        v->info.data == NULL)
        return false;
    memcpy(&axis, v->info.data, sizeof axis);
    return axis == -1 ||
           axis == hearth__ir_value(p->ir, value)->info.shape.rank - 1;
}

/* A constant vector as long as the last axis of <x>. */
static bool is_row(const struct pattern *p, uint32_t value, uint32_t x)
{
    if (!hearth__ir_is_const(p->ir, value))
        return false;
    const struct hearth_value_info *v = &hearth__ir_value(p->ir, value)->info;
    const struct hearth_shape *s = &hearth__ir_value(p->ir, x)->info.shape;
    return v->dtype == HEARTH_F32 && v->shape.rank == 1 && s->rank >= 1 &&
           s->dims[s->rank - 1] > 0 && v->shape.dims[0] == s->dims[s->rank - 1];
}

/* The mean square of <centred>, under a root with *epsilon. <uses> are all of
 * <centred>'s: one is the quotient's. */
static bool is_deviation(struct pattern *p, uint32_t value, uint32_t centred,
                         uint32_t uses, double *epsilon)
{
    const struct hearth__ir_node *root = piece(p, value, HEARTH_OP_SQRT, 1);
    const struct hearth__ir_node *add =
        root != NULL ? piece(p, root->inputs[0], HEARTH_OP_ADD, 1) : NULL;
    for (int k = 0; add != NULL && k < 2; k++) {
        const struct hearth__ir_node *mean =
            made_by(p, add->inputs[k], HEARTH_OP_REDUCE_MEAN, 1);
        if (mean == NULL || !scalar(p, add->inputs[1 - k], epsilon))
            continue;
        uint32_t squares = mean->inputs[0];
        const struct hearth__ir_node *square =
            piece(p, squares, HEARTH_OP_POW, 1);
        (void)piece(p, add->inputs[k], HEARTH_OP_REDUCE_MEAN, 1);
        if (square == NULL)
            square = piece(p, squares, HEARTH_OP_MUL, 1);
        return square != NULL && is_mean(p, mean, squares) &&
               square->inputs[0] == centred &&
               (square->op == HEARTH_OP_MUL
                    ? uses == 3 && square->inputs[1] == centred
                    : uses == 2 && is_number(p, square->inputs[1], 2));
    }
    return false;
}

/* x where <value> is (x - mean) / deviation. */
static uint32_t normalized(struct pattern *p, uint32_t value, double *epsilon)
{
    const struct hearth__ir_node *div = piece(p, value, HEARTH_OP_DIV, 1);
    if (div == NULL)
        return HEARTH_NO_VALUE;
    uint32_t c = div->inputs[0];
    /* Read by the quotient, and once or twice by the square. */
    uint32_t uses = 2;
    const struct hearth__ir_node *sub = piece(p, c, HEARTH_OP_SUB, uses);
    if (sub == NULL)
        sub = piece(p, c, HEARTH_OP_SUB, uses = 3);
    if (sub == NULL || !is_f32(p, sub->inputs[0]) ||
        !is_deviation(p, div->inputs[1], c, uses, epsilon))
        return HEARTH_NO_VALUE;
    const struct hearth__ir_node *mean =
        piece(p, sub->inputs[1], HEARTH_OP_REDUCE_MEAN, 1);
    return is_mean(p, mean, sub->inputs[0]) ? sub->inputs[0] : HEARTH_NO_VALUE;
}

static int take_layer_norm(const struct pattern *p, uint32_t at,
                           const uint32_t in[3], double epsilon)
{
    uint32_t *inputs = hearth__ir_alloc(p->ir, 3, sizeof *inputs);
    struct hearth__ir_attr *attrs = hearth__ir_alloc(p->ir, 2, sizeof *attrs);
    int64_t *axis = hearth__ir_alloc(p->ir, 1, sizeof *axis);
    double *number = hearth__ir_alloc(p->ir, 1, sizeof *number);
    if (inputs == NULL || attrs == NULL || axis == NULL || number == NULL)
        return p->ir->err->status;
    memcpy(inputs, in, 3 * sizeof *inputs);
    *axis = -1;
    *number = epsilon;
    attrs[0] =
        (struct hearth__ir_attr){HEARTH_ATTR_AXIS, HEARTH_ATTR_INTS, 1, axis};
    attrs[1] = (struct hearth__ir_attr){HEARTH_ATTR_EPSILON, HEARTH_ATTR_FLOATS,
                                        1, number};
    take(p, at, HEARTH_OP_LAYER_NORMALIZATION, inputs, 3, attrs, 2);
    return HEARTH_OK;
}

/* normalized * gamma + beta */
static int try_layer_norm(struct hearth__ir *ir, uint32_t at)
{
    const struct hearth__ir_node *last = hearth__ir_node(ir, at);
    for (uint32_t k = 0; k < 2; k++) {
        struct pattern p = {.ir = ir};
        double epsilon = 0;
        const struct hearth__ir_node *mul =
            piece(&p, last->inputs[k], HEARTH_OP_MUL, 1);
        for (uint32_t j = 0; mul != NULL && j < 2; j++) {
            p.count = 1;
            uint32_t x = normalized(&p, mul->inputs[j], &epsilon);
            const uint32_t in[3] = {x, mul->inputs[1 - j], last->inputs[1 - k]};
            if (x != HEARTH_NO_VALUE && is_row(&p, in[1], x) &&
                is_row(&p, in[2], x))
                return take_layer_norm(&p, at, in, epsilon);
        }
    }
    return HEARTH_OK;
}

/* ---- The pass ---- */

int hearth__pass_compose(struct hearth__ir *ir)
{
    int rc = HEARTH_OK;
    for (uint32_t i = 0; rc == HEARTH_OK && i < ir->nodes.count; i++) {
        const struct hearth__ir_node *n = hearth__ir_node(ir, i);
        if (hearth__ir_attr(n, HEARTH_ATTR_ACTIVATION) != NULL)
            continue;
        if (n->op == HEARTH_OP_MUL)
            rc = try_gelu(ir, i);
        else if (n->op == HEARTH_OP_ADD)
            rc = try_layer_norm(ir, i);
        /* Values have fewer readers now, and later patterns count them. */
        if (rc == HEARTH_OK &&
            (n->op == HEARTH_OP_GELU || n->op == HEARTH_OP_LAYER_NORMALIZATION))
            hearth__ir_count_uses(ir);
    }
    return rc;
}
