/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spell_nn.c: layers of networks: convolutions, pools, normalisations,
 * resampling.
 * A family of spell.h's table.
 */
#include "model/spell.h"

#define LATEST HEARTH__LATEST

#define WINDOW                                                                 \
    STRING("auto_pad", AUTO_PAD), INTS("kernel_shape", KERNEL_SHAPE),          \
        INTS("pads", PADS), INTS("strides", STRIDES)

static const struct hearth__spell_attr conv[] = {
    WINDOW, INTS("dilations", DILATIONS), INT("group", GROUP), END};
static const struct hearth__spell_attr max_pool[] = {
    WINDOW, INTS("dilations", DILATIONS), INT("ceil_mode", CEIL_MODE),
    INT("storage_order", STORAGE_ORDER), END};
static const struct hearth__spell_attr average_pool[] = {
    WINDOW, INTS("dilations", DILATIONS), INT("ceil_mode", CEIL_MODE),
    INT("count_include_pad", COUNT_INCLUDE_PAD), END};
static const struct hearth__spell_attr batchnorm[] = {
    FLOAT("epsilon", EPSILON), SKIP("momentum"), INT("spatial", KEY_NONE),
    INT("training_mode", KEY_NONE), END};
static const struct hearth__spell_attr dropout[] = {SKIP("ratio"), SKIP("seed"),
                                                    END};
static const struct hearth__spell_attr layernorm[] = {
    INT("axis", AXIS), FLOAT("epsilon", EPSILON), SKIP("stash_type"), END};
static const struct hearth__spell_attr lrn[] = {
    FLOAT("alpha", ALPHA), FLOAT("beta", BETA), FLOAT("bias", BIAS),
    INT("size", SIZE), END};
static const struct hearth__spell_attr resize[] = {
    STRING("mode", MODE),
    STRING("coordinate_transformation_mode", COORDINATE),
    STRING("nearest_mode", NEAREST),
    FLOAT("cubic_coeff_a", ALPHA),
    INT("exclude_outside", EXCLUDE_OUTSIDE),
    FLOAT("extrapolation_value", EXTRAPOLATION),
    INT("antialias", ANTIALIAS),
    STRING("keep_aspect_ratio_policy", ASPECT),
    INTS("axes", AXES),
    END};

/* clang-format off */
static const struct hearth__spelling rows[] = {
    {"Conv", 7, LATEST, 3, 1, HEARTH_OP_CONV, conv, hearth__fix_window},
    {"BatchNormalization", 7, LATEST, 5, 5, HEARTH_OP_BATCH_NORMALIZATION,
     batchnorm, hearth__fix_batchnorm},
    {"MaxPool", 7, LATEST, 1, 2, HEARTH_OP_MAX_POOL, max_pool,
     hearth__fix_window},
    {"AveragePool", 7, LATEST, 1, 1, HEARTH_OP_AVERAGE_POOL, average_pool,
     hearth__fix_window},
    {"GlobalAveragePool", 7, LATEST, 1, 1, HEARTH_OP_GLOBAL_AVERAGE_POOL, NULL,
     NULL},
    {"Dropout", 7, 11, 1, 255, HEARTH_OP_IDENTITY, dropout,
     hearth__fix_dropout},
    {"Dropout", 12, LATEST, 3, 255, HEARTH_OP_IDENTITY, dropout,
     hearth__fix_dropout},
    {"LayerNormalization", 17, LATEST, 3, 255, HEARTH_OP_LAYER_NORMALIZATION,
     layernorm, hearth__fix_layernorm},
    {"LRN", 7, LATEST, 1, 1, HEARTH_OP_LRN, lrn, NULL},
    {"Resize", 10, 10, 2, 1, HEARTH_OP_RESIZE, resize, hearth__fix_resize},
    {"Resize", 11, LATEST, 4, 1, HEARTH_OP_RESIZE, resize, hearth__fix_resize},
    {"Upsample", 9, 9, 2, 1, HEARTH_OP_RESIZE, resize, hearth__fix_resize},
};
/* clang-format on */

const struct hearth__spell_family hearth__spell_nn = {
    "", rows, sizeof rows / sizeof rows[0]};
