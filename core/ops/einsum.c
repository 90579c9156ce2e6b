/* SPDX-License-Identifier: Apache-2.0 */
/*
 * einsum.c: Einsum: the sum of products of elements whose axes are named by
 * letters. Each operand becomes strides by letter (a letter that it does not
 * have: 0; one that it has twice: the sum, which walks the diagonal); loops run
 * over the letters of the result, then over those that are summed.
 *
 * "..." stands for axes that broadcast, counted from the last. The importer
 * makes a product of matrices out of what is one (canon_einsum.c).
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops_impl.h"

#define OPERANDS 8
#define LETTERS 52                         /* a-z, A-Z */
#define LABELS (LETTERS + HEARTH_RANK_MAX) /* and the axes of "..." */
typedef union hearth__ops_num num_t;

struct term {
    int rank, dots; /* axes; those of "..." are [dots, dots + ..]; -1: none */
    int labels[HEARTH_RANK_MAX];
};
struct einsum {
    int operands, dots; /* axes of "..." */
    struct term in[OPERANDS], out;
};

static int fail(struct hearth_error *err, const char *what)
{
    return hearth_fail(err, HEARTH_EMODEL, "the equation %s", what);
}

/* Reads letters up to a comma, an arrow or the end. <ellipsis>: axes of its
 * "...". */
static int read_term(const char **text, int ellipsis, struct term *t,
                     struct hearth_error *err)
{
    const char *s = *text;
    *t = (struct term){.dots = -1};
    for (; *s != '\0' && *s != ',' && *s != '-'; s++) {
        int count = 1, label;
        if (*s == ' ')
            continue;
        if (strncmp(s, "...", 3) == 0) {
            if (t->dots >= 0)
                return fail(err, "has two ellipses in one term");
            t->dots = t->rank;
            count = ellipsis;
            label = LETTERS + HEARTH_RANK_MAX - count;
            s += 2;
        } else if (*s >= 'a' && *s <= 'z') {
            label = *s - 'a';
        } else if (*s >= 'A' && *s <= 'Z') {
            label = 26 + *s - 'A';
        } else {
            return fail(err, "has a character that is no letter");
        }
        for (int i = 0; i < count; i++) {
            if (t->rank == HEARTH_RANK_MAX)
                return fail(err, "has too many axes");
            t->labels[t->rank++] = label + i;
        }
    }
    *text = s;
    return HEARTH_OK;
}

static bool has_label(const struct term *t, int label)
{
    for (int i = 0; i < t->rank; i++)
        if (t->labels[i] == label)
            return true;
    return false;
}

/* Without an arrow: "...", then the letters that stand once, in ASCII's order.
 */
static int implicit_result(struct einsum *e, struct hearth_error *err)
{
    e->out = (struct term){.dots = 0};
    for (int i = 0; i < e->dots; i++)
        e->out.labels[e->out.rank++] = LABELS - e->dots + i;
    for (int k = 0; k < LETTERS; k++) {
        const int label = k < 26 ? k + 26 : k - 26; /* capitals first */
        int seen = 0;
        for (int i = 0; i < e->operands; i++)
            for (int a = 0; a < e->in[i].rank; a++)
                seen += e->in[i].labels[a] == label;
        if (seen != 1)
            continue;
        if (e->out.rank == HEARTH_RANK_MAX)
            return fail(err, "has a result of too many axes");
        e->out.labels[e->out.rank++] = label;
    }
    return HEARTH_OK;
}

/* The axes that "..." stands for in a term, given its operand's rank. */
static int ellipsis_of(const char *text, int rank)
{
    int letters = 0;
    bool dots = false;
    for (; *text != '\0' && *text != ',' && *text != '-'; text++) {
        letters += isalpha((unsigned char)*text) != 0;
        dots |= *text == '.';
    }
    return dots && rank > letters ? rank - letters : 0;
}

static int check_result(const struct einsum *e, struct hearth_error *err)
{
    for (int i = 0; i < e->out.rank; i++) {
        bool found = false;
        for (int k = 0; k < e->operands; k++)
            found |= has_label(&e->in[k], e->out.labels[i]);
        for (int k = 0; k < i; k++)
            if (e->out.labels[k] == e->out.labels[i])
                return fail(err, "names an axis of the result twice");
        if (!found)
            return fail(err, "has a letter in the result alone");
    }
    return HEARTH_OK;
}

/* The equation for operands of these ranks, which are known. */
static int parse(const struct hearth_op_call *call, struct einsum *e,
                 struct hearth_error *err)
{
    const char *s =
        hearth_attr_string(call->graph, call->node, HEARTH_ATTR_EQUATION, "");
    int rc = HEARTH_OK;
    memset(e, 0, sizeof *e);
    if (call->input_count > OPERANDS)
        return hearth_fail(err, HEARTH_EUNSUPPORTED,
                           "%" PRIu32 " operands, the most is %d",
                           call->input_count, OPERANDS);
    for (uint32_t k = 0; k < call->input_count; k++) {
        const int rank = call->in[k]->shape.rank;
        if (k > 0 && *s++ != ',')
            return fail(err, "has fewer terms than operands");
        const int dots = ellipsis_of(s, rank);
        e->dots = dots > e->dots ? dots : e->dots;
        rc = read_term(&s, dots, &e->in[e->operands++], err);
        if (rc != HEARTH_OK)
            return rc;
        if (e->in[k].rank != rank)
            return hearth_fail(err, HEARTH_ESHAPE,
                               "term %" PRIu32 " has %d axes, the operand %d",
                               k, e->in[k].rank, rank);
    }
    if (*s == '\0')
        return implicit_result(e, err);
    if (strncmp(s, "->", 2) != 0)
        return fail(err, "has more terms than operands, or no arrow");
    s += 2;
    rc = read_term(&s, e->dots, &e->out, err);
    if (rc == HEARTH_OK && *s != '\0')
        rc = fail(err, "goes on after the result");
    return rc == HEARTH_OK ? check_result(e, err) : rc;
}

/* Sizes by label; those that are not there are 1. */
static int sizes_of(const struct hearth_op_call *call, const struct einsum *e,
                    int64_t dims[LABELS], struct hearth_error *err)
{
    for (int i = 0; i < LABELS; i++)
        dims[i] = 1;
    for (int k = 0; k < e->operands; k++)
        for (int i = 0; i < e->in[k].rank; i++) {
            int64_t *d = &dims[e->in[k].labels[i]];
            int rc = hearth__ops_broadcast_dim(
                call, *d, call->in[k]->shape.dims[i], d, err);
            if (rc != HEARTH_OK)
                return rc;
        }
    return HEARTH_OK;
}

HEARTH__OPS_INFER(einsum)
{
    int rc = hearth__ops_begin(call, err);
    struct einsum e;
    int64_t dims[LABELS];
    for (uint32_t k = 1; rc == HEARTH_OK && k < call->input_count; k++)
        rc = hearth__ops_same_dtype(call, k, err);
    if (rc != HEARTH_OK)
        return rc;
    for (uint32_t k = 0; k < call->input_count; k++)
        if (call->in[k]->shape.rank < 0)
            return HEARTH_OK;
    rc = parse(call, &e, err);
    if (rc == HEARTH_OK)
        rc = sizes_of(call, &e, dims, err);
    if (rc != HEARTH_OK)
        return rc;
    call->out[0].shape.rank = e.out.rank;
    for (int i = 0; i < e.out.rank; i++)
        call->out[0].shape.dims[i] = dims[e.out.labels[i]];
    return HEARTH_OK;
}

/* ---- Evaluation ---- */

struct loops {
    int count, operands;
    int64_t dims[LABELS], strides[OPERANDS][LABELS];
    int64_t at[LABELS], offset[OPERANDS];
};

/* Moves on over loops [from, to); false when they are through. */
static bool advance(struct loops *l, int from, int to)
{
    for (int i = to - 1; i >= from; i--) {
        for (int k = 0; k < l->operands; k++)
            l->offset[k] += l->strides[k][i];
        if (++l->at[i] < l->dims[i])
            return true;
        for (int k = 0; k < l->operands; k++)
            l->offset[k] -= l->strides[k][i] * l->dims[i];
        l->at[i] = 0;
    }
    return false;
}

static void add_loop(struct loops *l, const struct hearth_view *const *in,
                     const struct einsum *e, int label, int64_t size)
{
    const int n = l->count++;
    l->dims[n] = size;
    for (int k = 0; k < e->operands; k++) {
        l->strides[k][n] = 0;
        for (int i = 0; i < e->in[k].rank; i++)
            if (e->in[k].labels[i] == label && in[k]->shape.dims[i] != 1)
                l->strides[k][n] += in[k]->strides[i];
    }
}

/* The sum over loops [from, count) at the place where the others stand. */
static num_t sum_of(struct loops *l, const struct hearth_view *const *in,
                    int from, bool real)
{
    num_t sum = {.u = 0}; /* 0.0 too */
    do {
        num_t product = {.u = 0}, x;
        for (int k = 0; k < l->operands; k++) {
            hearth__ops_load(&x, in[k]->data, in[k]->dtype, l->offset[k], 0, 1);
            if (k == 0)
                product = x;
            else if (real)
                product.f *= x.f;
            else
                product.u *= x.u;
        }
        if (real)
            sum.f += product.f;
        else
            sum.u += product.u;
    } while (advance(l, from, l->count));
    return sum;
}

HEARTH__OPS_EVAL(einsum)
{
    const bool real = hearth__ops_kind(out[0].dtype) == HEARTH__OPS_FLOAT;
    struct loops l = {0};
    struct einsum e;
    int64_t dims[LABELS];
    bool empty = false;
    int rc = parse(call, &e, err);
    if (rc == HEARTH_OK)
        rc = sizes_of(call, &e, dims, err);
    if (rc != HEARTH_OK)
        return rc;
    l.operands = e.operands;
    for (int i = 0; i < e.out.rank; i++)
        add_loop(&l, in, &e, e.out.labels[i], dims[e.out.labels[i]]);
    const int results = l.count;
    for (int label = 0; label < LABELS; label++)
        if (dims[label] != 1 && !has_label(&e.out, label)) {
            add_loop(&l, in, &e, label, dims[label]);
            empty |= dims[label] == 0;
        }
    if (hearth__ops_product(&out[0].shape, 0, out[0].shape.rank) == 0)
        return HEARTH_OK;
    int64_t place = 0;
    do {
        num_t sum = {.u = 0};
        if (!empty)
            sum = sum_of(&l, in, results, real);
        hearth__ops_store(out[0].data, out[0].dtype, place++, 0, &sum, 1);
    } while (advance(&l, 0, results));
    return HEARTH_OK;
}
