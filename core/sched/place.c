/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place.c: the pump: what can be started now? It looks at the oldest waiting
 * job of each model, oldest first, asks the policy where it may go, and starts
 * a run, a load, or the unloads and the arena that must come before.
 *
 * A younger job whose model is resident may overtake an older one whose model
 * is not (the paper's out-of-order dispatch); each time counts as a skip. The
 * room of a model that others wait for is not taken, until the older one was
 * skipped HEARTH_POLICY_SKIPS times: then its device starts nothing else, and
 * any model that does not run may go. So nobody waits for ever, and models do
 * not push each other out at every request.
 */
#include "sched/sched_priv.h"

void hearth__sched_send(hearth_sched_t *s, hearth_sched_model_t *model,
                        struct hearth_exec_task *task,
                        enum hearth_exec_kind kind, uint32_t device,
                        void *owner)
{
    task->kind = kind;
    task->device = device;
    task->owner = owner;
    task->done = hearth_sched_task_done;
    if (model != NULL) {
        task->graph = model->graph;
        model->tasks++;
    }
    s->tasks++;
    s->config.submit(s->config.exec, task);
}

void hearth__sched_unload(hearth_sched_t *s, struct hearth__sched_slot *slot)
{
    slot->task.handle = slot->entry->handle;
    hearth_cache_unload_begin(s->cache, slot->entry);
    s->devices[slot->entry->device].unloads++;
    hearth__sched_send(s, slot->model, &slot->task, HEARTH_EXEC_UNLOAD,
                       slot->entry->device, slot);
}

void hearth__sched_make_way(hearth_sched_t *s, uint32_t device,
                            const hearth_sched_model_t *spare)
{
    for (hearth_sched_model_t *m = s->models; m != NULL; m = m->next) {
        struct hearth__sched_slot *slot = &m->slots[device];
        if (m != spare && slot->entry->state == HEARTH_CACHE_RESIDENT &&
            slot->entry->pins == 0 &&
            (!hearth_cache_model_pinned(m->cached) || s->devices[device].lost))
            hearth__sched_unload(s, slot);
    }
    s->devices[device].short_of_memory = s->devices[device].unloads > 0;
}

bool hearth__sched_has_home(const hearth_sched_model_t *model)
{
    for (uint32_t i = 0; i < model->sched->device_count; i++)
        if (!model->sched->devices[i].lost &&
            model->slots[i].fit.status == HEARTH_OK)
            return true;
    return false;
}

/* ---- Room ---- */

static hearth_sched_model_t *model_of(const struct hearth_cache_entry *entry)
{
    return hearth_cache_model_owner(entry->model);
}

struct spare {
    const hearth_sched_model_t *model; /* itself */
    bool starving;
};

static bool is_spared(void *ctx, const struct hearth_cache_entry *entry)
{
    const struct spare *spare = ctx;
    const hearth_sched_model_t *m = model_of(entry);
    return m == spare->model || (m->queued > 0 && !spare->starving);
}

void hearth__sched_set_fresh(struct hearth__sched_slot *slot, bool fresh)
{
    if (slot->fresh != fresh)
        slot->model->sched->fresh_count += fresh ? 1 : (uint32_t)-1;
    slot->fresh = fresh;
}

/* All but <spare>'s; false: there was none. */
static bool drop_fresh(hearth_sched_t *s, uint32_t device,
                       const hearth_sched_model_t *spare)
{
    bool any = false;
    for (hearth_sched_model_t *m = s->fresh_count > 0 ? s->models : NULL;
         m != NULL; m = m->next)
        if (m != spare && m->slots[device].fresh) {
            hearth__sched_set_fresh(&m->slots[device], false);
            hearth_cache_unpin(s->cache, m->slots[device].entry);
            any = true;
        }
    return any;
}

/* True: there is room. False: it is being made, or must be waited for; *never
 * when it cannot be. */
static bool make_room(hearth_sched_t *s, uint32_t device, uint64_t bytes,
                      hearth_sched_model_t *model, bool starving, bool *never)
{
    struct hearth_cache_entry *victims[HEARTH_POLICY_CANDIDATES];
    struct spare spare = {model, starving};
    uint32_t count;
    int rc = hearth_cache_room(s->cache, device, bytes, model->cached,
                               is_spared, &spare, victims, &count);
    /* Models that were loaded there for jobs keep their room until these have
     * run; but these may be waiting for this very room. */
    if (rc == HEARTH_EAGAIN && count == 0 && starving &&
        !s->devices[device].running && s->devices[device].unloads == 0 &&
        drop_fresh(s, device, model))
        rc = hearth_cache_room(s->cache, device, bytes, model->cached,
                               is_spared, &spare, victims, &count);
    *never = rc == HEARTH_ENOSPACE;
    for (uint32_t i = 0; i < count; i++)
        hearth__sched_unload(s, &model_of(victims[i])->slots[device]);
    return rc == HEARTH_OK;
}

/* True: the tenant may be charged with so much more. False: its own models make
 * room, or must be waited for; *never when they cannot. */
static bool make_quota(hearth_sched_t *s, uint32_t tenant, uint64_t bytes,
                       hearth_sched_model_t *model, bool starving, bool *never)
{
    struct hearth_cache_entry *victims[HEARTH_POLICY_CANDIDATES];
    struct spare spare = {model, starving};
    uint32_t count;
    int rc = hearth_cache_quota(s->cache, tenant, bytes, is_spared, &spare,
                                victims, &count);
    *never = rc == HEARTH_ENOSPACE;
    for (uint32_t i = 0; i < count; i++)
        hearth__sched_unload(s,
                             &model_of(victims[i])->slots[victims[i]->device]);
    return rc == HEARTH_OK;
}

/* ---- The arena ---- */

static void send_arena(hearth_sched_t *s, struct hearth__sched_device *d,
                       uint64_t bytes)
{
    d->arena_out = true;
    d->arena_task.arena_bytes = bytes;
    hearth__sched_send(s, NULL, &d->arena_task, HEARTH_EXEC_ARENA,
                       (uint32_t)(d - s->devices), d);
}

/* What became of a job that the pump looked at. */
enum outcome { KEPT, STARTED, ENDED };

/* STARTED: the arena is large enough. KEPT: it is being enlarged, or room for
 * it must be waited for. Nothing runs on the device. */
static enum outcome arena_ready(hearth_sched_t *s, struct hearth_job *job,
                                uint32_t device)
{
    struct hearth__sched_device *d = &s->devices[device];
    hearth_sched_model_t *m = job->model;
    uint64_t have = hearth_cache_arena(s->cache, device);
    uint64_t need = m->slots[device].fit.arena_bytes;
    bool never;
    if (job->task.need_arena_bytes > need)
        need = job->task.need_arena_bytes;
    if (need <= have)
        return STARTED;
    if (make_room(s, device, need - have, m, job->skips >= HEARTH_POLICY_SKIPS,
                  &never)) {
        hearth_cache_set_arena(s->cache, device, need);
        send_arena(s, d, need);
    } else if (never) {
        struct hearth_error err;
        char text[32];
        hearth_fail(&err, HEARTH_ENOSPACE,
                    "activations of these shapes need %s, more than device %s "
                    "has; send smaller inputs",
                    hearth_format_bytes(need, text, sizeof text),
                    d->config.name);
        hearth__sched_unwait(s, job);
        hearth__sched_finish(s, job, HEARTH_ENOSPACE, &err);
        return ENDED;
    }
    return KEPT;
}

/* ---- Loads ---- */

/* No device keeps a place for the model any more. */
static void forget_place(hearth_sched_t *s, const hearth_sched_model_t *m)
{
    for (uint32_t i = 0; i < s->device_count; i++)
        if (s->devices[i].load_for == m)
            s->devices[i].load_for = NULL;
}

/* False: the tenant may never have so much. */
static bool start_load(hearth_sched_t *s, hearth_sched_model_t *m,
                       uint32_t device, uint32_t tenant, bool starving)
{
    struct hearth__sched_device *d = &s->devices[device];
    struct hearth__sched_slot *slot = &m->slots[device];
    uint64_t take = slot->fit.model_bytes + slot->fit.load_bytes;
    uint64_t arena = hearth_cache_arena(s->cache, device);
    uint64_t grow =
        slot->fit.arena_bytes > arena ? slot->fit.arena_bytes - arena : 0;
    bool never;
    if (!make_quota(s, tenant, take, m, starving, &never))
        return !never;
    d->load_for = m;
    if (!make_room(s, device, take + grow, m, starving, &never)) {
        /* It fits (model_add checked it) but for the arena, which another
         * model's shapes have grown: that goes first. */
        if (never && !d->running && !d->arena_out && arena > 0) {
            hearth_cache_set_arena(s->cache, device, 0);
            send_arena(s, d, 0);
        }
        if (starving || never)
            d->reserved = true;
        return true;
    }
    forget_place(s, m);
    d->loading = true;
    hearth__sched_set_wanted(m, false);
    hearth_cache_load_begin(s->cache, slot->entry, tenant, take);
    slot->task = (struct hearth_exec_task){
        .weights = m->weights, .host = &m->host, .model = m->model};
    hearth__sched_send(s, m, &slot->task, HEARTH_EXEC_LOAD, device, slot);
    s->report.loading++;
    return true;
}

/* ---- Runs ---- */

static void start_run(hearth_sched_t *s, struct hearth_job *job,
                      uint32_t device)
{
    struct hearth__sched_device *d = &s->devices[device];
    struct hearth__sched_slot *slot = &job->model->slots[device];
    hearth__sched_unwait(s, job);
    forget_place(s, job->model);
    hearth_cache_use(s->cache, slot->entry);
    if (slot->fresh) {
        hearth__sched_set_fresh(slot, false);
        hearth_cache_unpin(s->cache, slot->entry);
        s->report.misses++;
    } else {
        s->report.hits++;
    }
    d->running = true;
    d->finish_us = hearth__sched_now(s) + job->model->run_us;
    job->device = device;
    job->task.handle = slot->entry->handle;
    job->task.inputs = job->inputs;
    job->task.outputs = job->outputs;
    job->task.budget = job->budget;
    job->task.deadline_us = job->deadline_us;
    s->report.running++;
    hearth__sched_stage(job, HEARTH_JOB_RUNNING);
    hearth__sched_send(s, job->model, &job->task, HEARTH_EXEC_RUN, device, job);
}

/* ---- The policy's view ---- */

/* Is there room for it beside what the operator has pinned? */
static bool fits_beside_pinned(const hearth_sched_t *s,
                               const hearth_sched_model_t *m, uint32_t device)
{
    const struct hearth__sched_slot *slot = &m->slots[device];
    struct hearth_cache_device_report r;
    if (s->pinned_count == 0 || slot->fit.status != HEARTH_OK)
        return true;
    hearth_cache_device_report(s->cache, device, &r);
    uint64_t rest = r.limit_bytes - r.overhead_bytes;
    uint64_t need =
        slot->fit.model_bytes + slot->fit.load_bytes + slot->fit.arena_bytes;
    return r.pinned_bytes <= rest && need <= rest - r.pinned_bytes;
}

static bool fits_nowhere(const hearth_sched_t *s, const hearth_sched_model_t *m)
{
    if (s->pinned_count == 0 || hearth_cache_holders(m->cached) > 0)
        return false;
    for (uint32_t i = 0; i < s->device_count; i++)
        if (!s->devices[i].lost && m->slots[i].fit.status == HEARTH_OK &&
            (m->slots[i].entry->state == HEARTH_CACHE_LOADING ||
             fits_beside_pinned(s, m, i)))
            return false;
    return true;
}

/* Unless learned: a GiB a second from a disk, ten from host memory. */
int64_t hearth__sched_load_us(const hearth_sched_model_t *m, uint32_t device)
{
    uint64_t bytes = m->slots[device].fit.model_bytes;
    int64_t disk = m->load_us[HEARTH_TIER_DISK];
    int64_t host = m->load_us[HEARTH_TIER_HOST];
    disk = disk > 0 ? disk : (int64_t)(bytes >> 10) + 1000;
    if (m->sched->devices[device].config.host_memory ||
        !__atomic_load_n(&m->host.here, __ATOMIC_ACQUIRE))
        return disk;
    host = host > 0 ? host : (int64_t)(bytes >> 10) / 10 + 1000;
    return host < disk ? host : disk;
}

static struct hearth_policy_device device_view(const hearth_sched_t *s,
                                               const struct hearth_job *job,
                                               const hearth_sched_model_t *m,
                                               uint32_t i, int64_t now)
{
    const struct hearth__sched_device *d = &s->devices[i];
    const struct hearth__sched_slot *slot = &m->slots[i];
    const struct hearth_cache_entry *e = slot->entry;
    struct hearth_policy_device v = {.id = i};
    bool absent = e->state == HEARTH_CACHE_ABSENT ||
                  (e->state == HEARTH_CACHE_FAILED && e->retry_us <= now);
    bool blocked = d->running || d->arena_out || d->lost || d->reserved ||
                   d->short_of_memory ||
                   (d->retry != NULL && d->retry != job) ||
                   (d->loading && !d->config.load_beside_run);
    v.idle = !blocked;
    v.holds = e->state == HEARTH_CACHE_RESIDENT && !d->lost;
    v.loading = e->state == HEARTH_CACHE_LOADING && !d->lost;
    v.can_load = absent && !d->lost && !d->loading && !d->short_of_memory &&
                 (d->retry == NULL || d->retry == job) &&
                 slot->fit.status == HEARTH_OK && fits_beside_pinned(s, m, i) &&
                 (d->load_for == NULL || d->load_for == m ||
                  (job != NULL && d->retry == job));
    /* Two jobs that have a device each to themselves must not wait for each
     * other's. */
    if (d->retry != NULL && d->retry != job)
        v.finish_us = INT64_MAX;
    else
        v.finish_us = d->running && d->finish_us > now ? d->finish_us - now
                      : blocked                        ? 1
                                                       : 0;
    v.load_us = hearth__sched_load_us(m, i);
    v.free_bytes = hearth_cache_free_bytes(s->cache, i);
    v.evictable_bytes = hearth_cache_evictable_bytes(s->cache, i);
    return v;
}

static int place(hearth_sched_t *s, const struct hearth_job *job,
                 hearth_sched_model_t *m)
{
    int64_t now = hearth__sched_now(s);
    struct hearth_policy_place c = {
        .request = {.model = hearth_cache_model_name(m->cached),
                    .deadline_us = INT64_MAX},
        .model = {.bytes = m->graph != NULL ? m->graph->weight_bytes : 0,
                  .run_us = m->run_us,
                  .holders = hearth_cache_holders(m->cached),
                  .queued = m->queued},
        .devices = s->snapshot,
        .device_count = s->device_count,
    };
    if (job != NULL) {
        c.request.waited_us = now - job->submitted_us;
        c.request.skips = job->skips;
        if (job->deadline_us != INT64_MAX)
            c.request.deadline_us = job->deadline_us - now;
    }
    for (uint32_t i = 0; i < s->device_count; i++)
        s->snapshot[i] = device_view(s, job, m, i, now);
    return hearth_policy_place(s->policy, &c, &s->report.policy);
}

/* ---- The pump ---- */

static bool is_loading(const hearth_sched_model_t *m)
{
    for (uint32_t i = 0; i < m->sched->device_count; i++)
        if (m->slots[i].entry->state == HEARTH_CACHE_LOADING ||
            m->sched->devices[i].load_for == m)
            return true;
    return false;
}

/* The model alone is more than its tenant may have. */
static void refuse_quota(hearth_sched_t *s, struct hearth_job *job,
                         uint32_t device)
{
    const struct hearth_sched_fit *fit = &job->model->slots[device].fit;
    struct hearth_cache_tenant_report tenant;
    struct hearth_error err;
    char need[32], quota[32];
    hearth_cache_tenant_report(s->cache, job->tenant, &tenant);
    hearth_fail(&err, HEARTH_ENOSPACE,
                "the model needs %s on device %s, and this tenant may have %s; "
                "ask the operator for more",
                hearth_format_bytes(fit->model_bytes + fit->load_bytes, need,
                                    sizeof need),
                s->devices[device].config.name,
                hearth_format_bytes(tenant.quota_bytes, quota, sizeof quota));
    hearth__sched_unwait(s, job);
    hearth__sched_finish(s, job, HEARTH_ENOSPACE, &err);
}

static enum outcome try_job(hearth_sched_t *s, struct hearth_job *job)
{
    hearth_sched_model_t *m = job->model;
    if (fits_nowhere(s, m)) {
        struct hearth_error err;
        hearth_fail(&err, HEARTH_ENOSPACE,
                    "pinned models leave no room for this one; unpin one, or "
                    "give more memory");
        hearth__sched_unwait(s, job);
        hearth__sched_finish(s, job, HEARTH_ENOSPACE, &err);
        return ENDED;
    }
    int choice = place(s, job, m);
    bool starving = job->skips >= HEARTH_POLICY_SKIPS;
    const struct hearth_policy_device *v =
        choice >= 0 ? &s->snapshot[choice] : NULL;
    if (v != NULL && v->holds) {
        enum outcome ready =
            v->idle ? arena_ready(s, job, (uint32_t)choice) : KEPT;
        if (ready == STARTED)
            start_run(s, job, (uint32_t)choice);
        return ready;
    }
    if (v != NULL && v->can_load &&
        !start_load(s, m, (uint32_t)choice, job->tenant, starving)) {
        refuse_quota(s, job, (uint32_t)choice);
        return ENDED;
    }
    if (is_loading(m))
        for (job = m->last; job != NULL && job->stage != HEARTH_JOB_LOADING;
             job = job->model_prev)
            hearth__sched_stage(job, HEARTH_JOB_LOADING);
    return KEPT;
}

/* A model that nobody waits for keeps no place and no pin of its load. */
static void release_unwanted(hearth_sched_t *s)
{
    for (uint32_t i = 0; i < s->device_count; i++) {
        struct hearth__sched_device *d = &s->devices[i];
        d->reserved = false;
        if (d->load_for != NULL && d->load_for->queued == 0 &&
            !d->load_for->wanted)
            d->load_for = NULL;
    }
    for (hearth_sched_model_t *m = s->fresh_count > 0 ? s->models : NULL;
         m != NULL; m = m->next)
        for (uint32_t i = 0; m->queued == 0 && i < s->device_count; i++)
            if (m->slots[i].fresh) {
                hearth__sched_set_fresh(&m->slots[i], false);
                hearth_cache_unpin(s->cache, m->slots[i].entry);
            }
}

/* A pinned model that was lost with its device is wanted again. */
static void want_pinned(hearth_sched_t *s)
{
    for (hearth_sched_model_t *m = s->pinned_count > 0 ? s->models : NULL;
         m != NULL; m = m->next)
        if (hearth_cache_model_pinned(m->cached) && !m->wanted && !s->closed &&
            hearth_cache_holders(m->cached) == 0 && !is_loading(m)) {
            hearth__sched_set_wanted(m, true);
            m->wanted_tenant = 0;
        }
}

static void load_wanted(hearth_sched_t *s)
{
    want_pinned(s);
    for (hearth_sched_model_t *m = s->wanted_count > 0 ? s->models : NULL;
         m != NULL; m = m->next) {
        if (!m->wanted || m->queued > 0)
            continue;
        int choice = place(s, NULL, m);
        if (choice >= 0 && s->snapshot[choice].can_load) {
            if (!start_load(s, m, (uint32_t)choice, m->wanted_tenant, false))
                hearth__sched_set_wanted(m, false);
        } else if (hearth_cache_holders(m->cached) > 0 || is_loading(m)) {
            hearth__sched_set_wanted(m, false);
        }
    }
}

/* One look at the oldest waiting job of each model, oldest first, up to the
 * first that starts or ends. False: there was none. */
static bool pump_once(hearth_sched_t *s)
{
    struct hearth_job *seen[HEARTH_POLICY_CANDIDATES];
    uint32_t count = 0;
    s->pass++;
    release_unwanted(s);
    /* First whoever a device is kept for, though he need not be the oldest. */
    for (uint32_t i = 0; i < s->device_count; i++) {
        struct hearth_job *job = s->devices[i].retry;
        if (job != NULL && job->waiting && try_job(s, job) != KEPT)
            return true;
    }
    for (struct hearth_job *job = s->first;
         job != NULL && count < HEARTH_POLICY_CANDIDATES; job = job->next) {
        if (job->model->pass == s->pass)
            continue;
        job->model->pass = s->pass;
        enum outcome outcome = try_job(s, job);
        if (outcome == STARTED)
            for (uint32_t i = 0; i < count; i++)
                seen[i]->skips++;
        if (outcome != KEPT)
            return true;
        seen[count++] = job;
    }
    return false;
}

/* Jobs may wait for a failed load to be tried again, on a device that became
 * the only one: then time is the event. */
static void arm_retry(hearth_sched_t *s)
{
    int64_t at = s->next_deadline_us;
    for (const hearth_sched_model_t *m = s->models; m != NULL; m = m->next)
        for (uint32_t i = 0; m->queued > 0 && i < s->device_count; i++) {
            const struct hearth_cache_entry *e = m->slots[i].entry;
            if (e->state == HEARTH_CACHE_FAILED && e->retry_us < at)
                at = e->retry_us;
        }
    if (at < s->next_deadline_us)
        s->config.arm(s->config.arm_ctx, at);
}

void hearth__sched_pump(hearth_sched_t *s)
{
    while (pump_once(s))
        ;
    /* Nothing is under way, so no event will come: jobs spare each other's
     * models, waiting for room. The oldest spares none. */
    if (s->tasks == 0 && s->first != NULL &&
        s->first->skips < HEARTH_POLICY_SKIPS) {
        s->first->skips = HEARTH_POLICY_SKIPS;
        while (pump_once(s))
            ;
    }
    if (s->tasks == 0 && s->first != NULL)
        arm_retry(s);
    load_wanted(s);
    for (hearth_sched_model_t *m = s->removing_count > 0 ? s->models : NULL,
                              *next;
         m != NULL; m = next) {
        next = m->next;
        hearth__sched_try_remove(s, m);
    }
}
