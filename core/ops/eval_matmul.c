/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval_matmul.c: Gemm and MatMul. One routine multiplies two strided matrices,
 * a block of columns of B at a time, so that the block stays in cache while all
 * rows of A pass; transposition is strides. Floats are summed in double,
 * integers modulo 2^64.
 */
#include "ops/ops_impl.h"

#define CHUNK HEARTH__OPS_CHUNK
typedef union hearth__ops_num num_t;

/* A matrix in a tensor. */
struct matrix {
    const struct hearth_view *view;
    int64_t offset, row, column; /* strides */
};

struct product {
    struct matrix a, b, y, c, z; /* c and z: view NULL when absent */
    int64_t m, n, k;
    double alpha, beta; /* of A*B and of C */
    enum hearth__ops_kind kind;
    struct hearth__ops_act act;
};

static void load_row(const struct matrix *m, int64_t row, int64_t column,
                     int64_t n, num_t *dst)
{
    hearth__ops_load(dst, m->view->data, m->view->dtype,
                     m->offset + row * m->row + column * m->column, m->column,
                     n);
}

/* x *= factor, for integers by way of double. */
static void scale(const struct product *p, num_t *x, int64_t n, double factor)
{
    if (factor == 1)
        return;
    for (int64_t j = 0; j < n; j++) {
        if (p->kind == HEARTH__OPS_FLOAT) {
            x[j].f *= factor;
        } else if (p->kind == HEARTH__OPS_SIGNED) {
            num_t v = {.f = (double)x[j].i * factor};
            hearth__ops_convert(&v, 1, HEARTH_F64, HEARTH_I64);
            x[j] = v;
        } else {
            num_t v = {.f = (double)x[j].u * factor};
            hearth__ops_convert(&v, 1, HEARTH_F64, HEARTH_U64);
            x[j] = v;
        }
    }
}

static void add(const struct product *p, num_t *acc, const num_t *x, int64_t n)
{
    if (p->kind == HEARTH__OPS_FLOAT)
        for (int64_t j = 0; j < n; j++)
            acc[j].f += x[j].f;
    else
        for (int64_t j = 0; j < n; j++)
            acc[j].u += x[j].u;
}

/* acc[0..n) = row <i> of A times columns [j0, j0 + n) of B. */
static void row_times_block(const struct product *p, int64_t i, int64_t j0,
                            int64_t n, num_t *acc)
{
    num_t a[CHUNK], b[CHUNK];
    for (int64_t j = 0; j < n; j++)
        acc[j].u = 0; /* 0.0 too */
    for (int64_t k0 = 0; k0 < p->k; k0 += CHUNK) {
        int64_t depth = p->k - k0 < CHUNK ? p->k - k0 : CHUNK;
        load_row(&p->a, i, k0, depth, a);
        for (int64_t k = 0; k < depth; k++) {
            load_row(&p->b, k0 + k, j0, n, b);
            if (p->kind == HEARTH__OPS_FLOAT)
                for (int64_t j = 0; j < n; j++)
                    acc[j].f += a[k].f * b[j].f;
            else
                for (int64_t j = 0; j < n; j++)
                    acc[j].u += a[k].u * b[j].u;
        }
    }
}

static void multiply(const struct product *p)
{
    num_t acc[CHUNK], x[CHUNK];
    for (int64_t j0 = 0; j0 < p->n; j0 += CHUNK) {
        int64_t n = p->n - j0 < CHUNK ? p->n - j0 : CHUNK;
        for (int64_t i = 0; i < p->m; i++) {
            row_times_block(p, i, j0, n, acc);
            scale(p, acc, n, p->alpha);
            if (p->c.view != NULL) {
                load_row(&p->c, i, j0, n, x);
                scale(p, x, n, p->beta);
                add(p, acc, x, n);
            }
            if (p->z.view != NULL) {
                load_row(&p->z, i, j0, n, x);
                add(p, acc, x, n);
            }
            hearth__ops_wrap(acc, n, p->y.view->dtype);
            hearth__ops_act_apply(&p->act, p->kind, acc, n);
            hearth__ops_store(p->y.view->data, p->y.view->dtype,
                              p->y.offset + i * p->y.row + j0 * p->y.column,
                              p->y.column, acc, n);
        }
    }
}

/* The last two axes of <v>. */
static struct matrix last_axes(const struct hearth_view *v)
{
    return (struct matrix){.view = v,
                           .row = v->strides[v->shape.rank - 2],
                           .column = v->strides[v->shape.rank - 1]};
}

static struct matrix transposed(struct matrix m, bool yes)
{
    int64_t row = m.row;
    if (yes) {
        m.row = m.column;
        m.column = row;
    }
    return m;
}

HEARTH__OPS_EVAL(gemm)
{
    const struct hearth_graph *g = call->graph;
    bool trans_a = hearth_attr_int(g, call->node, HEARTH_ATTR_TRANS_A, 0) != 0;
    bool trans_b = hearth_attr_int(g, call->node, HEARTH_ATTR_TRANS_B, 0) != 0;
    struct product p = {
        .a = transposed(last_axes(in[0]), trans_a),
        .b = transposed(last_axes(in[1]), trans_b),
        .y = last_axes(&out[0]),
        .m = out[0].shape.dims[0],
        .n = out[0].shape.dims[1],
        .k = in[0]->shape.dims[trans_a ? 0 : 1],
        .alpha = hearth_attr_float(g, call->node, HEARTH_ATTR_GEMM_ALPHA, 1),
        .beta = hearth_attr_float(g, call->node, HEARTH_ATTR_GEMM_BETA, 1),
        .kind = hearth__ops_kind(out[0].dtype),
        .act = hearth__ops_act_of(call)};
    struct hearth_view c;
    (void)err;
    if (call->input_count > 2 && in[2] != NULL) {
        c = hearth__ops_broadcast(in[2], &out[0].shape);
        p.c = last_axes(&c);
    }
    multiply(&p);
    return HEARTH_OK;
}

/* Multiplies every pair of matrices of the stacks; all views have the shape of
 * <y> beside their last two axes. */
static void multiply_stack(struct product *p, struct hearth_view *views[5],
                           const struct hearth_view *y)
{
    struct matrix *matrices[5] = {&p->y, &p->a, &p->b, &p->c, &p->z};
    struct hearth__ops_nest nest;
    struct hearth_shape stack = y->shape;
    int at[5], operands = 0;
    stack.rank -= 2;
    hearth__ops_nest_init(&nest, &stack);
    for (int k = 0; k < 5; k++) {
        if (views[k] == NULL)
            continue;
        struct hearth_view v = *views[k];
        v.shape.rank -= 2;
        *matrices[k] = last_axes(views[k]);
        at[k] = operands++;
        hearth__ops_nest_add(&nest, &v);
    }
    for (bool more = hearth__ops_nest_start(&nest); more;
         more = hearth__ops_nest_next(&nest)) {
        for (int64_t i = 0; i < nest.run; i++) {
            for (int k = 0; k < 5; k++)
                if (views[k] != NULL)
                    matrices[k]->offset =
                        nest.offset[at[k]] + i * nest.step[at[k]];
            multiply(p);
        }
    }
}

HEARTH__OPS_EVAL(matmul)
{
    struct hearth_view a = *in[0], b = *in[1], y = out[0], c, z;
    struct hearth_view *views[5] = {&y, &a, &b, NULL, NULL};
    (void)err;
    if (call->input_count > 2 && in[2] != NULL) {
        c = hearth__ops_broadcast(in[2], &out[0].shape);
        views[3] = &c;
    }
    if (call->input_count > 3 && in[3] != NULL) {
        z = *in[3];
        views[4] = &z;
    }
    /* A vector is a matrix of one row (A) or column (B), whose axis the result
     * does not have. */
    bool vector_a = a.shape.rank == 1, vector_b = b.shape.rank == 1;
    if (vector_a)
        a = hearth__ops_put_axis(&a, 0);
    if (vector_b)
        b = hearth__ops_put_axis(&b, 1);
    for (int k = 0; k < 5; k++) {
        struct hearth_view *v = views[k];
        if (v == NULL || k == 1 || k == 2)
            continue;
        if (vector_b)
            *v = hearth__ops_put_axis(v, v->shape.rank);
        if (vector_a)
            *v = hearth__ops_put_axis(v, v->shape.rank - 1);
    }
    struct product p = {.m = y.shape.dims[y.shape.rank - 2],
                        .n = y.shape.dims[y.shape.rank - 1],
                        .k = a.shape.dims[a.shape.rank - 1],
                        .alpha = 1,
                        .beta = 1,
                        .kind = hearth__ops_kind(y.dtype),
                        .act = hearth__ops_act_of(call)};
    multiply_stack(&p, views, &y);
    return HEARTH_OK;
}
