/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.c: places of buffers in one arena. Largest first; each goes into the
 * smallest gap that holds it among those placed before that live at the same
 * time. That order leaves small buffers to fill what large ones leave, and on
 * networks comes within a few percent of the least possible. O(n^2), for some
 * hundreds of buffers.
 */
#include <stdlib.h>

#include "ops/ops_impl.h"

#define NO_SUM UINT64_MAX

static uint64_t align_up(uint64_t bytes, uint64_t alignment)
{
    uint64_t sum;
    if (__builtin_add_overflow(bytes, alignment - 1, &sum))
        return NO_SUM;
    return sum & ~(alignment - 1);
}

/* One after the other: a plan too, for when there is no memory to think. */
static uint64_t plan_in_line(struct hearth_arena_buffer *buffers,
                             uint32_t count, uint64_t alignment)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < count; i++) {
        buffers[i].offset = buffers[i].bytes == 0 ? 0 : end;
        if (buffers[i].bytes == 0)
            continue;
        uint64_t bytes = align_up(buffers[i].bytes, alignment);
        if (bytes == NO_SUM || __builtin_add_overflow(end, bytes, &end))
            return NO_SUM;
    }
    return end;
}

/* qsort has no context argument in C11: pointers to the buffers are sorted. */
static int larger_first(const void *a, const void *b)
{
    const struct hearth_arena_buffer *x =
        *(struct hearth_arena_buffer *const *)a;
    const struct hearth_arena_buffer *y =
        *(struct hearth_arena_buffer *const *)b;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    /* By place, so that equal inputs give equal plans. */
    return x < y ? -1 : x > y;
}

static bool meet(const struct hearth_arena_buffer *a,
                 const struct hearth_arena_buffer *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* Lowest offset of the best gap for <b> among <placed>, ordered by offset. */
static uint64_t best_gap(const struct hearth_arena_buffer *b, uint64_t bytes,
                         struct hearth_arena_buffer *const *placed,
                         uint32_t count, uint64_t alignment)
{
    uint64_t end = 0, best = NO_SUM, best_size = NO_SUM;
    for (uint32_t i = 0; i < count; i++) {
        const struct hearth_arena_buffer *p = placed[i];
        if (!meet(b, p))
            continue;
        if (p->offset > end && p->offset - end >= bytes &&
            p->offset - end < best_size) {
            best = end;
            best_size = p->offset - end;
        }
        /* Cannot overflow: p's end was checked when it was placed. */
        uint64_t p_end = p->offset + align_up(p->bytes, alignment);
        end = p_end > end ? p_end : end;
    }
    return best == NO_SUM ? end : best;
}

uint64_t hearth_arena_plan(struct hearth_arena_buffer *buffers, uint32_t count,
                           uint64_t alignment)
{
    struct hearth_arena_buffer **order =
        hearth__ops_malloc(2 * ((size_t)count + 1) * sizeof *order);
    if (order == NULL)
        return plan_in_line(buffers, count, alignment);
    struct hearth_arena_buffer **placed = order + count + 1;
    uint64_t total = 0;
    for (uint32_t i = 0; i < count; i++)
        order[i] = &buffers[i];
    qsort(order, count, sizeof *order, larger_first);
    for (uint32_t i = 0; i < count; i++) {
        struct hearth_arena_buffer *b = order[i];
        uint64_t bytes = align_up(b->bytes, alignment), end;
        b->offset = 0;
        if (b->bytes == 0)
            continue;
        if (bytes != NO_SUM)
            b->offset = best_gap(b, bytes, placed, i, alignment);
        if (bytes == NO_SUM || __builtin_add_overflow(b->offset, bytes, &end)) {
            total = NO_SUM;
            break;
        }
        total = end > total ? end : total;
        uint32_t k = i;
        for (; k > 0 && placed[k - 1]->offset > b->offset; k--)
            placed[k] = placed[k - 1];
        placed[k] = b;
    }
    free(order);
    return total;
}
