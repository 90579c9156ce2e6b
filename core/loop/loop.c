/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.c: descriptors, posted work and the turn. On epoll itself, not on
 * apr_pollset, which can neither report that the peer closed its sending side
 * (EPOLLRDHUP: how a waiting request learns that its client left) nor change
 * an interest in one system call nor wake one of several loops (EXCLUSIVE).
 */
#include "config.h"

#include "loop/loop_priv.h"

#include <errno.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void wake_up(hearth_loop_t *loop)
{
    uint64_t one = 1;
    ssize_t rc;
    do
        rc = write(loop->wake.fd, &one, sizeof(one));
    while (rc < 0 && errno == EINTR);
    /* EAGAIN: the counter is full, so a wake-up is pending anyway. */
}

static void on_wake(struct hearth_loop_fd *watch, unsigned events)
{
    (void)events;
    uint64_t count;
    ssize_t rc = read(watch->fd, &count, sizeof(count));
    (void)rc;
}

apr_status_t hearth_loop_create(hearth_loop_t **result,
                                const struct hearth_clock *clock)
{
    *result = NULL;
    hearth_loop_t *loop = hearth_calloc(1, sizeof(*loop));
    if (loop == NULL)
        return HEARTH_ENOMEM;
    loop->magic = HEARTH_MAGIC_LOOP;
    loop->clock = clock != NULL ? clock : hearth_clock_real();
    loop->awake = true;
    atomic_init(&loop->owner, pthread_self());
    atomic_init(&loop->running, false);
    atomic_init(&loop->stopping, false);
    sigemptyset(&loop->signal_set);
    hearth_lock_init(&loop->lock, "loop", HEARTH_LOCK_LOOP);
    apr_status_t status = 0;
    int wake_fd = -1;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        status = errno;
        goto fail;
    }
    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd < 0) {
        status = errno;
        goto fail;
    }
    status = hearth_loop_fd_start(loop, &loop->wake, wake_fd, HEARTH_LOOP_READ,
                                  on_wake);
    if (status != 0)
        goto fail;
    *result = loop;
    return 0;
fail:
    if (wake_fd >= 0)
        close(wake_fd);
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    hearth_lock_fini(&loop->lock);
    hearth_free(loop);
    return status;
}

void hearth_loop_destroy(hearth_loop_t **loop_ptr)
{
    hearth_loop_t *loop = *loop_ptr;
    if (loop == NULL)
        return;
    HEARTH_CHECK(loop, HEARTH_MAGIC_LOOP);
    HEARTH_ASSERT(!atomic_load(&loop->running) && !loop->in_turn);
    hearth__loop_signals_fini(loop);
    close(loop->wake.fd);
    close(loop->epoll_fd);
    hearth_lock_fini(&loop->lock);
    loop->magic = 0;
    hearth_free(loop);
    *loop_ptr = NULL;
}

bool hearth_loop_is_owner(hearth_loop_t *loop)
{
    return pthread_equal(
               atomic_load_explicit(&loop->owner, memory_order_relaxed),
               pthread_self()) != 0;
}

int64_t hearth_loop_now_us(const hearth_loop_t *loop)
{
    return loop->in_turn ? loop->now_us : hearth_now_us(loop->clock);
}

const struct hearth_clock *hearth_loop_clock(const hearth_loop_t *loop)
{
    return loop->clock;
}

/* ---- Descriptors ---- */

static uint32_t to_epoll(unsigned interest)
{
    uint32_t events = 0;
    if (interest & HEARTH_LOOP_READ)
        events |= EPOLLIN;
    if (interest & HEARTH_LOOP_WRITE)
        events |= EPOLLOUT;
    if (interest & HEARTH_LOOP_HUP)
        events |= EPOLLRDHUP;
    if (interest & HEARTH_LOOP_EXCLUSIVE)
        events |= EPOLLEXCLUSIVE;
    return events;
}

static unsigned from_epoll(uint32_t events)
{
    if (events & (EPOLLERR | EPOLLHUP))
        return HEARTH_LOOP_READ | HEARTH_LOOP_WRITE | HEARTH_LOOP_HUP;
    unsigned result = 0;
    if (events & (EPOLLIN | EPOLLPRI))
        result |= HEARTH_LOOP_READ;
    if (events & EPOLLOUT)
        result |= HEARTH_LOOP_WRITE;
    if (events & EPOLLRDHUP)
        result |= HEARTH_LOOP_HUP;
    return result;
}

apr_status_t
hearth_loop_fd_start(hearth_loop_t *loop, struct hearth_loop_fd *watch, int fd,
                     unsigned interest,
                     void (*fn)(struct hearth_loop_fd *fd, unsigned events))
{
    HEARTH_CHECK(loop, HEARTH_MAGIC_LOOP);
    HEARTH_LOOP_ASSERT_OWNER(loop);
    struct epoll_event event = {.events = to_epoll(interest),
                                .data.ptr = watch};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return errno;
    watch->fd = fd;
    watch->interest = interest;
    watch->fn = fn;
    watch->loop = loop;
    return 0;
}

apr_status_t hearth_loop_fd_interest(struct hearth_loop_fd *watch,
                                     unsigned interest)
{
    if (watch->interest == interest)
        return 0;
    HEARTH_LOOP_ASSERT_OWNER(watch->loop);
    HEARTH_ASSERT(!((watch->interest | interest) & HEARTH_LOOP_EXCLUSIVE));
    struct epoll_event event = {.events = to_epoll(interest),
                                .data.ptr = watch};
    if (epoll_ctl(watch->loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event) != 0)
        return errno;
    watch->interest = interest;
    return 0;
}

void hearth_loop_fd_stop(struct hearth_loop_fd *watch)
{
    hearth_loop_t *loop = watch->loop;
    if (loop == NULL)
        return;
    HEARTH_LOOP_ASSERT_OWNER(loop);
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    for (int i = loop->batch_next; i < loop->batch_count; i++)
        if (loop->batch[i].data.ptr == watch)
            loop->batch[i].data.ptr = NULL;
    watch->loop = NULL;
}

/* ---- Posted work ---- */

bool hearth_loop_post(hearth_loop_t *loop, struct hearth_loop_work *work,
                      void (*fn)(struct hearth_loop_work *work))
{
    HEARTH_CHECK(loop, HEARTH_MAGIC_LOOP);
    bool wake = false;
    hearth_lock_acquire(&loop->lock);
    bool queue = !work->queued;
    if (queue) {
        work->queued = true;
        work->fn = fn;
        work->next = NULL;
        if (loop->work_tail != NULL)
            loop->work_tail->next = work;
        else
            loop->work_head = work;
        loop->work_tail = work;
        loop->work_count++;
        wake = !loop->awake;
        loop->awake = true;
    }
    hearth_lock_release(&loop->lock);
    if (wake)
        wake_up(loop);
    return queue;
}

bool hearth_loop_cancel(hearth_loop_t *loop, struct hearth_loop_work *work)
{
    HEARTH_CHECK(loop, HEARTH_MAGIC_LOOP);
    HEARTH_LOOP_ASSERT_OWNER(loop);
    bool found = false;
    hearth_lock_acquire(&loop->lock);
    struct hearth_loop_work *before = NULL;
    for (struct hearth_loop_work *w = loop->work_head; w != NULL && !found;
         w = w->next) {
        found = w == work;
        if (!found) {
            before = w;
            continue;
        }
        if (before != NULL)
            before->next = w->next;
        else
            loop->work_head = w->next;
        if (loop->work_tail == w)
            loop->work_tail = before;
        w->queued = false;
        loop->work_count--;
    }
    hearth_lock_release(&loop->lock);
    return found;
}

/* Runs what was posted until now, and what that work posts in turn, but not
 * more rounds: work that posts itself cannot starve the descriptors. The
 * second round saves a system call where an answer that was posted here makes
 * its connection post itself. */
static void run_work(hearth_loop_t *loop)
{
    hearth_lock_acquire(&loop->lock);
    for (int round = 0; round < 2; round++) {
        uint64_t count = loop->work_count;
        while (count-- > 0 && loop->work_head != NULL) {
            struct hearth_loop_work *work = loop->work_head;
            loop->work_head = work->next;
            if (loop->work_head == NULL)
                loop->work_tail = NULL;
            loop->work_count--;
            work->queued = false;
            hearth_lock_release(&loop->lock);
            work->fn(work);
            hearth_lock_acquire(&loop->lock);
        }
    }
    hearth_lock_release(&loop->lock);
}

/* ---- The turn ---- */

/* Milliseconds to sleep, rounded up, so that a turn is not spent on a timer
 * that is not due yet. */
static int wait_ms(hearth_loop_t *loop, int64_t timeout_us)
{
    int64_t next_us = hearth__loop_timers_next_us(loop);
    int64_t wait_us = timeout_us < 0 ? INT64_MAX : timeout_us;
    if (next_us != INT64_MAX) {
        int64_t now_us = hearth_now_us(loop->clock);
        int64_t until_us = next_us > now_us ? next_us - now_us : 0;
        if (until_us < wait_us)
            wait_us = until_us;
    }
    /* Posted work that waits, or a stop, forbids to sleep; else the next
     * poster must wake us. */
    hearth_lock_acquire(&loop->lock);
    if (loop->work_head != NULL || atomic_load(&loop->stopping))
        wait_us = 0;
    loop->awake = wait_us == 0;
    hearth_lock_release(&loop->lock);
    if (wait_us == INT64_MAX)
        return -1;
    int64_t ms = wait_us / 1000 + (wait_us % 1000 != 0);
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

static void run_events(hearth_loop_t *loop, int count)
{
    loop->batch_count = count;
    loop->batch_next = 0;
    while (loop->batch_next < loop->batch_count) {
        const struct epoll_event *event = &loop->batch[loop->batch_next++];
        struct hearth_loop_fd *watch = event->data.ptr;
        if (watch != NULL)
            watch->fn(watch, from_epoll(event->events));
    }
    loop->batch_count = 0;
}

static apr_status_t turn(hearth_loop_t *loop, int64_t timeout_us)
{
    int ms = wait_ms(loop, timeout_us);
    int count = epoll_wait(loop->epoll_fd, loop->batch, HEARTH_LOOP_BATCH, ms);
    apr_status_t status = count < 0 && errno != EINTR ? errno : 0;
    if (ms != 0) {
        hearth_lock_acquire(&loop->lock);
        loop->awake = true;
        hearth_lock_release(&loop->lock);
    }
    loop->now_us = hearth_now_us(loop->clock);
    loop->in_turn = true;
    run_events(loop, count < 0 ? 0 : count);
    run_work(loop);
    hearth__loop_timers_run(loop);
    loop->in_turn = false;
    return status;
}

apr_status_t hearth_loop_run_once(hearth_loop_t *loop, int64_t timeout_us)
{
    HEARTH_CHECK(loop, HEARTH_MAGIC_LOOP);
    HEARTH_ASSERT(!atomic_load(&loop->running) && !loop->in_turn);
    atomic_store(&loop->owner, pthread_self());
    return turn(loop, timeout_us);
}

apr_status_t hearth_loop_run(hearth_loop_t *loop)
{
    HEARTH_CHECK(loop, HEARTH_MAGIC_LOOP);
    HEARTH_ASSERT(!atomic_exchange(&loop->running, true) && !loop->in_turn);
    atomic_store(&loop->owner, pthread_self());
    apr_status_t status = 0;
    while (status == 0 && !atomic_exchange(&loop->stopping, false))
        status = turn(loop, -1);
    atomic_store(&loop->running, false);
    return status;
}

void hearth_loop_stop(hearth_loop_t *loop)
{
    atomic_store(&loop->stopping, true);
    wake_up(loop);
}
