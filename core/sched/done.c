/* SPDX-License-Identifier: Apache-2.0 */
/*
 * done.c: what came of a task. The one place where a failure's class becomes a
 * decision: no memory is answered by unloading what is not in use and one more
 * try; a lost device by quarantine and another device, once; anything else is
 * the request's or the model's own.
 */
#include "sched/sched_priv.h"

/* Weighs the newest by a quarter, and believes the first whole. */
static void learn(int64_t *average, int64_t value)
{
    value = value > 0 ? value : 1;
    *average = *average == 0 ? value : (*average * 3 + value) / 4;
}

static void tell(hearth_sched_t *s, const char *what, uint32_t device,
                 const hearth_sched_model_t *m, const struct hearth_error *err)
{
    if (s->config.tell != NULL)
        s->config.tell(s->config.tell_ctx, what, s->devices[device].config.name,
                       m != NULL ? hearth_cache_model_name(m->cached) : NULL,
                       err);
}

/* Nothing more goes to the device; what is on it is given back. */
static void lose_device(hearth_sched_t *s, uint32_t device,
                        const struct hearth_error *err)
{
    struct hearth__sched_device *d = &s->devices[device];
    if (d->lost)
        return;
    d->lost = true;
    d->load_for = NULL;
    tell(s, "device lost", device, NULL, err);
    hearth__sched_make_way(s, device, NULL);
    for (hearth_sched_model_t *m = s->models; m != NULL; m = m->next)
        if (!hearth__sched_has_home(m))
            hearth__sched_fail_waiting(s, m, HEARTH_EDEVICE, err);
}

/* ---- LOAD, UNLOAD ---- */

static void load_failed(hearth_sched_t *s, struct hearth__sched_slot *slot,
                        const struct hearth_exec_task *task)
{
    hearth_sched_model_t *m = slot->model;
    enum hearth_class class = hearth_status_class(task->status);
    bool again = class == HEARTH_CLASS_AGAIN && !slot->retried;
    bool remember = task->status != HEARTH_ECANCELED && !again &&
                    class != HEARTH_CLASS_DEVICE_LOST;
    hearth_cache_load_fail(s->cache, slot->entry, task->status, &task->error,
                           remember);
    slot->retried = again;
    if (class == HEARTH_CLASS_DEVICE_LOST) {
        lose_device(s, task->device, &task->error);
        return;
    }
    if (again) {
        hearth__sched_make_way(s, task->device, m);
        return;
    }
    if (!remember)
        return;
    if (s->devices[task->device].retry != NULL &&
        s->devices[task->device].retry->model == m)
        s->devices[task->device].retry = NULL;
    tell(s, "load failed", task->device, m, &task->error);
    /* Wait on for another device, if one has it or may still try. */
    for (uint32_t i = 0; i < s->device_count; i++) {
        enum hearth_cache_state state = m->slots[i].entry->state;
        if (i != task->device && !s->devices[i].lost &&
            m->slots[i].fit.status == HEARTH_OK && state != HEARTH_CACHE_FAILED)
            return;
    }
    hearth__sched_fail_waiting(s, m, task->status, &task->error);
}

static void load_done(hearth_sched_t *s, struct hearth__sched_slot *slot,
                      struct hearth_exec_task *task)
{
    hearth_sched_model_t *m = slot->model;
    s->devices[task->device].loading = false;
    s->report.loading--;
    if (task->status != HEARTH_OK) {
        load_failed(s, slot, task);
        return;
    }
    slot->retried = false;
    hearth__sched_set_fresh(slot, true);
    /* What the footprint says and the load has not taken is for the first
     * run's plan: nobody else may have it meanwhile. The run corrects it. */
    hearth_cache_load_end(s->cache, slot->entry, task->handle,
                          task->model_bytes, slot->fit.model_bytes);
    learn(&m->load_us[task->tier], task->ended_us - task->began_us);
    if (s->devices[task->device].lost || m->removing) {
        hearth__sched_set_fresh(slot, false);
        hearth_cache_unpin(s->cache, slot->entry);
        hearth__sched_unload(s, slot);
    }
}

static void unload_done(hearth_sched_t *s, struct hearth__sched_slot *slot)
{
    struct hearth__sched_device *d = &s->devices[slot->entry->device];
    hearth_cache_unload_end(s->cache, slot->entry);
    if (--d->unloads == 0)
        d->short_of_memory = false;
}

/* ---- ARENA ---- */

static void arena_done(hearth_sched_t *s, struct hearth__sched_device *d,
                       struct hearth_exec_task *task)
{
    d->arena_out = false;
    if (task->status == HEARTH_OK) {
        d->arena_retried = false;
        return;
    }
    hearth_cache_set_arena(s->cache, task->device, 0); /* the old one is gone */
    if (hearth_status_class(task->status) == HEARTH_CLASS_DEVICE_LOST) {
        lose_device(s, task->device, &task->error);
        return;
    }
    if (!d->arena_retried) {
        d->arena_retried = true;
        hearth__sched_make_way(s, task->device, NULL);
        return;
    }
    d->arena_retried = false;
    /* Whoever is next would ask for it again: the oldest pays. */
    for (struct hearth_job *job = s->first; job != NULL; job = job->next)
        if (job->model->slots[task->device].entry->state ==
            HEARTH_CACHE_RESIDENT) {
            hearth__sched_unwait(s, job);
            hearth__sched_finish(s, job, task->status, &task->error);
            return;
        }
}

/* ---- RUN ---- */

/* Once more, from the queue; false when it had its chance. */
static bool requeue(hearth_sched_t *s, struct hearth_job *job)
{
    if (job->tries > 0 || job->cancelled || s->closed || job->model->removing ||
        !hearth__sched_has_home(job->model))
        return false;
    job->tries++;
    hearth__sched_wait(s, job);
    hearth__sched_stage(job, HEARTH_JOB_QUEUED);
    return true;
}

static void run_done(hearth_sched_t *s, struct hearth_job *job,
                     struct hearth_exec_task *task)
{
    hearth_sched_model_t *m = job->model;
    struct hearth__sched_device *d = &s->devices[task->device];
    struct hearth_cache_entry *entry = m->slots[task->device].entry;
    enum hearth_class class = hearth_status_class(task->status);
    d->running = false;
    s->report.running--;
    if (task->model_bytes > 0) {
        struct hearth_sched_fit *fit = &m->slots[task->device].fit;
        hearth_cache_adjust(s->cache, entry, task->model_bytes);
        /* Plans belong to a model too: the next load wants room for them. */
        if (task->model_bytes > fit->model_bytes)
            fit->model_bytes = task->model_bytes;
    }
    hearth_cache_unpin(s->cache, entry);
    if (task->status == HEARTH_OK)
        learn(&m->run_us, task->ended_us - task->began_us);
    if (class == HEARTH_CLASS_DEVICE_LOST)
        lose_device(s, task->device, &task->error);
    if (d->lost && entry->state == HEARTH_CACHE_RESIDENT && entry->pins == 0)
        hearth__sched_unload(s, &m->slots[task->device]);
    if (job->cancelled) {
        hearth_tensor_list_clear(job->outputs);
        hearth__sched_finish(s, job, job->cancel_status, NULL);
        return;
    }
    if (task->status == HEARTH_EAGAIN && task->need_arena_bytes > 0 &&
        !s->closed && !m->removing) {
        hearth__sched_wait(s, job); /* not a failure: no try is used up */
        return;
    }
    if (class == HEARTH_CLASS_DEVICE_LOST && requeue(s, job))
        return;
    if (task->status == HEARTH_ENOMEM && job->tries == 0) {
        hearth__sched_make_way(s, task->device, m);
        d->retry = job;
        job->skips = HEARTH_POLICY_SKIPS; /* others wait for it: no model is
                                             spared */
        if (requeue(s, job))
            return;
    }
    hearth__sched_finish(s, job, task->status, &task->error);
}

void hearth_sched_task_done(struct hearth_exec_task *task)
{
    hearth_sched_model_t *m = NULL;
    if (task->kind == HEARTH_EXEC_RUN)
        m = ((struct hearth_job *)task->owner)->model;
    else if (task->kind != HEARTH_EXEC_ARENA)
        m = ((struct hearth__sched_slot *)task->owner)->model;
    hearth_sched_t *s =
        m != NULL ? m->sched
                  : ((struct hearth__sched_device *)task->owner)->sched;
    HEARTH_CHECK(s, HEARTH_MAGIC_SCHED);
    if (m != NULL)
        m->tasks--;
    s->tasks--;
    switch (task->kind) {
    case HEARTH_EXEC_LOAD:
        load_done(s, task->owner, task);
        break;
    case HEARTH_EXEC_UNLOAD:
        unload_done(s, task->owner);
        break;
    case HEARTH_EXEC_ARENA:
        arena_done(s, task->owner, task);
        break;
    case HEARTH_EXEC_RUN:
        run_done(s, task->owner, task);
        break;
    }
    hearth__sched_pump(s);
}
