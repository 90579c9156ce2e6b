/* SPDX-License-Identifier: Apache-2.0 */
/*
 * initializer.c: a TensorProto becomes a constant value.
 *
 * Bytes stay where they are: raw_data, external data, and float_data and
 * double_data when they are one packed run, which is what writers write. Only
 * varints (int32_data, int64_data, uint64_data) and scattered runs must be
 * decoded; these become derived constants. Small integers are copied too: shape
 * arithmetic looks at them more than once, and a mapped file may be changing.
 */
#include <inttypes.h>
#include <string.h>

#include "model/model_priv.h"

#define COPY_MAX (64u << 10)

static int tensor_fail(struct hearth__ir *ir, int status,
                       const struct hearth__onnx_tensor *t, const char *what)
{
    return hearth_fail(ir->err, status, "tensor '%.*s' %s",
                       hearth__slice_cut(t->name, 80), (const char *)t->name.at,
                       what);
}

/* The field of typed data that a dtype's numbers stand in. */
static uint32_t typed_field(enum hearth_dtype dtype)
{
    switch (dtype) {
    case HEARTH_F32:
        return 4;
    case HEARTH_F64:
        return 10;
    case HEARTH_I64:
        return 7;
    case HEARTH_U32:
    case HEARTH_U64:
        return 11;
    default:
        return 5;
    }
}

static void narrow(uint32_t element_bytes, void *dst, const int64_t *src,
                   uint64_t count)
{
    /* Little-endian hosts only (checked in model.c): the low bytes. */
    for (uint64_t i = 0; i < count; i++)
        memcpy((char *)dst + i * element_bytes, &src[i], element_bytes);
}

/* Typed data that cannot be mapped, into derived memory. */
static int decode(struct hearth__ir *ir, const struct hearth__onnx_tensor *t,
                  enum hearth_dtype dtype, uint64_t elements, uint32_t value)
{
    uint64_t count, bytes = elements * hearth_dtype_bytes(dtype);
    int64_t *wide = NULL;
    int rc = HEARTH_OK;
    if (dtype == HEARTH_F64)
        return tensor_fail(ir, HEARTH_EUNSUPPORTED, t,
                           "has scattered double_data; export it as raw_data");
    rc = hearth__onnx_numbers(t->message, t->typed_field, dtype == HEARTH_F32,
                              NULL, 0, &count, ir->err);
    if (rc == HEARTH_OK && count != elements)
        rc = tensor_fail(ir, HEARTH_EMODEL, t,
                         "has more or fewer numbers than its shape; export the "
                         "model again");
    if (rc != HEARTH_OK)
        return rc;
    void *data = hearth__ir_derive(ir, value, bytes, &rc);
    if (data == NULL)
        return rc != HEARTH_OK
                   ? rc
                   : tensor_fail(ir, HEARTH_EUNSUPPORTED, t,
                                 "is too large for typed data; export it as "
                                 "raw_data");
    wide = hearth_calloc(elements == 0 ? 1 : elements, sizeof *wide);
    if (wide == NULL)
        return hearth_fail(ir->err, HEARTH_ENOMEM,
                           "no memory to import the model; try again later");
    rc = hearth__onnx_numbers(t->message, t->typed_field, dtype == HEARTH_F32,
                              wide, elements, &count, ir->err);
    if (dtype == HEARTH_F32)
        for (uint64_t i = 0; i < elements; i++) {
            double d;
            memcpy(&d, &wide[i], sizeof d);
            ((float *)data)[i] = (float)d;
        }
    else
        narrow(hearth_dtype_bytes(dtype), data, wide, elements);
    hearth_free(wide);
    return rc;
}

static int external(struct hearth__ir *ir, const struct hearth__onnx_tensor *t,
                    uint64_t bytes, struct hearth__ir_value *v)
{
    int rc =
        hearth__files_external(ir->files, t->location, &v->segment, ir->err);
    if (rc != HEARTH_OK) {
        hearth_fail_prefix(ir->err, "tensor '%.*s'",
                           hearth__slice_cut(t->name, 60),
                           (const char *)t->name.at);
        return rc;
    }
    const struct hearth__segment *s = &ir->files->segments[v->segment];
    if (t->has_length && t->length != bytes)
        return tensor_fail(ir, HEARTH_EMODEL, t,
                           "has external data of another size than its shape; "
                           "export the model again");
    if (t->offset > s->bytes || bytes > s->bytes - t->offset)
        return tensor_fail(ir, HEARTH_EMODEL, t,
                           "ends after its external file; copy the file again");
    v->offset = t->offset;
    v->info.data = s->base + t->offset;
    return HEARTH_OK;
}

/* In the file, or in the arena, where inline.c wrote it. */
static void inside(struct hearth__ir *ir, struct hearth__slice bytes,
                   struct hearth__ir_value *v)
{
    const struct hearth__segment *file = &ir->files->segments[0];
    uintptr_t at = (uintptr_t)bytes.at, base = (uintptr_t)file->base;
    v->info.data = bytes.at;
    if (at < base || at - base > file->bytes)
        return;
    v->segment = 0;
    v->offset = at - base;
}

/* Small integers, and single numbers: copied. */
static int steady(struct hearth__ir *ir, struct hearth__ir_value *v)
{
    bool integer = v->info.dtype != HEARTH_F32 && v->info.dtype != HEARTH_F64 &&
                   v->info.dtype != HEARTH_F16 && v->info.dtype != HEARTH_BF16;
    if (v->bytes > 8 && (!integer || v->bytes > COPY_MAX))
        return HEARTH_OK;
    void *copy = hearth__ir_alloc(ir, 1, v->bytes);
    if (copy == NULL)
        return ir->err->status;
    if (v->bytes > 0)
        memcpy(copy, v->info.data, (size_t)v->bytes);
    v->info.data = copy;
    return HEARTH_OK;
}

static int place(struct hearth__ir *ir, const struct hearth__onnx_tensor *t,
                 int64_t elements, uint32_t value)
{
    struct hearth__ir_value *v = hearth__ir_value(ir, value);
    enum hearth_dtype dtype = v->info.dtype;
    if (t->external)
        return external(ir, t, v->bytes, v);
    if (t->has_raw) {
        if (t->raw.bytes != v->bytes)
            return tensor_fail(ir, HEARTH_EMODEL, t,
                               "has raw_data of another size than its shape; "
                               "export the model again");
        inside(ir, t->raw, v);
        return HEARTH_OK;
    }
    if (t->typed_field == 0 && elements == 0) {
        v->info.data = "";
        return HEARTH_OK;
    }
    if (t->typed_field != typed_field(dtype))
        return tensor_fail(ir, HEARTH_EMODEL, t,
                           t->typed_field == 0
                               ? "has no data; export the model again"
                               : "has data of another type; export the model "
                                 "again");
    if ((t->typed_field == 4 || t->typed_field == 10) && t->typed_runs == 1 &&
        t->typed.bytes == v->bytes) {
        inside(ir, t->typed, v);
        return HEARTH_OK;
    }
    return decode(ir, t, dtype, (uint64_t)elements, value);
}

int hearth__ir_tensor(struct hearth__ir *ir,
                      const struct hearth__onnx_tensor *t, uint32_t value)
{
    struct hearth__ir_value *v = hearth__ir_value(ir, value);
    struct hearth_shape shape = {.rank = (int32_t)t->rank};
    int64_t elements;
    enum hearth_dtype dtype =
        t->dtype < 32 ? (enum hearth_dtype)t->dtype : HEARTH_DTYPE_NONE;
    if (hearth_dtype_bytes(dtype) == 0)
        return hearth_fail(ir->err, HEARTH_EUNSUPPORTED,
                           "tensor '%.*s' has element type %" PRIu64
                           ", which is not supported; convert the model",
                           hearth__slice_cut(t->name, 80),
                           (const char *)t->name.at, t->dtype);
    for (uint32_t i = 0; i < t->rank; i++) {
        shape.dims[i] = t->dims[i];
        if (t->dims[i] < 0)
            return tensor_fail(ir, HEARTH_EMODEL, t,
                               "has a negative dimension; export again");
    }
    v->kind = HEARTH_VALUE_WEIGHT;
    v->info.dtype = dtype;
    v->info.shape = shape;
    if (!hearth_shape_count(&shape, &elements) ||
        !hearth_shape_bytes(&shape, dtype, &v->bytes))
        return tensor_fail(ir, HEARTH_EMODEL, t,
                           "has a shape whose size overflows; is the file "
                           "damaged?");
    int rc = place(ir, t, elements, value);
    return rc == HEARTH_OK ? steady(ir, hearth__ir_value(ir, value)) : rc;
}
