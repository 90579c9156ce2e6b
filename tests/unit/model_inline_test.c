/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions that a model defines: what they mean is tested by
 * tests/conformance/functions.py; here is what they may not do, and what they
 * cost. Models are y = f(x), x f32 [n,4].
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "unit/model_run.h"
#include "unit/onnx_build.h"

static int setup(void **state)
{
    (void)state;
    return hearth_base_init();
}

static struct pb call(const char *function, const char *in, const char *out)
{
    struct pb node = onnx_node(function, in, out);
    pb_text(&node, 7, "my");
    return node;
}

/* A function of "a" that gives "b"; nodes are added as field 7. */
static struct pb function(const char *name)
{
    struct pb f = {0};
    pb_text(&f, 1, name);
    pb_text(&f, 10, "my");
    pb_text(&f, 4, "a");
    pb_text(&f, 5, "b");
    return f;
}

/* y = <node>(x), with room for functions as field 25. */
static struct pb model_of(struct pb *node)
{
    struct pb g = {0};
    onnx_input(&g, "x", 1, 2, (const int64_t[]){-1, 4});
    pb_sub(&g, 1, node);
    onnx_output(&g, "y");
    return onnx_model(&g, 13);
}

static struct pb calls(const char *name)
{
    struct pb node = call(name, "x", "y");
    return model_of(&node);
}

static int open_it(const struct pb *pb, hearth_model_t **model,
                   struct hearth_error *err)
{
    memset(err, 0, sizeof *err);
    return hearth_model_open_memory(model, pb->data, pb->bytes, "m.onnx", NULL,
                                    err);
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

static void add_node(struct pb *f, struct pb node)
{
    pb_sub(f, 7, &node);
}

static void a_function_that_calls_itself_is_refused(void **state)
{
    (void)state;
    struct pb m = calls("F"), f = function("F"), g = function("G");
    add_node(&f, call("G", "a", "b"));
    add_node(&g, call("F", "a", "b"));
    pb_sub(&m, 25, &f);
    pb_sub(&m, 25, &g);
    refused(&m, HEARTH_EMODEL, "calls itself");
}

static void functions_that_double_their_calls_are_refused_early(void **state)
{
    (void)state;
    struct pb m = calls("F0");
    for (int i = 0; i < 40; i++) { /* 2^40 nodes in 4 KiB */
        char name[8], next[8];
        snprintf(name, sizeof name, "F%d", i);
        snprintf(next, sizeof next, "F%d", i + 1);
        struct pb f = function(name);
        add_node(&f, call(next, "a", "t"));
        add_node(&f, call(next, "t", "b"));
        pb_sub(&m, 25, &f);
    }
    struct pb last = function("F40");
    add_node(&last, onnx_node("Relu", "a", "b"));
    pb_sub(&m, 25, &last);
    refused(&m, HEARTH_EMODEL, "too much for its file");
}

/* Nothing that is written comes of them: fields are counted. */
static void
functions_that_double_their_calls_of_nothing_are_refused(void **state)
{
    (void)state;
    struct pb m = calls("F0");
    for (int i = 0; i < 60; i++) {
        char name[8], next[8];
        snprintf(name, sizeof name, "F%d", i);
        snprintf(next, sizeof next, "F%d", i + 1);
        struct pb f = {0};
        pb_text(&f, 1, name);
        pb_text(&f, 10, "my");
        add_node(&f, call(next, "", ""));
        add_node(&f, call(next, "", ""));
        pb_sub(&m, 25, &f);
    }
    hearth_model_t *model = NULL;
    struct hearth_error err;
    assert_int_not_equal(open_it(&m, &model, &err), HEARTH_OK);
    pb_free(&m);
}

static void a_deep_nesting_is_refused(void **state)
{
    (void)state;
    struct pb m = calls("F0");
    for (int i = 0; i < 2000; i++) {
        char name[8], next[8];
        snprintf(name, sizeof name, "F%d", i);
        snprintf(next, sizeof next, "F%d", i + 1);
        struct pb f = function(name);
        add_node(&f, call(next, "a", "b"));
        pb_sub(&m, 25, &f);
    }
    refused(&m, HEARTH_EMODEL, "nested deeper");
}

static void more_inputs_than_the_function_has_are_refused(void **state)
{
    (void)state;
    struct pb node = call("F", "x x", "y"), f = function("F");
    struct pb m = model_of(&node);
    add_node(&f, onnx_node("Relu", "a", "b"));
    pb_sub(&m, 25, &f);
    refused(&m, HEARTH_EMODEL, "2 inputs");
}

static void an_output_that_the_body_does_not_make_is_refused(void **state)
{
    (void)state;
    struct pb m = calls("F"), f = function("F");
    add_node(&f, onnx_node("Relu", "a", "c"));
    pb_sub(&m, 25, &f);
    refused(&m, HEARTH_EMODEL, "'y'");
}

static void a_body_does_not_see_the_names_of_its_caller(void **state)
{
    (void)state;
    struct pb m = calls("F"), f = function("F");
    add_node(&f, onnx_node("Relu", "x", "b"));
    pb_sub(&m, 25, &f);
    refused(&m, HEARTH_EMODEL, "x' is an input that nothing makes");
}

static void a_reference_outside_a_function_is_refused(void **state)
{
    (void)state;
    struct pb node = onnx_node("Softmax", "x", "y"), attr = {0};
    pb_text(&attr, 1, "axis");
    pb_text(&attr, 21, "other");
    pb_int(&attr, 20, 2);
    pb_sub(&node, 5, &attr);
    struct pb m = model_of(&node);
    refused(&m, HEARTH_EUNSUPPORTED, "there is none");
}

static void a_broken_body_is_refused(void **state)
{
    (void)state;
    struct pb m = calls("F"), f = function("F");
    pb_bytes(&f, 7, "\x0a\x7fz", 3); /* a name of 127 bytes, cut */
    pb_sub(&m, 25, &f);
    refused(&m, HEARTH_EMODEL, "");
    m = calls("F");
    pb_int(&m, 25, 7);
    refused(&m, HEARTH_EMODEL, "a function");
}

static void an_output_that_is_an_input_is_a_copy(void **state)
{
    (void)state;
    hearth_model_t *model = NULL;
    struct hearth_error err;
    struct pb m = calls("F"), f = {0};
    pb_text(&f, 1, "F");
    pb_text(&f, 10, "my");
    pb_text(&f, 4, "a");
    pb_text(&f, 5, "a");
    pb_sub(&m, 25, &f);
    assert_int_equal(open_it(&m, &model, &err), HEARTH_OK);
    assert_int_equal(hearth_model_graph(model)->node_count, 1);
    hearth_model_close(&model);
    pb_free(&m);
}

static void a_function_of_the_name_of_an_operator_of_ours_is_that(void **state)
{
    (void)state;
    hearth_model_t *model = NULL;
    struct hearth_error err;
    char text[64];
    struct pb node = onnx_node("Relu", "x", "y"), f = {0};
    struct pb m = model_of(&node);
    pb_text(&f, 1, "Relu");
    pb_text(&f, 4, "a");
    pb_text(&f, 5, "b");
    add_node(&f, onnx_node("Exp", "a", "b"));
    pb_sub(&m, 25, &f);
    assert_int_equal(open_it(&m, &model, &err), HEARTH_OK);
    assert_string_equal(model_nodes_text(model, text, sizeof text), "Relu");
    hearth_model_close(&model);
    pb_free(&m);
}

static void no_allocation_that_fails_leaks(void **state)
{
    (void)state;
    hearth_model_t *model = NULL;
    struct hearth_error err;
    struct pb m = calls("F"), f = function("F"), g = function("G");
    add_node(&f, call("G", "a", "b"));
    add_node(&g, onnx_node("Relu", "a", "b"));
    pb_sub(&m, 25, &f);
    pb_sub(&m, 25, &g);
    uint64_t used = hearth_mem_used_bytes();
    int rc = HEARTH_ENOMEM;
    for (int64_t i = 1; rc != HEARTH_OK && i < 200; i++) {
        hearth_mem_fail_at(i, false);
        rc = open_it(&m, &model, &err);
        hearth_mem_fail_at(0, false);
        if (rc != HEARTH_OK) {
            assert_int_equal(rc, HEARTH_ENOMEM);
            assert_int_equal(hearth_mem_used_bytes(), used);
        }
    }
    assert_int_equal(rc, HEARTH_OK);
    hearth_model_close(&model);
    pb_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_function_that_calls_itself_is_refused),
        cmocka_unit_test(functions_that_double_their_calls_are_refused_early),
        cmocka_unit_test(
            functions_that_double_their_calls_of_nothing_are_refused),
        cmocka_unit_test(a_deep_nesting_is_refused),
        cmocka_unit_test(more_inputs_than_the_function_has_are_refused),
        cmocka_unit_test(an_output_that_the_body_does_not_make_is_refused),
        cmocka_unit_test(a_body_does_not_see_the_names_of_its_caller),
        cmocka_unit_test(a_reference_outside_a_function_is_refused),
        cmocka_unit_test(a_broken_body_is_refused),
        cmocka_unit_test(an_output_that_is_an_input_is_a_copy),
        cmocka_unit_test(a_function_of_the_name_of_an_operator_of_ours_is_that),
        cmocka_unit_test(no_allocation_that_fails_leaks),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
