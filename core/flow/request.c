/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.c: a request's beginning and end, its id, and what may end it early:
 * the client, the deadline, the engine's own end.
 */
#include "flow/flow_priv.h"

#include <stdatomic.h>
#include <string.h>

/* Printable ASCII only: the id goes into headers and logs. */
static bool usable_id(const char *id)
{
    size_t len = 0;

    if (id == NULL)
        return false;
    for (; id[len] != '\0'; len++)
        if (len + 1 >= HEARTH__ID_BYTES || id[len] <= ' ' || id[len] > '~')
            return false;
    return len > 0;
}

void hearth__flow_account(hearth_request_t *req, int64_t now)
{
    req->step_us[req->step] += now - req->step_began_us;
    req->passed |= 1u << req->step;
}

static void make_id(char id[HEARTH__ID_BYTES])
{
    static _Atomic uint64_t counter;
    uint64_t n = atomic_fetch_add(&counter, 1);
    uint64_t start = (uint64_t)hearth_now_us(hearth_clock_real());

    /* The hash is seeded once a process, so that two processes differ. */
    snprintf(id, HEARTH__ID_BYTES, "%016llx",
             (unsigned long long)hearth_hash64(&n, sizeof(n), start));
}

static char *copy_text(const char *text, apr_status_t *rv)
{
    char *copy = text ? hearth_strdup(text) : NULL;

    if (text && copy == NULL)
        *rv = HEARTH_ENOMEM;
    return copy;
}

static void deadline_passed(struct hearth_loop_timer *timer)
{
    hearth_request_t *req = HEARTH_CONTAINER(timer, hearth_request_t, deadline);

    hearth__flow_stop(req, HEARTH_ETIMEOUT);
}

/* The shorter of what the service allows and the head asks for. */
static void set_deadline(hearth_request_t *req, int64_t asked_us,
                         int64_t allowed_us)
{
    int64_t timeout_us = allowed_us;

    req->deadline_us = INT64_MAX;
    if (asked_us > 0 && (timeout_us <= 0 || asked_us < timeout_us))
        timeout_us = asked_us;
    if (timeout_us <= 0)
        return;
    if (__builtin_add_overflow(req->began_us, timeout_us, &req->deadline_us))
        return;
    hearth_loop_timer_start(req->loop, &req->deadline, timeout_us, 0,
                            deadline_passed);
}

void hearth__flow_shorten(hearth_request_t *req, int64_t timeout_us)
{
    int64_t at_us;

    if (timeout_us <= 0 ||
        __builtin_add_overflow(req->began_us, timeout_us, &at_us) ||
        at_us >= req->deadline_us)
        return;
    req->deadline_us = at_us;
    hearth_loop_timer_start(req->loop, &req->deadline,
                            at_us - hearth_now_us(req->clock), 0,
                            deadline_passed);
}

/* Into the lists of those that may have to be ended early. */
static void enter(hearth_request_t *req, hearth_service_t *service)
{
    hearth_engine_t *engine = service->engine;
    struct hearth__io *io = hearth__io_of(engine, req->loop);

    req->service = hearth__service_ref(service);
    req->link = &io->requests;
    req->next = io->requests;
    if (req->next)
        req->next->link = &req->next;
    io->requests = req;
    hearth_lock_acquire(&engine->lock);
    engine->requests++;
    hearth_lock_release(&engine->lock);
}

apr_status_t hearth__flow_begin(hearth_request_t **out,
                                hearth_service_t *service, hearth_loop_t *loop,
                                const struct hearth_flow_adapter *adapter,
                                void *ctx, const struct hearth_flow_head *head,
                                bool warming)
{
    hearth_request_t *req = hearth_calloc(1, sizeof(*req));
    apr_status_t rv = HEARTH_OK;

    *out = NULL;
    if (req == NULL)
        return HEARTH_ENOMEM;
    req->magic = HEARTH_MAGIC_REQUEST;
    req->step = HEARTH_STEP_RECV_HEAD;
    req->table = hearth__flow_table;
    req->clock = hearth_loop_clock(loop);
    req->loop = loop;
    req->adapter = adapter;
    req->adapter_ctx = ctx;
    req->announced_bytes = head->body_bytes;
    req->oip_json_bytes = head->oip_json_bytes;
    req->context.as_oip = head->as_oip;
    req->job.tenant = head->tenant;
    req->content_type = copy_text(head->content_type, &rv);
    if (rv != HEARTH_OK) {
        hearth_free(req->content_type);
        hearth_free(req);
        return rv;
    }
    if (usable_id(head->request_id))
        memcpy(req->id, head->request_id, strlen(head->request_id) + 1);
    else
        make_id(req->id);
    req->began_us = hearth_now_us(req->clock);
    req->warming = warming;
    enter(req, service);
    /* The first load takes as long as it takes. */
    set_deadline(req, head->timeout_us, warming ? 0 : service->timeout_us);
    *out = req;
    hearth__flow_run(req);
    return HEARTH_OK;
}

apr_status_t hearth_flow_begin(hearth_request_t **req,
                               hearth_service_t *service, hearth_loop_t *loop,
                               const struct hearth_flow_adapter *adapter,
                               void *ctx, const struct hearth_flow_head *head)
{
    return hearth__flow_begin(req, service, loop, adapter, ctx, head, false);
}

/* ---- The end. ---- */

/* Inputs may be slices of the body, and the body the caller's own memory. */
void hearth__flow_drop_inputs(hearth_request_t *req)
{
    hearth_tensor_list_clear(&req->inputs);
    hearth_buffer_unref(req->body);
    req->body = NULL;
}

/* NONE: after the last step. */
enum hearth_step hearth__step_end(hearth_request_t *req)
{
    hearth_engine_t *engine = req->service->engine;

    hearth__meter_request(req);
    hearth_loop_timer_stop(&req->deadline);
    hearth__flow_drop_inputs(req);
    hearth_tensor_list_clear(&req->outputs);
    hearth_function_context_clear(&req->context);
    hearth_buffer_unref(req->answer_buffer);
    hearth_free(req->content_type);
    *req->link = req->next;
    if (req->next)
        req->next->link = req->link;
    req->magic = 0;
    hearth__service_give_place(req);
    hearth__service_unref(req->service);
    hearth_free(req);
    hearth_lock_acquire(&engine->lock);
    engine->requests--;
    hearth_cond_broadcast(&engine->changed);
    hearth_lock_release(&engine->lock);
    return HEARTH_STEP_NONE;
}

void hearth_flow_sent(hearth_request_t *req)
{
    HEARTH_CHECK(req, HEARTH_MAGIC_REQUEST);
    HEARTH_ASSERT(req->step == HEARTH_STEP_SEND);
    req->adapter = NULL;
    hearth__flow_run(req);
}

void hearth_flow_leave(hearth_request_t *req)
{
    HEARTH_CHECK(req, HEARTH_MAGIC_REQUEST);
    req->adapter = NULL;
    /* At once: what waits is cancelled, and a run that goes on to its end keeps
     * nobody out. */
    hearth__service_give_place(req);
    hearth__flow_stop(req, HEARTH_ECANCELED);
}

void hearth_flow_cancel(hearth_request_t *req)
{
    HEARTH_CHECK(req, HEARTH_MAGIC_REQUEST);
    hearth__flow_stop(req, HEARTH_ECANCELED);
}

const char *hearth_flow_request_id(const hearth_request_t *req)
{
    return req->id;
}

enum hearth_step hearth_flow_step(const hearth_request_t *req)
{
    return req->step;
}

hearth_buffer_t *hearth_flow_answer_buffer(const hearth_request_t *req)
{
    return req->answer_buffer;
}
