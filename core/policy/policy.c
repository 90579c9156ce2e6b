/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.c: the built-in defaults, and the check of every answer.
 *
 * place, after the paper's Algorithm 2: an idle device that holds the model; if
 * all holders are busy, wait for the first of them when that is sooner than
 * loading a copy; else load on the idle device where that is cheapest.
 */
#include "policy/policy.h"

#include <string.h>

const struct hearth_policy *hearth_policy_builtin(void)
{
    static const struct hearth_policy builtin = {.name = "builtin"};
    return &builtin;
}

/* ---- place ---- */

static bool can_take(const struct hearth_policy_device *d)
{
    return d->holds || d->loading || d->can_load;
}

static int place_default(const struct hearth_policy_place *c)
{
    int load = HEARTH_POLICY_WAIT;
    int64_t holder_finish = INT64_MAX;
    for (uint32_t i = 0; i < c->device_count; i++) {
        const struct hearth_policy_device *d = &c->devices[i];
        if (d->holds && d->idle)
            return (int)i;
        if (d->holds && d->finish_us < holder_finish)
            holder_finish = d->finish_us;
        if (d->loading)
            holder_finish =
                d->load_us < holder_finish ? d->load_us : holder_finish;
        if (d->holds || d->loading || !d->can_load)
            continue;
        /* Least to load, then most room. */
        if (load < 0 || d->load_us < c->devices[load].load_us ||
            (d->load_us == c->devices[load].load_us &&
             d->free_bytes > c->devices[load].free_bytes))
            load = (int)i;
    }
    if (load >= 0 && holder_finish != INT64_MAX &&
        holder_finish <= c->devices[load].load_us)
        return HEARTH_POLICY_WAIT;
    return load;
}

int hearth_policy_place(const struct hearth_policy *policy,
                        const struct hearth_policy_place *c,
                        struct hearth_policy_stats *stats)
{
    int choice = HEARTH_POLICY_DEFAULT;
    if (policy->place != NULL)
        choice = policy->place(policy->ctx, c);
    if (choice == HEARTH_POLICY_WAIT)
        return choice;
    if (choice >= 0 && (uint32_t)choice < c->device_count &&
        can_take(&c->devices[choice]))
        return choice;
    if (choice != HEARTH_POLICY_DEFAULT)
        stats->place_refused++;
    return place_default(c);
}

/* ---- evict ---- */

/* Takes candidate <i> unless it is taken or enough is. */
static void take(const struct hearth_policy_evict *c, uint32_t i,
                 bool taken[HEARTH_POLICY_CANDIDATES], uint32_t *victims,
                 uint32_t *count, uint64_t *freed)
{
    if (taken[i] || *freed >= c->need_bytes)
        return;
    taken[i] = true;
    victims[(*count)++] = i;
    *freed += c->candidates[i].bytes; /* bytes of one device: no overflow */
}

uint32_t hearth_policy_evict(const struct hearth_policy *policy,
                             const struct hearth_policy_evict *c,
                             uint32_t *victims,
                             struct hearth_policy_stats *stats)
{
    uint32_t chosen[HEARTH_POLICY_CANDIDATES], count = 0;
    bool taken[HEARTH_POLICY_CANDIDATES] = {false};
    uint64_t freed = 0;
    int n = HEARTH_POLICY_DEFAULT;
    HEARTH_ASSERT(c->count <= HEARTH_POLICY_CANDIDATES);
    if (policy->evict != NULL && c->count > 0)
        n = policy->evict(policy->ctx, c, chosen);
    bool sane =
        n == HEARTH_POLICY_DEFAULT || (n >= 0 && (uint32_t)n <= c->count);
    for (int k = 0; sane && k < n; k++)
        sane = chosen[k] < c->count;
    if (!sane)
        stats->evict_refused++;
    for (int k = 0; sane && k < n; k++)
        take(c, chosen[k], taken, victims, &count, &freed);
    for (uint32_t i = 0; i < c->count; i++) /* least recently used first */
        take(c, i, taken, victims, &count, &freed);
    return freed >= c->need_bytes ? count : 0;
}
