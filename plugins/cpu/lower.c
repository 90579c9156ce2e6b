/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lower.c: a graph at its shapes becomes a list of steps.
 *
 * A value may be there plain (rows, as ONNX has it), blocked (nChw8c or 16c),
 * or both; `need` adds the change of layout when a step wants what is missing.
 * While steps are added, an arena reference holds the number of a buffer; how
 * long a buffer lives is known by the steps that touch it, and its place is
 * found at the end. A step may write over a buffer that nobody reads later.
 */
#include "attention.h"
#include "chain.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- Steps and buffers ---- */

static void *grow(void *items, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    uint32_t more = *capacity == 0 ? 64 : *capacity * 2;
    void *larger = cpu_realloc(items, more, size);
    if (larger != NULL)
        *capacity = more;
    return larger;
}

struct cpu_ref cpu__buffer(struct lowering *l, uint64_t bytes)
{
    struct cpu_ref none = {.place = CPU_NOWHERE};
    uint32_t capacity = l->buffer_capacity;
    struct hearth_arena_buffer *buffers =
        grow(l->buffers, l->buffer_count, &l->buffer_capacity, sizeof *buffers);
    if (buffers == NULL)
        return none;
    l->buffers = buffers;
    if (capacity != l->buffer_capacity) {
        uint32_t *last =
            cpu_realloc(l->buffer_last_node, l->buffer_capacity, sizeof *last);
        if (last == NULL) {
            l->buffer_capacity = capacity;
            return none;
        }
        l->buffer_last_node = last;
    }
    l->buffers[l->buffer_count] = (struct hearth_arena_buffer){
        .bytes = bytes, .first = UINT32_MAX, .last = 0};
    l->buffer_last_node[l->buffer_count] = 0;
    return (struct cpu_ref){.place = CPU_ARENA, .at = l->buffer_count++};
}

static void touch(struct lowering *l, const struct cpu_ref *ref)
{
    if (ref->place != CPU_ARENA)
        return;
    struct hearth_arena_buffer *b = &l->buffers[ref->at];
    if (b->first == UINT32_MAX)
        b->first = l->plan->step_count;
    b->last = l->plan->step_count;
}

int cpu__step(struct lowering *l, const struct cpu_step *step,
              const struct cpu_ref *more, uint32_t more_count,
              struct hearth_error *err)
{
    struct cpu_plan *p = l->plan;
    struct cpu_step *steps =
        grow(p->steps, p->step_count, &p->step_capacity, sizeof *steps);
    if (steps == NULL)
        return cpu_no_memory(err);
    p->steps = steps;
    p->steps[p->step_count] = *step;
    struct cpu_step *s = &p->steps[p->step_count];
    s->node = l->node;
    s->first_ref = p->ref_count;
    s->ref_count = more_count;
    for (uint32_t i = 0; i < more_count; i++) {
        struct cpu_ref *refs =
            grow(p->refs, p->ref_count, &p->ref_capacity, sizeof *refs);
        if (refs == NULL)
            return cpu_no_memory(err);
        p->refs = refs;
        p->refs[p->ref_count++] = more[i];
        touch(l, &more[i]);
    }
    for (int i = 0; i < CPU_ARGS_MAX; i++)
        touch(l, &s->refs[i]);
    p->step_count++;
    return HEARTH_OK;
}

static int run_primitive(const struct cpu_run *run, struct cpu_step *step,
                         struct hearth_error *err)
{
    void *data[CPU_ARGS_MAX];
    for (int i = 0; i < step->primitive.count; i++)
        data[i] = cpu_at(run, &step->refs[i]);
    return cpu_primitive_run(run->dev->stream, &step->primitive, data, err);
}

int cpu__primitive_step(struct lowering *l, struct cpu_primitive *primitive,
                        const struct cpu_ref *refs, int count,
                        struct hearth_error *err)
{
    struct cpu_step step = {.run = run_primitive, .primitive = *primitive};
    for (int i = 0; i < count; i++)
        step.refs[i] = refs[i];
    if (primitive->scratch_bytes > 0) {
        step.refs[count] = cpu__buffer(l, primitive->scratch_bytes);
        if (step.refs[count].place == CPU_NOWHERE) {
            cpu_primitive_destroy(primitive);
            return cpu_no_memory(err);
        }
    }
    int rc = cpu__step(l, &step, NULL, 0, err);
    if (rc != HEARTH_OK)
        cpu_primitive_destroy(primitive);
    return rc;
}

/* ---- Values ---- */

static bool is_blockable(const struct lowering *l, uint32_t v)
{
    const struct hearth_value_info *info = &l->plan->spec.values[v];
    return info->shape.rank == 4 && info->dtype == HEARTH_F32;
}

static int too_big(struct hearth_error *err)
{
    return hearth_fail(err, HEARTH_ETOOBIG,
                       "cpu: activations of these shapes are larger than the "
                       "device; send smaller inputs");
}

int cpu__bytes(const struct lowering *l, uint32_t v, bool blocked,
               uint64_t *bytes, struct hearth_error *err)
{
    const struct hearth_value_info *info = &l->plan->spec.values[v];
    struct hearth_shape shape = info->shape;
    char text[200];
    if (!hearth_shape_known(&shape) || shape.rank < 0)
        return hearth_fail(err, HEARTH_EUNSUPPORTED,
                           "cpu: the size of its output %s is not known before "
                           "it runs; use another model",
                           hearth_shape_text(&shape, text, sizeof text));
    if (!hearth_shape_bytes(&shape, info->dtype, bytes))
        return too_big(err);
    if (!blocked)
        return HEARTH_OK;
    int64_t block = l->dev->block;
    if (__builtin_add_overflow(shape.dims[1], block - 1, &shape.dims[1]))
        return too_big(err);
    shape.dims[1] -= shape.dims[1] % block;
    return hearth_shape_bytes(&shape, info->dtype, bytes) ? HEARTH_OK
                                                          : too_big(err);
}

static void map(struct lowering *l, uint32_t v, bool blocked,
                struct cpu_ref ref)
{
    struct cpu_ref *at = blocked ? &l->values[v].blocked : &l->values[v].plain;
    *at = ref;
    if (ref.place == CPU_ARENA && l->last_node[v] > l->buffer_last_node[ref.at])
        l->buffer_last_node[ref.at] = l->last_node[v];
}

void cpu__map(struct lowering *l, uint32_t v, bool blocked, struct cpu_ref ref)
{
    if (v != HEARTH_NO_VALUE)
        map(l, v, blocked, ref);
}

/* A part of a larger picture, or that with parts. */
static bool has_home(const struct lowering *l, uint32_t v)
{
    return l->values[v].home != HEARTH_NO_VALUE ||
           l->values[v].parts.place != CPU_NOWHERE;
}

/* In the outermost picture that it is a part of. */
static int output_at_home(struct lowering *l, uint32_t v, struct cpu_ref *ref,
                          struct hearth_error *err)
{
    uint32_t home = v;
    uint64_t inside = 0, bytes;
    for (; l->values[home].home != HEARTH_NO_VALUE; home = l->values[home].home)
        inside += l->values[home].inside;
    struct cpu_ref *parts = &l->values[home].parts;
    if (parts->place == CPU_NOWHERE) {
        int rc = cpu__bytes(l, home, true, &bytes, err);
        if (rc == HEARTH_OK && bytes > l->dev->limit)
            rc = too_big(err);
        if (rc != HEARTH_OK)
            return rc;
        *parts = cpu__buffer(l, bytes);
        if (parts->place == CPU_NOWHERE)
            return cpu_no_memory(err);
        l->buffer_last_node[parts->at] = l->last_node[home];
    }
    *ref = *parts;
    ref->inside = inside;
    map(l, v, true, *ref);
    return HEARTH_OK;
}

int cpu__output(struct lowering *l, uint32_t v, bool blocked,
                struct cpu_ref *ref, struct hearth_error *err)
{
    uint64_t bytes;
    if (blocked && has_home(l, v))
        return output_at_home(l, v, ref, err);
    int rc = cpu__bytes(l, v, blocked, &bytes, err);
    if (rc != HEARTH_OK)
        return rc;
    if (bytes > l->dev->limit)
        return too_big(err);
    *ref = cpu__buffer(l, bytes);
    if (ref->place == CPU_NOWHERE)
        return cpu_no_memory(err);
    map(l, v, blocked, *ref);
    return HEARTH_OK;
}

bool cpu__is_blocked(const struct lowering *l, uint32_t v)
{
    return l->values[v].blocked.place != CPU_NOWHERE;
}

bool cpu__is_last_use(const struct lowering *l, const struct cpu_ref *ref)
{
    return ref->place == CPU_ARENA && l->buffer_last_node[ref->at] == l->node;
}

static int reorder(struct lowering *l, uint32_t v, bool to_blocked,
                   struct hearth_error *err)
{
    struct cpu_primitive primitive;
    struct cpu_ref refs[2] = {to_blocked ? l->values[v].plain
                                         : l->values[v].blocked};
    int rc = cpu__output(l, v, to_blocked, &refs[1], err);
    if (rc == HEARTH_OK)
        rc = cpu_reorder_create(l->dev, l->plan->spec.values[v].shape.dims,
                                to_blocked, l->dev->block, &primitive, err);
    if (rc == HEARTH_OK)
        rc = cpu__primitive_step(l, &primitive, refs, 2, err);
    return rc;
}

/* Values that no step makes have a plain place from the start. */
static struct cpu_ref place_of_source(struct lowering *l, uint32_t v)
{
    const struct hearth_graph_value *value = hearth_graph_value(l->g, v);
    if (l->plan->spec.values[v].data != NULL)
        return (struct cpu_ref){.place = CPU_FIXED,
                                .fixed = l->plan->spec.values[v].data};
    if (value->kind == HEARTH_VALUE_WEIGHT) {
        const struct cpu_pack *pack =
            cpu_packs_find(l->packs, v, HEARTH_NO_VALUE);
        if (pack != NULL)
            return (struct cpu_ref){.place = CPU_WEIGHTS, .at = pack->offset};
    }
    for (uint32_t k = 0; k < l->g->input_count; k++)
        if (hearth_graph_inputs(l->g)[k] == v)
            return (struct cpu_ref){.place = CPU_INPUT, .at = k};
    return (struct cpu_ref){.place = CPU_NOWHERE};
}

int cpu__need(struct lowering *l, uint32_t v, bool blocked, struct cpu_ref *ref,
              struct hearth_error *err)
{
    struct value *value = &l->values[v];
    int rc = HEARTH_OK;
    if (value->plain.place == CPU_NOWHERE &&
        value->blocked.place == CPU_NOWHERE) {
        if (l->views != NULL && l->views[v].ref.place != CPU_NOWHERE)
            rc = cpu__copy_view(l, v, &l->views[v], err);
        else
            value->plain = place_of_source(l, v);
    }
    if (rc != HEARTH_OK)
        return rc;
    if (blocked && value->blocked.place == CPU_NOWHERE && is_blockable(l, v))
        rc = reorder(l, v, true, err);
    else if (!blocked && value->plain.place == CPU_NOWHERE &&
             value->blocked.place != CPU_NOWHERE)
        rc = reorder(l, v, false, err);
    *ref = blocked ? value->blocked : value->plain;
    if (rc == HEARTH_OK && ref->place == CPU_NOWHERE)
        rc = hearth_fail(err, HEARTH_EBUG, "cpu: value %" PRIu32 " is nowhere",
                         v);
    return rc;
}

/* ---- The whole ---- */

static int lower_nodes(struct lowering *l, struct hearth_error *err)
{
    int rc = HEARTH_OK;
    for (uint32_t n = 0; rc == HEARTH_OK && n < l->g->node_count; n++) {
        l->node = n;
        if (!l->plan->spec.node_done[n])
            rc = cpu__lower_node(l, err);
        if (rc != HEARTH_OK)
            hearth_fail_prefix(
                err, "node %" PRIu32 " '%.60s' (%s)", n,
                hearth_graph_string(l->g, hearth_graph_node(l->g, n)->name),
                hearth_op_name(hearth_graph_node(l->g, n)->op));
    }
    return rc;
}

static int lower_outputs(struct lowering *l, struct hearth_error *err)
{
    struct cpu_plan *p = l->plan;
    for (uint32_t k = 0; k < l->g->output_count; k++) {
        uint32_t v = hearth_graph_outputs(l->g)[k];
        int rc = cpu__need(l, v, false, &p->outputs[k], err);
        if (rc != HEARTH_OK)
            return rc;
        if (p->outputs[k].place == CPU_ARENA)
            l->buffers[p->outputs[k].at].last = UINT32_MAX;
    }
    return HEARTH_OK;
}

static void find_last_nodes(struct lowering *l)
{
    for (uint32_t n = 0; n < l->g->node_count; n++) {
        const struct hearth_graph_node *node = hearth_graph_node(l->g, n);
        for (uint32_t k = 0; k < node->input_count; k++) {
            uint32_t v = hearth_graph_input(l->g, node, k);
            if (v != HEARTH_NO_VALUE)
                l->last_node[v] = n;
        }
    }
    for (uint32_t k = 0; k < l->g->output_count; k++)
        l->last_node[hearth_graph_outputs(l->g)[k]] = UINT32_MAX;
}

/* Of a Concat whose inputs are whole blocks of channels of one picture. Of
 * several that have an input in common the last one, which in a dense net has
 * the others in it. */
static void find_homes_of(struct lowering *l, const struct hearth_graph_node *n)
{
    uint32_t y = hearth_graph_output(l->g, n, 0);
    const struct hearth_shape *s = &l->plan->spec.values[y].shape;
    uint64_t inside = 0, bytes;
    if (s->rank != 4 || s->dims[0] != 1 || !is_blockable(l, y) ||
        (hearth_attr_int(l->g, n, HEARTH_ATTR_AXIS, 0) != 1 &&
         hearth_attr_int(l->g, n, HEARTH_ATTR_AXIS, 0) != -3))
        return;
    for (uint32_t k = 0; k < n->input_count; k++) {
        uint32_t v = hearth_graph_input(l->g, n, k);
        if (l->plan->spec.values[v].shape.rank != 4 ||
            l->plan->spec.values[v].shape.dims[1] % l->dev->block != 0)
            return;
    }
    for (uint32_t k = 0; k < n->input_count; k++) {
        uint32_t v = hearth_graph_input(l->g, n, k);
        if (cpu__bytes(l, v, true, &bytes, NULL) != HEARTH_OK)
            return;
        l->values[v].home = y;
        l->values[v].inside = inside;
        inside += bytes;
    }
}

static void find_homes(struct lowering *l)
{
    for (uint32_t v = 0; v < l->g->value_count; v++)
        l->values[v].home = HEARTH_NO_VALUE;
    for (uint32_t n = 0; n < l->g->node_count; n++)
        if (hearth_graph_node(l->g, n)->op == HEARTH_OP_CONCAT)
            find_homes_of(l, hearth_graph_node(l->g, n));
}

static void settle(const struct lowering *l, struct cpu_ref *ref)
{
    if (ref->place == CPU_ARENA)
        ref->at = l->buffers[ref->at].offset + ref->inside;
}

static int place_buffers(struct lowering *l, struct hearth_error *err)
{
    struct cpu_plan *p = l->plan;
    p->arena_bytes =
        hearth_arena_plan(l->buffers, l->buffer_count, CPU_ALIGNMENT);
    if (p->arena_bytes > l->dev->limit)
        return too_big(err);
    for (uint32_t i = 0; i < p->step_count; i++)
        for (int k = 0; k < CPU_ARGS_MAX; k++)
            settle(l, &p->steps[i].refs[k]);
    for (uint32_t i = 0; i < p->ref_count; i++)
        settle(l, &p->refs[i]);
    for (uint32_t k = 0; k < l->g->output_count; k++)
        settle(l, &p->outputs[k]);
    return HEARTH_OK;
}

/* What a plan holds in memory of the host, oneDNN's part by rule of thumb. */
static void count_own_bytes(struct cpu_plan *p, const struct hearth_graph *g)
{
    uint64_t sum = sizeof *p + p->step_capacity * sizeof *p->steps +
                   p->ref_capacity * sizeof *p->refs;
    sum += g->output_count * sizeof *p->outputs +
           g->input_count * sizeof *p->shapes;
    sum += p->spec.value_count * sizeof *p->spec.values + g->node_count;
    for (uint32_t i = 0; i < p->step_count; i++) {
        if (p->steps[i].primitive.plan != NULL)
            sum += CPU_KERNEL_BYTES;
        if (p->steps[i].conv != NULL)
            sum += sizeof *p->steps[i].conv;
        if (p->steps[i].attention != NULL)
            sum += sizeof *p->steps[i].attention;
        if (p->steps[i].chain != NULL)
            sum += sizeof(struct cpu_chain) +
                   (uint64_t)p->steps[i].chain->links * sizeof(struct cpu_link);
    }
    p->own_bytes = sum;
}

int cpu_plan_create(hearth_dev_t *dev, const struct hearth_graph *g,
                    const struct cpu_packs *packs, struct hearth_spec *spec,
                    struct cpu_plan **out, struct hearth_error *err)
{
    struct lowering l = {.dev = dev, .g = g, .packs = packs};
    int rc = HEARTH_OK;
    *out = NULL;
    l.plan = cpu_calloc(1, sizeof *l.plan);
    if (l.plan == NULL) {
        hearth_spec_destroy(spec);
        return cpu_no_memory(err);
    }
    l.plan->spec = *spec;
    l.plan->interpreted = packs->interpreted;
    if (packs->interpreted) {
        l.plan->arena_bytes = hearth_interp_arena(g, spec);
        count_own_bytes(l.plan, g);
        *out = l.plan;
        return HEARTH_OK;
    }
    l.values = cpu_calloc((size_t)g->value_count + 1, sizeof *l.values);
    l.last_node = cpu_calloc((size_t)g->value_count + 1, sizeof *l.last_node);
    l.fused = cpu_calloc((size_t)g->node_count + 1, 1);
    if (l.values == NULL || l.last_node == NULL || l.fused == NULL ||
        !hearth_op_scratch_create(&l.plan->scratch, g) ||
        (l.plan->outputs = cpu_calloc((size_t)g->output_count + 1,
                                      sizeof *l.plan->outputs)) == NULL)
        rc = cpu_no_memory(err);
    l.plan->alone = cpu_is_small(g, spec);
    int before = l.plan->alone ? cpu_team_begin_of(1) : 0;
    if (rc == HEARTH_OK) {
        find_last_nodes(&l);
        find_homes(&l);
        rc = cpu__find_attentions(&l, err);
    }
    if (rc == HEARTH_OK)
        rc = lower_nodes(&l, err);
    if (rc == HEARTH_OK)
        rc = lower_outputs(&l, err);
    if (rc == HEARTH_OK && dev->chains)
        rc = cpu__find_chains(&l, err);
    if (rc == HEARTH_OK)
        rc = place_buffers(&l, err);
    if (l.plan->alone)
        cpu_team_end(before);
    free(l.values);
    free(l.last_node);
    free(l.fused);
    free(l.lazy);
    free(l.views);
    free(l.buffers);
    free(l.buffer_last_node);
    if (rc != HEARTH_OK) {
        cpu_plan_destroy(l.plan);
        return rc;
    }
    count_own_bytes(l.plan, g);
    *out = l.plan;
    return HEARTH_OK;
}

int cpu_plan_prepare(struct cpu_plan *plan, struct hearth_error *err)
{
    bool failed = false;
    int before = plan->alone ? cpu_team_begin_of(1) : 0;
#pragma omp parallel for schedule(dynamic, 1) reduction(|| : failed)
    for (uint32_t i = 0; i < plan->step_count; i++) {
        struct cpu_primitive *p = &plan->steps[i].primitive;
        failed =
            (p->plan != NULL && cpu_primitive_prepare(p, NULL) != HEARTH_OK) ||
            failed;
    }
    /* Once more, one by one, for the reason. */
    int rc = HEARTH_OK;
    for (uint32_t i = 0; rc == HEARTH_OK && failed && i < plan->step_count;
         i++) {
        struct cpu_primitive *p = &plan->steps[i].primitive;
        rc = p->plan != NULL ? cpu_primitive_prepare(p, err) : HEARTH_OK;
    }
    if (plan->alone)
        cpu_team_end(before);
    return rc;
}

void cpu_plan_destroy(struct cpu_plan *plan)
{
    if (plan == NULL)
        return;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        cpu_primitive_destroy(&plan->steps[i].primitive);
        free(plan->steps[i].conv);
        free(plan->steps[i].attention);
        free(plan->steps[i].chain);
    }
    hearth_spec_destroy(&plan->spec);
    free(plan->shapes);
    free(plan->step_us);
    free(plan->steps);
    free(plan->refs);
    free(plan->outputs);
    hearth_op_scratch_destroy(&plan->scratch);
    free(plan);
}
