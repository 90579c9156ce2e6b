/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status.c: hearth_engine_status: one JSON object of what the engine holds and
 * does. The scheduler's part is collected on the scheduler's thread, so that
 * its numbers are of one moment.
 */
#include "flow/flow_priv.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct collection {
    hearth_engine_t *engine;
    json_t *root;
};

static json_int_t number(uint64_t value)
{
    return value > INT64_MAX ? INT64_MAX : (json_int_t)value;
}

static json_t *device_json(hearth_engine_t *engine, uint32_t i)
{
    hearth_cache_t *cache = hearth_sched_cache(engine->sched);
    hearth_device_t *device = engine->devices[i];
    struct hearth_cache_device_report r;
    json_t *object;

    hearth_cache_device_report(cache, i, &r);
    object = json_pack(
        "{s:s, s:s, s:b, s:I, s:I, s:{s:I, s:I, s:I}, s:I, s:I, s:I}", "device",
        device->name, "name", device->properties.name, "lost",
        (int)hearth_device_is_lost(device), "limit_bytes",
        number(r.limit_bytes), "used_bytes", number(r.used_bytes), "of_them",
        "overhead_bytes", number(r.overhead_bytes), "arena_bytes",
        number(r.arena_bytes), "model_bytes", number(r.model_bytes), "loads",
        number(r.loads), "load_failures", number(r.load_failures), "evictions",
        number(r.evictions));
    if (object && hearth_device_is_lost(device))
        json_object_set_new(
            object, "reason",
            json_string(hearth_device_lost_error(device)->text));
    return object;
}

static void add_model(void *ctx, const struct hearth_sched_model_report *r)
{
    json_t *models = ctx, *places = json_array();

    for (uint32_t i = 0; i < r->device_count; i++) {
        const struct hearth_cache_entry *entry = r->entries[i];
        json_t *place;

        if (entry->state == HEARTH_CACHE_ABSENT)
            continue;
        place = json_pack("{s:i, s:s, s:I, s:i, s:I}", "device", (int)i,
                          "state", hearth_cache_state_name(entry->state),
                          "bytes", number(entry->bytes), "pins",
                          (int)entry->pins, "runs", number(entry->hits));
        if (place && entry->state == HEARTH_CACHE_FAILED)
            json_object_set_new(place, "reason",
                                json_string(entry->error.text));
        json_array_append_new(places, place);
    }
    json_array_append_new(models,
                          json_pack("{s:s, s:i, s:I, s:I, s:I, s:b, s:o}",
                                    "name", r->name, "queued", (int)r->queued,
                                    "load_us", (json_int_t)r->load_us,
                                    "host_load_us", (json_int_t)r->host_load_us,
                                    "run_us", (json_int_t)r->run_us, "in_host",
                                    (int)r->in_host, "places", places));
}

static void collect(void *ctx, uint32_t unused)
{
    struct collection *c = ctx;
    struct hearth_sched_report r;
    json_t *devices = json_array(), *models = json_array();

    (void)unused;
    for (uint32_t i = 0; i < c->engine->device_count; i++)
        json_array_append_new(devices, device_json(c->engine, i));
    hearth_sched_models(c->engine->sched, add_model, models);
    hearth_sched_report(c->engine->sched, &r);
    json_object_set_new(c->root, "devices", devices);
    json_object_set_new(c->root, "models", models);
    json_object_set_new(
        c->root, "jobs",
        json_pack("{s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
                  "waiting", (int)r.waiting, "running", (int)r.running,
                  "loading", (int)r.loading, "submitted", number(r.submitted),
                  "completed", number(r.completed), "failed", number(r.failed),
                  "cancelled", number(r.cancelled), "timed_out",
                  number(r.timed_out), "refused", number(r.refused), "hits",
                  number(r.hits), "misses", number(r.misses)));
}

static json_t *host_json(hearth_engine_t *engine)
{
    struct hearth_host_report r;

    hearth_host_report(engine->host, &r);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "bytes", number(r.bytes),
                     "limit_bytes", number(r.limit_bytes), "models",
                     number(r.copies), "hits", number(r.hits), "misses",
                     number(r.misses), "evictions", number(r.evictions));
}

static json_t *service_json(hearth_service_t *service)
{
    static const char *const states[] = {"none", "warming", "ready", "failed"};
    int state = atomic_load(&service->state);
    char digest[HEARTH_DIGEST_TEXT];
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:i}", "name",
        hearth_function_info(service->function)->name, "state", states[state],
        "sha256", hearth_digest_text(&service->model->digest, digest),
        "in_flight", (int)atomic_load(&service->in_flight));

    if (object && state == HEARTH_SERVICE_FAILED)
        json_object_set_new(object, "reason", json_string(service->error.text));
    return object;
}

int hearth_engine_status(hearth_engine_t *engine, char **text)
{
    struct collection c = {.engine = engine, .root = json_object()};
    json_t *services = json_array();
    char *dumped = NULL;

    *text = NULL;
    HEARTH_CHECK(engine, HEARTH_MAGIC_ENGINE);
    hearth__on_loop(engine->sched_loop, collect, &c, 0);
    hearth_lock_acquire(&engine->lock);
    for (hearth_service_t *s = engine->services; s; s = s->next)
        json_array_append_new(services, service_json(s));
    hearth_lock_release(&engine->lock);
    json_object_set_new(c.root, "services", services);
    json_object_set_new(c.root, "host", host_json(engine));
    json_object_set_new(
        c.root, "request_bytes",
        json_integer(number(hearth_budget_used(&engine->request_budget))));
    if (c.root)
        dumped = json_dumps(c.root, JSON_INDENT(2));
    json_decref(c.root);
    if (dumped)
        *text = hearth_strdup(dumped);
    free(dumped); /* Jansson's */
    return *text ? HEARTH_OK : HEARTH_ENOMEM;
}

void hearth_text_free(char *text)
{
    hearth_free(text);
}
