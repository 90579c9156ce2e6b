/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steps.c: the path of a request, as one table, and the one loop that runs it.
 *
 * A step's <enter> does its work and names the next step, or parks: then
 * exactly one completion is under way (the adapter's, the scheduler's), which
 * calls hearth__flow_run on the request's loop, and <resume> goes on. A wake
 * may be one too many, so <resume> looks whether what it waits for is there.
 *
 * What ends a request early (the client left, the deadline, the engine closes)
 * is remembered in <stop>; the loop turns to FAIL at the next step's border, so
 * that no step needs to look. A parked step is asked, by <cancel>, to come
 * back soon; one without <cancel> is just woken.
 */
#include "flow/flow_priv.h"

#define TO(step) (1u << HEARTH_STEP_##step)

const struct hearth__flow_row hearth__flow_table[HEARTH_STEP_COUNT] = {
    [HEARTH_STEP_NONE] = {"none", hearth__step_end, NULL, NULL, 0},
    [HEARTH_STEP_RECV_HEAD] = {"recv_head", hearth__step_recv_head, NULL, NULL,
                               TO(RESOLVE) | TO(FAIL)},
    [HEARTH_STEP_RESOLVE] = {"resolve", hearth__step_resolve, NULL, NULL,
                             TO(ADMIT) | TO(FAIL)},
    [HEARTH_STEP_ADMIT] = {"admit", hearth__step_admit, NULL, NULL,
                           TO(RECV_BODY) | TO(FAIL)},
    [HEARTH_STEP_RECV_BODY] = {"recv_body", hearth__step_recv_body,
                               hearth__step_recv_body_resume, NULL,
                               TO(DECODE) | TO(FAIL)},
    [HEARTH_STEP_DECODE] = {"decode", hearth__step_decode, NULL, NULL,
                            TO(QUEUE) | TO(FAIL)},
    [HEARTH_STEP_QUEUE] = {"queue", hearth__step_queue,
                           hearth__step_queue_resume, hearth__step_job_cancel,
                           TO(RESIDE) | TO(FAIL)},
    [HEARTH_STEP_RESIDE] = {"reside", hearth__step_reside,
                            hearth__step_reside_resume, hearth__step_job_cancel,
                            TO(RUN) | TO(FAIL)},
    [HEARTH_STEP_RUN] = {"run", hearth__step_run, NULL, NULL,
                         TO(ENCODE) | TO(FAIL)},
    [HEARTH_STEP_ENCODE] = {"encode", hearth__step_encode, NULL, NULL,
                            TO(SEND) | TO(FAIL)},
    [HEARTH_STEP_SEND] = {"send", hearth__step_send, hearth__step_send_resume,
                          NULL, TO(NONE)},
    [HEARTH_STEP_FAIL] = {"fail", hearth__step_fail, NULL, NULL, TO(ENCODE)},
};

const char *hearth_step_name(enum hearth_step step)
{
    return (unsigned)step < HEARTH_STEP_COUNT ? hearth__flow_table[step].name
                                              : "?";
}

bool hearth_step_allowed(enum hearth_step from, enum hearth_step to)
{
    return (unsigned)from < HEARTH_STEP_COUNT &&
           (unsigned)to < HEARTH_STEP_COUNT &&
           (hearth__flow_table[from].next >> to & 1) != 0;
}

/* Past FAIL, or already sending: an early end changes nothing any more. */
static bool is_ending(const hearth_request_t *req)
{
    return req->failed || req->step == HEARTH_STEP_SEND ||
           req->step == HEARTH_STEP_NONE;
}

void hearth__flow_run(hearth_request_t *req)
{
    HEARTH_CHECK(req, HEARTH_MAGIC_REQUEST);
    HEARTH_LOOP_ASSERT_OWNER(req->loop);
    if (req->running) {
        req->woken = true;
        return;
    }
    req->running = true;
    while (req->step != HEARTH_STEP_NONE) {
        const struct hearth__flow_row *row = &req->table[req->step];
        enum hearth_step next;

        req->woken = false;
        if (!req->entered)
            req->step_began_us = hearth_now_us(req->clock);
        next = req->entered ? row->resume(req) : row->enter(req);
        if (next == HEARTH__STEP_PARK) {
            HEARTH_ASSERT(row->resume);
            req->entered = true;
            if (req->woken)
                continue;
            req->running = false;
            return;
        }
        if (req->stop != HEARTH_OK && !is_ending(req))
            next = HEARTH_STEP_FAIL;
        HEARTH_ASSERT(row->next >> next & 1);
        if (next == HEARTH_STEP_FAIL)
            req->failed_in = req->step;
        hearth__flow_account(req, hearth_now_us(req->clock));
        req->step = next;
        req->entered = false;
    }
    req->running = false;
    req->table[HEARTH_STEP_NONE].enter(req); /* frees it */
}

void hearth__flow_stop(hearth_request_t *req, int status)
{
    HEARTH_LOOP_ASSERT_OWNER(req->loop);
    if (req->stop == HEARTH_OK && !is_ending(req)) {
        const struct hearth__flow_row *row = &req->table[req->step];

        req->stop = status;
        if (req->entered && row->cancel) {
            row->cancel(req);
            return;
        }
    }
    hearth__flow_run(req);
}
