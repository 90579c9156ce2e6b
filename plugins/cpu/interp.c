/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interp.c: models whose sizes only a run tells, or that have control flow: the
 * nodes one by one by their rows (hearth_interp_run), weights as they are. A
 * plan is then just the size of an arena, which grows when a run did not find
 * room: the run ends with HEARTH_EAGAIN, and the next plan asks for more.
 */
#include <inttypes.h>

#include "cpu.h"

struct work {
    hearth_dev_model_t *model;
    const struct hearth_execution *execution;
};

static const void *weight(void *ctx, uint32_t value)
{
    const struct work *w = ctx;
    const struct cpu_pack *pack =
        cpu_packs_find(&w->model->packs, value, HEARTH_NO_VALUE);
    return pack == NULL ? NULL : w->model->weights + pack->offset;
}

static int pause(void *ctx, struct hearth_error *err)
{
    const struct work *w = ctx;
    if (w->execution->deadline_us != INT64_MAX &&
        cpu_host->now_us(cpu_host->ctx) > w->execution->deadline_us)
        return hearth_fail(err, HEARTH_ETIMEOUT,
                           "the deadline passed while it ran; allow more time");
    return HEARTH_OK;
}

static int alloc_output(void *ctx, uint32_t i, enum hearth_dtype dtype,
                        const struct hearth_shape *shape, void **data)
{
    const struct work *w = ctx;
    return w->execution->alloc_output(w->execution->ctx, i, dtype, shape, data);
}

/* The arena of the next run; more than asked for, so that few tries do. */
static int grow(hearth_dev_model_t *m, struct cpu_plan *plan, uint64_t need,
                struct hearth_error *err)
{
    uint64_t want = need + need / 2;
    if (need > m->dev->limit)
        return hearth_fail(err, HEARTH_ETOOBIG,
                           "cpu: activations of %" PRIu64
                           " bytes are larger than the device; send smaller "
                           "inputs",
                           need);
    want = want > m->dev->limit ? m->dev->limit : want;
    plan->arena_bytes = want;
    if (m->arena_bytes < want)
        m->arena_bytes = want;
    return HEARTH_EAGAIN;
}

int cpu_interpret(hearth_dev_model_t *m, struct cpu_plan *plan,
                  const struct hearth_execution *e, struct hearth_error *err)
{
    struct work w = {m, e};
    struct hearth_interp run = {.graph = m->graph,
                                .spec = &plan->spec,
                                .inputs = e->inputs,
                                .arena = e->arena,
                                .arena_bytes = e->arena_bytes,
                                .ctx = &w,
                                .weight = weight,
                                .pause = pause,
                                .alloc_output = alloc_output};
    int rc = hearth_interp_run(&run, err);
    if (rc == HEARTH_EAGAIN && run.need_bytes > 0)
        rc = grow(m, plan, run.need_bytes, err);
    return rc;
}
