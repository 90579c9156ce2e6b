/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spell_move.c: operators that move, cut, join or make elements.
 * A family of spell.h's table.
 */
#include "model/spell.h"

#define LATEST HEARTH__LATEST

static const struct hearth__spell_attr axis[] = {INT("axis", AXIS), END};
static const struct hearth__spell_attr reshape[] = {
    INT("allowzero", ALLOW_ZERO), END};
static const struct hearth__spell_attr transpose[] = {INTS("perm", PERM), END};
static const struct hearth__spell_attr axes[] = {INTS("axes", KEY_NONE), END};
static const struct hearth__spell_attr shape[] = {INT("start", START),
                                                  INT("end", END), END};
static const struct hearth__spell_attr slice1[] = {INTS("starts", KEY_NONE),
                                                   INTS("ends", KEY_NONE),
                                                   INTS("axes", KEY_NONE), END};
static const struct hearth__spell_attr cast[] = {
    INT("to", TO), SKIP("saturate"), SKIP("round_mode"), END};
static const struct hearth__spell_attr cast_like[] = {SKIP("saturate"),
                                                      SKIP("round_mode"), END};
/* Several types share them: the fix checks. */
static const struct hearth__spell_attr constant[] = {
    SKIP("value"),         SKIP("value_int"),    SKIP("value_ints"),
    SKIP("value_float"),   SKIP("value_floats"), SKIP("value_string"),
    SKIP("value_strings"), SKIP("sparse_value"), END};
static const struct hearth__spell_attr of_shape[] = {SKIP("value"), END};
static const struct hearth__spell_attr pad2[] = {STRING("mode", MODE),
                                                 INTS("pads", KEY_NONE),
                                                 FLOAT("value", KEY_NONE), END};
static const struct hearth__spell_attr pad[] = {STRING("mode", MODE), END};
static const struct hearth__spell_attr split[] = {
    INT("axis", KEY_NONE), INTS("split", KEY_NONE),
    INT("num_outputs", KEY_NONE), END};
static const struct hearth__spell_attr gather_nd[] = {
    INT("batch_dims", BATCH_DIMS), END};
static const struct hearth__spell_attr scatter_elements[] = {
    INT("axis", AXIS), STRING("reduction", REDUCTION), END};
static const struct hearth__spell_attr scatter_nd[] = {
    STRING("reduction", REDUCTION), END};
static const struct hearth__spell_attr trilu[] = {INT("upper", UPPER), END};
static const struct hearth__spell_attr eye_like[] = {INT("dtype", TO),
                                                     INT("k", K), END};
static const struct hearth__spell_attr uniform[] = {
    INT("dtype", TO),    FLOAT("low", ALPHA),     FLOAT("high", BETA),
    FLOAT("seed", SEED), INTS("shape", KEY_NONE), END};
static const struct hearth__spell_attr normal[] = {
    INT("dtype", TO),    FLOAT("mean", ALPHA),    FLOAT("scale", BETA),
    FLOAT("seed", SEED), INTS("shape", KEY_NONE), END};
static const struct hearth__spell_attr uniform_like[] = {
    INT("dtype", TO), FLOAT("low", ALPHA), FLOAT("high", BETA),
    FLOAT("seed", SEED), END};
static const struct hearth__spell_attr normal_like[] = {
    INT("dtype", TO), FLOAT("mean", ALPHA), FLOAT("scale", BETA),
    FLOAT("seed", SEED), END};
static const struct hearth__spell_attr bernoulli[] = {INT("dtype", KEY_NONE),
                                                      FLOAT("seed", SEED), END};
static const struct hearth__spell_attr multinomial[] = {
    INT("dtype", TO), INT("sample_size", SAMPLE_SIZE), FLOAT("seed", SEED),
    END};
static const struct hearth__spell_attr bit_cast[] = {INT("to", TO), END};
static const struct hearth__spell_attr reverse_sequence[] = {
    INT("batch_axis", BATCH_AXIS), INT("time_axis", TIME_AXIS), END};
static const struct hearth__spell_attr blocks7[] = {
    INT("blocksize", BLOCK_SIZE), END};
static const struct hearth__spell_attr blocks11[] = {
    INT("blocksize", BLOCK_SIZE), STRING("mode", MODE), END};
static const struct hearth__spell_attr center[] = {INTS("axes", AXES), END};
static const struct hearth__spell_attr tensor_scatter[] = {
    INT("axis", AXIS), STRING("mode", MODE), END};
static const struct hearth__spell_attr window[] = {
    INT("periodic", PERIODIC), INT("output_datatype", TO), END};
static const struct hearth__spell_attr mel_weight_matrix[] = {
    INT("output_datatype", TO), END};

/* clang-format off */
static const struct hearth__spelling rows[] = {
    {"Concat", 7, LATEST, 255, 1, HEARTH_OP_CONCAT, axis, hearth__fix_axis},
    {"Reshape", 7, LATEST, 2, 1, HEARTH_OP_RESHAPE, reshape,
     hearth__fix_reshape},
    {"Flatten", 7, LATEST, 1, 1, HEARTH_OP_FLATTEN, axis, hearth__fix_axis},
    {"Transpose", 7, LATEST, 1, 1, HEARTH_OP_TRANSPOSE, transpose,
     hearth__fix_transpose},
    {"Squeeze", 7, 12, 1, 1, HEARTH_OP_SQUEEZE, axes, hearth__fix_axes_attr},
    {"Squeeze", 13, LATEST, 2, 1, HEARTH_OP_SQUEEZE, NULL, hearth__fix_axes},
    {"Unsqueeze", 7, 12, 1, 1, HEARTH_OP_UNSQUEEZE, axes,
     hearth__fix_axes_attr},
    {"Unsqueeze", 13, LATEST, 2, 1, HEARTH_OP_UNSQUEEZE, NULL,
     hearth__fix_axes},
    {"Shape", 7, LATEST, 1, 1, HEARTH_OP_SHAPE, shape, NULL},
    {"Gather", 7, LATEST, 2, 1, HEARTH_OP_GATHER, axis, hearth__fix_axis},
    {"GatherElements", 11, LATEST, 2, 1, HEARTH_OP_GATHER_ELEMENTS, axis,
     hearth__fix_axis},
    {"GatherND", 11, 11, 2, 1, HEARTH_OP_GATHER_ND, NULL, NULL},
    {"GatherND", 12, LATEST, 2, 1, HEARTH_OP_GATHER_ND, gather_nd, NULL},
    {"Scatter", 9, LATEST, 3, 1, HEARTH_OP_SCATTER_ELEMENTS, axis,
     hearth__fix_axis},
    {"ScatterElements", 11, 15, 3, 1, HEARTH_OP_SCATTER_ELEMENTS, axis,
     hearth__fix_axis},
    {"ScatterElements", 16, LATEST, 3, 1, HEARTH_OP_SCATTER_ELEMENTS,
     scatter_elements, hearth__fix_axis},
    {"ScatterND", 11, 15, 3, 1, HEARTH_OP_SCATTER_ND, NULL, NULL},
    {"ScatterND", 16, LATEST, 3, 1, HEARTH_OP_SCATTER_ND, scatter_nd, NULL},
    {"OneHot", 9, LATEST, 3, 1, HEARTH_OP_ONE_HOT, axis, NULL},
    {"Trilu", 14, LATEST, 2, 1, HEARTH_OP_TRILU, trilu, NULL},
    {"EyeLike", 9, LATEST, 1, 1, HEARTH_OP_EYE_LIKE, eye_like, NULL},
    {"RandomUniform", 7, LATEST, 0, 1, HEARTH_OP_RANDOM_UNIFORM, uniform,
     hearth__fix_random},
    {"RandomNormal", 7, LATEST, 0, 1, HEARTH_OP_RANDOM_NORMAL, normal,
     hearth__fix_random},
    {"RandomUniformLike", 7, LATEST, 1, 1, HEARTH_OP_RANDOM_UNIFORM,
     uniform_like, hearth__fix_random_like},
    {"RandomNormalLike", 7, LATEST, 1, 1, HEARTH_OP_RANDOM_NORMAL, normal_like,
     hearth__fix_random_like},
    {"Bernoulli", 15, LATEST, 1, 1, HEARTH_OP_RANDOM_UNIFORM, bernoulli,
     hearth__fix_bernoulli},
    {"Multinomial", 7, LATEST, 1, 1, HEARTH_OP_MULTINOMIAL, multinomial, NULL},
    {"BitCast", 26, LATEST, 1, 1, HEARTH_OP_BIT_CAST, bit_cast,
     hearth__fix_cast},
    {"ReverseSequence", 10, LATEST, 2, 1, HEARTH_OP_REVERSE_SEQUENCE,
     reverse_sequence, NULL},
    {"DepthToSpace", 7, 10, 1, 1, HEARTH_OP_DEPTH_TO_SPACE, blocks7, NULL},
    {"DepthToSpace", 11, LATEST, 1, 1, HEARTH_OP_DEPTH_TO_SPACE, blocks11,
     NULL},
    {"SpaceToDepth", 7, 27, 1, 1, HEARTH_OP_SPACE_TO_DEPTH, blocks7, NULL},
    {"SpaceToDepth", 28, LATEST, 1, 1, HEARTH_OP_SPACE_TO_DEPTH, blocks11,
     NULL},
    {"CenterCropPad", 18, LATEST, 2, 1, HEARTH_OP_CENTER_CROP_PAD, center,
     NULL},
    {"TensorScatter", 24, LATEST, 3, 1, HEARTH_OP_TENSOR_SCATTER,
     tensor_scatter, NULL},
    {"HannWindow", 17, LATEST, 1, 1, HEARTH_OP_HANN_WINDOW, window, NULL},
    {"HammingWindow", 17, LATEST, 1, 1, HEARTH_OP_HAMMING_WINDOW, window, NULL},
    {"BlackmanWindow", 17, LATEST, 1, 1, HEARTH_OP_BLACKMAN_WINDOW, window,
     NULL},
    {"MelWeightMatrix", 17, LATEST, 5, 1, HEARTH_OP_MEL_WEIGHT_MATRIX,
     mel_weight_matrix, NULL},
    {"Slice", 7, 9, 1, 1, HEARTH_OP_SLICE, slice1, hearth__fix_slice1},
    {"Slice", 10, LATEST, 5, 1, HEARTH_OP_SLICE, NULL, hearth__fix_axes},
    {"Cast", 7, LATEST, 1, 1, HEARTH_OP_CAST, cast, hearth__fix_cast},
    {"CastLike", 15, LATEST, 2, 1, HEARTH_OP_CAST, cast_like,
     hearth__fix_cast_like},
    {"Constant", 7, LATEST, 0, 1, HEARTH_OP_NONE, constant,
     hearth__fix_constant},
    {"ConstantOfShape", 9, LATEST, 1, 1, HEARTH_OP_CONSTANT_OF_SHAPE, of_shape,
     hearth__fix_constant_of_shape},
    {"Identity", 7, LATEST, 1, 1, HEARTH_OP_IDENTITY, NULL, NULL},
    {"Pad", 7, 10, 1, 1, HEARTH_OP_PAD, pad2, hearth__fix_pad2},
    {"Pad", 11, LATEST, 4, 1, HEARTH_OP_PAD, pad, hearth__fix_axes},
    {"Where", 9, LATEST, 3, 1, HEARTH_OP_WHERE, NULL, NULL},
    {"Expand", 8, LATEST, 2, 1, HEARTH_OP_EXPAND, NULL, NULL},
    {"Tile", 7, LATEST, 2, 1, HEARTH_OP_TILE, NULL, NULL},
    {"Range", 11, LATEST, 3, 1, HEARTH_OP_RANGE, NULL, NULL},
    {"Split", 7, LATEST, 2, 255, HEARTH_OP_SLICE, split, hearth__fix_split},
};
/* clang-format on */

const struct hearth__spell_family hearth__spell_move = {
    "", rows, sizeof rows / sizeof rows[0]};
