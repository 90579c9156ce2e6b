/* SPDX-License-Identifier: Apache-2.0 */
/* chain.h: elementwise steps, one after the other, as one. See chain.c. */
#ifndef HEARTH_PLUGINS_CPU_CHAIN_H
#define HEARTH_PLUGINS_CPU_CHAIN_H

#include "lower.h"

#define CPU_CHAIN_LINKS 16

/* What was a step. Places are the chain's references, and from CPU_ARGS_MAX on
 * what lies between two links. */
struct cpu_link {
    enum hearth_op op;
    enum hearth_activation act; /* of two operands */
    float alpha, beta;
    int operands, from[2], to;
    int64_t size[4], step[2][4]; /* of two operands: cpu_broadcast's */
};
struct cpu_chain {
    int64_t count; /* elements of every link's result */
    int links;
    struct cpu_link link[];
};

/* Makes chains of the steps, when all of them are there and no buffer has its
 * place yet; HEARTH_ENOMEM. */
int cpu__find_chains(struct lowering *l, struct hearth_error *err);

#endif
