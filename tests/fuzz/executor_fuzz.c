/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: a model out of the fuzzer's bytes (executor_graph.h), imported
 * with every pass and run by the CPU plugin; imported with none and run by the
 * interpreter, row by row. Both refuse for the same class of reason, or answer
 * the same.
 *
 * What is the same? The plugin sums in another order, and a graph may make any
 * difference large (1/x, Floor, ArgMax). So the interpreter also answers inputs
 * that are off by a little, and where that moves an element, it may be off by
 * some times as much. What is infinite or not a number is not compared: fused
 * forms come to it by other ways. A number must not become one of these.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fuzz/executor_graph.h"
#include "unit/cpu_case.h"

#define ARENA_MAX (UINT64_C(32) << 20)
#define STEPS_MAX 10000
#define NEARBY 2

struct reference {
    void **weights; /* [values] aligned copies */
    struct hearth_view outputs[NEARBY + 1][DEVICE_RUN_OUTPUTS];
    int nearby;
    uint64_t steps;
};

static void *room(uint64_t bytes)
{
    void *p = malloc((size_t)bytes + 1);
    if (p == NULL)
        abort();
    return p;
}

/* ---- The interpreter ---- */

static const void *weight(void *ctx, uint32_t value)
{
    return ((struct reference *)ctx)->weights[value];
}

static int step(void *ctx, struct hearth_error *err)
{
    if (++((struct reference *)ctx)->steps > STEPS_MAX)
        return hearth_fail(err, HEARTH_ETIMEOUT, "enough");
    return HEARTH_OK;
}

static int alloc_output(void *ctx, uint32_t i, enum hearth_dtype dtype,
                        const struct hearth_shape *shape, void **data)
{
    struct reference *r = ctx;
    uint64_t bytes;
    if (!hearth_shape_bytes(shape, dtype, &bytes))
        abort();
    *data = room(bytes);
    r->outputs[r->nearby][i] = hearth_view_dense(*data, dtype, shape);
    return HEARTH_OK;
}

static void load_weights(struct reference *r, const struct hearth_graph *g,
                         const struct hearth_weights *w)
{
    struct hearth_error err;
    r->weights = calloc(g->value_count + 1, sizeof *r->weights);
    for (uint32_t i = 0; i < g->value_count; i++) {
        const struct hearth_graph_value *v = hearth_graph_value(g, i);
        if (v->kind != HEARTH_VALUE_WEIGHT)
            continue;
        r->weights[i] = room(v->bytes);
        if (w->read(w->ctx, v->segment, v->offset, v->bytes, r->weights[i],
                    &err) != HEARTH_OK)
            abort();
    }
}

static void drop(struct reference *r, const struct hearth_graph *g)
{
    for (uint32_t i = 0; i < g->value_count; i++)
        free(r->weights[i]);
    free(r->weights);
    for (int n = 0; n <= NEARBY; n++)
        for (int i = 0; i < DEVICE_RUN_OUTPUTS; i++)
            free(r->outputs[n][i].data);
}

/* HEARTH_EAGAIN: more than this test gives. */
static int interpret(struct reference *r, const struct hearth_graph *g,
                     const struct hearth_weights *w,
                     const struct hearth_view *inputs, struct hearth_error *err)
{
    struct hearth_shape shapes[GRAPH_INPUTS];
    struct hearth_spec spec;
    for (uint32_t k = 0; k < g->input_count; k++)
        shapes[k] = inputs[k].shape;
    int rc = hearth_spec_create(&spec, g, w, shapes, err);
    if (rc != HEARTH_OK)
        return rc;
    uint64_t bytes = hearth_interp_arena(g, &spec);
    do {
        if (bytes > ARENA_MAX) {
            rc = HEARTH_EAGAIN;
            break;
        }
        struct hearth_interp run = {.graph = g,
                                    .spec = &spec,
                                    .inputs = inputs,
                                    .arena =
                                        aligned_alloc(64, bytes / 64 * 64 + 64),
                                    .arena_bytes = bytes,
                                    .ctx = r,
                                    .weight = weight,
                                    .pause = step,
                                    .alloc_output = alloc_output};
        memset(run.arena, 0xff, bytes);
        rc = hearth_interp_run(&run, err);
        free(run.arena);
        bytes = run.need_bytes > 2 * bytes ? run.need_bytes : 2 * bytes + 64;
    } while (rc == HEARTH_EAGAIN);
    hearth_spec_destroy(&spec);
    return rc;
}

/* ---- Numbers ---- */

static double element(const struct hearth_view *v, int64_t i)
{
    const char *at = (const char *)v->data + i * hearth_dtype_bytes(v->dtype);
    uint64_t bits = 0;
    memcpy(&bits, at, hearth_dtype_bytes(v->dtype));
    switch (v->dtype) {
    case HEARTH_F32: {
        float f;
        memcpy(&f, at, sizeof f);
        return (double)f;
    }
    case HEARTH_F64: {
        double d;
        memcpy(&d, at, sizeof d);
        return d;
    }
    case HEARTH_F16:
        return (double)hearth_f16_to_f32((uint16_t)bits);
    case HEARTH_BF16:
        return (double)hearth_bf16_to_f32((uint16_t)bits);
    case HEARTH_I8:
        return (int8_t)bits;
    case HEARTH_I16:
        return (int16_t)bits;
    case HEARTH_I32:
        return (int32_t)bits;
    case HEARTH_I64:
        return (double)(int64_t)bits;
    default:
        return (double)bits;
    }
}

static double slack(enum hearth_dtype dtype)
{
    switch (dtype) {
    case HEARTH_F32:
    case HEARTH_F64:
        return 1e-4;
    case HEARTH_F16:
        return 4e-3;
    case HEARTH_BF16:
        return 3e-2;
    default:
        return 0;
    }
}

/* Moves each number by about as much as its type rounds, and some. */
static void nudge(struct graph *g, struct hearth_view *v)
{
    int64_t count;
    (void)hearth_shape_count(&v->shape, &count);
    for (int64_t i = 0; i < count; i++) {
        double d = element(v, i);
        int way = (int)graph_random(g, 3) - 1;
        double by = slack(v->dtype) * (v->dtype <= HEARTH_F32 ? 0.1 : 1);
        float f = (float)(d * (1 + way * by) + way * by / 10);
        double wide = d * (1 + way * by) + way * by / 10;
        uint16_t half = hearth_f32_to_f16(f), brain = hearth_f32_to_bf16(f);
        char *at = (char *)v->data + i * hearth_dtype_bytes(v->dtype);
        if (v->dtype == HEARTH_F32)
            memcpy(at, &f, sizeof f);
        else if (v->dtype == HEARTH_F64)
            memcpy(at, &wide, sizeof wide);
        else if (v->dtype == HEARTH_F16)
            memcpy(at, &half, sizeof half);
        else if (v->dtype == HEARTH_BF16)
            memcpy(at, &brain, sizeof brain);
    }
}

static bool close_enough(const struct reference *r, uint32_t k, int64_t i,
                         double got)
{
    const struct hearth_view *want = &r->outputs[0][k];
    double b = element(want, i), moved = 0, tol = slack(want->dtype);
    for (int n = 1; n <= NEARBY; n++) {
        const struct hearth_view *near = &r->outputs[n][k];
        if (near->data == NULL ||
            !hearth_shape_equal(&near->shape, &want->shape))
            return true;
        double by = fabs(element(near, i) - b);
        if (!(by <= moved)) /* NaN too */
            moved = by;
    }
    if (!isfinite(b) || !isfinite(moved))
        return true;
    return fabs(got - b) <= tol + 10 * tol * fabs(b) + 20 * moved;
}

/* Something was divided by next to nothing, which another order of sums makes
 * nothing: an infinity or what comes of it proves nothing then. */
static bool is_wild(const struct reference *r, uint32_t k)
{
    for (int n = 0; n <= NEARBY; n++) {
        const struct hearth_view *v = &r->outputs[n][k];
        int64_t count = 0;
        if (v->data != NULL)
            (void)hearth_shape_count(&v->shape, &count);
        for (int64_t i = 0; i < count; i++)
            if (!(fabs(element(v, i)) < 1e5))
                return true;
    }
    return false;
}

static void compare(const struct reference *r, const struct device_run *run)
{
    for (uint32_t k = 0; k < run->graph->output_count; k++) {
        const struct hearth_view *got = &run->outputs[k];
        const struct hearth_view *want = &r->outputs[0][k];
        int64_t count = 0;
        bool same = true;
        for (int n = 1; n <= NEARBY; n++)
            same = same && r->outputs[n][k].data != NULL &&
                   hearth_shape_equal(&r->outputs[n][k].shape, &want->shape);
        if (!same)
            continue; /* a size that rounding decides */
        if (got->dtype != want->dtype ||
            !hearth_shape_equal(&got->shape, &want->shape)) {
            fprintf(stderr, "output %u: type or shape\n", k);
            abort();
        }
        (void)hearth_shape_count(&got->shape, &count);
        for (int64_t i = 0; i < count; i++)
            if (!close_enough(r, k, i, element(got, i)) &&
                (isfinite(element(got, i)) || !is_wild(r, k))) {
                fprintf(stderr, "output %u[%ld] is %g, not %g\n", k, (long)i,
                        element(got, i), element(want, i));
                abort();
            }
    }
}

/* ---- One model ---- */

static void same_class(const char *what, int got, int want,
                       const struct hearth_error *err)
{
    if (hearth_status_class(got) == hearth_status_class(want))
        return;
    fprintf(stderr, "%s: %s, the reference: %s (%s)\n", what,
            hearth_status_name(got), hearth_status_name(want), err->text);
    abort();
}

static void on_device(hearth_device_t *device, const hearth_model_t *model,
                      const struct hearth_view *inputs,
                      const struct reference *r, int want)
{
    struct device_run run;
    int rc = device_run_load(&run, device, hearth_model_graph(model),
                             hearth_model_weights(model));
    if (rc != HEARTH_OK) {
        same_class("load", rc, want, &run.error);
        return;
    }
    rc = device_run_execute(&run, inputs);
    same_class("run", rc, want, &run.error);
    if (rc == HEARTH_OK)
        compare(r, &run);
    device_run_unload(&run);
}

static void run_both(struct graph *g, hearth_device_t *device,
                     const hearth_model_t *raw, const hearth_model_t *model)
{
    struct hearth_view inputs[GRAPH_INPUTS];
    struct reference r = {0};
    struct hearth_error err = {0};
    const struct hearth_graph *block = hearth_model_graph(raw);
    const struct hearth_weights *w = hearth_model_weights(raw);
    uint64_t sizes[GRAPH_INPUTS];
    void *kept[GRAPH_INPUTS];
    load_weights(&r, block, w);
    for (int i = 0; i < g->inputs; i++) {
        const struct graph_value *v = &g->values[i];
        int64_t count = 0;
        (void)hearth_shape_count(&v->shape, &count);
        (void)hearth_shape_bytes(&v->shape, v->dtype, &sizes[i]);
        kept[i] = room(sizes[i]);
        inputs[i] = hearth_view_dense(room(sizes[i]), v->dtype, &v->shape);
        graph_fill(g, v->dtype, count, kept[i]);
        memcpy(inputs[i].data, kept[i], sizes[i]);
    }
    int want = interpret(&r, block, w, inputs, &err);
    bool bounded = want != HEARTH_EAGAIN && want != HEARTH_ETIMEOUT;
    if (want == HEARTH_OK)
        for (r.nearby = 1; r.nearby <= NEARBY; r.nearby++) {
            for (int i = 0; i < g->inputs; i++) {
                memcpy(inputs[i].data, kept[i], sizes[i]);
                nudge(g, &inputs[i]);
            }
            (void)interpret(&r, block, w, inputs, &err);
        }
    for (int i = 0; i < g->inputs; i++)
        memcpy(inputs[i].data, kept[i], sizes[i]);
    if (bounded)
        on_device(device, model, inputs, &r, want);
    for (int i = 0; i < g->inputs; i++) {
        free(inputs[i].data);
        free(kept[i]);
    }
    drop(&r, block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static hearth_device_t device;
    const struct hearth_model_options none = {.passes = 0};
    hearth_model_t *raw = NULL, *model = NULL;
    struct hearth_error err = {0};
    struct graph g;
    struct pb file;
    if (device.dev == NULL) {
        if (hearth_base_init() != HEARTH_OK)
            abort();
        cpu_open(&device, "0");
    }
    uint64_t used = hearth_mem_used_bytes();
    if (!graph_make(&g, data, bytes, &file))
        return 0;
    const char *path = getenv("EXECUTOR_FUZZ_MODEL"); /* to look at one */
    FILE *f = path == NULL ? NULL : fopen(path, "wb");
    if (f != NULL) {
        (void)fwrite(file.data, 1, file.bytes, f);
        (void)fclose(f);
    }
    int want = hearth_model_open_memory(&raw, file.data, file.bytes, "raw",
                                        &none, &err);
    int rc = hearth_model_open_memory(&model, file.data, file.bytes, "passes",
                                      NULL, &err);
    same_class("import", rc, want, &err);
    if (model != NULL && raw != NULL)
        run_both(&g, &device, raw, model);
    hearth_model_close(&raw);
    hearth_model_close(&model);
    pb_free(&file);
    if (hearth_mem_used_bytes() != used)
        abort();
    return 0;
}
