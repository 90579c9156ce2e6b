/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.c: counted memory. A head of 16 bytes before each block holds its
 * size, so that the count of live bytes is exact and alignment is kept; a
 * magic in it finds blocks that were freed twice or never ours.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"

#define HEARTH_MAGIC_MEMORY UINT64_C(0x4852544d454d4f52)
#define HUGE_BYTES (UINT64_C(4) << 20)

struct head {
    uint64_t bytes;
    uint64_t magic;
};
_Static_assert(sizeof(struct head) == 16, "blocks stay aligned to 16 bytes");

static uint64_t used_bytes;
static int64_t fail_in; /* 0: off */
static bool fail_sticky;

void hearth_mem_fail_at(int64_t n, bool sticky)
{
    __atomic_store_n(&fail_sticky, sticky, __ATOMIC_RELAXED);
    __atomic_store_n(&fail_in, n, __ATOMIC_RELAXED);
}

/* Counts down to 1, the allocation that fails; sticky stays there. */
static bool must_fail(void)
{
    int64_t n = __atomic_load_n(&fail_in, __ATOMIC_RELAXED);
    if (__builtin_expect(n == 0, 1))
        return false;
    if (n == 1 && __atomic_load_n(&fail_sticky, __ATOMIC_RELAXED))
        return true;
    return __atomic_fetch_sub(&fail_in, 1, __ATOMIC_RELAXED) == 1;
}

static void count(uint64_t bytes)
{
    __atomic_fetch_add(&used_bytes, bytes, __ATOMIC_RELAXED);
}

static void uncount(uint64_t bytes)
{
    __atomic_fetch_sub(&used_bytes, bytes, __ATOMIC_RELAXED);
}

uint64_t hearth_mem_used_bytes(void)
{
    return __atomic_load_n(&used_bytes, __ATOMIC_RELAXED);
}

static void *seal(struct head *head, size_t bytes)
{
    head->bytes = bytes;
    head->magic = HEARTH_MAGIC_MEMORY;
    count(bytes);
    return head + 1;
}

void *hearth_malloc(size_t bytes)
{
    size_t whole;
    if (must_fail() ||
        __builtin_add_overflow(bytes, sizeof(struct head), &whole))
        return NULL;
    struct head *head = malloc(whole);
    return head == NULL ? NULL : seal(head, bytes);
}

void *hearth_calloc(size_t n, size_t bytes)
{
    size_t product, whole;
    if (__builtin_mul_overflow(n, bytes, &product) || must_fail() ||
        __builtin_add_overflow(product, sizeof(struct head), &whole))
        return NULL;
    struct head *head = calloc(1, whole);
    return head == NULL ? NULL : seal(head, product);
}

static struct head *head_of(void *ptr)
{
    struct head *head = (struct head *)ptr - 1;
    HEARTH_CHECK(head, HEARTH_MAGIC_MEMORY);
    return head;
}

void *hearth_realloc(void *ptr, size_t bytes)
{
    if (ptr == NULL)
        return hearth_malloc(bytes);
    struct head *head = head_of(ptr);
    uint64_t old_bytes = head->bytes;
    size_t whole;
    if (must_fail() ||
        __builtin_add_overflow(bytes, sizeof(struct head), &whole))
        return NULL;
    struct head *grown = realloc(head, whole);
    if (grown == NULL)
        return NULL;
    uncount(old_bytes);
    return seal(grown, bytes);
}

char *hearth_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = hearth_malloc(bytes);
    return copy == NULL ? NULL : memcpy(copy, text, bytes);
}

void hearth_free(void *ptr)
{
    if (ptr == NULL)
        return;
    struct head *head = head_of(ptr);
    uncount(head->bytes);
    head->magic = 0;
    free(head);
}

void *hearth_pages_alloc(uint64_t bytes)
{
    if (must_fail() || bytes == 0 || bytes > SIZE_MAX)
        return NULL;
    void *ptr = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ptr == MAP_FAILED)
        return NULL;
    if (bytes >= HUGE_BYTES) /* advice: whether it is taken does not matter */
        (void)madvise(ptr, bytes, MADV_HUGEPAGE);
    count(bytes);
    return ptr;
}

void hearth_pages_free(void *ptr, uint64_t bytes)
{
    if (ptr == NULL)
        return;
    int rc = munmap(ptr, bytes);
    HEARTH_ASSERT(rc == 0);
    uncount(bytes);
}
