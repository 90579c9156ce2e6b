/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention.c: MatMul, a scale, a mask, Softmax and MatMul as one step: a head
 * a thread, whose k and v are packed once, and some rows at a time, so that the
 * scores never leave the second cache. Operands are read where they lie, though
 * heads are slices and transposes of one product; so is the result written.
 */
#include "attention.h"

#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "activate.h"
#include "gemm.h"
#include "nodes.h"

/* ---- The step ---- */

#define ROWS_AT_ONCE 48 /* whole tiles of both kernels */
/* Scores of rows that are softened at once fit the second cache. */
#define WORDS_MAX 8192

static int64_t whole_panels(int64_t n, int block)
{
    return (n + 2 * block - 1) / (2 * block) * (2 * block);
}

/* Numbers of a thread: packed k, packed v, scores. */
static int64_t room_of(const struct cpu_attention *a, int block)
{
    int64_t words = whole_panels(a->words, block);
    return words * a->depth + whole_panels(a->width, block) * a->words +
           ROWS_AT_ONCE * words;
}

uint64_t cpu_attention_scratch(const struct cpu_attention *a, int block,
                               int threads)
{
    return (uint64_t)room_of(a, block) * (uint64_t)threads * sizeof(float);
}

struct head {
    const struct cpu_attention *a;
    const float *q, *mask; /* of this head */
    const float *k, *v;    /* packed */
    float *scores, *y;
    float scale;
    int block;
};

/* Rows [m0, m1). */
static void some_rows(const struct head *h, int64_t m0, int64_t m1)
{
    const struct cpu_attention *a = h->a;
    const int64_t words = whole_panels(a->words, h->block);
    const cpu_softmax_fn soften = cpu_softmax_of(h->block);
    const struct cpu_gemm scores = {.m = m1 - m0,
                                    .n = words, /* zeros are packed, too */
                                    .k = a->depth,
                                    .a = h->q + m0 * a->q[2],
                                    .a_row = a->q[2],
                                    .a_block = h->block,
                                    .b = h->k,
                                    .c = h->scores,
                                    .c_row = words,
                                    .c_block = h->block};
    const struct cpu_gemm result = {.m = m1 - m0,
                                    .n = a->width,
                                    .k = a->words,
                                    .a = h->scores,
                                    .a_row = words,
                                    .a_block = h->block,
                                    .b = h->v,
                                    .c = h->y + m0 * a->y[2],
                                    .c_row = a->y[2],
                                    .c_block = h->block};
    cpu_gemm_run_alone(&scores, h->block);
    for (int64_t m = m0; m < m1; m++) {
        float *row = h->scores + (m - m0) * words;
        soften(row, row, a->words, h->scale,
               h->mask != NULL ? h->mask + m * a->mask[2] : NULL);
    }
    cpu_gemm_run_alone(&result, h->block);
}

void cpu_attention_run(const struct cpu_attention *a, int block,
                       const float *const qkv[3], const float *mask,
                       const float *scale, float *y, void *scratch)
{
    const int64_t room = room_of(a, block);
    const float by = scale == NULL ? 1 : a->divides ? 1 / *scale : *scale;
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t i = 0; i < a->batch * a->heads; i++) {
#ifdef _OPENMP
        int own = omp_get_thread_num();
#else
        int own = 0;
#endif
        const int64_t b = i / a->heads, n = i % a->heads;
        float *k = (float *)scratch + own * room;
        float *v = k + whole_panels(a->words, block) * a->depth;
        const struct head h = {
            .a = a,
            .q = qkv[0] + a->first[0] + b * a->q[0] + n * a->q[1],
            .mask =
                mask != NULL ? mask + b * a->mask[0] + n * a->mask[1] : NULL,
            .k = k,
            .v = v,
            .scores = v + whole_panels(a->width, block) * a->words,
            .y = y + b * a->y[0] + n * a->y[1],
            .scale = by,
            .block = block};
        cpu_gemm_pack(qkv[1] + a->first[1] + b * a->k[0] + n * a->k[1], a->k[2],
                      a->k[3], a->depth, a->words, block, k);
        cpu_gemm_pack(qkv[2] + a->first[2] + b * a->v[0] + n * a->v[1], a->v[2],
                      1, a->words, a->width, block, v);
        for (int64_t m = 0; m < a->rows; m += ROWS_AT_ONCE)
            some_rows(&h, m,
                      a->rows - m < ROWS_AT_ONCE ? a->rows : m + ROWS_AT_ONCE);
    }
}

/* refs: y, scratch; more: q, k, v, mask, scale */
static int run_attention(const struct cpu_run *run, struct cpu_step *step,
                         struct hearth_error *err)
{
    const struct cpu_ref *more = &run->plan->refs[step->first_ref];
    const float *const qkv[3] = {cpu_at(run, &more[0]), cpu_at(run, &more[1]),
                                 cpu_at(run, &more[2])};
    (void)err;
    cpu_attention_run(step->attention, run->dev->block, qkv,
                      cpu_at(run, &more[3]), cpu_at(run, &more[4]),
                      cpu_at(run, &step->refs[0]), cpu_at(run, &step->refs[1]));
    return HEARTH_OK;
}

/* ---- What becomes one ---- */

/* A graph's edges, backwards and counted. */
struct edges {
    uint32_t *producer; /* of each value; HEARTH_NO_VALUE: none */
    uint32_t *uses;
};

struct found {
    uint32_t q, k, v, mask, scale; /* values */
    uint32_t nodes[4];             /* beside the last */
    int count;
    bool divides;
};

static const struct hearth_shape *shape_of(const struct lowering *l, uint32_t v)
{
    return &info(l, v)->shape;
}

/* The node that makes <v> for one reader, if it is one of those two. */
static const struct hearth_graph_node *
maker(const struct lowering *l, const struct edges *e, uint32_t v,
      enum hearth_op op, enum hearth_op other, struct found *f)
{
    if (v == HEARTH_NO_VALUE || e->producer[v] == HEARTH_NO_VALUE ||
        e->uses[v] != 1)
        return NULL;
    const struct hearth_graph_node *n = hearth_graph_node(l->g, e->producer[v]);
    if ((n->op != op && n->op != other) ||
        l->plan->spec.node_done[e->producer[v]] ||
        hearth_attr_int(l->g, n, HEARTH_ATTR_ACTIVATION, HEARTH_ACT_NONE) !=
            HEARTH_ACT_NONE)
        return NULL;
    f->nodes[f->count++] = e->producer[v];
    return n;
}

/* No bias, nothing added, and the right operand is no packed weight. */
static bool is_bare_product(const struct lowering *l, uint32_t at)
{
    const struct hearth_graph_node *n = hearth_graph_node(l->g, at);
    return n->op == HEARTH_OP_MATMUL &&
           hearth_graph_input(l->g, n, 2) == HEARTH_NO_VALUE &&
           hearth_graph_input(l->g, n, 3) == HEARTH_NO_VALUE &&
           hearth_attr_int(l->g, n, HEARTH_ATTR_ACTIVATION, HEARTH_ACT_NONE) ==
               HEARTH_ACT_NONE &&
           cpu_packs_find(l->packs, hearth_graph_input(l->g, n, 1), at) == NULL;
}

/* Which of a node's two operands is the scores; the other one is <side>. */
static bool split_operands(const struct lowering *l, const struct edges *e,
                           const struct hearth_graph_node *n,
                           const struct hearth_shape *scores, bool commutes,
                           uint32_t *main, uint32_t *side)
{
    for (uint32_t k = 0; k < (commutes ? 2 : 1); k++) {
        *main = hearth_graph_input(l->g, n, k);
        *side = hearth_graph_input(l->g, n, 1 - k);
        uint32_t from = e->producer[*main];
        if (from == HEARTH_NO_VALUE ||
            !hearth_shape_equal(shape_of(l, *main), scores) ||
            !is_f32(l, *side))
            continue;
        enum hearth_op op = hearth_graph_node(l->g, from)->op;
        if (op == HEARTH_OP_MATMUL || op == HEARTH_OP_MUL ||
            op == HEARTH_OP_DIV)
            return true;
    }
    return false;
}

/* From Softmax's argument back to the product. */
static bool find_scores(const struct lowering *l, const struct edges *e,
                        uint32_t v, struct found *f)
{
    const struct hearth_shape *scores = shape_of(l, v);
    const struct hearth_graph_node *n;
    uint32_t main;
    if (f->mask == HEARTH_NO_VALUE &&
        (n = maker(l, e, v, HEARTH_OP_ADD, HEARTH_OP_ADD, f)) != NULL) {
        if (!split_operands(l, e, n, scores, true, &main, &f->mask) ||
            shape_of(l, f->mask)->rank < 1 ||
            shape_of(l, f->mask)->dims[shape_of(l, f->mask)->rank - 1] !=
                scores->dims[scores->rank - 1])
            return false;
        return find_scores(l, e, main, f);
    }
    if (f->scale == HEARTH_NO_VALUE &&
        (n = maker(l, e, v, HEARTH_OP_MUL, HEARTH_OP_DIV, f)) != NULL) {
        f->divides = n->op == HEARTH_OP_DIV;
        if (!split_operands(l, e, n, scores, !f->divides, &main, &f->scale) ||
            count_of(l, f->scale) != 1)
            return false;
        v = main;
    }
    n = maker(l, e, v, HEARTH_OP_MATMUL, HEARTH_OP_MATMUL, f);
    if (n == NULL || !is_bare_product(l, e->producer[v]))
        return false;
    f->q = hearth_graph_input(l->g, n, 0);
    f->k = hearth_graph_input(l->g, n, 1);
    return true;
}

/* The same batches and heads everywhere, none of them shared. */
static bool shapes_fit(const struct lowering *l, const struct found *f,
                       uint32_t y)
{
    const struct hearth_shape *q = shape_of(l, f->q), *k = shape_of(l, f->k);
    const struct hearth_shape *v = shape_of(l, f->v), *s = shape_of(l, y);
    int r = s->rank;
    if ((r != 3 && r != 4) || q->rank != r || k->rank != r || v->rank != r ||
        count_of(l, y) <= 0 || count_of(l, f->q) <= 0 ||
        count_of(l, f->k) <= 0 || count_of(l, f->v) <= 0 || !is_f32(l, f->q) ||
        !is_f32(l, f->k) || !is_f32(l, f->v) || k->dims[r - 1] > WORDS_MAX)
        return false;
    for (int i = 0; i < r - 2; i++)
        if (q->dims[i] != s->dims[i] || k->dims[i] != s->dims[i] ||
            v->dims[i] != s->dims[i])
            return false;
    return true;
}

static bool find_one(const struct lowering *l, const struct edges *e,
                     uint32_t at, struct found *f)
{
    const struct hearth_graph_node *n = hearth_graph_node(l->g, at);
    *f = (struct found){.mask = HEARTH_NO_VALUE, .scale = HEARTH_NO_VALUE};
    if (!is_bare_product(l, at))
        return false;
    f->v = hearth_graph_input(l->g, n, 1);
    const struct hearth_graph_node *s =
        maker(l, e, hearth_graph_input(l->g, n, 0), HEARTH_OP_SOFTMAX,
              HEARTH_OP_SOFTMAX, f);
    if (s == NULL)
        return false;
    uint32_t x = hearth_graph_input(l->g, s, 0);
    int64_t axis = hearth_attr_int(l->g, s, HEARTH_ATTR_AXIS, -1);
    return (axis == -1 || axis == shape_of(l, x)->rank - 1) &&
           find_scores(l, e, x, f) &&
           shapes_fit(l, f, hearth_graph_output(l->g, n, 0));
}

/* Views on the way to an operand need not be copied. */
static void mark_views(struct lowering *l, const struct edges *e, uint32_t v)
{
    while (v != HEARTH_NO_VALUE && e->producer[v] != HEARTH_NO_VALUE) {
        const struct hearth_graph_node *n =
            hearth_graph_node(l->g, e->producer[v]);
        if (n->op != HEARTH_OP_TRANSPOSE && n->op != HEARTH_OP_SLICE &&
            n->op != HEARTH_OP_RESHAPE && n->op != HEARTH_OP_SQUEEZE &&
            n->op != HEARTH_OP_UNSQUEEZE && n->op != HEARTH_OP_IDENTITY)
            return;
        l->lazy[v] = 1;
        v = hearth_graph_input(l->g, n, 0);
    }
}

/* Operands are read at the last node. */
static void read_there(struct lowering *l, uint32_t v, uint32_t at)
{
    if (v != HEARTH_NO_VALUE && l->last_node[v] < at)
        l->last_node[v] = at;
}

static void take(struct lowering *l, const struct edges *e, uint32_t at,
                 const struct found *f)
{
    const uint32_t values[] = {f->q, f->k, f->v, f->mask, f->scale};
    for (int i = 0; i < f->count; i++)
        l->fused[f->nodes[i]] = CPU_FUSED_PART;
    l->fused[at] = CPU_FUSED_ATTENTION;
    for (int i = 0; i < 5; i++)
        read_there(l, values[i], at);
    for (int i = 0; i < 3; i++)
        mark_views(l, e, values[i]);
}

/* [b,h,m,e] that a Transpose alone reads, to [b,m,h,e]. */
static bool is_turned_back(const struct lowering *l, uint32_t v)
{
    static const int64_t back[4] = {0, 2, 1, 3};
    int readers = 0;
    for (uint32_t n = l->node; n < l->g->node_count; n++) {
        const struct hearth_graph_node *node = hearth_graph_node(l->g, n);
        uint32_t count = 0;
        bool reads = false;
        for (uint32_t k = 0; k < node->input_count; k++)
            reads = reads || hearth_graph_input(l->g, node, k) == v;
        if (!reads)
            continue;
        const int64_t *perm =
            hearth_attr_ints(l->g, node, HEARTH_ATTR_PERM, &count);
        if (node->op != HEARTH_OP_TRANSPOSE || count != 4 ||
            memcmp(perm, back, sizeof back) != 0)
            return false;
        l->lazy[hearth_graph_output(l->g, node, 0)] = 1;
        readers++;
    }
    return readers > 0 && l->last_node[v] != UINT32_MAX;
}

static bool count_edges(const struct lowering *l, struct edges *e)
{
    const struct hearth_graph *g = l->g;
    e->producer = cpu_calloc((size_t)g->value_count + 1, sizeof *e->producer);
    e->uses = cpu_calloc((size_t)g->value_count + 1, sizeof *e->uses);
    if (e->producer == NULL || e->uses == NULL)
        return false;
    for (uint32_t v = 0; v < g->value_count; v++)
        e->producer[v] = HEARTH_NO_VALUE;
    for (uint32_t n = 0; n < g->node_count; n++) {
        const struct hearth_graph_node *node = hearth_graph_node(g, n);
        for (uint32_t k = 0; k < node->input_count; k++)
            if (hearth_graph_input(g, node, k) != HEARTH_NO_VALUE)
                e->uses[hearth_graph_input(g, node, k)]++;
        for (uint32_t k = 0; k < node->output_count; k++)
            if (hearth_graph_output(g, node, k) != HEARTH_NO_VALUE)
                e->producer[hearth_graph_output(g, node, k)] = n;
    }
    for (uint32_t k = 0; k < g->output_count; k++)
        e->uses[hearth_graph_outputs(g)[k]] += 2;
    return true;
}

int cpu__find_attentions(struct lowering *l, struct hearth_error *err)
{
    struct edges e = {NULL, NULL};
    int rc = HEARTH_OK;
    if (!cpu_gemm_can(l->dev->block))
        return HEARTH_OK;
    l->lazy = cpu_calloc((size_t)l->g->value_count + 1, 1);
    l->views = cpu_calloc((size_t)l->g->value_count + 1, sizeof *l->views);
    if (l->lazy == NULL || l->views == NULL || !count_edges(l, &e))
        rc = cpu_no_memory(err);
    for (uint32_t n = 0; rc == HEARTH_OK && n < l->g->node_count; n++) {
        struct found f;
        if (!l->plan->spec.node_done[n] && find_one(l, &e, n, &f))
            take(l, &e, n, &f);
    }
    free(e.producer);
    free(e.uses);
    return rc;
}

/* ---- The step's numbers ---- */

/* Steps for batch, head and the last two axes. */
static void put_steps(const struct hearth_shape *s, const int64_t *steps,
                      int64_t to[4])
{
    int r = s->rank;
    to[0] = r > 2 ? steps[0] : 0;
    to[1] = r > 3 ? steps[1] : 0;
    to[2] = r > 1 ? steps[r - 2] : 0;
    to[3] = steps[r - 1];
}

/* Those of a mask under the scores' axes, which are [b,(h,)m,n]. */
static void put_mask(const struct hearth_shape *s, int rank, int64_t to[4])
{
    int64_t steps[4] = {0}, step = 1;
    for (int i = s->rank - 1; i >= 0; i--) {
        int axis = i + rank - s->rank;
        if (axis >= 0)
            steps[axis] = s->dims[i] == 1 ? 0 : step;
        step *= s->dims[i];
    }
    to[0] = steps[0];
    to[1] = rank > 3 ? steps[1] : 0;
    to[2] = steps[rank - 2];
    to[3] = steps[rank - 1];
}

/* An operand whose rows go on by one, unless <any>. */
static int operand(struct lowering *l, uint32_t v, bool any,
                   struct cpu_ref *ref, int64_t *first, int64_t to[4],
                   struct hearth_error *err)
{
    const struct hearth_shape *s = shape_of(l, v);
    struct cpu_view view;
    int rc = cpu__view_of(l, v, &view, err);
    if (rc == HEARTH_OK && !any && view.step[s->rank - 1] != 1 &&
        s->dims[s->rank - 1] != 1) {
        view = (struct cpu_view){.first = 0};
        rc = cpu__need(l, v, false, &view.ref, err);
        int64_t step = 1;
        for (int i = s->rank - 1; i >= 0; step *= s->dims[i--])
            view.step[i] = step;
    }
    *ref = view.ref;
    *first = view.first;
    put_steps(s, view.step, to);
    return rc;
}

static int put_result(struct lowering *l, struct cpu_attention *a,
                      struct cpu_ref *ref, struct hearth_error *err)
{
    uint32_t y = output(l, 0);
    if (shape_of(l, y)->rank == 3 || !is_turned_back(l, y)) {
        a->y[0] = a->heads * a->rows * a->width;
        a->y[1] = a->rows * a->width;
        a->y[2] = a->width;
        return cpu__output(l, y, false, ref, err);
    }
    struct cpu_view view = {
        .ref = cpu__buffer(l, (uint64_t)count_of(l, y) * sizeof(float))};
    if (view.ref.place == CPU_NOWHERE)
        return cpu_no_memory(err);
    view.step[0] = a->y[0] = a->heads * a->rows * a->width;
    view.step[1] = a->y[1] = a->width;
    view.step[2] = a->y[2] = a->heads * a->width;
    view.step[3] = 1;
    cpu__set_view(l, y, &view);
    *ref = view.ref;
    return HEARTH_OK;
}

static int add_step(struct lowering *l, const struct cpu_attention *a,
                    const struct cpu_ref *y, const struct cpu_ref more[5],
                    struct hearth_error *err)
{
    struct cpu_step step = {.run = run_attention, .refs = {*y}};
    step.refs[1] = cpu__buffer(
        l, cpu_attention_scratch(a, l->dev->block, l->dev->threads));
    step.attention = cpu_calloc(1, sizeof *step.attention);
    int rc = HEARTH_OK;
    if (step.attention == NULL || step.refs[1].place == CPU_NOWHERE)
        rc = cpu_no_memory(err);
    else
        *step.attention = *a;
    if (rc == HEARTH_OK)
        rc = cpu__step(l, &step, more, 5, err);
    if (rc != HEARTH_OK)
        free(step.attention);
    return rc;
}

int cpu__lower_attention(struct lowering *l, struct hearth_error *err)
{
    struct edges e = {NULL, NULL};
    struct found f;
    struct cpu_ref more[5], y;
    memset(more, 0, sizeof more);
    bool ok = count_edges(l, &e) && find_one(l, &e, l->node, &f);
    free(e.producer);
    free(e.uses);
    if (!ok)
        return cpu_no_memory(err);
    const struct hearth_shape *s = shape_of(l, output(l, 0));
    const int r = s->rank;
    struct cpu_attention a = {.batch = s->dims[0],
                              .heads = r == 4 ? s->dims[1] : 1,
                              .rows = s->dims[r - 2],
                              .width = s->dims[r - 1],
                              .words = shape_of(l, f.k)->dims[r - 1],
                              .depth = shape_of(l, f.k)->dims[r - 2],
                              .divides = f.divides};
    int rc = operand(l, f.q, false, &more[0], &a.first[0], a.q, err);
    if (rc == HEARTH_OK)
        rc = operand(l, f.k, true, &more[1], &a.first[1], a.k, err);
    if (rc == HEARTH_OK)
        rc = operand(l, f.v, false, &more[2], &a.first[2], a.v, err);
    if (rc == HEARTH_OK && f.mask != HEARTH_NO_VALUE) {
        rc = cpu__need(l, f.mask, false, &more[3], err);
        put_mask(shape_of(l, f.mask), r, a.mask);
    }
    if (rc == HEARTH_OK && f.scale != HEARTH_NO_VALUE)
        rc = cpu__need(l, f.scale, false, &more[4], err);
    if (rc == HEARTH_OK)
        rc = put_result(l, &a, &y, err);
    return rc == HEARTH_OK ? add_step(l, &a, &y, more, err) : rc;
}
