/* SPDX-License-Identifier: Apache-2.0 */
/* executor_graph.c: see executor_graph.h. */
#include "fuzz/executor_graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 8
#define ELEMENTS_MAX 16384

unsigned graph_byte(struct graph *g)
{
    if (g->bytes == 0)
        return 0;
    g->bytes--;
    return *g->data++;
}

int64_t graph_random(struct graph *g, int64_t n)
{
    g->random ^= g->random << 13;
    g->random ^= g->random >> 7;
    g->random ^= g->random << 17;
    return (int64_t)((g->random >> 33) % (uint64_t)n);
}

static float real(struct graph *g)
{
    return (float)graph_random(g, 1 << 20) / (1 << 18) - 2;
}

void graph_fill(struct graph *g, enum hearth_dtype dtype, int64_t count,
                void *data)
{
    uint32_t width = hearth_dtype_bytes(dtype);
    for (int64_t i = 0; i < count; i++) {
        char *at = (char *)data + i * width;
        float f = real(g);
        double d = (double)f;
        int64_t n = (int64_t)(f * 3);
        uint16_t h =
            dtype == HEARTH_F16 ? hearth_f32_to_f16(f) : hearth_f32_to_bf16(f);
        if (dtype == HEARTH_F32)
            memcpy(at, &f, width);
        else if (dtype == HEARTH_F64)
            memcpy(at, &d, width);
        else if (dtype == HEARTH_F16 || dtype == HEARTH_BF16)
            memcpy(at, &h, width);
        else if (dtype == HEARTH_BOOL)
            *at = (char)(n & 1);
        else
            memcpy(at, &n, width); /* little-endian, as ONNX is */
    }
}

/* ---- The file ---- */

static void name_of(int number, char *name, size_t size)
{
    if (number < 0)
        snprintf(name, size, "-");
    else
        snprintf(name, size, "v%d", number);
}

/* What there is, and <node>; its outputs, or those of the whole. */
static struct pb file_of(struct graph *g, const struct pb *node, int outputs)
{
    struct pb graph = {0};
    char name[16];
    pb_raw(&graph, g->nodes.data, g->nodes.bytes);
    if (node != NULL)
        pb_bytes(&graph, 1, node->data, node->bytes);
    pb_raw(&graph, g->tensors.data, g->tensors.bytes);
    for (int i = 0; i < g->inputs; i++) {
        struct hearth_shape s = g->values[i].shape;
        if (g->batch && s.rank > 0)
            s.dims[0] = -1;
        name_of(i, name, sizeof name);
        onnx_input(&graph, name, (int)g->values[i].dtype, s.rank, s.dims);
    }
    for (int i = 0; i < outputs; i++) {
        name_of(g->count + i, name, sizeof name);
        onnx_output(&graph, name);
    }
    int given = 0;
    for (int i = g->count - 1; i >= g->inputs && outputs == 0; i--) {
        if (g->values[i].constant || given >= GRAPH_OUTPUTS ||
            (g->values[i].used && graph_random(g, 4) > 0))
            continue;
        name_of(i, name, sizeof name);
        onnx_output(&graph, name);
        given++;
    }
    return onnx_model(&graph, 21);
}

/* Can it be run at a batch of one? A device loads it as if it were. */
static bool runs_at_one(const struct graph *g, const hearth_model_t *model)
{
    struct hearth_shape shapes[GRAPH_INPUTS];
    struct hearth_spec spec;
    struct hearth_error err;
    for (int i = 0; i < g->inputs; i++) {
        shapes[i] = g->values[i].shape;
        if (g->batch && shapes[i].rank > 0)
            shapes[i].dims[0] = 1;
    }
    if (hearth_spec_create(&spec, hearth_model_graph(model),
                           hearth_model_weights(model), shapes,
                           &err) != HEARTH_OK)
        return false;
    hearth_spec_destroy(&spec);
    return true;
}

/* Takes the outputs' types and sizes over; how many, or -1. */
static int learn(struct graph *g, const struct pb *file, int outputs)
{
    const struct hearth_model_options raw = {.passes = 0};
    struct hearth_shape shapes[GRAPH_INPUTS];
    hearth_model_t *model;
    struct hearth_spec spec;
    struct hearth_error err;
    int made = -1;
    for (int i = 0; i < g->inputs; i++)
        shapes[i] = g->values[i].shape;
    if (hearth_model_open_memory(&model, file->data, file->bytes, "fuzz", &raw,
                                 &err) != HEARTH_OK)
        return -1;
    const struct hearth_graph *block = hearth_model_graph(model);
    if (block->input_count == (uint32_t)g->inputs && runs_at_one(g, model) &&
        hearth_spec_create(&spec, block, hearth_model_weights(model), shapes,
                           &err) == HEARTH_OK) {
        for (made = 0; made < outputs; made++) {
            const struct hearth_value_info *v =
                &spec.values[hearth_graph_outputs(block)[made]];
            int64_t count;
            if (hearth_shape_count(&v->shape, &count) && count > ELEMENTS_MAX)
                break;
            g->values[g->count + made] =
                (struct graph_value){.dtype = v->dtype, .shape = v->shape};
        }
        made = made == outputs ? made : -1;
        hearth_spec_destroy(&spec);
    }
    hearth_model_close(&model);
    return made;
}

int graph_node(struct graph *g, const char *op, int count, const int *in,
               int outputs)
{
    char ins[256] = "", outs[256] = "", name[16];
    int made = -1;
    for (int i = 0; i < count; i++) {
        name_of(in[i], name, sizeof name);
        snprintf(ins + strlen(ins), sizeof ins - strlen(ins), "%s%s",
                 i == 0 ? "" : " ", name);
    }
    for (int i = 0; i < outputs; i++) {
        name_of(g->count + i, name, sizeof name);
        snprintf(outs + strlen(outs), sizeof outs - strlen(outs), "%s%s",
                 i == 0 ? "" : " ", name);
    }
    struct pb node = onnx_node(op, ins, outs);
    pb_raw(&node, g->attrs.data, g->attrs.bytes);
    pb_free(&g->attrs);
    if (g->count + outputs <= GRAPH_VALUES) {
        struct pb file = file_of(g, &node, outputs);
        made = learn(g, &file, outputs);
        pb_free(&file);
    }
    if (made < 0) {
        pb_free(&node);
        return -1;
    }
    for (int i = 0; i < count; i++)
        if (in[i] >= 0)
            g->values[in[i]].used = true;
    pb_sub(&g->nodes, 1, &node);
    g->count += made;
    return g->count - made;
}

int graph_constant(struct graph *g, enum hearth_dtype dtype, int rank,
                   const int64_t *dims, const void *data)
{
    struct graph_value v = {
        .dtype = dtype, .shape = {.rank = rank}, .constant = true};
    char name[16];
    uint64_t bytes;
    for (int i = 0; i < rank; i++)
        v.shape.dims[i] = dims[i];
    if (g->count >= GRAPH_VALUES ||
        !hearth_shape_bytes(&v.shape, dtype, &bytes) ||
        bytes > ELEMENTS_MAX * 8)
        return -1;
    name_of(g->count, name, sizeof name);
    struct pb t = onnx_tensor(name, (int)dtype, rank, dims, data, bytes);
    pb_sub(&g->tensors, 5, &t);
    g->values[g->count] = v;
    return g->count++;
}

int graph_weight(struct graph *g, int rank, const int64_t *dims, float scale,
                 float middle)
{
    struct hearth_shape s = {.rank = rank};
    int64_t count;
    for (int i = 0; i < rank; i++)
        s.dims[i] = dims[i];
    if (!hearth_shape_count(&s, &count) || count > ELEMENTS_MAX)
        return -1;
    float *data = malloc((size_t)count * sizeof *data + 1);
    if (data == NULL)
        abort();
    for (int64_t i = 0; i < count; i++)
        data[i] = real(g) / 2 * scale + middle;
    int made = graph_constant(g, HEARTH_F32, rank, dims, data);
    free(data);
    return made;
}

static void input(struct graph *g)
{
    static const enum hearth_dtype types[] = {
        HEARTH_F32,  HEARTH_F32, HEARTH_F32, HEARTH_F32, HEARTH_F32,
        HEARTH_F32,  HEARTH_F16, HEARTH_F64, HEARTH_I64, HEARTH_I32,
        HEARTH_BOOL, HEARTH_U8,  HEARTH_BF16};
    static const int64_t sizes[] = {1, 2, 3, 4, 5, 8, 16, 17, 24, 32, 7, 0};
    unsigned type = graph_byte(g), rank = graph_byte(g) % 6;
    struct graph_value v = {.dtype = types[type % 13]};
    v.shape.rank = rank == 5 ? 4 : (int)rank;
    for (int i = 0; i < v.shape.rank; i++) {
        unsigned b = graph_byte(g);
        v.shape.dims[i] = i == 0   ? 1 + b % 3
                          : i == 1 ? sizes[b % 12]
                                   : sizes[b % 11];
    }
    int64_t count;
    if (!hearth_shape_count(&v.shape, &count) || count > ELEMENTS_MAX)
        v.shape = (struct hearth_shape){.rank = 2, .dims = {2, 8}};
    /* A second input is most often like the first. */
    if (g->count > 0 && graph_byte(g) % 4 != 0)
        v = g->values[0];
    g->values[g->count++] = v;
}

bool graph_make(struct graph *g, const uint8_t *data, size_t bytes,
                struct pb *model)
{
    memset(g, 0, sizeof *g);
    memset(model, 0, sizeof *model);
    g->data = data;
    g->bytes = bytes;
    g->random = graph_byte(g) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    unsigned form = graph_byte(g);
    input(g);
    if (form & 1)
        input(g);
    g->inputs = g->count;
    g->batch = form & 2;
    for (int i = 0; i < g->inputs; i++) /* "n" is one number */
        if (g->values[i].shape.rank > 0 && g->values[0].shape.rank > 0)
            g->values[i].shape.dims[0] = g->values[0].shape.dims[0];
    for (int i = 0; i < STEPS && g->bytes > 0; i++)
        graph_step(g);
    if (g->nodes.bytes > 0)
        *model = file_of(g, NULL, 0);
    pb_free(&g->nodes);
    pb_free(&g->tensors);
    pb_free(&g->attrs);
    return model->bytes > 0;
}
