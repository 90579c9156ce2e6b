/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spell_microsoft.c: com.microsoft's operators, which ONNX Runtime's optimiser
 * writes into the models that it saves. A family of spell.h's table.
 */
#include "model/spell.h"

#define LATEST HEARTH__LATEST

static const struct hearth__spell_attr alpha[] = {FLOAT("alpha", ALPHA), END};

static const struct hearth__spell_attr fused_conv[] = {
    STRING("auto_pad", AUTO_PAD),
    INTS("kernel_shape", KERNEL_SHAPE),
    INTS("pads", PADS),
    INTS("strides", STRIDES),
    INTS("dilations", DILATIONS),
    INT("group", GROUP),
    SKIP("activation"),
    SKIP("activation_params"),
    END};
static const struct hearth__spell_attr epsilon[] = {FLOAT("epsilon", KEY_NONE),
                                                    END};
static const struct hearth__spell_attr embed[] = {
    FLOAT("epsilon", KEY_NONE), INT("mask_index_type", KEY_NONE), END};
/* mask_filter_value stands for minus infinity. */
static const struct hearth__spell_attr attention[] = {
    INT("num_heads", KEY_NONE),
    INT("unidirectional", KEY_NONE),
    INTS("qkv_hidden_sizes", KEY_NONE),
    FLOAT("scale", KEY_NONE),
    SKIP("mask_filter_value"),
    INT("do_rotary", KEY_NONE),
    SKIP("rotary_embedding_dim"),
    INT("past_present_share_buffer", KEY_NONE),
    END};
/* accuracy_level is how exact it must at least be. */
static const struct hearth__spell_attr nbits[] = {
    INT("N", N),
    INT("K", K),
    INT("bits", BITS),
    INT("block_size", BLOCK_SIZE),
    SKIP("accuracy_level"),
    INT("weight_prepacked", KEY_NONE),
    END};

/* clang-format off */
static const struct hearth__spelling rows[] = {
    {"Gelu", 1, LATEST, 1, 1, HEARTH_OP_GELU, NULL, NULL},
    {"FastGelu", 1, LATEST, 2, 1, HEARTH_OP_GELU, NULL, hearth__fix_bias_gelu},
    {"BiasGelu", 1, LATEST, 2, 1, HEARTH_OP_GELU, NULL, hearth__fix_bias_gelu},
    {"QuickGelu", 1, LATEST, 1, 1, HEARTH_OP_SWISH, alpha,
     hearth__fix_quick_gelu},
    {"FusedConv", 1, LATEST, 4, 1, HEARTH_OP_CONV, fused_conv,
     hearth__fix_fused_conv},
    {"SkipLayerNormalization", 1, LATEST, 5, 255,
     HEARTH_OP_LAYER_NORMALIZATION, epsilon, hearth__fix_skip_layernorm},
    {"SkipSimplifiedLayerNormalization", 1, LATEST, 4, 255,
     HEARTH_OP_RMS_NORMALIZATION, epsilon, hearth__fix_skip_layernorm},
    {"EmbedLayerNormalization", 1, LATEST, 9, 255,
     HEARTH_OP_LAYER_NORMALIZATION, embed, hearth__fix_embed_layernorm},
    {"Attention", 1, LATEST, 7, 255, HEARTH_OP_ATTENTION, attention,
     hearth__fix_ms_attention},
    {"MultiHeadAttention", 1, LATEST, 10, 255, HEARTH_OP_ATTENTION, attention,
     hearth__fix_multi_head_attention},
    {"MatMulNBits", 1, LATEST, 6, 1, HEARTH_OP_MATMUL_NBITS, nbits,
     hearth__fix_matmul_nbits},
};
/* clang-format on */

const struct hearth__spell_family hearth__spell_microsoft = {
    "com.microsoft", rows, sizeof rows / sizeof rows[0]};
