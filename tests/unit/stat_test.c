/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics: series, their text, their bounds, and failed allocations. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "stat/stat.h"

static const double bounds[] = {0.001, 0.5};
enum { PLAIN, LABELLED, TIMES, ROWS };
static const struct hearth_stat_row rows[ROWS] = {
    [PLAIN] = {.name = "plain", .type = HEARTH_STAT_GAUGE, .help = "A gauge."},
    [LABELLED] = {.name = "labelled_total",
                  .type = HEARTH_STAT_COUNTER,
                  .help = "A counter.",
                  .labels = {"code", "method"}},
    [TIMES] = {.name = "times_seconds",
               .type = HEARTH_STAT_HISTOGRAM,
               .help = "A histogram.",
               .labels = {"step"},
               .bounds = bounds,
               .bound_count = 2},
};
static hearth_stat_t *stat;

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(hearth_stat_create(&stat, rows, ROWS), APR_SUCCESS);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    hearth_stat_destroy(&stat);
    assert_null(stat);
    return 0;
}

static void the_text_is_prometheus(void **state)
{
    struct hearth_stat_text text = {.data = NULL};

    (void)state;
    hearth_stat_set(hearth_stat_series(stat, PLAIN, NULL, NULL), -3);
    hearth_stat_add(hearth_stat_series(stat, LABELLED, "200", "get"), 2);
    hearth_stat_add(hearth_stat_series(stat, LABELLED, "200", "get"), 1);
    hearth_stat_add(hearth_stat_series(stat, LABELLED, "a\"b\\c\nd", "x"), 1);
    hearth_stat_observe_us(hearth_stat_series(stat, TIMES, "run", NULL), 1000);
    hearth_stat_observe_us(hearth_stat_series(stat, TIMES, "run", NULL), 1001);
    hearth_stat_observe_us(hearth_stat_series(stat, TIMES, "run", NULL),
                           2000000);
    hearth_stat_write(stat, &text);
    assert_string_equal(
        text.data,
        "# HELP plain A gauge.\n# TYPE plain gauge\nplain -3\n"
        "# HELP labelled_total A counter.\n# TYPE labelled_total counter\n"
        "labelled_total{code=\"200\",method=\"get\"} 3\n"
        "labelled_total{code=\"a\\\"b\\\\c\\nd\",method=\"x\"} 1\n"
        "# HELP times_seconds A histogram.\n# TYPE times_seconds histogram\n"
        "times_seconds_bucket{step=\"run\",le=\"0.001\"} 1\n"
        "times_seconds_bucket{step=\"run\",le=\"0.5\"} 2\n"
        "times_seconds_bucket{step=\"run\",le=\"+Inf\"} 3\n"
        "times_seconds_sum{step=\"run\"} 2.002001\n"
        "times_seconds_count{step=\"run\"} 3\n");
    hearth_free(text.data);
}

static void a_row_with_labels_is_absent_until_it_counts(void **state)
{
    struct hearth_stat_text text = {.data = NULL};

    (void)state;
    hearth_stat_write(stat, &text);
    assert_string_equal(text.data, "# HELP plain A gauge.\n"
                                   "# TYPE plain gauge\nplain 0\n");
    hearth_free(text.data);
}

static void one_series_too_many_is_counted_as_other(void **state)
{
    hearth_stat_series_t *other;

    (void)state;
    for (int i = 0; i < 200; i++) {
        char code[16];

        snprintf(code, sizeof(code), "%d", i);
        hearth_stat_add(hearth_stat_series(stat, LABELLED, code, "get"), 1);
    }
    other = hearth_stat_series(stat, LABELLED, "other", "other");
    assert_int_equal(hearth_stat_value(other),
                     200 - (HEARTH_STAT_SERIES_MAX - 1));
    assert_ptr_equal(hearth_stat_series(stat, LABELLED, "500", "x"), other);
}

static void a_long_label_finds_itself_again(void **state)
{
    char label[200];

    (void)state;
    memset(label, 'y', sizeof(label) - 1);
    label[sizeof(label) - 1] = '\0';
    assert_ptr_equal(hearth_stat_series(stat, TIMES, label, NULL),
                     hearth_stat_series(stat, TIMES, label, NULL));
}

static void *count_up(void *unused)
{
    for (int i = 0; i < 1000; i++)
        hearth_stat_add(hearth_stat_series(stat, LABELLED, "1", "2"), 1);
    return unused;
}

static void threads_lose_no_count(void **state)
{
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(
        hearth_stat_value(hearth_stat_series(stat, LABELLED, "1", "2")), 4000);
}

static void without_memory_nothing_is_counted_and_nothing_breaks(void **state)
{
    struct hearth_stat_text text = {.data = NULL};
    hearth_stat_t *other;

    (void)state;
    hearth_mem_fail_at(1, true);
    assert_int_equal(hearth_stat_create(&other, rows, ROWS), HEARTH_ENOMEM);
    assert_null(other);
    hearth_stat_add(hearth_stat_series(stat, PLAIN, NULL, NULL), 1);
    hearth_stat_observe_us(NULL, 1);
    hearth_stat_write(stat, &text);
    hearth_mem_fail_at(0, false);
    assert_null(text.data);
    hearth_mem_fail_at(2, false);
    assert_int_equal(hearth_stat_create(&other, rows, ROWS), HEARTH_ENOMEM);
    hearth_mem_fail_at(0, false);
    assert_int_equal(hearth_stat_value(NULL), 0);
}

static void the_process_tells_of_itself(void **state)
{
    static const char *const names[] = {"process_cpu_seconds_total ",
                                        "process_open_fds ",
                                        "process_max_fds ",
                                        "process_virtual_memory_bytes ",
                                        "process_resident_memory_bytes ",
                                        "process_start_time_seconds "};
    struct hearth_stat_text text = {.data = NULL};

    (void)state;
    hearth_stat_write_process(&text);
    assert_false(text.failed);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        assert_non_null(strstr(text.data, names[i]));
    hearth_free(text.data);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(the_text_is_prometheus),
        CASE(a_row_with_labels_is_absent_until_it_counts),
        CASE(one_series_too_many_is_counted_as_other),
        CASE(a_long_label_finds_itself_again),
        CASE(threads_lose_no_count),
        CASE(without_memory_nothing_is_counted_and_nothing_breaks),
        CASE(the_process_tells_of_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
