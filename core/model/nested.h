/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nested.h: graphs inside nodes: between nested.c, which imports them, and
 * canon_control.c, which knows If, Loop and Scan. Private to these, but for the
 * two functions that import.c calls.
 */
#ifndef HEARTH_MODEL_NESTED_H
#define HEARTH_MODEL_NESTED_H

#include "model/canon.h"

/* Has the operator graphs of its own? */
bool hearth__nested_has(const struct hearth__onnx_node *head);
/* Values of <ir> that the graphs of a node's <message> take by their names: a
 * vector of uint32_t, each once. */
int hearth__nested_captures(struct hearth__ir *ir, struct hearth__slice message,
                            struct hearth__vec *captures);

/* A graph of a node, being imported. */
struct hearth__nested {
    struct hearth__ir ir;
    struct hearth__ir *outer;
    uint32_t formal_count;
    /* Of its inputs the ones behind the formal ones: values of <outer>. */
    struct hearth__vec extra; /* uint32_t */
};
/* Imports the graph of attribute <name>. <formals>: what is known of its
 * <formal_count> inputs. The node's captures become its own inputs, or its
 * constants where they are constants. */
int hearth__nested_import(struct hearth__canon *c, const char *name,
                          const struct hearth_value_info *formals,
                          uint32_t formal_count, struct hearth__nested *nested);
/* Runs the passes, then makes weights that a block cannot hold inputs, which
 * <outer> hands in. */
int hearth__nested_finish(struct hearth__nested *nested);
/* One more input, of no use to it, like value <outer_value>. */
int hearth__nested_pad(struct hearth__nested *nested, uint32_t outer_value);
/* Writes it as attribute <key> of the draft. */
int hearth__nested_write(struct hearth__canon *c, struct hearth__nested *nested,
                         enum hearth_attr key);
/* Puts its nodes into the graph around it instead of the node. */
int hearth__nested_splice(struct hearth__canon *c,
                          struct hearth__nested *nested);

#endif
