/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.h: the decisions of the scheduler and the cache, as hooks over plain
 * snapshots. A hook sees numbers and answers with an index; it never sees a
 * live object. This file's built-in defaults answer where a policy has no hook,
 * answers nonsense, or says "default": a policy can cost quality, never a
 * request. Scheduler's thread only.
 *
 * Defaults: the paper's locality-aware load balancing with out-of-order
 * dispatch (LALB+O3, IPDPS 2023), least recently used eviction.
 */
#ifndef HEARTH_POLICY_POLICY_H
#define HEARTH_POLICY_POLICY_H

#include "base/base.h"

/* What hooks return for "as the built-in default". */
#define HEARTH_POLICY_DEFAULT (-2)
/* `place`: stay in the global queue. */
#define HEARTH_POLICY_WAIT (-1)
/* Candidates of one snapshot at most. */
#define HEARTH_POLICY_CANDIDATES 64
/* A waiting request that so many later ones overtook goes first (the paper's
 * starvation limit). */
#define HEARTH_POLICY_SKIPS 25

struct hearth_policy_request {
    const char *model;
    int64_t waited_us;
    uint32_t skips;      /* later requests that were started before it */
    int64_t deadline_us; /* from now; INT64_MAX: none */
};
struct hearth_policy_model {
    uint64_t bytes;
    int64_t run_us; /* learned; 0: not known yet */
    uint32_t holders, queued;
};
struct hearth_policy_device {
    uint32_t id;
    bool idle, holds, loading; /* <loading>: this model, there */
    bool can_load;             /* no other load is under way there */
    int64_t finish_us;         /* until what runs there is over; 0: idle */
    int64_t load_us;           /* for this model, if it must be loaded there */
    uint64_t free_bytes, evictable_bytes;
};
struct hearth_policy_place {
    struct hearth_policy_request request;
    struct hearth_policy_model model;
    const struct hearth_policy_device *devices;
    uint32_t device_count;
};
struct hearth_policy_candidate {
    const char *model;
    uint64_t bytes;
    int64_t idle_us; /* since its last use */
    uint64_t hits;
    int64_t load_us; /* to come back, from the nearest tier; 0: not known */
    uint32_t copies; /* on other devices */
    uint32_t queued; /* requests that wait for it */
};
struct hearth_policy_evict {
    uint64_t need_bytes;
    uint32_t device;
    const char *incoming;                             /* model */
    const struct hearth_policy_candidate *candidates; /* least recent first */
    uint32_t count;
};

struct hearth_policy {
    const char *name;
    void *ctx;
    /* Each may be NULL. Where a request may go: a device's index (it runs
     * there, or is loaded there), WAIT or DEFAULT. */
    int (*place)(void *ctx, const struct hearth_policy_place *c);
    /* Indexes of candidates, best victim first, into <victims> (room for
     * c->count); how many, or DEFAULT. */
    int (*evict)(void *ctx, const struct hearth_policy_evict *c,
                 uint32_t *victims);
};
/* Every hook the default; static. */
const struct hearth_policy *hearth_policy_builtin(void);

struct hearth_policy_stats {
    uint64_t place_refused, evict_refused; /* answers that were nonsense */
};

/* Asks <policy>'s hook, checks its answer, and falls back. */

/* A device that holds the model or can load it, or HEARTH_POLICY_WAIT. */
int hearth_policy_place(const struct hearth_policy *policy,
                        const struct hearth_policy_place *c,
                        struct hearth_policy_stats *stats);
/* Victims that free need_bytes together, no more of them than it takes: their
 * number, or 0 when all candidates together do not. What a policy's victims
 * lack is filled up by the default. */
uint32_t hearth_policy_evict(const struct hearth_policy *policy,
                             const struct hearth_policy_evict *c,
                             uint32_t *victims,
                             struct hearth_policy_stats *stats);

#endif
