/* SPDX-License-Identifier: Apache-2.0 */
/* clock.c: the real clock, and one that is moved by hand. */
#include <time.h>

#include "base/base.h"

static int64_t real_now_us(void *ctx)
{
    struct timespec now;
    (void)ctx;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

const struct hearth_clock *hearth_clock_real(void)
{
    static const struct hearth_clock clock = {NULL, real_now_us};
    return &clock;
}

static int64_t manual_now_us(void *ctx)
{
    const struct hearth_manual_clock *clock = ctx;
    return __atomic_load_n(&clock->us, __ATOMIC_ACQUIRE);
}

void hearth_manual_clock_init(struct hearth_manual_clock *clock,
                              int64_t start_us)
{
    clock->clock.ctx = clock;
    clock->clock.now_us = manual_now_us;
    hearth_manual_clock_set(clock, start_us);
}

void hearth_manual_clock_set(struct hearth_manual_clock *clock, int64_t us)
{
    __atomic_store_n(&clock->us, us, __ATOMIC_RELEASE);
}

void hearth_manual_clock_advance(struct hearth_manual_clock *clock, int64_t us)
{
    __atomic_fetch_add(&clock->us, us, __ATOMIC_ACQ_REL);
}
