/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elementwise.c: one number out for each number in, in whatever layout the
 * input is: activations, arithmetic with broadcasting, BatchNormalization.
 *
 * Where the last block of channels is filled up, the filling must stay zero. So
 * a blocked value is worked on only where the operator keeps zeros, or where
 * nothing is filled up.
 */
#include "nodes.h"

/* n: op, count; refs: x, y */
int cpu__run_unary(const struct cpu_run *run, struct cpu_step *step,
                   struct hearth_error *err)
{
    (void)err;
    cpu_unary((enum hearth_op)step->n[0], cpu_at(run, &step->refs[0]),
              cpu_at(run, &step->refs[1]), step->n[1], step->f[0], step->f[1]);
    return HEARTH_OK;
}

/* A limit of Clip: known here, or not for the fast way. */
static bool clip_limit(const struct lowering *l, uint32_t v, float *limit)
{
    if (v == HEARTH_NO_VALUE)
        return true;
    if (info(l, v)->data == NULL || !is_f32(l, v) || count_of(l, v) != 1)
        return false;
    memcpy(limit, info(l, v)->data, sizeof *limit);
    return true;
}

/* Writes over <from> where that is allowed. */
static int over_or_new(struct lowering *l, bool blocked,
                       const struct cpu_ref *from, struct cpu_ref *to,
                       struct hearth_error *err)
{
    if (!cpu__is_last_use(l, from))
        return cpu__output(l, output(l, 0), blocked, to, err);
    *to = *from;
    cpu__map(l, output(l, 0), blocked, *from);
    return HEARTH_OK;
}

/* What the operator's function takes beside its argument. */
static void put_numbers(const struct lowering *l, struct cpu_step *step)
{
    const struct hearth_graph_node *node = this_node(l);
    step->f[0] = -INFINITY;
    step->f[1] = INFINITY;
    if (node->op == HEARTH_OP_LEAKY_RELU) {
        step->f[0] =
            (float)hearth_attr_float(l->g, node, HEARTH_ATTR_ALPHA, 0.01f);
    } else if (node->op == HEARTH_OP_HARD_SIGMOID) {
        step->f[0] =
            (float)hearth_attr_float(l->g, node, HEARTH_ATTR_ALPHA, 0.2f);
        step->f[1] =
            (float)hearth_attr_float(l->g, node, HEARTH_ATTR_BETA, 0.5);
    } else if (node->op == HEARTH_OP_GELU) { /* 1: by tanh */
        step->f[0] =
            strcmp(hearth_attr_string(l->g, node, HEARTH_ATTR_MODE, "none"),
                   "tanh") == 0;
    }
}

int cpu__lower_unary(struct lowering *l, struct hearth_error *err)
{
    uint32_t x = input(l, 0), op = this_node(l)->op;
    struct cpu_step step = {.run = cpu__run_unary, .n = {op}};
    bool keeps_zero = op != HEARTH_OP_SIGMOID && op != HEARTH_OP_HARD_SIGMOID &&
                      op != HEARTH_OP_EXP && op != HEARTH_OP_LOG &&
                      op != HEARTH_OP_RECIPROCAL;
    put_numbers(l, &step);
    if (!is_f32(l, x) || count_of(l, x) < 0)
        return cpu__lower_eval(l, err);
    if (op == HEARTH_OP_CLIP) {
        if (!clip_limit(l, input(l, 1), &step.f[0]) ||
            !clip_limit(l, input(l, 2), &step.f[1]))
            return cpu__lower_eval(l, err);
        keeps_zero = step.f[0] <= 0 && step.f[1] >= 0;
    }
    bool blocked =
        cpu__is_blocked(l, x) && (keeps_zero || blocks_are_full(l, x));
    step.n[1] = buffer_count(l, x, blocked);
    int rc = cpu__need(l, x, blocked, &step.refs[0], err);
    if (rc == HEARTH_OK)
        rc = over_or_new(l, blocked, &step.refs[0], &step.refs[1], err);
    return rc == HEARTH_OK ? cpu__step(l, &step, NULL, 0, err) : rc;
}

/* ---- Two operands ---- */

/* n: op, act, then 4 sizes, 4 steps of a, 4 of b; refs: a, b, y */
int cpu__run_binary(const struct cpu_run *run, struct cpu_step *step,
                    struct hearth_error *err)
{
    (void)err;
    const struct cpu_broadcast shape = {
        .size = &step->n[2], .a = &step->n[6], .b = &step->n[10]};
    cpu_binary((enum hearth_op)step->n[0], cpu_at(run, &step->refs[0]),
               cpu_at(run, &step->refs[1]), cpu_at(run, &step->refs[2]), &shape,
               (enum hearth_activation)step->n[1], step->f[0], step->f[1]);
    return HEARTH_OK;
}

/* An operand's steps, 0 where it is broadcast, under the result's axes. */
static void steps_of(const struct hearth_shape *operand,
                     const struct hearth_shape *result,
                     int64_t steps[HEARTH_RANK_MAX])
{
    int64_t step = 1;
    int shift = result->rank - operand->rank;
    for (int i = result->rank - 1; i >= 0; i--) {
        int64_t size = i >= shift ? operand->dims[i - shift] : 1;
        steps[i] = size == 1 ? 0 : step;
        step *= size;
    }
}

/* The axes that both operands step through as through one become one. False:
 * more than four are left. */
static bool put_axes(struct cpu_step *step, const struct hearth_shape *y,
                     const int64_t *a, const int64_t *b)
{
    int at = 4; /* the innermost last */
    for (int i = 0; i < 4; i++) {
        step->n[2 + i] = 1;
        step->n[6 + i] = step->n[10 + i] = 0;
    }
    for (int i = y->rank - 1; i >= 0; i--) {
        int64_t *size = &step->n[2 + at];
        if (y->dims[i] == 1)
            continue;
        if (at < 4 && a[i] == step->n[6 + at] * *size &&
            b[i] == step->n[10 + at] * *size) {
            *size *= y->dims[i];
            continue;
        }
        if (at == 0)
            return false;
        at--;
        step->n[2 + at] = y->dims[i];
        step->n[6 + at] = a[i];
        step->n[10 + at] = b[i];
    }
    return true;
}

/* [n,c,h,w] as it lies when blocked: [n, c/block, h*w, block]. A value of one
 * pixel lies so when it is plain. */
static struct hearth_shape as_blocked(const struct hearth_shape *s, int block)
{
    struct hearth_shape to = {.rank = 4};
    to.dims[0] = s->dims[0];
    to.dims[1] = (s->dims[1] + block - 1) / block;
    to.dims[2] = s->dims[2] * s->dims[3];
    to.dims[3] = block;
    return to;
}

/* May the operands be used as they lie when blocked? */
static bool can_stay_blocked(const struct lowering *l, uint32_t a, uint32_t b,
                             uint32_t y, enum hearth_activation act)
{
    const struct hearth_shape *sa = &info(l, a)->shape;
    const struct hearth_shape *sb = &info(l, b)->shape;
    const struct hearth_shape *sy = &info(l, y)->shape;
    bool same = hearth_shape_equal(sa, sb);
    bool keeps_zero = this_node(l)->op != HEARTH_OP_DIV &&
                      this_node(l)->op != HEARTH_OP_POW &&
                      act != HEARTH_ACT_CLIP && act != HEARTH_ACT_SIGMOID;
    if (same)
        return (cpu__is_blocked(l, a) || cpu__is_blocked(l, b)) &&
               (keeps_zero || blocks_are_full(l, y));
    if (!cpu__is_blocked(l, a) || !hearth_shape_equal(sa, sy) ||
        !blocks_are_full(l, a))
        return false;
    /* One number, or one a channel beside a picture. */
    return count_of(l, b) == 1 ||
           (sb->rank == 4 && (sb->dims[0] == 1 || sb->dims[0] == sa->dims[0]) &&
            sb->dims[1] == sa->dims[1] && sb->dims[2] == 1 && sb->dims[3] == 1);
}

static bool broadcast_of(const struct lowering *l, uint32_t va, uint32_t vb,
                         bool blocked, struct cpu_step *step)
{
    struct hearth_shape a = info(l, va)->shape;
    struct hearth_shape b = info(l, vb)->shape;
    struct hearth_shape y = info(l, output(l, 0))->shape;
    int64_t a_steps[HEARTH_RANK_MAX], b_steps[HEARTH_RANK_MAX];
    if (blocked) {
        a = as_blocked(&a, l->dev->block);
        if (count_of(l, vb) != 1)
            b = as_blocked(&b, l->dev->block);
        y = as_blocked(&y, l->dev->block);
    }
    steps_of(&a, &y, a_steps);
    steps_of(&b, &y, b_steps);
    return put_axes(step, &y, a_steps, b_steps);
}

int cpu__lower_binary(struct lowering *l, struct hearth_error *err)
{
    uint32_t a = input(l, 0), b = input(l, 1), y = output(l, 0);
    struct cpu_step step = {.run = cpu__run_binary, .n = {this_node(l)->op}};
    struct cpu_ref *refs = step.refs;
    if (!is_f32(l, a) || !is_f32(l, b) || count_of(l, y) <= 0)
        return cpu__lower_eval(l, err);
    /* The larger one first, which is what stays blocked. */
    if ((step.n[0] == HEARTH_OP_ADD || step.n[0] == HEARTH_OP_MUL) &&
        count_of(l, a) < count_of(l, b)) {
        a = input(l, 1);
        b = input(l, 0);
    }
    put_act(l, &step, 1);
    bool blocked =
        can_stay_blocked(l, a, b, y, (enum hearth_activation)step.n[1]);
    if (!broadcast_of(l, a, b, blocked, &step))
        return cpu__lower_eval(l, err);
    bool b_blocked =
        blocked && hearth_shape_equal(&info(l, a)->shape, &info(l, b)->shape);
    int rc = cpu__need(l, a, blocked, &refs[0], err);
    if (rc == HEARTH_OK)
        rc = cpu__need(l, b, b_blocked, &refs[1], err);
    if (rc != HEARTH_OK)
        return rc;
    bool over = hearth_shape_equal(&info(l, a)->shape, &info(l, y)->shape) &&
                (!cpu__same_buffer(&refs[0], &refs[1]) ||
                 (cpu__same_place(&refs[0], &refs[1]) &&
                  count_of(l, b) == count_of(l, a)));
    rc = over ? over_or_new(l, blocked, &refs[0], &refs[2], err)
              : cpu__output(l, y, blocked, &refs[2], err);
    return rc == HEARTH_OK ? cpu__step(l, &step, NULL, 0, err) : rc;
}

/* ---- BatchNormalization ---- */

/* n: rows of pixels, pixels, block, blocks of a picture, channels; f: epsilon,
 * the least result; refs: x, y, factors and terms; more: scale, bias, mean,
 * variance */
static int run_batchnorm(const struct cpu_run *run, struct cpu_step *step,
                         struct hearth_error *err)
{
    (void)err;
    const struct cpu_ref *more = &run->plan->refs[step->first_ref];
    const float *const norm[4] = {cpu_at(run, &more[0]), cpu_at(run, &more[1]),
                                  cpu_at(run, &more[2]), cpu_at(run, &more[3])};
    int64_t room = step->n[2] * step->n[3];
    float *factor = cpu_at(run, &step->refs[2]), *term = factor + room;
    memset(factor, 0, (size_t)(2 * room) * sizeof *factor);
    cpu_factors(norm, step->f[0], factor, term, step->n[4]);
    cpu_affine(cpu_at(run, &step->refs[0]), factor, term, step->f[1],
               cpu_at(run, &step->refs[1]), step->n[0], step->n[1],
               (int)step->n[2], step->n[3]);
    return HEARTH_OK;
}

/* The Relu that alone reads <v>, which then is done here; its node. */
static uint32_t relu_after(const struct lowering *l, uint32_t v)
{
    uint32_t found = HEARTH_NO_VALUE;
    if (l->last_node[v] == UINT32_MAX)
        return HEARTH_NO_VALUE;
    for (uint32_t n = l->node + 1; n <= l->last_node[v]; n++) {
        const struct hearth_graph_node *node = hearth_graph_node(l->g, n);
        for (uint32_t k = 0; k < node->input_count; k++) {
            if (hearth_graph_input(l->g, node, k) != v)
                continue;
            if (node->op != HEARTH_OP_RELU || found != HEARTH_NO_VALUE)
                return HEARTH_NO_VALUE;
            found = n;
        }
    }
    return found;
}

int cpu__lower_batchnorm(struct lowering *l, struct hearth_error *err)
{
    uint32_t x = input(l, 0), y = output(l, 0);
    const struct hearth_shape *s = &info(l, x)->shape;
    struct cpu_step step = {.run = run_batchnorm};
    struct cpu_ref more[4];
    int rc = HEARTH_OK;
    bool plain = s->rank < 2 || count_of(l, y) <= 0;
    for (uint32_t k = 0; k < 5; k++)
        plain = plain || !is_f32(l, input(l, k));
    if (plain)
        return cpu__lower_eval(l, err);
    bool blocked = cpu__is_blocked(l, x);
    int64_t block = blocked ? l->dev->block : 1;
    step.n[2] = block;
    step.n[3] = (s->dims[1] + block - 1) / block;
    step.n[0] = s->dims[0] * step.n[3];
    step.n[1] = count_of(l, x) / s->dims[0] / s->dims[1];
    step.n[4] = s->dims[1];
    step.f[0] =
        (float)hearth_attr_float(l->g, this_node(l), HEARTH_ATTR_EPSILON, 1e-5);
    step.f[1] = -INFINITY;
    uint32_t relu = relu_after(l, y);
    if (relu != HEARTH_NO_VALUE) {
        step.f[1] = 0;
        l->fused[relu] = CPU_FUSED_VIEW;
    }
    for (uint32_t k = 0; rc == HEARTH_OK && k < 4; k++)
        rc = cpu__need(l, input(l, k + 1), false, &more[k], err);
    if (rc == HEARTH_OK)
        rc = cpu__need(l, x, blocked, &step.refs[0], err);
    if (rc == HEARTH_OK)
        rc = over_or_new(l, blocked, &step.refs[0], &step.refs[1], err);
    if (rc != HEARTH_OK)
        return rc;
    step.refs[2] =
        cpu__buffer(l, 2 * sizeof(float) * (uint64_t)(step.n[2] * step.n[3]));
    if (step.refs[2].place == CPU_NOWHERE)
        return cpu_no_memory(err);
    return cpu__step(l, &step, more, 4, err);
}
