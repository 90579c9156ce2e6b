/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h: the open models of a process: finds a model's file, opens it once,
 * and shares it by digest, so that two functions with one model hold one copy.
 * Not for devices (cache) nor for functions' configuration. Any thread;
 * everything that opens a file blocks on the disk. Invariant: two entries of a
 * store never have the same digest, and a store's budget gets back what an
 * entry took when its last reference goes.
 */
#ifndef HEARTH_STORE_STORE_H
#define HEARTH_STORE_STORE_H

#include "model/model.h"

typedef struct hearth_store hearth_store_t;
typedef struct hearth_store_entry hearth_store_entry_t;

/* <host_budget> (NULL: none) is charged for each open model: its mapped files
 * and its heap (hearth_model_totals), once however many share it. It outlives
 * the store. HEARTH_ENOMEM. */
apr_status_t hearth_store_create(hearth_store_t **store,
                                 struct hearth_budget *host_budget);
/* From now on models are opened by way of <packs> (hearth_model_open_packed),
 * which outlives the store. Before the first open. */
void hearth_store_use_packs(hearth_store_t *store, hearth_packs_t *packs);
/* No entry is referenced any more (asserted). NULLs the pointer. */
void hearth_store_destroy(hearth_store_t **store);

/* Writes the path of the ONNX file that <path> means: a file itself; or a
 * directory's model.onnx; or, of a directory with numbered ones inside
 * (<name>/<version>/model.onnx), the one with the highest number. <version> > 0
 * asks for that number. HEARTH_ENOENT with a text that says what was looked
 * for, HEARTH_EIO, HEARTH_ETOOBIG (does not fit). */
apr_status_t hearth_store_resolve(const char *path, int64_t version, char *file,
                                  size_t size, struct hearth_error *err);

/* Resolves and opens; *entry has one reference of the caller's, NULL on
 * failure. A file that is open already, unchanged by inode, size and time, is
 * not read again. Failures as hearth_store_resolve and hearth_model_open, and
 * HEARTH_ENOMEM when the budget refuses, HEARTH_ENOSPACE when it never could
 * take it. */
apr_status_t hearth_store_open(hearth_store_t *store, const char *path,
                               int64_t version, hearth_store_entry_t **entry,
                               struct hearth_error *err);
/* The open model of that digest, with a reference; NULL when there is none. */
hearth_store_entry_t *hearth_store_find(hearth_store_t *store,
                                        const struct hearth_digest *digest);
hearth_store_entry_t *hearth_store_ref(hearth_store_entry_t *entry);
/* NULLs the pointer; *entry NULL is allowed. The last one closes the model. */
void hearth_store_unref(hearth_store_entry_t **entry);

/* Live as long as the entry. */
hearth_model_t *hearth_store_model(hearth_store_entry_t *entry);
const struct hearth_digest *
hearth_store_digest(const hearth_store_entry_t *entry);
/* What the budget was charged for it. */
uint64_t hearth_store_entry_bytes(const hearth_store_entry_t *entry);

struct hearth_store_stats {
    uint32_t model_count;
    uint64_t bytes;        /* charged */
    uint64_t opened_count; /* files imported, those shared at once included */
    uint64_t shared_count; /* opens that found the model open already */
};
void hearth_store_stats(hearth_store_t *store,
                        struct hearth_store_stats *stats);

#endif
