/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step_job.c: QUEUE, RESIDE, RUN: the scheduler holds the request's job. It
 * moves by messages: to_sched hands it over, back_work brings it back, and
 * loading_work tells on the way that a load began for it (RESIDE). The start of
 * a run is not told, for it would cost each request one wake-up more: RUN is
 * entered when the run is over, and its time is the device's own.
 *
 * A cancel travels to the scheduler and back, and a request that is cancelled
 * waits for both messages, for either may come first; so none of the structs
 * inside the request is in a queue when it is freed.
 */
#include "flow/flow_priv.h"

/* ---- On the request's loop. ---- */

static void loading(struct hearth_loop_work *work)
{
    hearth_request_t *req =
        HEARTH_CONTAINER(work, hearth_request_t, loading_work);

    req->loading = true;
    hearth__flow_run(req);
}

static void back(struct hearth_loop_work *work)
{
    hearth_request_t *req = HEARTH_CONTAINER(work, hearth_request_t, back_work);

    req->job_back = true;
    hearth__flow_run(req);
}

static void cancel_back(struct hearth_loop_work *work)
{
    hearth_request_t *req =
        HEARTH_CONTAINER(work, hearth_request_t, cancel_back_work);

    req->cancel_out = false;
    hearth__flow_run(req);
}

/* ---- On the scheduler's thread. ---- */

static void notify(struct hearth_job *job)
{
    hearth_request_t *req = HEARTH_CONTAINER(job, hearth_request_t, job);

    if (job->stage == HEARTH_JOB_LOADING) {
        hearth_loop_post(req->loop, &req->loading_work, loading);
    } else if (job->stage == HEARTH_JOB_DONE) {
        req->job_live = false;
        hearth_loop_post(req->loop, &req->back_work, back);
    }
}

static void submit(struct hearth_loop_work *work)
{
    hearth_request_t *req = HEARTH_CONTAINER(work, hearth_request_t, to_sched);

    req->job_live = true;
    hearth_sched_submit(req->service->engine->sched, &req->job);
}

static void cancel(struct hearth_loop_work *work)
{
    hearth_request_t *req =
        HEARTH_CONTAINER(work, hearth_request_t, cancel_to_sched);

    if (req->job_live)
        hearth_sched_cancel(req->service->engine->sched, &req->job,
                            req->cancel_status);
    hearth_loop_post(req->loop, &req->cancel_back_work, cancel_back);
}

/* ---- The steps. ---- */

void hearth__step_job_cancel(hearth_request_t *req)
{
    req->cancel_out = true;
    req->cancel_status = req->stop;
    hearth_loop_post(req->service->engine->sched_loop, &req->cancel_to_sched,
                     cancel);
}

static enum hearth_step fail(hearth_request_t *req)
{
    req->status = req->job.status;
    req->err = req->job.error;
    req->retry_after_s = req->job.retry_after_s;
    return HEARTH_STEP_FAIL;
}

static bool is_back(const hearth_request_t *req)
{
    return req->job_back && !req->cancel_out;
}

enum hearth_step hearth__step_queue(hearth_request_t *req)
{
    struct hearth_job *job = &req->job;

    job->model = req->service->model->sched;
    job->inputs = &req->inputs;
    job->outputs = &req->outputs;
    job->budget = &req->service->engine->request_budget;
    job->deadline_us = req->deadline_us;
    job->notify = notify;
    hearth_loop_post(req->service->engine->sched_loop, &req->to_sched, submit);
    return HEARTH__STEP_PARK;
}

enum hearth_step hearth__step_queue_resume(hearth_request_t *req)
{
    if (is_back(req))
        return req->job.status == HEARTH_OK || req->job.load_us > 0 ||
                       req->job.run_us > 0
                   ? HEARTH_STEP_RESIDE
                   : fail(req);
    return req->loading && !req->cancel_out ? HEARTH_STEP_RESIDE
                                            : HEARTH__STEP_PARK;
}

enum hearth_step hearth__step_reside(hearth_request_t *req)
{
    return hearth__step_reside_resume(req);
}

enum hearth_step hearth__step_reside_resume(hearth_request_t *req)
{
    if (!is_back(req))
        return HEARTH__STEP_PARK;
    return req->job.status == HEARTH_OK || req->job.run_us > 0 ? HEARTH_STEP_RUN
                                                               : fail(req);
}

enum hearth_step hearth__step_run(hearth_request_t *req)
{
    return req->job.status == HEARTH_OK ? HEARTH_STEP_ENCODE : fail(req);
}
