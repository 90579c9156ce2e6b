/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io.c: the engine's I/O threads, one loop each. They run sockets, decode and
 * encode; nothing on them blocks.
 */
#include "flow/flow_priv.h"

#include <signal.h>
#include <unistd.h>

#define IO_THREADS_MAX 4
#define IO_THREADS_LIMIT 256

static void *run_loop(void *loop)
{
    hearth_loop_run(loop);
    return NULL;
}

/* Signals are the process's business, not the engine's: its threads take none,
 * so that a handler runs on a thread that expects it. */
int hearth__thread_start(pthread_t *thread, void *(*fn)(void *), void *ctx)
{
    sigset_t all, before;
    int rv;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rv = pthread_create(thread, NULL, fn, ctx);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rv;
}

static uint32_t default_count(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (cores < 1)
        return 1;
    return cores > IO_THREADS_MAX ? IO_THREADS_MAX : (uint32_t)cores;
}

int hearth__io_start(hearth_engine_t *engine, uint32_t count,
                     struct hearth_error *err)
{
    if (count == 0)
        count = default_count();
    if (count > IO_THREADS_LIMIT)
        return hearth_fail(err, HEARTH_ECONFIG,
                           "%u I/O threads: take %d at most", count,
                           IO_THREADS_LIMIT);
    engine->io = hearth_calloc(count, sizeof(*engine->io));
    if (engine->io == NULL)
        goto nomem;
    for (; engine->io_count < count; engine->io_count++) {
        struct hearth__io *io = &engine->io[engine->io_count];

        if (hearth_loop_create(&io->loop, engine->clock) != APR_SUCCESS)
            goto nomem;
        if (hearth__thread_start(&io->thread, run_loop, io->loop) != 0) {
            hearth_loop_destroy(&io->loop);
            goto nomem;
        }
    }
    return HEARTH_OK;

nomem:
    hearth__io_stop(engine);
    return hearth_fail(err, HEARTH_ENOMEM,
                       "cannot start %u I/O threads: raise the limits of "
                       "memory and of processes (ulimit -u)",
                       count);
}

void hearth__io_stop(hearth_engine_t *engine)
{
    for (uint32_t i = 0; i < engine->io_count; i++) {
        hearth_loop_stop(engine->io[i].loop);
        pthread_join(engine->io[i].thread, NULL);
        hearth_loop_destroy(&engine->io[i].loop);
    }
    hearth_free(engine->io);
    engine->io = NULL;
    engine->io_count = 0;
}

uint32_t hearth_flow_loop_count(hearth_engine_t *engine)
{
    HEARTH_CHECK(engine, HEARTH_MAGIC_ENGINE);
    return engine->io_count;
}

hearth_loop_t *hearth_flow_loop(hearth_engine_t *engine, uint32_t i)
{
    HEARTH_CHECK(engine, HEARTH_MAGIC_ENGINE);
    HEARTH_ASSERT(i < engine->io_count);
    return engine->io[i].loop;
}

struct hearth__io *hearth__io_of(hearth_engine_t *engine, hearth_loop_t *loop)
{
    for (uint32_t i = 0; i < engine->io_count; i++)
        if (engine->io[i].loop == loop)
            return &engine->io[i];
    HEARTH_ASSERT(!"the loop is one of the engine's");
    return NULL;
}

/* ---- Errands: work on a loop's thread that the caller waits for. ---- */

struct errand {
    struct hearth_loop_work work;
    struct hearth_lock lock;
    struct hearth_cond cond;
    void (*fn)(void *ctx, uint32_t i);
    void *ctx;
    uint32_t i;
    bool over;
};

static void run_errand(struct hearth_loop_work *work)
{
    struct errand *errand = HEARTH_CONTAINER(work, struct errand, work);

    errand->fn(errand->ctx, errand->i);
    hearth_lock_acquire(&errand->lock);
    errand->over = true;
    hearth_cond_signal(&errand->cond);
    hearth_lock_release(&errand->lock);
}

void hearth__on_loop(hearth_loop_t *loop, void (*fn)(void *ctx, uint32_t i),
                     void *ctx, uint32_t i)
{
    struct errand errand = {.fn = fn, .ctx = ctx, .i = i};

    hearth_lock_init(&errand.lock, "errand", HEARTH_LOCK_WAIT);
    hearth_cond_init(&errand.cond);
    hearth_loop_post(loop, &errand.work, run_errand);
    hearth_lock_acquire(&errand.lock);
    while (!errand.over)
        hearth_cond_wait(&errand.cond, &errand.lock, -1);
    hearth_lock_release(&errand.lock);
    hearth_cond_fini(&errand.cond);
    hearth_lock_fini(&errand.lock);
}

void hearth_flow_on_loop(hearth_engine_t *engine, uint32_t i,
                         void (*fn)(void *ctx, uint32_t i), void *ctx)
{
    hearth__on_loop(hearth_flow_loop(engine, i), fn, ctx, i);
}
