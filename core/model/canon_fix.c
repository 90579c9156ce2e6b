/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canon_fix.c: the operators whose spelling changed over the opsets, or whose
 * defaults depend on shapes. Attributes that became inputs become constants;
 * axes become >= 0 where the rank is known; values of training are refused.
 */
#include <inttypes.h>
#include <string.h>

#include "model/canon.h"

static int missing(struct hearth__canon *c, const char *what)
{
    return hearth_fail(c->ir->err, HEARTH_EMODEL,
                       "%s is missing; export the model again", what);
}

/* ---- Windows ---- */

static bool spatial_known(const struct hearth_value_info *info)
{
    for (int i = 2; i < info->shape.rank; i++)
        if (HEARTH_DIM_IS_SYMBOL(info->shape.dims[i]))
            return false;
    return info->shape.rank > 2;
}

/* AUTO_PAD becomes PADS, where the spatial size is known. */
int hearth__fix_window(struct hearth__canon *c)
{
    struct hearth__draft *d = &c->draft;
    const struct hearth__ir_attr *pad =
        hearth__draft_get(d, HEARTH_ATTR_AUTO_PAD);
    const struct hearth_value_info *x = hearth__canon_in(c, 0);
    const bool qlinear = d->op == HEARTH_OP_QLINEAR_CONV;
    const bool has_weights = qlinear || d->op == HEARTH_OP_CONV ||
                             d->op == HEARTH_OP_CONV_INTEGER;
    const struct hearth_value_info *w = hearth__canon_in(c, qlinear ? 3 : 1);
    struct hearth__call call;
    struct hearth_window win;
    int64_t pads[12];
    if (pad == NULL)
        return HEARTH_OK;
    if (strcmp(pad->data, "NOTSET") == 0 || strcmp(pad->data, "") == 0) {
        hearth__draft_unset(d, HEARTH_ATTR_AUTO_PAD);
        return HEARTH_OK;
    }
    if (strcmp(pad->data, "VALID") == 0) {
        hearth__draft_unset(d, HEARTH_ATTR_AUTO_PAD);
        hearth__draft_unset(d, HEARTH_ATTR_PADS);
        return HEARTH_OK;
    }
    if (!spatial_known(x) ||
        (has_weights &&
         (w == NULL || w->shape.rank != x->shape.rank || !spatial_known(w))))
        return HEARTH_OK;
    int rc = hearth__call_make(c->ir, d->op, d->input_count, d->inputs,
                               d->output_count, d->attr_count, d->attrs, &call);
    if (rc != HEARTH_OK)
        return rc;
    /* A window that does not fit is told by infer, in the same words. */
    if (hearth_op_window(&call.call, &win, NULL) != HEARTH_OK)
        return HEARTH_OK;
    for (int i = 0; i < win.rank; i++) {
        pads[i] = win.pad_begin[i];
        pads[i + win.rank] = win.pad_end[i];
    }
    hearth__draft_unset(d, HEARTH_ATTR_AUTO_PAD);
    return hearth__draft_set(c->ir, d, HEARTH_ATTR_PADS, HEARTH_ATTR_INTS,
                             2 * (uint32_t)win.rank, pads);
}

int hearth__fix_batchnorm(struct hearth__canon *c)
{
    if (hearth__canon_int(c, "training_mode", 0) != 0)
        return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                           "it is in training mode; export the model for "
                           "inference");
    if (c->ir->head.opset < 9 && hearth__canon_int(c, "spatial", 1) != 1)
        return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                           "spatial=0 is not supported; export the model with "
                           "opset 9 or newer");
    return HEARTH_OK;
}

/* ---- Attributes that became inputs ---- */

int hearth__canon_float(struct hearth__canon *c, double number, uint32_t *value)
{
    enum hearth_dtype dtype = hearth__canon_in(c, 0)->dtype;
    float f = (float)number;
    uint16_t half =
        dtype == HEARTH_F16 ? hearth_f32_to_f16(f) : hearth_f32_to_bf16(f);
    const void *data = &half;
    if (dtype == HEARTH_F32)
        data = &f;
    else if (dtype == HEARTH_F64)
        data = &number;
    else if (dtype != HEARTH_F16 && dtype != HEARTH_BF16)
        return hearth_fail(c->ir->err, HEARTH_ETYPE,
                           "input 0 is %s, in this opset it must be floating; "
                           "export the model again",
                           hearth_dtype_name(dtype));
    *value = hearth__ir_const(c->ir, dtype, 0, 1, data);
    return *value == HEARTH_NO_VALUE ? c->ir->err->status : HEARTH_OK;
}

/* Attribute <name>, a list, as an i64 input <k>. *count 0: there is none. */
static int ints_input(struct hearth__canon *c, const char *name, uint32_t k,
                      uint32_t *count)
{
    int64_t ints[HEARTH__CANON_INTS];
    int rc = hearth__canon_ints(c, name, ints, count);
    if (rc != HEARTH_OK || hearth__canon_attr(c, name) == NULL)
        return rc;
    return hearth__canon_set_input(
        c, k, hearth__ir_const(c->ir, HEARTH_I64, 1, *count, ints));
}

int hearth__fix_clip6(struct hearth__canon *c)
{
    static const char *const names[] = {"min", "max"};
    int rc = HEARTH_OK;
    for (uint32_t k = 0; rc == HEARTH_OK && k < 2; k++) {
        const struct hearth__onnx_attr *a = hearth__canon_attr(c, names[k]);
        uint32_t value;
        if (a == NULL)
            continue;
        rc = hearth__canon_float(c, (double)a->f, &value);
        if (rc == HEARTH_OK)
            rc = hearth__canon_set_input(c, k + 1, value);
    }
    return rc;
}

int hearth__fix_slice1(struct hearth__canon *c)
{
    static const char *const names[] = {"starts", "ends", "axes"};
    uint32_t count;
    int rc = HEARTH_OK;
    for (uint32_t k = 0; rc == HEARTH_OK && k < 3; k++) {
        if (k < 2 && hearth__canon_attr(c, names[k]) == NULL)
            return missing(c, names[k]);
        rc = ints_input(c, names[k], k + 1, &count);
    }
    return rc == HEARTH_OK ? hearth__fix_axes(c) : rc;
}

int hearth__fix_pad2(struct hearth__canon *c)
{
    const struct hearth__onnx_attr *a = hearth__canon_attr(c, "value");
    uint32_t count, value;
    if (hearth__canon_attr(c, "pads") == NULL)
        return missing(c, "pads");
    int rc = ints_input(c, "pads", 1, &count);
    if (rc != HEARTH_OK || a == NULL || a->f == 0)
        return rc;
    rc = hearth__canon_float(c, (double)a->f, &value);
    return rc == HEARTH_OK ? hearth__canon_set_input(c, 2, value) : rc;
}

int hearth__fix_axes_attr(struct hearth__canon *c)
{
    uint32_t count;
    if (c->draft.op == HEARTH_OP_UNSQUEEZE &&
        hearth__canon_attr(c, "axes") == NULL)
        return missing(c, "axes");
    int rc = ints_input(c, "axes", 1, &count);
    return rc == HEARTH_OK ? hearth__fix_axes(c) : rc;
}

/* ---- Axes ---- */

/* The input of axes, where the operator has one, counted from the front. */
int hearth__fix_axes(struct hearth__canon *c)
{
    bool late = c->draft.op == HEARTH_OP_SLICE || c->draft.op == HEARTH_OP_PAD;
    uint32_t k = late ? 3 : 1;
    const struct hearth_value_info *x = hearth__canon_in(c, 0);
    const struct hearth_value_info *axes = hearth__canon_in(c, k);
    int64_t wide[HEARTH_RANK_MAX], count;
    int32_t narrow[HEARTH_RANK_MAX];
    bool negative = false;
    if (axes == NULL || axes->data == NULL || x->shape.rank < 0 ||
        axes->shape.rank != 1 || !hearth_shape_count(&axes->shape, &count) ||
        count > HEARTH_RANK_MAX ||
        (axes->dtype != HEARTH_I64 && axes->dtype != HEARTH_I32))
        return HEARTH_OK;
    int64_t rank = x->shape.rank;
    if (c->draft.op == HEARTH_OP_UNSQUEEZE)
        rank += count;
    for (int64_t i = 0; i < count; i++) {
        memcpy(&narrow[i], (const int32_t *)axes->data + i, sizeof narrow[i]);
        wide[i] = narrow[i];
        if (axes->dtype == HEARTH_I64)
            memcpy(&wide[i], (const int64_t *)axes->data + i, sizeof wide[i]);
        negative |= wide[i] < 0;
        if (wide[i] < 0 && wide[i] >= -rank)
            wide[i] += rank;
        narrow[i] = (int32_t)wide[i];
    }
    if (!negative)
        return HEARTH_OK;
    uint32_t value = hearth__ir_const(
        c->ir, axes->dtype, 1, (uint32_t)count,
        axes->dtype == HEARTH_I64 ? (const void *)wide : narrow);
    if (value == HEARTH_NO_VALUE)
        return c->ir->err->status;
    uint32_t *inputs =
        hearth__ir_alloc(c->ir, c->draft.input_count, sizeof *inputs);
    if (inputs == NULL)
        return c->ir->err->status;
    memcpy(inputs, c->draft.inputs, c->draft.input_count * sizeof *inputs);
    inputs[k] = value;
    c->draft.inputs = inputs;
    return HEARTH_OK;
}

/* Operators whose axis is the last one unless they say otherwise. */
static bool counts_back(uint32_t op)
{
    return op == HEARTH_OP_SOFTMAX || op == HEARTH_OP_LOG_SOFTMAX ||
           op == HEARTH_OP_HARDMAX || op == HEARTH_OP_TOP_K ||
           op == HEARTH_OP_LAYER_NORMALIZATION;
}

int hearth__fix_axis(struct hearth__canon *c)
{
    const struct hearth_value_info *x = hearth__canon_in(c, 0);
    int64_t axis = c->draft.op == HEARTH_OP_FLATTEN ? 1
                   : counts_back(c->draft.op)       ? -1
                                                    : 0;
    if (c->draft.op == HEARTH_OP_CONCAT &&
        hearth__canon_attr(c, "axis") == NULL)
        return missing(c, "axis");
    axis = hearth__canon_int(c, "axis", axis);
    if (axis < 0 && x->shape.rank >= 0 && axis >= -x->shape.rank)
        axis += x->shape.rank;
    return hearth__draft_set_int(c->ir, &c->draft, HEARTH_ATTR_AXIS, axis);
}

int hearth__fix_transpose(struct hearth__canon *c)
{
    int rank = hearth__canon_in(c, 0)->shape.rank;
    int64_t perm[HEARTH_RANK_MAX];
    if (rank < 0 || hearth__draft_get(&c->draft, HEARTH_ATTR_PERM) != NULL)
        return HEARTH_OK;
    for (int i = 0; i < rank; i++)
        perm[i] = rank - 1 - i;
    return hearth__draft_set(c->ir, &c->draft, HEARTH_ATTR_PERM,
                             HEARTH_ATTR_INTS, (uint32_t)rank, perm);
}

/* ---- One node that becomes several ---- */

int hearth__canon_step(struct hearth__canon *c, uint32_t op,
                       uint32_t input_count, const uint32_t *inputs,
                       int64_t axis, uint32_t *out)
{
    struct hearth__draft d = {.op = op,
                              .source = c->draft.source,
                              .input_count = input_count,
                              .output_count = 1};
    int rc = HEARTH_OK;
    if (*out == HEARTH_NO_VALUE)
        *out = hearth__ir_value_new(c->ir, (struct hearth__slice){0});
    d.inputs = hearth__ir_alloc(c->ir, input_count, sizeof *d.inputs);
    if (*out == HEARTH_NO_VALUE || d.inputs == NULL)
        return c->ir->err->status;
    memcpy(d.inputs, inputs, input_count * sizeof *d.inputs);
    d.outputs[0] = *out;
    if (axis >= 0)
        rc = hearth__draft_set_int(c->ir, &d, HEARTH_ATTR_AXIS, axis);
    return rc == HEARTH_OK ? hearth__emit(c->ir, &d) : rc;
}

/* Sum of any number is a chain of Adds. */
int hearth__fix_sum(struct hearth__canon *c)
{
    struct hearth__draft *d = &c->draft;
    uint32_t in[2] = {d->inputs[0], HEARTH_NO_VALUE};
    int rc = HEARTH_OK;
    if (d->input_count == 1)
        d->op = HEARTH_OP_IDENTITY;
    for (uint32_t k = 1; rc == HEARTH_OK && k + 1 < d->input_count; k++) {
        uint32_t out = HEARTH_NO_VALUE;
        in[1] = d->inputs[k];
        rc = hearth__canon_step(c, (enum hearth_op)d->op, 2, in, -1, &out);
        in[0] = out;
    }
    if (rc != HEARTH_OK || d->input_count < 2)
        return rc;
    in[1] = d->inputs[d->input_count - 1];
    c->emitted = true;
    return hearth__canon_step(c, (enum hearth_op)d->op, 2, in, -1,
                              &d->outputs[0]);
}

/* An input that is left out by being empty. */
static bool is_empty(const struct hearth_value_info *in)
{
    return in == NULL || (in->shape.rank == 1 && in->shape.dims[0] == 0);
}

/* X, scales, sizes and roi, which only one mode looks at; up to opset 10 there
 * are no sizes, and every coordinate is the asymmetric one. */
int hearth__fix_resize(struct hearth__canon *c)
{
    struct hearth__draft *d = &c->draft;
    bool old = c->ir->head.opset < 11;
    uint32_t from = old ? 1 : 2;
    const struct hearth__onnx_attr *mode =
        hearth__canon_attr(c, "coordinate_transformation_mode");
    bool crops =
        !old && mode != NULL && hearth__slice_is(mode->s, "tf_crop_and_resize");
    uint32_t *inputs = hearth__ir_alloc(c->ir, 4, sizeof *inputs);
    if (inputs == NULL)
        return c->ir->err->status;
    inputs[0] = d->inputs[0];
    inputs[1] =
        is_empty(hearth__canon_in(c, from)) ? HEARTH_NO_VALUE : d->inputs[from];
    inputs[2] = old || is_empty(hearth__canon_in(c, 3)) ? HEARTH_NO_VALUE
                                                        : d->inputs[3];
    inputs[3] = !crops || is_empty(hearth__canon_in(c, 1)) ? HEARTH_NO_VALUE
                                                           : d->inputs[1];
    d->inputs = inputs;
    d->input_count = inputs[3] != HEARTH_NO_VALUE   ? 4
                     : inputs[2] != HEARTH_NO_VALUE ? 3
                                                    : 2;
    if (!old)
        return HEARTH_OK;
    int rc = hearth__draft_set(c->ir, d, HEARTH_ATTR_COORDINATE,
                               HEARTH_ATTR_STRING, 10, "asymmetric");
    return rc == HEARTH_OK ? hearth__draft_set(c->ir, d, HEARTH_ATTR_NEAREST,
                                               HEARTH_ATTR_STRING, 5, "floor")
                           : rc;
}

/* Softmax and its like before opset 13 are over all axes from <axis> on, as
 * one. The shape to go back to, as a constant where at most one size is unknown
 * beside the first axis; else Shape tells it. */
static int old_shape(struct hearth__canon *c, int64_t axis, uint32_t *value)
{
    struct hearth_shape s = hearth__canon_in(c, 0)->shape;
    int unknown = 0;
    bool zero = false;
    for (int i = 0; i < s.rank; i++) {
        zero |= s.dims[i] == 0;
        if (!HEARTH_DIM_IS_SYMBOL(s.dims[i]))
            continue;
        /* Flattened at axis 1, axis 0 is still itself: 0 copies it. */
        bool copied = i == 0 && axis == 1;
        s.dims[i] = copied ? 0 : -1;
        unknown += !copied;
    }
    if (unknown <= 1 && !zero) {
        *value =
            hearth__ir_const(c->ir, HEARTH_I64, 1, (uint32_t)s.rank, s.dims);
        return *value == HEARTH_NO_VALUE ? c->ir->err->status : HEARTH_OK;
    }
    *value = HEARTH_NO_VALUE;
    return hearth__canon_step(c, HEARTH_OP_SHAPE, 1, &c->draft.inputs[0], -1,
                              value);
}

int hearth__fix_softmax1(struct hearth__canon *c)
{
    const struct hearth_shape s = hearth__canon_in(c, 0)->shape;
    int64_t axis = hearth__canon_int(c, "axis", 1);
    if (s.rank < 0)
        return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                           "the rank of its input is not known; export the "
                           "model with opset 13 or newer");
    axis = axis < 0 ? axis + s.rank : axis;
    if (axis < 0 || axis >= s.rank)
        return hearth_fail(c->ir->err, HEARTH_EMODEL,
                           "axis %" PRId64 " does not exist in rank %" PRId32
                           "; export the model again",
                           hearth__canon_int(c, "axis", 1), s.rank);
    bool last = true;
    for (int i = (int)axis + 1; i < s.rank; i++)
        last &= s.dims[i] == 1;
    if (last)
        return hearth__draft_set_int(c->ir, &c->draft, HEARTH_ATTR_AXIS, axis);
    uint32_t flat = HEARTH_NO_VALUE, soft = HEARTH_NO_VALUE, in[2];
    uint32_t out = c->draft.outputs[0];
    int rc = old_shape(c, axis, &in[1]);
    if (rc == HEARTH_OK)
        rc = hearth__canon_step(c, HEARTH_OP_FLATTEN, 1, &c->draft.inputs[0],
                                axis, &flat);
    if (rc == HEARTH_OK)
        rc = hearth__canon_step(c, c->draft.op, 1, &flat, 1, &soft);
    in[0] = soft;
    if (rc == HEARTH_OK)
        rc = hearth__canon_step(c, HEARTH_OP_RESHAPE, 2, in, -1, &out);
    c->emitted = true;
    return rc;
}

/* ---- Reshape ---- */

/* A symbol that nobody has seen yet: numbered <first> or later. */
static bool is_fresh(int64_t dim, uint32_t first)
{
    return HEARTH_DIM_IS_SYMBOL(dim) && HEARTH_DIM_SYMBOL_INDEX(dim) >= first;
}

/* A shape that arithmetic made of the input's own sizes ("keep the batch, and
 * the rest as one") becomes a constant: 0 where a size is copied, -1 for one
 * other. Then the arithmetic is dead, and rows are seen to be independent. */
int hearth__fix_reshape(struct hearth__canon *c)
{
    const struct hearth_value_info *x = hearth__canon_in(c, 0);
    const struct hearth_value_info *s = hearth__canon_in(c, 1);
    struct hearth__draft *d = &c->draft;
    struct hearth__call call;
    struct hearth_shape want;
    int64_t dims[HEARTH_RANK_MAX], count;
    int unknown = 0;
    uint32_t fresh = c->ir->symbols.count; /* and those after it */
    if (s == NULL || s->data != NULL || s->content == NULL ||
        s->dtype != HEARTH_I64 || !hearth_shape_count(&s->shape, &count) ||
        count > HEARTH_RANK_MAX || hearth__canon_int(c, "allowzero", 0) != 0)
        return HEARTH_OK;
    for (int i = 0; i < count; i++) {
        dims[i] = s->content[i];
        if (dims[i] == 0)
            return HEARTH_OK;
        if (dims[i] == -1)
            unknown++;
        if (!HEARTH_DIM_IS_SYMBOL(dims[i]))
            continue;
        bool copied = i < x->shape.rank && x->shape.dims[i] == dims[i];
        dims[i] = copied ? 0 : -1;
        unknown += !copied;
    }
    if (unknown > 1)
        return HEARTH_OK;
    int rc = hearth__call_make(c->ir, d->op, 2, d->inputs, 1, d->attr_count,
                               d->attrs, &call);
    if (rc == HEARTH_OK)
        rc = hearth__call_infer(c->ir, &call);
    if (rc != HEARTH_OK)
        return rc;
    want = call.out[0].shape;
    uint32_t value =
        hearth__ir_const(c->ir, HEARTH_I64, 1, (uint32_t)count, dims);
    if (value == HEARTH_NO_VALUE)
        return c->ir->err->status;
    uint32_t inputs[2] = {d->inputs[0], value};
    rc = hearth__call_make(c->ir, d->op, 2, inputs, 1, d->attr_count, d->attrs,
                           &call);
    if (rc == HEARTH_OK)
        rc = hearth__call_infer(c->ir, &call);
    bool equal = rc == HEARTH_OK && want.rank == call.out[0].shape.rank;
    for (int i = 0; equal && i < want.rank; i++) {
        int64_t a = want.dims[i], b = call.out[0].shape.dims[i];
        equal = a == b || (is_fresh(a, fresh) && is_fresh(b, fresh));
    }
    return equal ? hearth__canon_set_input(c, 1, value) : rc;
}
