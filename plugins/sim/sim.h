/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim.h: between the files of plugins/sim, a modelled device.
 *
 * It has the memory, the bandwidth, the load and run times that its spec says,
 * on the clock that the host gives, and fails its n-th call when told to. What
 * it answers is right: it runs graphs by the operators' reference evaluation.
 * For tests, replay and the first steps of an operator; not for speed.
 *
 * Its runs are asynchronous: execute returns at once, and poll or synchronise
 * complete a run when the clock has reached its end.
 */
#ifndef HEARTH_PLUGINS_SIM_H
#define HEARTH_PLUGINS_SIM_H

#include "hearth_plugin.h"

extern const struct hearth_host *sim_host;
extern const struct hearth_plugin_calls sim_plugin_calls;
extern const struct hearth_device_calls sim_device_calls;
extern const struct hearth_memory_calls sim_memory_calls;
extern const struct hearth_queue_calls sim_queue_calls;
extern const struct hearth_model_calls sim_model_calls;

/* ---- What a spec says ---- */

enum sim_call {
    SIM_ALLOC = 0,
    SIM_FOOTPRINT,
    SIM_LOAD,
    SIM_PLAN,
    SIM_EXECUTE, /* refused at once */
    SIM_RUN,     /* begins, and ends with the failure */
    SIM_COPY,
    SIM_CALL_COUNT
};

#define SIM_FAULTS_MAX 8
struct sim_fault {
    enum sim_call call;
    uint64_t first,
        count; /* calls first .. first+count-1 fail; 1 = the first */
    int status;
};

struct sim_spec {
    uint64_t mem, bandwidth, overhead; /* bytes, bytes a second (0: endless) */
    int64_t load_us, run_us;
    bool beside, host_memory, compute;
    struct sim_fault faults[SIM_FAULTS_MAX];
    uint32_t fault_count;
};
/* HEARTH_ECONFIG names the key, the value and what is known. */
int sim_spec_parse(const char *text, struct sim_spec *spec,
                   struct hearth_error *err);
/* The line of `sim` in a list of plugins. */
#define SIM_KEYS                                                               \
    "mem, bandwidth, overhead (bytes), load, run (durations), beside, host, "  \
    "compute (0 or 1), fail=CALL:N[:COUNT]:STATUS"

/* ---- Device ---- */

struct hearth_dev {
    struct sim_spec spec;
    uint64_t used;                  /* atomic */
    uint64_t calls[SIM_CALL_COUNT]; /* atomic: so many were made */
    int lost;                       /* atomic */
    uint32_t number;
};

/* Counts a call; the failure that the spec has for it, or HEARTH_OK. A lost
 * device fails every call. */
int sim_call(hearth_dev_t *dev, enum sim_call call, struct hearth_error *err);
/* Takes bytes of the device's memory; HEARTH_ENOMEM. */
int sim_take(hearth_dev_t *dev, uint64_t bytes, struct hearth_error *err);
void sim_give(hearth_dev_t *dev, uint64_t bytes);

/* ---- Queue ---- */

struct sim_run;
/* Runs <run> for <us> microseconds after what is on the queue already. */
void sim_queue_add(hearth_queue_t *queue, struct sim_run *run, int64_t us);
hearth_dev_t *sim_queue_dev(hearth_queue_t *queue);

/* What a queue carries; model.c makes them. */
struct sim_run {
    struct sim_run *next;
    int64_t end_us;
    /* On the device thread, when the time has come; frees <run>. */
    void (*finish)(struct sim_run *run);
};

#endif
