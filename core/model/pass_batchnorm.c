/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pass_batchnorm.c: a BatchNormalization after a Conv, or a Mul by a constant,
 * is a factor and an offset a channel, so that new weights and a new bias do
 * its work:
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

/* Of a Conv whose result may be scaled by new weights; -1: it may not. */
static int64_t channels_of(struct hearth__ir *ir,
                           const struct hearth__ir_node *conv)
{
    if (conv == NULL)
        return -1;
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
    return channels;
}

static bool has_vectors(struct hearth__ir *ir, const struct hearth__ir_node *bn,
                        int64_t channels)
{
    for (uint32_t k = 1; k < 5; k++)
        if (!is_vector(ir, hearth__ir_in(bn, k), channels))
            return false;
    return true;
}

/* A constant of one number, or of one a channel of <x>, that broadcasting
 * leaves in its shape. */
static bool is_factor(struct hearth__ir *ir, uint32_t value, uint32_t x,
                      int64_t channels)
{
    if (!hearth__ir_is_const(ir, value))
        return false;
    const struct hearth_value_info *info = &hearth__ir_value(ir, value)->info;
    const struct hearth_shape *s = &info->shape;
    int rank = hearth__ir_value(ir, x)->info.shape.rank, axis = s->rank - rank;
    if (!is_floating(info->dtype) || s->rank < 0 || axis > 0)
        return false;
    for (int i = 0; i < s->rank; i++)
        if (s->dims[i] != 1 && (i != 1 + axis || s->dims[i] != channels))
            return false;
    return true;
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

/* Factor and offset of channel <c>: of a BatchNormalization, or of a Mul by
 * input <k>. */
struct affine {
    const struct hearth__ir_node *node;
    uint32_t k;
    double epsilon;
};

static double factor_of(struct hearth__ir *ir, const struct affine *a,
                        uint64_t c)
{
    if (a->node->op == HEARTH_OP_MUL) {
        const struct hearth__ir_value *v =
            hearth__ir_value(ir, a->node->inputs[a->k]);
        bool one = v->bytes == hearth_dtype_bytes(v->info.dtype);
        return load(v, one ? 0 : c);
    }
    return load(hearth__ir_value(ir, a->node->inputs[1]), c) /
           sqrt(load(hearth__ir_value(ir, a->node->inputs[4]), c) + a->epsilon);
}

static double offset_of(struct hearth__ir *ir, const struct affine *a,
                        uint64_t c, double factor)
{
    if (a->node->op == HEARTH_OP_MUL)
        return 0;
    return load(hearth__ir_value(ir, a->node->inputs[2]), c) -
           load(hearth__ir_value(ir, a->node->inputs[3]), c) * factor;
}

static void compute(struct hearth__ir *ir, const struct hearth__ir_node *conv,
                    const struct affine *a, int64_t channels, uint32_t weight,
                    uint32_t bias)
{
    const struct hearth__ir_value *w = hearth__ir_value(ir, conv->inputs[1]);
    uint32_t b = hearth__ir_in(conv, 2);
    enum hearth_dtype dtype = w->info.dtype;
    uint64_t row = w->bytes / hearth_dtype_bytes(dtype) / (uint64_t)channels;
    void *new_w = (void *)(uintptr_t)hearth__ir_value(ir, weight)->info.data;
    void *new_b = (void *)(uintptr_t)hearth__ir_value(ir, bias)->info.data;
    for (uint64_t c = 0; c < (uint64_t)channels; c++) {
        double s = factor_of(ir, a, c);
        double old =
            b == HEARTH_NO_VALUE ? 0 : load(hearth__ir_value(ir, b), c);
        for (uint64_t i = c * row; i < (c + 1) * row; i++)
            save(new_w, dtype, i, load(w, i) * s);
        save(new_b, dtype, c, old * s + offset_of(ir, a, c, s));
    }
}

/* A weight that this pass made, for this Conv alone: it may be written over. */
static bool is_own(struct hearth__ir *ir, uint32_t value)
{
    const struct hearth__ir_value *v = hearth__ir_value(ir, value);
    return v->segment == HEARTH__SEGMENT_DERIVED && v->uses == 0;
}

static int join(struct hearth__ir *ir, struct hearth__ir_node *conv,
                uint32_t at, const struct affine *a, int64_t channels)
{
    struct hearth_shape vector = {.rank = 1, .dims = {channels}};
    struct hearth_shape shape =
        hearth__ir_value(ir, conv->inputs[1])->info.shape;
    uint32_t x = conv->inputs[0], w = conv->inputs[1];
    uint32_t b = hearth__ir_in(conv, 2);
    int rc = HEARTH_OK;
    uint32_t weight = is_own(ir, w) ? w : derive(ir, w, &shape, &rc);
    uint32_t bias = HEARTH_NO_VALUE;
    if (weight != HEARTH_NO_VALUE)
        bias = b != HEARTH_NO_VALUE && is_own(ir, b)
                   ? b
                   : derive(ir, w, &vector, &rc);
    if (bias == HEARTH_NO_VALUE)
        return rc;
    compute(ir, conv, a, channels, weight, bias);
    if (a->node->op == HEARTH_OP_BATCH_NORMALIZATION)
        hearth__ir_value(ir, bias)->name =
            hearth__ir_value(ir, a->node->inputs[2])->name;
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

static int try_batchnorm(struct hearth__ir *ir, uint32_t at)
{
    const struct hearth__ir_node *bn = hearth__ir_node(ir, at);
    struct hearth__ir_node *conv = hearth__ir_sole(ir, bn->inputs[0]);
    const struct hearth__ir_attr *e = hearth__ir_attr(bn, HEARTH_ATTR_EPSILON);
    const struct affine a = {bn, 0,
                             e == NULL ? 1e-5 : *(const double *)e->data};
    int64_t channels = channels_of(ir, conv);
    return channels > 0 && has_vectors(ir, bn, channels)
               ? join(ir, conv, at, &a, channels)
               : HEARTH_OK;
}

static int try_mul(struct hearth__ir *ir, uint32_t at)
{
    const struct hearth__ir_node *mul = hearth__ir_node(ir, at);
    for (uint32_t k = 0; k < 2; k++) {
        struct hearth__ir_node *conv = hearth__ir_sole(ir, mul->inputs[1 - k]);
        const struct affine a = {mul, k, 0};
        int64_t channels = channels_of(ir, conv);
        if (channels > 0 &&
            is_factor(ir, mul->inputs[k], mul->inputs[1 - k], channels))
            return join(ir, conv, at, &a, channels);
    }
    return HEARTH_OK;
}

int hearth__pass_batchnorm(struct hearth__ir *ir)
{
    int rc = HEARTH_OK;
    for (uint32_t i = 0; rc == HEARTH_OK && i < ir->nodes.count; i++) {
        uint32_t op = hearth__ir_node(ir, i)->op;
        if (op == HEARTH_OP_BATCH_NORMALIZATION)
            rc = try_batchnorm(ir, i);
        else if (op == HEARTH_OP_MUL)
            rc = try_mul(ir, i);
    }
    return rc;
}
