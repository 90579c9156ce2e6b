/* SPDX-License-Identifier: Apache-2.0 */
/* The log: levels, one line a message whatever is in it, and limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "log/log.h"

static char got[HEARTH_LOG_LINE_BYTES + 1];
static int got_level, got_count;

static void take(void *ctx, int level, const char *line)
{
    assert_ptr_equal(ctx, &got_count);
    snprintf(got, sizeof(got), "%s", line);
    got_level = level;
    got_count++;
}

static int set_up(void **state)
{
    (void)state;
    got_count = 0;
    got[0] = '\0';
    hearth_log_open(HEARTH_LOG_INFO, take, &got_count);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    hearth_log_close();
    return 0;
}

static void messages_over_the_level_are_not_made(void **state)
{
    (void)state;
    hearth_log(HEARTH_LOG_DEBUG, 9999, "a=1");
    assert_int_equal(got_count, 0);
    assert_false(hearth_log_wanted(HEARTH_LOG_DEBUG));
    hearth_log(HEARTH_LOG_WARN, 9999, "a=%d", 1);
    assert_int_equal(got_count, 1);
    assert_int_equal(got_level, HEARTH_LOG_WARN);
    assert_string_equal(got, "tag=HEARTH9999 a=1");
}

static void a_message_stays_one_line(void **state)
{
    char longest[3000];

    (void)state;
    hearth_log(HEARTH_LOG_ERROR, 7, "text=\"%s\"", "two\nlines\r\x1b[2J\x7f");
    assert_string_equal(got, "tag=HEARTH0007 text=\"two?lines??[2J?\"");
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    hearth_log(HEARTH_LOG_ERROR, 7, "%s", longest);
    assert_int_equal(strlen(got), HEARTH_LOG_LINE_BYTES - 1);
}

static void a_limit_lets_one_message_through_in_its_time(void **state)
{
    struct hearth_log_limit limit = {0, 0};
    struct hearth_manual_clock hand;
    uint32_t left_out = 99;

    (void)state;
    hearth_manual_clock_init(&hand, 1000);
    assert_true(hearth_log_allow(&limit, &hand.clock, 100, &left_out));
    assert_int_equal(left_out, 0);
    for (int i = 0; i < 3; i++)
        assert_false(hearth_log_allow(&limit, &hand.clock, 100, &left_out));
    hearth_manual_clock_advance(&hand, 99);
    assert_false(hearth_log_allow(&limit, &hand.clock, 100, &left_out));
    hearth_manual_clock_advance(&hand, 1);
    assert_true(hearth_log_allow(&limit, &hand.clock, 100, &left_out));
    assert_int_equal(left_out, 4);
}

static void levels_have_names(void **state)
{
    int level = 77;

    (void)state;
    assert_true(hearth_log_level_parse("debug", &level));
    assert_int_equal(level, HEARTH_LOG_DEBUG);
    assert_false(hearth_log_level_parse("loud", &level));
    assert_int_equal(level, HEARTH_LOG_DEBUG);
    assert_string_equal(hearth_log_level_name(HEARTH_LOG_WARN), "warn");
    assert_string_equal(hearth_log_level_name((enum hearth_log_level)9), "?");
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(messages_over_the_level_are_not_made),
        CASE(a_message_stays_one_line),
        CASE(a_limit_lets_one_message_through_in_its_time),
        CASE(levels_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
