/* SPDX-License-Identifier: Apache-2.0 */
/* kernels.h: between the files of loops, kernels.c and math.c, and chain.c: how
 * a loop is compiled for each instruction set and cut between threads. */
#ifndef HEARTH_PLUGINS_CPU_KERNELS_H
#define HEARTH_PLUGINS_CPU_KERNELS_H

#include "cpu.h"

/* What reports through errno or traps does not vectorise. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-math-errno,no-trapping-math")
#endif

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

/* e^x to 2 units in the last place, 0 below the smallest normal number, its
 * largest finite value above: e^x = 2^n e^r, |r| <= ln(2)/2. */
static inline __attribute__((always_inline)) float exponential(float x)
{
    const float least = -87.33654f, most = 88.72283f;
    const float whole = 12582912.0f; /* 1.5 * 2^23: adding it rounds */
    float v = x < least ? least : x;
    v = v > most ? most : v;
    union {
        float value;
        uint32_t bits;
    } sum = {.value = v * 1.44269504f + whole}, a, b;
    float n = sum.value - whole;
    float r = v - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1;
    /* 2^n in two halves: n may be 128. It stands in the sum's last bits, which
     * a NaN, unlike a conversion of it, may be asked for. */
    int32_t k = (int32_t)(sum.bits - 0x4b400000u), half = k / 2;
    a.bits = (uint32_t)(half + 127) << 23;
    b.bits = (uint32_t)(k - half + 127) << 23;
    p = p * a.value * b.value;
    return x < least ? 0 : p;
}

/* math.c: one of the functions beyond activations, over <n> numbers. */
void cpu__math(enum hearth_op op, const float *x, float *y, int64_t n,
               float alpha, float beta);

/* kernels.c: cpu_unary on the calling thread. */
void cpu__unary(enum hearth_op op, const float *x, float *y, int64_t n,
                float alpha, float beta);
/* Elements [first, first + n) of a op b, to <y>, on the calling thread. <a> and
 * <b> are without their first <a_gone> and <b_gone> elements. */
void cpu__binary(enum hearth_op op, const float *a, int64_t a_gone,
                 const float *b, int64_t b_gone, float *y,
                 const struct cpu_broadcast *shape, int64_t first, int64_t n);

#endif
