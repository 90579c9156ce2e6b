/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scheduler, executor and modelled devices together, with their real threads
 * and a real clock: many clients on more models than fit. Nothing here waits
 * for a time; it waits for ends.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched/sched.h"
#include "unit/ops_block.h"

#define MODELS 4
#define CLIENTS 64
#define ROUNDS 20

/* y = x + w, w of 64 KiB, so that weights dominate. */
struct model {
    struct ops_block *block;
    const struct hearth_graph *graph;
    struct hearth_weights weights;
    float add;
    hearth_sched_model_t *sched;
    int loads_now, loads_most, loads; /* atomic */
};

#define WIDTH 16384

static int read_weight(void *ctx, uint32_t segment, uint64_t offset,
                       uint64_t bytes, void *dst, struct hearth_error *err)
{
    struct model *m = ctx;
    (void)segment;
    (void)offset;
    (void)err;
    int now = __atomic_add_fetch(&m->loads_now, 1, __ATOMIC_SEQ_CST);
    if (now > m->loads_most)
        m->loads_most = now;
    __atomic_add_fetch(&m->loads, 1, __ATOMIC_SEQ_CST);
    for (uint64_t i = 0; i < bytes / sizeof(float); i++)
        ((float *)dst)[i] = m->add;
    __atomic_sub_fetch(&m->loads_now, 1, __ATOMIC_SEQ_CST);
    return HEARTH_OK;
}

static void model_init(struct model *m, float add)
{
    memset(m, 0, sizeof *m);
    m->add = add;
    m->weights = (struct hearth_weights){
        .struct_bytes = sizeof m->weights, .ctx = m, .read = read_weight};
    m->block = ops_block_new();
    uint32_t x =
        ops_block_input(m->block, "x", HEARTH_F32, 1, (const int64_t[]){WIDTH});
    uint32_t w =
        ops_block_weight(m->block, HEARTH_F32, 1, (const int64_t[]){WIDTH}, 0);
    ops_block_output(m->block, ops_block_node(m->block, HEARTH_OP_ADD, 2,
                                              (const uint32_t[]){x, w}, 1));
    m->graph = ops_block_graph(m->block);
}

/* ---- The engine's part, small ---- */

static hearth_loop_t *loop;
static hearth_sched_t *sched;
static hearth_exec_t *exec;
static hearth_host_tier_t *host;
static uint64_t host_limit;
static hearth_device_t **devices;
static uint32_t device_count;
static struct hearth_loop_timer timer;
static struct model models[MODELS];
static int removed;

static void on_timer(struct hearth_loop_timer *t)
{
    (void)t;
    hearth_sched_timer(sched);
}

static void arm(void *ctx, int64_t at_us)
{
    (void)ctx;
    if (at_us == INT64_MAX)
        hearth_loop_timer_stop(&timer);
    else
        hearth_loop_timer_start(loop, &timer, at_us - hearth_loop_now_us(loop),
                                0, on_timer);
}

static void start(const char *list)
{
    struct hearth_sched_device d[4];
    struct hearth_error err = {0};
    hearth_device_host_set(NULL);
    assert_int_equal(hearth_loop_create(&loop, NULL), 0);
    int rc = hearth_devices_open(list, NULL, 0, false, &devices, &device_count,
                                 &err);
    assert_string_equal(err.text, "");
    assert_int_equal(rc, 0);
    assert_int_equal(hearth_exec_create(&exec, devices, device_count, loop,
                                        hearth_clock_real(), &err),
                     0);
    for (uint32_t i = 0; i < device_count; i++)
        d[i] = (struct hearth_sched_device){
            .name = devices[i]->name,
            .limit_bytes = devices[i]->properties.bytes_total,
            .overhead_bytes = devices[i]->properties.overhead_bytes,
            .load_beside_run =
                hearth_device_can(devices[i], HEARTH_CAP_LOAD_BESIDE_RUN)};
    assert_int_equal(hearth_host_create(&host, host_limit), 0);
    const struct hearth_sched_config config = {.clock = hearth_clock_real(),
                                               .devices = d,
                                               .device_count = device_count,
                                               .submit = hearth_exec_submit,
                                               .exec = exec,
                                               .host = host,
                                               .arm = arm};
    assert_int_equal(hearth_sched_create(&sched, &config), 0);
    for (int i = 0; i < MODELS; i++) {
        struct hearth_sched_fit fits[4] = {0};
        char name[8];
        model_init(&models[i], (float)i);
        snprintf(name, sizeof name, "m%d", i);
        for (uint32_t k = 0; k < device_count; k++) {
            struct hearth_footprint fp = {.struct_bytes = sizeof fp};
            assert_int_equal(devices[k]->plugin->model->footprint(
                                 devices[k]->dev, models[i].graph,
                                 &models[i].weights, NULL, &fp, NULL),
                             0);
            fits[k] = (struct hearth_sched_fit){.model_bytes = fp.model_bytes,
                                                .load_bytes = fp.load_bytes,
                                                .arena_bytes = fp.arena_bytes};
        }
        const struct hearth_sched_model_config mc = {.name = name,
                                                     .graph = models[i].graph,
                                                     .weights =
                                                         &models[i].weights,
                                                     .fits = fits};
        rc = hearth_sched_model_add(sched, &mc, &models[i].sched, &err);
        assert_string_equal(err.text, "");
        assert_int_equal(rc, 0);
    }
}

static void on_removed(void *ctx)
{
    (void)ctx;
    if (++removed == MODELS)
        hearth_loop_stop(loop);
}

/* Every byte is given back, and the device's own allocator agrees. */
static void stop(void)
{
    removed = 0;
    for (int i = 0; i < MODELS; i++)
        hearth_sched_model_remove(sched, models[i].sched, on_removed, NULL);
    if (removed < MODELS)
        assert_int_equal(hearth_loop_run(loop), 0);
    hearth_sched_close(sched);
    while (!hearth_sched_idle(sched))
        hearth_loop_run_once(loop, -1);
    for (uint32_t i = 0; i < device_count; i++) {
        struct hearth_cache_device_report r;
        hearth_cache_device_report(hearth_sched_cache(sched), i, &r);
        assert_int_equal(r.model_bytes, 0);
        assert_int_equal(r.used_bytes, devices[i]->plugin->memory->used_bytes(
                                           devices[i]->dev));
    }
    hearth_sched_destroy(&sched);
    hearth_exec_destroy(&exec);
    hearth_host_destroy(&host); /* asserts that it holds nothing */
    for (uint32_t i = 0; i < device_count; i++)
        assert_int_equal(
            devices[i]->plugin->memory->used_bytes(devices[i]->dev),
            devices[i]->properties.overhead_bytes);
    hearth_devices_close(&devices, device_count);
    hearth_loop_destroy(&loop);
    for (int i = 0; i < MODELS; i++) {
        assert_true(models[i].loads_most <= 1);
        ops_block_free(models[i].block);
    }
}

/* ---- Clients ---- */

struct client {
    struct hearth_job job; /* first */
    struct hearth_tensor_list inputs, outputs;
    struct hearth_loop_work work;
    struct model *model;
    int left, leave_at; /* rounds; leaves in the middle of that one */
    int answered, failed, cancelled;
};

static struct client clients[CLIENTS];
static int clients_left;
static float input[WIDTH];

static void ask(struct hearth_loop_work *work);

static void client_over(struct client *c)
{
    (void)c;
    if (--clients_left == 0)
        hearth_loop_stop(loop);
}

static void on_job(struct hearth_job *job)
{
    struct client *c = (struct client *)job;
    if (job->stage != HEARTH_JOB_DONE)
        return;
    if (job->status == HEARTH_OK) {
        const float *y = hearth_tensor_view(&c->outputs.items[0]).data;
        assert_string_equal(c->outputs.items[0].name, "made");
        for (int i = 0; i < WIDTH; i += 999)
            assert_true(y[i] == input[i] + c->model->add);
        c->answered++;
    } else if (job->status == HEARTH_ECANCELED) {
        c->cancelled++;
    } else {
        c->failed++;
    }
    hearth_tensor_list_clear(&c->outputs);
    /* notify may not call the scheduler: the next turn does. */
    hearth_loop_post(loop, &c->work, ask);
}

static void ask(struct hearth_loop_work *work)
{
    struct client *c = HEARTH_CONTAINER(work, struct client, work);
    if (c->left-- == 0) {
        client_over(c);
        return;
    }
    bool leave = c->left == c->leave_at;
    c->model = &models[((uintptr_t)(c - clients) + (unsigned)c->left) % MODELS];
    c->job.model = c->model->sched;
    c->job.inputs = &c->inputs;
    c->job.outputs = &c->outputs;
    c->job.deadline_us = INT64_MAX;
    c->job.notify = on_job;
    hearth_sched_submit(sched, &c->job);
    if (leave && c->job.stage != HEARTH_JOB_DONE)
        hearth_sched_cancel(sched, &c->job, HEARTH_ECANCELED);
}

static void serve_all(const char *list)
{
    struct hearth_shape shape = {.rank = 1, .dims = {WIDTH}};
    hearth_buffer_t *buffer;
    start(list);
    for (int i = 0; i < WIDTH; i++)
        input[i] = (float)(i % 100);
    assert_int_equal(
        hearth_buffer_wrap(input, sizeof input, NULL, NULL, &buffer), 0);
    memset(clients, 0, sizeof clients);
    clients_left = CLIENTS;
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(hearth_tensor_list_add(&clients[i].inputs, "x",
                                                HEARTH_F32, &shape, buffer, 0),
                         0);
        clients[i].left = ROUNDS;
        clients[i].leave_at = i % 4 == 0 ? 7 : -1;
        hearth_loop_post(loop, &clients[i].work, ask);
    }
    assert_int_equal(hearth_loop_run(loop), 0);
    for (int i = 0; i < CLIENTS; i++)
        hearth_tensor_list_clear(&clients[i].inputs);
    hearth_buffer_unref(buffer);
}

static void expect_all_answered(void)
{
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(clients[i].failed, 0);
        assert_int_equal(clients[i].answered + clients[i].cancelled, ROUNDS);
        assert_true(clients[i].cancelled <= 1);
    }
}

static void many_clients_on_more_models_than_fit_are_all_served(void **state)
{
    (void)state;
    struct hearth_cache_device_report r;
    /* 64 KiB each and an arena of as much: two fit. */
    serve_all("sim:mem=210KiB,overhead=1KiB,run=10us");
    expect_all_answered();
    hearth_cache_device_report(hearth_sched_cache(sched), 0, &r);
    assert_true(r.evictions > MODELS);
    assert_true(r.used_bytes <= r.limit_bytes);
    stop();
}

static void so_are_they_where_loads_share_the_run_thread(void **state)
{
    (void)state;
    serve_all("sim:mem=210KiB,beside=0");
    expect_all_answered();
    stop();
}

static void so_are_they_on_two_devices(void **state)
{
    (void)state;
    serve_all("sim:mem=210KiB,run=10us sim:mem=150KiB,load=50us");
    expect_all_answered();
    stop();
}

static void devices_that_fail_now_and_then_lose_nothing(void **state)
{
    (void)state;
    int answered = 0, failed = 0;
    serve_all("sim:mem=210KiB,fail=load:3:AGAIN,fail=run:5:2:AGAIN,"
              "fail=execute:40:CLIENT,fail=alloc:2:AGAIN,fail=plan:77:AGAIN");
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(clients[i].answered + clients[i].cancelled +
                             clients[i].failed,
                         ROUNDS);
        answered += clients[i].answered;
        failed += clients[i].failed;
    }
    assert_true(failed >= 1 && failed < 20);
    assert_true(answered > CLIENTS * ROUNDS - 60);
    stop();
}

static void a_device_that_is_lost_leaves_the_work_to_the_other(void **state)
{
    (void)state;
    serve_all("sim:mem=210KiB,fail=run:100:LOST sim:mem=210KiB");
    expect_all_answered();
    assert_true(hearth_sched_device_lost(sched, 0));
    stop();
}

/* The disk is read once a model, however often they push each other out. */
static void evicted_models_come_back_from_host_memory(void **state)
{
    (void)state;
    struct hearth_cache_device_report r;
    struct hearth_host_report h;
    host_limit = MODELS * WIDTH * sizeof(float);
    serve_all("sim:mem=210KiB,overhead=1KiB,run=10us");
    expect_all_answered();
    hearth_cache_device_report(hearth_sched_cache(sched), 0, &r);
    hearth_host_report(host, &h);
    assert_true(r.evictions > MODELS);
    assert_int_equal(h.copies, MODELS);
    assert_int_equal(h.bytes, host_limit);
    assert_int_equal(h.misses, MODELS);
    assert_int_equal(h.hits + h.misses, r.loads);
    for (int i = 0; i < MODELS; i++)
        assert_int_equal(models[i].loads, 1);
    stop();
    /* Less than all of them, and faults. */
    host_limit = 2 * WIDTH * sizeof(float) + 7;
    serve_all("sim:mem=210KiB,fail=load:3:AGAIN sim:mem=150KiB,load=50us");
    expect_all_answered();
    hearth_host_report(host, &h);
    assert_true(h.bytes <= host_limit && h.copies <= 2);
    stop();
    host_limit = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_clients_on_more_models_than_fit_are_all_served),
        cmocka_unit_test(so_are_they_where_loads_share_the_run_thread),
        cmocka_unit_test(so_are_they_on_two_devices),
        cmocka_unit_test(devices_that_fail_now_and_then_lose_nothing),
        cmocka_unit_test(a_device_that_is_lost_leaves_the_work_to_the_other),
        cmocka_unit_test(evicted_models_come_back_from_host_memory),
    };
    return hearth_base_init() != 0 || cmocka_run_group_tests(tests, NULL, NULL);
}
