/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention.c: Attention and RotaryEmbedding (infer_attention.c has their
 * shapes).
 *
 * A row of Q at a time: its products with all keys, the bias of masks, softmax,
 * the sum of the values so weighted. Keys are kept transposed, so that all
 * inner loops run along memory. A row to which no key is open gives zeros.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops_impl.h"

enum { Q, K, V, MASK, PAST_KEY, PAST_VALUE, LENGTHS };

struct attention {
    int64_t batch, q_heads, kv_heads, q_len, past, total, d, e;
    double scale, softcap;
    bool causal;
    int64_t mode, left, right;
    const double *q, *kt, *v; /* [B,heads,S,D] [B,kv,D,T] [B,kv,T,E] */
    const double *mask;       /* NULL: none */
    int64_t mask_stride[4], mask_keys;
    const struct hearth_view *lengths;
    struct hearth_view *product;
};

/* <v> as [B,heads,S,D]; three axes are [B,S,heads*D]. */
static struct hearth_view four(const struct hearth_view *v,
                               const struct hearth_shape *shape)
{
    struct hearth_view w = *v;
    w.shape = *shape;
    if (v->shape.rank == 3) {
        w.strides[1] = shape->dims[3] * v->strides[2];
        w.strides[2] = v->strides[1];
        w.strides[3] = v->strides[2];
    }
    return w;
}

/* Swaps the last two axes. */
static struct hearth_view swapped(const struct hearth_view *v)
{
    struct hearth_view w = *v;
    w.shape.dims[2] = v->shape.dims[3];
    w.shape.dims[3] = v->shape.dims[2];
    w.strides[2] = v->strides[3];
    w.strides[3] = v->strides[2];
    return w;
}

/* Past and present one after the other along axis <axis> (2 or 3) of four. */
static double *joined(const struct hearth_view *past,
                      const struct hearth_view *now, int axis,
                      struct hearth_error *err)
{
    double *a = past == NULL ? NULL : hearth__ops_doubles(past, err);
    double *b =
        past != NULL && a == NULL ? NULL : hearth__ops_doubles(now, err);
    if (past == NULL || b == NULL) {
        free(a);
        return b;
    }
    const int64_t rows = hearth__ops_product(&now->shape, 0, axis);
    const int64_t na = hearth__ops_product(&past->shape, axis, 4);
    const int64_t nb = hearth__ops_product(&now->shape, axis, 4);
    double *to = hearth__ops_room(rows * (na + nb), sizeof *to, err);
    for (int64_t r = 0; to != NULL && r < rows; r++) {
        memcpy(to + r * (na + nb), a + r * na, (size_t)na * sizeof *to);
        memcpy(to + r * (na + nb) + na, b + r * nb, (size_t)nb * sizeof *to);
    }
    free(b);
    free(a);
    return to;
}

/* ---- One row of Q ---- */

/* The bias of key <j> for query <i>: masks, causality, windows, lengths. */
static double bias_of(const struct attention *a, const int64_t at[3], int64_t j,
                      int64_t first, int64_t length)
{
    const int64_t place = at[2] + first;
    double bias = 0;
    if (j >= length || (a->causal && j > place) ||
        (a->left >= 0 && place - j > a->left) ||
        (a->right >= 0 && j - place > a->right))
        return -INFINITY;
    if (a->mask != NULL) {
        if (j >= a->mask_keys)
            return -INFINITY;
        bias = a->mask[at[0] * a->mask_stride[0] + at[1] * a->mask_stride[1] +
                       at[2] * a->mask_stride[2] + j * a->mask_stride[3]];
    }
    return bias;
}

static void store_product(const struct attention *a, const int64_t at[3],
                          const double *row)
{
    struct hearth_view to = *a->product;
    to.data = hearth__ops_at(a->product,
                             ((at[0] * a->q_heads + at[1]) * a->q_len + at[2]) *
                                 a->total);
    to.shape = (struct hearth_shape){.rank = 1, .dims = {a->total}};
    hearth__ops_put_doubles(&to, row);
}

/* Softmax of <s>; all 0 when <open> is false. */
static void softmax(double *s, int64_t n, bool open)
{
    double top = -INFINITY, sum = 0;
    for (int64_t j = 0; j < n; j++)
        top = s[j] > top || isnan(s[j]) ? s[j] : top;
    for (int64_t j = 0; j < n; j++) {
        s[j] = open && !(top == -INFINITY) ? exp(s[j] - top) : 0;
        sum += s[j];
    }
    for (int64_t j = 0; j < n; j++)
        s[j] = sum == 0 ? 0 : s[j] / sum;
}

/* <s>: room for a row of products; <y> [E]: the result. */
static void run_row(const struct attention *a, const int64_t at[3], double *s,
                    double *y)
{
    const int64_t kv = at[0] * a->kv_heads + at[1] / (a->q_heads / a->kv_heads);
    const double *q =
        a->q + ((at[0] * a->q_heads + at[1]) * a->q_len + at[2]) * a->d;
    const double *kt = a->kt + kv * a->d * a->total;
    const double *v = a->v + kv * a->total * a->e;
    int64_t length = a->total, first = a->past;
    bool open = false;
    if (a->lengths != NULL) {
        length = (int64_t)hearth__ops_number(a->lengths,
                                             at[0] * a->lengths->strides[0]);
        first = length - a->q_len;
    }
    memset(s, 0, (size_t)a->total * sizeof *s);
    for (int64_t k = 0; k < a->d; k++) {
        const double f = q[k] * a->scale;
        for (int64_t j = 0; j < a->total; j++)
            s[j] += f * kt[k * a->total + j];
    }
    if (a->product != NULL && a->mode == 0)
        store_product(a, at, s);
    for (int64_t j = 0; a->softcap > 0 && j < a->total; j++)
        s[j] = a->softcap * tanh(s[j] / a->softcap);
    if (a->product != NULL && a->mode == 1)
        store_product(a, at, s);
    for (int64_t j = 0; j < a->total; j++) {
        const double bias = bias_of(a, at, j, first, length);
        open |= bias != -INFINITY;
        s[j] += bias;
    }
    if (a->product != NULL && a->mode == 2)
        store_product(a, at, s);
    softmax(s, a->total, open);
    if (a->product != NULL && a->mode == 3)
        store_product(a, at, s);
    memset(y, 0, (size_t)a->e * sizeof *y);
    for (int64_t j = 0; j < a->total; j++)
        for (int64_t k = 0; s[j] != 0 && k < a->e; k++)
            y[k] += s[j] * v[j * a->e + k];
}

/* ---- All of them ---- */

static int run_rows(const struct attention *a, const struct hearth_view *y,
                    struct hearth_error *err)
{
    double *s = hearth__ops_room(a->total, sizeof *s, err);
    double *row = s == NULL ? NULL : hearth__ops_room(a->e, sizeof *row, err);
    int64_t at[3];
    for (at[0] = 0; row != NULL && at[0] < a->batch; at[0]++)
        for (at[1] = 0; at[1] < a->q_heads; at[1]++)
            for (at[2] = 0; at[2] < a->q_len; at[2]++) {
                struct hearth_view to = *y;
                run_row(a, at, s, row);
                to.data = hearth__ops_at(y, at[0] * y->strides[0] +
                                                at[1] * y->strides[1] +
                                                at[2] * y->strides[2]);
                to.shape = (struct hearth_shape){.rank = 1, .dims = {a->e}};
                hearth__ops_put_doubles(&to, row);
            }
    int rc = row == NULL ? HEARTH_ENOMEM : HEARTH_OK;
    free(row);
    free(s);
    return rc;
}

/* The mask's numbers, and where they lie for [B,heads,S,keys]. */
static int read_mask(struct attention *a, const struct hearth_view *mask,
                     double **numbers, struct hearth_error *err)
{
    if (mask == NULL)
        return HEARTH_OK;
    const struct hearth_shape *s = &mask->shape;
    const int64_t count = hearth__ops_product(s, 0, s->rank);
    int64_t stride = 1;
    *numbers = hearth__ops_doubles(mask, err);
    if (*numbers == NULL)
        return HEARTH_ENOMEM;
    for (int64_t i = 0; mask->dtype == HEARTH_BOOL && i < count; i++)
        (*numbers)[i] = (*numbers)[i] != 0 ? 0 : -INFINITY;
    for (int i = s->rank - 1, to = 3; i >= 0; i--, to--) {
        a->mask_stride[to] = s->dims[i] == 1 ? 0 : stride;
        stride *= s->dims[i];
    }
    a->mask = *numbers;
    a->mask_keys = s->dims[s->rank - 1];
    return HEARTH_OK;
}

static int check_lengths(const struct attention *a, struct hearth_error *err)
{
    for (int64_t b = 0; a->lengths != NULL && b < a->batch; b++) {
        const int64_t n =
            (int64_t)hearth__ops_number(a->lengths, b * a->lengths->strides[0]);
        if (n < 0 || n > a->total)
            return hearth_fail(
                err, HEARTH_EINVAL,
                "%" PRId64 " of %" PRId64 " keys are not padding", n, a->total);
    }
    return HEARTH_OK;
}

static struct attention settings(const struct hearth_op_call *call,
                                 const struct hearth_shape s[3])
{
    const struct hearth_graph *g = call->graph;
    const struct hearth_graph_node *n = call->node;
    return (struct attention){
        .batch = s[Q].dims[0],
        .q_heads = s[Q].dims[1],
        .kv_heads = s[K].dims[1],
        .q_len = s[Q].dims[2],
        .d = s[Q].dims[3],
        .e = s[V].dims[3],
        .scale = hearth_attr_float(g, n, HEARTH_ATTR_SCALE,
                                   1 / sqrt((double)s[Q].dims[3])),
        .softcap = hearth_attr_float(g, n, HEARTH_ATTR_SOFTCAP, 0),
        .causal = hearth_attr_int(g, n, HEARTH_ATTR_IS_CAUSAL, 0) != 0,
        .mode = hearth_attr_int(g, n, HEARTH_ATTR_PRODUCT_MODE, 0),
        .left = hearth_attr_int(g, n, HEARTH_ATTR_LEFT_WINDOW, -1),
        .right = hearth_attr_int(g, n, HEARTH_ATTR_RIGHT_WINDOW, -1)};
}

static const struct hearth_view *optional(const struct hearth_op_call *call,
                                          const struct hearth_view *const *in,
                                          uint32_t k)
{
    return hearth__ops_in(call, k) == NULL ? NULL : in[k];
}

/* Present keys (transposed here, not there) and values, where wanted. */
static int put_present(const struct hearth_op_call *call,
                       const struct attention *a, struct hearth_view *out,
                       struct hearth_error *err)
{
    if (call->output_count > 2 && out[2].data != NULL)
        hearth__ops_put_doubles(&out[2], a->v);
    if (call->output_count < 2 || out[1].data == NULL)
        return HEARTH_OK;
    struct hearth_shape t = out[1].shape;
    t.dims[2] = a->d;
    t.dims[3] = a->total;
    const struct hearth_view keys =
        hearth_view_dense((void *)(uintptr_t)a->kt, HEARTH_F64, &t);
    const struct hearth_view turned = swapped(&keys);
    double *k = hearth__ops_doubles(&turned, err);
    if (k == NULL)
        return HEARTH_ENOMEM;
    hearth__ops_put_doubles(&out[1], k);
    free(k);
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(attention)
{
    const struct hearth_view *past[2] = {optional(call, in, PAST_KEY),
                                         optional(call, in, PAST_VALUE)};
    struct hearth_shape s[3];
    double *q = NULL, *kt = NULL, *v = NULL, *mask = NULL;
    int rc = hearth__ops_attention_shapes(call, s, err);
    if (rc != HEARTH_OK)
        return rc;
    struct attention a = settings(call, s);
    const struct hearth_view now[3] = {four(in[Q], &s[Q]), four(in[K], &s[K]),
                                       four(in[V], &s[V])};
    const struct hearth_view key = swapped(&now[K]);
    struct hearth_view old;
    struct hearth_shape ys = s[Q];
    a.past = past[0] == NULL ? 0 : past[0]->shape.dims[2];
    a.total = a.past + s[K].dims[2];
    a.lengths = optional(call, in, LENGTHS);
    a.product = call->output_count > 3 && out[3].data != NULL ? &out[3] : NULL;
    if (past[0] != NULL)
        old = swapped(past[0]);
    rc = check_lengths(&a, err);
    if (rc != HEARTH_OK)
        return rc;
    a.q = q = hearth__ops_doubles(&now[Q], err);
    if (q != NULL)
        a.kt = kt = joined(past[0] == NULL ? NULL : &old, &key, 3, err);
    if (kt != NULL)
        a.v = v = joined(past[1], &now[V], 2, err);
    rc = v == NULL ? HEARTH_ENOMEM
                   : read_mask(&a, optional(call, in, MASK), &mask, err);
    ys.dims[3] = a.e;
    const struct hearth_view y = four(&out[0], &ys);
    if (rc == HEARTH_OK && out[0].data != NULL)
        rc = run_rows(&a, &y, err);
    if (rc == HEARTH_OK)
        rc = put_present(call, &a, out, err);
    free(mask);
    free(v);
    free(kt);
    free(q);
    return rc;
}

/* ---- RotaryEmbedding ---- */

struct rotary {
    const struct hearth_view *cos, *sin, *places; /* NULL: none */
    int64_t half;
    bool interleaved;
};

/* Where the angles of place [b,s] are; false: outside of the table. */
static bool angles_at(const struct rotary *r, const struct hearth_view *table,
                      int64_t b, int64_t s, int64_t *offset)
{
    *offset = b * table->strides[0] + s * table->strides[1];
    if (r->places == NULL)
        return true;
    const int64_t at = (int64_t)hearth__ops_number(
        r->places, b * r->places->strides[0] + s * r->places->strides[1]);
    if (at < 0 || at >= table->shape.dims[0])
        return false;
    *offset = at * table->strides[0];
    return true;
}

/* Turns the pairs of <x> [D], the head at [b,.,s]. */
static bool turn(const struct rotary *r, int64_t b, int64_t s, double *x)
{
    int64_t cos_at, sin_at;
    if (!angles_at(r, r->cos, b, s, &cos_at) ||
        !angles_at(r, r->sin, b, s, &sin_at))
        return false;
    const int64_t cos_step = r->cos->strides[r->cos->shape.rank - 1];
    const int64_t sin_step = r->sin->strides[r->sin->shape.rank - 1];
    for (int64_t i = 0; i < r->half; i++) {
        const double c = hearth__ops_number(r->cos, cos_at + i * cos_step);
        const double n = hearth__ops_number(r->sin, sin_at + i * sin_step);
        double *re = r->interleaved ? &x[2 * i] : &x[i];
        double *im = r->interleaved ? &x[2 * i + 1] : &x[r->half + i];
        const double a = *re, d = *im;
        *re = c * a - n * d;
        *im = n * a + c * d;
    }
    return true;
}

HEARTH__OPS_EVAL(rotary_embedding)
{
    const struct hearth_graph *g = call->graph;
    const struct hearth_shape *xs = &in[0]->shape;
    const int64_t told = hearth_attr_int(g, call->node, HEARTH_ATTR_Q_HEADS, 0);
    const int64_t part =
        hearth_attr_int(g, call->node, HEARTH_ATTR_ROTARY_DIM, 0);
    const bool three = xs->rank == 3;
    const int64_t heads = three ? told : xs->dims[1];
    const int64_t len = xs->dims[three ? 1 : 2];
    const int64_t d = three ? xs->dims[2] / heads : xs->dims[3];
    const struct rotary r = {
        .cos = in[1],
        .sin = in[2],
        .places = optional(call, in, 3),
        .half = (part == 0 ? d : part) / 2,
        .interleaved =
            hearth_attr_int(g, call->node, HEARTH_ATTR_INTERLEAVED, 0) != 0};
    double *x = hearth__ops_doubles(in[0], err);
    bool ok = true;
    if (x == NULL)
        return HEARTH_ENOMEM;
    for (int64_t b = 0; ok && b < xs->dims[0]; b++)
        for (int64_t s = 0; ok && s < len; s++)
            for (int64_t h = 0; ok && h < heads; h++)
                ok = turn(&r, b, s,
                          x + (three ? (b * len + s) * heads + h
                                     : (b * heads + h) * len + s) *
                                  d);
    if (ok)
        hearth__ops_put_doubles(&out[0], x);
    free(x);
    return ok ? HEARTH_OK
              : hearth_fail(err, HEARTH_EINVAL,
                            "a place lies outside of the table of angles");
}
