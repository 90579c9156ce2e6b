/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs and a real CPU device: what the first load leaves behind, what the
 * second makes of it, and what damage, another key and a full disk do. Waits
 * for ends, not for times.
 */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "exec/exec_priv.h"
#include "pack/pack_priv.h"

static char dir[64], file[512];
static hearth_loop_t *loop;
static hearth_exec_t *exec;
static hearth_device_t **devices;
static uint32_t device_count;
static hearth_packs_t *packs;
static hearth_model_t *model;
static const hearth_model_t *told;
static struct hearth_error err;
static bool over;

static void on_damaged(void *ctx, const hearth_model_t *m)
{
    (void)ctx;
    told = m;
}

static void start(uint64_t limit)
{
    told = NULL;
    assert_int_equal(hearth_packs_create(&packs, dir, limit, &err), HEARTH_OK);
    assert_int_equal(hearth_loop_create(&loop, NULL), 0);
    if (hearth_devices_open("cpu:0", NULL, 0, true, &devices, &device_count,
                            &err) != HEARTH_OK ||
        hearth_exec_create(&exec, devices, device_count, loop,
                           hearth_clock_real(), &err) != HEARTH_OK ||
        hearth_model_open_packed(&model, file, NULL, packs, &err) != HEARTH_OK)
        fail_msg("%s", err.text);
    hearth_exec_use_packs(exec, packs, on_damaged, NULL);
}

static void finish(void)
{
    hearth_exec_destroy(&exec);
    hearth_devices_close(&devices, device_count);
    hearth_loop_destroy(&loop);
    hearth_model_close(&model);
    hearth_packs_destroy(&packs);
}

static int setup(void **state)
{
    const char *top = getenv("HEARTH_SRCDIR");
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/hearth-exec-XXXXXX");
    snprintf(file, sizeof file, "%s/examples/digits/model.onnx",
             top == NULL ? "." : top);
    hearth_device_host_set(NULL);
    return mkdtemp(dir) == NULL ? -1 : hearth_base_init();
}

static int teardown(void **state)
{
    struct hearth__pack_list list;
    char path[160];
    (void)state;
    if (hearth_packs_create(&packs, dir, 0, &err) != HEARTH_OK ||
        hearth__packs_list(packs, true, &list, &err) != HEARTH_OK)
        return -1;
    for (uint32_t i = 0; i < list.count; i++)
        (void)unlinkat(packs->directory, list.files[i].name, 0);
    hearth__packs_list_free(&list);
    hearth_packs_destroy(&packs);
    snprintf(path, sizeof path, "%s/lock", dir);
    (void)remove(path);
    return rmdir(dir);
}

static void on_done(struct hearth_exec_task *task)
{
    (void)task;
    over = true;
}

static void submit(struct hearth_exec_task *task, enum hearth_exec_kind kind)
{
    task->kind = kind;
    task->graph = hearth_model_graph(model);
    task->weights = hearth_model_weights(model);
    task->model = model;
    task->done = on_done;
    over = false;
    hearth_exec_submit(exec, task);
    while (!over)
        assert_int_equal(hearth_loop_run_once(loop, -1), 0);
}

static void load(struct hearth_exec_task *task, bool packed)
{
    *task = (struct hearth_exec_task){.status = 0};
    submit(task, HEARTH_EXEC_LOAD);
    if (task->status != HEARTH_OK)
        fail_msg("%s", task->error.text);
    assert_int_equal(task->packed, packed);
}

/* The answer to a ramp; of at most 16 numbers. */
static void answer(struct hearth_exec_task *loaded, float out[16])
{
    struct hearth_tensor_list inputs = {0}, outputs = {0};
    struct hearth_model_port port;
    hearth_buffer_t *buffer;
    uint64_t bytes;
    assert_true(hearth_model_input(model, 0, &port));
    for (int i = 0; i < port.shape.rank; i++)
        port.shape.dims[i] = port.shape.dims[i] < 0 ? 1 : port.shape.dims[i];
    assert_true(hearth_shape_bytes(&port.shape, port.dtype, &bytes));
    assert_int_equal(hearth_buffer_create(bytes, NULL, &buffer), HEARTH_OK);
    float *x = hearth_buffer_data(buffer);
    for (uint64_t i = 0; i < bytes / sizeof *x; i++)
        x[i] = (float)(i % 16) / 16;
    assert_int_equal(hearth_tensor_list_add(&inputs, port.name, port.dtype,
                                            &port.shape, buffer, 0),
                     HEARTH_OK);
    hearth_buffer_unref(buffer);
    struct hearth_exec_task run = {.handle = loaded->handle,
                                   .inputs = &inputs,
                                   .outputs = &outputs,
                                   .deadline_us = INT64_MAX};
    submit(&run, HEARTH_EXEC_RUN);
    if (run.status == HEARTH_EAGAIN && run.need_arena_bytes > 0) {
        struct hearth_exec_task arena = {.arena_bytes = run.need_arena_bytes};
        submit(&arena, HEARTH_EXEC_ARENA);
        assert_int_equal(arena.status, HEARTH_OK);
        submit(&run, HEARTH_EXEC_RUN);
    }
    if (run.status != HEARTH_OK)
        fail_msg("%s", run.error.text);
    const struct hearth_view view = hearth_tensor_view(&outputs.items[0]);
    memset(out, 0, 16 * sizeof *out);
    memcpy(out, view.data, 10 * sizeof *out);
    hearth_tensor_list_clear(&outputs);
    hearth_tensor_list_clear(&inputs);
}

static struct hearth_packs_stats until_written(uint64_t count)
{
    struct hearth_packs_stats stats;
    do {
        sched_yield();
        hearth_packs_stats(packs, &stats);
    } while (stats.written < count && stats.failed == 0);
    return stats;
}

/* The first load's answer; the packs are there. */
static void pack_all(float out[16])
{
    struct hearth_exec_task task;
    start(0);
    load(&task, false);
    answer(&task, out);
    /* The model, what the device made of it, and maybe which file it is. */
    assert_int_equal(until_written(2).failed, 0);
    submit(&task, HEARTH_EXEC_UNLOAD);
    finish();
}

/* Changes bytes of the section that the device wrote. */
static void damage(uint64_t at)
{
    struct hearth__pack_list list;
    struct hearth__pack_head head;
    hearth_packs_t *own;
    uint32_t hits = 0;
    assert_int_equal(hearth_packs_create(&own, dir, 0, &err), HEARTH_OK);
    assert_int_equal(hearth__packs_list(own, true, &list, &err), HEARTH_OK);
    for (uint32_t i = 0; i < list.count; i++) {
        uint64_t byte = 0;
        int fd = openat(own->directory, list.files[i].name, O_RDWR | O_CLOEXEC);
        assert_int_equal(pread(fd, &head, sizeof head, 0), sizeof head);
        if (strncmp(head.key, "lowered", 7) == 0) {
            off_t from = (off_t)(head.sections[0].offset + at);
            assert_int_equal(pread(fd, &byte, 8, from), 8);
            byte ^= UINT64_C(0x0040000000400000);
            assert_int_equal(pwrite(fd, &byte, 8, from), 8);
            hits++;
        }
        close(fd);
    }
    assert_int_equal(hits, 1);
    hearth__packs_list_free(&list);
    hearth_packs_destroy(&own);
}

/* ---- Cases ---- */

static void
the_second_load_comes_out_of_packs_and_answers_the_same(void **state)
{
    struct hearth_exec_task task;
    float first[16], second[16];
    (void)state;
    pack_all(first);
    start(0);
    assert_true(hearth_model_is_packed(model));
    const struct hearth_memory_calls *memory = devices[0]->plugin->memory;
    uint64_t used = memory->used_bytes(devices[0]->dev);
    load(&task, true);
    assert_int_equal(hearth_exec_packed_loads(exec, 0), 1);
    assert_int_equal(memory->used_bytes(devices[0]->dev) - used,
                     task.model_bytes);
    answer(&task, second);
    assert_memory_equal(first, second, sizeof first);
    /* Nothing more is written. */
    struct hearth_packs_stats stats;
    hearth_packs_stats(packs, &stats);
    assert_int_equal(stats.failed, 0);
    submit(&task, HEARTH_EXEC_UNLOAD);
    load(&task, true);
    answer(&task, second);
    assert_memory_equal(first, second, sizeof first);
    submit(&task, HEARTH_EXEC_UNLOAD);
    finish();
}

static void a_damaged_list_brings_the_source_back(void **state)
{
    struct hearth_exec_task task;
    float first[16], second[16];
    (void)state;
    pack_all(first);
    damage(48); /* in its list */
    start(0);
    load(&task, false);
    answer(&task, second);
    assert_memory_equal(first, second, sizeof first);
    (void)until_written(1);
    submit(&task, HEARTH_EXEC_UNLOAD);
    load(&task, true); /* made anew */
    submit(&task, HEARTH_EXEC_UNLOAD);
    finish();
}

static void damaged_weights_are_found_and_told(void **state)
{
    struct hearth_exec_task task;
    float first[16], second[16];
    (void)state;
    pack_all(first);
    damage(4096); /* behind it */
    start(0);
    load(&task, true);
    while (told == NULL)
        assert_int_equal(hearth_loop_run_once(loop, -1), 0);
    assert_ptr_equal(told, model);
    submit(&task, HEARTH_EXEC_UNLOAD);
    load(&task, false);
    answer(&task, second);
    assert_memory_equal(first, second, sizeof first);
    submit(&task, HEARTH_EXEC_UNLOAD);
    finish();
}

static void without_room_loads_go_on_from_the_source(void **state)
{
    struct hearth_exec_task task;
    float first[16], second[16];
    (void)state;
    start(20000);
    load(&task, false);
    answer(&task, first);
    struct hearth_packs_stats stats;
    submit(&task, HEARTH_EXEC_UNLOAD);
    load(&task, false);
    answer(&task, second);
    assert_memory_equal(first, second, sizeof first);
    submit(&task, HEARTH_EXEC_UNLOAD);
    hearth_packs_stats(packs, &stats);
    assert_int_equal(stats.written, 0);
    finish();
}

static void an_unload_or_the_end_does_not_wait_for_packs(void **state)
{
    struct hearth_exec_task task;
    (void)state;
    for (int i = 0; i < 20; i++) {
        start(0);
        for (int k = 0; k < i % 3; k++) {
            task = (struct hearth_exec_task){.status = 0};
            submit(&task, HEARTH_EXEC_LOAD);
            assert_int_equal(task.status, HEARTH_OK);
            submit(&task, HEARTH_EXEC_UNLOAD);
        }
        task = (struct hearth_exec_task){.status = 0};
        submit(&task, HEARTH_EXEC_LOAD);
        submit(&task, HEARTH_EXEC_UNLOAD);
        finish();
    }
    /* Whatever was left is whole. */
    start(0);
    task = (struct hearth_exec_task){.status = 0};
    submit(&task, HEARTH_EXEC_LOAD);
    assert_int_equal(task.status, HEARTH_OK);
    submit(&task, HEARTH_EXEC_UNLOAD);
    assert_null(told);
    finish();
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(the_second_load_comes_out_of_packs_and_answers_the_same),
        CASE(a_damaged_list_brings_the_source_back),
        CASE(damaged_weights_are_found_and_told),
        CASE(without_room_loads_go_on_from_the_source),
        CASE(an_unload_or_the_end_does_not_wait_for_packs),
    };
    return cmocka_run_group_tests_name("exec_packed", cases, NULL, NULL);
}
