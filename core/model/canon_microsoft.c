/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canon_microsoft.c: com.microsoft's layers, which ONNX Runtime's optimiser
 * makes out of several operators, become those again: FusedConv, the layer
 * normalisations with what is added before them. Attention is in
 * canon_attention.c.
 */
#include <inttypes.h>
#include <string.h>

#include "model/canon.h"

int hearth__canon_draft(struct hearth__canon *c, const struct hearth__draft *d,
                        uint32_t input_count, const uint32_t *inputs,
                        uint32_t *out)
{
    struct hearth__draft draft = *d;
    draft.source = c->draft.source;
    if (*out == HEARTH_NO_VALUE)
        *out = hearth__ir_value_new(c->ir, (struct hearth__slice){0});
    draft.inputs = hearth__ir_alloc(c->ir, input_count, sizeof *draft.inputs);
    if (*out == HEARTH_NO_VALUE || draft.inputs == NULL)
        return c->ir->err->status;
    memcpy(draft.inputs, inputs, input_count * sizeof *inputs);
    draft.input_count = input_count;
    draft.outputs[0] = *out;
    draft.output_count = draft.output_count == 0 ? 1 : draft.output_count;
    for (uint32_t k = draft.output_count; k < HEARTH_OP_OUTPUTS_MAX; k++)
        draft.outputs[k] = HEARTH_NO_VALUE;
    return hearth__emit(c->ir, &draft);
}

uint32_t hearth__canon_used(const struct hearth__canon *c, uint32_t k)
{
    uint32_t o =
        k < c->source->output_count ? c->source->outputs[k] : HEARTH_NO_VALUE;
    return o != HEARTH_NO_VALUE && hearth__ir_value(c->ir, o)->uses > 0
               ? o
               : HEARTH_NO_VALUE;
}

/* The value of input <k>, or NO_VALUE. */
static uint32_t input(const struct hearth__canon *c, uint32_t k)
{
    return k < c->draft.input_count ? c->draft.inputs[k] : HEARTH_NO_VALUE;
}

/* The first output; one that nobody wants is made all the same. */
static int first_output(struct hearth__canon *c, uint32_t *out)
{
    *out =
        c->source->output_count > 0 ? c->source->outputs[0] : HEARTH_NO_VALUE;
    if (*out == HEARTH_NO_VALUE)
        *out = hearth__ir_value_new(c->ir, (struct hearth__slice){0});
    return *out == HEARTH_NO_VALUE ? c->ir->err->status : HEARTH_OK;
}

static int missing(struct hearth__canon *c, uint32_t k)
{
    return hearth_fail(c->ir->err, HEARTH_EMODEL,
                       "its input %" PRIu32 " is missing; export the model "
                       "again",
                       k);
}

static int unsupported(struct hearth__canon *c, const char *what)
{
    return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                       "%s is not supported; save the model without that "
                       "optimisation",
                       what);
}

/* ---- FusedConv ---- */

/* Up to two numbers of "activation_params". */
static int params_of(struct hearth__canon *c, double params[2])
{
    const struct hearth__onnx_attr *a =
        hearth__canon_attr(c, "activation_params");
    uint64_t count = 0;
    params[0] = params[1] = 0;
    return a == NULL ? HEARTH_OK
                     : hearth__onnx_numbers(a->message, 7, true, params, 2,
                                            &count, c->ir->err);
}

static int set_act(struct hearth__canon *c, struct hearth__draft *d,
                   int64_t act, const double *params)
{
    int rc = HEARTH_OK;
    if (act >= 0)
        rc = hearth__draft_set_int(c->ir, d, HEARTH_ATTR_ACTIVATION, act);
    if (rc == HEARTH_OK && params != NULL)
        rc = hearth__draft_set(c->ir, d, HEARTH_ATTR_ALPHA, HEARTH_ATTR_FLOATS,
                               1, &params[0]);
    return rc == HEARTH_OK && params != NULL
               ? hearth__draft_set(c->ir, d, HEARTH_ATTR_BETA,
                                   HEARTH_ATTR_FLOATS, 1, &params[1])
               : rc;
}

int hearth__fix_fused_conv(struct hearth__canon *c)
{
    const struct hearth__onnx_attr *a = hearth__canon_attr(c, "activation");
    const struct hearth__slice name =
        a == NULL ? (struct hearth__slice){0} : a->s;
    struct hearth__draft after = {0};
    uint32_t conv = HEARTH_NO_VALUE;
    double params[2];
    int rc = params_of(c, params);
    if (rc != HEARTH_OK || name.bytes == 0)
        return rc == HEARTH_OK ? hearth__fix_window(c) : rc;
    if (hearth__slice_is(name, "Relu"))
        rc = set_act(c, &c->draft, HEARTH_ACT_RELU, NULL);
    else if (hearth__slice_is(name, "Sigmoid"))
        rc = set_act(c, &c->draft, HEARTH_ACT_SIGMOID, NULL);
    else if (hearth__slice_is(name, "Tanh"))
        rc = set_act(c, &c->draft, HEARTH_ACT_TANH, NULL);
    else if (hearth__slice_is(name, "Clip"))
        rc = set_act(c, &c->draft, HEARTH_ACT_CLIP, params);
    else if (hearth__slice_is(name, "LeakyRelu"))
        after.op = HEARTH_OP_LEAKY_RELU;
    else if (hearth__slice_is(name, "HardSigmoid"))
        after.op = HEARTH_OP_HARD_SIGMOID;
    else
        rc = unsupported(c, "its activation");
    if (rc == HEARTH_OK)
        rc = hearth__fix_window(c);
    if (rc != HEARTH_OK || after.op == HEARTH_OP_NONE)
        return rc;
    c->emitted = true;
    rc = hearth__canon_draft(c, &c->draft, c->draft.input_count,
                             c->draft.inputs, &conv);
    if (rc == HEARTH_OK)
        rc = set_act(c, &after, -1, params);
    return rc == HEARTH_OK
               ? hearth__canon_draft(c, &after, 1, &conv, &c->draft.outputs[0])
               : rc;
}

/* ---- Layer normalisations ---- */

/* a + b, or the one that there is. */
static int sum_of(struct hearth__canon *c, uint32_t a, uint32_t b, uint32_t out,
                  uint32_t *sum)
{
    const uint32_t in[2] = {a, b};
    *sum = out;
    if (b == HEARTH_NO_VALUE) {
        *sum = a;
        return HEARTH_OK;
    }
    return hearth__canon_step(c, HEARTH_OP_ADD, 2, in, -1, sum);
}

/* The normalisation of <x> as <out>, by the attribute epsilon. */
static int normalise(struct hearth__canon *c, uint32_t x, uint32_t scale,
                     uint32_t bias, uint32_t out)
{
    const struct hearth__onnx_attr *a = hearth__canon_attr(c, "epsilon");
    const double epsilon = a == NULL ? (double)1e-12f : (double)a->f;
    const uint32_t in[3] = {x, scale, bias};
    struct hearth__draft d = {.op = c->draft.op};
    int rc = hearth__draft_set(c->ir, &d, HEARTH_ATTR_EPSILON,
                               HEARTH_ATTR_FLOATS, 1, &epsilon);
    if (rc == HEARTH_OK)
        rc = hearth__draft_set_int(c->ir, &d, HEARTH_ATTR_AXIS, -1);
    return rc == HEARTH_OK
               ? hearth__canon_draft(c, &d, bias == HEARTH_NO_VALUE ? 2 : 3, in,
                                     &out)
               : rc;
}

/* input, skip, gamma, [beta], [bias]; the simplified one has no beta. */
int hearth__fix_skip_layernorm(struct hearth__canon *c)
{
    const bool simple = c->draft.op == HEARTH_OP_RMS_NORMALIZATION;
    const uint32_t bias = input(c, simple ? 3 : 4);
    const uint32_t beta = simple ? HEARTH_NO_VALUE : input(c, 3);
    uint32_t sum = HEARTH_NO_VALUE, all, out;
    for (uint32_t k = 1; k < 3; k++)
        if (input(c, k) == HEARTH_NO_VALUE)
            return missing(c, k);
    if (hearth__canon_used(c, 1) != HEARTH_NO_VALUE ||
        hearth__canon_used(c, 2) != HEARTH_NO_VALUE)
        return unsupported(c, "the output of its mean");
    int rc = first_output(c, &out);
    if (rc == HEARTH_OK)
        rc = sum_of(c, input(c, 0), input(c, 1),
                    bias == HEARTH_NO_VALUE ? hearth__canon_used(c, 3)
                                            : HEARTH_NO_VALUE,
                    &sum);
    if (rc == HEARTH_OK)
        rc = sum_of(c, sum, bias, hearth__canon_used(c, 3), &all);
    c->emitted = true;
    return rc == HEARTH_OK ? normalise(c, all, input(c, 2), beta, out) : rc;
}

/* Rows of the table of places for as many places as ids have. */
static int places_of(struct hearth__canon *c, uint32_t ids, uint32_t table,
                     uint32_t *rows)
{
    const int64_t zero = 0, one = 1, two = 2;
    struct hearth__draft d = {.op = HEARTH_OP_SHAPE};
    uint32_t length = HEARTH_NO_VALUE;
    const uint32_t from = hearth__ir_const(c->ir, HEARTH_I64, 1, 1, &zero);
    int rc = hearth__draft_set_int(c->ir, &d, HEARTH_ATTR_START, one);
    if (rc == HEARTH_OK)
        rc = hearth__draft_set_int(c->ir, &d, HEARTH_ATTR_END, two);
    if (rc == HEARTH_OK && from == HEARTH_NO_VALUE)
        rc = c->ir->err->status;
    if (rc == HEARTH_OK)
        rc = hearth__canon_draft(c, &d, 1, &ids, &length);
    const uint32_t in[4] = {table, from, length, from};
    return rc == HEARTH_OK
               ? hearth__canon_step(c, HEARTH_OP_SLICE, 4, in, -1, rows)
               : rc;
}

static int gather(struct hearth__canon *c, uint32_t table, uint32_t ids,
                  uint32_t *rows)
{
    const uint32_t in[2] = {table, ids};
    return hearth__canon_step(c, HEARTH_OP_GATHER, 2, in, 0, rows);
}

/* How many of each row the mask takes in. */
static int mask_index(struct hearth__canon *c, uint32_t mask)
{
    uint32_t out = hearth__canon_used(c, 1);
    const int64_t axis = 1;
    struct hearth__draft d = {.op = HEARTH_OP_REDUCE_SUM};
    if (out == HEARTH_NO_VALUE)
        return HEARTH_OK;
    if (mask == HEARTH_NO_VALUE)
        return unsupported(c, "the output of a mask that it does not have");
    const uint32_t in[2] = {mask,
                            hearth__ir_const(c->ir, HEARTH_I64, 1, 1, &axis)};
    int rc = hearth__draft_set_int(c->ir, &d, HEARTH_ATTR_KEEPDIMS, 0);
    if (rc == HEARTH_OK && in[1] == HEARTH_NO_VALUE)
        rc = c->ir->err->status;
    return rc == HEARTH_OK ? hearth__canon_draft(c, &d, 2, in, &out) : rc;
}

/* ids, [segments], word, place, [segment tables], gamma, beta, [mask],
 * [places] */
int hearth__fix_embed_layernorm(struct hearth__canon *c)
{
    static const uint32_t needed[] = {0, 2, 3, 5, 6};
    uint32_t word = HEARTH_NO_VALUE, place = HEARTH_NO_VALUE;
    uint32_t segment = HEARTH_NO_VALUE, sum, all, out;
    const bool segments =
        input(c, 1) != HEARTH_NO_VALUE && input(c, 4) != HEARTH_NO_VALUE;
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (input(c, needed[i]) == HEARTH_NO_VALUE)
            return missing(c, needed[i]);
    int rc = first_output(c, &out);
    if (rc == HEARTH_OK)
        rc = mask_index(c, input(c, 7));
    if (rc == HEARTH_OK)
        rc = gather(c, input(c, 2), input(c, 0), &word);
    if (rc == HEARTH_OK)
        rc = input(c, 8) != HEARTH_NO_VALUE
                 ? gather(c, input(c, 3), input(c, 8), &place)
                 : places_of(c, input(c, 0), input(c, 3), &place);
    if (rc == HEARTH_OK && segments)
        rc = gather(c, input(c, 4), input(c, 1), &segment);
    if (rc == HEARTH_OK)
        rc =
            sum_of(c, word, place,
                   segments ? HEARTH_NO_VALUE : hearth__canon_used(c, 2), &sum);
    if (rc == HEARTH_OK)
        rc = sum_of(c, sum, segment, hearth__canon_used(c, 2), &all);
    c->emitted = true;
    return rc == HEARTH_OK ? normalise(c, all, input(c, 5), input(c, 6), out)
                           : rc;
}
