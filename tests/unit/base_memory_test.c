/* SPDX-License-Identifier: Apache-2.0 */
/* Counted memory, budgets and locks. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"

static void used_bytes_follow_every_kind_of_allocation(void **state)
{
    (void)state;
    uint64_t start = hearth_mem_used_bytes();
    char *a = hearth_malloc(100);
    char *b = hearth_calloc(10, 7);
    char *c = hearth_strdup("hearth");
    void *d = hearth_pages_alloc(8 << 20);
    assert_non_null(a);
    assert_int_equal((uintptr_t)a % 16, 0);
    assert_int_equal((uintptr_t)d % 4096, 0);
    for (int i = 0; i < 70; i++)
        assert_int_equal(b[i], 0);
    assert_string_equal(c, "hearth");
    assert_int_equal(hearth_mem_used_bytes() - start, 100 + 70 + 7 + (8 << 20));
    a = hearth_realloc(a, 300);
    assert_non_null(a);
    assert_int_equal(hearth_mem_used_bytes() - start, 300 + 70 + 7 + (8 << 20));
    hearth_free(a);
    hearth_free(b);
    hearth_free(c);
    hearth_free(NULL);
    hearth_pages_free(d, 8 << 20);
    assert_int_equal(hearth_mem_used_bytes(), start);
}

static void an_allocation_fails_when_told_to(void **state)
{
    (void)state;
    hearth_mem_fail_at(2, false);
    void *first = hearth_malloc(1);
    void *second = hearth_calloc(1, 1);
    void *third = hearth_malloc(1);
    assert_non_null(first);
    assert_null(second);
    assert_non_null(third);
    hearth_mem_fail_at(1, true);
    assert_null(hearth_pages_alloc(1));
    assert_null(hearth_realloc(first, 100));
    assert_null(hearth_strdup("x"));
    hearth_mem_fail_at(0, false);
    hearth_free(first);
    hearth_free(third);
}

static void sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    /* volatile: the compiler would refuse the constants, with a warning. */
    volatile size_t huge = SIZE_MAX;
    assert_null(hearth_malloc(huge));
    assert_null(hearth_calloc(huge, 2));
    assert_null(hearth_realloc(NULL, huge - 4));
    assert_null(hearth_pages_alloc(0));
}

static void a_budget_takes_to_its_limit_and_no_byte_more(void **state)
{
    (void)state;
    struct hearth_budget budget;
    hearth_budget_init(&budget, 100);
    assert_true(hearth_budget_take(&budget, 60));
    assert_false(hearth_budget_take(&budget, 41));
    assert_true(hearth_budget_take(&budget, 40));
    assert_int_equal(hearth_budget_used(&budget), 100);
    hearth_budget_give(&budget, 100);
    assert_int_equal(hearth_budget_used(&budget), 0);
    assert_int_equal(budget.peak_bytes, 100);
    hearth_budget_init(&budget, UINT64_MAX);
    assert_true(hearth_budget_take(&budget, UINT64_MAX));
    assert_false(hearth_budget_take(&budget, 1));
}

static void *take_and_give(void *arg)
{
    for (int i = 0; i < 20000; i++)
        if (hearth_budget_take(arg, 3))
            hearth_budget_give(arg, 3);
    return NULL;
}

static void a_budget_is_exact_under_two_threads(void **state)
{
    (void)state;
    struct hearth_budget budget;
    pthread_t threads[2];
    hearth_budget_init(&budget, 5);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, take_and_give, &budget), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(hearth_budget_used(&budget), 0);
    assert_int_equal(budget.peak_bytes, 3);
}

/* Runs <fn> in a child; true when it died of an assert. */
static bool aborts(void (*fn)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        fn();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static struct hearth_lock low, high;

static void take_in_order(void)
{
    hearth_lock_acquire(&low);
    hearth_lock_acquire(&high);
    hearth_lock_release(&high);
    hearth_lock_release(&low);
    hearth_lock_acquire(&high);
    hearth_lock_release(&high);
}
static void take_against_the_order(void)
{
    hearth_lock_acquire(&high);
    hearth_lock_acquire(&low);
}
static void take_twice(void)
{
    hearth_lock_acquire(&low);
    hearth_lock_acquire(&low);
}
static void give_too_much(void)
{
    struct hearth_budget budget;
    hearth_budget_init(&budget, 10);
    hearth_budget_give(&budget, 1);
}
static void free_twice(void)
{
    char *p = hearth_malloc(64);
    char *q = p;
    hearth_free(p);
    hearth_free(q);
}

static void our_own_mistakes_are_caught(void **state)
{
    (void)state;
    hearth_lock_init(&low, "low", HEARTH_LOCK_STORE);
    hearth_lock_init(&high, "high", HEARTH_LOCK_LOG);
    assert_false(aborts(take_in_order));
    assert_true(aborts(take_against_the_order));
    assert_true(aborts(take_twice));
    assert_true(aborts(give_too_much));
    assert_true(aborts(free_twice));
    hearth_lock_fini(&low);
    hearth_lock_fini(&high);
}

struct signal_box {
    struct hearth_lock lock;
    struct hearth_cond cond;
    bool set;
};

static void *set_and_signal(void *arg)
{
    struct signal_box *box = arg;
    hearth_lock_acquire(&box->lock);
    box->set = true;
    hearth_lock_release(&box->lock);
    hearth_cond_signal(&box->cond);
    return NULL;
}

static void a_condition_wakes_and_times_out(void **state)
{
    (void)state;
    struct signal_box box = {.set = false};
    pthread_t thread;
    hearth_lock_init(&box.lock, "box", HEARTH_LOCK_QUEUE);
    hearth_cond_init(&box.cond);
    hearth_lock_acquire(&box.lock);
    assert_false(hearth_cond_wait(&box.cond, &box.lock, 0));
    assert_int_equal(pthread_create(&thread, NULL, set_and_signal, &box), 0);
    while (!box.set)
        assert_true(hearth_cond_wait(&box.cond, &box.lock, -1));
    hearth_lock_release(&box.lock);
    pthread_join(thread, NULL);
    hearth_cond_fini(&box.cond);
    hearth_lock_fini(&box.lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(used_bytes_follow_every_kind_of_allocation),
        cmocka_unit_test(an_allocation_fails_when_told_to),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(a_budget_takes_to_its_limit_and_no_byte_more),
        cmocka_unit_test(a_budget_is_exact_under_two_threads),
        cmocka_unit_test(our_own_mistakes_are_caught),
        cmocka_unit_test(a_condition_wakes_and_times_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
