/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work.c: is a plan so small that its steps are not worth a second thread? What
 * a thread takes over is handed to it and waited for at each step, some
 * microseconds even where it is awake (core/device/device.c): a model of few
 * multiplications a step runs faster on one thread alone.
 */
#include "cpu.h"

/* Multiplications of a step, on the average: about two microseconds. */
#define ALONE_MOST 100000
/* What an element of another operator counts for. */
#define ELEMENT 8
#define MANY (INT64_C(1) << 40)

static int64_t elements(const struct hearth_spec *spec, uint32_t value)
{
    int64_t count;
    if (value == HEARTH_NO_VALUE)
        return 0;
    return hearth_shape_count(&spec->values[value].shape, &count) &&
                   count < MANY
               ? count
               : MANY;
}

/* Numbers that go into each result. */
static int64_t depth_of(const struct hearth_graph *g,
                        const struct hearth_graph_node *node,
                        const struct hearth_shape *a,
                        const struct hearth_shape *b)
{
    int64_t depth = 1;
    if (node->op == HEARTH_OP_CONV) {
        for (int i = 1; i < b->rank; i++)
            depth *= b->dims[i];
        return depth;
    }
    bool t = node->op == HEARTH_OP_GEMM &&
             hearth_attr_int(g, node, HEARTH_ATTR_TRANS_A, 0) != 0;
    return a->rank < 1 ? 1 : a->dims[t ? 0 : a->rank - 1];
}

static int64_t work_of(const struct hearth_graph *g,
                       const struct hearth_spec *spec, uint32_t n)
{
    const struct hearth_graph_node *node = hearth_graph_node(g, n);
    int64_t work = 0, product;
    switch (node->op) {
    case HEARTH_OP_CONV:
    case HEARTH_OP_GEMM:
    case HEARTH_OP_MATMUL:
        product = depth_of(g, node,
                           &spec->values[hearth_graph_input(g, node, 0)].shape,
                           &spec->values[hearth_graph_input(g, node, 1)].shape);
        return __builtin_mul_overflow(
                   elements(spec, hearth_graph_output(g, node, 0)), product,
                   &work) ||
                       work > MANY
                   ? MANY
                   : work;
    case HEARTH_OP_MAX_POOL:
    case HEARTH_OP_AVERAGE_POOL:
        return 2 * ELEMENT * elements(spec, hearth_graph_input(g, node, 0));
    default:
        if (!hearth_op_cheap(node->op))
            return MANY;
        /* A table that is gathered from is not read through. */
        for (uint32_t k = 0; k < node->input_count; k++) {
            uint32_t v = hearth_graph_input(g, node, k);
            if (v != HEARTH_NO_VALUE &&
                hearth_graph_value(g, v)->kind != HEARTH_VALUE_WEIGHT)
                work += ELEMENT * elements(spec, v);
        }
        return work + ELEMENT * elements(spec, hearth_graph_output(g, node, 0));
    }
}

bool cpu_is_small(const struct hearth_graph *g, const struct hearth_spec *spec)
{
    int64_t left = 0;
    for (uint32_t n = 0; n < g->node_count; n++)
        left += spec->node_done[n] ? 0 : ALONE_MOST;
    for (uint32_t n = 0; n < g->node_count && left >= 0; n++)
        if (!spec->node_done[n])
            left -= work_of(g, spec, n);
    return left >= 0;
}
