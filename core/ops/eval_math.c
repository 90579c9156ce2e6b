/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval_math.c: elementwise functions beyond arithmetic: of one input (Erf,
 * Gelu, HardSwish, ...), of two (Pow, comparisons, logic), and Where.
 */
#include <math.h>
#include <string.h>

#include "ops/ops_impl.h"

#define CHUNK HEARTH__OPS_CHUNK
typedef union hearth__ops_num num_t;

int hearth__ops_chunks(const struct hearth_view *const *in, uint32_t count,
                       struct hearth_view *y, hearth__ops_chunk_fn fn,
                       const void *arg, struct hearth_error *err)
{
    struct hearth__ops_nest nest;
    num_t x[3][CHUNK];
    hearth__ops_nest_init(&nest, &y->shape);
    hearth__ops_nest_add(&nest, y);
    for (uint32_t k = 0; k < count; k++)
        hearth__ops_nest_add(&nest, in[k]);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest)) {
        for (int64_t at = 0; at < nest.run; at += CHUNK) {
            int64_t n = nest.run - at < CHUNK ? nest.run - at : CHUNK;
            for (uint32_t k = 0; k < count; k++)
                hearth__ops_load(x[k], in[k]->data, in[k]->dtype,
                                 nest.offset[k + 1] + at * nest.step[k + 1],
                                 nest.step[k + 1], n);
            int rc = fn(x, n, arg, err);
            if (rc != HEARTH_OK)
                return rc;
            hearth__ops_store(y->data, y->dtype,
                              nest.offset[0] + at * nest.step[0], nest.step[0],
                              x[0], n);
        }
    }
    return HEARTH_OK;
}

/* ---- One input ---- */

struct math_arg {
    uint32_t op;
    enum hearth__ops_kind kind;
    enum hearth_dtype dtype;
    double alpha, beta;
    bool tanh;
};

static double clamp01(double x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x; /* NaN stays */
}

static double gelu(double x, bool by_tanh)
{
    /* Hendrycks and Gimpel, 2016; sqrt(2 / pi), sqrt(1 / 2). */
    if (by_tanh)
        return 0.5 * x *
               (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    return 0.5 * x * (1 + erf(x * 0.7071067811865476));
}

static double of_float(const struct math_arg *a, double x)
{
    switch (a->op) {
    case HEARTH_OP_LEAKY_RELU:
        return x < 0 ? a->alpha * x : x;
    case HEARTH_OP_HARD_SIGMOID:
        return clamp01(a->alpha * x + a->beta);
    case HEARTH_OP_HARD_SWISH:
        return x * clamp01(x / 6 + 0.5);
    case HEARTH_OP_ERF:
        return erf(x);
    case HEARTH_OP_GELU:
        return gelu(x, a->tanh);
    case HEARTH_OP_SQRT:
        return sqrt(x);
    case HEARTH_OP_EXP:
        return exp(x);
    case HEARTH_OP_LOG:
        return log(x);
    case HEARTH_OP_NEG:
        return -x;
    case HEARTH_OP_ABS:
        return fabs(x);
    case HEARTH_OP_RECIPROCAL:
        return 1 / x;
    case HEARTH_OP_FLOOR:
        return floor(x);
    default:
        return ceil(x);
    }
}

static int math_chunk(num_t x[3][CHUNK], int64_t n, const void *arg,
                      struct hearth_error *err)
{
    const struct math_arg *a = arg;
    (void)err;
    if (a->kind == HEARTH__OPS_FLOAT) {
        for (int64_t k = 0; k < n; k++)
            x[0][k].f = of_float(a, x[0][k].f);
    } else if (a->op == HEARTH_OP_NOT) {
        for (int64_t k = 0; k < n; k++)
            x[0][k].u = x[0][k].u == 0;
    } else if (a->op == HEARTH_OP_NEG) {
        for (int64_t k = 0; k < n; k++)
            x[0][k].u = 0 - x[0][k].u;
    } else if (a->kind == HEARTH__OPS_SIGNED) { /* Abs */
        for (int64_t k = 0; k < n; k++)
            if (x[0][k].i < 0)
                x[0][k].u = 0 - x[0][k].u;
    }
    hearth__ops_wrap(x[0], n, a->dtype);
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(math)
{
    bool hard = call->node->op == HEARTH_OP_HARD_SIGMOID;
    struct math_arg arg = {
        .op = call->node->op,
        .kind = hearth__ops_kind(in[0]->dtype),
        .dtype = in[0]->dtype,
        .alpha = hearth_attr_float(call->graph, call->node, HEARTH_ATTR_ALPHA,
                                   hard ? 0.2f : 0.01f),
        .beta =
            hearth_attr_float(call->graph, call->node, HEARTH_ATTR_BETA, 0.5),
        .tanh = strcmp(hearth_attr_string(call->graph, call->node,
                                          HEARTH_ATTR_MODE, "none"),
                       "tanh") == 0,
    };
    return hearth__ops_chunks(in, 1, &out[0], math_chunk, &arg, err);
}

/* ---- Two inputs ---- */

struct two_arg {
    uint32_t op;
    enum hearth__ops_kind kind, exponent;
    enum hearth_dtype dtype;
};

#define COMPARE(member)                                                        \
    for (int64_t k = 0; k < n; k++) {                                          \
        __typeof__(x[0][k].member) p = x[0][k].member, q = x[1][k].member;     \
        x[0][k].u = op == HEARTH_OP_EQUAL           ? p == q                   \
                    : op == HEARTH_OP_LESS          ? p < q                    \
                    : op == HEARTH_OP_GREATER       ? p > q                    \
                    : op == HEARTH_OP_LESS_OR_EQUAL ? p <= q                   \
                                                    : p >= q;                  \
    }

static int compare_chunk(num_t x[3][CHUNK], int64_t n, const void *arg,
                         struct hearth_error *err)
{
    const struct two_arg *a = arg;
    uint32_t op = a->op;
    (void)err;
    if (op == HEARTH_OP_AND || op == HEARTH_OP_OR) {
        for (int64_t k = 0; k < n; k++) {
            bool p = x[0][k].u != 0, q = x[1][k].u != 0;
            x[0][k].u = op == HEARTH_OP_AND ? p && q : p || q;
        }
    } else if (a->kind == HEARTH__OPS_FLOAT) {
        COMPARE(f)
    } else if (a->kind == HEARTH__OPS_SIGNED) {
        COMPARE(i)
    } else {
        COMPARE(u)
    }
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(compare)
{
    struct two_arg arg = {.op = call->node->op,
                          .kind = hearth__ops_kind(in[0]->dtype)};
    return hearth__ops_chunks(in, 2, &out[0], compare_chunk, &arg, err);
}

/* Modulo 2^64, by squaring. */
static uint64_t power(uint64_t base, uint64_t exponent)
{
    uint64_t result = 1;
    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1)
            result *= base;
        base *= base;
    }
    return result;
}

static double as_double(num_t x, enum hearth__ops_kind kind)
{
    return kind == HEARTH__OPS_FLOAT    ? x.f
           : kind == HEARTH__OPS_SIGNED ? (double)x.i
                                        : (double)x.u;
}

static int pow_chunk(num_t x[3][CHUNK], int64_t n, const void *arg,
                     struct hearth_error *err)
{
    const struct two_arg *a = arg;
    for (int64_t k = 0; k < n; k++) {
        double e = as_double(x[1][k], a->exponent);
        if (a->kind == HEARTH__OPS_FLOAT) {
            x[0][k].f = e == 2 ? x[0][k].f * x[0][k].f : pow(x[0][k].f, e);
        } else if (a->exponent != HEARTH__OPS_FLOAT) {
            if (e < 0 && x[0][k].u == 0)
                return hearth_fail(err, HEARTH_EINVAL,
                                   "0 has no negative integer power");
            /* 1 and -1 have theirs; of all others they are 0. */
            if (e < 0)
                x[0][k].i = x[0][k].i == 1    ? 1
                            : x[0][k].i != -1 ? 0
                            : x[1][k].u & 1   ? -1
                                              : 1;
            else
                x[0][k].u = power(x[0][k].u, x[1][k].u);
        } else {
            x[0][k].f = pow(as_double(x[0][k], a->kind), e);
            hearth__ops_convert(&x[0][k], 1, HEARTH_F64, a->dtype);
        }
    }
    hearth__ops_wrap(x[0], n, a->dtype);
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(pow)
{
    struct two_arg arg = {.kind = hearth__ops_kind(in[0]->dtype),
                          .exponent = hearth__ops_kind(in[1]->dtype),
                          .dtype = in[0]->dtype};
    (void)call;
    return hearth__ops_chunks(in, 2, &out[0], pow_chunk, &arg, err);
}

/* ---- Where ---- */

static int where_chunk(num_t x[3][CHUNK], int64_t n, const void *arg,
                       struct hearth_error *err)
{
    (void)arg;
    (void)err;
    for (int64_t k = 0; k < n; k++)
        x[0][k] = x[0][k].u != 0 ? x[1][k] : x[2][k];
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(where)
{
    (void)call;
    return hearth__ops_chunks(in, 3, &out[0], where_chunk, NULL, err);
}
