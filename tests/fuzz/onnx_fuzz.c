/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: any bytes as an ONNX file. What is taken must be a graph that
 * passes its check, whose weights lie in their segments, and which a plugin can
 * specialise; it is not run, for that may take as long as the model asks for.
 */
#include <stdlib.h>

#include "model/model.h"
#include "ops/ops.h"

#define INPUTS_MAX 16

static void specialise(const struct hearth_graph *g,
                       const struct hearth_weights *w, int64_t size)
{
    struct hearth_shape shapes[INPUTS_MAX];
    struct hearth_error err;
    struct hearth_spec spec;
    if (g->input_count > INPUTS_MAX)
        return;
    for (uint32_t i = 0; i < g->input_count; i++) {
        shapes[i] = hearth_graph_shape(
            hearth_graph_value(g, hearth_graph_inputs(g)[i]));
        if (shapes[i].rank < 0)
            shapes[i] = (struct hearth_shape){.rank = 2};
        for (int k = 0; k < shapes[i].rank; k++)
            if (shapes[i].dims[k] < 0)
                shapes[i].dims[k] = size;
    }
    if (hearth_spec_create(&spec, g, w, shapes, &err) == HEARTH_OK)
        hearth_spec_destroy(&spec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct hearth_error err;
    hearth_model_t *model = NULL;
    uint64_t used;
    if (hearth_base_init() != HEARTH_OK)
        abort();
    used = hearth_mem_used_bytes();
    int rc =
        hearth_model_open_memory(&model, data, bytes, "fuzz.onnx", NULL, &err);
    if ((rc == HEARTH_OK) != (model != NULL))
        abort();
    if (model != NULL) {
        const struct hearth_graph *g = hearth_model_graph(model);
        const struct hearth_weights *w = hearth_model_weights(model);
        struct hearth_model_totals totals;
        hearth_model_totals(model, &totals);
        if (totals.heap_bytes > 256 * bytes + (UINT64_C(96) << 20))
            abort();
        for (uint32_t i = 0; i < g->value_count; i++) {
            const struct hearth_graph_value *v = hearth_graph_value(g, i);
            const void *at;
            if (v->kind == HEARTH_VALUE_WEIGHT &&
                w->map(w->ctx, v->segment, v->offset, v->bytes, &at, &err) !=
                    HEARTH_OK)
                abort();
        }
        specialise(g, w, 1);
        specialise(g, w, 3);
    }
    hearth_model_close(&model);
    if (hearth_mem_used_bytes() != used)
        abort();
    return 0;
}
