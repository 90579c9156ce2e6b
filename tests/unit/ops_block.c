/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_block.c: see ops_block.h. Plain growing arrays, put together at the end.
 */
#include "unit/ops_block.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct array {
    char *data;
    size_t count, bytes, room; /* elements, bytes in use, bytes allocated */
};

struct ops_block {
    struct array values, nodes, attrs, indexes, inputs, outputs, symbols,
        strings, data, block;
    uint32_t first_attr;
};

static void *push(struct array *a, const void *item, size_t bytes)
{
    if (a->bytes + bytes > a->room) {
        a->room = (a->bytes + bytes) * 2;
        a->data = realloc(a->data, a->room);
        assert(a->data != NULL);
    }
    if (bytes == 0)
        return a->data;
    void *at = a->data + a->bytes;
    if (item != NULL)
        memcpy(at, item, bytes);
    else
        memset(at, 0, bytes);
    a->bytes += bytes;
    a->count++;
    return at;
}

static uint32_t string(struct ops_block *b, const char *text)
{
    uint32_t at = (uint32_t)b->strings.bytes;
    push(&b->strings, text, strlen(text) + 1);
    return at;
}

static uint64_t data(struct ops_block *b, const void *bytes, size_t size)
{
    uint64_t at = b->data.bytes;
    if (size > 0)
        push(&b->data, bytes, size);
    push(&b->data, NULL, (8 - size % 8) % 8);
    return at;
}

struct ops_block *ops_block_new(void)
{
    struct ops_block *b = calloc(1, sizeof *b);
    assert(b != NULL);
    string(b, "");
    return b;
}

void ops_block_free(struct ops_block *b)
{
    struct array *all[] = {&b->values, &b->nodes,   &b->attrs,   &b->indexes,
                           &b->inputs, &b->outputs, &b->symbols, &b->strings,
                           &b->data,   &b->block};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]->data);
    free(b);
}

static struct hearth_graph_value *value(struct ops_block *b, const char *name,
                                        enum hearth_value_kind kind,
                                        enum hearth_dtype dtype, int rank,
                                        const int64_t *dims)
{
    uint32_t at = string(b, name);
    struct hearth_graph_value *v = push(&b->values, NULL, sizeof *v);
    v->name = at;
    v->kind = (uint8_t)kind;
    v->dtype = (uint8_t)dtype;
    v->rank = (int8_t)rank;
    v->producer = HEARTH_NO_VALUE;
    for (int i = 0; i < rank; i++)
        v->dims[i] = dims[i];
    return v;
}

uint32_t ops_block_input(struct ops_block *b, const char *name,
                         enum hearth_dtype dtype, int rank, const int64_t *dims)
{
    uint32_t number = (uint32_t)b->values.count;
    value(b, name, HEARTH_VALUE_INPUT, dtype, rank, dims);
    push(&b->inputs, &number, sizeof number);
    return number;
}

static uint64_t bytes_of(enum hearth_dtype dtype, int rank, const int64_t *dims)
{
    struct hearth_shape shape = {.rank = rank};
    uint64_t bytes;
    if (rank > 0)
        memcpy(shape.dims, dims, (size_t)rank * sizeof *dims);
    bool ok = hearth_shape_bytes(&shape, dtype, &bytes);
    assert(ok);
    return bytes;
}

uint32_t ops_block_const(struct ops_block *b, enum hearth_dtype dtype, int rank,
                         const int64_t *dims, const void *bytes)
{
    uint64_t size = bytes_of(dtype, rank, dims);
    uint64_t at = data(b, bytes, size);
    struct hearth_graph_value *v =
        value(b, "const", HEARTH_VALUE_CONST, dtype, rank, dims);
    v->offset = at;
    v->bytes = size;
    return (uint32_t)b->values.count - 1;
}

uint32_t ops_block_weight(struct ops_block *b, enum hearth_dtype dtype,
                          int rank, const int64_t *dims, uint64_t offset)
{
    struct hearth_graph_value *v =
        value(b, "weight", HEARTH_VALUE_WEIGHT, dtype, rank, dims);
    v->offset = offset;
    v->bytes = bytes_of(dtype, rank, dims);
    return (uint32_t)b->values.count - 1;
}

void ops_block_symbols(struct ops_block *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = string(b, "symbol");
        push(&b->symbols, &at, sizeof at);
    }
}

static void attr(struct ops_block *b, enum hearth_attr key,
                 enum hearth_attr_type type, uint32_t count, uint64_t offset)
{
    struct hearth_graph_attr a = {.key = (uint16_t)key,
                                  .type = (uint16_t)type,
                                  .count = count,
                                  .offset = offset};
    push(&b->attrs, &a, sizeof a);
}

void ops_block_ints(struct ops_block *b, enum hearth_attr key, uint32_t count,
                    const int64_t *values)
{
    attr(b, key, HEARTH_ATTR_INTS, count,
         data(b, values, count * sizeof *values));
}

void ops_block_int(struct ops_block *b, enum hearth_attr key, int64_t v)
{
    ops_block_ints(b, key, 1, &v);
}

void ops_block_floats(struct ops_block *b, enum hearth_attr key, uint32_t count,
                      const double *values)
{
    attr(b, key, HEARTH_ATTR_FLOATS, count,
         data(b, values, count * sizeof *values));
}

void ops_block_string(struct ops_block *b, enum hearth_attr key,
                      const char *text)
{
    attr(b, key, HEARTH_ATTR_STRING, 1, string(b, text));
}

void ops_block_block(struct ops_block *b, enum hearth_attr key,
                     struct ops_block *nested)
{
    const struct hearth_graph *g = ops_block_graph(nested);
    attr(b, key, HEARTH_ATTR_BLOCK, (uint32_t)g->bytes,
         data(b, g, (size_t)g->bytes));
}

void ops_block_declare(struct ops_block *b, uint32_t number,
                       enum hearth_dtype dtype, int rank, const int64_t *dims)
{
    struct hearth_graph_value *v = (void *)b->values.data;
    assert(number < b->values.count);
    v[number].dtype = (uint8_t)dtype;
    v[number].rank = (int8_t)rank;
    for (int i = 0; i < rank; i++)
        v[number].dims[i] = dims[i];
}

uint32_t ops_block_node(struct ops_block *b, enum hearth_op op, uint32_t count,
                        const uint32_t *inputs, uint32_t outputs)
{
    struct hearth_graph_node n = {.op = (uint32_t)op,
                                  .first_index = (uint32_t)b->indexes.count,
                                  .input_count = count,
                                  .output_count = outputs,
                                  .first_attr = b->first_attr};
    n.name = string(b, "node");
    n.attr_count = (uint32_t)b->attrs.count - b->first_attr;
    b->first_attr = (uint32_t)b->attrs.count;
    for (uint32_t i = 0; i < count; i++)
        push(&b->indexes, &inputs[i], sizeof inputs[i]);
    uint32_t first = (uint32_t)b->values.count;
    for (uint32_t i = 0; i < outputs; i++) {
        struct hearth_graph_value *v =
            value(b, "made", HEARTH_VALUE_ACTIVATION, HEARTH_F32, -1, NULL);
        v->producer = (uint32_t)b->nodes.count;
        uint32_t number = first + i;
        push(&b->indexes, &number, sizeof number);
    }
    push(&b->nodes, &n, sizeof n);
    return first;
}

void ops_block_output(struct ops_block *b, uint32_t v)
{
    push(&b->outputs, &v, sizeof v);
}

static uint64_t section(struct ops_block *b, const struct array *a)
{
    size_t pad = (8 - b->block.bytes % 8) % 8;
    if (pad > 0)
        push(&b->block, NULL, pad);
    uint64_t at = b->block.bytes;
    if (a->bytes > 0)
        push(&b->block, a->data, a->bytes);
    return at;
}

struct hearth_graph *ops_block_graph(struct ops_block *b)
{
    struct hearth_graph g = {.magic = HEARTH_GRAPH_MAGIC,
                             .version = HEARTH_GRAPH_VERSION,
                             .value_count = (uint32_t)b->values.count,
                             .node_count = (uint32_t)b->nodes.count,
                             .attr_count = (uint32_t)b->attrs.count,
                             .index_count = (uint32_t)b->indexes.count,
                             .input_count = (uint32_t)b->inputs.count,
                             .output_count = (uint32_t)b->outputs.count,
                             .symbol_count = (uint32_t)b->symbols.count,
                             .segment_count = 1,
                             .string_bytes = b->strings.bytes,
                             .data_bytes = b->data.bytes,
                             .opset = 21};
    const struct hearth_graph_value *v = (void *)b->values.data;
    for (size_t i = 0; i < b->values.count; i++)
        if (v[i].kind == HEARTH_VALUE_WEIGHT)
            g.weight_bytes += v[i].bytes;
    b->block.bytes = 0;
    push(&b->block, &g, sizeof g);
    g.values = section(b, &b->values);
    g.nodes = section(b, &b->nodes);
    g.attrs = section(b, &b->attrs);
    g.indexes = section(b, &b->indexes);
    g.inputs = section(b, &b->inputs);
    g.outputs = section(b, &b->outputs);
    g.symbols = section(b, &b->symbols);
    g.strings = section(b, &b->strings);
    g.data = section(b, &b->data);
    g.bytes = b->block.bytes;
    memcpy(b->block.data, &g, sizeof g);
    return (struct hearth_graph *)b->block.data;
}
