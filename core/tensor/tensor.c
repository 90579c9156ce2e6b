/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tensor.c: counted buffers and lists of named tensors. A buffer's own memory
 * stands behind its head, aligned to 64 bytes, so that one allocation serves;
 * large ones come as pages of their own, which go back to the system at once.
 */
#include "tensor/tensor.h"

#include <string.h>

#define HEARTH_MAGIC_BUFFER 0x48425546u
#define ALIGNMENT 64
#define PAGES_FROM_BYTES (UINT64_C(256) << 10)

struct hearth_buffer {
    uint32_t magic;
    uint32_t refs; /* atomic */
    void *data;
    uint64_t bytes;
    struct hearth_budget *budget;
    bool pages; /* <data> is hearth_pages_alloc's */
    void (*release)(void *ctx, void *data);
    void *ctx;
    hearth_buffer_t *parent;
};

apr_status_t hearth_buffer_create(uint64_t bytes, struct hearth_budget *budget,
                                  hearth_buffer_t **out)
{
    const uint64_t head = sizeof(hearth_buffer_t) + ALIGNMENT;
    bool pages = bytes >= PAGES_FROM_BYTES;
    uint64_t whole;
    hearth_buffer_t *buffer = NULL;
    *out = NULL;
    if (__builtin_add_overflow(bytes, head, &whole) || whole > SIZE_MAX ||
        (budget != NULL && !hearth_budget_take(budget, bytes)))
        return HEARTH_ENOMEM;
    buffer = hearth_malloc(pages ? sizeof *buffer : whole);
    void *data = NULL;
    if (buffer != NULL && pages)
        data = hearth_pages_alloc(bytes);
    else if (buffer != NULL)
        data = (void *)(((uintptr_t)(buffer + 1) + ALIGNMENT - 1) &
                        ~(uintptr_t)(ALIGNMENT - 1));
    if (data == NULL) {
        hearth_free(buffer);
        if (budget != NULL)
            hearth_budget_give(budget, bytes);
        return HEARTH_ENOMEM;
    }
    *buffer = (hearth_buffer_t){.magic = HEARTH_MAGIC_BUFFER,
                                .refs = 1,
                                .data = data,
                                .bytes = bytes,
                                .budget = budget,
                                .pages = pages};
    *out = buffer;
    return 0;
}

apr_status_t hearth_buffer_wrap(void *data, uint64_t bytes,
                                void (*release)(void *ctx, void *data),
                                void *ctx, hearth_buffer_t **out)
{
    hearth_buffer_t *buffer = hearth_malloc(sizeof *buffer);
    *out = buffer;
    if (buffer == NULL)
        return HEARTH_ENOMEM;
    *buffer = (hearth_buffer_t){.magic = HEARTH_MAGIC_BUFFER,
                                .refs = 1,
                                .data = data,
                                .bytes = bytes,
                                .release = release,
                                .ctx = ctx};
    return 0;
}

apr_status_t hearth_buffer_slice(hearth_buffer_t *parent, uint64_t offset,
                                 uint64_t bytes, hearth_buffer_t **out)
{
    HEARTH_CHECK(parent, HEARTH_MAGIC_BUFFER);
    *out = NULL;
    if (offset > parent->bytes || bytes > parent->bytes - offset)
        return HEARTH_EINVAL;
    apr_status_t rc = hearth_buffer_wrap((char *)parent->data + offset, bytes,
                                         NULL, NULL, out);
    if (rc == 0)
        (*out)->parent = hearth_buffer_ref(parent);
    return rc;
}

hearth_buffer_t *hearth_buffer_ref(hearth_buffer_t *buffer)
{
    HEARTH_CHECK(buffer, HEARTH_MAGIC_BUFFER);
    __atomic_add_fetch(&buffer->refs, 1, __ATOMIC_RELAXED);
    return buffer;
}

void hearth_buffer_unref(hearth_buffer_t *buffer)
{
    while (buffer != NULL) { /* a slice's parent may go with it */
        HEARTH_CHECK(buffer, HEARTH_MAGIC_BUFFER);
        if (__atomic_sub_fetch(&buffer->refs, 1, __ATOMIC_ACQ_REL) > 0)
            return;
        hearth_buffer_t *parent = buffer->parent;
        if (buffer->release != NULL)
            buffer->release(buffer->ctx, buffer->data);
        if (buffer->pages)
            hearth_pages_free(buffer->data, buffer->bytes);
        if (buffer->budget != NULL)
            hearth_budget_give(buffer->budget, buffer->bytes);
        buffer->magic = 0;
        hearth_free(buffer);
        buffer = parent;
    }
}

void *hearth_buffer_data(hearth_buffer_t *buffer)
{
    return buffer->data;
}

uint64_t hearth_buffer_bytes(const hearth_buffer_t *buffer)
{
    return buffer->bytes;
}

/* ---- Lists ---- */

static apr_status_t grow(struct hearth_tensor_list *list)
{
    if (list->count < list->capacity)
        return 0;
    uint32_t capacity = list->capacity == 0 ? 2 : list->capacity * 2;
    struct hearth_tensor *items =
        hearth_realloc(list->items, capacity * sizeof *items);
    if (items == NULL)
        return HEARTH_ENOMEM;
    list->items = items;
    list->capacity = capacity;
    return 0;
}

apr_status_t hearth_tensor_list_add(struct hearth_tensor_list *list,
                                    const char *name, enum hearth_dtype dtype,
                                    const struct hearth_shape *shape,
                                    hearth_buffer_t *buffer, uint64_t offset)
{
    uint64_t bytes;
    if (!hearth_shape_bytes(shape, dtype, &bytes))
        return HEARTH_ESHAPE;
    if (offset > buffer->bytes || bytes > buffer->bytes - offset)
        return HEARTH_EINVAL;
    if (grow(list) != 0)
        return HEARTH_ENOMEM;
    char *copy = hearth_strdup(name);
    if (copy == NULL)
        return HEARTH_ENOMEM;
    list->items[list->count++] =
        (struct hearth_tensor){.name = copy,
                               .dtype = dtype,
                               .shape = *shape,
                               .buffer = hearth_buffer_ref(buffer),
                               .offset = offset};
    return 0;
}

struct hearth_tensor *
hearth_tensor_list_find(const struct hearth_tensor_list *list, const char *name)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0)
            return &list->items[i];
    return NULL;
}

void hearth_tensor_list_clear(struct hearth_tensor_list *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        hearth_free(list->items[i].name);
        hearth_buffer_unref(list->items[i].buffer);
    }
    hearth_free(list->items);
    *list = (struct hearth_tensor_list){0};
}

struct hearth_view hearth_tensor_view(const struct hearth_tensor *tensor)
{
    return hearth_view_dense((char *)tensor->buffer->data + tensor->offset,
                             tensor->dtype, &tensor->shape);
}
