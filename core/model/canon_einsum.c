/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canon_einsum.c: an Einsum of two operands that is a product of matrices
 * becomes one, with transpositions around it: devices have a fast product. Each
 * letter of such an equation is of a batch (both operands and the result), a
 * row (A and the result), a column (B and the result) or summed (A and B), and
 * there is one of each of the last three. Any other equation is the row's.
 */
#include <string.h>

#include "model/canon.h"

struct term {
    int rank;
    char letters[HEARTH_RANK_MAX];
};

static int find(const struct term *t, char letter)
{
    for (int i = 0; i < t->rank; i++)
        if (t->letters[i] == letter)
            return i;
    return -1;
}

/* A, B and the result; false: not of letters alone, or one of them twice. */
static bool read_terms(struct hearth__slice text, struct term t[3])
{
    int k = 0;
    memset(t, 0, 3 * sizeof *t);
    for (uint64_t i = 0; i < text.bytes; i++) {
        const char c = (char)text.at[i];
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (c == ' ')
            continue;
        if ((c == ',' && k == 0) || (c == '-' && k == 1)) {
            k++;
            i += c == '-';
            if (c == '-' && (i == text.bytes || text.at[i] != '>'))
                return false;
        } else if (!letter || t[k].rank == HEARTH_RANK_MAX ||
                   find(&t[k], c) >= 0) {
            return false;
        } else {
            t[k].letters[t[k].rank++] = c;
        }
    }
    return k == 2;
}

struct product {
    struct term batch;
    char row, column, sum;
};

static bool is_product(const struct term t[3], struct product *p)
{
    int rows = 0, columns = 0, sums = 0;
    *p = (struct product){.batch = {0}};
    for (int i = 0; i < t[2].rank; i++) {
        const char c = t[2].letters[i];
        const bool a = find(&t[0], c) >= 0, b = find(&t[1], c) >= 0;
        if (a && b) {
            p->batch.letters[p->batch.rank++] = c;
        } else if (a) {
            p->row = c;
            rows++;
        } else if (b) {
            p->column = c;
            columns++;
        }
        if (!a && !b)
            return false;
    }
    for (int i = 0; i < t[0].rank; i++)
        if (find(&t[2], t[0].letters[i]) < 0) {
            p->sum = t[0].letters[i];
            sums++;
        }
    return rows == 1 && columns == 1 && sums == 1 && find(&t[1], p->sum) >= 0 &&
           t[0].rank == p->batch.rank + 2 && t[1].rank == p->batch.rank + 2;
}

/* <x> with its axes in the order of <to>. */
static int turn(struct hearth__canon *c, uint32_t x, const struct term *from,
                const struct term *to, uint32_t *out)
{
    int64_t perm[HEARTH_RANK_MAX];
    struct hearth__draft d = {.op = HEARTH_OP_TRANSPOSE};
    bool same = true;
    for (int i = 0; i < to->rank; i++) {
        perm[i] = find(from, to->letters[i]);
        same &= perm[i] == i;
    }
    if (same && *out == HEARTH_NO_VALUE) {
        *out = x;
        return HEARTH_OK;
    }
    int rc = hearth__draft_set(c->ir, &d, HEARTH_ATTR_PERM, HEARTH_ATTR_INTS,
                               (uint32_t)to->rank, perm);
    return rc == HEARTH_OK ? hearth__canon_draft(c, &d, 1, &x, out) : rc;
}

static struct term with(const struct term *batch, char a, char b)
{
    struct term t = *batch;
    t.letters[t.rank++] = a;
    t.letters[t.rank++] = b;
    return t;
}

int hearth__fix_einsum(struct hearth__canon *c)
{
    const struct hearth__onnx_attr *a = hearth__canon_attr(c, "equation");
    const struct hearth_value_info *x = hearth__canon_in(c, 0);
    const struct hearth_value_info *y = hearth__canon_in(c, 1);
    uint32_t in[2] = {HEARTH_NO_VALUE, HEARTH_NO_VALUE};
    uint32_t product = HEARTH_NO_VALUE;
    struct term t[3];
    struct product p;
    if (a == NULL || c->draft.input_count != 2 || y == NULL ||
        x->dtype != HEARTH_F32 || y->dtype != HEARTH_F32 ||
        !read_terms(a->s, t) || !is_product(t, &p) ||
        x->shape.rank != t[0].rank || y->shape.rank != t[1].rank ||
        x->shape.dims[find(&t[0], p.sum)] != y->shape.dims[find(&t[1], p.sum)])
        return HEARTH_OK;
    const struct term rows = with(&p.batch, p.row, p.sum);
    const struct term columns = with(&p.batch, p.sum, p.column);
    const struct term result = with(&p.batch, p.row, p.column);
    const bool same = memcmp(&result, &t[2], sizeof result) == 0;
    int rc = turn(c, c->draft.inputs[0], &t[0], &rows, &in[0]);
    if (rc == HEARTH_OK)
        rc = turn(c, c->draft.inputs[1], &t[1], &columns, &in[1]);
    if (same)
        product = c->draft.outputs[0];
    if (rc == HEARTH_OK)
        rc = hearth__canon_step(c, HEARTH_OP_MATMUL, 2, in, -1, &product);
    c->emitted = true;
    return rc == HEARTH_OK && !same
               ? turn(c, product, &result, &t[2], &c->draft.outputs[0])
               : rc;
}
