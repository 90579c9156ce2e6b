/* SPDX-License-Identifier: Apache-2.0 */
/*
 * executor_parts.c: the steps of executor_graph.h: what nets are made of, in
 * the forms that import composes and fuses, and any operator of the table.
 */
#include <stdio.h>
#include <string.h>

#include "fuzz/executor_graph.h"

/* One of the values, the latest more often. */
static int pick(struct graph *g)
{
    unsigned b = graph_byte(g);
    int i = b & 1 ? g->count - 1 : (int)(b / 2) % g->count;
    while (i > 0 &&
           (g->values[i].constant || !hearth_shape_known(&g->values[i].shape)))
        i--;
    return i;
}

static const struct hearth_shape *shape(const struct graph *g, int i)
{
    return &g->values[i].shape;
}

/* Another value of the shape and type of <i>, or <i>. */
static int like(struct graph *g, int i)
{
    int from = (int)(graph_byte(g) % (unsigned)g->count);
    for (int k = 0; k < g->count; k++) {
        int v = (from + k) % g->count;
        if (hearth_shape_equal(shape(g, v), shape(g, i)) &&
            g->values[v].dtype == g->values[i].dtype)
            return v;
    }
    return i;
}

static int unary(struct graph *g, const char *op, int x)
{
    return x < 0 ? -1 : graph_node(g, op, 1, &x, 1);
}

static int binary(struct graph *g, const char *op, int x, int y)
{
    return x < 0 || y < 0 ? -1 : graph_node(g, op, 2, (int[]){x, y}, 1);
}

static int number(struct graph *g, float value)
{
    return graph_constant(g, HEARTH_F32, 0, NULL, &value);
}

static int integers(struct graph *g, int count, const int64_t *values)
{
    return graph_constant(g, HEARTH_I64, 1, (const int64_t[]){count}, values);
}

/* ---- Pictures ---- */

static int activate(struct graph *g, unsigned b, int x)
{
    static const char *const ops[] = {"Relu",      "Sigmoid",   "Tanh",
                                      "HardSwish", "LeakyRelu", "Clip",
                                      "Gelu",      "Swish"};
    switch (b % 8) {
    case 5:
        return graph_node(g, "Clip", 3,
                          (int[]){x, number(g, -0.5f), number(g, 0.75f)}, 1);
    case 7:
        return binary(g, "Mul", x, unary(g, "Sigmoid", x));
    default:
        return unary(g, ops[b % 8], x);
    }
}

static int batchnorm(struct graph *g, int x)
{
    int in[5] = {x};
    for (int k = 1; k < 5; k++)
        in[k] = graph_weight(g, 1, &shape(g, x)->dims[1], 0.4f, 0.8f);
    return graph_node(g, "BatchNormalization", 5, in, 1);
}

static void window(struct graph *g, int spatial, int64_t k)
{
    unsigned b = graph_byte(g);
    int64_t ks[8], pads[16], strides[8], dilations[8];
    for (int i = 0; i < spatial; i++) {
        ks[i] = k;
        pads[i] = b & 1 ? k / 2 : 0;
        pads[spatial + i] = b & 2 ? k / 2 : 0;
        strides[i] = b & 4 ? 2 : 1;
        dilations[i] = b & 8 && b & 16 ? 2 : 1;
    }
    onnx_attr_ints(&g->attrs, "kernel_shape", spatial, ks);
    onnx_attr_ints(&g->attrs, "pads", 2 * spatial, pads);
    onnx_attr_ints(&g->attrs, "strides", spatial, strides);
    if (b & 8)
        onnx_attr_ints(&g->attrs, "dilations", spatial, dilations);
}

static void conv(struct graph *g)
{
    static const int64_t counts[] = {1, 3, 4, 8, 16, 17, 24, 32};
    int x = pick(g), in[3] = {x, -1, -1};
    unsigned b = graph_byte(g), more = graph_byte(g);
    const struct hearth_shape *s = shape(g, x);
    if (s->rank < 3 || s->rank > 5)
        return;
    int64_t c = s->dims[1], k = b & 1 ? 3 : 1, group = 1;
    int64_t out = b & 2 ? c : counts[b / 8 % 8];
    if (b & 4)
        group = b & 64 && c % 2 == 0 ? c / 2 : c;
    if (group == 0 || out % group != 0)
        return;
    in[1] =
        graph_weight(g, s->rank, (int64_t[]){out, c / group, k, k, k}, 0.3f, 0);
    if (b & 128)
        in[2] = graph_weight(g, 1, &out, 0.5f, 0);
    onnx_attr_int(&g->attrs, "group", group);
    window(g, s->rank - 2, k);
    int y = graph_node(g, "Conv", 3, in, 1);
    if (y >= 0 && more & 1)
        y = batchnorm(g, y);
    if (y >= 0 && more & 2)
        y = activate(g, more / 32, y);
    if (y >= 0 && more & 4)
        y = binary(g, "Add", more & 8 ? like(g, y) : y,
                   more & 8 ? y : like(g, y));
    if (y >= 0 && more & 16)
        (void)activate(g, more / 32, y);
}

static void pool(struct graph *g)
{
    static const char *const ops[] = {"MaxPool", "AveragePool",
                                      "GlobalAveragePool", "GlobalMaxPool"};
    int x = pick(g);
    unsigned b = graph_byte(g);
    if (shape(g, x)->rank < 3)
        return;
    if (b % 4 < 2) {
        window(g, shape(g, x)->rank - 2, 2 + b / 4 % 2);
        onnx_attr_int(&g->attrs, "ceil_mode", b & 8 ? 1 : 0);
    }
    (void)unary(g, ops[b % 4], x);
}

/* ---- Rows ---- */

static void matmul(struct graph *g)
{
    static const int64_t counts[] = {1, 2, 5, 8, 16, 17, 32, 48};
    int x = pick(g), y;
    unsigned b = graph_byte(g);
    const struct hearth_shape *s = shape(g, x);
    if (s->rank < 1)
        return;
    int64_t k = s->dims[s->rank - 1], n = counts[b / 32];
    if (b & 1 && s->rank == 2) {
        onnx_attr_int(&g->attrs, "transB", b & 2 ? 1 : 0);
        onnx_attr_float(&g->attrs, "alpha", b & 4 ? 0.5f : 1);
        int w = graph_weight(
            g, 2, b & 2 ? (int64_t[]){n, k} : (int64_t[]){k, n}, 0.3f, 0);
        (void)graph_node(
            g, "Gemm", 3,
            (int[]){x, w, b & 8 ? graph_weight(g, 1, &n, 0.5f, 0) : -1}, 1);
        return;
    }
    y = binary(g, "MatMul", x, graph_weight(g, 2, (int64_t[]){k, n}, 0.3f, 0));
    if (y >= 0 && b & 2)
        y = binary(g, "Add", y, graph_weight(g, 1, &n, 0.5f, 0));
    if (y >= 0 && b & 4)
        y = binary(g, "Add", like(g, y), y);
    if (y >= 0 && b & 8)
        (void)activate(g, graph_byte(g), y);
}

static int mean_last(struct graph *g, int x)
{
    if (x < 0)
        return -1;
    onnx_attr_int(&g->attrs, "keepdims", 1);
    return binary(g, "ReduceMean", x, integers(g, 1, (int64_t[]){-1}));
}

static void layer_norm(struct graph *g)
{
    int x = pick(g);
    unsigned b = graph_byte(g);
    const struct hearth_shape *s = shape(g, x);
    if (s->rank < 1)
        return;
    int64_t n = s->dims[s->rank - 1];
    int scale = graph_weight(g, 1, &n, 0.5f, 1);
    int bias = graph_weight(g, 1, &n, 0.5f, 0);
    if (b & 1) {
        (void)graph_node(g, "LayerNormalization", 3, (int[]){x, scale, bias},
                         1);
        return;
    }
    int d = binary(g, "Sub", x, mean_last(g, x));
    int v = mean_last(g, b & 2 ? binary(g, "Mul", d, d)
                               : binary(g, "Pow", d, number(g, 2)));
    v = unary(g, "Sqrt", binary(g, "Add", v, number(g, 1e-5f)));
    int y = binary(g, "Div", d, v);
    y = b & 4 ? binary(g, "Mul", scale, y) : binary(g, "Mul", y, scale);
    if (b & 8)
        (void)binary(g, "Add", y, bias);
}

static void gelu(struct graph *g)
{
    int x = pick(g);
    unsigned b = graph_byte(g);
    int e = b & 1 ? binary(g, "Mul", x, number(g, 0.70710678f))
                  : binary(g, "Div", x, number(g, 1.41421356f));
    e = binary(g, "Add", unary(g, "Erf", e), number(g, 1));
    if (b & 2)
        (void)binary(g, "Mul", x, binary(g, "Mul", e, number(g, 0.5f)));
    else
        (void)binary(g, "Mul", binary(g, "Mul", x, e), number(g, 0.5f));
}

/* [b,t,h] by heads, or plain products of what there is. */
static void attention(struct graph *g)
{
    int x = pick(g), parts[3];
    unsigned b = graph_byte(g);
    const struct hearth_shape *s = shape(g, x);
    if (s->rank != 3)
        return;
    int64_t heads = b & 1 ? 2 : 1, h = s->dims[2];
    if (h % heads != 0)
        return;
    const int64_t apart[] = {0, 0, heads, h / heads}, back[] = {0, 0, h};
    for (int i = 0; i < 3; i++) {
        int y = b & 2 ? x
                      : binary(g, "MatMul", x,
                               graph_weight(g, 2, (int64_t[]){h, h}, 0.3f, 0));
        y = binary(g, "Reshape", y, integers(g, 4, apart));
        onnx_attr_ints(&g->attrs, "perm", 4,
                       i == 1 && b & 4 ? (int64_t[]){0, 2, 3, 1}
                                       : (int64_t[]){0, 2, 1, 3});
        parts[i] = unary(g, "Transpose", y);
    }
    if (!(b & 4)) {
        onnx_attr_ints(&g->attrs, "perm", 4, (int64_t[]){0, 1, 3, 2});
        parts[1] = unary(g, "Transpose", parts[1]);
    }
    int y = binary(g, "MatMul", parts[0], parts[1]);
    y = b & 8 ? binary(g, "Div", y, number(g, 2))
              : binary(g, "Mul", y, number(g, 0.5f));
    if (b & 16)
        y = binary(
            g, "Add", y,
            graph_weight(g, 2, (int64_t[]){s->dims[1], s->dims[1]}, 1, 0));
    onnx_attr_int(&g->attrs, "axis", -1);
    y = binary(g, "MatMul", unary(g, "Softmax", y), parts[2]);
    onnx_attr_ints(&g->attrs, "perm", 4, (int64_t[]){0, 2, 1, 3});
    y = unary(g, "Transpose", y);
    (void)binary(g, "Reshape", y, integers(g, 3, back));
}

/* ---- Elements and names ---- */

/* |x| + 0.5: what is divided by next to nothing depends on the order of sums
 * before, and so does all that follows, up to infinities. */
static int away_from_zero(struct graph *g, int x)
{
    return binary(g, "Add", unary(g, "Abs", x), number(g, 0.5f));
}

static void elements(struct graph *g)
{
    static const char *const ops[] = {"Add", "Sub", "Mul", "Div",
                                      "Max", "Min", "Pow", "PRelu"};
    int x = pick(g), y = x;
    unsigned b = graph_byte(g);
    const struct hearth_shape *s = shape(g, x);
    int64_t dims[HEARTH_RANK_MAX];
    for (int i = 0; i < s->rank; i++)
        dims[i] = i == 1 ? s->dims[i] : 1;
    switch (b / 8 % 8) {
    case 0:
        y = graph_weight(g, s->rank, dims, 1, 0.1f);
        break;
    case 1:
        y = number(g, (float)graph_random(g, 9) / 4 - 1);
        break;
    case 2:
        y = pick(g);
        break;
    case 3:
        if (s->rank > 2)
            y = unary(g, "GlobalAveragePool", x);
        break;
    case 4:
        if (s->rank > 0)
            y = graph_weight(g, 1, &s->dims[s->rank - 1], 1, 0);
        break;
    default:
        y = like(g, x);
    }
    int first = b & 64 ? y : x, second = b & 64 ? x : y;
    if (b % 8 == 3)
        second = away_from_zero(g, second);
    else if (b % 8 == 6)
        first = away_from_zero(g, first);
    (void)binary(g, ops[b % 8], first, second);
    if (b & 128)
        (void)activate(g, graph_byte(g), g->count - 1);
}

static void move(struct graph *g)
{
    int x = pick(g);
    unsigned b = graph_byte(g), more = graph_byte(g);
    const struct hearth_shape *s = shape(g, x);
    int64_t n[HEARTH_RANK_MAX] = {0}, axis;
    if (s->rank < 1)
        return;
    axis = more % (unsigned)s->rank;
    switch (b % 8) {
    case 0: /* axes turned round by so many, or two exchanged */
        for (int i = 0; i < s->rank; i++)
            n[i] = (i + axis) % s->rank;
        onnx_attr_ints(&g->attrs, "perm", s->rank, n);
        (void)unary(g, "Transpose", x);
        break;
    case 1:
        for (int i = 0; i < s->rank; i++)
            n[i] = i < axis ? 0 : i == axis ? -1 : 1;
        (void)binary(g, "Reshape", x,
                     integers(g, (int)axis + 1 + (b & 8 ? 1 : 0), n));
        break;
    case 2:
        onnx_attr_int(&g->attrs, "axis", axis);
        (void)unary(g, "Flatten", x);
        break;
    case 3:
        (void)binary(g, "Unsqueeze", x, integers(g, 1, &axis));
        break;
    case 4:
        onnx_attr_int(&g->attrs, "axis", axis);
        (void)graph_node(g, "Concat", b & 8 ? 3 : 2,
                         (int[]){x, b & 16 ? pick(g) : like(g, x), like(g, x)},
                         1);
        break;
    case 5:
        onnx_attr_int(&g->attrs, "axis", axis);
        onnx_attr_int(&g->attrs, "num_outputs", 2 + (b & 8) / 8);
        (void)graph_node(g, "Split", 1, &x, 2 + (b & 8) / 8);
        break;
    case 6:
        (void)graph_node(
            g, "Slice", 5,
            (int[]){x, integers(g, 1, (int64_t[]){b / 8 % 4}),
                    integers(g, 1, (int64_t[]){b & 32 ? -1 : 1000}),
                    integers(g, 1, &axis),
                    integers(g, 1, (int64_t[]){1 + (b >> 6)})},
            1);
        break;
    default:
        for (int i = 0; i < 2 * s->rank; i++)
            n[i % HEARTH_RANK_MAX] = 0;
        n[axis % 4] = b / 8 % 4;
        (void)binary(g, "Pad", x,
                     integers(g, 2 * s->rank > 8 ? 8 : 2 * s->rank, n));
    }
}

static void along(struct graph *g)
{
    static const char *const ops[] = {"Softmax",   "LogSoftmax", "ReduceMean",
                                      "ReduceSum", "ReduceMax",  "ReduceL2",
                                      "CumSum",    "ArgMax"};
    int x = pick(g);
    unsigned b = graph_byte(g), more = graph_byte(g);
    if (shape(g, x)->rank < 1)
        return;
    int64_t axis = more % (unsigned)shape(g, x)->rank;
    if (b % 8 >= 2 && b % 8 <= 5) {
        onnx_attr_int(&g->attrs, "keepdims", b & 8 ? 1 : 0);
        (void)binary(g, ops[b % 8], x,
                     integers(g, 1 + (b & 16 ? 1 : 0), (int64_t[]){axis, -1}));
    } else if (b % 8 == 6) {
        (void)binary(g, "CumSum", x,
                     graph_constant(g, HEARTH_I64, 0, NULL, &axis));
    } else {
        onnx_attr_int(&g->attrs, "axis", axis);
        (void)unary(g, ops[b % 8], x);
    }
}

/* ---- Any operator ---- */

static void attribute(struct graph *g)
{
    static const char *const names[] = {
        "axis",       "keepdims",    "to",          "group",
        "num_groups", "blocksize",   "largest",     "exclusive",
        "reverse",    "hidden_size", "batch_dims",  "upper",
        "k",          "p",           "q_num_heads", "kv_num_heads"};
    static const char *const lists[] = {"axes", "kernel_shape", "perm",
                                        "pads", "strides",      "output_shape"};
    static const char *const modes[] = {
        "linear", "nearest", "cubic",    "reflect", "edge",
        "add",    "max",     "bilinear", "tanh",    "CRD"};
    unsigned b = graph_byte(g), v = graph_byte(g);
    if (b < 160)
        onnx_attr_int(&g->attrs, names[b % 16], (int64_t)(v % 24) - 4);
    else if (b < 200)
        onnx_attr_ints(&g->attrs, lists[b % 6], 1 + (int)(v & 3),
                       (int64_t[]){v / 4 % 4, v / 16 % 4, v / 64, 1});
    else if (b < 224)
        onnx_attr_float(&g->attrs, b & 1 ? "alpha" : "beta", (float)v / 64 - 2);
    else
        onnx_attr_text(&g->attrs, b & 1 ? "mode" : "reduction", modes[v % 10]);
}

static int operand(struct graph *g)
{
    static const enum hearth_dtype types[] = {
        HEARTH_I64, HEARTH_I32, HEARTH_F32, HEARTH_U8, HEARTH_BOOL, HEARTH_I8};
    unsigned b = graph_byte(g);
    char data[64 * 8];
    if (b < 160)
        return pick(g);
    if (b < 176)
        return -1;
    unsigned form = graph_byte(g);
    int64_t dims[2] = {form / 4 % 8, form / 32}, count = 1;
    int rank = (int)(form & 3) % 3;
    for (int i = 0; i < rank; i++)
        count *= dims[i];
    graph_fill(g, types[b % 6], count, data);
    if (types[b % 6] == HEARTH_I64 && b & 8)
        for (int64_t i = 0; i < count; i++) {
            int64_t n = graph_random(g, 4);
            memcpy(data + 8 * i, &n, 8);
        }
    return graph_constant(g, types[b % 6], rank, dims, data);
}

static void any(struct graph *g)
{
    uint32_t op = 1 + graph_byte(g) % (HEARTH_OP_COUNT - 1);
    const struct hearth_op_row *row = hearth_op_row(op);
    unsigned form = graph_byte(g);
    int in[8], count;
    if (row == NULL || hearth_op_has_blocks(op) || hearth_op_random(op))
        return;
    int most = row->max_inputs > 6 ? 6 : row->max_inputs;
    count = row->min_inputs +
            (most > row->min_inputs
                 ? (int)(form % (unsigned)(most - row->min_inputs + 1))
                 : 0);
    for (int i = 0; i < count && i < 8; i++)
        in[i] = i == 0 ? pick(g) : operand(g);
    if (op == HEARTH_OP_RECIPROCAL || op == HEARTH_OP_LOG ||
        op == HEARTH_OP_DIV || op == HEARTH_OP_POW)
        in[op == HEARTH_OP_DIV] = away_from_zero(g, in[op == HEARTH_OP_DIV]);
    for (unsigned i = 0; i < form / 64; i++)
        attribute(g);
    (void)graph_node(g, row->name, count > 8 ? 8 : count, in,
                     form & 32 && row->max_outputs > 1 ? 2 : 1);
}

void graph_step(struct graph *g)
{
    static void (*const parts[])(struct graph *) = {
        conv, conv,      elements, elements, matmul, layer_norm, any, move,
        move, attention, gelu,     pool,     along,  any,        any, conv};
    parts[graph_byte(g) % 16](g);
    pb_free(&g->attrs); /* of a step that came to nothing */
}
