/* SPDX-License-Identifier: Apache-2.0 */
/* exec_priv.h: between the files of core/exec. */
#ifndef HEARTH_EXEC_EXEC_PRIV_H
#define HEARTH_EXEC_EXEC_PRIV_H

#include "exec/exec.h"

#define HEARTH__MAGIC_EXEC 0x48455843u

struct hearth__unit;

struct hearth__lane {
    struct hearth__unit *unit;
    struct hearth_lock lock;
    struct hearth_cond cond;
    struct hearth_exec_task *first, *last; /* under <lock> */
    bool closing;                          /* under <lock> */
    bool started;
    pthread_t thread;
};

/* A model on a device, and what is still to be done about its packs. The lane
 * that loads has it alone. */
struct hearth__held {
    struct hearth__held *next;
    hearth_dev_model_t *handle;
    hearth_model_t *model;
    hearth_pack_t *pack; /* mapped; NULL: loaded from the source */
    bool to_warm, to_pack, to_lower, to_check;
};

struct hearth__unit { /* a device */
    hearth_exec_t *exec;
    hearth_device_t *device;
    hearth_queue_t *runs, *copies;
    void *arena; /* the run lane's */
    uint64_t arena_bytes;
    bool loads_beside;
    struct hearth__lane run, load;
    struct hearth__held *held;
    uint64_t packed_loads; /* atomic */
};

struct hearth_exec {
    uint32_t magic;
    hearth_loop_t *loop;
    const struct hearth_clock *clock;
    hearth_packs_t *packs; /* NULL: none */
    void (*damaged)(void *ctx, const hearth_model_t *model);
    void *damaged_ctx;
    uint32_t unit_count;
    struct hearth__unit units[];
};

/* ---- packed.c, on the thread that loads ---- */

/* HEARTH_ENOENT: the source is to be loaded. */
int hearth__packed_load(struct hearth__unit *unit,
                        struct hearth_exec_task *task,
                        const struct hearth_load *load);
/* After any load that succeeded: what is to be done about it later. */
void hearth__packed_loaded(struct hearth__unit *unit,
                           struct hearth_exec_task *task);
/* It was unloaded; its pack is unmapped. */
void hearth__packed_forget(struct hearth__unit *unit,
                           const hearth_dev_model_t *handle);
void hearth__packed_forget_all(struct hearth__unit *unit);
bool hearth__packed_wants(const struct hearth__unit *unit);
/* One thing that is to be done, unless <lane> gets a task meanwhile. */
void hearth__packed_work(struct hearth__unit *unit, struct hearth__lane *lane);

#endif
