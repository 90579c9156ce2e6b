/* SPDX-License-Identifier: Apache-2.0 */
/*
 * math.c: functions of one number beyond activations, and of rows: sums, layer
 * normalization, LRN. As in kernels.c the compiler vectorises. Absolute errors
 * are below 1e-6 of results near 1; sums of rows are kept in parts, which is as
 * exact as a tree.
 */
#include <math.h>
#include <string.h>

#include "kernels.h"

/* ---- One number in, one out ---- */

/* Near 0 the power series of erf, which loses nothing there; else Abramowitz
 * and Stegun 7.1.26, whose error is below 1.5e-7. */
static inline __attribute__((always_inline)) float error_function(float x)
{
    float v = fabsf(x), s = x * x;
    float t = 1 / (1 + 0.3275911f * v);
    float p = 1.061405429f;
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    float far = copysignf(1 - p * t * exponential(-s), x);
    float q = -1.0f / 1320;
    q = q * s + 1.0f / 216;
    q = q * s - 1.0f / 42;
    q = q * s + 1.0f / 10;
    q = q * s - 1.0f / 3;
    float near = 1.12837917f * (x + x * s * q);
    return v < 0.5f ? near : far;
}

static inline __attribute__((always_inline)) float clamp01(float x)
{
    float v = x < 0 ? 0 : x;
    return v > 1 ? 1 : v;
}

#define MATH(name, expr)                                                       \
    CLONES static void name(const float *x, float *y, int64_t n, float alpha,  \
                            float beta)                                        \
    {                                                                          \
        (void)alpha;                                                           \
        (void)beta;                                                            \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++)                    \
        {                                                                      \
            float v = x[i];                                                    \
            y[i] = expr;                                                       \
        }                                                                      \
    }

MATH(leaky_relu, v < 0 ? alpha * v : v)
MATH(hard_sigmoid, clamp01(alpha *v + beta))
MATH(hard_swish, v *clamp01(v *(1.0f / 6) + 0.5f))
MATH(erf_of, error_function(v))
MATH(gelu, 0.5f * v * (1 + error_function(v * 0.70710678f)))
/* (1 + tanh(u)) / 2 = 1 / (1 + e^-2u) */
MATH(gelu_tanh,
     v / (1 + exponential(-1.59576912f * (v + 0.044715f * v * v * v))))
MATH(root, sqrtf(v))
MATH(power_of_e, v > 88.72283f ? INFINITY : exponential(v))
MATH(negative, -v)
MATH(absolute, fabsf(v))
MATH(reciprocal, 1 / v)
MATH(down, floorf(v))
MATH(up, ceilf(v))

static void logarithm(const float *x, float *y, int64_t n, float alpha,
                      float beta)
{
    (void)alpha;
    (void)beta;
    for (int64_t i = 0; i < n; i++)
        y[i] = logf(x[i]);
}

void cpu__math(enum hearth_op op, const float *x, float *y, int64_t n,
               float alpha, float beta)
{
    switch (op) {
    case HEARTH_OP_LEAKY_RELU:
        leaky_relu(x, y, n, alpha, beta);
        break;
    case HEARTH_OP_HARD_SIGMOID:
        hard_sigmoid(x, y, n, alpha, beta);
        break;
    case HEARTH_OP_HARD_SWISH:
        hard_swish(x, y, n, alpha, beta);
        break;
    case HEARTH_OP_ERF:
        erf_of(x, y, n, alpha, beta);
        break;
    case HEARTH_OP_GELU:
        (alpha != 0 ? gelu_tanh : gelu)(x, y, n, alpha, beta);
        break;
    case HEARTH_OP_SQRT:
        root(x, y, n, alpha, beta);
        break;
    case HEARTH_OP_EXP:
        power_of_e(x, y, n, alpha, beta);
        break;
    case HEARTH_OP_LOG:
        logarithm(x, y, n, alpha, beta);
        break;
    case HEARTH_OP_NEG:
        negative(x, y, n, alpha, beta);
        break;
    case HEARTH_OP_ABS:
        absolute(x, y, n, alpha, beta);
        break;
    case HEARTH_OP_RECIPROCAL:
        reciprocal(x, y, n, alpha, beta);
        break;
    case HEARTH_OP_FLOOR:
        down(x, y, n, alpha, beta);
        break;
    case HEARTH_OP_CEIL:
        up(x, y, n, alpha, beta);
        break;
    default:
        if (x != y)
            memcpy(y, x, (size_t)n * sizeof *y);
    }
}

/* ---- Sums ---- */

CLONES static float sum_row(const float *x, int64_t n)
{
    float sums[16] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int k = 0; k < 16; k++)
            sums[k] += x[i + k];
    for (; i < n; i++)
        sums[i % 16] += x[i];
    for (int k = 0; k < 16; k++)
        sum += sums[k];
    return sum;
}

CLONES static void sum_columns(const float *x, float *y, int64_t n,
                               int64_t inner)
{
    memset(y, 0, (size_t)inner * sizeof *y);
    for (int64_t r = 0; r < n; r++, x += inner) {
#pragma omp simd
        for (int64_t i = 0; i < inner; i++)
            y[i] += x[i];
    }
}

CLONES static void over(float *y, int64_t n, float divisor)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] /= divisor;
}

void cpu_reduce(const float *x, float *y, int64_t outer, int64_t n,
                int64_t inner, float divisor)
{
#pragma omp parallel for if (outer * n * inner > PIECE) schedule(static)
    for (int64_t o = 0; o < outer; o++) {
        if (inner == 1)
            y[o] = sum_row(x + o * n, n);
        else
            sum_columns(x + o * n * inner, y + o * inner, n, inner);
        if (divisor != 1)
            over(y + o * inner, inner, divisor);
    }
}

/* ---- Layer normalization ---- */

/* The sum of squared distances from <mean>. */
CLONES static float spread_row(const float *x, int64_t n, float mean)
{
    float sums[16] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int k = 0; k < 16; k++)
            sums[k] += (x[i + k] - mean) * (x[i + k] - mean);
    for (; i < n; i++)
        sums[i % 16] += (x[i] - mean) * (x[i] - mean);
    for (int k = 0; k < 16; k++)
        sum += sums[k];
    return sum;
}

CLONES static void normal_row(const float *x, const float *scale,
                              const float *bias, float *y, int64_t n,
                              float mean, float factor)
{
    if (bias == NULL) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] = (x[i] - mean) * factor * scale[i];
        return;
    }
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = (x[i] - mean) * factor * scale[i] + bias[i];
}

void cpu_layer_norm(const float *x, const float *scale, const float *bias,
                    float *y, int64_t rows, int64_t n, float epsilon)
{
#pragma omp parallel for if (rows * n > PIECE) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        const float *row = x + r * n;
        float mean = sum_row(row, n) / (float)n;
        float variance = spread_row(row, n, mean) / (float)n;
        normal_row(row, scale, bias, y + r * n, n, mean,
                   1 / sqrtf(variance + epsilon));
    }
}

/* ---- LRN ---- */

CLONES static void add_squares(const float *x, float *sum, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        sum[i] += x[i] * x[i];
}

/* ^(3/4) is what every such net has. */
CLONES static void shrink_by_roots(const float *x, const float *sum, float *y,
                                   int64_t n, float alpha, float bias)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float t = bias + alpha * sum[i], r = sqrtf(t);
        y[i] = x[i] / (r * sqrtf(r));
    }
}

static void shrink(const float *x, const float *sum, float *y, int64_t n,
                   float alpha, float beta, float bias)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] / powf(bias + alpha * sum[i], beta);
}

#define LRN_PIXELS 512

static void lrn_channel(const float *x, float *y, int64_t pixels,
                        int64_t before, int64_t after, float alpha, float beta,
                        float bias)
{
    float sum[LRN_PIXELS];
    for (int64_t at = 0; at < pixels; at += LRN_PIXELS) {
        int64_t n = pixels - at < LRN_PIXELS ? pixels - at : LRN_PIXELS;
        memset(sum, 0, sizeof sum);
        for (int64_t k = -before; k <= after; k++)
            add_squares(x + k * pixels + at, sum, n);
        if (beta == 0.75f)
            shrink_by_roots(x + at, sum, y + at, n, alpha, bias);
        else
            shrink(x + at, sum, y + at, n, alpha, beta, bias);
    }
}

void cpu_lrn(const float *x, float *y, int64_t batch, int64_t channels,
             int64_t pixels, int64_t size, float alpha, float beta, float bias)
{
    int64_t rows = batch * channels;
    float share = alpha / (float)size;
#pragma omp parallel for if (rows * pixels > PIECE) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        int64_t c = r % channels, before = (size - 1) / 2, after = size / 2;
        before = before > c ? c : before;
        after = after > channels - 1 - c ? channels - 1 - c : after;
        lrn_channel(x + r * pixels, y + r * pixels, pixels, before, after,
                    share, beta, bias);
    }
}
