/* SPDX-License-Identifier: Apache-2.0 */
/* run.c: one node of a specialised graph, by its row, on host memory. */
#include <stdlib.h>

#include "ops/ops_impl.h"

bool hearth_op_scratch_create(struct hearth_op_scratch *s,
                              const struct hearth_graph *g)
{
    uint32_t most = 1;
    for (uint32_t n = 0; n < g->node_count; n++) {
        uint32_t count = hearth_graph_node(g, n)->input_count;
        most = count > most ? count : most;
    }
    s->views = hearth__ops_malloc(most * sizeof *s->views);
    s->in = hearth__ops_malloc(most * sizeof *s->in);
    s->infos = hearth__ops_malloc(most * sizeof *s->infos);
    if (s->views != NULL && s->in != NULL && s->infos != NULL)
        return true;
    hearth_op_scratch_destroy(s);
    return false;
}

void hearth_op_scratch_destroy(struct hearth_op_scratch *s)
{
    free(s->views);
    free(s->in);
    free(s->infos);
    *s = (struct hearth_op_scratch){0};
}

/* Shapes are known by now: nothing asks for more. */
static int64_t no_symbol(void *ctx)
{
    (void)ctx;
    return HEARTH_DIM_SYMBOL(0);
}

static int64_t *no_content(void *ctx, uint32_t count)
{
    (void)ctx;
    (void)count;
    return NULL;
}

int hearth_op_eval(const struct hearth_op_call *call,
                   const struct hearth_view *const *in, struct hearth_view *out,
                   struct hearth_error *err)
{
    bool empty = true;
    for (uint32_t k = 0; k < call->output_count; k++) {
        int64_t count;
        empty &= out[k].data == NULL ||
                 (hearth_shape_count(&out[k].shape, &count) && count == 0);
    }
    if (empty)
        return HEARTH_OK;
    int rc = hearth_op_row(call->node->op)->eval(call, in, out, err);
    if (rc != HEARTH_EMODEL)
        return rc;
    /* infer has accepted the node: it is the data's fault. */
    if (err != NULL)
        err->status = HEARTH_EINVAL;
    return HEARTH_EINVAL;
}

int hearth_op_run(const struct hearth_graph *g, const struct hearth_spec *spec,
                  uint32_t number, const struct hearth_op_scratch *s,
                  void *(*place)(void *ctx, uint32_t value, bool output,
                                 uint32_t k),
                  void *ctx, struct hearth_error *err)
{
    const struct hearth_graph_node *node = hearth_graph_node(g, number);
    struct hearth_value_info out_infos[HEARTH_OP_OUTPUTS_MAX] = {0};
    struct hearth_view out[HEARTH_OP_OUTPUTS_MAX] = {0};
    const struct hearth_op_call call = {.graph = g,
                                        .node = node,
                                        .input_count = node->input_count,
                                        .output_count = node->output_count,
                                        .in = s->infos,
                                        .out = out_infos,
                                        .fresh_symbol = no_symbol,
                                        .content_alloc = no_content};
    for (uint32_t k = 0; k < node->input_count; k++) {
        uint32_t v = hearth_graph_input(g, node, k);
        s->in[k] = NULL;
        s->infos[k] = NULL;
        if (v == HEARTH_NO_VALUE)
            continue;
        s->infos[k] = &spec->values[v];
        s->views[k] = hearth_view_dense(
            place(ctx, v, false, k), s->infos[k]->dtype, &s->infos[k]->shape);
        s->in[k] = &s->views[k];
    }
    for (uint32_t k = 0; k < node->output_count; k++) {
        uint32_t v = hearth_graph_output(g, node, k);
        if (v == HEARTH_NO_VALUE)
            continue;
        out_infos[k] = spec->values[v];
        out[k] = hearth_view_dense(place(ctx, v, true, k), out_infos[k].dtype,
                                   &out_infos[k].shape);
    }
    return hearth_op_eval(&call, s->in, out, err);
}
