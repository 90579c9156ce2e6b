/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canon.h: what canon.c (the table, attributes), canon_*.c (the fixes, by
 * family) and spell.c share. Private to these.
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

/* A step on the way: <op> of <inputs>, with the attribute AXIS when <axis> is
 * not negative. *out HEARTH_NO_VALUE: the result is a new value. */
int hearth__canon_step(struct hearth__canon *c, uint32_t op,
                       uint32_t input_count, const uint32_t *inputs,
                       int64_t axis, uint32_t *out);

/* The same, of a node with one input and the attributes of <draft>. */
int hearth__canon_step_as(struct hearth__canon *c,
                          const struct hearth__draft *draft, uint32_t input,
                          uint32_t *out);
/* A scalar of the type of input 0, which is a floating one. */
int hearth__canon_float(struct hearth__canon *c, double number,
                        uint32_t *value);

/* The fixes: each turns the draft into its canonical form. */
int hearth__fix_if(struct hearth__canon *c);
int hearth__fix_loop(struct hearth__canon *c);
int hearth__fix_scan(struct hearth__canon *c);
int hearth__fix_scan8(struct hearth__canon *c);
int hearth__fix_window(struct hearth__canon *c);
int hearth__fix_batchnorm(struct hearth__canon *c);
int hearth__fix_clip6(struct hearth__canon *c);
int hearth__fix_softmax1(struct hearth__canon *c);
int hearth__fix_sum(struct hearth__canon *c);
int hearth__fix_mean(struct hearth__canon *c);
int hearth__fix_swiglu(struct hearth__canon *c);
int hearth__fix_bias_gelu(struct hearth__canon *c);
int hearth__fix_quick_gelu(struct hearth__canon *c);
int hearth__fix_cast_like(struct hearth__canon *c);
int hearth__fix_top_k7(struct hearth__canon *c);
int hearth__fix_size(struct hearth__canon *c);
int hearth__fix_split(struct hearth__canon *c);
int hearth__fix_resize(struct hearth__canon *c);
int hearth__fix_axis(struct hearth__canon *c);
int hearth__fix_transpose(struct hearth__canon *c);
int hearth__fix_axes_attr(struct hearth__canon *c);
int hearth__fix_axes(struct hearth__canon *c);
int hearth__fix_slice1(struct hearth__canon *c);
int hearth__fix_pad2(struct hearth__canon *c);
int hearth__fix_cast(struct hearth__canon *c);
int hearth__fix_constant(struct hearth__canon *c);
int hearth__fix_constant_of_shape(struct hearth__canon *c);
int hearth__fix_layernorm(struct hearth__canon *c);
int hearth__fix_dropout(struct hearth__canon *c);
int hearth__fix_softmax_loss(struct hearth__canon *c);
int hearth__fix_reshape(struct hearth__canon *c);

/* canon_random.c */
int hearth__fix_random(struct hearth__canon *c);
int hearth__fix_random_like(struct hearth__canon *c);
int hearth__fix_bernoulli(struct hearth__canon *c);

/* canon_net.c: layers of networks */
int hearth__fix_groupnorm(struct hearth__canon *c);
int hearth__fix_quantize(struct hearth__canon *c);
int hearth__fix_mvn(struct hearth__canon *c);
int hearth__fix_recurrent(struct hearth__canon *c);
int hearth__fix_matmul_nbits(struct hearth__canon *c);
int hearth__fix_roi_align(struct hearth__canon *c);
int hearth__fix_dft17(struct hearth__canon *c);
int hearth__fix_einsum(struct hearth__canon *c); /* canon_einsum.c */
/* Emits <draft> with these inputs; *out as of hearth__canon_step. The draft's
 * further outputs, if it counts any, are its own. */
int hearth__canon_draft(struct hearth__canon *c,
                        const struct hearth__draft *draft, uint32_t input_count,
                        const uint32_t *inputs, uint32_t *out);
/* Output <k> of the node of the file, if anybody uses it, or NO_VALUE. */
uint32_t hearth__canon_used(const struct hearth__canon *c, uint32_t k);
/* canon_microsoft.c, canon_attention.c: com.microsoft's layers */
int hearth__fix_fused_conv(struct hearth__canon *c);
int hearth__fix_skip_layernorm(struct hearth__canon *c);
int hearth__fix_embed_layernorm(struct hearth__canon *c);
int hearth__fix_ms_attention(struct hearth__canon *c);
int hearth__fix_multi_head_attention(struct hearth__canon *c);

#endif
