/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work.h: threads for what blocks: opening models, writing files, fetching.
 * Work is done in the order of its coming, by whichever thread is free.
 */
#ifndef HEARTH_SERVE_WORK_H
#define HEARTH_SERVE_WORK_H

#include "base/base.h"

typedef struct hearth__workers hearth__workers_t;

struct hearth__work {
    void (*fn)(struct hearth__work *work); /* may free it */
    struct hearth__work *next;             /* the workers' */
};

/* HEARTH_ENOMEM. */
apr_status_t hearth__workers_create(hearth__workers_t **workers,
                                    uint32_t threads);
/* Any thread, never blocks. */
void hearth__workers_do(hearth__workers_t *workers, struct hearth__work *work);
/* Does what is queued, joins the threads. NULLs the pointer. */
void hearth__workers_destroy(hearth__workers_t **workers);

#endif
