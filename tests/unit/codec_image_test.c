/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pictures against what Pillow makes of them (tests/unit/data/codec_images.bin,
 * by codec_images.py), and pictures that must be refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/codec.h"

static unsigned char *file;
static size_t file_bytes, at;

static void take(void *to, size_t bytes)
{
    assert_true(bytes <= file_bytes - at);
    memcpy(to, file + at, bytes);
    at += bytes;
}

static uint32_t take_u32(void)
{
    uint32_t v;
    take(&v, sizeof v);
    return v;
}

static void open_file(void)
{
    char path[512];
    const char *top = getenv("HEARTH_SRCDIR");
    snprintf(path, sizeof path, "%s/tests/unit/data/codec_images.bin",
             top != NULL ? top : ".");
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    file_bytes = (size_t)ftell(f);
    rewind(f);
    file = malloc(file_bytes);
    assert_int_equal(fread(file, 1, file_bytes, f), file_bytes);
    fclose(f);
    at = 0;
    assert_int_equal(take_u32(), 0x53474d49);
}

struct picture {
    char name[64];
    struct hearth_image_spec spec;
    uint32_t tolerance, bytes;
    const unsigned char *data, *expected;
};

static void take_picture(struct picture *p)
{
    uint32_t length = take_u32();
    memset(p, 0, sizeof *p);
    assert_true(length < sizeof p->name);
    take(p->name, length);
    hearth_image_spec_init(&p->spec);
    p->spec.width = take_u32();
    p->spec.height = take_u32();
    p->spec.channels = take_u32();
    p->spec.resize_short = take_u32();
    p->spec.resize_width = take_u32();
    p->spec.resize_height = take_u32();
    p->spec.crop = take_u32() != 0 ? HEARTH_CROP_CENTER : HEARTH_CROP_NONE;
    p->tolerance = take_u32();
    p->spec.dtype = HEARTH_U8;
    p->spec.layout = HEARTH_LAYOUT_NHWC;
    p->bytes = take_u32();
    p->data = file + at;
    at += p->bytes;
    p->expected = file + at;
    at += (size_t)p->spec.width * p->spec.height * p->spec.channels;
    assert_true(at <= file_bytes);
}

static void pictures_become_what_pillow_makes_of_them(void **state)
{
    (void)state;
    open_file();
    uint32_t count = take_u32();
    assert_true(count >= 20);
    for (uint32_t i = 0; i < count; i++) {
        struct picture p;
        struct hearth_error err = {0};
        take_picture(&p);
        size_t n = (size_t)p.spec.width * p.spec.height * p.spec.channels;
        unsigned char *out = malloc(n);
        assert_true(hearth_image_known(p.data, p.bytes));
        if (hearth_image_decode(&p.spec, p.data, p.bytes, NULL, out, &err) != 0)
            fail_msg("%s: %s", p.name, err.text);
        for (size_t k = 0; k < n; k++)
            if ((uint32_t)abs(out[k] - p.expected[k]) > p.tolerance)
                fail_msg("%s: byte %zu is %d, must be %d", p.name, k, out[k],
                         p.expected[k]);
        free(out);
    }
    assert_int_equal(at, file_bytes);
    free(file);
}

static void numbers_are_scaled_and_laid_out_as_asked(void **state)
{
    (void)state;
    struct picture p;
    open_file();
    take_u32();
    take_picture(&p); /* rgb, its own size */
    uint32_t w = p.spec.width, h = p.spec.height, plane = w * h;
    float *out = malloc(3 * plane * sizeof *out);
    p.spec.dtype = HEARTH_F32;
    p.spec.layout = HEARTH_LAYOUT_NCHW;
    for (int c = 0; c < 3; c++) {
        p.spec.mean[c] = 0.1f * (float)c;
        p.spec.deviation[c] = 0.5f + (float)c;
    }
    assert_int_equal(
        hearth_image_decode(&p.spec, p.data, p.bytes, NULL, out, NULL), 0);
    for (uint32_t i = 0; i < plane; i++)
        for (uint32_t c = 0; c < 3; c++) {
            float want = ((float)p.expected[3 * i + c] / 255 - p.spec.mean[c]) /
                         p.spec.deviation[c];
            assert_true(out[c * plane + i] - want < 1e-6f &&
                        want - out[c * plane + i] < 1e-6f);
        }
    free(out);
    free(file);
}

static void a_picture_too_small_for_its_crop_gets_a_black_frame(void **state)
{
    (void)state;
    struct picture p;
    open_file();
    take_u32();
    take_picture(&p);
    p.spec.width = 64;
    p.spec.height = 50;
    p.spec.crop = HEARTH_CROP_CENTER;
    unsigned char *out = malloc(64 * 50 * 3);
    assert_int_equal(
        hearth_image_decode(&p.spec, p.data, p.bytes, NULL, out, NULL), 0);
    assert_int_equal(out[0], 0);
    assert_memory_equal(out + (3 * 64 + 2) * 3, p.expected, 60 * 3);
    free(out);
    free(file);
}

/* Every cut, and every bit of the first bytes: an error or a picture. */
static void broken_pictures_are_refused_and_give_everything_back(void **state)
{
    (void)state;
    uint64_t before = hearth_mem_used_bytes();
    unsigned char out[60 * 44 * 3];
    struct hearth_budget budget;
    open_file();
    uint32_t count = take_u32();
    for (uint32_t i = 0; i < count; i++) {
        struct picture p;
        take_picture(&p);
        if (p.spec.width * p.spec.height > 60 * 44)
            continue;
        hearth_budget_init(&budget, 1 << 20);
        unsigned char *copy = malloc(p.bytes);
        for (uint32_t n = 0; n < p.bytes; n += 1 + n / 16) {
            struct hearth_error err = {0};
            memcpy(copy, p.data, n);
            int rc = hearth_image_decode(&p.spec, copy, n, &budget, out, &err);
            assert_int_not_equal(rc, 0); /* cut short */
            assert_true(strlen(err.text) > 5);
        }
        memcpy(copy, p.data, p.bytes);
        for (uint32_t n = 0; n < p.bytes && n < 700; n++) {
            copy[n] ^= (unsigned char)(1 << n % 8);
            (void)hearth_image_decode(&p.spec, copy, p.bytes, &budget, out,
                                      NULL);
            copy[n] ^= (unsigned char)(1 << n % 8);
        }
        assert_int_equal(hearth_budget_used(&budget), 0);
        free(copy);
    }
    free(file);
    assert_int_equal(hearth_mem_used_bytes(), before);
}

static void sizes_are_checked_before_memory_is_taken(void **state)
{
    (void)state;
    struct picture p;
    struct hearth_budget budget;
    struct hearth_error err;
    unsigned char *out = malloc(1 << 20);
    open_file();
    take_u32();
    take_picture(&p);
    hearth_budget_init(&budget, UINT64_MAX);
    p.spec.max_pixels = 60 * 44 - 1;
    assert_int_equal(
        hearth_image_decode(&p.spec, p.data, p.bytes, &budget, out, &err),
        HEARTH_ETOOBIG);
    assert_int_equal(budget.peak_bytes, 0);
    p.spec.max_pixels = 60 * 44;
    assert_int_equal(
        hearth_image_decode(&p.spec, p.data, p.bytes, &budget, out, &err), 0);
    /* And a budget that is too small is not now, not never. */
    hearth_budget_init(&budget, 1000);
    assert_int_equal(
        hearth_image_decode(&p.spec, p.data, p.bytes, &budget, out, &err),
        HEARTH_ENOMEM);
    assert_int_equal(hearth_budget_used(&budget), 0);
    for (int n = 1; n < 8; n++) {
        hearth_mem_fail_at(n, false);
        int rc = hearth_image_decode(&p.spec, p.data, p.bytes, NULL, out, &err);
        hearth_mem_fail_at(0, false);
        assert_true(rc == HEARTH_ENOMEM || rc == 0);
    }
    free(out);
    free(file);
}

static void what_is_no_picture_is_told_so(void **state)
{
    (void)state;
    struct hearth_image_spec spec;
    struct hearth_error err;
    unsigned char out[3];
    hearth_image_spec_init(&spec);
    spec.width = spec.height = 1;
    assert_int_equal(hearth_image_decode(&spec, "GIF89a", 6, NULL, out, &err),
                     HEARTH_EMEDIA);
    assert_int_equal(hearth_image_decode(&spec, "", 0, NULL, out, &err),
                     HEARTH_EMEDIA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_become_what_pillow_makes_of_them),
        cmocka_unit_test(numbers_are_scaled_and_laid_out_as_asked),
        cmocka_unit_test(a_picture_too_small_for_its_crop_gets_a_black_frame),
        cmocka_unit_test(broken_pictures_are_refused_and_give_everything_back),
        cmocka_unit_test(sizes_are_checked_before_memory_is_taken),
        cmocka_unit_test(what_is_no_picture_is_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
