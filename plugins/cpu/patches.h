/* SPDX-License-Identifier: Apache-2.0 */
/*
 * patches.h: a convolution of a plain picture of few channels as a matrix
 * product over copies of what its windows see: for first layers whose windows
 * oneDNN has no kernel for. See patches.c.
 */
#ifndef HEARTH_PLUGINS_CPU_PATCHES_H
#define HEARTH_PLUGINS_CPU_PATCHES_H

#include "cpu.h"

/* Is it one that can be done so? Then its weights are packed as a Gemm's. */
bool cpu_patches_can(const struct cpu_conv *conv);
/* Numbers that a window sees. */
int64_t cpu_patches_depth(const struct cpu_conv *conv);
uint64_t cpu_patches_scratch(const struct cpu_conv *conv, int threads);
/* <src> plain, <dst> blocked, and added to where conv->sum; <bias> may be NULL.
 * On the team. */
void cpu_patches_run(const struct cpu_conv *conv, const float *src,
                     const float *weights, const float *bias, float *dst,
                     void *scratch);

#endif
