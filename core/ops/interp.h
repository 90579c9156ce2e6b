/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interp.h: between interp.c, which runs the nodes of a graph one by one, and
 * control.c, which runs blocks by them. Private to these two.
 */
#ifndef HEARTH_OPS_INTERP_H
#define HEARTH_OPS_INTERP_H

#include "ops/ops_impl.h"

struct hearth__machine {
    struct hearth_interp *run;
    struct hearth_error *err; /* never NULL */
    uint64_t steps;           /* nodes and iterations so far */
    int64_t *content;         /* scratch of one infer */
    uint32_t content_used;
};

/* Room in the arena. NULL: none, with m->err filled. */
void *hearth__interp_alloc(struct hearth__machine *m, uint64_t bytes);
void hearth__interp_free(struct hearth__machine *m, const void *data);
/* Counts a step; what <pause> says. */
int hearth__interp_step(struct hearth__machine *m);
/* Bytes of a value, HEARTH_ETOOBIG, or HEARTH_EUNSUPPORTED: still unknown. */
int hearth__interp_bytes(struct hearth__machine *m,
                         const struct hearth_value_info *info, uint64_t *bytes);
/* A copy of <info> in the arena. */
int hearth__interp_copy(struct hearth__machine *m,
                        const struct hearth_value_info *info,
                        struct hearth_value_info *copy);
/* Runs a block. <outputs> are the caller's, each in room of its own, to be
 * freed; after a failure there are none. */
int hearth__interp_block(struct hearth__machine *m,
                         const struct hearth_graph *block,
                         const struct hearth_value_info *inputs,
                         struct hearth_value_info *outputs);
/* control.c: a node that has blocks; <out> as outputs above, data NULL where
 * the node has no such output. */
int hearth__interp_control(struct hearth__machine *m,
                           const struct hearth_op_call *call);

#endif
