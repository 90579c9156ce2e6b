/* SPDX-License-Identifier: Apache-2.0 */
/* attention.h: softmax(scale * q k + mask) v in one step. See attention.c. */
#ifndef HEARTH_PLUGINS_CPU_ATTENTION_H
#define HEARTH_PLUGINS_CPU_ATTENTION_H

#include "lower.h"

/* Of <heads> each of <batch>: y[rows,width] = softmax(q[rows,depth]
 * k[depth,words]) v[words,width]. Steps are for batch, head, row and column of
 * each; q, v and y go on by one in a row. */
struct cpu_attention {
    int64_t batch, heads, rows, words, depth, width;
    int64_t q[4], k[4], v[4], y[4], mask[4];
    int64_t first[3]; /* numbers before the first of q, k, v */
    bool divides;     /* by the scale */
};

uint64_t cpu_attention_scratch(const struct cpu_attention *a, int block,
                               int threads);
/* <mask> and <scale> may be NULL; on the team. */
void cpu_attention_run(const struct cpu_attention *a, int block,
                       const float *const qkv[3], const float *mask,
                       const float *scale, float *y, void *scratch);

/* Marks the nodes that become one step, and the views that it can do without;
 * HEARTH_ENOMEM. */
int cpu__find_attentions(struct lowering *l, struct hearth_error *err);
/* The step, at the last of those nodes. */
int cpu__lower_attention(struct lowering *l, struct hearth_error *err);

/* view.c: values that are elements of another one's, some steps apart. */
bool cpu__lower_lazily(struct lowering *l, int *rc, struct hearth_error *err);
/* Where the elements of <v> are, now or as a view. */
int cpu__view_of(struct lowering *l, uint32_t v, struct cpu_view *view,
                 struct hearth_error *err);
/* <v> is what <view> says, until somebody needs it otherwise. */
void cpu__set_view(struct lowering *l, uint32_t v, const struct cpu_view *view);

#endif
