/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernels.c: loops over f32 that need no library. The compiler vectorises them
 * for each instruction set ("omp simd", for -O2 alone leaves loops of unknown
 * length as they are), and the loader picks at run time. Small counts stay on
 * one thread: waking a team costs more.
 */
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

/* NaN stays NaN. */
CLONES static void relu(const float *x, float *y, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] < 0 ? 0 : x[i];
}

CLONES static void clip(const float *x, float *y, int64_t n, float low,
                        float high)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float v = x[i] < low ? low : x[i];
        y[i] = v > high ? high : v;
    }
}

/* e^x to 2 units in the last place, 0 below the smallest normal number, its
 * largest finite value above: e^x = 2^n e^r, |r| <= ln(2)/2. */
static inline __attribute__((always_inline)) float exponential(float x)
{
    const float least = -87.33654f, most = 88.72283f;
    const float whole = 12582912.0f; /* 1.5 * 2^23: adding it rounds */
    float v = x < least ? least : x;
    v = v > most ? most : v;
    float n = (v * 1.44269504f + whole) - whole;
    float r = v - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1;
    /* 2^n in two halves: n may be 128. */
    int32_t k = (int32_t)n, half = k / 2;
    union {
        int32_t bits;
        float value;
    } a = {.bits = (half + 127) << 23}, b = {.bits = (k - half + 127) << 23};
    p = p * a.value * b.value;
    return x < least ? 0 : p;
}

CLONES static void sigmoid(const float *x, float *y, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = 1 / (1 + exponential(-x[i]));
}

/* The series where 1 - 2 / (e^2x + 1) would lose digits. */
CLONES static void hyperbolic(const float *x, float *y, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float v = x[i], s = v * v;
        float near =
            v + v * s * (-1.0f / 3 + s * (2.0f / 15 - s * (17.0f / 315)));
        float far = 1 - 2 / (exponential(2 * v) + 1);
        y[i] = s < 0.01f ? near : far;
    }
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

/* <rows> rows of <n> numbers; <a> and <b> go on by <a_row> and <b_row> a row,
 * and in it by one, or stand still. */
#define LOOP(name, expr)                                                       \
    CLONES static void name(const float *a, const float *b, float *y,          \
                            int64_t rows, int64_t n, int64_t a_row,            \
                            int64_t b_row)                                     \
    {                                                                          \
        for (int64_t r = 0; r < rows; r++, a += a_row, b += b_row, y += n) {   \
            _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = expr;   \
        }                                                                      \
    }
#define LOOPS(name, sign)                                                      \
    LOOP(name##_both, a[i] sign b[i])                                          \
    LOOP(name##_one_b, a[i] sign *b)                                           \
    LOOP(name##_one_a, *a sign b[i])
LOOPS(add, +)
LOOPS(subtract, -)
LOOPS(multiply, *)
LOOPS(divide, /)

typedef void (*loop_fn)(const float *a, const float *b, float *y, int64_t rows,
                        int64_t n, int64_t a_row, int64_t b_row);

static loop_fn loop_of(enum hearth_op op, int64_t a_step, int64_t b_step)
{
    static const loop_fn loops[4][3] = {
        {add_both, add_one_b, add_one_a},
        {subtract_both, subtract_one_b, subtract_one_a},
        {multiply_both, multiply_one_b, multiply_one_a},
        {divide_both, divide_one_b, divide_one_a}};
    int row = op == HEARTH_OP_ADD   ? 0
              : op == HEARTH_OP_SUB ? 1
              : op == HEARTH_OP_MUL ? 2
                                    : 3;
    return loops[row][b_step == 0 ? 1 : a_step == 0 ? 2 : 0];
}

/* Rows [r, end) of the third axis, all of them counted. */
static void binary_rows(loop_fn loop, const float *a, const float *b, float *y,
                        const struct cpu_broadcast *s, int64_t r, int64_t end)
{
    while (r < end) {
        int64_t outer = r / s->size[2], i = r % s->size[2];
        int64_t i0 = outer / s->size[1], i1 = outer % s->size[1];
        int64_t count = s->size[2] - i < end - r ? s->size[2] - i : end - r;
        loop(a + i0 * s->a[0] + i1 * s->a[1] + i * s->a[2],
             b + i0 * s->b[0] + i1 * s->b[1] + i * s->b[2], y + r * s->size[3],
             count, s->size[3], s->a[2], s->b[2]);
        r += count;
    }
}

void cpu_binary(enum hearth_op op, const float *a, const float *b, float *y,
                const struct cpu_broadcast *s, enum hearth_activation act,
                float alpha, float beta)
{
    int64_t length = s->size[3], rows = s->size[0] * s->size[1] * s->size[2];
    int64_t batch = length < PIECE ? PIECE / length : 1;
    loop_fn loop = loop_of(op, s->a[3], s->b[3]);
    if (rows == 1) { /* one long row */
        IN_PIECES(length, {
            loop(a + i * s->a[3], b + i * s->b[3], y + i, 1, n, 0, 0);
            activate(y + i, y + i, n, act, alpha, beta);
        });
        return;
    }
#pragma omp parallel for if (rows > batch) schedule(static)
    for (int64_t r = 0; r < rows; r += batch) {
        int64_t end = rows - r < batch ? rows : r + batch;
        float *from = y + r * length;
        binary_rows(loop, a, b, y, s, r, end);
        activate(from, from, (end - r) * length, act, alpha, beta);
    }
}

/* ---- A factor and a term a channel ---- */

CLONES static void affine_row(const float *x, float *y, float factor,
                              float term, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] * factor + term;
}

/* Blocks are 8 or 16 channels: a length that the compiler knows. */
#define AFFINE(block)                                                          \
    CLONES static void affine_##block(const float *x, float *y,                \
                                      const float *factor, const float *term,  \
                                      int64_t pixels)                          \
    {                                                                          \
        for (int64_t p = 0; p < pixels; p++, x += block, y += block) {         \
            _Pragma("omp simd") for (int c = 0; c < block; c++) y[c] =         \
                x[c] * factor[c] + term[c];                                    \
        }                                                                      \
    }
AFFINE(8)
AFFINE(16)

void cpu_affine(const float *x, const float *factor, const float *term,
                float *y, int64_t rows, int64_t pixels, int block,
                int64_t groups)
{
    int64_t n = pixels * block;
#pragma omp parallel for if (rows * n > PIECE) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        int64_t c = r % groups * block;
        if (block == 1)
            affine_row(x + r * n, y + r * n, factor[c], term[c], n);
        else if (block == 8)
            affine_8(x + r * n, y + r * n, factor + c, term + c, pixels);
        else
            affine_16(x + r * n, y + r * n, factor + c, term + c, pixels);
    }
}

/* ---- Rows ---- */

CLONES static void softmax_row(const float *x, float *y, int64_t n)
{
    float largest = x[0], sum = 0;
#pragma omp simd reduction(max : largest)
    for (int64_t i = 1; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
        y[i] = exponential(x[i] - largest);
        sum += y[i];
    }
#pragma omp simd
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
#pragma omp simd
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
