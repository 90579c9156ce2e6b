/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spell_math.c: one element from the elements at its place, and products of
 * matrices.
 * A family of spell.h's table.
 */
#include "model/spell.h"

#define LATEST HEARTH__LATEST

static const struct hearth__spell_attr clip6[] = {FLOAT("min", KEY_NONE),
                                                  FLOAT("max", KEY_NONE), END};
static const struct hearth__spell_attr gemm[] = {
    FLOAT("alpha", GEMM_ALPHA), FLOAT("beta", GEMM_BETA),
    INT("transA", TRANS_A), INT("transB", TRANS_B), END};
static const struct hearth__spell_attr alpha[] = {FLOAT("alpha", ALPHA), END};
static const struct hearth__spell_attr alpha_beta[] = {
    FLOAT("alpha", ALPHA), FLOAT("beta", BETA), END};
static const struct hearth__spell_attr gelu[] = {STRING("approximate", MODE),
                                                 END};
static const struct hearth__spell_attr selu[] = {FLOAT("alpha", ALPHA),
                                                 FLOAT("gamma", BETA), END};
static const struct hearth__spell_attr shrink[] = {FLOAT("lambd", ALPHA),
                                                   FLOAT("bias", BETA), END};
static const struct hearth__spell_attr is_inf[] = {
    INT("detect_negative", DETECT_NEGATIVE),
    INT("detect_positive", DETECT_POSITIVE), END};
static const struct hearth__spell_attr mod[] = {INT("fmod", FMOD), END};
static const struct hearth__spell_attr bit_shift[] = {
    STRING("direction", DIRECTION), END};

/* clang-format off */
static const struct hearth__spelling rows[] = {
    {"Relu", 7, LATEST, 1, 1, HEARTH_OP_RELU, NULL, NULL},
    {"Clip", 7, 10, 1, 1, HEARTH_OP_CLIP, clip6, hearth__fix_clip6},
    {"Clip", 11, LATEST, 3, 1, HEARTH_OP_CLIP, NULL, NULL},
    {"Sigmoid", 7, LATEST, 1, 1, HEARTH_OP_SIGMOID, NULL, NULL},
    {"Tanh", 7, LATEST, 1, 1, HEARTH_OP_TANH, NULL, NULL},
    {"Gemm", 7, LATEST, 3, 1, HEARTH_OP_GEMM, gemm, NULL},
    {"MatMul", 7, LATEST, 2, 1, HEARTH_OP_MATMUL, NULL, NULL},
    {"Add", 7, LATEST, 2, 1, HEARTH_OP_ADD, NULL, NULL},
    {"Sum", 8, LATEST, 255, 1, HEARTH_OP_ADD, NULL, hearth__fix_sum},
    {"Mean", 8, LATEST, 255, 1, HEARTH_OP_ADD, NULL, hearth__fix_mean},
    {"Sub", 7, LATEST, 2, 1, HEARTH_OP_SUB, NULL, NULL},
    {"Mul", 7, LATEST, 2, 1, HEARTH_OP_MUL, NULL, NULL},
    {"Div", 7, LATEST, 2, 1, HEARTH_OP_DIV, NULL, NULL},
    {"LeakyRelu", 7, LATEST, 1, 1, HEARTH_OP_LEAKY_RELU, alpha, NULL},
    {"HardSigmoid", 7, LATEST, 1, 1, HEARTH_OP_HARD_SIGMOID, alpha_beta, NULL},
    {"HardSwish", 14, LATEST, 1, 1, HEARTH_OP_HARD_SWISH, NULL, NULL},
    {"Erf", 9, LATEST, 1, 1, HEARTH_OP_ERF, NULL, NULL},
    {"Gelu", 20, LATEST, 1, 1, HEARTH_OP_GELU, gelu, NULL},
    {"Sqrt", 7, LATEST, 1, 1, HEARTH_OP_SQRT, NULL, NULL},
    {"Exp", 7, LATEST, 1, 1, HEARTH_OP_EXP, NULL, NULL},
    {"Log", 7, LATEST, 1, 1, HEARTH_OP_LOG, NULL, NULL},
    {"Neg", 7, LATEST, 1, 1, HEARTH_OP_NEG, NULL, NULL},
    {"Abs", 7, LATEST, 1, 1, HEARTH_OP_ABS, NULL, NULL},
    {"Reciprocal", 7, LATEST, 1, 1, HEARTH_OP_RECIPROCAL, NULL, NULL},
    {"Floor", 7, LATEST, 1, 1, HEARTH_OP_FLOOR, NULL, NULL},
    {"Ceil", 7, LATEST, 1, 1, HEARTH_OP_CEIL, NULL, NULL},
    {"Sin", 7, LATEST, 1, 1, HEARTH_OP_SIN, NULL, NULL},
    {"Cos", 7, LATEST, 1, 1, HEARTH_OP_COS, NULL, NULL},
    {"Tan", 7, LATEST, 1, 1, HEARTH_OP_TAN, NULL, NULL},
    {"Asin", 7, LATEST, 1, 1, HEARTH_OP_ASIN, NULL, NULL},
    {"Acos", 7, LATEST, 1, 1, HEARTH_OP_ACOS, NULL, NULL},
    {"Atan", 7, LATEST, 1, 1, HEARTH_OP_ATAN, NULL, NULL},
    {"Sinh", 9, LATEST, 1, 1, HEARTH_OP_SINH, NULL, NULL},
    {"Cosh", 9, LATEST, 1, 1, HEARTH_OP_COSH, NULL, NULL},
    {"Asinh", 9, LATEST, 1, 1, HEARTH_OP_ASINH, NULL, NULL},
    {"Acosh", 9, LATEST, 1, 1, HEARTH_OP_ACOSH, NULL, NULL},
    {"Atanh", 9, LATEST, 1, 1, HEARTH_OP_ATANH, NULL, NULL},
    {"Sign", 9, LATEST, 1, 1, HEARTH_OP_SIGN, NULL, NULL},
    {"Round", 11, LATEST, 1, 1, HEARTH_OP_ROUND, NULL, NULL},
    {"Softplus", 7, LATEST, 1, 1, HEARTH_OP_SOFTPLUS, NULL, NULL},
    {"Softsign", 7, LATEST, 1, 1, HEARTH_OP_SOFTSIGN, NULL, NULL},
    {"Mish", 18, LATEST, 1, 1, HEARTH_OP_MISH, NULL, NULL},
    {"IsNaN", 9, LATEST, 1, 1, HEARTH_OP_IS_NAN, NULL, NULL},
    {"Elu", 7, LATEST, 1, 1, HEARTH_OP_ELU, alpha, NULL},
    {"Celu", 12, LATEST, 1, 1, HEARTH_OP_CELU, alpha, NULL},
    {"Swish", 24, LATEST, 1, 1, HEARTH_OP_SWISH, alpha, NULL},
    {"ThresholdedRelu", 10, LATEST, 1, 1, HEARTH_OP_THRESHOLDED_RELU, alpha,
     NULL},
    {"Selu", 7, LATEST, 1, 1, HEARTH_OP_SELU, selu, NULL},
    {"Shrink", 9, LATEST, 1, 1, HEARTH_OP_SHRINK, shrink, NULL},
    {"IsInf", 10, LATEST, 1, 1, HEARTH_OP_IS_INF, is_inf, NULL},
    {"PRelu", 7, LATEST, 2, 1, HEARTH_OP_PRELU, NULL, NULL},
    {"SwiGLU", 28, LATEST, 2, 1, HEARTH_OP_SWISH, alpha, hearth__fix_swiglu},
    {"Mod", 10, LATEST, 2, 1, HEARTH_OP_MOD, mod, NULL},
    {"BitShift", 11, LATEST, 2, 1, HEARTH_OP_BIT_SHIFT, bit_shift, NULL},
    {"BitwiseAnd", 18, LATEST, 2, 1, HEARTH_OP_BITWISE_AND, NULL, NULL},
    {"BitwiseOr", 18, LATEST, 2, 1, HEARTH_OP_BITWISE_OR, NULL, NULL},
    {"BitwiseXor", 18, LATEST, 2, 1, HEARTH_OP_BITWISE_XOR, NULL, NULL},
    {"BitwiseNot", 18, LATEST, 1, 1, HEARTH_OP_BITWISE_NOT, NULL, NULL},
    {"Xor", 7, LATEST, 2, 1, HEARTH_OP_BITWISE_XOR, NULL, NULL},
    {"Not", 7, LATEST, 1, 1, HEARTH_OP_NOT, NULL, NULL},
    {"Pow", 7, LATEST, 2, 1, HEARTH_OP_POW, NULL, NULL},
    {"Min", 7, LATEST, 255, 1, HEARTH_OP_MIN, NULL, hearth__fix_sum},
    {"Max", 7, LATEST, 255, 1, HEARTH_OP_MAX, NULL, hearth__fix_sum},
    {"Equal", 7, LATEST, 2, 1, HEARTH_OP_EQUAL, NULL, NULL},
    {"Less", 7, LATEST, 2, 1, HEARTH_OP_LESS, NULL, NULL},
    {"Greater", 7, LATEST, 2, 1, HEARTH_OP_GREATER, NULL, NULL},
    {"LessOrEqual", 12, LATEST, 2, 1, HEARTH_OP_LESS_OR_EQUAL, NULL, NULL},
    {"GreaterOrEqual", 12, LATEST, 2, 1, HEARTH_OP_GREATER_OR_EQUAL, NULL,
     NULL},
    {"And", 7, LATEST, 2, 1, HEARTH_OP_AND, NULL, NULL},
    {"Or", 7, LATEST, 2, 1, HEARTH_OP_OR, NULL, NULL},
};
/* clang-format on */

const struct hearth__spell_family hearth__spell_math = {
    "", rows, sizeof rows / sizeof rows[0]};
