/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dense.c: dense copies of operands in one type, for operators that visit
 * elements in many orders or many times (recurrent layers, attention,
 * sampling). An operator that walks its operands once uses nests instead.
 */
#include <stdlib.h>

#include "ops/ops_impl.h"

typedef union hearth__ops_num num_t;

void *hearth__ops_room(int64_t count, size_t bytes, struct hearth_error *err)
{
    uint64_t all;
    void *room = NULL;
    if (count >= 0 &&
        !__builtin_mul_overflow((uint64_t)count, (uint64_t)bytes, &all) &&
        all < SIZE_MAX / 2)
        room = hearth__ops_malloc((size_t)all + 1);
    if (room == NULL)
        (void)hearth_fail(err, HEARTH_ENOMEM, "no memory for the operator");
    return room;
}

static double as_double(num_t v, enum hearth__ops_kind kind)
{
    return kind == HEARTH__OPS_FLOAT    ? v.f
           : kind == HEARTH__OPS_SIGNED ? (double)v.i
                                        : (double)v.u;
}

double hearth__ops_number(const struct hearth_view *view, int64_t offset)
{
    num_t v;
    hearth__ops_load(&v, view->data, view->dtype, offset, 0, 1);
    return as_double(v, hearth__ops_kind(view->dtype));
}

int64_t hearth__ops_product(const struct hearth_shape *shape, int from, int to)
{
    int64_t n = 1;
    for (int i = from; i < to; i++)
        if (shape->dims[i] == 0)
            return 0;
    /* Beside an empty axis they may be anything; nothing is done with it. */
    for (int i = from; i < to; i++)
        if (__builtin_mul_overflow(n, shape->dims[i], &n))
            return INT64_MAX;
    return n;
}

/* Calls <put> for each run of the view's elements in row-major order. */
static void walk(const struct hearth_view *view, void *to,
                 void (*put)(void *to, int64_t at, const num_t *from, int64_t n,
                             enum hearth__ops_kind kind))
{
    const enum hearth__ops_kind kind = hearth__ops_kind(view->dtype);
    struct hearth__ops_nest nest;
    num_t buf[HEARTH__OPS_CHUNK];
    int64_t done = 0;
    hearth__ops_nest_init(&nest, &view->shape);
    hearth__ops_nest_add(&nest, view);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest))
        for (int64_t at = 0; at < nest.run; at += HEARTH__OPS_CHUNK) {
            int64_t n = nest.run - at;
            n = n < HEARTH__OPS_CHUNK ? n : HEARTH__OPS_CHUNK;
            hearth__ops_load(buf, view->data, view->dtype,
                             nest.offset[0] + at * nest.step[0], nest.step[0],
                             n);
            put(to, done, buf, n, kind);
            done += n;
        }
}

static void put_doubles(void *to, int64_t at, const num_t *from, int64_t n,
                        enum hearth__ops_kind kind)
{
    double *d = (double *)to + at;
    for (int64_t i = 0; i < n; i++)
        d[i] = as_double(from[i], kind);
}

static void put_ints(void *to, int64_t at, const num_t *from, int64_t n,
                     enum hearth__ops_kind kind)
{
    int32_t *d = (int32_t *)to + at;
    (void)kind;
    for (int64_t i = 0; i < n; i++)
        d[i] = (int32_t)from[i].i;
}

double *hearth__ops_doubles(const struct hearth_view *view,
                            struct hearth_error *err)
{
    int64_t count = hearth__ops_product(&view->shape, 0, view->shape.rank);
    double *to = hearth__ops_room(count, sizeof *to, err);
    if (to != NULL)
        walk(view, to, put_doubles);
    return to;
}

int32_t *hearth__ops_ints(const struct hearth_view *view,
                          struct hearth_error *err)
{
    int64_t count = hearth__ops_product(&view->shape, 0, view->shape.rank);
    int32_t *to = hearth__ops_room(count, sizeof *to, err);
    if (to != NULL)
        walk(view, to, put_ints);
    return to;
}

void hearth__ops_put_doubles(struct hearth_view *view, const double *from)
{
    int64_t count = hearth__ops_product(&view->shape, 0, view->shape.rank);
    num_t buf[HEARTH__OPS_CHUNK];
    for (int64_t at = 0; at < count; at += HEARTH__OPS_CHUNK) {
        int64_t n = count - at;
        n = n < HEARTH__OPS_CHUNK ? n : HEARTH__OPS_CHUNK;
        for (int64_t i = 0; i < n; i++)
            buf[i].f = from[at + i];
        if (hearth__ops_kind(view->dtype) != HEARTH__OPS_FLOAT)
            hearth__ops_convert(buf, n, HEARTH_F64, view->dtype);
        hearth__ops_store(view->data, view->dtype, at, 1, buf, n);
    }
}
