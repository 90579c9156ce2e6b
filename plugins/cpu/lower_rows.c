/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lower_rows.c: operators that look along rows of f32: sums and means over axes
 * that lie beside each other, LayerNormalization, LRN.
 */
#include "nodes.h"

/* ---- ReduceMean, ReduceSum ---- */

/* n: outer, n, inner, divisor; refs: y; more: x, .. */
static int run_reduce(const struct cpu_run *run, struct cpu_step *step,
                      struct hearth_error *err)
{
    const struct cpu_ref *x = &run->plan->refs[step->first_ref];
    (void)err;
    cpu_reduce(cpu_at(run, x), cpu_at(run, &step->refs[0]), step->n[0],
               step->n[1], step->n[2], (float)step->n[3]);
    return HEARTH_OK;
}

/* The axes as bits; false: not known, or none, which has its own rules. */
static bool axes_of(const struct lowering *l, int rank, uint32_t *set)
{
    const struct hearth_value_info *axes = info(l, input(l, 1));
    int64_t count = count_of(l, input(l, 1));
    if (axes == NULL || axes->data == NULL || axes->dtype != HEARTH_I64 ||
        count < 1 || count > rank)
        return false;
    *set = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t axis = ((const int64_t *)axes->data)[i];
        axis += axis < 0 ? rank : 0;
        if (axis < 0 || axis >= rank)
            return false;
        *set |= UINT32_C(1) << axis;
    }
    return true;
}

int cpu__lower_reduce(struct lowering *l, struct hearth_error *err)
{
    const struct hearth_shape *x = &info(l, input(l, 0))->shape;
    struct cpu_step step = {.run = run_reduce, .n = {1, 1, 1, 1}};
    uint32_t set;
    if (!is_f32(l, input(l, 0)) || count_of(l, input(l, 0)) <= 0 ||
        !axes_of(l, x->rank, &set))
        return cpu__lower_eval(l, err);
    int first = __builtin_ctz(set), end = first;
    while (end < x->rank && set >> end & 1)
        end++;
    if (set >> end != 0)
        return cpu__lower_eval(l, err);
    for (int i = 0; i < x->rank; i++)
        step.n[i < first ? 0 : i < end ? 1 : 2] *= x->dims[i];
    if (this_node(l)->op == HEARTH_OP_REDUCE_MEAN)
        step.n[3] = step.n[1];
    return cpu__lower_as(l, &step, err);
}

/* ---- LayerNormalization ---- */

/* n: rows, n; f: epsilon; refs: y; more: x, scale, bias */
static int run_layer_norm(const struct cpu_run *run, struct cpu_step *step,
                          struct hearth_error *err)
{
    const struct cpu_ref *more = &run->plan->refs[step->first_ref];
    (void)err;
    cpu_layer_norm(cpu_at(run, &more[0]), cpu_at(run, &more[1]),
                   step->n[2] ? cpu_at(run, &more[2]) : NULL,
                   cpu_at(run, &step->refs[0]), step->n[0], step->n[1],
                   step->f[0]);
    return HEARTH_OK;
}

int cpu__lower_layer_norm(struct lowering *l, struct hearth_error *err)
{
    const struct hearth_graph_node *node = this_node(l);
    const struct hearth_shape *x = &info(l, input(l, 0))->shape;
    uint32_t bias = node->input_count > 2 ? input(l, 2) : HEARTH_NO_VALUE;
    struct cpu_step step = {.run = run_layer_norm, .n = {1, 1}};
    int64_t axis = hearth_attr_int(l->g, node, HEARTH_ATTR_AXIS, -1);
    axis += axis < 0 ? x->rank : 0;
    if (!is_f32(l, input(l, 0)) || count_of(l, input(l, 0)) <= 0 || axis < 0)
        return cpu__lower_eval(l, err);
    for (int i = 0; i < x->rank; i++)
        step.n[i < axis ? 0 : 1] *= x->dims[i];
    /* They broadcast to a row, and are one when they are as many. */
    if (count_of(l, input(l, 1)) != step.n[1] ||
        (bias != HEARTH_NO_VALUE && count_of(l, bias) != step.n[1]))
        return cpu__lower_eval(l, err);
    step.n[2] = bias != HEARTH_NO_VALUE;
    step.f[0] =
        (float)hearth_attr_float(l->g, node, HEARTH_ATTR_EPSILON, 1e-5f);
    return cpu__lower_as(l, &step, err);
}

/* ---- LRN ---- */

/* n: batch, channels, pixels, size, bias's bits; f: alpha, beta; refs: y;
 * more: x */
static int run_lrn(const struct cpu_run *run, struct cpu_step *step,
                   struct hearth_error *err)
{
    const struct cpu_ref *x = &run->plan->refs[step->first_ref];
    const int64_t *n = step->n;
    float bias;
    (void)err;
    memcpy(&bias, &n[4], sizeof bias);
    cpu_lrn(cpu_at(run, x), cpu_at(run, &step->refs[0]), n[0], n[1], n[2], n[3],
            step->f[0], step->f[1], bias);
    return HEARTH_OK;
}

int cpu__lower_lrn(struct lowering *l, struct hearth_error *err)
{
    const struct hearth_graph_node *node = this_node(l);
    const struct hearth_shape *x = &info(l, input(l, 0))->shape;
    struct cpu_step step = {.run = run_lrn};
    float bias = (float)hearth_attr_float(l->g, node, HEARTH_ATTR_BIAS, 1);
    if (!is_f32(l, input(l, 0)) || count_of(l, input(l, 0)) <= 0)
        return cpu__lower_eval(l, err);
    step.n[0] = x->dims[0];
    step.n[1] = x->dims[1];
    step.n[2] = count_of(l, input(l, 0)) / x->dims[0] / x->dims[1];
    step.n[3] = hearth_attr_int(l->g, node, HEARTH_ATTR_SIZE, 1);
    memcpy(&step.n[4], &bias, sizeof bias);
    step.f[0] = (float)hearth_attr_float(l->g, node, HEARTH_ATTR_ALPHA, 1e-4f);
    step.f[1] = (float)hearth_attr_float(l->g, node, HEARTH_ATTR_BETA, 0.75);
    return cpu__lower_as(l, &step, err);
}
