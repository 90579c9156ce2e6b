/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spell.h: spellings: how the opsets write the operators that ops/ops.h
 * documents. A row for each: operator, first and last opset, what it becomes,
 * how many inputs and outputs it has, its attributes, and a fix where more than
 * names changed. An attribute that is not in the row is refused, for to ignore
 * it would be to compute something else.
 *
 * The rows stand in families, a file spell_<family>.c each; a new family is
 * declared here and named in spell.c. Private to canon.c and these.
 */
#ifndef HEARTH_MODEL_SPELL_H
#define HEARTH_MODEL_SPELL_H

#include "model/canon.h"

#define HEARTH__LATEST 999 /* no opset has taken it back */

enum hearth__spell_kind {
    HEARTH__SPELL_INT,
    HEARTH__SPELL_INTS,
    HEARTH__SPELL_FLOAT,
    HEARTH__SPELL_STRING,
    HEARTH__SPELL_OTHER /* the fix looks at it, or nobody needs it */
};
struct hearth__spell_attr {
    const char *name;
    enum hearth__spell_kind kind;
    enum hearth_attr key; /* KEY_NONE: left to the fix */
};

/* INT("axis", AXIS): of a list that END closes. */
#define END                                                                    \
    {                                                                          \
        NULL, HEARTH__SPELL_OTHER, HEARTH_ATTR_KEY_NONE                        \
    }
#define INT(name, key)                                                         \
    {                                                                          \
        name, HEARTH__SPELL_INT, HEARTH_ATTR_##key                             \
    }
#define INTS(name, key)                                                        \
    {                                                                          \
        name, HEARTH__SPELL_INTS, HEARTH_ATTR_##key                            \
    }
#define FLOAT(name, key)                                                       \
    {                                                                          \
        name, HEARTH__SPELL_FLOAT, HEARTH_ATTR_##key                           \
    }
#define STRING(name, key)                                                      \
    {                                                                          \
        name, HEARTH__SPELL_STRING, HEARTH_ATTR_##key                          \
    }
#define SKIP(name)                                                             \
    {                                                                          \
        name, HEARTH__SPELL_OTHER, HEARTH_ATTR_KEY_NONE                        \
    }

struct hearth__spelling {
    const char *op;
    int16_t since, until; /* opsets; other domains' rows: 1, HEARTH__LATEST */
    uint8_t inputs;       /* most; 255: any */
    uint8_t outputs; /* most; those beyond the row's must be unused; 255: the
                        fix sees to them */
    enum hearth_op to;
    const struct hearth__spell_attr *attrs; /* NULL: none */
    int (*fix)(struct hearth__canon *c);    /* NULL: names were enough */
};
struct hearth__spell_family {
    const char *domain; /* "": ONNX's own */
    const struct hearth__spelling *rows;
    uint32_t count;
};
extern const struct hearth__spell_family hearth__spell_dynamic,
    hearth__spell_math;
extern const struct hearth__spell_family hearth__spell_microsoft;
extern const struct hearth__spell_family hearth__spell_move;
extern const struct hearth__spell_family hearth__spell_nn;
extern const struct hearth__spell_family hearth__spell_reduce;
extern const struct hearth__spell_family hearth__spell_net;

/* The spelling of <head> in <opset>; NULL: none. *known: there is one in some
 * opset. */
const struct hearth__spelling *
hearth__spell_find(const struct hearth__onnx_node *head, int64_t opset,
                   bool *known);
/* Reads the node's attributes into c->attrs, and those that <spelling> has a
 * key for into the draft. HEARTH_EMODEL, HEARTH_EUNSUPPORTED for one that the
 * spelling does not have. */
int hearth__spell_attrs(struct hearth__canon *c,
                        const struct hearth__spelling *spelling);

#endif
