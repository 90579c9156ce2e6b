/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block.c: writes the working graph as the flat block of hearth_graph.h.
 *
 * Values that nothing refers to are left out. Small integers and single numbers
 * become CONST, inside the block: shape arithmetic and Clip's bounds must be at
 * hand without the weights. Every other constant stays a WEIGHT where it lies.
 */
#include <inttypes.h>
#include <string.h>

#include "model/model_priv.h"

#define CONST_BYTES 4096u /* of integers; larger ones are weights */

struct writer {
    struct hearth__ir *ir;
    struct hearth_graph g; /* counts, then offsets */
    char *block;
    uint32_t *number;       /* [ir values] in the block, or NO_VALUE */
    uint64_t strings, data; /* used so far */
    uint32_t indexes, attrs;
};

bool hearth__block_holds(const struct hearth__ir_value *v)
{
    switch (v->info.dtype) {
    case HEARTH_F32:
    case HEARTH_F64:
    case HEARTH_F16:
    case HEARTH_BF16:
        return v->segment == HEARTH__SEGMENT_ARENA ||
               v->bytes == hearth_dtype_bytes(v->info.dtype);
    default:
        return v->segment == HEARTH__SEGMENT_ARENA || v->bytes <= CONST_BYTES;
    }
}

static uint64_t round8(uint64_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

/* ---- Counting ---- */

static void count_value(struct writer *w, uint32_t value)
{
    if (value == HEARTH_NO_VALUE || w->number[value] != HEARTH_NO_VALUE)
        return;
    const struct hearth__ir_value *v = hearth__ir_value(w->ir, value);
    w->number[value] = w->g.value_count++;
    w->g.string_bytes += v->name.bytes + 1;
    if (v->kind == HEARTH_VALUE_WEIGHT && hearth__block_holds(v))
        w->g.data_bytes += round8(v->bytes);
}

static void count_node(struct writer *w, const struct hearth__ir_node *n)
{
    w->g.node_count++;
    w->g.index_count += n->input_count + n->output_count;
    w->g.attr_count += n->attr_count;
    w->g.string_bytes += n->name.bytes + 1;
    for (uint32_t k = 0; k < n->input_count; k++)
        count_value(w, n->inputs[k]);
    for (uint32_t k = 0; k < n->output_count; k++)
        count_value(w, n->outputs[k]);
    for (uint32_t i = 0; i < n->attr_count; i++) {
        if (n->attrs[i].type == HEARTH_ATTR_STRING)
            w->g.string_bytes += n->attrs[i].count + UINT64_C(1);
        else if (n->attrs[i].type == HEARTH_ATTR_BLOCK)
            w->g.data_bytes += round8(n->attrs[i].count);
        else
            w->g.data_bytes += (uint64_t)n->attrs[i].count * 8;
    }
}

static void count(struct writer *w)
{
    struct hearth__ir *ir = w->ir;
    w->g.string_bytes = 1;
    for (uint32_t i = 0; i < ir->inputs.count; i++)
        count_value(w, ((uint32_t *)ir->inputs.items)[i]);
    for (uint32_t i = 0; i < ir->nodes.count; i++)
        if (hearth__ir_node(ir, i)->op != HEARTH_OP_NONE)
            count_node(w, hearth__ir_node(ir, i));
    for (uint32_t i = 0; i < ir->symbols.count; i++)
        w->g.string_bytes +=
            ((struct hearth__slice *)ir->symbols.items)[i].bytes + 1;
}

/* Places the sections; false when a count does not fit its field. */
static bool place(struct writer *w)
{
    struct hearth_graph *g = &w->g;
    uint64_t at = sizeof *g;
    g->values = at;
    at += g->value_count * (uint64_t)sizeof(struct hearth_graph_value);
    g->nodes = at;
    at += g->node_count * (uint64_t)sizeof(struct hearth_graph_node);
    g->attrs = at;
    at += g->attr_count * (uint64_t)sizeof(struct hearth_graph_attr);
    g->indexes = at;
    at = round8(at + g->index_count * (uint64_t)sizeof(uint32_t));
    g->inputs = at;
    at = round8(at + g->input_count * (uint64_t)sizeof(uint32_t));
    g->outputs = at;
    at = round8(at + g->output_count * (uint64_t)sizeof(uint32_t));
    g->symbols = at;
    at = round8(at + g->symbol_count * (uint64_t)sizeof(uint32_t));
    g->data = at;
    at += g->data_bytes;
    g->strings = at;
    g->bytes = at + g->string_bytes;
    return g->string_bytes < UINT32_MAX;
}

/* ---- Writing ---- */

static uint32_t put_string(struct writer *w, const void *text, uint64_t bytes)
{
    if (bytes == 0)
        return 0;
    uint64_t at = w->strings;
    memcpy(w->block + w->g.strings + at, text, (size_t)bytes);
    w->strings += bytes + 1;
    return (uint32_t)at;
}

static uint64_t put_data(struct writer *w, const void *data, uint64_t bytes)
{
    uint64_t at = w->data;
    if (bytes > 0)
        memcpy(w->block + w->g.data + at, data, (size_t)bytes);
    w->data += round8(bytes);
    return at;
}

static void put_value(struct writer *w, uint32_t value)
{
    const struct hearth__ir_value *v = hearth__ir_value(w->ir, value);
    struct hearth_graph_value *to =
        (struct hearth_graph_value *)(w->block + w->g.values) +
        w->number[value];
    to->name = put_string(w, v->name.at, v->name.bytes);
    to->kind = v->kind;
    to->dtype = (uint8_t)v->info.dtype;
    to->rank = (int8_t)v->info.shape.rank;
    to->producer = HEARTH_NO_VALUE;
    for (int i = 0; i < v->info.shape.rank; i++)
        to->dims[i] = v->info.shape.dims[i];
    if (v->kind != HEARTH_VALUE_WEIGHT)
        return;
    to->bytes = v->bytes;
    if (hearth__block_holds(v)) {
        to->kind = HEARTH_VALUE_CONST;
        to->offset = put_data(w, v->info.data, v->bytes);
        return;
    }
    bool derived = v->segment == HEARTH__SEGMENT_DERIVED;
    to->segment = derived ? w->ir->files->count : v->segment;
    to->offset = v->offset;
    w->g.weight_bytes += v->bytes;
}

static void put_attrs(struct writer *w, const struct hearth__ir_node *n)
{
    struct hearth_graph_attr *to =
        (struct hearth_graph_attr *)(w->block + w->g.attrs) + w->attrs;
    for (uint32_t i = 0; i < n->attr_count; i++) {
        const struct hearth__ir_attr *a = &n->attrs[i];
        bool string = a->type == HEARTH_ATTR_STRING;
        to[i].key = a->key;
        to[i].type = a->type;
        to[i].count = string ? 1 : a->count;
        uint64_t each = a->type == HEARTH_ATTR_BLOCK ? 1 : 8;
        to[i].offset = string ? put_string(w, a->data, a->count)
                              : put_data(w, a->data, a->count * each);
    }
    w->attrs += n->attr_count;
}

static void put_node(struct writer *w, const struct hearth__ir_node *n,
                     uint32_t number)
{
    struct hearth_graph_node *to =
        (struct hearth_graph_node *)(w->block + w->g.nodes) + number;
    struct hearth_graph_value *values =
        (struct hearth_graph_value *)(w->block + w->g.values);
    uint32_t *indexes = (uint32_t *)(w->block + w->g.indexes);
    *to = (struct hearth_graph_node){.op = n->op,
                                     .first_index = w->indexes,
                                     .input_count = n->input_count,
                                     .output_count = n->output_count,
                                     .first_attr = w->attrs,
                                     .attr_count = n->attr_count};
    to->name = put_string(w, n->name.at, n->name.bytes);
    for (uint32_t k = 0; k < n->input_count; k++)
        indexes[w->indexes++] = n->inputs[k] == HEARTH_NO_VALUE
                                    ? HEARTH_NO_VALUE
                                    : w->number[n->inputs[k]];
    for (uint32_t k = 0; k < n->output_count; k++) {
        uint32_t value = n->outputs[k] == HEARTH_NO_VALUE
                             ? HEARTH_NO_VALUE
                             : w->number[n->outputs[k]];
        indexes[w->indexes++] = value;
        if (value != HEARTH_NO_VALUE)
            values[value].producer = number;
    }
    put_attrs(w, n);
}

static void put_all(struct writer *w)
{
    struct hearth__ir *ir = w->ir;
    const struct hearth__slice *symbols = ir->symbols.items;
    uint32_t *inputs = (uint32_t *)(w->block + w->g.inputs);
    uint32_t *outputs = (uint32_t *)(w->block + w->g.outputs);
    uint32_t *names = (uint32_t *)(w->block + w->g.symbols);
    uint32_t number = 0;
    w->strings = 1;
    for (uint32_t i = 0; i < ir->values.count; i++)
        if (w->number[i] != HEARTH_NO_VALUE)
            put_value(w, i);
    for (uint32_t i = 0; i < ir->nodes.count; i++)
        if (hearth__ir_node(ir, i)->op != HEARTH_OP_NONE)
            put_node(w, hearth__ir_node(ir, i), number++);
    for (uint32_t i = 0; i < ir->inputs.count; i++)
        inputs[i] = w->number[((uint32_t *)ir->inputs.items)[i]];
    for (uint32_t i = 0; i < ir->outputs.count; i++)
        outputs[i] = w->number[((uint32_t *)ir->outputs.items)[i]];
    for (uint32_t i = 0; i < ir->symbols.count; i++)
        names[i] = put_string(w, symbols[i].at, symbols[i].bytes);
    memcpy(w->block, &w->g, sizeof w->g);
}

/* Derived weights that passes replaced, or that became CONST, are freed. */
static int drop_derived(struct writer *w)
{
    struct hearth__files *files = w->ir->files;
    uint8_t *used = hearth__ir_alloc(w->ir, files->derived_count + 1, 1);
    if (used == NULL)
        return w->ir->err->status;
    for (uint32_t i = 0; i < w->ir->values.count; i++) {
        const struct hearth__ir_value *v = hearth__ir_value(w->ir, i);
        if (w->number[i] == HEARTH_NO_VALUE || hearth__block_holds(v) ||
            v->kind != HEARTH_VALUE_WEIGHT ||
            v->segment != HEARTH__SEGMENT_DERIVED)
            continue;
        uint32_t low = 0, high = files->derived_count;
        while (high - low > 1) {
            uint32_t mid = low + (high - low) / 2;
            if (files->derived[mid].offset <= v->offset)
                low = mid;
            else
                high = mid;
        }
        used[low] = 1;
    }
    uint32_t kept = 0;
    files->derived_bytes = 0;
    for (uint32_t i = 0; i < files->derived_count; i++) {
        if (!used[i]) {
            hearth_free(files->derived[i].data);
            continue;
        }
        files->derived_bytes += files->derived[i].bytes;
        files->derived[kept++] = files->derived[i];
    }
    files->derived_count = kept;
    return HEARTH_OK;
}

int hearth__block_write(struct hearth__ir *ir, bool batch_axis0,
                        struct hearth_graph **block)
{
    struct writer w = {.ir = ir,
                       .g = {.magic = HEARTH_GRAPH_MAGIC,
                             .version = HEARTH_GRAPH_VERSION,
                             .input_count = ir->inputs.count,
                             .output_count = ir->outputs.count,
                             .symbol_count = ir->symbols.count,
                             .segment_count = ir->files->count + 1,
                             .parameter_count = ir->parameter_count,
                             .opset = ir->head.opset,
                             .batch_axis0 = batch_axis0}};
    w.number = hearth__ir_alloc(ir, ir->values.count, sizeof *w.number);
    if (w.number == NULL)
        return ir->err->status;
    memset(w.number, 0xff, ir->values.count * sizeof *w.number);
    count(&w);
    if (!place(&w))
        return hearth_fail(ir->err, HEARTH_EMODEL,
                           "its names have more than 4 GiB; is the file "
                           "damaged?");
    w.block = hearth_calloc(1, (size_t)w.g.bytes);
    if (w.block == NULL)
        return hearth_fail(ir->err, HEARTH_ENOMEM,
                           "no memory for the graph; try again later");
    put_all(&w);
    /* What a nested graph does not need another one may. */
    int rc = ir->root != NULL ? HEARTH_OK : drop_derived(&w);
    if (rc == HEARTH_OK)
        rc = hearth_graph_check(w.block, w.g.bytes, ir->err);
    if (rc == HEARTH_OK)
        *block = (struct hearth_graph *)w.block;
    else
        hearth_free(w.block);
    return rc;
}
