/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.c: entries, their states, and the books of each device.
 *
 * A model has one entry a device, allocated with it, so that nothing here fails
 * after hearth_cache_model_add. The RESIDENT entries of a device form a list,
 * least recently used first; charges are added and taken in two functions only.
 */
#include "cache/cache.h"

#include <string.h>

#define HEARTH_MAGIC_CACHE 0x48434348u
#define HEARTH_MAGIC_CACHE_MODEL 0x4843434du
#define RETRY_FIRST_US INT64_C(1000000)
#define RETRY_MAX_US INT64_C(60000000)

struct device {
    struct hearth_cache_device_config config;
    uint64_t used, arena;
    uint64_t leaving; /* charges of the UNLOADING ones */
    struct hearth_cache_entry *oldest, *newest;
    uint64_t loads, load_failures, evictions;
};

struct tenant {
    uint64_t quota, used;
    uint64_t leaving; /* charges of the UNLOADING ones */
    uint64_t loads, evictions;
};

struct hearth_cache_model {
    uint32_t magic;
    bool pinned;
    void *owner;
    hearth_cache_t *cache;
    char *name;
    const uint32_t *queued;
    hearth_cache_model_t *next, *prev;
    struct hearth_cache_entry entries[];
};

struct hearth_cache {
    uint32_t magic;
    const struct hearth_clock *clock;
    const struct hearth_policy *policy;
    int64_t (*load_us)(void *owner, uint32_t device); /* NULL: not known */
    struct hearth_policy_stats stats;
    hearth_cache_model_t *models;
    struct tenant tenants[HEARTH_TENANTS_MAX];
    uint32_t device_count;
    struct device devices[];
};

const char *hearth_cache_state_name(enum hearth_cache_state state)
{
    static const char *const names[] = {"absent", "loading", "resident",
                                        "unloading", "failed"};
    return (unsigned)state < sizeof names / sizeof names[0] ? names[state]
                                                            : "?";
}

apr_status_t
hearth_cache_create(hearth_cache_t **out,
                    const struct hearth_cache_device_config *devices,
                    uint32_t device_count, const struct hearth_clock *clock)
{
    *out = NULL;
    for (uint32_t i = 0; i < device_count; i++)
        if (devices[i].overhead_bytes > devices[i].limit_bytes)
            return HEARTH_ENOSPACE;
    hearth_cache_t *cache =
        hearth_calloc(1, sizeof *cache + device_count * sizeof(struct device));
    if (cache == NULL)
        return HEARTH_ENOMEM;
    cache->magic = HEARTH_MAGIC_CACHE;
    cache->clock = clock;
    cache->policy = hearth_policy_builtin();
    cache->device_count = device_count;
    for (uint32_t i = 0; i < device_count; i++) {
        cache->devices[i].config = devices[i];
        cache->devices[i].used = devices[i].overhead_bytes;
    }
    *out = cache;
    return 0;
}

void hearth_cache_destroy(hearth_cache_t **cache)
{
    if (*cache == NULL)
        return;
    HEARTH_CHECK(*cache, HEARTH_MAGIC_CACHE);
    HEARTH_ASSERT((*cache)->models == NULL);
    (*cache)->magic = 0;
    hearth_free(*cache);
    *cache = NULL;
}

void hearth_cache_set_policy(hearth_cache_t *cache,
                             const struct hearth_policy *policy)
{
    cache->policy = policy;
}

void hearth_cache_set_load_us(hearth_cache_t *cache,
                              int64_t (*fn)(void *owner, uint32_t device))
{
    cache->load_us = fn;
}

/* ---- Models ---- */

apr_status_t hearth_cache_model_add(hearth_cache_t *cache, const char *name,
                                    const uint32_t *queued,
                                    hearth_cache_model_t **out)
{
    hearth_cache_model_t *model =
        hearth_calloc(1, sizeof *model + cache->device_count *
                                             sizeof(struct hearth_cache_entry));
    *out = NULL;
    if (model == NULL || (model->name = hearth_strdup(name)) == NULL) {
        hearth_free(model);
        return HEARTH_ENOMEM;
    }
    model->magic = HEARTH_MAGIC_CACHE_MODEL;
    model->cache = cache;
    model->queued = queued;
    model->next = cache->models;
    if (model->next != NULL)
        model->next->prev = model;
    cache->models = model;
    for (uint32_t i = 0; i < cache->device_count; i++) {
        model->entries[i].model = model;
        model->entries[i].device = i;
    }
    *out = model;
    return 0;
}

void hearth_cache_model_set_owner(hearth_cache_model_t *model, void *owner)
{
    model->owner = owner;
}

void *hearth_cache_model_owner(const hearth_cache_model_t *model)
{
    return model->owner;
}

void hearth_cache_model_set_pinned(hearth_cache_model_t *model, bool pinned)
{
    model->pinned = pinned;
}

bool hearth_cache_model_pinned(const hearth_cache_model_t *model)
{
    return model->pinned;
}

void hearth_cache_model_remove(hearth_cache_model_t **out)
{
    hearth_cache_model_t *model = *out;
    if (model == NULL)
        return;
    HEARTH_CHECK(model, HEARTH_MAGIC_CACHE_MODEL);
    hearth_cache_t *cache = model->cache;
    for (uint32_t i = 0; i < cache->device_count; i++)
        HEARTH_ASSERT(model->entries[i].bytes == 0 &&
                      model->entries[i].pins == 0);
    if (model->next != NULL)
        model->next->prev = model->prev;
    if (model->prev != NULL)
        model->prev->next = model->next;
    else
        cache->models = model->next;
    model->magic = 0;
    hearth_free(model->name);
    hearth_free(model);
    *out = NULL;
}

struct hearth_cache_entry *hearth_cache_entry(hearth_cache_model_t *model,
                                              uint32_t device)
{
    HEARTH_CHECK(model, HEARTH_MAGIC_CACHE_MODEL);
    HEARTH_ASSERT(device < model->cache->device_count);
    return &model->entries[device];
}

const char *hearth_cache_model_name(const hearth_cache_model_t *model)
{
    return model->name;
}

uint32_t hearth_cache_holders(const hearth_cache_model_t *model)
{
    uint32_t holders = 0;
    for (uint32_t i = 0; i < model->cache->device_count; i++)
        holders += model->entries[i].state == HEARTH_CACHE_RESIDENT;
    return holders;
}

/* ---- Charges and the list ---- */

static void charge(hearth_cache_t *cache, struct hearth_cache_entry *entry,
                   uint64_t bytes)
{
    struct device *d = &cache->devices[entry->device];
    struct tenant *t = &cache->tenants[entry->tenant];
    d->used = d->used - entry->bytes + bytes;
    t->used = t->used - entry->bytes + bytes;
    entry->bytes = bytes;
}

/* What is kept for first runs, least recently used first, until the device is
 * below its limit. */
static void give_way(hearth_cache_t *cache, uint32_t device)
{
    struct device *d = &cache->devices[device];
    for (struct hearth_cache_entry *e = d->oldest;
         e != NULL && d->used > d->config.limit_bytes; e = e->newer) {
        uint64_t over = d->used - d->config.limit_bytes;
        uint64_t kept = e->bytes - e->held;
        charge(cache, e, e->bytes - (kept < over ? kept : over));
    }
}

static uint64_t pinned_bytes(const struct device *d)
{
    uint64_t bytes = 0;
    for (const struct hearth_cache_entry *e = d->oldest; e != NULL;
         e = e->newer)
        bytes += e->model->pinned ? e->bytes : 0;
    return bytes;
}

static bool evictable(const struct hearth_cache_entry *entry)
{
    return entry->pins == 0 && !entry->model->pinned;
}

static void list_add(hearth_cache_t *cache, struct hearth_cache_entry *entry)
{
    struct device *d = &cache->devices[entry->device];
    entry->newer = NULL;
    entry->older = d->newest;
    if (d->newest != NULL)
        d->newest->newer = entry;
    else
        d->oldest = entry;
    d->newest = entry;
}

static void list_remove(hearth_cache_t *cache, struct hearth_cache_entry *entry)
{
    struct device *d = &cache->devices[entry->device];
    if (entry->older != NULL)
        entry->older->newer = entry->newer;
    else
        d->oldest = entry->newer;
    if (entry->newer != NULL)
        entry->newer->older = entry->older;
    else
        d->newest = entry->older;
    entry->older = entry->newer = NULL;
}

/* ---- Room ---- */

uint64_t hearth_cache_free_bytes(const hearth_cache_t *cache, uint32_t device)
{
    const struct device *d = &cache->devices[device];
    /* A plan may have grown a model past the limit: then nothing is free. */
    return d->used < d->config.limit_bytes ? d->config.limit_bytes - d->used
                                           : 0;
}

uint64_t hearth_cache_evictable_bytes(const hearth_cache_t *cache,
                                      uint32_t device)
{
    uint64_t bytes = 0;
    for (const struct hearth_cache_entry *e = cache->devices[device].oldest;
         e != NULL; e = e->newer)
        bytes += evictable(e) ? e->bytes : 0;
    return bytes;
}

static struct hearth_policy_candidate
candidate_of(const hearth_cache_t *cache, const struct hearth_cache_entry *e,
             int64_t now)
{
    uint32_t holders = hearth_cache_holders(e->model);
    return (struct hearth_policy_candidate){
        .model = e->model->name,
        .bytes = e->bytes,
        .idle_us = now - e->used_us,
        .hits = e->hits,
        .load_us = cache->load_us != NULL
                       ? cache->load_us(e->model->owner, e->device)
                       : 0,
        .copies = holders > 0 ? holders - 1 : 0,
        .queued = e->model->queued != NULL ? *e->model->queued : 0,
    };
}

int hearth_cache_room(
    hearth_cache_t *cache, uint32_t device, uint64_t bytes,
    const hearth_cache_model_t *incoming,
    bool (*spare)(void *ctx, const struct hearth_cache_entry *entry), void *ctx,
    struct hearth_cache_entry *victims[HEARTH_POLICY_CANDIDATES],
    uint32_t *count)
{
    struct hearth_policy_candidate candidates[HEARTH_POLICY_CANDIDATES];
    struct hearth_cache_entry *entries[HEARTH_POLICY_CANDIDATES];
    uint32_t chosen[HEARTH_POLICY_CANDIDATES];
    const struct device *d = &cache->devices[device];
    int64_t now = hearth_now_us(cache->clock);
    uint64_t never = d->config.overhead_bytes + d->arena + pinned_bytes(d);
    /* Room for a model that is there already is room beside it. */
    if (incoming != NULL && !incoming->pinned)
        never += incoming->entries[device].bytes;
    *count = 0;
    if (never > d->config.limit_bytes || bytes > d->config.limit_bytes - never)
        return HEARTH_ENOSPACE;
    uint64_t room = hearth_cache_free_bytes(cache, device);
    if (bytes <= room)
        return HEARTH_OK;
    struct hearth_policy_evict c = {
        .need_bytes = bytes - room,
        .device = device,
        .incoming = incoming != NULL ? incoming->name : "",
        .candidates = candidates,
    };
    /* What is leaving already will give its room without more victims. */
    c.need_bytes -= d->leaving < c.need_bytes ? d->leaving : c.need_bytes;
    if (d->used > d->config.limit_bytes)
        c.need_bytes += d->used - d->config.limit_bytes;
    if (c.need_bytes == 0)
        return HEARTH_EAGAIN;
    for (struct hearth_cache_entry *e = d->oldest;
         e != NULL && c.count < HEARTH_POLICY_CANDIDATES; e = e->newer) {
        if (!evictable(e) || (spare != NULL && spare(ctx, e)))
            continue;
        entries[c.count] = e;
        candidates[c.count++] = candidate_of(cache, e, now);
    }
    *count = hearth_policy_evict(cache->policy, &c, chosen, &cache->stats);
    for (uint32_t i = 0; i < *count; i++)
        victims[i] = entries[chosen[i]];
    return HEARTH_EAGAIN;
}

/* The tenant's least recently used entry that may go and is not <taken>. */
static struct hearth_cache_entry *
oldest_of(hearth_cache_t *cache, uint32_t tenant,
          bool (*spare)(void *ctx, const struct hearth_cache_entry *entry),
          void *ctx, struct hearth_cache_entry *const *taken, uint32_t count)
{
    struct hearth_cache_entry *oldest = NULL;
    for (uint32_t i = 0; i < cache->device_count; i++)
        for (struct hearth_cache_entry *e = cache->devices[i].oldest; e != NULL;
             e = e->newer) {
            bool is_taken = false;
            if (e->tenant != tenant || !evictable(e) ||
                (oldest != NULL && e->used_us >= oldest->used_us) ||
                (spare != NULL && spare(ctx, e)))
                continue;
            for (uint32_t k = 0; k < count; k++)
                is_taken |= taken[k] == e;
            if (!is_taken)
                oldest = e;
        }
    return oldest;
}

int hearth_cache_quota(
    hearth_cache_t *cache, uint32_t tenant, uint64_t bytes,
    bool (*spare)(void *ctx, const struct hearth_cache_entry *entry), void *ctx,
    struct hearth_cache_entry *victims[HEARTH_POLICY_CANDIDATES],
    uint32_t *count)
{
    const struct tenant *t = &cache->tenants[tenant];
    *count = 0;
    if (t->quota == 0)
        return HEARTH_OK;
    uint64_t pinned = 0; /* they never go */
    for (uint32_t i = 0; i < cache->device_count; i++)
        for (const struct hearth_cache_entry *e = cache->devices[i].oldest;
             e != NULL; e = e->newer)
            pinned += e->tenant == tenant && e->model->pinned ? e->bytes : 0;
    if (pinned > t->quota || bytes > t->quota - pinned)
        return HEARTH_ENOSPACE;
    if (t->used <= t->quota - bytes)
        return HEARTH_OK;
    uint64_t need = t->used - (t->quota - bytes);
    need -= t->leaving < need ? t->leaving : need;
    while (need > 0 && *count < HEARTH_POLICY_CANDIDATES) {
        struct hearth_cache_entry *e =
            oldest_of(cache, tenant, spare, ctx, victims, *count);
        if (e == NULL) {
            *count = 0; /* all of them would not do: none goes */
            break;
        }
        victims[(*count)++] = e;
        need -= e->bytes < need ? e->bytes : need;
    }
    return HEARTH_EAGAIN;
}

void hearth_cache_set_quota(hearth_cache_t *cache, uint32_t tenant,
                            uint64_t bytes)
{
    HEARTH_ASSERT(tenant > 0 && tenant < HEARTH_TENANTS_MAX);
    cache->tenants[tenant].quota = bytes;
}

void hearth_cache_tenant_report(const hearth_cache_t *cache, uint32_t tenant,
                                struct hearth_cache_tenant_report *report)
{
    const struct tenant *t = &cache->tenants[tenant];
    *report = (struct hearth_cache_tenant_report){.used_bytes = t->used,
                                                  .quota_bytes = t->quota,
                                                  .loads = t->loads,
                                                  .evictions = t->evictions};
}

void hearth_cache_set_arena(hearth_cache_t *cache, uint32_t device,
                            uint64_t bytes)
{
    struct device *d = &cache->devices[device];
    HEARTH_ASSERT(bytes <= d->arena ||
                  bytes - d->arena <= hearth_cache_free_bytes(cache, device));
    d->used = d->used - d->arena + bytes;
    d->arena = bytes;
}

uint64_t hearth_cache_arena(const hearth_cache_t *cache, uint32_t device)
{
    return cache->devices[device].arena;
}

/* ---- What happens to an entry ---- */

void hearth_cache_load_begin(hearth_cache_t *cache,
                             struct hearth_cache_entry *entry, uint32_t tenant,
                             uint64_t bytes)
{
    HEARTH_ASSERT(entry->state == HEARTH_CACHE_ABSENT ||
                  entry->state == HEARTH_CACHE_FAILED);
    HEARTH_ASSERT(bytes <= hearth_cache_free_bytes(cache, entry->device));
    HEARTH_ASSERT(tenant < HEARTH_TENANTS_MAX && entry->bytes == 0);
    entry->tenant = tenant;
    cache->tenants[tenant].loads++;
    charge(cache, entry, bytes);
    entry->state = HEARTH_CACHE_LOADING;
    entry->pins = 1;
    cache->devices[entry->device].loads++;
}

void hearth_cache_load_end(hearth_cache_t *cache,
                           struct hearth_cache_entry *entry, void *handle,
                           uint64_t held, uint64_t keep)
{
    HEARTH_ASSERT(entry->state == HEARTH_CACHE_LOADING);
    entry->held = held;
    charge(cache, entry, held > keep ? held : keep);
    entry->state = HEARTH_CACHE_RESIDENT;
    entry->handle = handle;
    entry->failures = 0;
    entry->used_us = hearth_now_us(cache->clock);
    list_add(cache, entry);
    give_way(cache, entry->device);
}

void hearth_cache_load_fail(hearth_cache_t *cache,
                            struct hearth_cache_entry *entry, int status,
                            const struct hearth_error *err, bool remember)
{
    HEARTH_ASSERT(entry->state == HEARTH_CACHE_LOADING);
    charge(cache, entry, 0);
    entry->pins = 0;
    entry->state = HEARTH_CACHE_ABSENT;
    if (!remember)
        return;
    int64_t wait = RETRY_FIRST_US;
    for (uint32_t i = 0; i < entry->failures && wait < RETRY_MAX_US; i++)
        wait *= 2;
    entry->state = HEARTH_CACHE_FAILED;
    entry->failures++;
    entry->status = status;
    entry->error = *err;
    entry->retry_us = hearth_now_us(cache->clock) +
                      (wait < RETRY_MAX_US ? wait : RETRY_MAX_US);
    cache->devices[entry->device].load_failures++;
}

void hearth_cache_use(hearth_cache_t *cache, struct hearth_cache_entry *entry)
{
    HEARTH_ASSERT(entry->state == HEARTH_CACHE_RESIDENT);
    list_remove(cache, entry);
    list_add(cache, entry);
    entry->pins++;
    entry->hits++;
    entry->used_us = hearth_now_us(cache->clock);
}

void hearth_cache_unpin(hearth_cache_t *cache, struct hearth_cache_entry *entry)
{
    (void)cache;
    HEARTH_ASSERT(entry->pins > 0);
    entry->pins--;
}

void hearth_cache_adjust(hearth_cache_t *cache,
                         struct hearth_cache_entry *entry, uint64_t bytes)
{
    HEARTH_ASSERT(entry->state == HEARTH_CACHE_RESIDENT);
    entry->held = bytes;
    charge(cache, entry, bytes);
    give_way(cache, entry->device);
}

void hearth_cache_unload_begin(hearth_cache_t *cache,
                               struct hearth_cache_entry *entry)
{
    HEARTH_ASSERT(entry->state == HEARTH_CACHE_RESIDENT && entry->pins == 0);
    list_remove(cache, entry);
    entry->state = HEARTH_CACHE_UNLOADING;
    cache->devices[entry->device].evictions++;
    cache->devices[entry->device].leaving += entry->bytes;
    cache->tenants[entry->tenant].evictions++;
    cache->tenants[entry->tenant].leaving += entry->bytes;
}

void hearth_cache_unload_end(hearth_cache_t *cache,
                             struct hearth_cache_entry *entry)
{
    HEARTH_ASSERT(entry->state == HEARTH_CACHE_UNLOADING);
    cache->devices[entry->device].leaving -= entry->bytes;
    cache->tenants[entry->tenant].leaving -= entry->bytes;
    charge(cache, entry, 0);
    entry->held = 0;
    entry->handle = NULL;
    entry->state = HEARTH_CACHE_ABSENT;
}

/* ---- Report ---- */

void hearth_cache_device_report(const hearth_cache_t *cache, uint32_t device,
                                struct hearth_cache_device_report *report)
{
    const struct device *d = &cache->devices[device];
    *report = (struct hearth_cache_device_report){
        .name = d->config.name,
        .limit_bytes = d->config.limit_bytes,
        .used_bytes = d->used,
        .overhead_bytes = d->config.overhead_bytes,
        .arena_bytes = d->arena,
        .model_bytes = d->used - d->arena - d->config.overhead_bytes,
        .loads = d->loads,
        .load_failures = d->load_failures,
        .evictions = d->evictions,
    };
    report->pinned_bytes = pinned_bytes(d);
}

static bool check_tenants(const hearth_cache_t *cache)
{
    for (uint32_t t = 0; t < HEARTH_TENANTS_MAX; t++) {
        uint64_t used = 0, leaving = 0;
        for (const hearth_cache_model_t *m = cache->models; m != NULL;
             m = m->next)
            for (uint32_t i = 0; i < cache->device_count; i++) {
                const struct hearth_cache_entry *e = &m->entries[i];
                used += e->tenant == t ? e->bytes : 0;
                leaving += e->tenant == t && e->state == HEARTH_CACHE_UNLOADING
                               ? e->bytes
                               : 0;
            }
        if (used != cache->tenants[t].used ||
            leaving != cache->tenants[t].leaving)
            return false;
    }
    return true;
}

bool hearth_cache_check(const hearth_cache_t *cache)
{
    if (!check_tenants(cache))
        return false;
    for (uint32_t i = 0; i < cache->device_count; i++) {
        const struct device *d = &cache->devices[i];
        uint64_t sum = d->config.overhead_bytes + d->arena;
        uint64_t leaving = 0;
        uint32_t resident = 0, listed = 0;
        for (const hearth_cache_model_t *m = cache->models; m != NULL;
             m = m->next) {
            const struct hearth_cache_entry *e = &m->entries[i];
            bool here = e->state == HEARTH_CACHE_LOADING ||
                        e->state == HEARTH_CACHE_RESIDENT ||
                        e->state == HEARTH_CACHE_UNLOADING;
            sum += e->bytes;
            leaving += e->state == HEARTH_CACHE_UNLOADING ? e->bytes : 0;
            resident += e->state == HEARTH_CACHE_RESIDENT;
            if (e->state == HEARTH_CACHE_RESIDENT && e->held > e->bytes)
                return false;
            if (!here && (e->bytes != 0 || e->pins != 0))
                return false;
        }
        for (const struct hearth_cache_entry *e = d->oldest; e != NULL;
             e = e->newer) {
            listed++;
            if (e->newer == NULL && e != d->newest)
                return false;
            if (e->newer != NULL && e->newer->used_us < e->used_us)
                return false;
        }
        if (sum != d->used || listed != resident || leaving != d->leaving)
            return false;
    }
    return true;
}
