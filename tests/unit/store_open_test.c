/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: which file a path means, one entry for each digest, references,
 * the budget's books, and threads that open at once.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "store/store.h"
#include "unit/onnx_build.h"

#define F32 1

static char dir[64];

static const char *in_dir(const char *name)
{
    static char path[4][160];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    return path[turn];
}

/* y = x + <number> */
static void write_model(const char *name, float number)
{
    struct pb g = {0};
    struct pb t = onnx_tensor("w", F32, 1, (const int64_t[]){1}, &number, 4);
    pb_sub(&g, 5, &t);
    onnx_input(&g, "x", F32, 2, (const int64_t[]){-1, 4});
    onnx_add_node(&g, "Add", "x w", "y");
    onnx_output(&g, "y");
    struct pb m = onnx_model(&g, 13);
    FILE *f = fopen(in_dir(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(m.data, 1, m.bytes, f), m.bytes);
    assert_int_equal(fclose(f), 0);
    pb_free(&m);
}

static int setup(void **state)
{
    static const char *const dirs[] = {"one",     "one/1",   "one/2", "one/10",
                                       "one/011", "one/new", "two",   "empty"};
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/hearth-store-XXXXXX");
    if (mkdtemp(dir) == NULL || hearth_base_init() != HEARTH_OK)
        return -1;
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++)
        if (mkdir(in_dir(dirs[i]), 0700) != 0)
            return -1;
    write_model("one/1/model.onnx", 1);
    write_model("one/2/model.onnx", 2);
    write_model("one/011/model.onnx", 11);
    write_model("one/new/model.onnx", 12);
    write_model("two/model.onnx", 3);
    write_model("copy.onnx", 3);
    return 0;
}

static int teardown(void **state)
{
    static const char *const all[] = {"one/1/model.onnx",
                                      "one/2/model.onnx",
                                      "one/011/model.onnx",
                                      "one/new/model.onnx",
                                      "two/model.onnx",
                                      "copy.onnx",
                                      "fresh.onnx",
                                      "one/1",
                                      "one/2",
                                      "one/10",
                                      "one/011",
                                      "one/new",
                                      "one",
                                      "two",
                                      "empty"};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        (void)remove(in_dir(all[i]));
    return rmdir(dir);
}

/* ---- Paths ---- */

static void resolves_to(const char *path, int64_t version, const char *want)
{
    char file[256];
    struct hearth_error err = {0};
    int rc =
        hearth_store_resolve(in_dir(path), version, file, sizeof file, &err);
    if (rc != HEARTH_OK)
        fail_msg("%s", err.text);
    assert_string_equal(file, in_dir(want));
}

static void a_path_means_a_file_a_directory_or_its_newest_version(void **state)
{
    (void)state;
    resolves_to("copy.onnx", 0, "copy.onnx");
    resolves_to("two", 0, "two/model.onnx");
    /* 10 has no model yet; 011 and new are no versions. */
    resolves_to("one", 0, "one/2/model.onnx");
    resolves_to("one", 1, "one/1/model.onnx");
}

static void a_path_that_means_nothing_says_what_was_looked_for(void **state)
{
    char file[256], small[16];
    struct hearth_error err = {0};
    (void)state;
    assert_int_equal(
        hearth_store_resolve(in_dir("gone"), 0, file, sizeof file, &err),
        HEARTH_ENOENT);
    assert_int_equal(
        hearth_store_resolve(in_dir("empty"), 0, file, sizeof file, &err),
        HEARTH_ENOENT);
    assert_non_null(strstr(err.text, "model.onnx"));
    assert_int_equal(
        hearth_store_resolve(in_dir("one"), 10, file, sizeof file, &err),
        HEARTH_ENOENT);
    assert_non_null(strstr(err.text, "one/10/model.onnx"));
    assert_int_equal(
        hearth_store_resolve(in_dir("copy.onnx"), 1, file, sizeof file, &err),
        HEARTH_ENOENT);
    assert_int_equal(
        hearth_store_resolve(in_dir("two"), 0, small, sizeof small, &err),
        HEARTH_ETOOBIG);
    assert_int_equal(
        hearth_store_resolve(in_dir("copy.onnx"), 0, small, sizeof small, NULL),
        HEARTH_ETOOBIG);
}

/* ---- Sharing ---- */

static hearth_store_entry_t *must_open(hearth_store_t *store, const char *path)
{
    struct hearth_error err = {0};
    hearth_store_entry_t *entry = NULL;
    int rc = hearth_store_open(store, in_dir(path), 0, &entry, &err);
    if (rc != HEARTH_OK)
        fail_msg("%s", err.text);
    return entry;
}

static void equal_models_are_one_entry(void **state)
{
    struct hearth_budget budget;
    struct hearth_store_stats stats;
    hearth_store_t *store = NULL;
    (void)state;
    hearth_budget_init(&budget, UINT64_MAX);
    assert_int_equal(hearth_store_create(&store, &budget), HEARTH_OK);
    hearth_store_entry_t *a = must_open(store, "two");
    hearth_store_entry_t *b = must_open(store, "two");
    hearth_store_entry_t *c = must_open(store, "copy.onnx");
    hearth_store_entry_t *d = must_open(store, "one");
    assert_ptr_equal(a, b);
    assert_ptr_equal(a, c);
    assert_ptr_not_equal(a, d);
    hearth_store_stats(store, &stats);
    assert_int_equal(stats.model_count, 2);
    assert_int_equal(stats.opened_count, 3);
    assert_int_equal(stats.shared_count, 2);
    assert_int_equal(stats.bytes,
                     hearth_store_entry_bytes(a) + hearth_store_entry_bytes(d));
    assert_int_equal(hearth_budget_used(&budget), stats.bytes);
    hearth_store_entry_t *found =
        hearth_store_find(store, hearth_store_digest(d));
    assert_ptr_equal(found, d);
    assert_non_null(hearth_model_graph(hearth_store_model(found)));
    hearth_store_unref(&found);
    assert_null(found);
    hearth_store_unref(&a);
    hearth_store_unref(&b);
    hearth_store_entry_t *again = hearth_store_ref(c);
    hearth_store_unref(&c);
    hearth_store_stats(store, &stats);
    assert_int_equal(stats.model_count, 2);
    struct hearth_digest digest = *hearth_store_digest(again);
    hearth_store_unref(&again);
    hearth_store_unref(&d);
    assert_null(hearth_store_find(store, &digest));
    assert_int_equal(hearth_budget_used(&budget), 0);
    hearth_store_destroy(&store);
    assert_null(store);
}

static void a_file_that_was_replaced_is_read_again(void **state)
{
    hearth_store_t *store = NULL;
    (void)state;
    assert_int_equal(hearth_store_create(&store, NULL), HEARTH_OK);
    write_model("fresh.onnx", 5);
    hearth_store_entry_t *a = must_open(store, "fresh.onnx");
    assert_int_equal(remove(in_dir("fresh.onnx")), 0);
    write_model("fresh.onnx", 6);
    hearth_store_entry_t *b = must_open(store, "fresh.onnx");
    assert_ptr_not_equal(a, b);
    assert_memory_not_equal(hearth_store_digest(a), hearth_store_digest(b),
                            sizeof(struct hearth_digest));
    hearth_store_unref(&a);
    hearth_store_unref(&b);
    hearth_store_destroy(&store);
}

static void a_budget_that_is_too_small_refuses_and_keeps_nothing(void **state)
{
    struct hearth_budget budget;
    struct hearth_error err = {0};
    hearth_store_t *store = NULL;
    hearth_store_entry_t *entry, *second;
    (void)state;
    hearth_budget_init(&budget, 100);
    assert_int_equal(hearth_store_create(&store, &budget), HEARTH_OK);
    assert_int_equal(hearth_store_open(store, in_dir("two"), 0, &entry, &err),
                     HEARTH_ENOSPACE);
    assert_null(entry);
    assert_int_equal(hearth_budget_used(&budget), 0);
    hearth_store_destroy(&store);
    hearth_budget_init(&budget, UINT64_MAX);
    assert_int_equal(hearth_store_create(&store, &budget), HEARTH_OK);
    entry = must_open(store, "two");
    budget.limit_bytes = hearth_budget_used(&budget) + 100;
    assert_int_equal(hearth_store_open(store, in_dir("one"), 0, &second, &err),
                     HEARTH_ENOMEM);
    assert_non_null(strstr(err.text, "limit"));
    assert_null(second);
    hearth_store_unref(&entry);
    assert_int_equal(hearth_budget_used(&budget), 0);
    hearth_store_destroy(&store);
}

static void a_failed_allocation_keeps_nothing(void **state)
{
    struct hearth_budget budget;
    uint64_t used = hearth_mem_used_bytes();
    hearth_store_entry_t *entry = NULL;
    hearth_store_t *store = NULL;
    int rc = HEARTH_ENOMEM;
    (void)state;
    hearth_budget_init(&budget, UINT64_MAX);
    for (int64_t n = 1; rc != HEARTH_OK; n++) {
        hearth_mem_fail_at(n, false);
        rc = hearth_store_create(&store, &budget);
        if (rc == HEARTH_OK)
            rc = hearth_store_open(store, in_dir("two"), 0, &entry, NULL);
        hearth_mem_fail_at(0, false);
        assert_true(rc == HEARTH_OK || rc == HEARTH_ENOMEM);
        assert_true((rc == HEARTH_OK) == (entry != NULL));
        hearth_store_unref(&entry);
        hearth_store_destroy(&store);
        assert_int_equal(hearth_mem_used_bytes(), used);
        assert_int_equal(hearth_budget_used(&budget), 0);
        assert_true(n < 100);
    }
}

struct opener {
    hearth_store_t *store;
    const char *path;
    hearth_store_entry_t *entry;
    int failed;
};

static void *open_often(void *ctx)
{
    struct opener *o = ctx;
    for (int i = 0; i < 50; i++) {
        hearth_store_entry_t *e = NULL;
        o->failed |= hearth_store_open(o->store, o->path, 0, &e, NULL);
        hearth_store_unref(&e);
    }
    o->failed |= hearth_store_open(o->store, o->path, 0, &o->entry, NULL);
    return NULL;
}

static void threads_that_open_at_once_share_one_entry(void **state)
{
    struct hearth_budget budget;
    struct opener openers[4] = {0};
    pthread_t threads[4];
    hearth_store_t *store = NULL;
    const char *path = in_dir("two");
    (void)state;
    hearth_budget_init(&budget, UINT64_MAX);
    assert_int_equal(hearth_store_create(&store, &budget), HEARTH_OK);
    for (int i = 0; i < 4; i++) {
        openers[i].store = store;
        openers[i].path = path;
        assert_int_equal(
            pthread_create(&threads[i], NULL, open_often, &openers[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(openers[i].failed, 0);
        assert_ptr_equal(openers[i].entry, openers[0].entry);
    }
    assert_int_equal(hearth_budget_used(&budget),
                     hearth_store_entry_bytes(openers[0].entry));
    for (int i = 0; i < 4; i++)
        hearth_store_unref(&openers[i].entry);
    assert_int_equal(hearth_budget_used(&budget), 0);
    hearth_store_destroy(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_means_a_file_a_directory_or_its_newest_version),
        cmocka_unit_test(a_path_that_means_nothing_says_what_was_looked_for),
        cmocka_unit_test(equal_models_are_one_entry),
        cmocka_unit_test(a_file_that_was_replaced_is_read_again),
        cmocka_unit_test(a_budget_that_is_too_small_refuses_and_keeps_nothing),
        cmocka_unit_test(a_failed_allocation_keeps_nothing),
        cmocka_unit_test(threads_that_open_at_once_share_one_entry),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
