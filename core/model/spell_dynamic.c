/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spell_dynamic.c: control flow, and operators whose sizes only data tell.
 * A family of spell.h's table.
 */
#include "model/spell.h"

#define LATEST HEARTH__LATEST

static const struct hearth__spell_attr axis[] = {INT("axis", AXIS), END};
static const struct hearth__spell_attr unique[] = {INT("axis", AXIS),
                                                   INT("sorted", SORTED), END};
static const struct hearth__spell_attr suppress[] = {
    INT("center_point_box", CENTER_POINT_BOX), END};

static const struct hearth__spell_attr branches[] = {SKIP("then_branch"),
                                                     SKIP("else_branch"), END};
static const struct hearth__spell_attr body[] = {SKIP("body"), END};
static const struct hearth__spell_attr scan8[] = {
    SKIP("body"), INT("num_scan_inputs", SCANS),
    INTS("directions", SCAN_IN_REVERSE), END};
static const struct hearth__spell_attr scan[] = {
    SKIP("body"),
    INT("num_scan_inputs", SCANS),
    INTS("scan_input_axes", SCAN_IN_AXES),
    INTS("scan_input_directions", SCAN_IN_REVERSE),
    INTS("scan_output_axes", SCAN_OUT_AXES),
    INTS("scan_output_directions", SCAN_OUT_REVERSE),
    END};

/* clang-format off */
static const struct hearth__spelling rows[] = {
    {"If", 7, LATEST, 255, 254, HEARTH_OP_IF, branches, hearth__fix_if},
    {"Loop", 7, LATEST, 255, 254, HEARTH_OP_LOOP, body, hearth__fix_loop},
    {"Scan", 8, 8, 255, 254, HEARTH_OP_SCAN, scan8, hearth__fix_scan8},
    {"Scan", 9, LATEST, 255, 254, HEARTH_OP_SCAN, scan, hearth__fix_scan},
    {"NonZero", 9, LATEST, 1, 1, HEARTH_OP_NON_ZERO, NULL, NULL},
    {"Compress", 9, LATEST, 2, 1, HEARTH_OP_COMPRESS, axis, NULL},
    {"Unique", 11, LATEST, 1, 4, HEARTH_OP_UNIQUE, unique, NULL},
    {"NonMaxSuppression", 10, LATEST, 5, 1, HEARTH_OP_NON_MAX_SUPPRESSION,
     suppress, NULL},
};
/* clang-format on */

const struct hearth__spell_family hearth__spell_dynamic = {
    "", rows, sizeof rows / sizeof rows[0]};
