/* SPDX-License-Identifier: Apache-2.0 */
/*
 * function.h: a model function: its hearth.yaml says which model it is, how a
 * body becomes the model's inputs, and how outputs become an answer. The same
 * code for every way in. Not for scheduling, nor for sockets.
 *
 * A function is immutable after hearth_function_bind: any thread may decode and
 * encode then, at the same time. docs/hearth-yaml.md is the file's reference.
 */
#ifndef HEARTH_FUNCTION_FUNCTION_H
#define HEARTH_FUNCTION_FUNCTION_H

#include "codec/codec.h"
#include "model/model.h"

typedef struct hearth_function hearth_function_t;

enum hearth_function_kind {
    HEARTH_KIND_IMAGE = 0, /* input only */
    HEARTH_KIND_LABELS,    /* output only */
    HEARTH_KIND_JSON,
    HEARTH_KIND_RAW,
    HEARTH_KIND_OIP
};
const char *hearth_function_kind_name(enum hearth_function_kind kind);

/* Texts live as long as the function. */
struct hearth_function_info {
    const char *name;       /* key `name`, else the directory's */
    const char *path;       /* of the hearth.yaml */
    const char *model_path; /* key `model`, relative to the file's directory */
    enum hearth_function_kind input, output;
    int64_t timeout_us;      /* key `timeout`; 0: none */
    uint64_t max_body_bytes; /* key `max_body` [16 MiB] */
    bool warm;               /* key `warm` [true] */
};

/* Reads the file and its labels. Blocks on the disk. HEARTH_ENOENT, HEARTH_EIO,
 * HEARTH_ENOMEM; HEARTH_ECONFIG with "FILE:LINE: what, and what was expected".
 */
int hearth_function_open(hearth_function_t **function, const char *path,
                         struct hearth_error *err);
void hearth_function_close(hearth_function_t **function);
const struct hearth_function_info *
hearth_function_info(const hearth_function_t *function);

/* Fits the configuration to the model: checks what the model's signature can
 * refute, and takes from it what the file leaves open. Once, before decode.
 * HEARTH_ECONFIG. */
int hearth_function_bind(hearth_function_t *function,
                         const hearth_model_t *model, struct hearth_error *err);

/* What the answer needs of the request; zeroed means none. */
struct hearth_function_context {
    struct hearth_oip_request oip;
    bool speaks_oip;
};
void hearth_function_context_clear(struct hearth_function_context *context);

/* The first <bytes> of <body> become tensors, named as the model's inputs; they
 * may be slices of it. <content_type> may be NULL; <oip_json_bytes> as in
 * codec.h. Errors are codec.h's. */
int hearth_function_decode(const hearth_function_t *function,
                           const char *content_type, hearth_buffer_t *body,
                           uint64_t bytes, uint64_t oip_json_bytes,
                           struct hearth_budget *budget,
                           struct hearth_function_context *context,
                           struct hearth_tensor_list *inputs,
                           struct hearth_error *err);
/* Zeros in the model's shapes, symbolic dimensions 1 (an image's own size), for
 * the first run. */
int hearth_function_zeros(const hearth_function_t *function,
                          struct hearth_budget *budget,
                          struct hearth_tensor_list *inputs,
                          struct hearth_error *err);

struct hearth_function_answer {
    hearth_buffer_t *body;    /* the caller's reference */
    const char *content_type; /* static */
    uint64_t oip_json_bytes;
};
int hearth_function_encode(const hearth_function_t *function,
                           const struct hearth_function_context *context,
                           const struct hearth_tensor_list *outputs,
                           struct hearth_budget *budget,
                           struct hearth_function_answer *answer,
                           struct hearth_error *err);
/* The body of a failure, as this function's clients expect it: {"error": ...}
 * where they speak OIP, else the text and a newline. Static content type. */
const char *hearth_function_error_type(const hearth_function_t *function);
int hearth_function_error_body(const hearth_function_t *function,
                               const char *text, hearth_buffer_t **body);

#endif
