/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model on the CPU from footprint to unload: what it takes to the byte, plans
 * and which of them are kept, deadlines, and every way to fail half way.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "cpu.h"
#include "gemm.h"
#include "ops/ops_impl.h"
#include "unit/cpu_case.h"

/* What a sanitizer keeps is no leak of ours. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RSS_TELLS 0
#else
#define RSS_TELLS 1
#endif

static hearth_device_t device;
static const struct hearth_plugin *p;

static int open_device(void **state)
{
    (void)state;
    cpu_open(&device, "mem=256MiB");
    p = device.plugin;
    return 0;
}

static int close_device(void **state)
{
    (void)state;
    cpu_close(&device);
    return 0;
}

static uint64_t used(void)
{
    return p->memory->used_bytes(device.dev);
}

/* conv relu pool conv+residual mean gemm, with <channels>, on [n,3,12,12]. */
static const struct hearth_graph *small_net(struct cpu_case *c,
                                            int64_t channels)
{
    struct ops_block *b = c->block;
    const int64_t rows = 10;
    ops_block_symbols(b, 1);
    uint32_t x =
        ops_block_input(b, "x", HEARTH_F32, 4,
                        (const int64_t[]){HEARTH_DIM_SYMBOL(0), 3, 12, 12});
    uint32_t w =
        cpu_case_weight(c, 4, (const int64_t[]){channels, 3, 3, 3}, 0.3f, 0);
    ops_block_int(b, HEARTH_ATTR_ACTIVATION, HEARTH_ACT_RELU);
    uint32_t y =
        ops_block_node(b, HEARTH_OP_CONV, 2, (const uint32_t[]){x, w}, 1);
    ops_block_ints(b, HEARTH_ATTR_KERNEL_SHAPE, 2, (const int64_t[]){2, 2});
    uint32_t pool = ops_block_node(b, HEARTH_OP_MAX_POOL, 1, &y, 1);
    w = cpu_case_weight(c, 4, (const int64_t[]){channels, channels, 3, 3}, 0.1f,
                        0);
    uint32_t bias = cpu_case_weight(c, 1, &channels, 1, 0);
    ops_block_ints(b, HEARTH_ATTR_PADS, 4, (const int64_t[]){1, 1, 1, 1});
    y = ops_block_node(b, HEARTH_OP_CONV, 4,
                       (const uint32_t[]){pool, w, bias, pool}, 1);
    y = ops_block_node(b, HEARTH_OP_GLOBAL_AVERAGE_POOL, 1, &y, 1);
    y = ops_block_node(b, HEARTH_OP_FLATTEN, 1, &y, 1);
    w = cpu_case_weight(c, 2, (const int64_t[]){rows, channels}, 0.5f, 0);
    bias = cpu_case_weight(c, 1, &rows, 1, 0);
    ops_block_int(b, HEARTH_ATTR_TRANS_B, 1);
    y = ops_block_node(b, HEARTH_OP_GEMM, 3, (const uint32_t[]){y, w, bias}, 1);
    ops_block_output(b, y);
    return ops_block_graph(b);
}

static struct hearth_shape batch_of(int64_t n)
{
    return (struct hearth_shape){.rank = 4, .dims = {n, 3, 12, 12}};
}

struct loaded {
    struct cpu_case c;
    struct device_run run;
};

static void loaded_init(struct loaded *l, int64_t channels)
{
    cpu_case_init(&l->c, 11);
    const struct hearth_graph *g = small_net(&l->c, channels);
    if (device_run_load(&l->run, &device, g, &l->c.weights) != HEARTH_OK)
        fail_msg("%s", l->run.error.text);
}

static void loaded_fini(struct loaded *l)
{
    device_run_unload(&l->run);
    cpu_case_free(&l->c);
}

static void check_batch(struct loaded *l, int64_t n)
{
    struct hearth_shape shape = batch_of(n);
    struct hearth_view in = cpu_case_input(&l->c, &shape), want;
    cpu_case_reference(&l->c, &in, &want);
    if (device_run_execute(&l->run, &in) != HEARTH_OK)
        fail_msg("%s", l->run.error.text);
    cpu_case_compare(&l->run, &want, "batch");
    free(in.data);
    free(want.data);
}

/* ---- Memory ---- */

static void weights_are_packed_once_for_every_batch(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, 32);
    uint64_t weights = l.run.model_bytes;
    check_batch(&l, 1);
    uint64_t one = l.run.model_bytes;
    check_batch(&l, 5);
    /* A plan more, and no more than that. */
    assert_true(l.run.model_bytes - one <= 2 * (one - weights));
    check_batch(&l, 1);
    loaded_fini(&l);
}

/* The same model: few multiplications at one picture, many at sixty. */
static void small_plans_are_one_threads(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, 16);
    check_batch(&l, 1);
    check_batch(&l, 60);
    check_batch(&l, 1);
    int alone = 0, together = 0;
    for (int i = 0; i < CPU_PLANS_MAX; i++) {
        const struct cpu_plan *plan = l.run.model->plans[i];
        alone += plan != NULL && plan->alone && plan->shapes[0].dims[0] == 1;
        together += plan != NULL && !plan->alone;
    }
    assert_int_equal(alone, 1);
    assert_int_equal(together, 1);
    loaded_fini(&l);
}

/* Of one row, the sum has the shape of its input along whatever axis; of more,
 * only the data tell. */
static void a_batch_of_one_hides_no_size_that_data_tell(void **state)
{
    (void)state;
    float x[3] = {1, 2, 4};
    struct loaded l;
    cpu_case_init(&l.c, 3);
    struct ops_block *b = l.c.block;
    uint32_t in[2];
    ops_block_symbols(b, 1);
    in[0] = ops_block_input(b, "x", HEARTH_F32, 2,
                            (const int64_t[]){HEARTH_DIM_SYMBOL(0), 1});
    in[1] = ops_block_input(b, "axes", HEARTH_I64, 1, (const int64_t[]){1});
    ops_block_output(b, ops_block_node(b, HEARTH_OP_REDUCE_SUM, 2, in, 1));
    assert_int_equal(
        device_run_load(&l.run, &device, ops_block_graph(b), &l.c.weights), 0);
    for (int64_t rows = 1; rows <= 3; rows += 2)
        for (int64_t axis = 0; axis < 2; axis++) {
            const struct hearth_shape size = {.rank = 2, .dims = {rows, 1}},
                                      one = {.rank = 1, .dims = {1}};
            const struct hearth_view views[2] = {
                hearth_view_dense(x, HEARTH_F32, &size),
                hearth_view_dense(&axis, HEARTH_I64, &one)};
            if (device_run_execute(&l.run, views) != HEARTH_OK)
                fail_msg("%s", l.run.error.text);
            const float *y = l.run.outputs[0].data;
            assert_int_equal(l.run.outputs[0].shape.dims[0],
                             axis == 0 ? 1 : rows);
            assert_true(y[0] == (axis == 0 && rows == 3 ? 7 : 1));
        }
    loaded_fini(&l);
}

/* ---- Lowered weights ---- */

struct section {
    char *data;
    uint64_t bytes, limit;
};

static int keep(void *ctx, const void *data, uint64_t bytes)
{
    struct section *s = ctx;
    if (s->bytes + bytes > s->limit)
        return HEARTH_EIO; /* a full disk */
    s->data = realloc(s->data, s->bytes + bytes);
    memcpy(s->data + s->bytes, data, bytes);
    s->bytes += bytes;
    return HEARTH_OK;
}

static int load_bytes(struct loaded *l, const void *data, uint64_t bytes,
                      bool stays, struct hearth_error *err)
{
    const struct hearth_load load = {.struct_bytes = sizeof load,
                                     .graph = l->run.graph,
                                     .weights = &l->c.weights,
                                     .lowered_stays = stays};
    uint64_t before = device.plugin->memory->used_bytes(device.dev);
    int rc = device.plugin->model->load_lowered(device.dev, l->run.queue, &load,
                                                data, bytes, &l->run.model,
                                                &l->run.model_bytes, err);
    assert_int_equal(device.plugin->memory->used_bytes(device.dev) - before,
                     rc == HEARTH_OK ? l->run.model_bytes : 0);
    return rc;
}

static int load_section(struct loaded *l, const struct section *s,
                        uint64_t bytes, struct hearth_error *err)
{
    return load_bytes(l, s->data, bytes, false, err);
}

static void packed_weights_are_kept_and_loaded_again(void **state)
{
    (void)state;
    const struct hearth_model_calls *model = device.plugin->model;
    struct section s = {.limit = UINT64_MAX}, full = {.limit = 100};
    struct hearth_sink sink = {
        .struct_bytes = sizeof sink, .ctx = &s, .write = keep};
    struct hearth_error err;
    struct loaded l;
    char key[128];
    loaded_init(&l, 17); /* channels that fill no block */
    assert_int_equal(model->lowered_key(device.dev, key, sizeof key), 0);
    assert_non_null(strstr(key, "oneDNN"));
    assert_int_equal(model->lowered_key(device.dev, key, 8), HEARTH_ETOOBIG);
    assert_int_equal(model->export_lowered(l.run.model, &sink, &err), 0);
    sink.ctx = &full;
    assert_int_equal(model->export_lowered(l.run.model, &sink, &err),
                     HEARTH_EIO);
    model->unload(l.run.model);
    uint64_t reads = l.c.reads;
    assert_int_equal(load_section(&l, &s, s.bytes, &err), 0);
    assert_int_equal(l.c.reads, reads); /* the source was not looked at */
    check_batch(&l, 1);
    check_batch(&l, 5);
    loaded_fini(&l);
    free(s.data);
    free(full.data);
}

/* A section in pages that cannot be written, as from a file. */
static void mapped_weights_are_used_where_they_lie(void **state)
{
    (void)state;
    struct section s = {.limit = UINT64_MAX};
    const struct hearth_sink sink = {
        .struct_bytes = sizeof sink, .ctx = &s, .write = keep};
    struct hearth_error err;
    struct loaded l;
    loaded_init(&l, 17);
    check_batch(&l, 2);
    assert_int_equal(
        device.plugin->model->export_lowered(l.run.model, &sink, &err), 0);
    device.plugin->model->unload(l.run.model);
    char *map = mmap(NULL, s.bytes + 8192, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED);
    memcpy(map, s.data, s.bytes);
    for (uint64_t n = 0; n < s.bytes; n += 1 + n / 8) {
        /* All but the weights themselves is checked. */
        map[n] ^= 4;
        int rc = load_bytes(&l, map, s.bytes, true, &err);
        map[n] ^= 4;
        if (rc == HEARTH_OK) {
            assert_true(n >= 24);
            device.plugin->model->unload(l.run.model);
        } else {
            assert_int_equal(rc, HEARTH_EMODEL);
        }
        assert_int_equal(load_bytes(&l, map, n, true, &err), HEARTH_EMODEL);
    }
    assert_int_equal(mprotect(map, s.bytes + 8192, PROT_READ), 0);
    uint64_t reads = l.c.reads;
    assert_int_equal(load_bytes(&l, map, s.bytes, true, &err), 0);
    assert_int_equal(l.c.reads, reads);
    check_batch(&l, 1);
    check_batch(&l, 5);
    device.plugin->model->unload(l.run.model);
    /* Where a page does not begin they are copied. */
    assert_int_equal(mprotect(map, s.bytes + 8192, PROT_READ | PROT_WRITE), 0);
    memmove(map + 64, map, s.bytes);
    assert_int_equal(load_bytes(&l, map + 64, s.bytes, true, &err), 0);
    memset(map, 0x55, s.bytes + 64);
    check_batch(&l, 1);
    loaded_fini(&l);
    munmap(map, s.bytes + 8192);
    free(s.data);
}

static void damaged_or_foreign_weights_are_refused(void **state)
{
    (void)state;
    struct section s = {.limit = UINT64_MAX};
    const struct hearth_sink sink = {
        .struct_bytes = sizeof sink, .ctx = &s, .write = keep};
    struct hearth_error err;
    struct loaded l, other;
    loaded_init(&l, 16);
    assert_int_equal(
        device.plugin->model->export_lowered(l.run.model, &sink, &err), 0);
    device.plugin->model->unload(l.run.model);
    for (uint64_t n = 0; n < s.bytes; n += 1 + n / 8) {
        assert_int_equal(load_section(&l, &s, n, &err), HEARTH_EMODEL);
        s.data[n] ^= 4;
        assert_int_equal(load_section(&l, &s, s.bytes, &err), HEARTH_EMODEL);
        s.data[n] ^= 4;
    }
    assert_non_null(strstr(err.text, "stale or damaged"));
    loaded_init(&other, 24);
    device.plugin->model->unload(other.run.model);
    assert_int_equal(load_section(&other, &s, s.bytes, &err), HEARTH_EMODEL);
    assert_int_equal(load_section(&l, &s, s.bytes, &err), 0);
    device.plugin->queue->destroy(other.run.queue);
    cpu_case_free(&other.c);
    loaded_fini(&l);
    free(s.data);
}

/* conv relu conv relu of the same sizes, [n,64,14,14], for which no way is far
 * ahead. */
static const struct hearth_graph *equal_net(struct cpu_case *c)
{
    struct ops_block *b = c->block;
    ops_block_symbols(b, 1);
    uint32_t x =
        ops_block_input(b, "x", HEARTH_F32, 4,
                        (const int64_t[]){HEARTH_DIM_SYMBOL(0), 64, 14, 14});
    for (int i = 0; i < 2; i++) {
        uint32_t w =
            cpu_case_weight(c, 4, (const int64_t[]){64, 64, 3, 3}, 0.05f, 0);
        ops_block_ints(b, HEARTH_ATTR_PADS, 4, (const int64_t[]){1, 1, 1, 1});
        ops_block_int(b, HEARTH_ATTR_ACTIVATION, HEARTH_ACT_RELU);
        x = ops_block_node(b, HEARTH_OP_CONV, 2, (const uint32_t[]){x, w}, 1);
    }
    ops_block_output(b, x);
    return ops_block_graph(b);
}

static void check_picture(struct loaded *l)
{
    struct hearth_shape shape = {.rank = 4, .dims = {2, 64, 14, 14}};
    struct hearth_view in = cpu_case_input(&l->c, &shape), want;
    cpu_case_reference(&l->c, &in, &want);
    if (device_run_execute(&l->run, &in) != HEARTH_OK)
        fail_msg("%s", l->run.error.text);
    cpu_case_compare(&l->run, &want, "picture");
    free(in.data);
    free(want.data);
}

static void ways_are_timed_once_and_kept_with_the_weights(void **state)
{
    static const int sizes[] = {0, 2, 4};
    uint64_t bytes[3];
    struct hearth_error err;
    hearth_device_t own;
    (void)state;
    cpu_open(&own, "tune=on");
    if (!cpu_gemm_can(own.dev->block)) {
        cpu_close(&own);
        skip();
    }
    const struct hearth_model_calls *model = own.plugin->model;
    for (int i = 0; i < 3; i++) {
        struct section s = {.limit = UINT64_MAX};
        const struct hearth_sink sink = {
            .struct_bytes = sizeof sink, .ctx = &s, .write = keep};
        struct hearth_footprint fp = {.struct_bytes = sizeof fp};
        struct loaded l;
        cpu_case_init(&l.c, 11);
        const struct hearth_graph *g = equal_net(&l.c);
        assert_int_equal(
            model->footprint(own.dev, g, &l.c.weights, NULL, &fp, &err), 0);
        /* Two equal ones, three times. */
        assert_int_equal(own.dev->tuned_count, 1);
        assert_true(own.dev->tuned[0].size == 0 ||
                    own.dev->tuned[0].size == 2 || own.dev->tuned[0].size == 4);
        own.dev->tuned[0].size = sizes[i];
        assert_int_equal(device_run_load(&l.run, &own, g, &l.c.weights), 0);
        bytes[i] = l.run.model_bytes;
        check_picture(&l);
        assert_int_equal(model->export_lowered(l.run.model, &sink, &err), 0);
        model->unload(l.run.model);
        /* By now another way is faster. */
        own.dev->tuned[0].size = sizes[(i + 1) % 3];
        const struct hearth_load load = {
            .struct_bytes = sizeof load, .graph = g, .weights = &l.c.weights};
        assert_int_equal(model->load_lowered(own.dev, l.run.queue, &load,
                                             s.data, s.bytes, &l.run.model,
                                             &l.run.model_bytes, &err),
                         0);
        assert_int_equal(l.run.model_bytes, bytes[i]);
        check_picture(&l);
        loaded_fini(&l);
        free(s.data);
    }
    assert_true(bytes[0] < bytes[1] && bytes[1] < bytes[2]);
    cpu_close(&own);
}

static uint64_t resident_bytes(void)
{
    unsigned long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu %lu", &size, &resident), 2);
    fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void nothing_is_left_after_200_models(void **state)
{
    static const int64_t channels[] = {16, 24, 17};
    (void)state;
    uint64_t start = used(), rss = 0;
    for (int i = 0; i < 200; i++) {
        struct loaded l;
        loaded_init(&l, channels[i % 3]);
        check_batch(&l, 1 + i % 5);
        assert_true(used() > start);
        loaded_fini(&l);
        assert_int_equal(used(), start);
        if (i == 29)
            rss = resident_bytes();
    }
    if (RSS_TELLS && resident_bytes() > rss + (1 << 20))
        fail_msg("%lu bytes more are resident",
                 (unsigned long)(resident_bytes() - rss));
}

/* The footprint is what a load asks for at most, at any moment of it. */
static void a_load_takes_no_more_than_its_footprint(void **state)
{
    (void)state;
    struct loaded l;
    struct hearth_footprint fp = {.struct_bytes = sizeof fp};
    struct hearth_load load = {.struct_bytes = sizeof load};
    uint64_t limit = device.dev->limit, bytes = 0;
    cpu_case_init(&l.c, 3);
    load.graph = small_net(&l.c, 64);
    load.weights = &l.c.weights;
    assert_int_equal(p->model->footprint(device.dev, load.graph, load.weights,
                                         NULL, &fp, NULL),
                     0);
    device.dev->limit = used() + fp.model_bytes + fp.load_bytes;
    hearth_dev_model_t *m = NULL;
    assert_int_equal(p->model->load(device.dev, NULL, &load, &m, &bytes, NULL),
                     0);
    /* The rest is for the plan of the first run. */
    assert_true(bytes <= fp.model_bytes);
    p->model->unload(m);
    /* With less than the model, none of it. */
    uint64_t start = used();
    struct hearth_error err = {0};
    device.dev->limit = start + bytes - 1;
    assert_int_equal(p->model->load(device.dev, NULL, &load, &m, &bytes, &err),
                     HEARTH_ENOMEM);
    assert_non_null(strstr(err.text, "evict"));
    assert_int_equal(used(), start);
    device.dev->limit = limit;
    cpu_case_free(&l.c);
}

/* ---- Plans ---- */

static int plan_of(struct loaded *l, int64_t n, struct hearth_plan *plan,
                   struct hearth_error *err)
{
    struct hearth_shape shape = batch_of(n);
    plan->struct_bytes = sizeof *plan;
    return p->model->plan(l->run.model, &shape, plan, err);
}

static void never_done(void *ctx, int status, const struct hearth_error *err)
{
    (void)ctx;
    (void)status;
    (void)err;
    fail_msg("done was called");
}

/* A run without its plan is refused. */
static bool has_plan(struct loaded *l, int64_t n)
{
    struct hearth_shape shape = batch_of(n);
    struct hearth_view in = {.dtype = HEARTH_F32, .shape = shape};
    struct hearth_error err = {0};
    /* No arena: one with a plan is refused too, by another reason. */
    const struct hearth_execution e = {.struct_bytes = sizeof e,
                                       .input_count = 1,
                                       .inputs = &in,
                                       .deadline_us = INT64_MAX,
                                       .done = never_done};
    assert_int_equal(p->model->execute(l->run.model, l->run.queue, &e, &err),
                     HEARTH_EBUG);
    return strstr(err.text, "too small an arena") != NULL;
}

static void eight_plans_are_kept_and_the_oldest_goes(void **state)
{
    (void)state;
    struct loaded l;
    struct hearth_plan plan, eight;
    loaded_init(&l, 16);
    for (int64_t n = 1; n <= 8; n++)
        assert_int_equal(plan_of(&l, n, &eight, NULL), 0);
    assert_true(has_plan(&l, 2));
    /* The looks count as uses too: 1 and 2 are the latest, 3 the oldest. */
    assert_true(has_plan(&l, 1));
    assert_true(has_plan(&l, 2));
    assert_int_equal(plan_of(&l, 9, &plan, NULL), 0);
    assert_int_equal(plan.model_bytes, eight.model_bytes);
    assert_false(has_plan(&l, 3));
    assert_true(has_plan(&l, 1) && has_plan(&l, 2) && has_plan(&l, 4) &&
                has_plan(&l, 8) && has_plan(&l, 9));
    l.run.model_bytes = plan.model_bytes;
    check_batch(&l, 3);
    loaded_fini(&l);
}

static void a_wrong_shape_is_the_request_s_fault(void **state)
{
    static const struct hearth_shape shapes[] = {
        {.rank = 4, .dims = {1, 4, 12, 12}},
        {.rank = 3, .dims = {1, 3, 12}},
        {.rank = 4, .dims = {1, 3, 12, -1}},
        {.rank = 4, .dims = {0, 3, 12, 12}},
        {.rank = 4, .dims = {-5, 3, 12, 12}},
        {.rank = 4, .dims = {INT64_MAX, 3, 12, 12}},
        {.rank = 4, .dims = {INT64_MAX / 432, 3, 12, 12}},
        {.rank = 4, .dims = {INT64_C(1) << 33, 3, 12, 12}},
        {.rank = 4, .dims = {INT32_MAX, 3, 12, 12}},
        {.rank = 4, .dims = {1 << 20, 3, 12, 12}},
    };
    (void)state;
    struct loaded l;
    loaded_init(&l, 16);
    uint64_t start = used();
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct hearth_plan plan = {.struct_bytes = sizeof plan};
        struct hearth_error err = {0};
        int rc = p->model->plan(l.run.model, &shapes[i], &plan, &err);
        if (hearth_status_class(rc) != HEARTH_CLASS_CLIENT)
            fail_msg("shape %zu: %s %s", i, hearth_status_name(rc), err.text);
        assert_int_equal(err.status, rc);
        assert_int_equal(used(), start);
    }
    check_batch(&l, 1);
    loaded_fini(&l);
}

/* ---- Runs ---- */

struct watched {
    int done, status, outputs;
    char text[256];
    float data[64];
    int refuse;
};

static int give(void *ctx, uint32_t i, enum hearth_dtype dtype,
                const struct hearth_shape *shape, void **data)
{
    struct watched *w = ctx;
    (void)i;
    (void)dtype;
    (void)shape;
    w->outputs++;
    *data = w->data;
    return w->refuse;
}

static void note(void *ctx, int status, const struct hearth_error *err)
{
    struct watched *w = ctx;
    w->done++;
    w->status = status;
    if (err != NULL) {
        assert_int_equal(err->status, status);
        snprintf(w->text, sizeof w->text, "%s", err->text);
    }
}

static void run_watched(hearth_dev_model_t *m, const struct hearth_view *in,
                        struct watched *w, int64_t deadline_us)
{
    struct hearth_plan plan = {.struct_bytes = sizeof plan};
    void *arena;
    assert_int_equal(p->model->plan(m, &in->shape, &plan, NULL), 0);
    assert_int_equal(
        p->memory->alloc(device.dev, plan.arena_bytes + 1, &arena, NULL), 0);
    const struct hearth_execution e = {.struct_bytes = sizeof e,
                                       .input_count = 1,
                                       .inputs = in,
                                       .arena = arena,
                                       .arena_bytes = plan.arena_bytes,
                                       .deadline_us = deadline_us,
                                       .ctx = w,
                                       .alloc_output = give,
                                       .done = note};
    assert_int_equal(p->model->execute(m, NULL, &e, NULL), 0);
    p->memory->free(device.dev, arena, plan.arena_bytes + 1);
    assert_int_equal(w->done, 1);
}

static void a_deadline_ends_a_run_between_two_steps(void **state)
{
    (void)state;
    struct loaded l;
    struct watched late = {0}, again = {0};
    struct hearth_shape shape = batch_of(1);
    loaded_init(&l, 16);
    struct hearth_view in = cpu_case_input(&l.c, &shape);
    cpu_tick_us = 10;
    run_watched(l.run.model, &in, &late, cpu_now_us + 25);
    assert_int_equal(late.status, HEARTH_ETIMEOUT);
    assert_non_null(strstr(late.text, "after 2 of"));
    assert_int_equal(late.outputs, 0);
    run_watched(l.run.model, &in, &again, cpu_now_us + 100000);
    cpu_tick_us = 0;
    assert_int_equal(again.status, HEARTH_OK);
    assert_int_equal(again.outputs, 1);
    free(in.data);
    struct hearth_plan plan;
    assert_int_equal(plan_of(&l, 1, &plan, NULL), 0);
    l.run.model_bytes = plan.model_bytes;
    loaded_fini(&l);
}

static void a_run_ends_when_there_is_no_room_for_its_output(void **state)
{
    (void)state;
    struct loaded l;
    struct watched w = {.refuse = HEARTH_ENOMEM};
    struct hearth_shape shape = batch_of(1);
    struct hearth_plan plan;
    loaded_init(&l, 16);
    struct hearth_view in = cpu_case_input(&l.c, &shape);
    run_watched(l.run.model, &in, &w, INT64_MAX);
    assert_int_equal(w.status, HEARTH_ENOMEM);
    free(in.data);
    assert_int_equal(plan_of(&l, 1, &plan, NULL), 0);
    l.run.model_bytes = plan.model_bytes;
    loaded_fini(&l);
}

static void data_that_an_operator_refuses_names_the_node(void **state)
{
    (void)state;
    struct cpu_case c;
    struct device_run run;
    struct watched w = {0};
    struct hearth_shape shape = {.rank = 1, .dims = {2}};
    int64_t data[2] = {1, 4};
    cpu_case_init(&c, 1);
    uint32_t in[2];
    in[0] = cpu_case_weight(&c, 2, (const int64_t[]){4, 3}, 1, 0);
    in[1] = ops_block_input(c.block, "i", HEARTH_I64, 1, shape.dims);
    ops_block_output(c.block,
                     ops_block_node(c.block, HEARTH_OP_GATHER, 2, in, 1));
    assert_int_equal(
        device_run_load(&run, &device, ops_block_graph(c.block), &c.weights),
        0);
    struct hearth_view view = hearth_view_dense(data, HEARTH_I64, &shape);
    run_watched(run.model, &view, &w, INT64_MAX);
    assert_int_equal(hearth_status_class(w.status), HEARTH_CLASS_CLIENT);
    assert_non_null(strstr(w.text, "(Gather)"));
    data[1] = 3;
    if (device_run_execute(&run, &view) != HEARTH_OK)
        fail_msg("%s", run.error.text);
    device_run_unload(&run);
    cpu_case_free(&c);
}

/* ---- Refusals ---- */

static int footprint_of(struct cpu_case *c, struct hearth_error *err)
{
    struct hearth_footprint fp = {.struct_bytes = sizeof fp};
    memset(err, 0, sizeof *err);
    return p->model->footprint(device.dev, ops_block_graph(c->block),
                               &c->weights, NULL, &fp, err);
}

static void a_type_that_an_operator_lacks_is_refused_by_name(void **state)
{
    (void)state;
    struct cpu_case c;
    struct hearth_error err;
    cpu_case_init(&c, 1);
    uint32_t in =
        ops_block_input(c.block, "x", HEARTH_BOOL, 1, (const int64_t[]){4});
    ops_block_output(c.block,
                     ops_block_node(c.block, HEARTH_OP_TANH, 1, &in, 1));
    assert_int_equal(footprint_of(&c, &err), HEARTH_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "node 0"));
    assert_non_null(strstr(err.text, "(Tanh)"));
    assert_non_null(strstr(err.text, "bool"));
    cpu_case_free(&c);
}

static void a_size_that_only_data_tells_is_no_reason_to_refuse(void **state)
{
    (void)state;
    struct cpu_case c;
    struct hearth_error err;
    cpu_case_init(&c, 1);
    uint32_t in[2];
    in[0] = ops_block_input(c.block, "x", HEARTH_F32, 1, (const int64_t[]){4});
    in[1] = ops_block_input(c.block, "s", HEARTH_I64, 1, (const int64_t[]){2});
    uint32_t y = ops_block_node(c.block, HEARTH_OP_RESHAPE, 2, in, 1);
    ops_block_output(c.block,
                     ops_block_node(c.block, HEARTH_OP_RELU, 1, &y, 1));
    assert_int_equal(footprint_of(&c, &err), HEARTH_OK);
    cpu_case_free(&c);
}

static void a_model_larger_than_the_device_never_fits(void **state)
{
    (void)state;
    struct cpu_case c;
    struct hearth_error err;
    cpu_case_init(&c, 1);
    uint32_t in[2];
    in[0] = ops_block_input(c.block, "x", HEARTH_F32, 1,
                            (const int64_t[]){300 << 20});
    in[1] = in[0];
    ops_block_output(c.block, ops_block_node(c.block, HEARTH_OP_ADD, 2, in, 1));
    assert_int_equal(footprint_of(&c, &err), HEARTH_ENOSPACE);
    assert_int_equal(err.status, HEARTH_ENOSPACE);
    cpu_case_free(&c);
}

/* Numbers that oneDNN's 32 bits do not hold, or only just. */
static void windows_of_any_numbers_run_or_are_refused(void **state)
{
    static const struct {
        int64_t kernel, stride, dilation, pad;
        int status;
    } cases[] = {
        {1, INT32_MAX, 1, 0, HEARTH_OK},
        {3, INT32_MAX, 1, 1, HEARTH_OK},
        {1, 1, INT32_MAX, 0, HEARTH_OK},
        {1, INT32_MAX, INT32_MAX, 0, HEARTH_OK},
        {3, 1 << 30, 2, 4, HEARTH_OK},
        {3, 1 << 30, 1, 1 << 30, HEARTH_OK},
        {2, INT32_MAX, INT32_MAX - 9, INT32_MAX, HEARTH_OK},
        {1, 1, 1, INT32_MAX, HEARTH_ENOSPACE},
        {3, 1, 1, 1 << 20, HEARTH_ENOSPACE},
    };
    static const enum hearth_op ops[] = {HEARTH_OP_CONV, HEARTH_OP_MAX_POOL,
                                         HEARTH_OP_AVERAGE_POOL};
    (void)state;
    for (size_t i = 0; i < 3 * sizeof cases / sizeof cases[0]; i++) {
        struct cpu_case c;
        struct hearth_error err;
        struct hearth_shape x = {.rank = 4, .dims = {1, 8, 5, 5}};
        enum hearth_op op = ops[i % 3];
        int64_t k = cases[i / 3].kernel, s = cases[i / 3].stride;
        int64_t d = cases[i / 3].dilation, pad = cases[i / 3].pad;
        uint32_t in[2];
        cpu_case_init(&c, 1);
        in[0] = ops_block_input(c.block, "x", HEARTH_F32, 4, x.dims);
        in[1] = cpu_case_weight(&c, 4, (const int64_t[]){8, 8, k, k}, 0.3f, 0);
        ops_block_ints(c.block, HEARTH_ATTR_KERNEL_SHAPE, 2,
                       (const int64_t[]){k, k});
        ops_block_ints(c.block, HEARTH_ATTR_STRIDES, 2,
                       (const int64_t[]){s, s});
        ops_block_ints(c.block, HEARTH_ATTR_DILATIONS, 2,
                       (const int64_t[]){d, d});
        ops_block_ints(c.block, HEARTH_ATTR_PADS, 4,
                       (const int64_t[]){pad, pad, pad, pad});
        ops_block_output(
            c.block,
            ops_block_node(c.block, op, op == HEARTH_OP_CONV ? 2 : 1, in, 1));
        int rc = footprint_of(&c, &err);
        if (rc != cases[i / 3].status)
            fail_msg("case %zu: %s %s", i, hearth_status_name(rc), err.text);
        if (rc == HEARTH_OK)
            cpu_case_check(&c, &device, &x, hearth_op_name(op));
        cpu_case_free(&c);
    }
}

/* ---- Failing half way ---- */

struct watch_load {
    int asked, stop_at;
    uint64_t done, total;
};

static void progress(void *ctx, uint64_t done, uint64_t total)
{
    struct watch_load *w = ctx;
    assert_true(done > w->done && done <= total);
    assert_true(w->total == 0 || w->total == total);
    w->done = done;
    w->total = total;
}

static bool cancelled(void *ctx)
{
    struct watch_load *w = ctx;
    return ++w->asked == w->stop_at;
}

static void a_load_may_be_given_up_at_any_weight(void **state)
{
    (void)state;
    struct cpu_case c;
    uint64_t start = used(), bytes = 0;
    int rc = HEARTH_ECANCELED;
    hearth_dev_model_t *m = NULL;
    cpu_case_init(&c, 1);
    struct watch_load w;
    struct hearth_load load = {.struct_bytes = sizeof load,
                               .graph = small_net(&c, 16),
                               .weights = &c.weights,
                               .ctx = &w,
                               .progress = progress,
                               .cancelled = cancelled};
    for (int at = 1; rc == HEARTH_ECANCELED && at < 100; at++) {
        w = (struct watch_load){.stop_at = at};
        rc = p->model->load(device.dev, NULL, &load, &m, &bytes, NULL);
        if (rc == HEARTH_ECANCELED)
            assert_int_equal(used(), start);
    }
    assert_int_equal(rc, HEARTH_OK);
    assert_true(w.asked >= 5);
    assert_true(w.done == w.total && w.done > 0);
    p->model->unload(m);
    assert_int_equal(used(), start);
    cpu_case_free(&c);
}

static void a_weight_that_cannot_be_read_ends_the_load(void **state)
{
    (void)state;
    struct cpu_case c;
    uint64_t start = used(), bytes = 0;
    int rc = HEARTH_EIO;
    hearth_dev_model_t *m = NULL;
    cpu_case_init(&c, 1);
    struct hearth_load load = {.struct_bytes = sizeof load,
                               .graph = small_net(&c, 16),
                               .weights = &c.weights};
    for (uint64_t at = 1; rc == HEARTH_EIO; at++) {
        struct hearth_error err = {0};
        assert_true(at < 100);
        c.reads = 0;
        c.fail_read = at;
        rc = p->model->load(device.dev, NULL, &load, &m, &bytes, &err);
        assert_true((rc == HEARTH_OK) == (err.text[0] == '\0'));
        if (rc != HEARTH_OK)
            assert_int_equal(used(), start);
    }
    assert_int_equal(rc, HEARTH_OK);
    assert_true(c.reads >= 5);
    p->model->unload(m);
    cpu_case_free(&c);
}

/* From the first to the last allocation of each: the n-th fails. */
static void fail_at(int64_t n, bool of_ops)
{
    if (of_ops)
        hearth__ops_fail_at(n);
    else
        cpu_fail_at(n);
}

static int load_failing(const struct hearth_load *load, int64_t n, bool of_ops)
{
    struct hearth_footprint fp = {.struct_bytes = sizeof fp};
    hearth_dev_model_t *m = NULL;
    uint64_t start = used(), bytes = 0;
    struct hearth_error err = {0};
    fail_at(n, of_ops);
    int rc = p->model->footprint(device.dev, load->graph, load->weights, NULL,
                                 &fp, &err);
    fail_at(n, of_ops);
    int load_rc = p->model->load(device.dev, NULL, load, &m, &bytes, &err);
    fail_at(0, of_ops);
    if (load_rc == HEARTH_OK)
        p->model->unload(m);
    assert_int_equal(used(), start);
    assert_true(rc == HEARTH_OK || rc == HEARTH_ENOMEM);
    assert_true(load_rc == HEARTH_OK || load_rc == HEARTH_ENOMEM);
    return rc != HEARTH_OK ? rc : load_rc;
}

static void running_out_of_memory_keeps_nothing(void **state)
{
    (void)state;
    for (int of_ops = 0; of_ops < 2; of_ops++) {
        struct cpu_case c;
        int64_t n = 1;
        cpu_case_init(&c, 1);
        const struct hearth_load load = {.struct_bytes = sizeof load,
                                         .graph = small_net(&c, 16),
                                         .weights = &c.weights};
        while (load_failing(&load, n, of_ops) != HEARTH_OK)
            assert_true(++n < 1000);
        assert_true(n > 5);
        cpu_case_free(&c);
    }
}

static void a_plan_that_finds_no_memory_leaves_the_others(void **state)
{
    (void)state;
    struct loaded l;
    loaded_init(&l, 16);
    check_batch(&l, 1);
    for (int of_ops = 0; of_ops < 2; of_ops++) {
        struct hearth_plan plan;
        uint64_t start = used();
        int rc = HEARTH_ENOMEM;
        for (int64_t n = 1; rc != HEARTH_OK; n++) {
            assert_true(n < 1000);
            fail_at(n, of_ops);
            rc = plan_of(&l, 2 + of_ops, &plan, NULL);
            fail_at(0, of_ops);
            assert_true(rc == HEARTH_OK || rc == HEARTH_ENOMEM);
            if (rc != HEARTH_OK)
                assert_int_equal(used(), start);
        }
        assert_true(has_plan(&l, 1));
        l.run.model_bytes = plan.model_bytes;
        check_batch(&l, 2 + of_ops);
    }
    /* No room within the device's limit. */
    struct hearth_plan plan;
    uint64_t limit = device.dev->limit;
    device.dev->limit = used() + 1;
    int rc = plan_of(&l, 7, &plan, NULL);
    device.dev->limit = limit;
    assert_int_equal(rc, HEARTH_ENOMEM);
    assert_false(has_plan(&l, 7));
    loaded_fini(&l);
}

/* ---- HEARTH_CAP_LOAD_BESIDE_RUN ---- */

static void *load_and_unload(void *arg)
{
    struct cpu_case c;
    int *failures = arg;
    cpu_case_init(&c, 5);
    const struct hearth_load load = {.struct_bytes = sizeof load,
                                     .graph = small_net(&c, 32),
                                     .weights = &c.weights};
    for (int i = 0; i < 30; i++) {
        hearth_dev_model_t *m = NULL;
        uint64_t bytes;
        if (p->model->load(device.dev, NULL, &load, &m, &bytes, NULL) == 0)
            p->model->unload(m);
        else
            ++*failures;
    }
    cpu_case_free(&c);
    return NULL;
}

static void a_load_beside_runs_disturbs_none(void **state)
{
    (void)state;
    struct loaded l;
    pthread_t thread;
    int failures = 0;
    uint64_t start = used();
    loaded_init(&l, 16);
    assert_int_equal(pthread_create(&thread, NULL, load_and_unload, &failures),
                     0);
    struct hearth_shape shape = batch_of(3);
    struct hearth_view in = cpu_case_input(&l.c, &shape), want;
    cpu_case_reference(&l.c, &in, &want);
    for (int i = 0; i < 60; i++) {
        struct watched w = {0};
        run_watched(l.run.model, &in, &w, INT64_MAX);
        assert_int_equal(w.status, HEARTH_OK);
        assert_memory_not_equal(w.data, (float[30]){0}, sizeof(float) * 30);
        for (int k = 0; k < 30; k++) {
            float wanted = ((const float *)want.data)[k];
            assert_float_equal(w.data[k], wanted, 1e-3f);
        }
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(failures, 0);
    free(in.data);
    free(want.data);
    p->model->unload(l.run.model);
    p->queue->destroy(l.run.queue);
    cpu_case_free(&l.c);
    assert_int_equal(used(), start);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_packed_once_for_every_batch),
        cmocka_unit_test(small_plans_are_one_threads),
        cmocka_unit_test(a_batch_of_one_hides_no_size_that_data_tell),
        cmocka_unit_test(packed_weights_are_kept_and_loaded_again),
        cmocka_unit_test(mapped_weights_are_used_where_they_lie),
        cmocka_unit_test(damaged_or_foreign_weights_are_refused),
        cmocka_unit_test(ways_are_timed_once_and_kept_with_the_weights),
        cmocka_unit_test(nothing_is_left_after_200_models),
        cmocka_unit_test(a_load_takes_no_more_than_its_footprint),
        cmocka_unit_test(eight_plans_are_kept_and_the_oldest_goes),
        cmocka_unit_test(a_wrong_shape_is_the_request_s_fault),
        cmocka_unit_test(a_deadline_ends_a_run_between_two_steps),
        cmocka_unit_test(a_run_ends_when_there_is_no_room_for_its_output),
        cmocka_unit_test(data_that_an_operator_refuses_names_the_node),
        cmocka_unit_test(a_type_that_an_operator_lacks_is_refused_by_name),
        cmocka_unit_test(a_size_that_only_data_tells_is_no_reason_to_refuse),
        cmocka_unit_test(a_model_larger_than_the_device_never_fits),
        cmocka_unit_test(windows_of_any_numbers_run_or_are_refused),
        cmocka_unit_test(a_load_may_be_given_up_at_any_weight),
        cmocka_unit_test(a_weight_that_cannot_be_read_ends_the_load),
        cmocka_unit_test(running_out_of_memory_keeps_nothing),
        cmocka_unit_test(a_plan_that_finds_no_memory_leaves_the_others),
        cmocka_unit_test(a_load_beside_runs_disturbs_none),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
