/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "unit/model_run.h"

uint8_t *model_data(const char *name, uint64_t *bytes)
{
    char path[4096];
    const char *dir = getenv("HEARTH_SRCDIR");
    snprintf(path, sizeof path, "%s/tests/unit/data/%s",
             dir == NULL ? "." : dir, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    long size = ftell(f);
    rewind(f);
    uint8_t *data = malloc((size_t)size + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, (size_t)size, f), size);
    fclose(f);
    *bytes = (uint64_t)size;
    return data;
}

/* ---- The pack ---- */

struct reader {
    const uint8_t *pack;
    uint64_t bytes, at;
};

static const void *take(struct reader *r, uint64_t bytes)
{
    assert_true(bytes <= r->bytes - r->at);
    const void *p = r->pack + r->at;
    r->at += bytes;
    return p;
}

static uint32_t take_u32(struct reader *r)
{
    uint32_t v;
    memcpy(&v, take(r, sizeof v), sizeof v);
    return v;
}

static void take_text(struct reader *r, char *dst, size_t size)
{
    uint32_t n = take_u32(r);
    assert_true(n < size);
    memcpy(dst, take(r, n), n);
    dst[n] = '\0';
}

static struct hearth_view take_tensor(struct reader *r)
{
    struct hearth_shape shape = {0};
    uint32_t dtype = take_u32(r);
    shape.rank = (int32_t)take_u32(r);
    memcpy(shape.dims, take(r, (uint64_t)shape.rank * 8),
           (size_t)shape.rank * 8);
    uint64_t bytes;
    assert_true(hearth_shape_bytes(&shape, (enum hearth_dtype)dtype, &bytes));
    return hearth_view_dense((void *)(uintptr_t)take(r, bytes),
                             (enum hearth_dtype)dtype, &shape);
}

bool model_case_next(const uint8_t *pack, uint64_t bytes, uint64_t *at,
                     struct model_case *out)
{
    struct reader r = {pack, bytes, *at};
    if (r.at == bytes)
        return false;
    memset(out, 0, sizeof *out);
    take_text(&r, out->name, sizeof out->name);
    take_text(&r, out->nodes, sizeof out->nodes);
    out->batched = take_u32(&r) != 0;
    out->model_bytes = take_u32(&r);
    out->model = take(&r, out->model_bytes);
    out->input_count = take_u32(&r);
    for (uint32_t i = 0; i < out->input_count; i++)
        out->inputs[i] = take_tensor(&r);
    out->output_count = take_u32(&r);
    for (uint32_t i = 0; i < out->output_count; i++)
        out->outputs[i] = take_tensor(&r);
    *at = r.at;
    return true;
}

/* ---- Running ---- */

struct run {
    const struct hearth_graph *g;
    const struct hearth_weights *w;
    struct hearth_value_info *values;
    void **made; /* [values] memory of activations */
    void *contents[4096];
    uint32_t content_count;
};

static int64_t fresh_symbol(void *ctx)
{
    (void)ctx;
    return HEARTH_DIM_SYMBOL(1000000);
}

static int64_t *content_alloc(void *ctx, uint32_t count)
{
    struct run *r = ctx;
    assert_true(r->content_count < 4096);
    int64_t *p = calloc(count + 1, sizeof *p);
    assert_non_null(p);
    return r->contents[r->content_count++] = p;
}

static int run_node(struct run *r, uint32_t i, struct hearth_error *err)
{
    const struct hearth_graph_node *n = hearth_graph_node(r->g, i);
    const struct hearth_value_info *in[64];
    struct hearth_value_info out[HEARTH_OP_OUTPUTS_MAX];
    struct hearth_view views[64], results[HEARTH_OP_OUTPUTS_MAX];
    const struct hearth_view *in_views[64];
    assert_true(n->input_count <= 64 &&
                n->output_count <= HEARTH_OP_OUTPUTS_MAX);
    struct hearth_op_call call = {.graph = r->g,
                                  .node = n,
                                  .input_count = n->input_count,
                                  .output_count = n->output_count,
                                  .in = in,
                                  .out = out,
                                  .fresh_symbol = fresh_symbol,
                                  .content_alloc = content_alloc,
                                  .ctx = r};
    for (uint32_t k = 0; k < n->input_count; k++) {
        uint32_t v = hearth_graph_input(r->g, n, k);
        in[k] = v == HEARTH_NO_VALUE ? NULL : &r->values[v];
        in_views[k] = NULL;
        if (in[k] == NULL)
            continue;
        views[k] = hearth_view_dense((void *)(uintptr_t)in[k]->data,
                                     in[k]->dtype, &in[k]->shape);
        in_views[k] = &views[k];
    }
    int rc = hearth_op_row(n->op)->infer(&call, err);
    if (rc != HEARTH_OK)
        return rc;
    for (uint32_t k = 0; k < n->output_count; k++) {
        uint64_t bytes;
        assert_true(hearth_shape_bytes(&out[k].shape, out[k].dtype, &bytes));
        void *room = calloc(1, bytes + 1);
        assert_non_null(room);
        results[k] = hearth_view_dense(room, out[k].dtype, &out[k].shape);
        uint32_t v = hearth_graph_output(r->g, n, k);
        out[k].data = room;
        out[k].content = NULL;
        if (v == HEARTH_NO_VALUE) {
            free(room);
            continue;
        }
        r->made[v] = room;
        r->values[v] = out[k];
    }
    return hearth_op_row(n->op)->eval(&call, in_views, results, err);
}

static int fill(struct run *r, const struct hearth_view *inputs,
                struct hearth_error *err)
{
    for (uint32_t i = 0; i < r->g->value_count; i++) {
        const struct hearth_graph_value *v = hearth_graph_value(r->g, i);
        struct hearth_value_info *info = &r->values[i];
        info->dtype = (enum hearth_dtype)v->dtype;
        info->shape = hearth_graph_shape(v);
        if (v->kind == HEARTH_VALUE_CONST)
            info->data = hearth_graph_const(r->g, v);
        if (v->kind == HEARTH_VALUE_WEIGHT) {
            int rc = r->w->map(r->w->ctx, v->segment, v->offset, v->bytes,
                               &info->data, err);
            if (rc != HEARTH_OK)
                return rc;
        }
    }
    for (uint32_t k = 0; k < r->g->input_count; k++) {
        struct hearth_value_info *info =
            &r->values[hearth_graph_inputs(r->g)[k]];
        info->shape = inputs[k].shape;
        info->data = inputs[k].data;
    }
    return HEARTH_OK;
}

int model_run(const hearth_model_t *model, const struct hearth_view *inputs,
              struct hearth_view *outputs, struct hearth_error *err)
{
    struct run *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->g = hearth_model_graph(model);
    r->w = hearth_model_weights(model);
    r->values = calloc(r->g->value_count, sizeof *r->values);
    r->made = calloc(r->g->value_count, sizeof *r->made);
    int rc = fill(r, inputs, err);
    for (uint32_t i = 0; rc == HEARTH_OK && i < r->g->node_count; i++)
        rc = run_node(r, i, err);
    for (uint32_t k = 0; rc == HEARTH_OK && k < r->g->output_count; k++) {
        uint32_t v = hearth_graph_outputs(r->g)[k];
        outputs[k] = hearth_view_dense(r->made[v], r->values[v].dtype,
                                       &r->values[v].shape);
        r->made[v] = NULL;
    }
    for (uint32_t i = 0; i < r->g->value_count; i++)
        free(r->made[i]);
    for (uint32_t i = 0; i < r->content_count; i++)
        free(r->contents[i]);
    free(r->made);
    free(r->values);
    free(r);
    return rc;
}

/* ---- Comparing ---- */

const char *model_nodes_text(const hearth_model_t *model, char *buf,
                             size_t size)
{
    static const char *const acts[] = {"",           "relu,",  "clip,",
                                       "sigmoid,",   "tanh,",  "gelu,",
                                       "gelu_tanh,", "swish,", "hard_swish,"};
    const struct hearth_graph *g = hearth_model_graph(model);
    size_t used = 0;
    buf[0] = '\0';
    for (uint32_t i = 0; i < g->node_count && used < size; i++) {
        const struct hearth_graph_node *n = hearth_graph_node(g, i);
        bool matrix = n->op == HEARTH_OP_CONV || n->op == HEARTH_OP_MATMUL ||
                      n->op == HEARTH_OP_GEMM;
        char extra[64];
        int n_extra = snprintf(
            extra, sizeof extra, "%s%s%s",
            matrix && hearth_graph_input(g, n, 2) != HEARTH_NO_VALUE ? "bias,"
                                                                     : "",
            matrix && hearth_graph_input(g, n, 3) != HEARTH_NO_VALUE
                ? "residual,"
                : "",
            acts[hearth_attr_int(g, n, HEARTH_ATTR_ACTIVATION, 0)]);
        if (n_extra > 0)
            extra[n_extra - 1] = '\0';
        used += (size_t)snprintf(buf + used, size - used, "%s%s%s%s%s",
                                 i == 0 ? "" : " ", hearth_op_name(n->op),
                                 n_extra > 0 ? "[" : "", extra,
                                 n_extra > 0 ? "]" : "");
    }
    return buf;
}

static double number(const struct hearth_view *v, int64_t i)
{
    switch (v->dtype) {
    case HEARTH_F32: {
        float f;
        memcpy(&f, (const char *)v->data + i * 4, 4);
        return (double)f;
    }
    case HEARTH_F64: {
        double f;
        memcpy(&f, (const char *)v->data + i * 8, 8);
        return f;
    }
    case HEARTH_F16: {
        uint16_t h;
        memcpy(&h, (const char *)v->data + i * 2, 2);
        return (double)hearth_f16_to_f32(h);
    }
    default:
        return 0;
    }
}

bool model_close(const struct hearth_view *a, const struct hearth_view *b)
{
    int64_t count;
    uint64_t bytes;
    if (a->dtype != b->dtype || !hearth_shape_equal(&a->shape, &b->shape) ||
        !hearth_shape_count(&a->shape, &count) ||
        !hearth_shape_bytes(&a->shape, a->dtype, &bytes))
        return false;
    if (a->dtype != HEARTH_F32 && a->dtype != HEARTH_F64 &&
        a->dtype != HEARTH_F16)
        return bytes == 0 || memcmp(a->data, b->data, (size_t)bytes) == 0;
    double slack = a->dtype == HEARTH_F16 ? 2e-3 : 1e-5;
    for (int64_t i = 0; i < count; i++) {
        double x = number(a, i), y = number(b, i);
        if (!(fabs(x - y) <= slack + slack * fabs(y)) && x != y)
            return false;
    }
    return true;
}
