/* SPDX-License-Identifier: Apache-2.0 */
/*
 * half.c: f16 and bf16 to and from f32, round to nearest even, infinities and
 * NaN kept (a NaN's payload is cut, and stays a NaN). Integer arithmetic only,
 * so the result depends on no compiler flag and no instruction set.
 */
#include <string.h>

#include "ops/ops.h"

static uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

float hearth_f16_to_f32(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;
    uint32_t exponent = (bits >> 10) & 0x1fu;
    uint32_t mantissa = bits & 0x3ffu;
    if (exponent == 0x1f)
        return float_of(sign | 0x7f800000u | mantissa << 13);
    if (exponent != 0)
        return float_of(sign | (exponent + 112) << 23 | mantissa << 13);
    /* Zero or subnormal: mantissa * 2^-24, exact in f32. */
    float f = (float)mantissa * 0x1p-24f;
    return float_of(sign | bits_of(f));
}

uint16_t hearth_f32_to_f16(float value)
{
    uint32_t u = bits_of(value);
    uint16_t sign = (uint16_t)(u >> 16 & 0x8000u);
    u &= 0x7fffffffu;
    if (u > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | (u >> 13 & 0x3ffu));
    if (u >= 0x47800000u) /* 65536 and above; 65520.. rounds up below */
        return (uint16_t)(sign | 0x7c00u);
    if (u >= 0x38800000u) { /* normal in f16 */
        u -= 112u << 23;
        u += 0xfffu + (u >> 13 & 1u);
        return (uint16_t)(sign | u >> 13);
    }
    if (u < 0x33000000u) /* below half of the least subnormal */
        return sign;
    uint32_t shift = 126u - (u >> 23);
    uint32_t mantissa = (u & 0x7fffffu) | 0x800000u;
    uint32_t half = 1u << (shift - 1);
    uint32_t rest = mantissa & ((1u << shift) - 1);
    uint32_t m = mantissa >> shift;
    m += rest > half || (rest == half && (m & 1u));
    return (uint16_t)(sign | m);
}

float hearth_bf16_to_f32(uint16_t bits)
{
    return float_of((uint32_t)bits << 16);
}

uint16_t hearth_f32_to_bf16(float value)
{
    uint32_t u = bits_of(value);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(u >> 16 | 0x40u);
    u += 0x7fffu + (u >> 16 & 1u);
    return (uint16_t)(u >> 16);
}
