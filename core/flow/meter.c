/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meter.c: what the engine counts: how long each step took, what the devices
 * hold, what became of the jobs. Steps are counted as requests end, on the I/O
 * threads; the rest is the scheduler's and asked when somebody reads.
 */
#include "flow/flow_priv.h"

static const double step_bounds[] = {0.0001, 0.00025, 0.001, 0.0025, 0.01,
                                     0.025,  0.1,     0.25,  1,      10};

enum {
    STEPS,
    WAITING,
    RUNNING,
    SUBMITTED,
    COMPLETED,
    FAILED,
    CANCELLED,
    TIMED_OUT,
    REFUSED,
    DEVICE_LIMIT,
    DEVICE_USED,
    DEVICE_BYTES,
    MODEL_BYTES,
    DEVICE_LOADS,
    PACK_BYTES,
    PACK_LIMIT,
    PACK_FILES,
    REQUEST_BYTES,
    HOST_LIMIT,
    HOST_BYTES,
    HOST_LOADS,
    ROW_COUNT
};

#define COUNTER(n, text)                                                       \
    {                                                                          \
        .name = n, .type = HEARTH_STAT_COUNTER, .help = text                   \
    }
#define GAUGE(n, text)                                                         \
    {                                                                          \
        .name = n, .type = HEARTH_STAT_GAUGE, .help = text                     \
    }

static const struct hearth_stat_row rows[ROW_COUNT] = {
    [STEPS] = {.name = "hearth_step_duration_seconds",
               .type = HEARTH_STAT_HISTOGRAM,
               .help = "Time of a request in each step.",
               .labels = {"step"},
               .bounds = step_bounds,
               .bound_count = sizeof(step_bounds) / sizeof(*step_bounds)},
    [WAITING] =
        GAUGE("hearth_jobs_waiting", "Requests that wait for a device."),
    [RUNNING] = GAUGE("hearth_jobs_running", "Requests on a device now."),
    [SUBMITTED] = COUNTER("hearth_jobs_submitted_total",
                          "Requests that reached the scheduler."),
    [COMPLETED] = COUNTER("hearth_jobs_completed_total",
                          "Requests that a device answered."),
    [FAILED] = COUNTER("hearth_jobs_failed_total",
                       "Requests whose load or run failed."),
    [CANCELLED] =
        COUNTER("hearth_jobs_cancelled_total", "Requests whose client left."),
    [TIMED_OUT] = COUNTER("hearth_jobs_timed_out_total",
                          "Requests whose deadline passed."),
    [REFUSED] = COUNTER("hearth_jobs_refused_total",
                        "Requests refused because too many wait."),
    [DEVICE_LIMIT] = {.name = "hearth_device_limit_bytes",
                      .type = HEARTH_STAT_GAUGE,
                      .help = "Device memory that may be used.",
                      .labels = {"device"}},
    [DEVICE_USED] = {.name = "hearth_device_used_bytes",
                     .type = HEARTH_STAT_GAUGE,
                     .help = "Device memory in use: the sum of "
                             "hearth_device_bytes and hearth_model_bytes.",
                     .labels = {"device"}},
    [DEVICE_BYTES] = {.name = "hearth_device_bytes",
                      .type = HEARTH_STAT_GAUGE,
                      .help = "Device memory that is no model's.",
                      .labels = {"device", "owner"}},
    [MODEL_BYTES] = {.name = "hearth_model_bytes",
                     .type = HEARTH_STAT_GAUGE,
                     .help = "Device memory of each model.",
                     .labels = {"device", "model"}},
    [DEVICE_LOADS] = {.name = "hearth_device_loads_total",
                      .type = HEARTH_STAT_COUNTER,
                      .help = "Models loaded, those of them out of a pack, "
                              "loads that failed, evictions.",
                      .labels = {"device", "what"}},
    [PACK_BYTES] = GAUGE("hearth_pack_bytes", "Packed models on the disk."),
    [PACK_LIMIT] =
        GAUGE("hearth_pack_limit_bytes", "What they may take there; 0: none "
                                         "are kept."),
    [PACK_FILES] = {.name = "hearth_packs_total",
                    .type = HEARTH_STAT_COUNTER,
                    .help = "Packs opened, looked for in vain, found damaged, "
                            "written, not written, removed to make room.",
                    .labels = {"what"}},
    [REQUEST_BYTES] = GAUGE("hearth_request_bytes",
                            "Memory of bodies, tensors and answers in flight."),
    [HOST_LIMIT] = GAUGE("hearth_host_limit_bytes",
                         "Host memory that copies of weights may take."),
    [HOST_BYTES] =
        GAUGE("hearth_host_bytes", "Host memory that copies of weights take."),
    [HOST_LOADS] = {.name = "hearth_host_loads_total",
                    .type = HEARTH_STAT_COUNTER,
                    .help = "Loads onto devices with memory of their own whose "
                            "weights were in host memory (hit) or not (miss), "
                            "and copies that were evicted from it.",
                    .labels = {"what"}},
};

int hearth__meter_open(hearth_engine_t *engine)
{
    if (hearth_stat_create(&engine->stat, rows, ROW_COUNT) != APR_SUCCESS)
        return HEARTH_ENOMEM;
    /* Found once, so that counting takes no lock. */
    for (int step = HEARTH_STEP_RECV_HEAD; step < HEARTH_STEP_COUNT; step++)
        engine->steps[step] =
            hearth_stat_series(engine->stat, STEPS,
                               hearth_step_name((enum hearth_step)step), NULL);
    return HEARTH_OK;
}

/* The scheduler's steps by its own times: a request is parked in QUEUE while
 * the others pass. */
void hearth__meter_request(const hearth_request_t *req)
{
    hearth_engine_t *engine = req->service->engine;

    for (int step = HEARTH_STEP_RECV_HEAD; step < HEARTH_STEP_COUNT; step++) {
        int64_t us = req->step_us[step];

        if (!(req->passed >> step & 1))
            continue;
        if (req->job_back && step == HEARTH_STEP_QUEUE)
            us = req->job.queue_us;
        else if (req->job_back && step == HEARTH_STEP_RESIDE)
            us = req->job.load_us;
        else if (req->job_back && step == HEARTH_STEP_RUN)
            us = req->job.run_us;
        hearth_stat_observe_us(engine->steps[step], us);
    }
}

/* ---- The text ---- */

static void set(hearth_engine_t *engine, uint32_t row, const char *first,
                const char *second, uint64_t value)
{
    hearth_stat_set(hearth_stat_series(engine->stat, row, first, second),
                    value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

static void set_model(void *ctx, const struct hearth_sched_model_report *r)
{
    hearth_engine_t *engine = ctx;

    for (uint32_t i = 0; i < r->device_count; i++)
        set(engine, MODEL_BYTES, engine->devices[i]->name, r->name,
            r->entries[i]->bytes);
}

/* On the scheduler's thread. */
static void collect(void *ctx, uint32_t unused)
{
    hearth_engine_t *engine = ctx;
    struct hearth_sched_report r;

    (void)unused;
    hearth_sched_report(engine->sched, &r);
    set(engine, WAITING, NULL, NULL, r.waiting);
    set(engine, RUNNING, NULL, NULL, r.running);
    set(engine, SUBMITTED, NULL, NULL, r.submitted);
    set(engine, COMPLETED, NULL, NULL, r.completed);
    set(engine, FAILED, NULL, NULL, r.failed);
    set(engine, CANCELLED, NULL, NULL, r.cancelled);
    set(engine, TIMED_OUT, NULL, NULL, r.timed_out);
    set(engine, REFUSED, NULL, NULL, r.refused);
    for (uint32_t i = 0; i < engine->device_count; i++) {
        struct hearth_cache_device_report d;

        hearth_cache_device_report(hearth_sched_cache(engine->sched), i, &d);
        set(engine, DEVICE_LIMIT, d.name, NULL, d.limit_bytes);
        set(engine, DEVICE_USED, d.name, NULL, d.used_bytes);
        set(engine, DEVICE_BYTES, d.name, "overhead", d.overhead_bytes);
        set(engine, DEVICE_BYTES, d.name, "arena", d.arena_bytes);
        set(engine, DEVICE_LOADS, d.name, "load", d.loads);
        set(engine, DEVICE_LOADS, d.name, "packed",
            hearth_exec_packed_loads(engine->exec, i));
        set(engine, DEVICE_LOADS, d.name, "failure", d.load_failures);
        set(engine, DEVICE_LOADS, d.name, "eviction", d.evictions);
    }
    /* A model that was removed holds nothing. */
    hearth_stat_clear(engine->stat, MODEL_BYTES);
    hearth_sched_models(engine->sched, set_model, engine);
}

static void collect_packs(hearth_engine_t *engine)
{
    struct hearth_packs_stats s = {0};

    if (engine->packs)
        hearth_packs_stats(engine->packs, &s);
    set(engine, PACK_BYTES, NULL, NULL, s.bytes);
    set(engine, PACK_LIMIT, NULL, NULL, s.limit_bytes);
    set(engine, PACK_FILES, "opened", NULL, s.opened);
    set(engine, PACK_FILES, "missed", NULL, s.missed);
    set(engine, PACK_FILES, "damaged", NULL, s.damaged);
    set(engine, PACK_FILES, "written", NULL, s.written);
    set(engine, PACK_FILES, "failed", NULL, s.failed);
    set(engine, PACK_FILES, "evicted", NULL, s.evicted);
}

int hearth_engine_metrics(hearth_engine_t *engine, char **out)
{
    struct hearth_stat_text text = {.data = NULL};
    struct hearth_host_report host;

    *out = NULL;
    HEARTH_CHECK(engine, HEARTH_MAGIC_ENGINE);
    hearth__on_loop(engine->sched_loop, collect, engine, 0);
    hearth_host_report(engine->host, &host);
    set(engine, HOST_LIMIT, NULL, NULL, host.limit_bytes);
    set(engine, HOST_BYTES, NULL, NULL, host.bytes);
    set(engine, HOST_LOADS, "hit", NULL, host.hits);
    set(engine, HOST_LOADS, "miss", NULL, host.misses);
    set(engine, HOST_LOADS, "eviction", NULL, host.evictions);
    collect_packs(engine);
    set(engine, REQUEST_BYTES, NULL, NULL,
        hearth_budget_used(&engine->request_budget));
    hearth_stat_write(engine->stat, &text);
    if (text.failed) {
        hearth_free(text.data);
        return HEARTH_ENOMEM;
    }
    *out = text.data;
    return HEARTH_OK;
}
