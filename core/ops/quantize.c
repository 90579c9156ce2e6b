/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quantize.c: QuantizeLinear and DequantizeLinear, to and from 8, 16 and 32
 * bits. One scale for all, one for each index of an axis, or (BLOCK_SIZE) one
 * for each run of so many along the axis; then the tensor is done block by
 * block, each with scales that broadcast along the axis.
 *
 * Arithmetic is f32 as onnxruntime has it (f64 where the scale is), so that
 * ties round alike.
 */
#include <inttypes.h>
#include <math.h>

#include "ops/ops_impl.h"

#define CHUNK HEARTH__OPS_CHUNK
typedef union hearth__ops_num num_t;

static bool is_one(const struct hearth_shape *s)
{
    int64_t count;
    return hearth_shape_count(s, &count) && count == 1 && s->rank <= 1;
}

/* Factors of input <k> for x along <axis>. */
static int check_factors(const struct hearth_op_call *call, uint32_t k,
                         int axis, int64_t block, struct hearth_error *err)
{
    const struct hearth_shape *x = &call->in[0]->shape;
    const struct hearth_shape *s = &call->in[k]->shape;
    int64_t merged, want;
    if (s->rank < 0 || (block == 0 && (s->rank == 0 || is_one(s))))
        return HEARTH_OK;
    if (s->rank != (block == 0 ? 1 : x->rank) || axis >= x->rank)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "input %" PRIu32 " has rank %" PRId32
                           ", which does not suit an input of rank %" PRId32,
                           k, s->rank, x->rank);
    if (block == 0)
        return hearth__ops_merge_dim(s->dims[0], x->dims[axis], &merged,
                                     "scales and the axis", err);
    for (int i = 0; i < x->rank; i++) {
        want = x->dims[i];
        if (i == axis && !HEARTH_DIM_IS_SYMBOL(want))
            want = want / block + (want % block != 0);
        int rc = i == axis && HEARTH_DIM_IS_SYMBOL(want)
                     ? HEARTH_OK
                     : hearth__ops_merge_dim(s->dims[i], want, &merged,
                                             "blocks' scales", err);
        if (rc != HEARTH_OK)
            return rc;
    }
    return HEARTH_OK;
}

/* The axis, >= 0; one that nothing looks at may be anything. */
static int axis_of(const struct hearth_op_call *call, int rank, int64_t block,
                   int *axis, struct hearth_error *err)
{
    const struct hearth_shape *s = &call->in[1]->shape;
    *axis = 0;
    if (rank < 0 || (block == 0 && (s->rank <= 0 || is_one(s))))
        return HEARTH_OK;
    return hearth__ops_axis(
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, 1), rank,
        axis, err);
}

static int infer_both(const struct hearth_op_call *call,
                      struct hearth_error *err)
{
    const struct hearth_shape *x = &call->in[0]->shape;
    int64_t block =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_BLOCK_SIZE, 0);
    int axis;
    if (block < 0)
        return hearth_fail(err, HEARTH_EMODEL, "block_size is %" PRId64, block);
    int rc = axis_of(call, x->rank, block, &axis, err);
    for (uint32_t k = 1; rc == HEARTH_OK && x->rank >= 0 && k < 3; k++)
        if (hearth__ops_in(call, k) != NULL)
            rc = check_factors(call, k, axis, block, err);
    call->out[0].shape = *x;
    return rc;
}

static int64_t to_of(const struct hearth_op_call *call)
{
    return hearth_attr_int(call->graph, call->node, HEARTH_ATTR_TO, 0);
}

HEARTH__OPS_INFER(quantize)
{
    int rc = hearth__ops_begin(call, err);
    const struct hearth_value_info *zero = hearth__ops_in(call, 2);
    if (rc != HEARTH_OK)
        return rc;
    int64_t to = to_of(call);
    if (zero != NULL && to != 0 && to != (int64_t)zero->dtype)
        return hearth_fail(err, HEARTH_ETYPE,
                           "the zero point is %s, the result has type %" PRId64,
                           hearth_dtype_name(zero->dtype), to);
    to = zero != NULL ? (int64_t)zero->dtype : to == 0 ? HEARTH_U8 : to;
    if (to != HEARTH_U8 && to != HEARTH_I8 && to != HEARTH_U16 &&
        to != HEARTH_I16)
        return hearth_fail(err, HEARTH_EUNSUPPORTED,
                           "only integers of 8 and 16 bits are supported, not "
                           "type %" PRId64,
                           to);
    if (hearth__ops_kind(call->in[1]->dtype) != HEARTH__OPS_FLOAT)
        return hearth_fail(err, HEARTH_ETYPE, "scale is %s",
                           hearth_dtype_name(call->in[1]->dtype));
    call->out[0].dtype = (enum hearth_dtype)to;
    return infer_both(call, err);
}

HEARTH__OPS_INFER(dequantize)
{
    int rc = hearth__ops_begin(call, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_same_dtype(call, 2, err);
    if (rc != HEARTH_OK)
        return rc;
    int64_t to = to_of(call);
    to = to == 0 ? (int64_t)call->in[1]->dtype : to;
    if (to < 0 || to > HEARTH_BF16 ||
        hearth__ops_kind((enum hearth_dtype)to) != HEARTH__OPS_FLOAT ||
        hearth__ops_kind(call->in[1]->dtype) != HEARTH__OPS_FLOAT)
        return hearth_fail(err, HEARTH_ETYPE,
                           "scale or result is not of a floating type");
    call->out[0].dtype = (enum hearth_dtype)to;
    return infer_both(call, err);
}

/* A factor for each index of axis 0 mixes no rows, but there is one for each
 * row: then axis 0 is no batch. */
HEARTH__OPS_BATCH(quantize)
{
    int axis;
    int64_t block =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_BLOCK_SIZE, 0);
    if (block == 0 &&
        (call->in[1]->shape.rank == 0 || is_one(&call->in[1]->shape)))
        return true;
    return block == 0 &&
           axis_of(call, call->in[0]->shape.rank, block, &axis, NULL) ==
               HEARTH_OK &&
           axis > 0;
}

/* ---- Evaluation ---- */

struct part {
    struct hearth_view x, y, scale, zero;
    bool has_zero, quantize;
};

/* Seen along the whole of <x>: factors of one block, or of all. */
static struct hearth_view along(const struct hearth_view *f,
                                const struct hearth_shape *x, int axis,
                                int64_t block, int64_t at)
{
    struct hearth_view v = *f;
    v.shape = *x;
    for (int i = 0; i < x->rank; i++) {
        if (block > 0)
            v.strides[i] = i == axis ? 0 : f->strides[i];
        else
            v.strides[i] =
                i == axis && f->shape.rank == 1 && f->shape.dims[0] != 1
                    ? f->strides[0]
                    : 0;
    }
    if (block > 0)
        v.data = hearth__ops_at(f, at * f->strides[axis]);
    return v;
}

static void quantize_chunk(const struct part *p, num_t *x, const num_t *scale,
                           const num_t *zero, int64_t n)
{
    const bool wide = p->scale.dtype == HEARTH_F64;
    const bool real = hearth__ops_kind(p->x.dtype) == HEARTH__OPS_FLOAT;
    const bool has_sign = hearth__ops_kind(p->y.dtype) == HEARTH__OPS_SIGNED;
    const double span = ldexp(1, 8 * (int)hearth_dtype_bytes(p->y.dtype));
    const double low = has_sign ? -span / 2 : 0, high = low + span - 1;
    for (int64_t i = 0; i < n; i++) {
        double v = real ? x[i].f : (double)x[i].i;
        v = wide ? v / scale[i].f : (double)((float)v / (float)scale[i].f);
        v = nearbyint(v) + (has_sign ? (double)zero[i].i : (double)zero[i].u);
        v = v < low ? low : v > high ? high : v;
        x[i].i = isnan(v) ? 0 : (int64_t)v;
    }
}

static void dequantize_chunk(const struct part *p, num_t *x, const num_t *scale,
                             const num_t *zero, int64_t n)
{
    const bool wide = p->scale.dtype == HEARTH_F64;
    /* All types fit into i64. */
    for (int64_t i = 0; i < n; i++) {
        int64_t d = x[i].i - zero[i].i;
        x[i].f = wide ? (double)d * scale[i].f
                      : (double)((float)d * (float)scale[i].f);
    }
}

static void run_part(const struct part *p)
{
    const struct hearth_view *v[4] = {&p->y, &p->x, &p->scale, &p->zero};
    const int operands = p->has_zero ? 4 : 3;
    struct hearth__ops_nest nest;
    num_t a[4][CHUNK];
    for (int64_t i = 0; i < CHUNK; i++)
        a[3][i].u = 0;
    hearth__ops_nest_init(&nest, &p->y.shape);
    for (int k = 0; k < operands; k++)
        hearth__ops_nest_add(&nest, v[k]);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest))
        for (int64_t at = 0; at < nest.run; at += CHUNK) {
            int64_t n = nest.run - at < CHUNK ? nest.run - at : CHUNK;
            for (int k = 1; k < operands; k++)
                hearth__ops_load(a[k], v[k]->data, v[k]->dtype,
                                 nest.offset[k] + at * nest.step[k],
                                 nest.step[k], n);
            (p->quantize ? quantize_chunk : dequantize_chunk)(p, a[1], a[2],
                                                              a[3], n);
            hearth__ops_store(p->y.data, p->y.dtype,
                              nest.offset[0] + at * nest.step[0], nest.step[0],
                              a[1], n);
        }
}

/* Indexes [from, from + n) of <axis>. */
static struct hearth_view cut(const struct hearth_view *view, int axis,
                              int64_t from, int64_t n)
{
    struct hearth_view v = *view;
    v.data = hearth__ops_at(view, from * view->strides[axis]);
    v.shape.dims[axis] = n;
    return v;
}

static int eval_both(const struct hearth_op_call *call,
                     const struct hearth_view *const *in,
                     const struct hearth_view *y, bool quantize,
                     struct hearth_error *err)
{
    int64_t block =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_BLOCK_SIZE, 0);
    struct part p = {.quantize = quantize,
                     .has_zero = hearth__ops_in(call, 2) != NULL};
    int axis;
    int rc = axis_of(call, in[0]->shape.rank, block, &axis, err);
    const int64_t n =
        rc == HEARTH_OK && block > 0 ? in[0]->shape.dims[axis] : 1;
    for (int64_t at = 0; rc == HEARTH_OK && at < n;
         at += block == 0 ? 1 : block) {
        p.x = *in[0];
        p.y = *y;
        if (block > 0) {
            p.x = cut(in[0], axis, at, n - at < block ? n - at : block);
            p.y = cut(y, axis, at, n - at < block ? n - at : block);
        }
        const int64_t k = block == 0 ? 0 : at / block;
        p.scale = along(in[1], &p.x.shape, axis, block, k);
        if (p.has_zero)
            p.zero = along(in[2], &p.x.shape, axis, block, k);
        run_part(&p);
    }
    return rc;
}

HEARTH__OPS_EVAL(quantize)
{
    return eval_both(call, in, &out[0], true, err);
}

HEARTH__OPS_EVAL(dequantize)
{
    return eval_both(call, in, &out[0], false, err);
}

/* ---- DynamicQuantizeLinear ---- */

HEARTH__OPS_INFER(dynamic_quantize)
{
    int rc = hearth__ops_begin(call, err);
    if (rc != HEARTH_OK)
        return rc;
    call->out[0].shape = call->in[0]->shape;
    call->out[0].dtype = HEARTH_U8;
    for (uint32_t k = 1; k < call->output_count; k++) {
        call->out[k].shape = (struct hearth_shape){.rank = 0};
        call->out[k].dtype = k == 1 ? HEARTH_F32 : HEARTH_U8;
    }
    return HEARTH_OK;
}

/* Least and greatest of the elements and 0. */
static void range_of(const struct hearth_view *x, float *low, float *high)
{
    struct hearth__ops_nest nest;
    num_t a[CHUNK];
    *low = *high = 0;
    hearth__ops_nest_init(&nest, &x->shape);
    hearth__ops_nest_add(&nest, x);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest))
        for (int64_t at = 0; at < nest.run; at += CHUNK) {
            int64_t n = nest.run - at < CHUNK ? nest.run - at : CHUNK;
            hearth__ops_load(a, x->data, x->dtype,
                             nest.offset[0] + at * nest.step[0], nest.step[0],
                             n);
            for (int64_t i = 0; i < n; i++) {
                *low = fminf(*low, (float)a[i].f);
                *high = fmaxf(*high, (float)a[i].f);
            }
        }
}

HEARTH__OPS_EVAL(dynamic_quantize)
{
    float low, high;
    (void)err;
    range_of(in[0], &low, &high);
    /* All zeros: any scale will do, but for 0. */
    const float scale = high == low ? 1 : (high - low) / 255;
    const float at = nearbyintf(-low / scale);
    const uint8_t zero = at > 255 ? 255 : at > 0 ? (uint8_t)at : 0;
    const struct hearth_shape one = {.rank = 0};
    struct part p = {
        .x = *in[0],
        .y = out[0],
        .scale = hearth_view_dense((void *)(uintptr_t)&scale, HEARTH_F32, &one),
        .zero = hearth_view_dense((void *)(uintptr_t)&zero, HEARTH_U8, &one),
        .has_zero = true,
        .quantize = true};
    if (out[0].data != NULL || call->output_count < 2)
        run_part(&p);
    if (call->output_count > 1 && out[1].data != NULL)
        *(float *)out[1].data = scale;
    if (call->output_count > 2 && out[2].data != NULL)
        *(uint8_t *)out[2].data = zero;
    return HEARTH_OK;
}
