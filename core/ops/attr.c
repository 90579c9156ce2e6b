/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attr.c: a node's attributes: names, the type that each key has, accessors for
 * a checked block.
 */
#include "ops/ops_impl.h"

#define INTS HEARTH_ATTR_INTS
#define FLOATS HEARTH_ATTR_FLOATS
#define STRING HEARTH_ATTR_STRING

static const struct {
    const char *name;
    enum hearth_attr_type type;
} keys[HEARTH_ATTR_KEY_COUNT] = {
    [HEARTH_ATTR_KEY_NONE] = {"?", HEARTH_ATTR_NONE},
    [HEARTH_ATTR_KERNEL_SHAPE] = {"kernel_shape", INTS},
    [HEARTH_ATTR_STRIDES] = {"strides", INTS},
    [HEARTH_ATTR_PADS] = {"pads", INTS},
    [HEARTH_ATTR_DILATIONS] = {"dilations", INTS},
    [HEARTH_ATTR_GROUP] = {"group", INTS},
    [HEARTH_ATTR_AUTO_PAD] = {"auto_pad", STRING},
    [HEARTH_ATTR_CEIL_MODE] = {"ceil_mode", INTS},
    [HEARTH_ATTR_COUNT_INCLUDE_PAD] = {"count_include_pad", INTS},
    [HEARTH_ATTR_STORAGE_ORDER] = {"storage_order", INTS},
    [HEARTH_ATTR_EPSILON] = {"epsilon", FLOATS},
    [HEARTH_ATTR_AXIS] = {"axis", INTS},
    [HEARTH_ATTR_PERM] = {"perm", INTS},
    [HEARTH_ATTR_GEMM_ALPHA] = {"alpha", FLOATS},
    [HEARTH_ATTR_GEMM_BETA] = {"beta", FLOATS},
    [HEARTH_ATTR_TRANS_A] = {"transA", INTS},
    [HEARTH_ATTR_TRANS_B] = {"transB", INTS},
    [HEARTH_ATTR_ALLOW_ZERO] = {"allowzero", INTS},
    [HEARTH_ATTR_START] = {"start", INTS},
    [HEARTH_ATTR_END] = {"end", INTS},
    [HEARTH_ATTR_TO] = {"to", INTS},
    [HEARTH_ATTR_VALUE_DTYPE] = {"value dtype", INTS},
    [HEARTH_ATTR_VALUE_INT] = {"value_int", INTS},
    [HEARTH_ATTR_VALUE_FLOAT] = {"value_float", FLOATS},
    [HEARTH_ATTR_MODE] = {"mode", STRING},
    [HEARTH_ATTR_KEEPDIMS] = {"keepdims", INTS},
    [HEARTH_ATTR_NOOP_WITH_EMPTY_AXES] = {"noop_with_empty_axes", INTS},
    [HEARTH_ATTR_ACTIVATION] = {"activation", INTS},
    [HEARTH_ATTR_ALPHA] = {"activation alpha", FLOATS},
    [HEARTH_ATTR_BETA] = {"activation beta", FLOATS},
};

const char *hearth_attr_name(uint32_t key)
{
    return key < HEARTH_ATTR_KEY_COUNT ? keys[key].name : "?";
}

enum hearth_attr_type hearth__ops_attr_type(uint32_t key)
{
    return key < HEARTH_ATTR_KEY_COUNT ? keys[key].type : HEARTH_ATTR_NONE;
}

static const struct hearth_graph_attr *find(const struct hearth_graph *g,
                                            const struct hearth_graph_node *n,
                                            enum hearth_attr key,
                                            enum hearth_attr_type type)
{
    const struct hearth_graph_attr *a = hearth_graph_at(g, g->attrs);
    a += n->first_attr;
    for (uint32_t i = 0; i < n->attr_count; i++)
        if (a[i].key == key)
            return a[i].type == type ? &a[i] : NULL;
    return NULL;
}

int64_t hearth_attr_int(const struct hearth_graph *g,
                        const struct hearth_graph_node *node,
                        enum hearth_attr key, int64_t fallback)
{
    uint32_t count;
    const int64_t *v = hearth_attr_ints(g, node, key, &count);
    return count > 0 ? v[0] : fallback;
}

double hearth_attr_float(const struct hearth_graph *g,
                         const struct hearth_graph_node *node,
                         enum hearth_attr key, double fallback)
{
    const struct hearth_graph_attr *a = find(g, node, key, FLOATS);
    if (a == NULL || a->count == 0)
        return fallback;
    return *(const double *)hearth_graph_at(g, g->data + a->offset);
}

const int64_t *hearth_attr_ints(const struct hearth_graph *g,
                                const struct hearth_graph_node *node,
                                enum hearth_attr key, uint32_t *count)
{
    const struct hearth_graph_attr *a = find(g, node, key, INTS);
    *count = a == NULL ? 0 : a->count;
    return a == NULL ? NULL : hearth_graph_at(g, g->data + a->offset);
}

const char *hearth_attr_string(const struct hearth_graph *g,
                               const struct hearth_graph_node *node,
                               enum hearth_attr key, const char *fallback)
{
    const struct hearth_graph_attr *a = find(g, node, key, STRING);
    return a == NULL ? fallback : hearth_graph_string(g, (uint32_t)a->offset);
}
