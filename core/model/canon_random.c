/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canon_random.c: what a random operator is as large as, is a vector of sizes
 * in any case: an attribute, or the shape of an input. Bernoulli is a
 * comparison with numbers from 0 to 1.
 */
#include "model/canon.h"

int hearth__fix_random(struct hearth__canon *c)
{
    int64_t sizes[HEARTH__CANON_INTS];
    uint32_t count;
    int rc = hearth__canon_ints(c, "shape", sizes, &count);
    return rc == HEARTH_OK
               ? hearth__canon_set_input(
                     c, 0, hearth__ir_const(c->ir, HEARTH_I64, 1, count, sizes))
               : rc;
}

/* Of input 0, in its place; the type is that one's unless the node says it. */
int hearth__fix_random_like(struct hearth__canon *c)
{
    uint32_t shape = HEARTH_NO_VALUE;
    int64_t dtype =
        hearth__canon_int(c, "dtype", hearth__canon_in(c, 0)->dtype);
    int rc =
        hearth__canon_step(c, HEARTH_OP_SHAPE, 1, c->draft.inputs, -1, &shape);
    if (rc == HEARTH_OK)
        rc = hearth__draft_set_int(c->ir, &c->draft, HEARTH_ATTR_TO, dtype);
    return rc == HEARTH_OK ? hearth__canon_set_input(c, 0, shape) : rc;
}

int hearth__fix_bernoulli(struct hearth__canon *c)
{
    uint32_t x = c->draft.inputs[0], y = c->draft.outputs[0];
    uint32_t numbers = HEARTH_NO_VALUE, drawn = HEARTH_NO_VALUE;
    int64_t own = hearth__canon_in(c, 0)->dtype;
    int64_t dtype = hearth__canon_int(c, "dtype", own);
    struct hearth__draft cast = {
        .op = HEARTH_OP_CAST, .source = c->draft.source, .output_count = 1};
    int rc = hearth__canon_step(c, HEARTH_OP_SHAPE, 1, &x, -1, &numbers);
    if (rc == HEARTH_OK)
        rc = hearth__draft_set_int(c->ir, &c->draft, HEARTH_ATTR_TO, own);
    uint32_t shape = numbers;
    numbers = HEARTH_NO_VALUE;
    if (rc == HEARTH_OK)
        rc = hearth__canon_step_as(c, &c->draft, shape, &numbers);
    if (rc == HEARTH_OK)
        rc = hearth__canon_step(c, HEARTH_OP_LESS, 2,
                                (const uint32_t[]){numbers, x}, -1, &drawn);
    if (rc == HEARTH_OK)
        rc = hearth__draft_set_int(c->ir, &cast, HEARTH_ATTR_TO, dtype);
    c->emitted = true;
    return rc == HEARTH_OK ? hearth__canon_step_as(c, &cast, drawn, &y) : rc;
}
