/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canon_net.c: layers of networks whose spelling needs more than names:
 * attributes that ONNX demands, operators that are made of others.
 */
#include <inttypes.h>

#include "model/canon.h"

int hearth__fix_groupnorm(struct hearth__canon *c)
{
    if (hearth__canon_int(c, "num_groups", 0) > 0)
        return HEARTH_OK;
    return hearth_fail(c->ir->err, HEARTH_EMODEL,
                       "num_groups is missing or not positive; export the "
                       "model again");
}

/* Division is in f32 (f64 for a scale of f64), which is what precision says
 * where it says anything. */
int hearth__fix_quantize(struct hearth__canon *c)
{
    const int64_t precision = hearth__canon_int(c, "precision", 0);
    if (precision == 0 || precision == HEARTH_F32)
        return HEARTH_OK;
    return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                       "precision %" PRId64
                       " is not supported; export the model with 0 or 1",
                       precision);
}

static uint32_t scalar(struct hearth__canon *c, float number)
{
    return hearth__ir_const(c->ir, HEARTH_F32, 0, 1, &number);
}

/* One of two inputs; a new value. */
static int step2(struct hearth__canon *c, uint32_t op, uint32_t a, uint32_t b,
                 uint32_t *out)
{
    const uint32_t in[2] = {a, b};
    *out = HEARTH_NO_VALUE;
    if (a == HEARTH_NO_VALUE || b == HEARTH_NO_VALUE)
        return c->ir->err->status;
    return hearth__canon_step(c, op, 2, in, -1, out);
}

/* (X - mean) / (sqrt(mean of squares - square of mean) + 1e-9), the mean of
 * squares being taken about the mean, where it loses nothing. */
int hearth__fix_mvn(struct hearth__canon *c)
{
    int64_t axes[HEARTH__CANON_INTS] = {0, 2, 3};
    const uint32_t x = c->draft.inputs[0];
    uint32_t n = 3, over, mean, away, square, variance, in[2];
    uint32_t deviation = HEARTH_NO_VALUE;
    int rc = HEARTH_OK;
    if (hearth__canon_in(c, 0)->dtype != HEARTH_F32)
        return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                           "only f32 is supported; convert the model");
    if (hearth__canon_attr(c, "axes") != NULL)
        rc = hearth__canon_ints(c, "axes", axes, &n);
    over = hearth__ir_const(c->ir, HEARTH_I64, 1, n, axes);
    if (rc == HEARTH_OK)
        rc = step2(c, HEARTH_OP_REDUCE_MEAN, x, over, &mean);
    if (rc == HEARTH_OK)
        rc = step2(c, HEARTH_OP_SUB, x, mean, &away);
    if (rc == HEARTH_OK)
        rc = step2(c, HEARTH_OP_MUL, away, away, &square);
    if (rc == HEARTH_OK)
        rc = step2(c, HEARTH_OP_REDUCE_MEAN, square, over, &variance);
    if (rc == HEARTH_OK)
        rc =
            hearth__canon_step(c, HEARTH_OP_SQRT, 1, &variance, -1, &deviation);
    if (rc == HEARTH_OK)
        rc = step2(c, HEARTH_OP_ADD, deviation, scalar(c, 1e-9f), &in[1]);
    in[0] = away;
    c->emitted = true;
    return rc == HEARTH_OK ? hearth__canon_step(c, HEARTH_OP_DIV, 2, in, -1,
                                                &c->draft.outputs[0])
                           : rc;
}

/* The bias of com.microsoft's is its input 5; 4 is a permutation. */
int hearth__fix_matmul_nbits(struct hearth__canon *c)
{
    struct hearth__draft *d = &c->draft;
    if (hearth__canon_int(c, "weight_prepacked", 0) != 0 ||
        (d->input_count > 4 && d->inputs[4] != HEARTH_NO_VALUE))
        return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                           "weights that are reordered are not supported; "
                           "quantise the model without g_idx");
    if (d->input_count < 6)
        return HEARTH_OK;
    const uint32_t bias = d->inputs[5];
    d->input_count = 4;
    return bias == HEARTH_NO_VALUE ? HEARTH_OK
                                   : hearth__canon_set_input(c, 4, bias);
}

/* Before opset 16 places were not moved by half an element. */
int hearth__fix_roi_align(struct hearth__canon *c)
{
    if (hearth__draft_get(&c->draft, HEARTH_ATTR_COORDINATE) != NULL)
        return HEARTH_OK;
    return hearth__draft_set(c->ir, &c->draft, HEARTH_ATTR_COORDINATE,
                             HEARTH_ATTR_STRING, 17, "output_half_pixel");
}

/* The default was axis 1, later the last but one. */
int hearth__fix_dft17(struct hearth__canon *c)
{
    return hearth__draft_set_int(c->ir, &c->draft, HEARTH_ATTR_AXIS,
                                 hearth__canon_int(c, "axis", 1));
}
