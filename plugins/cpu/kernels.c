/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernels.c: loops over f32 that need no library. The compiler vectorises them
 * for each instruction set ("omp simd", for -O2 alone leaves loops of unknown
 * length as they are), and the loader picks at run time. Small counts stay on
 * one thread: waking a team costs more.
 */
#include <math.h>
#include <string.h>

#include "activate.h"
#include "kernels.h"

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

CLONES static void sigmoid(const float *x, float *y, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = 1 / (1 + exponential(-x[i]));
}

CLONES static void swish(const float *x, float *y, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] / (1 + exponential(-x[i]));
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

void cpu__activate(const float *x, float *y, int64_t n,
                   enum hearth_activation act, float alpha, float beta)
{
    const int wide = cpu_widest();
    if (wide != 0 && act != HEARTH_ACT_NONE) {
        cpu_activate_of(wide)(x, y, 1, n, n, act, alpha, beta);
        return;
    }
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
    case HEARTH_ACT_GELU:
        cpu__math(HEARTH_OP_GELU, x, y, n, 0, 0);
        break;
    case HEARTH_ACT_GELU_TANH:
        cpu__math(HEARTH_OP_GELU, x, y, n, 1, 0);
        break;
    case HEARTH_ACT_SWISH:
        swish(x, y, n);
        break;
    case HEARTH_ACT_HARD_SWISH:
        cpu__math(HEARTH_OP_HARD_SWISH, x, y, n, 0, 0);
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

void cpu__unary(enum hearth_op op, const float *x, float *y, int64_t n,
                float alpha, float beta)
{
    enum hearth_activation act = activation_of(op);
    if (act == HEARTH_ACT_NONE)
        cpu__math(op, x, y, n, alpha, beta);
    else
        cpu__activate(x, y, n, act, alpha, beta);
}

void cpu_unary(enum hearth_op op, const float *x, float *y, int64_t count,
               float alpha, float beta)
{
    IN_PIECES(count, cpu__unary(op, x + i, y + i, n, alpha, beta));
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
#define LOOPS(name, f)                                                         \
    LOOP(name##_both, f(a[i], b[i]))                                           \
    LOOP(name##_one_b, f(a[i], *b))                                            \
    LOOP(name##_one_a, f(*a, b[i]))
#define SUM(p, q) ((p) + (q))
#define DIFFERENCE(p, q) ((p) - (q))
#define PRODUCT(p, q) ((p) * (q))
#define QUOTIENT(p, q) ((p) / (q))
/* NaN wins. */
#define LEAST(p, q) ((p) < (q) || (p) != (p) ? (p) : (q))
#define MOST(p, q) ((p) > (q) || (p) != (p) ? (p) : (q))
LOOPS(add, SUM)
LOOPS(subtract, DIFFERENCE)
LOOPS(multiply, PRODUCT)
LOOPS(divide, QUOTIENT)
LOOPS(least, LEAST)
LOOPS(most, MOST)

static void power_both(const float *a, const float *b, float *y, int64_t rows,
                       int64_t n, int64_t a_row, int64_t b_row)
{
    for (int64_t r = 0; r < rows; r++, a += a_row, b += b_row, y += n)
        for (int64_t i = 0; i < n; i++)
            y[i] = powf(a[i], b[i]);
}

static void power_one_a(const float *a, const float *b, float *y, int64_t rows,
                        int64_t n, int64_t a_row, int64_t b_row)
{
    for (int64_t r = 0; r < rows; r++, a += a_row, b += b_row, y += n)
        for (int64_t i = 0; i < n; i++)
            y[i] = powf(*a, b[i]);
}

/* The square is what exporters write a variance with. */
static void power_one_b(const float *a, const float *b, float *y, int64_t rows,
                        int64_t n, int64_t a_row, int64_t b_row)
{
    for (int64_t r = 0; r < rows; r++, a += a_row, b += b_row, y += n) {
        if (*b == 2) {
            multiply_both(a, a, y, 1, n, 0, 0);
            continue;
        }
        for (int64_t i = 0; i < n; i++)
            y[i] = powf(a[i], *b);
    }
}

typedef void (*loop_fn)(const float *a, const float *b, float *y, int64_t rows,
                        int64_t n, int64_t a_row, int64_t b_row);

static loop_fn loop_of(enum hearth_op op, int64_t a_step, int64_t b_step)
{
    static const loop_fn loops[][3] = {
        {add_both, add_one_b, add_one_a},
        {subtract_both, subtract_one_b, subtract_one_a},
        {multiply_both, multiply_one_b, multiply_one_a},
        {divide_both, divide_one_b, divide_one_a},
        {least_both, least_one_b, least_one_a},
        {most_both, most_one_b, most_one_a},
        {power_both, power_one_b, power_one_a}};
    int row = op == HEARTH_OP_ADD   ? 0
              : op == HEARTH_OP_SUB ? 1
              : op == HEARTH_OP_MUL ? 2
              : op == HEARTH_OP_DIV ? 3
              : op == HEARTH_OP_MIN ? 4
              : op == HEARTH_OP_MAX ? 5
                                    : 6;
    return loops[row][b_step == 0 ? 1 : a_step == 0 ? 2 : 0];
}

static int64_t offset_of(const int64_t *step, const int64_t *at)
{
    return at[0] * step[0] + at[1] * step[1] + at[2] * step[2] +
           at[3] * step[3];
}

void cpu__binary(enum hearth_op op, const float *a, int64_t a_gone,
                 const float *b, int64_t b_gone, float *y,
                 const struct cpu_broadcast *s, int64_t first, int64_t n)
{
    const loop_fn loop = loop_of(op, s->a[3], s->b[3]);
    while (n > 0) {
        int64_t at[4] = {0, 0, 0, first};
        for (int i = 3; i > 0 && at[i] >= s->size[i]; i--) {
            at[i - 1] = at[i] / s->size[i];
            at[i] %= s->size[i];
        }
        int64_t rows = 1, length = s->size[3] - at[3];
        if (length > n)
            length = n;
        else if (at[3] == 0) /* all whole rows of the third axis */
            rows = s->size[2] - at[2] < n / length ? s->size[2] - at[2]
                                                   : n / length;
        loop(a + (offset_of(s->a, at) - a_gone),
             b + (offset_of(s->b, at) - b_gone), y, rows, length, s->a[2],
             s->b[2]);
        y += rows * length;
        first += rows * length;
        n -= rows * length;
    }
}

void cpu_binary(enum hearth_op op, const float *a, const float *b, float *y,
                const struct cpu_broadcast *s, enum hearth_activation act,
                float alpha, float beta)
{
    int64_t count = s->size[0] * s->size[1] * s->size[2] * s->size[3];
    IN_PIECES(count, {
        cpu__binary(op, a, 0, b, 0, y + i, s, i, n);
        cpu__activate(y + i, y + i, n, act, alpha, beta);
    });
}

/* ---- A factor and a term a channel ---- */

CLONES static void affine_row(const float *x, float *y, float factor,
                              float term, float low, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float v = x[i] * factor + term;
        y[i] = v < low ? low : v;
    }
}

/* Blocks are 8 or 16 channels: a length that the compiler knows. */
#define AFFINE(block)                                                          \
    CLONES static void affine_##block(const float *x, float *y,                \
                                      const float *factor, const float *term,  \
                                      float low, int64_t pixels)               \
    {                                                                          \
        for (int64_t p = 0; p < pixels; p++, x += block, y += block) {         \
            _Pragma("omp simd") for (int c = 0; c < block; c++)                \
            {                                                                  \
                float v = x[c] * factor[c] + term[c];                          \
                y[c] = v < low ? low : v;                                      \
            }                                                                  \
        }                                                                      \
    }
AFFINE(8)
AFFINE(16)

void cpu_affine(const float *x, const float *factor, const float *term,
                float low, float *y, int64_t rows, int64_t pixels, int block,
                int64_t groups)
{
    int64_t n = pixels * block;
#pragma omp parallel for if (rows * n > PIECE) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        const float *f = factor + r % groups * block;
        const float *t = term + r % groups * block;
        if (block == 1)
            affine_row(x + r * n, y + r * n, *f, *t, low, n);
        else if (block == 8)
            affine_8(x + r * n, y + r * n, f, t, low, pixels);
        else
            affine_16(x + r * n, y + r * n, f, t, low, pixels);
    }
}

CLONES void cpu_factors(const float *const norm[4], float epsilon,
                        float *factor, float *term, int64_t channels)
{
    const float *scale = norm[0], *bias = norm[1], *mean = norm[2];
    const float *variance = norm[3];
#pragma omp simd
    for (int64_t c = 0; c < channels; c++) {
        factor[c] = scale[c] / sqrtf(variance[c] + epsilon);
        term[c] = bias[c] - mean[c] * factor[c];
    }
}

/* ---- Rows ---- */

CLONES static void softmax_row(const float *x, float *y, int64_t n, float scale,
                               const float *mask)
{
    (void)scale;
    (void)mask;
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
    const int wide = cpu_widest();
    const cpu_softmax_fn row = wide != 0 ? cpu_softmax_of(wide) : softmax_row;
#pragma omp parallel for if (count * n > PIECE) schedule(static)
    for (int64_t r = 0; r < count; r++)
        row(x + r * n, y + r * n, n, 1, NULL);
}

/* Four sums for each channel: one would wait for its own last addition. */
#define MEAN(block)                                                            \
    CLONES static void mean_##block(const float *x, float *y, int64_t pixels)  \
    {                                                                          \
        float sums[4 * block] = {0};                                           \
        int64_t p = 0;                                                         \
        for (; p + 4 <= pixels; p += 4, x += 4 * block) {                      \
            _Pragma("omp simd") for (int i = 0; i < 4 * block; i++) sums[i] += \
                x[i];                                                          \
        }                                                                      \
        for (; p < pixels; p++, x += block) {                                  \
            _Pragma("omp simd") for (int i = 0; i < block; i++) sums[i] +=     \
                x[i];                                                          \
        }                                                                      \
        for (int i = 0; i < block; i++)                                        \
            y[i] = (sums[i] + sums[block + i] + sums[2 * block + i] +          \
                    sums[3 * block + i]) /                                     \
                   (float)pixels;                                              \
    }
MEAN(8)
MEAN(16)

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

void cpu_channel_means(const float *x, float *y, int64_t batch,
                       int64_t channels, int64_t pixels, int block)
{
    int64_t blocks = (channels + block - 1) / block;
#pragma omp parallel for if (batch * channels * pixels > PIECE) schedule(static)
    for (int64_t r = 0; r < batch * blocks; r++) {
        const float *from = x + r * pixels * block;
        int64_t c = r % blocks * block, left = channels - c;
        float means[16], *to = y + r / blocks * channels + c;
        if (block == 1)
            *to = mean_plain(from, pixels);
        else if (block == 8)
            mean_8(from, left < 8 ? means : to, pixels);
        else
            mean_16(from, left < 16 ? means : to, pixels);
        if (left < block)
            memcpy(to, means, (size_t)left * sizeof *to);
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
        cpu__activate(row, row, n, act, alpha, beta);
    }
}
