/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval_conv.c: Conv of any spatial rank, and the pools.
 *
 * Both walk rows: a run of output cells along the last axis. For each cell of
 * the kernel the input cells that the run meets are a strided run too, cut to
 * what lies inside the input once per run instead of once per cell. An output
 * row stays in registers and first-level cache while all its input rows pass.
 */
#include <math.h>

#include "ops/ops_impl.h"

#define CHUNK HEARTH__OPS_CHUNK
typedef union hearth__ops_num num_t;

/* Next position of an odometer over dims[0..rank); false after the last. */
static bool step(int64_t *at, const int64_t *dims, int rank)
{
    for (int i = rank - 1; i >= 0; i--) {
        if (++at[i] < dims[i])
            return true;
        at[i] = 0;
    }
    return false;
}

static bool any_zero(const int64_t *dims, int rank)
{
    for (int i = 0; i < rank; i++)
        if (dims[i] == 0)
            return true;
    return false;
}

/* A run of output cells, and what one kernel cell sees of the input from it. */
struct run {
    const struct hearth_window *win;
    int64_t at[6];  /* the output row's place; at[rank - 1]: the run's start */
    int64_t n;      /* cells */
    int64_t tap[6]; /* the kernel cell, from low to high */
    int64_t low[6], high[6];
    int64_t first, count; /* cells of the run that see the input */
    int64_t in_last;      /* the input's index that <first> sees */
};

static int64_t clamp(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* Bounds the kernel cells to those that see any of the input: a model may ask
 * for a window far larger than its input. Places run->tap at the first; false
 * when there is none. */
static bool tap_first(struct run *run)
{
    const struct hearth_window *w = run->win;
    for (int i = 0; i < w->rank; i++) {
        int64_t d = w->dilation[i], k = w->kernel[i];
        int64_t base = run->at[i] * w->stride[i] - w->pad_begin[i];
        int64_t end = base;
        if (i == w->rank - 1)
            end += (run->n - 1) * w->stride[i];
        if (w->in[i] == 0 || base >= w->in[i])
            return false;
        run->low[i] = end >= 0 ? 0 : (-end + d - 1) / d;
        run->high[i] = clamp((w->in[i] - 1 - base) / d, -1, k - 1);
        run->tap[i] = run->low[i];
        if (run->low[i] > run->high[i])
            return false;
    }
    return true;
}

static bool tap_next(struct run *run)
{
    for (int i = run->win->rank - 1; i >= 0; i--) {
        if (++run->tap[i] <= run->high[i])
            return true;
        run->tap[i] = run->low[i];
    }
    return false;
}

/* Input index on axis <i> before the last; false outside. */
static bool tap_index(const struct run *run, int i, int64_t *index)
{
    const struct hearth_window *w = run->win;
    *index = run->at[i] * w->stride[i] - w->pad_begin[i] +
             run->tap[i] * w->dilation[i];
    return *index >= 0 && *index < w->in[i];
}

/* Cuts the run to the cells whose tap lies inside on the last axis. */
static bool tap_run(struct run *run)
{
    const struct hearth_window *w = run->win;
    int i = w->rank - 1;
    int64_t s = w->stride[i];
    int64_t base =
        run->at[i] * s - w->pad_begin[i] + run->tap[i] * w->dilation[i];
    run->first = base >= 0 ? 0 : (-base + s - 1) / s;
    int64_t last = base >= w->in[i] ? -1 : (w->in[i] - 1 - base) / s;
    last = last >= run->n ? run->n - 1 : last;
    run->count = last - run->first + 1;
    run->in_last = base + run->first * s;
    return run->count > 0;
}

/* Loads what kernel cell run->tap sees from <x> (spatial axes from axis <axis>,
 * <offset> to its channel) into <buf>; false when it sees nothing. */
static bool tap_load(struct run *run, const struct hearth_view *x,
                     int64_t offset, num_t *buf, int64_t *flat)
{
    const struct hearth_window *w = run->win;
    int last = w->rank - 1;
    int64_t place = 0;
    for (int i = 0; i < last; i++) {
        int64_t index;
        if (!tap_index(run, i, &index))
            return false;
        offset += index * x->strides[i + 2];
        place = place * w->in[i] + index;
    }
    if (!tap_run(run))
        return false;
    int64_t stride = x->strides[last + 2];
    hearth__ops_load(buf, x->data, x->dtype, offset + run->in_last * stride,
                     w->stride[last] * stride, run->count);
    *flat = place; /* row-major index of the input row */
    return true;
}

/* ---- Conv ---- */

struct conv {
    const struct hearth_view *x, *w, *b, *z;
    struct hearth_view *y;
    struct hearth_window win;
    struct hearth__ops_act act;
    int64_t group_in, group_out; /* channels of a group */
};

static double element(const struct hearth_view *v, int64_t offset)
{
    num_t x;
    hearth__ops_load(&x, v->data, v->dtype, offset, 0, 1);
    return x.f;
}

/* acc[0..n) += all taps of all channels for output channel <m>. */
static void conv_sum(const struct conv *c, struct run *run, int64_t n,
                     int64_t m, double *acc)
{
    num_t buf[CHUNK];
    int64_t flat;
    int64_t first = m / c->group_out * c->group_in;
    for (int64_t k = 0; k < c->group_in; k++) {
        int64_t x_at = n * c->x->strides[0] + (first + k) * c->x->strides[1];
        for (bool more = tap_first(run); more; more = tap_next(run)) {
            if (!tap_load(run, c->x, x_at, buf, &flat))
                continue;
            int64_t w_at = m * c->w->strides[0] + k * c->w->strides[1];
            for (int i = 0; i < c->win.rank; i++)
                w_at += run->tap[i] * c->w->strides[i + 2];
            double weight = element(c->w, w_at);
            for (int64_t j = 0; j < run->count; j++)
                acc[run->first + j] += weight * buf[j].f;
        }
    }
}

static int64_t row_offset(const struct hearth_view *v, const struct run *run,
                          int64_t n, int64_t m)
{
    int64_t at = n * v->strides[0] + m * v->strides[1];
    for (int i = 0; i < run->win->rank; i++)
        at += run->at[i] * v->strides[i + 2];
    return at;
}

static void conv_run(const struct conv *c, struct run *run, int64_t n,
                     int64_t m)
{
    double acc[CHUNK];
    num_t buf[CHUNK];
    int last = c->win.rank + 1;
    double bias = c->b == NULL ? 0 : element(c->b, m * c->b->strides[0]);
    for (int64_t j = 0; j < run->n; j++)
        acc[j] = bias;
    conv_sum(c, run, n, m, acc);
    if (c->z != NULL) {
        hearth__ops_load(buf, c->z->data, c->z->dtype,
                         row_offset(c->z, run, n, m), c->z->strides[last],
                         run->n);
        for (int64_t j = 0; j < run->n; j++)
            acc[j] += buf[j].f;
    }
    for (int64_t j = 0; j < run->n; j++)
        buf[j].f = acc[j];
    hearth__ops_act_apply(&c->act, HEARTH__OPS_FLOAT, buf, run->n);
    hearth__ops_store(c->y->data, c->y->dtype, row_offset(c->y, run, n, m),
                      c->y->strides[last], buf, run->n);
}

HEARTH__OPS_EVAL(conv)
{
    struct conv c = {.x = in[0],
                     .w = in[1],
                     .b = call->input_count > 2 ? in[2] : NULL,
                     .z = call->input_count > 3 ? in[3] : NULL,
                     .y = &out[0],
                     .act = hearth__ops_act_of(call)};
    int rc =
        hearth__ops_window(call, &in[0]->shape, &in[1]->shape, &c.win, err);
    if (rc != HEARTH_OK || any_zero(out[0].shape.dims, out[0].shape.rank))
        return rc;
    int64_t group =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_GROUP, 1);
    c.group_in = in[1]->shape.dims[1];
    c.group_out = in[1]->shape.dims[0] / group;
    struct run run = {.win = &c.win};
    int last = c.win.rank - 1;
    /* Rows outermost: the input rows stay in cache for all channels. */
    for (int64_t n = 0; n < out[0].shape.dims[0]; n++) {
        do {
            for (int64_t at = 0; at < c.win.out[last]; at += CHUNK) {
                int64_t left = c.win.out[last] - at;
                run.at[last] = at;
                run.n = left < CHUNK ? left : CHUNK;
                for (int64_t m = 0; m < out[0].shape.dims[1]; m++)
                    conv_run(&c, &run, n, m);
            }
        } while (step(run.at, c.win.out, last));
    }
    return HEARTH_OK;
}

/* ---- Pools ---- */

struct pool {
    const struct hearth_view *x;
    struct hearth_view *y, *indices; /* NULL: not wanted */
    struct hearth_window win;
    enum hearth__ops_kind kind;
    bool max, count_pad, column_major;
    int64_t p; /* LpPool's; 0: the average */
};

/* The number that any other is above. */
static num_t lowest(enum hearth_dtype dtype)
{
    num_t x = {.f = -INFINITY};
    if (hearth__ops_kind(dtype) == HEARTH__OPS_SIGNED)
        x.i = INT64_MIN;
    else if (hearth__ops_kind(dtype) == HEARTH__OPS_UNSIGNED)
        x.u = 0;
    return x;
}

/* Column-major index of a spatial place, as storage_order 1 counts. */
static int64_t column_place(const struct run *run, int64_t last_index)
{
    const struct hearth_window *w = run->win;
    int64_t place = last_index;
    for (int i = w->rank - 2; i >= 0; i--) {
        int64_t index;
        (void)tap_index(run, i, &index);
        place = place * w->in[i] + index;
    }
    return place;
}

/* NaN wins over numbers, the first maximum over later ones. */
static bool above(enum hearth__ops_kind kind, num_t x, num_t best)
{
    if (kind == HEARTH__OPS_FLOAT)
        return x.f > best.f || (isnan(x.f) && !isnan(best.f));
    return kind == HEARTH__OPS_SIGNED ? x.i > best.i : x.u > best.u;
}

static void max_taps(const struct pool *p, struct run *run, int64_t offset,
                     num_t *acc, int64_t *place)
{
    num_t buf[CHUNK];
    int64_t flat;
    int last = p->win.rank - 1;
    for (int64_t j = 0; j < run->n; j++) {
        acc[j] = lowest(p->x->dtype);
        place[j] = -1;
    }
    for (bool more = tap_first(run); more; more = tap_next(run)) {
        if (!tap_load(run, p->x, offset, buf, &flat))
            continue;
        for (int64_t j = 0; j < run->count; j++) {
            int64_t to = run->first + j;
            /* The lowest number itself must leave its place too. */
            if (place[to] >= 0 && !above(p->kind, buf[j], acc[to]))
                continue;
            int64_t index = run->in_last + j * p->win.stride[last];
            acc[to] = buf[j];
            place[to] = p->column_major ? column_place(run, index)
                                        : flat * p->win.in[last] + index;
        }
    }
}

/* Cells of the window at output place <at> of axis <i> that average counts when
 * padding counts: those inside the input and its pads, not those that ceil_mode
 * hangs over the end. */
static int64_t padded_cells(const struct hearth_window *w, int i, int64_t at)
{
    int64_t start = at * w->stride[i] - w->pad_begin[i];
    int64_t room = w->in[i] + w->pad_end[i] - start; /* > 0 */
    int64_t cells = (room + w->dilation[i] - 1) / w->dilation[i];
    return cells < w->kernel[i] ? cells : w->kernel[i];
}

static void average_taps(const struct pool *p, struct run *run, int64_t offset,
                         num_t *acc, int64_t *seen)
{
    num_t buf[CHUNK];
    int64_t flat;
    int last = p->win.rank - 1;
    for (int64_t j = 0; j < run->n; j++) {
        acc[j].f = 0;
        seen[j] = 0;
    }
    for (bool more = tap_first(run); more; more = tap_next(run)) {
        if (!tap_load(run, p->x, offset, buf, &flat))
            continue;
        for (int64_t j = 0; j < run->count; j++) {
            acc[run->first + j].f +=
                p->p == 0 ? buf[j].f : pow(fabs(buf[j].f), (double)p->p);
            seen[run->first + j]++;
        }
    }
    for (int64_t j = 0; p->p > 0 && j < run->n; j++)
        acc[j].f = pow(acc[j].f, 1 / (double)p->p);
    if (p->p > 0)
        return;
    double outer = 1;
    for (int i = 0; i < last; i++)
        outer *= (double)padded_cells(&p->win, i, run->at[i]);
    for (int64_t j = 0; j < run->n; j++) {
        double cells = (double)seen[j];
        if (p->count_pad)
            cells =
                outer * (double)padded_cells(&p->win, last, run->at[last] + j);
        /* A window wholly in padding averages to 0. */
        acc[j].f = cells > 0 ? acc[j].f / cells : 0;
    }
}

static void pool_run(const struct pool *p, struct run *run, int64_t n,
                     int64_t c)
{
    num_t acc[CHUNK];
    int64_t place[CHUNK];
    int last = p->win.rank + 1;
    int64_t offset = n * p->x->strides[0] + c * p->x->strides[1];
    if (p->max)
        max_taps(p, run, offset, acc, place);
    else
        average_taps(p, run, offset, acc, place);
    for (int64_t j = 0; p->max && j < run->n; j++)
        if (place[j] < 0 && p->kind == HEARTH__OPS_SIGNED)
            acc[j].i = INT8_MIN; /* the only signed type that MaxPool has */
    hearth__ops_store(p->y->data, p->y->dtype, row_offset(p->y, run, n, c),
                      p->y->strides[last], acc, run->n);
    if (p->indices == NULL)
        return;
    int64_t plane = 1;
    for (int i = 0; i < p->win.rank; i++)
        plane *= p->win.in[i];
    int64_t base = (n * p->x->shape.dims[1] + c) * plane;
    for (int64_t j = 0; j < run->n; j++)
        acc[j].i = base + (place[j] < 0 ? 0 : place[j]);
    hearth__ops_store(p->indices->data, p->indices->dtype,
                      row_offset(p->indices, run, n, c),
                      p->indices->strides[last], acc, run->n);
}

HEARTH__OPS_EVAL(pool)
{
    struct pool p = {
        .x = in[0],
        .y = &out[0],
        .kind = hearth__ops_kind(in[0]->dtype),
        .max = call->node->op == HEARTH_OP_MAX_POOL,
        .count_pad = hearth_attr_int(call->graph, call->node,
                                     HEARTH_ATTR_COUNT_INCLUDE_PAD, 0) != 0,
        .column_major = hearth_attr_int(call->graph, call->node,
                                        HEARTH_ATTR_STORAGE_ORDER, 0) != 0};
    if (call->node->op == HEARTH_OP_LP_POOL)
        p.p = hearth_attr_int(call->graph, call->node, HEARTH_ATTR_P, 2);
    if (call->output_count > 1 && out[1].data != NULL)
        p.indices = &out[1];
    int rc = hearth__ops_window(call, &in[0]->shape, NULL, &p.win, err);
    if (rc != HEARTH_OK || any_zero(out[0].shape.dims, out[0].shape.rank))
        return rc;
    struct run run = {.win = &p.win};
    int last = p.win.rank - 1;
    for (int64_t n = 0; n < out[0].shape.dims[0]; n++) {
        for (int64_t c = 0; c < out[0].shape.dims[1]; c++) {
            do {
                for (int64_t at = 0; at < p.win.out[last]; at += CHUNK) {
                    int64_t left = p.win.out[last] - at;
                    run.at[last] = at;
                    run.n = left < CHUNK ? left : CHUNK;
                    pool_run(&p, &run, n, c);
                }
            } while (step(run.at, p.win.out, last));
        }
    }
    return HEARTH_OK;
}
