/* SPDX-License-Identifier: Apache-2.0 */
/* JSON arrays in and out, the Open Inference Protocol's bodies, the best few.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/codec.h"

/* ---- JSON in ---- */

static int read_json(const char *text, enum hearth_dtype dtype,
                     hearth_buffer_t **buffer, struct hearth_shape *shape,
                     struct hearth_error *err)
{
    const char *end;
    /* A copy of exactly the bytes: reading past them is seen by ASan. */
    size_t bytes = strlen(text);
    char *copy = malloc(bytes > 0 ? bytes : 1);
    memcpy(copy, text, bytes);
    int rc = hearth_json_tensor_read(copy, bytes, dtype, NULL, buffer, shape,
                                     &end, err);
    free(copy);
    return rc;
}

static void arrays_become_tensors_of_their_nesting(void **state)
{
    (void)state;
    const struct {
        const char *text, *shape;
        int count;
        float numbers[6];
    } cases[] = {
        {"[1,2,3]", "[3]", 3, {1, 2, 3}},
        {" [ [ 1 , 2 ] ,\n[3,4],[5,6] ] ", "[3,2]", 6, {1, 2, 3, 4, 5, 6}},
        {"[[[1.5]],[[-2e3]]]", "[2,1,1]", 2, {1.5f, -2000}},
        {"7", "[]", 1, {7}},
        {"[]", "[0]", 0, {0}},
        {"[[],[]]", "[2,0]", 0, {0}},
        {"[true,false,1]", "[3]", 3, {1, 0, 1}},
        {"[0.1,1e-10,123456789,-0]", "[4]", 4, {0.1f, 1e-10f, 123456789, 0}},
        {"[0.30000001192092896,3.4028234663852886e38]",
         "[2]",
         2,
         {0.3f, 3.4028234663852886e38f}},
        {"[12345678901234567890123]", "[1]", 1, {12345678901234567890123.f}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hearth_buffer_t *buffer;
        struct hearth_shape shape;
        struct hearth_error err = {0};
        char text[100];
        if (read_json(cases[i].text, HEARTH_F32, &buffer, &shape, &err) != 0)
            fail_msg("%s: %s", cases[i].text, err.text);
        assert_string_equal(hearth_shape_text(&shape, text, sizeof text),
                            cases[i].shape);
        const float *got = hearth_buffer_data(buffer);
        for (int k = 0; k < cases[i].count; k++)
            if (got[k] != cases[i].numbers[k])
                fail_msg("%s: number %d is %.9g", cases[i].text, k,
                         (double)got[k]);
        hearth_buffer_unref(buffer);
    }
}

static void what_is_no_array_of_numbers_is_refused_with_its_place(void **state)
{
    (void)state;
    const struct {
        const char *text;
        int status;
        const char *says;
    } cases[] = {
        {"", HEARTH_EPROTO, "byte 0: the text ends too soon"},
        {"[", HEARTH_EPROTO, "ends too soon"},
        {"[1", HEARTH_EPROTO, "ends too soon"},
        {"[1,", HEARTH_EPROTO, "ends too soon"},
        {"[1,]", HEARTH_EPROTO, "byte 3: a number was expected"},
        {"[,1]", HEARTH_EPROTO, "byte 1: a number was expected"},
        {"[1 2]", HEARTH_EPROTO, "byte 3: ',' or ']' was expected"},
        {"[1,[2]]", HEARTH_ESHAPE, "differ in depth"},
        {"[[1],2]", HEARTH_ESHAPE, "differ in depth"},
        {"[[1,2],[3]]", HEARTH_ESHAPE, "differ in length"},
        {"[[],[1]]", HEARTH_ESHAPE, "differ in length"},
        {"[[1],[]]", HEARTH_ESHAPE, "differ in length"},
        {"[[[1]],[]]", HEARTH_ESHAPE, "differ in"},
        {"[[[[[[[[[1]]]]]]]]]", HEARTH_ESHAPE, "nested too deeply"},
        {"[01]", HEARTH_EPROTO, "a number was expected"},
        {"[+1]", HEARTH_EPROTO, "a number was expected"},
        {"[.5]", HEARTH_EPROTO, "a number was expected"},
        {"[1.]", HEARTH_EPROTO, "a number was expected"},
        {"[1e]", HEARTH_EPROTO, "a number was expected"},
        {"[-]", HEARTH_EPROTO, "a number was expected"},
        {"[NaN]", HEARTH_EPROTO, "a number was expected"},
        {"[Infinity]", HEARTH_EPROTO, "a number was expected"},
        {"[1e999]", HEARTH_EPROTO, "a number was expected"},
        {"[1e39]", HEARTH_ETYPE, "does not fit into f32"},
        {"[null]", HEARTH_EPROTO, "a number was expected"},
        {"[\"1\"]", HEARTH_EPROTO, "a number was expected"},
        {"{}", HEARTH_EPROTO, "a number was expected"},
        {"tru", HEARTH_EPROTO, "a number was expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hearth_buffer_t *buffer;
        struct hearth_shape shape;
        struct hearth_error err = {0};
        uint64_t before = hearth_mem_used_bytes();
        int rc = read_json(cases[i].text, HEARTH_F32, &buffer, &shape, &err);
        if (rc != cases[i].status || strstr(err.text, cases[i].says) == NULL)
            fail_msg("%s: %d '%s'", cases[i].text, rc, err.text);
        assert_int_equal(hearth_mem_used_bytes(), before);
    }
}

static void integers_are_exact_or_refused(void **state)
{
    (void)state;
    const struct {
        enum hearth_dtype dtype;
        const char *good, *bad;
        int64_t value;
    } cases[] = {
        {HEARTH_I64, "9223372036854775807", "9223372036854775808", INT64_MAX},
        {HEARTH_I64, "-9223372036854775808", "-9223372036854775809", INT64_MIN},
        {HEARTH_I64, "9007199254740993", "1.5", INT64_C(9007199254740993)},
        {HEARTH_U64, "18446744073709551615", "18446744073709551616", -1},
        {HEARTH_I32, "-2147483648", "2147483648", INT32_MIN},
        {HEARTH_I8, "-128", "128", -128},
        {HEARTH_U8, "255", "256", 255},
        {HEARTH_U8, "0", "-1", 0},
        {HEARTH_BOOL, "true", "2", 1},
        {HEARTH_I16, "32767", "1e3", 32767},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hearth_buffer_t *buffer;
        struct hearth_shape shape;
        int64_t got = 0;
        assert_int_equal(
            read_json(cases[i].good, cases[i].dtype, &buffer, &shape, NULL), 0);
        uint32_t bytes = hearth_dtype_bytes(cases[i].dtype);
        memcpy(&got, hearth_buffer_data(buffer), bytes);
        uint64_t mask =
            bytes == 8 ? UINT64_MAX : (UINT64_C(1) << (8 * bytes)) - 1;
        assert_true(((uint64_t)got & mask) ==
                    ((uint64_t)cases[i].value & mask));
        hearth_buffer_unref(buffer);
        assert_int_equal(
            read_json(cases[i].bad, cases[i].dtype, &buffer, &shape, NULL),
            HEARTH_ETYPE);
    }
}

static void many_numbers_read_as_strtod_reads_them(void **state)
{
    (void)state;
    uint64_t x = 1;
    for (int i = 0; i < 20000; i++) {
        char text[64];
        hearth_buffer_t *buffer;
        struct hearth_shape shape;
        double value;
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
        uint64_t bits = x ^ x >> 29;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        snprintf(text, sizeof text, "%.*g", 1 + i % 20, value);
        if (!isfinite(strtod(text, NULL)))
            continue; /* rounded up past the largest */
        assert_int_equal(read_json(text, HEARTH_F64, &buffer, &shape, NULL), 0);
        double got = *(double *)hearth_buffer_data(buffer);
        if (got != strtod(text, NULL))
            fail_msg("%s reads as %.17g", text, got);
        hearth_buffer_unref(buffer);
    }
}

/* ---- JSON out ---- */

static void numbers_are_written_so_that_they_read_back(void **state)
{
    (void)state;
    const float cases[] = {0,        -0.0f,        1,         0.1f,
                           -1.5f,    1e-45f,       3e38f,     1e6f,
                           123456.f, 0.333333343f, 16777216.f};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hearth_text t = {0};
        hearth_text_put_float(&t, cases[i]);
        hearth_text_put(&t, "", 1);
        assert_true(strtof(t.data, NULL) == cases[i]);
        hearth_text_clear(&t);
    }
    struct hearth_text t = {0};
    hearth_text_put_float(&t, 0.1f);
    hearth_text_put(&t, " ", 1);
    hearth_text_put_float(&t, NAN);
    hearth_text_put(&t, " ", 1);
    hearth_text_put_double(&t, -INFINITY);
    hearth_text_put(&t, " ", 1);
    hearth_text_put_double(&t, 0.1);
    hearth_text_put(&t, " ", 1);
    hearth_text_put_int(&t, INT64_MIN);
    hearth_text_put(&t, "", 1);
    assert_string_equal(t.data, "0.1 null null 0.1 -9223372036854775808");
    hearth_text_clear(&t);
}

static void strings_are_escaped_and_always_utf8(void **state)
{
    (void)state;
    struct hearth_text t = {0};
    hearth_text_put_json(&t,
                         "a\"\\\n\x01\xc3\xa9\xff\xed\xa0\x80\xf0\x9f\x94\xa5");
    hearth_text_put(&t, "", 1);
    assert_string_equal(t.data, "\"a\\\"\\\\\\u000a\\u0001\xc3\xa9"
                                "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                                "\xef\xbf\xbd\xf0\x9f\x94\xa5\"");
    hearth_text_clear(&t);
}

static void tensors_are_written_as_nested_or_flat_arrays(void **state)
{
    (void)state;
    int32_t numbers[6] = {1, 2, 3, 4, 5, 6};
    struct hearth_tensor_list list = {0};
    hearth_buffer_t *buffer;
    struct hearth_shape shape = {.rank = 3, .dims = {1, 2, 3}};
    struct hearth_shape scalar = {.rank = 0};
    struct hearth_text t = {0};
    hearth_buffer_wrap(numbers, sizeof numbers, NULL, NULL, &buffer);
    assert_int_equal(
        hearth_tensor_list_add(&list, "x", HEARTH_I32, &shape, buffer, 0), 0);
    assert_int_equal(
        hearth_tensor_list_add(&list, "s", HEARTH_I32, &scalar, buffer, 8), 0);
    hearth_text_put_tensor(&t, &list.items[0], false);
    hearth_text_put_tensor(&t, &list.items[0], true);
    hearth_text_put_tensor(&t, &list.items[1], false);
    hearth_text_put_tensor(&t, &list.items[1], true);
    hearth_text_put(&t, "", 1);
    assert_string_equal(t.data, "[[[1,2,3],[4,5,6]]][1,2,3,4,5,6]3[3]");
    hearth_text_clear(&t);
    hearth_tensor_list_clear(&list);
    hearth_buffer_unref(buffer);
}

static void a_text_is_charged_and_fails_without_losing_a_byte(void **state)
{
    (void)state;
    struct hearth_budget budget;
    uint64_t before = hearth_mem_used_bytes();
    hearth_budget_init(&budget, 1000);
    struct hearth_text t = {.budget = &budget};
    for (int i = 0; i < 200; i++)
        hearth_text_puts(&t, "0123456789");
    assert_true(t.failed);
    hearth_buffer_t *buffer;
    assert_int_equal(hearth_text_finish(&t, &buffer), HEARTH_ENOMEM);
    assert_int_equal(hearth_budget_used(&budget), 0);
    hearth_text_puts(&t, "short");
    assert_int_equal(hearth_text_finish(&t, &buffer), 0);
    assert_int_equal(hearth_buffer_bytes(buffer), 5);
    assert_true(hearth_budget_used(&budget) >= 5);
    hearth_buffer_unref(buffer);
    assert_int_equal(hearth_budget_used(&budget), 0);
    assert_int_equal(hearth_mem_used_bytes(), before);
}

/* ---- OIP ---- */

static int read_oip(const char *text, size_t bytes, size_t json_bytes,
                    struct hearth_oip_request *request,
                    struct hearth_tensor_list *inputs, struct hearth_error *err)
{
    hearth_buffer_t *body;
    assert_int_equal(hearth_buffer_create(bytes, NULL, &body), 0);
    memcpy(hearth_buffer_data(body), text, bytes);
    *inputs = (struct hearth_tensor_list){0};
    int rc =
        hearth_oip_read(body, bytes, json_bytes, NULL, request, inputs, err);
    hearth_buffer_unref(body);
    return rc;
}

static void a_request_with_json_and_binary_inputs_is_read(void **state)
{
    (void)state;
    const char json[] =
        "{\"id\":\"42\",\"inputs\":[{\"name\":\"a\",\"shape\":[2,2],"
        "\"datatype\":\"FP32\",\"data\":[[1,2],[3,4.5]]},"
        "{\"name\":\"b\",\"shape\":[2],\"datatype\":\"INT32\","
        "\"parameters\":{\"binary_data_size\":8}}],"
        "\"outputs\":[{\"name\":\"y\",\"parameters\":{\"binary_data\":true}},"
        "{\"name\":\"z\",\"parameters\":{\"classification\":3}}],"
        "\"parameters\":{\"binary_data_output\":false}}";
    char body[sizeof json + 8];
    int32_t binary[2] = {7, -8};
    memcpy(body, json, sizeof json - 1);
    memcpy(body + sizeof json - 1, binary, 8);
    struct hearth_oip_request request;
    struct hearth_tensor_list inputs;
    struct hearth_error err = {0};
    int rc = read_oip(body, sizeof json - 1 + 8, sizeof json - 1, &request,
                      &inputs, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(rc, 0);
    assert_string_equal(request.id, "42");
    assert_int_equal(inputs.count, 2);
    const float *a = hearth_tensor_view(&inputs.items[0]).data;
    const int32_t *b = hearth_tensor_view(&inputs.items[1]).data;
    assert_true(a[3] == 4.5f);
    assert_int_equal(b[1], -8);
    assert_int_equal((uintptr_t)b % 4, 0);
    assert_int_equal(request.output_count, 2);
    assert_true(request.outputs[0].binary);
    assert_false(request.outputs[1].binary);
    assert_int_equal(request.outputs[1].classification, 3);
    hearth_oip_request_clear(&request);
    hearth_tensor_list_clear(&inputs);
}

static void requests_that_are_none_are_refused(void **state)
{
    (void)state;
    const char *const cases[] = {
        "",
        "x",
        "[]",
        "{",
        "{\"inputs\":",
        "{\"inputs\":[{\"data\":[",
        "{\"inputs\":[{\"data\":5}]}",
        "{\"inputs\":[{\"name\":\"a\"}]}",
        "{\"a\":1,\"a\":2,\"inputs\":[]}x",
        "{\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[1],"
        "\"data\":[1,2]}]}",
        "{\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP16\",\"shape\":[1],"
        "\"data\":[1]}]}",
        "{\"inputs\":[{\"name\":\"a\",\"datatype\":\"BYTES\",\"shape\":[1],"
        "\"data\":[\"x\"]}]}",
        "{\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":"
        "[1,1,1,1,1,1,1,1,1],\"data\":[1]}]}",
        "{\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[1],"
        "\"data\":[1]},{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[1],"
        "\"data\":[1]}]}",
        /* Digits behind the array must not tell where it lies. */
        "{\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[1],"
        "\"data\":[1]3}]}",
        "{\"inputs\":[],\"id\":5}",
        "{\"inputs\":[],\"outputs\":5}",
        "{\"inputs\":[],\"outputs\":[{}]}",
        "{\"inputs\":[]}trailing",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hearth_oip_request request;
        struct hearth_tensor_list inputs;
        struct hearth_error err = {0};
        uint64_t before = hearth_mem_used_bytes();
        int rc =
            read_oip(cases[i], strlen(cases[i]), 0, &request, &inputs, &err);
        if (hearth_status_class(rc) != HEARTH_CLASS_CLIENT)
            fail_msg("%s: %d", cases[i], rc);
        assert_true(strlen(err.text) > 10);
        assert_int_equal(inputs.count, 0);
        assert_int_equal(hearth_mem_used_bytes(), before);
    }
    struct hearth_oip_request request;
    struct hearth_tensor_list inputs;
    assert_int_equal(
        read_oip("{\"inputs\":[]}", 13, 14, &request, &inputs, NULL),
        HEARTH_EPROTO);
    char *deep = malloc(100001);
    memset(deep, '[', 100000);
    deep[100000] = '\0';
    assert_int_equal(read_oip(deep, 100000, 0, &request, &inputs, NULL),
                     HEARTH_EPROTO);
    free(deep);
}

static void an_answer_is_written_with_what_was_asked_for(void **state)
{
    (void)state;
    float numbers[4] = {0.5f, 2, -1, 1};
    static const char *const labels[] = {"cat", "dog", "owl", "fox"};
    struct hearth_tensor_list list = {0};
    struct hearth_shape shape = {.rank = 2, .dims = {1, 4}};
    struct hearth_oip_output outputs[2] = {
        {.name = (char *)(uintptr_t) "y", .binary = true},
        {.name = (char *)(uintptr_t) "y", .classification = 2}};
    struct hearth_oip_request request = {
        .id = (char *)(uintptr_t) "7", .outputs = outputs, .output_count = 2};
    hearth_buffer_t *buffer, *body;
    uint64_t json_bytes;
    hearth_buffer_wrap(numbers, sizeof numbers, NULL, NULL, &buffer);
    hearth_tensor_list_add(&list, "y", HEARTH_F32, &shape, buffer, 0);
    assert_int_equal(hearth_oip_write("m", "1", &request, &list, labels, 4,
                                      NULL, &body, &json_bytes, NULL),
                     0);
    const char want[] =
        "{\"id\":\"7\",\"model_name\":\"m\",\"model_version\":\"1\","
        "\"outputs\":[{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[1,4],"
        "\"parameters\":{\"binary_data_size\":16}},{\"name\":\"y\","
        "\"datatype\":\"BYTES\",\"shape\":[1,2],\"data\":["
        "\"2.000000:1:dog\",\"1.000000:3:fox\"]}]}";
    assert_int_equal(json_bytes, sizeof want - 1);
    assert_int_equal(hearth_buffer_bytes(body), sizeof want - 1 + 16);
    assert_memory_equal(hearth_buffer_data(body), want, sizeof want - 1);
    assert_memory_equal((char *)hearth_buffer_data(body) + sizeof want - 1,
                        numbers, 16);
    hearth_buffer_unref(body);
    outputs[0].name = (char *)(uintptr_t) "nosuch";
    assert_int_equal(hearth_oip_write("m", "1", &request, &list, NULL, 0, NULL,
                                      &body, &json_bytes, NULL),
                     HEARTH_EINVAL);
    hearth_tensor_list_clear(&list);
    hearth_buffer_unref(buffer);
}

/* ---- The best few ---- */

static void the_largest_come_first_and_nan_last(void **state)
{
    (void)state;
    const float v[] = {1, NAN, 5, 5, -3, 9};
    struct hearth_ranked best[6];
    assert_int_equal(hearth_top_k(v, 6, best, 3), 3);
    assert_int_equal(best[0].index, 5);
    assert_int_equal(best[1].index, 2);
    assert_int_equal(best[2].index, 3);
    assert_int_equal(hearth_top_k(v, 6, best, 6), 6);
    assert_int_equal(best[5].index, 1);
    assert_int_equal(hearth_top_k(v, 0, best, 3), 0);
    assert_int_equal(hearth_top_k(v, 6, best, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_become_tensors_of_their_nesting),
        cmocka_unit_test(what_is_no_array_of_numbers_is_refused_with_its_place),
        cmocka_unit_test(integers_are_exact_or_refused),
        cmocka_unit_test(many_numbers_read_as_strtod_reads_them),
        cmocka_unit_test(numbers_are_written_so_that_they_read_back),
        cmocka_unit_test(strings_are_escaped_and_always_utf8),
        cmocka_unit_test(tensors_are_written_as_nested_or_flat_arrays),
        cmocka_unit_test(a_text_is_charged_and_fails_without_losing_a_byte),
        cmocka_unit_test(a_request_with_json_and_binary_inputs_is_read),
        cmocka_unit_test(requests_that_are_none_are_refused),
        cmocka_unit_test(an_answer_is_written_with_what_was_asked_for),
        cmocka_unit_test(the_largest_come_first_and_nan_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
