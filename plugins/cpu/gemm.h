/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gemm.h: between gemm.c, winograd.c and what lowers to them: the matrix
 * product of ours, y = act(a * b + bias + z) of f32, with b packed at load.
 *
 * Rows of a and y may be plain, or pixels of a blocked picture: V (8, or 16
 * with AVX-512) numbers beside each other, then V others <block> further on. So
 * one kernel serves Gemm, MatMul, 1x1 convolutions and Winograd's products.
 */
#ifndef HEARTH_PLUGINS_CPU_GEMM_H
#define HEARTH_PLUGINS_CPU_GEMM_H

#include "cpu.h"

struct cpu_gemm {
    int64_t m, n, k;
    const float *a;         /* (row, k): a[row*a_row + k/V*a_block + k%V] */
    int64_t a_row, a_block; /* plain: a_block is V */
    const float *b;         /* packed */
    float *c;               /* (row, n): c[row*c_row + n/V*c_block + n%V] */
    int64_t c_row, c_block;
    const float *bias; /* [n] or NULL */
    const float *z;    /* as c lies, or NULL; may be c */
    enum hearth_activation act;
    float alpha, beta;
    /* NULL, or cpu_gemm_room bytes: there rows are brought in the order in
     * which they are read once for all threads, and not by each for itself. */
    float *room;
    bool filled; /* what fills the last V columns of c up is there, and becomes
                    zero (before <act>) */
};

/* Is there a fast kernel for this processor, and V its block? */
bool cpu_gemm_can(int block);
/* Bytes of a packed [k,n]. */
uint64_t cpu_gemm_packed_bytes(int64_t k, int64_t n, int block);
/* Packs <b>, whose element (k, n) is b[k*k_step + n*n_step]. */
void cpu_gemm_pack(const float *b, int64_t k_step, int64_t n_step, int64_t k,
                   int64_t n, int block, float *packed);
uint64_t cpu_gemm_room(int64_t m, int64_t k, int block);
/* On the team, or on the calling thread alone. */
void cpu_gemm_run(const struct cpu_gemm *g, int block);
void cpu_gemm_run_alone(const struct cpu_gemm *g, int block);

#endif
