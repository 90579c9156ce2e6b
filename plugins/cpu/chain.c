/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain.c: elementwise steps, one after the other, as one that goes over its
 * operands in pieces of the first cache: what lies between two of them never
 * leaves it and takes no room in the arena, and the team is woken once. Each
 * link is the step's own kernel, so answers are the same to the last bit.
 *
 * Steps are joined, not nodes: their layouts are chosen, reorders stand between
 * those that differ, and two that agree on a place agree on the order in it. A
 * step joins those after it when they alone read its result, and all of it. As
 * steps write over their operands, that means: until one of them writes there.
 */
#include "chain.h"

#include <stdlib.h>

#include "kernels.h"
#include "nodes.h"

/* ---- The step ---- */

#define AT_ONCE 2048 /* elements, whole vectors */
#define BETWEEN 3    /* results that wait for their readers */

static void run_links(const struct cpu_chain *c, float *const *data,
                      int64_t first, int64_t n)
{
    _Alignas(CPU_ALIGNMENT) float between[BETWEEN][AT_ONCE];
    for (int i = 0; i < c->links; i++) {
        const struct cpu_link *k = &c->link[i];
        const struct cpu_broadcast shape = {k->size, k->step[0], k->step[1]};
        const float *from[2] = {NULL, NULL};
        int64_t gone[2] = {0, 0};
        for (int o = 0; o < k->operands; o++) {
            bool inner = k->from[o] >= CPU_ARGS_MAX;
            from[o] =
                inner ? between[k->from[o] - CPU_ARGS_MAX] : data[k->from[o]];
            gone[o] = inner ? first : 0;
        }
        float *y = k->to >= CPU_ARGS_MAX ? between[k->to - CPU_ARGS_MAX]
                                         : data[k->to] + first;
        if (k->operands == 1) {
            cpu__unary(k->op, from[0] + (first - gone[0]), y, n, k->alpha,
                       k->beta);
            continue;
        }
        cpu__binary(k->op, from[0], gone[0], from[1], gone[1], y, &shape, first,
                    n);
        cpu__activate(y, y, n, k->act, k->alpha, k->beta);
    }
}

/* refs: y, then operands */
static int run_chain(const struct cpu_run *run, struct cpu_step *step,
                     struct hearth_error *err)
{
    const struct cpu_chain *c = step->chain;
    float *data[CPU_ARGS_MAX];
    (void)err;
    for (int i = 0; i < CPU_ARGS_MAX; i++)
        data[i] = cpu_at(run, &step->refs[i]);
#pragma omp parallel for if (c->count > PIECE) schedule(static)
    for (int64_t i = 0; i < c->count; i += AT_ONCE)
        run_links(c, data, i, c->count - i < AT_ONCE ? c->count - i : AT_ONCE);
    return HEARTH_OK;
}

/* ---- What may join ---- */

/* 0: no step for a chain. */
static int operands_of(const struct cpu_step *s)
{
    return s->run == cpu__run_unary ? 1 : s->run == cpu__run_binary ? 2 : 0;
}

static const struct cpu_ref *result_of(const struct cpu_step *s)
{
    return &s->refs[operands_of(s)];
}

static int64_t elements_of(const struct cpu_step *s)
{
    return operands_of(s) == 1 ? s->n[1]
                               : s->n[2] * s->n[3] * s->n[4] * s->n[5];
}

/* Does operand <o> go on by one with the result? */
static bool is_whole(const struct cpu_step *s, int o)
{
    int64_t step = 1;
    for (int i = 3; operands_of(s) == 2 && i >= 0; i--) {
        if (s->n[2 + i] != 1 && s->n[6 + 4 * o + i] != step)
            return false;
        step *= s->n[2 + i];
    }
    return true;
}

/* Do only steps up to <last> read the result of step <at>, and all of it? */
static bool stays_inside(const struct lowering *l, uint32_t at, uint32_t last)
{
    const struct cpu_ref *y = result_of(&l->plan->steps[at]);
    bool read = false;
    for (uint32_t i = at + 1; i <= last; i++) {
        const struct cpu_step *s = &l->plan->steps[i];
        for (int o = 0; o < operands_of(s); o++) {
            if (!cpu__same_buffer(&s->refs[o], y))
                continue;
            if (!cpu__same_place(&s->refs[o], y) || !is_whole(s, o))
                return false;
            read = true;
        }
        if (cpu__same_buffer(result_of(s), y))
            return read && cpu__same_place(result_of(s), y);
    }
    return read && l->buffers[y->at].last <= last;
}

/* ---- The links ---- */

struct draft {
    struct cpu_link link[CPU_CHAIN_LINKS];
    struct cpu_ref refs[CPU_ARGS_MAX];
    int ref_count;
};

/* The number of a reference to what no link makes; 0: no room for it, or the
 * chain writes elsewhere in it. */
static int outer_operand(struct draft *d, const struct cpu_step *s, int o)
{
    const struct cpu_ref *ref = &s->refs[o];
    if (cpu__same_buffer(ref, &d->refs[0]) &&
        (!cpu__same_place(ref, &d->refs[0]) || !is_whole(s, o)))
        return 0;
    for (int i = 1; i < d->ref_count; i++)
        if (cpu__same_place(ref, &d->refs[i]))
            return i;
    if (d->ref_count == CPU_ARGS_MAX)
        return 0;
    d->refs[d->ref_count] = *ref;
    return d->ref_count++;
}

static struct cpu_link link_of(const struct cpu_step *s)
{
    struct cpu_link k = {.op = (enum hearth_op)s->n[0],
                         .act = (enum hearth_activation)s->n[1],
                         .alpha = s->f[0],
                         .beta = s->f[1],
                         .operands = operands_of(s)};
    if (k.operands == 1)
        k.act = HEARTH_ACT_NONE;
    memcpy(k.size, &s->n[2], sizeof k.size);
    memcpy(k.step, &s->n[6], sizeof k.step);
    return k;
}

/* A result's room between is free again for that of its last reader. */
static bool find_rooms(struct draft *d, int links, const int *last_reader)
{
    int until[BETWEEN] = {0};
    for (int i = 0; i < links; i++) {
        struct cpu_link *k = &d->link[i];
        int room = 0;
        for (int o = 0; o < k->operands; o++)
            if (k->from[o] >= CPU_ARGS_MAX)
                k->from[o] = d->link[k->from[o] - CPU_ARGS_MAX].to;
        if (i == links - 1)
            break; /* to reference 0 */
        while (room < BETWEEN && until[room] > i)
            room++;
        if (room == BETWEEN)
            return false;
        until[room] = last_reader[i];
        k->to = CPU_ARGS_MAX + room;
    }
    return true;
}

/* Can the steps from <first> to <last> be a chain? */
static bool draft(const struct lowering *l, uint32_t first, uint32_t last,
                  struct draft *d)
{
    const struct cpu_step *steps = &l->plan->steps[first];
    const int links = (int)(last - first) + 1;
    int last_reader[CPU_CHAIN_LINKS] = {0};
    if (links > CPU_CHAIN_LINKS || operands_of(&steps[links - 1]) == 0)
        return false;
    *d =
        (struct draft){.refs = {*result_of(&steps[links - 1])}, .ref_count = 1};
    for (int i = 0; i < links; i++) {
        const struct cpu_step *s = &steps[i];
        if (operands_of(s) == 0 || elements_of(s) <= 0 ||
            elements_of(s) != elements_of(&steps[links - 1]) ||
            (i < links - 1 && !stays_inside(l, first + (uint32_t)i, last)))
            return false;
        d->link[i] = link_of(s);
        for (int o = 0; o < operands_of(s); o++) {
            int by = i - 1; /* the link that makes it */
            while (by >= 0 &&
                   !cpu__same_place(result_of(&steps[by]), &s->refs[o]))
                by--;
            if (by >= 0)
                last_reader[by] = i;
            d->link[i].from[o] =
                by >= 0 ? CPU_ARGS_MAX + by : outer_operand(d, s, o);
            if (d->link[i].from[o] == 0)
                return false;
        }
    }
    return find_rooms(d, links, last_reader);
}

/* ---- The plan ---- */

static int put_chain(struct lowering *l, uint32_t first, uint32_t last,
                     const struct draft *d, struct hearth_error *err)
{
    struct cpu_step *s = &l->plan->steps[last];
    const size_t links = last - first + 1;
    struct cpu_chain *c = cpu_calloc(1, sizeof *c + links * sizeof *c->link);
    if (c == NULL)
        return cpu_no_memory(err);
    c->count = elements_of(s);
    c->links = (int)links;
    memcpy(c->link, d->link, links * sizeof *c->link);
    s->run = run_chain;
    s->chain = c;
    memcpy(s->refs, d->refs, sizeof s->refs);
    for (uint32_t i = first; i < last; i++)
        l->plan->steps[i].run = NULL;
    return HEARTH_OK;
}

static void touch(struct lowering *l, const struct cpu_ref *ref, uint32_t step)
{
    if (ref->place != CPU_ARENA)
        return;
    struct hearth_arena_buffer *b = &l->buffers[ref->at];
    b->first = b->first < step ? b->first : step;
    b->last = b->last > step ? b->last : step;
}

/* Steps that have become links go, and buffers live by the numbers of those
 * that are left. */
static void count_again(struct lowering *l)
{
    struct cpu_plan *p = l->plan;
    uint32_t left = 0;
    for (uint32_t i = 0; i < l->buffer_count; i++) {
        l->buffers[i].first = UINT32_MAX;
        if (l->buffers[i].last != UINT32_MAX) /* of no output */
            l->buffers[i].last = 0;
    }
    for (uint32_t i = 0; i < p->step_count; i++) {
        if (p->steps[i].run == NULL)
            continue;
        p->steps[left] = p->steps[i];
        for (int k = 0; k < CPU_ARGS_MAX; k++)
            touch(l, &p->steps[left].refs[k], left);
        for (uint32_t k = 0; k < p->steps[left].ref_count; k++)
            touch(l, &p->refs[p->steps[left].first_ref + k], left);
        left++;
    }
    p->step_count = left;
    for (uint32_t i = 0; i < l->buffer_count; i++)
        if (l->buffers[i].first == UINT32_MAX)
            l->buffers[i].bytes = 0;
}

int cpu__find_chains(struct lowering *l, struct hearth_error *err)
{
    for (uint32_t last = l->plan->step_count; last-- > 1;) {
        struct draft d, longer;
        uint32_t first = last;
        while (first > 0 && draft(l, first - 1, last, &longer)) {
            d = longer;
            first--;
        }
        if (first == last)
            continue;
        int rc = put_chain(l, first, last, &d, err);
        if (rc != HEARTH_OK)
            return rc;
        last = first;
    }
    count_again(l);
    return HEARTH_OK;
}
