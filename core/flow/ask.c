/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask.c: questions and orders about one service's model, for the node's daemon:
 * each is a message to the scheduler's thread, which alone knows.
 */
#include "flow/flow_priv.h"

#include <string.h>
#include <unistd.h>

const hearth_model_t *hearth_flow_service_model(hearth_service_t *service)
{
    HEARTH_CHECK(service, HEARTH_MAGIC_SERVICE);
    return hearth_store_model(service->model->entry);
}

const struct hearth_digest *
hearth_flow_service_digest(hearth_service_t *service)
{
    HEARTH_CHECK(service, HEARTH_MAGIC_SERVICE);
    return &service->model->digest;
}

const struct hearth_function_info *
hearth_flow_service_info(hearth_service_t *service)
{
    HEARTH_CHECK(service, HEARTH_MAGIC_SERVICE);
    return hearth_function_info(service->function);
}

int hearth_flow_service_current(hearth_service_t *service)
{
    const char *path = hearth_flow_service_info(service)->model_path;
    char file[4096];

    if (hearth_store_resolve(path, 0, file, sizeof(file), NULL) != HEARTH_OK ||
        access(file, F_OK) != 0)
        return HEARTH_ENOENT;
    return hearth_model_is_current(hearth_store_model(service->model->entry),
                                   file)
               ? HEARTH_OK
               : HEARTH_EAGAIN;
}

/* ---- On the scheduler's thread ---- */

struct question {
    hearth_service_t *service;
    struct hearth_flow_place *places;
    struct hearth_flow_fit *fits;
    uint32_t count;
    uint32_t tenant;
    bool pinned;
};

static void ask(hearth_service_t *service, struct question *q,
                void (*fn)(void *ctx, uint32_t i))
{
    HEARTH_CHECK(service, HEARTH_MAGIC_SERVICE);
    q->service = service;
    hearth__on_loop(service->engine->sched_loop, fn, q, 0);
}

static void fill_places(void *ctx, uint32_t unused)
{
    struct question *q = ctx;
    hearth_engine_t *engine = q->service->engine;
    struct hearth_sched_model_report r;

    (void)unused;
    hearth_sched_model_report(q->service->model->sched, &r);
    for (uint32_t i = 0; i < r.device_count; i++) {
        const struct hearth_cache_entry *e = r.entries[i];

        q->places[q->count++] = (struct hearth_flow_place){
            .device = engine->devices[i]->name,
            .state = hearth_cache_state_name(e->state),
            .resident = e->state == HEARTH_CACHE_RESIDENT,
            .loading = e->state == HEARTH_CACHE_LOADING,
            .bytes = e->bytes,
            .runs = e->hits,
            .pins = e->pins,
        };
        if (e->state == HEARTH_CACHE_FAILED)
            q->places[i].error = e->error;
    }
}

uint32_t
hearth_flow_service_places(hearth_service_t *service,
                           struct hearth_flow_place places[HEARTH_DEVICES_MAX])
{
    struct question q = {.places = places};

    ask(service, &q, fill_places);
    return q.count;
}

static void load(void *ctx, uint32_t unused)
{
    struct question *q = ctx;

    (void)unused;
    hearth_sched_model_load(q->service->engine->sched, q->service->model->sched,
                            q->tenant);
}

void hearth_flow_service_load(hearth_service_t *service, uint32_t tenant)
{
    struct question q = {.tenant = tenant};

    ask(service, &q, load);
}

static void unload(void *ctx, uint32_t unused)
{
    struct question *q = ctx;

    (void)unused;
    hearth_sched_model_unload(q->service->engine->sched,
                              q->service->model->sched);
}

void hearth_flow_service_unload(hearth_service_t *service)
{
    struct question q = {.count = 0};

    ask(service, &q, unload);
}

static void pin(void *ctx, uint32_t unused)
{
    struct question *q = ctx;

    (void)unused;
    hearth_sched_model_pin(q->service->engine->sched, q->service->model->sched,
                           q->pinned);
}

void hearth_flow_service_pin(hearth_service_t *service, bool pinned)
{
    struct question q = {.pinned = pinned};

    ask(service, &q, pin);
}

/* ---- Tenants ---- */

struct tenant_question {
    hearth_engine_t *engine;
    uint32_t tenant;
    uint64_t quota_bytes;
    struct hearth_flow_tenant *report;
};

static void set_quota(void *ctx, uint32_t unused)
{
    struct tenant_question *q = ctx;

    (void)unused;
    hearth_sched_tenant_quota(q->engine->sched, q->tenant, q->quota_bytes);
}

void hearth_flow_tenant_quota(hearth_engine_t *engine, uint32_t tenant,
                              uint64_t bytes)
{
    struct tenant_question q = {
        .engine = engine, .tenant = tenant, .quota_bytes = bytes};

    HEARTH_CHECK(engine, HEARTH_MAGIC_ENGINE);
    hearth__on_loop(engine->sched_loop, set_quota, &q, 0);
}

static void report_tenant(void *ctx, uint32_t unused)
{
    struct tenant_question *q = ctx;
    struct hearth_cache_tenant_report r;

    (void)unused;
    hearth_cache_tenant_report(hearth_sched_cache(q->engine->sched), q->tenant,
                               &r);
    *q->report = (struct hearth_flow_tenant){.used_bytes = r.used_bytes,
                                             .quota_bytes = r.quota_bytes,
                                             .loads = r.loads,
                                             .evictions = r.evictions};
}

void hearth_flow_tenant_report(hearth_engine_t *engine, uint32_t tenant,
                               struct hearth_flow_tenant *report)
{
    struct tenant_question q = {
        .engine = engine, .tenant = tenant, .report = report};

    HEARTH_CHECK(engine, HEARTH_MAGIC_ENGINE);
    hearth__on_loop(engine->sched_loop, report_tenant, &q, 0);
}

/* ---- Fit ---- */

/* Who would go, if the model came now? */
static void fill_victims(hearth_cache_t *cache, uint32_t device,
                         const struct hearth_cache_entry *own,
                         struct hearth_flow_fit *fit)
{
    struct hearth_cache_entry *victims[HEARTH_POLICY_CANDIDATES];
    uint32_t count = 0;

    if (hearth_cache_room(cache, device, fit->need_bytes, own->model, NULL,
                          NULL, victims, &count) != HEARTH_EAGAIN)
        count = 0;
    for (uint32_t i = 0; i < count && i < HEARTH_FLOW_EVICTS_MAX; i++)
        snprintf(fit->evicts[i], sizeof(fit->evicts[i]), "%s",
                 hearth_cache_model_name(victims[i]->model));
    fit->evict_count = count;
}

static void fill_fits(void *ctx, uint32_t unused)
{
    struct question *q = ctx;
    hearth_engine_t *engine = q->service->engine;
    hearth_cache_t *cache = hearth_sched_cache(engine->sched);
    struct hearth_sched_model_report r;

    (void)unused;
    hearth_sched_model_report(q->service->model->sched, &r);
    for (uint32_t i = 0; i < r.device_count; i++) {
        const struct hearth_sched_fit *known = r.fits[i];
        struct hearth_flow_fit *fit = &q->fits[q->count++];
        uint64_t arena = hearth_cache_arena(cache, i);

        memset(fit, 0, sizeof(*fit));
        fit->device = engine->devices[i]->name;
        fit->error = known->error;
        fit->error.status = known->status;
        fit->resident = r.entries[i]->state == HEARTH_CACHE_RESIDENT;
        fit->model_bytes = known->model_bytes;
        fit->load_bytes = known->load_bytes;
        fit->arena_bytes = known->arena_bytes;
        fit->free_bytes = hearth_cache_free_bytes(cache, i);
        if (known->status != HEARTH_OK)
            continue;
        if (known->arena_bytes > arena)
            fit->need_bytes = known->arena_bytes - arena;
        if (!fit->resident)
            fit->need_bytes += known->load_bytes > known->model_bytes
                                   ? known->load_bytes
                                   : known->model_bytes;
        fill_victims(cache, i, r.entries[i], fit);
    }
}

uint32_t
hearth_flow_service_fit(hearth_service_t *service,
                        struct hearth_flow_fit fits[HEARTH_DEVICES_MAX])
{
    struct question q = {.fits = fits};

    ask(service, &q, fill_fits);
    return q.count;
}
