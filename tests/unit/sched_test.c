/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler with the cache, on a clock moved by hand and an executor that
 * the test plays: tasks wait in a list until the test ends them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched/sched.h"

#define MIB (UINT64_C(1) << 20)
#define TASKS_MAX 256

static struct hearth_manual_clock hand;
static hearth_sched_t *sched;
static struct hearth_exec_task *tasks[TASKS_MAX];
static uint32_t task_count;
static int64_t armed_us;
static uint32_t device_count;
static char told[200];

static void submit(void *exec, struct hearth_exec_task *task)
{
    (void)exec;
    assert_true(task_count < TASKS_MAX);
    tasks[task_count++] = task;
}

static void arm(void *ctx, int64_t at_us)
{
    (void)ctx;
    armed_us = at_us;
}

static void tell(void *ctx, const char *what, const char *device,
                 const char *model, const struct hearth_error *err)
{
    (void)ctx;
    (void)err;
    snprintf(told, sizeof told, "%s %s %s", what, device,
             model != NULL ? model : "-");
}

static void start_with(uint32_t devices, uint64_t limit, bool beside,
                       const struct hearth_policy *policy)
{
    static const char *const names[] = {"d0", "d1", "d2"};
    struct hearth_sched_device d[3];
    task_count = 0;
    armed_us = INT64_MAX;
    told[0] = '\0';
    device_count = devices;
    hearth_manual_clock_init(&hand, 1000000);
    for (uint32_t i = 0; i < devices; i++)
        d[i] = (struct hearth_sched_device){.name = names[i],
                                            .limit_bytes = limit,
                                            .overhead_bytes = MIB,
                                            .load_beside_run = beside};
    const struct hearth_sched_config config = {.clock = &hand.clock,
                                               .devices = d,
                                               .device_count = devices,
                                               .max_waiting = 100,
                                               .policy = policy,
                                               .submit = submit,
                                               .arm = arm,
                                               .tell = tell};
    assert_int_equal(hearth_sched_create(&sched, &config), 0);
}

static void start(uint32_t devices, uint64_t limit, bool beside)
{
    start_with(devices, limit, beside, NULL);
}

static hearth_sched_model_t *add(const char *name, uint64_t bytes,
                                 uint64_t arena)
{
    struct hearth_sched_fit fits[3] = {0};
    hearth_sched_model_t *model;
    struct hearth_error err = {0};
    for (uint32_t i = 0; i < device_count; i++)
        fits[i] = (struct hearth_sched_fit){.model_bytes = bytes,
                                            .arena_bytes = arena};
    const struct hearth_sched_model_config config = {.name = name,
                                                     .fits = fits};
    assert_int_equal(hearth_sched_model_add(sched, &config, &model, &err), 0);
    return model;
}

/* ---- Playing the executor ---- */

static struct hearth_exec_task *find(enum hearth_exec_kind kind)
{
    for (uint32_t i = 0; i < task_count; i++)
        if (tasks[i]->kind == kind)
            return tasks[i];
    return NULL;
}

static uint32_t count(enum hearth_exec_kind kind)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < task_count; i++)
        n += tasks[i]->kind == kind;
    return n;
}

/* Ends a task; <us> passed since it was sent. */
static void end(struct hearth_exec_task *task, int status, int64_t us)
{
    uint32_t i = 0;
    while (tasks[i] != task)
        assert_true(++i < task_count);
    memmove(&tasks[i], &tasks[i + 1], (task_count - i - 1) * sizeof *tasks);
    task_count--;
    task->began_us = hearth_now_us(&hand.clock);
    hearth_manual_clock_advance(&hand, us);
    task->ended_us = hearth_now_us(&hand.clock);
    task->status = status;
    memset(&task->error, 0, sizeof task->error);
    if (status != HEARTH_OK)
        hearth_fail(&task->error, status, "as the test says");
    if (task->kind == HEARTH_EXEC_LOAD && status == HEARTH_OK) {
        task->handle = (hearth_dev_model_t *)task;
        task->model_bytes = task->loaded;
    }
    task->done(task);
    assert_true(hearth_cache_check(hearth_sched_cache(sched)));
}

/* Loads take what was charged; the test's own field carries it. */
static void end_load(int status)
{
    struct hearth_exec_task *task = find(HEARTH_EXEC_LOAD);
    assert_non_null(task);
    task->loaded = 10 * MIB;
    end(task, status, 1000);
}

static void end_one(enum hearth_exec_kind kind, int status)
{
    struct hearth_exec_task *task = find(kind);
    assert_non_null(task);
    end(task, status, 500);
}

/* ---- Jobs ---- */

struct job {
    struct hearth_job job; /* first */
    struct hearth_tensor_list inputs, outputs;
    char stages[32];
    int ended;
};

static void notify(struct hearth_job *job)
{
    static const char letters[] = "-QLRD";
    struct job *j = (struct job *)job;
    size_t n = strlen(j->stages);
    j->stages[n] = letters[job->stage];
    j->stages[n + 1] = '\0';
    j->ended += job->stage == HEARTH_JOB_DONE;
}

static uint32_t asking_tenant;

static void ask(struct job *j, hearth_sched_model_t *model)
{
    memset(j, 0, sizeof *j);
    j->job.tenant = asking_tenant;
    j->job.model = model;
    j->job.inputs = &j->inputs;
    j->job.outputs = &j->outputs;
    j->job.deadline_us = INT64_MAX;
    j->job.notify = notify;
    hearth_sched_submit(sched, &j->job);
    assert_true(hearth_cache_check(hearth_sched_cache(sched)));
}

static struct hearth_cache_device_report report(uint32_t device)
{
    struct hearth_cache_device_report r;
    hearth_cache_device_report(hearth_sched_cache(sched), device, &r);
    return r;
}

static int removed_count;

static void on_removed(void *ctx)
{
    (void)ctx;
    removed_count++;
}

static void take_away(hearth_sched_model_t *model)
{
    hearth_sched_model_remove(sched, model, on_removed, NULL);
}

/* Ends the scheduler; everything that is out ends well. */
static void stop(void)
{
    struct hearth_exec_task *task;
    hearth_sched_close(sched);
    while (task_count > 0) {
        task = tasks[0];
        task->loaded = 10 * MIB;
        end(task, HEARTH_OK, 1);
    }
    assert_true(hearth_sched_idle(sched));
    for (uint32_t i = 0; i < device_count; i++) {
        assert_int_equal(report(i).model_bytes, 0);
        assert_int_equal(report(i).used_bytes, MIB + report(i).arena_bytes);
    }
    hearth_sched_destroy(&sched);
}

/* ---- Cases ---- */

static void the_first_request_loads_and_the_next_finds_it(void **state)
{
    (void)state;
    struct job a, b;
    start(1, 64 * MIB, true);
    hearth_sched_model_t *m = add("m", 10 * MIB, 0);
    ask(&a, m);
    assert_string_equal(a.stages, "QL");
    assert_int_equal(report(0).used_bytes, 11 * MIB); /* before it is taken */
    assert_int_equal(task_count, 1);
    end_load(HEARTH_OK);
    assert_string_equal(a.stages, "QLR");
    end_one(HEARTH_EXEC_RUN, HEARTH_OK);
    assert_string_equal(a.stages, "QLRD");
    assert_int_equal(a.job.status, HEARTH_OK);
    assert_int_equal(a.job.load_us, 1000);
    assert_int_equal(a.job.run_us, 500);
    ask(&b, m);
    assert_string_equal(b.stages, "QR");
    end_one(HEARTH_EXEC_RUN, HEARTH_OK);
    assert_int_equal(b.ended, 1);
    take_away(m);
    stop();
}

static void requests_for_one_absent_model_share_its_load(void **state)
{
    (void)state;
    struct job jobs[5];
    start(2, 64 * MIB, true);
    hearth_sched_model_t *m = add("m", 10 * MIB, 0);
    for (int i = 0; i < 5; i++)
        ask(&jobs[i], m);
    assert_int_equal(count(HEARTH_EXEC_LOAD), 1);
    end_load(HEARTH_OK);
    for (int i = 0; i < 5; i++) {
        assert_string_equal(jobs[i].stages, "QLR");
        assert_int_equal(count(HEARTH_EXEC_RUN), 1);
        end_one(HEARTH_EXEC_RUN, HEARTH_OK);
        assert_int_equal(jobs[i].ended, 1); /* oldest first */
    }
    take_away(m);
    stop();
}

static void the_least_recently_used_goes_and_what_runs_stays(void **state)
{
    (void)state;
    struct job a, b, c;
    start(1, 21 * MIB, true); /* overhead and two models */
    hearth_sched_model_t *m[3] = {add("a", 10 * MIB, 0), add("b", 10 * MIB, 0),
                                  add("c", 10 * MIB, 0)};
    ask(&a, m[0]);
    end_load(HEARTH_OK);
    end_one(HEARTH_EXEC_RUN, HEARTH_OK);
    ask(&b, m[1]);
    end_load(HEARTH_OK);
    end_one(HEARTH_EXEC_RUN, HEARTH_OK);
    ask(&a, m[0]); /* a is now the more recent, and it runs */
    ask(&c, m[2]);
    struct hearth_exec_task *unload = find(HEARTH_EXEC_UNLOAD);
    assert_non_null(unload);
    assert_string_equal(c.stages, "QL");
    assert_int_equal(count(HEARTH_EXEC_LOAD), 0); /* not before it is gone */
    assert_int_equal(report(0).used_bytes, 21 * MIB);
    end(unload, HEARTH_OK, 10);
    assert_int_equal(count(HEARTH_EXEC_LOAD), 1);
    assert_int_equal(report(0).used_bytes, 21 * MIB);
    end_load(HEARTH_OK);
    end_one(HEARTH_EXEC_RUN, HEARTH_OK);
    end_one(HEARTH_EXEC_RUN, HEARTH_OK);
    assert_int_equal(a.ended + c.ended, 2);
    ask(&b, m[1]); /* evicts a, the older of the two */
    assert_int_equal(report(0).evictions, 2);
    for (int i = 0; i < 3; i++)
        take_away(m[i]);
    stop();
    assert_int_equal(b.ended, 1);
    assert_int_equal(b.job.status, HEARTH_ECLOSING);
}

static void a_failed_load_is_remembered_and_tried_again_later(void **state)
{
    (void)state;
    struct job a, b;
    start(1, 64 * MIB, true);
    hearth_sched_model_t *m = add("m", 10 * MIB, 0);
    ask(&a, m);
    end_load(HEARTH_EIO);
    assert_int_equal(a.job.status, HEARTH_EIO);
    assert_string_equal(told, "load failed d0 m");
    assert_int_equal(report(0).used_bytes, MIB);
    ask(&b, m);
    assert_int_equal(b.job.status, HEARTH_ELOADFAILED);
    assert_int_equal(b.job.retry_after_s, 2);
    assert_non_null(strstr(b.job.error.text, "as the test says"));
    hearth_manual_clock_advance(&hand, 1000001);
    ask(&b, m);
    assert_string_equal(b.stages, "QL");
    end_load(HEARTH_EIO);
    hearth_manual_clock_advance(&hand, 1000001);
    ask(&b, m); /* the second failure is remembered longer */
    assert_int_equal(b.job.status, HEARTH_ELOADFAILED);
    hearth_manual_clock_advance(&hand, 1000001);
    ask(&b, m);
    end_load(HEARTH_OK);
    end_one(HEARTH_EXEC_RUN, HEARTH_OK);
    assert_int_equal(b.job.status, HEARTH_OK);
    take_away(m);
    stop();
}

static void
memory_that_is_not_there_is_made_and_asked_for_once_more(void **state)
{
    (void)state;
    struct job a, b;
    start(1, 64 * MIB, true);
    hearth_sched_model_t *m[2] = {add("a", 10 * MIB, 0), add("b", 10 * MIB, 0)};
    ask(&a, m[0]);
    end_load(HEARTH_OK);
    end_one(HEARTH_EXEC_RUN, HEARTH_OK);
    ask(&b, m[1]);
    end_load(HEARTH_ENOMEM); /* somebody else took it */
    assert_int_equal(count(HEARTH_EXEC_UNLOAD), 1);
    assert_int_equal(b.ended, 0);
    end_one(HEARTH_EXEC_UNLOAD, HEARTH_OK);
    end_load(HEARTH_OK);
    end_one(HEARTH_EXEC_RUN, HEARTH_ENOMEM);
    assert_int_equal(b.ended, 0);
    end_one(HEARTH_EXEC_RUN, HEARTH_ENOMEM);
    assert_int_equal(b.job.status, HEARTH_ENOMEM);
    assert_true(b.job.retry_after_s > 0);
    /* Twice no memory for a load: the request is told. */
    hearth_sched_model_unload(sched, m[1]);
    end_one(HEARTH_EXEC_UNLOAD, HEARTH_OK);
    ask(&b, m[1]);
    end_load(HEARTH_ENOMEM);
    end_load(HEARTH_ENOMEM);
    assert_int_equal(b.job.status, HEARTH_ENOMEM);
    take_away(m[0]);
    take_away(m[1]);
    stop();
}

static void what_can_never_fit_is_refused_when_it_is_added(void **state)
{
    (void)state;
    hearth_sched_model_t *m;
    struct hearth_error err = {0};
    struct hearth_sched_fit fits[2] = {
        {.model_bytes = 60 * MIB, .arena_bytes = 4 * MIB},
        {.status = HEARTH_EUNSUPPORTED}};
    const struct hearth_sched_model_config config = {.name = "m", .fits = fits};
    start(2, 64 * MIB, true);
    hearth_fail(&fits[1].error, HEARTH_EUNSUPPORTED, "node 3 (Conv)");
    assert_int_equal(hearth_sched_model_add(sched, &config, &m, &err),
                     HEARTH_ENOSPACE);
    assert_non_null(strstr(err.text, "device d0: needs 64.0 MiB"));
    assert_non_null(strstr(err.text, "device d1: node 3 (Conv)"));
    fits[0].arena_bytes = 3 * MIB;
    assert_int_equal(hearth_sched_model_add(sched, &config, &m, &err), 0);
    take_away(m);
    stop();
}

static void the_arena_grows_before_the_run_and_may_evict(void **state)
{
    (void)state;
    struct job a, b;
    start(1, 30 * MIB, true);
    hearth_sched_model_t *m[2] = {add("a", 10 * MIB, 2 * MIB),
                                  add("b", 10 * MIB, 4 * MIB)};
    ask(&a, m[0]);
    end_load(HEARTH_OK);
    assert_int_equal(count(HEARTH_EXEC_RUN), 0);
    assert_int_equal(report(0).arena_bytes, 2 * MIB);
    end_one(HEARTH_EXEC_ARENA, HEARTH_OK);
    end_one(HEARTH_EXEC_RUN, HEARTH_OK);
    ask(&b, m[1]);
    end_load(HEARTH_OK);
    end_one(HEARTH_EXEC_ARENA, HEARTH_OK);
    end_one(HEARTH_EXEC_RUN, HEARTH_OK);
    assert_int_equal(report(0).used_bytes, 25 * MIB);
    /* A larger batch: the run asks for more, which only fits without b. */
    ask(&a, m[0]);
    struct hearth_exec_task *run = find(HEARTH_EXEC_RUN);
    run->need_arena_bytes = 12 * MIB;
    end(run, HEARTH_EAGAIN, 10);
    assert_int_equal(a.ended, 0);
    end_one(HEARTH_EXEC_UNLOAD, HEARTH_OK);
    assert_int_equal(find(HEARTH_EXEC_ARENA)->arena_bytes, 12 * MIB);
    end_one(HEARTH_EXEC_ARENA, HEARTH_OK);
    end_one(HEARTH_EXEC_RUN, HEARTH_OK);
    assert_int_equal(a.job.status, HEARTH_OK);
    assert_int_equal(report(0).used_bytes, 23 * MIB);
    /* And one that can never fit. */
    ask(&a, m[0]);
    run = find(HEARTH_EXEC_RUN);
    run->need_arena_bytes = 50 * MIB;
    end(run, HEARTH_EAGAIN, 10);
    assert_int_equal(a.job.status, HEARTH_ENOSPACE);
    take_away(m[0]);
    take_away(m[1]);
    stop();
}

static void an_arena_that_another_grew_gives_way_to_a_load(void **state)
{
    (void)state;
    struct job a, b;
    start(1, 30 * MIB, true);
    hearth_sched_model_t *m[2] = {add("a", 10 * MIB, 2 * MIB),
                                  add("b", 20 * MIB, 2 * MIB)};
    ask(&a, m[0]);
    end_load(HEARTH_OK);
    end_one(HEARTH_EXEC_ARENA, HEARTH_OK);
    struct hearth_exec_task *run = find(HEARTH_EXEC_RUN);
    run->need_arena_bytes = 15 * MIB;
    end(run, HEARTH_EAGAIN, 10);
    end_one(HEARTH_EXEC_ARENA, HEARTH_OK);
    end_one(HEARTH_EXEC_RUN, HEARTH_OK);
    ask(&b, m[1]);
    assert_int_equal(find(HEARTH_EXEC_ARENA)->arena_bytes, 0);
    end_one(HEARTH_EXEC_ARENA, HEARTH_OK);
    end_one(HEARTH_EXEC_UNLOAD, HEARTH_OK);
    struct hearth_exec_task *load = find(HEARTH_EXEC_LOAD);
    load->loaded = 20 * MIB;
    end(load, HEARTH_OK, 10);
    end_one(HEARTH_EXEC_ARENA, HEARTH_OK);
    end_one(HEARTH_EXEC_RUN, HEARTH_OK);
    assert_int_equal(b.job.status, HEARTH_OK);
    take_away(m[0]);
    take_away(m[1]);
    stop();
}

/* A model's plans grow while another's load has bytes charged that it does not
 * take in the end: what is kept for the other's plan gives way. */
static void what_is_kept_for_a_plan_gives_way_to_plans_that_are(void **state)
{
    (void)state;
    struct job a, b;
    start(1, 31 * MIB, true);
    hearth_sched_model_t *m[2] = {add("a", 10 * MIB, 0), add("b", 20 * MIB, 0)};
    ask(&a, m[0]);
    end_load(HEARTH_OK);
    ask(&b, m[1]);
    assert_int_equal(report(0).used_bytes, 31 * MIB);
    struct hearth_exec_task *run = find(HEARTH_EXEC_RUN);
    run->model_bytes = 14 * MIB;
    end(run, HEARTH_OK, 10);
    assert_int_equal(report(0).used_bytes, 35 * MIB); /* b is loading */
    end_load(HEARTH_OK); /* 10 MiB; 6 are left for its plan */
    assert_int_equal(report(0).used_bytes, 31 * MIB);
    ask(&a, m[0]);
    end_one(HEARTH_EXEC_RUN, HEARTH_OK);
    run = find(HEARTH_EXEC_RUN);
    run->model_bytes = 17 * MIB;
    end(run, HEARTH_OK, 10);
    assert_int_equal(report(0).used_bytes, 31 * MIB);
    assert_int_equal(a.ended + b.ended, 2);
    for (int i = 0; i < 2; i++)
        take_away(m[i]);
    stop();
}

static void a_request_that_leaves_gives_its_place_in_every_stage(void **state)
{
    (void)state;
    struct job a, b, c;
    start(1, 64 * MIB, true);
    hearth_sched_model_t *m = add("m", 10 * MIB, 0);
    ask(&a, m);
    hearth_sched_cancel(sched, &a.job, HEARTH_ECANCELED); /* while it loads */
    assert_string_equal(a.stages, "QLD");
    assert_int_equal(a.job.status, HEARTH_ECANCELED);
    end_load(HEARTH_OK); /* serves the next */
    ask(&b, m);
    ask(&c, m);
    hearth_sched_cancel(sched, &c.job, HEARTH_ECANCELED); /* queued */
    assert_string_equal(c.stages, "QD");
    hearth_sched_cancel(sched, &b.job, HEARTH_ECANCELED); /* running */
    assert_int_equal(b.ended, 0); /* its inputs are still read */
    end_one(HEARTH_EXEC_RUN, HEARTH_OK);
    assert_int_equal(b.ended, 1);
    assert_int_equal(b.job.status, HEARTH_ECANCELED);
    struct hearth_sched_report r;
    hearth_sched_report(sched, &r);
    assert_int_equal(r.waiting + r.running + r.loading, 0);
    assert_int_equal(r.cancelled, 3);
    /* Nothing pins it any more. */
    hearth_sched_model_unload(sched, m);
    assert_int_equal(count(HEARTH_EXEC_UNLOAD), 1);
    take_away(m);
    stop();
}

static void deadlines_end_what_waits_and_go_with_what_runs(void **state)
{
    (void)state;
    struct job a, b, late;
    start(1, 64 * MIB, true);
    hearth_sched_model_t *m = add("m", 10 * MIB, 0);
    memset(&a, 0, sizeof a);
    a.job = (struct hearth_job){.model = m,
                                .inputs = &a.inputs,
                                .outputs = &a.outputs,
                                .deadline_us = 1050000,
                                .notify = notify};
    hearth_sched_submit(sched, &a.job);
    assert_int_equal(armed_us, 1050000);
    hearth_manual_clock_set(&hand, 1050000);
    hearth_sched_timer(sched);
    assert_string_equal(a.stages, "QLD");
    assert_int_equal(a.job.status, HEARTH_ETIMEOUT);
    assert_non_null(strstr(a.job.error.text, "waited for its model to load"));
    assert_int_equal(armed_us, INT64_MAX);
    end_load(HEARTH_OK);
    memset(&b, 0, sizeof b);
    b.job = a.job;
    b.job.inputs = &b.inputs;
    b.job.outputs = &b.outputs;
    b.job.deadline_us = 2000000;
    hearth_sched_submit(sched, &b.job);
    assert_int_equal(find(HEARTH_EXEC_RUN)->deadline_us, 2000000);
    end_one(HEARTH_EXEC_RUN, HEARTH_ETIMEOUT);
    assert_int_equal(b.job.status, HEARTH_ETIMEOUT);
    memset(&late, 0, sizeof late);
    late.job = b.job;
    late.job.deadline_us = 5;
    hearth_sched_submit(sched, &late.job);
    assert_string_equal(late.stages, "D");
    assert_int_equal(late.job.status, HEARTH_ETIMEOUT);
    take_away(m);
    stop();
}

static void too_many_waiting_requests_are_refused_with_a_time(void **state)
{
    (void)state;
    static struct job jobs[101];
    start(1, 64 * MIB, true);
    hearth_sched_model_t *m = add("m", 10 * MIB, 0);
    for (int i = 0; i < 101; i++)
        ask(&jobs[i], m);
    assert_int_equal(jobs[99].ended, 0);
    assert_int_equal(jobs[100].job.status, HEARTH_EBUSY);
    assert_true(jobs[100].job.retry_after_s > 0);
    take_away(m);
    assert_int_equal(jobs[0].job.status, HEARTH_ECLOSING);
    stop();
}

static void nobody_is_passed_over_for_ever(void **state)
{
    (void)state;
    static struct job hot[200];
    struct job cold;
    start(1, 15 * MIB, true); /* one model at a time */
    hearth_sched_model_t *m[2] = {add("hot", 10 * MIB, 0),
                                  add("cold", 10 * MIB, 0)};
    ask(&hot[0], m[0]);
    end_load(HEARTH_OK);
    ask(&cold, m[1]);
    int n = 1;
    for (; n < 200 && cold.ended == 0; n++) {
        ask(&hot[n], m[0]); /* always one that waits for the resident model */
        if (find(HEARTH_EXEC_LOAD) != NULL)
            end_load(HEARTH_OK);
        else if (find(HEARTH_EXEC_UNLOAD) != NULL)
            end_one(HEARTH_EXEC_UNLOAD, HEARTH_OK);
        else
            end_one(HEARTH_EXEC_RUN, HEARTH_OK);
    }
    assert_int_equal(cold.ended, 1);
    assert_true(cold.job.skips <= HEARTH_POLICY_SKIPS + 1);
    assert_true(n > HEARTH_POLICY_SKIPS); /* but the hot one was not thrown out
                                             at once */
    take_away(m[0]);
    take_away(m[1]);
    stop();
}

static void a_lost_device_is_left_and_its_work_placed_again(void **state)
{
    (void)state;
    struct job a, b;
    start(2, 64 * MIB, true);
    hearth_sched_model_t *m = add("m", 10 * MIB, 0);
    ask(&a, m);
    end_load(HEARTH_OK);
    ask(&b, m);
    struct hearth_exec_task *run = find(HEARTH_EXEC_RUN);
    uint32_t lost = run->device;
    end(run, HEARTH_EDEVICE, 10);
    assert_true(hearth_sched_device_lost(sched, lost));
    assert_false(hearth_sched_device_lost(sched, 1 - lost));
    assert_int_equal(a.ended + b.ended, 0);
    end_one(HEARTH_EXEC_UNLOAD, HEARTH_OK);
    assert_int_equal(report(lost).used_bytes, MIB);
    assert_int_equal(find(HEARTH_EXEC_LOAD)->device, 1 - lost);
    end_load(HEARTH_OK);
    end_one(HEARTH_EXEC_RUN, HEARTH_OK);
    assert_int_equal(a.job.status, HEARTH_OK);
    end_one(HEARTH_EXEC_RUN, HEARTH_EDEVICE); /* the last device too */
    assert_int_equal(b.job.status, HEARTH_EDEVICE);
    ask(&b, m);
    assert_int_equal(b.job.status, HEARTH_EDEVICE);
    take_away(m);
    stop();
}

static void a_model_is_removed_when_it_is_nowhere_any_more(void **state)
{
    (void)state;
    struct job a, b;
    start(1, 64 * MIB, true);
    removed_count = 0;
    hearth_sched_model_t *m = add("m", 10 * MIB, 0);
    ask(&a, m);
    ask(&b, m);
    take_away(m);
    assert_int_equal(a.job.status, HEARTH_ECLOSING);
    assert_int_equal(b.job.status, HEARTH_ECLOSING);
    assert_int_equal(removed_count, 0);
    assert_int_equal(find(HEARTH_EXEC_LOAD)->cancelled, 1);
    end_load(HEARTH_ECANCELED);
    assert_int_equal(removed_count, 1);
    m = add("n", 10 * MIB, 0);
    ask(&a, m);
    end_load(HEARTH_OK);
    take_away(m); /* while it runs */
    end_one(HEARTH_EXEC_RUN, HEARTH_OK);
    assert_int_equal(a.job.status, HEARTH_OK);
    assert_int_equal(removed_count, 1);
    end_one(HEARTH_EXEC_UNLOAD, HEARTH_OK);
    assert_int_equal(removed_count, 2);
    stop();
}

static void
a_busy_holder_is_waited_for_if_that_is_sooner_than_a_copy(void **state)
{
    (void)state;
    struct job a, b;
    start(2, 64 * MIB, true);
    hearth_sched_model_t *m = add("m", 10 * MIB, 0);
    ask(&a, m);
    struct hearth_exec_task *load = find(HEARTH_EXEC_LOAD);
    load->loaded = 10 * MIB;
    end(load, HEARTH_OK, 1000000); /* a slow load */
    end(find(HEARTH_EXEC_RUN), HEARTH_OK, 1000);
    ask(&a, m);
    ask(&b, m);
    assert_int_equal(count(HEARTH_EXEC_LOAD), 0);
    assert_int_equal(b.job.stage, HEARTH_JOB_QUEUED);
    end(find(HEARTH_EXEC_RUN), HEARTH_OK, 90000000); /* runs are slower now */
    end(find(HEARTH_EXEC_RUN), HEARTH_OK, 90000000);
    ask(&a, m);
    ask(&b, m);
    assert_int_equal(count(HEARTH_EXEC_LOAD), 1); /* a copy is worth it */
    take_away(m);
    stop();
}

/* ---- Any order of events keeps the books ---- */

static uint64_t random_state;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695041;
    return (uint32_t)(random_state >> 33) % n;
}

static int random_status(enum hearth_exec_kind kind)
{
    if (kind == HEARTH_EXEC_UNLOAD || random_below(100) < 85)
        return HEARTH_OK;
    static const int statuses[] = {HEARTH_ENOMEM, HEARTH_EIO, HEARTH_ETIMEOUT,
                                   HEARTH_EINVAL};
    return statuses[random_below(4)];
}

/* No tenant has more than it may. */
static void check_quotas(void)
{
    for (uint32_t t = 1; t < 4; t++) {
        struct hearth_cache_tenant_report r;
        hearth_cache_tenant_report(hearth_sched_cache(sched), t, &r);
        assert_true(r.quota_bytes == 0 || r.used_bytes <= r.quota_bytes);
    }
}

/* With <tenants>: three with quotas, of which one has too little for any model,
 * and models that the operator pins and unpins. */
static void random_events(uint64_t seed, bool tenants)
{
    enum { MODELS = 6, JOBS = 60, EVENTS = 30000 };
    static struct job jobs[JOBS];
    hearth_sched_model_t *m[MODELS];
    uint64_t asked = 0;
    random_state = seed;
    memset(jobs, 0, sizeof jobs);
    start(2, 35 * MIB, true);
    for (int i = 0; i < MODELS; i++)
        m[i] = add("m", 10 * MIB, (uint64_t)i * MIB / 2);
    for (uint32_t t = 1; tenants && t < 4; t++)
        hearth_sched_tenant_quota(sched, t, (t == 3 ? 5 : t * 12) * MIB);
    for (int e = 0; e < EVENTS; e++) {
        struct job *j = &jobs[random_below(JOBS)];
        bool out = j->job.stage != HEARTH_JOB_NONE && j->ended == 0;
        switch (random_below(8)) {
        case 0:
        case 1:
        case 2:
            if (out)
                break;
            asked++;
            asking_tenant = tenants ? random_below(4) : 0;
            ask(j, m[random_below(MODELS)]);
            break;
        case 3:
            if (out && random_below(4) == 0)
                hearth_sched_cancel(sched, &j->job, HEARTH_ECANCELED);
            break;
        case 4:
            hearth_manual_clock_advance(&hand, random_below(100000));
            if (armed_us <= hearth_now_us(&hand.clock))
                hearth_sched_timer(sched);
            if (random_below(50) == 0)
                hearth_sched_model_unload(sched, m[random_below(MODELS)]);
            if (tenants && random_below(20) == 0)
                hearth_sched_model_load(sched, m[random_below(MODELS)],
                                        random_below(4));
            if (tenants && random_below(20) == 0)
                hearth_sched_model_pin(sched, m[random_below(MODELS)],
                                       random_below(3) == 0);
            break;
        default:
            if (task_count == 0)
                break;
            struct hearth_exec_task *t = tasks[random_below(task_count)];
            t->loaded = 10 * MIB;
            if (t->kind == HEARTH_EXEC_RUN && random_below(20) == 0) {
                t->need_arena_bytes = random_below(8) * MIB;
                end(t, HEARTH_EAGAIN, 10);
                break;
            }
            end(t, random_status(t->kind), random_below(3000));
        }
        for (uint32_t i = 0; i < 2; i++)
            assert_true(report(i).used_bytes <= report(i).limit_bytes);
        check_quotas();
        /* Work is waiting only while something is under way. */
        struct hearth_sched_report r;
        hearth_sched_report(sched, &r);
        if (r.waiting > 0 && task_count == 0 && armed_us == INT64_MAX)
            fail_msg("event %d: %u jobs wait and nothing is under way", e,
                     r.waiting);
    }
    asking_tenant = 0;
    for (int i = 0; i < MODELS; i++)
        take_away(m[i]);
    stop();
    for (int i = 0; i < JOBS; i++)
        if (jobs[i].job.stage != HEARTH_JOB_NONE)
            assert_int_equal(jobs[i].ended, 1);
    assert_true(asked > 5000);
}

static void any_order_of_events_keeps_the_books(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++)
        random_events(seed * 20230515, false);
}

static void nor_do_tenants_and_pins_disturb_them(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++)
        random_events(seed * 20230516, true);
}

/* ---- Tenants and pins ---- */

static uint64_t charged(uint32_t tenant)
{
    struct hearth_cache_tenant_report r;
    hearth_cache_tenant_report(hearth_sched_cache(sched), tenant, &r);
    return r.used_bytes;
}

static void run_for(hearth_sched_model_t *m, uint32_t tenant)
{
    struct job job;
    asking_tenant = tenant;
    ask(&job, m);
    asking_tenant = 0;
    while (job.ended == 0) {
        assert_true(task_count > 0);
        tasks[0]->loaded = 10 * MIB;
        end(tasks[0], HEARTH_OK, 100);
    }
    assert_int_equal(job.job.status, HEARTH_OK);
}

static bool is_here(hearth_sched_model_t *m)
{
    struct hearth_sched_model_report r;
    hearth_sched_model_report(m, &r);
    return r.entries[0]->state == HEARTH_CACHE_RESIDENT;
}

static void a_tenant_makes_room_among_its_own_models_only(void **state)
{
    (void)state;
    start(1, 100 * MIB, true);
    hearth_sched_model_t *m[5];
    for (int i = 0; i < 5; i++)
        m[i] = add("m", 10 * MIB, 0);
    hearth_sched_tenant_quota(sched, 1, 25 * MIB);
    run_for(m[0], 2); /* older than all of tenant 1's */
    run_for(m[1], 1);
    run_for(m[2], 1);
    assert_int_equal(charged(1), 20 * MIB);
    run_for(m[3], 1);
    assert_true(is_here(m[0]));
    assert_false(is_here(m[1]));
    assert_true(is_here(m[2]) && is_here(m[3]));
    assert_int_equal(charged(1), 20 * MIB);
    /* What is there already is shared, and stays whose it was. */
    run_for(m[0], 1);
    assert_int_equal(charged(2), 10 * MIB);
    assert_int_equal(charged(1), 20 * MIB);
    for (int i = 0; i < 5; i++)
        take_away(m[i]);
    stop();
}

static void a_model_beyond_the_quota_is_refused(void **state)
{
    (void)state;
    start(1, 100 * MIB, true);
    hearth_sched_model_t *m = add("m", 10 * MIB, 0);
    struct job job;
    hearth_sched_tenant_quota(sched, 1, 5 * MIB);
    asking_tenant = 1;
    ask(&job, m);
    asking_tenant = 0;
    assert_int_equal(job.ended, 1);
    assert_int_equal(job.job.status, HEARTH_ENOSPACE);
    assert_non_null(strstr(job.job.error.text, "this tenant may have 5.0 MiB"));
    hearth_sched_model_load(sched, m, 1); /* nor without a job */
    assert_int_equal(task_count, 0);
    hearth_sched_tenant_quota(sched, 1, 0);
    run_for(m, 1);
    take_away(m);
    stop();
}

static void a_pinned_model_is_loaded_and_stays(void **state)
{
    (void)state;
    start(1, 22 * MIB, true); /* two fit */
    hearth_sched_model_t *a = add("a", 10 * MIB, 0), *b = add("b", 10 * MIB, 0),
                         *c = add("c", 10 * MIB, 0);
    hearth_sched_model_pin(sched, a, true);
    end_load(HEARTH_OK);
    assert_true(is_here(a));
    run_for(b, 0);
    run_for(c, 0);
    assert_true(is_here(a) && is_here(c));
    assert_false(is_here(b));
    assert_int_equal(report(0).pinned_bytes, 10 * MIB);
    hearth_sched_model_pin(sched, c, true);
    struct job job;
    ask(&job, b); /* no room that could ever be made */
    assert_int_equal(job.job.status, HEARTH_ENOSPACE);
    assert_non_null(strstr(job.job.error.text, "unpin one"));
    hearth_sched_model_pin(sched, a, false);
    run_for(b, 0);
    assert_false(is_here(a));
    take_away(a);
    take_away(b);
    take_away(c);
    stop();
}

/* What the policy was told last. */
static int64_t told_load_us;

static int note_place(void *ctx, const struct hearth_policy_place *c)
{
    (void)ctx;
    told_load_us = c->devices[0].load_us;
    return HEARTH_POLICY_DEFAULT;
}

static int64_t load_us_of(struct hearth_sched_model_report *r,
                          hearth_sched_model_t *m)
{
    struct job job;
    hearth_sched_model_unload(sched, m);
    end_one(HEARTH_EXEC_UNLOAD, HEARTH_OK);
    ask(&job, m);
    int64_t load_us = told_load_us;
    find(HEARTH_EXEC_LOAD)->tier = r->in_host;
    end(find(HEARTH_EXEC_LOAD), HEARTH_OK, r->in_host ? 300 : 9000);
    end_one(HEARTH_EXEC_RUN, HEARTH_OK);
    hearth_sched_model_report(m, r);
    return load_us;
}

static void the_time_of_a_load_is_the_nearest_tiers(void **state)
{
    (void)state;
    struct hearth_policy policy = {.name = "note", .place = note_place};
    struct hearth_sched_model_report r = {.in_host = false};
    struct job job;
    start_with(1, 64 * MIB, true, &policy);
    hearth_sched_model_t *m = add("m", 10 * MIB, 0);
    ask(&job, m);
    assert_int_equal(told_load_us, 10 * 1024 + 1000); /* guessed */
    struct hearth_exec_task *load = find(HEARTH_EXEC_LOAD);
    struct hearth_host_copy *copy = load->host;
    end(load, HEARTH_OK, 9000);
    end_one(HEARTH_EXEC_RUN, HEARTH_OK);
    assert_int_equal(load_us_of(&r, m), 9000); /* learned */
    __atomic_store_n(&copy->here, 1, __ATOMIC_RELEASE);
    hearth_sched_model_report(m, &r);
    assert_true(r.in_host);
    assert_int_equal(load_us_of(&r, m), 1024 + 1000); /* guessed */
    assert_int_equal(r.host_load_us, 300);
    assert_int_equal(r.load_us, 9000);
    assert_int_equal(load_us_of(&r, m), 300);
    __atomic_store_n(&copy->here, 0, __ATOMIC_RELEASE);
    hearth_sched_model_report(m, &r);
    assert_int_equal(load_us_of(&r, m), 9000);
    take_away(m);
    stop();
}

static void running_out_of_memory_adds_nothing(void **state)
{
    (void)state;
    start(1, 64 * MIB, true);
    uint64_t before = hearth_mem_used_bytes();
    struct hearth_sched_fit fit = {.model_bytes = MIB};
    const struct hearth_sched_model_config config = {.name = "m", .fits = &fit};
    for (int n = 1; n <= 3; n++) {
        hearth_sched_model_t *m;
        hearth_mem_fail_at(n, false);
        assert_int_equal(hearth_sched_model_add(sched, &config, &m, NULL),
                         HEARTH_ENOMEM);
        hearth_mem_fail_at(0, false);
        assert_null(m);
        assert_int_equal(hearth_mem_used_bytes(), before);
    }
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_request_loads_and_the_next_finds_it),
        cmocka_unit_test(requests_for_one_absent_model_share_its_load),
        cmocka_unit_test(the_least_recently_used_goes_and_what_runs_stays),
        cmocka_unit_test(a_failed_load_is_remembered_and_tried_again_later),
        cmocka_unit_test(
            memory_that_is_not_there_is_made_and_asked_for_once_more),
        cmocka_unit_test(what_can_never_fit_is_refused_when_it_is_added),
        cmocka_unit_test(the_arena_grows_before_the_run_and_may_evict),
        cmocka_unit_test(an_arena_that_another_grew_gives_way_to_a_load),
        cmocka_unit_test(what_is_kept_for_a_plan_gives_way_to_plans_that_are),
        cmocka_unit_test(a_request_that_leaves_gives_its_place_in_every_stage),
        cmocka_unit_test(deadlines_end_what_waits_and_go_with_what_runs),
        cmocka_unit_test(too_many_waiting_requests_are_refused_with_a_time),
        cmocka_unit_test(nobody_is_passed_over_for_ever),
        cmocka_unit_test(a_lost_device_is_left_and_its_work_placed_again),
        cmocka_unit_test(a_model_is_removed_when_it_is_nowhere_any_more),
        cmocka_unit_test(
            a_busy_holder_is_waited_for_if_that_is_sooner_than_a_copy),
        cmocka_unit_test(a_tenant_makes_room_among_its_own_models_only),
        cmocka_unit_test(a_model_beyond_the_quota_is_refused),
        cmocka_unit_test(a_pinned_model_is_loaded_and_stays),
        cmocka_unit_test(any_order_of_events_keeps_the_books),
        cmocka_unit_test(nor_do_tenants_and_pins_disturb_them),
        cmocka_unit_test(the_time_of_a_load_is_the_nearest_tiers),
        cmocka_unit_test(running_out_of_memory_adds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
