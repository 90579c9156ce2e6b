/* SPDX-License-Identifier: Apache-2.0 */
/* sched.c: the scheduler's and its models' beginning and end; reports. */
#include "sched/sched_priv.h"

#include <string.h>

#define WAITING_DEFAULT 4096

static int64_t load_us_of(void *owner, uint32_t device)
{
    return hearth__sched_load_us(owner, device);
}

apr_status_t hearth_sched_create(hearth_sched_t **out,
                                 const struct hearth_sched_config *config)
{
    uint32_t n = config->device_count;
    struct hearth_cache_device_config *devices =
        hearth_calloc(n, sizeof *devices);
    hearth_sched_t *s =
        hearth_calloc(1, sizeof *s + n * sizeof(struct hearth__sched_device));
    apr_status_t rc = HEARTH_ENOMEM;
    HEARTH_ASSERT(n > 0);
    *out = NULL;
    if (devices == NULL || s == NULL ||
        (s->snapshot = hearth_calloc(n, sizeof *s->snapshot)) == NULL)
        goto out;
    for (uint32_t i = 0; i < n; i++) {
        devices[i] = (struct hearth_cache_device_config){
            .name = config->devices[i].name,
            .limit_bytes = config->devices[i].limit_bytes,
            .overhead_bytes = config->devices[i].overhead_bytes,
        };
        s->devices[i].sched = s;
        s->devices[i].config = config->devices[i];
    }
    rc = hearth_cache_create(&s->cache, devices, n, config->clock);
    if (rc != 0)
        goto out;
    s->magic = HEARTH_MAGIC_SCHED;
    hearth_cache_set_load_us(s->cache, load_us_of);
    s->config = *config;
    s->config.devices = NULL;
    if (s->config.max_waiting == 0)
        s->config.max_waiting = WAITING_DEFAULT;
    s->device_count = n;
    s->next_deadline_us = INT64_MAX;
    s->policy =
        config->policy != NULL ? config->policy : hearth_policy_builtin();
    hearth_cache_set_policy(s->cache, s->policy);
    *out = s;
    s = NULL;
out:
    if (s != NULL)
        hearth_free(s->snapshot);
    hearth_free(s);
    hearth_free(devices);
    return rc;
}

void hearth_sched_close(hearth_sched_t *s)
{
    HEARTH_CHECK(s, HEARTH_MAGIC_SCHED);
    s->closed = true;
    hearth__sched_fail_waiting(s, NULL, HEARTH_ECLOSING, NULL);
    hearth__sched_pump(s);
}

bool hearth_sched_idle(const hearth_sched_t *s)
{
    return s->tasks == 0;
}

void hearth_sched_destroy(hearth_sched_t **out)
{
    hearth_sched_t *s = *out;
    if (s == NULL)
        return;
    HEARTH_CHECK(s, HEARTH_MAGIC_SCHED);
    HEARTH_ASSERT(s->tasks == 0 && s->models == NULL && s->first == NULL);
    hearth_cache_destroy(&s->cache);
    hearth_free(s->snapshot);
    s->magic = 0;
    hearth_free(s);
    *out = NULL;
}

/* ---- Models ---- */

/* What a device must have for the model to run on it, alone. */
static bool fits(const hearth_sched_t *s, uint32_t device,
                 const struct hearth_sched_fit *fit)
{
    const struct hearth_sched_device *d = &s->devices[device].config;
    uint64_t need = d->overhead_bytes;
    return !__builtin_add_overflow(need, fit->model_bytes, &need) &&
           !__builtin_add_overflow(need, fit->load_bytes, &need) &&
           !__builtin_add_overflow(need, fit->arena_bytes, &need) &&
           need <= d->limit_bytes;
}

/* Takes the fits over; a model too large for a device does not fit there. False
 * when none is left, and <err> holds every reason. */
static bool take_fits(hearth_sched_t *s, hearth_sched_model_t *m,
                      const struct hearth_sched_fit *given,
                      struct hearth_error *err)
{
    char reasons[sizeof err->text] = "", have[32], need[32];
    size_t used = 0;
    int status = HEARTH_OK;
    bool any = false;
    for (uint32_t i = 0; i < s->device_count; i++) {
        struct hearth_sched_fit *fit = &m->slots[i].fit;
        const struct hearth_sched_device *d = &s->devices[i].config;
        *fit = given[i];
        if (fit->status == HEARTH_OK && !fits(s, i, fit))
            hearth_fail(&fit->error, fit->status = HEARTH_ENOSPACE,
                        "needs %s, may take %s; give more memory",
                        hearth_format_bytes(fit->model_bytes + fit->load_bytes +
                                                fit->arena_bytes,
                                            need, sizeof need),
                        hearth_format_bytes(d->limit_bytes - d->overhead_bytes,
                                            have, sizeof have));
        any |= fit->status == HEARTH_OK;
        if (fit->status == HEARTH_OK || used >= sizeof reasons)
            continue;
        status = status == HEARTH_OK ? fit->status : status;
        used += (size_t)snprintf(reasons + used, sizeof reasons - used,
                                 "%sdevice %s: %s", used > 0 ? "; " : "",
                                 d->name, fit->error.text);
    }
    if (!any)
        hearth_fail(err, status, "%s", reasons);
    return any;
}

int hearth_sched_model_add(hearth_sched_t *s,
                           const struct hearth_sched_model_config *config,
                           hearth_sched_model_t **out, struct hearth_error *err)
{
    HEARTH_CHECK(s, HEARTH_MAGIC_SCHED);
    hearth_sched_model_t *m = hearth_calloc(
        1, sizeof *m + s->device_count * sizeof(struct hearth__sched_slot));
    struct hearth_error reasons = {0};
    *out = NULL;
    if (m == NULL)
        return hearth_fail(err, HEARTH_ENOMEM, "no memory; try again");
    if (!take_fits(s, m, config->fits, &reasons)) {
        hearth_free(m);
        return hearth_fail(err, reasons.status, "%s", reasons.text);
    }
    if (hearth_cache_model_add(s->cache, config->name, &m->queued,
                               &m->cached) != 0) {
        hearth_free(m);
        return hearth_fail(err, HEARTH_ENOMEM, "no memory; try again");
    }
    hearth_cache_model_set_owner(m->cached, m);
    m->magic = HEARTH_MAGIC_SCHED_MODEL;
    m->sched = s;
    m->graph = config->graph;
    m->weights = config->weights;
    hearth_host_copy_init(&m->host, s->config.host, config->graph,
                          config->weights);
    m->model = config->model;
    for (uint32_t i = 0; i < s->device_count; i++) {
        m->slots[i].model = m;
        m->slots[i].entry = hearth_cache_entry(m->cached, i);
    }
    m->next = s->models;
    if (m->next != NULL)
        m->next->prev = m;
    s->models = m;
    *out = m;
    return HEARTH_OK;
}

void hearth__sched_try_remove(hearth_sched_t *s, hearth_sched_model_t *m)
{
    if (!m->removing || m->tasks > 0)
        return;
    bool leaving = false;
    for (uint32_t i = 0; i < s->device_count; i++)
        if (m->slots[i].entry->state == HEARTH_CACHE_RESIDENT) {
            hearth__sched_unload(s, &m->slots[i]);
            leaving = true;
        }
    if (leaving)
        return;
    *(m->prev != NULL ? &m->prev->next : &s->models) = m->next;
    if (m->next != NULL)
        m->next->prev = m->prev;
    hearth_cache_model_remove(&m->cached);
    hearth_host_forget(&m->host);
    void (*removed)(void *ctx) = m->removed;
    void *ctx = m->removed_ctx;
    m->magic = 0;
    s->removing_count--;
    hearth_free(m);
    if (removed != NULL)
        removed(ctx);
}

static void set_pinned(hearth_sched_model_t *m, bool pinned)
{
    if (hearth_cache_model_pinned(m->cached) != pinned)
        m->sched->pinned_count += pinned ? 1 : (uint32_t)-1;
    hearth_cache_model_set_pinned(m->cached, pinned);
}

void hearth_sched_model_remove(hearth_sched_t *s, hearth_sched_model_t *m,
                               void (*removed)(void *ctx), void *ctx)
{
    HEARTH_CHECK(m, HEARTH_MAGIC_SCHED_MODEL);
    HEARTH_ASSERT(!m->removing);
    m->removing = true;
    s->removing_count++;
    hearth__sched_set_wanted(m, false);
    set_pinned(m, false);
    m->removed = removed;
    m->removed_ctx = ctx;
    hearth__sched_fail_waiting(s, m, HEARTH_ECLOSING, NULL);
    for (uint32_t i = 0; i < s->device_count; i++)
        __atomic_store_n(&m->slots[i].task.cancelled, 1, __ATOMIC_RELAXED);
    hearth__sched_pump(s);
}

void hearth__sched_set_wanted(hearth_sched_model_t *m, bool wanted)
{
    if (m->wanted != wanted)
        m->sched->wanted_count += wanted ? 1 : (uint32_t)-1;
    m->wanted = wanted;
}

void hearth_sched_model_load(hearth_sched_t *s, hearth_sched_model_t *m,
                             uint32_t tenant)
{
    HEARTH_CHECK(m, HEARTH_MAGIC_SCHED_MODEL);
    HEARTH_ASSERT(tenant < HEARTH_TENANTS_MAX);
    hearth__sched_set_wanted(m, !m->removing && !s->closed);
    m->wanted_tenant = tenant;
    hearth__sched_pump(s);
}

void hearth_sched_model_pin(hearth_sched_t *s, hearth_sched_model_t *m,
                            bool pinned)
{
    HEARTH_CHECK(m, HEARTH_MAGIC_SCHED_MODEL);
    pinned &= !m->removing;
    if (hearth_cache_model_pinned(m->cached) == pinned)
        return;
    set_pinned(m, pinned);
    if (pinned)
        hearth_sched_model_load(s, m, 0);
    else
        hearth__sched_pump(s);
}

void hearth_sched_tenant_quota(hearth_sched_t *s, uint32_t tenant,
                               uint64_t bytes)
{
    HEARTH_CHECK(s, HEARTH_MAGIC_SCHED);
    hearth_cache_set_quota(s->cache, tenant, bytes);
    hearth__sched_pump(s);
}

void hearth_sched_model_unload(hearth_sched_t *s, hearth_sched_model_t *m)
{
    HEARTH_CHECK(m, HEARTH_MAGIC_SCHED_MODEL);
    hearth__sched_set_wanted(m, false);
    for (uint32_t i = 0; i < s->device_count; i++)
        if (m->slots[i].entry->state == HEARTH_CACHE_RESIDENT &&
            m->slots[i].entry->pins == 0)
            hearth__sched_unload(s, &m->slots[i]);
    hearth__sched_pump(s);
}

/* ---- Reports ---- */

void hearth_sched_report(const hearth_sched_t *s,
                         struct hearth_sched_report *report)
{
    *report = s->report;
}

hearth_cache_t *hearth_sched_cache(hearth_sched_t *s)
{
    return s->cache;
}

bool hearth_sched_device_lost(const hearth_sched_t *s, uint32_t device)
{
    return s->devices[device].lost;
}

void hearth_sched_model_report(const hearth_sched_model_t *m,
                               struct hearth_sched_model_report *r)
{
    HEARTH_CHECK(m, HEARTH_MAGIC_SCHED_MODEL);
    r->name = hearth_cache_model_name(m->cached);
    r->pinned = hearth_cache_model_pinned(m->cached);
    r->queued = m->queued;
    r->load_us = m->load_us[HEARTH_TIER_DISK];
    r->host_load_us = m->load_us[HEARTH_TIER_HOST];
    r->in_host = __atomic_load_n(&m->host.here, __ATOMIC_ACQUIRE) != 0;
    r->run_us = m->run_us;
    r->device_count = m->sched->device_count;
    for (uint32_t i = 0; i < r->device_count; i++) {
        r->entries[i] = m->slots[i].entry;
        r->fits[i] = &m->slots[i].fit;
    }
}

void hearth_sched_models(const hearth_sched_t *s,
                         void (*fn)(void *ctx,
                                    const struct hearth_sched_model_report *r),
                         void *ctx)
{
    struct hearth_sched_model_report r;
    for (const hearth_sched_model_t *m = s->models; m != NULL; m = m->next) {
        hearth_sched_model_report(m, &r);
        fn(ctx, &r);
    }
}
