/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models that do not fit together, through the whole engine in real time, on
 * the sim device and, where it is built, on the CPU: load, infer, evict. The
 * plugin's own allocator is asked what it holds.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "flow/flow_priv.h"
#include "flow_fixture.h"

#define MODELS_MAX 4
#define N 4096 /* weights of 64 KiB */
#define CYCLES 1000
#define CALLERS 64
#define CALLS_EACH 8

static struct flow_fixture fixtures[MODELS_MAX];
static hearth_engine_t *engine;
static hearth_service_t *services[MODELS_MAX];

static void quiet(void *ctx, int level, const char *line)
{
    (void)ctx;
    (void)level;
    (void)line;
}

static bool start(const char *device, uint64_t memory_bytes)
{
    struct hearth_engine_config config;
    struct hearth_error err = {0};

#ifdef __SANITIZE_THREAD__
    /* TSan does not see how libgomp, which is built without it, waits. */
    if (strcmp(device, "cpu") == 0)
        return false;
#endif
    hearth_engine_config_init(&config);
    config.devices = device;
    config.memory_bytes = memory_bytes;
    config.log = quiet;
    if (hearth_engine_create(&engine, &config, &err) == HEARTH_OK)
        return true;
    if (strcmp(device, "cpu") == 0)
        return false; /* not built */
    fail_msg("%s", err.text);
    return false;
}

static void open_models(int count)
{
    for (int i = 0; i < count; i++) {
        struct hearth_error err = {0};

        if (hearth_service_open(&services[i], engine, fixtures[i].yaml, NULL,
                                &err) != HEARTH_OK)
            fail_msg("%s", err.text);
    }
}

static void stop(void)
{
    for (int i = 0; i < MODELS_MAX; i++)
        hearth_service_close(&services[i]);
    hearth_engine_destroy(&engine);
}

/* One right answer of model <i>: 1 + 2. */
static int infer(int i)
{
    static const char body[] = "[[1, 2]]";
    struct hearth_call_spec spec;
    struct hearth_answer *answer;
    int status;

    hearth_call_spec_init(&spec);
    spec.body = body;
    spec.body_bytes = sizeof(body) - 1;
    status = hearth_infer(services[i], &spec, &answer);
    if (status == HEARTH_OK &&
        memchr(answer->body, '3', answer->body_bytes) == NULL)
        status = HEARTH_EBUG;
    if (status != HEARTH_OK)
        print_error("%s: %.*s\n", hearth_status_name(status),
                    answer ? (int)answer->body_bytes : 0,
                    answer ? (const char *)answer->body : "");
    hearth_answer_free(&answer);
    return status;
}

static void take_report(void *ctx, uint32_t i)
{
    hearth_cache_device_report(hearth_sched_cache(engine->sched), i, ctx);
}

static struct hearth_cache_device_report report(void)
{
    struct hearth_cache_device_report r;

    hearth__on_loop(engine->sched_loop, take_report, &r, 0);
    return r;
}

static uint64_t plugin_used(void)
{
    hearth_device_t *device = engine->devices[0];

    return device->plugin->memory->used_bytes(device->dev);
}

/* A memory limit that holds two and a half models. Asked twice: what libraries
 * take at the first start of a device they do not take again. */
static uint64_t limit_for_two(const char *device)
{
    struct hearth_cache_device_report r;

    for (int i = 0; i < 2; i++) {
        if (!start(device, 0))
            return 0;
        open_models(1);
        assert_int_equal(infer(0), HEARTH_OK);
        r = report();
        stop();
    }
    assert_true(r.model_bytes >= 16 * N);
    return r.overhead_bytes + r.arena_bytes + r.model_bytes * 5 / 2;
}

static uint64_t resident_bytes(void)
{
    unsigned long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &size, &resident), 2);
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void cycle(const char *device)
{
    uint64_t limit = limit_for_two(device), at_start, resident = 0, counted = 0;

    if (limit == 0)
        skip();
    assert_true(start(device, limit));
    at_start = plugin_used();
    open_models(3);
    for (int i = 0; i < CYCLES; i++) {
        struct hearth_cache_device_report r;

        assert_int_equal(infer(i % 3), HEARTH_OK);
        if (i == 10) {
            resident = resident_bytes();
            counted = hearth_mem_used_bytes();
        }
        if (i % 100 != 99)
            continue;
        r = report();
        assert_true(r.used_bytes <= limit);
        assert_int_equal(r.load_failures, 0);
    }
    assert_true(report().evictions > CYCLES / 2);
    assert_true(hearth_mem_used_bytes() <= counted + 4096);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(resident_bytes() <= resident + (2 << 20));
#else
    (void)resident;
#endif
    for (int i = 0; i < 3; i++)
        hearth_service_close(&services[i]);
    hearth_lock_acquire(&engine->lock);
    while (engine->model_count > 0)
        hearth_cond_wait(&engine->changed, &engine->lock, -1);
    hearth_lock_release(&engine->lock);
    /* The arena is the device's, not a model's: it stays. */
    assert_int_equal(plugin_used(), at_start + report().arena_bytes);
    assert_int_equal(report().model_bytes, 0);
    stop();
}

static void a_thousand_loads_and_evictions_leave_nothing_on_sim(void **state)
{
    (void)state;
    cycle("sim");
}

static void a_thousand_loads_and_evictions_leave_nothing_on_the_cpu(void **s)
{
    (void)s;
    cycle("cpu");
}

static void *call_in_turn(void *number)
{
    size_t bad = 0, first = (size_t)number;

    for (size_t i = 0; i < CALLS_EACH; i++)
        bad += infer((int)((first + i) % MODELS_MAX)) != HEARTH_OK;
    return (void *)bad;
}

static void crowd(const char *device)
{
    uint64_t limit = limit_for_two(device);
    pthread_t threads[CALLERS];

    if (limit == 0)
        skip();
    assert_true(start(device, limit));
    open_models(MODELS_MAX);
    for (size_t i = 0; i < CALLERS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, call_in_turn, (void *)i), 0);
    for (size_t i = 0; i < CALLERS; i++) {
        void *bad;

        pthread_join(threads[i], &bad);
        assert_null(bad);
    }
    assert_int_equal(report().load_failures, 0);
    assert_true(report().used_bytes <= limit);
    for (int i = 0; i < MODELS_MAX; i++)
        assert_int_equal(hearth_service_in_flight(services[i]), 0);
    stop();
}

static void callers_of_models_that_do_not_fit_all_get_answers(void **state)
{
    (void)state;
    crowd("sim");
}

static void callers_of_models_that_do_not_fit_all_get_answers_cpu(void **state)
{
    (void)state;
    crowd("cpu");
}

static void a_model_that_can_never_fit_is_refused_when_it_is_opened(void **s)
{
    struct hearth_error err = {0};

    (void)s;
    assert_true(start("sim", 32 << 10));
    assert_int_equal(
        hearth_service_open(&services[0], engine, fixtures[0].yaml, NULL, &err),
        HEARTH_ENOSPACE);
    assert_non_null(strstr(err.text, "model.onnx"));
    stop();
}

static int make_models(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d"};

    (void)state;
    for (int i = 0; i < MODELS_MAX; i++)
        flow_fixture_make(&fixtures[i], names[i], N, "warm: false\n");
    return 0;
}

static int remove_models(void **state)
{
    (void)state;
    for (int i = 0; i < MODELS_MAX; i++)
        flow_fixture_remove(&fixtures[i]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_loads_and_evictions_leave_nothing_on_sim),
        cmocka_unit_test(
            a_thousand_loads_and_evictions_leave_nothing_on_the_cpu),
        cmocka_unit_test(callers_of_models_that_do_not_fit_all_get_answers),
        cmocka_unit_test(callers_of_models_that_do_not_fit_all_get_answers_cpu),
        cmocka_unit_test(
            a_model_that_can_never_fit_is_refused_when_it_is_opened),
    };
    hearth_base_init();
    return cmocka_run_group_tests(tests, make_models, remove_models);
}
