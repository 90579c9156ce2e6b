/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The step table, and the loop that runs it: with the real table for what may
 * follow what, and with rows of the test's own for parking, waking and ending
 * early in each step.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "flow/flow_priv.h"

/* What design and documentation say; not derived from the table. */
static const struct {
    enum hearth_step from, to;
} allowed[] = {
    {HEARTH_STEP_RECV_HEAD, HEARTH_STEP_RESOLVE},
    {HEARTH_STEP_RESOLVE, HEARTH_STEP_ADMIT},
    {HEARTH_STEP_ADMIT, HEARTH_STEP_RECV_BODY},
    {HEARTH_STEP_RECV_BODY, HEARTH_STEP_DECODE},
    {HEARTH_STEP_DECODE, HEARTH_STEP_QUEUE},
    {HEARTH_STEP_QUEUE, HEARTH_STEP_RESIDE},
    {HEARTH_STEP_RESIDE, HEARTH_STEP_RUN},
    {HEARTH_STEP_RUN, HEARTH_STEP_ENCODE},
    {HEARTH_STEP_ENCODE, HEARTH_STEP_SEND},
    {HEARTH_STEP_SEND, HEARTH_STEP_NONE},
    {HEARTH_STEP_RECV_HEAD, HEARTH_STEP_FAIL},
    {HEARTH_STEP_RESOLVE, HEARTH_STEP_FAIL},
    {HEARTH_STEP_ADMIT, HEARTH_STEP_FAIL},
    {HEARTH_STEP_RECV_BODY, HEARTH_STEP_FAIL},
    {HEARTH_STEP_DECODE, HEARTH_STEP_FAIL},
    {HEARTH_STEP_QUEUE, HEARTH_STEP_FAIL},
    {HEARTH_STEP_RESIDE, HEARTH_STEP_FAIL},
    {HEARTH_STEP_RUN, HEARTH_STEP_FAIL},
    {HEARTH_STEP_ENCODE, HEARTH_STEP_FAIL},
    {HEARTH_STEP_FAIL, HEARTH_STEP_ENCODE},
};

static bool is_allowed(enum hearth_step from, enum hearth_step to)
{
    for (size_t i = 0; i < sizeof(allowed) / sizeof(*allowed); i++)
        if (allowed[i].from == from && allowed[i].to == to)
            return true;
    return false;
}

static void every_pair_of_steps_is_allowed_or_forbidden_as_designed(void **s)
{
    (void)s;
    for (int from = 0; from < HEARTH_STEP_COUNT; from++)
        for (int to = 0; to < HEARTH_STEP_COUNT; to++)
            if (hearth_step_allowed((enum hearth_step)from,
                                    (enum hearth_step)to) !=
                is_allowed((enum hearth_step)from, (enum hearth_step)to))
                fail_msg("%s -> %s is %s", hearth_step_name(from),
                         hearth_step_name(to),
                         is_allowed(from, to) ? "not allowed" : "allowed");
    assert_false(hearth_step_allowed(HEARTH_STEP_COUNT, HEARTH_STEP_NONE));
    assert_false(hearth_step_allowed(HEARTH_STEP_SEND, HEARTH_STEP_COUNT));
}

static void every_step_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int a = 0; a < HEARTH_STEP_COUNT; a++) {
        assert_non_null(hearth_step_name(a));
        for (int b = 0; b < a; b++)
            assert_string_not_equal(hearth_step_name(a), hearth_step_name(b));
    }
    assert_string_equal(hearth_step_name(HEARTH_STEP_RECV_HEAD), "recv_head");
    assert_string_equal(hearth_step_name(HEARTH_STEP_COUNT), "?");
}

static void a_step_that_parks_can_be_resumed(void **state)
{
    (void)state;
    for (int i = 0; i < HEARTH_STEP_COUNT; i++) {
        assert_non_null(hearth__flow_table[i].enter);
        if (hearth__flow_table[i].cancel)
            assert_non_null(hearth__flow_table[i].resume);
    }
}

/* ---- A path of the test's own. ---- */

static struct {
    hearth_loop_t *loop;
    struct hearth__flow_row table[HEARTH_STEP_COUNT];
    hearth_request_t req;
    enum hearth_step park_at;  /* NONE: nowhere */
    enum hearth_step wrong_at; /* goes to RECV_HEAD, which nothing allows */
    enum hearth_step stop_in;  /* calls hearth__flow_stop from inside */
    bool wake_inside;          /* the park's completion comes at once */
    bool ready;                /* what the parked step waits for is there */
    int cancels, ends, resumes;
    enum hearth_step seen[32];
    int seen_count;
} t;

static enum hearth_step following(hearth_request_t *req)
{
    if (req->step == t.wrong_at)
        return HEARTH_STEP_RECV_HEAD;
    switch (req->step) {
    case HEARTH_STEP_FAIL:
        req->failed = true;
        return HEARTH_STEP_ENCODE;
    case HEARTH_STEP_SEND:
        return HEARTH_STEP_NONE;
    default:
        return req->step + 1;
    }
}

static enum hearth_step enter(hearth_request_t *req)
{
    t.seen[t.seen_count++] = req->step;
    if (req->step == t.stop_in)
        hearth__flow_stop(req, HEARTH_ECANCELED);
    if (req->step == t.park_at) {
        if (t.wake_inside) {
            t.ready = true;
            hearth__flow_run(req);
        }
        return HEARTH__STEP_PARK;
    }
    return following(req);
}

static enum hearth_step resume(hearth_request_t *req)
{
    bool held = req->table[req->step].cancel != NULL;

    t.resumes++;
    return t.ready || (req->stop && !held) ? following(req) : HEARTH__STEP_PARK;
}

static void cancel(hearth_request_t *req)
{
    (void)req;
    t.cancels++;
}

static enum hearth_step end(hearth_request_t *req)
{
    (void)req;
    t.ends++;
    return HEARTH_STEP_NONE;
}

static int set_up(void **state)
{
    (void)state;
    memset(&t, 0, sizeof(t));
    assert_int_equal(hearth_loop_create(&t.loop, NULL), APR_SUCCESS);
    for (int i = 0; i < HEARTH_STEP_COUNT; i++) {
        t.table[i] = hearth__flow_table[i];
        t.table[i].enter = enter;
        t.table[i].resume = resume;
        t.table[i].cancel = NULL;
    }
    t.table[HEARTH_STEP_NONE].enter = end;
    t.req.magic = HEARTH_MAGIC_REQUEST;
    t.req.step = HEARTH_STEP_RECV_HEAD;
    t.req.table = t.table;
    t.req.loop = t.loop;
    t.req.clock = hearth_loop_clock(t.loop);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    hearth_loop_destroy(&t.loop);
    return 0;
}

static void assert_seen(const enum hearth_step *steps, int count)
{
    assert_int_equal(t.seen_count, count);
    for (int i = 0; i < count; i++)
        assert_int_equal(t.seen[i], steps[i]);
}
#define SEEN(...)                                                              \
    assert_seen((const enum hearth_step[]){__VA_ARGS__},                       \
                sizeof((const enum hearth_step[]){__VA_ARGS__}) /              \
                    sizeof(enum hearth_step))

static void a_request_walks_all_steps_and_ends_once(void **state)
{
    (void)state;
    hearth__flow_run(&t.req);
    SEEN(HEARTH_STEP_RECV_HEAD, HEARTH_STEP_RESOLVE, HEARTH_STEP_ADMIT,
         HEARTH_STEP_RECV_BODY, HEARTH_STEP_DECODE, HEARTH_STEP_QUEUE,
         HEARTH_STEP_RESIDE, HEARTH_STEP_RUN, HEARTH_STEP_ENCODE,
         HEARTH_STEP_SEND);
    assert_int_equal(t.ends, 1);
    assert_int_equal(t.req.step, HEARTH_STEP_NONE);
}

static void a_parked_step_waits_through_wakes_that_come_too_early(void **s)
{
    (void)s;
    t.park_at = HEARTH_STEP_QUEUE;
    hearth__flow_run(&t.req);
    assert_int_equal(t.req.step, HEARTH_STEP_QUEUE);
    hearth__flow_run(&t.req);
    hearth__flow_run(&t.req);
    assert_int_equal(t.req.step, HEARTH_STEP_QUEUE);
    assert_int_equal(t.resumes, 2);
    t.ready = true;
    hearth__flow_run(&t.req);
    assert_int_equal(t.ends, 1);
    assert_int_equal(t.seen_count, 10);
}

static void a_completion_from_inside_the_step_is_not_lost(void **state)
{
    (void)state;
    t.park_at = HEARTH_STEP_RECV_BODY;
    t.wake_inside = true;
    hearth__flow_run(&t.req);
    assert_int_equal(t.ends, 1);
    assert_int_equal(t.resumes, 1);
}

/* Every step but FAIL and SEND, which are ends already. */
static void a_parked_request_that_is_stopped_fails_and_answers(void **state)
{
    for (int step = HEARTH_STEP_RECV_HEAD; step <= HEARTH_STEP_ENCODE; step++) {
        tear_down(state);
        set_up(state);
        t.park_at = step;
        hearth__flow_run(&t.req);
        assert_int_equal(t.req.step, step);
        hearth__flow_stop(&t.req, HEARTH_ETIMEOUT);
        if (step == HEARTH_STEP_ENCODE)
            /* ENCODE comes again, for the failure, and parks again here. */
            t.park_at = HEARTH_STEP_NONE, t.ready = true,
            hearth__flow_run(&t.req);
        assert_int_equal(t.ends, 1);
        assert_int_equal(t.req.stop, HEARTH_ETIMEOUT);
        assert_int_equal(t.seen[t.seen_count - 3], HEARTH_STEP_FAIL);
        assert_int_equal(t.seen[t.seen_count - 2], HEARTH_STEP_ENCODE);
        assert_int_equal(t.seen[t.seen_count - 1], HEARTH_STEP_SEND);
    }
}

static void a_step_held_elsewhere_is_asked_back_and_not_torn_away(void **state)
{
    static const enum hearth_step held[] = {
        HEARTH_STEP_QUEUE, HEARTH_STEP_RESIDE, HEARTH_STEP_RUN};

    for (size_t i = 0; i < 3; i++) {
        tear_down(state);
        set_up(state);
        t.table[held[i]].cancel = cancel;
        t.park_at = held[i];
        hearth__flow_run(&t.req);
        hearth__flow_stop(&t.req, HEARTH_ETIMEOUT);
        hearth__flow_stop(&t.req, HEARTH_ECANCELED); /* the first one counts */
        assert_int_equal(t.cancels, 1);
        assert_int_equal(t.req.stop, HEARTH_ETIMEOUT);
        assert_int_equal(t.ends, 0);
        /* The holder gives it back. */
        t.ready = true;
        hearth__flow_run(&t.req);
        assert_int_equal(t.ends, 1);
        assert_int_equal(t.seen[t.seen_count - 3], HEARTH_STEP_FAIL);
    }
}

static void a_stop_inside_a_step_takes_effect_at_its_end(void **state)
{
    for (int step = HEARTH_STEP_RECV_HEAD; step <= HEARTH_STEP_ENCODE; step++) {
        tear_down(state);
        set_up(state);
        t.stop_in = step;
        hearth__flow_run(&t.req);
        assert_int_equal(t.ends, 1);
        assert_int_equal(t.seen[step], HEARTH_STEP_FAIL);
    }
}

static void a_stop_while_the_answer_goes_out_changes_nothing(void **state)
{
    (void)state;
    t.park_at = HEARTH_STEP_SEND;
    hearth__flow_run(&t.req);
    hearth__flow_stop(&t.req, HEARTH_ETIMEOUT);
    assert_int_equal(t.req.stop, HEARTH_OK);
    assert_int_equal(t.req.step, HEARTH_STEP_SEND);
    t.ready = true;
    hearth__flow_run(&t.req);
    assert_int_equal(t.ends, 1);
}

static void a_forbidden_successor_is_caught(void **state)
{
    for (int step = HEARTH_STEP_RECV_HEAD; step <= HEARTH_STEP_SEND; step++) {
        int status = 0;
        pid_t pid;

        tear_down(state);
        set_up(state);
        t.wrong_at = step;
        pid = fork();
        if (pid == 0) {
            signal(SIGABRT, SIG_DFL);
            close(STDERR_FILENO);
            hearth__flow_run(&t.req);
            _exit(0);
        }
        assert_true(pid > 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            every_pair_of_steps_is_allowed_or_forbidden_as_designed),
        cmocka_unit_test(every_step_has_a_name_of_its_own),
        cmocka_unit_test(a_step_that_parks_can_be_resumed),
        CASE(a_request_walks_all_steps_and_ends_once),
        CASE(a_parked_step_waits_through_wakes_that_come_too_early),
        CASE(a_completion_from_inside_the_step_is_not_lost),
        CASE(a_parked_request_that_is_stopped_fails_and_answers),
        CASE(a_step_held_elsewhere_is_asked_back_and_not_torn_away),
        CASE(a_stop_inside_a_step_takes_effect_at_its_end),
        CASE(a_stop_while_the_answer_goes_out_changes_nothing),
        CASE(a_forbidden_successor_is_caught),
    };
    hearth_base_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
