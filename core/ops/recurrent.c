/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recurrent.c: evaluation of RNN, GRU and LSTM (infer_recurrent.c tells their
 * shapes).
 *
 * A direction at a time: its weights are taken as doubles and transposed, so
 * that a step is sums of rows, whose numbers lie beside each other. Sequences
 * are done one after the other, each only as far as it is long: a reverse
 * direction begins at the last element of the sequence itself, and what lies
 * behind is 0 in Y.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops_impl.h"

struct function {
    int64_t act; /* enum hearth_recurrent_act */
    double alpha, beta;
};
struct layer {
    uint32_t op;
    bool batch_first, linear, input_forget;
    double clip;
    struct function f[6]; /* of both directions */
    int64_t functions;    /* of one */
    int64_t steps, batch, in, hidden, gates, dirs;
};
/* One direction. */
struct cell {
    const struct layer *l;
    const struct function *f;
    double *w, *r, *bias, *peep; /* [in,GH] [H,GH] [2GH] [3H]; may be NULL */
    double *h, *c, *z, *q;       /* [H] [H] [GH] [GH] */
};

/* ---- Functions ---- */

static double apply(const struct cell *c, int k, double x)
{
    const struct function *f = &c->f[k];
    if (c->l->clip > 0)
        x = x < -c->l->clip ? -c->l->clip : x > c->l->clip ? c->l->clip : x;
    switch (f->act) {
    case HEARTH_RECURRENT_SIGMOID:
        return 1 / (1 + exp(-x));
    case HEARTH_RECURRENT_RELU:
        return x < 0 ? 0 : x;
    case HEARTH_RECURRENT_AFFINE:
        return f->alpha * x + f->beta;
    case HEARTH_RECURRENT_LEAKY_RELU:
        return x < 0 ? f->alpha * x : x;
    case HEARTH_RECURRENT_THRESHOLDED_RELU:
        return x > f->alpha ? x : 0;
    case HEARTH_RECURRENT_SCALED_TANH:
        return f->alpha * tanh(f->beta * x);
    case HEARTH_RECURRENT_HARD_SIGMOID:
        return fmin(fmax(f->alpha * x + f->beta, 0), 1);
    case HEARTH_RECURRENT_ELU:
        return x < 0 ? f->alpha * expm1(x) : x;
    case HEARTH_RECURRENT_SOFTSIGN:
        return x / (1 + fabs(x));
    case HEARTH_RECURRENT_SOFTPLUS:
        return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
    default:
        return tanh(x);
    }
}

/* ---- Steps ---- */

/* y[from..to) += x times those columns of <m>, [n, columns]. */
static void multiply(const double *x, int64_t n, const double *m,
                     int64_t columns, int64_t from, int64_t to, double *y)
{
    for (int64_t k = 0; k < n; k++) {
        const double f = x[k], *row = m + k * columns;
        for (int64_t j = from; j < to; j++)
            y[j] += f * row[j];
    }
}

static double bias_at(const struct cell *c, int64_t i)
{
    return c->bias == NULL ? 0 : c->bias[i];
}

static double peephole(const struct cell *c, int k, int64_t i, double state)
{
    return c->peep == NULL ? 0 : c->peep[k * c->l->hidden + i] * state;
}

/* z = x W + both biases + h R */
static void all_gates(const struct cell *c, const double *x)
{
    const struct layer *l = c->l;
    const int64_t n = l->gates * l->hidden;
    for (int64_t i = 0; i < n; i++)
        c->z[i] = bias_at(c, i) + bias_at(c, n + i);
    multiply(x, l->in, c->w, n, 0, n, c->z);
    multiply(c->h, l->hidden, c->r, n, 0, n, c->z);
}

static void step_rnn(const struct cell *c, const double *x)
{
    all_gates(c, x);
    for (int64_t i = 0; i < c->l->hidden; i++)
        c->h[i] = apply(c, 0, c->z[i]);
}

/* Gates in the order i o f c. */
static void step_lstm(const struct cell *c, const double *x)
{
    const int64_t n = c->l->hidden;
    all_gates(c, x);
    for (int64_t i = 0; i < n; i++) {
        const double in = apply(c, 0, c->z[i] + peephole(c, 0, i, c->c[i]));
        const double forget =
            c->l->input_forget
                ? 1 - in
                : apply(c, 0, c->z[2 * n + i] + peephole(c, 2, i, c->c[i]));
        const double fresh = apply(c, 1, c->z[3 * n + i]);
        c->c[i] = forget * c->c[i] + in * fresh;
        const double out =
            apply(c, 0, c->z[n + i] + peephole(c, 1, i, c->c[i]));
        c->h[i] = out * apply(c, 2, c->c[i]);
    }
}

/* Gates in the order z r h. */
static void step_gru(const struct cell *c, const double *x)
{
    const struct layer *l = c->l;
    const int64_t n = l->hidden, all = 3 * n;
    for (int64_t i = 0; i < all; i++) {
        c->z[i] = bias_at(c, i);
        c->q[i] = bias_at(c, all + i);
    }
    multiply(x, l->in, c->w, all, 0, all, c->z);
    multiply(c->h, n, c->r, all, 0, l->linear ? all : 2 * n, c->q);
    for (int64_t i = 0; i < n; i++) {
        c->z[i] = apply(c, 0, c->z[i] + c->q[i]);
        c->z[n + i] = apply(c, 0, c->z[n + i] + c->q[n + i]);
        c->c[i] = c->z[n + i] * c->h[i]; /* r * h */
    }
    if (!l->linear)
        multiply(c->c, n, c->r, all, 2 * n, all, c->q);
    for (int64_t i = 0; i < n; i++) {
        const double back =
            l->linear ? c->z[n + i] * c->q[2 * n + i] : c->q[2 * n + i];
        const double fresh = apply(c, 1, c->z[2 * n + i] + back);
        c->h[i] = (1 - c->z[i]) * fresh + c->z[i] * c->h[i];
    }
}

/* ---- Where things lie ---- */

/* A state's [H] of direction <d> and sequence <b>: [dirs,batch,H], or batch
 * first. */
static int64_t state_at(const struct layer *l, const struct hearth_view *v,
                        int64_t d, int64_t b)
{
    return l->batch_first ? b * v->strides[0] + d * v->strides[1]
                          : d * v->strides[0] + b * v->strides[1];
}

static void load_row(const struct hearth_view *v, int64_t offset,
                     int64_t stride, int64_t n, double *to)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = hearth__ops_number(v, offset + i * stride);
}

static void store_row(const struct hearth_view *v, int64_t offset, int64_t n,
                      const double *from)
{
    struct hearth_view row = *v;
    row.data = hearth__ops_at(v, offset);
    row.shape = (struct hearth_shape){.rank = 1, .dims = {n}};
    hearth__ops_put_doubles(&row, from);
}

/* Y's [H] of step <t>: [steps,dirs,batch,H] or [batch,steps,dirs,H]. */
static int64_t y_at(const struct layer *l, const struct hearth_view *y,
                    int64_t t, int64_t d, int64_t b)
{
    return l->batch_first
               ? b * y->strides[0] + t * y->strides[1] + d * y->strides[2]
               : t * y->strides[0] + d * y->strides[1] + b * y->strides[2];
}

struct io {
    const struct hearth_view *x, *lengths, *h, *c; /* NULL: left out */
    struct hearth_view *y, *y_h, *y_c;
    double *row; /* [in] */
};

static int length_of(const struct layer *l, const struct io *io, int64_t b,
                     int64_t *length, struct hearth_error *err)
{
    *length = l->steps;
    if (io->lengths != NULL)
        *length = (int64_t)hearth__ops_number(io->lengths,
                                              b * io->lengths->strides[0]);
    if (*length >= 0 && *length <= l->steps)
        return HEARTH_OK;
    return hearth_fail(err, HEARTH_EINVAL,
                       "sequence %" PRId64 " has the length %" PRId64
                       ", the longest is %" PRId64,
                       b, *length, l->steps);
}

/* One sequence of direction <d>. */
static int run_sequence(const struct cell *c, const struct io *io, int64_t d,
                        bool reverse, int64_t b, struct hearth_error *err)
{
    const struct layer *l = c->l;
    const int64_t n = l->hidden;
    int64_t length;
    int rc = length_of(l, io, b, &length, err);
    if (rc != HEARTH_OK)
        return rc;
    memset(c->h, 0, (size_t)n * sizeof *c->h);
    memset(c->c, 0, (size_t)n * sizeof *c->c);
    if (io->h != NULL)
        load_row(io->h, state_at(l, io->h, d, b), io->h->strides[2], n, c->h);
    if (io->c != NULL)
        load_row(io->c, state_at(l, io->c, d, b), io->c->strides[2], n, c->c);
    for (int64_t s = 0; s < length; s++) {
        const int64_t t = reverse ? length - 1 - s : s;
        const int first = l->batch_first ? 1 : 0; /* the axis of steps */
        load_row(io->x,
                 t * io->x->strides[first] + b * io->x->strides[1 - first],
                 io->x->strides[2], l->in, io->row);
        if (l->op == HEARTH_OP_LSTM)
            step_lstm(c, io->row);
        else if (l->op == HEARTH_OP_GRU)
            step_gru(c, io->row);
        else
            step_rnn(c, io->row);
        if (io->y != NULL)
            store_row(io->y, y_at(l, io->y, t, d, b), n, c->h);
    }
    if (io->y_h != NULL)
        store_row(io->y_h, state_at(l, io->y_h, d, b), n, c->h);
    if (io->y_c != NULL)
        store_row(io->y_c, state_at(l, io->y_c, d, b), n, c->c);
    memset(c->h, 0, (size_t)n * sizeof *c->h);
    for (int64_t t = length; io->y != NULL && t < l->steps; t++)
        store_row(io->y, y_at(l, io->y, t, d, b), n, c->h);
    return HEARTH_OK;
}

/* ---- A direction ---- */

/* <v> [dirs, GH, k] of one direction as [k, GH]. */
static double *transposed(const struct hearth_view *v, int64_t d,
                          struct hearth_error *err)
{
    struct hearth_view m = hearth__ops_take_axis(v, 0, d);
    const int64_t rows = m.shape.dims[0], stride = m.strides[0];
    m.shape.dims[0] = m.shape.dims[1];
    m.strides[0] = m.strides[1];
    m.shape.dims[1] = rows;
    m.strides[1] = stride;
    return hearth__ops_doubles(&m, err);
}

static bool take_optional(const struct hearth_view *v, int64_t d, double **to,
                          struct hearth_error *err)
{
    if (v == NULL)
        return true;
    const struct hearth_view row = hearth__ops_take_axis(v, 0, d);
    *to = hearth__ops_doubles(&row, err);
    return *to != NULL;
}

static int run_direction(const struct layer *l, const struct io *io,
                         const struct hearth_view *const w[4], int64_t d,
                         bool reverse, struct hearth_error *err)
{
    const int64_t wide = l->gates * l->hidden;
    struct cell c = {.l = l, .f = &l->f[d * l->functions]};
    int rc = HEARTH_ENOMEM;
    if ((c.w = transposed(w[0], d, err)) != NULL &&
        (c.r = transposed(w[1], d, err)) != NULL &&
        take_optional(w[2], d, &c.bias, err) &&
        take_optional(w[3], d, &c.peep, err) &&
        (c.h = hearth__ops_room(l->hidden, sizeof *c.h, err)) != NULL &&
        (c.c = hearth__ops_room(l->hidden, sizeof *c.c, err)) != NULL &&
        (c.z = hearth__ops_room(wide, sizeof *c.z, err)) != NULL &&
        (c.q = hearth__ops_room(wide, sizeof *c.q, err)) != NULL)
        rc = HEARTH_OK;
    for (int64_t b = 0; rc == HEARTH_OK && b < l->batch; b++)
        rc = run_sequence(&c, io, d, reverse, b, err);
    free(c.q);
    free(c.z);
    free(c.c);
    free(c.h);
    free(c.peep);
    free(c.bias);
    free(c.r);
    free(c.w);
    return rc;
}

/* Functions as the attributes have them, or the operator's own. */
static void read_functions(const struct hearth_op_call *call, struct layer *l)
{
    uint32_t n, na, nb;
    const int64_t *act =
        hearth_attr_ints(call->graph, call->node, HEARTH_ATTR_ACTIVATIONS, &n);
    const double *alpha =
        hearth_attr_floats(call->graph, call->node, HEARTH_ATTR_ACT_ALPHA, &na);
    const double *beta =
        hearth_attr_floats(call->graph, call->node, HEARTH_ATTR_ACT_BETA, &nb);
    l->functions = l->op == HEARTH_OP_LSTM ? 3 : l->op == HEARTH_OP_GRU ? 2 : 1;
    for (uint32_t i = 0; i < 6; i++) {
        const bool gate = i % l->functions == 0 && l->functions > 1;
        l->f[i].act = i < n  ? act[i]
                      : gate ? HEARTH_RECURRENT_SIGMOID
                             : HEARTH_RECURRENT_TANH;
        l->f[i].alpha = i < na ? alpha[i] : 0;
        l->f[i].beta = i < nb ? beta[i] : 0;
    }
}

static const struct hearth_view *optional(const struct hearth_op_call *call,
                                          const struct hearth_view *const *in,
                                          uint32_t k)
{
    return hearth__ops_in(call, k) == NULL ? NULL : in[k];
}

static struct hearth_view *wanted(const struct hearth_op_call *call,
                                  struct hearth_view *out, uint32_t k)
{
    return k < call->output_count && out[k].data != NULL ? &out[k] : NULL;
}

HEARTH__OPS_EVAL(recurrent)
{
    const struct hearth_graph *g = call->graph;
    const struct hearth_shape *x = &in[0]->shape;
    struct layer l = {
        .op = call->node->op,
        .batch_first =
            hearth_attr_int(g, call->node, HEARTH_ATTR_LAYOUT, 0) != 0,
        .linear = hearth_attr_int(g, call->node,
                                  HEARTH_ATTR_LINEAR_BEFORE_RESET, 0) != 0,
        .input_forget =
            hearth_attr_int(g, call->node, HEARTH_ATTR_INPUT_FORGET, 0) != 0,
        .clip = hearth_attr_float(g, call->node, HEARTH_ATTR_CELL_CLIP, 0),
        .in = x->dims[2],
        .dirs = in[1]->shape.dims[0],
        .hidden = in[2]->shape.dims[2],
        .gates = hearth__ops_recurrent_gates(call->node->op)};
    l.steps = x->dims[l.batch_first ? 1 : 0];
    l.batch = x->dims[l.batch_first ? 0 : 1];
    read_functions(call, &l);
    const bool lstm = l.op == HEARTH_OP_LSTM;
    const struct hearth_view *const w[4] = {in[1], in[2], optional(call, in, 3),
                                            lstm ? optional(call, in, 7)
                                                 : NULL};
    struct io io = {.x = in[0],
                    .lengths = optional(call, in, 4),
                    .h = optional(call, in, 5),
                    .c = lstm ? optional(call, in, 6) : NULL,
                    .y = wanted(call, out, 0),
                    .y_h = wanted(call, out, 1),
                    .y_c = lstm ? wanted(call, out, 2) : NULL};
    const bool reverse =
        strcmp(
            hearth_attr_string(g, call->node, HEARTH_ATTR_DIRECTION, "forward"),
            "reverse") == 0;
    int rc = HEARTH_OK;
    io.row = hearth__ops_room(l.in, sizeof *io.row, err);
    if (io.row == NULL)
        return HEARTH_ENOMEM;
    for (int64_t d = 0; rc == HEARTH_OK && d < l.dirs; d++)
        rc = run_direction(&l, &io, w, d, reverse || d == 1, err);
    free(io.row);
    return rc;
}
