/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats.c: Triton's statistics extension. On a worker: where a model's bytes
 * are, only the scheduler's thread knows.
 */
#include "serve/serve_priv.h"

#include <string.h>

static json_t *time_json(const struct hearth_flow_time *t)
{
    return json_pack("{s:I, s:I}", "count", (json_int_t)t->count, "ns",
                     (json_int_t)(t->us * 1000));
}

static json_t *memory_json(hearth_service_t *service)
{
    static struct hearth_flow_place none;
    struct hearth_flow_place *places =
        hearth_calloc(HEARTH_DEVICES_MAX, sizeof(none));
    json_t *list = json_array();
    uint32_t count = places ? hearth_flow_service_places(service, places) : 0;

    for (uint32_t i = 0; i < count; i++)
        if (places[i].bytes > 0)
            json_array_append_new(
                list,
                json_pack(
                    "{s:s, s:i, s:I}", "type",
                    strncmp(places[i].device, "cuda", 4) == 0 ? "GPU" : "CPU",
                    "id", (int)i, "byte_size", (json_int_t)places[i].bytes));
    hearth_free(places);
    return list;
}

static json_t *service_json(const struct hearth__served *s,
                            hearth_service_t *service)
{
    struct hearth_flow_stats t;
    struct hearth_flow_time none = {0};

    hearth_flow_service_stats(service, &t);
    return json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}, "
        "s:{}, s:[], s:o}",
        "name", s->name, "version", s->version_text, "last_inference",
        (json_int_t)t.last_ms, "inference_count", (json_int_t)t.inferences,
        "execution_count", (json_int_t)t.executions, "inference_stats",
        "success", time_json(&t.success), "fail", time_json(&t.fail), "queue",
        time_json(&t.queue), "compute_input", time_json(&t.input),
        "compute_infer", time_json(&t.infer), "compute_output",
        time_json(&t.output), "cache_hit", time_json(&none), "cache_miss",
        time_json(&none), "response_stats", "batch_stats", "memory_usage",
        memory_json(service));
}

static hearth_service_t *open_one(hearth_node_t *node, struct hearth__served *s)
{
    hearth_service_t *service = NULL;

    hearth_lock_acquire(&node->lock);
    if (s->state == HEARTH__OPEN)
        service = hearth_flow_service_ref(s->service);
    hearth_lock_release(&node->lock);
    return service;
}

/* Those of all models, or of one, that are open. */
void hearth__model_stats(struct hearth__visit *v, struct hearth__reply *reply)
{
    const struct hearth__tenant *tenant = v->is_operator ? NULL : v->tenant;
    struct hearth__served **list;
    json_t *stats = json_array();
    uint32_t count, found = 0;
    char text[HEARTH__NAME_BYTES + 64];

    if (hearth__served_list(v->node, tenant, v->name[0] ? v->name : NULL, &list,
                            &count) != HEARTH_OK) {
        json_decref(stats);
        hearth__reply_error(reply, 503, "no memory for the statistics");
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        hearth_service_t *service = NULL;

        if (v->version == 0 || list[i]->version == v->version)
            service = open_one(v->node, list[i]);
        if (service) {
            json_array_append_new(stats, service_json(list[i], service));
            hearth_service_close(&service);
            found++;
        }
        hearth__served_unref(v->node, list[i]);
    }
    hearth_free(list);
    if (v->name[0] && found == 0) {
        json_decref(stats);
        snprintf(text, sizeof(text), "requested model '%s' is not available",
                 v->name);
        hearth__reply_error(reply, 400, text);
        return;
    }
    hearth__reply_json(reply, 200, json_pack("{s:o}", "model_stats", stats));
}
