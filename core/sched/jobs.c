/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jobs.c: jobs that wait: their two lists (all, and those of a model, both by
 * age), deadlines, cancelling, and the end of a job.
 */
#include "sched/sched_priv.h"

#define RETRY_AFTER_MAX_S 60

int64_t hearth__sched_now(const hearth_sched_t *s)
{
    return hearth_now_us(s->config.clock);
}

/* ---- The lists ---- */

/* By age: a job that comes back takes its old place, mostly the first. */
static void list_all(hearth_sched_t *s, struct hearth_job *job)
{
    struct hearth_job *before = s->last;
    while (before != NULL && before->submitted_us > job->submitted_us)
        before = before->prev;
    job->prev = before;
    job->next = before != NULL ? before->next : s->first;
    *(job->next != NULL ? &job->next->prev : &s->last) = job;
    *(before != NULL ? &before->next : &s->first) = job;
}

static void list_model(hearth_sched_model_t *m, struct hearth_job *job)
{
    struct hearth_job *before = m->last;
    while (before != NULL && before->submitted_us > job->submitted_us)
        before = before->model_prev;
    job->model_prev = before;
    job->model_next = before != NULL ? before->model_next : m->first;
    *(job->model_next != NULL ? &job->model_next->model_prev : &m->last) = job;
    *(before != NULL ? &before->model_next : &m->first) = job;
}

void hearth__sched_wait(hearth_sched_t *s, struct hearth_job *job)
{
    HEARTH_ASSERT(!job->waiting);
    job->waiting = true;
    list_all(s, job);
    list_model(job->model, job);
    job->model->queued++;
    s->report.waiting++;
    if (job->deadline_us < s->next_deadline_us) {
        s->next_deadline_us = job->deadline_us;
        s->config.arm(s->config.arm_ctx, job->deadline_us);
    }
}

void hearth__sched_unwait(hearth_sched_t *s, struct hearth_job *job)
{
    hearth_sched_model_t *m = job->model;
    HEARTH_ASSERT(job->waiting);
    job->waiting = false;
    *(job->prev != NULL ? &job->prev->next : &s->first) = job->next;
    *(job->next != NULL ? &job->next->prev : &s->last) = job->prev;
    *(job->model_prev != NULL ? &job->model_prev->model_next : &m->first) =
        job->model_next;
    *(job->model_next != NULL ? &job->model_next->model_prev : &m->last) =
        job->model_prev;
    m->queued--;
    s->report.waiting--;
}

/* ---- Stages and the end ---- */

/* The time since the last change goes to the stage that it was spent in. */
void hearth__sched_stage(struct hearth_job *job, enum hearth_job_stage stage)
{
    int64_t now = hearth__sched_now(job->model->sched);
    int64_t spent = now - job->stage_us;
    if (job->stage == stage)
        return;
    if (job->stage == HEARTH_JOB_QUEUED)
        job->queue_us += spent;
    else if (job->stage == HEARTH_JOB_LOADING)
        job->load_us += spent;
    else if (job->stage == HEARTH_JOB_RUNNING)
        job->run_us += spent;
    job->stage_us = now;
    job->stage = stage;
    job->notify(job);
}

static void count_end(struct hearth_sched_report *report, int status)
{
    if (status == HEARTH_OK)
        report->completed++;
    else if (status == HEARTH_ECANCELED)
        report->cancelled++;
    else if (status == HEARTH_ETIMEOUT)
        report->timed_out++;
    else if (status == HEARTH_EBUSY || status == HEARTH_ELOADFAILED)
        report->refused++;
    else
        report->failed++;
}

void hearth__sched_finish(hearth_sched_t *s, struct hearth_job *job, int status,
                          const struct hearth_error *err)
{
    HEARTH_ASSERT(!job->waiting && job->stage != HEARTH_JOB_DONE);
    for (uint32_t i = 0; i < s->device_count; i++)
        if (s->devices[i].retry == job)
            s->devices[i].retry = NULL;
    job->status = status;
    if (err != NULL && err->text[0] != '\0')
        job->error = *err;
    else if (status != HEARTH_OK)
        hearth_fail(&job->error, status, "%s", hearth_status_text(status));
    job->error.status = status;
    if (job->retry_after_s == 0 &&
        hearth_status_class(status) == HEARTH_CLASS_AGAIN &&
        status != HEARTH_ETIMEOUT)
        job->retry_after_s = 1;
    count_end(&s->report, status);
    hearth__sched_stage(job, HEARTH_JOB_DONE);
}

void hearth__sched_fail_waiting(hearth_sched_t *s, hearth_sched_model_t *model,
                                int status, const struct hearth_error *err)
{
    struct hearth_job *job;
    while ((job = model != NULL ? model->first : s->first) != NULL) {
        hearth__sched_unwait(s, job);
        hearth__sched_finish(s, job, status, err);
    }
}

/* ---- Submit, cancel, deadlines ---- */

/* When a place may be free: what waits, over what runs at a time. */
static uint32_t retry_after_s(const hearth_sched_t *s,
                              const hearth_sched_model_t *model)
{
    int64_t run_us = model->run_us > 0 ? model->run_us : 10000;
    int64_t us = run_us * s->report.waiting / s->device_count;
    int64_t seconds = us / 1000000 + 1;
    return (uint32_t)(seconds < RETRY_AFTER_MAX_S ? seconds
                                                  : RETRY_AFTER_MAX_S);
}

/* The failed load that keeps the model from every device; NULL: none does. */
static const struct hearth_cache_entry *
remembered_failure(const hearth_sched_model_t *m, int64_t now)
{
    const struct hearth_cache_entry *failure = NULL;
    for (uint32_t i = 0; i < m->sched->device_count; i++) {
        const struct hearth_cache_entry *e = m->slots[i].entry;
        if (m->sched->devices[i].lost || m->slots[i].fit.status != HEARTH_OK)
            continue;
        if (e->state != HEARTH_CACHE_FAILED || e->retry_us <= now)
            return NULL;
        if (failure == NULL || e->retry_us < failure->retry_us)
            failure = e;
    }
    return failure;
}

static int admit(hearth_sched_t *s, struct hearth_job *job)
{
    hearth_sched_model_t *m = job->model;
    int64_t now = hearth__sched_now(s);
    if (s->closed || m->removing)
        return HEARTH_ECLOSING;
    if (job->deadline_us <= now)
        return HEARTH_ETIMEOUT;
    if (s->report.waiting >= s->config.max_waiting) {
        job->retry_after_s = retry_after_s(s, m);
        return HEARTH_EBUSY;
    }
    if (!hearth__sched_has_home(m))
        return hearth_fail(&job->error, HEARTH_EDEVICE,
                           "every device that could run the model is lost; "
                           "restart the service");
    const struct hearth_cache_entry *failure = remembered_failure(m, now);
    if (failure == NULL)
        return HEARTH_OK;
    job->retry_after_s = (uint32_t)((failure->retry_us - now) / 1000000 + 1);
    return hearth_fail(&job->error, HEARTH_ELOADFAILED,
                       "the model's last load failed: %.180s",
                       failure->error.text);
}

void hearth_sched_submit(hearth_sched_t *s, struct hearth_job *job)
{
    HEARTH_CHECK(s, HEARTH_MAGIC_SCHED);
    HEARTH_CHECK(job->model, HEARTH_MAGIC_SCHED_MODEL);
    job->stage = HEARTH_JOB_NONE;
    job->status = HEARTH_OK;
    job->error = (struct hearth_error){0};
    job->retry_after_s = 0;
    job->queue_us = job->load_us = job->run_us = 0;
    job->submitted_us = job->stage_us = hearth__sched_now(s);
    job->skips = job->tries = 0;
    job->task = (struct hearth_exec_task){0};
    job->waiting = job->cancelled = false;
    s->report.submitted++;
    int status = admit(s, job);
    if (status != HEARTH_OK) {
        struct hearth_error error = job->error;
        hearth__sched_finish(s, job, status, &error);
        return;
    }
    hearth__sched_wait(s, job);
    hearth__sched_stage(job, HEARTH_JOB_QUEUED);
    hearth__sched_pump(s);
}

void hearth_sched_cancel(hearth_sched_t *s, struct hearth_job *job, int status)
{
    HEARTH_CHECK(s, HEARTH_MAGIC_SCHED);
    HEARTH_ASSERT(job->stage != HEARTH_JOB_DONE);
    if (!job->waiting) {
        job->cancelled = true;
        job->cancel_status = status;
        return;
    }
    hearth__sched_unwait(s, job);
    hearth__sched_finish(s, job, status, NULL);
    hearth__sched_pump(s);
}

void hearth_sched_timer(hearth_sched_t *s)
{
    HEARTH_CHECK(s, HEARTH_MAGIC_SCHED);
    int64_t now = hearth__sched_now(s);
    s->next_deadline_us = INT64_MAX;
    for (struct hearth_job *job = s->first, *next; job != NULL; job = next) {
        next = job->next;
        if (job->deadline_us <= now) {
            struct hearth_error err;
            hearth_fail(&err, HEARTH_ETIMEOUT,
                        "the deadline passed while the request %s; allow more "
                        "time or send fewer at once",
                        job->stage == HEARTH_JOB_LOADING
                            ? "waited for its model to load"
                            : "waited for a device");
            hearth__sched_unwait(s, job);
            hearth__sched_finish(s, job, HEARTH_ETIMEOUT, &err);
        } else if (job->deadline_us < s->next_deadline_us) {
            s->next_deadline_us = job->deadline_us;
        }
    }
    s->config.arm(s->config.arm_ctx, s->next_deadline_us);
    hearth__sched_pump(s);
}
