/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lower_move.c: operators that move elements of any type. Transpose, Expand,
 * Tile and Slice are one strided copy each, or a view when nothing moves; axes
 * that are stepped through as one become one, and what is left of too many
 * takes its row.
 */
#include "nodes.h"

/* Tile makes two of each. */
#define AXES_MAX (2 * HEARTH_RANK_MAX)

struct axes {
    int rank;
    int64_t size[AXES_MAX];
    int64_t step[3][AXES_MAX]; /* of each operand */
};

static void push(struct axes *axes, int64_t size, int64_t a, int64_t b,
                 int64_t c)
{
    int i = axes->rank++;
    axes->size[i] = size;
    axes->step[0][i] = a;
    axes->step[1][i] = b;
    axes->step[2][i] = c;
}

/* Makes them exactly <most>; false: more are left. */
static bool fold(struct axes *axes, int most)
{
    struct axes to = {.rank = 0};
    for (int i = axes->rank - 1; i >= 0; i--) {
        int at = to.rank - 1;
        bool one = at >= 0;
        if (axes->size[i] == 1)
            continue;
        for (int k = 0; one && k < 3; k++)
            one = axes->step[k][i] == to.step[k][at] * to.size[at];
        if (one)
            to.size[at] *= axes->size[i];
        else
            push(&to, axes->size[i], axes->step[0][i], axes->step[1][i],
                 axes->step[2][i]);
    }
    if (to.rank > most)
        return false;
    while (to.rank < most)
        push(&to, 1, 0, 0, 0);
    axes->rank = 0;
    for (int i = most - 1; i >= 0; i--)
        push(axes, to.size[i], to.step[0][i], to.step[1][i], to.step[2][i]);
    return true;
}

/* ---- Strided copies ---- */

/* n: bytes, sizes, steps, first element; refs: y; more: x, .. */
static int run_strided(const struct cpu_run *run, struct cpu_step *step,
                       struct hearth_error *err)
{
    const struct cpu_ref *x = &run->plan->refs[step->first_ref];
    const int64_t *n = step->n;
    (void)err;
    cpu_copy((const char *)cpu_at(run, x) + n[1 + 2 * CPU_COPY_AXES] * n[0],
             cpu_at(run, &step->refs[0]), (int)n[0], &n[1],
             &n[1 + CPU_COPY_AXES]);
    return HEARTH_OK;
}

/* May it be one at all? */
static bool is_movable(const struct lowering *l)
{
    uint32_t bytes = hearth_dtype_bytes(info(l, input(l, 0))->dtype);
    return (bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8) &&
           count_of(l, input(l, 0)) > 0 && count_of(l, output(l, 0)) > 0;
}

static void put_copy(struct cpu_step *step, const struct axes *axes,
                     int64_t bytes, int64_t first)
{
    int64_t *n = step->n;
    n[0] = bytes;
    for (int i = 0; i < CPU_COPY_AXES; i++) {
        n[1 + i] = axes->size[i];
        n[1 + CPU_COPY_AXES + i] = axes->step[0][i];
    }
    n[1 + 2 * CPU_COPY_AXES] = first;
}

static int lower_strided(struct lowering *l, struct axes *axes, int64_t first,
                         struct hearth_error *err)
{
    struct cpu_step step = {.run = run_strided};
    if (!fold(axes, CPU_COPY_AXES))
        return cpu__lower_eval(l, err);
    int last = CPU_COPY_AXES - 1;
    if (first == 0 && axes->size[last] == count_of(l, output(l, 0)) &&
        axes->size[last] == count_of(l, input(l, 0)) &&
        (axes->step[0][last] == 1 || axes->size[last] == 1))
        return cpu__lower_view(l, err);
    put_copy(&step, axes, hearth_dtype_bytes(info(l, input(l, 0))->dtype),
             first);
    return cpu__lower_as(l, &step, err);
}

static void dense_steps(const struct hearth_shape *s,
                        int64_t steps[HEARTH_RANK_MAX])
{
    int64_t step = 1;
    for (int i = s->rank - 1; i >= 0; i--) {
        steps[i] = step;
        step *= s->dims[i];
    }
}

int cpu__lower_transpose(struct lowering *l, struct hearth_error *err)
{
    const struct hearth_shape *x = &info(l, input(l, 0))->shape;
    int64_t steps[HEARTH_RANK_MAX];
    struct axes axes = {.rank = 0};
    uint32_t count = 0;
    const int64_t *perm =
        hearth_attr_ints(l->g, this_node(l), HEARTH_ATTR_PERM, &count);
    if (!is_movable(l) || (perm != NULL && count != (uint32_t)x->rank))
        return cpu__lower_eval(l, err);
    dense_steps(x, steps);
    for (int i = 0; i < x->rank; i++) {
        int64_t from = perm != NULL ? perm[i] : x->rank - 1 - i;
        from += from < 0 ? x->rank : 0;
        if (from < 0 || from >= x->rank)
            return cpu__lower_eval(l, err);
        push(&axes, x->dims[from], steps[from], 0, 0);
    }
    return lower_strided(l, &axes, 0, err);
}

/* An operand's steps under the axes of <y>, 0 where it is repeated. */
static void spread(const struct hearth_shape *x, const struct hearth_shape *y,
                   int64_t steps[HEARTH_RANK_MAX])
{
    int shift = y->rank - x->rank;
    int64_t own[HEARTH_RANK_MAX];
    dense_steps(x, own);
    for (int i = 0; i < y->rank; i++)
        steps[i] = i < shift || x->dims[i - shift] == 1 ? 0 : own[i - shift];
}

int cpu__lower_expand(struct lowering *l, struct hearth_error *err)
{
    const struct hearth_shape *y = &info(l, output(l, 0))->shape;
    int64_t steps[HEARTH_RANK_MAX];
    struct axes axes = {.rank = 0};
    if (!is_movable(l))
        return cpu__lower_eval(l, err);
    spread(&info(l, input(l, 0))->shape, y, steps);
    for (int i = 0; i < y->rank; i++)
        push(&axes, y->dims[i], steps[i], 0, 0);
    return lower_strided(l, &axes, 0, err);
}

int cpu__lower_tile(struct lowering *l, struct hearth_error *err)
{
    const struct hearth_shape *x = &info(l, input(l, 0))->shape;
    const struct hearth_shape *y = &info(l, output(l, 0))->shape;
    int64_t steps[HEARTH_RANK_MAX];
    struct axes axes = {.rank = 0};
    if (!is_movable(l))
        return cpu__lower_eval(l, err);
    dense_steps(x, steps);
    for (int i = 0; i < x->rank; i++) {
        push(&axes, y->dims[i] / x->dims[i], 0, 0, 0);
        push(&axes, x->dims[i], steps[i], 0, 0);
    }
    return lower_strided(l, &axes, 0, err);
}

/* ---- Slice ---- */

/* Numbers of a short vector that is known here; false: it is not. */
static bool numbers(const struct lowering *l, uint32_t v, int64_t count,
                    int64_t *to)
{
    const struct hearth_value_info *in = info(l, v);
    if (in == NULL || in->data == NULL || count_of(l, v) != count ||
        (in->dtype != HEARTH_I64 && in->dtype != HEARTH_I32))
        return false;
    for (int64_t i = 0; i < count; i++)
        to[i] = in->dtype == HEARTH_I64 ? ((const int64_t *)in->data)[i]
                                        : ((const int32_t *)in->data)[i];
    return true;
}

bool cpu__slice_steps(const struct lowering *l, const int64_t *own, int64_t *by,
                      int64_t *first)
{
    const struct hearth_shape *x = &info(l, input(l, 0))->shape;
    const struct hearth_shape *y = &info(l, output(l, 0))->shape;
    int64_t starts[HEARTH_RANK_MAX], axis[HEARTH_RANK_MAX];
    int64_t steps[HEARTH_RANK_MAX], count = count_of(l, input(l, 1));
    if (count < 0 || count > x->rank || !numbers(l, input(l, 1), count, starts))
        return false;
    for (int64_t k = 0; k < count; k++) {
        axis[k] = k;
        steps[k] = 1;
    }
    if ((input(l, 3) != HEARTH_NO_VALUE &&
         !numbers(l, input(l, 3), count, axis)) ||
        (input(l, 4) != HEARTH_NO_VALUE &&
         !numbers(l, input(l, 4), count, steps)))
        return false;
    for (int i = 0; i < x->rank; i++)
        by[i] = own[i];
    /* The result's shape stands: an end needs no look. Its first element does,
     * which lies in the axis, for something is left of it. */
    for (int64_t k = 0; k < count; k++) {
        int64_t i = axis[k] + (axis[k] < 0 ? x->rank : 0);
        if (i < 0 || i >= x->rank)
            return false;
        int64_t start = starts[k] + (starts[k] < 0 ? x->dims[i] : 0);
        start = start < 0 ? 0 : start;
        start = start >= x->dims[i] ? x->dims[i] - 1 : start;
        *first += start * own[i];
        /* Of one element no step is taken, however large. */
        by[i] = y->dims[i] == 1 ? 0 : own[i] * steps[k];
    }
    return true;
}

int cpu__lower_slice(struct lowering *l, struct hearth_error *err)
{
    const struct hearth_shape *x = &info(l, input(l, 0))->shape;
    const struct hearth_shape *y = &info(l, output(l, 0))->shape;
    int64_t own[HEARTH_RANK_MAX], by[HEARTH_RANK_MAX], first = 0;
    struct axes axes = {.rank = 0};
    if (!is_movable(l))
        return cpu__lower_eval(l, err);
    dense_steps(x, own);
    if (!cpu__slice_steps(l, own, by, &first))
        return cpu__lower_eval(l, err);
    for (int i = 0; i < x->rank; i++)
        push(&axes, y->dims[i], by[i], 0, 0);
    return lower_strided(l, &axes, first, err);
}

int cpu__copy_view(struct lowering *l, uint32_t v, const struct cpu_view *view,
                   struct hearth_error *err)
{
    const struct hearth_shape *s = &info(l, v)->shape;
    struct cpu_step step = {.run = run_strided};
    struct axes axes = {.rank = 0};
    for (int i = 0; i < s->rank; i++)
        push(&axes, s->dims[i], view->step[i], 0, 0);
    (void)fold(&axes, CPU_COPY_AXES); /* a view has no more */
    put_copy(&step, &axes, hearth_dtype_bytes(info(l, v)->dtype), view->first);
    int rc = cpu__output(l, v, false, &step.refs[0], err);
    return rc == HEARTH_OK ? cpu__step(l, &step, &view->ref, 1, err) : rc;
}

/* ---- Gather ---- */

static int64_t index_at(const void *data, bool narrow, int64_t i)
{
    return narrow ? ((const int32_t *)data)[i] : ((const int64_t *)data)[i];
}

/* n: outer, rows of an outer one, bytes of a row, indices, 1: i32.
 * refs: y; more: x, indices */
static int run_gather(const struct cpu_run *run, struct cpu_step *step,
                      struct hearth_error *err)
{
    const struct cpu_ref *more = &run->plan->refs[step->first_ref];
    const int64_t *n = step->n, rows = n[1], bytes = n[2], count = n[3];
    const char *x = cpu_at(run, &more[0]);
    const void *indices = cpu_at(run, &more[1]);
    char *y = cpu_at(run, &step->refs[0]);
    bool narrow = n[4] != 0;
    /* The row knows what to say of one that is out of range. */
    for (int64_t i = 0; i < count; i++)
        if (index_at(indices, narrow, i) < -rows ||
            index_at(indices, narrow, i) >= rows)
            return cpu__run_eval(run, step, err);
    for (int64_t o = 0; o < n[0]; o++)
        for (int64_t i = 0; i < count; i++) {
            int64_t at = index_at(indices, narrow, i);
            at += at < 0 ? rows : 0;
            memcpy(y, x + (o * rows + at) * bytes, (size_t)bytes);
            y += bytes;
        }
    return HEARTH_OK;
}

int cpu__lower_gather(struct lowering *l, struct hearth_error *err)
{
    const struct hearth_value_info *x = info(l, input(l, 0));
    const struct hearth_value_info *indices = info(l, input(l, 1));
    struct cpu_step step = {.run = run_gather};
    int64_t axis = hearth_attr_int(l->g, this_node(l), HEARTH_ATTR_AXIS, 0);
    axis += axis < 0 ? x->shape.rank : 0;
    if (!is_movable(l) || axis < 0 || axis >= x->shape.rank ||
        (indices->dtype != HEARTH_I64 && indices->dtype != HEARTH_I32))
        return cpu__lower_eval(l, err);
    step.n[0] = 1;
    for (int i = 0; i < axis; i++)
        step.n[0] *= x->shape.dims[i];
    step.n[1] = x->shape.dims[axis];
    step.n[2] = hearth_dtype_bytes(x->dtype);
    for (int i = (int)axis + 1; i < x->shape.rank; i++)
        step.n[2] *= x->shape.dims[i];
    step.n[3] = count_of(l, input(l, 1));
    step.n[4] = indices->dtype == HEARTH_I32;
    return cpu__lower_as(l, &step, err);
}

/* ---- Where, Cast ---- */

/* n: 4 sizes, 4 steps of each operand; refs: y; more: condition, a, b */
static int run_where(const struct cpu_run *run, struct cpu_step *step,
                     struct hearth_error *err)
{
    const struct cpu_ref *more = &run->plan->refs[step->first_ref];
    const int64_t *n = step->n;
    (void)err;
    cpu_where(cpu_at(run, &more[0]), cpu_at(run, &more[1]),
              cpu_at(run, &more[2]), cpu_at(run, &step->refs[0]), n, n + 4,
              n + 8, n + 12);
    return HEARTH_OK;
}

int cpu__lower_where(struct lowering *l, struct hearth_error *err)
{
    const struct hearth_shape *y = &info(l, output(l, 0))->shape;
    struct cpu_step step = {.run = run_where};
    int64_t steps[3][HEARTH_RANK_MAX];
    struct axes axes = {.rank = 0};
    if (hearth_dtype_bytes(info(l, input(l, 1))->dtype) != 4 ||
        info(l, input(l, 0))->dtype != HEARTH_BOOL ||
        count_of(l, output(l, 0)) <= 0)
        return cpu__lower_eval(l, err);
    for (uint32_t k = 0; k < 3; k++)
        spread(&info(l, input(l, k))->shape, y, steps[k]);
    for (int i = 0; i < y->rank; i++)
        push(&axes, y->dims[i], steps[0][i], steps[1][i], steps[2][i]);
    if (!fold(&axes, 4))
        return cpu__lower_eval(l, err);
    for (int i = 0; i < 4; i++) {
        step.n[i] = axes.size[i];
        for (int k = 0; k < 3; k++)
            step.n[4 + 4 * k + i] = axes.step[k][i];
    }
    return cpu__lower_as(l, &step, err);
}

/* n: from, to, count; refs: y; more: x */
static int run_cast(const struct cpu_run *run, struct cpu_step *step,
                    struct hearth_error *err)
{
    const struct cpu_ref *more = &run->plan->refs[step->first_ref];
    (void)err;
    (void)cpu_cast(cpu_at(run, &more[0]), (enum hearth_dtype)step->n[0],
                   cpu_at(run, &step->refs[0]), (enum hearth_dtype)step->n[1],
                   step->n[2]);
    return HEARTH_OK;
}

int cpu__lower_cast(struct lowering *l, struct hearth_error *err)
{
    enum hearth_dtype from = info(l, input(l, 0))->dtype;
    enum hearth_dtype to = info(l, output(l, 0))->dtype;
    struct cpu_step step = {.run = run_cast,
                            .n = {from, to, count_of(l, input(l, 0))}};
    if (from == to)
        return cpu__lower_view(l, err);
    if (!cpu_cast(NULL, from, NULL, to, 0))
        return cpu__lower_eval(l, err);
    return cpu__lower_as(l, &step, err);
}
