/* SPDX-License-Identifier: Apache-2.0 */
/*
 * graph.c: the check of a graph block. A block may come from a packed file that
 * anybody wrote, so that nothing in it is believed: first the sections must lie
 * inside the block, then every number in them must name something that exists.
 *
 * That each activation is made by exactly one node, and before its first use,
 * is proved without memory of what was seen: a node's output must name the node
 * as its producer, no node names an output twice, and there are as many outputs
 * as activations.
 */
#include <inttypes.h>
#include <string.h>

#include "ops/ops_impl.h"

#define FIX "; import the model again"

static int check_block(const void *block, uint64_t bytes, int depth,
                       struct hearth_error *err);

/* Does [offset, offset + count * size) lie in <bytes>, at a multiple of 8? */
static bool fits(uint64_t offset, uint64_t count, uint64_t size, uint64_t bytes)
{
    uint64_t length;
    return offset % 8 == 0 && !__builtin_mul_overflow(count, size, &length) &&
           offset <= bytes && length <= bytes - offset;
}

static int check_header(const void *block, uint64_t bytes,
                        struct hearth_error *err)
{
    const struct hearth_graph *g = block;
    if (block == NULL || (uintptr_t)block % 8 != 0 || bytes < sizeof *g)
        return hearth_fail(err, HEARTH_EMODEL,
                           "graph block of %" PRIu64
                           " bytes is too short or not aligned" FIX,
                           bytes);
    if (g->magic != HEARTH_GRAPH_MAGIC || g->version != HEARTH_GRAPH_VERSION)
        return hearth_fail(err, HEARTH_EMODEL,
                           "graph block has magic %08" PRIx32
                           " and version %" PRIu32 ", not %08x and %d" FIX,
                           g->magic, g->version, HEARTH_GRAPH_MAGIC,
                           HEARTH_GRAPH_VERSION);
    if (g->bytes != bytes)
        return hearth_fail(err, HEARTH_EMODEL,
                           "graph block says %" PRIu64
                           " bytes and has %" PRIu64 FIX,
                           g->bytes, bytes);
    if (g->reserved != 0 || g->batch_axis0 > 1)
        return hearth_fail(err, HEARTH_EMODEL,
                           "graph block has flags of an unknown version" FIX);
    return HEARTH_OK;
}

static int check_sections(const struct hearth_graph *g,
                          struct hearth_error *err)
{
    const struct {
        const char *name;
        uint64_t offset, count, size;
    } sections[] = {
        {"values", g->values, g->value_count,
         sizeof(struct hearth_graph_value)},
        {"nodes", g->nodes, g->node_count, sizeof(struct hearth_graph_node)},
        {"attrs", g->attrs, g->attr_count, sizeof(struct hearth_graph_attr)},
        {"indexes", g->indexes, g->index_count, sizeof(uint32_t)},
        {"inputs", g->inputs, g->input_count, sizeof(uint32_t)},
        {"outputs", g->outputs, g->output_count, sizeof(uint32_t)},
        {"symbols", g->symbols, g->symbol_count, sizeof(uint32_t)},
        {"strings", g->strings, g->string_bytes, 1},
        {"data", g->data, g->data_bytes, 1},
    };
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        if (sections[i].offset < sizeof *g ||
            !fits(sections[i].offset, sections[i].count, sections[i].size,
                  g->bytes))
            return hearth_fail(err, HEARTH_EMODEL,
                               "section %s of the graph block lies outside of "
                               "it" FIX,
                               sections[i].name);
    }
    const char *strings = hearth_graph_at(g, g->strings);
    if (g->string_bytes == 0 || strings[0] != '\0' ||
        strings[g->string_bytes - 1] != '\0')
        return hearth_fail(err, HEARTH_EMODEL,
                           "strings of the graph block are not terminated" FIX);
    const uint32_t *symbols = hearth_graph_at(g, g->symbols);
    for (uint32_t i = 0; i < g->symbol_count; i++)
        if (symbols[i] >= g->string_bytes)
            return hearth_fail(err, HEARTH_EMODEL,
                               "symbol %" PRIu32 " has no name" FIX, i);
    return HEARTH_OK;
}

/* Bytes that stand somewhere: their size must be the shape's. */
static bool stored_ok(const struct hearth_graph *g,
                      const struct hearth_graph_value *v)
{
    struct hearth_shape shape = hearth_graph_shape(v);
    uint64_t bytes;
    if (!hearth_shape_bytes(&shape, v->dtype, &bytes) || bytes != v->bytes)
        return false;
    if (v->kind == HEARTH_VALUE_CONST)
        return fits(v->offset, v->bytes, 1, g->data_bytes);
    uint64_t end;
    return v->segment < g->segment_count &&
           !__builtin_add_overflow(v->offset, v->bytes, &end) &&
           end <= INT64_MAX;
}

/* NULL, or what is wrong with the value. */
static const char *value_fault(const struct hearth_graph *g,
                               const struct hearth_graph_value *v)
{
    if (v->name >= g->string_bytes)
        return "has no name";
    if (v->kind > HEARTH_VALUE_ACTIVATION || v->reserved != 0)
        return "is of an unknown kind";
    if (v->dtype != HEARTH_DTYPE_NONE && hearth_dtype_name(v->dtype)[0] == '?')
        return "has an unknown element type";
    if (v->rank < -1 || v->rank > HEARTH_RANK_MAX)
        return "has an impossible rank";
    for (int i = 0; i < v->rank; i++)
        if (v->dims[i] < 0 &&
            (!HEARTH_DIM_IS_SYMBOL(v->dims[i]) ||
             HEARTH_DIM_SYMBOL_INDEX(v->dims[i]) >= g->symbol_count))
            return "has an impossible dimension";
    if ((v->kind == HEARTH_VALUE_WEIGHT || v->kind == HEARTH_VALUE_CONST) &&
        !stored_ok(g, v))
        return "has bytes that are elsewhere or do not match its shape";
    if (v->kind == HEARTH_VALUE_ACTIVATION ? v->producer >= g->node_count
                                           : v->producer != HEARTH_NO_VALUE)
        return "has an impossible producer";
    return NULL;
}

struct counts {
    uint64_t inputs, activations, weight_bytes;
};

static int check_values(const struct hearth_graph *g, struct counts *counts,
                        struct hearth_error *err)
{
    for (uint32_t i = 0; i < g->value_count; i++) {
        const struct hearth_graph_value *v = hearth_graph_value(g, i);
        const char *fault = value_fault(g, v);
        if (fault == NULL && v->kind == HEARTH_VALUE_WEIGHT &&
            __builtin_add_overflow(counts->weight_bytes, v->bytes,
                                   &counts->weight_bytes))
            fault = "makes the weights too large to count";
        if (fault != NULL)
            return hearth_fail(err, HEARTH_EMODEL,
                               "value %" PRIu32 " of the graph block %s" FIX, i,
                               fault);
        counts->inputs += v->kind == HEARTH_VALUE_INPUT;
        counts->activations += v->kind == HEARTH_VALUE_ACTIVATION;
    }
    if (counts->weight_bytes != g->weight_bytes)
        return hearth_fail(err, HEARTH_EMODEL,
                           "weights of the graph block have %" PRIu64
                           " bytes, its head says %" PRIu64 FIX,
                           counts->weight_bytes, g->weight_bytes);
    return HEARTH_OK;
}

static const char *attrs_fault(const struct hearth_graph *g,
                               const struct hearth_graph_node *n)
{
    if (n->first_attr > g->attr_count ||
        n->attr_count > g->attr_count - n->first_attr)
        return "has attributes outside of the block";
    const struct hearth_graph_attr *a = hearth_graph_at(g, g->attrs);
    uint8_t seen[HEARTH_ATTR_KEY_COUNT] = {0};
    a += n->first_attr;
    for (uint32_t i = 0; i < n->attr_count; i++) {
        enum hearth_attr_type type = hearth__ops_attr_type(a[i].key);
        if (type == HEARTH_ATTR_NONE || a[i].type != type)
            return "has an attribute of an unknown key or type";
        if (seen[a[i].key]++)
            return "has an attribute twice";
        if (type == HEARTH_ATTR_STRING
                ? a[i].count != 1 || a[i].offset >= g->string_bytes
                : !fits(a[i].offset, a[i].count,
                        type == HEARTH_ATTR_BLOCK ? 1 : 8, g->data_bytes))
            return "has an attribute outside of the block";
    }
    return NULL;
}

static const char *inputs_fault(const struct hearth_graph *g, uint32_t number,
                                const struct hearth_op_row *row)
{
    const struct hearth_graph_node *n = hearth_graph_node(g, number);
    /* An operator of any number of inputs has no optional ones. */
    uint32_t needed = row->max_inputs == 255 ? n->input_count : row->min_inputs;
    for (uint32_t k = 0; k < n->input_count; k++) {
        uint32_t i = hearth_graph_input(g, n, k);
        if (i == HEARTH_NO_VALUE) {
            if (k < needed)
                return "lacks an input that it needs";
            continue;
        }
        if (i >= g->value_count)
            return "has an input that does not exist";
        const struct hearth_graph_value *v = hearth_graph_value(g, i);
        if (v->kind == HEARTH_VALUE_NONE)
            return "has an input that nothing makes";
        if (v->kind == HEARTH_VALUE_ACTIVATION && v->producer >= number)
            return "comes before a node that it needs";
    }
    return NULL;
}

static const char *outputs_fault(const struct hearth_graph *g, uint32_t number,
                                 uint64_t *made)
{
    const struct hearth_graph_node *n = hearth_graph_node(g, number);
    for (uint32_t k = 0; k < n->output_count; k++) {
        uint32_t o = hearth_graph_output(g, n, k);
        if (o == HEARTH_NO_VALUE) {
            if (k == 0)
                return "has no first output";
            continue;
        }
        if (o >= g->value_count)
            return "has an output that does not exist";
        const struct hearth_graph_value *v = hearth_graph_value(g, o);
        if (v->kind != HEARTH_VALUE_ACTIVATION || v->producer != number)
            return "has an output that it does not make";
        /* At most max_outputs of them: a few. */
        for (uint32_t j = 0; j < k; j++)
            if (hearth_graph_output(g, n, j) == o)
                return "has an output twice";
        ++*made;
    }
    return NULL;
}

/* Do a block and its node suit each other? It has <inputs>, and outputs for the
 * node's behind <before> of its own. */
static bool block_suits(const struct hearth_graph *g,
                        const struct hearth_graph_node *n, enum hearth_attr key,
                        uint64_t inputs, uint64_t before)
{
    const struct hearth_graph *b = hearth_attr_block(g, n, key);
    return b != NULL && b->input_count == inputs &&
           b->output_count >= before + n->output_count;
}

/* Numbers of a node with blocks, which were checked themselves. */
static const char *control_fault(const struct hearth_graph *g,
                                 const struct hearth_graph_node *n)
{
    static const char *const fault =
        "does not suit its block in inputs or outputs";
    int64_t states = hearth_attr_int(g, n, HEARTH_ATTR_STATES, 0);
    int64_t scans = hearth_attr_int(g, n, HEARTH_ATTR_SCANS, 1);
    int64_t inputs = n->input_count, before = n->op == HEARTH_OP_LOOP;
    if (n->op == HEARTH_OP_IF)
        return block_suits(g, n, HEARTH_ATTR_THEN, n->input_count - 1, 0) &&
                       block_suits(g, n, HEARTH_ATTR_ELSE, n->input_count - 1,
                                   0)
                   ? NULL
                   : fault;
    if (!block_suits(g, n, HEARTH_ATTR_BODY, n->input_count,
                     (uint64_t)before) ||
        states < 0 || scans < 1 || states > inputs)
        return fault;
    inputs -= n->op == HEARTH_OP_LOOP ? 2 : scans;
    const struct hearth_graph *body = hearth_attr_block(g, n, HEARTH_ATTR_BODY);
    return scans > n->input_count || states > inputs ||
                   states + before > body->output_count
               ? fault
               : NULL;
}

/* The blocks of a node, as deep as they go. */
static int check_blocks(const struct hearth_graph *g,
                        const struct hearth_graph_node *n, int depth,
                        struct hearth_error *err)
{
    const struct hearth_graph_attr *a = hearth_graph_at(g, g->attrs);
    a += n->first_attr;
    for (uint32_t i = 0; i < n->attr_count; i++) {
        if (a[i].type != HEARTH_ATTR_BLOCK)
            continue;
        if (depth == HEARTH_BLOCKS_DEEP)
            return hearth_fail(err, HEARTH_EMODEL,
                               "blocks are nested deeper than %d" FIX,
                               HEARTH_BLOCKS_DEEP);
        const struct hearth_graph *b =
            hearth_graph_at(g, g->data + a[i].offset);
        int rc = check_block(b, a[i].count, depth + 1, err);
        for (uint32_t v = 0; rc == HEARTH_OK && v < b->value_count; v++)
            if (hearth_graph_value(b, v)->kind == HEARTH_VALUE_WEIGHT)
                rc = hearth_fail(err, HEARTH_EMODEL, "a block has weights" FIX);
        if (rc != HEARTH_OK)
            return rc;
    }
    return HEARTH_OK;
}

static const char *node_fault(const struct hearth_graph *g, uint32_t number,
                              uint64_t *made)
{
    const struct hearth_graph_node *n = hearth_graph_node(g, number);
    const struct hearth_op_row *row = hearth_op_row(n->op);
    if (row == NULL || n->reserved != 0)
        return "has an unknown operator";
    if (n->name >= g->string_bytes)
        return "has no name";
    if (n->input_count < row->min_inputs ||
        (row->max_inputs != 255 && n->input_count > row->max_inputs) ||
        n->output_count == 0 || n->output_count > row->max_outputs)
        return "has too few or too many inputs or outputs";
    uint64_t end = (uint64_t)n->first_index + n->input_count + n->output_count;
    if (end > g->index_count)
        return "has inputs or outputs outside of the block";
    const char *fault = attrs_fault(g, n);
    if (fault == NULL)
        fault = inputs_fault(g, number, row);
    if (fault == NULL)
        fault = outputs_fault(g, number, made);
    return fault;
}

static int check_nodes(const struct hearth_graph *g, uint64_t activations,
                       int depth, struct hearth_error *err)
{
    uint64_t made = 0;
    for (uint32_t i = 0; i < g->node_count; i++) {
        const char *fault = node_fault(g, i, &made);
        const struct hearth_graph_node *n = hearth_graph_node(g, i);
        if (fault == NULL) {
            int rc = check_blocks(g, n, depth, err);
            if (rc != HEARTH_OK)
                return rc;
        }
        if (fault == NULL && hearth_op_has_blocks(n->op))
            fault = control_fault(g, n);
        if (fault != NULL)
            return hearth_fail(err, HEARTH_EMODEL,
                               "node %" PRIu32
                               " (%s) of the graph block %s" FIX,
                               i, hearth_op_name(n->op), fault);
    }
    if (made != activations)
        return hearth_fail(err, HEARTH_EMODEL,
                           "the graph block has %" PRIu64
                           " activations and makes %" PRIu64 FIX,
                           activations, made);
    return HEARTH_OK;
}

static int check_ends(const struct hearth_graph *g, uint64_t inputs,
                      struct hearth_error *err)
{
    const uint32_t *in = hearth_graph_inputs(g);
    const uint32_t *out = hearth_graph_outputs(g);
    /* Strictly increasing would be simpler, but the order is the model's. A
     * model has few inputs; a hostile one may not make this quadratic. */
    if (g->input_count != inputs || g->input_count > 4096)
        return hearth_fail(err, HEARTH_EMODEL,
                           "the graph block lists %" PRIu32
                           " inputs and has %" PRIu64 FIX,
                           g->input_count, inputs);
    for (uint32_t i = 0; i < g->input_count; i++) {
        bool ok = in[i] < g->value_count &&
                  hearth_graph_value(g, in[i])->kind == HEARTH_VALUE_INPUT;
        for (uint32_t j = 0; ok && j < i; j++)
            ok = in[j] != in[i];
        if (!ok)
            return hearth_fail(err, HEARTH_EMODEL,
                               "input %" PRIu32
                               " of the graph block is none, or listed "
                               "twice" FIX,
                               i);
    }
    for (uint32_t i = 0; i < g->output_count; i++)
        if (out[i] >= g->value_count ||
            hearth_graph_value(g, out[i])->kind == HEARTH_VALUE_NONE)
            return hearth_fail(
                err, HEARTH_EMODEL,
                "output %" PRIu32 " of the graph block does not exist" FIX, i);
    return HEARTH_OK;
}

static int check_block(const void *block, uint64_t bytes, int depth,
                       struct hearth_error *err)
{
    const struct hearth_graph *g = block;
    struct counts counts = {0};
    int rc = check_header(block, bytes, err);
    if (rc == HEARTH_OK)
        rc = check_sections(g, err);
    if (rc == HEARTH_OK)
        rc = check_values(g, &counts, err);
    if (rc == HEARTH_OK)
        rc = check_nodes(g, counts.activations, depth, err);
    if (rc == HEARTH_OK)
        rc = check_ends(g, counts.inputs, err);
    return rc;
}

int hearth_graph_check(const void *block, uint64_t bytes,
                       struct hearth_error *err)
{
    return check_block(block, bytes, 0, err);
}
