/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interp.c: a graph node by node, each inferred with its inputs' data at hand
 * and then evaluated, when no plan can be made before.
 *
 * The arena is cut into chunks, each behind a head of 64 bytes that says how
 * long it is; free neighbours become one while room is looked for, first fit.
 * It is slower than a planned arena and needs nothing beside itself: the tables
 * of values lie in it too. A value goes when the last node that reads it is
 * done.
 *
 * When room is missing, the run ends and says how large the arena must be for
 * it to come past this point; whoever began it decides whether that may be. To
 * take the memory from elsewhere would be simpler, and not accounted for.
 */
#include "ops/interp.h"

#include <inttypes.h>
#include <string.h>

#define HEAD 64u
#define SPARE (UINT64_C(64) << 10) /* to begin with: most runs need no more */
#define STEPS_MAX (UINT64_C(1) << 28)
/* Two of each output: hearth__ops_set_content's. */
#define CONTENT_ROOM (2 * HEARTH_OP_OUTPUTS_MAX * (HEARTH_CONTENT_MAX + 1))

/* ---- The arena ---- */

struct chunk {
    uint64_t bytes; /* with this head; a multiple of HEAD */
    uint64_t used;
};

static struct chunk *chunk_at(const struct hearth__machine *m, uint64_t at)
{
    return (struct chunk *)(m->run->arena + at);
}

void *hearth__interp_alloc(struct hearth__machine *m, uint64_t bytes)
{
    struct hearth_interp *r = m->run;
    if (bytes > INT64_MAX / 4) {
        hearth_fail(m->err, HEARTH_ETOOBIG,
                    "a tensor of %" PRIu64 " bytes; send smaller inputs",
                    bytes);
        return NULL;
    }
    uint64_t want = (bytes + HEAD - 1) / HEAD * HEAD + HEAD;
    for (uint64_t at = 0; at < r->arena_bytes;) {
        struct chunk *c = chunk_at(m, at);
        while (!c->used && at + c->bytes < r->arena_bytes &&
               !chunk_at(m, at + c->bytes)->used)
            c->bytes += chunk_at(m, at + c->bytes)->bytes;
        if (c->used || c->bytes < want) {
            at += c->bytes;
            continue;
        }
        if (c->bytes > want)
            *chunk_at(m, at + want) =
                (struct chunk){.bytes = c->bytes - want, .used = 0};
        *c = (struct chunk){.bytes = want, .used = 1};
        return (char *)c + HEAD;
    }
    r->need_bytes = r->arena_bytes + want;
    hearth_fail(m->err, HEARTH_EAGAIN,
                "it needs an arena of %" PRIu64 " bytes, or more; try again",
                r->need_bytes);
    return NULL;
}

void hearth__interp_free(struct hearth__machine *m, const void *data)
{
    if (data == NULL)
        return;
    chunk_at(m, (uint64_t)((const char *)data - m->run->arena) - HEAD)->used =
        0;
}

/* ---- Values ---- */

int hearth__interp_bytes(struct hearth__machine *m,
                         const struct hearth_value_info *info, uint64_t *bytes)
{
    char text[200];
    if (info->shape.rank < 0 || !hearth_shape_known(&info->shape))
        return hearth_fail(m->err, HEARTH_EUNSUPPORTED,
                           "its output's shape %s is not told by its inputs; "
                           "use another model",
                           hearth_shape_text(&info->shape, text, sizeof text));
    if (!hearth_shape_bytes(&info->shape, info->dtype, bytes))
        return hearth_fail(
            m->err, HEARTH_ETOOBIG,
            "its output %s is larger than anything; send smaller inputs",
            hearth_shape_text(&info->shape, text, sizeof text));
    return HEARTH_OK;
}

/* Room for a value; small integers are contents as well. */
static int give_room(struct hearth__machine *m, struct hearth_value_info *info)
{
    uint64_t bytes;
    int rc = hearth__interp_bytes(m, info, &bytes);
    info->data = NULL;
    info->content = NULL;
    if (rc != HEARTH_OK)
        return rc;
    info->data = hearth__interp_alloc(m, bytes);
    if (info->data == NULL)
        return m->err->status;
    if (info->dtype == HEARTH_I64 &&
        bytes <= HEARTH_CONTENT_MAX * sizeof(int64_t))
        info->content = info->data;
    return HEARTH_OK;
}

int hearth__interp_copy(struct hearth__machine *m,
                        const struct hearth_value_info *info,
                        struct hearth_value_info *copy)
{
    const void *from = info->data;
    uint64_t bytes = 0;
    *copy = *info;
    int rc = give_room(m, copy);
    if (rc != HEARTH_OK)
        return rc;
    (void)hearth_shape_bytes(&copy->shape, copy->dtype, &bytes);
    if (bytes > 0)
        memcpy((void *)(uintptr_t)copy->data, from, (size_t)bytes);
    return HEARTH_OK;
}

/* ---- A graph at work ---- */

struct frame {
    const struct hearth_graph *g;
    const struct hearth_spec *spec; /* NULL in a block */
    struct hearth_value_info *values;
    uint32_t *uses; /* to come */
    uint8_t *owned; /* its data is in room of its own */
    const struct hearth_value_info **in;
    struct hearth_view *views;
    const struct hearth_view **in_views;
};

static uint64_t most_inputs(const struct hearth_graph *g)
{
    uint64_t most = 1;
    for (uint32_t i = 0; i < g->node_count; i++) {
        uint32_t n = hearth_graph_node(g, i)->input_count;
        most = n > most ? n : most;
    }
    return most;
}

static uint64_t frame_bytes(const struct hearth_graph *g)
{
    const struct frame *f = NULL;
    return g->value_count * (sizeof *f->values + sizeof *f->uses + 1) +
           most_inputs(g) *
               (sizeof *f->in + sizeof *f->views + sizeof *f->in_views);
}

static void count_uses(struct frame *f)
{
    const struct hearth_graph *g = f->g;
    for (uint32_t i = 0; i < g->node_count; i++) {
        const struct hearth_graph_node *n = hearth_graph_node(g, i);
        if (f->spec != NULL && f->spec->node_done[i])
            continue;
        for (uint32_t k = 0; k < n->input_count; k++) {
            uint32_t v = hearth_graph_input(g, n, k);
            if (v != HEARTH_NO_VALUE)
                f->uses[v]++;
        }
    }
    for (uint32_t k = 0; k < g->output_count; k++)
        f->uses[hearth_graph_outputs(g)[k]]++;
}

/* Contents of a value that no node makes. */
static void set_data(struct hearth_value_info *info, const void *data)
{
    int64_t count;
    info->data = data;
    info->content = NULL;
    if (info->dtype == HEARTH_I64 && hearth_shape_count(&info->shape, &count) &&
        count <= HEARTH_CONTENT_MAX)
        info->content = data;
}

static int fill_frame(struct hearth__machine *m, struct frame *f)
{
    const struct hearth_graph *g = f->g;
    for (uint32_t i = 0; i < g->value_count; i++) {
        const struct hearth_graph_value *v = hearth_graph_value(g, i);
        struct hearth_value_info *info = &f->values[i];
        if (f->spec != NULL && f->spec->values[i].data != NULL) {
            *info = f->spec->values[i];
            continue;
        }
        info->dtype = (enum hearth_dtype)v->dtype;
        info->shape = hearth_graph_shape(v);
        if (v->kind == HEARTH_VALUE_CONST)
            set_data(info, hearth_graph_const(g, v));
        else if (v->kind == HEARTH_VALUE_WEIGHT && f->uses[i] > 0)
            set_data(info, m->run->weight(m->run->ctx, i));
        if (v->kind == HEARTH_VALUE_WEIGHT && f->uses[i] > 0 &&
            info->data == NULL)
            return hearth_fail(m->err, HEARTH_EBUG,
                               "a weight is not there; report this");
    }
    return HEARTH_OK;
}

static int frame_create(struct hearth__machine *m, const struct hearth_graph *g,
                        const struct hearth_spec *spec, struct frame *f)
{
    uint64_t most = most_inputs(g);
    char *at = hearth__interp_alloc(m, frame_bytes(g));
    if (at == NULL)
        return m->err->status;
    memset(at, 0, (size_t)frame_bytes(g));
    *f = (struct frame){.g = g, .spec = spec};
    f->values = (struct hearth_value_info *)at;
    at += g->value_count * sizeof *f->values;
    f->views = (struct hearth_view *)at;
    at += most * sizeof *f->views;
    f->in = (const struct hearth_value_info **)at;
    at += most * sizeof *f->in;
    f->in_views = (const struct hearth_view **)at;
    at += most * sizeof *f->in_views;
    f->uses = (uint32_t *)at;
    at += g->value_count * sizeof *f->uses;
    f->owned = (uint8_t *)at;
    count_uses(f);
    return fill_frame(m, f);
}

static void drop(struct hearth__machine *m, struct frame *f, uint32_t v)
{
    if (f->owned[v])
        hearth__interp_free(m, f->values[v].data);
    f->owned[v] = 0;
    f->values[v].data = NULL;
    f->values[v].content = NULL;
}

static void frame_destroy(struct hearth__machine *m, struct frame *f)
{
    for (uint32_t i = 0; i < f->g->value_count; i++)
        drop(m, f, i);
    hearth__interp_free(m, f->values);
}

/* ---- Nodes ---- */

static int64_t no_symbol(void *ctx)
{
    (void)ctx;
    return HEARTH_DIM_SYMBOL(0);
}

static int64_t *content_alloc(void *ctx, uint32_t count)
{
    struct hearth__machine *m = ctx;
    if (count > CONTENT_ROOM - m->content_used)
        return NULL;
    m->content_used += count;
    return m->content + m->content_used - count;
}

int hearth__interp_step(struct hearth__machine *m)
{
    if (++m->steps > STEPS_MAX)
        return hearth_fail(m->err, HEARTH_EUNSUPPORTED,
                           "a loop did not end within %" PRIu64
                           " steps; use another model",
                           STEPS_MAX);
    if (m->run->pause == NULL)
        return HEARTH_OK;
    return m->run->pause(m->run->ctx, m->err);
}

static int evaluate(struct hearth__machine *m, const struct frame *f,
                    const struct hearth_op_call *call)
{
    const struct hearth_op_row *row = hearth_op_row(call->node->op);
    struct hearth_view out[HEARTH_OP_OUTPUTS_MAX] = {0};
    m->content_used = 0;
    int rc = row->infer(call, m->err);
    if (rc ==
        HEARTH_EMODEL) /* the graph was accepted: it is the data's fault */
        rc = m->err->status = HEARTH_EINVAL;
    if (rc == HEARTH_OK && row->measure != NULL)
        rc = row->measure(call, f->in_views, m->err);
    for (uint32_t k = 0; k < call->output_count; k++)
        call->out[k].data = NULL;
    for (uint32_t k = 0; rc == HEARTH_OK && k < call->output_count; k++) {
        if (hearth_graph_output(f->g, call->node, k) == HEARTH_NO_VALUE)
            continue;
        rc = give_room(m, &call->out[k]);
        out[k] = hearth_view_dense((void *)(uintptr_t)call->out[k].data,
                                   call->out[k].dtype, &call->out[k].shape);
    }
    if (rc != HEARTH_OK)
        return rc;
    if (m->run->kernel != NULL &&
        m->run->kernel(m->run->ctx, call, f->in_views, out))
        return HEARTH_OK;
    return hearth_op_eval(call, f->in_views, out, m->err);
}

static int run_node(struct hearth__machine *m, struct frame *f, uint32_t i)
{
    const struct hearth_graph_node *n = hearth_graph_node(f->g, i);
    struct hearth_value_info out[HEARTH_OP_OUTPUTS_MAX] = {0};
    const struct hearth_op_call call = {.graph = f->g,
                                        .node = n,
                                        .input_count = n->input_count,
                                        .output_count = n->output_count,
                                        .in = f->in,
                                        .out = out,
                                        .fresh_symbol = no_symbol,
                                        .content_alloc = content_alloc,
                                        .ctx = m};
    for (uint32_t k = 0; k < n->input_count; k++) {
        uint32_t v = hearth_graph_input(f->g, n, k);
        f->in[k] = NULL;
        f->in_views[k] = NULL;
        if (v == HEARTH_NO_VALUE)
            continue;
        f->in[k] = &f->values[v];
        f->views[k] = hearth_view_dense((void *)(uintptr_t)f->in[k]->data,
                                        f->in[k]->dtype, &f->in[k]->shape);
        f->in_views[k] = &f->views[k];
    }
    int rc = hearth__interp_step(m);
    if (rc == HEARTH_OK)
        rc = hearth_op_has_blocks(n->op) ? hearth__interp_control(m, &call)
                                         : evaluate(m, f, &call);
    for (uint32_t k = 0; k < n->output_count; k++) {
        uint32_t v = hearth_graph_output(f->g, n, k);
        if (v == HEARTH_NO_VALUE || out[k].data == NULL)
            continue;
        f->values[v] = out[k];
        f->owned[v] = 1;
        if (f->uses[v] == 0)
            drop(m, f, v);
    }
    for (uint32_t k = 0; k < n->input_count; k++) {
        uint32_t v = hearth_graph_input(f->g, n, k);
        if (v != HEARTH_NO_VALUE && --f->uses[v] == 0)
            drop(m, f, v);
    }
    return rc;
}

static int run_nodes(struct hearth__machine *m, struct frame *f)
{
    for (uint32_t i = 0; i < f->g->node_count; i++) {
        const struct hearth_graph_node *n = hearth_graph_node(f->g, i);
        if (f->spec != NULL && f->spec->node_done[i])
            continue;
        int rc = run_node(m, f, i);
        if (rc == HEARTH_OK)
            continue;
        /* Room is nobody's fault, and is not reported. */
        if (rc != HEARTH_EAGAIN)
            hearth_fail_prefix(m->err, "node %" PRIu32 " '%.60s' (%s)", i,
                               hearth_graph_string(f->g, n->name),
                               hearth_op_name(n->op));
        return rc;
    }
    return HEARTH_OK;
}

/* ---- Blocks ---- */

int hearth__interp_block(struct hearth__machine *m,
                         const struct hearth_graph *g,
                         const struct hearth_value_info *inputs,
                         struct hearth_value_info *outputs)
{
    struct frame f;
    uint32_t made = 0;
    int rc = frame_create(m, g, NULL, &f);
    if (rc != HEARTH_OK)
        return rc;
    for (uint32_t k = 0; k < g->input_count; k++)
        f.values[hearth_graph_inputs(g)[k]] = inputs[k];
    rc = run_nodes(m, &f);
    for (; rc == HEARTH_OK && made < g->output_count; made++) {
        uint32_t v = hearth_graph_outputs(g)[made];
        /* The last use of a value of its own: it is handed over. */
        if (--f.uses[v] == 0 && f.owned[v]) {
            outputs[made] = f.values[v];
            f.owned[v] = 0;
        } else {
            rc = hearth__interp_copy(m, &f.values[v], &outputs[made]);
        }
    }
    for (uint32_t k = 0; rc != HEARTH_OK && k < made; k++)
        hearth__interp_free(m, outputs[k].data);
    frame_destroy(m, &f);
    return rc;
}

/* ---- The whole ---- */

bool hearth_spec_is_complete(const struct hearth_graph *g,
                             const struct hearth_spec *spec)
{
    for (uint32_t i = 0; i < g->node_count; i++) {
        const struct hearth_graph_node *n = hearth_graph_node(g, i);
        if (spec->node_done[i])
            continue;
        if (hearth_op_has_blocks(n->op))
            return false;
        for (uint32_t k = 0; k < n->output_count; k++) {
            uint32_t v = hearth_graph_output(g, n, k);
            if (v != HEARTH_NO_VALUE &&
                (spec->values[v].shape.rank < 0 ||
                 !hearth_shape_known(&spec->values[v].shape)))
                return false;
        }
    }
    return true;
}

uint64_t hearth_interp_arena(const struct hearth_graph *g,
                             const struct hearth_spec *spec)
{
    uint64_t sum = frame_bytes(g) + CONTENT_ROOM * sizeof(int64_t) + SPARE;
    for (uint32_t i = 0; i < g->node_count; i++) {
        const struct hearth_graph_node *n = hearth_graph_node(g, i);
        uint64_t most = 0;
        /* All that is known of the largest node: others come and go. */
        for (uint32_t k = 0; !spec->node_done[i] && k < n->output_count; k++) {
            uint32_t v = hearth_graph_output(g, n, k);
            uint64_t bytes;
            if (v != HEARTH_NO_VALUE &&
                hearth_shape_bytes(&spec->values[v].shape,
                                   spec->values[v].dtype, &bytes) &&
                __builtin_add_overflow(most, bytes, &most))
                most = INT64_MAX;
        }
        if (__builtin_add_overflow(sum, most, &sum))
            return INT64_MAX;
    }
    return sum;
}

static int give_outputs(struct hearth__machine *m, const struct frame *f)
{
    for (uint32_t k = 0; k < f->g->output_count; k++) {
        const struct hearth_value_info *info =
            &f->values[hearth_graph_outputs(f->g)[k]];
        uint64_t bytes;
        void *data;
        int rc = hearth__interp_bytes(m, info, &bytes);
        if (rc == HEARTH_OK &&
            (rc = m->run->alloc_output(m->run->ctx, k, info->dtype,
                                       &info->shape, &data)) != HEARTH_OK)
            hearth_fail(m->err, rc, "no room for output %" PRIu32 "; try again",
                        k);
        if (rc != HEARTH_OK)
            return rc;
        if (bytes > 0)
            memcpy(data, info->data, (size_t)bytes);
    }
    return HEARTH_OK;
}

int hearth_interp_run(struct hearth_interp *r, struct hearth_error *err)
{
    struct hearth_error own = {0};
    struct hearth__machine m = {.run = r, .err = err != NULL ? err : &own};
    const struct hearth_graph *g = r->graph;
    struct frame f;
    r->arena_bytes = r->arena_bytes / HEAD * HEAD;
    r->need_bytes = 0;
    if (r->arena_bytes > 0)
        *chunk_at(&m, 0) = (struct chunk){.bytes = r->arena_bytes, .used = 0};
    m.content = hearth__interp_alloc(&m, CONTENT_ROOM * sizeof *m.content);
    if (m.content == NULL)
        return m.err->status;
    int rc = frame_create(&m, g, r->spec, &f);
    for (uint32_t k = 0; rc == HEARTH_OK && k < g->input_count; k++) {
        struct hearth_value_info *info = &f.values[hearth_graph_inputs(g)[k]];
        info->shape = r->inputs[k].shape;
        set_data(info, r->inputs[k].data);
    }
    if (rc == HEARTH_OK)
        rc = run_nodes(&m, &f);
    return rc == HEARTH_OK ? give_outputs(&m, &f) : rc;
}
