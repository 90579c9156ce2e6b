/* SPDX-License-Identifier: Apache-2.0 */
/* config.pbtxt: what is known is taken, what is not is named, what is broken is
 * told with its line; and no text makes the reader go astray. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve/pbtxt.h"

static struct hearth__pbtxt *config;
static struct hearth_error err;

static int parse(const char *text)
{
    hearth__pbtxt_free(&config);
    memset(&err, 0, sizeof(err));
    return hearth__pbtxt_parse(&config, text, strlen(text), "c", &err);
}

static void every_known_field_is_taken(void **state)
{
    (void)state;
    assert_int_equal(
        parse("name: 'a' 'b' # two pieces\n"
              "platform: \"onnxruntime_onnx\"; max_batch_size: 8,\n"
              "input < name: \"x\" data_type: TYPE_FP16 dims: 3 dims: -1 >\n"
              "input [ { name: \"y\", dims: [ ] }, { name: \"z\" } ]\n"
              "output { name: \"o\\\"q\" label_filename: \"l.txt\" }\n"
              "version_policy { latest { num_versions: 3 } }\n"
              "instance_group { count: 2 } instance_group [ { kind: KIND_GPU } "
              "]\n"
              "dynamic_batching { }\n"),
        HEARTH_OK);
    assert_string_equal(config->name, "ab");
    assert_int_equal(config->max_batch_size, 8);
    assert_int_equal(config->input_count, 3);
    assert_int_equal(config->inputs[0].dtype, HEARTH_F16);
    assert_int_equal(config->inputs[0].shape.rank, 2);
    assert_int_equal(config->inputs[0].shape.dims[1], -1);
    assert_int_equal(config->inputs[2].shape.rank, -1);
    assert_string_equal(config->outputs[0].name, "o\"q");
    assert_string_equal(config->outputs[0].label_file, "l.txt");
    assert_int_equal(config->latest, 3);
    assert_int_equal(config->instances, 3);
    assert_true(config->batching);
    assert_string_equal(config->unknown, "");
}

static void what_is_not_known_is_named_once(void **state)
{
    (void)state;
    assert_int_equal(parse("a: 1 b { c: [ 1, \"x\", { d < e: f > } ] } a: 2\n"
                           "input { name: \"x\" reshape { shape: [1] } }"),
                     HEARTH_OK);
    assert_string_equal(config->unknown, "a b input/output.reshape");
}

static void broken_texts_are_told(void **state)
{
    static const struct {
        const char *text, *said;
    } cases[] = {
        {"name: 1", "c:1: expected a text"},
        {"\n\nname", "c:3: expected a text"},
        {"name: \"a", "does not end"},
        {"name: \"a\nb\"", "does not end on its line"},
        {"name: \"\\x\"", "an escape"},
        {"max_batch_size: x", "a whole number"},
        {"max_batch_size: 99999999999999999999", "a whole number"},
        {"input { name: \"x\" dims: [1 2] }", "expected ','"},
        {"input { name: \"x\" dims: [1,2,3,4,5,6,7,8,9] }", "8 at most"},
        {"input { dims: 1 }", "has no name"},
        {"input { name: \"x\" data_type: FP32 }", "as TYPE_FP32"},
        {"input { name: \"x\"", "not closed"},
        {"}", "expected a field's name"},
        {"version_policy { latest { num_versions: 0 } }", "1 or more"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_int_equal(parse(cases[i].text), HEARTH_ECONFIG);
        assert_null(config);
        if (strstr(err.text, cases[i].said) == NULL)
            fail_msg("%s: %s", cases[i].text, err.text);
    }
}

static void deep_and_random_texts_end(void **state)
{
    static const char letters[] = "{}[]<>:;,\"'#\\ \nabname input dims 019-";
    char text[400];
    uint64_t random = 4;

    (void)state;
    memset(text, '{', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    text[0] = 'a';
    assert_int_equal(parse(text), HEARTH_ECONFIG);
    for (int i = 0; i < 50000; i++) {
        size_t bytes = (size_t)(i % 100);

        for (size_t k = 0; k < bytes; k++) {
            random = random * UINT64_C(6364136223846793005) + 1442695041;
            text[k] = letters[(random >> 33) % (sizeof(letters) - 1)];
        }
        text[bytes] = '\0';
        (void)parse(text);
    }
    hearth__pbtxt_free(&config);
}

static void without_memory_nothing_is_left(void **state)
{
    const char *text = "name: 'a' input [{name: 'x' dims: 1}] "
                       "version_policy { specific { versions: [1, 2] } }";
    uint64_t before;

    (void)state;
    hearth__pbtxt_free(&config);
    before = hearth_mem_used_bytes();
    for (int n = 1;; n++) {
        hearth_mem_fail_at(n, false);
        int status = parse(text);
        hearth_mem_fail_at(0, false);
        if (status == HEARTH_OK) {
            assert_true(n > 5);
            break;
        }
        assert_int_equal(status, HEARTH_ENOMEM);
        assert_int_equal(hearth_mem_used_bytes(), before);
    }
    hearth__pbtxt_free(&config);
    assert_int_equal(hearth_mem_used_bytes(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_known_field_is_taken),
        cmocka_unit_test(what_is_not_known_is_named_once),
        cmocka_unit_test(broken_texts_are_told),
        cmocka_unit_test(deep_and_random_texts_end),
        cmocka_unit_test(without_memory_nothing_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
