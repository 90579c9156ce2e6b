/* SPDX-License-Identifier: Apache-2.0 */
/* A program's YAML file: values of every kind, lists, and every way to get it
 * wrong, with file and line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/conf.h"

struct item {
    const char *name, *users;
    int64_t limit;
};
struct config {
    const char *text;
    int64_t number, wait_us;
    bool on;
    struct item *items;
    uint32_t item_count;
};
static const struct hearth_conf_row rows[] = {
    {.name = "text",
     .kind = HEARTH_CONF_TEXT,
     .offset = offsetof(struct config, text),
     .fallback = "none"},
    {.name = "number",
     .kind = HEARTH_CONF_INTEGER,
     .offset = offsetof(struct config, number),
     .fallback = "5",
     .max = 10},
    {.name = "wait",
     .kind = HEARTH_CONF_DURATION,
     .offset = offsetof(struct config, wait_us)},
    {.name = "on",
     .kind = HEARTH_CONF_SWITCH,
     .offset = offsetof(struct config, on)},
};
#define COUNT (sizeof(rows) / sizeof(*rows))
static const struct hearth_conf_row item_rows[] = {
    {.name = "name",
     .kind = HEARTH_CONF_TEXT,
     .offset = offsetof(struct item, name)},
    {.name = "users",
     .kind = HEARTH_CONF_TEXT,
     .offset = offsetof(struct item, users),
     .fallback = "nobody"},
    {.name = "limit",
     .kind = HEARTH_CONF_INTEGER,
     .offset = offsetof(struct item, limit),
     .fallback = "7"},
};
static const struct hearth_conf_list lists[] = {
    {.name = "items",
     .rows = item_rows,
     .row_count = sizeof(item_rows) / sizeof(*item_rows),
     .item_bytes = sizeof(struct item),
     .items_offset = offsetof(struct config, items),
     .count_offset = offsetof(struct config, item_count)},
};

static struct config config;
static struct hearth_error err;
static hearth_conf_file_t *file;
static char path[] = "/tmp/hearth_conf_XXXXXX";

static int read_text(const char *text)
{
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    fputs(text, out);
    fclose(out);
    hearth_conf_file_free(&file);
    memset(&config, 0, sizeof(config));
    memset(&err, 0, sizeof(err));
    hearth_conf_defaults(rows, COUNT, &config);
    return hearth_conf_file_read(&file, path, rows, COUNT, lists, 1, &config,
                                 &err);
}

static void values_and_lists_are_read(void **state)
{
    (void)state;
    assert_int_equal(read_text("text: [a, b c, d]\nnumber: 3\nwait: 250ms\n"
                               "on: yes\nitems:\n- name: x\n"
                               "  users: [1000, alice]\n- name: y\n"
                               "  limit: 9\n"),
                     HEARTH_OK);
    assert_string_equal(config.text, "a b c d");
    assert_int_equal(config.number, 3);
    assert_int_equal(config.wait_us, 250000);
    assert_true(config.on);
    assert_int_equal(config.item_count, 2);
    assert_string_equal(config.items[0].users, "1000 alice");
    assert_int_equal(config.items[0].limit, 7);
    assert_string_equal(config.items[1].name, "y");
    assert_string_equal(config.items[1].users, "nobody");
    assert_int_equal(config.items[1].limit, 9);
}

static void an_empty_file_leaves_the_defaults(void **state)
{
    (void)state;
    assert_int_equal(read_text(""), HEARTH_OK);
    assert_string_equal(config.text, "none");
    assert_int_equal(read_text("# nothing\n"), HEARTH_OK);
    assert_int_equal(config.number, 5);
}

static void mistakes_are_told_with_their_line(void **state)
{
    static const struct {
        const char *text, *line, *said;
    } cases[] = {
        {"text: a\nnumbr: 1\n", ":2: ", "did you mean 'number'?"},
        {"zzzzzzzz: 1\n", ":1: ", "unknown key"},
        {"number: 11\n", ":1: ", "from 0 to 10"},
        {"number: {a: 1}\n", ":1: ", "expected a value"},
        {"\n\nwait: soon\n", ":3: ", "a duration"},
        {"text: a\ntext: b\n", ":2: ", "a second time"},
        {"items: 3\n", ":1: ", "expected a list"},
        {"items:\n- 3\n", ":2: ", "expected keys"},
        {"items:\n- name: a\n  nam: b\n", ":3: ", "did you mean 'name'?"},
        {"items:\n- limit: x\n", ":2: ", "a whole number"},
        {"- a\n", ":1: ", "expected keys"},
        {"a: [\n", ":2: ", "not YAML"},
        {"text: [a, {b: c}]\n", ":1: ", "expected a value"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_int_equal(read_text(cases[i].text), HEARTH_ECONFIG);
        assert_null(file);
        if (!strstr(err.text, cases[i].line) ||
            !strstr(err.text, cases[i].said))
            fail_msg("case %zu: %s", i, err.text);
    }
}

static void a_missing_file_is_told(void **state)
{
    (void)state;
    assert_int_equal(hearth_conf_file_read(&file, "/nonexistent/x.yaml", rows,
                                           COUNT, lists, 1, &config, &err),
                     HEARTH_ENOENT);
    assert_non_null(strstr(err.text, "check its path"));
}

static void without_memory_nothing_is_left(void **state)
{
    uint64_t before;

    (void)state;
    assert_int_equal(read_text("text: [a, b]\nitems: [{name: x}]\n"),
                     HEARTH_OK);
    hearth_conf_file_free(&file);
    before = hearth_mem_used_bytes();
    for (int n = 1; n < 50; n++) {
        int status;

        hearth_mem_fail_at(n, false);
        status = hearth_conf_file_read(&file, path, rows, COUNT, lists, 1,
                                       &config, &err);
        hearth_mem_fail_at(0, false);
        if (status == HEARTH_OK) {
            assert_true(n > 4);
            break;
        }
        assert_int_equal(status, HEARTH_ENOMEM);
        assert_null(file);
        assert_int_equal(hearth_mem_used_bytes(), before);
    }
    hearth_conf_file_free(&file);
    assert_int_equal(hearth_mem_used_bytes(), before);
}

static void variables_may_have_a_prefix_and_capitals(void **state)
{
    const char *env[] = {"number=1", "HEARTHD_NUMBER=8", "HEARTHD_TEXT=t=u",
                         NULL};

    (void)state;
    hearth_conf_defaults(rows, COUNT, &config);
    assert_int_equal(
        hearth_conf_env(rows, COUNT, &config, "HEARTHD_", env, NULL, &err),
        HEARTH_OK);
    assert_int_equal(config.number, 8);
    assert_string_equal(config.text, "t=u");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_lists_are_read),
        cmocka_unit_test(an_empty_file_leaves_the_defaults),
        cmocka_unit_test(mistakes_are_told_with_their_line),
        cmocka_unit_test(a_missing_file_is_told),
        cmocka_unit_test(without_memory_nothing_is_left),
        cmocka_unit_test(variables_may_have_a_prefix_and_capitals),
    };
    int failed, fd = mkstemp(path);

    if (fd < 0)
        return 1;
    close(fd);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    hearth_conf_file_free(&file);
    unlink(path);
    return failed;
}
