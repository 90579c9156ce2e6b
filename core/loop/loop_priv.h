/* SPDX-License-Identifier: Apache-2.0 */
/* loop_priv.h: the loop's body, shared by the files of this module. */
#ifndef HEARTH_LOOP_LOOP_PRIV_H
#define HEARTH_LOOP_LOOP_PRIV_H

#include "loop/loop.h"

#include <stdatomic.h>
#include <sys/epoll.h>

#define HEARTH_MAGIC_LOOP 0x4c4f4f50u /* "LOOP" */
#define HEARTH_LOOP_BATCH 128         /* events fetched by one system call */
#define HEARTH_LOOP_SIGNALS 65        /* signal numbers are 1..64 */

struct hearth_loop_signal_slot {
    void (*fn)(void *ctx, int signum);
    void *ctx;
};

struct hearth_loop {
    uint32_t magic;
    const struct hearth_clock *clock;
    int64_t now_us; /* of the turn in progress */
    bool in_turn;
    _Atomic(pthread_t) owner;
    atomic_bool running, stopping;

    int epoll_fd;
    /* The events of this turn; those that a callback stopped have a NULL
     * pointer, so that no callback sees a struct that may be freed. */
    struct epoll_event batch[HEARTH_LOOP_BATCH];
    int batch_count, batch_next;

    struct hearth_loop_timer *timers; /* root of the heap */
    uint64_t timer_count;

    /* Posted work, under <lock>. <awake> false: the owner sleeps in the poll,
     * or is about to, and the first poster must write to the eventfd. */
    struct hearth_lock lock;
    struct hearth_loop_work *work_head, *work_tail;
    uint64_t work_count;
    bool awake;
    struct hearth_loop_fd wake;

    /* Signals and children; unused in all loops but one. */
    sigset_t signal_set;
    struct hearth_loop_fd signal_watch;
    struct hearth_loop_signal_slot signals[HEARTH_LOOP_SIGNALS];
    struct hearth_loop_child *children;
};

/* The next due time, INT64_MAX without a timer. */
int64_t hearth__loop_timers_next_us(const hearth_loop_t *loop);
void hearth__loop_timers_run(hearth_loop_t *loop);
void hearth__loop_signals_fini(hearth_loop_t *loop);

#endif
