/* SPDX-License-Identifier: Apache-2.0 */
/* The watchdog's parameters: of-watchdog's names and rules, flags over the
 * environment, refusals, and the manual page that lists them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "openfaas/config.h"

static struct hearth_watchdog_config config;
static enum hearth_watchdog_action action;
static struct hearth_error err;

#define ENV(...) ((const char *[]){__VA_ARGS__, NULL})
#define NO_ENV ((const char *[]){NULL})
#define ARGS(...)                                                              \
    (int)(sizeof((const char *[]){"hearth-watchdog", __VA_ARGS__}) /           \
          sizeof(const char *)),                                               \
        ((const char *[]){"hearth-watchdog", __VA_ARGS__, NULL})
#define NO_ARGS 1, ((const char *[]){"hearth-watchdog", NULL})

static int configure(int argc, const char *const *argv, const char *const *env)
{
    memset(&err, 0, sizeof(err));
    return hearth__watchdog_configure(&config, &action, argc, argv, env, &err);
}

static void defaults_are_of_watchdogs(void **state)
{
    (void)state;
    assert_int_equal(configure(NO_ARGS, NO_ENV), HEARTH_OK);
    assert_int_equal(action, HEARTH_WATCHDOG_SERVE);
    assert_string_equal(config.mode, "model");
    assert_string_equal(config.hearth_yaml, "hearth.yaml");
    assert_int_equal(config.port, 8080);
    assert_int_equal(config.metrics_port, 8081);
    assert_int_equal(config.read_us, 30000000);
    assert_int_equal(config.write_us, 30000000);
    assert_int_equal(config.exec_us, 30000000);
    assert_int_equal(config.healthcheck_us, 30000000);
    assert_int_equal(config.max_in_flight, 0);
    assert_false(config.suppress_lock);
}

static void the_environment_is_read_under_of_watchdogs_names(void **state)
{
    (void)state;
    assert_int_equal(
        configure(NO_ARGS,
                  ENV("port=9000", "read_timeout=1m30s", "write_timeout=10",
                      "exec_timeout=250ms", "max_inflight=4",
                      "suppress_lock=true", "log_call_id=1", "memory=512MiB",
                      "devices=cpu:0-1", "hearth_yaml=/f/h.yaml",
                      "metrics_port=9001", "PORT=1", "other=1", "port2=2")),
        HEARTH_OK);
    assert_int_equal(config.port, 9000);
    assert_int_equal(config.metrics_port, 9001);
    assert_int_equal(config.read_us, 90000000);
    assert_int_equal(config.write_us, 10000000);
    assert_int_equal(config.exec_us, 250000);
    assert_int_equal(config.healthcheck_us, 10000000); /* write_timeout */
    assert_int_equal(config.max_in_flight, 4);
    assert_true(config.suppress_lock);
    assert_true(config.log_call_id);
    assert_int_equal(config.memory_bytes, 512 << 20);
    assert_string_equal(config.devices, "cpu:0-1");
    assert_string_equal(config.hearth_yaml, "/f/h.yaml");
}

static void the_last_of_two_variables_and_the_main_name_win(void **state)
{
    (void)state;
    assert_int_equal(configure(NO_ARGS, ENV("port=1", "port=2", "log_callid=0",
                                            "log_call_id=1")),
                     HEARTH_OK);
    assert_int_equal(config.port, 2);
    assert_false(config.log_call_id);
}

static void a_duration_that_is_none_becomes_the_default(void **state)
{
    static const char *const bad[] = {"exec_timeout=", "exec_timeout=-5",
                                      "exec_timeout=10 s", "exec_timeout=5d",
                                      "exec_timeout=soon"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(configure(NO_ARGS, ENV(bad[i])), HEARTH_OK);
        assert_int_equal(config.exec_us, 30000000);
    }
    assert_int_equal(configure(NO_ARGS, ENV("exec_timeout=-5s")), HEARTH_OK);
    assert_int_equal(config.exec_us, 0); /* none */
    assert_int_equal(configure(NO_ARGS, ENV("write_timeout=-1s")), HEARTH_OK);
    assert_int_equal(config.write_us, -1000000); /* none */
}

static void what_cannot_be_meant_is_refused_by_name(void **state)
{
    static const struct {
        const char *env;
        const char *word;
    } bad[] = {{"port=abc", "port=abc"},
               {"port=", "port="},
               {"port=65536", "port"},
               {"port=-1", "port"},
               {"metrics_port=-2", "port"},
               {"max_inflight=many", "max_inflight=many"},
               {"memory=much", "memory=much"},
               {"write_timeout=0", "HTTP write timeout must be over 0s"},
               {"log_level=loud", "log_level=loud"},
               {"io_threads=1000", "io_threads"},
               {"jwt_auth=true", "jwt_auth"}};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(configure(NO_ARGS, ENV(bad[i].env)), HEARTH_ECONFIG);
        assert_non_null(strstr(err.text, bad[i].word));
    }
}

static void flags_win_and_are_spelled_in_three_ways(void **state)
{
    (void)state;
    assert_int_equal(
        configure(ARGS("--port=1", "-read-timeout", "2", "--write_timeout=3s",
                       "operand", "--suppress-lock"),
                  ENV("port=8", "read_timeout=9")),
        HEARTH_OK);
    assert_int_equal(config.port, 1);
    assert_int_equal(config.read_us, 2000000);
    assert_int_equal(config.write_us, 3000000);
    assert_true(config.suppress_lock);
}

static void wrong_flags_are_refused(void **state)
{
    (void)state;
    assert_int_equal(configure(ARGS("--nonsense"), NO_ENV), HEARTH_EINVAL);
    assert_non_null(strstr(err.text, "--nonsense"));
    assert_int_equal(configure(ARGS("---port=1"), NO_ENV), HEARTH_EINVAL);
    assert_int_equal(configure(ARGS("--port"), NO_ENV), HEARTH_EINVAL);
    assert_int_equal(configure(ARGS("--port=x"), NO_ENV), HEARTH_EINVAL);
    assert_int_equal(configure(ARGS("-"), NO_ENV), HEARTH_EINVAL);
    assert_int_equal(configure(ARGS("--"), NO_ENV), HEARTH_EINVAL);
    assert_int_equal(configure(ARGS("-v"), NO_ENV), HEARTH_EINVAL);
}

static void actions_are_known_with_one_dash_and_with_two(void **state)
{
    (void)state;
    assert_int_equal(configure(ARGS("-version"), NO_ENV), HEARTH_OK);
    assert_int_equal(action, HEARTH_WATCHDOG_VERSION);
    assert_int_equal(configure(ARGS("--version", "-v"), NO_ENV), HEARTH_OK);
    assert_int_equal(action, HEARTH_WATCHDOG_BUILD);
    assert_int_equal(configure(ARGS("-h"), NO_ENV), HEARTH_OK);
    assert_int_equal(action, HEARTH_WATCHDOG_HELP);
    assert_int_equal(configure(ARGS("-run-healthcheck"), NO_ENV), HEARTH_OK);
    assert_int_equal(action, HEARTH_WATCHDOG_HEALTHCHECK);
    /* Asking for the version does not need a valid configuration. */
    assert_int_equal(configure(ARGS("-version"), ENV("write_timeout=0")),
                     HEARTH_OK);
}

static void without_a_mode_a_process_means_of_watchdogs_default(void **state)
{
    (void)state;
    assert_int_equal(configure(NO_ARGS, ENV("fprocess=cat")), HEARTH_OK);
    assert_string_equal(config.mode, "streaming");
    assert_int_equal(configure(NO_ARGS, ENV("fprocess=cat", "mode=model")),
                     HEARTH_OK);
    assert_string_equal(config.mode, "model");
}

static void the_manual_lists_every_parameter_as_the_table_does(void **state)
{
    const char *top = getenv("HEARTH_SRCDIR");
    char path[512], *page, *begin, *end, *rows;
    size_t bytes, rows_bytes;
    FILE *file, *out;

    (void)state;
    snprintf(path, sizeof(path), "%s/docs/man/hearth-watchdog.1",
             top ? top : ".");
    file = fopen(path, "rb");
    assert_non_null(file);
    page = calloc(1, 100000);
    bytes = fread(page, 1, 99999, file);
    fclose(file);
    assert_true(bytes > 1000);
    begin = strstr(page, ".\\\" BEGIN PARAMETERS\n");
    end = strstr(page, ".\\\" END PARAMETERS\n");
    assert_non_null(begin);
    assert_non_null(end);
    begin = strchr(begin, '\n') + 1;
    *end = '\0';
    out = open_memstream(&rows, &rows_bytes);
    hearth__watchdog_manual(out);
    fclose(out);
    if (strcmp(begin, rows) != 0)
        fail_msg("run docs/man/update.sh and commit the page");
    free(rows);
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_of_watchdogs),
        cmocka_unit_test(the_environment_is_read_under_of_watchdogs_names),
        cmocka_unit_test(the_last_of_two_variables_and_the_main_name_win),
        cmocka_unit_test(a_duration_that_is_none_becomes_the_default),
        cmocka_unit_test(what_cannot_be_meant_is_refused_by_name),
        cmocka_unit_test(flags_win_and_are_spelled_in_three_ways),
        cmocka_unit_test(wrong_flags_are_refused),
        cmocka_unit_test(actions_are_known_with_one_dash_and_with_two),
        cmocka_unit_test(without_a_mode_a_process_means_of_watchdogs_default),
        cmocka_unit_test(the_manual_lists_every_parameter_as_the_table_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
