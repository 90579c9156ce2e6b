/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_block.h: builds graph blocks for tests, by hand and without a model file.
 * Asserts on misuse; one thread.
 */
#ifndef HEARTH_TESTS_OPS_BLOCK_H
#define HEARTH_TESTS_OPS_BLOCK_H

#include "ops/ops.h"

struct ops_block;

struct ops_block *ops_block_new(void);
void ops_block_free(struct ops_block *b);
/* Each returns the value's number. Symbolic dimensions name symbols that
 * ops_block_symbols counted. */
uint32_t ops_block_input(struct ops_block *b, const char *name,
                         enum hearth_dtype dtype, int rank,
                         const int64_t *dims);
uint32_t ops_block_const(struct ops_block *b, enum hearth_dtype dtype, int rank,
                         const int64_t *dims, const void *data);
uint32_t ops_block_weight(struct ops_block *b, enum hearth_dtype dtype,
                          int rank, const int64_t *dims, uint64_t offset);
void ops_block_symbols(struct ops_block *b, uint32_t count);
/* Attributes of the next node. */
void ops_block_ints(struct ops_block *b, enum hearth_attr key, uint32_t count,
                    const int64_t *values);
void ops_block_int(struct ops_block *b, enum hearth_attr key, int64_t value);
void ops_block_floats(struct ops_block *b, enum hearth_attr key, uint32_t count,
                      const double *values);
void ops_block_string(struct ops_block *b, enum hearth_attr key,
                      const char *text);
/* The graph of <nested>, which stays the caller's. */
void ops_block_block(struct ops_block *b, enum hearth_attr key,
                     struct ops_block *nested);
/* What a node's output is declared as. */
void ops_block_declare(struct ops_block *b, uint32_t value,
                       enum hearth_dtype dtype, int rank, const int64_t *dims);
/* A node of <count> inputs (HEARTH_NO_VALUE: absent) and <outputs> outputs, of
 * an unknown shape; returns the number of the first. */
uint32_t ops_block_node(struct ops_block *b, enum hearth_op op, uint32_t count,
                        const uint32_t *inputs, uint32_t outputs);
void ops_block_output(struct ops_block *b, uint32_t value);
/* The block, aligned, owned by <b>; valid until the next call. */
struct hearth_graph *ops_block_graph(struct ops_block *b);

#endif
