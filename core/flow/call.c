/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.c: hearth.h's calls: an adapter of the flow whose body is memory and
 * whose answer is a callback. A call is two references: the caller's handle and
 * the request's. All of its work happens on one I/O loop, to which starting and
 * cancelling are posted.
 */
#include "flow/flow_priv.h"

#include <stdatomic.h>
#include <string.h>

struct hearth_call {
    uint32_t magic;
    _Atomic uint32_t refs;
    _Atomic bool cancelled;
    hearth_loop_t *loop;
    struct hearth_loop_work start, cancel;
    _Atomic bool cancel_posted;
    hearth_service_t *service;
    hearth_request_t *req; /* the loop's; NULL before and after */
    struct hearth_call_spec spec;
    char *texts[2]; /* what <spec> points to */
};

static void call_ref(hearth_call_t *call)
{
    atomic_fetch_add(&call->refs, 1);
}

static void call_unref(hearth_call_t *call)
{
    if (atomic_fetch_sub(&call->refs, 1) != 1)
        return;
    for (size_t i = 0; i < sizeof(call->texts) / sizeof(*call->texts); i++)
        hearth_free(call->texts[i]);
    hearth__service_unref(call->service);
    call->magic = 0;
    hearth_free(call);
}

/* ---- On the loop. ---- */

static void on_accept(void *ctx, hearth_request_t *req, uint64_t limit_bytes)
{
    hearth_call_t *call = ctx;

    (void)limit_bytes; /* the flow checks it */
    hearth_flow_body_borrow(req, call->spec.body, call->spec.body_bytes);
    hearth_flow_body_end(req);
}

static void on_send(void *ctx, hearth_request_t *req,
                    const struct hearth_answer *answer)
{
    hearth_call_t *call = ctx;

    call->req = NULL;
    call->spec.done(call->spec.ctx, answer);
    hearth_flow_sent(req);
    call_unref(call);
}

static const struct hearth_flow_adapter adapter = {on_accept, on_send};

static void start_on_loop(struct hearth_loop_work *work)
{
    hearth_call_t *call = HEARTH_CONTAINER(work, hearth_call_t, start);
    struct hearth_flow_head head = {
        .content_type = call->spec.content_type,
        .request_id = call->spec.request_id,
        .body_bytes = (int64_t)call->spec.body_bytes,
        .oip_json_bytes = call->spec.oip_json_bytes,
        .timeout_us = call->spec.timeout_us,
    };

    call_ref(call); /* this function's: on_send may drop the request's */
    if (hearth_flow_begin(&call->req, call->service, call->loop, &adapter, call,
                          &head) != HEARTH_OK) {
        static const char text[] = "no memory for the request now\n";
        struct hearth_answer answer = {
            .struct_bytes = sizeof(answer),
            .status = HEARTH_ENOMEM,
            .http_status = hearth_status_http(HEARTH_ENOMEM),
            .request_id = call->spec.request_id ? call->spec.request_id : "",
            .content_type = "text/plain",
            .body = text,
            .body_bytes = sizeof(text) - 1,
        };

        call->spec.done(call->spec.ctx, &answer);
        call_unref(call);
    } else if (atomic_load(&call->cancelled) && call->req) {
        hearth_flow_cancel(call->req);
    }
    call_unref(call);
}

static void cancel_on_loop(struct hearth_loop_work *work)
{
    hearth_call_t *call = HEARTH_CONTAINER(work, hearth_call_t, cancel);

    if (call->req)
        hearth_flow_cancel(call->req);
    call_unref(call);
}

/* ---- The interface. ---- */

void hearth_call_spec_init(struct hearth_call_spec *spec)
{
    *spec = (struct hearth_call_spec){.struct_bytes = sizeof(*spec)};
}

static bool copy_text(const char **text, char **copy)
{
    if (*text == NULL)
        return true;
    *copy = hearth_strdup(*text);
    *text = *copy;
    return *copy != NULL;
}

int hearth_call_start(hearth_call_t **out, hearth_service_t *service,
                      const struct hearth_call_spec *spec)
{
    hearth_call_t *call;
    size_t known = sizeof(call->spec);

    if (out)
        *out = NULL;
    /* What stands behind <done> may be missing in an older caller. */
    if (service == NULL || spec == NULL ||
        spec->struct_bytes <
            offsetof(struct hearth_call_spec, done) + sizeof(spec->done) ||
        spec->done == NULL || (spec->body == NULL && spec->body_bytes > 0) ||
        spec->body_bytes > INT64_MAX)
        return HEARTH_EINVAL;
    call = hearth_calloc(1, sizeof(*call));
    if (call == NULL)
        return HEARTH_ENOMEM;
    call->magic = HEARTH_MAGIC_CALL;
    call->refs = 1;
    memcpy(&call->spec, spec,
           spec->struct_bytes < known ? spec->struct_bytes : known);
    call->service = hearth__service_ref(service);
    call->loop = hearth__service_next_loop(service);
    if (!copy_text(&call->spec.content_type, &call->texts[0]) ||
        !copy_text(&call->spec.request_id, &call->texts[1])) {
        call_unref(call);
        return HEARTH_ENOMEM;
    }
    if (out) {
        call_ref(call);
        *out = call;
    }
    hearth_loop_post(call->loop, &call->start, start_on_loop);
    return HEARTH_OK;
}

void hearth_call_cancel(hearth_call_t *call)
{
    HEARTH_CHECK(call, HEARTH_MAGIC_CALL);
    atomic_store(&call->cancelled, true);
    if (atomic_exchange(&call->cancel_posted, true))
        return;
    call_ref(call);
    hearth_loop_post(call->loop, &call->cancel, cancel_on_loop);
}

void hearth_call_release(hearth_call_t **call)
{
    if (*call == NULL)
        return;
    HEARTH_CHECK(*call, HEARTH_MAGIC_CALL);
    call_unref(*call);
    *call = NULL;
}

/* ---- hearth_infer ---- */

struct waiter {
    struct hearth_lock lock;
    struct hearth_cond cond;
    bool over;
    int status;
    struct hearth_answer *answer;
};

static const void *put(char **at, const void *data, uint64_t bytes)
{
    void *start = *at;

    memcpy(start, data, bytes);
    *at += bytes;
    return start;
}

/* One allocation: the struct, the texts, the body. NULL: out of memory. */
static struct hearth_answer *copy_answer(const struct hearth_answer *from)
{
    size_t id = strlen(from->request_id) + 1;
    size_t type = strlen(from->content_type) + 1;
    size_t bytes = sizeof(*from) + id + type;
    struct hearth_answer *to;
    char *at;

    if (__builtin_add_overflow(bytes, from->body_bytes, &bytes) ||
        (to = hearth_malloc(bytes)) == NULL)
        return NULL;
    at = (char *)(to + 1);
    *to = *from;
    if (from->body_bytes > 0)
        to->body = put(&at, from->body, from->body_bytes);
    to->request_id = put(&at, from->request_id, id);
    to->content_type = put(&at, from->content_type, type);
    return to;
}

static void infer_done(void *ctx, const struct hearth_answer *answer)
{
    struct waiter *waiter = ctx;
    struct hearth_answer *copy = copy_answer(answer);

    hearth_lock_acquire(&waiter->lock);
    waiter->answer = copy;
    waiter->status = copy ? answer->status : HEARTH_ENOMEM;
    waiter->over = true;
    hearth_cond_signal(&waiter->cond);
    hearth_lock_release(&waiter->lock);
}

int hearth_infer(hearth_service_t *service, const struct hearth_call_spec *spec,
                 struct hearth_answer **answer)
{
    struct waiter waiter = {.over = false};
    struct hearth_call_spec own;
    int status;

    *answer = NULL;
    if (spec == NULL ||
        spec->struct_bytes < offsetof(struct hearth_call_spec, done))
        return HEARTH_EINVAL;
    hearth_call_spec_init(&own);
    memcpy(&own, spec,
           spec->struct_bytes < sizeof(own) ? spec->struct_bytes : sizeof(own));
    own.struct_bytes = sizeof(own);
    own.ctx = &waiter;
    own.done = infer_done;
    hearth_lock_init(&waiter.lock, "infer", HEARTH_LOCK_WAIT);
    hearth_cond_init(&waiter.cond);
    status = hearth_call_start(NULL, service, &own);
    if (status == HEARTH_OK) {
        hearth_lock_acquire(&waiter.lock);
        while (!waiter.over)
            hearth_cond_wait(&waiter.cond, &waiter.lock, -1);
        hearth_lock_release(&waiter.lock);
        status = waiter.status;
        *answer = waiter.answer;
    }
    hearth_cond_fini(&waiter.cond);
    hearth_lock_fini(&waiter.lock);
    return status;
}

void hearth_answer_free(struct hearth_answer **answer)
{
    hearth_free(*answer);
    *answer = NULL;
}
