/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model.c: a model on the CPU: footprint, load, plans, runs.
 *
 * Packing depends on shapes that a load does not know yet, so it is done for
 * nominal ones: the first axis of an input 1, other unknown sizes as small as
 * the graph accepts. A plan for other shapes takes the layouts as they are.
 *
 * load and unload may run beside plan and execute of other models: nothing here
 * is shared between models but the device's counter.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gemm.h"
#include "winograd.h"

/* ---- Nominal shapes ---- */

static struct hearth_shape input_shape(const struct hearth_graph *g, uint32_t k)
{
    return hearth_graph_shape(hearth_graph_value(g, hearth_graph_inputs(g)[k]));
}

/* A symbol that is the first dimension of an input is most likely a batch:
 * <batch>, wherever else it stands; others are <size>. <first> has a place for
 * each. */
static void fill_shapes(const struct hearth_graph *g, int64_t batch,
                        int64_t size, uint8_t *first,
                        struct hearth_shape *shapes)
{
    for (uint32_t k = 0; k < g->input_count; k++) {
        shapes[k] = input_shape(g, k);
        if (shapes[k].rank > 0 && HEARTH_DIM_IS_SYMBOL(shapes[k].dims[0]))
            first[HEARTH_DIM_SYMBOL_INDEX(shapes[k].dims[0])] = 1;
    }
    for (uint32_t k = 0; k < g->input_count; k++)
        for (int i = 0; i < shapes[k].rank; i++) {
            int64_t *dim = &shapes[k].dims[i];
            if (HEARTH_DIM_IS_SYMBOL(*dim))
                *dim = first[HEARTH_DIM_SYMBOL_INDEX(*dim)] ? batch : size;
        }
}

/* Sizes of 1 may hide that a size is not known: a sum along an axis that only
 * data tell has the shape of its input then. */
static bool is_complete_at_two(const struct hearth_graph *g,
                               const struct hearth_weights *weights,
                               int64_t size, uint8_t *first,
                               struct hearth_shape *shapes)
{
    struct hearth_spec spec;
    fill_shapes(g, 2, size == 1 ? 2 : size, first, shapes);
    if (hearth_spec_create(&spec, g, weights, shapes, NULL) != HEARTH_OK)
        return true; /* there is no telling at this size */
    bool complete = hearth_spec_is_complete(g, &spec);
    hearth_spec_destroy(&spec);
    return complete;
}

/* *complete: every size is known before a run. */
static int nominal_spec(const struct hearth_graph *g,
                        const struct hearth_weights *weights,
                        struct hearth_spec *spec, bool *complete,
                        struct hearth_error *err)
{
    static const int64_t sizes[] = {1,   8,   32,  64,  128,
                                    224, 256, 299, 512, 1024};
    struct hearth_shape *own;
    uint8_t *first_dims;
    struct hearth_error first = {0};
    int rc = HEARTH_ESHAPE;
    own = cpu_calloc((size_t)g->input_count + 1, sizeof *own);
    first_dims = cpu_calloc((size_t)g->symbol_count + 1, 1);
    if (own == NULL || first_dims == NULL) {
        free(own);
        free(first_dims);
        return cpu_no_memory(err);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct hearth_error *e = i == 0 ? &first : NULL;
        fill_shapes(g, 1, sizes[i], first_dims, own);
        rc = hearth_spec_create(spec, g, weights, own, e);
        if (rc == HEARTH_OK)
            *complete =
                hearth_spec_is_complete(g, spec) &&
                is_complete_at_two(g, weights, sizes[i], first_dims, own);
        if (rc == HEARTH_OK || rc == HEARTH_ENOMEM || rc == HEARTH_EIO)
            break;
    }
    free(own);
    free(first_dims);
    if (rc != HEARTH_OK && err != NULL)
        *err = first;
    return rc;
}

/* ---- footprint ---- */

static int measure(hearth_dev_t *dev, const struct hearth_graph *graph,
                   const struct hearth_weights *weights,
                   const struct hearth_shape *shapes,
                   struct hearth_footprint *out, struct hearth_error *err)
{
    struct hearth_spec spec;
    struct cpu_packs packs;
    struct cpu_plan *plan;
    bool complete;
    int rc = nominal_spec(graph, weights, &spec, &complete, err);
    if (rc != HEARTH_OK)
        return rc;
    rc = cpu_packs_create(dev, graph, complete ? &spec : NULL, NULL, &packs,
                          err);
    if (rc != HEARTH_OK) {
        hearth_spec_destroy(&spec);
        return rc;
    }
    if (shapes != NULL) {
        hearth_spec_destroy(&spec);
        rc = hearth_spec_create(&spec, graph, weights, shapes, err);
    }
    if (rc == HEARTH_OK)
        rc = cpu_plan_create(dev, graph, &packs, &spec, &plan, err);
    if (rc == HEARTH_OK) {
        /* With the plan that its first run makes. */
        out->model_bytes = packs.bytes + plan->own_bytes;
        out->load_bytes = packs.staging;
        out->arena_bytes = plan->arena_bytes;
        cpu_plan_destroy(plan);
    }
    cpu_packs_destroy(&packs);
    return rc;
}

static int footprint(hearth_dev_t *dev, const struct hearth_graph *graph,
                     const struct hearth_weights *weights,
                     const struct hearth_shape *shapes,
                     struct hearth_footprint *out, struct hearth_error *err)
{
    int before = cpu_team_begin(dev);
    int rc = measure(dev, graph, weights, shapes, out, err);
    cpu_team_end(before);
    /* Of a model, not of a request. */
    if (rc == HEARTH_ETOOBIG && shapes == NULL)
        rc = HEARTH_ENOSPACE;
    else if (rc == HEARTH_ETYPE)
        rc = HEARTH_EUNSUPPORTED;
    if (rc != HEARTH_OK && err != NULL)
        err->status = rc;
    return rc;
}

/* ---- load, unload ---- */

static int pack_whole(hearth_dev_t *dev, const struct cpu_pack *pack,
                      const void *src, void *dst, struct hearth_error *err)
{
    if (pack->kind == CPU_PACK_WINOGRAD)
        cpu_winograd_pack(&pack->conv, pack->size, src, dst);
    else if (pack->kind == CPU_PACK_GEMM || pack->kind == CPU_PACK_PATCHES)
        cpu_gemm_pack(src, pack->k_step, pack->n_step, pack->k, pack->n,
                      dev->block, dst);
    else
        return cpu_pack(dev, &pack->conv, pack->layout, src, dst, err);
    return HEARTH_OK;
}

/* Several groups as one, zeros between them. */
static int pack_aligned(hearth_dev_t *dev, const struct cpu_pack *pack,
                        const float *src, void *dst, struct hearth_error *err)
{
    const struct cpu_conv *c = &pack->conv;
    void *copy;
    if (c->merged <= 1)
        return pack_whole(dev, pack, src, dst, err);
    int64_t in = c->in_channels / c->groups, own = in / c->merged;
    int64_t group = c->out_channels / c->groups / c->merged, taps = 1;
    for (int i = 0; i < c->rank; i++)
        taps *= c->window.kernel[i];
    uint64_t bytes = (uint64_t)(c->out_channels * in * taps) * sizeof *src;
    int rc = cpu_alloc(dev, bytes, &copy, err);
    if (rc != HEARTH_OK)
        return rc;
    memset(copy, 0, bytes);
    for (int64_t o = 0; o < c->out_channels; o++)
        memcpy((float *)copy + (o * in + o / group % c->merged * own) * taps,
               src + o * own * taps, (size_t)(own * taps) * sizeof *src);
    rc = pack_whole(dev, pack, copy, dst, err);
    cpu_free(dev, copy, bytes);
    return rc;
}

/* ONNX aligns nothing, and oneDNN and OpenMP loops want whole floats. */
static int pack_unaligned(hearth_dev_t *dev, const struct cpu_pack *pack,
                          const void *src, uint64_t bytes, void *dst,
                          struct hearth_error *err)
{
    void *copy;
    int rc = cpu_alloc(dev, bytes, &copy, err);
    if (rc != HEARTH_OK)
        return rc;
    memcpy(copy, src, bytes);
    rc = pack_aligned(dev, pack, copy, dst, err);
    cpu_free(dev, copy, bytes);
    return rc;
}

static int load_pack(hearth_dev_model_t *m, const struct cpu_pack *pack,
                     const struct hearth_weights *weights,
                     struct hearth_error *err)
{
    const struct hearth_graph_value *v =
        hearth_graph_value(m->graph, pack->value);
    char *dst = m->weights + pack->offset;
    const void *src;
    if (pack->kind == CPU_PACK_PLAIN)
        return weights->read(weights->ctx, v->segment, v->offset, v->bytes, dst,
                             err);
    int rc =
        weights->map(weights->ctx, v->segment, v->offset, v->bytes, &src, err);
    if (rc != HEARTH_OK)
        return rc;
    if ((uintptr_t)src % sizeof(float) != 0)
        return pack_unaligned(m->dev, pack, src, v->bytes, dst, err);
    return pack_aligned(m->dev, pack, src, dst, err);
}

static int load_weights(hearth_dev_model_t *m, const struct hearth_load *load,
                        struct hearth_error *err)
{
    uint64_t done = 0, total = 0;
    int rc = HEARTH_OK;
    for (uint32_t i = 0; i < m->packs.count; i++)
        total += m->packs.items[i].bytes;
    for (uint32_t i = 0; rc == HEARTH_OK && i < m->packs.count; i++) {
        if (load->cancelled != NULL && load->cancelled(load->ctx))
            return hearth_fail(err, HEARTH_ECANCELED,
                               "cpu: the load was given up");
        rc = load_pack(m, &m->packs.items[i], load->weights, err);
        done += m->packs.items[i].bytes;
        if (rc == HEARTH_OK && load->progress != NULL)
            load->progress(load->ctx, done, total);
    }
    return rc;
}

static void drop_plan(hearth_dev_model_t *m, int i)
{
    if (m->plans[i] == NULL)
        return;
    cpu_profile_report(m->plans[i], m->graph);
    m->plan_bytes -= m->plans[i]->own_bytes;
    cpu_uncharge(m->dev, m->plans[i]->own_bytes);
    cpu_plan_destroy(m->plans[i]);
    m->plans[i] = NULL;
}

void cpu_unload(hearth_dev_model_t *m)
{
    for (int i = 0; i < CPU_PLANS_MAX; i++)
        drop_plan(m, i);
    if (m->weights_stay)
        cpu_uncharge(m->dev, m->packs.bytes);
    else
        cpu_free(m->dev, m->weights, m->packs.bytes);
    cpu_packs_destroy(&m->packs);
    free(m);
    cpu_kernels_forget();
}

int cpu_load_begin(hearth_dev_t *dev, const struct hearth_load *load,
                   struct cpu_choices *choices, hearth_dev_model_t **out,
                   struct hearth_error *err)
{
    struct hearth_spec spec;
    cpu_bind_thread(dev);
    hearth_dev_model_t *m = cpu_calloc(1, sizeof *m);
    if (m == NULL)
        return cpu_no_memory(err);
    m->dev = dev;
    m->graph = load->graph;
    bool complete;
    int rc = nominal_spec(load->graph, load->weights, &spec, &complete, err);
    if (rc == HEARTH_OK) {
        rc = cpu_packs_create(dev, load->graph, complete ? &spec : NULL,
                              choices, &m->packs, err);
        hearth_spec_destroy(&spec);
    }
    if (rc == HEARTH_OK)
        *out = m;
    else
        cpu_unload(m);
    return rc;
}

static int load(hearth_dev_t *dev, hearth_queue_t *copy_queue,
                const struct hearth_load *load, hearth_dev_model_t **out,
                uint64_t *model_bytes, struct hearth_error *err)
{
    (void)copy_queue;
    hearth_dev_model_t *m;
    void *weights = NULL;
    int rc = cpu_load_begin(dev, load, NULL, &m, err);
    if (rc != HEARTH_OK)
        return rc;
    rc = cpu_alloc(dev, m->packs.bytes, &weights, err);
    m->weights = weights;
    if (rc == HEARTH_OK)
        rc = load_weights(m, load, err);
    if (rc != HEARTH_OK) {
        cpu_unload(m);
        return rc;
    }
    cpu_clear_gaps(m);
    *model_bytes = m->packs.bytes;
    *out = m;
    return HEARTH_OK;
}

/* ---- plan ---- */

/* Weights that shapes depend on, from where they are packed plain. */
static int read_loaded(void *ctx, uint32_t segment, uint64_t offset,
                       uint64_t bytes, void *dst, struct hearth_error *err)
{
    const hearth_dev_model_t *m = ctx;
    for (uint32_t i = 0; i < m->packs.count; i++) {
        const struct cpu_pack *pack = &m->packs.items[i];
        const struct hearth_graph_value *v =
            hearth_graph_value(m->graph, pack->value);
        if (pack->kind != CPU_PACK_PLAIN || v->segment != segment ||
            v->offset != offset || v->bytes != bytes)
            continue;
        memcpy(dst, m->weights + pack->offset, bytes);
        return HEARTH_OK;
    }
    return hearth_fail(err, HEARTH_EBUG,
                       "cpu: a shape depends on a weight that was not kept");
}

static struct cpu_plan *find_plan(hearth_dev_model_t *m,
                                  const struct hearth_view *inputs,
                                  const struct hearth_shape *shapes)
{
    for (int i = 0; i < CPU_PLANS_MAX; i++) {
        struct cpu_plan *plan = m->plans[i];
        bool same = plan != NULL;
        for (uint32_t k = 0; same && k < m->graph->input_count; k++)
            same = hearth_shape_equal(&plan->shapes[k], shapes != NULL
                                                            ? &shapes[k]
                                                            : &inputs[k].shape);
        if (!same)
            continue;
        plan->used = ++m->uses;
        return plan;
    }
    return NULL;
}

static int new_plan(hearth_dev_model_t *m, const struct hearth_shape *shapes,
                    struct cpu_plan **out, struct hearth_error *err)
{
    const struct hearth_weights loaded = {
        .struct_bytes = sizeof loaded, .ctx = m, .read = read_loaded};
    struct hearth_spec spec;
    struct cpu_plan *plan;
    int rc = hearth_spec_create(&spec, m->graph, &loaded, shapes, err);
    if (rc == HEARTH_OK)
        rc = cpu_plan_create(m->dev, m->graph, &m->packs, &spec, &plan, err);
    if (rc != HEARTH_OK)
        return rc;
    plan->shapes =
        cpu_calloc((size_t)m->graph->input_count + 1, sizeof *plan->shapes);
    rc =
        plan->shapes != NULL ? cpu_plan_prepare(plan, err) : cpu_no_memory(err);
    if (rc == HEARTH_OK)
        rc = cpu_charge(m->dev, plan->own_bytes, err);
    if (rc != HEARTH_OK) {
        cpu_plan_destroy(plan);
        return rc;
    }
    m->plan_bytes += plan->own_bytes;
    if (plan->interpreted && m->arena_bytes > plan->arena_bytes)
        plan->arena_bytes = m->arena_bytes;
    memcpy(plan->shapes, shapes, m->graph->input_count * sizeof *shapes);
    *out = plan;
    return HEARTH_OK;
}

static int plan(hearth_dev_model_t *m, const struct hearth_shape *shapes,
                struct hearth_plan *out, struct hearth_error *err)
{
    cpu_bind_thread(m->dev);
    struct cpu_plan *p = find_plan(m, NULL, shapes);
    if (p == NULL) {
        int oldest = 0;
        int rc = new_plan(m, shapes, &p, err);
        if (rc != HEARTH_OK)
            return rc;
        for (int i = 1; i < CPU_PLANS_MAX && m->plans[oldest] != NULL; i++)
            if (m->plans[i] == NULL ||
                m->plans[i]->used < m->plans[oldest]->used)
                oldest = i;
        drop_plan(m, oldest);
        m->plans[oldest] = p;
        p->used = ++m->uses;
    }
    out->arena_bytes = p->arena_bytes;
    out->model_bytes = m->packs.bytes + m->plan_bytes;
    return HEARTH_OK;
}

/* ---- execute ---- */

static int run_steps(struct cpu_run *run, int64_t deadline_us,
                     struct hearth_error *err)
{
    struct cpu_plan *p = run->plan;
    int rc = HEARTH_OK;
    int before = p->alone ? cpu_team_begin_of(1) : 0;
    for (uint32_t i = 0; rc == HEARTH_OK && i < p->step_count; i++) {
        struct cpu_step *step = &p->steps[i];
        if (deadline_us != INT64_MAX &&
            cpu_host->now_us(cpu_host->ctx) > deadline_us) {
            rc = hearth_fail(err, HEARTH_ETIMEOUT,
                             "the deadline passed after %" PRIu32 " of %" PRIu32
                             " steps; allow more time",
                             i, p->step_count);
            break;
        }
        const bool profile = run->dev->profile;
        int64_t began = profile ? cpu_profile_now() : 0;
        rc = step->run(run, step, err);
        if (profile)
            cpu_profile_step(p, i, cpu_profile_now() - began);
        if (rc != HEARTH_OK) {
            const struct hearth_graph_node *node =
                hearth_graph_node(run->graph, step->node);
            hearth_fail_prefix(err, "node %" PRIu32 " '%.60s' (%s)", step->node,
                               hearth_graph_string(run->graph, node->name),
                               hearth_op_name(node->op));
        }
    }
    if (p->alone)
        cpu_team_end(before);
    return rc;
}

static int give_outputs(const struct cpu_run *run,
                        const struct hearth_execution *e,
                        struct hearth_error *err)
{
    for (uint32_t k = 0; k < run->graph->output_count; k++) {
        const struct hearth_value_info *info =
            &run->plan->spec.values[hearth_graph_outputs(run->graph)[k]];
        uint64_t bytes = 0;
        void *data;
        (void)hearth_shape_bytes(&info->shape, info->dtype, &bytes);
        int rc = e->alloc_output(e->ctx, k, info->dtype, &info->shape, &data);
        if (rc != HEARTH_OK)
            return hearth_fail(err, rc,
                               "no room for output %" PRIu32 "; try again", k);
        if (bytes > 0)
            memcpy(data, cpu_at(run, &run->plan->outputs[k]), bytes);
    }
    return HEARTH_OK;
}

static int execute(hearth_dev_model_t *m, hearth_queue_t *queue,
                   const struct hearth_execution *e, struct hearth_error *err)
{
    (void)queue;
    struct hearth_error error = {0};
    /* Where values of no elements are when there is no room for any other. */
    static _Alignas(64) char nowhere[64];
    struct cpu_run run = {.dev = m->dev,
                          .graph = m->graph,
                          .plan = find_plan(m, e->inputs, NULL),
                          .arena = e->arena != NULL ? e->arena : nowhere,
                          .weights = m->weights != NULL ? m->weights : nowhere,
                          .inputs = e->inputs};
    if (run.plan == NULL)
        return hearth_fail(err, HEARTH_EBUG,
                           "cpu: a run at shapes without a plan; report this");
    if (run.plan->arena_bytes > e->arena_bytes)
        return hearth_fail(err, HEARTH_EBUG,
                           "cpu: a run in too small an arena; report this");
    cpu_bind_thread(m->dev);
    int rc = run.plan->interpreted ? cpu_interpret(m, run.plan, e, &error)
                                   : run_steps(&run, e->deadline_us, &error);
    if (rc == HEARTH_OK && !run.plan->interpreted)
        rc = give_outputs(&run, e, &error);
    e->done(e->ctx, rc, rc != HEARTH_OK ? &error : NULL);
    return HEARTH_OK;
}

const struct hearth_model_calls cpu_model_calls = {
    .struct_bytes = sizeof cpu_model_calls,
    .footprint = footprint,
    .load = load,
    .unload = cpu_unload,
    .plan = plan,
    .execute = execute,
    .lowered_key = cpu_lowered_key,
    .export_lowered = cpu_export_lowered,
    .load_lowered = cpu_load_lowered,
};
