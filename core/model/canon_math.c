/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canon_math.c: elementwise operators that are one or two others: Mean, SwiGLU,
 * CastLike, the Gelus of com.microsoft.
 */
#include "model/canon.h"

int hearth__canon_step_as(struct hearth__canon *c,
                          const struct hearth__draft *draft, uint32_t input,
                          uint32_t *out)
{
    struct hearth__draft d = *draft;
    if (*out == HEARTH_NO_VALUE)
        *out = hearth__ir_value_new(c->ir, (struct hearth__slice){0});
    d.inputs = hearth__ir_alloc(c->ir, 1, sizeof *d.inputs);
    if (*out == HEARTH_NO_VALUE || d.inputs == NULL)
        return c->ir->err->status;
    d.inputs[0] = input;
    d.input_count = 1;
    d.outputs[0] = *out;
    return hearth__emit(c->ir, &d);
}

/* The sum, divided. */
int hearth__fix_mean(struct hearth__canon *c)
{
    uint32_t out = c->draft.outputs[0], in[2];
    uint32_t count = c->draft.input_count;
    if (count == 1)
        return hearth__fix_sum(c);
    in[0] = c->draft.outputs[0] =
        hearth__ir_value_new(c->ir, (struct hearth__slice){0});
    if (in[0] == HEARTH_NO_VALUE)
        return c->ir->err->status;
    int rc = hearth__fix_sum(c);
    if (rc == HEARTH_OK)
        rc = hearth__canon_float(c, count, &in[1]);
    return rc == HEARTH_OK
               ? hearth__canon_step(c, HEARTH_OP_DIV, 2, in, -1, &out)
               : rc;
}

/* Swish(A) * B. */
int hearth__fix_swiglu(struct hearth__canon *c)
{
    uint32_t in[2] = {HEARTH_NO_VALUE, HEARTH_NO_VALUE};
    if (c->draft.input_count < 2 || c->draft.inputs[1] == HEARTH_NO_VALUE)
        return hearth_fail(c->ir->err, HEARTH_EMODEL,
                           "its input 1 is missing; export the model again");
    in[1] = c->draft.inputs[1];
    c->emitted = true;
    int rc = hearth__canon_step_as(c, &c->draft, c->draft.inputs[0], &in[0]);
    return rc == HEARTH_OK ? hearth__canon_step(c, HEARTH_OP_MUL, 2, in, -1,
                                                &c->draft.outputs[0])
                           : rc;
}

/* Gelu(x + bias); FastGelu's is by tanh, and its bias may be left out. */
int hearth__fix_bias_gelu(struct hearth__canon *c)
{
    uint32_t sum = HEARTH_NO_VALUE;
    struct hearth__draft *d = &c->draft;
    int rc = HEARTH_OK;
    if (hearth__slice_is(c->source->head.op, "FastGelu"))
        rc = hearth__draft_set(c->ir, d, HEARTH_ATTR_MODE, HEARTH_ATTR_STRING,
                               4, "tanh");
    if (rc != HEARTH_OK || hearth__canon_in(c, 1) == NULL)
        return rc;
    rc = hearth__canon_step(c, HEARTH_OP_ADD, 2, d->inputs, -1, &sum);
    c->emitted = true;
    return rc == HEARTH_OK ? hearth__canon_step_as(c, d, sum, &d->outputs[0])
                           : rc;
}

/* Swish with another number. */
int hearth__fix_quick_gelu(struct hearth__canon *c)
{
    const double alpha = (double)1.702f;
    return hearth__canon_attr(c, "alpha") != NULL
               ? HEARTH_OK
               : hearth__draft_set(c->ir, &c->draft, HEARTH_ATTR_ALPHA,
                                   HEARTH_ATTR_FLOATS, 1, &alpha);
}

int hearth__fix_cast_like(struct hearth__canon *c)
{
    const struct hearth_value_info *like = hearth__canon_in(c, 1);
    if (like == NULL)
        return hearth_fail(c->ir->err, HEARTH_EMODEL,
                           "its input 1 is missing; export the model again");
    c->draft.input_count = 1;
    return hearth__draft_set_int(c->ir, &c->draft, HEARTH_ATTR_TO, like->dtype);
}
