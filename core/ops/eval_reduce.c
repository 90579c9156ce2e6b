/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval_reduce.c: what is left of axes that are folded: sums, means, products,
 * norms, extremes, logarithms of sums.
 *
 * Each element goes into an accumulator by the operator's step, the result is
 * the accumulator after the operator's last step. Floats are accumulated in
 * double. Integers wrap, but for the roots and logarithms, which no integer
 * type has: these are computed in double and cut.
 */
#include <math.h>

#include "ops/ops_impl.h"

#define CHUNK HEARTH__OPS_CHUNK
typedef union hearth__ops_num num_t;

struct fold {
    uint32_t op;
    enum hearth_dtype dtype;
    enum hearth__ops_kind kind; /* of the accumulator */
    bool wide;                  /* integers, accumulated in double */
    num_t start;
    double top; /* ReduceLogSumExp: the largest so far */
};

static struct fold fold_of(uint32_t op, enum hearth_dtype dtype)
{
    struct fold f = {.op = op, .dtype = dtype, .kind = hearth__ops_kind(dtype)};
    bool real = f.kind == HEARTH__OPS_FLOAT;
    f.wide =
        !real && (op == HEARTH_OP_REDUCE_L2 || op == HEARTH_OP_REDUCE_LOG_SUM ||
                  op == HEARTH_OP_REDUCE_LOG_SUM_EXP);
    if (f.wide)
        f.kind = HEARTH__OPS_FLOAT;
    if (op == HEARTH_OP_REDUCE_PROD && real)
        f.start.f = 1;
    else if (op == HEARTH_OP_REDUCE_PROD)
        f.start.u = 1;
    if (op != HEARTH_OP_REDUCE_MAX && op != HEARTH_OP_REDUCE_MIN)
        return f;
    /* The least, or largest, that the type has. */
    f.start.f = op == HEARTH_OP_REDUCE_MAX ? -INFINITY : INFINITY;
    if (dtype == HEARTH_BOOL)
        f.start.u = op == HEARTH_OP_REDUCE_MIN;
    else if (!real)
        hearth__ops_convert(&f.start, 1, HEARTH_F64, dtype);
    return f;
}

/* The sum of exponentials is kept relative to the largest, so that none
 * overflows. */
static double add_exp(struct fold *f, double sum, double x)
{
    if (x == f->top || x == -INFINITY)
        return x == -INFINITY ? sum : sum + 1;
    if (x > f->top) {
        sum = sum * exp(f->top - x) + 1;
        f->top = x;
        return sum;
    }
    return sum + exp(x - f->top); /* NaN too */
}

static void fold_floats(struct fold *f, num_t *acc, const num_t *x, int64_t n)
{
    double a = acc->f;
    for (int64_t k = 0; k < n; k++) {
        double v = x[k].f;
        switch (f->op) {
        case HEARTH_OP_REDUCE_PROD:
            a *= v;
            break;
        case HEARTH_OP_REDUCE_L1:
            a += fabs(v);
            break;
        case HEARTH_OP_REDUCE_L2:
        case HEARTH_OP_REDUCE_SUM_SQUARE:
            a += v * v;
            break;
        case HEARTH_OP_REDUCE_MAX:
            a = v > a || isnan(v) ? v : a;
            break;
        case HEARTH_OP_REDUCE_MIN:
            a = v < a || isnan(v) ? v : a;
            break;
        case HEARTH_OP_REDUCE_LOG_SUM_EXP:
            a = add_exp(f, a, v);
            break;
        default:
            a += v;
        }
    }
    acc->f = a;
}

static void fold_integers(const struct fold *f, num_t *acc, const num_t *x,
                          int64_t n)
{
    bool is_signed = f->kind == HEARTH__OPS_SIGNED;
    for (int64_t k = 0; k < n; k++) {
        bool less = is_signed ? x[k].i < acc->i : x[k].u < acc->u;
        switch (f->op) {
        case HEARTH_OP_REDUCE_PROD:
            acc->u *= x[k].u;
            break;
        case HEARTH_OP_REDUCE_L1:
            acc->u += is_signed && x[k].i < 0 ? 0 - x[k].u : x[k].u;
            break;
        case HEARTH_OP_REDUCE_SUM_SQUARE:
            acc->u += x[k].u * x[k].u;
            break;
        case HEARTH_OP_REDUCE_MAX:
            *acc = less ? *acc : x[k];
            break;
        case HEARTH_OP_REDUCE_MIN:
            *acc = less ? x[k] : *acc;
            break;
        default:
            acc->u += x[k].u;
        }
    }
}

/* All elements of <x>. */
static num_t fold_all(struct fold *f, const struct hearth_view *x)
{
    struct hearth__ops_nest nest;
    num_t acc = f->start, buf[CHUNK];
    f->top = -INFINITY;
    hearth__ops_nest_init(&nest, &x->shape);
    hearth__ops_nest_add(&nest, x);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest)) {
        for (int64_t at = 0; at < nest.run; at += CHUNK) {
            int64_t n = nest.run - at < CHUNK ? nest.run - at : CHUNK;
            hearth__ops_load(buf, x->data, x->dtype,
                             nest.offset[0] + at * nest.step[0], nest.step[0],
                             n);
            if (f->wide)
                hearth__ops_convert(buf, n, x->dtype, HEARTH_F64);
            if (f->kind == HEARTH__OPS_FLOAT)
                fold_floats(f, &acc, buf, n);
            else
                fold_integers(f, &acc, buf, n);
        }
    }
    return acc;
}

/* The last step, of <count> elements. */
static int finish(const struct fold *f, int64_t count, num_t *acc,
                  struct hearth_error *err)
{
    bool mean = f->op == HEARTH_OP_REDUCE_MEAN ||
                f->op == HEARTH_OP_GLOBAL_AVERAGE_POOL;
    if (mean && f->kind != HEARTH__OPS_FLOAT && count == 0)
        return hearth_fail(err, HEARTH_EINVAL, "no mean of no integers");
    if (mean && f->kind == HEARTH__OPS_FLOAT)
        acc->f /= (double)count; /* NaN for none */
    else if (mean && f->kind == HEARTH__OPS_SIGNED)
        acc->i /= count;
    else if (mean)
        acc->u /= (uint64_t)count;
    else if (f->op == HEARTH_OP_REDUCE_L2)
        acc->f = sqrt(acc->f);
    else if (f->op == HEARTH_OP_REDUCE_LOG_SUM)
        acc->f = log(acc->f);
    else if (f->op == HEARTH_OP_REDUCE_LOG_SUM_EXP)
        acc->f = f->top + log(acc->f);
    if (f->wide)
        hearth__ops_convert(acc, 1, HEARTH_F64, f->dtype);
    hearth__ops_wrap(acc, 1, f->dtype);
    return HEARTH_OK;
}

/* Folds the axes in <set>. <y> has the other axes, in order, and perhaps ones
 * between them: it is dense, so that both look alike. */
static int fold_over(const struct hearth_view *x, uint32_t set, uint32_t op,
                     struct hearth_view *y, struct hearth_error *err)
{
    struct hearth_view kept = *x, gone = *x, dst;
    struct hearth__ops_nest nest;
    struct fold f = fold_of(op, x->dtype);
    int64_t count;
    kept.shape.rank = gone.shape.rank = 0;
    for (int i = 0; i < x->shape.rank; i++) {
        struct hearth_view *v = set & 1u << i ? &gone : &kept;
        v->shape.dims[v->shape.rank] = x->shape.dims[i];
        v->strides[v->shape.rank++] = x->strides[i];
    }
    if (!hearth_shape_count(&gone.shape, &count))
        return hearth_fail(err, HEARTH_ESHAPE, "too many elements");
    dst = hearth_view_dense(y->data, y->dtype, &kept.shape);
    hearth__ops_nest_init(&nest, &kept.shape);
    hearth__ops_nest_add(&nest, &dst);
    hearth__ops_nest_add(&nest, &kept);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest)) {
        for (int64_t i = 0; i < nest.run; i++) {
            gone.data = hearth__ops_at(x, nest.offset[1] + i * nest.step[1]);
            num_t acc = fold_all(&f, &gone);
            int rc = finish(&f, count, &acc, err);
            if (rc != HEARTH_OK)
                return rc;
            hearth__ops_store(y->data, y->dtype,
                              nest.offset[0] + i * nest.step[0], 0, &acc, 1);
        }
    }
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(reduce_mean)
{
    struct hearth__ops_content axes = {0};
    int rank = in[0]->shape.rank;
    uint32_t set;
    if (call->input_count > 1 && in[1] != NULL &&
        !hearth__ops_content_view(in[1], &axes))
        return hearth_fail(err, HEARTH_EMODEL, "axes are not a short vector");
    int rc = hearth__ops_axis_set(axes.v, axes.n, rank, &set, err);
    if (rc != HEARTH_OK)
        return rc;
    if (axes.n == 0 && !hearth_attr_int(call->graph, call->node,
                                        HEARTH_ATTR_NOOP_WITH_EMPTY_AXES, 0))
        set = (1u << rank) - 1;
    return fold_over(in[0], set, call->node->op, &out[0], err);
}

HEARTH__OPS_EVAL(global_pool)
{
    uint32_t set = ((1u << in[0]->shape.rank) - 1) & ~3u;
    return fold_over(in[0], set, call->node->op, &out[0], err);
}
