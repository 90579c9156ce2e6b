/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gemm.c: the matrix product around gemm_kernel.h's loops.
 *
 * b is packed into panels of 2V columns, each k after k, so that the innermost
 * loop reads it in order. K is cut so that a panel stays in the first cache
 * while a block of rows, which stays in the second, goes by; sums of one cut
 * are added to the next. Threads share out rows, or panels where there are more
 * of these.
 */
#include "gemm.h"

#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "activate.h"

/* Of a panel's bytes and of rows at once: 16 KiB and 240 KiB. */
#define K_CUT 256
#define M_CUT 240
/* Columns from which rows are worth a copy: rows that lie a power of two apart
 * would fall on each other in a cache. */
#define COPY_FROM 96
/* Numbers of a line of a cache. */
#define LINE 16
/* For a kernel of one row. */
#define PANELS_AT_ONCE 4
/* A panel has at most 2 * 16 columns. */
#define COLUMNS_MAX 32

struct tile {
    const float *a, *b, *bias, *z;
    float *c;
    const float *next; /* is read soon: <next_step> of it for each V of k */
    int64_t next_step;
    int64_t k, a_row, a_block, a_tile, c_row, c_block;
    bool fresh, last, clip; /* fresh: nothing is there to be added to */
    bool begins;            /* with the biases */
    float low, high;
    cpu_activate_fn activate; /* NULL: <clip> is all */
};

#define PASTE(a, b) a##b
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define HAVE_KERNELS 1
/* Checks of every address in loops that are unrolled take minutes to compile;
 * what a kernel may touch is what its caller asked for, which is checked. */
#define UNCHECKED __attribute__((no_sanitize("address,undefined")))
#pragma GCC push_options
#pragma GCC optimize("O3")
#pragma GCC target("arch=x86-64-v3")
#define NAME(x) PASTE(x, _avx2)
#define V 8
#define ROWS 6
#include "gemm_kernel.h"
#undef NAME
#undef V
#undef ROWS
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC optimize("O3")
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#define NAME(x) PASTE(x, _avx512)
#define V 16
#define ROWS 12
#include "gemm_kernel.h"
#undef NAME
#undef V
#undef ROWS
#pragma GCC pop_options
#endif

typedef void (*tile_fn)(const struct tile *t, int rows, int vectors);

typedef void (*row_fn)(const struct tile *t, int64_t apart);

static row_fn row_kernel_of(int64_t block)
{
#ifdef HAVE_KERNELS
    return block == 16 ? row_avx512 : row_avx2;
#else
    (void)block;
    return NULL;
#endif
}

static tile_fn kernel_of(int block)
{
#ifdef HAVE_KERNELS
    return block == 16 ? tile_avx512 : tile_avx2;
#else
    (void)block;
    return NULL;
#endif
}

bool cpu_gemm_can(int block)
{
#ifdef HAVE_KERNELS
    __builtin_cpu_init();
    return block == 16 ? __builtin_cpu_supports("avx512f") &&
                             __builtin_cpu_supports("avx512bw") &&
                             __builtin_cpu_supports("avx512dq") &&
                             __builtin_cpu_supports("avx512vl")
                       : __builtin_cpu_supports("avx2") &&
                             __builtin_cpu_supports("fma");
#else
    (void)block;
    return false;
#endif
}

/* ---- Packing ---- */

uint64_t cpu_gemm_packed_bytes(int64_t k, int64_t n, int block)
{
    uint64_t panels =
        ((uint64_t)n + 2 * (uint64_t)block - 1) / (2 * (uint64_t)block);
    return panels * 2 * (uint64_t)block * (uint64_t)k * sizeof(float);
}

void cpu_gemm_pack(const float *b, int64_t k_step, int64_t n_step, int64_t k,
                   int64_t n, int block, float *packed)
{
    const int64_t width = 2 * block;
    for (int64_t n0 = 0; n0 < n; n0 += width) {
        int64_t columns = n - n0 < width ? n - n0 : width;
        for (int64_t i = 0; i < k; i++, packed += width) {
            const float *from = b + i * k_step + n0 * n_step;
            for (int64_t j = 0; j < columns; j++)
                packed[j] = from[j * n_step];
            for (int64_t j = columns; j < width; j++)
                packed[j] = 0;
        }
    }
}

/* ---- Blocks ---- */

/* Of the whole, what a call works on. */
struct part {
    const struct cpu_gemm *g;
    tile_fn kernel;
    int64_t block, rows_max;
    int64_t m0, m1; /* rows */
    int64_t n0, n1; /* columns, n0 at a panel */
    bool in_room;   /* are all rows there? */
};

/* What the kernel's end cannot do, over what it just wrote: <rows> of that many
 * vectors. */
static void activate_tile(const struct part *p, const struct tile *t,
                          int64_t rows, int64_t vectors)
{
    const struct cpu_gemm *g = p->g;
    const int64_t v = p->block;
    if (t->activate == NULL || !t->last)
        return;
    if (t->c_block == v)
        t->activate(t->c, t->c, rows, vectors * v, t->c_row, g->act, g->alpha,
                    g->beta);
    else
        for (int64_t i = 0; i < vectors; i++) {
            float *c = t->c + i * t->c_block;
            t->activate(c, c, rows, v, t->c_row, g->act, g->alpha, g->beta);
        }
}

/* A tile whose last columns are not there: by way of a copy. */
static void narrow(const struct part *p, struct tile *t, int rows,
                   int64_t columns)
{
    float c[12 * COLUMNS_MAX], z[12 * COLUMNS_MAX], bias[COLUMNS_MAX] = {0};
    const int64_t v = p->block, width = 2 * v;
    struct tile copy = *t;
    memset(c, 0, sizeof c);
    memset(z, 0, sizeof z);
    if (t->bias != NULL)
        memcpy(bias, t->bias, (size_t)columns * sizeof *bias);
    for (int r = 0; r < rows; r++)
        for (int64_t j = 0; j < columns; j++) {
            int64_t at = r * t->c_row + j / v * t->c_block + j % v;
            if (!t->fresh)
                c[r * width + j] = t->c[at];
            if (t->z != NULL && t->last)
                z[r * width + j] = t->z[at];
        }
    copy.c = c;
    copy.z = t->z != NULL ? z : NULL;
    copy.bias = t->bias != NULL ? bias : NULL;
    copy.c_row = width;
    copy.c_block = v;
    const int vectors = columns > v ? 2 : 1;
    p->kernel(&copy, rows, vectors);
    activate_tile(p, &copy, rows, vectors);
    for (int r = 0; r < rows; r++)
        for (int64_t j = 0; j < columns; j++)
            t->c[r * t->c_row + j / v * t->c_block + j % v] = c[r * width + j];
}

/* Rows [m0, m1) of a panel; what is read next comes nearer meanwhile. */
static void panel(const struct part *p, struct tile *t, int64_t m0, int64_t m1,
                  int64_t n)
{
    const struct cpu_gemm *g = p->g;
    int64_t columns = p->n1 - n < 2 * p->block ? p->n1 - n : 2 * p->block;
    int64_t at = n / p->block * g->c_block;
    const float *a = t->a;
    const bool has_z = g->z != NULL && g->z != g->c;
    const float *next =
        t->b + (n + 2 * p->block < p->n1 ? g->k : 0) * 2 * p->block;
    /* Of few rows the loop outruns it, and the processor's own does better. */
    int64_t tiles = (m1 - m0 + p->rows_max - 1) / p->rows_max;
    /* lines a V of k: 2 V V / 16 */
    int64_t lines = 2 * p->block * p->block / LINE;
    t->next_step =
        tiles == 1 || next == t->b ? 0 : (lines + tiles - 1) / tiles * LINE;
    const int vectors = columns > p->block ? 2 : 1;
    const bool direct = columns == vectors * p->block || g->filled;
    float few[COLUMNS_MAX] = {0};
    t->bias = g->bias != NULL && t->begins ? g->bias + n : NULL;
    if (direct && t->bias != NULL && columns < vectors * p->block) {
        memcpy(few, t->bias, (size_t)columns * sizeof *few);
        t->bias = few;
    }
    for (int64_t m = m0; m < m1; m += p->rows_max) {
        t->next = next;
        next += t->next_step * (t->k / p->block);
        int rows = (int)(m1 - m < p->rows_max ? m1 - m : p->rows_max);
        t->a = a + (m - m0) / p->rows_max * t->a_tile;
        t->c = g->c + m * g->c_row + at;
        t->z = has_z ? g->z + m * g->c_row + at : NULL;
        if (!direct) {
            narrow(p, t, rows, columns);
            continue;
        }
        p->kernel(t, rows, vectors);
        activate_tile(p, t, rows, vectors);
    }
    t->a = a;
}

/* The panels of one row that go together; returns the first column of the rest.
 */
static int64_t one_row(const struct part *p, struct tile *t, int64_t m,
                       int64_t k)
{
    const struct cpu_gemm *g = p->g;
    const int64_t width = 2 * p->block, step = PANELS_AT_ONCE * width;
    int64_t n = p->n0;
    for (; n + step <= p->n1; n += step) {
        int64_t at = m * g->c_row + n / p->block * g->c_block;
        t->b = g->b + n * g->k + k * width;
        t->bias = g->bias != NULL && t->begins ? g->bias + n : NULL;
        t->c = g->c + at;
        t->z = g->z != NULL && g->z != g->c ? g->z + at : NULL;
        row_kernel_of(p->block)(t, g->k * width);
        activate_tile(p, t, 1, 2 * PANELS_AT_ONCE);
    }
    return n;
}

/* Numbers of a row in whole vectors. */
static int64_t depth_of(int64_t k, int64_t v)
{
    return (k + v - 1) / v * v;
}

/* Plain rows in the order in which tiles read them: V numbers of each row of a
 * tile, then the next V. */
static void copy_rows(const struct part *p, int64_t m0, int64_t m1, int64_t k,
                      int64_t count, float *to)
{
    const struct cpu_gemm *g = p->g;
    const int64_t v = p->block, rows = p->rows_max;
    const int64_t tile = depth_of(count, v) * rows;
    for (int64_t m = m0; m < m1; m++) {
        const float *from = g->a + m * g->a_row + k;
        float *at = to + (m - m0) / rows * tile + (m - m0) % rows * v;
        int64_t i = 0;
        if (v == 8) /* a length that the compiler knows */
            for (; i + 8 <= count; i += 8, at += rows * 8)
                memcpy(at, from + i, 8 * sizeof *at);
        else
            for (; i + 16 <= count; i += 16, at += rows * 16)
                memcpy(at, from + i, 16 * sizeof *at);
        if (i < count)
            memcpy(at, from + i, (size_t)(count - i) * sizeof *at);
    }
}

/* Tiles as high as the registers allow, and all about equally high. */
static int64_t even_rows(const struct part *p)
{
    int64_t m = p->m1 - p->m0, tiles = (m + p->rows_max - 1) / p->rows_max;
    return tiles > 1 ? (m + tiles - 1) / tiles : p->rows_max;
}

static void run_part(const struct part *whole_part)
{
    struct part even = *whole_part;
    const struct part *p = &even;
    even.rows_max = even_rows(whole_part);
    float copy[(M_CUT + 12) * K_CUT] __attribute__((aligned(64)));
    const struct cpu_gemm *g = p->g;
    const int64_t v = p->block, width = 2 * v;
    const bool simple = g->act == HEARTH_ACT_NONE ||
                        g->act == HEARTH_ACT_RELU || g->act == HEARTH_ACT_CLIP;
    /* Of few rows a panel is read once: in one go. */
    bool few = p->m1 - p->m0 <= p->rows_max;
    int64_t cuts = few ? 1 : (g->k + K_CUT - 1) / K_CUT;
    int64_t k_cut = ((g->k + cuts - 1) / cuts + v - 1) / v * v;
    struct tile t = {.a_row = g->a_row,
                     .a_block = g->a_block,
                     .a_tile = g->a_row * p->rows_max,
                     .c_row = g->c_row,
                     .c_block = g->c_block,
                     .clip = simple && g->act != HEARTH_ACT_NONE,
                     .activate = simple ? NULL : cpu_activate_of((int)v),
                     .low = g->act == HEARTH_ACT_RELU ? 0 : g->alpha,
                     .high = g->act == HEARTH_ACT_RELU ? __builtin_inff()
                                                       : g->beta};
    int64_t m_cuts = (p->m1 - p->m0 + M_CUT - 1) / M_CUT, m_cut = p->rows_max;
    if (m_cuts > 0)
        m_cut =
            ((p->m1 - p->m0 + m_cuts - 1) / m_cuts + m_cut - 1) / m_cut * m_cut;
    bool copied = !few && g->a_block == v && p->n1 - p->n0 >= COPY_FROM;
    if (p->in_room) {
        t.a_row = v;
        t.a_block = p->rows_max * v;
        t.a_tile = depth_of(g->k, v) * p->rows_max;
    }
    for (int64_t m = p->m0; m < p->m1; m += m_cut) {
        int64_t m1 = p->m1 - m < m_cut ? p->m1 : m + m_cut;
        for (int64_t k = 0; k < g->k; k += k_cut) {
            t.k = g->k - k < k_cut ? g->k - k : k_cut;
            t.begins = k == 0;
            t.fresh = t.begins && g->z != g->c;
            t.last = k + t.k == g->k;
            t.a = g->a + m * g->a_row + k / v * g->a_block;
            if (p->in_room) {
                t.a = g->room + m / p->rows_max * t.a_tile + k * p->rows_max;
            } else if (copied) {
                copy_rows(p, m, m1, k, t.k, copy);
                t.a = copy;
                t.a_row = v;
                t.a_block = p->rows_max * v;
                t.a_tile = depth_of(t.k, v) * p->rows_max;
            }
            int64_t n = m1 - m == 1 ? one_row(p, &t, m, k) : p->n0;
            for (; n < p->n1; n += width) {
                t.b = g->b + n * g->k + k * width;
                panel(p, &t, m, m1, n);
            }
        }
    }
}

static struct part whole(const struct cpu_gemm *g, int block)
{
    return (struct part){.g = g,
                         .kernel = kernel_of(block),
                         .block = block,
                         .rows_max = block == 16 ? 12 : 6,
                         .m1 = g->m,
                         .n1 = g->n};
}

void cpu_gemm_run_alone(const struct cpu_gemm *g, int block)
{
    const struct part p = whole(g, block);
    run_part(&p);
}

/* Below this many multiplications a team costs more than it brings. */
#define ALONE (INT64_C(1) << 17)
/* Pieces for each thread, so that one that is late holds up little. */
#define PIECES 3

uint64_t cpu_gemm_room(int64_t m, int64_t k, int block)
{
    /* The last tile may be a row short in each of the others. */
    return (uint64_t)(m + 12) * (uint64_t)depth_of(k, block) * sizeof(float);
}

/* How a product is shared out. */
struct shares {
    bool by_rows; /* else by panels */
    int64_t units, unit, pieces;
};

static struct shares shares_of(const struct part *all)
{
    const struct cpu_gemm *g = all->g;
    int64_t width = 2 * all->block, panels = (g->n + width - 1) / width;
    struct shares s = {.pieces = 1};
    s.by_rows = g->m >= 2 * M_CUT || g->m / all->rows_max >= panels;
    s.units = s.by_rows ? (g->m + all->rows_max - 1) / all->rows_max : panels;
    s.unit = s.by_rows ? all->rows_max : width;
#ifdef _OPENMP
    if (omp_get_max_threads() > 1)
        s.pieces = PIECES * omp_get_max_threads();
#endif
    if (g->m * g->n < ALONE / (g->k > 0 ? g->k : 1))
        s.pieces = 1;
    s.pieces = s.pieces > s.units ? s.units : s.pieces;
    return s;
}

static void run_piece(const struct part *all, const struct shares *s, int64_t i)
{
    struct part p = *all;
    int64_t from = s->units * i / s->pieces * s->unit;
    int64_t to = s->units * (i + 1) / s->pieces * s->unit;
    if (s->by_rows) {
        p.m0 = from;
        p.m1 = to < p.g->m ? to : p.g->m;
    } else {
        p.n0 = from;
        p.n1 = to < p.g->n ? to : p.g->n;
    }
    run_part(&p);
}

void cpu_gemm_run(const struct cpu_gemm *g, int block)
{
    struct part all = whole(g, block);
    const struct shares s = shares_of(&all);
    struct part even = all;
    all.in_room = s.pieces > 1 && !s.by_rows && g->room != NULL &&
                  g->a_block == block && g->m > all.rows_max;
    even.rows_max = even_rows(&all);
#pragma omp parallel if (s.pieces > 1)
    {
        if (all.in_room) {
#pragma omp for schedule(static)
            for (int64_t m = 0; m < g->m; m += even.rows_max)
                copy_rows(&even, m,
                          g->m - m < even.rows_max ? g->m : m + even.rows_max,
                          0, g->k, g->room + m * depth_of(g->k, block));
        }
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < s.pieces; i++)
            run_piece(&all, &s, i);
    }
}
