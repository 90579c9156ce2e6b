/* SPDX-License-Identifier: Apache-2.0 */
/* work.c: the node's threads for what blocks. */
#include "serve/work.h"

#include <signal.h>

struct hearth__workers {
    struct hearth_lock lock;
    struct hearth_cond more;
    struct hearth__work *first, *last;
    bool ending;
    uint32_t count;
    pthread_t threads[];
};

static void *run(void *ctx)
{
    hearth__workers_t *w = ctx;

    hearth_lock_acquire(&w->lock);
    for (;;) {
        struct hearth__work *work = w->first;

        if (work) {
            w->first = work->next;
            if (w->first == NULL)
                w->last = NULL;
            hearth_lock_release(&w->lock);
            work->fn(work);
            hearth_lock_acquire(&w->lock);
        } else if (w->ending) {
            break;
        } else {
            hearth_cond_wait(&w->more, &w->lock, -1);
        }
    }
    hearth_lock_release(&w->lock);
    return NULL;
}

apr_status_t hearth__workers_create(hearth__workers_t **out, uint32_t threads)
{
    hearth__workers_t *w =
        hearth_calloc(1, sizeof(*w) + threads * sizeof(pthread_t));
    sigset_t all, before;

    *out = NULL;
    if (w == NULL)
        return HEARTH_ENOMEM;
    hearth_lock_init(&w->lock, "workers", HEARTH_LOCK_WORKERS);
    hearth_cond_init(&w->more);
    /* Signals are the main thread's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; w->count < threads; w->count++)
        if (pthread_create(&w->threads[w->count], NULL, run, w) != 0)
            break;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (w->count == 0) {
        hearth__workers_destroy(&w);
        return HEARTH_ENOMEM;
    }
    *out = w;
    return HEARTH_OK;
}

void hearth__workers_do(hearth__workers_t *w, struct hearth__work *work)
{
    hearth_lock_acquire(&w->lock);
    work->next = NULL;
    if (w->last)
        w->last->next = work;
    else
        w->first = work;
    w->last = work;
    hearth_cond_signal(&w->more);
    hearth_lock_release(&w->lock);
}

void hearth__workers_destroy(hearth__workers_t **out)
{
    hearth__workers_t *w = *out;

    if (w == NULL)
        return;
    *out = NULL;
    hearth_lock_acquire(&w->lock);
    w->ending = true;
    hearth_cond_broadcast(&w->more);
    hearth_lock_release(&w->lock);
    for (uint32_t i = 0; i < w->count; i++)
        pthread_join(w->threads[i], NULL);
    hearth_cond_fini(&w->more);
    hearth_lock_fini(&w->lock);
    hearth_free(w);
}
