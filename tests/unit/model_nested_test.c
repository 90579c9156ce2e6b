/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs inside nodes: what becomes of them at import, and what they may not
 * do. What If, Loop and Scan mean is tested by tests/conformance and
 * ops_interp_test; here models are run to see that captures and weights arrive.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "unit/model_run.h"
#include "unit/onnx_build.h"

enum { F32 = 1, I64 = 7, BOOL = 9 };

static int setup(void **state)
{
    (void)state;
    return hearth_base_init();
}

/* Puts <graph> in as attribute <name> of <node>, and frees it. */
static void attr_graph(struct pb *node, const char *name, struct pb *graph)
{
    struct pb attr = {0};
    pb_text(&attr, 1, name);
    pb_sub(&attr, 6, graph);
    pb_int(&attr, 20, 5);
    pb_sub(node, 5, &attr);
}

/* y = <op> <inputs>, no input of its own. */
static struct pb branch(const char *op, const char *inputs, const char *output)
{
    struct pb g = {0};
    onnx_add_node(&g, op, inputs, output);
    onnx_output(&g, output);
    return g;
}

/* Inputs x f32 [n,4], c bool []; y = c ? <t> : <e>. */
static struct pb choice(struct pb *t, struct pb *e)
{
    struct pb g = {0}, node = onnx_node("If", "c", "y");
    onnx_input(&g, "x", F32, 2, (const int64_t[]){-1, 4});
    onnx_input(&g, "c", BOOL, 0, NULL);
    attr_graph(&node, "then_branch", t);
    attr_graph(&node, "else_branch", e);
    pb_sub(&g, 1, &node);
    onnx_output(&g, "y");
    return onnx_model(&g, 16);
}

static int open_it(const struct pb *pb, hearth_model_t **model,
                   struct hearth_error *err)
{
    memset(err, 0, sizeof *err);
    return hearth_model_open_memory(model, pb->data, pb->bytes, "m.onnx", NULL,
                                    err);
}

static hearth_model_t *opened(struct pb *pb)
{
    hearth_model_t *model = NULL;
    struct hearth_error err;
    if (open_it(pb, &model, &err) != HEARTH_OK)
        fail_msg("%s", err.text);
    return model;
}

static void refused(struct pb *pb, int status, const char *part)
{
    hearth_model_t *model = NULL;
    struct hearth_error err;
    uint64_t used = hearth_mem_used_bytes();
    int rc = open_it(pb, &model, &err);
    if (rc != status || strstr(err.text, part) == NULL)
        fail_msg("%s: '%s', not %s: '%s'", hearth_status_name(rc), err.text,
                 hearth_status_name(status), part);
    assert_null(model);
    assert_int_equal(hearth_mem_used_bytes(), used);
    pb_free(pb);
}

/* ---- Running ---- */

struct run {
    hearth_model_t *model;
    float y[64];
    struct hearth_shape shape;
    void *weights[64];
};

static const void *weight(void *ctx, uint32_t v)
{
    struct run *r = ctx;
    const struct hearth_graph_value *value =
        hearth_graph_value(hearth_model_graph(r->model), v);
    const struct hearth_weights *w = hearth_model_weights(r->model);
    assert_true(v < 64);
    if (r->weights[v] == NULL) {
        r->weights[v] = malloc(value->bytes + 1);
        assert_int_equal(w->read(w->ctx, value->segment, value->offset,
                                 value->bytes, r->weights[v], NULL),
                         0);
    }
    return r->weights[v];
}

static int alloc_output(void *ctx, uint32_t i, enum hearth_dtype dtype,
                        const struct hearth_shape *shape, void **data)
{
    struct run *r = ctx;
    uint64_t bytes;
    assert_int_equal(i, 0);
    assert_int_equal(dtype, HEARTH_F32);
    assert_true(hearth_shape_bytes(shape, dtype, &bytes));
    assert_true(bytes <= sizeof r->y);
    r->shape = *shape;
    *data = r->y;
    return HEARTH_OK;
}

/* Runs x [1,4] and a second input. */
static void run_it(struct run *r, hearth_model_t *model, const float *x,
                   enum hearth_dtype dtype, const void *second)
{
    static char arena[1 << 18] __attribute__((aligned(64)));
    const struct hearth_graph *g = hearth_model_graph(model);
    struct hearth_shape shapes[2] = {{.rank = 2, .dims = {1, 4}}, {.rank = 0}};
    struct hearth_view in[2] = {
        hearth_view_dense((void *)(uintptr_t)x, HEARTH_F32, &shapes[0]),
        hearth_view_dense((void *)(uintptr_t)second, dtype, &shapes[1])};
    struct hearth_spec spec;
    struct hearth_error err = {0};
    memset(r, 0, sizeof *r);
    r->model = model;
    assert_int_equal(
        hearth_spec_create(&spec, g, hearth_model_weights(model), shapes, &err),
        HEARTH_OK);
    struct hearth_interp interp = {.graph = g,
                                   .spec = &spec,
                                   .inputs = in,
                                   .arena = arena,
                                   .arena_bytes = sizeof arena,
                                   .ctx = r,
                                   .weight = weight,
                                   .alloc_output = alloc_output};
    if (hearth_interp_run(&interp, &err) != HEARTH_OK)
        fail_msg("%s", err.text);
    hearth_spec_destroy(&spec);
    for (int i = 0; i < 64; i++)
        free(r->weights[i]);
}

static void want(const struct run *r, int count, const float *y)
{
    int64_t n;
    assert_true(hearth_shape_count(&r->shape, &n));
    assert_int_equal(n, count);
    for (int i = 0; i < count; i++)
        if (r->y[i] != y[i])
            fail_msg("element %d is %g, not %g", i, (double)r->y[i],
                     (double)y[i]);
}

static const float x4[4] = {-1, 2, -3, 4};

static void branches_take_names_from_around_them(void **state)
{
    (void)state;
    struct pb t = branch("Relu", "x", "a"), e = branch("Neg", "x", "b");
    struct pb m = choice(&t, &e);
    hearth_model_t *model = opened(&m);
    const struct hearth_graph *g = hearth_model_graph(model);
    struct run r;
    assert_int_equal(g->node_count, 1);
    assert_int_equal(hearth_graph_node(g, 0)->op, HEARTH_OP_IF);
    assert_int_equal(hearth_graph_node(g, 0)->input_count, 3);
    run_it(&r, model, x4, HEARTH_BOOL, &(uint8_t){1});
    want(&r, 4, (const float[]){0, 2, 0, 4});
    run_it(&r, model, x4, HEARTH_BOOL, &(uint8_t){0});
    want(&r, 4, (const float[]){1, -2, 3, -4});
    hearth_model_close(&model);
    pb_free(&m);
}

/* y = <around> of an If on the constant <c>; both inputs exist. */
static void an_if_on_a_constant_is_its_branch(void **state)
{
    (void)state;
    for (uint8_t c = 0; c < 2; c++) {
        struct pb t = branch("Relu", "x", "a"), e = branch("Neg", "x", "b");
        struct pb g = {0}, node = onnx_node("If", "k", "p");
        struct pb k = onnx_tensor("k", BOOL, 0, NULL, &c, 1);
        onnx_input(&g, "x", F32, 2, (const int64_t[]){-1, 4});
        onnx_input(&g, "c", BOOL, 0, NULL);
        pb_sub(&g, 5, &k);
        attr_graph(&node, "then_branch", &t);
        attr_graph(&node, "else_branch", &e);
        pb_sub(&g, 1, &node);
        onnx_add_node(&g, "Abs", "p", "y");
        onnx_output(&g, "y");
        struct pb m = onnx_model(&g, 16);
        hearth_model_t *model = opened(&m);
        const struct hearth_graph *graph = hearth_model_graph(model);
        assert_int_equal(graph->node_count, 2);
        assert_int_equal(hearth_graph_node(graph, 0)->op,
                         c ? HEARTH_OP_RELU : HEARTH_OP_NEG);
        hearth_model_close(&model);
        pb_free(&m);
    }
}

/* A branch with weights of its own, the else branch with one of the model. */
static void weights_of_branches_are_handed_in(void **state)
{
    (void)state;
    static const float w[4] = {1, 2, 3, 4}, v[4] = {10, 20, 30, 40};
    struct pb t = branch("Mul", "x w", "a"), e = branch("Mul", "x v", "b");
    struct pb tw = onnx_tensor("w", F32, 1, (const int64_t[]){4}, w, 16);
    struct pb g = {0}, node = onnx_node("If", "c", "y");
    struct pb gv = onnx_tensor("v", F32, 1, (const int64_t[]){4}, v, 16);
    struct run r;
    pb_sub(&t, 5, &tw);
    onnx_input(&g, "x", F32, 2, (const int64_t[]){-1, 4});
    onnx_input(&g, "c", BOOL, 0, NULL);
    pb_sub(&g, 5, &gv);
    attr_graph(&node, "then_branch", &t);
    attr_graph(&node, "else_branch", &e);
    pb_sub(&g, 1, &node);
    onnx_output(&g, "y");
    struct pb m = onnx_model(&g, 16);
    hearth_model_t *model = opened(&m);
    assert_int_equal(hearth_model_graph(model)->weight_bytes, 32);
    run_it(&r, model, x4, HEARTH_BOOL, &(uint8_t){1});
    want(&r, 4, (const float[]){-1, 4, -9, 16});
    run_it(&r, model, x4, HEARTH_BOOL, &(uint8_t){0});
    want(&r, 4, (const float[]){-10, 40, -90, 160});
    hearth_model_close(&model);
    pb_free(&m);
}

/* a' = Relu(a) + x in a Loop, whose If takes x and a weight from two graphs
 * further out. */
static struct pb nested_loop(void)
{
    static const float w[4] = {1, 1, 1, 1};
    struct pb t = branch("Add", "a x", "ta"), e = branch("Add", "a w", "eb");
    struct pb body = {0}, inner = onnx_node("If", "cond", "a2");
    struct pb g = {0}, loop = onnx_node("Loop", "m - x", "y rows");
    struct pb gw = onnx_tensor("w", F32, 1, (const int64_t[]){4}, w, 16);
    onnx_input(&body, "i", I64, 0, NULL);
    onnx_input(&body, "cond", BOOL, 0, NULL);
    onnx_input(&body, "a", F32, 2, (const int64_t[]){-1, 4});
    attr_graph(&inner, "then_branch", &t);
    attr_graph(&inner, "else_branch", &e);
    pb_sub(&body, 1, &inner);
    onnx_output(&body, "cond");
    onnx_output(&body, "a2");
    onnx_output(&body, "a2");
    onnx_input(&g, "x", F32, 2, (const int64_t[]){-1, 4});
    onnx_input(&g, "m", I64, 0, NULL);
    pb_sub(&g, 5, &gw);
    attr_graph(&loop, "body", &body);
    pb_sub(&g, 1, &loop);
    onnx_output(&g, "rows");
    return onnx_model(&g, 16);
}

static void a_graph_takes_names_from_far_out(void **state)
{
    (void)state;
    struct pb m = nested_loop();
    hearth_model_t *model = opened(&m);
    struct run r;
    run_it(&r, model, x4, HEARTH_I64, &(int64_t){2});
    assert_int_equal(r.shape.rank, 3);
    want(&r, 8, (const float[]){-2, 4, -6, 8, -3, 6, -9, 12});
    hearth_model_close(&model);
    pb_free(&m);
}

/* A node that stands before what its graph needs. */
static void a_node_waits_for_what_its_graphs_take(void **state)
{
    (void)state;
    struct pb t = branch("Relu", "late", "a"), e = branch("Neg", "late", "b");
    struct pb g = {0}, node = onnx_node("If", "c", "y");
    struct run r;
    onnx_input(&g, "x", F32, 2, (const int64_t[]){-1, 4});
    onnx_input(&g, "c", BOOL, 0, NULL);
    attr_graph(&node, "then_branch", &t);
    attr_graph(&node, "else_branch", &e);
    pb_sub(&g, 1, &node);
    onnx_add_node(&g, "Abs", "x", "late");
    onnx_output(&g, "y");
    struct pb m = onnx_model(&g, 16);
    hearth_model_t *model = opened(&m);
    run_it(&r, model, x4, HEARTH_BOOL, &(uint8_t){0});
    want(&r, 4, (const float[]){-1, -2, -3, -4});
    hearth_model_close(&model);
    pb_free(&m);
}

/* ---- What is refused ---- */

static void a_graph_that_waits_for_its_own_node_is_refused(void **state)
{
    (void)state;
    struct pb t = branch("Relu", "y", "a"), e = branch("Neg", "x", "b");
    struct pb m = choice(&t, &e);
    refused(&m, HEARTH_EMODEL, "cycle");
}

static void names_that_nobody_makes_are_refused(void **state)
{
    (void)state;
    struct pb t = branch("Relu", "nobody", "a"), e = branch("Neg", "x", "b");
    struct pb m = choice(&t, &e);
    refused(&m, HEARTH_EMODEL, "'nobody' is an input that nothing makes");
}

static void branches_of_several_numbers_of_outputs_are_refused(void **state)
{
    (void)state;
    struct pb t = branch("Relu", "x", "a"), e = branch("Neg", "x", "b");
    onnx_output(&e, "b");
    struct pb m = choice(&t, &e);
    refused(&m, HEARTH_EMODEL, "1 and 2 outputs");
    t = branch("Relu", "x", "a");
    e = branch("Shape", "x", "b");
    m = choice(&t, &e);
    refused(&m, HEARTH_EMODEL, "(If): output 0 is f32 and i64");
}

static void graphs_that_are_not_there_are_refused(void **state)
{
    (void)state;
    struct pb g = {0}, node = onnx_node("If", "c", "y"), t = {0};
    onnx_input(&g, "c", BOOL, 0, NULL);
    attr_graph(&node, "then_branch", &t);
    pb_sub(&g, 1, &node);
    onnx_output(&g, "y");
    struct pb m = onnx_model(&g, 16);
    refused(&m, HEARTH_EMODEL, "it has no graph 'else_branch'");
    g = (struct pb){0};
    node = onnx_node("Loop", "m", "y");
    onnx_input(&g, "m", I64, 0, NULL);
    pb_sub(&g, 1, &node);
    onnx_output(&g, "y");
    m = onnx_model(&g, 16);
    refused(&m, HEARTH_EMODEL, "it has no graph 'body'");
}

static void a_body_with_other_inputs_is_refused(void **state)
{
    (void)state;
    struct pb body = {0}, g = {0}, node = onnx_node("Loop", "m - x", "y");
    onnx_input(&body, "i", I64, 0, NULL);
    onnx_input(&body, "cond", BOOL, 0, NULL);
    onnx_output(&body, "cond");
    onnx_input(&g, "x", F32, 2, (const int64_t[]){-1, 4});
    onnx_input(&g, "m", I64, 0, NULL);
    attr_graph(&node, "body", &body);
    pb_sub(&g, 1, &node);
    onnx_output(&g, "y");
    struct pb m = onnx_model(&g, 16);
    refused(&m, HEARTH_EMODEL, "it has 2 inputs, it must have 3");
}

static void graphs_nested_too_deep_are_refused(void **state)
{
    (void)state;
    struct pb t = branch("Relu", "x", "y");
    for (int i = 0; i < 40; i++) {
        struct pb around = {0}, node = onnx_node("If", "c", "y");
        struct pb e = branch("Neg", "x", "z");
        attr_graph(&node, "then_branch", &t);
        attr_graph(&node, "else_branch", &e);
        pb_sub(&around, 1, &node);
        onnx_output(&around, "y");
        t = around;
    }
    struct pb e = branch("Neg", "x", "z");
    struct pb m = choice(&t, &e);
    refused(&m, HEARTH_EUNSUPPORTED, "nested deeper");
}

static void every_failed_allocation_is_an_error(void **state)
{
    (void)state;
    struct pb m = nested_loop();
    int rc = -1, failed = 0;
    for (int64_t n = 1; rc != HEARTH_OK && n < 10000; n++) {
        hearth_model_t *model = NULL;
        struct hearth_error err;
        uint64_t used = hearth_mem_used_bytes();
        hearth_mem_fail_at(n, true);
        rc = open_it(&m, &model, &err);
        hearth_mem_fail_at(0, false);
        failed += rc == HEARTH_ENOMEM;
        assert_true(rc == HEARTH_OK || rc == HEARTH_ENOMEM);
        hearth_model_close(&model);
        assert_int_equal(hearth_mem_used_bytes(), used);
    }
    assert_int_equal(rc, HEARTH_OK);
    assert_true(failed > 3);
    pb_free(&m);
}

/* Every model that is cut or has a bit turned is opened or refused. */
static void damaged_models_are_refused_or_opened(void **state)
{
    (void)state;
    struct pb m = nested_loop();
    uint64_t used = hearth_mem_used_bytes();
    for (size_t at = 0; at < m.bytes; at++)
        for (int bit = 0; bit < 8; bit++) {
            hearth_model_t *model = NULL;
            struct hearth_error err;
            m.data[at] ^= (uint8_t)(1 << bit);
            (void)open_it(&m, &model, &err);
            hearth_model_close(&model);
            m.data[at] ^= (uint8_t)(1 << bit);
        }
    assert_int_equal(hearth_mem_used_bytes(), used);
    pb_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(branches_take_names_from_around_them),
        cmocka_unit_test(an_if_on_a_constant_is_its_branch),
        cmocka_unit_test(weights_of_branches_are_handed_in),
        cmocka_unit_test(a_graph_takes_names_from_far_out),
        cmocka_unit_test(a_node_waits_for_what_its_graphs_take),
        cmocka_unit_test(a_graph_that_waits_for_its_own_node_is_refused),
        cmocka_unit_test(names_that_nobody_makes_are_refused),
        cmocka_unit_test(branches_of_several_numbers_of_outputs_are_refused),
        cmocka_unit_test(graphs_that_are_not_there_are_refused),
        cmocka_unit_test(a_body_with_other_inputs_is_refused),
        cmocka_unit_test(graphs_nested_too_deep_are_refused),
        cmocka_unit_test(every_failed_allocation_is_an_error),
        cmocka_unit_test(damaged_models_are_refused_or_opened),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
