/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canon_along.c: operators along axes whose spelling changed: TopK, and Size,
 * which is the product of Shape.
 */
#include "model/canon.h"

/* k became an input. */
int hearth__fix_top_k7(struct hearth__canon *c)
{
    const struct hearth__onnx_attr *k = hearth__canon_attr(c, "k");
    if (k == NULL)
        return hearth_fail(c->ir->err, HEARTH_EMODEL,
                           "k is missing; export the model again");
    int rc = hearth__canon_set_input(
        c, 1, hearth__ir_const(c->ir, HEARTH_I64, 1, 1, &k->i));
    return rc == HEARTH_OK ? hearth__fix_axis(c) : rc;
}

int hearth__fix_size(struct hearth__canon *c)
{
    uint32_t shape = HEARTH_NO_VALUE;
    int rc =
        hearth__canon_step(c, HEARTH_OP_SHAPE, 1, c->draft.inputs, -1, &shape);
    if (rc == HEARTH_OK)
        rc = hearth__draft_set_int(c->ir, &c->draft, HEARTH_ATTR_KEEPDIMS, 0);
    c->emitted = true;
    return rc == HEARTH_OK ? hearth__canon_step_as(c, &c->draft, shape,
                                                   &c->draft.outputs[0])
                           : rc;
}
