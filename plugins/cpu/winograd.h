/* SPDX-License-Identifier: Apache-2.0 */
/*
 * winograd.h: 3x3 convolutions of stride 1 on blocked pictures as Winograd's
 * F(4x4,3x3) or F(2x2,3x3): 4 or 2.25 times fewer multiplications. Errors stay
 * below 1e-5 of the largest value. See winograd.c.
 */
#ifndef HEARTH_PLUGINS_CPU_WINOGRAD_H
#define HEARTH_PLUGINS_CPU_WINOGRAD_H

#include "cpu.h"

/* Is it one that can be done so, and large enough to be worth a thought? */
bool cpu_winograd_can(const struct cpu_conv *conv);
/* About how long it takes with tiles of <size>, or, 0, without; in a unit of no
 * meaning. */
int64_t cpu_winograd_cost(const struct cpu_conv *conv, int size);
/* 4 or 2 where that is likely faster than the direct way, else 0: the same
 * answer for the same convolution always. */
int cpu_winograd_choose(const struct cpu_conv *conv);
/* Of the weights, transformed and packed. */
uint64_t cpu_winograd_bytes(const struct cpu_conv *conv, int size);
void cpu_winograd_pack(const struct cpu_conv *conv, int size, const float *src,
                       float *dst);
/* What a run needs beside its ends. */
uint64_t cpu_winograd_scratch(const struct cpu_conv *conv, int size,
                              int threads);
/* <bias> may be NULL; <dst> is added to where conv->sum. On the team. */
void cpu_winograd_run(const struct cpu_conv *conv, int size, int threads,
                      const float *src, const float *weights, const float *bias,
                      float *dst, void *scratch);

#endif
