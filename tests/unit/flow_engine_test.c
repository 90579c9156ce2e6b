/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine through its public interface and through an adapter, on sim
 * devices whose clock the test moves: a run takes exactly as long as the test
 * lets it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "flow/flow_priv.h"
#include "flow_fixture.h"

#define RUN_US 1000000

/* ---- The clock, and waiting on it. ---- */

static struct {
    struct hearth_manual_clock hand;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
} gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static void gate_wait(void *ctx, int64_t us)
{
    (void)ctx;
    pthread_mutex_lock(&gate.mutex);
    while (hearth_now_us(&gate.hand.clock) < us)
        pthread_cond_wait(&gate.cond, &gate.mutex);
    pthread_mutex_unlock(&gate.mutex);
}

static const struct hearth_device_host host = {.clock = &gate.hand.clock,
                                               .wait_until_us = gate_wait};

static struct {
    struct flow_fixture fixture;
    hearth_engine_t *engine;
    hearth_service_t *service;
} t;

static void nothing(void *ctx, uint32_t i)
{
    (void)ctx;
    (void)i;
}

/* Moves the clock, and lets every loop look at it. */
static void advance(int64_t us)
{
    pthread_mutex_lock(&gate.mutex);
    hearth_manual_clock_advance(&gate.hand, us);
    pthread_cond_broadcast(&gate.cond);
    pthread_mutex_unlock(&gate.mutex);
    for (uint32_t i = 0; i < hearth_flow_loop_count(t.engine); i++)
        hearth_flow_on_loop(t.engine, i, nothing, NULL);
    hearth__on_loop(t.engine->sched_loop, nothing, NULL, 0);
}

/* ---- Calls that are waited for. ---- */

struct outcome {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool over;
    int count, status, http_status;
    uint32_t retry_after_s;
    char body[512], type[64], id[80];
    struct hearth_times times;
};

static void outcome_init(struct outcome *o)
{
    memset(o, 0, sizeof(*o));
    pthread_mutex_init(&o->mutex, NULL);
    pthread_cond_init(&o->cond, NULL);
}

static void outcome_done(void *ctx, const struct hearth_answer *answer)
{
    struct outcome *o = ctx;
    size_t n = answer->body_bytes < sizeof(o->body) - 1 ? answer->body_bytes
                                                        : sizeof(o->body) - 1;

    pthread_mutex_lock(&o->mutex);
    o->over = true;
    o->count++;
    o->status = answer->status;
    o->http_status = answer->http_status;
    o->retry_after_s = answer->retry_after_s;
    o->times = answer->times;
    memcpy(o->body, answer->body, n);
    snprintf(o->type, sizeof(o->type), "%s", answer->content_type);
    snprintf(o->id, sizeof(o->id), "%s", answer->request_id);
    pthread_cond_signal(&o->cond);
    pthread_mutex_unlock(&o->mutex);
}

static void outcome_wait(struct outcome *o)
{
    pthread_mutex_lock(&o->mutex);
    while (!o->over)
        pthread_cond_wait(&o->cond, &o->mutex);
    pthread_mutex_unlock(&o->mutex);
}

static bool outcome_is_over(struct outcome *o)
{
    bool over;

    pthread_mutex_lock(&o->mutex);
    over = o->over;
    pthread_mutex_unlock(&o->mutex);
    return over;
}

static const char two_numbers[] = "[[1.5, -2]]";

static hearth_call_t *call(struct outcome *o, const char *body,
                           int64_t timeout_us)
{
    struct hearth_call_spec spec;
    hearth_call_t *handle;

    outcome_init(o);
    hearth_call_spec_init(&spec);
    spec.body = body;
    spec.body_bytes = strlen(body);
    spec.timeout_us = timeout_us;
    spec.ctx = o;
    spec.done = outcome_done;
    assert_int_equal(hearth_call_start(&handle, t.service, &spec), HEARTH_OK);
    return handle;
}

static void settle(void);

/* Runs a call to its end, moving the clock as far as it takes. */
static void call_through(struct outcome *o, const char *body)
{
    hearth_call_t *handle = call(o, body, 0);

    while (!outcome_is_over(o))
        advance(RUN_US);
    hearth_call_release(&handle);
}

static void start_engine(const char *devices)
{
    struct hearth_engine_config config;
    struct hearth_error err = {0};

    hearth_manual_clock_init(&gate.hand, 1000000);
    hearth_engine_config_init(&config);
    config.devices = devices;
    config.io_threads = 2;
    config.log_level = 0;
    if (hearth__engine_create(&t.engine, &config, &gate.hand.clock, &host,
                              &err) != HEARTH_OK)
        fail_msg("%s", err.text);
}

static void open_service(const char *extra,
                         const struct hearth_service_config *config)
{
    struct hearth_error err = {0};

    flow_fixture_make(&t.fixture, "relu", 0, extra);
    if (hearth_service_open(&t.service, t.engine, t.fixture.yaml, config,
                            &err) != HEARTH_OK)
        fail_msg("%s", err.text);
}

struct destroyer {
    pthread_t thread;
    _Atomic bool over;
};

static void *destroy_engine(void *ctx)
{
    struct destroyer *d = ctx;

    hearth_engine_destroy(&t.engine);
    atomic_store(&d->over, true);
    return NULL;
}

/* Lets what runs come to its end. */
static void destroyer_wait(struct destroyer *d)
{
    while (!atomic_load(&d->over)) {
        pthread_mutex_lock(&gate.mutex);
        hearth_manual_clock_advance(&gate.hand, RUN_US);
        pthread_cond_broadcast(&gate.cond);
        pthread_mutex_unlock(&gate.mutex);
    }
    pthread_join(d->thread, NULL);
}

static int tear_down(void **state)
{
    struct destroyer d = {.over = false};

    (void)state;
    hearth_mem_fail_at(0, false);
    hearth_service_close(&t.service);
    /* After a failed assertion, a run may still be waiting for the clock. */
    if (pthread_create(&d.thread, NULL, destroy_engine, &d) == 0)
        destroyer_wait(&d);
    if (t.fixture.dir[0])
        flow_fixture_remove(&t.fixture);
    memset(&t, 0, sizeof(t));
    return 0;
}

/* Until no request of the service is left anywhere. */
static void settle(void)
{
    hearth_lock_acquire(&t.engine->lock);
    while (t.engine->requests > 0)
        hearth_cond_wait(&t.engine->changed, &t.engine->lock, -1);
    hearth_lock_release(&t.engine->lock);
    advance(0); /* and what the loops were in the middle of is over */
}

/* ---- Answers ---- */

static void a_call_is_answered(void **state)
{
    struct outcome o;

    (void)state;
    start_engine("sim");
    open_service("warm: false\n", NULL);
    call_through(&o, two_numbers);
    assert_int_equal(o.status, HEARTH_OK);
    assert_int_equal(o.http_status, 200);
    assert_string_equal(o.type, "application/json");
    assert_non_null(strstr(o.body, "1.5"));
    assert_null(strstr(o.body, "-2"));
    assert_int_equal(strlen(o.id), 16);
    assert_int_equal(hearth_service_in_flight(t.service), 0);
}

static void the_callers_request_id_comes_back_if_it_is_usable(void **state)
{
    static const struct {
        const char *given;
        bool kept;
    } ids[] = {{"abc-123", true},
               {"", false},
               {"two words", false},
               {"line\nbreak", false},
               {"1234567890123456789012345678901234567890123456789012345678901"
                "234567890",
                true},
               {"1234567890123456789012345678901234567890123456789012345678901"
                "2345678901",
                true},
               {"1234567890123456789012345678901234567890123456789012345678901"
                "23456789012",
                false}};

    (void)state;
    start_engine("sim");
    open_service("warm: false\n", NULL);
    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
        struct hearth_call_spec spec;
        struct outcome o;

        outcome_init(&o);
        hearth_call_spec_init(&spec);
        spec.body = two_numbers;
        spec.body_bytes = strlen(two_numbers);
        spec.request_id = ids[i].given;
        spec.ctx = &o;
        spec.done = outcome_done;
        assert_int_equal(hearth_call_start(NULL, t.service, &spec), HEARTH_OK);
        outcome_wait(&o);
        assert_int_equal(strcmp(o.id, ids[i].given) == 0, ids[i].kept);
    }
}

static void a_wrong_body_is_the_clients_fault(void **state)
{
    static const char *const bodies[] = {"",   "[[1,",     "[[1,2,3]]",
                                         "{}", "\"text\"", "[[1,2],[3]]"};

    (void)state;
    start_engine("sim");
    open_service("warm: false\n", NULL);
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        struct outcome o;

        call_through(&o, bodies[i]);
        assert_int_equal(hearth_status_class(o.status), HEARTH_CLASS_CLIENT);
        assert_int_equal(o.http_status, 400);
        assert_true(strlen(o.body) > 10);
    }
    assert_int_equal(hearth_service_in_flight(t.service), 0);
}

static void infer_waits_and_hands_the_answer_over(void **state)
{
    struct hearth_call_spec spec;
    struct hearth_answer *answer;

    (void)state;
    start_engine("sim");
    open_service("warm: false\n", NULL);
    hearth_call_spec_init(&spec);
    spec.body = two_numbers;
    spec.body_bytes = strlen(two_numbers);
    assert_int_equal(hearth_infer(t.service, &spec, &answer), HEARTH_OK);
    assert_non_null(answer);
    assert_int_equal(answer->http_status, 200);
    assert_true(answer->body_bytes > 0);
    hearth_answer_free(&answer);
    assert_null(answer);
    spec.body = NULL;
    assert_int_equal(hearth_infer(t.service, &spec, &answer), HEARTH_EINVAL);
    assert_null(answer);
}

/* ---- Refusals before the body ---- */

static void a_body_over_the_limit_is_refused(void **state)
{
    struct hearth_service_config config;
    struct outcome o;

    (void)state;
    start_engine("sim");
    hearth_service_config_init(&config);
    config.body_bytes = strlen(two_numbers) - 1;
    open_service("warm: false\n", &config);
    call_through(&o, two_numbers);
    assert_int_equal(o.status, HEARTH_ETOOBIG);
    assert_int_equal(o.http_status, 413);
}

static void one_call_too_many_is_told_when_to_come_back(void **state)
{
    struct hearth_service_config config;
    struct outcome first, second, third;
    hearth_call_t *handle, *refused;

    (void)state;
    start_engine("sim:run=1s");
    hearth_service_config_init(&config);
    config.max_in_flight = 1;
    open_service("warm: false\n", &config);
    handle = call(&first, two_numbers, 0);
    advance(0);
    refused = call(&second, two_numbers, 0);
    outcome_wait(&second); /* the clock stands still */
    hearth_call_release(&refused);
    assert_int_equal(second.status, HEARTH_EBUSY);
    assert_int_equal(second.http_status, 429);
    assert_true(second.retry_after_s > 0);
    assert_non_null(strstr(second.body, "Concurrent request limit exceeded. "
                                        "Max concurrent requests: 1"));
    while (!outcome_is_over(&first))
        advance(RUN_US);
    hearth_call_release(&handle);
    settle();
    call_through(&third, two_numbers);
    assert_int_equal(third.status, HEARTH_OK);
}

static void a_place_is_free_again_when_the_answer_comes(void **state)
{
    struct hearth_service_config config;

    (void)state;
    start_engine("sim");
    hearth_service_config_init(&config);
    config.max_in_flight = 1;
    open_service("warm: false\n", &config);
    for (int i = 0; i < 200; i++) {
        struct hearth_call_spec spec;
        struct hearth_answer *answer;

        hearth_call_spec_init(&spec);
        spec.body = two_numbers;
        spec.body_bytes = strlen(two_numbers);
        assert_int_equal(hearth_infer(t.service, &spec, &answer), HEARTH_OK);
        hearth_answer_free(&answer);
    }
}

/* ---- Early ends ---- */

static void a_cancelled_call_leaves_the_queue_at_once(void **state)
{
    struct outcome running, waiting;
    hearth_call_t *a, *b;

    (void)state;
    start_engine("sim:run=1s");
    open_service("warm: false\n", NULL);
    a = call(&running, two_numbers, 0);
    advance(0); /* the scheduler has it, whichever loop brought it */
    b = call(&waiting, two_numbers, 0);
    advance(0);
    hearth_call_cancel(b);
    hearth_call_cancel(b);
    outcome_wait(&waiting); /* the clock stands still */
    assert_int_equal(waiting.status, HEARTH_ECANCELED);
    assert_int_equal(waiting.http_status, 499);
    while (!outcome_is_over(&running))
        advance(RUN_US);
    assert_int_equal(running.status, HEARTH_OK);
    hearth_call_cancel(a); /* too late: nothing happens */
    hearth_call_cancel(b);
    hearth_call_release(&a);
    hearth_call_release(&b);
    assert_null(a);
    settle();
    assert_int_equal(running.count, 1);
    assert_int_equal(waiting.count, 1);
}

static void a_call_that_is_cancelled_while_it_runs_answers_so(void **state)
{
    struct outcome o;
    hearth_call_t *handle;

    (void)state;
    start_engine("sim:run=1s");
    open_service("warm: false\n", NULL);
    handle = call(&o, two_numbers, 0);
    advance(0);
    hearth_call_cancel(handle);
    while (!outcome_is_over(&o))
        advance(RUN_US);
    assert_int_equal(o.status, HEARTH_ECANCELED);
    hearth_call_release(&handle);
}

static void a_handle_may_be_released_before_the_answer(void **state)
{
    struct outcome o;
    hearth_call_t *handle;

    (void)state;
    start_engine("sim:run=1s");
    open_service("warm: false\n", NULL);
    handle = call(&o, two_numbers, 0);
    hearth_call_release(&handle);
    while (!outcome_is_over(&o))
        advance(RUN_US);
    assert_int_equal(o.status, HEARTH_OK);
}

static void a_deadline_ends_a_call_that_waits(void **state)
{
    struct outcome running, late;
    hearth_call_t *a, *b;

    (void)state;
    start_engine("sim:run=1s");
    open_service("warm: false\n", NULL);
    a = call(&running, two_numbers, 0);
    advance(0);
    b = call(&late, two_numbers, 1000);
    advance(0);
    while (!outcome_is_over(&late))
        advance(1000);
    assert_int_equal(late.status, HEARTH_ETIMEOUT);
    assert_int_equal(late.http_status, 504);
    while (!outcome_is_over(&running))
        advance(RUN_US);
    hearth_call_release(&a);
    hearth_call_release(&b);
}

static void destroying_the_engine_ends_every_call(void **state)
{
    struct destroyer d = {.over = false};
    struct outcome o[4];

    (void)state;
    start_engine("sim:run=1s");
    open_service("warm: false\n", NULL);
    for (int i = 0; i < 4; i++) {
        hearth_call_t *handle = call(&o[i], two_numbers, 0);

        hearth_call_release(&handle);
    }
    advance(0);
    hearth_service_close(&t.service);
    assert_int_equal(pthread_create(&d.thread, NULL, destroy_engine, &d), 0);
    /* Those that wait end with the clock standing still; by then the one that
     * runs has been told as well. */
    for (int over = 0; over < 3;) {
        over = 0;
        for (int i = 0; i < 4; i++)
            over += outcome_is_over(&o[i]);
    }
    destroyer_wait(&d);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(o[i].count, 1);
        assert_int_equal(o[i].status, HEARTH_ECLOSING);
        assert_int_equal(o[i].http_status, 503);
    }
}

/* ---- Clients that leave, by the adapter's interface ---- */

static struct {
    hearth_request_t *req;
    enum hearth_step leave_in; /* where the client goes away */
    bool accepted;
    int sends;
} client;

static void client_accept(void *ctx, hearth_request_t *req, uint64_t limit)
{
    (void)ctx;
    (void)limit;
    client.accepted = true;
    if (client.leave_in == HEARTH_STEP_RECV_BODY) {
        hearth_flow_body(req, "[[", 2);
        return;
    }
    /* In pieces, as a socket delivers. */
    for (size_t i = 0; i < sizeof(two_numbers) - 1; i++)
        hearth_flow_body(req, two_numbers + i, 1);
    hearth_flow_body_end(req);
}

static void client_send(void *ctx, hearth_request_t *req,
                        const struct hearth_answer *answer)
{
    (void)ctx;
    (void)req;
    (void)answer;
    client.sends++;
}

static const struct hearth_flow_adapter client_adapter = {client_accept,
                                                          client_send};

static void client_begin(void *ctx, uint32_t i)
{
    struct hearth_flow_head head = {.body_bytes = -1};

    (void)ctx;
    assert_int_equal(hearth_flow_begin(&client.req, t.service,
                                       hearth_flow_loop(t.engine, i),
                                       &client_adapter, NULL, &head),
                     HEARTH_OK);
}

static void client_leave(void *ctx, uint32_t i)
{
    (void)ctx;
    (void)i;
    assert_int_equal(hearth_flow_step(client.req), client.leave_in);
    hearth_flow_leave(client.req);
}

static void client_step(void *ctx, uint32_t i)
{
    (void)i;
    *(enum hearth_step *)ctx = hearth_flow_step(client.req);
}

static enum hearth_step step_of_client(void)
{
    enum hearth_step step;

    hearth_flow_on_loop(t.engine, 0, client_step, &step);
    return step;
}

static void a_client_that_leaves_in_any_step_frees_its_place(void **state)
{
    static const enum hearth_step steps[] = {
        HEARTH_STEP_RECV_BODY, HEARTH_STEP_QUEUE, HEARTH_STEP_RESIDE,
        HEARTH_STEP_SEND};

    (void)state;
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        struct outcome before, after;

        memset(&client, 0, sizeof(client));
        client.leave_in = steps[i];
        start_engine("sim:run=1s,load=1s");
        open_service("warm: false\n", NULL);
        if (steps[i] == HEARTH_STEP_QUEUE)
            call_through(&before, two_numbers); /* the model is resident */
        hearth_flow_on_loop(t.engine, 0, client_begin, NULL);
        while (step_of_client() != steps[i])
            advance(steps[i] == HEARTH_STEP_SEND ? RUN_US : 0);
        assert_true(client.accepted);
        hearth_flow_on_loop(t.engine, 0, client_leave, NULL);
        assert_int_equal(hearth_service_in_flight(t.service), 0);
        assert_int_equal(client.sends, steps[i] == HEARTH_STEP_SEND);
        call_through(&after, two_numbers);
        assert_int_equal(after.status, HEARTH_OK);
        tear_down(NULL);
    }
}

/* ---- Warm-up, sharing, errors ---- */

static void a_service_is_ready_when_the_model_answered_once(void **state)
{
    (void)state;
    start_engine("sim:run=1s");
    open_service("", NULL);
    assert_int_equal(hearth_service_state(t.service, NULL),
                     HEARTH_SERVICE_WARMING);
    assert_int_equal(hearth_service_wait_ready(t.service, 0, NULL),
                     HEARTH_ETIMEOUT);
    while (hearth_service_state(t.service, NULL) == HEARTH_SERVICE_WARMING)
        advance(RUN_US);
    assert_int_equal(hearth_service_wait_ready(t.service, -1, NULL), HEARTH_OK);
    assert_int_equal(hearth_service_in_flight(t.service), 0);
}

static void a_warm_up_that_fails_says_why_and_can_be_tried_again(void **state)
{
    struct hearth_error err = {0};

    (void)state;
    start_engine("sim:fail=run:1:IO");
    open_service("", NULL);
    assert_int_equal(hearth_service_wait_ready(t.service, -1, &err),
                     HEARTH_EIO);
    assert_true(err.text[0] != '\0');
    assert_int_equal(hearth_service_state(t.service, NULL),
                     HEARTH_SERVICE_FAILED);
    assert_int_equal(hearth_flow_warm(t.service), HEARTH_OK);
    assert_int_equal(hearth_service_wait_ready(t.service, -1, &err), HEARTH_OK);
}

static void services_with_one_model_share_it(void **state)
{
    struct hearth_error err = {0};
    hearth_service_t *other;
    struct outcome o;
    char *text;

    (void)state;
    start_engine("sim");
    open_service("warm: false\n", NULL);
    assert_int_equal(
        hearth_service_open(&other, t.engine, t.fixture.yaml, NULL, &err),
        HEARTH_OK);
    call_through(&o, two_numbers);
    assert_int_equal(t.engine->model_count, 1);
    assert_int_equal(hearth_engine_status(t.engine, &text), HEARTH_OK);
    assert_non_null(strstr(text, "\"loads\": 1"));
    hearth_text_free(text);
    hearth_service_close(&other);
    call_through(&o, two_numbers);
    assert_int_equal(o.status, HEARTH_OK);
}

static void what_cannot_be_opened_is_named(void **state)
{
    struct hearth_error err = {0};

    (void)state;
    start_engine("sim:mem=64KiB");
    assert_int_not_equal(hearth_service_open(&t.service, t.engine,
                                             "/nonexistent/hearth.yaml", NULL,
                                             &err),
                         HEARTH_OK);
    assert_null(t.service);
    assert_non_null(strstr(err.text, "/nonexistent/hearth.yaml"));
    hearth_service_close(&t.service); /* NULL is allowed */
}

static void an_engine_without_its_device_is_refused(void **state)
{
    struct hearth_engine_config config;
    struct hearth_error err = {0};

    (void)state;
    hearth_engine_config_init(&config);
    config.devices = "no-such-device";
    assert_int_not_equal(hearth_engine_create(&t.engine, &config, &err),
                         HEARTH_OK);
    assert_null(t.engine);
    assert_non_null(strstr(err.text, "no-such-device"));
}

/* ---- Failure injection ---- */

static void every_allocation_may_fail_and_nothing_is_lost(void **state)
{
    struct outcome o;
    uint64_t used;
    int failed = 0;

    (void)state;
    start_engine("sim");
    open_service("warm: false\n", NULL);
    call_through(&o, two_numbers);
    settle();
    used = hearth_mem_used_bytes();
    for (int n = 1; n < 200; n++) {
        struct hearth_call_spec spec;
        struct hearth_answer *answer;
        int status;

        hearth_call_spec_init(&spec);
        spec.body = two_numbers;
        spec.body_bytes = strlen(two_numbers);
        hearth_mem_fail_at(n, false);
        status = hearth_infer(t.service, &spec, &answer);
        hearth_mem_fail_at(0, false);
        if (status != HEARTH_OK) {
            assert_int_equal(status, HEARTH_ENOMEM);
            failed++;
        }
        hearth_answer_free(&answer);
        settle();
        if (hearth_mem_used_bytes() != used)
            fail_msg("allocation %d: %lld bytes are lost", n,
                     (long long)(hearth_mem_used_bytes() - used));
    }
    assert_true(failed > 3);
    call_through(&o, two_numbers);
    assert_int_equal(o.status, HEARTH_OK);
}

static void open_again(void)
{
    struct hearth_error err = {0};

    assert_int_equal(
        hearth_service_open(&t.service, t.engine, t.fixture.yaml, NULL, &err),
        HEARTH_OK);
}

static void opening_survives_every_failed_allocation(void **state)
{
    struct hearth_error err = {0};
    uint64_t used = 0;
    int failed = 0;

    (void)state;
    start_engine("sim");
    flow_fixture_make(&t.fixture, "relu", 0, "warm: false\n");
    for (int n = 1; n < 200; n++) {
        int status;

        hearth_mem_fail_at(n, false);
        status = hearth_service_open(&t.service, t.engine, t.fixture.yaml, NULL,
                                     &err);
        hearth_mem_fail_at(0, false);
        if (status != HEARTH_OK) {
            assert_null(t.service);
            assert_true(err.text[0] != '\0');
            failed++;
        }
        hearth_service_close(&t.service);
        hearth_lock_acquire(&t.engine->lock);
        while (t.engine->model_count > 0)
            hearth_cond_wait(&t.engine->changed, &t.engine->lock, -1);
        hearth_lock_release(&t.engine->lock);
        settle();
        if (used == 0)
            used = hearth_mem_used_bytes();
        if (hearth_mem_used_bytes() != used)
            fail_msg("allocation %d: %lld bytes are lost", n,
                     (long long)(hearth_mem_used_bytes() - used));
    }
    assert_true(failed > 20);
    open_again();
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_teardown(fn, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_call_is_answered),
        CASE(the_callers_request_id_comes_back_if_it_is_usable),
        CASE(a_wrong_body_is_the_clients_fault),
        CASE(infer_waits_and_hands_the_answer_over),
        CASE(a_body_over_the_limit_is_refused),
        CASE(one_call_too_many_is_told_when_to_come_back),
        CASE(a_place_is_free_again_when_the_answer_comes),
        CASE(a_cancelled_call_leaves_the_queue_at_once),
        CASE(a_call_that_is_cancelled_while_it_runs_answers_so),
        CASE(a_handle_may_be_released_before_the_answer),
        CASE(a_deadline_ends_a_call_that_waits),
        CASE(destroying_the_engine_ends_every_call),
        CASE(a_client_that_leaves_in_any_step_frees_its_place),
        CASE(a_service_is_ready_when_the_model_answered_once),
        CASE(a_warm_up_that_fails_says_why_and_can_be_tried_again),
        CASE(services_with_one_model_share_it),
        CASE(what_cannot_be_opened_is_named),
        CASE(an_engine_without_its_device_is_refused),
        CASE(every_allocation_may_fail_and_nothing_is_lost),
        CASE(opening_survives_every_failed_allocation),
    };
    hearth_base_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
