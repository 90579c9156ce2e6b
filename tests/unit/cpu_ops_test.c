/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPU's operators at random shapes against their rows of ops: odd channel
 * counts, batches of 1 and 5, everything that import fuses. ONNX's own cases of
 * every operator are in device_ops_test.c; a failure names its seed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "unit/cpu_case.h"

static hearth_device_t device;

static int open_device(void **state)
{
    (void)state;
    cpu_open(&device, "");
    return 0;
}

static int close_device(void **state)
{
    (void)state;
    cpu_close(&device);
    return 0;
}

static const int64_t channel_counts[] = {1, 3, 5, 8, 16, 17, 24, 32};

static int64_t channels(struct cpu_case *c)
{
    return channel_counts[cpu_random(c, 8)];
}

static int64_t batch(struct cpu_case *c)
{
    return cpu_random(c, 2) ? 5 : 1;
}

static void put_random_act(struct cpu_case *c)
{
    int64_t act = cpu_random(c, 5);
    const double low = -0.5, high = 0.75;
    if (act == HEARTH_ACT_NONE)
        return;
    ops_block_int(c->block, HEARTH_ATTR_ACTIVATION, act);
    if (act != HEARTH_ACT_CLIP)
        return;
    /* One limit, or both. */
    int64_t limits = cpu_random(c, 3);
    if (limits != 1)
        ops_block_floats(c->block, HEARTH_ATTR_ALPHA, 1, &low);
    if (limits != 2)
        ops_block_floats(c->block, HEARTH_ATTR_BETA, 1, &high);
}

/* ---- Conv and pools ---- */

struct conv {
    int rank;
    struct hearth_shape x, w, y;
    int64_t strides[3], dilations[3], pads[6], kernel[3], groups;
};

static void random_conv(struct cpu_case *c, struct conv *v)
{
    static const int64_t groups[] = {1, 1, 1, 0, 2, 8};
    int64_t in = channels(c), out = channels(c);
    v->rank = (int)(cpu_random(c, 4) ? 2 : 1 + cpu_random(c, 3));
    v->groups = groups[cpu_random(c, 6)];
    if (v->groups == 0)
        v->groups = out = in; /* depthwise */
    if (in % v->groups != 0 || out % v->groups != 0)
        v->groups = 1;
    v->x = (struct hearth_shape){.rank = v->rank + 2, .dims = {batch(c), in}};
    v->w = (struct hearth_shape){.rank = v->rank + 2,
                                 .dims = {out, in / v->groups}};
    v->y = v->x;
    v->y.dims[1] = out;
    for (int i = 0; i < v->rank; i++) {
        v->kernel[i] = 1 + cpu_random(c, 4);
        v->strides[i] = 1 + cpu_random(c, 2);
        v->dilations[i] = 1 + (cpu_random(c, 4) == 0);
        v->pads[i] = cpu_random(c, v->kernel[i]);
        v->pads[v->rank + i] = cpu_random(c, v->kernel[i]);
        v->w.dims[i + 2] = v->kernel[i];
        v->x.dims[i + 2] = (v->rank == 3 ? 8 : 9) + cpu_random(c, 12);
        v->y.dims[i + 2] =
            (v->x.dims[i + 2] + v->pads[i] + v->pads[v->rank + i] -
             (v->kernel[i] - 1) * v->dilations[i] - 1) /
                v->strides[i] +
            1;
    }
}

static void put_window(struct cpu_case *c, const struct conv *v)
{
    uint32_t rank = (uint32_t)v->rank;
    ops_block_ints(c->block, HEARTH_ATTR_KERNEL_SHAPE, rank, v->kernel);
    ops_block_ints(c->block, HEARTH_ATTR_STRIDES, rank, v->strides);
    ops_block_ints(c->block, HEARTH_ATTR_DILATIONS, rank, v->dilations);
    ops_block_ints(c->block, HEARTH_ATTR_PADS, 2 * rank, v->pads);
}

static void check_conv(struct cpu_case *c, const struct conv *v,
                       const char *what)
{
    uint32_t in[4] = {0, 0, HEARTH_NO_VALUE, HEARTH_NO_VALUE}, count = 2;
    struct hearth_shape shapes[2] = {v->x, v->y};
    in[0] = ops_block_input(c->block, "x", HEARTH_F32, v->x.rank, v->x.dims);
    in[1] = cpu_case_weight(c, v->w.rank, v->w.dims, 0.3f, 0);
    if (cpu_random(c, 2)) {
        in[2] = cpu_case_weight(c, 1, v->w.dims, 1, 0);
        count = 3;
    }
    if (cpu_random(c, 2)) {
        in[3] =
            ops_block_input(c->block, "z", HEARTH_F32, v->y.rank, v->y.dims);
        count = 4;
    }
    put_window(c, v);
    ops_block_int(c->block, HEARTH_ATTR_GROUP, v->groups);
    put_random_act(c);
    ops_block_output(c->block,
                     ops_block_node(c->block, HEARTH_OP_CONV, count, in, 1));
    cpu_case_check(c, &device, shapes, what);
}

static void conv_at_random(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct cpu_case c;
        struct conv v;
        char what[32];
        cpu_case_init(&c, seed);
        random_conv(&c, &v);
        snprintf(what, sizeof what, "seed %u", (unsigned)seed);
        check_conv(&c, &v, what);
        cpu_case_free(&c);
    }
}

/* Some of them together do. */
static void groups_that_fill_no_block(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct cpu_case c;
        struct conv v;
        char what[32];
        cpu_case_init(&c, seed);
        do
            random_conv(&c, &v);
        while (v.rank != 2);
        v.groups = INT64_C(1) << (1 + cpu_random(&c, 4));
        v.w.dims[1] = INT64_C(2) << cpu_random(&c, 3);
        v.x.dims[1] = v.groups * v.w.dims[1];
        v.w.dims[0] = v.y.dims[1] =
            v.groups * (INT64_C(2) << cpu_random(&c, 3));
        snprintf(what, sizeof what, "seed %u", (unsigned)seed);
        check_conv(&c, &v, what);
        cpu_case_free(&c);
    }
}

/* The first layers of networks. */
static void wide_windows_over_few_channels(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct cpu_case c;
        struct conv v = {.rank = 2, .groups = 1, .dilations = {1, 1}};
        char what[32];
        cpu_case_init(&c, seed);
        int64_t out = 8 * (1 + cpu_random(&c, 6)) + (seed % 5 == 0);
        v.x = (struct hearth_shape){
            .rank = 4, .dims = {1 + cpu_random(&c, 2), 1 + cpu_random(&c, 4)}};
        v.w = (struct hearth_shape){.rank = 4, .dims = {out, v.x.dims[1]}};
        v.y = (struct hearth_shape){.rank = 4, .dims = {v.x.dims[0], out}};
        for (int i = 0; i < 2; i++) {
            v.kernel[i] = 9 + cpu_random(&c, 4);
            v.strides[i] = 2 + cpu_random(&c, 3);
            v.pads[i] = cpu_random(&c, 4);
            v.pads[i + 2] = cpu_random(&c, 4);
            v.w.dims[i + 2] = v.kernel[i];
            v.x.dims[i + 2] = 20 + cpu_random(&c, 60);
            v.y.dims[i + 2] =
                (v.x.dims[i + 2] + v.pads[i] + v.pads[i + 2] - v.kernel[i]) /
                    v.strides[i] +
                1;
        }
        snprintf(what, sizeof what, "seed %u", (unsigned)seed);
        check_conv(&c, &v, what);
        cpu_case_free(&c);
    }
}

static void pools_at_random(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 80; seed++) {
        struct cpu_case c;
        struct conv v;
        char what[32];
        cpu_case_init(&c, seed);
        random_conv(&c, &v);
        uint32_t x =
            ops_block_input(c.block, "x", HEARTH_F32, v.x.rank, v.x.dims);
        bool max = cpu_random(&c, 2);
        put_window(&c, &v);
        ops_block_int(c.block, HEARTH_ATTR_CEIL_MODE, cpu_random(&c, 2));
        if (!max)
            ops_block_int(c.block, HEARTH_ATTR_COUNT_INCLUDE_PAD,
                          cpu_random(&c, 2));
        ops_block_output(c.block, ops_block_node(c.block,
                                                 max ? HEARTH_OP_MAX_POOL
                                                     : HEARTH_OP_AVERAGE_POOL,
                                                 1, &x, 1));
        snprintf(what, sizeof what, "seed %u", (unsigned)seed);
        cpu_case_check(&c, &device, &v.x, what);
        cpu_case_free(&c);
    }
}

/* ---- Two operands ---- */

static void broadcasting_at_random(void **state)
{
    static const enum hearth_op ops[] = {HEARTH_OP_ADD, HEARTH_OP_SUB,
                                         HEARTH_OP_MUL, HEARTH_OP_DIV};
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct cpu_case c;
        struct hearth_shape shapes[2] = {{0}};
        char what[32];
        uint32_t in[2];
        cpu_case_init(&c, seed);
        int rank = (int)cpu_random(&c, 7);
        int64_t dims[8];
        for (int i = 0; i < rank; i++)
            dims[i] = 1 + cpu_random(&c, rank < 3 ? 300 : 9);
        bool swap = cpu_random(&c, 2);
        for (int k = 0; k < 2; k++) {
            int cut = k == swap ? 0 : (int)cpu_random(&c, rank + 1);
            shapes[k].rank = rank - cut;
            for (int i = cut; i < rank; i++)
                shapes[k].dims[i - cut] =
                    k == swap || cpu_random(&c, 2) ? dims[i] : 1;
        }
        in[0] = ops_block_input(c.block, "a", HEARTH_F32, shapes[0].rank,
                                shapes[0].dims);
        /* A divisor far from zero. */
        in[1] = cpu_case_weight(&c, shapes[1].rank, shapes[1].dims, 1, 3);
        put_random_act(&c);
        ops_block_output(
            c.block, ops_block_node(c.block, ops[cpu_random(&c, 4)], 2, in, 1));
        snprintf(what, sizeof what, "seed %u", (unsigned)seed);
        cpu_case_check(&c, &device, shapes, what);
        cpu_case_free(&c);
    }
}

static void batchnorm_at_random(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct cpu_case c;
        char what[32];
        uint32_t in[5];
        const double epsilon = 1e-3;
        cpu_case_init(&c, seed);
        struct hearth_shape x = {.rank = 2 + (int)cpu_random(&c, 4),
                                 .dims = {batch(&c), channels(&c), 4, 3, 2}};
        in[0] = ops_block_input(c.block, "x", HEARTH_F32, x.rank, x.dims);
        for (int k = 1; k < 5; k++)
            in[k] = cpu_case_weight(&c, 1, &x.dims[1], 0.5f, 1);
        ops_block_floats(c.block, HEARTH_ATTR_EPSILON, 1, &epsilon);
        ops_block_output(
            c.block,
            ops_block_node(c.block, HEARTH_OP_BATCH_NORMALIZATION, 5, in, 1));
        snprintf(what, sizeof what, "seed %u", (unsigned)seed);
        cpu_case_check(&c, &device, &x, what);
        cpu_case_free(&c);
    }
}

/* ---- Gemm, MatMul ---- */

static void gemm_at_random(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct cpu_case c;
        char what[32];
        uint32_t in[3], count = 2;
        cpu_case_init(&c, seed);
        int64_t m = batch(&c), n = 1 + cpu_random(&c, 40);
        int64_t k = 1 + cpu_random(&c, 70);
        bool ta = cpu_random(&c, 3) == 0, tb = cpu_random(&c, 2);
        struct hearth_shape a = {.rank = 2, .dims = {ta ? k : m, ta ? m : k}};
        const double alpha = cpu_random(&c, 2) ? 1 : 0.5;
        const double beta = cpu_random(&c, 3) ? 1 : 0.25;
        const int64_t c_dims[][2] = {{n, 0}, {1, n}, {m, n}, {m, 1}, {1, 0}};
        in[0] = ops_block_input(c.block, "a", HEARTH_F32, 2, a.dims);
        in[1] = cpu_case_weight(
            &c, 2, (const int64_t[]){tb ? n : k, tb ? k : n}, 0.3f, 0);
        int64_t form = cpu_random(&c, 6);
        if (form < 5) {
            in[2] = cpu_case_weight(&c, c_dims[form][1] == 0 ? 1 : 2,
                                    c_dims[form], 1, 0);
            count = 3;
        }
        ops_block_floats(c.block, HEARTH_ATTR_GEMM_ALPHA, 1, &alpha);
        ops_block_floats(c.block, HEARTH_ATTR_GEMM_BETA, 1, &beta);
        ops_block_int(c.block, HEARTH_ATTR_TRANS_A, ta);
        ops_block_int(c.block, HEARTH_ATTR_TRANS_B, tb);
        put_random_act(&c);
        ops_block_output(c.block,
                         ops_block_node(c.block, HEARTH_OP_GEMM, count, in, 1));
        snprintf(what, sizeof what, "seed %u", (unsigned)seed);
        cpu_case_check(&c, &device, &a, what);
        cpu_case_free(&c);
    }
}

static void matmul_at_random(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct cpu_case c;
        char what[32];
        uint32_t in[4] = {0, 0, HEARTH_NO_VALUE, HEARTH_NO_VALUE}, count = 2;
        cpu_case_init(&c, seed);
        int64_t m = 1 + cpu_random(&c, seed % 2 ? 9 : 60);
        int64_t n = 1 + cpu_random(&c, 40), k = 1 + cpu_random(&c, 70);
        int a_rank = 1 + (int)cpu_random(&c, 4), b_rank = 1;
        b_rank += (int)cpu_random(&c, 4);
        struct hearth_shape shapes[3] = {{.rank = a_rank}, {.rank = b_rank}};
        for (int i = 0; i < a_rank; i++)
            shapes[0].dims[i] = i == a_rank - 1     ? k
                                : i == a_rank - 2   ? m
                                : cpu_random(&c, 3) ? 3
                                                    : 1;
        for (int i = 0; i < b_rank; i++)
            shapes[1].dims[i] = i == b_rank - 1 && b_rank > 1    ? n
                                : i == b_rank - 2 || b_rank == 1 ? k
                                : cpu_random(&c, 3)              ? 3
                                                                 : 1;
        in[0] =
            ops_block_input(c.block, "a", HEARTH_F32, a_rank, shapes[0].dims);
        in[1] =
            ops_block_input(c.block, "b", HEARTH_F32, b_rank, shapes[1].dims);
        if (b_rank > 1 && a_rank > 1 && cpu_random(&c, 2)) {
            in[2] = cpu_case_weight(&c, 1, &n, 1, 0);
            count = 3;
        }
        put_random_act(&c);
        ops_block_output(
            c.block, ops_block_node(c.block, HEARTH_OP_MATMUL, count, in, 1));
        snprintf(what, sizeof what, "seed %u", (unsigned)seed);
        cpu_case_check(&c, &device, shapes, what);
        cpu_case_free(&c);
    }
}

static void one_number_out_for_each_in(void **state)
{
    static const enum hearth_op ops[] = {HEARTH_OP_RELU, HEARTH_OP_SIGMOID,
                                         HEARTH_OP_TANH, HEARTH_OP_SOFTMAX,
                                         HEARTH_OP_GLOBAL_AVERAGE_POOL};
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct cpu_case c;
        char what[32];
        cpu_case_init(&c, seed);
        struct hearth_shape x = {.rank = 3 + (int)cpu_random(&c, 2),
                                 .dims = {batch(&c), channels(&c), 0, 0}};
        x.dims[2] = 1 + cpu_random(&c, 90);
        x.dims[3] = 1 + cpu_random(&c, 90);
        uint32_t in = ops_block_input(c.block, "x", HEARTH_F32, x.rank, x.dims);
        enum hearth_op op = ops[seed % 5];
        if (op == HEARTH_OP_SOFTMAX)
            ops_block_int(c.block, HEARTH_ATTR_AXIS, cpu_random(&c, x.rank));
        ops_block_output(c.block, ops_block_node(c.block, op, 1, &in, 1));
        snprintf(what, sizeof what, "seed %u", (unsigned)seed);
        cpu_case_check(&c, &device, &x, what);
        cpu_case_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv_at_random),
        cmocka_unit_test(groups_that_fill_no_block),
        cmocka_unit_test(wide_windows_over_few_channels),
        cmocka_unit_test(pools_at_random),
        cmocka_unit_test(broadcasting_at_random),
        cmocka_unit_test(batchnorm_at_random),
        cmocka_unit_test(gemm_at_random),
        cmocka_unit_test(matmul_at_random),
        cmocka_unit_test(one_number_out_for_each_in),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
