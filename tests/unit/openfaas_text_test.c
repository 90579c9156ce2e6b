/* SPDX-License-Identifier: Apache-2.0 */
/* The watchdog's texts: sizes and durations as of-watchdog writes them, and log
 * lines that stay lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "openfaas/text.h"

static void sizes_have_decimal_units_and_four_digits(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, "0B"},
                 {106, "106B"},
                 {999, "999B"},
                 {1000, "1kB"},
                 {1006, "1.006kB"},
                 {100000, "100kB"},
                 {2100000, "2.1MB"},
                 {1234567890, "1.235GB"},
                 {UINT64_MAX, "1.845e+04PB"}};
    char buf[32];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_string_equal(
            hearth_watchdog_size(cases[i].bytes, buf, sizeof(buf)),
            cases[i].text);
}

static void durations_are_written_as_go_does(void **state)
{
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {{0, "0s"},
                 {1, "1\302\265s"},
                 {999, "999\302\265s"},
                 {500000, "500ms"},
                 {1500, "1.5ms"},
                 {1500000, "1.5s"},
                 {30000000, "30s"},
                 {60000000, "1m0s"},
                 {65000000, "1m5s"},
                 {3600000000, "1h0m0s"},
                 {3661000001, "1h1m1.000001s"},
                 {-5000000, "-5s"}};
    char buf[48];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_string_equal(
            hearth_watchdog_duration(cases[i].us, buf, sizeof(buf)),
            cases[i].text);
}

static void a_log_line_is_one_line_with_the_time_before_it(void **state)
{
    char got[4096], longest[3000];
    int pipes[2], saved = dup(STDERR_FILENO);
    ssize_t n;

    (void)state;
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(pipe(pipes), 0);
    dup2(pipes[1], STDERR_FILENO);
    hearth_watchdog_log("GET /a\nGET /forged %s", "\x1b[2J");
    hearth_watchdog_log("%s", longest);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(pipes[1]);
    for (size_t used = 0;
         (n = read(pipes[0], got + used, sizeof(got) - used - 1)) > 0;)
        got[used += (size_t)n] = '\0';
    close(pipes[0]);
    assert_int_equal(got[4], '/');
    assert_int_equal(got[13], ':');
    assert_int_equal(strncmp(got + 20, "GET /a?GET /forged ?[2J\n", 24), 0);
    assert_int_equal(strchr(got + 44, '\n') - (got + 44), 2048 - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_have_decimal_units_and_four_digits),
        cmocka_unit_test(durations_are_written_as_go_does),
        cmocka_unit_test(a_log_line_is_one_line_with_the_time_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
