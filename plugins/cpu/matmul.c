/* SPDX-License-Identifier: Apache-2.0 */
/*
 * matmul.c: Gemm and MatMul as oneDNN's matrix product on plain rows, which is
 * as fast as packed weights where a run is one row, and needs no copy of them.
 */
#include "gemm.h"
#include "nodes.h"
#ifdef _OPENMP
#include <omp.h>
#endif

/* ---- Gemm, MatMul ---- */

/* Products of matrices below this many steps go to one thread each. */
#define SMALL (INT64_C(1) << 21)

/* n: m, n, k, transposed a, b; batches, of how many each; steps of a and b from
 * one of these to the next and inside, act, alpha's bits.
 * refs: a, b, y, bias, z */
enum {
    M,
    N,
    K,
    TRANS_A,
    TRANS_B,
    OUTER,
    INNER,
    A_OUTER,
    A_INNER,
    B_OUTER,
    B_INNER,
    ACT,
    ALPHA_BITS
};

static dnnl_status_t one_product(const int64_t *n, float alpha, const float *a,
                                 const float *b, float *y, int64_t i)
{
    int64_t outer = i / n[INNER], inner = i % n[INNER];
    a += outer * n[A_OUTER] + inner * n[A_INNER];
    b += outer * n[B_OUTER] + inner * n[B_INNER];
    return dnnl_sgemm(n[TRANS_A] ? 'T' : 'N', n[TRANS_B] ? 'T' : 'N', n[M],
                      n[N], n[K], alpha, a, n[TRANS_A] ? n[M] : n[K], b,
                      n[TRANS_B] ? n[K] : n[N], 0, y + i * n[M] * n[N], n[N]);
}

static int run_gemm(const struct cpu_run *run, struct cpu_step *step,
                    struct hearth_error *err)
{
    const int64_t *n = step->n;
    const float *a = cpu_at(run, &step->refs[0]);
    const float *b = cpu_at(run, &step->refs[1]);
    float *y = cpu_at(run, &step->refs[2]);
    int64_t count = n[OUTER] * n[INNER];
    /* An attention's heads: many products too small for two threads. */
    bool apart = count > 1 && n[M] * n[N] < SMALL / n[K];
    int failed = dnnl_success; /* any of them */
    float alpha;
    memcpy(&alpha, &n[ALPHA_BITS], sizeof alpha);
#pragma omp parallel for if (apart) schedule(static) reduction(max : failed)
    for (int64_t i = 0; i < count; i++) {
        int status = one_product(n, alpha, a, b, y, i);
        failed = status > failed ? status : failed;
    }
    if (failed != dnnl_success)
        return cpu_dnnl_failed((dnnl_status_t)failed, "a matrix product", err);
    cpu_epilogue(y, cpu_at(run, &step->refs[3]), cpu_at(run, &step->refs[4]),
                 count * n[M], n[N], (enum hearth_activation)n[ACT], step->f[0],
                 step->f[1]);
    return HEARTH_OK;
}

/* ---- b packed as it comes ---- */

/* Rows from which that pays; oneDNN's own product is slow from several threads
 * at once and wakes a team for each matrix when it is called by one. */
#define PACK_FROM 16

/* Of <i>, on the calling thread; <room> is for its b. */
static void one_packed(const struct cpu_run *run, const struct cpu_step *step,
                       int64_t i, float *room)
{
    const int64_t *n = step->n, block = run->dev->block;
    int64_t outer = i / n[INNER], inner = i % n[INNER], mn = n[M] * n[N];
    const float *b = cpu_at(run, &step->refs[1]), *z;
    const struct cpu_gemm g = {
        .m = n[M],
        .n = n[N],
        .k = n[K],
        .a = (const float *)cpu_at(run, &step->refs[0]) + outer * n[A_OUTER] +
             inner * n[A_INNER],
        .a_row = n[K],
        .a_block = block,
        .b = room,
        .c = (float *)cpu_at(run, &step->refs[2]) + i * mn,
        .c_row = n[N],
        .c_block = block,
        .bias = cpu_at(run, &step->refs[3]),
        .z = (z = cpu_at(run, &step->refs[4])) != NULL ? z + i * mn : NULL,
        .act = (enum hearth_activation)n[ACT],
        .alpha = step->f[0],
        .beta = step->f[1]};
    b += outer * n[B_OUTER] + inner * n[B_INNER];
    if (n[TRANS_B])
        cpu_gemm_pack(b, 1, n[K], n[K], n[N], (int)block, room);
    else
        cpu_gemm_pack(b, n[N], 1, n[K], n[N], (int)block, room);
    cpu_gemm_run_alone(&g, (int)block);
}

/* As run_gemm, each matrix on one thread; refs: .., 5: each thread's b. */
static int run_batch(const struct cpu_run *run, struct cpu_step *step,
                     struct hearth_error *err)
{
    const int64_t *n = step->n;
    const uint64_t room =
        cpu_gemm_packed_bytes(n[K], n[N], run->dev->block) / sizeof(float);
    float *rooms = cpu_at(run, &step->refs[5]);
    (void)err;
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t i = 0; i < n[OUTER] * n[INNER]; i++) {
#ifdef _OPENMP
        int own = omp_get_thread_num();
#else
        int own = 0;
#endif
        one_packed(run, step, i, rooms + (uint64_t)own * room);
    }
    return HEARTH_OK;
}

/* Are there matrices for all threads, each worth to be packed? */
static bool is_batch(const struct lowering *l, const int64_t *n)
{
    return n[OUTER] * n[INNER] >= l->dev->threads && n[M] >= PACK_FROM &&
           !n[TRANS_A] && n[K] > 0 && cpu_gemm_can(l->dev->block);
}

/* The same with b packed; n: M, N, K, .., ACT; refs: a, b, y, bias, z, room */
static int run_packed(const struct cpu_run *run, struct cpu_step *step,
                      struct hearth_error *err)
{
    const int64_t *n = step->n, block = run->dev->block;
    const struct cpu_gemm g = {.m = n[M],
                               .n = n[N],
                               .k = n[K],
                               .a = cpu_at(run, &step->refs[0]),
                               .a_row = n[K],
                               .a_block = block,
                               .b = cpu_at(run, &step->refs[1]),
                               .c = cpu_at(run, &step->refs[2]),
                               .c_row = n[N],
                               .c_block = block,
                               .bias = cpu_at(run, &step->refs[3]),
                               .z = cpu_at(run, &step->refs[4]),
                               .room = cpu_at(run, &step->refs[5]),
                               .act = (enum hearth_activation)n[ACT],
                               .alpha = step->f[0],
                               .beta = step->f[1]};
    (void)err;
    cpu_gemm_run(&g, (int)block);
    return HEARTH_OK;
}

static int finish_gemm(struct lowering *l, struct cpu_step *step, float alpha,
                       uint32_t bias, uint32_t z, struct hearth_error *err)
{
    const struct cpu_pack *pack =
        cpu_packs_find(l->packs, input(l, 1), l->node);
    memcpy(&step->n[ALPHA_BITS], &alpha, sizeof alpha);
    put_act(l, step, ACT);
    int rc = cpu__need(l, input(l, 0), false, &step->refs[0], err);
    if (rc == HEARTH_OK && pack != NULL) {
        step->run = run_packed;
        if (l->dev->threads > 1 && step->n[M] > 1)
            step->refs[5] = cpu__buffer(
                l, cpu_gemm_room(step->n[M], step->n[K], l->dev->block));
        step->refs[1] =
            (struct cpu_ref){.place = CPU_WEIGHTS, .at = pack->offset};
    } else if (rc == HEARTH_OK) {
        rc = cpu__need(l, input(l, 1), false, &step->refs[1], err);
    }
    if (rc == HEARTH_OK && pack == NULL && alpha == 1 && is_batch(l, step->n)) {
        step->run = run_batch;
        step->refs[5] =
            cpu__buffer(l, (uint64_t)l->dev->threads *
                               cpu_gemm_packed_bytes(step->n[K], step->n[N],
                                                     l->dev->block));
        if (step->refs[5].place == CPU_NOWHERE)
            return cpu_no_memory(err);
    }
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

/* Then there is no other copy of the weights, and any number of rows will do.
 */
static bool is_packed(const struct lowering *l)
{
    return cpu_packs_find(l->packs, input(l, 1), l->node) != NULL;
}

int cpu__lower_gemm(struct lowering *l, struct hearth_error *err)
{
    const struct hearth_graph_node *node = this_node(l);
    uint32_t c = input(l, 2), bias = HEARTH_NO_VALUE, z = HEARTH_NO_VALUE;
    struct cpu_step step = {.run = run_gemm};
    const struct hearth_shape *a = &info(l, input(l, 0))->shape;
    const struct hearth_shape *y = &info(l, output(l, 0))->shape;
    bool ta = hearth_attr_int(l->g, node, HEARTH_ATTR_TRANS_A, 0) != 0;
    if (!is_packed(l) &&
        (!is_f32(l, input(l, 0)) || count_of(l, output(l, 0)) <= 0 ||
         count_of(l, input(l, 0)) <= 0))
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
    step.n[M] = y->dims[0];
    step.n[N] = y->dims[1];
    step.n[K] = ta ? a->dims[0] : a->dims[1];
    step.n[TRANS_A] = ta;
    step.n[TRANS_B] = hearth_attr_int(l->g, node, HEARTH_ATTR_TRANS_B, 0) != 0;
    step.n[OUTER] = step.n[INNER] = 1;
    return finish_gemm(
        l, &step,
        (float)hearth_attr_float(l->g, node, HEARTH_ATTR_GEMM_ALPHA, 1), bias,
        z, err);
}

/* The axes before the last two, of result and operand: the number of matrices
 * and how many elements they are apart, 0 where one serves several. Axes that
 * both operands step through as through one become one; false: more than two
 * are left. */
static bool put_batch(struct cpu_step *step, const struct hearth_shape *a,
                      const struct hearth_shape *b,
                      const struct hearth_shape *y)
{
    int64_t *n = step->n, a_step = n[M] * n[K], b_step = n[K] * n[N];
    int a_shift = y->rank - a->rank, b_shift = y->rank - b->rank, used = 0;
    n[OUTER] = n[INNER] = 1;
    n[A_OUTER] = n[A_INNER] = n[B_OUTER] = n[B_INNER] = 0;
    for (int i = y->rank - 3; i >= 0; i--) {
        int64_t a_size = i < a_shift ? 1 : a->dims[i - a_shift];
        int64_t b_size = i < b_shift ? 1 : b->dims[i - b_shift];
        int64_t a_by = a_size == 1 ? 0 : a_step;
        int64_t b_by = b_size == 1 ? 0 : b_step;
        int at = used == 2 ? OUTER : INNER;
        a_step *= a_size;
        b_step *= b_size;
        if (y->dims[i] == 1)
            continue;
        if (used > 0 && a_by == n[used == 2 ? A_OUTER : A_INNER] * n[at] &&
            b_by == n[used == 2 ? B_OUTER : B_INNER] * n[at]) {
            n[at] *= y->dims[i];
            continue;
        }
        if (used == 2)
            return false;
        bool inner = used++ == 0;
        n[inner ? INNER : OUTER] = y->dims[i];
        n[inner ? A_INNER : A_OUTER] = a_by;
        n[inner ? B_INNER : B_OUTER] = b_by;
    }
    return true;
}

int cpu__lower_matmul(struct lowering *l, struct hearth_error *err)
{
    struct cpu_step step = {.run = run_gemm};
    const struct hearth_shape *a = &info(l, input(l, 0))->shape;
    const struct hearth_shape *b = &info(l, input(l, 1))->shape;
    const struct hearth_shape *y = &info(l, output(l, 0))->shape;
    uint32_t bias = input(l, 2), z = input(l, 3);
    bool fits =
        z == HEARTH_NO_VALUE || hearth_shape_equal(&info(l, z)->shape, y);
    if (is_packed(l) && !fits)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "cpu: what is added has another shape");
    if (!is_packed(l) &&
        (!is_f32(l, input(l, 0)) || a->rank < 2 || b->rank < 2 || !fits ||
         count_of(l, output(l, 0)) <= 0 || count_of(l, input(l, 0)) <= 0))
        return cpu__lower_eval(l, err);
    step.n[M] = a->dims[a->rank - 2];
    step.n[K] = a->dims[a->rank - 1];
    step.n[N] = b->dims[b->rank - 1];
    if (count_of(l, input(l, 1)) == step.n[K] * step.n[N]) {
        /* One matrix for all rows at once. */
        step.n[M] = count_of(l, input(l, 0)) / step.n[K];
        step.n[OUTER] = step.n[INNER] = 1;
    } else if (!put_batch(&step, a, b, y)) {
        return cpu__lower_eval(l, err);
    }
    return finish_gemm(l, &step, 1, bias, z, err);
}
