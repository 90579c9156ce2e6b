/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole graphs on the CPU against the rows of ops: random ones of a net's usual
 * parts, so that blocked and plain values, views, residuals written over and
 * arena places meet in every order; and the ones that were wrong once.
 */
#include <math.h>
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

/* ---- Random nets: every value is [n, channels, SIDE, SIDE] ---- */

#define SIDE 6
#define VALUES 40
struct net {
    struct cpu_case c;
    uint32_t values[VALUES];
    int64_t channels[VALUES];
    int count;
    bool dense; /* whole blocks of channels, one picture, many Concats */
};

static const int64_t channel_counts[] = {3, 5, 8, 16, 17, 24};

static int64_t some_channels(struct net *n)
{
    return n->dense ? 16 + 16 * cpu_random(&n->c, 2)
                    : channel_counts[cpu_random(&n->c, 6)];
}

static void add(struct net *n, uint32_t value, int64_t channels)
{
    n->values[n->count] = value;
    n->channels[n->count++] = channels;
}

/* One of the values, the latest more often. */
static int pick(struct net *n)
{
    int back = (int)cpu_random(&n->c, 2) ? 0 : (int)cpu_random(&n->c, n->count);
    return n->count - 1 - back;
}

/* Another value like <i>, or <i>. */
static int like(struct net *n, int i)
{
    int from = (int)cpu_random(&n->c, n->count);
    for (int k = 0; k < n->count; k++)
        if (n->channels[(from + k) % n->count] == n->channels[i])
            return (from + k) % n->count;
    return i;
}

static uint32_t node(struct net *n, enum hearth_op op, uint32_t count,
                     const uint32_t *in)
{
    return ops_block_node(n->c.block, op, count, in, 1);
}

static void act(struct net *n)
{
    static const enum hearth_activation acts[] = {
        HEARTH_ACT_RELU,      HEARTH_ACT_SIGMOID,   HEARTH_ACT_TANH,
        HEARTH_ACT_GELU,      HEARTH_ACT_GELU_TANH, HEARTH_ACT_SWISH,
        HEARTH_ACT_HARD_SWISH};
    if (cpu_random(&n->c, 2))
        ops_block_int(n->c.block, HEARTH_ATTR_ACTIVATION,
                      acts[cpu_random(&n->c, 7)]);
}

static void add_conv(struct net *n)
{
    struct cpu_case *c = &n->c;
    int i = pick(n), z = -1;
    int64_t out = some_channels(n), k = cpu_random(c, 2) * 2 + 1;
    uint32_t in[4] = {n->values[i], 0, HEARTH_NO_VALUE, HEARTH_NO_VALUE};
    bool deep = cpu_random(c, 4) == 0;
    if (cpu_random(c, 2)) {
        z = (int)cpu_random(c, n->count);
        out = n->channels[z];
        in[3] = n->values[z];
    }
    deep = deep && (z < 0 || n->channels[z] == n->channels[i]);
    out = deep ? n->channels[i] : out;
    int64_t dims[] = {out, deep ? 1 : n->channels[i], k, k};
    in[1] = cpu_case_weight(c, 4, dims, 0.15f, 0);
    if (cpu_random(c, 2))
        in[2] = cpu_case_weight(c, 1, &out, 0.5f, 0);
    ops_block_ints(c->block, HEARTH_ATTR_PADS, 4,
                   (const int64_t[]){k / 2, k / 2, k / 2, k / 2});
    ops_block_int(c->block, HEARTH_ATTR_GROUP, deep ? out : 1);
    act(n);
    add(n, node(n, HEARTH_OP_CONV, 4, in), out);
}

static void add_unary(struct net *n)
{
    static const enum hearth_op ops[] = {HEARTH_OP_RELU, HEARTH_OP_SIGMOID,
                                         HEARTH_OP_TANH, HEARTH_OP_IDENTITY};
    int i = pick(n);
    add(n, node(n, ops[cpu_random(&n->c, 4)], 1, &n->values[i]),
        n->channels[i]);
}

static void add_binary(struct net *n)
{
    static const enum hearth_op ops[] = {HEARTH_OP_ADD, HEARTH_OP_MUL,
                                         HEARTH_OP_SUB};
    struct cpu_case *c = &n->c;
    int i = pick(n);
    uint32_t in[2] = {n->values[i], n->values[like(n, i)]};
    int64_t dims[] = {1, n->channels[i], 1, 1};
    switch (cpu_random(c, 6)) {
    case 0: /* one number a channel */
        in[1] = cpu_case_weight(c, 4, dims, 1, 0);
        break;
    case 1: /* the same from the picture, as squeeze-and-excite does */
        in[1] = node(n, HEARTH_OP_GLOBAL_AVERAGE_POOL, 1, &n->values[i]);
        break;
    case 2: /* one number */
        in[0] = cpu_case_weight(c, 0, NULL, 1, 0);
        in[1] = n->values[i];
        break;
    }
    act(n);
    add(n, node(n, ops[cpu_random(c, 3)], 2, in), n->channels[i]);
}

static void add_batchnorm(struct net *n)
{
    int i = pick(n);
    uint32_t in[5] = {n->values[i]};
    for (int k = 1; k < 5; k++)
        in[k] = cpu_case_weight(&n->c, 1, &n->channels[i], 0.4f, 0.8f);
    uint32_t y = node(n, HEARTH_OP_BATCH_NORMALIZATION, 5, in);
    int64_t form = cpu_random(&n->c, 3);
    if (form < 2) /* and who else reads it */
        add(n, node(n, HEARTH_OP_RELU, 1, &y), n->channels[i]);
    if (form > 0)
        add(n, y, n->channels[i]);
}

static void add_pool(struct net *n)
{
    int i = pick(n);
    bool max = cpu_random(&n->c, 2);
    ops_block_ints(n->c.block, HEARTH_ATTR_KERNEL_SHAPE, 2,
                   (const int64_t[]){3, 3});
    ops_block_ints(n->c.block, HEARTH_ATTR_PADS, 4,
                   (const int64_t[]){1, 1, 1, 1});
    add(n,
        node(n, max ? HEARTH_OP_MAX_POOL : HEARTH_OP_AVERAGE_POOL, 1,
             &n->values[i]),
        n->channels[i]);
}

static void add_concat(struct net *n)
{
    int i = pick(n), k = (int)cpu_random(&n->c, n->count);
    if (n->channels[i] + n->channels[k] > 48)
        return;
    ops_block_int(n->c.block, HEARTH_ATTR_AXIS, 1);
    add(n,
        node(n, HEARTH_OP_CONCAT, 2,
             (const uint32_t[]){n->values[i], n->values[k]}),
        n->channels[i] + n->channels[k]);
}

/* Of what is there from some value on, or of any. */
static void add_long_concat(struct net *n)
{
    uint32_t in[5];
    int count = 2 + (int)cpu_random(&n->c, 4), from = 0;
    bool row = cpu_random(&n->c, 2) && count <= n->count;
    int64_t channels = 0;
    if (row)
        from = (int)cpu_random(&n->c, n->count - count + 1);
    for (int k = 0; k < count; k++) {
        int i = row ? from + k : (int)cpu_random(&n->c, n->count);
        in[k] = n->values[i];
        channels += n->channels[i];
    }
    if (channels > 200)
        return;
    ops_block_int(n->c.block, HEARTH_ATTR_AXIS, cpu_random(&n->c, 2) ? 1 : -3);
    add(n, node(n, HEARTH_OP_CONCAT, (uint32_t)count, in), channels);
}

/* [n,c,s,s] -> [n,c,s*s] -> back: the same bytes under other names. */
static void add_views(struct net *n)
{
    struct ops_block *b = n->c.block;
    int i = pick(n);
    const int64_t flat[] = {0, 0, SIDE * SIDE}, back[] = {0, 0, SIDE, SIDE};
    uint32_t shape =
        ops_block_const(b, HEARTH_I64, 1, (const int64_t[]){3}, flat);
    uint32_t rows =
        node(n, HEARTH_OP_RESHAPE, 2, (const uint32_t[]){n->values[i], shape});
    if (cpu_random(&n->c, 2))
        rows = node(n, HEARTH_OP_SOFTMAX, 1, &rows);
    shape = ops_block_const(b, HEARTH_I64, 1, (const int64_t[]){4}, back);
    add(n, node(n, HEARTH_OP_RESHAPE, 2, (const uint32_t[]){rows, shape}),
        n->channels[i]);
}

static void add_transpose(struct net *n)
{
    int i = pick(n);
    ops_block_ints(n->c.block, HEARTH_ATTR_PERM, 4,
                   (const int64_t[]){0, 1, 3, 2});
    add(n, node(n, HEARTH_OP_TRANSPOSE, 1, &n->values[i]), n->channels[i]);
}

static void random_net(uint64_t seed, bool dense)
{
    static void (*const parts[])(struct net *) = {
        add_conv,   add_conv,   add_conv,     add_unary,
        add_binary, add_binary, add_concat,   add_batchnorm,
        add_pool,   add_views,  add_transpose};
    static void (*const dense_parts[])(struct net *) = {
        add_conv,  add_conv,        add_conv,       add_conv,
        add_unary, add_binary,      add_batchnorm,  add_pool,
        add_views, add_long_concat, add_long_concat};
    struct net n = {.dense = dense};
    char what[32];
    cpu_case_init(&n.c, seed);
    int64_t channels = some_channels(&n);
    struct hearth_shape x = {.rank = 4, .dims = {1, channels, SIDE, SIDE}};
    x.dims[0] = !dense && cpu_random(&n.c, 2) ? 5 : 1;
    ops_block_symbols(n.c.block, 1);
    add(&n,
        ops_block_input(
            n.c.block, "x", HEARTH_F32, 4,
            (const int64_t[]){HEARTH_DIM_SYMBOL(0), channels, SIDE, SIDE}),
        channels);
    for (int i = 0; i < 12; i++)
        (dense ? dense_parts : parts)[cpu_random(&n.c, 11)](&n);
    ops_block_output(n.c.block, n.values[n.count - 1]);
    if (n.count > 3)
        ops_block_output(n.c.block, n.values[n.count - 3]);
    uint32_t mean =
        node(&n, HEARTH_OP_GLOBAL_AVERAGE_POOL, 1, &n.values[n.count - 1]);
    ops_block_output(n.c.block, node(&n, HEARTH_OP_FLATTEN, 1, &mean));
    snprintf(what, sizeof what, "%s seed %u", dense ? "dense" : "any",
             (unsigned)seed);
    cpu_case_check(&n.c, &device, &x, what);
    cpu_case_free(&n.c);
}

static void random_nets_give_the_reference_s_answers(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 120; seed++)
        random_net(seed, false);
}

static void concats_of_what_was_written_in_place_are_right(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 250; seed++)
        random_net(seed, true);
}

/* ---- Cases ---- */

/* relu -> r; conv(view of r) + r: the sum may not go over what it reads. */
static void a_residual_is_kept_while_its_view_is_convolved(void **state)
{
    (void)state;
    struct net n = {.count = 0};
    struct hearth_shape x = {.rank = 3, .dims = {1, 4, 9}};
    cpu_case_init(&n.c, 7);
    uint32_t in = ops_block_input(n.c.block, "x", HEARTH_F32, 3, x.dims);
    uint32_t r = node(&n, HEARTH_OP_RELU, 1, &in);
    uint32_t shape =
        ops_block_const(n.c.block, HEARTH_I64, 1, (const int64_t[]){3},
                        (const int64_t[]){1, 4, 9});
    uint32_t view =
        node(&n, HEARTH_OP_RESHAPE, 2, (const uint32_t[]){r, shape});
    uint32_t w = cpu_case_weight(&n.c, 3, (const int64_t[]){4, 4, 3}, 0.5f, 0);
    ops_block_ints(n.c.block, HEARTH_ATTR_PADS, 2, (const int64_t[]){1, 1});
    ops_block_output(n.c.block,
                     node(&n, HEARTH_OP_CONV, 4,
                          (const uint32_t[]){view, w, HEARTH_NO_VALUE, r}));
    cpu_case_check(&n.c, &device, &x, "residual");
    cpu_case_free(&n.c);
}

/* conv(conv(x)) + x at sizes where Winograd's way is chosen. */
static void large_convolutions_are_right_with_and_without_winograd(void **state)
{
    static const char *const specs[] = {"winograd=off", "winograd=on"};
    (void)state;
    for (int i = 0; i < 8; i++) {
        hearth_device_t own;
        struct net n = {.count = 0};
        int64_t middle = i & 1 ? 33 : 40;
        struct hearth_shape x = {.rank = 4,
                                 .dims = {i & 2 ? 1 : 3, 24, 31, 22}};
        cpu_case_init(&n.c, 11);
        uint32_t in = ops_block_input(n.c.block, "x", HEARTH_F32, 4, x.dims);
        uint32_t v = cpu_case_weight(
            &n.c, 4, (const int64_t[]){middle, 24, 3, 3}, 0.15f, 0);
        uint32_t w = cpu_case_weight(
            &n.c, 4, (const int64_t[]){24, middle, 3, 3}, 0.15f, 0);
        uint32_t b = cpu_case_weight(&n.c, 1, &middle, 0.5f, 0);
        ops_block_ints(n.c.block, HEARTH_ATTR_PADS, 4,
                       (const int64_t[]){0, 1, 1, 1});
        ops_block_int(n.c.block, HEARTH_ATTR_ACTIVATION, HEARTH_ACT_SWISH);
        uint32_t y = node(&n, HEARTH_OP_CONV, 3, (const uint32_t[]){in, v, b});
        ops_block_ints(n.c.block, HEARTH_ATTR_PADS, 4,
                       (const int64_t[]){2, 1, 1, 1});
        ops_block_int(n.c.block, HEARTH_ATTR_ACTIVATION, HEARTH_ACT_RELU);
        y = node(&n, HEARTH_OP_CONV, 4,
                 (const uint32_t[]){y, w, HEARTH_NO_VALUE, in});
        ops_block_output(n.c.block, y);
        cpu_open(&own, specs[i / 4]);
        cpu_case_check(&n.c, &own, &x, specs[i / 4]);
        cpu_close(&own);
        cpu_case_free(&n.c);
    }
}

/* SqueezeNet's pools: the last window hangs over the end. */
static void a_pool_may_hang_over_the_end(void **state)
{
    (void)state;
    for (int64_t channels = 16; channels <= 17; channels++) {
        struct net n = {.count = 0};
        struct hearth_shape x = {.rank = 4, .dims = {1, channels, 8, 8}};
        cpu_case_init(&n.c, 3);
        uint32_t in = ops_block_input(n.c.block, "x", HEARTH_F32, 4, x.dims);
        uint32_t w = cpu_case_weight(
            &n.c, 4, (const int64_t[]){channels, channels, 1, 1}, 0.5f, 0);
        uint32_t y = node(&n, HEARTH_OP_CONV, 2, (const uint32_t[]){in, w});
        ops_block_ints(n.c.block, HEARTH_ATTR_KERNEL_SHAPE, 2,
                       (const int64_t[]){3, 3});
        ops_block_ints(n.c.block, HEARTH_ATTR_STRIDES, 2,
                       (const int64_t[]){2, 2});
        ops_block_int(n.c.block, HEARTH_ATTR_CEIL_MODE, 1);
        ops_block_output(n.c.block, node(&n, HEARTH_OP_MAX_POOL, 1, &y));
        cpu_case_check(&n.c, &device, &x, "pool");
        cpu_case_free(&n.c);
    }
}

/* As MobileNet's exports end. */
static void a_mean_over_a_picture_is_a_pool(void **state)
{
    (void)state;
    for (int form = 0; form < 4; form++) {
        struct net n = {.count = 0};
        struct hearth_shape x = {.rank = 4, .dims = {5, 16, 7, 5}};
        const int64_t axes[] = {form & 1 ? -1 : 2, form & 1 ? -2 : 3};
        cpu_case_init(&n.c, 5);
        uint32_t in = ops_block_input(n.c.block, "x", HEARTH_F32, 4, x.dims);
        uint32_t w =
            cpu_case_weight(&n.c, 4, (const int64_t[]){16, 16, 1, 1}, 0.5f, 0);
        uint32_t y = node(&n, HEARTH_OP_CONV, 2, (const uint32_t[]){in, w});
        uint32_t a = ops_block_const(n.c.block, HEARTH_I64, 1,
                                     (const int64_t[]){2}, axes);
        ops_block_int(n.c.block, HEARTH_ATTR_KEEPDIMS, form >> 1);
        ops_block_output(n.c.block, node(&n, HEARTH_OP_REDUCE_MEAN, 2,
                                         (const uint32_t[]){y, a}));
        cpu_case_check(&n.c, &device, &x, "mean");
        cpu_case_free(&n.c);
    }
}

/* No arena, no weights: the fuzzer's sanitizer saw an offset on NULL. */
static void values_of_no_elements_need_no_place(void **state)
{
    (void)state;
    struct net n = {.count = 0};
    struct hearth_shape x = {.rank = 3, .dims = {2, 0, 3}};
    cpu_case_init(&n.c, 9);
    uint32_t y = ops_block_input(n.c.block, "x", HEARTH_F32, 3, x.dims);
    y = node(&n, HEARTH_OP_ERF, 1, &y);
    y = node(&n, HEARTH_OP_ADD, 2, (const uint32_t[]){y, y});
    ops_block_output(n.c.block, node(&n, HEARTH_OP_GELU, 1, &y));
    ops_block_output(n.c.block, y);
    cpu_case_check(&n.c, &device, &x, "empty");
    cpu_case_free(&n.c);
}

/* Their e^x takes a power of two out of a sum's bits, NaN's too. */
static void what_is_not_a_number_stays_so(void **state)
{
    static const enum hearth_op ops[] = {
        HEARTH_OP_SIGMOID, HEARTH_OP_TANH,     HEARTH_OP_GELU, HEARTH_OP_ERF,
        HEARTH_OP_EXP,     HEARTH_OP_SOFTPLUS, HEARTH_OP_ELU,  HEARTH_OP_MISH};
    (void)state;
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        struct net n = {.count = 0};
        struct device_run run;
        struct hearth_shape x = {.rank = 1, .dims = {37}};
        float data[37];
        for (int k = 0; k < 37; k++)
            data[k] = k % 5 == 2 ? NAN : (float)k / 8 - 2;
        struct hearth_view in = hearth_view_dense(data, HEARTH_F32, &x);
        cpu_case_init(&n.c, 9);
        uint32_t y = ops_block_input(n.c.block, "x", HEARTH_F32, 1, x.dims);
        ops_block_output(n.c.block, node(&n, ops[i], 1, &y));
        assert_int_equal(device_run_load(&run, &device,
                                         ops_block_graph(n.c.block),
                                         &n.c.weights),
                         HEARTH_OK);
        assert_int_equal(device_run_execute(&run, &in), HEARTH_OK);
        const float *got = run.outputs[0].data;
        for (int k = 0; k < 37; k++)
            if (isnan(got[k]) != (k % 5 == 2))
                fail_msg("%s: [%d] is %g", hearth_op_name(ops[i]), k,
                         (double)got[k]);
        device_run_unload(&run);
        cpu_case_free(&n.c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_nets_give_the_reference_s_answers),
        cmocka_unit_test(concats_of_what_was_written_in_place_are_right),
        cmocka_unit_test(a_residual_is_kept_while_its_view_is_convolved),
        cmocka_unit_test(
            large_convolutions_are_right_with_and_without_winograd),
        cmocka_unit_test(a_pool_may_hang_over_the_end),
        cmocka_unit_test(a_mean_over_a_picture_is_a_pool),
        cmocka_unit_test(values_of_no_elements_need_no_place),
        cmocka_unit_test(what_is_not_a_number_stays_so),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
