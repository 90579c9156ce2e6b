/* SPDX-License-Identifier: Apache-2.0 */
/*
 * infer_attention.c: element types and shapes of Attention and RotaryEmbedding.
 *
 *   Q [B,heads,S,D]  K [B,kv heads,N,D]  V [B,kv heads,N,E]
 *   or [B,S,heads*D] [B,N,kv heads*D] [B,N,kv heads*E]
 *   past key, value [B,kv heads,P,D or E]; T = P + N
 *   Y as Q with E; present ones [B,kv heads,T,D or E]; product [B,heads,S,T]
 */
#include <inttypes.h>

#include "ops/ops_impl.h"

enum { Q, K, V, MASK, PAST_KEY, PAST_VALUE, LENGTHS };

static int check_types(const struct hearth_op_call *call,
                       struct hearth_error *err)
{
    const struct hearth_value_info *mask = hearth__ops_in(call, MASK);
    const struct hearth_value_info *lengths = hearth__ops_in(call, LENGTHS);
    const struct hearth_value_info *past = hearth__ops_in(call, PAST_VALUE);
    int rc = hearth__ops_same_dtype(call, K, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_same_dtype(call, PAST_KEY, err);
    if (rc == HEARTH_OK &&
        hearth__ops_kind(call->in[V]->dtype) != HEARTH__OPS_FLOAT)
        rc = hearth_fail(err, HEARTH_ETYPE, "V is %s",
                         hearth_dtype_name(call->in[V]->dtype));
    if (rc == HEARTH_OK && past != NULL && past->dtype != call->in[V]->dtype)
        rc = hearth_fail(err, HEARTH_ETYPE, "past value is %s, V is %s",
                         hearth_dtype_name(past->dtype),
                         hearth_dtype_name(call->in[V]->dtype));
    if (rc == HEARTH_OK &&
        (past == NULL) != (hearth__ops_in(call, PAST_KEY) == NULL))
        rc = hearth_fail(err, HEARTH_EMODEL,
                         "of the past there is only the key or the value");
    if (rc == HEARTH_OK && mask != NULL && mask->dtype != HEARTH_BOOL &&
        hearth__ops_kind(mask->dtype) != HEARTH__OPS_FLOAT)
        rc = hearth_fail(err, HEARTH_ETYPE, "the mask is %s",
                         hearth_dtype_name(mask->dtype));
    if (rc == HEARTH_OK && lengths != NULL && lengths->dtype != HEARTH_I64)
        rc = hearth_fail(err, HEARTH_ETYPE, "lengths are %s, not i64",
                         hearth_dtype_name(lengths->dtype));
    if (rc == HEARTH_OK && lengths != NULL && past != NULL)
        rc = hearth_fail(err, HEARTH_EMODEL,
                         "lengths are of a cache outside, but there is a past");
    return rc;
}

/* Input <k> as [B, heads, S, D]. */
static int four(const struct hearth_op_call *call, uint32_t k, int64_t heads,
                struct hearth_shape *to, struct hearth_error *err)
{
    const struct hearth_shape *s = &call->in[k]->shape;
    *to = *s;
    if (s->rank == 4) {
        if (heads > 0 && !HEARTH_DIM_IS_SYMBOL(s->dims[1]) &&
            s->dims[1] != heads)
            return hearth_fail(err, HEARTH_ESHAPE,
                               "input %" PRIu32 " has %" PRId64
                               " heads, the attribute says %" PRId64,
                               k, s->dims[1], heads);
        return HEARTH_OK;
    }
    if (s->rank != 3 || heads < 1)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "input %" PRIu32 " of rank %" PRId32
                           " is not [B,heads,S,D], nor [B,S,heads*D] with a "
                           "number of heads",
                           k, s->rank);
    to->rank = 4;
    to->dims[1] = heads;
    to->dims[2] = s->dims[1];
    to->dims[3] = s->dims[2];
    if (HEARTH_DIM_IS_SYMBOL(s->dims[2]))
        to->dims[3] = hearth__ops_fresh(call);
    else if (s->dims[2] % heads != 0)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "%" PRId64 " elements do not divide into %" PRId64
                           " heads",
                           s->dims[2], heads);
    else
        to->dims[3] = s->dims[2] / heads;
    return HEARTH_OK;
}

/* Q, K, V as four axes each. */
int hearth__ops_attention_shapes(const struct hearth_op_call *call,
                                 struct hearth_shape s[3],
                                 struct hearth_error *err)
{
    const int64_t q_heads =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_Q_HEADS, 0);
    const int64_t kv_heads =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_KV_HEADS, 0);
    int rc = HEARTH_OK;
    for (uint32_t k = 0; rc == HEARTH_OK && k < 3; k++)
        rc = four(call, k, k == Q ? q_heads : kv_heads, &s[k], err);
    if (rc == HEARTH_OK && call->in[K]->shape.rank != call->in[Q]->shape.rank)
        rc = hearth_fail(err, HEARTH_ESHAPE, "Q and K have other ranks");
    return rc;
}

static int merge(struct hearth_shape *a, int i, struct hearth_shape *b, int k,
                 const char *what, struct hearth_error *err)
{
    int64_t merged;
    int rc = hearth__ops_merge_dim(a->dims[i], b->dims[k], &merged, what, err);
    if (rc == HEARTH_OK)
        a->dims[i] = b->dims[k] = merged;
    return rc;
}

/* Sizes that must agree; *total: keys of past and present. */
static int check_shapes(const struct hearth_op_call *call,
                        struct hearth_shape s[3], int64_t *total,
                        struct hearth_error *err)
{
    int rc = merge(&s[Q], 0, &s[K], 0, "batch of Q and K", err);
    if (rc == HEARTH_OK)
        rc = merge(&s[Q], 0, &s[V], 0, "batch of Q and V", err);
    if (rc == HEARTH_OK)
        rc = merge(&s[Q], 3, &s[K], 3, "size of a head of Q and K", err);
    if (rc == HEARTH_OK)
        rc = merge(&s[K], 1, &s[V], 1, "heads of K and V", err);
    if (rc == HEARTH_OK)
        rc = merge(&s[K], 2, &s[V], 2, "lengths of K and V", err);
    *total = s[K].dims[2];
    for (uint32_t k = PAST_KEY; rc == HEARTH_OK && k <= PAST_VALUE; k++) {
        const struct hearth_value_info *in = hearth__ops_in(call, k);
        struct hearth_shape *of = &s[k == PAST_KEY ? K : V];
        if (in == NULL || in->shape.rank < 0)
            continue;
        struct hearth_shape p = in->shape;
        if (p.rank != 4)
            return hearth_fail(err, HEARTH_ESHAPE, "the past has rank %" PRId32,
                               p.rank);
        rc = merge(of, 0, &p, 0, "batch of the past", err);
        if (rc == HEARTH_OK)
            rc = merge(of, 1, &p, 1, "heads of the past", err);
        if (rc == HEARTH_OK)
            rc = merge(of, 3, &p, 3, "size of a head of the past", err);
        int64_t sum = *total;
        if (rc == HEARTH_OK)
            rc = hearth__ops_add_dim(call, s[K].dims[2], p.dims[2], &sum, err);
        if (rc == HEARTH_OK && k == PAST_VALUE)
            rc = hearth__ops_merge_dim(*total, sum, total,
                                       "lengths of the past", err);
        else
            *total = sum;
    }
    if (rc == HEARTH_OK && !HEARTH_DIM_IS_SYMBOL(s[Q].dims[1]) &&
        !HEARTH_DIM_IS_SYMBOL(s[K].dims[1]) &&
        (s[K].dims[1] == 0 || s[Q].dims[1] % s[K].dims[1] != 0))
        rc = hearth_fail(err, HEARTH_ESHAPE,
                         "%" PRId64 " heads of Q do not divide among %" PRId64
                         " of K",
                         s[Q].dims[1], s[K].dims[1]);
    return rc;
}

/* The mask broadcasts to [B,heads,S,T], or is shorter in the end. */
static int check_mask(const struct hearth_op_call *call,
                      const struct hearth_shape *q, int64_t total,
                      struct hearth_error *err)
{
    const struct hearth_value_info *mask = hearth__ops_in(call, MASK);
    const struct hearth_value_info *lengths = hearth__ops_in(call, LENGTHS);
    struct hearth_shape want = *q;
    want.dims[3] = total;
    if (lengths != NULL && lengths->shape.rank >= 0) {
        int64_t merged;
        if (lengths->shape.rank != 1)
            return hearth_fail(err, HEARTH_ESHAPE, "lengths are no vector");
        int rc = hearth__ops_merge_dim(lengths->shape.dims[0], q->dims[0],
                                       &merged, "lengths and batch", err);
        if (rc != HEARTH_OK)
            return rc;
    }
    if (mask == NULL || mask->shape.rank < 0)
        return HEARTH_OK;
    const int rank = mask->shape.rank;
    if (rank < 1)
        return hearth_fail(err, HEARTH_ESHAPE, "the mask is one number");
    const int64_t last = mask->shape.dims[rank - 1];
    if (!HEARTH_DIM_IS_SYMBOL(last) &&
        (HEARTH_DIM_IS_SYMBOL(total) || last < total))
        want.dims[3] = last;
    return hearth__ops_broadcasts_to(&mask->shape, &want, "the mask", err);
}

HEARTH__OPS_INFER(attention)
{
    int rc = hearth__ops_begin(call, err);
    struct hearth_shape s[3];
    struct hearth_value_info *out = call->out;
    int64_t total;
    if (rc == HEARTH_OK)
        rc = check_types(call, err);
    if (rc != HEARTH_OK)
        return rc;
    if (call->output_count > 2)
        out[2].dtype = call->in[V]->dtype;
    for (uint32_t k = 0; k < 3; k++)
        if (call->in[k]->shape.rank < 0)
            return HEARTH_OK;
    rc = hearth__ops_attention_shapes(call, s, err);
    if (rc == HEARTH_OK)
        rc = check_shapes(call, s, &total, err);
    if (rc == HEARTH_OK)
        rc = check_mask(call, &s[Q], total, err);
    if (rc != HEARTH_OK)
        return rc;
    struct hearth_shape y = s[Q];
    y.dims[3] = s[V].dims[3];
    if (call->in[Q]->shape.rank == 3) {
        y.rank = 3;
        y.dims[1] = s[Q].dims[2];
        if (HEARTH_DIM_IS_SYMBOL(s[V].dims[3]))
            y.dims[2] = hearth__ops_fresh(call);
        else if (__builtin_mul_overflow(s[Q].dims[1], s[V].dims[3], &y.dims[2]))
            return hearth_fail(err, HEARTH_ESHAPE, "the result is too large");
    }
    out[0].shape = y;
    for (uint32_t k = 1; k < call->output_count; k++) {
        out[k].shape = k == 3 ? s[Q] : s[k];
        out[k].shape.dims[k == 3 ? 3 : 2] = total;
    }
    return HEARTH_OK;
}

/* A mask of four axes has the batch on axis 0, which it is not asked for. */
HEARTH__OPS_BATCH(attention)
{
    const struct hearth_value_info *mask = hearth__ops_in(call, MASK);
    return mask == NULL || (mask->shape.rank >= 0 && mask->shape.rank < 4) ||
           (mask->shape.rank == 4 && mask->shape.dims[0] == 1);
}

/* ---- RotaryEmbedding ---- */

HEARTH__OPS_INFER(rotary_embedding)
{
    int rc = hearth__ops_begin(call, err);
    const struct hearth_value_info *places = hearth__ops_in(call, 3);
    const int64_t heads =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_Q_HEADS, 0);
    const int64_t part =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_ROTARY_DIM, 0);
    struct hearth_shape x;
    for (uint32_t k = 1; rc == HEARTH_OK && k < 3; k++)
        rc = hearth__ops_same_dtype(call, k, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 3, err);
    if (rc != HEARTH_OK || call->in[0]->shape.rank < 0)
        return rc;
    call->out[0].shape = call->in[0]->shape;
    rc = four(call, 0, heads, &x, err);
    if (rc != HEARTH_OK || HEARTH_DIM_IS_SYMBOL(x.dims[3]))
        return rc;
    const int64_t turned = part == 0 ? x.dims[3] : part;
    if (turned < 0 || turned > x.dims[3] || turned % 2 != 0)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "%" PRId64 " of %" PRId64
                           " elements cannot be turned in pairs",
                           turned, x.dims[3]);
    /* cos and sin: [B,S,half], or rows of a table of places [B,S]. */
    struct hearth_shape want = {.rank = 3,
                                .dims = {x.dims[0], x.dims[2], turned / 2}};
    for (uint32_t k = 1; rc == HEARTH_OK && k < 3; k++) {
        struct hearth_shape s = call->in[k]->shape;
        if (s.rank < 0)
            continue;
        if (s.rank != (places == NULL ? 3 : 2))
            return hearth_fail(err, HEARTH_ESHAPE,
                               "input %" PRIu32 " has rank %" PRId32, k,
                               s.rank);
        for (int i = places == NULL ? 0 : 1; rc == HEARTH_OK && i < s.rank; i++)
            rc = merge(&s, i, &want, places == NULL ? i : 2, "angles and input",
                       err);
    }
    if (rc == HEARTH_OK && places != NULL && places->shape.rank >= 0) {
        struct hearth_shape s = places->shape;
        if (s.rank != 2)
            return hearth_fail(err, HEARTH_ESHAPE, "places are no matrix");
        for (int i = 0; rc == HEARTH_OK && i < 2; i++)
            rc = merge(&s, i, &want, i, "places and input", err);
    }
    return rc;
}
