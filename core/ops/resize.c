/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resize.c: Resize: the shape of the result and its evaluation. Every mode is a
 * product of one-dimensional ones, so it is done axis by axis: each output
 * coordinate takes one (nearest), two (linear), four (cubic) or more (against
 * aliases) input elements, whose weights are the same along the whole axis.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops_impl.h"

typedef union hearth__ops_num num_t;

struct settings { /* the same for every axis */
    char mode;    /* 'n', 'l', 'c' */
    const char *coordinate, *nearest;
    double a; /* the cubic one's */
    bool antialias, exclude_outside;
    double extrapolation;
};
struct plan { /* one axis */
    int64_t in, out;
    double scale;
    double from, to; /* the region of interest, of 0 to 1 */
    int64_t taps;    /* elements that an output takes */
    int64_t *at;     /* [taps] */
    double *weight;  /* [taps] */
};

static const char *text_attr(const struct hearth_op_call *call,
                             enum hearth_attr key, const char *fallback)
{
    return hearth_attr_string(call->graph, call->node, key, fallback);
}

static bool is_one_of(const char *text, const char *const *list)
{
    while (*list != NULL && strcmp(*list, text) != 0)
        list++;
    return *list != NULL;
}

static int check_modes(const struct hearth_op_call *call,
                       struct hearth_error *err)
{
    static const char *const modes[] = {"nearest", "linear", "cubic", NULL};
    static const char *const coordinates[] = {
        "half_pixel",           "pytorch_half_pixel",
        "align_corners",        "asymmetric",
        "half_pixel_symmetric", "tf_crop_and_resize",
        "tf_half_pixel_for_nn", NULL};
    static const char *const nearest[] = {
        "round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL};
    static const char *const aspects[] = {"stretch", "not_larger",
                                          "not_smaller", NULL};
    const char *mode = text_attr(call, HEARTH_ATTR_MODE, "nearest");
    const char *coordinate =
        text_attr(call, HEARTH_ATTR_COORDINATE, "half_pixel");
    const char *near =
        text_attr(call, HEARTH_ATTR_NEAREST, "round_prefer_floor");
    const char *aspect = text_attr(call, HEARTH_ATTR_ASPECT, "stretch");
    const char *bad = !is_one_of(mode, modes)               ? mode
                      : !is_one_of(coordinate, coordinates) ? coordinate
                      : !is_one_of(near, nearest)           ? near
                      : !is_one_of(aspect, aspects)         ? aspect
                                                            : NULL;
    if (bad != NULL)
        return hearth_fail(err, HEARTH_EUNSUPPORTED,
                           "mode '%.40s' is not supported", bad);
    if (strcmp(coordinate, "tf_crop_and_resize") == 0 &&
        hearth__ops_in(call, 3) == NULL)
        return hearth_fail(err, HEARTH_EMODEL,
                           "tf_crop_and_resize needs a region of interest");
    return HEARTH_OK;
}

/* The axes that are resized, in the order of sizes and scales. */
static int axes_of(const struct hearth_op_call *call, int rank,
                   int axes[HEARTH_RANK_MAX], int *count,
                   struct hearth_error *err)
{
    uint32_t given, seen = 0;
    const int64_t *list =
        hearth_attr_ints(call->graph, call->node, HEARTH_ATTR_AXES, &given);
    *count = list == NULL ? rank : (int)given;
    if (list != NULL && given > (uint32_t)rank)
        return hearth_fail(err, HEARTH_EMODEL,
                           "it has more axes than its input");
    for (int i = 0; i < *count; i++) {
        int rc =
            hearth__ops_axis(list == NULL ? i : list[i], rank, &axes[i], err);
        if (rc == HEARTH_OK && (seen >> axes[i] & 1) != 0)
            rc = hearth_fail(err, HEARTH_EMODEL, "an axis stands twice");
        if (rc != HEARTH_OK)
            return rc;
        seen |= 1u << axes[i];
    }
    return HEARTH_OK;
}

/* The one scale of all <axes> that keeps the aspect, for <sizes>. 0: "stretch",
 * each axis has its own. */
static double aspect_scale(const struct hearth_op_call *call,
                           const int64_t *dims, const int64_t *sizes,
                           const int *axes, int count)
{
    const char *aspect = text_attr(call, HEARTH_ATTR_ASPECT, "stretch");
    bool larger = strcmp(aspect, "not_smaller") == 0;
    double scale = 0;
    if (strcmp(aspect, "stretch") == 0)
        return 0;
    for (int k = 0; k < count; k++) {
        double one = (double)sizes[k] / (double)dims[axes[k]];
        if (k == 0 || (larger ? one > scale : one < scale))
            scale = one;
    }
    return scale;
}

/* Element <i> of an input that is known, as a double. */
static double known_number(const struct hearth_value_info *in, int64_t i)
{
    num_t x;
    hearth__ops_load(&x, in->data, in->dtype, i, 0, 1);
    return hearth__ops_kind(in->dtype) == HEARTH__OPS_FLOAT ? x.f : (double)x.i;
}

static int from_scale(const struct hearth_op_call *call, int64_t in,
                      double scale, double add, int64_t *dim,
                      struct hearth_error *err)
{
    if (!(scale > 0) || scale > 1e6)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "a scale is not over 0, or over a million");
    *dim = scale == 1 ? in : hearth__ops_fresh(call);
    if (scale != 1 && !HEARTH_DIM_IS_SYMBOL(in)) {
        double size = floor((double)in * scale + add);
        if (size > 9e15)
            return hearth_fail(err, HEARTH_ESHAPE, "the result is too large");
        *dim = (int64_t)size;
    }
    return HEARTH_OK;
}

/* Dimensions by sizes, of which <sizes> tells what is known. */
static int by_sizes(const struct hearth_op_call *call, const int64_t *sizes,
                    const int *axes, int count, struct hearth_error *err)
{
    const struct hearth_shape *x = &call->in[0]->shape;
    struct hearth_shape *y = &call->out[0].shape;
    bool known = true;
    for (int k = 0; k < count; k++) {
        if (sizes[k] < 0 && !HEARTH_DIM_IS_SYMBOL(sizes[k]))
            return hearth_fail(err, HEARTH_ESHAPE, "a size is negative");
        known &= sizes[k] >= 0 && x->dims[axes[k]] > 0;
        y->dims[axes[k]] = sizes[k];
    }
    if (strcmp(text_attr(call, HEARTH_ATTR_ASPECT, "stretch"), "stretch") == 0)
        return HEARTH_OK;
    double scale = known ? aspect_scale(call, x->dims, sizes, axes, count) : 0;
    for (int k = 0; k < count; k++) {
        int rc = HEARTH_OK;
        if (scale > 0)
            rc = from_scale(call, x->dims[axes[k]], scale, 0.5,
                            &y->dims[axes[k]], err);
        else
            y->dims[axes[k]] = hearth__ops_fresh(call);
        if (rc != HEARTH_OK)
            return rc;
    }
    return HEARTH_OK;
}

static int check_inputs(const struct hearth_op_call *call,
                        struct hearth_error *err)
{
    const struct hearth_value_info *scales = hearth__ops_in(call, 1);
    const struct hearth_value_info *sizes = hearth__ops_in(call, 2);
    const struct hearth_value_info *roi = hearth__ops_in(call, 3);
    int rc = check_modes(call, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 2, err);
    if (rc == HEARTH_OK && (scales == NULL) == (sizes == NULL))
        rc = hearth_fail(err, HEARTH_EMODEL,
                         "either scales or sizes must be given");
    if (rc == HEARTH_OK && scales != NULL && scales->dtype != HEARTH_F32)
        rc = hearth_fail(err, HEARTH_ETYPE, "scales must be f32");
    if (rc == HEARTH_OK && roi != NULL &&
        hearth__ops_kind(roi->dtype) != HEARTH__OPS_FLOAT)
        rc = hearth_fail(err, HEARTH_ETYPE,
                         "the region of interest must be of floats");
    return rc;
}

HEARTH__OPS_INFER(resize)
{
    int rc = hearth__ops_begin(call, err);
    const struct hearth_value_info *scales = hearth__ops_in(call, 1);
    const struct hearth_value_info *sizes = hearth__ops_in(call, 2);
    const struct hearth_value_info *roi = hearth__ops_in(call, 3);
    const struct hearth_shape *x = &call->in[0]->shape;
    struct hearth_shape *y = &call->out[0].shape;
    struct hearth__ops_content c;
    int axes[HEARTH_RANK_MAX], count = 0;
    if (rc == HEARTH_OK)
        rc = check_inputs(call, err);
    if (rc != HEARTH_OK || x->rank < 0)
        return rc;
    rc = axes_of(call, x->rank, axes, &count, err);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth_value_info *given = sizes != NULL ? sizes : scales;
    if ((given->shape.rank >= 0 && given->shape.rank != 1) ||
        (given->shape.rank == 1 && given->shape.dims[0] >= 0 &&
         given->shape.dims[0] != count))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "scales or sizes must be one for each axis");
    if (roi != NULL && hearth_shape_known(&roi->shape) &&
        (roi->shape.rank != 1 || roi->shape.dims[0] != 2 * count))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "the region of interest must have two numbers for "
                           "each axis");
    *y = *x;
    for (int k = 0; k < count; k++)
        y->dims[axes[k]] = hearth__ops_fresh(call);
    if (sizes != NULL && hearth__ops_content(sizes, &c) && (int)c.n == count)
        return by_sizes(call, c.v, axes, count, err);
    for (int k = 0; k < count && rc == HEARTH_OK; k++)
        if (scales != NULL && scales->data != NULL)
            rc = from_scale(call, x->dims[axes[k]], known_number(scales, k), 0,
                            &y->dims[axes[k]], err);
    return rc;
}

/* ---- One axis ---- */

static double source_of(const struct settings *s, const struct plan *p,
                        int64_t i)
{
    const char *coordinate = s->coordinate;
    double x = (double)i, last = (double)(p->in - 1);
    double width = p->scale * (double)p->in; /* perhaps between two numbers */
    if (strcmp(coordinate, "asymmetric") == 0)
        return x / p->scale;
    if (strcmp(coordinate, "align_corners") == 0)
        return width == 1 ? 0 : x * last / (width - 1);
    if (strcmp(coordinate, "tf_crop_and_resize") == 0)
        return p->from * last +
               (width == 1 ? (p->to - p->from) * last / 2
                           : x * (p->to - p->from) * last / (width - 1));
    if (strcmp(coordinate, "tf_half_pixel_for_nn") == 0)
        return (x + 0.5) / p->scale;
    if (strcmp(coordinate, "pytorch_half_pixel") == 0 && width == 1)
        return -0.5;
    if (strcmp(coordinate, "half_pixel_symmetric") == 0) {
        double center = (double)p->in / 2;
        return center * (1 - (double)p->out / width) + (x + 0.5) / p->scale -
               0.5;
    }
    return (x + 0.5) / p->scale - 0.5;
}

static double nearest_of(const char *how, double x)
{
    if (strcmp(how, "floor") == 0)
        return floor(x);
    if (strcmp(how, "ceil") == 0)
        return ceil(x);
    return strcmp(how, "round_prefer_ceil") == 0 ? floor(x + 0.5)
                                                 : ceil(x - 0.5);
}

/* Keys, 1981; ONNX's default a is -0.75. */
static double cubic(double a, double t)
{
    t = fabs(t);
    if (t <= 1)
        return ((a + 2) * t - (a + 3)) * t * t + 1;
    return t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a : 0;
}

/* Against aliases the window is as much wider as the result is smaller. */
static double stretch_of(const struct settings *s, const struct plan *p)
{
    return s->antialias && p->scale < 1 ? p->scale : 1;
}

static int64_t taps_of(const struct settings *s, const struct plan *p)
{
    double reach = s->mode == 'c' ? 2 : 1;
    if (s->mode == 'n')
        return 1;
    return 2 - 2 * (int64_t)(floor(-reach / stretch_of(s, p)) + 1);
}

/* The elements that output <i> takes, and their weights, which sum up to 1.
 * Beyond the edge the edge's element stands. False: it takes none, its source
 * is outside the region. */
static bool weigh(const struct settings *s, struct plan *p, int64_t i)
{
    double x = source_of(s, p, i), last = (double)(p->in - 1), sum = 0;
    double base = ceil(x) - 1, by = stretch_of(s, p);
    double first = base - (double)(p->taps / 2) + 1;
    if (strcmp(s->coordinate, "tf_crop_and_resize") == 0 && (x < 0 || x > last))
        return false;
    if (s->mode == 'n')
        first = nearest_of(s->nearest, x);
    for (int64_t k = 0; k < p->taps; k++) {
        double e = first + (double)k, t = (e - x) * by;
        p->at[k] = e < 0 ? 0 : e > last ? p->in - 1 : (int64_t)e;
        p->weight[k] = s->mode == 'n'   ? 1
                       : s->mode == 'c' ? cubic(s->a, t)
                                        : fmax(0, 1 - fabs(t));
        if (s->exclude_outside && (e < 0 || e > last) && s->mode != 'n')
            p->weight[k] = 0;
        sum += p->weight[k];
    }
    for (int64_t k = 0; sum != 0 && k < p->taps; k++)
        p->weight[k] /= sum;
    return true;
}

/* <from>, dense, with axis <axis> of <p> replaced, into <to>. */
static void resize_axis(const struct settings *s, struct plan *p,
                        const double *from, double *to, int64_t outer,
                        int64_t inner)
{
    for (int64_t i = 0; i < p->out; i++) {
        bool inside = weigh(s, p, i);
        for (int64_t o = 0; o < outer; o++)
            for (int64_t k = 0; k < inner; k++) {
                double sum = inside ? 0 : s->extrapolation;
                for (int64_t t = 0; inside && t < p->taps; t++)
                    sum +=
                        p->weight[t] * from[(o * p->in + p->at[t]) * inner + k];
                to[(o * p->out + i) * inner + k] = sum;
            }
    }
}

/* ---- All axes ---- */

static void load_dense(const struct hearth_view *x, double *to)
{
    bool real = hearth__ops_kind(x->dtype) == HEARTH__OPS_FLOAT;
    struct hearth__ops_nest nest;
    hearth__ops_nest_init(&nest, &x->shape);
    hearth__ops_nest_add(&nest, x);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest))
        for (int64_t i = 0; i < nest.run; i++) {
            num_t v;
            hearth__ops_load(&v, x->data, x->dtype,
                             nest.offset[0] + i * nest.step[0], 0, 1);
            *to++ = real ? v.f
                    : hearth__ops_kind(x->dtype) == HEARTH__OPS_SIGNED
                        ? (double)v.i
                        : (double)v.u;
        }
}

static void store_dense(const double *from, struct hearth_view *y)
{
    bool real = hearth__ops_kind(y->dtype) == HEARTH__OPS_FLOAT;
    int64_t count;
    (void)hearth_shape_count(&y->shape, &count); /* known: it is allocated */
    for (int64_t i = 0; i < count; i++) {
        num_t v = {.f = from[i]};
        if (!real)
            hearth__ops_convert(&v, 1, HEARTH_F64, y->dtype);
        hearth__ops_store(y->data, y->dtype, i, 0, &v, 1);
    }
}

static int64_t most_elements(const struct hearth_shape *a,
                             const struct hearth_shape *b)
{
    int64_t most = 1;
    for (int i = 0; i < a->rank; i++)
        if (__builtin_mul_overflow(
                most, a->dims[i] > b->dims[i] ? a->dims[i] : b->dims[i], &most))
            return -1;
    return most;
}

static double number_at(const struct hearth_view *v, int64_t i)
{
    num_t x;
    hearth__ops_load(&x, v->data, v->dtype, i * v->strides[0], 0, 1);
    return hearth__ops_kind(v->dtype) == HEARTH__OPS_FLOAT ? x.f : (double)x.i;
}

static const struct hearth_view *input_of(const struct hearth_op_call *call,
                                          const struct hearth_view *const *in,
                                          uint32_t k)
{
    return hearth__ops_in(call, k) != NULL ? in[k] : NULL;
}

/* A plan for each axis; those that stay have the scale 1. */
static int make_plans(const struct hearth_op_call *call,
                      const struct hearth_view *const *in,
                      const struct hearth_view *out,
                      struct plan plans[HEARTH_RANK_MAX],
                      struct hearth_error *err)
{
    const struct hearth_view *scales = input_of(call, in, 1);
    const struct hearth_view *sizes = input_of(call, in, 2);
    const struct hearth_view *roi = input_of(call, in, 3);
    int axes[HEARTH_RANK_MAX], count = 0, rank = in[0]->shape.rank;
    int64_t wanted[HEARTH_RANK_MAX] = {0};
    int rc = axes_of(call, rank, axes, &count, err);
    if (rc != HEARTH_OK)
        return rc;
    for (int i = 0; i < rank; i++) {
        plans[i] = (struct plan){.in = in[0]->shape.dims[i],
                                 .out = out->shape.dims[i],
                                 .scale = 1,
                                 .to = 1};
        if (plans[i].in == 0 && plans[i].out > 0)
            return hearth_fail(err, HEARTH_ESHAPE,
                               "there is nothing to resize along axis %d", i);
    }
    for (int k = 0; k < count && sizes != NULL; k++)
        wanted[k] = (int64_t)number_at(sizes, k);
    double all = sizes == NULL ? 0
                               : aspect_scale(call, in[0]->shape.dims, wanted,
                                              axes, count);
    for (int k = 0; k < count; k++) {
        struct plan *p = &plans[axes[k]];
        p->scale = scales != NULL ? number_at(scales, k)
                   : all > 0      ? all
                   : p->in > 0    ? (double)p->out / (double)p->in
                                  : 1;
        if (roi != NULL) {
            p->from = number_at(roi, k);
            p->to = number_at(roi, count + k);
        }
    }
    return HEARTH_OK;
}

/* Axis by axis; *a holds the input, and the result in the end. */
static int resize_all(const struct settings *s, struct plan *plans,
                      struct hearth_shape *shape, double **a, double **b,
                      struct hearth_error *err)
{
    for (int i = 0; i < shape->rank; i++) {
        struct plan *p = &plans[i];
        int64_t outer = 1, inner = 1;
        if (p->in == 0 ||
            (p->scale == 1 && p->in == p->out && p->from == 0 && p->to == 1))
            continue;
        for (int k = 0; k < shape->rank; k++)
            *(k < i   ? &outer
              : k > i ? &inner
                      : &(int64_t){1}) *= shape->dims[k];
        p->taps = p->out == 0 ? 0 : taps_of(s, p);
        p->at = hearth__ops_malloc((size_t)p->taps * sizeof *p->at + 1);
        p->weight = hearth__ops_malloc((size_t)p->taps * sizeof *p->weight + 1);
        bool room = p->at != NULL && p->weight != NULL;
        if (room)
            resize_axis(s, p, *a, *b, outer, inner);
        free(p->at);
        free(p->weight);
        if (!room)
            return hearth_fail(err, HEARTH_ENOMEM, "no memory to resize");
        double *swap = *a;
        *a = *b;
        *b = swap;
        shape->dims[i] = p->out;
    }
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(resize)
{
    const struct settings s = {
        .mode = text_attr(call, HEARTH_ATTR_MODE, "nearest")[0],
        .coordinate = text_attr(call, HEARTH_ATTR_COORDINATE, "half_pixel"),
        .nearest = text_attr(call, HEARTH_ATTR_NEAREST, "round_prefer_floor"),
        .a = hearth_attr_float(call->graph, call->node, HEARTH_ATTR_ALPHA,
                               -0.75),
        .antialias = hearth_attr_int(call->graph, call->node,
                                     HEARTH_ATTR_ANTIALIAS, 0) != 0,
        .exclude_outside = hearth_attr_int(call->graph, call->node,
                                           HEARTH_ATTR_EXCLUDE_OUTSIDE, 0) != 0,
        .extrapolation = hearth_attr_float(call->graph, call->node,
                                           HEARTH_ATTR_EXTRAPOLATION, 0)};
    struct hearth_shape shape = in[0]->shape;
    struct plan plans[HEARTH_RANK_MAX];
    int64_t most = most_elements(&shape, &out[0].shape);
    if (most < 0 || (uint64_t)most > SIZE_MAX / sizeof(double))
        return hearth_fail(err, HEARTH_ESHAPE, "the result is too large");
    int rc = make_plans(call, in, &out[0], plans, err);
    if (rc != HEARTH_OK)
        return rc;
    double *a = hearth__ops_malloc((size_t)most * sizeof *a + 1);
    double *b = hearth__ops_malloc((size_t)most * sizeof *b + 1);
    if (a == NULL || b == NULL)
        rc = hearth_fail(err, HEARTH_ENOMEM, "no memory to resize");
    if (rc == HEARTH_OK) {
        load_dense(in[0], a);
        rc = resize_all(&s, plans, &shape, &a, &b, err);
    }
    if (rc == HEARTH_OK)
        store_dense(a, &out[0]);
    free(a);
    free(b);
    return rc;
}
