/* SPDX-License-Identifier: Apache-2.0 */
/*
 * emit.c: a canonical node joins the graph: its row of ops infers types, shapes
 * and contents; when everything that it takes is constant, it is computed here
 * and now, and what joins is a constant.
 *
 * Folding is bounded: an operator whose work exceeds its bytes (Conv, MatMul)
 * is left alone; so is one whose result is larger than its inputs (what a file
 * can say in ten bytes may not take gigabytes), and all results together stay
 * under ir->derived_limit. A node that is left alone is merely slower.
 *
 * Rows find attributes in a graph block, so that each call makes a small one,
 * of the one node, in a buffer that all calls share.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/model_priv.h"

#define FOLD_FREE_BYTES (64u << 10) /* results up to this may grow */
#define FOLD_GROWTH 4               /* a Cast of weights kept in 8 bits */
#define FOLD_ARENA_BYTES 4096u      /* small integers stay in the arena */

/* ---- Drafts ---- */

static int find_attr(const struct hearth__draft *draft, enum hearth_attr key)
{
    for (uint32_t i = 0; i < draft->attr_count; i++)
        if (draft->attrs[i].key == key)
            return (int)i;
    return -1;
}

const struct hearth__ir_attr *
hearth__draft_get(const struct hearth__draft *draft, enum hearth_attr key)
{
    int i = find_attr(draft, key);
    return i < 0 ? NULL : &draft->attrs[i];
}

void hearth__draft_unset(struct hearth__draft *draft, enum hearth_attr key)
{
    int i = find_attr(draft, key);
    if (i >= 0)
        draft->attrs[i] = draft->attrs[--draft->attr_count];
}

int hearth__draft_set(struct hearth__ir *ir, struct hearth__draft *draft,
                      enum hearth_attr key, enum hearth_attr_type type,
                      uint32_t count, const void *data)
{
    bool is_bytes = type == HEARTH_ATTR_STRING || type == HEARTH_ATTR_BLOCK;
    uint64_t bytes = (uint64_t)count * (is_bytes ? 1 : 8);
    int i = find_attr(draft, key);
    if (i < 0)
        i = (int)draft->attr_count++;
    HEARTH_ASSERT((size_t)i < sizeof draft->attrs / sizeof draft->attrs[0]);
    /* One more byte: a string is terminated. */
    void *copy = hearth__ir_alloc(ir, 1, bytes + 1);
    if (copy == NULL)
        return ir->err->status;
    if (bytes > 0)
        memcpy(copy, data, (size_t)bytes);
    draft->attrs[i] = (struct hearth__ir_attr){.key = (uint16_t)key,
                                               .type = (uint16_t)type,
                                               .count = count,
                                               .data = copy};
    return HEARTH_OK;
}

int hearth__draft_set_int(struct hearth__ir *ir, struct hearth__draft *draft,
                          enum hearth_attr key, int64_t value)
{
    return hearth__draft_set(ir, draft, key, HEARTH_ATTR_INTS, 1, &value);
}

/* ---- A call of a row ---- */

static int64_t fresh_symbol(void *ctx)
{
    struct hearth__ir *ir = ctx;
    int64_t dim = HEARTH_DIM_SYMBOL(0);
    if (hearth__ir_symbol(ir, (struct hearth__slice){0}, &dim) != HEARTH_OK)
        ir->failed = true;
    return dim;
}

static int64_t *content_alloc(void *ctx, uint32_t count)
{
    struct hearth__ir *ir = ctx;
    uint64_t bytes = (uint64_t)count * sizeof(int64_t);
    /* Contents are worth having, but not everything. */
    if (ir->content_bytes + bytes > ir->arena_limit / 4)
        return NULL;
    ir->content_bytes += bytes;
    int64_t *room = hearth__ir_alloc(ir, count, sizeof *room);
    ir->failed |= room == NULL;
    return room;
}

/* Copies attributes into the block at <g>, whose sections are placed. */
static void write_attrs(struct hearth_graph *g, uint32_t attr_count,
                        const struct hearth__ir_attr *attrs)
{
    struct hearth_graph_attr *to =
        (struct hearth_graph_attr *)((char *)g + g->attrs);
    uint64_t data = 0, text = 1;
    for (uint32_t i = 0; i < attr_count; i++) {
        const struct hearth__ir_attr *a = &attrs[i];
        bool string = a->type == HEARTH_ATTR_STRING;
        bool block = a->type == HEARTH_ATTR_BLOCK;
        uint64_t bytes = (uint64_t)a->count * (string || block ? 1 : 8);
        uint64_t at = string ? text : data;
        memcpy((char *)g + (string ? g->strings : g->data) + at, a->data,
               (size_t)bytes);
        to[i] = (struct hearth_graph_attr){.key = a->key,
                                           .type = a->type,
                                           .count = string ? 1 : a->count,
                                           .offset = at};
        if (string)
            text += bytes + 1;
        else
            data += (bytes + 7) / 8 * 8;
    }
}

int hearth__call_make(struct hearth__ir *ir, uint32_t op, uint32_t input_count,
                      const uint32_t *inputs, uint32_t output_count,
                      uint32_t attr_count, const struct hearth__ir_attr *attrs,
                      struct hearth__call *call)
{
    uint64_t data_bytes = 0, string_bytes = 1;
    for (uint32_t i = 0; i < attr_count; i++) {
        if (attrs[i].type == HEARTH_ATTR_STRING)
            string_bytes += attrs[i].count + UINT64_C(1);
        else if (attrs[i].type == HEARTH_ATTR_BLOCK)
            data_bytes += (attrs[i].count + UINT64_C(7)) / 8 * 8;
        else
            data_bytes += (uint64_t)attrs[i].count * 8;
    }
    struct hearth_graph g = {.magic = HEARTH_GRAPH_MAGIC,
                             .version = HEARTH_GRAPH_VERSION,
                             .node_count = 1,
                             .attr_count = attr_count,
                             .opset = ir->head.opset};
    g.nodes = sizeof g;
    g.attrs = g.nodes + sizeof(struct hearth_graph_node);
    uint64_t in = g.attrs + attr_count * sizeof(struct hearth_graph_attr);
    g.data = in + (input_count + UINT64_C(1)) * sizeof(void *);
    g.strings = g.data + data_bytes;
    g.data_bytes = data_bytes;
    g.string_bytes = string_bytes;
    g.bytes = g.strings + string_bytes;
    if (g.bytes > ir->scratch_bytes) {
        ir->scratch = hearth__ir_alloc(ir, 2, g.bytes);
        if (ir->scratch == NULL)
            return ir->err->status;
        ir->scratch_bytes = 2 * g.bytes;
    }
    char *base = ir->scratch;
    memset(base, 0, (size_t)g.bytes);
    memcpy(base, &g, sizeof g);
    struct hearth_graph_node *node =
        (struct hearth_graph_node *)(base + g.nodes);
    *node = (struct hearth_graph_node){.op = op,
                                       .input_count = input_count,
                                       .output_count = output_count,
                                       .attr_count = attr_count};
    write_attrs((struct hearth_graph *)base, attr_count, attrs);
    const struct hearth_value_info **infos =
        (const struct hearth_value_info **)(base + in);
    for (uint32_t k = 0; k < input_count; k++)
        infos[k] = inputs[k] == HEARTH_NO_VALUE
                       ? NULL
                       : &hearth__ir_value(ir, inputs[k])->info;
    *call = (struct hearth__call){.call = {.graph = (struct hearth_graph *)base,
                                           .node = node,
                                           .input_count = input_count,
                                           .output_count = output_count,
                                           .in = infos,
                                           .fresh_symbol = fresh_symbol,
                                           .content_alloc = content_alloc,
                                           .ctx = ir}};
    call->call.out = call->out;
    return HEARTH_OK;
}

/* A row's failure is the model's fault here, not a request's; and a row does
 * not know what to do next. */
static int row_failed(struct hearth__ir *ir, int rc)
{
    char text[sizeof ir->err->text];
    if (hearth_status_class(rc) != HEARTH_CLASS_CLIENT && rc != HEARTH_EMODEL)
        return rc;
    snprintf(text, sizeof text, "%s", ir->err->text);
    return hearth_fail(ir->err, HEARTH_EMODEL,
                       "%s; check the model with onnx.checker", text);
}

int hearth__call_infer(struct hearth__ir *ir, struct hearth__call *call)
{
    int rc = hearth_op_row(call->call.node->op)->infer(&call->call, ir->err);
    if (rc != HEARTH_OK)
        return row_failed(ir, rc);
    return ir->failed ? ir->err->status : HEARTH_OK;
}

/* ---- Folding ---- */

static bool keeps_bytes(uint32_t op)
{
    return op == HEARTH_OP_IDENTITY || op == HEARTH_OP_RESHAPE ||
           op == HEARTH_OP_FLATTEN || op == HEARTH_OP_SQUEEZE ||
           op == HEARTH_OP_UNSQUEEZE;
}

static bool all_const(struct hearth__ir *ir, const struct hearth__draft *d)
{
    for (uint32_t k = 0; k < d->input_count; k++)
        if (d->inputs[k] != HEARTH_NO_VALUE &&
            !hearth__ir_is_const(ir, d->inputs[k]))
            return false;
    return true;
}

/* The result is input 0's bytes with another shape. */
static bool alias(struct hearth__ir *ir, const struct hearth__draft *d,
                  const struct hearth_value_info *out)
{
    const struct hearth__ir_value *x = hearth__ir_value(ir, d->inputs[0]);
    struct hearth__ir_value *y = hearth__ir_value(ir, d->outputs[0]);
    uint64_t bytes;
    if (!hearth_shape_bytes(&out->shape, out->dtype, &bytes) ||
        bytes != x->bytes)
        return false;
    y->kind = HEARTH_VALUE_WEIGHT;
    y->producer = HEARTH_NO_VALUE;
    y->segment = x->segment;
    y->offset = x->offset;
    y->bytes = bytes;
    y->info = *out;
    y->info.data = x->info.data;
    return true;
}

/* Room for a result: small integers in the arena. NULL: no room, and *rc tells
 * whether that is an error. */
static void *result_room(struct hearth__ir *ir, uint32_t value,
                         const struct hearth_value_info *info, uint64_t bytes,
                         int *rc)
{
    struct hearth__ir_value *v = hearth__ir_value(ir, value);
    bool small = bytes <= 8 ||
                 (bytes <= FOLD_ARENA_BYTES &&
                  (info->dtype == HEARTH_I64 || info->dtype == HEARTH_I32));
    v->info = *info;
    if (!small)
        return hearth__ir_derive(ir, value, bytes, rc);
    void *room = hearth__ir_alloc(ir, 1, bytes);
    *rc = room == NULL ? ir->err->status : HEARTH_OK;
    v->kind = HEARTH_VALUE_WEIGHT;
    v->segment = HEARTH__SEGMENT_ARENA;
    v->bytes = bytes;
    v->info.data = room;
    return room;
}

/* With the inputs as views: <out> NULL: what the row measures of its outputs,
 * else its result. */
static int with_views(struct hearth__ir *ir, const struct hearth__draft *d,
                      struct hearth__call *call, struct hearth_view *out)
{
    const struct hearth_op_row *row = hearth_op_row(d->op);
    uint32_t n = d->input_count;
    int rc;
    struct hearth_view *views = hearth_calloc(n, sizeof *views);
    const struct hearth_view **in = hearth_calloc(n, sizeof *in);
    if (views == NULL || in == NULL) {
        rc = hearth_fail(ir->err, HEARTH_ENOMEM,
                         "no memory to import the model; try again later");
        goto out;
    }
    for (uint32_t k = 0; k < n; k++) {
        const struct hearth_value_info *info = call->call.in[k];
        if (info == NULL)
            continue;
        views[k] = hearth_view_dense((void *)(uintptr_t)info->data, info->dtype,
                                     &info->shape);
        in[k] = &views[k];
    }
    rc = out == NULL ? row->measure(&call->call, in, ir->err)
                     : hearth_op_eval(&call->call, in, out, ir->err);
    if (rc != HEARTH_OK)
        rc = row_failed(ir, rc);
out:
    hearth_free(in);
    hearth_free(views);
    return rc;
}

static int evaluate(struct hearth__ir *ir, const struct hearth__draft *d,
                    struct hearth__call *call)
{
    const struct hearth_value_info *y =
        &hearth__ir_value(ir, d->outputs[0])->info;
    struct hearth_view out =
        hearth_view_dense((void *)(uintptr_t)y->data, y->dtype, &y->shape);
    return with_views(ir, d, call, &out);
}

/* *folded: the outputs are constants now. */
static int fold(struct hearth__ir *ir, const struct hearth__draft *d,
                struct hearth__call *call, bool *folded)
{
    uint64_t bytes, in_bytes = 0;
    int rc = HEARTH_OK;
    *folded = false;
    if (d->output_count != 1)
        return HEARTH_OK;
    const struct hearth_value_info *info = &call->out[0];
    if (info->data != NULL &&
        hearth_shape_bytes(&info->shape, info->dtype, &bytes)) {
        struct hearth__ir_value *v = hearth__ir_value(ir, d->outputs[0]);
        v->kind = HEARTH_VALUE_WEIGHT;
        v->producer = HEARTH_NO_VALUE;
        v->bytes = bytes;
        v->info = *info;
        *folded = true;
        return HEARTH_OK;
    }
    if (!all_const(ir, d) || !hearth_op_cheap(d->op))
        return HEARTH_OK;
    if (keeps_bytes(d->op)) {
        *folded = alias(ir, d, info);
        return HEARTH_OK;
    }
    if (hearth_op_row(d->op)->measure != NULL &&
        (rc = with_views(ir, d, call, NULL)) != HEARTH_OK)
        return rc;
    for (uint32_t k = 0; k < d->input_count; k++)
        if (d->inputs[k] != HEARTH_NO_VALUE)
            in_bytes += hearth__ir_value(ir, d->inputs[k])->bytes;
    if (!hearth_shape_bytes(&info->shape, info->dtype, &bytes) ||
        (bytes > FOLD_FREE_BYTES && bytes / FOLD_GROWTH > in_bytes))
        return HEARTH_OK;
    if (result_room(ir, d->outputs[0], info, bytes, &rc) == NULL)
        return rc;
    rc = evaluate(ir, d, call);
    hearth__ir_value(ir, d->outputs[0])->producer = HEARTH_NO_VALUE;
    *folded = rc == HEARTH_OK;
    return rc;
}

/* ---- Joining ---- */

static int append(struct hearth__ir *ir, const struct hearth__draft *d,
                  const struct hearth__call *call)
{
    struct hearth__ir_node *n = hearth__ir_push(ir, &ir->nodes, sizeof *n);
    if (n == NULL)
        return ir->err->status;
    const struct hearth__ir_source *s =
        (struct hearth__ir_source *)ir->sources.items + d->source;
    n->op = d->op;
    n->source = d->source;
    n->name = s->head.name;
    n->input_count = d->input_count;
    n->output_count = d->output_count;
    n->attr_count = d->attr_count;
    n->inputs = hearth__ir_alloc(ir, d->input_count, sizeof *n->inputs);
    n->attrs = hearth__ir_alloc(ir, d->attr_count, sizeof *n->attrs);
    if (n->inputs == NULL || n->attrs == NULL)
        return ir->err->status;
    memcpy(n->inputs, d->inputs, d->input_count * sizeof *n->inputs);
    memcpy(n->attrs, d->attrs, d->attr_count * sizeof *n->attrs);
    for (uint32_t k = 0; k < HEARTH_OP_OUTPUTS_MAX; k++) {
        n->outputs[k] = k < d->output_count ? d->outputs[k] : HEARTH_NO_VALUE;
        if (n->outputs[k] == HEARTH_NO_VALUE)
            continue;
        struct hearth__ir_value *v = hearth__ir_value(ir, n->outputs[k]);
        v->kind = HEARTH_VALUE_ACTIVATION;
        v->producer = ir->nodes.count - 1;
        v->info = call->out[k];
    }
    return HEARTH_OK;
}

int hearth__emit(struct hearth__ir *ir, struct hearth__draft *d)
{
    struct hearth__call call;
    bool folded;
    while (d->input_count > 0 &&
           d->inputs[d->input_count - 1] == HEARTH_NO_VALUE)
        d->input_count--;
    int rc = hearth__call_make(ir, d->op, d->input_count, d->inputs,
                               d->output_count, d->attr_count, d->attrs, &call);
    if (rc == HEARTH_OK)
        rc = hearth__call_infer(ir, &call);
    if (rc == HEARTH_OK)
        rc = fold(ir, d, &call, &folded);
    if (rc == HEARTH_OK && !folded)
        rc = append(ir, d, &call);
    return rc;
}
