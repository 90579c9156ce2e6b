/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models that nobody should have written: each kind of damage is an error that
 * says what is wrong, at which node; nothing crashes, and nothing takes memory
 * out of proportion to the file. Run under ASan and UBSan to mean it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "unit/model_run.h"
#include "unit/onnx_build.h"

#define F32 1
#define I64 7

static int setup(void **state)
{
    (void)state;
    return hearth_base_init();
}

/* Opens, runs nothing, closes; the status. */
static int try_open(const void *data, size_t bytes, struct hearth_error *err)
{
    hearth_model_t *model = NULL;
    memset(err, 0, sizeof *err);
    int rc = hearth_model_open_memory(&model, data, bytes, "m.onnx", NULL, err);
    assert_true((rc == HEARTH_OK) == (model != NULL));
    if (rc != HEARTH_OK)
        assert_int_equal(rc, err->status);
    hearth_model_close(&model);
    return rc;
}

/* The model must be refused with <status> and a text that holds <part>. */
static void refused(struct pb *model, int status, const char *part)
{
    struct hearth_error err;
    uint64_t used = hearth_mem_used_bytes();
    int rc = try_open(model->data, model->bytes, &err);
    if (rc != status || strstr(err.text, part) == NULL ||
        strstr(err.text, "m.onnx") == NULL)
        fail_msg("%s: '%s', not %s: '%s'", hearth_status_name(rc), err.text,
                 hearth_status_name(status), part);
    assert_int_equal(hearth_mem_used_bytes(), used);
    pb_free(model);
}

/* A graph with input x f32 [n,4]. */
static struct pb graph_x(void)
{
    struct pb g = {0};
    onnx_input(&g, "x", F32, 2, (const int64_t[]){-1, 4});
    return g;
}

static void refused_graph(struct pb *graph, int status, const char *part)
{
    struct pb model = onnx_model(graph, 13);
    refused(&model, status, part);
}

/* One node from x to y. */
static void refused_node(struct pb *node, int status, const char *part)
{
    struct pb g = graph_x();
    pb_sub(&g, 1, node);
    onnx_output(&g, "y");
    refused_graph(&g, status, part);
}

static void a_simple_model_by_hand_is_taken(void **state)
{
    struct hearth_error err;
    (void)state;
    struct pb g = graph_x();
    onnx_add_node(&g, "Relu", "x", "y");
    onnx_output(&g, "y");
    struct pb m = onnx_model(&g, 13);
    assert_int_equal(try_open(m.data, m.bytes, &err), HEARTH_OK);
    pb_free(&m);
}

/* ---- Wire format ---- */

static void bytes_that_are_no_protobuf_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
    } cases[] = {
        {"<!DOCTYPE html><html><body>404 Not Found", 40},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a", 58},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11}, /* 11 bytes */
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11}, /* 65 bits */
        {"\x08\x80", 2},   /* a number that does not end */
        {"\x3a\x05xx", 4}, /* a length past the end */
        {"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10}, /* 2^63 */
        {"\x3b\x3c", 2},                                  /* a group */
        {"\x0f", 1},                                      /* wire type 7 */
        {"\x02\x00", 2},                                  /* field 0 */
        {"\x3d\x01\x02", 3},     /* 4 bytes, of which 2 are there */
        {"\x39\x01\x02\x03", 4}, /* 8 bytes, of which 3 are there */
        {"\x38\x01", 2},         /* the graph is a number */
        {"\x08\x08", 2},         /* no graph */
        {"", 0},
    };
    struct hearth_error err;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int rc = try_open(cases[i].bytes, cases[i].n, &err);
        if (rc != HEARTH_EMODEL)
            fail_msg("case %zu: %d", i, rc);
    }
}

static void a_message_that_stands_twice_is_refused(void **state)
{
    (void)state;
    struct pb g = graph_x(), again = {0};
    onnx_output(&g, "x");
    struct pb m = onnx_model(&g, 13);
    pb_sub(&m, 7, &again);
    refused(&m, HEARTH_EMODEL, "graph stands twice");
}

static void an_opset_that_is_not_known_is_refused(void **state)
{
    static const int64_t opsets[] = {0, 6, 29, 1000000, -1};
    (void)state;
    for (size_t i = 0; i < sizeof opsets / sizeof opsets[0]; i++) {
        struct pb g = graph_x();
        onnx_output(&g, "x");
        struct pb m = onnx_model(&g, opsets[i]);
        refused(&m, HEARTH_EUNSUPPORTED, "opset");
    }
}

static void every_truncation_is_refused(void **state)
{
    struct model_case c;
    struct hearth_error err;
    uint64_t bytes, at = 0;
    uint8_t *pack = model_data("model_cases.bin", &bytes);
    (void)state;
    while (model_case_next(pack, bytes, &at, &c)) {
        if (c.model_bytes > 700)
            continue;
        for (uint64_t n = 0; n < c.model_bytes; n++) {
            /* A copy of its own, so that ASan sees one byte too far. */
            uint8_t *cut = malloc(n + 1);
            memcpy(cut, c.model, n);
            uint8_t *exact = realloc(cut, n > 0 ? n : 1);
            int rc = try_open(exact, n, &err);
            assert_true(rc == HEARTH_EMODEL || rc == HEARTH_EUNSUPPORTED);
            free(exact);
        }
    }
    free(pack);
}

/* What a plugin would do with it. */
static void use(hearth_model_t *model)
{
    const struct hearth_graph *g = hearth_model_graph(model);
    const struct hearth_weights *w = hearth_model_weights(model);
    struct hearth_shape shapes[8] = {0};
    struct hearth_error err;
    struct hearth_spec spec;
    char text[512];
    for (uint32_t i = 0; i < g->value_count; i++) {
        const struct hearth_graph_value *v = hearth_graph_value(g, i);
        const void *data;
        if (v->kind == HEARTH_VALUE_WEIGHT)
            assert_int_equal(
                w->map(w->ctx, v->segment, v->offset, v->bytes, &data, &err),
                HEARTH_OK);
    }
    assert_true(g->input_count <= 8);
    for (uint32_t i = 0; i < g->input_count; i++) {
        struct hearth_model_port p;
        assert_true(hearth_model_input(model, i, &p));
        hearth_model_shape_text(model, &p.shape, text, sizeof text);
        shapes[i] = p.shape;
        for (int k = 0; k < p.shape.rank; k++)
            if (HEARTH_DIM_IS_SYMBOL(p.shape.dims[k]))
                shapes[i].dims[k] = 2;
        if (p.shape.rank < 0)
            shapes[i].rank = 2;
    }
    if (hearth_spec_create(&spec, g, w, shapes, &err) == HEARTH_OK)
        hearth_spec_destroy(&spec);
}

static void no_flipped_bit_does_harm(void **state)
{
    static const char *const names[] = {"reshape_keeps_the_batch_11",
                                        "softmax_11_unknown_sizes",
                                        "slice_10",
                                        "weights_in_typed_fields",
                                        "constant_of_shape_folded",
                                        "fuse_conv_bias_batchnorm"};
    struct model_case c;
    uint64_t bytes, at = 0;
    uint8_t *pack = model_data("model_cases.bin", &bytes);
    uint32_t taken = 0, tried = 0;
    (void)state;
    while (model_case_next(pack, bytes, &at, &c)) {
        bool listed = false;
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            listed |= strcmp(names[i], c.name) == 0;
        uint8_t *copy = malloc(c.model_bytes);
        memcpy(copy, c.model, c.model_bytes);
        for (uint64_t bit = 0; listed && bit < c.model_bytes * 8; bit++) {
            hearth_model_t *model = NULL;
            struct hearth_error err;
            copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
            int rc = hearth_model_open_memory(&model, copy, c.model_bytes,
                                              c.name, NULL, &err);
            if (rc == HEARTH_OK)
                use(model);
            hearth_model_close(&model);
            copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
            taken += rc == HEARTH_OK;
            tried++;
        }
        free(copy);
    }
    free(pack);
    /* Both happened: names and weights may change, lengths may not. */
    assert_true(tried > 10000 && taken > 0 && taken < tried);
}

/* ---- Graphs ---- */

static void a_cycle_is_named_by_a_node_on_it(void **state)
{
    (void)state;
    struct pb g = graph_x();
    onnx_add_node(&g, "Add", "x b", "a");
    onnx_add_node(&g, "Relu", "a", "b");
    onnx_output(&g, "b");
    refused_graph(&g, HEARTH_EMODEL, "node 0 'the_node' (Add): waits for");
    g = graph_x();
    onnx_add_node(&g, "Add", "x y", "y");
    onnx_output(&g, "y");
    refused_graph(&g, HEARTH_EMODEL, "cycle");
}

static void a_name_that_two_values_have_is_refused(void **state)
{
    (void)state;
    struct pb g = graph_x();
    onnx_add_node(&g, "Relu", "x", "y");
    onnx_add_node(&g, "Tanh", "x", "y");
    onnx_output(&g, "y");
    refused_graph(&g, HEARTH_EMODEL, "node 1 'the_node' (Tanh): 'y' is the");
    g = graph_x();
    onnx_add_node(&g, "Relu", "x", "x");
    onnx_output(&g, "x");
    refused_graph(&g, HEARTH_EMODEL, "two values");
    g = graph_x();
    onnx_input(&g, "x", F32, 0, NULL);
    onnx_output(&g, "x");
    refused_graph(&g, HEARTH_EMODEL, "two values");
    g = graph_x();
    for (int i = 0; i < 2; i++) {
        struct pb t = onnx_tensor("w", F32, 0, NULL, "0000", 4);
        pb_sub(&g, 5, &t);
    }
    refused_graph(&g, HEARTH_EMODEL, "two values");
}

static void names_that_lead_nowhere_are_refused(void **state)
{
    (void)state;
    struct pb node = onnx_node("Add", "x nowhere", "y");
    refused_node(&node, HEARTH_EMODEL, "(Add): 'nowhere' is an input that");
    node = onnx_node("Add", "x x", "z");
    refused_node(&node, HEARTH_EMODEL, "'y' is an output that no node makes");
    struct pb g = graph_x();
    onnx_add_node(&g, "Relu", "x", "y");
    refused_graph(&g, HEARTH_EMODEL, "no output");
    g = graph_x();
    onnx_add_node(&g, "Relu", "x", "y");
    onnx_output(&g, "y");
    onnx_output(&g, "y");
    refused_graph(&g, HEARTH_EMODEL, "an output twice");
    node = onnx_node("Relu", "x", "-");
    refused_node(&node, HEARTH_EMODEL, "no node makes");
    node = onnx_node("Relu", "-", "y");
    refused_node(&node, HEARTH_EMODEL, "input 0 is missing");
    node = onnx_node("Relu", "", "y");
    refused_node(&node, HEARTH_EMODEL, "input 0 is missing");
    node = onnx_node("Add", "x", "y");
    refused_node(&node, HEARTH_EMODEL, "(Add)");
    node = onnx_node("Relu", "x x", "y");
    refused_node(&node, HEARTH_EMODEL, "2 inputs");
    node = onnx_node("Relu", "x", "y z");
    refused_node(&node, HEARTH_EMODEL, "2 outputs");
    node = (struct pb){0};
    refused_node(&node, HEARTH_EMODEL, "no operator");
}

static void names_that_are_not_utf8_are_refused(void **state)
{
    static const char *const bad[] = {
        "a\x80",
        "\xc3",
        "\xc0\xaf",
        "\xe0\x80\xaf",
        "\xed\xa0\x80",
        "\xf4\x90\x80\x80",
        "\xf0\x80\x80\x80",
        "\xff",
    };
    struct hearth_error err;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct pb node = onnx_node("Relu", "x", bad[i]);
        refused_node(&node, HEARTH_EMODEL, "not UTF-8");
        node = onnx_node("Relu", "x", "y");
        pb_text(&node, 3, bad[i]);
        refused_node(&node, HEARTH_EMODEL, "not UTF-8");
    }
    struct pb node = onnx_node("Relu", "x", "y");
    pb_bytes(&node, 3, "a\0b", 3);
    refused_node(&node, HEARTH_EMODEL, "not UTF-8");
    struct pb g = graph_x();
    onnx_add_node(&g, "Relu", "x", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\xa5");
    onnx_output(&g, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\xa5");
    struct pb m = onnx_model(&g, 13);
    assert_int_equal(try_open(m.data, m.bytes, &err), HEARTH_OK);
    pb_free(&m);
}

static void an_operator_that_is_not_known_is_named(void **state)
{
    (void)state;
    struct pb node = onnx_node("TfIdfVectorizer", "x", "y");
    refused_node(&node, HEARTH_EUNSUPPORTED,
                 "node 0 'the_node' (TfIdfVectorizer): the operator is not");
    node = onnx_node("Relu", "x", "y");
    pb_text(&node, 7, "com.microsoft");
    refused_node(&node, HEARTH_EUNSUPPORTED, "(com.microsoft.Relu)");
    struct pb g = graph_x();
    onnx_add_node(&g, "ConstantOfShape", "x", "y");
    onnx_output(&g, "y");
    struct pb m = onnx_model(&g, 8);
    refused(&m, HEARTH_EUNSUPPORTED, "does not exist in opset 8");
    g = graph_x();
    onnx_add_node(&g, "StringSplit", "x", "a");
    onnx_add_node(&g, "Relu", "a", "b");
    onnx_add_node(&g, "ImageDecoder", "b", "c");
    onnx_add_node(&g, "StringSplit", "c", "d");
    onnx_add_node(&g, "RegexFullMatch", "d", "y");
    onnx_output(&g, "y");
    refused_graph(&g, HEARTH_EUNSUPPORTED,
                  "(StringSplit): the operator is not supported, nor are "
                  "ImageDecoder, RegexFullMatch;");
}

static void attributes_that_say_something_else_are_refused(void **state)
{
    static const int64_t many[65] = {0};
    (void)state;
    struct pb node = onnx_node("Relu", "x", "y");
    onnx_attr_int(&node, "alpha", 1);
    refused_node(&node, HEARTH_EUNSUPPORTED, "attribute 'alpha' is not known");
    node = onnx_node("Flatten", "x", "y");
    onnx_attr_ints(&node, "axis", 1, many);
    refused_node(&node, HEARTH_EMODEL, "'axis' is of type 7");
    node = onnx_node("Flatten", "x", "y");
    onnx_attr_int(&node, "axis", 1);
    onnx_attr_int(&node, "axis", 1);
    refused_node(&node, HEARTH_EMODEL, "stands twice");
    node = onnx_node("Transpose", "x", "y");
    onnx_attr_ints(&node, "perm", 65, many);
    refused_node(&node, HEARTH_EMODEL, "has 65 numbers");
    node = onnx_node("Transpose", "x", "y");
    onnx_attr_ints(&node, "perm", 2, many);
    refused_node(&node, HEARTH_EMODEL, "(Transpose)");
    node = onnx_node("Softmax", "x", "y");
    onnx_attr_int(&node, "axis", 7);
    refused_node(&node, HEARTH_EMODEL, "(Softmax)");
    node = onnx_node("Cast", "x", "y");
    onnx_attr_int(&node, "to", 8);
    refused_node(&node, HEARTH_EUNSUPPORTED, "element type 8");
    node = onnx_node("Concat", "x x", "y");
    refused_node(&node, HEARTH_EMODEL, "axis is missing");
    node = onnx_node("Constant", "", "y");
    refused_node(&node, HEARTH_EMODEL, "it has 0 values");
    node = onnx_node("Dropout", "x x x", "y");
    refused_node(&node, HEARTH_EUNSUPPORTED, "training");
    struct pb ref = {0};
    node = onnx_node("Flatten", "x", "y");
    pb_text(&ref, 1, "axis");
    pb_text(&ref, 21, "outer");
    pb_sub(&node, 5, &ref);
    refused_node(&node, HEARTH_EUNSUPPORTED, "function");
}

static void ports_that_are_no_tensors_are_refused(void **state)
{
    (void)state;
    struct pb g = {0};
    onnx_input(&g, "x", 8, 0, NULL);
    onnx_output(&g, "x");
    refused_graph(&g, HEARTH_EUNSUPPORTED, "'x' has element type 8");
    struct pb port = {0}, type = {0}, sequence = {0};
    pb_text(&port, 1, "x");
    pb_sub(&type, 4, &sequence);
    pb_sub(&port, 2, &type);
    g = (struct pb){0};
    pb_sub(&g, 11, &port);
    refused_graph(&g, HEARTH_EUNSUPPORTED, "'x' is not a tensor");
    g = (struct pb){0};
    onnx_input(&g, "x", F32, 9, (const int64_t[9]){1, 1, 1, 1, 1, 1, 1, 1, 1});
    onnx_output(&g, "x");
    refused_graph(&g, HEARTH_EUNSUPPORTED, "more than 8 dimensions");
    g = (struct pb){0};
    for (int i = 0; i < 5000; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%d", i);
        onnx_input(&g, name, F32, 0, NULL);
    }
    onnx_output(&g, "x0");
    refused_graph(&g, HEARTH_EUNSUPPORTED, "4096 inputs");
}

/* ---- Tensors ---- */

static void refused_tensor(struct pb *tensor, int status, const char *part)
{
    struct pb g = graph_x();
    pb_sub(&g, 5, tensor);
    onnx_add_node(&g, "Relu", "x", "y");
    onnx_output(&g, "y");
    refused_graph(&g, status, part);
}

static void tensors_that_lie_are_refused(void **state)
{
    const int64_t two[] = {2}, huge[] = {INT64_C(1) << 62, INT64_C(1) << 62},
                  minus[] = {-2}, nine[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    (void)state;
    struct pb t = onnx_tensor("w", F32, 1, two, "1234567", 7);
    refused_tensor(&t, HEARTH_EMODEL, "'w' has raw_data of another size");
    t = onnx_tensor("w", F32, 1, two, NULL, 0);
    refused_tensor(&t, HEARTH_EMODEL, "'w' has no data");
    t = onnx_tensor("w", F32, 2, huge, "1234", 4);
    refused_tensor(&t, HEARTH_EMODEL, "overflows");
    t = onnx_tensor("w", F32, 1, huge, "1234", 4);
    refused_tensor(&t, HEARTH_EMODEL, "'w' has");
    t = onnx_tensor("w", F32, 1, minus, "1234", 4);
    refused_tensor(&t, HEARTH_EMODEL, "negative dimension");
    t = onnx_tensor("w", F32, 9, nine, "1234", 4);
    refused_tensor(&t, HEARTH_EUNSUPPORTED, "rank 9");
    t = onnx_tensor("w", 8, 0, NULL, NULL, 0);
    refused_tensor(&t, HEARTH_EUNSUPPORTED, "element type 8");
    t = onnx_tensor("w", 17, 0, NULL, "1", 1);
    refused_tensor(&t, HEARTH_EUNSUPPORTED, "element type 17");
    t = onnx_tensor("w", -1, 0, NULL, "1", 1);
    refused_tensor(&t, HEARTH_EUNSUPPORTED, "element type");
    t = onnx_tensor("", F32, 0, NULL, "1234", 4);
    refused_tensor(&t, HEARTH_EMODEL, "no name");
    t = onnx_tensor("w", I64, 1, two, NULL, 0);
    pb_int(&t, 7, 1);
    refused_tensor(&t, HEARTH_EMODEL, "more or fewer numbers");
    t = onnx_tensor("w", I64, 1, two, NULL, 0);
    pb_bytes(&t, 7, "\x01\x02\x03", 3);
    refused_tensor(&t, HEARTH_EMODEL, "more or fewer numbers");
    t = onnx_tensor("w", I64, 1, two, NULL, 0);
    pb_bytes(&t, 7, "\x01\x82", 2);
    refused_tensor(&t, HEARTH_EMODEL, "cut");
    t = onnx_tensor("w", F32, 1, two, NULL, 0);
    pb_bytes(&t, 7, "\x01\x02", 2);
    refused_tensor(&t, HEARTH_EMODEL, "data of another type");
    t = onnx_tensor("w", I64, 1, two, NULL, 0);
    pb_int(&t, 7, 1);
    pb_int(&t, 5, 1);
    refused_tensor(&t, HEARTH_EMODEL, "data of two types");
    t = onnx_tensor("w", F32, 1, two, NULL, 0);
    pb_bytes(&t, 3, "", 0);
    refused_tensor(&t, HEARTH_EUNSUPPORTED, "segments");
    t = onnx_tensor("w", F32, 1, two, NULL, 0);
    pb_int(&t, 14, 1);
    refused_tensor(&t, HEARTH_EUNSUPPORTED, "external data");
    struct pb g = graph_x(), sparse = {0};
    pb_sub(&g, 15, &sparse);
    refused_graph(&g, HEARTH_EUNSUPPORTED, "sparse");
}

static void types_that_disagree_are_named_with_their_node(void **state)
{
    const int64_t four[] = {4}, five[] = {5};
    (void)state;
    struct pb g = graph_x();
    struct pb t =
        onnx_tensor("w", I64, 1, four, "01234567012345670123456701234567", 32);
    pb_sub(&g, 5, &t);
    onnx_add_node(&g, "Add", "x w", "y");
    onnx_output(&g, "y");
    refused_graph(&g, HEARTH_EMODEL, "node 0 'the_node' (Add)");
    g = graph_x();
    t = onnx_tensor("w", F32, 1, five, "01234567012345670123", 20);
    pb_sub(&g, 5, &t);
    onnx_add_node(&g, "Add", "x w", "y");
    onnx_output(&g, "y");
    refused_graph(&g, HEARTH_EMODEL, "node 0 'the_node' (Add)");
}

/* ---- Size ---- */

static void a_long_chain_is_taken_and_not_walked_recursively(void **state)
{
    struct hearth_error err;
    char in[16], out[16];
    (void)state;
    struct pb g = graph_x();
    for (int i = 30000; i > 0; i--) { /* backwards: it must be sorted */
        snprintf(in, sizeof in, i == 1 ? "x" : "v%d", i - 1);
        snprintf(out, sizeof out, "v%d", i);
        onnx_add_node(&g, i % 2 ? "Relu" : "Identity", in, out);
    }
    onnx_output(&g, "v30000");
    struct pb m = onnx_model(&g, 13);
    assert_int_equal(try_open(m.data, m.bytes, &err), HEARTH_OK);
    pb_free(&m);
}

static void many_inputs_of_two_bytes_cost_little(void **state)
{
    struct hearth_error err;
    (void)state;
    struct pb node = {0}, g = graph_x();
    for (int i = 0; i < 200000; i++)
        pb_text(&node, 1, "x");
    pb_text(&node, 2, "y");
    pb_text(&node, 4, "Concat");
    onnx_attr_int(&node, "axis", 0);
    pb_sub(&g, 1, &node);
    onnx_output(&g, "y");
    struct pb m = onnx_model(&g, 13);
    assert_int_equal(try_open(m.data, m.bytes, &err), HEARTH_OK);
    pb_free(&m);
}

/* What folding may take is bounded, however much a file asks for. */
static void constants_do_not_explode(void **state)
{
    const int64_t one[] = {1}, two[] = {2};
    int64_t size = 16000, square[] = {INT64_C(1) << 30, INT64_C(1) << 30};
    struct hearth_error err = {0};
    hearth_model_t *model = NULL;
    struct hearth_model_totals totals;
    char out[16];
    (void)state;
    struct pb g = graph_x();
    struct pb t = onnx_tensor("s", I64, 1, one, &size, 8);
    pb_sub(&g, 5, &t);
    t = onnx_tensor("q", I64, 1, two, square, 16);
    pb_sub(&g, 5, &t);
    for (int i = 0; i < 2000; i++) { /* 64 kB each, from 40 bytes */
        snprintf(out, sizeof out, "c%d", i);
        onnx_add_node(&g, "ConstantOfShape", "s", out);
        onnx_output(&g, out);
    }
    onnx_add_node(&g, "ConstantOfShape", "q", "y"); /* 2^62 bytes */
    onnx_output(&g, "y");
    struct pb m = onnx_model(&g, 13);
    int rc = hearth_model_open_memory(&model, m.data, m.bytes, "m", NULL, &err);
    if (rc != HEARTH_OK)
        fail_msg("%s", err.text);
    hearth_model_totals(model, &totals);
    assert_true(totals.heap_bytes <= 256 * m.bytes + (UINT64_C(96) << 20));
    assert_true(totals.derived_bytes > 0);
    hearth_model_close(&model);
    pb_free(&m);
}

static void arithmetic_that_fails_is_named(void **state)
{
    const int64_t one[] = {1};
    int64_t zero = 0;
    (void)state;
    struct pb g = graph_x();
    struct pb t = onnx_tensor("z", I64, 1, one, &zero, 8);
    pb_sub(&g, 5, &t);
    onnx_add_node(&g, "Div", "z z", "d");
    onnx_add_node(&g, "Reshape", "x d", "y");
    onnx_output(&g, "y");
    struct pb m = onnx_model(&g, 13);
    struct hearth_error err;
    int rc = try_open(m.data, m.bytes, &err);
    assert_int_not_equal(rc, HEARTH_OK);
    assert_non_null(strstr(err.text, "node 0 'the_node' (Div)"));
    pb_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_simple_model_by_hand_is_taken),
        cmocka_unit_test(bytes_that_are_no_protobuf_are_refused),
        cmocka_unit_test(a_message_that_stands_twice_is_refused),
        cmocka_unit_test(an_opset_that_is_not_known_is_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(no_flipped_bit_does_harm),
        cmocka_unit_test(a_cycle_is_named_by_a_node_on_it),
        cmocka_unit_test(a_name_that_two_values_have_is_refused),
        cmocka_unit_test(names_that_lead_nowhere_are_refused),
        cmocka_unit_test(names_that_are_not_utf8_are_refused),
        cmocka_unit_test(an_operator_that_is_not_known_is_named),
        cmocka_unit_test(attributes_that_say_something_else_are_refused),
        cmocka_unit_test(ports_that_are_no_tensors_are_refused),
        cmocka_unit_test(tensors_that_lie_are_refused),
        cmocka_unit_test(types_that_disagree_are_named_with_their_node),
        cmocka_unit_test(a_long_chain_is_taken_and_not_walked_recursively),
        cmocka_unit_test(many_inputs_of_two_bytes_cost_little),
        cmocka_unit_test(constants_do_not_explode),
        cmocka_unit_test(arithmetic_that_fails_is_named),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
