/* SPDX-License-Identifier: Apache-2.0 */
/*
 * suppress.c: NonMaxSuppression: of the boxes of a class, best score first,
 * those that do not overlap a better one too much. Counted first, then done
 * again to write: its cost is the product of boxes and chosen ones, and
 * nothing is kept between.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "ops/ops_impl.h"

HEARTH__OPS_INFER(non_max_suppression)
{
    int rc = hearth__ops_begin(call, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_same_dtype(call, 1, err);
    const struct hearth_value_info *most = hearth__ops_in(call, 2);
    if (rc == HEARTH_OK && most != NULL && most->dtype != HEARTH_I64)
        rc = hearth_fail(err, HEARTH_ETYPE, "the most a class is %s, not i64",
                         hearth_dtype_name(most->dtype));
    for (uint32_t k = 3; rc == HEARTH_OK && k < call->input_count; k++)
        rc = hearth__ops_same_dtype(call, k, err);
    for (uint32_t k = 0; rc == HEARTH_OK && k < 2; k++)
        if (call->in[k]->shape.rank >= 0 && call->in[k]->shape.rank != 3)
            rc = hearth_fail(err, HEARTH_ESHAPE,
                             "input %" PRIu32 " has rank %d, it must have 3", k,
                             (int)call->in[k]->shape.rank);
    if (rc != HEARTH_OK)
        return rc;
    call->out[0].dtype = HEARTH_I64;
    call->out[0].shape.rank = 2;
    call->out[0].shape.dims[0] = hearth__ops_fresh(call);
    call->out[0].shape.dims[1] = 3;
    return HEARTH_OK;
}

struct box {
    double low[2], high[2];
};
struct candidate {
    double score;
    int64_t box;
};
struct work {
    int64_t batches, classes, boxes, most;
    double overlap, least;
    bool has_least, center;
    struct candidate *candidates; /* [boxes] of one class */
    struct box *chosen;           /* [boxes] */
};

static double number_at(const struct hearth_view *v, int64_t offset)
{
    union hearth__ops_num x;
    hearth__ops_load(&x, v->data, v->dtype, offset, 1, 1);
    return x.f;
}

/* The one number of input <k>, or <fallback>. */
static int one_number(const struct hearth_op_call *call,
                      const struct hearth_view *const *in, uint32_t k,
                      double *value, struct hearth_error *err)
{
    int64_t count;
    if (k >= call->input_count || in[k] == NULL)
        return HEARTH_OK;
    if (!hearth_shape_count(&in[k]->shape, &count) || count != 1)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "input %" PRIu32 " must be one number", k);
    *value = in[k]->dtype == HEARTH_I64 ? (double)*(int64_t *)in[k]->data
                                        : number_at(in[k], 0);
    return HEARTH_OK;
}

static int begin(const struct hearth_op_call *call,
                 const struct hearth_view *const *in, struct work *w,
                 struct hearth_error *err)
{
    const struct hearth_shape *b = &in[0]->shape, *s = &in[1]->shape;
    double most = 0;
    *w = (struct work){
        .batches = s->dims[0], .classes = s->dims[1], .boxes = s->dims[2]};
    w->center = hearth_attr_int(call->graph, call->node,
                                HEARTH_ATTR_CENTER_POINT_BOX, 0) != 0;
    if (b->dims[2] != 4 || b->dims[0] != w->batches || b->dims[1] != w->boxes)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "boxes [%" PRId64 ",%" PRId64 ",%" PRId64
                           "] do not suit scores [%" PRId64 ",%" PRId64
                           ",%" PRId64 "]",
                           b->dims[0], b->dims[1], b->dims[2], s->dims[0],
                           s->dims[1], s->dims[2]);
    int rc = one_number(call, in, 2, &most, err);
    if (rc == HEARTH_OK)
        rc = one_number(call, in, 3, &w->overlap, err);
    if (rc == HEARTH_OK)
        rc = one_number(call, in, 4, &w->least, err);
    if (rc != HEARTH_OK)
        return rc;
    w->has_least = call->input_count > 4 && in[4] != NULL;
    w->most = most <= 0 ? 0 : most > 1e18 ? INT64_MAX : (int64_t)most;
    if ((uint64_t)w->boxes > SIZE_MAX / 64)
        return hearth_fail(err, HEARTH_ETOOBIG, "there are too many boxes");
    w->candidates =
        hearth__ops_malloc(((size_t)w->boxes + 1) * sizeof *w->candidates);
    w->chosen = hearth__ops_malloc(((size_t)w->boxes + 1) * sizeof *w->chosen);
    if (w->candidates != NULL && w->chosen != NULL)
        return HEARTH_OK;
    free(w->candidates);
    free(w->chosen);
    return hearth_fail(err, HEARTH_ENOMEM, "no memory for boxes; try again");
}

/* Best first; of equals the one that stands first. A NaN is worse than all. */
static int by_score(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->score > y->score || (x->score == x->score && y->score != y->score))
        return -1;
    if (x->score < y->score || (x->score != x->score && y->score == y->score))
        return 1;
    return (x->box > y->box) - (x->box < y->box);
}

static struct box box_at(const struct work *w, const struct hearth_view *boxes,
                         int64_t batch, int64_t number)
{
    double v[4];
    struct box box;
    for (int k = 0; k < 4; k++)
        v[k] = number_at(boxes, batch * boxes->strides[0] +
                                    number * boxes->strides[1] +
                                    k * boxes->strides[2]);
    for (int k = 0; k < 2; k++) {
        double a = w->center ? v[k] - v[k + 2] / 2 : v[k];
        double b = w->center ? v[k] + v[k + 2] / 2 : v[k + 2];
        box.low[k] = fmin(a, b);
        box.high[k] = fmax(a, b);
    }
    return box;
}

static double area(const struct box *b)
{
    return (b->high[0] - b->low[0]) * (b->high[1] - b->low[1]);
}

static bool overlaps(const struct work *w, const struct box *a,
                     const struct box *b)
{
    struct box both;
    for (int k = 0; k < 2; k++) {
        both.low[k] = fmax(a->low[k], b->low[k]);
        both.high[k] = fmin(a->high[k], b->high[k]);
        if (both.high[k] <= both.low[k])
            return false;
    }
    double common = area(&both), all = area(a) + area(b) - common;
    return all > 0 && common / all > w->overlap;
}

/* One class of one batch; *found grows, <y> may be NULL. */
static void choose(struct work *w, const struct hearth_view *const *in,
                   int64_t batch, int64_t class, int64_t *y, int64_t *found)
{
    int64_t n = 0, chosen = 0;
    const struct hearth_view *scores = in[1];
    for (int64_t i = 0; i < w->boxes; i++) {
        double score = number_at(scores, batch * scores->strides[0] +
                                             class * scores->strides[1] +
                                             i * scores->strides[2]);
        if (!w->has_least || score > w->least)
            w->candidates[n++] = (struct candidate){score, i};
    }
    qsort(w->candidates, (size_t)n, sizeof *w->candidates, by_score);
    for (int64_t i = 0; i < n && chosen < w->most; i++) {
        struct box box = box_at(w, in[0], batch, w->candidates[i].box);
        bool free_one = true;
        for (int64_t k = 0; free_one && k < chosen; k++)
            free_one = !overlaps(w, &box, &w->chosen[k]);
        if (!free_one)
            continue;
        w->chosen[chosen++] = box;
        if (y != NULL) {
            y[*found * 3] = batch;
            y[*found * 3 + 1] = class;
            y[*found * 3 + 2] = w->candidates[i].box;
        }
        ++*found;
    }
}

static int suppress(const struct hearth_op_call *call,
                    const struct hearth_view *const *in, int64_t *y,
                    int64_t *found, struct hearth_error *err)
{
    struct work w;
    *found = 0;
    int rc = begin(call, in, &w, err);
    if (rc != HEARTH_OK)
        return rc;
    for (int64_t b = 0; b < w.batches; b++)
        for (int64_t c = 0; c < w.classes; c++)
            choose(&w, in, b, c, y, found);
    free(w.candidates);
    free(w.chosen);
    return HEARTH_OK;
}

HEARTH__OPS_MEASURE(non_max_suppression)
{
    return suppress(call, in, NULL, &call->out[0].shape.dims[0], err);
}

HEARTH__OPS_EVAL(non_max_suppression)
{
    int64_t found;
    return suppress(call, in, out[0].data, &found, err);
}
