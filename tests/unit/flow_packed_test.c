/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine with a directory for packs: the next engine's first load comes out
 * of it and answers the same; without a usable one everything goes on, with a
 * warning. Waits for ends, not for times.
 */
#include <dirent.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "flow_fixture.h"
#include "hearth.h"

static struct flow_fixture fixture;
static char packs[64];
static int warnings; /* atomic */
static const char body[] = "[[3, -4]]";

static void on_log(void *ctx, int level, const char *line)
{
    (void)ctx;
    (void)level;
    if (strstr(line, "HEARTH0031") != NULL)
        __atomic_add_fetch(&warnings, 1, __ATOMIC_SEQ_CST);
}

static int set_up(void **state)
{
    (void)state;
    warnings = 0;
    flow_fixture_make(&fixture, "packed", 512, "");
    snprintf(packs, sizeof(packs), "/tmp/hearth-flow-packed-XXXXXX");
    return mkdtemp(packs) ? 0 : -1;
}

static int tear_down(void **state)
{
    char path[400];
    DIR *dir = opendir(packs);

    (void)state;
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        snprintf(path, sizeof(path), "%s/%s", packs, e->d_name);
        (void)unlink(path);
    }
    closedir(dir);
    flow_fixture_remove(&fixture);
    return rmdir(packs);
}

/* What the metrics say behind <name>; -1: nothing. */
static long metric(hearth_engine_t *engine, const char *name)
{
    char *text;
    long value = -1;

    assert_int_equal(hearth_engine_metrics(engine, &text), HEARTH_OK);
    const char *at = strstr(text, name);
    if (at)
        value = strtol(at + strlen(name), NULL, 10);
    hearth_text_free(text);
    return value;
}

static void answer_is_right(hearth_service_t *service)
{
    struct hearth_call_spec spec;
    struct hearth_answer *answer;

    hearth_call_spec_init(&spec);
    spec.body = body;
    spec.body_bytes = sizeof(body) - 1;
    assert_int_equal(hearth_service_wait_ready(service, -1, NULL), HEARTH_OK);
    assert_int_equal(hearth_infer(service, &spec, &answer), HEARTH_OK);
    assert_int_equal(answer->status, HEARTH_OK);
    hearth_answer_free(&answer);
}

/* An engine's life; <written>: until so many packs are. */
static void live(const char *dir, uint64_t bytes, long written,
                 long packed_loads)
{
    struct hearth_engine_config config;
    struct hearth_error err = {0};
    hearth_engine_t *engine;
    hearth_service_t *service;

    hearth_engine_config_init(&config);
    config.devices = "cpu:0";
    config.log = on_log;
    config.pack_dir = dir;
    config.pack_bytes = bytes;
    if (hearth_engine_create(&engine, &config, &err) != HEARTH_OK ||
        hearth_service_open(&service, engine, fixture.yaml, NULL, &err) !=
            HEARTH_OK)
        fail_msg("%s", err.text);
    answer_is_right(service);
    while (metric(engine, "hearth_packs_total{what=\"written\"} ") < written &&
           metric(engine, "hearth_packs_total{what=\"failed\"} ") == 0)
        sched_yield();
    assert_int_equal(metric(engine,
                            "hearth_device_loads_total{device=\"cpu:0\","
                            "what=\"packed\"} "),
                     packed_loads);
    assert_true(metric(engine, "hearth_pack_bytes ") <=
                metric(engine, "hearth_pack_limit_bytes "));
    hearth_service_close(&service);
    hearth_engine_destroy(&engine);
}

static void the_next_engine_loads_what_the_first_has_packed(void **state)
{
    (void)state;
    live(packs, 0, 2, 0);
    live(packs, 0, 0, 1);
    assert_int_equal(warnings, 0);
    live(NULL, 0, 0, 0);
}

static void without_a_directory_everything_goes_on(void **state)
{
    (void)state;
    live("/dev/null/packs", 0, 0, 0);
    assert_int_equal(warnings, 1);
    live(packs, 4096, 0, 0); /* no room for anything */
    live(packs, 4096, 0, 0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test_setup_teardown(
            the_next_engine_loads_what_the_first_has_packed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_directory_everything_goes_on,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests_name("flow_packed", cases, NULL, NULL);
}
