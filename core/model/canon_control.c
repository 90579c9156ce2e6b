/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canon_control.c: If, Loop and Scan: their graphs become blocks, whose inputs
 * are the node's: those that the operator gives them, then the captures. An If
 * whose condition is a constant is the branch that it takes.
 */
#include <inttypes.h>
#include <string.h>

#include "model/nested.h"

/* The draft's inputs: <count> that the operator has, then captures. */
static int set_inputs(struct hearth__canon *c, uint32_t count,
                      const uint32_t *inputs, const struct hearth__vec *extra)
{
    uint32_t *all =
        hearth__ir_alloc(c->ir, (uint64_t)count + extra->count, sizeof *all);
    if (all == NULL)
        return c->ir->err->status;
    if (count > 0)
        memcpy(all, inputs, count * sizeof *all);
    if (extra->count > 0)
        memcpy(all + count, extra->items, extra->count * sizeof *all);
    c->draft.inputs = all;
    c->draft.input_count = count + extra->count;
    return HEARTH_OK;
}

static int check_outputs(struct hearth__canon *c, uint32_t made)
{
    if (c->source->output_count > HEARTH_OP_OUTPUTS_MAX)
        return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                           "it has %" PRIu32
                           " outputs, the most is %d; export the model again",
                           c->source->output_count, HEARTH_OP_OUTPUTS_MAX);
    if (c->source->output_count > made)
        return hearth_fail(c->ir->err, HEARTH_EMODEL,
                           "it has %" PRIu32
                           " outputs, its graph makes %" PRIu32
                           "; export the model again",
                           c->source->output_count, made);
    return HEARTH_OK;
}

/* ---- If ---- */

static int inline_branch(struct hearth__canon *c, bool condition)
{
    struct hearth__nested branch;
    int rc = hearth__nested_import(c, condition ? "then_branch" : "else_branch",
                                   NULL, 0, &branch);
    if (rc == HEARTH_OK)
        rc = check_outputs(c, branch.ir.outputs.count);
    return rc == HEARTH_OK ? hearth__nested_splice(c, &branch) : rc;
}

/* Both branches take what either does. */
static int pad_branches(struct hearth__nested *t, struct hearth__nested *e)
{
    const uint32_t *items = t->extra.items;
    uint32_t own = e->extra.count, first = t->extra.count;
    int rc = HEARTH_OK;
    /* The else branch gets those of the then branch before its own. */
    struct hearth__vec extra = e->extra, inputs = e->ir.inputs;
    e->extra = (struct hearth__vec){0};
    e->ir.inputs = (struct hearth__vec){0};
    for (uint32_t k = 0; rc == HEARTH_OK && k < first; k++)
        rc = hearth__nested_pad(e, items[k]);
    for (uint32_t k = 0; rc == HEARTH_OK && k < own; k++) {
        rc = hearth__nested_pad(t, ((uint32_t *)extra.items)[k]);
        if (rc == HEARTH_OK)
            rc = hearth__nested_pad(e, ((uint32_t *)extra.items)[k]);
        /* Not a new value: the branch's own. */
        if (rc == HEARTH_OK)
            ((uint32_t *)e->ir.inputs.items)[first + k] =
                ((uint32_t *)inputs.items)[k];
    }
    return rc;
}

int hearth__fix_if(struct hearth__canon *c)
{
    struct hearth__nested t, e;
    uint32_t condition = c->draft.inputs[0];
    const struct hearth__ir_value *v = hearth__ir_value(c->ir, condition);
    if (c->source->formal_count != 1 || v->info.dtype != HEARTH_BOOL)
        return hearth_fail(c->ir->err, HEARTH_EMODEL,
                           "its condition is not one bool; export the model "
                           "again");
    if (v->kind == HEARTH_VALUE_WEIGHT && v->bytes == 1)
        return inline_branch(c, *(const uint8_t *)v->info.data != 0);
    int rc = hearth__nested_import(c, "then_branch", NULL, 0, &t);
    if (rc == HEARTH_OK)
        rc = hearth__nested_import(c, "else_branch", NULL, 0, &e);
    if (rc == HEARTH_OK)
        rc = check_outputs(c, t.ir.outputs.count);
    if (rc == HEARTH_OK && t.ir.outputs.count != e.ir.outputs.count)
        rc = hearth_fail(c->ir->err, HEARTH_EMODEL,
                         "its branches have %" PRIu32 " and %" PRIu32
                         " outputs; export the model again",
                         t.ir.outputs.count, e.ir.outputs.count);
    if (rc == HEARTH_OK)
        rc = hearth__nested_finish(&t);
    if (rc == HEARTH_OK)
        rc = hearth__nested_finish(&e);
    if (rc == HEARTH_OK)
        rc = pad_branches(&t, &e);
    if (rc == HEARTH_OK)
        rc = set_inputs(c, 1, &condition, &t.extra);
    if (rc == HEARTH_OK)
        rc = hearth__nested_write(c, &t, HEARTH_ATTR_THEN);
    return rc == HEARTH_OK ? hearth__nested_write(c, &e, HEARTH_ATTR_ELSE) : rc;
}

/* ---- Loop and Scan ---- */

/* A size may be another one in each iteration. */
static struct hearth_value_info state_info(const struct hearth_value_info *in)
{
    struct hearth_value_info info = {.dtype = in->dtype,
                                     .shape = {.rank = in->shape.rank}};
    for (int i = 0; i < info.shape.rank; i++)
        info.shape.dims[i] = HEARTH_DIM_SYMBOL(0);
    return info;
}

/* The body with its formal inputs, as the draft's one block. */
static int set_body(struct hearth__canon *c,
                    const struct hearth_value_info *formals, uint32_t count,
                    const uint32_t *inputs, uint32_t before, uint32_t states)
{
    struct hearth__nested body;
    int rc = hearth__nested_import(c, "body", formals, count, &body);
    if (rc == HEARTH_OK && body.ir.outputs.count < before + states)
        rc = hearth_fail(c->ir->err, HEARTH_EMODEL,
                         "its body has %" PRIu32
                         " outputs, it must have %" PRIu32
                         " at least; export the model again",
                         body.ir.outputs.count, before + states);
    if (rc == HEARTH_OK)
        rc = check_outputs(c, body.ir.outputs.count - before);
    if (rc == HEARTH_OK)
        rc = hearth__nested_finish(&body);
    if (rc == HEARTH_OK)
        rc = set_inputs(c, count, inputs, &body.extra);
    if (rc == HEARTH_OK)
        rc =
            hearth__draft_set_int(c->ir, &c->draft, HEARTH_ATTR_STATES, states);
    return rc == HEARTH_OK ? hearth__nested_write(c, &body, HEARTH_ATTR_BODY)
                           : rc;
}

static int missing_input(struct hearth__canon *c, uint32_t k)
{
    return hearth_fail(
        c->ir->err, HEARTH_EMODEL,
        "its input %" PRIu32 " is missing; export the model again", k);
}

int hearth__fix_loop(struct hearth__canon *c)
{
    static const int64_t endless = INT64_MAX;
    static const uint8_t yes = 1;
    const struct hearth__ir_source *s = c->source;
    uint32_t count = s->formal_count < 2 ? 2 : s->formal_count;
    struct hearth_value_info *formals =
        hearth__ir_alloc(c->ir, count, sizeof *formals);
    uint32_t *inputs = hearth__ir_alloc(c->ir, count, sizeof *inputs);
    if (formals == NULL || inputs == NULL)
        return c->ir->err->status;
    for (uint32_t k = 0; k < count; k++)
        inputs[k] = k < s->formal_count ? s->inputs[k] : HEARTH_NO_VALUE;
    if (inputs[0] == HEARTH_NO_VALUE)
        inputs[0] = hearth__ir_const(c->ir, HEARTH_I64, 0, 1, &endless);
    if (inputs[1] == HEARTH_NO_VALUE)
        inputs[1] = hearth__ir_const(c->ir, HEARTH_BOOL, 0, 1, &yes);
    if (inputs[0] == HEARTH_NO_VALUE || inputs[1] == HEARTH_NO_VALUE)
        return c->ir->err->status;
    formals[0].dtype = HEARTH_I64;
    formals[1].dtype = HEARTH_BOOL;
    for (uint32_t k = 2; k < count; k++) {
        if (inputs[k] == HEARTH_NO_VALUE)
            return missing_input(c, k);
        formals[k] = state_info(&hearth__ir_value(c->ir, inputs[k])->info);
    }
    return set_body(c, formals, count, inputs, 1, count - 2);
}

/* A slice of a sequence along <axis>. */
static int slice_info(struct hearth__canon *c,
                      const struct hearth_value_info *in, int64_t axis,
                      struct hearth_value_info *slice)
{
    int rank = in->shape.rank;
    *slice =
        (struct hearth_value_info){.dtype = in->dtype, .shape = {.rank = -1}};
    if (rank < 0)
        return HEARTH_OK;
    axis += axis < 0 ? rank : 0;
    if (axis < 0 || axis >= rank)
        return hearth_fail(c->ir->err, HEARTH_EMODEL,
                           "a sequence of rank %d has no axis %" PRId64
                           "; export the model again",
                           rank, axis);
    slice->shape.rank = rank - 1;
    for (int i = 0, k = 0; i < rank; i++)
        if (i != axis)
            slice->shape.dims[k++] = in->shape.dims[i];
    return HEARTH_OK;
}

static struct hearth_value_info row_of(const struct hearth_value_info *in)
{
    struct hearth_value_info row = {.dtype = in->dtype, .shape = {.rank = -1}};
    if (in->shape.rank < 1)
        return row;
    row.shape.rank = in->shape.rank - 1;
    for (int i = 0; i < row.shape.rank; i++)
        row.shape.dims[i] = in->shape.dims[i + 1];
    return row;
}

/* Each element of a batch for itself, and lengths of their own before all. */
int hearth__fix_scan8(struct hearth__canon *c)
{
    const struct hearth__ir_source *s = c->source;
    uint32_t count = s->formal_count - 1;
    int64_t scans = hearth__canon_int(c, "num_scan_inputs", 0);
    if (s->formal_count < 2 || scans < 1 || scans > count)
        return hearth_fail(c->ir->err, HEARTH_EMODEL,
                           "it has %" PRId64
                           " sequences, and not as many inputs; export the "
                           "model again",
                           scans);
    if (s->inputs[0] != HEARTH_NO_VALUE)
        return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                           "sequences have lengths of their own; export the "
                           "model again with a newer opset");
    uint32_t states = count - (uint32_t)scans;
    struct hearth_value_info *formals =
        hearth__ir_alloc(c->ir, count, sizeof *formals);
    if (formals == NULL)
        return c->ir->err->status;
    for (uint32_t k = 0; k < count; k++) {
        uint32_t v = s->inputs[k + 1];
        if (v == HEARTH_NO_VALUE)
            return missing_input(c, k + 1);
        const struct hearth_value_info *in = &hearth__ir_value(c->ir, v)->info;
        const struct hearth_value_info element = row_of(in);
        formals[k] = k < states ? state_info(&element) : row_of(&element);
    }
    int rc = set_body(c, formals, count, s->inputs + 1, 0, states);
    return rc == HEARTH_OK
               ? hearth__draft_set_int(c->ir, &c->draft, HEARTH_ATTR_BATCHED, 1)
               : rc;
}

int hearth__fix_scan(struct hearth__canon *c)
{
    const struct hearth__ir_source *s = c->source;
    uint32_t count = s->formal_count, axis_count;
    int64_t axes[HEARTH__CANON_INTS];
    int64_t scans = hearth__canon_int(c, "num_scan_inputs", 0);
    if (scans < 1 || scans > count)
        return hearth_fail(c->ir->err, HEARTH_EMODEL,
                           "it has %" PRId64 " sequences of %" PRIu32
                           " inputs; export the model again",
                           scans, count);
    uint32_t states = count - (uint32_t)scans;
    struct hearth_value_info *formals =
        hearth__ir_alloc(c->ir, count, sizeof *formals);
    int rc = hearth__canon_ints(c, "scan_input_axes", axes, &axis_count);
    if (formals == NULL)
        return c->ir->err->status;
    for (uint32_t k = 0; rc == HEARTH_OK && k < count; k++) {
        if (s->inputs[k] == HEARTH_NO_VALUE)
            return missing_input(c, k);
        const struct hearth_value_info *in =
            &hearth__ir_value(c->ir, s->inputs[k])->info;
        if (k < states)
            formals[k] = state_info(in);
        else
            rc = slice_info(c, in,
                            k - states < axis_count ? axes[k - states] : 0,
                            &formals[k]);
    }
    return rc == HEARTH_OK ? set_body(c, formals, count, s->inputs, 0, states)
                           : rc;
}
