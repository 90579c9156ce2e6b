/* SPDX-License-Identifier: Apache-2.0 */
/*
 * codec.h: bytes <-> tensors: images (PNG, JPEG), JSON arrays, raw numbers, and
 * the Open Inference Protocol's bodies. Pure: no I/O, no state, any thread. All
 * input is hostile: what it claims is checked before memory is taken for it.
 *
 * Functions that fail give HEARTH_EINVAL, EMEDIA, ETOOBIG, ETYPE, ESHAPE or
 * EPROTO for the input's faults (the text says what and where) and
 * HEARTH_ENOMEM for memory or budget. Tensors are made with <budget>, which may
 * be NULL; after a failure the list is as it was.
 */
#ifndef HEARTH_CODEC_CODEC_H
#define HEARTH_CODEC_CODEC_H

#include "tensor/tensor.h"

/* ---- Images ---- */

enum hearth_image_crop { HEARTH_CROP_NONE = 0, HEARTH_CROP_CENTER };
enum hearth_image_layout { HEARTH_LAYOUT_NCHW = 0, HEARTH_LAYOUT_NHWC };

/* Decode, turn upright (EXIF), resize, crop, then per channel
 * (value * scale - mean) / deviation. */
struct hearth_image_spec {
    uint32_t width, height; /* of the result */
    uint32_t channels;      /* 1: grey, 3: red, green, blue */
    /* Before the crop: the short side becomes <resize_short>, or the picture
     * <resize_width> x <resize_height>; all 0: straight to width x height,
     * whatever the proportions. */
    uint32_t resize_short, resize_width, resize_height;
    enum hearth_image_crop crop; /* of width x height, after a resize */
    enum hearth_image_layout layout;
    enum hearth_dtype dtype;     /* HEARTH_F32; HEARTH_U8: no arithmetic */
    float scale;                 /* [1/255] */
    float mean[3], deviation[3]; /* [0, 1] */
    uint64_t max_pixels;         /* of the source; 0: 50 million */
};
void hearth_image_spec_init(struct hearth_image_spec *spec);

/* Writes one picture to <out>: width * height * channels elements of the
 * spec's type. Resizing is a triangle filter with support scaled down (as
 * Pillow's BILINEAR: equal within one step of 255), in two passes. Alpha is
 * laid over black; 16-bit samples lose their low byte; CMYK is converted. */
int hearth_image_decode(const struct hearth_image_spec *spec, const void *data,
                        uint64_t bytes, struct hearth_budget *budget, void *out,
                        struct hearth_error *err);
/* Is it a PNG or a JPEG, by its first bytes? */
bool hearth_image_known(const void *data, uint64_t bytes);

/* ---- JSON arrays ---- */

/* A nested array of numbers (true and false count as 1 and 0) as a dense
 * tensor, or a number as a scalar, at the start of <text>; *end is behind it.
 * The shape is the nesting's; ragged arrays, more than HEARTH_RANK_MAX levels
 * and numbers that <dtype> cannot hold are refused with their place. NaN and
 * infinities are no JSON and refused. */
int hearth_json_tensor_read(const char *text, uint64_t bytes,
                            enum hearth_dtype dtype,
                            struct hearth_budget *budget,
                            hearth_buffer_t **buffer,
                            struct hearth_shape *shape, const char **end,
                            struct hearth_error *err);
/* Nested arrays after the tensor's shape; shortest text that reads back as the
 * same number; NaN and infinities become null. Appends to <out>. */
struct hearth_text {
    char *data;
    uint64_t bytes, room;
    struct hearth_budget *budget; /* charged for <room>; NULL: none */
    bool failed;                  /* out of memory: later puts do nothing */
};
void hearth_text_put(struct hearth_text *text, const void *data,
                     uint64_t bytes);
void hearth_text_puts(struct hearth_text *text, const char *s);
/* As a JSON string, quoted; bytes that are no UTF-8 become U+FFFD. */
void hearth_text_put_json(struct hearth_text *text, const char *s);
void hearth_text_put_double(struct hearth_text *text, double value);
void hearth_text_put_float(struct hearth_text *text, float value);
void hearth_text_put_int(struct hearth_text *text, int64_t value);
/* The tensor's numbers; <flat>: one array, as OIP writes it. */
void hearth_text_put_tensor(struct hearth_text *text,
                            const struct hearth_tensor *tensor, bool flat);
/* Hands the bytes over as a buffer; the text is empty then, in any case. */
int hearth_text_finish(struct hearth_text *text, hearth_buffer_t **buffer);
void hearth_text_clear(struct hearth_text *text);

/* ---- Open Inference Protocol v2 ---- */

struct hearth_oip_output {
    char *name;
    bool binary;
    uint32_t classification; /* 0: numbers; else "k" of the extension */
};
/* What an answer needs of its request. */
struct hearth_oip_request {
    char *id; /* NULL: none was sent */
    struct hearth_oip_output *outputs;
    uint32_t output_count; /* 0: all of them */
    bool binary_default;   /* "binary_data_output" */
    int64_t timeout_us;    /* "timeout"; 0: none was asked for */
};
/* <json_bytes>: Inference-Header-Content-Length, 0: all of the body is JSON.
 * Inputs with binary data are slices of <body>, without a copy. */
int hearth_oip_read(hearth_buffer_t *body, uint64_t bytes, uint64_t json_bytes,
                    struct hearth_budget *budget,
                    struct hearth_oip_request *request,
                    struct hearth_tensor_list *inputs,
                    struct hearth_error *err);
void hearth_oip_request_clear(struct hearth_oip_request *request);
/* The answer's body; *json_bytes > 0 when binary parts follow the JSON.
 * <labels> (NULL: none) name classes for the classification extension. */
int hearth_oip_write(const char *model, const char *version,
                     const struct hearth_oip_request *request,
                     const struct hearth_tensor_list *outputs,
                     const char *const *labels, uint32_t label_count,
                     struct hearth_budget *budget, hearth_buffer_t **body,
                     uint64_t *json_bytes, struct hearth_error *err);

/* ---- Compressed bodies ---- */

enum hearth_coding {
    HEARTH_CODING_NONE = 0, /* also "identity" */
    HEARTH_CODING_GZIP,
    HEARTH_CODING_DEFLATE,
    HEARTH_CODING_UNKNOWN
};
/* Of a Content-Encoding; NULL is NONE. */
enum hearth_coding hearth_coding_parse(const char *text);

/* Unpacks pieces as they come, to <limit_bytes> in all. About 75 KiB. */
typedef struct hearth_inflate hearth_inflate_t;
apr_status_t hearth_inflate_create(hearth_inflate_t **inflate,
                                   enum hearth_coding coding,
                                   uint64_t limit_bytes);
/* <out> gets what the piece became, in pieces of its own; nothing more comes
 * after a failure. HEARTH_EPROTO: damaged, or something follows the end;
 * HEARTH_ETOOBIG; HEARTH_ENOMEM. */
int hearth_inflate_write(hearth_inflate_t *inflate, const void *data,
                         size_t bytes,
                         void (*out)(void *ctx, const void *data, size_t bytes),
                         void *ctx, struct hearth_error *err);
/* No piece follows. HEARTH_EPROTO: it is not whole. */
int hearth_inflate_end(hearth_inflate_t *inflate, struct hearth_error *err);
void hearth_inflate_destroy(hearth_inflate_t **inflate);

/* ---- Top k ---- */
struct hearth_ranked {
    uint32_t index;
    float value;
};
/* The <k> largest of <count> values, largest first, equal ones by index; NaN
 * counts as smallest. Returns min(k, count). */
uint32_t hearth_top_k(const float *values, uint32_t count,
                      struct hearth_ranked *best, uint32_t k);

#endif
