/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.h: which model is where, and whose every byte of a device is. Passive
 * tables: it starts nothing, the scheduler does and reports back. Scheduler's
 * thread only.
 *
 * Invariants: used bytes of a device = overhead + arena + the charges of its
 * entries, and never pass its limit by a charge made here; used bytes of a
 * tenant = the charges of its entries on all devices. Bytes are charged before
 * they are taken, and corrected to what the plugin says it took.
 */
#ifndef HEARTH_CACHE_CACHE_H
#define HEARTH_CACHE_CACHE_H

#include "base/base.h"
#include "policy/policy.h"

typedef struct hearth_cache hearth_cache_t;
typedef struct hearth_cache_model hearth_cache_model_t;

enum hearth_cache_state {
    HEARTH_CACHE_ABSENT = 0,
    HEARTH_CACHE_LOADING,
    HEARTH_CACHE_RESIDENT,
    HEARTH_CACHE_UNLOADING, /* still charged until it is gone */
    HEARTH_CACHE_FAILED     /* its last load failed; see retry_us */
};
const char *hearth_cache_state_name(enum hearth_cache_state state);

/* Whose requests cause loads. 0 is nobody's: it has no quota. */
#define HEARTH_TENANTS_MAX 256u

/* One model on one device; fields are for reading. */
struct hearth_cache_entry {
    hearth_cache_model_t *model;
    uint32_t device;
    uint32_t tenant; /* that is charged for it: the one that had it loaded */
    enum hearth_cache_state state;
    uint64_t bytes; /* charged: what it holds, and what is kept for it */
    uint64_t held;  /* of them, as the device said last */
    uint32_t pins;  /* runs, and loads that requests wait for: not evictable */
    uint64_t hits;  /* runs, ever */
    int64_t used_us;
    void *handle; /* the executor's: hearth_dev_model_t */
    /* After a failure. */
    int status;
    struct hearth_error error;
    uint32_t failures; /* in a row */
    int64_t retry_us;  /* not before */
    /* Least recently used first, of the RESIDENT ones of the device. */
    struct hearth_cache_entry *older, *newer;
};

struct hearth_cache_device_config {
    const char *name; /* borrowed */
    uint64_t limit_bytes, overhead_bytes;
};
/* HEARTH_ENOMEM, HEARTH_ENOSPACE (overhead over the limit). */
apr_status_t
hearth_cache_create(hearth_cache_t **cache,
                    const struct hearth_cache_device_config *devices,
                    uint32_t device_count, const struct hearth_clock *clock);
/* Every model was removed (asserted). NULLs the pointer. */
void hearth_cache_destroy(hearth_cache_t **cache);
void hearth_cache_set_policy(hearth_cache_t *cache,
                             const struct hearth_policy *policy);
/* How long a model would take to come back, for eviction's candidates: <fn> is
 * given its owner. NULL: not known. */
void hearth_cache_set_load_us(hearth_cache_t *cache,
                              int64_t (*fn)(void *owner, uint32_t device));

/* A model with an entry on each device, all ABSENT. <name> is copied. <queued>
 * (requests that wait for it) is read for snapshots; the caller keeps it up to
 * date. HEARTH_ENOMEM. */
apr_status_t hearth_cache_model_add(hearth_cache_t *cache, const char *name,
                                    const uint32_t *queued,
                                    hearth_cache_model_t **model);
/* What the caller finds again by an entry's model. */
void hearth_cache_model_set_owner(hearth_cache_model_t *model, void *owner);
void *hearth_cache_model_owner(const hearth_cache_model_t *model);
/* A pinned model is never a victim, and not evictable. */
void hearth_cache_model_set_pinned(hearth_cache_model_t *model, bool pinned);
bool hearth_cache_model_pinned(const hearth_cache_model_t *model);
/* No entry of it is charged any more (asserted). */
void hearth_cache_model_remove(hearth_cache_model_t **model);
struct hearth_cache_entry *hearth_cache_entry(hearth_cache_model_t *model,
                                              uint32_t device);
const char *hearth_cache_model_name(const hearth_cache_model_t *model);
uint32_t hearth_cache_holders(const hearth_cache_model_t *model);

/* ---- Room ---- */

/* Is there room for <bytes> on the device, and if not: whom to evict?
 *   HEARTH_OK       there is room; nothing is charged yet
 *   HEARTH_EAGAIN   with *count > 0: unload these, then ask again. With 0:
 *                   nothing can go now (pinned, or leaving already): wait
 *   HEARTH_ENOSPACE it fits only without what is never evicted
 * Entries that <spare> (may be NULL) says true for are not evicted. */
int hearth_cache_room(
    hearth_cache_t *cache, uint32_t device, uint64_t bytes,
    const hearth_cache_model_t *incoming,
    bool (*spare)(void *ctx, const struct hearth_cache_entry *entry), void *ctx,
    struct hearth_cache_entry *victims[HEARTH_POLICY_CANDIDATES],
    uint32_t *count);
/* The same for a tenant's quota, on all devices together: may it be charged
 * with <bytes> more? Its victims are its own entries, least recently used
 * first. */
int hearth_cache_quota(
    hearth_cache_t *cache, uint32_t tenant, uint64_t bytes,
    bool (*spare)(void *ctx, const struct hearth_cache_entry *entry), void *ctx,
    struct hearth_cache_entry *victims[HEARTH_POLICY_CANDIDATES],
    uint32_t *count);
/* 0: none. A tenant may be over it: then it gets nothing more. */
void hearth_cache_set_quota(hearth_cache_t *cache, uint32_t tenant,
                            uint64_t bytes);
uint64_t hearth_cache_free_bytes(const hearth_cache_t *cache, uint32_t device);
/* Charges of unpinned RESIDENT entries. */
uint64_t hearth_cache_evictable_bytes(const hearth_cache_t *cache,
                                      uint32_t device);
/* Sets the arena's charge. Growth must have room (asserted). */
void hearth_cache_set_arena(hearth_cache_t *cache, uint32_t device,
                            uint64_t bytes);
uint64_t hearth_cache_arena(const hearth_cache_t *cache, uint32_t device);

/* ---- What happens to an entry, in this order ---- */

/* ABSENT or FAILED -> LOADING, charged with <bytes> to <tenant>, for which
 * there is room (asserted), pinned once. */
void hearth_cache_load_begin(hearth_cache_t *cache,
                             struct hearth_cache_entry *entry, uint32_t tenant,
                             uint64_t bytes);
/* LOADING -> RESIDENT, charged with the <held> bytes that were taken and with
 * what of <keep> is more than that, as far as there is room for it: for the
 * plan of its first run. The pin stays. */
void hearth_cache_load_end(hearth_cache_t *cache,
                           struct hearth_cache_entry *entry, void *handle,
                           uint64_t held, uint64_t keep);
/* LOADING -> FAILED (ABSENT for HEARTH_ECANCELED and what is worth no memory,
 * when <remember> is false), uncharged and unpinned. A FAILED one is not to be
 * tried before retry_us: 1 s, doubled with each failure in a row, at most 60.
 */
void hearth_cache_load_fail(hearth_cache_t *cache,
                            struct hearth_cache_entry *entry, int status,
                            const struct hearth_error *err, bool remember);
/* RESIDENT: most recently used now, one hit more, pinned until unpin. */
void hearth_cache_use(hearth_cache_t *cache, struct hearth_cache_entry *entry);
void hearth_cache_unpin(hearth_cache_t *cache,
                        struct hearth_cache_entry *entry);
/* Corrects the charge of a RESIDENT entry: its plans grew or went. Where that
 * passes the device's limit, what is kept for others gives way; it stays above
 * the limit only while a load has more charged than it has taken yet. */
void hearth_cache_adjust(hearth_cache_t *cache,
                         struct hearth_cache_entry *entry, uint64_t bytes);
/* RESIDENT and unpinned -> UNLOADING; the caller unloads its handle. */
void hearth_cache_unload_begin(hearth_cache_t *cache,
                               struct hearth_cache_entry *entry);
/* UNLOADING -> ABSENT, uncharged. */
void hearth_cache_unload_end(hearth_cache_t *cache,
                             struct hearth_cache_entry *entry);

/* ---- Report ---- */
struct hearth_cache_device_report {
    const char *name;
    uint64_t limit_bytes, used_bytes, overhead_bytes, arena_bytes, model_bytes;
    uint64_t pinned_bytes; /* of the models': pinned by the operator */
    uint64_t loads, load_failures, evictions; /* ever */
};
void hearth_cache_device_report(const hearth_cache_t *cache, uint32_t device,
                                struct hearth_cache_device_report *report);
struct hearth_cache_tenant_report {
    uint64_t used_bytes, quota_bytes;
    uint64_t loads, evictions; /* ever; evictions of what it was charged for */
};
void hearth_cache_tenant_report(const hearth_cache_t *cache, uint32_t tenant,
                                struct hearth_cache_tenant_report *report);
/* Adds up every part again and compares: the invariant, for tests. */
bool hearth_cache_check(const hearth_cache_t *cache);

#endif
