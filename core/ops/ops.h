/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops.h: the operators: one table, a row an operator, so that an operator's
 * meaning is written once. A row serves the importer (which ONNX versions,
 * which types, constant folding), shape inference, the plugins' host-side shape
 * arithmetic and long tail, and the tests' reference.
 *
 * C library and hearth_types.h/hearth_graph.h only: plugins link it. Reentrant,
 * no state; any thread.
 *
 * The rows are *canonical* operators: one form whatever the opset. The importer
 * rewrites older spellings (attributes that became inputs, and back) into the
 * form that enum hearth_op documents.
 */
#ifndef HEARTH_OPS_OPS_H
#define HEARTH_OPS_OPS_H

#include "hearth_graph.h"

/* Canonical operators. Inputs in [] are optional. "act" stands for the fused
 * activation: HEARTH_ATTR_ACTIVATION (enum hearth_activation) with
 * HEARTH_ATTR_ALPHA, HEARTH_ATTR_BETA. Axes are normalised to >= 0 by the
 * importer wherever the rank is known; evaluation takes negative ones too.
 *
 * Values are stable: they stand in packed files. Append only. */
enum hearth_op {
    HEARTH_OP_NONE = 0,
    /* X [N,C,D..], W [M,C/group,k..], [B [M]], [Z like Y, added before act];
     * KERNEL_SHAPE STRIDES PADS(begin.., end..) DILATIONS GROUP, act. AUTO_PAD
     * stays a string ("SAME_UPPER"..) only while a spatial size is unknown. */
    HEARTH_OP_CONV,
    /* X, scale, B, mean, var; EPSILON */
    HEARTH_OP_BATCH_NORMALIZATION,
    HEARTH_OP_RELU,
    /* X, [min scalar], [max scalar] */
    HEARTH_OP_CLIP,
    HEARTH_OP_SIGMOID,
    HEARTH_OP_TANH,
    /* X; AXIS, over that one axis (opset 13 meaning). Older: the importer
     * flattens around it with RESHAPE nodes. */
    HEARTH_OP_SOFTMAX,
    /* X -> Y, [Indices]; KERNEL_SHAPE STRIDES PADS DILATIONS CEIL_MODE
     * STORAGE_ORDER AUTO_PAD */
    HEARTH_OP_MAX_POOL,
    /* X; the same, and COUNT_INCLUDE_PAD */
    HEARTH_OP_AVERAGE_POOL,
    HEARTH_OP_GLOBAL_AVERAGE_POOL,
    /* A, B, [C broadcast to the result], act; ALPHA is Gemm's own
     * GEMM_ALPHA here, GEMM_BETA, TRANS_A, TRANS_B */
    HEARTH_OP_GEMM,
    /* A, B (numpy's matmul), [C: bias of the last axis], [Z like Y], act */
    HEARTH_OP_MATMUL,
    HEARTH_OP_ADD, /* numpy broadcasting; act */
    HEARTH_OP_SUB,
    HEARTH_OP_MUL,
    HEARTH_OP_DIV,    /* integers truncate; integer x/0 is an error, CLIENT */
    HEARTH_OP_CONCAT, /* inputs...; AXIS */
    /* data, shape i64 [r]; ALLOW_ZERO */
    HEARTH_OP_RESHAPE,
    HEARTH_OP_FLATTEN,   /* AXIS */
    HEARTH_OP_TRANSPOSE, /* PERM */
    HEARTH_OP_SQUEEZE,   /* data, [axes i64] */
    HEARTH_OP_UNSQUEEZE, /* data, axes i64 */
    HEARTH_OP_SHAPE,     /* START, END */
    HEARTH_OP_GATHER,    /* data, indices; AXIS */
    /* data, starts, ends, [axes], [steps]; i32 or i64 */
    HEARTH_OP_SLICE,
    HEARTH_OP_CAST, /* TO */
    /* shape i64; VALUE_DTYPE, VALUE_INT or VALUE_FLOAT: the one element */
    HEARTH_OP_CONSTANT_OF_SHAPE,
    HEARTH_OP_IDENTITY,
    /* data, pads i64 [2r], [value], [axes]; MODE "constant" "reflect" "edge" */
    HEARTH_OP_PAD,
    /* data, [axes i64]; KEEPDIMS, NOOP_WITH_EMPTY_AXES */
    HEARTH_OP_REDUCE_MEAN,
    HEARTH_OP_COUNT
};

enum hearth_attr {
    HEARTH_ATTR_KEY_NONE = 0,
    HEARTH_ATTR_KERNEL_SHAPE,
    HEARTH_ATTR_STRIDES,
    HEARTH_ATTR_PADS,
    HEARTH_ATTR_DILATIONS,
    HEARTH_ATTR_GROUP,
    HEARTH_ATTR_AUTO_PAD,
    HEARTH_ATTR_CEIL_MODE,
    HEARTH_ATTR_COUNT_INCLUDE_PAD,
    HEARTH_ATTR_STORAGE_ORDER,
    HEARTH_ATTR_EPSILON,
    HEARTH_ATTR_AXIS,
    HEARTH_ATTR_PERM,
    HEARTH_ATTR_GEMM_ALPHA,
    HEARTH_ATTR_GEMM_BETA,
    HEARTH_ATTR_TRANS_A,
    HEARTH_ATTR_TRANS_B,
    HEARTH_ATTR_ALLOW_ZERO,
    HEARTH_ATTR_START,
    HEARTH_ATTR_END,
    HEARTH_ATTR_TO,
    HEARTH_ATTR_VALUE_DTYPE,
    HEARTH_ATTR_VALUE_INT,
    HEARTH_ATTR_VALUE_FLOAT,
    HEARTH_ATTR_MODE,
    HEARTH_ATTR_KEEPDIMS,
    HEARTH_ATTR_NOOP_WITH_EMPTY_AXES,
    HEARTH_ATTR_ACTIVATION,
    HEARTH_ATTR_ALPHA, /* of the activation: CLIP's minimum */
    HEARTH_ATTR_BETA,  /* CLIP's maximum */
    HEARTH_ATTR_KEY_COUNT
};

enum hearth_activation {
    HEARTH_ACT_NONE = 0,
    HEARTH_ACT_RELU,
    HEARTH_ACT_CLIP, /* min(max(x, ALPHA), BETA) */
    HEARTH_ACT_SIGMOID,
    HEARTH_ACT_TANH
};

/* What is known of a value while shapes are inferred or a node is evaluated. */
struct hearth_value_info {
    enum hearth_dtype dtype;
    struct hearth_shape shape; /* dims may be symbolic; rank may be -1 */
    /* Dense contents on the host when they are known, else NULL. */
    const void *data;
    /* Contents of an integer tensor of at most HEARTH_CONTENT_MAX elements
     * when each is known or a symbol (HEARTH_DIM_SYMBOL), else NULL. Set
     * together with <data> when all are known. This is how Shape -> Gather ->
     * Concat -> Reshape keeps "batch". */
    const int64_t *content;
};
#define HEARTH_CONTENT_MAX 64

/* One node as the table's functions see it. */
struct hearth_op_call {
    const struct hearth_graph *graph; /* where attributes lie */
    const struct hearth_graph_node *node;
    uint32_t input_count, output_count;
    const struct hearth_value_info *const *in; /* NULL: absent */
    struct hearth_value_info *out;             /* [output_count], to fill */
    /* A new anonymous symbol's dimension, for sizes that only data tells. */
    int64_t (*fresh_symbol)(void *ctx);
    /* Room for <content> of an output; lives as long as the inference. NULL
     * when out of memory. */
    int64_t *(*content_alloc)(void *ctx, uint32_t count);
    void *ctx;
};

struct hearth_op_row {
    enum hearth_op op;
    const char *name;               /* ONNX's: "Conv" */
    uint8_t min_inputs, max_inputs; /* max 255: any number */
    uint8_t max_outputs;
    /* 1 << dtype for every element type that input 0 may have. */
    uint32_t dtypes;
    /* Axis 0 of the output is the batch whenever axis 0 of the inputs that
     * <batch_inputs> names (bit i = input i) is: rows are independent. Subject
     * to batch_axis (below) agreeing. */
    uint32_t batch_inputs;
    /* NULL: always independent. Else decides by attributes and shapes whether
     * axis 0 stays an independent batch (Softmax axis != 0, Reshape keeping
     * dim 0, ...). */
    bool (*batch_axis)(const struct hearth_op_call *call);
    /* Fills dtype and shape of every output, and content where it can. OK, or
     * HEARTH_EMODEL/HEARTH_ESHAPE/HEARTH_ETYPE with a text that names what
     * disagreed, not the node: the caller adds that. */
    int (*infer)(const struct hearth_op_call *call, struct hearth_error *err);
    /* Plain evaluation on host memory: inputs dense or strided, outputs dense
     * and allocated by the caller after the shapes that infer gave. The
     * reference: right before fast. CLIENT-class errors for data that the
     * operator refuses (Gather index out of range). */
    int (*eval)(const struct hearth_op_call *call,
                const struct hearth_view *const *in, struct hearth_view *out,
                struct hearth_error *err);
};

/* NULL for a number that is not an operator. */
const struct hearth_op_row *hearth_op_row(uint32_t op);
const char *hearth_op_name(uint32_t op); /* "?" likewise */

/* Attributes of a node; <fallback> or NULL/0 when it has none of that key. */
int64_t hearth_attr_int(const struct hearth_graph *g,
                        const struct hearth_graph_node *node,
                        enum hearth_attr key, int64_t fallback);
double hearth_attr_float(const struct hearth_graph *g,
                         const struct hearth_graph_node *node,
                         enum hearth_attr key, double fallback);
const int64_t *hearth_attr_ints(const struct hearth_graph *g,
                                const struct hearth_graph_node *node,
                                enum hearth_attr key, uint32_t *count);
const char *hearth_attr_string(const struct hearth_graph *g,
                               const struct hearth_graph_node *node,
                               enum hearth_attr key, const char *fallback);
const char *hearth_attr_name(uint32_t key); /* ONNX's name: "kernel_shape" */

/* Spatial geometry of Conv and the pools, with AUTO_PAD and CEIL_MODE resolved,
 * for spatial rank <= 6. HEARTH_ESHAPE when the window does not fit. */
struct hearth_window {
    int32_t rank;
    int64_t in[6], kernel[6], stride[6], dilation[6], pad_begin[6], pad_end[6],
        out[6];
};
int hearth_op_window(const struct hearth_op_call *call,
                     struct hearth_window *window, struct hearth_error *err);

/* f16 and bf16 <-> f32, round to nearest even. */
float hearth_f16_to_f32(uint16_t bits);
uint16_t hearth_f32_to_f16(float value);
float hearth_bf16_to_f32(uint16_t bits);
uint16_t hearth_f32_to_bf16(float value);

/* ---- A whole graph at concrete input shapes ("specialised") ---------------
 * Used by the plugins at every new shape, by `hearth inspect` and by the tests.
 * Infers every value's shape and evaluates on the host whatever is shape
 * arithmetic: nodes all of whose inputs are small host constants. Weights are
 * never touched, except those that shape arithmetic needs (read through
 * <weights>, at most 64 KiB each). */
struct hearth_spec {
    uint32_t value_count;
    struct hearth_value_info *values; /* [value_count]; <data> if host known */
    uint8_t *node_done; /* [node_count] 1: evaluated here, plugins skip it */
    void *memory;       /* everything above, one list; private */
};
/* <inputs>: one known shape per graph input. OK, or HEARTH_ESHAPE (naming input
 * or node and operator), HEARTH_ENOMEM. On failure *spec is empty. */
int hearth_spec_create(struct hearth_spec *spec, const struct hearth_graph *g,
                       const struct hearth_weights *weights,
                       const struct hearth_shape *inputs,
                       struct hearth_error *err);
void hearth_spec_destroy(struct hearth_spec *spec);

/* ---- One node of a specialised graph, on host memory ----
 * Room for the views of the node with the most inputs; one run at a time. */
struct hearth_op_scratch {
    struct hearth_view *views;
    const struct hearth_view **in;
    const struct hearth_value_info **infos;
};
/* False: out of memory, and empty. */
bool hearth_op_scratch_create(struct hearth_op_scratch *scratch,
                              const struct hearth_graph *g);
void hearth_op_scratch_destroy(struct hearth_op_scratch *scratch);
/* Evaluates node <number> by its row. <place> tells where input or output <k>,
 * which is value <value>, has its dense bytes. The row's statuses. */
int hearth_op_run(const struct hearth_graph *g, const struct hearth_spec *spec,
                  uint32_t number, const struct hearth_op_scratch *scratch,
                  void *(*place)(void *ctx, uint32_t value, bool output,
                                 uint32_t k),
                  void *ctx, struct hearth_error *err);

/* ---- One arena, planned -----------------------------------------------
 * Offsets for buffers with known first and last use, none overlapping in both
 * time and space: greedy by size, best fit (as TFLite's and TVM's planners do).
 * <alignment> is a power of two. Returns the arena's bytes; fills offset. */
struct hearth_arena_buffer {
    uint64_t bytes;       /* 0: no room is given, offset 0 */
    uint32_t first, last; /* steps, inclusive */
    uint64_t offset;      /* out */
};
uint64_t hearth_arena_plan(struct hearth_arena_buffer *buffers, uint32_t count,
                           uint64_t alignment);

#endif
