/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canon.c: every opset's spelling of an operator becomes the one that
 * ops/ops.h documents.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/spell.h"

/* ---- What the fixes look at ---- */

const struct hearth__onnx_attr *
hearth__canon_attr(const struct hearth__canon *c, const char *name)
{
    for (uint32_t i = 0; i < c->attr_count; i++)
        if (hearth__slice_is(c->attrs[i].name, name))
            return &c->attrs[i];
    return NULL;
}

int64_t hearth__canon_int(const struct hearth__canon *c, const char *name,
                          int64_t fallback)
{
    const struct hearth__onnx_attr *a = hearth__canon_attr(c, name);
    return a == NULL ? fallback : a->i;
}

static int ints_of(const struct hearth__canon *c,
                   const struct hearth__onnx_attr *a, int64_t *ints,
                   uint32_t *count)
{
    uint64_t n;
    int rc = hearth__onnx_numbers(a->message, 8, false, ints,
                                  HEARTH__CANON_INTS, &n, c->ir->err);
    if (rc == HEARTH_OK && n > HEARTH__CANON_INTS)
        rc = hearth_fail(c->ir->err, HEARTH_EMODEL,
                         "attribute '%.*s' has %" PRIu64
                         " numbers, the most is %d",
                         hearth__slice_cut(a->name, 40),
                         (const char *)a->name.at, n, HEARTH__CANON_INTS);
    *count = (uint32_t)n;
    return rc;
}

int hearth__canon_ints(const struct hearth__canon *c, const char *name,
                       int64_t *ints, uint32_t *count)
{
    const struct hearth__onnx_attr *a = hearth__canon_attr(c, name);
    *count = 0;
    return a == NULL ? HEARTH_OK : ints_of(c, a, ints, count);
}

const struct hearth_value_info *hearth__canon_in(const struct hearth__canon *c,
                                                 uint32_t k)
{
    uint32_t value =
        k < c->draft.input_count ? c->draft.inputs[k] : HEARTH_NO_VALUE;
    return value == HEARTH_NO_VALUE ? NULL
                                    : &hearth__ir_value(c->ir, value)->info;
}

int hearth__canon_set_input(struct hearth__canon *c, uint32_t k, uint32_t value)
{
    uint32_t *inputs = hearth__ir_alloc(c->ir, k + 1, sizeof *inputs);
    if (value == HEARTH_NO_VALUE || inputs == NULL)
        return c->ir->err->status;
    for (uint32_t i = 0; i < k; i++)
        inputs[i] =
            i < c->draft.input_count ? c->draft.inputs[i] : HEARTH_NO_VALUE;
    inputs[k] = value;
    c->draft.inputs = inputs;
    c->draft.input_count = k + 1;
    return HEARTH_OK;
}

/* ---- A node ---- */

bool hearth__canon_knows(const struct hearth__onnx_node *head)
{
    bool known;
    (void)hearth__spell_find(head, 0, &known);
    return known;
}

/* Names the other operators that are not known, each once, so that whoever
 * exports the model need not find them one by one. */
static int not_supported(struct hearth__canon *c)
{
    const struct hearth__ir_source *all = c->ir->sources.items;
    const struct hearth__onnx_node *told[8];
    char others[100] = "";
    size_t used = 0, count = 0;
    told[count++] = &c->source->head;
    for (uint32_t i = 0; i < c->ir->sources.count && count < 8; i++) {
        bool new_one = !hearth__canon_knows(&all[i].head);
        for (size_t k = 0; k < count; k++)
            new_one &= !hearth__slice_equal(told[k]->op, all[i].head.op);
        int n = 0;
        if (new_one) {
            told[count] = &all[i].head;
            n = snprintf(others + used, sizeof others - used, "%s%.*s",
                         used == 0 ? ", nor are " : ", ",
                         hearth__slice_cut(all[i].head.op, 40),
                         (const char *)all[i].head.op.at);
        }
        if (n <= 0 || (size_t)n >= sizeof others - used) {
            others[used] = '\0';
            continue;
        }
        used += (size_t)n;
        count++;
    }
    return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                       "the operator is not supported%s; export the model "
                       "without",
                       others);
}

static int find_spelling(struct hearth__canon *c,
                         const struct hearth__spelling **out)
{
    bool known;
    *out = hearth__spell_find(&c->source->head, c->ir->head.opset, &known);
    if (*out != NULL)
        return HEARTH_OK;
    if (!known)
        return not_supported(c);
    return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                       "the operator does not exist in opset %" PRId64
                       "; export the model again",
                       c->ir->head.opset);
}

/* Unused outputs beyond the first go; used ones must exist. */
static int take_outputs(struct hearth__canon *c,
                        const struct hearth__spelling *s)
{
    const struct hearth__ir_source *src = c->source;
    const struct hearth_op_row *row = hearth_op_row(s->to);
    const struct hearth__slice no_name = {0};
    uint32_t n = src->output_count, most = row == NULL ? 1 : row->max_outputs;
    if (n == 0 || n > s->outputs ||
        (most == 1 && s->outputs != 255 && src->outputs[0] == HEARTH_NO_VALUE))
        return hearth_fail(c->ir->err, HEARTH_EMODEL,
                           "it has %" PRIu32
                           " outputs, or no first one; export the model again",
                           n);
    if (s->outputs == 255) /* left to the fix */
        return HEARTH_OK;
    for (uint32_t k = 0; k < HEARTH_OP_OUTPUTS_MAX; k++)
        c->draft.outputs[k] = HEARTH_NO_VALUE;
    /* A first output that nobody wants is made all the same, nameless. */
    c->draft.outputs[0] = src->outputs[0] != HEARTH_NO_VALUE
                              ? src->outputs[0]
                              : hearth__ir_value_new(c->ir, no_name);
    if (c->draft.outputs[0] == HEARTH_NO_VALUE)
        return c->ir->err->status;
    c->draft.output_count = 1;
    for (uint32_t k = 1; k < n; k++) {
        uint32_t o = src->outputs[k];
        if (o == HEARTH_NO_VALUE || hearth__ir_value(c->ir, o)->uses == 0)
            continue;
        if (k >= most)
            return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                               "its output %" PRIu32
                               " is used, which is for training; export the "
                               "model for inference",
                               k);
        c->draft.outputs[k] = o;
        c->draft.output_count = k + 1;
    }
    return HEARTH_OK;
}

int hearth__canon(struct hearth__ir *ir, uint32_t source)
{
    struct hearth__canon c = {
        .ir = ir,
        .source = (struct hearth__ir_source *)ir->sources.items + source,
        .draft = {.source = source}};
    const struct hearth__spelling *s = NULL;
    int rc = find_spelling(&c, &s);
    if (rc != HEARTH_OK)
        return rc;
    c.draft.op = (uint32_t)s->to;
    c.draft.inputs = c.source->inputs;
    c.draft.input_count = c.source->input_count;
    if (s->inputs != 255 && c.draft.input_count > s->inputs)
        return hearth_fail(ir->err, HEARTH_EMODEL,
                           "it has %" PRIu32
                           " inputs, the most is %d; export the model again",
                           c.draft.input_count, s->inputs);
    /* The fixes and the rows may take input 0 for granted. */
    if (s->inputs > 0 && s->to != HEARTH_OP_LOOP && s->to != HEARTH_OP_SCAN &&
        (c.draft.input_count == 0 || c.draft.inputs[0] == HEARTH_NO_VALUE))
        return hearth_fail(ir->err, HEARTH_EMODEL,
                           "its input 0 is missing; export the model again");
    rc = take_outputs(&c, s);
    if (rc == HEARTH_OK)
        rc = hearth__spell_attrs(&c, s);
    if (rc == HEARTH_OK && s->fix != NULL)
        rc = s->fix(&c);
    if (rc == HEARTH_OK && !c.emitted)
        rc = hearth__emit(ir, &c.draft);
    return rc;
}
