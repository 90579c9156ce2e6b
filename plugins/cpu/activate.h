/* SPDX-License-Identifier: Apache-2.0 */
/* activate.h: activations and softmax of an instruction set's own. NaN stays
 * NaN; errors are below 1e-6 of results near 1. */
#ifndef HEARTH_PLUGINS_CPU_ACTIVATE_H
#define HEARTH_PLUGINS_CPU_ACTIVATE_H

#include "cpu.h"

/* <rows> rows of <n> numbers, <row> apart in both; <y> may be <x>. */
typedef void (*cpu_activate_fn)(const float *x, float *y, int64_t rows,
                                int64_t n, int64_t row,
                                enum hearth_activation act, float alpha,
                                float beta);
/* One row of x * scale + mask; <mask> may be NULL, <y> may be <x>. */
typedef void (*cpu_softmax_fn)(const float *x, float *y, int64_t n, float scale,
                               const float *mask);

/* For vectors of 8 numbers (AVX2) or 16 (AVX-512); NULL: not in this build. */
cpu_activate_fn cpu_activate_of(int block);
cpu_softmax_fn cpu_softmax_of(int block);
/* The wider of those that this processor has; 0: neither. */
int cpu_widest(void);

#endif
