/* SPDX-License-Identifier: Apache-2.0 */
/* sched_priv.h: between the files of core/sched. */
#ifndef HEARTH_SCHED_SCHED_PRIV_H
#define HEARTH_SCHED_SCHED_PRIV_H

#include "sched/sched.h"

#define HEARTH_MAGIC_SCHED 0x48534348u
#define HEARTH_MAGIC_SCHED_MODEL 0x4853434du

/* A model on a device: its load and its unload, one at a time. */
struct hearth__sched_slot {
    hearth_sched_model_t *model;
    struct hearth_cache_entry *entry;
    struct hearth_sched_fit fit;
    struct hearth_exec_task task;
    bool fresh;   /* loaded for a job that has not run yet: pinned once */
    bool retried; /* a load that met no memory was tried again */
};

struct hearth_sched_model {
    uint32_t magic;
    hearth_sched_t *sched;
    hearth_cache_model_t *cached;
    const struct hearth_graph *graph;
    const struct hearth_weights *weights;
    hearth_model_t *model; /* or NULL */
    hearth_sched_model_t *next, *prev;
    struct hearth_job *first, *last; /* waiting, oldest first */
    uint32_t queued;                 /* of them */
    uint32_t tasks;                  /* out: loads, unloads, runs */
    uint64_t pass;                   /* was looked at in this one */
    bool wanted;                     /* to be loaded, without a job */
    uint32_t wanted_tenant;
    int64_t load_us[HEARTH_TIER_COUNT], run_us; /* learned */
    struct hearth_host_copy host;
    void (*removed)(void *ctx); /* set: being removed */
    void *removed_ctx;
    bool removing;
    struct hearth__sched_slot slots[]; /* one a device */
};

struct hearth__sched_device {
    hearth_sched_t *sched;
    struct hearth_sched_device config;
    bool running, loading;    /* a task is out */
    bool lost, reserved;      /* <reserved>: in this pass, for an older job */
    uint32_t unloads;         /* tasks that are out */
    bool short_of_memory;     /* nothing new begins until <unloads> is 0 */
    struct hearth_job *retry; /* met no memory, and has the device alone now */
    int64_t finish_us;        /* of what runs, as learned */
    hearth_sched_model_t *load_for; /* room is being made for it */
    struct hearth_exec_task arena_task;
    bool arena_out, arena_retried;
};

struct hearth_sched {
    uint32_t magic;
    struct hearth_sched_config config;
    hearth_cache_t *cache;
    const struct hearth_policy *policy;
    hearth_sched_model_t *models;
    struct hearth_job *first, *last; /* waiting, oldest first */
    struct hearth_sched_report report;
    uint32_t tasks; /* out */
    /* How many models are so: most events find none, and look at none. */
    uint32_t fresh_count, wanted_count, pinned_count, removing_count;
    uint64_t pass;
    int64_t next_deadline_us; /* no waiting job's is sooner */
    bool closed;
    struct hearth_policy_device *snapshot; /* one a device */
    uint32_t device_count;
    struct hearth__sched_device devices[];
};

/* jobs.c */
int64_t hearth__sched_now(const hearth_sched_t *s);
void hearth__sched_wait(hearth_sched_t *s, struct hearth_job *job);
void hearth__sched_unwait(hearth_sched_t *s, struct hearth_job *job);
void hearth__sched_stage(struct hearth_job *job, enum hearth_job_stage stage);
/* Ends a job that is not waiting. <err> NULL: the status's own text. */
void hearth__sched_finish(hearth_sched_t *s, struct hearth_job *job, int status,
                          const struct hearth_error *err);
/* Ends every waiting job of <model>, or all when it is NULL. */
void hearth__sched_fail_waiting(hearth_sched_t *s, hearth_sched_model_t *model,
                                int status, const struct hearth_error *err);
/* place.c: starts whatever can be started. After every event. */
void hearth__sched_pump(hearth_sched_t *s);
void hearth__sched_unload(hearth_sched_t *s, struct hearth__sched_slot *slot);
/* A call met no memory: unloads what is not pinned on the device, but for
 * <spare>, and lets nothing begin there until that is done. */
void hearth__sched_make_way(hearth_sched_t *s, uint32_t device,
                            const hearth_sched_model_t *spare);
void hearth__sched_send(hearth_sched_t *s, hearth_sched_model_t *model,
                        struct hearth_exec_task *task,
                        enum hearth_exec_kind kind, uint32_t device,
                        void *owner);
void hearth__sched_set_wanted(hearth_sched_model_t *model, bool wanted);
/* The first job after its load takes over the load's pin. */
void hearth__sched_set_fresh(struct hearth__sched_slot *slot, bool fresh);
/* How long a load onto <device> would take, from the nearest tier: as learned,
 * else guessed. */
int64_t hearth__sched_load_us(const hearth_sched_model_t *model,
                              uint32_t device);
/* Can the model ever run on some device that lives? */
bool hearth__sched_has_home(const hearth_sched_model_t *model);
/* sched.c: frees a model that is being removed and nowhere any more. */
void hearth__sched_try_remove(hearth_sched_t *s, hearth_sched_model_t *model);

#endif
