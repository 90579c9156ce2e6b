/* SPDX-License-Identifier: Apache-2.0 */
/*
 * matmul.c: Gemm and MatMul as oneDNN's matrix product on plain rows, which is
 * as fast as packed weights where a run is one row, and needs no copy of them.
 */
#include "nodes.h"

/* ---- Gemm, MatMul ---- */

/* n: m, n, k, transposed a, b; batch; strides of a, b, y; act.
 * refs: a, b, y, bias, z */
static int run_gemm(const struct cpu_run *run, struct cpu_step *step,
                    struct hearth_error *err)
{
    const int64_t *n = step->n;
    const float *a = cpu_at(run, &step->refs[0]);
    const float *b = cpu_at(run, &step->refs[1]);
    float *y = cpu_at(run, &step->refs[2]);
    float alpha;
    memcpy(&alpha, &n[10], sizeof alpha);
    for (int64_t i = 0; i < n[5]; i++) {
        dnnl_status_t status =
            dnnl_sgemm(n[3] ? 'T' : 'N', n[4] ? 'T' : 'N', n[0], n[1], n[2],
                       alpha, a + i * n[6], n[3] ? n[0] : n[2], b + i * n[7],
                       n[4] ? n[2] : n[1], 0, y + i * n[8], n[1]);
        if (status != dnnl_success)
            return cpu_dnnl_failed(status, "a matrix product", err);
    }
    cpu_epilogue(y, cpu_at(run, &step->refs[3]), cpu_at(run, &step->refs[4]),
                 n[5] * n[0], n[1], (enum hearth_activation)n[9], step->f[0],
                 step->f[1]);
    return HEARTH_OK;
}

static int finish_gemm(struct lowering *l, struct cpu_step *step, float alpha,
                       uint32_t bias, uint32_t z, struct hearth_error *err)
{
    memcpy(&step->n[10], &alpha, sizeof alpha);
    put_act(l, step, 9);
    int rc = cpu__need(l, input(l, 0), false, &step->refs[0], err);
    if (rc == HEARTH_OK)
        rc = cpu__need(l, input(l, 1), false, &step->refs[1], err);
    if (rc == HEARTH_OK && bias != HEARTH_NO_VALUE)
        rc = cpu__need(l, bias, false, &step->refs[3], err);
    if (rc == HEARTH_OK && z != HEARTH_NO_VALUE)
        rc = cpu__need(l, z, false, &step->refs[4], err);
    if (rc == HEARTH_OK)
        rc = cpu__output(l, output(l, 0), false, &step->refs[2], err);
    return rc == HEARTH_OK ? cpu__step(l, step, NULL, 0, err) : rc;
}

/* [n] or [1,n]: one number a column. */
static bool is_row(const struct lowering *l, uint32_t v, int64_t n)
{
    const struct hearth_shape *s = &info(l, v)->shape;
    return count_of(l, v) == n && s->rank >= 1 && s->dims[s->rank - 1] == n;
}

int cpu__lower_gemm(struct lowering *l, struct hearth_error *err)
{
    const struct hearth_graph_node *node = this_node(l);
    uint32_t c = input(l, 2), bias = HEARTH_NO_VALUE, z = HEARTH_NO_VALUE;
    struct cpu_step step = {.run = run_gemm};
    const struct hearth_shape *a = &info(l, input(l, 0))->shape;
    const struct hearth_shape *y = &info(l, output(l, 0))->shape;
    bool ta = hearth_attr_int(l->g, node, HEARTH_ATTR_TRANS_A, 0) != 0;
    if (!is_f32(l, input(l, 0)) || count_of(l, output(l, 0)) <= 0 ||
        count_of(l, input(l, 0)) <= 0)
        return cpu__lower_eval(l, err);
    if (c != HEARTH_NO_VALUE) {
        if (hearth_attr_float(l->g, node, HEARTH_ATTR_GEMM_BETA, 1) != 1)
            return cpu__lower_eval(l, err);
        if (is_row(l, c, y->dims[1]))
            bias = c;
        else if (hearth_shape_equal(&info(l, c)->shape, y))
            z = c;
        else
            return cpu__lower_eval(l, err);
    }
    step.n[0] = y->dims[0];
    step.n[1] = y->dims[1];
    step.n[2] = ta ? a->dims[0] : a->dims[1];
    step.n[3] = ta;
    step.n[4] = hearth_attr_int(l->g, node, HEARTH_ATTR_TRANS_B, 0) != 0;
    step.n[5] = 1;
    return finish_gemm(
        l, &step,
        (float)hearth_attr_float(l->g, node, HEARTH_ATTR_GEMM_ALPHA, 1), bias,
        z, err);
}

int cpu__lower_matmul(struct lowering *l, struct hearth_error *err)
{
    struct cpu_step step = {.run = run_gemm};
    const struct hearth_shape *a = &info(l, input(l, 0))->shape;
    const struct hearth_shape *b = &info(l, input(l, 1))->shape;
    uint32_t bias = input(l, 2), z = input(l, 3);
    if (!is_f32(l, input(l, 0)) || a->rank < 2 || b->rank < 2 ||
        count_of(l, output(l, 0)) <= 0 || count_of(l, input(l, 0)) <= 0 ||
        (z != HEARTH_NO_VALUE &&
         !hearth_shape_equal(&info(l, z)->shape,
                             &info(l, output(l, 0))->shape)))
        return cpu__lower_eval(l, err);
    int64_t m = a->dims[a->rank - 2], k = a->dims[a->rank - 1];
    int64_t n = b->dims[b->rank - 1];
    int64_t batch = count_of(l, input(l, 0)) / (m * k);
    step.n[1] = n;
    step.n[2] = k;
    if (b->rank == 2) { /* all rows at once */
        step.n[0] = batch * m;
        step.n[5] = 1;
        return finish_gemm(l, &step, 1, bias, z, err);
    }
    bool same = a->rank == b->rank;
    for (int i = 0; same && i < a->rank - 2; i++)
        same = a->dims[i] == b->dims[i];
    if (!same)
        return cpu__lower_eval(l, err);
    step.n[0] = m;
    step.n[5] = batch;
    step.n[6] = m * k;
    step.n[7] = k * n;
    step.n[8] = m * n;
    return finish_gemm(l, &step, 1, bias, z, err);
}
