/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters from a table: every kind, good and bad, from both sources, and the
 * texts that are printed from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/conf.h"

struct config {
    const char *text;
    int64_t number, wait_us;
    uint64_t bytes;
    bool on;
    int choice;
};
static const char *const choices[] = {"red", "green", NULL};
static const struct hearth_conf_row rows[] = {
    {.name = "a_text",
     .alias = "old_text",
     .kind = HEARTH_CONF_TEXT,
     .offset = offsetof(struct config, text),
     .fallback = "none",
     .help = "a text-like thing"},
    {.name = "number",
     .kind = HEARTH_CONF_INTEGER,
     .offset = offsetof(struct config, number),
     .fallback = "5",
     .min = -1,
     .max = 10,
     .help = "a number"},
    {.name = "wait",
     .kind = HEARTH_CONF_DURATION,
     .flags = HEARTH_CONF_LENIENT,
     .offset = offsetof(struct config, wait_us),
     .fallback = "1s",
     .help = "a duration"},
    {.name = "bytes",
     .kind = HEARTH_CONF_BYTES,
     .offset = offsetof(struct config, bytes),
     .help = "a size"},
    {.name = "on",
     .kind = HEARTH_CONF_SWITCH,
     .offset = offsetof(struct config, on),
     .fallback = "false",
     .help = "a switch"},
    {.name = "choice",
     .kind = HEARTH_CONF_CHOICE,
     .flags = HEARTH_CONF_ENV_ONLY,
     .offset = offsetof(struct config, choice),
     .fallback = "green",
     .choices = choices,
     .help = "a colour"},
};
#define COUNT (sizeof(rows) / sizeof(*rows))

static struct config config;
static struct hearth_error err;
static char warned[300];

static void warn(const char *text)
{
    snprintf(warned, sizeof(warned), "%s", text);
}

static int set_up(void **state)
{
    (void)state;
    memset(&config, 0, sizeof(config));
    memset(&err, 0, sizeof(err));
    warned[0] = '\0';
    hearth_conf_defaults(rows, COUNT, &config);
    return 0;
}

static int from_env(const char *variable)
{
    const char *env[] = {"x=y", variable, NULL};

    return hearth_conf_env(rows, COUNT, &config, NULL, env, warn, &err);
}

static void defaults_come_from_the_table(void **state)
{
    (void)state;
    assert_string_equal(config.text, "none");
    assert_int_equal(config.number, 5);
    assert_int_equal(config.wait_us, 1000000);
    assert_int_equal(config.bytes, 0);
    assert_false(config.on);
    assert_int_equal(config.choice, 1);
}

static void every_kind_is_read_from_the_environment(void **state)
{
    (void)state;
    assert_int_equal(from_env("a_text=hello=there"), HEARTH_OK);
    assert_string_equal(config.text, "hello=there");
    assert_int_equal(from_env("old_text=by alias"), HEARTH_OK);
    assert_string_equal(config.text, "by alias");
    assert_int_equal(from_env("number=-1"), HEARTH_OK);
    assert_int_equal(config.number, -1);
    assert_int_equal(from_env("wait=-2s"), HEARTH_OK);
    assert_int_equal(config.wait_us, -2000000);
    assert_int_equal(from_env("bytes=2KiB"), HEARTH_OK);
    assert_int_equal(config.bytes, 2048);
    assert_int_equal(from_env("on=1"), HEARTH_OK);
    assert_true(config.on);
    assert_int_equal(from_env("on=yes"), HEARTH_OK); /* as of-watchdog */
    assert_false(config.on);
    assert_int_equal(from_env("choice=red"), HEARTH_OK);
    assert_int_equal(config.choice, 0);
}

static void a_bad_value_is_named_and_changes_nothing(void **state)
{
    static const struct {
        const char *variable, *text;
    } bad[] = {
        {"number=eleven", "number=eleven: expected a whole number from -1 to "
                          "10"},
        {"number=11", "number=11: expected"},
        {"number=-2", "number=-2: expected"},
        {"number=", "number=: expected"},
        {"number=5 ", "number=5 : expected"},
        {"number=99999999999999999999", "expected"},
        {"bytes=-1", "bytes=-1: expected a size"},
        {"choice=blue", "choice=blue: expected one of red, green"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct config before = config;

        assert_int_equal(from_env(bad[i].variable), HEARTH_ECONFIG);
        assert_non_null(strstr(err.text, bad[i].text));
        assert_memory_equal(&before, &config, sizeof(config));
    }
}

static void a_lenient_row_keeps_its_default_and_tells(void **state)
{
    static const char *const bad[] = {"wait=soon", "wait=-5", "wait=", "wait="};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(from_env(bad[i]), HEARTH_OK);
        assert_int_equal(config.wait_us, 1000000);
        assert_non_null(strstr(warned, bad[i]));
    }
}

static int from_flags(int argc, const char *const *argv, int *used)
{
    *used = 1;
    return hearth_conf_flag(rows, COUNT, &config, argc, argv, used, &err);
}
#define FLAGS(...)                                                             \
    (int)(sizeof((const char *[]){"p", __VA_ARGS__}) / sizeof(char *)),        \
        ((const char *[]){"p", __VA_ARGS__})

static void flags_take_a_value_in_either_way(void **state)
{
    int used;

    (void)state;
    assert_int_equal(from_flags(FLAGS("--a-text=x"), &used), HEARTH_OK);
    assert_string_equal(config.text, "x");
    assert_int_equal(used, 1);
    assert_int_equal(from_flags(FLAGS("-a_text", "-y"), &used), HEARTH_OK);
    assert_string_equal(config.text, "-y");
    assert_int_equal(used, 2);
    assert_int_equal(from_flags(FLAGS("--on", "other"), &used), HEARTH_OK);
    assert_true(config.on);
    assert_int_equal(used, 1);
    assert_int_equal(from_flags(FLAGS("--on=false"), &used), HEARTH_OK);
    assert_false(config.on);
}

static void flags_that_are_none_are_told_from_bad_ones(void **state)
{
    int used;

    (void)state;
    assert_int_equal(from_flags(FLAGS("--choice=red"), &used), HEARTH_ENOENT);
    assert_int_equal(from_flags(FLAGS("--nothing"), &used), HEARTH_ENOENT);
    assert_int_equal(from_flags(FLAGS("---number=1"), &used), HEARTH_ENOENT);
    assert_int_equal(from_flags(FLAGS("number=1"), &used), HEARTH_ENOENT);
    assert_int_equal(from_flags(FLAGS("--"), &used), HEARTH_ENOENT);
    assert_int_equal(from_flags(FLAGS("--number"), &used), HEARTH_EINVAL);
    assert_int_equal(from_flags(FLAGS("--number=x"), &used), HEARTH_EINVAL);
    assert_int_equal(from_flags(FLAGS("--wait=soon"), &used), HEARTH_EINVAL);
}

static void help_and_manual_have_every_row(void **state)
{
    char *help, *manual;
    size_t help_bytes, manual_bytes;
    FILE *out = open_memstream(&help, &help_bytes);

    (void)state;
    hearth_conf_help(rows, COUNT, out);
    fclose(out);
    out = open_memstream(&manual, &manual_bytes);
    hearth_conf_manual(rows, COUNT, out);
    fclose(out);
    for (size_t i = 0; i < COUNT; i++) {
        assert_non_null(strstr(help, rows[i].name));
        assert_non_null(strstr(help, rows[i].help));
        assert_non_null(strstr(manual, rows[i].name));
    }
    assert_non_null(strstr(manual, ".TP\n.B a_text, old_text, \\-\\-a\\-text\n"
                                   "a text\\-like thing\n(default: none)\n"));
    assert_null(strstr(manual, "\\-\\-choice"));
    free(help);
    free(manual);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup(fn, set_up)
    const struct CMUnitTest tests[] = {
        CASE(defaults_come_from_the_table),
        CASE(every_kind_is_read_from_the_environment),
        CASE(a_bad_value_is_named_and_changes_nothing),
        CASE(a_lenient_row_keeps_its_default_and_tells),
        CASE(flags_take_a_value_in_either_way),
        CASE(flags_that_are_none_are_told_from_bad_ones),
        CASE(help_and_manual_have_every_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
