/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spell_reduce.c: operators that look along axes.
 * A family of spell.h's table.
 */
#include "model/spell.h"

#define LATEST HEARTH__LATEST

static const struct hearth__spell_attr axis[] = {INT("axis", AXIS), END};
static const struct hearth__spell_attr reduce1[] = {
    INTS("axes", KEY_NONE), INT("keepdims", KEEPDIMS), END};
static const struct hearth__spell_attr reduce18[] = {
    INT("keepdims", KEEPDIMS),
    INT("noop_with_empty_axes", NOOP_WITH_EMPTY_AXES), END};
static const struct hearth__spell_attr arg7[] = {
    INT("axis", AXIS), INT("keepdims", KEEPDIMS), END};
static const struct hearth__spell_attr arg12[] = {
    INT("axis", AXIS), INT("keepdims", KEEPDIMS),
    INT("select_last_index", SELECT_LAST_INDEX), END};
static const struct hearth__spell_attr running[] = {
    INT("exclusive", EXCLUSIVE), INT("reverse", REVERSE), END};
static const struct hearth__spell_attr top_k7[] = {INT("axis", AXIS),
                                                   INT("k", KEY_NONE), END};
static const struct hearth__spell_attr top_k10[] = {
    INT("axis", AXIS), INT("largest", LARGEST), SKIP("sorted"), END};
static const struct hearth__spell_attr loss[] = {
    STRING("reduction", REDUCTION), INT("ignore_index", IGNORE_INDEX), END};

/* clang-format off */
static const struct hearth__spelling rows[] = {
    {"Softmax", 7, 12, 1, 1, HEARTH_OP_SOFTMAX, axis, hearth__fix_softmax1},
    {"Softmax", 13, LATEST, 1, 1, HEARTH_OP_SOFTMAX, axis, hearth__fix_axis},
    {"ReduceMean", 7, 17, 1, 1, HEARTH_OP_REDUCE_MEAN, reduce1,
     hearth__fix_axes_attr},
    {"ReduceMean", 18, LATEST, 2, 1, HEARTH_OP_REDUCE_MEAN, reduce18,
     hearth__fix_axes},
    {"ReduceSum", 7, 12, 1, 1, HEARTH_OP_REDUCE_SUM, reduce1,
     hearth__fix_axes_attr},
    {"ReduceSum", 13, LATEST, 2, 1, HEARTH_OP_REDUCE_SUM, reduce18,
     hearth__fix_axes},
    {"LogSoftmax", 7, 12, 1, 1, HEARTH_OP_LOG_SOFTMAX, axis,
     hearth__fix_softmax1},
    {"LogSoftmax", 13, LATEST, 1, 1, HEARTH_OP_LOG_SOFTMAX, axis,
     hearth__fix_axis},
    {"Hardmax", 7, 12, 1, 1, HEARTH_OP_HARDMAX, axis, hearth__fix_softmax1},
    {"Hardmax", 13, LATEST, 1, 1, HEARTH_OP_HARDMAX, axis, hearth__fix_axis},
    {"ReduceL1", 7, 17, 1, 1, HEARTH_OP_REDUCE_L1, reduce1,
     hearth__fix_axes_attr},
    {"ReduceL1", 18, LATEST, 2, 1, HEARTH_OP_REDUCE_L1, reduce18,
     hearth__fix_axes},
    {"ReduceL2", 7, 17, 1, 1, HEARTH_OP_REDUCE_L2, reduce1,
     hearth__fix_axes_attr},
    {"ReduceL2", 18, LATEST, 2, 1, HEARTH_OP_REDUCE_L2, reduce18,
     hearth__fix_axes},
    {"ReduceSumSquare", 7, 17, 1, 1, HEARTH_OP_REDUCE_SUM_SQUARE, reduce1,
     hearth__fix_axes_attr},
    {"ReduceSumSquare", 18, LATEST, 2, 1, HEARTH_OP_REDUCE_SUM_SQUARE, reduce18,
     hearth__fix_axes},
    {"ReduceLogSum", 7, 17, 1, 1, HEARTH_OP_REDUCE_LOG_SUM, reduce1,
     hearth__fix_axes_attr},
    {"ReduceLogSum", 18, LATEST, 2, 1, HEARTH_OP_REDUCE_LOG_SUM, reduce18,
     hearth__fix_axes},
    {"ReduceLogSumExp", 7, 17, 1, 1, HEARTH_OP_REDUCE_LOG_SUM_EXP, reduce1,
     hearth__fix_axes_attr},
    {"ReduceLogSumExp", 18, LATEST, 2, 1, HEARTH_OP_REDUCE_LOG_SUM_EXP,
     reduce18, hearth__fix_axes},
    {"ReduceProd", 7, 17, 1, 1, HEARTH_OP_REDUCE_PROD, reduce1,
     hearth__fix_axes_attr},
    {"ReduceProd", 18, LATEST, 2, 1, HEARTH_OP_REDUCE_PROD, reduce18,
     hearth__fix_axes},
    {"ReduceMax", 7, 17, 1, 1, HEARTH_OP_REDUCE_MAX, reduce1,
     hearth__fix_axes_attr},
    {"ReduceMax", 18, LATEST, 2, 1, HEARTH_OP_REDUCE_MAX, reduce18,
     hearth__fix_axes},
    {"ReduceMin", 7, 17, 1, 1, HEARTH_OP_REDUCE_MIN, reduce1,
     hearth__fix_axes_attr},
    {"ReduceMin", 18, LATEST, 2, 1, HEARTH_OP_REDUCE_MIN, reduce18,
     hearth__fix_axes},
    {"ArgMax", 7, 11, 1, 1, HEARTH_OP_ARG_MAX, arg7, hearth__fix_axis},
    {"ArgMax", 12, LATEST, 1, 1, HEARTH_OP_ARG_MAX, arg12, hearth__fix_axis},
    {"ArgMin", 7, 11, 1, 1, HEARTH_OP_ARG_MIN, arg7, hearth__fix_axis},
    {"ArgMin", 12, LATEST, 1, 1, HEARTH_OP_ARG_MIN, arg12, hearth__fix_axis},
    {"CumSum", 11, LATEST, 2, 1, HEARTH_OP_CUM_SUM, running, NULL},
    {"CumProd", 26, LATEST, 2, 1, HEARTH_OP_CUM_PROD, running, NULL},
    {"TopK", 7, 9, 1, 2, HEARTH_OP_TOP_K, top_k7, hearth__fix_top_k7},
    {"TopK", 10, LATEST, 2, 2, HEARTH_OP_TOP_K, top_k10, hearth__fix_axis},
    {"NegativeLogLikelihoodLoss", 12, LATEST, 3, 1,
     HEARTH_OP_NEGATIVE_LOG_LIKELIHOOD_LOSS, loss, NULL},
    {"SoftmaxCrossEntropyLoss", 12, LATEST, 3, 255,
     HEARTH_OP_NEGATIVE_LOG_LIKELIHOOD_LOSS, loss, hearth__fix_softmax_loss},
    {"Size", 7, LATEST, 1, 1, HEARTH_OP_REDUCE_PROD, NULL, hearth__fix_size},
};
/* clang-format on */

const struct hearth__spell_family hearth__spell_reduce = {
    "", rows, sizeof rows / sizeof rows[0]};
