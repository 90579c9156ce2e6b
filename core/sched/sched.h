/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sched.h: decides what is loaded, evicted and run, where and when. A passive
 * object: events go in by function calls, work comes out through the executor
 * that it was given, time is a clock and one timer. So a test or a replay runs
 * it on one thread without sleeping, and the engine runs it on a loop.
 *
 * One thread, except where a function says otherwise. Invariant: a job that was
 * submitted ends with exactly one stage DONE.
 */
#ifndef HEARTH_SCHED_SCHED_H
#define HEARTH_SCHED_SCHED_H

#include "cache/cache.h"
#include "exec/exec.h"
#include "policy/policy.h"

typedef struct hearth_sched hearth_sched_t;
typedef struct hearth_sched_model hearth_sched_model_t;

struct hearth_sched_device {
    const char *name; /* borrowed, outlives the scheduler */
    uint64_t limit_bytes, overhead_bytes;
    bool load_beside_run;
    bool host_memory; /* its memory is the host's: no copies beside it */
};
struct hearth_sched_config {
    const struct hearth_clock *clock;
    const struct hearth_sched_device *devices; /* copied */
    uint32_t device_count;
    const struct hearth_policy *policy; /* NULL: built in; outlives it */
    uint32_t max_waiting; /* jobs without a device; more: EBUSY. 0: 4096 */
    /* hearth_exec_submit, or a test's. Not called back from inside. */
    void (*submit)(void *exec, struct hearth_exec_task *task);
    void *exec;
    hearth_host_tier_t *host; /* for copies of weights; NULL: none are kept */
    /* Wants hearth_sched_timer at that time of the clock, instead of what was
     * asked before; INT64_MAX: not at all. */
    void (*arm)(void *ctx, int64_t at_us);
    void *arm_ctx;
    /* A device was lost, or a load failed; NULL: nobody is told. */
    void (*tell)(void *ctx, const char *what, const char *device,
                 const char *model, const struct hearth_error *err);
    void *tell_ctx;
};
/* HEARTH_ENOMEM, HEARTH_ENOSPACE. */
apr_status_t hearth_sched_create(hearth_sched_t **sched,
                                 const struct hearth_sched_config *config);
/* Ends every waiting job with HEARTH_ECLOSING, and takes no more. Jobs that run
 * end by themselves. */
void hearth_sched_close(hearth_sched_t *sched);
/* True when no task is out. */
bool hearth_sched_idle(const hearth_sched_t *sched);
/* After close, idle, and the removal of every model. NULLs the pointer. */
void hearth_sched_destroy(hearth_sched_t **sched);

/* ---- Models ---- */

struct hearth_sched_fit { /* of a model on a device */
    int status;           /* HEARTH_OK, or why it can never run there */
    struct hearth_error error;
    uint64_t model_bytes, load_bytes, arena_bytes; /* as its footprint */
};
struct hearth_sched_model_config {
    const char *name;                 /* copied; shown in reports and metrics */
    const struct hearth_graph *graph; /* until removed */
    const struct hearth_weights *weights; /* until removed */
    hearth_model_t *model; /* whose these are, until removed; NULL: unknown */
    const struct hearth_sched_fit *fits;  /* one a device; copied */
};
/* HEARTH_ENOMEM; HEARTH_ENOSPACE or a device's status when it fits no device,
 * with every device's reason. */
int hearth_sched_model_add(hearth_sched_t *sched,
                           const struct hearth_sched_model_config *config,
                           hearth_sched_model_t **model,
                           struct hearth_error *err);
/* Waiting jobs end with HEARTH_ECLOSING; when it is nowhere any more, <removed>
 * is called (maybe from inside) and the model is gone. */
void hearth_sched_model_remove(hearth_sched_t *sched,
                               hearth_sched_model_t *model,
                               void (*removed)(void *ctx), void *ctx);
/* Loads it on the best device if it is nowhere, without a job, for <tenant>. */
void hearth_sched_model_load(hearth_sched_t *sched, hearth_sched_model_t *model,
                             uint32_t tenant);
/* A pinned model is loaded, for nobody, and evicted for nobody, but with its
 * device. */
void hearth_sched_model_pin(hearth_sched_t *sched, hearth_sched_model_t *model,
                            bool pinned);
/* Unloads it where it is not in use, pinned or not. Jobs that wait load it
 * again. */
void hearth_sched_model_unload(hearth_sched_t *sched,
                               hearth_sched_model_t *model);

/* ---- Tenants ---- */

/* What a tenant may be charged for on all devices together; 0: any. A load that
 * would pass it makes room among the tenant's own models, or waits for that; a
 * job whose model is larger ends with HEARTH_ENOSPACE. */
void hearth_sched_tenant_quota(hearth_sched_t *sched, uint32_t tenant,
                               uint64_t bytes);

/* ---- Jobs ---- */

enum hearth_job_stage {
    HEARTH_JOB_NONE = 0,
    HEARTH_JOB_QUEUED,  /* waits for a device */
    HEARTH_JOB_LOADING, /* its model is being loaded for it */
    HEARTH_JOB_RUNNING,
    HEARTH_JOB_DONE
};

/* The submitter's memory; the scheduler's from submit to DONE. */
struct hearth_job {
    /* Set by the submitter. */
    hearth_sched_model_t *model;
    const struct hearth_tensor_list *inputs; /* stay in place until DONE */
    struct hearth_tensor_list *outputs;      /* filled on success */
    struct hearth_budget *budget;            /* of the outputs; may be NULL */
    int64_t deadline_us;                     /* INT64_MAX: none */
    uint32_t tenant; /* that a load for it is charged to; 0: nobody */
    /* Each change of <stage>, on the scheduler's thread, from inside any
     * function here; DONE is the last, and <job> may be freed in it. It may not
     * call the scheduler. */
    void (*notify)(struct hearth_job *job);

    /* For reading in notify. */
    enum hearth_job_stage stage;
    int status; /* with DONE */
    struct hearth_error error;
    uint32_t retry_after_s; /* 0: no idea */
    int64_t queue_us, load_us, run_us;

    /* The scheduler's. */
    struct hearth_job *next, *prev; /* all waiting, oldest first */
    struct hearth_job *model_next, *model_prev;
    struct hearth_exec_task task;
    int64_t submitted_us, stage_us;
    uint32_t skips, device, tries;
    bool waiting, cancelled, pinned;
    int cancel_status;
};

/* Always ends with DONE: HEARTH_EBUSY when too many wait, HEARTH_ELOADFAILED
 * while a failed load is remembered, HEARTH_ETIMEOUT when its deadline passes
 * before it runs, HEARTH_ECLOSING, or what load and run gave. */
void hearth_sched_submit(hearth_sched_t *sched, struct hearth_job *job);
/* A waiting job ends now with <status>; a running one when its run is over,
 * with <status> too. Not after DONE. */
void hearth_sched_cancel(hearth_sched_t *sched, struct hearth_job *job,
                         int status);

/* ---- Events ---- */
/* Every task's <done> is this one; task->owner finds the scheduler. */
void hearth_sched_task_done(struct hearth_exec_task *task);
void hearth_sched_timer(hearth_sched_t *sched);

/* ---- Report ---- */
struct hearth_sched_report {
    uint32_t waiting, running, loading;
    uint64_t submitted, completed, failed, cancelled, timed_out, refused;
    uint64_t hits, misses; /* runs whose model was there; had to be loaded */
    struct hearth_policy_stats policy;
};
void hearth_sched_report(const hearth_sched_t *sched,
                         struct hearth_sched_report *report);
hearth_cache_t *hearth_sched_cache(hearth_sched_t *sched);
bool hearth_sched_device_lost(const hearth_sched_t *sched, uint32_t device);
struct hearth_sched_model_report {
    const char *name;
    bool pinned;
    uint32_t queued;
    int64_t load_us, host_load_us, run_us; /* learned; 0: not known */
    bool in_host;                          /* a copy of its weights is */
    uint32_t device_count;
    const struct hearth_cache_entry *entries[HEARTH_DEVICES_MAX];
    const struct hearth_sched_fit *fits[HEARTH_DEVICES_MAX];
};
void hearth_sched_model_report(const hearth_sched_model_t *model,
                               struct hearth_sched_model_report *report);
/* Calls <fn> for each model. */
void hearth_sched_models(const hearth_sched_t *sched,
                         void (*fn)(void *ctx,
                                    const struct hearth_sched_model_report *r),
                         void *ctx);

#endif
