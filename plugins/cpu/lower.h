/* SPDX-License-Identifier: Apache-2.0 */
/* lower.h: between lower.c, which keeps the books, and nodes.c, which knows the
 * operators. */
#ifndef HEARTH_PLUGINS_CPU_LOWER_H
#define HEARTH_PLUGINS_CPU_LOWER_H

#include "cpu.h"

/* Of a picture that is a part of <home>, which is one of one batch: where it
 * begins there. So a Concat's inputs are written where they belong. */
struct value {
    struct cpu_ref plain, blocked;
    uint32_t home; /* HEARTH_NO_VALUE: none */
    uint64_t inside;
    struct cpu_ref parts; /* the buffer in which parts of it are written */
};

/* What another node's step does. */
enum cpu_fused {
    CPU_FUSED_NOT = 0,
    CPU_FUSED_PART,      /* of an attention; its values are nowhere */
    CPU_FUSED_ATTENTION, /* the last node of one */
    CPU_FUSED_VIEW       /* input 0 is the result already, as it lies */
};

/* A value as elements of what lies at <ref>. */
struct cpu_view {
    struct cpu_ref ref; /* NOWHERE: none */
    int64_t first, step[HEARTH_RANK_MAX];
};

struct lowering {
    hearth_dev_t *dev;
    const struct hearth_graph *g;
    const struct cpu_packs *packs;
    struct cpu_plan *plan;
    uint32_t node; /* that is being lowered */
    struct value *values;
    uint32_t *last_node; /* that reads each value; UINT32_MAX: an output */
    struct hearth_arena_buffer *buffers;
    uint32_t *buffer_last_node; /* the last of the values in it */
    uint32_t buffer_count, buffer_capacity;
    uint8_t *fused;         /* of nodes: enum cpu_fused */
    uint8_t *lazy;          /* of values: may stay a view */
    struct cpu_view *views; /* of values */
};

/* A new buffer; NOWHERE: out of memory. */
struct cpu_ref cpu__buffer(struct lowering *l, uint64_t bytes);
/* Bytes of value <v> in that layout; HEARTH_EUNSUPPORTED when only the data
 * tells its shape. */
int cpu__bytes(const struct lowering *l, uint32_t v, bool blocked,
               uint64_t *bytes, struct hearth_error *err);
/* A buffer for value <v>, in that layout. */
int cpu__output(struct lowering *l, uint32_t v, bool blocked,
                struct cpu_ref *ref, struct hearth_error *err);
/* Value <v> is (also) at <ref>. */
void cpu__map(struct lowering *l, uint32_t v, bool blocked, struct cpu_ref ref);
/* Where <v> is in that layout; adds a step when it must be changed. */
int cpu__need(struct lowering *l, uint32_t v, bool blocked, struct cpu_ref *ref,
              struct hearth_error *err);
bool cpu__is_blocked(const struct lowering *l, uint32_t v);
static inline bool cpu__same_place(const struct cpu_ref *a,
                                   const struct cpu_ref *b)
{
    return a->place == b->place && a->at == b->at && a->inside == b->inside &&
           a->fixed == b->fixed;
}
/* May one be a part of the other? Then neither is written over while the other
 * is read. */
static inline bool cpu__same_buffer(const struct cpu_ref *a,
                                    const struct cpu_ref *b)
{
    return a->place == CPU_ARENA && b->place == CPU_ARENA && a->at == b->at;
}
/* Does nobody read it after this node? Then it may be written over. */
bool cpu__is_last_use(const struct lowering *l, const struct cpu_ref *ref);
/* Adds a step; <more> are references beyond its own. */
int cpu__step(struct lowering *l, const struct cpu_step *step,
              const struct cpu_ref *more, uint32_t more_count,
              struct hearth_error *err);
/* Takes the primitive over, also on failure; adds its scratchpad. */
int cpu__primitive_step(struct lowering *l, struct cpu_primitive *primitive,
                        const struct cpu_ref *refs, int count,
                        struct hearth_error *err);

/* lower_move.c: a step that brings the elements of a view in order. */
int cpu__copy_view(struct lowering *l, uint32_t v, const struct cpu_view *view,
                   struct hearth_error *err);

/* nodes.c: adds the steps of node l->node. */
int cpu__lower_node(struct lowering *l, struct hearth_error *err);

#endif
