/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval_elementwise.c: one output element from the input elements at its place:
 * arithmetic with broadcasting, activations, Clip, BatchNormalization, Cast.
 *
 * NaN goes through Relu and Clip. Integers wrap; INT64_MIN / -1 is INT64_MIN.
 */
#include <math.h>

#include "ops/ops_impl.h"

#define CHUNK HEARTH__OPS_CHUNK
typedef union hearth__ops_num num_t;

/* ---- The fused activation ---- */

struct hearth__ops_act hearth__ops_act_of(const struct hearth_op_call *call)
{
    return (struct hearth__ops_act){
        .act = (enum hearth_activation)hearth_attr_int(
            call->graph, call->node, HEARTH_ATTR_ACTIVATION, HEARTH_ACT_NONE),
        .alpha = hearth_attr_float(call->graph, call->node, HEARTH_ATTR_ALPHA,
                                   -INFINITY),
        .beta = hearth_attr_float(call->graph, call->node, HEARTH_ATTR_BETA,
                                  INFINITY)};
}

/* x = max(x, low), then min(x, high): high wins when they cross. */
#define CLIP(x, n, member, low, high)                                          \
    for (int64_t k = 0; k < (n); k++) {                                        \
        __typeof__((x)->member) v = (x)[k].member;                             \
        v = v < (low) ? (low) : v;                                             \
        (x)[k].member = v > (high) ? (high) : v;                               \
    }

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* What x is multiplied with. */
static double gate(enum hearth_activation act, double x)
{
    double hard = x / 6 + 0.5;
    if (act == HEARTH_ACT_GELU)
        return (1 + erf(x * M_SQRT1_2)) / 2;
    if (act == HEARTH_ACT_GELU_TANH)
        return (1 + tanh(M_2_SQRTPI * M_SQRT1_2 * (x + 0.044715 * x * x * x))) /
               2;
    if (act == HEARTH_ACT_SWISH)
        return sigmoid(x);
    return hard < 0 ? 0 : hard > 1 ? 1 : hard;
}

static void relu(enum hearth__ops_kind kind, num_t *x, int64_t n)
{
    if (kind == HEARTH__OPS_FLOAT) {
        for (int64_t k = 0; k < n; k++)
            x[k].f = x[k].f < 0 ? 0 : x[k].f;
    } else if (kind == HEARTH__OPS_SIGNED) {
        for (int64_t k = 0; k < n; k++)
            x[k].i = x[k].i < 0 ? 0 : x[k].i;
    }
}

void hearth__ops_act_apply(const struct hearth__ops_act *act,
                           enum hearth__ops_kind kind, num_t *x, int64_t n)
{
    num_t bound[2] = {{.f = act->alpha}, {.f = act->beta}};
    switch (act->act) {
    case HEARTH_ACT_RELU:
        relu(kind, x, n);
        break;
    case HEARTH_ACT_CLIP:
        if (kind == HEARTH__OPS_FLOAT) {
            CLIP(x, n, f, bound[0].f, bound[1].f)
        } else if (kind == HEARTH__OPS_SIGNED) {
            hearth__ops_convert(bound, 2, HEARTH_F64, HEARTH_I64);
            CLIP(x, n, i, bound[0].i, bound[1].i)
        } else {
            hearth__ops_convert(bound, 2, HEARTH_F64, HEARTH_U64);
            CLIP(x, n, u, bound[0].u, bound[1].u)
        }
        break;
    case HEARTH_ACT_SIGMOID:
        for (int64_t k = 0; k < n; k++)
            x[k].f = sigmoid(x[k].f);
        break;
    case HEARTH_ACT_TANH:
        for (int64_t k = 0; k < n; k++)
            x[k].f = tanh(x[k].f);
        break;
    case HEARTH_ACT_GELU:
    case HEARTH_ACT_GELU_TANH:
    case HEARTH_ACT_SWISH:
    case HEARTH_ACT_HARD_SWISH:
        for (int64_t k = 0; k < n; k++)
            x[k].f *= gate(act->act, x[k].f);
        break;
    default:
        break;
    }
}

/* ---- One input ---- */

/* Runs <fn> over all elements of in[0], chunk by chunk, into out[0]. */
typedef void (*chunk_fn)(num_t *x, int64_t n, const void *arg);

static void map_chunks(const struct hearth_view *x, struct hearth_view *y,
                       chunk_fn fn, const void *arg)
{
    struct hearth__ops_nest nest;
    num_t buf[CHUNK];
    hearth__ops_nest_init(&nest, &y->shape);
    hearth__ops_nest_add(&nest, y);
    hearth__ops_nest_add(&nest, x);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest)) {
        for (int64_t at = 0; at < nest.run; at += CHUNK) {
            int64_t n = nest.run - at < CHUNK ? nest.run - at : CHUNK;
            hearth__ops_load(buf, x->data, x->dtype,
                             nest.offset[1] + at * nest.step[1], nest.step[1],
                             n);
            fn(buf, n, arg);
            hearth__ops_store(y->data, y->dtype,
                              nest.offset[0] + at * nest.step[0], nest.step[0],
                              buf, n);
        }
    }
}

struct act_arg {
    struct hearth__ops_act act;
    enum hearth__ops_kind kind;
};

static void act_chunk(num_t *x, int64_t n, const void *arg)
{
    const struct act_arg *a = arg;
    hearth__ops_act_apply(&a->act, a->kind, x, n);
}

HEARTH__OPS_EVAL(unary)
{
    static const enum hearth_activation acts[HEARTH_OP_COUNT] = {
        [HEARTH_OP_RELU] = HEARTH_ACT_RELU,
        [HEARTH_OP_SIGMOID] = HEARTH_ACT_SIGMOID,
        [HEARTH_OP_TANH] = HEARTH_ACT_TANH};
    struct act_arg arg = {.act = {.act = acts[call->node->op]},
                          .kind = hearth__ops_kind(in[0]->dtype)};
    (void)err;
    map_chunks(in[0], &out[0], act_chunk, &arg);
    return HEARTH_OK;
}

struct clip_arg {
    num_t low, high;
    bool has_low, has_high;
    enum hearth__ops_kind kind;
};

#define CLIP_HALF(member)                                                      \
    for (int64_t k = 0; k < n; k++) {                                          \
        if (a->has_low && x[k].member < a->low.member)                         \
            x[k].member = a->low.member;                                       \
        if (a->has_high && x[k].member > a->high.member)                       \
            x[k].member = a->high.member;                                      \
    }

static void clip_chunk(num_t *x, int64_t n, const void *arg)
{
    const struct clip_arg *a = arg;
    if (a->kind == HEARTH__OPS_FLOAT) {
        CLIP_HALF(f)
    } else if (a->kind == HEARTH__OPS_SIGNED) {
        CLIP_HALF(i)
    } else {
        CLIP_HALF(u)
    }
}

HEARTH__OPS_EVAL(clip)
{
    struct clip_arg arg = {.kind = hearth__ops_kind(in[0]->dtype)};
    (void)err;
    arg.has_low = call->input_count > 1 && in[1] != NULL;
    arg.has_high = call->input_count > 2 && in[2] != NULL;
    if (arg.has_low)
        hearth__ops_load(&arg.low, in[1]->data, in[1]->dtype, 0, 0, 1);
    if (arg.has_high)
        hearth__ops_load(&arg.high, in[2]->data, in[2]->dtype, 0, 0, 1);
    map_chunks(in[0], &out[0], clip_chunk, &arg);
    return HEARTH_OK;
}

struct cast_arg {
    enum hearth_dtype from, to;
};

static void cast_chunk(num_t *x, int64_t n, const void *arg)
{
    const struct cast_arg *a = arg;
    hearth__ops_convert(x, n, a->from, a->to);
}

HEARTH__OPS_EVAL(cast)
{
    struct cast_arg arg = {in[0]->dtype, out[0].dtype};
    (void)call;
    (void)err;
    map_chunks(in[0], &out[0], cast_chunk, &arg);
    return HEARTH_OK;
}

/* ---- Two inputs ---- */

static int64_t div_signed(int64_t a, int64_t b)
{
    return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}

/* a = a op b. False for an integer division by 0. */
static bool binary_chunk(uint32_t op, enum hearth__ops_kind kind, num_t *a,
                         const num_t *b, int64_t n)
{
#define EACH(expr)                                                             \
    for (int64_t k = 0; k < n; k++)                                            \
        expr;
    if (kind == HEARTH__OPS_FLOAT) {
        switch (op) {
        case HEARTH_OP_ADD:
            EACH(a[k].f += b[k].f) break;
        case HEARTH_OP_SUB:
            EACH(a[k].f -= b[k].f) break;
        case HEARTH_OP_MUL:
            EACH(a[k].f *= b[k].f) break;
        case HEARTH_OP_MIN:
            EACH(a[k].f = a[k].f < b[k].f || isnan(a[k].f) ? a[k].f : b[k].f)
            break;
        case HEARTH_OP_MAX:
            EACH(a[k].f = a[k].f > b[k].f || isnan(a[k].f) ? a[k].f : b[k].f)
            break;
        default:
            EACH(a[k].f /= b[k].f) break;
        }
        return true;
    }
    /* + - * of either sign are the same modulo 2^64. */
    switch (op) {
    case HEARTH_OP_ADD:
        EACH(a[k].u += b[k].u) return true;
    case HEARTH_OP_SUB:
        EACH(a[k].u -= b[k].u) return true;
    case HEARTH_OP_MUL:
        EACH(a[k].u *= b[k].u) return true;
    case HEARTH_OP_MIN:
    case HEARTH_OP_MAX:
        for (int64_t k = 0; k < n; k++) {
            bool less =
                kind == HEARTH__OPS_SIGNED ? a[k].i < b[k].i : a[k].u < b[k].u;
            if (less != (op == HEARTH_OP_MIN))
                a[k] = b[k];
        }
        return true;
    default:
        break;
    }
    for (int64_t k = 0; k < n; k++) {
        if (b[k].u == 0)
            return false;
        if (kind == HEARTH__OPS_SIGNED)
            a[k].i = div_signed(a[k].i, b[k].i);
        else
            a[k].u /= b[k].u;
    }
#undef EACH
    return true;
}

HEARTH__OPS_EVAL(binary)
{
    struct hearth_view *y = &out[0];
    struct hearth__ops_act act = hearth__ops_act_of(call);
    enum hearth__ops_kind kind = hearth__ops_kind(y->dtype);
    struct hearth__ops_nest nest;
    num_t a[CHUNK], b[CHUNK];
    hearth__ops_nest_init(&nest, &y->shape);
    hearth__ops_nest_add(&nest, y);
    hearth__ops_nest_add(&nest, in[0]);
    hearth__ops_nest_add(&nest, in[1]);
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest)) {
        for (int64_t at = 0; at < nest.run; at += CHUNK) {
            int64_t n = nest.run - at < CHUNK ? nest.run - at : CHUNK;
            int64_t offset[3];
            for (int k = 0; k < 3; k++)
                offset[k] = nest.offset[k] + at * nest.step[k];
            hearth__ops_load(a, in[0]->data, y->dtype, offset[1], nest.step[1],
                             n);
            hearth__ops_load(b, in[1]->data, y->dtype, offset[2], nest.step[2],
                             n);
            if (!binary_chunk(call->node->op, kind, a, b, n))
                return hearth_fail(err, HEARTH_EINVAL,
                                   "integer division by zero");
            hearth__ops_wrap(a, n, y->dtype);
            hearth__ops_act_apply(&act, kind, a, n);
            hearth__ops_store(y->data, y->dtype, offset[0], nest.step[0], a, n);
        }
    }
    return HEARTH_OK;
}

/* ---- BatchNormalization ---- */

/* A vector of channels seen along axis 1 of <shape>. */
static struct hearth_view along_channels(const struct hearth_view *v,
                                         const struct hearth_shape *shape)
{
    struct hearth_view view = *v;
    view.shape = *shape;
    for (int i = 0; i < shape->rank; i++)
        view.strides[i] = i == 1 ? v->strides[0] : 0;
    return view;
}

HEARTH__OPS_EVAL(batch_normalization)
{
    enum { X, SCALE, BIAS, MEAN, VARIANCE };
    struct hearth_view *y = &out[0];
    double epsilon =
        hearth_attr_float(call->graph, call->node, HEARTH_ATTR_EPSILON, 1e-5f);
    struct hearth__ops_nest nest;
    struct hearth_view v[5];
    num_t a[5][CHUNK];
    (void)err;
    hearth__ops_nest_init(&nest, &y->shape);
    hearth__ops_nest_add(&nest, y);
    for (int k = 0; k < 5; k++) {
        v[k] = k == X ? *in[0] : along_channels(in[k], &y->shape);
        hearth__ops_nest_add(&nest, &v[k]);
    }
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest)) {
        for (int64_t at = 0; at < nest.run; at += CHUNK) {
            int64_t n = nest.run - at < CHUNK ? nest.run - at : CHUNK;
            for (int k = 0; k < 5; k++)
                hearth__ops_load(a[k], v[k].data, v[k].dtype,
                                 nest.offset[k + 1] + at * nest.step[k + 1],
                                 nest.step[k + 1], n);
            for (int64_t i = 0; i < n; i++)
                a[X][i].f = (a[X][i].f - a[MEAN][i].f) * a[SCALE][i].f /
                                sqrt(a[VARIANCE][i].f + epsilon) +
                            a[BIAS][i].f;
            hearth__ops_store(y->data, y->dtype,
                              nest.offset[0] + at * nest.step[0], nest.step[0],
                              a[X], n);
        }
    }
    return HEARTH_OK;
}
