/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spell_net.c: layers of networks beyond spell_nn.c's: transposed convolutions,
 * more normalisations and pools, quantised operators.
 * A family of spell.h's table.
 */
#include "model/spell.h"

#define LATEST HEARTH__LATEST

#define WINDOW                                                                 \
    STRING("auto_pad", AUTO_PAD), INTS("kernel_shape", KERNEL_SHAPE),          \
        INTS("pads", PADS), INTS("strides", STRIDES)

static const struct hearth__spell_attr conv[] = {
    WINDOW, INTS("dilations", DILATIONS), INT("group", GROUP), END};
static const struct hearth__spell_attr conv_transpose[] = {
    WINDOW,
    INTS("dilations", DILATIONS),
    INT("group", GROUP),
    INTS("output_padding", OUTPUT_PADDING),
    INTS("output_shape", OUTPUT_SHAPE),
    END};
static const struct hearth__spell_attr epsilon[] = {FLOAT("epsilon", EPSILON),
                                                    END};
static const struct hearth__spell_attr groupnorm[] = {
    FLOAT("epsilon", EPSILON), INT("num_groups", NUM_GROUPS),
    SKIP("stash_type"), END};
static const struct hearth__spell_attr rmsnorm[] = {
    FLOAT("epsilon", EPSILON), INT("axis", AXIS), SKIP("stash_type"), END};
static const struct hearth__spell_attr mvn[] = {INTS("axes", KEY_NONE), END};
static const struct hearth__spell_attr lpnorm[] = {INT("axis", AXIS),
                                                   INT("p", P), END};
static const struct hearth__spell_attr global_lp[] = {INT("p", P), END};
static const struct hearth__spell_attr lp_pool[] = {
    WINDOW, INTS("dilations", DILATIONS), INT("ceil_mode", CEIL_MODE),
    INT("p", P), END};
/* saturate is of 8-bit floats, which there are none of. */
static const struct hearth__spell_attr quantize[] = {
    INT("axis", AXIS),       INT("block_size", BLOCK_SIZE),
    INT("output_dtype", TO), INT("precision", KEY_NONE),
    SKIP("saturate"),        END};

/* The lists are left to the fix. */
#define RECURRENT                                                              \
    SKIP("activations"), SKIP("activation_alpha"), SKIP("activation_beta"),    \
        FLOAT("clip", CELL_CLIP), STRING("direction", DIRECTION),              \
        INT("hidden_size", HIDDEN_SIZE), INT("layout", LAYOUT)
static const struct hearth__spell_attr rnn[] = {RECURRENT, END};
static const struct hearth__spell_attr gru[] = {
    RECURRENT, INT("linear_before_reset", LINEAR_BEFORE_RESET), END};
static const struct hearth__spell_attr lstm[] = {
    RECURRENT, INT("input_forget", INPUT_FORGET), END};

/* Softmax is in f64, whatever softmax_precision says. */
static const struct hearth__spell_attr attention[] = {
    INT("q_num_heads", Q_HEADS),
    INT("kv_num_heads", KV_HEADS),
    FLOAT("scale", SCALE),
    FLOAT("softcap", SOFTCAP),
    INT("is_causal", IS_CAUSAL),
    INT("qk_matmul_output_mode", PRODUCT_MODE),
    INT("left_window_size", LEFT_WINDOW),
    INT("right_window_size", RIGHT_WINDOW),
    SKIP("softmax_precision"),
    END};
static const struct hearth__spell_attr rotary[] = {
    INT("num_heads", Q_HEADS), INT("rotary_embedding_dim", ROTARY_DIM),
    INT("interleaved", INTERLEAVED), END};

static const struct hearth__spell_attr unpool[] = {
    INTS("kernel_shape", KERNEL_SHAPE), INTS("pads", PADS),
    INTS("strides", STRIDES), END};
static const struct hearth__spell_attr grid[] = {
    STRING("mode", MODE), STRING("padding_mode", PADDING),
    INT("align_corners", ALIGN_CORNERS), END};
static const struct hearth__spell_attr affine[] = {
    INT("align_corners", ALIGN_CORNERS), END};
static const struct hearth__spell_attr roi[] = {
    STRING("mode", MODE),
    STRING("coordinate_transformation_mode", COORDINATE),
    INT("output_height", OUTPUT_HEIGHT),
    INT("output_width", OUTPUT_WIDTH),
    INT("sampling_ratio", SAMPLING_RATIO),
    FLOAT("spatial_scale", SPATIAL_SCALE),
    END};
static const struct hearth__spell_attr deform[] = {
    INTS("kernel_shape", KERNEL_SHAPE),
    INTS("pads", PADS),
    INTS("strides", STRIDES),
    INTS("dilations", DILATIONS),
    INT("group", GROUP),
    INT("offset_group", OFFSET_GROUP),
    END};
static const struct hearth__spell_attr einsum[] = {STRING("equation", EQUATION),
                                                   END};
static const struct hearth__spell_attr dft17[] = {
    INT("axis", AXIS), INT("inverse", INVERSE), INT("onesided", ONESIDED), END};
static const struct hearth__spell_attr dft20[] = {
    INT("inverse", INVERSE), INT("onesided", ONESIDED), END};
static const struct hearth__spell_attr stft[] = {INT("onesided", ONESIDED),
                                                 END};
static const struct hearth__spell_attr col2im[] = {INTS("strides", STRIDES),
                                                   INTS("dilations", DILATIONS),
                                                   INTS("pads", PADS), END};

/* chunk_size is how, not what. */
static const struct hearth__spell_attr linear[] = {
    INT("q_num_heads", Q_HEADS), INT("kv_num_heads", KV_HEADS),
    FLOAT("scale", SCALE),       STRING("update_rule", UPDATE_RULE),
    SKIP("chunk_size"),          END};
static const struct hearth__spell_attr causal[] = {STRING("activation", MODE),
                                                   END};

/* clang-format off */
static const struct hearth__spelling rows[] = {
    {"ConvTranspose", 7, LATEST, 3, 1, HEARTH_OP_CONV_TRANSPOSE,
     conv_transpose, NULL},
    {"InstanceNormalization", 7, LATEST, 3, 1, HEARTH_OP_GROUP_NORMALIZATION,
     epsilon, NULL},
    {"GroupNormalization", 18, LATEST, 3, 1, HEARTH_OP_GROUP_NORMALIZATION,
     groupnorm, hearth__fix_groupnorm},
    {"RMSNormalization", 23, LATEST, 2, 1, HEARTH_OP_RMS_NORMALIZATION,
     rmsnorm, NULL},
    /* ONNX Runtime's, in ONNX's domain; it has a mean for training. */
    {"SimplifiedLayerNormalization", 7, LATEST, 2, 2,
     HEARTH_OP_RMS_NORMALIZATION, rmsnorm, NULL},
    {"MeanVarianceNormalization", 9, LATEST, 1, 1, HEARTH_OP_DIV, mvn,
     hearth__fix_mvn},
    {"LpNormalization", 7, LATEST, 1, 1, HEARTH_OP_LP_NORMALIZATION, lpnorm,
     NULL},
    {"GlobalMaxPool", 7, LATEST, 1, 1, HEARTH_OP_GLOBAL_MAX_POOL, NULL, NULL},
    {"GlobalLpPool", 7, LATEST, 1, 1, HEARTH_OP_GLOBAL_LP_POOL, global_lp,
     NULL},
    {"LpPool", 7, LATEST, 1, 1, HEARTH_OP_LP_POOL, lp_pool,
     hearth__fix_window},
    {"QuantizeLinear", 10, LATEST, 3, 1, HEARTH_OP_QUANTIZE_LINEAR, quantize,
     hearth__fix_quantize},
    {"DequantizeLinear", 10, LATEST, 3, 1, HEARTH_OP_DEQUANTIZE_LINEAR,
     quantize, hearth__fix_quantize},
    {"MatMulInteger", 10, LATEST, 4, 1, HEARTH_OP_MATMUL_INTEGER, NULL, NULL},
    {"ConvInteger", 10, LATEST, 4, 1, HEARTH_OP_CONV_INTEGER, conv,
     hearth__fix_window},
    {"QLinearMatMul", 10, LATEST, 8, 1, HEARTH_OP_QLINEAR_MATMUL, NULL, NULL},
    {"QLinearConv", 10, LATEST, 9, 1, HEARTH_OP_QLINEAR_CONV, conv,
     hearth__fix_window},
    {"RNN", 7, LATEST, 6, 2, HEARTH_OP_RNN, rnn, hearth__fix_recurrent},
    {"GRU", 7, LATEST, 6, 2, HEARTH_OP_GRU, gru, hearth__fix_recurrent},
    {"LSTM", 7, LATEST, 8, 3, HEARTH_OP_LSTM, lstm, hearth__fix_recurrent},
    {"DynamicQuantizeLinear", 11, LATEST, 1, 3,
     HEARTH_OP_DYNAMIC_QUANTIZE_LINEAR, NULL, NULL},
    {"Attention", 23, LATEST, 7, 4, HEARTH_OP_ATTENTION, attention, NULL},
    {"LinearAttention", 27, LATEST, 6, 2, HEARTH_OP_LINEAR_ATTENTION, linear,
     NULL},
    {"CausalConvWithState", 27, LATEST, 4, 2, HEARTH_OP_CAUSAL_CONV, causal,
     NULL},
    {"MaxUnpool", 9, LATEST, 3, 1, HEARTH_OP_MAX_UNPOOL, unpool, NULL},
    {"GridSample", 16, LATEST, 2, 1, HEARTH_OP_GRID_SAMPLE, grid, NULL},
    {"AffineGrid", 20, LATEST, 2, 1, HEARTH_OP_AFFINE_GRID, affine, NULL},
    {"RoiAlign", 10, 15, 3, 1, HEARTH_OP_ROI_ALIGN, roi,
     hearth__fix_roi_align},
    {"RoiAlign", 16, LATEST, 3, 1, HEARTH_OP_ROI_ALIGN, roi, NULL},
    {"DeformConv", 19, LATEST, 5, 1, HEARTH_OP_DEFORM_CONV, deform, NULL},
    {"Det", 11, LATEST, 1, 1, HEARTH_OP_DET, NULL, NULL},
    {"Einsum", 12, LATEST, 255, 1, HEARTH_OP_EINSUM, einsum,
     hearth__fix_einsum},
    {"DFT", 17, 19, 2, 1, HEARTH_OP_DFT, dft17, hearth__fix_dft17},
    {"DFT", 20, LATEST, 3, 1, HEARTH_OP_DFT, dft20, NULL},
    {"STFT", 17, LATEST, 4, 1, HEARTH_OP_STFT, stft, NULL},
    {"Col2Im", 18, LATEST, 3, 1, HEARTH_OP_COL2IM, col2im, NULL},
    {"RotaryEmbedding", 23, LATEST, 4, 1, HEARTH_OP_ROTARY_EMBEDDING, rotary,
     NULL},
};
/* clang-format on */

const struct hearth__spell_family hearth__spell_net = {
    "", rows, sizeof rows / sizeof rows[0]};
