/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ours.c: what bench/load/run asks for: how long it takes from the start of a
 * model's load to its first answer, by the way that the engine takes: the model
 * is opened, its digest is known, the device tells its footprint, the executor
 * loads and runs it. From the source, or by way of packs.
 *
 * Usage: ours DEVICE MODEL PACKS SHAPE=FILE... (an input's size and raw bytes,
 * in the graph's order: "1,3,224,224=x.bin"; PACKS is a directory).
 * Reads commands, one a line, and answers each with one line:
 *   source      microseconds: open, footprint, load, first answer; all together
 *   packed      the same out of packs, which must be there
 *   pack        loads from the source, and waits until packs are written
 *   unload      nothing of the model stays mapped
 *   run N       of each of N runs; the model is loaded
 *   clock cpu   from now on times are the process's CPU time
 *   resident    kB of the process, and of them of files
 *   held        bytes that the device says the model takes, and of the arena
 *   output K FILE
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "exec/exec.h"

#define INPUTS_MAX 8

struct bench {
    const char *path;
    hearth_packs_t *packs;
    hearth_device_t **devices;
    uint32_t device_count;
    hearth_loop_t *loop;
    hearth_exec_t *exec;
    hearth_model_t *model;
    struct hearth_exec_task loaded;
    struct hearth_tensor_list inputs, outputs;
    struct hearth_error err;
    uint64_t model_bytes, arena_bytes;
    bool over;
};

static clockid_t clock_id = CLOCK_MONOTONIC;

static double now_us(void)
{
    struct timespec t;
    clock_gettime(clock_id, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* ---- Tasks ---- */

static void on_done(struct hearth_exec_task *task)
{
    *(bool *)task->owner = true;
}

static int submit(struct bench *b, struct hearth_exec_task *task,
                  enum hearth_exec_kind kind)
{
    b->over = false;
    task->kind = kind;
    task->done = on_done;
    task->owner = &b->over;
    hearth_exec_submit(b->exec, task);
    while (!b->over)
        if (hearth_loop_run_once(b->loop, -1) != APR_SUCCESS)
            return HEARTH_EBUG;
    if (task->status != HEARTH_OK)
        b->err = task->error;
    return task->status;
}

static int run(struct bench *b)
{
    struct hearth_exec_task task = {.graph = hearth_model_graph(b->model),
                                    .handle = b->loaded.handle,
                                    .inputs = &b->inputs,
                                    .outputs = &b->outputs,
                                    .deadline_us = INT64_MAX};
    hearth_tensor_list_clear(&b->outputs);
    int rc = submit(b, &task, HEARTH_EXEC_RUN);
    if (rc == HEARTH_EAGAIN && task.need_arena_bytes > 0) {
        struct hearth_exec_task arena = {.arena_bytes = task.need_arena_bytes};
        rc = submit(b, &arena, HEARTH_EXEC_ARENA);
        b->arena_bytes = arena.arena_bytes;
        if (rc == HEARTH_OK)
            rc = submit(b, &task, HEARTH_EXEC_RUN);
    }
    b->model_bytes = task.model_bytes;
    return rc;
}

static int unload(struct bench *b)
{
    struct hearth_exec_task none = {.arena_bytes = 0};
    if (b->model == NULL)
        return HEARTH_OK;
    int rc = submit(b, &b->loaded, HEARTH_EXEC_UNLOAD);
    if (rc == HEARTH_OK)
        rc = submit(b, &none, HEARTH_EXEC_ARENA);
    hearth_model_close(&b->model);
    return rc;
}

/* Fills at[0..3]: when each step was over. */
static int load(struct bench *b, bool packed, double at[4])
{
    struct hearth_digest digest;
    struct hearth_footprint fp = {.struct_bytes = sizeof fp};
    const hearth_device_t *d = b->devices[0];
    int rc = packed ? hearth_model_open_packed(&b->model, b->path, NULL,
                                               b->packs, &b->err)
                    : hearth_model_open(&b->model, b->path, NULL, &b->err);
    if (rc == HEARTH_OK)
        rc = hearth_model_digest(b->model, &digest, &b->err);
    at[0] = now_us();
    if (rc == HEARTH_OK &&
        !(packed && hearth_exec_footprint(b->exec, 0, b->model, &fp)))
        rc = d->plugin->model->footprint(d->dev, hearth_model_graph(b->model),
                                         hearth_model_weights(b->model), NULL,
                                         &fp, &b->err);
    at[1] = now_us();
    b->loaded =
        (struct hearth_exec_task){.graph = hearth_model_graph(b->model),
                                  .weights = hearth_model_weights(b->model),
                                  .model = packed ? b->model : NULL};
    if (rc == HEARTH_OK)
        rc = submit(b, &b->loaded, HEARTH_EXEC_LOAD);
    at[2] = now_us();
    if (rc == HEARTH_OK)
        rc = run(b);
    at[3] = now_us();
    return rc;
}

/* ---- Inputs, as bench/inference/ours takes them ---- */

static int add_input(struct bench *b, uint32_t i, const char *text)
{
    struct hearth_shape shape = {.rank = 0};
    struct hearth_model_port port;
    hearth_buffer_t *buffer;
    uint64_t bytes;
    if (!hearth_model_input(b->model, i, &port))
        return HEARTH_ESHAPE;
    while (*text != '=') {
        char *end;
        long size = strtol(text, &end, 10);
        if (end == text || (*end != ',' && *end != '=') || size < 0 ||
            shape.rank == HEARTH_RANK_MAX)
            return HEARTH_ESHAPE;
        shape.dims[shape.rank++] = size;
        text = end + (*end == ',');
    }
    if (!hearth_shape_bytes(&shape, port.dtype, &bytes) ||
        hearth_buffer_create(bytes, NULL, &buffer) != HEARTH_OK)
        return HEARTH_ENOMEM;
    FILE *f = fopen(text + 1, "rbe");
    bool ok =
        f != NULL && fread(hearth_buffer_data(buffer), 1, bytes, f) == bytes;
    if (f != NULL)
        fclose(f);
    int rc = !ok ? HEARTH_EIO
                 : hearth_tensor_list_add(&b->inputs, port.name, port.dtype,
                                          &shape, buffer, 0);
    hearth_buffer_unref(buffer);
    return rc;
}

/* ---- Commands ---- */

static int timed_load(struct bench *b, bool packed)
{
    double at[4];
    int rc = unload(b);
    double began = now_us();
    if (rc == HEARTH_OK)
        rc = load(b, packed, at);
    if (rc == HEARTH_OK && packed &&
        !(hearth_model_is_packed(b->model) && b->loaded.packed))
        rc = hearth_fail(&b->err, HEARTH_EMODEL, "it is not packed");
    if (rc == HEARTH_OK)
        printf("%.1f %.1f %.1f %.1f %.1f", at[0] - began, at[1] - at[0],
               at[2] - at[1], at[3] - at[2], at[3] - began);
    return rc;
}

/* Of the model, and of what the device made of it. */
static int pack(struct bench *b)
{
    struct hearth_packs_stats stats;
    double at[4];
    int rc = unload(b);
    if (rc == HEARTH_OK)
        rc = load(b, true, at);
    do {
        sched_yield();
        hearth_packs_stats(b->packs, &stats);
    } while (rc == HEARTH_OK && stats.written < 2 && stats.failed == 0 &&
             !b->loaded.packed);
    return rc == HEARTH_OK && stats.failed > 0 ? HEARTH_EIO : rc;
}

static int runs(struct bench *b, long count)
{
    int rc = HEARTH_OK;
    for (long i = 0; rc == HEARTH_OK && i < count; i++) {
        double began = now_us();
        rc = run(b);
        printf("%.1f ", now_us() - began);
    }
    return rc;
}

static int resident(void)
{
    char line[128];
    long all = 0, files = 0;
    FILE *f = fopen("/proc/self/status", "re");
    if (f == NULL)
        return HEARTH_EIO;
    while (fgets(line, sizeof line, f) != NULL) {
        (void)sscanf(line, "VmRSS: %ld", &all);
        (void)sscanf(line, "RssFile: %ld", &files);
    }
    fclose(f);
    printf("%ld %ld", all, files);
    return HEARTH_OK;
}

static int held(const struct bench *b)
{
    printf("%llu %llu", (unsigned long long)b->model_bytes,
           (unsigned long long)b->arena_bytes);
    return HEARTH_OK;
}

static int write_output(const struct bench *b, long k, const char *path)
{
    if (k < 0 || (uint32_t)k >= b->outputs.count)
        return HEARTH_ENOENT;
    const struct hearth_view v = hearth_tensor_view(&b->outputs.items[k]);
    uint64_t bytes;
    FILE *f = fopen(path, "wbe");
    if (f == NULL || !hearth_shape_bytes(&v.shape, v.dtype, &bytes))
        return HEARTH_EIO;
    size_t n = fwrite(v.data, 1, bytes, f);
    return fclose(f) == 0 && n == bytes ? HEARTH_OK : HEARTH_EIO;
}

static int command(struct bench *b, const char *line)
{
    long n = 0;
    char path[512];
    int rc = HEARTH_ECONFIG;
    if (strcmp(line, "source\n") == 0 || strcmp(line, "packed\n") == 0)
        rc = timed_load(b, line[0] == 'p');
    else if (strcmp(line, "clock cpu\n") == 0) {
        clock_id = CLOCK_PROCESS_CPUTIME_ID;
        rc = HEARTH_OK;
    } else if (strcmp(line, "pack\n") == 0)
        rc = pack(b);
    else if (strcmp(line, "resident\n") == 0)
        rc = resident();
    else if (strcmp(line, "held\n") == 0)
        rc = held(b);
    else if (strcmp(line, "unload\n") == 0)
        rc = unload(b);
    else if (sscanf(line, "run %ld", &n) == 1)
        rc = runs(b, n);
    else if (sscanf(line, "output %ld %511s", &n, path) == 2)
        rc = write_output(b, n, path);
    printf("\n");
    fflush(stdout);
    return rc;
}

static int open_all(struct bench *b, char **argv, int argc)
{
    int rc = hearth_base_init();
    if (rc == HEARTH_OK)
        rc = hearth_packs_create(&b->packs, argv[3], 0, &b->err);
    if (rc == HEARTH_OK)
        rc = hearth_loop_create(&b->loop, NULL);
    if (rc == HEARTH_OK)
        rc = hearth_devices_open(argv[1], NULL, 0, true, &b->devices,
                                 &b->device_count, &b->err);
    if (rc == HEARTH_OK)
        rc = hearth_exec_create(&b->exec, b->devices, b->device_count, b->loop,
                                hearth_clock_real(), &b->err);
    if (rc != HEARTH_OK)
        return rc;
    hearth_exec_use_packs(b->exec, b->packs, NULL, NULL);
    hearth_model_t *model;
    rc = hearth_model_open(&model, b->path, NULL, &b->err);
    b->model = model;
    for (int i = 4; rc == HEARTH_OK && i < argc; i++)
        rc = add_input(b, (uint32_t)i - 4, argv[i]);
    hearth_model_close(&b->model);
    return rc;
}

int main(int argc, char **argv)
{
    struct bench b = {.path = argc > 2 ? argv[2] : NULL};
    char line[1024];
    if (argc < 5 || argc > 4 + INPUTS_MAX) {
        fprintf(stderr, "usage: ours DEVICE MODEL PACKS SHAPE=FILE...\n");
        return 2;
    }
    int rc = open_all(&b, argv, argc);
    while (rc == HEARTH_OK && fgets(line, sizeof line, stdin) != NULL)
        rc = command(&b, line);
    if (rc != HEARTH_OK)
        fprintf(stderr, "%s: %s: %s\n", b.path, hearth_status_name(rc),
                b.err.text);
    return rc != HEARTH_OK;
}
