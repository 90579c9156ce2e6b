/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device.h: finds plugins, checks them against our ABI, opens devices, and
 * remembers which of them are lost. Does not schedule and does not count bytes.
 *
 * Plugins are the process's: each is loaded and initialised once and never
 * unloaded. hearth_devices_open may be called on any thread; a device, once
 * open, is driven by one thread (see hearth_plugin.h).
 */
#ifndef HEARTH_DEVICE_DEVICE_H
#define HEARTH_DEVICE_DEVICE_H

#include "base/base.h"
#include "hearth_plugin.h"

/* What plugins see of the process: one for all plugins. */
struct hearth_device_host {
    const struct hearth_clock *clock; /* NULL: the real one */
    /* Any thread. NULL: sleeps, by the real clock. */
    void (*wait_until_us)(void *ctx, int64_t us);
    /* Any thread; NULL: nowhere. <text> is one line. */
    void (*log)(void *ctx, enum hearth_log_level level, const char *text);
    void *ctx;
};
/* Copied; replaces what was set before. Only while no device is open. NULL:
 * the defaults. */
void hearth_device_host_set(const struct hearth_device_host *host);

/* Is this descriptor one that we can drive? <file> is for the message, which
 * says exactly what is wrong. HEARTH_OK, HEARTH_EABI. */
int hearth_plugin_check(const struct hearth_plugin *plugin, const char *file,
                        struct hearth_error *err);

/* The plugin of that name: hearth_NAME.so in one of the directories of <path>
 * (separated by ':'; NULL: $HEARTH_PLUGIN_DIR, else where they are installed).
 * Loaded and initialised at the first call; later ones give the same, whatever
 * their path. Blocks on disk.
 * HEARTH_ENOENT (every place that was tried), HEARTH_EABI, or what init said.
 */
int hearth_plugin_load(const char *path, const char *name,
                       const struct hearth_plugin **plugin,
                       struct hearth_error *err);

#define HEARTH_MAGIC_DEVICE 0x48444556u
#define HEARTH_DEVICES_MAX 64

typedef struct hearth_device hearth_device_t;
struct hearth_device {
    uint32_t magic;
    uint32_t index; /* in the list that was opened */
    char name[40];  /* "cpu:0", "sim:1": the plugin's, and a number */
    const struct hearth_plugin *plugin;
    hearth_dev_t *dev;
    struct hearth_device_properties properties; /* as they were at open */
    int lost;                       /* atomic; see hearth_device_is_lost */
    struct hearth_error lost_error; /* why; written once, before <lost> */
};

/* Opens every device of <list>: NAME or NAME:SPEC, separated by blanks, ';', or
 * a comma before a name ("cpu:0-3,6,cpu:4-5": two devices).
 * NAME without a spec opens the plugin's first device. <memory_limit> bytes
 * (0: no limit) for each; <keeps_lowered>: see struct hearth_open_config. All
 * or nothing. Blocks. HEARTH_ECONFIG (empty list, too many, bad spec), and what
 * plugin_load, probe and open give. */
int hearth_devices_open(const char *list, const char *path,
                        uint64_t memory_limit, bool keeps_lowered,
                        hearth_device_t ***devices, uint32_t *count,
                        struct hearth_error *err);
/* How OpenMP's teams wait, of the CPU's plugin, unless the environment says so
 * already: a short while awake, then asleep. A team that stays awake takes the
 * cores from the I/O loops and from its own late thread (1.2 s were seen for a
 * run of 40 ms); one that sleeps at once is woken for each of a small model's
 * many operators, at 1.6 times the time. Before hearth_devices_open, in a
 * program that has one thread yet. */
void hearth_devices_environment(void);
/* Everything on them was given back before. NULLs the pointer. */
void hearth_devices_close(hearth_device_t ***devices, uint32_t count);

/* A device whose call ended with a status of class DEVICE_LOST stays lost. Call
 * it with every result of a call on the device; returns <status>. Any thread.
 */
int hearth_device_note(hearth_device_t *device, int status,
                       const struct hearth_error *err);
bool hearth_device_is_lost(const hearth_device_t *device);
/* Why; valid after hearth_device_is_lost said so. */
const struct hearth_error *
hearth_device_lost_error(const hearth_device_t *device);

/* Is a capability there? */
static inline bool hearth_device_can(const hearth_device_t *device,
                                     enum hearth_device_caps cap)
{
    return (device->properties.caps & (uint32_t)cap) != 0;
}

#endif
