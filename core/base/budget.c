/* SPDX-License-Identifier: Apache-2.0 */
/* budget.c: a limit in bytes that several threads share. */
#include "base/base.h"

void hearth_budget_init(struct hearth_budget *budget, uint64_t limit_bytes)
{
    budget->limit_bytes = limit_bytes;
    __atomic_store_n(&budget->used_bytes, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&budget->peak_bytes, 0, __ATOMIC_RELAXED);
}

static void raise_peak(struct hearth_budget *budget, uint64_t used)
{
    uint64_t peak = __atomic_load_n(&budget->peak_bytes, __ATOMIC_RELAXED);
    while (used > peak &&
           !__atomic_compare_exchange_n(&budget->peak_bytes, &peak, used, true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

bool hearth_budget_take(struct hearth_budget *budget, uint64_t bytes)
{
    uint64_t used = __atomic_load_n(&budget->used_bytes, __ATOMIC_RELAXED);
    uint64_t sum;
    do {
        if (__builtin_add_overflow(used, bytes, &sum) ||
            sum > budget->limit_bytes)
            return false;
    } while (!__atomic_compare_exchange_n(&budget->used_bytes, &used, sum, true,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    raise_peak(budget, sum);
    return true;
}

void hearth_budget_give(struct hearth_budget *budget, uint64_t bytes)
{
    uint64_t before =
        __atomic_fetch_sub(&budget->used_bytes, bytes, __ATOMIC_RELAXED);
    HEARTH_ASSERT(before >= bytes);
}

uint64_t hearth_budget_used(const struct hearth_budget *budget)
{
    return __atomic_load_n(&budget->used_bytes, __ATOMIC_RELAXED);
}
