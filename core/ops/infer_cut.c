/* SPDX-License-Identifier: Apache-2.0 */
/*
 * infer_cut.c: Slice and Pad: their bounds, resolved once for inference and
 * evaluation alike, and their shapes.
 *
 * Slice's bounds are numpy's: negative ones count from the end, all are cut to
 * what exists, so that INT64_MAX and INT64_MIN mean "to the end" in either
 * direction. Every sum here is of a bound and a size >= 0 of the other sign, or
 * of numbers already cut to a size: none can overflow.
 */
#include <inttypes.h>
#include <string.h>

#include "ops/ops_impl.h"

int hearth__ops_slice_axis(int64_t dim, int64_t start, int64_t end,
                           int64_t step, struct hearth__ops_slice *slice,
                           struct hearth_error *err)
{
    if (step == 0)
        return hearth_fail(err, HEARTH_EMODEL, "step is 0");
    /* Bounds of where a slice may start and end. */
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? dim : dim - 1;
    start = start < 0 ? start + dim : start;
    end = end < 0 ? end + dim : end;
    start = start < low ? low : start > high ? high : start;
    end = end < low ? low : end > high ? high : end;
    uint64_t span = 0, pace = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    if (step > 0 ? end > start : start > end)
        span = (uint64_t)(step > 0 ? end - start : start - end);
    slice->start = start;
    slice->step = step;
    slice->count = (int64_t)(span / pace + (span % pace != 0));
    /* One element or none: the step is never taken, and may be absurd. */
    if (slice->count <= 1)
        slice->step = 1;
    if (slice->count == 0)
        slice->start = 0;
    return HEARTH_OK;
}

int hearth__ops_slices(int rank, const struct hearth__ops_content *starts,
                       const struct hearth__ops_content *ends,
                       const struct hearth__ops_content *axes,
                       const struct hearth__ops_content *steps,
                       struct hearth__ops_slices *slices,
                       struct hearth_error *err)
{
    uint32_t n = starts->n;
    *slices = (struct hearth__ops_slices){0};
    if (ends->n != n || (axes != NULL && axes->n != n) ||
        (steps != NULL && steps->n != n) || n > (uint32_t)rank)
        return hearth_fail(err, HEARTH_EMODEL,
                           "starts, ends, axes and steps differ in number, or "
                           "are more than the rank %d",
                           rank);
    for (uint32_t i = 0; i < n; i++) {
        int axis = (int)i;
        int rc = axes == NULL ? HEARTH_OK
                              : hearth__ops_axis(axes->v[i], rank, &axis, err);
        if (rc == HEARTH_OK && slices->set & 1u << axis)
            rc =
                hearth_fail(err, HEARTH_EMODEL, "axis %d is named twice", axis);
        if (rc != HEARTH_OK)
            return rc;
        slices->set |= 1u << axis;
        slices->start[axis] = starts->v[i];
        slices->end[axis] = ends->v[i];
        slices->step[axis] = steps == NULL ? 1 : steps->v[i];
        slices->known[axis] =
            (starts->known || !HEARTH_DIM_IS_SYMBOL(starts->v[i])) &&
            (ends->known || !HEARTH_DIM_IS_SYMBOL(ends->v[i])) &&
            (steps == NULL || steps->known ||
             !HEARTH_DIM_IS_SYMBOL(steps->v[i]));
    }
    return HEARTH_OK;
}

/* Does the slice of a symbolic size keep all of it? */
static bool keeps_all(const struct hearth__ops_slices *s, int axis, int64_t dim)
{
    int64_t start = s->start[axis], end = s->end[axis];
    if (!s->known[axis]) /* x[0:size]: the end is the symbol itself */
        return start == 0 && end == dim && s->step[axis] == 1;
    /* Exporters write INT64_MAX, INT32_MAX, or either less one. */
    if (s->step[axis] == 1)
        return start == 0 && end >= INT32_MAX - 1;
    return s->step[axis] == -1 && start == -1 && end <= INT32_MIN + 1;
}

static int slice_dims(const struct hearth_op_call *call,
                      const struct hearth__ops_slices *s,
                      struct hearth_error *err)
{
    struct hearth_shape *y = &call->out[0].shape;
    *y = call->in[0]->shape;
    for (int i = 0; i < y->rank; i++) {
        struct hearth__ops_slice cut;
        if (!(s->set & 1u << i))
            continue;
        if (s->known[i] && !HEARTH_DIM_IS_SYMBOL(y->dims[i])) {
            int rc = hearth__ops_slice_axis(y->dims[i], s->start[i], s->end[i],
                                            s->step[i], &cut, err);
            if (rc != HEARTH_OK)
                return rc;
            y->dims[i] = cut.count;
        } else if (s->known[i] && s->step[i] == 0) {
            return hearth_fail(err, HEARTH_EMODEL, "step is 0");
        } else if (!keeps_all(s, i, y->dims[i])) {
            y->dims[i] = hearth__ops_fresh(call);
        }
    }
    return HEARTH_OK;
}

static void slice_content(const struct hearth_op_call *call,
                          const struct hearth__ops_slices *s)
{
    struct hearth__ops_content c;
    struct hearth__ops_slice cut = {0, 1, 0};
    int64_t values[HEARTH_CONTENT_MAX];
    if (call->in[0]->shape.rank != 1 || !hearth__ops_content(call->in[0], &c))
        return;
    if (!(s->set & 1u))
        cut.count = c.n;
    else if (!s->known[0] || hearth__ops_slice_axis(c.n, s->start[0], s->end[0],
                                                    s->step[0], &cut, NULL))
        return;
    for (int64_t i = 0; i < cut.count; i++)
        values[i] = c.v[cut.start + i * cut.step];
    hearth__ops_set_content(call, &call->out[0], values, (uint32_t)cut.count,
                            c.known);
}

/* Bounds that are not known at all: some axes, or any, change. */
static void slice_unknown(const struct hearth_op_call *call,
                          const struct hearth__ops_content *axes)
{
    struct hearth_shape *y = &call->out[0].shape;
    uint32_t set = (1u << HEARTH_RANK_MAX) - 1;
    *y = call->in[0]->shape;
    if (axes != NULL)
        (void)hearth__ops_axis_set(axes->v, axes->n, y->rank, &set, NULL);
    for (int i = 0; i < y->rank; i++)
        if (set & 1u << i)
            y->dims[i] = hearth__ops_fresh(call);
}

HEARTH__OPS_INFER(slice)
{
    int rc = hearth__ops_begin(call, err);
    for (uint32_t k = 1; rc == HEARTH_OK && k < call->input_count; k++)
        rc = hearth__ops_index_dtype(call, k, err);
    if (rc != HEARTH_OK || call->in[0]->shape.rank < 0)
        return rc;
    struct hearth__ops_content c[4];
    bool has[4], told[4];
    for (uint32_t k = 0; k < 4; k++) {
        has[k] = hearth__ops_in(call, k + 1) != NULL;
        told[k] = hearth__ops_content(hearth__ops_in(call, k + 1), &c[k]);
    }
    bool axes_known = has[2] && told[2] && c[2].known;
    if (!told[0] || !told[1] || (has[2] && !axes_known) ||
        (has[3] && !told[3])) {
        slice_unknown(call, axes_known ? &c[2] : NULL);
        return HEARTH_OK;
    }
    struct hearth__ops_slices slices;
    rc = hearth__ops_slices(call->in[0]->shape.rank, &c[0], &c[1],
                            has[2] ? &c[2] : NULL, has[3] ? &c[3] : NULL,
                            &slices, err);
    if (rc == HEARTH_OK)
        rc = slice_dims(call, &slices, err);
    if (rc == HEARTH_OK)
        slice_content(call, &slices);
    return rc;
}

/* ---- Pad ---- */

int hearth__ops_pads(int rank, const struct hearth__ops_content *pads,
                     const struct hearth__ops_content *axes,
                     int64_t begin[HEARTH_RANK_MAX],
                     int64_t end[HEARTH_RANK_MAX], struct hearth_error *err)
{
    uint32_t n = axes == NULL ? (uint32_t)rank : axes->n, set;
    for (int i = 0; i < HEARTH_RANK_MAX; i++)
        begin[i] = end[i] = 0;
    if (pads->n != 2 * n)
        return hearth_fail(err, HEARTH_EMODEL,
                           "pads has %" PRIu32
                           " numbers, it must have %" PRIu32,
                           pads->n, 2 * n);
    int rc = axes == NULL ? HEARTH_OK
                          : hearth__ops_axis_set(axes->v, n, rank, &set, err);
    for (uint32_t i = 0; rc == HEARTH_OK && i < n; i++) {
        int axis = (int)i;
        if (axes != NULL)
            rc = hearth__ops_axis(axes->v[i], rank, &axis, err);
        begin[axis] = pads->v[i];
        end[axis] = pads->v[i + n];
    }
    return rc;
}

int hearth__ops_pad_mode(const struct hearth_op_call *call,
                         enum hearth__ops_pad *mode, struct hearth_error *err)
{
    static const char *const names[] = {"constant", "reflect", "edge",
                                        "wrap"};
    const char *text = hearth_attr_string(call->graph, call->node,
                                          HEARTH_ATTR_MODE, "constant");
    *mode = HEARTH__OPS_PAD_CONSTANT;
    for (int i = 0; i < 4; i++)
        if (strcmp(text, names[i]) == 0) {
            *mode = (enum hearth__ops_pad)i;
            return HEARTH_OK;
        }
    return hearth_fail(err, HEARTH_EMODEL, "mode '%.30s' is not supported",
                       text);
}

static int pad_dim(const struct hearth_op_call *call, int64_t dim,
                   int64_t begin, int64_t end, bool known, int64_t *out,
                   struct hearth_error *err)
{
    int64_t sum;
    bool symbols =
        !known && (HEARTH_DIM_IS_SYMBOL(begin) || HEARTH_DIM_IS_SYMBOL(end));
    *out = dim;
    if (begin == 0 && end == 0)
        return HEARTH_OK;
    if (symbols) {
        *out = hearth__ops_fresh(call);
        return HEARTH_OK;
    }
    if (__builtin_add_overflow(begin, end, &sum))
        return hearth_fail(err, HEARTH_ESHAPE, "pads are too large");
    if (HEARTH_DIM_IS_SYMBOL(dim)) {
        *out = sum == 0 ? dim : hearth__ops_fresh(call);
        return HEARTH_OK;
    }
    /* Each cut for itself must leave something to stand on. */
    if (__builtin_add_overflow(dim, sum, out) || *out < 0 ||
        (begin < 0 && begin < -dim) || (end < 0 && end < -dim) ||
        (begin < 0 && end < 0 && sum < -dim))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "pads %" PRId64 " and %" PRId64
                           " do not suit the size %" PRId64,
                           begin, end, dim);
    return HEARTH_OK;
}

HEARTH__OPS_INFER(pad)
{
    int rc = hearth__ops_begin(call, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 1, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_same_dtype(call, 2, err);
    int64_t count;
    if (rc == HEARTH_OK && hearth__ops_in(call, 2) != NULL &&
        hearth_shape_count(&call->in[2]->shape, &count) && count != 1)
        rc = hearth_fail(err, HEARTH_ESHAPE,
                         "%" PRId64 " values to pad with, not one", count);
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, 3, err);
    enum hearth__ops_pad mode;
    if (rc == HEARTH_OK)
        rc = hearth__ops_pad_mode(call, &mode, err);
    if (rc != HEARTH_OK || call->in[0]->shape.rank < 0)
        return rc;
    const struct hearth_shape *x = &call->in[0]->shape;
    struct hearth_shape *y = &call->out[0].shape;
    bool has_axes = hearth__ops_in(call, 3) != NULL;
    struct hearth__ops_content pads, axes;
    int64_t begin[HEARTH_RANK_MAX], end[HEARTH_RANK_MAX];
    y->rank = x->rank;
    if (!hearth__ops_content(call->in[1], &pads) ||
        (has_axes &&
         !(hearth__ops_content(call->in[3], &axes) && axes.known))) {
        for (int i = 0; i < y->rank; i++)
            y->dims[i] = hearth__ops_fresh(call);
        return HEARTH_OK;
    }
    rc = hearth__ops_pads(x->rank, &pads, has_axes ? &axes : NULL, begin, end,
                          err);
    for (int i = 0; rc == HEARTH_OK && i < y->rank; i++)
        rc = pad_dim(call, x->dims[i], begin[i], end[i], pads.known,
                     &y->dims[i], err);
    return rc;
}
