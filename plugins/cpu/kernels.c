/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernels.c: loops over f32 that need no library. The compiler vectorises them
 * for each instruction set, and the loader picks at run time. Small counts stay
 * on one thread: waking a team costs more.
 */
#include <math.h>
#include <string.h>

#include "cpu.h"

/* Sanitizers start after the resolvers that pick a clone. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) &&         \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CLONES                                                                 \
    __attribute__((                                                            \
        target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif

#define PIECE 16384 /* elements of a thread's piece */

/* Cuts [0, count) into pieces and calls <body> for each, with <i> its first and
 * <n> its length. */
#define IN_PIECES(count, body)                                                 \
    do {                                                                       \
        int64_t pieces = ((count) + PIECE - 1) / PIECE;                        \
        _Pragma("omp parallel for if (pieces > 1) schedule(static)") for (     \
            int64_t piece = 0; piece < pieces; piece++)                        \
        {                                                                      \
            int64_t i = piece * PIECE;                                         \
            int64_t n = (count)-i < PIECE ? (count)-i : PIECE;                 \
            body;                                                              \
        }                                                                      \
    } while (0)

/* ---- Activations ---- */

CLONES static void relu(const float *x, float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] > 0 || x[i] != x[i] ? x[i] : 0;
}

CLONES static void clip(const float *x, float *y, int64_t n, float low,
                        float high)
{
    for (int64_t i = 0; i < n; i++) {
        float v = x[i] < low ? low : x[i];
        y[i] = v > high ? high : v;
    }
}

static void sigmoid(const float *x, float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = 1.0f / (1.0f + expf(-x[i]));
}

static void hyperbolic(const float *x, float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = tanhf(x[i]);
}

static void activate(const float *x, float *y, int64_t n,
                     enum hearth_activation act, float alpha, float beta)
{
    switch (act) {
    case HEARTH_ACT_NONE:
        if (x != y)
            memcpy(y, x, (size_t)n * sizeof *y);
        break;
    case HEARTH_ACT_RELU:
        relu(x, y, n);
        break;
    case HEARTH_ACT_CLIP:
        clip(x, y, n, alpha, beta);
        break;
    case HEARTH_ACT_SIGMOID:
        sigmoid(x, y, n);
        break;
    case HEARTH_ACT_TANH:
        hyperbolic(x, y, n);
        break;
    }
}

void cpu_activate(float *x, int64_t count, enum hearth_activation act,
                  float alpha, float beta)
{
    if (act != HEARTH_ACT_NONE)
        IN_PIECES(count, activate(x + i, x + i, n, act, alpha, beta));
}

static enum hearth_activation activation_of(enum hearth_op op)
{
    switch (op) {
    case HEARTH_OP_RELU:
        return HEARTH_ACT_RELU;
    case HEARTH_OP_CLIP:
        return HEARTH_ACT_CLIP;
    case HEARTH_OP_SIGMOID:
        return HEARTH_ACT_SIGMOID;
    case HEARTH_OP_TANH:
        return HEARTH_ACT_TANH;
    default:
        return HEARTH_ACT_NONE;
    }
}

void cpu_unary(enum hearth_op op, const float *x, float *y, int64_t count,
               float alpha, float beta)
{
    enum hearth_activation act = activation_of(op);
    IN_PIECES(count, activate(x + i, y + i, n, act, alpha, beta));
}

/* ---- Two operands ---- */

#define BINARY(name, expr)                                                     \
    CLONES static void name(const float *a, const float *b, float *y,          \
                            int64_t n)                                         \
    {                                                                          \
        for (int64_t i = 0; i < n; i++)                                        \
            y[i] = expr(b[i]);                                                 \
    }                                                                          \
    CLONES static void name##_one(const float *a, float b, float *y,           \
                                  int64_t n)                                   \
    {                                                                          \
        for (int64_t i = 0; i < n; i++)                                        \
            y[i] = expr(b);                                                    \
    }
#define ADD(b) a[i] + (b)
#define SUB(b) a[i] - (b)
#define MUL(b) a[i] * (b)
#define DIV(b) a[i] / (b)
BINARY(add, ADD)
BINARY(sub, SUB)
BINARY(mul, MUL)
BINARY(divide, DIV)

void cpu_binary(enum hearth_op op, const float *a, const float *b, bool one,
                float *y, int64_t count)
{
    void (*both)(const float *, const float *, float *, int64_t) =
        op == HEARTH_OP_ADD   ? add
        : op == HEARTH_OP_SUB ? sub
        : op == HEARTH_OP_MUL ? mul
                              : divide;
    void (*with_one)(const float *, float, float *, int64_t) =
        op == HEARTH_OP_ADD   ? add_one
        : op == HEARTH_OP_SUB ? sub_one
        : op == HEARTH_OP_MUL ? mul_one
                              : divide_one;
    if (one)
        IN_PIECES(count, with_one(a + i, *b, y + i, n));
    else
        IN_PIECES(count, both(a + i, b + i, y + i, n));
}

/* ---- Rows ---- */

static void softmax_row(const float *x, float *y, int64_t n)
{
    float largest = x[0], sum = 0;
    for (int64_t i = 1; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    for (int64_t i = 0; i < n; i++) {
        y[i] = expf(x[i] - largest);
        sum += y[i];
    }
    for (int64_t i = 0; i < n; i++)
        y[i] /= sum;
}

void cpu_softmax(const float *x, float *y, int64_t count, int64_t n)
{
    if (n == 0)
        return;
#pragma omp parallel for if (count * n > PIECE) schedule(static)
    for (int64_t r = 0; r < count; r++)
        softmax_row(x + r * n, y + r * n, n);
}

CLONES static void mean_row(const float *x, float *y, int64_t pixels, int block)
{
    float sums[16] = {0};
    for (int64_t p = 0; p < pixels; p++)
        for (int c = 0; c < block; c++)
            sums[c] += x[p * block + c];
    for (int c = 0; c < block; c++)
        y[c] = sums[c] / (float)pixels;
}

CLONES static float mean_plain(const float *x, int64_t pixels)
{
    /* Sixteen sums: as exact as a tree, and they vectorise. */
    float sums[16] = {0}, sum = 0;
    int64_t p = 0;
    for (; p + 16 <= pixels; p += 16)
        for (int k = 0; k < 16; k++)
            sums[k] += x[p + k];
    for (; p < pixels; p++)
        sums[p % 16] += x[p];
    for (int k = 0; k < 16; k++)
        sum += sums[k];
    return sum / (float)pixels;
}

void cpu_channel_means(const float *x, float *y, int64_t count, int64_t pixels,
                       int block)
{
    int64_t rows = count / block;
#pragma omp parallel for if (count * pixels > PIECE) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        if (block == 1)
            y[r] = mean_plain(x + r * pixels, pixels);
        else
            mean_row(x + r * pixels * block, y + r * block, pixels, block);
    }
}

CLONES static void add_to(float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += x[i];
}

void cpu_epilogue(float *y, const float *bias, const float *z, int64_t rows,
                  int64_t n, enum hearth_activation act, float alpha,
                  float beta)
{
    if (bias == NULL && z == NULL && act == HEARTH_ACT_NONE)
        return;
#pragma omp parallel for if (rows * n > PIECE) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        float *row = y + r * n;
        if (bias != NULL)
            add_to(row, bias, n);
        if (z != NULL)
            add_to(row, z + r * n, n);
        activate(row, row, n, act, alpha, beta);
    }
}
