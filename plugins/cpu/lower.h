/* SPDX-License-Identifier: Apache-2.0 */
/* lower.h: between lower.c, which keeps the books, and nodes.c, which knows the
 * operators. */
#ifndef HEARTH_PLUGINS_CPU_LOWER_H
#define HEARTH_PLUGINS_CPU_LOWER_H

#include "cpu.h"

struct value {
    struct cpu_ref plain, blocked;
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
    return a->place == b->place && a->at == b->at && a->fixed == b->fixed;
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

/* nodes.c: adds the steps of node l->node. */
int cpu__lower_node(struct lowering *l, struct hearth_error *err);

#endif
