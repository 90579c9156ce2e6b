/* SPDX-License-Identifier: Apache-2.0 */
/*
 * winograd.c: a 3x3 convolution of stride 1 as P*P matrix products.
 *
 * A tile is SxS results, of P = S + 2 sources a side (S: 4, or 2). Its source,
 * transformed by B' d B, gives a number to each of P*P planes, [blocks of
 * channels][tiles][V] each; a plane times that plane of the weights (G g G')
 * gives a plane of results, which A' m A turns into the tile.
 *
 * Where there are tiles for all threads, each takes some through all three
 * stages, as many as its caches hold; where there are few, as in small pictures
 * with many channels, the threads share each stage of all tiles, so that the
 * weights, which are then the larger part, are read once.
 *
 * oneDNN 2.6 has this for AVX-512 only, and 3.x for none.
 */
#include "winograd.h"

#include <string.h>

#include "gemm.h"
#ifdef _OPENMP
#include <omp.h>
#endif

/* Of a thread's planes; a tile more than this takes is one tile. */
#define PLANES_BYTES (UINT64_C(768) << 10)
#define POINTS_MAX 36

struct winograd {
    int64_t height, width, out_height, out_width, pad_y, pad_x;
    int64_t in_blocks, out_blocks, out_channels;
    int64_t tiles_x, tiles; /* of a picture */
    int64_t all;            /* of all pictures */
    int64_t at_once;
    int64_t in_plane, out_plane; /* numbers */
    int points, block;
    bool sum, clip;
    float low, high;
};

#define PASTE(a, b) a##b
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define HAVE_KERNELS 1
#pragma GCC push_options
#pragma GCC optimize("O3")
#pragma GCC target("arch=x86-64-v3")
#define V 8
#define S 4
#define P 6
#define NAME(x) PASTE(x, _avx2_4)
#include "winograd_kernel.h"
#undef NAME
#undef S
#undef P
#define S 2
#define P 4
#define NAME(x) PASTE(x, _avx2_2)
#include "winograd_kernel.h"
#undef NAME
#undef S
#undef P
#undef V
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC optimize("O3")
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#define V 16
#define S 4
#define P 6
#define NAME(x) PASTE(x, _avx512_4)
#include "winograd_kernel.h"
#undef NAME
#undef S
#undef P
#define S 2
#define P 4
#define NAME(x) PASTE(x, _avx512_2)
#include "winograd_kernel.h"
#undef NAME
#undef S
#undef P
#undef V
#pragma GCC pop_options
#endif

typedef void (*sources_fn)(const struct winograd *w, const float *src,
                           int64_t t0, int64_t count, int64_t c0, int64_t c1,
                           float *planes, int64_t plane);
typedef void (*results_fn)(const struct winograd *w, const float *planes,
                           int64_t plane, const float *bias, int64_t t0,
                           int64_t count, int64_t c0, int64_t c1, float *dst);

static sources_fn sources_of(const struct winograd *w)
{
#ifdef HAVE_KERNELS
    if (w->block == 16)
        return w->points == 36 ? sources_avx512_4 : sources_avx512_2;
    return w->points == 36 ? sources_avx2_4 : sources_avx2_2;
#else
    (void)w;
    return NULL;
#endif
}

static results_fn results_of(const struct winograd *w)
{
#ifdef HAVE_KERNELS
    if (w->block == 16)
        return w->points == 36 ? results_avx512_4 : results_avx512_2;
    return w->points == 36 ? results_avx2_4 : results_avx2_2;
#else
    (void)w;
    return NULL;
#endif
}

/* ---- Sizes ---- */

/* Planes begin at different lines of a cache. */
static int64_t plane_of(int64_t blocks, int64_t count, int block)
{
    int64_t n = blocks * count * block;
    return (n + 15) / 16 * 16 + 16;
}

static struct winograd shape_of(const struct cpu_conv *c, int size, int threads)
{
    struct winograd w = {
        .height = c->window.in[0],
        .width = c->window.in[1],
        .out_height = c->window.out[0],
        .out_width = c->window.out[1],
        .pad_y = c->window.pad_begin[0],
        .pad_x = c->window.pad_begin[1],
        .in_blocks = (c->in_channels + c->block - 1) / c->block,
        .out_blocks = (c->out_channels + c->block - 1) / c->block,
        .out_channels = c->out_channels,
        .points = (size + 2) * (size + 2),
        .block = c->block,
        .sum = c->sum,
        .clip = c->act == HEARTH_ACT_RELU || c->act == HEARTH_ACT_CLIP,
        .low = c->act == HEARTH_ACT_RELU ? 0 : c->alpha,
        .high = c->act == HEARTH_ACT_RELU ? __builtin_inff() : c->beta};
    w.tiles_x = (w.out_width + size - 1) / size;
    w.tiles = w.tiles_x * ((w.out_height + size - 1) / size);
    w.all = w.tiles * c->batch;
    uint64_t tile_bytes = (uint64_t)(w.in_blocks + w.out_blocks) *
                          (uint64_t)(w.points * c->block) * sizeof(float);
    w.at_once = (int64_t)(PLANES_BYTES / tile_bytes);
    /* Rows of the products: whole, and enough to use what they load. */
    if (w.at_once < 48)
        w.at_once = 48;
    int64_t parts = (w.all + w.at_once - 1) / w.at_once;
    if (parts > 1)
        parts = (parts + threads - 1) / threads * threads;
    w.at_once = (w.all + parts - 1) / parts;
    w.in_plane = plane_of(w.in_blocks, w.at_once, c->block);
    w.out_plane = plane_of(w.out_blocks, w.at_once, c->block);
    return w;
}

static uint64_t planes_bytes(const struct winograd *w)
{
    return (uint64_t)(w->in_plane + w->out_plane) * (uint64_t)w->points *
           sizeof(float);
}

uint64_t cpu_winograd_scratch(const struct cpu_conv *c, int size, int threads)
{
    struct winograd w = shape_of(c, size, threads);
    uint64_t teams = w.at_once < w.all ? (uint64_t)threads : 1;
    return planes_bytes(&w) * teams;
}

/* ---- Weights ---- */

static int64_t rounded(int64_t n, int block)
{
    return (n + block - 1) / block * block;
}

uint64_t cpu_winograd_bytes(const struct cpu_conv *c, int size)
{
    return (uint64_t)((size + 2) * (size + 2)) *
           cpu_gemm_packed_bytes(rounded(c->in_channels, c->block),
                                 c->out_channels, c->block);
}

/* u = G g, of three numbers <from> apart to size + 2 that are <to> apart. */
static inline void spread(const float *g, int from, float *u, int to, int size)
{
    float a = g[0], b = g[from], c = g[2 * from];
    if (size == 4) {
        u[0] = a / 4;
        u[to] = -(a + b + c) / 6;
        u[2 * to] = -(a - b + c) / 6;
        u[3 * to] = (a + 2 * b + 4 * c) / 24;
        u[4 * to] = (a - 2 * b + 4 * c) / 24;
        u[5 * to] = c;
    } else {
        u[0] = a;
        u[to] = (a + b + c) / 2;
        u[2 * to] = (a - b + c) / 2;
        u[3 * to] = c;
    }
}

void cpu_winograd_pack(const struct cpu_conv *c, int size, const float *src,
                       float *dst)
{
    const int64_t in = rounded(c->in_channels, c->block), width = 2 * c->block;
    const int64_t panels = (c->out_channels + width - 1) / width;
    const int64_t plane = panels * width * in;
    const int p = size + 2;
#pragma omp parallel for schedule(static)
    for (int64_t panel = 0; panel < panels; panel++)
        for (int64_t i = 0; i < in; i++)
            for (int64_t j = 0; j < width; j++) {
                int64_t o = panel * width + j;
                float *to = dst + (panel * in + i) * width + j;
                float half[18], u[POINTS_MAX] = {0};
                if (o < c->out_channels && i < c->in_channels) {
                    const float *g = src + (o * c->in_channels + i) * 9;
                    for (int k = 0; k < 3; k++)
                        spread(g + k, 3, half + k, 3, size);
                    for (int k = 0; k < p; k++)
                        spread(half + 3 * k, 1, u + k * p, 1, size);
                }
                for (int k = 0; k < p * p; k++)
                    to[k * plane] = u[k];
            }
}

/* ---- Runs ---- */

struct run {
    struct winograd w;
    const float *src, *weights, *bias;
    float *dst;
};

static void products(const struct run *r, float *planes, int64_t count,
                     int first, int end)
{
    const struct winograd *w = &r->w;
    int64_t in = w->in_blocks * w->block, width = 2 * w->block;
    int64_t panels = (w->out_channels + width - 1) / width;
    float *out = planes + w->in_plane * w->points;
    for (int k = first; k < end; k++) {
        const struct cpu_gemm g = {.m = count,
                                   .n = w->out_channels,
                                   .k = in,
                                   .a = planes + k * w->in_plane,
                                   .a_row = w->block,
                                   .a_block = count * w->block,
                                   .b = r->weights + k * panels * width * in,
                                   .c = out + k * w->out_plane,
                                   .c_row = w->block,
                                   .c_block = count * w->block,
                                   .filled = true};
        cpu_gemm_run_alone(&g, w->block);
    }
}

static void tiles_alone(const struct run *r, float *planes, int64_t t0,
                        int64_t count)
{
    const struct winograd *w = &r->w;
    sources_of(w)(w, r->src, t0, count, 0, w->in_blocks, planes, w->in_plane);
    products(r, planes, count, 0, w->points);
    results_of(w)(w, planes + w->in_plane * w->points, w->out_plane, r->bias,
                  t0, count, 0, w->out_blocks, r->dst);
}

static void tiles_together(const struct run *r, float *planes)
{
    const struct winograd *w = &r->w;
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (int64_t c = 0; c < w->in_blocks; c++)
            sources_of(w)(w, r->src, 0, w->all, c, c + 1, planes, w->in_plane);
#pragma omp for schedule(dynamic, 1)
        for (int k = 0; k < w->points; k++)
            products(r, planes, w->all, k, k + 1);
#pragma omp for schedule(static)
        for (int64_t c = 0; c < w->out_blocks; c++)
            results_of(w)(w, planes + w->in_plane * w->points, w->out_plane,
                          r->bias, 0, w->all, c, c + 1, r->dst);
    }
}

void cpu_winograd_run(const struct cpu_conv *c, int size, int threads,
                      const float *src, const float *weights, const float *bias,
                      float *dst, void *scratch)
{
    const struct run r = {.w = shape_of(c, size, threads),
                          .src = src,
                          .weights = weights,
                          .bias = bias,
                          .dst = dst};
    const struct winograd *w = &r.w;
    int64_t parts = (w->all + w->at_once - 1) / w->at_once;
    uint64_t bytes = planes_bytes(w);
    if (parts == 1) {
        tiles_together(&r, scratch);
    } else {
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < parts; i++) {
#ifdef _OPENMP
            int own = omp_get_thread_num();
#else
            int own = 0;
#endif
            int64_t t0 = i * w->at_once, left = w->all - t0;
            tiles_alone(&r, (float *)((char *)scratch + (size_t)own * bytes),
                        t0, left < w->at_once ? left : w->at_once);
        }
    }
    if (c->act != HEARTH_ACT_NONE && !w->clip)
        cpu__activate(dst, dst,
                      c->batch * w->out_blocks * w->out_height * w->out_width *
                          w->block,
                      c->act, c->alpha, c->beta);
}

/* ---- The choice ----
 * By a model of the cost: the same on every start and free at load. Where loads
 * are kept a clock has the last word (tune.c). Fitted to measurements
 * (docs/performance.md) in units of a multiplication: short products waste a
 * tile's start and end; weights that are larger than caches come from memory;
 * each transform moves its planes. */

/* Multiplications in the time of a number of weights, of a tile's block. */
#define PER_WEIGHT 10
#define PER_TRANSFORM 2400
#define SHORT 20
/* Below this many the planes are not worth their memory. */
#define LEAST 500000

int64_t cpu_winograd_cost(const struct cpu_conv *c, int size)
{
    const int64_t *out = c->window.out, points = (size + 2) * (size + 2);
    if (size == 0)
        return 9 * c->in_channels * c->out_channels *
               (out[0] * out[1] * c->batch + PER_WEIGHT);
    int64_t tiles =
        ((out[0] + size - 1) / size) * ((out[1] + size - 1) / size) * c->batch;
    /* Rows of a product come in sixes and twelves. */
    int64_t rows = (tiles + 5) / 6 * 6;
    return points * rows * (c->in_channels + SHORT) * c->out_channels +
           points * c->in_channels * c->out_channels * PER_WEIGHT +
           tiles * (c->in_channels + c->out_channels) / 8 * PER_TRANSFORM *
               points / 36;
}

bool cpu_winograd_can(const struct cpu_conv *c)
{
    const struct hearth_window *w = &c->window;
    bool keeps_zero = c->act != HEARTH_ACT_CLIP && c->act != HEARTH_ACT_SIGMOID;
    bool can = c->src_blocked && c->dst_blocked && c->rank == 2 &&
               c->groups == 1 && cpu_gemm_can(c->block) &&
               cpu_winograd_cost(c, 0) >= LEAST &&
               (keeps_zero || c->out_channels % c->block == 0);
    for (int i = 0; can && i < 2; i++)
        can = w->kernel[i] == 3 && w->stride[i] == 1 && w->dilation[i] == 1;
    return can;
}

int cpu_winograd_choose(const struct cpu_conv *c)
{
    if (!cpu_winograd_can(c))
        return 0;
    int64_t direct = cpu_winograd_cost(c, 0);
    int64_t four = cpu_winograd_cost(c, 4), two = cpu_winograd_cost(c, 2);
    if ((four < two ? four : two) > direct - direct / 16)
        return 0;
    return four < two ? 4 : 2;
}
