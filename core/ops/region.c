/* SPDX-License-Identifier: Apache-2.0 */
/*
 * region.c: operators that look at places between the elements of an image:
 * RoiAlign (Mask R-CNN) and DeformConv. A place is the four elements around it,
 * weighted. Also Det.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops_impl.h"

/* ---- RoiAlign: X [N,C,H,W], rois [R,4], batch indices [R] ---- */

HEARTH__OPS_INFER(roi_align)
{
    int rc = hearth__ops_begin(call, err);
    const struct hearth_graph *g = call->graph;
    const char *mode =
        hearth_attr_string(g, call->node, HEARTH_ATTR_MODE, "avg");
    const char *how =
        hearth_attr_string(g, call->node, HEARTH_ATTR_COORDINATE, "half_pixel");
    const int64_t h =
        hearth_attr_int(g, call->node, HEARTH_ATTR_OUTPUT_HEIGHT, 1);
    const int64_t w =
        hearth_attr_int(g, call->node, HEARTH_ATTR_OUTPUT_WIDTH, 1);
    const int64_t ratio =
        hearth_attr_int(g, call->node, HEARTH_ATTR_SAMPLING_RATIO, 0);
    int64_t count;
    if (rc == HEARTH_OK)
        rc = hearth__ops_same_dtype(call, 1, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 2, err);
    if (rc != HEARTH_OK)
        return rc;
    if ((strcmp(mode, "avg") != 0 && strcmp(mode, "max") != 0) ||
        (strcmp(how, "half_pixel") != 0 &&
         strcmp(how, "output_half_pixel") != 0) ||
        h < 1 || w < 1 || h > INT32_MAX || w > INT32_MAX || ratio < 0 ||
        ratio > 4096)
        return hearth_fail(err, HEARTH_EMODEL,
                           "mode '%.30s' '%.30s', %" PRId64 " by %" PRId64
                           ", sampling_ratio %" PRId64,
                           mode, how, h, w, ratio);
    const struct hearth_shape *x = &call->in[0]->shape;
    const struct hearth_shape *r = &call->in[1]->shape;
    const struct hearth_shape *b = &call->in[2]->shape;
    if ((x->rank >= 0 && x->rank != 4) || (r->rank >= 0 && r->rank != 2) ||
        (b->rank >= 0 && b->rank != 1) ||
        (r->rank == 2 && r->dims[1] >= 0 && r->dims[1] != 4))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "it takes [N,C,H,W], [R,4] and [R]");
    count = r->rank < 0 ? hearth__ops_fresh(call) : r->dims[0];
    if (b->rank == 1)
        rc = hearth__ops_merge_dim(b->dims[0], count, &count,
                                   "regions and their images", err);
    call->out[0].shape = (struct hearth_shape){
        .rank = 4,
        .dims = {count, x->rank < 0 ? hearth__ops_fresh(call) : x->dims[1], h,
                 w}};
    return rc;
}

/* The four elements around a place, and their weights; all 0 outside. */
struct corners {
    int64_t at[4];
    double weight[4];
};

static struct corners corners_of(double y, double x, int64_t height,
                                 int64_t width)
{
    struct corners c = {{0}, {0}};
    if (!(y >= -1 && y <= (double)height && x >= -1 && x <= (double)width))
        return c;
    y = y < 0 ? 0 : y;
    x = x < 0 ? 0 : x;
    int64_t top = (int64_t)y, left = (int64_t)x;
    int64_t bottom = top + 1, right = left + 1;
    if (top >= height - 1) {
        top = bottom = height - 1;
        y = (double)top;
    }
    if (left >= width - 1) {
        left = right = width - 1;
        x = (double)left;
    }
    const double fy = y - (double)top, fx = x - (double)left;
    return (struct corners){
        {top * width + left, top * width + right, bottom * width + left,
         bottom * width + right},
        {(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx}};
}

struct roi {
    double y, x, bin_h, bin_w; /* where it begins, and sizes of bins */
    int64_t grid_h, grid_w;    /* places in a bin */
    int64_t height, width;     /* of the image */
    bool max;
};

/* One bin of one channel. */
static double pool_bin(const struct roi *r, const double *x, int64_t ph,
                       int64_t pw)
{
    double sum = 0;
    bool any = false;
    for (int64_t iy = 0; iy < r->grid_h; iy++)
        for (int64_t ix = 0; ix < r->grid_w; ix++) {
            const struct corners c = corners_of(
                r->y + r->bin_h *
                           ((double)ph + ((double)iy + .5) / (double)r->grid_h),
                r->x + r->bin_w *
                           ((double)pw + ((double)ix + .5) / (double)r->grid_w),
                r->height, r->width);
            double all = 0, top = c.weight[0] * x[c.at[0]];
            for (int i = 0; i < 4; i++) {
                const double v = c.weight[i] * x[c.at[i]];
                all += v;
                top = v > top ? v : top;
            }
            if (!r->max)
                sum += all;
            else if (!any || top > sum)
                sum = top;
            any = true;
        }
    const double count = (double)(r->grid_h * r->grid_w);
    return r->max || count < 1 ? sum : sum / count;
}

#define GRID_MAX 4096 /* far more than an image has */

/* Places along one side of a bin; -1: too many. */
static int64_t grid_of(int64_t ratio, double bin)
{
    if (ratio > 0)
        return ratio;
    if (!(bin > 0))
        return 0;
    return bin <= GRID_MAX ? (int64_t)ceil(bin) : -1;
}

HEARTH__OPS_EVAL(roi_align)
{
    const struct hearth_graph *g = call->graph;
    const struct hearth_shape *xs = &in[0]->shape, *ys = &out[0].shape;
    const double scale =
        hearth_attr_float(g, call->node, HEARTH_ATTR_SPATIAL_SCALE, 1);
    const int64_t ratio =
        hearth_attr_int(g, call->node, HEARTH_ATTR_SAMPLING_RATIO, 0);
    const bool half =
        strcmp(hearth_attr_string(g, call->node, HEARTH_ATTR_COORDINATE,
                                  "half_pixel"),
               "half_pixel") == 0;
    struct roi r = {.height = xs->dims[2],
                    .width = xs->dims[3],
                    .max = strcmp(hearth_attr_string(g, call->node,
                                                     HEARTH_ATTR_MODE, "avg"),
                                  "max") == 0};
    const int64_t plane = r.height * r.width, channels = xs->dims[1];
    const int64_t count = hearth__ops_product(ys, 0, 4);
    int rc = HEARTH_OK;
    double *x = hearth__ops_doubles(in[0], err);
    double *boxes = x == NULL ? NULL : hearth__ops_doubles(in[1], err);
    double *y = boxes == NULL ? NULL : hearth__ops_room(count, sizeof *y, err);
    if (y == NULL)
        rc = HEARTH_ENOMEM;
    for (int64_t n = 0; rc == HEARTH_OK && n < ys->dims[0] && count > 0; n++) {
        const int64_t image =
            (int64_t)hearth__ops_number(in[2], n * in[2]->strides[0]);
        const double shift = half ? .5 : 0, *box = boxes + 4 * n;
        if (image < 0 || image >= xs->dims[0] || plane == 0) {
            rc = hearth_fail(err, HEARTH_EINVAL,
                             "region %" PRId64 " is of image %" PRId64, n,
                             image);
            break;
        }
        r.x = box[0] * scale - shift;
        r.y = box[1] * scale - shift;
        double w = box[2] * scale - shift - r.x,
               h = box[3] * scale - shift - r.y;
        w = half ? w : fmax(w, 1);
        h = half ? h : fmax(h, 1);
        r.bin_h = h / (double)ys->dims[2];
        r.bin_w = w / (double)ys->dims[3];
        r.grid_h = grid_of(ratio, r.bin_h);
        r.grid_w = grid_of(ratio, r.bin_w);
        if (r.grid_h < 0 || r.grid_w < 0) {
            rc = hearth_fail(err, HEARTH_EINVAL,
                             "region %" PRId64 " is too large", n);
            break;
        }
        for (int64_t k = 0; k < count / ys->dims[0]; k++) {
            const int64_t pw = k % ys->dims[3];
            const int64_t ph = k / ys->dims[3] % ys->dims[2];
            const int64_t c = k / (ys->dims[3] * ys->dims[2]);
            y[n * (count / ys->dims[0]) + k] =
                pool_bin(&r, x + (image * channels + c) * plane, ph, pw);
        }
    }
    if (rc == HEARTH_OK)
        hearth__ops_put_doubles(&out[0], y);
    free(y);
    free(boxes);
    free(x);
    return rc;
}

/* ---- DeformConv: X, W, offsets, [B], [mask]; two spatial axes ---- */

HEARTH__OPS_INFER(deform_conv)
{
    int rc = hearth__ops_begin(call, err);
    const int64_t groups =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_OFFSET_GROUP, 1);
    struct hearth_shape *y = &call->out[0].shape;
    for (uint32_t k = 1; rc == HEARTH_OK && k < call->input_count; k++)
        rc = hearth__ops_same_dtype(call, k, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_conv_shape(call, 1, 3, err);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth_shape *x = &call->in[0]->shape;
    const struct hearth_shape *w = &call->in[1]->shape;
    if (x->rank < 0 || w->rank < 0)
        return HEARTH_OK;
    if (x->rank != 4)
        return hearth_fail(err, HEARTH_EUNSUPPORTED,
                           "only two spatial axes are supported");
    if (groups < 1 || groups > INT32_MAX ||
        (!HEARTH_DIM_IS_SYMBOL(x->dims[1]) && x->dims[1] % groups != 0))
        return hearth_fail(err, HEARTH_ESHAPE, "offset_group is %" PRId64,
                           groups);
    const bool known = w->dims[2] >= 0 && w->dims[3] >= 0;
    int64_t taps = 1;
    if (known && (__builtin_mul_overflow(w->dims[2], w->dims[3], &taps) ||
                  __builtin_mul_overflow(taps, 2 * groups, &taps)))
        return hearth_fail(err, HEARTH_ESHAPE, "the kernel is too large");
    for (uint32_t k = 2; rc == HEARTH_OK && k < 5; k += 2) {
        const struct hearth_value_info *in = hearth__ops_in(call, k);
        if (in == NULL || in->shape.rank < 0)
            continue;
        if (in->shape.rank != 4)
            return hearth_fail(err, HEARTH_ESHAPE,
                               "input %" PRIu32 " has rank %" PRId32, k,
                               in->shape.rank);
        for (int i = 0; rc == HEARTH_OK && i < 4; i++) {
            int64_t merged;
            const int64_t want = i == 1 ? taps / (k == 2 ? 1 : 2) : y->dims[i];
            if (i != 1 || known)
                rc = hearth__ops_merge_dim(want, in->shape.dims[i], &merged,
                                           "offsets and result", err);
        }
    }
    return rc;
}

struct deform {
    struct hearth_window win;
    int64_t group, offset_group, channels, taps, pixels, plane;
    const double *offset, *mask;
};

/* What lies at a place; 0 outside, where corners fade out. */
static double bilinear(const double *x, double py, double px, int64_t height,
                       int64_t width)
{
    const double top = floor(py), left = floor(px);
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        const double y = top + (i >> 1), z = left + (i & 1);
        if (y >= 0 && y < (double)height && z >= 0 && z < (double)width)
            sum += (1 - fabs(py - y)) * (1 - fabs(px - z)) *
                   x[(int64_t)y * width + (int64_t)z];
    }
    return sum;
}

/* What kernel cell <tap> sees of channel <c> of image <n> from <at>. */
static double look(const struct deform *d, const double *x, int64_t n,
                   int64_t c, int64_t tap, int64_t at)
{
    const struct hearth_window *w = &d->win;
    const int64_t g = n * d->offset_group + c / (d->channels / d->offset_group);
    const double *offset = d->offset + (g * d->taps + tap) * 2 * d->pixels + at;
    const double py = (double)(at / w->out[1] * w->stride[0] - w->pad_begin[0] +
                               tap / w->kernel[1] * w->dilation[0]) +
                      offset[0];
    const double px = (double)(at % w->out[1] * w->stride[1] - w->pad_begin[1] +
                               tap % w->kernel[1] * w->dilation[1]) +
                      offset[d->pixels];
    const double v = bilinear(x + (n * d->channels + c) * d->plane, py, px,
                              w->in[0], w->in[1]);
    return d->mask == NULL ? v
                           : v * d->mask[(g * d->taps + tap) * d->pixels + at];
}

static void run_deform(const struct deform *d, const struct hearth_shape *ws,
                       const double *x, const double *w, int64_t n, double *y)
{
    const int64_t depth = ws->dims[1], outs = ws->dims[0] / d->group;
    for (int64_t c = 0; c < d->channels; c++)
        for (int64_t tap = 0; tap < d->taps; tap++)
            for (int64_t at = 0; at < d->pixels; at++) {
                const double v = look(d, x, n, c, tap, at);
                for (int64_t k = 0; k < outs; k++) {
                    const int64_t m = c / depth * outs + k;
                    y[m * d->pixels + at] +=
                        v * w[(m * depth + c % depth) * d->taps + tap];
                }
            }
}

HEARTH__OPS_EVAL(deform_conv)
{
    const struct hearth_shape *ws = &in[1]->shape, *ys = &out[0].shape;
    struct deform d = {
        .group = hearth_attr_int(call->graph, call->node, HEARTH_ATTR_GROUP, 1),
        .offset_group = hearth_attr_int(call->graph, call->node,
                                        HEARTH_ATTR_OFFSET_GROUP, 1),
        .channels = in[0]->shape.dims[1]};
    double *v[5] = {NULL}, *y = NULL;
    int rc = hearth__ops_window(call, &in[0]->shape, ws, &d.win, err);
    const int64_t count = hearth__ops_product(ys, 0, 4);
    if (rc != HEARTH_OK || count == 0)
        return rc;
    d.taps = ws->dims[2] * ws->dims[3];
    d.pixels = ys->dims[2] * ys->dims[3];
    d.plane = d.win.in[0] * d.win.in[1];
    for (uint32_t k = 0; rc == HEARTH_OK && k < 5; k++)
        if (hearth__ops_in(call, k) != NULL &&
            (v[k] = hearth__ops_doubles(in[k], err)) == NULL)
            rc = HEARTH_ENOMEM;
    if (rc == HEARTH_OK &&
        (y = hearth__ops_room(count, sizeof *y, err)) == NULL)
        rc = HEARTH_ENOMEM;
    d.offset = v[2];
    d.mask = v[4];
    for (int64_t i = 0; rc == HEARTH_OK && i < count; i++)
        y[i] = v[3] == NULL ? 0 : v[3][i / d.pixels % ys->dims[1]];
    for (int64_t n = 0; rc == HEARTH_OK && n < ys->dims[0]; n++)
        run_deform(&d, ws, v[0], v[1], n, y + n * ys->dims[1] * d.pixels);
    if (rc == HEARTH_OK)
        hearth__ops_put_doubles(&out[0], y);
    free(y);
    for (int k = 0; k < 5; k++)
        free(v[k]);
    return rc;
}

/* ---- Det ---- */

HEARTH__OPS_INFER(det)
{
    int rc = hearth__ops_begin(call, err);
    struct hearth_shape *y = &call->out[0].shape;
    int64_t merged;
    if (rc != HEARTH_OK || call->in[0]->shape.rank < 0)
        return rc;
    *y = call->in[0]->shape;
    if (y->rank < 2)
        return hearth_fail(err, HEARTH_ESHAPE, "input is no matrix");
    y->rank -= 2;
    return hearth__ops_merge_dim(y->dims[y->rank], y->dims[y->rank + 1],
                                 &merged, "sides of the matrix", err);
}

/* Stacked matrices are independent. */
HEARTH__OPS_BATCH(det)
{
    return call->in[0]->shape.rank > 2;
}

/* By elimination, in place, the largest pivot first. */
static double determinant(double *a, int64_t n)
{
    double det = 1;
    for (int64_t k = 0; k < n; k++) {
        int64_t best = k;
        for (int64_t i = k + 1; i < n; i++)
            if (fabs(a[i * n + k]) > fabs(a[best * n + k]))
                best = i;
        if (a[best * n + k] == 0)
            return 0;
        for (int64_t j = 0; best != k && j < n; j++) {
            const double swap = a[k * n + j];
            a[k * n + j] = a[best * n + j];
            a[best * n + j] = swap;
        }
        det *= best != k ? -a[k * n + k] : a[k * n + k];
        for (int64_t i = k + 1; i < n; i++) {
            const double f = a[i * n + k] / a[k * n + k];
            for (int64_t j = k; j < n; j++)
                a[i * n + j] -= f * a[k * n + j];
        }
    }
    return det;
}

HEARTH__OPS_EVAL(det)
{
    const int rank = in[0]->shape.rank;
    const int64_t n = in[0]->shape.dims[rank - 1];
    const int64_t count =
        hearth__ops_product(&out[0].shape, 0, out[0].shape.rank);
    (void)call;
    double *a = hearth__ops_doubles(in[0], err);
    double *y = a == NULL ? NULL : hearth__ops_room(count, sizeof *y, err);
    for (int64_t i = 0; y != NULL && i < count; i++)
        y[i] = determinant(a + i * n * n, n);
    if (y != NULL)
        hearth__ops_put_doubles(&out[0], y);
    int rc = y == NULL ? HEARTH_ENOMEM : HEARTH_OK;
    free(y);
    free(a);
    return rc;
}
