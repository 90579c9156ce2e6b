/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model.h: an ONNX file, mapped and imported: a flat graph of canonical
 * operators (include/hearth_graph.h) and the weights where they lie in the
 * file. Not for finding or sharing models (store) nor for running them
 * (plugins). A model is immutable once open: any thread may read it.
 *
 * A file is hostile until it is proved otherwise. It may make import use at
 * most 256 times its size and 96 MiB of heap, derived weights included.
 *
 * A mapped file must be replaced by rename, never be written in place: the
 * kernel kills a process that touches pages which a truncation took away. What
 * can be told is told: <read> never touches the mapping, <map> refuses a file
 * whose size or time of change is not what it was (HEARTH_EIO).
 */
#ifndef HEARTH_MODEL_MODEL_H
#define HEARTH_MODEL_MODEL_H

#include "base/base.h"
#include "hearth_graph.h"
#include "pack/pack.h"

typedef struct hearth_model hearth_model_t;

/* What import may do with a graph; all of it by default. Switched off in tests
 * and by `hearth inspect --raw`. */
enum hearth_model_pass {
    HEARTH_MODEL_PASS_IDENTITY = 1 << 0,  /* nodes that change nothing go */
    HEARTH_MODEL_PASS_BATCHNORM = 1 << 1, /* into the Conv before it */
    HEARTH_MODEL_PASS_BIAS = 1 << 2,      /* Add of a constant, likewise */
    HEARTH_MODEL_PASS_RESIDUAL = 1 << 3,  /* Add of another value */
    HEARTH_MODEL_PASS_ACTIVATION = 1 << 4,
    HEARTH_MODEL_PASS_DEAD = 1 << 5,    /* what no output needs */
    HEARTH_MODEL_PASS_COMPOSE = 1 << 6, /* many nodes are one operator */
    HEARTH_MODEL_PASS_COMMON = 1 << 7,  /* what is there twice */
    HEARTH_MODEL_PASS_ALL = (1 << 8) - 1
};
struct hearth_model_options {
    uint32_t passes; /* enum hearth_model_pass, or'ed */
};

/* Maps and imports the file at <path>; external data is taken from the file's
 * own directory and below, through no symbolic link. <options> NULL: all
 * passes. *model is the caller's, for hearth_model_close; NULL on failure.
 * Blocks on the disk. <err> names file, node and operator. HEARTH_ENOENT,
 * HEARTH_EIO, HEARTH_EMODEL (broken), HEARTH_EUNSUPPORTED (an operator, type or
 * opset that Hearth does not know), HEARTH_ENOMEM. */
apr_status_t hearth_model_open(hearth_model_t **model, const char *path,
                               const struct hearth_model_options *options,
                               struct hearth_error *err);
/* The same from <bytes> of memory that stay the caller's, unchanged, until
 * close. <name> stands for the path in errors. External data is refused. */
apr_status_t hearth_model_open_memory(
    hearth_model_t **model, const void *data, uint64_t bytes, const char *name,
    const struct hearth_model_options *options, struct hearth_error *err);
/* As hearth_model_open, by way of <packs> (NULL: just that): a model that was
 * packed there is mapped, with nothing parsed, computed or hashed, as long as
 * its file and its external data are the very ones that they were; a copy of
 * the file is known by its digest. The digest is known afterwards, or cheap. A
 * pack that is damaged or of another version is as one that is not there. */
apr_status_t
hearth_model_open_packed(hearth_model_t **model, const char *path,
                         const struct hearth_model_options *options,
                         hearth_packs_t *packs, struct hearth_error *err);
/* Did it come out of a pack? */
bool hearth_model_is_packed(const hearth_model_t *model);
/* Writes the model's pack for the next open, with all of its weights; nothing
 * is done when it came out of one. <stop> as in struct hearth_pack_put_config.
 * Any thread. hearth_pack_put_begin's statuses, HEARTH_ECANCELED, and
 * HEARTH_EIO when the model's file changed. */
int hearth_model_pack(hearth_model_t *model, hearth_packs_t *packs,
                      bool (*stop)(void *ctx), void *ctx,
                      struct hearth_error *err);
/* The key, of HEARTH_PACK_KEY_MAX characters, of something that a device made
 * of this model's graph; <what> says what it is. The same for a packed model as
 * for its source. HEARTH_EIO, HEARTH_ENOMEM; HEARTH_ETOOBIG. */
int hearth_model_pack_key(hearth_model_t *model, const char *what, char *key,
                          struct hearth_error *err);
/* Unmaps and frees; NULLs the pointer. *model NULL is allowed. Nobody uses its
 * graph or weights any more. */
void hearth_model_close(hearth_model_t **model);

/* Checked (hearth_graph_check); lives as long as the model. */
const struct hearth_graph *hearth_model_graph(const hearth_model_t *model);
/* Segment 0 is the model's file, then external files, then what import
 * derived. Lives as long as the model; thread-safe. */
const struct hearth_weights *hearth_model_weights(const hearth_model_t *model);
const char *hearth_model_path(const hearth_model_t *model);

/* The location of its <i>-th external file, relative to the model's directory;
 * NULL: there are no more. Lives as long as the model. */
const char *hearth_model_external(const hearth_model_t *model, uint32_t i);

/* The model's identity. Without external data: the file's SHA-256. With: the
 * SHA-256 of the concatenated SHA-256s of the file and of each external file,
 * in the order of their first use. Reads every byte; the second call is free.
 * Any thread; two at once both compute. HEARTH_EIO: a file changed. */
apr_status_t hearth_model_digest(hearth_model_t *model,
                                 struct hearth_digest *digest,
                                 struct hearth_error *err);

/* What tells one state of a file from another without reading it. */
struct hearth_model_file_id {
    uint64_t device, inode, bytes;
    int64_t changed_ns; /* time of modification */
};
/* Of the file at <path>; false when it cannot be told. Blocks on the disk. */
bool hearth_model_file_id(const char *path, struct hearth_model_file_id *id);
/* Of the model's own file when it was opened; zeros from memory. */
void hearth_model_opened_id(const hearth_model_t *model,
                            struct hearth_model_file_id *id);
/* Would opening <path> now give this very model, its external data included?
 * Blocks on the disk. */
bool hearth_model_is_current(const hearth_model_t *model, const char *path);

struct hearth_model_totals {
    uint64_t file_bytes;    /* the model's file and its external data */
    uint64_t mapped_bytes;  /* of them mapped: all, or none from memory */
    uint64_t heap_bytes;    /* graph block, derived weights, the handle */
    uint64_t derived_bytes; /* of them weights that import computed */
    uint64_t weight_bytes;  /* what a device must load, about */
    uint64_t parameter_count;
    uint32_t source_nodes; /* in the file */
    uint32_t nodes;        /* in the graph */
    int64_t ir_version, opset;
    char producer[64]; /* "pytorch 2.4.0", "" when the file does not say */
};
void hearth_model_totals(const hearth_model_t *model,
                         struct hearth_model_totals *totals);

/* ---- Signature: what a request brings and gets ---- */
struct hearth_model_port {
    const char *name; /* lives as long as the model */
    enum hearth_dtype dtype;
    struct hearth_shape shape; /* dims may be symbolic; rank may be -1 */
};
/* False when there is no input or output <i>. */
bool hearth_model_input(const hearth_model_t *model, uint32_t i,
                        struct hearth_model_port *port);
bool hearth_model_output(const hearth_model_t *model, uint32_t i,
                         struct hearth_model_port *port);
/* Its number, or HEARTH_NO_VALUE. */
uint32_t hearth_model_find_input(const hearth_model_t *model, const char *name);
uint32_t hearth_model_find_output(const hearth_model_t *model,
                                  const char *name);
/* Name of a symbolic dimension; "" for an anonymous or a known one. */
const char *hearth_model_symbol(const hearth_model_t *model, int64_t dim);
/* "[batch,3,224,224]"; anonymous ones as "?". Always terminated. Returns
 * <buf>. */
const char *hearth_model_shape_text(const hearth_model_t *model,
                                    const struct hearth_shape *shape, char *buf,
                                    size_t size);

#endif
