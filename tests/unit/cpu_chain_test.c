/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elementwise steps that become one: random trees of them give the same bits
 * with and without, and the rows' answers; and they do become one where nobody
 * else reads what lies between, and nowhere else.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cpu.h"
#include "unit/cpu_case.h"

/* With chains, which tells of them, and without. */
static hearth_device_t devices[2];

static int open_devices(void **state)
{
    (void)state;
    cpu_open(&devices[0], "profile=on");
    cpu_open(&devices[1], "profile=on,chains=off");
    return 0;
}

static int close_devices(void **state)
{
    (void)state;
    cpu_close(&devices[0]);
    cpu_close(&devices[1]);
    return 0;
}

/* How often the log has that. */
static int told(const char *what)
{
    int times = 0;
    for (const char *at = cpu_log; (at = strstr(at, what)) != NULL; at++)
        times++;
    return times;
}

static bool same_number(float a, float b)
{
    return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

/* Runs the graph on both devices at that shape of its one input. The log is
 * that of the first. */
static void check(struct cpu_case *c, const struct hearth_shape *x,
                  bool reference, const char *what)
{
    const struct hearth_graph *g = ops_block_graph(c->block);
    struct hearth_view input = cpu_case_input(c, x), want[DEVICE_RUN_OUTPUTS];
    struct device_run runs[2];
    for (int i = 1; i >= 0; i--) {
        if (device_run_load(&runs[i], &devices[i], g, &c->weights) != HEARTH_OK)
            fail_msg("%s: load: %s", what, runs[i].error.text);
        if (device_run_execute(&runs[i], &input) != HEARTH_OK)
            fail_msg("%s: %s", what, runs[i].error.text);
    }
    for (uint32_t k = 0; k < g->output_count; k++) {
        const float *a = runs[0].outputs[k].data, *b = runs[1].outputs[k].data;
        int64_t count = 0;
        (void)hearth_shape_count(&runs[1].outputs[k].shape, &count);
        for (int64_t i = 0; i < count; i++)
            if (!same_number(a[i], b[i]))
                fail_msg("%s: output %u[%ld] is %g in a chain, else %g", what,
                         k, (long)i, (double)a[i], (double)b[i]);
    }
    if (reference) {
        cpu_case_reference(c, &input, want);
        cpu_case_compare(&runs[0], want, what);
        for (uint32_t k = 0; k < g->output_count; k++)
            free(want[k].data);
    }
    cpu_log[0] = '\0';
    device_run_unload(&runs[1]);
    if (told(" before it") != 0)
        fail_msg("%s: a chain though it was switched off", what);
    cpu_log[0] = '\0';
    device_run_unload(&runs[0]);
    free(input.data);
}

/* ---- Random trees ---- */

#define VALUES 24
struct tree {
    struct cpu_case c;
    struct hearth_shape shape;
    uint32_t values[VALUES];
    int count;
    bool wild; /* any number may come out, or none */
};

static uint32_t one(struct tree *t, enum hearth_op op, uint32_t x)
{
    return ops_block_node(t->c.block, op, 1, &x, 1);
}

static uint32_t two(struct tree *t, enum hearth_op op, uint32_t a, uint32_t b)
{
    const uint32_t in[2] = {a, b};
    return ops_block_node(t->c.block, op, 2, in, 1);
}

/* The latest more often. */
static uint32_t pick(struct tree *t)
{
    int back = (int)cpu_random(&t->c, 3) ? 0 : (int)cpu_random(&t->c, t->count);
    return t->values[t->count - 1 - back];
}

/* A weight that is broadcast, or as large as the values. */
static uint32_t broadcast(struct tree *t, float middle)
{
    int64_t dims[HEARTH_RANK_MAX], form = cpu_random(&t->c, 5);
    int rank = t->shape.rank, from = 0;
    memcpy(dims, t->shape.dims, sizeof dims);
    for (int i = 0; i < rank; i++)
        if (form == 0 ||             /* one number */
            (form == 1 && i != 1) || /* one a channel */
            (form == 2 && cpu_random(&t->c, 2)))
            dims[i] = 1;
    if (form == 0 || form == 3) /* the last axes */
        from = (int)cpu_random(&t->c, rank + (form == 0));
    return cpu_case_weight(&t->c, rank - from, dims + from, 1, middle);
}

static uint32_t add_unary(struct tree *t)
{
    static const enum hearth_op ops[] = {
        HEARTH_OP_RELU,       HEARTH_OP_SIGMOID, HEARTH_OP_TANH,
        HEARTH_OP_LEAKY_RELU, HEARTH_OP_ERF,     HEARTH_OP_HARD_SIGMOID,
        HEARTH_OP_HARD_SWISH, HEARTH_OP_GELU,    HEARTH_OP_NEG,
        HEARTH_OP_ABS,        HEARTH_OP_FLOOR,   HEARTH_OP_CEIL,
        HEARTH_OP_SQRT,       HEARTH_OP_EXP,     HEARTH_OP_LOG,
        HEARTH_OP_RECIPROCAL};
    int64_t i = cpu_random(&t->c, t->wild ? 16 : 10);
    if (ops[i] == HEARTH_OP_GELU && cpu_random(&t->c, 2))
        ops_block_string(t->c.block, HEARTH_ATTR_MODE, "tanh");
    return one(t, ops[i], pick(t));
}

static uint32_t add_clip(struct tree *t)
{
    const float low = -0.5f, high = 0.75f;
    uint32_t in[3] = {pick(t),
                      ops_block_const(t->c.block, HEARTH_F32, 0, NULL, &low),
                      ops_block_const(t->c.block, HEARTH_F32, 0, NULL, &high)};
    return ops_block_node(t->c.block, HEARTH_OP_CLIP, 3, in, 1);
}

static uint32_t add_binary(struct tree *t)
{
    static const enum hearth_op ops[] = {
        HEARTH_OP_ADD, HEARTH_OP_SUB, HEARTH_OP_MIN, HEARTH_OP_MAX,
        HEARTH_OP_MUL, HEARTH_OP_DIV, HEARTH_OP_POW};
    static const enum hearth_activation acts[] = {
        HEARTH_ACT_RELU, HEARTH_ACT_SIGMOID, HEARTH_ACT_TANH, HEARTH_ACT_GELU,
        HEARTH_ACT_SWISH};
    enum hearth_op op = ops[cpu_random(&t->c, t->wild ? 7 : 5)];
    uint32_t a = pick(t), b = pick(t);
    if (!t->wild && op == HEARTH_OP_MUL) /* no larger than it was */
        b = one(t, HEARTH_OP_TANH, b);
    if (cpu_random(&t->c, 2))
        b = broadcast(t, 0);
    if (cpu_random(&t->c, 2))
        ops_block_int(t->c.block, HEARTH_ATTR_ACTIVATION,
                      acts[cpu_random(&t->c, 5)]);
    return cpu_random(&t->c, 2) ? two(t, op, a, b) : two(t, op, b, a);
}

/* Operators whose result is near that of a number near by only there. */
static uint32_t add_careful(struct tree *t)
{
    const float square = 2;
    uint32_t v = one(t, HEARTH_OP_TANH, pick(t)), w;
    switch (cpu_random(&t->c, 5)) {
    case 0:
        w = ops_block_const(t->c.block, HEARTH_F32, 0, NULL, &square);
        return two(t, HEARTH_OP_POW, v, w);
    case 1:
        return two(t, HEARTH_OP_DIV, v, broadcast(t, 3));
    case 2:
        return one(t, HEARTH_OP_SQRT, one(t, HEARTH_OP_EXP, v));
    case 3:
        return one(t, HEARTH_OP_LOG, one(t, HEARTH_OP_EXP, v));
    default:
        return one(t, HEARTH_OP_RECIPROCAL, one(t, HEARTH_OP_EXP, v));
    }
}

/* The same bytes as one row, and back. */
static uint32_t add_views(struct tree *t)
{
    const int64_t flat = -1, ranks[] = {1, t->shape.rank};
    uint32_t s = ops_block_const(t->c.block, HEARTH_I64, 1, &ranks[0], &flat);
    uint32_t row = one(t, HEARTH_OP_NEG, two(t, HEARTH_OP_RESHAPE, pick(t), s));
    s = ops_block_const(t->c.block, HEARTH_I64, 1, &ranks[1], t->shape.dims);
    return two(t, HEARTH_OP_RESHAPE, row, s);
}

/* Its result is blocked. */
static uint32_t add_conv(struct tree *t)
{
    int64_t channels = t->shape.dims[1];
    uint32_t w = cpu_case_weight(
        &t->c, 4, (const int64_t[]){channels, channels, 1, 1}, 0.2f, 0);
    return two(t, HEARTH_OP_CONV, pick(t), w);
}

static void random_shape(struct tree *t)
{
    static const int64_t sizes[] = {1, 2, 3, 7, 16, 24, 33, 130, 700};
    int64_t count;
    do {
        t->shape.rank = 1 + (int)cpu_random(&t->c, 5);
        for (int i = 0; i < t->shape.rank; i++)
            t->shape.dims[i] = sizes[cpu_random(&t->c, 9)];
        (void)hearth_shape_count(&t->shape, &count);
    } while (count > 60000);
}

/* How many chains there were. */
static int random_tree(uint64_t seed, bool wild)
{
    static uint32_t (*const parts[])(struct tree *) = {
        add_unary,  add_unary,  add_unary,   add_clip,  add_binary,
        add_binary, add_binary, add_careful, add_views, add_conv};
    struct tree t = {.wild = wild};
    char what[32];
    cpu_case_init(&t.c, seed);
    random_shape(&t);
    t.values[t.count++] =
        ops_block_input(t.c.block, "x", HEARTH_F32, t.shape.rank, t.shape.dims);
    bool picture = t.shape.rank == 4 && t.shape.dims[1] <= 33;
    if (picture && cpu_random(&t.c, 2))
        t.values[t.count++] = add_conv(&t);
    for (int i = 0; i < 9; i++)
        t.values[t.count++] = parts[cpu_random(&t.c, picture ? 10 : 9)](&t);
    ops_block_output(t.c.block, t.values[t.count - 1]);
    if (cpu_random(&t.c, 2))
        ops_block_output(t.c.block, t.values[t.count - 3]);
    snprintf(what, sizeof what, "%s seed %u", wild ? "wild" : "tame",
             (unsigned)seed);
    cpu_tick_us = 1; /* every step takes a share */
    check(&t.c, &t.shape, !wild, what);
    cpu_tick_us = 0;
    cpu_case_free(&t.c);
    return told(" before it");
}

static void random_trees_give_the_same_bits_in_chains(void **state)
{
    (void)state;
    int chains = 0;
    for (uint64_t seed = 1; seed <= 300; seed++)
        chains += random_tree(seed, false);
    assert_true(chains > 300);
}

static void so_do_trees_with_numbers_that_are_none(void **state)
{
    (void)state;
    int chains = 0;
    for (uint64_t seed = 1; seed <= 300; seed++)
        chains += random_tree(seed, true);
    assert_true(chains > 300);
}

/* ---- What becomes one ---- */

/* x * sigmoid(x) + row, clipped, to a power, as <more> says. */
static void small_tree(struct tree *t, uint64_t seed, uint32_t *y)
{
    *t = (struct tree){.shape = {.rank = 3, .dims = {3, 40, 50}}};
    cpu_case_init(&t->c, seed);
    uint32_t x = ops_block_input(t->c.block, "x", HEARTH_F32, 3, t->shape.dims);
    uint32_t row = cpu_case_weight(&t->c, 1, &t->shape.dims[2], 1, 0);
    uint32_t v = one(t, HEARTH_OP_ERF, x);
    v = two(t, HEARTH_OP_MUL, v, one(t, HEARTH_OP_SIGMOID, v));
    y[0] = two(t, HEARTH_OP_ADD, v, row);
    y[1] = one(t, HEARTH_OP_NEG, one(t, HEARTH_OP_TANH, y[0]));
}

static int arena_of(struct tree *t, int device, uint64_t *bytes)
{
    const struct hearth_graph *g = ops_block_graph(t->c.block);
    struct hearth_footprint f = {.struct_bytes = sizeof f};
    hearth_device_t *d = &devices[device];
    int rc =
        d->plugin->model->footprint(d->dev, g, &t->c.weights, NULL, &f, NULL);
    *bytes = f.arena_bytes;
    return rc;
}

static void a_chain_is_one_step_and_takes_no_room_between(void **state)
{
    struct tree t;
    uint32_t y[2];
    uint64_t bytes;
    (void)state;
    small_tree(&t, 1, y);
    ops_block_output(t.c.block, y[1]);
    cpu_tick_us = 7;
    check(&t.c, &t.shape, true, "chain");
    cpu_tick_us = 0;
    assert_non_null(strstr(cpu_log, "(Neg, and 5 before it)"));
    assert_int_equal(told("% node "), 1);
    /* 3 x 40 x 50 numbers, to the next multiple of 64. */
    assert_int_equal(arena_of(&t, 0, &bytes), HEARTH_OK);
    assert_int_equal(bytes, 24000);
    assert_int_equal(arena_of(&t, 1, &bytes), HEARTH_OK);
    assert_true(bytes > 24000);
    cpu_case_free(&t.c);
}

static void without_memory_for_a_chain_there_is_no_plan(void **state)
{
    struct tree t;
    uint32_t y[2];
    uint64_t bytes;
    int64_t counts[2];
    (void)state;
    small_tree(&t, 3, y);
    ops_block_output(t.c.block, y[1]);
    for (int i = 0; i < 2; i++) {
        int rc = HEARTH_ENOMEM;
        for (counts[i] = 0; rc == HEARTH_ENOMEM; counts[i]++) {
            cpu_fail_at(counts[i] + 1);
            rc = arena_of(&t, i, &bytes);
            cpu_fail_at(0);
        }
        assert_int_equal(rc, HEARTH_OK);
    }
    assert_int_equal(counts[0], counts[1] + 1); /* one for the chain */
    cpu_case_free(&t.c);
}

/* By the caller, by a product, by the next chain but one; two links of one
 * chain are no others. */
static void what_others_read_is_written(void **state)
{
    static const int chains[] = {2, 2, 3, 1}, steps[] = {2, 3, 3, 1};
    (void)state;
    for (int form = 0; form < 4; form++) {
        struct tree t;
        uint32_t y[2], w;
        small_tree(&t, 2, y);
        if (form < 3)
            ops_block_output(t.c.block, y[1]);
        switch (form) {
        case 0:
            ops_block_output(t.c.block, y[0]);
            break;
        case 1:
            w = cpu_case_weight(&t.c, 2, (const int64_t[]){50, 3}, 1, 0);
            ops_block_output(t.c.block, two(&t, HEARTH_OP_MATMUL, y[0], w));
            break;
        default:
            w = two(&t, HEARTH_OP_SUB, y[1], y[0]);
            ops_block_output(t.c.block, one(&t, HEARTH_OP_ABS, w));
        }
        cpu_tick_us = 1;
        check(&t.c, &t.shape, true, "others");
        cpu_tick_us = 0;
        assert_int_equal(told(" before it"), chains[form]);
        assert_int_equal(told("% node "), steps[form]);
        cpu_case_free(&t.c);
    }
}

/* As [1,c,1,1] has another number of elements than the picture. */
static void a_row_s_own_chain_is_not_the_picture_s(void **state)
{
    struct tree t = {.shape = {.rank = 4, .dims = {2, 16, 9, 9}}};
    (void)state;
    cpu_case_init(&t.c, 4);
    uint32_t x = ops_block_input(t.c.block, "x", HEARTH_F32, 4, t.shape.dims);
    t.values[t.count++] = x;
    uint32_t v = add_conv(&t);
    uint32_t mean = one(&t, HEARTH_OP_GLOBAL_AVERAGE_POOL, v);
    mean = one(&t, HEARTH_OP_TANH, mean);
    mean = one(&t, HEARTH_OP_SIGMOID, mean);
    v = two(&t, HEARTH_OP_MUL, v, mean);
    ops_block_output(t.c.block, one(&t, HEARTH_OP_ERF, v));
    cpu_tick_us = 1;
    check(&t.c, &t.shape, true, "excite");
    cpu_tick_us = 0;
    assert_non_null(strstr(cpu_log, "(Sigmoid, and 1 before it)"));
    assert_non_null(strstr(cpu_log, "(Erf, and 1 before it)"));
    cpu_case_free(&t.c);
}

/* Concat's input is written at the place of its result: the first part where
 * that begins, though there is more of it. */
static void a_part_of_a_picture_is_not_the_picture(void **state)
{
    (void)state;
    for (int form = 0; form < 2; form++) {
        struct tree t = {.shape = {.rank = 4, .dims = {1, 32, 9, 9}}};
        cpu_case_init(&t.c, 6);
        t.values[t.count++] =
            ops_block_input(t.c.block, "x", HEARTH_F32, 4, t.shape.dims);
        uint32_t other = add_conv(&t), own = add_conv(&t);
        ops_block_output(t.c.block, own); /* and so not written over */
        own = one(&t, HEARTH_OP_TANH, own);
        ops_block_int(t.c.block, HEARTH_ATTR_AXIS, 1);
        uint32_t y = form == 0 ? two(&t, HEARTH_OP_CONCAT, own, other)
                               : two(&t, HEARTH_OP_CONCAT, other, own);
        y = one(&t, HEARTH_OP_ERF, y);
        ops_block_output(t.c.block, one(&t, HEARTH_OP_NEG, y));
        cpu_tick_us = 1;
        check(&t.c, &t.shape, true, "parts");
        cpu_tick_us = 0;
        assert_non_null(strstr(cpu_log, "(Neg, and 1 before it)"));
        assert_int_equal(told(" before it"), 1);
        cpu_case_free(&t.c);
    }
}

/* q = r[0:1] lies in r, for an attention reads it so. (x + q) * r goes over r,
 * of which q is still to be read: no chain. */
static void what_is_read_as_a_row_is_not_written_over(void **state)
{
    struct tree t = {.shape = {.rank = 3, .dims = {3, 80, 64}}};
    const int64_t one_number = 1, slice[] = {0, 1, 0};
    (void)state;
    cpu_case_init(&t.c, 7);
    uint32_t x = ops_block_input(t.c.block, "x", HEARTH_F32, 3, t.shape.dims);
    uint32_t r = one(&t, HEARTH_OP_TANH, x), in[4] = {r};
    for (int i = 0; i < 3; i++)
        in[1 + i] =
            ops_block_const(t.c.block, HEARTH_I64, 1, &one_number, &slice[i]);
    uint32_t q = ops_block_node(t.c.block, HEARTH_OP_SLICE, 4, in, 1);
    uint32_t k = cpu_case_weight(&t.c, 3, (const int64_t[]){1, 64, 5}, 1, 0);
    uint32_t v = cpu_case_weight(&t.c, 3, (const int64_t[]){1, 5, 8}, 1, 0);
    k = one(&t, HEARTH_OP_NEG, one(&t, HEARTH_OP_IDENTITY, k));
    v = one(&t, HEARTH_OP_NEG, one(&t, HEARTH_OP_IDENTITY, v));
    uint32_t scores =
        one(&t, HEARTH_OP_SOFTMAX, two(&t, HEARTH_OP_MATMUL, q, k));
    ops_block_output(t.c.block, two(&t, HEARTH_OP_MATMUL, scores, v));
    uint32_t y = two(&t, HEARTH_OP_ADD, x, q);
    ops_block_output(t.c.block, two(&t, HEARTH_OP_MUL, r, y));
    cpu_tick_us = 1;
    check(&t.c, &t.shape, true, "row");
    cpu_tick_us = 0;
    assert_null(strstr(cpu_log, "(Mul, and"));
    cpu_case_free(&t.c);
}

/* More links than a chain has room for, and more operands than a step. */
static void a_long_chain_is_cut(void **state)
{
    struct tree t = {.shape = {.rank = 1, .dims = {100}}};
    uint32_t v;
    (void)state;
    cpu_case_init(&t.c, 5);
    uint32_t x = ops_block_input(t.c.block, "x", HEARTH_F32, 1, t.shape.dims);
    v = x;
    for (int i = 0; i < 40; i++)
        v = one(&t, HEARTH_OP_NEG, v);
    for (int i = 0; i < 14; i++)
        v = two(&t, HEARTH_OP_ADD, v,
                cpu_case_weight(&t.c, 1, t.shape.dims, 1, 0));
    ops_block_output(t.c.block, v);
    cpu_tick_us = 1;
    check(&t.c, &t.shape, true, "long");
    cpu_tick_us = 0;
    /* 4 + 4 + 4 Adds, the other two with 14 Negs, 16 and 10. */
    assert_int_equal(told("Add, and 3 before it"), 3);
    assert_int_equal(told("Add, and 15 before it"), 1);
    assert_int_equal(told("Neg, and 15 before it"), 1);
    assert_int_equal(told("Neg, and 9 before it"), 1);
    cpu_case_free(&t.c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_trees_give_the_same_bits_in_chains),
        cmocka_unit_test(so_do_trees_with_numbers_that_are_none),
        cmocka_unit_test(a_chain_is_one_step_and_takes_no_room_between),
        cmocka_unit_test(without_memory_for_a_chain_there_is_no_plan),
        cmocka_unit_test(what_others_read_is_written),
        cmocka_unit_test(a_row_s_own_chain_is_not_the_picture_s),
        cmocka_unit_test(a_part_of_a_picture_is_not_the_picture),
        cmocka_unit_test(what_is_read_as_a_row_is_not_written_over),
        cmocka_unit_test(a_long_chain_is_cut),
    };
    return cmocka_run_group_tests(tests, open_devices, close_devices);
}
