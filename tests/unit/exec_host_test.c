/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of weights in host memory: what is found in them, who goes, what is
 * left after a failure, many loads at once. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "exec/host.h"
#include "unit/ops_block.h"

#define COPIES 6
#define BYTES 4096 /* of each of a model's two weights */

/* Byte <offset> of segment <s> of source <n> is n + 3 s + offset / 64. */
struct source {
    struct hearth_weights weights;
    struct ops_block *block;
    const struct hearth_graph *graph;
    struct hearth_host_copy copy;
    int number, reads, fail_at; /* atomic; [0: never] the read that fails */
};

static struct source sources[COPIES];
static hearth_host_tier_t *host;
static hearth_device_t **devices;
static uint32_t device_count;
static int give_up;

static unsigned char byte_of(int number, uint32_t segment, uint64_t offset)
{
    return (unsigned char)((uint64_t)number + 3 * segment + offset / 64);
}

static int source_read(void *ctx, uint32_t segment, uint64_t offset,
                       uint64_t bytes, void *dst, struct hearth_error *err)
{
    struct source *s = ctx;
    int n = __atomic_add_fetch(&s->reads, 1, __ATOMIC_SEQ_CST);
    if (n == s->fail_at)
        return hearth_fail(err, HEARTH_EIO, "the file changed");
    for (uint64_t i = 0; i < bytes; i++)
        ((unsigned char *)dst)[i] = byte_of(s->number, segment, offset + i);
    return HEARTH_OK;
}

static int source_map(void *ctx, uint32_t segment, uint64_t offset,
                      uint64_t bytes, const void **data,
                      struct hearth_error *err)
{
    (void)ctx;
    (void)segment;
    (void)offset;
    (void)bytes;
    *data = NULL;
    return hearth_fail(err, HEARTH_EIO, "only what is no weight");
}

static bool cancelled(void *ctx)
{
    (void)ctx;
    return give_up != 0;
}

static void start(const char *list, uint64_t limit)
{
    struct hearth_error err = {0};
    hearth_device_host_set(NULL);
    assert_int_equal(hearth_devices_open(list, NULL, 0, false, &devices,
                                         &device_count, &err),
                     0);
    assert_int_equal(hearth_host_create(&host, limit), 0);
    for (int i = 0; i < COPIES; i++) {
        struct source *s = &sources[i];
        memset(s, 0, sizeof *s);
        s->number = i;
        s->weights = (struct hearth_weights){.struct_bytes = sizeof s->weights,
                                             .ctx = s,
                                             .map = source_map,
                                             .read = source_read};
        s->block = ops_block_new();
        const int64_t all[] = {BYTES / 4}, half[] = {BYTES / 8};
        uint32_t x = ops_block_input(s->block, "x", HEARTH_F32, 1, all);
        uint32_t a = ops_block_weight(s->block, HEARTH_F32, 1, all, 0);
        uint32_t b = ops_block_weight(s->block, HEARTH_F32, 1, all, 10000);
        /* The second half of <b> again: it is stored once. */
        uint32_t c =
            ops_block_weight(s->block, HEARTH_F32, 1, half, 10000 + BYTES / 2);
        uint32_t y = ops_block_node(s->block, HEARTH_OP_ADD, 2,
                                    (const uint32_t[]){x, a}, 1);
        y = ops_block_node(s->block, HEARTH_OP_ADD, 2, (const uint32_t[]){y, b},
                           1);
        ops_block_output(s->block, ops_block_node(s->block, HEARTH_OP_CONCAT, 2,
                                                  (const uint32_t[]){y, c}, 1));
        s->graph = ops_block_graph(s->block);
        hearth_host_copy_init(&s->copy, host, s->graph, &s->weights);
    }
}

static void stop(void)
{
    for (int i = 0; i < COPIES; i++) {
        hearth_host_forget(&sources[i].copy);
        ops_block_free(sources[i].block);
    }
    hearth_host_destroy(&host);
    assert_null(host);
    hearth_devices_close(&devices, device_count);
}

static int acquire(int i, const struct hearth_weights **w,
                   enum hearth_tier *tier)
{
    struct hearth_error err = {0};
    int rc = hearth_host_acquire(&sources[i].copy, devices[0], cancelled, NULL,
                                 w, tier, &err);
    if (rc != HEARTH_OK)
        assert_string_not_equal(err.text, "");
    return rc;
}

/* As a plugin reads: wholes, parts, mapped. */
static void check(int i, const struct hearth_weights *w)
{
    static const struct {
        uint64_t offset, bytes;
    } asked[] = {{0, BYTES},
                 {10000, BYTES},
                 {10000 + BYTES / 2, BYTES / 2},
                 {64, 100},
                 {10000 + BYTES - 1, 1}};
    unsigned char got[BYTES];
    const void *data;
    for (size_t k = 0; k < sizeof asked / sizeof *asked; k++) {
        assert_int_equal(
            w->read(w->ctx, 0, asked[k].offset, asked[k].bytes, got, NULL), 0);
        for (uint64_t b = 0; b < asked[k].bytes; b++)
            assert_int_equal(got[b], byte_of(i, 0, asked[k].offset + b));
        if (w == &sources[i].weights)
            continue;
        assert_int_equal(
            w->map(w->ctx, 0, asked[k].offset, asked[k].bytes, &data, NULL), 0);
        assert_memory_equal(data, got, asked[k].bytes);
    }
}

static void load(int i, enum hearth_tier expected)
{
    const struct hearth_weights *w;
    enum hearth_tier tier;
    assert_int_equal(acquire(i, &w, &tier), 0);
    assert_int_equal(tier, expected);
    check(i, w);
    hearth_host_release(&sources[i].copy, w);
}

static struct hearth_host_report report(void)
{
    struct hearth_host_report r;
    hearth_host_report(host, &r);
    return r;
}

/* ---- The cases ---- */

static void the_second_load_reads_no_disk(void **state)
{
    (void)state;
    start("sim:mem=1MiB", 1 << 20);
    load(0, HEARTH_TIER_DISK);
    assert_int_equal(sources[0].reads, 2); /* two weights; the third is in b */
    assert_int_equal(report().bytes, 2 * BYTES);
    load(0, HEARTH_TIER_HOST);
    assert_int_equal(sources[0].reads, 2);
    /* What is no weight is the source's. */
    const struct hearth_weights *w;
    enum hearth_tier tier;
    unsigned char got[8];
    const void *data;
    assert_int_equal(acquire(0, &w, &tier), 0);
    assert_int_equal(w->read(w->ctx, 0, BYTES - 4, 8, got, NULL), 0);
    assert_int_equal(w->read(w->ctx, 1, 0, 8, got, NULL), 0);
    assert_int_equal(got[0], byte_of(0, 1, 0));
    assert_int_equal(sources[0].reads, 4);
    assert_int_equal(w->map(w->ctx, 0, UINT64_MAX, 8, &data, NULL), HEARTH_EIO);
    hearth_host_release(&sources[0].copy, w);
    stop();
}

static void the_oldest_goes_but_none_that_is_read(void **state)
{
    (void)state;
    const struct hearth_weights *w[3];
    enum hearth_tier tier;
    start("sim:mem=1MiB", 3 * 2 * BYTES + 100);
    for (int i = 0; i < 3; i++)
        load(i, HEARTH_TIER_DISK);
    hearth_host_touch(&sources[0].copy); /* evicted from a device just now */
    load(3, HEARTH_TIER_DISK);
    assert_int_equal(report().evictions, 1);
    assert_int_equal(sources[1].copy.here, 0);
    load(0, HEARTH_TIER_HOST);
    load(2, HEARTH_TIER_HOST);
    load(3, HEARTH_TIER_HOST);
    assert_int_equal(acquire(0, &w[0], &tier), 0);
    assert_int_equal(acquire(2, &w[1], &tier), 0);
    assert_int_equal(acquire(3, &w[2], &tier), 0);
    load(1, HEARTH_TIER_DISK); /* from the source: nobody may go */
    load(1, HEARTH_TIER_DISK);
    assert_int_equal(report().evictions, 1);
    hearth_host_release(&sources[2].copy, w[1]);
    load(1, HEARTH_TIER_DISK);
    load(1, HEARTH_TIER_HOST);
    assert_int_equal(sources[2].copy.here, 0);
    hearth_host_release(&sources[0].copy, w[0]);
    hearth_host_release(&sources[3].copy, w[2]);
    stop();
    /* One that is larger than the budget drives nobody out. */
    start("sim:mem=1MiB", 2 * BYTES - 1);
    load(0, HEARTH_TIER_DISK);
    load(0, HEARTH_TIER_DISK);
    assert_int_equal(report().bytes, 0);
    stop();
}

static void a_device_in_host_memory_and_a_budget_of_none_want_no_copy(void **s)
{
    (void)s;
    start("sim:mem=1MiB,host=1", 1 << 20);
    load(0, HEARTH_TIER_DISK);
    load(0, HEARTH_TIER_DISK);
    assert_int_equal(report().misses, 0);
    stop();
    start("sim:mem=1MiB", 0);
    load(0, HEARTH_TIER_DISK);
    load(0, HEARTH_TIER_DISK);
    assert_int_equal(report().copies, 0);
    stop();
}

static void a_failure_leaves_nothing(void **state)
{
    (void)state;
    const struct hearth_weights *w;
    enum hearth_tier tier;
    start("sim:mem=1MiB", 1 << 20);
    sources[0].fail_at = 2;
    assert_int_equal(acquire(0, &w, &tier), HEARTH_EIO);
    give_up = 1;
    assert_int_equal(acquire(1, &w, &tier), HEARTH_ECANCELED);
    give_up = 0;
    assert_int_equal(report().bytes, 0);
    for (int at = 1; at <= 2; at++) { /* then it is loaded without a copy */
        hearth_mem_fail_at(at, false);
        assert_int_equal(acquire(2, &w, &tier), 0);
        hearth_mem_fail_at(0, false);
        hearth_host_release(&sources[2].copy, w);
    }
    load(0, HEARTH_TIER_DISK);
    load(0, HEARTH_TIER_HOST);
    stop();
}

static void *many_loads(void *ctx)
{
    unsigned seed = (unsigned)(uintptr_t)ctx;
    for (int k = 0; k < 500; k++) {
        int i = (int)(seed = seed * 1103515245 + 12345) / 65536 % COPIES;
        const struct hearth_weights *w;
        enum hearth_tier tier;
        struct hearth_error err;
        i = i < 0 ? -i : i;
        if (hearth_host_acquire(&sources[i].copy, devices[0], cancelled, NULL,
                                &w, &tier, &err) != HEARTH_OK)
            return ctx;
        unsigned char got[128];
        if (w->read(w->ctx, 0, 10000 + 640, sizeof got, got, NULL) != 0 ||
            got[0] != byte_of(i, 0, 10640) || got[127] != byte_of(i, 0, 10767))
            return ctx;
        hearth_host_release(&sources[i].copy, w);
        if (k % 7 == 0)
            hearth_host_touch(&sources[i].copy);
    }
    return NULL;
}

static void many_loads_at_once_read_what_is_theirs(void **state)
{
    (void)state;
    pthread_t threads[8];
    start("sim:mem=1MiB", 3 * 2 * BYTES);
    for (uintptr_t t = 0; t < 8; t++)
        assert_int_equal(
            pthread_create(&threads[t], NULL, many_loads, (void *)(t + 1)), 0);
    for (int t = 0; t < 8; t++) {
        void *failed;
        pthread_join(threads[t], &failed);
        assert_null(failed);
    }
    struct hearth_host_report r = report();
    assert_int_equal(r.hits + r.misses, 8 * 500);
    assert_true(r.bytes == r.copies * 2 * BYTES && r.copies <= 3);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_load_reads_no_disk),
        cmocka_unit_test(the_oldest_goes_but_none_that_is_read),
        cmocka_unit_test(
            a_device_in_host_memory_and_a_budget_of_none_want_no_copy),
        cmocka_unit_test(a_failure_leaves_nothing),
        cmocka_unit_test(many_loads_at_once_read_what_is_theirs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
