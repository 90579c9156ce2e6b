/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canon_attention.c: com.microsoft's Attention and MultiHeadAttention become
 * the product that makes Q, K and V, and ONNX's Attention.
 *
 * Their masks are of integers: a matrix of 0 and 1 for the keys becomes one of
 * bools with axes for heads and rows, a vector of lengths what ONNX has for it.
 */
#include <inttypes.h>

#include "model/canon.h"

static uint32_t input(const struct hearth__canon *c, uint32_t k)
{
    return k < c->draft.input_count ? c->draft.inputs[k] : HEARTH_NO_VALUE;
}

static int unsupported(struct hearth__canon *c, const char *what)
{
    return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                       "%s is not supported; save the model without that "
                       "optimisation",
                       what);
}

static uint32_t numbers(struct hearth__canon *c, uint32_t count,
                        const int64_t *values)
{
    return hearth__ir_const(c->ir, HEARTH_I64, 1, count, values);
}

static int step2(struct hearth__canon *c, uint32_t op, uint32_t a, uint32_t b,
                 int64_t axis, uint32_t *out)
{
    const uint32_t in[2] = {a, b};
    *out = HEARTH_NO_VALUE;
    if (a == HEARTH_NO_VALUE || b == HEARTH_NO_VALUE)
        return c->ir->err->status;
    return hearth__canon_step(c, op, 2, in, axis, out);
}

static int cast(struct hearth__canon *c, uint32_t x, enum hearth_dtype to,
                uint32_t *out)
{
    struct hearth__draft d = {.op = HEARTH_OP_CAST};
    *out = HEARTH_NO_VALUE;
    int rc = hearth__draft_set_int(c->ir, &d, HEARTH_ATTR_TO, to);
    return rc == HEARTH_OK ? hearth__canon_draft(c, &d, 1, &x, out) : rc;
}

/* Elements [from, to) of axis <axis>. */
static int slice(struct hearth__canon *c, uint32_t x, int64_t axis,
                 int64_t from, int64_t to, uint32_t *out)
{
    const uint32_t in[4] = {x, numbers(c, 1, &from), numbers(c, 1, &to),
                            numbers(c, 1, &axis)};
    *out = HEARTH_NO_VALUE;
    for (int k = 1; k < 4; k++)
        if (in[k] == HEARTH_NO_VALUE)
            return c->ir->err->status;
    return hearth__canon_step(c, HEARTH_OP_SLICE, 4, in, -1, out);
}

/* ---- Masks ---- */

struct masks {
    uint32_t mask, lengths; /* as the row takes them */
};

/* 0 or 1 for [B,T] or [B,S,T] becomes bool [B,1,S or 1,T]; a bias is kept where
 * it is open. */
static int matrix_mask(struct hearth__canon *c, uint32_t mask, int rank,
                       uint32_t bias, struct masks *m)
{
    static const int64_t axes[] = {1, 2};
    const float closed = -__builtin_inff();
    uint32_t open, wide;
    int rc = cast(c, mask, HEARTH_BOOL, &open);
    if (rc == HEARTH_OK)
        rc = step2(c, HEARTH_OP_UNSQUEEZE, open,
                   numbers(c, rank == 2 ? 2 : 1, axes), -1, &wide);
    m->mask = wide;
    if (rc != HEARTH_OK || bias == HEARTH_NO_VALUE)
        return rc;
    if (hearth__ir_value(c->ir, bias)->info.dtype != HEARTH_F32)
        return unsupported(c, "a mask beside a bias that is not f32");
    const uint32_t in[3] = {wide, bias,
                            hearth__ir_const(c->ir, HEARTH_F32, 0, 1, &closed)};
    m->mask = HEARTH_NO_VALUE;
    return in[2] == HEARTH_NO_VALUE
               ? c->ir->err->status
               : hearth__canon_step(c, HEARTH_OP_WHERE, 3, in, -1, &m->mask);
}

static int masks_of(struct hearth__canon *c, uint32_t mask, uint32_t bias,
                    bool past, struct masks *m)
{
    *m = (struct masks){bias, HEARTH_NO_VALUE};
    if (mask == HEARTH_NO_VALUE)
        return HEARTH_OK;
    const struct hearth_value_info *info = &hearth__ir_value(c->ir, mask)->info;
    const struct hearth_shape *x = &hearth__canon_in(c, 0)->shape;
    if (info->shape.rank == 2 || info->shape.rank == 3)
        return matrix_mask(c, mask, info->shape.rank, bias, m);
    /* As many lengths as sequences; there are forms with more numbers. */
    if (info->shape.rank != 1 || past || x->rank != 3 ||
        info->shape.dims[0] != x->dims[0] ||
        hearth__canon_int(c, "unidirectional", 0) != 0)
        return unsupported(c, "the form of its mask");
    return cast(c, mask, HEARTH_I64, &m->lengths);
}

/* ---- The attention ---- */

struct parts {
    uint32_t q, k, v, past_key, past_value;
    struct masks masks;
    uint32_t y, key, value; /* results; NO_VALUE: not wanted */
};

static int attend(struct hearth__canon *c, const struct parts *p)
{
    const struct hearth__onnx_attr *scale = hearth__canon_attr(c, "scale");
    const int64_t heads = hearth__canon_int(c, "num_heads", 0);
    const uint32_t in[7] = {p->q,
                            p->k,
                            p->v,
                            p->masks.mask,
                            p->past_key,
                            p->past_value,
                            p->masks.lengths};
    struct hearth__draft d = {.op = HEARTH_OP_ATTENTION,
                              .output_count = 3,
                              .outputs = {p->y, p->key, p->value}};
    uint32_t out = p->y;
    int rc = hearth__draft_set_int(c->ir, &d, HEARTH_ATTR_Q_HEADS, heads);
    if (rc == HEARTH_OK)
        rc = hearth__draft_set_int(c->ir, &d, HEARTH_ATTR_KV_HEADS, heads);
    if (rc == HEARTH_OK)
        rc = hearth__draft_set_int(c->ir, &d, HEARTH_ATTR_IS_CAUSAL,
                                   hearth__canon_int(c, "unidirectional", 0));
    if (rc == HEARTH_OK && scale != NULL && scale->f != 0) {
        const double f = (double)scale->f;
        rc = hearth__draft_set(c->ir, &d, HEARTH_ATTR_SCALE, HEARTH_ATTR_FLOATS,
                               1, &f);
    }
    return rc == HEARTH_OK ? hearth__canon_draft(c, &d, 7, in, &out) : rc;
}

/* Widths of Q, K and V in the product's last axis. */
static int widths_of(struct hearth__canon *c, int64_t all, int64_t widths[3])
{
    int64_t given[HEARTH__CANON_INTS], sum = 0;
    uint32_t count;
    int rc = hearth__canon_ints(c, "qkv_hidden_sizes", given, &count);
    if (rc != HEARTH_OK)
        return rc;
    for (int i = 0; i < 3; i++) {
        widths[i] = count == 3 ? given[i] : all / 3;
        if (widths[i] < 1 || __builtin_add_overflow(sum, widths[i], &sum))
            sum = -1;
    }
    if ((count != 0 && count != 3) || sum != all)
        return hearth_fail(c->ir->err, HEARTH_EMODEL,
                           "its %" PRId64 " weights do not divide into Q, K "
                           "and V; export the model again",
                           all);
    return HEARTH_OK;
}

/* Q, K and V of X times the weights. */
static int project(struct hearth__canon *c, struct parts *p)
{
    const struct hearth_value_info *w = hearth__canon_in(c, 1);
    uint32_t product, biased, *to[3] = {&p->q, &p->k, &p->v};
    int64_t widths[3], at = 0;
    if (w == NULL || w->shape.rank != 2 ||
        HEARTH_DIM_IS_SYMBOL(w->shape.dims[1]))
        return unsupported(c, "weights of a size that is not known");
    int rc = widths_of(c, w->shape.dims[1], widths);
    if (rc == HEARTH_OK)
        rc = step2(c, HEARTH_OP_MATMUL, input(c, 0), input(c, 1), -1, &product);
    biased = product;
    if (rc == HEARTH_OK && input(c, 2) != HEARTH_NO_VALUE)
        rc = step2(c, HEARTH_OP_ADD, product, input(c, 2), -1, &biased);
    for (int i = 0; rc == HEARTH_OK && i < 3; i++) {
        rc = slice(c, biased, 2, at, at + widths[i], to[i]);
        at += widths[i];
    }
    return rc;
}

/* [2,B,heads,P,D] is key and value of the past. */
static int split_past(struct hearth__canon *c, uint32_t past, struct parts *p)
{
    uint32_t *to[2] = {&p->past_key, &p->past_value};
    int rc = HEARTH_OK;
    for (int64_t i = 0; rc == HEARTH_OK && i < 2; i++)
        rc = step2(c, HEARTH_OP_GATHER, past,
                   hearth__ir_const(c->ir, HEARTH_I64, 0, 1, &i), 0, to[i]);
    return rc;
}

static int join_present(struct hearth__canon *c, const struct parts *p,
                        uint32_t present)
{
    const int64_t axis = 0;
    const uint32_t from[2] = {p->key, p->value};
    uint32_t wide[2];
    int rc = HEARTH_OK;
    if (present == HEARTH_NO_VALUE)
        return HEARTH_OK;
    for (int i = 0; rc == HEARTH_OK && i < 2; i++)
        rc = step2(c, HEARTH_OP_UNSQUEEZE, from[i], numbers(c, 1, &axis), -1,
                   &wide[i]);
    return rc == HEARTH_OK
               ? hearth__canon_step(c, HEARTH_OP_CONCAT, 2, wide, 0, &present)
               : rc;
}

/* What would change the meaning. */
static int check_attributes(struct hearth__canon *c)
{
    static const char *const off[] = {"do_rotary", "past_present_share_buffer"};
    if (hearth__canon_int(c, "num_heads", 0) < 1)
        return hearth_fail(c->ir->err, HEARTH_EMODEL,
                           "num_heads is missing or not positive; export the "
                           "model again");
    for (int i = 0; i < 2; i++)
        if (hearth__canon_int(c, off[i], 0) != 0)
            return unsupported(c, off[i]);
    return HEARTH_OK;
}

static int new_value(struct hearth__canon *c, bool wanted, uint32_t *value)
{
    *value = HEARTH_NO_VALUE;
    if (wanted)
        *value = hearth__ir_value_new(c->ir, (struct hearth__slice){0});
    return wanted && *value == HEARTH_NO_VALUE ? c->ir->err->status : HEARTH_OK;
}

/* The result, whether anybody wants it or not. */
static int result(struct hearth__canon *c, uint32_t *y)
{
    *y = hearth__canon_used(c, 0);
    return *y == HEARTH_NO_VALUE ? new_value(c, true, y) : HEARTH_OK;
}

static struct parts nothing(void)
{
    return (struct parts){.past_key = HEARTH_NO_VALUE,
                          .past_value = HEARTH_NO_VALUE,
                          .key = HEARTH_NO_VALUE,
                          .value = HEARTH_NO_VALUE};
}

/* X, weights, [bias], [mask], [past], [bias of the scores] */
int hearth__fix_ms_attention(struct hearth__canon *c)
{
    struct parts p = nothing();
    const uint32_t present = hearth__canon_used(c, 1), past = input(c, 4);
    int rc = check_attributes(c);
    if (rc == HEARTH_OK && input(c, 6) != HEARTH_NO_VALUE)
        rc = unsupported(c, "its input 6");
    if (rc == HEARTH_OK)
        rc = masks_of(c, input(c, 3), input(c, 5), past != HEARTH_NO_VALUE,
                      &p.masks);
    if (rc == HEARTH_OK)
        rc = project(c, &p);
    if (rc == HEARTH_OK && past != HEARTH_NO_VALUE)
        rc = split_past(c, past, &p);
    if (rc == HEARTH_OK)
        rc = new_value(c, present != HEARTH_NO_VALUE, &p.key);
    if (rc == HEARTH_OK)
        rc = new_value(c, present != HEARTH_NO_VALUE, &p.value);
    if (rc == HEARTH_OK)
        rc = result(c, &p.y);
    c->emitted = true;
    if (rc == HEARTH_OK)
        rc = attend(c, &p);
    return rc == HEARTH_OK ? join_present(c, &p, present) : rc;
}

/* Q, K, V, [bias], [mask of keys], [bias of the scores], [past key], [past
 * value] -> Y, present key, present value */
int hearth__fix_multi_head_attention(struct hearth__canon *c)
{
    struct parts p = nothing();
    uint32_t *to[3] = {&p.q, &p.k, &p.v};
    int64_t at = 0;
    int rc = check_attributes(c);
    for (uint32_t k = 0; rc == HEARTH_OK && k < 3; k++) {
        const struct hearth_value_info *in = hearth__canon_in(c, k);
        if (in == NULL || in->shape.rank != 3 ||
            HEARTH_DIM_IS_SYMBOL(in->shape.dims[2]))
            rc = unsupported(c, "the form of Q, K or V");
        *to[k] = input(c, k);
        uint32_t part;
        if (rc == HEARTH_OK && input(c, 3) != HEARTH_NO_VALUE) {
            const int64_t width = in->shape.dims[2];
            rc = slice(c, input(c, 3), 0, at, at + width, &part);
            if (rc == HEARTH_OK)
                rc = step2(c, HEARTH_OP_ADD, input(c, k), part, -1, to[k]);
            at += width;
        }
    }
    for (uint32_t k = 8; rc == HEARTH_OK && k < 10; k++)
        if (input(c, k) != HEARTH_NO_VALUE)
            rc = unsupported(c, "an input for beams or shared buffers");
    p.past_key = input(c, 6);
    p.past_value = input(c, 7);
    if (rc == HEARTH_OK)
        rc = masks_of(c, input(c, 4), input(c, 5),
                      p.past_key != HEARTH_NO_VALUE, &p.masks);
    if (rc == HEARTH_OK && hearth__canon_used(c, 3) != HEARTH_NO_VALUE)
        rc = unsupported(c, "the output of its product");
    p.key = hearth__canon_used(c, 1);
    p.value = hearth__canon_used(c, 2);
    if (rc == HEARTH_OK)
        rc = result(c, &p.y);
    c->emitted = true;
    return rc == HEARTH_OK ? attend(c, &p) : rc;
}
