/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ours.c: one model on one device, in this process, as bench/inference/run asks
 * for it: the device's thread alone, no engine and no HTTP around it.
 *
 * Usage: ours DEVICE MODEL SHAPE=FILE...   (an input's size and raw bytes, in
 * the graph's order: "1,3,224,224=x.bin"), or ours peak.
 * Reads commands, one a line, and answers each with one line:
 *   run N          microseconds of each of N runs
 *   cpu N          the same of CPU time, of this thread alone
 *   load N         of each of N: from opening the file to the first answer
 *   output K FILE  writes output K of the last run
 *   flops          of a run's products: 2 for each multiplication and addition
 */
#include "device/device.h"
#include "model/model.h"
#include "ops/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define INPUTS_MAX 16
#define OUTPUTS_MAX 16
#define RUNS_MAX 10000

struct bench {
    const char *path;
    hearth_device_t **devices;
    uint32_t device_count;
    hearth_model_t *model;
    hearth_dev_model_t *loaded;
    hearth_queue_t *queue;
    struct hearth_view inputs[INPUTS_MAX];
    struct hearth_shape shapes[INPUTS_MAX];
    uint32_t input_count;
    void *arena;
    uint64_t arena_bytes;
    void *outputs[OUTPUTS_MAX];
    uint64_t output_bytes[OUTPUTS_MAX];
    int status;
    struct hearth_error err;
};

static double clock_us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double now_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

static const struct hearth_plugin *plugin(const struct bench *b)
{
    return b->devices[0]->plugin;
}

static hearth_dev_t *dev(const struct bench *b)
{
    return b->devices[0]->dev;
}

static const struct hearth_graph *graph(const struct bench *b)
{
    return hearth_model_graph(b->model);
}

/* ---- Inputs ---- */

/* The file's bytes, mapped; the process ends before they are unmapped. */
static bool read_input(const char *path, uint64_t bytes, void **data)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = fstat(fd, &st) == 0 && (uint64_t)st.st_size == bytes;
    *data = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    return ok && *data != MAP_FAILED;
}

/* "1,3,224,224=FILE" */
static bool add_input(struct bench *b, const char *text)
{
    struct hearth_shape *shape = &b->shapes[b->input_count];
    struct hearth_model_port port;
    uint64_t bytes;
    void *data;
    if (b->input_count == INPUTS_MAX ||
        !hearth_model_input(b->model, b->input_count, &port))
        return false;
    *shape = (struct hearth_shape){.rank = 0};
    while (*text != '=') {
        char *end;
        errno = 0;
        long size = strtol(text, &end, 10);
        if (errno != 0 || end == text || (*end != ',' && *end != '=') ||
            size < 0 || shape->rank == HEARTH_RANK_MAX)
            return false;
        shape->dims[shape->rank++] = size;
        text = end + (*end == ',');
    }
    if (!hearth_shape_bytes(shape, port.dtype, &bytes) ||
        !read_input(text + 1, bytes, &data))
        return false;
    b->inputs[b->input_count++] = hearth_view_dense(data, port.dtype, shape);
    return true;
}

/* ---- Load, run ---- */

static int load(struct bench *b)
{
    int rc = hearth_model_open(&b->model, b->path, NULL, &b->err);
    if (rc != HEARTH_OK)
        return rc;
    const struct hearth_load how = {.struct_bytes = sizeof how,
                                    .graph = graph(b),
                                    .weights = hearth_model_weights(b->model)};
    uint64_t bytes;
    return plugin(b)->model->load(dev(b), b->queue, &how, &b->loaded, &bytes,
                                  &b->err);
}

static void unload(struct bench *b)
{
    plugin(b)->model->unload(b->loaded);
    b->loaded = NULL;
    hearth_model_close(&b->model);
}

static int alloc_output(void *ctx, uint32_t i, enum hearth_dtype dtype,
                        const struct hearth_shape *shape, void **data)
{
    struct bench *b = ctx;
    uint64_t bytes;
    if (i >= OUTPUTS_MAX || !hearth_shape_bytes(shape, dtype, &bytes))
        return HEARTH_ENOMEM;
    if (bytes != b->output_bytes[i]) {
        free(b->outputs[i]);
        b->outputs[i] = hearth_malloc(bytes + 1);
        b->output_bytes[i] = bytes;
    }
    *data = b->outputs[i];
    return *data != NULL ? HEARTH_OK : HEARTH_ENOMEM;
}

static void done(void *ctx, int status, const struct hearth_error *err)
{
    struct bench *b = ctx;
    b->status = status;
    if (err != NULL)
        b->err = *err;
}

/* As the engine does it: the plan is asked for each time. */
static int run(struct bench *b)
{
    struct hearth_plan plan = {.struct_bytes = sizeof plan};
    int rc = plugin(b)->model->plan(b->loaded, b->shapes, &plan, &b->err);
    if (rc != HEARTH_OK)
        return rc;
    if (plan.arena_bytes > b->arena_bytes) {
        if (b->arena != NULL)
            plugin(b)->memory->free(dev(b), b->arena, b->arena_bytes);
        b->arena = NULL;
        b->arena_bytes = 0;
        rc = plugin(b)->memory->alloc(dev(b), plan.arena_bytes, &b->arena,
                                      &b->err);
        if (rc != HEARTH_OK)
            return rc;
        b->arena_bytes = plan.arena_bytes;
    }
    const struct hearth_execution e = {.struct_bytes = sizeof e,
                                       .input_count = b->input_count,
                                       .inputs = b->inputs,
                                       .arena = b->arena,
                                       .arena_bytes = b->arena_bytes,
                                       .deadline_us = INT64_MAX,
                                       .ctx = b,
                                       .alloc_output = alloc_output,
                                       .done = done};
    rc = plugin(b)->model->execute(b->loaded, b->queue, &e, &b->err);
    return rc != HEARTH_OK ? rc : b->status;
}

/* ---- Figures ---- */

static double flops_of(const struct hearth_graph *g, uint32_t n,
                       const struct hearth_spec *spec)
{
    const struct hearth_graph_node *node = hearth_graph_node(g, n);
    int64_t count, depth = 0;
    if (node->op != HEARTH_OP_CONV && node->op != HEARTH_OP_GEMM &&
        node->op != HEARTH_OP_MATMUL)
        return 0;
    const struct hearth_shape *y =
        &spec->values[hearth_graph_output(g, node, 0)].shape;
    const struct hearth_shape *a =
        &spec->values[hearth_graph_input(g, node, 0)].shape;
    const struct hearth_shape *b =
        &spec->values[hearth_graph_input(g, node, 1)].shape;
    if (!hearth_shape_count(y, &count) || b->rank < 1 || a->rank < 1)
        return 0;
    if (node->op == HEARTH_OP_CONV) {
        depth = 1;
        for (int i = 1; i < b->rank; i++)
            depth *= b->dims[i];
    } else if (node->op == HEARTH_OP_MATMUL) {
        depth = a->dims[a->rank - 1];
    } else {
        bool t = hearth_attr_int(g, node, HEARTH_ATTR_TRANS_A, 0) != 0;
        depth = a->dims[t ? 0 : 1];
    }
    return 2 * (double)count * (double)depth;
}

static int flops(struct bench *b, double *sum)
{
    struct hearth_spec spec;
    int rc = hearth_spec_create(&spec, graph(b), hearth_model_weights(b->model),
                                b->shapes, &b->err);
    *sum = 0;
    if (rc != HEARTH_OK)
        return rc;
    for (uint32_t n = 0; n < graph(b)->node_count; n++)
        *sum += flops_of(graph(b), n, &spec);
    hearth_spec_destroy(&spec);
    return HEARTH_OK;
}

/* Chains of products that wait for nothing but themselves: enough of them to
 * fill the pipelines, of vectors as wide as the machine's. */
#define EACH(what)                                                             \
    what(0) what(1) what(2) what(3) what(4) what(5) what(6) what(7) what(8)    \
        what(9) what(10) what(11)
#define BEGIN(i) vec a##i = f + (float)(i);
#define STEP(i) a##i = a##i * f + g;
#define SUM(i) f += a##i;
#define CHAINS(name, bytes, isa)                                               \
    isa static float name(float x, float by, long rounds)                      \
    {                                                                          \
        typedef float vec __attribute__((vector_size(bytes)));                 \
        vec f = {0}, g = {0};                                                  \
        f += x;                                                                \
        g += by;                                                               \
        EACH(BEGIN)                                                            \
        for (long r = 0; r < rounds; r++) {                                    \
            EACH(STEP)                                                         \
        }                                                                      \
        EACH(SUM)                                                              \
        return f[0];                                                           \
    }
CHAINS(chains, 16, )
#ifdef __x86_64__
CHAINS(chains_avx2, 32, __attribute__((target("arch=x86-64-v3"))))
CHAINS(chains_avx512, 64, __attribute__((target("arch=x86-64-v4"))))
#endif

/* GFLOP/s of one core, the best of some tries. */
static int peak(void)
{
    const long rounds = 4000000;
    volatile float x = 0.5f, by = 0.25f, sink;
    float (*run_chains)(float, float, long) = chains;
    double floats = 4;
    double best = 0;
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512f")) {
        run_chains = chains_avx512;
        floats = 16;
    } else if (__builtin_cpu_supports("avx2")) {
        run_chains = chains_avx2;
        floats = 8;
    }
#endif
    for (int i = 0; i < 8; i++) {
        double began = now_us();
        sink = run_chains(x, by, rounds);
        double rate =
            (double)rounds * 12 * floats * 2 / (now_us() - began) / 1e3;
        best = rate > best ? rate : best;
    }
    (void)sink;
    printf("%.1f\n", best);
    return 0;
}

/* ---- Commands ---- */

static int timed(struct bench *b, long count, bool with_load, clockid_t clock)
{
    static double taken[RUNS_MAX];
    int rc = HEARTH_OK;
    for (long i = 0; rc == HEARTH_OK && i < count && i < RUNS_MAX; i++) {
        if (with_load)
            unload(b);
        double began = clock_us(clock);
        if (with_load)
            rc = load(b);
        if (rc == HEARTH_OK)
            rc = run(b);
        taken[i] = clock_us(clock) - began;
    }
    for (long i = 0; rc == HEARTH_OK && i < count && i < RUNS_MAX; i++)
        printf("%.1f ", taken[i]);
    return rc;
}

static int write_output(const struct bench *b, long k, const char *path)
{
    if (k < 0 || k >= OUTPUTS_MAX || b->outputs[k] == NULL)
        return HEARTH_ENOENT;
    FILE *f = fopen(path, "wbe");
    if (f == NULL)
        return HEARTH_EIO;
    size_t n = fwrite(b->outputs[k], 1, b->output_bytes[k], f);
    return fclose(f) == 0 && n == b->output_bytes[k] ? HEARTH_OK : HEARTH_EIO;
}

static int command(struct bench *b, const char *line)
{
    long n = 0;
    char path[512];
    double sum = 0;
    int rc = HEARTH_ECONFIG;
    if (sscanf(line, "run %ld", &n) == 1)
        rc = timed(b, n, false, CLOCK_MONOTONIC);
    else if (sscanf(line, "cpu %ld", &n) == 1)
        rc = timed(b, n, false, CLOCK_THREAD_CPUTIME_ID);
    else if (sscanf(line, "load %ld", &n) == 1)
        rc = timed(b, n, true, CLOCK_MONOTONIC);
    else if (sscanf(line, "output %ld %511s", &n, path) == 2)
        rc = write_output(b, n, path);
    else if (strcmp(line, "flops\n") == 0 && (rc = flops(b, &sum)) == HEARTH_OK)
        printf("%.0f", sum);
    printf("\n");
    fflush(stdout);
    return rc;
}

/* What "profile=on" tells; stdout is the answers'. */
static void log_line(void *ctx, enum hearth_log_level level, const char *text)
{
    (void)ctx;
    (void)level;
    fprintf(stderr, "%s\n", text);
}

int main(int argc, char **argv)
{
    const struct hearth_device_host host = {.log = log_line};
    struct bench b = {.path = argc > 2 ? argv[2] : NULL};
    char line[1024];
    int rc;
    if (argc == 2 && strcmp(argv[1], "peak") == 0)
        return peak();
    if (argc < 3) {
        fprintf(stderr, "usage: ours DEVICE MODEL SHAPE=FILE... | ours peak\n");
        return 2;
    }
    hearth_device_host_set(&host);
    rc = hearth_devices_open(argv[1], NULL, 0, true, &b.devices,
                             &b.device_count, &b.err);
    if (rc == HEARTH_OK)
        rc = plugin(&b)->queue->create(dev(&b), HEARTH_QUEUE_RUN, &b.queue,
                                       &b.err);
    if (rc == HEARTH_OK)
        rc = load(&b);
    for (int i = 3; rc == HEARTH_OK && i < argc; i++)
        if (!add_input(&b, argv[i]))
            rc = hearth_fail(&b.err, HEARTH_ESHAPE, "bad input: %.200s",
                             argv[i]);
    if (rc == HEARTH_OK && b.input_count != graph(&b)->input_count)
        rc = hearth_fail(&b.err, HEARTH_ESHAPE, "an input is missing");
    while (rc == HEARTH_OK && fgets(line, sizeof line, stdin) != NULL)
        rc = command(&b, line);
    if (rc != HEARTH_OK)
        fprintf(stderr, "%s: %s\n", b.path, b.err.text);
    if (b.loaded != NULL)
        unload(&b); /* "profile=on" tells now */
    return rc != HEARTH_OK;
}
