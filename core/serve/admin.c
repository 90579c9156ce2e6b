/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin.c: what the operator asks and orders, behind the admin socket: status,
 * models, pin, fit, reload. On workers: it waits for the scheduler's thread.
 */
#include "serve/serve_priv.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- status ---- */

static json_t *node_json(hearth_node_t *node)
{
    return json_pack(
        "{s:s, s:i, s:f, s:b, s:b, s:I, s:I, s:I}", "version", hearth_version(),
        "pid", (int)getpid(), "uptime_s",
        (double)(hearth_now_us(node->clock) - node->began_us) / 1e6, "ready",
        (int)!atomic_load(&node->quiet), "draining",
        (int)atomic_load(&node->draining), "requests",
        (json_int_t)atomic_load(&node->requests), "requests_failed",
        (json_int_t)atomic_load(&node->failures), "in_flight",
        (json_int_t)atomic_load(&node->in_flight));
}

static json_t *tenants_json(hearth_node_t *node)
{
    struct hearth__tenants *tenants = hearth__node_tenants(node);
    json_t *list = json_array();

    for (uint32_t i = 0; i < tenants->count; i++) {
        const struct hearth__tenant *t = tenants->list[i];
        struct hearth_flow_tenant r = {0};
        uint32_t functions;

        if (t->state->number > 0)
            hearth_flow_tenant_report(node->engine, t->state->number, &r);
        hearth_lock_acquire(&node->lock);
        functions = t->state->functions;
        hearth_lock_release(&node->lock);
        json_array_append_new(
            list,
            json_pack("{s:s, s:i, s:i, s:I, s:I, s:I, s:I, s:i}", "name",
                      t->name, "in_flight",
                      (int)atomic_load(&t->state->in_flight), "max_in_flight",
                      (int)t->max_in_flight, "bytes", (json_int_t)r.used_bytes,
                      "quota_bytes", (json_int_t)r.quota_bytes, "loads",
                      (json_int_t)r.loads, "evictions", (json_int_t)r.evictions,
                      "functions", (int)functions));
    }
    hearth__tenants_unref(tenants);
    return list;
}

void hearth__status(struct hearth__visit *v, struct hearth__reply *reply)
{
    struct hearth_blobs_stats blobs = {0};
    char *text = NULL;
    json_t *root = NULL;

    if (hearth_engine_status(v->node->engine, &text) == HEARTH_OK)
        root = json_loads(text, 0, NULL);
    hearth_text_free(text);
    if (root == NULL) {
        hearth__reply_error(reply, 503, "no memory for the status");
        return;
    }
    if (v->node->blobs)
        hearth_blobs_stats(v->node->blobs, &blobs);
    json_object_set_new(root, "hearthd", node_json(v->node));
    json_object_set_new(root, "tenants", tenants_json(v->node));
    json_object_set_new(root, "blobs",
                        json_pack("{s:I, s:I, s:I, s:I}", "bytes",
                                  (json_int_t)blobs.bytes, "limit_bytes",
                                  (json_int_t)blobs.limit_bytes, "count",
                                  (json_int_t)blobs.count, "evictions",
                                  (json_int_t)blobs.evictions));
    hearth__reply_json(reply, 200, root);
}

/* ---- models ---- */

static json_t *places_json(hearth_service_t *service)
{
    struct hearth_flow_place *places =
        hearth_calloc(HEARTH_DEVICES_MAX, sizeof(*places));
    json_t *list = json_array();
    uint32_t count = places ? hearth_flow_service_places(service, places) : 0;

    for (uint32_t i = 0; i < count; i++) {
        json_t *place;

        if (places[i].bytes == 0 && places[i].error.status == HEARTH_OK)
            continue;
        place =
            json_pack("{s:i, s:s, s:s, s:I, s:i, s:I}", "device", (int)i,
                      "name", places[i].device, "state", places[i].state,
                      "bytes", (json_int_t)places[i].bytes, "pins",
                      (int)places[i].pins, "runs", (json_int_t)places[i].runs);
        if (place && places[i].error.status != HEARTH_OK)
            json_object_set_new(place, "reason",
                                json_string(places[i].error.text));
        json_array_append_new(list, place);
    }
    hearth_free(places);
    return list;
}

static json_t *served_json(hearth_node_t *node, struct hearth__served *s)
{
    char reason[256], digest[HEARTH_DIGEST_TEXT];
    const char *state = hearth__served_state(node, s, reason, sizeof(reason));
    hearth_service_t *service = NULL;
    struct hearth_flow_stats stats = {0};
    json_t *object;
    bool pinned;

    hearth_lock_acquire(&node->lock);
    pinned = s->pinned;
    if (s->state == HEARTH__OPEN)
        service = hearth_flow_service_ref(s->service);
    hearth_lock_release(&node->lock);
    if (service)
        hearth_flow_service_stats(service, &stats);
    object = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:o}", "name",
                       s->name, "version", s->version_text, "state", state,
                       "reason", reason, "path", s->path, "pinned", (int)pinned,
                       "inference_count", (json_int_t)stats.inferences,
                       "last_inference_ms", (json_int_t)stats.last_ms, "places",
                       service ? places_json(service) : json_array());
    if (service && object)
        json_object_set_new(object, "sha256",
                            json_string(hearth_digest_text(
                                hearth_flow_service_digest(service), digest)));
    hearth_service_close(&service);
    return object;
}

void hearth__models(struct hearth__visit *v, struct hearth__reply *reply)
{
    struct hearth__served **list;
    json_t *models = json_array();
    uint32_t count;

    if (hearth__served_list(v->node, NULL, NULL, &list, &count) != HEARTH_OK) {
        json_decref(models);
        hearth__reply_error(reply, 503, "no memory for the list");
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        json_array_append_new(models, served_json(v->node, list[i]));
        hearth__served_unref(v->node, list[i]);
    }
    hearth_free(list);
    hearth__reply_json(reply, 200, json_pack("{s:o}", "models", models));
}

/* ---- pin, fit ---- */

/* The model of the path, also one that is new on the disk. NULL: answered. */
static struct hearth__served *find(struct hearth__visit *v,
                                   struct hearth__reply *reply)
{
    struct hearth_error err = {0};
    struct hearth__served *s =
        hearth__served_find(v->node, NULL, v->name, v->version, &err);

    if (s == NULL && hearth__scan(v->node, v->name, NULL) == HEARTH_OK)
        s = hearth__served_find(v->node, NULL, v->name, v->version, &err);
    if (s == NULL)
        hearth__reply_fail(reply, &err);
    return s;
}

void hearth__pin(struct hearth__visit *v, struct hearth__reply *reply)
{
    json_t *root = json_loadb(v->body ? v->body : "", v->body_bytes, 0, NULL);
    json_t *value = json_object_get(root, "pinned");
    struct hearth_error err = {0};
    struct hearth__served *s;
    bool pinned = json_is_true(value);

    if (!json_is_boolean(value)) {
        json_decref(root);
        hearth__reply_error(reply, 400,
                            "expected {\"pinned\":true} or {\"pinned\":false}");
        return;
    }
    json_decref(root);
    s = find(v, reply);
    if (s == NULL)
        return;
    if (hearth__pin_now(v->node, s, pinned, &err) == HEARTH_OK)
        hearth__reply_json(reply, 200,
                           json_pack("{s:s, s:s, s:b}", "name", s->name,
                                     "version", s->version_text, "pinned",
                                     (int)pinned));
    else
        hearth__reply_fail(reply, &err);
    hearth__served_unref(v->node, s);
}

static json_t *fit_json(const struct hearth_flow_fit *fit)
{
    json_t *evicts = json_array();

    for (uint32_t i = 0; i < fit->evict_count && i < HEARTH_FLOW_EVICTS_MAX;
         i++)
        json_array_append_new(evicts, json_string(fit->evicts[i]));
    return json_pack(
        "{s:s, s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:b, s:o, s:i}", "device",
        fit->device, "fits", (int)(fit->error.status == HEARTH_OK), "reason",
        fit->error.status == HEARTH_OK ? "" : fit->error.text, "model_bytes",
        (json_int_t)fit->model_bytes, "load_bytes", (json_int_t)fit->load_bytes,
        "arena_bytes", (json_int_t)fit->arena_bytes, "need_bytes",
        (json_int_t)fit->need_bytes, "free_bytes", (json_int_t)fit->free_bytes,
        "resident", (int)fit->resident, "evicts", evicts, "evict_count",
        (int)fit->evict_count);
}

void hearth__fit(struct hearth__visit *v, struct hearth__reply *reply)
{
    struct hearth__served *s = find(v, reply);
    hearth_service_t *service = NULL;
    struct hearth_error err = {0};
    struct hearth_flow_fit *fits;
    json_t *devices = json_array();
    uint32_t count;

    if (s == NULL) {
        json_decref(devices);
        return;
    }
    fits = hearth_calloc(HEARTH_DEVICES_MAX, sizeof(*fits));
    if (fits == NULL)
        hearth_fail(&err, HEARTH_ENOMEM, "no memory for the answer");
    else
        hearth__served_open(v->node, s, false, &service, &err);
    if (service) {
        count = hearth_flow_service_fit(service, fits);
        for (uint32_t i = 0; i < count; i++)
            json_array_append_new(devices, fit_json(&fits[i]));
        hearth__reply_json(reply, 200,
                           json_pack("{s:s, s:s, s:O}", "name", s->name,
                                     "version", s->version_text, "devices",
                                     devices));
    } else {
        hearth__reply_fail(reply, &err);
    }
    json_decref(devices);
    hearth_service_close(&service);
    hearth_free(fits);
    hearth__served_unref(v->node, s);
}

/* ---- reload ---- */

void hearth__reload(struct hearth__visit *v, struct hearth__reply *reply)
{
    hearth_node_t *node = v->node;
    struct hearth_error err = {0};

    if (node->again == NULL)
        hearth__reply_error(reply, 501, "there is nothing to read again");
    else if (node->again(node->again_ctx, &err) == HEARTH_OK)
        hearth__reply_json(reply, 200, json_object());
    else
        hearth__reply_error(reply, 400, err.text);
}
