/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The interpreter: sizes that only data tell, control flow, its arena, and what
 * it does with blocks that nobody sane wrote. What the operators mean is also
 * tested by tests/conformance.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ops/ops_impl.h"
#include "unit/ops_block.h"

#define OUTPUTS 8

static const int64_t scalar[1]; /* dims of rank 0 */

struct run {
    struct hearth_interp interp;
    struct hearth_view inputs[4], outputs[OUTPUTS];
    uint64_t steps, most_steps; /* looks of <pause>; 0: no limit */
    int tries;
    struct hearth_error err;
};

static int alloc_output(void *ctx, uint32_t i, enum hearth_dtype dtype,
                        const struct hearth_shape *shape, void **data)
{
    struct run *r = ctx;
    uint64_t bytes;
    assert_true(i < OUTPUTS && hearth_shape_bytes(shape, dtype, &bytes));
    assert_null(r->outputs[i].data);
    *data = malloc(bytes + 1);
    r->outputs[i] = hearth_view_dense(*data, dtype, shape);
    return HEARTH_OK;
}

static int step(void *ctx, struct hearth_error *err)
{
    struct run *r = ctx;
    if (r->most_steps > 0 && ++r->steps > r->most_steps)
        return hearth_fail(err, HEARTH_ETIMEOUT, "enough");
    return HEARTH_OK;
}

static void drop(struct run *r)
{
    for (int i = 0; i < OUTPUTS; i++) {
        free(r->outputs[i].data);
        r->outputs[i].data = NULL;
    }
}

/* Runs <g> in an arena of exactly <bytes>, so that a sanitizer sees its end. */
static int run_in(struct run *r, const struct hearth_graph *g, uint64_t bytes)
{
    struct hearth_shape shapes[4];
    struct hearth_spec spec;
    for (uint32_t k = 0; k < g->input_count; k++)
        shapes[k] = r->inputs[k].shape;
    memset(&r->err, 0, sizeof r->err);
    int rc = hearth_spec_create(&spec, g, NULL, shapes, &r->err);
    if (rc != HEARTH_OK)
        return rc;
    char *arena = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    assert_non_null(arena);
    memset(arena, 0xff, bytes);
    r->interp = (struct hearth_interp){.graph = g,
                                       .spec = &spec,
                                       .inputs = r->inputs,
                                       .arena = arena,
                                       .arena_bytes = bytes,
                                       .ctx = r,
                                       .pause = step,
                                       .alloc_output = alloc_output};
    r->steps = 0;
    rc = hearth_interp_run(&r->interp, &r->err);
    free(arena);
    hearth_spec_destroy(&spec);
    if (rc != HEARTH_OK)
        drop(r);
    return rc;
}

/* As a device does, beginning with next to nothing. */
static int run_graph(struct run *r, const struct hearth_graph *g)
{
    uint64_t bytes = 0;
    assert_int_equal(hearth_graph_check(g, g->bytes, &r->err), HEARTH_OK);
    for (r->tries = 0; r->tries < 1000; r->tries++) {
        int rc = run_in(r, g, bytes);
        if (rc != HEARTH_EAGAIN || r->interp.need_bytes > 1 << 24)
            return rc;
        assert_true(r->interp.need_bytes > bytes);
        bytes = r->interp.need_bytes;
    }
    fail_msg("the arena grows without end");
    return -1;
}

static void give(struct run *r, int k, enum hearth_dtype dtype, int rank,
                 const int64_t *dims, const void *data)
{
    struct hearth_shape s = {.rank = rank};
    for (int i = 0; i < rank; i++)
        s.dims[i] = dims[i];
    r->inputs[k] = hearth_view_dense((void *)(uintptr_t)data, dtype, &s);
}

static void want(struct run *r, int k, enum hearth_dtype dtype, int rank,
                 const int64_t *dims, const void *data)
{
    const struct hearth_view *y = &r->outputs[k];
    struct hearth_shape s = {.rank = rank};
    uint64_t bytes;
    for (int i = 0; i < rank; i++)
        s.dims[i] = dims[i];
    assert_int_equal(y->dtype, dtype);
    char text[100];
    if (!hearth_shape_equal(&s, &y->shape))
        fail_msg("output %d is %s", k,
                 hearth_shape_text(&y->shape, text, sizeof text));
    assert_true(hearth_shape_bytes(&s, dtype, &bytes));
    if (bytes > 0)
        assert_memory_equal(y->data, data, bytes);
}

/* ---- Sizes that data tell ---- */

static void a_shape_that_is_an_input_is_taken(void **state)
{
    (void)state;
    static const float x[6] = {0, 1, 2, 3, 4, 5};
    struct run r = {0};
    struct ops_block *b = ops_block_new();
    uint32_t in[2];
    in[0] = ops_block_input(b, "x", HEARTH_F32, 1, (const int64_t[]){6});
    in[1] = ops_block_input(b, "s", HEARTH_I64, 1, (const int64_t[]){2});
    uint32_t y = ops_block_node(b, HEARTH_OP_RESHAPE, 2, in, 1);
    ops_block_output(b, ops_block_node(b, HEARTH_OP_RELU, 1, &y, 1));
    ops_block_output(b, y);
    give(&r, 0, HEARTH_F32, 1, (const int64_t[]){6}, x);
    give(&r, 1, HEARTH_I64, 1, (const int64_t[]){2}, (const int64_t[]){-1, 2});
    assert_int_equal(run_graph(&r, ops_block_graph(b)), HEARTH_OK);
    want(&r, 0, HEARTH_F32, 2, (const int64_t[]){3, 2}, x);
    want(&r, 1, HEARTH_F32, 2, (const int64_t[]){3, 2}, x);
    drop(&r);
    give(&r, 1, HEARTH_I64, 1, (const int64_t[]){2}, (const int64_t[]){4, 2});
    assert_int_not_equal(run_graph(&r, ops_block_graph(b)), HEARTH_OK);
    assert_non_null(strstr(r.err.text, "(Reshape)"));
    ops_block_free(b);
}

/* Of a scalar, whose copies' shape is known whatever the repeats say. */
static void repeats_have_one_number_for_each_axis(void **state)
{
    (void)state;
    static const int32_t two = 2;
    int64_t repeats = 2;
    for (int i = 0; i < 2; i++) {
        struct run r = {0};
        struct ops_block *b = ops_block_new();
        uint32_t in[2];
        in[0] = ops_block_input(b, "x", HEARTH_I32, 0, scalar);
        in[1] = ops_block_input(b, "r", HEARTH_I64, i, (const int64_t[]){1});
        ops_block_output(b, ops_block_node(b, HEARTH_OP_TILE, 2, in, 1));
        give(&r, 0, HEARTH_I32, 0, NULL, &two);
        give(&r, 1, HEARTH_I64, i, (const int64_t[]){1}, &repeats);
        assert_int_equal(run_graph(&r, ops_block_graph(b)), HEARTH_ESHAPE);
        assert_non_null(strstr(r.err.text, "repeats"));
        ops_block_free(b);
    }
}

/* As with repeats: no axis, and one size. */
static void sizes_are_one_for_each_axis(void **state)
{
    (void)state;
    static const int32_t two = 2;
    struct run r = {0};
    struct ops_block *b = ops_block_new();
    uint32_t in[2];
    in[0] = ops_block_input(b, "x", HEARTH_I32, 0, scalar);
    in[1] = ops_block_input(b, "sizes", HEARTH_I32, 0, scalar);
    ops_block_output(b, ops_block_node(b, HEARTH_OP_CENTER_CROP_PAD, 2, in, 1));
    give(&r, 0, HEARTH_I32, 0, NULL, &two);
    give(&r, 1, HEARTH_I32, 0, NULL, &two);
    assert_int_equal(run_graph(&r, ops_block_graph(b)), HEARTH_ESHAPE);
    ops_block_free(b);
}

/* Its end is known, its start is a vector of none. */
static void a_range_starts_somewhere(void **state)
{
    (void)state;
    static const int64_t one = 1, three = 3;
    struct run r = {0};
    struct ops_block *b = ops_block_new();
    uint32_t in[3];
    in[0] = ops_block_input(b, "start", HEARTH_I64, 1, (const int64_t[]){0});
    in[1] = ops_block_const(b, HEARTH_I64, 0, scalar, &three);
    in[2] = ops_block_const(b, HEARTH_I64, 0, scalar, &one);
    ops_block_output(b, ops_block_node(b, HEARTH_OP_RANGE, 3, in, 1));
    give(&r, 0, HEARTH_I64, 1, (const int64_t[]){0}, &one);
    assert_int_equal(run_graph(&r, ops_block_graph(b)), HEARTH_ESHAPE);
    assert_non_null(strstr(r.err.text, "it must have one"));
    ops_block_free(b);
}

/* An axis that comes with the request is the request's fault. */
static void an_axis_that_data_tell_is_the_clients(void **state)
{
    (void)state;
    static const float x[2] = {1, 2}, sums[2] = {1, 3};
    int64_t axis = 1;
    struct run r = {0};
    struct ops_block *b = ops_block_new();
    uint32_t in[2];
    in[0] = ops_block_input(b, "x", HEARTH_F32, 1, (const int64_t[]){2});
    in[1] = ops_block_input(b, "axis", HEARTH_I64, 0, scalar);
    ops_block_output(b, ops_block_node(b, HEARTH_OP_CUM_SUM, 2, in, 1));
    give(&r, 0, HEARTH_F32, 1, (const int64_t[]){2}, x);
    give(&r, 1, HEARTH_I64, 0, NULL, &axis);
    assert_int_equal(run_graph(&r, ops_block_graph(b)), HEARTH_EINVAL);
    assert_int_equal(r.err.status, HEARTH_EINVAL);
    axis = -1;
    assert_int_equal(run_graph(&r, ops_block_graph(b)), HEARTH_OK);
    want(&r, 0, HEARTH_F32, 1, (const int64_t[]){2}, sums);
    drop(&r);
    ops_block_free(b);
}

/* Where a plan's steps evaluate, without infer at hand. */
static void axes_that_eval_refuses_are_the_clients_too(void **state)
{
    (void)state;
    float x[2] = {1, 2}, y[1];
    int64_t axis = 5;
    struct hearth_error err = {0};
    struct ops_block *b = ops_block_new();
    uint32_t in[2];
    in[0] = ops_block_input(b, "x", HEARTH_F32, 1, (const int64_t[]){2});
    in[1] = ops_block_input(b, "axes", HEARTH_I64, 1, (const int64_t[]){1});
    ops_block_output(b, ops_block_node(b, HEARTH_OP_REDUCE_SUM, 2, in, 1));
    const struct hearth_graph *g = ops_block_graph(b);
    const struct hearth_shape sizes = {.rank = 1, .dims = {2}},
                              one = {.rank = 1, .dims = {1}};
    const struct hearth_view views[2] = {
        hearth_view_dense(x, HEARTH_F32, &sizes),
        hearth_view_dense(&axis, HEARTH_I64, &one)};
    const struct hearth_view *ins[2] = {&views[0], &views[1]};
    const struct hearth_value_info infos[2] = {
        {.dtype = HEARTH_F32, .shape = sizes},
        {.dtype = HEARTH_I64, .shape = one}};
    const struct hearth_value_info *in_infos[2] = {&infos[0], &infos[1]};
    struct hearth_value_info out_info = {.dtype = HEARTH_F32, .shape = one};
    struct hearth_view out = hearth_view_dense(y, HEARTH_F32, &one);
    const struct hearth_op_call call = {.graph = g,
                                        .node = hearth_graph_node(g, 0),
                                        .input_count = 2,
                                        .output_count = 1,
                                        .in = in_infos,
                                        .out = &out_info};
    assert_int_equal(hearth_op_eval(&call, ins, &out, &err), HEARTH_EINVAL);
    assert_int_equal(err.status, HEARTH_EINVAL);
    assert_non_null(strstr(err.text, "axis 5"));
    ops_block_free(b);
}

static void non_zero_finds_what_is_not_zero(void **state)
{
    (void)state;
    struct run r = {0};
    struct ops_block *b = ops_block_new();
    uint32_t x =
        ops_block_input(b, "x", HEARTH_I32, 2, (const int64_t[]){2, 3});
    ops_block_output(b, ops_block_node(b, HEARTH_OP_NON_ZERO, 1, &x, 1));
    give(&r, 0, HEARTH_I32, 2, (const int64_t[]){2, 3},
         (const int32_t[]){0, 7, 0, -1, 0, 2});
    assert_int_equal(run_graph(&r, ops_block_graph(b)), HEARTH_OK);
    want(&r, 0, HEARTH_I64, 2, (const int64_t[]){2, 3},
         (const int64_t[]){0, 1, 1, 1, 0, 2});
    drop(&r);
    give(&r, 0, HEARTH_I32, 2, (const int64_t[]){2, 3}, (const int32_t[6]){0});
    assert_int_equal(run_graph(&r, ops_block_graph(b)), HEARTH_OK);
    want(&r, 0, HEARTH_I64, 2, (const int64_t[]){2, 0}, NULL);
    drop(&r);
    ops_block_free(b);
}

static void unique_gives_all_four_or_those_that_are_wanted(void **state)
{
    (void)state;
    static const float x[6] = {2, 1, 1, 3, 4, 3};
    for (int sorted = 0; sorted < 2; sorted++) {
        struct run r = {0};
        struct ops_block *b = ops_block_new();
        uint32_t in =
            ops_block_input(b, "x", HEARTH_F32, 1, (const int64_t[]){6});
        ops_block_int(b, HEARTH_ATTR_SORTED, sorted);
        uint32_t y = ops_block_node(b, HEARTH_OP_UNIQUE, 1, &in, 4);
        for (uint32_t k = 0; k < 4; k++)
            ops_block_output(b, y + k);
        give(&r, 0, HEARTH_F32, 1, (const int64_t[]){6}, x);
        assert_int_equal(run_graph(&r, ops_block_graph(b)), HEARTH_OK);
        want(&r, 0, HEARTH_F32, 1, (const int64_t[]){4},
             sorted ? (const float[]){1, 2, 3, 4}
                    : (const float[]){2, 1, 3, 4});
        want(&r, 1, HEARTH_I64, 1, (const int64_t[]){4},
             sorted ? (const int64_t[]){1, 0, 3, 4}
                    : (const int64_t[]){0, 1, 3, 4});
        want(&r, 2, HEARTH_I64, 1, (const int64_t[]){6},
             sorted ? (const int64_t[]){1, 0, 0, 2, 3, 2}
                    : (const int64_t[]){0, 1, 1, 2, 3, 2});
        want(&r, 3, HEARTH_I64, 1, (const int64_t[]){4},
             sorted ? (const int64_t[]){2, 1, 2, 1}
                    : (const int64_t[]){1, 2, 2, 1});
        drop(&r);
        ops_block_free(b);
    }
}

static void compress_takes_what_its_condition_names(void **state)
{
    (void)state;
    static const int16_t x[6] = {1, 2, 3, 4, 5, 6};
    struct run r = {0};
    struct ops_block *b = ops_block_new();
    uint32_t in[2];
    in[0] = ops_block_input(b, "x", HEARTH_I16, 2, (const int64_t[]){3, 2});
    in[1] = ops_block_input(b, "c", HEARTH_BOOL, 1, (const int64_t[]){3});
    ops_block_int(b, HEARTH_ATTR_AXIS, 0);
    ops_block_output(b, ops_block_node(b, HEARTH_OP_COMPRESS, 2, in, 1));
    ops_block_output(b, ops_block_node(b, HEARTH_OP_COMPRESS, 2, in, 1));
    give(&r, 0, HEARTH_I16, 2, (const int64_t[]){3, 2}, x);
    give(&r, 1, HEARTH_BOOL, 1, (const int64_t[]){3},
         (const uint8_t[]){0, 1, 1});
    assert_int_equal(run_graph(&r, ops_block_graph(b)), HEARTH_OK);
    want(&r, 0, HEARTH_I16, 2, (const int64_t[]){2, 2},
         (const int16_t[]){3, 4, 5, 6});
    want(&r, 1, HEARTH_I16, 1, (const int64_t[]){2}, (const int16_t[]){2, 3});
    drop(&r);
    ops_block_free(b);
}

static void boxes_that_overlap_a_better_one_are_left_out(void **state)
{
    (void)state;
    static const float boxes[12] = {0, 0, 1, 1, 0, 0.1f, 1, 1.1f, 0, 2, 1, 3};
    static const float scores[3] = {0.5f, 0.9f, 0.1f}, half = 0.5f;
    static const int64_t most = 10;
    struct run r = {0};
    struct ops_block *b = ops_block_new();
    uint32_t in[4];
    in[0] =
        ops_block_input(b, "boxes", HEARTH_F32, 3, (const int64_t[]){1, 3, 4});
    in[1] =
        ops_block_input(b, "scores", HEARTH_F32, 3, (const int64_t[]){1, 1, 3});
    in[2] = ops_block_const(b, HEARTH_I64, 0, scalar, &most);
    in[3] = ops_block_const(b, HEARTH_F32, 0, scalar, &half);
    ops_block_output(
        b, ops_block_node(b, HEARTH_OP_NON_MAX_SUPPRESSION, 4, in, 1));
    give(&r, 0, HEARTH_F32, 3, (const int64_t[]){1, 3, 4}, boxes);
    give(&r, 1, HEARTH_F32, 3, (const int64_t[]){1, 1, 3}, scores);
    assert_int_equal(run_graph(&r, ops_block_graph(b)), HEARTH_OK);
    want(&r, 0, HEARTH_I64, 2, (const int64_t[]){2, 3},
         (const int64_t[]){0, 0, 1, 0, 0, 2});
    drop(&r);
    give(&r, 1, HEARTH_F32, 3, (const int64_t[]){1, 1, 3}, scores);
    give(&r, 0, HEARTH_F32, 3, (const int64_t[]){1, 2, 4}, boxes);
    assert_int_equal(run_graph(&r, ops_block_graph(b)), HEARTH_ESHAPE);
    ops_block_free(b);
}

/* ---- The arena ---- */

/* y = ConstantOfShape(s) */
static struct ops_block *filled(void)
{
    struct ops_block *b = ops_block_new();
    uint32_t s = ops_block_input(b, "s", HEARTH_I64, 1, (const int64_t[]){2});
    ops_block_output(b,
                     ops_block_node(b, HEARTH_OP_CONSTANT_OF_SHAPE, 1, &s, 1));
    return b;
}

static void an_arena_grows_until_a_run_fits(void **state)
{
    (void)state;
    struct run r = {0};
    struct ops_block *b = filled();
    const struct hearth_graph *g = ops_block_graph(b);
    give(&r, 0, HEARTH_I64, 1, (const int64_t[]){2},
         (const int64_t[]){1000, 50});
    assert_int_equal(run_in(&r, g, 0), HEARTH_EAGAIN);
    assert_true(r.interp.need_bytes > 0);
    assert_int_equal(run_graph(&r, g), HEARTH_OK);
    assert_true(r.tries > 1 && r.tries < 10);
    assert_int_equal(r.outputs[0].shape.dims[0], 1000);
    drop(&r);
    ops_block_free(b);
}

static void a_tensor_larger_than_anything_takes_no_memory(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = {{INT64_C(1) << 30, INT64_C(1) << 30},
                                       {INT64_C(1) << 40, INT64_C(1) << 40},
                                       {INT64_MAX, INT64_MAX}};
    struct run r = {0};
    struct ops_block *b = filled();
    for (int i = 0; i < 3; i++) {
        give(&r, 0, HEARTH_I64, 1, (const int64_t[]){2}, sizes[i]);
        int rc = run_graph(&r, ops_block_graph(b));
        assert_true(
            rc == HEARTH_ETOOBIG || rc == HEARTH_ESHAPE ||
            (rc == HEARTH_EAGAIN && r.interp.need_bytes > UINT64_C(1) << 60));
    }
    give(&r, 0, HEARTH_I64, 1, (const int64_t[]){2}, (const int64_t[]){-1, 4});
    assert_int_not_equal(run_graph(&r, ops_block_graph(b)), HEARTH_OK);
    ops_block_free(b);
}

static void memory_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    static const float x[6] = {2, 1, 1, 3, 4, 3};
    struct run r = {0};
    struct ops_block *b = ops_block_new();
    int failed = 0, rc = -1;
    uint32_t in = ops_block_input(b, "x", HEARTH_F32, 1, (const int64_t[]){6});
    ops_block_int(b, HEARTH_ATTR_SORTED, 0);
    ops_block_output(b, ops_block_node(b, HEARTH_OP_UNIQUE, 1, &in, 1));
    give(&r, 0, HEARTH_F32, 1, (const int64_t[]){6}, x);
    for (int64_t n = 1; rc != HEARTH_OK && n < 100; n++) {
        hearth__ops_fail_at(n);
        rc = run_in(&r, ops_block_graph(b), 1 << 16);
        hearth__ops_fail_at(0);
        failed += rc == HEARTH_ENOMEM;
        assert_true(rc == HEARTH_OK || rc == HEARTH_ENOMEM);
    }
    assert_int_equal(rc, HEARTH_OK);
    assert_true(failed >= 3);
    drop(&r);
    ops_block_free(b);
}

/* ---- Control flow ---- */

/* A body of a Loop: a' = a + w, goes on while a' < limit, a row a'. Inputs i,
 * cond, a, w. */
static struct ops_block *adding_body(float limit)
{
    struct ops_block *b = ops_block_new();
    uint32_t in[2];
    ops_block_input(b, "i", HEARTH_I64, 0, scalar);
    ops_block_input(b, "c", HEARTH_BOOL, 0, scalar);
    in[0] = ops_block_input(b, "a", HEARTH_F32, -1, NULL);
    in[1] = ops_block_input(b, "w", HEARTH_F32, -1, NULL);
    uint32_t a = ops_block_node(b, HEARTH_OP_ADD, 2, in, 1);
    in[0] = a;
    in[1] = ops_block_const(b, HEARTH_F32, 0, scalar, &limit);
    uint32_t c = ops_block_node(b, HEARTH_OP_LESS, 2, in, 1);
    ops_block_declare(b, c, HEARTH_BOOL, 0, NULL);
    ops_block_declare(b, a, HEARTH_F32, 0, NULL);
    ops_block_output(b, c);
    ops_block_output(b, a);
    ops_block_output(b, a);
    return b;
}

/* Inputs m, a; w is a constant. */
static struct ops_block *loop_of(struct ops_block *body, int64_t states)
{
    static const uint8_t yes = 1;
    static const float w = 1;
    struct ops_block *b = ops_block_new();
    uint32_t in[4];
    in[0] = ops_block_input(b, "m", HEARTH_I64, 0, scalar);
    in[1] = ops_block_const(b, HEARTH_BOOL, 0, scalar, &yes);
    in[2] = ops_block_input(b, "a", HEARTH_F32, 0, scalar);
    in[3] = ops_block_const(b, HEARTH_F32, 0, scalar, &w);
    ops_block_block(b, HEARTH_ATTR_BODY, body);
    ops_block_int(b, HEARTH_ATTR_STATES, states);
    uint32_t y = ops_block_node(b, HEARTH_OP_LOOP, 4, in, 2);
    ops_block_output(b, y);
    ops_block_output(b, y + 1);
    return b;
}

static void a_loop_ends_by_its_count_or_its_condition(void **state)
{
    (void)state;
    static const float zero = 0, three = 3, five = 5;
    int64_t m = 3;
    struct run r = {0};
    struct ops_block *body = adding_body(5), *b = loop_of(body, 1);
    const struct hearth_graph *g = ops_block_graph(b);
    give(&r, 0, HEARTH_I64, 0, NULL, &m);
    give(&r, 1, HEARTH_F32, 0, NULL, &zero);
    assert_int_equal(run_graph(&r, g), HEARTH_OK);
    want(&r, 0, HEARTH_F32, 0, NULL, &three);
    want(&r, 1, HEARTH_F32, 1, (const int64_t[]){3}, (const float[]){1, 2, 3});
    drop(&r);
    m = INT64_MAX;
    assert_int_equal(run_graph(&r, g), HEARTH_OK);
    want(&r, 0, HEARTH_F32, 0, NULL, &five);
    want(&r, 1, HEARTH_F32, 1, (const int64_t[]){5},
         (const float[]){1, 2, 3, 4, 5});
    drop(&r);
    m = 0;
    assert_int_equal(run_graph(&r, g), HEARTH_OK);
    want(&r, 0, HEARTH_F32, 0, NULL, &zero);
    want(&r, 1, HEARTH_F32, 1, (const int64_t[]){0}, NULL);
    drop(&r);
    m = -7;
    assert_int_equal(run_graph(&r, g), HEARTH_OK);
    want(&r, 0, HEARTH_F32, 0, NULL, &zero);
    drop(&r);
    ops_block_free(body);
    ops_block_free(b);
}

static void an_endless_loop_is_ended_from_outside(void **state)
{
    (void)state;
    static const float zero = 0;
    int64_t m = INT64_MAX;
    /* Adding 1 to a float stops to change it; it stays less than this. */
    struct run r = {.most_steps = 2000};
    struct ops_block *body = adding_body(1e30f), *b = loop_of(body, 1);
    give(&r, 0, HEARTH_I64, 0, NULL, &m);
    give(&r, 1, HEARTH_F32, 0, NULL, &zero);
    assert_int_equal(run_graph(&r, ops_block_graph(b)), HEARTH_ETIMEOUT);
    ops_block_free(body);
    ops_block_free(b);
}

/* A body whose rows grow: a' = concat(a, a), row a'. */
static void rows_of_several_shapes_are_refused(void **state)
{
    (void)state;
    static const float x[2] = {1, 2};
    int64_t m = 3;
    struct run r = {0};
    struct ops_block *body = ops_block_new(), *b = ops_block_new();
    uint32_t in[3];
    ops_block_input(body, "i", HEARTH_I64, 0, scalar);
    uint32_t c = ops_block_input(body, "c", HEARTH_BOOL, 0, scalar);
    in[0] = in[1] = ops_block_input(body, "a", HEARTH_F32, -1, NULL);
    uint32_t a = ops_block_node(body, HEARTH_OP_CONCAT, 2, in, 1);
    ops_block_output(body, c); /* an input, as it stands */
    ops_block_output(body, a);
    ops_block_output(body, a);
    static const uint8_t yes = 1;
    in[0] = ops_block_input(b, "m", HEARTH_I64, 0, scalar);
    in[1] = ops_block_const(b, HEARTH_BOOL, 0, scalar, &yes);
    in[2] = ops_block_input(b, "a", HEARTH_F32, 1, (const int64_t[]){2});
    ops_block_block(b, HEARTH_ATTR_BODY, body);
    ops_block_int(b, HEARTH_ATTR_STATES, 1);
    uint32_t y = ops_block_node(b, HEARTH_OP_LOOP, 3, in, 2);
    ops_block_output(b, y);
    ops_block_output(b, y + 1);
    give(&r, 0, HEARTH_I64, 0, NULL, &m);
    give(&r, 1, HEARTH_F32, 1, (const int64_t[]){2}, x);
    assert_int_equal(run_graph(&r, ops_block_graph(b)), HEARTH_ESHAPE);
    assert_non_null(strstr(r.err.text, "(Loop)"));
    m = 1;
    assert_int_equal(run_graph(&r, ops_block_graph(b)), HEARTH_OK);
    want(&r, 0, HEARTH_F32, 1, (const int64_t[]){4},
         (const float[]){1, 2, 1, 2});
    want(&r, 1, HEARTH_F32, 2, (const int64_t[]){1, 4},
         (const float[]){1, 2, 1, 2});
    drop(&r);
    m = 60; /* 2^61 elements: it ends, long before it has them */
    int rc = run_graph(&r, ops_block_graph(b));
    assert_true(rc == HEARTH_ESHAPE);
    ops_block_free(body);
    ops_block_free(b);
}

static void a_scan_walks_any_axis_either_way(void **state)
{
    (void)state;
    /* [2,3]: a running sum of columns, from the last one on; rows along axis 1,
     * reversed as well. */
    static const float x[6] = {1, 2, 3, 10, 20, 30}, zero[2] = {0, 0};
    struct run r = {0};
    struct ops_block *body = ops_block_new(), *b = ops_block_new();
    uint32_t in[2];
    in[0] = ops_block_input(body, "a", HEARTH_F32, -1, NULL);
    in[1] = ops_block_input(body, "x", HEARTH_F32, -1, NULL);
    uint32_t a = ops_block_node(body, HEARTH_OP_ADD, 2, in, 1);
    ops_block_declare(body, a, HEARTH_F32, 1, (const int64_t[]){2});
    ops_block_output(body, a);
    ops_block_output(body, a);
    in[0] = ops_block_input(b, "a", HEARTH_F32, 1, (const int64_t[]){2});
    in[1] = ops_block_input(b, "x", HEARTH_F32, 2, (const int64_t[]){2, -1});
    ops_block_symbols(b, 1);
    ops_block_declare(b, in[1], HEARTH_F32, 2,
                      (const int64_t[]){2, HEARTH_DIM_SYMBOL(0)});
    ops_block_block(b, HEARTH_ATTR_BODY, body);
    ops_block_int(b, HEARTH_ATTR_STATES, 1);
    ops_block_int(b, HEARTH_ATTR_SCANS, 1);
    ops_block_int(b, HEARTH_ATTR_SCAN_IN_AXES, 1);
    ops_block_int(b, HEARTH_ATTR_SCAN_IN_REVERSE, 1);
    ops_block_int(b, HEARTH_ATTR_SCAN_OUT_AXES, -1);
    ops_block_int(b, HEARTH_ATTR_SCAN_OUT_REVERSE, 1);
    uint32_t y = ops_block_node(b, HEARTH_OP_SCAN, 2, in, 2);
    ops_block_output(b, y);
    ops_block_output(b, y + 1);
    give(&r, 0, HEARTH_F32, 1, (const int64_t[]){2}, zero);
    give(&r, 1, HEARTH_F32, 2, (const int64_t[]){2, 3}, x);
    assert_int_equal(run_graph(&r, ops_block_graph(b)), HEARTH_OK);
    want(&r, 0, HEARTH_F32, 1, (const int64_t[]){2}, (const float[]){6, 60});
    want(&r, 1, HEARTH_F32, 2, (const int64_t[]){2, 3},
         (const float[]){6, 5, 3, 60, 50, 30});
    drop(&r);
    give(&r, 1, HEARTH_F32, 2, (const int64_t[]){2, 0}, x);
    assert_int_equal(run_graph(&r, ops_block_graph(b)), HEARTH_OK);
    want(&r, 0, HEARTH_F32, 1, (const int64_t[]){2}, zero);
    want(&r, 1, HEARTH_F32, 2, (const int64_t[]){2, 0}, NULL);
    drop(&r);
    ops_block_free(body);
    ops_block_free(b);
}

/* y = c ? relu(x) : -x, the branches around <depth> more of the same. */
static struct ops_block *branches(int depth)
{
    struct ops_block *b = ops_block_new();
    uint32_t in[3];
    in[0] = ops_block_input(b, "c", HEARTH_BOOL, 0, scalar);
    in[1] = ops_block_input(b, "x", HEARTH_F32, 1, (const int64_t[]){2});
    in[2] = in[1];
    for (int k = 0; k < 2; k++) {
        struct ops_block *n;
        if (depth > 0) {
            n = branches(depth - 1);
        } else {
            n = ops_block_new();
            ops_block_input(n, "c", HEARTH_BOOL, 0, scalar);
            uint32_t x =
                ops_block_input(n, "x", HEARTH_F32, 1, (const int64_t[]){2});
            ops_block_output(
                n, ops_block_node(n, k == 0 ? HEARTH_OP_RELU : HEARTH_OP_NEG, 1,
                                  &x, 1));
        }
        ops_block_block(b, k == 0 ? HEARTH_ATTR_THEN : HEARTH_ATTR_ELSE, n);
        ops_block_free(n);
    }
    uint32_t captures[3] = {in[0], in[0], in[1]};
    ops_block_output(b, ops_block_node(b, HEARTH_OP_IF, 3, captures, 1));
    return b;
}

static void an_if_runs_one_branch_however_deep_it_lies(void **state)
{
    (void)state;
    static const float x[2] = {-1, 2};
    struct run r = {0};
    for (int depth = 0; depth < 3; depth++)
        for (uint8_t c = 0; c < 2; c++) {
            struct ops_block *b = branches(depth);
            give(&r, 0, HEARTH_BOOL, 0, NULL, &c);
            give(&r, 1, HEARTH_F32, 1, (const int64_t[]){2}, x);
            assert_int_equal(run_graph(&r, ops_block_graph(b)), HEARTH_OK);
            want(&r, 0, HEARTH_F32, 1, (const int64_t[]){2},
                 c ? (const float[]){0, 2} : (const float[]){1, -2});
            drop(&r);
            ops_block_free(b);
        }
}

/* ---- Hostile blocks ---- */

static void blocks_nested_too_deep_are_refused(void **state)
{
    (void)state;
    for (int depth = 0; depth < 10; depth++) {
        struct hearth_error err = {0};
        struct ops_block *b = branches(depth);
        const struct hearth_graph *g = ops_block_graph(b);
        int rc = hearth_graph_check(g, g->bytes, &err);
        assert_int_equal(rc, depth < HEARTH_BLOCKS_DEEP ? HEARTH_OK
                                                        : HEARTH_EMODEL);
        ops_block_free(b);
    }
}

static void a_node_and_its_block_must_suit_each_other(void **state)
{
    (void)state;
    for (int64_t states = -1; states < 5; states++) {
        struct hearth_error err = {0};
        struct ops_block *body = adding_body(5), *b = loop_of(body, states);
        const struct hearth_graph *g = ops_block_graph(b);
        /* With 2 states the capture is one, and no row is left. */
        bool ok = states >= 0 && states <= 2;
        assert_int_equal(hearth_graph_check(g, g->bytes, &err) == HEARTH_OK,
                         ok);
        ops_block_free(body);
        ops_block_free(b);
    }
    struct hearth_error err = {0};
    struct ops_block *body = ops_block_new(), *b;
    ops_block_input(body, "i", HEARTH_I64, 0, scalar);
    b = loop_of(body, 1);
    const struct hearth_graph *g = ops_block_graph(b);
    assert_int_equal(hearth_graph_check(g, g->bytes, &err), HEARTH_EMODEL);
    assert_non_null(strstr(err.text, "does not suit its block"));
    ops_block_free(b);
    ops_block_free(body);
}

static void a_block_with_a_weight_is_refused(void **state)
{
    (void)state;
    struct hearth_error err = {0};
    struct ops_block *body = adding_body(5), *b;
    ops_block_weight(body, HEARTH_F32, 1, (const int64_t[]){0}, 0);
    b = loop_of(body, 1);
    const struct hearth_graph *g = ops_block_graph(b);
    assert_int_equal(hearth_graph_check(g, g->bytes, &err), HEARTH_EMODEL);
    assert_non_null(strstr(err.text, "weights"));
    ops_block_free(b);
    ops_block_free(body);
}

/* Whatever passes the check must run or fail, never do harm. */
static void damaged_blocks_are_refused_or_run(void **state)
{
    (void)state;
    static const float zero[2] = {0, 0};
    uint64_t seed = 1;
    int ran = 0;
    for (int i = 0; i < 4000; i++) {
        struct run r = {.most_steps = 200};
        uint8_t yes = 1;
        int64_t m = 4;
        struct ops_block *body = adding_body(5);
        struct ops_block *b = i % 2 == 0 ? loop_of(body, 1) : branches(1);
        struct hearth_graph *g = ops_block_graph(b);
        const uint64_t bytes = g->bytes;
        for (int k = 0; k <= i % 3; k++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
            uint64_t at = (seed >> 20) % bytes;
            ((uint8_t *)g)[at] ^= (uint8_t)(1u << (seed >> 60 & 7));
        }
        if (i % 2 == 0) {
            give(&r, 0, HEARTH_I64, 0, NULL, &m);
            give(&r, 1, HEARTH_F32, 0, NULL, zero);
        } else {
            give(&r, 0, HEARTH_BOOL, 0, NULL, &yes);
            give(&r, 1, HEARTH_F32, 1, (const int64_t[]){2}, zero);
        }
        if (g->input_count == 2 &&
            hearth_graph_check(g, bytes, &r.err) == HEARTH_OK) {
            ran += run_in(&r, g, 1 << 16) == HEARTH_OK;
            drop(&r);
        }
        ops_block_free(body);
        ops_block_free(b);
    }
    assert_true(ran > 100); /* most bits are names and spare dimensions */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shape_that_is_an_input_is_taken),
        cmocka_unit_test(repeats_have_one_number_for_each_axis),
        cmocka_unit_test(a_range_starts_somewhere),
        cmocka_unit_test(sizes_are_one_for_each_axis),
        cmocka_unit_test(an_axis_that_data_tell_is_the_clients),
        cmocka_unit_test(axes_that_eval_refuses_are_the_clients_too),
        cmocka_unit_test(non_zero_finds_what_is_not_zero),
        cmocka_unit_test(unique_gives_all_four_or_those_that_are_wanted),
        cmocka_unit_test(compress_takes_what_its_condition_names),
        cmocka_unit_test(boxes_that_overlap_a_better_one_are_left_out),
        cmocka_unit_test(an_arena_grows_until_a_run_fits),
        cmocka_unit_test(a_tensor_larger_than_anything_takes_no_memory),
        cmocka_unit_test(memory_that_is_not_there_is_an_error),
        cmocka_unit_test(a_loop_ends_by_its_count_or_its_condition),
        cmocka_unit_test(an_endless_loop_is_ended_from_outside),
        cmocka_unit_test(rows_of_several_shapes_are_refused),
        cmocka_unit_test(a_scan_walks_any_axis_either_way),
        cmocka_unit_test(an_if_runs_one_branch_however_deep_it_lies),
        cmocka_unit_test(blocks_nested_too_deep_are_refused),
        cmocka_unit_test(a_node_and_its_block_must_suit_each_other),
        cmocka_unit_test(a_block_with_a_weight_is_refused),
        cmocka_unit_test(damaged_blocks_are_refused_or_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
