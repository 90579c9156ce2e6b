/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.c: If, Loop and Scan: which block runs, on what, how often, and what
 * becomes of its outputs. That blocks and nodes suit each other in number was
 * checked with the graph (graph.c).
 *
 * A state is borrowed from the node's input until the first iteration, then it
 * is the last iteration's output. Rows of a Loop, whose number is not known
 * before its end, are put into room that doubles; those of a Scan to their
 * place at once.
 */
#include "ops/interp.h"

#include <inttypes.h>
#include <string.h>

/* ---- Rows ---- */

struct pile {
    struct hearth_value_info row; /* data NULL: none yet */
    char *data;
    uint64_t row_bytes, used, room;
    int64_t count;
};

/* The shape of rows that never came, as the block declares it. */
static void declared_row(const struct hearth_graph *g, uint32_t output,
                         struct hearth_value_info *row)
{
    const struct hearth_graph_value *v =
        hearth_graph_value(g, hearth_graph_outputs(g)[output]);
    row->dtype = (enum hearth_dtype)v->dtype;
    row->shape = hearth_graph_shape(v);
    if (row->shape.rank < 0)
        row->shape.rank = 0;
    for (int i = 0; i < row->shape.rank; i++)
        if (row->shape.dims[i] < 0)
            row->shape.dims[i] = 0;
}

static int same_row(struct hearth__machine *m,
                    const struct hearth_value_info *first,
                    const struct hearth_value_info *row)
{
    char a[100], b[100];
    if (row->dtype == first->dtype &&
        hearth_shape_equal(&row->shape, &first->shape))
        return HEARTH_OK;
    return hearth_fail(m->err, HEARTH_ESHAPE,
                       "an iteration gives a row %s %s, the first gave %s %s; "
                       "they must be the same",
                       hearth_dtype_name(row->dtype),
                       hearth_shape_text(&row->shape, a, sizeof a),
                       hearth_dtype_name(first->dtype),
                       hearth_shape_text(&first->shape, b, sizeof b));
}

static int pile_add(struct hearth__machine *m, struct pile *p,
                    const struct hearth_value_info *row)
{
    int rc = HEARTH_OK;
    if (p->count == 0) {
        p->row = *row;
        rc = hearth__interp_bytes(m, row, &p->row_bytes);
    } else {
        rc = same_row(m, &p->row, row);
    }
    if (rc != HEARTH_OK)
        return rc;
    if (p->data == NULL || p->row_bytes > p->room - p->used) {
        uint64_t room = 2 * p->room + p->row_bytes;
        char *larger = hearth__interp_alloc(m, room);
        if (larger == NULL)
            return m->err->status;
        if (p->used > 0)
            memcpy(larger, p->data, (size_t)p->used);
        hearth__interp_free(m, p->data);
        p->data = larger;
        p->room = room;
    }
    if (p->row_bytes > 0)
        memcpy(p->data + p->used, row->data, (size_t)p->row_bytes);
    p->used += p->row_bytes;
    p->count++;
    return HEARTH_OK;
}

/* [count, row..] */
static int stacked(struct hearth__machine *m,
                   const struct hearth_value_info *row, int axis, int64_t count,
                   struct hearth_value_info *out)
{
    if (row->shape.rank == HEARTH_RANK_MAX)
        return hearth_fail(m->err, HEARTH_ESHAPE,
                           "rows of rank %d make a result of a higher one, the "
                           "most is %d",
                           HEARTH_RANK_MAX, HEARTH_RANK_MAX);
    *out = (struct hearth_value_info){.dtype = row->dtype};
    out->shape.rank = row->shape.rank + 1;
    for (int i = 0, k = 0; i < out->shape.rank; i++)
        out->shape.dims[i] = i == axis ? count : row->shape.dims[k++];
    return HEARTH_OK;
}

static int pile_finish(struct hearth__machine *m, struct pile *p,
                       const struct hearth_graph *g, uint32_t output,
                       struct hearth_value_info *out)
{
    if (p->count == 0) {
        declared_row(g, output, &p->row);
        p->data = hearth__interp_alloc(m, 0);
        if (p->data == NULL)
            return m->err->status;
    }
    int rc = stacked(m, &p->row, 0, p->count, out);
    if (rc != HEARTH_OK)
        return rc;
    out->data = p->data;
    p->data = NULL;
    return HEARTH_OK;
}

/* ---- What Loop and Scan share ---- */

struct loop {
    const struct hearth_op_call *call;
    const struct hearth_graph *body;
    uint32_t states, rows;
    uint32_t first;  /* of the states among the body's inputs */
    uint32_t before; /* outputs of the body before the states */
    struct hearth_value_info *args, *results;
    uint8_t *owned; /* [states] the state is an iteration's */
    struct pile *piles;
};

static bool wants(const struct loop *l, uint32_t output)
{
    return output < l->call->output_count &&
           hearth_graph_output(l->call->graph, l->call->node, output) !=
               HEARTH_NO_VALUE;
}

static int loop_begin(struct hearth__machine *m, struct loop *l)
{
    const struct hearth_graph *g = l->body;
    uint64_t bytes =
        (g->input_count + (uint64_t)g->output_count) * sizeof *l->args +
        l->rows * sizeof *l->piles + l->states;
    char *at = hearth__interp_alloc(m, bytes);
    if (at == NULL)
        return m->err->status;
    memset(at, 0, (size_t)bytes);
    l->args = (struct hearth_value_info *)at;
    l->results = l->args + g->input_count;
    l->piles = (struct pile *)(l->results + g->output_count);
    l->owned = (uint8_t *)(l->piles + l->rows);
    for (uint32_t k = 0; k < g->input_count; k++)
        if (l->call->in[k] != NULL)
            l->args[k] = *l->call->in[k];
    return HEARTH_OK;
}

/* The iteration's states take the place of those before it. */
static void take_states(struct hearth__machine *m, struct loop *l)
{
    for (uint32_t k = 0; k < l->states; k++) {
        if (l->owned[k])
            hearth__interp_free(m, l->args[l->first + k].data);
        l->args[l->first + k] = l->results[l->before + k];
        l->owned[k] = 1;
    }
}

static void drop_rows(struct hearth__machine *m, struct loop *l)
{
    for (uint32_t k = 0; k < l->rows; k++)
        hearth__interp_free(m, l->results[l->before + l->states + k].data);
}

/* The states become the node's first outputs. */
static int give_states(struct hearth__machine *m, struct loop *l)
{
    for (uint32_t k = 0; k < l->states; k++) {
        struct hearth_value_info *state = &l->args[l->first + k];
        if (!wants(l, k))
            continue;
        if (!l->owned[k]) {
            int rc = hearth__interp_copy(m, state, &l->call->out[k]);
            if (rc != HEARTH_OK)
                return rc;
            continue;
        }
        l->call->out[k] = *state;
        l->owned[k] = 0;
    }
    return HEARTH_OK;
}

static void loop_end(struct hearth__machine *m, struct loop *l)
{
    if (l->args == NULL)
        return;
    for (uint32_t k = 0; k < l->states; k++)
        if (l->owned[k])
            hearth__interp_free(m, l->args[l->first + k].data);
    for (uint32_t k = 0; k < l->rows; k++)
        hearth__interp_free(m, l->piles[k].data);
    hearth__interp_free(m, l->args);
}

/* ---- Loop ---- */

static int one_bool(struct hearth__machine *m,
                    const struct hearth_value_info *info, bool *value)
{
    int64_t count;
    if (info->dtype != HEARTH_BOOL ||
        !hearth_shape_count(&info->shape, &count) || count != 1)
        return hearth_fail(m->err, HEARTH_ETYPE,
                           "a condition is not one bool; use another model");
    *value = *(const uint8_t *)info->data != 0;
    return HEARTH_OK;
}

/* The shape of one number: a scalar, or a vector where the body declares one,
 * as some exporters do. */
static struct hearth_shape one(const struct hearth_graph *g, uint32_t input)
{
    bool vector =
        hearth_graph_value(g, hearth_graph_inputs(g)[input])->rank == 1;
    return (struct hearth_shape){.rank = vector, .dims = {1}};
}

static int iterate(struct hearth__machine *m, struct loop *l, bool *goes_on)
{
    int rc = hearth__interp_step(m);
    if (rc == HEARTH_OK)
        rc = hearth__interp_block(m, l->body, l->args, l->results);
    if (rc != HEARTH_OK)
        return rc;
    rc = one_bool(m, &l->results[0], goes_on);
    hearth__interp_free(m, l->results[0].data);
    for (uint32_t k = 0; rc == HEARTH_OK && k < l->rows; k++)
        if (wants(l, l->states + k))
            rc = pile_add(m, &l->piles[k],
                          &l->results[l->before + l->states + k]);
    drop_rows(m, l);
    take_states(m, l);
    return rc;
}

static int run_loop(struct hearth__machine *m,
                    const struct hearth_op_call *call)
{
    struct loop l = {
        .call = call,
        .body = hearth_attr_block(call->graph, call->node, HEARTH_ATTR_BODY),
        .states = (uint32_t)hearth_attr_int(call->graph, call->node,
                                            HEARTH_ATTR_STATES, 0),
        .first = 2,
        .before = 1};
    int64_t count, at;
    uint8_t yes = 1;
    bool goes_on;
    l.rows = l.body->output_count - 1 - l.states;
    if (call->in[0]->dtype != HEARTH_I64 ||
        !hearth_shape_count(&call->in[0]->shape, &count) || count != 1)
        return hearth_fail(m->err, HEARTH_ETYPE,
                           "its number of iterations is not one i64; use "
                           "another model");
    int rc = one_bool(m, call->in[1], &goes_on);
    count = *(const int64_t *)call->in[0]->data;
    if (rc == HEARTH_OK)
        rc = loop_begin(m, &l);
    if (rc != HEARTH_OK)
        return rc;
    l.args[0] = (struct hearth_value_info){.dtype = HEARTH_I64,
                                           .shape = one(l.body, 0),
                                           .data = &at,
                                           .content = &at};
    l.args[1] = (struct hearth_value_info){
        .dtype = HEARTH_BOOL, .shape = one(l.body, 1), .data = &yes};
    for (at = 0; rc == HEARTH_OK && goes_on && at < count; at++)
        rc = iterate(m, &l, &goes_on);
    if (rc == HEARTH_OK)
        rc = give_states(m, &l);
    for (uint32_t k = 0; rc == HEARTH_OK && k < l.rows; k++)
        if (wants(&l, l.states + k))
            rc = pile_finish(m, &l.piles[k], l.body, 1 + l.states + k,
                             &call->out[l.states + k]);
    loop_end(m, &l);
    return rc;
}

/* ---- Scan ---- */

/* A dense tensor seen along an axis: [outer, n, inner bytes]. */
struct along {
    int64_t outer, n;
    uint64_t inner;
};

static struct along along(const struct hearth_value_info *info, int axis)
{
    struct along a = {.outer = 1, .n = info->shape.dims[axis]};
    a.inner = hearth_dtype_bytes(info->dtype);
    for (int i = 0; i < info->shape.rank; i++) {
        if (i < axis)
            a.outer *= info->shape.dims[i];
        else if (i > axis)
            a.inner *= (uint64_t)info->shape.dims[i];
    }
    return a;
}

/* Copies slice <at> of <whole> to <slice>, or back. */
static void copy_slice(const struct along *a, char *whole, char *slice,
                       int64_t at, bool back)
{
    for (int64_t o = 0; a->inner > 0 && o < a->outer; o++) {
        char *w = whole + (uint64_t)(o * a->n + at) * a->inner;
        char *s = slice + (uint64_t)o * a->inner;
        memcpy(back ? w : s, back ? s : w, (size_t)a->inner);
    }
}

struct scan {
    struct loop l;
    uint32_t scans;
    int64_t length;
};

/* Axis or direction <k> of a list, all of which may be left out. */
static int64_t number_of(const struct scan *s, enum hearth_attr key, uint32_t k)
{
    uint32_t count;
    const int64_t *v =
        hearth_attr_ints(s->l.call->graph, s->l.call->node, key, &count);
    return k < count ? v[k] : 0;
}

/* Arguments for the slices, and room for those that do not lie together. */
static int prepare_slices(struct hearth__machine *m, struct scan *s)
{
    for (uint32_t k = 0; k < s->scans; k++) {
        const struct hearth_value_info *in = s->l.call->in[s->l.states + k];
        struct hearth_value_info *arg = &s->l.args[s->l.states + k];
        int axis;
        int rc = hearth__ops_axis(number_of(s, HEARTH_ATTR_SCAN_IN_AXES, k),
                                  in->shape.rank, &axis, m->err);
        if (rc != HEARTH_OK)
            return rc;
        if (k > 0 && in->shape.dims[axis] != s->length)
            return hearth_fail(m->err, HEARTH_ESHAPE,
                               "its sequences have %" PRId64 " and %" PRId64
                               " slices; they must be as many",
                               s->length, in->shape.dims[axis]);
        s->length = in->shape.dims[axis];
        arg->content = NULL;
        arg->shape.rank--;
        for (int i = axis; i < arg->shape.rank; i++)
            arg->shape.dims[i] = in->shape.dims[i + 1];
        uint64_t bytes;
        rc = hearth__interp_bytes(m, arg, &bytes);
        if (rc != HEARTH_OK)
            return rc;
        arg->data = hearth__interp_alloc(m, bytes);
        if (arg->data == NULL)
            return m->err->status;
    }
    return HEARTH_OK;
}

static void cut_slices(const struct scan *s, int64_t t)
{
    for (uint32_t k = 0; k < s->scans; k++) {
        const struct hearth_value_info *in = s->l.call->in[s->l.states + k];
        int axis = 0;
        (void)hearth__ops_axis(number_of(s, HEARTH_ATTR_SCAN_IN_AXES, k),
                               in->shape.rank, &axis, NULL);
        struct along a = along(in, axis);
        bool reverse = number_of(s, HEARTH_ATTR_SCAN_IN_REVERSE, k) != 0;
        copy_slice(&a, (char *)(uintptr_t)in->data,
                   (char *)(uintptr_t)s->l.args[s->l.states + k].data,
                   reverse ? s->length - 1 - t : t, false);
    }
}

/* Row <k> of iteration <t> goes to its place. <row> NULL: there are none. */
static int put_row(struct hearth__machine *m, const struct scan *s, uint32_t k,
                   const struct hearth_value_info *row, int64_t t)
{
    struct hearth_value_info *out = &s->l.call->out[s->l.states + k];
    struct pile *p = &s->l.piles[k];
    int axis, rc = HEARTH_OK;
    if (row == NULL)
        declared_row(s->l.body, s->l.states + k, &p->row);
    else if (p->count == 0)
        p->row = *row;
    else
        rc = same_row(m, &p->row, row);
    if (rc == HEARTH_OK)
        rc = hearth__ops_axis(number_of(s, HEARTH_ATTR_SCAN_OUT_AXES, k),
                              p->row.shape.rank + 1, &axis, m->err);
    if (rc == HEARTH_OK && p->count == 0) {
        uint64_t bytes;
        rc = stacked(m, &p->row, axis, s->length, out);
        if (rc == HEARTH_OK)
            rc = hearth__interp_bytes(m, out, &bytes);
        if (rc == HEARTH_OK &&
            (out->data = hearth__interp_alloc(m, bytes)) == NULL)
            rc = m->err->status;
    }
    if (rc != HEARTH_OK || row == NULL)
        return rc;
    p->count++;
    struct along a = along(out, axis);
    bool reverse = number_of(s, HEARTH_ATTR_SCAN_OUT_REVERSE, k) != 0;
    copy_slice(&a, (char *)(uintptr_t)out->data, (char *)(uintptr_t)row->data,
               reverse ? s->length - 1 - t : t, true);
    return HEARTH_OK;
}

static int scan_once(struct hearth__machine *m, struct scan *s, int64_t t)
{
    struct loop *l = &s->l;
    cut_slices(s, t);
    int rc = hearth__interp_step(m);
    if (rc == HEARTH_OK)
        rc = hearth__interp_block(m, l->body, l->args, l->results);
    if (rc != HEARTH_OK)
        return rc;
    for (uint32_t k = 0; rc == HEARTH_OK && k < l->rows; k++)
        if (wants(l, l->states + k))
            rc = put_row(m, s, k, &l->results[l->states + k], t);
    drop_rows(m, l);
    take_states(m, l);
    return rc;
}

static int run_scan(struct hearth__machine *m,
                    const struct hearth_op_call *call)
{
    struct scan s = {.l = {.call = call,
                           .body = hearth_attr_block(call->graph, call->node,
                                                     HEARTH_ATTR_BODY),
                           .states = (uint32_t)hearth_attr_int(
                               call->graph, call->node, HEARTH_ATTR_STATES, 0)},
                     .scans = (uint32_t)hearth_attr_int(call->graph, call->node,
                                                        HEARTH_ATTR_SCANS, 1)};
    struct loop *l = &s.l;
    l->rows = l->body->output_count - l->states;
    int rc = loop_begin(m, l);
    if (rc != HEARTH_OK)
        return rc;
    for (uint32_t k = 0; k < s.scans; k++)
        l->args[l->states + k].data = NULL;
    rc = prepare_slices(m, &s);
    for (int64_t t = 0; rc == HEARTH_OK && t < s.length; t++)
        rc = scan_once(m, &s, t);
    if (rc == HEARTH_OK)
        rc = give_states(m, l);
    for (uint32_t k = 0; rc == HEARTH_OK && s.length == 0 && k < l->rows; k++)
        if (wants(l, l->states + k))
            rc = put_row(m, &s, k, NULL, 0);
    for (uint32_t k = 0; k < s.scans; k++)
        hearth__interp_free(m, l->args[l->states + k].data);
    loop_end(m, l);
    return rc;
}

/* One element's output becomes part <b> of <batch> of the node's. */
static int put_element(struct hearth__machine *m, struct hearth_value_info *out,
                       const struct hearth_value_info *element, int64_t b,
                       int64_t batch)
{
    uint64_t bytes, all;
    int rc = hearth__interp_bytes(m, element, &bytes);
    if (rc == HEARTH_OK && b == 0) {
        rc = stacked(m, element, 0, batch, out);
        if (rc == HEARTH_OK)
            rc = hearth__interp_bytes(m, out, &all);
        if (rc == HEARTH_OK &&
            (out->data = hearth__interp_alloc(m, all)) == NULL)
            rc = m->err->status;
    } else if (rc == HEARTH_OK) {
        struct hearth_value_info first = *out;
        first.shape.rank--;
        memmove(first.shape.dims, first.shape.dims + 1,
                (size_t)first.shape.rank * sizeof first.shape.dims[0]);
        rc = same_row(m, &first, element);
    }
    if (rc == HEARTH_OK)
        memcpy((char *)(uintptr_t)out->data + (uint64_t)b * bytes,
               element->data, (size_t)bytes);
    return rc;
}

/* Element <b> of what has a batch; captures have none. */
static int cut_element(struct hearth__machine *m,
                       const struct hearth_value_info *in, int64_t b,
                       struct hearth_value_info *element)
{
    uint64_t bytes;
    *element = *in;
    element->content = NULL;
    element->shape.rank--;
    for (int i = 0; i < element->shape.rank; i++)
        element->shape.dims[i] = in->shape.dims[i + 1];
    int rc = hearth__interp_bytes(m, element, &bytes);
    if (rc == HEARTH_OK)
        element->data = (const char *)in->data + (uint64_t)b * bytes;
    return rc;
}

static int run_element(struct hearth__machine *m,
                       const struct hearth_op_call *call, uint32_t formals,
                       int64_t b, int64_t batch,
                       struct hearth_value_info *elements,
                       const struct hearth_value_info **in)
{
    struct hearth_value_info out[HEARTH_OP_OUTPUTS_MAX] = {0};
    struct hearth_op_call one_call = *call;
    int rc = HEARTH_OK;
    for (uint32_t k = 0; rc == HEARTH_OK && k < call->input_count; k++) {
        in[k] = call->in[k];
        if (k >= formals)
            continue;
        rc = cut_element(m, call->in[k], b, &elements[k]);
        in[k] = &elements[k];
    }
    one_call.in = in;
    one_call.out = out;
    if (rc == HEARTH_OK)
        rc = run_scan(m, &one_call);
    for (uint32_t k = 0; k < call->output_count; k++) {
        if (out[k].data == NULL)
            continue;
        if (rc == HEARTH_OK)
            rc = put_element(m, &call->out[k], &out[k], b, batch);
        hearth__interp_free(m, out[k].data);
    }
    return rc;
}

static int run_batch(struct hearth__machine *m,
                     const struct hearth_op_call *call)
{
    uint32_t formals = (uint32_t)(hearth_attr_int(call->graph, call->node,
                                                  HEARTH_ATTR_STATES, 0) +
                                  hearth_attr_int(call->graph, call->node,
                                                  HEARTH_ATTR_SCANS, 1));
    int64_t batch = 0;
    for (uint32_t k = 0; k < formals; k++) {
        const struct hearth_shape *s = &call->in[k]->shape;
        if (s->rank < 1 || s->dims[0] < 1 || (k > 0 && s->dims[0] != batch))
            return hearth_fail(m->err, HEARTH_ESHAPE,
                               "axis 0 of its inputs must be a batch of one "
                               "size, and not empty");
        batch = s->dims[0];
    }
    struct hearth_value_info *elements = hearth__interp_alloc(
        m, formals * sizeof *elements + call->input_count * sizeof(void *));
    if (elements == NULL)
        return m->err->status;
    int rc = HEARTH_OK;
    for (int64_t b = 0; rc == HEARTH_OK && b < batch; b++)
        rc = run_element(
            m, call, formals, b, batch, elements,
            (const struct hearth_value_info **)(void *)(elements + formals));
    hearth__interp_free(m, elements);
    return rc;
}

/* ---- If ---- */

static int run_if(struct hearth__machine *m, const struct hearth_op_call *call)
{
    bool condition;
    int rc = one_bool(m, call->in[0], &condition);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth_graph *g =
        hearth_attr_block(call->graph, call->node,
                          condition ? HEARTH_ATTR_THEN : HEARTH_ATTR_ELSE);
    struct loop l = {.call = call, .body = g};
    uint64_t bytes = (g->input_count + (uint64_t)g->output_count) *
                     sizeof(struct hearth_value_info);
    l.args = hearth__interp_alloc(m, bytes);
    if (l.args == NULL)
        return m->err->status;
    l.results = l.args + g->input_count;
    for (uint32_t k = 0; k < g->input_count; k++)
        l.args[k] = *call->in[k + 1];
    rc = hearth__interp_block(m, g, l.args, l.results);
    for (uint32_t k = 0; rc == HEARTH_OK && k < g->output_count; k++) {
        if (wants(&l, k))
            call->out[k] = l.results[k];
        else
            hearth__interp_free(m, l.results[k].data);
    }
    hearth__interp_free(m, l.args);
    return rc;
}

int hearth__interp_control(struct hearth__machine *m,
                           const struct hearth_op_call *call)
{
    switch (call->node->op) {
    case HEARTH_OP_IF:
        return run_if(m, call);
    case HEARTH_OP_LOOP:
        return run_loop(m, call);
    default:
        return hearth_attr_int(call->graph, call->node, HEARTH_ATTR_BATCHED,
                               0) != 0
                   ? run_batch(m, call)
                   : run_scan(m, call);
    }
}
