/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_fuzz.c: any bytes as a picture. The first byte chooses what is made of
 * it; a budget bounds the memory, and must be whole again.
 */
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hearth_image_spec spec;
    struct hearth_budget budget;
    struct hearth_error err;
    static float out[3 * 64 * 64];
    if (size < 1)
        return 0;
    hearth_image_spec_init(&spec);
    spec.width = 1 + data[0] % 64;
    spec.height = 1 + data[0] % 61;
    spec.channels = data[0] & 1 ? 1 : 3;
    spec.crop = data[0] & 2 ? HEARTH_CROP_CENTER : HEARTH_CROP_NONE;
    spec.resize_short = data[0] & 4 ? 70 : 0;
    spec.layout = data[0] & 8 ? HEARTH_LAYOUT_NHWC : HEARTH_LAYOUT_NCHW;
    spec.max_pixels = 1 << 18;
    hearth_budget_init(&budget, 16 << 20);
    /* A copy of exactly the bytes: reading past them is seen. */
    uint8_t *copy = malloc(size);
    memcpy(copy, data + 1, size - 1);
    (void)hearth_image_decode(&spec, copy, size - 1, &budget, out, &err);
    free(copy);
    HEARTH_ASSERT(hearth_budget_used(&budget) == 0);
    return 0;
}
