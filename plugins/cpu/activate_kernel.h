/* SPDX-License-Identifier: Apache-2.0 */
/*
 * activate_kernel.h: activations over vectors of V floats, compiled once for
 * each instruction set, as gemm_kernel.h is; NAME(x) is x's name here. The
 * formulas are kernels.h's and math.c's; no include guard.
 */

typedef float NAME(avec)
    __attribute__((vector_size(V * sizeof(float)), aligned(4), may_alias));
typedef int32_t NAME(aint) __attribute__((vector_size(V * sizeof(float))));
#define VEC NAME(avec)
#define INLINE static inline __attribute__((always_inline))

/* The second operand where one is no number: NaN stays NaN. */
#if V == 16
#define LEAST(a, b) (VEC) _mm512_min_ps((__m512)(a), (__m512)(b))
#define MOST(a, b) (VEC) _mm512_max_ps((__m512)(a), (__m512)(b))
#define BELOW(a, b, yes, no)                                                   \
    (VEC) _mm512_mask_blend_ps(                                                \
        _mm512_cmp_ps_mask((__m512)(a), (__m512)(b), _CMP_LT_OQ),              \
        (__m512)(no), (__m512)(yes))
#else
#define LEAST(a, b) (VEC) _mm256_min_ps((__m256)(a), (__m256)(b))
#define MOST(a, b) (VEC) _mm256_max_ps((__m256)(a), (__m256)(b))
#define BELOW(a, b, yes, no)                                                   \
    (VEC)                                                                      \
        _mm256_blendv_ps((__m256)(no), (__m256)(yes),                          \
                         _mm256_cmp_ps((__m256)(a), (__m256)(b), _CMP_LT_OQ))
#endif
#define ALL(x) ((VEC){0} + (x))

/* 1 / d, d in [1, 2^126); a division of 16 numbers takes 16 steps. */
INLINE VEC NAME(inverse)(VEC d)
{
#if V == 16
    VEC r = (VEC)_mm512_rcp14_ps((__m512)d);
    return r * (2 - d * r);
#else
    return 1 / d;
#endif
}

/* e^x, of -87 where it is below that, of 87 where above. */
INLINE VEC NAME(power)(VEC x)
{
    VEC v = LEAST(ALL(87.0f), MOST(ALL(-87.0f), x));
    VEC t = v * 1.44269504f + 12582912.0f, n = t - 12582912.0f;
    VEC r = v - n * 0.693359375f + n * 2.12194440e-4f;
    VEC p = ALL(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1;
    /* The lowest bits of t are n. */
    return p * (VEC)(((NAME(aint))t << 23) + 0x3f800000);
}

INLINE VEC NAME(sigmoid)(VEC x)
{
    return NAME(inverse)(1 + NAME(power)(-x));
}

INLINE VEC NAME(hyperbolic)(VEC x)
{
    VEC s = x * x;
    VEC near = x + x * s * (-1.0f / 3 + s * (2.0f / 15 - s * (17.0f / 315)));
    VEC far = 1 - 2 * NAME(inverse)(NAME(power)(2 * x) + 1);
    return BELOW(s, ALL(0.01f), near, far);
}

INLINE VEC NAME(error_function)(VEC x)
{
    VEC s = x * x, v = MOST(-x, x);
    VEC t = NAME(inverse)(1 + 0.3275911f * LEAST(ALL(9.0f), v));
    VEC p = ALL(1.061405429f);
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    VEC far = 1 - p * t * NAME(power)(-s);
    far = BELOW(x, ALL(0), -far, far);
    VEC q = ALL(-1.0f / 1320);
    q = q * s + 1.0f / 216;
    q = q * s - 1.0f / 42;
    q = q * s + 1.0f / 10;
    q = q * s - 1.0f / 3;
    VEC near = 1.12837917f * (x + x * s * q);
    return BELOW(v, ALL(0.5f), near, far);
}

INLINE VEC NAME(activated)(VEC x, enum hearth_activation act, float alpha,
                           float beta)
{
    switch (act) {
    case HEARTH_ACT_RELU:
        return MOST(ALL(0), x);
    case HEARTH_ACT_CLIP:
        return LEAST(ALL(beta), MOST(ALL(alpha), x));
    case HEARTH_ACT_SIGMOID:
        return NAME(sigmoid)(x);
    case HEARTH_ACT_TANH:
        return NAME(hyperbolic)(x);
    case HEARTH_ACT_GELU:
        return 0.5f * x * (1 + NAME(error_function)(x * 0.70710678f));
    case HEARTH_ACT_GELU_TANH:
        return x * NAME(sigmoid)(1.59576912f * (x + 0.044715f * x * x * x));
    case HEARTH_ACT_SWISH:
        return x * NAME(sigmoid)(x);
    case HEARTH_ACT_HARD_SWISH:
        return x * LEAST(ALL(1), MOST(ALL(0), x * (1.0f / 6) + 0.5f));
    default:
        return x;
    }
}

/* <rows> rows of <n> numbers, <row> apart. */
INLINE void NAME(rows_of)(const float *x, float *y, int64_t rows, int64_t n,
                          int64_t row, enum hearth_activation act, float alpha,
                          float beta)
{
    for (; rows > 0; rows--, x += row, y += row) {
        int64_t i = 0;
        for (; i + V <= n; i += V)
            *(VEC *)(y + i) =
                NAME(activated)(*(const VEC *)(x + i), act, alpha, beta);
        if (i < n) {
            VEC rest = {0};
            memcpy(&rest, x + i, (size_t)(n - i) * sizeof *x);
            rest = NAME(activated)(rest, act, alpha, beta);
            memcpy(y + i, &rest, (size_t)(n - i) * sizeof *y);
        }
    }
}

static void NAME(activate)(const float *x, float *y, int64_t rows, int64_t n,
                           int64_t row, enum hearth_activation act, float alpha,
                           float beta)
{
    switch (act) {
#define CASE(a)                                                                \
    case a:                                                                    \
        NAME(rows_of)(x, y, rows, n, row, a, alpha, beta);                     \
        break;
        CASE(HEARTH_ACT_NONE)
        CASE(HEARTH_ACT_RELU)
        CASE(HEARTH_ACT_CLIP)
        CASE(HEARTH_ACT_SIGMOID)
        CASE(HEARTH_ACT_TANH)
        CASE(HEARTH_ACT_GELU)
        CASE(HEARTH_ACT_GELU_TANH)
        CASE(HEARTH_ACT_SWISH)
        CASE(HEARTH_ACT_HARD_SWISH)
#undef CASE
    }
}

/* ---- A row to shares of its sum ---- */

/* By halves: a sum of sixteen one after the other would take longer than a
 * short row. */
INLINE float NAME(total)(VEC x)
{
#if V == 16
    return _mm512_reduce_add_ps((__m512)x);
#else
    return ((x[0] + x[4]) + (x[1] + x[5])) + ((x[2] + x[6]) + (x[3] + x[7]));
#endif
}

INLINE float NAME(largest)(VEC x)
{
#if V == 16
    return _mm512_reduce_max_ps((__m512)x);
#else
    float a = x[0] > x[4] ? x[0] : x[4], b = x[1] > x[5] ? x[1] : x[5];
    float c = x[2] > x[6] ? x[2] : x[6], d = x[3] > x[7] ? x[3] : x[7];
    a = a > b ? a : b;
    c = c > d ? c : d;
    return a > c ? a : c;
#endif
}

static void NAME(softmax)(const float *x, float *y, int64_t n, float scale,
                          const float *mask)
{
    VEC most = ALL(-__builtin_inff()), sum = {0}, rest = most;
    int64_t i = 0;
    const int64_t left = n % V, end = n - left;
    for (; i < end; i += V) {
        VEC v = *(const VEC *)(x + i) * scale;
        if (mask != NULL)
            v += *(const VEC *)(mask + i);
        *(VEC *)(y + i) = v;
        most = MOST(most, v);
    }
    for (int64_t k = 0; k < left; k++)
        rest[k] = x[end + k] * scale + (mask != NULL ? mask[end + k] : 0);
    const float largest = NAME(largest)(MOST(most, rest));
    for (i = 0; i < end; i += V) {
        VEC v = *(const VEC *)(y + i) - largest;
        v = BELOW(v, ALL(-87.0f), ALL(0), NAME(power)(v));
        *(VEC *)(y + i) = v;
        sum += v;
    }
    if (left > 0) {
        rest -= largest;
        rest = BELOW(rest, ALL(-87.0f), ALL(0), NAME(power)(rest));
        sum += rest;
    }
    const float by = 1 / NAME(total)(sum);
    for (i = 0; i < end; i += V)
        *(VEC *)(y + i) *= by;
    for (int64_t k = 0; k < left; k++)
        y[end + k] = rest[k] * by;
}

#undef VEC
#undef INLINE
#undef LEAST
#undef MOST
#undef BELOW
#undef ALL
