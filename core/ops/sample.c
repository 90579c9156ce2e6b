/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample.c: GridSample and AffineGrid: a grid's places, from -1 to 1 over the
 * input, in the order of x, y (, z): the last axis of the input first.
 *
 * An interpolation is a product of one-dimensional ones, so that each axis
 * gives some indices with weights, and all combinations are summed. An index
 * outside of the input is cut off (zeros), the nearest (border), or mirrored
 * (reflection).
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops_impl.h"

#define AXES (HEARTH_RANK_MAX - 2)
enum mode { NEAREST, LINEAR, CUBIC };
enum padding { ZEROS, BORDER, REFLECTION };

struct sampler {
    enum mode mode;
    enum padding padding;
    bool corners;
    int rank; /* spatial axes */
    int64_t dims[AXES];
};

static int find(const char *text, const char *const names[3])
{
    for (int i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0)
            return i;
    return -1;
}

static int settings(const struct hearth_op_call *call, struct sampler *s,
                    struct hearth_error *err)
{
    static const char *const modes[] = {"nearest", "linear", "cubic"};
    static const char *const old[] = {"nearest", "bilinear", "bicubic"};
    static const char *const paddings[] = {"zeros", "border", "reflection"};
    const char *mode =
        hearth_attr_string(call->graph, call->node, HEARTH_ATTR_MODE, "linear");
    const char *padding = hearth_attr_string(call->graph, call->node,
                                             HEARTH_ATTR_PADDING, "zeros");
    const int m = find(mode, modes) < 0 ? find(mode, old) : find(mode, modes);
    const int p = find(padding, paddings);
    s->corners = hearth_attr_int(call->graph, call->node,
                                 HEARTH_ATTR_ALIGN_CORNERS, 0) != 0;
    if (m < 0 || p < 0)
        return hearth_fail(err, HEARTH_EUNSUPPORTED, "'%.30s' is not supported",
                           m < 0 ? mode : padding);
    s->mode = (enum mode)m;
    s->padding = (enum padding)p;
    return HEARTH_OK;
}

HEARTH__OPS_INFER(grid_sample)
{
    int rc = hearth__ops_begin(call, err);
    struct hearth_shape *y = &call->out[0].shape;
    struct sampler s;
    int64_t merged;
    if (rc == HEARTH_OK &&
        hearth__ops_kind(call->in[1]->dtype) != HEARTH__OPS_FLOAT)
        rc = hearth_fail(err, HEARTH_ETYPE, "the grid is %s",
                         hearth_dtype_name(call->in[1]->dtype));
    if (rc == HEARTH_OK)
        rc = settings(call, &s, err);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth_shape *x = &call->in[0]->shape;
    const struct hearth_shape *g = &call->in[1]->shape;
    if (x->rank < 0 || g->rank < 0)
        return HEARTH_OK;
    if (x->rank < 3 || g->rank != x->rank)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "input of rank %" PRId32 ", grid of rank %" PRId32,
                           x->rank, g->rank);
    *y = *g;
    rc = hearth__ops_merge_dim(x->dims[0], g->dims[0], &y->dims[0],
                               "batch of input and grid", err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_merge_dim(g->dims[g->rank - 1], x->rank - 2, &merged,
                                   "axes of input and grid", err);
    y->dims[1] = x->dims[1];
    for (int i = 2; i < y->rank; i++)
        y->dims[i] = g->dims[i - 1];
    return rc;
}

/* ---- Places ---- */

/* Mirrored at the borders until it lies between them. */
static double reflect(double x, double low, double high)
{
    const double range = high - low;
    if (x >= low && x <= high)
        return x;
    if (!(range > 0))
        return low;
    const double d = x < low ? low - x : x - high;
    const double n = floor(d / range), r = d - n * range;
    const bool even = fmod(n, 2) == 0;
    return (x < low) == even ? low + r : high - r;
}

static void borders(const struct sampler *s, int axis, double *low,
                    double *high)
{
    *low = s->corners ? 0 : -0.5;
    *high = (double)s->dims[axis] - (s->corners ? 1 : 0.5);
}

/* The grid's number as a place in the input's elements. In f32, so that halves
 * are as others have them. */
static double place_of(const struct sampler *s, int axis, double n)
{
    const double size = (double)s->dims[axis];
    double low, high;
    double x = s->corners ? (n + 1) / 2 * (size - 1) : ((n + 1) * size - 1) / 2;
    x = (double)(float)x;
    if (s->mode == NEAREST)
        x = nearbyint(x);
    borders(s, axis, &low, &high);
    if (x >= low && x <= high)
        return x;
    if (s->padding == BORDER)
        return isnan(x) ? 0 : fmin(fmax(x, 0), size - 1);
    return s->padding == REFLECTION ? reflect(x, low, high) : x;
}

/* The index that stands for <at>; -1: none. */
static int64_t index_of(const struct sampler *s, int axis, double at)
{
    const int64_t size = s->dims[axis];
    double low, high;
    if (at >= 0 && at <= (double)(size - 1))
        return (int64_t)at;
    if (s->padding == ZEROS || isnan(at))
        return -1;
    if (s->padding == BORDER)
        return at < 0 ? 0 : size - 1;
    borders(s, axis, &low, &high);
    at = trunc(reflect(at, low, high));
    return at < 0 ? 0 : at >= (double)size ? size - 1 : (int64_t)at;
}

static void cubic_weights(double t, double w[4])
{
    const double a = -0.75, u = 1 - t;
    w[0] = ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a;
    w[1] = ((a + 2) * t - (a + 3)) * t * t + 1;
    w[2] = ((a + 2) * u - (a + 3)) * u * u + 1;
    w[3] = ((a * (u + 1) - 5 * a) * (u + 1) + 8 * a) * (u + 1) - 4 * a;
}

struct taps {
    int count;
    int64_t index[AXES][4]; /* -1: outside */
    double weight[AXES][4];
};

/* <grid>: the numbers of one place, the last axis of the input first. */
static void taps_of(const struct sampler *s, const double *grid, struct taps *t)
{
    t->count = s->mode == NEAREST ? 1 : s->mode == LINEAR ? 2 : 4;
    for (int i = 0; i < s->rank; i++) {
        const double x = place_of(s, i, grid[s->rank - 1 - i]);
        const double base = floor(x), f = x - base;
        const double first = s->mode == CUBIC ? base - 1 : base;
        t->weight[i][0] = s->mode == NEAREST ? 1 : 1 - f;
        t->weight[i][1] = f;
        if (s->mode == CUBIC)
            cubic_weights(f, t->weight[i]);
        for (int k = 0; k < t->count; k++)
            t->index[i][k] = index_of(s, i, first + k);
    }
}

/* Sum over all combinations of the taps, in one channel. */
static double sum_of(const struct sampler *s, const struct taps *t,
                     const double *x)
{
    int at[AXES] = {0};
    double sum = 0;
    for (bool more = true; more;) {
        double weight = 1;
        int64_t offset = 0;
        bool inside = true;
        for (int i = 0; i < s->rank; i++) {
            weight *= t->weight[i][at[i]];
            inside &= t->index[i][at[i]] >= 0;
            offset = offset * s->dims[i] + t->index[i][at[i]];
        }
        if (inside)
            sum += weight * x[offset];
        more = false;
        for (int i = s->rank - 1; !more && i >= 0; i--) {
            more = ++at[i] < t->count;
            at[i] = more ? at[i] : 0;
        }
    }
    return sum;
}

HEARTH__OPS_EVAL(grid_sample)
{
    const struct hearth_shape *xs = &in[0]->shape, *gs = &in[1]->shape;
    struct sampler s = {.rank = xs->rank - 2};
    int rc = settings(call, &s, err);
    if (rc != HEARTH_OK)
        return rc;
    memcpy(s.dims, xs->dims + 2, (size_t)s.rank * sizeof s.dims[0]);
    const int64_t channels = xs->dims[1];
    const int64_t size = hearth__ops_product(xs, 2, xs->rank);
    const int64_t places = hearth__ops_product(gs, 1, gs->rank - 1);
    const int64_t count =
        hearth__ops_product(&out[0].shape, 0, out[0].shape.rank);
    if (count > 0 && size == 0)
        return hearth_fail(err, HEARTH_ESHAPE, "there is nothing to sample");
    double *x = hearth__ops_doubles(in[0], err);
    double *g = x == NULL ? NULL : hearth__ops_doubles(in[1], err);
    double *y = g == NULL ? NULL : hearth__ops_room(count, sizeof *y, err);
    for (int64_t p = 0; y != NULL && p < gs->dims[0] * places; p++) {
        const int64_t n = p / places;
        struct taps t;
        taps_of(&s, g + p * s.rank, &t);
        for (int64_t c = 0; c < channels; c++)
            y[(n * channels + c) * places + p % places] =
                sum_of(&s, &t, x + (n * channels + c) * size);
    }
    if (y != NULL)
        hearth__ops_put_doubles(&out[0], y);
    rc = y == NULL ? HEARTH_ENOMEM : HEARTH_OK;
    free(y);
    free(g);
    free(x);
    return rc;
}

/* ---- AffineGrid: theta [N,r,r+1], size [N,C,(D,)H,W] ---- */

HEARTH__OPS_INFER(affine_grid)
{
    int rc = hearth__ops_begin(call, err);
    struct hearth_shape *y = &call->out[0].shape;
    struct hearth__ops_content size;
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 1, err);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth_shape *t = &call->in[0]->shape;
    const struct hearth_shape *z = &call->in[1]->shape;
    if (t->rank < 0 && z->rank < 0)
        return HEARTH_OK;
    int64_t rank =
        z->rank == 1 && !HEARTH_DIM_IS_SYMBOL(z->dims[0])   ? z->dims[0] - 2
        : t->rank == 3 && !HEARTH_DIM_IS_SYMBOL(t->dims[1]) ? t->dims[1]
                                                            : -1;
    if (rank == -1)
        return HEARTH_OK;
    if ((rank != 2 && rank != 3) || (t->rank >= 0 && t->rank != 3) ||
        (z->rank >= 0 && z->rank != 1) ||
        (t->rank == 3 && ((t->dims[1] >= 0 && t->dims[1] != rank) ||
                          (t->dims[2] >= 0 && t->dims[2] != rank + 1))))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "a transformation of %" PRId64 " axes", rank);
    y->rank = (int32_t)rank + 2;
    const bool told =
        hearth__ops_content(call->in[1], &size) && size.n == (uint32_t)rank + 2;
    y->dims[0] = told           ? size.v[0]
                 : t->rank == 3 ? t->dims[0]
                                : hearth__ops_fresh(call);
    if (told && t->rank == 3)
        rc = hearth__ops_merge_dim(t->dims[0], size.v[0], &y->dims[0],
                                   "batch of theta and size", err);
    for (int i = 1; i <= rank; i++) {
        y->dims[i] = told ? size.v[i + 1] : hearth__ops_fresh(call);
        if (rc == HEARTH_OK && y->dims[i] < 0 &&
            !HEARTH_DIM_IS_SYMBOL(y->dims[i]))
            rc = hearth_fail(err, HEARTH_ESHAPE, "a size is %" PRId64,
                             y->dims[i]);
    }
    y->dims[rank + 1] = rank;
    return rc;
}

/* Place <i> of <n> from -1 to 1: of the ends, or of the middles of cells. */
static double base_place(int64_t i, int64_t n, bool corners)
{
    if (corners)
        return n == 1 ? -1 : -1 + 2.0 * (double)i / (double)(n - 1);
    return (2.0 * (double)i + 1) / (double)n - 1;
}

HEARTH__OPS_EVAL(affine_grid)
{
    const struct hearth_shape *ys = &out[0].shape;
    const int rank = ys->rank - 2;
    const bool corners = hearth_attr_int(call->graph, call->node,
                                         HEARTH_ATTR_ALIGN_CORNERS, 0) != 0;
    const int64_t count = hearth__ops_product(ys, 0, ys->rank);
    double *t = hearth__ops_doubles(in[0], err);
    double *y = t == NULL ? NULL : hearth__ops_room(count, sizeof *y, err);
    for (int64_t p = 0; y != NULL && p < count / rank; p++) {
        double place[4] = {0};
        int64_t rest = p;
        for (int i = rank; i >= 1; i--) {
            place[rank - i] =
                base_place(rest % ys->dims[i], ys->dims[i], corners);
            rest /= ys->dims[i];
        }
        place[rank] = 1;
        for (int i = 0; i < rank; i++) {
            const double *row = t + (rest * rank + i) * (rank + 1);
            double sum = 0;
            for (int k = 0; k <= rank; k++)
                sum += row[k] * place[k];
            y[p * rank + i] = sum;
        }
    }
    if (y != NULL)
        hearth__ops_put_doubles(&out[0], y);
    int rc = y == NULL ? HEARTH_ENOMEM : HEARTH_OK;
    free(y);
    free(t);
    return rc;
}
