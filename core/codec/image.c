/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image.c: from a picture to a model's input: resize, crop, normalise.
 *
 * Resizing is a triangle filter whose width grows with the factor, so that
 * every source pixel counts when a picture shrinks; rows first, then columns,
 * each rounded to bytes, as Pillow does it. Only what the crop keeps is made.
 */
#include <math.h>
#include <string.h>

#include "codec/codec_priv.h"

#define MAX_PIXELS UINT64_C(50000000)

void hearth_image_spec_init(struct hearth_image_spec *spec)
{
    *spec = (struct hearth_image_spec){.channels = 3,
                                       .dtype = HEARTH_F32,
                                       .scale = 1.0f / 255,
                                       .deviation = {1, 1, 1}};
}

/* ---- Resize ---- */

/* The source pixels of one result pixel, and their weights. */
struct taps {
    uint32_t first, count;
};
struct filter {
    struct taps *taps; /* one for each result pixel that is kept */
    float *weights;    /* <most> for each */
    uint32_t most, length;
    hearth_buffer_t *memory;
};

/* Result pixels [from, from + length) of <in> pixels resized to <out>. */
static int filter_create(struct filter *f, uint32_t in, uint32_t out,
                         uint32_t from, uint32_t length,
                         struct hearth_budget *budget)
{
    double scale = (double)in / out;
    double support = scale < 1 ? 1 : scale;
    f->most = (uint32_t)ceil(support) * 2 + 1;
    f->length = length;
    uint64_t taps_bytes = (uint64_t)length * sizeof(struct taps);
    if (hearth_buffer_create(taps_bytes +
                                 (uint64_t)length * f->most * sizeof(float),
                             budget, &f->memory) != 0)
        return HEARTH_ENOMEM;
    f->taps = hearth_buffer_data(f->memory);
    f->weights = (float *)(void *)((char *)f->taps + taps_bytes);
    for (uint32_t i = 0; i < length; i++) {
        double center = ((double)from + i + 0.5) * scale, sum = 0;
        double low = center - support + 0.5, high = center + support + 0.5;
        uint32_t first = low > 0 ? (uint32_t)low : 0;
        uint32_t last = high < in ? (uint32_t)high : in;
        float *w = f->weights + (uint64_t)i * f->most;
        f->taps[i] = (struct taps){first, last - first};
        for (uint32_t k = 0; k < last - first; k++) {
            double distance = fabs((first + k + 0.5 - center) / support);
            w[k] = distance < 1 ? (float)(1 - distance) : 0;
            sum += w[k];
        }
        for (uint32_t k = 0; k < last - first && sum > 0; k++)
            w[k] = (float)(w[k] / sum);
    }
    return HEARTH_OK;
}

static uint8_t to_byte(float v)
{
    return (uint8_t)(v <= 0 ? 0 : v >= 255 ? 255 : v + 0.5f);
}

static void resize_rows(const uint8_t *from, uint32_t width, uint32_t rows,
                        uint32_t n, const struct filter *f, uint8_t *to)
{
    for (uint32_t y = 0; y < rows; y++, from += (size_t)width * n)
        for (uint32_t i = 0; i < f->length; i++) {
            const float *w = f->weights + (uint64_t)i * f->most;
            const uint8_t *p = from + (size_t)f->taps[i].first * n;
            float sums[3] = {0};
            for (uint32_t k = 0; k < f->taps[i].count; k++)
                for (uint32_t c = 0; c < n; c++)
                    sums[c] += w[k] * *p++;
            for (uint32_t c = 0; c < n; c++)
                *to++ = to_byte(sums[c]);
        }
}

/* <row>: bytes of a row, room for as many floats in <sums>. */
static void resize_columns(const uint8_t *from, size_t row,
                           const struct filter *f, float *sums, uint8_t *to)
{
    for (uint32_t i = 0; i < f->length; i++) {
        const float *w = f->weights + (uint64_t)i * f->most;
        memset(sums, 0, row * sizeof *sums);
        for (uint32_t k = 0; k < f->taps[i].count; k++) {
            const uint8_t *p = from + (f->taps[i].first + k) * row;
            for (size_t x = 0; x < row; x++)
                sums[x] += w[k] * p[x];
        }
        for (size_t x = 0; x < row; x++)
            *to++ = to_byte(sums[x]);
    }
}

/* ---- Where the result's pixels come from ---- */

struct window {
    uint32_t width, height;  /* of the whole, resized */
    uint32_t x, y;           /* of the kept part in it */
    uint32_t keep_w, keep_h; /* of the kept part */
    uint32_t out_x, out_y;   /* of it in the result, when that is larger */
};

/* The part of <have> that a crop to <want> keeps, in the middle. */
static void crop_axis(uint32_t have, uint32_t want, uint32_t *at,
                      uint32_t *keep, uint32_t *out_at)
{
    *keep = have < want ? have : want;
    *at = have > want ? (uint32_t)rint((have - want) / 2.0) : 0;
    *out_at = want > have ? (want - have) / 2 : 0;
}

static int find_window(const struct hearth_image_spec *s,
                       const struct hearth__image *image, struct window *w,
                       struct hearth_error *err)
{
    uint64_t width = image->width, height = image->height;
    memset(w, 0, sizeof *w);
    if (s->resize_short > 0) {
        uint64_t small = width < height ? width : height;
        width = width * s->resize_short / small;
        height = height * s->resize_short / small;
    } else if (s->resize_width > 0) {
        width = s->resize_width;
        height = s->resize_height;
    } else if (s->crop == HEARTH_CROP_NONE) {
        width = s->width;
        height = s->height;
    }
    if (width == 0 || height == 0 || width > UINT32_MAX / 4 ||
        height > UINT32_MAX / 4)
        return hearth_fail(err, HEARTH_EINVAL,
                           "a picture of %u x %u pixels cannot be resized so; "
                           "send another one",
                           image->width, image->height);
    w->width = (uint32_t)width;
    w->height = (uint32_t)height;
    crop_axis(w->width, s->width, &w->x, &w->keep_w, &w->out_x);
    crop_axis(w->height, s->height, &w->y, &w->keep_h, &w->out_y);
    return HEARTH_OK;
}

/* The kept part of the resized picture, as bytes. */
static int resize(const struct hearth__image *image, const struct window *w,
                  struct hearth_budget *budget, hearth_buffer_t **out)
{
    struct filter across = {0}, down = {0};
    hearth_buffer_t *rows = NULL, *sums = NULL;
    uint32_t n = image->channels;
    size_t row = (size_t)w->keep_w * n;
    *out = NULL;
    int rc =
        filter_create(&across, image->width, w->width, w->x, w->keep_w, budget);
    if (rc == HEARTH_OK)
        rc = filter_create(&down, image->height, w->height, w->y, w->keep_h,
                           budget);
    if (rc == HEARTH_OK)
        rc = hearth_buffer_create(row * image->height, budget, &rows);
    if (rc == HEARTH_OK)
        rc = hearth_buffer_create(row * sizeof(float), budget, &sums);
    if (rc == HEARTH_OK)
        rc = hearth_buffer_create(row * w->keep_h, budget, out);
    if (rc == HEARTH_OK) {
        resize_rows(hearth_buffer_data(image->pixels), image->width,
                    image->height, n, &across, hearth_buffer_data(rows));
        resize_columns(hearth_buffer_data(rows), row, &down,
                       hearth_buffer_data(sums), hearth_buffer_data(*out));
    }
    hearth_buffer_unref(across.memory);
    hearth_buffer_unref(down.memory);
    hearth_buffer_unref(rows);
    hearth_buffer_unref(sums);
    return rc;
}

/* ---- To numbers ---- */

/* Channel <c> of a pixel, whatever the source has. Grey is ITU-R 601. */
static uint8_t channel(const uint8_t *p, uint32_t have, uint32_t want,
                       uint32_t c)
{
    if (have == 1)
        return p[0];
    if (want == 3)
        return p[c];
    return (uint8_t)((p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000) >>
                     16);
}

static void write_pixels(const struct hearth_image_spec *s,
                         const struct window *w, const uint8_t *pixels,
                         uint32_t have, void *out)
{
    uint64_t plane = (uint64_t)s->width * s->height;
    bool planes = s->layout == HEARTH_LAYOUT_NCHW;
    for (uint32_t c = 0; c < s->channels; c++) {
        float table[256];
        for (int v = 0; v < 256; v++)
            table[v] = ((float)v * s->scale - s->mean[c]) / s->deviation[c];
        for (uint32_t y = 0; y < s->height; y++)
            for (uint32_t x = 0; x < s->width; x++) {
                uint64_t i = (uint64_t)y * s->width + x;
                uint64_t at = planes ? c * plane + i : i * s->channels + c;
                uint32_t px = x - w->out_x, py = y - w->out_y;
                uint8_t v = 0; /* black around a picture that is too small */
                if (px < w->keep_w && py < w->keep_h)
                    v = channel(pixels + ((uint64_t)py * w->keep_w + px) * have,
                                have, s->channels, c);
                if (s->dtype == HEARTH_U8)
                    ((uint8_t *)out)[at] = v;
                else
                    ((float *)out)[at] = table[v];
            }
    }
}

int hearth_image_decode(const struct hearth_image_spec *spec, const void *data,
                        uint64_t bytes, struct hearth_budget *budget, void *out,
                        struct hearth_error *err)
{
    struct hearth__image image;
    struct window w;
    hearth_buffer_t *pixels = NULL;
    uint64_t max = spec->max_pixels > 0 ? spec->max_pixels : MAX_PIXELS;
    int rc = hearth__image_read(data, bytes, max, budget, &image, err);
    if (rc == HEARTH_OK)
        rc = find_window(spec, &image, &w, err);
    if (rc == HEARTH_OK && resize(&image, &w, budget, &pixels) != HEARTH_OK)
        rc = hearth__image_no_memory(err);
    if (rc == HEARTH_OK)
        write_pixels(spec, &w, hearth_buffer_data(pixels), image.channels, out);
    hearth_buffer_unref(pixels);
    hearth_buffer_unref(image.pixels);
    return rc;
}
