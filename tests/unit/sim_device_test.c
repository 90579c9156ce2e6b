/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The modelled device, through the plugin ABI and on a clock moved by hand:
 * what others' tests rely on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "device/device.h"
#include "unit/ops_block.h"

static struct hearth_manual_clock sim_clock;

static void wait_by_hand(void *ctx, int64_t us)
{
    (void)ctx;
    if (hearth_now_us(&sim_clock.clock) < us)
        hearth_manual_clock_set(&sim_clock, us);
}

/* y = relu(x + w), x [n,3] with n a symbol, w [3] a weight; and the weights. */
struct model {
    struct ops_block *block;
    const struct hearth_graph *graph;
    struct hearth_weights weights;
};

static const float weight[3] = {1, -2, 3};

static int read_weight(void *ctx, uint32_t segment, uint64_t offset,
                       uint64_t bytes, void *dst, struct hearth_error *err)
{
    (void)ctx;
    (void)err;
    assert_int_equal(segment, 0);
    memcpy(dst, (const char *)weight + offset, bytes);
    return HEARTH_OK;
}

static struct model model_new(void)
{
    struct model m = {
        .block = ops_block_new(),
        .weights = {.struct_bytes = sizeof m.weights, .read = read_weight}};
    ops_block_symbols(m.block, 1);
    uint32_t x = ops_block_input(m.block, "x", HEARTH_F32, 2,
                                 (const int64_t[]){HEARTH_DIM_SYMBOL(0), 3});
    uint32_t w =
        ops_block_weight(m.block, HEARTH_F32, 1, (const int64_t[]){3}, 0);
    uint32_t sum =
        ops_block_node(m.block, HEARTH_OP_ADD, 2, (const uint32_t[]){x, w}, 1);
    uint32_t y = ops_block_node(m.block, HEARTH_OP_RELU, 1, &sum, 1);
    ops_block_output(m.block, y);
    m.graph = ops_block_graph(m.block);
    assert_int_equal(hearth_graph_check(m.graph, m.graph->bytes, NULL), 0);
    return m;
}

struct fixture {
    hearth_device_t **devices;
    uint32_t count;
    hearth_dev_t *dev;
    const struct hearth_plugin *p;
    hearth_queue_t *queue;
    struct model model;
};

static void open_sim(struct fixture *f, const char *spec)
{
    struct hearth_error err = {0};
    struct hearth_device_host host = {.clock = &sim_clock.clock,
                                      .wait_until_us = wait_by_hand};
    hearth_manual_clock_init(&sim_clock, 1000);
    hearth_device_host_set(&host);
    int rc =
        hearth_devices_open(spec, NULL, 0, false, &f->devices, &f->count, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(rc, 0);
    f->dev = f->devices[0]->dev;
    f->p = f->devices[0]->plugin;
    assert_int_equal(
        f->p->queue->create(f->dev, HEARTH_QUEUE_RUN, &f->queue, NULL), 0);
    f->model = model_new();
}

static void close_sim(struct fixture *f)
{
    ops_block_free(f->model.block);
    f->p->queue->destroy(f->queue);
    hearth_devices_close(&f->devices, f->count);
}

static int load(struct fixture *f, hearth_dev_model_t **model, uint64_t *bytes,
                struct hearth_error *err)
{
    struct hearth_load l = {.struct_bytes = sizeof l,
                            .graph = f->model.graph,
                            .weights = &f->model.weights};
    return f->p->model->load(f->dev, f->queue, &l, model, bytes, err);
}

/* ---- One run, and what came of it ---- */

struct result {
    float data[64];
    struct hearth_shape shape;
    int outputs, done, status;
    int refuse; /* alloc_output answers this */
};

static int alloc_output(void *ctx, uint32_t i, enum hearth_dtype dtype,
                        const struct hearth_shape *shape, void **data)
{
    struct result *r = ctx;
    assert_int_equal(i, 0);
    assert_int_equal(dtype, HEARTH_F32);
    r->shape = *shape;
    r->outputs++;
    *data = r->data;
    return r->refuse;
}

static void done(void *ctx, int status, const struct hearth_error *err)
{
    struct result *r = ctx;
    assert_true((status == HEARTH_OK) == (err == NULL));
    r->status = status;
    r->done++;
}

struct job {
    struct hearth_view input;
    struct hearth_execution execution;
    struct result result;
    float x[64];
    void *arena;
};

static int start(struct fixture *f, hearth_dev_model_t *model, struct job *job,
                 int64_t n, struct hearth_error *err)
{
    struct hearth_shape shape = {.rank = 2, .dims = {n, 3}};
    struct hearth_plan plan = {.struct_bytes = sizeof plan};
    memset(job, 0, sizeof *job);
    for (int i = 0; i < n * 3; i++)
        job->x[i] = (float)i - 4;
    job->input = hearth_view_dense(job->x, HEARTH_F32, &shape);
    int rc = f->p->model->plan(model, &shape, &plan, err);
    if (rc != HEARTH_OK)
        return rc;
    assert_int_equal(
        f->p->memory->alloc(f->dev, plan.arena_bytes, &job->arena, err), 0);
    job->execution =
        (struct hearth_execution){.struct_bytes = sizeof job->execution,
                                  .input_count = 1,
                                  .inputs = &job->input,
                                  .arena = job->arena,
                                  .arena_bytes = plan.arena_bytes,
                                  .deadline_us = INT64_MAX,
                                  .ctx = &job->result,
                                  .alloc_output = alloc_output,
                                  .done = done};
    rc = f->p->model->execute(model, f->queue, &job->execution, err);
    if (rc != HEARTH_OK)
        f->p->memory->free(f->dev, job->arena, plan.arena_bytes);
    return rc;
}

static void drop(struct fixture *f, struct job *job)
{
    f->p->memory->free(f->dev, job->arena, job->execution.arena_bytes);
}

static void expect_answer(const struct job *job, int64_t n)
{
    assert_int_equal(job->result.done, 1);
    assert_int_equal(job->result.status, HEARTH_OK);
    assert_int_equal(job->result.shape.dims[0], n);
    for (int i = 0; i < n * 3; i++) {
        float want = job->x[i] + weight[i % 3];
        assert_true(job->result.data[i] == (want > 0 ? want : 0));
    }
}

static void a_run_ends_when_the_clock_says_so(void **state)
{
    (void)state;
    struct fixture f;
    hearth_dev_model_t *model;
    uint64_t bytes;
    int64_t next_us;
    struct job a, b;
    open_sim(&f, "sim:run=5ms");
    assert_int_equal(load(&f, &model, &bytes, NULL), 0);
    assert_int_equal(start(&f, model, &a, 2, NULL), 0);
    assert_int_equal(start(&f, model, &b, 5, NULL), 0);
    assert_int_equal(f.p->queue->poll(f.queue, &next_us, NULL), 0);
    assert_int_equal(a.result.done, 0);
    assert_int_equal(next_us, 6000);
    hearth_manual_clock_set(&sim_clock, 6000);
    f.p->queue->poll(f.queue, &next_us, NULL);
    expect_answer(&a, 2);
    assert_int_equal(b.result.done, 0);
    assert_int_equal(next_us, 11000); /* one after the other */
    assert_int_equal(f.p->queue->synchronise(f.queue, 7000, NULL),
                     HEARTH_ETIMEOUT);
    assert_int_equal(f.p->queue->synchronise(f.queue, INT64_MAX, NULL), 0);
    expect_answer(&b, 5);
    assert_int_equal(hearth_now_us(&sim_clock.clock), 11000);
    drop(&f, &a);
    drop(&f, &b);
    f.p->model->unload(model);
    close_sim(&f);
}

static void events_mark_what_was_submitted_before(void **state)
{
    (void)state;
    struct fixture f;
    hearth_dev_model_t *model;
    hearth_queue_t *copies;
    hearth_event_t *event;
    uint64_t bytes;
    struct job a;
    open_sim(&f, "sim:run=5ms");
    assert_int_equal(load(&f, &model, &bytes, NULL), 0);
    assert_int_equal(
        f.p->queue->create(f.dev, HEARTH_QUEUE_COPY, &copies, NULL), 0);
    assert_int_equal(f.p->queue->event_create(f.dev, &event, NULL), 0);
    f.p->queue->event_record(f.queue, event, NULL);
    assert_int_equal(f.p->queue->event_query(event, NULL), 0);
    assert_int_equal(start(&f, model, &a, 1, NULL), 0);
    f.p->queue->event_record(f.queue, event, NULL);
    assert_int_equal(f.p->queue->event_query(event, NULL), HEARTH_EAGAIN);
    f.p->queue->synchronise(f.queue, INT64_MAX, NULL);
    assert_int_equal(f.p->queue->event_query(event, NULL), 0);
    drop(&f, &a);
    f.p->queue->event_destroy(event);
    f.p->queue->destroy(copies);
    f.p->model->unload(model);
    close_sim(&f);
}

static void a_load_takes_its_time_and_its_bytes(void **state)
{
    (void)state;
    struct fixture f;
    hearth_dev_model_t *model;
    uint64_t bytes;
    struct hearth_footprint fp = {.struct_bytes = sizeof fp};
    open_sim(&f, "sim:mem=1MiB,bandwidth=64kB,load=2ms,overhead=1000");
    assert_int_equal(f.p->memory->used_bytes(f.dev), 1000);
    assert_int_equal(f.p->model->footprint(f.dev, f.model.graph,
                                           &f.model.weights, NULL, &fp, NULL),
                     0);
    assert_int_equal(f.p->memory->used_bytes(f.dev), 1000);
    assert_int_equal(fp.model_bytes, 64);
    assert_int_equal(fp.arena_bytes, 128); /* two activations of 1x3 */
    assert_int_equal(load(&f, &model, &bytes, NULL), 0);
    assert_int_equal(bytes, fp.model_bytes);
    assert_int_equal(f.p->memory->used_bytes(f.dev), 1000 + 64);
    assert_int_equal(hearth_now_us(&sim_clock.clock), 1000 + 2000 + 1000);
    f.p->model->unload(model);
    assert_int_equal(f.p->memory->used_bytes(f.dev), 1000);
    close_sim(&f);
}

static bool cancel_at_third(void *ctx)
{
    return ++*(int *)ctx == 3;
}

static void a_cancelled_load_keeps_nothing(void **state)
{
    (void)state;
    struct fixture f;
    hearth_dev_model_t *model = NULL;
    uint64_t bytes;
    int asked = 0;
    open_sim(&f, "sim:load=16ms");
    struct hearth_load l = {.struct_bytes = sizeof l,
                            .graph = f.model.graph,
                            .weights = &f.model.weights,
                            .ctx = &asked,
                            .cancelled = cancel_at_third};
    assert_int_equal(f.p->model->load(f.dev, f.queue, &l, &model, &bytes, NULL),
                     HEARTH_ECANCELED);
    assert_int_equal(f.p->memory->used_bytes(f.dev), 0);
    assert_int_equal(hearth_now_us(&sim_clock.clock), 1000 + 2000);
    close_sim(&f);
}

static void memory_that_is_not_there_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    hearth_dev_model_t *model;
    uint64_t bytes;
    void *ptr;
    struct hearth_error err;
    open_sim(&f, "sim:mem=100");
    assert_int_equal(f.p->memory->alloc(f.dev, 101, &ptr, &err), HEARTH_ENOMEM);
    assert_int_equal(f.p->memory->alloc(f.dev, 60, &ptr, &err), 0);
    assert_int_equal(load(&f, &model, &bytes, &err), HEARTH_ENOMEM);
    f.p->memory->free(f.dev, ptr, 60);
    assert_int_equal(load(&f, &model, &bytes, &err), 0);
    f.p->model->unload(model);
    assert_int_equal(f.p->memory->used_bytes(f.dev), 0);
    close_sim(&f);
}

static void the_calls_that_the_spec_names_fail(void **state)
{
    (void)state;
    struct fixture f;
    hearth_dev_model_t *model;
    uint64_t bytes;
    struct job job;
    open_sim(&f, "sim:fail=load:2:2:AGAIN,fail=execute:1:CLIENT,"
                 "fail=run:1:NEVER,fail=plan:4:LOST");
    assert_int_equal(load(&f, &model, &bytes, NULL), 0);
    f.p->model->unload(model);
    assert_int_equal(load(&f, &model, &bytes, NULL), HEARTH_ENOMEM);
    assert_int_equal(load(&f, &model, &bytes, NULL), HEARTH_ENOMEM);
    assert_int_equal(load(&f, &model, &bytes, NULL), 0);
    assert_int_equal(start(&f, model, &job, 1, NULL), HEARTH_EINVAL);
    assert_int_equal(start(&f, model, &job, 1, NULL), 0);
    f.p->queue->synchronise(f.queue, INT64_MAX, NULL);
    assert_int_equal(job.result.status, HEARTH_ENOSPACE);
    assert_int_equal(job.result.outputs, 0);
    drop(&f, &job);
    assert_int_equal(start(&f, model, &job, 1, NULL), 0);
    f.p->queue->synchronise(f.queue, INT64_MAX, NULL);
    expect_answer(&job, 1);
    drop(&f, &job);
    assert_int_equal(f.p->device->health(f.dev, NULL), 0);
    assert_int_equal(start(&f, model, &job, 1, NULL), HEARTH_EDEVICE);
    assert_int_equal(f.p->device->health(f.dev, NULL), HEARTH_EDEVICE);
    f.p->model->unload(model); /* is always possible */
    assert_int_equal(f.p->memory->used_bytes(f.dev), 0);
    close_sim(&f);
}

static void an_output_without_room_ends_the_run(void **state)
{
    (void)state;
    struct fixture f;
    hearth_dev_model_t *model;
    uint64_t bytes;
    struct job job;
    open_sim(&f, "sim");
    assert_int_equal(load(&f, &model, &bytes, NULL), 0);
    assert_int_equal(start(&f, model, &job, 1, NULL), 0);
    job.result.refuse = HEARTH_ENOMEM;
    f.p->queue->synchronise(f.queue, INT64_MAX, NULL);
    assert_int_equal(job.result.done, 1);
    assert_int_equal(job.result.status, HEARTH_ENOMEM);
    drop(&f, &job);
    f.p->model->unload(model);
    close_sim(&f);
}

static void more_shapes_than_plans_still_run(void **state)
{
    (void)state;
    struct fixture f;
    hearth_dev_model_t *model;
    uint64_t bytes;
    struct job job;
    open_sim(&f, "sim");
    assert_int_equal(load(&f, &model, &bytes, NULL), 0);
    for (int round = 0; round < 2; round++)
        for (int n = 1; n <= 12; n++) {
            assert_int_equal(start(&f, model, &job, n, NULL), 0);
            f.p->queue->synchronise(f.queue, INT64_MAX, NULL);
            expect_answer(&job, n);
            drop(&f, &job);
        }
    struct hearth_plan plan = {.struct_bytes = sizeof plan};
    struct hearth_shape wrong = {.rank = 2, .dims = {1, 4}};
    assert_int_equal(f.p->model->plan(model, &wrong, &plan, NULL),
                     HEARTH_ESHAPE);
    f.p->model->unload(model);
    assert_int_equal(f.p->memory->used_bytes(f.dev), 0);
    close_sim(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_ends_when_the_clock_says_so),
        cmocka_unit_test(events_mark_what_was_submitted_before),
        cmocka_unit_test(a_load_takes_its_time_and_its_bytes),
        cmocka_unit_test(a_cancelled_load_keeps_nothing),
        cmocka_unit_test(memory_that_is_not_there_is_refused),
        cmocka_unit_test(the_calls_that_the_spec_names_fail),
        cmocka_unit_test(an_output_without_room_ends_the_run),
        cmocka_unit_test(more_shapes_than_plans_still_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
