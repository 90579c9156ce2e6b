/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timer.c: timers in a pairing heap that is threaded through the callers'
 * structs: starting and stopping allocates nothing and cannot fail, unlike an
 * array heap. Start is O(1), the rest O(log n) amortised.
 *
 * <child> is a node's first child, <next> its right sibling; <prev> is the
 * left sibling, or the parent of a first child, and NULL for the root.
 */
#include "config.h"

#include "loop/loop_priv.h"

/* Joins two roots; the earlier one becomes the other's parent. */
static struct hearth_loop_timer *meld(struct hearth_loop_timer *a,
                                      struct hearth_loop_timer *b)
{
    if (a == NULL)
        return b;
    if (b == NULL)
        return a;
    if (b->at_us < a->at_us) {
        struct hearth_loop_timer *swap = a;
        a = b;
        b = swap;
    }
    b->prev = a;
    b->next = a->child;
    if (b->next != NULL)
        b->next->prev = b;
    a->child = b;
    a->next = NULL;
    a->prev = NULL;
    return a;
}

/* Melds a list of siblings in two passes: in pairs from the left, then the
 * pairs from the right (here: in the order of a stack). */
static struct hearth_loop_timer *meld_list(struct hearth_loop_timer *first)
{
    struct hearth_loop_timer *stack = NULL;
    while (first != NULL) {
        struct hearth_loop_timer *a = first;
        struct hearth_loop_timer *b = a->next;
        first = b != NULL ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b != NULL)
            b->next = b->prev = NULL;
        a = meld(a, b);
        a->next = stack;
        stack = a;
    }
    struct hearth_loop_timer *root = NULL;
    while (stack != NULL) {
        struct hearth_loop_timer *next = stack->next;
        stack->next = NULL;
        root = meld(root, stack);
        stack = next;
    }
    return root;
}

static void heap_remove(hearth_loop_t *loop, struct hearth_loop_timer *timer)
{
    struct hearth_loop_timer *children = meld_list(timer->child);
    if (timer == loop->timers) {
        loop->timers = children;
    } else {
        if (timer->prev->child == timer)
            timer->prev->child = timer->next;
        else
            timer->prev->next = timer->next;
        if (timer->next != NULL)
            timer->next->prev = timer->prev;
        loop->timers = meld(loop->timers, children);
    }
    timer->child = timer->next = timer->prev = NULL;
    timer->loop = NULL;
    loop->timer_count--;
}

static void heap_add(hearth_loop_t *loop, struct hearth_loop_timer *timer)
{
    timer->child = timer->next = timer->prev = NULL;
    timer->loop = loop;
    loop->timers = meld(loop->timers, timer);
    loop->timer_count++;
}

void hearth_loop_timer_start(hearth_loop_t *loop,
                             struct hearth_loop_timer *timer, int64_t delay_us,
                             int64_t repeat_us,
                             void (*fn)(struct hearth_loop_timer *timer))
{
    HEARTH_CHECK(loop, HEARTH_MAGIC_LOOP);
    HEARTH_LOOP_ASSERT_OWNER(loop);
    hearth_loop_timer_stop(timer);
    if (__builtin_add_overflow(hearth_loop_now_us(loop),
                               delay_us > 0 ? delay_us : 0, &timer->at_us))
        timer->at_us = INT64_MAX;
    timer->repeat_us = repeat_us > 0 ? repeat_us : 0;
    timer->fn = fn;
    heap_add(loop, timer);
}

void hearth_loop_timer_stop(struct hearth_loop_timer *timer)
{
    if (timer->loop == NULL)
        return;
    HEARTH_LOOP_ASSERT_OWNER(timer->loop);
    heap_remove(timer->loop, timer);
}

int64_t hearth__loop_timers_next_us(const hearth_loop_t *loop)
{
    return loop->timers != NULL ? loop->timers->at_us : INT64_MAX;
}

void hearth__loop_timers_run(hearth_loop_t *loop)
{
    /* The count bounds timers that restart themselves with no delay. */
    for (uint64_t n = loop->timer_count; n > 0; n--) {
        struct hearth_loop_timer *timer = loop->timers;
        if (timer == NULL || timer->at_us > loop->now_us)
            return;
        heap_remove(loop, timer);
        if (timer->repeat_us > 0) {
            int64_t at_us;
            if (__builtin_add_overflow(timer->at_us, timer->repeat_us,
                                       &at_us) ||
                (at_us <= loop->now_us &&
                 __builtin_add_overflow(loop->now_us, timer->repeat_us,
                                        &at_us)))
                at_us = INT64_MAX;
            timer->at_us = at_us;
            heap_add(loop, timer);
        }
        timer->fn(timer);
    }
}
