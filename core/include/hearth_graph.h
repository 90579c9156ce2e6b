/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hearth_graph.h: the flat graph block.
 *
 * One contiguous, offset-based, versioned block of memory that holds a model's
 * graph: what the ONNX importer writes, what a packed model file stores, and
 * what a plugin is handed. It has no pointers, so that it can be mapped from a
 * file. It is immutable after hearth_graph_check accepted it; any thread may
 * read it.
 *
 * Layout: struct hearth_graph, then the sections that its offsets name (each 8
 * byte aligned, counted from the start of the block), in any order:
 *
 *   values   struct hearth_graph_value[value_count]
 *   nodes    struct hearth_graph_node[node_count], in topological order
 *   attrs    struct hearth_graph_attr[attr_count]
 *   indexes  uint32_t[index_count]: value numbers; a node's inputs, then its
 *            outputs; HEARTH_NO_VALUE where an optional one is absent
 *   inputs   uint32_t[input_count]: value numbers of the graph's inputs
 *   outputs  uint32_t[output_count]
 *   symbols  uint32_t[symbol_count]: offsets of symbol names in strings; "" for
 *            an anonymous one
 *   strings  bytes; offset 0 is the empty string; every string is terminated
 *   data     bytes of small constants (shape arithmetic), 8 byte aligned each
 */
#ifndef HEARTH_GRAPH_H
#define HEARTH_GRAPH_H

#include "hearth_types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HEARTH_GRAPH_MAGIC 0x47545248u /* "HRTG" */
#define HEARTH_GRAPH_VERSION 1
#define HEARTH_NO_VALUE UINT32_MAX

/* Where a value's bytes are. */
enum hearth_value_kind {
    HEARTH_VALUE_NONE = 0,
    HEARTH_VALUE_INPUT,     /* a request brings it */
    HEARTH_VALUE_WEIGHT,    /* in the weights: <segment>, <offset> */
    HEARTH_VALUE_CONST,     /* in this block's data section: <offset> */
    HEARTH_VALUE_ACTIVATION /* a node makes it */
};

struct hearth_graph_value {
    uint32_t name;    /* string offset; ONNX's name of the value */
    uint8_t kind;     /* enum hearth_value_kind */
    uint8_t dtype;    /* enum hearth_dtype */
    int8_t rank;      /* -1: not known at import */
    uint8_t reserved; /* 0 */
    uint32_t segment; /* WEIGHT: see struct hearth_weights */
    uint32_t producer; /* ACTIVATION: node number; else HEARTH_NO_VALUE */
    uint64_t offset;  /* WEIGHT, CONST */
    uint64_t bytes;   /* WEIGHT, CONST: dense bytes */
    int64_t dims[HEARTH_RANK_MAX]; /* known or symbolic */
};

struct hearth_graph_node {
    uint32_t op;    /* enum hearth_op (ops/ops.h): the canonical operator */
    uint32_t name;  /* string offset; may be "" */
    uint32_t first_index; /* inputs, then outputs, in indexes */
    uint32_t input_count;
    uint32_t output_count;
    uint32_t first_attr;
    uint32_t attr_count;
    uint32_t reserved; /* 0 */
};

/* Attribute names are numbers (enum hearth_attr of ops/ops.h). Numbers live in
 * the data section, 8 bytes each. */
enum hearth_attr_type {
    HEARTH_ATTR_NONE = 0,
    HEARTH_ATTR_INTS,   /* int64_t[count] */
    HEARTH_ATTR_FLOATS, /* double[count] */
    HEARTH_ATTR_STRING, /* <offset> is a string offset, count 1 */
    /* A graph block of <count> bytes at <offset> in data: what If, Loop and
     * Scan run. It has no weights: those are inputs of the node. */
    HEARTH_ATTR_BLOCK
};

struct hearth_graph_attr {
    uint16_t key;  /* enum hearth_attr */
    uint16_t type; /* enum hearth_attr_type */
    uint32_t count;
    uint64_t offset; /* in data, or in strings */
};

struct hearth_graph {
    uint32_t magic, version;
    uint64_t bytes; /* of the whole block */
    uint32_t value_count, node_count, attr_count, index_count;
    uint32_t input_count, output_count, symbol_count, segment_count;
    uint64_t values, nodes, attrs, indexes, inputs, outputs, symbols, strings,
        data; /* section offsets */
    uint64_t string_bytes, data_bytes;
    uint64_t weight_bytes;    /* sum of the WEIGHT values' bytes */
    uint64_t parameter_count; /* elements of all initializers of the source */
    int64_t opset;            /* of the source's default domain */
    uint32_t batch_axis0; /* 1: import proved that axis 0 of every input and
                             output is one and the same batch */
    uint32_t reserved;
};

/* Checks every count, offset, index, type and the topological order of a block
 * of <bytes> bytes. A block that passed may be walked with no further check.
 * HEARTH_OK, or HEARTH_EMODEL with <err> filled. */
int hearth_graph_check(const void *block, uint64_t bytes,
                       struct hearth_error *err);

/* Accessors for a checked block. */
static inline const void *hearth_graph_at(const struct hearth_graph *g,
                                          uint64_t offset)
{
    return (const char *)g + offset;
}
static inline const struct hearth_graph_value *
hearth_graph_value(const struct hearth_graph *g, uint32_t i)
{
    return (const struct hearth_graph_value *)hearth_graph_at(g, g->values) + i;
}
static inline const struct hearth_graph_node *
hearth_graph_node(const struct hearth_graph *g, uint32_t i)
{
    return (const struct hearth_graph_node *)hearth_graph_at(g, g->nodes) + i;
}
/* Value number of a node's input or output <k>, or HEARTH_NO_VALUE when the
 * node has no such input. */
static inline uint32_t
hearth_graph_input(const struct hearth_graph *g,
                   const struct hearth_graph_node *node, uint32_t k)
{
    const uint32_t *idx = (const uint32_t *)hearth_graph_at(g, g->indexes);
    return k < node->input_count ? idx[node->first_index + k] : HEARTH_NO_VALUE;
}
static inline uint32_t
hearth_graph_output(const struct hearth_graph *g,
                    const struct hearth_graph_node *node, uint32_t k)
{
    const uint32_t *idx = (const uint32_t *)hearth_graph_at(g, g->indexes);
    return k < node->output_count
               ? idx[node->first_index + node->input_count + k]
               : HEARTH_NO_VALUE;
}
static inline const uint32_t *hearth_graph_inputs(const struct hearth_graph *g)
{
    return (const uint32_t *)hearth_graph_at(g, g->inputs);
}
static inline const uint32_t *hearth_graph_outputs(const struct hearth_graph *g)
{
    return (const uint32_t *)hearth_graph_at(g, g->outputs);
}
static inline const char *hearth_graph_string(const struct hearth_graph *g,
                                              uint32_t offset)
{
    return (const char *)hearth_graph_at(g, g->strings) + offset;
}
static inline const void *
hearth_graph_const(const struct hearth_graph *g,
                   const struct hearth_graph_value *v)
{
    return hearth_graph_at(g, g->data + v->offset);
}
static inline struct hearth_shape
hearth_graph_shape(const struct hearth_graph_value *v)
{
    struct hearth_shape s = {.rank = v->rank};
    for (int i = 0; i < v->rank; i++)
        s.dims[i] = v->dims[i];
    return s;
}

/* How a plugin reads a model's weights at load. The core owns it; it is valid
 * during the call it is passed to. Thread-safe: a loader may read in parallel.
 *
 * A segment is one source of bytes: the model file, an external data file, or
 * the constants that import derived. Pointers may be unaligned, for ONNX files
 * align nothing. */
struct hearth_weights {
    uint32_t struct_bytes;
    void *ctx;
    /* A read-only pointer to [offset, offset+bytes) of <segment>, valid until
     * the load ends. HEARTH_OK, HEARTH_EIO (the file changed or vanished). */
    int (*map)(void *ctx, uint32_t segment, uint64_t offset, uint64_t bytes,
               const void **data, struct hearth_error *err);
    /* Copies the same range into <dst>, for pinned staging buffers. */
    int (*read)(void *ctx, uint32_t segment, uint64_t offset, uint64_t bytes,
                void *dst, struct hearth_error *err);
};

#ifdef __cplusplus
}
#endif
#endif
