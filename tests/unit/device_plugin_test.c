/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which plugins are taken, and what is said of those that are not. Run with
 * HEARTH_PLUGIN_DIR at the built plugins; those with a defect lie in
 * tests/unit/plugins beside the test program.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "device/device.h"

static void expect_text(const struct hearth_error *err, const char *part)
{
    if (strstr(err->text, part) == NULL)
        fail_msg("'%s' is not in '%s'", part, err->text);
}

/* A copy of sim's descriptor, to break. */
static struct hearth_plugin sim(void)
{
    const struct hearth_plugin *plugin;
    struct hearth_error err = {0};
    assert_int_equal(hearth_plugin_load(NULL, "sim", &plugin, &err), 0);
    return *plugin;
}

static void a_plugin_of_this_abi_is_taken(void **state)
{
    (void)state;
    struct hearth_plugin plugin = sim();
    assert_int_equal(hearth_plugin_check(&plugin, "f", NULL), 0);
    plugin.abi_minor += 7; /* newer, with things that we do not look at */
    plugin.struct_bytes += 64;
    assert_int_equal(hearth_plugin_check(&plugin, "f", NULL), 0);
}

static void a_wrong_descriptor_is_refused_with_the_reason(void **state)
{
    (void)state;
    struct hearth_plugin plugin = sim();
    struct hearth_error err;
    plugin.magic = 0x12345678;
    assert_int_equal(hearth_plugin_check(&plugin, "f.so", &err), HEARTH_EABI);
    expect_text(&err, "f.so: magic is 12345678, not 47504c48");
    plugin = sim();
    plugin.abi_major = 2;
    assert_int_equal(hearth_plugin_check(&plugin, "f.so", &err), HEARTH_EABI);
    expect_text(&err, "built for plugin ABI 2.0, this hearth has 1.0");
    plugin = sim();
    plugin.struct_bytes = 24;
    assert_int_equal(hearth_plugin_check(&plugin, "f.so", &err), HEARTH_EABI);
    expect_text(&err, "its descriptor has 24 bytes");
    plugin = sim();
    plugin.build = NULL;
    assert_int_equal(hearth_plugin_check(&plugin, "f.so", &err), HEARTH_EABI);
    expect_text(&err, "lacks a name or build id");
    assert_int_equal(hearth_plugin_check(NULL, "f.so", &err), HEARTH_EABI);
    expect_text(&err, "gave no descriptor");
}

static void a_missing_function_is_named(void **state)
{
    (void)state;
    struct hearth_plugin plugin = sim();
    struct hearth_error err;
    struct hearth_model_calls model = *plugin.model;
    model.plan = NULL;
    plugin.model = &model;
    assert_int_equal(hearth_plugin_check(&plugin, "f", &err), HEARTH_EABI);
    expect_text(&err, "lacks model.plan of plugin ABI 1.0");
    /* The table ends before it. */
    model = *sim().model;
    model.struct_bytes = offsetof(struct hearth_model_calls, execute);
    assert_int_equal(hearth_plugin_check(&plugin, "f", &err), HEARTH_EABI);
    expect_text(&err, "lacks model.execute");
    plugin = sim();
    plugin.queue = NULL;
    assert_int_equal(hearth_plugin_check(&plugin, "f", &err), HEARTH_EABI);
    expect_text(&err, "lacks queue.create");
}

static void the_optional_functions_may_be_missing(void **state)
{
    (void)state;
    struct hearth_plugin plugin = sim();
    struct hearth_model_calls model = *plugin.model;
    model.lowered_key = NULL;
    model.struct_bytes = offsetof(struct hearth_model_calls, lowered_key);
    plugin.model = &model;
    assert_int_equal(hearth_plugin_check(&plugin, "f", NULL), 0);
}

/* Loads a plugin of tests/unit/plugins. */
static int load_bad(const char *name, struct hearth_error *err)
{
    const struct hearth_plugin *plugin;
    int rc = hearth_plugin_load(BAD_PLUGIN_DIR, name, &plugin, err);
    assert_null(plugin);
    return rc;
}

static void a_file_that_is_no_plugin_is_refused(void **state)
{
    (void)state;
    struct hearth_error err;
    assert_int_equal(load_bad("nosymbol", &err), HEARTH_EABI);
    expect_text(&err, "hearth_nosymbol.so: exports no hearth_plugin_v1");
    assert_int_equal(load_bad("nodescriptor", &err), HEARTH_EABI);
    expect_text(&err, "gave no descriptor");
    assert_int_equal(load_bad("othername", &err), HEARTH_EABI);
    expect_text(&err, "calls itself 'something'");
    assert_int_equal(load_bad("initfails", &err), HEARTH_EDEVICE);
    expect_text(&err, "no driver (35); install one");
    /* It left nothing behind: the same again. */
    assert_int_equal(load_bad("initfails", &err), HEARTH_EDEVICE);
}

static void a_file_that_is_no_library_is_refused(void **state)
{
    (void)state;
    char dir[] = "/tmp/hearth-device-XXXXXX", file[80];
    struct hearth_error err;
    const struct hearth_plugin *plugin;
    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/hearth_text.so", dir);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fputs("not a shared object\n", f);
    fclose(f);
    assert_int_equal(hearth_plugin_load(dir, "text", &plugin, &err),
                     HEARTH_EABI);
    expect_text(&err, "cannot be loaded");
    unlink(file);
    rmdir(dir);
}

static void a_plugin_that_is_not_there_is_told_with_every_place(void **state)
{
    (void)state;
    struct hearth_error err;
    const struct hearth_plugin *plugin;
    assert_int_equal(hearth_plugin_load("/a:/b", "none", &plugin, &err),
                     HEARTH_ENOENT);
    expect_text(&err, "hearth_none.so is not in /a:/b");
    assert_int_equal(hearth_plugin_load("/a", "../evil", &plugin, &err),
                     HEARTH_ECONFIG);
    assert_int_equal(hearth_plugin_load("/a", "", &plugin, &err),
                     HEARTH_ECONFIG);
}

static void a_list_of_devices_opens_all_of_them(void **state)
{
    (void)state;
    hearth_device_t **devices;
    uint32_t count;
    struct hearth_error err;
    assert_int_equal(
        hearth_devices_open(" sim:mem=64MiB,overhead=1MiB; sim:mem=32MiB  sim",
                            NULL, 0, false, &devices, &count, &err),
        0);
    assert_int_equal(count, 3);
    assert_string_equal(devices[0]->name, "sim:0");
    assert_string_equal(devices[2]->name, "sim:2");
    assert_int_equal(devices[0]->properties.bytes_total, 64 << 20);
    assert_int_equal(devices[0]->properties.bytes_free, 63 << 20);
    assert_int_equal(devices[1]->properties.bytes_total, 32 << 20);
    assert_true(hearth_device_can(devices[0], HEARTH_CAP_ASYNC_RUN));
    assert_false(hearth_device_can(devices[0], HEARTH_CAP_HOST_MEMORY));
    hearth_devices_close(&devices, count);
    assert_null(devices);
}

static void a_comma_before_a_name_begins_a_device(void **state)
{
    (void)state;
    hearth_device_t **devices;
    uint32_t count;
    struct hearth_error err;
    assert_int_equal(
        hearth_devices_open("sim:mem=64MiB,overhead=1MiB,sim:mem=32MiB,sim,"
                            "sim:overhead=2MiB,mem=8MiB",
                            NULL, 0, false, &devices, &count, &err),
        0);
    assert_int_equal(count, 4);
    assert_int_equal(devices[0]->properties.bytes_free, 63 << 20);
    assert_int_equal(devices[1]->properties.bytes_total, 32 << 20);
    assert_int_equal(devices[3]->properties.bytes_total, 8 << 20);
    hearth_devices_close(&devices, count);
}

static void a_bad_list_opens_none(void **state)
{
    (void)state;
    uint64_t start = hearth_mem_used_bytes();
    hearth_device_t **devices;
    uint32_t count;
    struct hearth_error err;
    const struct {
        const char *list;
        int status;
        const char *text;
    } cases[] = {
        {"", HEARTH_ECONFIG, "the list of devices is empty"},
        {" ; ", HEARTH_ECONFIG, "the list of devices is empty"},
        {"sim nosuch", HEARTH_ENOENT, "no plugin 'nosuch'"},
        {"sim sim:mme=1", HEARTH_ECONFIG,
         "device sim: sim: 'mme=1': no such key"},
        {"sim:mem=x", HEARTH_ECONFIG, "'mem=x': no such value"},
        {"sim:mem", HEARTH_ECONFIG, "no such key"},
        {"sim:mem=1,overhead=2", HEARTH_ECONFIG, "overhead is more than mem"},
        {"sim:fail=load:0:AGAIN", HEARTH_ECONFIG, "no such value"},
        {"sim:fail=load", HEARTH_ECONFIG, "no such value"},
        {"sim:fail=load:1:MAYBE", HEARTH_ECONFIG, "no such value"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(hearth_devices_open(cases[i].list, NULL, 0, false,
                                             &devices, &count, &err),
                         cases[i].status);
        expect_text(&err, cases[i].text);
        assert_null(devices);
        assert_int_equal(count, 0);
    }
    assert_int_equal(hearth_mem_used_bytes(), start);
}

static void running_out_of_memory_opens_none(void **state)
{
    (void)state;
    uint64_t start = hearth_mem_used_bytes();
    hearth_device_t **devices;
    uint32_t count;
    for (int n = 1; n <= 3; n++) {
        hearth_mem_fail_at(n, false);
        assert_int_equal(hearth_devices_open("sim sim", NULL, 0, false,
                                             &devices, &count, NULL),
                         HEARTH_ENOMEM);
        hearth_mem_fail_at(0, false);
        assert_null(devices);
        assert_int_equal(hearth_mem_used_bytes(), start);
    }
}

static void a_lost_device_stays_lost_and_tells_the_first_reason(void **state)
{
    (void)state;
    hearth_device_t **devices;
    uint32_t count;
    struct hearth_error first, second;
    hearth_fail(&first, HEARTH_EDEVICE, "first");
    hearth_fail(&second, HEARTH_EDEVICE, "second");
    assert_int_equal(
        hearth_devices_open("sim sim", NULL, 0, false, &devices, &count, NULL),
        0);
    assert_int_equal(hearth_device_note(devices[0], HEARTH_ENOMEM, NULL),
                     HEARTH_ENOMEM);
    assert_false(hearth_device_is_lost(devices[0]));
    assert_int_equal(hearth_device_note(devices[0], HEARTH_EDEVICE, &first),
                     HEARTH_EDEVICE);
    hearth_device_note(devices[0], HEARTH_EDEVICE, &second);
    hearth_device_note(devices[0], HEARTH_OK, NULL);
    assert_true(hearth_device_is_lost(devices[0]));
    assert_string_equal(hearth_device_lost_error(devices[0])->text, "first");
    assert_false(hearth_device_is_lost(devices[1]));
    hearth_devices_close(&devices, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plugin_of_this_abi_is_taken),
        cmocka_unit_test(a_wrong_descriptor_is_refused_with_the_reason),
        cmocka_unit_test(a_missing_function_is_named),
        cmocka_unit_test(the_optional_functions_may_be_missing),
        cmocka_unit_test(a_file_that_is_no_plugin_is_refused),
        cmocka_unit_test(a_file_that_is_no_library_is_refused),
        cmocka_unit_test(a_plugin_that_is_not_there_is_told_with_every_place),
        cmocka_unit_test(a_list_of_devices_opens_all_of_them),
        cmocka_unit_test(a_comma_before_a_name_begins_a_device),
        cmocka_unit_test(a_bad_list_opens_none),
        cmocka_unit_test(running_out_of_memory_opens_none),
        cmocka_unit_test(a_lost_device_stays_lost_and_tells_the_first_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
