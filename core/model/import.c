/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import.c: from a GraphProto to the working graph: names become numbers, nodes
 * are put in an order in which each comes after what it needs, and then go to
 * canon one by one.
 *
 * The order is the file's wherever that is one (ONNX demands it, not every
 * writer obeys); else Kahn's algorithm, which also finds cycles, without
 * recursion.
 */
#include <inttypes.h>
#include <string.h>

#include "model/model_priv.h"
#include "model/nested.h"

#define OPSET_MIN 7
#define OPSET_MAX 28
#define INPUTS_MAX 4096 /* hearth_graph_check's */

static int name_fail(struct hearth__ir *ir, struct hearth__slice name,
                     const char *what)
{
    return hearth_fail(ir->err, HEARTH_EMODEL, "'%.*s' %s",
                       hearth__slice_cut(name, 80), (const char *)name.at,
                       what);
}

static bool is_name(struct hearth__slice text)
{
    return text.bytes <= UINT16_MAX && hearth__slice_is_utf8(text);
}

/* A new value of that name, which nobody had before. */
static int declare(struct hearth__ir *ir, struct hearth__slice name,
                   uint32_t *value)
{
    uint32_t found;
    if (!is_name(name) || name.bytes == 0)
        return hearth_fail(ir->err, HEARTH_EMODEL,
                           "a value has no name, or one that is not UTF-8; "
                           "export the model again");
    uint32_t number = hearth__ir_value_new(ir, name);
    if (number == HEARTH_NO_VALUE)
        return ir->err->status;
    int rc = hearth__names_find(ir, &ir->value_names, name, number, &found);
    if (rc == HEARTH_OK && found != number)
        rc = name_fail(ir, name,
                       "is the name of two values; export the model again");
    *value = number;
    return rc;
}

static int read_initializer(struct hearth__ir *ir, struct hearth__slice message)
{
    struct hearth__onnx_tensor tensor;
    uint32_t value;
    int rc = hearth__onnx_read_tensor(message, &tensor, ir->err);
    if (rc == HEARTH_OK)
        rc = declare(ir, tensor.name, &value);
    if (rc == HEARTH_OK)
        rc = hearth__ir_tensor(ir, &tensor, value);
    int64_t count;
    if (rc == HEARTH_OK &&
        hearth_shape_count(&hearth__ir_value(ir, value)->info.shape, &count))
        ir->parameter_count += (uint64_t)count;
    return rc;
}

/* "?" is no name: PaddlePaddle's exporter has it for every size that it does
 * not know, equal or not. */
static struct hearth__slice size_name(struct hearth__slice param)
{
    return hearth__slice_is(param, "?") ? (struct hearth__slice){0} : param;
}

/* What a port says of its value; dimensions without a number are symbols. */
static int port_info(struct hearth__ir *ir,
                     const struct hearth__onnx_port *port,
                     struct hearth_value_info *info)
{
    info->dtype =
        port->dtype < 32 ? (enum hearth_dtype)port->dtype : HEARTH_DTYPE_NONE;
    if (hearth_dtype_bytes(info->dtype) == 0)
        return hearth_fail(ir->err, HEARTH_EUNSUPPORTED,
                           "'%.*s' has element type %" PRIu64
                           ", which is not supported; convert the model",
                           hearth__slice_cut(port->name, 80),
                           (const char *)port->name.at, port->dtype);
    info->shape.rank = port->has_shape ? (int32_t)port->rank : -1;
    for (int i = 0; i < info->shape.rank; i++) {
        const struct hearth__onnx_dim *d = &port->dims[i];
        int rc = HEARTH_OK;
        info->shape.dims[i] = d->value;
        /* -1 and the like: how some writers say "any". */
        if (!is_name(d->param))
            rc = name_fail(ir, port->name,
                           "has a dimension whose name is not UTF-8; export "
                           "the model again");
        else if (!d->has_value || d->value < 0)
            rc = hearth__ir_symbol(ir, size_name(d->param),
                                   &info->shape.dims[i]);
        if (rc != HEARTH_OK)
            return rc;
    }
    return HEARTH_OK;
}

/* An input that is also an initializer has a default, which Hearth takes. */
static int read_input(struct hearth__ir *ir, struct hearth__slice message)
{
    struct hearth__onnx_port port;
    uint32_t value, *slot;
    int rc = hearth__onnx_read_port(message, &port, ir->err);
    if (rc != HEARTH_OK)
        return rc;
    rc = hearth__names_find(ir, &ir->value_names, port.name, HEARTH_NO_VALUE,
                            &value);
    if (rc != HEARTH_OK || hearth__ir_is_const(ir, value))
        return rc;
    if (ir->inputs.count == INPUTS_MAX)
        return hearth_fail(ir->err, HEARTH_EUNSUPPORTED,
                           "it has more than %d inputs; split the model",
                           INPUTS_MAX);
    rc = declare(ir, port.name, &value);
    if (rc != HEARTH_OK)
        return rc;
    struct hearth__ir_value *v = hearth__ir_value(ir, value);
    v->kind = HEARTH_VALUE_INPUT;
    rc = port_info(ir, &port, &v->info);
    slot =
        rc != HEARTH_OK ? NULL : hearth__ir_push(ir, &ir->inputs, sizeof *slot);
    if (slot == NULL)
        return ir->err->status;
    *slot = value;
    return HEARTH_OK;
}

static int read_output(struct hearth__ir *ir, struct hearth__slice message)
{
    struct hearth__onnx_port port;
    uint32_t value, *slot;
    int rc = hearth__onnx_read_port(message, &port, ir->err);
    if (rc == HEARTH_OK)
        rc = hearth__names_find(ir, &ir->value_names, port.name,
                                HEARTH_NO_VALUE, &value);
    if (rc != HEARTH_OK)
        return rc;
    if (value == HEARTH_NO_VALUE)
        return name_fail(ir, port.name,
                         "is an output that no node makes; export the model "
                         "again");
    struct hearth__ir_value *v = hearth__ir_value(ir, value);
    if (v->is_output && ir->root == NULL)
        return name_fail(ir, port.name,
                         "is an output twice; export the model again");
    v->is_output = true;
    v->uses++;
    slot = hearth__ir_push(ir, &ir->outputs, sizeof *slot);
    if (slot == NULL)
        return ir->err->status;
    *slot = value;
    return HEARTH_OK;
}

/* ---- Nodes ---- */

static int source_fail(struct hearth__ir *ir, uint32_t i)
{
    const struct hearth__ir_source *s =
        (struct hearth__ir_source *)ir->sources.items + i;
    hearth_fail_prefix(
        ir->err, "node %" PRIu32 " '%.*s' (%.*s%s%.*s)", i,
        hearth__slice_cut(s->head.name, 60), (const char *)s->head.name.at,
        hearth__slice_cut(s->head.domain, 30), (const char *)s->head.domain.at,
        s->head.domain.bytes > 0 ? "." : "", hearth__slice_cut(s->head.op, 40),
        (const char *)s->head.op.at);
    return ir->err->status;
}

/* First walk: its texts, and how many inputs and outputs there are. */
static int read_head(struct hearth__ir *ir, struct hearth__ir_source *s)
{
    struct hearth__slice message = s->message;
    struct hearth__wire_field f;
    int rc;
    while (hearth__wire_next(&message, &f, &rc, ir->err)) {
        if (f.number >= 1 && f.number <= 7 && f.number != 6)
            rc = hearth__onnx_want(&f, HEARTH__WIRE_BYTES, "a node's field",
                                   ir->err);
        if (rc != HEARTH_OK)
            return rc;
        switch (f.number) {
        case 1:
            s->input_count++;
            break;
        case 2:
            s->output_count++;
            break;
        case 3:
            s->head.name = f.bytes;
            break;
        case 4:
            s->head.op = f.bytes;
            break;
        case 7:
            s->head.domain = f.bytes;
            break;
        }
    }
    if (rc == HEARTH_OK && !is_name(s->head.name))
        rc = hearth_fail(ir->err, HEARTH_EMODEL,
                         "a node's name is not UTF-8; export the model again");
    if (rc == HEARTH_OK && s->head.op.bytes == 0)
        rc = hearth_fail(ir->err, HEARTH_EMODEL,
                         "a node has no operator; export the model again");
    return rc;
}

/* Second walk: a value for each output. The file may have changed between the
 * two: the counts of the first one are kept. */
static int declare_outputs(struct hearth__ir *ir, uint32_t i)
{
    struct hearth__ir_source *s =
        (struct hearth__ir_source *)ir->sources.items + i;
    struct hearth__slice message = s->message;
    struct hearth__wire_field f;
    uint32_t k = 0;
    int rc;
    s->outputs = hearth__ir_alloc(ir, s->output_count, sizeof *s->outputs);
    if (s->outputs == NULL)
        return ir->err->status;
    while (hearth__wire_next(&message, &f, &rc, ir->err)) {
        if (f.number != 2 || k == s->output_count)
            continue;
        uint32_t value = HEARTH_NO_VALUE;
        if (f.bytes.bytes > 0) {
            rc = declare(ir, f.bytes, &value);
            if (rc != HEARTH_OK)
                return rc;
            hearth__ir_value(ir, value)->producer = i;
        }
        s->outputs[k++] = value;
    }
    while (k < s->output_count)
        s->outputs[k++] = HEARTH_NO_VALUE;
    return rc;
}

/* What the node's graphs take by name: inputs behind its own. */
static int add_captures(struct hearth__ir *ir, uint32_t i)
{
    struct hearth__ir_source *s =
        (struct hearth__ir_source *)ir->sources.items + i;
    struct hearth__vec captures = {0};
    int rc = hearth__nested_captures(ir, s->message, &captures);
    if (rc != HEARTH_OK || captures.count == 0)
        return rc;
    uint32_t *inputs = hearth__ir_alloc(
        ir, (uint64_t)s->input_count + captures.count, sizeof *inputs);
    if (inputs == NULL)
        return ir->err->status;
    memcpy(inputs, s->inputs, s->input_count * sizeof *inputs);
    memcpy(inputs + s->input_count, captures.items,
           captures.count * sizeof *inputs);
    s->inputs = inputs;
    s->input_count += captures.count;
    return HEARTH_OK;
}

static int resolve_inputs(struct hearth__ir *ir, uint32_t i)
{
    struct hearth__ir_source *s =
        (struct hearth__ir_source *)ir->sources.items + i;
    struct hearth__slice message = s->message;
    struct hearth__wire_field f;
    uint32_t k = 0;
    int rc;
    s->inputs = hearth__ir_alloc(ir, s->input_count, sizeof *s->inputs);
    if (s->inputs == NULL)
        return ir->err->status;
    while (hearth__wire_next(&message, &f, &rc, ir->err)) {
        if (f.number != 1 || k == s->input_count)
            continue;
        uint32_t value = HEARTH_NO_VALUE;
        if (f.bytes.bytes > 0) {
            rc = hearth__names_find(ir, &ir->value_names, f.bytes,
                                    HEARTH_NO_VALUE, &value);
            if (rc == HEARTH_OK && value == HEARTH_NO_VALUE)
                rc = name_fail(ir, f.bytes,
                               "is an input that nothing makes; export the "
                               "model again");
            if (rc != HEARTH_OK)
                return rc;
            hearth__ir_value(ir, value)->uses++;
        }
        s->inputs[k++] = value;
    }
    while (k < s->input_count)
        s->inputs[k++] = HEARTH_NO_VALUE;
    s->formal_count = s->input_count;
    return rc == HEARTH_OK && hearth__nested_has(&s->head) ? add_captures(ir, i)
                                                           : rc;
}

/* ---- Order ---- */

/* The node of the file that input <k> of <s> waits for. */
static uint32_t waits_for(struct hearth__ir *ir,
                          const struct hearth__ir_source *s, uint32_t k)
{
    if (s->inputs[k] == HEARTH_NO_VALUE)
        return HEARTH_NO_VALUE;
    return hearth__ir_value(ir, s->inputs[k])->producer;
}

static bool in_order(struct hearth__ir *ir)
{
    const struct hearth__ir_source *s = ir->sources.items;
    for (uint32_t i = 0; i < ir->sources.count; i++)
        for (uint32_t k = 0; k < s[i].input_count; k++) {
            uint32_t p = waits_for(ir, &s[i], k);
            if (p != HEARTH_NO_VALUE && p >= i)
                return false;
        }
    return true;
}

/* Edges, as lists in one array: next[e] of edge e = (input k of node i). */
struct edges {
    uint32_t *first;  /* [nodes] of the nodes that wait for it */
    uint32_t *next;   /* [edges] */
    uint32_t *waiter; /* [edges] */
    uint32_t *open;   /* [nodes] inputs that are not made yet */
};

static int edges_make(struct hearth__ir *ir, struct edges *e)
{
    const struct hearth__ir_source *s = ir->sources.items;
    uint32_t n = ir->sources.count, at = 0;
    uint64_t count = 0;
    for (uint32_t i = 0; i < n; i++)
        count += s[i].input_count;
    e->first = hearth__ir_alloc(ir, n, sizeof *e->first);
    e->open = hearth__ir_alloc(ir, n, sizeof *e->open);
    e->next = hearth__ir_alloc(ir, count, sizeof *e->next);
    e->waiter = hearth__ir_alloc(ir, count, sizeof *e->waiter);
    if (e->first == NULL || e->open == NULL || e->next == NULL ||
        e->waiter == NULL)
        return ir->err->status;
    memset(e->first, 0xff, n * sizeof *e->first);
    for (uint32_t i = n; i-- > 0;)
        for (uint32_t k = 0; k < s[i].input_count; k++) {
            uint32_t p = waits_for(ir, &s[i], k);
            if (p == HEARTH_NO_VALUE)
                continue;
            e->waiter[at] = i;
            e->next[at] = e->first[p];
            e->first[p] = at++;
            e->open[i]++;
        }
    return HEARTH_OK;
}

static int sort(struct hearth__ir *ir, uint32_t *order)
{
    struct edges e;
    uint32_t n = ir->sources.count, head = 0, tail = 0;
    int rc = edges_make(ir, &e);
    if (rc != HEARTH_OK)
        return rc;
    for (uint32_t i = 0; i < n; i++)
        if (e.open[i] == 0)
            order[tail++] = i;
    while (head < tail) {
        uint32_t i = order[head++];
        for (uint32_t at = e.first[i]; at != HEARTH_NO_VALUE; at = e.next[at])
            if (--e.open[e.waiter[at]] == 0)
                order[tail++] = e.waiter[at];
    }
    for (uint32_t i = 0; tail < n && i < n; i++)
        if (e.open[i] > 0) {
            hearth_fail(ir->err, HEARTH_EMODEL,
                        "waits for its own result: the graph has a cycle here; "
                        "export the model again");
            return source_fail(ir, i);
        }
    return HEARTH_OK;
}

/* ---- The whole ---- */

int hearth__import_node(struct hearth__ir *ir, struct hearth__slice message)
{
    struct hearth__ir_source *s = hearth__ir_push(ir, &ir->sources, sizeof *s);
    if (s == NULL)
        return ir->err->status;
    s->message = message;
    return read_head(ir, s);
}

/* Everything but nodes and outputs, whose names come later. */
static int read_fields(struct hearth__ir *ir)
{
    struct hearth__slice message = ir->head.graph;
    struct hearth__wire_field f;
    int rc;
    while (hearth__wire_next(&message, &f, &rc, ir->err)) {
        if (f.number == 1 || f.number == 5 || f.number == 11 || f.number == 12)
            rc = hearth__onnx_want(&f, HEARTH__WIRE_BYTES, "a graph's field",
                                   ir->err);
        if (rc != HEARTH_OK)
            return rc;
        switch (f.number) {
        case 1:
            rc = hearth__inline_node(ir, f.bytes, NULL);
            break;
        case 5:
            rc = read_initializer(ir, f.bytes);
            break;
        case 15:
            rc = hearth_fail(ir->err, HEARTH_EUNSUPPORTED,
                             "it has sparse initializers; export it with dense "
                             "ones");
            break;
        }
        if (rc != HEARTH_OK)
            return rc;
    }
    return rc;
}

static int read_ports(struct hearth__ir *ir, uint32_t number,
                      int (*read)(struct hearth__ir *ir,
                                  struct hearth__slice message))
{
    struct hearth__slice message = ir->head.graph;
    struct hearth__wire_field f;
    int rc;
    while (hearth__wire_next(&message, &f, &rc, ir->err)) {
        if (f.number != number)
            continue;
        rc = read(ir, f.bytes);
        if (rc != HEARTH_OK)
            return rc;
    }
    return rc;
}

static int read_nodes(struct hearth__ir *ir)
{
    int rc = HEARTH_OK;
    for (uint32_t i = 0; rc == HEARTH_OK && i < ir->sources.count; i++)
        if ((rc = declare_outputs(ir, i)) != HEARTH_OK)
            return source_fail(ir, i);
    for (uint32_t i = 0; rc == HEARTH_OK && i < ir->sources.count; i++)
        if ((rc = resolve_inputs(ir, i)) != HEARTH_OK)
            return source_fail(ir, i);
    return rc;
}

static int emit_nodes(struct hearth__ir *ir)
{
    uint32_t n = ir->sources.count;
    uint32_t *order = hearth__ir_alloc(ir, n, sizeof *order);
    if (order == NULL)
        return ir->err->status;
    bool sorted = in_order(ir);
    for (uint32_t i = 0; sorted && i < n; i++)
        order[i] = i;
    int rc = sorted ? HEARTH_OK : sort(ir, order);
    for (uint32_t i = 0; rc == HEARTH_OK && i < n; i++)
        if ((rc = hearth__canon(ir, order[i])) != HEARTH_OK)
            rc = source_fail(ir, order[i]);
    return rc;
}

/* An output is a node's own: one that is an input or a constant, perhaps since
 * folding, gets an Identity, so that no plugin meets the case. */
static int own_outputs(struct hearth__ir *ir)
{
    uint32_t *outputs = ir->outputs.items;
    for (uint32_t i = 0; i < ir->outputs.count; i++) {
        uint32_t from = outputs[i];
        struct hearth__ir_value *v = hearth__ir_value(ir, from);
        if (v->kind == HEARTH_VALUE_ACTIVATION)
            continue;
        struct hearth__slice name = v->name;
        uint32_t to = hearth__ir_value_new(ir, name);
        struct hearth__ir_node *n =
            to == HEARTH_NO_VALUE ? NULL
                                  : hearth__ir_push(ir, &ir->nodes, sizeof *n);
        uint32_t *in = n == NULL ? NULL : hearth__ir_alloc(ir, 1, sizeof *in);
        if (in == NULL)
            return ir->err->status;
        *in = from;
        *n = (struct hearth__ir_node){.op = HEARTH_OP_IDENTITY,
                                      .source = HEARTH_NO_VALUE,
                                      .name = name,
                                      .input_count = 1,
                                      .output_count = 1,
                                      .inputs = in,
                                      .outputs = {to}};
        v = hearth__ir_value(ir, from);
        struct hearth__ir_value *y = hearth__ir_value(ir, to);
        y->kind = HEARTH_VALUE_ACTIVATION;
        y->producer = ir->nodes.count - 1;
        y->info.dtype = v->info.dtype;
        y->info.shape = v->info.shape;
        y->is_output = true;
        y->uses = 1;
        v->is_output = false;
        outputs[i] = to;
    }
    return HEARTH_OK;
}

/* ---- A graph inside a node ---- */

/* A formal input: its type is the argument's, its rank what it declares. */
static int read_formal(struct hearth__ir *ir, struct hearth__slice message,
                       const struct hearth_value_info *formals,
                       uint32_t formal_count)
{
    struct hearth__onnx_port port;
    uint32_t value, *slot;
    int rc = hearth__onnx_read_port(message, &port, ir->err);
    if (rc == HEARTH_OK)
        rc = hearth__names_find(ir, &ir->value_names, port.name,
                                HEARTH_NO_VALUE, &value);
    if (rc != HEARTH_OK || hearth__ir_is_const(ir, value))
        return rc; /* it has a default, which Hearth takes */
    if (ir->inputs.count == formal_count)
        rc = hearth_fail(ir->err, HEARTH_EMODEL,
                         "it has more than %" PRIu32
                         " inputs; export the model again",
                         formal_count);
    if (rc == HEARTH_OK)
        rc = declare(ir, port.name, &value);
    slot =
        rc != HEARTH_OK ? NULL : hearth__ir_push(ir, &ir->inputs, sizeof *slot);
    if (slot == NULL)
        return ir->err->status;
    *slot = value;
    struct hearth__ir_value *v = hearth__ir_value(ir, value);
    v->kind = HEARTH_VALUE_INPUT;
    v->info = formals[ir->inputs.count - 1];
    if (port.has_shape && (uint32_t)v->info.shape.rank != port.rank) {
        v->info.shape.rank = (int32_t)port.rank;
        for (uint32_t i = 0; i < port.rank; i++)
            v->info.shape.dims[i] = HEARTH_DIM_SYMBOL(0);
    }
    for (int i = 0; i < v->info.shape.rank && rc == HEARTH_OK; i++)
        if (HEARTH_DIM_IS_SYMBOL(v->info.shape.dims[i]))
            rc = hearth__ir_symbol(ir, (struct hearth__slice){0},
                                   &v->info.shape.dims[i]);
    return rc;
}

static int read_formals(struct hearth__ir *ir,
                        const struct hearth_value_info *formals,
                        uint32_t formal_count)
{
    struct hearth__slice message = ir->head.graph;
    struct hearth__wire_field f;
    int rc;
    while (hearth__wire_next(&message, &f, &rc, ir->err)) {
        if (f.number != 11)
            continue;
        rc = read_formal(ir, f.bytes, formals, formal_count);
        if (rc != HEARTH_OK)
            return rc;
    }
    if (rc == HEARTH_OK && ir->inputs.count != formal_count)
        rc = hearth_fail(ir->err, HEARTH_EMODEL,
                         "it has %" PRIu32 " inputs, it must have %" PRIu32
                         "; export the model again",
                         ir->inputs.count, formal_count);
    return rc;
}

int hearth__import_graph(struct hearth__ir *ir,
                         const struct hearth_value_info *formals,
                         uint32_t formal_count)
{
    int rc = read_fields(ir);
    if (rc == HEARTH_OK)
        rc = read_formals(ir, formals, formal_count);
    if (rc == HEARTH_OK)
        rc = read_nodes(ir);
    if (rc == HEARTH_OK)
        rc = read_ports(ir, 12, read_output);
    if (rc == HEARTH_OK)
        rc = emit_nodes(ir);
    return rc == HEARTH_OK ? own_outputs(ir) : rc;
}

int hearth__import(struct hearth__ir *ir)
{
    struct hearth__slice file = {ir->files->segments[0].base,
                                 ir->files->segments[0].bytes};
    int rc = hearth__onnx_read_model(file, &ir->head, ir->err);
    if (rc == HEARTH_OK &&
        (ir->head.opset < OPSET_MIN || ir->head.opset > OPSET_MAX))
        rc = hearth_fail(ir->err, HEARTH_EUNSUPPORTED,
                         "it is of opset %" PRId64
                         "; Hearth knows %d to %d: convert it with "
                         "onnx.version_converter, or export it again",
                         ir->head.opset, OPSET_MIN, OPSET_MAX);
    if (rc == HEARTH_OK)
        rc = hearth__functions_read(ir, file);
    if (rc == HEARTH_OK)
        rc = read_fields(ir);
    if (rc == HEARTH_OK)
        rc = read_ports(ir, 11, read_input);
    if (rc == HEARTH_OK)
        rc = read_nodes(ir);
    if (rc == HEARTH_OK)
        rc = read_ports(ir, 12, read_output);
    if (rc == HEARTH_OK && ir->outputs.count == 0)
        rc = hearth_fail(ir->err, HEARTH_EMODEL,
                         "its graph has no output; export the model again");
    if (rc == HEARTH_OK)
        rc = emit_nodes(ir);
    if (rc == HEARTH_OK)
        rc = own_outputs(ir);
    return rc;
}
