/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nbits.c: MatMulNBits: A times the transposed B, whose numbers are packed in
 * 2, 4 or 8 bits, low bits first:
 *
 *   A [..,K]  B u8 [N,blocks,BLOCK_SIZE*BITS/8]  scales [N,blocks]
 *   zero points u8, packed likewise, each row from a new byte; or as scales
 *
 * with blocks = K / BLOCK_SIZE, rounded up. A row of B is unpacked once and
 * multiplied with all rows of A.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "ops/ops_impl.h"

struct packed {
    int64_t n, k, bits, block, blocks;
    int64_t row_bytes, zero_bytes; /* of one of the N */
};

static int read_packed(const struct hearth_op_call *call, struct packed *p,
                       struct hearth_error *err)
{
    const struct hearth_graph *g = call->graph;
    p->n = hearth_attr_int(g, call->node, HEARTH_ATTR_N, 0);
    p->k = hearth_attr_int(g, call->node, HEARTH_ATTR_K, 0);
    p->bits = hearth_attr_int(g, call->node, HEARTH_ATTR_BITS, 4);
    p->block = hearth_attr_int(g, call->node, HEARTH_ATTR_BLOCK_SIZE, 0);
    if (p->n < 1 || p->n > INT32_MAX || p->k < 1 || p->k > INT32_MAX ||
        p->block < 8 || p->block > INT32_MAX || p->block % 8 != 0)
        return hearth_fail(err, HEARTH_EMODEL,
                           "N is %" PRId64 ", K %" PRId64
                           ", block_size %" PRId64,
                           p->n, p->k, p->block);
    if (p->bits != 2 && p->bits != 4 && p->bits != 8)
        return hearth_fail(err, HEARTH_EUNSUPPORTED,
                           "numbers of %" PRId64 " bits are not supported",
                           p->bits);
    p->blocks = (p->k + p->block - 1) / p->block;
    p->row_bytes = p->blocks * (p->block * p->bits / 8);
    p->zero_bytes = (p->blocks * p->bits + 7) / 8;
    return HEARTH_OK;
}

/* Input <k> has that many elements, where its shape is known. */
static int check_count(const struct hearth_op_call *call, uint32_t k,
                       int64_t row, int64_t rows, struct hearth_error *err)
{
    const struct hearth_value_info *in = hearth__ops_in(call, k);
    int64_t count;
    if (in == NULL || !hearth_shape_count(&in->shape, &count) ||
        (count % rows == 0 && count / rows == row))
        return HEARTH_OK;
    return hearth_fail(err, HEARTH_ESHAPE,
                       "input %" PRIu32 " has %" PRId64
                       " elements, it must have %" PRId64
                       " for each of %" PRId64 " columns",
                       k, count, row, rows);
}

HEARTH__OPS_INFER(matmul_nbits)
{
    int rc = hearth__ops_begin(call, err);
    const struct hearth_value_info *zero = hearth__ops_in(call, 3);
    struct hearth_shape *y = &call->out[0].shape;
    struct packed p;
    int64_t merged;
    if (rc == HEARTH_OK)
        rc = read_packed(call, &p, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_same_dtype(call, 2, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_same_dtype(call, 4, err);
    if (rc != HEARTH_OK)
        return rc;
    const bool packed = zero != NULL && zero->dtype == HEARTH_U8;
    if (call->in[1]->dtype != HEARTH_U8 ||
        (zero != NULL && !packed && zero->dtype != call->in[0]->dtype))
        return hearth_fail(err, HEARTH_ETYPE,
                           "packed numbers or zero points are of another type");
    rc = check_count(call, 1, p.row_bytes, p.n, err);
    if (rc == HEARTH_OK)
        rc = check_count(call, 2, p.blocks, p.n, err);
    if (rc == HEARTH_OK)
        rc = check_count(call, 3, packed ? p.zero_bytes : p.blocks, p.n, err);
    if (rc == HEARTH_OK)
        rc = check_count(call, 4, 1, p.n, err);
    if (rc != HEARTH_OK || call->in[0]->shape.rank < 0)
        return rc;
    *y = call->in[0]->shape;
    if (y->rank < 1)
        return hearth_fail(err, HEARTH_ESHAPE, "A is one number");
    rc = hearth__ops_merge_dim(y->dims[y->rank - 1], p.k, &merged, "K and A",
                               err);
    y->dims[y->rank - 1] = p.n;
    return rc;
}

/* Rows of A are independent; a vector is one row. */
HEARTH__OPS_BATCH(nbits)
{
    return call->in[0]->shape.rank > 1;
}

/* ---- Evaluation ---- */

/* Number <i> of packed ones. */
static double unpack(const uint8_t *bytes, int64_t bits, int64_t i)
{
    const int64_t at = i * bits;
    return bytes[at / 8] >> (at % 8) & ((1 << bits) - 1);
}

/* Row <n> of B, [K]. */
static void unpack_row(const struct packed *p, const uint8_t *bytes,
                       const double *scales, const double *zeros,
                       const uint8_t *packed_zeros, int64_t n, double *row)
{
    for (int64_t k = 0; k < p->k; k++) {
        const int64_t block = k / p->block;
        const double zero =
            packed_zeros != NULL
                ? unpack(packed_zeros + n * p->zero_bytes, p->bits, block)
            : zeros != NULL ? zeros[n * p->blocks + block]
                            : (double)(1 << (p->bits - 1));
        row[k] = (unpack(bytes + n * p->row_bytes, p->bits, k) - zero) *
                 scales[n * p->blocks + block];
    }
}

/* A dense copy of bytes, to be freed. */
static uint8_t *bytes_of(const struct hearth_view *v, struct hearth_error *err)
{
    const int64_t count = hearth__ops_product(&v->shape, 0, v->shape.rank);
    uint8_t *to = hearth__ops_room(count, 1, err);
    if (to != NULL) {
        const struct hearth_view dense =
            hearth_view_dense(to, HEARTH_U8, &v->shape);
        hearth__ops_copy(&dense, v);
    }
    return to;
}

struct operands {
    double *a, *scales, *zeros, *bias, *row, *y;
    uint8_t *bytes, *packed;
};

static bool read_operands(const struct hearth_op_call *call,
                          const struct hearth_view *const *in,
                          const struct packed *p, int64_t rows,
                          struct operands *o, struct hearth_error *err)
{
    const struct hearth_view *zero =
        hearth__ops_in(call, 3) == NULL ? NULL : in[3];
    const struct hearth_view *bias =
        hearth__ops_in(call, 4) == NULL ? NULL : in[4];
    bool ok = (o->a = hearth__ops_doubles(in[0], err)) != NULL &&
              (o->bytes = bytes_of(in[1], err)) != NULL &&
              (o->scales = hearth__ops_doubles(in[2], err)) != NULL &&
              (o->row = hearth__ops_room(p->k, sizeof *o->row, err)) != NULL &&
              (o->y = hearth__ops_room(rows * p->n, sizeof *o->y, err)) != NULL;
    if (ok && zero != NULL && zero->dtype == HEARTH_U8)
        ok = (o->packed = bytes_of(zero, err)) != NULL;
    else if (ok && zero != NULL)
        ok = (o->zeros = hearth__ops_doubles(zero, err)) != NULL;
    if (ok && bias != NULL)
        ok = (o->bias = hearth__ops_doubles(bias, err)) != NULL;
    return ok;
}

HEARTH__OPS_EVAL(matmul_nbits)
{
    struct packed p;
    struct operands o = {NULL};
    int rc = read_packed(call, &p, err);
    if (rc != HEARTH_OK)
        return rc;
    const int64_t rows =
        hearth__ops_product(&in[0]->shape, 0, in[0]->shape.rank - 1);
    rc = read_operands(call, in, &p, rows, &o, err) ? HEARTH_OK : HEARTH_ENOMEM;
    for (int64_t n = 0; rc == HEARTH_OK && n < p.n; n++) {
        unpack_row(&p, o.bytes, o.scales, o.zeros, o.packed, n, o.row);
        for (int64_t r = 0; r < rows; r++) {
            double sum = o.bias == NULL ? 0 : o.bias[n];
            for (int64_t k = 0; k < p.k; k++)
                sum += o.a[r * p.k + k] * o.row[k];
            o.y[r * p.n + n] = sum;
        }
    }
    if (rc == HEARTH_OK)
        hearth__ops_put_doubles(&out[0], o.y);
    free(o.bias);
    free(o.packed);
    free(o.zeros);
    free(o.y);
    free(o.row);
    free(o.scales);
    free(o.bytes);
    free(o.a);
    return rc;
}
