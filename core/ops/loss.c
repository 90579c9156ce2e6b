/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loss.c: NegativeLogLikelihoodLoss: how far logarithms of probabilities are
 * from the classes that were right. Exporters leave it in models that report
 * their own score; SoftmaxCrossEntropyLoss is LogSoftmax before it.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops_impl.h"

enum { X, TARGET, WEIGHT };
enum reduction { NONE, SUM, MEAN };

static int read_reduction(const struct hearth_op_call *call,
                          enum reduction *reduction, struct hearth_error *err)
{
    static const char *const names[] = {"none", "sum", "mean"};
    const char *name = hearth_attr_string(call->graph, call->node,
                                          HEARTH_ATTR_REDUCTION, "mean");
    for (*reduction = NONE; *reduction <= MEAN; ++*reduction)
        if (strcmp(name, names[*reduction]) == 0)
            return HEARTH_OK;
    return hearth_fail(err, HEARTH_EMODEL, "reduction '%.20s' does not exist",
                       name);
}

/* The target is X without its axis of classes; a weight is one of each class.
 */
static int check_shapes(const struct hearth_op_call *call,
                        struct hearth_error *err)
{
    const struct hearth_shape *x = &call->in[X]->shape;
    const struct hearth_shape *t = &call->in[TARGET]->shape;
    const struct hearth_value_info *w = hearth__ops_in(call, WEIGHT);
    int64_t merged;
    int rc = HEARTH_OK;
    if (x->rank >= 0 && x->rank < 2)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "scores of rank %" PRId32 " have no axis of classes",
                           x->rank);
    if (x->rank >= 0 && t->rank >= 0 && t->rank != x->rank - 1)
        return hearth_fail(err, HEARTH_ESHAPE,
                           "a target of rank %" PRId32
                           " for scores of rank %" PRId32,
                           t->rank, x->rank);
    for (int i = 0; rc == HEARTH_OK && x->rank >= 0 && i < t->rank; i++)
        rc = hearth__ops_merge_dim(x->dims[i == 0 ? 0 : i + 1], t->dims[i],
                                   &merged, "scores and target", err);
    if (rc != HEARTH_OK || w == NULL || w->shape.rank < 0)
        return rc;
    if (w->shape.rank != 1)
        return hearth_fail(err, HEARTH_ESHAPE, "weights of rank %" PRId32,
                           w->shape.rank);
    return x->rank < 0
               ? HEARTH_OK
               : hearth__ops_merge_dim(x->dims[1], w->shape.dims[0], &merged,
                                       "classes and weights", err);
}

HEARTH__OPS_INFER(loss)
{
    enum reduction reduction;
    int rc = hearth__ops_begin(call, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_index_dtype(call, TARGET, err);
    if (rc == HEARTH_OK)
        rc = hearth__ops_same_dtype(call, WEIGHT, err);
    if (rc == HEARTH_OK)
        rc = read_reduction(call, &reduction, err);
    if (rc == HEARTH_OK)
        rc = check_shapes(call, err);
    if (rc != HEARTH_OK)
        return rc;
    if (reduction == NONE)
        call->out[0].shape = call->in[TARGET]->shape;
    else
        call->out[0].shape.rank = 0;
    return HEARTH_OK;
}

struct losses {
    const double *x, *weight; /* weight NULL: 1 of each class */
    const double *target;     /* [rows, inner] */
    int64_t rows, classes, inner;
    bool ignores;
    double ignored;
    double *each; /* [rows, inner] */
    double sum, weights;
};

static int run(struct losses *l, struct hearth_error *err)
{
    for (int64_t i = 0; i < l->rows * l->inner; i++) {
        const double class = l->target[i];
        double weight = 0;
        l->each[i] = 0;
        if (!l->ignores || class != l->ignored) {
            if (!(class >= 0 && class < (double)l->classes))
                return hearth_fail(err, HEARTH_ESHAPE,
                                   "the target is class %.0f of %" PRId64,
                                   class, l->classes);
            const int64_t row = i / l->inner * l->classes + (int64_t) class;
            weight = l->weight == NULL ? 1 : l->weight[(int64_t) class];
            l->each[i] = -weight * l->x[row * l->inner + i % l->inner];
        }
        l->sum += l->each[i];
        l->weights += weight;
    }
    return HEARTH_OK;
}

HEARTH__OPS_EVAL(loss)
{
    const struct hearth_shape *s = &in[X]->shape;
    const bool weighed = hearth__ops_in(call, WEIGHT) != NULL;
    struct losses l = {.rows = s->dims[0],
                       .classes = s->dims[1],
                       .inner = hearth__ops_product(s, 2, s->rank)};
    double *x = NULL, *weight = NULL, *target = NULL;
    enum reduction reduction;
    uint32_t ignored;
    int rc = read_reduction(call, &reduction, err);
    if (rc != HEARTH_OK)
        return rc;
    const int64_t *class = hearth_attr_ints(call->graph, call->node,
                                            HEARTH_ATTR_IGNORE_INDEX, &ignored);
    l.ignores = ignored > 0;
    l.ignored = l.ignores ? (double)class[0] : 0;
    rc = HEARTH_ENOMEM;
    l.x = x = hearth__ops_doubles(in[X], err);
    if (x != NULL)
        l.target = target = hearth__ops_doubles(in[TARGET], err);
    if (target != NULL && weighed)
        l.weight = weight = hearth__ops_doubles(in[WEIGHT], err);
    if (target != NULL && (weight != NULL || !weighed))
        l.each = hearth__ops_room(l.rows * l.inner, sizeof *l.each, err);
    if (l.each != NULL)
        rc = run(&l, err);
    if (rc == HEARTH_OK) {
        const double one = reduction == MEAN ? l.sum / l.weights : l.sum;
        hearth__ops_put_doubles(&out[0], reduction == NONE ? l.each : &one);
    }
    free(l.each);
    free(weight);
    free(target);
    free(x);
    return rc;
}
