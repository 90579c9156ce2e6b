/* SPDX-License-Identifier: Apache-2.0 */
/* codec_priv.h: between the files of core/codec. */
#ifndef HEARTH_CODEC_CODEC_PRIV_H
#define HEARTH_CODEC_CODEC_PRIV_H

#include "codec/codec.h"
#include "ops/ops.h"

/* A decoded picture: interleaved bytes. */
struct hearth__image {
    uint32_t width, height, channels; /* 1 or 3 */
    hearth_buffer_t *pixels;
};
/* Decodes to 1 channel when the source is grey, else to 3; upright. Checks
 * width * height against <max_pixels> before it takes memory. */
int hearth__image_read(const void *data, uint64_t bytes, uint64_t max_pixels,
                       struct hearth_budget *budget,
                       struct hearth__image *image, struct hearth_error *err);
int hearth__image_no_memory(struct hearth_error *err);

/* One number at <p>, before <end>; exact for integers. */
struct hearth__number {
    bool is_integer, negative;
    uint64_t magnitude; /* of an integer */
    double value;
};
/* What is behind it, or NULL: it is no number of JSON. */
const char *hearth__number_read(const char *p, const char *end,
                                struct hearth__number *number);

#endif
