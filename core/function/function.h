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
    const char *name;        /* key `name`, else the directory's */
    const char *path;        /* of the hearth.yaml */
    const char *model_path;  /* key `model`, relative to the file's directory */
    const char *model_name;  /* as the file has it */
    const char *labels_name; /* likewise, key `output.labels`; NULL: none */
    enum hearth_function_kind input, output;
    int64_t timeout_us;      /* key `timeout`; 0: none */
    uint64_t max_body_bytes; /* key `max_body` [16 MiB] */
    bool warm;               /* key `warm` [true] */
    bool warm_asked;         /* the file says "warm: true" */
    const char *version;     /* of the model, for answers ["1"] */
    uint32_t max_batch;      /* of one request; 0: any */
};

/* Reads the file and its labels. Blocks on the disk. HEARTH_ENOENT, HEARTH_EIO,
 * HEARTH_ENOMEM; HEARTH_ECONFIG with "FILE:LINE: what, and what was expected".
 */
int hearth_function_open(hearth_function_t **function, const char *path,
                         struct hearth_error *err);
/* The same for a file that a stranger wrote: the files that it names must lie
 * in its directory or below, by relative paths without "..". <name> is the
 * function's, whatever the file says. */
int hearth_function_open_confined(hearth_function_t **function,
                                  const char *path, const char *name,
                                  struct hearth_error *err);
/* A function without a file: a model by itself, spoken to by the Open Inference
 * Protocol. Texts are copied. */
struct hearth_function_plain {
    const char *name, *version; /* for answers */
    const char *model_path;
    const char *labels_path; /* NULL: classes have no names */
    uint64_t max_body_bytes; /* 0: as a hearth.yaml without it */
    uint32_t max_batch;      /* 0: any; else axis 0 of every input is a batch */
    bool warm;
};
/* Blocks on the disk for the labels. Failures as hearth_function_open. */
int hearth_function_create(hearth_function_t **function,
                           const struct hearth_function_plain *plain,
                           struct hearth_error *err);
void hearth_function_close(hearth_function_t **function);
const struct hearth_function_info *
hearth_function_info(const hearth_function_t *function);

/* Fits the configuration to the model: checks what the model's signature can
 * refute, and takes from it what the file leaves open. Once, before decode.
 * HEARTH_ECONFIG. */
int hearth_function_bind(hearth_function_t *function,
                         const hearth_model_t *model, struct hearth_error *err);

/* What the answer needs of the request. Zeroed before decode, but for <as_oip>.
 */
struct hearth_function_context {
    struct hearth_oip_request oip;
    bool as_oip; /* set before decode: whatever the file says */
    bool speaks_oip;
    uint32_t batch; /* of the inputs; 1 where axis 0 is none */
};
void hearth_function_context_clear(struct hearth_function_context *context);

/* <oip_json_bytes> of a body that is one input's bytes and nothing else (the
 * protocol's raw binary request). */
#define HEARTH_OIP_RAW (UINT64_MAX - 1)

/* The first <bytes> of <body> become tensors, named as the model's inputs; they
 * may be slices of it. <content_type> may be NULL; <oip_json_bytes> as in
 * codec.h, or HEARTH_OIP_RAW. Errors are codec.h's; the texts on names, types
 * and shapes are Triton's. */
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
const char *
hearth_function_error_type(const hearth_function_t *function,
                           const struct hearth_function_context *context);
int hearth_function_error_body(const hearth_function_t *function,
                               const struct hearth_function_context *context,
                               const char *text, hearth_buffer_t **body);

#endif
