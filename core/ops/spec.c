/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec.c: a graph at concrete input shapes.
 *
 * One pass over the nodes in their order: infer each, and evaluate it here when
 * it is shape arithmetic: all inputs are on the host, small, and the operator's
 * work is in proportion to its bytes. Weights are read only where a shape
 * depends on them, which a pass backwards finds first.
 *
 * A hostile graph may not make this expensive: a value kept here has at most
 * VALUE_MAX bytes, all of them TOTAL_MAX; what is larger is left to the plugin.
 * Sizes that only a device's data can tell stay symbols.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops_impl.h"

#define VALUE_MAX (64u << 10)
#define TOTAL_MAX (64u << 20)

/* ---- Memory: one list, freed whole ---- */

struct block {
    struct block *next;
    uint64_t pad; /* what follows is aligned to 16 bytes */
};

/* 0: never; else allocations until the first that fails. Per thread, for
 * tests; never set otherwise. */
static _Thread_local int64_t fail_at;

void hearth__ops_fail_at(int64_t n)
{
    fail_at = n;
}

void *hearth__ops_malloc(size_t bytes)
{
    if (fail_at == 1)
        return NULL;
    if (fail_at > 1)
        fail_at--;
    return malloc(bytes);
}

struct work {
    const struct hearth_graph *g;
    const struct hearth_weights *weights;
    struct hearth_spec *spec;
    uint8_t *needed; /* [value_count] 1: a shape depends on its contents */
    int64_t *bound;  /* [symbol_count] sizes that inputs gave, or -1 */
    const struct hearth_value_info **in; /* [most inputs of a node] */
    struct hearth_view *views;           /* likewise */
    const struct hearth_view **in_views;
    uint32_t next_symbol;
    uint64_t total_bytes;
    bool no_memory;
};

static void *keep(struct hearth_spec *spec, uint64_t bytes)
{
    struct block *b;
    if (bytes > SIZE_MAX - sizeof *b)
        return NULL;
    b = hearth__ops_malloc(sizeof *b + (size_t)bytes);
    if (b == NULL)
        return NULL;
    memset(b + 1, 0, (size_t)bytes);
    b->next = spec->memory;
    spec->memory = b;
    return b + 1;
}

void hearth_spec_destroy(struct hearth_spec *spec)
{
    struct block *b = spec->memory;
    while (b != NULL) {
        struct block *next = b->next;
        free(b);
        b = next;
    }
    memset(spec, 0, sizeof *spec);
}

static int64_t fresh_symbol(void *ctx)
{
    struct work *w = ctx;
    return HEARTH_DIM_SYMBOL(w->next_symbol++);
}

static int64_t *content_alloc(void *ctx, uint32_t count)
{
    struct work *w = ctx;
    int64_t *room = NULL;
    w->total_bytes += count * sizeof(int64_t);
    if (w->total_bytes <= TOTAL_MAX) {
        room = keep(w->spec, count * sizeof(int64_t));
        /* A shape that is not known for lack of memory is not an answer. */
        w->no_memory |= room == NULL;
    }
    return room;
}

/* ---- Which contents do shapes depend on? ---- */

/* Bits of the inputs whose contents decide the shape of the result. */
static uint32_t shape_inputs(uint32_t op)
{
    switch (op) {
    case HEARTH_OP_RESHAPE:
    case HEARTH_OP_SQUEEZE:
    case HEARTH_OP_UNSQUEEZE:
    case HEARTH_OP_REDUCE_MEAN:
    case HEARTH_OP_REDUCE_SUM:
    case HEARTH_OP_REDUCE_L1:
    case HEARTH_OP_REDUCE_L2:
    case HEARTH_OP_REDUCE_SUM_SQUARE:
    case HEARTH_OP_REDUCE_LOG_SUM:
    case HEARTH_OP_REDUCE_LOG_SUM_EXP:
    case HEARTH_OP_REDUCE_PROD:
    case HEARTH_OP_REDUCE_MAX:
    case HEARTH_OP_REDUCE_MIN:
    case HEARTH_OP_TOP_K:
    case HEARTH_OP_ONE_HOT:
    case HEARTH_OP_CENTER_CROP_PAD:
    case HEARTH_OP_EXPAND:
    case HEARTH_OP_TILE:
        return 1u << 1;
    case HEARTH_OP_AFFINE_GRID:
        return 1u << 1;
    case HEARTH_OP_MAX_UNPOOL:
        return 1u << 2;
    case HEARTH_OP_STFT:
        return 1u << 1 | 1u << 3;
    case HEARTH_OP_DFT:
    case HEARTH_OP_COL2IM:
    case HEARTH_OP_RESIZE:
        return 1u << 1 | 1u << 2;
    case HEARTH_OP_RANGE:
        return 1u << 0 | 1u << 1 | 1u << 2;
    case HEARTH_OP_SLICE:
        return 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4;
    case HEARTH_OP_PAD:
        return 1u << 1 | 1u << 3;
    case HEARTH_OP_MEL_WEIGHT_MATRIX:
        return 1u << 0 | 1u << 1;
    case HEARTH_OP_CONSTANT_OF_SHAPE:
    case HEARTH_OP_HANN_WINDOW:
    case HEARTH_OP_HAMMING_WINDOW:
    case HEARTH_OP_BLACKMAN_WINDOW:
        return 1u << 0;
    default:
        return 0;
    }
}

/* Backwards: what a needed result is made of is needed too, but Shape looks at
 * no contents. */
static void mark_needed(struct work *w)
{
    const struct hearth_graph *g = w->g;
    for (uint32_t i = g->node_count; i-- > 0;) {
        const struct hearth_graph_node *n = hearth_graph_node(g, i);
        uint32_t bits = shape_inputs(n->op);
        bool all = false;
        for (uint32_t k = 0; k < n->output_count; k++) {
            uint32_t o = hearth_graph_output(g, n, k);
            all |= o != HEARTH_NO_VALUE && w->needed[o];
        }
        all &= n->op != HEARTH_OP_SHAPE;
        for (uint32_t k = 0; k < n->input_count; k++) {
            uint32_t v = hearth_graph_input(g, n, k);
            if (v != HEARTH_NO_VALUE && (all || (k < 32 && bits & 1u << k)))
                w->needed[v] = 1;
        }
    }
}

/* ---- Values that no node makes ---- */

static int bind_input(struct work *w, uint32_t k,
                      const struct hearth_shape *shape,
                      struct hearth_error *err)
{
    uint32_t number = hearth_graph_inputs(w->g)[k];
    const struct hearth_graph_value *v = hearth_graph_value(w->g, number);
    const char *name = hearth_graph_string(w->g, v->name);
    struct hearth_shape want = hearth_graph_shape(v);
    char a[200], b[200];
    bool ok = hearth_shape_known(shape);
    if (ok && want.rank >= 0)
        ok = want.rank == shape->rank;
    for (int i = 0; ok && i < want.rank; i++) {
        int64_t *size = &want.dims[i];
        if (HEARTH_DIM_IS_SYMBOL(*size)) {
            size = &w->bound[HEARTH_DIM_SYMBOL_INDEX(*size)];
            *size = *size < 0 ? shape->dims[i] : *size;
        }
        ok = *size == shape->dims[i];
    }
    if (!ok)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "input '%.60s' has shape %.80s, the model takes "
                           "%.80s, equal names being equal sizes",
                           name, hearth_shape_text(shape, a, sizeof a),
                           hearth_shape_text(&want, b, sizeof b));
    w->spec->values[number].shape = *shape;
    return HEARTH_OK;
}

/* Copies a weight that a shape depends on to the host. */
static int read_weight(struct work *w, const struct hearth_graph_value *v,
                       struct hearth_value_info *info, struct hearth_error *err)
{
    if (w->weights == NULL || v->bytes > VALUE_MAX ||
        w->total_bytes + v->bytes > TOTAL_MAX)
        return HEARTH_OK;
    w->total_bytes += v->bytes;
    void *room = keep(w->spec, v->bytes);
    if (room == NULL)
        return hearth_fail(err, HEARTH_ENOMEM,
                           "no memory for a shape's weight; try again");
    int rc = w->weights->read(w->weights->ctx, v->segment, v->offset, v->bytes,
                              room, err);
    if (rc == HEARTH_OK)
        info->data = room;
    return rc;
}

static int fill_values(struct work *w, const struct hearth_shape *inputs,
                       struct hearth_error *err)
{
    const struct hearth_graph *g = w->g;
    int rc = HEARTH_OK;
    for (uint32_t i = 0; rc == HEARTH_OK && i < g->value_count; i++) {
        const struct hearth_graph_value *v = hearth_graph_value(g, i);
        struct hearth_value_info *info = &w->spec->values[i];
        info->dtype = (enum hearth_dtype)v->dtype;
        info->shape.rank = -1;
        if (v->kind == HEARTH_VALUE_WEIGHT || v->kind == HEARTH_VALUE_CONST)
            info->shape = hearth_graph_shape(v);
        if (v->kind == HEARTH_VALUE_CONST)
            info->data = hearth_graph_const(g, v);
        else if (v->kind == HEARTH_VALUE_WEIGHT && w->needed[i])
            rc = read_weight(w, v, info, err);
        int64_t count;
        if (info->data != NULL && info->dtype == HEARTH_I64 &&
            hearth_shape_count(&info->shape, &count) &&
            count <= HEARTH_CONTENT_MAX)
            info->content = info->data;
    }
    for (uint32_t k = 0; rc == HEARTH_OK && k < g->input_count; k++)
        rc = bind_input(w, k, &inputs[k], err);
    return rc;
}

/* ---- Nodes ---- */

static bool inputs_are_here(const struct hearth_op_call *call)
{
    uint64_t bytes;
    if (!hearth_op_cheap(call->node->op))
        return false;
    for (uint32_t k = 0; k < call->input_count; k++)
        if (call->in[k] != NULL &&
            (call->in[k]->data == NULL ||
             !hearth_shape_bytes(&call->in[k]->shape, call->in[k]->dtype,
                                 &bytes) ||
             bytes > VALUE_MAX))
            return false;
    return true;
}

/* May the node be evaluated here? */
static bool evaluable(const struct work *w, const struct hearth_op_call *call)
{
    uint64_t bytes, total = w->total_bytes;
    if (!inputs_are_here(call))
        return false;
    for (uint32_t k = 0; k < call->output_count; k++) {
        if (!hearth_shape_bytes(&call->out[k].shape, call->out[k].dtype,
                                &bytes) ||
            bytes > VALUE_MAX)
            return false;
        total += bytes;
    }
    return total <= TOTAL_MAX;
}

static void view_inputs(struct work *w, const struct hearth_op_call *call)
{
    for (uint32_t k = 0; k < call->input_count; k++) {
        const struct hearth_value_info *in = call->in[k];
        w->in_views[k] = NULL;
        if (in == NULL)
            continue;
        w->views[k] = hearth_view_dense((void *)(uintptr_t)in->data, in->dtype,
                                        &in->shape);
        w->in_views[k] = &w->views[k];
    }
}

/* Sizes that the data tell, where the data are here. */
static int measure(struct work *w, const struct hearth_op_call *call,
                   struct hearth_error *err)
{
    const struct hearth_op_row *row = hearth_op_row(call->node->op);
    if (row->measure == NULL || !inputs_are_here(call))
        return HEARTH_OK;
    view_inputs(w, call);
    return row->measure(call, w->in_views, err);
}

static int evaluate(struct work *w, const struct hearth_op_call *call,
                    struct hearth_error *err)
{
    struct hearth_view out[HEARTH_OP_OUTPUTS_MAX] = {0};
    view_inputs(w, call);
    for (uint32_t k = 0; k < call->output_count; k++) {
        struct hearth_value_info *info = &call->out[k];
        uint64_t bytes;
        (void)hearth_shape_bytes(&info->shape, info->dtype, &bytes);
        void *room = keep(w->spec, bytes);
        if (room == NULL)
            return hearth_fail(err, HEARTH_ENOMEM,
                               "no memory for a shape; try again");
        w->total_bytes += bytes;
        out[k] = hearth_view_dense(room, info->dtype, &info->shape);
    }
    int rc = hearth_op_eval(call, w->in_views, out, err);
    for (uint32_t k = 0; rc == HEARTH_OK && k < call->output_count; k++) {
        struct hearth_value_info *info = &call->out[k];
        int64_t count;
        info->data = out[k].data;
        if (info->dtype == HEARTH_I64 &&
            hearth_shape_count(&info->shape, &count) &&
            count <= HEARTH_CONTENT_MAX)
            info->content = info->data;
    }
    return rc;
}

static int visit(struct work *w, uint32_t i, struct hearth_error *err)
{
    const struct hearth_graph *g = w->g;
    const struct hearth_graph_node *n = hearth_graph_node(g, i);
    struct hearth_value_info out[HEARTH_OP_OUTPUTS_MAX] = {0};
    struct hearth_op_call call = {.graph = g,
                                  .node = n,
                                  .input_count = n->input_count,
                                  .output_count = n->output_count,
                                  .in = w->in,
                                  .out = out,
                                  .fresh_symbol = fresh_symbol,
                                  .content_alloc = content_alloc,
                                  .ctx = w};
    for (uint32_t k = 0; k < n->input_count; k++) {
        uint32_t v = hearth_graph_input(g, n, k);
        w->in[k] = v == HEARTH_NO_VALUE ? NULL : &w->spec->values[v];
    }
    int rc = hearth_op_row(n->op)->infer(&call, err);
    if (rc == HEARTH_OK)
        rc = measure(w, &call, err);
    if (rc == HEARTH_OK && w->no_memory)
        rc = hearth_fail(err, HEARTH_ENOMEM, "no memory for shapes; try again");
    bool done = true;
    for (uint32_t k = 0; k < n->output_count; k++)
        done &= out[k].data != NULL;
    if (rc == HEARTH_OK && !done && evaluable(w, &call)) {
        rc = evaluate(w, &call, err);
        done = true;
    }
    if (rc != HEARTH_OK) {
        hearth_fail_prefix(err, "node %" PRIu32 " '%.60s' (%s)", i,
                           hearth_graph_string(g, n->name),
                           hearth_op_name(n->op));
        return rc;
    }
    w->spec->node_done[i] = done;
    for (uint32_t k = 0; k < n->output_count; k++) {
        uint32_t v = hearth_graph_output(g, n, k);
        if (v != HEARTH_NO_VALUE)
            w->spec->values[v] = out[k];
    }
    return HEARTH_OK;
}

/* Scratch of the pass; freed with the spec's memory, of which it is a part. */
static int prepare(struct work *w, struct hearth_error *err)
{
    const struct hearth_graph *g = w->g;
    struct hearth_spec *s = w->spec;
    uint64_t most = 1;
    for (uint32_t i = 0; i < g->node_count; i++) {
        uint32_t n = hearth_graph_node(g, i)->input_count;
        most = n > most ? n : most;
    }
    s->value_count = g->value_count;
    s->values = keep(s, (uint64_t)g->value_count * sizeof *s->values);
    s->node_done = keep(s, g->node_count);
    w->needed = keep(s, g->value_count);
    w->bound = keep(s, (uint64_t)g->symbol_count * sizeof *w->bound);
    w->in = keep(s, most * sizeof *w->in);
    w->views = keep(s, most * sizeof *w->views);
    w->in_views = keep(s, most * sizeof *w->in_views);
    if (s->values == NULL || s->node_done == NULL || w->needed == NULL ||
        w->bound == NULL || w->in == NULL || w->views == NULL ||
        w->in_views == NULL)
        return hearth_fail(err, HEARTH_ENOMEM,
                           "no memory for a graph of %" PRIu32
                           " values; try again",
                           g->value_count);
    for (uint32_t i = 0; i < g->symbol_count; i++)
        w->bound[i] = -1;
    return HEARTH_OK;
}

int hearth_spec_create(struct hearth_spec *spec, const struct hearth_graph *g,
                       const struct hearth_weights *weights,
                       const struct hearth_shape *inputs,
                       struct hearth_error *err)
{
    struct work w = {.g = g,
                     .weights = weights,
                     .spec = spec,
                     .next_symbol = g->symbol_count};
    memset(spec, 0, sizeof *spec);
    int rc = prepare(&w, err);
    if (rc != HEARTH_OK)
        goto out;
    mark_needed(&w);
    rc = fill_values(&w, inputs, err);
    for (uint32_t i = 0; rc == HEARTH_OK && i < g->node_count; i++)
        rc = visit(&w, i, err);
out:
    if (rc != HEARTH_OK)
        hearth_spec_destroy(spec);
    return rc;
}
