/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h: an event loop: file descriptors, timers on an injected clock, work
 * posted from other threads, signals, child processes. It knows no protocol.
 *
 * One thread at a time runs a loop; that thread owns it, and everything here
 * is called by it alone unless a function says "any thread". What a caller
 * registers is a struct of its own (fd, timer, work, child), so that
 * registering allocates nothing. Invariant: after a stop call returns, the
 * callback of that registration does not run any more.
 */
#ifndef HEARTH_LOOP_LOOP_H
#define HEARTH_LOOP_LOOP_H

#include "base/base.h"

#include <signal.h>
#include <sys/types.h>

typedef struct hearth_loop hearth_loop_t;

/* Creates a loop owned by the calling thread until another one runs it.
 * <clock> is borrowed and must outlive the loop; NULL is hearth_clock_real().
 * HEARTH_ENOMEM, or the system's code. */
apr_status_t hearth_loop_create(hearth_loop_t **loop,
                                const struct hearth_clock *clock);
/* Frees the loop and NULLs the pointer. It must not be running, and no thread
 * may post any more; posted work that has not run is dropped. What is still
 * registered is forgotten: descriptors stay open, children go on. */
void hearth_loop_destroy(hearth_loop_t **loop);

/* Runs until hearth_loop_stop. The calling thread becomes the owner. */
apr_status_t hearth_loop_run(hearth_loop_t *loop);
/* One turn: waits for the first event at most <timeout_us> (negative: no
 * limit; 0: does not wait) or until the next timer is due, then runs what is
 * ready: descriptors, posted work, timers, in this order. With a manual clock
 * give 0: the wait itself is real time. */
apr_status_t hearth_loop_run_once(hearth_loop_t *loop, int64_t timeout_us);
/* Any thread, also from a signal callback: hearth_loop_run returns after the
 * turn in progress. Before a run, that run returns at once. */
void hearth_loop_stop(hearth_loop_t *loop);
/* Any thread: is the caller the loop's thread? */
bool hearth_loop_is_owner(hearth_loop_t *loop);
#define HEARTH_LOOP_ASSERT_OWNER(loop) HEARTH_ASSERT(hearth_loop_is_owner(loop))

/* The clock's reading at the start of this turn's callbacks: free of charge,
 * and the same for all of them. Outside a turn the clock is asked. */
int64_t hearth_loop_now_us(const hearth_loop_t *loop);
const struct hearth_clock *hearth_loop_clock(const hearth_loop_t *loop);

/* ---- File descriptors (level triggered) ---- */
enum hearth_loop_events {
    HEARTH_LOOP_NONE = 0,
    HEARTH_LOOP_READ = 1,     /* readable, at end of file, or in error */
    HEARTH_LOOP_WRITE = 2,    /* writable, or in error */
    HEARTH_LOOP_HUP = 4,      /* the peer closed its sending side, or reset */
    HEARTH_LOOP_EXCLUSIVE = 8 /* interest only: wake one of several loops that
                               * share a listening socket; cannot be changed
                               * by hearth_loop_fd_interest */
};
struct hearth_loop_fd {
    int fd;
    unsigned interest; /* read it; changed by hearth_loop_fd_interest */
    void (*fn)(struct hearth_loop_fd *fd, unsigned events);
    hearth_loop_t *loop; /* NULL while not started */
};
/* Watches <fd>, which stays the caller's to close, after the stop. An error or
 * a full hang-up is reported even with no interest. The struct must stay in
 * place until it is stopped. The system's code on failure. */
apr_status_t
hearth_loop_fd_start(hearth_loop_t *loop, struct hearth_loop_fd *watch, int fd,
                     unsigned interest,
                     void (*fn)(struct hearth_loop_fd *fd, unsigned events));
/* One system call when the interest changes, none otherwise. */
apr_status_t hearth_loop_fd_interest(struct hearth_loop_fd *watch,
                                     unsigned interest);
/* Allowed in any callback, also for another descriptor of the same turn, and
 * for one that is not started. */
void hearth_loop_fd_stop(struct hearth_loop_fd *watch);

/* ---- Timers. Zero the struct before its first use. Nothing here fails. ----
 */
struct hearth_loop_timer {
    void (*fn)(struct hearth_loop_timer *timer);
    int64_t at_us;       /* when it is due, on the loop's clock */
    int64_t repeat_us;   /* 0: one shot */
    hearth_loop_t *loop; /* NULL while not started */
    struct hearth_loop_timer *child, *next, *prev; /* the loop's */
};
/* Due <delay_us> after hearth_loop_now_us (negative counts as 0), then, when
 * <repeat_us> is positive, every <repeat_us>; turns that were missed are not
 * made up for. Restarts a started timer. A one-shot timer is stopped before
 * its callback runs, which may free or restart it. */
void hearth_loop_timer_start(hearth_loop_t *loop,
                             struct hearth_loop_timer *timer, int64_t delay_us,
                             int64_t repeat_us,
                             void (*fn)(struct hearth_loop_timer *timer));
void hearth_loop_timer_stop(struct hearth_loop_timer *timer);

/* ---- Posted work. Zero the struct before its first use. ---- */
struct hearth_loop_work {
    void (*fn)(struct hearth_loop_work *work);
    struct hearth_loop_work *next; /* the loop's */
    bool queued;                   /* the loop's, under its lock */
};
/* Any thread. Runs <fn> once on the loop's thread, in the order of posting,
 * never inside this call. The struct is the loop's from here until <fn>
 * begins, which may free it or post it again. False: it was queued already
 * (and runs once). */
bool hearth_loop_post(hearth_loop_t *loop, struct hearth_loop_work *work,
                      void (*fn)(struct hearth_loop_work *work));

/* The loop's thread. Takes queued work back: true when it was queued; <fn> is
 * not called for it. Looks through the queue: for ends, not for every day. */
bool hearth_loop_cancel(hearth_loop_t *loop, struct hearth_loop_work *work);

/* ---- Signals. One loop of the process. Call it before other threads start:
 * the signal is blocked in the calling thread and in all that it creates. A
 * second call for the same signal replaces the callback; a NULL <fn> ignores
 * the signal from then on. */
apr_status_t hearth_loop_signal(hearth_loop_t *loop, int signum,
                                void (*fn)(void *ctx, int signum), void *ctx);

/* ---- Child processes, on the loop that has the signals. ---- */
struct hearth_loop_child {
    pid_t pid; /* 0 while there is none */
    void (*fn)(struct hearth_loop_child *child, int wait_status);
    hearth_loop_t *loop;
    int wait_status; /* of waitpid, once it has ended */
    struct hearth_loop_child *next;
};
struct hearth_loop_child_spec {
    const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH */
    const char *const *envp; /* NULL: this process's */
    const char *directory;   /* NULL: this process's */
    int stdio[3];            /* descriptors to become 0, 1, 2; -1: inherited */
};
/* Starts a process that leads its own process group, with no signal blocked
 * and default actions for all; descriptors without close-on-exec are
 * inherited. <fn> runs once, after the process has ended and was reaped, and
 * may free <child>. The struct stays in place until then. Errors: the
 * system's code, as ENOENT when the program does not exist; no callback. */
apr_status_t hearth_loop_child_start(hearth_loop_t *loop,
                                     struct hearth_loop_child *child,
                                     const struct hearth_loop_child_spec *spec,
                                     void (*fn)(struct hearth_loop_child *child,
                                                int wait_status));
/* Signals the whole process group. HEARTH_ENOENT when it has ended. */
apr_status_t hearth_loop_child_kill(struct hearth_loop_child *child,
                                    int signum);

#endif
