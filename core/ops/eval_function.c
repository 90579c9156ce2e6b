/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval_function.c: functions of one number: trigonometry, activations,
 * rounding, tests. Floating types are computed in double and rounded once.
 */
#include <math.h>

#include "ops/ops_impl.h"

typedef union hearth__ops_num num_t;

/* ---- What libm has not; <a> and <b> are ALPHA and BETA ---- */

static double sign(double x)
{
    return x > 0 ? 1 : x < 0 ? -1 : x; /* NaN and the zeros stay */
}

static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double softsign(double x)
{
    return x / (1 + fabs(x));
}

static double mish(double x)
{
    return x * tanh(softplus(x));
}

static double elu(double x, double a, double b)
{
    (void)b;
    return x < 0 ? a * expm1(x) : x;
}

static double celu(double x, double a, double b)
{
    (void)b;
    return x < 0 ? a * expm1(x / a) : x;
}

static double selu(double x, double a, double b)
{
    return b * (x > 0 ? x : a * expm1(x));
}

static double swish(double x, double a, double b)
{
    (void)b;
    return x / (1 + exp(-a * x));
}

static double thresholded_relu(double x, double a, double b)
{
    (void)b;
    return x > a ? x : 0;
}

static double shrink(double x, double a, double b)
{
    return x < -a ? x + b : x > a ? x - b : 0;
}

/* One of the two functions is set. */
static const struct function {
    double (*plain)(double x);
    double (*with)(double x, double a, double b);
    float a, b; /* unless the node says otherwise */
} functions[HEARTH_OP_COUNT] = {
    [HEARTH_OP_SIN] = {.plain = sin},
    [HEARTH_OP_COS] = {.plain = cos},
    [HEARTH_OP_TAN] = {.plain = tan},
    [HEARTH_OP_ASIN] = {.plain = asin},
    [HEARTH_OP_ACOS] = {.plain = acos},
    [HEARTH_OP_ATAN] = {.plain = atan},
    [HEARTH_OP_SINH] = {.plain = sinh},
    [HEARTH_OP_COSH] = {.plain = cosh},
    [HEARTH_OP_ASINH] = {.plain = asinh},
    [HEARTH_OP_ACOSH] = {.plain = acosh},
    [HEARTH_OP_ATANH] = {.plain = atanh},
    [HEARTH_OP_SIGN] = {.plain = sign},
    [HEARTH_OP_ROUND] = {.plain = rint}, /* halves to even */
    [HEARTH_OP_SOFTPLUS] = {.plain = softplus},
    [HEARTH_OP_SOFTSIGN] = {.plain = softsign},
    [HEARTH_OP_MISH] = {.plain = mish},
    [HEARTH_OP_ELU] = {.with = elu, .a = 1},
    [HEARTH_OP_CELU] = {.with = celu, .a = 1},
    [HEARTH_OP_SELU] = {.with = selu, .a = 1.67326324f, .b = 1.05070102f},
    [HEARTH_OP_SWISH] = {.with = swish, .a = 1},
    [HEARTH_OP_THRESHOLDED_RELU] = {.with = thresholded_relu, .a = 1},
    [HEARTH_OP_SHRINK] = {.with = shrink, .a = 0.5f},
};

struct arg {
    struct function function;
    double a, b;
    uint32_t op;
    enum hearth_dtype dtype;
};

/* Sign and Shrink. */
static void integers(num_t *x, int64_t n, const struct arg *arg)
{
    bool is_signed = hearth__ops_kind(arg->dtype) == HEARTH__OPS_SIGNED;
    for (int64_t k = 0; k < n; k++) {
        if (arg->op == HEARTH_OP_SIGN) {
            x[k].i = is_signed && x[k].i < 0 ? -1 : x[k].u != 0;
            continue;
        }
        double v = is_signed ? (double)x[k].i : (double)x[k].u;
        double y = shrink(v, arg->a, arg->b);
        /* What does not change needs no double, which holds 53 bits. */
        if (y == v)
            continue;
        x[k].f = y;
        hearth__ops_convert(&x[k], 1, HEARTH_F64, arg->dtype);
    }
}

static int chunk(num_t x[3][HEARTH__OPS_CHUNK], int64_t n, const void *p,
                 struct hearth_error *err)
{
    const struct arg *arg = p;
    (void)err;
    if (hearth__ops_kind(arg->dtype) != HEARTH__OPS_FLOAT)
        integers(x[0], n, arg);
    else if (arg->function.plain != NULL)
        for (int64_t k = 0; k < n; k++)
            x[0][k].f = arg->function.plain(x[0][k].f);
    else
        for (int64_t k = 0; k < n; k++)
            x[0][k].f = arg->function.with(x[0][k].f, arg->a, arg->b);
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(function)
{
    const struct function *f = &functions[call->node->op];
    struct arg arg = {
        .function = *f,
        .a = hearth_attr_float(call->graph, call->node, HEARTH_ATTR_ALPHA,
                               (double)f->a),
        .b = hearth_attr_float(call->graph, call->node, HEARTH_ATTR_BETA,
                               (double)f->b),
        .op = call->node->op,
        .dtype = in[0]->dtype,
    };
    return hearth__ops_chunks(in, 1, &out[0], chunk, &arg, err);
}

/* ---- Tests: IsNaN, IsInf ---- */

struct test_arg {
    bool nan, positive, negative;
};

static int test_chunk(num_t x[3][HEARTH__OPS_CHUNK], int64_t n, const void *p,
                      struct hearth_error *err)
{
    const struct test_arg *arg = p;
    (void)err;
    for (int64_t k = 0; k < n; k++) {
        double v = x[0][k].f;
        x[0][k].u = arg->nan
                        ? isnan(v)
                        : isinf(v) && (v > 0 ? arg->positive : arg->negative);
    }
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(test)
{
    struct test_arg arg = {
        .nan = call->node->op == HEARTH_OP_IS_NAN,
        .positive = hearth_attr_int(call->graph, call->node,
                                    HEARTH_ATTR_DETECT_POSITIVE, 1) != 0,
        .negative = hearth_attr_int(call->graph, call->node,
                                    HEARTH_ATTR_DETECT_NEGATIVE, 1) != 0};
    return hearth__ops_chunks(in, 1, &out[0], test_chunk, &arg, err);
}
