/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval_window.c: numbers that only parameters tell: windows of signal
 * processing, MelWeightMatrix. Their shapes too.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "ops/ops_impl.h"

typedef union hearth__ops_num num_t;

/* The number that a scalar input holds, when it is known. */
static bool number_of(const struct hearth_value_info *in, double *number)
{
    int64_t count;
    num_t x;
    if (in->data == NULL || !hearth_shape_count(&in->shape, &count) ||
        count != 1)
        return false;
    hearth__ops_load(&x, in->data, in->dtype, 0, 0, 1);
    hearth__ops_convert(&x, 1, in->dtype, HEARTH_F64);
    *number = x.f;
    return true;
}

/* The type that TO asks for, f32 unless it does. */
static int result_type(const struct hearth_op_call *call,
                       struct hearth_error *err)
{
    int64_t to =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_TO, HEARTH_F32);
    if (to <= 0 || to > HEARTH_BF16 || to == HEARTH_BOOL ||
        hearth_dtype_bytes((enum hearth_dtype)to) == 0)
        return hearth_fail(err, HEARTH_ETYPE,
                           "element type %" PRId64 " is not supported", to);
    call->out[0].dtype = (enum hearth_dtype)to;
    return HEARTH_OK;
}

/* ---- HannWindow, HammingWindow, BlackmanWindow ---- */

HEARTH__OPS_INFER(cosine_window)
{
    int rc = hearth__ops_begin(call, err);
    struct hearth_shape *y = &call->out[0].shape;
    struct hearth__ops_content c;
    if (rc == HEARTH_OK)
        rc = hearth__ops_one_element(call, 0, err);
    if (rc == HEARTH_OK)
        rc = result_type(call, err);
    if (rc != HEARTH_OK)
        return rc;
    y->rank = 1;
    if (!hearth__ops_content(call->in[0], &c)) {
        y->dims[0] = hearth__ops_fresh(call);
        return HEARTH_OK;
    }
    if ((c.known || !HEARTH_DIM_IS_SYMBOL(c.v[0])) && c.v[0] < 0)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "the size is not one number >= 0");
    y->dims[0] = c.v[0];
    return HEARTH_OK;
}

/* Sums of cosines; of one point the window is 1. */
HEARTH__OPS_EVAL(cosine_window)
{
    struct hearth_view *y = &out[0];
    uint32_t op = call->node->op;
    int64_t n = y->shape.dims[0];
    bool periodic =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_PERIODIC, 1) != 0;
    double a0 = op == HEARTH_OP_HANN_WINDOW      ? 0.5
                : op == HEARTH_OP_HAMMING_WINDOW ? 25.0 / 46
                                                 : 0.42;
    double a2 = op == HEARTH_OP_BLACKMAN_WINDOW ? 0.08 : 0;
    double a1 = 1 - a0 - (op == HEARTH_OP_BLACKMAN_WINDOW ? a2 : 0);
    (void)in;
    (void)err;
    for (int64_t k = 0; k < n; k++) {
        double span = periodic ? (double)n : (double)(n - 1);
        double turn = 2 * 3.14159265358979323846 * (double)k / span;
        num_t x = {.f = a0 - a1 * cos(turn) + a2 * cos(2 * turn)};
        if (!periodic && n == 1)
            x.f = 1;
        hearth__ops_convert(&x, 1, HEARTH_F64, y->dtype);
        hearth__ops_store(y->data, y->dtype, k, 0, &x, 1);
    }
    return HEARTH_OK;
}

/* ---- MelWeightMatrix ---- */

HEARTH__OPS_INFER(mel_weight_matrix)
{
    int rc = hearth__ops_begin(call, err);
    struct hearth_shape *y = &call->out[0].shape;
    double bins, length;
    if (rc == HEARTH_OK)
        rc = result_type(call, err);
    for (uint32_t k = 0; rc == HEARTH_OK && k < 5; k++) {
        if (hearth__ops_kind(call->in[k]->dtype) == HEARTH__OPS_NONE)
            rc = hearth_fail(err, HEARTH_ETYPE,
                             "input %" PRIu32 " is no number", k);
        else
            rc = hearth__ops_one_element(call, k, err);
    }
    if (rc != HEARTH_OK)
        return rc;
    y->rank = 2;
    y->dims[0] = hearth__ops_fresh(call);
    y->dims[1] = hearth__ops_fresh(call);
    if (!number_of(call->in[0], &bins) || !number_of(call->in[1], &length))
        return HEARTH_OK;
    if (!(bins >= 0 && bins < 1e9 && length >= 0 && length < 1e9))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "the bands or the length of the DFT are not in "
                           "[0, 1e9)");
    y->dims[0] = (int64_t)length / 2 + 1;
    y->dims[1] = (int64_t)bins;
    return HEARTH_OK;
}

struct mel {
    double low, step;    /* on the mel scale */
    double length, rate; /* points of the DFT, samples a second */
};

/* The spectrogram's bin that edge <k> of the bands falls into. */
static double edge_of(const struct mel *m, int64_t k)
{
    double mel = m->low + (double)k * m->step;
    double hertz = 700 * expm1(mel / 2595 * 2.302585092994045684);
    return floor((m->length + 1) * hertz / m->rate);
}

/* Band <i>: a triangle over <rows> bins, up from edge <i>, down to <i> + 2. */
static void band(const struct mel *m, struct hearth_view *y, int64_t i)
{
    double left = edge_of(m, i), top = edge_of(m, i + 1);
    double right = edge_of(m, i + 2);
    for (int64_t j = 0; j < y->shape.dims[0]; j++) {
        double at = (double)j;
        num_t x = {.f = 0};
        if (at == top && (top == left || right <= top))
            x.f = 1;
        if (at >= left && at <= top && top > left)
            x.f = (at - left) / (top - left);
        if (at >= top && at < right)
            x.f = (right - at) / (right - top);
        hearth__ops_convert(&x, 1, HEARTH_F64, y->dtype);
        hearth__ops_store(y->data, y->dtype,
                          j * y->strides[0] + i * y->strides[1], 0, &x, 1);
    }
}

static double mel_of(double hertz)
{
    return 2595 * log1p(hertz / 700) / 2.302585092994045684;
}

HEARTH__OPS_EVAL(mel_weight_matrix)
{
    double p[5];
    (void)call;
    for (int k = 0; k < 5; k++) {
        num_t x;
        hearth__ops_load(&x, in[k]->data, in[k]->dtype, 0, 0, 1);
        hearth__ops_convert(&x, 1, in[k]->dtype, HEARTH_F64);
        p[k] = x.f;
    }
    if (!(p[2] > 0 && p[3] >= 0 && p[4] >= p[3]) || isinf(p[4]))
        return hearth_fail(err, HEARTH_EINVAL,
                           "the rate, or the edges in hertz, make no sense");
    int64_t bands = out[0].shape.dims[1];
    struct mel m = {.low = mel_of(p[3]), .length = p[1], .rate = p[2]};
    m.step = (mel_of(p[4]) - m.low) / (double)(bands + 2);
    for (int64_t i = 0; i < bands; i++)
        band(&m, &out[0], i);
    return HEARTH_OK;
}
