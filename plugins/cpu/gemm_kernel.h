/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gemm_kernel.h: the innermost loops of gemm.c, compiled once for each
 * instruction set: V floats a vector, up to ROWS rows and two vectors of
 * columns kept in registers. NAME(x) is x's name here. No include guard.
 */

typedef float NAME(vec)
    __attribute__((vector_size(V * sizeof(float)), aligned(4), may_alias));
typedef int32_t NAME(mask) __attribute__((vector_size(V * sizeof(int32_t))));

UNCHECKED static inline __attribute__((always_inline)) NAME(vec)
    NAME(load)(const float *p)
{
    return *(const NAME(vec) *)p;
}

UNCHECKED static inline __attribute__((always_inline)) void
NAME(store)(float *p, NAME(vec) v)
{
    *(NAME(vec) *)p = v;
}

UNCHECKED static inline __attribute__((always_inline)) NAME(vec)
    NAME(select)(NAME(mask) m, NAME(vec) yes, NAME(vec) no)
{
    return (NAME(vec))(((NAME(mask))yes & m) | ((NAME(mask))no & ~m));
}

UNCHECKED static inline __attribute__((always_inline)) NAME(vec)
    NAME(end)(NAME(vec) x, const struct tile *t, const float *z)
{
    if (z != NULL)
        x += NAME(load)(z);
    if (t->clip) {
        /* NaN stays NaN. */
        x = NAME(select)(x < t->low, (NAME(vec)){0} + t->low, x);
        x = NAME(select)(x > t->high, (NAME(vec)){0} + t->high, x);
    }
    return x;
}

/* A row's sums of a panel to where they belong: of both its vectors, or of the
 * first. */
UNCHECKED static inline __attribute__((always_inline)) void
NAME(finish)(const struct tile *t, NAME(vec) sum[2], float *c,
             const float *bias, const float *z, const int vectors)
{
#pragma GCC unroll 2
    for (int j = 0; j < vectors; j++, c += t->c_block) {
        if (!t->fresh)
            sum[j] += NAME(load)(c);
        if (bias != NULL)
            sum[j] += NAME(load)(bias + j * V);
        if (t->last)
            sum[j] = NAME(end)(sum[j], t, z != NULL ? z + j * t->c_block : z);
        NAME(store)(c, sum[j]);
    }
}

UNCHECKED static inline __attribute__((always_inline)) void
NAME(rows)(const struct tile *t, const int rows, const int64_t row,
           const int vectors)
{
    NAME(vec) sum[ROWS][2];
    const float *b = t->b, *a = t->a;
    /* Their time comes after the loop: here they cost nothing. */
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++) {
            __builtin_prefetch(t->c + r * t->c_row + j * t->c_block, 1, 3);
            sum[r][j] = (NAME(vec)){0};
        }
    const float *next = t->next;
    const int64_t step = t->next_step;
    for (int64_t k = t->k / V; k > 0; k--, a += t->a_block) {
        for (const float *end = next + step; next < end; next += LINE)
            __builtin_prefetch(next, 0, 2);
#pragma GCC unroll 16
        for (int i = 0; i < V; i++, b += 2 * V) {
            NAME(vec) b0 = NAME(load)(b), b1 = NAME(load)(b + V);
#pragma GCC unroll 16
            for (int r = 0; r < rows; r++) {
                sum[r][0] += a[r * row + i] * b0;
                if (vectors == 2)
                    sum[r][1] += a[r * row + i] * b1;
            }
        }
    }
    for (int64_t i = 0; i < t->k % V; i++, b += 2 * V) {
        NAME(vec) b0 = NAME(load)(b), b1 = NAME(load)(b + V);
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            sum[r][0] += a[r * row + i] * b0;
            if (vectors == 2)
                sum[r][1] += a[r * row + i] * b1;
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
        NAME(finish)
    (t, sum[r], t->c + r * t->c_row, t->bias,
     t->z != NULL ? t->z + r * t->c_row : NULL, vectors);
}

/* One row and PANELS_AT_ONCE panels, <apart> each: read from memory, and it is
 * faster to read in several places. */
UNCHECKED static void NAME(row)(const struct tile *t, int64_t apart)
{
    NAME(vec) sum[PANELS_AT_ONCE][2];
    const float *b = t->b, *a = t->a;
#pragma GCC unroll 4
    for (int j = 0; j < PANELS_AT_ONCE; j++)
        sum[j][0] = sum[j][1] = (NAME(vec)){0};
    for (int64_t k = 0; k < t->k; k++, b += 2 * V) {
        float x = a[k / V * t->a_block + k % V];
#pragma GCC unroll 4
        for (int j = 0; j < PANELS_AT_ONCE; j++) {
            sum[j][0] += x * NAME(load)(b + j * apart);
            sum[j][1] += x * NAME(load)(b + j * apart + V);
        }
    }
    for (int j = 0; j < PANELS_AT_ONCE; j++) {
        int64_t at = 2 * j * t->c_block;
        NAME(finish)
        (t, sum[j], t->c + at, t->bias != NULL ? t->bias + 2 * j * V : NULL,
         t->z != NULL ? t->z + at : NULL, 2);
    }
}

/* Of any <rows>; <row> is a constant where the compiler shall know it. */
UNCHECKED static inline __attribute__((always_inline)) void
NAME(any_rows)(const struct tile *t, int rows, const int64_t row,
               const int vectors)
{
    switch (rows) {
#define CASE(n)                                                                \
    case n:                                                                    \
        NAME(rows)(t, n, row, vectors);                                        \
        break;
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
#if ROWS > 6
        CASE(7)
        CASE(8)
        CASE(9)
        CASE(10)
        CASE(11)
        CASE(12)
#endif
#undef CASE
    default:
        break;
    }
}

UNCHECKED static void NAME(tile)(const struct tile *t, int rows, int vectors)
{
    if (t->a_row == V && vectors == 2)
        NAME(any_rows)(t, rows, V, 2);
    else if (t->a_row == V)
        NAME(any_rows)(t, rows, V, 1);
    else if (vectors == 2)
        NAME(any_rows)(t, rows, t->a_row, 2);
    else
        NAME(any_rows)(t, rows, t->a_row, 1);
}
