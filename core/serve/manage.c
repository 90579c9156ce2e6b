/* SPDX-License-Identifier: Apache-2.0 */
/* manage.c: the model repository extension: index, load, unload. On workers. */
#include "serve/serve_priv.h"

#include <string.h>
#include <time.h>

#define LOOK_FIRST_NS 500000
#define LOOK_MOST_NS 20000000

/* ---- index ---- */

const char *hearth__served_state(hearth_node_t *node, struct hearth__served *s,
                                 char *reason, size_t size)
{
    const char *state = "READY";
    char came[32], all[32];

    reason[0] = '\0';
    hearth_lock_acquire(&node->lock);
    if (s->state == HEARTH__OPENING) {
        state = "LOADING";
        if (s->remote && atomic_load(&s->remote->coming))
            snprintf(reason, size, "fetching: %s of %s are here",
                     hearth_format_bytes(atomic_load(&s->remote->came), came,
                                         sizeof(came)),
                     hearth_format_bytes(s->remote->bytes, all, sizeof(all)));
    } else if (s->state == HEARTH__FAILED ||
               (s->state == HEARTH__CLOSED && s->unloaded)) {
        state = "UNAVAILABLE";
        snprintf(reason, size, "%s", s->error.text);
    } else if (s->state == HEARTH__CLOSED &&
               node->config.control == HEARTH_NODE_EXPLICIT) {
        state = "UNAVAILABLE";
        snprintf(reason, size, "not loaded");
    } else if (s->state == HEARTH__CLOSED) {
        snprintf(reason, size, "opens with its first request");
    }
    hearth_lock_release(&node->lock);
    return state;
}

/* {"ready":true}: only those that are. False: nonsense, and answered. */
static bool read_filter(struct hearth__visit *v, bool *ready,
                        struct hearth__reply *reply)
{
    json_t *root = NULL, *value;

    *ready = false;
    if (v->body_bytes == 0)
        return true;
    root = json_loadb(v->body, v->body_bytes, 0, NULL);
    if (!json_is_object(root)) {
        json_decref(root);
        hearth__reply_error(reply, 400,
                            "failed to parse the request JSON buffer: expected "
                            "an object");
        return false;
    }
    value = json_object_get(root, "ready");
    *ready = json_is_true(value);
    if (value && !json_is_boolean(value)) {
        json_decref(root);
        hearth__reply_error(reply, 400,
                            "Invalid value for 'ready': expected a boolean");
        return false;
    }
    json_decref(root);
    return true;
}

void hearth__repository_index(struct hearth__visit *v,
                              struct hearth__reply *reply)
{
    const struct hearth__tenant *tenant = v->is_operator ? NULL : v->tenant;
    struct hearth__served **list;
    json_t *index = json_array();
    bool only_ready;
    uint32_t count;

    if (!read_filter(v, &only_ready, reply) ||
        hearth__served_list(v->node, tenant, NULL, &list, &count) !=
            HEARTH_OK) {
        json_decref(index);
        if (reply->body == NULL)
            hearth__reply_error(reply, 503, "no memory for the index");
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        char reason[256];
        const char *state =
            hearth__served_state(v->node, list[i], reason, sizeof(reason));

        if (!only_ready || strcmp(state, "READY") == 0)
            json_array_append_new(
                index, json_pack("{s:s, s:s, s:s, s:s}", "name", list[i]->name,
                                 "version", list[i]->version_text, "state",
                                 state, "reason", reason));
        hearth__served_unref(v->node, list[i]);
    }
    hearth_free(list);
    hearth__reply_json(reply, 200, index);
}

/* ---- load ---- */

/* Until a device has it, or the load failed everywhere. */
static int wait_resident(hearth_service_t *service, uint32_t tenant,
                         struct hearth_error *err)
{
    struct timespec pause = {.tv_nsec = LOOK_FIRST_NS};
    struct hearth_flow_place *places =
        hearth_calloc(HEARTH_DEVICES_MAX, sizeof(*places));
    int status = HEARTH_EAGAIN;

    if (places == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory for the load");
    hearth_flow_service_load(service, tenant);
    while (status == HEARTH_EAGAIN) {
        uint32_t count = hearth_flow_service_places(service, places);
        bool underway = false;

        for (uint32_t i = 0; i < count; i++) {
            if (places[i].resident)
                status = HEARTH_OK;
            underway |= places[i].loading;
        }
        for (uint32_t i = 0; status == HEARTH_EAGAIN && !underway && i < count;
             i++)
            if (places[i].error.status != HEARTH_OK) {
                *err = places[i].error;
                status = err->status;
            }
        if (status != HEARTH_EAGAIN)
            break;
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < LOOK_MOST_NS)
            pause.tv_nsec *= 2;
    }
    hearth_free(places);
    return status;
}

int hearth__load_now(hearth_node_t *node, struct hearth__served *s,
                     uint32_t tenant, struct hearth_error *err)
{
    hearth_service_t *service = NULL;
    int status;

    hearth_lock_acquire(&node->lock);
    s->unloaded = false;
    s->loaded = true;
    hearth_lock_release(&node->lock);
    status = hearth__served_open(node, s, true, &service, err);
    if (status == HEARTH_OK)
        status = wait_resident(service, tenant, err);
    hearth_service_close(&service);
    return status;
}

int hearth__pin_now(hearth_node_t *node, struct hearth__served *s, bool pinned,
                    struct hearth_error *err)
{
    hearth_service_t *service = NULL;
    int status;

    hearth_lock_acquire(&node->lock);
    s->pinned = pinned;
    if (pinned) {
        s->unloaded = false;
        s->loaded = true;
    } else if (s->state == HEARTH__OPEN) {
        service = hearth_flow_service_ref(s->service);
    }
    hearth_lock_release(&node->lock);
    if (pinned) {
        status = hearth__served_open(node, s, false, &service, err);
        if (status != HEARTH_OK)
            return status;
    }
    if (service)
        hearth_flow_service_pin(service, pinned);
    status = pinned ? wait_resident(service, 0, err) : HEARTH_OK;
    hearth_service_close(&service);
    return status;
}

/* {"parameters":{...}} with what would change the model is refused rather than
 * left out. */
static bool read_parameters(struct hearth__visit *v,
                            struct hearth__reply *reply)
{
    json_t *root = NULL, *parameters, *value;
    const char *key;
    bool good = true;

    if (v->body_bytes == 0)
        return true;
    root = json_loadb(v->body, v->body_bytes, 0, NULL);
    parameters = json_object_get(root, "parameters");
    if (!json_is_object(root) || (parameters && !json_is_object(parameters))) {
        json_decref(root);
        hearth__reply_error(reply, 400,
                            "failed to parse the request JSON buffer: expected "
                            "an object");
        return false;
    }
    json_object_foreach(parameters, key, value)
    {
        if (strcmp(key, "unload_dependents") != 0 && good) {
            char text[200];

            good = false;
            snprintf(text, sizeof(text),
                     "parameter '%.60s' is not supported: put the model and "
                     "its config.pbtxt into the repository, or hearth import",
                     key);
            hearth__reply_error(reply, 400, text);
        }
    }
    json_decref(root);
    return good;
}

void hearth__repository_load(struct hearth__visit *v,
                             struct hearth__reply *reply)
{
    const struct hearth__tenant *tenant = v->is_operator ? NULL : v->tenant;
    struct hearth__served **list = NULL;
    struct hearth_error err = {0};
    int status = HEARTH_OK;
    uint32_t count = 0;

    if (!read_parameters(v, reply))
        return;
    if (!tenant || hearth__tenant_sees(tenant, v->name))
        status = hearth__scan(v->node, v->name, &err);
    if (status == HEARTH_OK)
        status = hearth__served_list(v->node, tenant, v->name, &list, &count);
    if (status == HEARTH_OK && count == 0)
        status = hearth_fail(&err, HEARTH_ENOENT,
                             "failed to load '%.80s', failed to poll from "
                             "model repository",
                             v->name);
    else
        for (uint32_t i = 0; i < count; i++) {
            if (status == HEARTH_OK)
                status = hearth__load_now(
                    v->node, list[i], tenant ? tenant->state->number : 0, &err);
            if (status != HEARTH_OK && i + 1 == count)
                hearth_fail_prefix(&err, "load failed for model '%.60s'",
                                   v->name);
        }
    for (uint32_t i = 0; i < count; i++)
        hearth__served_unref(v->node, list[i]);
    hearth_free(list);
    if (status == HEARTH_OK)
        reply->status = 200;
    else
        hearth__reply_fail(reply, &err);
}

/* ---- unload ---- */

void hearth__repository_unload(struct hearth__visit *v,
                               struct hearth__reply *reply)
{
    const struct hearth__tenant *tenant = v->is_operator ? NULL : v->tenant;
    struct hearth__served **list;
    uint32_t count;

    if (!read_parameters(v, reply))
        return;
    /* It would take the model from every other tenant. */
    if (!v->is_operator && v->door == HEARTH_DOOR_SOCKET) {
        hearth__reply_error(reply, 403,
                            "unloading is for the operator: a model that "
                            "nobody uses makes room by itself");
        return;
    }
    if (hearth__served_list(v->node, tenant, v->name, &list, &count) !=
        HEARTH_OK) {
        hearth__reply_error(reply, 503, "no memory for the unload");
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        hearth__served_unload(v->node, list[i]);
        hearth__served_unref(v->node, list[i]);
    }
    hearth_free(list);
    reply->status = 200; /* also for one that nobody has, as Triton */
}
