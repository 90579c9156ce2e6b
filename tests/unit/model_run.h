/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_run.h: runs a model's graph with the rows of ops, node by node: the
 * reference that import and its passes are held against. Slow, and right. Also
 * reads the cases that model_cases.py wrote. One thread; asserts on misuse.
 */
#ifndef HEARTH_TESTS_MODEL_RUN_H
#define HEARTH_TESTS_MODEL_RUN_H

#include "model/model.h"
#include "ops/ops.h"

#define MODEL_PORTS_MAX 4
struct model_case {
    char name[64];
    char nodes[512]; /* what model_nodes_text gives after all passes */
    bool batched;    /* batch_axis0 is expected */
    const uint8_t *model;
    uint64_t model_bytes;
    uint32_t input_count, output_count;
    struct hearth_view inputs[MODEL_PORTS_MAX], outputs[MODEL_PORTS_MAX];
};

/* The file's bytes (tests/unit/data/<name> of the source tree), for free. */
uint8_t *model_data(const char *name, uint64_t *bytes);
/* Reads the next case; false after the last. <at> starts at 0. */
bool model_case_next(const uint8_t *pack, uint64_t bytes, uint64_t *at,
                     struct model_case *out);

/* Outputs are allocated; free(outputs[i].data). */
int model_run(const hearth_model_t *model, const struct hearth_view *inputs,
              struct hearth_view *outputs, struct hearth_error *err);
/* "Conv[bias,relu] Add" */
const char *model_nodes_text(const hearth_model_t *model, char *buf,
                             size_t size);
/* |a - b| <= 1e-5 + 1e-5 |b| for floats, equality for the rest; shapes and
 * types too. */
bool model_close(const struct hearth_view *a, const struct hearth_view *b);

#endif
