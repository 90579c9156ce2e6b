/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canon_recurrent.c: RNN, GRU and LSTM: the names of their functions become
 * numbers, and the numbers that those take, which are listed in the order of
 * the functions that take any, are given to each.
 */
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "model/canon.h"

#define FUNCTIONS 6 /* of an LSTM's two directions */

static const struct function {
    const char *name;
    int numbers; /* that it takes */
    double alpha, beta;
} functions[HEARTH_RECURRENT_COUNT] = {
    [HEARTH_RECURRENT_SIGMOID] = {"Sigmoid", 0, 0, 0},
    [HEARTH_RECURRENT_TANH] = {"Tanh", 0, 0, 0},
    [HEARTH_RECURRENT_RELU] = {"Relu", 0, 0, 0},
    [HEARTH_RECURRENT_AFFINE] = {"Affine", 2, 1, 0},
    [HEARTH_RECURRENT_LEAKY_RELU] = {"LeakyRelu", 1, (double)0.01f, 0},
    [HEARTH_RECURRENT_THRESHOLDED_RELU] = {"ThresholdedRelu", 1, 1, 0},
    [HEARTH_RECURRENT_SCALED_TANH] = {"ScaledTanh", 2, 1, 1},
    [HEARTH_RECURRENT_HARD_SIGMOID] = {"HardSigmoid", 2, (double)0.2f, 0.5},
    [HEARTH_RECURRENT_ELU] = {"Elu", 1, 1, 0},
    [HEARTH_RECURRENT_SOFTSIGN] = {"Softsign", 0, 0, 0},
    [HEARTH_RECURRENT_SOFTPLUS] = {"Softplus", 0, 0, 0},
};

/* Case does not matter to exporters. */
static int find(struct hearth__canon *c, struct hearth__slice name,
                int64_t *number)
{
    for (int64_t i = 0; i < HEARTH_RECURRENT_COUNT; i++)
        if (strlen(functions[i].name) == name.bytes &&
            strncasecmp(functions[i].name, (const char *)name.at, name.bytes) ==
                0) {
            *number = i;
            return HEARTH_OK;
        }
    return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                       "activation '%.*s' is not supported; export the model "
                       "without",
                       hearth__slice_cut(name, 30), (const char *)name.at);
}

/* The names of attribute "activations": its strings. */
static int read_names(struct hearth__canon *c,
                      const struct hearth__onnx_attr *attr,
                      int64_t numbers[FUNCTIONS], uint32_t *count)
{
    struct hearth__slice message = attr->message;
    struct hearth__wire_field f;
    int rc;
    *count = 0;
    while (hearth__wire_next(&message, &f, &rc, c->ir->err)) {
        if (f.number != 9)
            continue;
        rc = hearth__onnx_want(&f, HEARTH__WIRE_BYTES, "an activation's name",
                               c->ir->err);
        if (rc == HEARTH_OK && *count == FUNCTIONS)
            rc = hearth_fail(c->ir->err, HEARTH_EMODEL,
                             "it has more than %d activations; export the "
                             "model again",
                             FUNCTIONS);
        if (rc == HEARTH_OK)
            rc = find(c, f.bytes, &numbers[*count]);
        if (rc != HEARTH_OK)
            return rc;
        ++*count;
    }
    return rc;
}

static int read_floats(struct hearth__canon *c, const char *name,
                       double numbers[FUNCTIONS], uint64_t *count)
{
    const struct hearth__onnx_attr *a = hearth__canon_attr(c, name);
    *count = 0;
    int rc = a == NULL ? HEARTH_OK
                       : hearth__onnx_numbers(a->message, 7, true, numbers,
                                              FUNCTIONS, count, c->ir->err);
    if (rc == HEARTH_OK && *count > FUNCTIONS)
        rc = hearth_fail(c->ir->err, HEARTH_EMODEL,
                         "%s has %" PRIu64 " numbers; export the model again",
                         name, *count);
    return rc;
}

/* As many functions as the operator has in its directions. */
static uint32_t functions_of(const struct hearth__canon *c)
{
    const struct hearth__onnx_attr *d = hearth__canon_attr(c, "direction");
    const uint32_t one = c->draft.op == HEARTH_OP_LSTM  ? 3
                         : c->draft.op == HEARTH_OP_GRU ? 2
                                                        : 1;
    return d != NULL && hearth__slice_is(d->s, "bidirectional") ? 2 * one : one;
}

int hearth__fix_recurrent(struct hearth__canon *c)
{
    const struct hearth__onnx_attr *names =
        hearth__canon_attr(c, "activations");
    int64_t act[FUNCTIONS];
    double given[2][FUNCTIONS], alpha[FUNCTIONS], beta[FUNCTIONS];
    uint64_t given_count[2], used[2] = {0, 0};
    uint32_t count;
    struct hearth__draft *d = &c->draft;
    if (names == NULL)
        return HEARTH_OK;
    int rc = read_names(c, names, act, &count);
    if (rc == HEARTH_OK)
        rc = read_floats(c, "activation_alpha", given[0], &given_count[0]);
    if (rc == HEARTH_OK)
        rc = read_floats(c, "activation_beta", given[1], &given_count[1]);
    if (rc != HEARTH_OK || count == 0)
        return rc;
    /* RNN's default names two, whatever its direction. */
    if (count < functions_of(c) ||
        (count > functions_of(c) && d->op != HEARTH_OP_RNN))
        return hearth_fail(c->ir->err, HEARTH_EMODEL,
                           "it has %" PRIu32 " activations, it must have "
                           "%" PRIu32 "; export the model again",
                           count, functions_of(c));
    count = functions_of(c);
    for (uint32_t i = 0; i < count; i++) {
        const struct function *f = &functions[act[i]];
        alpha[i] = f->alpha;
        beta[i] = f->beta;
        if (f->numbers > 0 && used[0] < given_count[0])
            alpha[i] = given[0][used[0]++];
        if (f->numbers > 1 && used[1] < given_count[1])
            beta[i] = given[1][used[1]++];
    }
    rc = hearth__draft_set(c->ir, d, HEARTH_ATTR_ACTIVATIONS, HEARTH_ATTR_INTS,
                           count, act);
    if (rc == HEARTH_OK)
        rc = hearth__draft_set(c->ir, d, HEARTH_ATTR_ACT_ALPHA,
                               HEARTH_ATTR_FLOATS, count, alpha);
    return rc == HEARTH_OK ? hearth__draft_set(c->ir, d, HEARTH_ATTR_ACT_BETA,
                                               HEARTH_ATTR_FLOATS, count, beta)
                           : rc;
}
