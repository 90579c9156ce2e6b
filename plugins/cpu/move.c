/* SPDX-License-Identifier: Apache-2.0 */
/*
 * move.c: kernels that only move elements, or change their type: what
 * Transpose, Expand, Tile and Slice are once axes are steps, Where, Cast.
 */
#include <string.h>

#include "kernels.h"

/* ---- Strided copies ---- */

#define TILE 16 /* square: what a transposing copy reads stays in cache */

/* Two axes, cut in squares when both are long. */
#define PLANE(type)                                                            \
    static void plane_##type(const type *x, type *y, int64_t rows, int64_t n,  \
                             int64_t row_step, int64_t step)                   \
    {                                                                          \
        for (int64_t r0 = 0; r0 < rows; r0 += TILE) {                          \
            int64_t r1 = rows - r0 < TILE ? rows : r0 + TILE;                  \
            for (int64_t i0 = 0; i0 < n; i0 += TILE) {                         \
                int64_t i1 = n - i0 < TILE ? n : i0 + TILE;                    \
                for (int64_t r = r0; r < r1; r++)                              \
                    for (int64_t i = i0; i < i1; i++)                          \
                        y[r * n + i] = x[r * row_step + i * step];             \
            }                                                                  \
        }                                                                      \
    }
PLANE(uint8_t)
PLANE(uint16_t)
PLANE(uint32_t)
PLANE(uint64_t)

static void plane(const char *x, char *y, int bytes, int64_t rows, int64_t n,
                  int64_t row_step, int64_t step)
{
    if (step == 1) {
        for (int64_t r = 0; r < rows; r++)
            memcpy(y + r * n * bytes, x + r * row_step * bytes,
                   (size_t)(n * bytes));
        return;
    }
    switch (bytes) {
    case 1:
        plane_uint8_t((const uint8_t *)x, (uint8_t *)y, rows, n, row_step,
                      step);
        break;
    case 2:
        plane_uint16_t((const uint16_t *)x, (uint16_t *)y, rows, n, row_step,
                       step);
        break;
    case 4:
        plane_uint32_t((const uint32_t *)x, (uint32_t *)y, rows, n, row_step,
                       step);
        break;
    default:
        plane_uint64_t((const uint64_t *)x, (uint64_t *)y, rows, n, row_step,
                       step);
    }
}

void cpu_copy(const void *x, void *y, int bytes, const int64_t *size,
              const int64_t *step)
{
    int64_t rows = size[3], n = size[4];
    int64_t planes = size[0] * size[1] * size[2];
    /* A plane is cut too: it may be the only one. */
    int64_t batch = n >= PIECE ? 1 : PIECE / n;
    int64_t cuts = (rows + batch - 1) / batch;
#pragma omp parallel for if (planes * rows * n > PIECE) schedule(static)
    for (int64_t k = 0; k < planes * cuts; k++) {
        int64_t p = k / cuts, r = k % cuts * batch;
        int64_t i2 = p % size[2], i1 = p / size[2] % size[1];
        int64_t i0 = p / size[2] / size[1];
        int64_t count = rows - r < batch ? rows - r : batch;
        int64_t from = i0 * step[0] + i1 * step[1] + i2 * step[2] + r * step[3];
        plane((const char *)x + from * bytes,
              (char *)y + (p * rows + r) * n * bytes, bytes, count, n, step[3],
              step[4]);
    }
}

/* ---- Where ---- */

static void where_row(const uint8_t *c, const uint32_t *a, const uint32_t *b,
                      uint32_t *y, int64_t n, const int64_t steps[3])
{
    const int64_t cs = steps[0], as = steps[1], bs = steps[2];
    if (cs == 1 && as == 1 && bs == 1) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] = c[i] ? a[i] : b[i];
        return;
    }
    for (int64_t i = 0; i < n; i++)
        y[i] = c[i * cs] ? a[i * as] : b[i * bs];
}

void cpu_where(const uint8_t *c, const uint32_t *a, const uint32_t *b,
               uint32_t *y, const int64_t size[4], const int64_t cs[4],
               const int64_t as[4], const int64_t bs[4])
{
    int64_t rows = size[0] * size[1] * size[2], n = size[3];
    const int64_t steps[3] = {cs[3], as[3], bs[3]};
#pragma omp parallel for if (rows * n > PIECE) schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        int64_t i2 = r % size[2], i1 = r / size[2] % size[1];
        int64_t i0 = r / size[2] / size[1];
        where_row(c + i0 * cs[0] + i1 * cs[1] + i2 * cs[2],
                  a + i0 * as[0] + i1 * as[1] + i2 * as[2],
                  b + i0 * bs[0] + i1 * bs[1] + i2 * bs[2], y + r * n, n,
                  steps);
    }
}

/* ---- Cast ---- */

#define CAST(name, from, to, expr)                                             \
    static void name(const void *x_, void *y_, int64_t n)                      \
    {                                                                          \
        const from *x = x_;                                                    \
        to *y = y_;                                                            \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = expr;       \
    }
CAST(i64_f32, int64_t, float, (float)x[i])
CAST(i32_f32, int32_t, float, (float)x[i])
CAST(u8_f32, uint8_t, float, (float)x[i])
CAST(i8_f32, int8_t, float, (float)x[i])
CAST(f16_f32, uint16_t, float, hearth_f16_to_f32(x[i]))
CAST(f32_f16, float, uint16_t, hearth_f32_to_f16(x[i]))
CAST(f32_bool, float, uint8_t, x[i] != 0)
CAST(i64_bool, int64_t, uint8_t, x[i] != 0)
CAST(i32_i64, int32_t, int64_t, x[i])
CAST(bool_i64, uint8_t, int64_t, x[i])

bool cpu_cast(const void *x, enum hearth_dtype from, void *y,
              enum hearth_dtype to, int64_t count)
{
    static const struct {
        enum hearth_dtype from, to;
        void (*run)(const void *x, void *y, int64_t n);
    } table[] = {
        {HEARTH_I64, HEARTH_F32, i64_f32},
        {HEARTH_I32, HEARTH_F32, i32_f32},
        {HEARTH_U8, HEARTH_F32, u8_f32},
        {HEARTH_I8, HEARTH_F32, i8_f32},
        {HEARTH_BOOL, HEARTH_F32, u8_f32},
        {HEARTH_F16, HEARTH_F32, f16_f32},
        {HEARTH_F32, HEARTH_F16, f32_f16},
        {HEARTH_F32, HEARTH_BOOL, f32_bool},
        {HEARTH_I64, HEARTH_BOOL, i64_bool},
        {HEARTH_I32, HEARTH_I64, i32_i64},
        {HEARTH_BOOL, HEARTH_I64, bool_i64},
        {HEARTH_U8, HEARTH_I64, bool_i64},
    };
    for (size_t k = 0; k < sizeof table / sizeof table[0]; k++)
        if (table[k].from == from && table[k].to == to) {
            if (count > 0)
                table[k].run(x, y, count);
            return true;
        }
    return false;
}
