/* SPDX-License-Identifier: Apache-2.0 */
/* device_run.c: see device_run.h. */
#include "unit/device_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t used(const struct device_run *run)
{
    return run->device->plugin->memory->used_bytes(run->device->dev);
}

static void drop_outputs(struct device_run *run)
{
    for (int i = 0; i < DEVICE_RUN_OUTPUTS; i++) {
        free(run->outputs[i].data);
        run->outputs[i].data = NULL;
    }
}

int device_run_load(struct device_run *run, hearth_device_t *device,
                    const struct hearth_graph *graph,
                    const struct hearth_weights *weights)
{
    const struct hearth_plugin *p = device->plugin;
    struct hearth_footprint fp = {.struct_bytes = sizeof fp};
    const struct hearth_load load = {
        .struct_bytes = sizeof load, .graph = graph, .weights = weights};
    memset(run, 0, sizeof *run);
    run->device = device;
    run->graph = graph;
    assert_true(graph->output_count <= DEVICE_RUN_OUTPUTS);
    uint64_t before = used(run);
    run->status = p->model->footprint(device->dev, graph, weights, NULL, &fp,
                                      &run->error);
    assert_int_equal(used(run), before);
    if (run->status != HEARTH_OK)
        return run->status;
    assert_int_equal(
        p->queue->create(device->dev, HEARTH_QUEUE_RUN, &run->queue, NULL), 0);
    run->status = p->model->load(device->dev, run->queue, &load, &run->model,
                                 &run->model_bytes, &run->error);
    if (run->status == HEARTH_OK) {
        assert_int_equal(used(run) - before, run->model_bytes);
        assert_true(run->model_bytes <= fp.model_bytes + fp.load_bytes);
        return HEARTH_OK;
    }
    assert_int_equal(used(run), before);
    p->queue->destroy(run->queue);
    return run->status;
}

static int alloc_output(void *ctx, uint32_t i, enum hearth_dtype dtype,
                        const struct hearth_shape *shape, void **data)
{
    struct device_run *run = ctx;
    uint64_t bytes;
    assert_true(hearth_shape_bytes(shape, dtype, &bytes));
    assert_null(run->outputs[i].data);
    *data = malloc(bytes + 1);
    run->outputs[i] = hearth_view_dense(*data, dtype, shape);
    return HEARTH_OK;
}

static void done(void *ctx, int status, const struct hearth_error *err)
{
    struct device_run *run = ctx;
    run->status = status;
    if (err != NULL)
        run->error = *err;
}

static int run_once(struct device_run *run, const struct hearth_view *inputs)
{
    const struct hearth_plugin *p = run->device->plugin;
    struct hearth_plan plan = {.struct_bytes = sizeof plan};
    struct hearth_shape *shapes =
        calloc(run->graph->input_count + 1, sizeof *shapes);
    void *arena = NULL;
    drop_outputs(run);
    for (uint32_t k = 0; k < run->graph->input_count; k++)
        shapes[k] = inputs[k].shape;
    run->status = p->model->plan(run->model, shapes, &plan, &run->error);
    free(shapes);
    if (run->status != HEARTH_OK)
        return run->status;
    assert_true(plan.model_bytes >= run->model_bytes || run->planned);
    run->planned = true;
    run->model_bytes = plan.model_bytes;
    if (plan.arena_bytes > 0) {
        assert_int_equal(
            p->memory->alloc(run->device->dev, plan.arena_bytes, &arena, NULL),
            0);
        /* What is never written shows. */
        memset(arena, 0xff, plan.arena_bytes);
    }
    const struct hearth_execution execution = {
        .struct_bytes = sizeof execution,
        .input_count = run->graph->input_count,
        .inputs = inputs,
        .arena = arena,
        .arena_bytes = plan.arena_bytes,
        .deadline_us = INT64_MAX,
        .ctx = run,
        .alloc_output = alloc_output,
        .done = done,
    };
    run->status = -1;
    int rc = p->model->execute(run->model, run->queue, &execution, &run->error);
    if (rc == HEARTH_OK)
        assert_int_equal(p->queue->synchronise(run->queue, INT64_MAX, NULL), 0);
    else
        run->status = rc;
    assert_int_not_equal(run->status, -1);
    if (arena != NULL)
        p->memory->free(run->device->dev, arena, plan.arena_bytes);
    return run->status;
}

/* A run that could not know before what it takes is begun again. */
int device_run_execute(struct device_run *run, const struct hearth_view *inputs)
{
    int rc, tries = 0;
    do {
        rc = run_once(run, inputs);
        assert_true(rc != HEARTH_EAGAIN || run->outputs[0].data == NULL);
    } while (rc == HEARTH_EAGAIN && ++tries < 100);
    return rc;
}

void device_run_unload(struct device_run *run)
{
    const struct hearth_plugin *p = run->device->plugin;
    uint64_t before = used(run);
    drop_outputs(run);
    p->model->unload(run->model);
    p->queue->destroy(run->queue);
    assert_int_equal(before - used(run), run->model_bytes);
}
