/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval_bits.c: integers by their bits, remainders, PRelu: elementwise with
 * broadcasting, beside eval_elementwise.c's arithmetic.
 */
#include <math.h>
#include <string.h>

#include "ops/ops_impl.h"

#define CHUNK HEARTH__OPS_CHUNK
typedef union hearth__ops_num num_t;

struct arg {
    uint32_t op;
    enum hearth__ops_kind kind;
    enum hearth_dtype dtype;
    bool left;      /* BitShift */
    bool truncated; /* Mod: the sign is the dividend's, else the divisor's */
};

/* ---- Mod ---- */

static double mod_float(double a, double b, bool truncated)
{
    double r = fmod(a, b);
    if (truncated || isnan(r))
        return r;
    if (r == 0)
        return copysign(0, b);
    return (r < 0) != (b < 0) ? r + b : r;
}

static int64_t mod_signed(int64_t a, int64_t b, bool truncated)
{
    int64_t r = b == -1 ? 0 : a % b; /* INT64_MIN % -1 traps */
    return !truncated && r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static int mod_chunk(num_t *a, const num_t *b, int64_t n, const struct arg *arg,
                     struct hearth_error *err)
{
    for (int64_t k = 0; k < n; k++) {
        if (arg->kind == HEARTH__OPS_FLOAT)
            a[k].f = mod_float(a[k].f, b[k].f, arg->truncated);
        else if (b[k].u == 0)
            return hearth_fail(err, HEARTH_EINVAL, "integer modulo zero");
        else if (arg->kind == HEARTH__OPS_SIGNED)
            a[k].i = mod_signed(a[k].i, b[k].i, arg->truncated);
        else
            a[k].u %= b[k].u;
    }
    return HEARTH_OK;
}

/* ---- The others ---- */

/* As ONNX says of all shifts that C leaves undefined: the sign is drawn out. */
static num_t shift(num_t x, num_t y, const struct arg *arg)
{
    uint64_t bits = hearth_dtype_bytes(arg->dtype) * 8;
    bool is_signed = arg->kind == HEARTH__OPS_SIGNED;
    if (y.u >= bits) /* a negative one too */
        x.i = is_signed && !arg->left && x.i < 0 ? -1 : 0;
    else if (arg->left)
        x.u <<= y.u;
    else if (is_signed)
        x.i >>= y.u;
    else
        x.u >>= y.u;
    return x;
}

static int chunk(num_t x[3][CHUNK], int64_t n, const void *p,
                 struct hearth_error *err)
{
    const struct arg *arg = p;
    num_t *a = x[0], *b = x[1];
    int rc = HEARTH_OK;
    if (arg->op == HEARTH_OP_MOD)
        rc = mod_chunk(a, b, n, arg, err);
    for (int64_t k = 0; k < n; k++) {
        switch (arg->op) {
        case HEARTH_OP_BIT_SHIFT:
            a[k] = shift(a[k], b[k], arg);
            break;
        case HEARTH_OP_BITWISE_AND:
            a[k].u &= b[k].u;
            break;
        case HEARTH_OP_BITWISE_OR:
            a[k].u |= b[k].u;
            break;
        case HEARTH_OP_BITWISE_XOR:
            a[k].u ^= b[k].u;
            break;
        case HEARTH_OP_BITWISE_NOT:
            a[k].u = ~a[k].u;
            break;
        case HEARTH_OP_PRELU:
            if (arg->kind == HEARTH__OPS_FLOAT)
                a[k].f = a[k].f < 0 ? a[k].f * b[k].f : a[k].f;
            else if (arg->kind == HEARTH__OPS_SIGNED && a[k].i < 0)
                a[k].u *= b[k].u;
            break;
        default:
            break;
        }
    }
    hearth__ops_wrap(a, n, arg->dtype);
    return rc;
}

HEARTH__OPS_EVAL(bits)
{
    struct arg arg = {
        .op = call->node->op,
        .kind = hearth__ops_kind(in[0]->dtype),
        .dtype = in[0]->dtype,
        .left = strcmp(hearth_attr_string(call->graph, call->node,
                                          HEARTH_ATTR_DIRECTION, ""),
                       "LEFT") == 0,
        .truncated =
            hearth_attr_int(call->graph, call->node, HEARTH_ATTR_FMOD, 0) != 0,
    };
    return hearth__ops_chunks(in, call->input_count > 1 ? 2 : 1, &out[0], chunk,
                              &arg, err);
}
