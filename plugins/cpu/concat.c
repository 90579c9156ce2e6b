/* SPDX-License-Identifier: Apache-2.0 */
/*
 * concat.c: Concat. Rows of bytes are copied; what was written where it belongs
 * (lower.c's homes) is there already.
 */
#include "nodes.h"

/* Bytes of input <k> in each of <rows> rows. */
static uint64_t row_bytes(const struct cpu_plan *plan,
                          const struct hearth_graph *g, uint32_t n, uint32_t k,
                          int64_t rows)
{
    const struct hearth_value_info *in =
        &plan->spec.values[hearth_graph_input(g, hearth_graph_node(g, n), k)];
    uint64_t bytes = 0;
    (void)hearth_shape_bytes(&in->shape, in->dtype, &bytes);
    return bytes / (uint64_t)rows;
}

/* Worth two threads. */
#define COPY_BYTES (UINT64_C(128) << 10)

/* n: rows, inputs, bytes of a result's row; refs: y; more: inputs */
static int run_concat(const struct cpu_run *run, struct cpu_step *step,
                      struct hearth_error *err)
{
    const int64_t rows = step->n[0], inputs = step->n[1];
    const uint64_t row = (uint64_t)step->n[2];
    (void)err;
    char *y = cpu_at(run, &step->refs[0]);
#pragma omp parallel for if (row * (uint64_t)rows > COPY_BYTES) schedule(static)
    for (int64_t i = 0; i < rows * inputs; i++) {
        uint64_t r = (uint64_t)(i / inputs);
        uint32_t k = (uint32_t)(i % inputs);
        char *to = y + r * row;
        for (uint32_t j = 0; j < k; j++)
            to += row_bytes(run->plan, run->graph, step->node, j, rows);
        uint64_t bytes = row_bytes(run->plan, run->graph, step->node, k, rows);
        const char *from = cpu_at(run, &run->plan->refs[step->first_ref + k]);
        /* It may have been written there. */
        if (bytes > 0 && from + r * bytes != to)
            memcpy(to, from + r * bytes, bytes);
    }
    return HEARTH_OK;
}

/* Have all been written one after the other? Then they are the result. */
static bool lie_together(const struct lowering *l, const struct cpu_ref *refs)
{
    const struct hearth_graph_node *node = this_node(l);
    uint64_t at = refs[0].inside;
    for (uint32_t k = 0; k < node->input_count; k++) {
        if (refs[k].place != CPU_ARENA || refs[k].at != refs[0].at ||
            refs[k].inside != at)
            return false;
        at += row_bytes(l->plan, l->g, l->node, k, 1);
    }
    return true;
}

int cpu__lower_concat(struct lowering *l, struct hearth_error *err)
{
    const struct hearth_graph_node *node = this_node(l);
    const struct hearth_shape *s = &info(l, output(l, 0))->shape;
    struct cpu_step step = {.run = run_concat};
    struct cpu_ref few[32];
    int64_t axis = hearth_attr_int(l->g, node, HEARTH_ATTR_AXIS, 0);
    axis += axis < 0 ? s->rank : 0;
    bool blocked = axis == 1 && is_f32(l, input(l, 0));
    if (node->input_count > 32 || count_of(l, output(l, 0)) <= 0)
        return cpu__lower_eval(l, err);
    /* Whole blocks of channels follow each other: the same copy. */
    for (uint32_t k = 0; blocked && k < node->input_count; k++)
        blocked =
            cpu__is_blocked(l, input(l, k)) && blocks_are_full(l, input(l, k));
    step.n[0] = 1;
    for (int i = 0; i < axis; i++)
        step.n[0] *= s->dims[i];
    step.n[1] = node->input_count;
    for (uint32_t k = 0; k < node->input_count; k++)
        step.n[2] += (int64_t)row_bytes(l->plan, l->g, l->node, k, step.n[0]);
    int rc = HEARTH_OK;
    for (uint32_t k = 0; rc == HEARTH_OK && k < node->input_count; k++)
        rc = cpu__need(l, input(l, k), blocked, &few[k], err);
    if (rc == HEARTH_OK && blocked && step.n[0] == 1 && lie_together(l, few)) {
        cpu__map(l, output(l, 0), true, few[0]);
        return HEARTH_OK;
    }
    if (rc == HEARTH_OK)
        rc = cpu__output(l, output(l, 0), blocked, &step.refs[0], err);
    if (rc == HEARTH_OK)
        rc = cpu__step(l, &step, few, node->input_count, err);
    return rc;
}
