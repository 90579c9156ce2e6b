/* SPDX-License-Identifier: Apache-2.0 */
/*
 * window.c: where the windows of Conv and the pools lie.
 *
 * With CEIL_MODE the last window may hang over the end, but it must start
 * inside the input or the padding before it (ONNX, opset 22's clarification).
 * SAME_UPPER and SAME_LOWER give ceil(in / stride) windows, whatever CEIL_MODE
 * says; the odd cell of padding goes to the end, or to the beginning.
 */
#include <inttypes.h>
#include <string.h>

#include "ops/ops_impl.h"

enum auto_pad { PAD_NOTSET, PAD_VALID, PAD_UPPER, PAD_LOWER };

static int auto_pad_of(const struct hearth_op_call *call, enum auto_pad *pad,
                       struct hearth_error *err)
{
    static const char *const names[] = {"NOTSET", "VALID", "SAME_UPPER",
                                        "SAME_LOWER"};
    const char *text = hearth_attr_string(call->graph, call->node,
                                          HEARTH_ATTR_AUTO_PAD, "NOTSET");
    for (int i = 0; i < 4; i++)
        if (strcmp(text, names[i]) == 0) {
            *pad = (enum auto_pad)i;
            return HEARTH_OK;
        }
    return hearth_fail(err, HEARTH_EMODEL, "auto_pad '%.30s' does not exist",
                       text);
}

int hearth__ops_ints_of(const struct hearth_op_call *call, enum hearth_attr key,
                        int32_t n, int64_t least, int64_t fallback,
                        int64_t *dst, struct hearth_error *err)
{
    uint32_t count;
    const int64_t *v = hearth_attr_ints(call->graph, call->node, key, &count);
    if (v != NULL && count != (uint32_t)n)
        return hearth_fail(err, HEARTH_EMODEL,
                           "%s has %" PRIu32 " numbers, it must have %" PRId32,
                           hearth_attr_name(key), count, n);
    for (int32_t i = 0; i < n; i++) {
        dst[i] = v == NULL ? fallback : v[i];
        /* The upper bound is far from real ones, and keeps sums from
         * overflowing. */
        if (dst[i] < least || dst[i] > INT32_MAX)
            return hearth_fail(err, HEARTH_EMODEL,
                               "%s has the number %" PRId64
                               ", which is out of range",
                               hearth_attr_name(key), dst[i]);
    }
    return HEARTH_OK;
}

static int read_attributes(const struct hearth_op_call *call,
                           const struct hearth_shape *w,
                           struct hearth_window *win, int64_t pads[12],
                           struct hearth_error *err)
{
    int32_t n = win->rank;
    int rc = hearth__ops_ints_of(call, HEARTH_ATTR_STRIDES, n, 1, 1,
                                 win->stride, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_ints_of(call, HEARTH_ATTR_DILATIONS, n, 1, 1,
                                 win->dilation, err);
    if (rc == HEARTH_OK)
        rc =
            hearth__ops_ints_of(call, HEARTH_ATTR_PADS, 2 * n, 0, 0, pads, err);
    if (rc != HEARTH_OK)
        return rc;
    /* A pool without a kernel_shape is told here: 0 is out of range. */
    rc = hearth__ops_ints_of(call, HEARTH_ATTR_KERNEL_SHAPE, n, w == NULL, 0,
                             win->kernel, err);
    for (int32_t i = 0; rc == HEARTH_OK && w != NULL && i < n; i++) {
        int64_t k = w->dims[i + 2];
        if (win->kernel[i] == 0 && k > 0)
            win->kernel[i] = k;
        if (win->kernel[i] < 1 || win->kernel[i] > INT32_MAX ||
            (k >= 0 && k != win->kernel[i]))
            rc = hearth_fail(err, HEARTH_ESHAPE,
                             "the kernel has size %" PRId64
                             " in the weights and %" PRId64 " in kernel_shape",
                             k, win->kernel[i]);
    }
    return rc;
}

/* One axis: pads and out. <span> is the cells that a window covers. */
static int resolve_axis(struct hearth_window *win, int i, enum auto_pad pad,
                        bool ceil_mode, struct hearth_error *err)
{
    int64_t in = win->in[i], stride = win->stride[i];
    int64_t span = (win->kernel[i] - 1) * win->dilation[i] + 1;
    if (pad == PAD_VALID)
        win->pad_begin[i] = win->pad_end[i] = 0;
    if (pad >= PAD_UPPER) {
        if (HEARTH_DIM_IS_SYMBOL(in)) {
            win->pad_begin[i] = win->pad_end[i] = 0;
            win->out[i] = stride == 1 ? in : -1;
            return HEARTH_OK;
        }
        /* ceil(in / stride), and (out - 1) * stride < in: no overflow. */
        int64_t out = in / stride + (in % stride != 0);
        int64_t total = out == 0 ? 0 : ((out - 1) * stride - in) + span;
        total = total < 0 ? 0 : total;
        int64_t less = total / 2;
        win->pad_begin[i] = pad == PAD_UPPER ? less : total - less;
        win->pad_end[i] = total - win->pad_begin[i];
        win->out[i] = out;
        return HEARTH_OK;
    }
    int64_t pads = win->pad_begin[i] + win->pad_end[i], room;
    if (HEARTH_DIM_IS_SYMBOL(in)) {
        win->out[i] = stride == 1 && pads == span - 1 ? in : -1;
        return HEARTH_OK;
    }
    if (__builtin_add_overflow(in, pads, &room) || room < span)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "a window of %" PRId64 " does not fit in %" PRId64
                           " cells and %" PRId64 " of padding",
                           span, in, pads);
    room -= span;
    win->out[i] = room / stride + 1;
    if (ceil_mode && room % stride != 0) {
        int64_t start; /* of the window that would be one more */
        if (!__builtin_mul_overflow(win->out[i], stride, &start) &&
            start < in + win->pad_begin[i])
            win->out[i]++;
    }
    return HEARTH_OK;
}

int hearth__ops_window(const struct hearth_op_call *call,
                       const struct hearth_shape *x,
                       const struct hearth_shape *w,
                       struct hearth_window *window, struct hearth_error *err)
{
    enum auto_pad pad = PAD_NOTSET;
    int64_t pads[12];
    memset(window, 0, sizeof *window);
    if (x->rank < 3 || (w != NULL && w->rank != x->rank))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "input of rank %" PRId32
                           " has no window: it needs [N,C,D..]%s",
                           x->rank, w == NULL ? "" : " and weights likewise");
    window->rank = x->rank - 2;
    for (int i = 0; i < window->rank; i++)
        window->in[i] = x->dims[i + 2];
    int rc = auto_pad_of(call, &pad, err);
    if (rc == HEARTH_OK)
        rc = read_attributes(call, w, window, pads, err);
    bool ceil_mode =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_CEIL_MODE, 0) != 0;
    for (int i = 0; rc == HEARTH_OK && i < window->rank; i++) {
        window->pad_begin[i] = pads[i];
        window->pad_end[i] = pads[i + window->rank];
        rc = resolve_axis(window, i, pad, ceil_mode, err);
    }
    return rc;
}

int hearth_op_window(const struct hearth_op_call *call,
                     struct hearth_window *window, struct hearth_error *err)
{
    const struct hearth_value_info *x = hearth__ops_in(call, 0);
    const struct hearth_value_info *w = NULL;
    if (call->node->op == HEARTH_OP_CONV ||
        call->node->op == HEARTH_OP_CONV_INTEGER)
        w = hearth__ops_in(call, 1);
    else if (call->node->op == HEARTH_OP_QLINEAR_CONV)
        w = hearth__ops_in(call, 3);
    int rc = hearth__ops_window(call, &x->shape, w == NULL ? NULL : &w->shape,
                                window, err);
    for (int i = 0; rc == HEARTH_OK && i < window->rank; i++)
        if (window->in[i] < 0)
            rc = hearth_fail(err, HEARTH_ESHAPE,
                             "spatial size %d of the input is not known", i);
    return rc;
}
