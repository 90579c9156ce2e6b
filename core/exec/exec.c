/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec.c: the threads that drive devices, and what they do with a task.
 *
 * Each device has a lane for runs and arenas and, where it can load beside a
 * run, a second one for loads and unloads; a lane is a queue, a lock, a thread.
 * A finished task goes back as work posted to the loop.
 */
#include "exec/exec_priv.h"

#include <signal.h>
#include <string.h>

/* ---- LOAD, UNLOAD, ARENA ---- */

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct hearth_exec_task *task = ctx;
    (void)total;
    __atomic_store_n(&task->loaded, done, __ATOMIC_RELAXED);
}

static bool is_cancelled(void *ctx)
{
    struct hearth_exec_task *task = ctx;
    return __atomic_load_n(&task->cancelled, __ATOMIC_RELAXED) != 0;
}

/* Out of the model's weights, or of the copy of them in host memory. */
static int load_source(struct hearth__unit *u, struct hearth_exec_task *task,
                       const struct hearth_load *load)
{
    struct hearth_load l = *load;
    int rc = HEARTH_OK;
    if (task->host != NULL)
        rc = hearth_host_acquire(task->host, u->device, is_cancelled, task,
                                 &l.weights, &task->tier, &task->error);
    if (rc != HEARTH_OK)
        return rc;
    rc = u->device->plugin->model->load(u->device->dev, u->copies, &l,
                                        &task->handle, &task->model_bytes,
                                        &task->error);
    if (task->host != NULL)
        hearth_host_release(task->host, l.weights);
    return rc;
}

static int load(struct hearth__unit *u, struct hearth_exec_task *task)
{
    const struct hearth_load l = {
        .struct_bytes = sizeof l,
        .graph = task->graph,
        .weights = task->weights,
        .ctx = task,
        .progress = on_progress,
        .cancelled = is_cancelled,
    };
    if (is_cancelled(task))
        return hearth_fail(&task->error, HEARTH_ECANCELED,
                           "the load was given up");
    int rc = hearth__packed_load(u, task, &l);
    return rc == HEARTH_ENOENT ? load_source(u, task, &l) : rc;
}

static int set_arena(struct hearth__unit *u, struct hearth_exec_task *task)
{
    const struct hearth_memory_calls *memory = u->device->plugin->memory;
    if (u->arena_bytes > 0)
        memory->free(u->device->dev, u->arena, u->arena_bytes);
    u->arena = NULL;
    u->arena_bytes = 0;
    if (task->arena_bytes == 0)
        return HEARTH_OK;
    int rc = memory->alloc(u->device->dev, task->arena_bytes, &u->arena,
                           &task->error);
    u->arena_bytes = rc == HEARTH_OK ? task->arena_bytes : 0;
    return rc;
}

/* ---- RUN ---- */

struct run {
    struct hearth_exec_task *task;
    bool done;
    int status;
};

static int alloc_output(void *ctx, uint32_t i, enum hearth_dtype dtype,
                        const struct hearth_shape *shape, void **data)
{
    struct run *run = ctx;
    const struct hearth_graph *g = run->task->graph;
    const struct hearth_graph_value *v =
        hearth_graph_value(g, hearth_graph_outputs(g)[i]);
    uint64_t bytes;
    hearth_buffer_t *buffer;
    if (!hearth_shape_bytes(shape, dtype, &bytes))
        return HEARTH_ENOMEM;
    int rc = hearth_buffer_create(bytes, run->task->budget, &buffer);
    if (rc != HEARTH_OK)
        return HEARTH_ENOMEM;
    rc = hearth_tensor_list_add(run->task->outputs,
                                hearth_graph_string(g, v->name), dtype, shape,
                                buffer, 0);
    *data = hearth_buffer_data(buffer);
    hearth_buffer_unref(buffer);
    return rc;
}

static void run_done(void *ctx, int status, const struct hearth_error *err)
{
    struct run *run = ctx;
    run->done = true;
    run->status = status;
    if (err != NULL)
        run->task->error = *err;
}

/* Puts the tensors into the graph's order, as views and shapes. */
static int order_inputs(const struct hearth_exec_task *task,
                        struct hearth_view *views, struct hearth_shape *shapes,
                        struct hearth_error *err)
{
    const struct hearth_graph *g = task->graph;
    for (uint32_t k = 0; k < g->input_count; k++) {
        const struct hearth_graph_value *v =
            hearth_graph_value(g, hearth_graph_inputs(g)[k]);
        const char *name = hearth_graph_string(g, v->name);
        const struct hearth_tensor *tensor =
            hearth_tensor_list_find(task->inputs, name);
        if (tensor == NULL)
            return hearth_fail(err, HEARTH_EINVAL,
                               "input '%.80s' is missing; send it", name);
        if (tensor->dtype != v->dtype)
            return hearth_fail(err, HEARTH_ETYPE,
                               "input '%.80s' is %s, the model takes %s", name,
                               hearth_dtype_name(tensor->dtype),
                               hearth_dtype_name(v->dtype));
        views[k] = hearth_tensor_view(tensor);
        shapes[k] = tensor->shape;
    }
    return HEARTH_OK;
}

/* Waits until the run's completion was called. A device that is asynchronous is
 * polled by its own synchronise. */
static int wait_done(struct hearth__unit *u, struct run *run)
{
    while (!run->done) {
        int rc = u->device->plugin->queue->synchronise(u->runs, INT64_MAX,
                                                       &run->task->error);
        if (rc != HEARTH_OK && !run->done)
            return rc; /* the device is gone, and the run with it */
    }
    return run->status;
}

/* A run found, once it knew its sizes, that the arena is too small: its plan
 * says by now how large it must be. */
static void ask_again(struct hearth__unit *u, struct hearth_exec_task *task,
                      const struct hearth_shape *shapes)
{
    struct hearth_plan plan = {.struct_bytes = sizeof plan};
    int rc = u->device->plugin->model->plan(task->handle, shapes, &plan, NULL);
    if (rc == HEARTH_OK && plan.arena_bytes > u->arena_bytes)
        task->need_arena_bytes = plan.arena_bytes;
}

static int execute(struct hearth__unit *u, struct hearth_exec_task *task,
                   struct hearth_view *views, struct hearth_shape *shapes)
{
    const struct hearth_model_calls *model = u->device->plugin->model;
    struct hearth_plan plan = {.struct_bytes = sizeof plan};
    struct run run = {.task = task};
    int rc = order_inputs(task, views, shapes, &task->error);
    if (rc == HEARTH_OK)
        rc = model->plan(task->handle, shapes, &plan, &task->error);
    if (rc != HEARTH_OK)
        return rc;
    task->model_bytes = plan.model_bytes;
    if (plan.arena_bytes > u->arena_bytes) {
        task->need_arena_bytes = plan.arena_bytes;
        return HEARTH_EAGAIN;
    }
    const struct hearth_execution execution = {
        .struct_bytes = sizeof execution,
        .input_count = task->graph->input_count,
        .inputs = views,
        .arena = u->arena,
        .arena_bytes = u->arena_bytes,
        .deadline_us = task->deadline_us,
        .ctx = &run,
        .alloc_output = alloc_output,
        .done = run_done,
    };
    rc = model->execute(task->handle, u->runs, &execution, &task->error);
    if (rc == HEARTH_OK)
        rc = wait_done(u, &run);
    if (rc == HEARTH_EAGAIN)
        ask_again(u, task, shapes);
    return rc;
}

static int run(struct hearth__unit *u, struct hearth_exec_task *task)
{
    uint32_t count = task->graph->input_count;
    struct hearth_view *views = hearth_calloc((size_t)count + 1, sizeof *views);
    struct hearth_shape *shapes =
        hearth_calloc((size_t)count + 1, sizeof *shapes);
    int rc;
    if (views == NULL || shapes == NULL)
        rc = hearth_fail(&task->error, HEARTH_ENOMEM,
                         "no memory for a run; try again later");
    else if (hearth_now_us(u->exec->clock) > task->deadline_us)
        rc = hearth_fail(&task->error, HEARTH_ETIMEOUT,
                         "the deadline passed before the run began");
    else
        rc = execute(u, task, views, shapes);
    hearth_free(views);
    hearth_free(shapes);
    if (rc != HEARTH_OK)
        hearth_tensor_list_clear(task->outputs);
    return rc;
}

/* ---- Lanes ---- */

static void task_over(struct hearth_loop_work *work)
{
    struct hearth_exec_task *task =
        HEARTH_CONTAINER(work, struct hearth_exec_task, work);
    task->done(task);
}

static void perform(struct hearth__unit *u, struct hearth_exec_task *task)
{
    task->began_us = hearth_now_us(u->exec->clock);
    switch (task->kind) {
    case HEARTH_EXEC_LOAD:
        task->status = load(u, task);
        break;
    case HEARTH_EXEC_UNLOAD:
        u->device->plugin->model->unload(task->handle);
        if (task->host != NULL)
            hearth_host_touch(task->host);
        hearth__packed_forget(u, task->handle);
        task->status = HEARTH_OK;
        break;
    case HEARTH_EXEC_ARENA:
        task->status = set_arena(u, task);
        break;
    case HEARTH_EXEC_RUN:
        task->status = run(u, task);
        break;
    }
    hearth_device_note(u->device, task->status, &task->error);
    task->ended_us = hearth_now_us(u->exec->clock);
    if (task->kind == HEARTH_EXEC_LOAD && task->status == HEARTH_OK)
        hearth__packed_loaded(u, task);
    hearth_loop_post(u->exec->loop, &task->work, task_over);
}

/* Does it load and unload? */
static bool lane_is_loads(const struct hearth__lane *lane)
{
    return lane == &lane->unit->load || !lane->unit->loads_beside;
}

static void *lane_main(void *arg)
{
    struct hearth__lane *lane = arg;
    hearth_lock_acquire(&lane->lock);
    for (;;) {
        struct hearth_exec_task *task = lane->first;
        if (task == NULL && lane->closing)
            break;
        if (task == NULL && lane_is_loads(lane) &&
            hearth__packed_wants(lane->unit)) {
            hearth_lock_release(&lane->lock);
            hearth__packed_work(lane->unit, lane);
            hearth_lock_acquire(&lane->lock);
            continue;
        }
        if (task == NULL) {
            hearth_cond_wait(&lane->cond, &lane->lock, -1);
            continue;
        }
        lane->first = task->next;
        if (lane->first == NULL)
            lane->last = NULL;
        hearth_lock_release(&lane->lock);
        perform(lane->unit, task);
        hearth_lock_acquire(&lane->lock);
    }
    hearth_lock_release(&lane->lock);
    return NULL;
}

static int lane_start(struct hearth__lane *lane, struct hearth__unit *unit,
                      struct hearth_error *err)
{
    sigset_t all, before;
    lane->unit = unit;
    hearth_lock_init(&lane->lock, "lane", HEARTH_LOCK_QUEUE);
    hearth_cond_init(&lane->cond);
    /* Signals are for the threads that expect them. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&lane->thread, NULL, lane_main, lane);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    lane->started = rc == 0;
    if (rc != 0)
        return hearth_fail(err, HEARTH_ENOMEM,
                           "cannot start a thread for device %s; raise the "
                           "limit of processes (ulimit -u)",
                           unit->device->name);
    return HEARTH_OK;
}

static void lane_stop(struct hearth__lane *lane)
{
    if (lane->unit == NULL)
        return;
    if (lane->started) {
        hearth_lock_acquire(&lane->lock);
        lane->closing = true;
        hearth_lock_release(&lane->lock);
        hearth_cond_signal(&lane->cond);
        pthread_join(lane->thread, NULL);
    }
    hearth_cond_fini(&lane->cond);
    hearth_lock_fini(&lane->lock);
}

void hearth_exec_submit(void *ctx, struct hearth_exec_task *task)
{
    hearth_exec_t *exec = ctx;
    HEARTH_CHECK(exec, HEARTH__MAGIC_EXEC);
    HEARTH_ASSERT(task->device < exec->unit_count);
    struct hearth__unit *u = &exec->units[task->device];
    bool loads =
        task->kind == HEARTH_EXEC_LOAD || task->kind == HEARTH_EXEC_UNLOAD;
    struct hearth__lane *lane = loads && u->load.started ? &u->load : &u->run;
    task->next = NULL;
    task->error = (struct hearth_error){0};
    task->need_arena_bytes = 0;
    task->model_bytes = 0;
    task->tier = HEARTH_TIER_DISK;
    hearth_lock_acquire(&lane->lock);
    if (lane->last != NULL)
        lane->last->next = task;
    else
        lane->first = task;
    lane->last = task;
    hearth_lock_release(&lane->lock);
    hearth_cond_signal(&lane->cond);
}

/* ---- Start and end ---- */

void hearth_exec_use_packs(hearth_exec_t *exec, hearth_packs_t *packs,
                           void (*damaged)(void *ctx,
                                           const hearth_model_t *model),
                           void *ctx)
{
    HEARTH_CHECK(exec, HEARTH__MAGIC_EXEC);
    exec->packs = packs;
    exec->damaged = damaged;
    exec->damaged_ctx = ctx;
}

static int unit_start(struct hearth__unit *u, hearth_exec_t *exec,
                      hearth_device_t *device, struct hearth_error *err)
{
    const struct hearth_queue_calls *queue = device->plugin->queue;
    u->exec = exec;
    u->device = device;
    int rc = queue->create(device->dev, HEARTH_QUEUE_RUN, &u->runs, err);
    if (rc == HEARTH_OK)
        rc = queue->create(device->dev, HEARTH_QUEUE_COPY, &u->copies, err);
    u->loads_beside = hearth_device_can(device, HEARTH_CAP_LOAD_BESIDE_RUN);
    if (rc == HEARTH_OK)
        rc = lane_start(&u->run, u, err);
    if (rc == HEARTH_OK && u->loads_beside)
        rc = lane_start(&u->load, u, err);
    return rc;
}

static void unit_stop(struct hearth__unit *u)
{
    if (u->device == NULL)
        return;
    const struct hearth_plugin *plugin = u->device->plugin;
    lane_stop(&u->load);
    lane_stop(&u->run);
    hearth__packed_forget_all(u);
    if (u->arena_bytes > 0)
        plugin->memory->free(u->device->dev, u->arena, u->arena_bytes);
    if (u->copies != NULL)
        plugin->queue->destroy(u->copies);
    if (u->runs != NULL)
        plugin->queue->destroy(u->runs);
}

int hearth_exec_create(hearth_exec_t **out, hearth_device_t *const *devices,
                       uint32_t device_count, hearth_loop_t *loop,
                       const struct hearth_clock *clock,
                       struct hearth_error *err)
{
    hearth_exec_t *exec = hearth_calloc(
        1, sizeof *exec + device_count * sizeof(struct hearth__unit));
    *out = NULL;
    if (exec == NULL)
        return hearth_fail(err, HEARTH_ENOMEM,
                           "no memory for the executor; try again");
    exec->magic = HEARTH__MAGIC_EXEC;
    exec->loop = loop;
    exec->clock = clock;
    exec->unit_count = device_count;
    int rc = HEARTH_OK;
    for (uint32_t i = 0; rc == HEARTH_OK && i < device_count; i++)
        rc = unit_start(&exec->units[i], exec, devices[i], err);
    *out = exec;
    if (rc != HEARTH_OK)
        hearth_exec_destroy(out);
    return rc;
}

void hearth_exec_destroy(hearth_exec_t **exec)
{
    if (*exec == NULL)
        return;
    HEARTH_CHECK(*exec, HEARTH__MAGIC_EXEC);
    for (uint32_t i = 0; i < (*exec)->unit_count; i++)
        unit_stop(&(*exec)->units[i]);
    (*exec)->magic = 0;
    hearth_free(*exec);
    *exec = NULL;
}
