/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view.c: what Transpose, Slice, Reshape and their like make of a value without
 * touching it: its elements, some steps apart along each axis. Only where an
 * attention reads them so; whoever else needs them gets them copied in order
 * (cpu__need).
 */
#include "attention.h"
#include "nodes.h"

static void dense_steps(const struct hearth_shape *s, int64_t *steps)
{
    int64_t step = 1;
    for (int i = s->rank - 1; i >= 0; i--) {
        steps[i] = step;
        step *= s->dims[i];
    }
}

int cpu__view_of(struct lowering *l, uint32_t v, struct cpu_view *view,
                 struct hearth_error *err)
{
    if (l->views[v].ref.place != CPU_NOWHERE) {
        *view = l->views[v];
        return HEARTH_OK;
    }
    *view = (struct cpu_view){.first = 0};
    dense_steps(&info(l, v)->shape, view->step);
    return cpu__need(l, v, false, &view->ref, err);
}

void cpu__set_view(struct lowering *l, uint32_t v, const struct cpu_view *view)
{
    const struct cpu_ref *ref = &view->ref;
    int64_t dense[HEARTH_RANK_MAX];
    bool in_order = view->first == 0;
    l->views[v] = *view;
    if (ref->place == CPU_ARENA &&
        l->last_node[v] > l->buffer_last_node[ref->at])
        l->buffer_last_node[ref->at] = l->last_node[v];
    dense_steps(&info(l, v)->shape, dense);
    for (int i = 0; i < info(l, v)->shape.rank; i++)
        in_order = in_order && (info(l, v)->shape.dims[i] == 1 ||
                                view->step[i] == dense[i]);
    if (in_order)
        cpu__map(l, v, false, *ref);
}

/* The same elements in the same order under other axes: each new axis is a
 * part of an old one, or some that are stepped through as one. */
static bool reshaped(const struct hearth_shape *x, const int64_t *from,
                     const struct hearth_shape *y, int64_t *to)
{
    int i = x->rank - 1, k = y->rank - 1;
    while (i >= 0) {
        int64_t size = x->dims[i], step = from[i], done = 1;
        /* Old axes that are one. */
        while (i > 0 && (x->dims[i - 1] == 1 || size == 1 ||
                         from[i - 1] == step * size)) {
            if (size == 1)
                step = from[i - 1];
            size *= x->dims[--i];
        }
        i--;
        for (; k >= 0 && (done < size || y->dims[k] == 1); k--) {
            to[k] = step * done;
            done *= y->dims[k];
        }
        if (done != size)
            return false;
    }
    for (; k >= 0; k--)
        to[k] = 0;
    return true;
}

static bool transposed(const struct lowering *l, int rank, const int64_t *from,
                       int64_t *to)
{
    uint32_t count = 0;
    const int64_t *perm =
        hearth_attr_ints(l->g, this_node(l), HEARTH_ATTR_PERM, &count);
    if (perm != NULL && count != (uint32_t)rank)
        return false;
    for (int i = 0; i < rank; i++) {
        int64_t axis = perm != NULL ? perm[i] : rank - 1 - i;
        axis += axis < 0 ? rank : 0;
        if (axis < 0 || axis >= rank)
            return false;
        to[i] = from[axis];
    }
    return true;
}

/* False: it is to be done in earnest. */
bool cpu__lower_lazily(struct lowering *l, int *rc, struct hearth_error *err)
{
    uint32_t x = input(l, 0), y = output(l, 0);
    const struct hearth_shape *from = &info(l, x)->shape;
    const struct hearth_shape *to = &info(l, y)->shape;
    struct cpu_view old, view;
    bool ok;
    if (l->lazy == NULL || y == HEARTH_NO_VALUE || !l->lazy[y] ||
        !is_f32(l, x) || count_of(l, x) <= 0 || count_of(l, y) <= 0 ||
        from->rank < 1 || to->rank < 1 || to->rank > CPU_COPY_AXES)
        return false;
    *rc = cpu__view_of(l, x, &old, err);
    if (*rc != HEARTH_OK)
        return true;
    view = (struct cpu_view){.ref = old.ref, .first = old.first};
    switch (this_node(l)->op) {
    case HEARTH_OP_TRANSPOSE:
        ok = transposed(l, from->rank, old.step, view.step);
        break;
    case HEARTH_OP_SLICE:
        ok = cpu__slice_steps(l, old.step, view.step, &view.first);
        break;
    default:
        ok = reshaped(from, old.step, to, view.step);
    }
    if (ok)
        cpu__set_view(l, y, &view);
    return ok;
}
