/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fourier.c: DFT and STFT. Complex numbers are pairs in the last axis (one
 * number there: real). A line is transformed by radix 2 where its length is a
 * power of two, else by its definition with a table of roots.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops_impl.h"

#define LENGTH_MAX (INT64_C(1) << 30)

/* The one number that input <k> has; false: not known. */
static bool number_of(const struct hearth_op_call *call, uint32_t k,
                      int64_t *value)
{
    struct hearth__ops_content c;
    if (!hearth__ops_content(hearth__ops_in(call, k), &c) || c.n != 1 ||
        HEARTH_DIM_IS_SYMBOL(c.v[0]))
        return false;
    *value = c.v[0];
    return true;
}

static bool flag(const struct hearth_op_call *call, enum hearth_attr key,
                 int64_t fallback)
{
    return hearth_attr_int(call->graph, call->node, key, fallback) != 0;
}

/* ---- Lines ---- */

struct plan {
    int64_t n;
    double sign;   /* -1: forward */
    double *roots; /* [2n]: exp(sign * 2 pi i k / n) */
    double *line;  /* [2n], the result too */
    double *other; /* [2n] */
};

static void plan_free(struct plan *p)
{
    free(p->other);
    free(p->line);
    free(p->roots);
}

static int plan_make(struct plan *p, int64_t n, bool inverse,
                     struct hearth_error *err)
{
    *p = (struct plan){.n = n, .sign = inverse ? 1 : -1};
    if (n < 1 || n > LENGTH_MAX)
        return hearth_fail(err, HEARTH_EINVAL,
                           "a transform of %" PRId64 " elements", n);
    p->roots = hearth__ops_room(2 * n, sizeof(double), err);
    p->line = hearth__ops_room(2 * n, sizeof(double), err);
    p->other = hearth__ops_room(2 * n, sizeof(double), err);
    if (p->roots == NULL || p->line == NULL || p->other == NULL) {
        plan_free(p);
        return HEARTH_ENOMEM;
    }
    for (int64_t k = 0; k < n; k++) {
        const double a = p->sign * 2 * M_PI * (double)k / (double)n;
        p->roots[2 * k] = cos(a);
        p->roots[2 * k + 1] = sin(a);
    }
    return HEARTH_OK;
}

/* By the definition: all products. */
static void transform_any(struct plan *p)
{
    for (int64_t k = 0; k < p->n; k++) {
        double re = 0, im = 0;
        int64_t at = 0; /* j * k modulo n */
        for (int64_t j = 0; j < p->n; j++) {
            const double *w = p->roots + 2 * at, *x = p->line + 2 * j;
            re += x[0] * w[0] - x[1] * w[1];
            im += x[0] * w[1] + x[1] * w[0];
            at += k;
            at -= at >= p->n ? p->n : 0;
        }
        p->other[2 * k] = re;
        p->other[2 * k + 1] = im;
    }
    memcpy(p->line, p->other, 2 * (size_t)p->n * sizeof *p->line);
}

/* Cooley and Tukey's, without reordering (Stockham): each pass joins pairs of
 * transforms half as long. */
static void transform_two(struct plan *p)
{
    double *from = p->line, *to = p->other;
    for (int64_t half = 1; half < p->n; half *= 2) {
        const int64_t count = p->n / (2 * half); /* transforms after it */
        for (int64_t k = 0; k < half; k++) {
            const double *w = p->roots + 2 * k * count;
            for (int64_t c = 0; c < count; c++) {
                const double *a = from + 2 * (k * 2 * count + c);
                const double *b = a + 2 * count;
                double *y = to + 2 * (k * count + c), *z = y + p->n;
                const double re = b[0] * w[0] - b[1] * w[1];
                const double im = b[0] * w[1] + b[1] * w[0];
                y[0] = a[0] + re;
                y[1] = a[1] + im;
                z[0] = a[0] - re;
                z[1] = a[1] - im;
            }
        }
        double *swap = from;
        from = to;
        to = swap;
    }
    if (from != p->line)
        memcpy(p->line, from, 2 * (size_t)p->n * sizeof *p->line);
}

static void transform(struct plan *p)
{
    if ((p->n & (p->n - 1)) == 0)
        transform_two(p);
    else
        transform_any(p);
}

/* ---- DFT ---- */

/* The axis, from the attribute or input 2, >= 0; *known false: only a run
 * tells. */
static int dft_axis(const struct hearth_op_call *call, int rank, int *axis,
                    bool *known, struct hearth_error *err)
{
    int64_t value = hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS,
                                    hearth__ops_in(call, 2) != NULL ? 0 : -2);
    *known = true;
    *axis = 0;
    if (hearth__ops_in(call, 2) != NULL && !number_of(call, 2, &value)) {
        *known = false;
        return HEARTH_OK;
    }
    int rc = hearth__ops_axis(value, rank, axis, err);
    if (rc == HEARTH_OK && *axis == rank - 1)
        rc = hearth_fail(err, HEARTH_EMODEL,
                         "the last axis has the parts of a number");
    return rc;
}

/* How long a transform along an axis of <size> is; -1: not known. */
static int64_t dft_length(const struct hearth_op_call *call, int64_t size,
                          bool real_result)
{
    int64_t n;
    if (hearth__ops_in(call, 1) != NULL)
        return number_of(call, 1, &n) ? n : -1;
    if (HEARTH_DIM_IS_SYMBOL(size))
        return -1;
    return real_result ? 2 * (size - 1) : size;
}

static int check_parts(int64_t parts, struct hearth_error *err)
{
    if (HEARTH_DIM_IS_SYMBOL(parts) || parts == 1 || parts == 2)
        return HEARTH_OK;
    return hearth_fail(err, HEARTH_ESHAPE,
                       "a number of %" PRId64 " parts in the last axis", parts);
}

HEARTH__OPS_INFER(dft)
{
    const bool inverse = flag(call, HEARTH_ATTR_INVERSE, 0);
    const bool onesided = flag(call, HEARTH_ATTR_ONESIDED, 0);
    int rc = hearth__ops_begin(call, err), axis;
    struct hearth_shape *y = &call->out[0].shape;
    bool known;
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 1, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 2, err);
    if (rc != HEARTH_OK || call->in[0]->shape.rank < 0)
        return rc;
    const struct hearth_shape *x = &call->in[0]->shape;
    if (x->rank < 2)
        return hearth_fail(err, HEARTH_ESHAPE, "input has rank %" PRId32,
                           x->rank);
    rc = check_parts(x->dims[x->rank - 1], err);
    if (rc == HEARTH_OK)
        rc = dft_axis(call, x->rank, &axis, &known, err);
    if (rc != HEARTH_OK)
        return rc;
    *y = *x;
    y->dims[y->rank - 1] = inverse && onesided ? 1 : 2;
    if (!known) {
        for (int i = 0; i < y->rank - 1; i++)
            y->dims[i] = hearth__ops_fresh(call);
        return HEARTH_OK;
    }
    const int64_t n = dft_length(call, x->dims[axis], inverse && onesided);
    if (n != -1 && (n < 1 || n > LENGTH_MAX))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "a transform of %" PRId64 " elements", n);
    y->dims[axis] = n == -1                ? hearth__ops_fresh(call)
                    : onesided && !inverse ? n / 2 + 1
                                           : n;
    return HEARTH_OK;
}

/* Element [k] of a line with <parts> numbers each, or 0 behind its end. */
static void load_line(struct plan *p, const double *x, int64_t count,
                      int64_t step, int64_t parts, bool mirrored)
{
    memset(p->line, 0, 2 * (size_t)p->n * sizeof *p->line);
    for (int64_t k = 0; k < count && k < p->n; k++)
        for (int64_t i = 0; i < parts; i++)
            p->line[2 * k + i] = x[k * step * parts + i];
    if (!mirrored)
        return;
    /* The half that a real line's transform leaves out; what must be real, is
     * taken so. */
    p->line[1] = 0;
    if (p->n % 2 == 0)
        p->line[p->n + 1] = 0;
    for (int64_t k = p->n / 2 + 1; k < p->n; k++) {
        p->line[2 * k] = p->line[2 * (p->n - k)];
        p->line[2 * k + 1] = -p->line[2 * (p->n - k) + 1];
    }
}

HEARTH__OPS_EVAL(dft)
{
    const bool inverse = flag(call, HEARTH_ATTR_INVERSE, 0);
    const bool mirrored = inverse && flag(call, HEARTH_ATTR_ONESIDED, 0);
    const struct hearth_shape *xs = &in[0]->shape, *ys = &out[0].shape;
    struct plan p = {0};
    int axis = 0;
    int64_t at = hearth_attr_int(call->graph, call->node, HEARTH_ATTR_AXIS, -2);
    if (hearth__ops_in(call, 2) != NULL)
        at = (int64_t)hearth__ops_number(in[2], 0);
    int rc = hearth__ops_axis(at, xs->rank, &axis, err);
    if (rc != HEARTH_OK)
        return rc;
    int64_t n = xs->dims[axis];
    if (hearth__ops_in(call, 1) != NULL)
        n = (int64_t)hearth__ops_number(in[1], 0);
    else if (mirrored)
        n = 2 * (n - 1);
    const int64_t parts = xs->dims[xs->rank - 1], to = mirrored ? 1 : 2;
    const int64_t outer = hearth__ops_product(xs, 0, axis);
    const int64_t inner = hearth__ops_product(xs, axis + 1, xs->rank - 1);
    const int64_t size = xs->dims[axis], result = ys->dims[axis];
    const int64_t count = hearth__ops_product(ys, 0, ys->rank);
    rc = plan_make(&p, n, inverse, err);
    if (rc != HEARTH_OK)
        return rc;
    double *x = hearth__ops_doubles(in[0], err);
    double *y = x == NULL ? NULL : hearth__ops_room(count, sizeof *y, err);
    if (y == NULL)
        rc = HEARTH_ENOMEM;
    else if (result > n || hearth__ops_product(xs, 0, xs->rank - 1) == 0)
        memset(y, 0, (size_t)count * sizeof *y);
    for (int64_t o = 0; rc == HEARTH_OK && result <= n && o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            load_line(&p, x + (o * size * inner + i) * parts, size, inner,
                      parts, mirrored);
            transform(&p);
            for (int64_t k = 0; k < result; k++)
                for (int64_t j = 0; j < to; j++)
                    y[((o * result + k) * inner + i) * to + j] =
                        p.line[2 * k + j] / (inverse ? (double)n : 1);
        }
    if (rc == HEARTH_OK)
        hearth__ops_put_doubles(&out[0], y);
    free(y);
    free(x);
    plan_free(&p);
    return rc;
}

/* ---- STFT: signal [B,L,parts], step, [window], [frame length] ---- */

/* Length of a frame; -1: not known. */
static int64_t frame_length(const struct hearth_op_call *call, int64_t length)
{
    const struct hearth_value_info *window = hearth__ops_in(call, 2);
    int64_t n;
    if (hearth__ops_in(call, 3) != NULL)
        return number_of(call, 3, &n) ? n : -1;
    if (window != NULL)
        length = window->shape.rank == 1 ? window->shape.dims[0] : -1;
    return HEARTH_DIM_IS_SYMBOL(length) ? -1 : length;
}

HEARTH__OPS_INFER(stft)
{
    const bool onesided = flag(call, HEARTH_ATTR_ONESIDED, 1);
    const struct hearth_value_info *window = hearth__ops_in(call, 2);
    int rc = hearth__ops_begin(call, err);
    struct hearth_shape *y = &call->out[0].shape;
    int64_t step = 0, merged;
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 1, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_same_dtype(call, 2, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 3, err);
    if (rc != HEARTH_OK || call->in[0]->shape.rank < 0)
        return rc;
    const struct hearth_shape *x = &call->in[0]->shape;
    if (x->rank != 3 || (window != NULL && window->shape.rank > 1) ||
        (window != NULL && window->shape.rank == 0))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "the signal is not [B,L,parts], or the window no "
                           "vector");
    rc = check_parts(x->dims[2], err);
    const int64_t n = frame_length(call, x->dims[1]);
    const bool stepped = number_of(call, 1, &step);
    if (rc == HEARTH_OK && n != -1 && window != NULL && window->shape.rank == 1)
        rc = hearth__ops_merge_dim(window->shape.dims[0], n, &merged,
                                   "window and frame", err);
    if (rc == HEARTH_OK &&
        ((stepped && step < 1) || (n != -1 && (n < 1 || n > LENGTH_MAX))))
        rc = hearth_fail(err, HEARTH_EMODEL,
                         "frames of %" PRId64 " in steps of %" PRId64, n, step);
    if (rc != HEARTH_OK)
        return rc;
    *y = (struct hearth_shape){.rank = 4, .dims = {x->dims[0], 0, 0, 2}};
    y->dims[2] = n == -1 ? hearth__ops_fresh(call) : onesided ? n / 2 + 1 : n;
    if (n == -1 || !stepped || HEARTH_DIM_IS_SYMBOL(x->dims[1]))
        y->dims[1] = hearth__ops_fresh(call);
    else if (x->dims[1] < n)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "a signal of %" PRId64 " has no frame of %" PRId64,
                           x->dims[1], n);
    else
        y->dims[1] = (x->dims[1] - n) / step + 1;
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(stft)
{
    const struct hearth_shape *xs = &in[0]->shape, *ys = &out[0].shape;
    const struct hearth_view *window =
        hearth__ops_in(call, 2) == NULL ? NULL : in[2];
    const int64_t step = (int64_t)hearth__ops_number(in[1], 0);
    const int64_t parts = xs->dims[2], bins = ys->dims[2];
    int64_t n = window != NULL ? window->shape.dims[0] : xs->dims[1];
    double *x = NULL, *y = NULL;
    struct plan p;
    if (hearth__ops_in(call, 3) != NULL)
        n = (int64_t)hearth__ops_number(in[3], 0);
    const int64_t frames = ys->dims[1];
    if (step < 1 || n < 1 || bins > n || frames < 0 ||
        (frames > 0 && (frames - 1) * step + n > xs->dims[1]) ||
        (window != NULL && window->shape.dims[0] < n))
        return hearth_fail(err, HEARTH_EINVAL,
                           "frames of %" PRId64 " in steps of %" PRId64, n,
                           step);
    int rc = plan_make(&p, n, false, err);
    if (rc != HEARTH_OK)
        return rc;
    x = hearth__ops_doubles(in[0], err);
    if (x != NULL)
        y = hearth__ops_room(hearth__ops_product(ys, 0, 4), sizeof *y, err);
    rc = y == NULL ? HEARTH_ENOMEM : HEARTH_OK;
    for (int64_t f = 0; rc == HEARTH_OK && f < ys->dims[0] * frames; f++) {
        const int64_t b = f / frames, from = f % frames * step;
        load_line(&p, x + (b * xs->dims[1] + from) * parts, n, 1, parts, false);
        for (int64_t k = 0; window != NULL && k < n; k++) {
            const double w = hearth__ops_number(window, k * window->strides[0]);
            p.line[2 * k] *= w;
            p.line[2 * k + 1] *= w;
        }
        transform(&p);
        memcpy(y + f * bins * 2, p.line, 2 * (size_t)bins * sizeof *y);
    }
    if (rc == HEARTH_OK)
        hearth__ops_put_doubles(&out[0], y);
    free(y);
    free(x);
    plan_free(&p);
    return rc;
}
