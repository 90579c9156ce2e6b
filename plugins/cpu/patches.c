/* SPDX-License-Identifier: Apache-2.0 */
/*
 * patches.c: what each window sees becomes a row, as many rows at once as the
 * second cache holds beside the weights, and a matrix product of ours does the
 * rest. Rows are written in the order in which that reads them: V numbers of
 * each row, then V others.
 */
#include "patches.h"

#include <string.h>

#include "gemm.h"
#ifdef _OPENMP
#include <omp.h>
#endif

#define ROWS_BYTES (192 << 10)
/* A window's numbers; more would leave too few rows. */
#define DEPTH_MAX 2048

int64_t cpu_patches_depth(const struct cpu_conv *c)
{
    return c->in_channels * c->window.kernel[0] * c->window.kernel[1];
}

bool cpu_patches_can(const struct cpu_conv *c)
{
    bool keeps_zero = c->act != HEARTH_ACT_CLIP && c->act != HEARTH_ACT_SIGMOID;
    return c->rank == 2 && c->groups == 1 && !c->src_blocked &&
           c->dst_blocked && cpu_gemm_can(c->block) &&
           cpu_patches_depth(c) <= DEPTH_MAX &&
           (keeps_zero || c->out_channels % c->block == 0);
}

static int64_t padded_depth(const struct cpu_conv *c)
{
    return (cpu_patches_depth(c) + c->block - 1) / c->block * c->block;
}

static int64_t rows_at_once(const struct cpu_conv *c)
{
    int64_t rows = ROWS_BYTES / (int64_t)sizeof(float) / padded_depth(c);
    return rows / 12 * 12 + 12; /* whole tiles */
}

uint64_t cpu_patches_scratch(const struct cpu_conv *c, int threads)
{
    return (uint64_t)(rows_at_once(c) * padded_depth(c)) * sizeof(float) *
           (uint64_t)threads;
}

/* Of one picture: what the window at that place sees, zeros beyond it. */
static void see(const struct cpu_conv *c, const float *src, int64_t y,
                int64_t x, float *to)
{
    const struct hearth_window *w = &c->window;
    const int64_t height = w->in[0], width = w->in[1], dx = w->dilation[1];
    int64_t x0 = x * w->stride[1] - w->pad_begin[1], first = 0;
    int64_t end = w->kernel[1];
    while (first < end && x0 + first * dx < 0)
        first++;
    while (end > first && x0 + (end - 1) * dx >= width)
        end--;
    for (int64_t i = 0; i < c->in_channels; i++, src += height * width)
        for (int64_t k = 0; k < w->kernel[0]; k++, to += w->kernel[1]) {
            int64_t at =
                y * w->stride[0] - w->pad_begin[0] + k * w->dilation[0];
            bool inside = at >= 0 && at < height;
            int64_t j = 0, stop = inside ? end : 0;
            for (; j < first; j++)
                to[j] = 0;
            for (; j < stop; j++)
                to[j] = src[at * width + x0 + j * dx];
            for (; j < w->kernel[1]; j++)
                to[j] = 0;
        }
}

/* Results [m0, m1) of one picture. */
static void part(const struct cpu_conv *c, const float *src,
                 const float *weights, const float *bias, float *dst,
                 float *rows, int64_t m0, int64_t m1)
{
    float seen[DEPTH_MAX + 16];
    const int64_t v = c->block, depth = padded_depth(c);
    const int64_t pixels = c->window.out[0] * c->window.out[1];
    const struct cpu_gemm g = {.m = m1 - m0,
                               .n = c->out_channels,
                               .k = cpu_patches_depth(c),
                               .a = rows,
                               .a_row = v,
                               .a_block = (m1 - m0) * v,
                               .b = weights,
                               .c = dst + m0 * v,
                               .c_row = v,
                               .c_block = pixels * v,
                               .bias = bias,
                               .z = c->sum ? dst + m0 * v : NULL,
                               .act = c->act,
                               .alpha = c->alpha,
                               .beta = c->beta,
                               .filled = true};
    memset(seen, 0, sizeof seen);
    for (int64_t m = m0; m < m1; m++) {
        float *to = rows + (m - m0) * v;
        see(c, src, m / c->window.out[1], m % c->window.out[1], seen);
        if (v == 8) /* a length that the compiler knows */
            for (int64_t k = 0; k < depth; k += 8)
                memcpy(to + k * (m1 - m0), seen + k, 8 * sizeof *to);
        else
            for (int64_t k = 0; k < depth; k += 16)
                memcpy(to + k * (m1 - m0), seen + k, 16 * sizeof *to);
    }
    cpu_gemm_run_alone(&g, c->block);
}

void cpu_patches_run(const struct cpu_conv *c, const float *src,
                     const float *weights, const float *bias, float *dst,
                     void *scratch)
{
    const int64_t pixels = c->window.out[0] * c->window.out[1];
    const int64_t blocks = (c->out_channels + c->block - 1) / c->block;
    const int64_t at_once = rows_at_once(c);
    const int64_t parts = (pixels + at_once - 1) / at_once;
    const int64_t in = c->in_channels * c->window.in[0] * c->window.in[1];
    const int64_t room = at_once * padded_depth(c);
#pragma omp parallel for if (parts * c->batch > 1) schedule(static)
    for (int64_t i = 0; i < parts * c->batch; i++) {
#ifdef _OPENMP
        int own = omp_get_thread_num();
#else
        int own = 0;
#endif
        int64_t n = i / parts, m = i % parts * at_once;
        part(c, src + n * in, weights, bias,
             dst + n * blocks * c->block * pixels,
             (float *)scratch + own * room, m,
             pixels - m < at_once ? pixels : m + at_once);
    }
}
