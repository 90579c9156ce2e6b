/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.c: the plugin's own memory, which a test can make fail, and the
 * device's, which is counted to the byte.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "cpu.h"

#define PAGES_FROM_BYTES (UINT64_C(1) << 20)

int cpu_no_memory(struct hearth_error *err)
{
    return hearth_fail(err, HEARTH_ENOMEM,
                       "cpu: no memory; evict something or try again");
}

/* ---- The plugin's own ---- */

/* 0: never; else allocations until the first that fails, and all after it. Per
 * thread, for tests; never set otherwise. */
static _Thread_local int64_t fail_at;

void cpu_fail_at(int64_t n)
{
    fail_at = n;
}

static bool fails_now(void)
{
    if (fail_at > 1)
        fail_at--;
    else if (fail_at == 1)
        return true;
    return false;
}

void *cpu_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : calloc(count, size);
}

void *cpu_realloc(void *ptr, size_t count, size_t size)
{
    size_t bytes;
    if (fails_now() || __builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return realloc(ptr, bytes);
}

/* ---- The device's memory ---- */

/* Large blocks are pages of their own, huge ones where the system has them:
 * they go back to it at once when they are freed. */
static void *host_pages(uint64_t bytes)
{
    if (fails_now())
        return NULL;
    if (bytes < PAGES_FROM_BYTES) {
        uint64_t whole = (bytes + CPU_ALIGNMENT - 1) / CPU_ALIGNMENT;
        return aligned_alloc(CPU_ALIGNMENT, whole * CPU_ALIGNMENT);
    }
    void *ptr = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ptr == MAP_FAILED)
        return NULL;
    (void)madvise(ptr, bytes, MADV_HUGEPAGE);
    return ptr;
}

static void host_pages_free(void *ptr, uint64_t bytes)
{
    if (bytes < PAGES_FROM_BYTES)
        free(ptr);
    else if (ptr != NULL)
        munmap(ptr, bytes);
}

int cpu_charge(hearth_dev_t *dev, uint64_t bytes, struct hearth_error *err)
{
    uint64_t used = __atomic_load_n(&dev->used, __ATOMIC_ACQUIRE), sum;
    do {
        if (__builtin_add_overflow(used, bytes, &sum) || sum > dev->limit)
            return hearth_fail(err, HEARTH_ENOMEM,
                               "cpu: %" PRIu64 " bytes are wanted, %" PRIu64
                               " of %" PRIu64 " are free; evict something",
                               bytes, used < dev->limit ? dev->limit - used : 0,
                               dev->limit);
    } while (!__atomic_compare_exchange_n(&dev->used, &used, sum, true,
                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return HEARTH_OK;
}

void cpu_uncharge(hearth_dev_t *dev, uint64_t bytes)
{
    __atomic_sub_fetch(&dev->used, bytes, __ATOMIC_ACQ_REL);
}

int cpu_alloc(hearth_dev_t *dev, uint64_t bytes, void **ptr,
              struct hearth_error *err)
{
    *ptr = NULL;
    int rc = cpu_charge(dev, bytes, err);
    if (rc != HEARTH_OK)
        return rc;
    *ptr = host_pages(bytes > 0 ? bytes : 1);
    if (*ptr != NULL)
        return HEARTH_OK;
    cpu_uncharge(dev, bytes);
    return cpu_no_memory(err);
}

void cpu_free(hearth_dev_t *dev, void *ptr, uint64_t bytes)
{
    if (ptr == NULL)
        return;
    host_pages_free(ptr, bytes > 0 ? bytes : 1);
    cpu_uncharge(dev, bytes);
}

static int host_alloc(hearth_dev_t *dev, uint64_t bytes, void **ptr,
                      struct hearth_error *err)
{
    (void)dev;
    *ptr = host_pages(bytes > 0 ? bytes : 1);
    return *ptr != NULL ? HEARTH_OK : cpu_no_memory(err);
}

static void host_free(hearth_dev_t *dev, void *ptr, uint64_t bytes)
{
    (void)dev;
    host_pages_free(ptr, bytes > 0 ? bytes : 1);
}

static uint64_t used_bytes(hearth_dev_t *dev)
{
    return __atomic_load_n(&dev->used, __ATOMIC_ACQUIRE);
}

const struct hearth_memory_calls cpu_memory_calls = {
    .struct_bytes = sizeof cpu_memory_calls,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .host_alloc = host_alloc,
    .host_free = host_free,
    .used_bytes = used_bytes,
};
