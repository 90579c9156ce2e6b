/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_read.c: PNG by libpng, JPEG by libjpeg. Both report errors by longjmp,
 * so that everything a failure must free lies in a struct that the jump leaves
 * alone. Neither prints. A file that is cut short is refused, though libjpeg
 * would make up the rest.
 */
#include <stddef.h>
#include <stdio.h>

#include <jpeglib.h>

#include <jerror.h>
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "codec/codec_priv.h"

int hearth__image_no_memory(struct hearth_error *err)
{
    return hearth_fail(err, HEARTH_ENOMEM,
                       "no memory for the image now; try again later");
}

/* Checks the size that a head claims, and takes room for the pixels. */
static int make_room(struct hearth__image *image, uint64_t width,
                     uint64_t height, uint32_t channels, uint64_t max_pixels,
                     struct hearth_budget *budget, struct hearth_error *err)
{
    if (width == 0 || height == 0)
        return hearth_fail(err, HEARTH_EINVAL, "the image has no pixels");
    if (width > max_pixels || height > max_pixels / width)
        return hearth_fail(err, HEARTH_ETOOBIG,
                           "the image is %llu x %llu pixels, more than %llu in "
                           "all; send a smaller one",
                           (unsigned long long)width,
                           (unsigned long long)height,
                           (unsigned long long)max_pixels);
    image->width = (uint32_t)width;
    image->height = (uint32_t)height;
    image->channels = channels;
    if (hearth_buffer_create(width * height * channels, budget,
                             &image->pixels) != 0)
        return hearth__image_no_memory(err);
    return HEARTH_OK;
}

/* ---- PNG ---- */

struct png_work {
    png_structp png;
    png_infop info;
    const uint8_t *data;
    uint64_t bytes, at;
    hearth_buffer_t *raw; /* with alpha */
    char message[120];
    jmp_buf jump;
};

static void png_failed(png_structp png, png_const_charp message)
{
    struct png_work *w = png_get_error_ptr(png);
    snprintf(w->message, sizeof w->message, "%s", message);
    longjmp(w->jump, 1);
}

static void png_warned(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void png_take(png_structp png, png_bytep to, png_size_t bytes)
{
    struct png_work *w = png_get_io_ptr(png);
    if (bytes > w->bytes - w->at)
        png_error(png, "it is cut short");
    memcpy(to, w->data + w->at, bytes);
    w->at += bytes;
}

/* Eight bits, no palette, alpha beside the colours where there is any. */
static void png_normalise(struct png_work *w)
{
    png_byte type = png_get_color_type(w->png, w->info);
    if (png_get_bit_depth(w->png, w->info) == 16)
        png_set_strip_16(w->png);
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(w->png);
    if (type == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(w->png, w->info) < 8)
        png_set_expand_gray_1_2_4_to_8(w->png);
    if (png_get_valid(w->png, w->info, PNG_INFO_tRNS))
        png_set_tRNS_to_alpha(w->png);
}

/* Lays <n> pixels of <channels> and alpha over black. */
static void flatten(const uint8_t *from, uint8_t *to, uint64_t n,
                    uint32_t channels)
{
    for (uint64_t i = 0; i < n; i++) {
        uint32_t alpha = from[channels];
        for (uint32_t c = 0; c < channels; c++)
            *to++ = (uint8_t)((from[c] * alpha + 127) / 255);
        from += channels + 1;
    }
}

/* May leave by longjmp. */
static int png_decode(struct png_work *w, uint64_t max_pixels,
                      struct hearth_budget *budget, struct hearth__image *image,
                      struct hearth_error *err)
{
    png_set_read_fn(w->png, w, png_take);
    png_set_user_limits(w->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_chunk_malloc_max(w->png, 1 << 20);
    png_set_chunk_cache_max(w->png, 64);
    png_read_info(w->png, w->info);
    png_normalise(w);
    int passes = png_set_interlace_handling(w->png);
    png_read_update_info(w->png, w->info);
    uint32_t samples = png_get_channels(w->png, w->info);
    bool alpha = samples == 2 || samples == 4;
    int rc = make_room(image, png_get_image_width(w->png, w->info),
                       png_get_image_height(w->png, w->info),
                       alpha ? samples - 1 : samples, max_pixels, budget, err);
    if (rc != HEARTH_OK)
        return rc;
    size_t row = (size_t)image->width * samples;
    if (png_get_rowbytes(w->png, w->info) != row)
        png_error(w->png, "its rows are of an unknown form");
    if (alpha &&
        hearth_buffer_create(row * image->height, budget, &w->raw) != 0)
        return hearth__image_no_memory(err);
    uint8_t *to = hearth_buffer_data(alpha ? w->raw : image->pixels);
    for (int pass = 0; pass < passes; pass++)
        for (uint32_t y = 0; y < image->height; y++)
            png_read_row(w->png, to + y * row, NULL);
    png_read_end(w->png, NULL);
    if (alpha)
        flatten(to, hearth_buffer_data(image->pixels),
                (uint64_t)image->width * image->height, image->channels);
    return HEARTH_OK;
}

static int read_png(const void *data, uint64_t bytes, uint64_t max_pixels,
                    struct hearth_budget *budget, struct hearth__image *image,
                    struct hearth_error *err)
{
    struct png_work w = {.data = data, .bytes = bytes};
    int rc = HEARTH_ENOMEM;
    w.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &w, png_failed,
                                   png_warned);
    if (w.png == NULL || (w.info = png_create_info_struct(w.png)) == NULL) {
        png_destroy_read_struct(&w.png, NULL, NULL);
        return hearth__image_no_memory(err);
    }
    if (setjmp(w.jump) == 0)
        rc = png_decode(&w, max_pixels, budget, image, err);
    else
        rc =
            hearth_fail(err, HEARTH_EINVAL, "the PNG is broken: %s", w.message);
    hearth_buffer_unref(w.raw);
    png_destroy_read_struct(&w.png, &w.info, NULL);
    return rc;
}

/* ---- JPEG ---- */

#define SCANS_MAX 200

struct jpeg_work {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    hearth_buffer_t *row; /* of CMYK */
    jmp_buf jump;
    char message[JMSG_LENGTH_MAX];
    int orientation;
};

static void jpeg_failed(j_common_ptr common)
{
    struct jpeg_work *w = common->client_data;
    common->err->format_message(common, w->message);
    longjmp(w->jump, 1);
}

/* Warnings that mean missing data are errors; nothing is printed. */
static void jpeg_message(j_common_ptr common, int level)
{
    if (level < 0 && (common->err->msg_code == JWRN_JPEG_EOF ||
                      common->err->msg_code == JWRN_HIT_MARKER))
        jpeg_failed(common);
}

/* A picture of a few bytes can claim thousands of scans over all its pixels. */
static void jpeg_progress(j_common_ptr common)
{
    struct jpeg_work *w = common->client_data;
    if (w->jpeg.input_scan_number <= SCANS_MAX)
        return;
    snprintf(w->message, sizeof w->message, "more than %d scans", SCANS_MAX);
    longjmp(w->jump, 1);
}

static void jpeg_silent(j_common_ptr common)
{
    (void)common;
}

/* EXIF's orientation, 1 to 8; 1 when it is not told, or wrongly. */
static int exif_orientation(const struct jpeg_decompress_struct *jpeg)
{
    for (jpeg_saved_marker_ptr m = jpeg->marker_list; m != NULL; m = m->next) {
        const uint8_t *d = m->data;
        if (m->marker != JPEG_APP0 + 1 || m->data_length < 20 ||
            memcmp(d, "Exif\0\0", 6) != 0)
            continue;
        bool big = d[6] == 'M';
        const uint8_t *tiff = d + 6;
        uint32_t length = m->data_length - 6;
#define U16(at)                                                                \
    (big ? (uint32_t)tiff[at] << 8 | tiff[(at) + 1]                            \
         : (uint32_t)tiff[(at) + 1] << 8 | tiff[at])
        uint32_t ifd = big ? U16(4) << 16 | U16(6) : U16(6) << 16 | U16(4);
        if (ifd > length - 2)
            continue;
        uint32_t entries = U16(ifd);
        for (uint32_t i = 0; i < entries; i++) {
            uint32_t at = ifd + 2 + i * 12;
            if (at > length || length - at < 12)
                break;
            uint32_t value = U16(at + 8);
            if (U16(at) == 0x0112)
                return value >= 1 && value <= 8 ? (int)value : 1;
        }
#undef U16
    }
    return 1;
}

static void from_cmyk(const uint8_t *cmyk, uint8_t *rgb, uint32_t width,
                      bool inverted)
{
    for (uint32_t x = 0; x < width; x++, cmyk += 4)
        for (int c = 0; c < 3; c++) {
            uint32_t ink = inverted ? cmyk[c] : 255u - cmyk[c];
            uint32_t black = inverted ? cmyk[3] : 255u - cmyk[3];
            *rgb++ = (uint8_t)((ink * black + 127) / 255);
        }
}

/* May leave by longjmp. */
static int jpeg_decode(struct jpeg_work *w, const void *data, uint64_t bytes,
                       uint64_t max_pixels, struct hearth_budget *budget,
                       struct hearth__image *image, struct hearth_error *err)
{
    struct jpeg_decompress_struct *j = &w->jpeg;
    jpeg_create_decompress(j);
    j->client_data = w;
    j->progress = &w->progress;
    jpeg_mem_src(j, data, bytes);
    jpeg_save_markers(j, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(j, TRUE);
    w->orientation = exif_orientation(j);
    bool cmyk =
        j->jpeg_color_space == JCS_CMYK || j->jpeg_color_space == JCS_YCCK;
    bool grey = j->jpeg_color_space == JCS_GRAYSCALE;
    j->out_color_space = cmyk ? JCS_CMYK : grey ? JCS_GRAYSCALE : JCS_RGB;
    int rc = make_room(image, j->image_width, j->image_height, grey ? 1 : 3,
                       max_pixels, budget, err);
    if (rc != HEARTH_OK)
        return rc;
    /* Whole progressive pictures are held as coefficients beside the pixels. */
    j->mem->max_memory_to_use = (long)max_pixels * 8;
    jpeg_start_decompress(j);
    if (cmyk &&
        hearth_buffer_create((uint64_t)image->width * 4, budget, &w->row) != 0)
        return hearth__image_no_memory(err);
    size_t stride = (size_t)image->width * image->channels;
    uint8_t *to = hearth_buffer_data(image->pixels);
    while (j->output_scanline < j->output_height) {
        uint8_t *row = to + j->output_scanline * stride;
        JSAMPROW rows[1] = {cmyk ? hearth_buffer_data(w->row) : row};
        jpeg_read_scanlines(j, rows, 1);
        if (cmyk)
            from_cmyk(rows[0], row, image->width, j->saw_Adobe_marker != 0);
    }
    jpeg_finish_decompress(j);
    return HEARTH_OK;
}

/* Turns the picture so that its first row is its top. */
static int turn(struct hearth__image *image, int orientation,
                struct hearth_budget *budget, struct hearth_error *err)
{
    if (orientation == 1)
        return HEARTH_OK;
    uint32_t w = image->width, h = image->height, n = image->channels;
    bool swap = orientation >= 5;
    uint32_t to_w = swap ? h : w, to_h = swap ? w : h;
    hearth_buffer_t *turned;
    if (hearth_buffer_create((uint64_t)w * h * n, budget, &turned) != 0)
        return hearth__image_no_memory(err);
    const uint8_t *from = hearth_buffer_data(image->pixels);
    uint8_t *to = hearth_buffer_data(turned);
    /* By the standard's table of where row 0 and column 0 are. */
    bool flip_x = orientation == 2 || orientation == 3 || orientation == 7 ||
                  orientation == 8;
    bool flip_y = orientation == 3 || orientation == 4 || orientation == 6 ||
                  orientation == 7;
    for (uint32_t y = 0; y < to_h; y++)
        for (uint32_t x = 0; x < to_w; x++) {
            uint32_t sx = swap ? y : x, sy = swap ? x : y;
            sx = flip_x ? w - 1 - sx : sx;
            sy = flip_y ? h - 1 - sy : sy;
            memcpy(to, from + ((uint64_t)sy * w + sx) * n, n);
            to += n;
        }
    hearth_buffer_unref(image->pixels);
    image->pixels = turned;
    image->width = to_w;
    image->height = to_h;
    return HEARTH_OK;
}

static int read_jpeg(const void *data, uint64_t bytes, uint64_t max_pixels,
                     struct hearth_budget *budget, struct hearth__image *image,
                     struct hearth_error *err)
{
    struct jpeg_work w;
    int rc;
    memset(&w, 0, sizeof w);
    w.jpeg.err = jpeg_std_error(&w.errors);
    w.jpeg.client_data = &w;
    w.progress.progress_monitor = jpeg_progress;
    w.errors.error_exit = jpeg_failed;
    w.errors.emit_message = jpeg_message;
    w.errors.output_message = jpeg_silent;
    if (setjmp(w.jump) == 0)
        rc = jpeg_decode(&w, data, bytes, max_pixels, budget, image, err);
    else
        rc = hearth_fail(err, HEARTH_EINVAL, "the JPEG is broken: %.150s",
                         w.message);
    hearth_buffer_unref(w.row);
    jpeg_destroy_decompress(&w.jpeg);
    if (rc == HEARTH_OK)
        rc = turn(image, w.orientation, budget, err);
    return rc;
}

/* ---- Either ---- */

static bool is_png(const uint8_t *d, uint64_t bytes)
{
    return bytes >= 8 && memcmp(d, "\x89PNG\r\n\x1a\n", 8) == 0;
}

static bool is_jpeg(const uint8_t *d, uint64_t bytes)
{
    return bytes >= 3 && memcmp(d, "\xff\xd8\xff", 3) == 0;
}

bool hearth_image_known(const void *data, uint64_t bytes)
{
    return is_png(data, bytes) || is_jpeg(data, bytes);
}

int hearth__image_read(const void *data, uint64_t bytes, uint64_t max_pixels,
                       struct hearth_budget *budget,
                       struct hearth__image *image, struct hearth_error *err)
{
    int rc;
    memset(image, 0, sizeof *image);
    if (is_png(data, bytes))
        rc = read_png(data, bytes, max_pixels, budget, image, err);
    else if (is_jpeg(data, bytes))
        rc = read_jpeg(data, bytes, max_pixels, budget, image, err);
    else
        rc = hearth_fail(err, HEARTH_EMEDIA,
                         "the body is neither a PNG nor a JPEG; send one of "
                         "them");
    if (rc != HEARTH_OK) {
        hearth_buffer_unref(image->pixels);
        image->pixels = NULL;
    }
    return rc;
}
