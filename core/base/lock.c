/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock.c: locks that know their rank.
 *
 * A thread's held locks have rising ranks, so the set of them is a word: bit
 * rank/2 is set while a lock of that rank is held. Taking one is allowed when
 * no bit at or above its own is set, which also refuses to take a lock twice.
 */
#include <errno.h>
#include <time.h>

#include "base/base.h"

static __thread uint64_t held;

static uint64_t rank_bit(const struct hearth_lock *lock)
{
    return UINT64_C(1) << ((unsigned)lock->rank / 2);
}

void hearth_lock_init(struct hearth_lock *lock, const char *name,
                      enum hearth_lock_rank rank)
{
    HEARTH_ASSERT(rank > HEARTH_LOCK_NONE && rank / 2 < 64);
    lock->name = name;
    lock->rank = rank;
    int rc = pthread_mutex_init(&lock->mutex, NULL);
    HEARTH_ASSERT(rc == 0);
}

void hearth_lock_fini(struct hearth_lock *lock)
{
    int rc = pthread_mutex_destroy(&lock->mutex);
    HEARTH_ASSERT(rc == 0);
}

void hearth_lock_acquire(struct hearth_lock *lock)
{
    uint64_t bit = rank_bit(lock);
    HEARTH_ASSERT(held < bit);
    int rc = pthread_mutex_lock(&lock->mutex);
    HEARTH_ASSERT(rc == 0);
    held |= bit;
}

void hearth_lock_release(struct hearth_lock *lock)
{
    uint64_t bit = rank_bit(lock);
    HEARTH_ASSERT(held & bit);
    held &= ~bit;
    int rc = pthread_mutex_unlock(&lock->mutex);
    HEARTH_ASSERT(rc == 0);
}

void hearth_cond_init(struct hearth_cond *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int rc = pthread_cond_init(&cond->cond, &attr);
    HEARTH_ASSERT(rc == 0);
    pthread_condattr_destroy(&attr);
}

void hearth_cond_fini(struct hearth_cond *cond)
{
    int rc = pthread_cond_destroy(&cond->cond);
    HEARTH_ASSERT(rc == 0);
}

/* Now + <us>, held to what timespec can express. */
static struct timespec deadline_after(int64_t us)
{
    const int64_t longest_us = INT64_C(1000000) * 3600 * 24 * 365;
    struct timespec at;
    us = us > longest_us ? longest_us : us;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += us / 1000000;
    at.tv_nsec += us % 1000000 * 1000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

bool hearth_cond_wait(struct hearth_cond *cond, struct hearth_lock *lock,
                      int64_t timeout_us)
{
    uint64_t bit = rank_bit(lock);
    HEARTH_ASSERT(held & bit);
    if (timeout_us < 0) {
        int rc = pthread_cond_wait(&cond->cond, &lock->mutex);
        HEARTH_ASSERT(rc == 0);
        return true;
    }
    struct timespec at = deadline_after(timeout_us);
    int rc = pthread_cond_timedwait(&cond->cond, &lock->mutex, &at);
    HEARTH_ASSERT(rc == 0 || rc == ETIMEDOUT);
    return rc == 0;
}

void hearth_cond_signal(struct hearth_cond *cond)
{
    pthread_cond_signal(&cond->cond);
}

void hearth_cond_broadcast(struct hearth_cond *cond)
{
    pthread_cond_broadcast(&cond->cond);
}
