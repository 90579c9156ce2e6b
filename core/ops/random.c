/* SPDX-License-Identifier: Apache-2.0 */
/*
 * random.c: RandomUniform, RandomNormal, Multinomial; Bernoulli is spelled by
 * the first.
 *
 * Number i of a run is a hash of i and of the run's key (splitmix64: Steele,
 * Lea, Flood, "Fast splittable pseudorandom number generators", 2014), so that
 * nothing is kept between runs. With SEED the key is the seed's, and every run
 * gives the same numbers; without, it is the process's next one.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "ops/ops_impl.h"

#define CHUNK HEARTH__OPS_CHUNK
#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)

static uint64_t mixed(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* [0, 1) */
static double unit(uint64_t key, uint64_t i)
{
    return (double)(mixed(key + (i + 1) * GOLDEN) >> 11) * 0x1p-53;
}

static uint64_t key_of(const struct hearth_op_call *call)
{
    static uint64_t next; /* 0: not begun */
    const double *seed;
    uint32_t count;
    uint64_t key = 0, none = 0;
    seed =
        hearth_attr_floats(call->graph, call->node, HEARTH_ATTR_SEED, &count);
    if (seed != NULL && count == 1) {
        memcpy(&key, seed, sizeof key);
        return mixed(key + GOLDEN);
    }
    if (__atomic_load_n(&next, __ATOMIC_RELAXED) == 0) {
        if (getrandom(&key, sizeof key, GRND_NONBLOCK) != sizeof key)
            key = mixed((uint64_t)time(NULL)); /* at the machine's start */
        (void)__atomic_compare_exchange_n(&next, &none, key | 1, false,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
    return mixed(__atomic_add_fetch(&next, 2, __ATOMIC_RELAXED));
}

/* ---- Infer ---- */

static int dtype_of(const struct hearth_op_call *call, int64_t fallback,
                    enum hearth__ops_kind kind, enum hearth_dtype *dtype,
                    struct hearth_error *err)
{
    int64_t to =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_TO, fallback);
    if (to <= 0 || to > UINT8_MAX ||
        hearth_dtype_bytes((enum hearth_dtype)to) == 0 ||
        hearth__ops_kind((enum hearth_dtype)to) != kind)
        return hearth_fail(
            err, HEARTH_ETYPE,
            "numbers of element type %" PRId64 " are not supported", to);
    *dtype = (enum hearth_dtype)to;
    return HEARTH_OK;
}

HEARTH__OPS_INFER(random)
{
    int rc = hearth__ops_begin(call, err);
    if (rc == HEARTH_OK)
        rc = dtype_of(call, HEARTH_F32, HEARTH__OPS_FLOAT, &call->out[0].dtype,
                      err);
    return rc == HEARTH_OK ? hearth__ops_shape_of_vector(call, err) : rc;
}

HEARTH__OPS_INFER(multinomial)
{
    int rc = hearth__ops_begin(call, err);
    struct hearth_shape *y = &call->out[0].shape;
    const struct hearth_shape *x = &call->in[0]->shape;
    int64_t samples =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_SAMPLE_SIZE, 1);
    if (rc == HEARTH_OK)
        rc = dtype_of(call, HEARTH_I32, HEARTH__OPS_SIGNED, &call->out[0].dtype,
                      err);
    if (rc != HEARTH_OK)
        return rc;
    if ((x->rank >= 0 && x->rank != 2) || samples < 0)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "it takes a matrix, and no less than 0 samples");
    y->rank = 2;
    y->dims[0] = x->rank == 2 ? x->dims[0] : hearth__ops_fresh(call);
    y->dims[1] = samples;
    return HEARTH_OK;
}

/* ---- Eval ---- */

HEARTH__OPS_EVAL(random)
{
    const bool normal = call->node->op == HEARTH_OP_RANDOM_NORMAL;
    const uint64_t key = key_of(call), other = mixed(key);
    const double at =
        hearth_attr_float(call->graph, call->node, HEARTH_ATTR_ALPHA, 0);
    const double to =
        hearth_attr_float(call->graph, call->node, HEARTH_ATTR_BETA, 1);
    union hearth__ops_num x[CHUNK];
    int64_t count;
    (void)in;
    (void)err;
    if (!hearth_shape_count(&out[0].shape, &count))
        return HEARTH_OK; /* there is no such output */
    for (int64_t done = 0; done < count; done += CHUNK) {
        int64_t n = count - done < CHUNK ? count - done : CHUNK;
        for (int64_t i = 0; i < n; i++) {
            double u = unit(key, (uint64_t)(done + i));
            /* Box and Muller's */
            x[i].f = normal ? at + to * sqrt(-2 * log(1 - u)) *
                                       cos(2 * 3.14159265358979323846 *
                                           unit(other, (uint64_t)(done + i)))
                            : at + (to - at) * u;
        }
        hearth__ops_store(out[0].data, out[0].dtype, done, 1, x, n);
    }
    return HEARTH_OK;
}

/* The class whose part of <sum> the number <u> falls into. */
static int64_t drawn(const double *weights, int64_t classes, double sum,
                     double u)
{
    double left = u * sum;
    int64_t last = 0;
    for (int64_t c = 0; c < classes; c++) {
        if (weights[c] <= 0)
            continue;
        last = c;
        left -= weights[c];
        if (left < 0)
            return c;
    }
    return last; /* rounding */
}

/* Rows of logarithms of probabilities, whose sum need not be 1. */
HEARTH__OPS_EVAL(multinomial)
{
    const int64_t rows = in[0]->shape.dims[0], classes = in[0]->shape.dims[1];
    const int64_t samples = out[0].shape.dims[1];
    const uint64_t key = key_of(call);
    if (rows == 0 || samples == 0)
        return HEARTH_OK;
    if (classes == 0)
        return hearth_fail(err, HEARTH_ESHAPE, "there are no classes");
    double *w = hearth__ops_room(classes, sizeof *w, err);
    if (w == NULL)
        return HEARTH_ENOMEM;
    int rc = HEARTH_OK;
    for (int64_t r = 0; rc == HEARTH_OK && r < rows; r++) {
        double most = -INFINITY, sum = 0;
        union hearth__ops_num x;
        for (int64_t c = 0; c < classes; c++) {
            hearth__ops_load(&x, in[0]->data, in[0]->dtype,
                             r * in[0]->strides[0] + c * in[0]->strides[1], 0,
                             1);
            w[c] = x.f;
            most = x.f > most ? x.f : most;
        }
        for (int64_t c = 0; c < classes; c++)
            sum += w[c] = exp(w[c] - most);
        if (!(sum > 0) || !isfinite(sum))
            rc = hearth_fail(err, HEARTH_EINVAL,
                             "row %" PRId64 " has no class that can be drawn",
                             r);
        for (int64_t s = 0; rc == HEARTH_OK && s < samples; s++) {
            x.i =
                drawn(w, classes, sum, unit(key, (uint64_t)(r * samples + s)));
            hearth__ops_store(out[0].data, out[0].dtype, r * samples + s, 0, &x,
                              1);
        }
    }
    free(w);
    return rc;
}
