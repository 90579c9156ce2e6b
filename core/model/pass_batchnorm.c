/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pass_batchnorm.c: a BatchNormalization after a Conv is a factor and an offset
 * a channel, so that new weights and a new bias do its work:
 *
 *     s = scale / sqrt(var + epsilon)      W' = W * s      b' = (b - mean) * s
 * + B
 *
 * computed in double and rounded once. The new weights are derived ones, and
 * count against their limit; over it, the node is left alone.
 */
#include <math.h>
#include <string.h>

#include "model/model_priv.h"

static double load(const struct hearth__ir_value *v, uint64_t i)
{
    const char *p = v->info.data;
    float f;
    double d;
    uint16_t half;
    switch (v->info.dtype) {
    case HEARTH_F32:
        memcpy(&f, p + i * sizeof f, sizeof f);
        return (double)f;
    case HEARTH_F64:
        memcpy(&d, p + i * sizeof d, sizeof d);
        return d;
    default:
        memcpy(&half, p + i * sizeof half, sizeof half);
        return (double)(v->info.dtype == HEARTH_F16 ? hearth_f16_to_f32(half)
                                                    : hearth_bf16_to_f32(half));
    }
}

static void save(void *data, enum hearth_dtype dtype, uint64_t i, double d)
{
    float f = (float)d;
    uint16_t half;
    if (dtype == HEARTH_F32) {
        ((float *)data)[i] = f;
    } else if (dtype == HEARTH_F64) {
        ((double *)data)[i] = d;
    } else {
        half =
            dtype == HEARTH_F16 ? hearth_f32_to_f16(f) : hearth_f32_to_bf16(f);
        ((uint16_t *)data)[i] = half;
    }
}

static bool is_floating(enum hearth_dtype dtype)
{
    return dtype == HEARTH_F32 || dtype == HEARTH_F64 || dtype == HEARTH_F16 ||
           dtype == HEARTH_BF16;
}

/* A constant vector of <channels> floating numbers. */
static bool is_vector(struct hearth__ir *ir, uint32_t value, int64_t channels)
{
    if (!hearth__ir_is_const(ir, value))
        return false;
    const struct hearth_value_info *info = &hearth__ir_value(ir, value)->info;
    return info->shape.rank == 1 && info->shape.dims[0] == channels &&
           is_floating(info->dtype);
}

/* Number of channels, or -1 when the two cannot be one. */
static int64_t channels_of(struct hearth__ir *ir,
                           const struct hearth__ir_node *conv,
                           const struct hearth__ir_node *bn)
{
    uint32_t w = hearth__ir_in(conv, 1), b = hearth__ir_in(conv, 2);
    if (conv->op != HEARTH_OP_CONV || !hearth__ir_is_const(ir, w) ||
        hearth__ir_in(conv, 3) != HEARTH_NO_VALUE ||
        hearth__ir_attr(conv, HEARTH_ATTR_ACTIVATION) != NULL)
        return -1;
    const struct hearth_value_info *info = &hearth__ir_value(ir, w)->info;
    int64_t channels = info->shape.rank > 0 ? info->shape.dims[0] : 0;
    if (channels <= 0 || !is_floating(info->dtype) ||
        (b != HEARTH_NO_VALUE && !is_vector(ir, b, channels)))
        return -1;
    for (uint32_t k = 1; k < 5; k++)
        if (!is_vector(ir, hearth__ir_in(bn, k), channels))
            return -1;
    return channels;
}

/* A new derived value like <like>; NO_VALUE with *rc OK: over the limit. */
static uint32_t derive(struct hearth__ir *ir, uint32_t like,
                       const struct hearth_shape *shape, int *rc)
{
    uint64_t bytes;
    enum hearth_dtype dtype = hearth__ir_value(ir, like)->info.dtype;
    uint32_t value = hearth__ir_value_new(ir, hearth__ir_value(ir, like)->name);
    if (value == HEARTH_NO_VALUE) {
        *rc = ir->err->status;
        return value;
    }
    struct hearth__ir_value *v = hearth__ir_value(ir, value);
    v->info.dtype = dtype;
    v->info.shape = *shape;
    if (!hearth_shape_bytes(shape, dtype, &bytes) ||
        hearth__ir_derive(ir, value, bytes, rc) == NULL)
        return HEARTH_NO_VALUE;
    return value;
}

static void compute(struct hearth__ir *ir, const struct hearth__ir_node *conv,
                    const struct hearth__ir_node *bn, int64_t channels,
                    double epsilon, uint32_t weight, uint32_t bias)
{
    const struct hearth__ir_value *w = hearth__ir_value(ir, conv->inputs[1]);
    uint32_t b = hearth__ir_in(conv, 2);
    enum hearth_dtype dtype = w->info.dtype;
    uint64_t row = w->bytes / hearth_dtype_bytes(dtype) / (uint64_t)channels;
    void *new_w = (void *)(uintptr_t)hearth__ir_value(ir, weight)->info.data;
    void *new_b = (void *)(uintptr_t)hearth__ir_value(ir, bias)->info.data;
    for (uint64_t c = 0; c < (uint64_t)channels; c++) {
        double s = load(hearth__ir_value(ir, bn->inputs[1]), c) /
                   sqrt(load(hearth__ir_value(ir, bn->inputs[4]), c) + epsilon);
        double old =
            b == HEARTH_NO_VALUE ? 0 : load(hearth__ir_value(ir, b), c);
        for (uint64_t i = c * row; i < (c + 1) * row; i++)
            save(new_w, dtype, i, load(w, i) * s);
        save(new_b, dtype, c,
             (old - load(hearth__ir_value(ir, bn->inputs[3]), c)) * s +
                 load(hearth__ir_value(ir, bn->inputs[2]), c));
    }
}

static int join(struct hearth__ir *ir, struct hearth__ir_node *conv,
                uint32_t at, int64_t channels)
{
    struct hearth__ir_node *bn = hearth__ir_node(ir, at);
    const struct hearth__ir_attr *a = hearth__ir_attr(bn, HEARTH_ATTR_EPSILON);
    double epsilon = a == NULL ? 1e-5 : *(const double *)a->data;
    struct hearth_shape vector = {.rank = 1, .dims = {channels}};
    struct hearth_shape shape =
        hearth__ir_value(ir, conv->inputs[1])->info.shape;
    uint32_t x = conv->inputs[0], bias = HEARTH_NO_VALUE;
    int rc = HEARTH_OK;
    uint32_t weight = derive(ir, conv->inputs[1], &shape, &rc);
    if (weight != HEARTH_NO_VALUE)
        bias = derive(ir, conv->inputs[1], &vector, &rc);
    if (bias == HEARTH_NO_VALUE)
        return rc;
    compute(ir, conv, bn, channels, epsilon, weight, bias);
    hearth__ir_value(ir, bias)->name =
        hearth__ir_value(ir, bn->inputs[2])->name;
    conv->inputs = hearth__ir_alloc(ir, 3, sizeof *conv->inputs);
    if (conv->inputs == NULL)
        return ir->err->status;
    conv->inputs[0] = x;
    conv->inputs[1] = weight;
    conv->inputs[2] = bias;
    conv->input_count = 3;
    hearth__ir_fuse(ir, conv, at);
    return HEARTH_OK;
}

int hearth__pass_batchnorm(struct hearth__ir *ir)
{
    for (uint32_t i = 0; i < ir->nodes.count; i++) {
        const struct hearth__ir_node *bn = hearth__ir_node(ir, i);
        if (bn->op != HEARTH_OP_BATCH_NORMALIZATION)
            continue;
        struct hearth__ir_node *conv = hearth__ir_sole(ir, bn->inputs[0]);
        int64_t channels = conv == NULL ? -1 : channels_of(ir, conv, bn);
        int rc = channels < 0 ? HEARTH_OK : join(ir, conv, i, channels);
        if (rc != HEARTH_OK)
            return rc;
    }
    return HEARTH_OK;
}
