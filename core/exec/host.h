/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.h: the tier between a device that has memory of its own and the disk:
 * copies of models' weights in host memory, pinned where the device has that,
 * within a budget. A load that finds no copy makes one and loads from it, so a
 * model that is evicted comes back without the disk while there is room. Not
 * for devices whose memory is the host's: these would hold everything twice.
 *
 * Any thread. Bytes are counted before they are taken. A copy is either being
 * made, by one load, or whole; one that a load reads is not evicted.
 */
#ifndef HEARTH_EXEC_HOST_H
#define HEARTH_EXEC_HOST_H

#include "device/device.h"
#include "hearth_graph.h"

typedef struct hearth_host_tier hearth_host_tier_t;

/* Where a load's weights came from. */
enum hearth_tier { HEARTH_TIER_DISK = 0, HEARTH_TIER_HOST, HEARTH_TIER_COUNT };

/* The copy of a model, or the place for one: the model's owner's memory. */
struct hearth_host_copy {
    int here; /* atomic: a load now would come from it */
    /* The host's. */
    hearth_host_tier_t *host;
    const struct hearth_graph *graph;
    const struct hearth_weights *source;
    struct hearth_weights weights;
    struct hearth_host_copy *newer, *older;
    uint32_t refs;
    bool making;
    uint64_t bytes; /* charged */
    char *block;
    hearth_device_t *device; /* whose host_alloc gave it */
    struct hearth__host_piece *pieces;
    uint32_t piece_count;
};

/* <limit_bytes> 0: no copies. HEARTH_ENOMEM. */
apr_status_t hearth_host_create(hearth_host_tier_t **host,
                                uint64_t limit_bytes);
/* Every copy was forgotten. NULLs the pointer; *host NULL is allowed. */
void hearth_host_destroy(hearth_host_tier_t **host);

/* <host> NULL: there will be none. Graph and weights outlive the copy. */
void hearth_host_copy_init(struct hearth_host_copy *copy,
                           hearth_host_tier_t *host,
                           const struct hearth_graph *graph,
                           const struct hearth_weights *weights);
/* No load of it is under way. Frees what it holds. */
void hearth_host_forget(struct hearth_host_copy *copy);

/* What a load of the model onto <device> shall read, until the release:
 * *weights is the copy's, or the source's when the device wants none, there is
 * no room, or another load is making it. Reads the disk. HEARTH_OK; HEARTH_EIO
 * and the source's other errors; HEARTH_ECANCELED when <cancelled> says so. */
int hearth_host_acquire(struct hearth_host_copy *copy, hearth_device_t *device,
                        bool (*cancelled)(void *ctx), void *ctx,
                        const struct hearth_weights **weights,
                        enum hearth_tier *tier, struct hearth_error *err);
void hearth_host_release(struct hearth_host_copy *copy,
                         const struct hearth_weights *weights);
/* It was used, also when its model leaves a device: it goes last. */
void hearth_host_touch(struct hearth_host_copy *copy);

struct hearth_host_report {
    uint64_t bytes, limit_bytes, copies;
    uint64_t hits, misses, evictions; /* of loads; of copies */
};
void hearth_host_report(hearth_host_tier_t *host,
                        struct hearth_host_report *report);

#endif
