/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canon_const.c: fixes of the operators that carry a number or a type with
 * them: Constant becomes a value of the graph and no node at all,
 * ConstantOfShape's tensor a number, Dropout (which in inference does nothing)
 * an Identity.
 */
#include <inttypes.h>
#include <string.h>

#include "model/canon.h"

int hearth__fix_cast(struct hearth__canon *c)
{
    int64_t to = hearth__canon_int(c, "to", 0);
    if (to <= 0 || to >= 32 || hearth_dtype_bytes((enum hearth_dtype)to) == 0)
        return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                           "a cast to element type %" PRId64
                           " is not supported; convert the model",
                           to);
    return HEARTH_OK;
}

/* A tensor attribute becomes the constant <value>. */
static int tensor_value(struct hearth__canon *c,
                        const struct hearth__onnx_attr *a, uint32_t value)
{
    struct hearth__onnx_tensor tensor;
    if (a->type != HEARTH__ONNX_TENSOR || a->t.at == NULL)
        return hearth_fail(c->ir->err, HEARTH_EMODEL,
                           "attribute 'value' is not a tensor; export the "
                           "model again");
    int rc = hearth__onnx_read_tensor(a->t, &tensor, c->ir->err);
    return rc == HEARTH_OK ? hearth__ir_tensor(c->ir, &tensor, value) : rc;
}

/* value_int, value_float, value_ints, value_floats. */
static int numbers_value(struct hearth__canon *c,
                         const struct hearth__onnx_attr *a, uint32_t value)
{
    struct hearth__ir_value *v;
    bool list = a->type == HEARTH__ONNX_INTS || a->type == HEARTH__ONNX_FLOATS;
    bool floats =
        a->type == HEARTH__ONNX_FLOAT || a->type == HEARTH__ONNX_FLOATS;
    uint64_t count = 1;
    int rc = HEARTH_OK;
    if (list)
        rc = hearth__onnx_numbers(a->message, floats ? 7 : 8, floats, NULL, 0,
                                  &count, c->ir->err);
    if (rc != HEARTH_OK)
        return rc;
    double *room = hearth__ir_alloc(c->ir, count, sizeof *room);
    if (room == NULL)
        return c->ir->err->status;
    uint64_t again = count;
    if (list)
        rc = hearth__onnx_numbers(a->message, floats ? 7 : 8, floats, room,
                                  count, &again, c->ir->err);
    else
        memcpy(room, floats ? (const void *)&a->f : &a->i, floats ? 4 : 8);
    for (uint64_t i = 0; rc == HEARTH_OK && list && floats && i < count; i++) {
        float f = (float)room[i];
        memcpy((char *)room + i * sizeof f, &f, sizeof f);
    }
    v = hearth__ir_value(c->ir, value);
    v->kind = HEARTH_VALUE_WEIGHT;
    v->bytes = count * (floats ? 4 : 8);
    v->info = (struct hearth_value_info){
        .dtype = floats ? HEARTH_F32 : HEARTH_I64,
        .shape = {.rank = list, .dims = {(int64_t)count}},
        .data = room};
    return rc;
}

int hearth__fix_constant(struct hearth__canon *c)
{
    const struct hearth__onnx_attr *a = &c->attrs[0];
    uint32_t value = c->draft.outputs[0];
    int rc;
    if (c->attr_count != 1)
        return hearth_fail(c->ir->err, HEARTH_EMODEL,
                           "it has %" PRIu32
                           " values, it must have one; export the model again",
                           c->attr_count);
    if (hearth__slice_is(a->name, "value"))
        rc = tensor_value(c, a, value);
    else if ((hearth__slice_is(a->name, "value_int") &&
              a->type == HEARTH__ONNX_INT) ||
             (hearth__slice_is(a->name, "value_ints") &&
              a->type == HEARTH__ONNX_INTS) ||
             (hearth__slice_is(a->name, "value_float") &&
              a->type == HEARTH__ONNX_FLOAT) ||
             (hearth__slice_is(a->name, "value_floats") &&
              a->type == HEARTH__ONNX_FLOATS))
        rc = numbers_value(c, a, value);
    else
        rc = hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                         "a constant of kind '%.*s' is not supported; export "
                         "the model again",
                         hearth__slice_cut(a->name, 40),
                         (const char *)a->name.at);
    hearth__ir_value(c->ir, value)->producer = HEARTH_NO_VALUE;
    c->emitted = true;
    return rc;
}

/* One number at <data>. */
static int set_value(struct hearth__canon *c, enum hearth_dtype dtype,
                     const void *data)
{
    double f = 0;
    float narrow;
    uint16_t half;
    int64_t i = 0;
    bool floats = true;
    switch (dtype) {
    case HEARTH_F32:
        memcpy(&narrow, data, sizeof narrow);
        f = (double)narrow;
        break;
    case HEARTH_F64:
        memcpy(&f, data, sizeof f);
        break;
    case HEARTH_F16:
    case HEARTH_BF16:
        memcpy(&half, data, sizeof half);
        f = (double)(dtype == HEARTH_F16 ? hearth_f16_to_f32(half)
                                         : hearth_bf16_to_f32(half));
        break;
    default:
        floats = false;
        memcpy(&i, data, hearth_dtype_bytes(dtype));
        /* Signed ones keep their sign. */
        if (dtype == HEARTH_I8)
            i = (int8_t)i;
        else if (dtype == HEARTH_I16)
            i = (int16_t)i;
        else if (dtype == HEARTH_I32)
            i = (int32_t)i;
    }
    int rc =
        hearth__draft_set_int(c->ir, &c->draft, HEARTH_ATTR_VALUE_DTYPE, dtype);
    if (rc == HEARTH_OK && floats)
        rc = hearth__draft_set(c->ir, &c->draft, HEARTH_ATTR_VALUE_FLOAT,
                               HEARTH_ATTR_FLOATS, 1, &f);
    else if (rc == HEARTH_OK)
        rc = hearth__draft_set_int(c->ir, &c->draft, HEARTH_ATTR_VALUE_INT, i);
    return rc;
}

int hearth__fix_constant_of_shape(struct hearth__canon *c)
{
    const struct hearth__onnx_attr *a = hearth__canon_attr(c, "value");
    const float zero = 0;
    int64_t count;
    if (a == NULL)
        return set_value(c, HEARTH_F32, &zero);
    uint32_t value = hearth__ir_value_new(c->ir, (struct hearth__slice){0});
    if (value == HEARTH_NO_VALUE)
        return c->ir->err->status;
    int rc = tensor_value(c, a, value);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth__ir_value *v = hearth__ir_value(c->ir, value);
    if (!hearth_shape_count(&v->info.shape, &count) || count != 1)
        return hearth_fail(c->ir->err, HEARTH_EMODEL,
                           "its value has %" PRId64
                           " elements, it must have one; export the model "
                           "again",
                           count);
    return set_value(c, v->info.dtype, v->info.data);
}
