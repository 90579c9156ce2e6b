/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nested.c: a graph inside a node (an If's branch, a Loop's body) is imported
 * like any other, into a working graph of its own that shares the arena.
 *
 * What it takes by name from the graphs around it are its captures. They are
 * found before anything is put in order, for the node has to come after them,
 * and then are inputs like others. A capture that is a constant is a constant
 * inside too, so that what depends on it folds. A block has no weights: those
 * that remain in the end become captures.
 *
 * Graphs inside of graphs are walked once for each level, HEARTH_BLOCKS_DEEP at
 * most.
 */
#include "model/nested.h"

#include <string.h>

bool hearth__nested_has(const struct hearth__onnx_node *head)
{
    if (head->domain.bytes > 0 && !hearth__slice_is(head->domain, "ai.onnx"))
        return false;
    return hearth__slice_is(head->op, "If") ||
           hearth__slice_is(head->op, "Loop") ||
           hearth__slice_is(head->op, "Scan");
}

/* ---- Captures ---- */

struct scope {
    struct scope *around;
    struct hearth__names names;
};

struct search {
    struct hearth__ir *ir;
    struct hearth__names seen;
    struct hearth__vec *captures;
    int depth;
};

/* Field <number> of <message>, a name; empty when there is none. */
static int name_of(struct hearth__ir *ir, struct hearth__slice message,
                   uint32_t number, struct hearth__slice *name)
{
    struct hearth__wire_field f;
    int rc;
    *name = (struct hearth__slice){(const uint8_t *)"", 0};
    while (hearth__wire_next(&message, &f, &rc, ir->err))
        if (f.number == number && f.type == HEARTH__WIRE_BYTES)
            *name = f.bytes;
    return rc;
}

static int define(struct search *s, struct scope *scope,
                  struct hearth__slice name)
{
    uint32_t found;
    return name.bytes == 0
               ? HEARTH_OK
               : hearth__names_find(s->ir, &scope->names, name, 1, &found);
}

/* A name that is used: a capture when no graph inside defines it and the one
 * around does. */
static int use(struct search *s, struct scope *scope,
               struct hearth__slice name)
{
    uint32_t found, *slot;
    int rc;
    if (name.bytes == 0)
        return HEARTH_OK;
    for (; scope != NULL; scope = scope->around) {
        rc = hearth__names_find(s->ir, &scope->names, name, HEARTH_NO_VALUE,
                                &found);
        if (rc != HEARTH_OK || found != HEARTH_NO_VALUE)
            return rc;
    }
    rc = hearth__names_find(s->ir, &s->ir->value_names, name, HEARTH_NO_VALUE,
                            &found);
    if (rc != HEARTH_OK || found == HEARTH_NO_VALUE)
        return rc; /* nobody makes it: the import of the graph says so */
    uint32_t value = found;
    uint32_t before = (uint32_t)s->seen.count;
    rc = hearth__names_find(s->ir, &s->seen, name, value, &found);
    if (rc != HEARTH_OK || s->seen.count == before)
        return rc;
    slot = hearth__ir_push(s->ir, s->captures, sizeof *slot);
    if (slot == NULL)
        return s->ir->err->status;
    *slot = value;
    hearth__ir_value(s->ir, value)->uses++;
    return HEARTH_OK;
}

static int search_node(struct search *s, struct hearth__slice node,
                       struct scope *scope);

/* What the graph defines. */
static int define_all(struct search *s, struct hearth__slice graph,
                      struct scope *scope)
{
    struct hearth__wire_field f, g;
    struct hearth__slice name;
    int rc, node_rc = HEARTH_OK;
    while (hearth__wire_next(&graph, &f, &rc, s->ir->err)) {
        if (f.type != HEARTH__WIRE_BYTES)
            continue;
        if (f.number == 1) {
            struct hearth__slice node = f.bytes;
            while (rc == HEARTH_OK &&
                   hearth__wire_next(&node, &g, &node_rc, s->ir->err))
                if (g.number == 2 && g.type == HEARTH__WIRE_BYTES)
                    rc = define(s, scope, g.bytes);
            rc = rc == HEARTH_OK ? node_rc : rc;
        } else if (f.number == 5 || f.number == 11) {
            rc = name_of(s->ir, f.bytes, f.number == 5 ? 8 : 1, &name);
            if (rc == HEARTH_OK)
                rc = define(s, scope, name);
        }
        if (rc != HEARTH_OK)
            return rc;
    }
    return rc;
}

static int search_graph(struct search *s, struct hearth__slice graph,
                        struct scope *around)
{
    struct scope scope = {.around = around};
    struct hearth__wire_field f;
    struct hearth__slice name;
    if (s->depth == HEARTH_BLOCKS_DEEP)
        return hearth_fail(s->ir->err, HEARTH_EUNSUPPORTED,
                           "its graphs are nested deeper than %d; export the "
                           "model again",
                           HEARTH_BLOCKS_DEEP);
    s->depth++;
    int rc = define_all(s, graph, &scope);
    if (rc != HEARTH_OK)
        return rc;
    while (hearth__wire_next(&graph, &f, &rc, s->ir->err)) {
        if (f.type != HEARTH__WIRE_BYTES)
            continue;
        if (f.number == 1) {
            rc = search_node(s, f.bytes, &scope);
        } else if (f.number == 12) {
            rc = name_of(s->ir, f.bytes, 1, &name);
            if (rc == HEARTH_OK)
                rc = use(s, &scope, name);
        }
        if (rc != HEARTH_OK)
            return rc;
    }
    s->depth--;
    return rc;
}

/* Inputs of a node of a graph inside, and its own graphs. <scope> NULL: the
 * node that is asked about, whose inputs are no captures. */
static int search_node(struct search *s, struct hearth__slice node,
                       struct scope *scope)
{
    struct hearth__wire_field f, g;
    int rc, attr_rc = HEARTH_OK;
    while (hearth__wire_next(&node, &f, &rc, s->ir->err)) {
        if (f.type != HEARTH__WIRE_BYTES)
            continue;
        if (f.number == 1 && scope != NULL) {
            rc = use(s, scope, f.bytes);
        } else if (f.number == 5) {
            struct hearth__slice attr = f.bytes;
            while (rc == HEARTH_OK &&
                   hearth__wire_next(&attr, &g, &attr_rc, s->ir->err))
                if (g.number == 6 && g.type == HEARTH__WIRE_BYTES)
                    rc = search_graph(s, g.bytes, scope);
            rc = rc == HEARTH_OK ? attr_rc : rc;
        }
        if (rc != HEARTH_OK)
            return rc;
    }
    return rc;
}

int hearth__nested_captures(struct hearth__ir *ir, struct hearth__slice message,
                            struct hearth__vec *captures)
{
    struct search s = {.ir = ir, .captures = captures, .depth = (int)ir->depth};
    return search_node(&s, message, NULL);
}

/* ---- Import ---- */

static int find_graph(struct hearth__canon *c, const char *name,
                      struct hearth__slice *graph)
{
    const struct hearth__onnx_attr *a = hearth__canon_attr(c, name);
    struct hearth__wire_field f;
    int rc = HEARTH_OK;
    graph->at = NULL;
    struct hearth__slice message =
        a != NULL ? a->message : (struct hearth__slice){0};
    while (a != NULL && hearth__wire_next(&message, &f, &rc, c->ir->err))
        if (f.number == 6 && f.type == HEARTH__WIRE_BYTES)
            *graph = f.bytes;
    if (rc == HEARTH_OK && graph->at == NULL)
        rc = hearth_fail(c->ir->err, HEARTH_EMODEL,
                         "it has no graph '%s'; export the model again", name);
    return rc;
}

/* Symbols of the graph around are none inside. */
static int take_info(struct hearth__ir *ir, uint32_t value,
                     const struct hearth_value_info *info)
{
    struct hearth_value_info own = {.dtype = info->dtype, .shape = info->shape};
    for (int i = 0; i < own.shape.rank; i++)
        if (HEARTH_DIM_IS_SYMBOL(own.shape.dims[i])) {
            int rc = hearth__ir_symbol(ir, (struct hearth__slice){0},
                                       &own.shape.dims[i]);
            if (rc != HEARTH_OK)
                return rc;
        }
    hearth__ir_value(ir, value)->info = own;
    return HEARTH_OK;
}

static int add_input(struct hearth__nested *n, uint32_t value,
                     uint32_t outer_value)
{
    uint32_t *input = hearth__ir_push(&n->ir, &n->ir.inputs, sizeof *input);
    uint32_t *extra = hearth__ir_push(&n->ir, &n->extra, sizeof *extra);
    if (input == NULL || extra == NULL)
        return n->ir.err->status;
    *input = value;
    *extra = outer_value;
    return HEARTH_OK;
}

/* The capture as a value inside; *input: it is to be an input. */
static int capture(struct hearth__nested *n, uint32_t outer_value,
                   uint32_t *value, bool *input)
{
    struct hearth__slice name = hearth__ir_value(n->outer, outer_value)->name;
    uint32_t found;
    *value = hearth__ir_value_new(&n->ir, name);
    if (*value == HEARTH_NO_VALUE)
        return n->ir.err->status;
    int rc =
        hearth__names_find(&n->ir, &n->ir.value_names, name, *value, &found);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth__ir_value *from =
        hearth__ir_value(n->outer, outer_value);
    struct hearth__ir_value *v = hearth__ir_value(&n->ir, *value);
    *input = from->kind != HEARTH_VALUE_WEIGHT;
    if (*input) {
        v->kind = HEARTH_VALUE_INPUT;
        return take_info(&n->ir, *value, &from->info);
    }
    *v = *from;
    v->is_output = false;
    v->uses = 0;
    v->outer = outer_value + 1;
    return HEARTH_OK;
}

int hearth__nested_import(struct hearth__canon *c, const char *name,
                          const struct hearth_value_info *formals,
                          uint32_t formal_count, struct hearth__nested *n)
{
    struct hearth__ir *outer = c->ir;
    const struct hearth__ir_source *s = c->source;
    uint32_t count = s->input_count - s->formal_count;
    struct hearth__slice graph;
    memset(n, 0, sizeof *n);
    int rc = find_graph(c, name, &graph);
    if (rc != HEARTH_OK)
        return rc;
    n->outer = outer;
    n->formal_count = formal_count;
    hearth__ir_nest(outer, &n->ir);
    n->ir.head.graph = graph;
    uint32_t *values = hearth__ir_alloc(outer, count, sizeof *values);
    bool *inputs = hearth__ir_alloc(outer, count, sizeof *inputs);
    if (values == NULL || inputs == NULL)
        return outer->err->status;
    for (uint32_t k = 0; rc == HEARTH_OK && k < count; k++)
        rc = capture(n, s->inputs[s->formal_count + k], &values[k], &inputs[k]);
    if (rc == HEARTH_OK)
        rc = hearth__import_graph(&n->ir, formals, formal_count);
    for (uint32_t k = 0; rc == HEARTH_OK && k < count; k++)
        if (inputs[k])
            rc = add_input(n, values[k], s->inputs[s->formal_count + k]);
    outer->inline_calls = n->ir.inline_calls;
    outer->inline_fields = n->ir.inline_fields;
    outer->parameter_count += n->ir.parameter_count;
    if (rc != HEARTH_OK)
        hearth_fail_prefix(outer->err, "its %s", name);
    return rc;
}

/* ---- Weights ---- */

/* The value of the graph around that is the weight <value>. */
static uint32_t lift(struct hearth__nested *n, uint32_t value)
{
    const struct hearth__ir_value *v = hearth__ir_value(&n->ir, value);
    if (v->outer != 0)
        return v->outer - 1;
    uint32_t to = hearth__ir_value_new(n->outer, v->name);
    if (to == HEARTH_NO_VALUE)
        return to;
    struct hearth__ir_value *w = hearth__ir_value(n->outer, to);
    *w = *hearth__ir_value(&n->ir, value);
    w->is_output = false;
    w->uses = 1;
    w->outer = 0;
    return to;
}

int hearth__nested_finish(struct hearth__nested *n)
{
    struct hearth__ir *ir = &n->ir;
    int rc = hearth__passes_run(ir);
    for (uint32_t i = 0; rc == HEARTH_OK && i < ir->nodes.count; i++) {
        const struct hearth__ir_node *node = hearth__ir_node(ir, i);
        for (uint32_t k = 0; rc == HEARTH_OK && node->op != HEARTH_OP_NONE &&
                             k < node->input_count;
             k++) {
            uint32_t value = node->inputs[k];
            if (!hearth__ir_is_const(ir, value) ||
                hearth__block_holds(hearth__ir_value(ir, value)))
                continue;
            uint32_t to = lift(n, value);
            if (to == HEARTH_NO_VALUE)
                return ir->err->status;
            struct hearth__ir_value *v = hearth__ir_value(ir, value);
            v->kind = HEARTH_VALUE_INPUT;
            v->info.data = NULL;
            v->info.content = NULL;
            rc = add_input(n, value, to);
        }
    }
    return rc;
}

int hearth__nested_pad(struct hearth__nested *n, uint32_t outer_value)
{
    uint32_t value = hearth__ir_value_new(&n->ir, (struct hearth__slice){0});
    if (value == HEARTH_NO_VALUE)
        return n->ir.err->status;
    hearth__ir_value(&n->ir, value)->kind = HEARTH_VALUE_INPUT;
    int rc = take_info(&n->ir, value,
                       &hearth__ir_value(n->outer, outer_value)->info);
    return rc == HEARTH_OK ? add_input(n, value, outer_value) : rc;
}

int hearth__nested_write(struct hearth__canon *c, struct hearth__nested *n,
                         enum hearth_attr key)
{
    struct hearth_graph *block = NULL;
    int rc = hearth__block_write(&n->ir, false, &block);
    if (rc != HEARTH_OK)
        return rc;
    if (block->bytes > UINT32_MAX)
        rc = hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                         "one of its graphs is larger than 4 GiB");
    else
        rc = hearth__draft_set(c->ir, &c->draft, key, HEARTH_ATTR_BLOCK,
                               (uint32_t)block->bytes, block);
    hearth_free(block);
    return rc;
}

/* ---- In place of the node ---- */

/* Output <k> of the node, or NO_VALUE: nobody wants it. */
static uint32_t wanted(const struct hearth__canon *c, uint32_t k)
{
    uint32_t o =
        k < c->source->output_count ? c->source->outputs[k] : HEARTH_NO_VALUE;
    return o != HEARTH_NO_VALUE && hearth__ir_value(c->ir, o)->uses > 0
               ? o
               : HEARTH_NO_VALUE;
}

/* Numbers of the graph around for values inside, as they are met. */
static int map_value(struct hearth__nested *n, uint32_t *map, uint32_t value)
{
    if (value == HEARTH_NO_VALUE || map[value] != HEARTH_NO_VALUE)
        return HEARTH_OK;
    map[value] =
        hearth__ir_is_const(&n->ir, value)
            ? lift(n, value)
            : hearth__ir_value_new(n->outer, (struct hearth__slice){0});
    return map[value] == HEARTH_NO_VALUE ? n->ir.err->status : HEARTH_OK;
}

static int splice_node(struct hearth__canon *c, struct hearth__nested *n,
                       const struct hearth__ir_node *node, uint32_t *map)
{
    struct hearth__draft d = {.op = node->op,
                              .source = c->draft.source,
                              .input_count = node->input_count,
                              .output_count = node->output_count,
                              .attr_count = node->attr_count};
    int rc = HEARTH_OK;
    HEARTH_ASSERT(node->attr_count <= sizeof d.attrs / sizeof d.attrs[0]);
    if (node->attr_count > 0)
        memcpy(d.attrs, node->attrs, node->attr_count * sizeof d.attrs[0]);
    d.inputs = hearth__ir_alloc(c->ir, node->input_count, sizeof *d.inputs);
    if (d.inputs == NULL)
        return c->ir->err->status;
    for (uint32_t k = 0; rc == HEARTH_OK && k < node->input_count; k++) {
        rc = map_value(n, map, node->inputs[k]);
        d.inputs[k] = node->inputs[k] == HEARTH_NO_VALUE ? HEARTH_NO_VALUE
                                                         : map[node->inputs[k]];
    }
    for (uint32_t k = 0; rc == HEARTH_OK && k < HEARTH_OP_OUTPUTS_MAX; k++) {
        uint32_t o =
            k < node->output_count ? node->outputs[k] : HEARTH_NO_VALUE;
        rc = map_value(n, map, o);
        d.outputs[k] = o == HEARTH_NO_VALUE ? o : map[o];
    }
    return rc == HEARTH_OK ? hearth__emit(c->ir, &d) : rc;
}

int hearth__nested_splice(struct hearth__canon *c, struct hearth__nested *n)
{
    struct hearth__ir *ir = &n->ir;
    const uint32_t *outputs = ir->outputs.items, *inputs = ir->inputs.items;
    const uint32_t *extra = n->extra.items;
    uint32_t *map = hearth__ir_alloc(ir, ir->values.count, sizeof *map);
    uint8_t *taken = hearth__ir_alloc(ir, ir->outputs.count, 1);
    int rc = HEARTH_OK;
    if (map == NULL || taken == NULL)
        return ir->err->status;
    memset(map, 0xff, ir->values.count * sizeof *map);
    for (uint32_t k = 0; k < n->extra.count; k++)
        map[inputs[n->formal_count + k]] = extra[k];
    for (uint32_t k = 0; k < ir->outputs.count; k++) {
        taken[k] = wanted(c, k) != HEARTH_NO_VALUE &&
                   map[outputs[k]] == HEARTH_NO_VALUE;
        if (taken[k])
            map[outputs[k]] = wanted(c, k);
    }
    for (uint32_t i = 0; rc == HEARTH_OK && i < ir->nodes.count; i++)
        rc = splice_node(c, n, hearth__ir_node(ir, i), map);
    /* One value may be several outputs. */
    for (uint32_t k = 0; rc == HEARTH_OK && k < ir->outputs.count; k++) {
        uint32_t to = wanted(c, k), from = map[outputs[k]];
        if (to != HEARTH_NO_VALUE && !taken[k])
            rc = hearth__canon_step(c, HEARTH_OP_IDENTITY, 1, &from, -1, &to);
    }
    c->emitted = true;
    return rc;
}
