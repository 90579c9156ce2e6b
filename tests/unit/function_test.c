/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hearth.yaml, on the model and the pictures of examples/digits: what is taken,
 * what is refused and how, and that defaults come from the model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "function/function.h"

static char directory[] = "/tmp/hearth-function-XXXXXX";
static char path[64];
static hearth_model_t *model;

static const char *top_file(const char *name)
{
    static char file[512];
    const char *top = getenv("HEARTH_SRCDIR");
    snprintf(file, sizeof file, "%s/%s", top != NULL ? top : ".", name);
    return file;
}

static void put_file(const char *name, const char *text, size_t bytes)
{
    char file[128];
    snprintf(file, sizeof file, "%s/%s", directory, name);
    FILE *f = fopen(file, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, bytes, f), bytes);
    fclose(f);
}

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/hearth.yaml", directory);
    return hearth_model_open(&model, top_file("examples/digits/model.onnx"),
                             NULL, NULL);
}

static int teardown(void **state)
{
    char command[64];
    (void)state;
    hearth_model_close(&model);
    snprintf(command, sizeof command, "rm -r %s", directory);
    return system(command);
}

static int open_text(hearth_function_t **f, const char *yaml,
                     struct hearth_error *err)
{
    put_file("hearth.yaml", yaml, strlen(yaml));
    return hearth_function_open(f, path, err);
}

static hearth_function_t *bound(const char *yaml)
{
    hearth_function_t *f;
    struct hearth_error err = {0};
    if (open_text(&f, yaml, &err) != 0 ||
        hearth_function_bind(f, model, &err) != 0)
        fail_msg("%s: %s", yaml, err.text);
    return f;
}

/* ---- The file ---- */

static void one_line_is_enough(void **state)
{
    (void)state;
    hearth_function_t *f = bound("model: m.onnx\n");
    const struct hearth_function_info *info = hearth_function_info(f);
    char want[128];
    snprintf(want, sizeof want, "%s/m.onnx", directory);
    assert_string_equal(info->model_path, want);
    assert_string_equal(info->name, directory + strlen("/tmp/"));
    assert_int_equal(info->input, HEARTH_KIND_JSON);
    assert_int_equal(info->output, HEARTH_KIND_JSON);
    assert_int_equal(info->timeout_us, 0);
    assert_int_equal(info->max_body_bytes, 16 << 20);
    assert_true(info->warm);
    hearth_function_close(&f);
    assert_null(f);
}

static void every_key_is_taken(void **state)
{
    (void)state;
    put_file("l.txt", "a\r\nb\nc\nd\ne\nf\ng\nh\ni\nj", 20);
    hearth_function_t *f = bound("model: /abs/m.onnx\n"
                                 "name: digits\n"
                                 "timeout: 1m30s\n"
                                 "warm: false\n"
                                 "max_body: 2MiB\n"
                                 "input:\n"
                                 "  kind: image\n"
                                 "  size: 8x8\n"
                                 "  channels: 1\n"
                                 "  resize: 10\n"
                                 "  crop: center\n"
                                 "  scale: 1/255\n"
                                 "  mean: [0.5]\n"
                                 "  deviation: 0.25\n"
                                 "  layout: NCHW\n"
                                 "output: {kind: labels, labels: l.txt, top: 2,"
                                 " softmax: no, name: logits}\n");
    const struct hearth_function_info *info = hearth_function_info(f);
    assert_string_equal(info->model_path, "/abs/m.onnx");
    assert_string_equal(info->name, "digits");
    assert_int_equal(info->timeout_us, 90000000);
    assert_false(info->warm);
    assert_int_equal(info->max_body_bytes, 2 << 20);
    hearth_function_close(&f);
}

static void a_broken_file_is_told_with_its_line(void **state)
{
    (void)state;
    put_file("empty.txt", "", 0);
    put_file("three.txt", "a\nb\nc\n", 6);
    const struct {
        const char *yaml, *says;
    } cases[] = {
        {"", "hearth.yaml:1: expected keys"},
        {"- a\n", "hearth.yaml:1: expected keys"},
        {"name: x\n", "the key 'model' is missing"},
        {"model: m\nmodle: n\n",
         "hearth.yaml:2: unknown key 'modle'; did you mean 'model'?"},
        {"model: m\nzzzzzzz: n\n",
         "hearth.yaml:2: unknown key 'zzzzzzz'; known "
         "are model name input"},
        {"model: m\ninput:\n  kin: image\n",
         "hearth.yaml:3: unknown key 'input.kin'; did you mean 'input.kind'?"},
        {"model: m\ninput:\n  kind: labels\n",
         "hearth.yaml:3: input.kind is 'labels'; expected image, json"},
        {"model: m\noutput:\n  kind: image\n",
         "hearth.yaml:3: output.kind is 'image'; expected labels"},
        {"model: m\ninput: image\n",
         "hearth.yaml:2: input is 'image'; expected"},
        {"model: [m]\n", "hearth.yaml:1: model is a list"},
        {"model: m\nwarm: maybe\n", "hearth.yaml:2: warm is 'maybe'"},
        {"model: m\nmax_body: 0\n", "hearth.yaml:2: max_body is '0'"},
        {"model: m\ninput:\n  deviation: [1, 0, 1]\n",
         "hearth.yaml:3: input.deviation"},
        {"model: m\ninput:\n  mean: [1, 2]\n", "hearth.yaml:3: input.mean"},
        {"model: m\ninput:\n  scale: 1/0\n", "hearth.yaml:3: input.scale"},
        {"model: m\ninput:\n  size: 0x8\n", "hearth.yaml:3: input.size"},
        {"model: m\ninput: {kind: image, crop: center}\n",
         "input.crop needs input.size"},
        {"model: m\nmodel: n\n", "'model' is here a second time"},
        {"model: m\ninput: {kind: [}\n", "hearth.yaml:2: not YAML"},
        {"model: \"a\nb\x01\"\n", "not YAML"},
        {"model: m\noutput: {kind: labels, labels: no.txt}\n",
         "hearth.yaml: output.labels: cannot read"},
        {"model: m\noutput: {kind: labels, labels: empty.txt}\n",
         "is no list of labels"},
        {"model: m\noutput: {kind: json, labels: three.txt}\n",
         "output.kind is json; expected kind: labels"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hearth_function_t *f;
        struct hearth_error err = {0};
        uint64_t before = hearth_mem_used_bytes();
        int rc = open_text(&f, cases[i].yaml, &err);
        if (rc != HEARTH_ECONFIG || strstr(err.text, cases[i].says) == NULL)
            fail_msg("case %zu: %d '%s'", i, rc, err.text);
        assert_null(f);
        assert_int_equal(hearth_mem_used_bytes(), before);
    }
    hearth_function_t *f;
    struct hearth_error err;
    assert_int_equal(hearth_function_open(&f, "/no/such.yaml", &err),
                     HEARTH_ENOENT);
    assert_int_equal(hearth_function_open(&f, directory, &err), HEARTH_EIO);
}

static void any_cut_and_any_flip_of_a_file_is_taken_or_refused(void **state)
{
    (void)state;
    const char yaml[] = "model: m.onnx\ninput: {kind: image, size: 8x8, mean: "
                        "[1, 2, 3]}\noutput:\n  kind: labels\n  top: 3\n"
                        "timeout: 30s\n";
    char copy[sizeof yaml];
    uint64_t before = hearth_mem_used_bytes();
    for (size_t n = 0; n < sizeof yaml - 1; n++) {
        hearth_function_t *f;
        memcpy(copy, yaml, sizeof yaml);
        put_file("hearth.yaml", copy, n);
        (void)hearth_function_open(&f, path, NULL);
        hearth_function_close(&f);
        copy[n] ^= (char)(1 << n % 7);
        put_file("hearth.yaml", copy, sizeof yaml - 1);
        (void)hearth_function_open(&f, path, NULL);
        hearth_function_close(&f);
    }
    assert_int_equal(hearth_mem_used_bytes(), before);
}

/* ---- The model ---- */

static void what_does_not_fit_the_model_is_told(void **state)
{
    (void)state;
    put_file("three.txt", "a\nb\nc\n", 6);
    const struct {
        const char *yaml, *says;
    } cases[] = {
        {"input: {kind: image, size: 9x8}", "[N,1,8,8], and input.size is 9x8"},
        {"input: {kind: image, channels: 3}", "channels 3"},
        {"input: {kind: image, layout: NHWC}", "layout NHWC"},
        {"input: {kind: image, mean: [1, 2, 3]}", "three numbers"},
        {"output: {kind: json, name: nosuch}", "output.name is 'nosuch'"},
        {"output: {kind: labels, labels: three.txt}",
         "output.labels has 3 labels, and the model 10 classes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hearth_function_t *f;
        struct hearth_error err = {0};
        char yaml[200];
        snprintf(yaml, sizeof yaml, "model: m\n%s\n", cases[i].yaml);
        assert_int_equal(open_text(&f, yaml, &err), 0);
        int rc = hearth_function_bind(f, model, &err);
        if (rc != HEARTH_ECONFIG || strstr(err.text, cases[i].says) == NULL)
            fail_msg("case %zu: %d '%s'", i, rc, err.text);
        hearth_function_close(&f);
    }
}

/* ---- Bodies ---- */

static int decode(const hearth_function_t *f, const void *data, size_t bytes,
                  struct hearth_tensor_list *inputs, struct hearth_error *err)
{
    struct hearth_function_context context = {0};
    hearth_buffer_t *body;
    *inputs = (struct hearth_tensor_list){0};
    assert_int_equal(hearth_buffer_create(bytes, NULL, &body), 0);
    memcpy(hearth_buffer_data(body), data, bytes);
    int rc = hearth_function_decode(f, NULL, body, bytes, 0, NULL, &context,
                                    inputs, err);
    hearth_buffer_unref(body);
    hearth_function_context_clear(&context);
    return rc;
}

static void a_picture_becomes_the_models_input(void **state)
{
    (void)state;
    hearth_function_t *f = bound("model: m\ninput: {kind: image}\n");
    struct hearth_tensor_list inputs;
    char data[1000], text[64];
    FILE *file = fopen(top_file("examples/digits/7.png"), "rb");
    assert_non_null(file);
    size_t bytes = fread(data, 1, sizeof data, file);
    fclose(file);
    assert_int_equal(decode(f, data, bytes, &inputs, NULL), 0);
    assert_string_equal(inputs.items[0].name, "image");
    assert_string_equal(
        hearth_shape_text(&inputs.items[0].shape, text, sizeof text),
        "[1,1,8,8]");
    const float *x = hearth_tensor_view(&inputs.items[0]).data;
    float most = 0;
    for (int i = 0; i < 64; i++) {
        assert_true(x[i] >= 0 && x[i] <= 1);
        most = x[i] > most ? x[i] : most;
    }
    assert_true(most > 0.5f);
    hearth_tensor_list_clear(&inputs);
    struct hearth_error err;
    assert_int_equal(decode(f, "", 0, &inputs, &err), HEARTH_EINVAL);
    assert_int_equal(decode(f, "[1]", 3, &inputs, &err), HEARTH_EMEDIA);
    hearth_function_close(&f);
}

static void raw_bytes_tell_the_batch(void **state)
{
    (void)state;
    hearth_function_t *f = bound("model: m\ninput: {kind: raw}\n");
    static float x[3 * 64];
    struct hearth_tensor_list inputs;
    struct hearth_error err;
    assert_int_equal(decode(f, x, sizeof x, &inputs, NULL), 0);
    assert_int_equal(inputs.items[0].shape.dims[0], 3);
    hearth_tensor_list_clear(&inputs);
    assert_int_equal(decode(f, x, sizeof x - 1, &inputs, &err), HEARTH_ESHAPE);
    assert_non_null(strstr(err.text, "send a multiple of 256"));
    hearth_function_close(&f);
}

static void one_json_item_may_come_without_the_batch(void **state)
{
    (void)state;
    hearth_function_t *f = bound("model: m\n");
    struct hearth_tensor_list inputs;
    struct hearth_error err;
    char picture[400];
    size_t used = (size_t)snprintf(picture, sizeof picture, "[[");
    for (int row = 0; row < 8; row++) /* [1,8,8] */
        used += (size_t)snprintf(picture + used, sizeof picture - used,
                                 "%s[1,2,3,4,5,6,7,8]", row > 0 ? "," : "");
    snprintf(picture + used, sizeof picture - used, "]]");
    assert_int_equal(decode(f, picture, strlen(picture), &inputs, NULL), 0);
    assert_int_equal(inputs.items[0].shape.rank, 4);
    assert_int_equal(inputs.items[0].shape.dims[0], 1);
    hearth_tensor_list_clear(&inputs);
    assert_int_equal(decode(f, "[[[1,2]]]", 9, &inputs, &err), HEARTH_ESHAPE);
    assert_non_null(strstr(err.text, "Expected [-1,1,8,8], got [1,1,1,2]"));
    assert_int_equal(inputs.count, 0);
    assert_int_equal(decode(f, "[1] 2", 5, &inputs, NULL), HEARTH_EPROTO);
    hearth_function_close(&f);
}

static void zeros_have_the_models_shape(void **state)
{
    (void)state;
    hearth_function_t *f = bound("model: m\ninput: {kind: oip}\n");
    struct hearth_tensor_list inputs = {0};
    assert_int_equal(hearth_function_zeros(f, NULL, &inputs, NULL), 0);
    assert_int_equal(inputs.items[0].shape.dims[0], 1);
    assert_int_equal(inputs.items[0].shape.dims[3], 8);
    hearth_tensor_list_clear(&inputs);
    hearth_function_close(&f);
}

/* ---- Answers ---- */

static void expect_answer(const char *yaml, int64_t rows, const char *want)
{
    float y[20] = {0};
    struct hearth_tensor_list outputs = {0};
    struct hearth_function_context context = {0};
    struct hearth_function_answer answer;
    struct hearth_shape shape = {.rank = 2, .dims = {rows, 10}};
    hearth_buffer_t *buffer;
    hearth_function_t *f = bound(yaml);
    y[3] = 2;
    y[15] = 1;
    hearth_buffer_wrap(y, sizeof y, NULL, NULL, &buffer);
    hearth_tensor_list_add(&outputs, "logits", HEARTH_F32, &shape, buffer, 0);
    assert_int_equal(
        hearth_function_encode(f, &context, &outputs, NULL, &answer, NULL), 0);
    size_t bytes = hearth_buffer_bytes(answer.body);
    char *got = calloc(1, bytes + 1);
    memcpy(got, hearth_buffer_data(answer.body), bytes);
    assert_string_equal(got, want);
    free(got);
    hearth_buffer_unref(answer.body);
    hearth_tensor_list_clear(&outputs);
    hearth_buffer_unref(buffer);
    hearth_function_close(&f);
}

static void answers_are_as_the_file_says(void **state)
{
    (void)state;
    expect_answer("model: m\noutput: {kind: labels, top: 1, softmax: false}\n",
                  1,
                  "{\"predictions\":[{\"label\":\"3\",\"probability\":2}]}\n");
    expect_answer("model: m\noutput: {kind: labels, top: 1, softmax: false}\n",
                  2,
                  "{\"predictions\":[[{\"label\":\"3\",\"probability\":2}],"
                  "[{\"label\":\"5\",\"probability\":1}]]}\n");
    /* The model ends in a Gemm: its numbers are logits. */
    expect_answer("model: m\noutput: {kind: labels, top: 1}\n", 1,
                  "{\"predictions\":[{\"label\":\"3\",\"probability\":"
                  "0.45085305}]}\n");
    expect_answer("model: m\n", 1, "[[0,0,0,2,0,0,0,0,0,0]]\n");
    expect_answer("model: m\nname: d\noutput: {kind: oip}\n", 1,
                  "{\"model_name\":\"d\",\"model_version\":\"1\",\"outputs\":"
                  "[{\"name\":\"logits\",\"datatype\":\"FP32\",\"shape\":"
                  "[1,10],\"data\":[0,0,0,2,0,0,0,0,0,0]}]}");
}

static void running_out_of_memory_opens_nothing(void **state)
{
    (void)state;
    uint64_t before = hearth_mem_used_bytes();
    put_file("l.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n", 20);
    for (int n = 1; n < 25; n++) {
        hearth_function_t *f;
        struct hearth_error err;
        hearth_mem_fail_at(n, false);
        int rc = open_text(&f,
                           "model: m\nname: x\noutput: {kind: labels, "
                           "labels: l.txt}\n",
                           &err);
        if (rc == 0)
            rc = hearth_function_bind(f, model, &err);
        hearth_mem_fail_at(0, false);
        assert_true(rc == HEARTH_ENOMEM || rc == 0);
        hearth_function_close(&f);
        assert_int_equal(hearth_mem_used_bytes(), before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_line_is_enough),
        cmocka_unit_test(every_key_is_taken),
        cmocka_unit_test(a_broken_file_is_told_with_its_line),
        cmocka_unit_test(any_cut_and_any_flip_of_a_file_is_taken_or_refused),
        cmocka_unit_test(what_does_not_fit_the_model_is_told),
        cmocka_unit_test(a_picture_becomes_the_models_input),
        cmocka_unit_test(raw_bytes_tell_the_batch),
        cmocka_unit_test(one_json_item_may_come_without_the_batch),
        cmocka_unit_test(zeros_have_the_models_shape),
        cmocka_unit_test(answers_are_as_the_file_says),
        cmocka_unit_test(running_out_of_memory_opens_nothing),
    };
    return hearth_base_init() != 0 ||
           cmocka_run_group_tests(tests, setup, teardown);
}
