/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model.c: loads, plans and runs a graph with the operators' own evaluation.
 *
 * A model keeps its weights in one block, each at a multiple of 64 bytes, which
 * is what it takes of the device. A plan is the graph at its input shapes and a
 * place in the arena for every activation; 8 are kept, and one that a run still
 * uses is never dropped.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "sim.h"

#define PLANS_MAX 8
#define ALIGNMENT 64
#define LOAD_STEPS 16

struct plan {
    struct hearth_shape *shapes; /* of the graph's inputs */
    struct hearth_spec spec;
    uint64_t *offsets; /* in the arena, of each activation */
    uint64_t arena_bytes;
    bool interpreted; /* node by node: the arena grows as runs need it */
    uint64_t used;    /* by the model's count of uses */
    uint32_t runs;    /* that are under way */
};

struct hearth_dev_model {
    hearth_dev_t *dev;
    const struct hearth_graph *graph;
    char *weights; /* NULL when nothing is computed */
    uint64_t *weight_at;
    uint64_t bytes;
    struct plan *plans[PLANS_MAX];
    uint64_t uses;
};

static int no_memory(struct hearth_error *err)
{
    return hearth_fail(err, HEARTH_ENOMEM, "sim: no host memory; try again");
}

/* Places of the weights; returns their bytes. False: more than can be. */
static bool place_weights(const struct hearth_graph *g, uint64_t *at,
                          uint64_t *bytes)
{
    *bytes = 0;
    for (uint32_t i = 0; i < g->value_count; i++) {
        const struct hearth_graph_value *v = hearth_graph_value(g, i);
        if (v->kind != HEARTH_VALUE_WEIGHT)
            continue;
        if (at != NULL)
            at[i] = *bytes;
        if (__builtin_add_overflow(*bytes, v->bytes, bytes) ||
            __builtin_add_overflow(*bytes, ALIGNMENT - 1, bytes))
            return false;
        *bytes &= ~(uint64_t)(ALIGNMENT - 1);
    }
    return true;
}

/* ---- Plans ---- */

static void plan_destroy(struct plan *plan)
{
    if (plan == NULL)
        return;
    hearth_spec_destroy(&plan->spec);
    free(plan->shapes);
    free(plan->offsets);
    free(plan);
}

/* First and last node that uses each activation, as buffers to place. */
static int find_lifetimes(const struct hearth_graph *g,
                          const struct hearth_spec *spec,
                          struct hearth_arena_buffer *buffers,
                          struct hearth_error *err)
{
    for (uint32_t n = 0; n < g->node_count; n++) {
        const struct hearth_graph_node *node = hearth_graph_node(g, n);
        if (spec->node_done[n])
            continue;
        for (uint32_t k = 0; k < node->output_count; k++) {
            uint32_t v = hearth_graph_output(g, node, k);
            if (v == HEARTH_NO_VALUE)
                continue;
            buffers[v].first = buffers[v].last = n;
            if (!hearth_shape_bytes(&spec->values[v].shape,
                                    spec->values[v].dtype, &buffers[v].bytes))
                return hearth_fail(err, HEARTH_EUNSUPPORTED,
                                   "sim: node %" PRIu32
                                   " (%s): its output's size is not known "
                                   "before it runs",
                                   n, hearth_op_name(node->op));
        }
        for (uint32_t k = 0; k < node->input_count; k++) {
            uint32_t v = hearth_graph_input(g, node, k);
            if (v != HEARTH_NO_VALUE)
                buffers[v].last = n;
        }
    }
    for (uint32_t k = 0; k < g->output_count; k++)
        buffers[hearth_graph_outputs(g)[k]].last = UINT32_MAX;
    return HEARTH_OK;
}

static int place_activations(const struct hearth_graph *g, struct plan *plan,
                             struct hearth_error *err)
{
    struct hearth_arena_buffer *buffers =
        calloc((size_t)g->value_count + 1, sizeof *buffers);
    plan->offsets = calloc((size_t)g->value_count + 1, sizeof *plan->offsets);
    if (buffers == NULL || plan->offsets == NULL) {
        free(buffers);
        return no_memory(err);
    }
    int rc = find_lifetimes(g, &plan->spec, buffers, err);
    if (rc == HEARTH_OK) {
        plan->arena_bytes =
            hearth_arena_plan(buffers, g->value_count, ALIGNMENT);
        for (uint32_t i = 0; i < g->value_count; i++)
            plan->offsets[i] = buffers[i].offset;
        if (plan->arena_bytes == UINT64_MAX)
            rc = hearth_fail(err, HEARTH_ENOSPACE,
                             "sim: activations of these shapes fit nowhere; "
                             "send smaller inputs");
    }
    free(buffers);
    return rc;
}

/* <shapes> NULL: every symbol is 1. */
static int plan_create(const struct hearth_graph *g,
                       const struct hearth_weights *weights,
                       const struct hearth_shape *shapes, struct plan **out,
                       struct hearth_error *err)
{
    struct plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL)
        return no_memory(err);
    int rc = HEARTH_OK;
    plan->shapes = calloc((size_t)g->input_count + 1, sizeof *plan->shapes);
    if (plan->shapes == NULL)
        rc = no_memory(err);
    for (uint32_t k = 0; rc == HEARTH_OK && k < g->input_count; k++) {
        struct hearth_shape *shape = &plan->shapes[k];
        *shape = shapes != NULL ? shapes[k]
                                : hearth_graph_shape(hearth_graph_value(
                                      g, hearth_graph_inputs(g)[k]));
        for (int i = 0; i < shape->rank; i++)
            if (shapes == NULL && HEARTH_DIM_IS_SYMBOL(shape->dims[i]))
                shape->dims[i] = 1;
    }
    if (rc == HEARTH_OK)
        rc = hearth_spec_create(&plan->spec, g, weights, plan->shapes, err);
    if (rc == HEARTH_OK && !hearth_spec_is_complete(g, &plan->spec)) {
        plan->interpreted = true;
        plan->arena_bytes = hearth_interp_arena(g, &plan->spec);
    } else if (rc == HEARTH_OK) {
        rc = place_activations(g, plan, err);
    }
    if (rc != HEARTH_OK) {
        plan_destroy(plan);
        plan = NULL;
    }
    *out = plan;
    return rc;
}

static struct plan *find_plan(hearth_dev_model_t *model,
                              const struct hearth_shape *shapes)
{
    for (uint32_t i = 0; i < PLANS_MAX; i++) {
        struct plan *plan = model->plans[i];
        bool same = plan != NULL;
        for (uint32_t k = 0; same && k < model->graph->input_count; k++)
            same = hearth_shape_equal(&plan->shapes[k], &shapes[k]);
        if (!same)
            continue;
        plan->used = ++model->uses;
        return plan;
    }
    return NULL;
}

/* Weights of a loaded model, for shapes that depend on them. */
static int read_loaded(void *ctx, uint32_t segment, uint64_t offset,
                       uint64_t bytes, void *dst, struct hearth_error *err)
{
    const hearth_dev_model_t *model = ctx;
    const struct hearth_graph *g = model->graph;
    for (uint32_t i = 0; i < g->value_count; i++) {
        const struct hearth_graph_value *v = hearth_graph_value(g, i);
        if (v->kind == HEARTH_VALUE_WEIGHT && v->segment == segment &&
            v->offset == offset && v->bytes == bytes) {
            memcpy(dst, model->weights + model->weight_at[i], bytes);
            return HEARTH_OK;
        }
    }
    return hearth_fail(err, HEARTH_EBUG, "sim: a weight that was not loaded");
}

/* ---- footprint, load, unload, plan ---- */

static int model_footprint(hearth_dev_t *dev, const struct hearth_graph *graph,
                           const struct hearth_weights *weights,
                           const struct hearth_shape *shapes,
                           struct hearth_footprint *out,
                           struct hearth_error *err)
{
    struct plan *plan;
    int rc = sim_call(dev, SIM_FOOTPRINT, err);
    if (rc == HEARTH_OK)
        rc = plan_create(graph, weights, shapes, &plan, err);
    if (rc != HEARTH_OK)
        return rc;
    if (!place_weights(graph, NULL, &out->model_bytes))
        rc = hearth_fail(err, HEARTH_ENOSPACE, "sim: weights fit nowhere");
    out->load_bytes = 0;
    out->arena_bytes = plan->arena_bytes;
    plan_destroy(plan);
    return rc;
}

/* As long as the model takes to arrive, in steps that can be cancelled. */
static int wait_for_bytes(hearth_dev_t *dev, const struct hearth_load *load,
                          uint64_t bytes, struct hearth_error *err)
{
    int64_t begin = sim_host->now_us(sim_host->ctx);
    double us = (double)dev->spec.load_us;
    if (dev->spec.bandwidth > 0)
        us += (double)bytes * 1e6 / (double)dev->spec.bandwidth;
    for (int i = 1; i <= LOAD_STEPS; i++) {
        if (load->cancelled != NULL && load->cancelled(load->ctx))
            return hearth_fail(err, HEARTH_ECANCELED, "sim: load cancelled");
        sim_host->wait_until_us(sim_host->ctx,
                                begin + (int64_t)(us * i / LOAD_STEPS));
        if (load->progress != NULL)
            load->progress(load->ctx, bytes * (uint64_t)i / LOAD_STEPS, bytes);
    }
    return HEARTH_OK;
}

static int read_weights(hearth_dev_model_t *model,
                        const struct hearth_load *load,
                        struct hearth_error *err)
{
    const struct hearth_graph *g = model->graph;
    int rc = HEARTH_OK;
    model->weights = aligned_alloc(ALIGNMENT, model->bytes + ALIGNMENT);
    if (model->weights == NULL)
        return no_memory(err);
    for (uint32_t i = 0; rc == HEARTH_OK && i < g->value_count; i++) {
        const struct hearth_graph_value *v = hearth_graph_value(g, i);
        if (v->kind == HEARTH_VALUE_WEIGHT)
            rc = load->weights->read(load->weights->ctx, v->segment, v->offset,
                                     v->bytes,
                                     model->weights + model->weight_at[i], err);
    }
    return rc;
}

static void model_free(hearth_dev_model_t *model)
{
    for (uint32_t i = 0; i < PLANS_MAX; i++)
        plan_destroy(model->plans[i]);
    free(model->weights);
    free(model->weight_at);
    free(model);
}

static void model_unload(hearth_dev_model_t *model)
{
    sim_give(model->dev, model->bytes);
    model_free(model);
}

static int model_load(hearth_dev_t *dev, hearth_queue_t *copy_queue,
                      const struct hearth_load *load, hearth_dev_model_t **out,
                      uint64_t *model_bytes, struct hearth_error *err)
{
    (void)copy_queue;
    int rc = sim_call(dev, SIM_LOAD, err);
    if (rc != HEARTH_OK)
        return rc;
    hearth_dev_model_t *model = calloc(1, sizeof *model);
    if (model == NULL)
        return no_memory(err);
    model->dev = dev;
    model->graph = load->graph;
    model->weight_at =
        calloc((size_t)load->graph->value_count + 1, sizeof *model->weight_at);
    if (model->weight_at == NULL)
        rc = no_memory(err);
    else if (!place_weights(load->graph, model->weight_at, &model->bytes))
        rc = hearth_fail(err, HEARTH_ENOSPACE, "sim: weights fit nowhere");
    if (rc == HEARTH_OK)
        rc = sim_take(dev, model->bytes, err);
    if (rc != HEARTH_OK) {
        model_free(model);
        return rc;
    }
    if (dev->spec.compute)
        rc = read_weights(model, load, err);
    if (rc == HEARTH_OK)
        rc = wait_for_bytes(dev, load, model->bytes, err);
    if (rc != HEARTH_OK) {
        model_unload(model);
        return rc;
    }
    *out = model;
    *model_bytes = model->bytes;
    return HEARTH_OK;
}

static int model_plan(hearth_dev_model_t *model,
                      const struct hearth_shape *shapes,
                      struct hearth_plan *out, struct hearth_error *err)
{
    const struct hearth_weights loaded = {
        .struct_bytes = sizeof loaded, .ctx = model, .read = read_loaded};
    int rc = sim_call(model->dev, SIM_PLAN, err);
    if (rc != HEARTH_OK)
        return rc;
    struct plan *plan = find_plan(model, shapes);
    if (plan == NULL) {
        uint32_t oldest = PLANS_MAX;
        for (uint32_t i = PLANS_MAX; i-- > 0;) {
            const struct plan *p = model->plans[i];
            if (p == NULL ||
                (p->runs == 0 && (oldest == PLANS_MAX ||
                                  (model->plans[oldest] != NULL &&
                                   p->used < model->plans[oldest]->used))))
                oldest = i;
        }
        if (oldest == PLANS_MAX)
            return hearth_fail(err, HEARTH_EAGAIN,
                               "sim: every plan is in use; try again");
        rc = plan_create(model->graph, model->weights != NULL ? &loaded : NULL,
                         shapes, &plan, err);
        if (rc != HEARTH_OK)
            return rc;
        plan_destroy(model->plans[oldest]);
        model->plans[oldest] = plan;
        plan->used = ++model->uses;
    }
    out->arena_bytes = plan->arena_bytes;
    out->model_bytes = model->bytes;
    return HEARTH_OK;
}

/* ---- execute ---- */

struct run {
    struct sim_run base; /* first: a run is what the queue carries */
    hearth_dev_model_t *model;
    struct plan *plan;
    const struct hearth_execution *execution;
    int status; /* decided when it began */
    struct hearth_error error;
};

/* Where a value's bytes are during the run. */
static void *value_data(const struct run *run, uint32_t v)
{
    const hearth_dev_model_t *model = run->model;
    const struct hearth_graph *g = model->graph;
    const struct hearth_graph_value *value = hearth_graph_value(g, v);
    if (run->plan->spec.values[v].data != NULL)
        return (void *)(uintptr_t)run->plan->spec.values[v].data;
    if (value->kind == HEARTH_VALUE_WEIGHT)
        return model->weights + model->weight_at[v];
    if (value->kind == HEARTH_VALUE_ACTIVATION)
        return (char *)run->execution->arena + run->plan->offsets[v];
    for (uint32_t k = 0; k < g->input_count; k++)
        if (hearth_graph_inputs(g)[k] == v)
            return run->execution->inputs[k].data;
    return NULL;
}

static void *node_place(void *ctx, uint32_t value, bool output, uint32_t k)
{
    (void)output;
    (void)k;
    return value_data(ctx, value);
}

static const void *weight_data(void *ctx, uint32_t v)
{
    const struct run *run = ctx;
    return run->model->weights + run->model->weight_at[v];
}

static int check_deadline(void *ctx, struct hearth_error *err)
{
    const struct run *run = ctx;
    if (sim_host->now_us(sim_host->ctx) > run->execution->deadline_us)
        return hearth_fail(err, HEARTH_ETIMEOUT,
                           "sim: the deadline passed while it ran");
    return HEARTH_OK;
}

static int alloc_output(void *ctx, uint32_t i, enum hearth_dtype dtype,
                        const struct hearth_shape *shape, void **data)
{
    const struct hearth_execution *e = ((struct run *)ctx)->execution;
    return e->alloc_output(e->ctx, i, dtype, shape, data);
}

static int interpret(struct run *run, struct hearth_error *err)
{
    struct hearth_interp interp = {.graph = run->model->graph,
                                   .spec = &run->plan->spec,
                                   .inputs = run->execution->inputs,
                                   .arena = run->execution->arena,
                                   .arena_bytes = run->execution->arena_bytes,
                                   .ctx = run,
                                   .weight = weight_data,
                                   .pause = check_deadline,
                                   .alloc_output = alloc_output};
    int rc = hearth_interp_run(&interp, err);
    uint64_t need = interp.need_bytes;
    if (rc != HEARTH_EAGAIN || need == 0)
        return rc;
    if (need > run->model->dev->spec.mem)
        return hearth_fail(err, HEARTH_ETOOBIG,
                           "sim: activations of %" PRIu64
                           " bytes are larger than the device; send smaller "
                           "inputs",
                           need);
    /* More than asked for, so that few tries do. */
    run->plan->arena_bytes = need + need / 2 < run->model->dev->spec.mem
                                 ? need + need / 2
                                 : run->model->dev->spec.mem;
    return rc;
}

static int run_nodes(struct run *run, struct hearth_error *err)
{
    const struct hearth_graph *g = run->model->graph;
    const struct hearth_spec *spec = &run->plan->spec;
    struct hearth_op_scratch scratch;
    int rc = hearth_op_scratch_create(&scratch, g) ? HEARTH_OK : no_memory(err);
    if (rc != HEARTH_OK)
        return rc;
    for (uint32_t n = 0; rc == HEARTH_OK && n < g->node_count; n++) {
        const struct hearth_graph_node *node = hearth_graph_node(g, n);
        if (sim_host->now_us(sim_host->ctx) > run->execution->deadline_us)
            rc = hearth_fail(err, HEARTH_ETIMEOUT,
                             "sim: the deadline passed while it ran");
        else if (!spec->node_done[n] &&
                 (rc = hearth_op_run(g, spec, n, &scratch, node_place, run,
                                     err)) != HEARTH_OK)
            hearth_fail_prefix(err, "node %" PRIu32 " '%.60s' (%s)", n,
                               hearth_graph_string(g, node->name),
                               hearth_op_name(node->op));
    }
    hearth_op_scratch_destroy(&scratch);
    return rc;
}

static int give_outputs(struct run *run, bool computed,
                        struct hearth_error *err)
{
    const struct hearth_graph *g = run->model->graph;
    for (uint32_t k = 0; k < g->output_count; k++) {
        uint32_t v = hearth_graph_outputs(g)[k];
        struct hearth_value_info info = run->plan->spec.values[v];
        uint64_t bytes = 0;
        void *data;
        /* Nothing is computed: a size that only a run tells is 1. */
        for (int i = 0; i < info.shape.rank; i++)
            if (HEARTH_DIM_IS_SYMBOL(info.shape.dims[i]))
                info.shape.dims[i] = 1;
        if (info.shape.rank < 0)
            info.shape.rank = 0;
        (void)hearth_shape_bytes(&info.shape, info.dtype, &bytes);
        int rc = run->execution->alloc_output(run->execution->ctx, k,
                                              info.dtype, &info.shape, &data);
        if (rc != HEARTH_OK)
            return hearth_fail(err, rc, "sim: no room for output %" PRIu32, k);
        if (bytes == 0)
            continue;
        if (computed)
            memcpy(data, value_data(run, v), bytes);
        else
            memset(data, 0, bytes);
    }
    return HEARTH_OK;
}

static void run_finish(struct sim_run *base)
{
    struct run *run = (struct run *)base;
    const struct hearth_execution *execution = run->execution;
    bool compute = run->model->dev->spec.compute;
    int rc = run->status;
    bool interpreted = compute && run->plan->interpreted;
    if (rc == HEARTH_OK && interpreted)
        rc = interpret(run, &run->error);
    else if (rc == HEARTH_OK && compute)
        rc = run_nodes(run, &run->error);
    if (rc == HEARTH_OK && !interpreted)
        rc = give_outputs(run, compute, &run->error);
    struct hearth_error error = run->error;
    run->plan->runs--;
    free(run);
    execution->done(execution->ctx, rc, rc != HEARTH_OK ? &error : NULL);
}

static int model_execute(hearth_dev_model_t *model, hearth_queue_t *queue,
                         const struct hearth_execution *execution,
                         struct hearth_error *err)
{
    const struct hearth_graph *g = model->graph;
    int rc = sim_call(model->dev, SIM_EXECUTE, err);
    if (rc != HEARTH_OK)
        return rc;
    struct hearth_shape *shapes =
        calloc((size_t)g->input_count + 1, sizeof *shapes);
    struct run *run = calloc(1, sizeof *run);
    if (shapes == NULL || run == NULL) {
        free(shapes);
        free(run);
        return no_memory(err);
    }
    for (uint32_t k = 0; k < g->input_count; k++)
        shapes[k] = execution->inputs[k].shape;
    run->plan = find_plan(model, shapes);
    free(shapes);
    if (run->plan == NULL || run->plan->arena_bytes > execution->arena_bytes) {
        free(run);
        return hearth_fail(err, HEARTH_EBUG,
                           "sim: run without a plan, or in too small an arena");
    }
    run->base.finish = run_finish;
    run->model = model;
    run->execution = execution;
    run->status = sim_call(model->dev, SIM_RUN, &run->error);
    run->plan->runs++;
    sim_queue_add(queue, &run->base, model->dev->spec.run_us);
    return HEARTH_OK;
}

const struct hearth_model_calls sim_model_calls = {
    .struct_bytes = sizeof sim_model_calls,
    .footprint = model_footprint,
    .load = model_load,
    .unload = model_unload,
    .plan = model_plan,
    .execute = model_execute,
};
