/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spell.c: finds an operator's spelling, and reads a node's attributes as it
 * says.
 */
#include <inttypes.h>
#include <string.h>

#include "model/spell.h"

static const struct hearth__spell_family *const families[] = {
    &hearth__spell_dynamic, &hearth__spell_math, &hearth__spell_microsoft,
    &hearth__spell_move,    &hearth__spell_nn,   &hearth__spell_net,
    &hearth__spell_reduce,
};

const struct hearth__spelling *
hearth__spell_find(const struct hearth__onnx_node *head, int64_t opset,
                   bool *known)
{
    bool own = hearth__slice_is(head->domain, "ai.onnx");
    *known = false;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        const struct hearth__spell_family *f = families[i];
        if (!hearth__slice_is(head->domain, f->domain) &&
            !(own && f->domain[0] == '\0'))
            continue;
        for (uint32_t k = 0; k < f->count; k++) {
            const struct hearth__spelling *s = &f->rows[k];
            if (!hearth__slice_is(head->op, s->op))
                continue;
            *known = true;
            if (opset >= s->since && opset <= s->until)
                return s;
        }
    }
    return NULL;
}

/* ---- Attributes ---- */

static int read_attrs(struct hearth__canon *c)
{
    struct hearth__slice message = c->source->message;
    struct hearth__wire_field f;
    struct hearth_error *err = c->ir->err;
    int rc;
    while (hearth__wire_next(&message, &f, &rc, err)) {
        if (f.number != 5)
            continue;
        struct hearth__onnx_attr a;
        rc = hearth__onnx_read_attr(f.bytes, &a, err);
        if (rc != HEARTH_OK)
            return rc;
        bool twice = false;
        for (uint32_t i = 0; i < c->attr_count; i++)
            twice |= hearth__slice_equal(a.name, c->attrs[i].name);
        if (twice || c->attr_count == HEARTH__CANON_ATTRS)
            return hearth_fail(err, HEARTH_EMODEL,
                               twice ? "attribute '%.*s' stands twice"
                                     : "attribute '%.*s' is one too many",
                               hearth__slice_cut(a.name, 40),
                               (const char *)a.name.at);
        c->attrs[c->attr_count++] = a;
    }
    return rc;
}

static int convert_attr(struct hearth__canon *c,
                        const struct hearth__onnx_attr *a,
                        const struct hearth__spell_attr *rule)
{
    static const enum hearth__onnx_attr_type types[] = {
        [HEARTH__SPELL_INT] = HEARTH__ONNX_INT,
        [HEARTH__SPELL_INTS] = HEARTH__ONNX_INTS,
        [HEARTH__SPELL_FLOAT] = HEARTH__ONNX_FLOAT,
        [HEARTH__SPELL_STRING] = HEARTH__ONNX_STRING};
    int64_t ints[HEARTH__CANON_INTS];
    uint32_t count;
    double f = (double)a->f;
    if (rule->kind == HEARTH__SPELL_OTHER)
        return HEARTH_OK;
    if (a->type != types[rule->kind])
        return hearth_fail(c->ir->err, HEARTH_EMODEL,
                           "attribute '%s' is of type %" PRIu64
                           ", it must be of type %d; export the model again",
                           rule->name, a->type, (int)types[rule->kind]);
    if (rule->key == HEARTH_ATTR_KEY_NONE)
        return HEARTH_OK;
    switch (rule->kind) {
    case HEARTH__SPELL_INT:
        return hearth__draft_set_int(c->ir, &c->draft, rule->key, a->i);
    case HEARTH__SPELL_FLOAT:
        return hearth__draft_set(c->ir, &c->draft, rule->key,
                                 HEARTH_ATTR_FLOATS, 1, &f);
    case HEARTH__SPELL_STRING:
        if (a->s.bytes > 64 ||
            (a->s.bytes > 0 && memchr(a->s.at, '\0', a->s.bytes) != NULL))
            return hearth_fail(c->ir->err, HEARTH_EMODEL,
                               "attribute '%s' is not a word; export the model "
                               "again",
                               rule->name);
        return hearth__draft_set(c->ir, &c->draft, rule->key,
                                 HEARTH_ATTR_STRING, (uint32_t)a->s.bytes,
                                 a->s.at);
    default:;
        int rc = hearth__canon_ints(c, rule->name, ints, &count);
        if (rc != HEARTH_OK)
            return rc;
        return hearth__draft_set(c->ir, &c->draft, rule->key, HEARTH_ATTR_INTS,
                                 count, ints);
    }
}

int hearth__spell_attrs(struct hearth__canon *c,
                        const struct hearth__spelling *s)
{
    int rc = read_attrs(c);
    for (uint32_t i = 0; rc == HEARTH_OK && i < c->attr_count; i++) {
        const struct hearth__spell_attr *rule = s->attrs;
        while (rule != NULL && rule->name != NULL &&
               !hearth__slice_is(c->attrs[i].name, rule->name))
            rule++;
        if (rule == NULL || rule->name == NULL)
            return hearth_fail(c->ir->err, HEARTH_EUNSUPPORTED,
                               "attribute '%.*s' is not known in opset "
                               "%" PRId64 "; export the model again",
                               hearth__slice_cut(c->attrs[i].name, 40),
                               (const char *)c->attrs[i].name.at,
                               c->ir->head.opset);
        rc = convert_attr(c, &c->attrs[i], rule);
    }
    return rc;
}
