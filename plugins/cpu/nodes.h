/* SPDX-License-Identifier: Apache-2.0 */
/* nodes.h: between the files that know operators: what they ask of a node, and
 * the steps that one of them adds for another. */
#ifndef HEARTH_PLUGINS_CPU_NODES_H
#define HEARTH_PLUGINS_CPU_NODES_H

#include <math.h>
#include <string.h>

#include "lower.h"

static inline const struct hearth_graph_node *
this_node(const struct lowering *l)
{
    return hearth_graph_node(l->g, l->node);
}

static inline uint32_t input(const struct lowering *l, uint32_t k)
{
    return hearth_graph_input(l->g, this_node(l), k);
}

static inline uint32_t output(const struct lowering *l, uint32_t k)
{
    return hearth_graph_output(l->g, this_node(l), k);
}

static inline const struct hearth_value_info *info(const struct lowering *l,
                                                   uint32_t v)
{
    return v == HEARTH_NO_VALUE ? NULL : &l->plan->spec.values[v];
}

static inline bool is_f32(const struct lowering *l, uint32_t v)
{
    return v == HEARTH_NO_VALUE || info(l, v)->dtype == HEARTH_F32;
}

static inline int64_t count_of(const struct lowering *l, uint32_t v)
{
    int64_t count;
    return v != HEARTH_NO_VALUE &&
                   hearth_shape_count(&info(l, v)->shape, &count)
               ? count
               : -1;
}

/* Elements of the buffer, channels filled up to whole blocks. */
static inline int64_t buffer_count(const struct lowering *l, uint32_t v,
                                   bool blocked)
{
    const struct hearth_shape *s = &info(l, v)->shape;
    int64_t block = l->dev->block;
    if (!blocked)
        return count_of(l, v);
    return s->dims[0] * ((s->dims[1] + block - 1) / block * block) *
           s->dims[2] * s->dims[3];
}

/* No block is filled up with zeros that an operator must keep zero. */
static inline bool blocks_are_full(const struct lowering *l, uint32_t v)
{
    return info(l, v)->shape.rank == 4 &&
           info(l, v)->shape.dims[1] % l->dev->block == 0;
}

static inline void put_act(const struct lowering *l, struct cpu_step *step,
                           int at)
{
    const struct hearth_graph_node *node = this_node(l);
    step->n[at] =
        hearth_attr_int(l->g, node, HEARTH_ATTR_ACTIVATION, HEARTH_ACT_NONE);
    step->f[0] =
        (float)hearth_attr_float(l->g, node, HEARTH_ATTR_ALPHA, -INFINITY);
    step->f[1] =
        (float)hearth_attr_float(l->g, node, HEARTH_ATTR_BETA, INFINITY);
}

/* nodes.c: through the operator's row, on plain rows. */
int cpu__lower_eval(struct lowering *l, struct hearth_error *err);
int cpu__run_eval(const struct cpu_run *run, struct cpu_step *step,
                  struct hearth_error *err);
/* The same places, another way to run: outputs are the step's references, the
 * inputs, plain, those in the plan from first_ref on. */
int cpu__lower_as(struct lowering *l, const struct cpu_step *how,
                  struct hearth_error *err);
/* Input 0 under another shape. */
int cpu__lower_view(struct lowering *l, struct hearth_error *err);
/* elementwise.c: first what chain.c knows the steps by. */
int cpu__run_unary(const struct cpu_run *run, struct cpu_step *step,
                   struct hearth_error *err);
int cpu__run_binary(const struct cpu_run *run, struct cpu_step *step,
                    struct hearth_error *err);
int cpu__lower_unary(struct lowering *l, struct hearth_error *err);
int cpu__lower_binary(struct lowering *l, struct hearth_error *err);
int cpu__lower_batchnorm(struct lowering *l, struct hearth_error *err);
/* concat.c */
int cpu__lower_concat(struct lowering *l, struct hearth_error *err);
/* matmul.c */
int cpu__lower_gemm(struct lowering *l, struct hearth_error *err);
int cpu__lower_matmul(struct lowering *l, struct hearth_error *err);
/* lower_move.c */
int cpu__lower_transpose(struct lowering *l, struct hearth_error *err);
int cpu__lower_expand(struct lowering *l, struct hearth_error *err);
int cpu__lower_tile(struct lowering *l, struct hearth_error *err);
int cpu__lower_slice(struct lowering *l, struct hearth_error *err);
int cpu__lower_gather(struct lowering *l, struct hearth_error *err);
int cpu__lower_where(struct lowering *l, struct hearth_error *err);
int cpu__lower_cast(struct lowering *l, struct hearth_error *err);
/* A Slice's result: steps along its axes out of the operand's, and the first
 * element; false: its numbers are not known here. */
bool cpu__slice_steps(const struct lowering *l, const int64_t *own, int64_t *by,
                      int64_t *first);
/* lower_rows.c */
int cpu__lower_reduce(struct lowering *l, struct hearth_error *err);
int cpu__lower_layer_norm(struct lowering *l, struct hearth_error *err);
int cpu__lower_lrn(struct lowering *l, struct hearth_error *err);

#endif
