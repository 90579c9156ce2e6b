/* SPDX-License-Identifier: Apache-2.0 */
/*
 * executor_graph.h: a small ONNX model out of a fuzzer's bytes. A step that the
 * importer refuses is left out, so that the others make a model all the same.
 * Sizes are bounded. Asserts on misuse; one thread.
 */
#ifndef HEARTH_FUZZ_EXECUTOR_GRAPH_H
#define HEARTH_FUZZ_EXECUTOR_GRAPH_H

#include "model/model.h"
#include "ops/ops.h"
#include "unit/onnx_build.h"

#define GRAPH_VALUES 64
#define GRAPH_INPUTS 2
#define GRAPH_OUTPUTS 12

struct graph_value {
    enum hearth_dtype dtype;
    struct hearth_shape shape; /* not known: only a run tells */
    bool constant, used;
};

struct graph {
    const uint8_t *data;
    size_t bytes;
    uint64_t random;
    struct pb nodes, tensors, attrs; /* attrs: of the next node */
    struct graph_value values[GRAPH_VALUES];
    int count, inputs;
    bool batch; /* the inputs' axis 0 is a symbol */
};

/* The next byte; 0 after the last. */
unsigned graph_byte(struct graph *g);
/* In [0, n). */
int64_t graph_random(struct graph *g, int64_t n);
/* In [-2, 2), or small numbers of the type. */
void graph_fill(struct graph *g, enum hearth_dtype dtype, int64_t count,
                void *data);
/* Makes the graph; the model's bytes are the caller's. The first <inputs>
 * values are the inputs, in order. False: there is nothing to run. */
bool graph_make(struct graph *g, const uint8_t *data, size_t bytes,
                struct pb *model);
/* executor_parts.c: appends what one step of the bytes says. */
void graph_step(struct graph *g);

/* ---- For the steps ---- */
/* A constant; its number, or -1. */
int graph_constant(struct graph *g, enum hearth_dtype dtype, int rank,
                   const int64_t *dims, const void *data);
/* Of random numbers in [-scale, scale) + middle. */
int graph_weight(struct graph *g, int rank, const int64_t *dims, float scale,
                 float middle);
/* A node with the attributes so far; the number of the first of its outputs,
 * or -1. An input -1 is left out. */
int graph_node(struct graph *g, const char *op, int count, const int *in,
               int outputs);

#endif
