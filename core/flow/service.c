/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service.c: a function opened on an engine, and its warm-up: one request of
 * its own, on zeros, that walks the same steps as any other.
 */
#include "flow/flow_priv.h"

#include <string.h>

void hearth_service_config_init(struct hearth_service_config *config)
{
    *config = (struct hearth_service_config){.struct_bytes = sizeof(*config)};
}

/* ---- Warm-up ---- */

struct warm_up {
    struct hearth_loop_work work;
    hearth_service_t *service;
    hearth_loop_t *loop;
};

static void warm_send(void *ctx, hearth_request_t *req,
                      const struct hearth_answer *answer)
{
    (void)ctx;
    (void)answer; /* SEND has told the service */
    hearth_flow_sent(req);
}

static const struct hearth_flow_adapter warm_adapter = {NULL, warm_send};

static void warm_on_loop(struct hearth_loop_work *work)
{
    struct warm_up *w = HEARTH_CONTAINER(work, struct warm_up, work);
    const struct hearth_flow_head head = {.request_id = "warm-up"};
    hearth_request_t *req;
    struct hearth_error err;

    if (hearth__flow_begin(&req, w->service, w->loop, &warm_adapter, NULL,
                           &head, true) != HEARTH_OK) {
        hearth_fail(&err, HEARTH_ENOMEM, "no memory for the warm-up");
        hearth__service_answered(w->service, &err);
    }
    hearth__service_unref(w->service);
    hearth_free(w);
}

apr_status_t hearth_flow_warm(hearth_service_t *service)
{
    struct warm_up *w = hearth_calloc(1, sizeof(*w));

    if (w == NULL)
        return HEARTH_ENOMEM;
    w->service = hearth__service_ref(service);
    w->loop = hearth__service_next_loop(service);
    atomic_store(&service->state, HEARTH_SERVICE_WARMING);
    hearth_loop_post(w->loop, &w->work, warm_on_loop);
    return HEARTH_OK;
}

void hearth__service_answered(hearth_service_t *service,
                              const struct hearth_error *err)
{
    hearth_engine_t *engine = service->engine;
    int state = atomic_load(&service->state);

    /* The common case touches no lock. A warm-up that fails after a request
     * succeeded proves nothing. */
    if (state == HEARTH_SERVICE_READY)
        return;
    hearth_lock_acquire(&engine->lock);
    if (err)
        service->error = *err;
    atomic_store(&service->state,
                 err ? HEARTH_SERVICE_FAILED : HEARTH_SERVICE_READY);
    hearth_cond_broadcast(&engine->changed);
    hearth_lock_release(&engine->lock);
}

/* ---- Open and close ---- */

/* Function, model and scheduler's record; what was opened stays in <service>
 * for the caller to close, also on failure. */
static int open_parts(hearth_service_t *service, struct hearth_error *err)
{
    hearth_engine_t *engine = service->engine;
    const struct hearth_function_info *info;
    hearth_store_entry_t *entry = NULL;
    int status;

    info = hearth_function_info(service->function);
    status = hearth_store_open(engine->store, info->model_path, 0, &entry, err);
    if (status != HEARTH_OK) {
        if (info->path != info->model_path) /* else the text names it */
            hearth_fail_prefix(err, "%s", info->path);
        return status;
    }
    status =
        hearth_function_bind(service->function, hearth_store_model(entry), err);
    if (status != HEARTH_OK) {
        hearth_store_unref(&entry);
        return status;
    }
    status =
        hearth__model_acquire(&service->model, engine, entry, info->name, err);
    if (status != HEARTH_OK)
        hearth_fail_prefix(err, "%s", info->model_path);
    return status;
}

static void configure(hearth_service_t *service,
                      const struct hearth_service_config *config)
{
    const struct hearth_function_info *info =
        hearth_function_info(service->function);

    service->max_in_flight = config->max_in_flight;
    service->timeout_us = config->timeout_us > 0 ? config->timeout_us : 0;
    if (info->timeout_us > 0 &&
        (service->timeout_us == 0 || info->timeout_us < service->timeout_us))
        service->timeout_us = info->timeout_us;
    service->body_bytes = info->max_body_bytes;
    if (config->body_bytes > 0)
        service->body_bytes = config->body_bytes;
}

static void enlist(hearth_service_t *service)
{
    hearth_engine_t *engine = service->engine;

    hearth_lock_acquire(&engine->lock);
    service->link = &engine->services;
    service->next = engine->services;
    if (service->next)
        service->next->link = &service->next;
    engine->services = service;
    hearth_lock_release(&engine->lock);
}

static void delist(hearth_service_t *service)
{
    if (service->link == NULL)
        return;
    hearth_lock_acquire(&service->engine->lock);
    *service->link = service->next;
    if (service->next)
        service->next->link = service->link;
    hearth_lock_release(&service->engine->lock);
}

/* Takes <function> over, also on failure. */
static int open_service(hearth_service_t **out, hearth_engine_t *engine,
                        hearth_function_t *function,
                        const struct hearth_service_config *config,
                        struct hearth_error *err)
{
    const struct hearth_function_info *info = hearth_function_info(function);
    struct hearth_service_config own;
    hearth_service_t *service;
    int status;

    hearth_service_config_init(&own);
    if (config)
        memcpy(&own, config,
               config->struct_bytes < sizeof(own) ? config->struct_bytes
                                                  : sizeof(own));
    service = hearth_calloc(1, sizeof(*service));
    if (service == NULL) {
        hearth_function_close(&function);
        return hearth_fail(err, HEARTH_ENOMEM,
                           "no memory to open a function: free some");
    }
    service->magic = HEARTH_MAGIC_SERVICE;
    service->refs = 1;
    service->holds = 1;
    service->engine = engine;
    service->function = function;
    status = open_parts(service, err);
    if (status != HEARTH_OK)
        goto fail;
    configure(service, &own);
    enlist(service);
    if (own.cold == 1 || !(own.cold ? info->warm_asked : info->warm)) {
        atomic_store(&service->state, HEARTH_SERVICE_READY);
    } else if (hearth_flow_warm(service) != HEARTH_OK) {
        status = hearth_fail(err, HEARTH_ENOMEM,
                             "no memory to open %s: free some", info->path);
        goto fail;
    }
    *out = service;
    return HEARTH_OK;

fail:
    hearth__service_unref(service);
    return status;
}

int hearth_service_open(hearth_service_t **out, hearth_engine_t *engine,
                        const char *path,
                        const struct hearth_service_config *config,
                        struct hearth_error *err)
{
    hearth_function_t *function;
    int status;

    *out = NULL;
    HEARTH_CHECK(engine, HEARTH_MAGIC_ENGINE);
    status = hearth_function_open(&function, path, err);
    return status == HEARTH_OK
               ? open_service(out, engine, function, config, err)
               : status;
}

int hearth_flow_open_confined(hearth_service_t **out, hearth_engine_t *engine,
                              const char *path, const char *name,
                              const struct hearth_service_config *config,
                              struct hearth_error *err)
{
    hearth_function_t *function;
    int status;

    *out = NULL;
    HEARTH_CHECK(engine, HEARTH_MAGIC_ENGINE);
    status = hearth_function_open_confined(&function, path, name, err);
    return status == HEARTH_OK
               ? open_service(out, engine, function, config, err)
               : status;
}

int hearth_flow_open_plain(hearth_service_t **out, hearth_engine_t *engine,
                           const struct hearth_function_plain *plain,
                           const struct hearth_service_config *config,
                           struct hearth_error *err)
{
    hearth_function_t *function;
    int status;

    *out = NULL;
    HEARTH_CHECK(engine, HEARTH_MAGIC_ENGINE);
    status = hearth_function_create(&function, plain, err);
    return status == HEARTH_OK
               ? open_service(out, engine, function, config, err)
               : status;
}

hearth_service_t *hearth__service_ref(hearth_service_t *service)
{
    atomic_fetch_add(&service->refs, 1);
    return service;
}

void hearth__service_unref(hearth_service_t *service)
{
    if (atomic_fetch_sub(&service->refs, 1) != 1)
        return;
    delist(service);
    if (service->model)
        hearth__model_release(service->model);
    hearth_function_close(&service->function);
    service->magic = 0;
    hearth_free(service);
}

hearth_service_t *hearth_flow_service_ref(hearth_service_t *service)
{
    HEARTH_CHECK(service, HEARTH_MAGIC_SERVICE);
    atomic_fetch_add(&service->holds, 1);
    return hearth__service_ref(service);
}

void hearth__service_give_place(hearth_request_t *req)
{
    if (req->counted)
        atomic_fetch_sub(&req->service->in_flight, 1);
    req->counted = false;
}

void hearth_service_close(hearth_service_t **service)
{
    if (*service == NULL)
        return;
    HEARTH_CHECK(*service, HEARTH_MAGIC_SERVICE);
    if (atomic_fetch_sub(&(*service)->holds, 1) == 1)
        atomic_store(&(*service)->closed, true);
    hearth__service_unref(*service);
    *service = NULL;
}

hearth_loop_t *hearth__service_next_loop(hearth_service_t *service)
{
    uint32_t n = atomic_fetch_add(&service->next_loop, 1);

    return service->engine->io[n % service->engine->io_count].loop;
}

/* ---- Questions ---- */

enum hearth_service_state hearth_service_state(hearth_service_t *service,
                                               struct hearth_error *err)
{
    enum hearth_service_state state;

    HEARTH_CHECK(service, HEARTH_MAGIC_SERVICE);
    state = (enum hearth_service_state)atomic_load(&service->state);
    if (state == HEARTH_SERVICE_FAILED && err) {
        hearth_lock_acquire(&service->engine->lock);
        *err = service->error;
        hearth_lock_release(&service->engine->lock);
    }
    return state;
}

int hearth_service_wait_ready(hearth_service_t *service, int64_t timeout_us,
                              struct hearth_error *err)
{
    hearth_engine_t *engine;
    int64_t until_us = INT64_MAX, left_us = -1;
    int status = HEARTH_OK;

    HEARTH_CHECK(service, HEARTH_MAGIC_SERVICE);
    engine = service->engine;
    if (timeout_us >= 0 &&
        __builtin_add_overflow(hearth_now_us(hearth_clock_real()), timeout_us,
                               &until_us))
        until_us = INT64_MAX;
    hearth_lock_acquire(&engine->lock);
    while (atomic_load(&service->state) == HEARTH_SERVICE_WARMING) {
        if (timeout_us >= 0) {
            left_us = until_us - hearth_now_us(hearth_clock_real());
            if (left_us <= 0) {
                status = HEARTH_ETIMEOUT;
                break;
            }
        }
        hearth_cond_wait(&engine->changed, &engine->lock, left_us);
    }
    if (atomic_load(&service->state) == HEARTH_SERVICE_FAILED) {
        status = service->error.status;
        if (err)
            *err = service->error;
    }
    hearth_lock_release(&engine->lock);
    if (status == HEARTH_ETIMEOUT && err)
        hearth_fail(err, status,
                    "%s has not answered yet: wait longer, or look at the log",
                    hearth_service_name(service));
    return status;
}

uint32_t hearth_service_in_flight(hearth_service_t *service)
{
    HEARTH_CHECK(service, HEARTH_MAGIC_SERVICE);
    return atomic_load(&service->in_flight);
}

const char *hearth_service_name(hearth_service_t *service)
{
    HEARTH_CHECK(service, HEARTH_MAGIC_SERVICE);
    return hearth_function_info(service->function)->name;
}
