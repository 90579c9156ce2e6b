/* SPDX-License-Identifier: Apache-2.0 */
/* cpu_case.c: see cpu_case.h. */
#include "unit/cpu_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

int64_t cpu_now_us = 1000, cpu_tick_us;

static int64_t now_us(void *ctx)
{
    (void)ctx;
    cpu_now_us += cpu_tick_us;
    return cpu_now_us;
}

char cpu_log[4096];

static void log_line(void *ctx, enum hearth_log_level level, const char *text)
{
    (void)ctx;
    (void)level;
    size_t n = strlen(cpu_log);
    snprintf(cpu_log + n, sizeof cpu_log - n, "%s\n", text);
}

void cpu_open(hearth_device_t *device, const char *spec)
{
    static const struct hearth_host host = {.struct_bytes = sizeof host,
                                            .log = log_line,
                                            .now_us = now_us};
    static bool initialised;
    struct hearth_error err = {0};
    const struct hearth_open_config config = {.struct_bytes = sizeof config,
                                              .spec = spec};
    memset(device, 0, sizeof *device);
    device->plugin = hearth_plugin_v1();
    snprintf(device->name, sizeof device->name, "cpu:0");
    if (!initialised)
        assert_int_equal(device->plugin->plugin->init(&host, &err), 0);
    initialised = true;
    if (device->plugin->plugin->open(&config, &device->dev, &err) != 0)
        fail_msg("%s", err.text);
}

void cpu_close(hearth_device_t *device)
{
    device->plugin->plugin->close(device->dev);
    device->dev = NULL;
}

/* ---- Weights ---- */

static int map_weight(void *ctx, uint32_t segment, uint64_t offset,
                      uint64_t bytes, const void **data,
                      struct hearth_error *err)
{
    struct cpu_case *c = ctx;
    assert_int_equal(segment, 0);
    assert_true(offset + bytes <= c->count);
    *data = c->bytes + offset;
    if (++c->reads == c->fail_read)
        return hearth_fail(err, HEARTH_EIO, "the file changed");
    return HEARTH_OK;
}

static int read_weight(void *ctx, uint32_t segment, uint64_t offset,
                       uint64_t bytes, void *dst, struct hearth_error *err)
{
    const void *data;
    int rc = map_weight(ctx, segment, offset, bytes, &data, err);
    if (rc == HEARTH_OK)
        memcpy(dst, data, bytes);
    return rc;
}

void cpu_case_init(struct cpu_case *c, uint64_t seed)
{
    memset(c, 0, sizeof *c);
    c->block = ops_block_new();
    c->bytes = malloc(1); /* a weight of no elements has a place too */
    assert_non_null(c->bytes);
    c->room = 1;
    c->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    c->weights.struct_bytes = sizeof c->weights;
    c->weights.ctx = c;
    c->weights.map = map_weight;
    c->weights.read = read_weight;
}

void cpu_case_free(struct cpu_case *c)
{
    ops_block_free(c->block);
    free(c->bytes);
}

int64_t cpu_random(struct cpu_case *c, int64_t n)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return (int64_t)((c->random >> 33) % (uint64_t)n);
}

float cpu_random_float(struct cpu_case *c, float scale)
{
    return ((float)cpu_random(c, 1 << 20) / (1 << 19) - 1) * scale;
}

uint32_t cpu_case_weight(struct cpu_case *c, int rank, const int64_t *dims,
                         float scale, float middle)
{
    struct hearth_shape shape = {.rank = rank};
    uint64_t bytes, at = c->count;
    for (int i = 0; i < rank; i++)
        shape.dims[i] = dims[i];
    assert_true(hearth_shape_bytes(&shape, HEARTH_F32, &bytes));
    c->count += bytes;
    if (c->count > c->room) {
        c->room = c->count * 2 + 1;
        c->bytes = realloc(c->bytes, c->room);
        assert_non_null(c->bytes);
    }
    for (uint64_t i = 0; i < bytes; i += sizeof(float)) {
        float value = cpu_random_float(c, scale) + middle;
        memcpy(c->bytes + at + i, &value, sizeof value);
    }
    c->count += (uint64_t)cpu_random(c, 4); /* what follows is unaligned */
    return ops_block_weight(c->block, HEARTH_F32, rank, dims, at);
}

struct hearth_view cpu_case_input(struct cpu_case *c,
                                  const struct hearth_shape *shape)
{
    int64_t count;
    assert_true(hearth_shape_count(shape, &count));
    float *data = malloc((size_t)count * sizeof *data + 1);
    assert_non_null(data);
    for (int64_t i = 0; i < count; i++)
        data[i] = cpu_random_float(c, 2);
    return hearth_view_dense(data, HEARTH_F32, shape);
}

/* ---- The reference ---- */

struct reference {
    struct cpu_case *c;
    const struct hearth_graph *g;
    struct hearth_spec spec;
    struct hearth_view *values; /* data NULL: not there yet */
};

static struct hearth_view new_view(const struct hearth_value_info *info)
{
    uint64_t bytes;
    assert_true(hearth_shape_bytes(&info->shape, info->dtype, &bytes));
    void *data = malloc(bytes + 1);
    assert_non_null(data);
    return hearth_view_dense(data, info->dtype, &info->shape);
}

static void source(struct reference *r, uint32_t v)
{
    const struct hearth_graph_value *value = hearth_graph_value(r->g, v);
    const struct hearth_value_info *info = &r->spec.values[v];
    if (info->data == NULL && value->kind != HEARTH_VALUE_WEIGHT)
        return;
    r->values[v] = new_view(info);
    if (info->data != NULL) {
        uint64_t bytes;
        (void)hearth_shape_bytes(&info->shape, info->dtype, &bytes);
        memcpy(r->values[v].data, info->data, bytes);
    } else {
        memcpy(r->values[v].data, r->c->bytes + value->offset, value->bytes);
    }
}

static int64_t symbol(void *ctx)
{
    (void)ctx;
    return HEARTH_DIM_SYMBOL(0);
}

static int64_t *content(void *ctx, uint32_t count)
{
    (void)ctx;
    (void)count;
    return NULL;
}

static void evaluate(struct reference *r, uint32_t n)
{
    const struct hearth_graph_node *node = hearth_graph_node(r->g, n);
    const struct hearth_value_info *infos[8] = {0};
    const struct hearth_view *in[8] = {0};
    struct hearth_value_info out_infos[2] = {0};
    struct hearth_view out[2] = {0};
    struct hearth_error err = {0};
    assert_true(node->input_count <= 8 && node->output_count <= 2);
    const struct hearth_op_call call = {.graph = r->g,
                                        .node = node,
                                        .input_count = node->input_count,
                                        .output_count = node->output_count,
                                        .in = infos,
                                        .out = out_infos,
                                        .fresh_symbol = symbol,
                                        .content_alloc = content};
    for (uint32_t k = 0; k < node->input_count; k++) {
        uint32_t v = hearth_graph_input(r->g, node, k);
        if (v == HEARTH_NO_VALUE)
            continue;
        infos[k] = &r->spec.values[v];
        in[k] = &r->values[v];
        assert_non_null(in[k]->data);
    }
    for (uint32_t k = 0; k < node->output_count; k++) {
        uint32_t v = hearth_graph_output(r->g, node, k);
        out_infos[k] = r->spec.values[v];
        out[k] = new_view(&out_infos[k]);
        r->values[v] = out[k];
    }
    if (hearth_op_row(node->op)->eval(&call, in, out, &err) != HEARTH_OK)
        fail_msg("reference: %s", err.text);
}

void cpu_case_reference(struct cpu_case *c, const struct hearth_view *inputs,
                        struct hearth_view *outputs)
{
    struct reference r = {.c = c, .g = ops_block_graph(c->block)};
    struct hearth_shape shapes[8];
    struct hearth_error err = {0};
    assert_true(r.g->input_count <= 8);
    for (uint32_t k = 0; k < r.g->input_count; k++)
        shapes[k] = inputs[k].shape;
    if (hearth_spec_create(&r.spec, r.g, &c->weights, shapes, &err) != 0)
        fail_msg("reference: %s", err.text);
    r.values = calloc(r.g->value_count, sizeof *r.values);
    assert_non_null(r.values);
    for (uint32_t v = 0; v < r.g->value_count; v++)
        source(&r, v);
    for (uint32_t k = 0; k < r.g->input_count; k++)
        r.values[hearth_graph_inputs(r.g)[k]] = inputs[k];
    for (uint32_t n = 0; n < r.g->node_count; n++)
        if (!r.spec.node_done[n])
            evaluate(&r, n);
    for (uint32_t k = 0; k < r.g->output_count; k++) {
        uint32_t v = hearth_graph_outputs(r.g)[k];
        outputs[k] = new_view(&r.spec.values[v]);
        uint64_t bytes;
        (void)hearth_shape_bytes(&outputs[k].shape, outputs[k].dtype, &bytes);
        memcpy(outputs[k].data, r.values[v].data, bytes);
    }
    for (uint32_t k = 0; k < r.g->input_count; k++)
        r.values[hearth_graph_inputs(r.g)[k]].data = NULL; /* the caller's */
    for (uint32_t v = 0; v < r.g->value_count; v++)
        free(r.values[v].data);
    free(r.values);
    hearth_spec_destroy(&r.spec);
}

void cpu_case_compare(const struct device_run *run,
                      const struct hearth_view *want, const char *what)
{
    for (uint32_t k = 0; k < run->graph->output_count; k++) {
        const struct hearth_view *got = &run->outputs[k];
        const float *a = got->data, *b = want[k].data;
        int64_t count = 0;
        assert_true(hearth_shape_equal(&got->shape, &want[k].shape));
        assert_int_equal(got->dtype, HEARTH_F32);
        (void)hearth_shape_count(&got->shape, &count);
        for (int64_t i = 0; i < count; i++)
            if (!(fabsf(a[i] - b[i]) <= 1e-4f + 1e-3f * fabsf(b[i])) &&
                a[i] != b[i])
                fail_msg("%s: output %u[%ld] is %g, not %g", what, k, (long)i,
                         (double)a[i], (double)b[i]);
    }
}

void cpu_case_check(struct cpu_case *c, hearth_device_t *device,
                    const struct hearth_shape *shapes, const char *what)
{
    const struct hearth_graph *g = ops_block_graph(c->block);
    struct hearth_view inputs[8], want[DEVICE_RUN_OUTPUTS];
    struct device_run run;
    struct hearth_error err = {0};
    if (hearth_graph_check(g, g->bytes, &err) != HEARTH_OK)
        fail_msg("%s: %s", what, err.text);
    for (uint32_t k = 0; k < g->input_count; k++)
        inputs[k] = cpu_case_input(c, &shapes[k]);
    cpu_case_reference(c, inputs, want);
    if (device_run_load(&run, device, g, &c->weights) != HEARTH_OK)
        fail_msg("%s: load: %s", what, run.error.text);
    if (device_run_execute(&run, inputs) != HEARTH_OK)
        fail_msg("%s: %s", what, run.error.text);
    cpu_case_compare(&run, want, what);
    for (uint32_t k = 0; k < g->output_count; k++)
        free(want[k].data);
    for (uint32_t k = 0; k < g->input_count; k++)
        free(inputs[k].data);
    device_run_unload(&run);
}
