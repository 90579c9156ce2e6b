/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tally.c: what each service's requests came to, for Triton's statistics. Added
 * up on the I/O threads without a lock; a reader may see a request's parts at
 * slightly different moments.
 */
#include "flow/flow_priv.h"

#include <time.h>

static void add(struct hearth__tally *tally, int64_t us)
{
    atomic_fetch_add(&tally->count, 1);
    atomic_fetch_add(&tally->us, us);
}

static int64_t epoch_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void hearth__tally_request(hearth_request_t *req)
{
    struct hearth__tallies *t = &req->service->tallies;
    const struct hearth_times *times = &req->answer.times;

    if (req->warming)
        return;
    if (req->failed) {
        add(&t->fail, times->total_us);
        return;
    }
    atomic_fetch_add(&t->inferences, req->context.batch);
    atomic_store(&t->last_ms, epoch_ms());
    add(&t->success, times->total_us);
    add(&t->queue, times->queue_us + times->load_us);
    add(&t->input, times->decode_us);
    add(&t->infer, times->run_us);
    add(&t->output, times->encode_us);
}

static struct hearth_flow_time read_tally(struct hearth__tally *tally)
{
    return (struct hearth_flow_time){.count = atomic_load(&tally->count),
                                     .us = atomic_load(&tally->us)};
}

void hearth_flow_service_stats(hearth_service_t *service,
                               struct hearth_flow_stats *stats)
{
    struct hearth__tallies *t = &service->tallies;

    HEARTH_CHECK(service, HEARTH_MAGIC_SERVICE);
    *stats = (struct hearth_flow_stats){
        .inferences = atomic_load(&t->inferences),
        .executions = atomic_load(&t->infer.count),
        .last_ms = atomic_load(&t->last_ms),
        .success = read_tally(&t->success),
        .fail = read_tally(&t->fail),
        .queue = read_tally(&t->queue),
        .input = read_tally(&t->input),
        .infer = read_tally(&t->infer),
        .output = read_tally(&t->output),
    };
}
