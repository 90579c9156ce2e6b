/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.c: puts the parts together and takes them apart. The scheduler's
 * thread is a loop: jobs and executed tasks come to it as posted work, its
 * timer is the loop's.
 */
#include "flow/flow_priv.h"

#include "log/log.h"

#include <string.h>

#define DEFAULT_REQUEST_BYTES (UINT64_C(256) << 20)
#define DEFAULT_PACK_BYTES (UINT64_C(16) << 30)

void hearth_engine_config_init(struct hearth_engine_config *config)
{
    *config = (struct hearth_engine_config){.struct_bytes = sizeof(*config),
                                            .log_level = HEARTH_LOG_INFO};
}

/* ---- The scheduler's thread ---- */

static void timer_due(struct hearth_loop_timer *timer)
{
    hearth_engine_t *engine =
        HEARTH_CONTAINER(timer, hearth_engine_t, sched_timer);

    hearth_sched_timer(engine->sched);
}

static void arm(void *ctx, int64_t at_us)
{
    hearth_engine_t *engine = ctx;

    if (at_us == INT64_MAX)
        hearth_loop_timer_stop(&engine->sched_timer);
    else
        hearth_loop_timer_start(engine->sched_loop, &engine->sched_timer,
                                at_us - hearth_loop_now_us(engine->sched_loop),
                                0, timer_due);
}

static void *run_sched(void *loop)
{
    hearth_loop_run(loop);
    return NULL;
}

static int start_sched(hearth_engine_t *engine,
                       const struct hearth_engine_config *own,
                       struct hearth_error *err)
{
    struct hearth_sched_device devices[HEARTH_DEVICES_MAX];
    struct hearth_sched_config config = {
        .clock = engine->clock,
        .devices = devices,
        .device_count = engine->device_count,
        .submit = hearth_exec_submit,
        .arm = arm,
        .arm_ctx = engine,
        .tell = hearth__engine_tell,
        .tell_ctx = engine,
    };
    uint64_t memory_bytes = own->memory_bytes;
    int status;

    for (uint32_t i = 0; i < engine->device_count; i++) {
        const hearth_device_t *device = engine->devices[i];
        uint64_t total = device->properties.bytes_total;

        devices[i] = (struct hearth_sched_device){
            .name = device->name,
            .limit_bytes =
                memory_bytes > 0 && memory_bytes < total ? memory_bytes : total,
            .overhead_bytes = device->properties.overhead_bytes,
            .load_beside_run =
                hearth_device_can(device, HEARTH_CAP_LOAD_BESIDE_RUN),
            .host_memory = hearth_device_can(device, HEARTH_CAP_HOST_MEMORY),
        };
    }
    if (hearth_loop_create(&engine->sched_loop, engine->clock) != APR_SUCCESS)
        goto nomem;
    status =
        hearth_exec_create(&engine->exec, engine->devices, engine->device_count,
                           engine->sched_loop, engine->clock, err);
    if (status != HEARTH_OK)
        return status;
    if (engine->packs)
        hearth_exec_use_packs(engine->exec, engine->packs,
                              hearth__model_distrust, engine);
    config.exec = engine->exec;
    if (hearth_host_create(&engine->host, own->host_bytes) != HEARTH_OK)
        goto nomem;
    config.host = engine->host;
    status = hearth_sched_create(&engine->sched, &config);
    if (status == HEARTH_ENOSPACE)
        return hearth_fail(err, status,
                           "the memory limit is less than a device takes for "
                           "itself: raise it");
    if (status != HEARTH_OK ||
        hearth__thread_start(&engine->sched_thread, run_sched,
                             engine->sched_loop) != 0)
        goto nomem;
    engine->sched_running = true;
    return HEARTH_OK;

nomem:
    return hearth_fail(err, HEARTH_ENOMEM,
                       "no memory to start the scheduler: free some");
}

static void close_on_sched(void *ctx, uint32_t i)
{
    hearth_engine_t *engine = ctx;

    (void)i;
    hearth_sched_close(engine->sched);
}

static void ask_idle(void *ctx, uint32_t i)
{
    hearth_engine_t *engine = ctx;

    (void)i;
    engine->sched_idle = hearth_sched_idle(engine->sched);
}

static void destroy_on_sched(void *ctx, uint32_t i)
{
    hearth_engine_t *engine = ctx;

    (void)i;
    hearth_loop_timer_stop(&engine->sched_timer);
    hearth_sched_destroy(&engine->sched);
}

/* No request and no model is left. */
static void stop_sched(hearth_engine_t *engine)
{
    if (engine->sched_running) {
        /* Only unloads and arenas can still be out; they are short. */
        do {
            hearth__on_loop(engine->sched_loop, ask_idle, engine, 0);
            if (engine->sched_idle)
                break;
            hearth_lock_acquire(&engine->lock);
            hearth_cond_wait(&engine->changed, &engine->lock, 1000);
            hearth_lock_release(&engine->lock);
        } while (true);
    }
    if (engine->exec)
        hearth_exec_destroy(&engine->exec);
    if (engine->sched_running) {
        hearth__on_loop(engine->sched_loop, destroy_on_sched, engine, 0);
        hearth_loop_stop(engine->sched_loop);
        pthread_join(engine->sched_thread, NULL);
    } else if (engine->sched) {
        hearth_sched_close(engine->sched);
        hearth_sched_destroy(&engine->sched);
    }
    if (engine->sched_loop)
        hearth_loop_destroy(&engine->sched_loop);
    hearth_host_destroy(&engine->host);
}

/* ---- Create and destroy ---- */

/* Without them models are loaded from their sources. */
static void open_packs(hearth_engine_t *engine,
                       const struct hearth_engine_config *config)
{
    struct hearth_error err = {0};

    if (config->pack_dir == NULL || *config->pack_dir == '\0')
        return;
    if (hearth_packs_create(&engine->packs, config->pack_dir,
                            config->pack_bytes ? config->pack_bytes
                                               : DEFAULT_PACK_BYTES,
                            &err) != HEARTH_OK)
        hearth_log(HEARTH_LOG_WARN, 31,
                   "event=\"models are not packed\" text=\"%s\"", err.text);
}

static void take_apart(hearth_engine_t *engine)
{
    stop_sched(engine);
    hearth__io_stop(engine);
    if (engine->store)
        hearth_store_destroy(&engine->store);
    hearth_packs_destroy(&engine->packs);
    if (engine->devices)
        hearth_devices_close(&engine->devices, engine->device_count);
    hearth__engine_log_close(engine);
    hearth_stat_destroy(&engine->stat);
    hearth_cond_fini(&engine->changed);
    hearth_lock_fini(&engine->lock);
    engine->magic = 0;
    hearth_free(engine);
}

int hearth__engine_create(hearth_engine_t **out,
                          const struct hearth_engine_config *config,
                          const struct hearth_clock *clock,
                          const struct hearth_device_host *host,
                          struct hearth_error *err)
{
    struct hearth_engine_config own;
    hearth_engine_t *engine;
    int status;

    *out = NULL;
    hearth_engine_config_init(&own);
    if (config)
        memcpy(&own, config,
               config->struct_bytes < sizeof(own) ? config->struct_bytes
                                                  : sizeof(own));
    if (hearth_base_init() != APR_SUCCESS ||
        (engine = hearth_calloc(1, sizeof(*engine))) == NULL)
        return hearth_fail(err, HEARTH_ENOMEM,
                           "no memory to start the engine: free some");
    engine->magic = HEARTH_MAGIC_ENGINE;
    engine->clock = clock;
    hearth_lock_init(&engine->lock, "engine", HEARTH_LOCK_ENGINE);
    hearth_cond_init(&engine->changed);
    hearth_budget_init(&engine->request_budget, own.request_bytes
                                                    ? own.request_bytes
                                                    : DEFAULT_REQUEST_BYTES);
    hearth__engine_log_open(engine, &own, host);
    status = hearth__meter_open(engine);
    if (status == HEARTH_OK) {
        open_packs(engine, &own);
        status = hearth_devices_open(own.devices ? own.devices : "cpu",
                                     own.plugin_dir, own.memory_bytes,
                                     engine->packs != NULL, &engine->devices,
                                     &engine->device_count, err);
    }
    if (status == HEARTH_OK)
        status = hearth_store_create(&engine->store, NULL);
    if (status == HEARTH_OK)
        hearth_store_use_packs(engine->store, engine->packs);
    if (status == HEARTH_OK)
        status = hearth__io_start(engine, own.io_threads, err);
    if (status == HEARTH_OK)
        status = start_sched(engine, &own, err);
    if (status != HEARTH_OK) {
        if (err && err->status == HEARTH_OK)
            hearth_fail(err, status,
                        "no memory to start the engine: free some");
        take_apart(engine);
        return status;
    }
    *out = engine;
    return HEARTH_OK;
}

int hearth_engine_create(hearth_engine_t **engine,
                         const struct hearth_engine_config *config,
                         struct hearth_error *err)
{
    return hearth__engine_create(engine, config, hearth_clock_real(), NULL,
                                 err);
}

/* On an I/O loop: everything that it still has is ended. */
static void stop_requests(void *ctx, uint32_t i)
{
    hearth_engine_t *engine = ctx;
    struct hearth__io *io = &engine->io[i];
    hearth_request_t *req = io->requests;

    /* A stop may free its request, but no other one. */
    while (req) {
        hearth_request_t *next = req->next;

        hearth__flow_stop(req, HEARTH_ECLOSING);
        req = next;
    }
}

void hearth_engine_destroy(hearth_engine_t **out)
{
    hearth_engine_t *engine = *out;

    if (engine == NULL)
        return;
    HEARTH_CHECK(engine, HEARTH_MAGIC_ENGINE);
    *out = NULL;
    atomic_store(&engine->closing, true);
    for (uint32_t i = 0; i < engine->io_count; i++)
        hearth__on_loop(engine->io[i].loop, stop_requests, engine, i);
    hearth__on_loop(engine->sched_loop, close_on_sched, engine, 0);
    hearth_lock_acquire(&engine->lock);
    while (engine->requests > 0)
        hearth_cond_wait(&engine->changed, &engine->lock, -1);
    /* Services that the caller did not close would be used after the free. */
    while (engine->model_count > 0 || engine->services != NULL)
        hearth_cond_wait(&engine->changed, &engine->lock, -1);
    hearth_lock_release(&engine->lock);
    take_apart(engine);
}
