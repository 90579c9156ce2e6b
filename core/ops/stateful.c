/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stateful.c: layers that carry a state from call to call: LinearAttention and
 * CausalConvWithState.
 *
 * LinearAttention keeps a matrix S for each head of keys, and for each step
 *
 *   gated: S *= e^decay   delta: v = beta * (v - k S)   S += k v   y = q S
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops_impl.h"

enum { Q, K, V, STATE, DECAY, BETA };

/* ---- LinearAttention ---- */

struct linear {
    int64_t batch, steps, q_heads, kv_heads, d, e;
    bool gated, delta;
    double scale;
    int64_t decay_width, beta_width; /* of a step */
    const double *q, *k, *v, *decay, *beta;
};

static int read_rule(const struct hearth_op_call *call, bool *gated,
                     bool *delta, struct hearth_error *err)
{
    const char *rule = hearth_attr_string(
        call->graph, call->node, HEARTH_ATTR_UPDATE_RULE, "gated_delta");
    *gated = strncmp(rule, "gated", 5) == 0;
    *delta = strcmp(rule, "delta") == 0 || strcmp(rule, "gated_delta") == 0;
    if (strcmp(rule, "linear") != 0 && strcmp(rule, "gated") != 0 && !*delta)
        return hearth_fail(err, HEARTH_EUNSUPPORTED,
                           "update_rule '%.30s' is not supported", rule);
    if (*gated != (hearth__ops_in(call, DECAY) != NULL) ||
        *delta != (hearth__ops_in(call, BETA) != NULL))
        return hearth_fail(err, HEARTH_EMODEL,
                           "its inputs are not those of update_rule '%.30s'",
                           rule);
    return HEARTH_OK;
}

/* Size <dim> in <heads> parts; a new symbol when it is not known. */
static int part_of(const struct hearth_op_call *call, int64_t dim,
                   int64_t heads, int64_t *part, struct hearth_error *err)
{
    if (HEARTH_DIM_IS_SYMBOL(dim)) {
        *part = hearth__ops_fresh(call);
        return HEARTH_OK;
    }
    *part = dim / heads;
    if (dim % heads == 0)
        return HEARTH_OK;
    return hearth_fail(err, HEARTH_ESHAPE,
                       "%" PRId64 " elements do not divide into %" PRId64
                       " heads",
                       dim, heads);
}

/* Input <k> has three axes, of which the first two are Q's. */
static int check_steps(const struct hearth_op_call *call, uint32_t k,
                       struct hearth_error *err)
{
    const struct hearth_value_info *in = hearth__ops_in(call, k);
    int64_t merged;
    int rc = HEARTH_OK;
    if (in == NULL || in->shape.rank < 0)
        return HEARTH_OK;
    if (in->shape.rank != 3)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "input %" PRIu32 " has rank %" PRId32, k,
                           in->shape.rank);
    for (int i = 0; rc == HEARTH_OK && i < 2 && call->in[Q]->shape.rank == 3;
         i++)
        rc =
            hearth__ops_merge_dim(call->in[Q]->shape.dims[i], in->shape.dims[i],
                                  &merged, "steps of the inputs", err);
    return rc;
}

/* The last axis of input <k> is one of two sizes. */
static int check_width(const struct hearth_op_call *call, uint32_t k, int64_t a,
                       int64_t b, struct hearth_error *err)
{
    const struct hearth_value_info *in = hearth__ops_in(call, k);
    if (in == NULL || in->shape.rank != 3 ||
        HEARTH_DIM_IS_SYMBOL(in->shape.dims[2]) || in->shape.dims[2] == a ||
        in->shape.dims[2] == b || HEARTH_DIM_IS_SYMBOL(b))
        return HEARTH_OK;
    return hearth_fail(err, HEARTH_ESHAPE,
                       "input %" PRIu32 " has %" PRId64 " numbers a step", k,
                       in->shape.dims[2]);
}

static int check_state(const struct hearth_op_call *call, uint32_t k,
                       const struct hearth_shape *want,
                       struct hearth_error *err)
{
    const struct hearth_value_info *in = hearth__ops_in(call, k);
    int64_t merged;
    int rc = HEARTH_OK;
    if (in == NULL || in->shape.rank < 0)
        return HEARTH_OK;
    if (in->shape.rank != want->rank)
        return hearth_fail(err, HEARTH_ESHAPE, "the state has rank %" PRId32,
                           in->shape.rank);
    for (int i = 0; rc == HEARTH_OK && i < want->rank; i++)
        rc = hearth__ops_merge_dim(want->dims[i], in->shape.dims[i], &merged,
                                   "the state", err);
    return rc;
}

static int check_linear_types(const struct hearth_op_call *call,
                              struct hearth_error *err)
{
    const struct hearth_value_info *state = hearth__ops_in(call, STATE);
    int rc = HEARTH_OK;
    for (uint32_t k = 1; rc == HEARTH_OK && k < call->input_count; k++)
        if (k != STATE)
            rc = hearth__ops_same_dtype(call, k, err);
    if (rc == HEARTH_OK && state != NULL &&
        hearth__ops_kind(state->dtype) != HEARTH__OPS_FLOAT)
        rc = hearth_fail(err, HEARTH_ETYPE, "the state is %s",
                         hearth_dtype_name(state->dtype));
    return rc;
}

static int linear_shapes(const struct hearth_op_call *call, int64_t q_heads,
                         int64_t kv_heads, struct hearth_error *err)
{
    const struct hearth_shape *q = &call->in[Q]->shape;
    struct hearth_shape *y = &call->out[0].shape;
    int64_t d, dk, e, width;
    int rc = part_of(call, q->dims[2], q_heads, &d, err);
    if (rc == HEARTH_OK)
        rc = part_of(call, call->in[K]->shape.dims[2], kv_heads, &dk, err);
    if (rc == HEARTH_OK)
        rc = part_of(call, call->in[V]->shape.dims[2], kv_heads, &e, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_merge_dim(d, dk, &d, "heads of Q and K", err);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth_shape state = {.rank = 4,
                                       .dims = {q->dims[0], kv_heads, d, e}};
    *y = *q;
    if (HEARTH_DIM_IS_SYMBOL(e))
        y->dims[2] = hearth__ops_fresh(call);
    else if (__builtin_mul_overflow(e, q_heads, &y->dims[2]))
        return hearth_fail(err, HEARTH_ESHAPE, "the result is too large");
    if (call->output_count > 1)
        call->out[1].shape = state;
    if (HEARTH_DIM_IS_SYMBOL(d) || __builtin_mul_overflow(d, kv_heads, &width))
        width = HEARTH_DIM_SYMBOL(0);
    rc = check_state(call, STATE, &state, err);
    if (rc == HEARTH_OK)
        rc = check_width(call, DECAY, kv_heads, width, err);
    return rc == HEARTH_OK ? check_width(call, BETA, kv_heads, 1, err) : rc;
}

HEARTH__OPS_INFER(linear_attention)
{
    int rc = hearth__ops_begin(call, err);
    const int64_t q_heads =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_Q_HEADS, 0);
    const int64_t kv_heads =
        hearth_attr_int(call->graph, call->node, HEARTH_ATTR_KV_HEADS, 0);
    const struct hearth_value_info *state = hearth__ops_in(call, STATE);
    bool gated, delta;
    if (rc == HEARTH_OK)
        rc = check_linear_types(call, err);
    if (rc == HEARTH_OK)
        rc = read_rule(call, &gated, &delta, err);
    if (rc == HEARTH_OK &&
        (q_heads < 1 || kv_heads < 1 || q_heads % kv_heads != 0))
        rc = hearth_fail(err, HEARTH_EMODEL,
                         "%" PRId64 " heads of Q, %" PRId64 " of K", q_heads,
                         kv_heads);
    if (rc != HEARTH_OK)
        return rc;
    if (call->output_count > 1 && state != NULL)
        call->out[1].dtype = state->dtype;
    for (uint32_t k = 0; rc == HEARTH_OK && k < call->input_count; k++)
        if (k != STATE)
            rc = check_steps(call, k, err);
    for (uint32_t k = 0; k < 3; k++)
        if (call->in[k]->shape.rank < 0)
            return rc;
    return rc == HEARTH_OK ? linear_shapes(call, q_heads, kv_heads, err) : rc;
}

/* One step of one head of keys: <s> [d,e] changes, <v> [e] is room. */
static void step_state(const struct linear *l, int64_t b, int64_t t, int64_t h,
                       double *s, double *v)
{
    const int64_t at = b * l->steps + t;
    const double *k = l->k + (at * l->kv_heads + h) * l->d;
    memcpy(v, l->v + (at * l->kv_heads + h) * l->e, (size_t)l->e * sizeof *v);
    for (int64_t i = 0; l->gated && i < l->d; i++) {
        const double *g = l->decay + at * l->decay_width;
        const double f =
            exp(l->decay_width == l->kv_heads ? g[h] : g[h * l->d + i]);
        for (int64_t j = 0; j < l->e; j++)
            s[i * l->e + j] *= f;
    }
    if (l->delta) {
        const double beta =
            l->beta[at * l->beta_width + (l->beta_width == 1 ? 0 : h)];
        for (int64_t i = 0; i < l->d; i++)
            for (int64_t j = 0; j < l->e; j++)
                v[j] -= k[i] * s[i * l->e + j];
        for (int64_t j = 0; j < l->e; j++)
            v[j] *= beta;
    }
    for (int64_t i = 0; i < l->d; i++)
        for (int64_t j = 0; j < l->e; j++)
            s[i * l->e + j] += k[i] * v[j];
}

/* The heads of Q that share head <h> of keys. */
static void read_state(const struct linear *l, int64_t b, int64_t t, int64_t h,
                       const double *s, double *y)
{
    const int64_t share = l->q_heads / l->kv_heads;
    for (int64_t n = h * share; n < (h + 1) * share; n++) {
        const int64_t at = (b * l->steps + t) * l->q_heads + n;
        double *to = y + at * l->e;
        memset(to, 0, (size_t)l->e * sizeof *to);
        for (int64_t i = 0; i < l->d; i++)
            for (int64_t j = 0; j < l->e; j++)
                to[j] += l->scale * l->q[at * l->d + i] * s[i * l->e + j];
    }
}

static void run_linear(const struct linear *l, double *state, double *v,
                       double *y)
{
    for (int64_t b = 0; b < l->batch; b++)
        for (int64_t h = 0; h < l->kv_heads; h++) {
            double *s = state + (b * l->kv_heads + h) * l->d * l->e;
            for (int64_t t = 0; t < l->steps; t++) {
                step_state(l, b, t, h, s, v);
                read_state(l, b, t, h, s, y);
            }
        }
}

/* The last axis of an input that may be left out. */
static int64_t width_of(const struct hearth_op_call *call, uint32_t k)
{
    const struct hearth_value_info *in = hearth__ops_in(call, k);
    return in == NULL ? 0 : in->shape.dims[2];
}

HEARTH__OPS_EVAL(linear_attention)
{
    const struct hearth_graph *g = call->graph;
    const struct hearth_shape *q = &in[Q]->shape;
    struct linear l = {
        .batch = q->dims[0],
        .steps = q->dims[1],
        .q_heads = hearth_attr_int(g, call->node, HEARTH_ATTR_Q_HEADS, 1),
        .kv_heads = hearth_attr_int(g, call->node, HEARTH_ATTR_KV_HEADS, 1),
        .scale = hearth_attr_float(g, call->node, HEARTH_ATTR_SCALE, 0),
        .decay_width = width_of(call, DECAY),
        .beta_width = width_of(call, BETA)};
    double *v[6] = {NULL}, *y = NULL, *room = NULL;
    int rc = read_rule(call, &l.gated, &l.delta, err);
    if (rc != HEARTH_OK)
        return rc;
    l.d = q->dims[2] / l.q_heads;
    l.e = in[V]->shape.dims[2] / l.kv_heads;
    if (l.scale == 0)
        l.scale = 1 / sqrt((double)l.d);
    for (uint32_t k = 0; rc == HEARTH_OK && k < 6; k++)
        if (hearth__ops_in(call, k) != NULL &&
            (v[k] = hearth__ops_doubles(in[k], err)) == NULL)
            rc = HEARTH_ENOMEM;
    const int64_t size = l.batch * l.kv_heads * l.d * l.e;
    if (rc == HEARTH_OK && v[STATE] == NULL) {
        v[STATE] = hearth__ops_room(size, sizeof *y, err);
        if (v[STATE] != NULL)
            memset(v[STATE], 0, (size_t)size * sizeof *y);
    }
    if (rc == HEARTH_OK)
        y = hearth__ops_room(l.batch * l.steps * l.q_heads * l.e, sizeof *y,
                             err);
    if (y != NULL)
        room = hearth__ops_room(l.e, sizeof *room, err);
    rc = room == NULL || v[STATE] == NULL ? HEARTH_ENOMEM : HEARTH_OK;
    if (rc == HEARTH_OK) {
        l.q = v[Q];
        l.k = v[K];
        l.v = v[V];
        l.decay = v[DECAY];
        l.beta = v[BETA];
        run_linear(&l, v[STATE], room, y);
        if (out[0].data != NULL)
            hearth__ops_put_doubles(&out[0], y);
        if (call->output_count > 1 && out[1].data != NULL)
            hearth__ops_put_doubles(&out[1], v[STATE]);
    }
    free(room);
    free(y);
    for (int k = 0; k < 6; k++)
        free(v[k]);
    return rc;
}

/* ---- CausalConvWithState: X [B,C,L], W [C,1,k], [bias], [past [B,C,k-1]] ----
 */

static int read_activation(const struct hearth_op_call *call, bool *swish,
                           struct hearth_error *err)
{
    const char *text =
        hearth_attr_string(call->graph, call->node, HEARTH_ATTR_MODE, "none");
    *swish = strcmp(text, "silu") == 0 || strcmp(text, "swish") == 0;
    if (*swish || strcmp(text, "none") == 0)
        return HEARTH_OK;
    return hearth_fail(err, HEARTH_EUNSUPPORTED,
                       "activation '%.30s' is not supported", text);
}

HEARTH__OPS_INFER(causal_conv)
{
    int rc = hearth__ops_begin(call, err);
    const struct hearth_value_info *bias = hearth__ops_in(call, 2);
    struct hearth_shape y, state;
    int64_t merged;
    bool swish;
    for (uint32_t k = 1; rc == HEARTH_OK && k < call->input_count; k++)
        rc = hearth__ops_same_dtype(call, k, err);
    if (rc == HEARTH_OK)
        rc = read_activation(call, &swish, err);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth_shape *x = &call->in[0]->shape;
    const struct hearth_shape *w = &call->in[1]->shape;
    if (x->rank < 0 || w->rank < 0)
        return HEARTH_OK;
    if (x->rank != 3 || w->rank != 3 || w->dims[2] == 0 ||
        (w->dims[1] >= 0 && w->dims[1] != 1) ||
        (bias != NULL && bias->shape.rank >= 0 && bias->shape.rank != 1))
        return hearth_fail(err, HEARTH_ESHAPE,
                           "it takes [B,C,L], [C,1,k] and [C]");
    y = state = *x;
    rc = hearth__ops_merge_dim(x->dims[1], w->dims[0], &y.dims[1],
                               "channels of input and weights", err);
    if (rc == HEARTH_OK && bias != NULL && bias->shape.rank == 1)
        rc = hearth__ops_merge_dim(y.dims[1], bias->shape.dims[0], &merged,
                                   "channels of the bias", err);
    state.dims[1] = y.dims[1];
    state.dims[2] = HEARTH_DIM_IS_SYMBOL(w->dims[2]) ? hearth__ops_fresh(call)
                                                     : w->dims[2] - 1;
    if (rc == HEARTH_OK)
        rc = check_state(call, 3, &state, err);
    call->out[0].shape = y;
    if (call->output_count > 1)
        call->out[1].shape = state;
    return rc;
}

HEARTH__OPS_EVAL(causal_conv)
{
    const struct hearth_shape *xs = &in[0]->shape;
    const int64_t channels = xs->dims[1], n = xs->dims[2];
    const int64_t k = in[1]->shape.dims[2], back = k - 1;
    const int64_t rows = xs->dims[0] * channels, wide = n + back;
    double *v[4] = {NULL}, *line = NULL, *state = NULL;
    bool swish;
    int rc = read_activation(call, &swish, err);
    for (uint32_t i = 0; rc == HEARTH_OK && i < 4; i++)
        if (hearth__ops_in(call, i) != NULL &&
            (v[i] = hearth__ops_doubles(in[i], err)) == NULL)
            rc = HEARTH_ENOMEM;
    if (rc == HEARTH_OK &&
        ((line = hearth__ops_room(wide, sizeof *line, err)) == NULL ||
         (state = hearth__ops_room(rows * back, sizeof *state, err)) == NULL))
        rc = HEARTH_ENOMEM;
    for (int64_t r = 0; rc == HEARTH_OK && r < rows; r++) {
        const int64_t c = r % channels;
        for (int64_t i = 0; i < back; i++)
            line[i] = v[3] == NULL ? 0 : v[3][r * back + i];
        memcpy(line + back, v[0] + r * n, (size_t)n * sizeof *line);
        for (int64_t t = 0; t < n; t++) {
            double sum = v[2] == NULL ? 0 : v[2][c];
            for (int64_t i = 0; i < k; i++)
                sum += v[1][c * k + i] * line[t + i];
            v[0][r * n + t] = swish ? sum / (1 + exp(-sum)) : sum;
        }
        memcpy(state + r * back, line + n, (size_t)back * sizeof *line);
    }
    if (rc == HEARTH_OK && out[0].data != NULL)
        hearth__ops_put_doubles(&out[0], v[0]);
    if (rc == HEARTH_OK && call->output_count > 1 && out[1].data != NULL)
        hearth__ops_put_doubles(&out[1], state);
    free(state);
    free(line);
    for (int i = 0; i < 4; i++)
        free(v[i]);
    return rc;
}
