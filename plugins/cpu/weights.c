/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weights.c: what of a model's weights is kept, and how. A convolution's are
 * kept as oneDNN wants them for the nominal shapes, and only so; everything
 * else is kept as it is. The same list serves the footprint and the load, so
 * that one predicts the other to the byte.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gemm.h"
#include "patches.h"
#include "winograd.h"

static const struct hearth_graph_value *value_of(const struct hearth_graph *g,
                                                 uint32_t v)
{
    return v == HEARTH_NO_VALUE ? NULL : hearth_graph_value(g, v);
}

static bool window_of_node(const struct hearth_graph *g,
                           const struct hearth_spec *spec, uint32_t n,
                           struct hearth_window *window)
{
    const struct hearth_graph_node *node = hearth_graph_node(g, n);
    const struct hearth_value_info *in[4] = {NULL};
    struct hearth_value_info out = {0};
    for (uint32_t k = 0; k < node->input_count && k < 4; k++) {
        uint32_t v = hearth_graph_input(g, node, k);
        in[k] = v == HEARTH_NO_VALUE ? NULL : &spec->values[v];
    }
    const struct hearth_op_call call = {.graph = g,
                                        .node = node,
                                        .input_count = node->input_count,
                                        .output_count = 1,
                                        .in = in,
                                        .out = &out};
    return hearth_op_window(&call, window, NULL) == HEARTH_OK;
}

bool cpu_fits_ints(const struct hearth_window *w, int64_t in_count,
                   int64_t out_count)
{
    const int64_t most = INT32_MAX / (int64_t)sizeof(float);
    for (int i = 0; i < w->rank; i++) {
        int64_t extent;
        if (__builtin_mul_overflow(w->kernel[i], w->dilation[i], &extent) ||
            extent > most || w->stride[i] > most || w->in[i] > most ||
            w->pad_begin[i] > most - w->in[i] ||
            w->pad_end[i] > most - w->in[i])
            return false;
    }
    return in_count <= most && out_count <= most;
}

/* Blocks of channels, where a group's channels fill them. */
static bool can_block(const struct cpu_conv *c)
{
    int64_t in = c->in_channels / c->groups, out = c->out_channels / c->groups;
    return c->rank == 2 && (c->groups == 1 || (in == 1 && out == 1) ||
                            (in % c->block == 0 && out % c->block == 0));
}

/* The fewest groups whose channels fill blocks together; 1: none do. */
static int64_t groups_to_merge(const struct cpu_conv *c)
{
    int64_t in = c->in_channels / c->groups, out = c->out_channels / c->groups;
    if (c->rank != 2 || c->groups == 1 || (in == 1 && out == 1))
        return 1;
    for (int64_t n = 1; n <= 4; n *= 2)
        if (in * n % c->block == 0 && out * n % c->block == 0 &&
            c->groups % n == 0)
            return n;
    return 1;
}

bool cpu_conv_of_node(const hearth_dev_t *dev, const struct hearth_graph *g,
                      const struct hearth_spec *spec, uint32_t n,
                      struct cpu_conv *c)
{
    const struct hearth_graph_node *node = hearth_graph_node(g, n);
    uint32_t x = hearth_graph_input(g, node, 0);
    uint32_t w = hearth_graph_input(g, node, 1);
    uint32_t b = hearth_graph_input(g, node, 2);
    uint32_t z = hearth_graph_input(g, node, 3);
    const struct hearth_value_info *in = &spec->values[x];
    const struct hearth_value_info *weights = &spec->values[w];
    memset(c, 0, sizeof *c);
    if (node->op != HEARTH_OP_CONV || in->dtype != HEARTH_F32 ||
        weights->dtype != HEARTH_F32 || in->shape.rank < 3 ||
        in->shape.rank > 5 || value_of(g, w)->kind != HEARTH_VALUE_WEIGHT ||
        !window_of_node(g, spec, n, &c->window))
        return false;
    c->rank = in->shape.rank - 2;
    c->batch = in->shape.dims[0];
    c->in_channels = in->shape.dims[1];
    c->out_channels = weights->shape.dims[0];
    c->groups = hearth_attr_int(g, node, HEARTH_ATTR_GROUP, 1);
    c->bias = b != HEARTH_NO_VALUE;
    c->sum = z != HEARTH_NO_VALUE;
    c->act = (enum hearth_activation)hearth_attr_int(
        g, node, HEARTH_ATTR_ACTIVATION, HEARTH_ACT_NONE);
    c->alpha = (float)hearth_attr_float(g, node, HEARTH_ATTR_ALPHA, -INFINITY);
    c->beta = (float)hearth_attr_float(g, node, HEARTH_ATTR_BETA, INFINITY);
    c->block = dev->block;
    c->merged = groups_to_merge(c);
    c->groups /= c->merged;
    /* Nothing to compute is left to the reference, which does just that. */
    for (int i = 0; i < c->rank; i++)
        if (c->window.in[i] <= 0 || c->window.out[i] <= 0)
            return false;
    int64_t in_count, out_count;
    struct hearth_shape out = in->shape;
    out.dims[1] = c->out_channels;
    for (int i = 0; i < c->rank; i++)
        out.dims[i + 2] = c->window.out[i];
    if (!hearth_shape_count(&in->shape, &in_count) || in_count <= 0 ||
        !hearth_shape_count(&out, &out_count) || out_count <= 0 ||
        !cpu_fits_ints(&c->window, in_count, out_count))
        return false;
    c->dst_blocked = can_block(c);
    c->src_blocked = c->dst_blocked && c->in_channels >= c->block;
    return true;
}

/* ---- The list ---- */

static struct cpu_pack *add(struct cpu_packs *packs, uint32_t value,
                            uint32_t node)
{
    if (packs->count == packs->capacity) {
        uint32_t capacity = packs->capacity == 0 ? 32 : packs->capacity * 2;
        struct cpu_pack *items =
            cpu_realloc(packs->items, capacity, sizeof *items);
        if (items == NULL)
            return NULL;
        packs->items = items;
        packs->capacity = capacity;
    }
    struct cpu_pack *pack = &packs->items[packs->count++];
    memset(pack, 0, sizeof *pack);
    pack->value = value;
    pack->node = node;
    return pack;
}

static bool place(struct cpu_packs *packs, struct cpu_pack *pack)
{
    pack->offset = packs->bytes;
    return !__builtin_add_overflow(packs->bytes, pack->bytes, &packs->bytes) &&
           !__builtin_add_overflow(packs->bytes, CPU_ALIGNMENT - 1,
                                   &packs->bytes) &&
           ((packs->bytes &= ~(uint64_t)(CPU_ALIGNMENT - 1)), true);
}

static void put_patches(struct cpu_pack *pack)
{
    cpu_layout_free(pack->layout);
    pack->layout = NULL;
    pack->kind = CPU_PACK_PATCHES;
    pack->k = cpu_patches_depth(&pack->conv);
    pack->n = pack->conv.out_channels;
    pack->k_step = 1;
    pack->n_step = pack->k;
}

/* Blocked if oneDNN has a kernel for that, else ours, else plain if it has one
 * for that, else whatever its reference does. */
static int choose_layout(hearth_dev_t *dev, struct cpu_pack *pack,
                         struct hearth_error *err)
{
    bool slow = false;
    int rc = cpu_conv_layout(dev, &pack->conv, &pack->layout, &slow, err);
    if ((rc == HEARTH_OK && !slow) || rc == HEARTH_ENOMEM ||
        !pack->conv.dst_blocked)
        return rc;
    if (cpu_patches_can(&pack->conv)) {
        put_patches(pack);
        return HEARTH_OK;
    }
    struct cpu_conv plain = pack->conv;
    cpu_layout_t *layout = NULL;
    bool plain_slow = false;
    plain.src_blocked = plain.dst_blocked = false;
    int plain_rc = cpu_conv_layout(dev, &plain, &layout, &plain_slow, NULL);
    if (plain_rc == HEARTH_OK && (rc != HEARTH_OK || !plain_slow)) {
        cpu_layout_free(pack->layout);
        pack->layout = layout;
        pack->conv = plain;
        return HEARTH_OK;
    }
    cpu_layout_free(layout);
    return rc;
}

/* Of Winograd's tiles, or 0. */
static int choose_size(hearth_dev_t *dev, const struct cpu_conv *conv,
                       uint32_t node, struct cpu_choices *choices)
{
    if (!dev->winograd)
        return 0;
    if (choices != NULL)
        return cpu_winograd_can(conv) ? cpu_lowered_choice(choices, node) : 0;
    return dev->tune ? cpu_tune(dev, conv) : cpu_winograd_choose(conv);
}

static int add_conv(hearth_dev_t *dev, const struct hearth_graph *g,
                    uint32_t node, const struct cpu_conv *conv,
                    struct cpu_choices *choices, struct cpu_packs *packs,
                    struct hearth_error *err)
{
    uint32_t w = hearth_graph_input(g, hearth_graph_node(g, node), 1);
    struct cpu_pack *pack = add(packs, w, node);
    if (pack == NULL)
        return cpu_no_memory(err);
    pack->conv = *conv;
    pack->size = choose_size(dev, conv, node, choices);
    if (pack->size != 0) {
        pack->kind = CPU_PACK_WINOGRAD;
        pack->bytes = cpu_winograd_bytes(conv, pack->size);
        return HEARTH_OK;
    }
    pack->kind = CPU_PACK_CONV;
    int rc = choose_layout(dev, pack, err);
    if (rc != HEARTH_OK) {
        hearth_fail_prefix(
            err, "node %" PRIu32 " '%.60s' (Conv)", node,
            hearth_graph_string(g, hearth_graph_node(g, node)->name));
        return rc;
    }
    pack->bytes = pack->kind == CPU_PACK_PATCHES
                      ? cpu_gemm_packed_bytes(pack->k, pack->n, dev->block)
                      : cpu_layout_bytes(pack->layout);
    return HEARTH_OK;
}

/* Gemm's other operands are such that a product and a row of biases is all. */
static bool is_simple_gemm(const struct hearth_graph *g,
                           const struct hearth_spec *spec,
                           const struct hearth_graph_node *node)
{
    uint32_t c = hearth_graph_input(g, node, 2);
    bool t = hearth_attr_int(g, node, HEARTH_ATTR_TRANS_B, 0) != 0;
    if (hearth_attr_int(g, node, HEARTH_ATTR_TRANS_A, 0) != 0 ||
        hearth_attr_float(g, node, HEARTH_ATTR_GEMM_ALPHA, 1) != 1)
        return false;
    if (c == HEARTH_NO_VALUE)
        return true;
    const struct hearth_shape *s = &spec->values[c].shape;
    int64_t count;
    int64_t n =
        spec->values[hearth_graph_input(g, node, 1)].shape.dims[t ? 0 : 1];
    return hearth_attr_float(g, node, HEARTH_ATTR_GEMM_BETA, 1) == 1 &&
           hearth_shape_count(s, &count) && count == n && s->rank >= 1 &&
           s->dims[s->rank - 1] == n;
}

/* A thin matrix would be mostly padding in panels, and stays as it is. */
static bool is_worth_panels(int64_t k, int64_t n, int block)
{
    uint64_t plain = (uint64_t)k * (uint64_t)n * sizeof(float);
    return cpu_gemm_packed_bytes(k, n, block) <= plain + plain / 4;
}

/* The right operand of a Gemm or MatMul: one matrix of f32 for all rows. */
static bool is_matrix(const hearth_dev_t *dev, const struct hearth_graph *g,
                      const struct hearth_spec *spec, uint32_t n)
{
    const struct hearth_graph_node *node = hearth_graph_node(g, n);
    if ((node->op != HEARTH_OP_GEMM && node->op != HEARTH_OP_MATMUL) ||
        !cpu_gemm_can(dev->block))
        return false;
    uint32_t w = hearth_graph_input(g, node, 1);
    const struct hearth_value_info *a =
        &spec->values[hearth_graph_input(g, node, 0)];
    const struct hearth_value_info *b = &spec->values[w];
    bool t = hearth_attr_int(g, node, HEARTH_ATTR_TRANS_B, 0) != 0;
    return value_of(g, w)->kind == HEARTH_VALUE_WEIGHT && b->shape.rank == 2 &&
           a->shape.rank >= 2 && b->dtype == HEARTH_F32 &&
           a->dtype == HEARTH_F32 && b->shape.dims[0] > 0 &&
           b->shape.dims[1] > 0 && b->data == NULL &&
           is_worth_panels(b->shape.dims[t], b->shape.dims[!t], dev->block) &&
           (node->op != HEARTH_OP_GEMM || is_simple_gemm(g, spec, node));
}

static int add_matrix(hearth_dev_t *dev, const struct hearth_graph *g,
                      const struct hearth_spec *spec, uint32_t n,
                      struct cpu_packs *packs, struct hearth_error *err)
{
    const struct hearth_graph_node *node = hearth_graph_node(g, n);
    uint32_t w = hearth_graph_input(g, node, 1);
    const int64_t *dims = spec->values[w].shape.dims;
    bool t = hearth_attr_int(g, node, HEARTH_ATTR_TRANS_B, 0) != 0;
    struct cpu_pack *pack = add(packs, w, n);
    if (pack == NULL)
        return cpu_no_memory(err);
    pack->kind = CPU_PACK_GEMM;
    pack->k = dims[t];
    pack->n = dims[!t];
    pack->k_step = t ? 1 : dims[1];
    pack->n_step = t ? dims[1] : 1;
    pack->bytes = cpu_gemm_packed_bytes(pack->k, pack->n, dev->block);
    return HEARTH_OK;
}

/* What a load needs beside the place of the packed weight: its plain bytes, and
 * for oneDNN's change of layout a scratchpad, which is less than one of the two
 * ends; merged groups are a copy, too. */
static uint64_t staging_of(const struct cpu_pack *pack)
{
    return pack->kind == CPU_PACK_PLAIN  ? 0
           : pack->conv.merged > 1       ? 3 * pack->bytes
           : pack->kind == CPU_PACK_CONV ? 2 * pack->bytes
                                         : pack->bytes;
}

int cpu_packs_create(hearth_dev_t *dev, const struct hearth_graph *g,
                     const struct hearth_spec *spec,
                     struct cpu_choices *choices, struct cpu_packs *packs,
                     struct hearth_error *err)
{
    memset(packs, 0, sizeof *packs);
    packs->interpreted = spec == NULL;
    uint8_t *plain = cpu_calloc((size_t)g->value_count + 1, 1);
    int rc = plain != NULL ? HEARTH_OK : cpu_no_memory(err);
    for (uint32_t n = 0; rc == HEARTH_OK && n < g->node_count; n++) {
        const struct hearth_graph_node *node = hearth_graph_node(g, n);
        struct cpu_conv conv;
        bool packed =
            !packs->interpreted && cpu_conv_of_node(dev, g, spec, n, &conv);
        if (packed)
            rc = add_conv(dev, g, n, &conv, choices, packs, err);
        else if (!packs->interpreted && (packed = is_matrix(dev, g, spec, n)))
            rc = add_matrix(dev, g, spec, n, packs, err);
        for (uint32_t k = 0; k < node->input_count; k++) {
            uint32_t v = hearth_graph_input(g, node, k);
            if (v != HEARTH_NO_VALUE && !(packed && k == 1))
                plain[v] = 1;
        }
    }
    for (uint32_t k = 0; plain != NULL && k < g->output_count; k++)
        plain[hearth_graph_outputs(g)[k]] = 1;
    for (uint32_t v = 0; rc == HEARTH_OK && v < g->value_count; v++) {
        if (!plain[v] || hearth_graph_value(g, v)->kind != HEARTH_VALUE_WEIGHT)
            continue;
        struct cpu_pack *pack = add(packs, v, HEARTH_NO_VALUE);
        if (pack == NULL)
            rc = cpu_no_memory(err);
        else
            pack->bytes = hearth_graph_value(g, v)->bytes;
    }
    for (uint32_t i = 0; i < packs->count; i++)
        if (staging_of(&packs->items[i]) > packs->staging)
            packs->staging = staging_of(&packs->items[i]);
    for (uint32_t i = 0; rc == HEARTH_OK && i < packs->count; i++)
        if (!place(packs, &packs->items[i]))
            rc = hearth_fail(err, HEARTH_ENOSPACE,
                             "cpu: the weights fit nowhere; use a smaller "
                             "model");
    free(plain);
    if (rc != HEARTH_OK)
        cpu_packs_destroy(packs);
    return rc;
}

void cpu_packs_destroy(struct cpu_packs *packs)
{
    for (uint32_t i = 0; i < packs->count; i++)
        cpu_layout_free(packs->items[i].layout);
    free(packs->items);
    memset(packs, 0, sizeof *packs);
}

/* By node, then by value: both lists were added in ascending order. */
const struct cpu_pack *cpu_packs_find(const struct cpu_packs *packs,
                                      uint32_t value, uint32_t node)
{
    uint32_t low = 0, high = packs->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct cpu_pack *p = &packs->items[middle];
        if (p->node < node || (p->node == node && p->value < value))
            low = middle + 1;
        else
            high = middle;
    }
    if (low == packs->count || packs->items[low].node != node ||
        packs->items[low].value != value)
        return NULL;
    return &packs->items[low];
}
