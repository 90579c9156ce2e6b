/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canon_outputs.c: operators with several outputs that become several
 * operators with one: Split is a Slice for each part, Dropout's mask is a
 * constant, what LayerNormalization divides by is computed beside it. What
 * nobody uses is not made.
 */
#include <inttypes.h>
#include <string.h>

#include "model/canon.h"

/* The first output alone is the draft's; at most <most> may exist. */
static int take_first(struct hearth__canon *c, uint32_t most)
{
    if (c->source->output_count > most ||
        c->source->outputs[0] == HEARTH_NO_VALUE)
        return hearth_fail(c->ir->err, HEARTH_EMODEL,
                           "it has %" PRIu32
                           " outputs, or no first one; export the model again",
                           c->source->output_count);
    c->draft.outputs[0] = c->source->outputs[0];
    c->draft.output_count = 1;
    return HEARTH_OK;
}

/* A node of one input and one attribute. */
static int step_int(struct hearth__canon *c, uint32_t op, uint32_t input,
                    enum hearth_attr key, int64_t value, uint32_t *out)
{
    struct hearth__draft d = {.op = op,
                              .source = c->draft.source,
                              .input_count = 1,
                              .output_count = 1};
    if (*out == HEARTH_NO_VALUE)
        *out = hearth__ir_value_new(c->ir, (struct hearth__slice){0});
    d.inputs = hearth__ir_alloc(c->ir, 1, sizeof *d.inputs);
    if (*out == HEARTH_NO_VALUE || d.inputs == NULL)
        return c->ir->err->status;
    d.inputs[0] = input;
    d.outputs[0] = *out;
    int rc = hearth__draft_set_int(c->ir, &d, key, value);
    return rc == HEARTH_OK ? hearth__emit(c->ir, &d) : rc;
}

static int step2(struct hearth__canon *c, uint32_t op, uint32_t a, uint32_t b,
                 uint32_t *out)
{
    const uint32_t in[2] = {a, b};
    if (a == HEARTH_NO_VALUE || b == HEARTH_NO_VALUE)
        return c->ir->err->status; /* a constant that found no memory */
    return hearth__canon_step(c, op, 2, in, -1, out);
}

static uint32_t number(struct hearth__canon *c, int64_t value)
{
    return hearth__ir_const(c->ir, HEARTH_I64, 1, 1, &value);
}

/* ---- Split ---- */

/* The parts' sizes, from the attribute, from a constant, or equal ones (the
 * last one smaller, if need be). *known false: only a run tells. */
static int split_sizes(struct hearth__canon *c, int64_t dim, uint32_t outputs,
                       int64_t *sizes, bool *known)
{
    const struct hearth_value_info *given = hearth__canon_in(c, 1);
    struct hearth_error *err = c->ir->err;
    uint32_t count = 0;
    int64_t sum = 0;
    int rc = hearth__canon_ints(c, "split", sizes, &count);
    if (rc != HEARTH_OK)
        return rc;
    *known = true;
    if (given != NULL) {
        const int64_t *data = given->data != NULL && given->dtype == HEARTH_I64
                                  ? given->data
                                  : NULL;
        *known = data != NULL && given->shape.rank == 1 &&
                 given->shape.dims[0] <= HEARTH__CANON_INTS;
        if (!*known)
            return HEARTH_OK;
        count = (uint32_t)given->shape.dims[0];
        memcpy(sizes, data, count * sizeof *sizes);
    }
    if (count == 0) {
        *known = !HEARTH_DIM_IS_SYMBOL(dim);
        int64_t part = *known ? dim / outputs + (dim % outputs != 0) : 0;
        for (uint32_t i = 0; *known && i < outputs; i++) {
            int64_t left = dim - sum;
            sizes[i] = left < part ? left : part;
            sum += sizes[i];
        }
        return HEARTH_OK;
    }
    if (count != outputs)
        return hearth_fail(err, HEARTH_EMODEL,
                           "%" PRIu32 " sizes for %" PRIu32
                           " parts; export the model again",
                           count, outputs);
    for (uint32_t i = 0; i < count; i++)
        if (sizes[i] < 0 || HEARTH_DIM_IS_SYMBOL(sizes[i]) ||
            __builtin_add_overflow(sum, sizes[i], &sum))
            return hearth_fail(err, HEARTH_EMODEL,
                               "part %" PRIu32 " has the size %" PRId64
                               "; export the model again",
                               i, sizes[i]);
    if (!HEARTH_DIM_IS_SYMBOL(dim) && sum != dim)
        return hearth_fail(err, HEARTH_EMODEL,
                           "its parts have %" PRId64 " of %" PRId64
                           "; export the model again",
                           sum, dim);
    return HEARTH_OK;
}

/* Where part <k> ends, as a value: <start> and its size, which input 1 has; or
 * <k> + 1 parts of the size that Shape tells, rounded up. */
static int part_end(struct hearth__canon *c, uint32_t k, uint32_t start,
                    uint32_t *part, int64_t axis, uint32_t *end)
{
    const uint32_t outputs = c->source->output_count;
    uint32_t dim = HEARTH_NO_VALUE, up = HEARTH_NO_VALUE;
    int rc = HEARTH_OK;
    if (hearth__canon_in(c, 1) != NULL) {
        uint32_t in[3] = {c->draft.inputs[1], number(c, k), number(c, k + 1)};
        uint32_t size = HEARTH_NO_VALUE;
        if (in[1] == HEARTH_NO_VALUE || in[2] == HEARTH_NO_VALUE)
            return c->ir->err->status;
        rc = hearth__canon_step(c, HEARTH_OP_SLICE, 3, in, -1, &size);
        return rc == HEARTH_OK ? step2(c, HEARTH_OP_ADD, start, size, end) : rc;
    }
    if (*part == HEARTH_NO_VALUE) {
        const uint32_t axes = number(c, axis);
        uint32_t shape = HEARTH_NO_VALUE;
        rc = hearth__canon_step(c, HEARTH_OP_SHAPE, 1, &c->draft.inputs[0], -1,
                                &shape);
        if (rc == HEARTH_OK)
            rc = step2(c, HEARTH_OP_GATHER, shape, axes, &dim);
        if (rc == HEARTH_OK)
            rc = step2(c, HEARTH_OP_ADD, dim, number(c, outputs - 1), &up);
        if (rc == HEARTH_OK)
            rc = step2(c, HEARTH_OP_DIV, up, number(c, outputs), part);
    }
    return rc == HEARTH_OK ? step2(c, HEARTH_OP_ADD, start, *part, end) : rc;
}

/* Split is a Slice for each part that somebody uses. */
int hearth__fix_split(struct hearth__canon *c)
{
    const struct hearth__ir_source *src = c->source;
    const struct hearth_shape x = hearth__canon_in(c, 0)->shape;
    int64_t sizes[HEARTH__CANON_INTS], axis = hearth__canon_int(c, "axis", 0);
    int64_t sum = 0;
    bool known = true;
    uint32_t part = HEARTH_NO_VALUE, in[4] = {c->draft.inputs[0]};
    if (x.rank < 0 || axis < -x.rank || axis >= x.rank ||
        src->output_count > HEARTH__CANON_INTS)
        return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                           "it splits along axis %" PRId64
                           " of a value of rank %d into %" PRIu32
                           " parts; export the model again",
                           axis, (int)x.rank, src->output_count);
    axis += axis < 0 ? x.rank : 0;
    int rc = split_sizes(c, x.dims[axis], src->output_count, sizes, &known);
    in[2] = number(c, 0);
    in[3] = number(c, axis);
    c->emitted = true;
    for (uint32_t k = 0; rc == HEARTH_OK && k < src->output_count; k++) {
        uint32_t out = src->outputs[k];
        in[1] = in[2];
        in[2] = HEARTH_NO_VALUE;
        if (known) {
            sum += sizes[k];
            in[2] = number(c, sum);
        } else {
            rc = part_end(c, k, in[1], &part, axis, &in[2]);
        }
        if (rc == HEARTH_OK &&
            (in[1] == HEARTH_NO_VALUE || in[2] == HEARTH_NO_VALUE ||
             in[3] == HEARTH_NO_VALUE))
            rc = c->ir->err->status;
        if (rc == HEARTH_OK && out != HEARTH_NO_VALUE)
            rc = hearth__canon_step(c, HEARTH_OP_SLICE, 4, in, -1, &out);
    }
    return rc;
}

/* ---- Dropout ---- */

/* Nothing is dropped, and the mask says so. */
int hearth__fix_dropout(struct hearth__canon *c)
{
    const struct hearth_value_info *mode = hearth__canon_in(c, 2);
    const bool old = c->ir->head.opset < 10;
    if (mode != NULL && (mode->dtype != HEARTH_BOOL || mode->data == NULL ||
                         *(const uint8_t *)mode->data != 0))
        return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                           "it may be in training mode; export the model for "
                           "inference");
    c->draft.input_count = 1;
    c->draft.attr_count = 0;
    int rc = take_first(c, 2);
    uint32_t mask = hearth__canon_used(c, 1), shape = HEARTH_NO_VALUE;
    if (rc != HEARTH_OK || mask == HEARTH_NO_VALUE)
        return rc;
    const uint8_t yes = 1;
    uint32_t in[2] = {HEARTH_NO_VALUE,
                      hearth__ir_const(c->ir, HEARTH_BOOL, 0, 1, &yes)};
    rc = hearth__canon_step(c, HEARTH_OP_SHAPE, 1, &c->draft.inputs[0], -1,
                            &shape);
    if (rc != HEARTH_OK || in[1] == HEARTH_NO_VALUE)
        return c->ir->err->status;
    if (!old)
        return step2(c, HEARTH_OP_EXPAND, in[1], shape, &mask);
    /* It was of the input's type. */
    rc = step2(c, HEARTH_OP_EXPAND, in[1], shape, &in[0]);
    return rc == HEARTH_OK ? step_int(c, HEARTH_OP_CAST, in[0], HEARTH_ATTR_TO,
                                      hearth__canon_in(c, 0)->dtype, &mask)
                           : rc;
}

/* ---- LayerNormalization ---- */

/* The mean as <mean>, 1 / sqrt(variance + epsilon) as <deviation>; either may
 * be HEARTH_NO_VALUE. In f32, as the operator has it unless told otherwise. */
static int statistics(struct hearth__canon *c, int64_t axis, uint32_t mean,
                      uint32_t deviation)
{
    const struct hearth_value_info *x = hearth__canon_in(c, 0);
    const struct hearth__onnx_attr *given = hearth__canon_attr(c, "epsilon");
    const float epsilon = given != NULL ? given->f : 1e-5f;
    const int rank = x->shape.rank;
    int64_t axes[HEARTH_RANK_MAX];
    uint32_t n = 0, from = c->draft.inputs[0], away = HEARTH_NO_VALUE;
    uint32_t square = HEARTH_NO_VALUE, variance = HEARTH_NO_VALUE;
    uint32_t sum = HEARTH_NO_VALUE, root = HEARTH_NO_VALUE;
    int rc = HEARTH_OK;
    for (int64_t i = axis; i < rank; i++)
        axes[n++] = i;
    const uint32_t over = hearth__ir_const(c->ir, HEARTH_I64, 1, n, axes);
    if (x->dtype != HEARTH_F32) {
        uint32_t wide = HEARTH_NO_VALUE;
        rc = step_int(c, HEARTH_OP_CAST, from, HEARTH_ATTR_TO, HEARTH_F32,
                      &wide);
        from = wide;
    }
    if (rc == HEARTH_OK)
        rc = step2(c, HEARTH_OP_REDUCE_MEAN, from, over, &mean);
    if (rc != HEARTH_OK || deviation == HEARTH_NO_VALUE)
        return rc;
    rc = step2(c, HEARTH_OP_SUB, from, mean, &away);
    if (rc == HEARTH_OK)
        rc = step2(c, HEARTH_OP_MUL, away, away, &square);
    if (rc == HEARTH_OK)
        rc = step2(c, HEARTH_OP_REDUCE_MEAN, square, over, &variance);
    if (rc == HEARTH_OK)
        rc = step2(c, HEARTH_OP_ADD, variance,
                   hearth__ir_const(c->ir, HEARTH_F32, 0, 1, &epsilon), &sum);
    if (rc == HEARTH_OK)
        rc = hearth__canon_step(c, HEARTH_OP_SQRT, 1, &sum, -1, &root);
    return rc == HEARTH_OK ? hearth__canon_step(c, HEARTH_OP_RECIPROCAL, 1,
                                                &root, -1, &deviation)
                           : rc;
}

int hearth__fix_layernorm(struct hearth__canon *c)
{
    const int rank = hearth__canon_in(c, 0)->shape.rank;
    int64_t axis = hearth__canon_int(c, "axis", -1);
    int rc = take_first(c, 3);
    const uint32_t mean = hearth__canon_used(c, 1),
                   deviation = hearth__canon_used(c, 2);
    if (rc == HEARTH_OK)
        rc = hearth__fix_axis(c);
    if (rc != HEARTH_OK ||
        (mean == HEARTH_NO_VALUE && deviation == HEARTH_NO_VALUE))
        return rc;
    if (rank < 0)
        return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                           "its mean is used, but the rank of its input is not "
                           "known; export the model again");
    axis += axis < 0 ? rank : 0;
    return axis < 0 || axis > rank ? HEARTH_OK /* the row refuses it */
                                   : statistics(c, axis, mean, deviation);
}

/* ---- SoftmaxCrossEntropyLoss ---- */

/* LogSoftmax over the classes, whose result is the second output, and the loss
 * of that. */
int hearth__fix_softmax_loss(struct hearth__canon *c)
{
    uint32_t log = hearth__canon_used(c, 1);
    int rc = take_first(c, 2);
    if (rc == HEARTH_OK)
        rc = hearth__canon_step(c, HEARTH_OP_LOG_SOFTMAX, 1,
                                &c->draft.inputs[0], 1, &log);
    if (rc == HEARTH_OK)
        c->draft.inputs[0] = log;
    return rc;
}
