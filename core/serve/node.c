/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node.c: a node's life: its doors (a server on each I/O loop of the engine),
 * its configuration, its end.
 */
#include "serve/serve_priv.h"

#include "log/log.h"

#include <stdlib.h>
#include <string.h>

struct hearth_node_config hearth__node_config(hearth_node_t *node)
{
    struct hearth_node_config config;

    hearth_lock_acquire(&node->lock);
    config = node->config;
    hearth_lock_release(&node->lock);
    return config;
}

struct hearth__tenants *hearth__node_tenants(hearth_node_t *node)
{
    struct hearth__tenants *tenants;

    hearth_lock_acquire(&node->lock);
    tenants = hearth__tenants_ref(node->tenants);
    hearth_lock_release(&node->lock);
    return tenants;
}

/* ---- Files that change: a timer of loop 0, the looks on a worker ---- */

static void poll_files(struct hearth__work *work)
{
    hearth_node_t *node = HEARTH_CONTAINER(work, hearth_node_t, poll_work);

    hearth__served_poll(node);
    hearth__remote_poll(node);
    atomic_store(&node->polling, false);
}

static void poll_due(struct hearth_loop_timer *timer)
{
    hearth_node_t *node = HEARTH_CONTAINER(timer, hearth_node_t, poll_timer);

    if (atomic_exchange(&node->polling, true))
        return; /* the last look is not over */
    node->poll_work.fn = poll_files;
    hearth__workers_do(node->workers, &node->poll_work);
}

static void set_poll(void *ctx, uint32_t i)
{
    hearth_node_t *node = ctx;
    int64_t poll_us = hearth__node_config(node).poll_us;

    hearth_loop_timer_stop(&node->poll_timer);
    if (poll_us > 0)
        hearth_loop_timer_start(hearth_flow_loop(node->engine, i),
                                &node->poll_timer, poll_us, poll_us, poll_due);
}

static void stop_poll(void *ctx, uint32_t i)
{
    hearth_node_t *node = ctx;

    (void)i;
    hearth_loop_timer_stop(&node->poll_timer);
}

/* ---- Names to load at the start ---- */

struct errand {
    struct hearth__work work;
    hearth_node_t *node;
    bool pin;
    char name[];
};

static void load_named(struct hearth__work *work)
{
    struct errand *errand = HEARTH_CONTAINER(work, struct errand, work);
    hearth_node_t *node = errand->node;
    struct hearth_error err = {0};
    struct hearth__served *s =
        hearth__served_find(node, NULL, errand->name, 0, &err);

    if (s == NULL ||
        (errand->pin ? hearth__pin_now(node, s, true, &err)
                     : hearth__load_now(node, s, 0, &err)) != HEARTH_OK)
        hearth_log(HEARTH_LOG_ERROR, 11,
                   "event=\"not loaded at the start\" model=\"%s\" text=\"%s\"",
                   errand->name, err.text);
    hearth__served_unref(node, s);
    hearth_free(errand);
}

static int load_list(hearth_node_t *node, const char *list, bool pin)
{
    for (const char *p = list ? list : ""; *p;) {
        size_t bytes = strcspn(p, " ,");
        struct errand *errand;

        if (bytes > 0) {
            errand = hearth_calloc(1, sizeof(*errand) + bytes + 1);
            if (errand == NULL)
                return HEARTH_ENOMEM;
            errand->node = node;
            errand->pin = pin;
            errand->work.fn = load_named;
            memcpy(errand->name, p, bytes);
            hearth__workers_do(node->workers, &errand->work);
        }
        p += bytes;
        p += *p != '\0';
    }
    return HEARTH_OK;
}

/* ---- Configuration ---- */

int hearth_node_configure(hearth_node_t *node,
                          const struct hearth_node_config *config,
                          struct hearth_error *err)
{
    struct hearth__tenants *tenants, *before;
    int status;

    HEARTH_CHECK(node, HEARTH_MAGIC_NODE);
    status = hearth__tenants_create(&tenants, config, node->tenants, err);
    if (status != HEARTH_OK)
        return status;
    hearth_lock_acquire(&node->lock);
    before = node->tenants;
    node->tenants = tenants;
    node->config = *config;
    hearth_lock_release(&node->lock);
    hearth__tenants_unref(before);
    for (uint32_t i = 0; i < tenants->count; i++)
        if (tenants->list[i]->state->number > 0)
            hearth_flow_tenant_quota(node->engine,
                                     tenants->list[i]->state->number,
                                     tenants->list[i]->quota_bytes);
    status = hearth__scan(node, NULL, err);
    if (status == HEARTH_OK &&
        (load_list(node, config->load, false) != HEARTH_OK ||
         load_list(node, config->pin, true) != HEARTH_OK))
        status = hearth_fail(err, HEARTH_ENOMEM, "no memory: free some");
    hearth_flow_on_loop(node->engine, 0, set_poll, node);
    return status;
}

int hearth_node_create(hearth_node_t **out, hearth_engine_t *engine,
                       const struct hearth_node_config *config,
                       struct hearth_error *err)
{
    hearth_node_t *node = hearth_calloc(1, sizeof(*node));
    int status = HEARTH_ENOMEM;

    *out = NULL;
    if (node == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory for the node");
    node->magic = HEARTH_MAGIC_NODE;
    node->engine = engine;
    node->clock = hearth_clock_real();
    node->began_us = hearth_now_us(node->clock);
    node->loop_count = hearth_flow_loop_count(engine);
    hearth_lock_init(&node->lock, "node", HEARTH_LOCK_NODE);
    hearth_cond_init(&node->changed);
    for (int i = 0; i < HEARTH__DOORS; i++) {
        node->doors[i].node = node;
        node->doors[i].kind = (enum hearth_node_door)i;
        node->doors[i].servers =
            hearth_calloc(node->loop_count, sizeof(hearth_http_server_t *));
        if (node->doors[i].servers == NULL)
            goto fail;
    }
    if (hearth__workers_create(&node->workers, (uint32_t)config->workers) !=
        HEARTH_OK)
        goto fail;
    node->config = *config;
    status = hearth__functions_open(node, err);
    if (status == HEARTH_OK)
        status = hearth__remote_open(node, err);
    if (status == HEARTH_OK)
        status = hearth_node_configure(node, config, err);
    if (status != HEARTH_OK) {
        hearth_node_destroy(&node);
        return status;
    }
    *out = node;
    return HEARTH_OK;

fail:
    hearth_node_destroy(&node);
    return hearth_fail(err, status, "no memory for the node: free some");
}

void hearth_node_on_reload(hearth_node_t *node,
                           int (*again)(void *ctx, struct hearth_error *err),
                           void *ctx)
{
    node->again_ctx = ctx;
    node->again = again;
}

/* ---- Doors ---- */

struct opening {
    struct hearth__door *door;
    int fd;
    int status;
};

static void open_on_loop(void *ctx, uint32_t i)
{
    struct opening *o = ctx;
    hearth_node_t *node = o->door->node;
    int64_t connections = hearth__node_config(node).connections;
    struct hearth_http_handler handler = hearth__visit_handler;
    struct hearth_http_limits limits;

    hearth_http_limits_init(&limits);
    limits.body_bytes = UINT64_MAX; /* each route has its own */
    limits.read_us = INT64_C(300) * 1000000;
    if (connections > 0)
        limits.connections = (uint32_t)connections;
    limits.descriptors = o->door->kind != HEARTH_DOOR_TCP;
    handler.ctx = o->door;
    if (o->door->servers[i] == NULL &&
        hearth_http_server_create(&o->door->servers[i],
                                  hearth_flow_loop(node->engine, i), &limits,
                                  &handler) != APR_SUCCESS)
        o->status = HEARTH_ENOMEM;
    else if (hearth_http_server_listen(o->door->servers[i], o->fd) !=
             APR_SUCCESS)
        o->status = HEARTH_ENOMEM;
}

int hearth_node_listen(hearth_node_t *node, enum hearth_node_door door, int fd,
                       struct hearth_error *err)
{
    struct opening o = {.door = &node->doors[door], .fd = fd};

    HEARTH_CHECK(node, HEARTH_MAGIC_NODE);
    for (uint32_t i = 0; o.status == HEARTH_OK && i < node->loop_count; i++)
        hearth_flow_on_loop(node->engine, i, open_on_loop, &o);
    if (o.status != HEARTH_OK)
        return hearth_fail(err, o.status,
                           "cannot serve a socket: raise the limits of memory "
                           "and of open files (ulimit -n)");
    return HEARTH_OK;
}

void hearth_node_quiesce(hearth_node_t *node)
{
    atomic_store(&node->quiet, true);
}

static void server_drained(void *ctx)
{
    hearth_node_t *node = ctx;

    if (atomic_fetch_sub(&node->draining_servers, 1) == 1)
        node->drained(node->drained_ctx);
}

struct draining {
    hearth_node_t *node;
    int64_t grace_us;
};

static void drain_on_loop(void *ctx, uint32_t i)
{
    struct draining *d = ctx;

    for (int k = 0; k < HEARTH__DOORS; k++)
        if (d->node->doors[k].servers[i])
            hearth_http_server_drain(d->node->doors[k].servers[i], d->grace_us,
                                     server_drained, d->node);
}

void hearth_node_drain(hearth_node_t *node, int64_t grace_us,
                       void (*drained)(void *ctx), void *ctx)
{
    struct draining d = {node, grace_us};
    uint32_t count = 1; /* ours, so that none is the last too early */

    HEARTH_CHECK(node, HEARTH_MAGIC_NODE);
    hearth_node_quiesce(node);
    atomic_store(&node->draining, true);
    node->drained = drained;
    node->drained_ctx = ctx;
    for (int k = 0; k < HEARTH__DOORS; k++)
        for (uint32_t i = 0; i < node->loop_count; i++)
            count += node->doors[k].servers[i] != NULL;
    atomic_store(&node->draining_servers, count);
    for (uint32_t i = 0; i < node->loop_count; i++)
        hearth_flow_on_loop(node->engine, i, drain_on_loop, &d);
    server_drained(node);
}

uint64_t hearth_node_in_flight(hearth_node_t *node)
{
    return atomic_load(&node->in_flight);
}

static void close_on_loop(void *ctx, uint32_t i)
{
    hearth_node_t *node = ctx;

    for (int k = 0; k < HEARTH__DOORS; k++)
        if (node->doors[k].servers && node->doors[k].servers[i])
            hearth_http_server_destroy(&node->doors[k].servers[i]);
}

static void nothing(void *ctx, uint32_t i)
{
    (void)ctx;
    (void)i;
}

void hearth_node_destroy(hearth_node_t **out)
{
    hearth_node_t *node = *out;

    if (node == NULL)
        return;
    *out = NULL;
    atomic_store(&node->ending, true);
    hearth_flow_on_loop(node->engine, 0, stop_poll, node);
    for (uint32_t i = 0; i < node->loop_count; i++)
        hearth_flow_on_loop(node->engine, i, close_on_loop, node);
    hearth__workers_destroy(&node->workers);
    /* What the workers posted back to visits whose client is gone. */
    for (uint32_t i = 0; i < node->loop_count; i++)
        hearth_flow_on_loop(node->engine, i, nothing, node);
    hearth__served_close_all(node);
    hearth__functions_close(node);
    hearth__tenants_unref(node->tenants);
    for (int k = 0; k < HEARTH__DOORS; k++)
        hearth_free(node->doors[k].servers);
    hearth_cond_fini(&node->changed);
    hearth_lock_fini(&node->lock);
    node->magic = 0;
    hearth_free(node);
}

/* ---- Metrics ---- */

int hearth_node_metrics(hearth_node_t *node, char **text)
{
    char *engine;
    struct hearth_stat_text out = {.data = NULL};
    int status = hearth_engine_metrics(node->engine, &engine);

    *text = NULL;
    if (status != HEARTH_OK)
        return status;
    hearth_stat_put(&out, "%s", engine);
    hearth_text_free(engine);
    hearth_stat_put(&out,
                    "# HELP hearth_http_requests_total HTTP requests.\n"
                    "# TYPE hearth_http_requests_total counter\n"
                    "hearth_http_requests_total %llu\n"
                    "# HELP hearth_http_requests_failed_total Inferences that "
                    "were not answered with a result.\n"
                    "# TYPE hearth_http_requests_failed_total counter\n"
                    "hearth_http_requests_failed_total %llu\n"
                    "# HELP hearth_http_requests_in_flight HTTP requests now.\n"
                    "# TYPE hearth_http_requests_in_flight gauge\n"
                    "hearth_http_requests_in_flight %llu\n",
                    (unsigned long long)atomic_load(&node->requests),
                    (unsigned long long)atomic_load(&node->failures),
                    (unsigned long long)atomic_load(&node->in_flight));
    hearth_stat_write_process(&out);
    if (out.failed) {
        hearth_free(out.data);
        return HEARTH_ENOMEM;
    }
    *text = out.data;
    return HEARTH_OK;
}
