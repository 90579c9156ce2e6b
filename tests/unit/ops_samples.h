/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_samples.h: the cases of tests/unit/data/ops_vectors.bin, which
 * ops_vectors.py wrote (it tells the layout): one operator each, with inputs
 * and what ONNX's reference evaluator gives for them. Asserts on misuse.
 */
#ifndef HEARTH_TESTS_OPS_SAMPLES_H
#define HEARTH_TESTS_OPS_SAMPLES_H

#include "ops/ops.h"
#include "unit/ops_block.h"

#define OPS_SAMPLE_MOST 16

struct tensor {
    bool present;
    enum hearth_dtype dtype;
    struct hearth_shape shape;
    uint64_t bytes;
    void *data; /* aligned copy, with a spare byte */
};

struct sample {
    char name[64];
    uint32_t op, attrs, inputs, outputs;
    double rtol, atol;
    struct tensor in[OPS_SAMPLE_MOST], out[OPS_SAMPLE_MOST];
    struct ops_block *block; /* inputs, then one node */
    uint32_t numbers[OPS_SAMPLE_MOST];
};

/* Opens the file; returns the number of cases. */
uint32_t ops_samples_open(void);
/* The next case. <place> puts an input that is present into the block and
 * returns its value's number; NULL: as constants. */
void ops_samples_take(struct sample *s,
                      uint32_t (*place)(struct ops_block *b, uint32_t k,
                                        const struct tensor *t));
void ops_samples_drop(struct sample *s);
/* Everything was read (asserted). */
void ops_samples_close(void);
/* Asserts that <got> is <want>, within the case's tolerance or, if it is
 * larger, |a-b| <= atol + rtol |a|. <how> is for the message. */
void ops_samples_compare(const struct sample *s, const struct tensor *want,
                         const void *got, double rtol, double atol,
                         const char *how);

#endif
