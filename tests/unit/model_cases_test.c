/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every spelling of every operator, and every fusion: imported graphs are run
 * by the rows of ops, and compared with what onnxruntime answered (see
 * model_cases.py): with all passes, with none, and with each alone left out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "unit/model_run.h"

static uint8_t *pack;
static uint64_t pack_bytes;

static int setup(void **state)
{
    (void)state;
    pack = model_data("model_cases.bin", &pack_bytes);
    return hearth_base_init();
}

static int teardown(void **state)
{
    (void)state;
    free(pack);
    return 0;
}

static hearth_model_t *open_case(const struct model_case *c, uint32_t passes)
{
    struct hearth_error err = {0};
    hearth_model_t *model = NULL;
    const struct hearth_model_options options = {.passes = passes};
    int rc = hearth_model_open_memory(&model, c->model, c->model_bytes, c->name,
                                      &options, &err);
    if (rc != HEARTH_OK)
        fail_msg("%s: passes %#x: %s", c->name, passes, err.text);
    return model;
}

static void check_answers(const struct model_case *c, uint32_t passes)
{
    struct hearth_error err = {0};
    struct hearth_view outputs[MODEL_PORTS_MAX];
    hearth_model_t *model = open_case(c, passes);
    const struct hearth_graph *g = hearth_model_graph(model);
    assert_int_equal(g->input_count, c->input_count);
    assert_int_equal(g->output_count, c->output_count);
    int rc = model_run(model, c->inputs, outputs, &err);
    if (rc != HEARTH_OK)
        fail_msg("%s: passes %#x: %s", c->name, passes, err.text);
    for (uint32_t i = 0; i < c->output_count; i++) {
        if (!model_close(&outputs[i], &c->outputs[i]))
            fail_msg("%s: passes %#x: output %u differs", c->name, passes, i);
        free(outputs[i].data);
    }
    hearth_model_close(&model);
}

static void every_case_gives_the_known_answer(void **state)
{
    struct model_case c;
    uint64_t at = 0;
    uint32_t count = 0;
    (void)state;
    for (; model_case_next(pack, pack_bytes, &at, &c); count++) {
        check_answers(&c, HEARTH_MODEL_PASS_ALL);
        check_answers(&c, 0);
        for (uint32_t bit = 1; bit < HEARTH_MODEL_PASS_ALL; bit <<= 1)
            check_answers(&c, HEARTH_MODEL_PASS_ALL & ~bit);
    }
    assert_true(count > 120);
}

static void every_case_becomes_the_expected_nodes(void **state)
{
    struct model_case c;
    char text[512];
    uint64_t at = 0;
    int wrong = 0;
    (void)state;
    while (model_case_next(pack, pack_bytes, &at, &c)) {
        hearth_model_t *model = open_case(&c, HEARTH_MODEL_PASS_ALL);
        model_nodes_text(model, text, sizeof text);
        if (strcmp(text, c.nodes) != 0) {
            print_error("%s: '%s', not '%s'\n", c.name, text, c.nodes);
            wrong++;
        }
        if (hearth_model_graph(model)->batch_axis0 != c.batched) {
            print_error("%s: batch_axis0 is %u\n", c.name,
                        hearth_model_graph(model)->batch_axis0);
            wrong++;
        }
        hearth_model_close(&model);
    }
    assert_int_equal(wrong, 0);
}

/* What import tells of an output: a rank always, and no size that is not so.
 * (Shapes that only contents decide are known too: they are constants.) */
static void every_case_tells_the_shapes_that_it_has(void **state)
{
    struct model_case c;
    struct hearth_model_port p;
    uint64_t at = 0;
    (void)state;
    while (model_case_next(pack, pack_bytes, &at, &c)) {
        hearth_model_t *model = open_case(&c, HEARTH_MODEL_PASS_ALL);
        for (uint32_t i = 0; i < c.output_count; i++) {
            const struct hearth_view *want = &c.outputs[i];
            assert_true(hearth_model_output(model, i, &p));
            assert_int_equal(p.dtype, want->dtype);
            assert_int_equal(p.shape.rank, want->shape.rank);
            for (int k = 0; k < p.shape.rank; k++)
                if (!HEARTH_DIM_IS_SYMBOL(p.shape.dims[k]))
                    assert_int_equal(p.shape.dims[k], want->shape.dims[k]);
        }
        hearth_model_close(&model);
    }
}

/* What a plugin does at each new shape agrees with what was run. */
static void every_case_specialises_to_the_answers_shapes(void **state)
{
    struct model_case c;
    struct hearth_error err = {0};
    uint64_t at = 0;
    (void)state;
    while (model_case_next(pack, pack_bytes, &at, &c)) {
        hearth_model_t *model = open_case(&c, HEARTH_MODEL_PASS_ALL);
        const struct hearth_graph *g = hearth_model_graph(model);
        struct hearth_shape shapes[MODEL_PORTS_MAX];
        struct hearth_spec spec;
        for (uint32_t i = 0; i < c.input_count; i++)
            shapes[i] = c.inputs[i].shape;
        int rc = hearth_spec_create(&spec, g, hearth_model_weights(model),
                                    shapes, &err);
        if (rc != HEARTH_OK)
            fail_msg("%s: %s", c.name, err.text);
        for (uint32_t i = 0; i < c.output_count; i++)
            assert_true(hearth_shape_equal(
                &spec.values[hearth_graph_outputs(g)[i]].shape,
                &c.outputs[i].shape));
        hearth_spec_destroy(&spec);
        hearth_model_close(&model);
    }
}

/* Import allocates all over: each allocation may fail. */
static void a_failed_allocation_is_an_error_and_leaks_nothing(void **state)
{
    struct model_case c;
    struct hearth_error err;
    uint64_t at = 0, used = hearth_mem_used_bytes();
    (void)state;
    while (model_case_next(pack, pack_bytes, &at, &c)) {
        int rc = HEARTH_ENOMEM;
        for (int64_t n = 1; rc != HEARTH_OK; n++) {
            hearth_model_t *model = NULL;
            hearth_mem_fail_at(n, false);
            rc = hearth_model_open_memory(&model, c.model, c.model_bytes,
                                          c.name, NULL, &err);
            hearth_mem_fail_at(0, false);
            assert_true(rc == HEARTH_OK || rc == HEARTH_ENOMEM);
            assert_true((rc == HEARTH_OK) == (model != NULL));
            hearth_model_close(&model);
            assert_int_equal(hearth_mem_used_bytes(), used);
            assert_true(n < 1000);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_gives_the_known_answer),
        cmocka_unit_test(every_case_becomes_the_expected_nodes),
        cmocka_unit_test(every_case_tells_the_shapes_that_it_has),
        cmocka_unit_test(every_case_specialises_to_the_answers_shapes),
        cmocka_unit_test(a_failed_allocation_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
