/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tune.c: which way of a 3x3 convolution is the fastest on this machine, by the
 * clock: oneDNN's direct one, or Winograd's with tiles of 4 or of 2. Only where
 * the model of the cost (winograd.c) finds ways to be close: large layers,
 * whose ways are far apart, cost nothing.
 *
 * Each way runs a few times on made-up numbers, in turn, with its weights out
 * of the caches, as they are when a whole model runs; the shortest time of each
 * counts, for whatever else the machine does can only lengthen it. What the
 * model would choose stays unless another way is faster by a twentieth.
 *
 * Answers are remembered for as long as the device is open, so that footprint
 * and load agree and a net's many equal layers are timed once, and for good in
 * the lowered section of the model's pack (lowered.c).
 */
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#include "cpu.h"
#include "winograd.h"

#define WAYS 3
#define ROUNDS 6
/* A layer's rounds end when they have taken so long, but for the second. */
#define LAYER_US 20000
/* Larger ones are not timed. */
#define NUMBERS_MAX (INT64_C(1) << 25)
#define LINE 64

struct way {
    int size; /* of Winograd's tiles; 0: the direct way */
    struct cpu_primitive primitive;
    uint64_t weight_bytes, scratch_bytes;
    float *weights, *scratch;
    int64_t best_us;
};

struct trial {
    hearth_dev_t *dev;
    const struct cpu_conv *conv;
    dnnl_stream_t stream;
    int64_t src_count, dst_count;
    float *src, *dst, *bias;
    struct way ways[WAYS];
    int way_count;
};

/* ---- Buffers ---- */

/* Numbers of either sign, none of them tiny; NULL: no memory. */
static float *numbers(uint64_t bytes)
{
    uint64_t whole = (bytes + LINE) / LINE * LINE;
    float *at = aligned_alloc(LINE, whole);
    for (uint64_t i = 0; at != NULL && i < whole / sizeof *at; i++)
        at[i] = (float)((int)(i * 7 % 13) - 6) / 64;
    return at;
}

static int64_t blocked(int64_t channels, int block)
{
    return (channels + block - 1) / block * block;
}

static bool buffers(struct trial *t)
{
    const struct cpu_conv *c = t->conv;
    t->src = numbers((uint64_t)t->src_count * sizeof *t->src);
    t->dst = numbers((uint64_t)t->dst_count * sizeof *t->dst);
    t->bias =
        numbers((uint64_t)blocked(c->out_channels, c->block) * sizeof *t->bias);
    return t->src != NULL && t->dst != NULL && t->bias != NULL;
}

static void flush(const void *data, uint64_t bytes)
{
#if defined(__x86_64__)
    for (uint64_t i = 0; i < bytes; i += LINE)
        _mm_clflush((const char *)data + i);
    _mm_mfence();
#else
    (void)data;
    (void)bytes;
#endif
}

/* ---- Ways ---- */

static int add_direct(struct trial *t, struct way *w)
{
    cpu_layout_t *layout;
    bool slow;
    int rc = cpu_conv_layout(t->dev, t->conv, &layout, &slow, NULL);
    if (rc != HEARTH_OK)
        return rc;
    w->weight_bytes = cpu_layout_bytes(layout);
    rc = cpu_conv_create(t->dev, t->conv, layout, &w->primitive, &slow, NULL);
    if (rc == HEARTH_OK)
        rc = cpu_primitive_prepare(&w->primitive, NULL);
    w->scratch_bytes = w->primitive.scratch_bytes;
    cpu_layout_free(layout);
    return rc;
}

static void add_way(struct trial *t, int size)
{
    struct way *w = &t->ways[t->way_count];
    bool ok = true;
    memset(w, 0, sizeof *w);
    w->size = size;
    w->best_us = INT64_MAX;
    if (size == 0) {
        ok = add_direct(t, w) == HEARTH_OK;
    } else {
        w->weight_bytes = cpu_winograd_bytes(t->conv, size);
        w->scratch_bytes = cpu_winograd_scratch(t->conv, size, t->dev->threads);
    }
    if (ok) {
        w->weights = numbers(w->weight_bytes);
        w->scratch = numbers(w->scratch_bytes);
        ok = w->weights != NULL && w->scratch != NULL;
    }
    t->way_count++;
    if (!ok)
        w->size = -1; /* it is not tried; end() frees what there is */
}

static void run_way(struct trial *t, struct way *w)
{
    const struct cpu_conv *c = t->conv;
    void *data[CPU_ARGS_MAX] = {t->src, w->weights};
    int count = 2;
    if (w->size != 0) {
        cpu_winograd_run(c, w->size, t->dev->threads, t->src, w->weights,
                         c->bias ? t->bias : NULL, t->dst, w->scratch);
        return;
    }
    if (c->bias)
        data[count++] = t->bias;
    data[count++] = t->dst;
    data[count++] = w->scratch;
    (void)cpu_primitive_run(t->stream, &w->primitive, data, NULL);
}

/* The first round is no measurement: pages and code are touched first. */
static void time_ways(struct trial *t)
{
    int64_t all = 0;
    for (int round = 0; round < ROUNDS && (round < 2 || all < LAYER_US);
         round++)
        for (int i = 0; i < t->way_count; i++) {
            struct way *w = &t->ways[i];
            if (w->size < 0)
                continue;
            flush(w->weights, w->weight_bytes);
            int64_t began = cpu_profile_now();
            run_way(t, w);
            int64_t us = cpu_profile_now() - began;
            all += us;
            if (round > 0 && us < w->best_us)
                w->best_us = us;
        }
}

static void end(struct trial *t)
{
    for (int i = 0; i < t->way_count; i++) {
        cpu_primitive_destroy(&t->ways[i].primitive);
        free(t->ways[i].weights);
        free(t->ways[i].scratch);
    }
    if (t->stream != NULL)
        dnnl_stream_destroy(t->stream);
    free(t->src);
    free(t->dst);
    free(t->bias);
}

/* To the best of them, as the model of the cost has it. */
static bool is_close(const struct cpu_conv *c, int size)
{
    int64_t least = cpu_winograd_cost(c, 0);
    for (int s = 2; s <= 4; s += 2)
        if (cpu_winograd_cost(c, s) < least)
            least = cpu_winograd_cost(c, s);
    return cpu_winograd_cost(c, size) <= least + least / 2;
}

/* <guess> where nothing can be timed. */
static int by_clock(hearth_dev_t *dev, const struct cpu_conv *c, int guess)
{
    static const int sizes[WAYS] = {4, 2, 0};
    int close = 0;
    const int64_t *in = c->window.in, *out = c->window.out;
    struct trial t = {.dev = dev, .conv = c};
    int64_t least = INT64_MAX, guessed = INT64_MAX;
    int best = guess;
    t.src_count = c->batch * blocked(c->in_channels, c->block) * in[0] * in[1];
    t.dst_count =
        c->batch * blocked(c->out_channels, c->block) * out[0] * out[1];
    for (int i = 0; i < WAYS; i++)
        close += is_close(c, sizes[i]);
    if (close < 2 || t.src_count > NUMBERS_MAX || t.dst_count > NUMBERS_MAX ||
        36 * c->in_channels * c->out_channels > NUMBERS_MAX)
        return guess;
    if (dnnl_stream_create(&t.stream, dev->engine, dnnl_stream_default_flags) ==
            dnnl_success &&
        buffers(&t)) {
        for (int i = 0; i < WAYS; i++)
            if (is_close(c, sizes[i]))
                add_way(&t, sizes[i]);
        time_ways(&t);
    }
    for (int i = 0; i < t.way_count; i++) {
        const struct way *w = &t.ways[i];
        if (w->best_us < least) {
            least = w->best_us;
            best = w->size;
        }
        if (w->size == guess)
            guessed = w->best_us;
    }
    end(&t);
    return guessed == INT64_MAX || least < guessed - guessed / 20 ? best
                                                                  : guess;
}

/* ---- What is known ---- */

static const struct cpu_tuned *find(const hearth_dev_t *dev,
                                    const struct cpu_conv *conv)
{
    for (uint32_t i = 0; i < dev->tuned_count; i++)
        if (memcmp(&dev->tuned[i].conv, conv, sizeof *conv) == 0)
            return &dev->tuned[i];
    return NULL;
}

static void remember(hearth_dev_t *dev, const struct cpu_conv *conv, int size)
{
    uint32_t n = dev->tuned_count;
    if ((n & (n - 1)) == 0) { /* full: its room is a power of two */
        struct cpu_tuned *more =
            cpu_realloc(dev->tuned, n == 0 ? 1 : 2 * (size_t)n, sizeof *more);
        if (more == NULL)
            return;
        dev->tuned = more;
    }
    dev->tuned[n].conv = *conv;
    dev->tuned[n].size = size;
    dev->tuned_count++;
}

int cpu_tune(hearth_dev_t *dev, const struct cpu_conv *conv)
{
    int guess = cpu_winograd_choose(conv);
    if (!cpu_winograd_can(conv))
        return 0;
    /* One at a time: they would time each other. */
    pthread_mutex_lock(&dev->tuning);
    const struct cpu_tuned *known = find(dev, conv);
    int size = known != NULL ? known->size : by_clock(dev, conv, guess);
    if (known == NULL)
        remember(dev, conv, size);
    pthread_mutex_unlock(&dev->tuning);
    return size;
}
