/* SPDX-License-Identifier: Apache-2.0 */
/*
 * activate.c: activate_kernel.h for each instruction set, and which one this
 * processor has. Written out, because the compiler's own vectors are of 256
 * bits where 512 are nearly twice as fast, and its divisions are divisions.
 */
#include "activate.h"

#include <string.h>

#define PASTE(a, b) a##b
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#define HAVE_KERNELS 1
#pragma GCC push_options
#pragma GCC optimize("O3")
#pragma GCC target("arch=x86-64-v3")
#define NAME(x) PASTE(x, _avx2)
#define V 8
#include "activate_kernel.h"
#undef NAME
#undef V
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC optimize("O3")
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#define NAME(x) PASTE(x, _avx512)
#define V 16
#include "activate_kernel.h"
#undef NAME
#undef V
#pragma GCC pop_options
#endif

cpu_activate_fn cpu_activate_of(int block)
{
#ifdef HAVE_KERNELS
    return block == 16 ? activate_avx512 : activate_avx2;
#else
    (void)block;
    return NULL;
#endif
}

cpu_softmax_fn cpu_softmax_of(int block)
{
#ifdef HAVE_KERNELS
    return block == 16 ? softmax_avx512 : softmax_avx2;
#else
    (void)block;
    return NULL;
#endif
}

int cpu_widest(void)
{
#ifdef HAVE_KERNELS
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return 16;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return 8;
#endif
    return 0;
}
