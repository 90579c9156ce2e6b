/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model as a file: external data and what it may not do, files that change
 * while they are open, identity, totals and signature.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "unit/model_run.h"
#include "unit/onnx_build.h"

#define F32 1

static char dir[64];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/hearth-model-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : hearth_base_init();
}

static int teardown(void **state)
{
    static const char *const files[] = {"m.onnx",   "w.bin", "sub/w.bin",
                                        "link.bin", "pipe",  "other.onnx",
                                        "linkdir",  "sub"};
    char path[128];
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        (void)remove(path);
    }
    return rmdir(dir);
}

static const char *in_dir(const char *name)
{
    static char path[4][128];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    return path[turn];
}

static void write_file(const char *name, const void *data, size_t bytes)
{
    FILE *f = fopen(in_dir(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

static void entry(struct pb *tensor, const char *key, const char *value)
{
    struct pb e = {0};
    pb_text(&e, 1, key);
    pb_text(&e, 2, value);
    pb_sub(tensor, 13, &e);
}

/* y = x + w, where w f32 [4] lies at <location>, <offset>. */
static void write_external(const char *location, const char *offset,
                           const char *length)
{
    const int64_t four[] = {4};
    struct pb g = {0};
    struct pb t = onnx_tensor("w", F32, 1, four, NULL, 0);
    pb_int(&t, 14, 1);
    entry(&t, "location", location);
    if (offset != NULL)
        entry(&t, "offset", offset);
    if (length != NULL)
        entry(&t, "length", length);
    pb_sub(&g, 5, &t);
    onnx_input(&g, "x", F32, 2, (const int64_t[]){-1, 4});
    onnx_add_node(&g, "Add", "x w", "y");
    onnx_output(&g, "y");
    struct pb m = onnx_model(&g, 13);
    write_file("m.onnx", m.data, m.bytes);
    pb_free(&m);
}

static void open_fails(int status, const char *part)
{
    struct hearth_error err = {0};
    hearth_model_t *model = NULL;
    uint64_t used = hearth_mem_used_bytes();
    int rc = hearth_model_open(&model, in_dir("m.onnx"), NULL, &err);
    assert_null(model);
    if (rc != status || strstr(err.text, part) == NULL)
        fail_msg("%s: '%s', not %s: '%s'", hearth_status_name(rc), err.text,
                 hearth_status_name(status), part);
    assert_int_equal(hearth_mem_used_bytes(), used);
}

static const float numbers[6] = {9, 9, 1, 2, 3, 4};

static void external_data_is_mapped_where_it_lies(void **state)
{
    float x[4] = {10, 20, 30, 40}, want[4] = {11, 22, 33, 44};
    struct hearth_shape shape = {.rank = 2, .dims = {1, 4}};
    struct hearth_view in = hearth_view_dense(x, HEARTH_F32, &shape), out;
    struct hearth_view expected = hearth_view_dense(want, HEARTH_F32, &shape);
    struct hearth_model_totals totals;
    struct hearth_error err = {0};
    hearth_model_t *model = NULL;
    (void)state;
    (void)mkdir(in_dir("sub"), 0700);
    write_file("sub/w.bin", numbers, sizeof numbers);
    write_external("sub/w.bin", "8", "16");
    int rc = hearth_model_open(&model, in_dir("m.onnx"), NULL, &err);
    if (rc != HEARTH_OK)
        fail_msg("%s", err.text);
    assert_int_equal(model_run(model, &in, &out, &err), HEARTH_OK);
    assert_true(model_close(&out, &expected));
    free(out.data);
    hearth_model_totals(model, &totals);
    assert_int_equal(totals.derived_bytes, 0);
    assert_int_equal(totals.weight_bytes, 16);
    assert_int_equal(totals.parameter_count, 4);
    assert_true(totals.file_bytes > sizeof numbers);
    assert_int_equal(totals.mapped_bytes, totals.file_bytes);
    assert_int_equal(totals.source_nodes, 1);
    assert_string_equal(totals.producer, "by hand");
    hearth_model_close(&model);
}

static void external_data_may_not_leave_the_directory(void **state)
{
    static const char *const outside[] = {
        "/etc/passwd", "../w.bin", "sub/../../w.bin",
        "..",          ".",        "./w.bin",
        "sub//w.bin",  "sub/",     "/",
    };
    (void)state;
    (void)mkdir(in_dir("sub"), 0700);
    write_file("sub/w.bin", numbers, sizeof numbers);
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        write_external(outside[i], NULL, NULL);
        open_fails(HEARTH_EMODEL, "not a plain path");
    }
    write_external("", NULL, NULL);
    open_fails(HEARTH_EMODEL, "location");
    char deep[2000];
    memset(deep, 'a', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    write_external(deep, NULL, NULL);
    open_fails(HEARTH_EMODEL, "location");
}

static void external_data_behind_a_link_is_refused(void **state)
{
    (void)state;
    (void)mkdir(in_dir("sub"), 0700);
    write_file("sub/w.bin", numbers, sizeof numbers);
    (void)symlink("sub/w.bin", in_dir("link.bin"));
    (void)symlink("/tmp", in_dir("linkdir"));
    write_external("link.bin", NULL, NULL);
    open_fails(HEARTH_EMODEL, "symbolic link");
    write_external("linkdir/w.bin", NULL, NULL);
    open_fails(HEARTH_ENOENT, "linkdir/w.bin"); /* O_DIRECTORY: ENOTDIR */
}

static void external_data_must_be_there_and_whole(void **state)
{
    (void)state;
    write_file("w.bin", numbers, sizeof numbers);
    write_external("absent.bin", NULL, NULL);
    open_fails(HEARTH_ENOENT, "tensor 'w': absent.bin");
    write_external("w.bin", "12", NULL);
    open_fails(HEARTH_EMODEL, "'w' ends after its external file");
    write_external("w.bin", "18446744073709551615", NULL);
    open_fails(HEARTH_EMODEL, "'w' ends after");
    write_external("w.bin", "18446744073709551616", NULL);
    open_fails(HEARTH_EMODEL, "offset of external data is not a number");
    write_external("w.bin", "-1", NULL);
    open_fails(HEARTH_EMODEL, "offset of external data is not a number");
    write_external("w.bin", "0", "12");
    open_fails(HEARTH_EMODEL, "another size");
    (void)mkfifo(in_dir("pipe"), 0600);
    write_external("pipe", NULL, NULL);
    open_fails(HEARTH_EIO, "not a regular file");
    write_file("w.bin", "", 0);
    write_external("w.bin", NULL, NULL);
    open_fails(HEARTH_EMODEL, "empty");
}

static void a_path_that_is_no_model_is_named(void **state)
{
    struct hearth_error err = {0};
    hearth_model_t *model = NULL;
    (void)state;
    assert_int_equal(
        hearth_model_open(&model, in_dir("nothing.onnx"), NULL, &err),
        HEARTH_ENOENT);
    assert_non_null(strstr(err.text, "nothing.onnx"));
    assert_int_equal(hearth_model_open(&model, dir, NULL, &err), HEARTH_EIO);
    assert_non_null(strstr(err.text, "not a regular file"));
    assert_int_equal(hearth_model_open(&model, "", NULL, NULL), HEARTH_ENOENT);
    assert_null(model);
    hearth_model_close(&model);
}

/* A model with 4 kB of weights, so that a truncation takes pages away. */
static void write_large(const char *name)
{
    static float weights[4096];
    struct pb g = {0};
    struct pb t = onnx_tensor("w", F32, 1, (const int64_t[]){4096}, weights,
                              sizeof weights);
    pb_sub(&g, 5, &t);
    onnx_input(&g, "x", F32, 2, (const int64_t[]){-1, 4096});
    onnx_add_node(&g, "Add", "x w", "y");
    onnx_output(&g, "y");
    struct pb m = onnx_model(&g, 13);
    write_file(name, m.data, m.bytes);
    pb_free(&m);
}

static void a_file_that_was_cut_is_an_error_and_not_a_signal(void **state)
{
    struct hearth_error err = {0};
    struct hearth_digest digest;
    hearth_model_t *model = NULL;
    const void *data;
    char byte[4];
    (void)state;
    write_large("m.onnx");
    assert_int_equal(hearth_model_open(&model, in_dir("m.onnx"), NULL, &err),
                     HEARTH_OK);
    const struct hearth_weights *w = hearth_model_weights(model);
    assert_int_equal(w->map(w->ctx, 0, 100, 4, &data, &err), HEARTH_OK);
    assert_int_equal(w->read(w->ctx, 0, 100, 4, byte, &err), HEARTH_OK);
    assert_int_equal(truncate(in_dir("m.onnx"), 50), 0);
    assert_int_equal(w->map(w->ctx, 0, 100, 4, &data, &err), HEARTH_EIO);
    assert_null(data);
    assert_non_null(strstr(err.text, "changed or vanished"));
    assert_int_equal(w->read(w->ctx, 0, 100, 4, byte, &err), HEARTH_EIO);
    assert_int_equal(hearth_model_digest(model, &digest, &err), HEARTH_EIO);
    assert_false(hearth_model_is_current(model, in_dir("m.onnx")));
    hearth_model_close(&model);
}

static void weights_outside_of_a_segment_are_refused(void **state)
{
    struct hearth_error err;
    hearth_model_t *model = NULL;
    const void *data;
    char byte[8];
    (void)state;
    write_large("m.onnx");
    assert_int_equal(hearth_model_open(&model, in_dir("m.onnx"), NULL, NULL),
                     HEARTH_OK);
    const struct hearth_weights *w = hearth_model_weights(model);
    static const struct {
        uint32_t segment;
        uint64_t offset, bytes;
    } bad[] = {{0, 0, UINT64_MAX}, {0, UINT64_MAX, 2}, {0, 1 << 20, 1},
               {1, 0, 1},          {2, 0, 1},          {UINT32_MAX, 0, 1}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(w->map(w->ctx, bad[i].segment, bad[i].offset,
                                bad[i].bytes, &data, &err),
                         HEARTH_EIO);
        assert_int_equal(w->read(w->ctx, bad[i].segment, bad[i].offset,
                                 bad[i].bytes, byte, &err),
                         HEARTH_EIO);
    }
    hearth_model_close(&model);
}

static void the_digest_is_the_files_sha256(void **state)
{
    struct hearth_digest digest, want, again;
    hearth_model_t *model = NULL;
    char bytes[32768];
    (void)state;
    write_large("m.onnx");
    FILE *f = fopen(in_dir("m.onnx"), "rb");
    assert_non_null(f);
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    hearth_sha256(bytes, n, &want);
    assert_int_equal(hearth_model_open(&model, in_dir("m.onnx"), NULL, NULL),
                     HEARTH_OK);
    assert_int_equal(hearth_model_digest(model, &digest, NULL), HEARTH_OK);
    assert_int_equal(hearth_model_digest(model, &again, NULL), HEARTH_OK);
    assert_memory_equal(&digest, &want, sizeof want);
    assert_memory_equal(&again, &want, sizeof want);
    hearth_model_close(&model);
    /* With external data another weight is another model. */
    write_file("w.bin", numbers, sizeof numbers);
    write_external("w.bin", "0", NULL);
    assert_int_equal(hearth_model_open(&model, in_dir("m.onnx"), NULL, NULL),
                     HEARTH_OK);
    assert_int_equal(hearth_model_digest(model, &digest, NULL), HEARTH_OK);
    hearth_model_close(&model);
    write_file("w.bin", numbers + 1, sizeof numbers - 4);
    assert_int_equal(hearth_model_open(&model, in_dir("m.onnx"), NULL, NULL),
                     HEARTH_OK);
    assert_int_equal(hearth_model_digest(model, &again, NULL), HEARTH_OK);
    assert_memory_not_equal(&digest, &again, sizeof digest);
    hearth_model_close(&model);
}

static void a_question_mark_names_no_size(void **state)
{
    (void)state;
    struct pb g = {0};
    struct hearth_model_port p;
    hearth_model_t *model = NULL;
    onnx_input(&g, "x", F32, 4,
               (const int64_t[]){-1, -1, ONNX_UNKNOWN, ONNX_UNKNOWN});
    onnx_add_node(&g, "Relu", "x", "y");
    onnx_output(&g, "y");
    struct pb m = onnx_model(&g, 13);
    assert_int_equal(
        hearth_model_open_memory(&model, m.data, m.bytes, "m", NULL, NULL),
        HEARTH_OK);
    assert_true(hearth_model_input(model, 0, &p));
    assert_int_equal(p.shape.dims[0], p.shape.dims[1]);
    assert_int_not_equal(p.shape.dims[2], p.shape.dims[3]);
    hearth_model_close(&model);
    pb_free(&m);
}

static void the_signature_tells_names_types_and_symbols(void **state)
{
    struct model_case c;
    struct hearth_model_port p;
    hearth_model_t *model = NULL;
    char text[64];
    uint64_t bytes, at = 0;
    uint8_t *pack = model_data("model_cases.bin", &bytes);
    (void)state;
    while (model_case_next(pack, bytes, &at, &c) &&
           strcmp(c.name, "digits") != 0)
        continue;
    assert_string_equal(c.name, "digits");
    assert_int_equal(hearth_model_open_memory(&model, c.model, c.model_bytes,
                                              "digits", NULL, NULL),
                     HEARTH_OK);
    assert_true(hearth_model_input(model, 0, &p));
    assert_string_equal(p.name, "x");
    assert_int_equal(p.dtype, HEARTH_F32);
    assert_string_equal(
        hearth_model_shape_text(model, &p.shape, text, sizeof text),
        "[batch,1,8,8]");
    assert_string_equal(hearth_model_symbol(model, p.shape.dims[0]), "batch");
    assert_string_equal(hearth_model_symbol(model, 8), "");
    assert_true(hearth_model_output(model, 0, &p));
    assert_string_equal(
        hearth_model_shape_text(model, &p.shape, text, sizeof text),
        "[batch,10]");
    hearth_model_shape_text(model, &p.shape, text, 4);
    assert_string_equal(text, "[ba");
    assert_false(hearth_model_input(model, 1, &p));
    assert_false(hearth_model_output(model, 1, &p));
    assert_int_equal(hearth_model_find_input(model, "x"), 0);
    assert_int_equal(hearth_model_find_input(model, "y"), HEARTH_NO_VALUE);
    assert_int_equal(hearth_model_find_output(model, "y"), 0);
    assert_string_equal(hearth_model_path(model), "digits");
    hearth_model_close(&model);
    free(pack);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(external_data_is_mapped_where_it_lies),
        cmocka_unit_test(external_data_may_not_leave_the_directory),
        cmocka_unit_test(external_data_behind_a_link_is_refused),
        cmocka_unit_test(external_data_must_be_there_and_whole),
        cmocka_unit_test(a_path_that_is_no_model_is_named),
        cmocka_unit_test(a_file_that_was_cut_is_an_error_and_not_a_signal),
        cmocka_unit_test(weights_outside_of_a_segment_are_refused),
        cmocka_unit_test(the_digest_is_the_files_sha256),
        cmocka_unit_test(a_question_mark_names_no_size),
        cmocka_unit_test(the_signature_tells_names_types_and_symbols),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
