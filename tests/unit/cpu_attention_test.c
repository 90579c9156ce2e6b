/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention written as exporters write it, MatMul, scale, mask, Softmax,
 * MatMul between views, against the rows of ops: in every form that becomes one
 * step, and in those that must not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "unit/cpu_case.h"

static hearth_device_t device;

static int open_device(void **state)
{
    (void)state;
    cpu_open(&device, "profile=on");
    return 0;
}

static int close_device(void **state)
{
    (void)state;
    cpu_close(&device);
    return 0;
}

struct form {
    struct cpu_case c;
    int64_t batch, heads, rows, words, depth;
    bool apart; /* no one step: the scores are an output, or the mask is the
                   same for all words */
};

static uint32_t node(struct form *f, enum hearth_op op, uint32_t count,
                     const uint32_t *in)
{
    return ops_block_node(f->c.block, op, count, in, 1);
}

static uint32_t ints(struct form *f, int64_t count, const int64_t *values)
{
    return ops_block_const(f->c.block, HEARTH_I64, 1, &count, values);
}

/* [b, size, 3*h*d]'s part <i> as [b,h,size,d], or [b,h,d,size]. */
static uint32_t head_of(struct form *f, uint32_t x, int64_t i, int64_t size,
                        bool upright)
{
    const int64_t width = f->heads * f->depth;
    const int64_t from = i * width, to = from + width, axis = 2;
    const int64_t shape[] = {f->batch, size, f->heads, f->depth};
    const uint32_t cut[] = {x, ints(f, 1, &from), ints(f, 1, &to),
                            ints(f, 1, &axis)};
    x = node(f, HEARTH_OP_SLICE, 4, cut);
    x = node(f, HEARTH_OP_RESHAPE, 2, (const uint32_t[]){x, ints(f, 4, shape)});
    ops_block_ints(f->c.block, HEARTH_ATTR_PERM, 4,
                   upright ? (const int64_t[]){0, 2, 3, 1}
                           : (const int64_t[]){0, 2, 1, 3});
    return node(f, HEARTH_OP_TRANSPOSE, 1, &x);
}

static uint32_t scaled(struct form *f, uint32_t x)
{
    int64_t how = cpu_random(&f->c, 4);
    const float by[] = {0.25f, 4};
    if (how > 1)
        return x;
    uint32_t in[2] = {
        x, ops_block_const(f->c.block, HEARTH_F32, 0, NULL, &by[how])};
    if (how == 0 && cpu_random(&f->c, 2)) { /* in the other order */
        in[0] = in[1];
        in[1] = x;
    }
    return node(f, how == 0 ? HEARTH_OP_MUL : HEARTH_OP_DIV, 2, in);
}

static uint32_t masked(struct form *f, uint32_t x)
{
    const int64_t shapes[][4] = {{f->batch, 1, 1, f->words},
                                 {1, 1, f->rows, f->words},
                                 {1, f->heads, f->rows, f->words},
                                 {f->batch, f->heads, f->rows, f->words},
                                 {f->words, 0, 0, 0},
                                 {1, 1, f->rows, 1}};
    int64_t form = cpu_random(&f->c, 9);
    if (form > 5)
        return x;
    f->apart = f->apart || (form == 5 && f->words > 1);
    uint32_t in[2] = {
        x, cpu_case_weight(&f->c, form == 4 ? 1 : 4, shapes[form], 3, 0)};
    if (cpu_random(&f->c, 2)) {
        in[0] = in[1];
        in[1] = x;
    }
    return node(f, HEARTH_OP_ADD, 2, in);
}

static void put_attention(struct form *f, uint32_t q, uint32_t k, uint32_t v,
                          bool turned)
{
    uint32_t s = node(f, HEARTH_OP_MATMUL, 2, (const uint32_t[]){q, k});
    const bool seen = f->apart;
    s = masked(f, scaled(f, s));
    if (seen)
        ops_block_output(f->c.block, s);
    ops_block_int(f->c.block, HEARTH_ATTR_AXIS, cpu_random(&f->c, 2) ? 3 : -1);
    s = node(f, HEARTH_OP_SOFTMAX, 1, &s);
    uint32_t y = node(f, HEARTH_OP_MATMUL, 2, (const uint32_t[]){s, v});
    if (turned) {
        const int64_t flat[] = {f->batch, f->rows, f->heads * f->depth};
        ops_block_ints(f->c.block, HEARTH_ATTR_PERM, 4,
                       (const int64_t[]){0, 2, 1, 3});
        y = node(f, HEARTH_OP_TRANSPOSE, 1, &y);
        y = node(f, HEARTH_OP_RESHAPE, 2,
                 (const uint32_t[]){y, ints(f, 3, flat)});
    }
    ops_block_output(f->c.block, node(f, HEARTH_OP_TANH, 1, &y));
}

static void attention_at_random(uint64_t seed)
{
    struct form f;
    char what[32];
    memset(&f, 0, sizeof f);
    cpu_case_init(&f.c, seed);
    f.batch = 1 + cpu_random(&f.c, 2);
    f.heads = 1 + cpu_random(&f.c, 3);
    f.rows = 1 + cpu_random(&f.c, 70);
    f.depth = 1 + cpu_random(&f.c, 40);
    f.apart = cpu_random(&f.c, 5) == 0;
    bool own = cpu_random(&f.c, 2); /* q's rows are k's, too */
    f.words = own ? f.rows : 1 + cpu_random(&f.c, 70);
    const int64_t width = 3 * f.heads * f.depth;
    struct hearth_shape x[2] = {{.rank = 3, .dims = {f.batch, f.rows, width}},
                                {.rank = 3, .dims = {f.batch, f.words, width}}};
    uint32_t in[2];
    for (int i = 0; i < (own ? 1 : 2); i++)
        in[i] = ops_block_input(f.c.block, "x", HEARTH_F32, 3, x[i].dims);
    in[1] = own ? in[0] : in[1];
    /* The product's own buffer, not the caller's. */
    in[0] = node(&f, HEARTH_OP_TANH, 1, &in[0]);
    uint32_t q = head_of(&f, in[0], 0, f.rows, false);
    uint32_t k = head_of(&f, in[1], 1, f.words, true);
    uint32_t v = head_of(&f, in[1], 2, f.words, false);
    if (cpu_random(&f.c, 4) == 0) /* somebody else reads the view */
        ops_block_output(f.c.block, node(&f, HEARTH_OP_EXP, 1, &k));
    put_attention(&f, q, k, v, cpu_random(&f.c, 3) > 0);
    cpu_log[0] = '\0';
    snprintf(what, sizeof what, "seed %u", (unsigned)seed);
    cpu_case_check(&f.c, &device, x, what);
    if ((strstr(cpu_log, "(Softmax)") != NULL) != f.apart)
        fail_msg("%s: %s", what, cpu_log);
    cpu_case_free(&f.c);
}

static void attentions_of_every_form_are_right(void **state)
{
    (void)state;
    cpu_tick_us = 3;
    for (uint64_t seed = 1; seed <= 200; seed++)
        attention_at_random(seed);
    cpu_tick_us = 0;
}

/* Three axes, and operands that no view made. */
static void attention_without_heads_is_right(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cpu_case c;
        cpu_case_init(&c, seed);
        const int64_t b = 1 + cpu_random(&c, 3), m = 1 + cpu_random(&c, 60);
        const int64_t d = 1 + cpu_random(&c, 40), n = 1 + cpu_random(&c, 60);
        const struct hearth_shape x[3] = {{.rank = 3, .dims = {b, m, d}},
                                          {.rank = 3, .dims = {b, d, n}},
                                          {.rank = 3, .dims = {b, n, d}}};
        uint32_t in[3];
        for (int i = 0; i < 3; i++)
            in[i] = ops_block_input(c.block, "x", HEARTH_F32, 3, x[i].dims);
        uint32_t s = ops_block_node(c.block, HEARTH_OP_MATMUL, 2, in, 1);
        s = ops_block_node(c.block, HEARTH_OP_SOFTMAX, 1, &s, 1);
        ops_block_output(c.block,
                         ops_block_node(c.block, HEARTH_OP_MATMUL, 2,
                                        (const uint32_t[]){s, in[2]}, 1));
        cpu_case_check(&c, &device, x, "three axes");
        cpu_case_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attentions_of_every_form_are_right),
        cmocka_unit_test(attention_without_heads_is_right),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
