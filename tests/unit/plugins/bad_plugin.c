/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bad_plugin.c: plugins with one defect each, chosen by DEFECT at compile time;
 * tests/unit/device_plugin_test.c loads them.
 */
#include "hearth_plugin.h"

#define NO_SYMBOL 1
#define NO_DESCRIPTOR 2
#define OTHER_NAME 3
#define INIT_FAILS 4

#if DEFECT == NO_SYMBOL
int hearth_nothing(void);
__attribute__((visibility("default"))) int hearth_nothing(void)
{
    return 0;
}
#else

static int init(const struct hearth_host *host, struct hearth_error *err)
{
    (void)host;
    return hearth_fail(err, HEARTH_EDEVICE, "no driver (35); install one");
}

/* Never reached: nothing is asked of a plugin whose init failed. */
static void never(void)
{
    __builtin_trap();
}
#define NEVER(type, member) .member = (__typeof__(((type *)0)->member))never

__attribute__((visibility("default"))) const struct hearth_plugin *
hearth_plugin_v1(void)
{
    static const struct hearth_plugin_calls plugin_calls = {
        .struct_bytes = sizeof plugin_calls,
        .init = init,
        NEVER(struct hearth_plugin_calls, probe),
        NEVER(struct hearth_plugin_calls, open),
        NEVER(struct hearth_plugin_calls, close),
    };
    static const struct hearth_device_calls device_calls = {
        .struct_bytes = sizeof device_calls,
        NEVER(struct hearth_device_calls, properties),
        NEVER(struct hearth_device_calls, health),
    };
    static const struct hearth_memory_calls memory_calls = {
        .struct_bytes = sizeof memory_calls,
        NEVER(struct hearth_memory_calls, alloc),
        NEVER(struct hearth_memory_calls, free),
        NEVER(struct hearth_memory_calls, host_alloc),
        NEVER(struct hearth_memory_calls, host_free),
        NEVER(struct hearth_memory_calls, used_bytes),
    };
    static const struct hearth_queue_calls queue_calls = {
        .struct_bytes = sizeof queue_calls,
        NEVER(struct hearth_queue_calls, create),
        NEVER(struct hearth_queue_calls, destroy),
        NEVER(struct hearth_queue_calls, copy),
        NEVER(struct hearth_queue_calls, fill),
        NEVER(struct hearth_queue_calls, event_create),
        NEVER(struct hearth_queue_calls, event_destroy),
        NEVER(struct hearth_queue_calls, event_record),
        NEVER(struct hearth_queue_calls, event_wait),
        NEVER(struct hearth_queue_calls, event_query),
        NEVER(struct hearth_queue_calls, poll),
        NEVER(struct hearth_queue_calls, synchronise),
    };
    static const struct hearth_model_calls model_calls = {
        .struct_bytes = sizeof model_calls,
        NEVER(struct hearth_model_calls, footprint),
        NEVER(struct hearth_model_calls, load),
        NEVER(struct hearth_model_calls, unload),
        NEVER(struct hearth_model_calls, plan),
        NEVER(struct hearth_model_calls, execute),
    };
    static const struct hearth_plugin plugin = {
        .magic = HEARTH_PLUGIN_MAGIC,
        .abi_major = HEARTH_PLUGIN_ABI_MAJOR,
        .abi_minor = HEARTH_PLUGIN_ABI_MINOR,
        .struct_bytes = sizeof plugin,
        .build = "test",
        .name = DEFECT == OTHER_NAME ? "something" : "initfails",
        .plugin = &plugin_calls,
        .device = &device_calls,
        .memory = &memory_calls,
        .queue = &queue_calls,
        .model = &model_calls,
    };
    return DEFECT == NO_DESCRIPTOR ? NULL : &plugin;
}
#endif
