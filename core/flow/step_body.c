/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step_body.c: RECV_BODY and DECODE. The adapter delivers, this keeps. A body
 * of a known length takes one buffer; one of unknown length (chunked, as all
 * that comes through OpenFaaS' gateway) doubles, so that it is copied less than
 * twice. What a head merely claims is believed up to 1 MiB: bytes that never
 * come shall not keep others out. Every buffer is charged to the engine's
 * budget for requests before it is taken.
 */
#include "flow/flow_priv.h"

#include <string.h>

#define FIRST_BYTES 16384u
#define BELIEVED_BYTES (1u << 20)

enum hearth_step hearth__step_recv_body(hearth_request_t *req)
{
    if (req->warming)
        return HEARTH_STEP_DECODE;
    if (req->adapter == NULL)
        return HEARTH__STEP_PARK; /* left: stop is set */
    req->adapter->accept(req->adapter_ctx, req, req->body_limit);
    return HEARTH__STEP_PARK;
}

enum hearth_step hearth__step_recv_body_resume(hearth_request_t *req)
{
    if (req->stop != HEARTH_OK || req->status != HEARTH_OK)
        return HEARTH_STEP_FAIL;
    return req->body_whole ? HEARTH_STEP_DECODE : HEARTH__STEP_PARK;
}

/* Is the request still in want of a body? After a failure, pieces that are
 * under way are dropped. */
static bool wants_body(const hearth_request_t *req)
{
    HEARTH_CHECK(req, HEARTH_MAGIC_REQUEST);
    HEARTH_LOOP_ASSERT_OWNER(req->loop);
    return req->step == HEARTH_STEP_RECV_BODY && !req->body_whole &&
           req->status == HEARTH_OK && req->stop == HEARTH_OK;
}

static void refuse(hearth_request_t *req, int status)
{
    req->status = status;
    hearth__flow_run(req);
}

/* Makes room for <need> bytes in all; what is there is kept. */
static apr_status_t grow(hearth_request_t *req, uint64_t need)
{
    uint64_t have = req->body ? hearth_buffer_bytes(req->body) : 0;
    uint64_t known =
        req->announced_bytes > 0 ? (uint64_t)req->announced_bytes : UINT64_MAX;
    uint64_t want = have;
    hearth_buffer_t *larger;
    apr_status_t rv;

    if (need <= have)
        return HEARTH_OK;
    if (want == 0)
        want = known == UINT64_MAX ? FIRST_BYTES : BELIEVED_BYTES;
    while (want < need) /* need <= body_limit: far from overflow */
        want *= 2;
    if (want > known && known >= need)
        want = known;
    if (want > req->body_limit)
        want = req->body_limit;
    rv = hearth_buffer_create(want, &req->service->engine->request_budget,
                              &larger);
    if (rv != HEARTH_OK)
        return rv;
    if (req->body_bytes > 0)
        memcpy(hearth_buffer_data(larger), hearth_buffer_data(req->body),
               req->body_bytes);
    hearth_buffer_unref(req->body);
    req->body = larger;
    return HEARTH_OK;
}

void hearth_flow_body(hearth_request_t *req, const void *data, size_t bytes)
{
    apr_status_t rv;

    if (!wants_body(req) || bytes == 0)
        return;
    if (bytes > req->body_limit - req->body_bytes) {
        hearth_fail(&req->err, HEARTH_ETOOBIG, HEARTH__TOO_BIG,
                    (unsigned long long)req->body_limit);
        refuse(req, HEARTH_ETOOBIG);
        return;
    }
    rv = grow(req, req->body_bytes + bytes);
    if (rv != HEARTH_OK) {
        hearth_fail(&req->err, HEARTH_ENOMEM,
                    "no memory for the body now: try again later");
        refuse(req, HEARTH_ENOMEM);
        return;
    }
    memcpy((char *)hearth_buffer_data(req->body) + req->body_bytes, data,
           bytes);
    req->body_bytes += bytes;
}

void hearth_flow_body_borrow(hearth_request_t *req, const void *data,
                             uint64_t bytes)
{
    if (!wants_body(req))
        return;
    HEARTH_ASSERT(req->body == NULL);
    if (bytes > req->body_limit) {
        hearth_fail(&req->err, HEARTH_ETOOBIG, HEARTH__TOO_BIG,
                    (unsigned long long)req->body_limit);
        refuse(req, HEARTH_ETOOBIG);
        return;
    }
    /* The last reference is dropped before send, and only read until then. */
    if (hearth_buffer_wrap((void *)(uintptr_t)data, bytes, NULL, NULL,
                           &req->body) != HEARTH_OK) {
        hearth_fail(&req->err, HEARTH_ENOMEM,
                    "no memory for the body now: try again later");
        refuse(req, HEARTH_ENOMEM);
        return;
    }
    req->body_bytes = bytes;
}

void hearth_flow_body_end(hearth_request_t *req)
{
    if (!wants_body(req))
        return;
    req->body_whole = true;
    hearth__flow_run(req);
}

/* ---- DECODE ---- */

enum hearth_step hearth__step_decode(hearth_request_t *req)
{
    const hearth_function_t *function = req->service->function;
    struct hearth_budget *budget = &req->service->engine->request_budget;

    if (req->warming)
        req->status =
            hearth_function_zeros(function, budget, &req->inputs, &req->err);
    else if (req->body == NULL &&
             hearth_buffer_create(0, NULL, &req->body) != HEARTH_OK)
        req->status = hearth_fail(&req->err, HEARTH_ENOMEM,
                                  "no memory for the request now: try again "
                                  "later");
    else
        req->status =
            hearth_function_decode(function, req->content_type, req->body,
                                   req->body_bytes, req->oip_json_bytes, budget,
                                   &req->context, &req->inputs, &req->err);
    if (req->status != HEARTH_OK)
        return HEARTH_STEP_FAIL;
    hearth__flow_shorten(req, req->context.oip.timeout_us);
    return HEARTH_STEP_QUEUE;
}
