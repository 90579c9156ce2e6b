/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pass_common.c: common subexpressions. Of two nodes of one operator with the
 * same inputs and attributes the earlier one stays, and who read the later one
 * reads it; so do small constants of the same bytes, for nodes that read one
 * each are the same, too. In one walk, as inputs are made equal before nodes
 * are compared.
 *
 * Random operators stay as many as they are.
 */
#include <string.h>

#include "model/model_priv.h"

#define CONST_BYTES_MAX 4096

struct common {
    struct hearth__ir *ir;
    uint32_t *same;  /* of each value: the one that stands for it */
    uint32_t *slots; /* open addressing: a number and 1; 0: free */
    uint64_t mask;
};

static int begin(struct common *c, uint32_t items)
{
    uint64_t size = 16;
    while (size < 2 * (uint64_t)items)
        size *= 2;
    c->mask = size - 1;
    c->slots = hearth__ir_alloc(c->ir, size, sizeof *c->slots);
    return c->slots != NULL ? HEARTH_OK : c->ir->err->status;
}

static uint64_t hash(uint64_t before, const void *data, uint64_t bytes)
{
    return before * UINT64_C(0x9e3779b97f4a7c15) ^
           hearth_hash64(data, (size_t)bytes, 0);
}

static uint64_t hash_shape(uint64_t before, const struct hearth_shape *s)
{
    return hash(before ^ (uint32_t)s->rank, s->dims,
                s->rank > 0 ? (uint64_t)s->rank * sizeof s->dims[0] : 0);
}

/* The earlier item that <item> equals, or <item>, which is put in. */
static uint32_t find(struct common *c, uint64_t hashed, uint32_t item,
                     bool (*equal)(struct hearth__ir *ir, uint32_t a,
                                   uint32_t b))
{
    uint64_t at = hashed & c->mask;
    for (; c->slots[at] != 0; at = (at + 1) & c->mask)
        if (equal(c->ir, c->slots[at] - 1, item))
            return c->slots[at] - 1;
    c->slots[at] = item + 1;
    return item;
}

/* ---- Constants ---- */

static bool equal_constants(struct hearth__ir *ir, uint32_t a, uint32_t b)
{
    const struct hearth__ir_value *x = hearth__ir_value(ir, a);
    const struct hearth__ir_value *y = hearth__ir_value(ir, b);
    return x->info.dtype == y->info.dtype && x->bytes == y->bytes &&
           hearth_shape_equal(&x->info.shape, &y->info.shape) &&
           memcmp(x->info.data, y->info.data, x->bytes) == 0;
}

static int unite_constants(struct common *c)
{
    struct hearth__ir *ir = c->ir;
    int rc = begin(c, ir->values.count);
    for (uint32_t i = 0; rc == HEARTH_OK && i < ir->values.count; i++) {
        const struct hearth__ir_value *v = hearth__ir_value(ir, i);
        if (v->kind != HEARTH_VALUE_WEIGHT || v->is_output || v->outer != 0 ||
            v->bytes == 0 || v->bytes > CONST_BYTES_MAX || v->info.data == NULL)
            continue;
        uint64_t h = hash_shape(v->info.dtype, &v->info.shape);
        c->same[i] =
            find(c, hash(h, v->info.data, v->bytes), i, equal_constants);
    }
    return rc;
}

/* ---- Nodes ---- */

static uint64_t attr_bytes(const struct hearth__ir_attr *a)
{
    return a->type == HEARTH_ATTR_STRING ? a->count
                                         : (uint64_t)a->count * sizeof(int64_t);
}

static bool equal_attrs(const struct hearth__ir_node *n,
                        const struct hearth__ir_node *m)
{
    if (n->attr_count != m->attr_count)
        return false;
    for (uint32_t i = 0; i < n->attr_count; i++) {
        const struct hearth__ir_attr *a = &n->attrs[i], *b = &m->attrs[i];
        if (a->key != b->key || a->type != b->type || a->count != b->count ||
            (a->count > 0 && memcmp(a->data, b->data, attr_bytes(a)) != 0))
            return false;
    }
    return true;
}

/* Both give the same of their outputs, and know the same of them: sizes that
 * only the data tells have a name of their own at each node. */
static bool equal_outputs(struct hearth__ir *ir,
                          const struct hearth__ir_node *n,
                          const struct hearth__ir_node *m)
{
    if (n->output_count != m->output_count)
        return false;
    for (uint32_t k = 0; k < n->output_count; k++) {
        uint32_t a = n->outputs[k], b = m->outputs[k];
        if ((a == HEARTH_NO_VALUE) != (b == HEARTH_NO_VALUE))
            return false;
        if (a == HEARTH_NO_VALUE)
            continue;
        const struct hearth_value_info *x = &hearth__ir_value(ir, a)->info;
        const struct hearth_value_info *y = &hearth__ir_value(ir, b)->info;
        if (x->dtype != y->dtype || !hearth_shape_equal(&x->shape, &y->shape))
            return false;
    }
    return true;
}

static bool equal_nodes(struct hearth__ir *ir, uint32_t a, uint32_t b)
{
    const struct hearth__ir_node *n = hearth__ir_node(ir, a);
    const struct hearth__ir_node *m = hearth__ir_node(ir, b);
    return n->op == m->op && n->input_count == m->input_count &&
           (n->input_count == 0 ||
            memcmp(n->inputs, m->inputs, n->input_count * sizeof *n->inputs) ==
                0) &&
           equal_attrs(n, m) && equal_outputs(ir, n, m);
}

/* Not with graphs inside, which would have to be compared, nor where an output
 * has a name for the caller. */
static bool may_go(struct hearth__ir *ir, const struct hearth__ir_node *n)
{
    if (hearth_op_random(n->op))
        return false;
    for (uint32_t i = 0; i < n->attr_count; i++)
        if (n->attrs[i].type == HEARTH_ATTR_BLOCK)
            return false;
    for (uint32_t k = 0; k < n->output_count; k++)
        if (n->outputs[k] != HEARTH_NO_VALUE &&
            hearth__ir_value(ir, n->outputs[k])->is_output)
            return false;
    return true;
}

/* Of all that is compared: many nodes that differ in one thing only must not
 * meet in one place. */
static uint64_t hash_node(struct hearth__ir *ir,
                          const struct hearth__ir_node *n)
{
    uint64_t h = hash(n->op, n->inputs, n->input_count * sizeof *n->inputs);
    for (uint32_t i = 0; i < n->attr_count; i++)
        h = hash(h ^ n->attrs[i].key, n->attrs[i].data,
                 attr_bytes(&n->attrs[i]));
    for (uint32_t k = 0; k < n->output_count; k++)
        if (n->outputs[k] != HEARTH_NO_VALUE)
            h = hash_shape(h ^ (k + 1),
                           &hearth__ir_value(ir, n->outputs[k])->info.shape);
    return h;
}

static void unite_node(struct common *c, uint32_t i)
{
    struct hearth__ir_node *n = hearth__ir_node(c->ir, i);
    for (uint32_t k = 0; k < n->input_count; k++)
        if (n->inputs[k] != HEARTH_NO_VALUE)
            n->inputs[k] = c->same[n->inputs[k]];
    if (!may_go(c->ir, n))
        return;
    uint32_t first = find(c, hash_node(c->ir, n), i, equal_nodes);
    if (first == i)
        return;
    const struct hearth__ir_node *m = hearth__ir_node(c->ir, first);
    for (uint32_t k = 0; k < n->output_count; k++)
        if (n->outputs[k] != HEARTH_NO_VALUE) {
            c->same[n->outputs[k]] = m->outputs[k];
            hearth__ir_value(c->ir, n->outputs[k])->kind = HEARTH_VALUE_NONE;
        }
    n->op = HEARTH_OP_NONE;
}

int hearth__pass_common(struct hearth__ir *ir)
{
    struct common c = {.ir = ir};
    c.same = hearth__ir_alloc(ir, ir->values.count, sizeof *c.same);
    if (c.same == NULL)
        return ir->err->status;
    for (uint32_t i = 0; i < ir->values.count; i++)
        c.same[i] = i;
    int rc = unite_constants(&c);
    if (rc == HEARTH_OK)
        rc = begin(&c, ir->nodes.count);
    for (uint32_t i = 0; rc == HEARTH_OK && i < ir->nodes.count; i++)
        if (hearth__ir_node(ir, i)->op != HEARTH_OP_NONE)
            unite_node(&c, i);
    return rc;
}
