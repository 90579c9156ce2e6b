/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conv_transpose.c: ConvTranspose: every input cell spreads a kernel over the
 * result, cut at its borders. Rows of the input along the last axis go into
 * rows of the result, summed in double, a plane of the result at a time.
 *
 * The size of the result is told by the pads, or the pads by the size
 * (OUTPUT_SHAPE, AUTO_PAD). A size that is more than the kernels reach is
 * filled with the bias.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops_impl.h"

struct spread { /* spatial axes */
    int rank;
    int64_t in[6], kernel[6], stride[6], dilation[6], pad[6], out[6];
};

/* One axis: pad and out. <want>: the size that is asked for, or -1. */
static int resolve_axis(struct spread *s, int i, const char *auto_pad,
                        int64_t more, int64_t pad_end, int64_t want,
                        struct hearth_error *err)
{
    const bool same = strncmp(auto_pad, "SAME", 4) == 0;
    const int64_t span = (s->kernel[i] - 1) * s->dilation[i] + 1;
    int64_t all;
    if (HEARTH_DIM_IS_SYMBOL(s->in[i])) {
        s->out[i] = want; /* or not known */
        return HEARTH_OK;
    }
    if (__builtin_mul_overflow(s->in[i] > 0 ? s->in[i] - 1 : 0, s->stride[i],
                               &all) ||
        __builtin_add_overflow(all, span + more, &all))
        return hearth_fail(err, HEARTH_ESHAPE, "the result is too large");
    if (want < 0 && same &&
        __builtin_mul_overflow(s->in[i], s->stride[i], &want))
        return hearth_fail(err, HEARTH_ESHAPE, "the result is too large");
    if (want < 0) {
        s->out[i] = all - s->pad[i] - pad_end;
    } else {
        const int64_t total = all > want ? all - want : 0;
        s->out[i] = want;
        s->pad[i] =
            strcmp(auto_pad, "SAME_UPPER") == 0 ? total / 2 : total - total / 2;
    }
    if (s->out[i] < 0)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "pads take more than the %" PRId64 " cells of axis "
                           "%d",
                           all, i);
    return HEARTH_OK;
}

static int check_auto_pad(const char *text, struct hearth_error *err)
{
    static const char *const names[] = {"NOTSET", "VALID", "SAME_UPPER",
                                        "SAME_LOWER"};
    for (int i = 0; i < 4; i++)
        if (strcmp(text, names[i]) == 0)
            return HEARTH_OK;
    return hearth_fail(err, HEARTH_EMODEL, "auto_pad '%.30s' does not exist",
                       text);
}

static int resolve_kernel(const struct hearth_op_call *call,
                          const struct hearth_shape *w, struct spread *s,
                          struct hearth_error *err)
{
    int rc = hearth__ops_ints_of(call, HEARTH_ATTR_KERNEL_SHAPE, s->rank, 1, 1,
                                 s->kernel, err);
    uint32_t count;
    bool told = hearth_attr_ints(call->graph, call->node,
                                 HEARTH_ATTR_KERNEL_SHAPE, &count) != NULL;
    for (int i = 0; rc == HEARTH_OK && i < s->rank; i++) {
        int64_t k = w->dims[i + 2];
        if (k >= 0 && ((told && k != s->kernel[i]) || k < 1 || k > INT32_MAX))
            rc = hearth_fail(err, HEARTH_ESHAPE,
                             "the kernel has size %" PRId64
                             " in the weights and %" PRId64 " in kernel_shape",
                             k, s->kernel[i]);
        else if (k >= 0)
            s->kernel[i] = k;
        else if (!told)
            return hearth_fail(err, HEARTH_EUNSUPPORTED,
                               "the size of the kernel is not known");
    }
    return rc;
}

static int resolve(const struct hearth_op_call *call,
                   const struct hearth_shape *x, const struct hearth_shape *w,
                   struct spread *s, struct hearth_error *err)
{
    const char *auto_pad = hearth_attr_string(call->graph, call->node,
                                              HEARTH_ATTR_AUTO_PAD, "NOTSET");
    int64_t pads[12], more[6];
    uint32_t count;
    memset(s, 0, sizeof *s);
    if (x->rank < 3 || w->rank != x->rank)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "input of rank %" PRId32
                           " is not [N,C,D..] with weights likewise",
                           x->rank);
    s->rank = x->rank - 2;
    memcpy(s->in, x->dims + 2, (size_t)s->rank * sizeof s->in[0]);
    int rc = check_auto_pad(auto_pad, err);
    if (rc == HEARTH_OK)
        rc = resolve_kernel(call, w, s, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_ints_of(call, HEARTH_ATTR_STRIDES, s->rank, 1, 1,
                                 s->stride, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_ints_of(call, HEARTH_ATTR_DILATIONS, s->rank, 1, 1,
                                 s->dilation, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_ints_of(call, HEARTH_ATTR_PADS, 2 * s->rank, 0, 0,
                                 pads, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_ints_of(call, HEARTH_ATTR_OUTPUT_PADDING, s->rank, 0,
                                 0, more, err);
    const int64_t *want = hearth_attr_ints(call->graph, call->node,
                                           HEARTH_ATTR_OUTPUT_SHAPE, &count);
    /* Some exporters write batch and channels too. */
    if (rc == HEARTH_OK && want != NULL && count == (uint32_t)s->rank + 2)
        want += 2;
    else if (rc == HEARTH_OK && want != NULL && count != (uint32_t)s->rank)
        rc = hearth_fail(err, HEARTH_EMODEL,
                         "output_shape has %" PRIu32 " numbers", count);
    for (int i = 0; rc == HEARTH_OK && i < s->rank; i++) {
        const bool valid = strcmp(auto_pad, "VALID") == 0;
        s->pad[i] = valid ? 0 : pads[i];
        if (want != NULL && (want[i] < 0 || want[i] > INT32_MAX))
            return hearth_fail(err, HEARTH_EMODEL,
                               "output_shape has the number %" PRId64, want[i]);
        rc =
            resolve_axis(s, i, auto_pad, more[i], valid ? 0 : pads[i + s->rank],
                         want == NULL ? -1 : want[i], err);
    }
    return rc;
}

static int check_channels(const struct hearth_op_call *call, int64_t group,
                          struct hearth_error *err)
{
    const struct hearth_shape *x = &call->in[0]->shape;
    const struct hearth_shape *w = &call->in[1]->shape;
    const struct hearth_value_info *b = hearth__ops_in(call, 2);
    int64_t channels, *m = &call->out[0].shape.dims[1];
    if (group < 1)
        return hearth_fail(err, HEARTH_EMODEL, "group is %" PRId64, group);
    int rc = hearth__ops_merge_dim(x->dims[1], w->dims[0], &channels,
                                   "channels of input and weights", err);
    if (rc != HEARTH_OK)
        return rc;
    if (!HEARTH_DIM_IS_SYMBOL(channels) && channels % group != 0)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "%" PRId64 " channels do not divide into %" PRId64
                           " groups",
                           channels, group);
    *m =
        HEARTH_DIM_IS_SYMBOL(w->dims[1]) ? hearth__ops_fresh(call) : w->dims[1];
    if (!HEARTH_DIM_IS_SYMBOL(w->dims[1]) &&
        __builtin_mul_overflow(w->dims[1], group, m))
        return hearth_fail(err, HEARTH_ESHAPE, "the result is too large");
    if (b == NULL || b->shape.rank < 0)
        return HEARTH_OK;
    if (b->shape.rank != 1)
        return hearth_fail(err, HEARTH_ESHAPE, "bias is no vector");
    return hearth__ops_merge_dim(*m, b->shape.dims[0], m, "bias", err);
}

HEARTH__OPS_INFER(conv_transpose)
{
    int rc = hearth__ops_begin(call, err);
    for (uint32_t k = 1; rc == HEARTH_OK && k < call->input_count; k++)
        rc = hearth__ops_same_dtype(call, k, err);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth_shape *x = &call->in[0]->shape;
    const struct hearth_shape *w = &call->in[1]->shape;
    struct hearth_shape *y = &call->out[0].shape;
    struct spread s;
    if (x->rank < 0 || w->rank < 0)
        return HEARTH_OK;
    rc = resolve(call, x, w, &s, err);
    if (rc != HEARTH_OK)
        return rc;
    y->rank = x->rank;
    y->dims[0] = x->dims[0];
    for (int i = 0; i < s.rank; i++)
        y->dims[i + 2] = s.out[i] < 0 ? hearth__ops_fresh(call) : s.out[i];
    return check_channels(
        call, hearth_attr_int(call->graph, call->node, HEARTH_ATTR_GROUP, 1),
        err);
}

/* ---- Evaluation ---- */

static bool next(int64_t *at, const int64_t *dims, int rank)
{
    for (int i = rank - 1; i >= 0; i--) {
        if (++at[i] < dims[i])
            return true;
        at[i] = 0;
    }
    return false;
}

/* Adds <weight> times one row of the input, for kernel cell <tap>. */
static void add_row(const struct spread *s, const int64_t *at,
                    const int64_t *tap, double weight, const double *x,
                    double *y)
{
    const int last = s->rank - 1;
    int64_t to = 0;
    for (int i = 0; i < last; i++) {
        int64_t k = at[i] * s->stride[i] - s->pad[i] + tap[i] * s->dilation[i];
        if (k < 0 || k >= s->out[i])
            return;
        to = to * s->out[i] + k;
    }
    const int64_t base = tap[last] * s->dilation[last] - s->pad[last];
    const int64_t stride = s->stride[last], out = s->out[last];
    int64_t from = base >= 0 ? 0 : (-base + stride - 1) / stride;
    int64_t end = base >= out ? 0 : (out - 1 - base) / stride + 1;
    end = end < s->in[last] ? end : s->in[last];
    y += to * out + base;
    for (int64_t i = from; i < end; i++)
        y[i * stride] += weight * x[i];
}

/* Adds one channel of the input to one of the result. */
static void add_plane(const struct spread *s, const double *x, const double *w,
                      double *y)
{
    int64_t at[6] = {0};
    int64_t row = 0;
    do {
        int64_t tap[6] = {0}, k = 0;
        do {
            add_row(s, at, tap, w[k++], x + row * s->in[s->rank - 1], y);
        } while (next(tap, s->kernel, s->rank));
        row++;
    } while (next(at, s->in, s->rank - 1));
}

struct conv {
    struct spread s;
    int64_t group, in_group, out_group, in_size, out_size, kernel_size;
    const double *x, *w, *b;
};

/* All channels of one of the batch. */
static void run_image(const struct conv *c, int64_t n, double *plane,
                      struct hearth_view *y)
{
    const int64_t outs = c->group * c->out_group;
    for (int64_t m = 0; m < outs; m++) {
        const int64_t g = m / c->out_group;
        for (int64_t i = 0; i < c->out_size; i++)
            plane[i] = c->b == NULL ? 0 : c->b[m];
        for (int64_t k = 0; k < c->in_group && c->in_size > 0; k++) {
            const int64_t from = g * c->in_group + k;
            add_plane(&c->s,
                      c->x + (n * c->group * c->in_group + from) * c->in_size,
                      c->w + (from * c->out_group + m % c->out_group) *
                                 c->kernel_size,
                      plane);
        }
        struct hearth_view part = *y;
        part.shape = (struct hearth_shape){.rank = 1, .dims = {c->out_size}};
        part.data = hearth__ops_at(y, (n * outs + m) * c->out_size);
        hearth__ops_put_doubles(&part, plane);
    }
}

HEARTH__OPS_EVAL(conv_transpose)
{
    struct conv c = {.group = hearth_attr_int(call->graph, call->node,
                                              HEARTH_ATTR_GROUP, 1)};
    const struct hearth_shape *x = &in[0]->shape, *w = &in[1]->shape;
    double *a = NULL, *b = NULL, *d = NULL, *plane = NULL;
    int rc = resolve(call, x, w, &c.s, err);
    if (rc != HEARTH_OK ||
        hearth__ops_product(&out[0].shape, 0, out[0].shape.rank) == 0)
        return rc;
    c.in_group = x->dims[1] / c.group;
    c.out_group = w->dims[1];
    c.in_size = hearth__ops_product(x, 2, x->rank);
    c.out_size = hearth__ops_product(&out[0].shape, 2, x->rank);
    c.kernel_size = hearth__ops_product(w, 2, w->rank);
    rc = HEARTH_ENOMEM;
    if ((a = hearth__ops_doubles(in[0], err)) == NULL ||
        (b = hearth__ops_doubles(in[1], err)) == NULL ||
        (hearth__ops_in(call, 2) != NULL &&
         (d = hearth__ops_doubles(in[2], err)) == NULL) ||
        (plane = hearth__ops_room(c.out_size, sizeof *plane, err)) == NULL)
        goto out;
    c.x = a;
    c.w = b;
    c.b = d;
    for (int64_t n = 0; n < x->dims[0]; n++)
        run_image(&c, n, plane, &out[0]);
    rc = HEARTH_OK;
out:
    free(plane);
    free(d);
    free(b);
    free(a);
    return rc;
}
