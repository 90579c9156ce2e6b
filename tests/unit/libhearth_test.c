/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libhearth as an embedding program has it: hearth.h alone, linked with the
 * shared library, on a sim device in real time.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flow_fixture.h"
#include "hearth.h"

static struct flow_fixture fixture;
static hearth_engine_t *engine;
static hearth_service_t *service;
static const char body[] = "[[3, -4]]";

static void quiet(void *ctx, int level, const char *line)
{
    (void)ctx;
    (void)level;
    (void)line;
}

static int set_up(void **state)
{
    struct hearth_engine_config config;
    struct hearth_error err = {0};

    (void)state;
    flow_fixture_make(&fixture, "relu", 0, "");
    hearth_engine_config_init(&config);
    config.devices = "sim";
    config.log = quiet;
    if (hearth_engine_create(&engine, &config, &err) != HEARTH_OK ||
        hearth_service_open(&service, engine, fixture.yaml, NULL, &err) !=
            HEARTH_OK)
        fail_msg("%s", err.text);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    hearth_service_close(&service);
    hearth_engine_destroy(&engine);
    flow_fixture_remove(&fixture);
    return 0;
}

static struct hearth_call_spec a_spec(void)
{
    struct hearth_call_spec spec;

    hearth_call_spec_init(&spec);
    spec.body = body;
    spec.body_bytes = sizeof(body) - 1;
    return spec;
}

static void a_program_gets_an_answer(void **state)
{
    struct hearth_call_spec spec = a_spec();
    struct hearth_answer *answer;

    (void)state;
    spec.request_id = "my-own";
    assert_int_equal(hearth_service_wait_ready(service, -1, NULL), HEARTH_OK);
    assert_string_equal(hearth_service_name(service), "relu");
    assert_int_equal(hearth_infer(service, &spec, &answer), HEARTH_OK);
    assert_int_equal(answer->status, HEARTH_OK);
    assert_string_equal(answer->request_id, "my-own");
    assert_true(answer->times.total_us > 0);
    hearth_answer_free(&answer);
}

static void *infer_often(void *ctx)
{
    size_t *good = ctx;

    for (int i = 0; i < 50; i++) {
        struct hearth_call_spec spec = a_spec();
        struct hearth_answer *answer;

        *good += hearth_infer(service, &spec, &answer) == HEARTH_OK;
        hearth_answer_free(&answer);
    }
    return NULL;
}

static void many_threads_may_ask_at_once(void **state)
{
    pthread_t threads[8];
    size_t good[8] = {0};

    (void)state;
    for (int i = 0; i < 8; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, infer_often, &good[i]), 0);
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(good[i], 50);
    }
    assert_int_equal(hearth_service_in_flight(service), 0);
}

static void a_wrong_spec_starts_nothing(void **state)
{
    struct hearth_call_spec spec = a_spec();
    hearth_call_t *call = (hearth_call_t *)&spec;

    (void)state;
    assert_int_equal(hearth_call_start(&call, service, &spec), HEARTH_EINVAL);
    assert_null(call);
    hearth_call_release(&call);
    spec.struct_bytes = 0;
    spec.done = (void (*)(void *, const struct hearth_answer *))abort;
    assert_int_equal(hearth_call_start(NULL, service, &spec), HEARTH_EINVAL);
    assert_int_equal(hearth_call_start(NULL, NULL, &spec), HEARTH_EINVAL);
    assert_int_equal(hearth_call_start(NULL, service, NULL), HEARTH_EINVAL);
}

static void the_engine_tells_what_it_holds(void **state)
{
    static const char *const metrics[] = {
        "hearth_step_duration_seconds_bucket{step=\"decode\",le=\"0.001\"}",
        "hearth_jobs_completed_total", "hearth_device_bytes{device=\"sim:0\""};
    char *text;

    (void)state;
    assert_int_equal(hearth_service_wait_ready(service, -1, NULL), HEARTH_OK);
    assert_int_equal(hearth_engine_status(engine, &text), HEARTH_OK);
    assert_non_null(strstr(text, "\"relu\""));
    assert_non_null(strstr(text, "\"ready\""));
    assert_non_null(strstr(text, "\"sim:0\""));
    hearth_text_free(text);
    assert_int_equal(hearth_engine_metrics(engine, &text), HEARTH_OK);
    for (size_t i = 0; i < sizeof(metrics) / sizeof(*metrics); i++)
        assert_non_null(strstr(text, metrics[i]));
    hearth_text_free(text);
    hearth_text_free(NULL);
}

static void the_library_knows_what_it_is(void **state)
{
    (void)state;
    assert_non_null(strstr(hearth_build_summary(), hearth_version()));
    assert_string_equal(hearth_status_name(HEARTH_EBUSY), "EBUSY");
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_program_gets_an_answer),
        CASE(many_threads_may_ask_at_once),
        CASE(a_wrong_spec_starts_nothing),
        CASE(the_engine_tells_what_it_holds),
        cmocka_unit_test(the_library_knows_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
