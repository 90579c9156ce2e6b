/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec.h: does what the scheduler decided, on the devices: loads, unloads,
 * arenas, runs. One thread a device drives it; a second one loads and unloads
 * where the device allows that beside a run. Decides nothing, retries nothing.
 *
 * A task is the executor's from submit until its <done>, which runs on the
 * thread of the loop that the executor was created with. Tasks of a device end
 * in the order of submission, loads and unloads apart from the others.
 */
#ifndef HEARTH_EXEC_EXEC_H
#define HEARTH_EXEC_EXEC_H

#include "device/device.h"
#include "exec/host.h"
#include "loop/loop.h"
#include "model/model.h"
#include "tensor/tensor.h"

enum hearth_exec_kind {
    HEARTH_EXEC_LOAD = 0,
    HEARTH_EXEC_UNLOAD,
    HEARTH_EXEC_ARENA, /* the device's one arena gets a new size */
    HEARTH_EXEC_RUN
};

struct hearth_exec_task {
    enum hearth_exec_kind kind;
    uint32_t device;
    /* On the loop's thread; the task is the caller's again. */
    void (*done)(struct hearth_exec_task *task);
    void *owner; /* the caller's */

    /* LOAD, RUN; all outlive the task. */
    const struct hearth_graph *graph;
    const struct hearth_weights *weights; /* LOAD */
    /* LOAD, UNLOAD: the model's copy in host memory, which goes before
     * <weights>; NULL: none is kept. */
    struct hearth_host_copy *host;
    /* LOAD: whose these are, for its packs; outlives the model on the device.
     * NULL: it has none. */
    hearth_model_t *model;
    int cancelled;   /* atomic; LOAD: set it to give the load up */
    uint64_t loaded; /* atomic; LOAD: weight bytes so far */
    /* LOAD: out; UNLOAD, RUN: in. */
    hearth_dev_model_t *handle;
    /* ARENA: the new size, 0: none. */
    uint64_t arena_bytes;
    /* RUN: named tensors, found by the graph's names. <outputs> is filled in
     * the graph's order, and empty after a failure. */
    const struct hearth_tensor_list *inputs;
    struct hearth_tensor_list *outputs;
    struct hearth_budget *budget; /* of the outputs; NULL: none */
    int64_t deadline_us;          /* INT64_MAX: none */

    /* Results. */
    int status; /* RUN: HEARTH_EAGAIN with need_arena_bytes > 0: a larger arena
                   is needed, nothing was run */
    struct hearth_error error;
    uint64_t need_arena_bytes;
    enum hearth_tier tier; /* LOAD: where the weights came from */
    uint64_t model_bytes;  /* LOAD, RUN: what the model holds now; 0: unknown */
    bool packed; /* LOAD: weights came out of a pack, as the device has them */
    int64_t began_us, ended_us;

    /* The executor's. */
    struct hearth_exec_task *next;
    struct hearth_loop_work work;
};

typedef struct hearth_exec hearth_exec_t;

/* Starts the threads. Devices, loop and clock outlive it. HEARTH_ENOMEM, the
 * system's code, or what a device says to the creation of its queues. */
int hearth_exec_create(hearth_exec_t **exec, hearth_device_t *const *devices,
                       uint32_t device_count, hearth_loop_t *loop,
                       const struct hearth_clock *clock,
                       struct hearth_error *err);
/* From now on loads look for their weights in <packs>, as the device had made
 * them, and models that were loaded from their source are packed: the model and
 * what the device made of it, when the thread that loads has nothing else to
 * do. So are the checksums compared of what came out of a pack; one that is
 * damaged is removed, and <damaged> is told on the loop's thread: <model> shall
 * be unloaded (it may be gone by then; it is for comparing). Before the first
 * submit; <packs> outlives the executor. */
void hearth_exec_use_packs(hearth_exec_t *exec, hearth_packs_t *packs,
                           void (*damaged)(void *ctx,
                                           const hearth_model_t *model),
                           void *ctx);
/* The footprint that the device told when the model's weights were packed, for
 * the shapes that are not known; false: it is to be asked. Any thread; blocks
 * on the disk. */
bool hearth_exec_footprint(hearth_exec_t *exec, uint32_t device,
                           hearth_model_t *model,
                           struct hearth_footprint *footprint);
/* Loads of the device that came out of a pack. Any thread. */
uint64_t hearth_exec_packed_loads(const hearth_exec_t *exec, uint32_t device);
/* Any thread; <exec> is void so that it can stand in the scheduler's table. */
void hearth_exec_submit(void *exec, struct hearth_exec_task *task);
/* Does what was submitted, frees the arenas, joins the threads. The <done> of
 * tasks that ended may still be queued on the loop. NULLs the pointer. */
void hearth_exec_destroy(hearth_exec_t **exec);

#endif
