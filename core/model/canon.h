/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canon.h: what canon.c (the table, attributes) and canon_fix.c (operators
 * whose spelling changed over the opsets) share. Private to these two.
 */
#ifndef HEARTH_MODEL_CANON_H
#define HEARTH_MODEL_CANON_H

#include "model/model_priv.h"

#define HEARTH__CANON_ATTRS 24 /* of one node; ONNX's most is 8 */
#define HEARTH__CANON_INTS 64  /* of one attribute that is a list */

struct hearth__canon {
    struct hearth__ir *ir;
    const struct hearth__ir_source *source;
    struct hearth__draft draft;
    struct hearth__onnx_attr attrs[HEARTH__CANON_ATTRS];
    uint32_t attr_count;
    bool emitted; /* a fix did it itself */
};

/* The attribute as the file has it, or NULL. Its type was checked. */
const struct hearth__onnx_attr *
hearth__canon_attr(const struct hearth__canon *c, const char *name);
int64_t hearth__canon_int(const struct hearth__canon *c, const char *name,
                          int64_t fallback);
/* A list; *count 0 when there is none. <ints> has HEARTH__CANON_INTS. */
int hearth__canon_ints(const struct hearth__canon *c, const char *name,
                       int64_t *ints, uint32_t *count);
/* What is known of input <k>; NULL when it is left out. */
const struct hearth_value_info *hearth__canon_in(const struct hearth__canon *c,
                                                 uint32_t k);
/* Puts <value> in as input <k>, with inputs left out before it. */
int hearth__canon_set_input(struct hearth__canon *c, uint32_t k,
                            uint32_t value);

/* The fixes: each turns the draft into its canonical form. */
int hearth__fix_window(struct hearth__canon *c);
int hearth__fix_batchnorm(struct hearth__canon *c);
int hearth__fix_clip6(struct hearth__canon *c);
int hearth__fix_softmax1(struct hearth__canon *c);
int hearth__fix_sum(struct hearth__canon *c);
int hearth__fix_axis(struct hearth__canon *c);
int hearth__fix_transpose(struct hearth__canon *c);
int hearth__fix_axes_attr(struct hearth__canon *c);
int hearth__fix_axes(struct hearth__canon *c);
int hearth__fix_slice1(struct hearth__canon *c);
int hearth__fix_pad2(struct hearth__canon *c);
int hearth__fix_cast(struct hearth__canon *c);
int hearth__fix_constant(struct hearth__canon *c);
int hearth__fix_constant_of_shape(struct hearth__canon *c);
int hearth__fix_dropout(struct hearth__canon *c);
int hearth__fix_reshape(struct hearth__canon *c);

#endif
