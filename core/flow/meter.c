/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meter.c: what the engine counts, as Prometheus' text: how long each step
 * took, what the devices hold, what became of the jobs. Steps are counted by
 * atomic additions on the I/O threads; the rest is the scheduler's, asked when
 * somebody reads.
 */
#include "flow/flow_priv.h"

#include <stdarg.h>
#include <stdio.h>

static const int64_t bounds_us[HEARTH__METER_BOUNDS] = {
    100, 250, 1000, 2500, 10000, 25000, 100000, 250000, 1000000, 10000000};

void hearth__meter_step(hearth_engine_t *engine, enum hearth_step step,
                        int64_t us)
{
    struct hearth__meter *meter = &engine->meters[step];
    size_t b = 0;

    while (b < HEARTH__METER_BOUNDS && us > bounds_us[b])
        b++;
    atomic_fetch_add_explicit(&meter->count[b], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&meter->sum_us, (uint64_t)(us > 0 ? us : 0),
                              memory_order_relaxed);
}

/* ---- The text ---- */

static void puts_text(struct hearth_text *text, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void puts_text(struct hearth_text *text, const char *fmt, ...)
{
    char line[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    hearth_text_puts(text, line);
}

static void put_head(struct hearth_text *text, const char *name,
                     const char *type, const char *help)
{
    puts_text(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_steps(struct hearth_text *text, hearth_engine_t *engine)
{
    static const char name[] = "hearth_step_duration_seconds";

    put_head(text, name, "histogram", "Time of a request in each step.");
    for (int step = HEARTH_STEP_RECV_HEAD; step < HEARTH_STEP_COUNT; step++) {
        struct hearth__meter *meter = &engine->meters[step];
        uint64_t count = 0;

        for (size_t b = 0; b < HEARTH__METER_BOUNDS; b++) {
            count += atomic_load(&meter->count[b]);
            puts_text(text, "%s_bucket{step=\"%s\",le=\"%g\"} %llu\n", name,
                      hearth_step_name(step), (double)bounds_us[b] / 1e6,
                      (unsigned long long)count);
        }
        count += atomic_load(&meter->count[HEARTH__METER_BOUNDS]);
        puts_text(text,
                  "%s_bucket{step=\"%s\",le=\"+Inf\"} %llu\n"
                  "%s_sum{step=\"%s\"} %.6f\n%s_count{step=\"%s\"} %llu\n",
                  name, hearth_step_name(step), (unsigned long long)count, name,
                  hearth_step_name(step),
                  (double)atomic_load(&meter->sum_us) / 1e6, name,
                  hearth_step_name(step), (unsigned long long)count);
    }
}

/* What is asked on the scheduler's thread. */
struct snapshot {
    hearth_engine_t *engine;
    struct hearth_sched_report sched;
    struct hearth_cache_device_report devices[HEARTH_DEVICES_MAX];
};

static void take_snapshot(void *ctx, uint32_t unused)
{
    struct snapshot *s = ctx;

    (void)unused;
    hearth_sched_report(s->engine->sched, &s->sched);
    for (uint32_t i = 0; i < s->engine->device_count; i++)
        hearth_cache_device_report(hearth_sched_cache(s->engine->sched), i,
                                   &s->devices[i]);
}

static void put_number(struct hearth_text *text, const char *name,
                       const char *type, const char *help, uint64_t value)
{
    put_head(text, name, type, help);
    puts_text(text, "%s %llu\n", name, (unsigned long long)value);
}

static void put_jobs(struct hearth_text *text,
                     const struct hearth_sched_report *r)
{
    put_number(text, "hearth_jobs_waiting", "gauge",
               "Requests that wait for a device.", r->waiting);
    put_number(text, "hearth_jobs_running", "gauge",
               "Requests on a device now.", r->running);
    put_number(text, "hearth_jobs_submitted_total", "counter",
               "Requests that reached the scheduler.", r->submitted);
    put_number(text, "hearth_jobs_completed_total", "counter",
               "Requests that a device answered.", r->completed);
    put_number(text, "hearth_jobs_failed_total", "counter",
               "Requests whose load or run failed.", r->failed);
    put_number(text, "hearth_jobs_cancelled_total", "counter",
               "Requests whose client left.", r->cancelled);
    put_number(text, "hearth_jobs_timed_out_total", "counter",
               "Requests whose deadline passed.", r->timed_out);
    put_number(text, "hearth_jobs_refused_total", "counter",
               "Requests refused because too many wait.", r->refused);
}

static void put_devices(struct hearth_text *text, const struct snapshot *s)
{
    put_head(text, "hearth_device_bytes", "gauge",
             "Device memory by owner; limit is what may be used.");
    for (uint32_t i = 0; i < s->engine->device_count; i++) {
        const struct hearth_cache_device_report *r = &s->devices[i];
        const struct {
            const char *owner;
            uint64_t bytes;
        } parts[] = {{"limit", r->limit_bytes},
                     {"overhead", r->overhead_bytes},
                     {"arena", r->arena_bytes},
                     {"models", r->model_bytes}};

        for (size_t p = 0; p < sizeof(parts) / sizeof(*parts); p++)
            puts_text(
                text, "hearth_device_bytes{device=\"%s\",owner=\"%s\"} %llu\n",
                r->name, parts[p].owner, (unsigned long long)parts[p].bytes);
    }
    put_head(text, "hearth_device_loads_total", "counter",
             "Models loaded, failures apart, and evicted.");
    for (uint32_t i = 0; i < s->engine->device_count; i++) {
        const struct hearth_cache_device_report *r = &s->devices[i];

        puts_text(
            text,
            "hearth_device_loads_total{device=\"%s\",what=\"load\"} %llu\n"
            "hearth_device_loads_total{device=\"%s\",what=\"failure\"} "
            "%llu\n"
            "hearth_device_loads_total{device=\"%s\",what=\"eviction\"} "
            "%llu\n",
            r->name, (unsigned long long)r->loads, r->name,
            (unsigned long long)r->load_failures, r->name,
            (unsigned long long)r->evictions);
    }
}

int hearth_engine_metrics(hearth_engine_t *engine, char **out)
{
    struct hearth_text text = {.data = NULL};
    struct snapshot *s;

    *out = NULL;
    HEARTH_CHECK(engine, HEARTH_MAGIC_ENGINE);
    s = hearth_calloc(1, sizeof(*s));
    if (s == NULL)
        return HEARTH_ENOMEM;
    s->engine = engine;
    hearth__on_loop(engine->sched_loop, take_snapshot, s, 0);
    put_steps(&text, engine);
    put_jobs(&text, &s->sched);
    put_devices(&text, s);
    put_number(&text, "hearth_request_bytes", "gauge",
               "Memory of bodies, tensors and answers in flight.",
               hearth_budget_used(&engine->request_budget));
    hearth_text_put(&text, "", 1);
    hearth_free(s);
    if (text.failed) {
        hearth_text_clear(&text);
        return HEARTH_ENOMEM;
    }
    *out = text.data; /* hearth_malloc's: hearth_text_free frees it */
    return HEARTH_OK;
}
