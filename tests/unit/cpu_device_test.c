/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPU as a device: its spec, its cores, its memory to the byte, and a queue
 * on which everything is over at once.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* sched_getaffinity */
#endif
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cpu.h"
#include "unit/cpu_case.h"

static int allowed_cores(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    return CPU_COUNT(&set);
}

static int first_core(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &set))
            return i;
    return -1;
}

static struct hearth_device_properties properties(const hearth_device_t *d)
{
    struct hearth_device_properties p = {.struct_bytes = sizeof p};
    assert_int_equal(d->plugin->device->properties(d->dev, &p, NULL), 0);
    return p;
}

/* All that are allowed, but no more than a container's share of time. */
static bool is_all(uint32_t units)
{
    char text[64] = "";
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (f != NULL && fgets(text, sizeof text, f) == NULL)
        text[0] = '\0';
    if (f != NULL)
        fclose(f);
    int quota = cpu_quota_cores(text), cores = allowed_cores();
    return units == (uint32_t)(quota < cores ? quota : cores);
}

static void a_container_s_share_is_rounded_up_to_cores(void **state)
{
    static const struct {
        const char *text;
        int cores;
    } cases[] = {
        {"50000 100000", 1},  {"100000 100000\n", 1},
        {"100001 100000", 2}, {"250000 100000", 3},
        {"max 100000", 1024}, {"-1 100000", 1024},
        {"0 100000", 1024},   {"1 0", 1024},
        {"", 1024},           {"100000", 1024},
        {"nonsense", 1024},   {"9223372036854775807 1", 1024},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(cpu_quota_cores(cases[i].text), cases[i].cores);
}

static void no_spec_takes_every_allowed_core(void **state)
{
    (void)state;
    hearth_device_t d;
    cpu_open(&d, "");
    struct hearth_device_properties p = properties(&d);
    assert_true(is_all(p.units));
    assert_int_equal(p.alignment, 64);
    assert_true(p.caps & HEARTH_CAP_HOST_MEMORY);
    assert_false(p.caps & HEARTH_CAP_ASYNC_RUN);
    assert_true(p.bytes_total >= p.bytes_free);
    assert_int_equal(p.overhead_bytes, d.plugin->memory->used_bytes(d.dev));
    assert_string_not_equal(p.name, "");
    assert_string_not_equal(p.arch, "");
    assert_int_equal(d.plugin->device->health(d.dev, NULL), 0);
    cpu_close(&d);
}

static void a_spec_names_cores_and_memory(void **state)
{
    (void)state;
    hearth_device_t d;
    char spec[64];
    int core = first_core();
    snprintf(spec, sizeof spec, "%d,%d-%d,mem=64MiB", core, core, core);
    cpu_open(&d, spec);
    assert_int_equal(properties(&d).units, 1);
    assert_int_equal(properties(&d).bytes_total, 64 << 20);
    cpu_close(&d);
    cpu_open(&d, "mem=70000000");
    assert_int_equal(properties(&d).bytes_total, 70000000);
    assert_true(is_all(properties(&d).units));
    cpu_close(&d);
}

static void a_bad_spec_is_refused_with_the_word(void **state)
{
    static const char *const specs[][2] = {
        {"x", "'x'"},
        {"1-", "'1-'"},
        {"1-0", "'1-0'"},
        {"-1", "'-1'"},
        {"0 ", "'0 '"},
        {"0,,0", "''"},
        {"1024", "'1024'"},
        {"99999999999999999999", "'99999999999999999999'"},
        {"1023", "core 1023 is not there"},
        {"mem=", "'mem='"},
        {"mem=0", "'mem=0'"},
        {"mem=-1", "'mem=-1'"},
        {"mem=1KB5", "'mem=1KB5'"},
        {"mem=99999999999GiB", "'mem=99999999999GiB'"},
        {"mem=99999999999999999999999", "'mem=9999"},
        {"threads=2", "'threads=2'"},
        {"winograd=", "'winograd='"},
        {"winograd=1", "'winograd=1'"},
        {"chains=no", "'chains=no'"},
        {"profile=yes", "'profile=yes'"},
        {"0123456789012345678901234567890123456789012345678901234567890123456",
         "'0123456789"},
    };
    hearth_device_t d;
    (void)state;
    cpu_open(&d, "");
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        struct hearth_error err = {0};
        hearth_dev_t *dev = NULL;
        const struct hearth_open_config config = {.struct_bytes = sizeof config,
                                                  .spec = specs[i][0]};
        assert_int_equal(d.plugin->plugin->open(&config, &dev, &err),
                         HEARTH_ECONFIG);
        assert_int_equal(err.status, HEARTH_ECONFIG);
        if (strstr(err.text, specs[i][1]) == NULL)
            fail_msg("%s: %s", specs[i][0], err.text);
        assert_null(dev);
    }
    cpu_close(&d);
}

static void the_lower_of_two_memory_limits_holds(void **state)
{
    (void)state;
    hearth_device_t d;
    hearth_dev_t *dev;
    cpu_open(&d, "");
    struct hearth_open_config config = {.struct_bytes = sizeof config,
                                        .spec = "mem=64MiB",
                                        .memory_limit = 32 << 20};
    for (int i = 0; i < 2; i++) {
        struct hearth_device_properties p = {.struct_bytes = sizeof p};
        assert_int_equal(d.plugin->plugin->open(&config, &dev, NULL), 0);
        assert_int_equal(d.plugin->device->properties(dev, &p, NULL), 0);
        assert_int_equal(p.bytes_total, (i == 0 ? 32 : 64) << 20);
        d.plugin->plugin->close(dev);
        config.memory_limit = 128 << 20;
    }
    cpu_close(&d);
}

static void memory_is_aligned_and_counted_to_the_byte(void **state)
{
    static const uint64_t sizes[] = {1, 63, 64, 4097, 1 << 20, (3 << 20) + 1};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    void *at[COUNT];
    hearth_device_t d;
    (void)state;
    cpu_open(&d, "mem=64MiB");
    const struct hearth_memory_calls *m = d.plugin->memory;
    uint64_t start = m->used_bytes(d.dev), sum = start;
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(m->alloc(d.dev, sizes[i], &at[i], NULL), 0);
        assert_int_equal((uintptr_t)at[i] % 64, 0);
        memset(at[i], 1, sizes[i]);
        sum += sizes[i];
        assert_int_equal(m->used_bytes(d.dev), sum);
    }
    for (int i = 0; i < COUNT; i++)
        m->free(d.dev, at[i], sizes[i]);
    assert_int_equal(m->used_bytes(d.dev), start);
    assert_int_equal(properties(&d).bytes_free, (64 << 20) - start);
    cpu_close(&d);
}

static void no_more_is_given_than_the_limit(void **state)
{
    static const uint64_t sizes[] = {64 << 20, UINT64_MAX, UINT64_MAX - 4096,
                                     INT64_MAX};
    hearth_device_t d;
    void *ptr;
    (void)state;
    cpu_open(&d, "mem=64MiB");
    const struct hearth_memory_calls *m = d.plugin->memory;
    uint64_t start = m->used_bytes(d.dev);
    uint64_t rest = (64 << 20) - start;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct hearth_error err = {0};
        uint64_t bytes = i == 0 ? rest + 1 : sizes[i];
        assert_int_equal(m->alloc(d.dev, bytes, &ptr, &err), HEARTH_ENOMEM);
        assert_non_null(strstr(err.text, "evict"));
        assert_int_equal(m->used_bytes(d.dev), start);
    }
    assert_int_equal(m->alloc(d.dev, rest, &ptr, NULL), 0);
    m->free(d.dev, ptr, rest);
    cpu_close(&d);
}

static void running_out_of_memory_takes_nothing(void **state)
{
    hearth_device_t d;
    hearth_queue_t *queue;
    hearth_event_t *event;
    void *ptr;
    (void)state;
    cpu_open(&d, "");
    uint64_t start = d.plugin->memory->used_bytes(d.dev);
    cpu_fail_at(1);
    assert_int_equal(d.plugin->memory->alloc(d.dev, 8, &ptr, NULL),
                     HEARTH_ENOMEM);
    assert_int_equal(d.plugin->memory->host_alloc(d.dev, 8, &ptr, NULL),
                     HEARTH_ENOMEM);
    assert_int_equal(
        d.plugin->queue->create(d.dev, HEARTH_QUEUE_RUN, &queue, NULL),
        HEARTH_ENOMEM);
    assert_int_equal(d.plugin->queue->event_create(d.dev, &event, NULL),
                     HEARTH_ENOMEM);
    cpu_fail_at(0);
    assert_int_equal(d.plugin->memory->used_bytes(d.dev), start);
    cpu_close(&d);
}

static void a_queue_s_work_is_over_at_once(void **state)
{
    hearth_device_t d;
    hearth_queue_t *queue;
    hearth_event_t *event;
    int64_t next = 0;
    char a[8] = "1234567", b[8] = "";
    (void)state;
    cpu_open(&d, "");
    const struct hearth_queue_calls *q = d.plugin->queue;
    assert_int_equal(q->create(d.dev, HEARTH_QUEUE_COPY, &queue, NULL), 0);
    assert_int_equal(q->event_create(d.dev, &event, NULL), 0);
    assert_int_equal(
        q->copy(queue, b, a, sizeof a, HEARTH_COPY_TO_DEVICE, NULL), 0);
    assert_string_equal(b, a);
    assert_int_equal(q->fill(queue, b, 'x', 3, NULL), 0);
    assert_string_equal(b, "xxx4567");
    assert_int_equal(q->event_record(queue, event, NULL), 0);
    assert_int_equal(q->event_wait(queue, event, NULL), 0);
    assert_int_equal(q->event_query(event, NULL), 0);
    assert_int_equal(q->poll(queue, &next, NULL), 0);
    assert_true(next == INT64_MAX);
    assert_int_equal(q->synchronise(queue, 0, NULL), 0);
    q->event_destroy(event);
    q->destroy(queue);
    cpu_close(&d);
}

static void a_thread_moves_between_devices_with_its_cores(void **state)
{
    hearth_device_t one, all;
    char spec[16];
    (void)state;
    snprintf(spec, sizeof spec, "%d", first_core());
    cpu_open(&one, spec);
    cpu_open(&all, "");
    int cores = allowed_cores();
    cpu_bind_thread(one.dev);
    assert_int_equal(allowed_cores(), 1);
    /* A device that is opened now still sees the process's cores. */
    hearth_device_t later;
    cpu_open(&later, "");
    assert_int_equal(properties(&later).units, properties(&all).units);
    cpu_bind_thread(all.dev);
    assert_int_equal(allowed_cores(), cores);
    cpu_close(&later);
    cpu_close(&one);
    cpu_close(&all);
}

static void the_probe_says_what_it_is(void **state)
{
    hearth_device_t d;
    struct hearth_probe probe = {.struct_bytes = sizeof probe};
    (void)state;
    cpu_open(&d, "");
    assert_int_equal(d.plugin->plugin->probe(&probe, NULL), 0);
    assert_int_equal(probe.device_count, 1);
    assert_true(probe.score > 0);
    assert_non_null(strstr(probe.sentence, "oneDNN"));
    assert_int_equal(hearth_plugin_check(d.plugin, "cpu", NULL), 0);
    cpu_close(&d);
}

static void a_profile_tells_which_node_took_the_time(void **state)
{
    hearth_device_t d;
    struct cpu_case c;
    struct hearth_shape x = {.rank = 2, .dims = {2, 3}};
    (void)state;
    cpu_open(&d, "profile=on");
    cpu_case_init(&c, 1);
    uint32_t in = ops_block_input(c.block, "x", HEARTH_F32, 2, x.dims);
    ops_block_output(c.block,
                     ops_block_node(c.block, HEARTH_OP_TANH, 1, &in, 1));
    cpu_log[0] = '\0';
    cpu_tick_us = 7;
    cpu_case_check(&c, &d, &x, "tanh");
    cpu_tick_us = 0;
    assert_non_null(strstr(cpu_log, "7.0 us 100.0% node 0"));
    assert_non_null(strstr(cpu_log, "7.0 us 100.0% in 1 steps of Tanh"));
    cpu_case_free(&c);
    cpu_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_container_s_share_is_rounded_up_to_cores),
        cmocka_unit_test(no_spec_takes_every_allowed_core),
        cmocka_unit_test(a_spec_names_cores_and_memory),
        cmocka_unit_test(a_bad_spec_is_refused_with_the_word),
        cmocka_unit_test(the_lower_of_two_memory_limits_holds),
        cmocka_unit_test(memory_is_aligned_and_counted_to_the_byte),
        cmocka_unit_test(no_more_is_given_than_the_limit),
        cmocka_unit_test(running_out_of_memory_takes_nothing),
        cmocka_unit_test(a_queue_s_work_is_over_at_once),
        cmocka_unit_test(a_thread_moves_between_devices_with_its_cores),
        cmocka_unit_test(the_probe_says_what_it_is),
        cmocka_unit_test(a_profile_tells_which_node_took_the_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
