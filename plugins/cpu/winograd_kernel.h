/* SPDX-License-Identifier: Apache-2.0 */
/*
 * winograd_kernel.h: Winograd's transforms over V channels at once, compiled
 * once for each instruction set. S is the size of a tile's result (4 or 2), P
 * that of its source (S + 2). NAME(x) is x's name here. No include guard.
 */

typedef float NAME(vec)
    __attribute__((vector_size(V * sizeof(float)), aligned(4), may_alias));
typedef int32_t NAME(mask) __attribute__((vector_size(V * sizeof(int32_t))));
#define VEC NAME(vec)
#define INLINE static inline __attribute__((always_inline))

INLINE VEC NAME(load)(const float *p)
{
    return *(const VEC *)p;
}

/* to = B' from, P numbers <step> apart in both */
INLINE void NAME(source)(const VEC *d, int from, VEC *t, int to)
{
#if S == 4
    VEC a = d[4 * from] - 4 * d[2 * from], b = d[3 * from] - 4 * d[from];
    VEC c = d[4 * from] - d[2 * from], e = 2 * (d[3 * from] - d[from]);
    t[0] = 4 * d[0] - 5 * d[2 * from] + d[4 * from];
    t[to] = a + b;
    t[2 * to] = a - b;
    t[3 * to] = c + e;
    t[4 * to] = c - e;
    t[5 * to] = 4 * d[from] - 5 * d[3 * from] + d[5 * from];
#else
    t[0] = d[0] - d[2 * from];
    t[to] = d[from] + d[2 * from];
    t[2 * to] = d[2 * from] - d[from];
    t[3 * to] = d[from] - d[3 * from];
#endif
}

/* to = A' from: S numbers of P */
INLINE void NAME(result)(const VEC *m, int from, VEC *t, int to)
{
#if S == 4
    VEC a = m[from] + m[2 * from], b = m[from] - m[2 * from];
    VEC c = m[3 * from] + m[4 * from], e = m[3 * from] - m[4 * from];
    t[0] = m[0] + a + c;
    t[to] = b + 2 * e;
    t[2 * to] = a + 4 * c;
    t[3 * to] = b + 8 * e + m[5 * from];
#else
    t[0] = m[0] + m[from] + m[2 * from];
    t[to] = m[from] - m[2 * from] - m[3 * from];
#endif
}

/* The window of one tile, zeros beyond the picture. */
INLINE void NAME(window)(const struct winograd *w, const float *src, int64_t y,
                         int64_t x, VEC d[P * P])
{
    bool inside = y >= 0 && x >= 0 && y + P <= w->height && x + P <= w->width;
    const float *from = src + (y * w->width + x) * V;
    for (int i = 0; i < P; i++)
        for (int j = 0; j < P; j++) {
            bool there = inside || (y + i >= 0 && y + i < w->height &&
                                    x + j >= 0 && x + j < w->width);
            d[i * P + j] =
                there ? NAME(load)(from + (i * w->width + j) * V) : (VEC){0};
        }
}

/* Tiles [t0, t0 + count) of channel blocks [c0, c1) to their P*P planes. */
static void NAME(sources)(const struct winograd *w, const float *src,
                          int64_t t0, int64_t count, int64_t c0, int64_t c1,
                          float *planes, int64_t plane)
{
    VEC d[P * P], t[P * P], row[P];
    for (int64_t c = c0; c < c1; c++)
        for (int64_t i = 0; i < count; i++) {
            int64_t n = (t0 + i) / w->tiles, at = (t0 + i) % w->tiles;
            const float *picture =
                src + (n * w->in_blocks + c) * w->height * w->width * V;
            float *to = planes + (c * count + i) * V;
            NAME(window)
            (w, picture, at / w->tiles_x * S - w->pad_y,
             at % w->tiles_x * S - w->pad_x, d);
#pragma GCC unroll 6
            for (int j = 0; j < P; j++)
                NAME(source)(d + j, P, t + j, P);
#pragma GCC unroll 6
            for (int j = 0; j < P; j++) {
                NAME(source)(t + j * P, 1, row, 1);
#pragma GCC unroll 6
                for (int k = 0; k < P; k++, to += plane)
                    *(VEC *)to = row[k];
            }
        }
}

INLINE VEC NAME(end)(const struct winograd *w, VEC x)
{
    if (w->clip) {
        VEC low = (VEC){0} + w->low, high = (VEC){0} + w->high;
        NAME(mask) m = x < low;
        x = (VEC)(((NAME(mask))low & m) | ((NAME(mask))x & ~m));
        m = x > high;
        x = (VEC)(((NAME(mask))high & m) | ((NAME(mask))x & ~m));
    }
    return x;
}

/* A tile's result, as much of it as lies in the picture. */
INLINE void NAME(put)(const struct winograd *w, const VEC t[S * P], VEC bias,
                      float *dst, int64_t rows, int64_t columns)
{
    VEC row[S];
    for (int i = 0; i < rows; i++) {
        NAME(result)(t + i * P, 1, row, 1);
        float *to = dst + i * w->out_width * V;
        for (int j = 0; j < columns; j++) {
            VEC x = row[j] + bias;
            if (w->sum)
                x += NAME(load)(to + j * V);
            *(VEC *)(to + j * V) = NAME(end)(w, x);
        }
    }
}

/* The planes of output channels [c0, c1) to the picture. */
static void NAME(results)(const struct winograd *w, const float *planes,
                          int64_t plane, const float *bias, int64_t t0,
                          int64_t count, int64_t c0, int64_t c1, float *dst)
{
    VEC m[P * P], t[S * P];
    for (int64_t c = c0; c < c1; c++) {
        VEC b = {0};
        for (int k = 0; bias != NULL && k < V && c * V + k < w->out_channels;
             k++)
            b[k] = bias[c * V + k];
        for (int64_t i = 0; i < count; i++) {
            int64_t n = (t0 + i) / w->tiles, at = (t0 + i) % w->tiles;
            int64_t y = at / w->tiles_x * S, x = at % w->tiles_x * S;
            const float *from = planes + (c * count + i) * V;
            int64_t rows = w->out_height - y, columns = w->out_width - x;
            float *to = dst + (((n * w->out_blocks + c) * w->out_height + y) *
                                   w->out_width +
                               x) *
                                  V;
#pragma GCC unroll 36
            for (int k = 0; k < P * P; k++)
                m[k] = NAME(load)(from + k * plane);
#pragma GCC unroll 6
            for (int j = 0; j < P; j++)
                NAME(result)(m + j, P, t + j, P);
            if (rows >= S && columns >= S)
                NAME(put)(w, t, b, to, S, S);
            else
                NAME(put)
                (w, t, b, to, rows < S ? rows : S, columns < S ? columns : S);
        }
    }
}

#undef VEC
#undef INLINE
