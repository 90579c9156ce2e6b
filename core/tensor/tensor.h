/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tensor.h: counted byte buffers and the named tensors of a request. Not for
 * device memory and not for weights. References may be taken and dropped on
 * any thread; the bytes have one writer at a time. Invariant: a slice keeps
 * its parent alive, and a budget gets back exactly what was taken from it.
 */
#ifndef HEARTH_TENSOR_TENSOR_H
#define HEARTH_TENSOR_TENSOR_H

#include "base/base.h"

typedef struct hearth_buffer hearth_buffer_t;

/* A new buffer with one reference, 64-byte aligned, its contents undefined.
 * <budget> (NULL: none) is charged before the memory is taken and must outlive
 * the buffer. HEARTH_ENOMEM: budget or memory refused, nothing is taken. */
apr_status_t hearth_buffer_create(uint64_t bytes, struct hearth_budget *budget,
                                  hearth_buffer_t **buffer);
/* Wraps memory of the caller; <release> (NULL: none) runs once, on the thread
 * that drops the last reference. On HEARTH_ENOMEM it does not run and the
 * memory stays the caller's. */
apr_status_t hearth_buffer_wrap(void *data, uint64_t bytes,
                                void (*release)(void *ctx, void *data),
                                void *ctx, hearth_buffer_t **buffer);
/* A window on <parent> that holds a reference to it. HEARTH_EINVAL when it
 * leaves the parent, HEARTH_ENOMEM. */
apr_status_t hearth_buffer_slice(hearth_buffer_t *parent, uint64_t offset,
                                 uint64_t bytes, hearth_buffer_t **buffer);
hearth_buffer_t *hearth_buffer_ref(hearth_buffer_t *buffer);
void hearth_buffer_unref(hearth_buffer_t *buffer); /* NULL is allowed */
void *hearth_buffer_data(hearth_buffer_t *buffer);
uint64_t hearth_buffer_bytes(const hearth_buffer_t *buffer);

/* Dense, row-major, of a known shape. Owns <name> and one reference. */
struct hearth_tensor {
    char *name;
    enum hearth_dtype dtype;
    struct hearth_shape shape;
    hearth_buffer_t *buffer;
    uint64_t offset; /* bytes into the buffer */
};

/* The inputs or the outputs of one request; zeroed means empty. */
struct hearth_tensor_list {
    struct hearth_tensor *items;
    uint32_t count;
    uint32_t capacity;
};

/* Appends a tensor; copies <name>, takes its own reference to <buffer>.
 * HEARTH_ESHAPE: shape not known or its bytes overflow; HEARTH_EINVAL: it
 * leaves the buffer; HEARTH_ENOMEM. After an error the list is as before. */
apr_status_t hearth_tensor_list_add(struct hearth_tensor_list *list,
                                    const char *name, enum hearth_dtype dtype,
                                    const struct hearth_shape *shape,
                                    hearth_buffer_t *buffer, uint64_t offset);
/* NULL when there is none of that name. */
struct hearth_tensor *
hearth_tensor_list_find(const struct hearth_tensor_list *list,
                        const char *name);
/* Drops every tensor; the list is empty afterwards and may be used again. */
void hearth_tensor_list_clear(struct hearth_tensor_list *list);
/* A dense view on the tensor's bytes; valid while the tensor is. */
struct hearth_view hearth_tensor_view(const struct hearth_tensor *tensor);

#endif
