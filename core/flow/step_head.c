/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step_head.c: RECV_HEAD, RESOLVE, ADMIT: everything that can be decided before
 * a byte of the body is read, so that a refusal costs nothing.
 */
#include "flow/flow_priv.h"

static enum hearth_step refuse(hearth_request_t *req)
{
    req->status = req->err.status;
    return HEARTH_STEP_FAIL;
}

enum hearth_step hearth__step_recv_head(hearth_request_t *req)
{
    if (atomic_load(&req->service->engine->closing)) {
        hearth_fail(&req->err, HEARTH_ECLOSING,
                    "shutting down: ask another instance");
        return refuse(req);
    }
    return HEARTH_STEP_RESOLVE;
}

/* Which function, and may it have such a body? */
enum hearth_step hearth__step_resolve(hearth_request_t *req)
{
    hearth_service_t *service = req->service;

    req->body_limit = service->body_bytes;
    if (atomic_load(&service->closed) && !req->warming) {
        hearth_fail(&req->err, HEARTH_ENOENT, "the function was closed");
        return refuse(req);
    }
    if (req->announced_bytes > 0 &&
        (uint64_t)req->announced_bytes > req->body_limit) {
        hearth_fail(&req->err, HEARTH_ETOOBIG, HEARTH__TOO_BIG,
                    (unsigned long long)req->body_limit);
        return refuse(req);
    }
    return HEARTH_STEP_ADMIT;
}

static bool has_memory(const hearth_request_t *req)
{
    const struct hearth_budget *budget = &req->service->engine->request_budget;
    uint64_t used = hearth_budget_used(budget);

    return req->announced_bytes <= 0 ||
           (used <= budget->limit_bytes &&
            (uint64_t)req->announced_bytes <= budget->limit_bytes - used);
}

/* Is there a place, and memory for what was announced? Whether a device takes
 * it is decided in QUEUE, by those who know the devices. */
enum hearth_step hearth__step_admit(hearth_request_t *req)
{
    hearth_service_t *service = req->service;
    uint32_t before;

    if (req->warming)
        return HEARTH_STEP_RECV_BODY;
    before = atomic_fetch_add(&service->in_flight, 1);
    req->counted = true;
    if (service->max_in_flight > 0 && before >= service->max_in_flight) {
        /* of-watchdog's words: people search their logs for them. */
        hearth_fail(&req->err, HEARTH_EBUSY,
                    "Concurrent request limit exceeded. Max concurrent "
                    "requests: %u",
                    service->max_in_flight);
        req->retry_after_s = 1;
        hearth__service_give_place(req);
        return refuse(req);
    }
    if (!has_memory(req)) {
        hearth_fail(&req->err, HEARTH_ENOMEM,
                    "no memory for the body now: try again later");
        return refuse(req);
    }
    return HEARTH_STEP_RECV_BODY;
}
